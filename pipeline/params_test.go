package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
)

// recordOf returns a run as the store gives it back: its params went through
// their JSON.
func recordOf(t fataler, stage string, params solera.Fields, project string) solera.Run {
	b, err := params.MarshalJSON()
	if err != nil {
		t.Fatalf("params of %s: %v", stage, err)
	}
	run := solera.Run{ID: "r1", Project: project, Stage: stage, Solera: "v0.9"}
	if err := json.Unmarshal(b, &run.Params); err != nil {
		t.Fatalf("params of %s: %v", stage, err)
	}
	return run
}

type fataler interface{ Fatalf(string, ...any) }

// returns checks that the params of each stage lead to a configuration that
// has the same.
func returns(t fataler, c *Config) {
	text := func(f solera.Fields) string {
		b, err := f.MarshalJSON()
		if err != nil {
			t.Fatalf("%v", err)
		}
		return string(b)
	}
	again := func(stage string, params map[string]any, inputs ...string) *Config {
		back, err := ConfigOf(recordOf(t, stage, params, c.Project), inputs...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", stage, err, text(params))
		}
		return back
	}
	same := func(stage string, want, got map[string]any) {
		if diff := cmp.Diff(text(want), text(got)); diff != "" {
			t.Fatalf("%s comes back as something else: %s", stage, diff)
		}
	}
	load := c.LoadParams()
	load["source_digest"] = "sha256:00"
	back := again(Load, load)
	same(Load, c.LoadParams(), back.LoadParams())
	if back.RawName() != c.RawName() {
		t.Fatalf("raw data is called %s, want %s", back.RawName(), c.RawName())
	}
	back = again(Preprocess, c.PreprocessParams(), c.RawName())
	same(Preprocess, c.PreprocessParams(), back.PreprocessParams())
	back = again(Build, c.BuildParams(), c.PreprocessName())
	same(Build, c.BuildParams(), back.BuildParams())
	for i := range c.Experiments {
		back = again(Train, c.TrainParams(i), c.ModelName(), c.PreprocessName())
		same(Train, c.TrainParams(i), back.TrainParams(0))
		if back.TrainedName(0) != c.TrainedName(i) || back.ModelName() != c.ModelName() {
			t.Fatalf("experiment %d makes %s of %s, want %s of %s", i, back.TrainedName(0), back.ModelName(), c.TrainedName(i), c.ModelName())
		}
	}
}

func TestParamsLeadBackToTheConfiguration(t *testing.T) {
	returns(t, parse(t, wineYAML))
	rapid.Check(t, func(t *rapid.T) {
		src := drawConfig(t)
		c, err := Parse("solera.yaml", []byte(src))
		if err != nil {
			t.Fatalf("the test draws what is refused: %v\n%s", err, src)
		}
		returns(t, c)
	})
}

// drawConfig draws a solera.yaml that says something, and often much.
func drawConfig(t *rapid.T) string {
	word := rapid.StringMatching(`[a-z][a-z0-9_ é:#'"{}\\,\[\]-]{0,12}`)
	maybe := func(what string) bool { return rapid.Bool().Draw(t, what) }
	number := func(what string, low, high float64) float64 {
		return rapid.OneOf(rapid.Float64Range(low, high), rapid.Just(low), rapid.Just(high)).Draw(t, what)
	}
	inside := func(what string) float64 { return number(what, 1e-9, 1-1e-9) }
	whole := func(what string) int { return rapid.IntRange(1, 9_000_000).Draw(t, what) }
	train := func(what string, epochs int) map[string]any {
		m := map[string]any{"epochs": epochs}
		if maybe(what + " optimizer") {
			m["optimizer"] = rapid.SampledFrom([]any{
				"adam", "sgd",
				map[string]any{"adamw": map[string]any{"beta1": inside("beta1"), "weight_decay": number("decay", 0, 1000)}},
				map[string]any{"sgd": map[string]any{"momentum": inside("momentum"), "nesterov": true}},
				map[string]any{"rmsprop": map[string]any{"alpha": inside("alpha"), "eps": 1e-300}},
			}).Draw(t, "optimizer")
		}
		if maybe(what + " schedule") {
			m["schedule"] = rapid.SampledFrom([]any{
				"cosine",
				map[string]any{"multistep": map[string]any{"milestones": []int{1, 2, whole("milestone") + 2}}},
				map[string]any{"step": map[string]any{"step_size": whole("step"), "gamma": inside("gamma")}},
				map[string]any{"one_cycle": map[string]any{"max_lr": number("max_lr", 0, 1000), "div_factor": number("div", 1, 1e12)}},
				map[string]any{"reduce_on_plateau": map[string]any{"patience": 0, "threshold": 0}},
			}).Draw(t, "schedule")
		}
		if maybe(what + " rest") {
			m["learning_rate"] = number("rate", math.SmallestNonzeroFloat64, 1000)
			m["batch_size"] = whole("batch")
			m["clip_norm"] = number("clip", 0, 1e30)
			m["loss"] = map[string]any{"label_smoothing": inside("smoothing"), "focal": number("focal", 0, 100)}
			m["class_weights"] = rapid.SampledFrom([]any{"none", "balanced", map[string]any{word.Draw(t, "class"): number("weight", 1e-9, 1e30)}, map[string]any{}}).Draw(t, "weights")
			m["early_stopping"] = rapid.SampledFrom([]any{"off", map[string]any{"patience": whole("patience"), "min_delta": inside("delta")}}).Draw(t, "early")
		}
		return m
	}
	data := map[string]any{"source": rapid.SampledFrom([]string{"a.csv", "sample:wine", "./x y/*.parquet"}).Draw(t, "source"), "target": "t!" + word.Draw(t, "target")}
	file := map[string]any{"data": data, "seed": rapid.Uint64().Draw(t, "seed")}
	if maybe("data") {
		data["ignore"] = rapid.SliceOfN(word, 0, 3).Draw(t, "ignore")
		data["missing_values"] = rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "missing")
		data["types"] = map[string]any{word.Draw(t, "column"): rapid.SampledFrom([]string{"number", "category", "boolean", "date"}).Draw(t, "kind")}
		data["delimiter"] = rapid.SampledFrom([]string{"auto", "tab", ";", " ", "|", "\t", "é"}).Draw(t, "delimiter")
		split := map[string]any{"train": 0.5, "val": 0.25, "test": 0.25}
		switch rapid.IntRange(0, 3).Draw(t, "split") {
		case 0:
			split["group"] = word.Draw(t, "group")
		case 1:
			split["time"] = word.Draw(t, "time")
		case 2:
			split["stratify"] = false
		}
		data["split"] = split
	}
	if maybe("preprocess") {
		chain := rapid.SampledFrom([]any{
			[]any{},
			[]any{"standardize"},
			[]any{map[string]any{"impute": "mean"}, "standardize"},
			[]any{map[string]any{"impute": map[string]any{"strategy": "constant", "value": number("value", -1e300, 1e300)}}},
		})
		file["preprocess"] = map[string]any{"numeric": chain.Draw(t, "numeric"), "columns": map[string]any{word.Draw(t, "chained"): chain.Draw(t, "chain")}}
	}
	if maybe("model") {
		model := map[string]any{"activation": rapid.SampledFrom([]string{"gelu", "tanh"}).Draw(t, "activation"), "dropout": number("dropout", 0, 0.999), "residual": maybe("residual")}
		if maybe("layer norm") {
			model["layer_norm"] = true
		}
		model["layers"] = rapid.SliceOfN(rapid.SampledFrom([]any{
			8, 8, 16, map[string]any{"units": 8, "batch_norm": false}, map[string]any{"units": 16, "layer_norm": true, "dropout": 0}, map[string]any{"units": 1_000_000, "activation": "selu"},
		}), 0, 5).Draw(t, "layers")
		file["model"] = model
	}
	if maybe("train") {
		file["train"] = train("train", 10)
	}
	var list []any
	for i := range rapid.IntRange(0, 3).Draw(t, "experiments") {
		e := train(fmt.Sprint("experiment ", i), whole("epochs"))
		e["name"] = fmt.Sprint("e", i)
		list = append(list, e)
	}
	if list != nil {
		file["experiments"] = list
	}
	b, err := solera.Fields(file).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParamsOfOtherVersionsAreRefused(t *testing.T) {
	c := parse(t, wineYAML)
	for name, test := range map[string]struct {
		stage  string
		params solera.Fields
		change func(solera.Fields)
		says   string
	}{
		"a key too many":      {Train, c.TrainParams(0), func(p solera.Fields) { p["clip_value"] = 1 }, `unknown key "clip_value"`},
		"a key too few":       {Train, c.TrainParams(0), func(p solera.Fields) { delete(p, "clip_norm") }, "clip_norm"},
		"an unknown choice":   {Train, c.TrainParams(0), func(p solera.Fields) { p["optimizer"] = "lion" }, `"lion"`},
		"an unknown argument": {Train, c.TrainParams(0), func(p solera.Fields) { p["optimizer_options"].(map[string]any)["foreach"] = true }, `foreach`},
		"no options":          {Train, c.TrainParams(0), func(p solera.Fields) { delete(p, "optimizer_options") }, "optimizer_options.beta1"},
		"no section":          {Build, c.BuildParams(), func(p solera.Fields) { delete(p, "layers") }, "layers"},
		"no seed":             {Build, c.BuildParams(), func(p solera.Fields) { delete(p, "seed") }, "seed"},
		"a value of another kind": {
			Load, c.LoadParams(), func(p solera.Fields) { p["source"] = []any{"a.csv"} }, "data.source",
		},
		"no target":    {Preprocess, c.PreprocessParams(), func(p solera.Fields) { delete(p, "not_features") }, "params"},
		"nothing":      {Preprocess, nil, func(solera.Fields) {}, ""},
		"not a stage":  {"add", solera.Fields{"source": "x"}, func(solera.Fields) {}, `"add" is no stage`},
		"out of range": {Train, c.TrainParams(0), func(p solera.Fields) { p["epochs"] = -1 }, "epochs"},
	} {
		t.Run(name, func(t *testing.T) {
			params := solera.Fields{}
			for k, v := range test.params {
				params[k] = v
			}
			test.change(params)
			_, err := ConfigOf(recordOf(t, test.stage, params, c.Project))
			var fault *solera.InputError
			if !errors.As(err, &fault) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %v, want a fault that says %s", err, test.says)
			}
			if slices.Contains(Stages(), test.stage) && !strings.Contains(fault.Hint, "v0.9") {
				t.Errorf("hint %q, want the version that recorded it", fault.Hint)
			}
		})
	}
}
