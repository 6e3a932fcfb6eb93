// Package tracking holds the rules of runs, artifacts and lineage: when a
// commit makes a version, what moves latest, which run may use what, when a
// stage need not run again. It knows neither SQL nor files on disk: a Store
// and a Blobs remember for it.
package tracking

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/solera-ml/solera"
)

// A Tracker applies the rules to one project of a store. Store, Blobs and
// Project must be set; the rest may be zero. It is safe for many goroutines
// and holds no state of its own: everything is in the store.
type Tracker struct {
	Store   solera.Store
	Blobs   solera.Blobs
	Project string

	Solera string // version of the program, for the record of a run
	Host   string // name of the machine, for the record of a run

	// External opens the external file e at an offset, errors.ErrUnsupported if
	// it knows no way to where e.Ref says. What it gives is checked by the
	// caller. A result that also is an io.Seeker saves a copy. nil = external
	// files cannot be opened.
	External func(ctx context.Context, e solera.Entry, offset int64) (io.ReadCloser, error)

	// Sign returns the signed statement of where a version that is being
	// committed comes from. It is called inside the committing transaction, so
	// it must not touch the store. nil = versions are committed unsigned.
	Sign func(run solera.Run, v solera.Version, used []solera.Version) (envelope []byte, err error)
	// Key is the public key that verifies what Sign signs. It is stored with the
	// first version that it signed.
	Key solera.SigningKey

	// Environment tells what a run runs on and in. Start calls it on a goroutine
	// of its own; commits and Finish wait for it. nil = nothing is recorded.
	Environment func(context.Context) Environment
	// Sampler returns a function that tells how busy the machine is, as
	// metrics, for one run. Its first call is there to look where counters
	// stand. nil = nothing is recorded.
	Sampler func() func(context.Context) map[string]float64

	// Began is told of each run once its record is stored. It must not block.
	// nil = nobody is.
	Began func(solera.Run)

	BeatEvery time.Duration // how often a run says that it lives; 0 = 5 s
	Silence   time.Duration // how long a run must be silent to be taken for dead; 0 = 60 s
	// RemoteSilence is Silence for runs whose process is elsewhere; 0 = 5 min. A
	// client speaks every half minute, over a network.
	RemoteSilence time.Duration

	Clock  func() time.Time // nil = time.Now
	Random io.Reader        // of run identifiers; nil = crypto/rand
}

func (t *Tracker) now() time.Time {
	if t.Clock != nil {
		return t.Clock()
	}
	return time.Now()
}

// RunSpec says what a run is going to do. All of it is fixed at the start.
type RunSpec struct {
	Name       string // "" = stage and experiment, as "train exp001"
	Stage      string
	Experiment string
	Params     solera.Fields
	Tags       []string
	Notes      string
	Group      string // joins runs of one undertaking
	// Environment is added to what Tracker.Environment finds, and wins.
	Environment solera.Fields
	// Recipe is the digest of everything that decides the outputs: code,
	// params and the content digests (not the version numbers) of the inputs.
	// Zero: the run is never reused.
	Recipe solera.Digest
	Code   solera.Digest // of the code that the stage executes
}

func (t *Tracker) newRun(spec RunSpec) (solera.Run, error) {
	if err := solera.CheckName(t.Project); err != nil {
		return solera.Run{}, fmt.Errorf("project: %w", err)
	}
	now := t.now()
	id, err := solera.NewRunID(now, cmp.Or[io.Reader](t.Random, rand.Reader))
	if err != nil {
		return solera.Run{}, err
	}
	name := spec.Name
	if name == "" {
		name = spec.Stage
		if spec.Experiment != "" {
			name += " " + spec.Experiment
		}
	}
	tags := slices.Compact(slices.Sorted(slices.Values(spec.Tags)))
	return solera.Run{
		ID: id, Name: name, Project: t.Project, Stage: spec.Stage, Experiment: spec.Experiment,
		State: solera.Running, Params: spec.Params, Tags: tags, Notes: spec.Notes,
		Group: spec.Group, Environment: spec.Environment, Recipe: spec.Recipe, Code: spec.Code, Solera: t.Solera, Host: t.Host,
		Created: solera.MicrosOf(now), Started: solera.MicrosOf(now),
	}, nil
}

// create stores a new run together with what also does. Two runs of one second
// that drew the same letters are the one conflict that a second draw mends.
func (t *Tracker) create(ctx context.Context, spec RunSpec, also func(solera.Tx, *solera.Run) error) (solera.Run, error) {
	for tries := 0; ; tries++ {
		drawn, err := t.newRun(spec)
		if err != nil {
			return solera.Run{}, err
		}
		var run solera.Run
		taken := false
		err = t.update(ctx, func(tx solera.Tx) error {
			run, taken = drawn, false
			var err error
			if run.Heartbeat, err = tx.Now(); err != nil {
				return err
			}
			if err := tx.CreateRun(run); err != nil {
				taken = errors.Is(err, solera.ErrConflict)
				return err
			}
			if also == nil {
				return nil
			}
			return also(tx, &run)
		})
		if err == nil && t.Began != nil {
			t.Began(run)
		}
		if err == nil || !taken || tries == 5 {
			return run, err
		}
	}
}

// Start records a new run in state Running and returns the handle with which
// its one goroutine reports. The handle keeps ctx for Record, which has none
// of its own; what was recorded is written even after ctx is cancelled.
func (t *Tracker) Start(ctx context.Context, spec RunSpec) (*Run, error) {
	before, err := presenceNow(ctx, t.Store)
	if err != nil {
		return nil, fmt.Errorf("start run of %s: %w", spec.Stage, err)
	}
	run, err := t.create(ctx, spec, nil)
	if err != nil {
		return nil, fmt.Errorf("start run of %s: %w", spec.Stage, err)
	}
	r := &Run{tracker: t, ctx: context.WithoutCancel(ctx), run: run, presence: before, flushed: t.now(), lived: make(chan struct{})}
	life, end := context.WithCancel(r.ctx)
	r.end = end
	r.stopping, r.stop = context.WithCancelCause(ctx)
	go r.live(life)
	if t.Environment != nil {
		around := make(chan found, 1)
		r.around = around
		go func() { around <- t.lookAround(r.ctx) }()
	}
	return r, nil
}

// Run returns the record of a run.
func (t *Tracker) Run(ctx context.Context, id solera.RunID) (solera.Run, error) {
	var run solera.Run
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		run, err = tx.Run(id)
		return err
	})
	return run, err
}

// Runs returns the runs of the project that q chooses, newest first.
func (t *Tracker) Runs(ctx context.Context, q solera.RunQuery) ([]solera.Run, error) {
	q.Project = t.Project
	var runs []solera.Run
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		runs, err = tx.Runs(q)
		return err
	})
	return runs, err
}

// Projects returns the names of all projects of the store, sorted.
func (t *Tracker) Projects(ctx context.Context) ([]string, error) {
	var list []string
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		list, err = tx.Projects()
		return err
	})
	return list, err
}

// Artifacts returns the artifacts of the project by name.
func (t *Tracker) Artifacts(ctx context.Context) ([]solera.Artifact, error) {
	var list []solera.Artifact
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		list, err = tx.Artifacts(t.Project)
		return err
	})
	return list, err
}

// Versions returns the versions of one artifact with their files, the newest
// first; name "" means every artifact of the project. An artifact that does
// not exist is ErrNotFound.
func (t *Tracker) Versions(ctx context.Context, name string) ([]solera.Version, error) {
	var list []solera.Version
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		if name != "" {
			if _, err := tx.Artifact(t.Project, name); err != nil {
				return err
			}
		}
		list, err = tx.Versions(solera.VersionQuery{Project: t.Project, Artifact: name, Files: true})
		return err
	})
	return list, err
}

// List returns the versions of the project that q chooses.
func (t *Tracker) List(ctx context.Context, q solera.VersionQuery) ([]solera.Version, error) {
	q.Project = t.Project
	var list []solera.Version
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		list, err = tx.Versions(q)
		return err
	})
	return list, err
}

// Version returns the version that ref ("wine-raw", "wine-raw:v0",
// "wine-raw:champion") names now, with its files.
func (t *Tracker) Version(ctx context.Context, ref string) (solera.Version, error) {
	var version solera.Version
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		version, err = t.resolve(tx, ref)
		return err
	})
	return version, err
}

func (t *Tracker) resolve(tx solera.Tx, ref string) (solera.Version, error) {
	r, err := solera.ParseRef(ref)
	if err != nil {
		return solera.Version{}, err
	}
	r.Project = cmp.Or(r.Project, t.Project)
	id, err := tx.Resolve(r)
	if err != nil {
		return solera.Version{}, err
	}
	return tx.Version(id)
}

// Open returns the version that ref names now, ready to be read. Reading it
// outside a run leaves no trace in the lineage; Run.Use does.
func (t *Tracker) Open(ctx context.Context, ref string) (*Snapshot, error) {
	v, err := t.Version(ctx, ref)
	if err != nil {
		return nil, err
	}
	if v.Deleted != 0 {
		return nil, errDeleted(v)
	}
	return t.Snapshot(ctx, v), nil
}

// SetAlias makes alias name the version that ref names now, and no other
// version of its artifact.
func (t *Tracker) SetAlias(ctx context.Context, ref, alias string) error {
	if err := solera.CheckAlias(alias); err != nil {
		return err
	}
	return t.Store.Update(ctx, func(tx solera.Tx) error {
		v, err := t.resolve(tx, ref)
		if err != nil {
			return err
		}
		if v.Deleted != 0 {
			return errDeleted(v)
		}
		return tx.SetAlias(v.ID(), alias)
	})
}
