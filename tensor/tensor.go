// Package tensor holds float32 matrices and the operations of training a network
// on them, and knows nothing of layers or tables.
//
// Every operation gives the same bits on every CPU, for every kernel set and for
// every number of workers; package tensor/internal/kernel says why.
package tensor

import "unsafe"

// Matrix is a float32 matrix in row order: row i is Data[i*Stride : i*Stride+Cols].
type Matrix struct {
	Rows, Cols, Stride int
	Data               []float32
}

// New returns a dense matrix of zeros (Stride == cols), the form of data sets.
func New(rows, cols int) *Matrix {
	return &Matrix{Rows: rows, Cols: cols, Stride: cols, Data: Floats(rows * cols)}
}

// Pad rounds cols up to a multiple of 16, the width every kernel set divides.
func Pad(cols int) int { return (cols + 15) &^ 15 }

// NewPadded returns a matrix of zeros whose Stride is Pad(cols). The padding is zero and stays zero.
func NewPadded(rows, cols int) *Matrix {
	s := Pad(cols)
	return &Matrix{Rows: rows, Cols: cols, Stride: s, Data: Floats(rows * s)}
}

// Floats returns n zeros that start on a cache line, so that a vector never
// straddles two lines. Any other slice works too, only slower.
func Floats(n int) []float32 {
	const line = 64
	f := make([]float32, n+line/4-1)
	skip := 0
	if len(f) > 0 {
		skip = int(-uintptr(unsafe.Pointer(unsafe.SliceData(f)))%line) / 4
	}
	return f[skip : skip+n : skip+n]
}

// Row returns row i, without its padding.
func (m *Matrix) Row(i int) []float32 { return m.Data[i*m.Stride : i*m.Stride+m.Cols] }
