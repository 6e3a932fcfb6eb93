package fit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/numeric"
	"github.com/solera-ml/solera/tensor"
)

// rows returns rows of three classes that overlap a little.
func rows(n int, seed uint64) Data {
	s := numeric.NewStream(seed, "test rows")
	d := Data{X: tensor.New(n, 5), Y: make([]int32, n)}
	for i := range d.Y {
		d.Y[i] = int32(i % 3)
		for j := range 5 {
			d.X.Row(i)[j] = float32(s.Normal() + float64((int(d.Y[i])+j)%3))
		}
	}
	return d
}

func network(t testing.TB, m nn.MLP) *nn.Network {
	t.Helper()
	m.Inputs, m.Outputs = 5, 3
	if m.Hidden == nil {
		m.Hidden = []int{8, 6}
	}
	n, err := nn.New(m.Spec(), 3)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var withNorm = nn.MLP{Activation: "relu", BatchNorm: true, Dropout: 0.2}

func engine(t testing.TB, kernel string, workers int) *tensor.Engine {
	t.Helper()
	e, err := tensor.NewEngine(kernel, workers)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(e.Close)
	return e
}

func small() Config {
	return Config{Epochs: 9, BatchSize: 16, LearningRate: 0.01, Seed: 7}
}

// outcome is everything that a training leaves behind, as bytes.
func outcome(t testing.TB, n *nn.Network, r Result) string {
	t.Helper()
	var b bytes.Buffer
	if err := nn.WriteSafetensors(&b, n.Tensors(), nil); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(&b).Encode(r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A countdown is a context that is cancelled when its error has been asked for
// some times: before a batch of one's choice.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// recording is a Recorder that keeps what it gets.
type recording struct {
	steps  []int64
	epochs []map[string]float64
	fail   int64 // the step at which it fails, 0 for never
}

func (r *recording) Record(step int64, m map[string]float64) error {
	if step == r.fail {
		return errors.New("disk full")
	}
	r.steps, r.epochs = append(r.steps, step), append(r.epochs, m)
	return nil
}

func resumeConfigs() map[string]Config {
	plateau := nn.DefaultSchedule(nn.SchedulePlateau)
	plateau.Patience, plateau.Factor = 0, 0.5
	sgd, cosine, stopping := small(), small(), small()
	sgd.Optimizer = nn.Optimizer{Kind: "sgd", Momentum: 0.9, Nesterov: true}
	sgd.Schedule = plateau
	cosine.Optimizer = nn.Optimizer{Kind: "adamw", AMSGrad: true}
	cosine.Schedule = nn.Schedule{Kind: nn.ScheduleCosine, Warmup: 3}
	cosine.ClipNorm, cosine.Loss = 0.5, nn.Loss{LabelSmoothing: 0.1, ClassWeights: []float64{1, 2, 0.5}}
	stopping.Optimizer = nn.Optimizer{Kind: "rmsprop"}
	stopping.LearningRate, stopping.Epochs, stopping.EarlyStopping = 0.05, 30, &EarlyStopping{Patience: 3, MinDelta: 0.001}
	stopping.BatchSize = 7 // 50 rows: the last batch would be one row
	return map[string]Config{"adam": small(), "sgd with plateau": sgd, "adamw with warm-up and clipping": cosine, "rmsprop with early stopping": stopping}
}

func TestStoppingAnywhereAndResumingGivesTheSameBytes(t *testing.T) {
	e, train, val := engine(t, "", 1), rows(50, 1), rows(20, 2)
	for name, c := range resumeConfigs() {
		t.Run(name, func(t *testing.T) {
			whole := network(t, withNorm)
			all := &countdown{context.Background(), math.MaxInt}
			recorded := &recording{}
			r, err := Network(all, whole, e, train, val, c, Options{Recorder: recorded})
			if err != nil {
				t.Fatal(err)
			}
			want, batches := outcome(t, whole, r), math.MaxInt-all.left
			for stop := range batches {
				file := filepath.Join(t.TempDir(), "checkpoint.safetensors")
				n := network(t, withNorm)
				before := outcome(t, n, Result{})
				_, err := Network(&countdown{context.Background(), stop}, n, e, train, val, c, Options{Checkpoint: file, Resume: true})
				if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), fmt.Sprintf("step %d", stop)) {
					t.Fatalf("stopped at batch %d: error %v", stop, err)
				}
				if outcome(t, n, Result{}) != before {
					t.Fatalf("stopped at batch %d: the network changed", stop)
				}
				again := &recording{}
				r, err := Network(context.Background(), n, e, train, val, c, Options{Checkpoint: file, Resume: true, Recorder: again})
				if err != nil {
					t.Fatal(err)
				}
				if got := outcome(t, n, r); got != want {
					t.Fatalf("stopped at batch %d of %d: other bytes", stop, batches)
				}
				if !slices.Equal(again.steps, recorded.steps) || !slices.EqualFunc(again.epochs, recorded.epochs, maps.Equal) {
					t.Fatalf("stopped at batch %d: the resumed run recorded %v, want %v", stop, again.steps, recorded.steps)
				}
			}
			t.Logf("%d epochs, %d places to stop, best epoch %d", r.Epochs, batches, r.BestEpoch)
		})
	}
}

func TestStoppingAgainAndAgainGivesTheSameBytes(t *testing.T) {
	e, train, val, c := engine(t, "", 1), rows(50, 1), rows(20, 2), small()
	whole := network(t, withNorm)
	r, err := Network(context.Background(), whole, e, train, val, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "checkpoint.safetensors")
	n, stops := network(t, withNorm), 0
	for ; ; stops++ {
		got, err := Network(&countdown{context.Background(), 5}, n, e, train, val, c, Options{Checkpoint: file, Resume: true})
		if err == nil {
			if outcome(t, n, got) != outcome(t, whole, r) {
				t.Error("other bytes")
			}
			break
		}
	}
	if stops < 5 {
		t.Errorf("stopped %d times only", stops)
	}
}

func TestHowOftenACheckpointIsWrittenChangesNothing(t *testing.T) {
	e, train, val, c := engine(t, "", 1), rows(50, 1), rows(20, 2), small()
	results := map[string]string{}
	for name, o := range map[string]Options{"none": {}, "each epoch": {Every: -1}, "each 16 batches": {Every: 1}, "each second": {}} {
		if name != "none" {
			o.Checkpoint = filepath.Join(t.TempDir(), "c")
		}
		n := network(t, withNorm)
		r, err := Network(context.Background(), n, e, train, val, c, o)
		if err != nil {
			t.Fatal(err)
		}
		results[outcome(t, n, r)] = name
	}
	if len(results) != 1 {
		t.Errorf("%d different results", len(results))
	}
}

// A machine that stops leaves the checkpoint of some moment; each must do.
func TestACrashAtAnyEpochLosesNothingButTime(t *testing.T) {
	e, train, val, c := engine(t, "", 1), rows(50, 1), rows(20, 2), small()
	file := filepath.Join(t.TempDir(), "c")
	var files [][]byte
	whole := network(t, withNorm)
	r, err := Network(context.Background(), whole, e, train, val, c, Options{Checkpoint: file, Every: -1, Observe: func(int, *nn.Network) {
		if b, err := os.ReadFile(file); err == nil {
			files = append(files, b)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != c.Epochs-1 {
		t.Fatalf("%d checkpoints", len(files))
	}
	for i, b := range files {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		n := network(t, withNorm)
		got, err := Network(context.Background(), n, e, train, val, c, Options{Checkpoint: file, Resume: true})
		if err != nil {
			t.Fatal(err)
		}
		if outcome(t, n, got) != outcome(t, whole, r) {
			t.Errorf("resuming after epoch %d gives other bytes", i+1)
		}
	}
}

func TestEveryKernelSetAndNumberOfWorkersGivesTheSameBytes(t *testing.T) {
	train, val, c := rows(50, 1), rows(20, 2), small()
	want := ""
	for _, kernel := range []string{"portable", "avx2", "avx512", "neon"} {
		for _, workers := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d workers", kernel, workers), func(t *testing.T) {
				n := network(t, withNorm)
				r, err := Network(context.Background(), n, engine(t, kernel, workers), train, val, c, Options{})
				if err != nil {
					t.Fatal(err)
				}
				got := outcome(t, n, r)
				if want == "" {
					want = got
				}
				if got != want {
					t.Error("other bytes")
				}
			})
		}
	}
}

func TestTheNetworkEndsWithItsBestWeights(t *testing.T) {
	e, train, val, c := engine(t, "", 1), rows(50, 1), rows(20, 2), small()
	c.LearningRate, c.Epochs = 0.1, 39 // overfits
	n := network(t, withNorm)
	losses, networks := []float64{}, []*nn.Network{}
	r, err := Network(context.Background(), n, e, train, val, c, Options{Observe: func(_ int, n *nn.Network) {
		networks = append(networks, n.Clone())
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range r.History {
		losses = append(losses, h.ValLoss)
		if h.Epoch != i+1 || !(h.TrainLoss > 0) || !(h.TrainAccuracy > 0.2 && h.TrainAccuracy <= 1) || h.LearningRate != 0.1 {
			t.Errorf("history %+v", h)
		}
	}
	best := slices.Index(losses, slices.Min(losses))
	if r.BestEpoch != best+1 || r.Epochs != 39 || best == 38 || r.Best().ValLoss != losses[best] || r.Steps != 39*4 {
		t.Errorf("best epoch %d, losses %v", r.BestEpoch, losses)
	}
	if outcome(t, n, r) != outcome(t, networks[best], r) {
		t.Error("the network does not have the weights of the best epoch")
	}
	if loss, correct := nn.NewEvaluator(n, e, 0).Loss(val.X, val.Y, c.Loss); loss != losses[best] || float64(correct)/20 != r.Best().ValAccuracy {
		t.Errorf("loss %v, want %v", loss, losses[best])
	}
}

func TestEarlyStoppingWaitsForItsPatience(t *testing.T) {
	e, train, val, c := engine(t, "", 1), rows(50, 1), rows(20, 2), small()
	c.LearningRate, c.Epochs, c.EarlyStopping = 0.1, 400, &EarlyStopping{Patience: 4}
	r, err := Network(context.Background(), network(t, withNorm), e, train, val, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !r.StoppedEarly || r.Epochs != r.BestEpoch+4 || len(r.History) != r.Epochs {
		t.Errorf("stopped early %v after %d epochs, best %d", r.StoppedEarly, r.Epochs, r.BestEpoch)
	}
	c.EarlyStopping.MinDelta = 100 // nothing counts after the first epoch
	if r, err = Network(context.Background(), network(t, withNorm), e, train, val, c, Options{}); err != nil || r.Epochs != 5 {
		t.Errorf("%d epochs, error %v", r.Epochs, err)
	}
}

func TestALastBatchOfOneRowJoinsTheOneBefore(t *testing.T) {
	e, val, c := engine(t, "", 1), rows(20, 2), small()
	for _, tt := range []struct {
		rows, batch int
		norm        bool
		steps       int64 // per epoch
	}{{49, 16, true, 3}, {49, 16, false, 4}, {50, 16, true, 4}, {3, 2, true, 1}, {2, 2, true, 1}, {48, 16, true, 3}, {5, 1, false, 5}} {
		c.BatchSize = tt.batch
		n := network(t, nn.MLP{Activation: "relu", BatchNorm: tt.norm})
		r, err := Network(context.Background(), n, e, rows(tt.rows, 1), val, c, Options{})
		if err != nil || r.Steps != 9*tt.steps {
			t.Errorf("%d rows in batches of %d: %d steps in 9 epochs, error %v, want %d each", tt.rows, tt.batch, r.Steps, err, tt.steps)
		}
	}
}

func TestEveryRowIsSeenOncePerEpochInAnotherOrder(t *testing.T) {
	seen := map[string]bool{}
	for epoch := 1; epoch <= 20; epoch++ {
		tr := &training{c: small(), order: make([]int32, 30), epoch: epoch}
		tr.shuffle()
		seen[fmt.Sprint(tr.order)] = true
		slices.Sort(tr.order)
		for i, v := range tr.order {
			if int(v) != i {
				t.Fatalf("epoch %d lacks row %d", epoch, i)
			}
		}
	}
	if len(seen) != 20 {
		t.Errorf("%d orders in 20 epochs", len(seen))
	}
}

func TestADivergingTrainingSaysWhereAndKeepsItsCheckpoint(t *testing.T) {
	e, train, val := engine(t, "", 1), rows(50, 1), rows(20, 2)
	for _, kind := range []string{"sgd", "adam", "rmsprop"} {
		for _, m := range []nn.MLP{withNorm, {Activation: "relu"}} {
			t.Run(fmt.Sprintf("%s, batch_norm %v", kind, m.BatchNorm), func(t *testing.T) {
				c := small()
				c.LearningRate, c.Optimizer = 1e6, nn.Optimizer{Kind: kind}
				n := network(t, m)
				before := outcome(t, n, Result{})
				r, err := Network(context.Background(), n, e, train, val, c, Options{})
				if !errors.Is(err, ErrDiverged) {
					t.Fatalf("error %v", err)
				}
				for _, want := range []string{"epoch ", "step ", "smaller learning rate", "1e+06"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error %q lacks %q", err, want)
					}
				}
				if r.BestEpoch == 0 && outcome(t, n, Result{}) != before {
					t.Error("no epoch ended, but the network changed")
				}
			})
		}
	}
	t.Run("after some good epochs", func(t *testing.T) {
		// The rate rises from harmless to absurd.
		c := small()
		c.LearningRate, c.Optimizer = 1e7, nn.Optimizer{Kind: "sgd"}
		c.Schedule = nn.Schedule{Kind: nn.ScheduleOneCycle, DivFactor: 1e9, PctStart: 0.99, Total: 100}
		file := filepath.Join(t.TempDir(), "c")
		n := network(t, withNorm)
		r, err := Network(context.Background(), n, e, train, val, c, Options{Checkpoint: file, Every: -1})
		if !errors.Is(err, ErrDiverged) || r.Epochs < 1 || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), fmt.Sprintf("epoch %d", r.Epochs+1)) {
			t.Fatalf("error %v after %d epochs", err, r.Epochs)
		}
		if loss, _ := nn.NewEvaluator(n, e, 0).Loss(val.X, val.Y, c.Loss); loss != r.Best().ValLoss {
			t.Errorf("the network has loss %v, want that of its best epoch, %v", loss, r.Best().ValLoss)
		}
		// At the usual interval the first epoch is kept, however short it was.
		_, err = Network(context.Background(), network(t, withNorm), e, train, val, c, Options{Checkpoint: file + "2"})
		if _, serr := os.Stat(file + "2"); serr != nil || !strings.Contains(err.Error(), file+"2") {
			t.Errorf("no checkpoint of the first epoch: %v, %v", serr, err)
		}
		// The checkpoint is that of the last epoch that ended, and can be read.
		_, err = Network(&countdown{context.Background(), 0}, network(t, withNorm), e, train, val, c, Options{Checkpoint: file, Resume: true})
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), fmt.Sprintf("in epoch %d ", r.Epochs+1)) {
			t.Errorf("resuming: %v", err)
		}
	})
}

func TestAFeatureThatIsNotFiniteIsNamed(t *testing.T) {
	e, train, val := engine(t, "", 1), rows(50, 1), rows(20, 2)
	train.X.Row(17)[2] = float32(math.NaN())
	_, err := Network(context.Background(), network(t, withNorm), e, train, val, small(), Options{})
	if err == nil || !strings.Contains(err.Error(), "row 17 has the value NaN in feature 2") {
		t.Errorf("error %v", err)
	}
}

func TestARecorderThatFailsEndsTheTrainingWithAUsableCheckpoint(t *testing.T) {
	e, train, val, c := engine(t, "", 1), rows(50, 1), rows(20, 2), small()
	whole := network(t, withNorm)
	want, err := Network(context.Background(), whole, e, train, val, c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for fail := int64(1); fail <= 9; fail++ {
		file := filepath.Join(t.TempDir(), "c")
		n := network(t, withNorm)
		_, err := Network(context.Background(), n, e, train, val, c, Options{Checkpoint: file, Recorder: &recording{fail: fail}})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("record epoch %d: disk full", fail)) {
			t.Fatalf("error %v", err)
		}
		got := &recording{}
		r, err := Network(context.Background(), n, e, train, val, c, Options{Checkpoint: file, Resume: true, Recorder: got})
		if err != nil || outcome(t, n, r) != outcome(t, whole, want) || len(got.steps) != 9 {
			t.Errorf("failed at %d: error %v, %d epochs recorded", fail, err, len(got.steps))
		}
	}
}

func TestWhatCannotTrainIsRefusedBeforeTheFirstStep(t *testing.T) {
	e := engine(t, "", 1)
	nan := math.NaN()
	bad := rows(50, 1)
	bad.Y[3] = 3
	for _, tt := range []struct {
		name       string
		change     func(*Config)
		train, val Data
		want       string
	}{
		{name: "batch larger than the data", change: func(c *Config) { c.BatchSize = 51 }, want: "batch size 51 is larger than the 50 training rows: set batch_size to 50"},
		{name: "batch size 0", change: func(c *Config) { c.BatchSize = 0 }, want: "batch size 0"},
		{name: "batch size 1 under batch_norm", change: func(c *Config) { c.BatchSize = 1 }, want: "no variance for batch_norm"},
		{name: "one row under batch_norm", change: func(c *Config) { c.BatchSize = 1 }, train: rows(1, 1), want: "1 training row"},
		{name: "epochs 0", change: func(c *Config) { c.Epochs = 0 }, want: "0 epochs"},
		{name: "epochs -1", change: func(c *Config) { c.Epochs = -1 }, want: "-1 epochs"},
		{name: "rate 0", change: func(c *Config) { c.LearningRate = 0 }, want: "learning rate 0"},
		{name: "rate negative", change: func(c *Config) { c.LearningRate = -1 }, want: "learning rate -1"},
		{name: "rate NaN", change: func(c *Config) { c.LearningRate = nan }, want: "learning rate NaN"},
		{name: "rate infinite", change: func(c *Config) { c.LearningRate = math.Inf(1) }, want: "learning rate +Inf"},
		{name: "clip norm", change: func(c *Config) { c.ClipNorm = nan }, want: "clip norm NaN"},
		{name: "patience 0", change: func(c *Config) { c.EarlyStopping = &EarlyStopping{} }, want: "patience 0"},
		{name: "min delta", change: func(c *Config) { c.EarlyStopping = &EarlyStopping{Patience: 1, MinDelta: -1} }, want: "min_delta -1"},
		{name: "schedule", change: func(c *Config) { c.Schedule.Kind = "sawtooth" }, want: "sawtooth"},
		{name: "optimizer", change: func(c *Config) { c.Optimizer.Kind = "newton" }, want: "newton"},
		{name: "loss", change: func(c *Config) { c.Loss.LabelSmoothing = 2 }, want: "label smoothing 2"},
		{name: "no training rows", train: Data{X: tensor.New(0, 5)}, want: "no training rows"},
		{name: "no validation rows", val: Data{X: tensor.New(0, 5)}, want: "no validation rows"},
		{name: "classes missing", train: Data{X: tensor.New(50, 5), Y: make([]int32, 49)}, want: "50 training rows but 49 classes"},
		{name: "features", val: Data{X: tensor.New(4, 6), Y: make([]int32, 4)}, want: "validation rows have 6 features, the network has 5 inputs"},
		{name: "class too high", train: bad, want: "row 3 is of class 3"},
	} {
		c, train, val := small(), rows(50, 1), rows(20, 2)
		if tt.change != nil {
			tt.change(&c)
		}
		if tt.train.X != nil {
			train = tt.train
		}
		if tt.val.X != nil {
			val = tt.val
		}
		n := network(t, withNorm)
		before := outcome(t, n, Result{})
		_, err := Network(context.Background(), n, e, train, val, c, Options{})
		var input *solera.InputError
		if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.As(err, &input) {
			t.Errorf("%s: error %v, want one about %q", tt.name, err, tt.want)
		}
		if outcome(t, n, Result{}) != before {
			t.Errorf("%s: the network changed", tt.name)
		}
	}
}

// checkpoint returns the bytes of a training that was stopped in epoch 3.
func checkpoint(t testing.TB, e *tensor.Engine, train, val Data, c Config) (file string, content []byte) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "stopped.safetensors")
	_, err := Network(&countdown{context.Background(), 10}, network(t, withNorm), e, train, val, c, Options{Checkpoint: file})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	content, err = os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return file, content
}

func TestADamagedCheckpointIsRefused(t *testing.T) {
	e, train, val, c := engine(t, "", 1), rows(50, 1), rows(20, 2), small()
	file, good := checkpoint(t, e, train, val, c)
	resume := func(b []byte) error {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		n := network(t, withNorm)
		before := outcome(t, n, Result{})
		_, err := Network(context.Background(), n, e, train, val, c, Options{Checkpoint: file, Resume: true})
		if err != nil && outcome(t, n, Result{}) != before {
			t.Error("the network changed")
		}
		return err
	}
	if err := resume(good); err != nil {
		t.Fatal(err)
	}
	check := func(name string, b []byte) {
		t.Helper()
		err := resume(b)
		if !errors.Is(err, solera.ErrCorrupt) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "remove the file") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	check("empty", nil)
	for _, cut := range []int{1, 7, 8, 9, 100, len(good) / 2, len(good) - 1} {
		check(fmt.Sprintf("%d bytes", cut), good[:cut])
	}
	check("longer", append(slices.Clone(good), 0))
	s := numeric.NewStream(1, "test")
	for range 300 {
		b := slices.Clone(good)
		i := s.IntN(len(b))
		b[i] ^= 1 << s.IntN(8)
		err := resume(b)
		if err == nil {
			t.Fatalf("bit flipped in byte %d of %d: accepted", i, len(b))
		}
		if !strings.Contains(err.Error(), file) {
			t.Errorf("bit flipped in byte %d: error %v", i, err)
		}
	}
}

func TestACheckpointOfAnotherTrainingIsRefusedAndSaysWhy(t *testing.T) {
	e, train, val, c := engine(t, "", 1), rows(50, 1), rows(20, 2), small()
	file, _ := checkpoint(t, e, train, val, c)
	for want, change := range map[string]func(c *Config, train, val *Data, n **nn.Network){
		"config.batch_size is 16 there, 8 here":   func(c *Config, _, _ *Data, _ **nn.Network) { c.BatchSize = 8 },
		"config.learning_rate is 0.01 there, 0.1": func(c *Config, _, _ *Data, _ **nn.Network) { c.LearningRate = 0.1 },
		"config.seed is 7 there, 8 here":          func(c *Config, _, _ *Data, _ **nn.Network) { c.Seed = 8 },
		"config.optimizer.kind":                   func(c *Config, _, _ *Data, _ **nn.Network) { c.Optimizer.Kind = "sgd" },
		"config.early_stopping is not set there":  func(c *Config, _, _ *Data, _ **nn.Network) { c.EarlyStopping = &EarlyStopping{Patience: 3} },
		"training_rows":                           func(_ *Config, train, _ *Data, _ **nn.Network) { *train = rows(50, 9) },
		"validation_rows":                         func(_ *Config, _, val *Data, _ **nn.Network) { *val = rows(21, 2) },
		"network.layers":                          func(_ *Config, _, _ *Data, n **nn.Network) { *n = network(t, nn.MLP{Activation: "relu"}) },
		"start_weights": func(_ *Config, _, _ *Data, n **nn.Network) {
			*n, _ = nn.New((*n).Spec(), 99)
		},
	} {
		c, train, val, n := c, train, val, network(t, withNorm)
		change(&c, &train, &val, &n)
		_, err := Network(context.Background(), n, e, train, val, c, Options{Checkpoint: file, Resume: true})
		if !errors.Is(err, solera.ErrConflict) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	// Without Resume it is overwritten; a file that is absent is no error.
	if _, err := Network(context.Background(), network(t, withNorm), e, rows(40, 5), val, c, Options{Checkpoint: file, Every: -1}); err != nil {
		t.Error(err)
	}
	if _, err := Network(context.Background(), network(t, withNorm), e, train, val, c, Options{Checkpoint: file + "2", Resume: true}); err != nil {
		t.Error(err)
	}
}

func TestACheckpointThatCannotBeWrittenIsAnError(t *testing.T) {
	e, train, val, c := engine(t, "", 1), rows(50, 1), rows(20, 2), small()
	_, err := Network(context.Background(), network(t, withNorm), e, train, val, c, Options{Checkpoint: filepath.Join(t.TempDir(), "no", "folder"), Every: -1})
	if err == nil || !strings.Contains(err.Error(), "save checkpoint") {
		t.Errorf("error %v", err)
	}
	dir := t.TempDir()
	if _, err := Network(context.Background(), network(t, withNorm), e, train, val, c, Options{Checkpoint: filepath.Join(dir, "c"), Every: -1}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}

func TestACauseIsNamedWhenTrainingIsStopped(t *testing.T) {
	e, train, val, c := engine(t, "", 1), rows(50, 1), rows(20, 2), small()
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(solera.ErrStopped)
	_, err := Network(ctx, network(t, withNorm), e, train, val, c, Options{})
	if !errors.Is(err, solera.ErrStopped) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestParallelRunsAllAndReturnsTheFirstError(t *testing.T) {
	done := make([]bool, 20)
	if err := Parallel(context.Background(), 20, 4, func(_ context.Context, i int) error { done[i] = true; return nil }); err != nil || slices.Contains(done, false) {
		t.Errorf("error %v, done %v", err, done)
	}
	boom := errors.New("boom")
	err := Parallel(context.Background(), 8, 3, func(ctx context.Context, i int) error {
		if i == 2 {
			return boom
		}
		if i > 2 {
			<-ctx.Done() // a training ends so when another fails
			return ctx.Err()
		}
		return nil
	})
	if err != boom {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Parallel(ctx, 3, 2, func(context.Context, int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := Parallel(context.Background(), 0, 2, nil); err != nil {
		t.Error(err)
	}
}

func FuzzCheckpoint(f *testing.F) {
	e, err := tensor.NewEngine("", 1)
	if err != nil {
		f.Fatal(err)
	}
	defer e.Close()
	train, val, c := rows(50, 1), rows(20, 2), small()
	_, good := checkpoint(f, e, train, val, c)
	f.Add(good)
	f.Add(good[:40])
	f.Add([]byte{})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		file := filepath.Join(dir, "c")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Network(&countdown{context.Background(), 0}, network(t, withNorm), e, train, val, c, Options{Checkpoint: file, Resume: true})
		if err == nil || errors.Is(err, context.Canceled) != bytes.Equal(b, good) {
			t.Errorf("error %v", err)
		}
	})
}

// Epochs are short on small tables, so what an epoch costs besides its steps
// matters: its random stream, and nothing that grows with the rows.
func TestAnEpochAllocatesNextToNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	e, train, val, c := engine(t, "", 1), rows(500, 1), rows(20, 2), small()
	count := func(epochs int) float64 {
		c.Epochs = epochs
		return testing.AllocsPerRun(3, func() {
			if _, err := Network(context.Background(), network(t, withNorm), e, train, val, c, Options{}); err != nil {
				t.Fatal(err)
			}
		})
	}
	if per := (count(60) - count(10)) / 50; per > 8 {
		t.Errorf("%.1f allocations per epoch", per)
	}
}
