package main

import "fmt"

// x86 prints AVX-512 (F, DQ, BW, VL) or AVX2 with FMA.
type x86 struct {
	output
	wide   bool // AVX-512
	tail   bool // the function under way has a partial vector
	rowReg []string
	stride string
	triple string
}

func newX86(suffix string) *x86 {
	return &x86{output: output{suffix: suffix}, wide: suffix == "AVX512"}
}

// AX holds the argument; R14 and R15 belong to the runtime and the linker.
var x86regs = []string{"BX", "CX", "DX", "SI", "DI", "R8", "R9", "R10", "R11", "R12", "R13"}

func (m *x86) out() *output { return &m.output }

func (m *x86) lanes() int {
	if m.wide {
		return 16
	}
	return 8
}

// vecs leaves out the register that holds the mask of AVX2.
func (m *x86) vecs() int {
	switch {
	case m.wide:
		return 32
	case m.tail:
		return 15
	}
	return 16
}

func (m *x86) r(r reg) string { return x86regs[r] }

func (m *x86) v(v vec) string {
	if m.wide {
		return fmt.Sprintf("Z%d", v)
	}
	return fmt.Sprintf("Y%d", v)
}

func (m *x86) op3(op string, d, a, b vec) { m.emit("%s %s, %s, %s", op, m.v(b), m.v(a), m.v(d)) }

// only picks the AVX-512 or the AVX2 name of an instruction.
func (m *x86) only(wide, narrow string) string {
	if m.wide {
		return wide
	}
	return narrow
}

func (m *x86) start(name, arg, doc string, tail bool) {
	m.function(name, arg, doc)
	m.tail = tail
	m.emit("MOVQ a+0(FP), AX")
	if tail && m.wide {
		m.emit("KMOVW %s_Bits(AX), K1", arg)
	} else if tail {
		m.emit("VMOVDQU %s_Lanes(AX), Y15", arg)
	}
}

func (m *x86) end() {
	m.emit("VZEROUPPER")
	m.emit("RET")
}

func (m *x86) field(r reg, name string)    { m.emit("MOVQ %s(AX), %s", name, m.r(r)) }
func (m *x86) addField(r reg, name string) { m.emit("ADDQ %s(AX), %s", name, m.r(r)) }
func (m *x86) add(d, s reg)                { m.emit("ADDQ %s, %s", m.r(s), m.r(d)) }
func (m *x86) addConst(r reg, n int)       { m.emit("ADDQ $%d, %s", n, m.r(r)) }

func (m *x86) loop(count reg, body func()) {
	m.label++
	n := m.label
	m.emit("TESTQ %s, %s", m.r(count), m.r(count))
	m.emit("JLE done%d", n)
	m.emit("PCALIGN $32")
	fmt.Fprintf(&m.text, "loop%d:\n", n)
	body()
	m.emit("DECQ %s", m.r(count))
	m.emit("JNE loop%d", n)
	fmt.Fprintf(&m.text, "done%d:\n", n)
}

func (m *x86) load(v vec, p reg, off int, tail bool) {
	switch {
	case tail && m.wide:
		m.emit("VMOVUPS.Z %d(%s), K1, %s", off, m.r(p), m.v(v))
	case tail:
		m.emit("VMASKMOVPS %d(%s), Y15, %s", off, m.r(p), m.v(v))
	default:
		m.emit("VMOVUPS %d(%s), %s", off, m.r(p), m.v(v))
	}
}

func (m *x86) store(p reg, off int, v vec, tail bool) {
	switch {
	case tail && m.wide:
		m.emit("VMOVUPS %s, K1, %d(%s)", m.v(v), off, m.r(p))
	case tail:
		m.emit("VMASKMOVPS %s, Y15, %d(%s)", m.v(v), off, m.r(p))
	default:
		m.emit("VMOVUPS %s, %d(%s)", m.v(v), off, m.r(p))
	}
}

func (m *x86) splat(v vec, field string) { m.emit("VBROADCASTSS %s(AX), %s", field, m.v(v)) }

func (m *x86) splatConst(v vec, n uint32) {
	m.emit("MOVL $0x%08x, R13", n)
	m.emit("VMOVD R13, X%d", v)
	m.emit("VPBROADCASTD X%d, %s", v, m.v(v))
}

func (m *x86) columnNumber(v vec, block int) {
	m.emit("MOVQ Columns_Off(AX), R13")
	m.emit("SHRQ $2, R13")
	m.emit("ADDL Columns_Index(AX), R13")
	m.emit("ADDL $%d, R13", block*m.lanes())
	m.emit("VMOVD R13, X%d", v)
	m.emit("VPBROADCASTD X%d, %s", v, m.v(v))
	m.emit("VPADDD counting<>(SB), %s, %s", m.v(v), m.v(v))
}

func (m *x86) zero(v vec) { m.op3(m.only("VPXORD", "VXORPS"), v, v, v) }

func (m *x86) fadd(d, a, b vec) { m.op3("VADDPS", d, a, b) }
func (m *x86) fsub(d, a, b vec) { m.op3("VSUBPS", d, a, b) }
func (m *x86) fmul(d, a, b vec) { m.op3("VMULPS", d, a, b) }
func (m *x86) fdiv(d, a, b vec) { m.op3("VDIVPS", d, a, b) }
func (m *x86) fsqrt(d, a vec)   { m.emit("VSQRTPS %s, %s", m.v(a), m.v(d)) }
func (m *x86) fma(d, a, b vec)  { m.op3("VFMADD231PS", d, a, b) }
func (m *x86) fnma(d, a, b vec) { m.op3("VFNMADD231PS", d, a, b) }

func (m *x86) fmaInto(d, a, b, _ vec) { m.op3("VFMADD213PS", d, a, b) }

// larger: VMAXPS returns its second operand unless the first is larger.
func (m *x86) larger(d, a, b, _ vec) { m.op3("VMAXPS", d, a, b) }

// keep zeroes the lanes of v where a COMPARE b is false.
func (m *x86) keep(v, a, b, t vec, compare int) {
	if m.wide {
		m.emit("VCMPPS $0x%02x, %s, %s, K2", compare, m.v(b), m.v(a))
		m.emit("VMOVAPS.Z %s, K2, %s", m.v(v), m.v(v))
		return
	}
	m.emit("VCMPPS $0x%02x, %s, %s, %s", compare, m.v(b), m.v(a), m.v(t))
	m.op3("VANDPS", v, v, t)
}

func (m *x86) relu(v, zero, t vec)          { m.keep(v, v, zero, t, 0x16) } // not less or equal, true for NaN
func (m *x86) whereAbove(v, y, zero, t vec) { m.keep(v, y, zero, t, 0x1e) } // greater, false for NaN

func (m *x86) whereReached(v, h, threshold, t vec) {
	if m.wide {
		m.emit("VPCMPUD $5, %s, %s, K2", m.v(threshold), m.v(h))
		m.emit("VMOVAPS.Z %s, K2, %s", m.v(v), m.v(v))
		return
	}
	m.op3("VPCMPGTD", t, threshold, h)
	m.op3("VANDNPS", v, t, v)
}

func (m *x86) iadd(d, a, b vec)      { m.op3("VPADDD", d, a, b) }
func (m *x86) imul(d, a, b vec)      { m.op3("VPMULLD", d, a, b) }
func (m *x86) xor(d, a, b vec)       { m.op3(m.only("VPXORD", "VPXOR"), d, a, b) }
func (m *x86) shift(d, a vec, n int) { m.emit("VPSRLD $%d, %s, %s", n, m.v(a), m.v(d)) }

// rows uses one register for four rows: base, base+stride, base+2*stride and
// base+3*stride are addresses that the CPU can form.
func (m *x86) rows(base, stride reg, n int) {
	m.rowReg = []string{m.r(base), "R12", "R13"}[:(n+3)/4]
	m.stride, m.triple = m.r(stride), "R11"
	m.emit("LEAQ (%s)(%s*2), R11", m.stride, m.stride)
	for i := 1; i < len(m.rowReg); i++ {
		m.emit("LEAQ (%s)(%s*4), %s", m.rowReg[i-1], m.stride, m.rowReg[i])
	}
}

func (m *x86) splatRow(v vec, i int) {
	base := m.rowReg[i/4]
	at := fmt.Sprintf("(%s)", base)
	switch i % 4 {
	case 1, 2:
		at += fmt.Sprintf("(%s*%d)", m.stride, i%4)
	case 3:
		at += fmt.Sprintf("(%s*1)", m.triple)
	}
	m.emit("VBROADCASTSS %s, %s", at, m.v(v))
}

func (m *x86) advanceRows(step reg) {
	for _, r := range m.rowReg {
		m.emit("ADDQ %s, %s", m.r(step), r)
	}
}

// transpose works on 8 rows in blocks of 8 columns, in AVX2 registers for both
// instruction sets.
func (m *x86) transpose() {
	if m.wide {
		return
	}
	m.start("transpose", "Transpose", "Y = the transpose of 8 rows of X, Cols/8 blocks of 8 columns", false)
	const x, xs, y, ys, n, x4, y4, xs3, ys3 = 0, 1, 2, 3, 4, 5, 6, 7, 8
	m.field(x, "Transpose_X")
	m.field(xs, "Transpose_XS")
	m.field(y, "Transpose_Y")
	m.field(ys, "Transpose_YS")
	m.field(n, "Transpose_Cols")
	m.emit("SHRQ $3, %s", m.r(n))
	m.emit("LEAQ (%s)(%s*2), %s", m.r(xs), m.r(xs), m.r(xs3))
	m.emit("LEAQ (%s)(%s*2), %s", m.r(ys), m.r(ys), m.r(ys3))
	address := func(p, p4, s, s3 reg, i int) string {
		if i >= 4 {
			p, i = p4, i-4
		}
		return []string{
			fmt.Sprintf("(%s)", m.r(p)), fmt.Sprintf("(%s)(%s*1)", m.r(p), m.r(s)),
			fmt.Sprintf("(%s)(%s*2)", m.r(p), m.r(s)), fmt.Sprintf("(%s)(%s*1)", m.r(p), m.r(s3)),
		}[i]
	}
	m.loop(n, func() {
		m.emit("LEAQ (%s)(%s*4), %s", m.r(x), m.r(xs), m.r(x4))
		m.emit("LEAQ (%s)(%s*4), %s", m.r(y), m.r(ys), m.r(y4))
		for i := range 8 {
			m.emit("VMOVUPS %s, Y%d", address(x, x4, xs, xs3, i), i)
		}
		// Pairs of rows interleaved, then pairs of pairs, then the two halves.
		for i := range 4 {
			m.emit("VUNPCKLPS Y%d, Y%d, Y%d", 2*i+1, 2*i, 8+2*i)
			m.emit("VUNPCKHPS Y%d, Y%d, Y%d", 2*i+1, 2*i, 9+2*i)
		}
		for i := range 2 {
			for j := range 2 {
				m.emit("VSHUFPS $0x44, Y%d, Y%d, Y%d", 10+4*i+j, 8+4*i+j, 4*i+2*j)
				m.emit("VSHUFPS $0xee, Y%d, Y%d, Y%d", 10+4*i+j, 8+4*i+j, 4*i+2*j+1)
			}
		}
		for i := range 4 {
			m.emit("VPERM2F128 $0x20, Y%d, Y%d, Y%d", 4+i, i, 8+i)
			m.emit("VPERM2F128 $0x31, Y%d, Y%d, Y%d", 4+i, i, 12+i)
		}
		for i := range 8 {
			m.emit("VMOVUPS Y%d, %s", 8+i, address(y, y4, ys, ys3, i))
		}
		m.addConst(x, 32)
		m.emit("LEAQ (%s)(%s*4), %s", m.r(y4), m.r(ys), m.r(y))
	})
	m.end()
}
