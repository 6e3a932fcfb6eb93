package table

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/solera-ml/solera"
	"pgregory.net/rapid"
)

func mustCSV(t testing.TB, text string, o Options) *Table {
	t.Helper()
	tab, err := ReadCSV(context.Background(), "t.csv", strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := tab.Check(); err != nil {
		t.Fatal(err)
	}
	return tab
}

// show writes a table as text: one line a column, its kind and its values.
func show(t *Table) string {
	var b strings.Builder
	for _, c := range t.Columns {
		fmt.Fprintf(&b, "%s %s", c.Name, c.Kind)
		if c.Integer {
			b.WriteString(" whole")
		}
		b.WriteByte(':')
		for i := range t.Len() {
			if c.Missing(i) {
				b.WriteString(" _")
			} else {
				fmt.Fprintf(&b, " %s", c.Text(i))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestTypesAreInferredFromAllValues(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"numbers", "a,b\n1,2.5\n-3,+1e-2\n", "a number whole: 1 -3\nb number: 2.5 0.01\n"},
		{"points at the ends", "a\n.5\n5.\n", "a number: 0.5 5\n"},
		{"booleans", "a,b,c\ntrue,yes,T\nFalse,no,F\n", "a boolean: true false\nb boolean: yes no\nc boolean: T F\n"},
		{"one boolean word", "a\nYes\nYes\n", "a boolean: Yes Yes\n"},
		{"0 and 1 stay numbers", "a\n0\n1\n", "a number whole: 0 1\n"},
		{"dates", "a,b\n2024-02-29,01.02.2023\n2024/03/01,2023-02-01T10:20:30.5+01:00\n", "a date: 2024-02-29 2024-03-01\nb date: 2023-02-01 2023-02-01T09:20:30.5Z\n"},
		{"impossible dates are categories", "a\n2023-02-29\n", "a category: 2023-02-29\n"},
		{"ambiguous dates are categories", "a\n01/02/2023\n", "a category: 01/02/2023\n"},
		{"categories", "a\nx\ny z\n", "a category: x y z\n"},
		{"missing values", "a,b,c\n1,NA,\nNaN,x,?\nnull,None,-\n", "a number whole: 1 _ _\nb category: _ x _\nc number: _ _ _\n"},
		{"blanks do not count", "a , b\n 1 ,\t x \n", "a number whole: 1\nb category: x\n"},
		{"a word after numbers makes a category", "a,b\n1.50,1\n2,2\nx,3\n", "a category: 1.50 2 x\nb number whole: 1 2 3\n"},
		{"a boolean after numbers", "a\n1\ntrue\n", "a category: 1 true\n"},
		{"a number after dates", "a\n2024-01-01\n5\n", "a category: 2024-01-01 5\n"},
		{"whole numbers beyond 2^53 are identifiers", "a,b\n9007199254740993,9007199254740992\n1,1\n", "a category: 9007199254740993 1\nb number whole: 9007199254740992 1\n"},
		{"large numbers with fractions stay numbers", "a\n9007199254740993\n0.5\n", "a number: 9007199254740992 0.5\n"},
		{"decimal commas with semicolons", "a;b\n1,5;x\n-2;y\n", "a number: 1.5 -2\nb category: x y\n"},
		{"points and commas mixed", "a;b\n1,5;1\n2.5;2\n", "a category: 1,5 2.5\nb number whole: 1 2\n"},
		{"no decimal commas with tabs", "a\tb\n1,5\t2\n", "a category: 1,5\nb number whole: 2\n"},
		{"hexadecimal and underscores are text", "a,b\n0x10,1_000\n", "a category: 0x10\nb category: 1_000\n"},
		{"quotes", "a,\"b \"\"c\"\"\"\n\"1\",\"x,y\"\n\"2\",\"line\r\nbreak\"\n", "a number whole: 1 2\nb \"c\" category: x,y line\nbreak\n"},
		{"CRLF, empty lines and no last line end", "a,b\r\n\r\n1,2\r\n\n3,4", "a number whole: 1 3\nb number whole: 2 4\n"},
		{"byte order mark", "\ufeffa,b\n1,2\n", "a number whole: 1\nb number whole: 2\n"},
		{"one column", "a\n1\n2\n", "a number whole: 1 2\n"},
		{"pipes", "a|b\n1|x,y\n2|z;w\n", "a number whole: 1 2\nb category: x,y z;w\n"},
		{"words varied in case", "a\nyes\nNo\nYES\n", "a boolean: true false true\n"},
		{"nan is missing whatever its case", "a\n1\nNAN\n-nan\n", "a number whole: 1 _ _\n"},
		{"inf among words is a level", "a\ninf\nx\n", "a category: inf x\n"},
		{"a large number among words is a level", "a\n1e999\nx\n", "a category: 1e999 x\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, show(mustCSV(t, tt.text, Options{}))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOptionsOverrideWhatIsInferred(t *testing.T) {
	text := "id,a,b,c\n1,0,-999,2\n2,1,5,3\n"
	tab := mustCSV(t, text, Options{
		Types:         map[string]Kind{"a": Boolean, "c": Category, "absent": Date},
		Ignore:        []string{"id"},
		MissingValues: []string{"-999"},
	})
	if d := cmp.Diff("a boolean: false true\nb number whole: _ 5\nc category: 2 3\n", show(tab)); d != "" {
		t.Error(d)
	}
	tab = mustCSV(t, "a,b\n1,2\n", Options{Delimiter: ';'})
	if d := cmp.Diff("a,b", tab.Columns[0].Name); d != "" {
		t.Error(d)
	}
}

func TestBadFilesSayWhereAndHowToMend(t *testing.T) {
	wide := strings.Repeat("x,", 100_000)
	for _, tt := range []struct {
		name, text string
		o          Options
		want       string
		line       int
	}{
		{"empty", "", Options{}, "the file is empty", 0},
		{"blank lines only", "\n\r\n", Options{}, "the file is empty", 0},
		{"byte order mark only", "\ufeff", Options{}, "the file is empty", 0},
		{"header only", "a,b\n", Options{}, "the file has a header but no rows", 0},
		{"ragged, too few", "a,b,c\n1,2,3\n1,2\n", Options{}, "line 3: 2 fields, want 3: add the missing fields or remove the row", 3},
		{"ragged, too many", "a,b\n1,2\n\n1,2,3,4\n", Options{}, "line 4: 4 fields, want 2: remove the extra fields", 4},
		{"ragged after a field of two lines", "a,b\n\"1\n\",2\n3\n", Options{}, "line 4: 1 fields, want 2", 4},
		{"not UTF-8", "a,b\n1,2\n1,caf\xe9\n", Options{}, "line 3: byte 0xe9 is not UTF-8: convert the file", 3},
		{"header not UTF-8", "a,caf\xe9\n1,2\n", Options{}, "line 1: byte 0xe9 is not UTF-8", 1},
		{"UTF-16", "\xff\xfea\x00,\x00", Options{}, "this is UTF-16 text: save it as UTF-8", 0},
		{"NUL", "a,b\n1,2\n1,\x00\n", Options{}, "line 3: a NUL byte", 3},
		{"spreadsheet", "PK\x03\x04....", Options{}, "export the sheet as CSV", 0},
		{"carriage returns alone", "a,b\r1,2\r3,4\r", Options{}, "lines end in a carriage return alone", 1},
		{"duplicate names", "a,b,a\n1,2,3\n", Options{}, `column "a": two columns, 1 and 3, have this name`, 1},
		{"empty name", ",b\n1,2\n", Options{}, "column 1 of 2 has no name: give every column a name in the first line; if this is the index that pandas writes", 1},
		{"delimiter at the end of the header", "a,b,\n1,2,\n", Options{}, "column 3 of 3 has no name", 1},
		{"100,000 columns", wide + "\n", Options{}, "20001 columns or more, at most 20000 can be read: select the columns", 0},
		{"quote in a field", "a,b\n1,2\n1,x\"y\n", Options{}, "line 3, column 4: a quote inside a field", 3},
		{"text after a quote", "a,b\n\"1\"x,2\n", Options{}, "line 2, column 3: text between a closing quote", 2},
		{"unclosed quote", "a,b\n1,\"2\n3,4\n", Options{}, "line 2, column 3: a quote that is never closed", 2},
		{"long record", "a,b\n1,2\n" + strings.Repeat("x", 1<<17) + ",2\n", Options{MaxRecord: 1 << 16}, "line 3: a record of more than 64 KiB: look for a quote", 3},
		{"long header", strings.Repeat("x", 1<<17), Options{MaxRecord: 1 << 16}, "line 1: a record of more than 64 KiB", 1},
		{"infinity", "a,b\n1,2\n1,-Inf\n", Options{}, `line 3: column "b": "-Inf" is not a finite number: leave the field empty`, 3},
		{"beyond float32", "a,b\n1,2\n1,-3.5e38\n", Options{}, `line 3: column "b": "-3.5e38" is beyond the range of a 32-bit float`, 3},
		{"beyond float64", "a,b\n1,1e400\n", Options{}, `line 2: column "b": "1e400" is beyond the range`, 2},
		{"forced number", "a,b\n1,2\n1, two \n", Options{Types: map[string]Kind{"b": Number}}, `line 3: column "b": "two" is not a number: correct the value`, 3},
		{"forced date", "a\n2024-01-01\n2024-13-01\n", Options{Types: map[string]Kind{"a": Date}}, `line 3: column "a": "2024-13-01" is not a date`, 3},
		{"forced boolean", "a\ntrue\n2\n", Options{Types: map[string]Kind{"a": Boolean}}, `line 3: column "a": "2" is not a boolean`, 3},
		{"unknown type", "a\n1\n", Options{Types: map[string]Kind{"a": "float"}}, `type "float" is not known: use number`, 0},
		{"unknown delimiter", "a\n1\n", Options{Delimiter: 'x'}, `delimiter 'x'`, 0},
		{"gzip cut short", gzipped("a,b\n1,2\n")[:20], Options{}, "the gzip data is damaged or cut short", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tab, err := ReadCSV(context.Background(), "t.csv", strings.NewReader(tt.text), tt.o)
			var in *solera.InputError
			if !errors.As(err, &in) {
				t.Fatalf("got table %v, error %v, want an input error", tab, err)
			}
			if !strings.Contains(err.Error(), tt.want) || in.Line != tt.line || in.Hint == "" {
				t.Errorf("got %q (line %d, hint %q), want %q, line %d", err, in.Line, in.Hint, tt.want, tt.line)
			}
			if !strings.HasPrefix(err.Error(), "load t.csv: ") {
				t.Errorf("the error does not say what was done: %v", err)
			}
		})
	}
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

func TestGzipIsFoundByContent(t *testing.T) {
	got := show(mustCSV(t, gzipped("a,b\n1,x\n2,3\nz,4\n"), Options{}))
	if want := "a category: 1 2 z\nb category: x 3 4\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// onlyReader hides that a reader can seek.
type onlyReader struct{ io.Reader }

func TestReadersThatCannotSeekAreReadTwiceToo(t *testing.T) {
	tab, err := ReadCSV(context.Background(), "pipe", onlyReader{strings.NewReader("a\n1.0\nx\n")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := show(tab); got != "a category: 1.0 x\n" {
		t.Errorf("got %q", got)
	}
}

func TestFilesOfAGlobRunOn(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("p2.csv", "b;a\nx;3\n")
	write("p1.csv.gz", gzipped("a,b\n1,y\n2,z\n"))
	tab, err := Open(context.Background(), filepath.Join(dir, "p*.csv*"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff("a number whole: 1 2 3\nb category: y z x\n", show(tab)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]int64{0, 1, 2}, tab.RowNumbers); d != "" {
		t.Error(d)
	}
	d1, files, err := SourceDigest(context.Background(), filepath.Join(dir, "p*.csv*"))
	if err != nil || len(files) != 2 || files[1].Size != 8 {
		t.Errorf("digest: %v %v", files, err)
	}
	write("p3.csv", "a,c\n1,2\n")
	d2, _, _ := SourceDigest(context.Background(), filepath.Join(dir, "p*.csv*"))
	if d1 == d2 {
		t.Error("a third file does not change the digest")
	}
	_, err = Open(context.Background(), filepath.Join(dir, "p*.csv*"), Options{})
	if err == nil || !strings.Contains(err.Error(), `p3.csv: column "b": missing here but not in `) {
		t.Errorf("got %v", err)
	}
	write("p3.csv", "a,b,c\n1,2,3\n")
	_, err = Open(context.Background(), filepath.Join(dir, "p*.csv*"), Options{})
	if err == nil || !strings.Contains(err.Error(), `p3.csv: column "c": not in `) {
		t.Errorf("got %v", err)
	}
	// The line of an error counts in its own file.
	write("p3.csv", "a,b\n1,2\n1\n")
	_, err = Open(context.Background(), filepath.Join(dir, "p*.csv*"), Options{})
	if err == nil || !strings.Contains(err.Error(), "p3.csv: line 3: 1 fields, want 2") {
		t.Errorf("got %v", err)
	}
	write("p3.csv", "a,b\n1,2\n1,\"x\n")
	_, err = Open(context.Background(), filepath.Join(dir, "p*.csv*"), Options{})
	if err == nil || !strings.Contains(err.Error(), "p3.csv: line 3, column 3: a quote that is never closed") {
		t.Errorf("got %v", err)
	}
}

func TestMissingFilesAndFoldersSaySo(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ pattern, want string }{
		{filepath.Join(dir, "no.csv"), "no such file"},
		{filepath.Join(dir, "*.csv"), "no file matches"},
		{dir, "this is a folder: name a file, or a pattern such as"},
		{"s3://bucket/x.csv", "s3 addresses cannot be read"},
		{"", "no file is named"},
	} {
		_, err := Open(context.Background(), tt.pattern, Options{})
		var in *solera.InputError
		if !errors.As(err, &in) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.pattern, err, tt.want)
		}
	}
}

func TestReadingStopsWhenToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ReadCSV(ctx, "t.csv", strings.NewReader("a\n1\n"), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// manyChunks makes a CSV of several chunks in which the kind of each column
// shows late.
func manyChunks(rows int) string {
	var b strings.Builder
	b.WriteString("n,late,quoted,id,empty\n")
	for i := range rows {
		late := strconv.Itoa(i % 7)
		if i == rows-3 {
			late = "word"
		}
		fmt.Fprintf(&b, "%d.25,%s,\"a \"\"%d\"\"\n,b\",%d,\n", i, late, i%5, 9007199254740993+i%11)
	}
	return b.String()
}

func TestManyChunksGiveTheSameTableAsOneWorker(t *testing.T) {
	const rows = 120_000
	text := manyChunks(rows)
	one := mustCSV(t, text, Options{Workers: 1})
	many := mustCSV(t, text, Options{Workers: 8})
	if d := cmp.Diff(one.RowNumbers, many.RowNumbers); d != "" {
		t.Error(d)
	}
	for i, c := range one.Columns {
		m := many.Columns[i]
		if c.Name != m.Name || c.Kind != m.Kind || len(c.Levels) != len(m.Levels) || c.Len() != rows {
			t.Fatalf("column %s: %v %v", c.Name, c.Kind, m.Kind)
		}
		for r := range rows {
			if c.Text(r) != m.Text(r) {
				t.Fatalf("column %s, row %d: %q and %q", c.Name, r, c.Text(r), m.Text(r))
			}
		}
	}
	for r := range rows {
		if got, want := many.Columns[0].Numbers[r], float64(r)+0.25; got != want {
			t.Fatalf("row %d: %v, want %v", r, got, want)
		}
		if got, want := many.Columns[2].Text(r), fmt.Sprintf("a \"%d\"\n,b", r%5); got != want {
			t.Fatalf("row %d: %q, want %q", r, got, want)
		}
		if got, want := many.Columns[3].Text(r), strconv.Itoa(9007199254740993+r%11); got != want {
			t.Fatalf("row %d: %q, want %q", r, got, want)
		}
	}
	if c := many.Column("late"); c.Kind != Category || c.Text(rows-3) != "word" {
		t.Errorf("late column: %s", c.Kind)
	}
}

func TestErrorLinesCountAcrossChunks(t *testing.T) {
	const rows = 120_000
	text := manyChunks(rows)
	_, err := ReadCSV(context.Background(), "t.csv", strings.NewReader(text+"1,2\n"), Options{})
	if want := fmt.Sprintf("line %d: 2 fields, want 5", 2*rows+2); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	_, err = ReadCSV(context.Background(), "t.csv", strings.NewReader(text+"1,2,3,4,\"\n"), Options{})
	if want := fmt.Sprintf("line %d, column 9: a quote that is never closed", 2*rows+2); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	_, err = ReadCSV(context.Background(), "t.csv", strings.NewReader(text+"1e39,2,3,4,\n"), Options{})
	if want := fmt.Sprintf("line %d: column \"n\"", 2*rows+2); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	long := text + strings.Repeat("x", 3<<20)
	_, err = ReadCSV(context.Background(), "t.csv", strings.NewReader(long), Options{MaxRecord: 2 << 20})
	if want := fmt.Sprintf("line %d: a record of more than 2 MiB", 2*rows+2); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if tab, err := ReadCSV(context.Background(), "t.csv", strings.NewReader(text+"1,"+strings.Repeat("x", 3<<20)+",3,4,\n"), Options{}); err != nil || tab.Len() != rows+1 {
		t.Errorf("a record longer than a chunk: %v", err)
	}
}

// zeros is an endless line.
type zeros struct{ read int64 }

func (z *zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	z.read += int64(len(p))
	return len(p), nil
}

func (z *zeros) Seek(int64, int) (int64, error) { return 0, nil }

func TestAnEndlessLineIsRefusedEarly(t *testing.T) {
	z := new(zeros)
	_, err := ReadCSV(context.Background(), "t.csv", z, Options{})
	if err == nil || !strings.Contains(err.Error(), "a record of more than 64 MiB") {
		t.Errorf("got %v", err)
	}
	if z.read > 80<<20 {
		t.Errorf("%d bytes were read", z.read)
	}
}

func TestNumbersAreThoseOfParseFloat(t *testing.T) {
	check := func(t rapid.TB, s string) {
		v, n, _ := scanNumber([]byte(s+"\n"), false)
		want, err := strconv.ParseFloat(s, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			t.Fatalf("%q is no number", s)
		}
		if n != len(s) || math.Float64bits(v) != math.Float64bits(want) {
			t.Fatalf("%q: got %v (%d bytes), want %v", s, v, n, want)
		}
	}
	for _, s := range []string{
		"0", "-0", "1", "+1.5", "9007199254740993", "123456789012345678901234567890", "0.1", ".1", "1.", "1e22", "1e23", "1e-22", "1e-23",
		"9007199254740992e22", "0.000000000000000000000000000000000001", "4.9e-324", "2e-324", "1e400", "-1e400", "1.7976931348623157e308", "00001.50", "1E5",
		"0000000000000000000000000000000000000000000000000000001", "1e99999999999", "0e99999999999", "1.00000000000000000000000000000000000000000000000001",
		"8.5", "3.4028235677973366e38", "179769313486231580793728971405301e276",
	} {
		check(t, s)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.StringMatching(`[+-]?([0-9]{1,25}(\.[0-9]{0,25})?|\.[0-9]{1,25})([eE][+-]?[0-9]{1,3})?`).Draw(t, "number"))
		check(t, rapid.StringMatching(`[0-9]{0,9}\.[0-9]{8,18}`).Draw(t, "all digits"))
		check(t, strconv.FormatFloat(float64(rapid.Uint64().Draw(t, "bits")>>11)*0x1p-53, 'g', -1, 64))
		check(t, strconv.FormatFloat(rapid.Float64().Filter(func(v float64) bool { return !math.IsInf(v, 0) && !math.IsNaN(v) }).Draw(t, "v"), 'g', -1, 64))
	})
}

func TestDatesRoundTripThroughText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Years 1 to 9999, without the last second, whose last microseconds a
		// float64 rounds up into the year 10000.
		sec := rapid.Int64Range(-62135596800, 253402300798).Draw(t, "seconds")
		us := rapid.Int64Range(0, 999999).Draw(t, "microseconds")
		v := fromMicros(sec*1e6 + us)
		got, ok := parseDate([]byte(FormatDate(v)))
		if !ok || got != v {
			t.Fatalf("%v: %s reads as %v", v, FormatDate(v), got)
		}
		if fromMicros(toMicros(v)) != v {
			t.Fatalf("%v: %d microseconds", v, toMicros(v))
		}
	})
}

// FuzzCSV holds the reader to encoding/csv: the same fields, or both refuse.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"1,2\n", "\"a\",b\r\n", "\"a\"\"b\",\"\n\"\n", "a\"b,c\n", "\"a\nb\",c\n\n1,2", "x,\"y\" \n", "1,\r2\r\n", "1,2\r", "\"a\r\nb\",\"\r\"\n", ",\n,", "\"\",\"\"", "\"a,b"} {
		f.Add([]byte(s), byte(0), uint16(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, kind byte, limit uint16) {
		delimiter := delimiters[int(kind)%len(delimiters)]
		if !validText(data) {
			t.Skip()
		}
		head := "c0" + string(delimiter) + "c1\n"
		data = append([]byte(head), data...)
		r := csv.NewReader(bytes.NewReader(data))
		r.Comma = rune(delimiter)
		r.FieldsPerRecord = 2
		want, wantErr := r.ReadAll()

		o := Options{Delimiter: rune(delimiter), Types: map[string]Kind{"c0": Category, "c1": Category}, MissingValues: []string{}}
		// Small records make many chunks.
		o.MaxRecord = max(len(data)+1, 16)
		got, err := ReadCSV(context.Background(), "f", bytes.NewReader(data), o)
		compareRecords(t, want, wantErr, got, err)

		o.MaxRecord = 16 + int(limit)%64
		if got, err := ReadCSV(context.Background(), "f", bytes.NewReader(data), o); err == nil || !strings.Contains(err.Error(), "a record of more than") {
			compareRecords(t, want, wantErr, got, err)
		}
		// Nothing that inference does may fail on what can be read as text.
		if tab, err := ReadCSV(context.Background(), "f", bytes.NewReader(data), Options{Delimiter: rune(delimiter)}); err == nil {
			if err := tab.Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func validText(b []byte) bool {
	return checkText(&chunk{}, b) == nil
}

func compareRecords(t *testing.T, want [][]string, wantErr error, got *Table, err error) {
	t.Helper()
	if wantErr != nil || len(want) < 2 {
		if err == nil {
			t.Fatalf("encoding/csv refuses (%v), the reader gives\n%s", wantErr, show(got))
		}
		return
	}
	if err != nil {
		t.Fatalf("encoding/csv reads %q, the reader refuses: %v", want, err)
	}
	if got.Len() != len(want)-1 {
		t.Fatalf("%d rows, want %d", got.Len(), len(want)-1)
	}
	for i, rec := range want[1:] {
		for j, s := range rec {
			if g := got.Columns[j].Text(i); g != string(trim([]byte(s))) {
				t.Fatalf("row %d, field %d: %q, want %q", i, j, g, s)
			}
		}
	}
}

// FuzzDelimiter holds detection to its promise: what a writer writes with a
// delimiter is read with that delimiter when the header has two names.
func FuzzDelimiter(f *testing.F) {
	f.Add([]byte("a,b\n1,2\n"))
	f.Add([]byte("a;b\n1,5;2,5\n"))
	f.Add([]byte("a|b\n\"|\",\"\n\""))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = append(data, '\n')
		d := detectDelimiter(data, true)
		if !strings.ContainsRune(",;\t|", rune(d)) {
			t.Fatalf("%q", d)
		}
		for _, d := range delimiters {
			var b bytes.Buffer
			w := csv.NewWriter(&b)
			w.Comma = rune(d)
			w.Write([]string{"first", "second"})
			for i := 0; i+2 <= len(data) && i < 20; i += 2 {
				w.Write([]string{"x" + string(data[i:i+1]), string(data[i+1:i+2]) + "y"})
			}
			w.Flush()
			if got := detectDelimiter(b.Bytes(), true); got != d {
				t.Fatalf("%q: detected %q, want %q", b.String(), got, d)
			}
		}
	})
}

func TestMemoryStaysNearTheColumns(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 1,000,000 rows")
	}
	const rows, cols = 1_000_000, 10
	line := strings.Repeat("0.123456,", cols-1) + "1.5\n"
	var head []string
	for i := range cols {
		head = append(head, fmt.Sprintf("c%d", i))
	}
	r := io.MultiReader(strings.NewReader(strings.Join(head, ",")+"\n"), io.LimitReader(&repeated{text: line}, int64(len(line))*rows))
	name := filepath.Join(t.TempDir(), "big.csv")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(f, r)
	f.Close()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tab, err := Open(context.Background(), name, Options{})
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 2*rows*cols*8 {
		t.Errorf("%d bytes allocated for columns of %d", got, rows*cols*8)
	}
	if tab.Len() != rows {
		t.Errorf("%d rows", tab.Len())
	}
}

type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

func TestColumnsToIgnoreMustBeThere(t *testing.T) {
	for name, read := range map[string]func(Options) error{
		"CSV": func(o Options) error {
			_, err := ReadCSV(context.Background(), "t.csv", strings.NewReader("a,b\n1,2\n"), o)
			return err
		},
		"JSON lines": func(o Options) error {
			_, err := ReadJSONL(context.Background(), "t.jsonl", strings.NewReader(`{"a":1,"b":2}`), o)
			return err
		},
		"Parquet": func(o Options) error {
			b := parquetBytes(t, &Table{RowNumbers: []int64{0}, Columns: []*Column{{Name: "a", Kind: Number, Numbers: []float64{1}}, {Name: "b", Kind: Number, Numbers: []float64{2}}}})
			_, err := ReadParquet(context.Background(), "t.parquet", bytes.NewReader(b), int64(len(b)), o)
			return err
		},
	} {
		if err := read(Options{Ignore: []string{"b"}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := read(Options{Ignore: []string{"bb"}}); err == nil || !strings.Contains(err.Error(), `column "bb": no such column to ignore: the columns are`) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
