package tensor

import (
	"fmt"
	"math"
	"runtime"
	"testing"
)

// perKernel runs a benchmark on every kernel set, on one core and on all.
func perKernel(b *testing.B, f func(b *testing.B, e *Engine)) {
	workers := []int{1}
	if n := runtime.NumCPU(); n > 1 {
		workers = append(workers, n)
	}
	for _, name := range []string{"avx512", "avx2", "neon", "portable"} {
		for _, w := range workers {
			e, err := NewEngine(name, w)
			if err != nil {
				continue
			}
			b.Run(fmt.Sprintf("%s/cores=%d", name, w), func(b *testing.B) { f(b, e) })
			e.Close()
		}
	}
}

func gflops(b *testing.B, m, n, k int) {
	b.ReportMetric(2*float64(m)*float64(n)*float64(k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

func BenchmarkMatMul(b *testing.B) {
	for _, s := range [][3]int{{16, 64, 13}, {16, 32, 64}, {16, 3, 32}, {1024, 512, 64}, {1024, 256, 512}, {1024, 10, 256}, {1024, 1024, 1024}} {
		b.Run(fmt.Sprintf("%dx%dx%d", s[0], s[1], s[2]), func(b *testing.B) {
			perKernel(b, func(b *testing.B, e *Engine) {
				x, w, y := random(s[0], s[2], true, 1), random(s[2], s[1], true, 2), NewPadded(s[0], s[1])
				for b.Loop() {
					e.MatMul(y, x, w, nil)
				}
				gflops(b, s[0], s[1], s[2])
			})
		})
	}
}

func BenchmarkMatMulTA(b *testing.B) {
	for _, s := range [][3]int{{64, 32, 16}, {64, 512, 1024}, {512, 256, 1024}} {
		b.Run(fmt.Sprintf("%dx%dx%d", s[0], s[1], s[2]), func(b *testing.B) {
			perKernel(b, func(b *testing.B, e *Engine) {
				x, dy, dw := random(s[2], s[0], true, 1), random(s[2], s[1], true, 2), NewPadded(s[0], s[1])
				for b.Loop() {
					e.MatMulTA(dw, x, dy)
				}
				gflops(b, s[0], s[1], s[2])
			})
		})
	}
}

func BenchmarkMatMulTB(b *testing.B) {
	for _, s := range [][3]int{{16, 64, 32}, {1024, 512, 256}} {
		b.Run(fmt.Sprintf("%dx%dx%d", s[0], s[1], s[2]), func(b *testing.B) {
			perKernel(b, func(b *testing.B, e *Engine) {
				dy, w, dx := random(s[0], s[2], true, 1), random(s[1], s[2], true, 2), NewPadded(s[0], s[1])
				for b.Loop() {
					e.MatMulTB(dx, dy, w)
				}
				gflops(b, s[0], s[1], s[2])
			})
		})
	}
}

func BenchmarkColumns(b *testing.B) {
	for _, s := range [][2]int{{16, 64}, {1024, 512}} {
		rows, cols := s[0], s[1]
		x, y, dy := random(rows, cols, true, 1), NewPadded(rows, cols), random(rows, cols, true, 2)
		vec := random(6, cols, false, 3)
		d := Dropout{P: 0.3, Key: 5}
		for _, op := range []struct {
			name string
			f    func(e *Engine)
		}{
			{"Moments", func(e *Engine) { e.Moments(x, vec.Row(0), vec.Row(1)) }},
			{"Normalize", func(e *Engine) { e.Normalize(y, x, vec.Row(2), vec.Row(3), true, Dropout{}) }},
			{"NormalizeDrop", func(e *Engine) { e.Normalize(y, x, vec.Row(2), vec.Row(3), true, d) }},
			{"NormalizeBackward", func(e *Engine) {
				e.NormalizeBackward(y, dy, x, x, vec.Row(0), vec.Row(1), vec.Row(2), vec.Row(4), vec.Row(5), true, d)
			}},
			{"ReLUBackward", func(e *Engine) { e.ReLUBackward(y, dy, x, d) }},
			{"ColumnSums", func(e *Engine) { e.ColumnSums(vec.Row(0), x) }},
		} {
			b.Run(fmt.Sprintf("%s/%dx%d", op.name, rows, cols), func(b *testing.B) {
				perKernel(b, func(b *testing.B, e *Engine) {
					for b.Loop() {
						op.f(e)
					}
				})
			})
		}
	}
}

func BenchmarkOptimizers(b *testing.B) {
	for _, n := range []int{3200, 170000} {
		v := random(4, n, true, 1)
		for i, x := range v.Row(3) {
			v.Row(3)[i] = x * x
		}
		for _, op := range []struct {
			name string
			f    func(e *Engine)
		}{
			{"SGD", func(e *Engine) { e.SGD(v.Row(0), v.Row(1), v.Row(2), SGDArgs{LR: 1e-3, Momentum: 0.9}) }},
			{"Adam", func(e *Engine) {
				e.Adam(v.Row(0), v.Row(1), v.Row(2), v.Row(3), AdamArgs{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Step: 10})
			}},
			{"SumSquares", func(e *Engine) { e.SumSquares(v.Row(0)) }},
		} {
			b.Run(fmt.Sprintf("%s/%d", op.name, n), func(b *testing.B) {
				perKernel(b, func(b *testing.B, e *Engine) {
					for b.Loop() {
						op.f(e)
					}
				})
			})
		}
	}
}

func BenchmarkGather(b *testing.B) {
	const rows = 500_000
	src, dst := New(rows, 64), NewPadded(1024, 64)
	perKernel(b, func(b *testing.B, e *Engine) {
		pick := make([]int32, 1024)
		next := uint32(1)
		for b.Loop() {
			for i := range pick {
				next = next*1664525 + 1013904223
				pick[i] = int32(next>>8) % rows
			}
			e.Gather(dst, src, pick)
		}
	})
}

// A net holds the operations of one training step of inputs → hidden layers →
// outputs with BatchNorm, ReLU and dropout, without the loss.
type net struct {
	widths           []int
	x, dx            []*Matrix // input of each layer and its gradient
	z                []*Matrix // output of each product
	w, dw            []*Matrix
	flat             [4][]float32 // weights, gradients, m, v
	scale, mean, inv [][]float32
	step             int64
}

func newNet(batch int, widths ...int) *net {
	n := &net{widths: widths}
	total := 0
	for i := 1; i < len(widths); i++ {
		total += widths[i-1] * Pad(widths[i])
	}
	for i := range n.flat {
		n.flat[i] = Floats(total)
	}
	from := 0
	for i, w := range widths {
		n.x, n.dx = append(n.x, NewPadded(batch, w)), append(n.dx, NewPadded(batch, w))
		n.z = append(n.z, NewPadded(batch, w))
		n.scale, n.mean, n.inv = append(n.scale, Floats(w)), append(n.mean, Floats(w)), append(n.inv, Floats(w))
		var wm, dm *Matrix
		if i > 0 {
			wm, dm = NewPadded(widths[i-1], w), NewPadded(widths[i-1], w)
			size := len(wm.Data)
			wm.Data, dm.Data = n.flat[0][from:from+size], n.flat[1][from:from+size]
			from += size
			init := random(widths[i-1], w, true, uint64(i))
			copy(wm.Data, init.Data)
			for j := range wm.Data {
				wm.Data[j] /= float32(math.Sqrt(float64(widths[i-1])))
			}
		}
		n.w, n.dw = append(n.w, wm), append(n.dw, dm)
	}
	return n
}

func (n *net) train(e *Engine, src *Matrix, rows []int32) {
	last := len(n.widths) - 1
	n.step++
	e.Gather(n.x[0], src, rows)
	for i := 1; i <= last; i++ {
		e.MatMul(n.z[i], n.x[i-1], n.w[i], nil)
		if i == last {
			break
		}
		e.Moments(n.z[i], n.mean[i], n.inv[i])
		for j, v := range n.inv[i] {
			n.inv[i][j] = float32(1 / math.Sqrt(float64(v)+1e-5))
			n.scale[i][j] = 1
		}
		e.Normalize(n.x[i], n.z[i], n.inv[i], n.mean[i], true, Dropout{P: 0.3, Key: uint64(n.step)})
	}
	copy(n.dx[last].Data, n.z[last].Data) // the gradient of half the squared output
	for i := last; i >= 1; i-- {
		if i < last {
			e.NormalizeBackward(n.dx[i], n.dx[i], n.z[i], n.x[i], n.mean[i], n.inv[i], n.scale[i], n.mean[i], n.scale[i], true, Dropout{P: 0.3, Key: uint64(n.step)})
		}
		e.MatMulTA(n.dw[i], n.x[i-1], n.dx[i])
		if i > 1 {
			e.MatMulTB(n.dx[i-1], n.dx[i], n.w[i])
		}
	}
	e.Adam(n.flat[0], n.flat[1], n.flat[2], n.flat[3], AdamArgs{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Step: n.step})
}

// BenchmarkStep is a whole training step but for the loss: the wine net of
// batches of 16, and a wide net on many rows.
func BenchmarkStep(b *testing.B) {
	for _, s := range []struct {
		name   string
		rows   int
		batch  int
		widths []int
	}{
		{"wine", 142, 16, []int{13, 64, 32, 3}},
		{"wide", 500_000, 1024, []int{64, 512, 256, 10}},
	} {
		b.Run(s.name, func(b *testing.B) {
			src := random(s.rows, s.widths[0], false, 1)
			perKernel(b, func(b *testing.B, e *Engine) {
				n := newNet(s.batch, s.widths...)
				rows := make([]int32, s.batch)
				next := uint32(1)
				for b.Loop() {
					for i := range rows {
						next = next*1664525 + 1013904223
						rows[i] = int32(next>>8) % int32(s.rows)
					}
					n.train(e, src, rows)
				}
				b.ReportMetric(float64(s.batch)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		})
	}
}
