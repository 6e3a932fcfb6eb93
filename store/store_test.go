package store_test

import (
	gocmp "cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store"
)

func openSQLite(t testing.TB) solera.Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "solera.db"))
}

func openAt(t testing.TB, path string) solera.Store {
	t.Helper()
	s, err := store.OpenSQLite(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestStore is what every database has to pass.
func TestStore(t *testing.T) {
	tests := []struct {
		name string
		run  func(*testing.T, solera.Store)
	}{
		{"a run comes back as it was stored", runRoundTrip},
		{"a run's identifier is used once", runConflict},
		{"updating a run keeps its project and birth", runUpdate},
		{"runs are filtered and come newest first", runFilter},
		{"versions count from 0 and latest follows", versionNumbers},
		{"a version comes back as it was stored", versionRoundTrip},
		{"an artifact keeps its type", artifactType},
		{"an alias names one version", aliases},
		{"an edge needs its run and its version", edges},
		{"a failed update leaves nothing", rollback},
		{"a view sees one moment", snapshot},
		{"points are numbered and followed", points},
		{"a series comes by step", series},
		{"appenders of one run share its numbers", appenders},
		{"committers of one artifact share its numbers", committers},
		{"what is not there is not found", notFound},
		{"a cancelled context stores nothing", cancelled},
		{"odd text survives", oddText},
		{"text that one database cannot keep is refused by all", impossibleText},
		{"names come in the order of their bytes", byteOrder},
		{"the clock goes on", clock},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { eachDatabase(t, tt.run) })
	}
}

var ctx = context.Background()

func update(t testing.TB, s solera.Store, fn func(solera.Tx) error) {
	t.Helper()
	if err := s.Update(ctx, fn); err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, s solera.Store, fn func(solera.Tx) error) {
	t.Helper()
	if err := s.View(ctx, fn); err != nil {
		t.Fatal(err)
	}
}

func createRun(t testing.TB, s solera.Store, r solera.Run) {
	t.Helper()
	r.Project = "p"
	update(t, s, func(tx solera.Tx) error { return tx.CreateRun(r) })
}

func draft(artifact, content string) solera.Version {
	files := []solera.Entry{{Path: "a/b.txt", Digest: solera.DigestOf([]byte(content)), Size: int64(len(content))}}
	digest, err := solera.ContentDigest("dataset", nil, files)
	if err != nil {
		panic(err)
	}
	return solera.Version{
		Project: "p", Artifact: artifact, Type: "dataset", Digest: digest, Size: int64(len(content)),
		Files: files, Run: "r", Created: 1,
	}
}

func commit(t testing.TB, s solera.Store, v solera.Version) (created solera.Version) {
	t.Helper()
	update(t, s, func(tx solera.Tx) (err error) {
		created, err = tx.CreateVersion(v)
		return err
	})
	return created
}

// sameJSON compares as a reader of --json sees things: 1 and json.Number("1")
// are one value.
func sameJSON(t *testing.T, got, want any) {
	t.Helper()
	a, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(want, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(b), string(a)); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func wantErr(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got error %v, want %v", err, kind)
	}
}

func runRoundTrip(t *testing.T, s solera.Store) {
	want := solera.Run{
		ID: "20261122-195312-k7q2mx", Name: "train exp001", Project: "p", Stage: "train", Experiment: "exp001",
		State:   solera.Running,
		Params:  solera.Fields{"seed": uint64(math.MaxUint64), "lr": 0.001, "layers": []int{64, 32}, "o": map[string]any{"x": nil}},
		Summary: solera.Fields{"loss": math.NaN(), "accuracy": 1.0}, Tags: []string{"a", "b"}, Notes: "a\nb",
		Recipe: solera.DigestOf([]byte("recipe")), Code: solera.DigestOf([]byte("code")),
		Solera: "1.0", Host: "h", ReuseOf: "other", Error: "e", Created: 1, Started: 2, Finished: 3,
	}
	update(t, s, func(tx solera.Tx) error { return tx.CreateRun(want) })
	view(t, s, func(tx solera.Tx) error {
		got, err := tx.Run(want.ID)
		sameJSON(t, got, want)
		if seed := got.Params["seed"]; seed != json.Number("18446744073709551615") {
			t.Errorf("seed: got %v, want all its digits", seed)
		}
		if v, ok := got.Summary.Float("accuracy"); v != 1 || !ok {
			t.Errorf("accuracy: got %v, %v", v, ok)
		}
		return err
	})
}

func runConflict(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	err := s.Update(ctx, func(tx solera.Tx) error { return tx.CreateRun(solera.Run{ID: "r", Project: "p"}) })
	wantErr(t, err, solera.ErrConflict)
	err = s.Update(ctx, func(tx solera.Tx) error { return tx.CreateRun(solera.Run{ID: "r/..", Project: "p"}) })
	wantErr(t, err, solera.ErrInvalid)
}

func runUpdate(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r", Created: 5})
	changed := solera.Run{ID: "r", Project: "elsewhere", Created: 9, State: solera.Finished, Stage: "load", Finished: 7, Tags: []string{"x"}}
	update(t, s, func(tx solera.Tx) error { return tx.UpdateRun(changed) })
	view(t, s, func(tx solera.Tx) error {
		got, err := tx.Run("r")
		changed.Project, changed.Created = "p", 5
		sameJSON(t, got, changed)
		return err
	})
}

func runFilter(t *testing.T, s solera.Store) {
	recipe := solera.DigestOf([]byte("x"))
	createRun(t, s, solera.Run{ID: "a", Created: 1, Stage: "train", Experiment: "e1", State: solera.Finished, Recipe: recipe})
	createRun(t, s, solera.Run{ID: "b", Created: 3, Stage: "train", Experiment: "e2", State: solera.Failed, Recipe: recipe})
	createRun(t, s, solera.Run{ID: "c", Created: 2, Stage: "load", State: solera.Finished})
	tests := []struct {
		name string
		q    solera.RunQuery
		want string
	}{
		{"all", solera.RunQuery{}, "b c a"},
		{"project", solera.RunQuery{Project: "p"}, "b c a"},
		{"other project", solera.RunQuery{Project: "q"}, ""},
		{"stage", solera.RunQuery{Stage: "train"}, "b a"},
		{"experiment", solera.RunQuery{Experiment: "e1"}, "a"},
		{"state", solera.RunQuery{State: solera.Finished}, "c a"},
		{"recipe and state", solera.RunQuery{Recipe: recipe, State: solera.Finished}, "a"},
		{"limit", solera.RunQuery{Limit: 2}, "b c"},
	}
	for _, tt := range tests {
		view(t, s, func(tx solera.Tx) error {
			runs, err := tx.Runs(tt.q)
			var ids []string
			for _, r := range runs {
				ids = append(ids, string(r.ID))
			}
			if got := strings.Join(ids, " "); got != tt.want {
				t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
			}
			return err
		})
	}
}

func versionNumbers(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	for i, content := range []string{"x", "y", "x"} {
		if v := commit(t, s, draft("wine", content)); v.Number != i {
			t.Errorf("version %d got number %d", i, v.Number)
		}
		view(t, s, func(tx solera.Tx) error {
			id, err := tx.Resolve(solera.Ref{Project: "p", Artifact: "wine", Alias: solera.Latest})
			if id.Number != i {
				t.Errorf("latest: got v%d, want v%d", id.Number, i)
			}
			return err
		})
	}
	if v := commit(t, s, draft("other", "x")); v.Number != 0 {
		t.Errorf("another artifact starts at v%d, want v0", v.Number)
	}
	view(t, s, func(tx solera.Tx) error {
		list, err := tx.Artifacts("p")
		if len(list) != 2 || list[0].Name != "other" || list[1].Name != "wine" || list[1].Newest != 2 {
			t.Errorf("Artifacts = %+v", list)
		}
		return err
	})
}

func versionRoundTrip(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	want := draft("wine", "x")
	want.Metadata = solera.Fields{"rows": 142}
	want.Tags, want.Description, want.Expires = []string{"a", "b"}, "split by\ntime", 7
	want.Files = append(want.Files, solera.Entry{Path: "B", Digest: solera.DigestOf(nil), Size: 3, Ref: "s3://bucket/key"}, solera.Entry{Path: "ü", Digest: solera.DigestOf(nil)})
	commit(t, s, want)
	want.Aliases = []string{"champion", "latest"}
	slices.SortFunc(want.Files, func(a, b solera.Entry) int { return strings.Compare(a.Path, b.Path) })
	update(t, s, func(tx solera.Tx) error { return tx.SetAlias(want.ID(), "champion") })
	view(t, s, func(tx solera.Tx) error {
		got, err := tx.Version(want.ID())
		sameJSON(t, got, want)
		if err != nil {
			return err
		}
		for _, q := range []solera.VersionQuery{
			{Files: true}, {Project: "p", Artifact: "wine", Files: true}, {Digest: want.Digest, Files: true}, {Run: "r", Limit: 1, Files: true},
		} {
			list, err := tx.Versions(q)
			if err != nil {
				return err
			}
			sameJSON(t, list, []solera.Version{want})
		}
		none, err := tx.Versions(solera.VersionQuery{Artifact: "none"})
		sameJSON(t, none, []solera.Version{})
		return err
	})
}

func artifactType(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	commit(t, s, draft("wine", "x"))
	v := draft("wine", "y")
	v.Type = "model"
	err := s.Update(ctx, func(tx solera.Tx) error { _, err := tx.CreateVersion(v); return err })
	wantErr(t, err, solera.ErrConflict)
	if v := commit(t, s, draft("wine", "z")); v.Number != 1 {
		t.Errorf("the refused version took a number: next is v%d, want v1", v.Number)
	}
}

func aliases(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	v0, v1 := commit(t, s, draft("wine", "x")).ID(), commit(t, s, draft("wine", "y")).ID()
	resolve := func(alias string) (id solera.VersionID, err error) {
		err = s.View(ctx, func(tx solera.Tx) error {
			id, err = tx.Resolve(solera.Ref{Project: "p", Artifact: "wine", Alias: alias})
			return err
		})
		return id, err
	}
	for _, id := range []solera.VersionID{v1, v0} {
		update(t, s, func(tx solera.Tx) error { return tx.SetAlias(id, "champion") })
		if got, err := resolve("champion"); got != id || err != nil {
			t.Errorf("champion: got %v, %v, want %v", got, err, id)
		}
	}
	for _, bad := range []string{"latest", "v3", "V3", "", "a b"} {
		err := s.Update(ctx, func(tx solera.Tx) error { return tx.SetAlias(v0, bad) })
		wantErr(t, err, solera.ErrInvalid)
	}
	err := s.Update(ctx, func(tx solera.Tx) error {
		return tx.SetAlias(solera.VersionID{Project: "p", Artifact: "wine", Number: 7}, "x")
	})
	wantErr(t, err, solera.ErrNotFound)
	for range 2 {
		update(t, s, func(tx solera.Tx) error { return tx.DeleteAlias("p", "wine", "champion") })
	}
	_, err = resolve("champion")
	wantErr(t, err, solera.ErrNotFound)
}

func edges(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	createRun(t, s, solera.Run{ID: "q"})
	v := commit(t, s, draft("wine", "x"))
	all := []solera.Edge{{Run: "q", Version: v.ID(), Kind: solera.Used}, {Run: "r", Version: v.ID(), Kind: solera.Made}}
	for _, e := range append(all, all...) {
		update(t, s, func(tx solera.Tx) error { return tx.AddEdge(e) })
	}
	tests := []struct {
		q    solera.EdgeQuery
		want []solera.Edge
	}{
		{solera.EdgeQuery{}, all},
		{solera.EdgeQuery{Run: "r"}, all[1:]},
		{solera.EdgeQuery{Version: v.ID()}, all},
		{solera.EdgeQuery{Version: v.ID(), Kind: solera.Used}, all[:1]},
		{solera.EdgeQuery{Run: "none"}, []solera.Edge{}},
	}
	for _, tt := range tests {
		view(t, s, func(tx solera.Tx) error {
			got, err := tx.Edges(tt.q)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%+v: want -, got +:\n%s", tt.q, diff)
			}
			return err
		})
	}
	for _, bad := range []solera.Edge{
		{Run: "none", Version: v.ID(), Kind: solera.Used},
		{Run: "r", Version: solera.VersionID{Project: "p", Artifact: "wine", Number: 1}, Kind: solera.Used},
	} {
		wantErr(t, s.Update(ctx, func(tx solera.Tx) error { return tx.AddEdge(bad) }), solera.ErrNotFound)
	}
}

func rollback(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	broken := errors.New("changed my mind")
	err := s.Update(ctx, func(tx solera.Tx) error {
		if err := tx.CreateRun(solera.Run{ID: "gone", Project: "p"}); err != nil {
			return err
		}
		if _, err := tx.CreateVersion(draft("gone", "x")); err != nil {
			return err
		}
		return broken
	})
	wantErr(t, err, broken)
	view(t, s, func(tx solera.Tx) error {
		_, err := tx.Run("gone")
		wantErr(t, err, solera.ErrNotFound)
		_, err = tx.Artifact("p", "gone")
		wantErr(t, err, solera.ErrNotFound)
		return nil
	})
}

func snapshot(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	view(t, s, func(tx solera.Tx) error {
		before, err := tx.Runs(solera.RunQuery{})
		if err != nil {
			return err
		}
		createRun(t, s, solera.Run{ID: "meanwhile"})
		after, err := tx.Runs(solera.RunQuery{})
		if len(before) != 1 || len(after) != 1 {
			t.Errorf("runs seen before and after a commit: %d, %d, want 1, 1", len(before), len(after))
		}
		return err
	})
	err := s.View(ctx, func(tx solera.Tx) error { return tx.CreateRun(solera.Run{ID: "w", Project: "p"}) })
	if err == nil {
		t.Error("View let a function write")
	}
}

func points(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	createRun(t, s, solera.Run{ID: "other"})
	var want []solera.Point
	for i := range 10 {
		batch := []solera.Point{
			{Key: "train/loss", Step: int64(i), Value: 1 / float64(i), Time: solera.Micros(i)},
			{Key: "val/loss", Step: int64(i), Value: -float64(i), Time: solera.Micros(i)},
		}
		want = append(want, batch...)
		if last, err := s.Append(ctx, "r", batch); err != nil || last != int64(2*i+2) {
			t.Fatalf("Append = %d, %v, want %d", last, err, 2*i+2)
		}
		if _, err := s.Append(ctx, "other", batch[:1]); err != nil {
			t.Fatal(err)
		}
	}
	var got []solera.Point
	var cursor int64
	for {
		batch, next, err := s.Since(ctx, "r", cursor, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(batch) == 0 {
			if next != cursor {
				t.Errorf("cursor moved from %d to %d without points", cursor, next)
			}
			break
		}
		got, cursor = append(got, batch...), next
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	keys, err := s.Keys(ctx, "r")
	if err != nil || !slices.Equal(keys, []string{"train/loss", "val/loss"}) {
		t.Errorf("Keys = %v, %v", keys, err)
	}
	if last, err := s.Append(ctx, "r", nil); err != nil || last != 20 {
		t.Errorf("appending nothing = %d, %v, want 20", last, err)
	}
	_, err = s.Append(ctx, "none", want[:1])
	wantErr(t, err, solera.ErrNotFound)
	for _, key := range []string{"", strings.Repeat("x", 1025), "\xff"} {
		_, err = s.Append(ctx, "r", []solera.Point{{Key: key}})
		wantErr(t, err, solera.ErrInvalid)
	}
}

func series(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	values := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.SmallestNonzeroFloat64, math.MaxFloat64, 0.1}
	steps := []int64{3, 1, math.MaxInt64, math.MinInt64, 1, 2, 0}
	var all []solera.Point
	for i, v := range values {
		all = append(all, solera.Point{Key: "x", Step: steps[i], Value: v})
	}
	if _, err := s.Append(ctx, "r", all); err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(all, func(a, b solera.Point) int { return gocmp.Compare(a.Step, b.Step) })
	got, err := s.Series(ctx, solera.SeriesQuery{Run: "r", Key: "x"})
	if err != nil || len(got) != len(all) {
		t.Fatalf("Series = %d points, %v, want %d", len(got), err, len(all))
	}
	for i := range got {
		same := math.Float64bits(got[i].Value) == math.Float64bits(all[i].Value) || math.IsNaN(got[i].Value) && math.IsNaN(all[i].Value)
		if got[i].Step != all[i].Step || !same {
			t.Errorf("point %d: got %v, want %v", i, got[i], all[i])
		}
	}
	none, err := s.Series(ctx, solera.SeriesQuery{Run: "r", Key: "none"})
	if err != nil || len(none) != 0 {
		t.Errorf("a metric nobody recorded: %d points, %v", len(none), err)
	}
}

func appenders(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	const writers, batches, size = 8, 20, 3
	// A reader follows meanwhile and must miss nothing.
	var followed []solera.Point
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var cursor int64
		for last := false; ; {
			batch, next, err := s.Since(ctx, "r", cursor, 0)
			if err != nil {
				t.Error(err)
				return
			}
			followed, cursor = append(followed, batch...), next
			if last {
				return
			}
			select {
			case <-stop:
				last = true
			default:
			}
		}
	}()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for b := range batches {
				var batch []solera.Point
				for i := range size {
					batch = append(batch, solera.Point{Key: fmt.Sprint("w", w), Step: int64(b*size + i)})
				}
				if _, err := s.Append(ctx, "r", batch); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	<-done
	if len(followed) != writers*batches*size {
		t.Errorf("the reader saw %d points, want %d", len(followed), writers*batches*size)
	}
	next := make(map[string]int64)
	for _, p := range followed {
		if p.Step != next[p.Key] {
			t.Errorf("%s: step %d after %d", p.Key, p.Step, next[p.Key]-1)
		}
		next[p.Key]++
	}
}

func committers(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	const writers, each = 8, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := s.Update(ctx, func(tx solera.Tx) error {
					_, err := tx.CreateVersion(draft("wine", fmt.Sprint(w, i)))
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	noGap(t, s, "wine", writers*each)
}

func noGap(t *testing.T, s solera.Store, artifact string, want int) {
	t.Helper()
	view(t, s, func(tx solera.Tx) error {
		list, err := tx.Versions(solera.VersionQuery{Project: "p", Artifact: artifact})
		for i, v := range list {
			if v.Number != len(list)-1-i {
				t.Errorf("%s: version %d of %d has number %d", artifact, len(list)-1-i, len(list), v.Number)
			}
			if latest := slices.Contains(v.Aliases, "latest"); latest != (i == 0) {
				t.Errorf("%s: latest on v%d: %v", artifact, v.Number, latest)
			}
		}
		if len(list) != want {
			t.Errorf("%s has %d versions, want %d", artifact, len(list), want)
		}
		return err
	})
}

func notFound(t *testing.T, s solera.Store) {
	view(t, s, func(tx solera.Tx) error {
		_, err := tx.Run("none")
		wantErr(t, err, solera.ErrNotFound)
		_, err = tx.Artifact("p", "none")
		wantErr(t, err, solera.ErrNotFound)
		_, err = tx.Version(solera.VersionID{Project: "p", Artifact: "none"})
		wantErr(t, err, solera.ErrNotFound)
		for _, ref := range []string{"none:v0", "none:latest", "none:champion"} {
			r, _ := solera.ParseRef("p/" + ref)
			_, err = tx.Resolve(r)
			wantErr(t, err, solera.ErrNotFound)
			if !strings.Contains(err.Error(), ref) {
				t.Errorf("error %q does not name %s", err, ref)
			}
		}
		return nil
	})
	err := s.Update(ctx, func(tx solera.Tx) error { return tx.UpdateRun(solera.Run{ID: "none"}) })
	wantErr(t, err, solera.ErrNotFound)
}

func cancelled(t *testing.T, s solera.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	err := s.Update(ctx, func(tx solera.Tx) error {
		if err := tx.CreateRun(solera.Run{ID: "r", Project: "p"}); err != nil {
			return err
		}
		cancel()
		return nil
	})
	wantErr(t, err, context.Canceled)
	view(t, s, func(tx solera.Tx) error {
		_, err := tx.Run("r")
		wantErr(t, err, solera.ErrNotFound)
		return nil
	})
}

func oddText(t *testing.T, s solera.Store) {
	odd := "quote ' \" `; DROP TABLE runs; -- \n\t 漢字 \U0001f377 \u202e"
	want := solera.Run{ID: "r", Project: "p", Name: odd, Notes: odd, Tags: []string{odd}, Params: solera.Fields{odd: odd}}
	update(t, s, func(tx solera.Tx) error { return tx.CreateRun(want) })
	view(t, s, func(tx solera.Tx) error {
		got, err := tx.Run("r")
		sameJSON(t, got.Params, want.Params)
		if got.Name != odd || got.Notes != odd || got.Tags[0] != odd {
			t.Errorf("got %q, %q, %q", got.Name, got.Notes, got.Tags)
		}
		return err
	})
}

func impossibleText(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	v := commit(t, s, draft("wine", "x"))
	for _, bad := range []string{"\x00", "a\x00b", "\xff", "caf\xe9", "\xed\xa0\x80"} {
		for name, fn := range map[string]func(solera.Tx) error{
			"name":  func(tx solera.Tx) error { return tx.CreateRun(solera.Run{ID: "bad", Project: "p", Name: bad}) },
			"notes": func(tx solera.Tx) error { return tx.UpdateRun(solera.Run{ID: "r", Notes: bad}) },
			"description": func(tx solera.Tx) error {
				v := v
				v.Description = bad
				return tx.UpdateVersion(v)
			},
		} {
			if err := s.Update(ctx, fn); !errors.Is(err, solera.ErrInvalid) {
				t.Errorf("%s %q: got error %v, want ErrInvalid", name, bad, err)
			}
		}
		view(t, s, func(tx solera.Tx) error {
			if _, err := tx.Artifact("p", bad); err == nil {
				t.Errorf("an artifact named %q is there", bad)
			}
			return nil
		})
	}
	// In JSON they have a spelling.
	params := solera.Fields{"a\x00b": "c\x00d"}
	createRun(t, s, solera.Run{ID: "q", Params: params})
	view(t, s, func(tx solera.Tx) error {
		got, err := tx.Run("q")
		sameJSON(t, got.Params, params)
		return err
	})
}

func byteOrder(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	want := []string{"A-b", "A.b", "A1", "AB", "A_b", "B", "a", "aB", "ab", "b"}
	for _, i := range []int{3, 7, 0, 9, 5, 1, 8, 2, 6, 4} {
		commit(t, s, draft(want[i], "x"))
	}
	view(t, s, func(tx solera.Tx) error {
		list, err := tx.Artifacts("p")
		var got []string
		for _, a := range list {
			got = append(got, a.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		return err
	})
}

func clock(t *testing.T, s solera.Store) {
	var first, second solera.Micros
	update(t, s, func(tx solera.Tx) (err error) {
		if first, err = tx.Now(); err != nil {
			return err
		}
		time.Sleep(2 * time.Millisecond)
		second, err = tx.Now()
		return err
	})
	if second < first+2000 {
		t.Errorf("2 ms after %v it is %v", first, second)
	}
	if away := time.Since(first.Time()).Abs(); away > time.Hour {
		t.Errorf("the clock is %v away from this machine's", away)
	}
}

// Whatever the order of commits and aliases, numbers have no gap, latest is
// the newest, and an alias names what it was set to last.
func TestVersionsAndAliasesFollowTheirModel(t *testing.T) {
	eachDatabase(t, versionsAndAliasesFollowTheirModel)
}

func versionsAndAliasesFollowTheirModel(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	instance := 0
	rapid.Check(t, func(rt *rapid.T) {
		instance++
		artifact := fmt.Sprint("a", instance)
		var contents []string
		named := make(map[string]int)
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			if len(contents) == 0 || rapid.Bool().Draw(rt, "commit") {
				content := rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "content")
				if v := commit(t, s, draft(artifact, content)); v.Number != len(contents) {
					rt.Fatalf("commit %d got number %d", len(contents), v.Number)
				}
				contents = append(contents, content)
				continue
			}
			alias := rapid.SampledFrom([]string{"champion", "best"}).Draw(rt, "alias")
			number := rapid.IntRange(0, len(contents)-1).Draw(rt, "number")
			update(t, s, func(tx solera.Tx) error {
				return tx.SetAlias(solera.VersionID{Project: "p", Artifact: artifact, Number: number}, alias)
			})
			named[alias] = number
		}
		view(t, s, func(tx solera.Tx) error {
			list, err := tx.Versions(solera.VersionQuery{Project: "p", Artifact: artifact, Files: true})
			if len(list) != len(contents) {
				rt.Fatalf("%d versions, want %d", len(list), len(contents))
			}
			for i, v := range list {
				number := len(contents) - 1 - i
				var want []string
				for alias, n := range named {
					if n == number {
						want = append(want, alias)
					}
				}
				if i == 0 {
					want = append(want, "latest")
				}
				slices.Sort(want)
				if v.Number != number || !slices.Equal(v.Aliases, want) || v.Digest != draft(artifact, contents[number]).Digest {
					rt.Fatalf("version %d: got v%d %v, want %v", number, v.Number, v.Aliases, want)
				}
			}
			return err
		})
	})
}
