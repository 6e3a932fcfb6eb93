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

// geluOf is x·Φ(x), the exact form (Hendrycks and Gimpel, 2016), not the one with tanh.
func geluOf(x float64) (float64, float64) {
	cdf := numeric.NormalCDF(x)
	density := float64(numeric.Exp(-0.5*x*x) * (1 / math.Sqrt2 / math.SqrtPi * 1))
	return x * cdf, cdf + float64(x*density)
}

func siluOf(x float64) (float64, float64) {
	s := numeric.Sigmoid(x)
	return x * s, s * (1 + float64(x*(1-s)))
}

func tanhOf(x float64) (float64, float64) {
	y := numeric.Tanh(x)
	return y, 1 - float64(y*y)
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
	s := numeric.Sigmoid(x)
	return s, s * (1 - s)
}

// softplusOf is log(1+e^x) and, like torch, x itself above 20.
func softplusOf(x float64) (float64, float64) {
	if x > 20 {
		return x, 1
	}
	return numeric.Log1p(numeric.Exp(x)), numeric.Sigmoid(x)
}

// mishOf is x·tanh(log(1+e^x)) (Misra, 2019).
func mishOf(x float64) (float64, float64) {
	sp, s := softplusOf(x)
	t := numeric.Tanh(sp)
	return x * t, t + float64(x*s*(1-float64(t*t)))
}
