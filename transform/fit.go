package transform

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
)

// A Fitted is a plan with everything it learned from the training rows. It is
// never changed after Fit or ParseFitted made it, and may be used by several
// goroutines at once.
type Fitted struct {
	columns  []column
	warnings []string
	names    []string // of the features, in order
}

// A column is the fitted chain of one column of the table.
type column struct {
	Name string     `json:"name"`
	Kind table.Kind `json:"kind"`
	// Dropped says why the values make no feature: "constant" or "all missing".
	Dropped string `json:"dropped,omitempty"`
	// Fill is the level that replaces a missing category; nil leaves it missing.
	Fill *string `json:"fill,omitempty"`
	// Before are the steps up to date_parts, Encoder is what follows them.
	Before  []scaler `json:"before,omitempty"`
	Encoder *encoder `json:"encoder,omitempty"`
	Lanes   []lane   `json:"features,omitempty"`
	// Indicator is the name of the feature that is 1 where the value was
	// missing, after the lanes; "" for none.
	Indicator string `json:"indicator,omitempty"`
}

// A lane is one feature of a column and the steps that lead to it.
type lane struct {
	Name  string   `json:"name"`
	Steps []scaler `json:"steps,omitempty"`
}

// outputs is how many features the column makes.
func (c *column) outputs() int {
	if c.Indicator != "" {
		return len(c.Lanes) + 1
	}
	return len(c.Lanes)
}

// Fit learns the plan from those rows of t (indices; nil means all), in the
// order given. No other row is looked at. Columns that are constant or all
// missing in the rows make no feature; Warnings says so.
//
// Errors are *solera.InputError and name the column, and the original row
// number where a value is at fault.
func (p Plan) Fit(t *table.Table, rows []int) (*Fitted, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if err := checkRows(t, rows); err != nil {
		return nil, err
	}
	if rows == nil {
		rows = allRows(t)
	}
	if len(rows) == 0 {
		return nil, &solera.InputError{Op: "fit preprocessing", Msg: "no training rows", Hint: "give the training part of the split at least two rows"}
	}
	find := finder(t)
	f := &Fitted{columns: make([]column, len(p.Columns))}
	warnings := make([]string, len(p.Columns))
	errs := make([]error, len(p.Columns))
	parallel(len(p.Columns), fitWorkers(len(rows)), func(i int) {
		f.columns[i], warnings[i], errs[i] = p.Columns[i].fit(t, find, rows)
	})
	for i := range p.Columns {
		if errs[i] != nil {
			return nil, errs[i] // the first in plan order, whoever finished first
		}
		if warnings[i] != "" {
			f.warnings = append(f.warnings, warnings[i])
		}
	}
	f.nameFeatures()
	if len(f.names) == 0 {
		return nil, &solera.InputError{Op: "fit preprocessing", Msg: fmt.Sprintf("none of the %d columns varies in the %d training rows, so there is nothing to learn from", len(p.Columns), len(rows)), Hint: "give the data at least one feature with two values"}
	}
	return f, nil
}

// Names returns the names of the features, in order. Do not change them.
func (f *Fitted) Names() []string { return f.names }

// Inputs returns the number of features.
func (f *Fitted) Inputs() int { return len(f.names) }

// Warnings returns one sentence for each column that makes no feature. Do not change them.
func (f *Fitted) Warnings() []string { return f.warnings }

// A Feature is a raw column and the features that it makes: Fitted.Names()[First : First+Count].
type Feature struct {
	Name    string     `json:"name"`
	Kind    table.Kind `json:"kind"`
	First   int        `json:"first"`
	Count   int        `json:"count"`
	Dropped string     `json:"dropped,omitempty"` // why there are no features of its values, "" when there are
}

// Features returns every planned column, in order.
func (f *Fitted) Features() []Feature {
	out := make([]Feature, len(f.columns))
	at := 0
	for i := range f.columns {
		c := &f.columns[i]
		out[i] = Feature{Name: c.Name, Kind: c.Kind, First: at, Count: c.outputs(), Dropped: c.Dropped}
		at += c.outputs()
	}
	return out
}

// nameFeatures makes the names unique (a second "a=b" becomes "a=b_2") and lists them.
func (f *Fitted) nameFeatures() {
	taken := map[string]bool{}
	unique := func(name *string) {
		base := *name
		for k := 2; taken[*name]; k++ {
			*name = base + "_" + strconv.Itoa(k)
		}
		taken[*name] = true
		f.names = append(f.names, *name)
	}
	for i := range f.columns {
		c := &f.columns[i]
		for j := range c.Lanes {
			unique(&c.Lanes[j].Name)
		}
		if c.Indicator != "" {
			unique(&c.Indicator)
		}
	}
}

// fit learns one column. The warning is "" when its values make a feature.
func (c ColumnPlan) fit(t *table.Table, find map[string]*table.Column, rows []int) (column, string, error) {
	steps, err := c.chain()
	if err != nil {
		return column{}, "", err
	}
	src, err := bind(t, find, c.Name, c.Kind, rows, "fit preprocessing")
	if err != nil {
		return column{}, "", err
	}
	out := column{Name: c.Name, Kind: c.Kind}
	missing := 0
	for _, r := range rows {
		if src.missing(r) {
			missing++
		}
	}
	if missing == len(rows) {
		out.Dropped = "all missing"
		return out, fmt.Sprintf("column %q: no value in the %d training rows; dropped", c.Name, len(rows)), nil
	}
	if steps.indicator && missing > 0 {
		out.Indicator = c.Name + "_missing"
	}
	f := fitting{op: "fit preprocessing", t: t, rows: rows, src: src, name: c.Name, kind: c.Kind}
	if c.Kind == table.Category {
		err = f.category(&out, steps, missing)
	} else {
		err = f.numbers(&out, steps)
	}
	if err != nil {
		return column{}, "", err
	}
	if len(out.Lanes) > 0 {
		return out, "", nil
	}
	// A feature that never varies teaches nothing and, scaled by a spread of
	// zero, would explode on the first row that differs. That a value was
	// missing may still matter.
	out = column{Name: c.Name, Kind: c.Kind, Dropped: "constant", Indicator: out.Indicator}
	warning := fmt.Sprintf("column %q: the same in all %d training rows; dropped", c.Name, len(rows))
	if out.Indicator != "" {
		warning = fmt.Sprintf("column %q: the same in all %d training rows that have it; only %s is kept", c.Name, len(rows)-missing, out.Indicator)
	}
	return out, warning, nil
}

// A fitting is the work of learning one column.
type fitting struct {
	op   string
	t    *table.Table
	rows []int
	src  source
	name string
	kind table.Kind
}

func (f *fitting) fail(row int, hint, format string, args ...any) error {
	msg := fmt.Sprintf(format, args...)
	if row >= 0 {
		msg = fmt.Sprintf("row %d: %s", f.t.RowNumbers[row], msg)
	}
	return &solera.InputError{Op: f.op, Column: f.name, Msg: msg, Hint: hint}
}

// numbers learns a number, boolean or date column. It leaves out.Lanes empty
// when nothing varies.
func (f *fitting) numbers(out *column, steps chain) error {
	values := make([]float64, len(f.rows))
	f.src.gather(values, f.rows)
	for i, v := range values {
		if math.IsInf(v, 0) {
			return f.fail(f.rows[i], "replace or remove it", "the value is %v", v)
		}
	}
	// values is this column's one copy: each step is learned from it and then
	// changes it in place for the next.
	before, err := f.chain(steps.before, values)
	if err != nil {
		return err
	}
	if steps.encoder == nil {
		if err := f.complete(values); err != nil {
			return err
		}
		if varies(values) {
			out.Lanes = []lane{{Name: f.name, Steps: before}}
		}
		return nil
	}
	if err := f.complete(values); err != nil {
		return err
	}
	e := &encoder{Kind: steps.encoder.Name}
	e.Origin, _, _ = bounds(values)
	e.Origin += 0 // one sign of zero
	part := make([]float64, len(values))
	for _, p := range dateParts() {
		for i, v := range values {
			if part[i] = e.part(p, v); math.IsNaN(part[i]) {
				return f.fail(f.rows[i], "correct it, or give the column another type", "%v seconds since 1970 is no date", v)
			}
		}
		if !varies(part) {
			continue
		}
		after, err := f.chain(steps.after, part)
		if err != nil {
			return err
		}
		e.Parts = append(e.Parts, p)
		out.Lanes = append(out.Lanes, lane{Name: f.name + "_" + p, Steps: after})
	}
	out.Before, out.Encoder = before, e
	return nil
}

// category learns a category column. missing counts the training rows without
// a value. It leaves out.Lanes empty when nothing varies.
func (f *fitting) category(out *column, steps chain, missing int) error {
	levels := f.src.levels
	counts := make([]int, len(levels))
	for _, r := range f.rows {
		if code := f.src.code(r); code >= 0 {
			counts[code]++
		}
	}
	if len(steps.before) == 1 {
		// Imputing moves the missing rows to the count of the filling level; the
		// codes themselves stay as they are.
		fill, at := fillLevel(steps.before[0], levels, counts)
		out.Fill = &fill
		if missing > 0 && at >= len(levels) {
			i, _ := slices.BinarySearch(levels, fill)
			levels = slices.Insert(slices.Clone(levels), i, fill)
			counts = slices.Insert(counts, i, missing)
		} else if missing > 0 {
			counts[at] += missing
		}
		missing = 0
	}
	e := fitLevels(*steps.encoder, levels, counts)
	seen := 0
	for _, n := range counts {
		if n > 0 {
			seen++
		}
	}
	if seen == 1 && missing == 0 {
		return nil
	}
	out.Encoder = &e
	// The steps behind the encoder learn from what Apply will give them.
	b := bound{column: out, source: f.src}
	b.prepare()
	var values []float64
	for k, suffix := range e.suffixes() {
		l := lane{Name: f.name + suffix}
		if len(steps.after) > 0 {
			if values == nil {
				values = make([]float64, len(f.rows))
			}
			b.codes(values, f.rows, k)
			var err error
			if l.Steps, err = f.chain(steps.after, values); err != nil {
				return err
			}
		}
		out.Lanes = append(out.Lanes, l)
	}
	return nil
}

// fillLevel returns the level that replaces a missing one, and its index, or
// len(levels) when it is none of them. Ties go to the first level, as in
// scikit-learn.
func fillLevel(s Step, levels []string, counts []int) (string, int) {
	if v, ok := s.Args["value"]; ok {
		fill := fmt.Sprint(v)
		if f, ok := asNumber(v); ok {
			fill = text(f)
		}
		if i, ok := slices.BinarySearch(levels, fill); ok {
			return fill, i
		}
		return fill, len(levels)
	}
	best := 0
	for i, n := range counts {
		if n > counts[best] {
			best = i
		}
	}
	return levels[best], best
}

// chain learns steps one after the other, each from what the one before made.
// values end as the last step leaves them.
func (f *fitting) chain(steps []Step, values []float64) ([]scaler, error) {
	var out []scaler
	for _, s := range steps {
		if _, constant := s.Args["value"]; s.Name == "impute" && s.text("strategy", "") == "" && !constant && f.kind == table.Boolean {
			// The median of an even number of booleans may be neither.
			s = Step{Name: "impute", Args: map[string]any{"strategy": "most_frequent"}}
		}
		fitted, err := fitScaler(s, values)
		if errors.Is(err, errNoValues) {
			// Reached only when a step before made everything NaN, which none does.
			return nil, f.fail(-1, "remove the column", "%s: %v", s.Name, err)
		}
		if err != nil {
			return nil, f.fail(-1, "scale the column down before loading it, or remove it", "%s: %v", s.Name, err)
		}
		fitted.apply(values)
		out = append(out, fitted)
	}
	return out, nil
}

// complete reports the first value that no step filled in.
func (f *fitting) complete(values []float64) error {
	first, n := -1, 0
	for i, v := range values {
		if math.IsNaN(v) {
			if n++; first < 0 {
				first = i
			}
		}
	}
	if n == 0 {
		return nil
	}
	if f.src.missing(f.rows[first]) {
		return f.fail(f.rows[first], "add the step {impute: median}", "no value, and no step imputes it (%d of %d training rows)", n, len(values))
	}
	return f.fail(f.rows[first], "check the value and the steps", "the steps make no number of %v", f.src.number(f.rows[first]))
}

// varies reports whether values holds two different numbers.
func varies(values []float64) bool {
	for _, v := range values {
		if v != values[0] {
			return true
		}
	}
	return false
}

// fitWorkers bounds the columns that are learned at once, so that their copies
// (four of 8 bytes a row at most) stay within about 1 GiB together.
func fitWorkers(rows int) int {
	return max(1, min(runtime.GOMAXPROCS(0), (1<<30)/(32*max(rows, 1))))
}

// parallel calls fn for 0 … n-1 on several goroutines and waits for them. The
// items must be independent.
func parallel(n, workers int, fn func(i int)) {
	if workers = min(workers, n); workers <= 1 {
		for i := range n {
			fn(i)
		}
		return
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	wait.Wait()
}

func allRows(t *table.Table) []int {
	rows := make([]int, t.Len())
	for i := range rows {
		rows[i] = i
	}
	return rows
}

func checkRows(t *table.Table, rows []int) error {
	for _, r := range rows {
		if r < 0 || r >= t.Len() {
			return fmt.Errorf("row index %d of a table with %d rows: %w", r, t.Len(), solera.ErrInvalid)
		}
	}
	return nil
}
