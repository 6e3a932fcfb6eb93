package nn

import "github.com/solera-ml/solera/tensor"

// dropout sets a share p of the values to zero in training and scales the rest
// by 1/(1-p) (Srivastava et al., 2014). In evaluation it is the identity.
type dropout struct {
	engine *tensor.Engine
	drop   *drop
	y      *tensor.Matrix
}

func (b *builder) dropout(d *node) *dropout {
	l := &dropout{engine: b.engine, drop: b.drop(d)}
	if b.options.Training {
		l.y = b.buffer(d.in)
	}
	return l
}

func (l *dropout) Forward(x *tensor.Matrix, training bool) *tensor.Matrix {
	if !training || l.drop.P == 0 {
		return x
	}
	y := resize(l.y, x.Rows)
	l.engine.Drop(y, x, l.drop.Dropout)
	return y
}

func (l *dropout) Backward(dy *tensor.Matrix) *tensor.Matrix {
	if l.drop.P > 0 {
		l.engine.DropBackward(dy, dy, l.drop.Dropout)
	}
	return dy
}

func (l *dropout) Weights() []Weight { return nil }
