package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store"
)

// The test binary is also the other process of the tests that need one.
func TestMain(m *testing.M) {
	if path := os.Getenv("SOLERA_TEST_WRITER"); path != "" {
		writer(path, os.Getenv("SOLERA_TEST_NAME"))
		return
	}
	if path := os.Getenv("SOLERA_TEST_OPEN"); path != "" {
		if s, err := store.OpenSQLite(ctx, path); err == nil {
			s.Close()
		}
		return
	}
	os.Exit(m.Run())
}

// writer writes to the store without end: a run, then in turn points of it
// and versions of an artifact that all writers share. What the store has
// acknowledged it prints, one line each.
func writer(path, name string) {
	fail := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	s, err := open(ctx, path)
	fail(err)
	run := solera.Run{ID: solera.RunID(name), Project: "p", State: solera.Running}
	fail(s.Update(ctx, func(tx solera.Tx) error { return tx.CreateRun(run) }))
	fmt.Println("run", name)
	for i := int64(0); ; i++ {
		batch := make([]solera.Point, 5)
		for j := range batch {
			batch[j] = solera.Point{Key: fmt.Sprint("k", j), Step: i, Value: float64(i)}
		}
		last, err := s.Append(ctx, run.ID, batch)
		fail(err)
		fmt.Println("points", last)
		v := draft("shared", fmt.Sprint(name, i))
		v.Run = run.ID
		var created solera.Version
		fail(s.Update(ctx, func(tx solera.Tx) (err error) {
			if created, err = tx.CreateVersion(v); err != nil {
				return err
			}
			return tx.AddEdge(solera.Edge{Run: run.ID, Version: created.ID(), Kind: solera.Made})
		}))
		fmt.Println("version", created.Number)
	}
}

// acknowledged is what one writer printed.
type acknowledged struct {
	run      bool
	points   int64
	versions []int
	failure  string
}

// startWriter starts another process and returns what kills it and gives what
// it had acknowledged.
func startWriter(t *testing.T, path, name string) (kill func() acknowledged) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "SOLERA_TEST_WRITER="+path, "SOLERA_TEST_NAME="+name)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var got acknowledged
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			word, rest, _ := strings.Cut(lines.Text(), " ")
			n, _ := strconv.Atoi(rest)
			switch word {
			case "run":
				got.run = true
			case "points":
				got.points = int64(n)
			case "version":
				got.versions = append(got.versions, n)
			case "error":
				got.failure = rest
			}
		}
	}()
	return func() acknowledged {
		cmd.Process.Kill()
		<-done
		cmd.Wait()
		return got
	}
}

// check compares the store with what a writer acknowledged: all of that is
// there, at most one step more, and nothing by halves.
func (a acknowledged) check(t *testing.T, s solera.Store, name string) {
	t.Helper()
	if a.failure != "" {
		t.Errorf("%s saw an error: %s", name, a.failure)
	}
	points, cursor, err := s.Since(ctx, solera.RunID(name), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if cursor < a.points || cursor > a.points+5 || cursor%5 != 0 || int64(len(points)) != cursor {
		t.Errorf("%s: %d points up to number %d, acknowledged were %d", name, len(points), cursor, a.points)
	}
	view(t, s, func(tx solera.Tx) error {
		if _, err := tx.Run(solera.RunID(name)); a.run && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		made, err := tx.Edges(solera.EdgeQuery{Run: solera.RunID(name), Kind: solera.Made})
		if err != nil {
			return err
		}
		versions, err := tx.Versions(solera.VersionQuery{Run: solera.RunID(name), Files: true})
		if len(versions) < len(a.versions) || len(versions) > len(a.versions)+1 || len(made) != len(versions) {
			t.Errorf("%s: %d versions, %d edges, acknowledged were %d", name, len(versions), len(made), len(a.versions))
		}
		there := make(map[int]bool)
		for _, v := range versions {
			there[v.Number] = true
			if len(v.Files) != 1 {
				t.Errorf("%s: %s has %d files", name, v.Name(), len(v.Files))
			}
		}
		for _, n := range a.versions {
			if !there[n] {
				t.Errorf("%s: acknowledged version v%d is gone", name, n)
			}
		}
		return err
	})
}

func wholeLine(t *testing.T, s solera.Store) {
	t.Helper()
	view(t, s, func(tx solera.Tx) error {
		list, err := tx.Versions(solera.VersionQuery{Project: "p", Artifact: "shared"})
		for i, v := range list {
			if v.Number != len(list)-1-i {
				t.Errorf("version %d of %d has number %d", len(list)-1-i, len(list), v.Number)
			}
		}
		return err
	})
}

func TestKilledWriterLosesNothingAcknowledged(t *testing.T) {
	rounds, seed := 12, uint64(time.Now().UnixNano())
	if n, err := strconv.Atoi(os.Getenv("SOLERA_CRASH_ROUNDS")); err == nil {
		rounds = n // make test-crash asks for more
	}
	if n, err := strconv.ParseUint(os.Getenv("SOLERA_CRASH_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("SOLERA_CRASH_SEED=%d SOLERA_CRASH_ROUNDS=%d", seed, rounds)
	eachURL(t, func(t *testing.T, url string) { killedWriter(t, url, rounds, seed) })
}

func killedWriter(t *testing.T, url string, rounds int, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	most := 250 // milliseconds
	if strings.HasPrefix(url, "postgres://") {
		most = 600 // getting in takes longer
	}
	total := 0
	for round := range rounds {
		name := fmt.Sprint("r", round)
		kill := startWriter(t, url, name)
		time.Sleep(time.Duration(random.IntN(most)) * time.Millisecond)
		got := kill()
		total += len(got.versions)
		// A store of its own each time: the next command after a crash.
		s, err := open(ctx, url)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		got.check(t, s, name)
		wholeLine(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d versions were acknowledged", total)
}

func TestProcessesShareOneStore(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		processes, length := 3, 1500*time.Millisecond
		if strings.HasPrefix(url, "postgres://") {
			processes, length = 20, 4*time.Second
		}
		var kills []func() acknowledged
		for i := range processes {
			kills = append(kills, startWriter(t, url, fmt.Sprint("w", i))) // the first creates the store, or the second
		}
		time.Sleep(length)
		var all []acknowledged
		for _, kill := range kills {
			all = append(all, kill())
		}
		s := openURL(t, url)
		total := 0
		for i, got := range all {
			got.check(t, s, fmt.Sprint("w", i))
			if len(got.versions) == 0 {
				t.Errorf("w%d came to nothing", i)
			}
			total += len(got.versions)
		}
		wholeLine(t, s)
		t.Logf("%d processes: %d versions were acknowledged", processes, total)
	})
}

func TestManyOpenOneNewStoreAtOnce(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { manyOpen(t, filepath.Join(t.TempDir(), "new folder", "solera.db"), 8) })
	t.Run("postgres", func(t *testing.T) { manyOpen(t, postgres(t), 20) })
}

func manyOpen(t *testing.T, url string, n int) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			s, err := open(ctx, url)
			if err != nil {
				t.Error(err)
				return
			}
			createRun(t, s, solera.Run{ID: solera.RunID(fmt.Sprint("r", i))})
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	view(t, openURL(t, url), func(tx solera.Tx) error {
		runs, err := tx.Runs(solera.RunQuery{})
		if len(runs) != n {
			t.Errorf("%d runs, want %d", len(runs), n)
		}
		return err
	})
}

func TestOpenRefusesWhatIsNoStore(t *testing.T) {
	sqliteFile := func(statements ...string) func(string) error {
		return func(path string) error {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				return err
			}
			defer db.Close()
			for _, s := range statements {
				if _, err := db.Exec(s); err != nil {
					return err
				}
			}
			return nil
		}
	}
	content := func(b []byte) func(string) error {
		return func(path string) error { return os.WriteFile(path, b, 0o666) }
	}
	tests := []struct {
		name string
		make func(path string) error
		kind error
		says string
	}{
		{"text", content([]byte("project: wine\n")), solera.ErrInvalid, "not a Solera store"},
		{"a short file", content([]byte("SQLite")), solera.ErrInvalid, "not a Solera store"},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o777) }, solera.ErrInvalid, "not a file"},
		{"another program's database", sqliteFile("CREATE TABLE t (x)"), solera.ErrInvalid, "another program"},
		{"a newer store", func(path string) error {
			s, err := store.OpenSQLite(ctx, path)
			if err != nil {
				return err
			}
			return errors.Join(s.Close(), sqliteFile("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")(path))
		}, solera.ErrInvalid, "a newer Solera wrote it (schema 9999"},
		{"a head without a body", content(append([]byte("SQLite format 3\x00"), make([]byte, 84)...)), solera.ErrCorrupt, "damaged"},
		{"a truncated store", func(path string) error {
			s, err := store.OpenSQLite(ctx, path)
			if err != nil {
				return err
			}
			return errors.Join(s.Close(), os.Truncate(path, 8192))
		}, solera.ErrCorrupt, "damaged"},
	}
	for _, tt := range tests {
		path := filepath.Join(t.TempDir(), "solera.db")
		if err := tt.make(path); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(path)
		s, err := store.OpenSQLite(ctx, path)
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, tt.kind) || !strings.Contains(fmt.Sprint(err), tt.says) || !strings.Contains(fmt.Sprint(err), path) {
			t.Errorf("%s: got error %v, want %v that says %q and names the file", tt.name, err, tt.kind, tt.says)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s: the file was changed", tt.name)
		}
	}
}

func TestStoreIsReopened(t *testing.T) {
	for _, name := range []string{"solera.db", "with space & ? # %41 ü'.db"} {
		path := filepath.Join(t.TempDir(), name)
		s, err := store.OpenSQLite(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		createRun(t, s, solera.Run{ID: "r", Name: "kept"})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("the store is not where it was asked for: %v", err)
		}
		view(t, openAt(t, path), func(tx solera.Tx) error {
			r, err := tx.Run("r")
			if r.Name != "kept" {
				t.Errorf("%s: run came back as %+v", name, r)
			}
			return err
		})
	}
}

func TestEmptyFileBecomesAStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "solera.db")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	createRun(t, openAt(t, path), solera.Run{ID: "r"})
}

func TestPatienceEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "solera.db")
	a, b := openAt(t, path), openAt(t, path)
	inside, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		update(t, a, func(tx solera.Tx) error {
			close(inside)
			<-leave
			return tx.CreateRun(solera.Run{ID: "first", Project: "p"})
		})
	})
	<-inside
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	err := b.Update(short, func(tx solera.Tx) error { return tx.CreateRun(solera.Run{ID: "hasty", Project: "p"}) })
	wantErr(t, err, context.DeadlineExceeded)
	wg.Go(func() {
		update(t, b, func(tx solera.Tx) error {
			_, err := tx.Run("first") // waited, so it sees the first
			return err
		})
	})
	close(leave)
	wg.Wait()
}

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 10, 100, 500} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			s := openSQLite(b)
			createRun(b, s, solera.Run{ID: "r"})
			batch := make([]solera.Point, size)
			for i := 0; b.Loop(); i++ {
				for j := range batch {
					batch[j] = solera.Point{Key: "val/loss", Step: int64(i*size + j), Value: 1 / float64(i+j+1), Time: solera.Micros(i)}
				}
				if _, err := s.Append(ctx, "r", batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "points/s")
		})
	}
}

// BenchmarkSize says what a point takes in the file.
func BenchmarkSize(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		path := filepath.Join(b.TempDir(), "solera.db")
		s, err := store.OpenSQLite(ctx, path)
		if err != nil {
			b.Fatal(err)
		}
		createRun(b, s, solera.Run{ID: "20261122-195312-k7q2mx"})
		batch := make([]solera.Point, 500)
		for i := range n / len(batch) {
			for j := range batch {
				step := int64(i*len(batch) + j)
				batch[j] = solera.Point{Key: "val/loss", Step: step, Value: 1 / float64(step+1), Time: solera.Micros(1.7e15 + step*1e4)}
			}
			if _, err := s.Append(ctx, "20261122-195312-k7q2mx", batch); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/n, "B/point")
	}
}

func BenchmarkSeries(b *testing.B) {
	s := openSQLite(b)
	createRun(b, s, solera.Run{ID: "r"})
	batch := make([]solera.Point, 100_000)
	for i := range batch {
		batch[i] = solera.Point{Key: "val/loss", Step: int64(i), Value: float64(i)}
	}
	if _, err := s.Append(ctx, "r", batch); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if got, err := s.Series(ctx, solera.SeriesQuery{Run: "r", Key: "val/loss"}); err != nil || len(got) != len(batch) {
			b.Fatal(len(got), err)
		}
	}
	b.ReportMetric(float64(len(batch))*float64(b.N)/b.Elapsed().Seconds(), "points/s")
}

func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "solera.db")
	openAt(b, path)
	for b.Loop() {
		s, err := store.OpenSQLite(ctx, path)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

func BenchmarkCreate(b *testing.B) {
	dir := b.TempDir()
	for i := 0; b.Loop(); i++ {
		s, err := store.OpenSQLite(ctx, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
