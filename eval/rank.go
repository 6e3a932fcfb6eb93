package eval

import "slices"

// Scored is a row of a question with two answers: whether the answer is yes,
// and a score that should be higher where it is.
type Scored struct {
	Positive bool
	Score    float64
}

// AUC returns the area under the ROC curve: the probability that a positive
// row scores above a negative one, ties counting a half (Mann and Whitney). It
// is NaN without positive or without negative rows.
func AUC(rows []Scored) float64 {
	sorted := descending(rows)
	var pairs float64 // counts of halves, exact below 2^52
	positives := 0    // above the current tie group
	for i := 0; i < len(sorted); {
		pos, neg := 0, 0
		for s := sorted[i].Score; i < len(sorted) && sorted[i].Score == s; i++ {
			if sorted[i].Positive {
				pos++
			} else {
				neg++
			}
		}
		pairs += float64(float64(neg) * (float64(positives) + float64(0.5*float64(pos))))
		positives += pos
	}
	return pairs / float64(positives*(len(sorted)-positives))
}

// descending returns the rows by falling score; equal ones keep their order.
func descending(rows []Scored) []Scored {
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(a, b Scored) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	return sorted
}

// counts returns, for every distinct score from the highest down, the numbers
// of positive and negative rows that score at least as high.
func counts(rows []Scored) (tp, fp []int) {
	sorted := descending(rows)
	pos, neg := 0, 0
	for i, r := range sorted {
		if r.Positive {
			pos++
		} else {
			neg++
		}
		if i+1 == len(sorted) || sorted[i+1].Score != r.Score {
			tp, fp = append(tp, pos), append(fp, neg)
		}
	}
	return tp, fp
}

// ROC returns the corners of the ROC curve, from (0, 0) to (1, 1), without the
// points on straight lines (sklearn.metrics.roc_curve).
func ROC(rows []Scored) (falsePositive, truePositive []float64) {
	tp, fp := counts(rows)
	falsePositive, truePositive = []float64{0}, []float64{0}
	last := len(tp) - 1
	for i := range tp {
		if i > 0 && i < last && tp[i+1]-tp[i] == tp[i]-tp[i-1] && fp[i+1]-fp[i] == fp[i]-fp[i-1] {
			continue
		}
		falsePositive = append(falsePositive, float64(fp[i])/float64(fp[last]))
		truePositive = append(truePositive, float64(tp[i])/float64(tp[last]))
	}
	return falsePositive, truePositive
}

// AveragePrecision returns the sum over distinct scores of the gain in recall
// times the precision (sklearn.metrics.average_precision_score).
func AveragePrecision(rows []Scored) float64 {
	tp, fp := counts(rows)
	sum, before := 0.0, 0
	for i := range tp {
		gain := float64(tp[i]-before) / float64(tp[len(tp)-1])
		sum += float64(gain * (float64(tp[i]) / float64(tp[i]+fp[i])))
		before = tp[i]
	}
	return sum
}

// BinaryBrier returns the mean squared distance of the scores, which must be
// probabilities, from 1 for positive and 0 for negative rows
// (sklearn.metrics.brier_score_loss).
func BinaryBrier(rows []Scored) float64 {
	sum := 0.0
	for _, r := range rows {
		d := r.Score
		if r.Positive {
			d--
		}
		sum += float64(d * d)
	}
	return sum / float64(len(rows))
}

// against returns the rows as the question whether they are of the class, or,
// if other is not negative, whether of the class or of the other one.
func (o Outcomes) against(class, other int32) []Scored {
	var rows []Scored
	for i, y := range o.True {
		if other < 0 || y == class || y == other {
			rows = append(rows, Scored{y == class, o.Row(i)[class]})
		}
	}
	return rows
}

// Against returns the question whether a row is of the class, scored by that
// class's probability.
func (o Outcomes) Against(class int) []Scored { return o.against(int32(class), -1) }

// AUC returns the mean area under the ROC curve of each class against the rest
// (sklearn.metrics.roc_auc_score, multi_class="ovr"), weighted by the rows of
// the class if asked. It is NaN where a class has no rows, or all.
func (o Outcomes) AUC(weighted bool) float64 {
	sum, total := 0.0, 0.0
	for class := range o.Classes {
		rows, w := o.Against(class), 1.0
		if weighted {
			w = 0
			for _, r := range rows {
				if r.Positive {
					w++
				}
			}
		}
		sum += float64(w * AUC(rows))
		total += w
	}
	return sum / total
}

// PairwiseAUC returns the mean area under the ROC curve of all ordered pairs of
// classes (Hand and Till, 2001; multi_class="ovo"). It is NaN where a class has
// no rows.
func (o Outcomes) PairwiseAUC() float64 {
	sum, n := 0.0, 0
	for a := range int32(o.Classes) {
		for b := range a {
			sum += float64((AUC(o.against(a, b)) + AUC(o.against(b, a))) / 2)
			n++
		}
	}
	return sum / float64(n)
}
