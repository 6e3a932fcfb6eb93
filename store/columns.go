package store

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// Runs are found, counted and sorted by columns: the values of one field of
// 1,024 runs lie together in one row of the database. Reading a field of
// 100,000 runs is a hundred rows then, and comparing it a loop over an array.
// What a condition means is decided here, in Go, so it means the same on every
// database. docs/decisions/0016-index-of-runs.md has what was measured.

// chunkRuns is how many runs share a column. Run number n is in chunk n /
// chunkRuns at slot n % chunkRuns.
const chunkRuns = 1024

// maxColumnText is how many bytes of a text are kept in a column. What is
// longer is looked up in the run's record when those bytes do not decide.
const maxColumnText = 1024

type valueKind byte

// In the order in which runs are sorted.
const (
	numberValue valueKind = iota
	textValue
	flagValue
	noValue
)

// A value is one scalar that a run has at a field.
type value struct {
	kind valueKind
	num  float64 // a flag is 0 or 1
	text string
	cut  bool // text goes on
}

// An entry is a value of the run at a slot of a chunk.
type entry struct {
	slot uint16
	value
}

// A column holds the values of one field of one chunk, each kind by itself.
type column struct {
	numbers section[float64]
	texts   section[cutText]
	flags   section[float64]
}

type cutText struct {
	text string
	cut  bool
}

// A section holds values of one kind by slot; a slot with several values comes
// as often. The value of slots[i] is dict[codes[i]], or dict[i] if codes is nil.
type section[T any] struct {
	slots []uint16
	dict  []T
	codes []uint16
}

func (s *section[T]) at(i int) T {
	if s.codes == nil {
		return s.dict[i]
	}
	return s.dict[s.codes[i]]
}

const columnFormat = 1

// How a section writes its slots.
const (
	slotsInLine = iota // n slots one after the other, from a first one
	slotsInBits        // a bit for each of the chunk
	slotsInList        // the distance from one to the next
)

// appendColumn appends the form of a column that is stored. entries are sorted
// by slot.
//
//	byte     format, 1
//	section  numbers, texts, flags; each:
//	  uvarint  n, and if it is not 0:
//	  byte     how the slots are written, and they
//	  uvarint  size of the dictionary, 0 = none (numbers only)
//	  values   of the dictionary, or n; a number has 8 bytes, little-endian, a
//	           text a uvarint (length × 2 + 1 if it is cut) and its bytes
//	  codes    n, of 0, 1 or 2 bytes as the dictionary needs
func appendColumn(b []byte, entries []entry) []byte {
	b = append(b, columnFormat)
	b = appendNumbers(b, entries, numberValue)
	b = appendTexts(b, entries)
	return appendNumbers(b, entries, flagValue)
}

func slotsOf(entries []entry, kind valueKind) []uint16 {
	slots := make([]uint16, 0, len(entries))
	for _, e := range entries {
		if e.kind == kind {
			slots = append(slots, e.slot)
		}
	}
	return slots
}

func appendNumbers(b []byte, entries []entry, kind valueKind) []byte {
	slots := slotsOf(entries, kind)
	b = appendSlots(b, slots)
	if len(slots) == 0 {
		return b
	}
	index := make(map[uint64]uint16)
	var dict []uint64
	codes := make([]uint16, 0, len(slots))
	for _, e := range entries {
		if e.kind != kind {
			continue
		}
		bits := math.Float64bits(e.num)
		code, ok := index[bits]
		if !ok {
			if len(dict) == math.MaxUint16 {
				dict = nil // too many for a code
				break
			}
			code = uint16(len(dict))
			index[bits] = code
			dict = append(dict, bits)
		}
		codes = append(codes, code)
	}
	if dict != nil && 8*len(dict)+codeWidth(len(dict))*len(slots) < 8*len(slots) {
		b = binary.AppendUvarint(b, uint64(len(dict)))
		for _, bits := range dict {
			b = binary.LittleEndian.AppendUint64(b, bits)
		}
		return appendCodes(b, codes, len(dict))
	}
	b = binary.AppendUvarint(b, 0)
	for _, e := range entries {
		if e.kind == kind {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(e.num))
		}
	}
	return b
}

func appendTexts(b []byte, entries []entry) []byte {
	slots := slotsOf(entries, textValue)
	// A list of texts can have more values than codes have numbers; then each
	// value is an entry of its own.
	index := make(map[cutText]uint16)
	var dict []cutText
	codes := make([]uint16, 0, len(slots))
	for _, e := range entries {
		if e.kind != textValue {
			continue
		}
		t := cutText{e.text, e.cut}
		code, ok := index[t]
		if !ok {
			if len(dict) == math.MaxUint16 {
				return appendManyTexts(b, entries, slots)
			}
			code = uint16(len(dict))
			index[t] = code
			dict = append(dict, t)
		}
		codes = append(codes, code)
	}
	b = appendSlots(b, slots)
	if len(slots) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(dict)))
	for _, t := range dict {
		b = appendCutText(b, t)
	}
	return appendCodes(b, codes, len(dict))
}

func appendManyTexts(b []byte, entries []entry, slots []uint16) []byte {
	b = appendSlots(b, slots)
	b = binary.AppendUvarint(b, 0)
	for _, e := range entries {
		if e.kind == textValue {
			b = appendCutText(b, cutText{e.text, e.cut})
		}
	}
	return b
}

func appendCutText(b []byte, t cutText) []byte {
	n := uint64(len(t.text)) * 2
	if t.cut {
		n++
	}
	return append(binary.AppendUvarint(b, n), t.text...)
}

// codeWidth returns how many bytes a code takes.
func codeWidth(dict int) int {
	switch {
	case dict == 1:
		return 0
	case dict <= 256:
		return 1
	}
	return 2
}

func appendCodes(b []byte, codes []uint16, dict int) []byte {
	switch codeWidth(dict) {
	case 1:
		for _, c := range codes {
			b = append(b, byte(c))
		}
	case 2:
		for _, c := range codes {
			b = binary.LittleEndian.AppendUint16(b, c)
		}
	}
	return b
}

func appendSlots(b []byte, slots []uint16) []byte {
	n := len(slots)
	b = binary.AppendUvarint(b, uint64(n))
	if n == 0 {
		return b
	}
	once, inLine := true, true
	for i := 1; i < n; i++ {
		once = once && slots[i] != slots[i-1]
		inLine = inLine && slots[i] == slots[i-1]+1
	}
	switch {
	case inLine:
		b = append(b, slotsInLine)
		return binary.AppendUvarint(b, uint64(slots[0]))
	case once && n > chunkRuns/8:
		b = append(b, slotsInBits)
		var set slotSet
		for _, s := range slots {
			set.add(int(s))
		}
		for _, word := range set {
			b = binary.LittleEndian.AppendUint64(b, word)
		}
		return b
	}
	b = append(b, slotsInList)
	last := uint16(0)
	for _, s := range slots {
		b = binary.AppendUvarint(b, uint64(s-last))
		last = s
	}
	return b
}

// readColumn reads what appendColumn wrote.
func readColumn(b []byte) (*column, error) {
	r := columnReader{rest: b}
	if r.byte() != columnFormat {
		r.broken = true
	}
	c := &column{}
	readSection(&r, &c.numbers, (*columnReader).number)
	readSection(&r, &c.texts, (*columnReader).text)
	readSection(&r, &c.flags, (*columnReader).number)
	if r.broken || len(r.rest) > 0 {
		return nil, fmt.Errorf("%w: a column of the index of runs cannot be read", solera.ErrCorrupt)
	}
	return c, nil
}

// A columnReader takes values off a stored column. Once something is wrong it
// is broken and gives zeros.
type columnReader struct {
	rest   []byte
	broken bool
}

func (r *columnReader) take(n int) []byte {
	if r.broken || n < 0 || n > len(r.rest) {
		r.broken = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *columnReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// uvarint reads a number that is at most what is left could hold of anything:
// what is damaged must not ask for all memory.
func (r *columnReader) uvarint() int {
	x, n := binary.Uvarint(r.rest)
	if r.broken || n <= 0 || x > math.MaxInt32 {
		r.broken = true
		return 0
	}
	r.rest = r.rest[n:]
	return int(x)
}

func (r *columnReader) number() float64 {
	if b := r.take(8); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (r *columnReader) text() cutText {
	n := r.uvarint()
	return cutText{string(r.take(n / 2)), n%2 == 1}
}

func readSection[T any](r *columnReader, s *section[T], one func(*columnReader) T) {
	n := r.uvarint()
	if n == 0 || r.broken {
		return
	}
	s.slots = r.slots(n)
	size := r.uvarint()
	coded := size > 0
	if !coded {
		size = n
	}
	for range size {
		if r.broken {
			return
		}
		s.dict = append(s.dict, one(r))
	}
	if coded {
		s.codes = r.codes(len(s.slots), size)
	}
	if r.broken || len(s.slots) != n {
		r.broken = true
		*s = section[T]{}
	}
}

// slots reads n slots; how many it returns is no more than the bytes allow.
func (r *columnReader) slots(n int) []uint16 {
	var slots []uint16
	switch r.byte() {
	case slotsInLine:
		first := r.uvarint()
		if first+n > chunkRuns {
			r.broken = true
			return nil
		}
		for i := range n {
			slots = append(slots, uint16(first+i))
		}
	case slotsInBits:
		for i := range chunkRuns / 64 {
			b := r.take(8)
			if b == nil {
				return nil
			}
			for word := binary.LittleEndian.Uint64(b); word != 0; word &= word - 1 {
				slots = append(slots, uint16(64*i+bits.TrailingZeros64(word)))
			}
		}
	case slotsInList:
		last := 0
		for range n {
			last += r.uvarint()
			if r.broken || last >= chunkRuns {
				r.broken = true
				return nil
			}
			slots = append(slots, uint16(last))
		}
	default:
		r.broken = true
	}
	return slots
}

func (r *columnReader) codes(n, size int) []uint16 {
	codes := make([]uint16, n)
	width := codeWidth(size)
	b := r.take(width * n)
	if r.broken {
		return nil
	}
	for i := range codes {
		switch width {
		case 1:
			codes[i] = uint16(b[i])
		case 2:
			codes[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		if int(codes[i]) >= size {
			r.broken = true
			return nil
		}
	}
	return codes
}

// entries returns what the column was made from, by slot.
func (c *column) entries() []entry {
	list := make([]entry, 0, len(c.numbers.slots)+len(c.texts.slots)+len(c.flags.slots))
	for i, slot := range c.numbers.slots {
		list = append(list, entry{slot, value{kind: numberValue, num: c.numbers.at(i)}})
	}
	for i, slot := range c.texts.slots {
		t := c.texts.at(i)
		list = append(list, entry{slot, value{kind: textValue, text: t.text, cut: t.cut}})
	}
	for i, slot := range c.flags.slots {
		list = append(list, entry{slot, value{kind: flagValue, num: c.flags.at(i)}})
	}
	slices.SortStableFunc(list, func(a, b entry) int { return int(a.slot) - int(b.slot) })
	return list
}

// A slotSet is a set of the runs of a chunk.
type slotSet [chunkRuns / 64]uint64

func (s *slotSet) add(slot int)      { s[slot/64] |= 1 << (slot % 64) }
func (s *slotSet) remove(slot int)   { s[slot/64] &^= 1 << (slot % 64) }
func (s *slotSet) has(slot int) bool { return s[slot/64]&(1<<(slot%64)) != 0 }

func (s *slotSet) count() int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}

// each calls fn for the slots in order.
func (s *slotSet) each(fn func(slot int)) {
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			fn(64*i + bits.TrailingZeros64(word))
		}
	}
}

// valuesAt returns the values of one slot.
func (c *column) valuesAt(slot uint16) []value {
	var list []value
	each(&c.numbers, slot, func(x float64) { list = append(list, value{kind: numberValue, num: x}) })
	each(&c.texts, slot, func(s cutText) { list = append(list, value{kind: textValue, text: s.text, cut: s.cut}) })
	each(&c.flags, slot, func(x float64) { list = append(list, value{kind: flagValue, num: x}) })
	return list
}

// each calls fn for the values of one slot.
func each[T any](s *section[T], slot uint16, fn func(T)) {
	for i, _ := slices.BinarySearch(s.slots, slot); i < len(s.slots) && s.slots[i] == slot; i++ {
		fn(s.at(i))
	}
}

// A fieldRow is what a run has, by field. In the tail, a field with no values
// is one that the run has no more: its column may still have them.
type fieldRow map[string][]value

// appendRow appends the form of a row that is stored: for each field a uvarint
// and its name, a uvarint with the bytes of its values, and they: a byte with
// the kind (+ 8 for a cut text), and a number or a text as in a column.
func appendRow(b []byte, row fieldRow) []byte {
	var values []byte
	for name, list := range row {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
		values = values[:0]
		for _, v := range list {
			values = append(values, byte(v.kind))
			if v.kind == textValue {
				values = appendCutText(values, cutText{v.text, v.cut})
			} else {
				values = binary.LittleEndian.AppendUint64(values, math.Float64bits(v.num))
			}
		}
		b = binary.AppendUvarint(b, uint64(len(values)))
		b = append(b, values...)
	}
	return b
}

// readRow reads those fields of a stored row that want has, nil = all.
func readRow(b []byte, want map[string]bool) (fieldRow, error) {
	r := columnReader{rest: b}
	row := fieldRow{}
	for len(r.rest) > 0 && !r.broken {
		name := r.take(r.uvarint())
		values := r.take(r.uvarint())
		if r.broken || want != nil && !want[string(name)] {
			continue
		}
		list := []value{}
		for v := (columnReader{rest: values}); len(v.rest) > 0; {
			switch kind := valueKind(v.byte()); kind {
			case numberValue, flagValue:
				list = append(list, value{kind: kind, num: v.number()})
			case textValue:
				t := v.text()
				list = append(list, value{kind: kind, text: t.text, cut: t.cut})
			default:
				v.broken = true
			}
			if v.broken {
				r.broken = true
				break
			}
		}
		row[string(name)] = list
	}
	if r.broken {
		return nil, fmt.Errorf("%w: a row of the index of runs cannot be read", solera.ErrCorrupt)
	}
	return row, nil
}

// columnName returns the name of a field as the database has it: without NUL,
// which PostgreSQL takes in no text, and short enough for its indexes.
func columnName(field string) string {
	if len(field) > 512 {
		return "#" + solera.DigestOf([]byte(field)).String()
	}
	if strings.ContainsAny(field, "\x00\x01") {
		return strings.NewReplacer("\x00", "\x010", "\x01", "\x011").Replace(field)
	}
	return field
}
