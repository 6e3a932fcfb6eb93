package eval

import (
	"math"
	"slices"
)

// Regression scores the prediction of numbers. Its fields are those of
// scikit-learn's functions of the same names.
type Regression struct {
	N                 int     // rows
	MSE               float64 // mean squared error
	RMSE              float64 // its root, in the unit of the target
	MAE               float64 // mean absolute error
	MedianAE          float64 // median absolute error
	R2                float64 // share of the variance explained; 0 for a constant target, 1 if that is met exactly
	ExplainedVariance float64 // R2 without punishing a constant offset
}

// Regress scores predictions of y. Both have the same length; without rows all
// scores are NaN.
func Regress(y, predicted []float64) Regression {
	n := len(y)
	d, abs, squares := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range y {
		d[i] = y[i] - predicted[i]
		abs[i] = math.Abs(d[i])
		squares[i] = float64(d[i] * d[i])
	}
	r := Regression{N: n, MSE: mean(squares), MAE: mean(abs), MedianAE: median(abs)}
	r.RMSE = math.Sqrt(r.MSE)
	r.R2 = explained(r.MSE, variance(y))
	r.ExplainedVariance = explained(variance(d), variance(y))
	return r
}

func explained(left, total float64) float64 {
	if total == 0 {
		if left == 0 {
			return 1
		}
		return 0
	}
	return 1 - left/total
}

func variance(v []float64) float64 {
	m, squares := mean(v), make([]float64, len(v))
	for i, x := range v {
		squares[i] = float64((x - m) * (x - m))
	}
	return mean(squares)
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
