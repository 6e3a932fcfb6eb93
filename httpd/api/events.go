package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/live"
	"github.com/solera-ml/solera/tracking"
)

// A stream of events waits for nobody: what it has not sent yet is in the
// store, so a slow reader costs its goroutine and one page of points, however
// long it sleeps.
const (
	lookEvery   = time.Second // others write too, whose bell is not ours
	lookRest    = 100 * time.Millisecond
	pingEvery   = 15 * time.Second
	writeWithin = 30 * time.Second
	mostFollow  = 200    // runs of one stream
	pointsPage  = 2_000  // read at once
	linesPage   = 200    //
	changesPage = 1_000  // entries of the audit log
	mostBehind  = 10_000 // entries after which a reader had better start afresh
)

// HelloEvent begins a stream. Unless it goes on where an earlier one ended, its
// reader has to ask for the state of things once more. It also comes later, when
// what a reader has is not what there is any more: a run was rewound.
type HelloEvent struct {
	Resumed bool `json:"resumed"`
}

// PointsEvent has new points of a run.
type PointsEvent struct {
	Run    string       `json:"run"`
	Points []EventPoint `json:"points"`
	Cursor int64        `json:"cursor"` // number of the last of them, as Series.Cursor
}

// An EventPoint is one value of a metric.
type EventPoint struct {
	Key   string  `json:"key"`
	Step  int64   `json:"step"`
	Value Number  `json:"value"`
	Time  float64 `json:"time"` // seconds since 1970
}

// LinesEvent has new lines of a run's console.
type LinesEvent struct {
	Run   string        `json:"run"`
	Lines []solera.Line `json:"lines"`
}

func (s *service) eventRoutes() {
	registry := s.huma.OpenAPI().Components.Schemas
	ref := func(t reflect.Type) *huma.Schema { return registry.Schema(t, true, "") }
	add(s, route{
		method: http.MethodGet, path: "/events", id: "follow-events", tag: "events", role: auth.Viewer,
		summary: "Follow runs and a project, as server-sent events: hello, points, lines, run (a RunRow), ping",
		media: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{
			Description: "the data of one event",
			OneOf: []*huma.Schema{
				ref(reflect.TypeFor[HelloEvent]()), ref(reflect.TypeFor[PointsEvent]()),
				ref(reflect.TypeFor[LinesEvent]()), ref(reflect.TypeFor[RunRow]()),
			},
		}}},
	},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InWorkspace
			Runs    []string `query:"runs" doc:"IDs of runs, at most 200. ID:POINT:LINE begins after those numbers instead of now"`
			Project string   `query:"project" maxLength:"128" doc:"tell of every run of this project that is made or changed"`
			Last    string   `header:"Last-Event-ID" maxLength:"16384" doc:"goes on after that event; browsers send it by themselves"`
		},
		) (*huma.StreamResponse, error) {
			// Before anything is read: a flood shall cost the database nothing.
			select {
			case s.streams <- struct{}{}:
			default:
				return nil, &huma.ErrorModel{
					Status: http.StatusServiceUnavailable, Title: http.StatusText(http.StatusServiceUnavailable),
					Detail: "too many event streams are open; close some, or ask for fewer",
				}
			}
			f, err := newFollower(ctx, t, in.Runs, in.Project, in.Last)
			if err != nil {
				<-s.streams
				return nil, err
			}
			return &huma.StreamResponse{Body: func(c huma.Context) {
				defer func() { <-s.streams }()
				r, w := humago.Unwrap(c)
				f.out = &eventWriter{w: w, control: http.NewResponseController(w)}
				var bell *live.Bell
				if s.Bell != nil {
					bell = s.Bell(in.Workspace)
				}
				err := s.follow(r.Context(), f, bell)
				if err != nil && r.Context().Err() == nil && !errors.Is(err, errStopped) {
					s.Log.WarnContext(r.Context(), "event stream ended", "error", err)
				}
			}}, nil
		})
}

// A follower knows what one stream has told.
type follower struct {
	tracker *tracking.Tracker
	project string
	runs    []followed
	changes int64 // number of the last entry of the audit log that was looked at
	resumed bool
	out     *eventWriter
}

type followed struct {
	id       solera.RunID
	recorder solera.RunID // that has its points
	point    int64
	line     int64
	rewound  solera.Micros // of the recorder; the numbers of its points count from then
	summary  string        // JSON of what was told, "" = nothing yet
	ended    bool          // and all of it was told
}

func newFollower(ctx context.Context, t *tracking.Tracker, runs []string, project, last string) (*follower, error) {
	f := &follower{tracker: t, project: project}
	if project != "" {
		if err := solera.CheckName(project); err != nil {
			return nil, wrong("query.project", project, err)
		}
	}
	if len(runs) > mostFollow {
		return nil, invalid("query.runs", len(runs), "at most %d runs in one stream", mostFollow)
	}
	if len(runs) == 0 && project == "" {
		return nil, invalid("query.runs", "", "name runs, or a project")
	}
	begin, err := readCursors(last, len(runs))
	if f.resumed = err == nil && last != ""; f.resumed {
		f.changes = begin[0]
	}
	if newest, err := newestChange(ctx, t); err != nil {
		return nil, err
	} else if !f.resumed || f.changes > newest {
		f.changes, f.resumed = newest, false
	}
	for i, text := range runs {
		at := fmt.Sprintf("query.runs[%d]", i)
		id, rest, placed := strings.Cut(text, ":")
		one := followed{id: solera.RunID(id)}
		if one.recorder, err = recorderOf(ctx, t, id); err != nil {
			return nil, wrong(at, id, err)
		}
		if run, err := t.Run(ctx, one.recorder); err == nil {
			one.rewound = run.Rewound
		} else if !errors.Is(err, solera.ErrNotFound) {
			return nil, err
		}
		switch {
		case f.resumed:
			one.point, one.line, one.rewound = begin[1+3*i], begin[2+3*i], solera.Micros(begin[3+3*i])
		case placed:
			point, line, _ := strings.Cut(rest, ":")
			if one.point, err = strconv.ParseInt(point, 10, 64); err != nil || one.point < 0 {
				return nil, invalid(at, text, "want ID:POINT:LINE with numbers")
			}
			if line != "" {
				if one.line, err = strconv.ParseInt(line, 10, 64); err != nil || one.line < 0 {
					return nil, invalid(at, text, "want ID:POINT:LINE with numbers")
				}
			}
		default:
			if one.point, err = t.Store.Last(ctx, one.recorder); err != nil {
				return nil, err
			}
			if one.line, err = lastLine(ctx, t, one.recorder); err != nil {
				return nil, err
			}
		}
		f.runs = append(f.runs, one)
	}
	return f, nil
}

// lastLine finds the number of the last line that a run printed.
func lastLine(ctx context.Context, t *tracking.Tracker, run solera.RunID) (int64, error) {
	after := func(n int64) (bool, error) {
		lines, err := t.Console(ctx, run, n, 1)
		return len(lines) > 0, err
	}
	if some, err := after(0); err != nil || !some {
		return 0, err
	}
	low, high := int64(0), int64(1) // there is a line after low
	for {
		more, err := after(high)
		if err != nil {
			return 0, err
		}
		if !more {
			break
		}
		low, high = high, 2*high
	}
	for low+1 < high {
		middle := low + (high-low)/2
		more, err := after(middle)
		if err != nil {
			return 0, err
		}
		if more {
			low = middle
		} else {
			high = middle
		}
	}
	return high, nil
}

// cursors returns the text from which readCursors makes where f stands. Runs
// are in the order in which they were asked for: a browser that reconnects asks
// for the same address again.
func (f *follower) cursors() string {
	b := strconv.AppendInt([]byte("2_"), f.changes, 10)
	for _, r := range f.runs {
		b = append(b, '_')
		b = strconv.AppendInt(b, r.point, 10)
		b = append(b, '_')
		b = strconv.AppendInt(b, r.line, 10)
		b = append(b, '_')
		b = strconv.AppendInt(b, int64(r.rewound), 10)
	}
	return string(b)
}

func readCursors(text string, runs int) ([]int64, error) {
	parts := strings.Split(text, "_")
	if parts[0] != "2" || len(parts) != 2+3*runs {
		return nil, solera.ErrInvalid
	}
	var numbers []int64
	for _, part := range parts[1:] {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil || n < 0 {
			return nil, solera.ErrInvalid
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

func newestChange(ctx context.Context, t *tracking.Tracker) (int64, error) {
	entries, err := auditOf(ctx, t, solera.AuditQuery{Newest: true, Limit: 1})
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	return entries[0].N, nil
}

func auditOf(ctx context.Context, t *tracking.Tracker, q solera.AuditQuery) (entries []solera.AuditEntry, err error) {
	err = t.Store.View(ctx, func(tx solera.Tx) (err error) {
		entries, err = tx.Audit(q)
		return err
	})
	return entries, err
}

var errStopped = errors.New("the server stops")

// follow tells what happens until the reader goes away or the server stops.
func (s *service) follow(ctx context.Context, f *follower, bell *live.Bell) error {
	var rings <-chan struct{}
	if bell != nil {
		var topics []string
		for _, r := range f.runs {
			topics = append(topics, live.RunTopic(r.id), live.RunTopic(r.recorder))
		}
		if f.project != "" {
			topics = append(topics, live.ProjectTopic(f.project))
		}
		slices.Sort(topics)
		listener := bell.Listen(slices.Compact(topics)...)
		defer listener.Close()
		rings = listener.C
	}
	f.out.begin()
	if err := f.out.event("hello", "", HelloEvent{f.resumed}); err != nil {
		return err
	}
	look, ping := time.NewTicker(lookEvery), time.NewTicker(pingEvery)
	defer look.Stop()
	defer ping.Stop()
	for {
		if err := f.look(ctx); err != nil {
			return err
		}
		// Writers may ring a thousand times a second.
		select {
		case <-time.After(lookRest):
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Done:
			return errStopped
		}
		select {
		case <-rings:
		case <-look.C:
		case <-ping.C:
			if err := f.out.event("ping", "", struct{}{}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Done:
			return errStopped
		}
	}
}

// look tells what is new. The changes of records come last: when a reader
// learns that a run has ended, it has all of its points.
func (f *follower) look(ctx context.Context) error {
	changes, changed, err := f.changed(ctx)
	if err != nil {
		return err
	}
	for i := range f.runs {
		r := &f.runs[i]
		if slices.Contains(changed, r.id) || slices.Contains(changed, r.recorder) {
			r.ended = false
		}
		if !r.ended {
			if err := f.lookAt(ctx, r); err != nil {
				return err
			}
		}
	}
	for _, id := range changed {
		run, err := f.tracker.Run(ctx, id)
		if errors.Is(err, solera.ErrNotFound) {
			continue // gc removed it
		}
		if err != nil {
			return err
		}
		mine := run.Project == f.project || slices.ContainsFunc(f.runs, func(r followed) bool { return r.id == id })
		if mine {
			if err := f.out.event("run", "", rowOf(run, nil)); err != nil {
				return err
			}
		}
	}
	if f.changes == changes {
		return nil
	}
	f.changes = changes
	return f.out.id(f.cursors())
}

// changed returns the runs whose records changed since the last look, from the
// audit log: each change of a run has an entry.
func (f *follower) changed(ctx context.Context) (last int64, runs []solera.RunID, err error) {
	last = f.changes
	for seen := 0; ; {
		entries, err := auditOf(ctx, f.tracker, solera.AuditQuery{After: last, Limit: changesPage})
		if err != nil {
			return 0, nil, err
		}
		for _, e := range entries {
			last = e.N
			if strings.HasPrefix(e.Action, "run.") && !slices.Contains(runs, solera.RunID(e.Subject)) {
				runs = append(runs, solera.RunID(e.Subject))
			}
		}
		if seen += len(entries); len(entries) < changesPage {
			return last, runs, nil
		}
		if seen >= mostBehind {
			if last, err = newestChange(ctx, f.tracker); err != nil {
				return 0, nil, err
			}
			return last, nil, f.out.event("hello", "", HelloEvent{})
		}
	}
}

func (f *follower) lookAt(ctx context.Context, r *followed) error {
	// The state first: what a run wrote before it ended is there once it is seen
	// to have ended.
	run, err := f.tracker.Run(ctx, r.recorder)
	if errors.Is(err, solera.ErrNotFound) {
		r.ended = true
		return nil
	}
	if err != nil {
		return err
	}
	if run.Rewound != r.rewound {
		// The numbers that it knows name other points by now, or none.
		if err := f.again(ctx, r, run.Rewound); err != nil {
			return err
		}
	}
	for more := true; more; {
		points, next, err := f.tracker.Store.Since(ctx, r.recorder, r.point, pointsPage)
		if err != nil {
			return err
		}
		if more = len(points) == pointsPage; len(points) == 0 {
			break
		}
		e := PointsEvent{Run: string(r.id), Cursor: next, Points: make([]EventPoint, len(points))}
		for i, p := range points {
			e.Points[i] = EventPoint{p.Key, p.Step, Number(p.Value), float64(p.Time) / 1e6}
		}
		r.point = next
		if err := f.out.event("points", f.cursors(), e); err != nil {
			return err
		}
	}
	for more := true; more; {
		lines, err := f.tracker.Console(ctx, r.recorder, r.line, linesPage)
		if err != nil {
			return err
		}
		if more = len(lines) == linesPage; len(lines) == 0 {
			break
		}
		r.line = lines[len(lines)-1].N
		if err := f.out.event("lines", f.cursors(), LinesEvent{string(r.id), lines}); err != nil {
			return err
		}
	}
	r.ended = run.State.Ended()
	return f.summary(r, run)
}

// again tells the reader of a run that was rewound to read it once more, and goes
// on with what comes now.
func (f *follower) again(ctx context.Context, r *followed, rewound solera.Micros) error {
	last, err := f.tracker.Store.Last(ctx, r.recorder)
	if err != nil {
		return err
	}
	r.point, r.rewound = last, rewound
	return f.out.event("hello", f.cursors(), HelloEvent{})
}

// summary tells what a run says of itself now: one that is reported changes that
// without a word in the audit log.
func (f *follower) summary(r *followed, run solera.Run) error {
	text, err := run.Summary.MarshalJSON()
	if err != nil || string(text) == r.summary {
		return err
	}
	first := r.summary == ""
	if r.summary = string(text); first || r.id != r.recorder {
		return nil
	}
	return f.out.event("run", "", rowOf(run, nil))
}

// An eventWriter writes one event after the other. It gives up on a reader that
// takes nothing for long.
type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	buffer  bytes.Buffer
}

func (e *eventWriter) begin() {
	h := e.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // a proxy that keeps events back defeats them
	_ = e.control.SetReadDeadline(time.Time{})
	e.w.WriteHeader(http.StatusOK)
}

func (e *eventWriter) event(name, id string, data any) error {
	e.buffer.Reset()
	fmt.Fprintf(&e.buffer, "event: %s\n", name)
	if id != "" {
		fmt.Fprintf(&e.buffer, "id: %s\n", id)
	}
	e.buffer.WriteString("data: ")
	if err := writeJSON(&e.buffer, data); err != nil { // one line, with its end
		return err
	}
	return e.send()
}

// id tells where a reader may go on without an event to carry it.
func (e *eventWriter) id(id string) error {
	e.buffer.Reset()
	fmt.Fprintf(&e.buffer, "id: %s\n", id)
	return e.send()
}

func (e *eventWriter) send() error {
	e.buffer.WriteByte('\n')
	_ = e.control.SetWriteDeadline(time.Now().Add(writeWithin))
	if _, err := e.w.Write(e.buffer.Bytes()); err != nil {
		return err
	}
	if e.buffer.Cap() > 1<<20 {
		e.buffer = bytes.Buffer{}
	}
	return e.control.Flush()
}
