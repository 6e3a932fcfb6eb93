package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/internal/clustertest"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/sweep"
)

// A bench is sweeps over a store, and a clock that tests move.
type bench struct {
	*sweep.Sweeps
	t   *testing.T
	mu  sync.Mutex
	now time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	var db *store.DB
	var err error
	if server := clustertest.Postgres(t); server != "" {
		db, err = store.OpenPostgres(t.Context(), server)
	} else {
		db, err = store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "solera.db"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{t: t, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	b.Sweeps = &sweep.Sweeps{Store: db, Clock: func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.now
	}}
	return b
}

func (b *bench) wait(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

type tree = map[string]any

func (b *bench) create(config tree) sweep.Sweep {
	b.t.Helper()
	s, _, err := b.Create(b.t.Context(), sweep.Draft{Project: "p", Config: config})
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func (b *bench) join(id string) string {
	b.t.Helper()
	a, err := b.Join(b.t.Context(), id, "host")
	if err != nil {
		b.t.Fatal(err)
	}
	return a.ID
}

// beat returns the commands as "run", "stop ID" and the like, and the run that
// was handed out.
func (b *bench) beat(agent string, alive ...solera.RunID) (string, sweep.Command) {
	b.t.Helper()
	commands, err := b.Beat(b.t.Context(), agent, alive)
	if err != nil {
		b.t.Fatal(err)
	}
	var words []string
	var run sweep.Command
	for _, c := range commands {
		if c.Type == "run" {
			run = c
			words = append(words, "run")
			continue
		}
		words = append(words, strings.TrimSpace(c.Type+" "+string(c.Run)))
	}
	return strings.Join(words, ", "), run
}

// set brings the run of a trial into a state, with values of the metric "loss".
func (b *bench) set(id solera.RunID, state solera.RunState, losses ...float64) {
	b.t.Helper()
	ctx := b.t.Context()
	err := b.Store.Update(ctx, func(tx solera.Tx) error {
		run, err := tx.Run(id)
		if err != nil {
			return err
		}
		run.State = state
		run.Started = solera.MicrosOf(b.now)
		if state.Ended() {
			run.Finished = solera.MicrosOf(b.now)
		}
		return tx.UpdateRun(run)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.record(id, losses...)
}

func (b *bench) record(id solera.RunID, losses ...float64) {
	b.t.Helper()
	var points []solera.Point
	for i, x := range losses {
		points = append(points, solera.Point{Key: "loss", Step: int64(i), Value: x, Time: solera.MicrosOf(b.now)})
	}
	if len(points) == 0 {
		return
	}
	if _, err := b.Store.Append(b.t.Context(), id, points); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) run(id solera.RunID) (run solera.Run) {
	b.t.Helper()
	err := b.Store.View(b.t.Context(), func(tx solera.Tx) (err error) {
		run, err = tx.Run(id)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return run
}

func (b *bench) get(id string) sweep.Sweep {
	b.t.Helper()
	s, err := b.Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func grid(values ...any) tree {
	return tree{"method": "grid", "metric": tree{"name": "loss", "goal": "minimize"}, "parameters": tree{"a": tree{"values": values}, "b": tree{"value": "fixed"}}}
}

func TestAGridIsTriedOnceAndEnds(t *testing.T) {
	b := newBench(t)
	s := b.create(grid(1, 2, 3))
	if s.State != sweep.Pending || s.Expected != 3 || len(s.ID) != 8 {
		t.Errorf("made %+v", s)
	}
	agent := b.join(s.ID)
	for i, loss := range []float64{3, 1, 2} {
		word, c := b.beat(agent)
		if a, _ := c.Params.Float("a"); word != "run" || a != float64(i+1) || c.Params["b"] != "fixed" {
			t.Fatalf("trial %d: %s %v", i+1, word, c.Params)
		}
		if run := b.run(c.Run); run.State != solera.Pending || run.Sweep != s.ID || run.Project != "p" || run.Name != fmt.Sprintf("%s-%d", s.ID, i+1) {
			t.Errorf("its run is %+v", run)
		}
		if word, _ := b.beat(agent, c.Run); word != "" {
			t.Errorf("while it runs the agent is told %q", word)
		}
		b.set(c.Run, solera.Running, loss+1, loss, math.NaN(), math.Inf(-1))
		b.set(c.Run, solera.Finished)
		if got := b.get(s.ID); got.Best == nil || got.Best.Value != []float64{3, 1, 1}[i] || got.State != sweep.Running {
			t.Errorf("after trial %d: %v %+v", i+1, got.State, got.Best)
		}
	}
	if word, _ := b.beat(agent); word != "exit" {
		t.Errorf("after the last: %q", word)
	}
	got := b.get(s.ID)
	if got.State != sweep.Finished || got.Best.Trial != 2 || got.Reason != "there is nothing more to try" || len(got.Open) != 0 {
		t.Errorf("in the end: %+v", got)
	}
	_, trials, runs, err := b.Trials(t.Context(), s.ID)
	if err != nil || len(trials) != 3 || len(runs) != 3 || *trials[0].Values != (sweep.Values{Count: 2, Best: 3, Worst: 4, Last: 3}) {
		t.Errorf("trials %+v, %v", trials, err)
	}
}

// Many agents that ask at the same moment share a grid without a double and
// without a gap.
func TestManyAgentsShareAGrid(t *testing.T) {
	b := newBench(t)
	s := b.create(tree{"method": "grid", "parameters": tree{"a": tree{"min": 1, "max": 8}, "b": tree{"values": []any{"x", "y", "z"}}}})
	var mu sync.Mutex
	seen := map[string]int{}
	var group sync.WaitGroup
	for range 6 {
		agent := b.join(s.ID)
		group.Go(func() {
			for {
				commands, err := b.Beat(context.WithoutCancel(t.Context()), agent, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if len(commands) == 0 {
					continue
				}
				if commands[0].Type == "exit" {
					return
				}
				c := commands[0]
				raw, _ := c.Params.MarshalJSON()
				mu.Lock()
				seen[string(raw)]++
				mu.Unlock()
				b.set(c.Run, solera.Running)
				b.set(c.Run, solera.Finished)
			}
		})
	}
	group.Wait()
	if len(seen) != 24 || slices.ContainsFunc(slices.Collect(maps.Values(seen)), func(n int) bool { return n != 1 }) {
		t.Errorf("%d combinations: %v", len(seen), seen)
	}
	if got := b.get(s.ID); got.State != sweep.Finished || got.Trials != 24 {
		t.Errorf("ended as %+v", got)
	}
}

func TestAnAnswerThatWasLostIsGivenAgain(t *testing.T) {
	b := newBench(t)
	s := b.create(grid(1, 2))
	agent := b.join(s.ID)
	_, first := b.beat(agent)
	if word, again := b.beat(agent); word != "run" || again.Run != first.Run {
		t.Errorf("asked again: %s %v, first was %v", word, again, first)
	}
	// An agent that asks a third time has a program that dies at once.
	_, _ = b.beat(agent)
	word, next := b.beat(agent)
	if a, _ := next.Params.Float("a"); word != "run" || a != 2 {
		t.Errorf("then: %s %v", word, next)
	}
	if run := b.run(first.Run); run.State != solera.Failed || !strings.Contains(run.Error, "3 times and never started") {
		t.Errorf("the first ended as %s: %s", run.State, run.Error)
	}
}

func TestAProcessThatDiesBeforeItReports(t *testing.T) {
	b := newBench(t)
	s := b.create(grid(1, 2))
	agent := b.join(s.ID)
	_, first := b.beat(agent)
	b.beat(agent, first.Run)
	word, next := b.beat(agent)
	if word != "run" || next.Run == first.Run {
		t.Errorf("got %s %v", word, next)
	}
	if run := b.run(first.Run); run.State != solera.Failed || !strings.Contains(run.Error, "ended before it reported") {
		t.Errorf("the first ended as %s: %s", run.State, run.Error)
	}
}

// A trial whose agent is gone before it started goes to another agent, under
// another run. The last one waits for it.
func TestATrialThatIsNeverStartedComesBack(t *testing.T) {
	b := newBench(t)
	s := b.create(grid(1))
	lost, other := b.join(s.ID), b.join(s.ID)
	_, first := b.beat(lost)
	if word, _ := b.beat(other); word != "" {
		t.Errorf("the other agent is told %q, though the trial may come back", word)
	}
	b.wait(4 * time.Minute)
	if word, _ := b.beat(other); word != "" {
		t.Errorf("after 4 minutes: %q", word)
	}
	b.wait(2 * time.Minute)
	word, again := b.beat(other)
	if a, _ := again.Params.Float("a"); word != "run" || a != 1 || again.Run == first.Run {
		t.Fatalf("after 6 minutes: %s %v", word, again)
	}
	if run := b.run(first.Run); run.State != solera.Failed || !strings.Contains(run.Error, "another agent gets its params") {
		t.Errorf("the run that never started: %s, %s", run.State, run.Error)
	}
	b.set(again.Run, solera.Finished, 5)
	b.beat(other)
	if got := b.get(s.ID); got.State != sweep.Finished || got.Trials != 1 || got.Best.Run != again.Run {
		t.Errorf("ended as %+v", got)
	}
}

// A program that reads its data for an hour before it reports is left alone as
// long as its agent says that it lives.
func TestASlowStartIsLeftAlone(t *testing.T) {
	b := newBench(t)
	s := b.create(grid(1))
	agent, other := b.join(s.ID), b.join(s.ID)
	_, c := b.beat(agent)
	for range 60 {
		b.wait(time.Minute)
		if word, _ := b.beat(agent, c.Run); word != "" {
			t.Fatalf("told %q", word)
		}
		if word, _ := b.beat(other); word != "" {
			t.Fatalf("the other agent is told %q", word)
		}
	}
	if run := b.run(c.Run); run.State != solera.Pending {
		t.Errorf("the run is %s", run.State)
	}
}

func TestPauseResumeStopAndCancel(t *testing.T) {
	b := newBench(t)
	s := b.create(grid(1, 2, 3, 4))
	change := func(state sweep.State) error {
		_, _, err := b.Change(t.Context(), s.ID, sweep.Change{State: &state})
		return err
	}
	agent := b.join(s.ID)
	_, c := b.beat(agent)
	b.set(c.Run, solera.Running)
	if err := change(sweep.Paused); err != nil {
		t.Fatal(err)
	}
	if word, _ := b.beat(agent, c.Run); word != "" {
		t.Errorf("paused, with a run: %q", word)
	}
	b.set(c.Run, solera.Finished)
	if word, _ := b.beat(agent); word != "" {
		t.Errorf("paused: %q", word)
	}
	if err := change(sweep.Running); err != nil {
		t.Fatal(err)
	}
	word, c := b.beat(agent)
	if word != "run" {
		t.Fatalf("resumed: %q", word)
	}
	b.set(c.Run, solera.Running)
	if err := change(sweep.Finished); err != nil {
		t.Fatal(err)
	}
	if word, _ := b.beat(agent, c.Run); word != "" || b.run(c.Run).Stopping != 0 {
		t.Errorf("stopped, with a run that may end by itself: %q", word)
	}
	b.set(c.Run, solera.Finished, 7)
	if word, _ := b.beat(agent); word != "exit" {
		t.Errorf("stopped: %q", word)
	}
	if err := change(sweep.Running); !errors.Is(err, solera.ErrConflict) || !strings.Contains(err.Error(), "it is FINISHED for good") {
		t.Errorf("resumed after its end: %v", err)
	}
	if err := change(sweep.Finished); err != nil {
		t.Errorf("stopped twice: %v", err)
	}

	s = b.create(grid(1, 2, 3))
	agent, other := b.join(s.ID), b.join(s.ID)
	_, c = b.beat(agent)
	_, d := b.beat(other)
	b.set(c.Run, solera.Running)
	if err := change(sweep.Canceled); err != nil {
		t.Fatal(err)
	}
	if b.run(c.Run).Stopping == 0 || b.run(d.Run).State != solera.Killed {
		t.Errorf("cancelled: %+v and %+v", b.run(c.Run), b.run(d.Run))
	}
	if word, _ := b.beat(agent, c.Run); word != "exit" {
		t.Errorf("cancelled, with a run: %q", word)
	}
	if err := change("ASLEEP"); !errors.Is(err, solera.ErrConflict) {
		t.Errorf("an unknown state: %v", err)
	}
	s = b.create(grid(1))
	if err := change("ASLEEP"); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("an unknown state: %v", err)
	}
}

func TestRunCapAndTarget(t *testing.T) {
	b := newBench(t)
	s := b.create(tree{"method": "random", "run_cap": 2, "parameters": tree{"x": tree{"min": 0.0, "max": 1.0}}})
	agent := b.join(s.ID)
	for range 2 {
		_, c := b.beat(agent)
		b.set(c.Run, solera.Finished)
	}
	if word, _ := b.beat(agent); word != "exit" {
		t.Errorf("after the cap: %q", word)
	}

	s = b.create(tree{"method": "random", "metric": tree{"name": "loss", "target": 0.5}, "parameters": tree{"x": tree{"min": 0.0, "max": 1.0}}})
	agent = b.join(s.ID)
	_, c := b.beat(agent)
	b.set(c.Run, solera.Running, 3, 0.7)
	if word, _ := b.beat(agent, c.Run); word != "" || b.get(s.ID).State != sweep.Running {
		t.Errorf("above the target: %q", word)
	}
	b.record(c.Run, 0.5)
	b.beat(agent, c.Run)
	if got := b.get(s.ID); got.State != sweep.Finished || !strings.Contains(got.Reason, "trial 1 reached the target: loss is 0.5") {
		t.Errorf("at the target: %s, %s", got.State, got.Reason)
	}
}

// The same seed and the same results give the same trials, in another store
// and with other identifiers.
func TestTrialsFollowFromTheSeed(t *testing.T) {
	for _, method := range []string{"random", "bayes"} {
		var first []string
		for range 2 {
			b := newBench(t)
			s := b.create(tree{"method": method, "seed": 7, "metric": tree{"name": "loss"}, "parameters": tree{
				"lr": tree{"distribution": "log_uniform_values", "min": 1e-5, "max": 0.1}, "n": tree{"min": 1, "max": 64}, "c": tree{"values": []any{"a", "b"}},
			}})
			agent := b.join(s.ID)
			var got []string
			for range 6 {
				_, c := b.beat(agent)
				raw, _ := c.Params.MarshalJSON()
				got = append(got, string(raw))
				lr, _ := c.Params.Float("lr")
				b.set(c.Run, solera.Running, math.Abs(math.Log10(lr)+3))
				b.set(c.Run, solera.Finished)
			}
			if first == nil {
				first = got
			}
			if !slices.Equal(first, got) || len(slices.Compact(slices.Clone(got))) != 6 {
				t.Errorf("%s: %v, and then %v", method, first, got)
			}
		}
	}
}

func TestHyperbandStopsABadTrial(t *testing.T) {
	b := newBench(t)
	s := b.create(tree{
		"method": "grid", "metric": tree{"name": "loss"}, "early_terminate": tree{"type": "hyperband", "min_iter": 2, "eta": 2},
		"parameters": tree{"a": tree{"values": []any{1, 2, 3}}},
	})
	agent, other := b.join(s.ID), b.join(s.ID)
	_, good := b.beat(agent)
	b.set(good.Run, solera.Running, 5, 1, 0.5)
	b.set(good.Run, solera.Finished)
	_, bad := b.beat(agent)
	b.set(bad.Run, solera.Running, 9)
	if word, _ := b.beat(agent, bad.Run); word != "" {
		t.Errorf("before the first band: %q", word)
	}
	b.record(bad.Run, 8.5)
	// NaN is no value: the trial is no older for it.
	_, third := b.beat(other)
	b.set(third.Run, solera.Running, math.NaN(), math.NaN(), 0.1)
	if word, _ := b.beat(other, third.Run); word != "" {
		t.Errorf("a trial with one finite value: %q", word)
	}
	b.record(third.Run, 0.2)
	b.beat(other, third.Run)
	if word, _ := b.beat(agent, bad.Run); word != "stop "+string(bad.Run) {
		t.Errorf("worse than the others: %q", word)
	}
	if word, _ := b.beat(agent, bad.Run); word != "stop "+string(bad.Run) {
		t.Errorf("told once more while it lives: %q", word)
	}
	if run := b.run(bad.Run); run.Stopping == 0 {
		t.Error("the run is not asked to stop")
	}
	// The agent has killed the process before it could say anything.
	word, _ := b.beat(agent)
	if run := b.run(bad.Run); run.State != solera.Killed || !strings.Contains(run.Error, "hyperband") {
		t.Errorf("the run is %s: %s", run.State, run.Error)
	}
	_, trials, _, err := b.Trials(t.Context(), s.ID)
	if err != nil || word != "" && word != "exit" || !strings.Contains(trials[1].Stop, "hyperband: after 2 values of loss it is worse than") || trials[1].Values.Best != 8.5 {
		t.Errorf("%s, %+v, %v", word, trials[1], err)
	}
}

// A user who stops one run stops its process, and the agent goes on.
func TestARunThatAUserStops(t *testing.T) {
	b := newBench(t)
	s := b.create(grid(1, 2))
	agent := b.join(s.ID)
	_, c := b.beat(agent)
	b.set(c.Run, solera.Running)
	err := b.Store.Update(t.Context(), func(tx solera.Tx) error {
		run, err := tx.Run(c.Run)
		run.Stopping = solera.MicrosOf(b.now)
		return errors.Join(err, tx.UpdateRun(run))
	})
	if err != nil {
		t.Fatal(err)
	}
	if word, _ := b.beat(agent, c.Run); word != "stop "+string(c.Run) {
		t.Errorf("told %q", word)
	}
	b.set(c.Run, solera.Killed)
	if word, _ := b.beat(agent); word != "run" {
		t.Errorf("then %q", word)
	}
}

func TestRunsThatWereThereBefore(t *testing.T) {
	b := newBench(t)
	for id, a := range map[solera.RunID]int{"old1": 2, "old2": 9, "old3": 4} {
		err := b.Store.Update(t.Context(), func(tx solera.Tx) error {
			return tx.CreateRun(solera.Run{ID: id, Name: string(id), Project: "p", State: solera.Finished, Finished: 7, Params: solera.Fields{"a": a, "other": true}, Summary: solera.Fields{"loss": 0.25}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s, _, err := b.Create(t.Context(), sweep.Draft{Project: "p", Config: grid(1, 2, 3), Runs: []solera.RunID{"old1", "old2"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Change(t.Context(), s.ID, sweep.Change{Runs: []solera.RunID{"old2", "old3"}}); err != nil {
		t.Fatal(err)
	}
	if got := b.get(s.ID); got.Trials != 3 || got.Adopted != 3 || got.Best == nil || got.Best.Value != 0.25 {
		t.Errorf("adopted: %+v", got)
	}
	agent := b.join(s.ID)
	var tried []float64
	for {
		word, c := b.beat(agent)
		if word != "run" {
			break
		}
		a, _ := c.Params.Float("a")
		tried = append(tried, a)
		b.set(c.Run, solera.Finished)
	}
	if !slices.Equal(tried, []float64{1, 3}) {
		t.Errorf("tried %v, though 2 was there before", tried)
	}
	if _, _, err := b.Create(t.Context(), sweep.Draft{Project: "p", Config: grid(1), Runs: []solera.RunID{"nobody"}}); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("a run that is not there: %v", err)
	}
}

// A run that joins a sweep by itself, and one that comes back after its end, are
// seen.
func TestRunsThatJoinAndComeBack(t *testing.T) {
	b := newBench(t)
	s := b.create(grid(1, 2))
	err := b.Store.Update(t.Context(), func(tx solera.Tx) error {
		return tx.CreateRun(solera.Run{ID: "guest", Name: "guest", Project: "p", State: solera.Running, Sweep: s.ID, Params: solera.Fields{"a": 1}, Summary: solera.Fields{"loss": 2}})
	})
	if err != nil {
		t.Fatal(err)
	}
	got, trials, _, err := b.Trials(t.Context(), s.ID)
	if err != nil || len(trials) != 1 || trials[0].Source != sweep.Adopted || trials[0].Values.Best != 2 || got.Best.Value != 2 {
		t.Fatalf("%+v, %+v, %v", got, trials, err)
	}
	b.set("guest", solera.Crashed)
	_, trials, _, _ = b.Trials(t.Context(), s.ID)
	if trials[0].State != solera.Crashed || trials[0].Ended == 0 {
		t.Errorf("crashed: %+v", trials[0])
	}
	b.set("guest", solera.Running, 1.5)
	_, trials, _, _ = b.Trials(t.Context(), s.ID)
	if trials[0].State != solera.Running || trials[0].Ended != 0 {
		t.Errorf("back: %+v", trials[0])
	}
	b.wait(time.Minute)
	b.set("guest", solera.Finished)
	got, trials, _, _ = b.Trials(t.Context(), s.ID)
	if trials[0].State != solera.Finished || got.Best.Value != 1.5 {
		t.Errorf("finished: %+v %+v", trials[0], got.Best)
	}
	word, c := b.beat(b.join(s.ID))
	if a, _ := c.Params.Float("a"); word != "run" || a != 2 {
		t.Errorf("the guest had been at a = 1, and the next is %s %v", word, c.Params)
	}
}

func TestDeletedThings(t *testing.T) {
	b := newBench(t)
	s := b.create(grid(1, 2))
	agent := b.join(s.ID)
	_, c := b.beat(agent)
	b.set(c.Run, solera.Running)
	err := b.Store.Update(t.Context(), func(tx solera.Tx) error {
		run, err := tx.Run(c.Run)
		run.Deleted = 5
		return errors.Join(err, tx.UpdateRun(run))
	})
	if err != nil {
		t.Fatal(err)
	}
	word, d := b.beat(agent)
	if word != "run" || len(b.get(s.ID).Open) != 1 {
		t.Errorf("its run deleted: %s, %+v", word, b.get(s.ID))
	}
	if err := b.Delete(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if run := b.run(d.Run); run.State != solera.Killed || run.Error != "the sweep was deleted" {
		t.Errorf("a trial that nobody had begun is %s: %s", run.State, run.Error)
	}
	if _, err := b.Beat(t.Context(), agent, nil); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("heartbeat of a deleted sweep: %v", err)
	}
	for _, err := range []error{
		b.Delete(t.Context(), s.ID),
		second(b.Get(t.Context(), s.ID)),
		second(b.Agents(t.Context(), s.ID)),
		second(b.Join(t.Context(), s.ID, "h")),
		second(b.Beat(t.Context(), "nonsense", nil)),
		second(b.Beat(t.Context(), "", nil)),
		second(b.Get(t.Context(), strings.Repeat("x", 300))),
	} {
		if !errors.Is(err, solera.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	}
	s = b.create(grid(1))
	if _, err := b.Beat(t.Context(), s.ID+"-nobody", nil); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("an agent that never joined: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestOthersScheduleTheTrials(t *testing.T) {
	b := newBench(t)
	s := b.create(tree{"method": "random", "controller": tree{"type": "local"}, "parameters": tree{"a": tree{"min": 0, "max": 9}}})
	control := func(text string) (sweep.Sweep, error) {
		got, _, err := b.Change(t.Context(), s.ID, sweep.Change{Controller: &text})
		return got, err
	}
	agent := b.join(s.ID)
	if word, _ := b.beat(agent); word != "" {
		t.Errorf("nothing is scheduled: %q", word)
	}
	text := `{"schedule":[{"id":"k1","data":{"args":{"a":{"value":3}}}}]}`
	got, err := control(text)
	if err != nil || len(got.Scheduled) != 1 || len(got.Queue) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if again, err := control(text); err != nil || again.Trials != 1 {
		t.Errorf("the same said twice: %+v, %v", again, err)
	}
	word, c := b.beat(agent)
	if a, _ := c.Params.Float("a"); word != "run" || a != 3 || got.Scheduled["k1"] != string(c.Run) {
		t.Errorf("%s %v of %v", word, c, got.Scheduled)
	}
	b.set(c.Run, solera.Running)
	if _, err := control(`{"earlystop":["` + string(c.Run) + `"]}`); err != nil {
		t.Fatal(err)
	}
	if word, _ := b.beat(agent, c.Run); word != "stop "+string(c.Run) {
		t.Errorf("stopped: %q", word)
	}
	b.set(c.Run, solera.Killed)
	if _, err := control(`{"schedule":[{"id":"end","data":{"args":null}}]}`); err != nil {
		t.Fatal(err)
	}
	if word, _ := b.beat(agent); word != "exit" {
		t.Errorf("the search is over: %q", word)
	}
	if _, err := control(`{"schedule":`); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("no JSON: %v", err)
	}
	if _, err := control(`{"schedule":[{"data":{}}]}`); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("no id: %v", err)
	}
	s = b.create(grid(1))
	if _, err := control(text); !errors.Is(err, solera.ErrConflict) {
		t.Errorf("a sweep that chooses for itself: %v", err)
	}
	given, err := b.Give(t.Context(), s.ID, solera.Fields{"a": 77})
	if err != nil {
		t.Fatal(err)
	}
	if _, c := b.beat(b.join(s.ID)); c.Run != given.Run {
		t.Errorf("what a person asks for comes first: %v", c)
	}
}

func TestAnotherConfiguration(t *testing.T) {
	b := newBench(t)
	s := b.create(grid(1, 2))
	agent := b.join(s.ID)
	_, c := b.beat(agent)
	b.set(c.Run, solera.Finished)
	if _, _, err := b.Change(t.Context(), s.ID, sweep.Change{Config: solera.Fields(grid(0, 1, 5))}); err != nil {
		t.Fatal(err)
	}
	var tried []float64
	for word, c := b.beat(agent); word == "run"; word, c = b.beat(agent) {
		a, _ := c.Params.Float("a")
		tried = append(tried, a)
		b.set(c.Run, solera.Finished)
	}
	if !slices.Equal(tried, []float64{0, 5}) {
		t.Errorf("tried %v", tried)
	}
	if _, _, err := b.Change(t.Context(), s.ID, sweep.Change{Config: solera.Fields{"method": "grid"}}); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("a configuration that makes no sense: %v", err)
	}
}

func TestDraftsThatAreRefused(t *testing.T) {
	b := newBench(t)
	for _, d := range []sweep.Draft{
		{Project: "no/name", Config: solera.Fields(grid(1))},
		{Project: "p", Config: nil},
		{Project: "p", Config: solera.Fields(grid(strings.Repeat("x", 300<<10)))},
	} {
		if _, _, err := b.Create(t.Context(), d); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%.80v: %v", d, err)
		}
	}
	if list, err := b.List(t.Context(), "p"); err != nil || len(list) != 0 {
		t.Errorf("left behind: %v, %v", list, err)
	}
}

// Heartbeats that find nothing new write nothing: an agent asks every 5 s, for
// days.
func TestHeartbeatsAreQuiet(t *testing.T) {
	b := newBench(t)
	s := b.create(grid(1))
	agent := b.join(s.ID)
	_, c := b.beat(agent)
	b.set(c.Run, solera.Running)
	b.beat(agent, c.Run)
	count := func() (n int) {
		err := b.Store.View(t.Context(), func(tx solera.Tx) error {
			entries, err := tx.Audit(solera.AuditQuery{})
			n = len(entries)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	for range 24 {
		b.wait(5 * time.Second)
		b.beat(agent, c.Run)
	}
	if wrote := count() - before; wrote > 1 {
		t.Errorf("%d entries in 2 minutes", wrote)
	}
}
