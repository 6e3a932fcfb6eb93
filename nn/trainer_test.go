package nn_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/numeric"
	"github.com/solera-ml/solera/tensor"
)

// blobs returns rows around one centre per class.
func blobs(rows, cols, classes int) (*tensor.Matrix, []int32) {
	s := numeric.NewStream(9, "blobs")
	x, y := tensor.New(rows, cols), make([]int32, rows)
	for i := range y {
		y[i] = int32(i % classes)
		for j := range cols {
			x.Row(i)[j] = float32(s.Normal())
		}
		x.Row(i)[int(y[i])%cols] += 3
	}
	return x, y
}

func engine(t testing.TB, kernel string, workers int) *tensor.Engine {
	t.Helper()
	e, err := tensor.NewEngine(kernel, workers)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(e.Close)
	return e
}

func trainer(t testing.TB, n *nn.Network, e *tensor.Engine, o nn.TrainerOptions) *nn.Trainer {
	t.Helper()
	tr, err := nn.NewTrainer(n, e, o)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// steps takes steps from first to last, each on its own rows.
func steps(t testing.TB, tr *nn.Trainer, x *tensor.Matrix, y []int32, batch, first, last int) (loss float64) {
	t.Helper()
	for s := first; s < last; s++ {
		rows := make([]int32, batch)
		stream := numeric.NewStream(4, "rows", uint64(s))
		for i := range rows {
			rows[i] = int32(stream.IntN(x.Rows))
		}
		l, _, err := tr.Step(x, y, rows, 3e-3)
		if err != nil {
			t.Fatal(err)
		}
		loss = l
	}
	return loss
}

func digest(t testing.TB, ts []nn.NamedTensor) string {
	t.Helper()
	var b bytes.Buffer
	if err := nn.WriteSafetensors(&b, ts, nil); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
}

var everything = nn.Spec{Inputs: 7, Outputs: 3, Layers: []nn.LayerSpec{
	lin(40), layer("batch_norm"), layer("relu"), drop(0.3),
	residual(lin(33), layer("layer_norm"), layer("gelu"), drop(0.1)),
	layer("relu"), drop(0.1), layer("mish"), lin(3),
}}

// The digests were computed with the portable kernels on amd64. They stand for
// every CPU and every release: a change means that models trained before cannot
// be reproduced.
func TestKernelSetsAndWorkersGiveTheSameBits(t *testing.T) {
	x, y := blobs(700, 7, 3)
	// Wide enough that every operation is shared among the workers.
	wide := nn.MLP{Inputs: 7, Outputs: 3, Hidden: []int{300, 90}, BatchNorm: true, Dropout: 0.2}.Spec()
	functions := nn.Spec{Inputs: 7, Outputs: 3}
	for _, kind := range []string{"leaky_relu", "gelu", "silu", "tanh", "elu", "selu", "sigmoid", "softplus", "mish"} {
		functions.Layers = append(functions.Layers, lin(19), layer("layer_norm"), layer(kind))
	}
	functions.Layers = append(functions.Layers, lin(3))
	for name, c := range map[string]struct {
		spec         nn.Spec
		batch, steps int
		want         string
	}{
		"everything": {everything, 16, 12, "526e8e2382cd5adeee254360e62e9debe90bfe3badce0dd7c50cc1938c2586d9"},
		"functions":  {functions, 16, 12, "2b10b46f883b4262888ff9bd15b80eab23658ddf2cc335bf7d5b6d94e5bbefef"},
		"wide":       {wide, 200, 2, "961daec807f71b2c73999d601c75f2c9c8ff7a9d071a0c91f7942c68c3a15b10"},
	} {
		for _, kernel := range []string{"avx512", "avx2", "neon", "portable"} {
			for _, workers := range []int{1, 2, 3} {
				e, err := tensor.NewEngine(kernel, workers)
				if err != nil {
					continue
				}
				n, err := nn.New(c.spec, 5)
				if err != nil {
					t.Fatal(err)
				}
				tr := trainer(t, n, e, nn.TrainerOptions{
					MaxBatch: c.batch, Seed: 2, ClipNorm: 0.5, Loss: nn.Loss{LabelSmoothing: 0.1, Focal: 1.5, ClassWeights: []float64{1, 2, 3}},
				})
				loss := steps(t, tr, x, y, c.batch, 0, c.steps)
				v := nn.NewEvaluator(n, e, 0)
				p := v.Predict(x)
				ts := append(n.Tensors(), tr.State()...)
				ts = append(ts, nn.NamedTensor{Name: "loss", Float64: []float64{loss}},
					nn.NamedTensor{Name: "p", Shape: []int{p.Rows, p.Cols}, Data: p.Data})
				got := digest(t, ts)
				e.Close()
				if got != c.want {
					t.Errorf("%s, %s, %d workers: digest %s, want %s", name, kernel, workers, got, c.want)
				}
			}
		}
	}
}

func TestTrainingLearns(t *testing.T) {
	x, y := blobs(200, 7, 3)
	e := engine(t, "", 1)
	for _, o := range []nn.Optimizer{{}, {Kind: "sgd", Momentum: 0.9}, {Kind: "adamw"}, {Kind: "rmsprop", Momentum: 0.5}, {AMSGrad: true}} {
		n, err := nn.New(everything, 5)
		if err != nil {
			t.Fatal(err)
		}
		steps(t, trainer(t, n, e, nn.TrainerOptions{MaxBatch: 32, Optimizer: o}), x, y, 32, 0, 400)
		if loss, correct := nn.NewEvaluator(n, e, 0).Loss(x, y, nn.Loss{}); correct < 185 || !(loss < 0.3) {
			t.Errorf("%+v: %d of 200 right, loss %v", o, correct, loss)
		}
	}
}

func TestResumedTrainingIsTheUninterruptedOne(t *testing.T) {
	x, y := blobs(120, 7, 3)
	e := engine(t, "", 1)
	for _, o := range []nn.Optimizer{
		{}, {AMSGrad: true}, {Kind: "adamw"}, {Kind: "sgd"}, {Kind: "sgd", Momentum: 0.9, Nesterov: true}, {Kind: "rmsprop"}, {Kind: "rmsprop", Momentum: 0.9},
	} {
		options := nn.TrainerOptions{MaxBatch: 16, Seed: 8, Optimizer: o}
		n, err := nn.New(everything, 5)
		if err != nil {
			t.Fatal(err)
		}
		tr := trainer(t, n, e, options)
		steps(t, tr, x, y, 16, 0, 5)
		var file bytes.Buffer
		if err := nn.WriteSafetensors(&file, append(n.Tensors(), tr.State()...), nil); err != nil {
			t.Fatal(err)
		}
		steps(t, tr, x, y, 16, 5, 9)
		want := digest(t, append(n.Tensors(), tr.State()...))

		saved, _, err := nn.ReadSafetensors(&file, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var weights, state []nn.NamedTensor
		for _, s := range saved {
			if strings.HasPrefix(s.Name, "optimizer.") {
				state = append(state, s)
			} else {
				weights = append(weights, s)
			}
		}
		other, err := nn.New(everything, 77)
		if err != nil {
			t.Fatal(err)
		}
		resumed := trainer(t, other, e, options)
		if err := other.SetTensors(weights); err != nil {
			t.Fatal(err)
		}
		if err := resumed.Restore(state); err != nil {
			t.Fatal(err)
		}
		if resumed.Steps() != 5 {
			t.Errorf("%+v: %d steps after Restore", o, resumed.Steps())
		}
		steps(t, resumed, x, y, 16, 5, 9)
		if got := digest(t, append(other.Tensors(), resumed.State()...)); got != want {
			t.Errorf("%+v: the resumed training differs", o)
		}
	}
}

func TestAStepAllocatesNothing(t *testing.T) {
	x, y := blobs(400, 7, 3)
	rows := make([]int32, 400)
	for i := range rows {
		rows[i] = int32(i)
	}
	for _, workers := range []int{1, 2} {
		e := engine(t, "", workers)
		for _, o := range []nn.Optimizer{{AMSGrad: true}, {Kind: "sgd", Momentum: 0.9}, {Kind: "rmsprop"}} {
			n, err := nn.New(everything, 5)
			if err != nil {
				t.Fatal(err)
			}
			tr := trainer(t, n, e, nn.TrainerOptions{MaxBatch: 400, Optimizer: o, ClipNorm: 0.1, Loss: nn.Loss{Focal: 2, LabelSmoothing: 0.1, ClassWeights: []float64{1, 2, 3}}})
			v := nn.NewEvaluator(n, e, 0)
			for _, batch := range []int{16, 400} {
				step := func() {
					if _, _, err := tr.Step(x, y, rows[:batch], 1e-3); err != nil {
						t.Fatal(err)
					}
					v.Loss(x, y, nn.Loss{})
				}
				step() // the engine's scratch memory grows once
				if got := testing.AllocsPerRun(20, step); got != 0 {
					t.Errorf("%v, batch %d, %d workers: %v allocations", o, batch, workers, got)
				}
			}
		}
	}
}

func TestBatchesThatCannotTrainAreRefused(t *testing.T) {
	x, y := blobs(10, 13, 3)
	wrong := append([]int32{3}, y[1:]...)
	e := engine(t, "", 1)
	n, err := nn.New(wine(), 1)
	if err != nil {
		t.Fatal(err)
	}
	tr := trainer(t, n, e, nn.TrainerOptions{MaxBatch: 4})
	before := digest(t, n.Tensors())
	narrow := tensor.New(10, 12)
	for _, c := range []struct {
		name string
		x    *tensor.Matrix
		y    []int32
		rows []int32
		lr   float64
		want string
	}{
		{"one row", x, y, []int32{3}, 1, "a batch of 1 row, which has no variance for batch_norm: merge it with another batch"},
		{"no rows", x, y, nil, 1, "a batch without rows"},
		{"too many rows", x, y, []int32{1, 2, 3, 4, 5}, 1, "a batch of 5 rows: want at most 4"},
		{"row that is not there", x, y, []int32{1, 10}, 1, "row 10 of 10"},
		{"negative row", x, y, []int32{1, -1}, 1, "row -1 of 10"},
		{"class that is not there", x, wrong, []int32{1, 0}, 1, "class 3 in row 0: want 0 to 2"},
		{"too few classes", x, y[:9], []int32{1, 2}, 1, "10 rows but 9 classes"},
		{"too few features", narrow, y, []int32{1, 2}, 1, "rows of 12 features for a network of 13 inputs"},
		{"negative rate", x, y, []int32{1, 2}, -1, "learning rate -1"},
		{"no rate", x, y, []int32{1, 2}, math.NaN(), "learning rate NaN"},
		{"infinite rate", x, y, []int32{1, 2}, math.Inf(1), "learning rate +Inf"},
	} {
		_, _, err := tr.Step(c.x, c.y, c.rows, c.lr)
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if tr.Steps() != 0 || digest(t, n.Tensors()) != before {
		t.Error("a refused batch changed the network")
	}
	if _, _, err := tr.Step(x, y, []int32{1, 2}, 1e-3); err != nil {
		t.Errorf("after refusals: %v", err)
	}
	plain := network(t, 13, 3, lin(3))
	if _, _, err := trainer(t, plain, e, nn.TrainerOptions{MaxBatch: 1}).Step(x, y, []int32{3}, 1e-3); err != nil {
		t.Errorf("one row without batch_norm: %v", err)
	}
}

func TestTrainerOptionsAreChecked(t *testing.T) {
	e := engine(t, "", 1)
	n := network(t, 13, 3, lin(3))
	for _, c := range []struct {
		change func(*nn.TrainerOptions)
		want   string
	}{
		{func(o *nn.TrainerOptions) { o.MaxBatch = 0 }, "batch of 0 rows"},
		{func(o *nn.TrainerOptions) { o.ClipNorm = -1 }, "clip norm -1"},
		{func(o *nn.TrainerOptions) { o.ClipNorm = math.NaN() }, "clip norm NaN"},
		{func(o *nn.TrainerOptions) { o.Loss.LabelSmoothing = 1 }, "label smoothing 1"},
		{func(o *nn.TrainerOptions) { o.Loss.Focal = -1 }, "focal gamma -1"},
		{func(o *nn.TrainerOptions) { o.Loss.ClassWeights = []float64{1, 2} }, "2 class weights for 3 classes"},
		{func(o *nn.TrainerOptions) { o.Loss.ClassWeights = []float64{1, 2, 0} }, "weight 0 of class 2"},
		{func(o *nn.TrainerOptions) { o.Optimizer.Kind = "lamb" }, `unknown kind "lamb"`},
		{func(o *nn.TrainerOptions) { o.Optimizer.Beta1 = 1 }, "beta1 1"},
		{func(o *nn.TrainerOptions) { o.Optimizer.Momentum = 0.9 }, "momentum means nothing for adam"},
		{func(o *nn.TrainerOptions) { o.Optimizer = nn.Optimizer{Kind: "sgd", Beta2: 0.9} }, "beta2 means nothing for sgd"},
		{func(o *nn.TrainerOptions) { o.Optimizer = nn.Optimizer{Kind: "sgd", Nesterov: true} }, "nesterov without the momentum"},
		{func(o *nn.TrainerOptions) { o.Optimizer = nn.Optimizer{Kind: "rmsprop", AMSGrad: true} }, "amsgrad means nothing for rmsprop"},
		{func(o *nn.TrainerOptions) { o.Optimizer.WeightDecay = -1 }, "weight_decay -1"},
		{func(o *nn.TrainerOptions) { o.Optimizer.Eps = math.NaN() }, "eps NaN"},
	} {
		o := nn.TrainerOptions{MaxBatch: 4}
		c.change(&o)
		if _, err := nn.NewTrainer(n, e, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestADivergedStepSaysSoAndChangesNoWeight(t *testing.T) {
	x, y := blobs(20, 7, 3)
	e := engine(t, "", 1)
	n := network(t, 7, 3, lin(8), layer("relu"), lin(3))
	tr := trainer(t, n, e, nn.TrainerOptions{MaxBatch: 20, Optimizer: nn.Optimizer{Kind: "sgd"}})
	rows := []int32{0, 1, 2, 3, 4, 5, 6, 7}
	for i := range 100 {
		before := digest(t, n.Tensors())
		_, _, err := tr.Step(x, y, rows, 1e30)
		if err == nil {
			continue
		}
		if want := fmt.Sprintf("training step %d, learning rate 1e+30: the loss is not a finite number", i+1); !errors.Is(err, nn.ErrDiverged) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if digest(t, n.Tensors()) != before || tr.Steps() != int64(i) {
			t.Error("the diverged step changed the network")
		}
		return
	}
	t.Error("a learning rate of 1e30 did not diverge")
}

func TestGradientsAreClippedToTheNorm(t *testing.T) {
	x, y := blobs(20, 7, 3)
	e := engine(t, "", 1)
	rows := []int32{0, 1, 2, 3, 4, 5, 6, 7}
	// With SGD at rate 1 and no momentum, the weights move by the gradient.
	moved := func(clip float64) (norm float64) {
		n := network(t, 7, 3, lin(8), layer("tanh"), lin(3))
		before := n.Tensors()
		tr := trainer(t, n, e, nn.TrainerOptions{MaxBatch: 20, Optimizer: nn.Optimizer{Kind: "sgd"}, ClipNorm: clip})
		if _, _, err := tr.Step(x, y, rows, 1); err != nil {
			t.Fatal(err)
		}
		for i, a := range n.Tensors() {
			for j, v := range a.Data {
				d := float64(v) - float64(before[i].Data[j])
				norm += d * d
			}
		}
		return math.Sqrt(norm)
	}
	free := moved(0)
	near(t, "clipped to a tenth", []float64{moved(free / 10)}, numbers{free / 10}, 0, 1e-5)
	near(t, "not clipped", []float64{moved(free * 2)}, numbers{free}, 0, 1e-12)
}

func TestDropoutIsAFunctionOfSeedLayerStepAndElement(t *testing.T) {
	e := engine(t, "", 1)
	// An identity in, so that the output shows the masks. Both dropouts see ones.
	n := network(t, 64, 64, lin(64), drop(0.3), residual(lin(64), drop(0.3)))
	for _, w := range n.Weights() {
		v := make([]float32, w.Len())
		if strings.HasSuffix(w.Name, "weight") {
			for i := range 64 {
				v[i*64+i] = 1
			}
		}
		if err := w.Set(v); err != nil {
			t.Fatal(err)
		}
	}
	x := tensor.NewPadded(500, 64)
	for i := range x.Data {
		x.Data[i] = 1
	}
	run := func(seed, step uint64) []float32 {
		p := nn.NewPass(n, e, nn.PassOptions{MaxRows: 500, Training: true, Seed: seed})
		p.SetStep(step)
		return append([]float32(nil), p.Forward(x, true).Data...)
	}
	first := run(1, 7)
	if d := cmp.Diff(first, run(1, 7)); d != "" {
		t.Error("the same step has other masks")
	}
	// With k = 1/0.7, an element is 0 where the first drops it, k where only the
	// second does, and k + k² where neither does.
	k := 1 / (1 - float64(float32(0.3)))
	counts := map[string]float64{}
	for _, v := range first {
		switch {
		case v == 0:
			counts["first"]++
		case math.Abs(float64(v)-k) < 1e-5:
			counts["second"]++
		case math.Abs(float64(v)-k-k*k) < 1e-5:
			counts["none"]++
		default:
			t.Fatalf("a value of %v", v)
		}
	}
	for what, want := range map[string]float64{"first": 0.3, "second": 0.7 * 0.3, "none": 0.49} {
		total := float64(len(first))
		sd := math.Sqrt(want * (1 - want) / total)
		if got := counts[what] / total; math.Abs(got-want) > 4*sd {
			t.Errorf("dropped by %s: %v, want %v ± %v", what, got, want, sd)
		}
	}
	for name, other := range map[string][]float32{"seed": run(2, 7), "step": run(1, 8)} {
		same := 0.0
		for i, v := range other {
			if (v == 0) == (first[i] == 0) {
				same++
			}
		}
		want, total := 0.3*0.3+0.7*0.7, float64(len(first))
		if got := same / total; math.Abs(got-want) > 4*math.Sqrt(want*(1-want)/total) {
			t.Errorf("another %s agrees with the mask in %v of the elements, want %v", name, got, want)
		}
	}
	if d := cmp.Diff(run(1, 7), first); d != "" {
		t.Error("masks depend on what ran before")
	}
}

func TestEvaluationDependsOnTheRowAlone(t *testing.T) {
	x, y := blobs(333, 7, 3)
	n, err := nn.New(everything, 5)
	if err != nil {
		t.Fatal(err)
	}
	e := engine(t, "", 1)
	steps(t, trainer(t, n, e, nn.TrainerOptions{MaxBatch: 16}), x, y, 16, 0, 10)
	whole := nn.NewEvaluator(n, e, 1000)
	p, z := whole.Predict(x), whole.Logits(x)
	l := nn.Loss{ClassWeights: []float64{1, 2, 4}}
	loss, correct := whole.Loss(x, y, l)
	for i := range p.Rows {
		sum := 0.0
		for j, v := range p.Row(i) {
			sum += float64(v)
			if want := math.Exp(float64(z.Row(i)[j])); math.Abs(float64(v)*total(z.Row(i))-want) > 1e-6*want {
				t.Fatalf("row %d: probability %v of logits %v", i, v, z.Row(i))
			}
		}
		if math.Abs(sum-1) > 1e-6 {
			t.Fatalf("row %d: probabilities add up to %v", i, sum)
		}
	}
	for _, workers := range []int{1, 2} {
		e := engine(t, "", workers)
		for _, chunk := range []int{0, 1, 7, 64, 333} {
			v := nn.NewEvaluator(n, e, chunk)
			if d := cmp.Diff(p, v.Predict(x)); d != "" {
				t.Errorf("chunk %d: other probabilities", chunk)
			}
			if d := cmp.Diff(z, v.Logits(x)); d != "" {
				t.Errorf("chunk %d: other logits", chunk)
			}
			if l, c := v.Loss(x, y, l); l != loss || c != correct {
				t.Errorf("chunk %d: loss %v and %d right, want %v and %d", chunk, l, c, loss, correct)
			}
		}
	}
	if d := cmp.Diff(tensor.New(0, 3), whole.Predict(tensor.New(0, 7))); d != "" {
		t.Errorf("no rows: %s", d)
	}
	if l, c := whole.Loss(tensor.New(0, 7), nil, nn.Loss{}); !math.IsNaN(l) || c != 0 {
		t.Errorf("no rows: loss %v, %d right", l, c)
	}
}

func total(z []float32) float64 {
	s := 0.0
	for _, v := range z {
		s += math.Exp(float64(v))
	}
	return s
}
