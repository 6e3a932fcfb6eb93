package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/transform"
)

// FileName is the name of the configuration that commands look for.
const FileName = "solera.yaml"

// A Config is one solera.yaml with every default filled in: what it holds is
// what will run. It is made by [Open] or [Parse] and then never changes.
//
// The tags drive the reader, the canonical JSON and the JSON Schema alike:
// yaml is the key, doc the sentence that users read, in the interval that a
// number must lie in, enum the words that a text may be, kinds the variants
// (of optimizer, of schedule) that know the key.
type Config struct {
	Project     string        `yaml:"project" doc:"Name of the project. Runs of one project can be compared; artifacts take their names from it, without a trailing -classification. Default: the name of the source."`
	Seed        uint64        `yaml:"seed" doc:"Seed of everything random: the split, the initial weights, the order of batches, dropout."`
	Data        Data          `yaml:"data" doc:"Where the rows come from and what they mean."`
	Preprocess  Preprocessing `yaml:"preprocess" doc:"How columns become numbers. Steps are fitted on the training rows only."`
	Model       Model         `yaml:"model" doc:"The network between the features and the classes; its two ends follow from the data."`
	Train       Training      `yaml:"train" doc:"How every experiment trains, unless it says otherwise."`
	Experiments Experiments   `yaml:"experiments" late:"yes" doc:"Named training configurations. Each may override any key of train. Default: one experiment, exp001."`
	Tracking    string        `yaml:"tracking" enum:"local|wandb" doc:"local: runs and artifacts stay in the store. wandb: they also go to Weights & Biases or a server that speaks its protocol, as they happen: see docs/tracking.md."`
	Retention   Retention     `yaml:"retention" doc:"Which versions solera gc keeps. Without it, all that have not expired. It changes no run."`

	file string
	dir  string
	at   map[string]place // where each key's value is written; absent = the default holds
}

// Data says where the rows come from and what their columns mean.
type Data struct {
	Source        string            `yaml:"source" doc:"sample:NAME (a table in the program), a path or a glob, relative to the folder of solera.yaml."`
	Format        string            `yaml:"format" enum:"auto|csv|jsonl|parquet" doc:"Format of the source; auto goes by the file's ending."`
	Delimiter     string            `yaml:"delimiter" doc:"The one character between CSV fields, or tab; auto finds it out."`
	Target        string            `yaml:"target" text:"any" doc:"The column to predict."`
	Types         map[string]string `yaml:"types" enum:"number|category|boolean|date" doc:"Column: kind. What is not listed is inferred."`
	Ignore        []string          `yaml:"ignore" text:"any" doc:"Columns that are read but not used."`
	MissingValues []string          `yaml:"missing_values" text:"any" doc:"Further texts that mean a missing value, beside the empty field, NA, N/A, null, NaN, None, ? and -."`
	Split         Split             `yaml:"split" doc:"Which rows are for training, validation and test."`
}

// Split says which rows are for training, validation and test.
type Split struct {
	Train    float64 `yaml:"train" in:"(0,1)" doc:"Fraction of rows to learn from."`
	Val      float64 `yaml:"val" in:"(0,1)" doc:"Fraction of rows to choose the best weights and the best experiment by."`
	Test     float64 `yaml:"test" in:"(0,1)" doc:"Fraction of rows for the final scores."`
	Stratify bool    `yaml:"stratify" doc:"Keep the classes' shares equal in the three parts. Default: true, false with time."`
	Group    string  `yaml:"group" text:"any" doc:"Rows with the same value of this column stay in one part. The column is not a feature."`
	Time     string  `yaml:"time" text:"any" doc:"Train on the oldest rows by this column, test on the newest. The column is not a feature."`
}

// Steps is the chain of transforms of a column. In the file a step is a name
// such as standardize, or a map of one name to its arguments such as
// {impute: median}.
type Steps []transform.Step

// Preprocessing holds the steps per kind of column.
type Preprocessing struct {
	Numeric     Steps            `yaml:"numeric" doc:"Steps for number columns."`
	Categorical Steps            `yaml:"categorical" doc:"Steps for category columns."`
	Boolean     Steps            `yaml:"boolean" doc:"Steps for boolean columns."`
	Date        Steps            `yaml:"date" doc:"Steps for date columns."`
	Columns     map[string]Steps `yaml:"columns" doc:"Column: steps. These replace the steps of the column's kind."`
}

// A Model is the network between the features and the classes.
type Model struct {
	Name       string  `yaml:"name" doc:"Name of the model artifact. Default: the project's name and Classifier, such as WineClassifier."`
	Activation string  `yaml:"activation" enum:"relu|leaky_relu|gelu|silu|tanh|elu|selu|sigmoid|softplus|mish" doc:"Activation after each hidden layer."`
	BatchNorm  bool    `yaml:"batch_norm" doc:"Batch normalisation between each hidden layer and its activation."`
	LayerNorm  bool    `yaml:"layer_norm" doc:"Layer normalisation in its place."`
	Dropout    float64 `yaml:"dropout" in:"[0,1)" doc:"Share of activations dropped after each hidden layer while training."`
	Residual   bool    `yaml:"residual" doc:"Add a layer's input to its output where the widths are equal."`
	Layers     []Layer `yaml:"layers" late:"yes" doc:"Hidden layers: a number of units, or a map that also overrides the keys of model for that layer. An empty list is logistic regression."`
}

// A Layer is one hidden layer, resolved: what it does not say itself it has
// from the [Model].
type Layer struct {
	Units      int     `yaml:"units" in:"[1,1000000]" doc:"Width of the layer."`
	Activation string  `yaml:"activation" enum:"relu|leaky_relu|gelu|silu|tanh|elu|selu|sigmoid|softplus|mish" doc:"Activation."`
	BatchNorm  bool    `yaml:"batch_norm" doc:"Batch normalisation before the activation."`
	LayerNorm  bool    `yaml:"layer_norm" doc:"Layer normalisation before the activation."`
	Dropout    float64 `yaml:"dropout" in:"[0,1)" doc:"Share of activations dropped while training."`
	Residual   bool    `yaml:"residual" doc:"Add the layer's input to its output; the widths must be equal."`
}

// Training says how one experiment trains.
type Training struct {
	Epochs        int           `yaml:"epochs" in:"[1,10000000]" doc:"Passes over the training rows."`
	BatchSize     int           `yaml:"batch_size" in:"[1,1000000000]" doc:"Rows per step."`
	LearningRate  float64       `yaml:"learning_rate" in:"(0,1000]" doc:"Length of a step."`
	Optimizer     Optimizer     `yaml:"optimizer" doc:"A name, or a map of one name to its arguments: {sgd: {momentum: 0.9}}."`
	Schedule      Schedule      `yaml:"schedule" doc:"How the learning rate changes: a name, or a map of one name to its arguments: {step: {step_size: 30}}."`
	Loss          Loss          `yaml:"loss" doc:"Variations of the cross-entropy."`
	ClassWeights  ClassWeights  `yaml:"class_weights" doc:"Weights of the classes in the loss: none, balanced (rows / (classes × rows of the class)), or a map of class: weight."`
	ClipNorm      float64       `yaml:"clip_norm" in:"[0,1e30]" doc:"Largest norm of the gradient; 0 does not clip."`
	EarlyStopping EarlyStopping `yaml:"early_stopping" doc:"off, or {patience, min_delta}: stop when the validation loss no longer falls."`
}

// An Optimizer is a kind and the arguments that this kind has. Names, defaults
// and meaning are those of torch.optim.
type Optimizer struct {
	Kind string

	Momentum    float64 `yaml:"momentum" kinds:"sgd|rmsprop" in:"[0,1)" doc:"Share of the last step that is kept."`
	Nesterov    bool    `yaml:"nesterov" kinds:"sgd" doc:"Look ahead along the momentum; needs momentum."`
	Beta1       float64 `yaml:"beta1" kinds:"adam|adamw" in:"(0,1)" doc:"Decay of the mean of gradients."`
	Beta2       float64 `yaml:"beta2" kinds:"adam|adamw" in:"(0,1)" doc:"Decay of the mean of squared gradients."`
	AMSGrad     bool    `yaml:"amsgrad" kinds:"adam|adamw" doc:"Divide by the largest mean of squares so far."`
	Alpha       float64 `yaml:"alpha" kinds:"rmsprop" in:"(0,1)" doc:"Decay of the mean of squared gradients."`
	Eps         float64 `yaml:"eps" kinds:"adam|adamw|rmsprop" in:"(0,1]" doc:"Added to the divisor."`
	WeightDecay float64 `yaml:"weight_decay" kinds:"sgd|adam|adamw|rmsprop" in:"[0,1000]" doc:"Pull of the weights towards 0; decoupled from the gradient in adamw only."`
}

// A Schedule is a kind and the arguments that this kind has. Names, defaults
// and meaning are those of torch.optim.lr_scheduler; lengths are in epochs.
type Schedule struct {
	Kind string

	StepSize       int     `yaml:"step_size" kinds:"step" in:"[1,10000000]" doc:"Epochs between two drops."`
	Milestones     []int   `yaml:"milestones" kinds:"multistep" in:"[1,10000000]" doc:"Epochs at which the rate drops, ascending."`
	Gamma          float64 `yaml:"gamma" kinds:"step|multistep|exponential" in:"(0,1]" doc:"Factor of each drop."`
	MinLR          float64 `yaml:"min_lr" kinds:"cosine|cosine_restarts|reduce_on_plateau" in:"[0,1000]" doc:"Lowest rate."`
	Period         int     `yaml:"period" kinds:"cosine_restarts" in:"[1,10000000]" doc:"Epochs to the first restart."`
	PeriodFactor   int     `yaml:"period_factor" kinds:"cosine_restarts" in:"[1,1000]" doc:"Growth of the period at each restart."`
	MaxLR          float64 `yaml:"max_lr" kinds:"one_cycle" in:"[0,1000]" doc:"Highest rate; 0 means the learning rate."`
	PctStart       float64 `yaml:"pct_start" kinds:"one_cycle" in:"(0,1)" doc:"Share of the epochs spent rising."`
	DivFactor      float64 `yaml:"div_factor" kinds:"one_cycle" in:"[1,1e12]" doc:"Highest rate / first rate."`
	FinalDivFactor float64 `yaml:"final_div_factor" kinds:"one_cycle" in:"[1,1e12]" doc:"First rate / last rate."`
	Power          float64 `yaml:"power" kinds:"polynomial" in:"(0,100]" doc:"Exponent of the decay to 0."`
	Factor         float64 `yaml:"factor" kinds:"reduce_on_plateau" in:"(0,1)" doc:"Factor of each drop."`
	Patience       int     `yaml:"patience" kinds:"reduce_on_plateau" in:"[0,10000000]" doc:"Epochs without a lower validation loss before a drop."`
	Threshold      float64 `yaml:"threshold" kinds:"reduce_on_plateau" in:"[0,1)" doc:"Relative fall of the validation loss that counts."`
	Cooldown       int     `yaml:"cooldown" kinds:"reduce_on_plateau" in:"[0,10000000]" doc:"Epochs of rest after a drop."`
	Warmup         int     `yaml:"warmup" kinds:"constant|step|multistep|exponential|cosine|cosine_restarts|polynomial|reduce_on_plateau" in:"[0,10000000]" doc:"First epochs, in which the rate rises to its full value in a straight line."`
}

// Loss varies the cross-entropy.
type Loss struct {
	LabelSmoothing float64 `yaml:"label_smoothing" in:"[0,1)" doc:"Share of each target that is spread over all classes."`
	Focal          float64 `yaml:"focal" in:"[0,100]" doc:"Gamma of the focal loss, which looks away from easy rows; 0 is plain cross-entropy."`
}

// ClassWeights are the classes' weights in the loss. The zero value weighs all
// the same.
type ClassWeights struct {
	Balanced bool               // each class weighs rows / (classes × rows of the class)
	Weights  map[string]float64 // by class label; a class that is absent weighs 1
}

// EarlyStopping ends a training whose validation loss no longer falls. The
// zero value never stops.
type EarlyStopping struct {
	Patience int     `yaml:"patience" in:"[1,10000000]" doc:"Epochs without a lower validation loss before stopping."`
	MinDelta float64 `yaml:"min_delta" in:"[0,1e30]" doc:"Fall of the validation loss that counts."`
}

// An Experiment is one named training configuration, resolved: what it does
// not say itself it has from the train section.
type Experiment struct {
	Name     string `yaml:"name" doc:"Name, unique in the file: a letter or digit, then letters, digits, and . _ -"`
	Training `yaml:",inline"`
}

// Experiments is the list of experiments, never empty once parsed.
type Experiments []Experiment

// Retention says which versions of the project's artifacts stay. No stage
// depends on it.
type Retention struct {
	KeepVersions int           `yaml:"keep_versions" in:"[0,1000000]" doc:"So many newest versions of each artifact stay; 0 does not count them. The newest always stays."`
	KeepDays     int           `yaml:"keep_days" in:"[0,100000]" doc:"Versions younger than so many days stay; 0 does not look at their age. With both numbers, what one of them keeps stays."`
	Artifacts    []KeepPattern `yaml:"artifacts" doc:"Artifacts with numbers of their own: {name: PATTERN, keep_versions: N, keep_days: N}. The first pattern that matches counts; without numbers it keeps all."`
}

// A KeepPattern is the retention of artifacts whose names match.
type KeepPattern struct {
	Name         string `yaml:"name" doc:"Name of an artifact, in which * stands for any letters."`
	KeepVersions int    `yaml:"keep_versions" in:"[0,1000000]" doc:"As above."`
	KeepDays     int    `yaml:"keep_days" in:"[0,100000]" doc:"As above."`
}

// defaults returns the configuration that holds where solera.yaml is silent.
func defaults() *Config {
	return &Config{
		Seed: 42,
		Data: Data{
			Format:    "auto",
			Delimiter: "auto",
			Split:     Split{Train: 0.8, Val: 0.1, Test: 0.1, Stratify: true},
		},
		Preprocess: Preprocessing{
			Numeric:     transform.DefaultSteps(table.Number),
			Categorical: transform.DefaultSteps(table.Category),
			Boolean:     transform.DefaultSteps(table.Boolean),
			Date:        transform.DefaultSteps(table.Date),
		},
		Model: Model{
			Activation: "relu",
			BatchNorm:  true,
			Dropout:    0.3,
			Layers:     []Layer{{Units: 64}, {Units: 32}},
		},
		Train: Training{
			Epochs:       100,
			BatchSize:    32,
			LearningRate: 0.001,
			Optimizer:    defaultOptimizer("adam"),
			Schedule:     defaultSchedule("constant"),
		},
		Tracking: "local",
		at:       map[string]place{},
	}
}

// Optimizers and schedules by name, in the order in which they are shown.
const (
	optimizerKinds = "sgd|adam|adamw|rmsprop"
	scheduleKinds  = "constant|step|multistep|exponential|cosine|cosine_restarts|one_cycle|polynomial|reduce_on_plateau"
)

// defaultOptimizer returns torch's defaults for the kind.
func defaultOptimizer(kind string) Optimizer {
	o := Optimizer{Kind: kind}
	switch kind {
	case "adam", "adamw":
		o.Beta1, o.Beta2, o.Eps = 0.9, 0.999, 1e-8
	case "rmsprop":
		o.Alpha, o.Eps = 0.99, 1e-8
	}
	if kind == "adamw" {
		o.WeightDecay = 0.01
	}
	return o
}

// defaultSchedule returns torch's defaults for the kind; where torch has none
// (step_size, the period of restarts, exponential's gamma) ours.
func defaultSchedule(kind string) Schedule {
	s := Schedule{Kind: kind}
	switch kind {
	case "step":
		s.StepSize, s.Gamma = 30, 0.1
	case "multistep":
		s.Gamma = 0.1
	case "exponential":
		s.Gamma = 0.95
	case "cosine_restarts":
		s.Period, s.PeriodFactor = 10, 1
	case "one_cycle":
		s.PctStart, s.DivFactor, s.FinalDivFactor = 0.3, 25, 1e4
	case "polynomial":
		s.Power = 1
	case "reduce_on_plateau":
		s.Factor, s.Patience, s.Threshold = 0.1, 10, 1e-4
	}
	return s
}

// Open reads the configuration at path. Paths in it are relative to its
// folder. Faults in the file are *[solera.InputError] with line and column.
func Open(path string) (*Config, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, &solera.InputError{
			File: path, Msg: "no such file",
			Hint: "make one with: solera init wine, or: solera init data.csv --target COLUMN",
			Err:  solera.ErrNotFound,
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	// One byte beyond the limit tells a file that is too long from one that
	// just fits, and a 100 MB file is never read.
	src, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return nil, &solera.InputError{File: path, Msg: "cannot be read: " + reason(err), Hint: "give the path of a solera.yaml", Err: err}
	}
	c, err := Parse(path, src)
	if err != nil {
		return nil, err
	}
	c.dir = filepath.Dir(path)
	return c, nil
}

// reason returns the last link of a chain of errors: "is a directory" rather
// than "read /home/…: is a directory".
func reason(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// File returns the name that the configuration was parsed under.
func (c *Config) File() string { return c.file }

// Dir returns the folder that paths in the configuration are relative to, ""
// for the current one.
func (c *Config) Dir() string { return c.dir }

// Sample returns the name of the built-in table that is the source, and false
// when the source is a file.
func (c *Config) Sample() (name string, ok bool) {
	return strings.CutPrefix(c.Data.Source, "sample:")
}

// SourcePath returns the path or glob of the source, relative to the current
// folder rather than to that of solera.yaml.
func (c *Config) SourcePath() string {
	if filepath.IsAbs(c.Data.Source) || c.dir == "" || c.dir == "." {
		return c.Data.Source
	}
	return filepath.Join(c.dir, c.Data.Source)
}

// base is the word that artifact names begin with: the project without a
// trailing -classification.
func (c *Config) base() string {
	return cmp.Or(strings.TrimSuffix(c.Project, "-classification"), c.Project)
}

// Names of the artifacts of each stage.

// RawName is the artifact of load, such as wine-raw.
func (c *Config) RawName() string { return c.base() + "-raw" }

// PreprocessName is the artifact of preprocess, such as wine-preprocess.
func (c *Config) PreprocessName() string { return c.base() + "-preprocess" }

// ModelName is the artifact of build, such as WineClassifier.
func (c *Config) ModelName() string { return c.Model.Name }

// TrainedName is the artifact of experiment i, such as
// trained-wine-model-exp001.
func (c *Config) TrainedName(i int) string {
	return "trained-" + c.base() + "-model-" + c.Experiments[i].Name
}

// Experiment returns the index of the experiment with this name, or -1.
func (c *Config) Experiment(name string) int {
	for i, e := range c.Experiments {
		if e.Name == name {
			return i
		}
	}
	return -1
}
