package nn

import "github.com/solera-ml/solera/tensor"

// linear is y = x·W + b with W stored [in][out].
type linear struct {
	engine  *tensor.Engine
	weights []Weight

	w, dw *tensor.Matrix
	b, db []float32

	x     *tensor.Matrix // of the last Forward
	y, dx *tensor.Matrix // dx is nil where nobody needs it
}

// linear compiles a linear layer. Directly before batch_norm the gradient of
// its bias is left at zero, which is its true value: batch_norm subtracts the
// mean, and the bias with it. Computed, it would be rounding noise of 1e-9 that
// Adam turns into steps of the size of the learning rate.
func (b *builder) linear(d *node, beforeNorm, inputGradient bool) *linear {
	stride := tensor.Pad(d.out)
	l := &linear{
		engine:  b.engine,
		weights: b.weights(d),
		w:       &tensor.Matrix{Rows: d.in, Cols: d.out, Stride: stride, Data: b.params(d.weight, d.in*stride)},
		y:       b.buffer(d.out),
	}
	if d.bias >= 0 {
		l.b = b.params(d.bias, stride)
	}
	if b.options.Training {
		l.dw = &tensor.Matrix{Rows: d.in, Cols: d.out, Stride: stride, Data: b.grads(d.weight, d.in*stride)}
		if d.bias >= 0 && !beforeNorm {
			l.db = b.grads(d.bias, stride)
		}
		if inputGradient {
			l.dx = b.buffer(d.in)
		}
	}
	return l
}

func (l *linear) Forward(x *tensor.Matrix, _ bool) *tensor.Matrix {
	l.x = x
	y := resize(l.y, x.Rows)
	l.engine.MatMul(y, x, l.w, l.b)
	return y
}

func (l *linear) Backward(dy *tensor.Matrix) *tensor.Matrix {
	l.engine.MatMulTA(l.dw, l.x, dy)
	if l.db != nil {
		l.engine.ColumnSums(l.db, dy)
	}
	if l.dx == nil {
		return nil
	}
	dx := resize(l.dx, dy.Rows)
	l.engine.MatMulTB(dx, dy, l.w)
	return dx
}

func (l *linear) Weights() []Weight { return l.weights }
