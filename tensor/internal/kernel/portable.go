package kernel

import (
	"math"
	"unsafe"
)

// Portable returns the kernel set in plain Go, which every CPU has and which
// defines the result of all others.
func Portable() Set {
	return Set{
		Name: "portable",

		Gemm:      portableGemm,
		Transpose: portableTranspose,

		Moments:    portableMoments,
		Sums:       portableSums,
		Forward:    portableForward,
		Backward:   portableBackward,
		StatsApply: portableStatsApply,

		SGD:     portableSGD,
		Adam:    portableAdam,
		RMSprop: portableRMSprop,
	}
}

func at(p unsafe.Pointer, off uintptr) float32 { return *(*float32)(unsafe.Add(p, off)) }

func put(p unsafe.Pointer, off uintptr, v float32) { *(*float32)(unsafe.Add(p, off)) = v }

// portableGemm keeps four accumulators as float64 values that are exact float32
// values, with the quick part of fused written out: the compiler does not inline
// it, and a call per term would cost more than all the rest.
func portableGemm(g *Gemm) {
	for i := range g.M {
		a := unsafe.Add(g.A, uintptr(i)*g.AS)
		c := row(g.C, i, g.LDC, g.N)
		start := row(g.Start, i, g.LDS, g.N)
		j := 0
		for ; j+4 <= g.N; j += 4 {
			s0, s1 := float64(start[j]), float64(start[j+1])
			s2, s3 := float64(start[j+2]), float64(start[j+3])
			at, bt := uintptr(0), uintptr(j)*4
			for range g.K {
				x := float64(*(*float32)(unsafe.Add(a, at)))
				b := (*[4]float32)(unsafe.Add(g.B, bt))
				p0, p1 := float64(x*float64(b[0])), float64(x*float64(b[1]))
				p2, p3 := float64(x*float64(b[2])), float64(x*float64(b[3]))
				t0, t1, t2, t3 := p0+s0, p1+s1, p2+s2, p3+s3
				if hard(t0) || hard(t1) || hard(t2) || hard(t3) {
					t0, t1, t2, t3 = odd(p0, s0), odd(p1, s1), odd(p2, s2), odd(p3, s3)
				}
				s0, s1 = float64(float32(t0)), float64(float32(t1))
				s2, s3 = float64(float32(t2)), float64(float32(t3))
				at += g.AK
				bt += g.LDB
			}
			c[j], c[j+1], c[j+2], c[j+3] = float32(s0), float32(s1), float32(s2), float32(s3)
		}
		for ; j < g.N; j++ {
			s := float64(start[j])
			for k := range g.K {
				s = fused(float64(at(a, uintptr(k)*g.AK))*float64(at(g.B, uintptr(k)*g.LDB+uintptr(j)*4)), s)
			}
			c[j] = float32(s)
		}
	}
}

func portableTranspose(t *Transpose) {
	for i := range t.Rows {
		x := row(t.X, i, t.XS, t.Cols)
		for j, v := range x {
			put(t.Y, uintptr(j)*t.YS+uintptr(i)*4, v)
		}
	}
}

func (c *Columns) vector(p unsafe.Pointer) []float32 { return row(p, 0, 0, c.Cols) }

// shifted returns c with Off moved into the pointers.
func (c *Columns) shifted() Columns {
	s := *c
	for _, p := range []*unsafe.Pointer{&s.X, &s.Y, &s.G, &s.D, &s.Mean, &s.Variance, &s.Inv, &s.Gain, &s.Shift, &s.DGamma, &s.DBeta} {
		if *p != nil {
			*p = unsafe.Add(*p, c.Off)
		}
	}
	s.Index += uint32(c.Off / 4)
	s.Off = 0
	return s
}

func portableMoments(q *Columns) {
	c := q.shifted()
	mean, variance := c.vector(c.Mean), c.vector(c.Variance)
	portableSums(&c)
	clear(variance)
	for j := range mean {
		mean[j] /= c.N
	}
	for i := range c.Rows {
		for j, x := range row(c.X, i, c.XS, c.Cols) {
			d := x - mean[j]
			variance[j] = fma32(d, d, variance[j])
		}
	}
	for j := range variance {
		variance[j] /= c.N
	}
}

func portableSums(q *Columns) {
	c := q.shifted()
	sum := c.vector(c.Mean)
	clear(sum)
	for i := range c.Rows {
		for j, x := range row(c.X, i, c.XS, c.Cols) {
			sum[j] += x
		}
	}
}

// kept reports whether dropout keeps element i, j.
func (c *Columns) kept(i, j int) bool {
	return Hash(c.KeyLow, c.KeyHigh, c.Index+uint32(i)*c.Pitch+uint32(j))>>8 >= c.Threshold
}

func portableForward(q *Columns) {
	c := q.shifted()
	var gain, shift []float32
	if c.Affine {
		gain, shift = c.vector(c.Gain), c.vector(c.Shift)
	}
	for i := range c.Rows {
		y := row(c.Y, i, c.YS, c.Cols)
		for j, v := range row(c.X, i, c.XS, c.Cols) {
			if c.Affine {
				v = fma32(v, gain[j], shift[j])
			}
			if c.ReLU && v <= 0 {
				v = 0
			}
			if c.Drop {
				v *= c.Keep
				if !c.kept(i, j) {
					v = 0
				}
			}
			y[j] = v
		}
	}
}

// through returns the gradient g of element i, j before ReLU and dropout. An
// output y above zero was kept and passed, so that with ReLU y is the mask.
func (c *Columns) through(g float32, y unsafe.Pointer, i, j int) float32 {
	switch {
	case c.ReLU:
		if !(at(y, uintptr(j)*4) > 0) {
			return 0
		}
		return g * c.Keep
	case c.Drop:
		if !c.kept(i, j) {
			return 0
		}
		return g * c.Keep
	}
	return g
}

func portableBackward(q *Columns) {
	c := q.shifted()
	for i := range c.Rows {
		d := row(c.D, i, c.DS, c.Cols)
		y := unsafe.Add(c.Y, uintptr(i)*c.YS)
		for j, g := range row(c.G, i, c.GS, c.Cols) {
			d[j] = c.through(g, y, i, j)
		}
	}
}

func portableStatsApply(q *Columns) {
	c := q.shifted()
	portableStats(&c)
	portableApply(&c)
}

// portableStats writes the gradient before ReLU and dropout to D and its two sums.
func portableStats(c *Columns) {
	mean, inv := c.vector(c.Mean), c.vector(c.Inv)
	dgamma, dbeta := c.vector(c.DGamma), c.vector(c.DBeta)
	clear(dgamma)
	clear(dbeta)
	for i := range c.Rows {
		d := row(c.D, i, c.DS, c.Cols)
		x := row(c.X, i, c.XS, c.Cols)
		y := unsafe.Add(c.Y, uintptr(i)*c.YS)
		for j, g := range row(c.G, i, c.GS, c.Cols) {
			g = c.through(g, y, i, j)
			d[j] = g
			dbeta[j] += g
			dgamma[j] = fma32(g, float32((x[j]-mean[j])*inv[j]), dgamma[j])
		}
	}
}

// portableApply turns D into the gradient of the input of the normalisation.
func portableApply(c *Columns) {
	mean, inv, gamma := c.vector(c.Mean), c.vector(c.Inv), c.vector(c.Gain)
	dgamma, dbeta := c.vector(c.DGamma), c.vector(c.DBeta)
	for j := range mean {
		k := gamma[j] * inv[j]
		b, s := dbeta[j]/c.N, dgamma[j]/c.N
		for i := range c.Rows {
			x := at(c.X, uintptr(i)*c.XS+uintptr(j)*4)
			d := uintptr(i)*c.DS + uintptr(j)*4
			hat := float32((x - mean[j]) * inv[j])
			put(c.D, d, float32(k*fma32(-hat, s, at(c.D, d)-b)))
		}
	}
}

func (f *Flat) vector(p unsafe.Pointer) []float32 {
	if p == nil {
		return nil
	}
	return row(p, 0, 0, f.N)
}

func portableSGD(f *Flat) {
	w, g, m := f.vector(f.W), f.vector(f.G), f.vector(f.M)
	for i := range w {
		d := fma32(f.L2, w[i], g[i])
		if m != nil {
			m[i] = fma32(f.B1, m[i], d)
			if f.Nesterov {
				d = fma32(f.B1, m[i], d)
			} else {
				d = m[i]
			}
		}
		w[i] = fma32(-f.Rate, d, w[i])
	}
}

func portableAdam(f *Flat) {
	w, g, m, v, max := f.vector(f.W), f.vector(f.G), f.vector(f.M), f.vector(f.V), f.vector(f.Max)
	for i := range w {
		p := float32(w[i] * f.Shrink)
		d := fma32(f.L2, p, g[i])
		m[i] = fma32(f.C1, d, float32(f.B1*m[i]))
		s := fma32(float32(f.C2*d), d, float32(f.B2*v[i]))
		v[i] = s
		if max != nil {
			if max[i] > s {
				s = max[i]
			}
			max[i] = s
		}
		w[i] = fma32(-f.Rate, m[i]/fma32(sqrt32(s), f.Root, f.Eps), p)
	}
}

func portableRMSprop(f *Flat) {
	w, g, m, v := f.vector(f.W), f.vector(f.G), f.vector(f.M), f.vector(f.V)
	for i := range w {
		d := fma32(f.L2, w[i], g[i])
		v[i] = fma32(float32(f.C2*d), d, float32(f.B2*v[i]))
		q := d / float32(sqrt32(v[i])+f.Eps)
		if m != nil {
			q = fma32(f.B1, m[i], q)
			m[i] = q
		}
		w[i] = fma32(-f.Rate, q, w[i])
	}
}

// sqrt32 is exact: a float64 has more than twice the digits of a float32, so
// that rounding twice is rounding once.
func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }
