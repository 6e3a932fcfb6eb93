package table

import (
	"cmp"
	"context"
	"hash/maphash"
	"math"
	"slices"
)

// A Part is the rows of a data set that are for one purpose, such as training.
type Part struct {
	Name  string
	Table *Table
}

// DiffOptions say how two data sets are compared.
type DiffOptions struct {
	Target string // the column whose change is a relabelling; "" = none
	Limit  int    // rows of each kind that are listed; all are counted
}

// A Diff is what became of a data set. A row may be counted more than once: one
// that is in another part may have changed too.
type Diff struct {
	Before int `json:"before"` // rows
	After  int `json:"after"`

	ColumnsAdded   []string       `json:"columns_added"`
	ColumnsRemoved []string       `json:"columns_removed"`
	ColumnsChanged []ColumnChange `json:"columns_changed"` // of another kind

	Added      int `json:"added"`      // rows
	Removed    int `json:"removed"`    //
	Changed    int `json:"changed"`    // with another value in a column beside the target
	Relabelled int `json:"relabelled"` // with another target
	Moved      int `json:"moved"`      // in another part
	Renumbered int `json:"renumbered"` // the same row under another number
	Unchanged  int `json:"unchanged"`  // in values and part

	Columns []ColumnCount `json:"columns"` // columns with changed values, in order
	Rows    []RowChange   `json:"rows"`    // by kind, then by row number; see DiffOptions.Limit
}

// Same reports whether the two data sets hold the same rows, in the same parts
// and under the same numbers.
func (d *Diff) Same() bool {
	return d.Before == d.After && d.Unchanged == d.Before && d.Renumbered == 0 &&
		len(d.ColumnsAdded)+len(d.ColumnsRemoved)+len(d.ColumnsChanged) == 0
}

// A ColumnChange is a column whose kind is another one.
type ColumnChange struct {
	Name   string `json:"name"`
	Before Kind   `json:"before"`
	After  Kind   `json:"after"`
}

// A ColumnCount is how many rows have another value in a column.
type ColumnCount struct {
	Name string `json:"name"`
	Rows int    `json:"rows"`
}

// Kinds of RowChange, in their order.
const (
	RowAdded      = "added"
	RowRemoved    = "removed"
	RowChanged    = "changed"
	RowRelabelled = "relabelled"
	RowMoved      = "moved"
)

// A RowChange is what became of one row.
type RowChange struct {
	Kind   string       `json:"kind"`
	Before int64        `json:"before"` // row number, -1 if there was none
	After  int64        `json:"after"`
	From   string       `json:"from"` // part, "" if there was none
	To     string       `json:"to"`
	Cells  []CellChange `json:"cells"` // the values that changed; of an added or removed row, its values
}

// A CellChange is a value before and after, as a person would write it; "" is
// missing.
type CellChange struct {
	Column string `json:"column"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Compare finds what became of the rows of a data set. Columns are the same by
// name. Which row is which is decided in this order, each step for the rows
// that the steps before it left over:
//
//  1. Rows with the same values everywhere are the same row; of several, those
//     with the same row number, the others in their order. So a row that was
//     inserted shifts the numbers behind it and nothing else.
//  2. Rows with the same values in all columns but the target were relabelled.
//  3. Rows at the same place, which is under the same number when those are
//     counted from the nearest row before or after that is the same, are the same
//     row if at least half of their values are. The number alone is enough where
//     both data sets have the very same ones, or not one row in common by now.
//  4. Rows whose values agree in one half of the columns, and that no other
//     leftover row shares, are the same row if half of all their values are.
//
// What is left was removed, or added. Time grows as rows × columns, with a sort
// of 16 bytes per row; no row is copied.
func Compare(ctx context.Context, before, after []Part, o DiffOptions) (*Diff, error) {
	d := &Diff{
		ColumnsAdded: []string{}, ColumnsRemoved: []string{}, ColumnsChanged: []ColumnChange{},
		Columns: []ColumnCount{}, Rows: []RowChange{},
	}
	p := &pairing{}
	p.columns(d, before, after, o.Target)
	p.sides = [2]*side{newSide(before, p.names), newSide(after, p.names)}
	a, b := p.sides[0], p.sides[1]
	d.Before, d.After = len(a.rows), len(b.rows)
	p.pair = slices.Repeat([]int32{-1}, len(a.rows))
	p.taken = make([]bool, len(b.rows))

	features := func(j int) bool { return j != p.target }
	for _, step := range []func(){
		func() { p.equal(func(int) bool { return true }, false) },
		func() {
			if p.target >= 0 && len(p.names) > 1 {
				p.equal(features, false)
			}
		},
		p.places,
		func() { p.equal(func(j int) bool { return features(j) && j%2 == 0 }, true) },
		func() { p.equal(func(j int) bool { return features(j) && j%2 == 1 }, true) },
	} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		step()
	}
	p.report(d, o.Limit)
	return d, ctx.Err()
}

// A pairing decides which row of the one side is which of the other.
type pairing struct {
	names  []string // columns that both have
	text   []bool   // compared as text, since their kinds differ
	target int      // index in names, -1 if none
	sides  [2]*side
	pair   []int32 // by row of the first side, in order: row of the second; -1 = none
	taken  []bool  // by row of the second side
}

// A side is one of the two data sets, its rows in the order of their numbers.
type side struct {
	parts   []Part
	columns [][]*Column // by part, then as in pairing.names
	rows    []rowAt
}

// rowAt is where a row is.
type rowAt struct {
	number int64
	part   int32
	index  int32
}

func newSide(parts []Part, names []string) *side {
	n := 0
	for _, part := range parts {
		n += part.Table.Len()
	}
	s := &side{parts: parts, rows: make([]rowAt, 0, n)}
	for p, part := range parts {
		columns := make([]*Column, len(names))
		for j, name := range names {
			columns[j] = part.Table.Column(name)
		}
		s.columns = append(s.columns, columns)
		for i, n := range part.Table.RowNumbers {
			s.rows = append(s.rows, rowAt{n, int32(p), int32(i)})
		}
	}
	slices.SortStableFunc(s.rows, func(a, b rowAt) int { return cmp.Compare(a.number, b.number) })
	return s
}

func (s *side) at(row int32, column int) (*Column, int) {
	r := s.rows[row]
	return s.columns[r.part][column], int(r.index)
}

// columns compares the columns. A column counts as there if the first part of
// the data set has it, and is compared if all have it.
func (p *pairing) columns(d *Diff, before, after []Part, target string) {
	p.target = -1
	has := func(parts []Part, name string) *Column {
		var c *Column
		for i, part := range parts {
			other := part.Table.Column(name)
			if other == nil {
				return nil
			}
			if i == 0 {
				c = other
			}
		}
		return c
	}
	if len(before) > 0 {
		for _, x := range before[0].Table.Columns {
			y := has(after, x.Name)
			switch {
			case has(before, x.Name) == nil:
			case y == nil:
				d.ColumnsRemoved = append(d.ColumnsRemoved, x.Name)
			default:
				if x.Kind != y.Kind {
					d.ColumnsChanged = append(d.ColumnsChanged, ColumnChange{x.Name, x.Kind, y.Kind})
				}
				if x.Name == target {
					p.target = len(p.names)
				}
				p.names = append(p.names, x.Name)
				p.text = append(p.text, !sameKinds(before, after, x.Name))
			}
		}
	}
	if len(after) > 0 {
		for _, y := range after[0].Table.Columns {
			if has(after, y.Name) != nil && has(before, y.Name) == nil {
				d.ColumnsAdded = append(d.ColumnsAdded, y.Name)
			}
		}
	}
}

func sameKinds(before, after []Part, name string) bool {
	var kind Kind
	for _, part := range slices.Concat(before, after) {
		c := part.Table.Column(name)
		if kind != "" && c.Kind != kind {
			return false
		}
		kind = c.Kind
	}
	return true
}

// same tells whether two rows have the same value in a column. Missing is the
// same as missing, 0 as -0.
func (p *pairing) same(row, other int32, column int) bool {
	a, i := p.sides[0].at(row, column)
	b, j := p.sides[1].at(other, column)
	switch {
	case a.Missing(i) || b.Missing(j):
		return a.Missing(i) && b.Missing(j)
	case p.text[column]:
		return a.Text(i) == b.Text(j)
	case a.Kind == Category:
		return a.Levels[a.Codes[i]] == b.Levels[b.Codes[j]]
	}
	return a.Numbers[i] == b.Numbers[j]
}

// agree counts the columns in which two rows have the same value.
func (p *pairing) agree(row, other int32) int {
	n := 0
	for j := range p.names {
		if p.same(row, other, j) {
			n++
		}
	}
	return n
}

func (p *pairing) join(row, other int32) {
	p.pair[row], p.taken[other] = other, true
}

// A hashed is a leftover row with the hash of some of its values.
type hashed struct {
	hash uint64
	row  int32
}

// equal pairs leftover rows with the same values in the chosen columns. Under
// unique only those that no other row of their side is like, and that agree in
// half of all.
func (p *pairing) equal(chosen func(column int) bool, unique bool) {
	var columns []int
	for j := range p.names {
		if chosen(j) {
			columns = append(columns, j)
		}
	}
	if len(columns) == 0 {
		return
	}
	seed := maphash.MakeSeed()
	a := p.hashes(0, columns, seed)
	b := p.hashes(1, columns, seed)
	for len(a) > 0 && len(b) > 0 {
		if c := cmp.Compare(a[0].hash, b[0].hash); c != 0 {
			if c < 0 {
				a = a[1:]
			} else {
				b = b[1:]
			}
			continue
		}
		x, y := run(a), run(b)
		a, b = a[len(x):], b[len(y):]
		if unique {
			if len(x) == 1 && len(y) == 1 && 2*p.agree(x[0].row, y[0].row) >= len(p.names) {
				p.join(x[0].row, y[0].row)
			}
			continue
		}
		p.group(x, y)
	}
}

// run returns the first rows of a sorted list, those of one hash.
func run(list []hashed) []hashed {
	n := 1
	for n < len(list) && list[n].hash == list[0].hash {
		n++
	}
	return list[:n]
}

// group pairs the rows of one hash: those of one number first. Two rows that
// differ share a hash once in 10¹⁹; they are then shown as one that changed.
func (p *pairing) group(x, y []hashed) {
	number := func(s int, h hashed) int64 { return p.sides[s].rows[h.row].number }
	j := 0
	for _, h := range x { // both are in the order of numbers
		for j < len(y) && number(1, y[j]) < number(0, h) {
			j++
		}
		if j < len(y) && number(1, y[j]) == number(0, h) {
			p.join(h.row, y[j].row)
			j++
		}
	}
	j = 0
	for _, h := range x {
		if p.pair[h.row] >= 0 {
			continue
		}
		for j < len(y) && p.taken[y[j].row] {
			j++
		}
		if j == len(y) {
			return
		}
		p.join(h.row, y[j].row)
	}
}

// hashes returns the leftover rows of a side by the hash of their values in the
// columns, then by their order.
func (p *pairing) hashes(which int, columns []int, seed maphash.Seed) []hashed {
	s := p.sides[which]
	left := func(i int) bool { return which == 0 && p.pair[i] < 0 || which == 1 && !p.taken[i] }
	n := 0
	for i := range s.rows {
		if left(i) {
			n++
		}
	}
	list := make([]hashed, 0, n)
	for i := range s.rows {
		if left(i) {
			list = append(list, hashed{row: int32(i)})
		}
	}
	// A level's text is hashed once, not for every row.
	levels := make([][][]uint64, len(s.parts))
	for part := range s.parts {
		levels[part] = make([][]uint64, len(columns))
		for k, j := range columns {
			c := s.columns[part][j]
			if c.Kind != Category {
				continue
			}
			for _, level := range c.Levels {
				levels[part][k] = append(levels[part][k], maphash.String(seed, level))
			}
		}
	}
	for n := range list {
		at := s.rows[list[n].row]
		h := uint64(len(columns))
		for k, j := range columns {
			c, i := s.columns[at.part][j], int(at.index)
			var v uint64
			switch {
			case c.Missing(i):
				v = 1
			case c.Kind == Category:
				v = levels[at.part][k][c.Codes[i]]
			case p.text[j]:
				v = maphash.String(seed, c.Text(i))
			default:
				v = math.Float64bits(c.Numbers[i] + 0) // -0 becomes 0
			}
			h = mix(h ^ mix(v+uint64(k)))
		}
		list[n].hash = h
	}
	slices.SortFunc(list, func(a, b hashed) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.row, b.row)) })
	return list
}

// mix spreads the bits of x over all of the result (the finalizer of
// SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// places pairs leftover rows by where they stand.
func (p *pairing) places() {
	a, b := p.sides[0], p.sides[1]
	numbered := len(a.rows) == len(b.rows) // with the very same numbers
	for i := 0; numbered && i < len(a.rows); i++ {
		numbered = a.rows[i].number == b.rows[i].number
	}
	numbered = numbered || !slices.Contains(p.taken, true)
	// By how much the next row that is paired already was moved.
	following := make([]int64, len(a.rows)+1)
	for i := len(a.rows) - 1; i >= 0; i-- {
		following[i] = following[i+1]
		if j := p.pair[i]; j >= 0 {
			following[i] = b.rows[j].number - a.rows[i].number
		}
	}
	moved := int64(0) // by how much the last one was
	for i := range a.rows {
		if j := p.pair[i]; j >= 0 {
			moved = b.rows[j].number - a.rows[i].number
			continue
		}
		best, most := int32(-1), 0
		for k, by := range [3]int64{moved, following[i], 0} {
			j := p.leftover(a.rows[i].number + by)
			if j < 0 || k > 0 && by == moved {
				continue
			}
			if n := p.agree(int32(i), j); 2*n >= len(p.names) && n > most {
				best, most = j, n
			}
		}
		if best < 0 && numbered {
			best = p.leftover(a.rows[i].number)
		}
		if best >= 0 {
			p.join(int32(i), best)
			moved = b.rows[best].number - a.rows[i].number
		}
	}
}

// leftover returns a row of the second side with this number that is not paired,
// -1 if there is none.
func (p *pairing) leftover(number int64) int32 {
	rows := p.sides[1].rows
	j, _ := slices.BinarySearchFunc(rows, number, func(r rowAt, n int64) int { return cmp.Compare(r.number, n) })
	for ; j < len(rows) && rows[j].number == number; j++ {
		if !p.taken[j] {
			return int32(j)
		}
	}
	return -1
}

// report counts what the pairs say, and lists the first rows of each kind.
func (p *pairing) report(d *Diff, limit int) {
	a, b := p.sides[0], p.sides[1]
	lists := map[string][]RowChange{}
	note := func(kind string, row, other int32, cells func() []CellChange) {
		if len(lists[kind]) >= limit {
			return
		}
		r := RowChange{Kind: kind, Before: -1, After: -1, Cells: cells()}
		if row >= 0 {
			r.Before, r.From = a.rows[row].number, a.parts[a.rows[row].part].Name
		}
		if other >= 0 {
			r.After, r.To = b.rows[other].number, b.parts[b.rows[other].part].Name
		}
		lists[kind] = append(lists[kind], r)
	}
	counts := make([]int, len(p.names))
	var changed []int
	cells := func(row, other int32, only func(int) bool) func() []CellChange {
		return func() []CellChange {
			out := []CellChange{}
			for _, j := range changed {
				if only(j) {
					x, i := a.at(row, j)
					y, k := b.at(other, j)
					out = append(out, CellChange{p.names[j], x.Text(i), y.Text(k)})
				}
			}
			return out
		}
	}
	for i, other := range p.pair {
		row := int32(i)
		if other < 0 {
			d.Removed++
			note(RowRemoved, row, -1, func() []CellChange { return p.whole(0, row) })
			continue
		}
		changed = changed[:0]
		for j := range p.names {
			if !p.same(row, other, j) {
				changed = append(changed, j)
				counts[j]++
			}
		}
		from, to := a.rows[row], b.rows[other]
		relabelled := slices.Contains(changed, p.target)
		moved := a.parts[from.part].Name != b.parts[to.part].Name
		if relabelled {
			d.Relabelled++
			note(RowRelabelled, row, other, cells(row, other, func(j int) bool { return j == p.target }))
		}
		if len(changed) > 1 || len(changed) == 1 && !relabelled {
			d.Changed++
			note(RowChanged, row, other, cells(row, other, func(j int) bool { return j != p.target }))
		}
		if moved {
			d.Moved++
			note(RowMoved, row, other, func() []CellChange { return []CellChange{} })
		}
		if from.number != to.number {
			d.Renumbered++
		}
		if len(changed) == 0 && !moved {
			d.Unchanged++
		}
	}
	for j, taken := range p.taken {
		if !taken {
			d.Added++
			note(RowAdded, -1, int32(j), func() []CellChange { return p.whole(1, int32(j)) })
		}
	}
	for j, n := range counts {
		if n > 0 {
			d.Columns = append(d.Columns, ColumnCount{p.names[j], n})
		}
	}
	for _, kind := range []string{RowAdded, RowRemoved, RowChanged, RowRelabelled, RowMoved} {
		d.Rows = append(d.Rows, lists[kind]...)
	}
}

// whole returns the values of a row that only one side has.
func (p *pairing) whole(which int, row int32) []CellChange {
	s := p.sides[which]
	at := s.rows[row]
	out := []CellChange{}
	for _, c := range s.parts[at.part].Table.Columns {
		cell := CellChange{Column: c.Name, Before: c.Text(int(at.index))}
		if which == 1 {
			cell.Before, cell.After = "", cell.Before
		}
		out = append(out, cell)
	}
	return out
}
