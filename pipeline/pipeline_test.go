package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tracking"
)

// project opens a pipeline over a store in dir.
func project(t *testing.T, dir, yaml string) *Pipeline {
	t.Helper()
	c, err := Parse(filepath.Join(dir, FileName), []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "solera.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	blobs, err := blob.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return &Pipeline{
		Config: c, Scratch: filepath.Join(dir, "checkpoints"),
		Tracker: &tracking.Tracker{Store: db, Blobs: blobs, Project: c.Project},
	}
}

const irisTemplate = `
project: iris
data: {source: sample:iris, target: species%s}
model: {layers: [8, 8]%s}
train: {epochs: 3, batch_size: 16%s}
`

// oneByOne skips, in short mode, what trains again and again and has no more to
// race than other tests: under the race detector it takes minutes.
func oneByOne(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("trains again and again")
	}
}

func TestEveryChoiceOfTheConfigurationTrains(t *testing.T) {
	oneByOne(t)
	tests := map[string][3]string{}
	for _, activation := range []string{"relu", "leaky_relu", "gelu", "silu", "tanh", "elu", "selu", "sigmoid", "softplus", "mish"} {
		tests["activation "+activation] = [3]string{1: ", activation: " + activation}
	}
	for name, model := range map[string]string{
		"layer_norm": ", layer_norm: true", "residual": ", residual: true", "no norm": ", batch_norm: false", "no dropout": ", dropout: 0",
	} {
		tests[name] = [3]string{1: model}
	}
	for _, train := range []string{
		"optimizer: {sgd: {momentum: 0.9, nesterov: true, weight_decay: 0.001}}", "optimizer: adamw", "optimizer: {adam: {amsgrad: true}}",
		"optimizer: rmsprop", "clip_norm: 0.5", "class_weights: balanced", "class_weights: {setosa: 2}",
		"loss: {label_smoothing: 0.1}", "loss: {focal: 2}", "early_stopping: {patience: 1}",
		"schedule: {step: {step_size: 1}}", "schedule: {multistep: {milestones: [1, 2]}}", "schedule: exponential", "schedule: cosine",
		"schedule: cosine_restarts", "schedule: one_cycle", "schedule: polynomial", "schedule: reduce_on_plateau", "schedule: {cosine: {warmup: 1}}",
	} {
		tests[train] = [3]string{2: ", " + train}
	}
	for name, split := range map[string]string{
		"not stratified": ", split: {stratify: false}",
		"by group":       ", split: {group: petal width (cm)}",
	} {
		tests[name] = [3]string{split}
	}
	for name, parts := range tests {
		t.Run(name, func(t *testing.T) {
			p := project(t, t.TempDir(), fmt.Sprintf(irisTemplate, parts[0], parts[1], parts[2]))
			res, err := p.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := len(res.Artifacts); got != 4 {
				t.Errorf("got %d artifacts, want 4", got)
			}
			if n := res.Experiments[0].Test.Accuracy.N; n == 0 {
				t.Error("the test score rests on no row")
			}
		})
	}
}

func TestASplitByTimeTestsTheNewestRows(t *testing.T) {
	yaml := "project: p\ndata: {source: sample:penguins, target: sex, split: {train: 0.6, val: 0.2, test: 0.2, time: year}, types: {}}\n"
	p := project(t, t.TempDir(), yaml)
	if _, err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "sex") {
		t.Fatalf("got %v, want the rows without a label refused", err)
	}
	yaml = strings.Replace(yaml, "target: sex", "target: species, ignore: [sex]", 1)
	p = project(t, t.TempDir(), yaml)
	if _, err := p.Run(t.Context(), Load); err != nil {
		t.Fatal(err)
	}
	raw, err := p.Tracker.Open(t.Context(), "p-raw")
	if err != nil {
		t.Fatal(err)
	}
	var last float64
	for _, part := range []string{trainPart, valPart, testPart} {
		rows, err := rawPart(t.Context(), raw, part, table.Schema{})
		if err != nil {
			t.Fatal(err)
		}
		years := rows.Column("year").Numbers
		if oldest := slices.Min(years); oldest <= last {
			t.Errorf("the oldest row of %s is of %v, the part before goes up to %v", part, oldest, last)
		}
		last = slices.Max(years)
	}
}

func TestRunningAgainIsAnsweredFromTheStore(t *testing.T) {
	dir := t.TempDir()
	first, err := project(t, dir, wineYAML).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := project(t, dir, wineYAML).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range again.Stages {
		if s.State != Cached {
			t.Errorf("%s: got %s, want %s", s.Stage, s.State, Cached)
		}
		if first.Stages[i].State != Ran {
			t.Errorf("%s the first time: got %s, want %s", s.Stage, first.Stages[i].State, Ran)
		}
	}
	for i := range first.Artifacts {
		if first.Artifacts[i].Digest != again.Artifacts[i].Digest || again.Artifacts[i].New {
			t.Errorf("%s: got %+v, want the version made first", first.Artifacts[i].Name, again.Artifacts[i])
		}
	}
	if diff := cmp.Diff(first.Best, again.Best); diff != "" {
		t.Error(diff)
	}
}

func TestAnInterruptedTrainingGoesOnToTheSameBytes(t *testing.T) {
	want, err := project(t, t.TempDir(), wineYAML).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, epochs := range []int{1, 7, 30} {
		ctx, cancel := context.WithCancel(t.Context())
		p := project(t, dir, wineYAML)
		p.Reporter = &interrupter{left: epochs, cancel: cancel}
		if _, err := p.Run(ctx); !errors.Is(err, solera.ErrStopped) {
			t.Fatalf("interrupted after %d epochs: got %v, want %v", epochs, err, solera.ErrStopped)
		}
	}
	got, err := project(t, dir, wineYAML).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Artifacts {
		if got.Artifacts[i].Digest != want.Artifacts[i].Digest {
			t.Errorf("%s: got %s, want %s", want.Artifacts[i].Name, got.Artifacts[i].Digest, want.Artifacts[i].Digest)
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, "checkpoints"))
	if err != nil || len(left) != 0 {
		t.Errorf("%d checkpoints stay behind a finished training (%v)", len(left), err)
	}
}

// interrupter cancels after some epochs.
type interrupter struct {
	Silent
	mu     sync.Mutex
	left   int
	cancel func()
}

func (r *interrupter) Epoch(Epoch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left--; r.left == 0 {
		r.cancel()
	}
}

// Somebody stops one experiment from another process: it ends as killed, by whom,
// and the others go on.
func TestAnExperimentThatIsStoppedFromElsewhere(t *testing.T) {
	dir := t.TempDir()
	yaml := strings.Replace(wineYAML, "experiments:", "experiments:\n  - {name: endless, epochs: 100000}", 1)
	p := project(t, dir, yaml)
	p.Tracker.BeatEvery = 10 * time.Millisecond
	elsewhere := project(t, dir, yaml).Tracker
	asked := make(chan error, 1)
	var once sync.Once
	p.Reporter = onEpoch{do: func(e Epoch) {
		if e.Experiment == "endless" {
			once.Do(func() {
				_, err := elsewhere.StopRun(solera.WithActor(t.Context(), "ana@laptop"), "endless")
				asked <- err
			})
		}
	}}
	_, err := p.Run(t.Context())
	if !errors.Is(err, solera.ErrStopped) || !strings.Contains(err.Error(), "stopped by ana@laptop: the same command goes on from here") {
		t.Errorf("got %v", err)
	}
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	run, err := elsewhere.FindRun(t.Context(), "endless")
	if err != nil || run.State != solera.Killed || !strings.Contains(run.Error, "stopped by ana@laptop") {
		t.Errorf("%s: %s, %v", run.State, run.Error, err)
	}
	runs, err := elsewhere.Runs(t.Context(), solera.RunQuery{Stage: Train, State: solera.Finished})
	if err != nil || len(runs) == 0 {
		t.Errorf("%d other experiments finished, %v", len(runs), err)
	}
}

// onEpoch does something at each epoch.
type onEpoch struct {
	Silent
	do func(Epoch)
}

func (r onEpoch) Epoch(e Epoch) { r.do(e) }

// Ctrl-C can come between the last epoch and the commit: what was learned must
// still be there for the next run.
func TestACheckpointStaysUntilItsModelIsCommitted(t *testing.T) {
	dir := t.TempDir()
	yaml := fmt.Sprintf(irisTemplate, "", "", "")
	checkpoints := func() int {
		files, err := filepath.Glob(filepath.Join(dir, "checkpoints", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	for _, r := range []struct {
		when     string
		reporter func(cancel func()) Reporter
	}{
		{"in the second epoch", func(cancel func()) Reporter { return &interrupter{left: 1, cancel: cancel} }},
		{"after the last epoch", func(cancel func()) Reporter { return lateInterrupter{cancel: cancel} }},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		p := project(t, dir, yaml)
		p.Reporter = r.reporter(cancel)
		if _, err := p.Run(ctx); !errors.Is(err, solera.ErrStopped) {
			t.Fatalf("interrupted %s: got %v, want %v", r.when, err, solera.ErrStopped)
		}
		if n := checkpoints(); n != 1 {
			t.Errorf("interrupted %s: got %d checkpoints, want 1", r.when, n)
		}
	}
	if _, err := project(t, dir, yaml).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := checkpoints(); n != 0 {
		t.Errorf("got %d checkpoints beside a committed model, want 0", n)
	}
}

// lateInterrupter cancels when a training has ended.
type lateInterrupter struct {
	Silent
	cancel func()
}

func (r lateInterrupter) ExperimentDone(string, string, error) { r.cancel() }

func TestASourceThatChangesWhileItIsReadIsRefused(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "rows.csv")
	write := func(last string) {
		rows := strings.Repeat("1,a\n2,b\n", 20) + last
		if err := os.WriteFile(source, []byte("x,y\n"+rows), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	yaml := "data: {source: " + source + ", target: y}\nmodel: {layers: [4]}\ntrain: {epochs: 1, batch_size: 8}\n"
	write("")
	p := project(t, dir, yaml)
	p.Reporter = onLine{do: func() { write("3,a\n") }}
	_, err := p.Run(t.Context())
	var bad *solera.InputError
	if !errors.As(err, &bad) || bad.Line != 1 || !strings.Contains(bad.Msg, "rows.csv changed") {
		t.Fatalf("got %v, want an error of data.source", err)
	}
	if _, err := p.Tracker.Version(t.Context(), p.Config.RawName()); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("a version was committed (%v)", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := project(t, dir, yaml).Run(ctx); !errors.Is(err, solera.ErrStopped) {
		t.Errorf("interrupted while it is read: got %v, want %v", err, solera.ErrStopped)
	}
	if _, err := project(t, dir, yaml).Run(t.Context()); err != nil {
		t.Errorf("run again: %v", err)
	}
}

// onLine calls do when a stage has found something out.
type onLine struct {
	Silent
	do func()
}

func (r onLine) Line(string, string) { r.do() }

func TestADefectFailsItsRunAndNoLaterOne(t *testing.T) {
	dir := t.TempDir()
	yaml := fmt.Sprintf(irisTemplate, "", "", "")
	p := project(t, dir, yaml)
	p.Reporter = onLine{do: func() { panic("boom") }}
	if _, err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "load: a defect of Solera") {
		t.Fatalf("got %v, want an error that names the stage and the defect", err)
	}
	runs, err := p.Tracker.Runs(t.Context(), solera.RunQuery{Stage: Load})
	if err != nil || len(runs) != 1 || runs[0].State != solera.Failed {
		t.Errorf("the run is recorded as %+v (%v), want failed", runs, err)
	}
	if _, err := project(t, dir, yaml).Run(t.Context()); err != nil {
		t.Errorf("run again: %v", err)
	}
}

func TestADivergingExperimentDoesNotStopTheOthers(t *testing.T) {
	yaml := `
data: {source: sample:iris, target: species}
model: {layers: [8], batch_norm: false, dropout: 0}
experiments:
- {name: wild, epochs: 50, learning_rate: 1000, optimizer: sgd}
- {name: calm, epochs: 3, learning_rate: 0.01}
`
	p := project(t, t.TempDir(), yaml)
	res, err := p.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "train wild") || !strings.Contains(err.Error(), "epoch") {
		t.Fatalf("got %v, want an error that names the experiment and the epoch", err)
	}
	if got := res.Stages[len(res.Stages)-1]; got != (StageResult{Train, Failed}) {
		t.Errorf("got %v, want the train stage failed", got)
	}
	if _, err := p.Tracker.Version(t.Context(), p.Config.TrainedName(1)); err != nil {
		t.Errorf("the calm experiment: %v", err)
	}
	runs, err := p.Tracker.Runs(t.Context(), solera.RunQuery{Experiment: "wild"})
	if err != nil || len(runs) != 1 || runs[0].State != solera.Failed || runs[0].Error == "" {
		t.Errorf("the wild run is recorded as %+v (%v), want failed with its error", runs, err)
	}
}

func TestClassWeightsOfUnknownClassesAreRefused(t *testing.T) {
	p := project(t, t.TempDir(), fmt.Sprintf(irisTemplate, "", "", ", class_weights: {setoso: 2}"))
	_, err := p.Run(t.Context())
	var bad *solera.InputError
	if !errors.As(err, &bad) || bad.Line != 5 || !strings.Contains(bad.Hint, "setosa") {
		t.Errorf("got %v, want an error of line 5 that lists the classes", err)
	}
	if made, err := p.Tracker.Artifacts(t.Context()); err != nil || len(made) != 0 {
		t.Errorf("the store has %v (%v), want it as it was", made, err)
	}
}

func TestAZeroIsNotTakenForADefault(t *testing.T) {
	for _, train := range []string{
		"optimizer: {adam: {beta1: 0}}", "optimizer: {adamw: {beta2: 0}}", "optimizer: {rmsprop: {alpha: 0}}", "class_weights: {setosa: 0}",
	} {
		var bad *solera.InputError
		if _, err := Parse(FileName, []byte(fmt.Sprintf(irisTemplate, "", "", ", "+train))); !errors.As(err, &bad) || bad.Line != 5 {
			t.Errorf("%s: got %v, want an error of line 5", train, err)
		}
	}
	p := project(t, t.TempDir(), fmt.Sprintf(irisTemplate, "", "", ", optimizer: {adamw: {weight_decay: 0}}"))
	c, err := p.fitConfig(0, nil, nil)
	if err != nil || c.Optimizer.Kind != "adam" || c.Optimizer.WeightDecay != 0 {
		t.Errorf("adamw without decay trains with %+v (%v), want adam", c.Optimizer, err)
	}
}

func TestNamesThatAreNoStageAreWrongUsage(t *testing.T) {
	p := project(t, t.TempDir(), wineYAML)
	if _, err := p.Run(t.Context(), "trian"); !errors.Is(err, solera.ErrUsage) {
		t.Errorf("got %v, want %v", err, solera.ErrUsage)
	}
	if err := Check([]string{"evaluate", Load}); err != nil {
		t.Error(err)
	}
}

func TestPointsOfEveryEpochAreRecorded(t *testing.T) {
	p := project(t, t.TempDir(), fmt.Sprintf(irisTemplate, "", "", ""))
	if _, err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	runs, err := p.Tracker.Runs(t.Context(), solera.RunQuery{Stage: Train})
	if err != nil || len(runs) != 1 {
		t.Fatalf("got %d runs (%v), want 1", len(runs), err)
	}
	keys, err := p.Tracker.Store.Keys(t.Context(), runs[0].ID)
	if want := []string{"learning_rate", "train/accuracy", "train/loss", "val/accuracy", "val/loss"}; err != nil || !slices.Equal(keys, want) {
		t.Errorf("got %v (%v), want %v", keys, err, want)
	}
	points, _, err := p.Tracker.Store.Since(t.Context(), runs[0].ID, 0, 0)
	if err != nil || len(points) != 3*5 {
		t.Errorf("got %d points (%v), want 15", len(points), err)
	}
}

// Two processes that start the same project at once must both end well, with
// one line of versions.
func TestTwoPipelinesOnOneStoreAgree(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	results := make([]*Result, 2)
	errs := make([]error, 2)
	for i := range results {
		p := project(t, dir, fmt.Sprintf(irisTemplate, "", "", ""))
		wg.Go(func() { results[i], errs[i] = p.Run(t.Context()) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("pipeline %d: %v", i, err)
		}
	}
	for i := range results[0].Artifacts {
		a, b := results[0].Artifacts[i], results[1].Artifacts[i]
		if a.Digest != b.Digest || a.Version != "v0" || b.Version != "v0" {
			t.Errorf("got %+v and %+v, want v0 with one digest", a, b)
		}
	}
}

func TestOldHalvesOfCheckpointsAreSwept(t *testing.T) {
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{"a.safetensors": 48, "b.safetensors.tmp1": 2, "c.safetensors.tmp2": 0} {
		name = filepath.Join(dir, name)
		then := time.Now().Add(-age * time.Hour)
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, then, then); err != nil {
			t.Fatal(err)
		}
	}
	sweep(dir)
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(left) != 2 || !strings.HasSuffix(left[0], "a.safetensors") || !strings.HasSuffix(left[1], ".tmp2") {
		t.Errorf("left are %v, want the checkpoint and what may be being written", left)
	}
}

func TestChangesNameTheKey(t *testing.T) {
	before := Recipe{Stage: Train, Code: "sha256:aa", Params: map[string]any{"learning_rate": 0.001, "epochs": 10, "optimizer_options": map[string]any{"beta1": 0.9}}, Inputs: map[string]string{"wine-raw": "sha256:11"}}
	after := Recipe{Stage: Train, Code: "sha256:aa", Params: map[string]any{"learning_rate": 0.002, "clip_norm": 1, "optimizer_options": map[string]any{"beta1": 0.8}}, Inputs: map[string]string{"wine-raw": "sha256:22"}}
	want := []Change{
		{"inputs.wine-raw", "sha256:11", "sha256:22"},
		{"params.clip_norm", "", "1"},
		{"params.epochs", "10", ""},
		{"params.learning_rate", "0.001", "0.002"},
		{"params.optimizer_options.beta1", "0.9", "0.8"},
	}
	if diff := cmp.Diff(want, changes(before, after)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if before.Digest() == after.Digest() {
		t.Error("recipes that differ have one digest")
	}
}

func TestRecipesOfEqualParamsAreEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		params := rapid.MapOf(rapid.StringMatching(`[a-z]{1,5}`), rapid.Float64Range(-1e9, 1e9)).Draw(t, "params")
		a, b := Recipe{Stage: Load, Params: map[string]any{}}, Recipe{Stage: Load, Params: map[string]any{}}
		for k, v := range params {
			a.Params[k], b.Params[k] = v, v
		}
		if a.Digest() != b.Digest() || len(changes(a, b)) != 0 {
			t.Fatal("two recipes of the same params differ")
		}
		b.Params["another"] = true
		if a.Digest() == b.Digest() || len(changes(a, b)) != 1 {
			t.Fatal("a further key does not show")
		}
	})
}

func TestEveryStageHasACodeDigest(t *testing.T) {
	seen := map[solera.Digest]string{}
	for _, stage := range Stages() {
		d := codeOf(stage)
		if d.IsZero() || seen[d] != "" {
			t.Errorf("the code of %s has the digest %s, that of %q", stage, d, seen[d])
		}
		seen[d] = stage
	}
}
