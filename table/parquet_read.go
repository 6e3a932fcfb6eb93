package table

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tensor"
)

func openParquet(ctx context.Context, op string, names []string, o Options) (*Table, error) {
	var all *Table
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return nil, fileError(op, name, err)
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, fileError(op, name, err)
		}
		t, err := readParquet(ctx, op, name, f, info.Size(), o)
		f.Close()
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = t
			continue
		}
		if err := sameColumns(op, names[0], all.Names(), name, t.Names()); err != nil {
			return nil, err
		}
		if err := all.append(op, name, t); err != nil {
			return nil, err
		}
	}
	if len(names) > 1 {
		for i := range all.RowNumbers {
			all.RowNumbers[i] = int64(i)
		}
		for _, c := range all.Columns {
			c.Integer = c.Kind == Number && whole(c.Numbers)
		}
	}
	return all, nil
}

// append adds the rows of u, which has the same columns; Integer is left to the caller.
func (t *Table) append(op, file string, u *Table) error {
	for _, c := range t.Columns {
		d := u.Column(c.Name)
		if d.Kind != c.Kind {
			// A column without values has the kind number for want of a better one.
			switch {
			case d.MissingCount() == d.Len():
				*d = *missingColumn(d.Name, c.Kind, d.Len())
			case c.MissingCount() == c.Len():
				*c = *missingColumn(c.Name, d.Kind, c.Len())
			default:
				return &solera.InputError{
					Op: op, File: file, Column: c.Name, Msg: fmt.Sprintf("a %s here, a %s in the files before", d.Kind, c.Kind),
					Hint: "write the column with the same type in all files, or give its type in data.types",
				}
			}
		}
		if c.Kind != Category {
			c.Numbers = append(c.Numbers, d.Numbers...)
			if c.Kind == Boolean && !slices.Equal(c.Levels, d.Levels) {
				c.Levels = nil
			}
			continue
		}
		levels := slices.Concat(c.Levels, d.Levels)
		slices.Sort(levels)
		levels = slices.Compact(levels)
		// A file without new levels leaves the rows of a thousand others alone.
		if len(levels) > len(c.Levels) {
			recode(c.Codes, c.Levels, levels)
		}
		recode(d.Codes, d.Levels, levels)
		c.Codes, c.Levels = append(c.Codes, d.Codes...), levels
	}
	t.RowNumbers = append(t.RowNumbers, u.RowNumbers...)
	return nil
}

func missingColumn(name string, k Kind, n int) *Column {
	c := &Column{Name: name, Kind: k}
	if k == Category {
		c.Codes = slices.Repeat([]int32{-1}, n)
	} else {
		c.Numbers = slices.Repeat([]float64{math.NaN()}, n)
	}
	return c
}

// recode rewrites codes of from as codes of to, which is sorted and has all levels of from.
func recode(codes []int32, from, to []string) {
	m := make([]int32, len(from))
	for i, l := range from {
		at, _ := slices.BinarySearch(to, l)
		m[i] = int32(at)
	}
	for i, k := range codes {
		if k >= 0 {
			codes[i] = m[k]
		}
	}
}

// ReadParquet reads a Parquet file of flat columns: integers, floats,
// decimals, booleans, strings, dates and timestamps. Nulls and NaNs are missing, and so
// are strings that Options list as missing. What WriteParquet wrote is read
// back as it was, row numbers and levels included; o.Types convert.
// A damaged or hostile file is an error.
func ReadParquet(ctx context.Context, name string, r io.ReaderAt, size int64, o Options) (*Table, error) {
	return readParquet(ctx, "load "+name, name, r, size, o)
}

// damaged is the error for a file that is not what it claims to be.
func damaged(op, name string, cause any) error {
	return &solera.InputError{Op: op, File: name, Msg: fmt.Sprintf("the Parquet file is damaged or cut short (%v)", cause), Hint: "write or copy the file again"}
}

// openFile opens the file after the checks that keep a hostile one from
// claiming memory that its size does not justify.
func openFile(op, name string, r io.ReaderAt, size int64) (*parquet.File, fileInfo, error) {
	var info fileInfo
	if size == 0 {
		return nil, info, &solera.InputError{Op: op, File: name, Msg: "the file is empty", Hint: "give a Parquet file with at least one row"}
	}
	var tail [8]byte
	if size < 12 {
		return nil, info, damaged(op, name, "too short")
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil && err != io.EOF {
		return nil, info, fileError(op, name, err)
	}
	if string(tail[4:]) != "PAR1" {
		return nil, info, damaged(op, name, "no PAR1 at its end")
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:])); n > size-12 {
		return nil, info, damaged(op, name, "the footer is larger than the file")
	}
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, info, damaged(op, name, err)
	}
	var rows int64
	for _, g := range f.RowGroups() {
		if g.NumRows() < 0 {
			return nil, info, damaged(op, name, "negative row count")
		}
		rows += g.NumRows()
	}
	cols := int64(len(f.Root().Columns()))
	// Runs make a constant column nearly free, so rows may well outnumber
	// bytes, but not by this much in a file that holds anything.
	if rows != f.NumRows() || rows > 1<<40 || rows*cols > 1<<24+1024*size {
		return nil, info, damaged(op, name, fmt.Sprintf("%d rows of %d columns in %d bytes", f.NumRows(), cols, size))
	}
	if f.Metadata().CreatedBy == createdBy {
		if text, ok := f.Lookup(metadataKey); ok {
			if err := json.Unmarshal([]byte(text), &info); err != nil {
				return nil, info, damaged(op, name, err)
			}
		}
	}
	return f, info, nil
}

func readParquet(ctx context.Context, op, name string, r io.ReaderAt, size int64, o Options) (t *Table, err error) {
	defer func() {
		// The library panics on some damaged files.
		if p := recover(); p != nil {
			t, err = nil, damaged(op, name, p)
		}
	}()
	f, info, err := openFile(op, name, r, size)
	if err != nil {
		return nil, err
	}
	opt := newReading(o)
	own := info.Form == "table"
	cols := f.Root().Columns()
	if len(cols) > opt.maxColumns {
		return nil, tooManyColumns(op, name, len(cols), opt.maxColumns)
	}
	n := int(f.NumRows())
	if n == 0 && !own {
		return nil, &solera.InputError{Op: op, File: name, Msg: "the file has no rows", Hint: "give a file with at least one row"}
	}
	kinds := make(map[string]columnInfo)
	for _, c := range info.Columns {
		kinds[c.Name] = c
	}
	names := make([]string, len(cols))
	for i, pc := range cols {
		names[i] = pc.Name()
	}
	if err := ignorable(op, name, o.Ignore, names); err != nil {
		return nil, err
	}
	t = &Table{}
	seen := make(map[string]bool)
	for _, pc := range cols {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		col := pc.Name()
		fail := func(msg, hint string) error {
			return &solera.InputError{Op: op, File: name, Column: col, Msg: msg, Hint: hint}
		}
		switch {
		case col == "":
			return nil, &solera.InputError{Op: op, File: name, Msg: "a column has no name", Hint: "give every column a name"}
		case seen[col]:
			return nil, fail("two columns have this name", "rename one of them")
		case own && col == info.Row:
			if t.RowNumbers, err = readRowNumbers(f, pc, n); err != nil {
				return nil, damaged(op, name, err)
			}
			continue
		case opt.ignore[col]:
			continue
		}
		seen[col] = true
		if !pc.Leaf() || pc.Repeated() {
			return nil, fail("a nested column; only flat columns can be read", "flatten the column, or ignore it")
		}
		in := &parquetColumn{op: op, file: name, name: col, own: own, r: opt, n: n, leaf: pc}
		if err := in.check(f.Metadata()); err != nil {
			return nil, err
		}
		if in.untyped(f.Metadata()) {
			t.Columns = append(t.Columns, missingColumn(col, cmp.Or(opt.types[col], Number), n))
			continue
		}
		c, err := in.read(ctx, f)
		if err != nil {
			return nil, err
		}
		if ci, ok := kinds[col]; ok && own && ci.Kind == Boolean && c.Kind == Boolean && len(ci.Words) == 2 {
			c.Levels = ci.Words
		}
		if want, ok := opt.types[col]; ok && want != c.Kind {
			if !want.Valid() {
				return nil, fail(fmt.Sprintf("type %q is not known", want), "use number, category, boolean or date")
			}
			if err := convert(c, want, op, name); err != nil {
				return nil, err
			}
		}
		t.Columns = append(t.Columns, c)
	}
	if t.RowNumbers == nil {
		t.RowNumbers = make([]int64, n)
		for i := range t.RowNumbers {
			t.RowNumbers[i] = int64(i)
		}
	}
	if err := t.Check(); err != nil {
		return nil, damaged(op, name, err)
	}
	return t, nil
}

// eachPage calls fn with every page of a column, in order.
func eachPage(f *parquet.File, index int, fn func(parquet.Page) error) error {
	for _, g := range f.RowGroups() {
		pages := g.ColumnChunks()[index].Pages()
		err := func() error {
			defer pages.Close()
			for left := g.NumRows(); ; {
				p, err := pages.ReadPage()
				if err == io.EOF {
					if left != 0 {
						return fmt.Errorf("a column lacks %d values", left)
					}
					return nil
				}
				if err != nil {
					return err
				}
				// Before anything is appended: a page may claim any number.
				if left -= p.NumValues(); left < 0 {
					parquet.Release(p)
					return errors.New("a column has more values than rows")
				}
				err = fn(p)
				parquet.Release(p)
				if err != nil {
					return err
				}
			}
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// scatter appends the values that are present to dst, and absent for the others.
func scatter[T, S any](dst []T, p parquet.Page, v []S, absent T, of func(S) T) ([]T, error) {
	levels := p.DefinitionLevels()
	if levels == nil {
		if int64(len(v)) != p.NumValues() {
			return dst, fmt.Errorf("a page of %d values has %d", p.NumValues(), len(v))
		}
		for _, x := range v {
			dst = append(dst, of(x))
		}
		return dst, nil
	}
	for _, l := range levels {
		if l == 0 {
			dst = append(dst, absent)
			continue
		}
		if len(v) == 0 {
			return dst, errors.New("a page has fewer values than it claims")
		}
		dst = append(dst, of(v[0]))
		v = v[1:]
	}
	return dst, nil
}

func readRowNumbers(f *parquet.File, pc *parquet.Column, n int) ([]int64, error) {
	if !pc.Leaf() || !pc.Required() || pc.Type().Kind() != parquet.Int64 {
		return nil, errors.New("the row numbers are not integers")
	}
	rows := make([]int64, 0, n)
	err := eachPage(f, pc.Index(), func(p parquet.Page) (err error) {
		if p.Dictionary() != nil {
			return errors.New("the row numbers are encoded")
		}
		v := p.Data()
		rows, err = scatter(rows, p, v.Int64(), 0, func(x int64) int64 { return x })
		return err
	})
	return rows, err
}

// A parquetColumn reads one column.
type parquetColumn struct {
	op, file, name string
	own            bool
	r              *reading
	n              int
	leaf           *parquet.Column

	// Text columns gather codes.
	levels []string
	dict   map[string]int32
}

func (c *parquetColumn) fail(msg, hint string) error {
	return &solera.InputError{Op: c.op, File: c.file, Column: c.name, Msg: msg, Hint: hint}
}

// check refuses a compression that cannot be trusted: the library returns
// stale memory for LZ4 pages that hardly shrink, and does not end on damaged
// ones.
func (c *parquetColumn) check(m *format.FileMetaData) error {
	for _, g := range m.RowGroups {
		switch codec := g.Columns[c.leaf.Index()].MetaData.Codec; codec {
		case format.Uncompressed, format.Snappy, format.Gzip, format.Brotli, format.Zstd:
		default:
			return c.fail(fmt.Sprintf("compression %s cannot be read", codec), "write the file again with zstd or snappy")
		}
	}
	return nil
}

// untyped tells whether the file says that the column has no type, because it
// has no value.
func (c *parquetColumn) untyped(m *format.FileMetaData) bool {
	leaf := 0
	for _, e := range m.Schema {
		if e.NumChildren.V > 0 {
			continue
		}
		if leaf == c.leaf.Index() {
			_, null := e.LogicalType.Value.(*format.NullType)
			return null
		}
		leaf++
	}
	return false
}

func (c *parquetColumn) read(ctx context.Context, f *parquet.File) (*Column, error) {
	kind, number, err := c.numberOf()
	if err != nil {
		return nil, err
	}
	if number == nil {
		return c.readText(ctx, f)
	}
	nums := make([]float64, 0, c.n)
	large := false // a whole number that a float64 would round
	nan := math.NaN()
	double := func(v float64) float64 { return v }
	err = eachPage(f, c.leaf.Index(), func(p parquet.Page) (err error) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if p.Dictionary() == nil {
			data := p.Data()
			switch c.leaf.Type().Kind() {
			case parquet.Double:
				nums, err = scatter(nums, p, data.Double(), nan, double)
				return err
			case parquet.Float:
				nums, err = scatter(nums, p, data.Float(), nan, func(v float32) float64 { return float64(v) })
				return err
			}
		}
		return eachValue(p, func(v parquet.Value) error {
			if v.IsNull() {
				nums = append(nums, nan)
				return nil
			}
			x, exact := number(v)
			large = large || !exact
			nums = append(nums, x)
			return nil
		})
	})
	if err != nil {
		return nil, c.wrap(err)
	}
	if large && kind == Number {
		return c.readText(ctx, f)
	}
	if kind == Number && !c.own {
		for i, v := range nums {
			if !beyondFloat32(v) {
				continue
			}
			row := "row " + strconv.Itoa(i)
			if math.IsInf(v, 0) {
				return nil, c.fail(row+": an infinity", "write a null if the value is unknown, or give the column the type category or ignore it")
			}
			return nil, c.fail(fmt.Sprintf("%s: %v is beyond the range of a 32-bit float (±3.4e38), which networks compute in", row, v),
				"rescale the column, or give it the type category or ignore it")
		}
	}
	return &Column{Name: c.name, Kind: kind, Numbers: nums, Integer: kind == Number && whole(nums)}, nil
}

// wrap tells the failure of reading pages.
func (c *parquetColumn) wrap(err error) error {
	var in *solera.InputError
	if errors.As(err, &in) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return damaged(c.op, c.file, fmt.Sprintf("column %s: %v", c.name, err))
}

func eachValue(p parquet.Page, fn func(parquet.Value) error) error {
	values := p.Values()
	var buf [512]parquet.Value
	left := p.NumValues()
	for {
		n, err := values.ReadValues(buf[:])
		if left -= int64(n); left < 0 {
			return errors.New("a page has more values than it claims")
		}
		for _, v := range buf[:n] {
			if err := fn(v); err != nil {
				return err
			}
		}
		if err == io.EOF {
			if left != 0 {
				return errors.New("a page has fewer values than it claims")
			}
			return nil
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrNoProgress
		}
	}
}

// numberOf returns the kind of the column and the function that makes numbers
// of its values (and says whether they are exact), nil for a column of text.
func (c *parquetColumn) numberOf() (Kind, func(parquet.Value) (float64, bool), error) {
	typ := c.leaf.Type()
	var logical format.LogicalTypeValue
	if l := typ.LogicalType(); l != nil {
		logical = l.Value
	}
	micros := func(perSecond int64) func(parquet.Value) (float64, bool) {
		return func(v parquet.Value) (float64, bool) {
			n := v.Int64()
			if perSecond > 1e6 {
				n, perSecond := n/(perSecond/1e6), int64(1e6)
				return float64(n/perSecond) + float64(float64(n%perSecond)/float64(perSecond)), true
			}
			return fromMicros(n * (1e6 / perSecond)), true
		}
	}
	if l, ok := logical.(*format.DecimalType); ok {
		return c.decimal(typ.Kind(), l.Scale)
	}
	switch typ.Kind() {
	case parquet.Boolean:
		return Boolean, func(v parquet.Value) (float64, bool) {
			if v.Boolean() {
				return 1, true
			}
			return 0, true
		}, nil
	case parquet.Int32, parquet.Int64:
		get := func(v parquet.Value) int64 { return v.Int64() }
		if typ.Kind() == parquet.Int32 {
			get = func(v parquet.Value) int64 { return int64(v.Int32()) }
		}
		switch l := logical.(type) {
		case *format.DateType:
			return Date, func(v parquet.Value) (float64, bool) { return float64(get(v) * 86400), true }, nil
		case *format.TimestampType:
			if typ.Kind() != parquet.Int64 {
				break
			}
			switch l.Unit.Value.(type) {
			case *format.MilliSeconds:
				return Date, micros(1e3), nil
			case *format.NanoSeconds:
				return Date, micros(1e9), nil
			}
			return Date, micros(1e6), nil
		case *format.IntType:
			if !l.IsSigned {
				get32 := typ.Kind() == parquet.Int32
				return Number, func(v parquet.Value) (float64, bool) {
					u := uint64(get(v))
					if get32 {
						u = uint64(uint32(u))
					}
					return float64(u), u <= 1<<53
				}, nil
			}
		}
		return Number, func(v parquet.Value) (float64, bool) {
			n := get(v)
			return float64(n), n <= 1<<53 && n >= -(1<<53)
		}, nil
	case parquet.Float:
		return Number, func(v parquet.Value) (float64, bool) { return float64(v.Float()), true }, nil
	case parquet.Double:
		return Number, func(v parquet.Value) (float64, bool) { return v.Double(), true }, nil
	case parquet.Int96:
		return Date, func(v parquet.Value) (float64, bool) { return int96Seconds(v.Int96()), true }, nil
	case parquet.ByteArray:
		switch logical.(type) {
		case nil, *format.StringType, *format.EnumType, *format.JsonType:
			return Category, nil, nil
		}
	case parquet.FixedLenByteArray:
		if _, ok := logical.(*format.UUIDType); ok {
			return Category, nil, nil
		}
	}
	return "", nil, c.fail(fmt.Sprintf("values of type %s cannot be read", typ), "convert the column to numbers or strings, or ignore it")
}

// decimal returns the function that makes numbers of decimals: of integers, or
// of bytes that are one, most significant first.
func (c *parquetColumn) decimal(kind parquet.Kind, scale int32) (Kind, func(parquet.Value) (float64, bool), error) {
	if scale < 0 || int(scale) >= len(exact10) {
		return "", nil, c.fail(fmt.Sprintf("a decimal of scale %d", scale), "convert the column to a double")
	}
	unscaled := func(v parquet.Value) float64 { return bigEndian(v.ByteArray()) }
	switch kind {
	case parquet.Int32:
		unscaled = func(v parquet.Value) float64 { return float64(v.Int32()) }
	case parquet.Int64:
		unscaled = func(v parquet.Value) float64 { return float64(v.Int64()) }
	}
	return Number, func(v parquet.Value) (float64, bool) { return unscaled(v) / exact10[scale], true }, nil
}

// bigEndian returns the whole number of two's complement bytes, rounded once.
func bigEndian(b []byte) float64 {
	if len(b) == 0 {
		return 0
	}
	n := new(big.Int).SetBytes(b)
	if b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	x, _ := new(big.Float).SetInt(n).Float64()
	return x
}

// int96Seconds reads the timestamp of old writers: nanoseconds of the day and a Julian day.
func int96Seconds(v deprecated.Int96) float64 {
	const unixEpoch = 2440588
	nanos := int64(v[1])<<32 | int64(v[0])
	return fromMicros((int64(v[2])-unixEpoch)*86400*1e6 + nanos/1000)
}

// readText reads a column of strings, or of integers that a float64 would round.
func (c *parquetColumn) readText(ctx context.Context, f *parquet.File) (*Column, error) {
	c.dict = make(map[string]int32)
	codes := make([]int32, 0, c.n)
	var bad error
	text := func(v parquet.Value) string {
		switch v.Kind() {
		case parquet.Int32:
			return strconv.FormatInt(int64(v.Int32()), 10)
		case parquet.Int64:
			if l := c.leaf.Type().LogicalType(); l != nil {
				if i, ok := l.Value.(*format.IntType); ok && !i.IsSigned {
					return strconv.FormatUint(v.Uint64(), 10)
				}
			}
			return strconv.FormatInt(v.Int64(), 10)
		case parquet.FixedLenByteArray:
			b := v.ByteArray()
			if len(b) == 16 {
				return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
			}
			return fmt.Sprintf("%x", b)
		}
		return string(v.ByteArray())
	}
	code := func(s string) int32 {
		if !c.own {
			s = string(trim([]byte(s)))
			if c.r.isMissing([]byte(s)) {
				return -1
			}
		}
		k, ok := c.dict[s]
		if !ok {
			if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
				bad = c.fail("a string is not UTF-8 text", "write the column as UTF-8 strings, or ignore it")
			}
			k = int32(len(c.levels))
			c.levels = append(c.levels, s)
			c.dict[s] = k
		}
		return k
	}
	var known parquet.Dictionary
	var byIndex []int32
	err := eachPage(f, c.leaf.Index(), func(p parquet.Page) (err error) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if d := p.Dictionary(); d != nil {
			if d != known {
				known, byIndex = d, make([]int32, d.Len())
				for i := range byIndex {
					byIndex[i] = math.MinInt32
					if c.own { // also the levels without a row
						byIndex[i] = code(text(d.Index(int32(i))))
					}
				}
			}
			data := p.Data()
			codes, err = scatter(codes, p, data.Int32(), -1, func(i int32) int32 {
				if byIndex[i] == math.MinInt32 {
					byIndex[i] = code(text(d.Index(i)))
				}
				return byIndex[i]
			})
		} else {
			err = eachValue(p, func(v parquet.Value) error {
				k := int32(-1)
				if !v.IsNull() {
					k = code(text(v))
				}
				codes = append(codes, k)
				return nil
			})
		}
		return cmp.Or(err, bad)
	})
	if err != nil {
		return nil, c.wrap(err)
	}
	return &Column{Name: c.name, Kind: Category, Codes: codes, Levels: sortLevels(c.levels, codes)}, nil
}

// convert changes the kind of a column that was read from typed values.
func convert(c *Column, want Kind, op, file string) error {
	fail := func(text string) error {
		return &solera.InputError{
			Op: op, File: file, Column: c.Name, Msg: fmt.Sprintf("%s is not a %s", quote(text), want),
			Hint: "correct the value, or give the column the type category",
		}
	}
	if want == Category {
		codes := make([]int32, c.Len())
		index := make(map[float64]int32)
		var levels []string
		for i := range codes {
			if c.Missing(i) {
				codes[i] = -1
				continue
			}
			k, ok := index[c.Numbers[i]]
			if !ok {
				k = int32(len(levels))
				index[c.Numbers[i]] = k
				levels = append(levels, c.Text(i))
			}
			codes[i] = k
		}
		*c = Column{Name: c.Name, Kind: Category, Codes: codes, Levels: sortLevels(levels, codes)}
		return nil
	}
	if c.Kind == Category {
		nums := make([]float64, len(c.Levels))
		for i, l := range c.Levels {
			ok := false
			switch want {
			case Number:
				if nums[i], _, ok = parseNumber([]byte(l), false); beyondFloat32(nums[i]) {
					ok = false
				}
			case Date:
				nums[i], ok = parseDate([]byte(l))
			case Boolean:
				nums[i], ok = parseBoolean([]byte(l))
				if l == "0" || l == "1" {
					nums[i], ok = float64(l[0]-'0'), true
				}
			}
			if !ok && slices.Contains(c.Codes, int32(i)) {
				return fail(l)
			}
		}
		d := Column{Name: c.Name, Kind: want, Numbers: make([]float64, len(c.Codes))}
		for i, k := range c.Codes {
			if d.Numbers[i] = math.NaN(); k >= 0 {
				d.Numbers[i] = nums[k]
			}
		}
		*c = d
	} else {
		for i, v := range c.Numbers {
			if want == Boolean && v != 0 && v != 1 && !math.IsNaN(v) || want == Date && c.Kind != Date && !math.IsNaN(v) {
				return fail(c.Text(i))
			}
		}
		c.Kind, c.Levels = want, nil
	}
	c.Integer = want == Number && whole(c.Numbers)
	return nil
}

// ReadMatrixParquet reads what WriteMatrixParquet wrote. The matrix is dense.
func ReadMatrixParquet(ctx context.Context, name string, r io.ReaderAt, size int64) (m Matrix, err error) {
	op := "load " + name
	defer func() {
		if p := recover(); p != nil {
			m, err = Matrix{}, damaged(op, name, p)
		}
	}()
	f, info, err := openFile(op, name, r, size)
	if err != nil {
		return Matrix{}, err
	}
	if info.Form != "matrix" {
		return Matrix{}, &solera.InputError{Op: op, File: name, Msg: "this Parquet file is not a preprocessed data set", Hint: "make it with: solera preprocess"}
	}
	n, cols := int(f.NumRows()), f.Root().Columns()
	extra := 1
	if info.Target != "" {
		extra = 2
	}
	if len(cols) != len(info.Columns)+extra || cols[0].Name() != info.Row {
		return Matrix{}, damaged(op, name, "the columns are not those that its metadata names")
	}
	if m.Rows, err = readRowNumbers(f, cols[0], n); err != nil {
		return Matrix{}, damaged(op, name, err)
	}
	m.X = tensor.New(n, len(info.Columns))
	m.Target = info.Target
	var column []float32
	for j, ci := range info.Columns {
		pc := cols[j+1]
		if err := ctx.Err(); err != nil {
			return Matrix{}, err
		}
		if pc.Name() != ci.Name || !pc.Leaf() || !pc.Required() || pc.Type().Kind() != parquet.Float {
			return Matrix{}, damaged(op, name, fmt.Sprintf("column %s is not a float", ci.Name))
		}
		column = column[:0]
		err := eachPage(f, pc.Index(), func(p parquet.Page) (err error) {
			if p.Dictionary() != nil {
				return errors.New("an encoded float column")
			}
			data := p.Data()
			column, err = scatter(column, p, data.Float(), 0, func(v float32) float32 { return v })
			return err
		})
		if err != nil {
			return Matrix{}, damaged(op, name, fmt.Sprintf("column %s: %v", ci.Name, err))
		}
		m.Names = append(m.Names, ci.Name)
		for i, v := range column {
			m.X.Data[i*m.X.Stride+j] = v
		}
	}
	if info.Target != "" {
		m.Y = make([]int32, 0, n)
		last := cols[len(cols)-1]
		if last.Name() != info.Y || !last.Leaf() || last.Repeated() || last.Type().Kind() != parquet.ByteArray {
			return Matrix{}, damaged(op, name, "the target is not a string column")
		}
		// Classes keep their order, which is that of the network's outputs.
		err := eachPage(f, last.Index(), func(p parquet.Page) (err error) {
			d := p.Dictionary()
			if d == nil {
				return errors.New("the target has no dictionary")
			}
			if m.Classes == nil {
				for i := range d.Len() {
					m.Classes = append(m.Classes, string(d.Index(int32(i)).ByteArray()))
				}
			}
			data := p.Data()
			m.Y, err = scatter(m.Y, p, data.Int32(), -1, func(k int32) int32 {
				if int(k) >= len(m.Classes) || k < 0 {
					panic("a code beyond the dictionary")
				}
				return k
			})
			return err
		})
		if err != nil {
			return Matrix{}, damaged(op, name, fmt.Sprintf("column %s: %v", info.Y, err))
		}
	}
	return m, nil
}
