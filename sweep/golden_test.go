package sweep

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/numeric"
)

// The numbers of testdata/golden.json are those of the published package
// sweeps, SciPy and scikit-learn: testdata/golden.py makes them.
func golden(t *testing.T) (g struct {
	Quantiles []struct {
		Form   solera.Fields
		U      []float64
		Values []any
		CDF    []float64
	}
	Grids []struct {
		Parameters solera.Fields
		Order      []solera.Fields
	}
	Hyperbands []struct {
		Metric solera.Fields
		Early  solera.Fields `json:"early_terminate"`
		Runs   []struct {
			State   solera.RunState
			History []float64
			Stop    bool
		}
	}
	Processes []struct {
		X, At, Pending           [][]float64
		Y, Mean, SD, Chosen      []float64
		Length, Likelihood, Gain float64
	}
},
) {
	t.Helper()
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&g); err != nil {
		t.Fatal(err)
	}
	return g
}

// near reports whether a and b agree to a relative difference.
func near(a, b, tolerance float64) bool {
	return a == b || math.Abs(a-b) <= tolerance*max(math.Abs(a), math.Abs(b))
}

func one(t *testing.T, form solera.Fields) Parameter {
	t.Helper()
	space, err := parseSpace(map[string]any{"p": map[string]any(form)}, func(string) {})
	if err != nil {
		t.Fatalf("%v: %v", form, err)
	}
	return space[0]
}

func TestDistributionsAgreeWithSciPy(t *testing.T) {
	for _, g := range golden(t).Quantiles {
		p := one(t, g.Form)
		for i, u := range g.U {
			got, want := p.Quantile(u), g.Values[i]
			x, isNumber := number(want)
			y, _ := number(got)
			if a, _ := canonical(got); !isNumber {
				if b, _ := canonical(want); a != b {
					t.Errorf("%v: quantile of %v is %v, want %v", p.Kind, u, got, want)
				}
				continue
			}
			if !near(y, x, 1e-10) && math.Abs(x-y) > 1e-15 {
				t.Errorf("%v: quantile of %v is %v, want %v", p.Kind, u, y, x)
			}
			if g.CDF != nil {
				if c, ok := p.CDF(want); !ok || math.Abs(c-g.CDF[i]) > 1e-12 {
					t.Errorf("%v: CDF of %v is %v, want %v", p.Kind, want, c, g.CDF[i])
				}
			}
		}
	}
}

func TestGridsCountAsTheReferenceDoes(t *testing.T) {
	for _, g := range golden(t).Grids {
		space, err := parseSpace(g.Parameters, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		size, err := space.GridSize()
		if err != nil || size != int64(len(g.Order)) {
			t.Errorf("%v: %d combinations, %v; want %d", g.Parameters, size, err, len(g.Order))
			continue
		}
		for i, want := range g.Order {
			got := space.GridPoint(int64(i))
			a, _ := got.MarshalJSON()
			b, _ := want.MarshalJSON()
			if string(a) != string(b) {
				t.Errorf("combination %d is %s, want %s", i, a, b)
			}
			if at := space.gridPlace(got); at != int64(i) {
				t.Errorf("%s is found at %d, want %d", a, at, i)
			}
		}
	}
}

func TestHyperbandStopsWhomTheReferenceStops(t *testing.T) {
	stopped := 0
	for i, g := range golden(t).Hyperbands {
		h, err := parseHyperband(g.Early)
		if err != nil {
			t.Fatal(err)
		}
		sign := 1.0
		if g.Metric.Text("goal") == "maximize" {
			sign = -1
		}
		var all []standing
		for _, r := range g.Runs {
			history := slices.Clone(r.History)
			st := standing{best: math.Inf(1)}
			for k := range history {
				history[k] *= sign
				st.best = min(st.best, history[k])
			}
			st.bands = h.at(history)
			all = append(all, st)
		}
		for k, r := range g.Runs {
			_, _, stop := h.tooBad(all[k], all)
			if stop = stop && r.State == solera.Running; stop != r.Stop {
				t.Errorf("case %d, run %d: stopped %v, want %v; %v", i, k, stop, r.Stop, g)
			}
			if stop {
				stopped++
			}
		}
	}
	if stopped == 0 {
		t.Error("no case stops a run, so nothing was compared")
	}
}

func TestProcessAgreesWithScikitLearn(t *testing.T) {
	for i, g := range golden(t).Processes {
		y := standardize(g.Y)
		gp := fit(g.X, y)
		// scikit-learn's optimizer stops earlier than ours.
		if !near(gp.length, g.Length, 1e-3) || gp.proof < g.Likelihood-1e-9 {
			t.Errorf("case %d: length %v and likelihood %v, want %v and %v", i, gp.length, gp.proof, g.Length, g.Likelihood)
		}
		same := fitWith(g.X, y, g.Length)
		if !near(same.proof, g.Likelihood, 1e-6) {
			t.Errorf("case %d: likelihood at %v is %v, want %v", i, g.Length, same.proof, g.Likelihood)
		}
		best, most := -1, math.Inf(-1)
		for k, at := range g.At {
			mean, sd := same.predict(at)
			if math.Abs(mean-g.Mean[k]) > 1e-5 || math.Abs(sd-g.SD[k]) > 1e-5 {
				t.Errorf("case %d, point %d: %v ± %v, want %v ± %v", i, k, mean, sd, g.Mean[k], g.SD[k])
			}
			if gain := expectedImprovement(mean, sd, slices.Min(y)); gain > most {
				best, most = k, gain
			}
		}
		if len(g.Pending) > 0 {
			continue // the reference fits its process anew to what it imagines
		}
		if !slices.Equal(g.At[best], g.Chosen) || !near(most, g.Gain, 1e-3) {
			t.Errorf("case %d: chose %v with %v, want %v with %v", i, g.At[best], most, g.Chosen, g.Gain)
		}
	}
}

// The same seed gives the same trials on every processor and every release:
// these were written down once.
func TestSuggestionsStay(t *testing.T) {
	spec, _, err := Parse(solera.Fields{
		"method": Bayes, "metric": map[string]any{"name": "loss"},
		"parameters": map[string]any{
			"lr":     map[string]any{"distribution": "log_uniform_values", "min": 1e-5, "max": 0.1},
			"units":  map[string]any{"min": 8, "max": 256},
			"optim":  map[string]any{"values": []any{"adam", "sgd"}},
			"decay":  map[string]any{"distribution": "beta", "a": 2.0, "b": 9.0},
			"warmup": map[string]any{"distribution": "q_normal", "mu": 50, "sigma": 10, "q": 5},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	draw := func(n uint64) *numeric.Stream { return numeric.NewStream(42, "suggest", n) }
	var seen []Observation
	for n := range uint64(6) {
		params := spec.Space.Random(draw(n))
		lr, _ := params.Float("lr")
		units, _ := params.Float("units")
		seen = append(seen, Observation{Params: params, Value: math.Abs(lr-0.01)*10 + units/1000})
	}
	seen[5].Pending = true
	for name, got := range map[string]solera.Fields{
		`{"decay":0.22526673850403223,"lr":0.0004426130581017419,"optim":"sgd","units":89,"warmup":30}`: spec.Space.Random(draw(1)),
		`{"decay":0.11108260461222758,"lr":0.00045697398362463726,"optim":"sgd","units":9,"warmup":45}`: spec.Space.Bayes(draw(7), seen),
	} {
		if raw, _ := got.MarshalJSON(); string(raw) != name {
			t.Errorf("got %s, want %s", raw, name)
		}
	}
}
