package tracking

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/solera-ml/solera"
)

// A Snapshot is a version whose files can be read. It is an fs.FS of the
// version's files, without folders to list (Version.Files is the list). It
// keeps the context it was made with, because fs.FS has no place for one.
type Snapshot struct {
	solera.Version
	tracker *Tracker
	ctx     context.Context
}

var (
	_ fs.FS         = (*Snapshot)(nil)
	_ fs.ReadFileFS = (*Snapshot)(nil)
)

// Snapshot returns v, which must have its Files, ready to be read.
func (t *Tracker) Snapshot(ctx context.Context, v solera.Version) *Snapshot {
	return &Snapshot{Version: v, tracker: t, ctx: ctx}
}

// Open returns the file at its beginning, after all its bytes were checked
// against the manifest: what does not match is ErrCorrupt. The result is an
// io.ReadSeeker, and an io.ReaderAt where the blobs are local files. An
// external file is opened where it is, if the Tracker knows a way there. A path
// that the version does not have is both ErrNotFound and fs.ErrNotExist.
func (s *Snapshot) Open(name string) (fs.File, error) {
	return s.OpenFile(name)
}

// OpenFile is Open with the type that the file has.
func (s *Snapshot) OpenFile(name string) (*File, error) {
	entry, err := s.entry("open", name)
	if err != nil {
		return nil, err
	}
	r, err := s.tracker.openSeekable(s.ctx, entry)
	if err != nil {
		return nil, s.failed("open", name, err)
	}
	// One pass ahead costs less than a second for a gigabyte, and whoever
	// reads afterwards, in whatever order, reads what was committed.
	if err := check(r, entry); err != nil {
		r.Close()
		return nil, s.failed("open", name, err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		r.Close()
		return nil, s.failed("open", name, err)
	}
	return &File{ReadSeekCloser: r, entry: entry, created: s.Created}, nil
}

// ReadFile returns the whole file, checked. For files that fit in memory.
func (s *Snapshot) ReadFile(name string) ([]byte, error) {
	entry, err := s.entry("read", name)
	if err != nil {
		return nil, err
	}
	r, err := s.tracker.openAt(s.ctx, entry, 0)
	if err != nil {
		return nil, s.failed("read", name, err)
	}
	defer r.Close()
	// The manifest's size is a hint for the first allocation only: it may lie.
	var b bytes.Buffer
	b.Grow(int(min(entry.Size, 1<<20)) + bytes.MinRead)
	if _, err := b.ReadFrom(solera.VerifyReader(io.LimitReader(r, entry.Size+1), entry.Digest)); err != nil {
		return nil, s.failed("read", name, err)
	}
	return b.Bytes(), nil
}

func (s *Snapshot) entry(op, name string) (solera.Entry, error) {
	entry, ok := s.File(name)
	if !ok {
		return entry, &fs.PathError{Op: op, Path: name, Err: errors.Join(
			fmt.Errorf("%s: %w: this version has no such file", s.Name(), solera.ErrNotFound), fs.ErrNotExist)}
	}
	return entry, nil
}

func (s *Snapshot) failed(op, name string, err error) error {
	return fmt.Errorf("%s %s of %s: %w", op, name, s.Name(), err)
}

func check(r io.Reader, want solera.Entry) error {
	n, err := io.Copy(io.Discard, solera.VerifyReader(r, want.Digest))
	if err != nil {
		return err
	}
	if n != want.Size {
		return fmt.Errorf("%w: %d bytes, the manifest says %d", solera.ErrCorrupt, n, want.Size)
	}
	return nil
}

// A File is an open file of a version.
type File struct {
	io.ReadSeekCloser
	entry   solera.Entry
	created solera.Micros
}

var _ io.ReaderAt = (*File)(nil)

// ReadAt reads at an offset without moving the file's own place. It fails
// with errors.ErrUnsupported where the blobs cannot do that.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if at, ok := f.ReadSeekCloser.(io.ReaderAt); ok {
		return at.ReadAt(p, off)
	}
	return 0, fmt.Errorf("read %s at %d: %w", f.entry.Path, off, errors.ErrUnsupported)
}

// Size returns the number of bytes.
func (f *File) Size() int64 { return f.entry.Size }

// Stat returns what is known of the file.
func (f *File) Stat() (fs.FileInfo, error) { return fileInfo{f.entry, f.created}, nil }

type fileInfo struct {
	entry   solera.Entry
	created solera.Micros
}

func (i fileInfo) Name() string       { return path.Base(i.entry.Path) }
func (i fileInfo) Size() int64        { return i.entry.Size }
func (i fileInfo) Mode() fs.FileMode  { return 0o444 }
func (i fileInfo) ModTime() time.Time { return i.created.Time() }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return nil }
