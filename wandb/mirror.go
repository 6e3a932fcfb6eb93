package wandb

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/internal/lenient"
	"github.com/solera-ml/solera/tracking"
)

// A Mirror sends runs of a store to a server: what they are, their points,
// console and files, the versions that they made and used. The store comes
// first and the server follows, whether the run goes on or ended a year ago.
//
// What was sent is remembered in documents of the store, one per run and one
// per version. Before a piece is sent, the document says which; lines follow
// from it alone, and the server puts each line at its place however often it
// comes. So a sender that was killed, or whose answers got lost, goes on
// without a gap and without a double, also when it is another process.
type Mirror struct {
	Client    *Client
	Tracker   *tracking.Tracker // of the project whose runs are sent; its Sign is not used
	Workspace string            // on the server
	Project   string            // on the server; "" = called as here

	// Say is told in a sentence what happens with a run. nil = nobody is.
	Say func(run solera.RunID, text string)
	// Stop is called when a user of the server asks a run to stop. nil = nothing
	// is done about it.
	Stop func(ctx context.Context, run solera.RunID) error
	// Every is the first pause between two looks at a run that goes on. It grows
	// to 15 times that. 0 = 1 s.
	Every time.Duration

	locks locks
}

// locks hands out a mutex per name.
type locks struct {
	mu    sync.Mutex
	named map[string]*sync.Mutex
}

func (l *locks) lock(name string) (unlock func()) {
	l.mu.Lock()
	if l.named == nil {
		l.named = map[string]*sync.Mutex{}
	}
	m := l.named[name]
	if m == nil {
		m = &sync.Mutex{}
		l.named[name] = m
	}
	l.mu.Unlock()
	m.Lock()
	return m.Unlock
}

// documentKind is of the documents that remember what was sent.
const documentKind = "mirror"

// target is the first part of a document's identifier: the server and the
// workspace that something was sent to, and the project if it has a name of its
// own there.
func (m *Mirror) target() string {
	return solera.DigestOf([]byte(m.Client.settings.URL + "\n" + m.Workspace + "\n" + m.Project)).Hex()[:16]
}

// project is what the project of a run or version is called on the server.
func (m *Mirror) project(local string) string { return cmp.Or(m.Project, local) }

// A mark is a place in what a run has recorded.
type mark struct {
	Points int64 `json:"points"` // number of the last point
	Items  int64 `json:"items"`  // of the last other value
	Lines  int64 `json:"lines"`  // of the console's last line
}

// progress is what a run's document says.
type progress struct {
	Server    string       `json:"server"`
	Workspace string       `json:"workspace"`
	Project   string       `json:"project"`
	Run       solera.RunID `json:"run"`
	Revision  int64        `json:"revision"` // counts the changes of the document

	Acked mark `json:"acked"` // the server has everything up to here
	Sent  mark `json:"sent"`  // and may have what lies between: it is sent again as one piece
	// As of Acked: lines of the two files, and the last "_step".
	Rows   int64 `json:"rows"`
	Events int64 `json:"events"`
	Step   int64 `json:"step"`

	Record   string            `json:"record"`             // digest of what was said of the run itself
	Summary  string            `json:"summary"`            // digest of the last summary
	Versions []string          `json:"versions,omitempty"` // "used wine-raw:v0": the edges that the server has
	Files    map[string]string `json:"files,omitempty"`    // path → first digits of the digest of what was sent
	Complete solera.RunState   `json:"complete,omitempty"` // the end that the server was told
	Rewound  solera.Micros     `json:"rewound"`            // when the run last forgot points; their numbers are as of then
}

// maxFilesNoted is how many files of a run are remembered as sent; a document
// has an end. Others are sent again with each sync.
const maxFilesNoted = 5000

func (m *Mirror) runDocument(id solera.RunID) string { return m.target() + "/run/" + string(id) }

// load returns the progress of a run, that of nothing sent if there is no
// document.
func (m *Mirror) load(ctx context.Context, run solera.Run) (*progress, error) {
	p := &progress{
		Server: m.Client.settings.URL, Workspace: m.Workspace, Project: m.project(run.Project), Run: run.ID, Step: -1, Rewound: run.Rewound,
	}
	err := m.Tracker.Store.View(ctx, func(tx solera.Tx) error {
		doc, err := tx.Document(documentKind, m.runDocument(run.ID))
		if errors.Is(err, solera.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return fromFields(doc.Body, p)
	})
	if err != nil {
		return nil, fmt.Errorf("what was sent of run %s: %w", run.ID, err)
	}
	return p, nil
}

func fromFields(f solera.Fields, to any) error {
	b, err := f.MarshalJSON()
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

func toFields(v any) (solera.Fields, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var f solera.Fields
	return f, json.Unmarshal(b, &f)
}

// errElsewhere says that another process sends the same run and was faster. It
// is met by reading what that process has done and going on from there.
var errElsewhere = errors.New("another process is sending this run too")

// save writes the progress down, unless another process did so since it was
// read.
func (m *Mirror) save(ctx context.Context, p *progress) error {
	next := *p
	next.Revision++
	body, err := toFields(next)
	if err != nil {
		return err
	}
	err = m.Tracker.Store.Update(ctx, func(tx solera.Tx) error {
		doc, err := tx.Document(documentKind, m.runDocument(p.Run))
		if err != nil && !errors.Is(err, solera.ErrNotFound) {
			return err
		}
		var there progress
		if err == nil {
			if err := fromFields(doc.Body, &there); err != nil {
				return err
			}
		}
		if there.Revision != p.Revision {
			return errElsewhere
		}
		_, err = tx.SetDocument(solera.Document{Kind: documentKind, ID: m.runDocument(p.Run), Body: body})
		return err
	})
	if err != nil {
		return fmt.Errorf("note what is sent of run %s: %w", p.Run, err)
	}
	p.Revision++
	return nil
}

// Sent says what became of a run.
type Sent struct {
	Run      solera.RunID `json:"run"`
	Name     string       `json:"name"`
	Ended    bool         `json:"ended"`    // the run has ended, and the server knows how
	Changed  bool         `json:"-"`        // the server learned something
	Points   int64        `json:"points"`   // sent now
	Lines    int64        `json:"lines"`    // of the console, sent now
	Files    int          `json:"files"`    // sent now
	Versions []string     `json:"versions"` // made or used, told now: "made wine-raw:v0"
	Left     []string     `json:"left"`     // what cannot be sent, and why
}

// A pass is one look at a run.
type pass struct {
	*Mirror
	run   solera.Run
	edges []solera.Edge
	files []solera.Entry
	p     *progress
	sent  Sent
	last  map[string]cell // of each key, for the summary; nil until it is needed
	stop  bool            // the server passed on that the run should stop
	pause time.Duration   // that the server asks for
	// follows: another look comes soon, with the progress of this one in memory,
	// so that not all of it needs to be written down.
	follows bool
}

// Send brings the server up to date with a run as it is now.
func (m *Mirror) Send(ctx context.Context, id solera.RunID) (Sent, error) {
	s, err := m.send(ctx, id, nil, false)
	if s == nil {
		return Sent{Run: id}, err
	}
	return s.sent, err
}

// send looks at a run and sends what is missing. before is the look before this
// one of the same process, nil if there was none.
func (m *Mirror) send(ctx context.Context, id solera.RunID, before *pass, follows bool) (*pass, error) {
	defer m.locks.lock("run " + string(id))()
	for tries := 0; ; tries++ {
		s, err := m.look(ctx, id, before)
		if err == nil {
			s.follows = follows
			err = s.all(ctx)
		}
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errElsewhere) || tries == 20 {
			return s, fmt.Errorf("run %s: %w", id, err)
		}
		before = nil
		if err := m.Client.wait(ctx, err, 0); err != nil {
			return s, err
		}
	}
}

// look reads what there is to send, as of one moment.
func (m *Mirror) look(ctx context.Context, id solera.RunID, before *pass) (*pass, error) {
	s := &pass{Mirror: m}
	err := m.Tracker.Store.View(ctx, func(tx solera.Tx) (err error) {
		if s.run, err = tx.Run(id); err != nil {
			return err
		}
		if s.edges, err = tx.Edges(solera.EdgeQuery{Run: id}); err != nil {
			return err
		}
		s.files, err = tx.RunFiles(id)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.run.State == solera.Pending {
		return nil, fmt.Errorf("%w: it has not started", solera.ErrConflict)
	}
	s.sent = Sent{Run: id, Name: s.run.Name, Versions: []string{}, Left: []string{}}
	if before != nil {
		s.p, s.last, s.pause = before.p, before.last, before.pause
	} else if s.p, err = m.load(ctx, s.run); err != nil {
		return s, err
	}
	if s.p.Rewound == s.run.Rewound {
		return s, nil
	}
	_, err = m.Client.heartbeat(ctx, m.Workspace, m.project(s.run.Project), string(id))
	switch {
	case errors.Is(err, solera.ErrNotFound):
		s.p = &progress{Server: s.p.Server, Workspace: s.p.Workspace, Project: s.p.Project, Run: id, Step: -1, Rewound: s.run.Rewound, Revision: s.p.Revision}
		s.last = nil
		return s, nil
	case err == nil:
		err = fmt.Errorf("%w: it was rewound after it had been sent, and lines cannot be taken back; delete the run on the server and sync again", solera.ErrConflict)
	}
	return s, err
}

// all sends what is missing, the end last.
func (s *pass) all(ctx context.Context) error {
	if err := s.bucket(ctx); err != nil {
		return err
	}
	if err := s.recorded(ctx); err != nil {
		return err
	}
	if err := s.versions(ctx); err != nil {
		return err
	}
	if err := s.uploads(ctx); err != nil {
		return err
	}
	return s.end(ctx)
}

// bucket tells the server what the run is, unless it knows.
func (s *pass) bucket(ctx context.Context) error {
	b := bucketOf(s.run, s.Workspace, s.project(s.run.Project))
	text, err := json.Marshal([]any{b.DisplayName, b.Notes, b.Group, b.JobType, b.Tags, b.Commit, b.Repo, solera.Fields(b.Config)})
	if err != nil {
		return err
	}
	record := solera.DigestOf(text).Short()
	if record == s.p.Record {
		return nil
	}
	if s.p.Complete != "" {
		s.p.Complete = "" // to be told anew: a server may take the run for one that goes on
	}
	if s.p.Record == "" {
		if err := s.notMyself(ctx, s.run); err != nil {
			return err
		}
	}
	if _, err := s.announce(ctx, b); err != nil {
		return err
	}
	s.p.Record, s.sent.Changed = record, true
	return s.save(ctx, s.p)
}

// announce is UpsertBucket, one at a time per run.
func (m *Mirror) announce(ctx context.Context, b Bucket) (BucketAnswer, error) {
	defer m.locks.lock("bucket " + b.Name)()
	a, err := m.Client.UpsertBucket(ctx, b)
	if err == nil && a.Workspace != "" && a.Workspace != b.Workspace {
		err = fmt.Errorf("upsertBucket: %w: the server put the run into the workspace %s and not into %s", solera.ErrConflict, a.Workspace, b.Workspace)
	}
	return a, err
}

// notMyself refuses a server that answers from the very store that is sent: each
// point that it received would be one more to send. Such a server knows the run
// before it was told, and shows signs of life that are given here: two, since
// one may be by chance.
func (m *Mirror) notMyself(ctx context.Context, run solera.Run) error {
	there, err := m.Client.heartbeat(ctx, m.Workspace, m.project(run.Project), string(run.ID))
	if errors.Is(err, solera.ErrNotFound) || err == nil && there == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range 2 {
		if i > 0 {
			if err := sleep(ctx, signsApart); err != nil {
				return err
			}
		}
		if err := m.Tracker.Store.Beat(ctx, run.ID); err != nil {
			return err
		}
		here, err := m.Tracker.Run(ctx, run.ID)
		if err != nil {
			return err
		}
		if there, err = m.Client.heartbeat(ctx, m.Workspace, m.project(run.Project), string(run.ID)); err != nil {
			return err
		}
		// Servers cut times to the second.
		if d := here.Heartbeat - there; d < -1_500_000 || d > 1_500_000 {
			return nil
		}
	}
	return fmt.Errorf("%w: the server at %s keeps its records in this very store; the run is there already", solera.ErrConflict, m.Client.settings.URL)
}

const signsApart = 3200 * time.Millisecond

// bucketOf is a run in the words of the wire.
func bucketOf(run solera.Run, workspace, project string) Bucket {
	some := func(s string) *string { return &s }
	b := Bucket{
		Workspace: workspace, Project: project, Name: string(run.ID),
		DisplayName: some(run.Name), Notes: some(run.Notes), Group: some(run.Group), JobType: some(run.Stage),
		Tags: append([]string{}, run.Tags...),
	}
	if run.Host != "" {
		b.Host = some(run.Host)
	}
	client, ok := run.Environment["client"].(map[string]any)
	if !ok {
		client = clientOf(run)
	}
	if git, ok := run.Environment["git"].(map[string]any); ok {
		if commit, ok := git["commit"].(string); ok && commit != "" {
			b.Commit = some(commit)
		}
		if remote, ok := git["remote"].(string); ok && remote != "" {
			b.Repo = some(remote)
		}
	}
	b.Config = WrapConfig(run.Params, client)
	return b
}

// clientOf is what a client says of itself: what the run runs on, and what the
// wire has no place for.
func clientOf(run solera.Run) map[string]any {
	env := run.Environment
	about := map[string]any{"host": run.Host, "startedAt": run.Started.String(), "writerId": "solera"}
	for from, to := range map[string]string{"os": "os", "cores": "cpu_count", "cpu": "cpu", "go": "go"} {
		if v, ok := env[from]; ok {
			about[to] = v
		}
	}
	if command, ok := env["command"].([]any); ok && len(command) > 0 {
		about["program"], about["args"] = command[0], command[1:]
	}
	if size, ok := env["memory_bytes"]; ok {
		about["memory"] = map[string]any{"total": size}
	}
	if git, ok := env["git"].(map[string]any); ok {
		about["git"] = map[string]any{"commit": git["commit"], "remote": git["remote"]}
	}
	own := map[string]any{"version": run.Solera, "run": string(run.ID)}
	for key, v := range map[string]string{"experiment": run.Experiment, "recipe": run.Recipe.String(), "code": run.Code.String(), "reuse_of": string(run.ReuseOf)} {
		if v != "" {
			own[key] = v
		}
	}
	platform := env.Text("os") + "-" + env.Text("arch")
	return map[string]any{
		"t":      map[string]any{"13": platform}, // by it a client knows that the run has begun
		"e":      map[string]any{"solera": about},
		"solera": own,
	}
}

// How much is sent as one piece.
const (
	pointsAtOnce = 5000
	linesAtOnce  = 2000
	itemsAtOnce  = 1000
	itemPage     = 50
	itemBytes    = 8 << 20
	postBytes    = 2 << 20
)

// recorded sends points, other values, and the console, piece by piece.
func (s *pass) recorded(ctx context.Context) error {
	for {
		if s.p.Sent == s.p.Acked {
			more, err := s.next(ctx)
			if err != nil || !more {
				return err
			}
			if err := s.save(ctx, s.p); err != nil {
				return err
			}
		}
		if err := s.piece(ctx); err != nil {
			return err
		}
	}
}

// next chooses the piece that follows, if there is something. Points and other
// values that were recorded together are in one piece, so that they can be in
// one row.
func (s *pass) next(ctx context.Context) (bool, error) {
	sent := s.p.Acked
	points, _, err := s.Tracker.Store.Since(ctx, s.run.ID, sent.Points, pointsAtOnce)
	if err != nil {
		return false, err
	}
	items, more, err := s.items(ctx, sent.Items, itemsAtOnce, itemBytes)
	if err != nil {
		return false, err
	}
	switch {
	case more: // points until the last of the items
		until := items[len(items)-1].Time
		if n := slices.IndexFunc(points, func(p solera.Point) bool { return p.Time > until }); n >= 0 {
			points = points[:n]
		}
	case len(points) == pointsAtOnce: // items until the last of the points
		until := points[len(points)-1].Time
		if n := slices.IndexFunc(items, func(i solera.Item) bool { return i.Time > until }); n >= 0 {
			items = items[:n]
		}
	}
	sent.Points += int64(len(points)) // their numbers have no gap
	if len(items) > 0 {
		sent.Items = items[len(items)-1].N
	}
	lines, err := s.Tracker.Store.Lines(ctx, s.run.ID, sent.Lines, linesAtOnce)
	if err != nil {
		return false, err
	}
	if len(lines) > 0 {
		sent.Lines = lines[len(lines)-1].N
	}
	if sent == s.p.Acked {
		return false, nil
	}
	s.p.Sent = sent
	return true, nil
}

// items returns the items after a number, about so many and of so many bytes,
// and whether there are more.
func (s *pass) items(ctx context.Context, after int64, most, size int) (items []solera.Item, more bool, err error) {
	for {
		page, err := s.Tracker.Store.Items(ctx, solera.ItemQuery{Run: s.run.ID, After: after, Limit: itemPage})
		if err != nil {
			return nil, false, err
		}
		for _, i := range page {
			size -= len(i.Value)
		}
		items = append(items, page...)
		if len(page) < itemPage {
			return items, false, nil
		}
		if len(items) >= most || size <= 0 {
			return items, true, nil
		}
		after = page[len(page)-1].N
	}
}

// piece sends what lies between Acked and Sent. It must come to the same lines
// whenever it is called for the same two.
func (s *pass) piece(ctx context.Context) error {
	var points []solera.Point
	for cursor := s.p.Acked.Points; cursor < s.p.Sent.Points; {
		some, next, err := s.Tracker.Store.Since(ctx, s.run.ID, cursor, int(min(pointsAtOnce, s.p.Sent.Points-cursor)))
		if err != nil {
			return err
		}
		if len(some) == 0 {
			return fmt.Errorf("points %d to %d: %w: they were there before", cursor+1, s.p.Sent.Points, solera.ErrCorrupt)
		}
		points, cursor = append(points, some...), next
	}
	own, system := cellsOf(points)
	others := 0
	for after := s.p.Acked.Items; after < s.p.Sent.Items; {
		page, err := s.Tracker.Store.Items(ctx, solera.ItemQuery{Run: s.run.ID, After: after, Limit: itemPage})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return fmt.Errorf("values %d to %d: %w: they were there before", after+1, s.p.Sent.Items, solera.ErrCorrupt)
		}
		for _, i := range page {
			if after = i.N; after > s.p.Sent.Items {
				break
			}
			if len(i.Value) > maxLine-2000 {
				s.sent.Left = append(s.sent.Left, fmt.Sprintf("%s at step %d: it has %d bytes, and the wire carries at most %d", i.Key, i.Step, len(i.Value), maxLine-2000))
				continue
			}
			own = append(own, itemCell(i))
			others++
		}
	}
	history, step := historyLines(own, s.run.Started, s.p.Step)
	events := eventLines(system)
	console, err := s.console(ctx)
	if err != nil {
		return err
	}
	if err := s.lines(ctx, HistoryFile, s.p.Rows, history); err != nil {
		return err
	}
	if err := s.lines(ctx, EventsFile, s.p.Events, events); err != nil {
		return err
	}
	if err := s.lines(ctx, OutputFile, s.p.Acked.Lines, console); err != nil {
		return err
	}
	s.keepLast(own)
	s.sent.Points += int64(len(points) + others)
	s.sent.Lines += int64(len(console))
	s.sent.Changed = true
	s.p.Acked, s.p.Rows, s.p.Events, s.p.Step = s.p.Sent, s.p.Rows+int64(len(history)), s.p.Events+int64(len(events)), step
	return nil
}

// console returns the lines of the piece. A line that is not there, because a
// client skipped its number, is an empty one.
func (s *pass) console(ctx context.Context) ([]string, error) {
	from, to := s.p.Acked.Lines, s.p.Sent.Lines
	if from == to {
		return nil, nil
	}
	if to-from > 1_000_000 {
		return nil, fmt.Errorf("lines %d to %d of the console: %w: more than a million at once", from+1, to, solera.ErrInvalid)
	}
	out := make([]string, to-from)
	for at := from; ; {
		lines, err := s.Tracker.Store.Lines(ctx, s.run.ID, at, linesAtOnce)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			if l.N > to {
				return out, nil
			}
			out[l.N-from-1], at = consoleLine(l), l.N
		}
		if len(lines) == 0 {
			return out, nil
		}
	}
}

// lines posts lines of one file from an offset on.
func (s *pass) lines(ctx context.Context, file string, offset int64, lines []string) error {
	for _, block := range blocks(lines, postBytes) {
		if err := s.post(ctx, Stream{Files: map[string]StreamFile{file: {offset, block}}}); err != nil {
			return err
		}
		offset += int64(len(block))
	}
	return nil
}

func (s *pass) post(ctx context.Context, body Stream) error {
	if s.pause > 0 {
		if err := sleep(ctx, s.pause); err != nil {
			return err
		}
	}
	a, err := s.Client.Stream(ctx, s.Workspace, s.project(s.run.Project), string(s.run.ID), body)
	s.stop, s.pause = s.stop || a.Stopped, a.Pause
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// keepLast notes the values that a summary shows.
func (s *pass) keepLast(cells []cell) {
	const most = 64 << 10 // bytes of a value: a summary is read for a table
	for _, c := range cells {
		if before, ok := s.last[c.key]; s.last != nil && (!ok || before.step <= c.step) && len(c.json) <= most {
			s.last[c.key] = c
		}
	}
}

// summary returns what the run says of itself, above the last value of each
// metric, which is what people who look at tables of such runs expect.
func (s *pass) summary(ctx context.Context) (string, error) {
	if s.last == nil {
		s.last = map[string]cell{}
		keys, err := s.Tracker.Store.Keys(ctx, s.run.ID)
		if err != nil {
			return "", err
		}
		for _, key := range keys {
			if isSystem(key) {
				continue
			}
			points, err := s.Tracker.Store.Series(ctx, solera.SeriesQuery{Run: s.run.ID, Key: key, Pixels: 1})
			if err != nil {
				return "", err
			}
			own, _ := cellsOf(points)
			s.keepLast(own)
		}
		for after, more := int64(0), true; more; {
			var items []solera.Item
			if items, more, err = s.items(ctx, after, itemPage, itemBytes); err != nil {
				return "", err
			}
			for _, i := range items {
				s.keepLast([]cell{itemCell(i)})
				after = i.N
			}
		}
	}
	out := map[string]any{}
	var latest solera.Micros
	for key, c := range s.last {
		out[wireKey(key)] = json.RawMessage(c.json)
		latest = max(latest, c.time)
	}
	if s.p.Step >= 0 {
		out[StepKey] = s.p.Step
		out[TimeKey] = json.RawMessage(seconds(latest))
		out[RuntimeKey] = json.RawMessage(seconds(max(0, latest-s.run.Started)))
	}
	if end := s.run.Finished; end != 0 {
		out[ClientKey] = map[string]any{"runtime": int64(max(0, end-s.run.Started) / 1e6)}
	}
	maps.Copy(out, s.run.Summary)
	return encodeSummary(out)
}

// encodeSummary is Encode for values among which some are JSON already, with
// bare words in it, which encoding/json would refuse.
func encodeSummary(values map[string]any) (string, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, key := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := lenient.Append(nil, key)
		if err != nil {
			return "", err
		}
		value, raw := values[key].(json.RawMessage)
		if !raw {
			if value, err = Encode(values[key]); err != nil {
				return "", fmt.Errorf("summary: %s: %w", clipped(key), err)
			}
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.String(), nil
}

// uploads sends the files of the run that the server does not have.
func (s *pass) uploads(ctx context.Context) error {
	var uploaded []string
	for _, e := range s.files {
		if s.p.Files[e.Path] == e.Digest.Short() {
			continue
		}
		if e.Ref != "" {
			s.sent.Left = append(s.sent.Left, e.Path+": it is an external file")
			continue
		}
		if err := s.Client.UploadRunFile(ctx, s.Workspace, s.project(s.run.Project), string(s.run.ID), s.content(e)); err != nil {
			return err
		}
		if s.p.Files == nil {
			s.p.Files = map[string]string{}
		}
		if len(s.p.Files) < maxFilesNoted {
			s.p.Files[e.Path] = e.Digest.Short()
		}
		uploaded = append(uploaded, e.Path)
		s.sent.Files++
		s.sent.Changed = true
	}
	if len(uploaded) == 0 {
		return nil
	}
	if err := s.post(ctx, Stream{Uploaded: uploaded}); err != nil {
		return err
	}
	return s.save(ctx, s.p)
}

// end sends the summary, and how the run ended if it has.
func (s *pass) end(ctx context.Context) error {
	summary, err := s.summary(ctx)
	if err != nil {
		return err
	}
	var body Stream
	digest := solera.DigestOf([]byte(summary)).Short()
	if digest != s.p.Summary {
		body.Files = map[string]StreamFile{SummaryFile: {0, []string{summary}}}
	}
	// A crashed run says nothing more, here as there: a server finds out by
	// itself, and the run may come back.
	if state := s.run.State; state.Ended() && state != solera.Crashed && state != s.p.Complete {
		body.Complete, body.ExitCode = true, exitCode(state)
		s.p.Complete = state
	}
	s.sent.Ended = s.run.State.Ended()
	switch {
	case body.Files != nil || body.Complete:
		if err := s.post(ctx, body); err != nil {
			return err
		}
		s.p.Summary, s.sent.Changed = digest, true
	case s.run.State == solera.Running && s.sent.Points+s.sent.Lines == 0:
		return s.post(ctx, Stream{}) // it lives
	case s.sent.Points+s.sent.Lines == 0:
		return nil
	}
	if s.follows && !s.sent.Ended {
		return nil
	}
	return s.save(ctx, s.p)
}

// exitCode is how a process would have ended that did what the run did.
func exitCode(state solera.RunState) *int {
	code := map[solera.RunState]int{solera.Finished: 0, solera.Failed: 1, solera.Killed: 255}[state]
	return &code
}

// Forget makes the mirror take a run and the versions that it made for not sent:
// the server lost them, or another took its place. What the server still has
// of them is not made twice, but lines that it numbered otherwise may be.
func (m *Mirror) Forget(ctx context.Context, id solera.RunID) error {
	return m.Tracker.Store.Update(ctx, func(tx solera.Tx) error {
		edges, err := tx.Edges(solera.EdgeQuery{Run: id})
		if err != nil {
			return err
		}
		documents := []string{m.runDocument(id)}
		for _, e := range edges {
			if e.Kind != solera.Used {
				documents = append(documents, m.versionDocument(e.Version))
			}
		}
		for _, name := range documents {
			if err := tx.DeleteDocument(documentKind, name); err != nil && !errors.Is(err, solera.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

// Behind returns the runs of the list, and those that must come with them: that
// their inputs come from, and that made earlier versions of the same artifacts,
// without those that need not be sent: pending, deleted, or taken from this
// very server. The oldest come first.
func (m *Mirror) Behind(ctx context.Context, ids ...solera.RunID) ([]solera.Run, error) {
	var out []solera.Run
	err := m.Tracker.Store.View(ctx, func(tx solera.Tx) error {
		out = nil
		seen := map[solera.RunID]bool{}
		todo := slices.Clone(ids)
		for len(todo) > 0 {
			id := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if seen[id] {
				continue
			}
			seen[id] = true
			run, err := tx.Run(id)
			if err != nil {
				return err
			}
			if !m.wanted(run) {
				continue
			}
			out = append(out, run)
			edges, err := tx.Edges(solera.EdgeQuery{Run: id})
			if err != nil {
				return err
			}
			for _, e := range edges {
				line, err := tx.Versions(solera.VersionQuery{Project: e.Version.Project, Artifact: e.Version.Artifact})
				if err != nil {
					return err
				}
				for _, v := range line {
					if v.Number <= e.Version.Number {
						todo = append(todo, v.Run)
					}
				}
			}
			if run.ReuseOf != "" {
				todo = append(todo, run.ReuseOf)
			}
		}
		return nil
	})
	slices.SortFunc(out, func(a, b solera.Run) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), strings.Compare(string(a.ID), string(b.ID)))
	})
	return out, err
}

func (m *Mirror) wanted(run solera.Run) bool {
	return run.State != solera.Pending && run.Deleted == 0 && !m.fetchedHere(run)
}

// Follow sends a run that goes on, as it goes on, and returns when it has ended
// and all is sent, or with an error that is final, or at the end of ctx. A value
// from hurry makes it look at once, and from then on without a pause: the runs
// of the process have ended.
func (m *Mirror) Follow(ctx context.Context, id solera.RunID, hurry <-chan struct{}) (Sent, error) {
	first := m.Every
	if first == 0 {
		first = time.Second
	}
	total := Sent{Run: id, Versions: []string{}, Left: []string{}}
	var before *pass
	for wait := first; ; wait = min(wait*3/2, 15*first) {
		s, err := m.send(ctx, id, before, true)
		if s != nil {
			total = total.plus(s.sent)
		}
		if err != nil || s.sent.Ended {
			return total, err
		}
		if s.stop && m.Stop != nil {
			if err := m.Stop(ctx, id); err != nil {
				m.say(id, "the server asks the run to stop: "+err.Error())
			}
		}
		before = s
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return total, context.Cause(ctx)
		case <-hurry:
			t.Stop()
			hurry, wait = nil, first
		case <-t.C:
		}
	}
}

// plus adds what a later look sent.
func (s Sent) plus(next Sent) Sent {
	s.Name, s.Ended, s.Left = next.Name, next.Ended, next.Left
	s.Changed = s.Changed || next.Changed
	s.Points += next.Points
	s.Lines += next.Lines
	s.Files += next.Files
	s.Versions = append(s.Versions, next.Versions...)
	return s
}
