// Package nn knows feed-forward networks: their layers, losses, optimizers and
// weights files. It refuses to know where rows come from and when to stop.
//
// A Network is an architecture with weights. A Trainer changes the weights, an
// Evaluator reads them; each holds its own buffers, so several can share one
// network as long as they take turns. Everything is float32 except sums over
// rows of the loss and the functions of one value, which are float64. The bits
// depend on the specification, the seed and the rows, never on the kernel set
// or the number of workers.
package nn

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/solera-ml/solera/numeric"
	"github.com/solera-ml/solera/tensor"
)

// A Network is an architecture with its weights.
//
// All trainable weights lie in one flat slice, so an optimizer is one loop. A
// linear layer's weights are stored [in][out], rows padded to the width of the
// vector kernels; the padding is zero and every formula keeps it zero.
type Network struct {
	spec   Spec
	nodes  []node
	params []float32 // trainable weights
	stats  []float32 // running means and variances of batch_norm
}

// A node is one layer of the specification with its place in the flat slices.
type node struct {
	LayerSpec
	name    string   // prefix of its weights: "3" or, inside a residual block, "3.0"
	index   []uint64 // the same as numbers: names its random streams
	in, out int      // values per row

	weight, bias   int // offsets in params, -1 where there is none
	mean, variance int // offsets in stats, -1 where there is none

	inner []node // residual: the branch
	skip  *node  // residual: the projection of the input, nil where the widths agree
}

// New builds the network and draws its initial weights: weights and biases of
// linear layers uniform in ±1/sqrt(inputs) as torch.nn.Linear does, gammas and
// running variances 1, betas and running means 0. The stream is "init", indexed
// by layer, so a layer's weights do not depend on the layers before it.
func New(s Spec, seed uint64) (*Network, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	s.Layers = cloneLayers(s.Layers)
	n := &Network{spec: s}
	var l layout
	n.nodes, _ = l.layers("", nil, s.Layers, s.Inputs)
	n.params = make([]float32, l.params)
	n.stats = make([]float32, l.stats)
	for i := range n.nodes {
		n.initialise(&n.nodes[i], seed)
	}
	return n, nil
}

// A layout hands out places in the flat slices.
type layout struct{ params, stats int }

func (l *layout) layers(prefix string, index []uint64, layers []LayerSpec, width int) ([]node, int) {
	nodes := make([]node, len(layers))
	for i, spec := range layers {
		nodes[i] = l.node(prefix+strconv.Itoa(i), append(slices.Clone(index), uint64(i)), spec, width)
		width = nodes[i].out
	}
	return nodes, width
}

func (l *layout) node(name string, index []uint64, spec LayerSpec, width int) node {
	n := node{LayerSpec: spec, name: name, index: index, in: width, out: width, weight: -1, bias: -1, mean: -1, variance: -1}
	pad := tensor.Pad(width)
	switch spec.Kind {
	case kindLinear:
		n.out = spec.Units
		n.weight = l.takeParams(width * tensor.Pad(n.out))
		if !spec.NoBias {
			n.bias = l.takeParams(tensor.Pad(n.out))
		}
	case kindBatchNorm:
		n.Eps, n.Momentum = cmp.Or(spec.Eps, 1e-5), cmp.Or(spec.Momentum, 0.1)
		n.weight, n.bias = l.takeParams(pad), l.takeParams(pad)
		n.mean, n.variance = l.stats, l.stats+pad
		l.stats += 2 * pad
	case kindLayerNorm:
		n.Eps = cmp.Or(spec.Eps, 1e-5)
		n.weight, n.bias = l.takeParams(pad), l.takeParams(pad)
	case kindResidual:
		n.inner, n.out = l.layers(name+".", index, spec.Layers, width)
		if n.out != width {
			skip := l.node(name+".skip", append(slices.Clone(index), uint64(len(spec.Layers))),
				LayerSpec{Kind: kindLinear, Units: n.out}, width)
			n.skip = &skip
		}
	}
	return n
}

func (l *layout) takeParams(count int) int {
	off := l.params
	l.params += count
	return off
}

func (n *Network) initialise(d *node, seed uint64) {
	switch d.Kind {
	case kindLinear:
		stream := numeric.NewStream(seed, "init", d.index...)
		bound := 1 / math.Sqrt(float64(d.in))
		draw := func() float32 { return float32(bound * (float64(2*stream.Float64()) - 1)) }
		stride := tensor.Pad(d.out)
		for j := range d.out {
			for i := range d.in {
				n.params[d.weight+i*stride+j] = draw()
			}
		}
		if d.bias >= 0 {
			for j := range d.out {
				n.params[d.bias+j] = draw()
			}
		}
	case kindBatchNorm, kindLayerNorm:
		fill(n.params[d.weight:d.weight+d.in], 1)
		if d.variance >= 0 {
			fill(n.stats[d.variance:d.variance+d.in], 1)
		}
	case kindResidual:
		for i := range d.inner {
			n.initialise(&d.inner[i], seed)
		}
		if d.skip != nil {
			n.initialise(d.skip, seed)
		}
	}
}

func fill(s []float32, v float32) {
	for i := range s {
		s[i] = v
	}
}

// Spec returns the architecture. The caller may change the copy.
func (n *Network) Spec() Spec {
	s := n.spec
	s.Layers = cloneLayers(s.Layers)
	return s
}

func cloneLayers(layers []LayerSpec) []LayerSpec {
	layers = slices.Clone(layers)
	for i := range layers {
		layers[i].Layers = cloneLayers(layers[i].Layers)
	}
	return layers
}

// HasBatchNorm reports whether the network normalises over the batch, in which
// case a training batch needs two rows or more.
func (n *Network) HasBatchNorm() bool { return hasBatchNorm(n.nodes) }

func hasBatchNorm(nodes []node) bool {
	return slices.ContainsFunc(nodes, func(d node) bool { return d.Kind == kindBatchNorm || hasBatchNorm(d.inner) })
}

// Clone returns a copy that shares nothing.
func (n *Network) Clone() *Network {
	c := *n // nodes are never changed after New, so they can be shared
	c.params = slices.Clone(n.params)
	c.stats = slices.Clone(n.stats)
	return &c
}

// CopyFrom sets all weights and running statistics to those of other, without
// allocating. Networks of different architecture cannot be copied: that is a
// defect of the program, and it panics.
func (n *Network) CopyFrom(other *Network) {
	if len(n.params) != len(other.params) || len(n.stats) != len(other.stats) {
		panic("nn: CopyFrom: the networks have different weights")
	}
	copy(n.params, other.params)
	copy(n.stats, other.stats)
}

// Weights returns the network's weights and running statistics in the order of
// torch's state_dict. They are doors to the network's memory, not copies.
//
// The bias of a linear layer directly before batch_norm is among them, as torch
// has it, although batch_norm subtracts it again: its gradient is exactly zero
// here (torch computes rounding noise), so only weight decay moves it.
func (n *Network) Weights() []Weight {
	var ws []Weight
	for i := range n.nodes {
		ws = n.weights(ws, &n.nodes[i], nil)
	}
	return ws
}

// weights appends the weights of d, with gradients out of the flat slice grads
// unless that is nil.
func (n *Network) weights(ws []Weight, d *node, grads []float32) []Weight {
	vector := func(suffix string, flat, flatGrads []float32, off, size int) {
		w := Weight{Name: d.name + "." + suffix, Shape: []int{size}, values: flat[off : off+size], out: size}
		if flatGrads != nil {
			w.gradient = flatGrads[off : off+size]
		}
		ws = append(ws, w)
	}
	switch d.Kind {
	case kindLinear:
		stride := tensor.Pad(d.out)
		w := Weight{Name: d.name + ".weight", Shape: []int{d.out, d.in}, values: n.params[d.weight : d.weight+d.in*stride], in: d.in, out: d.out}
		if grads != nil {
			w.gradient = grads[d.weight : d.weight+d.in*stride]
		}
		ws = append(ws, w)
		if d.bias >= 0 {
			vector("bias", n.params, grads, d.bias, d.out)
		}
	case kindBatchNorm, kindLayerNorm:
		vector("weight", n.params, grads, d.weight, d.in)
		vector("bias", n.params, grads, d.bias, d.in)
		if d.mean >= 0 {
			vector("running_mean", n.stats, nil, d.mean, d.in)
			vector("running_var", n.stats, nil, d.variance, d.in)
			ws[len(ws)-1].Buffer, ws[len(ws)-2].Buffer = true, true
		}
	case kindResidual:
		for i := range d.inner {
			ws = n.weights(ws, &d.inner[i], grads)
		}
		if d.skip != nil {
			ws = n.weights(ws, d.skip, grads)
		}
	}
	return ws
}

// Tensors returns copies of the weights under their names, ready for WriteSafetensors.
func (n *Network) Tensors() []NamedTensor {
	ws := n.Weights()
	ts := make([]NamedTensor, len(ws))
	for i, w := range ws {
		ts[i] = NamedTensor{Name: w.Name, Shape: w.Shape, Data: w.Values()}
	}
	return ts
}

// SetTensors sets every weight and running statistic. A tensor that is missing,
// unknown, or of another shape is an error, and the network stays as it was.
func (n *Network) SetTensors(ts []NamedTensor) error {
	return setAll("read weights", n.Weights(), ts)
}

// setAll checks that ts are exactly the wanted weights and then sets them.
func setAll(op string, ws []Weight, ts []NamedTensor) error {
	named := make(map[string]NamedTensor, len(ts))
	for _, t := range ts {
		if _, ok := named[t.Name]; ok {
			return weightsError(op, fmt.Sprintf("%s is there twice", t.Name))
		}
		named[t.Name] = t
	}
	for _, w := range ws {
		t, ok := named[w.Name]
		switch {
		case !ok:
			return weightsError(op, fmt.Sprintf("%s is missing", w.Name))
		case !slices.Equal(t.Shape, w.Shape):
			return weightsError(op, fmt.Sprintf("%s has shape %v, want %v", w.Name, t.Shape, w.Shape))
		case t.Data == nil || len(t.Data) != w.Len():
			return weightsError(op, fmt.Sprintf("%s has %d float32 values, want %d", w.Name, len(t.Data), w.Len()))
		}
	}
	if len(named) != len(ws) {
		for _, t := range ts {
			if !slices.ContainsFunc(ws, func(w Weight) bool { return w.Name == t.Name }) {
				return weightsError(op, fmt.Sprintf("%s is unknown to this network", t.Name))
			}
		}
	}
	for _, w := range ws {
		if err := w.Set(named[w.Name].Data); err != nil {
			return err
		}
	}
	return nil
}
