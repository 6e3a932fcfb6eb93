// Package blob keeps bytes under their SHA-256 digest, in a folder or in a
// bucket of S3. It knows nothing of versions, and so never decides what may be
// deleted.
package blob

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/solera-ml/solera"
)

// A Dir is a folder of blobs. Content sha256:abcd… is the read-only file
// sha256/ab/abcd…; what is being written is in tmp/. A file appears under its
// address by a rename after it was written and synced, so it is whole or not
// there, whatever dies when.
type Dir struct {
	root string
	// create opens the temporary file of a Put; a test fills the disk with it.
	create func(path string) (file, error)
}

var _ solera.Blobs = (*Dir)(nil)

// file is what Put needs of an *os.File.
type file interface {
	io.Writer
	Sync() error
	Close() error
}

// tmpGrace is how long a temporary file without a living writer is left alone:
// longer than a writer takes between creating its file and locking it.
const tmpGrace = time.Minute

// OpenDir opens a folder of blobs, which it creates if missing, and removes
// what killed writers left in it. A folder that cannot be written can still be
// read.
func OpenDir(path string) (*Dir, error) {
	d := &Dir{root: path, create: createTemp}
	if err := os.MkdirAll(d.tmp(), 0o777); err != nil {
		// Without tmp/ a folder can be read; Put will say what is wrong.
		if info, statErr := os.Stat(path); statErr != nil || !info.IsDir() {
			return nil, fmt.Errorf("open blobs %s: %w", path, err)
		}
	}
	d.sweep(time.Now().Add(-tmpGrace))
	return d, nil
}

func (d *Dir) tmp() string { return filepath.Join(d.root, "tmp") }

func (d *Dir) path(digest solera.Digest) string {
	hex := digest.Hex()
	return filepath.Join(d.root, "sha256", hex[:2], hex)
}

// Sweep removes temporary files of Puts whose writer is gone.
func (d *Dir) Sweep(_ context.Context, before time.Time) (n int, size int64, err error) {
	n, size = d.sweep(before)
	return n, size, nil
}

// sweep removes temporary files whose writer is gone: nobody holds their lock,
// and nothing was written to them since before. Failing is no harm: the next
// open sweeps.
func (d *Dir) sweep(before time.Time) (n int, size int64) {
	entries, err := os.ReadDir(d.tmp())
	if err != nil {
		return 0, 0
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !info.ModTime().Before(before) {
			continue
		}
		path := filepath.Join(d.tmp(), e.Name())
		if f, err := os.Open(path); err == nil {
			if abandoned(f, time.Since(info.ModTime())) && os.Remove(path) == nil {
				n, size = n+1, size+info.Size()
			}
			f.Close()
		}
	}
	return n, size
}

func createTemp(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return nil, err
	}
	// The lock says "my writer lives"; a kill releases it.
	lock(f)
	return f, nil
}

// Put stores what r holds: see solera.Blobs. Content that is there already is
// read and compared by digest, and replaced if its bytes have rotted: what Put
// acknowledges is there and right.
func (d *Dir) Put(ctx context.Context, r io.Reader) (solera.Digest, int64, error) {
	digest, n, err := d.put(ctx, r)
	if err != nil {
		return solera.Digest{}, 0, fmt.Errorf("store blob in %s: %w", d.root, err)
	}
	return digest, n, nil
}

func (d *Dir) put(ctx context.Context, r io.Reader) (digest solera.Digest, n int64, err error) {
	temp := filepath.Join(d.tmp(), "put-"+rand.Text())
	f, err := d.create(temp)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(d.tmp(), 0o777); err == nil {
			f, err = d.create(temp)
		}
	}
	if err != nil {
		return digest, 0, err
	}
	renamed := false
	defer func() {
		if !renamed {
			os.Remove(temp)
		}
	}()
	h := sha256.New()
	n, err = io.Copy(io.MultiWriter(f, h), cancelReader{ctx, r})
	if err != nil {
		return digest, n, errors.Join(err, f.Close())
	}
	digest = solera.Digest(h.Sum(nil))
	path := d.path(digest)
	// To find content is to put it again, and gc keeps what is young. Who may
	// not change the time, such as another user, replaces the file.
	now := time.Now()
	if d.holds(path, digest) && os.Chtimes(path, now, now) == nil {
		// Whoever wrote it may not have synced its folder yet, and we
		// acknowledge too.
		return digest, n, errors.Join(f.Close(), syncDir(filepath.Dir(path)))
	}
	// Before the rename: a name must never outlive its bytes.
	if err := f.Sync(); err != nil {
		return digest, n, errors.Join(err, f.Close())
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return digest, n, errors.Join(err, f.Close())
	}
	if err := os.Rename(temp, path); err != nil {
		return digest, n, errors.Join(err, f.Close())
	}
	renamed = true
	return digest, n, errors.Join(f.Close(), syncDir(filepath.Dir(path)))
}

// holds reports whether the file at path exists and has the right bytes.
func (d *Dir) holds(path string, want solera.Digest) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	got, _, err := solera.DigestReader(f)
	return err == nil && got == want
}

// Open opens the content; the result is an *os.File.
func (d *Dir) Open(ctx context.Context, digest solera.Digest) (io.ReadSeekCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.Open(d.path(digest))
	if err != nil {
		return nil, d.failed("open", digest, err)
	}
	return f, nil
}

// Stat returns the content's length.
func (d *Dir) Stat(ctx context.Context, digest solera.Digest) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	info, err := os.Stat(d.path(digest))
	if err != nil {
		return 0, d.failed("stat", digest, err)
	}
	return info.Size(), nil
}

// Delete removes the content.
func (d *Dir) Delete(ctx context.Context, digest solera.Digest) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := os.Remove(d.path(digest))
	if err == nil {
		err = syncDir(filepath.Dir(d.path(digest)))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return d.failed("delete", digest, err)
	}
	return nil
}

// List calls fn for every content. Files that are not blobs are passed over.
func (d *Dir) List(ctx context.Context, fn func(d solera.Digest, size int64, put time.Time) error) error {
	root := filepath.Join(d.root, "sha256")
	shards, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list blobs: %w", err)
	}
	for _, shard := range shards {
		if !shard.IsDir() {
			continue
		}
		files, err := os.ReadDir(filepath.Join(root, shard.Name()))
		if err != nil {
			return fmt.Errorf("list blobs: %w", err)
		}
		for _, f := range files {
			if err := ctx.Err(); err != nil {
				return err
			}
			digest, err := solera.ParseDigest("sha256:" + f.Name())
			if err != nil || d.path(digest) != filepath.Join(root, shard.Name(), f.Name()) {
				continue
			}
			info, err := f.Info()
			if err != nil {
				continue // deleted meanwhile
			}
			if err := fn(digest, info.Size(), info.ModTime()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Dir) failed(op string, digest solera.Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s blob %v in %s: %w", op, digest, d.root, solera.ErrNotFound)
	}
	return fmt.Errorf("%s blob %v: %w", op, digest, err)
}

// makeDir creates the folder of a shard, and syncs its parents so that the
// folder itself survives a loss of power.
func makeDir(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	parent := filepath.Dir(path)
	return errors.Join(syncDir(parent), syncDir(filepath.Dir(parent)))
}

// cancelReader stops a long copy when its context ends.
type cancelReader struct {
	ctx context.Context
	r   io.Reader
}

func (c cancelReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
