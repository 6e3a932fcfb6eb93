package tracking

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/solera-ml/solera"
)

// A Run is the handle of a run under way. One goroutine uses it; Print and
// Flush may be called by others too. Until Finish a goroutine of its own tells
// the store that the run lives, so Finish must be called.
type Run struct {
	tracker *Tracker
	ctx     context.Context // of Start, never cancelled: see Record
	run     solera.Run
	made    bool // the run has committed a version
	// presence is from the start: whatever the run put, it put later.
	presence presence

	end    context.CancelFunc // of live
	lived  chan struct{}      // closed when live has ended
	remote bool               // of Resume: the process is elsewhere

	stopping context.Context // see Context
	stop     context.CancelCauseFunc

	around   <-chan found // gives one; nil = none is looked for
	settling sync.Mutex   // guards the next two
	env      *found       // what around gave
	settled  bool         // env is in the record

	flushing sync.Mutex     // held while writing, so that points keep their order
	mu       sync.Mutex     // guards the rest
	points   []solera.Point // recorded, not yet in the store
	lines    []solera.Line  // printed, not yet in the store
	printed  int            // lines so far
	flushed  time.Time      // when points was last emptied
}

// ID returns the run's identifier.
func (r *Run) ID() solera.RunID { return r.run.ID }

// Context returns the context of Start, or of Resume, which also ends with the
// run, and when a user asks the run to stop: its cause says who, and is
// ErrStopped. The work of a run goes on under it.
func (r *Run) Context() context.Context { return r.stopping }

// Points wait for a transaction together: one transaction costs a wait for the
// disk, as long as for hundreds of points.
const (
	flushPoints = 500
	flushAfter  = 200 * time.Millisecond
)

// Record notes metrics at a step. They are in the store, and survive a kill,
// once Flush or Finish has returned nil; Record itself writes when 500 points
// wait or 200 ms have passed since it last wrote, so a stage with slow epochs
// shows each of them at once. When writing fails, Record returns the error and
// keeps the points for the next try.
func (r *Run) Record(step int64, metrics map[string]float64) error {
	if r.over() {
		return r.ended("record")
	}
	now := r.tracker.now()
	at := solera.MicrosOf(now)
	r.mu.Lock()
	for _, key := range slices.Sorted(maps.Keys(metrics)) {
		r.points = append(r.points, solera.Point{Key: key, Step: step, Value: metrics[key], Time: at})
	}
	due := len(r.points) >= flushPoints || now.Sub(r.flushed) >= flushAfter
	r.mu.Unlock()
	if !due {
		return nil
	}
	return r.Flush(r.ctx)
}

// Flush writes the points and lines that wait.
func (r *Run) Flush(ctx context.Context) error {
	r.flushing.Lock()
	defer r.flushing.Unlock()
	r.mu.Lock()
	points, lines := r.points, r.lines
	r.mu.Unlock()
	if len(points) > 0 {
		if _, err := r.tracker.Store.Append(ctx, r.run.ID, points); err != nil {
			return fmt.Errorf("run %s: write %d points: %w", r.run.ID, len(points), err)
		}
		r.mu.Lock()
		r.points = r.points[:copy(r.points, r.points[len(points):])]
		r.mu.Unlock()
	}
	if len(lines) > 0 {
		if err := r.tracker.Store.Print(ctx, r.run.ID, lines); err != nil {
			return fmt.Errorf("run %s: write %d lines of its console: %w", r.run.ID, len(lines), err)
		}
		r.mu.Lock()
		r.lines = r.lines[:copy(r.lines, r.lines[len(lines):])]
		r.mu.Unlock()
	}
	r.mu.Lock()
	r.flushed = r.tracker.now()
	r.mu.Unlock()
	return nil
}

// Use notes that the run reads the version that ref names now, and opens it.
// A version that the run made itself is opened without a note. A version that
// was made from something which this run made is ErrConflict: the lineage
// would go in a circle.
func (r *Run) Use(ctx context.Context, ref string) (*Snapshot, error) {
	var version solera.Version
	err := r.tracker.Store.Update(ctx, func(tx solera.Tx) (err error) {
		if version, err = r.tracker.resolve(tx, ref); err != nil {
			return err
		}
		return r.use(tx, version)
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: use %s: %w", r.run.ID, ref, err)
	}
	return r.tracker.Snapshot(ctx, version), nil
}

func (r *Run) use(tx solera.Tx, v solera.Version) error {
	if r.over() {
		return r.ended("use an artifact")
	}
	if v.Deleted != 0 {
		return errDeleted(v)
	}
	if v.Run == r.run.ID {
		return nil
	}
	if r.made {
		up, err := ancestry(tx, v)
		if err != nil {
			return err
		}
		if _, ok := up.runs[r.run.ID]; ok {
			return fmt.Errorf("%w: %s was made from a version that this run made; use it in another run", solera.ErrConflict, v.Name())
		}
	}
	if err := tx.AddEdge(solera.Edge{Run: r.run.ID, Version: v.ID(), Kind: solera.Used}); err != nil || !r.made {
		return err
	}
	return r.tracker.signAgain(tx, r.run.ID)
}

// Finish ends the run: Finished if cause is nil, Killed if cause is ErrStopped
// or a cancelled context, Failed otherwise. Points that wait are written, also
// when ctx is cancelled already. summary is kept in each case; of a run whose
// process is elsewhere, nil leaves the one that it reported. It returns what
// went wrong while writing, not cause. A second call does nothing, so that it
// can be deferred for the unhappy ways out.
func (r *Run) Finish(ctx context.Context, cause error, summary solera.Fields) error {
	if r.run.State.Ended() && !(r.remote && r.run.State == solera.Crashed) {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	r.end()
	<-r.lived
	r.stop(nil)
	if cause != nil && !r.remote {
		r.Print(Err, cause.Error())
	}
	lost := r.Flush(ctx)
	r.settling.Lock()
	defer r.settling.Unlock()
	r.surroundings()
	state, why := outcome(cause)
	if cause == nil && lost != nil {
		// A run whose points are missing must not answer for others.
		state, why = solera.Failed, lost.Error()
	}
	var run solera.Run
	err := r.tracker.update(ctx, func(tx solera.Tx) (err error) {
		if err := r.settle(tx); err != nil {
			return err
		}
		// Read again: somebody may have tagged the run meanwhile, or found it
		// silent and taken it for dead.
		if run, err = tx.Run(r.run.ID); err != nil {
			return err
		}
		if r.remote {
			return r.endRemote(tx, &run, state, why, summary)
		}
		run.State, run.Error, run.Summary = state, why, summary
		run.Finished = solera.MicrosOf(r.tracker.now())
		return tx.UpdateRun(run)
	})
	if err != nil {
		return errors.Join(lost, fmt.Errorf("finish run %s: %w", r.run.ID, err))
	}
	r.run = run
	return lost
}

// endRemote ends a run whose process is elsewhere. It says itself what it ended
// with, so a second word about that changes nothing.
func (r *Run) endRemote(tx solera.Tx, run *solera.Run, state solera.RunState, why string, summary solera.Fields) (err error) {
	if run.State.Ended() && run.State != solera.Crashed {
		return nil
	}
	if state == solera.Failed && run.Stopping != 0 {
		who, err := whoStopped(tx, run.ID)
		if err != nil {
			return err
		}
		state, why = solera.Killed, (&stoppedError{who}).Error()
	}
	if summary != nil {
		run.Summary = summary
	}
	run.State, run.Error = state, why
	if run.Finished, err = tx.Now(); err != nil {
		return err
	}
	if run.Started == 0 {
		run.Started = run.Finished
	}
	return tx.UpdateRun(*run)
}

func outcome(cause error) (solera.RunState, string) {
	switch {
	case cause == nil:
		return solera.Finished, ""
	case errors.Is(cause, solera.ErrStopped) || errors.Is(cause, context.Canceled):
		return solera.Killed, cause.Error()
	default:
		return solera.Failed, cause.Error()
	}
}

// over reports whether the run takes nothing more. Clients of a run whose
// process is elsewhere come back to it after its end.
func (r *Run) over() bool { return r.run.State.Ended() && !r.remote }

func (r *Run) ended(what string) error {
	return fmt.Errorf("run %s: %s: %w: the run is %s", r.run.ID, what, solera.ErrConflict, r.run.State)
}
