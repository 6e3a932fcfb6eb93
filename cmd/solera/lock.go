package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/pipeline"
)

// lockedResult is the result of a run with --locked, for scripts.
type lockedResult struct {
	*pipeline.Result
	Lock []pipeline.LockChange `json:"lock"` // where the run came to something else than the lock
}

// writeLock notes in solera.lock what a run came to. A folder that cannot be
// written, such as one mounted for reading, takes nothing from the run.
func (a *app) writeLock(cfg *pipeline.Config, res *pipeline.Result) {
	path := cfg.LockPath()
	old, err := pipeline.ReadLock(path)
	if err != nil && !errors.Is(err, solera.ErrNotFound) && len(res.Stages) < len(pipeline.Stages()) {
		// Only a run of everything may take the place of what cannot be read.
		a.warn("%s is left as it is: %s", filepath.Base(path), sentence(err))
		return
	}
	if err != nil {
		old = nil
	}
	if err := pipeline.WriteLock(path, cfg.Lock(old, res)); err != nil {
		a.warn("%s is not written: %s", filepath.Base(path), sentence(err))
	}
}

// warn says on stderr what went wrong beside the work. Scripts that want JSON
// read errors there, and nothing else.
func (a *app) warn(format string, args ...any) {
	if !a.json {
		fmt.Fprintf(a.stderr, "solera: warning: %s\n", printable(fmt.Sprintf(format, args...)))
	}
}

// readLock reads the lock that --locked insists on, and compares the source
// with it before anything is done.
func (a *app) readLock(ctx context.Context, cfg *pipeline.Config) (*pipeline.Lock, error) {
	lock, err := pipeline.ReadLock(cfg.LockPath())
	if err != nil {
		return nil, err
	}
	p := pipeline.Pipeline{Config: cfg}
	digest, err := p.SourceDigest(ctx)
	if err != nil {
		return nil, err
	}
	if lock.SourceDigest != "" && digest != lock.SourceDigest {
		return lock, &solera.InputError{
			Op: "--locked", File: cfg.LockPath(),
			Msg:  fmt.Sprintf("the source %s has the content %s, locked is %s", cfg.Data.Source, digest, lock.SourceDigest),
			Hint: "if the data was meant to change: " + a.self() + " run, and commit the lock",
		}
	}
	return lock, nil
}

// showLockChanges writes where a run came to something else than the lock.
func (a *app) showLockChanges(cfg *pipeline.Config, changes []pipeline.LockChange) error {
	name := filepath.Base(cfg.LockPath())
	if err := a.printf("\nNot as locked in %s:\n\n", name); err != nil {
		return err
	}
	if err := a.printTable(lockHeaders, lockRows(changes)); err != nil {
		return err
	}
	return a.printf("\n%s\n", wrap(fmt.Sprintf("If this is meant to change: %s run writes %s anew; commit it.", a.self(), name)))
}

var lockHeaders = []string{"NAME", "LOCKED", "NOW"}

func lockRows(changes []pipeline.LockChange) (rows [][]string) {
	for _, c := range changes {
		rows = append(rows, []string{c.Name, shortDigest(c.Locked), shortDigest(c.Now)})
	}
	return rows
}

// shortDigest is a digest as tables show it, a dash for none.
func shortDigest(s string) string {
	d, err := solera.ParseDigest(s)
	if err != nil {
		return "—"
	}
	return d.Short()
}

// lockNote says in which names the lock and the store disagree, "" if in none
// or there is no lock.
func (a *app) lockNote(ctx context.Context, cfg *pipeline.Config, w *workspace) (string, error) {
	lock, err := pipeline.ReadLock(cfg.LockPath())
	if errors.Is(err, solera.ErrNotFound) {
		return "", nil
	}
	name := filepath.Base(cfg.LockPath())
	if err != nil {
		return name + " cannot be read: " + sentence(err), nil
	}
	now := &pipeline.Lock{SourceDigest: lock.SourceDigest, Artifacts: map[string]string{}}
	for artifact := range lock.Artifacts {
		v, err := w.Version(ctx, artifact)
		switch {
		case err == nil:
			now.Artifacts[artifact] = v.Digest.String()
		case errors.Is(err, solera.ErrNotFound):
			now.Artifacts[artifact] = lock.Artifacts[artifact] // it is made by the next run
		default:
			return "", err
		}
	}
	var names []string
	for _, c := range lock.Changes(now) {
		names = append(names, c.Name)
	}
	if names == nil {
		return "", nil
	}
	return fmt.Sprintf("%s has other digests than the store of %s.", name, enumerate(names)), nil
}
