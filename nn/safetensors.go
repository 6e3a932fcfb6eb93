package nn

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// maxHeader bounds the JSON header of a safetensors file, as the reference
// implementation does, so that a broken length cannot ask for all memory.
const maxHeader = 100_000_000

// A NamedTensor is one array of a safetensors file. Exactly one of the three
// slices is set; its length is the product of Shape (a single value has an
// empty shape).
type NamedTensor struct {
	Name    string
	Shape   []int
	Data    []float32 // dtype F32: weights, moments
	Float64 []float64 // dtype F64: histories, states of schedules
	Int64   []int64   // dtype I64: counts
}

func (t *NamedTensor) dtype() (name string, size, count int) {
	switch {
	case t.Float64 != nil:
		return "F64", 8, len(t.Float64)
	case t.Int64 != nil:
		return "I64", 8, len(t.Int64)
	default:
		return "F32", 4, len(t.Data)
	}
}

// entry is a tensor as the header describes it.
type entry struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"` // first byte and the one after the last, counted from the end of the header
}

// WriteSafetensors writes the tensors in the safetensors format: the length of
// the header in 8 bytes, little-endian, a JSON header, the values. The same
// tensors and meta give the same bytes: names are sorted, values follow in the
// order of the names without gaps, and the header is filled with spaces to a
// multiple of 8 bytes. meta goes under "__metadata__"; nil leaves it out.
func WriteSafetensors(w io.Writer, tensors []NamedTensor, meta map[string]string) error {
	tensors = slices.Clone(tensors)
	slices.SortFunc(tensors, func(a, b NamedTensor) int { return strings.Compare(a.Name, b.Name) })
	header, err := safetensorsHeader(tensors, meta)
	if err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	buf := make([]byte, 0, 1<<16)
	for i := range tensors {
		if err := writeValues(w, buf, &tensors[i]); err != nil {
			return fmt.Errorf("write safetensors: %s: %w", tensors[i].Name, err)
		}
	}
	return nil
}

// safetensorsHeader returns the length and the padded JSON of sorted tensors.
func safetensorsHeader(tensors []NamedTensor, meta map[string]string) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8)) // the length comes last
	b.WriteByte('{')
	if meta != nil {
		m, err := json.Marshal(meta) // sorts the keys
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, `"__metadata__":%s`, m)
	}
	var off int64
	for i := range tensors {
		t := &tensors[i]
		dtype, size, count := t.dtype()
		switch {
		case t.Name == "" || t.Name == "__metadata__":
			return nil, fmt.Errorf("tensor name %q: %w: choose another", t.Name, solera.ErrInvalid)
		case i > 0 && t.Name == tensors[i-1].Name:
			return nil, fmt.Errorf("tensor %s is there twice: %w", t.Name, solera.ErrInvalid)
		}
		if n, ok := product(t.Shape); !ok || n != int64(count) {
			return nil, fmt.Errorf("tensor %s has shape %v but %d values: %w", t.Name, t.Shape, count, solera.ErrInvalid)
		}
		name, err := json.Marshal(t.Name)
		if err != nil {
			return nil, err
		}
		end := off + int64(size)*int64(count)
		e, err := json.Marshal(entry{dtype, append([]int{}, t.Shape...), [2]int64{off, end}})
		if err != nil {
			return nil, err
		}
		if b.Len() > 9 {
			b.WriteByte(',')
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(e)
		off = end
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeader {
		return nil, fmt.Errorf("header of %d bytes: %w: want at most %d", b.Len()-8, solera.ErrInvalid, maxHeader)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-8))
	return b.Bytes(), nil
}

func writeValues(w io.Writer, buf []byte, t *NamedTensor) error {
	flush := func(least int) error {
		if len(buf)+8 <= least {
			return nil
		}
		_, err := w.Write(buf)
		buf = buf[:0]
		return err
	}
	for _, v := range t.Data {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		if err := flush(cap(buf)); err != nil {
			return err
		}
	}
	for _, v := range t.Float64 {
		buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(v))
		if err := flush(cap(buf)); err != nil {
			return err
		}
	}
	for _, v := range t.Int64 {
		buf = binary.LittleEndian.AppendUint64(buf, uint64(v))
		if err := flush(cap(buf)); err != nil {
			return err
		}
	}
	return flush(0)
}

// ReadSafetensors reads a file of at most limit bytes that WriteSafetensors or
// the reference implementation wrote, holding F32, F64 or I64 arrays. The
// tensors come sorted by name. Anything unexpected is an error wrapping
// solera.ErrCorrupt: a header too long, unknown keys or types, a name given
// twice, values that overlap, leave gaps, or end elsewhere than the file does.
// Memory grows with the bytes that are there, not with what the header claims.
func ReadSafetensors(r io.Reader, limit int64) ([]NamedTensor, map[string]string, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read safetensors: %w", err)
	}
	if int64(len(data)) > limit {
		return nil, nil, corrupt("more than %d bytes", limit)
	}
	if len(data) < 8 {
		return nil, nil, corrupt("%d bytes, too short for a header", len(data))
	}
	size := binary.LittleEndian.Uint64(data)
	if size > maxHeader || size > uint64(len(data)-8) {
		return nil, nil, corrupt("header of %d bytes in a file of %d", size, len(data))
	}
	entries, meta, err := parseHeader(data[8 : 8+size])
	if err != nil {
		return nil, nil, err
	}
	tensors, err := readValues(data[8+size:], entries)
	if err != nil {
		return nil, nil, err
	}
	return tensors, meta, nil
}

type namedEntry struct {
	name string
	entry
}

// parseHeader reads the header key by key: decoding into a map would let the
// second of two equal names replace the first without a word.
func parseHeader(header []byte) (entries []namedEntry, meta map[string]string, err error) {
	dec := json.NewDecoder(bytes.NewReader(header))
	dec.DisallowUnknownFields()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, corrupt("the header is not a JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, nil, corrupt("header: %v", err)
		}
		name := t.(string) // a key of an object is a string
		if seen[name] {
			return nil, nil, corrupt("%q is there twice", name)
		}
		seen[name] = true
		if name == "__metadata__" {
			if err := dec.Decode(&meta); err != nil {
				return nil, nil, corrupt("header: %q: %v", name, err)
			}
			continue
		}
		// Offsets of -1 tell a key that is missing from one that is 0.
		e := namedEntry{name, entry{Offsets: [2]int64{-1, -1}}}
		if err := dec.Decode(&e.entry); err != nil {
			return nil, nil, corrupt("header: %q: %v", name, err)
		}
		if e.Shape == nil {
			return nil, nil, corrupt("header: %q has no shape", name)
		}
		entries = append(entries, e)
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, corrupt("header: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, corrupt("text after the header")
	}
	return entries, meta, nil
}

// readValues copies the values out of data. The entries must tile it.
func readValues(data []byte, entries []namedEntry) ([]NamedTensor, error) {
	slices.SortFunc(entries, func(a, b namedEntry) int {
		switch {
		case a.Offsets[0] != b.Offsets[0]:
			if a.Offsets[0] < b.Offsets[0] {
				return -1
			}
			return 1
		case a.Offsets[1] != b.Offsets[1]: // empty arrays share their offset with the next
			if a.Offsets[1] < b.Offsets[1] {
				return -1
			}
			return 1
		default:
			return strings.Compare(a.name, b.name)
		}
	})
	tensors := make([]NamedTensor, 0, len(entries))
	var end int64
	for _, e := range entries {
		if e.Offsets[0] != end || e.Offsets[1] < end || e.Offsets[1] > int64(len(data)) {
			return nil, corrupt("%q lies at bytes %d to %d of %d, want it to start at %d", e.name, e.Offsets[0], e.Offsets[1], len(data), end)
		}
		raw := data[e.Offsets[0]:e.Offsets[1]]
		end = e.Offsets[1]
		n, ok := product(e.Shape)
		width := int64(8)
		if e.DType == "F32" {
			width = 4
		}
		if !ok || n > int64(len(raw)) || n*width != int64(len(raw)) {
			return nil, corrupt("%q has shape %v of %s but %d bytes", e.name, e.Shape, e.DType, len(raw))
		}
		t := NamedTensor{Name: e.name, Shape: e.Shape}
		switch e.DType {
		case "F32":
			t.Data = make([]float32, n)
			for i := range t.Data {
				t.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
			}
		case "F64":
			t.Float64 = make([]float64, n)
			for i := range t.Float64 {
				t.Float64[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
			}
		case "I64":
			t.Int64 = make([]int64, n)
			for i := range t.Int64 {
				t.Int64[i] = int64(binary.LittleEndian.Uint64(raw[8*i:]))
			}
		default:
			return nil, corrupt("%q has type %q, want F32, F64 or I64", e.name, e.DType)
		}
		tensors = append(tensors, t)
	}
	if end != int64(len(data)) {
		return nil, corrupt("%d bytes after the last value", int64(len(data))-end)
	}
	slices.SortFunc(tensors, func(a, b NamedTensor) int { return strings.Compare(a.Name, b.Name) })
	return tensors, nil
}

// product returns the number of values of a shape, false when a side is
// negative or the product passes what a file could hold.
func product(shape []int) (int64, bool) {
	n := int64(1)
	for _, s := range shape {
		if s < 0 || (s > 0 && n > (1<<40)/int64(s)) {
			return 0, false
		}
		n *= int64(s)
	}
	return n, true
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("read safetensors: %w: %s; take the file from its source again", solera.ErrCorrupt, fmt.Sprintf(format, args...))
}
