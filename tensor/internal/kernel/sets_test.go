package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

// fill returns n values of one kind, drawn from seed.
func fill(kind string, n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	v := make([]float32, n)
	special := []float32{
		0, float32(math.Copysign(0, -1)), 1, -1, 0x1p-149, -0x1p-149, 0x1p-126, 0x1p-100, -0x1p-75,
		math.MaxFloat32, -0x1p100, 1 + 0x1p-23, 0x1p-24, 3 * 0x1p-25, float32(math.Inf(1)), float32(math.Inf(-1)),
	}
	for i := range v {
		switch kind {
		case "zeros":
		case "ordinary":
			v[i] = float32(r.NormFloat64())
		case "sparse": // as ReLU and dropout leave it
			v[i] = max(0, float32(r.NormFloat64()))
		case "small": // subnormal sums and products
			v[i] = float32(r.NormFloat64() * 0x1p-74)
		case "tiny":
			v[i] = float32(r.NormFloat64() * 0x1p-140)
		case "huge":
			v[i] = float32(r.NormFloat64() * 0x1p62)
		case "halves": // sums that end in the middle between two values
			v[i] = float32(r.IntN(9)-4) * float32(math.Ldexp(1, r.IntN(26)-13))
		case "special":
			v[i] = special[r.IntN(len(special))]
		}
	}
	return v
}

var kinds = []string{"zeros", "ordinary", "sparse", "small", "tiny", "huge", "halves", "special"}

// A run calls one operation of a set on memory filled from a seed and returns all
// memory that it may have changed.
type run func(s Set) []float32

// same fails unless the set computes the bits of the portable set. NaN equals NaN.
func same(t rapid.TB, s Set, f run, what string) {
	t.Helper()
	want, got := f(Portable()), f(s)
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && (got[i] == got[i] || want[i] == want[i]) {
			t.Fatalf("%s, %s: element %d of %d is %x (%g), portable %x", s.Name, what, i, len(want), got[i], got[i], want[i])
		}
	}
}

func p(v []float32) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(v)) }

func clone(v []float32) []float32 { return append([]float32(nil), v...) }

func gemmRun(m, n, k, pad int, transposed, bias bool, kind string, seed uint64) run {
	ldb, ldc := n+pad, n+pad
	a, b := fill(kind, m*k+1, seed), fill(kind, k*ldb+1, seed+1)
	c, start := fill("ordinary", m*ldc+1, seed+2), fill(kind, n, seed+3)
	return func(s Set) []float32 {
		out := clone(c)
		g := &Gemm{A: p(a), B: p(b), C: p(out), Start: p(start), AS: uintptr(k) * 4, AK: 4, LDB: uintptr(ldb) * 4, LDC: uintptr(ldc) * 4, M: m, N: n, K: k}
		if transposed {
			g.AS, g.AK = 4, uintptr(m)*4
		}
		if !bias {
			g.Start, g.LDS = g.C, g.LDC
		}
		s.Gemm(g)
		return out
	}
}

func transposeRun(rows, cols, pad int, seed uint64) run {
	x := fill("ordinary", rows*(cols+pad), seed)
	return func(s Set) []float32 {
		y := make([]float32, cols*(rows+pad)+1)
		s.Transpose(&Transpose{X: p(x), Y: p(y), XS: uintptr(cols+pad) * 4, YS: uintptr(rows+pad) * 4, Rows: rows, Cols: cols})
		return y
	}
}

// columnsRun fills every operand of an operation on columns.
func columnsRun(op func(Set) func(*Columns), rows, cols, pad, off int, affine, relu, drop, alias bool, kind string, seed uint64) run {
	n := cols + off
	stride := n + pad
	size := rows*stride + 1
	var in [3][]float32
	for i := range in {
		in[i] = fill(kind, size, seed+uint64(i))
	}
	var vec [7][]float32
	for i := range vec {
		vec[i] = fill(kind, n, seed+10+uint64(i))
	}
	return func(s Set) []float32 {
		x, y, g, d := clone(in[0]), clone(in[1]), clone(in[2]), make([]float32, size)
		if alias {
			d = g
		}
		var v [7][]float32
		for i := range v {
			v[i] = clone(vec[i])
		}
		st := uintptr(stride) * 4
		op(s)(&Columns{
			X: p(x), Y: p(y), G: p(g), D: p(d), XS: st, YS: st, GS: st, DS: st,
			Mean: p(v[0]), Variance: p(v[1]), Inv: p(v[2]), Gain: p(v[3]), Shift: p(v[4]), DGamma: p(v[5]), DBeta: p(v[6]),
			Rows: rows, Cols: cols, Off: uintptr(off) * 4, N: float32(rows), Keep: 1 / (1 - float32(0.3)), Threshold: 5033164,
			KeyLow: uint32(seed), KeyHigh: 0x9e3779b9, Index: 7, Pitch: uint32(n+15) &^ 15, Affine: affine, ReLU: relu, Drop: drop,
		})
		all := append(append(append(append([]float32{}, x...), y...), g...), d...)
		for i := range v {
			all = append(all, v[i]...)
		}
		return all
	}
}

var columnOps = map[string]func(Set) func(*Columns){
	"Moments":    func(s Set) func(*Columns) { return s.Moments },
	"Sums":       func(s Set) func(*Columns) { return s.Sums },
	"Forward":    func(s Set) func(*Columns) { return s.Forward },
	"Backward":   func(s Set) func(*Columns) { return s.Backward },
	"StatsApply": func(s Set) func(*Columns) { return s.StatsApply },
}

var flatOps = map[string]func(Set) func(*Flat){
	"SGD":     func(s Set) func(*Flat) { return s.SGD },
	"Adam":    func(s Set) func(*Flat) { return s.Adam },
	"RMSprop": func(s Set) func(*Flat) { return s.RMSprop },
}

// flatRun makes three steps, so that the memories matter.
func flatRun(name string, n int, memory, nesterov bool, shrink, l2 float32, kind string, seed uint64) run {
	op := flatOps[name]
	w0, g0 := fill(kind, n+1, seed), fill(kind, 3*n+1, seed+1)
	return func(s Set) []float32 {
		w, g := clone(w0), clone(g0)
		m, v, max := make([]float32, n+1), make([]float32, n+1), make([]float32, n+1)
		for step := range 3 {
			f := &Flat{
				W: p(w), G: unsafe.Add(p(g), 4*step*n), M: p(m), V: p(v), N: n, Shrink: shrink, L2: l2, B1: 0.9, C1: 0.1, B2: 0.999, C2: 0.001,
				Rate: 0.01, Root: 1.5, Eps: 1e-8, Nesterov: nesterov,
			}
			if memory && name == "Adam" {
				f.Max = p(max)
			}
			if !memory && name != "Adam" {
				f.M = nil
			}
			op(s)(f)
		}
		return append(append(append(append([]float32{}, w...), m...), v...), max...)
	}
}

func TestEverySetComputesTheSameBits(t *testing.T) {
	shapes := []struct{ m, n, k int }{
		{1, 1, 1},
		{2, 3, 5},
		{16, 64, 13},
		{16, 32, 64},
		{16, 3, 32},
		{13, 64, 16},
		{64, 32, 16},
		{32, 3, 16},
		{25, 35, 7},
		{7, 31, 33},
		{11, 15, 4},
		{3, 17, 9},
		{5, 8, 2},
		{12, 33, 257},
		{6, 16, 3},
		{23, 47, 31},
		{9, 100, 40},
	}
	for _, s := range Sets()[:len(Sets())-1] {
		for _, kind := range kinds {
			t.Run(s.Name+"/"+kind, func(t *testing.T) {
				for _, h := range shapes {
					what := fmt.Sprintf("gemm %dx%dx%d", h.m, h.n, h.k)
					same(t, s, gemmRun(h.m, h.n, h.k, 0, false, true, kind, 1), what)
					same(t, s, gemmRun(h.m, h.n, h.k, 3, true, false, kind, 2), what+" transposed")
					same(t, s, transposeRun(h.m, h.n, h.k%3, 3), "transpose")
					for name, op := range columnOps {
						for flags := range 16 {
							if flags > 0 && (name == "Moments" || name == "Sums") {
								break // they have no variants
							}
							off := 16 * (flags >> 3 & h.k)
							same(t, s, columnsRun(op, h.m, h.n, h.k%4, off, flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0, kind, 5),
								fmt.Sprintf("%s %dx%d flags %b", name, h.m, h.n, flags))
						}
					}
					for name := range flatOps {
						for flags := range 4 {
							same(t, s, flatRun(name, h.m*h.n, flags&1 != 0, flags&2 != 0, 1-0.01*float32(flags), 0.1*float32(flags&1), kind, 6),
								fmt.Sprintf("%s %d flags %b", name, h.m*h.n, flags))
						}
					}
				}
			})
		}
	}
}

func TestEverySetComputesTheSameBitsForAnyShape(t *testing.T) {
	for _, s := range Sets()[:len(Sets())-1] {
		t.Run(s.Name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m, n, k := rapid.IntRange(1, 40).Draw(t, "m"), rapid.IntRange(1, 140).Draw(t, "n"), rapid.IntRange(1, 40).Draw(t, "k")
				pad, seed := rapid.IntRange(0, 20).Draw(t, "pad"), rapid.Uint64().Draw(t, "seed")
				kind := rapid.SampledFrom(kinds).Draw(t, "kind")
				b := func(name string) bool { return rapid.Bool().Draw(t, name) }
				same(t, s, gemmRun(m, n, k, pad, b("transposed"), b("bias"), kind, seed), "gemm")
				same(t, s, transposeRun(m, n, pad, seed), "transpose")
				for name, op := range columnOps {
					same(t, s, columnsRun(op, m, n, pad, 16*(k%4), b("affine"), b("relu"), b("drop"), b("alias"), kind, seed), name)
				}
				for name := range flatOps {
					same(t, s, flatRun(name, m*n, b("memory"), b("nesterov"), 0.99, 0.01, kind, seed), name)
				}
			})
		})
	}
}
