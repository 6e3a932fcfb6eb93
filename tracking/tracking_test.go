package tracking_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

var ctx = context.Background()

// open returns a tracker over a new folder whose clock goes on by a second at
// each look.
func open(t testing.TB) *tracking.Tracker {
	t.Helper()
	return openAt(t, newHome(t))
}

func openAt(t testing.TB, dir string) *tracking.Tracker {
	t.Helper()
	s, blobs, err := openHome(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	begin := time.Date(2026, 11, 22, 19, 53, 12, 0, time.UTC)
	var seconds atomic.Int64 // the goroutines of runs look at the clock too
	return &tracking.Tracker{Store: s, Blobs: blobs, Project: "wine", Clock: func() time.Time {
		return begin.Add(time.Duration(seconds.Add(1)) * time.Second)
	}}
}

func start(t testing.TB, tr *tracking.Tracker, stage string) *tracking.Run {
	t.Helper()
	r, err := tr.Start(ctx, tracking.RunSpec{Stage: stage, Recipe: recipe(stage)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func recipe(s string) solera.Digest { return solera.DigestOf([]byte(s)) }

func draft(artifact, content string) tracking.Draft {
	return tracking.Draft{Artifact: artifact, Type: "dataset", Files: map[string]tracking.Source{"data.txt": tracking.Bytes([]byte(content))}}
}

func commit(t testing.TB, r *tracking.Run, artifact, content string) (solera.Version, bool) {
	t.Helper()
	v, isNew, err := r.Commit(ctx, draft(artifact, content))
	if err != nil {
		t.Fatal(err)
	}
	return v, isNew
}

func use(t testing.TB, r *tracking.Run, ref string) *tracking.Snapshot {
	t.Helper()
	v, err := r.Use(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func finish(t testing.TB, r *tracking.Run) {
	t.Helper()
	if err := r.Finish(ctx, nil, nil); err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got error %v, want %v", err, kind)
	}
}

func TestRunIsRecordedFromStartToFinish(t *testing.T) {
	tests := []struct {
		name  string
		cause error
		state solera.RunState
	}{
		{"without a cause it finished", nil, solera.Finished},
		{"an error failed it", errors.New("the loss is NaN"), solera.Failed},
		{"a user killed it", fmt.Errorf("epoch 3: %w", solera.ErrStopped), solera.Killed},
		{"a cancelled context killed it", context.Canceled, solera.Killed},
	}
	tr := open(t)
	for _, tt := range tests {
		spec := tracking.RunSpec{
			Stage: "train", Experiment: "exp001", Params: solera.Fields{"lr": 0.1},
			Tags: []string{"b", "a", "b"}, Recipe: recipe("r"), Code: recipe("c"),
		}
		r, err := tr.Start(ctx, spec)
		if err != nil {
			t.Fatal(err)
		}
		before, err := tr.Run(ctx, r.ID())
		if err != nil || before.State != solera.Running || before.Finished != 0 || before.Name != "train exp001" {
			t.Errorf("%s: at the start: %+v, %v", tt.name, before, err)
		}
		if !slices.Equal(before.Tags, []string{"a", "b"}) {
			t.Errorf("%s: tags %v, want them sorted and once", tt.name, before.Tags)
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel() // a run must end properly after Ctrl-C
		if err := r.Finish(cancelled, tt.cause, solera.Fields{"accuracy": 1}); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		after, err := tr.Run(ctx, r.ID())
		if err != nil || after.State != tt.state || after.Finished <= after.Started {
			t.Errorf("%s: at the end: %+v, %v", tt.name, after, err)
		}
		if tt.cause != nil && after.Error != tt.cause.Error() {
			t.Errorf("%s: recorded error %q", tt.name, after.Error)
		}
		if x, ok := after.Summary.Float("accuracy"); x != 1 || !ok {
			t.Errorf("%s: summary %v", tt.name, after.Summary)
		}
		if err := r.Finish(ctx, errors.New("late"), nil); err != nil {
			t.Errorf("%s: second Finish: %v", tt.name, err)
		}
		wantErr(t, r.Record(1, map[string]float64{"x": 1}), solera.ErrConflict)
		_, _, err = r.Commit(ctx, draft("a", "x"))
		wantErr(t, err, solera.ErrConflict)
		_, err = tr.Run(ctx, "none")
		wantErr(t, err, solera.ErrNotFound)
	}
}

func TestRecordedPointsAreStored(t *testing.T) {
	tr := open(t)
	now := time.Unix(0, 0)
	tr.Clock = func() time.Time { return now }
	r := start(t, tr, "train")
	stored := func() int {
		points, _, err := tr.Store.Since(ctx, r.ID(), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(points)
	}
	record := func(step int64) {
		if err := r.Record(step, map[string]float64{"val/loss": 1, "train/loss": 2}); err != nil {
			t.Fatal(err)
		}
	}
	record(1)
	if n := stored(); n != 0 {
		t.Errorf("the first points went alone: %d are stored", n)
	}
	now = now.Add(time.Second)
	record(2)
	if n := stored(); n != 4 {
		t.Errorf("after a second %d points are stored, want 4", n)
	}
	for step := range int64(250) {
		record(3 + step)
	}
	if n := stored(); n != 504 {
		t.Errorf("after 500 more points %d are stored, want 504", n)
	}
	record(253)
	finish(t, r)
	points, err := tr.Store.Series(ctx, solera.SeriesQuery{Run: r.ID(), Key: "val/loss"})
	if err != nil || len(points) != 253 || points[252].Step != 253 {
		t.Errorf("the series has %d points, %v", len(points), err)
	}
}

// flaky refuses a number of appends.
type flaky struct {
	solera.Store
	refuse int
}

func (f *flaky) Append(ctx context.Context, run solera.RunID, points []solera.Point) (int64, error) {
	if f.refuse > 0 {
		f.refuse--
		return 0, errors.New("the network is gone")
	}
	return f.Store.Append(ctx, run, points)
}

func TestPointsSurviveARefusedFlush(t *testing.T) {
	tr := open(t)
	f := &flaky{tr.Store, 2}
	tr.Store = f
	r := start(t, tr, "train")
	for step := range int64(3) {
		err := r.Record(step, map[string]float64{"x": float64(step)}) // the clock makes each Record flush
		if (err != nil) != (step < 2) {
			t.Errorf("Record at step %d: %v", step, err)
		}
	}
	points, _, err := tr.Store.Since(ctx, r.ID(), 0, 0)
	if err != nil || len(points) != 3 {
		t.Errorf("%d points are stored, want 3 (%v)", len(points), err)
	}
	// A run that could not write its last points did not finish.
	f.refuse = 2
	r.Record(3, map[string]float64{"x": 3})
	if err := r.Finish(ctx, nil, nil); err == nil {
		t.Error("Finish hides that points are lost")
	}
	if run, err := tr.Run(ctx, r.ID()); err != nil || run.State != solera.Failed {
		t.Errorf("the run is %s, want failed (%v)", run.State, err)
	}
}

func TestCommitMakesAVersionOnlyOfNewContent(t *testing.T) {
	tr := open(t)
	steps := []struct {
		content string
		number  int
		isNew   bool
	}{
		{"x", 0, true},
		{"x", 0, false},
		{"y", 1, true},
		{"x", 2, true}, // content of an older version: latest moves forward to it
		{"x", 2, false},
	}
	var first solera.Version
	for i, step := range steps {
		r := start(t, tr, "load")
		v, isNew := commit(t, r, "raw", step.content)
		if v.Number != step.number || isNew != step.isNew {
			t.Errorf("step %d: got v%d, new %v, want v%d, new %v", i, v.Number, isNew, step.number, step.isNew)
		}
		if !slices.Equal(v.Aliases, []string{"latest"}) {
			t.Errorf("step %d: aliases %v", i, v.Aliases)
		}
		if i == 0 {
			first = v
		}
		if (v.Digest == first.Digest) != (step.content == "x") {
			t.Errorf("step %d: digest %v", i, v.Digest)
		}
		if again, isNew := commit(t, r, "raw", step.content); isNew || again.ID() != v.ID() {
			t.Errorf("step %d: the same run commits %v again as %v", i, v.ID(), again.ID())
		}
		finish(t, r)
	}
	list, err := tr.Versions(ctx, "raw")
	if err != nil || len(list) != 3 || list[0].Number != 2 || len(list[0].Files) != 1 {
		t.Errorf("Versions = %+v, %v", list, err)
	}
	blobs := 0
	tr.Blobs.List(ctx, func(solera.Digest, int64, time.Time) error { blobs++; return nil })
	if blobs != 2 {
		t.Errorf("%d blobs are stored, want 2", blobs)
	}
}

func TestDigestDependsOnContentAlone(t *testing.T) {
	a := open(t)
	b := open(t)
	b.Project, b.Host = "other", "elsewhere"
	commit(t, start(t, b, "x"), "name", "something else first")
	va, _ := commit(t, start(t, a, "load"), "raw", "x")
	vb, _ := commit(t, start(t, b, "y"), "name", "x")
	if va.Digest != vb.Digest {
		t.Errorf("one content has the digests %v and %v", va.Digest, vb.Digest)
	}
	changes := map[string]func(*tracking.Draft){
		"type":     func(d *tracking.Draft) { d.Type = "model" },
		"metadata": func(d *tracking.Draft) { d.Metadata = solera.Fields{"rows": 1} },
		"path": func(d *tracking.Draft) {
			d.Files = map[string]tracking.Source{"b": tracking.Bytes([]byte("x"))}
		},
		"bytes": func(d *tracking.Draft) {
			d.Files = map[string]tracking.Source{"data.txt": tracking.Bytes([]byte("y"))}
		},
	}
	for name, change := range changes {
		d := draft(name, "x")
		change(&d)
		v, _, err := start(t, a, "load").Commit(ctx, d)
		if err != nil || v.Digest == va.Digest {
			t.Errorf("another %s does not change the digest (%v)", name, err)
		}
	}
}

func TestSourcesGiveTheSameFile(t *testing.T) {
	tr := open(t)
	r := start(t, tr, "load")
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	digest, size, err := r.Put(ctx, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := r.Commit(ctx, tracking.Draft{Artifact: "a", Type: "t", Files: map[string]tracking.Source{
		"bytes":  tracking.Bytes(content),
		"reader": tracking.Reader(bytes.NewReader(content)),
		"writer": tracking.Writer(func(w io.Writer) error {
			for b := range slices.Chunk(content, 7777) {
				if _, err := w.Write(b); err != nil {
					return err
				}
			}
			return nil
		}),
		"sub/blob": tracking.Blob(digest, size),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range v.Files {
		if e.Digest != digest || e.Size != size {
			t.Errorf("%s: got %v, %d bytes", e.Path, e.Digest, e.Size)
		}
	}
	if v.Size != 4*size || len(v.Files) != 4 || v.Files[3].Path != "writer" {
		t.Errorf("got %d bytes in %+v", v.Size, v.Files)
	}
}

// Whoever runs stages recovers from their defects, which other goroutines
// would not let it.
func TestAPanicOfAWriterReachesTheCommitterAndStoresNothing(t *testing.T) {
	tr := open(t)
	r := start(t, tr, "load")
	func() {
		defer func() {
			if got := recover(); got != "boom" {
				t.Errorf("got panic %v, want boom", got)
			}
		}()
		_, _, err := r.Commit(ctx, tracking.Draft{Artifact: "a", Type: "t", Files: map[string]tracking.Source{
			"x": tracking.Writer(func(w io.Writer) error { w.Write([]byte("half")); panic("boom") }),
		}})
		t.Errorf("the commit returned (%v)", err)
	}()
	if err := tr.Blobs.List(ctx, func(d solera.Digest, n int64, _ time.Time) error { return fmt.Errorf("blob %v of %d bytes", d, n) }); err != nil {
		t.Errorf("half a file was stored: %v", err)
	}
}

func TestRefusedDraftLeavesNothing(t *testing.T) {
	file := map[string]tracking.Source{"f": tracking.Bytes([]byte("x"))}
	broken := errors.New("the disk of the source is broken")
	tests := []struct {
		name  string
		draft tracking.Draft
		want  error
	}{
		{"name with a folder", tracking.Draft{Artifact: "a/b", Type: "t", Files: file}, solera.ErrInvalid},
		{"name with ..", tracking.Draft{Artifact: "a..b", Type: "t", Files: file}, solera.ErrInvalid},
		{"look-alike name", tracking.Draft{Artifact: "wіne", Type: "t", Files: file}, solera.ErrInvalid}, // the i is Cyrillic
		{"no type", tracking.Draft{Artifact: "a", Files: file}, solera.ErrInvalid},
		{"alias like a version", tracking.Draft{Artifact: "a", Type: "t", Files: file, Aliases: []string{"v3"}}, solera.ErrInvalid},
		{"path that leaves", tracking.Draft{Artifact: "a", Type: "t", Files: map[string]tracking.Source{"../x": file["f"]}}, solera.ErrInvalid},
		{"file that is a folder too", tracking.Draft{Artifact: "a", Type: "t", Files: map[string]tracking.Source{"x": file["f"], "x/y": tracking.Bytes(nil)}}, solera.ErrInvalid},
		{"file without source", tracking.Draft{Artifact: "a", Type: "t", Files: map[string]tracking.Source{"x": {}}}, solera.ErrInvalid},
		{"blob that is not there", tracking.Draft{Artifact: "a", Type: "t", Files: map[string]tracking.Source{"x": tracking.Blob(recipe("none"), 1)}}, solera.ErrNotFound},
		{"metadata that JSON cannot hold", tracking.Draft{Artifact: "a", Type: "t", Metadata: solera.Fields{"f": func() {}}, Files: file}, solera.ErrInvalid},
		{"writer that fails", tracking.Draft{Artifact: "a", Type: "t", Files: map[string]tracking.Source{
			"x": tracking.Writer(func(w io.Writer) error { w.Write([]byte("half")); return broken }),
		}}, broken},
	}
	tr := open(t)
	r := start(t, tr, "load")
	for _, tt := range tests {
		_, _, err := r.Commit(ctx, tt.draft)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: got error %v, want %v", tt.name, err, tt.want)
		}
	}
	if list, err := tr.Artifacts(ctx); err != nil || len(list) != 0 {
		t.Errorf("artifacts exist: %v, %v", list, err)
	}
}

func TestFilesThatAreReadAtOnceKeepTheirNames(t *testing.T) {
	tr := open(t)
	r := start(t, tr, "load")
	const many = 40
	d := tracking.Draft{Artifact: "many", Type: "dataset", Files: map[string]tracking.Source{"writer": tracking.Writer(func(w io.Writer) error {
		_, err := w.Write([]byte("w"))
		return err
	})}}
	for i := range many {
		d.Files[fmt.Sprintf("f%02d", i)] = tracking.Opener(func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(fmt.Sprint("content of ", i))), nil
		})
	}
	v, _, err := r.Commit(ctx, d)
	if err != nil || len(v.Files) != many+1 {
		t.Fatalf("%d files, %v", len(v.Files), err)
	}
	opened := tr.Snapshot(ctx, v)
	for i := range many {
		if b, err := opened.ReadFile(fmt.Sprintf("f%02d", i)); err != nil || string(b) != fmt.Sprint("content of ", i) {
			t.Errorf("f%02d: %q, %v", i, b, err)
		}
	}
	// One that fails stops the others, and is what is told.
	broken := errors.New("broken")
	d.Files["f20"] = tracking.Opener(func() (io.ReadCloser, error) { return nil, broken })
	if _, _, err := r.Commit(ctx, d); !errors.Is(err, broken) || errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	if _, _, err := r.Commit(stopped, d); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if list, err := tr.Versions(ctx, "many"); err != nil || len(list) != 1 {
		t.Errorf("%d versions, %v", len(list), err)
	}
}

func TestAliases(t *testing.T) {
	tr := open(t)
	r := start(t, tr, "load")
	d := draft("raw", "x")
	d.Aliases = []string{"latest", "first"} // latest needs no mention, and does no harm
	if v, _, err := r.Commit(ctx, d); err != nil || !slices.Equal(v.Aliases, []string{"first", "latest"}) {
		t.Errorf("aliases %v, %v", v.Aliases, err)
	}
	commit(t, r, "raw", "y")
	if err := tr.SetAlias(ctx, "raw:v0", "champion"); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]int{
		"raw": 1, "raw:latest": 1, "raw:v0": 0, "raw:v1": 1, "raw:first": 0, "raw:champion": 0, "wine/raw:champion": 0,
	} {
		if v, err := tr.Version(ctx, ref); err != nil || v.Number != want {
			t.Errorf("%s: got v%d, %v, want v%d", ref, v.Number, err, want)
		}
	}
	for ref, want := range map[string]error{"raw:v2": solera.ErrNotFound, "none": solera.ErrNotFound, "other/raw": solera.ErrNotFound, "raw:": solera.ErrInvalid} {
		_, err := tr.Version(ctx, ref)
		wantErr(t, err, want)
	}
	wantErr(t, tr.SetAlias(ctx, "raw:v0", "latest"), solera.ErrInvalid)
	wantErr(t, tr.SetAlias(ctx, "raw:v9", "x"), solera.ErrNotFound)
	_, err := tr.Versions(ctx, "none")
	wantErr(t, err, solera.ErrNotFound)
}

func TestSnapshotIsReadChecked(t *testing.T) {
	dir := t.TempDir()
	tr := openAt(t, dir)
	v, _ := commit(t, start(t, tr, "load"), "raw", "the content")
	s := use(t, start(t, tr, "preprocess"), "raw")
	if b, err := s.ReadFile("data.txt"); err != nil || string(b) != "the content" {
		t.Errorf("ReadFile = %q, %v", b, err)
	}
	if b, err := fs.ReadFile(s, "data.txt"); err != nil || string(b) != "the content" {
		t.Errorf("fs.ReadFile = %q, %v", b, err)
	}
	f, err := s.OpenFile("data.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	part := make([]byte, 7)
	if _, err := f.ReadAt(part, 4); err != nil || string(part) != "content" {
		t.Errorf("ReadAt = %q, %v", part, err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != 11 || info.Name() != "data.txt" || info.IsDir() {
		t.Errorf("Stat = %v, %v", info, err)
	}
	if b, err := io.ReadAll(f); err != nil || string(b) != "the content" {
		t.Errorf("reading from the start = %q, %v", b, err)
	}
	_, err = s.Open("none.txt")
	wantErr(t, err, solera.ErrNotFound)
	wantErr(t, err, fs.ErrNotExist)

	path := filepath.Join(dir, "blobs", "sha256", v.Files[0].Digest.Hex()[:2], v.Files[0].Digest.Hex())
	if err := errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, []byte("the c0ntent"), 0o644)); err != nil {
		t.Fatal(err)
	}
	_, err = s.Open("data.txt")
	wantErr(t, err, solera.ErrCorrupt)
	_, err = s.ReadFile("data.txt")
	wantErr(t, err, solera.ErrCorrupt)
	if !strings.Contains(err.Error(), "raw:v0") || !strings.Contains(err.Error(), "data.txt") {
		t.Errorf("error %q does not say which file", err)
	}
}

// chain records load → preprocess → train as the pipeline does, with content
// that stands for params.
func chain(t testing.TB, tr *tracking.Tracker, raw, scaled, model string) (last solera.Version) {
	t.Helper()
	load := start(t, tr, "load "+raw)
	commit(t, load, "raw", raw)
	finish(t, load)
	pre := start(t, tr, "preprocess "+raw+scaled)
	use(t, pre, "raw")
	commit(t, pre, "scaled", scaled)
	finish(t, pre)
	train := start(t, tr, "train "+raw+scaled+model)
	use(t, train, "scaled")
	use(t, train, "raw")
	last, _ = commit(t, train, "model", model)
	finish(t, train)
	return last
}

func TestLineageGoesUpToTheRoots(t *testing.T) {
	tr := open(t)
	chain(t, tr, "r", "s", "m")
	chain(t, tr, "r", "s2", "m2")
	g, err := tr.Lineage(ctx, "model")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range g.Nodes {
		if n.Kind == "run" {
			got = append(got, n.Name)
		} else {
			got = append(got, n.ID)
		}
	}
	want := []string{"model:v1", "train rs2m2", "scaled:v1", "preprocess rs2", "raw:v0", "load r"}
	if !slices.Equal(got, want) {
		t.Errorf("nodes: got %q, want %q", got, want)
	}
	acyclic(t, g)
	var tree strings.Builder
	if err := g.WriteTree(&tree); err != nil {
		t.Fatal(err)
	}
	text := tree.String()
	for _, n := range g.Nodes {
		if n.Run != nil {
			text = strings.ReplaceAll(text, n.ID, "ID")
		} else {
			text = strings.ReplaceAll(text, n.Version.Digest.Short(), "digest")
		}
	}
	const wantTree = `model:v1  dataset  digest
└─ run ID  train rs2m2
   ├─ raw:v0  dataset  digest
   │  └─ run ID  load r
   └─ scaled:v1  dataset  digest
      └─ run ID  preprocess rs2
         └─ raw:v0  dataset  digest  (see above)
`
	if text != wantTree {
		t.Errorf("tree: got\n%s\nwant\n%s", text, wantTree)
	}
	raw, err := json.Marshal(g)
	if err != nil || !bytes.HasPrefix(raw, []byte(`{"nodes":[{"id":"model:v1","kind":"version","name":"model:v1"},{"id":"20261122-`)) {
		t.Errorf("JSON: %s, %v", raw, err)
	}
	_, err = tr.Lineage(ctx, "none")
	wantErr(t, err, solera.ErrNotFound)
}

// acyclic checks that every node is listed once and before what it came from.
func acyclic(t interface{ Errorf(string, ...any) }, g tracking.Graph) {
	place := make(map[string]int)
	for i, n := range g.Nodes {
		if _, twice := place[n.ID]; twice {
			t.Errorf("node %s appears twice", n.ID)
		}
		place[n.ID] = i
	}
	for _, e := range g.Edges {
		from, ok := place[e.From]
		to, ok2 := place[e.To]
		if !ok || !ok2 || from <= to {
			t.Errorf("edge %s → %s (%s): places %d, %d", e.From, e.To, e.Kind, from, to)
		}
	}
}

func TestUseDoesNotCloseACircle(t *testing.T) {
	tr := open(t)
	a, b := start(t, tr, "a"), start(t, tr, "b")
	commit(t, a, "x", "1")
	use(t, a, "x") // its own: no edge
	use(t, b, "x")
	commit(t, b, "y", "2")
	_, err := a.Use(ctx, "y")
	wantErr(t, err, solera.ErrConflict)
	// A run that copies its input is not its own ancestor.
	c := start(t, tr, "c")
	use(t, c, "x")
	if v, isNew := commit(t, c, "x", "1"); isNew || v.Number != 0 {
		t.Errorf("a copy became v%d", v.Number)
	}
	for _, ref := range []string{"x", "y"} {
		g, err := tr.Lineage(ctx, ref)
		if err != nil {
			t.Fatal(err)
		}
		acyclic(t, g)
	}
}

func TestReuseAnswersFromTheStore(t *testing.T) {
	tr := open(t)
	spec := func(lr string) tracking.RunSpec {
		return tracking.RunSpec{Stage: "train", Params: solera.Fields{"lr": lr}, Recipe: recipe("train " + lr)}
	}
	load := start(t, tr, "load")
	input, _ := commit(t, load, "raw", "r")
	finish(t, load)
	train := func(lr string, inputs ...solera.Version) *tracking.Hit {
		t.Helper()
		hit, err := tr.Reuse(ctx, spec(lr), inputs...)
		if err != nil {
			t.Fatal(err)
		}
		if hit != nil {
			return hit
		}
		r, err := tr.Start(ctx, spec(lr))
		if err != nil {
			t.Fatal(err)
		}
		use(t, r, "raw")
		commit(t, r, "model", "trained with "+lr)
		if err := r.Finish(ctx, nil, solera.Fields{"accuracy": lr}); err != nil {
			t.Fatal(err)
		}
		return nil
	}
	runs := func() int {
		list, err := tr.Runs(ctx, solera.RunQuery{Stage: "train"})
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if hit := train("0.1", input); hit != nil {
		t.Fatal("the first run was answered by nobody")
	}
	if hit := train("0.1", input); hit == nil || hit.Outputs[0].Number != 0 || hit.Run.Summary.Text("accuracy") != "0.1" || runs() != 1 {
		t.Fatalf("the same again: %+v, %d runs", hit, runs())
	}
	if hit := train("0.2", input); hit != nil {
		t.Fatal("other params were answered from the store")
	}
	first, err := tr.Lookup(ctx, recipe("train 0.1"))
	if err != nil || first == nil || first.Outputs[0].Number != 0 || runs() != 2 {
		t.Fatalf("Lookup = %+v, %v", first, err)
	}
	// Back to the first params: the old content becomes the newest version.
	hit := train("0.1", input)
	if hit == nil || hit.Outputs[0].Number != 2 || hit.Outputs[0].Digest != first.Outputs[0].Digest || runs() != 3 {
		t.Fatalf("going back: %+v, %d runs", hit, runs())
	}
	if hit.Run.ReuseOf != first.Run.ID || hit.Run.State != solera.Finished || hit.Run.Summary.Text("accuracy") != "0.1" {
		t.Errorf("the run that reuses: %+v", hit.Run)
	}
	if stored, err := tr.Run(ctx, hit.Run.ID); err != nil || stored.ReuseOf != first.Run.ID || stored.State != solera.Finished {
		t.Errorf("stored as %+v, %v", stored, err)
	}
	if v, err := tr.Version(ctx, "model"); err != nil || v.Number != 2 {
		t.Errorf("latest is v%d, %v", v.Number, err)
	}
	g, err := tr.Lineage(ctx, "model")
	if err != nil || len(g.Nodes) != 4 {
		t.Errorf("lineage of the reused version: %+v, %v", g, err)
	}
	// And once more there and back: reuse of a reuse names the run that worked.
	train("0.2", input)
	if hit := train("0.1", input); hit == nil || hit.Outputs[0].Number != 4 || hit.Run.ReuseOf != first.Run.ID {
		t.Errorf("there and back: %+v", hit)
	}
	if hit := train("0.1", input); hit == nil || runs() != 5 {
		t.Errorf("nothing to do: %d runs, want 5", runs())
	}
}

func TestLookupPassesOverWhatCannotAnswer(t *testing.T) {
	tr := open(t)
	lookup := func() *tracking.Hit {
		t.Helper()
		hit, err := tr.Lookup(ctx, recipe("s"))
		if err != nil {
			t.Fatal(err)
		}
		return hit
	}
	running := start(t, tr, "s")
	commit(t, running, "a", "x")
	if lookup() != nil {
		t.Error("a run under way answers")
	}
	if err := running.Finish(ctx, errors.New("late failure"), nil); err != nil {
		t.Fatal(err)
	}
	if lookup() != nil {
		t.Error("a failed run answers")
	}
	second := start(t, tr, "s")
	v, isNew := commit(t, second, "a", "x")
	finish(t, second)
	if hit := lookup(); isNew || hit == nil || hit.Run.ID != second.ID() || len(hit.Outputs) != 1 || hit.Outputs[0].ID() != v.ID() {
		t.Errorf("a run that committed what was there: %+v", lookup())
	}
	if hit, err := tr.Lookup(ctx, solera.Digest{}); hit != nil || err != nil {
		t.Errorf("no recipe: %+v, %v", hit, err)
	}
	other := *tr
	other.Project = "other"
	if hit, err := other.Lookup(ctx, recipe("s")); hit != nil || err != nil {
		t.Errorf("another project: %+v, %v", hit, err)
	}
	if err := tr.Blobs.Delete(ctx, v.Files[0].Digest); err != nil {
		t.Fatal(err)
	}
	if lookup() != nil {
		t.Error("a run whose bytes are gone answers")
	}
	again := start(t, tr, "s")
	if w, isNew := commit(t, again, "a", "x"); isNew || w.ID() != v.ID() {
		t.Errorf("making the lost bytes again gave %s, new %v", w.Name(), isNew)
	}
	finish(t, again)
	if hit := lookup(); hit == nil || hit.Run.ID != again.ID() {
		t.Errorf("after the bytes were made again: %+v", hit)
	}
}

func TestIdentifiersThatCollideAreDrawnAgain(t *testing.T) {
	tr := open(t)
	now := time.Unix(1, 0)
	tr.Clock = func() time.Time { return now }
	tr.Random = bytes.NewReader([]byte("aaaaaaaaaaaabbbbbb"))
	a, b := start(t, tr, "x"), start(t, tr, "x")
	if a.ID() == b.ID() {
		t.Errorf("two runs are %s", a.ID())
	}
	if a.ID() != "19700101-000001-111111" {
		t.Errorf("identifier %s", a.ID())
	}
}

// Any run history that the rules let through has a lineage without a circle,
// versions numbered without a gap, and one run that made each of them.
func TestHistoriesHaveAcyclicLineage(t *testing.T) {
	dir := t.TempDir()
	shared := openAt(t, dir)
	project := 0
	rapid.Check(t, func(rt *rapid.T) {
		project++
		tr := *shared
		tr.Project = fmt.Sprint("p", project)
		artifacts := []string{"a", "b", "c"}
		var runs []*tracking.Run
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			act := rapid.SampledFrom([]string{"start", "use", "use", "commit", "commit", "finish", "reuse"}).Draw(rt, "act")
			if len(runs) == 0 || act == "start" {
				runs = append(runs, start(t, &tr, fmt.Sprint("stage", rapid.IntRange(0, 2).Draw(rt, "stage"))))
				continue
			}
			r := rapid.SampledFrom(runs).Draw(rt, "run")
			artifact := rapid.SampledFrom(artifacts).Draw(rt, "artifact")
			var err error
			switch act {
			case "use":
				_, err = r.Use(ctx, artifact)
			case "commit":
				_, _, err = r.Commit(ctx, draft(artifact, rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "content")))
			case "finish":
				err = r.Finish(ctx, nil, nil)
			case "reuse":
				var inputs []solera.Version
				if v, err := tr.Version(ctx, artifact); err == nil {
					inputs = append(inputs, v)
				}
				stage := fmt.Sprint("stage", rapid.IntRange(0, 2).Draw(rt, "stage"))
				_, err = tr.Reuse(ctx, tracking.RunSpec{Stage: stage, Recipe: recipe(stage)}, inputs...)
			}
			if err != nil && !errors.Is(err, solera.ErrConflict) && !errors.Is(err, solera.ErrNotFound) {
				rt.Fatalf("%s: %v", act, err)
			}
		}
		list, err := tr.Versions(ctx, "")
		if err != nil {
			rt.Fatal(err)
		}
		next := make(map[string]int)
		above, below := make(map[[2]string]bool), make(map[[2]string]bool) // {what was made, from what}
		for _, v := range slices.Backward(list) {
			if v.Number != next[v.Artifact] {
				rt.Fatalf("%s: v%d follows v%d", v.Artifact, v.Number, next[v.Artifact]-1)
			}
			next[v.Artifact]++
			g, err := tr.Lineage(ctx, v.Name())
			if err != nil {
				rt.Fatal(err)
			}
			acyclic(rt, g)
			for _, n := range g.Nodes {
				above[[2]string{v.Name(), n.ID}] = n.Kind == "version"
			}
			down, err := tr.Trace(ctx, v.Name(), tracking.Down)
			if err != nil {
				rt.Fatal(err)
			}
			// Upside down it has the same order.
			turned := tracking.Graph{Nodes: down.Nodes}
			for _, e := range down.Edges {
				turned.Edges = append(turned.Edges, tracking.GraphEdge{From: e.To, To: e.From})
			}
			acyclic(rt, turned)
			for _, n := range down.Nodes {
				if n.Kind == "version" {
					below[[2]string{n.ID, v.Name()}] = true
				}
			}
			both, err := tr.Trace(ctx, v.Name(), tracking.Both)
			if err != nil || len(both.Nodes) != len(g.Nodes)+len(down.Nodes)-1 || len(both.Edges) != len(g.Edges)+len(down.Edges) {
				rt.Fatalf("both ways from %s: %+v, %v", v.Name(), both, err)
			}
			if len(g.Nodes) == 0 || g.Nodes[0].ID != v.Name() || g.Nodes[1].ID != string(v.Run) {
				rt.Fatalf("lineage of %s begins with %+v", v.Name(), g.Nodes)
			}
			tr.Store.View(ctx, func(tx solera.Tx) error {
				edges, err := tx.Edges(solera.EdgeQuery{Version: v.ID(), Kind: solera.Made})
				if err != nil || len(edges) != 1 || edges[0].Run != v.Run {
					rt.Fatalf("%s was made by %v, %v", v.Name(), edges, err)
				}
				return nil
			})
		}
		// Up from one is down from the other.
		maps.DeleteFunc(above, func(_ [2]string, version bool) bool { return !version })
		if !maps.Equal(above, below) {
			rt.Fatalf("up: %v\ndown: %v", above, below)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	tr := open(b)
	tr.Clock = nil
	metrics := map[string]float64{"train/loss": 1, "train/accuracy": 1, "val/loss": 1, "val/accuracy": 1, "learning_rate": 1}
	// One iteration is one wine run's worth of epochs, flushed at its end.
	for b.Loop() {
		r := start(b, tr, "train")
		for epoch := range int64(150) {
			if err := r.Record(epoch, metrics); err != nil {
				b.Fatal(err)
			}
		}
		finish(b, r)
	}
	b.ReportMetric(float64(b.N)*750/b.Elapsed().Seconds(), "points/s")
}

func BenchmarkCommit(b *testing.B) {
	tr := open(b)
	r := start(b, tr, "load")
	for i := 0; b.Loop(); i++ {
		commit(b, r, "raw", fmt.Sprint(i))
	}
}
