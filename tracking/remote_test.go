package tracking_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
	"pgregory.net/rapid"
)

func TestInwardName(t *testing.T) {
	for outward, want := range map[string]string{
		"":                       "",
		"wine":                   "wine",
		"my project":             "my-project",
		"my project (v2)":        "my-project-v2.0bf9c6fc",
		"Проект":                 "name.f45edf00",
		"_private":               "private.3ce6c249",
		"a....b":                 "a.b.b59b6b15",
		"../x":                   "../x", // refused as it is
		"a:b":                    "a:b",
		"a\x00b":                 "a\x00b",
		"\xff":                   "\xff",
		strings.Repeat("x", 300): strings.Repeat("x", 300),
	} {
		if got := tracking.InwardName(outward); got != want {
			t.Errorf("InwardName(%q) = %q, want %q", outward, got, want)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.StringOfN(rapid.RuneFrom([]rune("aZ0 .-_ñЯ世()!")), 1, 120, 256).Draw(rt, "name")
		got := tracking.InwardName(name)
		if err := solera.CheckName(got); err != nil {
			rt.Fatalf("InwardName(%q): %v", name, err)
		}
		if again := tracking.InwardName(got); again != got {
			rt.Fatalf("InwardName(%q) = %q, of which it makes %q", name, got, again)
		}
	})
}

func register(t testing.TB, tr *tracking.Tracker, spec tracking.RegisterSpec) (solera.Run, bool) {
	t.Helper()
	run, created, err := tr.Register(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	return run, created
}

func reportTo(t testing.TB, tr *tracking.Tracker, b solera.Batch) solera.Run {
	t.Helper()
	run, err := tr.Report(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func of[T any](v T) *T { return &v }

func TestOutwardNames(t *testing.T) {
	tr := open(t)
	other := *tr
	other.Project = "iris"
	long := strings.Repeat("x", 125)
	// The digits are of the SHA-256 of project/name, as sha256sum gives it.
	tests := []struct {
		name    string
		tracker *tracking.Tracker
		outward string
		id      solera.RunID
	}{
		{"a name that is free is the ID", tr, "k7q2mx01", "k7q2mx01"},
		{"that of another project is not", &other, "k7q2mx01", "k7q2mx01.b71eb950"},
		{"nor what cannot be an ID", tr, "my run/1", "run.e27af0db5dc0fea8"},
		{"which differs by project", &other, "my run/1", "run.0cc2469e12498f8e"},
		{"a long one is free", tr, long, solera.RunID(long)},
		{"and of another project too long to add to", &other, long, "run.390aea3d45041c42"},
	}
	for _, tt := range tests {
		run, created := register(t, tt.tracker, tracking.RegisterSpec{Name: tt.outward})
		if !created || run.ID != tt.id {
			t.Errorf("%s: got %s, want %s (new: %v)", tt.name, run.ID, tt.id, created)
		}
		if got := tracking.OutwardName(run); got != tt.outward {
			t.Errorf("%s: its outward name is %s", tt.name, got)
		}
		again, err := tt.tracker.FindRemote(ctx, tt.outward)
		if err != nil || again.ID != run.ID || again.Project != tt.tracker.Project {
			t.Errorf("%s: found %s of %s, %v", tt.name, again.ID, again.Project, err)
		}
		if _, created := register(t, tt.tracker, tracking.RegisterSpec{Name: tt.outward}); created {
			t.Errorf("%s: it was made twice", tt.name)
		}
	}
	// A name that becomes free does not take the run from the one who has it.
	mine, err := other.FindRemote(ctx, "k7q2mx01")
	if err != nil {
		t.Fatal(err)
	}
	update(t, tr, func(tx solera.Tx) error { return tx.RemoveRun("k7q2mx01") })
	if run, err := other.FindRemote(ctx, "k7q2mx01"); err != nil || run.ID != mine.ID {
		t.Errorf("found %s, %v", run.ID, err)
	}
	_, err = tr.FindRemote(ctx, "k7q2mx01")
	wantErr(t, err, solera.ErrNotFound)
	for _, bad := range []string{"", "a\nb", "\xff", strings.Repeat("x", 257)} {
		_, _, err := tr.Register(ctx, tracking.RegisterSpec{Name: bad})
		wantErr(t, err, solera.ErrInvalid)
	}
}

func TestRegisterChangesWhatIsSaid(t *testing.T) {
	tr := open(t)
	first, _ := register(t, tr, tracking.RegisterSpec{
		Name: "a", Display: of("brave-lion-1"), Stage: of("train"), Group: of("g"), Sweep: of("s"), Notes: of("n"), Host: of("h"),
		Tags: []string{"b", "a", "b"}, Params: solera.Fields{"lr": 0.1}, Environment: solera.Fields{"client": map[string]any{"t": 1}, "os": "linux"},
	})
	if first.State != solera.Running || first.Name != "brave-lion-1" || !slices.Equal(first.Tags, []string{"a", "b"}) || !tracking.IsRemote(first) {
		t.Errorf("at the start: %+v", first)
	}
	same, created := register(t, tr, tracking.RegisterSpec{Name: "a"})
	if created || same.Stage != "train" || same.Sweep != "s" || len(same.Tags) != 2 || same.Notes != "n" || same.Host != "h" || same.Group != "g" {
		t.Errorf("nothing said changes something: %+v", same)
	}
	now, _ := register(t, tr, tracking.RegisterSpec{
		Name: "a", Tags: []string{}, Params: solera.Fields{"lr": 0.2}, Summary: solera.Fields{"loss": 1}, Notes: of(""), Environment: solera.Fields{"go": "1"},
	})
	if len(now.Tags) != 0 || now.Notes != "" || now.Environment.Text("os") != "linux" || now.Environment.Text("go") != "1" || now.Name != "brave-lion-1" {
		t.Errorf("changed: %+v", now)
	}
	if lr, _ := runOf(t, tr, "a").Params.Float("lr"); lr != 0.2 {
		t.Errorf("lr %v", lr)
	}
	for name, spec := range map[string]tracking.RegisterSpec{
		"state": {State: solera.Finished}, "tag": {Tags: []string{" a"}}, "notes": {Notes: of(strings.Repeat("n", 65<<10))},
	} {
		spec.Name = "a"
		if _, _, err := tr.Register(ctx, spec); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	end(t, tr, "a", nil)
	if _, err := tr.DeleteRun(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	_, _, err := tr.Register(ctx, tracking.RegisterSpec{Name: "a", Resume: true})
	wantErr(t, err, solera.ErrConflict)
	_, err = tr.Report(ctx, solera.Batch{Run: "a"})
	wantErr(t, err, solera.ErrNotFound)
	_, err = tr.Resume(ctx, "a")
	wantErr(t, err, solera.ErrNotFound)
}

func end(t testing.TB, tr *tracking.Tracker, id solera.RunID, cause error) solera.Run {
	t.Helper()
	r, err := tr.Resume(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(ctx, cause, nil); err != nil {
		t.Fatal(err)
	}
	run, err := tr.Run(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func TestRemoteRunsEnd(t *testing.T) {
	tr := open(t)
	failed := errors.New("exit code 1")
	tests := []struct {
		name  string
		stop  bool
		cause error
		state solera.RunState
		why   string
	}{
		{"well", false, nil, solera.Finished, ""},
		{"with an error", false, failed, solera.Failed, "exit code 1"},
		{"by a user at its terminal", false, fmt.Errorf("exit code 255: %w", solera.ErrStopped), solera.Killed, "exit code 255: stopped by user"},
		{"because a user asked it to", true, failed, solera.Killed, "stopped by ana@laptop"},
		{"well, although a user asked it to stop", true, nil, solera.Finished, ""},
	}
	for i, tt := range tests {
		name := fmt.Sprint("r", i)
		run, _ := register(t, tr, tracking.RegisterSpec{Name: name, Summary: solera.Fields{"loss": 0.5}})
		if tt.stop {
			if _, err := tr.StopRun(solera.WithActor(ctx, "ana@laptop"), name); err != nil {
				t.Fatal(err)
			}
			if got := reportTo(t, tr, solera.Batch{Run: run.ID}); got.Stopping == 0 {
				t.Errorf("%s: its client does not learn of it", tt.name)
			}
		}
		got := end(t, tr, run.ID, tt.cause)
		if got.State != tt.state || got.Error != tt.why || got.Finished == 0 {
			t.Errorf("%s: got %s, %q, %v", tt.name, got.State, got.Error, got.Finished)
		}
		if _, ok := got.Summary.Float("loss"); !ok {
			t.Errorf("%s: what it reported is gone: %v", tt.name, got.Summary)
		}
		// An answer was lost, and the client says it once more, otherwise.
		if again := end(t, tr, run.ID, errors.New("later")); again.State != got.State || again.Error != got.Error {
			t.Errorf("%s: ended twice: %s, %q", tt.name, again.State, again.Error)
		}
		if late := reportTo(t, tr, solera.Batch{Run: run.ID}); late.State != tt.state {
			t.Errorf("%s: a late report made it %s", tt.name, late.State)
		}
	}
	run, created := register(t, tr, tracking.RegisterSpec{Name: "r3", Resume: true})
	if created || run.State != solera.Running || run.Stopping != 0 || run.Error != "" || run.Finished != 0 {
		t.Errorf("resumed: %+v", run)
	}
}

func TestRemoteRunsUseAndCommit(t *testing.T) {
	tr := open(t)
	commit(t, start(t, tr, "load"), "data", "x")
	register(t, tr, tracking.RegisterSpec{Name: "a"})
	r, err := tr.Resume(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	use(t, r, "data")
	v, isNew := commit(t, r, "model", "m")
	if !isNew || v.Run != "a" {
		t.Errorf("%+v", v)
	}
	// Another handle knows what the first has made: no circle.
	from := start(t, tr, "other")
	use(t, from, "model")
	commit(t, from, "derived", "d")
	again, err := tr.Resume(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	_, err = again.Use(ctx, "derived")
	wantErr(t, err, solera.ErrConflict)
	end(t, tr, "a", nil)
	late, err := tr.Resume(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, late, "more", "after the end")
	own := start(t, tr, "train")
	_, err = tr.Resume(ctx, own.ID())
	wantErr(t, err, solera.ErrConflict)
	_, err = tr.Resume(ctx, "none")
	wantErr(t, err, solera.ErrNotFound)
	finish(t, own)
}

func TestRemoteRunsCrashLaterAndRevive(t *testing.T) {
	tr := open(t)
	tr.Silence, tr.RemoteSilence = time.Nanosecond, 300*time.Millisecond
	run, _ := register(t, tr, tracking.RegisterSpec{Name: "a"})
	reportTo(t, tr, solera.Batch{Run: run.ID})
	if crashed, err := tr.Reap(ctx); err != nil || len(crashed) != 0 {
		t.Fatalf("too early: %v, %v", crashed, err)
	}
	eventually(t, "the crash", func() bool {
		crashed, err := tr.Reap(ctx)
		return err == nil && len(crashed) == 1
	})
	back := reportTo(t, tr, solera.Batch{Run: run.ID, Points: []solera.Point{{Key: "k"}}})
	if back.State != solera.Running || back.Error != "" || back.Finished != 0 {
		t.Errorf("%+v", back)
	}
	if crashed, err := tr.Reap(ctx); err != nil || len(crashed) != 0 {
		t.Errorf("once more: %v, %v", crashed, err)
	}
	// One that ended long ago and is resumed is not taken for dead.
	end(t, tr, run.ID, nil)
	time.Sleep(400 * time.Millisecond)
	register(t, tr, tracking.RegisterSpec{Name: "a", Resume: true})
	if crashed, err := tr.Reap(ctx); err != nil || len(crashed) != 0 {
		t.Errorf("resumed: %v, %v", crashed, err)
	}
	eventually(t, "the second crash", func() bool {
		crashed, err := tr.Reap(ctx)
		return err == nil && len(crashed) == 1
	})
	if got := end(t, tr, run.ID, nil); got.State != solera.Finished {
		t.Errorf("the end of a run taken for dead: %s", got.State)
	}
}

func TestStopRun(t *testing.T) {
	tr := open(t)
	tr.BeatEvery = 10 * time.Millisecond
	as := solera.WithActor(ctx, "ana@laptop")
	r := start(t, tr, "train")
	if r.Context().Err() != nil {
		t.Fatal("stopped before it began")
	}
	stopped, err := tr.StopRun(as, string(r.ID()))
	if err != nil || stopped.Stopping == 0 || stopped.State != solera.Running {
		t.Fatalf("%+v, %v", stopped, err)
	}
	select {
	case <-r.Context().Done():
	case <-time.After(20 * time.Second):
		t.Fatal("the run does not learn of it")
	}
	cause := context.Cause(r.Context())
	if !errors.Is(cause, solera.ErrStopped) || cause.Error() != "stopped by ana@laptop" {
		t.Errorf("cause: %v", cause)
	}
	if again, err := tr.StopRun(ctx, string(r.ID())); err != nil || again.Stopping != stopped.Stopping {
		t.Errorf("asked twice: %v, %v", again.Stopping, err)
	}
	if err := r.Finish(ctx, cause, nil); err != nil {
		t.Fatal(err)
	}
	if run := runOf(t, tr, r.ID()); run.State != solera.Killed || run.Error != "stopped by ana@laptop" {
		t.Errorf("%s: %s", run.State, run.Error)
	}
	_, err = tr.StopRun(ctx, string(r.ID()))
	wantErr(t, err, solera.ErrConflict)
	_, err = tr.StopRun(ctx, "none")
	wantErr(t, err, solera.ErrNotFound)
	waiting, _ := register(t, tr, tracking.RegisterSpec{Name: "waits", State: solera.Pending})
	if got, err := tr.StopRun(as, string(waiting.ID)); err != nil || got.State != solera.Killed || got.Error != "stopped by ana@laptop" {
		t.Errorf("a run that waits: %+v, %v", got, err)
	}
	// A run that nobody stopped ends with its work.
	quiet := start(t, tr, "train")
	time.Sleep(50 * time.Millisecond)
	if quiet.Context().Err() != nil {
		t.Error("it was stopped by nobody")
	}
	finish(t, quiet)
	if quiet.Context().Err() == nil {
		t.Error("its work may go on after its end")
	}
}

// history reports rows like a client does: a point, its time and a text a step,
// and the load of the machine beside them.
func history(t testing.TB, tr *tracking.Tracker, id solera.RunID, from, to int64) {
	t.Helper()
	for step := from; step < to; step++ {
		reportTo(t, tr, solera.Batch{
			Run: id, Source: "history", From: step, Count: 1,
			Points: []solera.Point{{Key: "loss", Step: step, Value: float64(step), Time: 1}, {Key: "system/cpu", Step: 100 + step}},
			Items:  []solera.Item{{Key: "note", Step: step, Value: json.RawMessage(fmt.Sprintf("%q", fmt.Sprint("<", step)))}},
		})
	}
}

func stepsOf(t testing.TB, tr *tracking.Tracker, id solera.RunID, key string) (steps []int64) {
	t.Helper()
	points, err := tr.Store.Series(ctx, solera.SeriesQuery{Run: id, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range points {
		steps = append(steps, p.Step)
	}
	return steps
}

func TestRewindKeepsWhatItCutsOff(t *testing.T) {
	tr := open(t)
	register(t, tr, tracking.RegisterSpec{Name: "a"})
	history(t, tr, "a", 0, 6)
	reportTo(t, tr, solera.Batch{Run: "a", Items: []solera.Item{{Key: "alert", Step: 5, Value: json.RawMessage(`{"title":"t"}`)}}})
	run, rows, err := tr.Rewind(ctx, "a", 2, "history")
	if err != nil || rows != 3 || run.Rewound == 0 {
		t.Fatalf("%d rows, rewound %v, %v", rows, run.Rewound, err)
	}
	if got := stepsOf(t, tr, "a", "loss"); !slices.Equal(got, []int64{0, 1, 2}) {
		t.Errorf("steps %v", got)
	}
	if got := stepsOf(t, tr, "a", "system/cpu"); len(got) != 6 {
		t.Errorf("the load of the machine was cut: %v", got)
	}
	if items, err := tr.Store.Items(ctx, solera.ItemQuery{Run: "a"}); err != nil || len(items) != 4 {
		t.Errorf("items %v, %v", items, err)
	}
	// The client goes on from there.
	history(t, tr, "a", 3, 5)
	if got := stepsOf(t, tr, "a", "loss"); !slices.Equal(got, []int64{0, 1, 2, 3, 4}) {
		t.Errorf("steps %v", got)
	}
	detail, err := tr.Detail(ctx, "a")
	if err != nil || len(detail.Files) != 1 || !strings.HasPrefix(detail.Files[0].Path, "rewound/") {
		t.Fatalf("files %v, %v", detail.Files, err)
	}
	f, err := tr.Blobs.Open(ctx, detail.Files[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var points, items []int64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct {
			Point *solera.Point `json:"point"`
			Item  *solera.Item  `json:"item"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Point != nil {
			points = append(points, line.Point.Step)
		} else {
			items = append(items, line.Item.Step)
		}
	}
	if want := []int64{3, 4, 5}; !slices.Equal(points, want) || !slices.Equal(items, want) {
		t.Errorf("kept aside: points %v, items %v", points, items)
	}
	// To where it is: nothing happens, and no file is made.
	if _, rows, err := tr.Rewind(ctx, "a", 100, "history"); err != nil || rows != 5 {
		t.Errorf("%d rows, %v", rows, err)
	}
	if detail, _ := tr.Detail(ctx, "a"); len(detail.Files) != 1 {
		t.Errorf("files %v", detail.Files)
	}
	if _, rows, err := tr.Rewind(ctx, "a", -1, "history"); err != nil || rows != 0 {
		t.Errorf("to before the beginning: %d rows, %v", rows, err)
	}
	own := start(t, tr, "train")
	_, _, err = tr.Rewind(ctx, own.ID(), 1, "history")
	wantErr(t, err, solera.ErrConflict)
	finish(t, own)
	_, _, err = tr.Rewind(ctx, "none", 1, "history")
	wantErr(t, err, solera.ErrNotFound)
	if found, err := tracking.Fsck(ctx, tr.Store, tr.Blobs, tracking.FsckOptions{}); err != nil || !found.OK {
		t.Errorf("fsck: %+v, %v", found, err)
	}
}

// A run that goes on recording is not cut in the middle.
func TestRewindSeesThatARunGoesOn(t *testing.T) {
	tr := open(t)
	register(t, tr, tracking.RegisterSpec{Name: "a"})
	history(t, tr, "a", 0, 4)
	busy := *tr
	busy.Blobs = &interrupting{Blobs: tr.Blobs, do: func() { history(t, tr, "a", 4, 5) }}
	_, _, err := busy.Rewind(ctx, "a", 1, "history")
	wantErr(t, err, solera.ErrConflict)
	if got := stepsOf(t, tr, "a", "loss"); len(got) != 5 {
		t.Errorf("steps %v", got)
	}
}

// interrupting are blobs that do something when a content has been put.
type interrupting struct {
	solera.Blobs
	do func()
}

func (b *interrupting) Put(ctx context.Context, r io.Reader) (solera.Digest, int64, error) {
	d, n, err := b.Blobs.Put(ctx, r)
	b.do()
	return d, n, err
}

func TestForkCopiesOnce(t *testing.T) {
	tr := open(t)
	register(t, tr, tracking.RegisterSpec{Name: "parent"})
	history(t, tr, "parent", 0, 6)
	register(t, tr, tracking.RegisterSpec{Name: "child"})
	for range 2 { // an answer was lost
		if err := tr.Fork(ctx, "parent", 2, "child"); err != nil {
			t.Fatal(err)
		}
	}
	if got := stepsOf(t, tr, "child", "loss"); !slices.Equal(got, []int64{0, 1, 2}) {
		t.Errorf("steps %v", got)
	}
	if got := stepsOf(t, tr, "child", "system/cpu"); len(got) != 0 {
		t.Errorf("the load of another machine: %v", got)
	}
	if items, err := tr.Store.Items(ctx, solera.ItemQuery{Run: "child"}); err != nil || len(items) != 3 {
		t.Errorf("items %v, %v", items, err)
	}
	reportTo(t, tr, solera.Batch{Run: "child", Source: "history", From: 0, Count: 1, Points: []solera.Point{{Key: "loss", Step: 3}}})
	if got := stepsOf(t, tr, "parent", "loss"); len(got) != 6 {
		t.Errorf("the parent has %v", got)
	}
	register(t, tr, tracking.RegisterSpec{Name: "full"})
	history(t, tr, "full", 0, 1)
	wantErr(t, tr.Fork(ctx, "parent", 2, "full"), solera.ErrConflict)
	wantErr(t, tr.Fork(ctx, "none", 2, "child"), solera.ErrNotFound)
	wantErr(t, tr.Fork(ctx, "parent", 2, "none"), solera.ErrNotFound)
}
