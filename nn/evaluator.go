package nn

import (
	"fmt"

	"github.com/solera-ml/solera/tensor"
)

// An Evaluator runs a network in evaluation: no dropout, running statistics.
// It reads the network's weights at each call, so it follows a training. It is
// for one goroutine, and so is its engine during a call.
//
// Every row's result depends on that row alone, so neither the chunk nor the
// number of workers changes a bit of it.
type Evaluator struct {
	network *Network
	engine  *tensor.Engine
	pass    *Pass
	chunk   int
	classes int
	x       tensor.Matrix // the rows at hand, in the caller's memory
	logits  *tensor.Matrix
	scratch []float64 // [row][class]

	// Operands of the functions below, which are made once.
	lossOf   Loss
	y        []int32
	rowLoss  []float64
	rowHit   []bool
	to       *tensor.Matrix
	first    int // row of to that belongs to row 0 of the chunk
	lossFn   func(lo, hi int)
	chanceFn func(lo, hi int)
}

// NewEvaluator returns an evaluator that takes chunk rows at a time; 0 chooses
// a number that keeps a layer's values in the cache.
func NewEvaluator(n *Network, e *tensor.Engine, chunk int) *Evaluator {
	if chunk < 1 {
		chunk = min(max((1<<17)/widest(n.nodes, n.spec.Inputs), 16), 4096)
	}
	v := &Evaluator{
		network: n, engine: e, chunk: chunk, classes: n.spec.Outputs,
		pass:    NewPass(n, e, PassOptions{MaxRows: chunk}),
		scratch: make([]float64, chunk*n.spec.Outputs),
		rowLoss: make([]float64, chunk),
		rowHit:  make([]bool, chunk),
	}
	v.lossFn, v.chanceFn = v.lossRows, v.chanceRows
	return v
}

func widest(nodes []node, width int) int {
	for _, d := range nodes {
		width = max(width, d.out, widest(d.inner, 0))
	}
	return width
}

// Loss returns the mean loss over the rows of x (see Loss) and how many of them
// the network puts into their class. Without rows the loss is NaN. A class that
// does not exist is a defect of the caller and panics.
func (v *Evaluator) Loss(x *tensor.Matrix, y []int32, l Loss) (loss float64, correct int) {
	if x.Rows != len(y) {
		panic(fmt.Sprintf("nn: %d rows but %d classes", x.Rows, len(y)))
	}
	v.lossOf = l
	sum, weight := 0.0, 0.0
	for lo := 0; lo < x.Rows; lo += v.chunk {
		n := v.forward(x, lo)
		v.y = y[lo : lo+n]
		v.parallel(n, v.lossFn)
		for i := range n {
			// In row order, whatever the chunk.
			sum += v.rowLoss[i]
			weight += l.Weight(int(v.y[i]))
			if v.rowHit[i] {
				correct++
			}
		}
	}
	v.y = nil
	return sum / weight, correct
}

// forward runs the chunk that starts at row lo and returns its number of rows.
func (v *Evaluator) forward(x *tensor.Matrix, lo int) int {
	if x.Cols != v.network.spec.Inputs {
		panic(fmt.Sprintf("nn: rows of %d features for a network of %d inputs", x.Cols, v.network.spec.Inputs))
	}
	n := min(v.chunk, x.Rows-lo)
	v.x = tensor.Matrix{Rows: n, Cols: x.Cols, Stride: x.Stride, Data: x.Data[lo*x.Stride:]}
	v.logits = v.pass.Forward(&v.x, false)
	v.x.Data = nil
	return n
}

// parallel calls fn for the rows 0 to n of the chunk.
func (v *Evaluator) parallel(n int, fn func(lo, hi int)) {
	if n*v.classes < serialValues {
		fn(0, n)
		return
	}
	v.engine.For(n, max(1, serialValues/2/v.classes), fn)
}

// row returns the logits of row i of the chunk in float64.
func (v *Evaluator) row(i int) []float64 {
	z := v.scratch[i*v.classes : (i+1)*v.classes]
	for j, l := range v.logits.Row(i) {
		z[j] = float64(l)
	}
	return z
}

func (v *Evaluator) lossRows(lo, hi int) {
	for i := lo; i < hi; i++ {
		y := int(v.y[i])
		loss, top := v.lossOf.Row(v.row(i), y)
		v.rowLoss[i], v.rowHit[i] = loss, top == y
	}
}

// Predict returns a matrix of probabilities, a row for each of x and a column
// for each class: softmax in float64, rounded once.
func (v *Evaluator) Predict(x *tensor.Matrix) *tensor.Matrix {
	v.to = tensor.New(x.Rows, v.classes)
	for v.first = 0; v.first < x.Rows; v.first += v.chunk {
		v.parallel(v.forward(x, v.first), v.chanceFn)
	}
	to := v.to
	v.to = nil
	return to
}

func (v *Evaluator) chanceRows(lo, hi int) {
	for i := lo; i < hi; i++ {
		z := v.row(i)
		softmax(z, z)
		p := v.to.Row(v.first + i)
		for j := range p {
			p[j] = float32(z[j])
		}
	}
}

// Logits returns a matrix of what the last layer gives, before softmax.
func (v *Evaluator) Logits(x *tensor.Matrix) *tensor.Matrix {
	to := tensor.New(x.Rows, v.classes)
	for lo := 0; lo < x.Rows; lo += v.chunk {
		for i := range v.forward(x, lo) {
			copy(to.Row(lo+i), v.logits.Row(i))
		}
	}
	return to
}
