package transform

import (
	"math"

	"github.com/solera-ml/solera/numeric"
)

// yeoJohnson is the transform of Yeo and Johnson (2000), equation 2.1, with
// parameter lambda: for x >= 0 it is ((x+1)^λ - 1)/λ, or log(x+1) at λ = 0;
// for x < 0 it is -((1-x)^(2-λ) - 1)/(2-λ), or -log(1-x) at λ = 2.
func yeoJohnson(x, lambda float64) float64 {
	if lambda == 1 {
		return x // to the last digit
	}
	if x < 0 {
		return -curve(numeric.Log1p(-x), 2-lambda)
	}
	return curve(numeric.Log1p(x), lambda) // NaN comes here and passes
}

// curve is (exp(p·l) - 1)/p, which tends to l as p tends to 0; l = log(1+|x|).
// expm1 keeps the digits that a power near 1 would lose.
func curve(l, p float64) float64 {
	if math.Abs(p) < 0x1p-52 {
		return l
	}
	return numeric.Expm1(p*l) / p
}

func yeoJohnsonInverse(y, lambda float64) float64 {
	if lambda == 1 {
		return y
	}
	if y < 0 {
		return -inverseCurve(-y, 2-lambda)
	}
	return inverseCurve(y, lambda)
}

func inverseCurve(y, p float64) float64 {
	if math.Abs(p) < 0x1p-52 {
		return numeric.Expm1(y)
	}
	return numeric.Expm1(numeric.Log1p(y*p) / p)
}

// fitPower finds the lambda of the greatest likelihood, then the mean and the
// standard deviation of the transformed values (scikit-learn's
// PowerTransformer, method yeo-johnson, standardize on).
func fitPower(values []float64) (lambda, center, scale float64, err error) {
	x := present(values)
	if len(x) == 0 {
		return 0, 0, 0, errNoValues
	}
	lambda = 1 // a constant has no best power
	if low, high, _ := bounds(x); low < high {
		lambda = bestPower(x)
	}
	for i, v := range x {
		x[i] = yeoJohnson(v, lambda)
	}
	n, mean, variance := moments(x)
	return lambda, mean, deviation(n, mean, variance), nil
}

// leastSpread is the standard deviation, as a share of the mean, below which
// the transformed values have lost too many digits to be told apart: a power
// that does this to the data is no candidate. scikit-learn lets such powers
// win, on data such as 1000 ± 1, and returns noise.
const leastSpread = 1e-5

// bestPower minimises the negative log-likelihood of lambda. Where no power
// keeps the values apart it returns 1, which leaves them as they are. x is
// left as it is.
func bestPower(x []float64) float64 {
	// The logarithms do not depend on lambda: one exponential per value and
	// try remains.
	logs := make([]float64, len(x))
	var jacobian total
	for i, v := range x {
		l := numeric.Log1p(math.Abs(v))
		if v < 0 {
			l = -l
		}
		logs[i] = l
		jacobian.add(l)
	}
	slope := jacobian.value()
	y := make([]float64, len(x))
	loss := func(lambda float64) float64 {
		for i, l := range logs {
			if l < 0 {
				y[i] = -curve(-l, 2-lambda)
			} else {
				y[i] = curve(l, lambda)
			}
		}
		_, mean, variance := moments(y)
		if !(variance >= 0x1p-1022) || math.IsInf(variance, 0) || math.Sqrt(variance) < leastSpread*math.Abs(mean) {
			return math.Inf(1) // a collapsed or overflowing scale explains nothing
		}
		return float64(float64(len(x))/2*numeric.Log(variance)) - float64((lambda-1)*slope)
	}
	lambda := minimise(loss, -2, 2)
	if math.IsInf(loss(lambda), 1) {
		return 1
	}
	return lambda
}

// minimise finds a minimum of f near the interval [a, b]: it walks downhill by
// golden steps until three points enclose a minimum, then narrows it by Brent
// (1973), chapter 5, as scipy.optimize.brent does. |result| stays below 1e4.
func minimise(f func(float64) float64, a, b float64) float64 {
	const golden = 1.618033988749895
	fa, fb := f(a), f(b)
	if fa < fb { // from a to b it goes down, or level
		a, b, fa, fb = b, a, fb, fa
	}
	c := b + float64(golden*(b-a))
	fc := f(c)
	for fc < fb && math.Abs(c) < 1e4 {
		a, b, fb = b, c, fc
		c = b + float64(golden*(b-a))
		fc = f(c)
	}
	return brent(f, min(a, c), b, max(a, c), fb)
}

// brent narrows a bracket low < x < high with f(x) at most f(low) and f(high).
func brent(f func(float64) float64, low, x, high, fx float64) float64 {
	const cgold = 0.3819660112501051 // (3-√5)/2
	const tolerance, floor = 1.48e-8, 1e-11
	w, v, fw, fv := x, x, fx, fx
	var step, before float64
	for range 500 {
		mid := float64((low + high) / 2)
		tol := float64(tolerance*math.Abs(x)) + floor
		if math.Abs(x-mid) <= float64(2*tol)-float64((high-low)/2) {
			break
		}
		parabola := false
		if math.Abs(before) > tol {
			// The parabola through x, v and w, if it lands inside and shrinks fast enough.
			r := float64((x - w) * (fx - fv))
			q := float64((x - v) * (fx - fw))
			p := float64((x-v)*q) - float64((x-w)*r)
			q = 2 * (q - r)
			if q > 0 {
				p = -p
			}
			q = math.Abs(q)
			if math.Abs(p) < math.Abs(float64(0.5*q*before)) && p > float64(q*(low-x)) && p < float64(q*(high-x)) {
				before, step = step, p/q
				parabola = true
				if u := x + step; u-low < float64(2*tol) || high-u < float64(2*tol) {
					step = math.Copysign(tol, mid-x)
				}
			}
		}
		if !parabola {
			before = high - x
			if x >= mid {
				before = low - x
			}
			step = float64(cgold * before)
		}
		u := x + step
		// A try nearer than tol could not be told from x.
		if math.Abs(step) < tol {
			u = x + math.Copysign(tol, step)
		}
		fu := f(u)
		// x is the best try, w the second, v the one that w replaced; low and high
		// close in on x.
		if fu <= fx {
			if u >= x {
				low = x
			} else {
				high = x
			}
			v, w, x, fv, fw, fx = w, x, u, fw, fx, fu
			continue
		}
		if u < x {
			low = u
		} else {
			high = u
		}
		if fu <= fw || w == x {
			v, w, fv, fw = w, u, fw, fu
		} else if fu <= fv || v == x || v == w {
			v, fv = u, fu
		}
	}
	return x
}
