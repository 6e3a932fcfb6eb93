package tracking

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/solera-ml/solera"
)

// FsckOptions say how a store is checked.
type FsckOptions struct {
	// Repair finishes or withdraws deletions that were begun, and removes what
	// writers that died have left behind.
	Repair bool
	Grace  time.Duration // as of GCOptions
	Clock  func() time.Time
	// Progress is told how many contents were looked for; nil = nobody is.
	Progress func(looked int64)
}

// A FsckReport is what a check found.
type FsckReport struct {
	OK       bool             `json:"ok"` // no problem; what follows Problems is none
	Problems []solera.Problem `json:"problems"`
	Versions int              `json:"versions"` // that are not deleted
	Runs     int              `json:"runs"`
	Blobs    GCAmount         `json:"contents"` // that versions and runs need, each counted once for every artifact
	// Unreferenced are contents that nobody needs: gc frees them.
	Unreferenced GCAmount `json:"unreferenced"`
	// Silent are runs under way that have said nothing for a minute.
	Silent []solera.RunID `json:"silent"`
	// Unfinished are deletions that were begun; Repair finishes them or, where
	// the content is needed again, withdraws them.
	Unfinished int      `json:"unfinished"`
	Finished   int      `json:"finished"`
	Withdrawn  int      `json:"withdrawn"`
	Leftovers  GCAmount `json:"leftovers"` // that Repair removed
}

// Fsck checks that the store makes sense and that every content which a version
// or a run needs is in the blobs, in its length. The bytes themselves are
// Verify's. Others may write meanwhile. Its error is about the looking, not
// about what was found.
func Fsck(ctx context.Context, s solera.Store, blobs solera.Blobs, o FsckOptions) (FsckReport, error) {
	f := &fsck{ctx: ctx, store: s, blobs: blobs, o: o}
	f.report.Problems, f.report.Silent = []solera.Problem{}, []solera.RunID{}
	for _, step := range []func() error{f.repair, f.records, f.contents, f.unreferenced} {
		if err := step(); err != nil {
			return f.report, fmt.Errorf("check the store: %w", err)
		}
	}
	f.report.OK = len(f.report.Problems) == 0
	return f.report, nil
}

type fsck struct {
	ctx    context.Context
	store  solera.Store
	blobs  solera.Blobs
	o      FsckOptions
	report FsckReport
}

// maxProblems ends the list of a store that has lost everything.
const maxProblems = 10_000

func (f *fsck) problem(p solera.Problem) {
	if len(f.report.Problems) < maxProblems {
		f.report.Problems = append(f.report.Problems, p)
	}
}

// repair takes up what was begun, before anything is counted.
func (f *fsck) repair() error {
	g := newCollector(f.ctx, f.store, f.blobs, GCOptions{Delete: f.o.Repair, Grace: f.o.Grace, Clock: f.o.Clock})
	err := g.finish()
	if errors.Is(err, errLeased) {
		return fmt.Errorf("%w: %w", solera.ErrConflict, err)
	}
	if err != nil {
		return err
	}
	f.report.Unfinished, f.report.Withdrawn = g.report.Unfinished, g.report.Withdrawn
	if !f.o.Repair {
		return nil
	}
	f.report.Finished = g.report.Unfinished - g.report.Withdrawn
	if err := g.sweep(); err != nil {
		return err
	}
	f.report.Leftovers = g.by[Leftover].GCAmount
	if f.report.Unfinished == 0 && f.report.Leftovers.Blobs == 0 {
		return nil
	}
	return f.store.Update(f.ctx, func(tx solera.Tx) error {
		return tx.Note(solera.AuditEntry{Action: "fsck.repair", Subject: leaseSubject, After: solera.Fields{
			"finished": f.report.Finished, "withdrawn": f.report.Withdrawn, "leftovers": f.report.Leftovers.Blobs,
		}})
	})
}

func (f *fsck) records() error {
	if err := f.store.Check(f.ctx, f.problem); err != nil {
		return err
	}
	return f.store.View(f.ctx, func(tx solera.Tx) (err error) {
		f.report.Silent = []solera.RunID{}
		now, err := tx.Now()
		if err != nil {
			return err
		}
		if f.report.Runs, err = tx.CountRuns(solera.RunQuery{}); err != nil {
			return err
		}
		return eachRun(tx, solera.RunQuery{State: solera.Running}, func(run solera.Run) error {
			if now.Time().Sub(max(run.Heartbeat, run.Started, run.Created).Time()) > time.Minute {
				f.report.Silent = append(f.report.Silent, run.ID)
			}
			return nil
		})
	})
}

// A need is a content and who needs it.
type need struct {
	ref     string
	version solera.VersionID // zero for a run
	run     solera.RunID
	entry   solera.Entry
}

// contents looks for every content that is needed, one artifact after the
// other so that memory stays within the files of one.
func (f *fsck) contents() error {
	var artifacts []solera.Artifact
	err := f.store.View(f.ctx, func(tx solera.Tx) (err error) {
		artifacts, err = tx.Artifacts("")
		return err
	})
	if err != nil {
		return err
	}
	var looked int64
	for _, artifact := range artifacts {
		var needs []need
		versions := 0
		seen := make(map[solera.Digest]bool)
		err := f.store.View(f.ctx, func(tx solera.Tx) error {
			needs, versions = nil, 0
			clear(seen)
			list, err := tx.Versions(solera.VersionQuery{Project: artifact.Project, Artifact: artifact.Name})
			if err != nil {
				return err
			}
			versions = len(list)
			for _, v := range list {
				if v, err = tx.Version(v.ID()); err != nil {
					return err
				}
				for _, e := range v.Files {
					if e.Ref == "" && !seen[e.Digest] {
						seen[e.Digest] = true
						needs = append(needs, need{ref: v.ID().String(), version: v.ID(), entry: e})
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		f.report.Versions += versions
		if err := f.lookFor(needs, &looked); err != nil {
			return err
		}
	}
	var needs []need
	err = f.store.View(f.ctx, func(tx solera.Tx) error {
		needs = nil
		return eachRun(tx, solera.RunQuery{Deleted: true}, func(run solera.Run) error {
			files, err := tx.RunFiles(run.ID)
			for _, e := range files {
				if e.Ref == "" {
					needs = append(needs, need{ref: string(run.ID), run: run.ID, entry: e})
				}
			}
			return err
		})
	})
	if err != nil {
		return err
	}
	return f.lookFor(needs, &looked)
}

// lookFor asks the blobs for the length of each content, several at a time.
func (f *fsck) lookFor(needs []need, looked *int64) error {
	problems := make([]*solera.Problem, len(needs))
	ctx, cancel := context.WithCancelCause(f.ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				p, err := f.look(ctx, needs[i])
				if err != nil {
					cancel(err)
				}
				problems[i] = p
			}
		})
	}
feed:
	for i := range needs {
		select {
		case next <- i:
			*looked++
			if f.o.Progress != nil && *looked%100 == 0 {
				f.o.Progress(*looked)
			}
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for i, p := range problems {
		f.report.Blobs.add(needs[i].entry.Size)
		if p != nil {
			f.problem(*p)
		}
	}
	return nil
}

func (f *fsck) look(ctx context.Context, n need) (*solera.Problem, error) {
	p := &solera.Problem{Ref: n.ref, Path: n.entry.Path}
	size, err := f.blobs.Stat(ctx, n.entry.Digest)
	switch {
	case errors.Is(err, solera.ErrNotFound):
		p.Problem, p.Detail = Missing, "the blobs do not have "+n.entry.Digest.Short()
	case err != nil:
		return nil, err
	case size != n.entry.Size:
		p.Problem = Altered
		p.Detail = fmt.Sprintf("the content %s has %d bytes in the blobs, %d were committed", n.entry.Digest.Short(), size, n.entry.Size)
	default:
		return nil, nil
	}
	// It may have been given up, and freed, since we read that it is needed.
	needed := false
	err = f.store.View(ctx, func(tx solera.Tx) error {
		used, err := inUse(tx, []solera.Digest{n.entry.Digest})
		needed = used[n.entry.Digest]
		return err
	})
	if err != nil || !needed {
		return nil, err
	}
	return p, nil
}

// unreferenced counts the contents that nobody needs.
func (f *fsck) unreferenced() error {
	var batch []solera.Deletion
	look := func() error {
		var used map[solera.Digest]bool
		err := f.store.View(f.ctx, func(tx solera.Tx) (err error) {
			used, err = inUse(tx, digestsOf(batch))
			return err
		})
		if err != nil {
			return err
		}
		for _, d := range batch {
			if !used[d.Digest] {
				f.report.Unreferenced.add(d.Size)
			}
		}
		batch = batch[:0]
		return nil
	}
	err := f.blobs.List(f.ctx, func(d solera.Digest, size int64, _ time.Time) error {
		if batch = append(batch, solera.Deletion{Digest: d, Size: size}); len(batch) < lookBatch {
			return nil
		}
		return look()
	})
	if err != nil {
		return err
	}
	return look()
}

// An AuditCheck says whether the audit log is whole.
type AuditCheck struct {
	OK      bool          `json:"ok"`
	Entries int64         `json:"entries"`
	Last    solera.Digest `json:"last"` // hash of the last entry: who knows it can tell that none after it was cut off
	Problem string        `json:"problem,omitempty"`
}

// CheckAudit reads the whole audit log and computes the chain of its hashes
// again. An entry that was altered, removed or put in breaks it. Entries cut
// off at the end do not: for that compare Last with what it was.
func CheckAudit(ctx context.Context, s solera.Store) (AuditCheck, error) {
	const page = 5000
	var check AuditCheck
	err := s.View(ctx, func(tx solera.Tx) error {
		check = AuditCheck{OK: true}
		for {
			log, err := tx.Audit(solera.AuditQuery{After: check.Entries, Limit: page})
			if err != nil {
				return err
			}
			for _, e := range log {
				hash, err := solera.AuditHash(check.Last, e)
				if err != nil {
					return err
				}
				switch {
				case e.N != check.Entries+1:
					check.Problem = fmt.Sprintf("entry %d is missing", check.Entries+1)
				case e.Hash != hash:
					check.Problem = fmt.Sprintf("entry %d, or one before it, was altered", e.N)
				default:
					check.Entries, check.Last = e.N, e.Hash
					continue
				}
				check.OK = false
				return nil
			}
			if len(log) < page {
				return nil
			}
		}
	})
	if err != nil {
		return check, fmt.Errorf("check the audit log: %w", err)
	}
	return check, nil
}
