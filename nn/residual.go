package nn

import "github.com/solera-ml/solera/tensor"

// residual is y = branch(x) + x (He et al., 2016), or branch(x) + skip(x) with
// a linear projection where the branch changes the width.
type residual struct {
	engine    *tensor.Engine
	branch    sequence
	skip      *linear // nil for the identity
	y         *tensor.Matrix
	dskip     *tensor.Matrix // gradient by the input along the identity
	blockRows int

	to, a, b *tensor.Matrix   // operands of add
	add      func(lo, hi int) // to = a + b, over rows
	need     bool             // someone reads the gradient by the input
}

func (b *builder) residual(d *node, inputGradient bool) *residual {
	l := &residual{
		engine: b.engine, branch: b.sequence(d.inner, inputGradient), y: b.buffer(d.out),
		blockRows: rowsPerBlock(d.out), need: inputGradient,
	}
	if d.skip != nil {
		l.skip = b.linear(d.skip, false, inputGradient)
	} else if b.options.Training && inputGradient {
		l.dskip = b.buffer(d.in)
	}
	l.add = l.addRows
	return l
}

func (l *residual) Forward(x *tensor.Matrix, training bool) *tensor.Matrix {
	y := resize(l.y, x.Rows)
	branch := l.branch.Forward(x, training)
	other := x
	if l.skip != nil {
		other = l.skip.Forward(x, training)
	}
	l.sum(y, branch, other)
	return y
}

// sum sets to, which may be a or b, to a + b.
func (l *residual) sum(to, a, b *tensor.Matrix) {
	l.to, l.a, l.b = to, a, b
	l.engine.For(to.Rows, l.blockRows, l.add)
}

func (l *residual) addRows(lo, hi int) {
	for i := lo; i < hi; i++ {
		to, a, b := l.to.Row(i), l.a.Row(i), l.b.Row(i)
		for j, v := range a {
			to[j] = v + b[j]
		}
	}
}

// Backward saves the gradient along the skip first, since the branch may
// overwrite dy.
func (l *residual) Backward(dy *tensor.Matrix) *tensor.Matrix {
	var skip *tensor.Matrix
	switch {
	case l.skip != nil:
		skip = l.skip.Backward(dy)
	case l.need:
		skip = resize(l.dskip, dy.Rows)
		for i := range dy.Rows {
			copy(skip.Row(i), dy.Row(i))
		}
	}
	dx := l.branch.Backward(dy)
	if !l.need {
		return nil
	}
	l.sum(dx, dx, skip)
	return dx
}

func (l *residual) Weights() []Weight {
	ws := l.branch.Weights()
	if l.skip != nil {
		ws = append(ws, l.skip.Weights()...)
	}
	return ws
}
