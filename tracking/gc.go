package tracking

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/solera-ml/solera"
)

// How contents are deleted while others write
//
// A content is deleted in two steps, each of which the store acknowledges:
//
//	plan    Update: look for leases; of the batch, what nobody needs is written
//	        into the journal as planned.
//	delete  Update: look for leases; look again which plans are open and who
//	        needs the contents; Blobs.Delete; the journal's line becomes done,
//	        or withdrawn if the content is needed now.
//
// After a kill in between, the next gc, or fsck --repair, takes up every line
// that is open.
//
// A commit has two steps: it puts its files, and then names them in an Update.
// Updates come one after the other, in all processes, so these are all the ways
// in which the two can meet over one content:
//
//	put · commit · plan           the plan sees it needed. No deletion.
//	plan · delete · put · commit  Put stores it anew.
//	put · plan · commit · delete  the commit sees the plan and withdraws it first.
//	plan · put · commit · delete  the same: Put found the content there.
//	plan · put · delete · commit  Put found it there, and now it is gone: the one
//	put · plan · delete · commit  way to lose something.
//
// Two things stand against the last two. The grace: what was put during the
// last hour is not planned, and every Put counts, also one that found the
// content there. It alone is not enough: a commit may take longer than an hour,
// and gc may have read the time of the last Put just before a new one. So the
// commit itself asks: see presence. If a line of the journal was written after
// its first Put it looks for its contents inside its Update, where no delete
// can come in between, and refuses to name what is gone. In the same way fare a
// stage that is answered from the store, a file of a run, and a deletion that
// is taken back.
//
// A plan that is open is withdrawn in an Update of its own, before the Update
// that names the content, and not in the same. The reason is a kill in the
// middle of a commit of SQLite: what was being committed may be on disk and not
// yet be visible. If nobody writes before the last process closes the database,
// it comes to light when the log is read again. A delete step that came in
// between would have seen nobody who needs the content, removed it, and been
// killed too before it wrote. With the withdrawal acknowledged before, every
// delete step sees it; and a new plan is a write, which does away with what was
// not visible to it.
//
// Blobs.Delete stands inside an Update although an Update may be tried again:
// deleting twice is deleting once, and each try looks first who needs it.
//
// A backup takes a lease before its moment: see lease.
//
// One gap remains on PostgreSQL: if the connection breaks in the middle of a
// delete step, the server lets the next writer in while this process deletes
// what is left of its batch. A batch is small for that reason, and a commit of
// exactly one of these contents would have to fall into that moment; verify
// then finds it.

// DefaultGrace is how long a content that nobody needs is left alone after it
// was put.
const DefaultGrace = time.Hour

// GCOptions say what is collected. The zero value only says what would be.
type GCOptions struct {
	Delete bool // do it
	// Grace is how old contents and deleted runs have to be; 0 = DefaultGrace,
	// negative = none, for when nobody else writes.
	Grace     time.Duration
	Project   string    // that Retention is about
	Retention Retention // zero: only what has expired
	Clock     func() time.Time
	// Progress is told how many contents were looked at; nil = nobody is.
	Progress func(looked int64)
}

// A GCReport says what gc freed, or would free.
type GCReport struct {
	OK     bool `json:"ok"`
	DryRun bool `json:"dry_run"`
	// Blobs and Bytes are all contents freed. Reasons tells them apart: each is
	// counted once, for the first reason that applies.
	Blobs   int64      `json:"blobs"`
	Bytes   int64      `json:"bytes"`
	Reasons []GCReason `json:"reasons"`
	// Versions that were given up, in the order of the store.
	Versions []GCVersion `json:"versions"`
	// Young are contents that nobody needs and that are not as old as the
	// grace: of commits under way, or of a later gc.
	Young GCAmount `json:"young"`
	Kept  GCAmount `json:"kept"` // contents that somebody needs
	// Unfinished are deletions that an earlier gc had planned and not done;
	// Withdrawn are those that are needed again.
	Unfinished int `json:"unfinished"`
	Withdrawn  int `json:"withdrawn"`
	// Problems are contents that were to be deleted, are needed again, and gone.
	Problems []solera.Problem `json:"problems"`
	// Waiting says why nothing is deleted now, "" if nothing is in the way.
	Waiting string `json:"waiting"`
}

// GCReason is what is freed for one reason.
type GCReason struct {
	Reason   string `json:"reason"` // Expired, Retained, RunDeleted, Unreferenced, Leftover
	Versions int    `json:"versions"`
	Runs     int    `json:"runs"`
	GCAmount
}

// GCAmount counts contents; those of Leftover are files that never became one.
type GCAmount struct {
	Blobs int64 `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

func (a *GCAmount) add(size int64) {
	a.Blobs++
	a.Bytes += size
}

// GCVersion is a version that was given up, and why.
type GCVersion struct {
	Ref    string `json:"ref"`
	Reason string `json:"reason"`
}

// GC frees what nothing needs: versions that have expired or that no rule keeps
// are marked deleted; runs that users deleted are removed if no version's
// lineage names them; contents that no version and no run needs are deleted,
// and what writers that died have left behind. Without o.Delete it says what
// that would be (leftovers excepted) and changes nothing.
//
// Others may write meanwhile. A kill at any moment loses nothing that is
// needed; the next GC goes on. Memory does not grow with the number of
// contents, only with the files of the versions that are given up.
func GC(ctx context.Context, s solera.Store, blobs solera.Blobs, o GCOptions) (GCReport, error) {
	if err := o.Retention.Check(); err != nil {
		return GCReport{}, err
	}
	g := newCollector(ctx, s, blobs, o)
	if err := g.collect(); err != nil {
		return g.result(), fmt.Errorf("gc: %w", err)
	}
	return g.result(), nil
}

// A collector is one gc, or the part of it that fsck does.
type collector struct {
	ctx    context.Context
	store  solera.Store
	blobs  solera.Blobs
	o      GCOptions
	cutoff time.Time // what was put later is young
	report GCReport
	by     map[string]*GCReason
	// reason has the contents of the versions and runs that are given up. In a
	// dry run those that others need were taken out.
	reason map[solera.Digest]string
	looked int64
}

func newCollector(ctx context.Context, s solera.Store, blobs solera.Blobs, o GCOptions) *collector {
	grace := max(cmp.Or(o.Grace, DefaultGrace), 0)
	now := time.Now
	if o.Clock != nil {
		now = o.Clock
	}
	g := &collector{
		ctx: ctx, store: s, blobs: blobs, o: o, cutoff: now().Add(-grace),
		by: make(map[string]*GCReason), reason: make(map[solera.Digest]string),
	}
	if o.Grace < 0 {
		g.cutoff = now().Add(time.Minute) // put times are in whole seconds, by another clock perhaps
	}
	for _, reason := range []string{Expired, Retained, RunDeleted, Unreferenced, Leftover} {
		g.by[reason] = &GCReason{Reason: reason}
	}
	g.report = GCReport{DryRun: !o.Delete, Versions: []GCVersion{}, Problems: []solera.Problem{}}
	return g
}

func (g *collector) result() GCReport {
	r := g.report
	r.OK = len(r.Problems) == 0
	r.Reasons = []GCReason{}
	for _, reason := range []string{Expired, Retained, RunDeleted, Unreferenced, Leftover} {
		if one := *g.by[reason]; one != (GCReason{Reason: reason}) {
			r.Reasons = append(r.Reasons, one)
			r.Blobs += one.Blobs
			r.Bytes += one.Bytes
		}
	}
	return r
}

func (g *collector) collect() error {
	if err := g.mayDelete(); err != nil {
		return err
	}
	if err := g.finish(); err != nil {
		return err
	}
	if err := g.records(); err != nil {
		return err
	}
	if err := g.contents(); err != nil {
		return fmt.Errorf("free contents: %w", err)
	}
	if !g.o.Delete {
		return nil
	}
	if err := g.sweep(); err != nil {
		return err
	}
	r := g.result()
	return g.store.Update(g.ctx, func(tx solera.Tx) error {
		return tx.Note(solera.AuditEntry{Action: "gc", Subject: leaseSubject, After: solera.Fields{
			"blobs": r.Blobs, "bytes": r.Bytes, "versions": len(r.Versions), "runs": g.by[RunDeleted].Runs,
		}})
	})
}

// mayDelete refuses what would be a mistake: to delete while a backup is made,
// or to take every content for garbage because the store is the wrong one, or
// is about to be filled from a backup.
func (g *collector) mayDelete() error {
	empty, err := isEmpty(g.ctx, g.store)
	if err != nil {
		return err
	}
	if empty {
		g.report.Waiting = "the store is empty; if these contents are another store's, name that one; if it is being restored, wait"
		if g.o.Delete {
			return fmt.Errorf("%w: %s", solera.ErrConflict, g.report.Waiting)
		}
		return nil
	}
	err = g.store.View(g.ctx, leased)
	if errors.Is(err, errLeased) {
		g.report.Waiting = err.Error()
		if g.o.Delete {
			return fmt.Errorf("%w: %w", solera.ErrConflict, err)
		}
		return nil
	}
	return err
}

// batches of contents: as many as are looked up at once, and as many as are
// deleted while other writers wait.
const (
	lookBatch   = 1000
	deleteBatch = 32
)

// finish takes up the deletions that an earlier gc has planned and not done.
func (g *collector) finish() error {
	var open []solera.Deletion
	err := g.store.View(g.ctx, func(tx solera.Tx) (err error) {
		open, err = tx.Deletions(true)
		return err
	})
	if err != nil {
		return err
	}
	g.report.Unfinished = len(open)
	if !g.o.Delete {
		return nil
	}
	there := make(map[solera.Digest]bool)
	for _, d := range open {
		_, err := g.blobs.Stat(g.ctx, d.Digest)
		if errors.Is(err, solera.ErrNotFound) {
			continue // freed, but for its line in the journal
		}
		if err != nil {
			return err
		}
		there[d.Digest] = true
	}
	if err := g.carryOut(open, func(d solera.Deletion) {
		if there[d.Digest] {
			g.by[Unreferenced].add(d.Size)
		}
	}); err != nil {
		return fmt.Errorf("finish earlier deletions: %w", err)
	}
	return nil
}

// carryOut deletes what was planned, except what is needed by now, and calls
// freed for each.
func (g *collector) carryOut(planned []solera.Deletion, freed func(solera.Deletion)) error {
	for len(planned) > 0 {
		batch := planned[:min(deleteBatch, len(planned))]
		planned = planned[len(batch):]
		var used map[solera.Digest]bool // or no longer planned
		err := g.store.Update(g.ctx, func(tx solera.Tx) (err error) {
			if err := leased(tx); err != nil {
				return err
			}
			now, err := tx.Now()
			if err != nil {
				return err
			}
			if used, err = inUse(tx, digestsOf(batch)); err != nil {
				return err
			}
			open, err := tx.Deletions(true)
			if err != nil {
				return err
			}
			planned := make(map[solera.Deletion]bool, len(open))
			for _, d := range open {
				planned[d] = true
			}
			withdrawn := make(map[solera.Digest]bool)
			for _, d := range batch {
				if !planned[d] {
					withdrawn[d.Digest], used[d.Digest] = true, true
				}
			}
			if err := g.remove(batch, used); err != nil {
				return err
			}
			for _, d := range batch {
				if withdrawn[d.Digest] {
					continue
				}
				d.Done = max(now, d.Planned+1)
				if used[d.Digest] {
					d.Done = d.Planned
				}
				if err := tx.SetDeletion(d); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, d := range batch {
			if !used[d.Digest] {
				freed(d)
				continue
			}
			g.report.Withdrawn++
			if err := g.lost(d); err != nil {
				return err
			}
		}
	}
	return nil
}

// lost reports a content that is needed and gone.
func (g *collector) lost(d solera.Deletion) error {
	_, err := g.blobs.Stat(g.ctx, d.Digest)
	if !errors.Is(err, solera.ErrNotFound) {
		return err
	}
	return g.store.View(g.ctx, func(tx solera.Tx) error {
		used, err := inUse(tx, []solera.Digest{d.Digest})
		if err == nil && used[d.Digest] {
			g.report.Problems = append(g.report.Problems, solera.Problem{
				Ref: d.Digest.String(), Problem: Missing, Detail: "its deletion had begun, and something needs it again; solera verify tells what",
			})
		}
		return err
	})
}

func digestsOf(list []solera.Deletion) []solera.Digest {
	digests := make([]solera.Digest, len(list))
	for i, d := range list {
		digests[i] = d.Digest
	}
	return digests
}

// remove deletes the contents that are not used, several at a time: writers
// wait for it.
func (g *collector) remove(batch []solera.Deletion, used map[solera.Digest]bool) error {
	var wg sync.WaitGroup
	errs := make([]error, len(batch))
	slots := make(chan struct{}, 8)
	for i, d := range batch {
		if used[d.Digest] {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			errs[i] = g.blobs.Delete(g.ctx, d.Digest)
			<-slots
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// errDryRun takes back what a dry run tried out in a transaction.
var errDryRun = errors.New("dry run")

// records gives up versions and removes deleted runs. A dry run does the same
// in one transaction that it then takes back: what is left over in it is
// exactly what would be.
func (g *collector) records() error {
	var chosen []givenUp
	var runs []solera.RunID
	var drafts []string
	err := g.store.View(g.ctx, func(tx solera.Tx) error {
		chosen, runs = nil, nil
		now, err := tx.Now()
		if err != nil {
			return err
		}
		if chosen, err = choose(tx, now, g.o.Project, g.o.Retention); err != nil {
			return err
		}
		if drafts, err = staleDrafts(tx, now); err != nil {
			return err
		}
		return eachRun(tx, solera.RunQuery{Deleted: true}, func(run solera.Run) error {
			if run.Deleted != 0 && run.Deleted.Time().Before(g.cutoff) {
				runs = append(runs, run.ID)
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("choose versions: %w", err)
	}
	if g.o.Delete {
		if err := g.forget(drafts); err != nil {
			return err
		}
		for _, batch := range chunks(chosen, 100) {
			if err := g.give(g.store.Update, batch, nil); err != nil {
				return err
			}
		}
		for _, batch := range chunks(runs, 100) {
			if err := g.give(g.store.Update, nil, batch); err != nil {
				return err
			}
		}
		return nil
	}
	if len(chosen)+len(runs) == 0 {
		return nil
	}
	tried := func(ctx context.Context, fn func(solera.Tx) error) error {
		err := g.store.Update(ctx, func(tx solera.Tx) error {
			if err := fn(tx); err != nil {
				return err
			}
			if err := g.dropUsed(tx); err != nil {
				return err
			}
			return errDryRun
		})
		if errors.Is(err, errDryRun) {
			return nil
		}
		return err
	}
	return g.give(tried, chosen, runs)
}

// forget removes drafts that nobody has touched for long; what was uploaded for
// them is not needed any more.
func (g *collector) forget(drafts []string) error {
	for _, id := range drafts {
		err := g.store.Update(g.ctx, func(tx solera.Tx) error {
			now, err := tx.Now()
			if err != nil {
				return err
			}
			if stale, err := isStale(tx, id, now); !stale || err != nil {
				return err // somebody went on with it
			}
			return forget(tx, id)
		})
		if err != nil {
			return fmt.Errorf("forget the draft %s: %w", id, err)
		}
	}
	return nil
}

func chunks[T any](list []T, n int) (out [][]T) {
	for ; len(list) > n; list = list[n:] {
		out = append(out, list[:n])
	}
	if len(list) > 0 {
		out = append(out, list)
	}
	return out
}

// give marks versions deleted and removes runs in one Update, and notes what
// files they had.
func (g *collector) give(update func(context.Context, func(solera.Tx) error) error, chosen []givenUp, runs []solera.RunID) error {
	var given []givenUp
	removed := 0
	before := g.reason
	err := update(g.ctx, func(tx solera.Tx) error {
		given, removed = nil, 0
		g.reason = make(map[solera.Digest]string, len(before)) // an Update may come again
		for d, reason := range before {
			g.reason[d] = reason
		}
		if err := leased(tx); err != nil && !(errors.Is(err, errLeased) && !g.o.Delete) {
			return err
		}
		for _, c := range chosen {
			ok, err := giveUp(tx, c)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			v, err := tx.Version(c.id)
			if err != nil {
				return err
			}
			g.noteFiles(v.Files, c.reason)
			given = append(given, c)
		}
		for _, id := range runs {
			tied, err := tied(tx, id)
			if err != nil {
				return err
			}
			if tied {
				continue // its record belongs to a lineage
			}
			files, err := tx.RunFiles(id)
			if err != nil {
				return err
			}
			g.noteFiles(files, RunDeleted)
			if err := tx.RemoveRun(id); err != nil {
				return err
			}
			removed++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("give up versions: %w", err)
	}
	for _, c := range given {
		g.report.Versions = append(g.report.Versions, GCVersion{Ref: c.id.String(), Reason: c.reason})
		g.by[c.reason].Versions++
	}
	g.by[RunDeleted].Runs += removed
	return nil
}

// tied reports whether a version knows the run. RemoveRun would refuse, but a
// refusal takes the whole transaction with it.
func tied(tx solera.Tx, id solera.RunID) (bool, error) {
	edges, err := tx.Edges(solera.EdgeQuery{Run: id})
	if err != nil || len(edges) > 0 {
		return true, err
	}
	made, err := tx.Versions(solera.VersionQuery{Run: id, Deleted: true, Limit: 1})
	return len(made) > 0, err
}

func (g *collector) noteFiles(files []solera.Entry, reason string) {
	for _, e := range files {
		if _, ok := g.reason[e.Digest]; !ok && e.Ref == "" {
			g.reason[e.Digest] = reason
		}
	}
}

// dropUsed forgets the noted contents that others need.
func (g *collector) dropUsed(tx solera.Tx) error {
	digests := make([]solera.Digest, 0, len(g.reason))
	for d := range g.reason {
		digests = append(digests, d)
	}
	for _, batch := range chunks(digests, lookBatch) {
		used, err := inUse(tx, batch)
		if err != nil {
			return err
		}
		for d := range used {
			delete(g.reason, d)
		}
	}
	return nil
}

// contents goes through all blobs and deletes what nobody needs.
func (g *collector) contents() error {
	var batch []solera.Deletion
	young := make(map[solera.Digest]bool)
	look := func() error {
		err := g.look(batch, young)
		batch = batch[:0]
		clear(young)
		return err
	}
	err := g.blobs.List(g.ctx, func(d solera.Digest, size int64, put time.Time) error {
		batch = append(batch, solera.Deletion{Digest: d, Size: size})
		if !put.Before(g.cutoff) {
			young[d] = true
		}
		if len(batch) < lookBatch {
			return nil
		}
		return look()
	})
	if err != nil {
		return err
	}
	return look()
}

func (g *collector) look(batch []solera.Deletion, young map[solera.Digest]bool) error {
	if len(batch) == 0 {
		return nil
	}
	var used map[solera.Digest]bool
	err := g.store.View(g.ctx, func(tx solera.Tx) (err error) {
		used, err = inUse(tx, digestsOf(batch))
		return err
	})
	if err != nil {
		return err
	}
	var free []solera.Deletion
	for _, d := range batch {
		reason, given := g.reason[d.Digest]
		switch {
		case used[d.Digest] && !(given && !g.o.Delete):
			g.report.Kept.add(d.Size)
		case young[d.Digest]:
			g.report.Young.add(d.Size)
		case !g.o.Delete:
			g.by[cmp.Or(reason, Unreferenced)].add(d.Size)
		default:
			free = append(free, d)
		}
	}
	g.looked += int64(len(batch))
	if g.o.Progress != nil {
		g.o.Progress(g.looked)
	}
	if len(free) == 0 {
		return nil
	}
	var planned []solera.Deletion
	err = g.store.Update(g.ctx, func(tx solera.Tx) error {
		planned = nil
		if err := leased(tx); err != nil {
			return err
		}
		now, err := tx.Now()
		if err != nil {
			return err
		}
		used, err := inUse(tx, digestsOf(free))
		if err != nil {
			return err
		}
		for _, d := range free {
			if used[d.Digest] {
				continue // since the look
			}
			d.Planned = now
			if err := tx.SetDeletion(d); err != nil {
				return err
			}
			planned = append(planned, d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return g.carryOut(planned, func(d solera.Deletion) {
		g.by[cmp.Or(g.reason[d.Digest], Unreferenced)].add(d.Size)
	})
}

// sweep removes what Puts that died have left behind.
func (g *collector) sweep() error {
	n, size, err := g.blobs.Sweep(g.ctx, g.cutoff)
	g.by[Leftover].Blobs += int64(n)
	g.by[Leftover].Bytes += size
	if err != nil {
		return fmt.Errorf("remove leftovers: %w", err)
	}
	return nil
}
