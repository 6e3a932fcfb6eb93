package nn

import "github.com/solera-ml/solera/tensor"

// relu is max(x, 0) with the dropout that follows it. NaN passes.
type relu struct {
	engine *tensor.Engine
	drop   *drop
	y      *tensor.Matrix // of the last Forward: what is not above 0 has no gradient
}

func (b *builder) relu(d, dropout *node) *relu {
	return &relu{engine: b.engine, drop: b.drop(dropout), y: b.buffer(d.in)}
}

func (l *relu) Forward(x *tensor.Matrix, training bool) *tensor.Matrix {
	y := resize(l.y, x.Rows)
	if training {
		l.engine.ReLU(y, x, l.drop.Dropout)
	} else {
		l.engine.ReLU(y, x, tensor.Dropout{})
	}
	return y
}

func (l *relu) Backward(dy *tensor.Matrix) *tensor.Matrix {
	l.engine.ReLUBackward(dy, dy, l.y, l.drop.Dropout)
	return dy
}

func (l *relu) Weights() []Weight { return nil }
