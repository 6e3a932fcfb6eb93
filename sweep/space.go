package sweep

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/numeric"
)

// Limits of a space. They are far beyond what people search, and small enough
// that a hostile configuration is refused before it costs memory or time.
const (
	maxParameters = 1000
	maxValues     = 100_000
	maxNesting    = 16
	maxWhole      = 1 << 53 // beyond it float64 skips whole numbers
)

// A Space is what a sweep searches: parameters in the order in which a grid
// counts through them, which is that of their names, level by level.
type Space []Parameter

// A Parameter is one value that a trial is given, and how it is chosen.
type Parameter struct {
	Path []string // of its name: ["optimizer", "lr"] is "lr" within the object "optimizer"
	Kind string   // its distribution, such as "log_uniform_values"; "constant" and "categorical" are two

	Values        []any     // of a categorical; the one value of a constant
	Probabilities []float64 // of Values; nil = all alike
	Min, Max      float64   // of the uniform kinds; exponents of e for log_uniform, q_log_uniform and inv_log_uniform
	Mu, Sigma     float64   // of the normal kinds; of the logarithm for log_normal
	A, B          float64   // of the beta kinds
	Q             float64   // of the kinds that begin with q_: values are multiples of it

	keys     []string // Values in canonical JSON, to find one again
	distinct []int    // those of Values that no earlier one equals
}

// Name returns the path with dots.
func (p Parameter) Name() string { return strings.Join(p.Path, ".") }

// constant reports whether there is nothing to choose.
func (p Parameter) constant() bool { return p.Kind == "constant" }

// shape says which fields a kind of parameter has beside "distribution"; those
// in brackets may be left out.
var shape = map[string]string{
	"constant":                    "value",
	"categorical":                 "values",
	"categorical_w_probabilities": "values probabilities",
	"int_uniform":                 "min max",
	"uniform":                     "min max",
	"q_uniform":                   "min max [q]",
	"log_uniform":                 "min max",
	"log_uniform_values":          "min max",
	"q_log_uniform":               "min max [q]",
	"q_log_uniform_values":        "min max [q]",
	"inv_log_uniform":             "min max",
	"inv_log_uniform_values":      "min max",
	"normal":                      "[mu] [sigma]",
	"q_normal":                    "[mu] [sigma] [q]",
	"log_normal":                  "[mu] [sigma]",
	"q_log_normal":                "[mu] [sigma] [q]",
	"beta":                        "[a] [b]",
	"q_beta":                      "[a] [b] [q]",
}

// parseSpace reads the section "parameters" and fills in the distributions
// that it leaves open, in place. warn is told what will surprise.
func parseSpace(section map[string]any, warn func(string)) (Space, error) {
	var space Space
	if err := space.read(section, nil, warn); err != nil {
		return nil, err
	}
	if len(space) == 0 {
		return nil, fmt.Errorf("parameters: %w: none is given; name one, as in parameters: {lr: {min: 0.0001, max: 0.1}}", solera.ErrInvalid)
	}
	return space, nil
}

func (s *Space) read(section map[string]any, path []string, warn func(string)) error {
	if len(path) >= maxNesting {
		return fmt.Errorf("parameter %s: %w: nested more than %d deep", clip(strings.Join(path, ".")), solera.ErrInvalid, maxNesting)
	}
	for _, name := range slices.Sorted(maps.Keys(section)) {
		at := append(slices.Clone(path), name)
		fault := func(format string, args ...any) error {
			return fmt.Errorf("parameter %s: %w: %s", clip(strings.Join(at, ".")), solera.ErrInvalid, fmt.Sprintf(format, args...))
		}
		if !isName(name) {
			return fault("a name begins with a letter or _ and goes on with letters, digits, '_', '.' and '-', at most 256 in all")
		}
		form, ok := object(section[name])
		if !ok {
			return fault("it is %s; write {values: […]}, {value: …} or {min: …, max: …}", describe(section[name]))
		}
		if inner, ok := form["parameters"]; ok && len(form) == 1 {
			nested, ok := object(inner)
			if !ok || len(nested) == 0 {
				return fault("parameters is %s, want a map with one parameter or more", describe(inner))
			}
			if err := s.read(nested, at, warn); err != nil {
				return err
			}
			continue
		}
		p, err := parseParameter(form)
		if err != nil {
			return fault("%v", err)
		}
		if p.Kind == "log_uniform" || p.Kind == "q_log_uniform" || p.Kind == "inv_log_uniform" {
			warn(fmt.Sprintf("parameter %s: min and max of %s are exponents of e; %s_values takes the limits themselves", strings.Join(at, "."), p.Kind, p.Kind))
		}
		p.Path = at
		if *s = append(*s, p); len(*s) > maxParameters {
			return fmt.Errorf("parameters: %w: more than %d", solera.ErrInvalid, maxParameters)
		}
	}
	return nil
}

// parseParameter reads the form of one parameter. Its errors are the part of
// the message after the parameter's name.
func parseParameter(form map[string]any) (Parameter, error) {
	p := Parameter{Sigma: 1, A: 1, B: 1, Q: 1}
	var err error
	if p.Kind, err = kindOf(form); err != nil {
		return p, err
	}
	known := strings.Fields(shape[p.Kind])
	for _, field := range known {
		if _, ok := form[strings.Trim(field, "[]")]; !ok && field[0] != '[' {
			return p, fmt.Errorf("%s needs %s", p.Kind, field)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(form)) {
		if field != "distribution" && !slices.Contains(known, field) && !slices.Contains(known, "["+field+"]") {
			return p, fmt.Errorf("%s has no %s; it has %s", p.Kind, clip(field), strings.Join(known, ", "))
		}
	}
	for field, to := range map[string]*float64{
		"min": &p.Min, "max": &p.Max, "mu": &p.Mu, "sigma": &p.Sigma, "a": &p.A, "b": &p.B, "q": &p.Q,
	} {
		v, ok := form[field]
		if !ok {
			continue
		}
		if *to, ok = number(v); !ok {
			return p, fmt.Errorf("%s is %s, want a finite number", field, describe(v))
		}
	}
	if err := p.readValues(form); err != nil {
		return p, err
	}
	if err := p.check(); err != nil {
		return p, err
	}
	form["distribution"] = p.Kind
	if p.Kind == "categorical_w_probabilities" {
		p.Kind = "categorical"
	}
	return p, nil
}

// kindOf returns the distribution that a form names, or means: bounds that are
// both written as whole numbers mean whole numbers.
func kindOf(form map[string]any) (string, error) {
	if v, ok := form["distribution"]; ok {
		kind, _ := v.(string)
		if _, probable := form["probabilities"]; probable && kind == "categorical" {
			kind = "categorical_w_probabilities"
		}
		if _, ok := shape[kind]; !ok {
			return "", fmt.Errorf("distribution %s is not known; there are %s", describe(v), strings.Join(slices.Sorted(maps.Keys(shape)), ", "))
		}
		return kind, nil
	}
	has := func(field string) bool { _, ok := form[field]; return ok }
	switch {
	case has("value"):
		return "constant", nil
	case has("values") && has("probabilities"):
		return "categorical_w_probabilities", nil
	case has("values"):
		return "categorical", nil
	case has("min") && has("max"):
		if isWhole(form["min"]) && isWhole(form["max"]) {
			return "int_uniform", nil
		}
		return "uniform", nil
	}
	return "", fmt.Errorf("it says neither value, values, min and max, parameters nor distribution")
}

func (p *Parameter) readValues(form map[string]any) error {
	switch p.Kind {
	case "constant":
		p.Values = []any{form["value"]}
	case "categorical", "categorical_w_probabilities":
		values, ok := form["values"].([]any)
		if !ok || len(values) == 0 || len(values) > maxValues {
			return fmt.Errorf("values is %s, want a list of 1 to %d", describe(form["values"]), maxValues)
		}
		p.Values = values
		if p.Kind == "categorical_w_probabilities" {
			list, ok := form["probabilities"].([]any)
			if !ok || len(list) != len(values) {
				return fmt.Errorf("probabilities is %s, want one for each of the %d values", describe(form["probabilities"]), len(values))
			}
			sum := 0.0
			for _, v := range list {
				x, ok := number(v)
				if !ok || x < 0 {
					return fmt.Errorf("probabilities has %s, want numbers of 0 and more", describe(v))
				}
				sum += x
				p.Probabilities = append(p.Probabilities, x)
			}
			if math.Abs(sum-1) > 1e-5 {
				return fmt.Errorf("probabilities add up to %v, want 1", sum)
			}
		}
	}
	for _, v := range p.Values {
		key, err := canonical(v)
		if err != nil {
			return err
		}
		p.keys = append(p.keys, key)
	}
	seen := make(map[string]bool, len(p.keys))
	for i, key := range p.keys {
		if !seen[key] {
			seen[key] = true
			p.distinct = append(p.distinct, i)
		}
	}
	return nil
}

// check looks at the numbers of a parameter.
func (p *Parameter) check() error {
	ranged := strings.Contains(shape[p.Kind], "min")
	switch {
	case ranged && p.Min >= p.Max:
		return fmt.Errorf("min %v is not below max %v", p.Min, p.Max)
	case ranged && math.IsInf(p.Max-p.Min, 0):
		return fmt.Errorf("from %v to %v is too wide", p.Min, p.Max)
	case strings.HasSuffix(p.Kind, "_values") && p.Min <= 0:
		return fmt.Errorf("min is %v; a logarithm needs one above 0", p.Min)
	case p.Kind == "int_uniform" && (p.Min != math.Trunc(p.Min) || p.Max != math.Trunc(p.Max)):
		return fmt.Errorf("int_uniform goes from %v to %v, want whole numbers", p.Min, p.Max)
	case p.Kind == "int_uniform" && (p.Min < -maxWhole || p.Max > maxWhole):
		return fmt.Errorf("int_uniform goes from %v to %v, want whole numbers within ±2⁵³", p.Min, p.Max)
	case strings.HasPrefix(p.Kind, "q_") && p.Q <= 0:
		return fmt.Errorf("q is %v, want more than 0", p.Q)
	case p.Sigma < 0:
		return fmt.Errorf("sigma is %v, want 0 or more", p.Sigma)
	case p.A <= 0 || p.B <= 0:
		return fmt.Errorf("a and b are %v and %v, want more than 0", p.A, p.B)
	}
	// What the middle 99.9999 % give must be numbers: e^1000 is none.
	for _, u := range []float64{5e-7, 1 - 5e-7} {
		if x, ok := p.Quantile(u).(float64); ok && (math.IsInf(x, 0) || math.IsNaN(x)) {
			return fmt.Errorf("%s gives values beyond what a float64 holds", p.Kind)
		}
	}
	return nil
}

// Random returns params for a trial, each drawn from its distribution.
func (s Space) Random(stream *numeric.Stream) solera.Fields {
	return s.build(func(p Parameter) any { return p.Quantile(open(stream.Float64())) })
}

// open moves a number in [0, 1) into (0, 1), where every distribution has a
// quantile.
func open(u float64) float64 { return max(u, 0x1p-53) }

// build returns params with what choose says for every parameter that is not
// constant. They are asked in order.
func (s Space) build(choose func(Parameter) any) solera.Fields {
	params := solera.Fields{}
	for _, p := range s {
		var v any
		if p.constant() {
			v = p.Values[0]
		} else {
			v = choose(p)
		}
		inner := map[string]any(params)
		for _, name := range p.Path[:len(p.Path)-1] {
			next, ok := inner[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				inner[name] = next
			}
			inner = next
		}
		inner[p.Path[len(p.Path)-1]] = v
	}
	return params
}

// searched returns the parameters that are not constant.
func (s Space) searched() Space {
	return slices.DeleteFunc(slices.Clone(s), Parameter.constant)
}

// lookup returns the value of a parameter in params.
func (p Parameter) lookup(params solera.Fields) (any, bool) {
	var v any = map[string]any(params)
	for _, name := range p.Path {
		inner, ok := object(v)
		if !ok {
			return nil, false
		}
		if v, ok = inner[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

// only returns of params what the space searches.
func (s Space) only(params solera.Fields) solera.Fields {
	var found Space
	for _, p := range s {
		if v, ok := p.lookup(params); ok {
			p.Kind, p.Values = "constant", []any{v}
			found = append(found, p)
		}
	}
	return found.build(nil)
}

// steps returns how many values a parameter has in a grid; 0 = it has no end.
func (p Parameter) steps() int64 {
	switch p.Kind {
	case "constant":
		return 1
	case "categorical":
		return int64(len(p.distinct))
	case "int_uniform":
		return int64(p.Max-p.Min) + 1
	case "q_uniform":
		// As numpy.arange counts: max itself is left out.
		if n := math.Ceil((p.Max - p.Min) / p.Q); n <= maxWhole {
			return int64(n)
		}
	}
	return 0
}

// step returns value number i of a parameter in a grid.
func (p Parameter) step(i int64) any {
	switch p.Kind {
	case "categorical":
		return p.Values[p.distinct[i]]
	case "int_uniform":
		return int64(p.Min) + i
	default:
		return p.whole(p.Min + float64(float64(i)*p.Q))
	}
}

// place returns which step of a grid v is, -1 if none.
func (p Parameter) place(v any) int64 {
	if p.Kind == "categorical" {
		key, err := canonical(v)
		if err != nil {
			return -1
		}
		return int64(slices.IndexFunc(p.distinct, func(i int) bool { return p.keys[i] == key }))
	}
	x, ok := number(v)
	if !ok {
		return -1
	}
	q := p.Q
	if p.Kind == "int_uniform" {
		q = 1
	}
	i := math.Round((x - p.Min) / q)
	if i < 0 || i >= float64(p.steps()) || math.Abs(p.Min+float64(i*q)-x) > 1e-9*max(1, math.Abs(x)) {
		return -1
	}
	return int64(i)
}

// GridSize returns how many combinations a grid over the space has. A
// parameter without a finite list of values is ErrInvalid.
func (s Space) GridSize() (int64, error) {
	size := int64(1)
	for _, p := range s {
		n := p.steps()
		if n == 0 || p.Probabilities != nil {
			return 0, fmt.Errorf("parameter %s: %w: a grid counts through value, values, int_uniform and q_uniform, not %s; list its values, or search by random or bayes",
				clip(p.Name()), solera.ErrInvalid, map[bool]string{true: "values with probabilities", false: p.Kind}[p.Probabilities != nil])
		}
		if size > maxWhole/n {
			return 0, fmt.Errorf("parameters: %w: the grid has more than 2⁵³ combinations; leave out values, or search by random or bayes", solera.ErrInvalid)
		}
		size *= n
	}
	return size, nil
}

// GridPoint returns combination number i of 0 … GridSize-1. The last parameter
// changes fastest.
func (s Space) GridPoint(i int64) solera.Fields {
	digits := make([]int64, len(s))
	for k := len(s) - 1; k >= 0; k-- {
		n := s[k].steps()
		digits[k], i = i%n, i/n
	}
	k := -1
	searched := make([]int64, 0, len(s))
	for j, p := range s {
		if !p.constant() {
			searched = append(searched, digits[j])
		}
	}
	return s.build(func(p Parameter) any {
		k++
		return p.step(searched[k])
	})
}

// gridPlace returns which combination params are, -1 if none.
func (s Space) gridPlace(params solera.Fields) int64 {
	at := int64(0)
	for _, p := range s {
		if p.constant() {
			continue // a run may have been made with another: the grid does not ask
		}
		v, ok := p.lookup(params)
		if !ok {
			return -1
		}
		i := p.place(v)
		if i < 0 {
			return -1
		}
		at = at*p.steps() + i
	}
	return at
}

func isName(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for i, c := range s {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && ('0' <= c && c <= '9' || c == '.' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// object returns v as a map, whichever of the two types of one it has.
func object(v any) (map[string]any, bool) {
	switch v := v.(type) {
	case map[string]any:
		return v, true
	case solera.Fields:
		return v, true
	}
	return nil, false
}

// number returns v as a finite number.
func number(v any) (float64, bool) {
	x, ok := solera.Fields{"": v}.Float("")
	return x, ok && !math.IsInf(x, 0) && !math.IsNaN(x)
}

// isWhole reports whether v is written as a whole number: 1 is, 1.0 is not.
func isWhole(v any) bool {
	switch v := v.(type) {
	case json.Number:
		return !strings.ContainsAny(v.String(), ".eE")
	case int, int64, uint64:
		return true
	}
	return false
}

// canonical returns v as JSON in which equal values are equal texts.
func canonical(v any) (string, error) {
	b, err := solera.Fields{"": v}.MarshalJSON()
	if err != nil {
		return "", err
	}
	return string(b), nil
}

// describe names a value in a message.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "empty"
	case string:
		return "the text " + clip(v)
	case bool:
		return fmt.Sprint(v)
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	}
	if _, ok := object(v); ok {
		return "a map"
	}
	return clip(fmt.Sprint(v))
}

// clip quotes s for a message and cuts what is long.
func clip(s string) string {
	if r := []rune(s); len(r) > 80 {
		s = string(r[:79]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
