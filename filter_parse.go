package solera

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParseExpr reads a condition:
//
//	params.optimizer = "adam" and summary.val.accuracy > 0.9 or tags in ("best")
//
// Not binds tighter than and, and tighter than or; parentheses group. A
// comparison is FIELD = VALUE with =, !=, <, <=, >, >= (== and <> too), FIELD
// [not] in (VALUE, …), FIELD [not] like "TEXT%", FIELD [not] between VALUE and
// VALUE, FIELD is [not] null. Words may be in capitals.
//
// A field is written as it is if it has letters, digits and . _ / - : @ alone,
// else in backquotes, wholly or in part: summary.`val loss`. A text stands in
// double or single quotes; the quote itself is written twice, and a backslash
// is nothing special. Numbers are as in JSON, or inf; and there are true and
// false. NOT IN, NOT LIKE and NOT BETWEEN are the Not of the comparison, so they
// hold for a run that lacks the field.
//
// The empty text is the zero Expr. Everything else is an InputError that shows
// the place.
func ParseExpr(text string) (Expr, error) {
	if len(text) > maxExprText {
		return Expr{}, &InputError{Op: "condition", Msg: fmt.Sprintf("%d bytes, at most %d are allowed", len(text), maxExprText)}
	}
	if !utf8.ValidString(text) {
		return Expr{}, &InputError{Op: "condition", Msg: "it is not UTF-8"}
	}
	p := exprParser{text: text}
	e, err := p.whole()
	if err != nil {
		return Expr{}, place(text, err)
	}
	// So that what parses here is a condition everywhere, and its String too.
	if err := e.Check(); err != nil {
		return Expr{}, &InputError{Op: "condition", Msg: strings.TrimPrefix(err.Error(), "condition: "), Hint: "make it simpler"}
	}
	if n := len(e.String()); n > maxExprText {
		return Expr{}, &InputError{Op: "condition", Msg: fmt.Sprintf("%d bytes, at most %d are allowed", n, maxExprText)}
	}
	return e, nil
}

type tokenKind int

const (
	endToken    tokenKind = iota
	wordToken             // a field, or a word of the grammar
	fieldToken            // a field in backquotes: never a word of the grammar
	textToken             // in quotes
	numberToken           // 1, -2.5e3
	signToken             // = != < ( ) ,
)

type exprToken struct {
	kind       tokenKind
	text       string // of a text or field without its quotes
	start, end int    // bytes
}

// is reports whether the token is a word of the grammar.
func (t exprToken) is(word string) bool {
	return t.kind == wordToken && strings.EqualFold(t.text, word)
}

func (t exprToken) sign(s string) bool { return t.kind == signToken && t.text == s }

type exprParser struct {
	text  string
	token exprToken // the next
	depth int
	nodes int
}

func (p *exprParser) fail(t exprToken, hint, format string, args ...any) error {
	return &errAt{t.start, t.end, fmt.Sprintf(format, args...), hint}
}

func (p *exprParser) whole() (Expr, error) {
	if err := p.next(); err != nil {
		return Expr{}, err
	}
	if p.token.kind == endToken {
		return Expr{}, nil
	}
	e, err := p.or()
	if err != nil {
		return Expr{}, err
	}
	if p.token.kind != endToken {
		return Expr{}, p.fail(p.token, "join conditions with and, or", "something is left over")
	}
	return e, nil
}

func (p *exprParser) or() (Expr, error) { return p.chain(Or, p.and) }

func (p *exprParser) and() (Expr, error) { return p.chain(And, p.not) }

// chain reads arg (op arg)….
func (p *exprParser) chain(op Op, arg func() (Expr, error)) (Expr, error) {
	first, err := arg()
	if err != nil || !p.token.is(string(op)) {
		return first, err
	}
	e := Expr{Op: op, Args: []Expr{first}}
	if err := p.count(1); err != nil {
		return Expr{}, err
	}
	for p.token.is(string(op)) {
		if err := p.next(); err != nil {
			return Expr{}, err
		}
		a, err := arg()
		if err != nil {
			return Expr{}, err
		}
		e.Args = append(e.Args, a)
	}
	return e, nil
}

func (p *exprParser) count(n int) error {
	// Whether the tree is small enough is for Check to say.
	if p.nodes += n; p.nodes > 4*maxExprNodes {
		return p.fail(p.token, "make it simpler", "more than %d parts", maxExprNodes)
	}
	return nil
}

// deeper guards the stack: what is nested is read by a function that calls
// itself.
func (p *exprParser) deeper(read func() (Expr, error)) (Expr, error) {
	if p.depth++; p.depth > 4*maxExprDepth {
		return Expr{}, p.fail(p.token, "make it flatter", "nested too deep")
	}
	e, err := read()
	p.depth--
	return e, err
}

func (p *exprParser) not() (Expr, error) {
	if !p.token.is("not") {
		return p.primary()
	}
	if err := p.next(); err != nil {
		return Expr{}, err
	}
	if err := p.count(1); err != nil {
		return Expr{}, err
	}
	arg, err := p.deeper(p.not)
	if err != nil {
		return Expr{}, err
	}
	return Expr{Op: Not, Args: []Expr{arg}}, nil
}

func (p *exprParser) primary() (Expr, error) {
	if !p.token.sign("(") {
		return p.comparison()
	}
	opening := p.token
	if err := p.next(); err != nil {
		return Expr{}, err
	}
	e, err := p.deeper(p.or)
	if err != nil {
		return Expr{}, err
	}
	if !p.token.sign(")") {
		if p.token.kind == endToken {
			return Expr{}, p.fail(opening, "add the )", "this parenthesis is not closed")
		}
		return Expr{}, p.fail(p.token, "join conditions with and, or, or close the parenthesis", "something is left over")
	}
	return e, p.next()
}

func (p *exprParser) comparison() (Expr, error) {
	name := p.token
	switch {
	case name.kind == endToken:
		return Expr{}, p.fail(name, `add a comparison, such as state = "finished"`, "the condition ends too early")
	case name.kind == fieldToken, name.kind == wordToken && !isWord(name.text):
	default:
		return Expr{}, p.fail(name, `write the field first: summary.accuracy > 0.9`, "want a field")
	}
	if err := CheckField(name.text); err != nil {
		return Expr{}, p.fail(name, "", "%s", strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
	}
	if err := p.next(); err != nil {
		return Expr{}, err
	}
	if err := p.count(1); err != nil {
		return Expr{}, err
	}
	if p.token.is("is") {
		return p.isNull(name.text)
	}
	negated := p.token.is("not")
	if negated {
		if err := p.next(); err != nil {
			return Expr{}, err
		}
	}
	e, err := p.operator(name, negated)
	if err == nil && negated {
		e = Expr{Op: Not, Args: []Expr{e}}
	}
	return e, err
}

func (p *exprParser) isNull(field string) (Expr, error) {
	if err := p.next(); err != nil {
		return Expr{}, err
	}
	e := Expr{Op: Exists, Field: field}
	if p.token.is("not") {
		if err := p.next(); err != nil {
			return Expr{}, err
		}
	} else {
		e = Expr{Op: Not, Args: []Expr{e}}
	}
	if !p.token.is("null") {
		return Expr{}, p.fail(p.token, "write FIELD is null, or FIELD is not null", "want null")
	}
	return e, p.next()
}

func (p *exprParser) operator(name exprToken, negated bool) (Expr, error) {
	t := p.token
	e := Expr{Field: name.text}
	switch {
	case t.is("in"):
		e.Op = In
		return p.list(e)
	case t.is("between"):
		return p.between(e)
	case t.is("like"):
		e.Op = Like
	case t.kind == signToken && !negated:
		switch t.text {
		case "=", "==":
			e.Op = Equal
		case "!=", "<>":
			e.Op = NotEqual
		case "<", "<=", ">", ">=":
			e.Op = Op(t.text)
		}
	}
	if e.Op == "" {
		hint := "use =, !=, <, <=, >, >=, in, like, between or is null"
		if negated {
			hint = "use not in, not like or not between; or write not before the field"
		}
		return Expr{}, p.fail(t, hint, "want a comparison after %s", clip(name.text))
	}
	if err := p.next(); err != nil {
		return Expr{}, err
	}
	return p.oneValue(e)
}

// oneValue reads the value of a comparison.
func (p *exprParser) oneValue(e Expr) (Expr, error) {
	v, err := p.value(e)
	if err != nil {
		return Expr{}, err
	}
	e.Values = []any{v}
	return e, nil
}

func (p *exprParser) list(e Expr) (Expr, error) {
	if err := p.next(); err != nil {
		return Expr{}, err
	}
	if !p.token.sign("(") {
		return Expr{}, p.fail(p.token, `write FIELD in ("a", "b")`, "want a list in parentheses")
	}
	for first := true; first || p.token.sign(","); first = false {
		if err := p.next(); err != nil {
			return Expr{}, err
		}
		v, err := p.value(e)
		if err != nil {
			return Expr{}, err
		}
		e.Values = append(e.Values, v)
	}
	if !p.token.sign(")") {
		return Expr{}, p.fail(p.token, `write FIELD in ("a", "b")`, "want a comma or the end of the list")
	}
	return e, p.next()
}

// between reads FIELD between A and B as FIELD >= A and FIELD <= B.
func (p *exprParser) between(e Expr) (Expr, error) {
	if err := p.next(); err != nil {
		return Expr{}, err
	}
	low, high := e, e
	low.Op, high.Op = GreaterEqual, LessEqual
	low, err := p.oneValue(low)
	if err != nil {
		return Expr{}, err
	}
	if !p.token.is("and") {
		return Expr{}, p.fail(p.token, "write FIELD between LOW and HIGH", "want and")
	}
	if err := p.next(); err != nil {
		return Expr{}, err
	}
	if high, err = p.oneValue(high); err != nil {
		return Expr{}, err
	}
	return Expr{Op: And, Args: []Expr{low, high}}, p.count(2)
}

// value reads a value that e can be compared with.
func (p *exprParser) value(e Expr) (any, error) {
	t := p.token
	var v any
	switch {
	case t.kind == textToken:
		v = t.text
	case t.kind == numberToken:
		x, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return nil, p.fail(t, "a number is written as 12, -0.5 or 1e-3; put a text in quotes", "not a number")
		}
		v = x + 0 // no -0: it equals 0
	case t.is("true"), t.is("false"):
		v = t.is("true")
	case t.is("inf"), t.is("infinity"):
		v = math.Inf(1)
	case t.is("null"):
		return nil, p.fail(t, "write is null or is not null", "nothing compares with null")
	case t.is("nan"):
		return nil, p.fail(t, "a NaN is stored as no value: write is null", "nothing compares with NaN")
	case t.kind == wordToken && !isWord(t.text), t.kind == fieldToken:
		return nil, p.fail(t, "put a text in quotes", "want a value")
	default:
		return nil, p.fail(t, `a value is a number, a text in quotes, true or false`, "want a value")
	}
	kind, err := kindOf(e.Field)
	if err == nil {
		err = e.checkValue(kind, v)
	}
	if err != nil {
		return nil, p.fail(t, "", "%s", strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
	}
	if err := p.count(1); err != nil {
		return nil, err
	}
	return v, p.next()
}

// next reads the next token.
func (p *exprParser) next() error {
	i := p.token.end
	for i < len(p.text) {
		c, n := utf8.DecodeRuneInString(p.text[i:])
		if !unicode.IsSpace(c) {
			break
		}
		i += n
	}
	t := exprToken{start: i, end: i}
	if i == len(p.text) {
		p.token = t
		return nil
	}
	c, size := utf8.DecodeRuneInString(p.text[i:])
	switch {
	case c == '"' || c == '\'':
		s, n, ok := quoted(p.text[i:])
		if !ok {
			t.end = i + 1
			return p.fail(t, "add the quote that ends it", "this text does not end")
		}
		t.kind, t.text, t.end = textToken, s, i+n
	case unicode.IsLetter(c) || c == '_' || c == '`':
		return p.word(t)
	case unicode.IsDigit(c) || c == '.' || c == '+' || c == '-':
		return p.number(t)
	default:
		t.kind, t.end = signToken, i+size
		if i+2 <= len(p.text) {
			switch two := p.text[i : i+2]; two {
			case "==", "!=", "<>", "<=", ">=", "&&", "||":
				t.end = i + 2
			}
		}
		t.text = p.text[i:t.end]
		switch t.text {
		case "=", "==", "!=", "<>", "<", "<=", ">", ">=", "(", ")", ",":
		case "&&", "&":
			return p.fail(t, "write and", "no operator of conditions")
		case "||", "|":
			return p.fail(t, "write or", "no operator of conditions")
		case "!":
			return p.fail(t, "write not", "no operator of conditions")
		default:
			return p.fail(t, "put a text into quotes, and a field with odd characters into backquotes", "a character without meaning")
		}
	}
	p.token = t
	return nil
}

// quoted reads what begins with a quote up to the same one; two are one.
func quoted(s string) (text string, n int, ok bool) {
	quote := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != quote {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == quote {
			i++
			b.WriteByte(quote)
			continue
		}
		return b.String(), i + 1, true
	}
	return "", 0, false
}

// word reads a word, or a field that may have parts in backquotes.
func (p *exprParser) word(t exprToken) error {
	t.kind = wordToken
	var b strings.Builder
	i := t.start
	for i < len(p.text) {
		if p.text[i] == '`' {
			s, n, ok := quoted(p.text[i:])
			if !ok {
				t.start, t.end = i, i+1
				return p.fail(t, "add the backquote that ends it", "this field does not end")
			}
			b.WriteString(s)
			t.kind = fieldToken
			i += n
			continue
		}
		c, n := utf8.DecodeRuneInString(p.text[i:])
		if !isBareRest(c) {
			break
		}
		b.WriteRune(c)
		i += n
	}
	t.text, t.end = b.String(), i
	p.token = t
	return nil
}

// number reads a number, or -inf.
func (p *exprParser) number(t exprToken) error {
	i := t.start + 1
	for i < len(p.text) {
		c := p.text[i]
		sign := c == '+' || c == '-'
		exponent := p.text[i-1] == 'e' || p.text[i-1] == 'E'
		if !(c >= '0' && c <= '9' || c == '.' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || sign && exponent) {
			break
		}
		i++
	}
	t.kind, t.text, t.end = numberToken, p.text[t.start:i], i
	switch strings.ToLower(t.text) {
	case "-inf", "+inf", "-infinity", "+infinity":
	default:
		// ParseFloat takes more than people mean: 0x1p-2, 1_000.
		if t.end == t.start+1 && !unicode.IsDigit(rune(t.text[0])) || strings.Trim(t.text, "0123456789.eE+-") != "" {
			return p.fail(t, "a number is written as 12, -0.5 or 1e-3; put a text in quotes", "not a number")
		}
	}
	p.token = t
	return nil
}
