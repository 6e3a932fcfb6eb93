package sweep

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/numeric"
)

// config reads a configuration in JSON.
func config(t *testing.T, text string) solera.Fields {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var f map[string]any
	if err := d.Decode(&f); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f
}

func TestConfigurationsThatMakeNoSense(t *testing.T) {
	for _, tt := range []struct{ config, want string }{
		{`{}`, "method: invalid: it is missing; want grid, random or bayes"},
		{`{"method":"genetic","parameters":{"a":{"value":1}}}`, `method "genetic": invalid: want grid, random or bayes`},
		{`{"method":7}`, `method "7"`},
		{`{"method":["grid"]}`, "method: invalid: it is a list of 1, want a text"},
		{`{"method":"random"}`, "parameters: invalid: it is missing"},
		{`{"method":"random","parameters":[1]}`, "parameters: invalid: it is a list of 1"},
		{`{"method":"random","parameters":{}}`, "parameters: invalid: none is given"},
		{`{"method":"random","parameters":{"a":3}}`, `parameter "a": invalid: it is "3"; write {values: […]}`},
		{`{"method":"random","parameters":{"a":{}}}`, "neither value, values, min and max"},
		{`{"method":"random","parameters":{"a b":{"value":1}}}`, "a name begins with a letter"},
		{`{"method":"random","parameters":{"a":{"min":3,"max":3}}}`, "min 3 is not below max 3"},
		{`{"method":"random","parameters":{"a":{"min":"x","max":3}}}`, `min is the text "x", want a finite number`},
		{`{"method":"random","parameters":{"a":{"min":1,"max":3,"q":2}}}`, `int_uniform has no "q"; it has min, max`},
		{`{"method":"random","parameters":{"a":{"distribution":"zipf"}}}`, `distribution the text "zipf" is not known`},
		{`{"method":"random","parameters":{"a":{"distribution":"uniform","min":0}}}`, "uniform needs max"},
		{`{"method":"random","parameters":{"a":{"distribution":"int_uniform","min":0.5,"max":3}}}`, "want whole numbers"},
		{`{"method":"random","parameters":{"a":{"min":-9007199254740994,"max":3}}}`, "±2⁵³"},
		{`{"method":"random","parameters":{"a":{"distribution":"log_uniform_values","min":0,"max":3}}}`, "a logarithm needs one above 0"},
		{`{"method":"random","parameters":{"a":{"distribution":"log_uniform","min":0,"max":1000}}}`, "beyond what a float64 holds"},
		{`{"method":"random","parameters":{"a":{"distribution":"uniform","min":-1e308,"max":1.7e308}}}`, "too wide"},
		{`{"method":"random","parameters":{"a":{"distribution":"normal","sigma":-1}}}`, "sigma is -1, want 0 or more"},
		{`{"method":"random","parameters":{"a":{"distribution":"q_normal","q":0}}}`, "q is 0, want more than 0"},
		{`{"method":"random","parameters":{"a":{"distribution":"beta","a":0}}}`, "a and b are 0 and 1"},
		{`{"method":"random","parameters":{"a":{"values":[]}}}`, "values is a list of 0"},
		{`{"method":"random","parameters":{"a":{"values":"abc"}}}`, `values is the text "abc"`},
		{`{"method":"random","parameters":{"a":{"values":[1,2],"probabilities":[1]}}}`, "one for each of the 2 values"},
		{`{"method":"random","parameters":{"a":{"values":[1,2],"probabilities":[0.5,0.4]}}}`, "probabilities add up to 0.9"},
		{`{"method":"random","parameters":{"a":{"values":[1,2],"probabilities":[1.5,-0.5]}}}`, "want numbers of 0 and more"},
		{`{"method":"random","parameters":{"a":{"parameters":{}}}}`, "want a map with one parameter or more"},
		{`{"method":"grid","parameters":{"a":{"min":0.0,"max":1.0}}}`, "a grid counts through value, values, int_uniform and q_uniform, not uniform"},
		{`{"method":"grid","parameters":{"a":{"values":[1,2],"probabilities":[0.5,0.5]}}}`, "not values with probabilities"},
		{`{"method":"grid","parameters":{"a":{"min":0,"max":100000000},"b":{"min":0,"max":100000000}}}`, "more than 2⁵³ combinations"},
		{`{"method":"bayes","parameters":{"a":{"min":0,"max":9}}}`, "it needs to know what is good"},
		{`{"method":"bayes","metric":{"name":"x"},"parameters":{"a":{"value":1}}}`, "every parameter is a constant"},
		{`{"method":"random","metric":"loss","parameters":{"a":{"value":1}}}`, "write {name: loss, goal: minimize}"},
		{`{"method":"random","metric":{"goal":"minimize"},"parameters":{"a":{"value":1}}}`, "metric: invalid: it has no name"},
		{`{"method":"random","metric":{"name":"x","goal":"min"},"parameters":{"a":{"value":1}}}`, "want minimize or maximize"},
		{`{"method":"random","metric":{"name":"x","target":"1"},"parameters":{"a":{"value":1}}}`, "target is"},
		{`{"method":"random","metric":{"name":"x","goul":1},"parameters":{"a":{"value":1}}}`, `"goul" is not known`},
		{`{"method":"random","run_cap":0,"parameters":{"a":{"value":1}}}`, "run_cap: invalid"},
		{`{"method":"random","run_cap":1.5,"parameters":{"a":{"value":1}}}`, "run_cap: invalid"},
		{`{"method":"random","seed":-1,"parameters":{"a":{"value":1}}}`, "seed: invalid"},
		{`{"method":"random","early_terminate":{"type":"hyperband","min_iter":3},"parameters":{"a":{"value":1}}}`, "it compares trials by a metric"},
		{`{"method":"random","metric":{"name":"x"},"early_terminate":{"type":"envelope"},"parameters":{"a":{"value":1}}}`, "want hyperband"},
		{`{"method":"random","metric":{"name":"x"},"early_terminate":{"type":"hyperband"},"parameters":{"a":{"value":1}}}`, "it needs min_iter, or max_iter and s"},
		{`{"method":"random","metric":{"name":"x"},"early_terminate":{"type":"hyperband","max_iter":9},"parameters":{"a":{"value":1}}}`, "max_iter needs s"},
		{`{"method":"random","metric":{"name":"x"},"early_terminate":{"type":"hyperband","min_iter":3,"eta":1},"parameters":{"a":{"value":1}}}`, "eta is 1, want more than 1"},
		{`{"method":"random","metric":{"name":"x"},"early_terminate":{"type":"hyperband","max_iter":2,"s":2},"parameters":{"a":{"value":1}}}`, "it has no band"},
		{`{"method":"custom"}`, "nobody would choose the trials"},
		{`{"method":"random","metrics":[{"name":"a"},{"name":"b"}],"parameters":{"a":{"value":1}}}`, "several goals at once"},
		{`{"method":"random","controller":{"type":"remote"},"parameters":{"a":{"value":1}}}`, "want {type: cloud} or {type: local}"},
	} {
		_, _, err := Parse(config(t, tt.config))
		if !errors.Is(err, solera.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s\n got %v\nwant … %s …", tt.config, err, tt.want)
		}
	}
	deep := `{"value":1}`
	for range 30 {
		deep = `{"parameters":{"a":` + deep + `}}`
	}
	if _, _, err := Parse(config(t, `{"method":"random","parameters":{"a":`+deep+`}}`)); err == nil || !strings.Contains(err.Error(), "nested more than 16 deep") {
		t.Errorf("31 levels: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	_, warnings, err := Parse(config(t, `{"method":"random","early_terminat":{},"program":"train.py","parameters":{"lr":{"distribution":"log_uniform","min":-9,"max":0}}}`))
	if err != nil || len(warnings) != 2 || !strings.Contains(warnings[0], `"early_terminat" is not known`) || !strings.Contains(warnings[1], "log_uniform_values takes the limits themselves") {
		t.Errorf("got %q, %v", warnings, err)
	}
}

// A grid of a million million combinations is handed out one by one, without
// anything of that size in memory.
func TestGridOfAMillionMillion(t *testing.T) {
	spec, _, err := Parse(config(t, `{"method":"grid","parameters":{"a":{"min":1,"max":1000000},"b":{"min":1,"max":1000000}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := spec.Expected(); got != 1_000_000_000_000 {
		t.Errorf("%d combinations", got)
	}
	last := spec.Space.GridPoint(999_999_999_999)
	if a, _ := last.Float("a"); a != 1e6 {
		t.Errorf("the last is %v", last)
	}
	if at := spec.Space.gridPlace(solera.Fields{"a": 500_000, "b": 7}); at != 499_999*1_000_000+6 {
		t.Errorf("place %d", at)
	}
}

// Bounds written as 1 and 1.0 mean different distributions, and the
// configuration says so once it was read: its JSON does not tell them apart.
func TestDistributionsAreFilledIn(t *testing.T) {
	c := config(t, `{"method":"random","parameters":{"a":{"min":0,"max":4},"b":{"min":0.0,"max":4.0},"c":{"min":0,"max":4.0},"d":{"parameters":{"e":{"values":[1]}}}}}`)
	first, _, err := Parse(c)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := c.MarshalJSON()
	again, _, err := Parse(config(t, string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"int_uniform", "uniform", "uniform", "categorical"} {
		if first.Space[i].Kind != want || again.Space[i].Kind != want {
			t.Errorf("%s is %s and later %s, want %s", first.Space[i].Name(), first.Space[i].Kind, again.Space[i].Kind, want)
		}
	}
}

// drawParameter draws a parameter that makes sense.
func drawParameter(rt *rapid.T) map[string]any {
	low := rapid.Float64Range(-100, 100).Draw(rt, "low")
	width := rapid.Float64Range(0.001, 100).Draw(rt, "width")
	bounds := map[string]any{"min": low, "max": low + width}
	positive := map[string]any{"min": math.Abs(low) + 0.001, "max": math.Abs(low) + 0.001 + width}
	kind := rapid.SampledFrom([]string{"uniform", "q_uniform", "int_uniform", "log_uniform_values", "inv_log_uniform_values", "q_log_uniform_values", "inv_log_uniform", "log_uniform", "normal", "log_normal", "q_normal", "beta", "q_beta", "categorical"}).Draw(rt, "kind")
	switch kind {
	case "uniform", "q_uniform", "normal", "q_normal":
	case "int_uniform":
		n := rapid.IntRange(-1000, 1000).Draw(rt, "n")
		bounds = map[string]any{"min": n, "max": n + rapid.IntRange(1, 1000).Draw(rt, "count")}
	case "log_uniform", "inv_log_uniform":
		bounds = map[string]any{"min": low / 10, "max": low/10 + width/10}
	default:
		bounds = positive
	}
	switch kind {
	case "normal", "q_normal":
		bounds = map[string]any{"mu": low, "sigma": width}
	case "log_normal":
		bounds = map[string]any{"mu": low / 50, "sigma": width / 50}
	case "beta", "q_beta":
		bounds = map[string]any{"a": width, "b": math.Abs(low) + 0.01}
	case "categorical":
		bounds = map[string]any{"values": []any{"a", 1, 2.5, true, nil, []any{1, 2}}[:rapid.IntRange(1, 6).Draw(rt, "values")]}
	}
	if strings.HasPrefix(kind, "q_") {
		bounds["q"] = rapid.SampledFrom([]any{1, 5, 0.25}).Draw(rt, "q")
	}
	bounds["distribution"] = kind
	return bounds
}

func TestQuantileAndCDFInvertEachOther(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		form := drawParameter(rt)
		space, err := parseSpace(map[string]any{"p": form}, func(string) {})
		if err != nil {
			rt.Fatalf("%v: %v", form, err)
		}
		p := space[0]
		u := open(rapid.Float64Range(0, 0.999999).Draw(rt, "u"))
		v := p.Quantile(u)
		c, ok := p.CDF(v)
		if !ok || c < 0 || c > 1 || math.IsNaN(c) {
			rt.Fatalf("%v: CDF of %v, which it drew, is %v, %v", form, v, c, ok)
		}
		x, isNumber := number(v)
		switch {
		case p.Kind == "categorical" || p.Kind == "int_uniform":
			if c < u-1e-9 {
				rt.Fatalf("%v: quantile of %v is %v, whose CDF is only %v", form, u, v, c)
			}
		case !strings.HasPrefix(p.Kind, "q_"):
			// Where the density is next to nothing, or everything, u cannot come back.
			if back := p.Quantile(open(min(c, 1-0x1p-53))); isNumber {
				if y, _ := number(back); !near(x, y, 1e-6) && math.Abs(c-u) > 1e-9 {
					rt.Fatalf("%v: %v gives %v, that gives %v, and that %v", form, u, x, c, y)
				}
			}
		default:
			if r := math.Abs(math.Remainder(x, p.Q)); r > 1e-9*max(1, math.Abs(x)) {
				rt.Fatalf("%v: %v is no multiple of %v", form, x, p.Q)
			}
		}
		if p.Min < p.Max && !strings.HasPrefix(p.Kind, "q_") && !strings.HasSuffix(p.Kind, "log_uniform") && (x < p.Min || x > p.Max) {
			rt.Fatalf("%v: %v is out of bounds", form, x)
		}
	})
}

// A trial's params have each parameter at its place, and adopted runs are found
// in a grid where they belong.
func TestSpacesKeepTheirShape(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		inner := map[string]any{}
		for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}`), 1, 4, rapid.ID).Draw(rt, "names") {
			inner[name] = drawParameter(rt)
		}
		section := map[string]any{"nested": map[string]any{"parameters": inner}, "fixed": map[string]any{"value": map[string]any{"k": 1}}}
		space, err := parseSpace(section, func(string) {})
		if err != nil {
			rt.Fatal(err)
		}
		params := space.Random(numeric.NewStream(rapid.Uint64().Draw(rt, "seed"), "suggest", 1))
		at, ok := space.searched().cube(params)
		if !ok || len(at) != len(inner) || slices.ContainsFunc(at, func(u float64) bool { return !(u >= 0 && u <= 1) }) {
			rt.Fatalf("%v is at %v, %v", params, at, ok)
		}
		if len(params) != 2 || len(params["nested"].(map[string]any)) != len(inner) {
			rt.Fatalf("params %v of %v", params, section)
		}
	})
}

// Where the best is known, Bayesian search comes closer to it than as many
// random trials do.
func TestBayesFindsWhatRandomMisses(t *testing.T) {
	spec, _, err := Parse(config(t, `{"method":"bayes","metric":{"name":"loss"},"parameters":{
		"x":{"min":0.0,"max":1.0},"y":{"min":0.0,"max":1.0},"n":{"min":1,"max":16}}}`))
	if err != nil {
		t.Fatal(err)
	}
	loss := func(p solera.Fields) float64 {
		x, _ := p.Float("x")
		y, _ := p.Float("y")
		n, _ := p.Float("n")
		return (x-0.3)*(x-0.3) + (y-0.8)*(y-0.8) + (n-11)*(n-11)/100
	}
	wins := 0
	for seed := range uint64(10) {
		var seen []Observation
		best := [2]float64{math.Inf(1), math.Inf(1)}
		for n := range uint64(25) {
			guess := spec.Space.Bayes(numeric.NewStream(seed, "suggest", n), seen)
			seen = append(seen, Observation{Params: guess, Value: loss(guess)})
			best[0] = min(best[0], loss(guess))
			best[1] = min(best[1], loss(spec.Space.Random(numeric.NewStream(seed, "random", n))))
		}
		if best[0] < best[1] {
			wins++
		}
	}
	if wins < 8 {
		t.Errorf("better than random in %d of 10 searches", wins)
	}
}

// Values that say nothing, equal values and many values do not upset it.
func TestBayesTakesAnything(t *testing.T) {
	space, err := parseSpace(map[string]any{"x": map[string]any{"min": 0.5, "max": 1.5}, "c": map[string]any{"values": []any{"a", "b"}}}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	draw := func(n uint64) *numeric.Stream { return numeric.NewStream(9, "suggest", n) }
	at := func(x float64) solera.Fields { return solera.Fields{"x": x, "c": "a"} }
	many := make([]Observation, 300)
	for i := range many {
		many[i] = Observation{Params: at(0.5 + float64(i)/300), Value: float64(i%7) - 3}
	}
	pending := slices.Clone(many)
	for i := range pending[:200] {
		pending[i].Pending = true
	}
	for name, seen := range map[string][]Observation{
		"nothing":            nil,
		"not a number":       {{Params: at(1), Value: math.NaN()}, {Params: at(0.7), Value: math.Inf(1)}},
		"one point twice":    {{Params: at(1), Value: 1}, {Params: at(1), Value: 2}, {Params: at(1), Value: 2}},
		"one value":          {{Params: at(1), Value: 1}, {Params: at(0.6), Value: 1}, {Params: at(0.9), Value: 1}},
		"huge values":        {{Params: at(1), Value: 1e300}, {Params: at(0.6), Value: -1e300}, {Params: at(0.9), Value: 1}},
		"foreign params":     {{Params: solera.Fields{"z": 1}, Value: 1}, {Params: at(5), Value: 1}, {Params: solera.Fields{"x": "?", "c": 7}, Value: 3}},
		"many":               many,
		"many of them alive": pending,
	} {
		got := space.Bayes(draw(1), seen)
		if _, ok := space.cube(got); !ok {
			t.Errorf("%s: suggests %v", name, got)
		}
		again, _ := space.Bayes(draw(1), seen).MarshalJSON()
		if raw, _ := got.MarshalJSON(); string(raw) != string(again) {
			t.Errorf("%s: %s, and asked again %s", name, raw, again)
		}
	}
}

func TestFailedTrialsAreImputed(t *testing.T) {
	values := func(best, worst, last float64) *Values {
		return &Values{Count: 3, Best: best, Worst: worst, Last: last}
	}
	trials := []Trial{
		{State: solera.Finished, Values: values(1, 5, 2)},
		{State: solera.Failed, Values: values(2, 9, 3)},
		{State: solera.Crashed},
		{State: solera.Running, Values: values(0.5, 7, 6)},
		{State: solera.Killed, Stop: "hyperband", Values: values(4, 6, 5)},
		{State: solera.Pending},
	}
	for _, tt := range []struct {
		m    Metric
		want []float64 // NaN = pending
	}{
		{Metric{Name: "loss", Impute: "worst"}, []float64{1, 9, 9, math.NaN(), 4, math.NaN()}},
		{Metric{Name: "loss", Impute: "latest"}, []float64{1, 3, 0, math.NaN(), 4, math.NaN()}},
		{Metric{Name: "loss", Impute: "best", WhileRunning: "latest"}, []float64{1, 2, 0, 0.5, 4, math.NaN()}},
	} {
		for i, o := range observations(tt.m, trials) {
			if o.Pending != math.IsNaN(tt.want[i]) || !o.Pending && o.Value != tt.want[i] {
				t.Errorf("%+v, trial %d: %+v, want %v", tt.m, i, o, tt.want[i])
			}
		}
	}
	up := observations(Metric{Name: "acc", Maximize: true, Impute: "worst"}, []Trial{{State: solera.Finished, Values: values(0.9, 0.2, 0.8)}, {State: solera.Failed}})
	if up[0].Value != -0.9 || up[1].Value != -0.2 {
		t.Errorf("a higher value is better: %+v", up)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"method":"grid","parameters":{"a":{"values":[1,2]},"b":{"min":1,"max":3}}}`)
	f.Add(`{"method":"bayes","metric":{"name":"x","goal":"maximize","target":0.9},"early_terminate":{"type":"hyperband","min_iter":2},"parameters":{"a":{"distribution":"q_log_uniform_values","min":1e-3,"max":1}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var c map[string]any
		if d.Decode(&c) != nil {
			return
		}
		spec, _, err := Parse(c)
		if err != nil {
			if !errors.Is(err, solera.ErrInvalid) {
				t.Errorf("%s: %v", text, err)
			}
			return
		}
		params := spec.Space.Random(numeric.NewStream(1, "suggest", 1))
		if _, err := params.MarshalJSON(); err != nil {
			t.Errorf("%s: params %v", text, err)
		}
		if size := spec.Expected(); spec.Method == Grid && size > 0 {
			spec.Space.GridPoint(size - 1)
		}
	})
}
