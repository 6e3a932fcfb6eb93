package wandb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
)

// toy answers a few fields of every kind.
func toy() *service {
	s := &service{}
	leaf := func(n int) object {
		return object{"Leaf", fields{"n": n, "name": fmt.Sprint("leaf ", n)}}
	}
	s.queries = map[string]root{
		"tree": func(_ *call, a *args) (any, error) {
			n := int(a.Int("leaves", 2))
			if err := a.Err(); err != nil {
				return nil, err
			}
			list := make([]object, n)
			for i := range list {
				list[i] = leaf(i)
			}
			return object{"ArtifactSequence", fields{
				"leaves": list, "none": nil, "score": 1.5, "texts": []string{"a", "b"}, "raw": json.RawMessage(`{"a":1}`),
				"lazy": lazy(func() (any, error) { return "late", nil }),
				"echo": resolver(func(a *args) (any, error) {
					return fmt.Sprint(a.Text("text"), a.Texts("list"), a.Bool("flag"), a.Has("flag"), a.Input("in").Text("x")), nil
				}),
			}}, nil
		},
		"wrong": func(*call, *args) (any, error) { return nil, fmt.Errorf("run x: %w", solera.ErrNotFound) },
	}
	s.mutations = map[string]root{
		"act":     func(*call, *args) (any, error) { return object{"Done", fields{"ok": true}}, nil },
		"nothing": func(*call, *args) (any, error) { return nil, nil },
	}
	return s
}

func TestExecute(t *testing.T) {
	for _, tt := range []struct{ name, query, variables, want string }{
		{"fields", `{tree{score none texts raw lazy}}`, ``, `{"tree":{"score":1.5,"none":null,"texts":["a","b"],"raw":{"a":1},"lazy":"late"}}`},
		{"a comment before", "#graphql\nquery X{tree{score}}", `null`, `{"tree":{"score":1.5}}`},
		{"aliases", `{a:tree{s:score} b:tree{score}}`, ``, `{"a":{"s":1.5},"b":{"score":1.5}}`},
		{"type names", `{__typename tree(leaves:1){__typename leaves{__typename n}}}`, ``, `{"__typename":"Query","tree":{"__typename":"ArtifactSequence","leaves":[{"__typename":"Leaf","n":0}]}}`},
		{"a fragment after", `query($n:Int=1){tree(leaves:$n){...F}} fragment F on ArtifactSequence{leaves{n}}`, ``, `{"tree":{"leaves":[{"n":0}]}}`},
		{"a default", `query($n:Int=1){tree(leaves:$n){leaves{n}}}`, `{}`, `{"tree":{"leaves":[{"n":0}]}}`},
		{"a variable", `query($n:Int=1){tree(leaves:$n){leaves{n}}}`, `{"n":0}`, `{"tree":{"leaves":[]}}`},
		{"an interface", `{tree{...on ArtifactCollection{score} ...on Run{none}}}`, ``, `{"tree":{"score":1.5}}`},
		{"include and skip", `query($y:Boolean!){tree{score @include(if:$y) lazy @skip(if:$y) none @skip(if:false)}}`, `{"y":true}`, `{"tree":{"score":1.5,"none":null}}`},
		{"merged selections", `{tree(leaves:1){leaves{n}} tree(leaves:1){leaves{name}}}`, ``, `{"tree":{"leaves":[{"n":0,"name":"leaf 0"}]}}`},
		{"one for a list", `{tree{echo(text:"t",list:"x")}}`, ``, `{"tree":{"echo":"t[x] false false"}}`},
		{"an input", `query($x:String $f:Boolean){tree{echo(in:{x:$x},flag:$f)}}`, `{"x":"y"}`, `{"tree":{"echo":"[] false falsey"}}`},
		{"a field that is not there", `{tree{later}}`, ``, `{"tree":{"later":null}}`},
		{"a mutation", `mutation{r:act(x:1){ok}}`, ``, `{"r":{"ok":true}}`},
	} {
		s := toy()
		s.Unknown = func(string) {}
		got, err := s.execute(&call{ctx: context.Background(), service: s}, request{Query: tt.query, Variables: json.RawMessage(tt.variables)})
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestExecuteRefuses(t *testing.T) {
	bomb := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "a%d:tree{score}", i)
		}
		return "{" + b.String() + "}"
	}
	// Each fragment doubles the one before.
	doubling := "{tree{...F0}}"
	for i := range 20 {
		doubling += fmt.Sprintf(" fragment F%d on ArtifactSequence{...F%d ...F%d}", i, i+1, i+1)
	}
	doubling += " fragment F20 on ArtifactSequence{score}"
	for _, tt := range []struct{ name, query, variables, want string }{
		{"no GraphQL", `{tree{`, ``, "query"},
		{"nothing", ` `, ``, "no operation"},
		{"a subscription", `subscription{tree}`, ``, "no subscriptions"},
		{"an unknown root field", `{tree{score} forest{n}}`, ``, `Cannot query field "forest" on type "Query"`},
		{"an unknown mutation", `mutation{plant{n}}`, ``, `Cannot query field "plant" on type "Mutation"`},
		{"aliases without end", bomb(101), ``, "root fields"},
		{"aliases without any end", bomb(3000), ``, "fields are selected"},
		{"depth", `{tree` + strings.Repeat("{x", 40) + strings.Repeat("}", 40) + `}`, ``, "nested deeper"},
		{"depth that would exhaust a stack", strings.Repeat("{x", 100_000), ``, "query"},
		{"a fragment in itself", `{tree{...F}} fragment F on X{...F}`, ``, "contains itself"},
		{"doubling fragments", doubling, ``, "fields are selected"},
		{"a fragment that is not there", `{tree{...G}}`, ``, "no fragment"},
		{"two fields of one name", `{tree{a:score a:none}}`, ``, "two fields"},
		{"a wrong type", `{tree(leaves:"many"){score}}`, ``, "leaves must be an integer"},
		{"a missing variable", `query($n:Int!){tree(leaves:$n){score}}`, `{}`, "$n"},
		{"variables that are a list", `query($n:Int){tree(leaves:$n){score}}`, `[1]`, "want an object"},
		{"no selection", `{tree}`, ``, "must be selected"},
		{"an answer without end", `{tree(leaves:300000){leaves{n name}}}`, ``, "smaller pages"},
		{"a mutation without result", `mutation{nothing{x}}`, ``, "no result"},
		{"an error of a resolver", `{wrong{x}}`, ``, "wrong: run x: not found"},
		{"include of a text", `{tree{score @include(if:"yes")}}`, ``, "must be true or false"},
	} {
		s := toy()
		s.Unknown = func(string) {}
		_, err := s.execute(&call{ctx: context.Background(), service: s}, request{Query: tt.query, Variables: json.RawMessage(tt.variables)})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.want)
		}
		if err != nil && !errors.Is(err, solera.ErrInvalid) && !errors.Is(err, solera.ErrNotFound) {
			t.Errorf("%s: %v is no fault of the client", tt.name, err)
		}
	}
}

func TestUnknownFieldsAreCounted(t *testing.T) {
	s := toy()
	var seen []string
	s.Unknown = func(name string) { seen = append(seen, name) }
	for _, q := range []string{`{tree{later}}`, `{forest{n}}`} {
		_, _ = s.execute(&call{ctx: context.Background(), service: s}, request{Query: q})
	}
	if want := []string{"ArtifactSequence.later", "forest"}; !slices.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}

func FuzzGraphQL(f *testing.F) {
	f.Add(`query X($n:Int=1){a:tree(leaves:$n){...F}} fragment F on ArtifactCollection{leaves{n @include(if:true)}}`, `{"n":2}`)
	f.Add(`mutation{act(x:{a:[1,"b",null]}){ok}}`, `{"a":NaN}`)
	f.Add(`{tree{echo(text:"""b""",list:[A],in:{x:$x})}}`, `null`)
	f.Fuzz(func(t *testing.T, query, variables string) {
		s := toy()
		s.Unknown = func(string) {}
		got, err := s.execute(&call{ctx: context.Background(), service: s}, request{Query: query, Variables: json.RawMessage(variables)})
		if err == nil && !json.Valid(got) {
			t.Errorf("%q with %q: %q is no JSON", query, variables, got)
		}
	})
}
