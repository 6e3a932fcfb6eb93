package tracking_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/tracking"
)

func spool(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func backup(t testing.TB, tr *tracking.Tracker) ([]byte, tracking.BackupReport) {
	t.Helper()
	var b bytes.Buffer
	r, err := tracking.Backup(ctx, tr.Store, tr.Blobs, &b, spool(t), tracking.BackupOptions{Solera: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), r
}

// local returns a tracker on SQLite and a folder, wherever the other stores of
// the tests are.
func local(t testing.TB) *tracking.Tracker {
	t.Helper()
	dir := t.TempDir()
	s, err := store.OpenSQLite(ctx, filepath.Join(dir, "solera.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	blobs, err := blob.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return &tracking.Tracker{Store: s, Blobs: blobs, Project: "wine"}
}

// dump returns the lines of a dump but for the audit log's, and the last line,
// which counts and hashes the others.
func dump(t testing.TB, s solera.Store) (records []string, audit int) {
	t.Helper()
	var b bytes.Buffer
	if err := s.Dump(ctx, &b); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		var kind map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &kind); err != nil {
			t.Fatal(err)
		}
		switch {
		case kind["audit"] != nil:
			audit++
		case kind["end"] == nil:
			records = append(records, line)
		}
	}
	return records, audit
}

// fill gives a store something of everything: a large content, one that two
// versions share, a deleted version, an external file, a run's file.
func fill(t testing.TB, tr *tracking.Tracker) {
	t.Helper()
	raw := start(t, tr, "load")
	commit(t, raw, "wine-raw", "shared")
	finish(t, raw)
	train := start(t, tr, "train")
	use(t, train, "wine-raw")
	if err := train.Record(1, map[string]float64{"loss": 0.5, "val/loss": 0.25}); err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 3<<16) // 3 MiB, more than is read ahead
	files := map[string]tracking.Source{
		"weights.bin": tracking.Bytes(large), "copy.txt": tracking.Bytes([]byte("shared")), "empty": tracking.Bytes(nil),
	}
	if _, _, err := train.Commit(ctx, tracking.Draft{Artifact: "model", Type: "model", Files: files, Aliases: []string{"best"}}); err != nil {
		t.Fatal(err)
	}
	d, n, err := tr.Blobs.Put(ctx, strings.NewReader("--- a\n+++ b\n"))
	if err != nil {
		t.Fatal(err)
	}
	update(t, tr, func(tx solera.Tx) error {
		return tx.SetFile(train.ID(), solera.Entry{Path: "diff.patch", Digest: d, Size: n})
	})
	finish(t, train)
	for i := range 3 {
		r := start(t, tr, "again")
		commit(t, r, "wine-raw", fmt.Sprint("more ", i))
		finish(t, r)
	}
	remove(t, tr, "wine-raw:v1")
}

func update(t testing.TB, tr *tracking.Tracker, fn func(solera.Tx) error) {
	t.Helper()
	if err := tr.Store.Update(ctx, fn); err != nil {
		t.Fatal(err)
	}
}

// remove marks a version deleted.
func remove(t testing.TB, tr *tracking.Tracker, ref string) solera.Version {
	t.Helper()
	return change(t, tr, ref, func(v *solera.Version, now solera.Micros) { v.Deleted = now })
}

func change(t testing.TB, tr *tracking.Tracker, ref string, fn func(*solera.Version, solera.Micros)) solera.Version {
	t.Helper()
	v, err := tr.Version(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	update(t, tr, func(tx solera.Tx) error {
		now, err := tx.Now()
		if err != nil {
			return err
		}
		fn(&v, now)
		return tx.UpdateVersion(v)
	})
	return v
}

func TestRestoreGivesBackWhatWasBackedUp(t *testing.T) {
	tr := open(t)
	fill(t, tr)
	before, auditBefore := dump(t, tr.Store)
	archive, made := backup(t, tr)
	if !made.OK || made.Blobs != 7-1 || made.Bytes < 3<<20 {
		t.Errorf("report %+v", made)
	}
	checked, err := tracking.CheckBackup(ctx, bytes.NewReader(archive), tracking.BackupOptions{})
	if diff := cmp.Diff(made, checked); diff != "" || err != nil {
		t.Errorf("check of the archive (-made +checked): %v\n%s", err, diff)
	}
	for name, to := range map[string]*tracking.Tracker{"the same kind": open(t), "a folder": local(t)} {
		restored, err := tracking.Restore(ctx, to.Store, to.Blobs, bytes.NewReader(archive), tracking.BackupOptions{})
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(made, restored); diff != "" {
			t.Errorf("%s: report (-made +restored):\n%s", name, diff)
		}
		after, auditAfter := dump(t, to.Store)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s: records (-before +after):\n%s", name, diff)
		}
		// Of the backup its start, as it was going on, and then the restore.
		if auditAfter != auditBefore+2 {
			t.Errorf("%s: %d entries in the audit log, want %d", name, auditAfter, auditBefore+2)
		}
		if check, err := tracking.CheckAudit(ctx, to.Store); err != nil || !check.OK {
			t.Errorf("%s: audit log %+v, %v", name, check, err)
		}
		wantSound(t, to)
		v, err := to.Open(ctx, "model:best")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := v.ReadFile("weights.bin"); err != nil || len(b) != 3<<20 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
		if _, err := to.Blobs.Stat(ctx, recipe("more 0")); !errors.Is(err, solera.ErrNotFound) {
			t.Errorf("%s: the content of a deleted version came along (%v)", name, err)
		}
		// A second time the store is not empty.
		_, err = tracking.Restore(ctx, to.Store, to.Blobs, bytes.NewReader(archive), tracking.BackupOptions{})
		if !errors.Is(err, solera.ErrConflict) {
			t.Errorf("%s: restored over a store: %v", name, err)
		}
	}
	again, _ := backup(t, tr)
	if cut := bytes.Index(archive, []byte("manifest.json")); !bytes.Equal(archive[:cut], again[:cut]) {
		t.Error("two archives of the same contents differ")
	}
}

// wantSound wants fsck and verify to find nothing.
func wantSound(t testing.TB, tr *tracking.Tracker) {
	t.Helper()
	found, err := tracking.Fsck(ctx, tr.Store, tr.Blobs, tracking.FsckOptions{})
	if err != nil || !found.OK {
		t.Errorf("fsck: %+v, %v", found, err)
	}
	v, err := tr.Verify(ctx, tracking.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range v.Problems {
		if p.Problem != tracking.Unsigned {
			t.Errorf("verify: %+v", p)
		}
	}
}

// small returns the archive of a small store.
func small(t testing.TB) []byte {
	t.Helper()
	tr := local(t)
	r := start(t, tr, "load")
	commit(t, r, "a", "first")
	commit(t, r, "a", "second")
	finish(t, r)
	archive, _ := backup(t, tr)
	return archive
}

func TestAlteredArchiveIsRefused(t *testing.T) {
	archive := small(t)
	check := func(b []byte) (tracking.BackupReport, error) {
		return tracking.CheckBackup(ctx, bytes.NewReader(b), tracking.BackupOptions{})
	}
	want, err := check(archive)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	passed := 0
	tried := 0
	stride := 11 // every byte takes seconds
	if testing.Short() {
		stride = 111
	}
	for at := random.IntN(stride); at < len(archive); at += stride {
		b := bytes.Clone(archive)
		b[at] ^= 1 << random.IntN(8)
		tried++
		got, err := check(b)
		switch {
		case err == nil && cmp.Equal(got, want):
			passed++ // in the zeros between two files
		case err == nil:
			t.Fatalf("byte %d altered: accepted, and reads %+v", at, got)
		case !errors.Is(err, solera.ErrCorrupt) && !errors.Is(err, solera.ErrInvalid):
			t.Fatalf("byte %d altered: %v", at, err)
		}
	}
	if passed > tried/2 {
		t.Errorf("%d of %d alterations went unnoticed", passed, tried)
	}
	end := len(archive)
	for archive[end-1] == 0 {
		end-- // tar's two empty blocks, and filling
	}
	for length := random.IntN(17); length < end; length += 17 {
		_, err := check(archive[:length])
		if !errors.Is(err, solera.ErrCorrupt) && !errors.Is(err, solera.ErrInvalid) {
			t.Fatalf("cut after %d of %d bytes: %v", length, len(archive), err)
		}
	}
	if _, err := check(append(bytes.Clone(archive), 'x')); !errors.Is(err, solera.ErrCorrupt) {
		t.Errorf("something after the end: %v", err)
	}
}

// file is a file of an archive that somebody made up.
type file struct {
	tar.Header
	content string
}

func unpack(t testing.TB, archive []byte) (files []file) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{*h, string(b)})
	}
}

func pack(t testing.TB, files []file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		f.Size = int64(len(f.content))
		if f.Typeflag != tar.TypeReg {
			f.Size = 0
			f.content = ""
		}
		if err := w.WriteHeader(&f.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestHostileArchiveIsRefusedAndLeavesTheStoreEmpty(t *testing.T) {
	archive := small(t)
	// 0 header, 1 and 2 contents, 3 manifest, 4 its digest, 5 records
	good := func() []file { return unpack(t, archive) }
	named := func(at int, name string) []file {
		f := good()
		f[at].Name = name
		return f
	}
	manifest := func(change func(m map[string]any)) []file {
		f := good()
		var m map[string]any
		if err := json.Unmarshal([]byte(f[3].content), &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		f[3].content = string(b)
		f[4].content = solera.DigestOf(b).Hex() + "  manifest.json\n"
		return f
	}
	records := func(packed []byte, raw int) []file {
		f := manifest(func(m map[string]any) {
			m["records"] = map[string]any{"digest": solera.DigestOf(packed).String(), "size": len(packed), "raw": raw}
		})
		f[5].content = string(packed)
		return f
	}
	squeeze := func(b []byte) []byte {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(b, nil)
	}
	other := strings.Repeat("f", 64)
	tests := map[string][]byte{
		"nothing":              nil,
		"text":                 []byte("project: wine\n"),
		"zeros":                make([]byte, 4096),
		"another tar":          pack(t, good()[1:]),
		"a path upwards":       pack(t, named(1, "../../etc/passwd")),
		"an absolute path":     pack(t, named(1, "/etc/passwd")),
		"a path in between":    pack(t, named(1, "blobs/sha256/../"+good()[1].Name[13:])),
		"an upper-case digest": pack(t, named(2, strings.ToUpper(good()[2].Name))),
		"another's digest":     pack(t, named(2, "blobs/sha256/ff/"+other)),
		"a wrong shard":        pack(t, named(2, "blobs/sha256/00/"+other)),
		"another order":        pack(t, append([]file{good()[0], good()[2], good()[1]}, good()[3:]...)),
		"a content twice":      pack(t, append([]file{good()[0], good()[1], good()[1]}, good()[2:]...)),
		"a content less":       pack(t, append([]file{good()[0], good()[1]}, good()[3:]...)),
		"a content more": pack(t, append([]file{good()[0], {Header: tar.Header{
			Typeflag: tar.TypeReg, Name: "blobs/sha256/00/00" + strings.Repeat("0", 62), Mode: 0o644,
		}}}, good()[1:]...)),
		"a symbolic link": pack(t, append([]file{good()[0], {Header: tar.Header{
			Typeflag: tar.TypeSymlink, Name: good()[1].Name, Linkname: "/etc/passwd",
		}}}, good()[2:]...)),
		"a folder": pack(t, append([]file{good()[0], {Header: tar.Header{Typeflag: tar.TypeDir, Name: "blobs/"}}}, good()[1:]...)),
		"attributes": pack(t, append([]file{good()[0], {Header: tar.Header{
			Typeflag: tar.TypeReg, Name: good()[1].Name, Format: tar.FormatPAX, PAXRecords: map[string]string{"SOLERA.x": "y"},
		}, content: good()[1].content}}, good()[2:]...)),
		"no digest of the manifest": pack(t, append(good()[:4], good()[5:]...)),
		"a manifest of nonsense":    pack(t, func() []file { f := good(); f[3].content = "{"; return f }()),
		"a newer format": pack(t, func() []file {
			f := good()
			f[0].content = `{"format": 2}`
			return f
		}()),
		"other counts":        pack(t, manifest(func(m map[string]any) { m["blobs"] = 1 << 40 })),
		"a negative size":     pack(t, manifest(func(m map[string]any) { m["records"].(map[string]any)["size"] = -1 })),
		"altered, they say":   pack(t, func() []file { f := good(); f[1].content = strings.Repeat("x", len(f[1].content)); return f }()),
		"records twice":       pack(t, append(good(), good()[5])),
		"no records":          pack(t, good()[:5]),
		"a bomb":              pack(t, records(squeeze(make([]byte, 64<<20)), 64<<20)),
		"a longer bomb":       pack(t, records(squeeze(make([]byte, 64<<20)), 1000)),
		"records of zeros":    pack(t, records(squeeze(make([]byte, 1000)), 1000)),
		"records of nonsense": pack(t, records([]byte("nonsense"), 1000)),
		"half the records": func() []byte {
			z, err := zstd.NewReader(nil)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := z.DecodeAll([]byte(good()[5].content), nil)
			if err != nil {
				t.Fatal(err)
			}
			raw = raw[:len(raw)/2]
			return pack(t, records(squeeze(raw), len(raw)))
		}(),
	}
	to := local(t)
	for name, b := range tests {
		_, err := tracking.Restore(ctx, to.Store, to.Blobs, bytes.NewReader(b), tracking.BackupOptions{})
		if !errors.Is(err, solera.ErrCorrupt) && !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if records, audit := dump(t, to.Store); len(records) != 1 || audit != 0 {
			t.Errorf("%s: the store has %d records", name, len(records))
		}
	}
	// After all these the store takes the good one.
	if _, err := tracking.Restore(ctx, to.Store, to.Blobs, bytes.NewReader(pack(t, good())), tracking.BackupOptions{}); err != nil {
		t.Error(err)
	}
	wantSound(t, to)
}

func TestHugeSizeIsRefused(t *testing.T) {
	archive := small(t)
	at := bytes.Index(archive, []byte("blobs/sha256/"))
	b := bytes.Clone(archive)
	// Size as a number of 8 EiB - 1 in base 256, and the checksum made right.
	copy(b[at+124:], []byte{0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	copy(b[at+148:], "        ")
	sum := 0
	for _, c := range b[at : at+512] {
		sum += int(c)
	}
	copy(b[at+148:], fmt.Sprintf("%06o\x00 ", sum))
	to := local(t)
	_, err := tracking.Restore(ctx, to.Store, to.Blobs, bytes.NewReader(b), tracking.BackupOptions{})
	if !errors.Is(err, solera.ErrCorrupt) {
		t.Errorf("8 EiB: %v", err)
	}
}

func TestDamagedStoreIsBackedUpAndSaysSo(t *testing.T) {
	tr := local(t)
	fill(t, tr)
	lost := recipe("more 1")
	if err := tr.Blobs.Delete(ctx, lost); err != nil {
		t.Fatal(err)
	}
	rotten := recipe("more 2")
	rot(t, tr, rotten, "MORE 2")
	archive, made := backup(t, tr)
	var found []string
	for _, p := range made.Problems {
		found = append(found, p.Problem+" "+p.Ref)
	}
	if diff := cmp.Diff([]string{"missing " + lost.String(), "altered " + rotten.String()}, found); diff != "" || made.OK {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	to := local(t)
	restored, err := tracking.Restore(ctx, to.Store, to.Blobs, bytes.NewReader(archive), tracking.BackupOptions{})
	if err != nil || restored.OK || len(restored.Problems) != 2 {
		t.Errorf("restored %+v, %v", restored, err)
	}
	fsck, err := tracking.Fsck(ctx, to.Store, to.Blobs, tracking.FsckOptions{})
	if err != nil || len(fsck.Problems) != 2 {
		t.Errorf("fsck finds %+v, %v; want both missing", fsck.Problems, err)
	}
	for _, d := range []solera.Digest{lost, rotten} {
		if _, err := to.Blobs.Stat(ctx, d); !errors.Is(err, solera.ErrNotFound) {
			t.Errorf("%v: %v", d, err)
		}
	}
}

// rot changes the bytes of a content under its name.
func rot(t testing.TB, tr *tracking.Tracker, d solera.Digest, to string) {
	t.Helper()
	f, err := tr.Blobs.Open(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := f.(*os.File).Name()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(to), 0o644); err != nil {
		t.Fatal(err)
	}
}

// brokenReader ends with an error after n bytes.
type brokenReader struct {
	r io.Reader
	n int
}

var errBroken = errors.New("the cable broke")

func (b *brokenReader) Read(p []byte) (int, error) {
	if b.n == 0 {
		return 0, errBroken
	}
	n, err := b.r.Read(p[:min(len(p), b.n)])
	b.n -= n
	return n, err
}

func TestInterruptedRestoreCanBeRepeated(t *testing.T) {
	tr := local(t)
	fill(t, tr)
	archive, _ := backup(t, tr)
	to := local(t)
	end := bytes.LastIndex(archive, []byte("records.zst"))
	for _, n := range []int{1000, len(archive) / 4, len(archive) / 2, end, end + 600} {
		_, err := tracking.Restore(ctx, to.Store, to.Blobs, &brokenReader{bytes.NewReader(archive), n}, tracking.BackupOptions{})
		if !errors.Is(err, errBroken) && !errors.Is(err, solera.ErrCorrupt) {
			t.Errorf("after %d bytes: %v", n, err)
		}
		if records, _ := dump(t, to.Store); len(records) != 1 {
			t.Errorf("after %d bytes the store has %d records", n, len(records))
		}
	}
	// gc must not take for garbage what waits for its records.
	if _, err := tracking.GC(ctx, to.Store, to.Blobs, tracking.GCOptions{Delete: true, Grace: -1}); !errors.Is(err, solera.ErrConflict) {
		t.Errorf("gc of an empty store: %v", err)
	}
	if _, err := tracking.Restore(ctx, to.Store, to.Blobs, bytes.NewReader(archive), tracking.BackupOptions{}); err != nil {
		t.Fatal(err)
	}
	wantSound(t, to)
}

// turnedWriter calls fn at its first write.
type turnedWriter struct {
	io.Writer
	fn func()
}

func (w *turnedWriter) Write(p []byte) (int, error) {
	if w.fn != nil {
		w.fn()
		w.fn = nil
	}
	return w.Writer.Write(p)
}

func TestGCWaitsForABackup(t *testing.T) {
	tr := open(t)
	fill(t, tr)
	var archive bytes.Buffer
	w := &turnedWriter{Writer: &archive, fn: func() {
		// The dump is written. Now a version of it is deleted, and a new one made.
		remove(t, tr, "wine-raw:v2")
		r := start(t, tr, "more")
		commit(t, r, "wine-raw", "after the dump")
		finish(t, r)
		o := tracking.GCOptions{Grace: -1}
		dry, err := tracking.GC(ctx, tr.Store, tr.Blobs, o)
		if err != nil || !strings.Contains(dry.Waiting, "a backup is being made") {
			t.Errorf("a dry run says %q, %v", dry.Waiting, err)
		}
		o.Delete = true
		if _, err := tracking.GC(ctx, tr.Store, tr.Blobs, o); !errors.Is(err, solera.ErrConflict) || !strings.Contains(fmt.Sprint(err), "a backup is being made") {
			t.Errorf("gc: %v", err)
		}
	}}
	made, err := tracking.Backup(ctx, tr.Store, tr.Blobs, w, spool(t), tracking.BackupOptions{})
	if err != nil || !made.OK {
		t.Fatalf("%+v, %v", made, err)
	}
	gc, err := tracking.GC(ctx, tr.Store, tr.Blobs, tracking.GCOptions{Grace: -1, Delete: true})
	if err != nil || gc.Blobs != 2 {
		t.Errorf("gc after the backup: %+v, %v", gc, err)
	}
	to := local(t)
	if _, err := tracking.Restore(ctx, to.Store, to.Blobs, &archive, tracking.BackupOptions{}); err != nil {
		t.Fatal(err)
	}
	wantSound(t, to)
	if v, err := to.Version(ctx, "wine-raw:v2"); err != nil || v.Deleted != 0 {
		t.Errorf("the version that was deleted later: %+v, %v", v, err)
	}
	if _, err := to.Version(ctx, "wine-raw:v4"); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("the version that was made later: %v", err)
	}
	// The log that was restored ends with the lease of the backup, which is over.
	if gc, err := tracking.GC(ctx, to.Store, to.Blobs, tracking.GCOptions{Grace: -1, Delete: true}); err != nil || !gc.OK {
		t.Errorf("gc after the restore: %+v, %v", gc, err)
	}
}

func TestStoppedBackupReleasesItsLease(t *testing.T) {
	tr := local(t)
	fill(t, tr)
	stopped, stop := context.WithCancel(ctx)
	w := &turnedWriter{Writer: io.Discard, fn: stop}
	if _, err := tracking.Backup(stopped, tr.Store, tr.Blobs, w, spool(t), tracking.BackupOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	full := &turnedWriter{Writer: brokenWriter{}}
	if _, err := tracking.Backup(ctx, tr.Store, tr.Blobs, full, spool(t), tracking.BackupOptions{}); !errors.Is(err, errBroken) {
		t.Errorf("a full disk: %v", err)
	}
	if _, err := tracking.GC(ctx, tr.Store, tr.Blobs, tracking.GCOptions{Delete: true}); err != nil {
		t.Errorf("gc afterwards: %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func FuzzRestore(f *testing.F) {
	f.Add(small(f))
	f.Add([]byte("solera-backup.json"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := tracking.CheckBackup(ctx, bytes.NewReader(b), tracking.BackupOptions{}); err != nil &&
			!errors.Is(err, solera.ErrCorrupt) && !errors.Is(err, solera.ErrInvalid) {
			t.Error(err)
		}
	})
}

// BenchmarkBackup says how fast a store of a few large and many small contents
// becomes an archive, is checked and comes back.
func BenchmarkBackup(b *testing.B) {
	tr := local(b)
	random := rand.NewChaCha8([32]byte{})
	r := start(b, tr, "load")
	files := make(map[string]tracking.Source)
	for i := range 250 {
		n := int64(4 << 20)
		if i >= 150 {
			n = 64 << 10
		}
		files[fmt.Sprint("f", i)] = tracking.Reader(io.LimitReader(random, n))
	}
	if _, _, err := r.Commit(ctx, tracking.Draft{Artifact: "a", Type: "dataset", Files: files}); err != nil {
		b.Fatal(err)
	}
	finish(b, r)
	path := filepath.Join(b.TempDir(), "archive")
	b.Run("backup", func(b *testing.B) {
		for b.Loop() {
			f, err := os.Create(path)
			if err != nil {
				b.Fatal(err)
			}
			made, err := tracking.Backup(ctx, tr.Store, tr.Blobs, f, spool(b), tracking.BackupOptions{})
			if err != nil || !made.OK {
				b.Fatal(made, err)
			}
			if err := errors.Join(f.Sync(), f.Close()); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(made.Bytes)
		}
	})
	b.Run("restore", func(b *testing.B) {
		for b.Loop() {
			f, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			to := local(b)
			made, err := tracking.Restore(ctx, to.Store, to.Blobs, f, tracking.BackupOptions{})
			if err != nil || !made.OK {
				b.Fatal(made, err)
			}
			f.Close()
			b.SetBytes(made.Bytes)
		}
	})
}
