package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store"
)

func TestFullDiskRefusesAndKeepsWhatWasStored(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	path := filepath.Join(dir, "solera.db")
	s, err := store.OpenSQLite(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	createRun(t, s, solera.Run{ID: "r"})
	batch := make([]solera.Point, 100)
	for i := range batch {
		batch[i] = solera.Point{Key: "x", Step: int64(i)}
	}
	var last int64
	for {
		n, err := s.Append(ctx, "r", batch)
		if err != nil {
			if !strings.Contains(err.Error(), "disk is full") {
				t.Errorf("got error %v, want one that says that the disk is full", err)
			}
			break
		}
		last = n
	}
	check := func(s solera.Store) {
		points, cursor, err := s.Since(ctx, "r", 0, 0)
		if err != nil || cursor != last || int64(len(points)) != last {
			t.Errorf("%d points up to number %d, acknowledged were %d (%v)", len(points), cursor, last, err)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Logf("closing on a full disk: %v", err)
	}
	// Room again, as after an administrator came by.
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	again, err := store.OpenSQLite(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	check(again)
	if _, err := again.Append(ctx, "r", batch); err != nil {
		t.Error(err)
	}
}

func TestReadOnlyFolderIsSaidClearly(t *testing.T) {
	dir := t.TempDir()
	made := filepath.Join(dir, "made.db")
	s, err := store.OpenSQLite(ctx, made)
	if err != nil {
		t.Fatal(err)
	}
	createRun(t, s, solera.Run{ID: "r"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// As after a kill: the last changes are in the log alone.
	killed := filepath.Join(dir, "killed.db")
	copied := filepath.Join(t.TempDir(), "live.db")
	live := openAt(t, copied)
	createRun(t, live, solera.Run{ID: "r"})
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(copied + suffix)
		if err == nil {
			err = os.WriteFile(killed+suffix, content, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		os.Chmod(d, 0o555)
		defer os.Chmod(d, 0o755)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Without the rights of root, under which permissions would not count.
		// The thread dies with this goroutine: it is never unlocked.
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				t.Error(err)
				return
			}
		}
		for _, name := range []string{"new.db", "sub/new.db"} {
			s, err := store.OpenSQLite(ctx, filepath.Join(dir, name))
			if err == nil {
				t.Errorf("%s was created in a read-only folder", name)
				s.Close()
				continue
			}
			says := strings.Contains(err.Error(), "cannot be written") || errors.Is(err, os.ErrPermission)
			if !says || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s: got error %v, want one that names the folder and says it cannot be written", name, err)
			}
		}
		s, err := store.OpenSQLite(ctx, made)
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close()
		err = s.View(ctx, func(tx solera.Tx) error {
			_, err := tx.Run("r")
			return err
		})
		if err != nil {
			t.Errorf("reading in a read-only folder: %v", err)
		}
		err = s.Update(ctx, func(tx solera.Tx) error { return tx.CreateRun(solera.Run{ID: "q", Project: "p"}) })
		if !strings.Contains(fmt.Sprint(err), "cannot be written") || !strings.Contains(fmt.Sprint(err), made) {
			t.Errorf("existing store: got error %v, want one that names it and says it cannot be written", err)
		}
		if _, err := s.Append(ctx, "r", []solera.Point{{Key: "x"}}); !strings.Contains(fmt.Sprint(err), "cannot be written") {
			t.Errorf("existing store: Append: got error %v", err)
		}
		if _, err := store.OpenSQLite(ctx, killed); !strings.Contains(fmt.Sprint(err), "did not end well") {
			t.Errorf("a store with a log: got error %v, want one that says so", err)
		}
	}()
	<-done
}
