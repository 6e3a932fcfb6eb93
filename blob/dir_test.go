package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/blob/blobtest"
)

func open(t testing.TB, path string) *Dir {
	t.Helper()
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func put(t testing.TB, d *Dir, content string) solera.Digest {
	t.Helper()
	digest, _, err := d.Put(context.Background(), strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func leftovers(t *testing.T, d *Dir) int {
	t.Helper()
	entries, err := os.ReadDir(d.tmp())
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestDir(t *testing.T) {
	blobtest.Test(t, func(t *testing.T) solera.Blobs { return open(t, filepath.Join(t.TempDir(), "blobs")) })
}

func TestPutLeavesNoTemporaryFile(t *testing.T) {
	d := open(t, t.TempDir())
	put(t, d, "a")
	put(t, d, "a")
	_, _, err := d.Put(context.Background(), io.MultiReader(strings.NewReader("b"), &failing{}))
	if err == nil {
		t.Error("a failing reader was stored")
	}
	if n := leftovers(t, d); n != 0 {
		t.Errorf("%d temporary files are left", n)
	}
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errors.New("no more") }

func TestOneAlteredBitIsCorrupt(t *testing.T) {
	d := open(t, t.TempDir())
	digest := put(t, d, "the content")
	flip(t, d.path(digest))
	r, err := d.Open(context.Background(), digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(solera.VerifyReader(r, digest)); !errors.Is(err, solera.ErrCorrupt) {
		t.Errorf("reading altered bytes: got error %v, want ErrCorrupt", err)
	}
}

func TestPutMendsAlteredContent(t *testing.T) {
	d := open(t, t.TempDir())
	digest := put(t, d, "the content")
	flip(t, d.path(digest))
	put(t, d, "the content")
	if !d.holds(d.path(digest), digest) {
		t.Error("the altered bytes are still there after a Put of the right ones")
	}
}

func flip(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, b, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// full is a file on a disk that has room for left more bytes.
type full struct {
	file
	left int
	at   string // which call fails when nothing is left: "write" or "sync"
}

func (f *full) Write(p []byte) (int, error) {
	if f.at == "write" && len(p) > f.left {
		n, _ := f.file.Write(p[:f.left])
		return n, syscall.ENOSPC
	}
	return f.file.Write(p)
}

func (f *full) Sync() error {
	if f.at == "sync" {
		return syscall.ENOSPC
	}
	return f.file.Sync()
}

func TestFullDiskStoresNothing(t *testing.T) {
	for _, at := range []string{"write", "sync"} {
		d := open(t, t.TempDir())
		d.create = func(path string) (file, error) {
			f, err := createTemp(path)
			return &full{f, 10, at}, err
		}
		_, _, err := d.Put(context.Background(), strings.NewReader("more than ten bytes"))
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), d.root) {
			t.Errorf("%s: got error %v, want ENOSPC and the folder", at, err)
		}
		if n := leftovers(t, d); n != 0 {
			t.Errorf("%s: %d temporary files are left", at, n)
		}
		if _, err := d.Stat(context.Background(), solera.DigestOf([]byte("more than ten bytes"))); !errors.Is(err, solera.ErrNotFound) {
			t.Errorf("%s: the content is there: %v", at, err)
		}
	}
}

func TestOpenSweepsWhatKilledWritersLeft(t *testing.T) {
	d := open(t, t.TempDir())
	old := time.Now().Add(-time.Hour)
	dead := filepath.Join(d.tmp(), "put-dead")
	young := filepath.Join(d.tmp(), "put-young")
	alive := filepath.Join(d.tmp(), "put-alive")
	for _, path := range []string{dead, young, alive} {
		f, err := createTemp(path)
		if err != nil {
			t.Fatal(err)
		}
		if path == alive {
			defer f.Close() // keeps its lock
		} else {
			f.Close() // as a kill does
		}
		if path != young {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	open(t, d.root)
	for path, want := range map[string]bool{dead: false, young: true, alive: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s is kept: got %v, want %v", filepath.Base(path), err == nil, want)
		}
	}
}

func TestListPassesOverForeignFiles(t *testing.T) {
	d := open(t, t.TempDir())
	digest := put(t, d, "a")
	for _, name := range []string{"sha256/README", "sha256/zz/nothing", "sha256/00/" + digest.Hex()} {
		path := filepath.Join(d.root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte("a"), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	err := d.List(context.Background(), func(got solera.Digest, _ int64, _ time.Time) error {
		if got != digest {
			t.Errorf("List shows %v", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestOpenDirOnAFileFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got error %v, want one that names %s", err, path)
	}
}

func BenchmarkPut(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20, 64 << 20} {
		b.Run(byteCount(size), func(b *testing.B) {
			d := open(b, b.TempDir())
			content := make([]byte, size)
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				content[0], content[1], content[2] = byte(i), byte(i>>8), byte(i>>16)
				digest, _, err := d.Put(context.Background(), bytes.NewReader(content))
				if err != nil {
					b.Fatal(err)
				}
				if size > 1<<20 {
					d.Delete(context.Background(), digest)
				}
			}
		})
	}
}

func byteCount(n int) string {
	return map[int]string{1 << 10: "1KiB", 1 << 20: "1MiB", 64 << 20: "64MiB"}[n]
}
