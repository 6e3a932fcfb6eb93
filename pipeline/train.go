package pipeline

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/fit"
	"github.com/solera-ml/solera/model"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tracking"
)

// trainJobs is a run per experiment. They share the rows in memory.
func (p *Pipeline) trainJobs() []job {
	c := p.Config
	rows := &sharedRows{}
	jobs := make([]job, len(c.Experiments))
	for i := range jobs {
		jobs[i] = job{
			stage: Train, experiment: c.Experiments[i].Name,
			inputs: []string{c.PreprocessName(), c.ModelName()}, params: c.TrainParams(i), output: c.TrainedName(i),
			work: func(ctx context.Context, t task) (output, error) { return p.train(ctx, i, t, rows) },
		}
	}
	return jobs
}

// sharedRows reads the rows once for all experiments.
type sharedRows struct {
	mu    sync.Mutex
	of    solera.Digest // the content that parts is of: latest may move between two experiments
	parts map[string]table.Matrix
}

func (s *sharedRows) read(ctx context.Context, data *tracking.Snapshot) (map[string]table.Matrix, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parts != nil && s.of == data.Digest {
		return s.parts, nil
	}
	parts := map[string]table.Matrix{}
	for _, part := range []string{trainPart, valPart, testPart} {
		m, err := matrixPart(ctx, data, part)
		if err != nil {
			return nil, err
		}
		parts[part] = m
	}
	s.of, s.parts = data.Digest, parts
	return parts, nil
}

// train takes the network of build through one experiment, scores it, and
// commits it with everything that predicting and auditing it needs.
func (p *Pipeline) train(ctx context.Context, i int, t task, rows *sharedRows) (output, error) {
	c, e := p.Config, p.Config.Experiments[i]
	data := t.inputs[c.PreprocessName()]
	parts, err := rows.read(ctx, data)
	if err != nil {
		return output{}, err
	}
	fitted, labels, err := readFitted(data)
	if err != nil {
		return output{}, err
	}
	network, err := readNetwork(t.inputs[c.ModelName()])
	if err != nil {
		return output{}, err
	}
	if spec := network.Spec(); spec.Inputs != fitted.Inputs() || spec.Outputs != len(labels.Classes) {
		return output{}, &solera.InputError{
			Msg: fmt.Sprintf("%s has %d inputs and %d outputs, but %s has %d features and %d classes", t.inputs[c.ModelName()].Name(),
				spec.Inputs, spec.Outputs, data.Name(), fitted.Inputs(), len(labels.Classes)),
			Hint: "build the network anew with: solera build",
		}
	}
	engine, err := p.engine(t.cores)
	if err != nil {
		return output{}, err
	}
	defer engine.Close()
	if err := p.fits(i, parts[trainPart].X.Rows); err != nil {
		return output{}, err
	}
	config, err := p.fitConfig(i, labels.Classes, parts[trainPart].Y)
	if err != nil {
		return output{}, err
	}
	show := recorder{t.run, p.reporter(), Epoch{Experiment: e.Name, Epochs: e.Epochs, TrainRows: parts[trainPart].X.Rows, ValRows: parts[valPart].X.Rows}}
	options := fit.Options{Recorder: show, Resume: true}
	if p.Scratch != "" {
		if err := os.MkdirAll(p.Scratch, 0o755); err != nil {
			return output{}, fmt.Errorf("make the folder of checkpoints: %w", err)
		}
		sweep(p.Scratch)
		options.Checkpoint = filepath.Join(p.Scratch, t.recipe.Hex()+".safetensors")
		if _, err := os.Stat(options.Checkpoint); err == nil {
			p.reporter().Line(Train+" "+e.Name, "goes on from its checkpoint; the epochs before it are recorded again")
		}
	}
	result, err := fit.Network(ctx, network, engine, dataOf(parts[trainPart]), dataOf(parts[valPart]), config, options)
	if err != nil {
		p.reporter().ExperimentDone(e.Name, "", err)
		return output{}, err
	}
	p.reporter().ExperimentDone(e.Name, fmt.Sprintf("best epoch %d of %d", result.BestEpoch, result.Epochs), nil)

	scores, err := p.evaluate(ctx, network, engine, parts, labels.Classes)
	if err != nil {
		return output{}, err
	}
	bundle, err := model.New(labels, fitted, network, c.Seed, scores.brief())
	if err != nil {
		return output{}, err
	}
	bundleFiles, err := bundle.Files()
	if err != nil {
		return output{}, err
	}
	report, err := indented(Report{e.Name, result.BestEpoch, result.Epochs, result.StoppedEarly, warningsOf(fitted), scores.val.report, scores.test.report})
	if err != nil {
		return output{}, err
	}
	schemaFile, err := data.ReadFile("schema.json")
	if err != nil {
		return output{}, err
	}
	files := map[string]tracking.Source{
		"schema.json":     tracking.Bytes(schemaFile),
		"report.json":     tracking.Bytes(report),
		"history.parquet": tableSource(historyTable(result.History)),
		predictionsFile:   tableSource(scores.predictions(labels.Classes)),
	}
	for name, content := range bundleFiles {
		files[name] = tracking.Bytes(content)
	}
	summary := scores.summary()
	summary["best_epoch"], summary["epochs"] = result.BestEpoch, result.Epochs
	return output{
		draft: tracking.Draft{
			Artifact: c.TrainedName(i), Type: "model", Files: files,
			Metadata: solera.Fields{"experiment": e.Name, "best_epoch": result.BestEpoch, "epochs": result.Epochs, "trained": true, "scores": scores.brief()},
		},
		summary: summary,
		committed: func() {
			if options.Checkpoint != "" {
				os.Remove(options.Checkpoint) // one that stays behind costs space only
			}
		},
	}, nil
}

// sweep removes the half-written checkpoints of processes that were killed. Those
// of the last hour may belong to one that is writing.
func sweep(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, "*.tmp*"))
	for _, name := range left {
		if info, err := os.Stat(name); err == nil && time.Since(info.ModTime()) > time.Hour {
			os.Remove(name)
		}
	}
}

func dataOf(m table.Matrix) fit.Data { return fit.Data{X: m.X, Y: m.Y} }

// fitConfig is experiment i in the words of package fit.
func (p *Pipeline) fitConfig(i int, classes []string, y []int32) (fit.Config, error) {
	e := p.Config.Experiments[i]
	o, s := e.Optimizer, e.Schedule
	config := fit.Config{
		Epochs: e.Epochs, BatchSize: e.BatchSize, LearningRate: e.LearningRate, ClipNorm: e.ClipNorm, Seed: p.Config.Seed,
		Optimizer: nn.Optimizer{
			Kind: o.Kind, Momentum: o.Momentum, Nesterov: o.Nesterov, Beta1: o.Beta1, Beta2: o.Beta2,
			Eps: o.Eps, Alpha: o.Alpha, WeightDecay: o.WeightDecay, AMSGrad: o.AMSGrad,
		},
		Loss: nn.Loss{LabelSmoothing: e.Loss.LabelSmoothing, Focal: e.Loss.Focal},
		Schedule: nn.Schedule{
			Kind: s.Kind, StepSize: s.StepSize, Milestones: s.Milestones, Gamma: s.Gamma, MinLR: s.MinLR,
			Period: s.Period, PeriodFactor: s.PeriodFactor, MaxLR: s.MaxLR, PctStart: s.PctStart,
			DivFactor: s.DivFactor, FinalDivFactor: s.FinalDivFactor, Power: s.Power,
			Factor: s.Factor, Patience: s.Patience, Threshold: s.Threshold, Cooldown: s.Cooldown, Warmup: s.Warmup,
		},
	}
	if o.Kind == "adamw" && o.WeightDecay == 0 {
		// To nn 0 means torch's 0.01; adamw without decay is adam, to the bit.
		config.Optimizer.Kind = "adam"
	}
	if e.EarlyStopping.Patience > 0 {
		config.EarlyStopping = &fit.EarlyStopping{Patience: e.EarlyStopping.Patience, MinDelta: e.EarlyStopping.MinDelta}
	}
	weights, err := p.classWeights(i, classes, y)
	config.Loss.ClassWeights = weights
	return config, err
}

// fits reports a batch of experiment i that is larger than the training rows.
func (p *Pipeline) fits(i, rows int) error {
	size := p.Config.Experiments[i].BatchSize
	if size <= rows {
		return nil
	}
	return p.Config.Fault(fmt.Sprintf("experiments[%d].batch_size", i),
		fmt.Sprintf("batch_size %d is larger than the %d training rows", size, rows), fmt.Sprintf("set batch_size to %d or less", rows))
}

// classWeights returns a weight per class, or nil when all weigh the same.
// Balanced is scikit-learn's: rows / (classes × rows of the class), over the
// training rows.
func (p *Pipeline) classWeights(i int, classes []string, y []int32) ([]float64, error) {
	w := p.Config.Experiments[i].ClassWeights
	switch {
	case w.Balanced:
		counts := make([]float64, len(classes))
		for _, class := range y {
			counts[class]++
		}
		for class, n := range counts {
			counts[class] = float64(len(y)) / (float64(len(classes)) * n)
		}
		return counts, nil
	case len(w.Weights) == 0:
		return nil, nil
	}
	out := slices.Repeat([]float64{1}, len(classes))
	for _, name := range slices.Sorted(maps.Keys(w.Weights)) {
		class := slices.Index(classes, name)
		if class < 0 {
			return nil, p.Config.Fault(fmt.Sprintf("experiments[%d].class_weights", i), fmt.Sprintf("class_weights names %q, which is no class of the data", name),
				"the classes are "+list(classes, 12))
		}
		out[class] = w.Weights[name]
	}
	return out, nil
}

// recorder passes what fit measures to the run and to whoever watches.
type recorder struct {
	run      *tracking.Run
	reporter Reporter
	epoch    Epoch // without what an epoch measures
}

func (r recorder) Record(step int64, metrics map[string]float64) error {
	epoch := r.epoch
	epoch.Epoch, epoch.Metrics = int(step), metrics
	r.reporter.Epoch(epoch)
	return r.run.Record(step, metrics)
}

func tableSource(t *table.Table) tracking.Source {
	return tracking.Writer(func(w io.Writer) error { return table.WriteParquet(w, t) })
}

// historyTable is history.parquet: a row per epoch, whose row number is the
// epoch.
func historyTable(history []fit.Epoch) *table.Table {
	t := &table.Table{RowNumbers: make([]int64, len(history))}
	add := func(name string, value func(fit.Epoch) float64) {
		c := &table.Column{Name: name, Kind: table.Number, Numbers: make([]float64, len(history))}
		for i, epoch := range history {
			c.Numbers[i] = value(epoch)
		}
		t.Columns = append(t.Columns, c)
	}
	for i, epoch := range history {
		t.RowNumbers[i] = int64(epoch.Epoch)
	}
	add("learning_rate", func(e fit.Epoch) float64 { return e.LearningRate })
	add("train_loss", func(e fit.Epoch) float64 { return e.TrainLoss })
	add("train_accuracy", func(e fit.Epoch) float64 { return e.TrainAccuracy })
	add("val_loss", func(e fit.Epoch) float64 { return e.ValLoss })
	add("val_accuracy", func(e fit.Epoch) float64 { return e.ValAccuracy })
	return t
}
