//go:build amd64 || arm64

package kernel

import "unsafe"

// The functions of this file cut an operation into the blocks that the assembly
// kernels do: whole vectors, and a tail of less.

// vectors holds the assembly kernels of one vector unit.
type vectors struct {
	lanes     int    // float32 values in a vector
	partial   bool   // the tail kernels heed the masks; if not, they do one whole vector and Go code the rest
	tiles     []tile // most rows first, one row last
	transpose func(*Transpose)
	moments   columnKernel
	sums      columnKernel
	forward   [8]columnKernel // by the bits affine 1, ReLU 2, dropout 4
	backward  [3]columnKernel // by gate
	stats     [3]columnKernel
	apply     columnKernel
	sgd       [3]flatKernel // plain, momentum, Nesterov
	adam      [2]flatKernel // plain, AMSGrad
	rmsprop   [2]flatKernel // plain, momentum
}

// A tile is a GEMM kernel for a number of rows and two vectors or one, of which
// some lanes may not exist.
type tile struct {
	rows      int
	two, tail func(*Gemm)
}

// A columnKernel does all rows of a number of vectors, or of one, which may be partial.
type columnKernel struct {
	whole, tail func(*Columns)
	vectors     int
}

// A flatKernel does N vectors, or one partial vector (N is 1).
type flatKernel struct {
	whole, tail func(*Flat)
}

// assemble makes a kernel set of assembly kernels.
func assemble(name string, mr int, v vectors) Set {
	return Set{
		Name: name, MR: mr, NR: 2 * v.lanes,
		Gemm:      v.gemm,
		Transpose: v.transposeAll,
		Moments:   func(c *Columns) { v.columns(c, v.moments, nil, portableMoments) },
		Sums:      func(c *Columns) { v.columns(c, v.sums, nil, portableSums) },
		Forward: func(c *Columns) {
			v.columns(c, v.forward[bit(c.Affine)|bit(c.ReLU)<<1|bit(c.Drop)<<2], nil, portableForward)
		},
		Backward:   func(c *Columns) { v.columns(c, v.backward[c.gate()], nil, portableBackward) },
		StatsApply: func(c *Columns) { v.columns(c, v.stats[c.gate()], &v.apply, portableStatsApply) },
		SGD: func(f *Flat) {
			if f.M == nil {
				v.flat(f, v.sgd[0], portableSGD)
			} else {
				v.flat(f, v.sgd[1+bit(f.Nesterov)], portableSGD)
			}
		},
		Adam:    func(f *Flat) { v.flat(f, v.adam[bit(f.Max != nil)], portableAdam) },
		RMSprop: func(f *Flat) { v.flat(f, v.rmsprop[bit(f.M != nil)], portableRMSprop) },
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// gate numbers what stops the gradient: nothing, ReLU (whose zeros include those
// of dropout) or dropout alone.
func (c *Columns) gate() int {
	switch {
	case c.ReLU:
		return 1
	case c.Drop:
		return 2
	}
	return 0
}

// lanes sets the masks for a vector of which n lanes exist.
func (g *Gemm) lanes(n int)    { g.Bits = mask(&g.Lanes, n) }
func (c *Columns) lanes(n int) { c.Bits = mask(&c.Lanes, n) }
func (f *Flat) lanes(n int)    { f.Bits = mask(&f.Lanes, n) }

func mask(words *[8]uint32, n int) uint32 {
	for i := range words {
		words[i] = 0
		if i < n {
			words[i] = ^uint32(0)
		}
	}
	return 1<<n - 1
}

// gemm covers C with tiles, column by column of tiles: the rows of B that a column
// needs stay in the nearest cache. Pointers are set from their bases, so that none
// ever points past the end of its matrix, which the garbage collector forbids.
func (v *vectors) gemm(g *Gemm) {
	a, b, c, start := g.A, g.B, g.C, g.Start
	for j := 0; j < g.N; {
		cols := 2 * v.lanes
		wide := g.N-j >= cols
		if !wide {
			cols = min(g.N-j, v.lanes)
			g.lanes(cols)
		}
		g.B = unsafe.Add(b, j*4)
		if cols < v.lanes && !v.partial {
			g.A, g.C, g.Start, g.N = a, unsafe.Add(c, j*4), unsafe.Add(start, j*4), cols
			portableGemm(g)
			return
		}
		i := 0
		for _, t := range v.tiles {
			kernel := t.tail
			if wide {
				kernel = t.two
			}
			for ; i+t.rows <= g.M; i += t.rows {
				g.A = unsafe.Add(a, uintptr(i)*g.AS)
				g.C = unsafe.Add(c, uintptr(i)*g.LDC+uintptr(j)*4)
				g.Start = unsafe.Add(start, uintptr(i)*g.LDS+uintptr(j)*4)
				kernel(g)
			}
		}
		j += cols
	}
}

// columns does op, and then op then on the same block while it is in the cache.
// What is left where there are no partial vectors is for the Go function.
func (v *vectors) columns(c *Columns, op columnKernel, then *columnKernel, portable func(*Columns)) {
	for width := op.vectors * v.lanes; c.Cols >= width; c.Cols -= width {
		v.block(c, op, then, width)
	}
	for c.Cols > 0 {
		n := min(c.Cols, v.lanes)
		if n < v.lanes && !v.partial {
			portable(c)
			return
		}
		v.block(c, op, then, n)
		c.Cols -= n
	}
}

// block does one block of n columns.
func (v *vectors) block(c *Columns, op columnKernel, then *columnKernel, n int) {
	if n == op.vectors*v.lanes {
		op.whole(c)
	} else {
		c.lanes(n)
		op.tail(c)
	}
	if then != nil {
		// then may be of another width than op.
		off := c.Off
		for rest := n; rest > 0; {
			if k := then.vectors * v.lanes; rest >= k {
				then.whole(c)
				c.Off += uintptr(k) * 4
				rest -= k
			} else {
				k := min(rest, v.lanes)
				c.lanes(k)
				then.tail(c)
				c.Off += uintptr(k) * 4
				rest -= k
			}
		}
		c.Off = off
	}
	c.Off += uintptr(n) * 4
}

func (v *vectors) flat(f *Flat, op flatKernel, portable func(*Flat)) {
	n := f.N
	f.N = n / v.lanes
	op.whole(f)
	if rest := n % v.lanes; rest > 0 {
		done := uintptr(n-rest) * 4
		for _, p := range []*unsafe.Pointer{&f.W, &f.G, &f.M, &f.V, &f.Max} {
			if *p != nil {
				*p = unsafe.Add(*p, done)
			}
		}
		if !v.partial {
			f.N = rest
			portable(f)
			return
		}
		f.lanes(rest)
		f.N = 1
		op.tail(f)
	}
}

// transposeAll does blocks of 8 rows and 8 columns by the kernel, the rest in Go.
func (v *vectors) transposeAll(t *Transpose) {
	if v.transpose == nil {
		portableTranspose(t)
		return
	}
	x, y, rows, cols := t.X, t.Y, t.Rows, t.Cols
	i, whole := 0, cols&^7
	if whole > 0 {
		for ; i+8 <= rows; i += 8 {
			t.X = unsafe.Add(x, uintptr(i)*t.XS)
			t.Y = unsafe.Add(y, i*4)
			v.transpose(t)
			if whole < cols {
				t.X = unsafe.Add(t.X, whole*4)
				t.Y = unsafe.Add(t.Y, uintptr(whole)*t.YS)
				t.Rows, t.Cols = 8, cols-whole
				portableTranspose(t)
				t.Cols = cols
			}
		}
	}
	if i < rows {
		t.X = unsafe.Add(x, uintptr(i)*t.XS)
		t.Y = unsafe.Add(y, i*4)
		t.Rows, t.Cols = rows-i, cols
		portableTranspose(t)
	}
}
