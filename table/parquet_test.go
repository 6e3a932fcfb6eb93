package table

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"
	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tensor"
	"pgregory.net/rapid"
)

var exact = cmp.Options{cmpopts.EquateNaNs(), cmpopts.EquateEmpty()}

func parquetBytes(t rapid.TB, tab *Table) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteParquet(&b, tab); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readBack(t rapid.TB, b []byte, o Options) *Table {
	t.Helper()
	tab, err := ReadParquet(context.Background(), "t.parquet", bytes.NewReader(b), int64(len(b)), o)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// small is a table with every kind, every sort of gap and a column named as the row numbers are.
func small() *Table {
	nan := math.NaN()
	return &Table{
		RowNumbers: []int64{7, 0, 1 << 40, 3},
		Columns: []*Column{
			{Name: "x", Kind: Number, Numbers: []float64{1.5, nan, math.Copysign(0, -1), 1e-300}},
			{Name: "row", Kind: Number, Numbers: []float64{1, 2, nan, 9007199254740992}, Integer: true},
			{Name: "none", Kind: Number, Numbers: []float64{nan, nan, nan, nan}},
			{Name: "colour", Kind: Category, Codes: []int32{2, -1, 0, 2}, Levels: []string{"blue", "grün", "red"}},
			{Name: "unseen", Kind: Category, Codes: []int32{-1, -1, -1, -1}, Levels: []string{"a", "b"}},
			{Name: "ok", Kind: Boolean, Numbers: []float64{1, 0, nan, 1}},
			{Name: "answer", Kind: Boolean, Numbers: []float64{1, 0, nan, 1}, Levels: []string{"no", "yes"}},
			{Name: "when", Kind: Date, Numbers: []float64{0, -86400.5, nan, 1709164800.123456}},
		},
	}
}

func TestParquetBytesArePinned(t *testing.T) {
	// Artifacts are named by such digests: a change here renames them all.
	got := fmt.Sprintf("%x", sha256.Sum256(parquetBytes(t, small())))
	if want := "ab19ac1fc01012b02ae1093a6730d05000c4c0007b71459138ff75fddfa9c3a3"; got != want {
		t.Errorf("table: %s, want %s", got, want)
	}
	x := tensor.New(3, 2)
	copy(x.Data, []float32{1, 2.5, float32(math.NaN()), -4, math.Float32frombits(0xffc00001), 6})
	var b bytes.Buffer
	if err := WriteMatrixParquet(&b, Matrix{Names: []string{"a", "b"}, X: x, Rows: []int64{5, 6, 9}, Target: "class", Y: []int32{1, 0, -1}, Classes: []string{"z", "a"}}); err != nil {
		t.Fatal(err)
	}
	got = fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
	if want := "cb42f6c075d52fd4c1f6e0874d47ca125067e0fdaecf50e82f29627bc1a90f54"; got != want {
		t.Errorf("matrix: %s, want %s", got, want)
	}
}

func TestParquetReadsBackWhatWasWritten(t *testing.T) {
	want := small()
	got := readBack(t, parquetBytes(t, want), Options{})
	if d := cmp.Diff(want, got, exact); d != "" {
		t.Error(d)
	}
	if math.Signbit(got.Columns[0].Numbers[2]) != true {
		t.Error("the sign of zero was lost")
	}
	empty := want.Select(nil)
	if d := cmp.Diff(empty.Names(), readBack(t, parquetBytes(t, empty), Options{}).Names()); d != "" {
		t.Error(d)
	}
}

// genTable draws a table of all kinds, up to a few thousand rows with runs.
func genTable(t *rapid.T) *Table {
	n := rapid.IntRange(1, 60).Draw(t, "n")
	if rapid.Bool().Draw(t, "long") {
		n *= 97
	}
	gap := rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(t, "gap")
	seed := rapid.Uint64().Draw(t, "seed")
	next := func() uint64 {
		seed = seed*6364136223846793005 + 1442695040888963407
		return seed >> 20
	}
	missing := func() bool { return float64(next()%1000)/1000 < gap }
	tab := &Table{RowNumbers: make([]int64, n)}
	for i := range tab.RowNumbers {
		tab.RowNumbers[i] = int64(next())
	}
	for j := range rapid.IntRange(1, 5).Draw(t, "columns") {
		c := &Column{Name: fmt.Sprintf("c%d", j), Kind: rapid.SampledFrom([]Kind{Number, Category, Boolean, Date}).Draw(t, "kind")}
		runs := rapid.IntRange(1, 30).Draw(t, "run")
		if c.Kind == Category {
			k := rapid.SampledFrom([]int{1, 2, 3, 9, 300}).Draw(t, "levels")
			for i := range k {
				c.Levels = append(c.Levels, fmt.Sprintf("level %05d", i))
			}
			c.Codes = make([]int32, n)
			for i := range c.Codes {
				if c.Codes[i] = int32(next() % uint64(k)); i%runs != 0 {
					c.Codes[i] = c.Codes[i-1]
				} else if missing() {
					c.Codes[i] = -1
				}
			}
		} else {
			c.Numbers = make([]float64, n)
			for i := range c.Numbers {
				v := math.NaN()
				switch {
				case i%runs != 0:
					v = c.Numbers[i-1]
				case missing():
				case c.Kind == Number:
					v = float64(next()) / 1024
				case c.Kind == Boolean:
					v = float64(next() % 2)
				case c.Kind == Date:
					v = fromMicros(int64(next()) - 1<<42)
				}
				c.Numbers[i] = v
			}
			c.Integer = c.Kind == Number && whole(c.Numbers)
		}
		tab.Columns = append(tab.Columns, c)
	}
	return tab
}

func TestParquetRoundTripsAnyTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genTable(t)
		b := parquetBytes(t, want)
		if d := cmp.Diff(want, readBack(t, b, Options{}), exact); d != "" {
			t.Fatal(d)
		}
		if !bytes.Equal(b, parquetBytes(t, want)) {
			t.Fatal("the same table gave other bytes")
		}
	})
}

func TestParquetOfRowsIsThatOfTheirTable(t *testing.T) {
	same := func(t rapid.TB, tab *Table, rows []int) {
		t.Helper()
		var b bytes.Buffer
		if err := WriteParquetRows(&b, tab, rows); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), parquetBytes(t, tab.Select(rows))) {
			t.Fatal("the bytes differ")
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		tab := genTable(t)
		var rows []int
		if tab.Len() > 0 {
			rows = rapid.SliceOf(rapid.IntRange(0, tab.Len()-1)).Draw(t, "rows")
		}
		same(t, tab, rows)
	})
	if testing.Short() {
		return
	}
	// Across pages and row groups, with more levels than a dictionary may have.
	id := &Column{Name: "id", Kind: Category, Codes: make([]int32, rowGroupRows+2*pageRows)}
	for i := range maxDictionary + 9 {
		id.Levels = append(id.Levels, fmt.Sprintf("%09d", i))
	}
	long := &Table{Columns: []*Column{id}, RowNumbers: make([]int64, len(id.Codes))}
	var most, few []int
	for i := range id.Codes {
		id.Codes[i], long.RowNumbers[i] = int32(i%len(id.Levels)), int64(i)
		if i%100 != 0 {
			most = append(most, i)
		} else {
			few = append(few, i)
		}
	}
	same(t, long, most)
	same(t, long, few)
}

func TestParquetSpansPagesAndRowGroups(t *testing.T) {
	if testing.Short() {
		t.Skip("writes more than a million rows")
	}
	n := rowGroupRows + pageRows + 7
	x := &Column{Name: "x", Kind: Number, Numbers: make([]float64, n), Integer: true}
	k := &Column{Name: "k", Kind: Category, Codes: make([]int32, n), Levels: []string{"a", "b", "c"}}
	id := &Column{Name: "id", Kind: Category, Codes: make([]int32, n)}
	for i := range maxDictionary + 9 {
		id.Levels = append(id.Levels, fmt.Sprintf("%09d", i))
	}
	want := &Table{Columns: []*Column{x, k, id}, RowNumbers: make([]int64, n)}
	for i := range n {
		x.Numbers[i], k.Codes[i], id.Codes[i], want.RowNumbers[i] = float64(i), int32(i/50%4)-1, int32(i%len(id.Levels)), int64(2*i)
	}
	got := readBack(t, parquetBytes(t, want), Options{})
	if !slices.Equal(got.RowNumbers, want.RowNumbers) || !slices.Equal(got.Columns[0].Numbers, x.Numbers) {
		t.Error("numbers differ")
	}
	for i, c := range []*Column{k, id} {
		if g := got.Columns[i+1]; !slices.Equal(g.Codes, c.Codes) || !slices.Equal(g.Levels, c.Levels) {
			t.Errorf("column %s differs", c.Name)
		}
	}
}

func TestMatricesReadBack(t *testing.T) {
	x := tensor.NewPadded(3, 2)
	copy(x.Row(0), []float32{1, -0.5})
	copy(x.Row(1), []float32{3, float32(math.NaN())})
	copy(x.Row(2), []float32{float32(math.Inf(1)), 1e-45})
	for _, m := range []Matrix{
		{Names: []string{"row", "class"}, X: x, Rows: []int64{4, 2, 9}, Target: "class", Y: []int32{2, -1, 0}, Classes: []string{"c", "a", "b"}},
		{Names: []string{"a", "b"}, X: x, Rows: []int64{4, 2, 9}},
	} {
		var b bytes.Buffer
		if err := WriteMatrixParquet(&b, m); err != nil {
			t.Fatal(err)
		}
		got, err := ReadMatrixParquet(context.Background(), "m", bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		dense := tensor.New(3, 2)
		for i := range 3 {
			copy(dense.Row(i), x.Row(i))
		}
		m.X = dense
		if d := cmp.Diff(m, got, exact); d != "" {
			t.Error(d)
		}
		// Any reader of Parquet sees a plain table.
		if m.Target == "" {
			tab := readBack(t, b.Bytes(), Options{Ignore: []string{"a"}})
			if d := cmp.Diff("row number whole: 4 2 9\nb number: -0.5 _ 1.401298464324817e-45\n", show(tab)); d != "" {
				t.Error(d)
			}
		}
	}
	b := parquetBytes(t, small())
	if _, err := ReadMatrixParquet(context.Background(), "m", bytes.NewReader(b), int64(len(b))); err == nil || !strings.Contains(err.Error(), "not a preprocessed data set") {
		t.Errorf("got %v", err)
	}
}

func TestParquetOfOthersIsRead(t *testing.T) {
	type record struct {
		I32   int32     `parquet:"i32"`
		U64   uint64    `parquet:"u64"`
		F32   float32   `parquet:"f32"`
		F64   *float64  `parquet:"f64,optional"`
		Flag  bool      `parquet:"flag"`
		Name  string    `parquet:"name,dict"`
		Plain string    `parquet:"plain,snappy"`
		Day   int32     `parquet:"day,date"`
		Milli int64     `parquet:"milli,timestamp(millisecond)"`
		Nano  time.Time `parquet:"nano,timestamp(nanosecond)"`
		Id    int64     `parquet:"id,delta"`
		Money int64     `parquet:"money,decimal(2:18)"`
		Opt   *string   `parquet:"opt,optional,dict,zstd"`
	}
	f, s := 2.5, "x"
	at := time.Date(2024, 2, 29, 12, 0, 0, 500_000_000, time.UTC)
	var b bytes.Buffer
	if err := parquet.Write(&b, []record{
		{-3, 7, 1.5, &f, true, "b", " y ", 19782, at.UnixMilli(), at, 9007199254740993, 1234, nil},
		{4, 1 << 53, -2, nil, false, "NA", "", -1, at.UnixMilli(), at, 1, -5, &s},
	}); err != nil {
		t.Fatal(err)
	}
	got := show(readBack(t, b.Bytes(), Options{}))
	want := `i32 number whole: -3 4
u64 number whole: 7 9007199254740992
f32 number: 1.5 -2
f64 number: 2.5 _
flag boolean: true false
name category: b _
plain category: y _
day date: 2024-02-29 1969-12-31
milli date: 2024-02-29T12:00:00.5Z 2024-02-29T12:00:00.5Z
nano date: 2024-02-29T12:00:00.5Z 2024-02-29T12:00:00.5Z
id category: 9007199254740993 1
money number: 12.34 -0.05
opt category: _ x
`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	types := map[string]Kind{"i32": Category, "flag": Number, "name": Category, "id": Number, "f64": Category}
	got = show(readBack(t, b.Bytes(), Options{Types: types, Ignore: []string{"u64", "f32", "plain", "day", "milli", "nano", "money", "opt"}}))
	want = "i32 category: -3 4\nf64 category: 2.5 _\nflag number whole: 1 0\nname category: b _\nid number whole: 9007199254740992 1\n"
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Arrow writes decimals as bytes, and a column without a value without a type.
func TestParquetOfArrow(t *testing.T) {
	tab, err := Open(context.Background(), filepath.Join("testdata", "arrow.parquet"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := `money number: 12.34 _ -0.05
large number whole: 1.2345678901234567e+19 -1.2345678901234567e+19 0
nothing number: _ _ _
`
	if d := cmp.Diff(want, show(tab)); d != "" {
		t.Error(d)
	}
}

func TestStreamsOfEveryFormatAreTheirFiles(t *testing.T) {
	tab := small()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte("a,b\n1,x\n"))
	z.Close()
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"CSV", []byte("a,b\n1,x\n"), "a number whole: 1\nb category: x\n"},
		{"gzip", packed.Bytes(), "a number whole: 1\nb category: x\n"},
		{"JSON lines", []byte("\n{\"a\":1,\"b\":\"x\"}\n"), "a number whole: 1\nb category: x\n"},
		{"Parquet", parquetBytes(t, tab), show(tab)},
	} {
		got, err := Read(context.Background(), "stdin", onlyReader{bytes.NewReader(tt.data)}, Options{})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if d := cmp.Diff(tt.want, show(got)); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

func TestBadParquetSaysWhatIsWrong(t *testing.T) {
	write := func(v any) []byte {
		var b bytes.Buffer
		w := parquet.NewWriter(&b)
		if err := w.Write(v); err != nil {
			t.Fatal(err)
		}
		w.Close()
		return b.Bytes()
	}
	type nested struct {
		A struct{ B int } `parquet:"a"`
	}
	type list struct {
		A []int64 `parquet:"a,list"`
	}
	type number struct {
		V float64 `parquet:"v"`
	}
	type text struct {
		V string `parquet:"v"`
	}
	type raw struct {
		V []byte `parquet:"v"`
	}
	type lz4 struct {
		V float64 `parquet:"v,lz4"`
	}
	good := parquetBytes(t, small())
	for _, tt := range []struct {
		name string
		data []byte
		o    Options
		want string
	}{
		{"nested", write(nested{}), Options{}, `column "a": a nested column; only flat columns can be read: flatten the column, or ignore it`},
		{"list", write(list{[]int64{1}}), Options{}, `column "a": a nested column`},
		{"compression", write(lz4{1}), Options{}, `column "v": compression LZ4_RAW cannot be read: write the file again with zstd or snappy`},
		{"infinity", write(number{math.Inf(-1)}), Options{}, `column "v": row 0: an infinity`},
		{"beyond float32", write(number{1e39}), Options{}, "row 0: 1e+39 is beyond the range of a 32-bit float"},
		{"not UTF-8", write(raw{[]byte{0xff}}), Options{}, "a string is not UTF-8 text"},
		{"forced number", write(text{"abc"}), Options{Types: map[string]Kind{"v": Number}}, `column "v": "abc" is not a number`},
		{"forced date", write(number{5}), Options{Types: map[string]Kind{"v": Date}}, `"5" is not a date`},
		{"forced boolean", write(number{5}), Options{Types: map[string]Kind{"v": Boolean}}, `"5" is not a boolean`},
		{"empty", nil, Options{}, "the file is empty"},
		{"text", []byte("a,b\n1,2\n3,4\n"), Options{}, "no PAR1 at its end"},
		{"cut short", good[:len(good)-9], Options{}, "damaged or cut short"},
		{"cut in front", good[30:], Options{}, "damaged or cut short"},
		{"too many columns", good, Options{MaxColumns: 3}, "9 columns or more, at most 3"},
	} {
		_, err := ReadParquet(context.Background(), "t.parquet", bytes.NewReader(tt.data), int64(len(tt.data)), tt.o)
		var in *solera.InputError
		if !errors.As(err, &in) || !strings.Contains(err.Error(), tt.want) || in.Hint == "" {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestParquetFilesOfAGlobRunOn(t *testing.T) {
	dir := t.TempDir()
	a, b := small().Select([]int{0, 1}), small().Select([]int{2, 3, 0})
	b.Columns[3] = &Column{Name: "colour", Kind: Category, Codes: []int32{0, 1, -1}, Levels: []string{"amber", "red"}}
	for i, tab := range []*Table{a, b} {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("p%d.parquet", i)), parquetBytes(t, tab), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	tab, err := Open(context.Background(), filepath.Join(dir, "*.parquet"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := tab.Column("colour")
	if got := []string{c.Text(0), c.Text(1), c.Text(2), c.Text(3), c.Text(4)}; !slices.Equal(got, []string{"red", "", "amber", "red", ""}) {
		t.Errorf("colours %q", got)
	}
	if !slices.Equal(tab.RowNumbers, []int64{0, 1, 2, 3, 4}) {
		t.Errorf("rows %v", tab.RowNumbers)
	}
	if err := tab.Check(); err != nil {
		t.Error(err)
	}
}

// FuzzParquet feeds damaged files to both readers: they refuse or read a
// table that fits together.
func FuzzParquet(f *testing.F) {
	f.Add(parquetBytes(f, small()))
	f.Add(parquetBytes(f, &Table{RowNumbers: []int64{0, 1}, Columns: []*Column{{Name: "a", Kind: Number, Numbers: []float64{1, 2}}}}))
	x := tensor.New(2, 1)
	var b bytes.Buffer
	if err := WriteMatrixParquet(&b, Matrix{Names: []string{"a"}, X: x, Rows: []int64{0, 1}, Target: "y", Y: []int32{0, 1}, Classes: []string{"p", "q"}}); err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(b.Bytes()))
	b.Reset()
	parquet.Write(&b, []struct {
		A int64   `parquet:"a,delta,snappy"`
		B *string `parquet:"b,optional,dict,zstd"`
	}{{1, nil}})
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		var in *solera.InputError
		tab, err := ReadParquet(context.Background(), "f", bytes.NewReader(data), int64(len(data)), Options{})
		if err == nil {
			if err := tab.Check(); err != nil {
				t.Fatal(err)
			}
		} else if !errors.As(err, &in) {
			t.Fatal(err)
		}
		if _, err := ReadMatrixParquet(context.Background(), "f", bytes.NewReader(data), int64(len(data))); err != nil && !errors.As(err, &in) {
			t.Fatal(err)
		}
	})
}

func TestHybridEncodingIsReadByOthers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		codes := rapid.SliceOfN(rapid.Int32Range(-1, 2), 1, 200).Draw(t, "codes")
		tab := &Table{RowNumbers: make([]int64, len(codes)), Columns: []*Column{{Name: "a", Kind: Category, Codes: codes, Levels: []string{"x", "y", "z"}}}}
		if d := cmp.Diff(tab, readBack(t, parquetBytes(t, tab), Options{}), exact); d != "" {
			t.Fatal(d)
		}
	})
}

func TestDamagedParquetIsRefused(t *testing.T) {
	for _, good := range [][]byte{parquetBytes(t, small()), parquetBytes(t, small().Select([]int{3}))} {
		read := func(b []byte) {
			var in *solera.InputError
			tab, err := ReadParquet(context.Background(), "t", bytes.NewReader(b), int64(len(b)), Options{})
			if err != nil && !errors.As(err, &in) {
				t.Fatalf("got %v", err)
			}
			if err == nil && tab.Check() != nil {
				t.Fatal(tab.Check())
			}
		}
		for i := range good {
			if _, err := ReadParquet(context.Background(), "t", bytes.NewReader(good[:i]), int64(i), Options{}); err == nil {
				t.Fatalf("cut after %d of %d bytes, it is read", i, len(good))
			}
			for _, x := range []byte{0x01, 0x80, 0xff} {
				b := bytes.Clone(good)
				b[i] ^= x
				read(b)
			}
		}
	}
}
