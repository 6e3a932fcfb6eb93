package nn

import (
	"math"

	"github.com/solera-ml/solera/tensor"
)

// batchNorm normalises each column over the batch (Ioffe and Szegedy, 2015)
// and, in the same kernel, applies the relu and the dropout that follow it.
// Like torch.nn.BatchNorm1d it normalises by the biased variance and keeps the
// unbiased one for evaluation.
type batchNorm struct {
	engine  *tensor.Engine
	weights []Weight

	gamma, beta, dgamma, dbeta []float32
	runningMean, runningVar    []float32
	mean, variance, inv        []float32 // of the last training batch; inv is 1/sqrt(variance+eps)
	scale, shift               []float32 // y = scale·x + shift
	cols                       int
	eps, momentum              float64
	relu                       bool
	drop                       *drop
	x                          *tensor.Matrix
	y                          *tensor.Matrix // nil: write over the input
}

func (b *builder) batchNorm(d *node, relu bool, dropout *node, inPlace bool) *batchNorm {
	pad := tensor.Pad(d.in)
	stats := b.pass.network.stats
	l := &batchNorm{
		engine: b.engine, weights: b.weights(d), cols: d.in, eps: d.Eps, momentum: d.Momentum,
		gamma: b.params(d.weight, pad), beta: b.params(d.bias, pad),
		dgamma: b.grads(d.weight, pad), dbeta: b.grads(d.bias, pad),
		runningMean: stats[d.mean : d.mean+pad], runningVar: stats[d.variance : d.variance+pad],
		mean: make([]float32, pad), variance: make([]float32, pad), inv: make([]float32, pad),
		scale: make([]float32, pad), shift: make([]float32, pad),
		relu: relu, drop: b.drop(dropout),
	}
	if !inPlace {
		l.y = b.buffer(d.in)
	}
	return l
}

func (l *batchNorm) Forward(x *tensor.Matrix, training bool) *tensor.Matrix {
	l.x = x
	y := x
	if l.y != nil {
		y = resize(l.y, x.Rows)
	}
	if !training {
		l.affine(l.runningMean, l.runningVar)
		l.engine.Normalize(y, x, l.scale, l.shift, l.relu, tensor.Dropout{})
		return y
	}
	l.engine.Moments(x, l.mean, l.variance)
	l.affine(l.mean, l.variance)
	l.engine.Normalize(y, x, l.scale, l.shift, l.relu, l.drop.Dropout)
	l.remember(x.Rows)
	return y
}

// affine turns statistics into y = scale·x + shift.
func (l *batchNorm) affine(mean, variance []float32) {
	for j := range l.cols {
		inv := float32(1 / math.Sqrt(float64(variance[j])+l.eps))
		scale := l.gamma[j] * inv
		l.inv[j], l.scale[j] = inv, scale
		l.shift[j] = l.beta[j] - float32(mean[j]*scale)
	}
}

// remember moves the running statistics towards those of a batch of n rows.
func (l *batchNorm) remember(n int) {
	keep, share := 1-l.momentum, l.momentum
	unbiased := share * float64(n) / float64(n-1)
	for j := range l.cols {
		l.runningMean[j] = float32(float64(keep*float64(l.runningMean[j])) + float64(share*float64(l.mean[j])))
		l.runningVar[j] = float32(float64(keep*float64(l.runningVar[j])) + float64(unbiased*float64(l.variance[j])))
	}
}

func (l *batchNorm) Backward(dy *tensor.Matrix) *tensor.Matrix {
	l.engine.NormalizeBackward(dy, dy, l.x, l.y, l.mean, l.inv, l.gamma, l.dgamma, l.dbeta, l.relu, l.drop.Dropout)
	return dy
}

func (l *batchNorm) Weights() []Weight { return l.weights }
