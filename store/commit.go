package store

import (
	"context"

	"github.com/solera-ml/solera"
)

// A call is one Print or Beat.
type call struct {
	run   solera.RunID
	lines []solera.Line
	beat  bool
}

func (d *DB) join(ctx context.Context, c *call) error {
	return d.append(ctx, func(t *tx) error {
		if _, err := t.Run(c.run); err != nil {
			return err
		}
		if c.beat {
			now, err := t.Now()
			if err != nil {
				return err
			}
			_, err = t.exec(`UPDATE runs SET heartbeat = $2 WHERE id = $1`, string(c.run), int64(now))
			return err
		}
		if _, err := t.append(c.run, nil); err != nil { // locks the head
			return err
		}
		return t.print(c.run, c.lines)
	})
}
