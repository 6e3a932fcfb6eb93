// Package eval turns predictions into scores that carry the number of rows they
// rest on and an interval. It refuses bare percentages, and choosing by the
// second decimal: models that the same rows cannot tell apart are called ties.
package eval

import (
	"fmt"
	"math"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/numeric"
	"github.com/solera-ml/solera/tensor"
)

// Outcomes are what a classifier said of some rows, and what they are.
type Outcomes struct {
	Classes       int       // number of classes, at least 2
	True          []int32   // class of each row, from 0
	Predicted     []int32   // most probable class of each row, the first of equal ones
	Probabilities []float64 // row i is Probabilities[i*Classes : (i+1)*Classes]
	Losses        []float64 // -log of the probability of the true class, per row
}

// Len returns the number of rows.
func (o Outcomes) Len() int { return len(o.True) }

// Row returns the probabilities of row i.
func (o Outcomes) Row(i int) []float64 {
	return o.Probabilities[i*o.Classes : (i+1)*o.Classes]
}

// Correct says of each row whether it was put into its class.
func (o Outcomes) Correct() []bool {
	c := make([]bool, o.Len())
	for i, y := range o.True {
		c[i] = o.Predicted[i] == y
	}
	return c
}

// FromLogits returns the outcomes of a network whose last layer gave z, a row
// for each of y and a column for each class. Losses come from the logits, where
// those of probabilities near 1 would be rounded away. Logits that are not
// finite are an error.
func FromLogits(z *tensor.Matrix, y []int32) (Outcomes, error) {
	o, err := newOutcomes(z.Rows, z.Cols, y)
	if err != nil {
		return Outcomes{}, err
	}
	for i := range y {
		top, sum := math.Inf(-1), 0.0
		for _, v := range z.Row(i) {
			if v-v != 0 {
				return Outcomes{}, fmt.Errorf("evaluate: row %d has an output of %v: the network diverged, train with a smaller learning rate: %w", i, v, solera.ErrInvalid)
			}
			top = math.Max(top, float64(v))
		}
		p := o.Row(i)
		for j, v := range z.Row(i) {
			p[j] = numeric.Exp(float64(v) - top)
			sum += p[j]
		}
		for j := range p {
			p[j] /= sum
		}
		// Of the logits, not of p: float64 probabilities can tie where float32 logits do not.
		o.Predicted[i] = int32(argmax(z.Row(i)))
		// log sum e^z - z_y, with the largest taken out.
		o.Losses[i] = numeric.Log(sum) + (top - float64(z.Row(i)[y[i]]))
	}
	return o, nil
}

// FromProbabilities returns the outcomes of rows of probabilities. Losses are
// those of scikit-learn's log_loss: probabilities are kept 2.2e-16 away from 0
// and 1, and divided by their sum.
func FromProbabilities(p []float64, classes int, y []int32) (Outcomes, error) {
	if classes < 1 || len(p)%classes != 0 {
		return Outcomes{}, fmt.Errorf("evaluate: %d probabilities of %d classes: %w", len(p), classes, solera.ErrInvalid)
	}
	o, err := newOutcomes(len(p)/classes, classes, y)
	if err != nil {
		return Outcomes{}, err
	}
	copy(o.Probabilities, p)
	const eps = 0x1p-52
	for i := range y {
		sum := 0.0
		for j, v := range o.Row(i) {
			if !(v >= 0 && v <= 1) {
				return Outcomes{}, fmt.Errorf("evaluate: row %d has a probability of %v for class %d: %w", i, v, j, solera.ErrInvalid)
			}
			sum += math.Min(math.Max(v, eps), 1-eps)
		}
		o.Predicted[i] = int32(argmax(o.Row(i)))
		o.Losses[i] = -numeric.Log(math.Min(math.Max(o.Row(i)[y[i]], eps), 1-eps) / sum)
	}
	return o, nil
}

func newOutcomes(rows, classes int, y []int32) (Outcomes, error) {
	if classes < 2 {
		return Outcomes{}, fmt.Errorf("evaluate: %d classes, want at least 2: %w", classes, solera.ErrInvalid)
	}
	if rows != len(y) {
		return Outcomes{}, fmt.Errorf("evaluate: %d rows of predictions for %d of truth: %w", rows, len(y), solera.ErrInvalid)
	}
	for i, c := range y {
		if c < 0 || int(c) >= classes {
			return Outcomes{}, fmt.Errorf("evaluate: row %d is of class %d, want 0 to %d: %w", i, c, classes-1, solera.ErrInvalid)
		}
	}
	return Outcomes{Classes: classes, True: y, Predicted: make([]int32, rows), Probabilities: make([]float64, rows*classes), Losses: make([]float64, rows)}, nil
}

// argmax returns the index of the largest value, the first of equal ones.
func argmax[F float32 | float64](v []F) int {
	top := 0
	for j := range v {
		if v[j] > v[top] {
			top = j
		}
	}
	return top
}

// mean returns the mean in the order of v, NaN without values.
func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

// LogLoss returns the mean loss (sklearn.metrics.log_loss).
func (o Outcomes) LogLoss() float64 { return mean(o.Losses) }

// Brier returns the mean over rows of the summed squared distance of the
// probabilities from 1 for the true class and 0 for the others, in [0, 2].
func (o Outcomes) Brier() float64 {
	sum := 0.0
	for i := range o.True {
		sum += o.brierRow(i)
	}
	return sum / float64(o.Len())
}

func (o Outcomes) brierRow(i int) float64 {
	sum := 0.0
	for j, p := range o.Row(i) {
		if int32(j) == o.True[i] {
			p--
		}
		sum += float64(p * p)
	}
	return sum
}

// TopK returns the share of rows whose class is among the k most probable
// (sklearn.metrics.top_k_accuracy_score: of equal ones the last counts first).
func (o Outcomes) TopK(k int) float64 {
	hits := 0
	for i, y := range o.True {
		above := 0
		for j, p := range o.Row(i) {
			if q := o.Row(i)[y]; p > q || p == q && j > int(y) {
				above++
			}
		}
		if above < k {
			hits++
		}
	}
	return float64(hits) / float64(o.Len())
}

// CalibrationError returns the expected calibration error (Naeini et al., 2015)
// over equally wide bins (lo, hi] of the largest probability: the mean distance
// of accuracy and confidence. Even a perfectly calibrated classifier of three
// classes has about 0.15 with 10 bins on 18 rows, 0.05 on 178, 0.02 on 1,000.
func (o Outcomes) CalibrationError(bins int) float64 {
	total := 0.0
	for b := range bins {
		lo, hi := float64(b)/float64(bins), float64(b+1)/float64(bins)
		n, hits, confidence := 0, 0, 0.0
		for i, y := range o.True {
			row := o.Row(i)
			if c := row[argmax(row)]; c > lo && c <= hi {
				n++
				confidence += c
				if o.Predicted[i] == y {
					hits++
				}
			}
		}
		if n > 0 {
			total += math.Abs(float64(hits)-confidence) / float64(o.Len())
		}
	}
	return total
}
