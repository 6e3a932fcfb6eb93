package transform

import (
	"fmt"
	"math"
	"runtime"
	"strconv"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tensor"
)

// applyRows is how many rows of one column are worked on at a time: the
// scratch of a worker, and the reach of its writes, stay in the cache.
const applyRows = 256

// Apply makes the features of those rows of t (indices; nil means all): row i
// of the result is rows[i], column j is Names()[j]. Columns of t that the plan
// does not name are ignored. Values pass from the table to the matrix a few
// hundred at a time, so memory is the result and no more.
//
// Errors are *solera.InputError: a column is missing or of another kind, or a
// value does not come out as a finite float32. They name the column, the
// original row number and the value.
func (f *Fitted) Apply(t *table.Table, rows []int) (*tensor.Matrix, error) {
	x, err := f.apply(t, rows)
	if err != nil {
		return nil, err
	}
	return x, nil
}

func (f *Fitted) apply(t *table.Table, rows []int) (*tensor.Matrix, error) {
	if err := checkRows(t, rows); err != nil {
		return nil, err
	}
	n := len(rows)
	if rows == nil {
		n = t.Len()
	}
	find := finder(t)
	var columns []bound
	at := 0
	for i := range f.columns {
		c := &f.columns[i]
		if c.outputs() == 0 {
			continue // dropped: prediction does not need it, so the table need not have it
		}
		src, err := bind(t, find, c.Name, c.Kind, rows, "transform")
		if err != nil {
			return nil, err
		}
		b := bound{column: c, source: src, first: at}
		b.prepare()
		columns = append(columns, b)
		at += c.outputs()
	}
	x := tensor.New(n, len(f.names))
	chunks := (n + applyRows - 1) / applyRows
	errs := make([]error, chunks)
	workers := min(runtime.GOMAXPROCS(0), chunks)
	parallel(workers, workers, func(w int) {
		s := newScratch()
		// A worker's chunks are w, w+workers, …: independent rows, any order.
		for k := w; k < chunks; k += workers {
			lo, hi := k*applyRows, min((k+1)*applyRows, n)
			part := s.rows[:hi-lo]
			for i := range part {
				part[i] = lo + i
				if rows != nil {
					part[i] = rows[lo+i]
				}
			}
			for i := range columns {
				if errs[k] = columns[i].write(x, lo, part, s, t.RowNumbers); errs[k] != nil {
					return
				}
			}
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err // of the first rows at fault, whoever found it first
		}
	}
	return x, nil
}

// scratch is what a worker of Apply writes on.
type scratch struct {
	rows         []int
	values, lane []float64
}

func newScratch() *scratch {
	return &scratch{make([]int, applyRows), make([]float64, applyRows), make([]float64, applyRows)}
}

// A bound is a fitted column with the table's column that it reads.
type bound struct {
	*column
	source source
	first  int // index of the column's first feature

	become  []int32 // category: what each level of the table becomes
	missing int32   // category: what a missing value becomes
}

// prepare maps the levels of the table to those that were learned.
func (b *bound) prepare() {
	if b.Kind != table.Category || b.Encoder == nil {
		return
	}
	b.become, b.missing = b.Encoder.lookup(b.source.levels)
	if b.Fill != nil {
		fill, _ := b.Encoder.lookup([]string{*b.Fill})
		b.missing = fill[0]
	}
}

// becomes returns what the category in row r becomes (see encoder.lookup).
func (b *bound) becomes(r int) int32 {
	if code := b.source.code(r); code >= 0 {
		return b.become[code]
	}
	return b.missing
}

// codes writes feature k of an encoded category for rows.
func (b *bound) codes(dst []float64, rows []int, k int) {
	ordinal := b.Encoder.Kind == "ordinal"
	for i, r := range rows {
		v := b.becomes(r)
		switch {
		case ordinal:
			dst[i] = float64(v)
		case int(v) == k:
			dst[i] = 1
		default:
			dst[i] = 0
		}
	}
}

// write makes the column's features of rows, as rows lo, lo+1, … of x.
func (b *bound) write(x *tensor.Matrix, lo int, rows []int, s *scratch, numbers []int64) error {
	if b.Indicator != "" {
		j := b.first + len(b.Lanes)
		for i, r := range rows {
			if b.source.missing(r) {
				x.Data[(lo+i)*x.Stride+j] = 1
			}
		}
	}
	if len(b.Lanes) == 0 {
		return nil
	}
	if b.Kind == table.Category {
		return b.writeCategory(x, lo, rows, s, numbers)
	}
	values := s.values[:len(rows)]
	b.source.gather(values, rows)
	for i := range b.Before {
		b.Before[i].apply(values)
	}
	for k := range b.Lanes {
		l := s.lane[:len(rows)]
		if b.Encoder == nil {
			l = values
		} else {
			for i, v := range values {
				l[i] = b.Encoder.part(b.Encoder.Parts[k], v)
			}
		}
		if err := b.writeLane(x, lo, k, rows, l, numbers); err != nil {
			return err
		}
	}
	return nil
}

func (b *bound) writeCategory(x *tensor.Matrix, lo int, rows []int, s *scratch, numbers []int64) error {
	if b.Encoder.Kind == "one_hot" && len(b.Lanes[0].Steps) == 0 {
		for i, r := range rows {
			if k := b.becomes(r); k >= 0 {
				x.Data[(lo+i)*x.Stride+b.first+int(k)] = 1
			}
		}
		return nil
	}
	for k := range b.Lanes {
		l := s.lane[:len(rows)]
		b.codes(l, rows, k)
		if err := b.writeLane(x, lo, k, rows, l, numbers); err != nil {
			return err
		}
	}
	return nil
}

// writeLane takes values through the lane's steps and into feature k.
func (b *bound) writeLane(x *tensor.Matrix, lo, k int, rows []int, values []float64, numbers []int64) error {
	steps := b.Lanes[k].Steps
	for i := range steps {
		steps[i].apply(values)
	}
	at := lo*x.Stride + b.first + k
	for i, v := range values {
		f := float32(v)
		if f-f != 0 { // NaN or infinite
			return b.refuse(rows[i], v, numbers[rows[i]])
		}
		x.Data[at] = f
		at += x.Stride
	}
	return nil
}

// refuse explains why the value in row r became v, which is no finite float32.
func (b *bound) refuse(r int, v float64, number int64) error {
	fail := func(hint, format string, args ...any) error {
		return &solera.InputError{Op: "transform", Column: b.Name, Msg: fmt.Sprintf("row %d: ", number) + fmt.Sprintf(format, args...), Hint: hint}
	}
	raw := b.source.number(r)
	switch {
	case b.source.missing(r):
		return fail("fill it in, or add the step {impute: median} and train again", "no value, and no step imputes it")
	case math.IsInf(raw, 0):
		return fail("replace or remove it", "the value is %v", raw)
	case b.Kind == table.Date:
		return fail("correct it", "%v seconds since 1970 is no date that the steps can take", raw)
	}
	return fail("correct the value, or add a step such as robust, quantile or clip", "%v becomes %v, which float32 cannot hold (at most 3.4e38)", raw, v)
}

// A source reads one column of a table as the kind that was planned.
type source struct {
	numbers []float64
	coded   []int32
	levels  []string
	// A column without any value reads as missing, whatever its kind: numbers
	// and coded are nil.
}

func (s *source) missing(r int) bool {
	if s.coded != nil {
		return s.coded[r] < 0
	}
	return s.numbers == nil || math.IsNaN(s.numbers[r])
}

func (s *source) number(r int) float64 {
	if s.numbers == nil {
		return math.NaN()
	}
	return s.numbers[r]
}

func (s *source) code(r int) int32 {
	if s.coded == nil {
		return -1
	}
	return s.coded[r]
}

func (s *source) gather(dst []float64, rows []int) {
	if s.numbers == nil {
		for i := range dst {
			dst[i] = math.NaN()
		}
		return
	}
	for i, r := range rows {
		dst[i] = s.numbers[r]
	}
}

// finder maps names to columns: a table may have many thousands of them.
func finder(t *table.Table) map[string]*table.Column {
	find := make(map[string]*table.Column, len(t.Columns))
	for _, c := range t.Columns {
		find[c.Name] = c
	}
	return find
}

// bind finds column name of t and checks that it holds what kind says. Two
// other kinds are accepted, because the same file may be read either way: a
// boolean where numbers were (as 0 and 1), and the numbers 0 and 1 where
// booleans were. A column without any value in rows is of every kind.
func bind(t *table.Table, find map[string]*table.Column, name string, kind table.Kind, rows []int, op string) (source, error) {
	c := find[name]
	if c == nil {
		return source{}, &solera.InputError{Op: op, Column: name, Msg: "no such column in the table", Hint: nearestHint(name, t.Names())}
	}
	s := source{numbers: c.Numbers, coded: c.Codes, levels: c.Levels}
	if c.Kind == table.Category {
		s.numbers = nil
	} else {
		s.coded, s.levels = nil, nil // a boolean's levels are its words, not categories
	}
	if n := max(len(s.numbers), len(s.coded)); n != t.Len() {
		return source{}, fmt.Errorf("column %q has %d values in a table of %d rows: %w", name, n, t.Len(), solera.ErrInvalid)
	}
	if c.Kind == kind || kind == table.Number && c.Kind == table.Boolean {
		return s, nil
	}
	bits := kind == table.Boolean && c.Kind == table.Number
	bad := -1
	each(t, rows, func(r int) bool {
		if s.missing(r) || bits && (s.numbers[r] == 0 || s.numbers[r] == 1) {
			return true
		}
		if bad < 0 {
			bad = r
		}
		if kind != table.Number || c.Kind != table.Category {
			return false
		}
		// Name the value that shows the mistake, the first text that is no number.
		if _, err := strconv.ParseFloat(s.levels[s.coded[r]], 64); err != nil {
			bad = r
			return false
		}
		return true
	})
	if bad < 0 {
		if !bits {
			s = source{}
		}
		return s, nil
	}
	value := c.Text(bad)
	if s.coded != nil {
		value = show(value)
	}
	return source{}, &solera.InputError{
		Op: op, Column: name,
		Msg:  fmt.Sprintf("row %d: the value %s is of kind %s, and the column was a %s", t.RowNumbers[bad], value, c.Kind, kind),
		Hint: fmt.Sprintf("correct the values, or read the column as %s", kind),
	}
}

// each calls fn for rows (nil means all) until it returns false.
func each(t *table.Table, rows []int, fn func(r int) bool) {
	if rows == nil {
		for r := range t.Len() {
			if !fn(r) {
				return
			}
		}
		return
	}
	for _, r := range rows {
		if !fn(r) {
			return
		}
	}
}
