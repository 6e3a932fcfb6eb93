package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/solera-ml/solera"
)

// OpenPostgres opens the store in a PostgreSQL database, such as
// "postgres://ana@db.example/solera", in which it creates its tables if they
// are missing, and brings an older store up to date; many may do so at once.
// What the URL does not say comes from PGPASSWORD, PGUSER, PGSSLMODE and the
// like, and from ~/.pgpass. The tables lie in the first schema of the
// search_path, "public" unless the URL has ?search_path=…
//
// A schema that holds the tables of another program, and a store of a newer
// Solera, are left alone and reported as ErrInvalid. Errors never hold the
// password.
func OpenPostgres(ctx context.Context, dsn string) (*DB, error) { return namePostgres(ctx, dsn, true) }

// FindPostgres is OpenPostgres for a database in which nothing is to be made:
// one without a store is ErrNotFound. An older store is brought up to date.
func FindPostgres(ctx context.Context, dsn string) (*DB, error) { return namePostgres(ctx, dsn, false) }

func namePostgres(ctx context.Context, dsn string, create bool) (*DB, error) {
	d, err := openPostgres(ctx, dsn, create)
	if err != nil {
		name := "in PostgreSQL"
		if d != nil {
			name = d.name
		}
		return nil, &solera.InputError{Op: "open store " + name, Err: err}
	}
	return d, nil
}

// openPatience is how long a database that does not answer is waited for when
// a store is opened: shorter than patience, because the URL may be wrong.
const openPatience = 5 * time.Second

// Connections of one store. Updates of a process queue before they take one, so
// these are for readers and appenders.
const (
	readers = 8
	writers = 8
)

func openPostgres(ctx context.Context, dsn string, create bool) (*DB, error) {
	config, err := parsePostgres(dsn)
	if err != nil {
		return nil, err
	}
	d := &DB{name: postgresName(config)}
	d.write = stdlib.OpenDB(*config)
	d.write.SetMaxOpenConns(writers)
	d.write.SetConnMaxIdleTime(time.Minute)
	d.read = stdlib.OpenDB(*config)
	d.read.SetMaxOpenConns(readers)
	d.read.SetMaxIdleConns(readers / 2)
	d.read.SetConnMaxIdleTime(time.Minute)
	d.engine = postgresEngine(d)
	if err := d.retryFor(ctx, openPatience, func() error { return d.preparePostgres(ctx, create) }); err != nil {
		return d, errors.Join(err, d.Close())
	}
	return d, nil
}

// parsePostgres reads the URL and what completes it. Its errors do not show
// the URL, which may hold a password.
func parsePostgres(dsn string) (*pgx.ConnConfig, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, fmt.Errorf("%w: want a URL such as postgres://user@host:5432/database; "+
			"give the password in PGPASSWORD or ~/.pgpass, or write its special characters as %%XX", solera.ErrInvalid)
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		message := err.Error()
		if _, after, ok := strings.Cut(message, "`: "); ok {
			message = after
		}
		if password, ok := u.User.Password(); ok && password != "" {
			message = strings.ReplaceAll(message, password, "…")
		}
		return nil, fmt.Errorf("%w: %s", solera.ErrInvalid, message)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	set := func(name, value string) {
		if _, given := config.RuntimeParams[name]; !given {
			config.RuntimeParams[name] = value
		}
	}
	set("application_name", "solera")
	// So that patience is counted here, and its end is an error of ours.
	set("lock_timeout", strconv.Itoa(int(patience.Milliseconds()))+"ms")
	return config, nil
}

func postgresName(config *pgx.ConnConfig) string {
	name := "postgres://" + config.Host + ":" + strconv.Itoa(int(config.Port)) + "/" + config.Database
	if strings.HasPrefix(config.Host, "/") { // a Unix socket
		name = "postgres:///" + config.Database + "?host=" + config.Host
	}
	return name
}

func postgresEngine(d *DB) engine {
	turn := make(chan struct{}, 1)
	var s slots
	return engine{
		enter: func(ctx context.Context, alone bool) (func(), error) {
			if !alone {
				return func() {}, nil
			}
			// The database has its own queue; this one keeps a process from
			// waiting there on many connections at once.
			select {
			case turn <- struct{}{}:
				return func() { <-turn }, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
		begin: s.begin,
		queue: func(t *tx) error {
			_, err := t.exec(`SELECT ` + writerTurn)
			return err
		},
		settle:    d.settlePostgres,
		batch:     pipelined,
		forUpdate: " FOR UPDATE",
		snapshot:  &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
		now: func(t *tx) (n int64, err error) {
			err = t.row(`SELECT ` + postgresNow).Scan(&n)
			return n, err
		},
		explain:  d.postgresExplain,
		obstacle: postgresObstacle,
	}
}

const postgresNow = `(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::BIGINT`

// The table that makes a schema ours, and tells what became of a commit whose
// answer was lost. Each transaction that writes first puts a number into a slot
// that no other transaction has at the time. Whoever wants to know the outcome
// asks for the slot's row and so waits until the transaction has ended; then
// the number is there or is not. Numbers of transactions (pg_xact_status) would
// not do: after a crash, or on a standby that took over, the server may give
// the number of a lost transaction to another one.
const createCommits = `CREATE TABLE IF NOT EXISTS solera_commits (
	slot TEXT   NOT NULL PRIMARY KEY,
	n    BIGINT NOT NULL,
	at   BIGINT NOT NULL
)`

// The queue of Updates is a lock for the length of the transaction. An idle
// transaction must not keep it for ever: its process may be on a machine that
// is gone. An acknowledged commit is on the server's disk, whatever it is
// configured to do by default.
const beginAlone = `WITH turn AS MATERIALIZED (SELECT ` + writerTurn + `, ` + durable + `)
	` + takeSlot

const writerTurn = `pg_advisory_xact_lock(hashtextextended('solera writer ' || current_schema(), 0))`

const beginBeside = `WITH turn AS MATERIALIZED (SELECT ` + durable + `)
	` + takeSlot

const durable = `set_config('idle_in_transaction_session_timeout', '60s', true),
	set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
		ELSE current_setting('synchronous_commit') END, true)`

const takeSlot = `INSERT INTO solera_commits (slot, n, at) SELECT $1, $2, ` + postgresNow + ` FROM turn
	ON CONFLICT (slot) DO UPDATE SET n = EXCLUDED.n, at = EXCLUDED.at`

// forgetSlots removes the slots of processes that are long gone.
const forgetSlots = `DELETE FROM solera_commits WHERE slot IN (
	SELECT slot FROM solera_commits WHERE at < ` + postgresNow + ` - 86400000000 FOR UPDATE SKIP LOCKED)`

type slot struct {
	name string
	n    int64
}

// slots are those of one open store that no transaction has.
type slots struct {
	mu   sync.Mutex
	free []*slot
}

func (s *slots) begin(t *tx, alone bool) (ticket, error) {
	s.mu.Lock()
	var own *slot
	if n := len(s.free); n > 0 {
		own, s.free = s.free[n-1], s.free[:n-1]
	} else {
		own = &slot{name: rand.Text()}
	}
	s.mu.Unlock()
	release := func() {
		s.mu.Lock()
		s.free = append(s.free, own)
		s.mu.Unlock()
	}
	own.n++
	query := beginBeside
	if alone {
		query = beginAlone
	}
	_, err := t.exec(query, own.name, own.n)
	if err == nil && own.n == 1 {
		_, err = t.exec(forgetSlots)
	}
	if err != nil {
		release()
		return ticket{}, err
	}
	return ticket{own.name, own.n, release}, nil
}

func (d *DB) settlePostgres(ctx context.Context, m ticket) (committed bool, err error) {
	limit := patience
	if ctx.Err() != nil {
		limit = openPatience // somebody waits for the end
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit+openPatience)
	defer cancel()
	err = d.retryFor(ctx, limit, func() error {
		var n int64
		err := d.write.QueryRowContext(ctx, `INSERT INTO solera_commits (slot, n, at) VALUES ($1, 0, `+postgresNow+`)
			ON CONFLICT (slot) DO UPDATE SET at = EXCLUDED.at RETURNING n`, m.slot).Scan(&n)
		committed = n == m.n
		return err
	})
	return committed, err
}

// pipelined is a batch that does not wait for the network at every statement.
func pipelined(t *tx, query string, n int, args func(i int) []any) error {
	return t.conn.Raw(func(c any) error {
		conn := c.(*stdlib.Conn).Conn()
		const chunk = 1000
		for i := 0; i < n; i += chunk {
			var b pgx.Batch
			for j := i; j < min(n, i+chunk); j++ {
				values := args(j)
				if err := checkText(values); err != nil {
					return err
				}
				b.Queue(query, values...)
			}
			if err := conn.SendBatch(t.ctx, &b).Close(); err != nil {
				return err
			}
		}
		return nil
	})
}

// preparePostgres makes sure that the schema is a store of ours.
func (d *DB) preparePostgres(ctx context.Context, create bool) error {
	current, err := d.inspectPostgres(ctx, create)
	if err != nil || current {
		return err
	}
	// The lock is that of a session: each migration is a transaction of its
	// own. It ends with the connection, so a kill releases it.
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	const key = `(hashtextextended('solera migration ' || current_schema(), 0))`
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock`+key); err != nil {
		return err
	}
	defer func() {
		// Also when ctx has ended: the connection goes back to the pool.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), openPatience)
		defer cancel()
		_, _ = conn.ExecContext(ctx, `SELECT pg_advisory_unlock`+key)
	}()
	if current, err = d.inspectPostgres(ctx, create); err != nil || current {
		return err
	}
	if _, err := conn.ExecContext(ctx, collated(createCommits)); err != nil {
		return err
	}
	return migrate(ctx, goose.DialectPostgres, d.write, collatedFiles{migrationFiles()}, collated)
}

// inspectPostgres reports whether the schema is a store that is up to date,
// and fails if it never can be.
func (d *DB) inspectPostgres(ctx context.Context, create bool) (current bool, err error) {
	want, err := newestMigration()
	if err != nil {
		return false, err
	}
	conn, err := d.read.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	var schema sql.NullString
	var encoding, readOnly, searchPath string
	err = conn.QueryRowContext(ctx, `SELECT current_schema(), current_setting('server_encoding'),
		current_setting('transaction_read_only'), current_setting('search_path')`).Scan(&schema, &encoding, &readOnly, &searchPath)
	if err != nil {
		return false, err
	}
	if !schema.Valid {
		return false, fmt.Errorf("%w: there is no schema %s in the database: make it with CREATE SCHEMA, or give another search_path",
			solera.ErrInvalid, searchPath)
	}
	if encoding != "UTF8" {
		return false, fmt.Errorf("%w: the database is encoded in %s; make one with createdb --encoding=UTF8 --template=template0",
			solera.ErrInvalid, encoding)
	}
	tables := make(map[string]bool)
	rows, err := conn.QueryContext(ctx, `SELECT tablename FROM pg_tables WHERE schemaname = current_schema()`)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return false, err
		}
		tables[name] = true
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	if !tables["solera_commits"] {
		for _, name := range ourTables() {
			if tables[name] {
				return false, fmt.Errorf("%w: schema %s holds the tables of another program (%s): give Solera a database of its own, "+
					"or a schema of its own with ?search_path=…", solera.ErrInvalid, schema.String, name)
			}
		}
	}
	var have sql.NullInt64
	if tables["solera_commits"] && tables["goose_db_version"] {
		const query = `SELECT MAX(version_id) FROM goose_db_version WHERE is_applied`
		if err := conn.QueryRowContext(ctx, query).Scan(&have); err != nil {
			return false, err
		}
	}
	switch {
	case have.Int64 == 0 && !create:
		return false, fmt.Errorf("%w: there is no store in it", solera.ErrNotFound)
	case have.Int64 > want:
		return false, newer(have.Int64, want)
	case readOnly == "on" && have.Int64 < want:
		return false, fmt.Errorf("%w: nothing can be written to the database, and it holds no store of this program's version; "+
			"connect to the primary server once", solera.ErrInvalid)
	case readOnly == "on":
		d.readOnly = fmt.Errorf("%s cannot be written: it is a standby, or set to read-only; connect to the primary server", d.name)
	}
	return have.Int64 == want, nil
}

// ourTables returns the names under which our migrations create tables.
func ourTables() []string {
	names := strings.Fields("goose_db_version blocks counters metrics recent recorded run_columns run_tail") // in Go
	create := regexp.MustCompile(`CREATE TABLE (\w+)`)
	files := migrationFiles()
	list, err := fs.Glob(files, "*.sql")
	if err != nil {
		panic(err) // the pattern is well formed
	}
	for _, name := range list {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			panic(err) // the file is compiled in
		}
		for _, m := range create.FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
	}
	slices.Sort(names)
	return names
}

// collated makes the texts of a table compare by their bytes, as SQLite's do,
// whatever language the database was made for. Lists come in one order then,
// and an index serves LIKE 'x%'.
func collated(ddl string) string {
	return regexp.MustCompile(`\bTEXT\b`).ReplaceAllString(ddl, `TEXT COLLATE "C"`)
}

// collatedFiles are migrations for PostgreSQL.
type collatedFiles struct{ fs.FS }

func (c collatedFiles) Open(name string) (fs.File, error) {
	f, err := c.FS.Open(name)
	if err != nil || path.Ext(name) != ".sql" {
		return f, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	return textFile{bytes.NewReader([]byte(collated(string(text)))), info}, err
}

type textFile struct {
	io.Reader
	info fs.FileInfo
}

func (f textFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (textFile) Close() error                 { return nil }

// postgresObstacle sorts errors by the codes of appendix A of the PostgreSQL
// manual.
func postgresObstacle(err error) obstacle {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case "40001", "40P01", "55P03": // serialization failure, deadlock, lock not available
			return busy
		case "57P01", "57P02", "57P03", "57P05", // shut down, crashed, starting, idle for too long
			"53300", // too many connections
			"25P03": // idle in transaction for too long
			return away
		case "0A000":
			if strings.Contains(e.Message, "cached plan") { // somebody migrated meanwhile
				return busy
			}
		}
		if strings.HasPrefix(e.Code, "08") { // connection exception
			return away
		}
		return none
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return none
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.As(err, &connect) && errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, sql.ErrConnDone) || strings.Contains(err.Error(), "conn closed") {
		return away
	}
	return none
}

// postgresExplain gives errors their kind and their mend.
func (d *DB) postgresExplain(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		if postgresObstacle(err) == away {
			return fmt.Errorf("%s does not answer; is PostgreSQL running there, and does the network lead to it? (%w)", d.name, err)
		}
		var dns *net.DNSError
		if errors.As(err, &dns) {
			return fmt.Errorf("%s: there is no host of this name (%w)", d.name, err)
		}
		return err
	}
	switch {
	case e.Code == "23503": // foreign key
		return fmt.Errorf("%w: a record that this one names does not exist (%w)", solera.ErrNotFound, err)
	case strings.HasPrefix(e.Code, "23"): // other constraints
		return fmt.Errorf("%w: %w", solera.ErrConflict, err)
	case e.Code == "22021": // not in the encoding
		return fmt.Errorf("%w: a text is UTF-8 without zero bytes (%w)", solera.ErrInvalid, err)
	case e.Code == "53100":
		return fmt.Errorf("the disk of %s is full; nothing of this step was stored: %w", d.name, err)
	case e.Code == "53300":
		return fmt.Errorf("%s has no connection left; raise its max_connections, or put a pool before it (%w)", d.name, err)
	case e.Code == "25006":
		return fmt.Errorf("%s cannot be written: it is a standby, or set to read-only; connect to the primary server (%w)", d.name, err)
	case e.Code == "28P01" || e.Code == "28000":
		return fmt.Errorf("%s does not let us in; give the user in the URL, and the password in PGPASSWORD or ~/.pgpass (%w)", d.name, err)
	case e.Code == "3D000":
		return fmt.Errorf("%s does not exist; make it with createdb (%w)", d.name, err)
	case e.Code == "42501":
		return fmt.Errorf("the user may not do that in %s; make the user owner of the database or of a schema given by ?search_path=… (%w)", d.name, err)
	case e.Code == "XX001" || e.Code == "XX002":
		return fmt.Errorf("%w: the database is damaged; restore a backup (%w)", solera.ErrCorrupt, err)
	case postgresObstacle(err) == away:
		return fmt.Errorf("%s does not answer: it is starting, stopping or cut off (%w)", d.name, err)
	}
	return err
}
