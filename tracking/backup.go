package tracking

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/solera-ml/solera"
)

// BackupOptions say how a backup or a restore is made. The zero value works.
type BackupOptions struct {
	Solera string // version of the program, for the archive
	// Progress is told how many bytes of contents are done, and of how many; of
	// is 0 where that is not known. Calls come one after the other.
	Progress func(done, of int64)

	lease time.Duration // tests; 0 = leaseLength
}

func (o BackupOptions) progress(done, of int64) {
	if o.Progress != nil {
		o.Progress(done, of)
	}
}

// A BackupReport says what an archive holds.
type BackupReport struct {
	OK      bool          `json:"ok"` // nothing that the records name was missing or altered
	Created solera.Micros `json:"created"`
	Blobs   int64         `json:"blobs"`
	Bytes   int64         `json:"bytes"`   // of the blobs
	Records int64         `json:"records"` // bytes of the records, unpacked
	// Problems are contents that the store has lost or that have rotted. The
	// archive is good without them, and holds all the rest.
	Problems []solera.Problem `json:"problems"`
}

func (m manifest) report() BackupReport {
	r := BackupReport{
		OK: len(m.Missing)+len(m.Altered) == 0, Created: m.Created,
		Blobs: m.Blobs, Bytes: m.Bytes, Records: m.Records.Raw, Problems: []solera.Problem{},
	}
	for _, d := range m.Missing {
		r.Problems = append(r.Problems, solera.Problem{
			Ref: d.Digest.String(), Problem: "missing", Detail: "a version or a run needs this content; solera verify tells which",
		})
	}
	for _, d := range m.Altered {
		r.Problems = append(r.Problems, solera.Problem{
			Ref: d.Digest.String(), Problem: "altered", Detail: "the bytes no longer have this digest; solera verify tells whose they are",
		})
	}
	return r
}

// Backup writes an archive of the whole store to w: the records as of one
// moment, and the contents that versions which are not deleted, and runs, need
// at that moment. Others may write meanwhile, and gc deletes nothing: a backup
// holds a lease, which it writes into the audit log and renews.
//
// Spool is where the records wait for their place behind the contents, an
// empty file that the caller removes. Memory does not grow with the size of
// contents; it takes 40 bytes for each.
//
// A content that is missing or altered is a problem in the report, and the
// archive is made without it: a store that is damaged needs its backup most.
func Backup(ctx context.Context, s solera.Store, blobs solera.Blobs, w io.Writer, spool io.ReadWriteSeeker, o BackupOptions) (BackupReport, error) {
	report, err := backup(ctx, s, blobs, w, spool, o)
	if err != nil {
		return BackupReport{}, fmt.Errorf("back up: %w", err)
	}
	return report, nil
}

func backup(ctx context.Context, s solera.Store, blobs solera.Blobs, w io.Writer, spool io.ReadWriteSeeker, o BackupOptions) (report BackupReport, err error) {
	// The lease before the moment of the dump: what is needed then is not
	// deleted from now on.
	lease, err := takeLease(ctx, s, cmp.Or(o.lease, leaseLength))
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, lease.release(ctx, report, err)) }()
	ctx = lease.ctx

	a, err := newArchiveWriter(w)
	if err != nil {
		return report, err
	}
	var need digestSet
	packed := &hashWriter{w: spool, h: sha256.New()}
	z, err := zstd.NewWriter(packed, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return report, err
	}
	defer z.Close()
	raw := &hashWriter{w: z, h: sha256.New()}
	err = s.Dump(ctx, raw, func(tx solera.Tx) (err error) {
		need = digestSet{}
		if a.m.Created, err = tx.Now(); err != nil {
			return err
		}
		return needed(tx, func(_ string, e solera.Entry) error {
			need.add(e.Digest, e.Size)
			return nil
		})
	})
	if err != nil {
		return report, fmt.Errorf("dump the records: %w", err)
	}
	if err := z.Close(); err != nil {
		return report, err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return report, err
	}
	a.m.Solera = o.Solera
	a.m.Records.Raw, a.m.Records.Size, a.m.Records.Digest = raw.n, packed.n, solera.Digest(packed.h.Sum(nil))
	list := need.sorted()
	if err := a.blobs(ctx, blobs, list, o); err != nil {
		return report, err
	}
	if err := a.finish(spool); err != nil {
		return report, err
	}
	return a.m.report(), context.Cause(ctx)
}

// Small contents are read ahead, several at a time, and compared with their
// digest before they are written; one by one they would take a round trip to
// the server each.
const (
	smallBlob = 1 << 20
	readAhead = 16
)

// fetched is a small content that was read ahead.
type fetched struct {
	damage
	content []byte
	found   bool // false: there is none, or of another length
	err     error
	done    chan struct{}
}

// blobs copies the contents of list into the archive.
func (a *archiveWriter) blobs(ctx context.Context, blobs solera.Blobs, list []damage, o BackupOptions) error {
	var of, done int64
	for _, d := range list {
		of += d.Size
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	ahead := make(chan *fetched, readAhead)
	wg.Go(func() {
		defer close(ahead)
		for _, d := range list {
			f := &fetched{damage: d, done: make(chan struct{})}
			select {
			case <-ctx.Done():
				return
			case ahead <- f: // waits when enough is under way
			}
			wg.Go(func() {
				defer close(f.done)
				f.fetch(ctx, blobs)
			})
		}
	})
	for f := range ahead {
		<-f.done
		if f.err != nil {
			return f.err
		}
		switch {
		case !f.found:
			a.m.Missing = append(a.m.Missing, f.damage)
		case f.Size <= smallBlob:
			if _, err := a.blob(f.Digest, f.Size, bytes.NewReader(f.content)); err != nil {
				return err
			}
		default:
			if err := a.large(ctx, blobs, f.damage, func(n int64) { o.progress(done+n, of) }); err != nil {
				return err
			}
		}
		if len(a.m.Missing)+len(a.m.Altered) > maxDamaged {
			return fmt.Errorf("%w: more than %d contents are missing or altered: are these the blobs of this store?", solera.ErrCorrupt, maxDamaged)
		}
		done += f.Size
		o.progress(done, of)
	}
	return context.Cause(ctx)
}

func (f *fetched) fetch(ctx context.Context, blobs solera.Blobs) {
	size, err := blobs.Stat(ctx, f.Digest)
	switch {
	case errors.Is(err, solera.ErrNotFound):
		return
	case err != nil:
		f.err = err
		return
	case size != f.Size:
		return // what is there under this name is something else
	}
	f.found = true
	if f.Size > smallBlob {
		return // copied when its turn comes
	}
	r, err := blobs.Open(ctx, f.Digest)
	if err != nil {
		f.err = err
		return
	}
	defer r.Close()
	f.content = make([]byte, f.Size)
	if _, f.err = io.ReadFull(r, f.content); f.err != nil {
		f.err = fmt.Errorf("read blob %v: %w", f.Digest, f.err)
	}
}

// large copies one content in constant memory.
func (a *archiveWriter) large(ctx context.Context, blobs solera.Blobs, d damage, progress func(int64)) error {
	r, err := blobs.Open(ctx, d.Digest)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := a.blob(d.Digest, d.Size, &watched{ctx: ctx, r: r, tell: progress}); err != nil {
		return fmt.Errorf("copy blob %v: %w", d.Digest, err)
	}
	return nil
}

// watched is a reader that ends with its context and tells how far it came.
type watched struct {
	ctx  context.Context
	r    io.Reader
	n    int64
	tell func(int64)
}

func (w *watched) Read(p []byte) (int, error) {
	if err := context.Cause(w.ctx); err != nil {
		return 0, err
	}
	n, err := w.r.Read(p)
	w.n += int64(n)
	w.tell(w.n)
	return n, err
}

// hashWriter counts and hashes what passes.
type hashWriter struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (w *hashWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.h.Write(p[:n])
	w.n += int64(n)
	return n, err
}

// digestSet gathers contents, each once.
type digestSet struct {
	list []damage
	next int // length at which repeats are thrown out again
}

func (s *digestSet) add(d solera.Digest, size int64) {
	s.list = append(s.list, damage{d, size})
	if len(s.list) >= max(s.next, 1<<16) {
		s.sorted()
		s.next = 2 * len(s.list)
	}
}

// sorted returns the contents by digest.
func (s *digestSet) sorted() []damage {
	slices.SortFunc(s.list, func(a, b damage) int { return bytes.Compare(a.Digest[:], b.Digest[:]) })
	s.list = slices.CompactFunc(s.list, func(a, b damage) bool { return a.Digest == b.Digest })
	return s.list
}

// needed calls fn for every content that has to be in the blobs: the files of
// every version that is not deleted, and of every run. ref says whose it is.
func needed(tx solera.Tx, fn func(ref string, e solera.Entry) error) error {
	artifacts, err := tx.Artifacts("")
	if err != nil {
		return err
	}
	for _, artifact := range artifacts {
		versions, err := tx.Versions(solera.VersionQuery{Project: artifact.Project, Artifact: artifact.Name})
		if err != nil {
			return err
		}
		for _, v := range versions {
			// One version's files at a time: all of an artifact may be millions.
			if v, err = tx.Version(v.ID()); err != nil {
				return err
			}
			for _, e := range v.Files {
				if e.Ref != "" {
					continue
				}
				if err := fn(v.ID().String(), e); err != nil {
					return err
				}
			}
		}
	}
	return eachRun(tx, solera.RunQuery{Deleted: true}, func(run solera.Run) error {
		files, err := tx.RunFiles(run.ID)
		if err != nil {
			return err
		}
		for _, e := range files {
			if e.Ref != "" {
				continue
			}
			if err := fn(string(run.ID), e); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachRun calls fn for the runs of q, some at a time.
func eachRun(tx solera.Tx, q solera.RunQuery, fn func(solera.Run) error) error {
	const page = 1000
	q.Limit = page
	for {
		runs, err := tx.Runs(q)
		if err != nil {
			return err
		}
		for _, run := range runs {
			if err := fn(run); err != nil {
				return err
			}
		}
		if len(runs) < page {
			return nil
		}
		q.Offset += page
	}
}

// CheckBackup reads a whole archive and compares every digest in it. What is
// wrong with the archive is an error of kind ErrCorrupt; problems in the report
// are those that the store had when the backup was made.
func CheckBackup(ctx context.Context, r io.Reader, o BackupOptions) (BackupReport, error) {
	report, err := readArchive(ctx, r, o, checkOnly{})
	if err != nil {
		return BackupReport{}, fmt.Errorf("check backup: %w", err)
	}
	return report, nil
}

// Restore fills an empty store and its blobs from an archive, of whichever
// kind the store was that it was made of. Every content is compared with its
// digest as it is read. The records come last, in one transaction: if anything
// fails before, nobody sees anything, and Restore can be called again; what is
// in the blobs already is kept.
//
// A store that holds anything is ErrConflict, an archive that was altered or
// cut short ErrCorrupt.
func Restore(ctx context.Context, s solera.Store, blobs solera.Blobs, r io.Reader, o BackupOptions) (BackupReport, error) {
	fail := func(err error) (BackupReport, error) { return BackupReport{}, fmt.Errorf("restore: %w", err) }
	empty, err := isEmpty(ctx, s)
	if err != nil {
		return fail(err)
	}
	if !empty {
		return fail(fmt.Errorf("%w: the store is not empty: restore into a new one", solera.ErrConflict))
	}
	report, err := readArchive(ctx, r, o, &restoring{s, blobs})
	if err != nil {
		return fail(err)
	}
	err = s.Update(ctx, func(tx solera.Tx) error {
		return tx.Note(solera.AuditEntry{Action: restored, Subject: leaseSubject, After: solera.Fields{
			"backup_of": report.Created.String(), "blobs": report.Blobs, "bytes": report.Bytes, "problems": len(report.Problems),
		}})
	})
	if err != nil {
		return fail(fmt.Errorf("everything is there, but not its note in the audit log: %w", err))
	}
	return report, nil
}

// isEmpty tells whether a store has never been written to.
func isEmpty(ctx context.Context, s solera.Store) (bool, error) {
	var empty bool
	err := s.View(ctx, func(tx solera.Tx) error {
		empty = false
		artifacts, err := tx.Artifacts("")
		if err != nil || len(artifacts) > 0 {
			return err
		}
		runs, err := tx.CountRuns(solera.RunQuery{Deleted: true})
		if err != nil || runs > 0 {
			return err
		}
		log, err := tx.Audit(solera.AuditQuery{Limit: 1})
		empty = len(log) == 0
		return err
	})
	return empty, err
}

// A sink takes what an archive holds.
type sink interface {
	// put stores a content, which fails with ErrCorrupt if r has not that digest.
	put(ctx context.Context, d solera.Digest, r io.Reader) error
	load(ctx context.Context, records io.Reader) error
}

type checkOnly struct{}

func (checkOnly) put(_ context.Context, d solera.Digest, r io.Reader) error {
	_, err := io.Copy(io.Discard, solera.VerifyReader(r, d))
	return err
}

func (checkOnly) load(_ context.Context, records io.Reader) error {
	_, err := io.Copy(io.Discard, records)
	return err
}

type restoring struct {
	store solera.Store
	blobs solera.Blobs
}

func (r *restoring) put(ctx context.Context, d solera.Digest, content io.Reader) error {
	_, _, err := r.blobs.Put(ctx, solera.VerifyReader(content, d))
	return err
}

func (r *restoring) load(ctx context.Context, records io.Reader) error {
	if err := r.store.Load(ctx, records); err != nil {
		return fmt.Errorf("load the records: %w", err)
	}
	return nil
}

// readArchive passes everything in an archive to a sink: the contents, several
// small ones at a time, and then the records.
func readArchive(ctx context.Context, r io.Reader, o BackupOptions, to sink) (BackupReport, error) {
	a, err := newArchiveReader(r)
	if err != nil {
		return BackupReport{}, err
	}
	p := &putting{ctx: ctx, to: to, slots: make(chan struct{}, readAhead)}
	err = p.contents(a, o)
	p.wg.Wait()
	if err = cmp.Or(p.failed(), err); err != nil {
		return BackupReport{}, err
	}
	// Only what the backup itself found altered may be so.
	known := make(map[solera.Digest]bool)
	for _, d := range a.m.Altered {
		known[d.Digest] = true
	}
	for _, d := range p.altered {
		if !known[d] {
			return BackupReport{}, bad("the bytes of %v have another digest", d)
		}
	}
	records, err := a.records(ctx)
	if err != nil {
		return BackupReport{}, err
	}
	defer records.Close()
	if err := to.load(ctx, records); err != nil {
		if records.err != nil && records.err != io.EOF {
			err = records.err // what the archive has against it says more
		}
		return BackupReport{}, err
	}
	// A sink that is content before the end has not seen it checked.
	if _, err := io.Copy(io.Discard, records); err != nil {
		return BackupReport{}, err
	}
	return a.m.report(), nil
}

// putting passes contents to a sink.
type putting struct {
	ctx     context.Context
	to      sink
	slots   chan struct{}
	wg      sync.WaitGroup
	mu      sync.Mutex // guards the rest
	err     error
	altered []solera.Digest
}

func (p *putting) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// put stores one content and notes what came of it.
func (p *putting) put(d solera.Digest, r io.Reader) {
	err := p.to.put(p.ctx, d, r)
	p.mu.Lock()
	defer p.mu.Unlock()
	if short, ok := errors.AsType[errCut](err); ok {
		p.err = cmp.Or(p.err, short.error)
		return
	}
	if errors.Is(err, solera.ErrCorrupt) && len(p.altered) < maxDamaged {
		p.altered = append(p.altered, d)
		return
	}
	p.err = cmp.Or(p.err, err)
}

func (p *putting) contents(a *archiveReader, o BackupOptions) error {
	var done int64
	for {
		if err := cmp.Or(context.Cause(p.ctx), p.failed()); err != nil {
			return err
		}
		d, size, ok, err := a.blob()
		if err != nil || !ok {
			return err
		}
		if size <= smallBlob {
			b := make([]byte, size)
			if _, err := io.ReadFull(a.tar, b); err != nil {
				return cut(err)
			}
			p.slots <- struct{}{}
			p.wg.Go(func() {
				p.put(d, bytes.NewReader(b))
				<-p.slots
			})
		} else {
			r := &watched{ctx: p.ctx, r: &exact{a.tar, size}, tell: func(n int64) { o.progress(done+n, 0) }}
			p.put(d, r)
		}
		done += size
		o.progress(done, 0)
	}
}

// exact is a reader that fails when its source ends before n bytes.
type exact struct {
	r io.Reader
	n int64
}

func (e *exact) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.n -= int64(n)
	if err != nil && (err != io.EOF || e.n > 0) {
		return n, errCut{cut(err)}
	}
	return n, err
}

// errCut is an error of the archive, in contrast to a content that has not its
// digest: that may be known to the manifest.
type errCut struct{ error }
