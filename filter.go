package solera

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// An Op says how an Expr decides.
type Op string

const (
	And Op = "and" // every one of Args holds
	Or  Op = "or"  // one of Args holds
	Not Op = "not" // Args[0] does not hold

	Equal        Op = "="
	NotEqual     Op = "!="
	Less         Op = "<"
	LessEqual    Op = "<="
	Greater      Op = ">"
	GreaterEqual Op = ">="
	In           Op = "in"   // the field is one of Values; of a list, such as tags, any member
	Like         Op = "like" // % is any text, _ any character; letters match in either case
	Exists       Op = "exists"
)

// An Expr is a condition on a run. The zero Expr holds for every run.
//
// A Field is "id", "name", "project", "stage", "experiment", "group", "sweep",
// "state", "host", "notes", "error", "solera", "created", "started", "finished",
// "stopping", "duration" (seconds), "tags", or a path into the free-form values:
// "params.optimizer", "summary.val.accuracy", "environment.git.commit". A path
// goes through objects by dots, so a key that has a dot itself is written as it
// is: "summary.val.loss" is both {"val": {"loss": 1}} and {"val.loss": 1}. It
// goes through lists too: a list has all the values of its members. A text that
// is "", a null and a list without members are lacking, and so is all of
// "environment.client". A field that the run
// lacks makes every comparison false, also "!="; so Not of an equality and an
// inequality differ, as in SQL.
//
// Values are string, float64 or bool. A number compares with numbers alone, a
// text with texts alone, byte by byte. Times compare as moments: "2026-11-22",
// "2026-11-22T10:00:00Z", or back from now: "-7d", "-12h"; Like reads them as
// RFC 3339. Of several values one that fits is enough, but for "!=": there has
// to be one of the kind compared with, and all of them must differ.
type Expr struct {
	Op     Op
	Args   []Expr
	Field  string
	Values []any
}

// IsZero reports whether e holds for every run.
func (e Expr) IsZero() bool { return e.Op == "" }

// The most that a condition may be. More is a mistake, or an attack.
const (
	maxExprText  = 64 << 10 // bytes
	maxExprDepth = 100
	maxExprNodes = 10_000
)

// The kinds of what a field holds, so that a comparison which can never hold is
// told apart from one that does not.
type fieldKind int

const (
	textField fieldKind = iota
	timeField
	numberField
	freeField // whatever the run holds there
)

// knownFields are the fields that are no path.
func knownFields() []string {
	return []string{
		"created", "duration", "error", "experiment", "finished", "group", "host", "id", "name", "notes", "project",
		"solera", "stage", "started", "state", "stopping", "sweep", "tags",
	}
}

// What people write who come from elsewhere.
func otherWords() map[string]string {
	return map[string]string{
		"metrics": "summary", "metric": "summary", "param": "params", "parameters": "params", "config": "params",
		"tag": "tags", "env": "environment", "status": "state", "job_type": "stage", "exp": "experiment",
		"run_id": "id", "run": "id", "start_time": "started", "end_time": "finished", "attributes": "environment",
	}
}

func kindOf(field string) (fieldKind, error) {
	switch field {
	case "created", "started", "finished", "stopping":
		return timeField, nil
	case "duration":
		return numberField, nil
	}
	if slices.Contains(knownFields(), field) {
		return textField, nil
	}
	head, rest, dotted := strings.Cut(field, ".")
	switch head {
	case "params", "summary", "environment":
		if rest != "" {
			return freeField, nil
		}
		return 0, fmt.Errorf("%w: %s needs a key, such as %s.KEY", ErrInvalid, clip(field), head)
	}
	if word, ok := otherWords()[strings.ToLower(head)]; ok {
		if dotted {
			word += "." + rest
		}
		return 0, fmt.Errorf("%w: no field is called %s; did you mean %s?", ErrInvalid, clip(field), clip(word))
	}
	return 0, fmt.Errorf("%w: no field is called %s; there are %s, and params.KEY, summary.KEY, environment.KEY",
		ErrInvalid, clip(field), strings.Join(knownFields(), ", "))
}

// CheckField reports ErrInvalid unless a run can have the field: see Expr.
func CheckField(field string) error {
	_, err := kindOf(field)
	return err
}

// IsTime reports whether a field of a run is a moment.
func IsTime(field string) bool {
	kind, err := kindOf(field)
	return err == nil && kind == timeField
}

// Check reports ErrInvalid unless e is a condition as ParseExpr returns them:
// known operators with as many arguments as they take, fields that a run can
// have, values that their field can be compared with.
func (e Expr) Check() error {
	if e.IsZero() {
		return nil
	}
	nodes := 0
	if err := e.check(0, &nodes); err != nil {
		return fmt.Errorf("condition: %w", err)
	}
	return nil
}

func (e Expr) check(depth int, nodes *int) error {
	*nodes += 1 + len(e.Values)
	if depth > maxExprDepth || *nodes > maxExprNodes {
		return fmt.Errorf("%w: it is nested deeper than %d, or has more than %d parts", ErrInvalid, maxExprDepth, maxExprNodes)
	}
	switch e.Op {
	case And, Or, Not:
		if len(e.Args) == 0 || e.Op == Not && len(e.Args) != 1 {
			return fmt.Errorf("%w: %q of %d conditions", ErrInvalid, e.Op, len(e.Args))
		}
		for _, arg := range e.Args {
			if err := arg.check(depth+1, nodes); err != nil {
				return err
			}
		}
		return nil
	}
	return e.checkComparison()
}

func (e Expr) checkComparison() error {
	kind, err := kindOf(e.Field)
	if err != nil {
		return err
	}
	want := 1
	switch e.Op {
	case Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual, Like:
	case In:
		want = max(1, len(e.Values))
	case Exists:
		want = 0
	default:
		return fmt.Errorf("%w: no operator is called %s", ErrInvalid, clip(string(e.Op)))
	}
	if len(e.Values) != want {
		return fmt.Errorf("%w: %s with %d values", ErrInvalid, e.Op, len(e.Values))
	}
	for _, v := range e.Values {
		if err := e.checkValue(kind, v); err != nil {
			return err
		}
	}
	return nil
}

func (e Expr) checkValue(kind fieldKind, value any) error {
	bad := func(why string) error { return fmt.Errorf("%w: %s %s: %s", ErrInvalid, clip(e.Field), e.Op, why) }
	switch v := value.(type) {
	case string:
		switch {
		case kind == numberField:
			return bad("it is a number of seconds; compare it with a number")
		case kind == timeField && e.Op != Like:
			_, err := ParseMoment(v, 0)
			return err
		}
	case float64:
		switch {
		case math.IsNaN(v):
			return bad("nothing compares with NaN")
		case e.Op == Like:
			return bad("it compares with a text in quotes")
		case kind == textField:
			return bad("it is a text; put the value in quotes")
		case kind == timeField:
			return bad(`it is a time; compare it with a text such as "2026-11-22" or "-7d"`)
		}
	case bool:
		switch {
		case e.Op != Equal && e.Op != NotEqual && e.Op != In:
			return bad("true and false are equal or not; they have no order")
		case kind != freeField:
			return bad("it is never true or false")
		}
	default:
		return bad(fmt.Sprintf("a value of type %T; want string, float64 or bool", value))
	}
	return nil
}

// ParseMoment reads a time as conditions have them: "2026-11-22",
// "2026-11-22T10:00:00Z", "2026-11-22 10:00" (UTC), or back from now: "-90s",
// "-30m", "-12h", "-7d", "-2w".
func ParseMoment(s string, now Micros) (Micros, error) {
	if number, ok := strings.CutPrefix(s, "-"); ok && number != "" {
		unit, ok := map[byte]time.Duration{
			's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
		}[number[len(number)-1]]
		n, err := strconv.ParseFloat(number[:len(number)-1], 64)
		if ok && err == nil && n >= 0 && n*unit.Seconds() < 1e10 {
			return now - Micros(n*float64(unit.Microseconds())), nil
		}
	}
	for _, layout := range []string{
		time.RFC3339Nano, time.DateOnly, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return MicrosOf(t), nil
		}
	}
	return 0, fmt.Errorf(`%w: %s is no time; write "2026-11-22", "2026-11-22T10:00:00Z" or "-7d" (s, m, h, d, w)`, ErrInvalid, clip(s))
}

// String returns the condition as ParseExpr reads it.
func (e Expr) String() string {
	var b strings.Builder
	e.write(&b)
	return b.String()
}

func (e Expr) write(b *strings.Builder) {
	switch e.Op {
	case "":
	case And, Or:
		for i, arg := range e.Args {
			if i > 0 {
				b.WriteString(" " + string(e.Op) + " ")
			}
			arg.writeWithin(b, arg.Op == Or || arg.Op == e.Op)
		}
	case Not:
		if len(e.Args) == 1 {
			e.writeNot(b, e.Args[0])
		}
	case In:
		e.writeList(b, " in (")
	case Exists:
		writeField(b, e.Field)
		b.WriteString(" is not null")
	default:
		writeField(b, e.Field)
		b.WriteString(" " + string(e.Op) + " ")
		for _, v := range e.Values {
			writeValue(b, v)
		}
	}
}

func (e Expr) writeWithin(b *strings.Builder, parentheses bool) {
	if parentheses {
		b.WriteByte('(')
		defer b.WriteByte(')')
	}
	e.write(b)
}

func (e Expr) writeNot(b *strings.Builder, arg Expr) {
	switch arg.Op {
	case In:
		arg.writeList(b, " not in (")
	case Like:
		writeField(b, arg.Field)
		b.WriteString(" not like ")
		for _, v := range arg.Values {
			writeValue(b, v)
		}
	case Exists:
		writeField(b, arg.Field)
		b.WriteString(" is null")
	default:
		b.WriteString("not ")
		arg.writeWithin(b, arg.Op == And || arg.Op == Or)
	}
}

func (e Expr) writeList(b *strings.Builder, opening string) {
	writeField(b, e.Field)
	b.WriteString(opening)
	for i, v := range e.Values {
		if i > 0 {
			b.WriteString(", ")
		}
		writeValue(b, v)
	}
	b.WriteByte(')')
}

func writeField(b *strings.Builder, field string) {
	if isBare(field) && !isWord(field) {
		b.WriteString(field)
		return
	}
	b.WriteByte('`')
	b.WriteString(strings.ReplaceAll(field, "`", "``"))
	b.WriteByte('`')
}

func writeValue(b *strings.Builder, v any) {
	switch v := v.(type) {
	case string:
		b.WriteByte('"')
		b.WriteString(strings.ReplaceAll(v, `"`, `""`))
		b.WriteByte('"')
	case float64:
		switch {
		case math.IsInf(v, 1):
			b.WriteString("inf")
		case math.IsInf(v, -1):
			b.WriteString("-inf")
		default:
			b.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
		}
	case bool:
		b.WriteString(strconv.FormatBool(v))
	}
}

// isBare reports whether a field can stand without backquotes.
func isBare(s string) bool {
	for i, c := range s {
		if !(unicode.IsLetter(c) || c == '_' || i > 0 && isBareRest(c)) {
			return false
		}
	}
	return s != ""
}

func isBareRest(c rune) bool {
	return unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("_./-:@", c)
}

// isWord reports whether s means something to the grammar.
func isWord(s string) bool {
	switch strings.ToLower(s) {
	case "and", "or", "not", "in", "like", "is", "null", "between", "true", "false", "inf", "infinity", "nan":
		return true
	}
	return false
}

// excerpt is how many characters of a condition an error shows.
const excerpt = 48

// errAt is an error at a place in a condition.
type errAt struct {
	start, end int // bytes of the token at fault
	msg, hint  string
}

func (e *errAt) Error() string { return e.msg }

// place makes err an InputError that shows where in text it is.
func place(text string, err error) error {
	var at *errAt
	if !errors.As(err, &at) {
		return err
	}
	before := text[:min(at.start, len(text))]
	line := 1 + strings.Count(before, "\n")
	col := 1 + len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
	end := min(max(at.end, at.start), len(text))
	shown := []rune(strings.ToValidUTF8(text[:end], "\uFFFD"))
	prefix := ""
	if len(shown) > excerpt {
		shown, prefix = shown[len(shown)-excerpt:], "…"
	}
	quoted := strconv.QuoteToGraphic(string(shown))
	return &InputError{
		Op: "condition", Line: line, Col: col, Hint: at.hint,
		Msg: fmt.Sprintf("%s: %s%s <-- here", at.msg, prefix, quoted[1:len(quoted)-1]),
	}
}
