package wandb

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// Clients choose runs by a condition in the manner of MongoDB:
//
//	{"$and": [{"config.lr": {"$lt": 0.1}}, {"state": "finished"}]}
//
// It is translated, so that the database does the choosing.

// maxConditions bounds a filter.
const maxConditions = 2000

// filter translates one.
type filter struct {
	// texts returns the texts that runs have at a field. A regular expression
	// becomes those of them that match.
	texts func(field string) ([]string, error)
	nodes int
}

func refuseFilter(format string, args ...any) error {
	return fmt.Errorf("filters: %w: %s", solera.ErrInvalid, fmt.Sprintf(format, args...))
}

// never is a condition that holds for no run.
func never() solera.Expr { return not(solera.Expr{Op: solera.Exists, Field: "id"}) }

func not(e solera.Expr) solera.Expr { return solera.Expr{Op: solera.Not, Args: []solera.Expr{e}} }

// both is the condition that all of list hold; those that always hold are left
// out.
func both(list ...solera.Expr) solera.Expr {
	list = slices.DeleteFunc(list, solera.Expr.IsZero)
	switch len(list) {
	case 0:
		return solera.Expr{}
	case 1:
		return list[0]
	}
	return solera.Expr{Op: solera.And, Args: list}
}

// either is the condition that one of list holds.
func either(list ...solera.Expr) solera.Expr {
	switch {
	case len(list) == 0:
		return never()
	case slices.ContainsFunc(list, solera.Expr.IsZero):
		return solera.Expr{}
	case len(list) == 1:
		return list[0]
	}
	return solera.Expr{Op: solera.Or, Args: list}
}

// condition translates {…}.
func (f *filter) condition(m map[string]any) (solera.Expr, error) {
	var all []solera.Expr
	for _, key := range sortedKeys(m) {
		if f.nodes++; f.nodes > maxConditions {
			return solera.Expr{}, refuseFilter("more than %d conditions", maxConditions)
		}
		var e solera.Expr
		var err error
		switch key {
		case "$and", "$or", "$nor":
			e, err = f.several(key, m[key])
		case "$not":
			inner, ok := m[key].(map[string]any)
			if !ok {
				return solera.Expr{}, refuseFilter("$not wants a condition, not %s", kindOf(m[key]))
			}
			e, err = f.negated(f.condition(inner))
		default:
			if strings.HasPrefix(key, "$") {
				return solera.Expr{}, refuseFilter("%.40s is not known; there are $and, $or, $nor and $not", key)
			}
			e, err = f.field(key, m[key])
		}
		if err != nil {
			return solera.Expr{}, err
		}
		all = append(all, e)
	}
	return both(all...), nil
}

func (f *filter) negated(e solera.Expr, err error) (solera.Expr, error) {
	if err != nil {
		return solera.Expr{}, err
	}
	if e.IsZero() {
		return never(), nil
	}
	return not(e), nil
}

func (f *filter) several(op string, v any) (solera.Expr, error) {
	list, ok := v.([]any)
	if !ok {
		return solera.Expr{}, refuseFilter("%s wants a list of conditions, not %s", op, kindOf(v))
	}
	var parts []solera.Expr
	for _, x := range list {
		m, ok := x.(map[string]any)
		if !ok {
			return solera.Expr{}, refuseFilter("%s wants a list of conditions, not of %s", op, kindOf(x))
		}
		e, err := f.condition(m)
		if err != nil {
			return solera.Expr{}, err
		}
		parts = append(parts, e)
	}
	switch op {
	case "$and":
		return both(parts...), nil
	case "$or":
		return either(parts...), nil
	default:
		return f.negated(either(parts...), nil)
	}
}

// field translates {key: value} and {key: {"$op": value, …}}.
func (f *filter) field(key string, v any) (solera.Expr, error) {
	if tag, ok := strings.CutPrefix(key, "tags."); ok { // {"tags.best": true}
		e := solera.Expr{Op: solera.In, Field: "tags", Values: []any{tag}}
		if v == false || v == nil {
			return not(e), nil
		}
		return e, nil
	}
	fields, err := runFields(key)
	if err != nil {
		return solera.Expr{}, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return f.compare(fields, "$eq", v)
	}
	var all []solera.Expr
	for _, op := range sortedKeys(m) {
		if f.nodes++; f.nodes > maxConditions {
			return solera.Expr{}, refuseFilter("more than %d conditions", maxConditions)
		}
		var e solera.Expr
		if op == "$not" {
			inner, ok := m[op].(map[string]any)
			if !ok {
				return solera.Expr{}, refuseFilter("%s: $not wants a condition, not %s", key, kindOf(m[op]))
			}
			e, err = f.negated(f.field(key, inner))
		} else {
			e, err = f.compare(fields, op, m[op])
		}
		if err != nil {
			return solera.Expr{}, err
		}
		all = append(all, e)
	}
	return both(all...), nil
}

// compare translates one comparison. Of several fields one that fits is enough.
func (f *filter) compare(fields []string, op string, v any) (solera.Expr, error) {
	switch op {
	case "$ne":
		return f.negated(f.compare(fields, "$eq", v))
	case "$nin":
		return f.negated(f.compare(fields, "$in", v))
	}
	var any []solera.Expr
	for _, field := range fields {
		e, err := f.compareOne(field, op, v)
		if err != nil {
			return solera.Expr{}, err
		}
		any = append(any, e)
	}
	e := either(any...)
	if op == "$exists" && (v == false || isZero(v)) || op == "$eq" && v == nil {
		e = both(any...) // lacking is lacking everywhere
	}
	return e, nil
}

func isZero(v any) bool {
	n, ok := v.(json.Number)
	return ok && n == "0"
}

var operators = map[string]solera.Op{
	"$eq": solera.Equal, "$gt": solera.Greater, "$gte": solera.GreaterEqual, "$lt": solera.Less, "$lte": solera.LessEqual,
}

func (f *filter) compareOne(field, op string, v any) (solera.Expr, error) {
	exists := solera.Expr{Op: solera.Exists, Field: field}
	switch op {
	case "$exists":
		if v == false || isZero(v) {
			return not(exists), nil
		}
		return exists, nil
	case "$in":
		list, ok := v.([]any)
		if !ok {
			return solera.Expr{}, refuseFilter("%s: $in wants a list, not %s", field, kindOf(v))
		}
		if f.nodes += len(list); f.nodes > maxConditions {
			return solera.Expr{}, refuseFilter("more than %d conditions", maxConditions)
		}
		var parts []solera.Expr
		in := solera.Expr{Op: solera.In, Field: field}
		for _, x := range list {
			if x == nil {
				parts = append(parts, not(exists))
				continue
			}
			value, ok, err := f.value(field, x)
			if err != nil {
				return solera.Expr{}, err
			}
			if ok {
				in.Values = append(in.Values, value)
			}
		}
		if len(in.Values) > 0 {
			parts = append(parts, in)
		}
		return either(parts...), nil
	case "$regex":
		text, ok := v.(string)
		if !ok {
			return solera.Expr{}, refuseFilter("%s: $regex wants a string, not %s", field, kindOf(v))
		}
		return f.matching(field, text)
	}
	known, ok := operators[op]
	if !ok {
		return solera.Expr{}, refuseFilter("%s: the operator %.40s is not known; there are $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $regex and $not", field, op)
	}
	if v == nil {
		if known != solera.Equal {
			return solera.Expr{}, refuseFilter("%s: %s compares with a value, not with null", field, op)
		}
		return not(exists), nil
	}
	value, ok, err := f.value(field, v)
	if err != nil {
		return solera.Expr{}, err
	}
	if !ok {
		return never(), nil
	}
	if _, flag := value.(bool); flag && known != solera.Equal {
		return never(), nil
	}
	if known == solera.Equal && field == "tags" {
		known = solera.In
	}
	return solera.Expr{Op: known, Field: field, Values: []any{value}}, nil
}

// value returns what a field is compared with; ok is false if it never holds
// such a thing.
func (f *filter) value(field string, v any) (value any, ok bool, err error) {
	free := strings.Contains(field, ".")
	switch v := v.(type) {
	case string:
		if field == "duration" {
			return nil, false, nil
		}
		if solera.IsTime(field) {
			if _, err := timeOf(v); err != nil {
				return nil, false, refuseFilter("%s: %v", field, err)
			}
			at, _ := timeOf(v)
			return at.String(), true, nil
		}
		return v, true, nil
	case json.Number:
		x, err := v.Float64()
		if err != nil {
			return nil, false, refuseFilter("%s: the number %.40s is too large", field, v)
		}
		switch {
		case free || field == "duration":
			return x, true, nil
		case solera.IsTime(field):
			at := micros(x)
			return at.String(), at != 0, nil
		}
		return v.String(), true, nil // a text that looks like a number
	case bool:
		return v, free, nil
	case float64:
		return nil, false, nil // nothing compares with NaN
	default:
		return nil, false, refuseFilter("%s: a comparison wants a string, a number, or true or false, not %s", field, kindOf(v))
	}
}

// matching is the condition that a field has a text which a regular expression
// matches.
func (f *filter) matching(field, pattern string) (solera.Expr, error) {
	if len(pattern) > 1000 {
		return solera.Expr{}, refuseFilter("%s: the regular expression is longer than 1000 bytes", field)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return solera.Expr{}, refuseFilter("%s: %v", field, err)
	}
	texts, err := f.texts(field)
	if err != nil {
		return solera.Expr{}, err
	}
	var fit []any
	for _, text := range texts {
		if re.MatchString(text) {
			fit = append(fit, text)
		}
	}
	const most = 5000
	switch {
	case len(fit) == 0:
		return never(), nil
	case len(fit) > most:
		return solera.Expr{}, refuseFilter("%s: more than %d texts match %.80q; choose fewer", field, most, pattern)
	}
	return solera.Expr{Op: solera.In, Field: field, Values: fit}, nil
}

// runFields returns the fields of a run that a client's key stands for.
func runFields(key string) ([]string, error) {
	switch key {
	case "name", "run_id", "id":
		// Where the name is no identifier here, the record has both.
		return []string{"id", "environment." + clientName}, nil
	case "display_name", "displayName":
		return []string{"name"}, nil
	case "state", "tags", "host", "notes", "duration", "sweep":
		return []string{key}, nil
	case "description":
		return []string{"notes"}, nil
	case "group", "groupName", "group_name":
		return []string{"group"}, nil
	case "jobType", "job_type":
		return []string{"stage"}, nil
	case "createdAt", "created_at":
		return []string{"created"}, nil
	case "heartbeatAt", "heartbeat_at", "updatedAt", "updated_at":
		return []string{"finished"}, nil
	case "username", "user", "user.username":
		return []string{"environment." + clientUser}, nil
	}
	head, rest, ok := strings.Cut(key, ".")
	if ok && rest != "" {
		switch head {
		case "config":
			if short, ok := strings.CutSuffix(rest, ".value"); ok && short != "" {
				return []string{"params." + short, "params." + rest}, nil
			}
			return []string{"params." + rest}, nil
		case "summary_metrics", "summaryMetrics", "summary":
			return []string{"summary." + rest}, nil
		case "keys_info":
			if metric, ok := strings.CutPrefix(rest, "keys."); ok && metric != "" {
				return []string{"summary." + metric}, nil
			}
		}
	}
	return nil, refuseFilter("the key %.80q is not known; there are state, name, display_name, group, jobType, tags, username, host, createdAt, "+
		"heartbeatAt, duration, sweep, notes, config.KEY and summary_metrics.KEY", key)
}

// order translates the order of runs: "[+|-]key", the oldest first if there is
// none.
func order(text string) ([]solera.RunOrder, error) {
	if text == "" {
		return nil, nil
	}
	var out []solera.RunOrder
	for _, key := range strings.Split(text, ",") {
		key = strings.TrimSpace(key)
		falling := strings.HasPrefix(key, "-")
		fields, err := runFields(strings.TrimLeft(key, "+-"))
		if err != nil {
			return nil, err
		}
		out = append(out, solera.RunOrder{Field: fields[0], Descending: falling})
	}
	if len(out) > 10 {
		return nil, refuseFilter("runs are sorted by at most 10 keys")
	}
	return out, nil
}
