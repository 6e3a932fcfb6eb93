package store

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store/internal/pack"
)

// A block is what is known of a row of blocks without reading its points.
type block struct {
	metric      int64
	first, last int64 // numbers of its first and last point
	count       int
	fromStep    int64 // the lowest step
	toStep      int64
	// ascending: no step is lower than the one before.
	ascending bool
}

func (t *tx) scanBlocks(scan func(*block), query string, args ...any) error {
	return t.rows(func(columns func(...any) error) error {
		var b block
		var count, ascending int64
		if err := columns(&b.metric, &b.first, &b.last, &count, &b.fromStep, &b.toStep, &ascending); err != nil {
			return err
		}
		if b.count = int(count); b.first < 1 || b.last < b.first || count < 1 || count > b.last-b.first+1 ||
			count > pack.MaxPoints || b.fromStep > b.toStep {
			return fmt.Errorf("%w: a block of metric %d is said to have %d points from %d to %d", solera.ErrCorrupt, b.metric, count, b.first, b.last)
		}
		b.ascending = ascending != 0
		scan(&b)
		return nil
	}, `SELECT metric, first, last, count, from_step, to_step, ascending FROM blocks `+query, args...)
}

// blocksOf returns the blocks of a metric that have steps in a range, in the
// order of their numbers.
func (t *tx) blocksOf(h *head, metric int64, steps solera.StepRange) (list []block, err error) {
	err = t.scanBlocks(func(b *block) { list = append(list, *b) },
		`WHERE run = $1 AND metric = $2 AND to_step >= $3 AND from_step <= $4 ORDER BY first`, h.id, metric, steps.From, steps.To)
	return list, err
}

// readSegment appends the points after a number up to another of the same
// segment, in order.
func (t *tx) readSegment(h *head, after, upTo int64, found []numbered) ([]numbered, error) {
	start := len(found)
	found = slices.Grow(found, int(upTo-after))[:start+int(upTo-after)]
	part := found[start:]
	clear(part)
	filled := 0
	var columns pack.Columns
	err := t.rows(func(scan func(...any) error) error {
		var metric int64
		var data []byte
		if err := scan(&metric, &data); err != nil {
			return err
		}
		if err := columns.Decode(data); err != nil {
			return err
		}
		for i, n := range columns.Ns {
			if n <= after || n > upTo {
				continue
			}
			p := &part[n-after-1]
			if p.n != 0 {
				return fmt.Errorf("%w: point %d is there twice", solera.ErrCorrupt, n)
			}
			*p = numbered{n, pack.Point{Metric: metric, Step: columns.Steps[i], Value: columns.Values[i], Time: columns.Times[i]}}
			filled++
		}
		return nil
	}, `SELECT metric, data FROM blocks WHERE run = $1 AND last > $2 AND last <= $3 AND first <= $4`, h.id, after, t.lay().segmentEnd(after+1), upTo)
	if err != nil {
		return nil, err
	}
	if filled < len(part) {
		return nil, fmt.Errorf("%w: of the points from %d to %d there are %d", solera.ErrCorrupt, after+1, upTo, filled)
	}
	return found, nil
}

// A summary is the first, the lowest, the highest and the last point of a
// block, as a chart wants them. The place of the metric holds the number.
func summarize(c *pack.Columns) []byte {
	all := newCollector(solera.StepRange{From: math.MinInt64, To: math.MaxInt64}, 1, c.Len(), false)
	all.add(c)
	var points []pack.Point
	for _, p := range all.chosen() {
		points = append(points, pack.Point{Metric: p.n, Step: p.step, Value: p.value, Time: p.time})
	}
	return pack.EncodeRow(points)
}

func readSummary(c *pack.Columns, b []byte) error {
	points, err := pack.DecodeRow(nil, b)
	if err != nil {
		return err
	}
	*c = pack.Columns{}
	for _, p := range points {
		c.Add(p.Metric, p.Step, p.Value, p.Time)
	}
	return nil
}

func describe(metric int64, c *pack.Columns) block {
	b := block{
		metric: metric, first: c.Ns[0], last: c.Ns[c.Len()-1], count: c.Len(),
		fromStep: slices.Min(c.Steps), toStep: slices.Max(c.Steps), ascending: slices.IsSorted(c.Steps),
	}
	return b
}

// compact packs the recent points of a run whose head is locked.
func (t *tx) compact(h *head) error {
	for h.packed < h.n {
		columns := make(map[int64]*pack.Columns)
		at := h.packed
		stop := t.lay().segmentEnd(at + 1)
		err := t.readRecent(h, h.packed, func(n int64, p pack.Point) error {
			if n > stop || n-h.packed > t.lay().most+int64(t.lay().row) {
				return errEnough
			}
			c := columns[p.Metric]
			if c == nil {
				c = new(pack.Columns)
				columns[p.Metric] = c
			}
			c.Add(n, p.Step, p.Value, p.Time)
			at = n
			return nil
		})
		if err != nil && err != errEnough {
			return err
		}
		if at == h.packed {
			return fmt.Errorf("%w: of the points from %d to %d there are 0", solera.ErrCorrupt, at+1, h.n)
		}
		if err := t.packBlocks(h, columns); err != nil {
			return err
		}
		if err := t.cutRecent(h, at); err != nil {
			return err
		}
	}
	return nil
}

// cutRecent removes recent points up to a number, which may be within a row.
func (t *tx) cutRecent(h *head, upTo int64) error {
	var last int64
	var raw []byte
	err := t.row(`SELECT n, points FROM recent WHERE run = $1 AND n > $2 ORDER BY n LIMIT 1`, h.id, upTo).Scan(&last, &raw)
	switch {
	case err == errNoRow:
	case err != nil:
		return err
	default:
		points, err := pack.DecodeRow(nil, raw)
		if err != nil {
			return err
		}
		if keep := last - upTo; keep < int64(len(points)) {
			rest := pack.EncodeRow(points[int64(len(points))-keep:])
			if _, err := t.exec(`UPDATE recent SET points = $3 WHERE run = $1 AND n = $2`, h.id, last, rest); err != nil {
				return err
			}
		}
	}
	if _, err := t.exec(`DELETE FROM recent WHERE run = $1 AND n <= $2`, h.id, upTo); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE heads SET packed = $2 WHERE id = $1`, h.id, upTo); err != nil {
		return err
	}
	h.packed = upTo
	return nil
}

// packBlocks writes points of one segment into blocks. The last blocks of a metric
// are taken up as long as they have no more points than have come: so each
// point is written a few times at most, however slowly they come, and blocks
// grow full.
func (t *tx) packBlocks(h *head, columns map[int64]*pack.Columns) error {
	end := t.lay().segmentEnd(h.packed + 1)
	partial := make(map[int64][]block)
	err := t.scanBlocks(func(b *block) {
		if columns[b.metric] != nil && b.count < t.lay().block {
			partial[b.metric] = append(partial[b.metric], *b)
		}
	}, `WHERE run = $1 AND last > $2 AND last <= $3 ORDER BY last`, h.id, end-1<<t.lay().segment, end)
	if err != nil {
		return err
	}
	type written struct {
		block
		summary, data []byte
	}
	var gone []block
	var fresh []written
	older := make(map[int64][]byte) // data of those that are taken up, by last number
	var lasts []int64
	for metric, c := range columns {
		count := c.Len()
		list := partial[metric]
		for i := len(list) - 1; i >= 0 && list[i].count <= count; i-- {
			count += list[i].count
			gone = append(gone, list[i])
			lasts = append(lasts, list[i].last)
		}
	}
	err = inChunks(lasts, func(marks string, args []any) error {
		return t.rows(func(scan func(...any) error) error {
			var last int64
			var data []byte
			err := scan(&last, &data)
			older[last] = data
			return err
		}, `SELECT last, data FROM blocks WHERE last IN (`+marks+`) AND run = $`+strconv.Itoa(len(args)+1), append(args, h.id)...)
	})
	if err != nil {
		return err
	}
	for _, metric := range slices.Sorted(maps.Keys(columns)) {
		c := new(pack.Columns)
		for _, b := range partial[metric] {
			data, ok := older[b.last]
			if !ok {
				continue
			}
			var old pack.Columns
			if err := old.Decode(data); err != nil {
				return err
			}
			c.Append(&old)
		}
		c.Append(columns[metric])
		for i := 0; i < c.Len(); i += t.lay().block {
			part := c.Slice(i, min(i+t.lay().block, c.Len()))
			fresh = append(fresh, written{describe(metric, part), summarize(part), part.Encode()})
		}
	}
	err = t.many(`DELETE FROM blocks WHERE run = $1 AND metric = $2 AND first = $3`, len(gone), func(i int) []any {
		return []any{h.id, gone[i].metric, gone[i].first}
	})
	if err != nil {
		return err
	}
	return t.many(`INSERT INTO blocks (run, metric, first, last, count, from_step, to_step, ascending, summary, data)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, len(fresh), func(i int) []any {
		b := &fresh[i]
		ascending := 0
		if b.ascending {
			ascending = 1
		}
		return []any{h.id, b.metric, b.first, b.last, b.count, b.fromStep, b.toStep, ascending, b.summary, b.data}
	})
}

// checkPoints reports what is wrong with the points of all runs: a number
// that is missing or there twice, a block that cannot be read or is not what
// it says of itself, a metric without a name.
func (t *tx) checkPoints(report func(solera.Problem)) error {
	var heads []*head
	err := t.rows(func(scan func(...any) error) error {
		h := new(head)
		heads = append(heads, h)
		return scan(&h.run, &h.id, &h.n, &h.packed)
	}, `SELECT run, id, n, packed FROM heads ORDER BY run`)
	if err != nil {
		return err
	}
	for _, h := range heads {
		wrong := func(problem, format string, args ...any) {
			report(solera.Problem{Ref: "run " + string(h.run), Path: "points", Problem: problem, Detail: fmt.Sprintf(format, args...)})
		}
		if err := t.checkHead(h, wrong); err != nil {
			return fmt.Errorf("run %s: check points: %w", h.run, err)
		}
	}
	return nil
}

func (t *tx) checkHead(h *head, wrong func(problem, format string, args ...any)) error {
	if h.packed < 0 || h.n < h.packed {
		wrong("altered", "of %d points %d are said to be packed", h.n, h.packed)
		return nil
	}
	used := make(map[int64]bool)
	for at := int64(0); at < h.packed; {
		end := min(t.lay().segmentEnd(at+1), h.packed)
		there := make([]bool, end-at)
		count := 0
		var columns pack.Columns
		err := t.rows(func(scan func(...any) error) error {
			var b block
			var n, ascending int64
			var summary, data []byte
			if err := scan(&b.metric, &b.first, &b.last, &n, &b.fromStep, &b.toStep, &ascending, &summary, &data); err != nil {
				return err
			}
			b.count, b.ascending = int(n), ascending != 0
			used[b.metric] = true
			if err := columns.Decode(data); err != nil || columns.Len() == 0 {
				wrong("altered", "the block of metric %d that begins with point %d cannot be read: %v", b.metric, b.first, err)
				return nil
			}
			if b != describe(b.metric, &columns) || string(summary) != string(summarize(&columns)) {
				wrong("altered", "the block of metric %d that begins with point %d is not what it says of itself", b.metric, b.first)
			}
			for _, n := range columns.Ns {
				if n <= at || n > end || there[n-at-1] {
					wrong("altered", "the block of metric %d that begins with point %d has a point %d, which is elsewhere", b.metric, b.first, n)
					continue
				}
				there[n-at-1] = true
				count++
			}
			return nil
		}, `SELECT metric, first, last, count, from_step, to_step, ascending, summary, data FROM blocks
			WHERE run = $1 AND last > $2 AND last <= $3 ORDER BY last`, h.id, at, t.lay().segmentEnd(at+1))
		if err != nil {
			return err
		}
		if count < len(there) {
			wrong("missing", "of the points from %d to %d there are %d", at+1, end, count)
			if count == 0 {
				return nil // a head that promises more than can be: do not count on
			}
		}
		at = end
	}
	next := h.packed + 1
	var points []pack.Point
	err := t.rows(func(scan func(...any) error) error {
		var last int64
		var raw []byte
		if err := scan(&last, &raw); err != nil {
			return err
		}
		var err error
		if points, err = pack.DecodeRow(points[:0], raw); err != nil {
			wrong("altered", "the recent points up to %d cannot be read: %v", last, err)
			next = last + 1
			return nil
		}
		if first := last - int64(len(points)) + 1; first != next {
			wrong("missing", "point %d comes after %d", first, next-1)
		}
		for i := range points {
			used[points[i].Metric] = true
		}
		next = last + 1
		return nil
	}, `SELECT n, points FROM recent WHERE run = $1 ORDER BY n`, h.id)
	if err != nil {
		return err
	}
	if next != h.n+1 {
		wrong("missing", "the points end with %d, and should with %d", next-1, h.n)
	}
	recorded, _, _, _, err := t.readRecorded(h.id)
	if err != nil {
		wrong("altered", "%v", err)
		return nil
	}
	for _, metric := range slices.SortedFunc(maps.Keys(used), cmp.Compare[int64]) {
		if !recorded[metric] {
			wrong("missing", "metric %d is not among those of the run", metric)
		}
		if _, err := t.metricKeys(map[int64]bool{metric: true}); err != nil {
			wrong("missing", "%v", err)
		}
	}
	return nil
}
