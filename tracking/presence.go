package tracking

import (
	"context"
	"errors"
	"fmt"

	"github.com/solera-ml/solera"
)

// A presence remembers a moment before contents were put, so that whoever then
// names them can find out whether one was deleted since. gc.go says why.
type presence struct{ since int64 } // last entry of the audit log

// presenceNow is called before the first Put of a commit.
func presenceNow(ctx context.Context, s solera.Store) (presence, error) {
	var p presence
	err := s.View(ctx, func(tx solera.Tx) error {
		p = presence{}
		log, err := tx.Audit(solera.AuditQuery{Newest: true, Limit: 1})
		if err == nil && len(log) > 0 {
			p.since = log[0].N
		}
		return err
	})
	return p, err
}

// gone returns those of the files whose content is not in the blobs any more.
// It is called in the Tracker.update that names them: deletions are Updates
// too, so the answer holds until it commits. It costs two queries while nobody
// deletes; only after a deletion does it look for the contents themselves.
func (p presence) gone(ctx context.Context, tx solera.Tx, blobs solera.Blobs, files []solera.Entry) ([]solera.Entry, error) {
	if err := notPlanned(tx, files); err != nil {
		return nil, err
	}
	log, err := tx.Audit(solera.AuditQuery{After: p.since, Action: "deletion.", Limit: 1})
	if err == nil && len(log) == 0 {
		// A backup has what versions and runs need, and no more.
		log, err = tx.Audit(solera.AuditQuery{After: p.since, Action: restored, Limit: 1})
	}
	if err != nil || len(log) == 0 {
		return nil, err
	}
	var gone []solera.Entry
	for _, e := range files {
		if e.Ref != "" {
			continue
		}
		_, err := blobs.Stat(ctx, e.Digest)
		switch {
		case errors.Is(err, solera.ErrNotFound):
			gone = append(gone, e)
		case err != nil:
			return nil, err
		}
	}
	return gone, nil
}

// A plannedError says that contents which a transaction is about to name are
// planned to be deleted.
type plannedError struct{ plans []solera.Deletion }

func (e *plannedError) Error() string {
	return fmt.Sprintf("gc is about to delete %v", e.plans[0].Digest)
}

func (e *plannedError) Unwrap() error { return solera.ErrConflict }

// notPlanned reports a *plannedError if a deletion of one of the files is open.
func notPlanned(tx solera.Tx, files []solera.Entry) error {
	open, err := tx.Deletions(true)
	if err != nil || len(open) == 0 {
		return err
	}
	named := make(map[solera.Digest]bool, len(files))
	for _, e := range files {
		named[e.Digest] = e.Ref == "" || named[e.Digest]
	}
	var plans []solera.Deletion
	for _, d := range open {
		if named[d.Digest] {
			plans = append(plans, d)
		}
	}
	if len(plans) > 0 {
		return &plannedError{plans}
	}
	return nil
}

// update is Store.Update for what names contents. Plans to delete them, which
// fn finds by gone or notPlanned, are withdrawn, and then it tries again.
func (t *Tracker) update(ctx context.Context, fn func(solera.Tx) error) error {
	for tries := 0; ; tries++ {
		err := t.Store.Update(ctx, fn)
		planned, ok := errors.AsType[*plannedError](err)
		if !ok || tries == 10 {
			return err
		}
		if err := t.withdraw(ctx, planned.plans); err != nil {
			return fmt.Errorf("keep gc from deleting %v: %w", planned.plans[0].Digest, err)
		}
	}
}

// withdraw ends plans, each as it turned out.
func (t *Tracker) withdraw(ctx context.Context, plans []solera.Deletion) error {
	return t.Store.Update(ctx, func(tx solera.Tx) error {
		now, err := tx.Now()
		if err != nil {
			return err
		}
		open, err := tx.Deletions(true)
		if err != nil {
			return err
		}
		still := make(map[solera.Deletion]bool, len(open))
		for _, d := range open {
			still[d] = true
		}
		for _, d := range plans {
			if !still[d] {
				continue
			}
			_, err := t.Blobs.Stat(ctx, d.Digest)
			switch {
			case err == nil:
				d.Done = d.Planned
			case errors.Is(err, solera.ErrNotFound): // gc was killed after this
				d.Done = max(now, d.Planned+1)
			default:
				return err
			}
			if err := tx.SetDeletion(d); err != nil {
				return err
			}
		}
		return nil
	})
}
