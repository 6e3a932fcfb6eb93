package tracking_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

func TestAnnotations(t *testing.T) {
	tr, _ := inMemory(t)
	r := start(t, tr, "load")
	v, _ := commit(t, r, "raw", "x")
	finish(t, r)
	must := func(v solera.Version, err error) solera.Version {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	got := must(tr.Tag(ctx, "raw", []string{"b", "a", "a"}, nil))
	got = must(tr.Tag(ctx, "raw", []string{"c"}, []string{"b", "none"}))
	if !slices.Equal(got.Tags, []string{"a", "c"}) {
		t.Errorf("tags %q", got.Tags)
	}
	got = must(tr.Describe(ctx, "raw:v0", "as they came"))
	got = must(tr.Expire(ctx, "raw:latest", 1_000_000))
	if got.Description != "as they came" || got.Expires != 1_000_000 || got.Digest != v.Digest || got.Created != v.Created {
		t.Errorf("%+v", got)
	}
	if got = must(tr.Expire(ctx, "raw", 0)); got.Expires != 0 {
		t.Errorf("%+v", got)
	}
	if list, err := tr.List(ctx, solera.VersionQuery{Tag: "c"}); err != nil || len(list) != 1 {
		t.Errorf("by tag: %v, %v", list, err)
	}
	for _, tag := range []string{"", " a", "a\n", "a\u202eb", strings.Repeat("x", 129), "\xff"} {
		_, err := tr.Tag(ctx, "raw", []string{tag}, nil)
		wantErr(t, err, solera.ErrInvalid)
	}
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprint(i))
	}
	_, err := tr.Tag(ctx, "raw", many, nil)
	wantErr(t, err, solera.ErrInvalid)
	_, err = tr.Describe(ctx, "raw", strings.Repeat("x", 1<<17))
	wantErr(t, err, solera.ErrInvalid)
	_, err = tr.Describe(ctx, "none", "x")
	wantErr(t, err, solera.ErrNotFound)

	must(v, tr.SetAlias(ctx, "raw", "champion"))
	r = start(t, tr, "load")
	commit(t, r, "raw", "y")
	finish(t, r)
	wantErr(t, tr.DeleteAlias(ctx, "raw:v1", "champion"), solera.ErrConflict)
	wantErr(t, tr.DeleteAlias(ctx, "raw:v1", "nobody"), solera.ErrNotFound)
	wantErr(t, tr.DeleteAlias(ctx, "raw:v1", "latest"), solera.ErrInvalid)
	if err := tr.DeleteAlias(ctx, "raw:champion", "champion"); err != nil {
		t.Error(err)
	}
}

func TestDeletedVersions(t *testing.T) {
	tr, m := inMemory(t)
	raw := chain(t, tr, "r", "s", "m") // raw → scaled → model
	_ = raw
	del := func(ref string, force bool) error { _, err := tr.Delete(ctx, ref, force); return err }
	wantErr(t, del("raw:v0", false), solera.ErrConflict) // scaled was made from it
	if err := del("scaled:v0", true); err != nil {
		t.Fatal(err)
	}
	err := del("raw:v0", false) // the model was, too, by way of something deleted
	wantErr(t, err, solera.ErrConflict)
	if !strings.Contains(err.Error(), "model:v0") {
		t.Errorf("it does not say what would be lost: %v", err)
	}
	if err := tr.SetAlias(ctx, "model", "champion"); err != nil {
		t.Fatal(err)
	}
	wantErr(t, del("model:v0", false), solera.ErrConflict)
	if err := tr.DeleteAlias(ctx, "model", "champion"); err != nil {
		t.Fatal(err)
	}
	if err := del("model:v0", false); err != nil {
		t.Error(err)
	}
	if err := del("raw:v0", false); err != nil {
		t.Error(err)
	}
	if err := del("raw:v0", false); err != nil {
		t.Errorf("twice: %v", err)
	}

	// What was deleted is not used, opened, promoted, or an answer.
	r := start(t, tr, "other")
	_, err = r.Use(ctx, "raw:v0")
	wantErr(t, err, solera.ErrConflict)
	_, err = tr.Open(ctx, "raw:v0")
	wantErr(t, err, solera.ErrConflict)
	wantErr(t, tr.SetAlias(ctx, "raw:v0", "best"), solera.ErrConflict)
	_, err = tr.Expire(ctx, "raw:v0", 1)
	wantErr(t, err, solera.ErrConflict)
	_, err = tr.Version(ctx, "raw")
	wantErr(t, err, solera.ErrNotFound)
	hit, err := tr.Lookup(ctx, recipe("load r"))
	if hit != nil || err != nil {
		t.Errorf("a stage is answered with it: %+v, %v", hit, err)
	}
	// The lineage knows it.
	g, err := tr.Lineage(ctx, "model:v0")
	if err != nil || len(g.Nodes) != 6 || !g.Nodes[0].Deleted {
		t.Errorf("%+v, %v", g, err)
	}
	var tree strings.Builder
	if err := g.WriteTree(&tree); err != nil || strings.Count(tree.String(), "(deleted)") < 3 {
		t.Errorf("%s, %v", &tree, err)
	}

	v, err := tr.Restore(ctx, "raw:v0")
	if err != nil || v.Deleted != 0 || !slices.Equal(v.Aliases, []string{solera.Latest}) {
		t.Errorf("restored: %+v, %v", v, err)
	}
	use(t, r, "raw")
	wantErr(t, del("raw:v0", false), solera.ErrConflict) // a run under way reads it
	finish(t, r)
	if err := del("raw:v0", false); err != nil {
		t.Error(err)
	}
	gc(t, tr, m, tracking.GCOptions{Delete: true, Grace: -1})
	_, err = tr.Restore(ctx, "raw:v0")
	wantErr(t, err, solera.ErrNotFound)
}

// gc deletes what a run has put before the run names it.
func TestCommitOfWhatWasDeletedIsRefused(t *testing.T) {
	tr, m := inMemory(t)
	r := start(t, tr, "train")
	d, n, err := r.Put(ctx, strings.NewReader("staged"))
	if err != nil {
		t.Fatal(err)
	}
	gc(t, tr, m, tracking.GCOptions{Delete: true, Grace: -1})
	first := tracking.Draft{Artifact: "model", Type: "model", Files: map[string]tracking.Source{"w": blindly(d, n)}}
	_, _, err = r.Commit(ctx, first)
	wantErr(t, err, solera.ErrConflict)
	if _, err := tr.Version(ctx, "model"); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("a version of nothing: %v", err)
	}
	if _, isNew := commit(t, r, "model", "staged"); !isNew {
		t.Error("it cannot be done again")
	}
}

// blindly names a content without looking for it: a commit whose look came just
// before the deletion.
func blindly(d solera.Digest, n int64) tracking.Source {
	return tracking.Reference("", d, n)
}

func TestReferences(t *testing.T) {
	tr, _ := inMemory(t)
	content := "far away"
	d, n := solera.DigestOf([]byte(content)), int64(len(content))
	now := content
	opened := 0
	tr.External = func(_ context.Context, e solera.Entry, offset int64) (io.ReadCloser, error) {
		opened++
		switch {
		case strings.HasPrefix(e.Ref, "s3:"):
			return nil, errors.ErrUnsupported
		case now == "":
			return nil, solera.ErrNotFound
		}
		return io.NopCloser(strings.NewReader(now[offset:])), nil
	}
	r := start(t, tr, "add")
	v, _, err := r.Commit(ctx, tracking.Draft{Artifact: "far", Type: "dataset", Files: map[string]tracking.Source{
		"web.csv": tracking.Reference("https://example.org/web.csv", d, n),
		"s3.csv":  tracking.Reference("s3://bucket/s3.csv", d, n),
		"own.csv": tracking.Bytes([]byte("own")),
	}})
	if err != nil || opened != 0 || v.Size != 2*n+3 {
		t.Fatalf("%+v, %v, opened %d times", v, err, opened)
	}
	if _, err := tr.Blobs.Stat(ctx, d); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("it was copied: %v", err)
	}
	snapshot := tr.Snapshot(ctx, v)
	for range 2 {
		if got, err := snapshot.ReadFile("web.csv"); err != nil || string(got) != content {
			t.Errorf("read: %q, %v", got, err)
		}
		f, err := snapshot.OpenFile("web.csv")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(4, io.SeekStart); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(f); err != nil || string(got) != "away" {
			t.Errorf("from 4: %q, %v", got, err)
		}
		f.Close()
	}
	_, err = snapshot.Open("s3.csv")
	wantErr(t, err, errors.ErrUnsupported)
	if !strings.Contains(err.Error(), "s3://bucket/s3.csv") {
		t.Errorf("it does not say where it is: %v", err)
	}
	for _, now = range []string{"far aWay", "far away, and more of it", "far"} {
		_, err := snapshot.Open("web.csv")
		wantErr(t, err, solera.ErrCorrupt)
		_, err = snapshot.ReadFile("web.csv")
		wantErr(t, err, solera.ErrCorrupt)
	}
	now = ""
	_, err = snapshot.Open("web.csv")
	wantErr(t, err, solera.ErrNotFound)

	for _, bad := range []string{
		"https://ana:geheim@example.org/x", "https://example.org/x?X-Amz-Signature=geheim", "http://example.org/x", "ftp://example.org/x",
		"file://host/x", "data.csv", "https://", "s3:///key", "https://example.org/\n",
	} {
		_, _, err := r.Commit(ctx, tracking.Draft{Artifact: "bad", Type: "dataset", Files: map[string]tracking.Source{"x": tracking.Reference(bad, d, n)}})
		wantErr(t, err, solera.ErrInvalid)
		if strings.Contains(err.Error(), "geheim") {
			t.Errorf("%v", err)
		}
	}
	finish(t, r)
}

func TestLineageDownOfManyAndOfLongChains(t *testing.T) {
	if testing.Short() {
		t.Skip("makes thousands of records")
	}
	tr, _ := inMemory(t)
	update(t, tr, func(tx solera.Tx) error {
		run := func(id string) error {
			return tx.CreateRun(solera.Run{ID: solera.RunID(id), Project: "wine", Stage: "x", Name: "a\n└─ forged\u202e \"<b>\"", State: solera.Finished, Created: 1, Started: 1, Finished: 1})
		}
		version := func(artifact, maker string) (solera.VersionID, error) {
			d, err := solera.ContentDigest("x", solera.Fields{"by": maker}, nil)
			if err != nil {
				return solera.VersionID{}, err
			}
			v, err := tx.CreateVersion(solera.Version{Project: "wine", Artifact: artifact, Type: "x", Digest: d, Metadata: solera.Fields{"by": maker}, Run: solera.RunID(maker), Created: 1})
			if err != nil {
				return v.ID(), err
			}
			return v.ID(), tx.AddEdge(solera.Edge{Run: solera.RunID(maker), Version: v.ID(), Kind: solera.Made})
		}
		if err := run("root"); err != nil {
			return err
		}
		root, err := version("root", "root")
		if err != nil {
			return err
		}
		for i := range 1000 { // a fan
			id := fmt.Sprint("fan", i)
			if err := errors.Join(run(id), tx.AddEdge(solera.Edge{Run: solera.RunID(id), Version: root, Kind: solera.Used})); err != nil {
				return err
			}
		}
		last := root
		for i := range 500 { // a chain
			id := fmt.Sprint("chain", i)
			if err := errors.Join(run(id), tx.AddEdge(solera.Edge{Run: solera.RunID(id), Version: last, Kind: solera.Used})); err != nil {
				return err
			}
			if last, err = version("chain", id); err != nil {
				return err
			}
		}
		return nil
	})
	down, err := tr.Trace(ctx, "root", tracking.Down)
	if err != nil || len(down.Nodes) != 1+1000+2*500 || len(down.Edges) != 1000+2*500 {
		t.Fatalf("%d nodes, %d edges, %v", len(down.Nodes), len(down.Edges), err)
	}
	up, err := tr.Trace(ctx, "chain", tracking.Up)
	if err != nil || len(up.Nodes) != 2*501 {
		t.Fatalf("%d nodes, %v", len(up.Nodes), err)
	}
	both, err := tr.Trace(ctx, "chain:v250", tracking.Both)
	if err != nil || len(both.Nodes) != 2*501 {
		t.Fatalf("%d nodes, %v", len(both.Nodes), err)
	}
	for _, g := range []tracking.Graph{down, up, both} {
		var tree strings.Builder
		if err := g.WriteTree(&tree); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(tree.String(), "see --json") || strings.ContainsRune(tree.String(), '\u202e') || tree.Len() > 1<<20 {
			t.Errorf("%d bytes: %.300s", tree.Len(), tree.String())
		}
		for line := range strings.Lines(tree.String()) {
			if strings.HasPrefix(line, "└─ forged") {
				t.Errorf("a name forges a line: %s", line)
			}
		}
	}
}
