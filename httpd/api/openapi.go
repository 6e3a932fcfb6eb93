package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/eval"
	"github.com/solera-ml/solera/tracking"
)

// config says how huma makes the API: plain JSON, no page of its own (it would
// come from a CDN), no links to schemas in answers.
func config(version string) huma.Config {
	c := huma.DefaultConfig("Solera", version)
	c.Info.Description = "Runs, metrics, artifacts and lineage of one Solera server."
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", "", nil
	registry := huma.NewMapRegistry("#/components/schemas/", schemaName)
	registry.RegisterTypeAlias(reflect.TypeFor[solera.Micros](), reflect.TypeFor[moment]())
	registry.RegisterTypeAlias(reflect.TypeFor[solera.Fields](), reflect.TypeFor[map[string]any]())
	registry.RegisterTypeAlias(reflect.TypeFor[solera.RunState](), reflect.TypeFor[runState]())
	registry.RegisterTypeAlias(reflect.TypeFor[eval.Number](), reflect.TypeFor[Number]())
	registry.RegisterTypeAlias(reflect.TypeFor[tracking.Row](), reflect.TypeFor[ComparedRow]())
	c.Components.Schemas = registry
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key":     {Type: "http", Scheme: "bearer", Description: "an API key: Authorization: Bearer solera_…"},
		"session": {Type: "apiKey", In: "cookie", Name: "solera_session", Description: "of who signed in"},
	}
	format := huma.Format{Marshal: writeJSON, Unmarshal: readJSON}
	c.Formats = map[string]huma.Format{"application/json": format, "json": format}
	c.RejectUnknownQueryParameters = true
	return c
}

// schemaName names a type in the description: those of other packages by their
// package too where the name alone says little.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	switch pkg := path.Base(t.PkgPath()); pkg {
	case "table", "pipeline", "eval", "tracking":
		return strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	return name
}

// moment is how solera.Micros are in JSON.
type moment struct{}

func (moment) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true}
}

// runState is how solera.RunState is in JSON.
type runState struct{}

func (runState) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, state := range []solera.RunState{solera.Pending, solera.Running, solera.Finished, solera.Failed, solera.Killed, solera.Crashed} {
		s.Enum = append(s.Enum, string(state))
	}
	return s
}

// describeSession describes what the server answers itself.
func (s *service) describeSession() {
	api := s.huma.OpenAPI()
	registry := api.Components.Schemas
	session := registry.Schema(reflect.TypeFor[Session](), true, "")
	credentials := registry.Schema(reflect.TypeFor[Credentials](), true, "")
	of := func(schema *huma.Schema) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{"application/json": {Schema: schema}}
	}
	at := Root + "/session"
	api.AddOperation(&huma.Operation{
		OperationID: "get-session", Method: http.MethodGet, Path: at, Summary: "Who is asking", Tags: []string{"session"},
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: of(session)}},
	})
	api.AddOperation(&huma.Operation{
		OperationID: "sign-in", Method: http.MethodPost, Path: at, Summary: "Sign in with a key, or with name and password", Tags: []string{"session"},
		RequestBody: &huma.RequestBody{Required: true, Content: of(credentials)},
		Responses:   map[string]*huma.Response{"204": {Description: "signed in; the cookie is set"}},
	})
	api.AddOperation(&huma.Operation{
		OperationID: "sign-out", Method: http.MethodDelete, Path: at, Summary: "Sign out", Tags: []string{"session"},
		Responses: map[string]*huma.Response{"204": {Description: "signed out"}},
	})
}

// document returns the description of all that was registered. Lists are never
// null, and a path that goes on to the end is written as one parameter.
func (s *service) document() ([]byte, error) {
	api := s.huma.OpenAPI()
	for _, schema := range api.Components.Schemas.Map() {
		neverNull(schema)
	}
	for name, item := range api.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			for _, p := range op.Parameters {
				neverNull(p.Schema)
			}
			for _, r := range op.Responses {
				for _, m := range r.Content {
					neverNull(m.Schema)
				}
			}
		}
		if plain := strings.Replace(name, "...}", "}", 1); plain != name {
			delete(api.Paths, name)
			api.Paths[plain] = item
		}
	}
	raw, err := json.Marshal(api)
	if err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", " "); err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func neverNull(s *huma.Schema) {
	if s == nil {
		return
	}
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
	neverNull(s.Items)
	for _, p := range s.Properties {
		neverNull(p)
	}
	if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
		neverNull(more)
	}
	for _, one := range s.OneOf {
		neverNull(one)
	}
}

// finish serves the description of the API, for programs and for people.
func (s *service) finish(mux humago.Mux) {
	document, err := s.document()
	if err != nil {
		panic(err) // it is of the program's own types
	}
	page, err := s.docs()
	if err != nil {
		panic(err) // likewise
	}
	serve(mux, "/openapi.json", "application/json", document)
	serve(mux, "/docs", "text/html; charset=utf-8", page)
	serve(mux, "/docs.css", "text/css; charset=utf-8", docsCSS)
}

// A compact value writes its own JSON: charts have a million numbers, which
// encoding/json would look at twice.
type compact interface {
	appendJSON(b []byte) []byte
}

// writeJSON writes v and a newline. Its error is about v alone: when nothing can
// be written, whoever asked is gone.
func writeJSON(w io.Writer, v any) error {
	if v, ok := v.(compact); ok {
		_, _ = w.Write(append(v.appendJSON(nil), '\n'))
		return nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, _ = w.Write(b.Bytes())
	return nil
}

// mostNested is how deep the JSON of a request may be.
const mostNested = 32

// readJSON is json.Unmarshal for what strangers send: an object that names a
// key twice means different things to different readers, and deep nesting means
// nothing at all.
func readJSON(b []byte, v any) error {
	if err := checkJSON(b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func checkJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var open []map[string]bool // nil for a list
	var isKey []bool
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		top := len(open) - 1
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{', '[':
				if len(open) == mostNested {
					return fmt.Errorf("%w: JSON nested deeper than %d", solera.ErrInvalid, mostNested)
				}
				if top >= 0 {
					isKey[top] = open[top] != nil
				}
				var keys map[string]bool
				if token == '{' {
					keys = map[string]bool{}
				}
				open, isKey = append(open, keys), append(isKey, keys != nil)
			default:
				open, isKey = open[:top], isKey[:top]
			}
			continue
		case string:
			if top >= 0 && isKey[top] {
				if open[top][token] {
					return fmt.Errorf("%w: the key %.40q is there twice", solera.ErrInvalid, token)
				}
				open[top][token] = true
				isKey[top] = false
				continue
			}
		}
		if top >= 0 {
			isKey[top] = open[top] != nil
		}
	}
}
