package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
)

func TestInitOfWineIsTheDocumentedFile(t *testing.T) {
	src, err := Init(Start{Source: "sample:wine", Title: "Wine recognition", Origin: "UCI\nCC BY 4.0", Target: "class", Table: tiny("class")})
	if err != nil {
		t.Fatal(err)
	}
	c, want := parse(t, string(src)), parse(t, wineYAML)
	for i := range want.Experiments {
		if diff := cmp.Diff(want.Effective(i), c.Effective(i)); diff != "" {
			t.Errorf("experiment %d: %s", i, diff)
		}
	}
	golden(t, "init_wine.yaml", src)
}

// tiny returns a table of a feature x and a target with two classes of five rows.
func tiny(target string) *table.Table {
	x := &table.Column{Name: "x", Kind: table.Number}
	y := &table.Column{Name: target, Kind: table.Category, Levels: []string{"a", "b"}}
	tab := &table.Table{Columns: []*table.Column{x, y}}
	for i := range 10 {
		x.Numbers = append(x.Numbers, float64(i)/4)
		y.Codes = append(y.Codes, int32(i%2))
		tab.RowNumbers = append(tab.RowNumbers, int64(i))
	}
	return tab
}

func TestInitOfATableWritesTheInferredTypes(t *testing.T) {
	var csv strings.Builder
	csv.WriteString("customer_id,email,age,country,joined,active,empty,same,: odd #name,churn\n")
	for i := range 60 {
		age := fmt.Sprint(20 + i%40)
		if i%7 == 0 {
			age = ""
		}
		fmt.Fprintf(&csv, "%d,u%d@example.org,%s,%s,2024-01-%02d,%v,,1,%d,%s\n", 1000+i, i, age, []string{"ES", "FR", "no"}[i%3], i%28+1, i%2 == 0, i%5, []string{"stays", "leaves"}[i%5/4])
	}
	tab, err := table.ReadCSV(context.Background(), "customers.csv", strings.NewReader(csv.String()), table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	src, err := Init(Start{Source: "data/customers.csv", Target: "churn", Table: tab})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "init_table.yaml", src)
	c := parse(t, string(src))
	for _, col := range tab.Columns {
		if got := c.Data.Types[col.Name]; got != string(col.Kind) {
			t.Errorf("column %q is written as %q, want %s", col.Name, got, col.Kind)
		}
	}
	if got, want := strings.Join(c.Data.Ignore, " "), "customer_id email"; got != want {
		t.Errorf("ignored %s, want %s", got, want)
	}
}

func TestInitSaysWhichValueIsNoNumber(t *testing.T) {
	tab := tiny("y")
	odd := &table.Column{Name: "odd", Kind: table.Category}
	for i := range 10 {
		odd.Levels, odd.Codes = append(odd.Levels, fmt.Sprint(i)), append(odd.Codes, int32(i))
	}
	odd.Levels[9] = "n.a. yet"
	tab.Columns = append(tab.Columns, odd)
	src, err := Init(Start{Source: "d.csv", Target: "y", Ignore: []string{"a b: c", "z"}, Table: tab})
	if err != nil {
		t.Fatal(err)
	}
	if want := `numbers but for "n.a. yet": correct it, or list it in missing_values`; !strings.Contains(string(src), want) {
		t.Errorf("no %s in\n%s", want, src)
	}
	c := parse(t, string(src))
	if got, want := fmt.Sprintf("%q", c.Data.Ignore), `["a b: c" "z"]`; got != want {
		t.Errorf("ignored %s, want %s", got, want)
	}
}

func TestInitRefusesATargetThatCannotBePredicted(t *testing.T) {
	constant := tiny("y")
	constant.Columns[1].Levels, constant.Columns[1].Codes = []string{"a"}, make([]int32, 10)
	alone := tiny("y")
	alone.Columns = alone.Columns[1:]
	many := &table.Column{Name: "y", Kind: table.Number}
	for i := range 1001 {
		many.Numbers = append(many.Numbers, float64(i))
	}
	for name, tt := range map[string]struct {
		tab    *table.Table
		target string
		want   string
	}{
		"no such column":      {tiny("class"), "clas", "did you mean class?"},
		"nothing like it":     {tiny("class"), "zzz", "the columns are: x, class"},
		"constant":            {constant, "y", "the target is constant"},
		"no feature":          {alone, "y", "no column besides the target"},
		"a continuous target": {&table.Table{Columns: []*table.Column{many, many}}, "y", "1001 different values"},
	} {
		_, err := Init(Start{Source: "a.csv", Target: tt.target, Table: tt.tab})
		var fault *solera.InputError
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// Whatever a column or a file is called, init writes a file that reads back.
func TestInitReadsBackWithAnyNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := tiny(rapid.StringN(1, 20, -1).Filter(func(s string) bool { return s != "x" }).Draw(t, "target"))
		tab.Columns[1].Levels = []string{rapid.String().Draw(t, "level"), "b"}
		source := rapid.StringMatching(`[a-z0-9 _.:'#é-]{1,20}\.csv`).Draw(t, "source")
		src, err := Init(Start{Source: source, Target: tab.Columns[1].Name, Table: tab})
		if err != nil {
			t.Fatal(err)
		}
		c, err := Parse("solera.yaml", src)
		if err != nil {
			t.Fatalf("%v\n%s", err, src)
		}
		if c.Data.Target != tab.Columns[1].Name || c.Data.Source != source {
			t.Fatalf("target %q, source %q read back as %q, %q", tab.Columns[1].Name, source, c.Data.Target, c.Data.Source)
		}
	})
}

func TestInitOfAWideTableStaysReadable(t *testing.T) {
	tab := tiny("y")
	for i := range 15_000 {
		tab.Columns = append(tab.Columns, &table.Column{Name: fmt.Sprintf("gene%d", i), Kind: table.Number, Numbers: tab.Columns[0].Numbers})
	}
	src, err := Init(Start{Source: "genes.csv", Target: "y", Table: tab})
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(src), "\n"); n > 50 {
		t.Errorf("%d lines", n)
	}
	parse(t, string(src))
}

func TestInitOfALongTableLooksAtAPart(t *testing.T) {
	n := 3 * manyRows
	id := &table.Column{Name: "row_id", Kind: table.Number, Integer: true, Numbers: make([]float64, n)}
	rare := &table.Column{Name: "rare", Kind: table.Number, Numbers: make([]float64, n)}
	y := &table.Column{Name: "y", Kind: table.Category, Levels: []string{"a", "b"}, Codes: make([]int32, n)}
	tab := &table.Table{Columns: []*table.Column{id, rare, y}, RowNumbers: make([]int64, n)}
	for i := range n {
		id.Numbers[i], y.Codes[i] = float64(i), int32(i%2)
	}
	rare.Numbers[1] = 7 // in a row that is not looked at
	src, err := Init(Start{Source: "long.csv", Target: "y", Table: tab})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ignore: [row_id]", "# 0 to 7\n", "# 0 to 599999\n"} {
		if !strings.Contains(string(src), want) {
			t.Errorf("%q is not in\n%s", want, src)
		}
	}
	if strings.Contains(string(src), "constant") {
		t.Error("a column with one other value is called constant")
	}
}
