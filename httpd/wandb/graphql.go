package wandb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

// The executor. Clients send GraphQL, and the schema that they have in mind is
// published nowhere, so there is none here: a document is parsed, not
// validated, and its selections are walked over objects, each a type's name and
// a map of fields. A field that an object lacks is null, since new releases of
// the client ask for more; a root field that nobody answers is an error that
// names it. Both are counted.

// Limits of a document, so that a short text cannot make much work.
const (
	maxTokens = 20_000  // of a document
	maxDepth  = 30      // of selections within each other; clients need 12
	maxFields = 5_000   // after fragments are in place; clients need 300
	maxRoots  = 100     // root fields under different aliases
	maxValues = 500_000 // fields of an answer
)

// object is something with fields. Its type matters for __typename and for
// fragments with a type condition. Put what is cheap as a value, and the rest as
// a lazy or a resolver: it runs only when it is asked for.
type object struct {
	typ    string
	fields fields
}

// fields of an object by name. A value is nil, a bool, a string, an int, an
// int64, a float64, a solera.Micros (an ISO time, or null), a json.RawMessage
// (valid JSON, as it is), an object, a list of any of these ([]any, []object or
// []string), a lazy, or a resolver.
type fields map[string]any

type (
	lazy     func() (any, error)
	resolver func(a *args) (any, error)
	// root resolves a field of Query or Mutation.
	root func(c *call, a *args) (any, error)
)

// join puts the fields of several files together. Two of one name are a defect.
func join[V any](all ...map[string]V) map[string]V {
	out := map[string]V{}
	for _, m := range all {
		for name, v := range m {
			if _, taken := out[name]; taken {
				panic("wandb: two fields are named " + name)
			}
			out[name] = v
		}
	}
	return out
}

// abstract names, for each interface and union that clients put into type
// conditions, the types that it stands for.
var abstract = map[string][]string{
	"ArtifactCollection":      {"ArtifactSequence", "ArtifactPortfolio"},
	"ArtifactCollectionUnion": {"ArtifactSequence", "ArtifactPortfolio"},
	"ArtifactCreator":         {"Run", "User"},
	"Node":                    nil, // everything with an id
}

func isA(typ, condition string) bool {
	if condition == "" || typ == condition {
		return true
	}
	kinds, ok := abstract[condition]
	return ok && (kinds == nil || slices.Contains(kinds, typ))
}

// request is the body of a GraphQL request.
type request struct {
	Query     string          `json:"query"`
	Variables json.RawMessage `json:"variables"`
	Operation string          `json:"operationName"`
}

// unknownFieldError says that nobody answers a root field.
type unknownFieldError struct{ kind, field string }

func (e *unknownFieldError) Error() string {
	return fmt.Sprintf("Cannot query field %q on type %q: this server does not know the operation", e.field, e.kind)
}

// Unwrap makes it a fault of the request.
func (e *unknownFieldError) Unwrap() error { return solera.ErrInvalid }

// execution walks one operation.
type execution struct {
	service   *service
	ctx       context.Context
	fragments map[string]*ast.FragmentDefinition
	variables map[string]any
	open      map[string]bool // fragments that are being walked, to find circles
	counted   int             // fields while measuring
	values    int             // of the answer so far
	out       bytes.Buffer
}

// execute answers one request: the JSON of the answer's data.
func (s *service) execute(c *call, r request) (json.RawMessage, error) {
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: r.Query}, maxTokens)
	if err != nil {
		return nil, fmt.Errorf("%w: query: %v", solera.ErrInvalid, err)
	}
	op, err := operation(doc, r.Operation)
	if err != nil {
		return nil, err
	}
	c.operation = op.Name
	var kind string
	var roots map[string]root
	switch op.Operation {
	case ast.Query:
		kind, roots = "Query", s.queries
	case ast.Mutation:
		kind, roots = "Mutation", s.mutations
	default:
		return nil, fmt.Errorf("%w: there are no %ss here", solera.ErrInvalid, op.Operation)
	}
	e := &execution{service: s, ctx: c.ctx, fragments: map[string]*ast.FragmentDefinition{}, open: map[string]bool{}}
	for _, f := range doc.Fragments {
		e.fragments[f.Name] = f
	}
	if e.variables, err = variables(op, r.Variables); err != nil {
		return nil, err
	}
	if err := e.measure(op.SelectionSet, 1); err != nil {
		return nil, err
	}
	selected, err := e.collect(kind, op.SelectionSet)
	if err != nil {
		return nil, err
	}
	if len(selected) > maxRoots {
		return nil, fmt.Errorf("%w: %d root fields; at most %d are answered at once", solera.ErrInvalid, len(selected), maxRoots)
	}
	// All are known before the first acts.
	for _, f := range selected {
		if _, ok := roots[f.name]; !ok && f.name != "__typename" {
			s.Unknown(f.name)
			return nil, &unknownFieldError{kind, f.name}
		}
	}
	e.out.WriteByte('{')
	for i, f := range selected {
		e.key(i, f.alias)
		if f.name == "__typename" {
			e.text(kind)
			continue
		}
		a, err := e.arguments(f)
		if err != nil {
			return nil, err
		}
		v, err := roots[f.name](c, a)
		if err == nil {
			err = a.Err()
		}
		if err == nil && v == nil && kind == "Mutation" {
			// Clients take the result apart without looking.
			err = fmt.Errorf("%w: %s has no result", solera.ErrNotFound, f.name)
		}
		if err == nil {
			err = e.value(v, f.selection)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	e.out.WriteByte('}')
	return e.out.Bytes(), nil
}

// operation chooses the operation of a document.
func operation(doc *ast.QueryDocument, name string) (*ast.OperationDefinition, error) {
	if name != "" {
		for _, op := range doc.Operations {
			if op.Name == name {
				return op, nil
			}
		}
	}
	if len(doc.Operations) == 0 {
		return nil, fmt.Errorf("%w: the document has no operation", solera.ErrInvalid)
	}
	if name != "" {
		return nil, fmt.Errorf("%w: the document has no operation %.80q", solera.ErrInvalid, name)
	}
	return doc.Operations[0], nil
}

// variables returns the values of an operation's variables, with their defaults.
func variables(op *ast.OperationDefinition, raw json.RawMessage) (map[string]any, error) {
	given := map[string]any{}
	if len(raw) > 0 && string(raw) != "null" {
		v, err := decode(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: variables: %v", solera.ErrInvalid, err)
		}
		var ok bool
		if given, ok = v.(map[string]any); !ok {
			return nil, fmt.Errorf("%w: variables: want an object", solera.ErrInvalid)
		}
	}
	for _, d := range op.VariableDefinitions {
		if v, ok := given[d.Variable]; ok {
			if v == nil && d.Type != nil && d.Type.NonNull {
				return nil, fmt.Errorf("%w: the variable $%s of type %s must not be null", solera.ErrInvalid, d.Variable, d.Type)
			}
			continue
		}
		switch {
		case d.DefaultValue != nil:
			v, err := (&execution{}).constant(d.DefaultValue)
			if err != nil {
				return nil, err
			}
			given[d.Variable] = v
		case d.Type != nil && d.Type.NonNull:
			return nil, fmt.Errorf("%w: the variable $%s of type %s is missing", solera.ErrInvalid, d.Variable, d.Type)
		}
	}
	return given, nil
}

// measure counts the fields of an operation with all fragments in place.
func (e *execution) measure(set ast.SelectionSet, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: selections are nested deeper than %d", solera.ErrInvalid, maxDepth)
	}
	for _, s := range set {
		if e.counted++; e.counted > maxFields {
			return fmt.Errorf("%w: more than %d fields are selected", solera.ErrInvalid, maxFields)
		}
		var err error
		switch s := s.(type) {
		case *ast.Field:
			err = e.measure(s.SelectionSet, depth+1)
		case *ast.InlineFragment:
			err = e.measure(s.SelectionSet, depth+1)
		case *ast.FragmentSpread:
			f, ok := e.fragments[s.Name]
			if !ok {
				return fmt.Errorf("%w: there is no fragment %.80q", solera.ErrInvalid, s.Name)
			}
			if e.open[s.Name] {
				return fmt.Errorf("%w: the fragment %.80q contains itself", solera.ErrInvalid, s.Name)
			}
			e.open[s.Name] = true
			err = e.measure(f.SelectionSet, depth+1)
			delete(e.open, s.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// selected is a field to answer; what several selections want of it is one set.
type selected struct {
	alias, name string
	arguments   ast.ArgumentList
	selection   ast.SelectionSet
}

// collect returns the fields that a selection wants of an object of a type, in
// order.
func (e *execution) collect(typ string, set ast.SelectionSet) ([]selected, error) {
	var list []selected
	at := map[string]int{}
	var walk func(set ast.SelectionSet) error
	walk = func(set ast.SelectionSet) error {
		for _, s := range set {
			switch s := s.(type) {
			case *ast.Field:
				if ok, err := e.included(s.Directives); !ok || err != nil {
					if err != nil {
						return err
					}
					continue
				}
				i, ok := at[s.Alias]
				if !ok {
					at[s.Alias] = len(list)
					list = append(list, selected{s.Alias, s.Name, s.Arguments, slices.Clip(s.SelectionSet)})
					continue
				}
				if list[i].name != s.Name {
					return fmt.Errorf("%w: %.80q is the name of two fields, %s and %s", solera.ErrInvalid, s.Alias, list[i].name, s.Name)
				}
				list[i].selection = append(list[i].selection, s.SelectionSet...)
			case *ast.InlineFragment:
				if ok, err := e.included(s.Directives); err != nil {
					return err
				} else if ok && isA(typ, s.TypeCondition) {
					if err := walk(s.SelectionSet); err != nil {
						return err
					}
				}
			case *ast.FragmentSpread:
				f := e.fragments[s.Name] // measure has seen it
				if ok, err := e.included(s.Directives); err != nil {
					return err
				} else if ok && isA(typ, f.TypeCondition) {
					if err := walk(f.SelectionSet); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
	err := walk(set)
	return list, err
}

// included says whether @include and @skip let a selection be.
func (e *execution) included(directives ast.DirectiveList) (bool, error) {
	for _, d := range directives {
		if d.Name != "include" && d.Name != "skip" {
			continue
		}
		arg := d.Arguments.ForName("if")
		if arg == nil {
			return false, fmt.Errorf("%w: @%s needs the argument if", solera.ErrInvalid, d.Name)
		}
		v, err := e.constant(arg.Value)
		if err != nil {
			return false, err
		}
		b, ok := v.(bool)
		if !ok {
			return false, fmt.Errorf("%w: @%s(if:) must be true or false", solera.ErrInvalid, d.Name)
		}
		if b != (d.Name == "include") {
			return false, nil
		}
	}
	return true, nil
}

func (e *execution) arguments(f selected) (*args, error) {
	a := &args{values: map[string]any{}, err: new(error)}
	for _, x := range f.arguments {
		if x.Value.Kind == ast.Variable {
			if _, ok := e.variables[x.Value.Raw]; !ok {
				continue // absent, which is not null
			}
		}
		v, err := e.constant(x.Value)
		if err != nil {
			return nil, err
		}
		a.values[x.Name] = v
	}
	return a, nil
}

// constant returns the value of a literal or variable.
func (e *execution) constant(v *ast.Value) (any, error) {
	switch v.Kind {
	case ast.Variable:
		return e.variables[v.Raw], nil
	case ast.IntValue, ast.FloatValue:
		return json.Number(v.Raw), nil
	case ast.BooleanValue:
		return v.Raw == "true", nil
	case ast.NullValue:
		return nil, nil
	case ast.ListValue:
		list := make([]any, 0, len(v.Children))
		for _, c := range v.Children {
			x, err := e.constant(c.Value)
			if err != nil {
				return nil, err
			}
			list = append(list, x)
		}
		return list, nil
	case ast.ObjectValue:
		m := make(map[string]any, len(v.Children))
		for _, c := range v.Children {
			if c.Value.Kind == ast.Variable {
				if _, ok := e.variables[c.Value.Raw]; !ok {
					continue
				}
			}
			x, err := e.constant(c.Value)
			if err != nil {
				return nil, err
			}
			m[c.Name] = x
		}
		return m, nil
	default: // a string, a block of text, or a name of an enumeration
		return v.Raw, nil
	}
}

func (e *execution) key(i int, alias string) {
	if i > 0 {
		e.out.WriteByte(',')
	}
	e.text(alias)
	e.out.WriteByte(':')
}

func (e *execution) text(s string) {
	raw, _ := json.Marshal(s) // a string always can be written
	e.out.Write(raw)
}

// value writes v, of which a selection is wanted.
func (e *execution) value(v any, set ast.SelectionSet) error {
	switch v := v.(type) {
	case nil:
		e.out.WriteString("null")
	case lazy:
		inner, err := v()
		if err != nil {
			return err
		}
		return e.value(inner, set)
	case object:
		return e.object(v, set)
	case []object:
		return each(e, v, set)
	case []any:
		return each(e, v, set)
	case []string:
		return each(e, v, set)
	case string:
		e.text(v)
	case bool:
		e.out.WriteString(strconv.FormatBool(v))
	case int:
		e.out.WriteString(strconv.Itoa(v))
	case int64:
		e.out.WriteString(strconv.FormatInt(v, 10))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			e.text(strconv.FormatFloat(v, 'g', -1, 64))
			return nil
		}
		e.out.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
	case solera.Micros:
		if v == 0 {
			e.out.WriteString("null")
			return nil
		}
		e.text(v.Time().Format("2006-01-02T15:04:05.999999Z"))
	case json.RawMessage:
		if len(v) == 0 {
			e.out.WriteString("null")
			return nil
		}
		e.out.Write(v)
	default:
		return fmt.Errorf("a field has a value of type %T, which the executor does not know", v)
	}
	return nil
}

func each[T any](e *execution, list []T, set ast.SelectionSet) error {
	e.out.WriteByte('[')
	for i, v := range list {
		if i > 0 {
			e.out.WriteByte(',')
		}
		if err := e.value(any(v), set); err != nil {
			return err
		}
	}
	e.out.WriteByte(']')
	return nil
}

func (e *execution) object(o object, set ast.SelectionSet) error {
	if err := e.ctx.Err(); err != nil {
		return err
	}
	if len(set) == 0 {
		return fmt.Errorf("%w: of a %s some fields must be selected", solera.ErrInvalid, o.typ)
	}
	list, err := e.collect(o.typ, set)
	if err != nil {
		return err
	}
	if e.values += len(list); e.values > maxValues {
		return fmt.Errorf("%w: the answer would have more than %d fields; ask for smaller pages", solera.ErrInvalid, maxValues)
	}
	e.out.WriteByte('{')
	for i, f := range list {
		e.key(i, f.alias)
		if f.name == "__typename" {
			e.text(o.typ)
			continue
		}
		v, known := o.fields[f.name]
		if !known {
			e.service.Unknown(o.typ + "." + f.name)
		}
		if resolve, ok := v.(resolver); ok {
			a, err := e.arguments(f)
			if err != nil {
				return err
			}
			v, err = resolve(a)
			if err == nil {
				err = a.Err()
			}
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
		if err := e.value(v, f.selection); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	e.out.WriteByte('}')
	return nil
}

// args are the arguments of a field, or the members of an input object. The
// first that is of the wrong type is kept as the error, so that a resolver reads
// what it needs and asks Err once, before it acts.
type args struct {
	values map[string]any
	path   string
	err    *error // of the whole field
}

// Err returns what is wrong with the arguments that were read.
func (a *args) Err() error { return *a.err }

func (a *args) fail(name, format string, rest ...any) {
	if *a.err == nil {
		*a.err = fmt.Errorf("%w: argument %s%s %s", solera.ErrInvalid, a.path, name, fmt.Sprintf(format, rest...))
	}
}

// Has reports whether the argument is there and not null.
func (a *args) Has(name string) bool { return a.values[name] != nil }

// Text returns a string, "" if there is none.
func (a *args) Text(name string) string {
	switch v := a.values[name].(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number: // identifiers that look like numbers
		return v.String()
	default:
		a.fail(name, "must be a string, not %s", kindOf(v))
		return ""
	}
}

// Need returns a string that must be there.
func (a *args) Need(name string) string {
	s := a.Text(name)
	if s == "" {
		a.fail(name, "is missing")
	}
	return s
}

// Project returns the project that a client's name for one means.
func (a *args) Project(name string) string { return tracking.InwardName(a.Text(name)) }

// NeedProject returns that of a name that must be there.
func (a *args) NeedProject(name string) string { return tracking.InwardName(a.Need(name)) }

// Alias returns the alias that a client's name for one means.
func (a *args) Alias() string { return tracking.InwardName(a.Need("alias")) }

// Int returns an integer, or otherwise if there is none.
func (a *args) Int(name string, otherwise int64) int64 {
	switch v := a.values[name].(type) {
	case nil:
		return otherwise
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if x, err := v.Float64(); err == nil && x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			return int64(x)
		}
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n
		}
	}
	a.fail(name, "must be an integer")
	return otherwise
}

// Float returns a number, or otherwise if there is none.
func (a *args) Float(name string, otherwise float64) float64 {
	switch v := a.values[name].(type) {
	case nil:
		return otherwise
	case json.Number:
		if x, err := v.Float64(); err == nil {
			return x
		}
	}
	a.fail(name, "must be a number")
	return otherwise
}

// Bool returns a flag, false if there is none.
func (a *args) Bool(name string) bool {
	switch v := a.values[name].(type) {
	case nil:
		return false
	case bool:
		return v
	}
	a.fail(name, "must be true or false")
	return false
}

// List returns a list; one value that is no list is a list of it, as GraphQL
// has it.
func (a *args) List(name string) []any {
	switch v := a.values[name].(type) {
	case nil:
		return nil
	case []any:
		return v
	default:
		return []any{v}
	}
}

// Texts returns a list of strings.
func (a *args) Texts(name string) []string {
	var list []string
	for _, v := range a.List(name) {
		s, ok := v.(string)
		if !ok {
			a.fail(name, "must be a list of strings, not of %s", kindOf(v))
			return nil
		}
		list = append(list, s)
	}
	return list
}

// Input returns an input object; one that is not there has no members.
func (a *args) Input(name string) *args {
	in := &args{path: a.path + name + ".", err: a.err}
	switch v := a.values[name].(type) {
	case nil:
	case map[string]any:
		in.values = v
	default:
		a.fail(name, "must be an object, not %s", kindOf(v))
	}
	return in
}

// Inputs returns a list of input objects.
func (a *args) Inputs(name string) []*args {
	var list []*args
	for i, v := range a.List(name) {
		m, ok := v.(map[string]any)
		if !ok {
			a.fail(name, "must be a list of objects, not of %s", kindOf(v))
			return nil
		}
		list = append(list, &args{values: m, path: fmt.Sprintf("%s%s[%d].", a.path, name, i), err: a.err})
	}
	return list
}

// Object returns the object that a JSONString holds, nil if there is none. An
// object in its place is one too.
func (a *args) Object(name string) map[string]any {
	switch v := a.values[name].(type) {
	case nil:
		return nil
	case map[string]any:
		return v
	case string:
		if v == "" {
			return nil
		}
		x, err := decode([]byte(v))
		if err != nil {
			a.fail(name, "must be a string that holds JSON: %v", err)
			return nil
		}
		m, ok := x.(map[string]any)
		if x != nil && !ok {
			a.fail(name, "must be a string that holds a JSON object, not %s", kindOf(x))
		}
		return m
	default:
		a.fail(name, "must be a string that holds JSON, not %s", kindOf(v))
		return nil
	}
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a flag"
	case string:
		return "a string"
	case json.Number, float64:
		return "a number"
	case []any:
		return "a list"
	}
	return "an object"
}

// page is one page of a list of nodes as clients read it.
type page struct {
	nodes  []object
	after  string // cursor of the last node; "" for an empty page
	more   bool
	total  int                // of all pages; -1 = not told
	cursor func(i int) string // of node i; nil = after for all
	edge   func(i int) fields // more fields of the edge of node i; nil = none
}

// connection returns the object of a page.
func connection(typ string, p page) object {
	edges := make([]object, len(p.nodes))
	for i, n := range p.nodes {
		cursor := p.after
		if p.cursor != nil {
			cursor = p.cursor(i)
		}
		f := fields{"node": n, "cursor": cursor}
		if p.edge != nil {
			maps.Copy(f, p.edge(i))
		}
		edges[i] = object{typ + "Edge", f}
	}
	var after any
	if p.after != "" {
		after = p.after
	}
	f := fields{
		"edges":    edges,
		"pageInfo": object{"PageInfo", fields{"endCursor": after, "hasNextPage": p.more, "startCursor": nil, "hasPreviousPage": false}},
	}
	if p.total >= 0 {
		f["totalCount"] = p.total
	}
	return object{typ + "Connection", f}
}

// maxPage bounds the page that a client asks for.
const maxPage = 1000

// cut returns the part of list that the arguments first and after choose, its
// cursors being positions, with node making the object of each.
func cut[T any](typ string, list []T, a *args, node func(T) object) (object, error) {
	from, first, err := window(a, len(list))
	if err != nil {
		return object{}, err
	}
	to := min(from+first, len(list))
	p := page{more: to < len(list), total: len(list), cursor: func(i int) string { return position(from + i + 1) }}
	for _, x := range list[from:to] {
		p.nodes = append(p.nodes, node(x))
	}
	if to > from {
		p.after = position(to)
	}
	return connection(typ, p), nil
}

// window returns where a page of a list of n begins and how long it may be.
func window(a *args, n int) (from, first int, err error) {
	first = int(min(max(a.Int("first", maxPage), 0), maxPage))
	if after := a.Text("after"); after != "" {
		if from, err = parsePosition(after); err != nil {
			return 0, 0, err
		}
		from = min(from, n)
	}
	return from, first, a.Err()
}

// orNil is null for an empty string.
func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// timeOf reads a time as clients write it.
func timeOf(s string) (solera.Micros, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999", "2006-01-02 15:04:05.999999", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return solera.MicrosOf(t), nil
		}
	}
	return 0, fmt.Errorf("time %.40q: %w: want one such as 2026-11-22T18:10:01Z", s, solera.ErrInvalid)
}
