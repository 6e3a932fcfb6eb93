package eval

import "math"

// A Confusion counts rows: Confusion[t][p] of class t were predicted as p.
type Confusion [][]int

// Confusion counts the outcomes.
func (o Outcomes) Confusion() Confusion {
	return Confuse(o.True, o.Predicted, o.Classes)
}

// Confuse counts rows by true and predicted class.
func Confuse(y, predicted []int32, classes int) Confusion {
	c := make(Confusion, classes)
	cells := make([]int, classes*classes)
	for i := range c {
		c[i] = cells[i*classes : (i+1)*classes]
	}
	for i, t := range y {
		c[t][predicted[i]]++
	}
	return c
}

// tally is all that the scores below need of a confusion matrix.
type tally struct {
	rows                  int
	hit, truth, predicted []int // per class: rightly predicted, true, predicted rows
}

func newTally(classes int) tally {
	cells := make([]int, 3*classes)
	return tally{hit: cells[:classes], truth: cells[classes : 2*classes], predicted: cells[2*classes:]}
}

// add counts a row k times; k may be negative.
func (t *tally) add(y, predicted int32, k int) {
	t.rows += k
	t.truth[y] += k
	t.predicted[predicted] += k
	if y == predicted {
		t.hit[y] += k
	}
}

func (c Confusion) tally() tally {
	t := newTally(len(c))
	for y, row := range c {
		for p, n := range row {
			t.add(int32(y), int32(p), n)
		}
	}
	return t
}

// Rows returns the number of rows counted.
func (c Confusion) Rows() int { t := c.tally(); return t.rows }

// Hits returns the number of rows that were put into their class.
func (c Confusion) Hits() int { t := c.tally(); return t.hits() }

func (t *tally) hits() int {
	hits := 0
	for _, h := range t.hit {
		hits += h
	}
	return hits
}

// Accuracy returns the share of rows put into their class; without rows NaN.
func (c Confusion) Accuracy() float64 { return float64(c.Hits()) / float64(c.Rows()) }

// Support returns the number of rows of the class.
func (c Confusion) Support(class int) int { t := c.tally(); return t.truth[class] }

// Precision returns the share of the rows predicted as class that are of it,
// 0 if there are none (scikit-learn's zero_division=0).
func (c Confusion) Precision(class int) float64 {
	t := c.tally()
	return t.precision(class)
}

func (t *tally) precision(class int) float64 { return orZero(t.hit[class], t.predicted[class]) }

// Recall returns the share of the rows of class that were predicted as it, 0 if
// there are none.
func (c Confusion) Recall(class int) float64 {
	t := c.tally()
	return t.recall(class)
}

func (t *tally) recall(class int) float64 { return orZero(t.hit[class], t.truth[class]) }

// F1 returns the harmonic mean of precision and recall, 0 if both are.
func (c Confusion) F1(class int) float64 { t := c.tally(); return t.f1(class) }

func (t *tally) f1(class int) float64 {
	return orZero(2*t.hit[class], t.truth[class]+t.predicted[class])
}

func orZero(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// macro is the mean over the classes that are true or predicted anywhere, as
// scikit-learn takes it.
func (t *tally) macro(f func(class int) float64) float64 {
	sum, n := 0.0, 0
	for k := range t.hit {
		if t.truth[k]+t.predicted[k] > 0 {
			sum += f(k)
			n++
		}
	}
	return sum / float64(n)
}

// MacroF1 returns the mean F1 of the classes that occur.
func (c Confusion) MacroF1() float64 { t := c.tally(); return t.macroF1() }

func (t *tally) macroF1() float64 { return t.macro(t.f1) }

// MacroPrecision returns the mean precision of the classes that occur.
func (c Confusion) MacroPrecision() float64 { t := c.tally(); return t.macro(t.precision) }

// MacroRecall returns the mean recall of the classes that occur.
func (c Confusion) MacroRecall() float64 { t := c.tally(); return t.macro(t.recall) }

// WeightedF1 returns the mean F1, each class weighted by its rows.
func (c Confusion) WeightedF1() float64 {
	t, sum := c.tally(), 0.0
	for k, n := range t.truth {
		sum += float64(t.f1(k) * float64(n))
	}
	return sum / float64(t.rows)
}

// MicroF1 returns the F1 of all rows together, which is the accuracy where
// every row has one class.
func (c Confusion) MicroF1() float64 { return c.Accuracy() }

// BalancedAccuracy returns the mean recall of the classes that have rows.
func (c Confusion) BalancedAccuracy() float64 { t := c.tally(); return t.balanced() }

func (t *tally) balanced() float64 {
	sum, n := 0.0, 0
	for k, rows := range t.truth {
		if rows > 0 {
			sum += float64(t.hit[k]) / float64(rows)
			n++
		}
	}
	return sum / float64(n)
}

// MCC returns Matthews' correlation of truth and prediction in Gorodkin's form
// for many classes (2004), in [-1, 1]; 0 where all is one class.
func (c Confusion) MCC() float64 { t := c.tally(); return t.mcc() }

func (t *tally) mcc() float64 {
	n := float64(t.rows)
	var tp, tt, pp float64 // sums of products of whole numbers
	for k := range t.hit {
		a, b := float64(t.truth[k]), float64(t.predicted[k])
		tp += float64(a * b)
		tt += float64(a * a)
		pp += float64(b * b)
	}
	n2 := float64(n * n)
	d := float64((n2 - pp) * (n2 - tt))
	if d == 0 {
		return 0
	}
	return (float64(float64(t.hits())*n) - tp) / math.Sqrt(d)
}

// Kappa returns Cohen's kappa, agreement beyond chance; NaN where all is one
// class. Disagreement of classes i and j weighs 1, or (i-j)² if quadratic.
func (c Confusion) Kappa(quadratic bool) float64 {
	t := c.tally()
	seen, expected := 0.0, 0.0
	for i, row := range c {
		for j, n := range row {
			w := 1.0
			if quadratic {
				w = float64((i - j) * (i - j))
			} else if i == j {
				w = 0
			}
			seen += float64(w * float64(n))
			expected += float64(w * (float64(t.truth[i]) * float64(t.predicted[j]) / float64(t.rows)))
		}
	}
	return 1 - seen/expected
}
