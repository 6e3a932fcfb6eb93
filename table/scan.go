package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// A text source is read in chunks of whole records. One goroutine cuts the
// bytes into chunks, several parse chunks into typed values, and one appends
// the values to the columns in the order of the file. What is read depends on
// the bytes alone, not on the number of goroutines.

// chunkSize is large enough to amortise the hand-over and small enough that
// every goroutine's chunk stays in its cache.
const chunkSize = 1 << 20

// A syntax knows how records are written.
type syntax interface {
	// begin reads what stands before the first record of a file and returns
	// the parser of its records, and the number of bytes and lines used up.
	// whole says that head is the whole file.
	begin(file string, head []byte, whole bool) (p parser, used, lines int, err error)
	// cut returns the length of the whole records at the start of b, 0 if not one is whole.
	cut(b []byte) int
}

// A parser reads the records of one file; it is used by several goroutines.
type parser interface {
	parse(buf []byte, c *chunk) error
	names() []string // columns known in advance, in the order of the table
}

// A chunk is what parsing made of some whole records.
type chunk struct {
	r      *reading
	op     string
	file   string
	rows   int
	lines  int
	names  []string
	cols   []values
	newCol func(name string) hint
	field  []byte         // scratch: a field without its quotes
	index  map[string]int // scratch: JSON keys to columns
}

// setup prepares c for the columns of s.
func (c *chunk) setup(s *snapshot) {
	c.rows, c.lines = 0, 0
	c.names = append(c.names[:0], s.names...)
	for len(c.cols) < len(s.names) {
		c.cols = append(c.cols, values{})
	}
	c.cols = c.cols[:len(s.names)]
	for i, h := range s.hints {
		c.cols[i].reset(h)
	}
}

// fail makes an error about record line, counted from 1 in the chunk.
func (c *chunk) fail(line int, column, msg, hint string) error {
	return &solera.InputError{Op: c.op, File: c.file, Line: line, Column: column, Msg: msg, Hint: hint}
}

// badValue is the error for a text that is not of the type that Options force.
func (c *chunk) badValue(line, col int, text []byte) error {
	return c.fail(line, c.names[col], fmt.Sprintf("%s is not a %s", quote(string(trim(text))), c.cols[col].stateKind()),
		"correct the value, or give the column the type category")
}

func (c *values) stateKind() Kind {
	for k, s := range stateOf {
		if s == c.state {
			return k
		}
	}
	return Category
}

// A snapshot is what is known of the columns at one moment.
type snapshot struct {
	names []string
	hints []hint
}

// A job is one chunk on its way.
type job struct {
	file     string
	parser   parser
	buf      []byte
	lines    int     // lines of the file before the chunk
	fresh    bool    // first chunk of its file
	placed   bool    // err has the right line number already
	progress float64 // share of the source that has been read, 0 if unknown
	err      error
	out      *chunk
	done     chan struct{}
}

// A scanner reads one source, maybe of several files, once.
type scanner struct {
	op     string
	r      *reading
	syntax syntax
	files  []*textFile
	total  int64 // bytes of all files on disk, 0 if unknown

	again map[string]bool // second pass: the columns to read, as categories; nil in the first

	known atomic.Pointer[snapshot]
	cols  []*builder
	rows  int
	bytes int64 // parsed so far
}

// hint says what the options, or the first pass, say of a column.
func (s *scanner) hint(name string) hint {
	switch {
	case s.again == nil:
		return s.r.hint(name)
	case s.again[name]:
		return hint{state: category}
	}
	return hint{state: skipped}
}

// run reads all files.
func (s *scanner) run(ctx context.Context, workers int) error {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	work := make(chan *job)
	ordered := make(chan *job, workers+1)
	started := make(chan struct{}) // closed when the first chunk is in the columns
	// Free lists, not sync.Pool: what a collection throws away would be made anew.
	spare := make(chan *chunk, 2*workers+2)
	buffers := make(chan []byte, 2*workers+2)

	wg.Go(func() {
		defer close(ordered)
		defer close(work)
		first := true
		err := s.produce(ctx, buffers, func(j *job) bool {
			j.done = make(chan struct{})
			select {
			case ordered <- j:
			case <-ctx.Done():
				return false
			}
			select {
			case work <- j:
			case <-ctx.Done():
				return false
			}
			if first {
				// What the first chunk shows of the columns spares the others most guesses.
				first = false
				select {
				case <-started:
				case <-ctx.Done():
					return false
				}
			}
			return true
		})
		if err != nil {
			j := &job{err: err, placed: true, done: make(chan struct{})}
			close(j.done)
			select {
			case ordered <- j:
			case <-ctx.Done():
			}
		}
	})
	for range workers {
		wg.Go(func() {
			for j := range work {
				select {
				case j.out = <-spare:
				default:
					j.out = new(chunk)
				}
				j.parse(s)
				close(j.done)
			}
		})
	}

	lines, merged := 0, 0
	for j := range ordered {
		select {
		case <-j.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if j.fresh {
			lines = j.lines
		}
		if j.err != nil {
			var in *solera.InputError
			if errors.As(j.err, &in) && in.Line > 0 && !j.placed {
				in.Line += lines
			}
			return j.err
		}
		if err := s.merge(j, lines); err != nil {
			return err
		}
		lines += j.out.lines
		select {
		case buffers <- j.buf:
		default:
		}
		select {
		case spare <- j.out:
		default:
		}
		if merged++; merged == 1 {
			close(started)
		}
	}
	return ctx.Err()
}

func (j *job) parse(s *scanner) {
	c := j.out
	c.r, c.op, c.file, c.newCol = s.r, s.op, j.file, s.hint
	if known := s.known.Load(); known != nil {
		c.setup(known)
	} else {
		c.setup(s.guess(j.parser.names()))
	}
	if j.err = checkText(c, j.buf); j.err == nil {
		j.err = j.parser.parse(j.buf, c)
	}
}

// checkText refuses bytes that no text file has.
func checkText(c *chunk, buf []byte) error {
	if i := bytes.IndexByte(buf, 0); i >= 0 {
		return c.fail(bytes.Count(buf[:i], []byte{'\n'})+1, "", "a NUL byte, so this is not a text file",
			"export the data as CSV, JSON lines or Parquet")
	}
	if utf8.Valid(buf) {
		return nil
	}
	line, i := 1, 0
	for {
		r, n := utf8.DecodeRune(buf[i:])
		if r == utf8.RuneError && n == 1 {
			return c.fail(line, "", fmt.Sprintf("byte 0x%02x is not UTF-8", buf[i]),
				"convert the file, for example with: iconv -f LATIN1 -t UTF-8")
		}
		if r == '\n' {
			line++
		}
		i += n
	}
}

// guess returns what the options alone say of columns.
func (s *scanner) guess(names []string) *snapshot {
	g := &snapshot{names: names, hints: make([]hint, len(names))}
	for i, name := range names {
		g.hints[i] = s.hint(name)
	}
	return g
}

// merge appends the values of a chunk to the columns.
func (s *scanner) merge(j *job, lines int) error {
	c := j.out
	changed := s.known.Load() == nil
	for _, name := range c.names[len(s.cols):] {
		s.cols = append(s.cols, &builder{name: name, values: values{hint: s.hint(name)}})
		changed = true
	}
	if len(s.cols) > s.r.maxColumns {
		return tooManyColumns(s.op, j.file, len(s.cols), s.r.maxColumns)
	}
	s.bytes += int64(len(j.buf))
	// A key that most objects lack costs memory that the file does not pay for.
	if cells := int64(s.rows+c.rows) * int64(len(s.cols)); cells > 1<<24 && cells > 128*s.bytes {
		return &solera.InputError{
			Op: s.op, File: j.file, Msg: fmt.Sprintf("%d columns, most of them missing in most of %d rows", len(s.cols), s.rows+c.rows),
			Hint: "give all objects the same keys",
		}
	}
	expect := 0
	if j.progress > 0 && (s.bytes >= 8*chunkSize || j.progress > 0.5) {
		// Rows per byte vary; 3 % more than the estimate is rarely exceeded.
		expect = int(float64(s.rows+c.rows)/j.progress*1.03) + 64
	}
	for i := range c.names {
		b := s.cols[i]
		before := b.state
		b.take(&c.cols[i], s.rows, expect, j.file, lines)
		changed = changed || b.state != before
	}
	s.rows += c.rows
	if changed {
		known := &snapshot{}
		for _, b := range s.cols {
			known.names = append(known.names, b.name)
			known.hints = append(known.hints, b.hint)
		}
		s.known.Store(known)
	}
	return nil
}

func tooManyColumns(op, file string, got, limit int) error {
	return &solera.InputError{
		Op: op, File: file, Msg: fmt.Sprintf("%d columns or more, at most %d can be read", got, limit),
		Hint: "select the columns that matter before loading, for example with cut or a query",
	}
}

// produce cuts the files into jobs and hands each to emit until that returns false.
func (s *scanner) produce(ctx context.Context, buffers chan []byte, emit func(*job) bool) error {
	var done int64 // bytes of the files before this one
	for _, f := range s.files {
		r, err := f.open()
		if err != nil {
			return fileError(s.op, f.name, err)
		}
		ok, err := s.produceFile(ctx, f, r, &done, buffers, emit)
		r.Close()
		if err != nil || !ok {
			return err
		}
	}
	return nil
}

func (s *scanner) produceFile(ctx context.Context, f *textFile, r *textReader, done *int64, buffers chan []byte, emit func(*job) bool) (bool, error) {
	cutter := &cutter{r: r, cut: s.syntax.cut, limit: s.r.maxRecord, buffers: buffers}
	var p parser
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		buf, last, err := cutter.next(p == nil)
		if err == io.EOF && p != nil {
			break
		}
		j := &job{file: f.name, parser: p, buf: buf}
		switch {
		case err == errLongRecord:
			j.err = &solera.InputError{
				Op: s.op, File: f.name, Line: 1, Msg: fmt.Sprintf("a record of more than %s", size(s.r.maxRecord)),
				Hint: "look for a quote that is opened and never closed, or for a file without line ends",
			}
		case err != nil && err != io.EOF:
			return false, fileError(s.op, f.name, err)
		}
		if p == nil && j.err == nil {
			j.fresh = true
			var used int
			p, used, j.lines, err = s.syntax.begin(f.name, buf, last)
			if err != nil {
				return false, err
			}
			j.parser, j.buf = p, buf[used:]
		}
		if s.total > 0 {
			j.progress = float64(*done+r.raw()) / float64(s.total)
		}
		if j.err != nil {
			// The error takes the place of the chunk, so that it is told
			// after those of earlier lines, and with its line number.
			j.parser = failing{j.err}
			j.buf = nil
			j.err = nil
			emit(j)
			return false, nil
		}
		if !emit(j) {
			return false, nil
		}
		if last {
			break
		}
	}
	*done += r.raw()
	return true, nil
}

// failing is a parser that returns an error.
type failing struct{ err error }

func (f failing) parse([]byte, *chunk) error { return f.err }
func (f failing) names() []string            { return nil }

var errLongRecord = errors.New("record too long")

// A cutter cuts a stream into pieces of whole records.
type cutter struct {
	r       io.Reader
	cut     func([]byte) int
	limit   int
	carry   []byte // start of a record that the last piece did not hold
	ended   bool
	buffers chan []byte
}

// next returns the next piece, which ends in a line end, and whether it is the last one.
// An empty file has one empty piece. It returns io.EOF after the last piece.
func (c *cutter) next(first bool) (buf []byte, last bool, err error) {
	if c.ended && (len(c.carry) == 0 && !first) {
		return nil, true, io.EOF
	}
	size := min(chunkSize, c.limit)
	select {
	case buf = <-c.buffers:
	default:
	}
	if cap(buf) <= size || cap(buf) > 2*size {
		buf = make([]byte, size+1)
	}
	buf = buf[:size]
	n := copy(buf, c.carry)
	if n < len(c.carry) { // the carry outgrew a chunk: a long record
		buf = append(buf, c.carry[n:]...)
		n = len(buf)
	}
	c.carry = c.carry[:0]
	for {
		// Not io.ReadFull: its error for a short read is also that of gzip for
		// a file that was cut short.
		var err error
		for n < len(buf) && err == nil {
			var m int
			m, err = c.r.Read(buf[n:])
			n += m
		}
		switch {
		case err == io.EOF:
			c.ended = true
			buf = buf[:n]
			if n > 0 && buf[n-1] != '\n' {
				buf = append(buf, '\n')
			}
			return buf, true, nil
		case err != nil:
			return nil, false, err
		}
		if end := c.cut(buf); end > 0 {
			c.carry = append(c.carry, buf[end:]...)
			return buf[:end], false, nil
		}
		if n >= c.limit {
			return nil, false, errLongRecord
		}
		buf = append(make([]byte, 0, min(2*len(buf), c.limit)+1), buf...)
		buf = buf[:cap(buf)-1]
	}
}

// size writes a number of bytes for people.
func size(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
