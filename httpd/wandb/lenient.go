package wandb

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Clients write JSON with the bare words NaN, Infinity and -Infinity in it.
// What is read here may have them; what is written has them as strings.

// maxJSONDepth stops text that is made to exhaust the stack.
const maxJSONDepth = 60

// A reader reads lenient JSON from a string. Numbers and plain strings are parts
// of it, not copies.
type reader struct {
	s string
	i int
}

func (r *reader) fail(format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s", r.i, fmt.Sprintf(format, args...))
}

func (r *reader) space() {
	for r.i < len(r.s) {
		switch r.s[r.i] {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return
		}
	}
}

// peek returns the next byte that is no space, 0 at the end.
func (r *reader) peek() byte {
	r.space()
	if r.i == len(r.s) {
		return 0
	}
	return r.s[r.i]
}

func (r *reader) expect(c byte) error {
	if r.peek() != c {
		return r.fail("want %q", string(c))
	}
	r.i++
	return nil
}

func (r *reader) end() error {
	if r.peek() != 0 || r.i < len(r.s) {
		return r.fail("something follows the value")
	}
	return nil
}

// members calls fn before the value of each member of an object; fn reads it.
func (r *reader) members(fn func(key string) error) error {
	if err := r.expect('{'); err != nil {
		return err
	}
	if r.peek() == '}' {
		r.i++
		return nil
	}
	for {
		if r.peek() != '"' {
			return r.fail("want a key")
		}
		key, err := r.text()
		if err != nil {
			return err
		}
		if err := r.expect(':'); err != nil {
			return err
		}
		if err := fn(key); err != nil {
			return err
		}
		switch r.peek() {
		case ',':
			r.i++
		case '}':
			r.i++
			return nil
		default:
			return r.fail("want , or }")
		}
	}
}

// elements calls fn before each element of a list; fn reads it.
func (r *reader) elements(fn func() error) error {
	if err := r.expect('['); err != nil {
		return err
	}
	if r.peek() == ']' {
		r.i++
		return nil
	}
	for {
		if err := fn(); err != nil {
			return err
		}
		switch r.peek() {
		case ',':
			r.i++
		case ']':
			r.i++
			return nil
		default:
			return r.fail("want , or ]")
		}
	}
}

// text reads a string.
func (r *reader) text() (string, error) {
	if r.i >= len(r.s) || r.s[r.i] != '"' {
		return "", r.fail("want a string")
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
			return "", r.fail("a string has a control character")
		}
		r.i++
	}
	return "", r.fail("a string does not end")
}

// escaped reads the rest of a string that has escapes, from its start.
func (r *reader) escaped(start int) (string, error) {
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
				return "", r.fail("a string does not end")
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
				return "", r.fail("a string has the escape \\%c", e)
			}
		case c < ' ':
			return "", r.fail("a string has a control character")
		default:
			plain := r.i
			for r.i < end && r.s[r.i] != '\\' && r.s[r.i] >= ' ' {
				r.i++
			}
			b = append(b, r.s[plain:r.i]...)
		}
	}
	return "", r.fail("a string does not end")
}

func (r *reader) hex() (rune, error) {
	if r.i+4 > len(r.s) {
		return 0, r.fail("a string does not end")
	}
	n, err := strconv.ParseUint(r.s[r.i:r.i+4], 16, 32)
	if err != nil {
		return 0, r.fail("want four hexadecimal digits")
	}
	r.i += 4
	return rune(n), nil
}

// number reads a number, or one of the words for what JSON has none for. Words
// have no digits.
func (r *reader) number() (digits string, x float64, err error) {
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
		return "", 0, r.fail("want a value")
	}
	digits = r.s[start:r.i]
	x, err = strconv.ParseFloat(digits, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // too large is an infinity
		return "", 0, r.fail("%v", err)
	}
	return digits, x, nil
}

func (r *reader) digits() int {
	start := r.i
	for r.i < len(r.s) && r.s[r.i] >= '0' && r.s[r.i] <= '9' {
		r.i++
	}
	return r.i - start
}

func (r *reader) word(w string) error {
	if !strings.HasPrefix(r.s[r.i:], w) {
		return r.fail("want a value")
	}
	r.i += len(w)
	return nil
}

// value reads any value: nil, bool, string, json.Number, float64 (for NaN and
// the infinities), []any, map[string]any.
func (r *reader) value(depth int) (any, error) {
	if depth > maxJSONDepth {
		return nil, r.fail("it is nested deeper than %d", maxJSONDepth)
	}
	switch r.peek() {
	case 0:
		return nil, r.fail("want a value")
	case '{':
		m := map[string]any{}
		err := r.members(func(key string) (err error) {
			m[key], err = r.value(depth + 1)
			return err
		})
		return m, err
	case '[':
		list := []any{}
		err := r.elements(func() error {
			v, err := r.value(depth + 1)
			list = append(list, v)
			return err
		})
		return list, err
	case '"':
		return r.text()
	case 't':
		return true, r.word("true")
	case 'f':
		return false, r.word("false")
	case 'n':
		return nil, r.word("null")
	default:
		digits, x, err := r.number()
		if err != nil || digits == "" {
			return x, err
		}
		return json.Number(digits), nil
	}
}

// decode reads one lenient value.
func decode(raw []byte) (any, error) {
	r := reader{s: string(raw)}
	v, err := r.value(0)
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// encodeJSON writes what decode reads as strict JSON, keys sorted.
func encodeJSON(v any) json.RawMessage {
	var b bytes.Buffer
	writeValue(&b, v)
	return b.Bytes()
}

func writeValue(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case string:
		writeText(b, v)
	case json.Number:
		b.WriteString(v.String())
	case json.RawMessage:
		b.Write(v)
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case int:
		b.WriteString(strconv.Itoa(v))
	case float64:
		switch {
		case math.IsNaN(v):
			b.WriteString(`"NaN"`)
		case math.IsInf(v, 1):
			b.WriteString(`"Infinity"`)
		case math.IsInf(v, -1):
			b.WriteString(`"-Infinity"`)
		default:
			b.Write(strconv.AppendFloat(b.AvailableBuffer(), v, 'g', -1, 64))
		}
	case []any:
		b.WriteByte('[')
		for i, x := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeValue(b, x)
		}
		b.WriteByte(']')
	case map[string]any:
		b.WriteByte('{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteByte(',')
			}
			writeText(b, key)
			b.WriteByte(':')
			writeValue(b, v[key])
		}
		b.WriteByte('}')
	default:
		raw, err := json.Marshal(v)
		if err != nil {
			raw = []byte("null")
		}
		b.Write(raw)
	}
}

func writeText(b *bytes.Buffer, s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			raw, _ := json.Marshal(s) // a string always can be written
			b.Write(raw)
			return
		}
	}
	b.WriteByte('"')
	b.WriteString(s)
	b.WriteByte('"')
}
