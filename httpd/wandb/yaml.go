package wandb

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/solera-ml/solera"
)

// Limits of a configuration in YAML. They are far beyond what people write, and
// small enough that a hostile text is refused before it costs memory or stack.
const (
	maxYAML       = 256 << 10 // bytes
	maxYAMLTokens = 200_000
	maxYAMLDepth  = 40
	maxYAMLNodes  = 200_000 // with every alias in place: a few lines can name a billion
)

// readYAML returns the map that a YAML text holds, as JSON values. Numbers are
// json.Number, and tell 1 from 1.0.
func readYAML(text string) (m map[string]any, err error) {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("config: %w: %s", solera.ErrInvalid, fmt.Sprintf(format, args...))
	}
	if len(text) > maxYAML {
		return nil, fault("it has %d bytes, at most %d KiB are allowed", len(text), maxYAML>>10)
	}
	if !utf8.ValidString(text) {
		return nil, fault("it is not UTF-8")
	}
	// The text comes from anywhere, so a panic in the parser is its fault.
	defer func() {
		if r := recover(); r != nil {
			m, err = nil, fault("it is no YAML that can be read")
		}
	}()
	tokens := lexer.Tokenize(text)
	if err := nested(tokens); err != nil {
		return nil, fault("%v", err)
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			return nil, fault("line %d: %s", syntax.GetToken().Position.Line, syntax.GetMessage())
		}
		return nil, fault("%v", err)
	}
	r := yamlReader{anchors: map[string]ast.Node{}}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if m != nil {
			return nil, fault("it has two documents; keep one")
		}
		v, err := r.value(doc.Body, 0)
		if err != nil {
			return nil, fault("%v", err)
		}
		var ok bool
		if m, ok = v.(map[string]any); !ok {
			return nil, fault("it is %s, want a map with method and parameters", kindOf(v))
		}
	}
	if m == nil {
		return nil, fault("it is empty")
	}
	return m, nil
}

// nested refuses what the parser would recurse into too deeply.
func nested(tokens token.Tokens) error {
	if len(tokens) > maxYAMLTokens {
		return fmt.Errorf("it has more than %d words", maxYAMLTokens)
	}
	flow, line, entries := 0, 0, 0
	var indents []int // columns of the open blocks
	for _, tk := range tokens {
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		}
		if tk.Position.Line != line {
			line, entries = tk.Position.Line, 0
			for len(indents) > 0 && indents[len(indents)-1] >= tk.Position.Column {
				indents = indents[:len(indents)-1]
			}
			indents = append(indents, tk.Position.Column)
		}
		if tk.Type == token.SequenceEntryType || tk.Type == token.MappingKeyType {
			entries++ // "- - - x" opens a block with every dash
		}
		if flow+len(indents)+entries > maxYAMLDepth {
			return fmt.Errorf("line %d: nested more than %d deep", tk.Position.Line, maxYAMLDepth)
		}
	}
	return nil
}

type yamlReader struct {
	anchors map[string]ast.Node
	nodes   int
	open    []string // aliases being followed
}

func (r *yamlReader) value(n ast.Node, depth int) (any, error) {
	line := func() int {
		if tk := n.GetToken(); tk != nil && tk.Position != nil {
			return tk.Position.Line
		}
		return 0
	}
	if r.nodes++; r.nodes > maxYAMLNodes {
		return nil, fmt.Errorf("line %d: more than %d values, counting what aliases stand for", line(), maxYAMLNodes)
	}
	if depth > maxYAMLDepth {
		return nil, fmt.Errorf("line %d: nested more than %d deep", line(), maxYAMLDepth)
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		return r.mapping(n.Values, depth)
	case *ast.MappingValueNode:
		return r.mapping([]*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		list := make([]any, 0, len(n.Values))
		for _, item := range n.Values {
			v, err := r.value(item, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case *ast.NullNode:
		return nil, nil
	case *ast.BoolNode:
		return n.Value, nil
	case *ast.IntegerNode:
		return json.Number(fmt.Sprint(n.Value)), nil
	case *ast.FloatNode:
		if math.IsInf(n.Value, 0) {
			return nil, fmt.Errorf("line %d: %.40s is beyond what a float64 holds", line(), n.GetToken().Value)
		}
		text := strconv.FormatFloat(n.Value, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return json.Number(text), nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.AnchorNode:
		r.anchors[n.Name.GetToken().Value] = n.Value
		return r.value(n.Value, depth)
	case *ast.AliasNode:
		name := n.Value.GetToken().Value
		target, ok := r.anchors[name]
		if !ok {
			return nil, fmt.Errorf("line %d: the alias *%.40s has no anchor before it", line(), name)
		}
		for _, o := range r.open {
			if o == name {
				return nil, fmt.Errorf("line %d: the alias *%.40s contains itself", line(), name)
			}
		}
		r.open = append(r.open, name)
		v, err := r.value(target, depth+1)
		r.open = r.open[:len(r.open)-1]
		return v, err
	case *ast.InfinityNode, *ast.NanNode:
		return nil, fmt.Errorf("line %d: %.40s is no finite number", line(), n.GetToken().Value)
	case *ast.TagNode:
		return nil, fmt.Errorf("line %d: the tag %.40s is not read here; write the plain value", line(), n.GetToken().Value)
	}
	return nil, fmt.Errorf("line %d: %.40s is not read here", line(), n.GetToken().Value)
}

func (r *yamlReader) mapping(values []*ast.MappingValueNode, depth int) (any, error) {
	m := make(map[string]any, len(values))
	for _, e := range values {
		tk := e.Key.GetToken()
		switch e.Key.(type) {
		case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		default:
			return nil, fmt.Errorf("line %d: %.40s cannot be a key", tk.Position.Line, tk.Value)
		}
		key := tk.Value
		if _, twice := m[key]; twice {
			return nil, fmt.Errorf("line %d: the key %.80q is given twice", tk.Position.Line, key)
		}
		v, err := r.value(e.Value, depth+1)
		if err != nil {
			return nil, err
		}
		m[key] = v
	}
	return m, nil
}
