package tensor

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/solera-ml/solera/tensor/internal/kernel"
)

// An Engine is a kernel set and a team of workers. Its operations allocate
// nothing once their scratch memory has grown to the sizes in use. They panic on
// shapes that do not fit together. An Engine serves one goroutine at a time;
// independent trainings use one engine each.
type Engine struct {
	set    kernel.Set
	worker []worker
	team   team

	// The operation under way, written before its units are handed out.
	columns kernel.Columns
	flat    kernel.Flat
	op      func(*kernel.Columns)
	flatOp  func(*kernel.Flat)
	chunk   int // rows, columns or elements per unit
	product product
	gather  gather
	loop    func(lo, hi int)
	loopN   int
	squares []float32
	sums    []float64

	packed  []float32 // B in panels
	scratch []float32 // a transposed operand
	zeros   []float32 // where a product without bias starts
}

// NewEngine returns an engine with the named kernel set ("avx512", "avx2",
// "neon", "portable", or "" for the fastest of this CPU) and the given number of
// workers, of which the caller's goroutine is one; less than 1 means 1. It fails
// if the CPU lacks the kernel set. Close the engine to end its workers.
func NewEngine(name string, workers int) (*Engine, error) {
	set, err := kernel.Choose(name)
	if err != nil {
		return nil, err
	}
	e := &Engine{set: set, worker: make([]worker, max(1, workers))}
	if len(e.worker) > 1 {
		e.start()
	}
	return e, nil
}

// Close ends the workers. The engine must not be used afterwards.
func (e *Engine) Close() {
	if len(e.worker) > 1 && !e.team.closed.Load() {
		e.team.stop()
	}
}

// Kernel returns the name of the kernel set in use.
func (e *Engine) Kernel() string { return e.set.Name }

// Workers returns the number of workers, the caller included.
func (e *Engine) Workers() int { return len(e.worker) }

// Below this many elements an operation is not worth sharing.
const shareElements = 1 << 15

// Dropout says which elements a layer drops. Element i of a matrix, numbered
// row*Pad(Cols)+column whatever its stride, is kept if the top 24 bits of a hash
// of Key and i reach P*2^24; kept elements are scaled by 1/(1-P). The zero value
// keeps everything. P is in [0, 1).
type Dropout struct {
	P   float32
	Key uint64
}

// prepare fills in what an operation on columns needs besides its pointers.
func (c *kernelColumns) prepare(m *Matrix, relu bool, d Dropout) {
	c.Rows, c.Cols, c.N = m.Rows, m.Cols, float32(m.Rows)
	c.Pitch = uint32(Pad(m.Cols))
	c.ReLU = relu
	c.Keep = 1
	if d.P > 0 {
		c.Drop = true
		c.Keep = 1 / (1 - d.P)
		c.Threshold = uint32(d.P * (1 << 24))
		c.KeyLow, c.KeyHigh = uint32(d.Key), uint32(d.Key>>32)
	}
}

type kernelColumns kernel.Columns

// pointer returns the memory and the stride in bytes of m, after checking that it
// has the shape of like and all its rows.
func pointer(m, like *Matrix) (unsafe.Pointer, uintptr) {
	if m.Rows != like.Rows || m.Cols != like.Cols {
		panic(fmt.Sprintf("tensor: a matrix of %d x %d where %d x %d is wanted", m.Rows, m.Cols, like.Rows, like.Cols))
	}
	if m.Stride < m.Cols || m.Rows > 0 && len(m.Data) < (m.Rows-1)*m.Stride+m.Cols {
		panic(fmt.Sprintf("tensor: %d elements cannot hold %d rows of %d with stride %d", len(m.Data), m.Rows, m.Cols, m.Stride))
	}
	return unsafe.Pointer(unsafe.SliceData(m.Data)), uintptr(m.Stride) * 4
}

// vector returns the memory of v after checking its length.
func vector(v []float32, n int) unsafe.Pointer {
	if len(v) < n {
		panic(fmt.Sprintf("tensor: a vector of %d where %d is wanted", len(v), n))
	}
	return unsafe.Pointer(unsafe.SliceData(v))
}

// byColumns runs op on blocks of columns: for operations that sum over rows.
func (e *Engine) byColumns(op func(*kernel.Columns)) {
	c := &e.columns
	if c.Rows == 0 || c.Cols == 0 {
		op(c)
		return
	}
	if len(e.worker) == 1 || c.Rows*c.Cols < shareElements || c.Cols <= 16 {
		op(c)
		return
	}
	e.op = op
	// Two units per worker, of whole vectors, at most four vectors of AVX-512 each.
	e.chunk = min(64, max(16, Pad(c.Cols/(2*len(e.worker)))))
	e.run((c.Cols+e.chunk-1)/e.chunk, columnUnit)
}

func columnUnit(e *Engine, w *worker, unit int) {
	w.columns = e.columns
	j := unit * e.chunk
	w.columns.Off = uintptr(j) * 4
	w.columns.Cols = min(e.chunk, e.columns.Cols-j)
	e.op(&w.columns)
}

// byRows runs op on blocks of rows: for operations on single elements.
func (e *Engine) byRows(op func(*kernel.Columns)) {
	c := &e.columns
	if c.Rows*c.Cols < shareElements {
		op(c)
		return
	}
	// One worker too: narrow vector units walk down strips of columns, and a few
	// rows at a time stay in the nearest cache.
	e.op = op
	e.chunk = max(1, shareElements/2/c.Cols)
	e.run((c.Rows+e.chunk-1)/e.chunk, rowUnit)
}

func rowUnit(e *Engine, w *worker, unit int) {
	w.columns = e.columns
	c := &w.columns
	i := unit * e.chunk
	c.Rows = min(e.chunk, c.Rows-i)
	c.Index += uint32(i) * c.Pitch
	c.X = skip(c.X, i, c.XS)
	c.Y = skip(c.Y, i, c.YS)
	c.G = skip(c.G, i, c.GS)
	c.D = skip(c.D, i, c.DS)
	e.op(c)
}

// skip returns p moved by i rows, or nil for nil.
func skip(p unsafe.Pointer, i int, stride uintptr) unsafe.Pointer {
	if p == nil {
		return nil
	}
	return unsafe.Add(p, uintptr(i)*stride)
}

// Moments writes the mean and the biased variance of every column of x to mean
// and variance: two passes, each summing over rows in order.
func (e *Engine) Moments(x *Matrix, mean, variance []float32) {
	c := &e.columns
	*c = kernel.Columns{Mean: vector(mean, x.Cols), Variance: vector(variance, x.Cols)}
	c.X, c.XS = pointer(x, x)
	(*kernelColumns)(c).prepare(x, false, Dropout{})
	e.byColumns(e.set.Moments)
}

// ColumnSums writes the sums of the columns of x, in row order, to dst.
func (e *Engine) ColumnSums(dst []float32, x *Matrix) {
	c := &e.columns
	*c = kernel.Columns{Mean: vector(dst, x.Cols)}
	c.X, c.XS = pointer(x, x)
	(*kernelColumns)(c).prepare(x, false, Dropout{})
	e.byColumns(e.set.Sums)
}

// Normalize computes y = drop(relu(fma(x, scale[j], shift[j]))), where relu(v) is
// 0 for v <= 0 and v otherwise (NaN passes), or v itself without relu. y may be x.
func (e *Engine) Normalize(y, x *Matrix, scale, shift []float32, relu bool, d Dropout) {
	c := &e.columns
	*c = kernel.Columns{Affine: true, Gain: vector(scale, x.Cols), Shift: vector(shift, x.Cols)}
	e.forward(y, x, relu, d)
}

// ReLU computes y = drop(relu(x)). y may be x.
func (e *Engine) ReLU(y, x *Matrix, d Dropout) {
	e.columns = kernel.Columns{}
	e.forward(y, x, true, d)
}

// Drop computes y = drop(x). y may be x.
func (e *Engine) Drop(y, x *Matrix, d Dropout) {
	e.columns = kernel.Columns{}
	e.forward(y, x, false, d)
}

func (e *Engine) forward(y, x *Matrix, relu bool, d Dropout) {
	c := &e.columns
	c.X, c.XS = pointer(x, x)
	c.Y, c.YS = pointer(y, x)
	(*kernelColumns)(c).prepare(x, relu, d)
	e.byRows(e.set.Forward)
}

// ReLUBackward computes the gradient dx through drop(relu(x)) = y: dy/(1-P) where
// y > 0, and 0 elsewhere. dx may be dy.
func (e *Engine) ReLUBackward(dx, dy, y *Matrix, d Dropout) {
	c := &e.columns
	*c = kernel.Columns{}
	c.Y, c.YS = pointer(y, dy)
	e.backward(dx, dy, true, d)
}

// DropBackward computes the gradient dx through drop with the same d: dy/(1-P)
// where the element was kept, and 0 elsewhere. dx may be dy.
func (e *Engine) DropBackward(dx, dy *Matrix, d Dropout) {
	e.columns = kernel.Columns{}
	e.backward(dx, dy, false, d)
}

func (e *Engine) backward(dx, dy *Matrix, relu bool, d Dropout) {
	c := &e.columns
	c.G, c.GS = pointer(dy, dy)
	c.D, c.DS = pointer(dx, dy)
	(*kernelColumns)(c).prepare(dy, relu, d)
	e.byRows(e.set.Backward)
}

// NormalizeBackward goes back through batch normalisation of x with the batch's
// mean and inv = 1/sqrt(variance+eps), followed by relu and dropout to y. With g
// the gradient before ReLU and dropout and xhat = (x-mean)*inv it computes
//
//	dbeta = Σ g, dgamma = Σ g*xhat (row order)
//	dx    = gamma*inv * (g - dbeta/n - xhat*dgamma/n)
//
// (Ioffe and Szegedy, "Batch normalization", 2015, section 3). dx may be dy.
// Without relu and dropout y is not read and may be nil.
func (e *Engine) NormalizeBackward(dx, dy, x, y *Matrix, mean, inv, gamma, dgamma, dbeta []float32, relu bool, d Dropout) {
	n := dy.Cols
	c := &e.columns
	*c = kernel.Columns{
		Mean: vector(mean, n), Inv: vector(inv, n), Gain: vector(gamma, n),
		DGamma: vector(dgamma, n), DBeta: vector(dbeta, n),
	}
	c.X, c.XS = pointer(x, dy)
	c.G, c.GS = pointer(dy, dy)
	c.D, c.DS = pointer(dx, dy)
	if relu {
		c.Y, c.YS = pointer(y, dy)
	}
	(*kernelColumns)(c).prepare(dy, relu, d)
	// One pass over the columns for both steps: a block is still in the cache for
	// the second.
	e.byColumns(e.set.StatsApply)
}

// A gather is a Gather under way.
type gather struct {
	dst, src Matrix
	rows     []int32
	chunk    int
}

// Gather copies row rows[i] of src to row i of dst and zeroes the padding of dst.
// dst has len(rows) rows and the columns of src. It panics on a row outside src.
func (e *Engine) Gather(dst, src *Matrix, rows []int32) {
	if dst.Rows != len(rows) || dst.Cols != src.Cols {
		panic(fmt.Sprintf("tensor: gather %d rows of %d into %d x %d", len(rows), src.Cols, dst.Rows, dst.Cols))
	}
	e.gather = gather{dst: *dst, src: *src, rows: rows}
	if len(e.worker) == 1 || len(rows)*src.Cols < shareElements/4 {
		e.gather.chunk = len(rows)
		gatherUnit(e, nil, 0)
	} else {
		e.gather.chunk = max(1, shareElements/8/src.Cols)
		e.run((len(rows)+e.gather.chunk-1)/e.gather.chunk, gatherUnit)
	}
	e.gather = gather{}
}

func gatherUnit(e *Engine, _ *worker, unit int) {
	g := &e.gather
	lo := unit * g.chunk
	hi := min(lo+g.chunk, len(g.rows))
	for i := lo; i < hi; i++ {
		r := int(g.rows[i])
		from := g.src.Data[r*g.src.Stride : r*g.src.Stride+g.src.Cols]
		to := g.dst.Data[i*g.dst.Stride : (i+1)*g.dst.Stride]
		copy(to, from)
		clear(to[len(from):])
	}
}

// For calls fn on ranges that cover 0..n-1, of at least grain items each, on all
// workers. fn must treat each item the same whatever range it comes in.
func (e *Engine) For(n, grain int, fn func(lo, hi int)) {
	if n <= 0 {
		return
	}
	grain = max(1, grain)
	if len(e.worker) == 1 || n <= grain {
		fn(0, n)
		return
	}
	e.loop, e.loopN = fn, n
	e.chunk = max(grain, (n+4*len(e.worker)-1)/(4*len(e.worker)))
	e.run((n+e.chunk-1)/e.chunk, loopUnit)
	e.loop = nil
}

func loopUnit(e *Engine, _ *worker, unit int) {
	lo := unit * e.chunk
	e.loop(lo, min(lo+e.chunk, e.loopN))
}

// SumSquares returns Σ x², in float64, summed over blocks of fixed size.
func (e *Engine) SumSquares(x []float32) float64 {
	const block = 1 << 13
	n := (len(x) + block - 1) / block
	if cap(e.sums) < n {
		e.sums = make([]float64, n)
	}
	e.squares, e.sums, e.chunk = x, e.sums[:n], block
	if len(x) < shareElements {
		for u := range n {
			squaresUnit(e, nil, u)
		}
	} else {
		e.run(n, squaresUnit)
	}
	e.squares = nil
	s := 0.0
	for _, b := range e.sums {
		s += b
	}
	return s
}

// squaresUnit sums a block in eight interleaved sums, whose number is part of the
// result: it does not follow the width of any vector unit.
func squaresUnit(e *Engine, _ *worker, unit int) {
	x := e.squares[unit*e.chunk:]
	x = x[:min(len(x), e.chunk)]
	var s [8]float64
	for ; len(x) >= 8; x = x[8:] {
		for j := range s {
			s[j] += float64(float64(x[j]) * float64(x[j]))
		}
	}
	for j, v := range x {
		s[j] += float64(float64(v) * float64(v))
	}
	e.sums[unit] = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
}

// SGDArgs are the settings of one SGD step (torch.optim.SGD without dampening).
type SGDArgs struct {
	LR, Momentum, WeightDecay float64
	Nesterov                  bool
}

// SGD makes one step: with g' = g + WeightDecay*w and m = Momentum*m + g', the
// weights w move by -LR*m (Nesterov: -LR*(g' + Momentum*m)). m is the memory of
// the momentum, zero before the first step, or nil for none.
func (e *Engine) SGD(w, g, m []float32, o SGDArgs) {
	f := &e.flat
	*f = kernel.Flat{
		W: vector(w, len(w)), G: vector(g, len(w)), N: len(w),
		L2: float32(o.WeightDecay), B1: float32(o.Momentum), Rate: float32(o.LR), Nesterov: o.Nesterov,
	}
	if m != nil {
		f.M = vector(m, len(w))
	}
	e.byRange(e.set.SGD)
}

// AdamArgs are the settings of one Adam step (torch.optim.Adam, AdamW).
type AdamArgs struct {
	LR, Beta1, Beta2, Eps float64
	WeightDecay           float64
	Decoupled             bool      // AdamW: the weights shrink by LR*WeightDecay; otherwise WeightDecay*w joins the gradient
	Step                  int64     // 1 for the first step; the bias of m and v is corrected for it
	Max                   []float32 // AMSGrad: the largest v so far, zero before the first step; nil for plain Adam
}

// Adam makes one step of Adam (Kingma and Ba, 2015), AdamW (Loshchilov and Hutter,
// 2019) or AMSGrad (Reddi et al., 2018) with torch's formulas. m and v are the
// memories of the gradient and of its square, zero before the first step.
func (e *Engine) Adam(w, g, m, v []float32, o AdamArgs) {
	n := len(w)
	f := &e.flat
	*f = kernel.Flat{
		W: vector(w, n), G: vector(g, n), M: vector(m, n), V: vector(v, n), N: n,
		Shrink: 1, L2: float32(o.WeightDecay),
		B1: float32(o.Beta1), C1: float32(1 - o.Beta1),
		B2: float32(o.Beta2), C2: float32(1 - o.Beta2),
		Rate: float32(o.LR / (1 - power(o.Beta1, o.Step))),
		Root: float32(1 / math.Sqrt(1-power(o.Beta2, o.Step))),
		Eps:  float32(o.Eps),
	}
	if o.Decoupled {
		f.Shrink, f.L2 = float32(1-float64(o.LR*o.WeightDecay)), 0
	}
	if o.Max != nil {
		f.Max = vector(o.Max, n)
	}
	e.byRange(e.set.Adam)
}

// RMSpropArgs are the settings of one RMSprop step (torch.optim.RMSprop, not centered).
type RMSpropArgs struct {
	LR, Alpha, Eps, WeightDecay, Momentum float64
}

// RMSprop makes one step: v decays by Alpha towards the squared gradient, and the
// weights move by -LR*g/(sqrt(v)+Eps), through the momentum m unless it is nil.
func (e *Engine) RMSprop(w, g, v, m []float32, o RMSpropArgs) {
	n := len(w)
	f := &e.flat
	*f = kernel.Flat{
		W: vector(w, n), G: vector(g, n), V: vector(v, n), N: n,
		L2: float32(o.WeightDecay), B1: float32(o.Momentum),
		B2: float32(o.Alpha), C2: float32(1 - o.Alpha),
		Rate: float32(o.LR), Eps: float32(o.Eps),
	}
	if m != nil {
		f.M = vector(m, n)
	}
	e.byRange(e.set.RMSprop)
}

// power returns x^n by squaring: products only, the same on every CPU.
func power(x float64, n int64) float64 {
	p := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			p *= x
		}
		x *= x
	}
	return p
}

// byRange runs op on ranges of the flat vectors.
func (e *Engine) byRange(op func(*kernel.Flat)) {
	if len(e.worker) == 1 || e.flat.N < shareElements {
		op(&e.flat)
		return
	}
	e.flatOp, e.chunk = op, shareElements/4
	e.run((e.flat.N+e.chunk-1)/e.chunk, rangeUnit)
}

func rangeUnit(e *Engine, w *worker, unit int) {
	w.flat = e.flat
	f := &w.flat
	i := unit * e.chunk
	f.N = min(e.chunk, f.N-i)
	f.W, f.G = skip(f.W, i, 4), skip(f.G, i, 4)
	f.M, f.V, f.Max = skip(f.M, i, 4), skip(f.V, i, 4), skip(f.Max, i, 4)
	e.flatOp(f)
}
