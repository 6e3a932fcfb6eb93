package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/solera-ml/solera"
)

// A call is one Append, Print, Beat or Report that waits for its commit.
type call struct {
	run     solera.RunID
	points  []solera.Point
	items   []solera.Item
	lines   []solera.Line
	summary *summary // nil = stays as it is
	beat    bool
	alive   bool // does nothing but beat: the head of the run stays as it is
	// The lines of a source that the call holds; source "" = not counted.
	source      string
	from, count int64

	last int64 // number of the run's last point then
	err  error
	done chan struct{}
	left bool // its caller no longer wants the outcome
}

// A committer lets calls that wait at the same time share one transaction: the
// wait for the disk is the same for one point and for thousands. While one
// group is being written the next gathers, so nobody waits for company.
//
// A call returns nil after its transaction has been committed, and a commit
// ends after the disk has said that it holds the log (fsync of SQLite's
// write-ahead log, synchronous=FULL; PostgreSQL's own, unless its
// administrator has switched synchronous_commit off). No point is acknowledged
// out of memory.
type committer struct {
	mu     sync.Mutex
	queue  []*call // waiting; their callers may still walk away
	taken  []*call // in the transaction under way
	cancel func()  // gives up the transaction under way
	busy   bool    // a goroutine is committing
	closed bool
	wg     sync.WaitGroup

	hot hot // of the goroutine that commits
}

// hot are the statements that are run most, made once. Nil ones are done without.
type hot struct {
	advanceFrom  *sql.Stmt // moves a head on
	movePosition *sql.Stmt // moves a position on
	beat         *sql.Stmt
}

const beatRun = `UPDATE runs SET heartbeat = $2 WHERE id = $1`

func (h *hot) prepare(ctx context.Context, db *sql.DB) (err error) {
	for statement, query := range map[**sql.Stmt]string{
		&h.advanceFrom:  `UPDATE heads SET n = $3 WHERE id = $1 AND n = $2`,
		&h.movePosition: `UPDATE positions SET n = $4 WHERE run = $1 AND source = $2 AND n = $3`,
		&h.beat:         beatRun,
	} {
		if *statement != nil {
			continue
		}
		if *statement, err = db.PrepareContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

func (h *hot) close() {
	for _, statement := range []*sql.Stmt{h.advanceFrom, h.movePosition, h.beat} {
		if statement != nil {
			statement.Close()
		}
	}
}

// groupPoints is how many points share a transaction at most, unless one call
// has more.
const groupPoints = 1 << 16

// weight is how many points take as long to write as what the call holds.
func (c *call) weight() int {
	const bytes = 16 // of a point
	w := len(c.points)
	for i := range c.items {
		w += 1 + len(c.items[i].Value)/bytes
	}
	for i := range c.lines {
		w += 1 + len(c.lines[i].Text)/bytes
	}
	return w
}

// join waits until c is on disk. A caller whose context ends before its turn
// has written nothing; after that it waits for the outcome, which it gets.
func (d *DB) join(ctx context.Context, c *call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkText([]any{string(c.run)}); err != nil {
		return err
	}
	c.done = make(chan struct{})
	g := &d.group
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return fmt.Errorf("store %s is closed", d.name)
	}
	g.queue = append(g.queue, c)
	if !g.busy {
		g.busy = true
		g.wg.Go(d.commitGroups)
	}
	g.mu.Unlock()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
	}
	g.mu.Lock()
	if i := slices.Index(g.queue, c); i >= 0 {
		g.queue = slices.Delete(g.queue, i, i+1)
		if len(g.queue)+len(g.taken) == 0 && g.cancel != nil {
			g.cancel() // nobody is left to wait for
		}
		g.mu.Unlock()
		return ctx.Err()
	}
	c.left = true
	if g.cancel != nil && !slices.ContainsFunc(g.taken, func(c *call) bool { return !c.left }) {
		g.cancel() // all have gone: give up, if that is still possible
	}
	g.mu.Unlock()
	<-c.done
	if unsure := (*unsureError)(nil); c.err != nil && !errors.As(c.err, &unsure) {
		return ctx.Err()
	}
	return c.err
}

// close waits for the calls under way.
func (g *committer) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.wg.Wait()
	g.hot.close()
}

// take moves waiting calls into the transaction under way, which may take more
// than once when it is tried again, and returns all that it has.
func (g *committer) take() []*call {
	g.mu.Lock()
	defer g.mu.Unlock()
	weight := 0
	for _, c := range g.taken {
		weight += c.weight()
	}
	n := 0
	for n < len(g.queue) && (weight == 0 || weight+g.queue[n].weight() <= groupPoints) {
		weight += g.queue[n].weight()
		n++
	}
	g.taken = append(g.taken, g.queue[:n]...)
	g.queue = slices.Delete(g.queue, 0, n)
	return slices.Clone(g.taken)
}

// commitGroups commits group after group until nobody waits.
func (d *DB) commitGroups() {
	g := &d.group
	for {
		g.mu.Lock()
		if len(g.queue) == 0 {
			g.busy = false
			g.mu.Unlock()
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		g.cancel = cancel
		g.mu.Unlock()

		var group []*call
		err := d.commitGroup(ctx, func() []*call {
			group = g.take() // not before it is our turn: until then others may come, and go
			return group
		})
		gone := ctx.Err() != nil
		if len(group) == 0 && err != nil && !gone {
			group = g.take() // no transaction could be begun
		}
		if err != nil && len(group) > 1 && !gone {
			// One of them has spoilt it for all. Alone, each gets its own answer.
			for _, c := range group {
				if err := d.commitGroup(ctx, func() []*call { return []*call{c} }); err != nil {
					c.err = err
				}
			}
		} else if err != nil {
			for _, c := range group {
				c.err = err
			}
		}
		cancel()
		g.mu.Lock()
		if unsure := (*unsureError)(nil); gone && err != nil && !errors.As(err, &unsure) {
			// Given up because nobody was left, and then somebody came.
			again := slices.DeleteFunc(slices.Clone(group), func(c *call) bool { return c.left })
			group = slices.DeleteFunc(group, func(c *call) bool { return !c.left })
			g.queue = append(again, g.queue...)
		}
		g.taken, g.cancel = nil, nil
		g.mu.Unlock()
		for _, c := range group {
			close(c.done)
		}
	}
}

func (d *DB) commitGroup(ctx context.Context, take func() []*call) error {
	if d.forUpdate == "" {
		// Before the transaction, which has the only connection.
		if err := d.retry(ctx, func() error { return d.group.hot.prepare(ctx, d.write) }); err != nil {
			return err
		}
	}
	var fresh *names
	err := d.append(ctx, func(t *tx) error {
		t.hot = d.group.hot
		fresh = &names{under: &d.names}
		t.names, t.layout = fresh, d.layout
		return t.apply(take())
	})
	if err == nil && fresh != nil {
		d.names.merge(fresh) // committed, so others may rely on it
	}
	return err
}

// apply writes what calls ask for. A fault of one call that leaves the
// transaction whole is its err; what apply returns undoes them all.
//
// Rows are locked in one order, so that transactions of PostgreSQL cannot wait
// for each other in a circle: runs, heads (each by identifier), counters, the
// rest.
func (t *tx) apply(calls []*call) error {
	byRun := make(map[solera.RunID][]*call)
	for _, c := range calls {
		c.err = nil
		byRun[c.run] = append(byRun[c.run], c)
	}
	runs := slices.SortedFunc(maps.Keys(byRun), func(a, b solera.RunID) int { return cmp.Compare(a, b) })
	if err := t.positions(runs, byRun); err != nil {
		return err
	}
	if err := t.beats(runs, byRun); err != nil {
		return err
	}
	heads, err := t.advance(runs, byRun)
	if err != nil {
		return err
	}
	var written []*head
	for _, run := range runs {
		h := heads[run]
		if h == nil {
			continue
		}
		if h.points > 0 {
			written = append(written, h)
		}
		for _, c := range byRun[run] {
			if len(c.lines) > 0 && c.err == nil {
				if err := t.print(run, c.lines); err != nil {
					return fmt.Errorf("run %s: print: %w", run, err)
				}
			}
			if len(c.items) > 0 && c.err == nil {
				if err := t.writeItems(run, c.items); err != nil {
					return fmt.Errorf("run %s: write items: %w", run, err)
				}
			}
		}
	}
	return t.writePoints(written, byRun)
}

// beats sets the heartbeat of the runs that ask for it.
func (t *tx) beats(runs []solera.RunID, byRun map[solera.RunID][]*call) error {
	var now solera.Micros
	for _, run := range runs {
		if !slices.ContainsFunc(byRun[run], func(c *call) bool { return c.beat && c.err == nil }) {
			continue
		}
		if now == 0 {
			var err error
			if now, err = t.Now(); err != nil {
				return err
			}
		}
		done, err := t.run(t.hot.beat, beatRun, string(run), int64(now))
		if err != nil {
			return fmt.Errorf("run %s: beat: %w", run, err)
		}
		n, err := done.RowsAffected()
		if err != nil {
			return err
		}
		if n == 0 {
			for _, c := range byRun[run] {
				c.err = fmt.Errorf("run %s: %w", run, solera.ErrNotFound)
			}
		}
	}
	return nil
}

// A head is the end of what a run has recorded.
type head struct {
	run     solera.RunID
	id      int64 // of the run among those that recorded anything; short, and never used again
	n       int64 // number of the last point
	packed  int64 // points up to this number are in blocks, later ones are recent
	points  int64 // so many of them are being written
	metrics int   // how many it has, once known
}

// advance locks the heads of the runs that calls add anything to, and moves
// them on by the number of points.
func (t *tx) advance(runs []solera.RunID, byRun map[solera.RunID][]*call) (map[solera.RunID]*head, error) {
	heads := make(map[solera.RunID]*head)
	var wanted []*head
	for _, run := range runs {
		h := &head{run: run}
		for _, c := range byRun[run] {
			if c.err == nil && !c.alive {
				heads[run] = h
				h.points += int64(len(c.points))
			}
		}
		if heads[run] != nil {
			wanted = append(wanted, h)
		}
	}
	missing, err := t.advanceAll(wanted)
	if err != nil {
		return nil, err
	}
	for _, h := range missing {
		found, err := t.firstHead(h)
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", h.run, err)
		}
		if !found {
			for _, c := range byRun[h.run] {
				c.err = fmt.Errorf("run %s: %w", h.run, solera.ErrNotFound)
			}
			delete(heads, h.run)
		}
	}
	for run, h := range heads {
		t.cache().setHead(run, h)
	}
	// Each call gets the number of its own last point.
	for run, h := range heads {
		n := h.n - h.points
		for _, c := range byRun[run] {
			if c.err == nil && !c.alive {
				n += int64(len(c.points))
				c.last = n
			}
		}
	}
	return heads, nil
}

// advanceAll moves heads on, which come by run, and returns those that are not
// there.
func (t *tx) advanceAll(wanted []*head) (missing []*head, err error) {
	if t.forUpdate != "" {
		return t.advanceLocked(wanted)
	}
	for _, h := range wanted {
		known, err := t.advanceKnown(h)
		if err == nil && !known {
			err = t.row(`UPDATE heads SET n = n + $2 WHERE run = $1 RETURNING id, n, packed`, string(h.run), h.points).Scan(&h.id, &h.n, &h.packed)
		}
		if errors.Is(err, errNoRow) {
			missing = append(missing, h)
		} else if err != nil {
			return nil, fmt.Errorf("run %s: %w", h.run, err)
		}
	}
	return missing, nil
}

// advanceLocked does it in two questions, however many there are: the way to
// the database is long.
func (t *tx) advanceLocked(wanted []*head) (missing []*head, err error) {
	byRun := make(map[string]*head)
	var runs []string
	for _, h := range wanted {
		byRun[string(h.run)] = h
		runs = append(runs, string(h.run))
	}
	var found []*head
	err = inChunks(runs, func(marks string, args []any) error {
		return t.rows(func(scan func(...any) error) error {
			var run string
			var id, n, packed int64
			if err := scan(&run, &id, &n, &packed); err != nil {
				return err
			}
			h := byRun[run]
			h.id, h.n, h.packed = id, n+h.points, packed
			found = append(found, h)
			delete(byRun, run)
			return nil
		}, `SELECT run, id, n, packed FROM heads WHERE run IN (`+marks+`) ORDER BY run COLLATE "C"`+t.forUpdate, args...)
	})
	if err != nil {
		return nil, err
	}
	for _, h := range wanted {
		if byRun[string(h.run)] != nil {
			missing = append(missing, h)
		}
	}
	return missing, t.many(`UPDATE heads SET n = $2 WHERE id = $1`, len(found), func(i int) []any {
		return []any{found[i].id, found[i].n}
	})
}

// advanceKnown moves a head on that stands where this process left it, which
// is the rule, and reports whether it did. That takes half of the time of
// asking where it stands.
func (t *tx) advanceKnown(h *head) (bool, error) {
	known := t.cache().head(h.run)
	if known == nil || t.hot.advanceFrom == nil {
		return false, nil
	}
	// Nobody has appended since, so nobody has packed.
	done, err := t.sql.StmtContext(t.ctx, t.hot.advanceFrom).ExecContext(t.ctx, known.id, known.n, known.n+h.points)
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	h.id, h.n, h.packed = known.id, known.n+h.points, known.packed
	return n > 0, err
}

// firstHead makes the head of a run that has recorded nothing yet, and reports
// whether there is such a run. Another writer may be doing the same.
func (t *tx) firstHead(h *head) (found bool, err error) {
	var one int
	err = t.row(`SELECT 1 FROM runs WHERE id = $1`, string(h.run)).Scan(&one)
	if errors.Is(err, errNoRow) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	id, err := t.count("heads", 1)
	if err != nil {
		return false, err
	}
	return true, t.row(`INSERT INTO heads (run, id, n, packed) VALUES ($1, $2, $3, 0)
		ON CONFLICT (run) DO UPDATE SET n = heads.n + EXCLUDED.n RETURNING id, n, packed`,
		string(h.run), id, h.points).Scan(&h.id, &h.n, &h.packed)
}

// count moves a counter on by so many, locks it, and returns where it stands.
func (t *tx) count(counter string, by int) (n int64, err error) {
	err = t.row(`UPDATE counters SET n = n + $2 WHERE name = $1 RETURNING n`, counter, by).Scan(&n)
	return n, err
}
