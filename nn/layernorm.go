package nn

import (
	"math"

	"github.com/solera-ml/solera/tensor"
)

// layerNorm normalises each row over its columns (Ba, Kiros and Hinton, 2016),
// as torch.nn.LayerNorm does. A row's statistics are float64 sums in column
// order; the gradients of gamma and beta are float64 sums in row order.
type layerNorm struct {
	engine  *tensor.Engine
	weights []Weight

	gamma, beta, dgamma, dbeta []float32
	cols                       int
	eps                        float64
	x, y, dy                   *tensor.Matrix
	mean, inv                  []float64 // of each row of the last batch
	forward, backward, columns func(lo, hi int)
	blockRows                  int
}

// columnBlock is how many columns of dgamma one worker sums at a time.
const columnBlock = 16

func (b *builder) layerNorm(d *node) *layerNorm {
	pad, rows := tensor.Pad(d.in), b.options.MaxRows
	l := &layerNorm{
		engine: b.engine, weights: b.weights(d), cols: d.in, eps: d.Eps,
		gamma: b.params(d.weight, pad), beta: b.params(d.bias, pad),
		dgamma: b.grads(d.weight, pad), dbeta: b.grads(d.bias, pad),
		y: b.buffer(d.in), mean: make([]float64, rows), inv: make([]float64, rows),
		blockRows: rowsPerBlock(d.in),
	}
	l.forward, l.backward, l.columns = l.forwardRows, l.backwardRows, l.sumColumns
	return l
}

func (l *layerNorm) Forward(x *tensor.Matrix, _ bool) *tensor.Matrix {
	l.x = x
	y := resize(l.y, x.Rows)
	l.engine.For(x.Rows, l.blockRows, l.forward)
	return y
}

func (l *layerNorm) forwardRows(lo, hi int) {
	n := float64(l.cols)
	for i := lo; i < hi; i++ {
		x, y := l.x.Row(i), l.y.Row(i)
		mean := 0.0
		for _, v := range x {
			mean += float64(v)
		}
		mean /= n
		variance := 0.0
		for _, v := range x {
			d := float64(v) - mean
			variance += float64(d * d)
		}
		inv := 1 / math.Sqrt(variance/n+l.eps)
		l.mean[i], l.inv[i] = mean, inv
		for j, v := range x {
			xhat := (float64(v) - mean) * inv
			y[j] = float32(float64(xhat*float64(l.gamma[j])) + float64(l.beta[j]))
		}
	}
}

func (l *layerNorm) Backward(dy *tensor.Matrix) *tensor.Matrix {
	l.dy = dy
	// The sums over rows come first: backwardRows overwrites dy.
	l.engine.For((l.cols+columnBlock-1)/columnBlock, 1, l.columns)
	l.engine.For(dy.Rows, l.blockRows, l.backward)
	return dy
}

// sumColumns sets dgamma and dbeta for some blocks of columns.
func (l *layerNorm) sumColumns(lo, hi int) {
	for b := lo; b < hi; b++ {
		first, last := b*columnBlock, min((b+1)*columnBlock, l.cols)
		var dgamma, dbeta [columnBlock]float64
		for i := range l.dy.Rows {
			x, dy := l.x.Row(i)[first:last], l.dy.Row(i)[first:last]
			mean, inv := l.mean[i], l.inv[i]
			for j, g := range dy {
				dbeta[j] += float64(g)
				dgamma[j] += float64(float64(g) * ((float64(x[j]) - mean) * inv))
			}
		}
		for j := range last - first {
			l.dgamma[first+j], l.dbeta[first+j] = float32(dgamma[j]), float32(dbeta[j])
		}
	}
}

// backwardRows replaces dy by dx = inv·(g - mean(g) - xhat·mean(g·xhat)) with g = dy·gamma.
func (l *layerNorm) backwardRows(lo, hi int) {
	n := float64(l.cols)
	for i := lo; i < hi; i++ {
		x, dy := l.x.Row(i), l.dy.Row(i)
		mean, inv := l.mean[i], l.inv[i]
		sum, dot := 0.0, 0.0
		for j, d := range dy {
			g := float64(float64(d) * float64(l.gamma[j]))
			sum += g
			dot += float64(g * ((float64(x[j]) - mean) * inv))
		}
		sum, dot = sum/n, dot/n
		for j, d := range dy {
			xhat := (float64(x[j]) - mean) * inv
			g := float64(float64(d) * float64(l.gamma[j]))
			dy[j] = float32(inv * (g - sum - float64(xhat*dot)))
		}
	}
}

func (l *layerNorm) Weights() []Weight { return l.weights }
