package eval

import (
	"fmt"
	"math"

	"github.com/solera-ml/solera"
)

// Significance is the p-value above which two models are tied.
const Significance = 0.05

// McNemar returns the exact two-sided p-value of the hypothesis that two models
// are equally often right, given that on the same rows a alone was right onlyA
// times and b alone onlyB times (Dietterich, 1998): a fair coin over the rows
// on which they differ. With fewer than six such rows it cannot fall below 0.05.
func McNemar(onlyA, onlyB int) float64 {
	k, n := min(onlyA, onlyB), onlyA+onlyB
	if 2*k >= n-1 {
		return 1
	}
	// C(n, k)/2^n as mantissa and exponent, so that no n overflows.
	m, exp := 1.0, -n
	for i := 1; i <= k; i++ {
		var e int
		m, e = math.Frexp(m * (float64(n-k+i) / float64(i)))
		exp += e
	}
	// The tail: each term below k is the one above times i/(n-i+1).
	sum, term := m, m
	for i := k; i > 0; i-- {
		term = float64(term * (float64(i) / float64(n-i+1)))
		if term < sum*0x1p-60 {
			break
		}
		sum += term
	}
	return math.Min(math.Ldexp(sum, exp+1), 1)
}

// A Candidate is a model with its outcomes on the validation rows.
type Candidate struct {
	Name    string
	Correct []bool  // per validation row, the same rows for all
	Loss    float64 // mean loss on them
}

// Accuracy returns the candidate's score on validation.
func (c Candidate) Accuracy() Score {
	hits := 0
	for _, ok := range c.Correct {
		if ok {
			hits++
		}
	}
	return Share(Accuracy, "val", hits, len(c.Correct))
}

// A Choice is the best of some candidates, and how sure that is.
type Choice struct {
	Best   int          `json:"-"`
	Name   string       `json:"best"`
	Why    string       `json:"why"`    // a sentence
	Others []Comparison `json:"others"` // the other candidates, in their order
}

// A Comparison sets another candidate against the best.
type Comparison struct {
	Name      string  `json:"name"`
	Tied      bool    `json:"tied"`       // the validation rows cannot tell it from the best
	OnlyBest  int     `json:"only_best"`  // rows on which the best alone is right
	OnlyOther int     `json:"only_other"` // rows on which the other alone is right
	P         float64 `json:"p"`          // exact McNemar
	Why       string  `json:"why"`        // a sentence
}

// Ties returns the names of the candidates tied with the best.
func (c Choice) Ties() []string {
	var names []string
	for _, o := range c.Others {
		if o.Tied {
			names = append(names, o.Name)
		}
	}
	return names
}

// Choose picks the candidate with the highest validation accuracy, of equal
// ones that with the lowest validation loss, of equal ones the first. Others
// are ties when exact McNemar on the same rows gives p > 0.05. A loss that is
// NaN is worse than any other.
func Choose(candidates []Candidate) (Choice, error) {
	if len(candidates) == 0 {
		return Choice{}, fmt.Errorf("choose the best experiment: there is none: %w", solera.ErrInvalid)
	}
	best, n := 0, len(candidates[0].Correct)
	for i, c := range candidates {
		if len(c.Correct) != n {
			return Choice{}, fmt.Errorf("choose the best experiment: %s was validated on %d rows, %s on %d: they must be the same rows: %w",
				candidates[0].Name, n, c.Name, len(c.Correct), solera.ErrInvalid)
		}
		b := candidates[best]
		if a, top := c.Accuracy().Value, b.Accuracy().Value; a > top || a == top && (c.Loss < b.Loss || b.Loss != b.Loss && c.Loss == c.Loss) {
			best = i
		}
	}
	b := candidates[best]
	choice := Choice{Best: best, Name: b.Name, Others: []Comparison{}}
	byLoss := false
	for i, c := range candidates {
		if i == best {
			continue
		}
		byLoss = byLoss || c.Accuracy().Value == b.Accuracy().Value
		cmp := Comparison{Name: c.Name}
		for r := range n {
			switch {
			case b.Correct[r] && !c.Correct[r]:
				cmp.OnlyBest++
			case c.Correct[r] && !b.Correct[r]:
				cmp.OnlyOther++
			}
		}
		cmp.P = McNemar(cmp.OnlyBest, cmp.OnlyOther)
		cmp.Tied = cmp.P > Significance
		cmp.Why = cmp.reason(b.Name, n)
		choice.Others = append(choice.Others, cmp)
	}
	choice.Why = fmt.Sprintf("%s has the highest validation accuracy (%s)", b.Name, b.Accuracy())
	if byLoss {
		choice.Why += fmt.Sprintf(" and of those with the same the lowest validation loss (%s)", short(b.Loss))
	}
	if len(candidates) == 1 {
		choice.Why = fmt.Sprintf("%s is the only experiment", b.Name)
	}
	return choice, nil
}

// reason puts the comparison into a sentence.
func (c Comparison) reason(best string, n int) string {
	differ := c.OnlyBest + c.OnlyOther
	if differ == 0 {
		return fmt.Sprintf("tied: right and wrong on the same %d validation rows as %s", n, best)
	}
	s := fmt.Sprintf("of %d validation rows %s alone is right on %d, %s alone on %d (exact McNemar p = %s)", n, best, c.OnlyBest, c.Name, c.OnlyOther, short(c.P))
	switch {
	case c.Tied && differ < 6:
		return "tied: " + s + "; fewer than 6 rows that differ can never tell two models apart"
	case c.Tied:
		return "tied: " + s
	}
	return "worse: " + s
}
