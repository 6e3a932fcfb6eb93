// Package explain says which columns a model relies on, by what happens to its
// score without them. It explains the model, not the world.
package explain

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/model"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/numeric"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tensor"
)

// A Group is what is shuffled together: the matrix columns First to
// First+Count-1, such as all the features of one raw column.
type Group struct {
	Name         string
	First, Count int
}

// An Importance is how much the score falls when a group is shuffled among the
// rows: the score as it is, less the score of each repeat.
type Importance struct {
	Name    string    `json:"name"`
	Mean    float64   `json:"mean"`
	SD      float64   `json:"sd"` // of the population of repeats (divided by their number)
	Repeats []float64 `json:"repeats"`
}

// A Result is the importances in the order of the groups.
type Result struct {
	Score       float64      `json:"score"` // with nothing shuffled
	Rows        int          `json:"rows"`  // that every score rests on
	Importances []Importance `json:"importances"`
}

// Options of Permutation.
type Options struct {
	Repeats int    // shuffles per group; 0 means 10
	Seed    uint64 // of the stream "permutation"
}

// defaultRepeats is how often a group is shuffled when nothing is said.
const defaultRepeats = 10

// Permutation shuffles one group of columns of x at a time and scores the
// result, as scikit-learn's permutation_importance does. score must depend on
// its matrix alone and must not keep or change it; higher is better. x is left
// as it was. Memory is one copy of x.
//
// The shuffle of group g in repeat r is the stream "permutation" of the seed
// with indices g, r, so a group's importance does not depend on the others.
func Permutation(ctx context.Context, x *tensor.Matrix, groups []Group, o Options, score func(*tensor.Matrix) (float64, error)) (Result, error) {
	repeats := o.Repeats
	if repeats == 0 {
		repeats = defaultRepeats
	}
	return permute(ctx, x, groups, repeats, score, func(g, r int) []int {
		return numeric.NewStream(o.Seed, "permutation", uint64(g), uint64(r)).Perm(x.Rows)
	})
}

// permute is Permutation with the shuffles given: row i gets the values of row order(g, r)[i].
func permute(ctx context.Context, x *tensor.Matrix, groups []Group, repeats int, score func(*tensor.Matrix) (float64, error), order func(g, r int) []int) (Result, error) {
	if repeats < 1 {
		return Result{}, fmt.Errorf("permutation importance with %d repeats: %w: want at least 1", repeats, solera.ErrInvalid)
	}
	if x.Rows == 0 {
		return Result{}, fmt.Errorf("permutation importance without rows: %w", solera.ErrInvalid)
	}
	for _, g := range groups {
		if g.First < 0 || g.Count < 0 || g.First > x.Cols-g.Count {
			return Result{}, fmt.Errorf("permutation importance of %q: columns %d to %d of %d: %w", g.Name, g.First, g.First+g.Count-1, x.Cols, solera.ErrInvalid)
		}
	}
	base, err := score(x)
	if err != nil {
		return Result{}, fmt.Errorf("permutation importance: %w", err)
	}
	result := Result{Score: base, Rows: x.Rows}
	shuffled := tensor.New(x.Rows, x.Cols)
	for i := range x.Rows {
		copy(shuffled.Row(i), x.Row(i))
	}
	for g, group := range groups {
		one := Importance{Name: group.Name, Repeats: make([]float64, repeats)}
		for r := range repeats {
			if err := ctx.Err(); err != nil {
				return Result{}, fmt.Errorf("permutation importance: stopped at %q: %w", group.Name, err)
			}
			if group.Count == 0 {
				continue // a column that makes no features cannot matter
			}
			for i, from := range order(g, r) {
				copy(shuffled.Row(i)[group.First:group.First+group.Count], x.Row(from)[group.First:])
			}
			s, err := score(shuffled)
			if err != nil {
				return Result{}, fmt.Errorf("permutation importance of %q: %w", group.Name, err)
			}
			one.Repeats[r] = base - s
		}
		for i := range x.Rows {
			copy(shuffled.Row(i)[group.First:group.First+group.Count], x.Row(i)[group.First:])
		}
		one.Mean, one.SD = meanSD(one.Repeats)
		result.Importances = append(result.Importances, one)
	}
	return result, nil
}

// meanSD sums in order and divides by n, not n-1.
func meanSD(values []float64) (mean, sd float64) {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	mean = sum / float64(len(values))
	squares := 0.0
	for _, v := range values {
		squares += float64((v - mean) * (v - mean))
	}
	return mean, math.Sqrt(squares / float64(len(values)))
}

// Model explains a model by its accuracy on labelled rows of t (nil means
// all): one importance per raw column that the model reads, with all its
// features shuffled together. Use rows that the model was not trained on.
func Model(ctx context.Context, m *model.Model, e *tensor.Engine, t *table.Table, rows []int, o Options) (Result, error) {
	x, err := m.Fitted.Apply(t, rows)
	if err != nil {
		return Result{}, fmt.Errorf("explain the model: %w", err)
	}
	y, err := m.Labels.Encode(t, rows)
	if err != nil {
		return Result{}, fmt.Errorf("explain the model: %w", err)
	}
	var groups []Group
	for _, f := range m.Fitted.Features() {
		if f.Count > 0 {
			groups = append(groups, Group{f.Name, f.First, f.Count})
		}
	}
	return Permutation(ctx, x, groups, o, Accuracy(nn.NewEvaluator(m.Network, e, 0), y))
}

// Accuracy returns a score: the share of rows that the network puts into class y.
func Accuracy(v *nn.Evaluator, y []int32) func(*tensor.Matrix) (float64, error) {
	return func(x *tensor.Matrix) (float64, error) {
		if x.Rows != len(y) {
			return 0, errors.New("accuracy: the matrix has other rows than the labels")
		}
		_, correct := v.Loss(x, y, nn.Loss{})
		return float64(correct) / float64(len(y)), nil
	}
}
