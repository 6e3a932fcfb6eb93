package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store/internal/pack"
)

// A summary is one that a run reported, and its canonical JSON.
type summary struct {
	fields solera.Fields // as they will be read
	text   string
}

// Report stores a batch. Calls that wait at the same time share a transaction,
// like those of Append; each has its own answer.
func (d *DB) Report(ctx context.Context, b solera.Batch) (last int64, err error) {
	fail := func(err error) (int64, error) { return 0, fmt.Errorf("run %s: report: %w", b.Run, err) }
	if err := b.Check(); err != nil {
		return fail(err)
	}
	c := &call{
		run: b.Run, points: b.Points, items: slices.Clone(b.Items), beat: b.Beat,
		source: b.Source, from: b.From, count: b.Count,
	}
	for i, item := range c.items {
		var value bytes.Buffer
		if err := json.Compact(&value, item.Value); err != nil {
			return fail(err)
		}
		c.items[i].Value = value.Bytes()
	}
	if c.lines, err = cleanLines(b.Lines); err != nil {
		return fail(err)
	}
	if b.Summary != nil {
		text, err := b.Summary.MarshalJSON()
		if err != nil {
			return fail(fmt.Errorf("summary: %w", err))
		}
		c.summary = &summary{text: string(text)}
		if err := c.summary.fields.UnmarshalJSON(text); err != nil {
			return fail(fmt.Errorf("summary: %w", err))
		}
		if err := checkText([]any{c.summary.text}); err != nil {
			return fail(fmt.Errorf("summary: %w", err))
		}
	}
	if err := d.join(ctx, c); err != nil {
		return fail(err)
	}
	return c.last, nil
}

// positions locks the runs whose sources are counted or whose summary changes,
// moves positions on, and writes summaries. A call that does not begin where
// its source stands gets its err.
//
// The record of a run is what everybody who counts its sources queues for. It
// is locked for all calls at once, in order, also for those that only beat. In
// SQLite nothing is to be locked; that a run is not there shows later.
func (t *tx) positions(runs []solera.RunID, byRun map[solera.RunID][]*call) error {
	var locked []solera.RunID
	counted, summarized := false, false
	for _, run := range runs {
		lock := false
		for _, c := range byRun[run] {
			lock = lock || c.beat || c.source != "" || c.summary != nil
			counted = counted || c.source != ""
			summarized = summarized || c.summary != nil
		}
		if lock {
			locked = append(locked, run)
		}
	}
	if !counted && !summarized {
		return nil
	}
	if summarized && t.queue != nil {
		// The index of runs has one writer at a time.
		if err := t.queue(t); err != nil {
			return err
		}
	}
	there := map[solera.RunID]bool{}
	if t.forUpdate != "" {
		var err error
		if there, err = t.lockRuns(locked); err != nil {
			return err
		}
	}
	for _, run := range locked {
		if t.forUpdate != "" && !there[run] {
			for _, c := range byRun[run] {
				c.err = fmt.Errorf("run %s: %w", run, solera.ErrNotFound)
			}
			continue
		}
		if counted {
			if err := t.movePositions(run, byRun[run]); err != nil {
				return err
			}
		}
		var last *summary
		for _, c := range byRun[run] {
			if c.summary != nil && c.err == nil {
				last = c.summary
			}
		}
		if last != nil {
			if err := t.summarize(run, last); err != nil {
				return fmt.Errorf("run %s: write summary: %w", run, err)
			}
		}
	}
	return nil
}

// lockRuns locks the records of runs, which come sorted, and returns those that
// are there.
func (t *tx) lockRuns(runs []solera.RunID) (map[solera.RunID]bool, error) {
	there := make(map[solera.RunID]bool, len(runs))
	lock, order := "", ""
	if t.forUpdate != "" {
		// Not FOR UPDATE: what names a run, such as a line of its console, may be
		// written meanwhile.
		lock, order = " FOR NO KEY UPDATE", ` COLLATE "C"`
	}
	texts := make([]string, len(runs))
	for i, run := range runs {
		texts[i] = string(run)
	}
	err := inChunks(texts, func(marks string, args []any) error {
		return t.rows(func(scan func(...any) error) error {
			var run string
			err := scan(&run)
			there[solera.RunID(run)] = true
			return err
		}, `SELECT id FROM runs WHERE id IN (`+marks+`) ORDER BY id`+order+lock, args...)
	})
	return there, err
}

// movePositions counts the lines that calls of one run hold.
func (t *tx) movePositions(run solera.RunID, calls []*call) error {
	if moved, err := t.moveKnown(run, calls); moved || err != nil {
		return err
	}
	was, is := make(map[string]int64), make(map[string]int64)
	for _, c := range calls {
		if c.source == "" || c.err != nil {
			continue
		}
		n, known := is[c.source]
		if !known {
			var err error
			if n, err = t.position(run, c.source); err != nil {
				return err
			}
			if n == 0 {
				// Perhaps because there is no such run.
				err := t.runExists(run)
				if errors.Is(err, solera.ErrNotFound) {
					c.err = err
					continue
				}
				if err != nil {
					return err
				}
			}
			was[c.source], is[c.source] = n, n
		}
		if c.from != n {
			c.err = fmt.Errorf("%w: of %.80q there are %d lines, and the batch begins after %d; go on from there", solera.ErrConflict, c.source, n, c.from)
			continue
		}
		is[c.source] = n + c.count
	}
	for source, n := range is {
		if n == was[source] {
			continue
		}
		if err := t.setPosition(run, source, n); err != nil {
			return err
		}
	}
	return nil
}

// moveKnown does it for the one call that counts lines and begins where its
// source stands, which is the rule, in half of the time of asking first. It
// reports whether that is so.
func (t *tx) moveKnown(run solera.RunID, calls []*call) (bool, error) {
	var one *call
	for _, c := range calls {
		switch {
		case c.source == "" || c.err != nil:
		case one != nil:
			return false, nil
		default:
			one = c
		}
	}
	if one == nil || t.hot.movePosition == nil {
		return one == nil, nil
	}
	done, err := t.run(t.hot.movePosition, "", string(run), one.source, one.from, one.from+one.count)
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

func (t *tx) position(run solera.RunID, source string) (n int64, err error) {
	err = t.row(`SELECT n FROM positions WHERE run = $1 AND source = $2`, string(run), source).Scan(&n)
	if errors.Is(err, errNoRow) {
		return 0, nil
	}
	return n, err
}

func (t *tx) setPosition(run solera.RunID, source string, n int64) error {
	_, err := t.exec(`INSERT INTO positions (run, source, n) VALUES ($1, $2, $3)
		ON CONFLICT (run, source) DO UPDATE SET n = EXCLUDED.n`, string(run), source, n)
	return err
}

// Position returns how many lines of a source are stored.
func (d *DB) Position(ctx context.Context, run solera.RunID, source string) (n int64, err error) {
	err = d.view(ctx, func(t *tx) error {
		n, err = t.position(run, source)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("run %s: read the position of %.80q: %w", run, source, err)
	}
	return n, nil
}

// SetPosition is of solera.Tx.
func (t *tx) SetPosition(run solera.RunID, source string, n int64) error {
	fail := func(err error) error { return fmt.Errorf("run %s: set the position of %.80q: %w", run, source, err) }
	if err := solera.CheckSource(source); err != nil {
		return fail(err)
	}
	if n < 0 {
		return fail(fmt.Errorf("%w: it is %d", solera.ErrInvalid, n))
	}
	there, err := t.lockRuns([]solera.RunID{run})
	if err != nil {
		return fail(err)
	}
	if !there[run] {
		return fail(solera.ErrNotFound)
	}
	before, err := t.position(run, source)
	if err != nil || before == n {
		return err
	}
	if err := t.setPosition(run, source, n); err != nil {
		return fail(err)
	}
	return t.note("run.position", string(run), solera.Fields{source: before}, solera.Fields{source: n})
}

// summarize replaces the summary of a run that is locked.
func (t *tx) summarize(run solera.RunID, s *summary) error {
	old, seq, err := t.numbered(run)
	if err != nil {
		return err
	}
	now := old
	now.Summary = s.fields
	if _, err := t.exec(`UPDATE runs SET summary = $2 WHERE id = $1`, string(run), s.text); err != nil {
		return err
	}
	return t.index(seq, indexRow(old), indexRow(now))
}

// writeItems adds items to a run whose head is locked, so that numbers do not
// collide.
func (t *tx) writeItems(run solera.RunID, items []solera.Item) error {
	var last int64
	if err := t.row(`SELECT COALESCE(MAX(n), 0) FROM items WHERE run = $1`, string(run)).Scan(&last); err != nil {
		return err
	}
	return t.many(insertItem, len(items), func(i int) []any {
		return itemArgs(run, last+1+int64(i), items[i])
	})
}

const insertItem = `INSERT INTO items (run, n, key, step, value, at) VALUES ($1, $2, $3, $4, $5, $6)`

func itemArgs(run solera.RunID, n int64, item solera.Item) []any {
	return []any{string(run), n, item.Key, item.Step, string(item.Value), int64(item.Time)}
}

// Items returns what a run recorded that is no number.
func (d *DB) Items(ctx context.Context, q solera.ItemQuery) (items []solera.Item, err error) {
	err = d.view(ctx, func(t *tx) error {
		items = []solera.Item{}
		var f filter
		f.equal("run", string(q.Run))
		f.text("key", q.Key)
		if q.Steps != nil {
			f.compare("step", ">=", q.Steps.From)
			f.compare("step", "<=", q.Steps.To)
		}
		if q.After > 0 {
			f.compare("n", ">", q.After)
		}
		return t.rows(func(scan func(...any) error) error {
			var item solera.Item
			var value string
			err := scan(&item.N, &item.Key, &item.Step, &value, &item.Time)
			item.Value = []byte(value)
			items = append(items, item)
			return err
		}, f.query(`SELECT n, key, step, value, at FROM items`, `n`, q.Limit), f.args...)
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: read items: %w", q.Run, err)
	}
	return items, nil
}

// ItemKeys returns the names of the items of a run.
func (d *DB) ItemKeys(ctx context.Context, run solera.RunID) (keys []string, err error) {
	err = d.view(ctx, func(t *tx) error {
		keys = []string{}
		return t.rows(func(scan func(...any) error) error {
			var key string
			err := scan(&key)
			keys = append(keys, key)
			return err
		}, `SELECT DISTINCT key FROM items WHERE run = $1`, string(run))
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: list items: %w", run, err)
	}
	slices.Sort(keys) // databases differ in how they order text
	return keys, nil
}

// Rewind is of solera.Tx. The points that stay are packed anew under another
// head, so that whoever appends meanwhile, here or elsewhere, finds that the
// head which it knows is gone.
func (t *tx) Rewind(run solera.RunID, keep func(key string, step int64, at solera.Micros) bool) error {
	fail := func(err error) error { return fmt.Errorf("rewind run %s: %w", run, err) }
	there, err := t.lockRuns([]solera.RunID{run})
	if err != nil {
		return fail(err)
	}
	if !there[run] {
		return fail(solera.ErrNotFound)
	}
	before, after, err := t.rewindPoints(run, keep)
	if err != nil {
		return fail(err)
	}
	gone, err := t.rewindItems(run, keep)
	if err != nil {
		return fail(err)
	}
	if before == after && gone == 0 {
		return nil
	}
	now, err := t.Now()
	if err != nil {
		return fail(err)
	}
	if _, err := t.exec(`UPDATE runs SET rewound = $2 WHERE id = $1`, string(run), int64(now)); err != nil {
		return fail(err)
	}
	return t.note("run.rewind", string(run), solera.Fields{"points": before}, solera.Fields{"points": after, "items_forgotten": gone})
}

// rewindPoints returns how many points there were and are.
func (t *tx) rewindPoints(run solera.RunID, keep func(string, int64, solera.Micros) bool) (before, after int64, err error) {
	var id int64
	err = t.row(`SELECT id, n FROM heads WHERE run = $1`+t.forUpdate, string(run)).Scan(&id, &before)
	if errors.Is(err, errNoRow) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	// In the form in which they are stored, so that a long run does not take all
	// memory.
	var kept [][]byte
	keys := make(map[string]int64)
	var names []string
	for cursor := int64(0); cursor < before; {
		points, next, err := t.since(run, cursor, manyPoints)
		if err != nil {
			return 0, 0, err
		}
		rest := make([]pack.Point, 0, len(points))
		for _, p := range points {
			if !keep(p.Key, p.Step, p.Time) {
				continue
			}
			key, known := keys[p.Key]
			if !known {
				key = int64(len(names))
				keys[p.Key] = key
				names = append(names, p.Key)
			}
			rest = append(rest, pack.Point{Metric: key, Step: p.Step, Value: p.Value, Time: int64(p.Time)})
		}
		for chunk := range slices.Chunk(rest, t.lay().row) {
			kept = append(kept, pack.EncodeRow(chunk))
			after += int64(len(chunk))
		}
		cursor = next
	}
	if after == before {
		return before, after, nil
	}
	if _, err := t.exec(`DELETE FROM heads WHERE id = $1`, id); err != nil {
		return 0, 0, err
	}
	var points []solera.Point
	var decoded []pack.Point
	write := func() error {
		_, err := t.append(run, points)
		points = points[:0]
		return err
	}
	for _, row := range kept {
		if decoded, err = pack.DecodeRow(decoded[:0], row); err != nil {
			return 0, 0, err
		}
		for _, p := range decoded {
			points = append(points, solera.Point{Key: names[p.Metric], Step: p.Step, Value: p.Value, Time: solera.Micros(p.Time)})
		}
		if len(points) >= groupPoints {
			if err := write(); err != nil {
				return 0, 0, err
			}
		}
	}
	return before, after, write()
}

// rewindItems returns how many were forgotten.
func (t *tx) rewindItems(run solera.RunID, keep func(string, int64, solera.Micros) bool) (int, error) {
	var gone []int64
	err := t.rows(func(scan func(...any) error) error {
		var n, step, at int64
		var key string
		if err := scan(&n, &key, &step, &at); err != nil {
			return err
		}
		if !keep(key, step, solera.Micros(at)) {
			gone = append(gone, n)
		}
		return nil
	}, `SELECT n, key, step, at FROM items WHERE run = $1 ORDER BY n`, string(run))
	if err != nil {
		return 0, err
	}
	return len(gone), inChunks(gone, func(marks string, args []any) error {
		_, err := t.exec(`DELETE FROM items WHERE n IN (`+marks+`) AND run = $`+strconv.Itoa(len(args)+1), append(args, string(run))...)
		return err
	})
}
