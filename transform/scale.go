package transform

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/solera-ml/solera/numeric"
)

// A scaler is one fitted numeric operation. The fields that a kind does not
// use are zero. NaN (missing) passes through all but impute.
type scaler struct {
	Kind string `json:"step"`
	// Strategy of impute, output distribution of quantile.
	Strategy string `json:"strategy,omitempty"`
	// Value replaces what is missing (impute).
	Value float64 `json:"value,omitempty"`
	// The result is (x - Center) / Scale for standardize, min_max, robust,
	// max_abs, and for power after its curve. Scale is never 0.
	Center float64 `json:"center,omitempty"`
	Scale  float64 `json:"scale,omitempty"`
	Lambda float64 `json:"lambda,omitempty"` // power
	// Quantiles of the training values at equal steps of probability, ascending.
	Quantiles []float64 `json:"quantiles,omitempty"`
	Low       *float64  `json:"low,omitempty"`  // clip, nil is open
	High      *float64  `json:"high,omitempty"` // clip, nil is open
}

// errNoValues is what fitting on a column without one present value gives.
var errNoValues = errors.New("all values are missing")

// fitScaler learns one step from values. Statistics skip NaN. values is left
// as it is.
func fitScaler(s Step, values []float64) (scaler, error) {
	out := scaler{Kind: s.Name}
	var err error
	switch s.Name {
	case "impute":
		out.Strategy = s.text("strategy", "median")
		if _, ok := s.Args["value"]; ok {
			out.Strategy = "constant"
		}
		out.Value, err = fillFor(s, out.Strategy, values)
	case "standardize":
		n, mean, variance := moments(values)
		if n == 0 {
			return out, errNoValues
		}
		out.Center, out.Scale = mean, deviation(n, mean, variance)
	case "min_max":
		low, high, ok := bounds(values)
		if !ok {
			return out, errNoValues
		}
		out.Center, out.Scale = low, notZero(high-low)
	case "max_abs":
		low, high, ok := bounds(values)
		if !ok {
			return out, errNoValues
		}
		out.Scale = notZero(max(math.Abs(low), math.Abs(high)))
	case "robust":
		v := present(values)
		if len(v) == 0 {
			return out, errNoValues
		}
		out.Center = median(v)
		low := quantileOf(v, 0.25)
		out.Scale = notZero(quantileOf(v, 0.75) - low)
	case "quantile":
		out.Strategy = s.text("output", "uniform")
		out.Quantiles, err = fitQuantiles(values, int(s.number("quantiles", 1000)))
	case "power":
		out.Lambda, out.Center, out.Scale, err = fitPower(values)
	case "clip":
		if v, ok := s.Args["low"]; ok {
			f, _ := asNumber(v)
			out.Low = &f
		}
		if v, ok := s.Args["high"]; ok {
			f, _ := asNumber(v)
			out.High = &f
		}
	default:
		return out, fmt.Errorf("step %s does not work on numbers", s.Name)
	}
	if err != nil {
		return out, err
	}
	// Zero has one sign in a file: JSON leaves a zero field out.
	out.Value, out.Center, out.Lambda = out.Value+0, out.Center+0, out.Lambda+0
	return out, out.check()
}

// fillFor returns the number that replaces a missing one. Ties of the most
// frequent go to the smallest, as in scikit-learn.
func fillFor(s Step, strategy string, values []float64) (float64, error) {
	if strategy == "constant" {
		if b, ok := s.Args["value"].(bool); ok {
			if b {
				return 1, nil
			}
			return 0, nil
		}
		f, ok := asNumber(s.Args["value"])
		if !ok {
			return 0, fmt.Errorf("impute value %s is not a number", show(s.Args["value"]))
		}
		return f, nil
	}
	if strategy == "mean" {
		n, mean, _ := moments(values)
		if n == 0 {
			return 0, errNoValues
		}
		return mean, nil
	}
	v := present(values)
	switch {
	case len(v) == 0:
		return 0, errNoValues
	case strategy == "most_frequent":
		return mostFrequent(v), nil
	}
	return median(v), nil
}

// deviation is the divisor of standardize: the biased standard deviation, or 1
// where what varies is below the rounding error of the mean, so that a
// constant feature becomes 0 and not noise. The bound is scikit-learn's
// _is_constant_feature.
func deviation(n int, mean, variance float64) float64 {
	const eps = 0x1p-52
	noise := float64(n) * mean * eps
	if variance <= float64(float64(n)*eps*variance)+float64(noise*noise) {
		return 1
	}
	return notZero(math.Sqrt(variance))
}

func notZero(scale float64) float64 {
	if scale == 0 {
		return 1
	}
	return scale
}

// check refuses what no fit makes and no file may hold.
func (s *scaler) check() error {
	finite := func(v float64) bool { return v-v == 0 }
	if !finite(s.Value) || !finite(s.Center) || !finite(s.Scale) || !finite(s.Lambda) {
		return fmt.Errorf("the statistics of %s overflow", s.Kind)
	}
	switch s.Kind {
	case "impute":
		return nil
	case "standardize", "min_max", "robust", "max_abs", "power":
		if s.Scale <= 0 {
			return fmt.Errorf("%s has scale %v, want above 0", s.Kind, s.Scale)
		}
		return nil
	case "quantile":
		if s.Strategy != "uniform" && s.Strategy != "normal" {
			return fmt.Errorf("quantile has output %q, want uniform or normal", s.Strategy)
		}
		if len(s.Quantiles) == 0 || !slices.IsSorted(s.Quantiles) || !finite(s.Quantiles[0]) || !finite(s.Quantiles[len(s.Quantiles)-1]) {
			return errors.New("quantile needs ascending finite quantiles")
		}
		return nil
	case "clip":
		if s.Low == nil && s.High == nil || s.Low != nil && s.High != nil && *s.Low >= *s.High {
			return errors.New("clip needs low below high")
		}
		return nil
	}
	return fmt.Errorf("unknown step %s", show(s.Kind))
}

// apply transforms values in place.
func (s *scaler) apply(values []float64) {
	switch s.Kind {
	case "impute":
		for i, v := range values {
			if math.IsNaN(v) {
				values[i] = s.Value
			}
		}
	case "power":
		for i, v := range values {
			values[i] = (yeoJohnson(v, s.Lambda) - s.Center) / s.Scale
		}
	case "quantile":
		for i, v := range values {
			values[i] = quantileRank(v, s.Quantiles)
		}
		if s.Strategy == "normal" {
			for i, v := range values {
				values[i] = normalScore(v)
			}
		}
	case "clip":
		for i, v := range values {
			if s.Low != nil && v < *s.Low {
				v = *s.Low
			}
			if s.High != nil && v > *s.High {
				v = *s.High
			}
			values[i] = v
		}
	default:
		center, scale := s.Center, s.Scale
		for i, v := range values {
			values[i] = (v - center) / scale
		}
	}
}

// inverse undoes apply in place, as far as it can be undone: what was imputed
// or clipped stays, and what quantile put at its ends stays there.
func (s *scaler) inverse(values []float64) {
	switch s.Kind {
	case "impute", "clip":
	case "power":
		for i, v := range values {
			values[i] = yeoJohnsonInverse(float64(v*s.Scale)+s.Center, s.Lambda)
		}
	case "quantile":
		for i, v := range values {
			if s.Strategy == "normal" {
				v = numeric.NormalCDF(v)
			}
			values[i] = quantileValue(v, s.Quantiles)
		}
	default:
		for i, v := range values {
			values[i] = float64(v*s.Scale) + s.Center
		}
	}
}
