package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"slices"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/eval"
	"github.com/solera-ml/solera/pipeline"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tracking"
)

// The files of a trained model that tell how good it is.
const (
	reportFile      = "report.json"
	predictionsFile = "predictions.parquet"
)

// Evaluation is how well the model of a training run does.
type Evaluation struct {
	Model      string                `json:"model"` // "project/name:v0"
	Experiment string                `json:"experiment"`
	BestEpoch  int                   `json:"best_epoch"`
	Epochs     int                   `json:"epochs"`
	Warnings   []string              `json:"warnings"`
	Classes    []string              `json:"classes"`
	Parts      map[string]PartScores `json:"parts"` // "val", "test"
}

// PartScores are the scores on the rows of one part.
type PartScores struct {
	Rows        int              `json:"rows"`
	Scores      map[string]Score `json:"scores"`    // accuracy, loss, macro_f1 …
	Confusion   [][]int          `json:"confusion"` // [true][predicted]
	Reliability []Bin            `json:"reliability"`
	PerClass    []ClassScore     `json:"per_class"`
}

// A Score is a number with the rows that it rests on and its 95 % interval.
type Score struct {
	Value Number   `json:"value"`
	Low   *float64 `json:"low"`
	High  *float64 `json:"high"`
	N     int      `json:"n"`
	Right *int     `json:"right"` // of accuracy: rows that are right
}

// A Bin holds the rows whose largest probability is in (from, to].
type Bin struct {
	From       float64 `json:"from"`
	To         float64 `json:"to"`
	Confidence float64 `json:"confidence"` // mean of those probabilities
	Accuracy   float64 `json:"accuracy"`   // share of the rows that are right
	N          int     `json:"n"`
}

// A ClassScore tells how well one class is found.
type ClassScore struct {
	Class     string `json:"class"`
	Precision Number `json:"precision"`
	Recall    Number `json:"recall"`
	F1        Number `json:"f1"`
	N         int    `json:"n"` // rows of the class
}

// Rows are rows that a model was tested on, with what it said of them.
type Rows struct {
	Classes []string `json:"classes"`
	Columns []string `json:"columns"` // of the raw table; empty if that is gone
	Rows    []Row    `json:"rows"`
	Total   int      `json:"total"`
}

// A Row is one of them.
type Row struct {
	Number        int64    `json:"number"` // in the source
	True          string   `json:"true"`
	Predicted     string   `json:"predicted"`
	Probabilities []Number `json:"probabilities"`
	Loss          Number   `json:"loss"`
	Values        []any    `json:"values"` // of Columns
}

// scored is what is known of the answers of one model. It is not changed.
type scored struct {
	evaluation Evaluation
	parts      map[string]*answers
}

// answers are what the model said of the rows of one part.
type answers struct {
	rows      []int64
	truth     []int32 // indices of classes
	predicted []int32
	losses    []float64
	probs     [][]float64 // by class
}

func (s *service) evaluationRoutes() {
	add(s, route{method: http.MethodGet, path: "/runs/{id}/evaluation", id: "get-evaluation", summary: "How well the model does that a run trained", tag: "runs", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *InRun) (*answer[Evaluation], error) {
			_, m, err := s.evaluated(ctx, t, in.ID)
			if err != nil {
				return nil, err
			}
			return &answer[Evaluation]{m.evaluation}, nil
		})
	add(s, route{method: http.MethodGet, path: "/runs/{id}/rows", id: "list-rows", summary: "The rows that the model of a run was tested on", tag: "runs", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InRun
			Part      string `query:"part" enum:"val,test" default:"test"`
			True      string `query:"true" maxLength:"1024" doc:"only rows of this class"`
			Predicted string `query:"predicted" maxLength:"1024" doc:"only rows put into this class"`
			Order     string `query:"order" enum:"hardest,easiest,number" default:"hardest"`
			Limit     int    `query:"limit" minimum:"0" maximum:"1000" doc:"0 for 50"`
			Offset    int    `query:"offset" minimum:"0" maximum:"1000000000"`
		},
		) (*answer[Rows], error) {
			v, m, err := s.evaluated(ctx, t, in.ID)
			if err != nil {
				return nil, err
			}
			rows, err := m.choose(in.Part, in.True, in.Predicted, in.Order)
			if err != nil {
				return nil, err
			}
			limit := in.Limit
			if limit == 0 {
				limit = 50
			}
			out := m.page(in.Part, rows, in.Offset, limit)
			return answered(out, s.addValues(ctx, t, v, in.Part, &out))
		})
}

// trained returns the model that a run trained: the version of type model that
// it made and that holds an evaluation.
func trained(ctx context.Context, t *tracking.Tracker, id string) (solera.Version, error) {
	var found solera.Version
	if solera.RunID(id).Check() != nil {
		return found, fmt.Errorf("run %.80q: %w", id, solera.ErrNotFound)
	}
	err := t.Store.View(ctx, func(tx solera.Tx) error {
		found = solera.Version{}
		if _, err := tx.Run(solera.RunID(id)); err != nil {
			return err
		}
		edges, err := tx.Edges(solera.EdgeQuery{Run: solera.RunID(id)})
		if err != nil {
			return err
		}
		for _, e := range edges {
			if e.Kind == solera.Used {
				continue
			}
			v, err := tx.Version(e.Version)
			if err != nil {
				return err
			}
			if _, ok := v.File(reportFile); ok && v.Type == "model" && v.Deleted == 0 {
				found = v
				return nil
			}
		}
		return fmt.Errorf("evaluation of run %s: %w: it has trained no model that is still there", id, solera.ErrNotFound)
	})
	return found, err
}

// evaluated returns the model of a run with its answers.
func (s *service) evaluated(ctx context.Context, t *tracking.Tracker, run string) (solera.Version, *scored, error) {
	v, err := trained(ctx, t, run)
	if err != nil {
		return v, nil, err
	}
	m, err := s.scored.get(within[solera.Digest]{t.Store, v.Digest}, func() (*scored, error) {
		return heavily(ctx, s, func() (*scored, error) { return readScored(ctx, t.Snapshot(ctx, v)) })
	})
	if err != nil {
		return v, nil, err
	}
	own := *m
	own.evaluation.Model = v.ID().String() // the cache goes by content
	return v, &own, nil
}

func readScored(ctx context.Context, snapshot *tracking.Snapshot) (*scored, error) {
	raw, err := snapshot.ReadFile(reportFile)
	if err != nil {
		return nil, err
	}
	var report pipeline.Report
	if err := json.Unmarshal(raw, &report); err != nil {
		return nil, fmt.Errorf("%s of %s: %w: %v", reportFile, snapshot.Name(), solera.ErrCorrupt, err)
	}
	m := &scored{parts: map[string]*answers{}}
	m.evaluation = Evaluation{
		Experiment: report.Experiment, BestEpoch: report.BestEpoch, Epochs: report.Epochs, Warnings: list(report.Warnings),
		Classes: list(report.Test.Classes), Parts: map[string]PartScores{},
	}
	if len(report.Test.Classes) == 0 {
		m.evaluation.Classes = list(report.Val.Classes)
	}
	if err := m.readPredictions(ctx, snapshot); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for part, r := range map[string]eval.Report{"val": report.Val, "test": report.Test} {
		if r.N > 0 {
			m.evaluation.Parts[part] = partScores(r, m.parts[part])
		}
	}
	return m, nil
}

func partScores(r eval.Report, a *answers) PartScores {
	p := PartScores{Rows: r.N, Scores: map[string]Score{}, Confusion: [][]int{}, Reliability: []Bin{}, PerClass: []ClassScore{}}
	for name, score := range map[string]eval.Score{
		eval.Accuracy: r.Accuracy, eval.Loss: r.Loss, eval.MacroF1: r.MacroF1, eval.BalancedAccuracy: r.BalancedAccuracy,
		eval.MCC: r.MCC, eval.Brier: r.Brier, eval.ROCAUC: r.ROCAUC,
	} {
		p.Scores[name] = Score{Value: Number(score.Value), Low: finite(score.Low), High: finite(score.High), N: score.N}
	}
	right := 0
	for i, row := range r.Confusion {
		p.Confusion = append(p.Confusion, list(row))
		if i < len(row) {
			right += row[i]
		}
	}
	accuracy := p.Scores[eval.Accuracy]
	accuracy.Right = &right
	p.Scores[eval.Accuracy] = accuracy
	for _, c := range r.PerClass {
		p.PerClass = append(p.PerClass, ClassScore{
			Class: c.Class, Precision: Number(c.Precision.Value), Recall: Number(c.Recall.Value), F1: Number(c.F1), N: c.Support,
		})
	}
	if a != nil {
		p.Reliability = a.reliability()
	}
	return p
}

// readPredictions reads what the model said of each row.
func (m *scored) readPredictions(ctx context.Context, snapshot *tracking.Snapshot) error {
	f, err := snapshot.OpenFile(predictionsFile)
	if err != nil {
		return err
	}
	defer f.Close()
	kinds := map[string]table.Kind{"split": table.Category, "true": table.Category, "predicted": table.Category, "loss": table.Number}
	for _, class := range m.evaluation.Classes {
		kinds["p_"+class] = table.Number
	}
	t, err := table.ReadParquet(ctx, snapshot.Name()+"/"+predictionsFile, f, f.Size(), table.Options{Types: kinds})
	if err != nil {
		return err
	}
	split, truth, predicted, loss := t.Column("split"), t.Column("true"), t.Column("predicted"), t.Column("loss")
	probabilities := make([]*table.Column, len(m.evaluation.Classes))
	index := map[string]int32{}
	whole := split != nil && truth != nil && predicted != nil && loss != nil
	for i, class := range m.evaluation.Classes {
		index[class] = int32(i)
		probabilities[i] = t.Column("p_" + class)
		whole = whole && probabilities[i] != nil
	}
	if !whole {
		return fmt.Errorf("%s of %s: %w: it lacks a column", predictionsFile, snapshot.Name(), solera.ErrCorrupt)
	}
	for i := range t.Len() {
		a := m.parts[split.Text(i)]
		if a == nil {
			a = &answers{probs: make([][]float64, len(probabilities))}
			m.parts[split.Text(i)] = a
		}
		y, known := index[truth.Text(i)]
		z, said := index[predicted.Text(i)]
		if !known || !said {
			return fmt.Errorf("%s of %s: %w: row %d is of a class that the model does not have", predictionsFile, snapshot.Name(), solera.ErrCorrupt, i)
		}
		a.rows, a.truth, a.predicted = append(a.rows, t.RowNumbers[i]), append(a.truth, y), append(a.predicted, z)
		a.losses = append(a.losses, loss.Numbers[i])
		for c, p := range probabilities {
			a.probs[c] = append(a.probs[c], p.Numbers[i])
		}
	}
	return nil
}

// reliabilityBins is into how many bins the largest probability is cut.
const reliabilityBins = 10

func (a *answers) reliability() []Bin {
	bins := make([]Bin, reliabilityBins)
	for i := range bins {
		bins[i].From, bins[i].To = float64(i)/reliabilityBins, float64(i+1)/reliabilityBins
	}
	for i := range a.rows {
		p := a.probs[a.predicted[i]][i]
		if math.IsNaN(p) {
			continue
		}
		b := &bins[min(max(int(math.Ceil(p*reliabilityBins))-1, 0), reliabilityBins-1)]
		b.N++
		b.Confidence += p
		if a.predicted[i] == a.truth[i] {
			b.Accuracy++
		}
	}
	filled := []Bin{}
	for _, b := range bins {
		if b.N > 0 {
			b.Confidence /= float64(b.N)
			b.Accuracy /= float64(b.N)
			filled = append(filled, b)
		}
	}
	return filled
}

// choose returns the places of the rows that are asked for, in order.
func (m *scored) choose(part, truth, predicted, order string) ([]int, error) {
	a := m.parts[part]
	if a == nil {
		return nil, nil
	}
	class := func(at, name string) (int32, error) {
		if name == "" {
			return -1, nil
		}
		i := slices.Index(m.evaluation.Classes, name)
		if i < 0 {
			return 0, invalid(at, name, "the model has no such class")
		}
		return int32(i), nil
	}
	y, err := class("query.true", truth)
	if err != nil {
		return nil, err
	}
	z, err := class("query.predicted", predicted)
	if err != nil {
		return nil, err
	}
	var rows []int
	for i := range a.rows {
		if (y < 0 || a.truth[i] == y) && (z < 0 || a.predicted[i] == z) {
			rows = append(rows, i)
		}
	}
	slices.SortStableFunc(rows, func(i, j int) int {
		switch order {
		case "hardest":
			return cmp.Or(cmp.Compare(a.losses[j], a.losses[i]), cmp.Compare(a.rows[i], a.rows[j]))
		case "easiest":
			return cmp.Or(cmp.Compare(a.losses[i], a.losses[j]), cmp.Compare(a.rows[i], a.rows[j]))
		}
		return cmp.Compare(a.rows[i], a.rows[j])
	})
	return rows, nil
}

func (m *scored) page(part string, rows []int, offset, limit int) Rows {
	out := Rows{Classes: m.evaluation.Classes, Columns: []string{}, Rows: []Row{}, Total: len(rows)}
	offset = min(offset, len(rows))
	a := m.parts[part]
	for _, i := range rows[offset:min(offset+limit, len(rows))] {
		row := Row{
			Number: a.rows[i], True: m.evaluation.Classes[a.truth[i]], Predicted: m.evaluation.Classes[a.predicted[i]],
			Loss: Number(a.losses[i]), Values: []any{}, Probabilities: []Number{},
		}
		for _, p := range a.probs {
			row.Probabilities = append(row.Probabilities, Number(p[i]))
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// addValues adds the raw values of rows, from the data set that the model was
// made from. One that is gone, or of another make, is no failure: then rows
// have none.
func (s *service) addValues(ctx context.Context, t *tracking.Tracker, v solera.Version, part string, out *Rows) error {
	if len(out.Rows) == 0 {
		return nil
	}
	g, err := t.Trace(ctx, v.ID().String(), tracking.Up)
	if err != nil {
		return err
	}
	file := part + ".parquet"
	for _, n := range g.Nodes {
		if n.Version == nil || n.Version.Type != "dataset" || n.Version.Deleted != 0 {
			continue
		}
		raw, err := t.Version(ctx, n.Version.ID().String())
		if err != nil {
			return err
		}
		e, ok := raw.File(file)
		// What was preprocessed has features in place of values, and no profile.
		if _, profiled := raw.File("profile.json"); !ok || !profiled || e.Ref != "" || e.Size > mostTable {
			continue
		}
		p, err := s.table(ctx, t, raw, e)
		if errors.Is(err, solera.ErrNotFound) {
			return nil // gc has freed it
		}
		if err != nil {
			return err
		}
		place := make(map[int64]int, p.table.Len())
		for i, number := range p.table.RowNumbers {
			place[number] = i
		}
		out.Columns = p.table.Names()
		for i := range out.Rows {
			out.Rows[i].Values = make([]any, len(p.table.Columns))
			if at, ok := place[out.Rows[i].Number]; ok {
				for c, column := range p.table.Columns {
					out.Rows[i].Values[c] = cell(column, at)
				}
			}
		}
		return nil
	}
	return nil
}
