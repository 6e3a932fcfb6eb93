// Package tensor holds float32 matrices and the kernels that make them fast.
package tensor

// Matrix is a float32 matrix in row order: row i is Data[i*Stride : i*Stride+Cols].
type Matrix struct {
	Rows, Cols, Stride int
	Data               []float32
}

// New returns a dense matrix of zeros (Stride == cols), the form of data sets.
func New(rows, cols int) *Matrix {
	return &Matrix{Rows: rows, Cols: cols, Stride: cols, Data: make([]float32, rows*cols)}
}

// Pad rounds cols up to a multiple of 16, the width every kernel set divides.
func Pad(cols int) int { return (cols + 15) &^ 15 }

// NewPadded returns a matrix of zeros whose Stride is Pad(cols). The padding is zero and stays zero.
func NewPadded(rows, cols int) *Matrix {
	s := Pad(cols)
	return &Matrix{Rows: rows, Cols: cols, Stride: s, Data: make([]float32, rows*s)}
}

// Row returns row i, without its padding.
func (m *Matrix) Row(i int) []float32 { return m.Data[i*m.Stride : i*m.Stride+m.Cols] }
