package solera

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
)

// Fields are the free-form values of a run or a version: params, summary,
// metadata. Values are what JSON can hold, nested as deep as 100.
//
// Their JSON is canonical: keys sorted, the shortest digits that give the same
// float, NaN and infinities as null. Equal Fields give equal bytes, whatever
// Go types held the numbers. Read back, a number is a json.Number, so that a
// 64-bit seed keeps all its digits; use Float for arithmetic.
type Fields map[string]any

// Float returns the number under key, and whether there is one.
func (f Fields) Float(key string) (float64, bool) {
	switch v := f[key].(type) {
	case json.Number:
		x, err := v.Float64()
		return x, err == nil
	case float64:
		return v, true
	case nil:
		return 0, false
	default:
		r := reflect.ValueOf(v)
		switch {
		case r.CanInt():
			return float64(r.Int()), true
		case r.CanUint():
			return float64(r.Uint()), true
		case r.CanFloat():
			return r.Float(), true
		}
	}
	return 0, false
}

// Text returns the string under key, or "".
func (f Fields) Text(key string) string {
	s, _ := f[key].(string)
	return s
}

// Flat returns the fields with every object in them opened: {"val": {"loss":
// 1}} becomes {"val.loss": 1}. Lists and empty objects stay as they are. Where
// two paths read alike, because a key has dots in it, the one with the longer
// keys stays.
func (f Fields) Flat() Fields {
	flat := make(Fields, len(f))
	flatten(flat, "", f, 0)
	return flat
}

func flatten(flat Fields, prefix string, object map[string]any, depth int) {
	for key, v := range object {
		var inner map[string]any
		switch v := v.(type) {
		case map[string]any:
			inner = v
		case Fields:
			inner = v
		}
		if len(inner) > 0 && depth < maxJSONDepth {
			flatten(flat, prefix+key+".", inner, depth+1)
		}
	}
	for key, v := range object {
		switch v := v.(type) {
		case map[string]any:
			if len(v) > 0 && depth < maxJSONDepth {
				continue
			}
		case Fields:
			if len(v) > 0 && depth < maxJSONDepth {
				continue
			}
		}
		flat[prefix+key] = v
	}
}

// MarshalJSON returns the canonical form; nil gives {}. A value that JSON
// cannot hold is ErrInvalid.
func (f Fields) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	if err := writeJSON(&b, map[string]any(f), 0); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// UnmarshalJSON reads a JSON object; null gives nil.
func (f *Fields) UnmarshalJSON(b []byte) error {
	v, err := decodeJSON(b)
	if err != nil {
		return err
	}
	switch v := v.(type) {
	case nil:
		*f = nil
	case map[string]any:
		*f = v
	default:
		return fmt.Errorf("fields: %w: want a JSON object", ErrInvalid)
	}
	return nil
}

// maxJSONDepth stops a map that contains itself, and JSON made to exhaust the
// stack.
const maxJSONDepth = 100

func decodeJSON(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("fields: %w: %v", ErrInvalid, err)
	}
	return v, nil
}

// writeJSON appends the canonical JSON of v.
func writeJSON(b *bytes.Buffer, v any, depth int) error {
	if depth > maxJSONDepth {
		return fmt.Errorf("fields: %w: nested deeper than %d", ErrInvalid, maxJSONDepth)
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case string:
		return writeString(b, v)
	case json.Number:
		return writeNumber(b, v)
	case float64:
		return writeFloat(b, v, 64)
	case float32:
		return writeFloat(b, float64(v), 32)
	case int:
		b.WriteString(strconv.Itoa(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case uint64:
		b.WriteString(strconv.FormatUint(v, 10))
	case Fields:
		return writeObject(b, v, depth)
	case map[string]any:
		return writeObject(b, v, depth)
	case map[string]float64:
		// encoding/json refuses NaN inside a typed map; metrics hold them.
		return writeObject(b, v, depth)
	case []any:
		return writeArray(b, v, depth)
	case []float64:
		return writeArray(b, v, depth)
	default:
		// Anything else goes through its own JSON form, once.
		raw, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("fields: %w: %v", ErrInvalid, err)
		}
		plain, err := decodeJSON(raw)
		if err != nil {
			return err
		}
		return writeJSON(b, plain, depth+1)
	}
	return nil
}

func writeObject[V any](b *bytes.Buffer, m map[string]V, depth int) error {
	b.WriteByte('{')
	for i, key := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeString(b, key); err != nil {
			return err
		}
		b.WriteByte(':')
		if err := writeJSON(b, m[key], depth+1); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func writeArray[V any](b *bytes.Buffer, a []V, depth int) error {
	b.WriteByte('[')
	for i, v := range a {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeJSON(b, v, depth+1); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	return nil
}

func writeString(b *bytes.Buffer, s string) error {
	if isPlain(s) {
		b.WriteByte('"')
		b.WriteString(s)
		b.WriteByte('"')
		return nil
	}
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false) // "<" is as good a character as any other
	if err := e.Encode(s); err != nil {
		return fmt.Errorf("fields: %w: %v", ErrInvalid, err)
	}
	b.Truncate(b.Len() - 1) // Encode ends with a newline
	return nil
}

// isPlain reports whether s is in JSON as it is, as keys nearly always are.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// writeNumber keeps integers of any size and gives every other number the
// digits that the same float64 would have: 1.50 and 1.5 are one value.
func writeNumber(b *bytes.Buffer, n json.Number) error {
	s := n.String()
	if _, err := strconv.ParseInt(s, 10, 64); err == nil && s != "-0" {
		b.WriteString(s)
		return nil
	}
	if _, err := strconv.ParseUint(s, 10, 64); err == nil {
		b.WriteString(s)
		return nil
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return fmt.Errorf("fields: %w: the number %s does not fit a float64", ErrInvalid, clip(s))
	}
	return writeFloat(b, x, 64)
}

func writeFloat(b *bytes.Buffer, x float64, bits int) error {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		b.WriteString("null")
		return nil
	}
	var raw []byte
	var err error
	if bits == 32 {
		raw, err = json.Marshal(float32(x))
	} else {
		raw, err = json.Marshal(x)
	}
	b.Write(raw)
	return err
}
