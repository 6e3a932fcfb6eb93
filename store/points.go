package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store/internal/pack"
)

// Points live in two places. An append writes one row into recent: a group of
// calls of one run shares it. When enough have gathered they are packed, in
// the transaction of some append, into blocks of one metric each. The head of a
// run says up to which number its points are packed.

// A layout says how many points lie together. Every process that has a store
// open uses the standard one; tests use small ones, which a few points fill.
type layout struct {
	row int // points in a row of recent, at most
	// block is how many points a block has at most: enough that what is said
	// once for all of them does not count, few enough that a chart which is
	// zoomed in reads little.
	block int
	// least and most are how many recent points are packed: some for each
	// metric, but reading all that are recent stays quick.
	least, most int64
	// segment is the logarithm of how many numbers make a segment of a run. A
	// block has points of one segment, so that reading by number, over all
	// metrics, has a bound.
	segment uint
}

func standardLayout() *layout {
	return &layout{row: 4096, block: 4096, least: 4096, most: 1 << 18, segment: 20}
}

// enough is how many recent points are worth packing.
func (l *layout) enough(metrics int) int64 { return min(max(64*int64(metrics), l.least), l.most) }

// segmentEnd returns the last number of the segment of n.
func (l *layout) segmentEnd(n int64) int64 { return ((n-1)>>l.segment + 1) << l.segment }

func (t *tx) lay() *layout {
	if t.layout == nil {
		t.layout = standardLayout()
	}
	return t.layout
}

// Append adds points to a run. Calls that wait at the same time share a
// transaction; each returns when its own points are on disk.
func (d *DB) Append(ctx context.Context, run solera.RunID, points []solera.Point) (last int64, err error) {
	if err := checkKeys(points); err != nil {
		return 0, fmt.Errorf("run %s: append points: %w", run, err)
	}
	c := &call{run: run, points: points}
	if err := d.join(ctx, c); err != nil {
		return 0, fmt.Errorf("append points: %w", err)
	}
	return c.last, nil
}

func checkKeys(points []solera.Point) error {
	for i := range points {
		if i > 0 && points[i].Key == points[i-1].Key {
			continue
		}
		if err := solera.CheckKey(points[i].Key); err != nil {
			return err
		}
	}
	return nil
}

// append adds points to a run within a transaction that does other things too.
func (t *tx) append(run solera.RunID, points []solera.Point) (last int64, err error) {
	if err := checkKeys(points); err != nil {
		return 0, fmt.Errorf("run %s: append points: %w", run, err)
	}
	c := &call{run: run, points: points}
	if err := t.apply([]*call{c}); err != nil {
		return 0, fmt.Errorf("append points: %w", err)
	}
	return c.last, c.err
}

// writePoints writes the points of calls whose heads have been moved on.
func (t *tx) writePoints(heads []*head, byRun map[solera.RunID][]*call) error {
	if len(heads) == 0 {
		return nil
	}
	// Numbers first: other writers queue for new ones in this order.
	seen := make(map[string]bool)
	var keys []string
	for _, h := range heads {
		last := ""
		for _, c := range byRun[h.run] {
			for i := range c.points {
				key := c.points[i].Key
				if c.err != nil || key == last || seen[key] {
					continue
				}
				seen[key], last = true, key
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	if err := t.nameMetrics(keys); err != nil {
		return err
	}
	ids := make(map[string]int64, len(keys))
	for _, key := range keys {
		ids[key], _ = t.cache().id(key)
	}

	type row struct {
		head, last int64
		points     []pack.Point
	}
	var rows []row
	for _, h := range heads {
		points := make([]pack.Point, 0, h.points)
		metrics := make(map[int64]bool)
		key, id := "", int64(0)
		for _, c := range byRun[h.run] {
			if c.err != nil {
				continue
			}
			for i := range c.points {
				p := &c.points[i]
				if p.Key != key {
					key, id = p.Key, ids[p.Key]
					metrics[id] = true
				}
				points = append(points, pack.Point{Metric: id, Step: p.Step, Value: p.Value, Time: int64(p.Time)})
			}
		}
		var err error
		if h.metrics, err = t.record(h.id, metrics); err != nil {
			return fmt.Errorf("run %s: %w", h.run, err)
		}
		first := h.n - h.points
		for i := 0; i < len(points); i += t.lay().row {
			end := min(i+t.lay().row, len(points))
			rows = append(rows, row{h.id, first + int64(end), points[i:end]})
		}
	}
	err := t.many(`INSERT INTO recent (run, n, points) VALUES ($1, $2, $3)`, len(rows), func(i int) []any {
		return []any{rows[i].head, rows[i].last, pack.EncodeRow(rows[i].points)}
	})
	if err != nil {
		return err
	}
	for _, h := range heads {
		if h.n-h.packed < t.lay().enough(h.metrics) {
			continue
		}
		if err := t.compact(h); err != nil {
			return fmt.Errorf("run %s: pack points: %w", h.run, err)
		}
	}
	return nil
}

// Since returns the points of a run after cursor.
func (d *DB) Since(ctx context.Context, run solera.RunID, cursor int64, limit int) (points []solera.Point, next int64, err error) {
	err = d.viewPoints(ctx, func(t *tx) error {
		points, next, err = t.since(run, cursor, limit)
		return err
	})
	if err != nil {
		return nil, cursor, fmt.Errorf("run %s: read points: %w", run, err)
	}
	return points, next, nil
}

// Last is of solera.Points.
func (d *DB) Last(ctx context.Context, run solera.RunID) (last int64, err error) {
	err = d.viewPoints(ctx, func(t *tx) error {
		h, err := t.headOf(run)
		if last = 0; h != nil {
			last = h.n
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("run %s: read the number of the last point: %w", run, err)
	}
	return last, nil
}

// viewPoints is a view that knows the names of metrics.
func (d *DB) viewPoints(ctx context.Context, fn func(*tx) error) error {
	var fresh *names
	err := d.view(ctx, func(t *tx) error {
		fresh = &names{under: &d.names}
		t.names, t.layout = fresh, d.layout
		return fn(t)
	})
	if err == nil {
		d.names.merge(fresh)
	}
	return err
}

// manyPoints is a good limit for reading a run to its end: what a block holds is
// decoded for each page that has a part of it.
const manyPoints = 1 << 18

var errEnough = errors.New("enough rows")

// since reads points after cursor, in memory for limit and a segment.
func (t *tx) since(run solera.RunID, cursor int64, limit int) (points []solera.Point, next int64, err error) {
	next = cursor
	if cursor < 0 {
		cursor = 0
	}
	h, err := t.headOf(run)
	if err != nil || h == nil {
		return nil, next, err
	}
	end := h.n
	if limit > 0 && end-cursor > int64(limit) {
		end = cursor + int64(limit)
	}
	if cursor >= end {
		return nil, next, nil
	}
	var found []numbered
	for at := cursor; at < min(end, h.packed); {
		upTo := min(t.lay().segmentEnd(at+1), end, h.packed)
		if found, err = t.readSegment(h, at, upTo, found); err != nil {
			return nil, next, err
		}
		at = upTo
	}
	if end > h.packed {
		err = t.readRecent(h, max(cursor, h.packed), func(n int64, p pack.Point) error {
			if n > end {
				return errEnough
			}
			found = append(found, numbered{n, p})
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, next, err
		}
	}
	if int64(len(found)) != end-cursor {
		return nil, next, fmt.Errorf("%w: of the points from %d to %d there are %d", solera.ErrCorrupt, cursor+1, end, len(found))
	}
	metrics := make(map[int64]bool)
	for i := range found {
		if i == 0 || found[i].Metric != found[i-1].Metric {
			metrics[found[i].Metric] = true
		}
	}
	keys, err := t.metricKeys(metrics)
	if err != nil {
		return nil, next, err
	}
	points = make([]solera.Point, len(found))
	key, id := "", int64(0)
	for i := range found {
		p := &found[i].Point
		if i == 0 || p.Metric != id {
			key, id = keys[p.Metric], p.Metric
		}
		points[i] = solera.Point{Key: key, Step: p.Step, Value: p.Value, Time: solera.Micros(p.Time)}
	}
	return points, end, nil
}

// numbered is a point with its number within the run.
type numbered struct {
	n int64
	pack.Point
}

// readRecent calls fn for the recent points after a number, in order.
func (t *tx) readRecent(h *head, after int64, fn func(n int64, p pack.Point) error) error {
	var points []pack.Point
	expected := h.packed
	if after > expected {
		expected = -1 // rows before are passed over
	}
	return t.rows(func(scan func(...any) error) error {
		var last int64
		var raw []byte
		if err := scan(&last, &raw); err != nil {
			return err
		}
		var err error
		if points, err = pack.DecodeRow(points[:0], raw); err != nil {
			return err
		}
		first := last - int64(len(points)) + 1
		if expected >= 0 && first != expected+1 || len(points) == 0 {
			return fmt.Errorf("%w: point %d comes after %d", solera.ErrCorrupt, first, expected)
		}
		expected = last
		for i, p := range points {
			if n := first + int64(i); n > after {
				if err := fn(n, p); err != nil {
					return err
				}
			}
		}
		return nil
	}, `SELECT n, points FROM recent WHERE run = $1 AND n > $2 ORDER BY n`, h.id, after)
}

// Series returns the points of one metric by step.
func (d *DB) Series(ctx context.Context, q solera.SeriesQuery) (points []solera.Point, err error) {
	if q.Pixels < 0 {
		return nil, fmt.Errorf("run %s: read series %.80q: %w: %d pixels", q.Run, q.Key, solera.ErrInvalid, q.Pixels)
	}
	err = d.viewPoints(ctx, func(t *tx) error {
		points, err = t.readSeries(q)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: read series %.80q: %w", q.Run, q.Key, err)
	}
	return points, nil
}

func (t *tx) readSeries(q solera.SeriesQuery) ([]solera.Point, error) {
	steps := solera.StepRange{From: math.MinInt64, To: math.MaxInt64}
	if q.Steps != nil {
		steps = *q.Steps
	}
	if steps.From > steps.To {
		return nil, nil
	}
	h, err := t.headOf(q.Run)
	if err != nil || h == nil {
		return nil, err
	}
	if missing, err := t.findMetrics([]string{q.Key}); err != nil || len(missing) > 0 {
		return nil, err
	}
	metric, _ := t.cache().id(q.Key)

	// What the blocks say of themselves comes first, and the few points that
	// are in none.
	blocks, err := t.blocksOf(h, metric, steps)
	if err != nil {
		return nil, err
	}
	var recent pack.Columns
	err = t.readRecent(h, h.packed, func(n int64, p pack.Point) error {
		if p.Metric == metric && p.Step >= steps.From && p.Step <= steps.To {
			recent.Add(n, p.Step, p.Value, p.Time)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	there := solera.StepRange{From: math.MaxInt64, To: math.MinInt64}
	most := recent.Len()  // points in the range, at most
	least := recent.Len() // and at least
	for _, s := range recent.Steps {
		there.From, there.To = min(there.From, s), max(there.To, s)
	}
	for _, b := range blocks {
		there.From, there.To = min(there.From, b.fromStep), max(there.To, b.toStep)
		most += b.count
		if b.fromStep >= steps.From && b.toStep <= steps.To {
			least += b.count
		}
	}
	if most == 0 {
		return nil, nil
	}
	if q.Steps == nil {
		steps = there
	}
	skip := q.Pixels > 0 && least/4 > q.Pixels
	c := newCollector(steps, q.Pixels, most, !skip)
	if err := t.collect(h, metric, blocks, c, skip); err != nil {
		return nil, err
	}
	c.add(&recent)
	return c.points(q.Key), nil
}

// collect gives the points of blocks to a collector. Where skip says that the
// result is thinned for certain, of a block that lies within one part of it
// the summary is enough.
func (t *tx) collect(h *head, metric int64, blocks []block, c *collector, skip bool) error {
	if len(blocks) == 0 {
		return nil
	}
	wanted, short := make(map[int64]bool, len(blocks)), make(map[int64]bool)
	for _, b := range blocks {
		if skip && c.within(b.fromStep, b.toStep) {
			short[b.first] = true
		} else {
			wanted[b.first] = true
		}
	}
	if len(short) > 0 {
		var columns pack.Columns
		err := t.rows(func(scan func(...any) error) error {
			var first int64
			var summary []byte
			if err := scan(&first, &summary); err != nil {
				return err
			}
			if !short[first] {
				return nil
			}
			if err := readSummary(&columns, summary); err != nil {
				return err
			}
			c.add(&columns)
			return nil
		}, `SELECT first, summary FROM blocks WHERE run = $1 AND metric = $2 ORDER BY first`, h.id, metric)
		if err != nil {
			return err
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	var columns pack.Columns
	read := func(scan func(...any) error) error {
		var first int64
		var data []byte
		if err := scan(&first, &data); err != nil {
			return err
		}
		if !wanted[first] {
			return nil
		}
		if err := columns.Decode(data); err != nil {
			return err
		}
		c.add(&columns)
		return nil
	}
	if len(short) == 0 {
		return t.rows(read, `SELECT first, data FROM blocks WHERE run = $1 AND metric = $2 AND first >= $3 AND first <= $4 ORDER BY first`,
			h.id, metric, blocks[0].first, blocks[len(blocks)-1].first)
	}
	for _, b := range blocks {
		if !wanted[b.first] {
			continue
		}
		err := t.rows(read, `SELECT first, data FROM blocks WHERE run = $1 AND metric = $2 AND first = $3`, h.id, metric, b.first)
		if err != nil {
			return err
		}
	}
	return nil
}

// Keys returns the metrics of a run.
func (d *DB) Keys(ctx context.Context, run solera.RunID) (keys []string, err error) {
	err = d.viewPoints(ctx, func(t *tx) error {
		keys = []string{}
		h, err := t.headOf(run)
		if err != nil || h == nil {
			return err
		}
		all, _, _, _, err := t.readRecorded(h.id)
		if err != nil {
			return err
		}
		byID, err := t.metricKeys(all)
		for _, key := range byID {
			keys = append(keys, key)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: list metrics: %w", run, err)
	}
	slices.Sort(keys) // databases differ in how they order text
	return keys, nil
}
