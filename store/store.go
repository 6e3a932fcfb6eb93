// Package store is a solera.Store in a SQL database. It holds queries and no
// rules: what may be committed, used or deleted is decided above it.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/solera-ml/solera"
)

//go:embed migrations/*.sql
var migrations embed.FS

// A DB is an open store.
type DB struct {
	write *sql.DB // one connection: writers of this process queue here, not in the database
	read  *sql.DB
	name  string // for messages
	// enter waits for this writer's turn among all processes.
	enter func(context.Context) (leave func(), err error)
	// explain turns a driver's error into one that names the mend; busy says
	// that another writer was in the way and trying again may help.
	explain func(error) error
	busy    func(error) bool
}

var _ solera.Store = (*DB)(nil)

// Close waits for transactions under way and closes the database.
func (d *DB) Close() error { return errors.Join(d.read.Close(), d.write.Close()) }

// View calls fn with a consistent snapshot.
func (d *DB) View(ctx context.Context, fn func(solera.Tx) error) error {
	return d.retry(ctx, func() error {
		t, err := d.read.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer t.Rollback()
		return fn(&tx{ctx: ctx, sql: t})
	})
}

// Update calls fn and commits what it wrote.
func (d *DB) Update(ctx context.Context, fn func(solera.Tx) error) error {
	return d.update(ctx, func(t *tx) error { return fn(t) })
}

func (d *DB) update(ctx context.Context, fn func(*tx) error) error {
	return d.retry(ctx, func() error {
		leave, err := d.enter(ctx)
		if err != nil {
			return err
		}
		defer leave()
		t, err := d.write.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer t.Rollback() // does nothing after a commit
		if err := fn(&tx{ctx: ctx, sql: t}); err != nil {
			return err
		}
		return t.Commit()
	})
}

// patience is how long a transaction is turned away by other writers before it
// gives up. Transactions take milliseconds; whoever holds the
// database that long is stopped in a debugger, or stuck.
const patience = 60 * time.Second

// retry calls fn until it is not turned away by another writer.
func (d *DB) retry(ctx context.Context, fn func() error) error {
	start, pause := time.Now(), time.Millisecond
	for {
		err := fn()
		if err == nil || !d.busy(err) {
			return d.explain(err)
		}
		if time.Since(start) > patience {
			return fmt.Errorf("store %s: %w: another process has been writing for %v; try again when it has ended (%v)",
				d.name, solera.ErrConflict, patience, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause = min(2*pause, 100*time.Millisecond)
		}
	}
}

// tx is one transaction under the context of its View or Update.
type tx struct {
	ctx   context.Context
	sql   *sql.Tx
	audit link
}

func (t *tx) exec(query string, args ...any) (sql.Result, error) {
	return t.sql.ExecContext(t.ctx, query, args...)
}

func (t *tx) row(query string, args ...any) *sql.Row {
	return t.sql.QueryRowContext(t.ctx, query, args...)
}

// rows calls scan for each row of the result.
func (t *tx) rows(scan func(func(...any) error) error, query string, args ...any) error {
	rows, err := t.sql.QueryContext(t.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// many runs one statement for each set of arguments that next gives.
func (t *tx) many(query string, n int, args func(i int) []any) error {
	if n == 0 {
		return nil
	}
	statement, err := t.sql.PrepareContext(t.ctx, query)
	if err != nil {
		return err
	}
	defer statement.Close()
	for i := range n {
		if _, err := statement.ExecContext(t.ctx, args(i)...); err != nil {
			return err
		}
	}
	return nil
}

// notFound gives the missing of a row its kind and says what is missing.
func notFound(err error, what string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s: %w", what, solera.ErrNotFound)
	}
	return err
}

// A filter collects the conditions of a query. Columns are ours, values are
// arguments.
type filter struct {
	where []string
	args  []any
}

func (f *filter) equal(column string, value any) { f.compare(column, "=", value) }

func (f *filter) compare(column, operator string, value any) {
	f.args = append(f.args, value)
	f.where = append(f.where, column+" "+operator+" $"+strconv.Itoa(len(f.args)))
}

// text restricts column unless value is "".
func (f *filter) text(column, value string) {
	if value != "" {
		f.equal(column, value)
	}
}

// query returns the statement with the conditions, an order and a limit (0 =
// all).
func (f *filter) query(selection, order string, limit int) string {
	if len(f.where) > 0 {
		selection += " WHERE " + strings.Join(f.where, " AND ")
	}
	selection += " ORDER BY " + order
	if limit > 0 {
		selection += " LIMIT " + strconv.Itoa(limit)
	}
	return selection
}
