package nntest_test

import (
	"testing"

	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/nn/nntest"
	"github.com/solera-ml/solera/tensor"
)

// faulty is a layer whose Backward is wrong by 1 %.
type faulty struct {
	nn.Layer
	weights bool // the fault is in the weights of the first layer, else in dx
}

func (f faulty) Backward(dy *tensor.Matrix) *tensor.Matrix {
	if f.weights {
		for i := range dy.Data {
			dy.Data[i] *= 1.01
		}
		return f.Layer.Backward(dy)
	}
	dx := f.Layer.Backward(dy)
	for i := range dx.Data {
		dx.Data[i] *= 1.01
	}
	return dx
}

func TestAFaultOfOnePercentIsFound(t *testing.T) {
	n, err := nn.New(nn.MLP{Inputs: 5, Outputs: 3, Hidden: []int{7}, Activation: "tanh", BatchNorm: true}.Spec(), 1)
	if err != nil {
		t.Fatal(err)
	}
	e, err := tensor.NewEngine("", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := nn.NewPass(n, e, nn.PassOptions{MaxRows: 9, Training: true, InputGradient: true})
	if err := nntest.Compare(p, 9, 5); err != nil {
		t.Errorf("right gradients fail: %v", err)
	}
	if nntest.Compare(faulty{p, false}, 9, 5) == nil {
		t.Error("a wrong gradient by the input passes")
	}
	if nntest.Compare(faulty{p, true}, 9, 5) == nil {
		t.Error("wrong gradients of the weights pass")
	}
	if nntest.Compare(nn.NewPass(n, e, nn.PassOptions{MaxRows: 9, Training: true}), 9, 5) == nil {
		t.Error("a missing gradient passes")
	}
}
