package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/transform"
)

// Limits of a configuration. They are far beyond what people write, and small
// enough that a hostile file is refused before it costs memory or stack.
const (
	maxConfigBytes  = 1 << 20
	maxConfigTokens = 100_000
	maxConfigDepth  = 32
)

// A place is a position in the configuration, both counted from 1.
type place struct{ line, col int }

// Parse reads a configuration; name is the file's name for messages. It is
// strict: a key it does not know, a key given twice, a value of another type
// or outside its bounds are *[solera.InputError] with line, column and mend.
func Parse(name string, src []byte) (*Config, error) { return parseText(name, src, 1) }

// parseText is Parse of a text that may be so many times as long as a file.
func parseText(name string, src []byte, times int) (*Config, error) {
	c := defaults()
	c.file = name
	d := &decoder{file: name, cfg: c, at: c.at, times: times}
	root, err := d.syntax(src)
	if err != nil {
		return nil, err
	}
	if root != nil {
		if err := d.object(root, reflect.ValueOf(c).Elem(), "", ""); err != nil {
			return nil, err
		}
	}
	if err := c.resolve(); err != nil {
		return nil, err
	}
	return c, nil
}

// A decoder walks the syntax tree and fills the tagged structs. It is used for
// one file.
type decoder struct {
	file  string
	cfg   *Config
	at    map[string]place
	times int // the limits of length count so many times
}

// syntax turns the bytes into the root of one document, nil when it is empty.
func (d *decoder) syntax(src []byte) (root ast.Node, err error) {
	if limit := maxConfigBytes * d.times; len(src) > limit {
		return nil, d.faultAt(place{}, fmt.Sprintf("longer than %d KiB", limit>>10), "is it a data file? give that as data.source")
	}
	src = bytes.TrimPrefix(src, []byte("\ufeff"))
	if !utf8.Valid(src) {
		return nil, d.faultAt(invalidUTF8(src), "not UTF-8 text", "save the file as UTF-8")
	}
	// The library is fuzzed by its authors and by us, yet a panic in it must
	// not reach a user, whose file is at fault.
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, d.faultAt(place{}, "not a YAML file that can be read", "compare it with the file that solera init writes")
		}
	}()
	tokens := lexer.Tokenize(string(src))
	if err := d.nesting(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			return nil, d.faultAt(tokenPlace(syntax.GetToken()), syntax.GetMessage(), "check indentation, quotes and brackets here and in the line before")
		}
		return nil, d.faultAt(place{}, err.Error(), "")
	}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			return nil, d.fault(doc.Body, "a second document", "keep one document: remove the line ---")
		}
		root = doc.Body
	}
	return root, nil
}

// nesting refuses what would cost stack or time out of proportion: deep
// nesting and sheer length. The parser recurses, the lexer does not.
func (d *decoder) nesting(tokens token.Tokens) error {
	const hint = "compare it with the file that solera init writes"
	if limit := maxConfigTokens * d.times; len(tokens) > limit {
		return d.faultAt(place{}, fmt.Sprintf("more than %d words", limit), hint)
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
		if flow+len(indents)+entries > maxConfigDepth {
			return d.faultAt(tokenPlace(tk), fmt.Sprintf("nested more than %d deep", maxConfigDepth), hint)
		}
	}
	return nil
}

// invalidUTF8 returns the place of the first byte that is not UTF-8.
func invalidUTF8(src []byte) place {
	p := place{1, 1}
	for len(src) > 0 {
		r, n := utf8.DecodeRune(src)
		if r == utf8.RuneError && n == 1 {
			break
		}
		p.col++
		if r == '\n' {
			p = place{p.line + 1, 1}
		}
		src = src[n:]
	}
	return p
}

func tokenPlace(tk *token.Token) place {
	if tk == nil || tk.Position == nil {
		return place{}
	}
	return place{tk.Position.Line, tk.Position.Column}
}

// start returns where a value begins: a block mapping's own token is the first
// colon, so its first key stands for it.
func start(n ast.Node) place {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return tokenPlace(m.Values[0].Key.GetToken())
	}
	return tokenPlace(n.GetToken())
}

func (d *decoder) fault(n ast.Node, msg, hint string) error {
	return d.faultAt(start(n), msg, hint)
}

func (d *decoder) faultAt(p place, msg, hint string) error {
	return &solera.InputError{File: d.file, Line: p.line, Col: p.col, Msg: msg, Hint: hint}
}

// mismatch is the error of a value of another type.
func (d *decoder) mismatch(n ast.Node, path, want, hint string) error {
	return d.fault(n, fmt.Sprintf("%s is %s, want %s", path, describe(n), want), hint)
}

// describe names what a value is, in a user's words.
func describe(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode:
		return "a map"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "empty"
	case *ast.BoolNode:
		return n.GetToken().Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.NanNode, *ast.InfinityNode:
		return "the number " + short(n.GetToken().Value)
	case *ast.StringNode:
		return fmt.Sprintf("the text %q", short(n.Value))
	case *ast.LiteralNode:
		return "a block of text"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias"
	case *ast.TagNode:
		return "a tag"
	}
	return "something else"
}

func short(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:39]) + "…"
	}
	return s
}

// An entry is one key and its value in a map.
type entry struct {
	key   string
	node  ast.Node // of the key
	value ast.Node
}

// entries returns a map's entries in the order of the file. A key given twice
// is an error.
func (d *decoder) entries(n ast.Node, path string) ([]entry, error) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	case *ast.NullNode: // "train:" with all its lines commented out
		return nil, nil
	default:
		return nil, d.mismatch(n, inWords(path), "a map of key: value lines", "")
	}
	seen := make(map[string]place, len(values))
	entries := make([]entry, 0, len(values))
	for _, v := range values {
		switch v.Key.(type) {
		case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode, *ast.NanNode, *ast.InfinityNode:
		default:
			return nil, d.fault(v.Key, describe(v.Key)+" cannot be a key", "write plain key: value lines; what experiments share belongs under train")
		}
		e := entry{v.Key.GetToken().Value, v.Key, v.Value}
		if first, twice := seen[e.key]; twice {
			return nil, d.fault(v.Key, fmt.Sprintf("key %q is given twice, first on line %d", short(e.key), first.line), "keep one of them")
		}
		seen[e.key] = start(v.Key)
		entries = append(entries, e)
	}
	return entries, nil
}

// inWords returns how messages call a path: the root has no name.
func inWords(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// fields returns the tagged fields of a struct type that the variant kind
// knows (kind "" = all), those of inlined structs included.
func fields(t reflect.Type, kind string) []reflect.StructField {
	var fs []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case f.Tag.Get("yaml") == ",inline":
			for _, g := range fields(f.Type, kind) {
				g.Index = append([]int{i}, g.Index...)
				fs = append(fs, g)
			}
		case f.Tag.Get("yaml") == "":
		case kind != "" && f.Tag.Get("kinds") != "" && !slices.Contains(words(f.Tag.Get("kinds")), kind):
		default:
			fs = append(fs, f)
		}
	}
	return fs
}

func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "|")
}

// object fills the struct v from a map. Values of the file replace what v
// holds; what the file does not say stays.
func (d *decoder) object(n ast.Node, v reflect.Value, path, kind string) error {
	entries, err := d.entries(n, path)
	if err != nil {
		return err
	}
	known := fields(v.Type(), kind)
	var late []func() error
	for _, e := range entries {
		i := slices.IndexFunc(known, func(f reflect.StructField) bool { return f.Tag.Get("yaml") == e.key })
		if i < 0 {
			return d.unknownKey(e, v.Type(), known, path, kind)
		}
		f, p := known[i], join(path, e.key)
		fill := func() error { return d.value(e.value, v.FieldByIndex(f.Index), p, f.Tag) }
		// What takes its defaults from its neighbours waits for them,
		// wherever in the file they are.
		if f.Tag.Get("late") != "" {
			late = append(late, fill)
			continue
		}
		if err := fill(); err != nil {
			return err
		}
	}
	for _, fill := range late {
		if err := fill(); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) unknownKey(e entry, t reflect.Type, known []reflect.StructField, path, kind string) error {
	var names []string
	for _, f := range known {
		names = append(names, f.Tag.Get("yaml"))
	}
	where := ""
	if path != "" {
		where = " in " + path
	}
	msg := fmt.Sprintf("unknown key %q%s", short(e.key), where)
	if kind != "" {
		// A key of another variant deserves its own word.
		for _, f := range fields(t, "") {
			if f.Tag.Get("yaml") == e.key {
				return d.fault(e.node, fmt.Sprintf("%s has no %s", kind, e.key),
					"it belongs to "+strings.Join(words(f.Tag.Get("kinds")), ", "))
			}
		}
	}
	return d.fault(e.node, msg, suggest(e.key, names))
}

// suggest names the nearest of the known words, or all when none is near.
func suggest(got string, known []string) string {
	if near := nearest(got, known); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	if len(known) == 0 {
		return "it takes no keys"
	}
	return "use one of: " + strings.Join(known, ", ")
}

// A custom value reads itself.
type custom interface {
	decode(d *decoder, n ast.Node, path string) error
}

// value fills v from n. The tag carries the bounds.
func (d *decoder) value(n ast.Node, v reflect.Value, path string, tag reflect.StructTag) error {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return d.fault(n, describe(n)+" is not read here", "write the value itself; what experiments share belongs under train")
	}
	d.at[path] = start(n)
	if c, ok := v.Addr().Interface().(custom); ok {
		return c.decode(d, n, path)
	}
	switch v.Kind() {
	case reflect.Struct:
		return d.object(n, v, path, "")
	case reflect.Slice:
		return d.list(n, v, path, tag)
	case reflect.Map:
		return d.dict(n, v, path, tag)
	case reflect.String:
		s, err := d.text(n, path, tag)
		v.SetString(s)
		return err
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return d.mismatch(n, path, "true or false", "")
		}
		v.SetBool(b.Value)
		return nil
	case reflect.Int:
		i, err := d.whole(n, path)
		if err != nil {
			return err
		}
		v.SetInt(i)
		return d.within(n, path, float64(i), tag)
	case reflect.Uint64:
		u, err := strconv.ParseUint(scalar(n), 10, 64)
		if _, quoted := plainText(n); err != nil || quoted {
			return d.mismatch(n, path, "a whole number from 0 to 18446744073709551615", "")
		}
		v.SetUint(u)
		return nil
	case reflect.Float64:
		x, err := d.number(n, path)
		if err != nil {
			return err
		}
		v.SetFloat(x)
		return d.within(n, path, x, tag)
	}
	panic("pipeline: no reader for " + v.Type().String()) // a defect: a field of a type that nobody thought of
}

func (d *decoder) list(n ast.Node, v reflect.Value, path string, tag reflect.StructTag) error {
	if _, ok := n.(*ast.NullNode); ok {
		return nil
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		return d.mismatch(n, path, "a list", "write "+leaf(path)+": [first, second]")
	}
	s := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, item := range seq.Values {
		if err := d.value(item, s.Index(i), fmt.Sprintf("%s[%d]", path, i), tag); err != nil {
			return err
		}
	}
	v.Set(s)
	return nil
}

func (d *decoder) dict(n ast.Node, v reflect.Value, path string, tag reflect.StructTag) error {
	entries, err := d.entries(n, path)
	if err != nil {
		return err
	}
	m := reflect.MakeMapWithSize(v.Type(), len(entries))
	for _, e := range entries {
		item := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(e.value, item, join(path, e.key), tag); err != nil {
			return err
		}
		m.SetMapIndex(reflect.ValueOf(e.key), item)
	}
	v.Set(m)
	return nil
}

// leaf is the last key of a path.
func leaf(path string) string {
	return path[strings.LastIndexByte(path, '.')+1:]
}

// scalar returns the text of a scalar as written, "" for anything else.
func scalar(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.NanNode, *ast.InfinityNode, *ast.BoolNode:
		return n.GetToken().Value
	}
	return ""
}

// plainText tells whether a node is text in quotes, or a block of text, and
// not a word that could be a number: the library takes 1e-3 for text.
func plainText(n ast.Node) (s string, quoted bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

// text reads a text. Under text:"any" a number, a date or a word such as null
// is taken as written, since column names and marks of missing values may look
// like that.
func (d *decoder) text(n ast.Node, path string, tag reflect.StructTag) (string, error) {
	var s string
	switch n := n.(type) {
	case *ast.StringNode:
		s = n.Value
	case *ast.LiteralNode:
		s = n.Value.Value
	case *ast.NullNode:
		// "target:" with nothing behind it has a token that is not in the file.
		if tag.Get("text") != "any" || n.GetToken().Type == token.ImplicitNullType {
			return "", d.mismatch(n, path, "text", "write a value, or remove the key")
		}
		s = n.GetToken().Value
	default:
		if scalar(n) == "" {
			return "", d.mismatch(n, path, "text", "")
		}
		if tag.Get("text") != "any" {
			return "", d.mismatch(n, path, "text", fmt.Sprintf("put it in quotes: %s: %q", leaf(path), scalar(n)))
		}
		s = scalar(n)
	}
	if enum := words(tag.Get("enum")); enum != nil && !slices.Contains(enum, s) {
		return "", d.fault(n, fmt.Sprintf("%s is %q, want %s", path, short(s), strings.Join(enum, ", ")), near(s, enum))
	}
	return s, nil
}

// near is suggest for an error that has listed the known words already.
func near(got string, known []string) string {
	if n := nearest(got, known); n != "" {
		return fmt.Sprintf("did you mean %s?", n)
	}
	return ""
}

// whole reads a decimal whole number.
func (d *decoder) whole(n ast.Node, path string) (int64, error) {
	if _, quoted := plainText(n); !quoted {
		s := scalar(n)
		if i, err := strconv.ParseInt(s, 10, 64); err == nil && !octal(s) {
			return i, nil
		}
		// 1e9 and 100.0 are whole, and a value far outside the bounds should
		// be told so.
		if x, err := strconv.ParseFloat(s, 64); err == nil && x == math.Trunc(x) && math.Abs(x) < 1<<62 && isDecimal(s) {
			return int64(x), nil
		}
	}
	return 0, d.mismatch(n, path, "a whole number", "")
}

// number reads a decimal number. NaN and infinities are read, so that the
// bounds refuse them by name.
func (d *decoder) number(n ast.Node, path string) (float64, error) {
	if _, quoted := plainText(n); !quoted {
		s := scalar(n)
		switch strings.ToLower(s) {
		case ".nan", "nan":
			return math.NaN(), nil
		case ".inf", "+.inf", "inf", "+inf":
			return math.Inf(1), nil
		case "-.inf", "-inf":
			return math.Inf(-1), nil
		}
		x, err := strconv.ParseFloat(s, 64)
		if (err == nil || errors.Is(err, strconv.ErrRange)) && isDecimal(s) {
			return x, nil
		}
	}
	return 0, d.mismatch(n, path, "a number", "")
}

// octal tells 010, which YAML's versions read as 8 or as 10.
func octal(s string) bool {
	s = strings.TrimLeft(s, "+-")
	return len(s) > 1 && s[0] == '0'
}

// isDecimal keeps out what strconv reads and people do not write: 0x1p-2,
// 1_000, infinity.
func isDecimal(s string) bool {
	if octal(s) && !strings.ContainsAny(s, ".eE") {
		return false
	}
	return strings.Trim(s, "0123456789.eE+-") == ""
}

// within checks a number against the interval of its tag.
func (d *decoder) within(n ast.Node, path string, x float64, tag reflect.StructTag) error {
	b := parseInterval(tag.Get("in"))
	if b.has(x) {
		return nil
	}
	return d.fault(n, fmt.Sprintf("%s is %s, want %s", path, short(scalar(n)), b), "")
}

// An interval is a tag such as "(0,1]".
type interval struct {
	low, high         float64
	openLow, openHigh bool
}

func parseInterval(s string) interval {
	if s == "" {
		return interval{low: -math.MaxFloat64, high: math.MaxFloat64}
	}
	lo, hi, _ := strings.Cut(s[1:len(s)-1], ",")
	low, err1 := strconv.ParseFloat(lo, 64)
	high, err2 := strconv.ParseFloat(hi, 64)
	if err1 != nil || err2 != nil {
		panic("pipeline: bad interval " + s)
	}
	return interval{low, high, s[0] == '(', s[len(s)-1] == ')'}
}

// has tells whether x lies in the interval; NaN lies in none.
func (b interval) has(x float64) bool {
	return (x > b.low || !b.openLow && x == b.low) && (x < b.high || !b.openHigh && x == b.high)
}

func (b interval) String() string {
	num := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	if b.high >= 1e9 { // the upper bound is only a guard against nonsense
		switch {
		case b.low == -math.MaxFloat64:
			return "a finite number"
		case b.openLow:
			return "a finite number above " + num(b.low)
		case b.high == 1e9:
			return fmt.Sprintf("%s to %s", num(b.low), strconv.FormatFloat(b.high, 'f', -1, 64))
		}
		return "a finite number from " + num(b.low)
	}
	low, high := "at least ", "at most "
	if b.openLow {
		low = "more than "
	}
	if b.openHigh {
		high = "less than "
	}
	return low + num(b.low) + " and " + high + strconv.FormatFloat(b.high, 'f', -1, 64)
}

// nearest returns the known word that got was probably meant to be, "" if none
// is near: at most a third of its letters differ, or one holds the other.
func nearest(got string, known []string) string {
	if len(got) > 64 {
		return ""
	}
	fold := strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(got))
	best, least, letters := "", math.MaxInt, math.MaxInt
	for _, k := range known {
		d := editDistance(fold, strings.ToLower(k))
		dist := d
		if len(fold) >= 3 && (strings.HasPrefix(k, fold) || strings.HasPrefix(fold, k)) {
			dist = min(dist, 1)
		}
		if dist < least || dist == least && d < letters {
			best, least, letters = k, dist, d
		}
	}
	letters = max(utf8.RuneCountInString(fold), utf8.RuneCountInString(best))
	if least >= letters || least > max(1, (letters+1)/3) {
		return ""
	}
	return best
}

// editDistance counts the letters to insert, remove, replace or swap with a
// neighbour (optimal string alignment).
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}

// variant reads a union: a bare name, or a map of one name to its arguments.
// set is called with the name and returns the struct that holds its defaults.
func (d *decoder) variant(n ast.Node, path, kinds string, set func(kind string) reflect.Value) error {
	known := words(kinds)
	form := fmt.Sprintf("write %s: %s, or %s: {%s: {…}}", leaf(path), known[0], leaf(path), known[0])
	check := func(n ast.Node, name string) error {
		if slices.Contains(known, name) {
			return nil
		}
		return d.fault(n, fmt.Sprintf("%s is %q, want one of %s", path, short(name), strings.Join(known, ", ")), near(name, known))
	}
	if s, ok := n.(*ast.StringNode); ok {
		if err := check(n, s.Value); err != nil {
			return err
		}
		set(s.Value)
		return nil
	}
	if _, ok := n.(*ast.MappingNode); !ok {
		return d.mismatch(n, path, "a name, or a map of one name to its arguments", form)
	}
	entries, err := d.entries(n, path)
	if err != nil {
		return err
	}
	if len(entries) != 1 {
		return d.fault(n, fmt.Sprintf("%s has %d keys, want the one name", path, len(entries)), form)
	}
	if err := check(entries[0].node, entries[0].key); err != nil {
		return err
	}
	return d.object(entries[0].value, set(entries[0].key), path, entries[0].key)
}

func (o *Optimizer) decode(d *decoder, n ast.Node, path string) error {
	return d.variant(n, path, optimizerKinds, func(kind string) reflect.Value {
		*o = defaultOptimizer(kind)
		return reflect.ValueOf(o).Elem()
	})
}

func (s *Schedule) decode(d *decoder, n ast.Node, path string) error {
	return d.variant(n, path, scheduleKinds, func(kind string) reflect.Value {
		*s = defaultSchedule(kind)
		return reflect.ValueOf(s).Elem()
	})
}

func (w *ClassWeights) decode(d *decoder, n ast.Node, path string) error {
	*w = ClassWeights{}
	if s, ok := n.(*ast.StringNode); ok {
		switch s.Value {
		case "balanced":
			w.Balanced = true
			return nil
		case "none":
			return nil
		}
	}
	if _, ok := n.(*ast.MappingNode); !ok {
		return d.mismatch(n, path, "none, balanced, or a map of class: weight", "")
	}
	return d.dict(n, reflect.ValueOf(&w.Weights).Elem(), path, `in:"(0,1e30]"`)
}

func (s *EarlyStopping) decode(d *decoder, n ast.Node, path string) error {
	*s = EarlyStopping{}
	switch n := n.(type) {
	case *ast.BoolNode: // YAML 1.1 reads off as false, and so do people
		if !n.Value {
			return nil
		}
	case *ast.StringNode:
		if n.Value == "off" {
			return nil
		}
	case *ast.MappingNode:
		s.Patience = 10
		return d.object(n, reflect.ValueOf(s).Elem(), path, "")
	}
	return d.mismatch(n, path, "off, or a map with patience and min_delta", "write "+leaf(path)+": {patience: 10}")
}

// decode reads a number of units, or a map. What the map does not say stays 0
// here; [Config.resolve] takes it from the model.
func (l *Layer) decode(d *decoder, n ast.Node, path string) error {
	if _, ok := n.(*ast.MappingNode); ok {
		type plain Layer // without this method
		return d.object(n, reflect.ValueOf((*plain)(l)).Elem(), path, "")
	}
	units, err := d.whole(n, path)
	if err != nil {
		return d.mismatch(n, path, "a number of units, or a map with units", "write layers: [64, 32]")
	}
	l.Units = int(units)
	f, _ := reflect.TypeFor[Layer]().FieldByName("Units")
	return d.within(n, path, float64(units), f.Tag)
}

// decode reads the experiments on top of the train section, which has been
// read by then.
func (es *Experiments) decode(d *decoder, n ast.Node, path string) error {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		if _, empty := n.(*ast.NullNode); empty {
			return nil
		}
		return d.mismatch(n, path, "a list", "begin each experiment with a dash: - name: exp001")
	}
	for i, item := range seq.Values {
		e := Experiment{Training: d.cfg.Train}
		if err := d.value(item, reflect.ValueOf(&e).Elem(), fmt.Sprintf("%s[%d]", path, i), ""); err != nil {
			return err
		}
		*es = append(*es, e)
	}
	return nil
}

func (s *Steps) decode(d *decoder, n ast.Node, path string) error {
	switch n := n.(type) {
	case *ast.NullNode:
		return nil
	case *ast.SequenceNode:
		*s = Steps{} // [] is no steps, which is not the default steps
		for i, item := range n.Values {
			p := fmt.Sprintf("%s[%d]", path, i)
			d.at[p] = start(item)
			switch item.(type) {
			case *ast.StringNode, *ast.MappingNode:
			default:
				return d.mismatch(item, p, "a step: a name, or a map of one name to its arguments", "write "+leaf(path)+": [{impute: median}, standardize]")
			}
			v, err := d.anything(item, p)
			if err != nil {
				return err
			}
			step, err := transform.ParseStep(v)
			if err != nil {
				var fault *solera.InputError
				if errors.As(err, &fault) {
					return d.fault(item, fault.Msg, fault.Hint)
				}
				return d.fault(item, err.Error(), "")
			}
			*s = append(*s, step)
		}
		return nil
	}
	return d.mismatch(n, path, "a list of steps", "write "+leaf(path)+": [{impute: median}, standardize]")
}

// anything reads a value whose type the reader does not know.
func (d *decoder) anything(n ast.Node, path string) (any, error) {
	switch n := n.(type) {
	case *ast.MappingNode:
		entries, err := d.entries(n, path)
		if err != nil {
			return nil, err
		}
		m := make(map[string]any, len(entries))
		for _, e := range entries {
			v, err := d.anything(e.value, join(path, e.key))
			if err != nil {
				return nil, err
			}
			m[e.key] = v
		}
		return m, nil
	case *ast.SequenceNode:
		list := make([]any, 0, len(n.Values))
		for i, item := range n.Values {
			v, err := d.anything(item, fmt.Sprintf("%s[%d]", path, i))
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
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode:
		if _, quoted := plainText(n); !quoted {
			if i, err := d.whole(n, path); err == nil {
				return i, nil
			}
			if x, err := d.number(n, path); err == nil && !math.IsNaN(x) && !math.IsInf(x, 0) {
				return x, nil
			}
		}
		if s, ok := n.(*ast.StringNode); ok {
			return s.Value, nil
		}
	}
	return nil, d.mismatch(n, path, "a name, a finite number, a list or a map", "")
}
