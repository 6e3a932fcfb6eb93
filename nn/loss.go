package nn

import (
	"fmt"
	"math"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/numeric"
)

// A Loss is softmax and cross-entropy over classes, in float64 per row. The
// zero value is the plain one. Over a batch it is the weighted mean that
// torch.nn.functional.cross_entropy computes: the sum of the rows' losses
// divided by the sum of the class weights of the rows' true classes.
type Loss struct {
	LabelSmoothing float64   // share of each row's target spread over all classes, [0, 1)
	ClassWeights   []float64 // one positive weight per class; nil means 1 each
	// Focal is the gamma of Lin et al. (2017): a row's loss is multiplied by
	// (1-p)^gamma with p the probability of its true class, so that easy rows
	// count less. 0 means no such factor.
	Focal float64
}

// Check returns an error when the loss is not one for that many classes.
func (l Loss) Check(classes int) error {
	bad := func(msg, hint string) error { return &solera.InputError{Op: "loss", Msg: msg, Hint: hint} }
	if !(l.LabelSmoothing >= 0 && l.LabelSmoothing < 1) {
		return bad(fmt.Sprintf("label smoothing %v", l.LabelSmoothing), "want 0 or more and less than 1")
	}
	if !(l.Focal >= 0 && l.Focal <= 100) {
		return bad(fmt.Sprintf("focal gamma %v", l.Focal), "want 0 to 100; 2 is common")
	}
	if l.ClassWeights == nil {
		return nil
	}
	if len(l.ClassWeights) != classes {
		return bad(fmt.Sprintf("%d class weights for %d classes", len(l.ClassWeights), classes), "give one per class")
	}
	for c, w := range l.ClassWeights {
		if !(w > 0) || math.IsInf(w, 0) {
			return bad(fmt.Sprintf("weight %v of class %d", w, c), "want a number above 0")
		}
	}
	return nil
}

// Weight returns the weight of a row of class y in the mean.
func (l *Loss) Weight(y int) float64 {
	if l.ClassWeights == nil {
		return 1
	}
	return l.ClassWeights[y]
}

// Row returns the loss of one row of logits whose true class is y, not yet
// divided by anything (torch's reduction "none"), and the class with the
// largest logit, the first of equal ones. It replaces the logits by the
// gradient of that loss. A NaN or +Inf among the logits makes the loss NaN.
func (l *Loss) Row(z []float64, y int) (loss float64, top int) {
	top = argmax(z)
	high := z[top]
	zy := z[y] - high
	// Subtracting the largest logit keeps every exponential in [0, 1].
	sum, smooth := 0.0, 0.0
	if l.LabelSmoothing > 0 {
		smooth = l.smoothing(z, high)
	}
	for j, v := range z {
		e := 1.0 // exp(0), by far the most frequent argument
		if d := v - high; d != 0 {
			e = numeric.Exp(d)
		}
		z[j] = e
		sum += e
	}
	logSum := numeric.Log(sum)
	if l.LabelSmoothing == 0 && l.ClassWeights == nil && l.Focal == 0 {
		// Cross-entropy -log p[y]; gradient p - [j == y].
		for j := range z {
			z[j] /= sum
		}
		z[y]--
		return logSum - zy, top
	}
	return l.general(z, y, sum, logSum, zy, smooth), top
}

// argmax returns the index of the largest value, the first of equal ones.
func argmax(z []float64) int {
	top := 0
	for j, v := range z {
		if v > z[top] {
			top = j
		}
	}
	return top
}

// smoothing returns the sum of w[c]·(z[c] - high) over the classes.
func (l *Loss) smoothing(z []float64, high float64) float64 {
	s := 0.0
	for c, v := range z {
		s += float64(l.Weight(c) * (v - high))
	}
	return s
}

// general finishes Row for every loss but the plain one. z holds the
// exponentials and becomes the gradient.
//
// The target is t[c] = (1-ε)·w[y]·[c == y] + ε/K·w[c], the row's cross-entropy
// Σ t[c]·(log Σe - z[c]) and its gradient p[j]·Σt - t[j].
func (l *Loss) general(z []float64, y int, sum, logSum, zy, smooth float64) float64 {
	hard := float64((1 - l.LabelSmoothing) * l.Weight(y))
	soft := l.LabelSmoothing / float64(len(z))
	total := hard // Σt
	loss := float64(hard * (logSum - zy))
	if soft > 0 {
		weights := float64(len(z))
		if l.ClassWeights != nil {
			weights = 0
			for _, w := range l.ClassWeights {
				weights += w
			}
		}
		total += float64(soft * weights)
		loss += float64(soft * (float64(weights*logSum) - smooth))
	}
	factor, slope := 1.0, 0.0 // (1-p)^γ and its derivative by p, times the loss
	py := z[y] / sum
	if l.Focal > 0 {
		rest := 0.0 // 1-p, precise where p is near 1
		for j, e := range z {
			if j != y {
				rest += e
			}
		}
		rest /= sum
		if rest > 0 {
			factor = numeric.Pow(rest, l.Focal)
			slope = -l.Focal * factor / rest * loss
		} else {
			factor = 0
		}
	}
	for j, e := range z {
		p := e / sum
		t := 0.0
		if soft > 0 {
			t = float64(soft * l.Weight(j))
		}
		dp := -float64(py * p) // derivative of p[y] by z[j]
		if j == y {
			t += hard
			dp = float64(py * (1 - p))
		}
		z[j] = float64(factor*(float64(p*total)-t)) + float64(slope*dp)
	}
	return float64(factor * loss)
}

// softmax writes the probabilities of logits z to p, which may be z.
func softmax(p, z []float64) {
	high := z[argmax(z)]
	sum := 0.0
	for j, v := range z {
		p[j] = numeric.Exp(v - high)
		sum += p[j]
	}
	for j := range p {
		p[j] /= sum
	}
}
