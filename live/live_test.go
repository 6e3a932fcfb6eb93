package live_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/live"
	"github.com/solera-ml/solera/store"
)

func rung(l *live.Listener) bool {
	select {
	case <-l.C:
		return true
	default:
		return false
	}
}

func TestRing(t *testing.T) {
	var b live.Bell
	b.Ring("nobody")
	a, both := b.Listen("a"), b.Listen("a", "b")
	b.Ring("b")
	if rung(a) || !rung(both) {
		t.Error("b was rung for the listener of a alone")
	}
	b.Ring("a")
	b.Ring("a") // does not wait for an answer to the first
	if !rung(a) || rung(a) || !rung(both) {
		t.Error("two rings are one piece of news")
	}
	a.Close()
	a.Close()
	b.Ring("a")
	if rung(a) || !rung(both) {
		t.Error("a closed listener heard something")
	}
}

func TestStoreRingsWhenItIsCommitted(t *testing.T) {
	ctx := context.Background()
	db, err := store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "solera.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var b live.Bell
	s := b.Store(db)
	run, project, other := b.Listen(live.RunTopic("r")), b.Listen(live.ProjectTopic("p")), b.Listen(live.RunTopic("x"), live.ProjectTopic("x"))
	expect := func(what string, err error, wantRun, wantProject bool) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := rung(run); got != wantRun {
			t.Errorf("%s: rang for the run: %v, want %v", what, got, wantRun)
		}
		if got := rung(project); got != wantProject {
			t.Errorf("%s: rang for the project: %v, want %v", what, got, wantProject)
		}
		if rung(other) {
			t.Errorf("%s: rang for others", what)
		}
	}
	r := solera.Run{ID: "r", Project: "p", State: solera.Running}
	failed := errors.New("no")
	if err := s.Update(ctx, func(tx solera.Tx) error { return errors.Join(tx.CreateRun(r), failed) }); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	expect("a run that was not created", nil, false, false)
	expect("a new run", s.Update(ctx, func(tx solera.Tx) error { return tx.CreateRun(r) }), true, true)
	_, err = s.Append(ctx, "r", []solera.Point{{Key: "loss", Step: 1, Value: 2}})
	expect("points", err, true, false)
	expect("a line", s.Print(ctx, "r", []solera.Line{{Stream: "out", Text: "x"}}), true, false)
	if _, err := s.Append(ctx, "none", []solera.Point{{Key: "loss"}}); err == nil {
		t.Error("points of no run were taken")
	}
	if err := s.Print(ctx, "none", []solera.Line{{Stream: "out"}}); err == nil {
		t.Error("lines of no run were taken")
	}
	r.Project = "" // UpdateRun keeps it as it was
	expect("a change", s.Update(ctx, func(tx solera.Tx) error { return tx.UpdateRun(r) }), true, true)
	expect("a look", s.View(ctx, func(tx solera.Tx) error { _, err := tx.Run("r"); return err }), false, false)
	expect("its end", s.Update(ctx, func(tx solera.Tx) error { return tx.RemoveRun("r") }), true, true)
}

func TestManyListenersAndRingers(t *testing.T) {
	var b live.Bell
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 100 {
				l := b.Listen("a", "b")
				b.Ring("a")
				if !rung(l) {
					t.Error("an own ring was not heard")
				}
				l.Close()
			}
		})
	}
	all.Wait()
}
