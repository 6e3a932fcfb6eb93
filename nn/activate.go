package nn

import (
	"math"

	"github.com/solera-ml/solera/tensor"
)

// activation applies a function of one value. In training it keeps the slopes,
// which share most of their cost with the values.
type activation struct {
	engine    *tensor.Engine
	f         Activation
	leaky     bool // leaky_relu needs no function
	slope     float32
	x, y, dy  *tensor.Matrix
	slopes    *tensor.Matrix // dy/dx of the last training Forward
	training  bool
	forward   func(lo, hi int) // over rows; made once, since a closure costs an allocation
	backward  func(lo, hi int)
	blockRows int
}

func (b *builder) activation(d *node) *activation {
	f, ok := ActivationOf(d.Kind, d.Slope)
	if !ok {
		panic("nn: no layer of kind " + d.Kind)
	}
	l := &activation{engine: b.engine, f: f, y: b.buffer(d.in), blockRows: rowsPerBlock(d.in)}
	if d.Kind == kindLeakyReLU {
		_, s := f(-1)
		l.leaky, l.slope = true, float32(s)
	}
	if b.options.Training {
		l.slopes = b.buffer(d.in)
	}
	l.forward, l.backward = l.forwardRows, l.backwardRows
	return l
}

// rowsPerBlock returns the rows that one worker takes at a time: enough values
// to be worth waking it.
func rowsPerBlock(cols int) int { return max(1, 4096/cols) }

func (l *activation) Forward(x *tensor.Matrix, training bool) *tensor.Matrix {
	l.x, l.training = x, training
	y := resize(l.y, x.Rows)
	if training {
		resize(l.slopes, x.Rows)
	}
	l.engine.For(x.Rows, l.blockRows, l.forward)
	return y
}

func (l *activation) forwardRows(lo, hi int) {
	for i := lo; i < hi; i++ {
		x, y := l.x.Row(i), l.y.Row(i)
		var slopes []float32
		if l.training {
			slopes = l.slopes.Row(i)
		}
		if l.leaky {
			leakyRow(y, slopes, x, l.slope)
			continue
		}
		l.functionRow(y, slopes, x)
	}
}

// functionRow converts a block of values before it applies the function to any:
// on amd64 a conversion waits for the last use of its register, which would be
// the end of the function's chain for the value before.
func (l *activation) functionRow(y, slopes, x []float32) {
	var wide [64]float64
	for len(x) > 0 {
		n := min(len(x), len(wide))
		block := wide[:n]
		for j, v := range x[:n] {
			block[j] = float64(v)
		}
		for j, v := range block {
			value, slope := l.f(v)
			y[j] = float32(value)
			if slopes != nil {
				slopes[j] = float32(slope)
			}
		}
		x, y = x[n:], y[n:]
		if slopes != nil {
			slopes = slopes[n:]
		}
	}
}

// leakyRow takes the slope from a table by the bits of v, since a branch on the
// sign would be mispredicted every other time: 0 for v > 0, 1 for the rest.
func leakyRow(y, slopes, x []float32, slope float32) {
	table := [2]float32{1, slope}
	for j, v := range x {
		b := math.Float32bits(v)
		s := table[(b|(b-1))>>31] // only ±0 and negative values have the sign in b or b-1
		y[j] = s * v
		if slopes != nil {
			slopes[j] = s
		}
	}
}

func (l *activation) Backward(dy *tensor.Matrix) *tensor.Matrix {
	l.dy = dy
	l.engine.For(dy.Rows, l.blockRows, l.backward)
	return dy
}

func (l *activation) backwardRows(lo, hi int) {
	for i := lo; i < hi; i++ {
		dy, slopes := l.dy.Row(i), l.slopes.Row(i)
		for j := range dy {
			dy[j] *= slopes[j]
		}
	}
}

func (l *activation) Weights() []Weight { return nil }
