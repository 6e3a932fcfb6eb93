package main

import "fmt"

// writeKernels prints every kernel for m.
func writeKernels(m machine) {
	counting(m.out())
	for _, t := range tiles(m) {
		gemm(m, t.rows, t.vectors, t.tail)
	}
	m.transpose()
	for _, tail := range []bool{false, true} {
		moments(m, tail)
		sums(m, tail)
		for v := range 8 {
			forward(m, v&1 != 0, v&2 != 0, v&4 != 0, tail)
		}
		for _, mask := range masks {
			backward(m, mask, tail)
			stats(m, mask, tail)
		}
		apply(m, tail)
		for _, memory := range []string{"", "Momentum", "Nesterov"} {
			sgd(m, memory, tail)
		}
		for _, amsgrad := range []bool{false, true} {
			adam(m, amsgrad, tail)
		}
		for _, momentum := range []bool{false, true} {
			rmsprop(m, momentum, tail)
		}
	}
}

type tile struct {
	rows, vectors int
	tail          bool
}

// tiles returns the GEMM tiles: as many accumulators as the registers allow.
func tiles(m machine) []tile {
	var t []tile
	rows := map[string][]int{"AVX512": {12, 8, 4, 2, 1}, "AVX2": {6, 4, 2, 1}, "NEON": {8, 4, 2, 1}}
	for _, r := range rows[m.out().suffix] {
		t = append(t, tile{r, 2, false}, tile{r, 1, true})
	}
	return t
}

// An allocator hands out vector registers.
type allocator struct {
	m    machine
	next vec
}

func (a *allocator) one() vec {
	if int(a.next) == a.m.vecs() {
		panic("gen: out of vector registers for " + a.m.out().suffix)
	}
	a.next++
	return a.next - 1
}

func (a *allocator) some(n int) []vec {
	v := make([]vec, n)
	for i := range v {
		v[i] = a.one()
	}
	return v
}

// gemm: a tile of rows x vectors accumulators in registers. Every k adds one
// product to each of them, so that the sum of an element runs over k in order.
func gemm(m machine, rows, vectors int, tail bool) {
	name := fmt.Sprintf("gemm%dx%d", rows, vectors)
	m.start(name, "Gemm", fmt.Sprintf("C = Start + A·B for %d rows and %d columns", rows, vectors*m.lanes()), tail)
	const a, ak, b, ldb, k, as, c, ldc = 0, 1, 2, 3, 4, 5, 6, 7
	size := m.lanes() * 4
	r := &allocator{m: m}
	acc := make([][]vec, rows)
	m.field(c, "Gemm_Start")
	m.field(ldc, "Gemm_LDS")
	for i := range acc {
		acc[i] = r.some(vectors)
		for j, v := range acc[i] {
			m.load(v, c, j*size, tail)
		}
		if i+1 < rows {
			m.add(c, ldc)
		}
	}
	m.field(a, "Gemm_A")
	m.field(as, "Gemm_AS")
	m.field(ak, "Gemm_AK")
	m.field(b, "Gemm_B")
	m.field(ldb, "Gemm_LDB")
	m.field(k, "Gemm_K")
	m.rows(a, as, rows)
	bv := r.some(vectors)
	av := r.some(min(4, rows, m.vecs()-int(r.next)))
	m.loop(k, func() {
		for j, v := range bv {
			m.load(v, b, j*size, tail)
		}
		for i := range acc {
			x := av[i%len(av)]
			m.splatRow(x, i)
			for j, v := range acc[i] {
				m.fma(v, x, bv[j])
			}
		}
		m.advanceRows(ak)
		m.add(b, ldb)
	})
	m.field(c, "Gemm_C")
	m.field(ldc, "Gemm_LDC")
	for i := range acc {
		for j, v := range acc[i] {
			m.store(c, j*size, v, tail)
		}
		if i+1 < rows {
			m.add(c, ldc)
		}
	}
	m.end()
}

// The registers of a kernel on columns: a pointer and a stride for each matrix
// and the count of rows. One more is for the moment.
const (
	regX, regY, regG, regD     = reg(0), reg(1), reg(2), reg(3)
	regXS, regYS, regGS, regDS = reg(4), reg(5), reg(6), reg(7)
	regRows                    = reg(8)
	regTmp                     = reg(9)
)

// A block is a kernel on columns under way: all rows of some vectors.
type block struct {
	machine
	allocator
	tail bool
	n    int // vectors side by side
}

// newBlock starts a kernel on n vectors of columns, or on one, which may be partial.
func newBlock(m machine, name, doc string, n int, tail bool) *block {
	if tail {
		name, n = name+"Tail", 1
	}
	m.start(name, "Columns", doc, tail)
	return &block{machine: m, allocator: allocator{m: m}, tail: tail, n: n}
}

// matrix loads the pointer and the stride of a matrix.
func (b *block) matrix(p, stride reg, name string) {
	b.field(p, "Columns_"+name)
	b.addField(p, "Columns_Off")
	b.field(stride, "Columns_"+name+"S")
}

// vector loads a parameter per column.
func (b *block) vector(name string) []vec {
	v := b.some(b.n)
	b.loadVector(v, name)
	return v
}

func (b *block) loadVector(v []vec, name string) {
	b.field(regTmp, "Columns_"+name)
	b.addField(regTmp, "Columns_Off")
	for j := range v {
		b.load(v[j], regTmp, j*b.lanes()*4, b.tail)
	}
}

// result stores a result per column.
func (b *block) result(v []vec, name string) {
	b.field(regTmp, "Columns_"+name)
	b.addField(regTmp, "Columns_Off")
	for j := range v {
		b.store(regTmp, j*b.lanes()*4, v[j], b.tail)
	}
}

func (b *block) zeros() []vec {
	v := b.some(b.n)
	for _, r := range v {
		b.zero(r)
	}
	return v
}

func (b *block) constant(field string) vec {
	v := b.one()
	b.splat(v, "Columns_"+field)
	return v
}

// eachRow runs body for every row and vector of it, and then moves the pointers.
func (b *block) eachRow(body func(j, off int), pointers ...reg) {
	b.field(regRows, "Columns_Rows")
	b.loop(regRows, func() {
		for j := range b.n {
			body(j, j*b.lanes()*4)
		}
		for _, p := range pointers {
			b.machine.add(p, p+regXS-regX)
		}
	})
}

func moments(m machine, tail bool) {
	b := newBlock(m, "moments", "Mean and Variance of the columns of X", 4, tail)
	mean, variance, n, x := b.zeros(), b.zeros(), b.constant("N"), b.one()
	b.matrix(regX, regXS, "X")
	b.eachRow(func(j, off int) {
		b.load(x, regX, off, tail)
		b.fadd(mean[j], mean[j], x)
	}, regX)
	for _, v := range mean {
		b.fdiv(v, v, n)
	}
	b.result(mean, "Mean")
	b.matrix(regX, regXS, "X")
	b.eachRow(func(j, off int) {
		b.load(x, regX, off, tail)
		b.fsub(x, x, mean[j])
		b.fma(variance[j], x, x)
	}, regX)
	for _, v := range variance {
		b.fdiv(v, v, n)
	}
	b.result(variance, "Variance")
	b.end()
}

func sums(m machine, tail bool) {
	b := newBlock(m, "sums", "Mean = sums of the columns of X", 4, tail)
	sum, x := b.zeros(), b.one()
	b.matrix(regX, regXS, "X")
	b.eachRow(func(j, off int) {
		b.load(x, regX, off, tail)
		b.fadd(sum[j], sum[j], x)
	}, regX)
	b.result(sum, "Mean")
	b.end()
}

// A hash holds what a dropout mask needs.
type hash struct {
	number                                           []vec // of the element, per vector
	low, high, mul1, mul2, threshold, pitch, h, temp vec
}

// newHash prepares the mask. h and temp are for the moment.
func (b *block) newHash(h, temp vec) *hash {
	k := &hash{number: b.some(b.n), h: h, temp: temp}
	for j, v := range k.number {
		b.columnNumber(v, j)
	}
	k.low, k.high = b.constant("KeyLow"), b.constant("KeyHigh")
	k.threshold, k.pitch = b.constant("Threshold"), b.constant("Pitch")
	k.mul1, k.mul2 = b.one(), b.one()
	b.splatConst(k.mul1, 0x7feb352d)
	b.splatConst(k.mul2, 0x846ca68b)
	return k
}

// drop zeroes the elements of v that the mask drops: the steps of kernel.Hash.
func (b *block) drop(k *hash, v vec, j int) {
	h, t := k.h, k.temp
	mix := func(n int) {
		b.shift(t, h, n)
		b.xor(h, h, t)
	}
	b.xor(h, k.number[j], k.low)
	mix(16)
	b.imul(h, h, k.mul1)
	mix(15)
	b.xor(h, h, k.high)
	b.imul(h, h, k.mul2)
	mix(16)
	b.shift(h, h, 8)
	b.whereReached(v, h, k.threshold, t)
	b.iadd(k.number[j], k.number[j], k.pitch)
}

// across returns how many vectors side by side a kernel works on: four use whole
// cache lines, less if there are only 16 registers.
func across(m machine, crowded bool) int {
	switch {
	case m.vecs() > 16:
		return 4
	case crowded:
		return 1
	}
	return 2
}

func forward(m machine, affine, relu, drop, tail bool) {
	name, doc := "forward", "Y = X"
	if affine {
		name, doc = name+"Affine", doc+" * Gain + Shift"
	}
	if relu {
		name, doc = name+"ReLU", doc+", then ReLU"
	}
	if drop {
		name, doc = name+"Drop", doc+", then dropout"
	}
	b := newBlock(m, name, doc, across(m, drop), tail)
	var gain, shift []vec
	if affine {
		gain, shift = b.vector("Gain"), b.vector("Shift")
	}
	x, t := b.one(), b.one()
	var zero, keep vec
	var k *hash
	if relu {
		zero = b.one()
		b.zero(zero)
	}
	if drop {
		keep = b.constant("Keep")
		k = b.newHash(b.one(), t)
	}
	b.matrix(regX, regXS, "X")
	b.matrix(regY, regYS, "Y")
	b.eachRow(func(j, off int) {
		b.load(x, regX, off, tail)
		if affine {
			b.fmaInto(x, gain[j], shift[j], t)
		}
		if relu {
			b.relu(x, zero, t)
		}
		if drop {
			b.fmul(x, x, keep)
			b.drop(k, x, j)
		}
		b.store(regY, off, x, tail)
	}, regX, regY)
	b.end()
}

// What stops the gradient on its way back: nothing, ReLU (with dropout, which
// leaves 0 too), or dropout alone.
var masks = []string{"", "ReLU", "Drop"}

// A gate takes a gradient back through ReLU and dropout.
type gate struct {
	mask       string
	zero, keep vec
	hash       *hash
	y, t       vec
}

// newGate prepares it. y and t are for the moment.
func (b *block) newGate(mask string, y, t vec) *gate {
	g := &gate{mask: mask, y: y, t: t}
	switch mask {
	case "ReLU":
		g.zero, g.keep = b.one(), b.constant("Keep")
		b.zero(g.zero)
		b.matrix(regY, regYS, "Y")
	case "Drop":
		g.keep = b.constant("Keep")
		g.hash = b.newHash(y, t)
	}
	return g
}

func (b *block) through(k *gate, v vec, j, off int) {
	switch k.mask {
	case "ReLU":
		b.load(k.y, regY, off, b.tail)
		b.fmul(v, v, k.keep)
		b.whereAbove(v, k.y, k.zero, k.t)
	case "Drop":
		b.fmul(v, v, k.keep)
		b.drop(k.hash, v, j)
	}
}

// pointers returns the matrices that a kernel with this gate walks through.
func (k *gate) pointers(p ...reg) []reg {
	if k.mask == "ReLU" {
		p = append(p, regY)
	}
	return p
}

func backward(m machine, mask string, tail bool) {
	b := newBlock(m, "backward"+mask, "D = G where the mask lets it through", across(m, mask == "Drop"), tail)
	g := b.one()
	k := b.newGate(mask, b.one(), b.one())
	b.matrix(regG, regGS, "G")
	b.matrix(regD, regDS, "D")
	b.eachRow(func(j, off int) {
		b.load(g, regG, off, tail)
		b.through(k, g, j, off)
		b.store(regD, off, g, tail)
	}, k.pointers(regG, regD)...)
	b.end()
}

func stats(m machine, mask string, tail bool) {
	b := newBlock(m, "stats"+mask, "D = G where the mask lets it through, DBeta = ΣD, DGamma = ΣD·xhat", across(m, mask == "Drop"), tail)
	mean, inv, dgamma, dbeta := b.vector("Mean"), b.vector("Inv"), b.zeros(), b.zeros()
	g, x, t := b.one(), b.one(), b.one()
	k := b.newGate(mask, x, t)
	b.matrix(regX, regXS, "X")
	b.matrix(regG, regGS, "G")
	b.matrix(regD, regDS, "D")
	b.eachRow(func(j, off int) {
		b.load(g, regG, off, tail)
		b.through(k, g, j, off)
		b.load(x, regX, off, tail)
		b.store(regD, off, g, tail)
		b.fadd(dbeta[j], dbeta[j], g)
		b.fsub(x, x, mean[j])
		b.fmul(x, x, inv[j])
		b.fma(dgamma[j], g, x)
	}, k.pointers(regX, regG, regD)...)
	b.result(dgamma, "DGamma")
	b.result(dbeta, "DBeta")
	b.end()
}

func apply(m machine, tail bool) {
	b := newBlock(m, "apply", "D = Gain·Inv·(D - DBeta/N - xhat·DGamma/N)", across(m, false), tail)
	mean, inv, gain := b.vector("Mean"), b.vector("Inv"), b.vector("Gain")
	dgamma, dbeta := b.vector("DGamma"), b.vector("DBeta")
	x, d := b.one(), b.one()
	b.splat(x, "Columns_N")
	for j := range gain {
		b.fmul(gain[j], gain[j], inv[j])
		b.fdiv(dgamma[j], dgamma[j], x)
		b.fdiv(dbeta[j], dbeta[j], x)
	}
	b.matrix(regX, regXS, "X")
	b.matrix(regD, regDS, "D")
	b.eachRow(func(j, off int) {
		b.load(x, regX, off, tail)
		b.load(d, regD, off, tail)
		b.fsub(x, x, mean[j])
		b.fmul(x, x, inv[j])
		b.fsub(d, d, dbeta[j])
		b.fnma(d, x, dgamma[j])
		b.fmul(d, d, gain[j])
		b.store(regD, off, d, tail)
	}, regX, regD)
	b.end()
}

// A stream is a kernel on flat vectors under way.
type stream struct {
	machine
	allocator
	tail     bool
	pointers map[string]reg
	used     []reg
}

func newStream(m machine, name, doc string, tail bool, vectors ...string) *stream {
	if tail {
		name += "Tail"
	}
	m.start(name, "Flat", doc, tail)
	s := &stream{machine: m, allocator: allocator{m: m}, tail: tail, pointers: map[string]reg{}}
	for i, v := range vectors {
		s.pointers[v] = reg(i)
		s.used = append(s.used, reg(i))
		s.field(reg(i), "Flat_"+v)
	}
	return s
}

func (s *stream) constant(field string) vec {
	v := s.one()
	s.splat(v, "Flat_"+field)
	return v
}

func (s *stream) get(v vec, name string) { s.load(v, s.pointers[name], 0, s.tail) }
func (s *stream) put(name string, v vec) { s.store(s.pointers[name], 0, v, s.tail) }

// each runs body for every vector of the flat vectors; N counts vectors here.
func (s *stream) each(body func()) {
	s.field(regRows, "Flat_N")
	s.loop(regRows, func() {
		body()
		for _, p := range s.used {
			s.addConst(p, s.lanes()*4)
		}
	})
	s.end()
}

func sgd(m machine, memory string, tail bool) {
	vectors := []string{"W", "G"}
	if memory != "" {
		vectors = append(vectors, "M")
	}
	s := newStream(m, "sgd"+memory, "a step of SGD", tail, vectors...)
	l2, rate, w, g := s.constant("L2"), s.constant("Rate"), s.one(), s.one()
	b1, v, t := s.constant("B1"), s.one(), s.one()
	s.each(func() {
		s.get(w, "W")
		s.get(g, "G")
		s.fma(g, l2, w)
		if memory != "" {
			s.get(v, "M")
			s.fmaInto(v, b1, g, t)
			s.put("M", v)
		}
		switch memory {
		case "Momentum":
			g = v
		case "Nesterov":
			s.fma(g, b1, v)
		}
		s.fnma(w, rate, g)
		s.put("W", w)
	})
}

func adam(m machine, amsgrad, tail bool) {
	name, vectors := "adam", []string{"W", "G", "M", "V"}
	if amsgrad {
		name, vectors = "amsgrad", append(vectors, "Max")
	}
	s := newStream(m, name, "a step of Adam", tail, vectors...)
	w, g, v, q, t := s.one(), s.one(), s.one(), s.one(), s.one()
	shrink, l2, rate := s.constant("Shrink"), s.constant("L2"), s.constant("Rate")
	b1, c1, b2, c2 := s.constant("B1"), s.constant("C1"), s.constant("B2"), s.constant("C2")
	root, eps := s.constant("Root"), s.constant("Eps")
	s.each(func() {
		s.get(w, "W")
		s.fmul(w, w, shrink)
		s.get(g, "G")
		s.fma(g, l2, w)
		s.get(q, "M")
		s.fmul(q, q, b1)
		s.fma(q, c1, g)
		s.put("M", q)
		s.get(v, "V")
		s.fmul(v, v, b2)
		s.fmul(t, c2, g)
		s.fma(v, t, g)
		s.put("V", v)
		if amsgrad {
			s.get(t, "Max")
			s.larger(v, t, v, g)
			s.put("Max", v)
		}
		s.fsqrt(v, v)
		s.fmaInto(v, root, eps, t)
		s.fdiv(q, q, v)
		s.fnma(w, rate, q)
		s.put("W", w)
	})
}

func rmsprop(m machine, momentum, tail bool) {
	name, vectors := "rmsprop", []string{"W", "G", "V"}
	if momentum {
		name, vectors = "rmspropMomentum", append(vectors, "M")
	}
	s := newStream(m, name, "a step of RMSprop", tail, vectors...)
	w, g, v, q, t := s.one(), s.one(), s.one(), s.one(), s.one()
	l2, rate, b1 := s.constant("L2"), s.constant("Rate"), s.constant("B1")
	b2, c2, eps := s.constant("B2"), s.constant("C2"), s.constant("Eps")
	s.each(func() {
		s.get(w, "W")
		s.get(g, "G")
		s.fma(g, l2, w)
		s.get(v, "V")
		s.fmul(v, v, b2)
		s.fmul(t, c2, g)
		s.fma(v, t, g)
		s.put("V", v)
		s.fsqrt(v, v)
		s.fadd(v, v, eps)
		s.fdiv(g, g, v)
		if momentum {
			s.get(q, "M")
			s.fmaInto(q, b1, g, t)
			s.put("M", q)
			g = q
		}
		s.fnma(w, rate, g)
		s.put("W", w)
	})
}

// counting is the vector 0, 1, 2, …
func counting(o *output) {
	for i := range 16 {
		fmt.Fprintf(&o.text, "DATA counting<>+%d(SB)/4, $%d\n", 4*i, i)
	}
	o.text.WriteString("GLOBL counting<>(SB), RODATA|NOPTR, $64\n")
}
