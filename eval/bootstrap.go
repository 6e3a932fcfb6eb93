package eval

import (
	"math"
	"slices"

	"github.com/solera-ml/solera/numeric"
)

// Bootstrap says how the intervals of a report were made: rows are drawn with
// replacement within each class, and the distribution of the score over the
// draws is corrected for bias and skewness (BCa; Efron, 1987).
type Bootstrap struct {
	Method    string  `json:"method"` // "stratified BCa"
	Resamples int     `json:"resamples"`
	Level     float64 `json:"level"`
	Seed      uint64  `json:"seed"`
}

// newBootstrap draws 2,000 times, and less often from more than 10,000 rows,
// whose intervals are narrow, so that the cost does not grow with the rows.
func newBootstrap(rows int, seed uint64) Bootstrap {
	return Bootstrap{Method: "stratified BCa", Resamples: min(2000, max(200, 20_000_000/max(rows, 1))), Level: Level, Seed: seed}
}

// statistics is the number of scores that have a bootstrap interval, in the
// order loss, Brier, macro F1, balanced accuracy, MCC.
const statistics = 5

func (t *tally) statistics(loss, brier float64) [statistics]float64 {
	n := float64(t.rows)
	return [statistics]float64{loss / n, brier / n, t.macroF1(), t.balanced(), t.mcc()}
}

// intervals returns the ends of the intervals. They are NaN where all draws
// give the same score, as when every row is right: the rows say nothing then of
// how often the model errs.
func (b Bootstrap) intervals(o Outcomes) (low, high [statistics]float64) {
	n := o.Len()
	brier := make([]float64, n)
	byClass := make([][]int32, o.Classes)
	whole := newTally(o.Classes)
	lossSum, brierSum := 0.0, 0.0
	for i, y := range o.True {
		brier[i] = o.brierRow(i)
		byClass[y] = append(byClass[y], int32(i))
		whole.add(y, o.Predicted[i], 1)
		lossSum += o.Losses[i]
		brierSum += brier[i]
	}
	observed := whole.statistics(lossSum, brierSum)

	draws := [statistics][]float64{}
	s, t := numeric.NewStream(b.Seed, "bootstrap"), newTally(o.Classes)
	for range b.Resamples {
		clear(t.hit)
		clear(t.truth)
		clear(t.predicted)
		t.rows = 0
		ls, bs := 0.0, 0.0
		for _, rows := range byClass {
			for range rows {
				i := rows[s.IntN(len(rows))]
				t.add(o.True[i], o.Predicted[i], 1)
				ls += o.Losses[i]
				bs += brier[i]
			}
		}
		for k, v := range t.statistics(ls, bs) {
			draws[k] = append(draws[k], v)
		}
	}
	skew := b.skewness(o, whole, lossSum, brierSum, brier)
	for k := range draws {
		low[k], high[k] = bca(draws[k], observed[k], skew[k])
	}
	return low, high
}

// skewness returns BCa's acceleration, from leaving each row out in turn.
func (b Bootstrap) skewness(o Outcomes, t tally, lossSum, brierSum float64, brier []float64) (a [statistics]float64) {
	n := o.Len()
	if n < 2 {
		return a
	}
	left := make([][statistics]float64, n)
	var mean [statistics]float64
	type pair struct{ y, p int32 }
	known := map[pair][statistics]float64{} // the last three depend on the pair alone
	for i, y := range o.True {
		v, ok := known[pair{y, o.Predicted[i]}]
		if !ok {
			t.add(y, o.Predicted[i], -1)
			v = t.statistics(0, 0)
			t.add(y, o.Predicted[i], 1)
			known[pair{y, o.Predicted[i]}] = v
		}
		v[0] = (lossSum - o.Losses[i]) / float64(n-1)
		v[1] = (brierSum - brier[i]) / float64(n-1)
		left[i] = v
		for k := range v {
			mean[k] += v[k] / float64(n)
		}
	}
	for k := range a {
		squares, cubes := 0.0, 0.0
		for i := range left {
			d := mean[k] - left[i][k]
			squares += float64(d * d)
			cubes += float64(float64(d*d) * d)
		}
		if squares > 0 {
			a[k] = cubes / (6 * float64(squares*math.Sqrt(squares)))
		}
	}
	return a
}

// bca returns the ends of the interval. draws is sorted in place.
func bca(draws []float64, observed, acceleration float64) (low, high float64) {
	slices.Sort(draws)
	n := len(draws)
	if n == 0 || draws[0] != draws[0] || draws[0] == draws[n-1] {
		return math.NaN(), math.NaN()
	}
	// Draws equal to the score count half, or scores with few values would be biased.
	below, equal := 0, 0
	for _, d := range draws {
		if d < observed {
			below++
		} else if d == observed {
			equal++
		}
	}
	share := (float64(below) + float64(0.5*float64(equal))) / float64(n)
	share = math.Min(math.Max(share, 1/float64(2*n)), 1-1/float64(2*n))
	z0 := numeric.NormalQuantile(share)
	end := func(p float64) float64 {
		z := z0 + numeric.NormalQuantile(p)
		d := 1 - float64(acceleration*z)
		if d <= 0 {
			d = math.SmallestNonzeroFloat64 // far out: the last draw
		}
		q := numeric.NormalCDF(z0 + z/d)
		i := int(math.Floor(float64(q * float64(n))))
		return draws[min(max(i, 0), n-1)]
	}
	return end((1 - Level) / 2), end((1 + Level) / 2)
}
