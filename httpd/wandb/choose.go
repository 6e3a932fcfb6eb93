package wandb

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// Filters of artifacts and of collections are objects as of MongoDB: {"name":
// {"$regex": "^train"}, "$or": [{"tag": "a"}, {"alias": "b"}]}. These lists are
// short, so a filter is held against each member.

// unknownKey is what a member has under a key that nobody knows.
var unknownKey = any(struct{ unknown bool }{true})

// Limits of a filter, which is small in every client.
const (
	maxFilterNodes = 1000
	maxPattern     = 1000 // bytes
)

// chosen returns the members that the arguments filters and order leave, in that
// order. key returns what a member has under a key: a string, a float64, a
// []string of which one has to fit, a solera.Micros, or unknownKey.
func chosen[T any](list []T, a *args, key func(m T, name string) any) ([]T, error) {
	filter := a.Object("filters")
	order := a.Text("order")
	if err := a.Err(); err != nil {
		return nil, err
	}
	f := matcher{patterns: map[string]*regexp.Regexp{}}
	if err := f.check(filter, 0); err != nil {
		return nil, err
	}
	var out []T
	for _, m := range list {
		ok, err := f.matches(filter, func(name string) any { return key(m, name) })
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, m)
		}
	}
	if order == "" {
		return out, nil
	}
	name, down := strings.CutPrefix(order, "-")
	name = strings.TrimPrefix(name, "+")
	for _, m := range out {
		if key(m, name) == unknownKey {
			return nil, fmt.Errorf("order %.80q: %w: there is no such key", order, solera.ErrInvalid)
		}
	}
	slices.SortStableFunc(out, func(x, y T) int {
		n, _ := compare(key(x, name), key(y, name))
		if down {
			return -n
		}
		return n
	})
	return out, nil
}

type matcher struct {
	nodes    int
	patterns map[string]*regexp.Regexp
}

// check refuses a filter that is too large, before it is held against anything.
func (f *matcher) check(v any, depth int) error {
	if f.nodes++; f.nodes > maxFilterNodes || depth > 20 {
		return fmt.Errorf("filters: %w: they are larger than anybody needs", solera.ErrInvalid)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			if err := f.check(x, depth+1); err != nil {
				return err
			}
		}
	case []any:
		for _, x := range v {
			if err := f.check(x, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *matcher) matches(filter map[string]any, key func(string) any) (bool, error) {
	for name, want := range filter {
		var ok bool
		var err error
		switch name {
		case "$and", "$or", "$nor":
			ok, err = f.combined(name, want, key)
		case "$not":
			inner, isObject := want.(map[string]any)
			if !isObject {
				return false, badFilter("$not needs an object")
			}
			ok, err = f.matches(inner, key)
			ok = !ok
		default:
			if strings.HasPrefix(name, "$") {
				return false, badFilter("%.40q is not known here", name)
			}
			have := key(name)
			if have == unknownKey {
				return false, badFilter("there is no key %.80q here", name)
			}
			ok, err = f.value(have, want)
		}
		if !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func badFilter(format string, args ...any) error {
	return fmt.Errorf("filters: %w: %s", solera.ErrInvalid, fmt.Sprintf(format, args...))
}

func (f *matcher) combined(name string, want any, key func(string) any) (bool, error) {
	list, ok := want.([]any)
	if !ok {
		return false, badFilter("%s needs a list", name)
	}
	some, all := false, true
	for _, x := range list {
		inner, ok := x.(map[string]any)
		if !ok {
			return false, badFilter("%s needs a list of objects", name)
		}
		ok, err := f.matches(inner, key)
		if err != nil {
			return false, err
		}
		some, all = some || ok, all && ok
	}
	switch name {
	case "$and":
		return all, nil
	case "$nor":
		return !some, nil
	}
	return some, nil
}

// value reports whether what a member has is as a filter wants it.
func (f *matcher) value(have, want any) (bool, error) {
	operators, ok := want.(map[string]any)
	if !ok {
		return f.operator("$eq", have, want)
	}
	for op, operand := range operators {
		ok, err := f.operator(op, have, operand)
		if !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (f *matcher) operator(op string, have, want any) (bool, error) {
	switch op {
	case "$not":
		ok, err := f.value(have, want)
		return !ok, err
	case "$ne":
		ok, err := f.operator("$eq", have, want)
		return !ok, err
	case "$nin":
		ok, err := f.operator("$in", have, want)
		return !ok, err
	case "$exists":
		list, isList := have.([]string)
		there := have != nil && have != "" && (!isList || len(list) > 0)
		return there == (want == true), nil
	}
	if list, ok := have.([]string); ok { // one of them has to fit
		for _, x := range list {
			if ok, err := f.operator(op, x, want); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	}
	switch op {
	case "$in":
		list, ok := want.([]any)
		if !ok {
			return false, badFilter("$in needs a list")
		}
		for _, x := range list {
			if ok, err := f.operator("$eq", have, x); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	case "$regex", "$contains":
		pattern, ok := want.(string)
		text, isText := have.(string)
		if !ok || len(pattern) > maxPattern {
			return false, badFilter("%s needs a text of at most %d bytes", op, maxPattern)
		}
		if op == "$contains" {
			return isText && strings.Contains(text, pattern), nil
		}
		re, ok := f.patterns[pattern]
		if !ok {
			var err error
			if re, err = regexp.Compile(pattern); err != nil {
				return false, badFilter("$regex: %v", err)
			}
			f.patterns[pattern] = re
		}
		return isText && re.MatchString(text), nil
	case "$eq", "$gt", "$gte", "$lt", "$lte":
		n, ok := compare(have, want)
		switch op {
		case "$eq":
			return ok && n == 0, nil
		case "$gt":
			return ok && n > 0, nil
		case "$gte":
			return ok && n >= 0, nil
		case "$lt":
			return ok && n < 0, nil
		}
		return ok && n <= 0, nil
	}
	return false, badFilter("%.40q is not known here", op)
}

// compare orders what a member has and what a filter wants; false if they are
// of different kinds.
func compare(have, want any) (int, bool) {
	number := func(v any) (float64, bool) {
		switch v := v.(type) {
		case float64:
			return v, true
		case json.Number:
			x, err := v.Float64()
			return x, err == nil
		case int:
			return float64(v), true
		}
		return 0, false
	}
	switch have := have.(type) {
	case nil:
		return 0, want == nil
	case bool:
		b, ok := want.(bool)
		if have == b {
			return 0, ok
		}
		return 1, ok
	case string:
		s, ok := want.(string)
		return strings.Compare(have, s), ok
	case solera.Micros:
		if m, ok := want.(solera.Micros); ok {
			return compareNumbers(float64(have), float64(m)), true
		}
		s, ok := want.(string)
		if !ok {
			return 0, false
		}
		t, err := timeOf(s)
		return compareNumbers(float64(have), float64(t)), err == nil
	case []string:
		s, ok := want.([]string)
		return slices.Compare(have, s), ok
	}
	x, ok := number(have)
	y, ok2 := number(want)
	return compareNumbers(x, y), ok && ok2
}

func compareNumbers(x, y float64) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}
