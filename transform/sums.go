package transform

import (
	"math"
	"slices"
)

// A total adds float64 values in the order given and carries the rounding
// error of every addition (Knuth's TwoSum), so that ten million rows lose no
// more than a few. It holds additions only: there is nothing to fuse, and the
// bits are the same on every CPU.
type total struct{ sum, lost float64 }

func (t *total) add(v float64) {
	s := t.sum + v
	b := s - t.sum
	t.lost += (t.sum - (s - b)) + (v - b)
	t.sum = s
}

func (t *total) value() float64 { return t.sum + t.lost }

// moments returns the count, mean and biased variance of the values that are
// not NaN. Two passes and the correction for the rounding of the mean, as
// scikit-learn's _incremental_mean_and_var does. n = 0 gives NaNs.
func moments(values []float64) (n int, mean, variance float64) {
	var t total
	for _, v := range values {
		if !math.IsNaN(v) {
			n++
			t.add(v)
		}
	}
	mean = t.value() / float64(n)
	var squares, rest total
	for _, v := range values {
		if !math.IsNaN(v) {
			d := v - mean
			rest.add(d)
			squares.add(float64(d * d))
		}
	}
	r := rest.value()
	variance = (squares.value() - float64(r*r)/float64(n)) / float64(n)
	return n, mean, max(variance, 0)
}

// present returns the values that are not NaN, in a new slice.
func present(values []float64) []float64 {
	out := make([]float64, 0, len(values))
	for _, v := range values {
		if !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	return out
}

// bounds returns the smallest and largest value that is not NaN; ok is false when there is none.
func bounds(values []float64) (low, high float64, ok bool) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if v < low {
			low = v
		}
		if v > high {
			high = v
		}
	}
	return low, high, low <= high
}

// quantileOf returns quantile q (0 to 1) by linear interpolation between the
// two nearest ranks, numpy's default method. It reorders values, which must
// hold at least one and no NaN.
func quantileOf(values []float64, q float64) float64 {
	at := float64(q * float64(len(values)-1))
	k := int(math.Floor(at))
	low := selectRank(values, k)
	t := at - float64(k)
	if t == 0 || k+1 >= len(values) {
		return low
	}
	// selectRank left everything above rank k behind it.
	high := slices.Min(values[k+1:])
	return lerp(low, high, t)
}

// lerp goes from a to b; like numpy it starts from the nearer end, so that t = 1 gives b.
func lerp(a, b, t float64) float64 {
	d := b - a
	if t >= 0.5 {
		return b - float64(d*(1-t))
	}
	return a + float64(d*t)
}

// median is the middle value, or the mean of the middle two. It reorders values.
func median(values []float64) float64 {
	n := len(values)
	low := selectRank(values, (n-1)/2)
	if n%2 == 1 {
		return low
	}
	high := slices.Min(values[n/2:])
	if s := low + high; !math.IsInf(s, 0) {
		return s / 2
	}
	return float64(low/2) + float64(high/2)
}

// selectRank returns the value of rank k (0-based) and leaves the lower ranks
// before index k and the higher ones behind it. Hoare's quickselect with the
// median of three; after too many bad pivots it sorts, so that no input costs
// quadratic time.
func selectRank(values []float64, k int) float64 {
	lo, hi := 0, len(values)-1
	for tries := 0; lo < hi; tries++ {
		if hi-lo < 32 || tries > 64 {
			slices.Sort(values[lo : hi+1])
			break
		}
		pivot := middle(values[lo], values[lo+(hi-lo)/2], values[hi])
		i, j := lo, hi
		for i <= j {
			for values[i] < pivot {
				i++
			}
			for values[j] > pivot {
				j--
			}
			if i <= j {
				values[i], values[j] = values[j], values[i]
				i++
				j--
			}
		}
		switch {
		case k <= j:
			hi = j
		case k >= i:
			lo = i
		default:
			return values[k]
		}
	}
	return values[k]
}

func middle(a, b, c float64) float64 {
	return max(min(a, b), min(max(a, b), c))
}

// mostFrequent returns the commonest value, the smallest among equals. It
// sorts values, which must hold at least one and no NaN.
func mostFrequent(values []float64) float64 {
	slices.Sort(values)
	best, most := values[0], 0
	for i := 0; i < len(values); {
		j := i
		for j < len(values) && values[j] == values[i] {
			j++
		}
		if j-i > most {
			best, most = values[i], j-i
		}
		i = j
	}
	return best
}
