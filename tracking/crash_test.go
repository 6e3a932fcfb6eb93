package tracking_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

// The test binary is also the processes that get killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SOLERA_TEST_HOME"); dir != "" {
		worker(dir, os.Getenv("SOLERA_TEST_ROLE"))
		return
	}
	os.Exit(m.Run())
}

func openTracker(dir string) (*tracking.Tracker, error) {
	s, blobs, err := openHome(dir)
	if err != nil {
		return nil, err
	}
	return &tracking.Tracker{Store: s, Blobs: blobs, Project: "wine"}, nil
}

// pointsAtOnce are appended together, so all of them are there or none.
const pointsAtOnce = 7

// worker works without end until it is killed, and says what the store has
// acknowledged, a line for each.
func worker(dir, role string) {
	fail := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	tr, err := openTracker(dir)
	fail(err)
	if role == "sleeper" {
		sleeper(tr, fail)
	}
	if role == "keeper" {
		keeper(dir, tr, fail)
	}
	if role == "reporter" {
		reporter(tr, fail)
	}
	for i := 0; ; i++ {
		r, err := tr.Start(ctx, tracking.RunSpec{Stage: "train", Recipe: recipe(fmt.Sprint(os.Getpid(), i))})
		fail(err)
		for n := 1; n <= 3; n++ {
			for p := range pointsAtOnce {
				fail(r.Record(int64(n), map[string]float64{fmt.Sprint("metric", p): float64(n)}))
			}
			fail(r.Flush(ctx))
			fmt.Println("points", r.ID(), n*pointsAtOnce)
		}
		files := make(map[string]tracking.Source)
		for f := range 3 {
			// Few contents, so that what gc deletes comes again.
			text := fmt.Sprintln("content", rand.IntN(30))
			files[fmt.Sprint("f", f)] = tracking.Writer(func(w io.Writer) error {
				_, err := io.Copy(w, strings.NewReader(strings.Repeat(text, 5000)))
				return err
			})
		}
		v, _, err := r.Commit(ctx, tracking.Draft{Artifact: "model", Type: "model", Files: files, Aliases: []string{"best"}})
		if errors.Is(err, solera.ErrConflict) {
			fail(r.Finish(ctx, err, nil)) // gc was faster, and says so
			continue
		}
		fail(err)
		fail(r.Finish(ctx, nil, nil))
		fmt.Println("version", v.Number)
	}
}

// reported is the run that reporters report to, and reportSource how they call
// what they send.
const (
	reported     = "reported-run"
	reportSource = "history"
)

// reporter stands for a server whose clients send rows once more when an answer
// is lost: some that are stored, and some at once with another process. A row is
// a point, an item and a line of the console, all of them by its number.
func reporter(tr *tracking.Tracker, fail func(error)) {
	_, _, err := tr.Register(ctx, tracking.RegisterSpec{Name: reported, Resume: true})
	fail(err)
	for {
		n, err := tr.Store.Position(ctx, reported, reportSource)
		fail(err)
		from := max(0, n-rand.Int64N(4))
		count := 1 + rand.Int64N(5)
		b := solera.Batch{Run: reported, Source: reportSource, From: from, Count: count, Summary: solera.Fields{"rows": from + count}}
		for row := from; row < from+count; row++ {
			b.Points = append(b.Points, solera.Point{Key: "row", Step: row, Value: float64(row)})
			b.Items = append(b.Items, solera.Item{Key: "text", Step: row, Value: []byte(strconv.FormatInt(row, 10))})
			b.Lines = append(b.Lines, solera.Line{Stream: "out", Text: strconv.FormatInt(row, 10)})
		}
		if _, err := tr.Report(ctx, b); !errors.Is(err, solera.ErrConflict) {
			fail(err)
			fmt.Println("rows", from+count)
		}
	}
}

// keeper deletes versions, collects and makes backups while others commit.
func keeper(dir string, tr *tracking.Tracker, fail func(error)) {
	for {
		switch rand.IntN(4) {
		case 0, 1:
			list, err := tr.Versions(ctx, "model")
			if errors.Is(err, solera.ErrNotFound) || len(list) == 0 {
				time.Sleep(5 * time.Millisecond)
				continue
			}
			fail(err)
			v := list[rand.IntN(len(list))]
			fmt.Println("deleting", v.Number)
			_, err = tr.Delete(ctx, v.Name(), true)
			fail(err)
		case 2:
			// Without a grace to speak of: what keeps contents is the look before
			// each deletion, and that of each commit.
			r, err := tracking.GC(ctx, tr.Store, tr.Blobs, tracking.GCOptions{Delete: true, Grace: time.Millisecond})
			if errors.Is(err, solera.ErrConflict) {
				continue // a backup that was killed
			}
			fail(err)
			if !r.OK {
				fail(fmt.Errorf("gc: %+v", r.Problems))
			}
			fmt.Println("gc", r.Blobs)
		case 3:
			name := filepath.Join(dir, fmt.Sprintf("backup-%d-%d", os.Getpid(), rand.Int()))
			f, err := os.Create(name + ".part")
			fail(err)
			spool, err := os.Create(name + ".spool")
			fail(err)
			r, err := tracking.Backup(ctx, tr.Store, tr.Blobs, f, spool, tracking.BackupOptions{}.WithLease(300*time.Millisecond))
			fail(err)
			if !r.OK {
				fail(fmt.Errorf("backup: %+v", r.Problems))
			}
			fail(errors.Join(f.Sync(), f.Close(), spool.Close(), os.Remove(name+".spool"), os.Rename(name+".part", name)))
			fmt.Println("backup", name)
		}
	}
}

// acknowledged is what the processes of all rounds have said.
type acknowledged struct {
	mu       sync.Mutex
	versions map[int]bool
	deleting map[int]bool         // was asked for, perhaps done
	points   map[solera.RunID]int // of this round's processes
	total    int                  // of points in earlier rounds
	rows     int                  // that reporters have stored
	backups  []string
	gcs      int
	working  chan struct{} // closed when the processes of the round have begun
	failures []string
}

func (a *acknowledged) line(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.working != nil {
		close(a.working)
		a.working = nil
	}
	word, rest, _ := strings.Cut(s, " ")
	n, _ := strconv.Atoi(rest)
	switch word {
	case "version":
		a.versions[n] = true
	case "deleting":
		a.deleting[n] = true
	case "points":
		run, count, _ := strings.Cut(rest, " ")
		a.points[solera.RunID(run)], _ = strconv.Atoi(count)
	case "rows":
		a.rows = max(a.rows, n)
	case "backup":
		a.backups = append(a.backups, rest)
	case "gc":
		a.gcs++
	default:
		a.failures = append(a.failures, s)
	}
}

// start begins a process whose lines a hears, and returns what kills it.
func (a *acknowledged) start(t *testing.T, dir, role string) (kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "SOLERA_TEST_HOME="+dir, "SOLERA_TEST_ROLE="+role)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		lines := bufio.NewReader(out)
		for {
			s, err := lines.ReadString('\n')
			if err != nil {
				return // a line that was cut off acknowledges nothing
			}
			a.line(strings.TrimSuffix(s, "\n"))
		}
	}()
	return func() {
		cmd.Process.Kill()
		<-heard
		cmd.Wait()
	}
}

// Two processes that log points and commit, two that report what others send
// them, and one that deletes, collects and backs up, are killed at random
// moments. make test-crash does that 200 times.
func TestKilledProcessesLoseNothingAcknowledged(t *testing.T) {
	rounds, seed := 4, uint64(time.Now().UnixNano())
	if n, err := strconv.Atoi(os.Getenv("SOLERA_CRASH_ROUNDS")); err == nil {
		rounds = n
	}
	if n, err := strconv.ParseUint(os.Getenv("SOLERA_CRASH_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("SOLERA_CRASH_SEED=%d SOLERA_CRASH_ROUNDS=%d", seed, rounds)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := newHome(t)
	a := &acknowledged{versions: map[int]bool{}, deleting: map[int]bool{}, points: map[solera.RunID]int{}}
	seen, backups := 0, 0
	for round := range rounds {
		var kills []func()
		working := make(chan struct{})
		a.working = working
		for _, role := range []string{"committer", "committer", "keeper", "reporter", "reporter"} {
			kills = append(kills, a.start(t, dir, role))
		}
		if round%4 > 0 { // every fourth time also while they start
			select {
			case <-working:
			case <-time.After(20 * time.Second):
				t.Error("the processes do nothing")
			}
		}
		time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
		random.Shuffle(len(kills), func(i, j int) { kills[i], kills[j] = kills[j], kills[i] })
		for _, kill := range kills {
			kill()
		}
		a.working = nil
		seen = a.check(t, dir, seen, random)
		for ; backups < len(a.backups); backups++ {
			checkArchive(t, a.backups[backups], round%10 == 0)
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	t.Logf("acknowledged: %d versions, %d points, %d rows reported, %d backups, %d collections",
		len(a.versions), a.total, a.rows, len(a.backups), a.gcs)
}

// check looks at the store as the next commands would. Versions below seen were
// read in an earlier round; of these it reads a few again.
func (a *acknowledged) check(t *testing.T, dir string, seen int, random *rand.Rand) int {
	t.Helper()
	for _, failure := range a.failures {
		t.Errorf("a process says: %s", failure)
	}
	tr, err := openTracker(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Store.Close()
	var fsck tracking.FsckReport
	for range 100 {
		fsck, err = tracking.Fsck(ctx, tr.Store, tr.Blobs, tracking.FsckOptions{Repair: true})
		if !errors.Is(err, solera.ErrConflict) {
			break
		}
		time.Sleep(20 * time.Millisecond) // the lease of a backup that was killed
	}
	if err != nil || !fsck.OK {
		t.Errorf("fsck --repair: %+v, %v", fsck, err)
	}
	for run, n := range a.points {
		a.total += n
		points, last, err := tr.Store.Since(ctx, run, 0, 0)
		if err != nil || int(last) < n || len(points)%pointsAtOnce != 0 || len(points) != int(last) {
			t.Errorf("run %s: %d points up to number %d, %d were acknowledged (%v)", run, len(points), last, n, err)
		}
	}
	clear(a.points)
	a.checkReported(t, tr)
	var all []solera.Version
	err = tr.Store.View(ctx, func(tx solera.Tx) (err error) {
		all, err = tx.Versions(solera.VersionQuery{Project: "wine", Deleted: true, Files: true})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(all)
	for n := range a.versions {
		if n >= len(all) {
			t.Errorf("acknowledged version v%d is gone", n)
		}
	}
	again := random.IntN(20) + 1
	newest := -1
	for i, v := range all {
		if v.Number != i || len(v.Files) != 3 {
			t.Errorf("version %d of %d: number %d, %d files", i, len(all), v.Number, len(v.Files))
		}
		if v.Deleted != 0 {
			if !a.deleting[v.Number] {
				t.Errorf("nobody deleted %s", v.Name())
			}
			continue
		}
		newest = i
		if i < seen && i%20 != again {
			continue
		}
		for _, f := range v.Files {
			if _, err := tr.Snapshot(ctx, v).ReadFile(f.Path); err != nil {
				t.Error(err)
			}
		}
		run, err := tr.Run(ctx, v.Run)
		if err != nil || a.versions[v.Number] && run.State != solera.Finished {
			t.Errorf("%s was made by a run that is %s (%v)", v.Name(), run.State, err)
		}
	}
	if newest >= 0 {
		latest, err := tr.Version(ctx, "model:latest")
		if err != nil || latest.Number != newest {
			t.Errorf("latest is v%d, the newest is v%d (%v)", latest.Number, newest, err)
		}
	}
	log, err := tracking.CheckAudit(ctx, tr.Store)
	if err != nil || !log.OK {
		t.Errorf("audit log: %+v, %v", log, err)
	}
	return len(all)
}

// checkReported wants each row that was reported once, all of it, in order.
func (a *acknowledged) checkReported(t *testing.T, tr *tracking.Tracker) {
	t.Helper()
	n, err := tr.Store.Position(ctx, reported, reportSource)
	if err != nil || int(n) < a.rows {
		t.Errorf("%d rows are there, %d were acknowledged (%v)", n, a.rows, err)
	}
	points, err := tr.Store.Series(ctx, solera.SeriesQuery{Run: reported, Key: "row"})
	if err != nil || len(points) != int(n) {
		t.Errorf("of %d rows there are %d points (%v)", n, len(points), err)
	}
	for i, p := range points {
		if p.Step != int64(i) {
			t.Fatalf("row %d at place %d", p.Step, i)
		}
	}
	items, err := tr.Store.Items(ctx, solera.ItemQuery{Run: reported})
	if err != nil || len(items) != int(n) {
		t.Errorf("of %d rows there are %d items (%v)", n, len(items), err)
	}
	lines, err := tr.Console(ctx, reported, 0, 0)
	if err != nil || len(lines) != int(n) {
		t.Errorf("of %d rows there are %d lines (%v)", n, len(lines), err)
	}
	for i, item := range items {
		if item.Step != int64(i) || lines[i].Text != strconv.Itoa(i) {
			t.Fatalf("item of row %d and line %q at place %d", item.Step, lines[i].Text, i)
		}
	}
	if n == 0 {
		return
	}
	run, err := tr.Run(ctx, reported)
	if rows, _ := run.Summary.Float("rows"); err != nil || rows != float64(n) {
		t.Errorf("the summary says %v of %d rows (%v)", rows, n, err)
	}
}

// checkArchive wants a backup that was acknowledged to be good.
func checkArchive(t *testing.T, name string, restore bool) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer os.Remove(name)
	if !restore {
		r, err := tracking.CheckBackup(ctx, f, tracking.BackupOptions{})
		if err != nil || !r.OK {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		return
	}
	to := local(t)
	r, err := tracking.Restore(ctx, to.Store, to.Blobs, f, tracking.BackupOptions{})
	if err != nil || !r.OK {
		t.Errorf("%s: %+v, %v", name, r, err)
	}
	found, err := tracking.Fsck(ctx, to.Store, to.Blobs, tracking.FsckOptions{})
	if err != nil || !found.OK {
		t.Errorf("%s restored: %+v, %v", name, found, err)
	}
}
