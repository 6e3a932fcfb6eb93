package tensor

import (
	"fmt"
	"unsafe"

	"github.com/solera-ml/solera/tensor/internal/kernel"
)

// A product is a matrix product under way. Below packing size it is a kernel
// call; above, blocks of B are copied to panels that a tile reads from end to
// end, and blocks of A to rows that do not compete for the same cache lines. The
// cut changes no bit: a later block of k starts from what the earlier stored.
type product struct {
	kernel.Gemm
	transB     bool // B is read transposed
	j, n       int  // the columns of C under way
	k, terms   int  // the terms under way
	panels     int  // of n columns
	stripRows  int  // rows of C per unit, where nothing is packed
	strips     int  // of rows of C, as equal as whole tiles allow
	stripWidth int  // panels per unit
}

// Above this many multiplications packing and sharing pay.
const packProducts = 1 << 19

const (
	packTerms   = 256     // rows of a panel: a tile's part of B fits the first cache, its part of A too
	packColumns = 512     // columns of B under way: with packTerms, half a megabyte
	packFloats  = 1 << 19 // all panels under way: 2 MB
)

// MatMul computes c = a·b + bias for a [M,K], b [K,N], c [M,N]: each element
// starts from bias[j] (0 if bias is nil) and adds a[i,k]*b[k,j] by fused
// multiply-add in ascending k. c must not overlap a or b.
func (e *Engine) MatMul(c, a, b *Matrix, bias []float32) {
	if a.Cols != b.Rows || c.Rows != a.Rows || c.Cols != b.Cols {
		panic(fmt.Sprintf("tensor: product of %d x %d and %d x %d into %d x %d", a.Rows, a.Cols, b.Rows, b.Cols, c.Rows, c.Cols))
	}
	g := e.newProduct(c, bias)
	g.K = a.Cols
	g.A, g.AS = pointer(a, a)
	g.AK = 4
	g.B, g.LDB = pointer(b, b)
	e.multiply()
}

// MatMulTA computes c = aᵀ·b for a [M,K], b [M,N], c [K,N], adding over the rows
// in ascending order, from 0. c must not overlap a or b.
func (e *Engine) MatMulTA(c, a, b *Matrix) {
	if a.Rows != b.Rows || c.Rows != a.Cols || c.Cols != b.Cols {
		panic(fmt.Sprintf("tensor: product of %d x %d transposed and %d x %d into %d x %d", a.Rows, a.Cols, b.Rows, b.Cols, c.Rows, c.Cols))
	}
	g := e.newProduct(c, nil)
	g.K = a.Rows
	g.A, g.AK = pointer(a, a)
	g.AS = 4
	g.B, g.LDB = pointer(b, b)
	e.multiply()
}

// MatMulTB computes c = a·bᵀ for a [M,N], b [K,N], c [M,K], adding over n in
// ascending order, from 0. c must not overlap a or b.
func (e *Engine) MatMulTB(c, a, b *Matrix) {
	if a.Cols != b.Cols || c.Rows != a.Rows || c.Cols != b.Rows {
		panic(fmt.Sprintf("tensor: product of %d x %d and %d x %d transposed into %d x %d", a.Rows, a.Cols, b.Rows, b.Cols, c.Rows, c.Cols))
	}
	g := e.newProduct(c, nil)
	g.K = a.Cols
	g.A, g.AS = pointer(a, a)
	g.AK = 4
	g.B, g.LDB = pointer(b, b)
	e.product.transB = true
	e.multiply()
}

// newProduct starts a product into c.
func (e *Engine) newProduct(c *Matrix, bias []float32) *kernel.Gemm {
	e.product = product{}
	g := &e.product.Gemm
	g.M, g.N = c.Rows, c.Cols
	g.C, g.LDC = pointer(c, c)
	if bias != nil {
		g.Start = vector(bias, c.Cols)
	} else {
		e.zeros = grow(e.zeros, c.Cols)
		g.Start = unsafe.Pointer(unsafe.SliceData(e.zeros))
	}
	return g
}

// grow returns a slice of at least n elements, s itself if it is long enough.
func grow(s []float32, n int) []float32 {
	if len(s) < n {
		return Floats(n)
	}
	return s
}

func (e *Engine) multiply() {
	p := &e.product
	switch size := p.M * p.N * p.K; {
	case p.M == 0 || p.N == 0:
	case p.K == 0:
		for i := range p.M {
			copy(floats(p.C, uintptr(i)*p.LDC, p.N), floats(p.Start, 0, p.N))
		}
	case size < packProducts || e.set.NR == 0 && len(e.worker) == 1:
		p.straighten(e)
		e.set.Gemm(&p.Gemm)
	case e.set.NR == 0:
		p.straighten(e)
		p.stripRows = max(1, p.M/(4*len(e.worker)))
		e.run((p.M+p.stripRows-1)/p.stripRows, plainStrip)
	default:
		e.multiplyPacked()
	}
}

// floats returns n elements of the memory off bytes after p.
func floats(p unsafe.Pointer, off uintptr, n int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Add(p, off)), n)
}

// straighten replaces a B that is read transposed by its transpose.
func (p *product) straighten(e *Engine) {
	if !p.transB {
		return
	}
	stride := Pad(p.N)
	e.scratch = grow(e.scratch, p.K*stride)
	t := &e.worker[0].trans
	*t = kernel.Transpose{
		X: p.B, XS: p.LDB, Rows: p.N, Cols: p.K,
		Y: unsafe.Pointer(unsafe.SliceData(e.scratch)), YS: uintptr(stride) * 4,
	}
	e.set.Transpose(t)
	p.B, p.LDB = unsafe.Pointer(unsafe.SliceData(e.scratch)), uintptr(stride)*4
	p.transB = false
}

// plainStrip multiplies some rows without packing.
func plainStrip(e *Engine, w *worker, unit int) {
	w.gemm = e.product.Gemm
	g := &w.gemm
	i := unit * e.product.stripRows
	g.M = min(e.product.stripRows, g.M-i)
	g.A, g.C = unsafe.Add(g.A, uintptr(i)*g.AS), unsafe.Add(g.C, uintptr(i)*g.LDC)
	e.set.Gemm(g)
}

func (e *Engine) multiplyPacked() {
	p := &e.product
	workers := len(e.worker)
	for p.j = 0; p.j < p.N; p.j += packColumns {
		p.n = min(packColumns, p.N-p.j)
		p.panels = (p.n + e.set.NR - 1) / e.set.NR
		width := p.panels * e.set.NR
		most := max(packTerms, packFloats/width/packTerms*packTerms)
		for p.k = 0; p.k < p.K; p.k += most {
			p.terms = min(most, p.K-p.k)
			e.packed = grow(e.packed, p.terms*width)
			blocks := (p.terms + packTerms - 1) / packTerms
			e.run(p.panels*blocks, packPanel)

			// Strips of at most 8 tiles, the same number for every worker; if
			// there are fewer rows than that, the panels are shared out too.
			tiles := e.tiles()
			p.strips = (tiles + 7) / 8
			if workers > 1 {
				p.strips = min(tiles, (p.strips+workers-1)/workers*workers)
			}
			p.stripWidth = p.panels
			if p.strips < 2*workers && workers > 1 {
				p.stripWidth = (p.panels + workers - 1) / workers
			}
			across := (p.panels + p.stripWidth - 1) / p.stripWidth
			e.run(p.strips*across, packedStrip)
		}
	}
}

// tiles returns the number of tiles that cover the rows of C.
func (e *Engine) tiles() int { return (e.product.M + e.set.MR - 1) / e.set.MR }

// panel returns the packed block of B for a block of terms and a panel of columns.
func (e *Engine) panel(block, panel int) []float32 {
	p := &e.product
	nr := e.set.NR
	terms := min(packTerms, p.terms-block*packTerms)
	from := block*packTerms*p.panels*nr + panel*terms*nr
	return e.packed[from : from+terms*nr]
}

// packPanel copies a block of B, with zeros for columns past its end.
func packPanel(e *Engine, w *worker, unit int) {
	p := &e.product
	nr := e.set.NR
	block, panel := unit/p.panels, unit%p.panels
	to := e.panel(block, panel)
	k, j := p.k+block*packTerms, p.j+panel*nr
	cols := min(nr, p.N-j)
	if p.transB {
		if cols < nr {
			clear(to)
		}
		w.trans = kernel.Transpose{
			X: unsafe.Add(p.B, uintptr(j)*p.LDB+uintptr(k)*4), XS: p.LDB, Rows: cols, Cols: len(to) / nr,
			Y: unsafe.Pointer(unsafe.SliceData(to)), YS: uintptr(nr) * 4,
		}
		e.set.Transpose(&w.trans)
		return
	}
	for i := 0; len(to) > 0; i++ {
		copy(to[:nr], floats(p.B, uintptr(k+i)*p.LDB+uintptr(j)*4, cols))
		clear(to[cols:nr])
		to = to[nr:]
	}
}

// packedStrip multiplies a strip of rows by some panels.
func packedStrip(e *Engine, w *worker, unit int) {
	p := &e.product
	// Strips differ by one tile at most: one long strip would leave the other
	// workers waiting.
	strip, tiles := unit%p.strips, e.tiles()
	i := strip * tiles / p.strips * e.set.MR
	rows := min((strip+1)*tiles/p.strips*e.set.MR, p.M) - i
	first := unit / p.strips * p.stripWidth
	last := min(first+p.stripWidth, p.panels)
	for k := 0; k < p.terms; k += packTerms {
		g := &w.gemm
		*g = kernel.Gemm{K: min(packTerms, p.terms-k)}
		w.packRows(p, i, rows, p.k+k, g)
		for panel := first; panel < last; panel++ {
			j := p.j + panel*e.set.NR
			b := e.panel(k/packTerms, panel)
			a := g.A
			g.B, g.LDB = unsafe.Pointer(unsafe.SliceData(b)), uintptr(e.set.NR)*4
			g.C, g.LDC = unsafe.Add(p.C, uintptr(i)*p.LDC+uintptr(j)*4), p.LDC
			g.M, g.N = rows, min(e.set.NR, p.N-j)
			if p.k+k == 0 {
				g.Start, g.LDS = unsafe.Add(p.Start, j*4), 0
			} else {
				g.Start, g.LDS = g.C, g.LDC
			}
			e.set.Gemm(g)
			g.A = a
		}
	}
}

// packRows copies the part of A that a strip needs, in the order it has, to rows
// whose distance is an odd number of cache lines: rows a power of two apart would
// all fall into the same few lines of the first cache.
func (w *worker) packRows(p *product, i, rows, k int, g *kernel.Gemm) {
	outer, inner, from, stride := rows, g.K, uintptr(i)*p.AS+uintptr(k)*p.AK, p.AS
	if p.AK != 4 {
		outer, inner, stride = g.K, rows, p.AK
	}
	pitch := Pad(inner) | 16
	w.pack = grow(w.pack, outer*pitch)
	for r := range outer {
		copy(w.pack[r*pitch:r*pitch+inner], floats(p.A, from+uintptr(r)*stride, inner))
	}
	g.A = unsafe.Pointer(unsafe.SliceData(w.pack))
	if p.AK != 4 {
		g.AS, g.AK = 4, uintptr(pitch)*4
	} else {
		g.AS, g.AK = uintptr(pitch)*4, 4
	}
}
