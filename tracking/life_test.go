package tracking_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s did not come about", what)
}

func runOf(t *testing.T, tr *tracking.Tracker, id solera.RunID) solera.Run {
	t.Helper()
	run, err := tr.Run(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// sleeper starts a run, measures and prints something, and sleeps until it is
// killed.
func sleeper(tr *tracking.Tracker, fail func(error)) {
	tr.BeatEvery = 20 * time.Millisecond
	tr.Environment = func(context.Context) tracking.Environment {
		return tracking.Environment{Fields: solera.Fields{"go": "go1.26"}, Files: map[string][]byte{"diff.patch": []byte("a")}}
	}
	r, err := tr.Start(ctx, tracking.RunSpec{Stage: "train"})
	fail(err)
	fail(r.Record(1, map[string]float64{"loss": 0.5}))
	r.Print(tracking.Out, "epoch 1")
	fmt.Println(r.ID())
	time.Sleep(time.Hour)
}

func TestRunOfAKilledProcessCrashes(t *testing.T) {
	dir := newHome(t)
	tr, err := openTracker(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Store.Close()
	tr.Silence = 500 * time.Millisecond
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), "SOLERA_TEST_HOME="+dir, "SOLERA_TEST_ROLE=sleeper")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	id := solera.RunID(strings.TrimSpace(line))
	if err != nil || id.Check() != nil {
		t.Fatalf("the process says %q, %v", line, err)
	}
	started := runOf(t, tr, id)
	// What waits is written at the next beat, without the run's help.
	eventually(t, "a beat", func() bool {
		lines, err := tr.Console(ctx, id, 0, 0)
		return err == nil && len(lines) == 1 && runOf(t, tr, id).Heartbeat > started.Heartbeat
	})
	// So is what it runs on, as nobody will be there to do it at its end.
	eventually(t, "its environment", func() bool { return len(runOf(t, tr, id).Environment) > 0 })
	if err := tr.Store.View(ctx, func(tx solera.Tx) error {
		files, err := tx.RunFiles(id)
		if err == nil && (len(files) != 1 || files[0].Path != "diff.patch") {
			t.Errorf("files %v", files)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if crashed, err := tr.Reap(ctx); err != nil || len(crashed) != 0 {
		t.Errorf("while it lives: %v, %v", crashed, err)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // killed
	eventually(t, "the crash", func() bool {
		crashed, err := tr.Reap(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(crashed, func(r solera.Run) bool { return r.ID == id })
	})
	run := runOf(t, tr, id)
	if run.State != solera.Crashed || run.Finished != run.Heartbeat || !strings.Contains(run.Error, "died") {
		t.Errorf("%+v", run)
	}
	points, _, err := tr.Store.Since(ctx, id, 0, 0)
	if err != nil || len(points) != 1 {
		t.Errorf("%v, %v", points, err)
	}
	if crashed, err := tr.Reap(ctx); err != nil || len(crashed) != 0 {
		t.Errorf("once more: %v, %v", crashed, err)
	}
}

// The first release wrote no heartbeats, and runs of every project are looked
// at.
func TestReapFindsOldRuns(t *testing.T) {
	tr, _ := inMemory(t)
	now := solera.MicrosOf(time.Now())
	old := solera.Run{Name: "old", Project: "other", Stage: "train", State: solera.Running, Created: now - 3_600_000_000, Started: now - 3_600_000_000}
	update(t, tr, func(tx solera.Tx) error {
		for id, change := range map[solera.RunID]func(*solera.Run){
			"old":      func(*solera.Run) {},
			"finished": func(r *solera.Run) { r.State, r.Finished = solera.Finished, r.Started },
			"pending":  func(r *solera.Run) { r.State, r.Started = solera.Pending, 0 },
			"young":    func(r *solera.Run) { r.Started = now },
			"beating":  func(r *solera.Run) { r.Heartbeat = now },
			"silent":   func(r *solera.Run) { r.Heartbeat = now - 61_000_000 },
			"deleted":  func(r *solera.Run) { r.Deleted = now },
		} {
			r := old
			r.ID = id
			change(&r)
			if err := tx.CreateRun(r); err != nil {
				return err
			}
		}
		return nil
	})
	crashed, err := tr.Reap(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range crashed {
		got = append(got, string(r.ID))
		if r.Finished != max(r.Heartbeat, r.Started) {
			t.Errorf("%s finished at %v", r.ID, r.Finished)
		}
	}
	slices.Sort(got)
	if want := []string{"deleted", "old", "silent"}; !slices.Equal(got, want) {
		t.Errorf("crashed: %v, want %v", got, want)
	}
}

// moody is a store that does not answer heartbeats, or anything of a run, for
// some time.
type moody struct {
	solera.Store
	deaf atomic.Bool // to beats
	down atomic.Bool // for points and lines too
}

var errMood = errors.New("not now")

func (m *moody) Beat(ctx context.Context, id solera.RunID) error {
	if m.deaf.Load() || m.down.Load() {
		return errMood
	}
	return m.Store.Beat(ctx, id)
}

func (m *moody) Append(ctx context.Context, id solera.RunID, points []solera.Point) (int64, error) {
	if m.down.Load() {
		return 0, errMood
	}
	return m.Store.Append(ctx, id, points)
}

func (m *moody) Print(ctx context.Context, id solera.RunID, lines []solera.Line) error {
	if m.down.Load() {
		return errMood
	}
	return m.Store.Print(ctx, id, lines)
}

// A laptop sleeps: others take the run for dead, and it wakes up.
func TestRunThatWasTakenForDeadComesBack(t *testing.T) {
	tr, _ := inMemory(t)
	m := &moody{Store: tr.Store}
	tr.Store, tr.BeatEvery, tr.Silence = m, 10*time.Millisecond, 100*time.Millisecond
	r := start(t, tr, "train")
	m.deaf.Store(true)
	eventually(t, "the crash", func() bool {
		crashed, err := tr.Reap(ctx)
		return err == nil && len(crashed) == 1
	})
	m.deaf.Store(false)
	eventually(t, "the return", func() bool { return runOf(t, tr, r.ID()).State == solera.Running })
	if run := runOf(t, tr, r.ID()); run.Error != "" || run.Finished != 0 {
		t.Errorf("%+v", run)
	}
	m.deaf.Store(true)
	eventually(t, "the second crash", func() bool {
		crashed, err := tr.Reap(ctx)
		return err == nil && len(crashed) == 1
	})
	if _, isNew := commit(t, r, "model", "x"); !isNew {
		t.Error("it cannot commit")
	}
	finish(t, r)
	if run := runOf(t, tr, r.ID()); run.State != solera.Finished || run.Error != "" || run.Finished < run.Started {
		t.Errorf("%+v", run)
	}
}

func TestStoreThatIsDownKillsNoRun(t *testing.T) {
	tr, _ := inMemory(t)
	m := &moody{Store: tr.Store}
	tr.Store, tr.BeatEvery = m, 5*time.Millisecond
	r := start(t, tr, "train")
	m.down.Store(true)
	for range 3 {
		r.Print(tracking.Out, "said while it was down")
	}
	if err := r.Flush(ctx); !errors.Is(err, errMood) {
		t.Errorf("Flush: %v", err)
	}
	time.Sleep(30 * time.Millisecond)
	m.down.Store(false)
	// Nobody calls Flush: the next beat does.
	eventually(t, "the lines", func() bool {
		lines, err := tr.Console(ctx, r.ID(), 0, 0)
		return err == nil && len(lines) == 3
	})
	finish(t, r)
	beat := runOf(t, tr, r.ID()).Heartbeat
	time.Sleep(30 * time.Millisecond)
	if after := runOf(t, tr, r.ID()).Heartbeat; after != beat {
		t.Errorf("a finished run beats on: %v, %v", beat, after)
	}
}

func TestConsole(t *testing.T) {
	tr, _ := inMemory(t)
	r := start(t, tr, "load")
	r.Print(tracking.Out, "one\ntwo\r\n")
	r.Print(tracking.Err, "warning: \x00\xff "+strings.Repeat("é", 40_000))
	var printing sync.WaitGroup
	for range 4 {
		printing.Go(func() {
			for range 3000 {
				r.Print(tracking.Out, "x")
			}
		})
	}
	printing.Wait()
	if err := r.Finish(ctx, errors.New("the disk is full"), nil); err != nil {
		t.Fatal(err)
	}
	lines, err := tr.Console(ctx, r.ID(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 10_000 || lines[0].Text != "one" || lines[1].Text != "two" || lines[2].Stream != tracking.Err || len(lines[2].Text) > 64<<10 {
		t.Errorf("%d lines: %.200v", len(lines), lines[:3])
	}
	if last := lines[len(lines)-1]; last.N != 10_000 || !strings.Contains(last.Text, "more lines") {
		t.Errorf("the last line: %+v", last)
	}
	if some, err := tr.Console(ctx, r.ID(), 1, 1); err != nil || len(some) != 1 || some[0].N != 2 {
		t.Errorf("a part: %v, %v", some, err)
	}
	short := start(t, tr, "load")
	if err := short.Finish(ctx, errors.New("the disk is full"), nil); err != nil {
		t.Fatal(err)
	}
	lines, err = tr.Console(ctx, short.ID(), 0, 0)
	if err != nil || len(lines) != 1 || lines[0].Text != "the disk is full" || lines[0].Stream != tracking.Err {
		t.Errorf("what went wrong: %v, %v", lines, err)
	}
}

func TestEnvironmentIsInTheRecordBeforeAVersionIsSigned(t *testing.T) {
	tr, _ := inMemory(t)
	release := make(chan struct{})
	var asked atomic.Int32
	tr.Environment = func(context.Context) tracking.Environment {
		asked.Add(1)
		<-release
		return tracking.Environment{
			Fields: solera.Fields{"go": "go1.26", "kernel": "generic", "git": solera.Fields{"commit": "abc"}},
			Files:  map[string][]byte{"diff.patch": []byte("- a\n+ b\n")},
		}
	}
	var signed solera.Run
	tr.Sign = func(run solera.Run, _ solera.Version, _ []solera.Version) ([]byte, error) {
		signed = run
		return []byte("envelope"), nil
	}
	tr.Key = solera.SigningKey{ID: strings.Repeat("0", 64), Public: "pem"}
	spec := tracking.RunSpec{Stage: "train", Group: "folds", Recipe: recipe("x"), Environment: solera.Fields{"kernel": "avx2"}}
	r, err := tr.Start(ctx, spec)
	if err != nil {
		t.Fatal(err) // it does not wait
	}
	close(release)
	commit(t, r, "model", "x")
	want := `{"git":{"commit":"abc"},"go":"go1.26","kernel":"avx2"}`
	if got, err := signed.Environment.MarshalJSON(); err != nil || string(got) != want {
		t.Errorf("signed with %s, %v", got, err)
	}
	finish(t, r)
	check := func(id solera.RunID) {
		t.Helper()
		run := runOf(t, tr, id)
		if got, err := run.Environment.MarshalJSON(); err != nil || string(got) != want || run.Group != "folds" {
			t.Errorf("recorded: %s of group %q, %v", got, run.Group, err)
		}
		err := tr.Store.View(ctx, func(tx solera.Tx) error {
			files, err := tx.RunFiles(id)
			if err == nil && (len(files) != 1 || files[0].Path != "diff.patch" || files[0].Digest != solera.DigestOf([]byte("- a\n+ b\n"))) {
				t.Errorf("files: %v", files)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	check(r.ID())

	// A run that takes everything from the store was started somewhere, too.
	other := start(t, tr, "other")
	commit(t, other, "model", "y")
	finish(t, other)
	hit, err := tr.Reuse(ctx, spec)
	if err != nil || hit == nil || hit.Run.ReuseOf != r.ID() {
		t.Fatalf("%+v, %v", hit, err)
	}
	check(hit.Run.ID)
	// Nothing is looked for where nothing is stored.
	before := asked.Load()
	if hit, err := tr.Reuse(ctx, spec); err != nil || hit == nil || asked.Load() != before {
		t.Errorf("%+v, %v, asked %d times", hit, err, asked.Load()-before)
	}
}

func TestLoadOfTheMachineIsRecorded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two seconds")
	}
	t.Parallel()
	tr, _ := inMemory(t)
	tr.BeatEvery = 50 * time.Millisecond
	var made atomic.Int32
	tr.Sampler = func() func(context.Context) map[string]float64 {
		made.Add(1)
		calls := 0
		return func(context.Context) map[string]float64 {
			calls++
			if calls == 1 {
				return nil
			}
			return map[string]float64{"system/cpu_percent": 50, "system/memory_bytes": 1e9}
		}
	}
	quick := start(t, tr, "load")
	finish(t, quick)
	if made.Load() != 0 {
		t.Error("a quick run pays for it")
	}
	r := start(t, tr, "train")
	var points []solera.Point
	eventually(t, "a sample", func() bool {
		var err error
		points, _, err = tr.Store.Since(ctx, r.ID(), 0, 0)
		return err == nil && len(points) > 0
	})
	finish(t, r)
	if len(points) != 2 || points[0].Key != "system/cpu_percent" || points[0].Value != 50 || points[0].Step < 2 || points[0].Step > 20 || math.IsNaN(points[1].Value) {
		t.Errorf("%+v", points)
	}
}
