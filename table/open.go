package table

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// Open reads one file, or all files that the glob pattern matches in the
// order of their names; their row numbers run on and their columns are the
// same. Text files may be compressed with gzip. Faults in the data are
// *solera.InputError.
//
// CSV: the first line names the columns; the delimiter is detected; quotes,
// line ends and empty lines are as in RFC 4180 and encoding/csv. JSON lines:
// one flat object a line. Parquet: flat columns.
//
// The type of a column of text is inferred from all of its values: numbers
// (decimal, with an exponent or not; with decimal commas if the delimiter is
// a semicolon), booleans (true/false, yes/no, t/f), dates (see parseDate for
// the forms; 01/02/2006 is not one), else category. Columns of two kinds are
// categories, and so are whole numbers beyond 2^53, which are identifiers. Blanks around a
// value do not count. "NaN" is a missing number; infinities and numbers beyond
// the range of a float32 are errors.
func Open(ctx context.Context, pattern string, o Options) (*Table, error) {
	op := "load " + pattern
	names, err := Files(pattern)
	if err != nil {
		return nil, err
	}
	if len(names) == 1 {
		// A pipe has no size and no second pass.
		if info, err := os.Stat(names[0]); err == nil && !info.Mode().IsRegular() {
			f, err := os.Open(names[0])
			if err != nil {
				return nil, fileError(op, names[0], err)
			}
			defer f.Close()
			return Read(ctx, names[0], f, o)
		}
	}
	format := o.Format
	if format == "" {
		if format, err = detectFormat(op, names[0]); err != nil {
			return nil, err
		}
	}
	switch format {
	case "parquet":
		return openParquet(ctx, op, names, o)
	case "csv", "jsonl":
		files := make([]*textFile, len(names))
		var total int64
		for i, name := range names {
			files[i] = &textFile{name: name}
			info, err := os.Stat(name)
			if err != nil {
				return nil, fileError(op, name, err)
			}
			total += info.Size()
			files[i].start = func() (io.ReadCloser, error) { return os.Open(name) }
		}
		return readText(ctx, op, format, files, total, o)
	}
	return nil, &solera.InputError{Op: op, Msg: fmt.Sprintf("format %q is not known", format), Hint: "use csv, jsonl or parquet"}
}

// Read reads one file of any format from r, as Open does. name stands for the
// file in errors.
func Read(ctx context.Context, name string, r io.Reader, o Options) (*Table, error) {
	op := "load " + name
	kept, err := keep(readerWithContext{ctx, r})
	if err != nil {
		return nil, fileError(op, name, err)
	}
	defer kept.close()
	f := &textFile{name: name, start: kept.open}
	format := o.Format
	if format == "" {
		if format, err = detectContent(op, f); err != nil {
			return nil, err
		}
	}
	if format == "parquet" {
		return readParquet(ctx, op, name, kept.at(), kept.size, o)
	}
	return readText(ctx, op, format, []*textFile{f}, kept.size, o)
}

// ReadCSV reads one CSV file from r. If r can seek, it may be read twice; if
// not, its bytes are kept until the types of all columns are known (beyond
// 64 MiB in a temporary file). name stands for the file in errors.
func ReadCSV(ctx context.Context, name string, r io.Reader, o Options) (*Table, error) {
	return readStream(ctx, name, "csv", r, o)
}

// ReadJSONL reads one file of JSON lines from r, which it treats as ReadCSV does.
func ReadJSONL(ctx context.Context, name string, r io.Reader, o Options) (*Table, error) {
	return readStream(ctx, name, "jsonl", r, o)
}

func readStream(ctx context.Context, name, format string, r io.Reader, o Options) (*Table, error) {
	op := "load " + name
	f := &textFile{name: name}
	var total int64
	if s, ok := r.(io.ReadSeeker); ok {
		start, err := s.Seek(0, io.SeekCurrent)
		if err == nil {
			var end int64
			if end, err = s.Seek(0, io.SeekEnd); err == nil {
				total = end - start
				f.start = func() (io.ReadCloser, error) {
					_, err := s.Seek(start, io.SeekStart)
					return io.NopCloser(s), err
				}
			}
		}
	}
	if f.start == nil {
		kept, err := keep(r)
		if err != nil {
			return nil, fileError(op, name, err)
		}
		defer kept.close()
		f.start, total = kept.open, kept.size
	}
	return readText(ctx, op, format, []*textFile{f}, total, o)
}

// readText reads text files in one pass, or in two if a column turns out to be a category late.
func readText(ctx context.Context, op, format string, files []*textFile, total int64, o Options) (*Table, error) {
	r := newReading(o)
	for name, k := range o.Types {
		if !k.Valid() {
			return nil, &solera.InputError{Op: op, Column: name, Msg: fmt.Sprintf("type %q is not known", k), Hint: "use number, category, boolean or date"}
		}
	}
	var s syntax = &jsonSyntax{op: op}
	if format == "csv" {
		if o.Delimiter != 0 && !slices.Contains(delimiters[:], byte(o.Delimiter)) || o.Delimiter > 0x7f {
			return nil, &solera.InputError{Op: op, Msg: fmt.Sprintf("delimiter %q", o.Delimiter), Hint: "use a comma, a semicolon, a tab or |"}
		}
		s = &csvSyntax{op: op, r: r, delimiter: byte(o.Delimiter)}
	}
	first := &scanner{op: op, r: r, syntax: s, files: files, total: total}
	if err := first.run(ctx, o.Workers); err != nil {
		return nil, err
	}
	if first.rows == 0 || len(first.cols) == 0 {
		msg := "the file has a header but no rows"
		if format != "csv" {
			msg = "the file has no rows"
		}
		return nil, &solera.InputError{Op: op, File: files[0].name, Msg: msg, Hint: "give a file with at least one row"}
	}
	cols := first.cols
	names := make([]string, len(cols))
	for i, b := range cols {
		names[i] = b.name
	}
	if err := ignorable(op, files[0].name, o.Ignore, names); err != nil {
		return nil, err
	}
	again := make(map[string]bool)
	for _, b := range cols {
		if b.again() {
			again[b.name] = true
			b.drop(mixed)
		} else if err := b.check(op); err != nil {
			return nil, err
		}
	}
	if len(again) > 0 {
		second := &scanner{op: op, r: r, syntax: s, files: files, total: total, again: again}
		if err := second.run(ctx, o.Workers); err != nil {
			return nil, err
		}
		if second.rows != first.rows || len(second.cols) != len(cols) {
			return nil, &solera.InputError{Op: op, Msg: "the data changed while it was read", Hint: "load it when nothing writes to it"}
		}
		for i, b := range second.cols {
			if again[b.name] {
				cols[i] = b
			}
		}
	}
	t := &Table{RowNumbers: make([]int64, first.rows)}
	for i := range t.RowNumbers {
		t.RowNumbers[i] = int64(i)
	}
	for _, b := range cols {
		if !r.ignore[b.name] {
			t.Columns = append(t.Columns, b.column(first.rows))
		}
	}
	return t, nil
}

// ignorable checks that the columns to ignore are there: one whose name was
// mistyped would be learned from.
func ignorable(op, file string, ignore, names []string) error {
	for _, name := range ignore {
		if !slices.Contains(names, name) {
			few := strings.Join(names[:min(len(names), 20)], ", ")
			if len(names) > 20 {
				few += fmt.Sprintf(" and %d more", len(names)-20)
			}
			return &solera.InputError{Op: op, File: file, Column: name, Msg: "no such column to ignore", Hint: "the columns are " + few}
		}
	}
	return nil
}

// A textFile is one file that can be read from its start more than once.
type textFile struct {
	name  string
	start func() (io.ReadCloser, error)
}

// A textReader reads the text of a file, decompressed.
type textReader struct {
	io.Reader
	file  io.Closer
	count *countingReader
}

func (r *textReader) Close() error { return r.file.Close() }

// raw returns the number of bytes read from the file itself.
func (r *textReader) raw() int64 { return r.count.n }

type countingReader struct {
	io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

func (f *textFile) open() (*textReader, error) {
	file, err := f.start()
	if err != nil {
		return nil, err
	}
	count := &countingReader{Reader: file}
	b := bufio.NewReaderSize(count, 16<<10)
	r := &textReader{Reader: b, file: file, count: count}
	// By content, not by name: files lose and gain extensions.
	if magic, _ := b.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		if r.Reader, err = gzip.NewReader(b); err != nil {
			file.Close()
			return nil, err
		}
	}
	return r, nil
}

// fileError tells a failure of the file system or of gzip.
func fileError(op, name string, err error) error {
	e := &solera.InputError{Op: op, File: name, Err: err}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, fs.ErrNotExist):
		e.Msg, e.Hint = "no such file", "check the path; relative paths start at the project's folder"
	case errors.Is(err, fs.ErrPermission):
		e.Msg, e.Hint = "may not be read", "change the file's permissions"
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.Is(err, io.ErrUnexpectedEOF):
		e.Msg, e.Hint = "the gzip data is damaged or cut short ("+err.Error()+")", "copy or download the file again"
	default:
		if strings.HasPrefix(err.Error(), "flate: ") {
			e.Msg, e.Hint = "the gzip data is damaged or cut short ("+err.Error()+")", "copy or download the file again"
		}
	}
	return e
}

// Files returns the files that Open would read for pattern, in its order.
func Files(pattern string) ([]string, error) {
	op := "load " + pattern
	if pattern == "" {
		return nil, &solera.InputError{Op: "load", Msg: "no file is named", Hint: "set data.source"}
	}
	if i := strings.Index(pattern, "://"); i > 0 {
		return nil, &solera.InputError{Op: op, Msg: pattern[:i] + " addresses cannot be read", Hint: "download the file and name its path"}
	}
	info, err := os.Stat(pattern)
	if err == nil {
		if info.IsDir() {
			return nil, &solera.InputError{Op: op, Msg: "this is a folder", Hint: fmt.Sprintf("name a file, or a pattern such as %s", filepath.Join(pattern, "*.csv"))}
		}
		return []string{pattern}, nil
	}
	if !strings.ContainsAny(pattern, "*?[") {
		return nil, fileError(op, pattern, err)
	}
	names, err := filepath.Glob(pattern)
	if err != nil {
		return nil, &solera.InputError{Op: op, Msg: "the pattern is not valid", Hint: "close every [ with a ]", Err: err}
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		info, err := os.Stat(name)
		return err == nil && info.IsDir()
	})
	if len(names) == 0 {
		return nil, &solera.InputError{Op: op, Msg: "no file matches", Hint: "check the pattern; relative paths start at the project's folder", Err: fs.ErrNotExist}
	}
	slices.Sort(names)
	return names, nil
}

// detectFormat tells the format of a file from its name, or else from its start.
func detectFormat(op, name string) (string, error) {
	switch filepath.Ext(strings.TrimSuffix(strings.ToLower(name), ".gz")) {
	case ".csv", ".tsv", ".psv", ".txt":
		return "csv", nil
	case ".jsonl", ".ndjson", ".json":
		return "jsonl", nil
	case ".parquet", ".pq":
		return "parquet", nil
	}
	return detectContent(op, &textFile{name: name, start: func() (io.ReadCloser, error) { return os.Open(name) }})
}

// detectContent tells the format of a file from its start.
func detectContent(op string, f *textFile) (string, error) {
	r, err := f.open()
	if err != nil {
		return "", fileError(op, f.name, err)
	}
	defer r.Close()
	head := make([]byte, 512)
	n, _ := io.ReadFull(r, head)
	head = bytes.TrimLeft(bytes.TrimPrefix(head[:n], []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case bytes.HasPrefix(head, []byte("PAR1")):
		return "parquet", nil
	case bytes.HasPrefix(head, []byte{'{'}):
		return "jsonl", nil
	}
	return "csv", nil
}

// keptBytes are the bytes of a reader that cannot seek, in memory or in a file.
type keptBytes struct {
	data []byte
	file *os.File
	size int64
}

// keepInMemory bounds what keep holds in memory.
const keepInMemory = 64 << 20

func keep(r io.Reader) (*keptBytes, error) {
	var b bytes.Buffer
	n, err := io.CopyN(&b, r, keepInMemory)
	if err == io.EOF {
		return &keptBytes{data: b.Bytes(), size: n}, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "solera-*")
	if err != nil {
		return nil, err
	}
	k := &keptBytes{file: f}
	if k.size, err = io.Copy(f, io.MultiReader(&b, r)); err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

func (k *keptBytes) at() io.ReaderAt {
	if k.file == nil {
		return bytes.NewReader(k.data)
	}
	return k.file
}

func (k *keptBytes) open() (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(k.at(), 0, k.size)), nil
}

func (k *keptBytes) close() {
	if k.file != nil {
		k.file.Close()
		os.Remove(k.file.Name())
	}
}

// A SourceFile is one file of a source.
type SourceFile struct {
	Name   string
	Size   int64
	Digest [32]byte // SHA-256 of its bytes as they are on disk
}

// SourceDigest hashes the files that Open would read, in its order. The digest
// depends on their contents alone: files may be moved and renamed as long as
// their order stays.
func SourceDigest(ctx context.Context, pattern string) ([32]byte, []SourceFile, error) {
	op := "load " + pattern
	names, err := Files(pattern)
	if err != nil {
		return [32]byte{}, nil, err
	}
	all := sha256.New()
	files := make([]SourceFile, len(names))
	for i, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return [32]byte{}, nil, fileError(op, name, err)
		}
		h := sha256.New()
		n, err := io.CopyBuffer(struct{ io.Writer }{h}, readerWithContext{ctx, f}, make([]byte, 1<<18))
		f.Close()
		if err != nil {
			return [32]byte{}, nil, fileError(op, name, err)
		}
		files[i] = SourceFile{Name: name, Size: n, Digest: [32]byte(h.Sum(nil))}
		all.Write(files[i].Digest[:])
	}
	return [32]byte(all.Sum(nil)), files, nil
}

type readerWithContext struct {
	ctx context.Context
	r   io.Reader
}

func (r readerWithContext) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
