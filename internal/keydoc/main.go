// Command keydoc writes the table of keys in docs/configuration.md from
// docs/solera.schema.json, which itself follows from the program. Only what
// stands between the two markers is replaced.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

//go:generate go run . ../../docs

const (
	begin = "<!-- keys: written by internal/keydoc, do not edit -->\n"
	end   = "<!-- end of keys -->\n"
)

// A schema is the part of JSON Schema that the table needs.
type schema struct {
	Type             any               `json:"type"`
	Description      string            `json:"description"`
	Default          json.RawMessage   `json:"default"`
	Enum             []any             `json:"enum"`
	Minimum          *json.Number      `json:"minimum"`
	Maximum          *json.Number      `json:"maximum"`
	ExclusiveMinimum *json.Number      `json:"exclusiveMinimum"`
	ExclusiveMaximum *json.Number      `json:"exclusiveMaximum"`
	Properties       map[string]schema `json:"properties"`
	OneOf            []schema          `json:"oneOf"`
	Items            *schema           `json:"items"`
}

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "keydoc:", err)
		os.Exit(1)
	}
}

func run(docs string) error {
	page, err := os.ReadFile(docs + "/configuration.md")
	if err != nil {
		return err
	}
	source, err := os.ReadFile(docs + "/solera.schema.json")
	if err != nil {
		return err
	}
	page, err = update(page, source)
	if err != nil {
		return err
	}
	return os.WriteFile(docs+"/configuration.md", page, 0o644)
}

// update returns page with its table of keys written again.
func update(page, source []byte) ([]byte, error) {
	var root schema
	if err := json.Unmarshal(source, &root); err != nil {
		return nil, fmt.Errorf("solera.schema.json: %w", err)
	}
	before, rest, ok := bytes.Cut(page, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return nil, fmt.Errorf("configuration.md: the markers %q and %q are missing", begin, end)
	}
	var out bytes.Buffer
	out.Write(before)
	out.WriteString(begin)
	// The order in which a project is written, which JSON objects do not keep.
	for _, section := range []string{"project", "seed", "tracking", "data", "preprocess", "model", "train", "experiments", "retention"} {
		s, ok := root.Properties[section]
		if !ok {
			return nil, fmt.Errorf("solera.schema.json has no key %s", section)
		}
		delete(root.Properties, section)
		fmt.Fprintf(&out, "\n### %s\n\n%s\n", section, s.Description)
		rows := [][3]string{}
		if s.Properties == nil && s.fallback()+s.accepts() != "" {
			rows = append(rows, [3]string{section, s.fallback(), s.accepts()})
		}
		rows = append(rows, s.rows("")...)
		if section == "experiments" {
			// Each experiment has the keys of train, and a name.
			rows = [][3]string{{"name", "exp001, exp002, …", s.Items.Properties["name"].Description}}
		}
		if len(rows) == 0 {
			continue
		}
		out.WriteString("\n| key | default | meaning |\n|---|---|---|\n")
		for _, r := range rows {
			fmt.Fprintf(&out, "| `%s` | %s | %s |\n", r[0], r[1], r[2])
		}
	}
	if len(root.Properties) > 0 {
		return nil, fmt.Errorf("keydoc has no place for %v", slices.Sorted(maps.Keys(root.Properties)))
	}
	out.WriteString("\n" + end)
	out.Write(after)
	return out.Bytes(), nil
}

// rows lists the keys below s: key, default, meaning.
func (s schema) rows(prefix string) [][3]string {
	var rows [][3]string
	for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[key]
		if row := [3]string{prefix + key, p.fallback(), p.meaning()}; row[1]+row[2] != "" {
			rows = append(rows, row)
		}
		rows = append(rows, p.rows(prefix+key+".")...)
		for _, variant := range p.OneOf {
			rows = append(rows, variant.rows(prefix+key+".")...)
		}
		if p.Items != nil {
			for _, variant := range p.Items.OneOf {
				rows = append(rows, variant.rows(prefix+key+"[].")...)
			}
		}
	}
	return rows
}

func (s schema) meaning() string {
	text := strings.ReplaceAll(s.Description, "|", "\\|")
	if a := s.accepts(); a != "" {
		text = strings.TrimSpace(text + " " + a)
	}
	return text
}

// accepts says which values are taken: words, or the ends of an interval.
func (s schema) accepts() string {
	words := s.Enum
	for _, variant := range s.OneOf {
		words = append(words, variant.Enum...)
	}
	var names []string
	for _, w := range words {
		if name, ok := w.(string); ok {
			names = append(names, "`"+name+"`")
		}
	}
	if len(names) > 0 {
		return "One of " + strings.Join(names, " ") + "."
	}
	var limits []string
	for _, l := range []struct {
		sign  string
		value *json.Number
	}{{"≥", s.Minimum}, {">", s.ExclusiveMinimum}, {"≤", s.Maximum}, {"<", s.ExclusiveMaximum}} {
		if l.value != nil {
			limits = append(limits, l.sign+" "+l.value.String())
		}
	}
	if len(limits) > 0 {
		return "Range: " + strings.Join(limits, ", ") + "."
	}
	return ""
}

// fallback is the default, as one would write it.
func (s schema) fallback() string {
	if len(s.Default) == 0 {
		return ""
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(s.Default))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return ""
	}
	return "`" + flow(v) + "`"
}

// flow writes a value in YAML's flow style. A map of one kind and its arguments,
// all of them defaults, is its bare name.
func flow(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if _, nested := v[k].(map[string]any); nested && len(v) == 1 {
				return k
			}
			parts = append(parts, k+": "+flow(v[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		var parts []string
		for _, x := range v {
			parts = append(parts, flow(x))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v)
}
