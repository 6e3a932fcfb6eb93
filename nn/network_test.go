package nn_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera/nn"
)

func TestInitialWeightsAreUniformAndSeeded(t *testing.T) {
	n, err := nn.New(wine(), 42)
	if err != nil {
		t.Fatal(err)
	}
	inputs := map[string]float64{"0": 13, "4": 64, "8": 32}
	for _, w := range n.Weights() {
		index, name, _ := strings.Cut(w.Name, ".")
		if fan, ok := inputs[index]; ok {
			bound := 1 / math.Sqrt(fan)
			sum, squares := 0.0, 0.0
			for _, v := range w.Values() {
				if math.Abs(float64(v)) > bound {
					t.Errorf("%s: %v is beyond ±%v", w.Name, v, bound)
				}
				sum += float64(v)
				squares += float64(v) * float64(v)
			}
			count := float64(w.Len())
			if sd := bound / math.Sqrt(3*count); math.Abs(sum/count) > 4*sd {
				t.Errorf("%s: mean %v, want 0 ± %v", w.Name, sum/count, sd)
			}
			if got, want := squares/count, bound*bound/3; count > 500 && math.Abs(got/want-1) > 0.15 {
				t.Errorf("%s: variance %v, want %v", w.Name, got, want)
			}
			continue
		}
		want := map[string]float32{"weight": 1, "running_var": 1}[name]
		for _, v := range w.Values() {
			if v != want {
				t.Errorf("%s starts at %v, want %v", w.Name, v, want)
			}
		}
	}
	again, _ := nn.New(wine(), 42)
	if d := cmp.Diff(n.Tensors(), again.Tensors()); d != "" {
		t.Error("the same seed gives other weights")
	}
	other, _ := nn.New(wine(), 43)
	if cmp.Equal(n.Tensors()[0], other.Tensors()[0]) {
		t.Error("another seed gives the same weights")
	}
	// A layer's weights do not depend on the layers around it.
	s := wine()
	s.Layers[2] = layer("gelu")
	s.Layers[0].NoBias = true
	changed, _ := nn.New(s, 42)
	if !cmp.Equal(n.Tensors()[6], changed.Tensors()[5]) || n.Tensors()[6].Name != "4.weight" {
		t.Error("the weights of layer 4 depend on the layers before it")
	}
}

func TestWeightsAreInTorchsOrderAndLayout(t *testing.T) {
	n := network(t, 3, 2, lin(4), layer("batch_norm"), residual(lin(5), layer("layer_norm")), lin(2))
	type weight struct {
		Name   string
		Shape  []int
		Buffer bool
	}
	var got []weight
	for _, w := range n.Weights() {
		got = append(got, weight{w.Name, w.Shape, w.Buffer})
		if w.Gradient() != nil {
			t.Errorf("%s of a network has a gradient", w.Name)
		}
	}
	want := []weight{
		{"0.weight", []int{4, 3}, false},
		{"0.bias", []int{4}, false},
		{"1.weight", []int{4}, false},
		{"1.bias", []int{4}, false},
		{"1.running_mean", []int{4}, true},
		{"1.running_var", []int{4}, true},
		{"2.0.weight", []int{5, 4}, false},
		{"2.0.bias", []int{5}, false},
		{"2.1.weight", []int{5}, false},
		{"2.1.bias", []int{5}, false},
		{"2.skip.weight", []int{5, 4}, false},
		{"2.skip.bias", []int{5}, false},
		{"3.weight", []int{2, 5}, false},
		{"3.bias", []int{2}, false},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// Torch layout: row j of the weights makes output j.
	n = network(t, 3, 2, lin(2))
	ws := n.Weights()
	for i, v := range [][]float32{{1, 2, 3, 4, 5, 6}, {10, 20}} {
		if err := ws[i].Set(v); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(v, ws[i].Values()); d != "" {
			t.Error(d)
		}
	}
	y := nn.NewEvaluator(n, engine(t, "", 1), 0).Logits(matrix(1, []float32{1, 0, -1}))
	if d := cmp.Diff([]float32{10 + 1 - 3, 20 + 4 - 6}, y.Data); d != "" {
		t.Error(d)
	}
	if err := ws[0].Set(make([]float32, 5)); err == nil || !strings.Contains(err.Error(), "0.weight has 5 values, want 6") {
		t.Error(err)
	}
}

func TestSetTensorsTakesAllOrNothing(t *testing.T) {
	n, _ := nn.New(wine(), 1)
	other, _ := nn.New(wine(), 2)
	before := n.Tensors()
	for _, c := range []struct {
		name   string
		change func(ts []nn.NamedTensor) []nn.NamedTensor
		want   string
	}{
		{"missing", func(ts []nn.NamedTensor) []nn.NamedTensor { return ts[1:] }, "0.weight is missing"},
		{"unknown", func(ts []nn.NamedTensor) []nn.NamedTensor {
			return append(ts, nn.NamedTensor{Name: "9.weight", Data: []float32{1}})
		}, "9.weight is unknown to this network"},
		{"twice", func(ts []nn.NamedTensor) []nn.NamedTensor { return append(ts, ts[3]) }, "1.bias is there twice"},
		{"transposed", func(ts []nn.NamedTensor) []nn.NamedTensor { ts[0].Shape = []int{13, 64}; return ts }, "0.weight has shape [13 64], want [64 13]"},
		{"wrong type", func(ts []nn.NamedTensor) []nn.NamedTensor {
			ts[1].Float64, ts[1].Data = make([]float64, 64), nil
			return ts
		}, "0.bias has 0 float32 values, want 64"},
	} {
		if err := n.SetTensors(c.change(other.Tensors())); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if d := cmp.Diff(before, n.Tensors()); d != "" {
			t.Errorf("%s: the network changed", c.name)
		}
	}
	if err := n.SetTensors(other.Tensors()); err != nil || !cmp.Equal(n.Tensors(), other.Tensors()) {
		t.Errorf("the right tensors: %v", err)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	n, _ := nn.New(everything, 1)
	c := n.Clone()
	before := n.Tensors()
	for _, w := range c.Weights() {
		if err := w.Set(make([]float32, w.Len())); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(before, n.Tensors()); d != "" {
		t.Error("changing the clone changes the network")
	}
	c.CopyFrom(n)
	if d := cmp.Diff(before, c.Tensors()); d != "" {
		t.Error("CopyFrom differs")
	}
	if s := n.Spec(); !cmp.Equal(s, everything) {
		t.Errorf("Spec: %+v", s)
	} else {
		s.Layers[0].Units = 1
		s.Layers[4].Layers[0].Units = 1
		if !cmp.Equal(n.Spec(), everything) {
			t.Error("the caller can change the network's specification")
		}
	}
	if !n.HasBatchNorm() || network(t, 3, 2, lin(2)).HasBatchNorm() {
		t.Error("HasBatchNorm")
	}
	if !network(t, 3, 2, residual(residual(layer("batch_norm"))), lin(2)).HasBatchNorm() {
		t.Error("HasBatchNorm does not look into residual blocks")
	}
}

func TestRestoreRefusesOtherStates(t *testing.T) {
	e := engine(t, "", 1)
	n := network(t, 3, 2, lin(2))
	adam := trainer(t, n, e, nn.TrainerOptions{MaxBatch: 2})
	sgd := trainer(t, n, e, nn.TrainerOptions{MaxBatch: 2, Optimizer: nn.Optimizer{Kind: "sgd", Momentum: 0.5}})
	for name, c := range map[string]struct {
		state []nn.NamedTensor
		want  string
	}{
		"another optimizer": {sgd.State(), "optimizer.mean.0.weight is missing"},
		"empty":             {nil, "optimizer.steps is missing"},
		"negative":          {append(adam.State()[1:], nn.NamedTensor{Name: "optimizer.steps", Int64: []int64{-1}}), "optimizer.steps is not a count"},
		"wrong type":        {append(adam.State()[1:], nn.NamedTensor{Name: "optimizer.steps", Data: []float32{1}}), "optimizer.steps is not a count"},
	} {
		if err := adam.Restore(c.state); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if err := adam.Restore(adam.State()); err != nil {
		t.Error(err)
	}
}
