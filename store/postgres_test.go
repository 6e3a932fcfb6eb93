package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/internal/clustertest"
	"github.com/solera-ml/solera/store"
)

// changed returns a URL after fn has changed it.
func changed(t testing.TB, address string, fn func(u *url.URL, q url.Values)) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	fn(u, q)
	u.RawQuery = q.Encode()
	return u.String()
}

func schemaOf(t testing.TB, address string) (schema string) {
	changed(t, address, func(_ *url.URL, q url.Values) { schema = q.Get("search_path") })
	return schema
}

func TestPostgresRefusesWhatIsNoStore(t *testing.T) {
	tests := []struct {
		name   string
		make   func(t *testing.T, address string) string // returns what is opened
		kind   error
		says   string
		absent string
	}{
		{"another program's tables", func(t *testing.T, address string) string {
			clustertest.Exec(t, "CREATE TABLE "+schemaOf(t, address)+".runs (x int)")
			return address
		}, solera.ErrInvalid, "tables of another program (runs)", ""},
		{"another program's migrations", func(t *testing.T, address string) string {
			clustertest.Exec(t, "CREATE TABLE "+schemaOf(t, address)+".goose_db_version (x int)")
			return address
		}, solera.ErrInvalid, "tables of another program", ""},
		{"a newer store", func(t *testing.T, address string) string {
			s, err := store.OpenPostgres(ctx, address)
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			clustertest.Exec(t, "INSERT INTO "+schemaOf(t, address)+".goose_db_version (version_id, is_applied) VALUES (9999, true)")
			return address
		}, solera.ErrInvalid, "a newer Solera wrote it (schema 9999", ""},
		{"a schema that is not there", func(t *testing.T, address string) string {
			return changed(t, address, func(_ *url.URL, q url.Values) { q.Set("search_path", "nowhere") })
		}, solera.ErrInvalid, "no schema nowhere", ""},
		{"a database that is not there", func(t *testing.T, address string) string {
			return changed(t, address, func(u *url.URL, _ url.Values) { u.Path = "/nothing" })
		}, nil, "make it with createdb", ""},
		{"a user who may not", func(t *testing.T, address string) string {
			role := schemaOf(t, address) + "_guest"
			clustertest.Exec(t, "CREATE ROLE "+role+" LOGIN PASSWORD 'hidden'")
			t.Cleanup(func() {
				clustertest.Exec(t, "DROP OWNED BY "+role)
				clustertest.Exec(t, "DROP ROLE "+role)
			})
			clustertest.Exec(t, "GRANT USAGE ON SCHEMA "+schemaOf(t, address)+" TO "+role)
			return changed(t, address, func(u *url.URL, _ url.Values) { u.User = url.UserPassword(role, "hidden") })
		}, nil, "the user may not do that", "hidden"},
		{"a parameter that makes no sense", func(t *testing.T, address string) string {
			return changed(t, address, func(u *url.URL, q url.Values) {
				u.User = url.UserPassword("ana", "hidden")
				q.Set("sslmode", "perhaps")
			})
		}, solera.ErrInvalid, "sslmode", "hidden"},
		{"no URL", func(*testing.T, string) string { return "postgres://ana:hid%zzden@db/x" }, solera.ErrInvalid, "want a URL such as", "hid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address := tt.make(t, postgres(t))
			s, err := store.OpenPostgres(ctx, address)
			if err == nil {
				s.Close()
			}
			if err == nil || tt.kind != nil && !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got error %v, want %v that says %q", err, tt.kind, tt.says)
			}
			if err != nil && tt.absent != "" && strings.Contains(err.Error(), tt.absent) {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestWrongPasswordIsSaidWithoutIt(t *testing.T) {
	if os.Getenv("PGPASSWORD") == "" {
		t.Skip("this server asks for no password")
	}
	address := changed(t, postgres(t), func(u *url.URL, _ url.Values) { u.User = url.UserPassword("postgres", "hidden") })
	_, err := store.OpenPostgres(ctx, address)
	if err == nil || !strings.Contains(err.Error(), "PGPASSWORD") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got error %v, want one that names PGPASSWORD and no password", err)
	}
}

func TestNobodyListensIsSaidSoon(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, err = store.OpenPostgres(short, "postgres://ana:hidden@"+address+"/solera")
	if err == nil || !strings.Contains(err.Error(), "postgres://"+address+"/solera") || strings.Contains(err.Error(), "hidden") {
		t.Errorf("got error %v, want one that names the server and database and no password", err)
	}
}

func TestLookingMakesNoStore(t *testing.T) {
	address := postgres(t)
	for range 2 {
		_, err := store.FindPostgres(ctx, address)
		wantErr(t, err, solera.ErrNotFound)
	}
	openURL(t, address)
	s, err := store.FindPostgres(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// Every table of ours is known, so that no other program's is taken for one,
// and compares texts by their bytes.
func TestTablesOfAStore(t *testing.T) {
	address := postgres(t)
	openURL(t, address)
	tables := clustertest.Query(t, "SELECT tablename FROM pg_tables WHERE schemaname = '"+schemaOf(t, address)+"'")
	if len(tables) < 15 {
		t.Errorf("%d tables: %v", len(tables), tables)
	}
	other := postgres(t)
	for _, table := range tables {
		if table == "solera_commits" {
			continue // that is what makes it ours
		}
		name := schemaOf(t, other) + "." + table
		clustertest.Exec(t, "CREATE TABLE "+name+" (x int)")
		if s, err := store.OpenPostgres(ctx, other); err == nil || !strings.Contains(err.Error(), "another program ("+table+")") {
			t.Errorf("a schema with a table %s: got error %v", table, err)
			if err == nil {
				s.Close()
			}
			other = postgres(t)
			continue
		}
		clustertest.Exec(t, "DROP TABLE "+name)
	}
	odd := clustertest.Query(t, `SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		JOIN pg_collation l ON l.oid = a.attcollation
		WHERE c.relnamespace = '`+schemaOf(t, address)+`'::regnamespace AND c.relkind = 'r' AND a.atttypid = 'text'::regtype AND l.collname <> 'C'`)
	if len(odd) > 0 {
		t.Errorf("columns that do not compare by bytes: %v", odd)
	}
}

func TestSchemasOfOneDatabaseDoNotWaitForEachOther(t *testing.T) {
	a, b := openURL(t, postgres(t)), openURL(t, postgres(t))
	update(t, a, func(solera.Tx) error {
		createRun(t, b, solera.Run{ID: "r"})
		return nil
	})
}

func TestReadOnlyDatabaseIsRead(t *testing.T) {
	address := postgres(t)
	createRun(t, openURL(t, address), solera.Run{ID: "r"})
	s := openURL(t, changed(t, address, func(_ *url.URL, q url.Values) { q.Set("default_transaction_read_only", "on") }))
	view(t, s, func(tx solera.Tx) error {
		_, err := tx.Run("r")
		return err
	})
	err := s.Update(ctx, func(tx solera.Tx) error { return tx.CreateRun(solera.Run{ID: "q", Project: "p"}) })
	if err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("got error %v, want one that says it cannot be written", err)
	}
}

// A cutter stands between a store and its database and cuts connections when
// they commit.
type cutter struct {
	listener net.Listener
	server   string
	// onCommit says what becomes of a COMMIT: whether it goes on to the
	// server, and whether the connection is cut.
	onCommit func() (forward, cut bool)
	commits  atomic.Int64
}

func newCutter(t *testing.T, address string, onCommit func() (forward, cut bool)) (c *cutter, through string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c = &cutter{listener: listener, onCommit: onCommit}
	through = changed(t, address, func(u *url.URL, q url.Values) {
		c.server, u.Host = u.Host, listener.Addr().String()
		q.Set("sslmode", "disable")
	})
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go c.serve(client)
		}
	}()
	return c, through
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer server.Close()
	mute := make(chan struct{}) // closed when the server's answers are lost
	go func() {
		defer client.Close()
		buffer := make([]byte, 1<<16)
		for {
			n, err := server.Read(buffer)
			select {
			case <-mute:
				return
			default:
			}
			if n > 0 {
				if _, err := client.Write(buffer[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if bytes.Contains(bytes.ToLower(buffer[:n]), []byte("commit\x00")) {
			c.commits.Add(1)
			forward, cut := c.onCommit()
			if cut {
				close(mute)
			}
			if forward {
				if _, err := server.Write(buffer[:n]); err != nil {
					return
				}
			}
			if cut {
				if forward {
					// The server works on while the client already asks what
					// became of it.
					client.Close()
					time.Sleep(20 * time.Millisecond)
				}
				return
			}
			continue
		}
		if _, err := server.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestLostAnswerToACommitIsSettled(t *testing.T) {
	address := postgres(t)
	direct := openURL(t, address)
	createRun(t, direct, solera.Run{ID: "r"})
	var n atomic.Int64
	c, through := newCutter(t, address, func() (forward, cut bool) {
		switch n.Add(1) % 4 {
		case 1:
			return true, true // done, but the answer is lost
		case 3:
			return false, true // lost before it was done
		}
		return true, false
	})
	s := openURL(t, through)
	const each = 20
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := range each {
				if last, err := s.Append(ctx, "r", []solera.Point{{Key: fmt.Sprint("w", w), Step: int64(i)}}); err != nil {
					t.Errorf("append %d: %d, %v", i, last, err)
				}
			}
		})
	}
	for i := range each {
		var v solera.Version
		err := s.Update(ctx, func(tx solera.Tx) (err error) {
			v, err = tx.CreateVersion(draft("wine", fmt.Sprint(i)))
			return err
		})
		if err != nil || v.Number != i {
			t.Errorf("commit %d: got number %d, %v", i, v.Number, err)
		}
	}
	wg.Wait()
	noGap(t, direct, "wine", each)
	for w := range 2 {
		points, err := direct.Series(ctx, solera.SeriesQuery{Run: "r", Key: fmt.Sprint("w", w)})
		if err != nil || len(points) != each {
			t.Errorf("w%d: %d points, want %d (%v)", w, len(points), each, err)
		}
		for i, p := range points {
			if p.Step != int64(i) {
				t.Errorf("w%d: point %d has step %d", w, i, p.Step)
			}
		}
	}
	t.Logf("%d commits, half of them cut", c.commits.Load())
}

// A context that ends while a commit is under way does not turn what was
// stored into an error.
func TestContextThatEndsInACommitTellsTheTruth(t *testing.T) {
	address := postgres(t)
	direct := openURL(t, address)
	for i, forward := range []bool{true, false, true, false} {
		short, cancel := context.WithCancel(ctx)
		_, through := newCutter(t, address, func() (bool, bool) {
			// It takes long enough for the context to end.
			time.AfterFunc(5*time.Millisecond, cancel)
			time.Sleep(10 * time.Millisecond)
			return forward, !forward
		})
		s := openURL(t, through)
		id := solera.RunID(fmt.Sprint("r", i))
		err := s.Update(short, func(tx solera.Tx) error { return tx.CreateRun(solera.Run{ID: id, Project: "p"}) })
		there := direct.View(ctx, func(tx solera.Tx) error {
			_, err := tx.Run(id)
			return err
		}) == nil
		if there != (err == nil) {
			t.Errorf("forward %v: Update = %v, but the run is there: %v", forward, err, there)
		}
		cancel()
	}
}

// control asks the harness that runs the servers for something, or skips the
// test.
func control(t testing.TB, path string) {
	t.Helper()
	base := os.Getenv("SOLERA_TEST_CONTROL")
	if base == "" {
		t.Skip("SOLERA_TEST_CONTROL is not set: make test-cluster sets it")
	}
	res, err := http.Post(base+path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, res.Status)
	}
}

// PostgreSQL is stopped in three ways while writers are at it. They notice a
// pause, and everything is there once.
func TestDisturbedByRestartsNothingIsLostOrDoneTwice(t *testing.T) {
	address := postgres(t)
	s := openURL(t, address)
	control(t, "/postgres/up")
	createRun(t, s, solera.Run{ID: "r"})
	const writers = 6
	stop := make(chan struct{})
	var wg sync.WaitGroup
	appended := make([]int, writers)
	numbers := make([][]int, writers)
	for w := range writers {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.Append(ctx, "r", []solera.Point{{Key: fmt.Sprint("w", w), Step: int64(i)}}); err != nil {
					t.Errorf("w%d: append %d: %v", w, i, err)
					return
				}
				appended[w]++
				var v solera.Version
				err := s.Update(ctx, func(tx solera.Tx) (err error) {
					v, err = tx.CreateVersion(draft("wine", fmt.Sprint(w, " ", i)))
					return err
				})
				if err != nil {
					t.Errorf("w%d: commit %d: %v", w, i, err)
					return
				}
				numbers[w] = append(numbers[w], v.Number)
			}
		})
	}
	for _, how := range []string{"fast", "immediate", "kill"} {
		time.Sleep(500 * time.Millisecond)
		before := time.Now()
		control(t, "/postgres/"+how)
		t.Logf("%s: away for %v", how, time.Since(before).Round(time.Millisecond))
	}
	time.Sleep(500 * time.Millisecond)
	close(stop)
	wg.Wait()
	all := slices.Concat(numbers...)
	slices.Sort(all)
	for i, n := range all {
		if n != i {
			t.Fatalf("acknowledged version %d of %d has number %d", i, len(all), n)
		}
	}
	noGap(t, s, "wine", len(all))
	for w := range writers {
		points, err := s.Series(ctx, solera.SeriesQuery{Run: "r", Key: fmt.Sprint("w", w)})
		if err != nil || len(points) != appended[w] {
			t.Errorf("w%d: %d points, acknowledged were %d (%v)", w, len(points), appended[w], err)
		}
	}
	t.Logf("%d versions", len(all))
}

// While PostgreSQL is down a caller waits no longer than its context, and is
// told which server is away.
func TestDisturbedByAServerThatIsDown(t *testing.T) {
	address := postgres(t)
	s := openURL(t, address)
	control(t, "/postgres/down")
	defer control(t, "/postgres/up")
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	err := s.Update(short, func(tx solera.Tx) error { return tx.CreateRun(solera.Run{ID: "r", Project: "p"}) })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want context.DeadlineExceeded", err)
	}
	done := make(chan error)
	go func() {
		done <- s.Update(ctx, func(tx solera.Tx) error { return tx.CreateRun(solera.Run{ID: "r", Project: "p"}) })
	}()
	time.Sleep(200 * time.Millisecond)
	control(t, "/postgres/up")
	if err := <-done; err != nil {
		t.Errorf("who waited for the server got %v", err)
	}
}
