package wandb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

// Names of what a run sends, by which the store counts its lines.
const (
	historySource = "history"
	eventsSource  = "events"
	consoleSource = "console"
)

// fileStream answers POST /files/{entity}/{project}/{run}/file_stream, by which
// a run tells what it does and that it lives. The answer comes when all of it is
// on disk.
func (s *service) fileStream(w http.ResponseWriter, r *http.Request) {
	c := s.call(r)
	c.operation = "file_stream"
	run, err := s.streamed(w, r, c)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	answer := "{}\n"
	if run.Stopping != 0 && !run.State.Ended() {
		answer = `{"stopped": true}` + "\n"
	}
	_, _ = w.Write([]byte(answer)) // who asked may be gone
}

func (s *service) streamed(w http.ResponseWriter, r *http.Request, c *call) (solera.Run, error) {
	sp, err := c.enter(r.PathValue("entity"), auth.Editor)
	if err != nil {
		return solera.Run{}, err
	}
	run, err := s.findRun(c, sp, tracking.InwardName(r.PathValue("project")), r.PathValue("run"))
	if err != nil {
		return solera.Run{}, err
	}
	leave, err := s.room(r)
	if err != nil {
		return solera.Run{}, err
	}
	defer leave()
	body, err := readBody(w, r)
	if err != nil {
		return solera.Run{}, err
	}
	q, err := parseStream(string(body))
	if err != nil {
		return solera.Run{}, fmt.Errorf("body: %w: %v", solera.ErrInvalid, err)
	}
	st := &stream{service: s, c: c, sp: sp, run: run}
	if r.Header.Get("X-Wandb-Use-Async-Filestream") == "true" {
		st.client = cmpFirst(r.Header.Get("X-Wandb-Async-Client-Id"), r.Header.Get("X-Wandb-Client-Id"))
		if len(st.client) > 128 {
			return solera.Run{}, fmt.Errorf("X-WANDB-ASYNC-CLIENT-ID: %w: it is longer than 128 bytes", solera.ErrInvalid)
		}
	}
	err = st.take(q)
	return st.run, err
}

func cmpFirst(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// A stream is what one request tells of a run.
type stream struct {
	service *service
	c       *call
	sp      *space
	run     solera.Run
	client  string // one of several writers of the run; "" for the only one
}

// take stores a request. It is read whole before anything is stored.
func (st *stream) take(q streamRequest) error {
	for name, b := range q.files {
		switch name {
		case historyFile, eventsFile, summaryFile, consoleFile:
		default:
			_ = b
			st.service.Unknown("file_stream." + name)
		}
	}
	summary, err := st.summary(q.files[summaryFile])
	if err != nil {
		return err
	}
	var events rows
	var firstEvent solera.Micros
	for i, line := range q.files[eventsFile].lines {
		at, err := events.event(line)
		if err != nil {
			return badLine(eventsFile, q.files[eventsFile].offset, i, err)
		}
		if i == 0 {
			firstEvent = at
		}
	}
	batch := solera.Batch{Run: st.run.ID, Summary: summary, Beat: true}
	console := q.files[consoleFile]
	if st.client == "" {
		for i, line := range console.lines {
			batch.Lines = append(batch.Lines, consoleLine(console.offset+int64(i)+1, line))
		}
		if err := st.history(batch, q.files[historyFile], false); err != nil {
			return err
		}
	} else {
		unlock := st.service.writers.lock(st.sp.name + "/" + string(st.run.ID))
		err := st.shared(batch, q.files[historyFile], console)
		unlock()
		if err != nil {
			return err
		}
	}
	if b := q.files[eventsFile]; len(b.lines) > 0 {
		if err := st.events(b, events.points, firstEvent); err != nil {
			return err
		}
	}
	if q.complete {
		return st.finish(q.exitCode)
	}
	return nil
}

func badLine(file string, offset int64, i int, err error) error {
	return fmt.Errorf("%s, line %d: %w: %v", file, offset+int64(i), solera.ErrInvalid, err)
}

// report stores a batch, and notes how the run is then.
func (st *stream) report(b solera.Batch) error {
	run, err := st.sp.in(st.run.Project).Report(st.c.ctx, b)
	if err == nil {
		st.run = run
	}
	return err
}

// history reports a block of the history together with what else batch has.
func (st *stream) history(batch solera.Batch, b block, assigned bool) error {
	if len(b.lines) == 0 {
		return st.report(batch)
	}
	read := func(skip int64) (rows, error) {
		var h rows
		for i, line := range b.lines[skip:] {
			n := b.offset + skip + int64(i)
			if err := h.history(line, n, assigned); err != nil {
				return rows{}, badLine(historyFile, b.offset, int(skip)+i, err)
			}
		}
		return h, nil
	}
	h, err := read(0)
	if err != nil {
		return err
	}
	return st.count(batch, historySource, b.offset, int64(len(b.lines)), func(skip int64, batch *solera.Batch) error {
		if skip > 0 {
			if h, err = read(skip); err != nil {
				return err
			}
		}
		batch.Points, batch.Items = h.points, h.items
		return nil
	})
}

// count reports the lines from offset on of a source. The client repeats lines
// whose answer it did not get: those that the store has are left out. Lines that
// come after a gap are refused, since what is missing can only come before.
func (st *stream) count(batch solera.Batch, source string, offset, n int64, fill func(skip int64, batch *solera.Batch) error) error {
	ctx := st.c.ctx
	t := st.sp.in(st.run.Project)
	batch.Source = source
	skip := int64(0)
	for tries := 0; ; tries++ {
		b := batch
		b.From, b.Count = offset+skip, n-skip
		if b.Count == 0 {
			b.Source, b.From = "", 0
		}
		if err := fill(skip, &b); err != nil {
			return err
		}
		err := st.report(b)
		if !errors.Is(err, solera.ErrConflict) || tries == 10 {
			return err
		}
		have, err2 := t.Store.Position(ctx, st.run.ID, source)
		switch {
		case err2 != nil:
			return err2
		case have < offset:
			// Later tries would meet the same gap.
			return fmt.Errorf("%s of run %s: %w: the lines from %d on came, and %d to %d are missing",
				source, st.run.ID, solera.ErrInvalid, offset, have, offset-1)
		}
		skip = min(have-offset, n)
	}
}

// events reports the load of the machine. A client that goes on with a run
// without having asked how far it was counts from 0 again: its lines are known
// by their time.
func (st *stream) events(b block, points []solera.Point, first solera.Micros) error {
	source := st.source(eventsSource)
	n := int64(len(b.lines))
	have, err := st.sp.t.Store.Position(st.c.ctx, st.run.ID, source)
	if err != nil {
		return err
	}
	if b.offset < have && first != 0 {
		newest, err := st.newestEvent(points)
		if err != nil {
			return err
		}
		if first > newest {
			b.offset = have
		}
	}
	if b.offset > have {
		b.offset = have // a gap in the load of a machine is no harm
	}
	return st.count(solera.Batch{Run: st.run.ID}, source, b.offset, n, func(skip int64, batch *solera.Batch) error {
		if skip > 0 {
			var rest rows
			for _, line := range b.lines[skip:] {
				if _, err := rest.event(line); err != nil {
					return err
				}
			}
			points = rest.points
		}
		batch.Points = points
		return nil
	})
}

// newestEvent returns the time of the last point of the metrics of points.
func (st *stream) newestEvent(points []solera.Point) (solera.Micros, error) {
	var newest solera.Micros
	seen := map[string]bool{}
	for _, p := range points {
		if seen[p.Key] || len(seen) > 3 {
			continue
		}
		seen[p.Key] = true
		series, err := st.sp.t.Store.Series(st.c.ctx, solera.SeriesQuery{Run: st.run.ID, Key: p.Key})
		if err != nil {
			return 0, err
		}
		for _, q := range series {
			newest = max(newest, q.Time)
		}
	}
	return newest, nil
}

// source is the name of a source of this writer.
func (st *stream) source(name string) string {
	if st.client == "" {
		return name
	}
	return name + "/" + strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(st.client, "_"))
}

// shared reports what one of several writers of a run sends. Their rows have no
// step: the server counts them in the order in which they come. Each writer
// numbers its own lines, from where the run stood when it came. Whoever calls
// holds the lock of the run, so that no two rows get one step.
func (st *stream) shared(batch solera.Batch, b, console block) error {
	ctx := st.c.ctx
	t := st.sp.in(st.run.Project)
	if n := int64(len(console.lines)); n > 0 {
		source := st.source(consoleSource)
		if _, err := st.begin(source, console.offset); err != nil {
			return err
		}
		lines := solera.Batch{Run: st.run.ID}
		have, err := t.Store.Position(ctx, st.run.ID, source)
		if err != nil {
			return err
		}
		// A line that is written anew has its place among those of others.
		if from := min(max(have, console.offset), console.offset+n); from < console.offset+n {
			err := st.count(lines, source, from, console.offset+n-from, func(skip int64, batch *solera.Batch) error {
				batch.Lines = nil
				for _, line := range console.lines[from-console.offset+skip:] {
					batch.Lines = append(batch.Lines, consoleLine(0, line))
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	if len(b.lines) == 0 {
		return st.report(batch)
	}
	source := st.source(historySource)
	if _, err := st.begin(source, b.offset); err != nil {
		return err
	}
	next, err := st.service.nextStep(ctx, st.sp, st.run.ID)
	if err != nil {
		return err
	}
	return st.count(batch, source, b.offset, int64(len(b.lines)), func(skip int64, batch *solera.Batch) error {
		var h rows
		for i, line := range b.lines[skip:] {
			if err := h.history(line, next+int64(i), true); err != nil {
				return badLine(historyFile, b.offset, int(skip)+i, err)
			}
		}
		batch.Points, batch.Items = h.points, h.items
		return nil
	})
}

// begin notes where a writer that is new begins to count.
func (st *stream) begin(source string, offset int64) (int64, error) {
	have, err := st.sp.t.Store.Position(st.c.ctx, st.run.ID, source)
	if err != nil || have > 0 || offset == 0 {
		return have, err
	}
	err = st.sp.t.Store.Update(st.c.ctx, func(tx solera.Tx) error {
		return tx.SetPosition(st.run.ID, source, offset)
	})
	return offset, err
}

// summary returns what the run says of itself: the last line is the truth.
func (st *stream) summary(b block) (solera.Fields, error) {
	if len(b.lines) == 0 {
		return nil, nil
	}
	last := len(b.lines) - 1
	v, err := decode([]byte(b.lines[last]))
	if err != nil {
		return nil, badLine(summaryFile, b.offset, last, err)
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, badLine(summaryFile, b.offset, last, errNoObject)
	}
	summary := fieldsOf(m)
	if st.client != "" { // each writer tells what it knows
		merged := maps.Clone(st.run.Summary)
		if merged == nil {
			merged = solera.Fields{}
		}
		maps.Copy(merged, summary)
		summary = merged
	}
	return summary, nil
}

// finish ends the run.
func (st *stream) finish(exitCode int64) error {
	t := st.sp.in(st.run.Project)
	run, err := t.Run(st.c.ctx, st.run.ID)
	if err != nil || run.State.Ended() && run.State != solera.Crashed {
		return err
	}
	h, err := t.Resume(st.c.ctx, run.ID)
	if err != nil {
		return err
	}
	var cause error
	if exitCode != 0 {
		cause = fmt.Errorf("exit code %d", exitCode)
		if run.Stopping != 0 || exitCode == interrupted {
			cause = fmt.Errorf("exit code %d: %w", exitCode, solera.ErrStopped)
		}
	}
	return h.Finish(st.c.ctx, cause, run.Summary)
}

// interrupted is the exit code of a script that Ctrl-C ended.
const interrupted = 255

// writers has a lock per run that several processes write.
type writers struct {
	mu    sync.Mutex
	locks map[string]*writer
}

type writer struct {
	sync.Mutex
	users int
}

func (w *writers) lock(name string) (unlock func()) {
	w.mu.Lock()
	if w.locks == nil {
		w.locks = map[string]*writer{}
	}
	l := w.locks[name]
	if l == nil {
		l = &writer{}
		w.locks[name] = l
	}
	l.users++
	w.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		w.mu.Lock()
		defer w.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(w.locks, name)
		}
	}
}

// nextStep returns the step after the last of a run's history.
func (s *service) nextStep(ctx context.Context, sp *space, run solera.RunID) (int64, error) {
	last, err := lastStep(ctx, sp, run)
	return last + 1, err
}

// isHistory reports whether a key is part of the history.
func isHistory(key string) bool { return !strings.HasPrefix(key, systemPrefix) }

// historyKeysOf returns the keys of a run's history: those of numbers, and
// those of other values.
func historyKeysOf(ctx context.Context, sp *space, run solera.RunID) (numbers, others []string, err error) {
	if numbers, err = sp.t.Store.Keys(ctx, run); err != nil {
		return nil, nil, err
	}
	if others, err = sp.t.Store.ItemKeys(ctx, run); err != nil {
		return nil, nil, err
	}
	numbers = slices.DeleteFunc(numbers, func(key string) bool { return !isHistory(key) })
	others = slices.DeleteFunc(others, func(key string) bool { return key == alertKey })
	return numbers, others, nil
}
