package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
)

const wineYAML = `project: wine-classification
seed: 42
data:
  source: sample:wine
  target: class
  split: {train: 0.8, val: 0.1, test: 0.1, stratify: true}
preprocess:
  numeric: [{impute: median}, standardize]
  categorical: [{impute: most_frequent}, one_hot]
model:
  name: WineClassifier
  layers: [64, 32]
  activation: relu
  batch_norm: true
  dropout: 0.3
train:
  schedule: {reduce_on_plateau: {factor: 0.5, patience: 10}}
  early_stopping: off
experiments:
  - {name: exp001, epochs: 100, batch_size: 16, learning_rate: 0.001, optimizer: adam}
  - {name: exp002, epochs: 150, batch_size: 16, learning_rate: 0.0005, optimizer: adam}
  - {name: exp003, epochs: 200, batch_size: 32, learning_rate: 0.01, optimizer: {sgd: {momentum: 0.9}}}
tracking: local
`

func parse(t *testing.T, src string) *Config {
	t.Helper()
	c, err := Parse("solera.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWineConfigResolves(t *testing.T) {
	c := parse(t, wineYAML)
	names := []string{c.RawName(), c.PreprocessName(), c.ModelName(), c.TrainedName(0), c.TrainedName(2)}
	want := []string{"wine-raw", "wine-preprocess", "WineClassifier", "trained-wine-model-exp001", "trained-wine-model-exp003"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("artifact names: %s", diff)
	}
	if s, ok := c.Sample(); s != "wine" || !ok {
		t.Errorf("sample %q %v", s, ok)
	}
	if got, want := c.Model.Layers, []Layer{
		{Units: 64, Activation: "relu", BatchNorm: true, Dropout: 0.3},
		{Units: 32, Activation: "relu", BatchNorm: true, Dropout: 0.3},
	}; !cmp.Equal(got, want) {
		t.Errorf("layers %+v, want %+v", got, want)
	}
	e := c.Experiments[2]
	if e.Epochs != 200 || e.BatchSize != 32 || e.LearningRate != 0.01 || e.Optimizer.Kind != "sgd" || e.Optimizer.Momentum != 0.9 {
		t.Errorf("exp003 is %+v", e)
	}
	if s := e.Schedule; s.Kind != "reduce_on_plateau" || s.Factor != 0.5 || s.Patience != 10 || s.Threshold != 1e-4 {
		t.Errorf("the schedule of train does not reach exp003: %+v", s)
	}
	if e.EarlyStopping.Patience != 0 {
		t.Errorf("early stopping is on: %+v", e.EarlyStopping)
	}
}

func TestParamsAreCanonicalAndWriteEveryDefaultOut(t *testing.T) {
	c := parse(t, "data: {source: a.csv, target: y}\nexperiments: [{name: b, learning_rate: 1e-3}]\n")
	for name, params := range map[string]map[string]any{
		"load":       c.LoadParams(),
		"preprocess": c.PreprocessParams(),
		"build":      c.BuildParams(),
		"train":      c.TrainParams(0),
	} {
		got, err := json.MarshalIndent(params, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "params_"+name+".json", append(got, '\n'))
	}
}

// golden compares with a file in testdata; with UPDATE=1 it writes the file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (UPDATE=1 writes it): %s", path, diff)
	}
}

func TestOneLearningRateChangesOneExperimentOnly(t *testing.T) {
	before := parse(t, wineYAML)
	after := parse(t, strings.Replace(wineYAML, "0.0005", "0.0006", 1))
	if !cmp.Equal(before.LoadParams(), after.LoadParams()) || !cmp.Equal(before.BuildParams(), after.BuildParams()) ||
		!cmp.Equal(before.PreprocessParams(), after.PreprocessParams()) {
		t.Error("a learning rate changes a stage before train")
	}
	for i, want := range []bool{true, false, true} {
		if got := cmp.Equal(before.TrainParams(i), after.TrainParams(i)); got != want {
			t.Errorf("experiment %d unchanged: %v, want %v", i, got, want)
		}
	}
}

// How a value is written does not matter, only what it is.
func TestWritingDoesNotChangeParams(t *testing.T) {
	flow := parse(t, wineYAML)
	block := parse(t, "# the same in blocks, in another order\n"+`tracking: "local"
experiments:
- name: exp001
  learning_rate: 1.0e-3
  batch_size: 16
  optimizer: {adam: {}}
- name: 'exp002'
  epochs: 150
  batch_size: 16
  learning_rate: 5e-4
- name: exp003
  epochs: 200
  learning_rate: .01
  optimizer:
    sgd:
      momentum: 0.9
      nesterov: false
train:
  schedule:
    reduce_on_plateau:
      patience: 10
      factor: 0.50
model:
  layers:
    - 64
    - units: 32
      dropout: 0.3
preprocess:
data:
  target: class
  source: "sample:wine"
project: wine-classification
`)
	for i := range flow.Experiments {
		if diff := cmp.Diff(flow.Effective(i), block.Effective(i)); diff != "" {
			t.Errorf("experiment %d: %s", i, diff)
		}
	}
}

func TestDefaultsFollowFromOtherValues(t *testing.T) {
	head := "data: {source: data/sales 2024.csv.gz, target: y}\n"
	c := parse(t, head)
	if c.Project != "sales-2024" || c.Model.Name != "Sales2024Classifier" || len(c.Experiments) != 1 || c.Experiments[0].Name != "exp001" {
		t.Errorf("project %q, model %q, experiments %v", c.Project, c.Model.Name, c.Experiments)
	}
	if c := parse(t, "data: {source: a.csv, target: y, split: {time: when}}\n"); c.Data.Split.Stratify {
		t.Error("a split by time is stratified")
	}
	c = parse(t, head+"model: {layer_norm: true, layers: [8, {units: 8, batch_norm: true, dropout: 0, activation: gelu}], residual: true}\n")
	want := []Layer{
		{Units: 8, Activation: "relu", LayerNorm: true, Dropout: 0.3},
		{Units: 8, Activation: "gelu", BatchNorm: true, Residual: true},
	}
	if diff := cmp.Diff(want, c.Model.Layers); diff != "" {
		t.Errorf("layers: %s", diff)
	}
	// Marks of missing values and column names may look like numbers.
	c = parse(t, "data: {source: a.csv, target: 2020, missing_values: [-999, '?', null, NA], ignore: [1, true]}\n")
	if got := strings.Join(append(c.Data.MissingValues, c.Data.Ignore...), " "); got != "-999 ? null NA 1 true" || c.Data.Target != "2020" {
		t.Errorf("texts %q, target %q", got, c.Data.Target)
	}
	if c := parse(t, head+"preprocess: {numeric: []}\n"); len(c.Preprocess.Numeric) != 0 || len(c.Preprocess.Categorical) == 0 {
		t.Errorf("an empty list of steps gives %v, no list %v", c.Preprocess.Numeric, c.Preprocess.Categorical)
	}
}

func TestTableOptions(t *testing.T) {
	c := parse(t, "data: {source: a.csv, target: y, format: csv, delimiter: tab, types: {a: date}, ignore: [b], missing_values: [-999]}\n")
	want := table.Options{Format: "csv", Delimiter: '\t', Types: map[string]table.Kind{"a": table.Date}, Ignore: []string{"b"}, MissingValues: append(table.DefaultMissing(), "-999")}
	if diff := cmp.Diff(want, c.TableOptions()); diff != "" {
		t.Error(diff)
	}
	if o := parse(t, "data: {source: a.csv, target: y}").TableOptions(); o.Format != "" || o.Delimiter != 0 || o.Types != nil {
		t.Errorf("nothing said, yet %+v", o)
	}
}

// Each row changes the wine configuration in one place and expects the place,
// the finding and the mend.
func TestFaultsPointAtTheValue(t *testing.T) {
	for _, tt := range []struct {
		name     string
		old, new string
		line     int
		col      int
		msg      string
		hint     string
	}{
		{"unknown key at the top", "seed: 42", "sead: 42", 2, 1, `unknown key "sead"`, "did you mean seed?"},
		{"unknown key in a flow map", "stratify: true", "statify: true", 6, 44, `unknown key "statify" in data.split`, "did you mean stratify?"},
		{"unknown key in an experiment", "learning_rate: 0.001", "lr: 0.001", 20, 49, `unknown key "lr" in experiments[0]`, "use one of: name, epochs"},
		{"unknown key spelt otherwise", "batch_size: 32", "batch-size: 32", 22, 33, `unknown key "batch-size"`, "did you mean batch_size?"},
		{"duplicate key", "seed: 42", "seed: 42\nseed: 43", 3, 1, `key "seed" is given twice, first on line 2`, "keep one"},
		{"duplicate key in a flow map", "epochs: 150", "epochs: 150, epochs: 151", 21, 33, `key "epochs" is given twice`, ""},
		{"text for a number", "epochs: 100", "epochs: many", 20, 28, `experiments[0].epochs is the text "many", want a whole number`, ""},
		{"quoted number", "epochs: 100", `epochs: "100"`, 20, 28, `the text "100", want a whole number`, ""},
		{"fraction for a whole number", "epochs: 100", "epochs: 1.5", 20, 28, "the number 1.5, want a whole number", ""},
		{"octal", "epochs: 100", "epochs: 0100", 20, 28, "want a whole number", ""},
		{"list for a map", "model:\n", "model: [1]\nx:\n", 10, 8, "model is a list, want a map", ""},
		{"number for a text", "name: exp001", "name: 1", 20, 12, "experiments[0].name is the number 1, want text", `put it in quotes: name: "1"`},
		{"empty value", "activation: relu", "activation:", 13, 14, "model.activation is empty, want text", "remove the key"},
		{"text for true", "batch_norm: true", "batch_norm: yes", 14, 15, `model.batch_norm is the text "yes", want true or false`, ""},
		{"map for a list", "layers: [64, 32]", "layers: {a: 1}", 12, 11, "model.layers is a map, want a list", ""},
		{"epochs 0", "epochs: 100", "epochs: 0", 20, 28, "experiments[0].epochs is 0, want", ""},
		{"batch 0", "batch_size: 32", "batch_size: 0", 22, 45, "experiments[2].batch_size is 0, want 1 to 1000000000", ""},
		{"learning rate 0", "learning_rate: 0.01", "learning_rate: 0", 22, 64, "learning_rate is 0, want more than 0", ""},
		{"learning rate negative", "learning_rate: 0.01", "learning_rate: -1e-3", 22, 64, "learning_rate is -1e-3, want more than 0", ""},
		{"learning rate NaN", "learning_rate: 0.01", "learning_rate: .nan", 22, 64, "learning_rate is .nan, want", ""},
		{"learning rate infinite", "learning_rate: 0.01", "learning_rate: .inf", 22, 64, "learning_rate is .inf, want", ""},
		{"learning rate overflows", "learning_rate: 0.01", "learning_rate: 1e400", 22, 64, "learning_rate is 1e400, want", ""},
		{"dropout 1", "dropout: 0.3", "dropout: 1", 15, 12, "model.dropout is 1, want at least 0 and less than 1", ""},
		{"layer of 0 units", "[64, 32]", "[64, 0]", 12, 16, "model.layers[1] is 0, want at least 1", ""},
		{"layer of 10^9 units", "[64, 32]", "[1000000000, 32]", 12, 12, "model.layers[0] is 1000000000, want at least 1 and at most 1000000", ""},
		{"layer of 1e30 units", "[64, 32]", "[{units: 1e30}]", 12, 20, "want a whole number", ""},
		{"layer without units", "[64, 32]", "[{dropout: 0}]", 12, 12, "model.layers[0] has no units", "units: 64"},
		{"two norms", "batch_norm: true", "batch_norm: true\n  layer_norm: true", 15, 15, "batch_norm and layer_norm are both on", "choose one"},
		{"fractions do not add up", "val: 0.1", "val: 0.2", 6, 10, "train 0.8 + val 0.2 + test 0.1 = 1.1, want 1", ""},
		{"fraction 0", "val: 0.1", "val: 0", 6, 28, "data.split.val is 0, want more than 0", ""},
		{"two experiments of one name", "name: exp003", "name: exp001", 22, 12, "experiments 1 and 3 are both called exp001", ""},
		{"name unfit for an artifact", "name: exp003", "name: exp/003", 22, 12, `experiment name "exp/003" cannot be part`, "use letters"},
		{"empty name", "name: exp003", `name: ""`, 22, 12, `experiment name "" cannot be part`, ""},
		{"project unfit", "wine-classification", "../wine", 1, 10, `project is "../wine"`, "use letters"},
		{"unknown optimizer", "optimizer: adam}", "optimizer: adm}", 20, 82, `experiments[0].optimizer is "adm", want one of sgd, adam`, "did you mean adam?"},
		{"argument of another optimizer", "{momentum: 0.9}", "{beta1: 0.9}", 22, 88, "sgd has no beta1", "it belongs to adam, adamw"},
		{"unknown argument", "{momentum: 0.9}", "{momentun: 0.9}", 22, 88, `unknown key "momentun" in experiments[2].optimizer`, "did you mean momentum?"},
		{"two optimizers", "{sgd: {momentum: 0.9}}", "{sgd: {}, adam: {}}", 22, 81, "has 2 keys, want the one name", ""},
		{"nesterov without momentum", "{momentum: 0.9}", "{nesterov: true}", 22, 98, "nesterov needs momentum", ""},
		{"unknown schedule", "reduce_on_plateau:", "plateau:", 17, 14, `train.schedule is "plateau"`, ""},
		{"milestones missing", "{reduce_on_plateau: {factor: 0.5, patience: 10}}", "multistep", 17, 13, "multistep has no milestones", ""},
		{"milestones descend", "{reduce_on_plateau: {factor: 0.5, patience: 10}}", "{multistep: {milestones: [5, 3]}}", 17, 42, "milestones do not ascend", ""},
		{"warm-up too long", "patience: 10", "warmup: 100", 17, 55, "100 epochs of warm-up leave nothing of 100", ""},
		{"bad early stopping", "early_stopping: off", "early_stopping: 5", 18, 19, "train.early_stopping is the number 5, want off", "patience: 10"},
		{"unknown step", "standardize]", "standardise]", 8, 31, `unknown step "standardise"`, "standardize"},
		{"step that is a number", "standardize]", "3]", 8, 31, "preprocess.numeric[1] is the number 3, want a step", ""},
		{"unknown tracking", "tracking: local", "tracking: wandbb", 23, 11, `tracking is "wandbb", want local, wandb`, "did you mean wandb?"},
		{"address as source", "sample:wine", "https://example.org/a.csv", 4, 11, "addresses come with a later release", "download"},
		{"target missing", "  target: class\n", "", 4, 3, "data.target is missing", "target: COLUMN"},
		{"target ignored", "target: class", "target: class\n  ignore: [a, class]", 6, 15, `the target "class" is ignored`, ""},
		{"type of column unknown", "target: class", "target: class\n  types: {a: nummer}", 6, 14, `data.types.a is "nummer", want number`, "did you mean number?"},
		{"delimiter of two", "target: class", "target: class\n  delimiter: ab", 6, 14, `data.delimiter is "ab", want one character`, ""},
		{"second document", "tracking: local", "tracking: local\n---\nseed: 1", 25, 1, "a second document", ""},
		{"anchor", "dropout: 0.3", "dropout: &d 0.3", 15, 12, "an anchor or alias is not read here", ""},
		{"merge key", "- {name: exp003,", "- {<<: *x, name: exp003,", 22, 6, "cannot be a key", ""},
		{"bracket left open", "[64, 32]", "[64, 32", 13, 0, "", ""},
		{"tab for indentation", "  target: class", "\ttarget: class", 5, 0, "", ""},
		{"not UTF-8", "relu", "rel\xffu", 13, 18, "not UTF-8", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(wineYAML, tt.old) {
				t.Fatalf("%q is not in the file", tt.old)
			}
			_, err := Parse("solera.yaml", []byte(strings.Replace(wineYAML, tt.old, tt.new, 1)))
			var fault *solera.InputError
			if !errors.As(err, &fault) || !errors.Is(err, solera.ErrInvalid) {
				t.Fatalf("got %v, want an InputError", err)
			}
			if fault.File != "solera.yaml" || fault.Line != tt.line || tt.col != 0 && fault.Col != tt.col {
				t.Errorf("at %s %d:%d, want line %d column %d (%v)", fault.File, fault.Line, fault.Col, tt.line, tt.col, err)
			}
			if !strings.Contains(fault.Msg, tt.msg) || !strings.Contains(fault.Hint, tt.hint) {
				t.Errorf("message %q, hint %q, want %q, %q", fault.Msg, fault.Hint, tt.msg, tt.hint)
			}
		})
	}
}

func TestHostileFilesAreRefused(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	indented := ""
	for i := range 200 {
		indented += strings.Repeat(" ", i) + "a:\n"
	}
	for name, src := range map[string]string{
		"aliases that multiply": bomb,
		"aliases in a value":    "data: {types: &a {x: *a}}\n",
		"open brackets":         strings.Repeat("[", 100_000),
		"open braces":           strings.Repeat("{a: ", 100_000),
		"dashes on a line":      strings.Repeat("- ", 100_000),
		"question marks":        strings.Repeat("? ", 100_000),
		"deep indentation":      indented,
		"100 MB":                strings.Repeat("a: b\n", 20_000_000),
		"many words":            "data: {ignore: [" + strings.Repeat("a,", 200_000) + "a]}",
		"binary":                "\x00\x01\x02\x03\x00",
		"a Parquet file":        "PAR1\x15\x04\x15\x80",
		"a long line":           strings.Repeat("x", 900_000),
	} {
		_, err := Parse("solera.yaml", []byte(src))
		var fault *solera.InputError
		if !errors.As(err, &fault) {
			t.Errorf("%s: got %v, want an InputError", name, err)
			continue
		}
		if len(fault.Error()) > 600 {
			t.Errorf("%s: a message of %d bytes", name, len(fault.Error()))
		}
	}
}

func TestLoadNamesTheFileAndTheMend(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(filepath.Join(dir, "solera.yaml"))
	if !errors.Is(err, solera.ErrNotFound) || !strings.Contains(err.Error(), "solera init") {
		t.Errorf("no file: %v", err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a folder: %v", err)
	}
	empty := filepath.Join(dir, "empty.yaml")
	if err := os.WriteFile(empty, []byte("# nothing yet\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(empty); err == nil || !strings.Contains(err.Error(), "data.source is missing") {
		t.Errorf("an empty file: %v", err)
	}
	good := filepath.Join(dir, "solera.yaml")
	if err := os.WriteFile(good, []byte("\ufeffdata: {source: a/b.csv, target: y}\r\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Open(good)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.SourcePath(), filepath.Join(dir, "a", "b.csv"); got != want {
		t.Errorf("source %s, want %s", got, want)
	}
}

func TestNearestKey(t *testing.T) {
	if n := nearest("layer", []string{"layer_norm", "layers"}); n != "layers" {
		t.Errorf("the nearest of layer is %q", n)
	}
	known := []string{"epochs", "batch_size", "learning_rate", "optimizer"}
	for got, want := range map[string]string{
		"epoch": "epochs", "epohcs": "epochs", "batchsize": "batch_size", "Batch-Size": "batch_size",
		"learning-rate": "learning_rate", "optimiser": "optimizer", "colour": "", "x": "", "": "",
		"learning": "learning_rate", strings.Repeat("e", 1000): "",
	} {
		if n := nearest(got, known); n != want {
			t.Errorf("nearest(%q) = %q, want %q", short(got), n, want)
		}
	}
	if n := nearest("1", []string{"a", "b"}); n != "" {
		t.Errorf("a letter is near to another: %q", n)
	}
}

// Whatever the bytes, Parse returns a configuration that can run or an error
// that names the file.
func FuzzParse(f *testing.F) {
	f.Add([]byte(wineYAML))
	f.Add([]byte("data: {source: a, target: b, types: {c: date}}\ntrain: {class_weights: {a: 1, b: 2}, early_stopping: {patience: 3}}"))
	f.Add([]byte("preprocess:\n  columns:\n    a: [{impute: {strategy: constant, value: 0}}, {clip: {low: -1e-3, high: 5}}]\n"))
	f.Add([]byte("a: &x [*x]\n? b\n: !!c |\n  d\n--- \"\\u0000\"\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Parse("solera.yaml", src)
		if err != nil {
			var fault *solera.InputError
			if !errors.As(err, &fault) || fault.File != "solera.yaml" {
				t.Fatalf("%T without a file: %v", err, err)
			}
			return
		}
		if len(c.Experiments) == 0 {
			t.Fatal("no experiment")
		}
		returns(t, c)
		for i := range c.Experiments {
			b, err := json.Marshal(c.Effective(i))
			if err != nil {
				t.Fatalf("params are not JSON: %v", err)
			}
			again, err := Parse("solera.yaml", []byte(wrap(t, b)))
			if err != nil {
				t.Fatalf("the effective configuration is refused: %v\n%s", err, b)
			}
			if diff := cmp.Diff(c.Effective(i), again.Effective(0)); diff != "" {
				t.Fatalf("the effective configuration means something else: %s", diff)
			}
		}
	})
}

// wrap makes a configuration of one experiment from effective params: JSON is
// YAML.
func wrap(t *testing.T, params []byte) []byte {
	t.Helper()
	var m map[string]any
	d := json.NewDecoder(strings.NewReader(string(params)))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	m["experiments"] = []any{map[string]any{"name": m["experiment"]}}
	delete(m, "experiment")
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
