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
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

//go:embed migrations/*.sql
var migrations embed.FS

// A DB is an open store.
type DB struct {
	write  *sql.DB // its connections are where writers of this process queue
	read   *sql.DB // may be write
	name   string  // for messages; never with a password
	group  committer
	names  names   // of metrics
	layout *layout // of points; nil = the standard one
	engine
}

// An engine is what differs between the databases, beside their drivers.
type engine struct {
	// enter waits for a writer's turn, as far as that can be done outside of its
	// transaction.
	enter func(ctx context.Context, alone bool) (leave func(), err error)
	// begin is the first thing that a transaction does which writes. alone says
	// that no other Update may run beside it. The ticket it returns is for settle.
	begin func(t *tx, alone bool) (ticket, error)
	// queue makes a transaction that runs beside others wait for its turn among
	// Updates, before it locks anything; nil where there is one writer at a time.
	queue func(*tx) error
	// settle says whether the transaction of a ticket was committed, when the
	// answer to its COMMIT was lost.
	settle func(context.Context, ticket) (committed bool, err error)
	// batch runs one statement for each set of arguments.
	batch func(t *tx, query string, n int, args func(i int) []any) error
	// forUpdate ends a SELECT whose rows nobody else may change meanwhile; "" where
	// there is one writer at a time.
	forUpdate string
	// snapshot opens the transactions of View.
	snapshot *sql.TxOptions
	// now is the time by the clock of the database, in microseconds.
	now func(*tx) (int64, error)
	// integrity lets the database check itself; nil where it need not.
	integrity func(t *tx, report func(solera.Problem)) error
	// explain turns a driver's error into one that names the mend.
	explain func(error) error
	// obstacle says whether trying again may help.
	obstacle func(error) obstacle
	// readOnly is why nothing can be written to this store, or nil.
	readOnly error
}

// An obstacle is what stood in the way of a transaction.
type obstacle int

const (
	none obstacle = iota // the error is final
	busy                 // another writer
	away                 // the database does not answer: it restarts, or the network is gone
)

// A ticket identifies one transaction that writes.
type ticket struct {
	slot    string
	n       int64
	release func()
}

var _ solera.Store = (*DB)(nil)

// Close waits for transactions under way and closes the database.
func (d *DB) Close() error {
	d.group.close()
	if d.read == d.write {
		return d.write.Close()
	}
	return errors.Join(d.read.Close(), d.write.Close())
}

// View calls fn with a consistent snapshot.
func (d *DB) View(ctx context.Context, fn func(solera.Tx) error) error {
	return d.view(ctx, func(t *tx) error { return fn(t) })
}

func (d *DB) view(ctx context.Context, fn func(*tx) error) error {
	return d.retry(ctx, func() error {
		conn, err := d.read.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		t, err := conn.BeginTx(ctx, d.snapshot)
		if err != nil {
			return err
		}
		defer t.Rollback()
		return fn(&tx{ctx: ctx, sql: t, conn: conn, engine: &d.engine})
	})
}

// Update calls fn and commits what it wrote. Updates run one after the other,
// those of other processes too.
func (d *DB) Update(ctx context.Context, fn func(solera.Tx) error) error {
	return d.update(ctx, func(t *tx) error { return fn(t) })
}

func (d *DB) update(ctx context.Context, fn func(*tx) error) error { return d.commit(ctx, true, fn) }

// append is an update that may run beside others, where the database can: fn
// keeps order among its like by the rows that it locks. Appenders of one run
// queue for its row in heads.
func (d *DB) append(ctx context.Context, fn func(*tx) error) error { return d.commit(ctx, false, fn) }

func (d *DB) commit(ctx context.Context, alone bool, fn func(*tx) error) error {
	if d.readOnly != nil {
		return d.readOnly
	}
	return d.retry(ctx, func() error {
		leave, err := d.enter(ctx, alone)
		if err != nil {
			return err
		}
		defer leave()
		conn, err := d.write.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		sqlTx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer sqlTx.Rollback() // does nothing after a commit
		t := &tx{ctx: ctx, sql: sqlTx, conn: conn, engine: &d.engine, layout: d.layout}
		var m ticket
		if d.begin != nil {
			if m, err = d.begin(t, alone); err != nil {
				return err
			}
			defer m.release()
		}
		if err := fn(t); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err = sqlTx.Commit()
		if err == nil || d.settle == nil {
			return err
		}
		// The answer was lost, or ctx ended while it was under way. What is
		// reported has to be what happened: a commit reported as a failure
		// would be done twice by a retry.
		conn.Close()
		committed, lost := d.settle(ctx, m)
		switch {
		case lost != nil:
			return &unsureError{fmt.Errorf("%s: the connection was lost while a change was being committed, and did not come back; "+
				"look whether the change is there before you repeat it (%w)", d.name, errors.Join(err, lost))}
		case committed:
			return nil
		}
		return err
	})
}

// An unsureError is about a commit whose outcome is not known. It is not
// retried.
type unsureError struct{ error }

func (e *unsureError) Unwrap() error { return e.error }

// patience is how long a transaction is turned away, by other writers or by a
// database that does not answer, before it gives up. Transactions take
// milliseconds; whoever holds the database that long is stopped in a debugger,
// or stuck. A restart of PostgreSQL takes seconds.
const patience = 60 * time.Second

// retry calls fn until nothing is in its way.
func (d *DB) retry(ctx context.Context, fn func() error) error {
	return d.retryFor(ctx, patience, fn)
}

func (d *DB) retryFor(ctx context.Context, limit time.Duration, fn func() error) error {
	start, pause := time.Now(), time.Millisecond
	for {
		err := fn()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			// The database may say it in its own words.
			if errors.Is(err, ctx.Err()) {
				return d.explain(err)
			}
			return fmt.Errorf("%w (%w)", ctx.Err(), d.explain(err))
		}
		what := none
		if unsure := (*unsureError)(nil); !errors.As(err, &unsure) {
			what = d.obstacle(err)
		}
		switch {
		case what == none:
			return d.explain(err)
		case time.Since(start) > limit && what == busy:
			return fmt.Errorf("store %s: %w: another process has been writing for %v; try again when it has ended (%v)",
				d.name, solera.ErrConflict, limit, err)
		case time.Since(start) > limit:
			return d.explain(err)
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
	ctx  context.Context
	sql  *sql.Tx
	conn *sql.Conn // that the transaction is on
	*engine
	audit  link    // the end of the audit log
	names  *names  // of metrics; made when first needed
	layout *layout // of points
	hot    hot     // statements that are there already
}

// Now returns the time by the clock of the database.
func (t *tx) Now() (solera.Micros, error) {
	n, err := t.now(t)
	return solera.Micros(n), err
}

// checkText refuses what PostgreSQL cannot keep in a text, in either database:
// a history must be able to move.
func checkText(args []any) error {
	for _, arg := range args {
		s, ok := arg.(string)
		if ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
			return fmt.Errorf("text %.80q: %w: a text is UTF-8 without zero bytes", s, solera.ErrInvalid)
		}
	}
	return nil
}

func (t *tx) exec(query string, args ...any) (sql.Result, error) {
	if err := checkText(args); err != nil {
		return nil, err
	}
	return t.sql.ExecContext(t.ctx, query, args...)
}

// run runs a statement that is there already, or else its text.
func (t *tx) run(statement *sql.Stmt, query string, args ...any) (sql.Result, error) {
	if statement == nil {
		return t.exec(query, args...)
	}
	if err := checkText(args); err != nil {
		return nil, err
	}
	return t.sql.StmtContext(t.ctx, statement).ExecContext(t.ctx, args...)
}

// A row is the one row that a query gives.
type row struct {
	*sql.Row
	err error
}

// Scan reads the columns; sql.ErrNoRows says that there is no row.
func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	return r.Row.Scan(dest...)
}

func (t *tx) row(query string, args ...any) row {
	if err := checkText(args); err != nil {
		return row{err: err}
	}
	return row{Row: t.sql.QueryRowContext(t.ctx, query, args...)}
}

// rows calls scan for each row of the result.
func (t *tx) rows(scan func(func(...any) error) error, query string, args ...any) error {
	if err := checkText(args); err != nil {
		return err
	}
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

// many runs one statement for each set of arguments that args gives.
func (t *tx) many(query string, n int, args func(i int) []any) error {
	if n == 0 {
		return nil
	}
	return t.batch(t, query, n, args)
}

// prepared is a batch by a prepared statement, for a database without network.
func prepared(t *tx, query string, n int, args func(i int) []any) error {
	statement, err := t.sql.PrepareContext(t.ctx, query)
	if err != nil {
		return err
	}
	defer statement.Close()
	for i := range n {
		values := args(i)
		if err := checkText(values); err != nil {
			return err
		}
		if _, err := statement.ExecContext(t.ctx, values...); err != nil {
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
