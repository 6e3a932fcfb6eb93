package transform

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
)

// A Step is one operation of a column's chain, as a person writes it: a name
// and its arguments. The zero argument map means every default. In YAML and
// JSON a step is its bare name, or a map of one key:
//
//	standardize
//	{impute: median}                          # the main argument alone
//	{one_hot: {max_categories: 20, drop_first: true}}
//
// Argument values are text, float64 or bool once they passed ParseStep.
type Step struct {
	Name string
	Args map[string]any
}

// argKind says what an argument accepts.
type argKind int

const (
	choice argKind = iota // one of a list of words
	number                // a finite number
	count                 // a whole number of at least 1
	flag                  // true or false
	scalar                // text, number or flag
)

type argForm struct {
	name    string
	kind    argKind
	choices []string
}

// A stepForm describes a step that exists.
type stepForm struct {
	name string
	main string // the argument that may stand alone: {impute: median}
	args []argForm
	// encodes marks the one step that leads from what a category or a date is to numbers.
	encodes table.Kind
}

// forms lists every step, in the order that messages show them.
func forms() []stepForm {
	return []stepForm{
		// Fills in missing values by a statistic of the training rows, or by value.
		// Without a strategy: the median of numbers and dates, the commonest of
		// categories and booleans. indicator (on unless it is false) adds the
		// feature NAME_missing where the training rows have missing values.
		{name: "impute", main: "strategy", args: []argForm{
			{"strategy", choice, []string{"mean", "median", "most_frequent", "constant"}},
			{"value", scalar, nil},
			{"indicator", flag, nil},
		}},
		{name: "standardize"}, // mean 0, standard deviation 1
		{name: "min_max"},     // 0 to 1 on the training rows, beyond it elsewhere
		{name: "robust"},      // median 0, interquartile range 1
		{name: "max_abs"},     // divided by the largest distance from 0; 0 stays 0
		// The rank among the training values, 0 to 1 or as a normal score;
		// quantiles (default 1,000) is how finely they are remembered.
		{name: "quantile", main: "output", args: []argForm{
			{"output", choice, []string{"uniform", "normal"}},
			{"quantiles", count, nil},
		}},
		{name: "power"}, // Yeo and Johnson's, with the likeliest exponent, then standardize
		// What is below low becomes low, what is above high becomes high.
		{name: "clip", args: []argForm{{"low", number, nil}, {"high", number, nil}}},
		// A feature per level, 1 where the row has it. See encoder for what
		// max_categories, drop_first and missing do.
		{name: "one_hot", main: "max_categories", encodes: table.Category, args: []argForm{
			{"max_categories", count, nil},
			{"drop_first", flag, nil},
			{"missing", choice, []string{"zeros", "category"}},
		}},
		{name: "ordinal", encodes: table.Category}, // 0, 1, … in level order; unseen and missing are -1
		{name: "date_parts", encodes: table.Date},  // days elapsed, year, month, day, weekday, hour
	}
}

// StepNames lists the names of all steps, for messages and schemas.
func StepNames() []string {
	var names []string
	for _, f := range forms() {
		names = append(names, f.name)
	}
	return names
}

func formOf(name string) (stepForm, bool) {
	for _, f := range forms() {
		if f.name == name {
			return f, true
		}
	}
	return stepForm{}, false
}

// ParseStep reads one step from the value that a YAML or JSON decoder made of
// it: a string, or a map of one key whose value is absent, the main argument,
// or a map of arguments. Errors are *solera.InputError and name the nearest
// known step, argument or choice.
func ParseStep(v any) (Step, error) {
	switch v := v.(type) {
	case Step:
		return v, v.Check()
	case string:
		s := Step{Name: v}
		return s, s.Check()
	}
	m, ok := asMap(v)
	if !ok || len(m) != 1 {
		return Step{}, stepError("a step is a name such as standardize, or a map of one key such as {impute: median}, not %s", show(v))
	}
	s := Step{}
	var rest any // the one value of the map
	for name, args := range m {
		s.Name, rest = name, args
	}
	form, ok := formOf(s.Name)
	if !ok {
		return Step{}, s.Check() // says which names exist
	}
	if args, ok := asMap(rest); ok {
		for name, value := range args {
			s.set(name, value)
		}
	} else if rest != nil {
		if form.main == "" {
			return Step{}, stepError("step %s takes no single value (%s)%s", s.Name, show(rest), argHint(form))
		}
		s.set(form.main, rest)
	}
	return s, s.Check()
}

// set stores an argument in one of the three forms that Step promises. A null
// argument is as good as absent.
func (s *Step) set(name string, v any) {
	if v == nil {
		return
	}
	if s.Args == nil {
		s.Args = map[string]any{}
	}
	if f, ok := asNumber(v); ok {
		v = f
	}
	s.Args[name] = v
}

// Check reports an unknown step, an unknown argument, or an argument of the wrong form.
func (s Step) Check() error {
	form, ok := formOf(s.Name)
	if !ok {
		return &solera.InputError{Op: "preprocess", Msg: fmt.Sprintf("unknown step %q", s.Name), Hint: nearestHint(s.Name, StepNames())}
	}
	for _, name := range sortedKeys(s.Args) {
		i := slices.IndexFunc(form.args, func(a argForm) bool { return a.name == name })
		if i < 0 {
			return stepError("step %s has no argument %q%s", s.Name, name, argHint(form))
		}
		if err := form.args[i].check(s.Name, s.Args[name]); err != nil {
			return err
		}
	}
	return s.checkTogether()
}

// checkTogether reports arguments that are right alone and wrong together.
func (s Step) checkTogether() error {
	switch s.Name {
	case "impute":
		_, hasValue := s.Args["value"]
		strategy := s.text("strategy", "")
		if strategy == "constant" && !hasValue {
			return stepError("impute: constant needs a value: write {impute: {strategy: constant, value: 0}}")
		}
		if hasValue && strategy != "" && strategy != "constant" {
			return stepError("impute: value is for strategy constant, not %s", strategy)
		}
	case "clip":
		low, high := s.number("low", math.Inf(-1)), s.number("high", math.Inf(1))
		if math.IsInf(low, -1) && math.IsInf(high, 1) {
			return stepError("clip needs low, high or both: write {clip: {low: 0, high: 100}}")
		}
		if low >= high {
			return stepError("clip: low %v is not below high %v", low, high)
		}
	}
	return nil
}

func (a argForm) check(step string, v any) error {
	switch a.kind {
	case choice:
		if s, ok := v.(string); !ok || !slices.Contains(a.choices, s) {
			return stepError("%s: %s is %s: %s", step, a.name, show(v), nearestHint(fmt.Sprint(v), a.choices))
		}
	case number:
		if f, ok := asNumber(v); !ok || math.IsNaN(f) || math.IsInf(f, 0) {
			return stepError("%s: %s is %s: want a number", step, a.name, show(v))
		}
	case count:
		if f, ok := asNumber(v); !ok || f < 1 || f > 1e6 || f != math.Floor(f) {
			return stepError("%s: %s is %s: want a whole number from 1 to 1000000", step, a.name, show(v))
		}
	case flag:
		if _, ok := v.(bool); !ok {
			return stepError("%s: %s is %s: want true or false", step, a.name, show(v))
		}
	case scalar:
		_, isText := v.(string)
		_, isFlag := v.(bool)
		f, isNumber := asNumber(v)
		if !isText && !isFlag && (!isNumber || math.IsNaN(f) || math.IsInf(f, 0)) {
			return stepError("%s: %s is %s: want text or a number", step, a.name, show(v))
		}
	}
	return nil
}

// Value returns the step in its shortest written form: a string, or a map of
// one key. It is what MarshalJSON writes.
func (s Step) Value() any {
	if len(s.Args) == 0 {
		return s.Name
	}
	if form, ok := formOf(s.Name); ok && len(s.Args) == 1 {
		if v, ok := s.Args[form.main]; ok {
			return map[string]any{s.Name: v}
		}
	}
	return map[string]any{s.Name: s.Args}
}

// String returns the step as JSON, for messages.
func (s Step) String() string {
	if len(s.Args) == 0 {
		return s.Name
	}
	b, err := json.Marshal(s.Value())
	if err != nil {
		return s.Name
	}
	return string(b)
}

// MarshalJSON writes the shortest form; keys are sorted.
func (s Step) MarshalJSON() ([]byte, error) { return json.Marshal(s.Value()) }

// UnmarshalJSON reads what ParseStep reads.
func (s *Step) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("read a preprocessing step: %w", err)
	}
	parsed, err := ParseStep(v)
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

// The readers below serve steps that passed Check.

func (s Step) text(name, otherwise string) string {
	if v, ok := s.Args[name].(string); ok {
		return v
	}
	return otherwise
}

func (s Step) number(name string, otherwise float64) float64 {
	if f, ok := asNumber(s.Args[name]); ok {
		return f
	}
	return otherwise
}

func (s Step) flag(name string, otherwise bool) bool {
	if v, ok := s.Args[name].(bool); ok {
		return v
	}
	return otherwise
}

// asMap accepts the map types that JSON and YAML decoders make.
func asMap(v any) (map[string]any, bool) {
	switch m := v.(type) {
	case map[string]any:
		return m, true
	case map[any]any:
		out := make(map[string]any, len(m))
		for k, v := range m {
			name, ok := k.(string)
			if !ok {
				return nil, false
			}
			out[name] = v
		}
		return out, true
	}
	return nil, false
}

func asNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case float32:
		return float64(v), true
	case int:
		return float64(v), true
	case int32:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint:
		return float64(v), true
	case uint64:
		return float64(v), true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return 0, false
}

func stepError(format string, args ...any) error {
	return &solera.InputError{Op: "preprocess", Msg: fmt.Sprintf(format, args...)}
}

func argHint(form stepForm) string {
	if len(form.args) == 0 {
		return ": it takes no arguments"
	}
	names := make([]string, len(form.args))
	for i, a := range form.args {
		names[i] = a.name
	}
	return ": it takes " + strings.Join(names, ", ")
}

// show prints a hostile or mistyped value without letting it fill the screen.
func show(v any) string {
	s := fmt.Sprint(v)
	if t, ok := v.(string); ok {
		s = strconv.Quote(t)
	}
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return s
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// nearestHint reads "did you mean median?" when a known name is near, or lists
// the names when none is.
func nearestHint(got string, known []string) string {
	if name := nearest(got, known); name != "" {
		return fmt.Sprintf("did you mean %s?", name)
	}
	if len(known) > 12 {
		return "known are " + strings.Join(known[:12], ", ") + fmt.Sprintf(" and %d more", len(known)-12)
	}
	return "known are " + strings.Join(known, ", ")
}

// nearest returns the known name with the fewest edits from got, or "" when
// more than a third of the letters would have to change. Ties go to the first.
func nearest(got string, known []string) string {
	if len(got) > 200 {
		return "" // nobody mistypes that much, and edits is quadratic
	}
	best, at := "", max(2, len(got)/3)+1
	for _, name := range known {
		if len(name) > 200 {
			continue
		}
		// A name of which no letter stays is not near.
		d := edits(strings.ToLower(got), strings.ToLower(name))
		if d < at && d < max(utf8.RuneCountInString(got), utf8.RuneCountInString(name)) {
			best, at = name, d
		}
	}
	return best
}

// edits counts the insertions, deletions, replacements and swaps of neighbours
// that lead from a to b (optimal string alignment).
func edits(a, b string) int {
	s, t := []rune(a), []rune(b)
	above2, above, row := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range row {
		row[j] = j
	}
	for i := range s {
		// Three rows of the table of distances are enough; they take turns.
		above2, above, row = above, row, above2
		row[0] = i + 1
		for j := range t {
			cost := above[j]
			if s[i] != t[j] {
				cost++
			}
			row[j+1] = min(cost, row[j]+1, above[j+1]+1)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				row[j+1] = min(row[j+1], above2[j-1]+1)
			}
		}
	}
	return row[len(t)]
}
