package nn_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/tensor"
)

// The files under testdata were computed by PyTorch 1.13.1. The tolerances are
// what PyTorch float32 and PyTorch float64 differ by, rounded up.

func load(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(name, err)
	}
}

// numbers is an array of any depth, flattened in order.
type numbers []float64

func (n *numbers) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	var flatten func(v any) error
	flatten = func(v any) error {
		switch v := v.(type) {
		case float64:
			*n = append(*n, v)
		case []any:
			for _, e := range v {
				if err := flatten(e); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("%T among the numbers", v)
		}
		return nil
	}
	return flatten(v)
}

func (n numbers) float32s() []float32 {
	f := make([]float32, len(n))
	for i, v := range n {
		f[i] = float32(v)
	}
	return f
}

// near reports the largest difference that passes abs + rel·|want|.
func near[T float32 | float64](t *testing.T, what string, got []T, want numbers, abs, rel float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	worst, at := 0.0, -1
	for i, w := range want {
		// The negation makes NaN fail.
		if d := math.Abs(float64(got[i])-w) / (abs + rel*math.Abs(w)); !(d <= 1) && !(d <= worst) {
			worst, at = d, i
		}
	}
	if at >= 0 {
		t.Errorf("%s[%d]: got %.9g, want %.9g: %.3g times the tolerance", what, at, got[at], want[at], worst)
	}
}

func matrix(rows int, values []float32) *tensor.Matrix {
	return &tensor.Matrix{Rows: rows, Cols: len(values) / rows, Stride: len(values) / rows, Data: values}
}

// engines returns one engine per kernel set that this CPU has.
func engines(t testing.TB) []*tensor.Engine {
	var es []*tensor.Engine
	for _, name := range []string{"avx512", "avx2", "neon", "portable"} {
		if e, err := tensor.NewEngine(name, 1); err == nil {
			t.Cleanup(e.Close)
			es = append(es, e)
		}
	}
	return es
}

type goldenRun struct {
	Config struct {
		Class       string  `json:"cls"`
		LR          float64 `json:"lr"`
		Momentum    float64 `json:"momentum"`
		Nesterov    bool    `json:"nesterov"`
		WeightDecay float64 `json:"weight_decay"`
		AMSGrad     bool    `json:"amsgrad"`
	} `json:"config"`
	After1  map[string]numbers `json:"weights_after_1"`
	After20 map[string]numbers `json:"weights_after_20"`
	Running map[string]numbers `json:"running_after_20"`
	Losses  numbers            `json:"losses"`
	Eval    numbers            `json:"eval_logits_first8"`
}

type goldenNet struct {
	Sizes  []int                      `json:"sizes"`
	Layers []string                   `json:"layers"`
	Init   map[string]numbers         `json:"init_float32"`
	Runs   map[string]json.RawMessage `json:"float32"`
}

// torchNet builds a network from the names of torch's classes and sets its weights.
func torchNet(t *testing.T, layers []string, sizes []int, init map[string]numbers) *nn.Network {
	t.Helper()
	s := nn.Spec{Inputs: sizes[0], Outputs: sizes[len(sizes)-1]}
	linears := 0
	for i, l := range layers {
		switch l {
		case "Linear":
			linears++
			_, bias := init[fmt.Sprintf("%d.bias", i)]
			s.Layers = append(s.Layers, nn.LayerSpec{Kind: "linear", Units: sizes[linears], NoBias: !bias})
		case "BatchNorm1d":
			s.Layers = append(s.Layers, nn.LayerSpec{Kind: "batch_norm"})
		case "ReLU":
			s.Layers = append(s.Layers, nn.LayerSpec{Kind: "relu"})
		default:
			t.Fatal("unknown layer", l)
		}
	}
	n, err := nn.New(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	set := 0
	for _, w := range n.Weights() {
		if w.Buffer {
			continue
		}
		v, ok := init[w.Name]
		if !ok {
			t.Fatalf("the golden net has no %s", w.Name)
		}
		if err := w.Set(v.float32s()); err != nil {
			t.Fatal(err)
		}
		set++
	}
	if set != len(init) {
		t.Fatalf("%d weights set, want %d", set, len(init))
	}
	return n
}

// zeroGradient reports whether name is the bias of a linear layer directly
// before batch_norm: torch computes rounding noise for its gradient.
func zeroGradient(layers []string, name string) bool {
	var i int
	if _, err := fmt.Sscanf(name, "%d.bias", &i); err != nil {
		return false
	}
	return layers[i] == "Linear" && i+1 < len(layers) && layers[i+1] == "BatchNorm1d"
}

func TestTwentyStepsAgreeWithTorch(t *testing.T) {
	var golden struct {
		X       numbers              `json:"X"`
		Y       []int32              `json:"y"`
		Batches [][]int32            `json:"batches"`
		Nets    map[string]goldenNet `json:"nets"`
	}
	load(t, "train_steps.json", &golden)
	x := matrix(len(golden.Y), golden.X.float32s())
	first8 := &tensor.Matrix{Rows: 8, Cols: x.Cols, Stride: x.Stride, Data: x.Data}
	runs := 0
	for _, e := range engines(t) {
		for name, net := range golden.Nets {
			for optimizer, raw := range net.Runs {
				if optimizer == "step1" {
					continue
				}
				var run goldenRun
				if err := json.Unmarshal(raw, &run); err != nil {
					t.Fatal(err)
				}
				runs++
				t.Run(e.Kernel()+"/"+name+"/"+optimizer, func(t *testing.T) {
					n := torchNet(t, net.Layers, net.Sizes, net.Init)
					kind := strings.ToLower(run.Config.Class)
					tr, err := nn.NewTrainer(n, e, nn.TrainerOptions{MaxBatch: 16, Optimizer: nn.Optimizer{
						Kind: kind, Momentum: run.Config.Momentum, Nesterov: run.Config.Nesterov,
						WeightDecay: run.Config.WeightDecay, AMSGrad: run.Config.AMSGrad,
					}})
					if err != nil {
						t.Fatal(err)
					}
					abs, rel := 2e-6, 2e-5
					adaptive := kind != "sgd"
					if adaptive {
						abs, rel = 1e-5, 1e-4
					}
					// Rounding noise that Adam turned into steps: nothing to compare.
					noisy := func(name string) bool { return adaptive && zeroGradient(net.Layers, name) }
					compare := func(when string, want map[string]numbers) {
						for _, w := range n.Weights() {
							if v, ok := want[w.Name]; ok && !noisy(w.Name) {
								near(t, w.Name+" "+when, w.Values(), v, abs, rel)
							}
						}
					}
					var losses []float64
					for i, b := range golden.Batches {
						loss, _, err := tr.Step(x, golden.Y, b, run.Config.LR)
						if err != nil {
							t.Fatal(err)
						}
						losses = append(losses, loss)
						if i == 0 {
							compare("after 1 step", run.After1)
						}
					}
					near(t, "losses", losses, run.Losses, 0, 2e-6)
					compare("after 20 steps", run.After20)
					if name == "mlp_bn" && adaptive {
						return // running means follow the noisy biases
					}
					compare("after 20 steps", run.Running)
					near(t, "eval logits", nn.NewEvaluator(n, e, 3).Logits(first8).Data, run.Eval, 1e-5, 1e-4)
				})
			}
		}
	}
	if want := len(engines(t)) * 3 * 9; runs != want {
		t.Errorf("%d golden runs, want %d", runs, want)
	}
}

func TestFirstStepAgreesWithTorch(t *testing.T) {
	var golden struct {
		X       numbers              `json:"X"`
		Y       []int32              `json:"y"`
		Batches [][]int32            `json:"batches"`
		Nets    map[string]goldenNet `json:"nets"`
	}
	load(t, "train_steps.json", &golden)
	x := matrix(len(golden.Y), golden.X.float32s())
	for _, e := range engines(t) {
		for name, net := range golden.Nets {
			t.Run(e.Kernel()+"/"+name, func(t *testing.T) {
				var want struct {
					Logits numbers            `json:"logits"`
					Loss   float64            `json:"loss"`
					Grads  map[string]numbers `json:"grads"`
				}
				if err := json.Unmarshal(net.Runs["step1"], &want); err != nil {
					t.Fatal(err)
				}
				n := torchNet(t, net.Layers, net.Sizes, net.Init)
				batch := golden.Batches[0]
				p := nn.NewPass(n, e, nn.PassOptions{MaxRows: len(batch), Training: true})
				bx := tensor.NewPadded(len(batch), x.Cols)
				e.Gather(bx, x, batch)
				logits := p.Forward(bx, true)
				var got, losses []float64
				dy := tensor.NewPadded(len(batch), logits.Cols)
				total := 0.0
				for i, r := range batch {
					z := make([]float64, logits.Cols)
					for j, v := range logits.Row(i) {
						z[j] = float64(v)
					}
					got = append(got, z...)
					loss, _ := (&nn.Loss{}).Row(z, int(golden.Y[r]))
					total += loss
					for j := range z {
						dy.Row(i)[j] = float32(z[j] / float64(len(batch)))
					}
				}
				losses = append(losses, total/float64(len(batch)))
				near(t, "logits", got, want.Logits, 1e-6, 1e-5)
				near(t, "loss", losses, numbers{want.Loss}, 0, 5e-7)
				p.Backward(dy)
				checked := 0
				for _, w := range p.Weights() {
					g, ok := want.Grads[w.Name]
					if !ok {
						continue
					}
					checked++
					near(t, "gradient of "+w.Name, w.Gradient(), g, 1e-6, 1e-5)
				}
				if checked != len(want.Grads) {
					t.Errorf("%d gradients checked, want %d", checked, len(want.Grads))
				}
			})
		}
	}
}

func TestHundredWineStepsAgreeWithTorch(t *testing.T) {
	type run struct {
		Losses numbers            `json:"losses"`
		Loss   float64            `json:"eval_loss"`
		Logits numbers            `json:"eval_logits_first8"`
		Norms  map[string]float64 `json:"weight_l2"`
	}
	var golden struct {
		X       numbers            `json:"X_float32"`
		Y       []int32            `json:"y"`
		Batches [][]int32          `json:"batches"`
		Init    map[string]numbers `json:"init_float32"`
		Adam    run                `json:"float32_adam"`
		SGD     run                `json:"float32_sgd_momentum"`
	}
	load(t, "train_seed100.json", &golden)
	x := matrix(len(golden.Y), golden.X.float32s())
	first8 := &tensor.Matrix{Rows: 8, Cols: x.Cols, Stride: x.Stride, Data: x.Data}
	layers := []string{"Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"}
	for _, e := range engines(t) {
		for _, c := range []struct {
			name string
			opt  nn.Optimizer
			lr   float64
			want run
		}{
			{"adam", nn.Optimizer{}, 1e-3, golden.Adam},
			{"sgd", nn.Optimizer{Kind: "sgd", Momentum: 0.9}, 1e-2, golden.SGD},
		} {
			t.Run(e.Kernel()+"/"+c.name, func(t *testing.T) {
				n := torchNet(t, layers, []int{13, 64, 32, 3}, golden.Init)
				tr, err := nn.NewTrainer(n, e, nn.TrainerOptions{MaxBatch: 16, Optimizer: c.opt})
				if err != nil {
					t.Fatal(err)
				}
				var losses []float64
				for _, b := range golden.Batches {
					loss, _, err := tr.Step(x, golden.Y, b, c.lr)
					if err != nil {
						t.Fatal(err)
					}
					losses = append(losses, loss)
				}
				near(t, "losses to step 20", losses[:20], c.want.Losses[:20], 0, 2e-6)
				near(t, "losses to step 100", losses, c.want.Losses, 0, 1e-5)
				adam := c.opt.Kind == ""
				for _, w := range n.Weights() {
					if adam && (zeroGradient(layers, w.Name) || strings.HasSuffix(w.Name, "running_mean")) {
						continue
					}
					sum := 0.0
					for _, v := range w.Values() {
						sum += float64(v) * float64(v)
					}
					near(t, "norm of "+w.Name, []float64{math.Sqrt(sum)}, numbers{c.want.Norms[w.Name]}, 0, 1e-5)
				}
				if adam {
					return // evaluation follows the running means, which follow the noise
				}
				v := nn.NewEvaluator(n, e, 50)
				loss, correct := v.Loss(x, golden.Y, nn.Loss{})
				near(t, "eval loss", []float64{loss}, numbers{c.want.Loss}, 0, 1e-5)
				near(t, "eval logits", v.Logits(first8).Data, c.want.Logits, 1e-5, 1e-4)
				if correct < 140 {
					t.Errorf("%d of 142 wines right", correct)
				}
			})
		}
	}
}

func TestCrossEntropyAgreesWithTorch(t *testing.T) {
	var golden struct {
		CrossEntropy struct {
			Logits []numbers `json:"logits"`
			Y      []int     `json:"y"`
			Cases  []struct {
				Smoothing float64         `json:"label_smoothing"`
				Weight    []float64       `json:"weight"`
				Reduction string          `json:"reduction"`
				Loss      json.RawMessage `json:"loss"`
				Grad      numbers         `json:"grad"`
			} `json:"cases"`
		} `json:"cross_entropy"`
	}
	load(t, "losses.json", &golden)
	ce := golden.CrossEntropy
	for _, c := range ce.Cases {
		t.Run(fmt.Sprintf("smoothing %v weights %v %s", c.Smoothing, c.Weight, c.Reduction), func(t *testing.T) {
			var want numbers
			if err := want.UnmarshalJSON(c.Loss); err != nil {
				t.Fatal(err)
			}
			l := nn.Loss{LabelSmoothing: c.Smoothing, ClassWeights: c.Weight}
			if err := l.Check(4); err != nil {
				t.Fatal(err)
			}
			var losses, grads []float64
			sum, weight := 0.0, 0.0
			for i, z := range ce.Logits {
				z := append([]float64(nil), z...)
				loss, _ := l.Row(z, ce.Y[i])
				losses, grads = append(losses, loss), append(grads, z...)
				sum += loss
				weight += l.Weight(ce.Y[i])
			}
			switch c.Reduction {
			case "mean":
				losses = []float64{sum / weight}
				for i := range grads {
					grads[i] /= weight
				}
			case "sum":
				losses = []float64{sum}
			}
			near(t, "loss", losses, want, 1e-14, 1e-12)
			near(t, "gradient", grads, c.Grad, 1e-14, 1e-12)
		})
	}
}

func TestRegressionLossesAgreeWithTorch(t *testing.T) {
	var golden struct {
		Regression struct {
			Pred, Target numbers
			Binary       numbers `json:"binary_target"`
			Cases        map[string]struct {
				Loss float64 `json:"loss"`
				Grad numbers `json:"grad"`
			} `json:"cases"`
		} `json:"regression"`
	}
	load(t, "losses.json", &golden)
	g := golden.Regression
	for _, c := range []struct {
		name   string
		target numbers
		f      func(p, t float64) (float64, float64)
	}{
		{"mse", g.Target, nn.SquaredError},
		{"l1", g.Target, nn.AbsoluteError},
		{"smooth_l1", g.Target, func(p, t float64) (float64, float64) { return nn.SmoothL1(p, t, 1) }},
		{"huber_d0.5", g.Target, func(p, t float64) (float64, float64) { return nn.Huber(p, t, 0.5) }},
		{"bce_logits_pos_weight_None", g.Binary, func(p, t float64) (float64, float64) { return nn.LogisticLoss(p, t, 1) }},
		{"bce_logits_pos_weight_3.0", g.Binary, func(p, t float64) (float64, float64) { return nn.LogisticLoss(p, t, 3) }},
	} {
		want, ok := g.Cases[c.name]
		if !ok {
			t.Errorf("no golden case %s", c.name)
			continue
		}
		sum, n := 0.0, float64(len(g.Pred))
		var grad []float64
		for i, p := range g.Pred {
			loss, slope := c.f(p, c.target[i])
			sum += loss
			grad = append(grad, slope/n)
		}
		near(t, c.name, []float64{sum / n}, numbers{want.Loss}, 0, 1e-12)
		near(t, c.name+" gradient", grad, want.Grad, 1e-14, 1e-12)
	}
}

func TestActivationsAgreeWithTorch(t *testing.T) {
	var golden struct {
		Activations struct {
			X     numbers `json:"x"`
			Cases map[string]struct{ Y, DY numbers }
		} `json:"activations"`
	}
	load(t, "losses.json", &golden)
	for name, want := range golden.Activations.Cases {
		kind := map[string]string{"leaky_relu_0.01": "leaky_relu", "gelu_erf": "gelu"}[name]
		if kind == "" {
			kind = name
		}
		f, ok := nn.ActivationOf(kind, 0)
		if !ok {
			t.Errorf("no activation %s", kind)
			continue
		}
		var y, dy []float64
		for _, x := range golden.Activations.X {
			v, s := f(x)
			y, dy = append(y, v), append(dy, s)
		}
		// Absolute below 1e-15: torch computes tails such as 1 - tanh² from rounded values.
		near(t, name, y, want.Y, 1e-15, 1e-12)
		near(t, name+" slope", dy, want.DY, 1e-15, 1e-12)
	}
	if _, ok := nn.ActivationOf("linear", 0); ok {
		t.Error("linear is no activation")
	}
}
