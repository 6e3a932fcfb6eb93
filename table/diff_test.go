package table

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A testRow is a row of a table that a test makes by hand.
type testRow struct {
	number int64
	part   string
	x, y   float64
	colour string // "" = missing
	label  string
}

// partsOf makes the parts train and test of rows.
func partsOf(rows []testRow) []Part {
	var parts []Part
	for _, name := range []string{"train", "test"} {
		t := &Table{}
		var x, y []float64
		var colours, labels []string
		for _, r := range rows {
			if r.part == name {
				t.RowNumbers = append(t.RowNumbers, r.number)
				x, y = append(x, r.x), append(y, r.y)
				colours, labels = append(colours, r.colour), append(labels, r.label)
			}
		}
		t.Columns = []*Column{{Name: "x", Kind: Number, Numbers: x}, {Name: "y", Kind: Number, Numbers: y}, categoryOf("colour", colours), categoryOf("label", labels)}
		parts = append(parts, Part{name, t})
	}
	return parts
}

func categoryOf(name string, texts []string) *Column {
	c := &Column{Name: name, Kind: Category}
	for _, s := range texts {
		if s != "" && !slices.Contains(c.Levels, s) {
			c.Levels = append(c.Levels, s)
		}
	}
	slices.Sort(c.Levels)
	for _, s := range texts {
		c.Codes = append(c.Codes, int32(slices.Index(c.Levels, s)))
	}
	return c
}

func ten() []testRow {
	var rows []testRow
	for i := range 10 {
		r := testRow{int64(i), "train", float64(i), float64(i) / 8, []string{"red", "blue", ""}[i%3], []string{"a", "b"}[i%2]}
		if i%4 == 3 {
			r.part = "test"
		}
		rows = append(rows, r)
	}
	return rows
}

// renumber counts rows anew, as reading the changed file would.
func renumber(rows []testRow) []testRow {
	for i := range rows {
		rows[i].number = int64(i)
	}
	return rows
}

func compare(t *testing.T, before, after []Part, o DiffOptions) *Diff {
	t.Helper()
	d, err := Compare(t.Context(), before, after, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCompareNamesWhatBecameOfRows(t *testing.T) {
	tests := map[string]struct {
		edit func([]testRow) []testRow
		want Diff // the counts and the rows
	}{
		"nothing": {func(r []testRow) []testRow { return r }, Diff{Unchanged: 10}},
		"a row inserted in front": {
			func(r []testRow) []testRow {
				return renumber(slices.Insert(r, 0, testRow{0, "train", 77, 7, "green", "a"}))
			},
			Diff{Added: 1, Renumbered: 10, Unchanged: 10, Rows: []RowChange{{
				RowAdded, -1, 0, "", "train",
				[]CellChange{{"x", "", "77"}, {"y", "", "7"}, {"colour", "", "green"}, {"label", "", "a"}},
			}}},
		},
		"a row removed in the middle": {
			func(r []testRow) []testRow { return renumber(slices.Delete(r, 4, 5)) },
			Diff{Removed: 1, Renumbered: 5, Unchanged: 9, Rows: []RowChange{{
				RowRemoved, 4, -1, "train", "",
				[]CellChange{{"x", "4", ""}, {"y", "0.5", ""}, {"colour", "blue", ""}, {"label", "a", ""}},
			}}},
		},
		"a value": {
			func(r []testRow) []testRow { r[5].colour = "green"; return r },
			Diff{Changed: 1, Unchanged: 9, Columns: []ColumnCount{{"colour", 1}}, Rows: []RowChange{{RowChanged, 5, 5, "train", "train", []CellChange{{"colour", "", "green"}}}}},
		},
		"a value becomes missing": {
			func(r []testRow) []testRow { r[1].y = math.NaN(); return r },
			Diff{Changed: 1, Unchanged: 9, Columns: []ColumnCount{{"y", 1}}, Rows: []RowChange{{RowChanged, 1, 1, "train", "train", []CellChange{{"y", "0.125", ""}}}}},
		},
		"a label": {
			func(r []testRow) []testRow { r[6].label = "b"; return r },
			Diff{Relabelled: 1, Unchanged: 9, Columns: []ColumnCount{{"label", 1}}, Rows: []RowChange{{RowRelabelled, 6, 6, "train", "train", []CellChange{{"label", "a", "b"}}}}},
		},
		"a value and the label, behind a row that went": {
			func(r []testRow) []testRow {
				r[6].label, r[6].y = "b", 9
				return renumber(slices.Delete(r, 2, 3))
			},
			Diff{Removed: 1, Changed: 1, Relabelled: 1, Renumbered: 7, Unchanged: 8, Columns: []ColumnCount{{"y", 1}, {"label", 1}}, Rows: []RowChange{
				{RowRemoved, 2, -1, "train", "", []CellChange{{"x", "2", ""}, {"y", "0.25", ""}, {"colour", "", ""}, {"label", "a", ""}}},
				{RowChanged, 6, 5, "train", "train", []CellChange{{"y", "0.75", "9"}}},
				{RowRelabelled, 6, 5, "train", "train", []CellChange{{"label", "a", "b"}}},
			}},
		},
		"another part": {
			func(r []testRow) []testRow { r[0].part = "test"; return r },
			Diff{Moved: 1, Unchanged: 9, Rows: []RowChange{{RowMoved, 0, 0, "train", "test", []CellChange{}}}},
		},
		"sorted otherwise": {
			func(r []testRow) []testRow { slices.Reverse(r); return renumber(r) },
			Diff{Renumbered: 10, Unchanged: 10},
		},
		"one of two equal rows": {
			func(r []testRow) []testRow { return renumber(slices.Delete(append(r, r[9], r[9]), 9, 10)) },
			Diff{Added: 1, Unchanged: 10, Rows: []RowChange{{
				RowAdded, -1, 10, "", "train",
				[]CellChange{{"x", "", "9"}, {"y", "", "1.125"}, {"colour", "", "red"}, {"label", "", "b"}},
			}}},
		},
		"a unit, in a column of all rows": {
			func(r []testRow) []testRow {
				for i := range r {
					r[i].x = 1000 + r[i].x
				}
				return r
			},
			Diff{Changed: 10, Columns: []ColumnCount{{"x", 10}}},
		},
		"every value of all rows, and one more": {
			func(r []testRow) []testRow {
				for i := range r {
					r[i].x, r[i].y, r[i].colour = 1000+r[i].x, 1000+r[i].y, "white"
				}
				return append(r, testRow{10, "test", 1, 1, "white", "a"})
			},
			Diff{Added: 1, Changed: 10, Columns: []ColumnCount{{"x", 10}, {"y", 10}, {"colour", 10}}},
		},
		"every value of all rows": {
			func(r []testRow) []testRow {
				for i := range r {
					r[i].x, r[i].y, r[i].colour = 1000+r[i].x, 1000+r[i].y, "white"
				}
				return r
			},
			Diff{Changed: 10, Columns: []ColumnCount{{"x", 10}, {"y", 10}, {"colour", 10}}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := compare(t, partsOf(ten()), partsOf(test.edit(ten())), DiffOptions{Target: "label", Limit: 3})
			want := test.want
			want.Before, want.After = 10, 10+want.Added-want.Removed
			if want.Rows == nil && want.Changed == 10 {
				got.Rows = nil // their number says enough
			}
			want.ColumnsAdded, want.ColumnsRemoved, want.ColumnsChanged = []string{}, []string{}, []ColumnChange{}
			if want.Columns == nil {
				want.Columns = []ColumnCount{}
			}
			if want.Rows == nil && want.Changed == 0 {
				want.Rows = []RowChange{}
			}
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if same := name == "nothing"; got.Same() != same {
				t.Errorf("Same is %v", got.Same())
			}
		})
	}
}

func TestCompareNamesWhatBecameOfColumns(t *testing.T) {
	before, after := partsOf(ten()), partsOf(ten())
	for i := range after {
		c := after[i].Table.Columns
		texts := make([]string, c[0].Len())
		for k := range texts {
			texts[k] = c[0].Text(k)
		}
		more := &Column{Name: "z", Kind: Number, Numbers: make([]float64, c[0].Len())}
		after[i].Table.Columns = []*Column{c[3], categoryOf("x", texts), c[1], more}
	}
	d := compare(t, before, after, DiffOptions{Target: "label"})
	want := &Diff{
		Before: 10, After: 10, Unchanged: 10, ColumnsAdded: []string{"z"}, ColumnsRemoved: []string{"colour"},
		ColumnsChanged: []ColumnChange{{"x", Number, Category}}, Columns: []ColumnCount{}, Rows: []RowChange{},
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
	// A table without rows, and without columns in common.
	d = compare(t, before, []Part{{"train", &Table{Columns: []*Column{{Name: "q", Kind: Number}}}}}, DiffOptions{})
	if d.Removed != 10 || d.After != 0 || !slices.Equal(d.ColumnsAdded, []string{"q"}) {
		t.Errorf("nothing left: %+v", d)
	}
	if d = compare(t, nil, nil, DiffOptions{}); !d.Same() {
		t.Errorf("nothing and nothing: %+v", d)
	}
}

func TestCompareEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Compare(ctx, partsOf(ten()), partsOf(ten()), DiffOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Whatever is done to a table whose rows are all different, Compare finds that
// and nothing else.
func TestCompareFindsExactlyTheEdits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "rows")
		next := 0.0
		value := func() float64 { next++; return next * 1.5 }
		fresh := func() testRow {
			return testRow{
				part: rapid.SampledFrom([]string{"train", "test"}).Draw(t, "part"), x: value(), y: value(),
				colour: fmt.Sprint("colour ", value()), label: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "label"),
			}
		}
		var before, after []testRow
		for i := range n {
			r := fresh()
			r.number = int64(i)
			before = append(before, r)
		}
		type seen struct {
			Kind          string
			Before, After int64
		}
		want := map[seen]bool{}
		for _, r := range before {
			for rapid.IntRange(0, 5).Draw(t, "insert") == 0 {
				want[seen{RowAdded, -1, int64(len(after))}] = true
				after = append(after, fresh())
			}
			at := int64(len(after))
			if rapid.IntRange(0, 5).Draw(t, "remove") == 0 {
				want[seen{RowRemoved, r.number, -1}] = true
				continue
			}
			number := r.number
			if rapid.IntRange(0, 3).Draw(t, "change") == 0 {
				switch rapid.IntRange(0, 2).Draw(t, "column") {
				case 0:
					r.x = value()
				case 1:
					r.y = value()
				case 2:
					r.colour = ""
				}
				want[seen{RowChanged, number, at}] = true
			}
			if rapid.IntRange(0, 4).Draw(t, "relabel") == 0 {
				r.label = map[string]string{"a": "b", "b": "a"}[r.label]
				want[seen{RowRelabelled, number, at}] = true
			}
			if rapid.IntRange(0, 4).Draw(t, "move") == 0 {
				r.part = map[string]string{"train": "test", "test": "train"}[r.part]
				want[seen{RowMoved, number, at}] = true
			}
			after = append(after, r)
		}
		if len(after) == len(before) {
			// With the very same numbers, a row that went and one that came under
			// its number are one that changed.
			want[seen{RowAdded, -1, int64(len(after))}] = true
			after = append(after, fresh())
		}
		// A row that stays: without one, numbers are all that there is to go by.
		anchor := fresh()
		anchor.number = int64(n)
		before, after = append(before, anchor), append(after, anchor)
		after = renumber(after)
		d, err := Compare(context.Background(), partsOf(before), partsOf(after), DiffOptions{Target: "label", Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		got := map[seen]bool{}
		for _, r := range d.Rows {
			got[seen{r.Kind, r.Before, r.After}] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		if d.Added+d.Removed+d.Changed+d.Relabelled+d.Moved != len(want) || d.Before != len(before) || d.After != len(after) {
			t.Fatalf("counts: %+v", d)
		}
		back, err := Compare(context.Background(), partsOf(after), partsOf(before), DiffOptions{Target: "label"})
		if err != nil || back.Added != d.Removed || back.Removed != d.Added || back.Changed != d.Changed || back.Moved != d.Moved {
			t.Fatalf("the other way round: %+v, %v", back, err)
		}
	})
}

// SOLERA_DIFF_ROWS=1000000 shows how long a large data set takes.
func BenchmarkCompare(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("SOLERA_DIFF_ROWS"))
	if err != nil {
		n = 20_000
	}
	make1 := func(shift int) []Part {
		t := &Table{}
		for j := range 20 {
			c := &Column{Name: fmt.Sprint("c", j), Kind: Number, Numbers: make([]float64, n)}
			for i := range c.Numbers {
				c.Numbers[i] = float64((i + shift) * (j + 7) % 1_000_003)
			}
			t.Columns = append(t.Columns, c)
		}
		for i := range n {
			t.RowNumbers = append(t.RowNumbers, int64(i))
		}
		return []Part{{"train", t}}
	}
	before, after := make1(0), make1(1) // one row went in front, one came at the end
	for b.Loop() {
		d, err := Compare(b.Context(), before, after, DiffOptions{Limit: 10})
		if err != nil || d.Added != 1 || d.Removed != 1 {
			b.Fatalf("%+v %v", d, err)
		}
	}
}
