package table

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"

	"github.com/solera-ml/solera/tensor"
)

// Parquet is written here and not by a library, because an artifact's digest
// is the hash of these bytes: they must be the same with next year's library.
// The format is that of https://github.com/apache/parquet-format, version 1
// pages, plain and dictionary encoding, no compression, no statistics.

const (
	rowGroupRows = 1 << 20
	pageRows     = 1 << 16
	// One dictionary is repeated in each row group, so columns of identifiers go without.
	maxDictionary = 1 << 16
	createdBy     = "solera version 1 (build 1)"
	metadataKey   = "solera"
)

// fileInfo is the metadata by which Solera reads its own files back exactly.
type fileInfo struct {
	Form    string       `json:"form"` // "table" or "matrix"
	Row     string       `json:"row"`  // column that holds the row numbers
	Target  string       `json:"target,omitempty"`
	Y       string       `json:"y,omitempty"` // column that holds the target, if its name was taken
	Columns []columnInfo `json:"columns"`
}

type columnInfo struct {
	Name  string   `json:"name"`
	Kind  Kind     `json:"kind,omitempty"`
	Words []string `json:"words,omitempty"`
}

// WriteParquet writes t with fixed settings: the same table gives the same
// bytes on every machine. The first column, "row", has the row numbers (its
// name gets a leading underscore while a column of t has it). Missing values
// are nulls; dates are UTC timestamps in microseconds; categories are strings.
func WriteParquet(w io.Writer, t *Table) error {
	return writeTable(w, t, t.Len(), int64Column(t.RowNumbers), tableColumn)
}

// WriteParquetRows writes what WriteParquet writes of t.Select(rows), and holds
// no copy of those rows beyond a page of one column.
func WriteParquetRows(w io.Writer, t *Table, rows []int) error {
	numbers := outColumn{typ: typeInt64, values: func(dst []byte, lo, hi int) []byte {
		for _, i := range rows[lo:hi] {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(t.RowNumbers[i]))
		}
		return dst
	}}
	return writeTable(w, t, len(rows), numbers, func(c *Column, n int) outColumn {
		o := tableColumn(c, n)
		o.present = func(i int) bool { return !c.Missing(rows[i]) }
		o.values = func(dst []byte, lo, hi int) []byte {
			return tableColumn(c.Select(rows[lo:hi]), n).values(dst, 0, hi-lo)
		}
		return o
	})
}

// writeTable writes n rows of t, whose columns come from column.
func writeTable(w io.Writer, t *Table, n int, numbers outColumn, column func(c *Column, n int) outColumn) error {
	if err := t.Check(); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	info := fileInfo{Form: "table", Row: freeName("row", t.Names())}
	numbers.name = info.Row
	out := []outColumn{numbers}
	for _, c := range t.Columns {
		ci := columnInfo{Name: c.Name, Kind: c.Kind}
		if c.Kind == Boolean {
			ci.Words = c.Levels
		}
		info.Columns = append(info.Columns, ci)
		out = append(out, column(c, n))
	}
	return writeParquet(w, out, n, info)
}

// A Matrix is a transformed table: float32 features with names, row numbers
// and, when Target is not "", the class of each row.
type Matrix struct {
	Names   []string       // names of the columns of X
	X       *tensor.Matrix // one row per row
	Rows    []int64        // original row numbers
	Target  string         // name of the class column, "" for none
	Y       []int32        // index in Classes, -1 unknown
	Classes []string
}

// WriteMatrixParquet writes m with fixed settings, as WriteParquet does: the
// column "row", one float32 column per feature, and the class as a string.
func WriteMatrixParquet(w io.Writer, m Matrix) error {
	n := m.X.Rows
	switch {
	case len(m.Names) != m.X.Cols:
		return fmt.Errorf("write parquet: %d names for %d columns", len(m.Names), m.X.Cols)
	case len(m.Rows) != n:
		return fmt.Errorf("write parquet: %d row numbers for %d rows", len(m.Rows), n)
	case m.Target != "" && len(m.Y) != n:
		return fmt.Errorf("write parquet: %d classes for %d rows", len(m.Y), n)
	}
	info := fileInfo{Form: "matrix", Row: freeName("row", append(slices.Clone(m.Names), m.Target)), Target: m.Target}
	numbers := int64Column(m.Rows)
	numbers.name = info.Row
	out := []outColumn{numbers}
	seen := make(map[string]bool)
	for j, name := range m.Names {
		if seen[name] {
			return fmt.Errorf("write parquet: two columns are called %q", name)
		}
		seen[name] = true
		info.Columns = append(info.Columns, columnInfo{Name: name})
		out = append(out, matrixColumn(name, m.X, j))
	}
	if m.Target != "" {
		for i, y := range m.Y {
			if int(y) >= len(m.Classes) {
				return fmt.Errorf("write parquet: class %d of %d in row %d", y, len(m.Classes), i)
			}
		}
		info.Y = freeName(m.Target, m.Names)
		out = append(out, codeColumn(info.Y, m.Y, m.Classes, true))
	}
	return writeParquet(w, out, n, info)
}

// freeName returns name with as many leading underscores as make it different from all of taken.
func freeName(name string, taken []string) string {
	for slices.Contains(taken, name) {
		name = "_" + name
	}
	return name
}

// Numbers of the format's enumerations (parquet.thrift).
const (
	typeBoolean, typeInt64, typeFloat, typeDouble, typeByteArray = 0, 2, 4, 5, 6
	encodingPlain, encodingRLE, encodingRLEDictionary            = 0, 3, 8
	required, optional                                           = 0, 1
	convertedUTF8, convertedTimestampMicros                      = 0, 10
	pageData, pageDictionary                                     = 0, 2
)

// An outColumn is a column on its way to a file.
type outColumn struct {
	name     string
	typ      int32
	optional bool
	logical  func(*thrift) // writes the converted and logical type
	dict     []string      // nil = plain
	present  func(i int) bool
	values   func(dst []byte, lo, hi int) []byte // plain values that are present, or codes
}

func int64Column(v []int64) outColumn {
	return outColumn{typ: typeInt64, values: func(dst []byte, lo, hi int) []byte {
		for _, x := range v[lo:hi] {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(x))
		}
		return dst
	}}
}

func matrixColumn(name string, x *tensor.Matrix, j int) outColumn {
	return outColumn{name: name, typ: typeFloat, values: func(dst []byte, lo, hi int) []byte {
		for i := lo; i < hi; i++ {
			b := math.Float32bits(x.Data[i*x.Stride+j])
			if b&^(1<<31) > 0x7f800000 {
				b = 0x7fc00000 // one NaN: which bits an operation gives depends on the processor
			}
			dst = binary.LittleEndian.AppendUint32(dst, b)
		}
		return dst
	}}
}

// tableColumn is a column of a file of n rows.
func tableColumn(c *Column, n int) outColumn {
	o := outColumn{name: c.Name, optional: true, present: func(i int) bool { return !math.IsNaN(c.Numbers[i]) }}
	switch c.Kind {
	case Category:
		return codeColumn(c.Name, c.Codes, c.Levels, len(c.Levels) <= maxDictionary || n <= rowGroupRows)
	case Number:
		o.typ = typeDouble
		o.values = func(dst []byte, lo, hi int) []byte {
			for _, x := range c.Numbers[lo:hi] {
				if !math.IsNaN(x) {
					dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(x))
				}
			}
			return dst
		}
	case Date:
		o.typ = typeInt64
		o.logical = func(t *thrift) {
			t.int32(6, convertedTimestampMicros)
			t.begin(10) // LogicalType
			t.begin(8)  // TIMESTAMP
			t.boolean(1, true)
			t.begin(2) // unit
			t.begin(2) // MICROS
			t.end()
			t.end()
			t.end()
			t.end()
		}
		o.values = func(dst []byte, lo, hi int) []byte {
			for _, x := range c.Numbers[lo:hi] {
				if !math.IsNaN(x) {
					dst = binary.LittleEndian.AppendUint64(dst, uint64(toMicros(x)))
				}
			}
			return dst
		}
	case Boolean:
		o.typ = typeBoolean
		o.values = func(dst []byte, lo, hi int) []byte {
			n := 0
			for _, x := range c.Numbers[lo:hi] {
				if math.IsNaN(x) {
					continue
				}
				if n%8 == 0 {
					dst = append(dst, 0)
				}
				if x != 0 {
					dst[len(dst)-1] |= 1 << (n % 8)
				}
				n++
			}
			return dst
		}
	}
	return o
}

// codeColumn is a column of strings given by codes. Its dictionary has all
// levels, also those without a row, so that codes survive.
func codeColumn(name string, codes []int32, levels []string, dictionary bool) outColumn {
	o := outColumn{name: name, typ: typeByteArray, optional: true, present: func(i int) bool { return codes[i] >= 0 }}
	o.logical = func(t *thrift) {
		t.int32(6, convertedUTF8)
		t.begin(10) // LogicalType
		t.begin(1)  // STRING
		t.end()
		t.end()
	}
	if dictionary {
		o.dict = levels
		if o.dict == nil {
			o.dict = []string{}
		}
		width := max(1, bits.Len(uint(max(0, len(levels)-1))))
		o.values = func(dst []byte, lo, hi int) []byte {
			present := make([]int32, 0, hi-lo)
			for _, k := range codes[lo:hi] {
				if k >= 0 {
					present = append(present, k)
				}
			}
			return appendHybrid(append(dst, byte(width)), present, width)
		}
		return o
	}
	o.values = func(dst []byte, lo, hi int) []byte {
		for _, k := range codes[lo:hi] {
			if k >= 0 {
				dst = appendString(dst, levels[k])
			}
		}
		return dst
	}
	return o
}

func appendString(dst []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(dst, uint32(len(s))), s...)
}

// appendHybrid appends v in the format's run-length and bit-packed hybrid:
// runs of 8 or more equal values at a group's start are run-length encoded,
// the rest is packed in groups of 8.
func appendHybrid(dst []byte, v []int32, width int) []byte {
	run := func(i int) int {
		n := 1
		for i+n < len(v) && v[i+n] == v[i] {
			n++
		}
		return n
	}
	for i := 0; i < len(v); {
		if n := run(i); n >= 8 || i+n == len(v) {
			dst = binary.AppendUvarint(dst, uint64(n)<<1)
			for b := 0; b < width; b += 8 {
				dst = append(dst, byte(v[i]>>b))
			}
			i += n
			continue
		}
		start := i
		for i < len(v) && (i == start || run(i) < 8) {
			i += 8
		}
		dst = binary.AppendUvarint(dst, uint64((i-start)/8)<<1|1)
		var acc uint64
		have := 0
		for k := start; k < i; k++ {
			if k < len(v) {
				acc |= uint64(v[k]) << have
			}
			for have += width; have >= 8; have -= 8 {
				dst = append(dst, byte(acc))
				acc >>= 8
			}
		}
	}
	return dst
}

// An outChunk is what the footer says of one column in one row group.
type outChunk struct {
	dictionary, data int64 // offsets in the file; dictionary 0 = none
	size             int64
}

func writeParquet(w io.Writer, cols []outColumn, rows int, info fileInfo) error {
	buffered := bufio.NewWriterSize(w, 1<<20)
	out := &countingWriter{w: buffered}
	out.Write([]byte("PAR1"))
	var groups [][]outChunk
	var page, head []byte
	var levels []int32
	for lo := 0; lo < rows; lo += rowGroupRows {
		hi := min(lo+rowGroupRows, rows)
		group := make([]outChunk, len(cols))
		for c := range cols {
			col, start := &cols[c], out.n
			if col.dict != nil {
				page = page[:0]
				for _, s := range col.dict {
					page = appendString(page, s)
				}
				group[c].dictionary = out.n
				head = pageHeader(head[:0], pageDictionary, len(page), len(col.dict))
				if err := out.page(col.name, head, page); err != nil {
					return err
				}
			}
			group[c].data = out.n
			for i := lo; i < hi; i += pageRows {
				j := min(i+pageRows, hi)
				page = page[:0]
				if col.optional {
					levels = levels[:0]
					for r := i; r < j; r++ {
						l := int32(0)
						if col.present(r) {
							l = 1
						}
						levels = append(levels, l)
					}
					page = appendHybrid(append(page, 0, 0, 0, 0), levels, 1)
					binary.LittleEndian.PutUint32(page, uint32(len(page)-4))
				}
				page = col.values(page, i, j)
				encoding := encodingPlain
				if col.dict != nil {
					encoding = encodingRLEDictionary
				}
				head = dataPageHeader(head[:0], len(page), j-i, encoding)
				if err := out.page(col.name, head, page); err != nil {
					return err
				}
			}
			group[c].size = out.n - start
		}
		groups = append(groups, group)
	}
	footer, err := parquetFooter(cols, rows, groups, info)
	if err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	out.Write(footer)
	out.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(footer))))
	out.Write([]byte("PAR1"))
	if out.err == nil {
		out.err = buffered.Flush()
	}
	if out.err != nil {
		return fmt.Errorf("write parquet: %w", out.err)
	}
	return nil
}

type countingWriter struct {
	w   io.Writer
	n   int64
	err error // the first one; later writes do nothing
}

func (c *countingWriter) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.w.Write(p)
	c.n, c.err = c.n+int64(n), err
	return n, err
}

func (c *countingWriter) page(column string, head, page []byte) error {
	if len(page) > math.MaxInt32 {
		return fmt.Errorf("write parquet: column %q: the texts of %d rows are larger than 2 GiB", column, pageRows)
	}
	c.Write(head)
	c.Write(page)
	if c.err != nil {
		return fmt.Errorf("write parquet: %w", c.err)
	}
	return nil
}

func pageHeader(dst []byte, kind int32, size, values int) []byte {
	t := thrift{b: dst}
	t.int32(1, kind)
	t.int32(2, int32(size))
	t.int32(3, int32(size))
	t.begin(7) // DictionaryPageHeader
	t.int32(1, int32(values))
	t.int32(2, encodingPlain)
	t.end()
	return t.stop()
}

func dataPageHeader(dst []byte, size, values, encoding int) []byte {
	t := thrift{b: dst}
	t.int32(1, pageData)
	t.int32(2, int32(size))
	t.int32(3, int32(size))
	t.begin(5) // DataPageHeader
	t.int32(1, int32(values))
	t.int32(2, int32(encoding))
	t.int32(3, encodingRLE)
	t.int32(4, encodingRLE)
	t.end()
	return t.stop()
}

func parquetFooter(cols []outColumn, rows int, groups [][]outChunk, info fileInfo) ([]byte, error) {
	about, err := json.Marshal(info)
	if err != nil {
		return nil, err
	}
	var t thrift
	t.int32(1, 1) // version
	t.list(2, thriftStruct, len(cols)+1)
	t.open()
	t.string(4, "table")
	t.int32(5, int32(len(cols)))
	t.end()
	for _, c := range cols {
		t.open()
		t.int32(1, c.typ)
		repetition := int32(required)
		if c.optional {
			repetition = optional
		}
		t.int32(3, repetition)
		t.string(4, c.name)
		if c.logical != nil {
			c.logical(&t)
		}
		t.end()
	}
	t.int64(3, int64(rows))
	t.list(4, thriftStruct, len(groups))
	for g, group := range groups {
		n := int64(min(rowGroupRows, rows-g*rowGroupRows))
		var size int64
		t.open()
		t.list(1, thriftStruct, len(group))
		for c, ch := range group {
			first := ch.data
			if ch.dictionary > 0 {
				first = ch.dictionary
			}
			size += ch.size
			t.open()
			t.int64(2, first)
			t.begin(3) // ColumnMetaData
			t.int32(1, cols[c].typ)
			encodings := []int32{encodingPlain, encodingRLE}
			if ch.dictionary > 0 {
				encodings = append(encodings, encodingRLEDictionary)
			}
			t.list(2, thriftInt32, len(encodings))
			for _, e := range encodings {
				t.varint(int64(e))
			}
			t.list(3, thriftBinary, 1)
			t.bytes(cols[c].name)
			t.int32(4, 0) // not compressed
			t.int64(5, n)
			t.int64(6, ch.size)
			t.int64(7, ch.size)
			t.int64(9, ch.data)
			if ch.dictionary > 0 {
				t.int64(11, ch.dictionary)
			}
			t.end()
			t.end()
		}
		t.int64(2, size)
		t.int64(3, n)
		t.end()
	}
	t.list(5, thriftStruct, 1)
	t.open()
	t.string(1, metadataKey)
	t.string(2, string(about))
	t.end()
	t.string(6, createdBy)
	return t.stop(), nil
}

// Types of Thrift's compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftInt32  = 5
	thriftInt64  = 6
	thriftBinary = 8
	thriftList   = 9
	thriftStruct = 12
)

// thrift writes structures in Thrift's compact protocol. Fields of a
// structure must come in ascending order.
type thrift struct {
	b    []byte
	last []int // last field number of each open structure
	cur  int
}

func (t *thrift) field(id, typ int) {
	t.b = append(t.b, byte((id-t.cur)<<4|typ)) // every step in parquet.thrift that we need is below 16
	t.cur = id
}

func (t *thrift) varint(v int64) { t.b = binary.AppendVarint(t.b, v) } // zigzag, as Thrift's

func (t *thrift) int32(id int, v int32) {
	t.field(id, thriftInt32)
	t.varint(int64(v))
}

func (t *thrift) int64(id int, v int64) {
	t.field(id, thriftInt64)
	t.varint(v)
}

func (t *thrift) boolean(id int, v bool) {
	if v {
		t.field(id, thriftTrue)
	} else {
		t.field(id, thriftFalse)
	}
}

func (t *thrift) bytes(s string) {
	t.b = append(binary.AppendUvarint(t.b, uint64(len(s))), s...)
}

func (t *thrift) string(id int, s string) {
	t.field(id, thriftBinary)
	t.bytes(s)
}

func (t *thrift) list(id, typ, n int) {
	t.field(id, thriftList)
	if n < 15 {
		t.b = append(t.b, byte(n<<4|typ))
		return
	}
	t.b = binary.AppendUvarint(append(t.b, byte(0xf0|typ)), uint64(n))
}

// begin opens the structure that is field id; open opens an element of a list.
func (t *thrift) begin(id int) {
	t.field(id, thriftStruct)
	t.open()
}

func (t *thrift) open() {
	t.last = append(t.last, t.cur)
	t.cur = 0
}

func (t *thrift) end() {
	t.b = append(t.b, 0)
	t.cur = t.last[len(t.last)-1]
	t.last = t.last[:len(t.last)-1]
}

// stop ends the outermost structure.
func (t *thrift) stop() []byte { return append(t.b, 0) }
