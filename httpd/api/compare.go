package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/eval"
	"github.com/solera-ml/solera/tracking"
)

// Comparison is what runs have in common, and what not.
type Comparison struct {
	Runs     []RunRow          `json:"runs"`
	Sections []ComparedSection `json:"sections"`
	Tests    []PairedTest      `json:"tests"`
}

// A ComparedSection is one side of the runs: run, params, summary, metrics,
// inputs, outputs, code, environment.
type ComparedSection struct {
	Name string        `json:"name"`
	Rows []ComparedRow `json:"rows"`
}

// A PairedTest sets two models against each other on the same rows.
type PairedTest struct {
	Part  string  `json:"part"` // "val" or "test"
	A     string  `json:"a"`    // IDs of the runs
	B     string  `json:"b"`
	N     int     `json:"n"`      // rows
	OnlyA int     `json:"only_a"` // rows on which a alone is right
	OnlyB int     `json:"only_b"`
	P     float64 `json:"p"`    // exact McNemar
	Tied  bool    `json:"tied"` // these rows cannot tell them apart: p > 0.05
}

// What is compared at once.
const (
	mostCompared = 50
	mostTested   = 12 // runs: every pair is a test
)

func (s *service) compareRoutes() {
	add(s, route{method: http.MethodGet, path: "/compare", id: "compare-runs", summary: "Set runs side by side", tag: "runs", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InWorkspace
			Runs []string `query:"runs" required:"true" minItems:"2" maxItems:"50" doc:"IDs of runs"`
		},
		) (*answer[Comparison], error) {
			return answered(s.compare(ctx, t, in.Runs))
		})
}

func (s *service) compare(ctx context.Context, t *tracking.Tracker, runs []string) (Comparison, error) {
	out := Comparison{Runs: []RunRow{}, Sections: []ComparedSection{}, Tests: []PairedTest{}}
	if len(runs) < 2 || len(runs) > mostCompared {
		return out, invalid("query.runs", len(runs), "name 2 to %d runs", mostCompared)
	}
	for i, id := range runs {
		if err := exact(ctx, t, id); err != nil {
			return out, wrong(fmt.Sprintf("query.runs[%d]", i), id, err)
		}
	}
	c, err := t.Compare(ctx, runs)
	if err != nil {
		return out, err
	}
	for _, r := range c.Runs {
		out.Runs = append(out.Runs, rowOf(r, nil))
	}
	for _, section := range c.Sections {
		one := ComparedSection{Name: section.Name, Rows: []ComparedRow{}}
		for _, r := range section.Rows {
			row := ComparedRow{Key: r.Key, Same: r.Same, Values: []any{}, Differences: make([]*Number, len(r.Differences))}
			for _, v := range r.Values {
				if x, ok := v.(float64); ok {
					v = Number(x)
				}
				row.Values = append(row.Values, v)
			}
			for i, d := range r.Differences {
				if d != nil {
					n := Number(*d)
					row.Differences[i] = &n
				}
			}
			one.Rows = append(one.Rows, row)
		}
		out.Sections = append(out.Sections, one)
	}
	out.Tests, err = s.paired(ctx, t, runs)
	return out, err
}

// paired tests every pair of runs that have models with answers on the same
// rows.
func (s *service) paired(ctx context.Context, t *tracking.Tracker, runs []string) ([]PairedTest, error) {
	tests := []PairedTest{}
	if len(runs) > mostTested {
		return tests, nil
	}
	models := make([]*scored, len(runs))
	for i, id := range runs {
		_, m, err := s.evaluated(ctx, t, id)
		switch {
		case errors.Is(err, solera.ErrNotFound):
			continue // it trained nothing, or its files are gone
		case err != nil:
			return nil, err
		}
		models[i] = m
	}
	for _, part := range []string{"val", "test"} {
		for i, a := range models {
			for j := i + 1; j < len(models); j++ {
				if b := models[j]; a != nil && b != nil && runs[i] != runs[j] {
					if test, ok := pairedOn(part, a, b); ok {
						test.A, test.B = runs[i], runs[j]
						tests = append(tests, test)
					}
				}
			}
		}
	}
	return tests, nil
}

func pairedOn(part string, a, b *scored) (PairedTest, bool) {
	x, y := a.parts[part], b.parts[part]
	if x == nil || y == nil || !slices.Equal(x.rows, y.rows) || !slices.Equal(a.evaluation.Classes, b.evaluation.Classes) || !slices.Equal(x.truth, y.truth) {
		return PairedTest{}, false
	}
	test := PairedTest{Part: part, N: len(x.rows)}
	for i := range x.rows {
		right, other := x.predicted[i] == x.truth[i], y.predicted[i] == y.truth[i]
		switch {
		case right && !other:
			test.OnlyA++
		case other && !right:
			test.OnlyB++
		}
	}
	test.P = eval.McNemar(test.OnlyA, test.OnlyB)
	test.Tied = test.P > eval.Significance
	return test, true
}
