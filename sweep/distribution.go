package sweep

import (
	"math"
	"slices"
	"strings"

	"github.com/solera-ml/solera/numeric"
)

// Quantile returns the value that a trial draws with the uniform number u in
// (0, 1): the smallest whose probability not to be exceeded is at least u.
func (p Parameter) Quantile(u float64) any {
	switch p.Kind {
	case "constant":
		return p.Values[0]
	case "categorical":
		return p.Values[p.choice(u)]
	case "int_uniform":
		n := p.Max - p.Min + 1
		return int64(p.Min + min(max(math.Ceil(u*n)-1, 0), n-1))
	}
	x := p.smooth(u)
	if !strings.HasPrefix(p.Kind, "q_") {
		return x
	}
	return p.whole(math.RoundToEven(x/p.Q) * p.Q)
}

// whole returns x as a whole number where all values of the parameter are: a
// script that parses "3.0" as an int would fail.
func (p Parameter) whole(x float64) any {
	if p.Q == math.Trunc(p.Q) && x == math.Trunc(x) && math.Abs(x) < 1<<62 {
		return int64(x)
	}
	return x
}

// choice returns which value of a categorical belongs to u.
func (p Parameter) choice(u float64) int {
	n := len(p.Values)
	if p.Probabilities == nil {
		return min(max(int(math.Ceil(u*float64(n)))-1, 0), n-1)
	}
	sum, last := 0.0, 0
	for i, w := range p.Probabilities {
		sum += w
		if w > 0 {
			last = i
		}
		if u < sum {
			return i
		}
	}
	return last // the probabilities add up to a little less than 1
}

// smooth is the quantile before rounding to multiples of Q.
func (p Parameter) smooth(u float64) float64 {
	switch strings.TrimPrefix(p.Kind, "q_") {
	case "uniform":
		return between(p.Min, p.Max, u)
	case "log_uniform":
		return numeric.Exp(between(p.Min, p.Max, u))
	case "inv_log_uniform":
		// 1/x is log-uniform between e^Min and e^Max.
		return numeric.Exp(-between(p.Min, p.Max, 1-u))
	case "log_uniform_values", "inv_log_uniform_values":
		// Both are the same distribution: the logarithm of 1/x is uniform where
		// that of x is.
		x := numeric.Exp(between(numeric.Log(p.Min), numeric.Log(p.Max), u))
		return min(max(x, p.Min), p.Max)
	case "normal":
		return p.Mu + float64(p.Sigma*numeric.NormalQuantile(u))
	case "log_normal":
		return numeric.Exp(p.Mu + float64(p.Sigma*numeric.NormalQuantile(u)))
	default: // beta
		return betaQuantile(u, p.A, p.B)
	}
}

// between returns the number that is u of the way from low to high.
func between(low, high, u float64) float64 {
	return min(max(low+float64(u*(high-low)), low), high)
}

// CDF returns the probability that the parameter is at most v, and whether v is
// a value that it can have. Bayesian search sees every parameter through it, as
// a number of the unit interval.
func (p Parameter) CDF(v any) (float64, bool) {
	if p.Kind == "categorical" {
		key, err := canonical(v)
		if err != nil {
			return 0, false
		}
		i := slices.Index(p.keys, key)
		if i < 0 {
			return 0, false
		}
		if p.Probabilities == nil {
			return float64(i+1) / float64(len(p.Values)), true
		}
		sum := 0.0
		for _, w := range p.Probabilities[:i+1] {
			sum += w
		}
		return min(sum, 1), true
	}
	x, ok := number(v)
	if !ok {
		return 0, false
	}
	return min(max(p.cdf(x), 0), 1), true
}

func (p Parameter) cdf(x float64) float64 {
	share := func(x float64) float64 { return (x - p.Min) / (p.Max - p.Min) }
	// The logarithm of what is not above 0 is below everything.
	ln := func(x float64) float64 {
		if x <= 0 {
			return math.Inf(-1)
		}
		return numeric.Log(x)
	}
	normal := func(x float64) float64 {
		if p.Sigma == 0 {
			return map[bool]float64{true: 1, false: 0}[x >= p.Mu]
		}
		return numeric.NormalCDF((x - p.Mu) / p.Sigma)
	}
	switch strings.TrimPrefix(p.Kind, "q_") {
	case "int_uniform":
		return (math.Floor(x) - p.Min + 1) / (p.Max - p.Min + 1)
	case "uniform":
		return share(x)
	case "log_uniform":
		return share(ln(x))
	case "inv_log_uniform":
		if x <= 0 {
			return 0
		}
		return 1 - share(-ln(x))
	case "log_uniform_values", "inv_log_uniform_values":
		low, high := numeric.Log(p.Min), numeric.Log(p.Max)
		return (ln(x) - low) / (high - low)
	case "normal":
		return normal(x)
	case "log_normal":
		if x <= 0 {
			return 0
		}
		return normal(ln(x))
	default: // beta
		return betaCDF(x, p.A, p.B)
	}
}

// betaCDF returns the regularized incomplete beta function I_x(a, b), by the
// continued fraction of Abramowitz and Stegun (1964), 26.5.8, evaluated as Lentz
// (1976) does.
func betaCDF(x, a, b float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	}
	// x^a (1-x)^b / B(a, b)
	front := numeric.Exp(float64(a*numeric.Log(x)) + float64(b*numeric.Log1p(-x)) + lgamma(a+b) - lgamma(a) - lgamma(b))
	// The fraction converges fast below the mean; above it I_x(a, b) = 1 - I_1-x(b, a).
	if x < (a+1)/(a+b+2) {
		return front * betaFraction(x, a, b) / a
	}
	return 1 - front*betaFraction(1-x, b, a)/b
}

func betaFraction(x, a, b float64) float64 {
	const tiny = 1e-300
	guard := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	c, d := 1.0, 1/guard(1-float64((a+b)*x)/(a+1))
	h := d
	// The number of terms grows with the square root of the larger parameter.
	for m := 1.0; m < 100_000; m++ {
		even := m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		d = 1 / guard(1+float64(even*d))
		c = guard(1 + even/c)
		h *= d * c
		odd := -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		d = 1 / guard(1+float64(odd*d))
		c = guard(1 + odd/c)
		h *= d * c
		if math.Abs(float64(d*c)-1) < 1e-16 {
			break
		}
	}
	return h
}

// betaQuantile inverts betaCDF by bisection over the floats themselves: their
// bits are ordered as they are, so 62 halvings find the number, however near to
// 0 it is.
func betaQuantile(u, a, b float64) float64 {
	low, high := math.Float64bits(0), math.Float64bits(1)
	for low+1 < high {
		mid := low + (high-low)/2
		if betaCDF(math.Float64frombits(mid), a, b) < u {
			low = mid
		} else {
			high = mid
		}
	}
	return math.Float64frombits(high)
}

// lgamma returns the logarithm of the gamma function of x > 0, by Stirling's
// series (Abramowitz and Stegun 1964, 6.1.41) after raising x to at least 10,
// where eight terms give more than 15 digits.
func lgamma(x float64) float64 {
	product := 1.0
	for x < 10 {
		product *= x
		x++
	}
	r := 1 / float64(x*x)
	series := 0.0
	for _, c := range []float64{
		-3617.0 / 122400, 1.0 / 156, -691.0 / 360360, 1.0 / 1188, -1.0 / 1680, 1.0 / 1260, -1.0 / 360, 1.0 / 12,
	} {
		series = float64(series*r) + c
	}
	const halfLn2Pi = 0.91893853320467274178
	return float64((x-0.5)*numeric.Log(x)) - x + halfLn2Pi + series/x - numeric.Log(product)
}
