package main

import "fmt"

// neon prints Advanced SIMD of arm64. Go's assembler lacks the vector forms of
// most float instructions; those are written as words, with the instruction in
// the comment. There are no partial vectors: Go code does what is left.
type neon struct {
	output
	rowReg []int
}

func newNEON() *neon { return &neon{output: output{suffix: "NEON"}} }

// R0 holds the argument; R16 to R18 and R26 up belong to linker, system and runtime.
var (
	neonRegs = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	neonRows = []int{12, 13, 14, 15, 19, 20, 21}
)

const (
	neonTmp, neonTmp2 = 22, 23
	neonVec           = 31 // for the moment
)

func (m *neon) out() *output { return &m.output }
func (m *neon) lanes() int   { return 4 }
func (m *neon) vecs() int    { return 31 }

func (m *neon) r(r reg) string { return fmt.Sprintf("R%d", neonRegs[r]) }

// word prints an instruction by its encoding: destination in bits 0 to 4, first
// source in 5 to 9, second in 16 to 20.
func (m *neon) word(text string, code uint32, d, a, b vec) {
	m.emit("WORD $0x%08x // %s v%d, v%d, v%d", code|uint32(d)|uint32(a)<<5|uint32(b)<<16, text, d, a, b)
}

func (m *neon) start(name, arg, doc string, tail bool) {
	m.function(name, arg, doc)
	m.emit("MOVD a+0(FP), R0")
}

func (m *neon) end() { m.emit("RET") }

func (m *neon) field(r reg, name string) { m.emit("MOVD %s(R0), %s", name, m.r(r)) }

func (m *neon) addField(r reg, name string) {
	m.emit("MOVD %s(R0), R%d", name, neonTmp)
	m.emit("ADD R%d, %s", neonTmp, m.r(r))
}

func (m *neon) add(d, s reg)          { m.emit("ADD %s, %s", m.r(s), m.r(d)) }
func (m *neon) addConst(r reg, n int) { m.emit("ADD $%d, %s", n, m.r(r)) }

func (m *neon) loop(count reg, body func()) {
	m.label++
	n := m.label
	m.emit("CMP $0, %s", m.r(count))
	m.emit("BLE done%d", n)
	fmt.Fprintf(&m.text, "loop%d:\n", n)
	body()
	m.emit("SUBS $1, %s, %s", m.r(count), m.r(count))
	m.emit("BNE loop%d", n)
	fmt.Fprintf(&m.text, "done%d:\n", n)
}

func (m *neon) load(v vec, p reg, off int, _ bool)  { m.emit("FMOVQ %d(%s), F%d", off, m.r(p), v) }
func (m *neon) store(p reg, off int, v vec, _ bool) { m.emit("FMOVQ F%d, %d(%s)", v, off, m.r(p)) }

func (m *neon) dup(v vec, r int) {
	m.emit("WORD $0x%08x // dup v%d.4s, w%d", 0x4e040c00|uint32(v)|uint32(r)<<5, v, r)
}

func (m *neon) splat(v vec, field string) {
	m.emit("MOVWU %s(R0), R%d", field, neonTmp)
	m.dup(v, neonTmp)
}

func (m *neon) splatConst(v vec, n uint32) {
	m.emit("MOVD $0x%08x, R%d", n, neonTmp)
	m.dup(v, neonTmp)
}

func (m *neon) columnNumber(v vec, block int) {
	m.emit("MOVD Columns_Off(R0), R%d", neonTmp)
	m.emit("LSR $2, R%d", neonTmp)
	m.emit("MOVWU Columns_Index(R0), R%d", neonTmp2)
	m.emit("ADD R%d, R%d", neonTmp2, neonTmp)
	m.emit("ADD $%d, R%d", block*4, neonTmp)
	m.dup(v, neonTmp)
	m.emit("MOVD $counting<>(SB), R%d", neonTmp)
	m.emit("FMOVQ (R%d), F%d", neonTmp, neonVec)
	m.iadd(v, v, neonVec)
}

func (m *neon) copy(d, s vec) { m.word("mov", 0x4ea01c00, d, s, s) }
func (m *neon) zero(v vec)    { m.xor(v, v, v) }

func (m *neon) fadd(d, a, b vec) { m.word("fadd.4s", 0x4e20d400, d, a, b) }
func (m *neon) fsub(d, a, b vec) { m.word("fsub.4s", 0x4ea0d400, d, a, b) }
func (m *neon) fmul(d, a, b vec) { m.word("fmul.4s", 0x6e20dc00, d, a, b) }
func (m *neon) fdiv(d, a, b vec) { m.word("fdiv.4s", 0x6e20fc00, d, a, b) }
func (m *neon) fsqrt(d, a vec)   { m.word("fsqrt.4s", 0x6ea1f800, d, a, 0) }
func (m *neon) fma(d, a, b vec)  { m.word("fmla.4s", 0x4e20cc00, d, a, b) }
func (m *neon) fnma(d, a, b vec) { m.word("fmls.4s", 0x4ea0cc00, d, a, b) }

func (m *neon) fmaInto(d, a, b, t vec) {
	m.copy(t, b)
	m.fma(t, d, a)
	m.copy(d, t)
}

func (m *neon) larger(d, a, b, t vec) {
	m.word("fcmgt.4s", 0x6ea0e400, t, a, b)
	m.word("bsl.16b", 0x6e601c00, t, a, b)
	m.copy(d, t)
}

func (m *neon) relu(v, zero, t vec) {
	m.word("fcmge.4s", 0x6e20e400, t, zero, v)
	m.word("bic.16b", 0x4e601c00, v, v, t)
}

func (m *neon) whereAbove(v, y, zero, t vec) {
	m.word("fcmgt.4s", 0x6ea0e400, t, y, zero)
	m.word("and.16b", 0x4e201c00, v, v, t)
}

func (m *neon) whereReached(v, h, threshold, t vec) {
	m.word("cmhs.4s", 0x6ea03c00, t, h, threshold)
	m.word("and.16b", 0x4e201c00, v, v, t)
}

func (m *neon) iadd(d, a, b vec) { m.word("add.4s", 0x4ea08400, d, a, b) }
func (m *neon) imul(d, a, b vec) { m.word("mul.4s", 0x4ea09c00, d, a, b) }
func (m *neon) xor(d, a, b vec)  { m.word("eor.16b", 0x6e201c00, d, a, b) }

func (m *neon) shift(d, a vec, n int) {
	m.emit("WORD $0x%08x // ushr v%d.4s, v%d.4s, #%d", 0x6f000400|uint32(64-n)<<16|uint32(a)<<5|uint32(d), d, a, n)
}

// rows uses one register for each row.
func (m *neon) rows(base, stride reg, n int) {
	m.rowReg = append([]int{neonRegs[base]}, neonRows[:n-1]...)
	for i := 1; i < n; i++ {
		m.emit("ADD %s, R%d, R%d", m.r(stride), m.rowReg[i-1], m.rowReg[i])
	}
}

func (m *neon) splatRow(v vec, i int) {
	m.emit("WORD $0x%08x // ld1r {v%d.4s}, [x%d]", 0x4d40c800|uint32(m.rowReg[i])<<5|uint32(v), v, m.rowReg[i])
}

func (m *neon) advanceRows(step reg) {
	for _, r := range m.rowReg {
		m.emit("ADD %s, R%d", m.r(step), r)
	}
}

func (m *neon) transpose() {} // Go code does it: 1 % of a training step
