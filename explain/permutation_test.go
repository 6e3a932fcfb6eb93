package explain

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera/model"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tensor"
	"github.com/solera-ml/solera/transform"
)

// golden is scikit-learn's permutation_importance of a linear softmax model on
// the standardised wines.
type golden struct {
	Coef      [][]float64
	Intercept []float64
	Baseline  float64 `json:"baseline_accuracy"`
	Exact     struct {
		Perm       []int
		Importance []float64
	}
	Sampled struct {
		Repeats   int `json:"n_repeats"`
		Mean, Std []float64
	}
}

// wine returns the golden, the standardised wines, and the accuracy of its model.
func wine(t *testing.T) (golden, *tensor.Matrix, []Group, func(*tensor.Matrix) (float64, error)) {
	t.Helper()
	b, err := os.ReadFile("testdata/permutation_importance.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile("../transform/testdata/preprocessing.json"); err != nil {
		t.Fatal(err)
	}
	var wines struct {
		Wine struct {
			X [][]float64
			Y []int32
		}
	}
	if err := json.Unmarshal(b, &wines); err != nil {
		t.Fatal(err)
	}
	tab := &table.Table{RowNumbers: make([]int64, len(wines.Wine.X))}
	for j := range wines.Wine.X[0] {
		c := &table.Column{Name: "x" + strconv.Itoa(j), Kind: table.Number}
		for _, row := range wines.Wine.X {
			c.Numbers = append(c.Numbers, row[j])
		}
		tab.Columns = append(tab.Columns, c)
	}
	y := wines.Wine.Y
	f, err := transform.Default(tab).Fit(tab, nil)
	if err != nil {
		t.Fatal(err)
	}
	x, err := f.Apply(tab, nil)
	if err != nil {
		t.Fatal(err)
	}
	var groups []Group
	for _, c := range f.Features() {
		groups = append(groups, Group{c.Name, c.First, c.Count})
	}
	score := func(x *tensor.Matrix) (float64, error) {
		correct := 0
		for i := range x.Rows {
			best, at := math.Inf(-1), 0
			for k := range g.Coef {
				z := g.Intercept[k]
				for j, v := range x.Row(i) {
					z += g.Coef[k][j] * float64(v)
				}
				if z > best {
					best, at = z, k
				}
			}
			if int32(at) == y[i] {
				correct++
			}
		}
		return float64(correct) / float64(x.Rows), nil
	}
	return g, x, groups, score
}

func TestOneFixedShuffleAgreesWithScikitLearn(t *testing.T) {
	g, x, groups, score := wine(t)
	got, err := permute(context.Background(), x, groups, 1, score, func(int, int) []int { return g.Exact.Perm })
	if err != nil {
		t.Fatal(err)
	}
	if got.Score != g.Baseline || got.Rows != 178 {
		t.Errorf("score %v on %d rows, want %v on 178", got.Score, got.Rows, g.Baseline)
	}
	for j, one := range got.Importances {
		if math.Abs(one.Mean-g.Exact.Importance[j]) > 1e-12 || one.SD != 0 {
			t.Errorf("%s: importance %v ± %v, want %v ± 0", one.Name, one.Mean, one.SD, g.Exact.Importance[j])
		}
	}
}

func TestSampledImportancesAgreeWithScikitLearnWithinTheirError(t *testing.T) {
	g, x, groups, score := wine(t)
	got, err := Permutation(context.Background(), x, groups, Options{Repeats: g.Sampled.Repeats, Seed: 1}, score)
	if err != nil {
		t.Fatal(err)
	}
	for j, one := range got.Importances {
		// Two sampled means: both have the error std/√n; 1e-4 is a fiftieth of one wine, for rare hits.
		bound := 4*math.Sqrt2*g.Sampled.Std[j]/math.Sqrt(float64(g.Sampled.Repeats)) + 1e-4
		if math.Abs(one.Mean-g.Sampled.Mean[j]) > bound {
			t.Errorf("%s: mean %v, want %v ± %v", one.Name, one.Mean, g.Sampled.Mean[j], bound)
		}
		if want := g.Sampled.Std[j]; math.Abs(one.SD-want) > 0.25*want+1e-3 {
			t.Errorf("%s: sd %v, want about %v", one.Name, one.SD, want)
		}
	}
}

func TestPermutationLeavesTheMatrixAndKeepsGroupsTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, cols := rapid.IntRange(1, 20).Draw(t, "rows"), rapid.IntRange(1, 6).Draw(t, "columns")
		x := tensor.New(n, cols)
		for i := range x.Data {
			x.Data[i] = float32(i)
		}
		first := rapid.IntRange(0, cols-1).Draw(t, "first")
		g := Group{"g", first, rapid.IntRange(0, cols-first).Draw(t, "count")}
		_, err := Permutation(context.Background(), x, []Group{g}, Options{Repeats: 3}, func(s *tensor.Matrix) (float64, error) {
			seen := map[float32]bool{}
			for i := range s.Rows {
				for j, v := range s.Row(i) {
					inside := j >= first && j < first+g.Count
					switch {
					case seen[v]:
						t.Fatalf("value %v twice", v)
					case int(v)%cols != j:
						t.Fatalf("value %v in column %d", v, j)
					case !inside && v != x.Row(i)[j]:
						t.Fatalf("row %d column %d changed", i, j)
					case inside && int(v)/cols != int(s.Row(i)[first])/cols:
						t.Fatalf("row %d of the group is of two rows", i)
					}
					seen[v] = true
				}
			}
			return 0, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range x.Data {
			if v != float32(i) {
				t.Fatal("the matrix changed")
			}
		}
	})
}

func TestImportanceOfAGroupDoesNotDependOnTheOthers(t *testing.T) {
	_, x, groups, score := wine(t)
	all, err := Permutation(context.Background(), x, groups[:3], Options{Repeats: 4, Seed: 9}, score)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Permutation(context.Background(), x, groups[:1], Options{Repeats: 4, Seed: 9}, score)
	if err != nil {
		t.Fatal(err)
	}
	for r := range all.Importances[0].Repeats {
		if all.Importances[0].Repeats[r] != again.Importances[0].Repeats[r] {
			t.Errorf("repeat %d: %v alone, %v among others", r, again.Importances[0].Repeats[r], all.Importances[0].Repeats[r])
		}
	}
}

func TestBadRequestsAreErrors(t *testing.T) {
	one := func(*tensor.Matrix) (float64, error) { return 1, nil }
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	broken := errors.New("broken")
	tests := []struct {
		name  string
		ctx   context.Context
		x     *tensor.Matrix
		group Group
		o     Options
		score func(*tensor.Matrix) (float64, error)
	}{
		{"no rows", context.Background(), tensor.New(0, 2), Group{"a", 0, 1}, Options{}, one},
		{"negative repeats", context.Background(), tensor.New(2, 2), Group{"a", 0, 1}, Options{Repeats: -1}, one},
		{"columns outside", context.Background(), tensor.New(2, 2), Group{"a", 1, 2}, Options{}, one},
		{"stopped", stopped, tensor.New(2, 2), Group{"a", 0, 1}, Options{}, one},
		{"a score that fails", context.Background(), tensor.New(2, 2), Group{"a", 0, 1}, Options{}, func(*tensor.Matrix) (float64, error) { return 0, broken }},
	}
	for _, tt := range tests {
		if _, err := Permutation(tt.ctx, tt.x, []Group{tt.group}, tt.o, tt.score); err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}

func TestModelIsExplainedByItsRawColumns(t *testing.T) {
	tab := &table.Table{RowNumbers: []int64{0, 1, 2, 3}, Columns: []*table.Column{
		{Name: "size", Kind: table.Number, Numbers: []float64{1, 2, 3, math.NaN()}},
		{Name: "same", Kind: table.Number, Numbers: []float64{1, 1, 1, 1}},
		{Name: "colour", Kind: table.Category, Levels: []string{"blue", "red"}, Codes: []int32{0, 1, 1, 0}},
		{Name: "class", Kind: table.Number, Numbers: []float64{1, 2, 1, 2}},
	}}
	f, err := transform.Default(tab, "class").Fit(tab, nil)
	if err != nil {
		t.Fatal(err)
	}
	labels, err := transform.FitLabels(tab, "class", nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := nn.New(nn.MLP{Inputs: f.Inputs(), Outputs: len(labels.Classes), Hidden: []int{4}}.Spec(), 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.New(labels, f, n, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := tensor.NewEngine("", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	r, err := Model(context.Background(), m, e, tab, nil, Options{Repeats: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Importances) != 2 || r.Importances[0].Name != "size" || r.Importances[1].Name != "colour" || r.Rows != 4 {
		t.Errorf("got %+v, want size and colour on 4 rows", r)
	}
}
