package nn

import (
	"cmp"
	"math"

	"github.com/solera-ml/solera/numeric"
)

// An Activation is a function of one value with its derivative, in float64.
type Activation func(x float64) (y, slope float64)

// ActivationOf returns the activation that a kind of layer applies, and false
// where the kind is none. slope is that of leaky_relu below zero, 0 for 0.01.
// Values and derivatives match torch.nn.functional's.
func ActivationOf(kind string, slope float64) (Activation, bool) {
	switch kind {
	case kindReLU:
		return reluOf, true
	case kindLeakyReLU:
		slope = cmp.Or(slope, 0.01)
		return func(x float64) (float64, float64) {
			if x > 0 {
				return x, 1
			}
			return slope * x, slope
		}, true
	case kindGELU:
		return geluOf, true
	case kindSiLU:
		return siluOf, true
	case kindTanh:
		return tanhOf, true
	case kindELU:
		return eluOf, true
	case kindSELU:
		return seluOf, true
	case kindSigmoid:
		return sigmoidOf, true
	case kindSoftplus:
		return softplusOf, true
	case kindMish:
		return mishOf, true
	}
	return nil, false
}

// reluOf lets NaN pass, so that a network that diverges says so.
func reluOf(x float64) (float64, float64) {
	if x <= 0 {
		return 0, 0
	}
	return x, 1
}

// The functions below avoid branches on x where its sign is a toss-up: a branch
// that is mispredicted costs more than the exponential.

// geluOf is x·Φ(x), the exact form (Hendrycks and Gimpel, 2016), not the one with
// tanh. The tail 1-Φ(|x|) comes from the exponential that the slope needs anyway.
func geluOf(x float64) (float64, float64) {
	a := min(math.Abs(x), 60) // beyond it the tail is 0 whatever the polynomial
	e := numeric.Exp(-0.5 * a * a)
	d := 1 / (float64(a*(1/math.Sqrt2)) + 3)
	t := (float64(a*(1/math.Sqrt2)) - 3) * d
	tail := float64(3 * scaledTail(t) * d * e)
	// Φ(x) is the tail where x is negative.
	cdf := [2]float64{1 - tail, tail}[math.Float64bits(x)>>63]
	const density = 0.39894228040143267793994605993438 // 1/sqrt(2π)
	return x * cdf, cdf + float64(float64(x*density)*e)
}

// scaledTail returns exp(z²)·erfc(z)·(z+3)/6 for t = (z-3)/(z+3), z from 0 to
// 40: the interpolation at the 19 Chebyshev nodes in t, computed with 50 digits.
// Its largest relative error is 9e-14. Even and odd powers are summed apart, so
// that two chains of operations run side by side.
func scaledTail(t float64) float64 {
	u := float64(t * t)
	even := 5.516663931079677e-09
	even = float64(even*u) - 6.30048804247258e-08
	even = float64(even*u) + 4.551615919209392e-07
	even = float64(even*u) - 2.907946211533263e-06
	even = float64(even*u) + 1.7925397672715713e-05
	even = float64(even*u) - 9.138459618324355e-05
	even = float64(even*u) - 0.0002020694821038834
	even = float64(even*u) + 0.01992129355040088
	even = float64(even*u) + 0.09837139285064161
	even = float64(even*u) + 0.17900115118138996
	odd := -1.3691214574148919e-08
	odd = float64(odd*u) + 1.247435093685823e-07
	odd = float64(odd*u) - 7.50227135038426e-07
	odd = float64(odd*u) + 5.041063156875915e-06
	odd = float64(odd*u) - 4.612007388853966e-05
	odd = float64(odd*u) + 0.0005056748468245126
	odd = float64(odd*u) - 0.004471205505882486
	odd = float64(odd*u) - 0.05174454366500107
	odd = float64(odd*u) - 0.14723240886139982
	return even + float64(odd*t)
}

// logistic returns σ(x) = 1/(1+e^-x) and σ(-x), both without cancellation.
func logistic(x float64) (s, rest float64) {
	e := numeric.Exp(min(-x, 700)) // beyond it s is 0 in float32, and e·s would be Inf·0
	s = 1 / (1 + e)
	return s, e * s
}

func siluOf(x float64) (float64, float64) {
	s, rest := logistic(x)
	return x * s, s * (1 + float64(x*rest))
}

func tanhOf(x float64) (float64, float64) {
	a := min(math.Abs(x), 25) // tanh is 1 beyond it
	if a < 1e-4 {
		// The series: below it would lose digits.
		return x - float64(x*x*x*(1.0/3)), 1 - float64(x*x)
	}
	e := numeric.Exp(-2 * a)
	d := 1 / (1 + e)
	return math.Copysign((1-e)*d, x), 4 * e * d * d
}

func eluOf(x float64) (float64, float64) {
	if x > 0 {
		return x, 1
	}
	return numeric.Expm1(x), numeric.Exp(x)
}

// The constants of Klambauer et al. (2017).
const (
	seluAlpha = 1.6732632423543772848170429916717
	seluScale = 1.0507009873554804934193349852946
)

func seluOf(x float64) (float64, float64) {
	if x > 0 {
		return seluScale * x, seluScale
	}
	const a = seluScale * seluAlpha
	return a * numeric.Expm1(x), a * numeric.Exp(x)
}

func sigmoidOf(x float64) (float64, float64) {
	s, rest := logistic(x)
	return s, s * rest
}

// softplusOf is log(1+e^x) and, like torch, x itself above 20.
func softplusOf(x float64) (float64, float64) {
	if x > 20 {
		return x, 1
	}
	e := numeric.Exp(x)
	u := 1 + e
	// What rounding u lost is added back, so that log(1+e) is e where e is tiny.
	return numeric.Log(u) + (e-(u-1))/u, e / u
}

// mishOf is x·tanh(log(1+e^x)) (Misra, 2019). With e = e^x the hyperbolic tangent
// is n/(n+2) for n = e·(e+2). Above 20 it is 1.
func mishOf(x float64) (float64, float64) {
	if x > 20 {
		return x, 1
	}
	e := numeric.Exp(x)
	n := float64(e * (e + 2))
	d := 1 / (n + 2)
	t := float64(n * d)
	s := e / (1 + e)
	// 1-t² = (1-t)·(1+t) with 1-t = 2/(n+2). The conversion of x·s is needed too:
	// twice a product is compiled to the product plus itself, and fused on arm64.
	return x * t, t + float64(float64(x*s)*2*d*(1+t))
}
