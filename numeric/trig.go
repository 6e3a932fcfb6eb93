package numeric

import (
	"math"
	"math/bits"
)

// Sin returns the sine of x in radians.
func Sin(x float64) float64 {
	if x != x || math.IsInf(x, 0) {
		return math.NaN()
	}
	if math.Abs(x) < 0x1p-27 {
		return x // keeps -0
	}
	return quadrantSine(reduce(x))
}

// Cos returns the cosine of x in radians.
func Cos(x float64) float64 {
	if x != x || math.IsInf(x, 0) {
		return math.NaN()
	}
	q, hi, lo := reduce(x)
	return quadrantSine(q+1, hi, lo)
}

// quadrantSine returns sin(q·π/2 + hi + lo) for |hi| <= π/4.
func quadrantSine(q int, hi, lo float64) float64 {
	var v float64
	if q&1 == 0 {
		v = sinSmall(hi, lo)
	} else {
		v = cosSmall(hi, lo)
	}
	if q&2 != 0 {
		return -v
	}
	return v
}

// sinSmall is the series of sin to x^19/19!, 2^-63 of the result at π/4.
func sinSmall(x, lo float64) float64 {
	z := float64(x * x)
	p := -1.0 / 121645100408832000
	p = float64(p*z) + 1.0/355687428096000
	p = float64(p*z) - 1.0/1307674368000
	p = float64(p*z) + 1.0/6227020800
	p = float64(p*z) - 1.0/39916800
	p = float64(p*z) + 1.0/362880
	p = float64(p*z) - 1.0/5040
	p = float64(p*z) + 1.0/120
	p = float64(p*z) - 1.0/6
	return x + (float64(float64(z*x)*p) + float64(lo*(1-float64(0.5*z))))
}

// cosSmall is the series of cos to x^18/18!; 1 - x²/2 keeps its rounding error.
func cosSmall(x, lo float64) float64 {
	z := float64(x * x)
	p := -1.0 / 6402373705728000
	p = float64(p*z) + 1.0/20922789888000
	p = float64(p*z) - 1.0/87178291200
	p = float64(p*z) + 1.0/479001600
	p = float64(p*z) - 1.0/3628800
	p = float64(p*z) + 1.0/40320
	p = float64(p*z) - 1.0/720
	p = float64(p*z) + 1.0/24
	h := float64(0.5 * z)
	w, e := fastTwoSum(1, -h)
	return w + (e + (float64(float64(z*z)*p) - float64(x*lo)))
}

// reduce writes x as q·π/2 + hi + lo with |hi| <= π/4 and a little.
func reduce(x float64) (q int, hi, lo float64) {
	if math.Abs(x) <= math.Pi/4 {
		return 0, x, 0
	}
	if math.Abs(x) >= 0x1p19 {
		return reduceHuge(x)
	}
	kf := float64(float64(x*twoByPi)+roundingShift) - roundingShift
	// The products are exact: kf has 20 bits, the parts 33. Cody and Waite (1980).
	t := x - float64(kf*halfPi1)
	t, e1 := twoSum(t, -float64(kf*halfPi2))
	t, e2 := twoSum(t, -float64(kf*halfPi3))
	hi, lo = fastTwoSum(t, (e1+e2)-float64(kf*halfPi4))
	return int(kf), hi, lo
}

// reduceHuge is reduce for |x| >= 2^19, after Payne and Hanek (1983): of the
// product of x and 2/π only the 192 bits below the multiples of 4 are formed.
func reduceHuge(x float64) (q int, hi, lo float64) {
	b := math.Float64bits(math.Abs(x))
	e := int(b>>52) - 1075
	m := b&(1<<52-1) | 1<<52
	// |x| = m·2^e. Bit j of 2/π (weight 2^-j) matters from j = e-1 on; the table starts at j = -63.
	pos := uint(e - 2 + 64)
	w, s := pos/64, pos%64
	word := func(i uint) uint64 {
		v := twoByPiBits[w+i] << s
		if s > 0 {
			v |= twoByPiBits[w+i+1] >> (64 - s)
		}
		return v
	}
	// (f2, f1, f0) = m·bits mod 2^192; its top two bits are the quadrant.
	h0, f0 := bits.Mul64(m, word(2))
	h1, l1 := bits.Mul64(m, word(1))
	f1, carry := bits.Add64(l1, h0, 0)
	f2 := m*word(0) + h1 + carry
	q = int(f2 >> 62)
	f2 = f2<<2 | f1>>62
	f1 = f1<<2 | f0>>62
	f0 <<= 2
	negative := f2>>63 == 1 // the fraction is at least a half: go down from the next quadrant
	if negative {
		q++
		var c uint64
		f0, c = bits.Add64(^f0, 1, 0)
		f1, c = bits.Add64(^f1, 0, c)
		f2, _ = bits.Add64(^f2, 0, c)
	}
	// Normalise and cut into 53 and 53 bits.
	shift := 0
	if f2 == 0 {
		f2, f1, f0, shift = f1, f0, 0, 64
	}
	n := uint(bits.LeadingZeros64(f2))
	if n > 0 {
		f2 = f2<<n | f1>>(64-n)
		f1 = f1<<n | f0>>(64-n)
	}
	shift += int(n)
	unit := math.Float64frombits(uint64(1023-64-shift) << 52)
	fh := float64(f2&^(1<<11-1)) * unit
	fl := float64(f2<<53|f1>>11) * (unit * 0x1p-53)
	p := float64(fh * halfPiHi)
	pl := math.FMA(fh, halfPiHi, -p) + (float64(fh*halfPiLo) + float64(fl*halfPiHi))
	hi, lo = fastTwoSum(p, pl)
	if negative != (x < 0) {
		hi, lo = -hi, -lo
	}
	if x < 0 {
		q = -q
	}
	return q, hi, lo
}
