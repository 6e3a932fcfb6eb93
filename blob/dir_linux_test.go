package blob

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/solera-ml/solera"
)

// readOnly makes every folder below root unwritable and runs fn without the
// rights of root, under which permissions would not count.
func readOnly(t *testing.T, root string, fn func()) {
	t.Helper()
	for dir := root; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		os.Chmod(dir, info.Mode().Perm()|0o555)
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		t.Cleanup(func() { os.Chmod(path, 0o755) })
		return os.Chmod(path, 0o555)
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread keeps its other file-system user, so it dies with this
		// goroutine: it is never unlocked.
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				t.Error(err)
				return
			}
		}
		fn()
	}()
	<-done
}

func TestReadOnlyFolderIsReadAndRefusesPut(t *testing.T) {
	root := t.TempDir()
	digest := put(t, open(t, root), "a")
	readOnly(t, root, func() {
		d, err := OpenDir(root)
		if err != nil {
			t.Error(err)
			return
		}
		if n, err := d.Stat(context.Background(), digest); err != nil || n != 1 {
			t.Errorf("Stat = %d, %v", n, err)
		}
		_, _, err = d.Put(context.Background(), strings.NewReader("b"))
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), root) {
			t.Errorf("Put: got error %v, want a refusal that names the folder", err)
		}
		if _, err := d.Stat(context.Background(), solera.DigestOf([]byte("b"))); !errors.Is(err, solera.ErrNotFound) {
			t.Errorf("Stat after the refusal: %v", err)
		}
	})
}

func TestRealFullDisk(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	defer syscall.Unmount(root, syscall.MNT_DETACH)
	d := open(t, root)
	small := put(t, d, "small")
	_, _, err := d.Put(context.Background(), strings.NewReader(strings.Repeat("x", 2<<20)))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got error %v, want ENOSPC", err)
	}
	if n := leftovers(t, d); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
	if _, err := d.Stat(context.Background(), small); err != nil {
		t.Error(err)
	}
	put(t, d, "there is room for small things again")
}
