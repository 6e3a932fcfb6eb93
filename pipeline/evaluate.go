package pipeline

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/eval"
	"github.com/solera-ml/solera/fit"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tensor"
	"github.com/solera-ml/solera/tracking"
)

const (
	reportFile      = "report.json"
	predictionsFile = "predictions.parquet"
)

// A Report is the report.json of a trained model.
type Report struct {
	Experiment   string      `json:"experiment"`
	BestEpoch    int         `json:"best_epoch"`    // whose weights were kept: the lowest validation loss
	Epochs       int         `json:"epochs"`        // that were run
	StoppedEarly bool        `json:"stopped_early"` // before all epochs, by early_stopping
	Warnings     []string    `json:"warnings"`      // columns that make no feature, and why
	Val          eval.Report `json:"val"`
	Test         eval.Report `json:"test"`
}

// Scores are the three numbers that every table shows of a split.
type Scores struct {
	Accuracy eval.Score `json:"accuracy"`
	Loss     eval.Score `json:"loss"`
	MacroF1  eval.Score `json:"macro_f1"`
}

func scoresOf(r eval.Report) Scores { return Scores{r.Accuracy, r.Loss, r.MacroF1} }

// An ExperimentResult is an experiment with its scores.
type ExperimentResult struct {
	Name string `json:"name"`
	Val  Scores `json:"val"`
	Test Scores `json:"test"`

	Report Report `json:"-"` // all of it
}

// scored is a network's answers on the two parts that it did not learn from.
type scored struct{ val, test scoredPart }

type scoredPart struct {
	part     string
	rows     []int64
	outcomes eval.Outcomes
	report   eval.Report
}

// evaluate scores the network on validation and test rows. Drawing the rows
// again for the intervals takes longest, so the two parts do it side by side.
func (p *Pipeline) evaluate(ctx context.Context, network *nn.Network, engine *tensor.Engine, parts map[string]table.Matrix, classes []string) (scored, error) {
	evaluator := nn.NewEvaluator(network, engine, 0)
	both := [2]scoredPart{{part: valPart}, {part: testPart}}
	for i := range both {
		m := parts[both[i].part]
		outcomes, err := eval.FromLogits(evaluator.Logits(m.X), m.Y)
		if err != nil {
			return scored{}, fmt.Errorf("score the %s rows: %w", both[i].part, err)
		}
		both[i].rows, both[i].outcomes = m.Rows, outcomes
	}
	err := fit.Parallel(ctx, len(both), p.workers(), func(_ context.Context, i int) (err error) {
		s := &both[i]
		s.report, err = eval.NewReport(s.part, classes, s.rows, s.outcomes, p.Config.Seed)
		return err
	})
	return scored{both[0], both[1]}, err
}

// brief is what model.json and the version's metadata say of the scores.
func (s scored) brief() map[string]Scores {
	return map[string]Scores{valPart: scoresOf(s.val.report), testPart: scoresOf(s.test.report)}
}

// summary is what the run's record says of them: plain numbers to filter by.
func (s scored) summary() solera.Fields {
	plain := func(r eval.Report) map[string]float64 {
		return map[string]float64{
			eval.Accuracy: r.Accuracy.Value, eval.Loss: r.Loss.Value, eval.MacroF1: r.MacroF1.Value,
			"rows": float64(r.N), "accuracy_low": r.Accuracy.Low, "accuracy_high": r.Accuracy.High,
		}
	}
	return solera.Fields{valPart: plain(s.val.report), testPart: plain(s.test.report)}
}

// predictions is predictions.parquet: a row per validation and test row, under
// its original number, with what it is, what was said, and the probabilities.
func (s scored) predictions(classes []string) *table.Table {
	n := s.val.outcomes.Len() + s.test.outcomes.Len()
	t := &table.Table{RowNumbers: make([]int64, 0, n)}
	part := &table.Column{Name: "split", Kind: table.Category, Levels: []string{testPart, valPart}}
	truth := &table.Column{Name: "true", Kind: table.Category, Levels: classes}
	predicted := &table.Column{Name: "predicted", Kind: table.Category, Levels: classes}
	loss := &table.Column{Name: "loss", Kind: table.Number}
	probabilities := make([]*table.Column, len(classes))
	for class, name := range classes {
		probabilities[class] = &table.Column{Name: "p_" + name, Kind: table.Number, Numbers: make([]float64, 0, n)}
	}
	for code, sp := range []scoredPart{s.test, s.val} {
		t.RowNumbers = append(t.RowNumbers, sp.rows...)
		truth.Codes = append(truth.Codes, sp.outcomes.True...)
		predicted.Codes = append(predicted.Codes, sp.outcomes.Predicted...)
		loss.Numbers = append(loss.Numbers, sp.outcomes.Losses...)
		for i := range sp.rows {
			part.Codes = append(part.Codes, int32(code))
			for class, p := range sp.outcomes.Row(i) {
				probabilities[class].Numbers = append(probabilities[class].Numbers, p)
			}
		}
	}
	t.Columns = append([]*table.Column{part, truth, predicted, loss}, probabilities...)
	return t
}

// compare fills in the experiments of the result, from what the store holds of
// each, and chooses the best of them on validation.
func (p *Pipeline) compare(ctx context.Context, res *Result) error {
	var candidates []eval.Candidate
	for i, e := range p.Config.Experiments {
		snapshot, err := p.Tracker.Open(ctx, p.Config.TrainedName(i))
		if err != nil {
			return err
		}
		report, err := readReport(snapshot)
		if err != nil {
			return err
		}
		correct, err := correctOn(ctx, snapshot, valPart)
		if err != nil {
			return err
		}
		res.Experiments = append(res.Experiments, ExperimentResult{e.Name, scoresOf(report.Val), scoresOf(report.Test), report})
		candidates = append(candidates, eval.Candidate{Name: e.Name, Correct: correct, Loss: report.Val.Loss.Value})
	}
	choice, err := eval.Choose(candidates)
	if err != nil {
		return err
	}
	res.Best, res.Reason, res.Ties = choice.Name, choice.Why, choice.Ties()
	return nil
}

func readReport(s *tracking.Snapshot) (Report, error) {
	var r Report
	b, err := s.ReadFile(reportFile)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s of %s: %w: %w", reportFile, s.Name(), solera.ErrCorrupt, err)
	}
	return r, nil
}

// correctOn says of each row of a part whether the model put it into its
// class, in the order of predictions.parquet, which is the same for every
// model of one data set.
func correctOn(ctx context.Context, s *tracking.Snapshot, part string) ([]bool, error) {
	f, err := s.OpenFile(predictionsFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := table.ReadParquet(ctx, s.Name()+"/"+predictionsFile, f, f.Size(), table.Options{
		Types: map[string]table.Kind{"split": table.Category, "true": table.Category, "predicted": table.Category},
	})
	if err != nil {
		return nil, err
	}
	split, truth, predicted := t.Column("split"), t.Column("true"), t.Column("predicted")
	if split == nil || truth == nil || predicted == nil {
		return nil, fmt.Errorf("%s of %s lacks a column: %w", predictionsFile, s.Name(), solera.ErrCorrupt)
	}
	var correct []bool
	for i := range t.Len() {
		if split.Text(i) == part {
			correct = append(correct, truth.Text(i) == predicted.Text(i))
		}
	}
	return correct, nil
}
