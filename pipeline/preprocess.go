package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tracking"
	"github.com/solera-ml/solera/transform"
)

// Rules returns the steps in the form that package transform plans by.
func (c *Config) Rules() transform.Rules {
	p := c.Preprocess
	r := transform.Rules{Number: p.Numeric, Category: p.Categorical, Boolean: p.Boolean, Date: p.Date}
	for name, steps := range p.Columns {
		if r.Columns == nil {
			r.Columns = make(map[string][]transform.Step, len(p.Columns))
		}
		r.Columns[name] = steps
	}
	return r
}

// preprocess fits the steps on the training rows and applies them to all three
// parts. One part is in memory at a time.
func (p *Pipeline) preprocess(ctx context.Context, t task) (output, error) {
	c := p.Config
	raw := t.inputs[c.RawName()]
	schemaFile, err := raw.ReadFile("schema.json")
	if err != nil {
		return output{}, err
	}
	var schema table.Schema
	if err := json.Unmarshal(schemaFile, &schema); err != nil {
		return output{}, fmt.Errorf("schema.json of %s: %w: %w", raw.Name(), solera.ErrCorrupt, err)
	}
	train, err := rawPart(ctx, raw, trainPart, schema)
	if err != nil {
		return output{}, err
	}
	plan, err := transform.NewPlan(train, c.Rules(), p.notFeatures(train)...)
	if err != nil {
		return output{}, err
	}
	fitted, err := plan.Fit(train, nil)
	if err != nil {
		return output{}, err
	}
	labels, err := transform.FitLabels(train, c.Data.Target, nil)
	if err != nil {
		return output{}, err
	}
	p.reporter().Line(Preprocess, fmt.Sprintf("fitted on %d training rows: %d columns become %d features", train.Len(), len(plan.Columns), fitted.Inputs()))
	for _, warning := range fitted.Warnings() {
		p.reporter().Warning(Preprocess, warning)
	}
	fittedFile, err := fitted.JSON()
	if err != nil {
		return output{}, err
	}
	labelsFile, err := indented(labels)
	if err != nil {
		return output{}, err
	}
	part := func(t *table.Table) (table.Matrix, error) {
		x, err := fitted.Apply(t, nil)
		if err != nil {
			return table.Matrix{}, err
		}
		y, err := labels.Encode(t, nil)
		return table.Matrix{Names: fitted.Names(), X: x, Rows: t.RowNumbers, Target: c.Data.Target, Y: y, Classes: labels.Classes}, err
	}
	// The training table is in memory already; the other two are read when
	// their file is written.
	first, err := part(train)
	if err != nil {
		return output{}, err
	}
	train = nil
	later := func(name string) tracking.Source {
		return tracking.Writer(func(w io.Writer) error {
			t, err := rawPart(ctx, raw, name, schema)
			if err != nil {
				return err
			}
			m, err := part(t)
			if err != nil {
				return err
			}
			return table.WriteMatrixParquet(w, m)
		})
	}
	meta := solera.Fields{
		"features": fitted.Inputs(), "target": c.Data.Target, "classes": labels.Classes,
		"split": raw.Metadata["split"], "warnings": warningsOf(fitted),
	}
	return output{
		draft: tracking.Draft{
			Artifact: c.PreprocessName(), Type: "dataset", Metadata: meta,
			Files: map[string]tracking.Source{
				"train.parquet":  tracking.Writer(func(w io.Writer) error { return table.WriteMatrixParquet(w, first) }),
				"val.parquet":    later(valPart),
				"test.parquet":   later(testPart),
				"transform.json": tracking.Bytes(fittedFile),
				"labels.json":    tracking.Bytes(labelsFile),
				"schema.json":    tracking.Bytes(schemaFile),
			},
		},
		summary: solera.Fields{"features": fitted.Inputs(), "warnings": len(fitted.Warnings())},
	}, nil
}

// rawPart reads one part of a raw data set with the kinds that load gave it.
func rawPart(ctx context.Context, raw *tracking.Snapshot, part string, schema table.Schema) (*table.Table, error) {
	f, err := raw.OpenFile(part + ".parquet")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return table.ReadParquet(ctx, raw.Name()+"/"+part+".parquet", f, f.Size(), table.Options{Types: schema.Types()})
}

// matrixPart reads one part of a preprocessed data set.
func matrixPart(ctx context.Context, data *tracking.Snapshot, part string) (table.Matrix, error) {
	f, err := data.OpenFile(part + ".parquet")
	if err != nil {
		return table.Matrix{}, err
	}
	defer f.Close()
	return table.ReadMatrixParquet(ctx, data.Name()+"/"+part+".parquet", f, f.Size())
}

// readFitted reads how rows became features, and the classes of the target.
func readFitted(s *tracking.Snapshot) (*transform.Fitted, transform.Labels, error) {
	var labels transform.Labels
	b, err := s.ReadFile("transform.json")
	if err != nil {
		return nil, labels, err
	}
	fitted, err := transform.ParseFitted(b)
	if err != nil {
		return nil, labels, fmt.Errorf("transform.json of %s: %w", s.Name(), err)
	}
	if b, err = s.ReadFile("labels.json"); err != nil {
		return nil, labels, err
	}
	if err := json.Unmarshal(b, &labels); err != nil {
		return nil, labels, fmt.Errorf("labels.json of %s: %w: %w", s.Name(), solera.ErrCorrupt, err)
	}
	return fitted, labels, labels.Check()
}

// warningsOf is never nil, so that files and records show an empty list.
func warningsOf(f *transform.Fitted) []string { return append([]string{}, f.Warnings()...) }
