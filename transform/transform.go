// Package transform turns the columns of a table into the float32 features of
// a network: imputed, scaled, encoded. What it learns, it learns from the rows
// it is given and from no others.
//
// A Plan says what to do with each column; Plan.Fit learns the statistics from
// the training rows and returns a Fitted; only a Fitted can Apply. A Fitted is
// written as transform.json and gives the same bits after it was read back.
//
// Statistics are float64, and every formula is scikit-learn's (StandardScaler,
// MinMaxScaler, RobustScaler, MaxAbsScaler, QuantileTransformer,
// PowerTransformer, SimpleImputer, OneHotEncoder, OrdinalEncoder).
package transform

import (
	"fmt"
	"slices"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
)

// A Plan lists the columns that become features, in the order of the features,
// and the chain of steps of each.
type Plan struct {
	Columns []ColumnPlan `json:"columns"`
}

// A ColumnPlan is the chain of one column. Kind is what the column must be.
//
// A number or boolean takes numeric steps. A category takes at most one
// impute, then one_hot or ordinal, then numeric steps if any. A date is a
// number of seconds; date_parts, once, makes several features of it.
type ColumnPlan struct {
	Name  string     `json:"name"`
	Kind  table.Kind `json:"kind"`
	Steps []Step     `json:"steps"`
}

// DefaultCategories is how many features one_hot makes of a category at most
// when max_categories is not given.
const DefaultCategories = 50

// Rules are the chains that a plan gives to columns by their kind. A nil chain
// stands for DefaultSteps of that kind; an empty one for no steps at all.
type Rules struct {
	Number, Category, Boolean, Date []Step
	// Columns holds the chains of single columns, by name; they win.
	Columns map[string][]Step
}

// DefaultSteps is the chain of a column of that kind when nothing else is said:
//
//	number    impute: median, standardize
//	category  impute: most_frequent, one_hot (50 features at most)
//	boolean   impute: most_frequent
//	date      impute: median, date_parts, standardize
func DefaultSteps(kind table.Kind) []Step {
	impute := func(strategy string) Step {
		return Step{Name: "impute", Args: map[string]any{"strategy": strategy}}
	}
	switch kind {
	case table.Category:
		return []Step{impute("most_frequent"), {Name: "one_hot"}}
	case table.Boolean:
		return []Step{impute("most_frequent")}
	case table.Date:
		return []Step{impute("median"), {Name: "date_parts"}, {Name: "standardize"}}
	}
	return []Step{impute("median"), {Name: "standardize"}}
}

// Default plans every column of t but the excluded ones (the target, an
// identifier) with the default chain of its kind.
func Default(t *table.Table, exclude ...string) Plan {
	p, _ := NewPlan(t, Rules{}, exclude...) // no rules, so none that name an absent column
	return p
}

// NewPlan plans every column of t but the excluded ones by rules. A rule for a
// column that t does not have, or that is excluded, is an error.
func NewPlan(t *table.Table, rules Rules, exclude ...string) (Plan, error) {
	var p Plan
	used := 0
	for _, c := range t.Columns {
		if slices.Contains(exclude, c.Name) {
			continue
		}
		steps, ok := rules.Columns[c.Name]
		if ok {
			used++
		} else {
			steps = rules.of(c.Kind)
		}
		p.Columns = append(p.Columns, ColumnPlan{Name: c.Name, Kind: c.Kind, Steps: steps})
	}
	if used < len(rules.Columns) {
		names := make([]string, len(p.Columns))
		for i, c := range p.Columns {
			names[i] = c.Name
		}
		for _, name := range sortedNames(rules.Columns) {
			if !slices.Contains(names, name) {
				return Plan{}, &solera.InputError{Op: "preprocess", Column: name, Msg: "no such feature", Hint: nearestHint(name, names)}
			}
		}
	}
	return p, nil
}

func (r Rules) of(kind table.Kind) []Step {
	steps := r.Number
	switch kind {
	case table.Category:
		steps = r.Category
	case table.Boolean:
		steps = r.Boolean
	case table.Date:
		steps = r.Date
	}
	if steps == nil {
		return DefaultSteps(kind)
	}
	return steps
}

// Check reports a column named twice, and any chain that cannot work.
func (p Plan) Check() error {
	if len(p.Columns) == 0 {
		return &solera.InputError{Op: "preprocess", Msg: "the plan has no columns", Hint: "keep at least one feature besides the target"}
	}
	seen := make(map[string]bool, len(p.Columns))
	for _, c := range p.Columns {
		if seen[c.Name] {
			return &solera.InputError{Op: "preprocess", Column: c.Name, Msg: "planned twice", Hint: "remove one of the two"}
		}
		seen[c.Name] = true
		if _, err := c.chain(); err != nil {
			return err
		}
	}
	return nil
}

// A chain is a column's steps by place: before and after the encoder.
type chain struct {
	before  []Step
	encoder *Step // one_hot, ordinal or date_parts; nil for none
	after   []Step
	// indicator: an impute of this chain wants the column NAME_missing.
	indicator bool
}

// chain splits and checks the steps.
func (c ColumnPlan) chain() (chain, error) {
	fail := func(hint, format string, args ...any) (chain, error) {
		return chain{}, &solera.InputError{Op: "preprocess", Column: c.Name, Msg: fmt.Sprintf(format, args...), Hint: hint}
	}
	var out chain
	for _, s := range c.Steps {
		if err := s.Check(); err != nil {
			return chain{}, fmt.Errorf("column %q: %w", c.Name, err)
		}
		form, _ := formOf(s.Name)
		if s.Name == "impute" && s.flag("indicator", true) {
			out.indicator = true
		}
		if v, ok := s.Args["value"].(string); ok && (c.Kind != table.Category || out.encoder != nil) {
			return fail("give a number", "impute value %s is not a number", show(v))
		}
		switch {
		case form.encodes == "" && out.encoder == nil:
			if c.Kind == table.Category && s.Name != "impute" {
				return fail("put one_hot or ordinal before it", "%s works on numbers, and the column holds categories", s.Name)
			}
			out.before = append(out.before, s)
		case form.encodes == "":
			out.after = append(out.after, s)
		case form.encodes != c.Kind:
			return fail(fmt.Sprintf("remove %s, or give the column the type %s", s.Name, form.encodes), "%s works on a %s, and the column is a %s", s.Name, form.encodes, c.Kind)
		case out.encoder != nil:
			return fail("keep one of the two", "%s after %s: a column is encoded once", s.Name, out.encoder.Name)
		default:
			out.encoder = &s
		}
	}
	switch c.Kind {
	case table.Number, table.Boolean, table.Date:
	case table.Category:
		if out.encoder == nil {
			return fail("add one_hot or ordinal", "categories are not numbers, and no step encodes them")
		}
		if len(out.before) > 1 {
			return fail("keep one of them", "%d impute steps before %s", len(out.before), out.encoder.Name)
		}
		if len(out.before) == 1 {
			if st := out.before[0].text("strategy", ""); st == "mean" || st == "median" {
				return fail("write {impute: most_frequent}", "categories have no %s", st)
			}
		}
	default:
		return fail("want number, category, boolean or date", "unknown kind %q", c.Kind)
	}
	return out, nil
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
