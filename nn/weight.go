package nn

import (
	"fmt"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tensor"
)

// A Weight is one named array of a network, seen in torch's layout. It is a
// door to the network's memory: Set changes the network.
type Weight struct {
	Name   string // as in torch's state_dict: "0.weight", "1.running_mean"
	Shape  []int  // [out in] for the matrix of a linear layer, else [width]
	Buffer bool   // running statistics: kept with the weights, not trained

	values   []float32 // the network's own storage
	gradient []float32 // the same layout, nil where nobody computes one
	in, out  int       // in is 0 for a vector; a matrix is stored [in][Pad(out)]
}

// Len returns the number of values, padding not counted.
func (w Weight) Len() int { return w.out * max(w.in, 1) }

// Values returns a copy of the values in torch's layout: row by row, [out][in].
func (w Weight) Values() []float32 { return w.read(w.values) }

// Gradient returns a copy of the gradient in torch's layout, nil where there is
// none: in the weights of a Network rather than of a Pass, and in buffers.
func (w Weight) Gradient() []float32 {
	if w.gradient == nil {
		return nil
	}
	return w.read(w.gradient)
}

func (w Weight) read(stored []float32) []float32 {
	v := make([]float32, w.Len())
	if w.in == 0 {
		copy(v, stored)
		return v
	}
	stride := tensor.Pad(w.out)
	for j := range w.out {
		for i := range w.in {
			v[j*w.in+i] = stored[i*stride+j]
		}
	}
	return v
}

// Set changes the values, given in torch's layout.
func (w Weight) Set(v []float32) error {
	if len(v) != w.Len() {
		return weightsError("set weights", fmt.Sprintf("%s has %d values, want %d", w.Name, len(v), w.Len()))
	}
	w.write(w.values, v)
	return nil
}

func (w Weight) write(stored, v []float32) {
	if w.in == 0 {
		copy(stored, v)
		return
	}
	stride := tensor.Pad(w.out)
	for j := range w.out {
		for i := range w.in {
			stored[i*stride+j] = v[j*w.in+i]
		}
	}
}

func weightsError(op, msg string) error {
	return &solera.InputError{Op: op, Msg: msg, Hint: "use the weights of the same network.json", Err: solera.ErrCorrupt}
}
