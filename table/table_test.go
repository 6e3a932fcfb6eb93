package table

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNumbersAreWrittenAsPeopleDo(t *testing.T) {
	for _, tt := range []struct {
		v    float64
		want string
	}{
		{0, "0"},
		{math.Copysign(0, -1), "-0"},
		{1, "1"},
		{-2.5, "-2.5"},
		{1e6, "1000000"},
		{1e15, "1000000000000000"},
		{1e16, "1e+16"},
		{1e-5, "0.00001"},
		{1e-6, "1e-06"},
		{0.1, "0.1"},
		{1.0 / 3, "0.3333333333333333"},
	} {
		if got := FormatNumber(tt.v); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.v, got, tt.want)
		}
	}
}

func TestSelectedRowsKeepTheirNumbersAndCodes(t *testing.T) {
	tab := mustCSV(t, "x,k,b\n1.5,b,yes\n2,a,no\n,c,\n4,a,yes\n", Options{})
	s := tab.Select([]int{3, 1, 3})
	if d := cmp.Diff("x number whole: 4 2 4\nk category: a a a\nb boolean: yes no yes\n", show(s)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]int64{3, 1, 3}, s.RowNumbers); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"a", "b", "c"}, s.Column("k").Levels); d != "" {
		t.Error("levels changed: " + d)
	}
	if got := s.Column("k").Distinct(); got != 1 {
		t.Errorf("%d distinct levels", got)
	}
	if d := cmp.Diff([]string{"k"}, tab.Without("x", "b").Names()); d != "" {
		t.Error(d)
	}
	if tab.Column("none") != nil || tab.Column("x").MissingCount() != 1 || tab.Column("x").Distinct() != 3 {
		t.Error("columns are not what they were")
	}
}

func TestTablesThatDoNotFitTogetherAreFound(t *testing.T) {
	for _, tt := range []struct {
		name string
		tab  Table
		want string
	}{
		{"length", Table{RowNumbers: []int64{0}, Columns: []*Column{{Name: "a", Kind: Number}}}, "0 values for 1 rows"},
		{"kind", Table{Columns: []*Column{{Name: "a"}}}, `kind ""`},
		{"twice", Table{Columns: []*Column{{Name: "a", Kind: Date}, {Name: "a", Kind: Date}}}, "twice"},
		{"code", Table{RowNumbers: []int64{0}, Columns: []*Column{{Name: "a", Kind: Category, Codes: []int32{0}}}}, "code 0 of 0 levels"},
	} {
		if err := tt.tab.Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}

// Quartiles are numpy.percentile's, the deviation is pandas' (n-1).
func TestProfileDescribesEachColumn(t *testing.T) {
	tab := mustCSV(t, "x,k,b,d,e\n1,b,yes,2024-01-01,\n2,a,no,,\n4,a,,,\n,,yes,,\n7,a,yes,,\n", Options{})
	got, err := json.MarshalIndent(tab.Profile(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "rows": 5,
 "columns": [
  {
   "name": "x",
   "kind": "number",
   "present": 4,
   "missing": 1,
   "distinct": 4,
   "integer": true,
   "min": 1,
   "q1": 1.75,
   "median": 3,
   "q3": 4.75,
   "max": 7,
   "mean": 3.5,
   "sd": 2.6457513110645907
  },
  {
   "name": "k",
   "kind": "category",
   "present": 4,
   "missing": 1,
   "distinct": 2,
   "top": [
    {
     "level": "a",
     "count": 3
    },
    {
     "level": "b",
     "count": 1
    }
   ]
  },
  {
   "name": "b",
   "kind": "boolean",
   "present": 4,
   "missing": 1,
   "distinct": 2,
   "top": [
    {
     "level": "yes",
     "count": 3
    },
    {
     "level": "no",
     "count": 1
    }
   ]
  },
  {
   "name": "d",
   "kind": "date",
   "present": 1,
   "missing": 4,
   "distinct": 1,
   "min": 1704067200,
   "q1": 1704067200,
   "median": 1704067200,
   "q3": 1704067200,
   "max": 1704067200,
   "mean": 1704067200
  },
  {
   "name": "e",
   "kind": "number",
   "present": 0,
   "missing": 5,
   "distinct": 0
  }
 ]
}`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
	huge := &Column{Name: "h", Kind: Number, Numbers: []float64{math.MaxFloat64, math.MaxFloat64}}
	if _, err := json.Marshal(huge.Profile()); err != nil {
		t.Errorf("sums that overflow cannot be written: %v", err)
	}
}

func TestSchemaTellsTheTypesForReadingAgain(t *testing.T) {
	tab := mustCSV(t, "x,k,b\n1,b,yes\n2,a,no\n", Options{})
	s := tab.Schema("k")
	got, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"columns":[{"name":"x","kind":"number","integer":true},{"name":"k","kind":"category","levels":["a","b"]},{"name":"b","kind":"boolean","levels":["no","yes"]}],"target":"k"}`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
	again := mustCSV(t, "b,x,k\n1,5,7\n", Options{Types: s.Types()})
	if d := cmp.Diff("b boolean: true\nx number whole: 5\nk category: 7\n", show(again)); d != "" {
		t.Error(d)
	}
}
