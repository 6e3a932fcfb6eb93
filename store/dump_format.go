package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// The form of a dump is described for readers in docs/dump-format.md. dumpFormat
// grows when a program that knows an older one would misread a dump; a record
// that has a new field needs no new format, because the schema of the header
// stops older programs.
const dumpFormat = 1

const (
	maxDumpLine   = 512 << 20 // bytes; the longest holds a signed statement
	maxDumpPoints = 10_000    // of one line; Dump writes batchPoints
	batchPoints   = 1_000
)

// A record is one line of a dump: one of the fields is set. The order of the
// fields is the order of the lines, so that nothing comes before what it names.
// Moments are integers, microseconds since 1970 UTC: text would lose those
// after the year 9999, which clients can send.
type record struct {
	Header    *dumpHeader    `json:"solera,omitempty"`
	Run       *dumpRun       `json:"run,omitempty"`
	File      *dumpFile      `json:"file,omitempty"`
	Line      *dumpLine      `json:"line,omitempty"`
	Points    *dumpPoints    `json:"points,omitempty"`
	Item      *dumpItem      `json:"item,omitempty"`
	Position  *dumpPosition  `json:"position,omitempty"`
	Content   *dumpContent   `json:"content,omitempty"`
	Entry     *dumpEntry     `json:"entry,omitempty"`
	Artifact  *dumpArtifact  `json:"artifact,omitempty"`
	Version   *dumpVersion   `json:"version,omitempty"`
	Alias     *dumpAlias     `json:"alias,omitempty"`
	Edge      *dumpEdge      `json:"edge,omitempty"`
	Statement *dumpStatement `json:"statement,omitempty"`
	Key       *dumpKey       `json:"key,omitempty"`
	Deletion  *dumpDeletion  `json:"deletion,omitempty"`
	Document  *dumpDocument  `json:"document,omitempty"`
	Audit     *dumpAudit     `json:"audit,omitempty"`
	End       *dumpEnd       `json:"end,omitempty"`
}

type dumpHeader struct {
	Format int   `json:"dump"`
	Schema int64 `json:"schema"` // of the store that was dumped
}

type dumpRun struct {
	solera.Run
	Created   int64 `json:"created"`
	Started   int64 `json:"started"`
	Finished  int64 `json:"finished"`
	Heartbeat int64 `json:"heartbeat"`
	Deleted   int64 `json:"deleted"`
	Stopping  int64 `json:"stopping"`
	Rewound   int64 `json:"rewound"`
}

type dumpFile struct {
	Run solera.RunID `json:"run"`
	solera.Entry
}

type dumpLine struct {
	Run    solera.RunID `json:"run"`
	N      int64        `json:"n"`
	Stream string       `json:"stream"`
	Text   string       `json:"text"`
	Time   int64        `json:"time"`
}

// dumpPoints are points of a run that were appended one after the other. Key
// says which of Keys each has.
type dumpPoints struct {
	Run   solera.RunID `json:"run"`
	First int64        `json:"first"` // number of the first
	Keys  []string     `json:"keys"`
	Key   []int        `json:"key"`
	Step  []int64      `json:"step"`
	Value dumpValues   `json:"value"`
	Time  []int64      `json:"time"`
}

type dumpItem struct {
	Run   solera.RunID    `json:"run"`
	N     int64           `json:"n"`
	Key   string          `json:"key"`
	Step  int64           `json:"step"`
	Value json.RawMessage `json:"value"`
	Time  int64           `json:"time"`
}

func (i *dumpItem) item() solera.Item {
	return solera.Item{N: i.N, Key: i.Key, Step: i.Step, Value: i.Value, Time: solera.Micros(i.Time)}
}

type dumpPosition struct {
	Run    solera.RunID `json:"run"`
	Source string       `json:"source"`
	N      int64        `json:"n"`
}

// dumpValues are numbers of which some are none: null is NaN, "+" and "-" are
// the infinities.
type dumpValues []float64

func (v dumpValues) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		switch {
		case math.IsNaN(x):
			b = append(b, "null"...)
		case math.IsInf(x, 1):
			b = append(b, `"+"`...)
		case math.IsInf(x, -1):
			b = append(b, `"-"`...)
		default:
			b = strconv.AppendFloat(b, x, 'g', -1, 64)
		}
	}
	return append(b, ']'), nil
}

func (v *dumpValues) UnmarshalJSON(b []byte) error {
	var raw []json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*v = make(dumpValues, len(raw))
	for i, r := range raw {
		switch string(r) {
		case "null":
			(*v)[i] = math.NaN()
		case `"+"`:
			(*v)[i] = math.Inf(1)
		case `"-"`:
			(*v)[i] = math.Inf(-1)
		default:
			x, err := strconv.ParseFloat(string(r), 64)
			if err != nil {
				return fmt.Errorf("value %.40q is no number", r)
			}
			(*v)[i] = x
		}
	}
	return nil
}

type dumpContent struct {
	Digest   solera.Digest `json:"digest"`
	Type     string        `json:"type"`
	Metadata solera.Fields `json:"metadata"`
	Size     int64         `json:"size"`
}

type dumpEntry struct {
	Content solera.Digest `json:"content"`
	solera.Entry
}

type dumpArtifact struct {
	Project string `json:"project"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Next    int64  `json:"next"`
	Created int64  `json:"created"`
	Updated int64  `json:"updated"`
}

// A dumpID is the address of a version.
type dumpID struct {
	Project  string `json:"project"`
	Artifact string `json:"artifact"`
	Number   int    `json:"number"`
}

type dumpVersion struct {
	dumpID
	Content     solera.Digest `json:"content"`
	Run         solera.RunID  `json:"run"`
	Created     int64         `json:"created"`
	Tags        []string      `json:"tags"`
	Description string        `json:"description"`
	Expires     int64         `json:"expires"`
	Deleted     int64         `json:"deleted"`
}

type dumpAlias struct {
	dumpID
	Alias string `json:"alias"`
}

type dumpEdge struct {
	Run  solera.RunID    `json:"run"`
	Kind solera.EdgeKind `json:"kind"`
	dumpID
}

type dumpStatement struct {
	dumpID
	Envelope []byte `json:"envelope"`
}

type dumpKey struct {
	ID      string `json:"id"`
	Public  string `json:"public"`
	Owner   string `json:"owner"`
	Created int64  `json:"created"`
}

type dumpDeletion struct {
	Digest  solera.Digest `json:"digest"`
	Planned int64         `json:"planned"`
	Size    int64         `json:"size"`
	Done    int64         `json:"done"`
}

type dumpDocument struct {
	Kind    string        `json:"kind"`
	ID      string        `json:"id"`
	Body    solera.Fields `json:"body"`
	Created int64         `json:"created"`
	Updated int64         `json:"updated"`
}

type dumpAudit struct {
	N       int64         `json:"n"`
	Time    int64         `json:"time"`
	Actor   string        `json:"actor"`
	Action  string        `json:"action"`
	Subject string        `json:"subject"`
	Before  solera.Fields `json:"before"`
	After   solera.Fields `json:"after"`
	Hash    solera.Digest `json:"hash"`
}

// dumpEnd closes a dump: how many lines of each kind it has, and the digest of
// all bytes before this line.
type dumpEnd struct {
	Lines  map[string]int64 `json:"lines"`
	Digest solera.Digest    `json:"digest"`
}

// The kinds of lines in their order.
var dumpKinds = [...]string{
	"solera", "run", "file", "line", "points", "item", "position", "content", "entry", "artifact", "version", "alias", "edge",
	"statement", "key", "deletion", "document", "audit", "end",
}

// kind returns the place of the record's kind in dumpKinds, or -1 unless
// exactly one field is set.
func (r *record) kind() int {
	kind := -1
	for i, set := range [len(dumpKinds)]bool{
		r.Header != nil, r.Run != nil, r.File != nil, r.Line != nil, r.Points != nil, r.Item != nil, r.Position != nil,
		r.Content != nil, r.Entry != nil, r.Artifact != nil, r.Version != nil, r.Alias != nil, r.Edge != nil, r.Statement != nil, r.Key != nil,
		r.Deletion != nil, r.Document != nil, r.Audit != nil, r.End != nil,
	} {
		switch {
		case set && kind >= 0:
			return -1
		case set:
			kind = i
		}
	}
	return kind
}

// A dumpWriter writes the lines of a dump.
type dumpWriter struct {
	w     *bufio.Writer
	hash  hash.Hash
	lines map[string]int64
}

func newDumpWriter(w io.Writer, schema int64) (*dumpWriter, error) {
	d := &dumpWriter{bufio.NewWriterSize(w, 64<<10), sha256.New(), make(map[string]int64)}
	return d, d.write(&record{Header: &dumpHeader{dumpFormat, schema}})
}

func (d *dumpWriter) write(r *record) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	// The JSON of an item has to come back as it is.
	encoder.SetEscapeHTML(r.Item == nil)
	if err := encoder.Encode(r); err != nil {
		return err
	}
	line := b.Bytes() // with its newline
	if len(line) > maxDumpLine {
		return fmt.Errorf("%w: a %s of %d bytes; a dump holds at most %d a record",
			solera.ErrInvalid, dumpKinds[r.kind()], len(line), maxDumpLine)
	}
	if r.End == nil {
		d.hash.Write(line)
		d.lines[dumpKinds[r.kind()]]++
	}
	_, err := d.w.Write(line)
	return err
}

func (d *dumpWriter) end() error {
	if err := d.write(&record{End: &dumpEnd{d.lines, solera.Digest(d.hash.Sum(nil))}}); err != nil {
		return err
	}
	return d.w.Flush()
}

// readDump calls each for every record between the header and the end, with
// the number of its line, and reports ErrCorrupt, with that number, for what
// Dump cannot have written. It believes nothing: whoever can alter a dump can
// also write its digest. Only when it returns nil is the dump whole. Memory is
// bound by the longest line and the largest manifest.
func readDump(r io.Reader, schema int64, each func(line int64, r *record) error) error {
	in := &dumpReader{r: bufio.NewReaderSize(r, 64<<10), hash: sha256.New(), lines: make(map[string]int64)}
	for {
		rec, err := in.next()
		if err != nil {
			return err
		}
		switch {
		case in.line == 1:
			err = rec.checkHeader(schema)
		case rec.End != nil:
			return in.end(rec.End)
		default:
			if err = in.check(rec); err == nil {
				err = each(in.line, rec)
			}
		}
		if err != nil {
			return err
		}
	}
}

type dumpReader struct {
	r     *bufio.Reader
	hash  hash.Hash // of all lines but the last
	last  []byte    // that line
	line  int64
	kind  int
	lines map[string]int64
	// The files of one content come together, so that they can be checked as
	// the manifest that they are.
	content solera.Digest
	files   []solera.Entry
}

func (d *dumpReader) corrupt(format string, args ...any) error {
	return fmt.Errorf("line %d: %w: %s", d.line, solera.ErrCorrupt, fmt.Sprintf(format, args...))
}

// next reads one line.
func (d *dumpReader) next() (*record, error) {
	d.hash.Write(d.last)
	d.last = d.last[:0]
	d.line++
	for {
		part, err := d.r.ReadSlice('\n')
		d.last = append(d.last, part...)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && d.line == 1:
			return nil, d.notDump()
		case errors.Is(err, io.EOF):
			return nil, d.corrupt("the dump is cut short")
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("line %d: %w", d.line, err)
		case d.line == 1:
			return nil, d.notDump()
		case len(d.last) > maxDumpLine:
			return nil, d.corrupt("it is longer than %d bytes", maxDumpLine)
		default:
			continue
		}
		break
	}
	var r record
	decoder := json.NewDecoder(bytes.NewReader(d.last))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&r)
	if d.line == 1 && (err != nil || r.Header == nil) {
		return nil, d.notDump()
	}
	if err != nil {
		return nil, d.corrupt("%v", err)
	}
	if int(decoder.InputOffset()) != len(d.last)-1 {
		return nil, d.corrupt("something follows the record")
	}
	kind := r.kind()
	if kind < 0 {
		return nil, d.corrupt("want one record of a known kind")
	}
	if kind < d.kind || kind == 0 && d.line > 1 {
		return nil, d.corrupt("a %s after a %s", dumpKinds[kind], dumpKinds[d.kind])
	}
	d.kind = kind
	if r.End == nil {
		d.lines[dumpKinds[kind]]++
	}
	return &r, nil
}

func (d *dumpReader) notDump() error {
	return fmt.Errorf("line 1: %w: it is no dump of a Solera store, or its beginning is damaged", solera.ErrInvalid)
}

func (r *record) checkHeader(schema int64) error {
	h := r.Header
	if h.Format == dumpFormat && h.Schema > 0 && h.Schema <= schema {
		return nil
	}
	if h.Format < 1 || h.Schema < 1 {
		return fmt.Errorf("line 1: %w: dump format %d of schema %d", solera.ErrCorrupt, h.Format, h.Schema)
	}
	return fmt.Errorf("line 1: %w: a newer Solera wrote it (dump format %d, schema %d; this program knows %d and %d); use that one, or newer",
		solera.ErrInvalid, h.Format, h.Schema, dumpFormat, schema)
}

// end checks the last line.
func (d *dumpReader) end(e *dumpEnd) error {
	if err := d.closeContent(); err != nil {
		return err
	}
	if got := solera.Digest(d.hash.Sum(nil)); got != e.Digest {
		return d.corrupt("the bytes before have the digest %v, not %v", got, e.Digest)
	}
	for i, kind := range dumpKinds {
		if got := d.lines[kind]; got != e.Lines[kind] {
			return d.corrupt("%d lines are a %s, not %d", got, dumpKinds[i], e.Lines[kind])
		}
	}
	if _, err := d.r.ReadByte(); !errors.Is(err, io.EOF) {
		return d.corrupt("something follows the end")
	}
	return nil
}

// closeContent checks the manifest that was being read.
func (d *dumpReader) closeContent() error {
	if err := solera.CheckFiles(d.files); err != nil {
		return d.corrupt("content %v before: %v", d.content, err)
	}
	d.files = d.files[:0]
	return nil
}

// check reports what no store accepts. That what a record names exists is for
// the database to say.
func (d *dumpReader) check(r *record) error {
	if r.Entry == nil || r.Entry.Content != d.content {
		if err := d.closeContent(); err != nil {
			return err
		}
	}
	if err := r.check(); err != nil {
		return d.corrupt("%v", err)
	}
	if e := r.Entry; e != nil {
		if len(d.files) == solera.MaxFiles {
			return d.corrupt("content %v has more than %d files", e.Content, solera.MaxFiles)
		}
		d.content = e.Content
		d.files = append(d.files, e.Entry)
	}
	return nil
}

func (r *record) check() error {
	switch {
	case r.Run != nil:
		return r.Run.ID.Check()
	case r.File != nil:
		return solera.CheckFiles([]solera.Entry{r.File.Entry})
	case r.Entry != nil:
		return solera.CheckFiles([]solera.Entry{r.Entry.Entry})
	case r.Line != nil:
		if l := r.Line; l.N < 1 || l.Stream != "out" && l.Stream != "err" || len(l.Text) > maxLine {
			return fmt.Errorf("line %d of stream %.20q with %d bytes is none that a console has", l.N, l.Stream, len(l.Text))
		}
	case r.Points != nil:
		return r.Points.check()
	case r.Item != nil:
		if r.Item.N < 1 {
			return fmt.Errorf("item %d", r.Item.N)
		}
		return r.Item.item().Check()
	case r.Position != nil:
		if r.Position.N < 0 {
			return fmt.Errorf("position %d of %.80q", r.Position.N, r.Position.Source)
		}
		return solera.CheckSource(r.Position.Source)
	case r.Content != nil:
		if c := r.Content; c.Digest.IsZero() || c.Size < 0 {
			return fmt.Errorf("a content of %d bytes without digest", c.Size)
		}
	case r.Artifact != nil:
		return errors.Join(solera.CheckName(r.Artifact.Project), solera.CheckName(r.Artifact.Name))
	case r.Version != nil:
		return r.Version.dumpID.check()
	case r.Alias != nil:
		return errors.Join(r.Alias.dumpID.check(), solera.CheckAlias(r.Alias.Alias))
	case r.Edge != nil:
		if k := r.Edge.Kind; k != solera.Used && k != solera.Made && k != solera.Same {
			return fmt.Errorf("an edge of the kind %.20q", k)
		}
		return r.Edge.dumpID.check()
	case r.Statement != nil:
		if len(r.Statement.Envelope) == 0 {
			return errors.New("an empty statement")
		}
		return r.Statement.dumpID.check()
	case r.Key != nil:
		if r.Key.ID == "" || r.Key.Public == "" {
			return errors.New("a key without identifier or without the key")
		}
	case r.Deletion != nil:
		if x := r.Deletion; x.Digest.IsZero() || x.Planned == 0 || x.Size < 0 {
			return errors.New("a deletion without digest, size or time")
		}
	case r.Document != nil:
		return solera.Document{Kind: r.Document.Kind, ID: r.Document.ID}.Check()
	case r.Audit != nil:
		if a := r.Audit; a.N < 1 || a.Action == "" || a.Hash.IsZero() {
			return errors.New("an audit entry without number, action or hash")
		}
	}
	return nil
}

func (id dumpID) check() error {
	if id.Number < 0 {
		return fmt.Errorf("version number %d", id.Number)
	}
	return errors.Join(solera.CheckName(id.Project), solera.CheckName(id.Artifact))
}

func (p *dumpPoints) check() error {
	n := len(p.Key)
	if n == 0 || n > maxDumpPoints || p.First < 1 || len(p.Step) != n || len(p.Value) != n || len(p.Time) != n {
		return fmt.Errorf("points from %d with %d keys, %d steps, %d values and %d times", p.First, n, len(p.Step), len(p.Value), len(p.Time))
	}
	for _, key := range p.Keys {
		if key == "" || len(key) > 1024 || !utf8.ValidString(key) {
			return fmt.Errorf("metric %.80q: want 1 to 1024 bytes of UTF-8", key)
		}
	}
	for _, k := range p.Key {
		if k < 0 || k >= len(p.Keys) {
			return fmt.Errorf("point of metric %d of %d", k, len(p.Keys))
		}
	}
	return nil
}

// batchOf makes a line of points that were appended one after the other.
func batchOf(run solera.RunID, first int64, points []solera.Point) *dumpPoints {
	b := &dumpPoints{Run: run, First: first, Keys: []string{}}
	known := make(map[string]int)
	for _, p := range points {
		k, ok := known[p.Key]
		if !ok {
			k = len(b.Keys)
			known[p.Key] = k
			b.Keys = append(b.Keys, p.Key)
		}
		b.Key = append(b.Key, k)
		b.Step = append(b.Step, p.Step)
		b.Value = append(b.Value, p.Value)
		b.Time = append(b.Time, int64(p.Time))
	}
	return b
}

func (p *dumpPoints) points() []solera.Point {
	list := make([]solera.Point, len(p.Key))
	for i, k := range p.Key {
		list[i] = solera.Point{Key: p.Keys[k], Step: p.Step[i], Value: p.Value[i], Time: solera.Micros(p.Time[i])}
	}
	return list
}
