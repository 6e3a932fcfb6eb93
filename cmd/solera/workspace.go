package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"unicode"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/pipeline"
	"github.com/solera-ml/solera/tensor"
	"github.com/solera-ml/solera/tracking"
)

// configPath returns where the configuration is, or will be.
func (a *app) configPath() string {
	if a.config != "" {
		return a.path(a.config)
	}
	return a.path(pipeline.FileName)
}

// readConfig reads the configuration. Its project is the one that runs, so
// another one after --project is a contradiction.
func (a *app) readConfig() (*pipeline.Config, error) {
	cfg, err := pipeline.Open(a.configPath())
	if err == nil && a.project != "" && a.project != cfg.Project {
		return nil, usage("--project %s: %s is of the project %s", a.project, cfg.File(), cfg.Project)
	}
	return cfg, err
}

// A workspace is an open store, its blobs and the project in it.
type workspace struct {
	*tracking.Tracker
	checkpoints string // folder of what interrupted trainings go on from
	close       func() error
}

// open opens the store of a project. With create it is made when it is not
// there; without, a store that is not there is an error that says how to fill
// one, so that looking at things changes nothing.
func (a *app) open(ctx context.Context, project string, create bool) (*workspace, error) {
	records, err := a.storeHome()
	if err != nil {
		return nil, err
	}
	bytes, err := a.blobHome(records)
	if err != nil {
		return nil, err
	}
	db, checkpoints, err := a.openRecords(ctx, records, create)
	if err != nil && ctx.Err() != nil {
		// Whatever the database was at: what it had begun is not there, or whole.
		return nil, fmt.Errorf("open the store: %w: the same command goes on from here", solera.ErrStopped)
	}
	if err != nil {
		return nil, err
	}
	blobs, err := a.openBlobs(ctx, bytes, create)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	host, _ := os.Hostname() // only for the record of a run
	w := &workspace{
		Tracker:     &tracking.Tracker{Store: db, Blobs: blobs, Project: project, Solera: version, Host: host},
		checkpoints: checkpoints, close: db.Close,
	}
	w.External = openExternal
	if err := a.watch(ctx, w.Tracker); err != nil {
		return nil, errors.Join(err, w.close())
	}
	if create {
		if err := a.sign(w.Tracker); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	return w, nil
}

// openProject opens an existing store for a command that looks at what is
// there, or annotates it. It needs no configuration: the project is that of
// --project, else that of solera.yaml, else the only one in the store.
func (a *app) openProject(ctx context.Context) (*workspace, error) {
	return a.openProjectTo(ctx, false)
}

// openProjectTo is openProject for a command that, with create, commits: it
// makes the store if there is none, and signs.
func (a *app) openProjectTo(ctx context.Context, create bool) (*workspace, error) {
	project := a.project
	if project != "" {
		if err := solera.CheckName(project); err != nil {
			return nil, usage("--project: %v", err)
		}
	} else {
		cfg, err := a.readConfig()
		switch {
		case err == nil:
			project = cfg.Project
		case a.config != "" || !errors.Is(err, solera.ErrNotFound):
			return nil, err
		}
	}
	w, err := a.open(ctx, project, create && project != "")
	if err != nil {
		return nil, err
	}
	if project == "" {
		w.Project, err = a.onlyProject(ctx, w)
		if err == nil && create {
			err = a.sign(w.Tracker)
		}
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
	} else if a.project != "" && !create {
		if err := a.projectIsThere(ctx, w); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	// Runs whose process died are shown as crashed. Looking must work where
	// nothing can be written, too.
	if _, err := w.Reap(ctx); err != nil && ctx.Err() != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// projectIsThere refuses a mistyped --project.
func (a *app) projectIsThere(ctx context.Context, w *workspace) error {
	projects, err := w.Projects(ctx)
	if err != nil || slices.Contains(projects, w.Project) {
		return err
	}
	hint := "the store is empty: " + a.self() + " run fills it"
	if len(projects) > 0 {
		hint = "the store has " + enumerate(projects)
	}
	return &solera.InputError{Msg: "the project " + w.Project + " is not in the store", Hint: hint, Err: solera.ErrNotFound}
}

// onlyProject returns the project of a store that has one.
func (a *app) onlyProject(ctx context.Context, w *workspace) (string, error) {
	projects, err := w.Projects(ctx)
	switch {
	case err != nil:
		return "", err
	case len(projects) == 1:
		return projects[0], nil
	case len(projects) == 0:
		return "", &solera.InputError{Msg: "the store is empty", Hint: a.self() + " run fills it", Err: solera.ErrNotFound}
	}
	return "", usage("the store has %s: name one with --project: %s", count(len(projects), "project"), enumerate(projects))
}

// actor is who types the command, as the audit log names people: user@host.
func (a *app) actor() string {
	name := firstOf(a.env("USER"), a.env("LOGNAME"), a.env("USERNAME"))
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	host, _ := os.Hostname() // nobody is turned away for want of a name
	clean := func(s, other string) string {
		s = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) || r == '@' || r == unicode.ReplacementChar {
				return -1
			}
			return r
		}, s)
		return firstOf(s[:min(len(s), solera.MaxName)], other)
	}
	return strings.ToValidUTF8(clean(name, "unknown")+"@"+clean(host, "localhost"), "")
}

// absent makes a reference that names nothing an error that says how to find
// what there is.
func (a *app) absent(err error, ref string) error {
	if !errors.Is(err, solera.ErrNotFound) {
		return err
	}
	return &solera.InputError{
		Msg: ref + " is not in the store", Hint: a.self() + " artifacts lists what is there", Err: err,
	}
}

// engine returns an engine of the kernel set that SOLERA_KERNEL forces, or of
// the best that this CPU has. One that the CPU lacks is an error.
func (a *app) engine(workers int) (*tensor.Engine, error) {
	e, err := tensor.NewEngine(a.env("SOLERA_KERNEL"), workers)
	if err != nil {
		return nil, usage("SOLERA_KERNEL: %v", err)
	}
	return e, nil
}
