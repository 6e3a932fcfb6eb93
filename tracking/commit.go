package tracking

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/solera-ml/solera"
)

// A Draft is a version to be.
type Draft struct {
	Artifact string
	Type     string            // "dataset", "model"
	Metadata solera.Fields     // part of the content: no time, host or duration
	Files    map[string]Source // by path: see solera.CheckPath
	Aliases  []string          // beside latest, which needs no mention
}

// A Source gives the content of one file of a draft. Make one with Bytes,
// Reader, Opener, Writer, Blob, Reference or External.
type Source struct {
	put   func(context.Context, solera.Blobs) (solera.Digest, int64, error)
	ref   string       // where the bytes of an external file are
	said  solera.Entry // what its home and its client say of it: MD5, ETag, Extra
	apart bool         // put may run beside those of other sources
}

// Bytes is a file that holds b.
func Bytes(b []byte) Source { return Reader(bytes.NewReader(b)) }

// Reader is a file that holds what r has to its end. It is read once, in
// constant memory.
func Reader(r io.Reader) Source {
	return Source{put: func(ctx context.Context, blobs solera.Blobs) (solera.Digest, int64, error) {
		return blobs.Put(ctx, r)
	}}
}

// Opener is a file that holds what open opens, which is called once and closed
// again. Several are read at once: storing one is mostly waiting for a disk or a
// server.
func Opener(open func() (io.ReadCloser, error)) Source {
	return Source{apart: true, put: func(ctx context.Context, blobs solera.Blobs) (solera.Digest, int64, error) {
		f, err := open()
		if err != nil {
			return solera.Digest{}, 0, err
		}
		defer f.Close()
		return blobs.Put(ctx, f)
	}}
}

// Writer is a file that holds what write writes. write is called once, on the
// goroutine that commits, and what it writes goes to the blobs as it comes; its
// error fails the commit.
func Writer(write func(io.Writer) error) Source {
	return Source{put: func(ctx context.Context, blobs solera.Blobs) (d solera.Digest, n int64, err error) {
		r, w := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			d, n, err = blobs.Put(ctx, r)
			// Put may have given up before the end: writing on must fail, not hang.
			r.CloseWithError(errors.New("the blob store stopped reading"))
		}()
		defer func() {
			w.CloseWithError(errors.New("write panicked")) // the first close counts
			<-done
		}()
		w.CloseWithError(write(w))
		<-done
		return d, n, err
	}}
}

// Blob is a file that Blobs has already, as Run.Put returned it.
func Blob(d solera.Digest, size int64) Source {
	return Source{put: func(ctx context.Context, blobs solera.Blobs) (solera.Digest, int64, error) {
		n, err := blobs.Stat(ctx, d)
		if err == nil && n != size {
			err = fmt.Errorf("blob %v: %w: %d bytes, want %d", d, solera.ErrCorrupt, n, size)
		}
		return d, size, err
	}}
}

// Put stores content ahead of a commit, which then names it with Blob.
func (r *Run) Put(ctx context.Context, content io.Reader) (solera.Digest, int64, error) {
	return r.tracker.Blobs.Put(ctx, content)
}

// Commit stores the draft as the newest version of its artifact, with the
// run's edge to it and its aliases, in one transaction: either all of it is
// seen by everybody, or nothing. Latest thereby moves to it.
//
// Content that the newest version has already makes no new version: Commit
// returns that one and false. Content of an older version does make a new one,
// with the old digest, so that latest only moves forward and still names what
// was committed last. No bytes are stored twice.
func (r *Run) Commit(ctx context.Context, draft Draft) (v solera.Version, isNew bool, err error) {
	fail := func(err error) (solera.Version, bool, error) {
		return solera.Version{}, false, fmt.Errorf("run %s: commit %s: %w", r.run.ID, draft.Artifact, err)
	}
	if r.over() {
		return fail(r.ended("commit"))
	}
	if err := draft.Check(); err != nil {
		return fail(err)
	}
	v, err = draft.stage(ctx, r.tracker.Blobs)
	if err != nil {
		return fail(err)
	}
	v.Project, v.Run = r.run.Project, r.run.ID
	v.Created = solera.MicrosOf(r.tracker.now())
	staged := v
	r.settling.Lock()
	defer r.settling.Unlock()
	r.surroundings()
	err = r.tracker.update(ctx, func(tx solera.Tx) (err error) {
		if err := r.settle(tx); err != nil {
			return err
		}
		if err := r.tracker.stillThere(ctx, tx, r.presence, staged.Files); err != nil {
			return err
		}
		v, isNew, err = r.tracker.commit(tx, staged)
		if err != nil {
			return err
		}
		for _, alias := range draft.Aliases {
			if alias == solera.Latest {
				continue
			}
			if err := tx.SetAlias(v.ID(), alias); err != nil {
				return err
			}
		}
		v, err = tx.Version(v.ID())
		return err
	})
	if err != nil {
		return fail(err)
	}
	r.settled = r.env != nil
	r.made = r.made || isNew
	return v, isNew, nil
}

// stillThere reports ErrConflict if gc deleted one of the files after p and
// before the transaction that names them.
func (t *Tracker) stillThere(ctx context.Context, tx solera.Tx, p presence, files []solera.Entry) error {
	gone, err := p.gone(ctx, tx, t.Blobs, files)
	if err == nil && len(gone) > 0 {
		err = fmt.Errorf("%s: %w: gc deleted its content before it was committed; run the same again", gone[0].Path, solera.ErrConflict)
	}
	return err
}

// Check refuses a draft before any byte of it is written, as Commit does. Whoever
// starts a run for one draft asks first.
func (d Draft) Check() error {
	if err := solera.CheckName(d.Artifact); err != nil {
		return err
	}
	if err := solera.CheckName(d.Type); err != nil {
		return fmt.Errorf("type: %w", err)
	}
	for _, alias := range d.Aliases {
		if alias == solera.Latest {
			continue // clients of other protocols say so; it comes by itself
		}
		if err := solera.CheckAlias(alias); err != nil {
			return err
		}
	}
	for path, source := range d.Files {
		if err := solera.CheckPath(path); err != nil {
			return err
		}
		if err := checkReference(source.ref); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// stage stores the draft's files and returns the version without its place.
func (d Draft) stage(ctx context.Context, blobs solera.Blobs) (solera.Version, error) {
	const atOnce = 8
	v := solera.Version{Artifact: d.Artifact, Type: d.Type, Metadata: d.Metadata}
	paths := slices.Sorted(maps.Keys(d.Files))
	entries, failed := make([]solera.Entry, len(paths)), make([]error, len(paths))
	within, stop := context.WithCancel(ctx)
	defer stop()
	put := func(i int, s Source) {
		digest, size, err := s.put(within, blobs)
		if err != nil {
			failed[i] = fmt.Errorf("%s: %w", paths[i], err)
			stop()
		}
		entries[i] = solera.Entry{Path: paths[i], Digest: digest, Size: size, Ref: s.ref, MD5: s.said.MD5, ETag: s.said.ETag, Extra: s.said.Extra}
	}
	var others sync.WaitGroup
	places := make(chan struct{}, atOnce)
	defer others.Wait() // also if a Writer panics
	for i, path := range paths {
		switch s := d.Files[path]; {
		case within.Err() != nil:
		case s.put == nil:
			failed[i] = fmt.Errorf("%s: %w: it has no source", path, solera.ErrInvalid)
			stop()
		case s.apart:
			places <- struct{}{}
			others.Go(func() {
				put(i, s)
				<-places
			})
		default:
			put(i, s)
		}
	}
	others.Wait()
	if err := ctx.Err(); err != nil {
		return v, err
	}
	// The cause, and not what was stopped because of it.
	for _, err := range failed {
		if err != nil && !errors.Is(err, context.Canceled) {
			return v, err
		}
	}
	if err := errors.Join(failed...); err != nil {
		return v, err
	}
	for _, e := range entries {
		v.Files = append(v.Files, e)
		v.Size += e.Size
	}
	var err error
	v.Digest, err = solera.ContentDigest(v.Type, v.Metadata, v.Files)
	return v, err
}

// commit makes v the newest version of its artifact unless the newest has its
// content, ties it to its run and signs it.
func (t *Tracker) commit(tx solera.Tx, v solera.Version) (solera.Version, bool, error) {
	newest, err := newest(tx, v.Project, v.Artifact)
	if err != nil && !errors.Is(err, solera.ErrNotFound) {
		return v, false, err
	}
	if err == nil && newest.Digest == v.Digest {
		kind := solera.Same
		if newest.Run == v.Run {
			kind = solera.Made // committed twice by one run: nothing to add
		}
		return newest, false, tx.AddEdge(solera.Edge{Run: v.Run, Version: newest.ID(), Kind: kind})
	}
	v, err = tx.CreateVersion(v)
	if err != nil {
		return v, false, err
	}
	if err := tx.AddEdge(solera.Edge{Run: v.Run, Version: v.ID(), Kind: solera.Made}); err != nil {
		return v, false, err
	}
	return v, true, t.sign(tx, v)
}

func newest(tx solera.Tx, project, artifact string) (solera.Version, error) {
	id, err := tx.Resolve(solera.Ref{Project: project, Artifact: artifact, Alias: solera.Latest})
	if err != nil {
		return solera.Version{}, err
	}
	return tx.Version(id)
}
