package tracking_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/tracking"
)

// onDisk returns a tracker whose store and blobs are on a disk of so many
// megabytes, and the disk's folder.
func onDisk(t *testing.T, megabytes int) (*tracking.Tracker, string) {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	s, err := store.OpenSQLite(ctx, filepath.Join(dir, "solera.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	blobs, err := blob.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return &tracking.Tracker{Store: s, Blobs: blobs, Project: "wine"}, dir
}

func TestFullDiskLosesNothingAndCanBeCleared(t *testing.T) {
	tr, dir := onDisk(t, 8)
	other := filepath.Join(dir, "something else")
	if err := os.WriteFile(other, make([]byte, 1<<20), 0o666); err != nil {
		t.Fatal(err)
	}
	r := start(t, tr, "load")
	names := []string{}
	var full error
	for i := 0; full == nil && i < 100; i++ {
		seed := sha256.Sum256(fmt.Append(nil, i))
		content := bytes.Repeat(seed[:], 8<<10) // 256 KiB
		v, _, err := r.Commit(ctx, tracking.Draft{Artifact: "a", Type: "dataset", Files: map[string]tracking.Source{"x": tracking.Bytes(content)}})
		if full = err; err == nil {
			names = append(names, v.Name())
		}
	}
	if full == nil || !strings.Contains(full.Error(), "no space left") && !strings.Contains(full.Error(), "full") {
		t.Fatalf("a full disk says: %v", full)
	}
	if len(names) < 10 {
		t.Fatalf("only %d versions fit", len(names))
	}
	for _, name := range names {
		v, err := tr.Open(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.ReadFile("x"); err != nil {
			t.Error(err)
		}
	}
	// A backup onto the full disk fails. Its lease may not be given back, for
	// want of room to say so, and then runs out.
	if f, err := os.Create(filepath.Join(dir, "archive")); err == nil {
		if _, err := tracking.Backup(ctx, tr.Store, tr.Blobs, f, spool(t), tracking.BackupOptions{}.WithLease(200*time.Millisecond)); err == nil {
			t.Error("a backup of 8 MB fits into nothing")
		}
		f.Close()
		os.Remove(f.Name())
	}
	found, err := tracking.Fsck(ctx, tr.Store, tr.Blobs, tracking.FsckOptions{})
	if err != nil || !found.OK {
		t.Errorf("fsck on the full disk: %+v, %v", found, err)
	}
	// Room for the journal is all that gc needs.
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	for _, name := range names[:5] {
		if _, err := tr.Delete(ctx, name, true); err != nil {
			t.Fatalf("delete %s: %v", name, err)
		}
	}
	time.Sleep(200 * time.Millisecond)
	done, err := tracking.GC(ctx, tr.Store, tr.Blobs, tracking.GCOptions{Delete: true, Grace: -1})
	if err != nil || done.Bytes < 5*256<<10 {
		t.Fatalf("gc freed %+v, %v", done, err)
	}
	commit(t, r, "a", "there is room again")
	finish(t, r)
	wantSound(t, tr)
}

func TestStoreThatCannotBeWrittenIsLookedAt(t *testing.T) {
	tr, dir := onDisk(t, 16)
	fill(t, tr)
	if err := tr.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	s, err := store.OpenSQLite(ctx, filepath.Join(dir, "solera.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	blobs, err := blob.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	look := &tracking.Tracker{Store: s, Blobs: blobs, Project: "wine"}
	wantSound(t, look)
	dry, err := tracking.GC(ctx, s, blobs, tracking.GCOptions{Grace: -1})
	if err != nil || dry.Blobs != 1 {
		t.Errorf("a dry run: %+v, %v", dry, err)
	}
	for what, err := range map[string]error{
		"gc": func() error {
			_, err := tracking.GC(ctx, s, blobs, tracking.GCOptions{Delete: true, Grace: -1})
			return err
		}(),
		"start": func() error { _, err := look.Start(ctx, tracking.RunSpec{Stage: "load"}); return err }(),
		"backup": func() error {
			_, err := tracking.Backup(ctx, s, blobs, &bytes.Buffer{}, spool(t), tracking.BackupOptions{})
			return err
		}(),
	} {
		if err == nil || !strings.Contains(err.Error(), "cannot be written") && !strings.Contains(err.Error(), "read-only") {
			t.Errorf("%s says: %v", what, err)
		}
	}
	if _, _, err := blobs.Put(ctx, strings.NewReader("x")); !errors.Is(err, syscall.EROFS) {
		t.Errorf("put: %v", err)
	}
	if _, err := blobs.Stat(ctx, recipe("x")); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("put left something: %v", err)
	}
}
