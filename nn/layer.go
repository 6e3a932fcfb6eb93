package nn

import (
	"github.com/solera-ml/solera/numeric"
	"github.com/solera-ml/solera/tensor"
)

// A Layer is one stage of a network at work: it reads the network's weights,
// and owns the buffers for one batch and the gradients of that batch.
type Layer interface {
	// Forward returns the layer's output for the rows of x, in a buffer that is
	// valid until the next Forward, and remembers x until Backward. Training
	// turns on dropout and the statistics of the batch.
	Forward(x *tensor.Matrix, training bool) *tensor.Matrix

	// Backward takes the gradient of a loss by the output of the last Forward,
	// which must have been a training one, sets the gradients of the layer's
	// weights, and returns the gradient by the input. It may overwrite dy, and
	// it may return nil where nobody asked for the gradient by the input.
	Backward(dy *tensor.Matrix) (dx *tensor.Matrix)

	// Weights returns the layer's weights with their gradients.
	Weights() []Weight
}

// PassOptions say what a Pass is for.
type PassOptions struct {
	MaxRows       int    // rows of the largest batch, at least 1
	Training      bool   // make Backward and training Forward possible
	Seed          uint64 // of dropout
	InputGradient bool   // make Backward return the gradient by the input
}

// A Pass runs a whole network forward and backward. It is itself a Layer. All
// memory is taken when it is made; running it takes none.
type Pass struct {
	network *Network
	layers  sequence
	drops   []*drop
	grads   []float32 // as Network.params, nil without Training
}

// NewPass compiles the network for batches of up to o.MaxRows rows. Neighbours
// that have a common kernel become one layer: batch_norm with a following relu
// and dropout, relu with a following dropout.
func NewPass(n *Network, e *tensor.Engine, o PassOptions) *Pass {
	p := &Pass{network: n}
	if o.Training {
		p.grads = make([]float32, len(n.params))
	}
	b := builder{pass: p, engine: e, options: o}
	p.layers = b.sequence(n.nodes, o.InputGradient)
	return p
}

// SetStep chooses the dropout masks: they are a function of the seed, the
// layer, the step and the element, so a run that is resumed at a step sees the
// masks it would have seen.
func (p *Pass) SetStep(step uint64) {
	for _, d := range p.drops {
		d.Key = mix(d.base + step*0x9e3779b97f4a7c15)
	}
}

// Forward implements Layer.
func (p *Pass) Forward(x *tensor.Matrix, training bool) *tensor.Matrix {
	return p.layers.Forward(x, training)
}

// Backward implements Layer.
func (p *Pass) Backward(dy *tensor.Matrix) *tensor.Matrix { return p.layers.Backward(dy) }

// Weights implements Layer: the weights of the network, in its order.
func (p *Pass) Weights() []Weight {
	var ws []Weight
	for i := range p.network.nodes {
		ws = p.network.weights(ws, &p.network.nodes[i], p.grads)
	}
	return ws
}

// mix is the finaliser of splitmix64 (Steele, Lea and Flood, 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// A drop is the dropout of one layer: none where P is 0.
type drop struct {
	tensor.Dropout
	base uint64 // from the seed and the layer
}

// A sequence is layers in order.
type sequence []Layer

func (s sequence) Forward(x *tensor.Matrix, training bool) *tensor.Matrix {
	for _, l := range s {
		x = l.Forward(x, training)
	}
	return x
}

func (s sequence) Backward(dy *tensor.Matrix) *tensor.Matrix {
	for i := len(s) - 1; i >= 0; i-- {
		dy = s[i].Backward(dy)
	}
	return dy
}

func (s sequence) Weights() []Weight {
	var ws []Weight
	for _, l := range s {
		ws = append(ws, l.Weights()...)
	}
	return ws
}

// A builder turns the nodes of a network into layers.
type builder struct {
	pass    *Pass
	engine  *tensor.Engine
	options PassOptions
}

// sequence compiles nodes; inputGradient says whether someone needs the
// gradient by the input of the first.
func (b *builder) sequence(nodes []node, inputGradient bool) sequence {
	var s sequence
	for i := 0; i < len(nodes); i++ {
		d := &nodes[i]
		need := inputGradient || i > 0
		next := func(kind string) *node {
			if i+1 < len(nodes) && nodes[i+1].Kind == kind {
				i++
				return &nodes[i]
			}
			return nil
		}
		switch d.Kind {
		case kindLinear:
			beforeNorm := i+1 < len(nodes) && nodes[i+1].Kind == kindBatchNorm
			s = append(s, b.linear(d, beforeNorm, need))
		case kindBatchNorm:
			// In place when nobody reads the input again.
			inPlace := !b.options.Training && i > 0 && nodes[i-1].Kind == kindLinear
			relu := next(kindReLU) != nil
			s = append(s, b.batchNorm(d, relu, next(kindDropout), inPlace))
		case kindLayerNorm:
			s = append(s, b.layerNorm(d))
		case kindReLU:
			s = append(s, b.relu(d, next(kindDropout)))
		case kindDropout:
			s = append(s, b.dropout(d))
		case kindResidual:
			s = append(s, b.residual(d, need))
		default:
			s = append(s, b.activation(d))
		}
	}
	return s
}

// drop returns the dropout of node d, none for nil.
func (b *builder) drop(d *node) *drop {
	k := new(drop)
	if d != nil && d.P > 0 {
		k.P = float32(d.P)
		k.base = numeric.NewStream(b.options.Seed, "dropout", d.index...).Uint64()
		k.Key = mix(k.base)
		b.pass.drops = append(b.pass.drops, k)
	}
	return k
}

// buffer returns a matrix for the largest batch.
func (b *builder) buffer(cols int) *tensor.Matrix { return tensor.NewPadded(b.options.MaxRows, cols) }

// params and grads return a part of the flat slices, grads nil without training.
func (b *builder) params(off, size int) []float32 {
	return b.pass.network.params[off : off+size : off+size]
}

func (b *builder) grads(off, size int) []float32 {
	if b.pass.grads == nil {
		return nil
	}
	return b.pass.grads[off : off+size : off+size]
}

func (b *builder) weights(d *node) []Weight {
	return b.pass.network.weights(nil, d, b.pass.grads)
}

// resize sets the rows of a buffer that was made for at least as many.
func resize(m *tensor.Matrix, rows int) *tensor.Matrix {
	m.Rows, m.Data = rows, m.Data[:rows*m.Stride]
	return m
}
