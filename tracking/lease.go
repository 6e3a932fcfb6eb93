package tracking

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/solera-ml/solera"
)

// A lease keeps gc from deleting contents while a backup copies them. It is in
// the audit log, under the subject "store": an entry backup.start or
// backup.extend holds until the time it names, backup.end ends it. So a backup
// that was killed stands in the way for a quarter of an hour at most, and every
// backup is in the log anyway.
//
// The lease is taken before the moment that the backup shows, and gc looks for
// leases inside each transaction in which it deletes. Transactions come one
// after the other: a deletion either is done before the lease, and then what it
// deleted was not needed at the backup's moment, or sees the lease and stops.
type lease struct {
	ctx    context.Context // ends when the lease cannot be renewed
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	store  solera.Store
	id     string
	length time.Duration
}

const (
	leaseLength  = 15 * time.Minute
	leaseSubject = "store"
	restored     = "restore" // the action of an entry after which a store begins anew
)

func takeLease(ctx context.Context, s solera.Store, length time.Duration) (*lease, error) {
	l := &lease{store: s, id: rand.Text(), length: length}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	if err := l.note(ctx, "backup.start"); err != nil {
		l.cancel(nil)
		return nil, err
	}
	l.wg.Go(func() {
		tick := time.NewTicker(length / 3)
		defer tick.Stop()
		for {
			select {
			case <-l.ctx.Done():
				return
			case <-tick.C:
				if err := l.note(l.ctx, "backup.extend"); err != nil {
					l.cancel(fmt.Errorf("keep gc away: %w", err))
					return
				}
			}
		}
	})
	return l, nil
}

func (l *lease) note(ctx context.Context, action string) error {
	return l.store.Update(ctx, func(tx solera.Tx) error {
		now, err := tx.Now()
		if err != nil {
			return err
		}
		return tx.Note(solera.AuditEntry{Action: action, Subject: leaseSubject, After: solera.Fields{
			"lease": l.id, "until": solera.MicrosOf(now.Time().Add(l.length)).String(),
		}})
	})
}

// release ends the lease, also when ctx has ended, and notes what came of the
// backup.
func (l *lease) release(ctx context.Context, report BackupReport, cause error) error {
	l.cancel(nil)
	l.wg.Wait()
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer stop()
	after := solera.Fields{"lease": l.id, "blobs": report.Blobs, "bytes": report.Bytes, "problems": len(report.Problems)}
	if cause != nil {
		after = solera.Fields{"lease": l.id, "error": cause.Error()}
	}
	err := l.store.Update(ctx, func(tx solera.Tx) error {
		return tx.Note(solera.AuditEntry{Action: "backup.end", Subject: leaseSubject, After: after})
	})
	if err != nil {
		return fmt.Errorf("note the end of the backup in the audit log: %w", err)
	}
	return nil
}

// errLeased is why gc stops.
var errLeased = errors.New("a backup is being made")

// leased returns errLeased, with until when, if a backup is being made.
func leased(tx solera.Tx) error {
	now, err := tx.Now()
	if err != nil {
		return err
	}
	log, err := tx.Audit(solera.AuditQuery{
		Subject: leaseSubject, Newest: true, From: solera.MicrosOf(now.Time().Add(-2 * leaseLength)),
	})
	if err != nil {
		return err
	}
	seen := make(map[string]bool) // leases whose newest entry we saw
	for _, e := range log {
		if e.Action == restored {
			// What came before is the log of the store that was backed up, with the
			// lease of that very backup.
			break
		}
		id, _ := e.After["lease"].(string)
		if id == "" || seen[id] {
			continue
		}
		seen[id] = true
		until, _ := e.After["until"].(string)
		t, err := time.Parse(time.RFC3339Nano, until)
		if e.Action != "backup.end" && err == nil && t.After(now.Time()) {
			return fmt.Errorf("%w, by %s: try again when it has ended, or after %s if it was killed",
				errLeased, cmp.Or(e.Actor, "somebody"), t.UTC().Format(time.DateTime))
		}
	}
	return nil
}
