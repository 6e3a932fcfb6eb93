package wandb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// Rows, summaries and configs are JSON in which NaN, Infinity and -Infinity
// stand as bare words, as Python writes them. encoding/json refuses those.

// maxDepth stops JSON made to exhaust the stack.
const maxDepth = 100

// Decode reads one JSON value in which NaN, Infinity and -Infinity may stand
// as numbers. The result holds map[string]any, []any, string, bool, nil,
// json.Number with all digits as they came, and float64 for those three words
// alone. Of a key that appears twice the last value counts. Everything that is
// not such JSON, or is nested deeper than 100, is ErrInvalid.
func Decode(b []byte) (any, error) {
	d := decoder{src: b}
	v, err := d.value(0)
	if err == nil {
		if d.space(); d.at < len(d.src) {
			err = d.bad("something follows the value")
		}
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// DecodeObject reads one JSON object, as [Decode] does.
func DecodeObject(b []byte) (map[string]any, error) {
	v, err := Decode(b)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("JSON: %w: want an object", solera.ErrInvalid)
	}
	return object, nil
}

type decoder struct {
	src []byte
	at  int
}

func (d *decoder) bad(why string) error {
	return fmt.Errorf("JSON: %w: byte %d: %s", solera.ErrInvalid, d.at, why)
}

func (d *decoder) space() {
	for d.at < len(d.src) {
		switch d.src[d.at] {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return
		}
	}
}

// next returns the byte under the reader after white space, 0 at the end.
func (d *decoder) next() byte {
	d.space()
	if d.at == len(d.src) {
		return 0
	}
	return d.src[d.at]
}

func (d *decoder) word(w string) bool {
	if !bytes.HasPrefix(d.src[d.at:], []byte(w)) {
		return false
	}
	d.at += len(w)
	return true
}

func (d *decoder) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, d.bad(fmt.Sprintf("nested deeper than %d", maxDepth))
	}
	switch c := d.next(); {
	case c == '{':
		return d.object(depth)
	case c == '[':
		return d.list(depth)
	case c == '"':
		return d.text()
	case c == 'n' && d.word("null"):
		return nil, nil
	case c == 't' && d.word("true"):
		return true, nil
	case c == 'f' && d.word("false"):
		return false, nil
	case c == 'N' && d.word("NaN"):
		return math.NaN(), nil
	case c == 'I' && d.word("Infinity"):
		return math.Inf(1), nil
	case c == '-' && d.word("-Infinity"):
		return math.Inf(-1), nil
	case c == '-' || '0' <= c && c <= '9':
		return d.number()
	case c == 0 && d.at == len(d.src):
		return nil, d.bad("it is cut off")
	default:
		return nil, d.bad("no value begins so")
	}
}

func (d *decoder) object(depth int) (any, error) {
	d.at++
	object := map[string]any{}
	if d.next() == '}' {
		d.at++
		return object, nil
	}
	for {
		if d.next() != '"' {
			return nil, d.bad("want a key in quotes")
		}
		key, err := d.text()
		if err != nil {
			return nil, err
		}
		if d.next() != ':' {
			return nil, d.bad("want ':' after the key")
		}
		d.at++
		if object[key], err = d.value(depth + 1); err != nil {
			return nil, err
		}
		switch d.next() {
		case ',':
			d.at++
		case '}':
			d.at++
			return object, nil
		default:
			return nil, d.bad("want ',' or '}'")
		}
	}
}

func (d *decoder) list(depth int) (any, error) {
	d.at++
	list := []any{}
	if d.next() == ']' {
		d.at++
		return list, nil
	}
	for {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		switch d.next() {
		case ',':
			d.at++
		case ']':
			d.at++
			return list, nil
		default:
			return nil, d.bad("want ',' or ']'")
		}
	}
}

func (d *decoder) text() (string, error) {
	begin, plain := d.at, true
	for i := begin + 1; i < len(d.src); i++ {
		switch c := d.src[i]; {
		case c == '\\':
			plain = false
			i++ // whatever it is, it does not end the text
		case c < ' ' || c >= utf8.RuneSelf:
			plain = false
		case c == '"':
			d.at = i + 1
			if plain {
				return string(d.src[begin+1 : i]), nil
			}
			var s string
			// Escapes, lone surrogates and what is not UTF-8 as elsewhere.
			if err := json.Unmarshal(d.src[begin:d.at], &s); err != nil {
				d.at = begin
				return "", d.bad("the text is malformed")
			}
			return s, nil
		}
	}
	return "", d.bad("a text does not end")
}

func (d *decoder) number() (any, error) {
	begin := d.at
	digits := func() bool {
		from := d.at
		for d.at < len(d.src) && '0' <= d.src[d.at] && d.src[d.at] <= '9' {
			d.at++
		}
		return d.at > from
	}
	is := func(c byte) bool { return d.at < len(d.src) && d.src[d.at] == c }
	if is('-') {
		d.at++
	}
	whole := d.at
	if !digits() || d.src[whole] == '0' && d.at > whole+1 {
		return nil, d.bad("the number is malformed")
	}
	if is('.') {
		d.at++
		if !digits() {
			return nil, d.bad("the number is malformed")
		}
	}
	if is('e') || is('E') {
		d.at++
		if is('+') || is('-') {
			d.at++
		}
		if !digits() {
			return nil, d.bad("the number is malformed")
		}
	}
	return json.Number(d.src[begin:d.at]), nil
}

// Encode writes v, of the types that [Decode] gives and Go's numbers, as JSON
// with NaN, Infinity and -Infinity as bare words. Keys are sorted.
func Encode(v any) ([]byte, error) { return encode(nil, v, "", 0) }

// EncodeStrict writes v as JSON that everybody reads: the three words stand in
// quotes.
func EncodeStrict(v any) ([]byte, error) { return encode(nil, v, `"`, 0) }

func encode(b []byte, v any, quote string, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("JSON: %w: nested deeper than %d", solera.ErrInvalid, maxDepth)
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
	case float64:
		return encodeFloat(b, v, quote)
	case string:
		return encodeText(b, v)
	case solera.Fields:
		return encode(b, map[string]any(v), quote, depth)
	case map[string]any:
		b = append(b, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = encodeText(b, key); err != nil {
				return nil, err
			}
			b = append(b, ':')
			if b, err = encode(b, v[key], quote, depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case []any:
		b = append(b, '[')
		for i, member := range v {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = encode(b, member, quote, depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	}
	return encodePlain(b, v)
}

func encodeFloat(b []byte, x float64, quote string) ([]byte, error) {
	word := ""
	switch {
	case math.IsNaN(x):
		word = "NaN"
	case math.IsInf(x, 1):
		word = "Infinity"
	case math.IsInf(x, -1):
		word = "-Infinity"
	default:
		return encodePlain(b, x)
	}
	return append(b, quote+word+quote...), nil
}

// encodeText writes a text; most, as keys, are in JSON as they are.
func encodeText(b []byte, s string) ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return encodePlain(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"'), nil
}

// encodePlain leaves to encoding/json what it can do.
func encodePlain(b []byte, v any) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // "<" is as good a character as any other
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("JSON: %w: %v", solera.ErrInvalid, err)
	}
	return append(b, bytes.TrimRight(out.Bytes(), "\n")...), nil
}
