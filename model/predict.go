package model

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tensor"
)

// A Prediction is what a model says about one row.
type Prediction struct {
	Row           int64     // the row's number in its source
	Class         string    // the most probable class; the first of them on a tie
	Index         int32     // of Class among Classes
	Probabilities []float32 // one per class, in class order, summing to 1 within float32
	Classes       []string  // of the model; shared by all predictions
}

// MarshalJSON writes {"row":0,"class":"…","probabilities":{"…":0.98}} with the
// classes in their order.
func (p Prediction) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	quote := func(s string) error {
		q, err := json.Marshal(s)
		b.Write(q)
		return err
	}
	fmt.Fprintf(&b, `{"row":%d,"class":`, p.Row)
	if err := quote(p.Class); err != nil {
		return nil, err
	}
	b.WriteString(`,"probabilities":{`)
	for i, class := range p.Classes {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := quote(class); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		b.WriteString(strconv.FormatFloat(float64(p.Probabilities[i]), 'g', -1, 32))
	}
	b.WriteString("}}")
	return b.Bytes(), nil
}

// A Predictor runs a model on one engine. It is for one goroutine.
type Predictor struct {
	model     *Model
	evaluator *nn.Evaluator
}

// NewPredictor returns a predictor that computes with e.
func NewPredictor(m *Model, e *tensor.Engine) *Predictor {
	return &Predictor{m, nn.NewEvaluator(m.Network, e, 0)}
}

// Predict predicts every row of t with the best kernel of this machine. Who
// predicts often, or chooses the kernel, makes a Predictor.
func (m *Model) Predict(ctx context.Context, t *table.Table) ([]Prediction, error) {
	e, err := tensor.NewEngine("", runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, fmt.Errorf("predict: %w", err)
	}
	defer e.Close()
	return NewPredictor(m, e).Predict(ctx, t)
}

// Predict predicts every row of t, in order.
func (p *Predictor) Predict(ctx context.Context, t *table.Table) ([]Prediction, error) {
	out := make([]Prediction, 0, t.Len())
	err := p.Each(ctx, t, func(one Prediction) error {
		out = append(out, one)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Each predicts the rows of t, in order, and gives them to fn one by one. It
// holds the features of some thousand rows at a time, so t may be a whole
// source or one chunk of an endless one. It stops at the first error of fn,
// and between chunks when ctx is done.
//
// Columns that the model does not read, the target among them, are ignored.
// What Fitted.Apply refuses is an error, as is a row whose values are so far
// from the training data that the network overflows.
func (p *Predictor) Each(ctx context.Context, t *table.Table, fn func(Prediction) error) error {
	classes := p.model.Labels.Classes
	size := max(256, min(1<<16, (1<<22)/(p.model.Fitted.Inputs()+len(classes))))
	rows := make([]int, 0, min(size, t.Len()))
	for lo := 0; lo < t.Len(); lo += size {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("predict: stopped before row %d: %w", t.RowNumbers[lo], err)
		}
		rows = rows[:0]
		for r := lo; r < min(lo+size, t.Len()); r++ {
			rows = append(rows, r)
		}
		x, err := p.model.Fitted.Apply(t, rows)
		if err != nil {
			return fmt.Errorf("predict: %w", err)
		}
		chances := p.evaluator.Predict(x)
		for i, r := range rows {
			row := chances.Row(i)
			best := Best(row)
			if row[best]-row[best] != 0 {
				return &solera.InputError{Op: "predict", Msg: fmt.Sprintf("row %d: the network overflows", t.RowNumbers[r]), Hint: "look for values far outside those of the training data"}
			}
			if err := fn(Prediction{Row: t.RowNumbers[r], Class: classes[best], Index: int32(best), Probabilities: row, Classes: classes}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Best returns the index of the highest probability, the lowest index on a tie.
// When there is a NaN, it is the first one's index.
func Best(probabilities []float32) int {
	best := 0
	for i, v := range probabilities {
		if v != v {
			return i
		}
		if v > probabilities[best] {
			best = i
		}
	}
	return best
}
