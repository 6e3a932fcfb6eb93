package transform

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
)

// numbers makes a number column.
func numbers(name string, values ...float64) *table.Column {
	return &table.Column{Name: name, Kind: table.Number, Numbers: values}
}

// of makes a table whose rows are numbered from 10.
func of(columns ...*table.Column) *table.Table {
	t := &table.Table{Columns: columns}
	for i := range columns[0].Len() {
		t.RowNumbers = append(t.RowNumbers, int64(10+i))
	}
	return t
}

var nan = math.NaN()

// refused checks that err is an InputError whose text holds every part of want.
func refused(t *testing.T, err error, want ...string) {
	t.Helper()
	var input *solera.InputError
	if !errors.As(err, &input) {
		t.Errorf("got %v, want an input error with %q", err, want)
		return
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want %q in it", err, part)
		}
	}
}

func TestStepsReadAsWritten(t *testing.T) {
	tests := []struct {
		in   any
		want string
	}{
		{"standardize", `"standardize"`},
		{map[string]any{"standardize": nil}, `"standardize"`},
		{map[string]any{"impute": "median"}, `{"impute":"median"}`},
		{map[string]any{"impute": map[string]any{"strategy": "median"}}, `{"impute":"median"}`},
		{map[any]any{"one_hot": map[any]any{"drop_first": true, "max_categories": uint64(20)}}, `{"one_hot":{"drop_first":true,"max_categories":20}}`},
		{map[string]any{"one_hot": int64(20)}, `{"one_hot":20}`},
		{map[string]any{"impute": map[string]any{"strategy": "constant", "value": 0}}, `{"impute":{"strategy":"constant","value":0}}`},
		{map[string]any{"clip": map[string]any{"low": -1.5, "high": 3}}, `{"clip":{"high":3,"low":-1.5}}`},
		{map[string]any{"quantile": "normal"}, `{"quantile":"normal"}`},
	}
	for _, tt := range tests {
		s, err := ParseStep(tt.in)
		if err != nil {
			t.Errorf("%v: %v", tt.in, err)
			continue
		}
		got, err := json.Marshal(s)
		if err != nil || string(got) != tt.want {
			t.Errorf("%v is written as %s (%v), want %s", tt.in, got, err, tt.want)
		}
		var again Step
		if err := json.Unmarshal(got, &again); err != nil || again.String() != s.String() {
			t.Errorf("%s reads back as %s (%v)", got, again, err)
		}
	}
}

func TestWrongStepsAreRefusedWithTheNearestName(t *testing.T) {
	tests := []struct {
		name string
		in   any
		want string
	}{
		{"misspelt step", "standardise", "did you mean standardize?"},
		{"unknown step", "whiten_everything", "known are impute, standardize"},
		{"misspelt step in a map", map[string]any{"onehot": 3}, "did you mean one_hot?"},
		{"misspelt strategy", map[string]any{"impute": "medain"}, "did you mean median?"},
		{"misspelt argument", map[string]any{"one_hot": map[string]any{"max_category": 3}}, "it takes max_categories"},
		{"argument of a step that has none", map[string]any{"robust": 3}, "it takes no arguments"},
		{"constant without a value", map[string]any{"impute": "constant"}, "needs a value"},
		{"value without constant", map[string]any{"impute": map[string]any{"strategy": "mean", "value": 1}}, "not mean"},
		{"zero categories", map[string]any{"one_hot": 0}, "whole number from 1"},
		{"half a category", map[string]any{"one_hot": 2.5}, "whole number from 1"},
		{"flag as text", map[string]any{"one_hot": map[string]any{"drop_first": "yes"}}, "want true or false"},
		{"clip of nothing", "clip", "needs low, high or both"},
		{"clip upside down", map[string]any{"clip": map[string]any{"low": 2, "high": 1}}, "not below"},
		{"clip at NaN", map[string]any{"clip": map[string]any{"low": nan}}, "want a number"},
		{"two keys", map[string]any{"impute": "mean", "robust": nil}, "a map of one key"},
		{"a number", 7, "a step is a name"},
		{"nothing", nil, "a step is a name"},
		{"a list in a list", []any{"robust"}, "a step is a name"},
		{"a map as value", map[string]any{"impute": map[string]any{"value": map[string]any{}}}, "want text or a number"},
		{"a very long name", strings.Repeat("x", 100_000), "unknown step"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseStep(tt.in)
			refused(t, err, tt.want)
		})
	}
}

func TestChainsThatCannotWorkAreRefused(t *testing.T) {
	impute := Step{Name: "impute"}
	text := Step{Name: "impute", Args: map[string]any{"value": "none"}}
	mean := Step{Name: "impute", Args: map[string]any{"strategy": "mean"}}
	tests := []struct {
		name  string
		kind  table.Kind
		steps []Step
		want  string
	}{
		{"one_hot of numbers", table.Number, []Step{{Name: "one_hot"}}, "give the column the type category"},
		{"date_parts of a category", table.Category, []Step{{Name: "date_parts"}}, "works on a date"},
		{"scaled categories", table.Category, []Step{{Name: "standardize"}, {Name: "one_hot"}}, "put one_hot or ordinal before it"},
		{"categories as they are", table.Category, []Step{impute}, "add one_hot or ordinal"},
		{"two encoders", table.Category, []Step{{Name: "one_hot"}, {Name: "ordinal"}}, "keep one of the two"},
		{"two imputes of a category", table.Category, []Step{impute, impute, {Name: "ordinal"}}, "keep one of them"},
		{"mean of categories", table.Category, []Step{mean, {Name: "ordinal"}}, "categories have no mean"},
		{"text for a missing number", table.Number, []Step{text}, "is not a number"},
		{"a kind that does not exist", "colour", nil, "unknown kind"},
		{"a step that does not exist", table.Number, []Step{{Name: "scale"}}, "unknown step"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			refused(t, Plan{Columns: []ColumnPlan{{"x", tt.kind, tt.steps}}}.Check(), tt.want, `column "x"`)
		})
	}
	refused(t, Plan{}.Check(), "no columns")
	refused(t, Plan{Columns: []ColumnPlan{{"x", table.Number, nil}, {"x", table.Number, nil}}}.Check(), "planned twice")
	_, err := NewPlan(of(numbers("width", 1)), Rules{Columns: map[string][]Step{"widht": nil}})
	refused(t, err, "did you mean width?")
	_, err = NewPlan(of(numbers("width", 1), numbers("y", 1)), Rules{Columns: map[string][]Step{"y": nil}}, "y")
	refused(t, err, `column "y"`)
}

func TestPlanFollowsRules(t *testing.T) {
	tab := of(numbers("a", 1, 2), numbers("b", 1, 2), texts("c", "x", "y"), numbers("y", 0, 1))
	own := []Step{{Name: "power"}}
	p, err := NewPlan(tab, Rules{Number: []Step{{Name: "robust"}}, Columns: map[string][]Step{"b": own}}, "y")
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(p)
	want := `{"columns":[{"name":"a","kind":"number","steps":["robust"]},{"name":"b","kind":"number","steps":["power"]},` +
		`{"name":"c","kind":"category","steps":[{"impute":"most_frequent"},"one_hot"]}]}`
	if string(got) != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	var back Plan
	if err := json.Unmarshal(got, &back); err != nil || back.Check() != nil {
		t.Errorf("the plan does not read back: %v", err)
	}
}

func TestColumnsWithoutInformationAreDroppedWithAWarning(t *testing.T) {
	tab := of(numbers("good", 1, 2, 3), numbers("same", 5, 5, 5), numbers("none", nan, nan, nan), numbers("gaps", 4, nan, 4),
		texts("one", "a", "a", "a"), texts("empty", "", "", ""))
	f, got := features(t, tab, Default(tab))
	if want := []string{"good", "gaps_missing"}; !slices.Equal(f.Names(), want) {
		t.Errorf("features %q, want %q", f.Names(), want)
	}
	if want := []float64{0, 1, 0}; !slices.Equal(got["gaps_missing"], want) {
		t.Errorf("gaps_missing = %v, want %v", got["gaps_missing"], want)
	}
	want := []string{
		`column "same": the same in all 3 training rows; dropped`,
		`column "none": no value in the 3 training rows; dropped`,
		`column "gaps": the same in all 2 training rows that have it; only gaps_missing is kept`,
		`column "one": the same in all 3 training rows; dropped`,
		`column "empty": no value in the 3 training rows; dropped`,
	}
	if !slices.Equal(f.Warnings(), want) {
		t.Errorf("warnings\n%s\nwant\n%s", strings.Join(f.Warnings(), "\n"), strings.Join(want, "\n"))
	}
	var kept []string
	for _, c := range f.Features() {
		kept = append(kept, fmt.Sprintf("%s %d %d %s", c.Name, c.First, c.Count, c.Dropped))
	}
	if want := []string{"good 0 1 ", "same 1 0 constant", "none 1 0 all missing", "gaps 1 1 constant", "one 2 0 constant", "empty 2 0 all missing"}; !slices.Equal(kept, want) {
		t.Errorf("columns %q, want %q", kept, want)
	}
	_, err := Default(tab, "good", "gaps").Fit(tab, nil)
	refused(t, err, "none of the 4 columns varies")
}

func TestMissingValuesAreImputedAtPrediction(t *testing.T) {
	train := of(numbers("n", 1, 2, 3), texts("c", "a", "b", "b"))
	f, _ := features(t, train, Default(train))
	if want := []string{"n", "c=a", "c=b"}; !slices.Equal(f.Names(), want) {
		t.Fatalf("features %q, want %q", f.Names(), want)
	}
	x, err := f.Apply(of(numbers("n", nan), texts("c", "")), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []float32{0, 0, 1}; !slices.Equal(x.Data, want) {
		t.Errorf("a missing row gives %v, want the median and the commonest: %v", x.Data, want)
	}
}

func TestIndicatorCanBeTurnedOff(t *testing.T) {
	tab := of(numbers("n", 1, nan, 3))
	f, err := Plan{Columns: []ColumnPlan{{"n", table.Number, []Step{{Name: "impute", Args: map[string]any{"indicator": false}}}}}}.Fit(tab, nil)
	if err != nil || f.Inputs() != 1 {
		t.Errorf("%d features (%v), want 1", f.Inputs(), err)
	}
}

func TestRareLevelsShareOneFeature(t *testing.T) {
	tab := of(texts("c", "a", "b", "b", "c", "c", "d", "e", ""))
	steps := []Step{{Name: "one_hot", Args: map[string]any{"max_categories": 3.0}}}
	f, got := features(t, tab, Plan{Columns: []ColumnPlan{{"c", table.Category, steps}}})
	if want := []string{"c=b", "c=c", "c=other"}; !slices.Equal(f.Names(), want) {
		t.Fatalf("features %q, want %q", f.Names(), want)
	}
	if want := []float64{1, 0, 0, 0, 0, 1, 1, 0}; !slices.Equal(got["c=other"], want) {
		t.Errorf("c=other = %v, want %v", got["c=other"], want)
	}
	x, err := f.Apply(of(texts("c", "never seen")), nil)
	if err != nil || !slices.Equal(x.Data, []float32{0, 0, 1}) {
		t.Errorf("an unseen level gives %v (%v), want other", x.Data, err)
	}
}

func TestManyLevelsMakeFiftyFeatures(t *testing.T) {
	var levels []string
	for i := range 300 {
		levels = append(levels, fmt.Sprintf("city %03d", i/2))
	}
	f, _ := features(t, of(texts("c", levels...)), Default(of(texts("c", levels...))))
	if f.Inputs() != DefaultCategories || f.Names()[49] != "c=other" {
		t.Errorf("%d features, last %q, want %d and other", f.Inputs(), f.Names()[f.Inputs()-1], DefaultCategories)
	}
}

func TestFeatureNamesAreUnique(t *testing.T) {
	tab := of(numbers("a_missing", 1, 2, 3), numbers("a", 1, nan, 2), texts("c", "other", "x", "y"), numbers("c=other", 1, 2, 3))
	p := Default(tab)
	p.Columns[2].Steps = []Step{{Name: "one_hot", Args: map[string]any{"max_categories": 2.0}}}
	f, _ := features(t, tab, p)
	if want := []string{"a_missing", "a", "a_missing_2", "c=other", "c=other_2", "c=other_3"}; !slices.Equal(f.Names(), want) {
		t.Errorf("features %q, want %q", f.Names(), want)
	}
}

func TestDatesBecomeTheirParts(t *testing.T) {
	const day = 86400
	// Thursday 1970-01-01 00:00, Sunday 1970-02-01 12:00, Monday 1968-01-01 00:00 UTC.
	tab := of(&table.Column{Name: "d", Kind: table.Date, Numbers: []float64{0, 31*day + day/2, -731 * day}})
	f, got := features(t, tab, Plan{Columns: []ColumnPlan{{"d", table.Date, []Step{{Name: "date_parts"}}}}})
	want := map[string][]float64{
		"d_elapsed": {731, 762.5, 0},
		"d_year":    {1970, 1970, 1968},
		"d_month":   {1, 2, 1},
		"d_weekday": {3, 6, 0},
		"d_hour":    {0, 12, 0},
	}
	if len(got) != len(want) {
		t.Errorf("features %q: the day of the month, always 1, is no feature", f.Names())
	}
	for name, values := range want {
		if !slices.Equal(got[name], values) {
			t.Errorf("%s = %v, want %v", name, got[name], values)
		}
	}
	_, err := f.Apply(of(&table.Column{Name: "d", Kind: table.Date, Numbers: []float64{1e300}}), nil)
	refused(t, err, `column "d": row 10`, "no date")
}

func TestFitRefusesValuesItCannotUse(t *testing.T) {
	plain := func(kind table.Kind, steps ...Step) Plan {
		return Plan{Columns: []ColumnPlan{{"x", kind, steps}}}
	}
	tests := []struct {
		name string
		plan Plan
		tab  *table.Table
		rows []int
		want []string
	}{
		{"an infinite value", plain(table.Number, Step{Name: "standardize"}), of(numbers("x", 1, math.Inf(-1))), nil, []string{`column "x"`, "row 11", "-Inf"}},
		{"a missing value that nothing imputes", plain(table.Number, Step{Name: "standardize"}), of(numbers("x", 1, 2, nan)), nil, []string{"row 12", "add the step {impute: median}"}},
		{"a missing date that nothing imputes", plain(table.Date, Step{Name: "date_parts"}), of(&table.Column{Name: "x", Kind: table.Date, Numbers: []float64{1, nan}}), nil, []string{"row 11"}},
		{"statistics that overflow", plain(table.Number, Step{Name: "min_max"}), of(numbers("x", -1.7e308, 1.7e308)), nil, []string{"overflow"}},
		{"no date", plain(table.Date, Step{Name: "date_parts"}), of(&table.Column{Name: "x", Kind: table.Date, Numbers: []float64{1, 1e17}}), nil, []string{"row 11", "is no date"}},
		{"an absent column", plain(table.Number), of(numbers("xx", 1, 2)), nil, []string{"did you mean xx?"}},
		{"text where numbers were planned", plain(table.Number), of(texts("x", "1", "two", "3")), nil, []string{"row 11", `"two"`, "kind category"}},
		{"no rows", plain(table.Number), of(numbers("x", 1, 2)), []int{}, []string{"no training rows"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.plan.Fit(tt.tab, tt.rows)
			refused(t, err, tt.want...)
		})
	}
	if _, err := plain(table.Number).Fit(of(numbers("x", 1, 2)), []int{2}); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("a row outside the table: got %v", err)
	}
}

func TestApplyChecksTheTable(t *testing.T) {
	f, err := Default(of(numbers("width", 1, 2, 3))).Fit(of(numbers("width", 1, 2, 3)), nil)
	if err != nil {
		t.Fatal(err)
	}
	truth := &table.Column{Name: "width", Kind: table.Boolean, Numbers: []float64{0, 1}}
	date := &table.Column{Name: "width", Kind: table.Date, Numbers: []float64{0, 1}}
	tests := []struct {
		name string
		c    *table.Column
		want []string // nil: accepted
	}{
		{"numbers", numbers("width", 1), nil},
		{"booleans as 0 and 1", truth, nil},
		{"no values, read as text", texts("width", "", ""), nil},
		{"text", texts("width", "1", "wide"), []string{`column "width": row 11`, `"wide"`, "was a number"}},
		{"numbers forced into text", texts("width", "1", "2"), []string{`row 10`, `"1"`}},
		{"dates", date, []string{"row 10", "1970-01-01"}},
		{"another name", numbers("widht", 1), []string{`column "width"`, "did you mean widht?"}},
		{"an infinite value", numbers("width", 1, math.Inf(1)), []string{"row 11", "+Inf"}},
		{"a value beyond float32", numbers("width", 1, 1e200), []string{"row 11", "1e+200", "float32"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := f.Apply(of(tt.c), nil)
			if tt.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, err, tt.want...)
		})
	}
	if _, err := f.Apply(of(numbers("width", 1)), []int{-1}); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("a row outside the table: got %v", err)
	}
}

func TestNumbersZeroAndOneServeAsBooleans(t *testing.T) {
	truth := &table.Column{Name: "b", Kind: table.Boolean, Numbers: []float64{0, 1, 1}}
	f, err := Default(of(truth)).Fit(of(truth), nil)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := f.Apply(of(numbers("b", 1, 0)), nil); err != nil || !slices.Equal(x.Data, []float32{1, 0}) {
		t.Errorf("got %v (%v)", x, err)
	}
	_, err = f.Apply(of(numbers("b", 1, 2)), nil)
	refused(t, err, "row 11", "was a boolean")
}

func TestFirstFaultyRowIsNamedWhoeverFindsIt(t *testing.T) {
	values := make([]float64, 5000)
	for i := range values {
		values[i] = float64(i % 7)
	}
	f, err := Default(of(numbers("x", values...))).Fit(of(numbers("x", values...)), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{4999, 3000, 1234, 1200} {
		values[i] = math.Inf(1)
	}
	for range 20 {
		_, err := f.Apply(of(numbers("x", values...)), nil)
		refused(t, err, "row 1210")
	}
}

func TestParseFittedRefusesWhatFitCannotMake(t *testing.T) {
	whole := `{"version":1,"columns":[{"name":"n","kind":"number","features":[{"name":"n","steps":[{"step":"standardize","center":1,"scale":2}]}]},` +
		`{"name":"c","kind":"category","encoder":{"step":"one_hot","levels":["a","b"]},"features":[{"name":"c=a"},{"name":"c=b"}]},` +
		`{"name":"d","kind":"date","encoder":{"step":"date_parts","parts":["year","hour"]},"features":[{"name":"y"},{"name":"h"}]}],"warnings":[]}`
	if _, err := ParseFitted([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, old, new string }{
		{"another version", `"version":1`, `"version":9`},
		{"an unknown key", `"center":1`, `"centre":1`},
		{"an unknown step", `"standardize"`, `"whiten"`},
		{"a scale of zero", `"scale":2`, `"scale":0`},
		{"a negative scale", `"scale":2`, `"scale":-2`},
		{"a number too large", `"scale":2`, `"scale":1e999`},
		{"quantiles out of order", `{"step":"standardize","center":1,"scale":2}`, `{"step":"quantile","strategy":"normal","quantiles":[2,1]}`},
		{"no quantiles", `{"step":"standardize","center":1,"scale":2}`, `{"step":"quantile","strategy":"normal"}`},
		{"an open clip", `{"step":"standardize","center":1,"scale":2}`, `{"step":"clip"}`},
		{"levels out of order", `["a","b"]`, `["b","a"]`},
		{"a level twice", `["a","b"]`, `["a","a"]`},
		{"a feature too few", `{"name":"c=a"},`, ``},
		{"a feature twice", `"c=a"`, `"c=b"`},
		{"a feature without a name", `"c=a"`, `""`},
		{"a column twice", `"name":"c"`, `"name":"n"`},
		{"a column without a name", `"name":"c"`, `"name":""`},
		{"an unknown kind", `"kind":"category"`, `"kind":"colour"`},
		{"an encoder of another kind", `"kind":"date"`, `"kind":"category"`},
		{"parts out of order", `["year","hour"]`, `["hour","year"]`},
		{"an unknown part", `["year","hour"]`, `["year","era"]`},
		{"dropped with features", `"kind":"number"`, `"kind":"number","dropped":"constant"`},
		{"text behind it", `"warnings":[]}`, `"warnings":[]} {}`},
		{"not UTF-8", `"c=a"`, "\"\xff\""},
		{"nothing", whole, ``},
		{"no columns", whole, `{"version":1,"columns":[],"warnings":[]}`},
		{"null", whole, `null`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := strings.Replace(whole, tt.old, tt.new, 1)
			if b == whole {
				t.Fatal("nothing was replaced")
			}
			if _, err := ParseFitted([]byte(b)); !errors.Is(err, solera.ErrCorrupt) {
				t.Errorf("got %v, want an error that is ErrCorrupt", err)
			}
		})
	}
}

func TestInverseRefusesAnotherWidth(t *testing.T) {
	f, got := features(t, of(numbers("a", 1, 2)), Default(of(numbers("a", 1, 2))))
	_ = got
	x, err := f.Apply(of(numbers("a", 1)), nil)
	if err != nil {
		t.Fatal(err)
	}
	x.Cols = 2
	if _, err := f.Inverse(x); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestPowerOfHostileValues(t *testing.T) {
	for _, x := range [][]float64{
		{0, 0, 0, 1e300}, {-1e300, 1e300}, {5, 5, 5}, {1e-300, 2e-300}, {-1, -2, -3, -4}, {1e15, 1e15 + 1},
	} {
		s, err := fitScaler(Step{Name: "power"}, slices.Clone(x))
		if err != nil {
			continue // said in words; what matters is that it ends
		}
		y := slices.Clone(x)
		s.apply(y)
		for i := range y {
			if math.IsNaN(y[i]) {
				t.Errorf("%v of %v becomes NaN (%+v)", x[i], x, s)
			}
		}
	}
}
