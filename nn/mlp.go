package nn

import "cmp"

// An MLP describes the common network of tabular work: for every hidden width
// linear → norm → activation → dropout, then a linear layer to the outputs.
type MLP struct {
	Inputs, Outputs int
	Hidden          []int
	Activation      string  // a kind of layer; "" means relu
	BatchNorm       bool    // normalise over the batch
	LayerNorm       bool    // normalise over the row; both is allowed, BatchNorm first
	Dropout         float64 // share of values set to zero in training, 0 for none
	Residual        bool    // add each hidden stage's input to its output
}

// Spec returns the architecture. It does not check it.
func (m MLP) Spec() Spec {
	s := Spec{Inputs: m.Inputs, Outputs: m.Outputs}
	for _, units := range m.Hidden {
		stage := []LayerSpec{{Kind: kindLinear, Units: units}}
		if m.BatchNorm {
			stage = append(stage, LayerSpec{Kind: kindBatchNorm})
		}
		if m.LayerNorm {
			stage = append(stage, LayerSpec{Kind: kindLayerNorm})
		}
		stage = append(stage, LayerSpec{Kind: cmp.Or(m.Activation, kindReLU)})
		if m.Dropout != 0 {
			stage = append(stage, LayerSpec{Kind: kindDropout, P: m.Dropout})
		}
		if m.Residual {
			stage = []LayerSpec{{Kind: kindResidual, Layers: stage}}
		}
		s.Layers = append(s.Layers, stage...)
	}
	s.Layers = append(s.Layers, LayerSpec{Kind: kindLinear, Units: m.Outputs})
	return s
}
