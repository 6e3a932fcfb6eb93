package tensor

import (
	"fmt"
	"unsafe"

	"github.com/solera-ml/solera/tensor/internal/kernel"
)

// A product is a matrix product under way.
type product struct {
	kernel.Gemm
}

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
	t := &e.worker[0].trans
	t.X, t.XS = pointer(b, b)
	t.Rows, t.Cols = b.Rows, b.Cols
	stride := Pad(b.Rows)
	e.scratch = grow(e.scratch, b.Cols*stride)
	t.Y, t.YS = unsafe.Pointer(unsafe.SliceData(e.scratch)), uintptr(stride)*4
	e.set.Transpose(t)
	g.B, g.LDB = t.Y, t.YS
	e.multiply()
}

// grow returns a slice of at least n elements, s itself if it is long enough.
func grow(s []float32, n int) []float32 {
	if len(s) < n {
		return Floats(n)
	}
	return s
}

// newProduct starts a product into c.
func (e *Engine) newProduct(c *Matrix, bias []float32) *kernel.Gemm {
	g := &e.product.Gemm
	*g = kernel.Gemm{M: c.Rows, N: c.Cols}
	g.C, g.LDC = pointer(c, c)
	if bias != nil {
		g.Start = vector(bias, c.Cols)
	} else {
		e.zeros = grow(e.zeros, c.Cols)
		g.Start = unsafe.Pointer(unsafe.SliceData(e.zeros))
	}
	return g
}

func (e *Engine) multiply() {
	e.set.Gemm(&e.product.Gemm)
}
