package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/model"
	"github.com/solera-ml/solera/table"
)

func (a *app) predictCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "predict NAME[:REF] FILE",
		Short: "Predict the classes of raw rows",
		Long: `Read raw rows from FILE (CSV, JSON lines or Parquet; - is stdin) and
write each row's number, class and probabilities, as CSV or with --json as JSON.
FILE needs the columns that the model was trained on; others are ignored.`,
		Example: "  solera predict trained-wine-model-exp001 new.csv > classes.csv",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage("solera predict takes a model and a file: solera predict trained-wine-model-exp001 new.csv")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.predict(c.Context(), args[0], args[1]) },
	}
}

func (a *app) predict(ctx context.Context, ref, file string) error {
	w, err := a.openProject(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	snapshot, err := w.Open(ctx, ref)
	if err != nil {
		return a.absent(err, ref)
	}
	if _, ok := snapshot.Version.File("model.json"); !ok {
		return &solera.InputError{Msg: snapshot.Name() + " is not a trained model", Hint: "solera artifacts lists the versions; trained models are called trained-…"}
	}
	m, err := model.Open(snapshot)
	if err != nil {
		return fmt.Errorf("open %s: %w", snapshot.Name(), err)
	}
	// What means "no value" is the model's and not today's solera.yaml's: -999
	// read as a number would be predicted from.
	var schema table.Schema
	content, err := snapshot.ReadFile("schema.json")
	if err == nil {
		err = json.Unmarshal(content, &schema)
	}
	if err != nil {
		return fmt.Errorf("open %s: schema.json: %w", snapshot.Name(), err)
	}
	t, err := a.readRows(ctx, file, table.Options{Types: m.Types(), MissingValues: schema.Missing()})
	if err != nil {
		return err
	}
	e, err := a.engine(runtime.GOMAXPROCS(0))
	if err != nil {
		return err
	}
	defer e.Close()
	out := bufio.NewWriter(a.stdout)
	each, end := writeCSV(out, m)
	if a.json {
		each, end = writeJSON(out)
	}
	if err := model.NewPredictor(m, e).Each(ctx, t, each); err != nil {
		// The model does not know where the rows are from.
		var in *solera.InputError
		if errors.As(err, &in) && in.File == "" {
			named := *in
			named.Op, named.File = "predict", file
			if file == "-" {
				named.File = "stdin"
			}
			return &named
		}
		return err
	}
	if err := end(); err != nil {
		return err
	}
	return out.Flush()
}

// readRows reads the rows to predict; "-" is stdin.
func (a *app) readRows(ctx context.Context, file string, o table.Options) (*table.Table, error) {
	if file == "-" {
		return table.Read(ctx, "stdin", a.stdin, o)
	}
	return table.Open(ctx, a.path(file), o)
}

// writeCSV returns what writes predictions as CSV: row, class and a column per
// class with its probability.
func writeCSV(w io.Writer, m *model.Model) (each func(model.Prediction) error, end func() error) {
	c := csv.NewWriter(w)
	header := false
	record := []string{"row", "class"}
	each = func(p model.Prediction) error {
		if !header {
			header = true
			if err := c.Write(append(record, p.Classes...)); err != nil {
				return err
			}
		}
		record = append(record[:0], strconv.FormatInt(p.Row, 10), p.Class)
		for _, x := range p.Probabilities {
			record = append(record, strconv.FormatFloat(float64(x), 'g', -1, 32))
		}
		return c.Write(record)
	}
	end = func() error { c.Flush(); return c.Error() }
	return each, end
}

// writeJSON returns what writes predictions as one JSON array, a line each.
func writeJSON(w io.Writer) (each func(model.Prediction) error, end func() error) {
	before := "["
	each = func(p model.Prediction) error {
		b, err := json.Marshal(p)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n  %s", before, b)
		before = ","
		return err
	}
	end = func() error {
		tail := "\n]\n"
		if before == "[" {
			tail = "[]\n"
		}
		_, err := io.WriteString(w, tail)
		return err
	}
	return each, end
}
