package api

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

//go:embed docs.html
var docsHTML string

//go:embed docs.css
var docsCSS []byte

// The page that describes the API is written once, from the description, and
// has no script: it works without a network and under any policy.
type docsPage struct {
	Version string
	Root    string
	Groups  []docsGroup
	Schemas []docsSchema
}

type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary, Role string
	Parameters                      []docsField
	Body                            template.HTML
	Answers                         []docsAnswer
}

type docsAnswer struct {
	Status string
	Type   string // of the media
	Form   template.HTML
}

type docsField struct {
	Name, Where string
	Form        template.HTML
	Doc         string
	Required    bool
}

type docsSchema struct {
	Name   string
	Fields []docsField
	Form   template.HTML // of what has no fields
}

// docs returns the page.
func (s *service) docs() ([]byte, error) {
	t, err := template.New("docs").Parse(docsHTML)
	if err != nil {
		return nil, fmt.Errorf("write the page of the API: %w", err)
	}
	description := s.huma.OpenAPI()
	page := docsPage{Version: description.Info.Version, Root: Root}
	groups := map[string][]docsOperation{}
	for path, item := range description.Paths {
		for method, op := range map[string]*huma.Operation{
			"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete,
		} {
			if op != nil {
				groups[op.Tags[0]] = append(groups[op.Tags[0]], docsOf(method, path, op))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		operations := groups[name]
		slices.SortFunc(operations, func(a, b docsOperation) int {
			return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
		})
		page.Groups = append(page.Groups, docsGroup{name, operations})
	}
	schemas := description.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		schema := schemas[name]
		one := docsSchema{Name: name}
		for _, field := range slices.Sorted(maps.Keys(schema.Properties)) {
			p := schema.Properties[field]
			one.Fields = append(one.Fields, docsField{Name: field, Form: form(p), Doc: p.Description, Required: slices.Contains(schema.Required, field)})
		}
		if len(one.Fields) == 0 {
			one.Form = form(schema)
		}
		page.Schemas = append(page.Schemas, one)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, page); err != nil {
		return nil, fmt.Errorf("write the page of the API: %w", err)
	}
	return b.Bytes(), nil
}

func docsOf(method, path string, op *huma.Operation) docsOperation {
	d := docsOperation{ID: op.OperationID, Method: method, Path: path, Summary: op.Summary}
	d.Role, _ = op.Extensions["x-role"].(string)
	for _, p := range op.Parameters {
		d.Parameters = append(d.Parameters, docsField{Name: p.Name, Where: p.In, Form: form(p.Schema), Doc: p.Description, Required: p.Required})
	}
	if op.RequestBody != nil {
		for _, media := range op.RequestBody.Content {
			d.Body = form(media.Schema)
		}
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		if status >= "4" || status == "default" {
			continue // problems, all of one form
		}
		one := docsAnswer{Status: status}
		for name, media := range op.Responses[status].Content {
			one.Type = name
			if media.Schema != nil {
				one.Form = form(media.Schema)
			}
		}
		d.Answers = append(d.Answers, one)
	}
	return d
}

// form returns what values of a schema look like, with links to those that have
// a name.
func form(s *huma.Schema) template.HTML {
	if s == nil {
		return ""
	}
	escape := template.HTMLEscapeString
	text := ""
	switch {
	case s.Ref != "":
		name := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
		text = `<a href="#schema-` + escape(name) + `">` + escape(name) + `</a>`
	case len(s.OneOf) > 0:
		var forms []string
		for _, one := range s.OneOf {
			forms = append(forms, string(form(one)))
		}
		text = strings.Join(forms, " or ")
	case len(s.Enum) > 0:
		var values []string
		for _, v := range s.Enum {
			values = append(values, escape(fmt.Sprintf("%q", v)))
		}
		text = strings.Join(values, " | ")
	case s.Type == huma.TypeArray:
		text = "list of " + string(form(s.Items))
	case s.Type == huma.TypeObject:
		text = "object"
		if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
			if of := form(more); of != "anything" {
				text = "object of " + string(of)
			}
		}
	case s.Type == "":
		text = "anything"
	default:
		text = escape(s.Type)
		if s.Format == "date-time" {
			text = "time"
		}
	}
	if s.Nullable {
		text += " or null"
	}
	return template.HTML(text) // every part of it was escaped
}

// serve answers with bytes that do not change while the server runs.
func serve(mux humago.Mux, path, kind string, content []byte) {
	mux.HandleFunc("GET "+Root+path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if strings.HasPrefix(kind, "text/html") {
			// Stricter than a page that runs, laxer than data: it has a sheet.
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		}
		_, _ = w.Write(content) // whoever asked may be gone
	})
}
