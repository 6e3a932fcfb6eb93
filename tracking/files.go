package tracking

import (
	"context"
	"fmt"

	"github.com/solera-ml/solera"
)

// A Before remembers a moment before a content was put into the blobs: see
// KeepFile.
type Before struct{ presence presence }

// Before returns the present moment.
func (t *Tracker) Before(ctx context.Context) (Before, error) {
	p, err := presenceNow(ctx, t.Store)
	return Before{p}, err
}

// KeepFile makes e a file of a run, in place of one of the same path. Its content
// was put after before; where gc has deleted that since, KeepFile is ErrConflict.
func (t *Tracker) KeepFile(ctx context.Context, id solera.RunID, e solera.Entry, before Before) error {
	err := t.update(ctx, func(tx solera.Tx) error {
		run, err := tx.Run(id)
		if err != nil {
			return err
		}
		if run.Deleted != 0 {
			return fmt.Errorf("%w: the run was deleted at %v", solera.ErrNotFound, run.Deleted)
		}
		if err := t.stillThere(ctx, tx, before.presence, []solera.Entry{e}); err != nil {
			return err
		}
		return tx.SetFile(id, e)
	})
	if err != nil {
		return fmt.Errorf("file %.200q of run %s: %w", e.Path, id, err)
	}
	return nil
}

// DropFile makes a run forget a file.
func (t *Tracker) DropFile(ctx context.Context, id solera.RunID, path string) error {
	return t.Store.Update(ctx, func(tx solera.Tx) error { return tx.DeleteFile(id, path) })
}
