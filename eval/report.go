package eval

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/solera-ml/solera"
)

// A Report is the evaluation of one model on one split: what report.json holds.
// It depends on the outcomes, their row numbers and the seed alone.
type Report struct {
	Split            string        `json:"split"`
	N                int           `json:"n"`
	Classes          []string      `json:"classes"`
	Accuracy         Score         `json:"accuracy"`          // Wilson interval
	Loss             Score         `json:"loss"`              // mean cross-entropy; this and the following have bootstrap intervals
	MacroF1          Score         `json:"macro_f1"`          //
	BalancedAccuracy Score         `json:"balanced_accuracy"` // mean recall of the classes
	MCC              Score         `json:"mcc"`               // Matthews' correlation
	Brier            Score         `json:"brier"`             // 0 to 2
	ROCAUC           Score         `json:"roc_auc"`           // mean of each class against the rest; no interval
	PerClass         []ClassReport `json:"per_class"`
	Confusion        Confusion     `json:"confusion"` // [true][predicted]
	Hardest          []HardRow     `json:"hardest"`   // by falling loss
	Bootstrap        Bootstrap     `json:"bootstrap"`
}

// A ClassReport tells how well one class is found. Precision rests on the rows
// predicted as the class, recall on the rows that are of it.
type ClassReport struct {
	Class     string `json:"class"`
	Support   int    `json:"support"`
	Precision Score  `json:"precision"`
	Recall    Score  `json:"recall"`
	F1        Number `json:"f1"`
}

// A HardRow is a row to which the model gave little probability for the truth.
type HardRow struct {
	Row           int64    `json:"row"` // its number for life
	True          string   `json:"true"`
	Predicted     string   `json:"predicted"`
	Loss          Number   `json:"loss"`
	Probabilities []Number `json:"probabilities"` // in the order of the classes
}

// hardest is the number of rows that a report lists.
const hardest = 10

// NewReport evaluates the outcomes of a split. classes are the labels; rows the
// numbers of the rows, in the order of the outcomes; the seed is the run's.
func NewReport(split string, classes []string, rows []int64, o Outcomes, seed uint64) (Report, error) {
	if len(classes) != o.Classes || len(rows) != o.Len() {
		return Report{}, fmt.Errorf("evaluate: %d labels for %d classes, %d row numbers for %d rows: %w", len(classes), o.Classes, len(rows), o.Len(), solera.ErrInvalid)
	}
	if o.Len() == 0 {
		return Report{}, fmt.Errorf("evaluate: the %s split has no rows: %w", split, solera.ErrInvalid)
	}
	c := o.Confusion()
	t := c.tally()
	r := Report{
		Split: split, N: o.Len(), Classes: classes, Confusion: c,
		Accuracy:         Share(Accuracy, split, t.hits(), t.rows),
		Loss:             Score{Metric: Loss, Value: o.LogLoss()},
		MacroF1:          Score{Metric: MacroF1, Value: t.macroF1()},
		BalancedAccuracy: Score{Metric: BalancedAccuracy, Value: t.balanced()},
		MCC:              Score{Metric: MCC, Value: t.mcc()},
		Brier:            Score{Metric: Brier, Value: o.Brier()},
		ROCAUC:           Score{Metric: ROCAUC, Value: o.AUC(false)},
	}
	r.Bootstrap = newBootstrap(o.Len(), seed)
	lows, highs := r.Bootstrap.intervals(o)
	for i, s := range []*Score{&r.Loss, &r.Brier, &r.MacroF1, &r.BalancedAccuracy, &r.MCC, &r.ROCAUC} {
		s.Split, s.N, s.Low, s.High = split, r.N, math.NaN(), math.NaN()
		if i < len(lows) {
			s.Low, s.High = lows[i], highs[i]
		}
	}
	for k, name := range classes {
		r.PerClass = append(r.PerClass, ClassReport{
			Class: name, Support: t.truth[k], F1: Number(t.f1(k)),
			Precision: Share(Precision, split, t.hit[k], t.predicted[k]),
			Recall:    Share(Recall, split, t.hit[k], t.truth[k]),
		})
	}
	r.Hardest = hardRows(classes, rows, o)
	return r, nil
}

func hardRows(classes []string, rows []int64, o Outcomes) []HardRow {
	order := make([]int, o.Len())
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case o.Losses[a] > o.Losses[b]:
			return -1
		case o.Losses[a] < o.Losses[b]:
			return 1
		case rows[a] < rows[b]:
			return -1
		case rows[a] > rows[b]:
			return 1
		}
		return 0
	})
	list := []HardRow{}
	for _, i := range order[:min(hardest, len(order))] {
		h := HardRow{Row: rows[i], True: classes[o.True[i]], Predicted: classes[o.Predicted[i]], Loss: Number(o.Losses[i])}
		for _, p := range o.Row(i) {
			h.Probabilities = append(h.Probabilities, Number(p))
		}
		list = append(list, h)
	}
	return list
}

// JSON returns the report as report.json has it: indented, ending in a newline,
// the same bytes for the same report.
func (r Report) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	return append(b, '\n'), nil
}
