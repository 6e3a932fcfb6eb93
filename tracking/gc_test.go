package tracking_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
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
	"github.com/solera-ml/solera/tracking"
)

// memory is a solera.Blobs whose clock the test moves.
type memory struct {
	mu       sync.Mutex
	now      time.Time
	content  map[solera.Digest][]byte
	put      map[solera.Digest]time.Time
	leftover int
	// step is called before every change and may refuse it, as a kill does.
	step func(what string) error
}

func newMemory() *memory {
	return &memory{now: time.Now(), content: map[solera.Digest][]byte{}, put: map[solera.Digest]time.Time{}}
}

func (m *memory) Put(_ context.Context, r io.Reader) (solera.Digest, int64, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return solera.Digest{}, 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d := solera.DigestOf(b)
	m.content[d], m.put[d] = b, m.now
	return d, int64(len(b)), nil
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func (m *memory) Open(_ context.Context, d solera.Digest) (io.ReadSeekCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.content[d]
	if !ok {
		return nil, solera.ErrNotFound
	}
	return nopCloser{bytes.NewReader(b)}, nil
}

func (m *memory) Stat(_ context.Context, d solera.Digest) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.content[d]
	if !ok {
		return 0, solera.ErrNotFound
	}
	return int64(len(b)), nil
}

func (m *memory) Delete(_ context.Context, d solera.Digest) error {
	if m.step != nil {
		if err := m.step("delete"); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.content, d)
	delete(m.put, d)
	return nil
}

func (m *memory) List(_ context.Context, fn func(solera.Digest, int64, time.Time) error) error {
	for _, d := range m.all() {
		m.mu.Lock()
		size, put, ok := int64(len(m.content[d])), m.put[d], m.content[d] != nil
		m.mu.Unlock()
		if !ok {
			continue
		}
		if err := fn(d, size, put); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) all() []solera.Digest {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []solera.Digest
	for d := range m.content {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b solera.Digest) int { return bytes.Compare(a[:], b[:]) })
	return list
}

func (m *memory) Sweep(context.Context, time.Time) (int, int64, error) {
	n := m.leftover
	m.leftover = 0
	return n, int64(10 * n), nil
}

// steps is a store that tells before and after each Update and View.
type steps struct {
	solera.Store
	step func(what string) error
}

func (s *steps) Update(ctx context.Context, fn func(solera.Tx) error) error {
	if err := s.step("before update"); err != nil {
		return err
	}
	if err := s.Store.Update(ctx, fn); err != nil {
		return err
	}
	return s.step("after update")
}

func (s *steps) View(ctx context.Context, fn func(solera.Tx) error) error {
	if err := s.Store.View(ctx, fn); err != nil {
		return err
	}
	return s.step("after view")
}

// emptyStore is the file of a new store, which takes longer to make than to
// copy.
var emptyStore = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "solera-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "solera.db")
	s, err := store.OpenSQLite(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// inMemory returns a tracker whose contents are in memory, with its clock.
func inMemory(t interface {
	Fatal(...any)
	Cleanup(func())
},
) (*tracking.Tracker, *memory) {
	parent := "" // the disk's syncs are not what is tested here
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		parent = "/dev/shm"
	}
	dir, err := os.MkdirTemp(parent, "solera-test-")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "solera.db")
	fresh, err := emptyStore()
	if err == nil {
		err = os.WriteFile(path, fresh, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.OpenSQLite(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		os.RemoveAll(dir)
	})
	m := newMemory()
	return &tracking.Tracker{Store: s, Blobs: m, Project: "wine"}, m
}

func gc(t testing.TB, tr *tracking.Tracker, m *memory, o tracking.GCOptions) tracking.GCReport {
	t.Helper()
	o.Clock = func() time.Time { return m.now }
	r, err := tracking.GC(ctx, tr.Store, tr.Blobs, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func reasons(r tracking.GCReport) (list []string) {
	for _, one := range r.Reasons {
		list = append(list, fmt.Sprintf("%s: %d versions, %d runs, %d blobs, %d bytes", one.Reason, one.Versions, one.Runs, one.Blobs, one.Bytes))
	}
	return list
}

func TestGCFreesWhatNothingNeeds(t *testing.T) {
	tr, m := inMemory(t)
	r := start(t, tr, "load")
	for i := range 5 {
		commit(t, r, "a", fmt.Sprint("a", i)) // 2 bytes each
	}
	commit(t, r, "b", "a3") // shares a content
	commit(t, r, "c", "12345")
	finish(t, r)
	change(t, tr, "c:v0", func(v *solera.Version, now solera.Micros) { v.Expires = now - 1 })
	gone := start(t, tr, "notes")
	d, n, err := m.Put(ctx, strings.NewReader("a run's file"))
	if err != nil {
		t.Fatal(err)
	}
	update(t, tr, func(tx solera.Tx) error { return tx.SetFile(gone.ID(), solera.Entry{Path: "x", Digest: d, Size: n}) })
	finish(t, gone)
	update(t, tr, func(tx solera.Tx) error {
		for _, id := range []solera.RunID{gone.ID(), r.ID()} { // the second has made versions
			run, err := tx.Run(id)
			if err != nil {
				return err
			}
			if run.Deleted, err = tx.Now(); err != nil {
				return err
			}
			if err := tx.UpdateRun(run); err != nil {
				return err
			}
		}
		return nil
	})
	if _, _, err := m.Put(ctx, strings.NewReader("nobody's")); err != nil {
		t.Fatal(err)
	}
	m.leftover = 3
	o := tracking.GCOptions{Project: "wine", Retention: tracking.Retention{KeepRule: tracking.KeepRule{KeepVersions: 2}}}
	young := gc(t, tr, m, o)
	if young.Blobs != 0 || young.Young.Blobs != 5 {
		t.Errorf("within the grace: %+v", young)
	}
	m.now = m.now.Add(2 * time.Hour)
	want := []string{
		"expired: 1 versions, 0 runs, 1 blobs, 5 bytes",
		"retention: 3 versions, 0 runs, 3 blobs, 6 bytes",
		"deleted run: 0 versions, 1 runs, 1 blobs, 12 bytes",
		"unreferenced: 0 versions, 0 runs, 1 blobs, 8 bytes",
	}
	before, audit := dump(t, tr.Store)
	dry := gc(t, tr, m, o)
	if diff := cmp.Diff(want, reasons(dry)); diff != "" {
		t.Errorf("dry run (-want +got):\n%s", diff)
	}
	if after, n := dump(t, tr.Store); !cmp.Equal(before, after) || n != audit || len(m.content) != 8 {
		t.Errorf("a dry run changed something: %d contents", len(m.content))
	}
	o.Delete = true
	done := gc(t, tr, m, o)
	if diff := cmp.Diff(append(want, "leftover: 0 versions, 0 runs, 3 blobs, 30 bytes"), reasons(done)); diff != "" {
		t.Errorf("gc (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(dry.Versions, done.Versions); diff != "" || len(m.content) != 2 {
		t.Errorf("%d contents are left, want a3 and a4; versions (-dry +done):\n%s", len(m.content), diff)
	}
	if _, err := tr.Run(ctx, gone.ID()); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("the deleted run: %v", err)
	}
	if _, err := tr.Run(ctx, r.ID()); err != nil {
		t.Errorf("the run that a lineage names: %v", err)
	}
	wantSound(t, tr)
	if again := gc(t, tr, m, o); again.Blobs != 0 || len(again.Versions) != 0 {
		t.Errorf("a second gc freed %+v", again)
	}
}

func TestRetentionKeepsWhatIsNeeded(t *testing.T) {
	versions := tracking.KeepRule{KeepVersions: 1}
	tests := []struct {
		name   string
		rules  tracking.Retention
		change func(t *testing.T, tr *tracking.Tracker)
		want   []string // given up, of five versions of "a" and what the case adds
	}{
		{"no rule", tracking.Retention{}, nil, nil},
		{"the newest two", tracking.Retention{KeepRule: tracking.KeepRule{KeepVersions: 2}}, nil, []string{"a:v2", "a:v1", "a:v0"}},
		{"the newest always", tracking.Retention{KeepRule: versions}, nil, []string{"a:v3", "a:v2", "a:v1", "a:v0"}},
		{"young ones", tracking.Retention{KeepRule: tracking.KeepRule{KeepDays: 1}}, nil, nil},
		{"either number keeps", tracking.Retention{KeepRule: tracking.KeepRule{KeepVersions: 1, KeepDays: 1}}, nil, nil},
		{"another artifact's rule", tracking.Retention{Artifacts: []tracking.ArtifactRetention{{Pattern: "b*", KeepRule: versions}}}, nil, nil},
		{"the first rule that matches", tracking.Retention{
			KeepRule:  versions,
			Artifacts: []tracking.ArtifactRetention{{Pattern: "?"}, {Pattern: "*", KeepRule: versions}},
		}, nil, nil},
		{"an alias", tracking.Retention{KeepRule: versions}, func(t *testing.T, tr *tracking.Tracker) {
			if err := tr.SetAlias(ctx, "a:v1", "champion"); err != nil {
				t.Fatal(err)
			}
		}, []string{"a:v3", "a:v2", "a:v0"}},
		{"the tag keep", tracking.Retention{KeepRule: versions}, func(t *testing.T, tr *tracking.Tracker) {
			change(t, tr, "a:v2", func(v *solera.Version, _ solera.Micros) { v.Tags = []string{tracking.KeepTag} })
		}, []string{"a:v3", "a:v1", "a:v0"}},
		{"a time of its own to come", tracking.Retention{KeepRule: versions}, func(t *testing.T, tr *tracking.Tracker) {
			change(t, tr, "a:v2", func(v *solera.Version, now solera.Micros) { v.Expires = now + 1e9 })
		}, []string{"a:v3", "a:v1", "a:v0"}},
		{"the newest that has expired", tracking.Retention{KeepRule: versions}, func(t *testing.T, tr *tracking.Tracker) {
			change(t, tr, "a:v4", func(v *solera.Version, now solera.Micros) { v.Expires = now })
		}, []string{"a:v4", "a:v2", "a:v1", "a:v0"}},
		{"an alias keeps what has expired", tracking.Retention{}, func(t *testing.T, tr *tracking.Tracker) {
			change(t, tr, "a:v1", func(v *solera.Version, now solera.Micros) { v.Expires = now })
			change(t, tr, "a:v2", func(v *solera.Version, now solera.Micros) { v.Expires = now })
			if err := tr.SetAlias(ctx, "a:v1", "champion"); err != nil {
				t.Fatal(err)
			}
		}, []string{"a:v2"}},
		{"what a kept version was made from, across one that is deleted", tracking.Retention{KeepRule: versions}, func(t *testing.T, tr *tracking.Tracker) {
			r := start(t, tr, "one")
			use(t, r, "a:v1")
			commit(t, r, "between", "x")
			finish(t, r)
			r = start(t, tr, "two")
			use(t, r, "between:v0")
			commit(t, r, "model", "y")
			finish(t, r)
			remove(t, tr, "between:v0")
		}, []string{"a:v3", "a:v2", "a:v0"}},
		{"not what only versions that go were made from", tracking.Retention{KeepRule: versions}, func(t *testing.T, tr *tracking.Tracker) {
			r := start(t, tr, "one")
			use(t, r, "a:v1")
			commit(t, r, "model", "x")
			finish(t, r)
			r = start(t, tr, "two")
			use(t, r, "a:v4")
			commit(t, r, "model", "y")
			finish(t, r)
		}, []string{"a:v3", "a:v2", "a:v1", "a:v0", "model:v0"}},
		{"what a run under way reads", tracking.Retention{KeepRule: versions}, func(t *testing.T, tr *tracking.Tracker) {
			r := start(t, tr, "one")
			use(t, r, "a:v0")
			t.Cleanup(func() { finish(t, r) })
		}, []string{"a:v3", "a:v2", "a:v1"}},
		{"another project's", tracking.Retention{KeepRule: versions}, func(t *testing.T, tr *tracking.Tracker) {
			other := *tr
			other.Project = "iris"
			r := start(t, &other, "load")
			commit(t, r, "b", "1")
			commit(t, r, "b", "2")
			finish(t, r)
		}, []string{"a:v3", "a:v2", "a:v1", "a:v0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr, m := inMemory(t)
			r := start(t, tr, "load")
			for i := range 5 {
				commit(t, r, "a", fmt.Sprint(i))
			}
			finish(t, r)
			if tt.change != nil {
				tt.change(t, tr)
			}
			o := tracking.GCOptions{Project: "wine", Retention: tt.rules}
			var got []string
			for _, v := range gc(t, tr, m, o).Versions {
				got = append(got, strings.TrimPrefix(v.Ref, "wine/"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("given up (-want +got):\n%s", diff)
			}
			o.Delete = true
			if done := gc(t, tr, m, o); len(done.Versions) != len(tt.want) {
				t.Errorf("gc gave up %v", done.Versions)
			}
		})
	}
}

func TestRetentionRefusesNonsense(t *testing.T) {
	tr, _ := inMemory(t)
	for _, rules := range []tracking.Retention{
		{KeepRule: tracking.KeepRule{KeepVersions: -1}},
		{Artifacts: []tracking.ArtifactRetention{{Pattern: "[a"}}},
		{Artifacts: []tracking.ArtifactRetention{{Pattern: ""}}},
		{Artifacts: []tracking.ArtifactRetention{{Pattern: "a", KeepRule: tracking.KeepRule{KeepDays: -1}}}},
	} {
		if _, err := tracking.GC(ctx, tr.Store, tr.Blobs, tracking.GCOptions{Retention: rules}); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%+v: %v", rules, err)
		}
	}
}

// The meetings of a commit and a deletion that the comment in gc.go lists.
func TestCommitAndDeletionMeet(t *testing.T) {
	const content = "wanted again"
	d := recipe(content)
	// garbage returns a store in which gc would delete the content.
	garbage := func(t *testing.T) (*tracking.Tracker, *memory) {
		tr, m := inMemory(t)
		r := start(t, tr, "load")
		commit(t, r, "other", "stays")
		finish(t, r)
		if _, _, err := m.Put(ctx, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		m.now = m.now.Add(2 * time.Hour)
		return tr, m
	}
	// run runs gc, and calls fn at a step of it.
	run := func(t *testing.T, tr *tracking.Tracker, m *memory, at string, n int, fn func()) tracking.GCReport {
		seen := 0
		s := &steps{tr.Store, func(what string) error {
			if what == at {
				if seen++; seen == n {
					fn()
				}
			}
			return nil
		}}
		r, err := tracking.GC(ctx, s, m, tracking.GCOptions{Delete: true, Clock: func() time.Time { return m.now }})
		if err != nil {
			t.Fatal(err)
		}
		if seen < n {
			t.Fatalf("gc never came to %q for the %d. time", at, n)
		}
		return r
	}
	there := func(m *memory) bool { _, err := m.Stat(ctx, d); return err == nil }
	t.Run("put, commit, plan: nothing is planned", func(t *testing.T) {
		tr, m := garbage(t)
		r := start(t, tr, "train")
		done := run(t, tr, m, "before update", 1, func() { commit(t, r, "a", content) })
		if done.Blobs != 0 || !there(m) {
			t.Errorf("%+v", done)
		}
	})
	t.Run("put, plan, commit, delete: withdrawn", func(t *testing.T) {
		tr, m := garbage(t)
		r := start(t, tr, "train")
		done := run(t, tr, m, "before update", 2, func() { commit(t, r, "a", content) })
		if done.Blobs != 0 || done.Withdrawn != 1 || !there(m) {
			t.Errorf("%+v", done)
		}
		wantSound(t, tr)
	})
	t.Run("plan, delete, put, commit: stored anew", func(t *testing.T) {
		tr, m := garbage(t)
		r := start(t, tr, "train")
		done := run(t, tr, m, "after update", 2, func() { commit(t, r, "a", content) })
		if done.Blobs != 1 || !there(m) {
			t.Errorf("%+v", done)
		}
		wantSound(t, tr)
	})
	t.Run("put, plan, delete, commit: the commit sees that it is gone", func(t *testing.T) {
		tr, m := garbage(t)
		r := start(t, tr, "train")
		// Put finds it there; gc runs between the two files.
		_, _, err := r.Commit(ctx, tracking.Draft{Artifact: "a", Type: "dataset", Files: map[string]tracking.Source{
			"1": tracking.Bytes([]byte(content)),
			"2": tracking.Writer(func(w io.Writer) error {
				m.now = m.now.Add(2 * time.Hour) // a slow commit
				if done := gc(t, tr, m, tracking.GCOptions{Delete: true}); done.Blobs != 1 {
					t.Errorf("gc freed %+v", done)
				}
				_, err := io.WriteString(w, "more")
				return err
			}),
		}})
		if !errors.Is(err, solera.ErrConflict) {
			t.Errorf("commit of a content that is gone: %v", err)
		}
		commit(t, r, "a", content)
		wantSound(t, tr)
	})
	t.Run("plan, put, killed, commit, the next gc: withdrawn", func(t *testing.T) {
		tr, m := garbage(t)
		updates := 0
		s := &steps{tr.Store, func(what string) error {
			if what == "before update" {
				if updates++; updates == 2 {
					return errKilled
				}
			}
			return nil
		}}
		o := tracking.GCOptions{Delete: true, Clock: func() time.Time { return m.now }}
		if _, err := tracking.GC(ctx, s, m, o); !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		found, err := tracking.Fsck(ctx, tr.Store, m, tracking.FsckOptions{})
		if err != nil || !found.OK || found.Unfinished != 1 {
			t.Errorf("fsck after the kill: %+v, %v", found, err)
		}
		r := start(t, tr, "train")
		v, _ := commit(t, r, "a", content)
		found, err = tracking.Fsck(ctx, tr.Store, m, tracking.FsckOptions{})
		if err != nil || !found.OK || found.Unfinished != 0 || !there(m) {
			t.Errorf("fsck after the commit: %+v, %v", found, err)
		}
		withdrawn, named := entry(t, tr, "deletion.withdraw", d.String()), entry(t, tr, "version.create", v.ID().String())
		if withdrawn == 0 || withdrawn > named {
			t.Errorf("the plan was withdrawn by entry %d, the content named by entry %d", withdrawn, named)
		}
	})
	t.Run("put, plan, the commit withdraws and is killed, delete: it stays", func(t *testing.T) {
		tr, m := garbage(t)
		r := start(t, tr, "train")
		done := run(t, tr, m, "before update", 2, func() {
			// The commit that we cannot see, as a kill can leave it: only its
			// withdrawal counts.
			other := *tr
			updates := 0
			other.Store = &steps{tr.Store, func(what string) error {
				if what == "before update" {
					if updates++; updates == 3 {
						return errKilled
					}
				}
				return nil
			}}
			r2, err := other.Start(ctx, tracking.RunSpec{Stage: "train"})
			if err != nil {
				t.Fatal(err)
			}
			updates = 0
			if _, _, err := r2.Commit(ctx, draft("a", content)); !errors.Is(err, errKilled) {
				t.Errorf("commit: %v", err)
			}
			other.Store.(*steps).step = func(string) error { return nil }
			finish(t, r2)
		})
		if done.Blobs != 0 || done.Withdrawn != 1 || !there(m) {
			t.Errorf("%+v", done)
		}
		finish(t, r)
	})
	t.Run("a deletion that is taken back withdraws the plan too", func(t *testing.T) {
		tr, m := garbage(t)
		r := start(t, tr, "train")
		v, _ := commit(t, r, "a", content)
		finish(t, r)
		m.now = m.now.Add(2 * time.Hour)
		remove(t, tr, v.Name())
		done := run(t, tr, m, "before update", 2, func() {
			if _, err := tr.Restore(ctx, v.Name()); err != nil {
				t.Fatal(err)
			}
		})
		if done.Blobs != 0 || done.Withdrawn != 1 || !there(m) {
			t.Errorf("%+v", done)
		}
		wantSound(t, tr)
	})
	t.Run("a plan whose content is needed and gone is a problem", func(t *testing.T) {
		tr, m := garbage(t)
		r := start(t, tr, "train")
		commit(t, r, "a", content)
		finish(t, r)
		update(t, tr, func(tx solera.Tx) error {
			now, err := tx.Now()
			if err != nil {
				return err
			}
			return tx.SetDeletion(solera.Deletion{Digest: d, Size: int64(len(content)), Planned: now})
		})
		delete(m.content, d)
		r2 := gc(t, tr, m, tracking.GCOptions{Delete: true})
		if r2.OK || len(r2.Problems) != 1 || r2.Problems[0].Ref != d.String() {
			t.Errorf("%+v", r2)
		}
	})
}

// entry returns the number of the newest entry about an action, 0 if there is none.
func entry(t testing.TB, tr *tracking.Tracker, action, subject string) (n int64) {
	t.Helper()
	err := tr.Store.View(ctx, func(tx solera.Tx) error {
		log, err := tx.Audit(solera.AuditQuery{Action: action, Subject: subject, Newest: true, Limit: 1})
		if err == nil && len(log) == 1 {
			n = log[0].N
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var errKilled = errors.New("killed")

// A gc that is killed at any of its steps, and then runs again, leaves what one
// that was not killed leaves.
func TestKilledGCIsFinishedByTheNext(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 8
	}
	for kill := 1; ; kill += stride {
		tr, m := inMemory(t)
		r := start(t, tr, "load")
		for i := range 6 {
			commit(t, r, "a", fmt.Sprint("content ", i))
		}
		finish(t, r)
		change(t, tr, "a:v1", func(v *solera.Version, now solera.Micros) { v.Expires = now - 1 })
		for i := range 40 { // more than one batch of deletions
			if _, _, err := m.Put(ctx, strings.NewReader(fmt.Sprint("garbage ", i))); err != nil {
				t.Fatal(err)
			}
		}
		m.now = m.now.Add(2 * time.Hour)
		left := kill
		var mu sync.Mutex
		step := func(string) error {
			mu.Lock()
			defer mu.Unlock()
			if left--; left <= 0 {
				return errKilled // and everything after it
			}
			return nil
		}
		o := tracking.GCOptions{
			Delete: true, Project: "wine", Clock: func() time.Time { return m.now },
			Retention: tracking.Retention{KeepRule: tracking.KeepRule{KeepVersions: 3}},
		}
		m.step = step
		_, err := tracking.GC(ctx, &steps{tr.Store, step}, m, o)
		m.step = nil
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		needWhatIsThere(t, tr, m, false)
		done := gc(t, tr, m, o)
		if !done.OK || done.Withdrawn != 0 {
			t.Errorf("killed at step %d: the next gc says %+v", kill, done)
		}
		needWhatIsThere(t, tr, m, true)
		if len(m.content) != 3 {
			t.Errorf("killed at step %d: %d contents are left, want 3", kill, len(m.content))
		}
		if err == nil {
			if kill < 20 {
				t.Errorf("gc had only %d steps", kill)
			}
			return
		}
	}
}

// needWhatIsThere wants every content that a version needs to be there with its
// bytes, and with exactly, no other.
func needWhatIsThere(t interface {
	Errorf(string, ...any)
	Fatal(...any)
}, tr *tracking.Tracker, m *memory, exactly bool,
) {
	needed := make(map[solera.Digest]bool)
	err := tr.Store.View(ctx, func(tx solera.Tx) error {
		versions, err := tx.Versions(solera.VersionQuery{Files: true})
		if err != nil {
			return err
		}
		for _, v := range versions {
			for _, f := range v.Files {
				needed[f.Digest] = true
				if b, ok := m.content[f.Digest]; !ok || solera.DigestOf(b) != f.Digest {
					t.Errorf("%s needs %v, which is gone", v.Name(), f.Digest)
				}
			}
		}
		open, err := tx.Deletions(true)
		if exactly && len(open) > 0 {
			t.Errorf("%d deletions are unfinished", len(open))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if exactly && len(m.content) != len(needed) {
		t.Errorf("%d contents are there, %d are needed", len(m.content), len(needed))
	}
}

// Whatever happens in whatever order, killed wherever: what a version that was
// not deleted needs is there, and in the end nothing else is.
func TestGCNeverDeletesWhatIsReachable(t *testing.T) {
	// A check takes a tenth of a second; make test-crash asks for more of them.
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set("20"); err != nil {
			t.Fatal(err)
		}
		defer checks.Value.Set(checks.DefValue)
	}
	rapid.Check(t, func(rt *rapid.T) {
		tr, m := inMemory(rt)
		acknowledged := make(map[solera.VersionID]bool)
		content := rapid.IntRange(0, 7)
		artifact := rapid.SampledFrom([]string{"a", "b"})
		o := tracking.GCOptions{Delete: true, Project: "wine", Clock: func() time.Time { return m.now }}
		pick := func() (solera.Version, bool) {
			var list []solera.Version
			err := tr.Store.View(ctx, func(tx solera.Tx) (err error) {
				list, err = tx.Versions(solera.VersionQuery{Project: "wine"})
				return err
			})
			if err != nil {
				rt.Fatal(err)
			}
			if len(list) == 0 {
				return solera.Version{}, false
			}
			return rapid.SampledFrom(list).Draw(rt, "version"), true
		}
		edit := func(fn func(v *solera.Version, now solera.Micros)) {
			v, ok := pick()
			if !ok {
				return
			}
			err := tr.Store.Update(ctx, func(tx solera.Tx) error {
				v, err := tx.Version(v.ID())
				if err != nil {
					return err
				}
				now, err := tx.Now()
				if err != nil {
					return err
				}
				fn(&v, now)
				return tx.UpdateVersion(v)
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
		depth := 0
		var collect func()
		// put commits a version; between its two files something may happen.
		put := func(between func()) {
			r, err := tr.Start(ctx, tracking.RunSpec{Stage: "train"})
			if err != nil {
				rt.Fatal(err)
			}
			if from, ok := pick(); ok && rapid.Bool().Draw(rt, "use") {
				if _, err := r.Use(ctx, from.Name()); err != nil {
					rt.Fatal(err)
				}
			}
			v, _, err := r.Commit(ctx, tracking.Draft{Artifact: artifact.Draw(rt, "artifact"), Type: "dataset", Files: map[string]tracking.Source{
				"1": tracking.Bytes(fmt.Append(nil, "content ", content.Draw(rt, "content"))),
				"2": tracking.Writer(func(w io.Writer) error {
					between()
					_, err := fmt.Fprint(w, "content ", content.Draw(rt, "content"))
					return err
				}),
			}})
			switch {
			case err == nil:
				acknowledged[v.ID()] = true
			case !errors.Is(err, solera.ErrConflict):
				rt.Fatal(err)
			}
			if err := r.Finish(ctx, err, nil); err != nil {
				rt.Fatal(err)
			}
		}
		wait := func() { m.now = m.now.Add(time.Duration(rapid.IntRange(0, 90).Draw(rt, "minutes")) * time.Minute) }
		// collect runs gc, with other work between its steps, and perhaps kills it.
		collect = func() {
			if depth > 0 {
				return
			}
			depth++
			defer func() { depth-- }()
			o := o
			o.Retention.KeepVersions = rapid.IntRange(0, 3).Draw(rt, "keep")
			kill := rapid.IntRange(1, 40).Draw(rt, "kill")
			other := rapid.IntRange(1, 12).Draw(rt, "other")
			var mu sync.Mutex
			n := 0
			step := func(what string) error {
				mu.Lock()
				n++
				die, meanwhile := n >= kill, n == other && what != "delete"
				mu.Unlock()
				if die {
					return errKilled
				}
				if meanwhile {
					put(wait)
				}
				return nil
			}
			m.step = step
			_, err := tracking.GC(ctx, &steps{tr.Store, step}, m, o)
			m.step = nil
			if err != nil && !errors.Is(err, errKilled) && !errors.Is(err, solera.ErrConflict) {
				rt.Fatal(err)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"commit":      func(*rapid.T) { put(func() {}) },
			"slow commit": func(*rapid.T) { put(func() { wait(); collect(); wait() }) },
			"gc":          func(*rapid.T) { collect() },
			"wait":        func(*rapid.T) { wait() },
			"take back": func(*rapid.T) {
				var gone []solera.Version
				err := tr.Store.View(ctx, func(tx solera.Tx) (err error) {
					gone, err = tx.Versions(solera.VersionQuery{Project: "wine", Deleted: true})
					return err
				})
				if err != nil {
					rt.Fatal(err)
				}
				gone = slices.DeleteFunc(gone, func(v solera.Version) bool { return v.Deleted == 0 })
				if len(gone) == 0 {
					return
				}
				v := rapid.SampledFrom(gone).Draw(rt, "version")
				if _, err := tr.Restore(ctx, v.Name()); err != nil && !errors.Is(err, solera.ErrNotFound) {
					rt.Fatal(err)
				}
			},
			"delete": func(*rapid.T) { edit(func(v *solera.Version, now solera.Micros) { v.Deleted = now }) },
			"expire": func(*rapid.T) { edit(func(v *solera.Version, now solera.Micros) { v.Expires = now - 1 }) },
			"keep": func(*rapid.T) {
				edit(func(v *solera.Version, now solera.Micros) { v.Tags = []string{tracking.KeepTag} })
			},
			"alias": func(*rapid.T) {
				if v, ok := pick(); ok {
					if err := tr.SetAlias(ctx, v.Name(), "champion"); err != nil {
						rt.Fatal(err)
					}
				}
			},
			"": func(rt *rapid.T) { needWhatIsThere(rt, tr, m, false) },
		})
		if len(acknowledged) == 0 {
			return
		}
		m.now = m.now.Add(2 * time.Hour)
		if _, err := tracking.GC(ctx, tr.Store, m, o); err != nil {
			rt.Fatal(err)
		}
		needWhatIsThere(rt, tr, m, true)
		err := tr.Store.View(ctx, func(tx solera.Tx) error {
			for id := range acknowledged {
				if _, err := tx.Version(id); err != nil {
					rt.Errorf("acknowledged %v: %v", id, err)
				}
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
		if check, err := tracking.CheckAudit(ctx, tr.Store); err != nil || !check.OK {
			rt.Errorf("audit log: %+v, %v", check, err)
		}
	})
}

func TestAuditLogThatWasTamperedWithIsFound(t *testing.T) {
	tr := local(t)
	r := start(t, tr, "load")
	commit(t, r, "a", "x")
	finish(t, r)
	good, err := tracking.CheckAudit(ctx, tr.Store)
	if err != nil || !good.OK || good.Entries < 4 || good.Last.IsZero() {
		t.Fatalf("%+v, %v", good, err)
	}
	for name, change := range map[string]func([]solera.AuditEntry) []solera.AuditEntry{
		"an actor":    func(l []solera.AuditEntry) []solera.AuditEntry { l[1].Actor = "eve@elsewhere"; return l },
		"a field":     func(l []solera.AuditEntry) []solera.AuditEntry { l[1].After = solera.Fields{"x": 1}; return l },
		"a time":      func(l []solera.AuditEntry) []solera.AuditEntry { l[2].Time++; return l },
		"a hash":      func(l []solera.AuditEntry) []solera.AuditEntry { l[0].Hash[3] ^= 1; return l },
		"one removed": func(l []solera.AuditEntry) []solera.AuditEntry { return slices.Delete(l, 1, 2) },
		"one added":   func(l []solera.AuditEntry) []solera.AuditEntry { return slices.Insert(l, 2, l[1]) },
		"two swapped": func(l []solera.AuditEntry) []solera.AuditEntry { l[1], l[2] = l[2], l[1]; return l },
		"the first":   func(l []solera.AuditEntry) []solera.AuditEntry { return l[1:] },
	} {
		got, err := tracking.CheckAudit(ctx, forged{tr.Store, change})
		if err != nil || got.OK || got.Problem == "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	last, err := tracking.CheckAudit(ctx, forged{tr.Store, func(l []solera.AuditEntry) []solera.AuditEntry { return l[:len(l)-1] }})
	if err != nil || last.Last == good.Last {
		t.Errorf("the end cut off cannot be told by the last hash: %+v, %v", last, err)
	}
}

// forged shows another audit log than the store has.
type forged struct {
	solera.Store
	change func([]solera.AuditEntry) []solera.AuditEntry
}

type forgedTx struct {
	solera.Tx
	change func([]solera.AuditEntry) []solera.AuditEntry
}

func (f forged) View(ctx context.Context, fn func(solera.Tx) error) error {
	return f.Store.View(ctx, func(tx solera.Tx) error { return fn(forgedTx{tx, f.change}) })
}

func (f forgedTx) Audit(q solera.AuditQuery) ([]solera.AuditEntry, error) {
	list, err := f.Tx.Audit(q)
	if err != nil || q.After > 0 {
		return list, err
	}
	return f.change(list), nil
}
