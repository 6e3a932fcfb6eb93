package tracking

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// A run whose process is elsewhere is reported by a server that speaks the
// protocol of its client. It has no goroutine that tells of its life: what is
// reported does. Its Environment has "client", what the client keeps with the
// run in its own form; that is how such a run is known. Names that its client
// gave, and that cannot be an ID here, are in "client_name".
const (
	clientField     = "client"
	clientNameField = "client_name"
)

// IsRemote reports whether the process of a run is elsewhere, and reported by a
// server.
func IsRemote(r solera.Run) bool {
	_, ok := r.Environment[clientField]
	return ok
}

// OutwardName returns the identifier under which the client of a run knows it.
func OutwardName(r solera.Run) string {
	return cmp.Or(r.Environment.Text(clientNameField), string(r.ID))
}

// InwardName returns the name that an outward one of a project or an alias has
// here, for clients who may call those what CheckName does not allow. A space is
// a '-' here, so that "my project" is "my-project". A name of which more must
// change gets eight digits of its SHA-256: "Проект" is "name.f45edf00". Names that
// those clients do not allow either, with one of /\#?%: or a control character,
// stay as they are, and are refused where they are used.
func InwardName(name string) string {
	if name == "" || solera.CheckName(name) == nil || len(name) > maxOutward || !utf8.ValidString(name) ||
		strings.ContainsAny(name, `/\#?%:`) || strings.ContainsFunc(name, unicode.IsControl) {
		return name
	}
	plain := strings.ReplaceAll(name, " ", "-")
	if solera.CheckName(plain) == nil {
		return plain
	}
	kept := strings.Map(func(c rune) rune {
		if c < utf8.RuneSelf && solera.CheckName("x"+string(c)) == nil {
			return c
		}
		return -1
	}, plain)
	for strings.Contains(kept, "..") {
		kept = strings.ReplaceAll(kept, "..", ".")
	}
	kept = strings.TrimLeft(kept, "._-")
	kept = strings.TrimRight(kept[:min(len(kept), solera.MaxName-9)], ".")
	sum := sha256.Sum256([]byte(name))
	return cmp.Or(kept, "name") + "." + hex.EncodeToString(sum[:4])
}

// remoteIDs returns the IDs that the run of an outward name in a project may
// have: the name itself, "" where it cannot be an ID, and the one that it gets
// where that is another project's.
func remoteIDs(project, name string) (plain, other solera.RunID) {
	sum := sha256.Sum256([]byte(project + "/" + name))
	digits := hex.EncodeToString(sum[:])
	if solera.RunID(name).Check() != nil {
		return "", solera.RunID("run." + digits[:16])
	}
	other = solera.RunID(name + "." + digits[:8])
	if other.Check() != nil { // too long, or ".." in it
		other = solera.RunID("run." + digits[:16])
	}
	return solera.RunID(name), other
}

// findRemote returns the run of the project that has an outward name, a deleted
// one too. Where there is none it is ErrNotFound, and id is the one for it.
func (t *Tracker) findRemote(tx solera.Tx, name string) (run solera.Run, id solera.RunID, err error) {
	plain, other := remoteIDs(t.Project, name)
	// The other one first: a run that has it keeps it, also when the name becomes
	// free later.
	run, err = tx.Run(other)
	switch {
	case err == nil && run.Project == t.Project:
		return run, run.ID, nil
	case err == nil:
		return solera.Run{}, "", fmt.Errorf("run %.80q: %w: run %s of project %s has its identifier", name, solera.ErrConflict, run.ID, run.Project)
	case !errors.Is(err, solera.ErrNotFound):
		return solera.Run{}, "", err
	}
	missing := fmt.Errorf("run %.80q of project %s: %w", name, t.Project, solera.ErrNotFound)
	if plain == "" {
		return solera.Run{}, other, missing
	}
	run, err = tx.Run(plain)
	switch {
	case err == nil && run.Project == t.Project:
		return run, run.ID, nil
	case err == nil:
		return solera.Run{}, other, missing
	case errors.Is(err, solera.ErrNotFound):
		return solera.Run{}, plain, missing
	}
	return solera.Run{}, "", err
}

// FindRemote returns the run of the project that has an outward name, a deleted
// one too.
func (t *Tracker) FindRemote(ctx context.Context, name string) (solera.Run, error) {
	var run solera.Run
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		run, _, err = t.findRemote(tx, name)
		return err
	})
	return run, err
}

// A RegisterSpec is what a client says of its run. What is nil stays as it is,
// or empty for a new run.
type RegisterSpec struct {
	Name  string          // the outward one
	State solera.RunState // of a new run: Pending or Running; "" = Running
	// Resume says that the process of the run is there (again): a run that waits
	// or has ended runs on, and is not asked to stop any more. A server says so for
	// what comes from the process, not for a change by a user.
	Resume bool

	Display *string // Run.Name; of a new run: "" or nil = the outward name
	Stage   *string
	Group   *string
	Sweep   *string
	Notes   *string
	Host    *string
	Tags    []string      // nil = as they are; empty = none
	Params  solera.Fields // replaces all
	Summary solera.Fields // replaces all
	// Environment is merged into what is there, key by key.
	Environment solera.Fields
}

// Register makes the run of an outward name in the project, or changes it, and
// reports whether it is new. A deleted run is ErrConflict: what it was shall not
// come back under its name.
func (t *Tracker) Register(ctx context.Context, spec RegisterSpec) (run solera.Run, created bool, err error) {
	fail := func(err error) (solera.Run, bool, error) {
		return solera.Run{}, false, fmt.Errorf("register run %.80q: %w", spec.Name, err)
	}
	if err := spec.check(); err != nil {
		return fail(err)
	}
	if err := solera.CheckName(t.Project); err != nil {
		return fail(fmt.Errorf("project: %w", err))
	}
	err = t.Store.Update(ctx, func(tx solera.Tx) error {
		var id solera.RunID
		var err error
		created = false
		now, err := tx.Now()
		if err != nil {
			return err
		}
		run, id, err = t.findRemote(tx, spec.Name)
		switch {
		case errors.Is(err, solera.ErrNotFound) && id != "":
			created = true
			run = t.newRemote(id, spec, now)
		case err != nil:
			return err
		case run.Deleted != 0:
			return fmt.Errorf("%w: it was deleted; use another name, or restore it", solera.ErrConflict)
		}
		was := run
		spec.apply(&run)
		if created {
			return tx.CreateRun(run)
		}
		if spec.Resume && run.State != solera.Running {
			resume(&run, now)
		}
		if err := tx.UpdateRun(run); err != nil {
			return err
		}
		if same, err := signedAlike(was, run); err != nil || same {
			return err
		}
		return t.signAgain(tx, run.ID)
	})
	if err == nil && !created && spec.Resume {
		err = t.Store.Beat(ctx, run.ID) // or Reap would take it for dead once more
	}
	if err != nil {
		return fail(err)
	}
	return run, created, nil
}

// signedAlike reports whether statements say the same of a run as it was and is.
func signedAlike(was, is solera.Run) (bool, error) {
	a, err := was.Params.MarshalJSON()
	if err != nil {
		return false, err
	}
	b, err := is.Params.MarshalJSON()
	return string(a) == string(b) && was.Stage == is.Stage && was.Started == is.Started, err
}

// maxOutward is how many bytes an outward name has at most.
const maxOutward = 256

func (s RegisterSpec) check() error {
	if s.Name == "" || len(s.Name) > maxOutward {
		return fmt.Errorf("%w: a name has 1 to %d bytes", solera.ErrInvalid, maxOutward)
	}
	if err := (solera.Document{Kind: "run", ID: s.Name}).Check(); err != nil {
		return fmt.Errorf("%w: a name is UTF-8 without control characters", solera.ErrInvalid)
	}
	if s.State != "" && s.State != solera.Pending && s.State != solera.Running {
		return fmt.Errorf("%w: a run does not begin as %.20q", solera.ErrInvalid, s.State)
	}
	if len(s.Tags) > maxTags {
		return fmt.Errorf("%w: %d tags, at most %d are allowed", solera.ErrInvalid, len(s.Tags), maxTags)
	}
	for _, tag := range s.Tags {
		if err := checkTag(tag); err != nil {
			return err
		}
	}
	if s.Notes != nil {
		return checkNotes("run "+s.Name, *s.Notes)
	}
	return nil
}

func (t *Tracker) newRemote(id solera.RunID, spec RegisterSpec, now solera.Micros) solera.Run {
	run := solera.Run{
		ID: id, Name: spec.Name, Project: t.Project, State: cmp.Or(spec.State, solera.Running), Tags: []string{},
		Environment: solera.Fields{clientField: map[string]any{}}, Solera: t.Solera, Created: now,
	}
	if string(id) != spec.Name {
		run.Environment[clientNameField] = spec.Name
	}
	if run.State == solera.Running {
		run.Started, run.Heartbeat = now, now
	}
	return run
}

func (s RegisterSpec) apply(run *solera.Run) {
	for _, field := range []struct {
		to   *string
		from *string
	}{{&run.Stage, s.Stage}, {&run.Group, s.Group}, {&run.Sweep, s.Sweep}, {&run.Notes, s.Notes}, {&run.Host, s.Host}} {
		if field.from != nil {
			*field.to = *field.from
		}
	}
	if s.Display != nil && *s.Display != "" {
		run.Name = *s.Display
	}
	if s.Tags != nil {
		run.Tags = slices.Compact(slices.Sorted(slices.Values(s.Tags)))
	}
	if s.Params != nil {
		run.Params = s.Params
	}
	if s.Summary != nil {
		run.Summary = s.Summary
	}
	run.Environment = merged(run.Environment, s.Environment)
}

// resume makes a run that waits or has ended run on.
func resume(run *solera.Run, now solera.Micros) {
	run.State, run.Error, run.Finished, run.Stopping = solera.Running, "", 0, 0
	if run.Started == 0 {
		run.Started = now
	}
}

// Report stores what a run whose process is elsewhere has recorded, as a sign of
// its life, and returns the record of the run then: Stopping says that its
// client should be told to stop. A run that was taken for dead runs on; one that
// ended otherwise stays as it is. A run that is deleted is ErrNotFound. See
// solera.Points.Report for the rest.
func (t *Tracker) Report(ctx context.Context, b solera.Batch) (solera.Run, error) {
	run, err := t.Run(ctx, b.Run)
	if err != nil {
		return solera.Run{}, err
	}
	if run.Deleted != 0 {
		return solera.Run{}, fmt.Errorf("run %s: %w: it was deleted at %v", run.ID, solera.ErrNotFound, run.Deleted)
	}
	b.Beat = true
	if _, err := t.Store.Report(ctx, b); err != nil {
		return solera.Run{}, err
	}
	if b.Summary != nil {
		run.Summary = b.Summary
	}
	if run.State != solera.Crashed {
		return run, nil
	}
	if err := t.revive(ctx, run.ID); err != nil {
		return solera.Run{}, fmt.Errorf("run %s: note that it lives: %w", run.ID, err)
	}
	return t.Run(ctx, run.ID)
}

// Resume returns a handle of a run whose process is elsewhere, with which a
// server uses and commits artifacts in its name, and ends it. Nothing runs
// beside it. What its client does after the end, such as adding an artifact to a
// run that has finished, is possible too; Finish ends a run once, and one that
// was taken for dead. Another run is ErrConflict.
func (t *Tracker) Resume(ctx context.Context, id solera.RunID) (*Run, error) {
	fail := func(err error) (*Run, error) { return nil, fmt.Errorf("resume run %s: %w", id, err) }
	before, err := presenceNow(ctx, t.Store)
	if err != nil {
		return fail(err)
	}
	r := &Run{tracker: t, ctx: context.WithoutCancel(ctx), presence: before, remote: true, flushed: t.now(), lived: make(chan struct{})}
	close(r.lived)
	r.stopping, r.stop = context.WithCancelCause(ctx)
	r.end = func() {}
	err = t.Store.View(ctx, func(tx solera.Tx) (err error) {
		if r.run, err = tx.Run(id); err != nil {
			return err
		}
		made, err := tx.Edges(solera.EdgeQuery{Run: id, Kind: solera.Made})
		r.made = len(made) > 0
		return err
	})
	switch {
	case err != nil:
		return fail(err)
	case !IsRemote(r.run):
		return fail(fmt.Errorf("%w: its process is not elsewhere, it reports by itself", solera.ErrConflict))
	case r.run.Deleted != 0:
		return fail(fmt.Errorf("%w: it was deleted at %v", solera.ErrNotFound, r.run.Deleted))
	}
	return r, nil
}

// StopRun asks the run that name means, see FindRun, to stop. Its process finds
// that out and ends it; a run that waits for its process ends at once. One that
// has ended is ErrConflict.
func (t *Tracker) StopRun(ctx context.Context, name string) (solera.Run, error) {
	return t.changeRun(ctx, "stop", name, func(tx solera.Tx, r *solera.Run) error {
		if r.State.Ended() {
			return fmt.Errorf("%w: it is %s already", solera.ErrConflict, r.State)
		}
		if r.Stopping != 0 {
			return nil
		}
		now, err := tx.Now()
		r.Stopping = now
		if r.State == solera.Pending {
			r.State, r.Finished, r.Error = solera.Killed, now, (&stoppedError{solera.ActorOf(ctx)}).Error()
		}
		return err
	})
}

// A stoppedError says that a user asked a run to stop.
type stoppedError struct{ who string }

func (e *stoppedError) Error() string {
	if e.who == "" {
		return solera.ErrStopped.Error()
	}
	return "stopped by " + e.who
}

func (e *stoppedError) Unwrap() error { return solera.ErrStopped }

// whoStopped finds in the audit log who asked a run to stop.
func whoStopped(tx solera.Tx, id solera.RunID) (string, error) {
	log, err := tx.Audit(solera.AuditQuery{Subject: string(id), Action: "run.update", Newest: true, Limit: 100})
	if err != nil {
		return "", err
	}
	for _, e := range log {
		if e.After["stopping"] != nil {
			return e.Actor, nil
		}
	}
	return "", nil
}

// heed ends the context of a run that a user asked to stop.
func (r *Run) heed(ctx context.Context) error {
	var asked *stoppedError
	err := r.tracker.Store.View(ctx, func(tx solera.Tx) error {
		asked = nil
		run, err := tx.Run(r.run.ID)
		if err != nil || run.Stopping == 0 {
			return err
		}
		who, err := whoStopped(tx, r.run.ID)
		asked = &stoppedError{who}
		return err
	})
	if err == nil && asked != nil {
		r.stop(asked)
	}
	return err
}

// isHistory tells what a run recorded by its own steps. The load of the machine
// is measured by seconds, and alerts are no measurements.
func isHistory(key string) bool { return !strings.HasPrefix(key, "system/") && key != "alert" }

// errGoesOn says that a run recorded something while it was being rewound.
var errGoesOn = fmt.Errorf("%w: it goes on recording; end its process first", solera.ErrConflict)

// Rewind makes a run whose process is elsewhere forget what it recorded after a
// step, so that its client can go on from there, and returns it with the number
// of steps that stay, which becomes the position of source. What is forgotten is
// kept in a file of the run, rewound/TIME.jsonl, one {"point":…} or {"item":…} a
// line. The load of the machine and alerts stay.
func (t *Tracker) Rewind(ctx context.Context, id solera.RunID, step int64, source string) (run solera.Run, rows int64, err error) {
	fail := func(err error) (solera.Run, int64, error) {
		return solera.Run{}, 0, fmt.Errorf("rewind run %s to step %d: %w", id, step, err)
	}
	if run, err = t.Run(ctx, id); err != nil {
		return fail(err)
	}
	if !IsRemote(run) {
		return fail(fmt.Errorf("%w: it made what it recorded by itself, and others rest on that", solera.ErrConflict))
	}
	before, err := presenceNow(ctx, t.Store)
	if err != nil {
		return fail(err)
	}
	keep := func(key string, at int64) bool { return at <= step || !isHistory(key) }
	cut := 0
	steps := make(map[int64]bool)
	digest, size, err := t.putLines(ctx, func(line func(any) error) error {
		return t.recorded(ctx, id, math.MaxInt64, func(p *solera.Point, i *solera.Item) error {
			key, at := "", int64(0)
			if p != nil {
				key, at = p.Key, p.Step
			} else {
				key, at = i.Key, i.Step
			}
			if keep(key, at) {
				if isHistory(key) {
					steps[at] = true
				}
				return nil
			}
			cut++
			if p != nil {
				return line(map[string]any{"point": p})
			}
			return line(map[string]any{"item": i})
		})
	})
	if err != nil {
		return fail(err)
	}
	rows = int64(len(steps))
	file := solera.Entry{Path: "rewound/" + t.now().UTC().Format("20060102-150405.000000") + ".jsonl", Digest: digest, Size: size}
	err = t.update(ctx, func(tx solera.Tx) error {
		gone := 0
		err := tx.Rewind(id, func(key string, at int64, _ solera.Micros) bool {
			stays := keep(key, at)
			if !stays {
				gone++
			}
			return stays
		})
		switch {
		case err != nil:
			return err
		case gone != cut:
			return errGoesOn
		}
		if source != "" {
			if err := tx.SetPosition(id, source, rows); err != nil {
				return err
			}
		}
		if cut > 0 {
			if err := t.stillThere(ctx, tx, before, []solera.Entry{file}); err != nil {
				return err
			}
			if err := tx.SetFile(id, file); err != nil {
				return err
			}
		}
		run, err = tx.Run(id)
		return err
	})
	if err != nil {
		return fail(err)
	}
	return run, rows, nil
}

// putLines stores a file of JSON lines as it is written.
func (t *Tracker) putLines(ctx context.Context, write func(line func(any) error) error) (solera.Digest, int64, error) {
	return Writer(func(w io.Writer) error {
		b := bufio.NewWriter(w)
		e := json.NewEncoder(b)
		e.SetEscapeHTML(false)
		if err := write(e.Encode); err != nil {
			return err
		}
		return b.Flush()
	}).put(ctx, t.Blobs)
}

// How much of a run is read at once.
const (
	pointsAtOnce = 50_000
	itemsAtOnce  = 100 // of at most MaxItem each
)

// recorded calls fn for the points and then the items of a run, by number, up to
// a step.
func (t *Tracker) recorded(ctx context.Context, id solera.RunID, upTo int64, fn func(*solera.Point, *solera.Item) error) error {
	for cursor := int64(0); ; {
		points, next, err := t.Store.Since(ctx, id, cursor, pointsAtOnce)
		if err != nil {
			return err
		}
		for i := range points {
			if points[i].Step > upTo {
				continue
			}
			if err := fn(&points[i], nil); err != nil {
				return err
			}
		}
		if cursor = next; len(points) < pointsAtOnce {
			break
		}
	}
	q := solera.ItemQuery{Run: id, Limit: itemsAtOnce, Steps: &solera.StepRange{From: math.MinInt64, To: upTo}}
	for {
		items, err := t.Store.Items(ctx, q)
		if err != nil {
			return err
		}
		for i := range items {
			if err := fn(nil, &items[i]); err != nil {
				return err
			}
		}
		if len(items) < itemsAtOnce {
			return nil
		}
		q.After = items[len(items)-1].N
	}
}

// forkSource counts what was copied into a run, so that a copy which was
// interrupted goes on.
const forkSource = "fork"

// Fork copies what parent recorded up to a step into a run of its own, which has
// recorded nothing yet or was being filled by Fork when it was interrupted. The
// load of the machine and alerts are not copied.
func (t *Tracker) Fork(ctx context.Context, parent solera.RunID, step int64, into solera.RunID) error {
	fail := func(err error) error {
		return fmt.Errorf("fork run %s at step %d into %s: %w", parent, step, into, err)
	}
	for _, id := range []solera.RunID{parent, into} {
		if _, err := t.Run(ctx, id); err != nil {
			return fail(err)
		}
	}
	done, err := t.Store.Position(ctx, into, forkSource)
	if err != nil {
		return fail(err)
	}
	if done == 0 {
		if err := t.recordedNothing(ctx, into); err != nil {
			return fail(err)
		}
	}
	// Points and items are counted in the order of recorded, which a parent that
	// goes on does not change below the step.
	seen := int64(0)
	batch := solera.Batch{Run: into, Source: forkSource, From: done}
	send := func() error {
		if batch.Count == 0 {
			return nil
		}
		_, err := t.Store.Report(ctx, batch)
		batch = solera.Batch{Run: into, Source: forkSource, From: batch.From + batch.Count}
		return err
	}
	bytes := 0
	err = t.recorded(ctx, parent, step, func(p *solera.Point, i *solera.Item) error {
		if seen++; seen <= done {
			return nil
		}
		batch.Count++
		switch {
		case p != nil && isHistory(p.Key):
			batch.Points = append(batch.Points, *p)
		case i != nil && isHistory(i.Key):
			batch.Items = append(batch.Items, *i)
			bytes += len(i.Value)
		}
		if batch.Count < pointsAtOnce && bytes < solera.MaxItem {
			return nil
		}
		bytes = 0
		return send()
	})
	if err == nil {
		err = send()
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

func (t *Tracker) recordedNothing(ctx context.Context, id solera.RunID) error {
	last, err := t.Store.Last(ctx, id)
	if err != nil {
		return err
	}
	items, err := t.Store.Items(ctx, solera.ItemQuery{Run: id, Limit: 1})
	if err == nil && last+int64(len(items)) > 0 {
		err = fmt.Errorf("%w: it has recorded something already", solera.ErrConflict)
	}
	return err
}

// silence is how long a run must be silent to be taken for dead.
func (t *Tracker) silence(r solera.Run) time.Duration {
	if IsRemote(r) {
		return cmp.Or(t.RemoteSilence, untilRemoteDead)
	}
	return cmp.Or(t.Silence, untilDead)
}
