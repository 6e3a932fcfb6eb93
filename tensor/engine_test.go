package tensor

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// engines returns one engine per kernel set and number of workers, the reference
// (portable, one worker) first.
func engines(t testing.TB) []*Engine {
	t.Helper()
	var all []*Engine
	for _, name := range []string{"portable", "avx512", "avx2", "neon"} {
		for _, workers := range []int{1, 2, 5} {
			if name == "portable" && workers == 5 {
				continue // slow, and no different from 2
			}
			e, err := NewEngine(name, workers)
			if err != nil {
				continue
			}
			t.Cleanup(e.Close)
			all = append(all, e)
		}
	}
	return all
}

// random returns roughly normal values, made by additions alone, so that they are
// the same on every CPU.
func random(rows, cols int, padded bool, seed uint64) *Matrix {
	r := rand.New(rand.NewPCG(seed, 2))
	m := New(rows, cols)
	if padded {
		m = NewPadded(rows, cols)
	}
	for i := range rows {
		for j := range cols {
			m.Data[i*m.Stride+j] = float32(r.Float64() + r.Float64() + r.Float64() - r.Float64() - r.Float64() - r.Float64())
		}
	}
	return m
}

func equalBits(a, b []float32) error {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && (a[i] == a[i] || b[i] == b[i]) {
			return fmt.Errorf("element %d of %d is %x, want %x", i, len(a), b[i], a[i])
		}
	}
	return nil
}

// outcome runs every operation of an engine on one shape and returns all results.
func outcome(e *Engine, m, n, k int, padded bool, seed uint64) []float32 {
	var all []float32
	keep := func(v ...[]float32) {
		for _, f := range v {
			all = append(all, f...)
		}
	}
	matrix := func(rows, cols int) *Matrix {
		if padded {
			return NewPadded(rows, cols)
		}
		return New(rows, cols)
	}
	vec := func(n int, seed uint64) []float32 { return random(1, n, false, seed).Data }

	a, b := random(m, k, padded, seed), random(k, n, padded, seed+1)
	c := matrix(m, n)
	bias := vec(n, seed+2)
	e.MatMul(c, a, b, bias)
	keep(c.Data)
	e.MatMul(c, a, b, nil)
	keep(c.Data)
	dw := matrix(k, n)
	e.MatMulTA(dw, a, c)
	keep(dw.Data)
	da := matrix(m, k)
	e.MatMulTB(da, c, b)
	keep(da.Data)

	mean, variance, inv := make([]float32, n), make([]float32, n), make([]float32, n)
	e.Moments(c, mean, variance)
	keep(mean, variance)
	scale, shift := vec(n, seed+3), vec(n, seed+4)
	for j := range inv {
		inv[j] = float32(1 / math.Sqrt(float64(variance[j])+1e-5))
	}
	d := Dropout{P: 0.3, Key: seed}
	y, dx := matrix(m, n), matrix(m, n)
	dy := random(m, n, padded, seed+5)
	dgamma, dbeta := make([]float32, n), make([]float32, n)
	for _, relu := range []bool{false, true} {
		for _, drop := range []Dropout{{}, d} {
			e.Normalize(y, c, scale, shift, relu, drop)
			keep(y.Data)
			e.NormalizeBackward(dx, dy, c, y, mean, inv, scale, dgamma, dbeta, relu, drop)
			keep(dx.Data, dgamma, dbeta)
		}
	}
	e.ReLU(y, c, d)
	e.ReLUBackward(dx, dy, y, d)
	keep(y.Data, dx.Data)
	e.Drop(y, c, d)
	e.DropBackward(dx, dy, d)
	keep(y.Data, dx.Data)
	sums := make([]float32, n)
	e.ColumnSums(sums, dy)
	keep(sums)
	rows := make([]int32, m)
	for i := range rows {
		rows[i] = int32((i*7 + 3) % k)
	}
	got := NewPadded(m, n)
	e.Gather(got, b, rows)
	keep(got.Data)

	w, g := vec(m*n, seed+6), vec(m*n, seed+7)
	s1, s2, s3 := make([]float32, m*n), make([]float32, m*n), make([]float32, m*n)
	for step := int64(1); step <= 2; step++ {
		e.Adam(w, g, s1, s2, AdamArgs{LR: 0.01, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, Decoupled: step == 1, Step: step, Max: s3})
		e.SGD(w, g, s1, SGDArgs{LR: 0.01, Momentum: 0.9, Nesterov: true})
		e.SGD(w, g, nil, SGDArgs{LR: 0.01})
		e.RMSprop(w, g, s2, s1, RMSpropArgs{LR: 0.01, Alpha: 0.99, Eps: 1e-8, Momentum: 0.9})
	}
	keep(w, s1, s2, s3)
	squares := e.SumSquares(w)
	keep([]float32{float32(squares), float32(squares - float64(float32(squares)))})
	items := make([]float32, m)
	e.For(m, 3, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			items[i]++
		}
	})
	keep(items)
	return all
}

func TestNoKernelWorkersOrBlocksChangeABit(t *testing.T) {
	shapes := []struct{ m, n, k int }{
		{1, 1, 1},
		{16, 64, 13},
		{16, 3, 32},
		{130, 70, 90},
		{64, 520, 33},
		{70, 40, 600},
		{600, 33, 40},
		{1024, 10, 60},
		{1100, 520, 2}, // more panels than are packed at once
		{13, 1100, 40}, // more columns than are packed at once
	}
	all := engines(t)
	for i, s := range shapes {
		padded := i%2 == 0
		want := outcome(all[0], s.m, s.n, s.k, padded, 11)
		for _, e := range all[1:] {
			if err := equalBits(want, outcome(e, s.m, s.n, s.k, padded, 11)); err != nil {
				t.Errorf("%s with %d workers, %v: %v", e.Kernel(), e.Workers(), s, err)
			}
		}
	}
}

// The digest is part of the contract: a change of it changes every artifact that
// holds a trained network.
func TestResultsAreTheSameOnEveryProcessor(t *testing.T) {
	e := engines(t)[0]
	h := sha256.New()
	for _, s := range []struct{ m, n, k int }{{16, 64, 13}, {33, 35, 70}, {130, 70, 90}} {
		if err := binary.Write(h, binary.LittleEndian, outcome(e, s.m, s.n, s.k, true, 11)); err != nil {
			t.Fatal(err)
		}
	}
	const want = "2c60668ae6e98567500981066c2db6b39053c185ddcc5b84c2dc0a364024e1d0"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestNoKernelWorkersOrBlocksChangeABitForAnyShape(t *testing.T) {
	all := engines(t)
	rapid.Check(t, func(t *rapid.T) {
		m, n, k := rapid.IntRange(1, 200).Draw(t, "m"), rapid.IntRange(1, 300).Draw(t, "n"), rapid.IntRange(1, 60).Draw(t, "k")
		padded, seed := rapid.Bool().Draw(t, "padded"), rapid.Uint64().Draw(t, "seed")
		e := all[rapid.IntRange(1, len(all)-1).Draw(t, "engine")]
		if err := equalBits(outcome(all[0], m, n, k, padded, seed), outcome(e, m, n, k, padded, seed)); err != nil {
			t.Fatalf("%s with %d workers: %v", e.Kernel(), e.Workers(), err)
		}
	})
}

func TestAProductOfNothingIsTheBias(t *testing.T) {
	for _, e := range engines(t) {
		c := random(3, 5, true, 1)
		bias := []float32{1, 2, 3, 4, 5}
		e.MatMul(c, New(3, 0), New(0, 5), bias)
		for i := range 3 {
			if err := equalBits(bias, c.Row(i)); err != nil {
				t.Errorf("%s: row %d: %v", e.Kernel(), i, err)
			}
		}
		e.MatMul(NewPadded(0, 5), New(0, 4), New(4, 5), bias)
		e.Moments(New(0, 0), nil, nil)
		e.Gather(New(0, 2), New(4, 2), nil)
	}
}

func TestPaddingStaysZero(t *testing.T) {
	for _, e := range engines(t) {
		a, b, c := random(40, 13, true, 1), random(13, 35, true, 2), NewPadded(40, 35)
		e.MatMul(c, a, b, random(1, 35, false, 3).Data)
		e.Normalize(c, c, b.Row(0), b.Row(1), true, Dropout{P: 0.5, Key: 9})
		for i := range c.Rows {
			for j := c.Cols; j < c.Stride; j++ {
				if c.Data[i*c.Stride+j] != 0 {
					t.Fatalf("%s: padding %d, %d is %v", e.Kernel(), i, j, c.Data[i*c.Stride+j])
				}
			}
		}
	}
}

func TestDropoutKeepsItsShareAndScales(t *testing.T) {
	for _, p := range []float32{0, 0.1, 0.5, 0.9} {
		e := engines(t)[0]
		x, y := New(400, 500), New(400, 500)
		for i := range x.Data {
			x.Data[i] = 1
		}
		e.Drop(y, x, Dropout{P: p, Key: 77})
		kept := 0
		for _, v := range y.Data {
			if v != 0 {
				kept++
				if v != 1/(1-p) {
					t.Fatalf("p %v: a kept 1 becomes %v", p, v)
				}
			}
		}
		n := float64(len(y.Data))
		want, sd := n*(1-float64(p)), math.Sqrt(n*float64(p)*(1-float64(p)))
		if math.Abs(float64(kept)-want) > 5*sd {
			t.Errorf("p %v: kept %d of %g, want %g ± %g", p, kept, n, want, sd)
		}
	}
}

func TestOperationsDoNotAllocate(t *testing.T) {
	for _, e := range engines(t) {
		a, b, c := random(300, 64, true, 1), random(64, 200, true, 2), NewPadded(300, 200)
		da := NewPadded(300, 64)
		w, g, m, v := make([]float32, 40000), make([]float32, 40000), make([]float32, 40000), make([]float32, 40000)
		mean, variance := make([]float32, 200), make([]float32, 200)
		rows := make([]int32, 300)
		double := func(lo, hi int) {
			for i := lo; i < hi; i++ {
				w[i] *= 2
			}
		}
		// Members of the other engines go to sleep meanwhile, which takes the
		// runtime a note each, once: many runs make that nothing.
		if n := testing.AllocsPerRun(20, func() {
			e.MatMul(c, a, b, nil)
			e.MatMulTB(da, c, b)
			e.Moments(c, mean, variance)
			e.Normalize(c, c, mean, variance, true, Dropout{P: 0.1, Key: 3})
			e.Adam(w, g, m, v, AdamArgs{LR: 1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Step: 1})
			e.Gather(da, a, rows)
			e.SumSquares(w)
			e.For(len(w), 100, double)
		}); n > 0 {
			t.Errorf("%s with %d workers: %g allocations", e.Kernel(), e.Workers(), n)
		}
	}
}

func TestEngineNamesTheKernelsThatTheCPUHas(t *testing.T) {
	if _, err := NewEngine("mmx", 1); err == nil {
		t.Error("kernel mmx: no error")
	} else {
		t.Log(err)
	}
	e, err := NewEngine("", -3)
	if err != nil || e.Workers() != 1 {
		t.Errorf("default engine: %v, %v", e, err)
	}
}

// Whichever goroutine a unit panics on, the caller can recover and close.
func TestAPanicOfAnyWorkerReachesTheCaller(t *testing.T) {
	for range 50 {
		e, err := NewEngine("", 2)
		if err != nil {
			t.Fatal(err)
		}
		var units atomic.Int32
		second := make(chan struct{})
		func() {
			defer func() {
				if r := fmt.Sprint(recover()); !strings.Contains(r, "boom") {
					t.Errorf("got panic %q, want boom", r)
				}
			}()
			e.For(2, 1, func(_, _ int) {
				if units.Add(1) == 1 {
					<-second // so that caller and worker have one unit each
					return
				}
				close(second)
				panic("boom")
			})
		}()
		e.Close()
	}
}

func TestShapesThatDoNotFitPanic(t *testing.T) {
	e := engines(t)[0]
	short := &Matrix{Rows: 3, Cols: 4, Stride: 4, Data: make([]float32, 11)}
	for name, f := range map[string]func(){
		"inner sizes differ":          func() { e.MatMul(New(2, 2), New(2, 3), New(4, 2), nil) },
		"short bias":                  func() { e.MatMul(New(2, 2), New(2, 3), New(3, 2), []float32{1}) },
		"rows differ":                 func() { e.MatMulTA(New(3, 2), New(4, 3), New(5, 2)) },
		"columns differ":              func() { e.MatMulTB(New(4, 5), New(4, 3), New(5, 2)) },
		"matrix shorter than it says": func() { e.ColumnSums(make([]float32, 4), short) },
		"output of another shape":     func() { e.ReLU(New(3, 4), New(4, 3), Dropout{}) },
		"row outside the source":      func() { e.Gather(New(1, 2), New(3, 2), []int32{3}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
