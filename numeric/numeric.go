// Package numeric gives elementary functions and random streams whose bits are
// the same on every processor. It refuses what the standard library leaves
// open: math.Exp, Log, Tanh and their kin differ between architectures, and Go
// may fuse x*y+z where the processor can.
//
// Every product that is added to something is written float64(x*y), which
// forbids fusing; where a fused result is meant, math.FMA says so (it is exact
// everywhere). All functions follow the special cases of package math. Errors
// stay below 1 ulp for Exp, Expm1, Log, Log1p, Sin, Cos and Pow, below 2 ulp
// for Tanh, Sigmoid and Erf, and below 4 ulp for NormalCDF and NormalQuantile.
package numeric

import "math"

// roundingShift, added to and taken from a number below 2^51, leaves the
// nearest whole number (ties to even).
const roundingShift = 0x1.8p52

// expParts writes e^(x+xlo) as 2^m · (hi+lo) with hi in [1, 2), for
// |x| < 2^14 and |xlo| at most an ulp of x. The argument is reduced to 1/64 of
// an octave, so that six terms of the series are enough.
func expParts(x, xlo float64) (hi, lo float64, m int) {
	kf := float64(float64(x*invLn2By64)+roundingShift) - roundingShift
	k := int(kf)
	r := float64(x-float64(kf*ln2By64Hi)) - float64(kf*ln2By64Lo)
	r += xlo
	// |r| <= 0.0054: the next term is below 2^-65.
	r2 := float64(r * r)
	q := float64(r*(float64(r*(1.0/720))+1.0/120)) + 1.0/24
	p := float64(r*(1.0/6)) + 0.5
	p = r + float64(r2*(p+float64(r2*q)))
	t := &exp2Table[k&63]
	return t.hi, t.lo + float64(t.hi*p), k >> 6
}

// scale returns y·2^m for y in [1, 4), rounding once where the result is subnormal.
func scale(y float64, m int) float64 {
	switch {
	case m > 1020:
		return y * 0x1p1020 * math.Float64frombits(uint64(1023+m-1020)<<52)
	case m < -1021:
		return y * 0x1p-1000 * math.Float64frombits(uint64(1023+m+1000)<<52)
	}
	return y * math.Float64frombits(uint64(1023+m)<<52)
}

// Exp returns e^x.
func Exp(x float64) float64 {
	if !(x > -746 && x < 710) {
		switch {
		case x >= 710:
			return math.Inf(1)
		case x <= -746:
			return 0
		}
		return x // NaN
	}
	hi, lo, m := expParts(x, 0)
	return scale(hi+lo, m)
}

// Expm1 returns e^x - 1, precise where x is near 0.
func Expm1(x float64) float64 {
	switch {
	case x != x || x == 0:
		return x
	case x > 50:
		return Exp(x) // the 1 is below an eighth of an ulp
	case x < -40:
		return -1
	case math.Abs(x) < 0.35:
		// The series; the term of degree 14 is below 2^-56 of x.
		p := 1.0 / 6227020800
		p = float64(p*x) + 1.0/479001600
		p = float64(p*x) + 1.0/39916800
		p = float64(p*x) + 1.0/3628800
		p = float64(p*x) + 1.0/362880
		p = float64(p*x) + 1.0/40320
		p = float64(p*x) + 1.0/5040
		p = float64(p*x) + 1.0/720
		p = float64(p*x) + 1.0/120
		p = float64(p*x) + 1.0/24
		p = float64(p*x) + 1.0/6
		x2 := float64(x * x)
		return x + (float64(0.5*x2) + float64(float64(x2*x)*p))
	}
	hi, lo, m := expParts(x, 0)
	s := math.Float64frombits(uint64(1023+m) << 52)
	hi, lo = float64(hi*s), float64(lo*s) // exact, s is a power of two
	d, e := twoSum(hi, -1)
	return d + (e + lo)
}

// twoSum returns the rounded sum and its exact error (Knuth, TAOCP 4.2.2).
func twoSum(a, b float64) (sum, err float64) {
	sum = a + b
	bb := sum - a
	return sum, (a - (sum - bb)) + (b - bb)
}

// fastTwoSum is twoSum for |a| >= |b| or a == 0 (Dekker, 1971).
func fastTwoSum(a, b float64) (sum, err float64) {
	sum = a + b
	return sum, b - (sum - a)
}

// logReduce writes log(x+xlo) as s + low + log(1+rh+rl), with s exact and low
// small beside it. x is positive, finite and normal; |xlo| is at most half an
// ulp of x; k is added to the exponent of x.
//
// x = 2^k·m with m in [0.7, 1.41); c is m rounded to 1/128, and m/c = 1+r, |r| <=
// 0.0056. The quotient r comes in two parts: rh of 26 bits, whose square is
// exact, and the rest.
func logReduce(x, xlo float64, k int) (s, low, rh, rl float64) {
	b := math.Float64bits(x)
	// Shift the exponent so that m starts at 0.70703125 (below sqrt(0.5)).
	const start = 0x3fe6a00000000000
	e := int(int64(b-start) >> 52)
	m := math.Float64frombits(b - uint64(int64(e))<<52)
	if xlo != 0 {
		xlo *= math.Float64frombits(uint64(1023-e) << 52)
	}
	cf := float64(float64(m*128)+roundingShift) - roundingShift
	c := float64(cf * (1.0 / 128))
	t := &logTable[int(cf)-90]
	d := m - c // exact
	rh = math.Float64frombits(math.Float64bits(float64((d+xlo)*t.inv)) &^ (1<<27 - 1))
	rl = float64(((d - float64(rh*c)) + xlo) * t.inv)
	kf := float64(k + e)
	// s is exact: both terms are multiples of 2^-42.
	return float64(kf*ln2Hi) + t.hi, float64(kf*ln2Lo) + t.lo, rh, rl
}

// log1pSeries returns (log(1+r) - r + r²/2)/r³ for |r| <= 0.0056; the first term
// left out is below 2^-68 of log(1+r).
func log1pSeries(r, r2 float64) float64 {
	a := 1.0/3 - float64(r*(1.0/4))
	b := 1.0/5 - float64(r*(1.0/6))
	c := 1.0/7 - float64(r*(1.0/8))
	return a + float64(r2*(b+float64(r2*c)))
}

// logParts returns log(x+xlo) as hi+lo with a relative error of about 2^-65, for
// the arguments of logReduce.
func logParts(x, xlo float64, k int) (hi, lo float64) {
	s, low, rh, rl := logReduce(x, xlo, k)
	r := rh + rl
	r2 := float64(r * r)
	hi, e1 := fastTwoSum(s, rh)
	hi, e2 := fastTwoSum(hi, -float64(0.5*float64(rh*rh)))
	lo = (e1 + e2) + low
	lo += rl - float64(rl*(rh+float64(0.5*rl)))
	lo += float64(float64(r2*r) * log1pSeries(r, r2))
	return fastTwoSum(hi, lo)
}

// Log returns the natural logarithm of x.
func Log(x float64) float64 {
	k := 0
	if !(x >= 0x1p-1022 && x < math.Inf(1)) {
		switch {
		case x != x || x > 0 && x > math.MaxFloat64:
			return x
		case x < 0:
			return math.NaN()
		case x == 0:
			return math.Inf(-1)
		}
		x, k = x*0x1p54, -54 // subnormal
	}
	s, low, rh, rl := logReduce(x, 0, k)
	r := rh + rl
	r2 := float64(r * r)
	hi, e := fastTwoSum(s, rh)
	return hi + (((e + low) + rl) + float64(r2*(float64(r*log1pSeries(r, r2))-0.5)))
}

// Log1p returns log(1+x), precise where x is near 0.
func Log1p(x float64) float64 {
	switch {
	case x != x || x == 0 || x > math.MaxFloat64:
		return x
	case x < -1:
		return math.NaN()
	case x == -1:
		return math.Inf(-1)
	case math.Abs(x) < 0x1p-54:
		return x
	case x > 0x1p60:
		return Log(x)
	}
	u, lo := twoSum(1, x)
	hi, lo := logParts(u, lo, 0)
	return hi + lo
}

// Pow returns x^y, with the special cases of math.Pow.
func Pow(x, y float64) float64 {
	switch {
	case y == 0 || x == 1:
		return 1
	case y == 1:
		return x
	case x != x || y != y:
		return math.NaN()
	}
	odd := math.Abs(y) < 0x1p53 && math.Trunc(y) == y && int64(y)&1 == 1
	switch {
	case x == 0:
		z := 0.0
		if y < 0 {
			z = math.Inf(1)
		}
		if odd {
			z = math.Copysign(z, x)
		}
		return z
	case math.IsInf(y, 0):
		switch {
		case x == -1:
			return 1
		case (math.Abs(x) < 1) == (y > 0):
			return 0
		}
		return math.Inf(1)
	case math.IsInf(x, 0):
		z := 0.0
		if y > 0 {
			z = math.Inf(1)
		}
		if odd {
			z = math.Copysign(z, x)
		}
		return z
	}
	sign := 1.0
	if x < 0 {
		if math.Trunc(y) != y {
			return math.NaN()
		}
		if x = -x; odd {
			sign = -1
		}
	}
	if x == 1 {
		return sign
	}
	k := 0
	if x < 0x1p-1022 {
		x, k = x*0x1p54, -54
	}
	lh, ll := logParts(x, 0, k)
	ph := float64(y * lh)
	if !(ph > -746 && ph < 710) {
		if ph > 0 {
			return sign * math.Inf(1)
		}
		return sign * 0
	}
	pl := math.FMA(y, lh, -ph) + float64(y*ll)
	hi, lo, m := expParts(ph, pl)
	return sign * scale(hi+lo, m)
}

// Tanh returns the hyperbolic tangent of x.
func Tanh(x float64) float64 {
	a := math.Abs(x)
	switch {
	case a < 0x1p-28:
		return x // keeps -0
	case a < 0.3:
		x2 := float64(x * x)
		p := 0.0
		for i := len(tanhSeries) - 1; i >= 0; i-- {
			p = float64(x2*p) + tanhSeries[i]
		}
		return x + float64(float64(x*x2)*p)
	case a > 20:
		return math.Copysign(1, x)
	case x != x:
		return x
	}
	// tanh = E/(E+2), E = e^(2x)-1; the quotient is corrected by the error of E+2.
	e := Expm1(2 * a)
	d, dl := fastTwoSum(math.Max(e, 2), math.Min(e, 2))
	q := e / d
	q -= float64(q*dl) / d
	return math.Copysign(q, x)
}

// Sigmoid returns 1/(1+e^-x), the logistic function.
func Sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + Exp(-x))
	}
	e := Exp(x)
	return e / (1 + e)
}
