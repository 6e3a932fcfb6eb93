package transform

import (
	"math"
	"slices"
	"sort"

	"github.com/solera-ml/solera/numeric"
)

// fitQuantiles returns the quantiles of values at want equal steps of
// probability from 0 to 1, at most one per present value (scikit-learn's
// QuantileTransformer without its subsampling).
func fitQuantiles(values []float64, want int) ([]float64, error) {
	v := present(values)
	if len(v) == 0 {
		return nil, errNoValues
	}
	slices.Sort(v)
	n := min(want, len(v))
	out := make([]float64, n)
	for i := range out {
		q := 0.0
		if n > 1 {
			q = float64(i) / float64(n-1)
		}
		at := float64(q * float64(len(v)-1))
		k := min(int(math.Floor(at)), len(v)-1)
		out[i] = v[k] + 0
		if t := at - float64(k); t > 0 && k+1 < len(v) {
			out[i] = lerp(v[k], v[k+1], t) + 0
		}
		// Rounding must not put a quantile below the one before it.
		if i > 0 && out[i] < out[i-1] {
			out[i] = out[i-1]
		}
	}
	return out, nil
}

// quantileRank returns the share of the training distribution below v, 0 to 1.
// Between quantiles it is linear; on a run of equal quantiles it is the middle
// of the run (the mean of interpolating upwards and downwards, as in
// scikit-learn). The lowest quantile is 0 and the highest 1, runs or not.
func quantileRank(v float64, quantiles []float64) float64 {
	last := len(quantiles) - 1
	switch {
	case math.IsNaN(v):
		return v
	case v <= quantiles[0]:
		return 0
	case v >= quantiles[last]:
		return 1
	}
	hi := sort.SearchFloat64s(quantiles, v) // first quantile >= v
	if quantiles[hi] == v {
		end := hi
		for end < last && quantiles[end+1] == v {
			end++
		}
		return (float64(hi)/float64(last) + float64(end)/float64(last)) / 2
	}
	lo := hi - 1
	t := (v - quantiles[lo]) / (quantiles[hi] - quantiles[lo])
	return (float64(lo) + t) / float64(last)
}

// quantileValue is the inverse of quantileRank.
func quantileValue(p float64, quantiles []float64) float64 {
	last := len(quantiles) - 1
	switch {
	case math.IsNaN(p):
		return p
	case p <= 0 || last == 0:
		return quantiles[0]
	case p >= 1:
		return quantiles[last]
	}
	at := float64(p * float64(last))
	k := min(int(math.Floor(at)), last-1)
	return lerp(quantiles[k], quantiles[k+1], at-float64(k))
}

// normalScore is the normal quantile of a rank, kept within ±5.2 so that the
// ends of the training range stay finite (scikit-learn's clipping bounds).
func normalScore(p float64) float64 {
	if math.IsNaN(p) {
		return p
	}
	const bound = 1e-7
	const half = 0x1p-52 // numpy.spacing(1)
	low, high := numeric.NormalQuantile(bound-half), numeric.NormalQuantile(1-(bound-half))
	switch {
	case p <= 0:
		return low
	case p >= 1:
		return high
	}
	return min(max(numeric.NormalQuantile(p), low), high)
}
