// Package kernel holds the inner loops of the tensor engine, once in plain Go and
// once per vector unit, and knows nothing of shapes, threads or networks.
//
// # Why the bits cannot differ
//
// Every operation is written down as a fixed sequence of IEEE 754 single
// operations (add, subtract, multiply, divide, square root, fused multiply-add,
// comparison) per output element, each of which has exactly one right result.
// A kernel set may choose only what it works on at the same time:
//
//   - vector lanes, tile rows, blocks and goroutines run across different
//     outputs, never across the terms of one sum;
//   - a sum runs over its terms in ascending order, one operation per term, and
//     a block of a long sum starts from the float32 that the block before stored;
//   - there are no approximate instructions (reciprocal, reciprocal root), no
//     flush to zero, and zeroing by a comparison instead of by minimum and
//     maximum, whose treatment of -0 and NaN differs between CPUs;
//   - plain Go rounds the fused multiply-add exactly (see fused) and writes the
//     conversions that forbid the compiler to fuse anything else.
//
// Only the payload and sign of a NaN are left open: IEEE 754 leaves them open too.
package kernel

//go:generate go run ./gen

import "unsafe"

// A Set is one implementation of all operations. The functions read and write
// the memory that their argument describes, check nothing, and may change the
// cursor fields (pointers, Off, masks) of the argument.
type Set struct {
	Name   string
	MR, NR int // rows and columns of the largest GEMM tile; NR 0: packing does not pay

	Gemm      func(*Gemm)
	Transpose func(*Transpose)

	Moments  func(*Columns) // Mean, Variance of X
	Sums     func(*Columns) // Mean = column sums of X
	Forward  func(*Columns) // Y from X: affine, ReLU, dropout as flagged
	Backward func(*Columns) // D from G: ReLU (by Y) or dropout as flagged
	// StatsApply goes back through a normalisation: DBeta, DGamma, then D from G.
	StatsApply func(*Columns)

	SGD     func(*Flat)
	Adam    func(*Flat)
	RMSprop func(*Flat)
}

// Gemm describes C[i,j] = Start[i,j] + Σk A[i,k]·B[k,j] for M rows, N columns and
// K terms, accumulated over ascending k by fused multiply-add. A has two strides,
// so that one kernel serves a matrix and its transpose. Start is C itself, or a
// row (LDS 0) of biases or zeros. Strides are in bytes.
type Gemm struct {
	A, B, C, Start        unsafe.Pointer
	AS, AK, LDB, LDC, LDS uintptr   // A: from row to row, from k to k; the others: from row to row
	M, N, K               int       // K is at least 1
	Bits                  uint32    // lanes of the last vector that exist, one bit each
	Lanes                 [8]uint32 // the same as all-ones words
}

// Transpose describes Y[j,i] = X[i,j] for an X of Rows x Cols. Strides are in bytes.
type Transpose struct {
	X, Y       unsafe.Pointer
	XS, YS     uintptr
	Rows, Cols int
}

// Columns describes an operation on matrices of Rows x Cols with one parameter
// or result per column. Strides are in bytes.
type Columns struct {
	X, Y, G, D                                      unsafe.Pointer // input, output, gradient of the output, gradient of the input
	XS, YS, GS, DS                                  uintptr
	Mean, Variance, Inv, Gain, Shift, DGamma, DBeta unsafe.Pointer // vectors of Cols
	Rows, Cols                                      int
	Off                                             uintptr // bytes added to every pointer: the column where a kernel starts
	N                                               float32 // rows, as a divisor
	Keep                                            float32 // factor of the elements that dropout keeps
	Threshold                                       uint32  // an element is kept if its hash >> 8 reaches it
	KeyLow, KeyHigh                                 uint32  // key of the dropout mask
	Index, Pitch                                    uint32  // number of element 0,0 for the mask; from row to row
	Bits                                            uint32  // lanes of the last vector that exist
	Lanes                                           [8]uint32
	Affine, ReLU, Drop                              bool
}

// Flat describes an optimiser step over N weights W with gradients G. M, V and
// Max are its memories, nil where it has none.
type Flat struct {
	W, G, M, V, Max unsafe.Pointer
	N               int
	Shrink          float32 // factor of the weights before the step (decoupled weight decay)
	L2              float32 // weights added to the gradient
	B1, C1          float32 // decay of M and weight of the new gradient
	B2, C2          float32 // decay of V and weight of the new square
	Rate            float32 // step size
	Root            float32 // factor of the square root of V
	Eps             float32
	Nesterov        bool
	Bits            uint32 // lanes of the last vector that exist
	Lanes           [8]uint32
}

// row returns n elements from p + i*stride.
func row(p unsafe.Pointer, i int, stride uintptr, n int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Add(p, uintptr(i)*stride)), n)
}
