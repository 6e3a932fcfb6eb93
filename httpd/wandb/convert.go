package wandb

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/internal/lenient"
)

// A history row is the points and items of one step. Objects are taken apart,
// their keys joined by dots, as clients list keys themselves; objects that have
// a _type describe something and stay whole.
const (
	stepKey    = "_step"
	timeKey    = "_timestamp"
	runtimeKey = "_runtime"
	typeKey    = "_type"
	alertKey   = "alert"
	// Points of the machine's load, which are no part of the history.
	systemPrefix = "system/"
)

// rows gathers what lines of history or events hold.
type rows struct {
	points []solera.Point
	items  []solera.Item
}

// history reads one line. step is that of a line that names none; assigned
// overrules the line's own.
func (h *rows) history(line string, step int64, assigned bool) error {
	firstPoint, firstItem := len(h.points), len(h.items)
	at := solera.Micros(0)
	r := lenient.NewReader(line)
	if r.Peek() != '{' {
		return errNoObject
	}
	err := r.Members(func(key string) error {
		switch key {
		case stepKey:
			n, err := integer(&r)
			if err == nil && !assigned {
				step = n
			}
			return err
		case timeKey:
			var err error
			at, err = moment(&r)
			return err
		}
		return h.member(&r, safeKey(key), 0)
	})
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return err
	}
	for i := firstPoint; i < len(h.points); i++ {
		h.points[i].Step, h.points[i].Time = step, at
	}
	for i := firstItem; i < len(h.items); i++ {
		h.items[i].Step, h.items[i].Time = step, at
	}
	return nil
}

// member reads one value of a row.
func (h *rows) member(r *lenient.Reader, key string, depth int) error {
	if depth > lenient.MaxDepth {
		return r.Fail("it is nested deeper than %d", lenient.MaxDepth)
	}
	switch c := r.Peek(); {
	case c == '-' || c == 'N' || c == 'I' || c >= '0' && c <= '9':
		_, x, err := r.Number()
		if err != nil {
			return err
		}
		h.points = append(h.points, solera.Point{Key: key, Value: x})
		return nil
	case c == '{' && !describes(r):
		return r.Members(func(inner string) error {
			return h.member(r, safeKey(key+"."+inner), depth+1)
		})
	default:
		before := *r
		v, err := r.Value(depth)
		if err != nil {
			return err
		}
		h.items = append(h.items, solera.Item{Key: key, Value: strict(r.Since(before), v)})
		return nil
	}
}

// describes reports whether the object that begins here is empty or has a _type.
// It reads ahead.
func describes(r *lenient.Reader) bool {
	ahead := *r
	if !strings.Contains(r.Rest(), typeKey) {
		return ahead.Expect('{') == nil && ahead.Peek() == '}'
	}
	found, some := false, false
	err := ahead.Members(func(key string) error {
		some = true
		found = found || key == typeKey
		_, err := ahead.Value(1)
		return err
	})
	return err == nil && (found || !some)
}

// strict returns the JSON of a value that was read from text: the text itself
// where it has none of the words that JSON lacks.
func strict(text string, v any) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(strings.ToValidUTF8(text, "\uFFFD"))
	}
	return encodeJSON(v)
}

// moment reads seconds since 1970.
func moment(r *lenient.Reader) (solera.Micros, error) {
	if r.Peek() == 'n' {
		return 0, r.Word("null")
	}
	_, x, err := r.Number()
	return micros(x), err
}

// micros is a moment from seconds; what is none is 0.
func micros(seconds float64) solera.Micros {
	if !(math.Abs(seconds) < 1e12) {
		return 0
	}
	return solera.Micros(math.Round(seconds * 1e6))
}

// safeKey returns a key as a store takes it. Keys that it does not take are no
// reason to lose a value.
func safeKey(key string) string {
	const most = 1024
	if key != "" && len(key) <= most && strings.IndexByte(key, 0) < 0 {
		return key
	}
	if key == "" {
		return "(empty)"
	}
	sum := sha256.Sum256([]byte(key))
	key = strings.ReplaceAll(key, "\x00", "\uFFFD")
	if len(key) > most {
		key = strings.ToValidUTF8(key[:most-9], "") + "~" + hex.EncodeToString(sum[:4])
	}
	return key
}

// event reads one line of the machine's load. Its step is the second of the
// run's life, as it is where Solera looks itself.
func (h *rows) event(line string) (solera.Micros, error) {
	first := len(h.points)
	var at solera.Micros
	step := int64(0)
	r := lenient.NewReader(line)
	if r.Peek() != '{' {
		return 0, errNoObject
	}
	err := r.Members(func(key string) error {
		switch key {
		case timeKey:
			var err error
			at, err = moment(&r)
			return err
		case runtimeKey:
			_, x, err := r.Number()
			if err == nil && math.Abs(x) < 1<<40 {
				step = int64(x)
			}
			return err
		}
		c := r.Peek()
		name, ok := strings.CutPrefix(key, "system.")
		if !ok || c != '-' && c != 'N' && c != 'I' && (c < '0' || c > '9') {
			_, err := r.Value(1)
			return err
		}
		_, x, err := r.Number()
		if err == nil {
			h.points = append(h.points, solera.Point{Key: safeKey(systemPrefix + name), Value: x})
		}
		return err
	})
	if err == nil {
		err = r.End()
	}
	if err != nil {
		return 0, err
	}
	for i := first; i < len(h.points); i++ {
		h.points[i].Step, h.points[i].Time = step, at
	}
	return at, nil
}

// consoleLine reads a line of the console: as JSON, or as
// "[ERROR ]2026-11-22T18:10:01.241962 [[label] ]text".
func consoleLine(n int64, line string) solera.Line {
	out := solera.Line{N: n, Stream: "out"}
	text := line
	if strings.HasPrefix(line, `{"`) {
		r := lenient.NewReader(line)
		if v, err := r.Value(0); err == nil && r.End() == nil {
			m, _ := v.(map[string]any)
			if content, ok := m["content"].(string); ok {
				if m["level"] == "error" {
					out.Stream = "err"
				}
				stamp, _ := m["ts"].(string)
				out.Time, _ = consoleTime(stamp)
				if label, _ := m["label"].(string); label != "" {
					content = "[" + label + "] " + content
				}
				out.Text = oneLine(content)
				return out
			}
		}
	}
	if rest, ok := strings.CutPrefix(text, "ERROR "); ok {
		out.Stream, text = "err", rest
	}
	if stamp, rest, ok := strings.Cut(text, " "); ok {
		if at, err := consoleTime(stamp); err == nil {
			out.Time, text = at, rest
		}
	} else if at, err := consoleTime(text); err == nil { // an empty line
		out.Time, text = at, ""
	}
	out.Text = oneLine(text)
	return out
}

func oneLine(s string) string {
	return strings.TrimRight(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\r\n")
}

func consoleTime(s string) (solera.Micros, error) {
	if len(s) < 19 || s[4] != '-' {
		return 0, fmt.Errorf("time %.40q: %w", s, solera.ErrInvalid)
	}
	t, err := time.Parse("2006-01-02T15:04:05.999999", strings.TrimSuffix(s, "Z"))
	if err != nil {
		if t, err = time.Parse(time.RFC3339Nano, s); err != nil {
			return 0, err
		}
	}
	return solera.MicrosOf(t), nil
}

// fieldsOf returns what decode read as the fields of a record: NaN and the
// infinities become texts, which records can hold.
func fieldsOf(m map[string]any) solera.Fields {
	out := make(solera.Fields, len(m))
	for key, v := range m {
		out[key] = plain(v)
	}
	return out
}

func plain(v any) any {
	switch v := v.(type) {
	case float64:
		switch {
		case math.IsNaN(v):
			return "NaN"
		case math.IsInf(v, 1):
			return "Infinity"
		case math.IsInf(v, -1):
			return "-Infinity"
		}
	case json.Number:
		// Beyond what a record's number can be: an infinity, as the client's
		// parser has it.
		if x, err := v.Float64(); err != nil {
			return plain(x)
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, x := range v {
			out[key] = plain(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = plain(x)
		}
		return out
	}
	return v
}

// lenientJSON writes fields for a client that reads the words that JSON lacks:
// the texts that stand for them become words again.
func lenientJSON(v any) string {
	b, err := lenient.Append(nil, bare(v))
	if err != nil {
		return "null" // nothing that is kept has what JSON cannot say
	}
	return string(b)
}

// bare undoes plain.
func bare(v any) any {
	switch v := v.(type) {
	case string:
		switch v {
		case "NaN":
			return math.NaN()
		case "Infinity":
			return math.Inf(1)
		case "-Infinity":
			return math.Inf(-1)
		}
	case solera.Fields:
		return bare(map[string]any(v))
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, x := range v {
			out[key] = bare(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = bare(x)
		}
		return out
	}
	return v
}

// encodeJSON writes what lenient.Decode reads as strict JSON, keys sorted.
func encodeJSON(v any) json.RawMessage {
	b, err := lenient.AppendStrict(nil, v)
	if err != nil {
		return json.RawMessage("null") // as above
	}
	return b
}

// decode reads a value in which those words may stand.
func decode(raw []byte) (any, error) { return lenient.Decode(string(raw)) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
