package table

import (
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// Inference is optimistic. Values are parsed as what the column has been so
// far, and their texts are not kept. A column whose values turn out to be of
// two kinds is a category; it is then read again from the source, alone, as
// text. So memory is what the typed columns need, and only tables with such a
// column cost a second pass.

// state is what a column is while it is being read.
type state uint8

const (
	unknown  state = iota // no value yet, only missing ones
	number                // float64
	boolean               // 0 or 1
	date                  // seconds
	category              // codes and levels
	mixed                 // two kinds of value: a category that needs the second pass
	skipped               // not wanted in this pass
)

var stateOf = map[Kind]state{Number: number, Boolean: boolean, Date: date, Category: category}

// origin is what the syntax of the source says about a text.
type origin uint8

const (
	plainText  origin = iota // CSV: a text can be anything
	jsonString               // a date or a category, never a number
	jsonNumber
	jsonBool
)

// reading holds what the options say, in the form that parsing needs.
type reading struct {
	types      map[string]Kind
	ignore     map[string]bool
	missing    map[string]bool
	first      [256]bool // first bytes of the missing texts
	longest    int
	numericNA  bool // a missing text is written like a number, such as -999
	comma      bool // decimal commas are allowed
	maxRecord  int
	maxColumns int
}

func newReading(o Options) *reading {
	r := &reading{types: o.Types, ignore: make(map[string]bool), missing: make(map[string]bool), maxRecord: o.MaxRecord, maxColumns: o.MaxColumns}
	for _, name := range o.Ignore {
		r.ignore[name] = true
	}
	texts := o.MissingValues
	if texts == nil {
		texts = DefaultMissing()
	}
	r.missing[""] = true // a text without characters has no value whatever the options say
	for _, t := range texts {
		t = string(trim([]byte(t)))
		r.missing[t] = true
		r.longest = max(r.longest, len(t))
		if t != "" {
			r.first[t[0]] = true
			_, _, ok := parseNumber([]byte(t), true)
			r.numericNA = r.numericNA || ok && t[0] <= '9'
		}
	}
	if r.maxRecord <= 0 {
		r.maxRecord = 64 << 20
	}
	if r.maxColumns <= 0 {
		r.maxColumns = 20000
	}
	return r
}

func (r *reading) isMissing(t []byte) bool {
	return len(t) == 0 || len(t) <= r.longest && r.first[t[0]] && r.missing[string(t)]
}

// A hint is what a column is known to be before a chunk is parsed.
type hint struct {
	state  state
	forced bool // by Options.Types: another kind of value is an error
}

func (r *reading) hint(name string) hint {
	if r.ignore[name] {
		return hint{state: skipped}
	}
	if k, ok := r.types[name]; ok {
		return hint{stateOf[k], true}
	}
	return hint{}
}

// A badNumber is a number that must not stay in a numeric column.
type badNumber struct {
	line int // 1-based; 0 = none
	text string
	inf  bool
}

// values are the values of one column in one chunk.
type values struct {
	hint
	rows   int
	nums   []float64
	codes  []int32
	levels []string
	dict   map[string]int32
	shapes shape
	bad    badNumber
	words  [2]string // boolean: words met for false and true
	varied bool      // boolean: more than one word for the same value
}

func (c *values) reset(h hint) {
	clear(c.dict)
	*c = values{hint: h, nums: c.nums[:0], codes: c.codes[:0], levels: c.levels[:0], dict: c.dict}
}

// pad appends missing values until the column has n rows.
func (c *values) pad(n int) {
	switch c.state {
	case number, boolean, date:
		for len(c.nums) < n {
			c.nums = append(c.nums, math.NaN())
		}
	case category:
		for len(c.codes) < n {
			c.codes = append(c.codes, -1)
		}
	}
	c.rows = n
}

// become settles an unknown column.
func (c *values) become(s state) {
	c.state = s
	c.pad(c.rows)
}

// add appends one value. It returns false for a text that cannot be of the forced kind.
func (c *values) add(r *reading, text []byte, from origin, line int) bool {
	if c.state >= mixed {
		c.rows++
		return true
	}
	t := trim(text)
	if r.isMissing(t) {
		c.pad(c.rows + 1)
		return true
	}
	if c.state == unknown {
		c.become(classify(r, t, from))
	}
	fits := true
	switch c.state {
	case number:
		v, s, ok := parseNumber(t, r.comma)
		if ok && (from != jsonString || c.forced) && from != jsonBool {
			c.number(v, s, t, line)
		} else {
			fits = false
		}
	case boolean:
		v, ok := parseBoolean(t)
		if c.forced && !ok && len(t) == 1 && t[0]|1 == '1' {
			v, ok = float64(t[0]-'0'), true
		}
		if ok && (from == plainText || from == jsonBool || c.forced) {
			c.nums = append(c.nums, v)
			if w := &c.words[int(v)]; *w == "" && t[0] > '9' {
				*w = string(t)
			} else if *w != string(t) {
				c.varied = true
			}
		} else {
			fits = false
		}
	case date:
		v, ok := parseDate(t)
		if ok {
			c.nums = append(c.nums, v)
		} else {
			fits = false
		}
	case category:
		code, ok := c.dict[string(t)]
		if !ok {
			if c.dict == nil {
				c.dict = make(map[string]int32)
			}
			code = int32(len(c.levels))
			level := string(t)
			c.levels = append(c.levels, level)
			c.dict[level] = code
		}
		c.codes = append(c.codes, code)
	}
	c.rows++
	if !fits {
		if c.forced {
			return false
		}
		c.state = mixed
	}
	return true
}

// number appends a number that has been parsed from text.
func (c *values) number(v float64, s shape, text []byte, line int) {
	c.nums = append(c.nums, v)
	c.shapes |= s
	if c.bad.line == 0 && beyondFloat32(v) {
		c.bad = badNumber{line, string(text), s&shapeInf != 0}
	}
}

// classify says what kind of column a first value makes.
func classify(r *reading, t []byte, from origin) state {
	switch from {
	case jsonNumber:
		return number
	case jsonBool:
		return boolean
	case plainText:
		if _, _, ok := parseNumber(t, r.comma); ok {
			return number
		}
		if _, ok := parseBoolean(t); ok {
			return boolean
		}
	}
	if _, ok := parseDate(t); ok {
		return date
	}
	return category
}

// A builder grows one column of the table from chunks.
type builder struct {
	name string
	file string // of bad
	values
}

// take appends what one chunk has of this column. before is the number of rows
// of earlier chunks, line the number of lines before the chunk in its file.
// expect is the number of rows that the whole source will probably have.
func (b *builder) take(c *values, before, expect int, file string, line int) {
	if b.state >= mixed {
		return
	}
	if c.state == mixed {
		b.drop(mixed)
		return
	}
	if c.state != unknown && c.state != b.state {
		if b.state != unknown {
			b.drop(mixed)
			return
		}
		b.state = c.state
		b.reserve(c.rows+before, expect)
		b.pad(before)
	}
	b.reserve(before+c.rows, expect)
	b.pad(before)
	b.shapes |= c.shapes
	if b.bad.line == 0 && c.bad.line != 0 {
		b.bad, b.file = c.bad, file
		b.bad.line += line
	}
	switch {
	case c.state == unknown:
		b.pad(before + c.rows)
	case b.state == category:
		codes := make([]int32, len(c.levels))
		for i, l := range c.levels {
			code, ok := b.dict[l]
			if !ok {
				if b.dict == nil {
					b.dict = make(map[string]int32)
				}
				code = int32(len(b.levels))
				b.dict[l] = code
				b.levels = append(b.levels, l)
			}
			codes[i] = code
		}
		for _, k := range c.codes {
			if k >= 0 {
				k = codes[k]
			}
			b.codes = append(b.codes, k)
		}
	default:
		b.nums = append(b.nums, c.nums...)
		for i, w := range c.words {
			if b.words[i] == "" {
				b.words[i] = w
			} else if w != "" && w != b.words[i] {
				b.varied = true
			}
		}
		b.varied = b.varied || c.varied
	}
	b.rows = before + c.rows
}

// drop forgets the values: they will be read again, or are not wanted.
func (b *builder) drop(s state) {
	b.values = values{hint: hint{state: s, forced: b.forced}}
}

// reserve makes room for n values, or for expect if that is more, so that
// columns are rarely copied while they grow. What is reserved and never
// written costs address space, not memory.
func (b *builder) reserve(n, expect int) {
	const large = 8 << 20 // values
	room := max(n, 16)
	if expect == 0 {
		room *= 2 // too early for an estimate
	} else {
		room = max(room+room/8, expect)
	}
	switch b.state {
	case number, boolean, date:
		if n > cap(b.nums) {
			old := len(b.nums)
			b.nums = append(make([]float64, 0, room), b.nums...)
			if old > large {
				// Without this the abandoned copies of 30 long columns would
				// double the memory before the collector thinks it worthwhile.
				debug.FreeOSMemory()
			}
		}
	case category:
		if n > cap(b.codes) {
			b.codes = append(make([]int32, 0, room), b.codes...)
		}
	}
}

// again reports whether the column must be read a second time, as a category:
// its values are of two kinds, or they are identifiers that a float64 would
// round, or some have a decimal point and others a decimal comma.
func (b *builder) again() bool {
	if b.forced {
		return false
	}
	if b.state == mixed {
		return true
	}
	large := b.shapes&shapeLarge != 0 && b.shapes&shapeFraction == 0
	both := b.shapes&shapePoint != 0 && b.shapes&shapeComma != 0
	return b.state == number && (large || both)
}

// check reports a number that a float32 network could not take in.
func (b *builder) check(op string) error {
	if b.state != number || b.bad.line == 0 {
		return nil
	}
	e := &solera.InputError{Op: op, File: b.file, Line: b.bad.line, Column: b.name}
	if b.bad.inf {
		e.Msg = fmt.Sprintf("%s is not a finite number", quote(b.bad.text))
		e.Hint = "leave the field empty if the value is unknown, or give the column the type category or ignore it"
	} else {
		e.Msg = fmt.Sprintf("%s is beyond the range of a 32-bit float (±3.4e38), which networks compute in", quote(b.bad.text))
		e.Hint = "rescale the column, or give it the type category or ignore it"
	}
	return e
}

// column returns the finished column of n rows.
func (b *builder) column(n int) *Column {
	c := &Column{Name: b.name}
	switch b.state {
	case category:
		b.pad(n)
		c.Kind, c.Codes = Category, slices.Clip(b.codes)
		c.Levels = sortLevels(b.levels, c.Codes)
	case boolean:
		b.pad(n)
		c.Kind, c.Numbers = Boolean, slices.Clip(b.nums)
		c.Levels = b.booleanLevels()
	case date:
		b.pad(n)
		c.Kind, c.Numbers = Date, slices.Clip(b.nums)
	default: // a column without any value is a number that is always missing
		b.state = number
		b.reserve(n, n)
		b.pad(n)
		c.Kind, c.Numbers = Number, slices.Clip(b.nums)
		c.Integer = whole(c.Numbers)
	}
	return c
}

// booleanLevels returns the words of the column, or nil where they are plain
// or were not used consistently.
func (b *builder) booleanLevels() []string {
	no, yes := b.words[0], b.words[1]
	switch {
	case b.varied || no == "" && yes == "":
		return nil
	case no == "":
		no = otherWord(yes)
	case yes == "":
		yes = otherWord(no)
	}
	if otherWord(no) != yes || no == "false" {
		return nil
	}
	return []string{no, yes}
}

// sortLevels returns the levels sorted and rewrites the codes to match.
func sortLevels(levels []string, codes []int32) []string {
	order := make([]int32, len(levels))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return strings.Compare(levels[a], levels[b]) })
	sorted := make([]string, len(levels))
	code := make([]int32, len(levels))
	for i, o := range order {
		sorted[i] = levels[o]
		code[o] = int32(i)
	}
	for i, k := range codes {
		if k >= 0 {
			codes[i] = code[k]
		}
	}
	return sorted
}

// quote shows a text of the user's in a message, shortened.
func quote(s string) string {
	if len(s) > 40 {
		s = strings.ToValidUTF8(s[:40], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}
