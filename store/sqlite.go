package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/solera-ml/solera"
)

// applicationID is written into the head of a store's file, "SLRA" in ASCII,
// so that no other SQLite file is taken for a store.
const applicationID = 0x534c5241

// OpenSQLite opens the store in a SQLite file, which it creates with its
// folder if missing, and brings an older store up to date. A file that is no
// store, and a store of a newer program, are left alone and reported as
// ErrInvalid; a damaged one as ErrCorrupt. One in a folder that cannot be
// written can be read.
func OpenSQLite(ctx context.Context, path string) (*DB, error) {
	d, err := openSQLite(ctx, path)
	if err != nil {
		return nil, &solera.InputError{Op: "open store " + path, File: path, Err: err}
	}
	return d, nil
}

func openSQLite(ctx context.Context, path string) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := checkFile(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	d := &DB{name: path, engine: sqliteEngine(path)}
	// FULL, not NORMAL: in WAL mode NORMAL leaves a commit in the system's
	// cache, and a loss of power would take back what was acknowledged. The
	// cost is one wait for the disk per transaction, which is why points are
	// appended in batches.
	//
	// IMMEDIATE: a transaction that reads before it writes would otherwise
	// find, when it comes to write, that its snapshot is out of date.
	if d.write, err = sql.Open("sqlite", dsn(path, "_pragma", "synchronous(FULL)", "_txlock", "immediate")); err != nil {
		return nil, err
	}
	d.write.SetMaxOpenConns(1)
	if d.read, err = sql.Open("sqlite", dsn(path, "_query_only", "1")); err != nil {
		return nil, errors.Join(err, d.write.Close())
	}
	d.read.SetMaxOpenConns(8)
	d.read.SetMaxIdleConns(8)
	err = d.retry(ctx, func() error { return d.prepare(ctx) })
	if err == nil {
		return d, nil
	}
	err = errors.Join(err, d.Close())
	primary, _ := code(err)
	if info, serr := os.Stat(path); serr != nil || info.Size() == 0 || primary != sqlite3.SQLITE_READONLY && primary != sqlite3.SQLITE_CANTOPEN {
		return nil, err
	}
	return openToRead(ctx, path)
}

// openToRead opens a store in which nothing can be written. SQLite reads a
// write-ahead log with the help of a file that it makes beside it. Where it
// cannot, the store can be read if there is no log and so no writer.
func openToRead(ctx context.Context, path string) (*DB, error) {
	try := func(settings ...string) (*DB, error) {
		db, err := sql.Open("sqlite", dsn(path, append(settings, "_query_only", "1")...))
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(8)
		d := &DB{name: path, read: db, write: db, engine: sqliteEngine(path)}
		d.readOnly = fmt.Errorf("store %s: the database file or its folder cannot be written", path)
		current := false
		err = d.retry(ctx, func() (err error) {
			current, err = d.inspect(ctx)
			return err
		})
		if err == nil && !current {
			err = fmt.Errorf("%w: it has the schema of an older Solera, and cannot be brought up to date because its folder cannot be written; "+
				"copy the folder to where you may write", solera.ErrInvalid)
		}
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
		return d, nil
	}
	d, err := try("mode", "ro")
	if primary, _ := code(err); primary != sqlite3.SQLITE_READONLY && primary != sqlite3.SQLITE_CANTOPEN {
		return d, err
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		return nil, errors.New("its last writer did not end well, or writes still, and its folder cannot be written; open it once where you may write")
	}
	return try("immutable", "1")
}

func sqliteEngine(path string) engine {
	t := newTurnstile(path)
	return engine{
		enter: func(ctx context.Context, _ bool) (func(), error) { return t.enter(ctx) }, batch: prepared, explain: sqliteExplain, obstacle: sqliteObstacle,
		integrity: sqliteIntegrity,
		// The database is a file of this machine: its clock is the machine's.
		now: func(*tx) (int64, error) { return time.Now().UnixMicro(), nil },
	}
}

// dsn names the file and the settings of each connection. busy_timeout is for
// the moments when SQLite itself locks out others (recovery after a crash, the
// last checkpoint): writers wait in the turnstile.
func dsn(path string, settings ...string) string {
	q := url.Values{"_pragma": {"busy_timeout(5000)", "foreign_keys(1)"}}
	for i := 0; i < len(settings); i += 2 {
		q.Add(settings[i], settings[i+1])
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	return u.String()
}

// checkFile refuses what is certainly no SQLite file before SQLite touches it.
// An empty file is a store that was about to be created.
func checkFile(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is not a file", solera.ErrInvalid)
	}
	head := make([]byte, 16)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if n > 0 && string(head[:n]) != "SQLite format 3\x00" {
		return fmt.Errorf("%w: it is not a Solera store; name another file with --store", solera.ErrInvalid)
	}
	return nil
}

// prepare makes sure that the file is a store of our schema.
func (d *DB) prepare(ctx context.Context) error {
	current, err := d.inspect(ctx)
	if err != nil || current {
		return err
	}
	// Creating and migrating is for one process at a time: what one statement
	// does is all or nothing, but two processes could interleave.
	leave, err := d.enter(ctx, true)
	if err != nil {
		return err
	}
	defer leave()
	if current, err = d.inspect(ctx); err != nil || current {
		return err
	}
	// WAL: readers and the writer do not wait for each other. It is a property
	// of the file and stays.
	var mode string
	if err := d.write.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("%w: its file system allows no write-ahead log (mode %s); use a local disk", solera.ErrInvalid, mode)
	}
	if _, err := d.write.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return err
	}
	return migrate(ctx, goose.DialectSQLite3, d.write, migrationFiles(), plain)
}

// inspect reports whether the file is a store of our schema already, and fails
// if it never can be.
func (d *DB) inspect(ctx context.Context) (current bool, err error) {
	var id, tables int64
	// In this order: whoever makes the store writes the identifier before the
	// first table, so tables without it are those of another program.
	if err := d.write.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_master").Scan(&tables); err != nil {
		return false, err
	}
	if tables == 0 {
		return false, nil
	}
	if err := d.write.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return false, err
	}
	if id != applicationID {
		return false, fmt.Errorf("%w: it is the database of another program; name another file with --store", solera.ErrInvalid)
	}
	want, err := newestMigration()
	if err != nil {
		return false, err
	}
	var have sql.NullInt64
	const query = `SELECT MAX(version_id) FROM goose_db_version WHERE is_applied`
	if err := d.write.QueryRowContext(ctx, query).Scan(&have); err != nil {
		return false, err
	}
	if have.Int64 > want {
		return false, newer(have.Int64, want)
	}
	return have.Int64 == want, nil
}

// newer refuses a store whose schema this program does not know.
func newer(have, want int64) error {
	return fmt.Errorf("%w: a newer Solera wrote it (schema %d, this program knows %d); use that one, or newer",
		solera.ErrInvalid, have, want)
}

func migrationFiles() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	return sub
}

// newestMigration returns the number of the schema that this program knows.
func newestMigration() (int64, error) {
	files, err := fs.Glob(migrationFiles(), "*.sql")
	if err != nil {
		return 0, err
	}
	newest, err := goose.NumericComponent(files[len(files)-1]) // Glob sorts
	for _, m := range goMigrations(plain) {
		newest = max(newest, m.Version)
	}
	return newest, err
}

// plain is the text of a migration as it stands.
func plain(statement string) string { return statement }

func migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB, files fs.FS, ddl func(string) string) error {
	provider, err := goose.NewProvider(dialect, db, files, goose.WithGoMigrations(goMigrations(ddl)...))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema up to date: %w", err)
	}
	return nil
}

// code returns the primary and the extended result code of SQLite, or 0.
func code(err error) (primary, extended int) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0, 0
	}
	return e.Code() & 0xff, e.Code()
}

func sqliteObstacle(err error) obstacle {
	if primary, _ := code(err); primary == sqlite3.SQLITE_BUSY || primary == sqlite3.SQLITE_LOCKED {
		return busy
	}
	return none
}

// sqliteExplain gives errors their kind and their mend.
func sqliteExplain(err error) error {
	primary, extended := code(err)
	switch primary {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: the database file is damaged; restore a backup (%w)", solera.ErrCorrupt, err)
	case sqlite3.SQLITE_ERROR:
		// Our statements name what the schema has, so the schema is another.
		if text := err.Error(); strings.Contains(text, "no such ") || strings.Contains(text, "has no column named") {
			return fmt.Errorf("%w: the schema of the database is not that of a store, its file is damaged; restore a backup (%w)", solera.ErrCorrupt, err)
		}
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("the disk is full; nothing of this step was stored: %w", err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("the database file or its folder cannot be written: %w", err)
	case sqlite3.SQLITE_CONSTRAINT:
		switch extended {
		case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
			return fmt.Errorf("%w: a record that this one names does not exist (%w)", solera.ErrNotFound, err)
		default:
			return fmt.Errorf("%w: %w", solera.ErrConflict, err)
		}
	}
	return err
}
