package numeric

import "math"

// Erf returns the error function of x.
func Erf(x float64) float64 {
	a := math.Abs(x)
	switch {
	case x != x:
		return x
	case a < 0.75:
		x2 := float64(x * x)
		p := 0.0
		for i := len(erfSeries) - 1; i >= 0; i-- {
			p = float64(x2*p) + erfSeries[i]
		}
		if a < 0x1p-500 {
			return x * invSqrtPi2 // x² would be 0 or subnormal, and so does not matter
		}
		return float64(x*invSqrtPi2) + float64(x*float64(x2*p))
	case a > 6:
		return math.Copysign(1, x)
	}
	return math.Copysign(1-erfcTail(a, 0), x)
}

// Erfc returns 1 - Erf(x) without cancellation.
func Erfc(x float64) float64 { return erfc(x, 0) }

// erfc returns the complementary error function of x+lo.
func erfc(x, lo float64) float64 {
	switch {
	case x != x:
		return x
	case x > 28:
		return 0
	case x < -6.25:
		return 2
	case math.Abs(x) < 0.75:
		return 1 - Erf(x+lo)
	case x < 0:
		return 2 - erfcTail(-x, -lo)
	}
	return erfcTail(x, lo)
}

// erfcTail returns erfc(x+lo) = e^(-x²)·erfcx(x) for x in [0.75, 28].
func erfcTail(x, lo float64) float64 {
	i, u := 0, x
	switch {
	case x < 1.75:
	case x < 3.25:
		i = 1
	case x < 6.25:
		i = 2
	default:
		i, u = 3, 1/float64(x*x)
	}
	piece := &erfcxPieces[i]
	t := float64((u - piece.mid) * piece.scale)
	p := 0.0
	for j := len(piece.c) - 1; j >= 0; j-- {
		p = float64(t*p) + piece.c[j]
	}
	if i == 3 {
		p /= x
	}
	// x² in two parts, as e^-x² has an error of x² times that of its argument.
	xh := math.Float64frombits(math.Float64bits(x) &^ (1<<27 - 1))
	xl := (x - xh) + lo
	sq := float64(xh * xh) // exact
	rest := float64(xl * float64(x+xh))
	s, e := fastTwoSum(-sq, -rest)
	hi, el, m := expParts(s, e)
	if m < -1000 { // the product of two roundings at a subnormal: scale last
		return (hi + el) * p * 0x1p-1000 * math.Float64frombits(uint64(1023+m+1000)<<52)
	}
	return scale(hi+el, m) * p
}

// NormalCDF returns the probability that a standard normal variable is at most x.
func NormalCDF(x float64) float64 {
	// -x/√2 in two parts.
	h := float64(-x * invSqrt2Hi)
	if x != x || math.IsInf(h, 0) || math.Abs(x) > 40 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return 0
		}
		return x
	}
	l := math.FMA(-x, invSqrt2Hi, -h) + float64(-x*invSqrt2Lo)
	return 0.5 * erfc(h, l)
}

// NormalQuantile returns x such that NormalCDF(x) = p: -Inf at 0, +Inf at 1,
// NaN outside [0, 1].
func NormalQuantile(p float64) float64 {
	switch {
	case p == 0:
		return math.Inf(-1)
	case p == 1:
		return math.Inf(1)
	case !(p > 0 && p < 1):
		return math.NaN()
	case p == 0.5:
		return 0
	}
	if math.Abs(p-0.5) < 0.25 {
		// Solve erf(x/√2)/2 = p - 1/2 from the linear guess.
		q := p - 0.5
		x := q / invSqrt2Pi
		for range 5 {
			f := float64(0.5*Erf(float64(x*invSqrt2Hi))) - q
			x = halley(x, f)
		}
		return x
	}
	tail := math.Min(p, 1-p) // exact
	// Abramowitz and Stegun (1964) 26.2.23 starts within 4.5e-4; Halley's steps triple the digits.
	t := math.Sqrt(float64(-2 * Log(tail)))
	num := 2.515517 + float64(t*(0.802853+float64(t*0.010328)))
	den := 1 + float64(t*(1.432788+float64(t*(0.189269+float64(t*0.001308)))))
	x := num/den - t
	for range 3 {
		x = halley(x, NormalCDF(x)-tail)
	}
	if p > 0.5 {
		return -x
	}
	return x
}

// halley improves x where the normal distribution function is f too high; its
// second derivative is -x times the first.
func halley(x, f float64) float64 {
	density := invSqrt2Pi * Exp(-0.5*float64(x*x))
	if density == 0 {
		return x
	}
	u := f / density
	return x - u/(1+float64(0.5*float64(x*u)))
}
