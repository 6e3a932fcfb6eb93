package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store"
)

func TestRuns(t *testing.T) {
	tests := []struct {
		name string
		run  func(*testing.T, solera.Store)
	}{
		{"everything of a run comes back", wholeRun},
		{"deleted runs are hidden, not gone", deletedRuns},
		{"a removed run leaves nothing, unless a version needs it", removedRun},
		{"a run has files", runFiles},
		{"the audit log has what changed of a run", runAudit},
		{"many runs are found across chunks", manyRuns},
		{"keys that databases do not like are found", oddKeys},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { eachDatabase(t, tt.run) })
	}
}

func wholeRun(t *testing.T, s solera.Store) {
	r := solera.Run{
		ID: "r", Project: "p", Group: "folds", State: solera.Running, Environment: solera.Fields{"git": map[string]any{"commit": "abc"}},
		Created: 7, Started: 8, Tags: []string{"a", "b"},
	}
	createRun(t, s, r)
	if err := s.Beat(ctx, "r"); err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx solera.Tx) error {
		r, err := tx.Run("r")
		if err != nil {
			return err
		}
		r.State, r.Deleted, r.Heartbeat, r.Created = solera.Finished, 9, 1, 1
		return tx.UpdateRun(r)
	})
	view(t, s, func(tx solera.Tx) error {
		got, err := tx.Run("r")
		if got.Heartbeat < 1_000_000 || got.Created != 7 {
			t.Errorf("heartbeat %d and birth %d were changed", got.Heartbeat, got.Created)
		}
		if got.Group != "folds" || got.Deleted != 9 || got.Environment.Flat().Text("git.commit") != "abc" || got.State != solera.Finished {
			t.Errorf("came back as %+v", got)
		}
		return err
	})
}

func found(t *testing.T, s solera.Store, q solera.RunQuery) (ids []string, count int) {
	t.Helper()
	view(t, s, func(tx solera.Tx) error {
		ids = nil
		runs, err := tx.Runs(q)
		if err != nil {
			return err
		}
		for _, r := range runs {
			ids = append(ids, string(r.ID))
		}
		count, err = tx.CountRuns(q)
		return err
	})
	return ids, count
}

func deletedRuns(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "kept", Project: "p", Stage: "train"})
	createRun(t, s, solera.Run{ID: "gone", Project: "p", Stage: "train", Deleted: 5})
	for _, q := range []solera.RunQuery{{Project: "p"}, {Project: "p", Stage: "train"}, {}} {
		if ids, n := found(t, s, q); !slices.Equal(ids, []string{"kept"}) || n != 1 {
			t.Errorf("%+v: got %v of %d", q, ids, n)
		}
		q.Deleted = true
		if ids, n := found(t, s, q); !slices.Equal(ids, []string{"kept", "gone"}) || n != 2 {
			t.Errorf("%+v: got %v of %d", q, ids, n)
		}
	}
	view(t, s, func(tx solera.Tx) error {
		_, err := tx.Run("gone")
		return err
	})
}

func removedRun(t *testing.T, s solera.Store) {
	for _, id := range []solera.RunID{"maker", "user", "lone"} {
		createRun(t, s, solera.Run{ID: id, Project: "p"})
	}
	v := draft("a", "content")
	v.Run = "maker"
	made := commit(t, s, v)
	update(t, s, func(tx solera.Tx) error {
		return tx.AddEdge(solera.Edge{Run: "user", Version: made.ID(), Kind: solera.Used})
	})
	if _, err := s.Append(ctx, "lone", []solera.Point{{Key: "k", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Print(ctx, "lone", []solera.Line{{Stream: "out", Text: "hello"}}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []solera.RunID{"maker", "user"} {
		wantErr(t, s.Update(ctx, func(tx solera.Tx) error { return tx.RemoveRun(id) }), solera.ErrConflict)
	}
	update(t, s, func(tx solera.Tx) error { return tx.RemoveRun("lone") })
	wantErr(t, s.Update(ctx, func(tx solera.Tx) error { return tx.RemoveRun("lone") }), solera.ErrNotFound)
	if ids, n := found(t, s, solera.RunQuery{Where: solera.Expr{Op: solera.Exists, Field: "id"}}); n != 2 || slices.Contains(ids, "lone") {
		t.Errorf("got %v of %d", ids, n)
	}
	// A run of the same name begins with nothing.
	createRun(t, s, solera.Run{ID: "lone", Project: "p"})
	if points, _, err := s.Since(ctx, "lone", 0, 0); err != nil || len(points) != 0 {
		t.Errorf("points %v, %v", points, err)
	}
	if lines, err := s.Lines(ctx, "lone", 0, 0); err != nil || len(lines) != 0 {
		t.Errorf("lines %v, %v", lines, err)
	}
}

func runFiles(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r", Project: "p"})
	one, two := solera.DigestOf([]byte("1")), solera.DigestOf([]byte("2"))
	update(t, s, func(tx solera.Tx) error {
		for _, e := range []solera.Entry{{Path: "b", Digest: one, Size: 1}, {Path: "B/c", Digest: one, Size: 1}, {Path: "b", Digest: two, Size: 2}} {
			if err := tx.SetFile("r", e); err != nil {
				return err
			}
		}
		return nil
	})
	view(t, s, func(tx solera.Tx) error {
		got, err := tx.RunFiles("r")
		if want := []solera.Entry{{Path: "B/c", Digest: one, Size: 1}, {Path: "b", Digest: two, Size: 2}}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		return err
	})
	for path, kind := range map[string]error{"../b": solera.ErrInvalid, "/b": solera.ErrInvalid, "": solera.ErrInvalid} {
		wantErr(t, s.Update(ctx, func(tx solera.Tx) error { return tx.SetFile("r", solera.Entry{Path: path, Digest: one}) }), kind)
	}
	wantErr(t, s.Update(ctx, func(tx solera.Tx) error { return tx.SetFile("none", solera.Entry{Path: "b", Digest: one}) }), solera.ErrNotFound)
	update(t, s, func(tx solera.Tx) error { return tx.DeleteFile("r", "b") })
	view(t, s, func(tx solera.Tx) error {
		got, err := tx.RunFiles("r")
		if want := []solera.Entry{{Path: "B/c", Digest: one, Size: 1}}; !slices.Equal(got, want) {
			t.Errorf("after a deletion: got %v, want %v", got, want)
		}
		return err
	})
	for _, of := range [][2]string{{"r", "b"}, {"none", "b"}, {"r", "../b"}} {
		wantErr(t, s.Update(ctx, func(tx solera.Tx) error { return tx.DeleteFile(solera.RunID(of[0]), of[1]) }), solera.ErrNotFound)
	}
	wantErr(t, s.View(ctx, func(tx solera.Tx) error { _, err := tx.RunFiles("none"); return err }), solera.ErrNotFound)
}

func runAudit(t *testing.T, s solera.Store) {
	r := solera.Run{ID: "r", Project: "p", State: solera.Running, Params: solera.Fields{"lr": 0.1}, Summary: solera.Fields{"val": map[string]any{"loss": 1, "rows": 3}}}
	createRun(t, s, r)
	update(t, s, func(tx solera.Tx) error {
		changed := r
		changed.State, changed.Summary = solera.Finished, solera.Fields{"val": map[string]any{"loss": 0.5, "rows": 3.0}}
		if err := tx.UpdateRun(changed); err != nil {
			return err
		}
		return tx.UpdateRun(changed) // changes nothing
	})
	update(t, s, func(tx solera.Tx) error {
		if err := tx.SetFile("r", solera.Entry{Path: "f", Digest: solera.DigestOf(nil)}); err != nil {
			return err
		}
		return tx.RemoveRun("r")
	})
	var got []string
	view(t, s, func(tx solera.Tx) error {
		entries, err := tx.Audit(solera.AuditQuery{Subject: "r"})
		got = nil
		for _, e := range entries {
			got = append(got, e.Action)
			if e.Action != "run.update" {
				continue
			}
			before, err := e.Before.MarshalJSON()
			if err != nil {
				return err
			}
			after, err := e.After.MarshalJSON()
			if err != nil {
				return err
			}
			if string(before) != `{"state":"running","summary.val.loss":1}` || string(after) != `{"state":"finished","summary.val.loss":0.5}` {
				t.Errorf("an update is noted as %s → %s", before, after)
			}
		}
		return err
	})
	if want := []string{"run.create", "run.update", "run.file", "run.remove"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// More runs than a chunk has, so that the tail was packed and a chunk filled.
func manyRuns(t *testing.T, s solera.Store) {
	const n = 1100
	update(t, s, func(tx solera.Tx) error {
		for i := range n {
			r := solera.Run{
				ID: solera.RunID(fmt.Sprintf("r%04d", i)), Project: "p", Created: solera.Micros(i % 7),
				Summary: solera.Fields{"x": float64(i * 37 % n)},
			}
			if i%100 == 0 {
				r.Params = solera.Fields{"rare": true}
			}
			if err := tx.CreateRun(r); err != nil {
				return err
			}
		}
		return nil
	})
	rare, err := solera.ParseExpr("params.rare = true and summary.x >= 100")
	if err != nil {
		t.Fatal(err)
	}
	if ids, count := found(t, s, solera.RunQuery{Where: rare}); count != len(ids) || count != 10 {
		t.Errorf("%d of %d runs, want 10", len(ids), count)
	}
	order := []solera.RunOrder{{Field: "summary.x", Descending: true}}
	for _, offset := range []int{0, 500, n - 2} {
		ids, count := found(t, s, solera.RunQuery{Order: order, Limit: 3, Offset: offset})
		if count != n || len(ids) != min(3, n-offset) {
			t.Fatalf("%v of %d", ids, count)
		}
		for k, id := range ids {
			var i int
			if _, err := fmt.Sscanf(id, "r%d", &i); err != nil || i*37%n != n-1-offset-k {
				t.Errorf("at %d there is %s with %d", offset+k, id, i*37%n)
			}
		}
	}
	// Of equal Created the larger ID comes first, also without the index.
	byColumns, _ := found(t, s, solera.RunQuery{Limit: 20, Stage: "", Offset: 1, Where: solera.Expr{Op: solera.Exists, Field: "id"}})
	byRecords, _ := found(t, s, solera.RunQuery{Project: "p", Limit: 20, Offset: 1})
	if !slices.Equal(byColumns, byRecords) {
		t.Errorf("the newest are %v by the index and %v by the records", byColumns, byRecords)
	}
}

func oddKeys(t *testing.T, s solera.Store) {
	keys := []string{"a\x00b", "a\x01b", strings.Repeat("long ", 1000), "val/loss", "a.b", "größe", "'\"`", ""}
	for i, key := range keys {
		createRun(t, s, solera.Run{ID: solera.RunID(fmt.Sprint("r", i)), Project: "p", Params: solera.Fields{key: i, "x": 1}})
	}
	for range 2 { // in the tail, then in columns
		for i, key := range keys[:len(keys)-1] { // "" makes no field
			where := solera.Expr{Op: solera.Equal, Field: "params." + key, Values: []any{float64(i)}}
			if ids, _ := found(t, s, solera.RunQuery{Where: where}); !slices.Equal(ids, []string{fmt.Sprint("r", i)}) {
				t.Errorf("%.20q: got %v", key, ids)
			}
		}
		if err := s.(*store.DB).Pack(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
