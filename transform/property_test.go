package transform

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera/table"
)

// drawColumn makes a column of n rows, a fifth of them missing at most.
func drawColumn(t *rapid.T, name string, kind table.Kind, n int) *table.Column {
	missing := rapid.SliceOfN(rapid.IntRange(0, 9), n, n).Draw(t, name+" missing")
	if rapid.Bool().Draw(t, name+" complete") {
		clear(missing)
	}
	if kind == table.Category {
		values := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), n, n).Draw(t, name)
		for i := range values {
			if missing[i] > 7 {
				values[i] = ""
			}
		}
		return texts(name, values...)
	}
	// Grids: squares of differences below 1e-150 underflow and nobody measures them.
	grid := func(low, high int, step float64) *rapid.Generator[float64] {
		return rapid.Map(rapid.IntRange(low, high), func(i int) float64 { return float64(i) * step })
	}
	value := grid(-1<<20, 1<<20, 0x1p-10)
	switch kind {
	case table.Boolean:
		value = rapid.SampledFrom([]float64{0, 1})
	case table.Date:
		value = grid(-1e12, 4e12, 1e-3)
	}
	c := &table.Column{Name: name, Kind: kind, Numbers: rapid.SliceOfN(value, n, n).Draw(t, name)}
	for i := range c.Numbers {
		if missing[i] > 7 {
			c.Numbers[i] = math.NaN()
		}
	}
	return c
}

func allKinds() []table.Kind {
	return []table.Kind{table.Number, table.Category, table.Boolean, table.Date}
}

func drawTable(t *rapid.T, n int) *table.Table {
	tab := &table.Table{}
	for i := range n {
		tab.RowNumbers = append(tab.RowNumbers, int64(1000+i))
	}
	for j := range rapid.IntRange(1, 5).Draw(t, "columns") {
		kind := rapid.SampledFrom(allKinds()).Draw(t, "kind")
		tab.Columns = append(tab.Columns, drawColumn(t, fmt.Sprintf("%s%d", kind, j), kind, n))
	}
	return tab
}

// drawPlan gives each column a chain that its kind may have.
func drawPlan(t *rapid.T, tab *table.Table) Plan {
	args := func(name string, args map[string]any) Step { return Step{Name: name, Args: args} }
	numeric := [][]Step{
		{args("impute", map[string]any{"strategy": "mean"}), {Name: "standardize"}},
		{{Name: "min_max"}, args("impute", map[string]any{"strategy": "constant", "value": -1.0, "indicator": false})},
		{{Name: "impute"}, {Name: "robust"}, args("clip", map[string]any{"low": -3.0})},
		{args("impute", map[string]any{"strategy": "most_frequent"}), {Name: "max_abs"}},
		{{Name: "impute"}, args("quantile", map[string]any{"output": "normal", "quantiles": 7.0})},
		{{Name: "impute"}, {Name: "power"}},
	}
	category := [][]Step{
		{{Name: "one_hot"}},
		{{Name: "impute"}, args("one_hot", map[string]any{"max_categories": 3.0})},
		{args("one_hot", map[string]any{"drop_first": true, "missing": "category"})},
		{args("impute", map[string]any{"value": "zz"}), {Name: "ordinal"}, {Name: "standardize"}},
		{{Name: "one_hot"}, {Name: "standardize"}},
	}
	var p Plan
	for _, c := range tab.Columns {
		steps := rapid.SampledFrom(numeric).Draw(t, "steps")
		switch c.Kind {
		case table.Category:
			steps = rapid.SampledFrom(category).Draw(t, "category steps")
		case table.Date:
			steps = rapid.SampledFrom([][]Step{DefaultSteps(table.Date), {{Name: "impute"}, {Name: "standardize"}}}).Draw(t, "date steps")
		}
		p.Columns = append(p.Columns, ColumnPlan{c.Name, c.Kind, steps})
	}
	return p
}

// fitDrawn fits, or skips the case when no column varies.
func fitDrawn(t *rapid.T, p Plan, tab *table.Table, rows []int) *Fitted {
	f, err := p.Fit(tab, rows)
	if err != nil {
		t.Skip(err)
	}
	return f
}

func jsonOf(t *rapid.T, f *Fitted) []byte {
	b, err := f.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFitLooksAtItsRowsOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(4, 24).Draw(t, "rows")
		tab := drawTable(t, n)
		p := drawPlan(t, tab)
		rows := rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 2, n, rapid.ID[int]).Draw(t, "training rows")
		f := fitDrawn(t, p, tab, rows)
		// Another table with the same training rows and anything else in the others.
		other := drawTable2(t, tab, rows)
		g, err := p.Fit(other, rows)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := jsonOf(t, f), jsonOf(t, g); !bytes.Equal(a, b) {
			t.Fatalf("other rows changed what was learned:\n%s\n%s", a, b)
		}
	})
}

// drawTable2 keeps the given rows of tab and draws all others anew.
func drawTable2(t *rapid.T, tab *table.Table, rows []int) *table.Table {
	out := &table.Table{RowNumbers: tab.RowNumbers}
	for _, c := range tab.Columns {
		d := drawColumn(t, c.Name, c.Kind, tab.Len())
		if c.Kind == table.Category {
			values := make([]string, tab.Len())
			for i := range values {
				values[i] = d.Text(i) + "!" // levels that no training row has
				if slices.Contains(rows, i) {
					values[i] = c.Text(i)
				}
			}
			d = texts(c.Name, values...)
		} else {
			for _, r := range rows {
				d.Numbers[r] = c.Numbers[r]
			}
		}
		out.Columns = append(out.Columns, d)
	}
	return out
}

func TestFittedReadsBackToTheSameBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := drawTable(t, rapid.IntRange(2, 24).Draw(t, "rows"))
		f := fitDrawn(t, drawPlan(t, tab), tab, nil)
		b := jsonOf(t, f)
		g, err := ParseFitted(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if again := jsonOf(t, g); !bytes.Equal(b, again) {
			t.Fatalf("wrote\n%s\nread back as\n%s", b, again)
		}
		x, err := f.Apply(tab, nil)
		if err != nil {
			t.Fatal(err)
		}
		y, err := g.Apply(tab, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range x.Data {
			if math.Float32bits(x.Data[i]) != math.Float32bits(y.Data[i]) {
				t.Fatalf("value %d is %x after reading back, %x before", i, y.Data[i], x.Data[i])
			}
		}
		if !slices.Equal(f.Names(), g.Names()) || !slices.Equal(f.Warnings(), g.Warnings()) {
			t.Fatalf("names or warnings changed: %q %q", g.Names(), g.Warnings())
		}
	})
}

func TestApplyFollowsTheRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 24).Draw(t, "rows")
		tab := drawTable(t, n)
		f := fitDrawn(t, drawPlan(t, tab), tab, nil)
		all, err := f.Apply(tab, nil)
		if err != nil {
			t.Fatal(err)
		}
		// More rows than a worker takes at a time, in any order, with repeats.
		rows := rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 600).Draw(t, "order")
		x, err := f.Apply(tab, rows)
		if err != nil {
			t.Fatal(err)
		}
		if x.Rows != len(rows) || x.Cols != f.Inputs() || len(f.Names()) != f.Inputs() {
			t.Fatalf("%d x %d, want %d x %d", x.Rows, x.Cols, len(rows), f.Inputs())
		}
		for i, r := range rows {
			if !slices.Equal(x.Row(i), all.Row(r)) {
				t.Fatalf("row %d is %v, want row %d: %v", i, x.Row(i), r, all.Row(r))
			}
		}
		// A table of the same rows is the same as the rows of the table.
		y, err := f.Apply(tab.Select(rows), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(x.Data, y.Data) {
			t.Fatal("rows of a table and a table of rows differ")
		}
	})
}

func TestOneHotRowsSumToAtMostOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 24).Draw(t, "rows")
		train := &table.Table{Columns: []*table.Column{drawColumn(t, "c", table.Category, n)}, RowNumbers: make([]int64, n)}
		args := map[string]any{
			"max_categories": float64(rapid.IntRange(1, 6).Draw(t, "most")),
			"drop_first":     rapid.Bool().Draw(t, "drop first"),
			"missing":        rapid.SampledFrom([]string{"zeros", "category"}).Draw(t, "missing"),
		}
		f := fitDrawn(t, Plan{Columns: []ColumnPlan{{"c", table.Category, []Step{{Name: "one_hot", Args: args}}}}}, train, nil)
		test := &table.Table{Columns: []*table.Column{texts("c", "a", "b", "c", "d", "e", "never seen", "")}, RowNumbers: make([]int64, 7)}
		x, err := f.Apply(test, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range x.Rows {
			sum := float32(0)
			for _, v := range x.Row(i) {
				if v != 0 && v != 1 {
					t.Fatalf("row %d holds %v", i, v)
				}
				sum += v
			}
			if sum > 1 {
				t.Fatalf("row %d sums to %v", i, sum)
			}
		}
	})
}

func TestScalerThenInverseIsIdentity(t *testing.T) {
	steps := []Step{{Name: "standardize"}, {Name: "min_max"}, {Name: "robust"}, {Name: "max_abs"}, {Name: "power"}, {Name: "quantile"}}
	for _, s := range steps {
		t.Run(s.Name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				// A grid keeps the values comparable: a power of a point far beyond
				// all others has no digits left for them.
				x := rapid.SliceOfN(rapid.Map(rapid.IntRange(-400, 400), func(i int) float64 { return float64(i) / 8 }), 2, 40).Draw(t, "x")
				fitted, err := fitScaler(s, x)
				if err != nil {
					t.Fatal(err)
				}
				y := slices.Clone(x)
				fitted.apply(y)
				fitted.inverse(y)
				for i := range x {
					if math.Abs(y[i]-x[i]) > 1e-9*max(1, math.Abs(x[i]), fitted.Scale) {
						t.Fatalf("%v comes back as %v (%+v)", x[i], y[i], fitted)
					}
				}
			})
		})
	}
}

func TestInverseReturnsTheTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := drawTable(t, rapid.IntRange(2, 24).Draw(t, "rows"))
		f := fitDrawn(t, Default(tab), tab, nil)
		x, err := f.Apply(tab, nil)
		if err != nil {
			t.Fatal(err)
		}
		back, err := f.Inverse(x)
		if err != nil {
			t.Fatal(err)
		}
		if err := back.Check(); err != nil {
			t.Fatal(err)
		}
		for _, c := range back.Columns {
			want := tab.Column(c.Name)
			spread := 0.0 // float32 keeps 24 bits of the largest distance
			if low, high, ok := bounds(want.Numbers); ok {
				spread = high - low
			}
			for i := range tab.Len() {
				switch {
				case want.Missing(i) != c.Missing(i):
					t.Fatalf("%s row %d: missing is %v, want %v", c.Name, i, c.Missing(i), want.Missing(i))
				case want.Missing(i):
				case c.Kind == table.Category && c.Text(i) != want.Text(i):
					t.Fatalf("%s row %d: %q, want %q", c.Name, i, c.Text(i), want.Text(i))
				case c.Kind != table.Category && math.Abs(c.Numbers[i]-want.Numbers[i]) > 1e-6*spread:
					t.Fatalf("%s row %d: %v, want %v", c.Name, i, c.Numbers[i], want.Numbers[i])
				}
			}
		}
	})
}

func TestSelectRankIsTheSortedValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Float64Range(-3, 3), 1, 300).Draw(t, "x")
		if rapid.Bool().Draw(t, "ties") {
			for i := range x {
				x[i] = math.Round(x[i])
			}
		}
		k := rapid.IntRange(0, len(x)-1).Draw(t, "rank")
		sorted := slices.Sorted(slices.Values(x))
		if got := selectRank(x, k); got != sorted[k] {
			t.Fatalf("rank %d is %v, want %v", k, got, sorted[k])
		}
		for i, v := range x {
			if i < k && v > x[k] || i > k && v < x[k] {
				t.Fatalf("index %d holds %v on the wrong side of %v", i, v, x[k])
			}
		}
	})
}

func TestMinimiseFindsTheBottom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.Float64Range(-50, 50).Draw(t, "minimum")
		got := minimise(func(x float64) float64 { return (x - at) * (x - at) * (1 + (x-at)*(x-at)) }, -2, 2)
		if math.Abs(got-at) > 1e-6*max(1, math.Abs(at)) {
			t.Fatalf("minimum at %v, want %v", got, at)
		}
	})
}

func FuzzParseFitted(f *testing.F) {
	tab := &table.Table{RowNumbers: []int64{0, 1, 2, 3}, Columns: []*table.Column{
		{Name: "n", Kind: table.Number, Numbers: []float64{1, 2.5, math.NaN(), -3}},
		texts("c", "a", "b", "", "a"),
		{Name: "b", Kind: table.Boolean, Numbers: []float64{0, 1, 1, math.NaN()}},
		{Name: "d", Kind: table.Date, Numbers: []float64{0, 1e9, 1.5e9, math.NaN()}},
	}}
	for _, s := range []string{"standardize", "power", "quantile", "min_max"} {
		p := Default(tab)
		p.Columns[0].Steps[1] = Step{Name: s}
		fitted, err := p.Fit(tab, nil)
		if err != nil {
			f.Fatal(err)
		}
		b, err := fitted.JSON()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"version":1,"columns":[{},{},{}],"warnings":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		fitted, err := ParseFitted(b)
		if err != nil {
			return
		}
		out, err := fitted.JSON()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if again, err := ParseFitted(out); err != nil || again.Inputs() != fitted.Inputs() {
			t.Fatalf("what was written cannot be read: %v\n%s", err, out)
		}
		x, err := fitted.Apply(tab, nil)
		if err != nil {
			return
		}
		if _, err := fitted.Inverse(x); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzStep(f *testing.F) {
	for _, s := range []string{`"standardize"`, `{"impute":"median"}`, `{"one_hot":{"max_categories":20,"drop_first":true}}`, `{"clip":{"low":1e400}}`, `[]`, `{"impute":{"value":{}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Step
		if s.UnmarshalJSON(b) != nil {
			return
		}
		out, err := s.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var again Step
		if err := again.UnmarshalJSON(out); err != nil || again.String() != s.String() {
			t.Fatalf("%s is written as %s and read as %s (%v)", b, out, again, err)
		}
		for _, kind := range allKinds() {
			_, _ = ColumnPlan{"x", kind, []Step{s}}.chain() // any error, no panic
		}
	})
}
