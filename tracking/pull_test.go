package tracking_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

// made commits a version of files.
func made(t testing.TB, tr *tracking.Tracker, files map[string]string) solera.Version {
	t.Helper()
	d := tracking.Draft{Artifact: "data", Type: "dataset", Files: map[string]tracking.Source{}}
	for name, content := range files {
		d.Files[name] = tracking.Bytes([]byte(content))
	}
	r := start(t, tr, "load")
	v, _, err := r.Commit(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	finish(t, r)
	return v
}

// folder returns what is in a folder, by path; links as "→ target".
func folder(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if e.Type()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(p)
			all[filepath.ToSlash(rel)] = "→ " + to
			return err
		}
		b, err := os.ReadFile(p)
		all[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func put(t testing.TB, dir, name, content string) {
	t.Helper()
	p := filepath.Join(dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestPull(t *testing.T) {
	tr, _ := inMemory(t)
	files := map[string]string{"a.txt": "one", "deep/er/b.txt": strings.Repeat("two", 1000), "deep/c.txt": "", "d.bin": "\x00\x01"}
	v := made(t, tr, files)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	var done, total atomic.Int64
	got, err := tr.Pull(ctx, v, dir, tracking.PullOptions{Progress: func(d, n int64) { done.Store(d); total.Store(n) }})
	if err != nil {
		t.Fatal(err)
	}
	if all := folder(t, dir); fmt.Sprint(all) != fmt.Sprint(files) {
		t.Errorf("got %q", all)
	}
	if got.Bytes != v.Size || len(got.Files) != 4 || got.Files[0].Path != "a.txt" || got.Files[0].State != tracking.PullWritten || total.Load() != v.Size || done.Load() != v.Size {
		t.Errorf("%+v, %d of %d", got, done.Load(), total.Load())
	}

	// What is right is kept, what is missing comes.
	if err := os.Remove(filepath.Join(dir, "a.txt")); err != nil {
		t.Fatal(err)
	}
	got, err = tr.Pull(ctx, v, dir, tracking.PullOptions{})
	if err != nil || got.Bytes != 3 || got.Files[0].State != tracking.PullWritten || got.Files[1].State != tracking.PullKept {
		t.Errorf("%+v, %v", got, err)
	}

	// What is somebody else's is not touched, and then nothing is.
	put(t, dir, "d.bin", "my own")
	if err := os.Remove(filepath.Join(dir, "a.txt")); err != nil {
		t.Fatal(err)
	}
	_, err = tr.Pull(ctx, v, dir, tracking.PullOptions{})
	wantErr(t, err, solera.ErrConflict)
	if all := folder(t, dir); all["d.bin"] != "my own" || all["a.txt"] != "" || !strings.Contains(err.Error(), "d.bin") {
		t.Errorf("%q, %v", all, err)
	}
	put(t, dir, "unrelated", "stays")
	if _, err := tr.Pull(ctx, v, dir, tracking.PullOptions{Force: true}); err != nil {
		t.Error(err)
	}
	files["unrelated"] = "stays"
	if all := folder(t, dir); fmt.Sprint(all) != fmt.Sprint(files) {
		t.Errorf("forced: %q", all)
	}
}

func TestPullOfSomeFiles(t *testing.T) {
	tr, _ := inMemory(t)
	v := made(t, tr, map[string]string{"a.csv": "1", "b.txt": "2", "deep/c.csv": "3", "deep/d.txt": "4", "deeper": "5", "[x]": "6"})
	for pattern, want := range map[string]string{
		"": "[x] a.csv b.txt deep/c.csv deep/d.txt deeper", "*.csv": "a.csv deep/c.csv", "deep/": "deep/c.csv deep/d.txt",
		"deep": "deep/c.csv deep/d.txt", "deep/*.txt": "deep/d.txt", "b.txt": "b.txt", `\[x\]`: "[x]",
	} {
		got, err := tr.Pull(ctx, v, t.TempDir(), tracking.PullOptions{Pattern: pattern})
		var names []string
		for _, f := range got.Files {
			names = append(names, f.Path)
		}
		if err != nil || strings.Join(names, " ") != want {
			t.Errorf("%q: %v, %v, want %s", pattern, names, err, want)
		}
	}
	_, err := tr.Pull(ctx, v, t.TempDir(), tracking.PullOptions{Pattern: "none"})
	wantErr(t, err, solera.ErrNotFound)
	_, err = tr.Pull(ctx, v, t.TempDir(), tracking.PullOptions{Pattern: "[a"})
	wantErr(t, err, solera.ErrInvalid)
}

// cut is a home of blobs whose readers end in an error after so many bytes.
type cut struct {
	solera.Blobs
	mu    sync.Mutex
	after int64
	err   error
	read  int64            // bytes given out
	stop  func(read int64) // called after each
}

func (c *cut) Open(ctx context.Context, d solera.Digest) (io.ReadSeekCloser, error) {
	r, err := c.Blobs.Open(ctx, d)
	return &cutReader{r, c}, err
}

type cutReader struct {
	io.ReadSeekCloser
	c *cut
}

func (r *cutReader) Read(p []byte) (int, error) {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.c.after >= 0 {
		if r.c.after == 0 {
			return 0, r.c.err
		}
		p = p[:min(int64(len(p)), r.c.after, 1000)]
	}
	n, err := r.ReadSeekCloser.Read(p)
	if r.c.after >= 0 {
		r.c.after -= int64(n)
	}
	r.c.read += int64(n)
	if r.c.stop != nil {
		r.c.stop(r.c.read)
	}
	return n, err
}

func TestPullGoesOnAfterAnInterruption(t *testing.T) {
	tr, _ := inMemory(t)
	content := strings.Repeat("0123456789abcdef", 4096)
	v := made(t, tr, map[string]string{"large.bin": content})
	c := &cut{Blobs: tr.Blobs, after: 30_000, err: errors.New("the network is gone")}
	tr.Blobs = c
	dir := t.TempDir()
	_, err := tr.Pull(ctx, v, dir, tracking.PullOptions{})
	if !errors.Is(err, c.err) {
		t.Fatalf("got %v", err)
	}
	if all := folder(t, dir); len(all) != 1 || all["large.bin.part"] != content[:30_000] {
		t.Fatalf("after the interruption: %d files, part of %d bytes", len(all), len(all["large.bin.part"]))
	}
	// Ctrl-C.
	c.after, c.read = -1, 0
	stopped, stop := context.WithCancel(ctx)
	c.stop = func(read int64) { stop() }
	_, err = tr.Pull(stopped, v, dir, tracking.PullOptions{})
	c.stop = nil
	if err != nil { // the file may have come in one read
		wantErr(t, err, solera.ErrStopped)
	}
	if _, err := tr.Pull(ctx, v, dir, tracking.PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if all := folder(t, dir); len(all) != 1 || all["large.bin"] != content {
		t.Errorf("in the end: %d files", len(all))
	}
	if c.read > int64(len(content))-30_000 {
		t.Errorf("%d bytes were read again", c.read)
	}

	// A part of something else, or one that is too long, is begun anew.
	for _, part := range []string{"something else", content + "more", content[:100] + "x", content} {
		dir := t.TempDir()
		put(t, dir, "large.bin.part", part)
		if _, err := tr.Pull(ctx, v, dir, tracking.PullOptions{}); err != nil {
			t.Errorf("%.20q: %v", part, err)
		}
		if all := folder(t, dir); len(all) != 1 || all["large.bin"] != content {
			t.Errorf("%.20q: %d files", part, len(all))
		}
	}
}

// Whatever part is there, and wherever it is stopped, the file is right in the end.
func TestPullIsRightInTheEnd(t *testing.T) {
	tr, m := inMemory(t)
	content := map[string]string{"a": strings.Repeat("a", 5000), "b/c": strings.Repeat("xyz", 3000), "a.part": "a name like a part's", "b/c.part/x": "a folder like a part"}
	v := made(t, tr, content)
	n := 0
	parent := t.TempDir()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() { // the disk's syncs are not what is tested
		if parent, err = os.MkdirTemp("/dev/shm", "solera-test-"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(parent) })
	}
	rapid.Check(t, func(rt *rapid.T) {
		n++
		dir := filepath.Join(parent, fmt.Sprint(n))
		if rapid.Bool().Draw(rt, "leftover") {
			put(t, dir, "a.part.part", rapid.SampledFrom([]string{content["a"], "zz"}).Draw(rt, "content")[:rapid.IntRange(0, 2).Draw(rt, "length")])
		}
		tr := *tr
		for range 20 {
			tr.Blobs = &cut{Blobs: m, after: rapid.Int64Range(0, 9000).Draw(rt, "after"), err: errors.New("gone")}
			if _, err := tr.Pull(ctx, v, dir, tracking.PullOptions{}); err == nil {
				break
			}
			for name, got := range folder(t, dir) {
				if want, ok := content[name]; ok && got != want {
					rt.Fatalf("%s is half there", name)
				}
			}
		}
		tr.Blobs = m
		if _, err := tr.Pull(ctx, v, dir, tracking.PullOptions{}); err != nil {
			rt.Fatal(err)
		}
		if all := folder(t, dir); fmt.Sprint(all) != fmt.Sprint(content) {
			rt.Fatalf("in the end: %q", all)
		}
	})
}

func TestPullFollowsNoLink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege")
	}
	tr, _ := inMemory(t)
	v := made(t, tr, map[string]string{"deep/file": "content"})
	link := func(t *testing.T, from, to string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(from), 0o755), os.Symlink(to, from)); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]func(t *testing.T, dir, outside string){
		"folder to outside": func(t *testing.T, dir, outside string) { link(t, filepath.Join(dir, "deep"), outside) },
		"folder to inside": func(t *testing.T, dir, _ string) {
			put(t, dir, "other/x", "")
			link(t, filepath.Join(dir, "deep"), "other")
		},
		"file to outside": func(t *testing.T, dir, outside string) {
			link(t, filepath.Join(dir, "deep", "file"), filepath.Join(outside, "victim"))
		},
		"file to right": func(t *testing.T, dir, outside string) {
			link(t, filepath.Join(dir, "deep", "file"), filepath.Join(outside, "right"))
		},
		"dangling": func(t *testing.T, dir, outside string) {
			link(t, filepath.Join(dir, "deep", "file"), filepath.Join(outside, "none"))
		},
		"part": func(t *testing.T, dir, outside string) {
			link(t, filepath.Join(dir, "deep", "file.part"), filepath.Join(outside, "victim"))
		},
		"folder in the way": func(t *testing.T, dir, _ string) { put(t, dir, "deep/file/x", "") },
		"file in the way":   func(t *testing.T, dir, _ string) { put(t, dir, "deep", "x") },
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			outside, dir := t.TempDir(), t.TempDir()
			put(t, outside, "victim", "precious")
			put(t, outside, "right", "content")
			prepare(t, dir, outside)
			before := folder(t, dir)
			for _, force := range []bool{false, true} {
				_, err := tr.Pull(ctx, v, dir, tracking.PullOptions{Force: force})
				wantErr(t, err, solera.ErrConflict)
			}
			if after := folder(t, dir); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("the folder: %q, was %q", after, before)
			}
			if all := folder(t, outside); len(all) != 2 || all["victim"] != "precious" {
				t.Errorf("outside: %q", all)
			}
		})
	}
}

func TestHostileManifestIsRefused(t *testing.T) {
	tr, _ := inMemory(t)
	good := made(t, tr, map[string]string{"x": "content"})
	tests := map[string]func(*solera.Version){
		"upwards":        func(v *solera.Version) { v.Files[0].Path = "../x" },
		"upwards inside": func(v *solera.Version) { v.Files[0].Path = "a/../../x" },
		"absolute":       func(v *solera.Version) { v.Files[0].Path = "/tmp/x" },
		"drive":          func(v *solera.Version) { v.Files[0].Path = "C:/x" },
		"backslash":      func(v *solera.Version) { v.Files[0].Path = `..\x` },
		"control":        func(v *solera.Version) { v.Files[0].Path = "a\x1b[2J" },
		"empty":          func(v *solera.Version) { v.Files[0].Path = "" },
		"twice":          func(v *solera.Version) { v.Files = append(v.Files, v.Files[0]) },
		"file and folder": func(v *solera.Version) {
			v.Files = append(v.Files, solera.Entry{Path: "x/y", Digest: v.Files[0].Digest})
		},
		"negative size":    func(v *solera.Version) { v.Files[0].Size = -1 },
		"bad reference":    func(v *solera.Version) { v.Files[0].Ref = "file://../x" },
		"another manifest": func(v *solera.Version) { v.Files[0].Path = "y" },
		"ten million":      func(v *solera.Version) { v.Files = slices.Repeat(v.Files, 10_000_000) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			v := good
			v.Files = slices.Clone(good.Files)
			change(&v)
			if name != "another manifest" {
				// As its author would have it; not all of them have a digest.
				if d, err := solera.ContentDigest(v.Type, v.Metadata, v.Files); err == nil {
					v.Digest = d
				}
			}
			parent := t.TempDir()
			dir := filepath.Join(parent, "in")
			_, err := tr.Pull(ctx, v, dir, tracking.PullOptions{Force: true})
			if !errors.Is(err, solera.ErrInvalid) && !errors.Is(err, solera.ErrCorrupt) {
				t.Errorf("got %v", err)
			}
			if all := folder(t, parent); len(all) != 0 {
				t.Errorf("written: %q", all)
			}
		})
	}
}

// liar gives other bytes than were asked for.
type liar struct {
	solera.Blobs
	with string
}

type readSeeker struct{ *strings.Reader }

func (readSeeker) Close() error { return nil }

func (l liar) Open(context.Context, solera.Digest) (io.ReadSeekCloser, error) {
	return readSeeker{strings.NewReader(l.with)}, nil
}

func TestPullOfAlteredBytes(t *testing.T) {
	tr, m := inMemory(t)
	v := made(t, tr, map[string]string{"x": "content"})
	for _, with := range []string{"kontent", "content and more", "cont", ""} {
		tr.Blobs = liar{m, with}
		dir := t.TempDir()
		_, err := tr.Pull(ctx, v, dir, tracking.PullOptions{})
		wantErr(t, err, solera.ErrCorrupt)
		if all := folder(t, dir); len(all) != 0 {
			t.Errorf("%q: left behind %q", with, all)
		}
	}
	tr.Blobs = m
	if err := m.Delete(ctx, solera.DigestOf([]byte("content"))); err != nil {
		t.Fatal(err)
	}
	_, err := tr.Pull(ctx, v, t.TempDir(), tracking.PullOptions{})
	wantErr(t, err, solera.ErrNotFound)
	if _, err := tr.Delete(ctx, v.Name(), true); err != nil {
		t.Fatal(err)
	}
	v, err = tr.Version(ctx, v.Name())
	if err != nil {
		t.Fatal(err)
	}
	_, err = tr.Pull(ctx, v, t.TempDir(), tracking.PullOptions{})
	wantErr(t, err, solera.ErrConflict)
}

func TestPullOfReferences(t *testing.T) {
	tr, _ := inMemory(t)
	far := "far away"
	tr.External = func(_ context.Context, e solera.Entry, offset int64) (io.ReadCloser, error) {
		if strings.HasPrefix(e.Ref, "s3:") {
			return nil, errors.ErrUnsupported
		}
		return io.NopCloser(strings.NewReader(far[offset:])), nil
	}
	r := start(t, tr, "add")
	d, n := solera.DigestOf([]byte(far)), int64(len(far))
	v, _, err := r.Commit(ctx, tracking.Draft{Artifact: "far", Type: "dataset", Files: map[string]tracking.Source{
		"web": tracking.Reference("https://example.org/web", d, n), "s3": tracking.Reference("s3://bucket/s3", d, n),
	}})
	if err != nil {
		t.Fatal(err)
	}
	finish(t, r)
	dir := t.TempDir()
	put(t, dir, "web.part", "far")
	got, err := tr.Pull(ctx, v, dir, tracking.PullOptions{})
	if err != nil || got.Files[0].State != tracking.PullExternal || got.Files[1].State != tracking.PullWritten || got.Bytes != n {
		t.Errorf("%+v, %v", got, err)
	}
	if all := folder(t, dir); len(all) != 1 || all["web"] != far {
		t.Errorf("%q", all)
	}
	far = "far away, and more"
	_, err = tr.Pull(ctx, v, t.TempDir(), tracking.PullOptions{})
	wantErr(t, err, solera.ErrCorrupt)
}

// Of a file that is known by its ETag alone nobody can say whether some bytes are
// it: it is never opened, written or compared.
func TestFilesWithAnETagAreLeftWhereTheyAre(t *testing.T) {
	tr, _ := inMemory(t)
	tr.External = func(_ context.Context, e solera.Entry, _ int64) (io.ReadCloser, error) {
		t.Errorf("%s was opened", e.Ref)
		return io.NopCloser(strings.NewReader("x")), nil
	}
	tag := `"33a64df5"`
	far := solera.Entry{
		Digest: solera.DigestOf([]byte(tag)), Size: 1, Ref: "gs://bucket/far?generation=1", ETag: tag, Extra: `{"versionID":"1"}`,
	}
	r := start(t, tr, "add")
	v, _, err := r.Commit(ctx, tracking.Draft{Artifact: "far", Type: "dataset", Files: map[string]tracking.Source{
		"far": tracking.External(far), "near": tracking.Bytes([]byte("n")),
	}})
	if err != nil {
		t.Fatal(err)
	}
	finish(t, r)
	if far.Path = "far"; v.Files[0] != far {
		t.Errorf("recorded as %+v", v.Files[0])
	}
	dir := t.TempDir()
	put(t, dir, "far", "something else")
	got, err := tr.Pull(ctx, v, dir, tracking.PullOptions{})
	if err != nil || got.Files[0].State != tracking.PullExternal || got.Files[1].State != tracking.PullWritten {
		t.Errorf("%+v, %v", got, err)
	}
	if all := folder(t, dir); len(all) != 2 || all["far"] != "something else" {
		t.Errorf("%q", all)
	}
	snapshot := tr.Snapshot(ctx, v)
	for name, read := range map[string]func() error{
		"Open":      func() error { _, err := snapshot.Open("far"); return err },
		"ReadFile":  func() error { _, err := snapshot.ReadFile("far"); return err },
		"OpenEntry": func() error { _, err := tr.OpenEntry(ctx, v.Files[0]); return err },
	} {
		if err := read(); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "gs://bucket/far") {
			t.Errorf("%s: %v", name, err)
		}
	}
	checked, err := tr.Verify(ctx, tracking.VerifyOptions{OpenReference: func(context.Context, solera.Entry) (io.ReadCloser, error) {
		t.Error("verify opened it")
		return nil, errors.ErrUnsupported
	}})
	if err != nil || checked.References != 1 || checked.Blobs != 1 {
		t.Errorf("verify: %+v, %v", checked, err)
	}
	for _, p := range checked.Problems {
		if p.Problem != tracking.Unsigned {
			t.Errorf("verify: %+v", p)
		}
	}
	if found, err := tracking.Fsck(ctx, tr.Store, tr.Blobs, tracking.FsckOptions{}); err != nil || !found.OK {
		t.Errorf("fsck: %+v, %v", found, err)
	}
	if _, err := tracking.GC(ctx, tr.Store, tr.Blobs, tracking.GCOptions{Delete: true, Grace: time.Nanosecond}); err != nil {
		t.Error(err)
	}
	if near, err := snapshot.ReadFile("near"); err != nil || string(near) != "n" {
		t.Errorf("gc: %q, %v", near, err)
	}
}

func TestNamesThatDifferInCaseAreNoted(t *testing.T) {
	tr, _ := inMemory(t)
	v := made(t, tr, map[string]string{"Read.me": "1", "read.me": "2"})
	dir := t.TempDir()
	got, err := tr.Pull(ctx, v, dir, tracking.PullOptions{})
	if errors.Is(err, solera.ErrConflict) {
		if all := folder(t, dir); len(all) != 0 {
			t.Errorf("refused, and written: %q", all)
		}
		return // this file system takes them for one
	}
	if err != nil || len(got.Notes) != 1 || len(folder(t, dir)) != 2 {
		t.Errorf("%+v, %v, %q", got, err, folder(t, dir))
	}
}
