// Package lenient reads and writes JSON as Python writes it: with the bare words
// NaN, Infinity and -Infinity where a number stands. encoding/json refuses those,
// and rows of clients are full of them.
//
// It imports nothing of this module.
package lenient

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep a value may be nested. It stops text that is made to
// exhaust the stack.
const MaxDepth = 60

// A Reader reads a string from its start to its end. Numbers and texts without
// escapes are parts of it, not copies. A copy of a Reader reads ahead.
type Reader struct {
	s string
	i int
}

// NewReader returns a Reader of a text.
func NewReader(text string) Reader { return Reader{s: text} }

// Since returns what was read since a copy of the Reader was made.
func (r *Reader) Since(before Reader) string { return r.s[before.i:r.i] }

// Rest is what was not read yet.
func (r *Reader) Rest() string { return r.s[r.i:] }

// Fail is an error at the place that was reached.
func (r *Reader) Fail(format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s", r.i, fmt.Sprintf(format, args...))
}

// Space passes white space.
func (r *Reader) Space() {
	for r.i < len(r.s) {
		switch r.s[r.i] {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return
		}
	}
}

// Peek returns the next byte that is no space, 0 at the end.
func (r *Reader) Peek() byte {
	r.Space()
	if r.i == len(r.s) {
		return 0
	}
	return r.s[r.i]
}

// Expect passes a byte that must come next.
func (r *Reader) Expect(c byte) error {
	if r.Peek() != c {
		return r.Fail("want %q", string(c))
	}
	r.i++
	return nil
}

// End reports an error unless only white space is left.
func (r *Reader) End() error {
	if r.Peek() != 0 || r.i < len(r.s) {
		return r.Fail("something follows the value")
	}
	return nil
}

// Members calls fn before the value of each member of an object; fn reads it.
func (r *Reader) Members(fn func(key string) error) error {
	if err := r.Expect('{'); err != nil {
		return err
	}
	if r.Peek() == '}' {
		r.i++
		return nil
	}
	for {
		if r.Peek() != '"' {
			return r.Fail("want a key")
		}
		key, err := r.Text()
		if err != nil {
			return err
		}
		if err := r.Expect(':'); err != nil {
			return err
		}
		if err := fn(key); err != nil {
			return err
		}
		switch r.Peek() {
		case ',':
			r.i++
		case '}':
			r.i++
			return nil
		default:
			return r.Fail("want , or }")
		}
	}
}

// Elements calls fn before each element of a list; fn reads it.
func (r *Reader) Elements(fn func() error) error {
	if err := r.Expect('['); err != nil {
		return err
	}
	if r.Peek() == ']' {
		r.i++
		return nil
	}
	for {
		if err := fn(); err != nil {
			return err
		}
		switch r.Peek() {
		case ',':
			r.i++
		case ']':
			r.i++
			return nil
		default:
			return r.Fail("want , or ]")
		}
	}
}

// Text reads a string.
func (r *Reader) Text() (string, error) {
	if r.i >= len(r.s) || r.s[r.i] != '"' {
		return "", r.Fail("want a string")
	}
	r.i++
	start := r.i
	high := false
	for r.i < len(r.s) {
		switch c := r.s[r.i]; {
		case c >= utf8.RuneSelf:
			high = true
		case c == '"':
			s := r.s[start:r.i]
			r.i++
			if high && !utf8.ValidString(s) {
				s = strings.ToValidUTF8(s, "\uFFFD")
			}
			return s, nil
		case c == '\\':
			return r.escaped(start)
		case c < ' ':
			return "", r.Fail("a string has a control character")
		}
		r.i++
	}
	return "", r.Fail("a string does not end")
}

// escaped reads the rest of a string that has escapes, from its start.
func (r *Reader) escaped(start int) (string, error) {
	// A line of history is a text full of quotes. Where it ends is found by
	// looking for a quote that is not escaped, so that the copy has its place.
	end := r.i
	for end < len(r.s) {
		n := strings.IndexByte(r.s[end:], '"')
		if n < 0 {
			end = len(r.s)
			break
		}
		end += n
		escapes := 0
		for r.s[end-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			break
		}
		end++
	}
	b := make([]byte, 0, end-start)
	b = append(b, r.s[start:r.i]...)
	for r.i < len(r.s) {
		c := r.s[r.i]
		switch {
		case c == '"':
			r.i++
			if !utf8.Valid(b) {
				b = bytes.ToValidUTF8(b, []byte("\uFFFD"))
			}
			return string(b), nil
		case c == '\\':
			if r.i+1 >= len(r.s) {
				return "", r.Fail("a string does not end")
			}
			r.i += 2
			switch e := r.s[r.i-1]; e {
			case '"', '\\', '/':
				b = append(b, e)
			case 'n':
				b = append(b, '\n')
			case 't':
				b = append(b, '\t')
			case 'r':
				b = append(b, '\r')
			case 'b':
				b = append(b, '\b')
			case 'f':
				b = append(b, '\f')
			case 'u':
				c, err := r.hex()
				if err != nil {
					return "", err
				}
				if utf16.IsSurrogate(c) && strings.HasPrefix(r.s[r.i:], `\u`) {
					at := r.i
					r.i += 2
					low, err := r.hex()
					if err != nil {
						return "", err
					}
					if both := utf16.DecodeRune(c, low); both != utf8.RuneError {
						c = both
					} else {
						r.i = at
					}
				}
				b = utf8.AppendRune(b, c)
			default:
				return "", r.Fail("a string has the escape \\%c", e)
			}
		case c < ' ':
			return "", r.Fail("a string has a control character")
		default:
			plain := r.i
			for r.i < end && r.s[r.i] != '\\' && r.s[r.i] >= ' ' {
				r.i++
			}
			b = append(b, r.s[plain:r.i]...)
		}
	}
	return "", r.Fail("a string does not end")
}

func (r *Reader) hex() (rune, error) {
	if r.i+4 > len(r.s) {
		return 0, r.Fail("a string does not end")
	}
	n, err := strconv.ParseUint(r.s[r.i:r.i+4], 16, 32)
	if err != nil {
		return 0, r.Fail("want four hexadecimal digits")
	}
	r.i += 4
	return rune(n), nil
}

// Number reads a number, or one of the words for what JSON has none for. Words
// have no digits.
func (r *Reader) Number() (digits string, x float64, err error) {
	start := r.i
	switch rest := r.s[r.i:]; {
	case strings.HasPrefix(rest, "NaN"):
		r.i += len("NaN")
		return "", math.NaN(), nil
	case strings.HasPrefix(rest, "Infinity"):
		r.i += len("Infinity")
		return "", math.Inf(1), nil
	case strings.HasPrefix(rest, "-Infinity"):
		r.i += len("-Infinity")
		return "", math.Inf(-1), nil
	}
	if r.i < len(r.s) && r.s[r.i] == '-' {
		r.i++
	}
	whole := r.digits()
	ok := whole > 0 && (whole == 1 || r.s[r.i-whole] != '0')
	if ok && r.i < len(r.s) && r.s[r.i] == '.' {
		r.i++
		ok = r.digits() > 0
	}
	if ok && r.i < len(r.s) && (r.s[r.i] == 'e' || r.s[r.i] == 'E') {
		r.i++
		if r.i < len(r.s) && (r.s[r.i] == '+' || r.s[r.i] == '-') {
			r.i++
		}
		ok = r.digits() > 0
	}
	if !ok {
		r.i = start
		return "", 0, r.Fail("want a value")
	}
	digits = r.s[start:r.i]
	x, err = strconv.ParseFloat(digits, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // too large is an infinity
		return "", 0, r.Fail("%v", err)
	}
	return digits, x, nil
}

func (r *Reader) digits() int {
	start := r.i
	for r.i < len(r.s) && r.s[r.i] >= '0' && r.s[r.i] <= '9' {
		r.i++
	}
	return r.i - start
}

// Word passes true, false or null.
func (r *Reader) Word(w string) error {
	if !strings.HasPrefix(r.s[r.i:], w) {
		return r.Fail("want a value")
	}
	r.i += len(w)
	return nil
}

// Value reads any value: nil, bool, string, json.Number, float64 (for NaN and
// the infinities), []any, map[string]any.
func (r *Reader) Value(depth int) (any, error) {
	if depth > MaxDepth {
		return nil, r.Fail("it is nested deeper than %d", MaxDepth)
	}
	switch r.Peek() {
	case 0:
		return nil, r.Fail("want a value")
	case '{':
		m := map[string]any{}
		err := r.Members(func(key string) (err error) {
			m[key], err = r.Value(depth + 1)
			return err
		})
		return m, err
	case '[':
		list := []any{}
		err := r.Elements(func() error {
			v, err := r.Value(depth + 1)
			list = append(list, v)
			return err
		})
		return list, err
	case '"':
		return r.Text()
	case 't':
		return true, r.Word("true")
	case 'f':
		return false, r.Word("false")
	case 'n':
		return nil, r.Word("null")
	default:
		digits, x, err := r.Number()
		if err != nil || digits == "" {
			return x, err
		}
		return json.Number(digits), nil
	}
}

// Decode reads one value: map[string]any, []any, string, bool, nil, json.Number
// with its digits as they came, and float64 for the three words alone. Of a key
// that appears twice the last value counts. Text that is not UTF-8, and a lone
// surrogate, become U+FFFD.
func Decode(text string) (any, error) {
	r := Reader{s: text}
	v, err := r.Value(0)
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Append appends a value of the types that Decode gives and of Go's, keys
// sorted, with the three words bare.
func Append(b []byte, v any) ([]byte, error) { return appendValue(b, v, "", 0) }

// AppendStrict is Append for those who read JSON alone: the three words stand in
// quotes.
func AppendStrict(b []byte, v any) ([]byte, error) { return appendValue(b, v, `"`, 0) }

func appendValue(b []byte, v any, quote string, depth int) ([]byte, error) {
	if depth > MaxDepth+1 {
		return nil, fmt.Errorf("it is nested deeper than %d", MaxDepth)
	}
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case json.Number:
		return append(b, v...), nil
	case json.RawMessage:
		return append(b, v...), nil
	case float64:
		return appendFloat(b, v, quote), nil
	case string:
		return appendText(b, v)
	case map[string]any:
		b = append(b, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendText(b, key); err != nil {
				return nil, err
			}
			if b, err = appendValue(append(b, ':'), v[key], quote, depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case []any:
		b = append(b, '[')
		for i, x := range v {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendValue(b, x, quote, depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	if named := reflect.ValueOf(v); named.CanConvert(object) { // solera.Fields and its like
		return appendValue(b, named.Convert(object).Interface(), quote, depth)
	}
	return appendOther(b, v)
}

var object = reflect.TypeFor[map[string]any]()

func appendFloat(b []byte, x float64, quote string) []byte {
	word := ""
	switch {
	case math.IsNaN(x):
		word = "NaN"
	case math.IsInf(x, 1):
		word = "Infinity"
	case math.IsInf(x, -1):
		word = "-Infinity"
	case x == math.Trunc(x) && math.Abs(x) < 1e15:
		return strconv.AppendFloat(b, x, 'f', -1, 64) // as Python reads an integer
	default:
		return strconv.AppendFloat(b, x, 'g', -1, 64)
	}
	return append(append(append(b, quote...), word...), quote...)
}

// appendText writes a text; most, as keys, are in JSON as they are.
func appendText(b []byte, s string) ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return appendOther(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"'), nil
}

// appendOther leaves to encoding/json what it can do.
func appendOther(b []byte, v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // "<" is as good a character as any other
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return append(b, bytes.TrimRight(out.Bytes(), "\n")...), nil
}
