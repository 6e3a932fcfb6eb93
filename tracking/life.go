package tracking

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/solera-ml/solera"
)

const (
	beatEvery = 5 * time.Second
	untilDead = time.Minute

	untilRemoteDead = 5 * time.Minute

	// The load of the machine is looked at first after so long. What ends
	// before pays nothing for it.
	firstSample = time.Second
	nextSample  = 2 * time.Second
	sampleEvery = 10 * time.Second
)

// An Environment is what a run runs on and in.
type Environment struct {
	Fields solera.Fields     // for solera.Run.Environment
	Files  map[string][]byte // files of the run by path, such as diff.patch
}

// live tells the store that the run's process lives, writes what waits, and
// watches the machine, until ctx ends. A store that refuses is asked again at
// the next beat: nothing here can stop a run.
func (r *Run) live(ctx context.Context) {
	defer close(r.lived)
	every := cmp.Or(r.tracker.BeatEvery, beatEvery)
	beat := time.NewTicker(every)
	defer beat.Stop()
	var sample func(context.Context) map[string]float64
	look := time.NewTimer(firstSample)
	defer look.Stop()
	started := time.Now()
	// By the wall: the monotonic clock stands still while a laptop sleeps, and
	// this is about what others saw meanwhile.
	last := started.Round(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			if r.tracker.Store.Beat(ctx, r.run.ID) != nil {
				continue
			}
			now := time.Now().Round(0)
			if now.Sub(last) > 3*every {
				_ = r.tracker.revive(ctx, r.run.ID) // Finish sets the state right in any case
			}
			_ = r.heed(ctx) // or at the next beat
			last = now
			_ = r.Flush(ctx) // points and lines wait on, and the run's own goroutine will hear of it
			r.settleEarly(ctx)
		case <-look.C:
			r.settleEarly(ctx)
			if r.tracker.Sampler == nil {
				continue
			}
			elapsed := time.Since(started)
			if sample == nil {
				sample = r.tracker.Sampler()
				sample(ctx) // from where the counters count
				look.Reset(nextSample - firstSample)
				continue
			}
			r.recordLoad(int64(elapsed.Seconds()), sample(ctx))
			look.Reset(sampleEvery)
		}
	}
}

// recordLoad adds points about the machine, unless so many wait already that
// the store must be out of order.
func (r *Run) recordLoad(step int64, load map[string]float64) {
	const most = 100_000
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.points) > most {
		return
	}
	at := solera.MicrosOf(r.tracker.now())
	for _, key := range slices.Sorted(maps.Keys(load)) {
		r.points = append(r.points, solera.Point{Key: key, Step: step, Value: load[key], Time: at})
	}
}

// revive makes a run that was taken for dead run again.
func (t *Tracker) revive(ctx context.Context, id solera.RunID) error {
	return t.Store.Update(ctx, func(tx solera.Tx) error {
		run, err := tx.Run(id)
		if err != nil || run.State != solera.Crashed {
			return err
		}
		run.State, run.Error, run.Finished = solera.Running, "", 0
		return tx.UpdateRun(run)
	})
}

// Reap finds the runs of the store, of any project, whose process died without
// a word: those that are Running and silent for longer than Silence, or
// RemoteSilence, by the clock of the database. They become Crashed, Finished when they last gave a
// sign of life, and are returned. Where there is none, Reap only reads.
//
// A process that was only held up, as by a laptop's sleep, finds its run
// crashed; its next sign of life, or its Finish, sets that right. So does the
// next report about a run whose process is elsewhere.
func (t *Tracker) Reap(ctx context.Context) ([]solera.Run, error) {
	var running []solera.Run
	var now solera.Micros
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		if now, err = tx.Now(); err != nil {
			return err
		}
		running, err = tx.Runs(solera.RunQuery{State: solera.Running, Deleted: true})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for crashed runs: %w", err)
	}
	silent := slices.DeleteFunc(running, func(run solera.Run) bool { return !t.silent(run, now) })
	if len(silent) == 0 {
		return nil, nil
	}
	var crashed []solera.Run
	err = t.Store.Update(ctx, func(tx solera.Tx) error {
		crashed = nil
		now, err := tx.Now()
		if err != nil {
			return err
		}
		for _, run := range silent {
			// Read again: its process may have spoken meanwhile.
			if run, err = tx.Run(run.ID); err != nil {
				return err
			}
			if run.State != solera.Running || !t.silent(run, now) {
				continue
			}
			run.State, run.Finished = solera.Crashed, lastSign(run)
			run.Error = fmt.Sprintf("its process died without a word: the last sign of life was at %s", run.Finished)
			if err := tx.UpdateRun(run); err != nil {
				return err
			}
			crashed = append(crashed, run)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("note crashed runs: %w", err)
	}
	return crashed, nil
}

func (t *Tracker) silent(run solera.Run, now solera.Micros) bool {
	return now-lastSign(run) > solera.Micros(t.silence(run).Microseconds())
}

// lastSign is when a run last showed that it lives. Runs of the first release
// have no heartbeat.
func lastSign(run solera.Run) solera.Micros {
	return cmp.Or(run.Heartbeat, run.Started, run.Created)
}

// A found environment is one whose files are in the blobs.
type found struct {
	fields solera.Fields
	files  []solera.Entry
}

// lookAround finds out what a run runs on. A file that cannot be stored is left
// out and named under "missing".
func (t *Tracker) lookAround(ctx context.Context) found {
	env := t.Environment(ctx)
	f := found{fields: env.Fields}
	for _, path := range slices.Sorted(maps.Keys(env.Files)) {
		digest, size, err := t.Blobs.Put(ctx, bytes.NewReader(env.Files[path]))
		if err != nil {
			f.fields = merged(f.fields, solera.Fields{"missing": path + ": " + err.Error()})
			continue
		}
		f.files = append(f.files, solera.Entry{Path: path, Digest: digest, Size: size})
	}
	return f
}

// keep writes it into the record of a run. What the record has already stays. A
// file that gc deleted after p is left out and named under "missing".
func (f found) keep(ctx context.Context, tx solera.Tx, id solera.RunID, p presence, blobs solera.Blobs) error {
	gone, err := p.gone(ctx, tx, blobs, f.files)
	if err != nil {
		return err
	}
	for _, e := range gone {
		f.files = slices.DeleteFunc(slices.Clone(f.files), func(file solera.Entry) bool { return file == e })
		f.fields = merged(f.fields, solera.Fields{"missing": e.Path + ": gc deleted it meanwhile"})
	}
	run, err := tx.Run(id)
	if err != nil {
		return err
	}
	run.Environment = merged(f.fields, run.Environment)
	if err := tx.UpdateRun(run); err != nil {
		return err
	}
	for _, file := range f.files {
		if err := tx.SetFile(id, file); err != nil {
			return err
		}
	}
	return nil
}

// surroundings waits until it is known what the run runs on. The caller holds
// settling.
func (r *Run) surroundings() {
	if r.around != nil && r.env == nil {
		f := <-r.around
		r.env = &f
	}
}

// settle writes that into the record, once, in the transaction that first
// needs it: the statement about a version names the source tree. The caller
// holds settling.
func (r *Run) settle(tx solera.Tx) error {
	if r.env == nil || r.settled {
		return nil
	}
	return r.env.keep(r.ctx, tx, r.run.ID, r.presence, r.tracker.Blobs)
}

// settleEarly does so for a run that has lasted a while, if it is known by now
// and nobody is about to: of a run that dies, or that is looked at while it goes
// on, it matters most what was started.
func (r *Run) settleEarly(ctx context.Context) {
	if r.around == nil || !r.settling.TryLock() {
		return
	}
	defer r.settling.Unlock()
	if r.env == nil {
		select {
		case f := <-r.around:
			r.env = &f
		default:
			return
		}
	}
	// What fails here is written by Commit or Finish, or at the next beat.
	if !r.settled && r.tracker.Store.Update(ctx, r.settle) == nil {
		r.settled = true
	}
}

// merged returns the fields of both; b wins.
func merged(a, b solera.Fields) solera.Fields {
	if len(a)+len(b) == 0 {
		return nil
	}
	out := solera.Fields{}
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}
