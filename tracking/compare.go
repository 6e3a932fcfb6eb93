package tracking

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// A Comparison says what two or more runs have in common and what not.
type Comparison struct {
	Runs     []solera.Run
	Sections []Section
}

// A Section is one side of runs: their params, their inputs.
type Section struct {
	Name string
	Rows []Row
}

// A Row is one thing that at least one of the runs has.
type Row struct {
	Key string
	// Values are of the runs in order, as JSON has them; nil = the run lacks it.
	Values []any
	// Differences are from the first run; nil where not both are numbers, and
	// for the first.
	Differences []*float64
	Same        bool // all runs have it, and it is the same
}

// Differing returns the section without the rows that are the same.
func (s Section) Differing() Section {
	return Section{s.Name, slices.DeleteFunc(slices.Clone(s.Rows), func(r Row) bool { return r.Same })}
}

// mostMetrics is of how many metrics a comparison reads the series.
const mostMetrics = 200

// systemPrefix begins the metrics that are about the machine, not the model.
const systemPrefix = "system/"

// Compare compares the runs that names mean, see FindRun, in sections: run,
// params, summary, metrics (the last value of each series), inputs, outputs,
// code, environment.
func (t *Tracker) Compare(ctx context.Context, names []string) (Comparison, error) {
	if len(names) < 2 {
		return Comparison{}, fmt.Errorf("compare runs: %w: name two or more", solera.ErrInvalid)
	}
	c := Comparison{}
	tables := map[string][]solera.Fields{} // by section, then by run
	for _, name := range names {
		d, err := t.Detail(ctx, name)
		if err != nil {
			return Comparison{}, err
		}
		c.Runs = append(c.Runs, d.Run)
		last, err := t.lastValues(ctx, d)
		if err != nil {
			return Comparison{}, err
		}
		code, environment := environmentOf(d.Run)
		for section, fields := range map[string]solera.Fields{
			"run": aboutRun(d.Run), "params": d.Params.Flat(), "summary": d.Summary.Flat(), "metrics": last,
			"inputs": contents(d.Used), "outputs": contents(d.Made), "code": code, "environment": environment,
		} {
			tables[section] = append(tables[section], fields)
		}
	}
	for _, name := range []string{"run", "params", "summary", "metrics", "inputs", "outputs", "code", "environment"} {
		section, err := compareFields(name, tables[name])
		if err != nil {
			return Comparison{}, err
		}
		if len(section.Rows) > 0 {
			c.Sections = append(c.Sections, section)
		}
	}
	return c, nil
}

// aboutRun returns what is worth comparing of the record itself.
func aboutRun(r solera.Run) solera.Fields {
	f := solera.Fields{"stage": r.Stage, "state": string(r.State)}
	for key, text := range map[string]string{
		"experiment": r.Experiment, "group": r.Group, "sweep": r.Sweep, "notes": r.Notes, "error": r.Error, "tags": strings.Join(r.Tags, " "),
	} {
		if text != "" {
			f[key] = text
		}
	}
	if r.Started != 0 && r.Finished != 0 {
		f["duration"] = float64(r.Finished-r.Started) / 1e6
	}
	return f
}

// environmentOf returns what a run was made of and what it ran on.
func environmentOf(r solera.Run) (code, environment solera.Fields) {
	code, environment = solera.Fields{}, solera.Fields{}
	for key, v := range r.Environment.Flat() {
		if strings.HasPrefix(key, clientField+".") {
			continue // of another program's concern
		}
		if strings.HasPrefix(key, "git.") {
			code[key] = v
		} else {
			environment[key] = v
		}
	}
	if r.Host != "" {
		environment["host"] = r.Host
	}
	if r.Solera != "" {
		code["solera"] = r.Solera
	}
	if !r.Code.IsZero() {
		code["code"] = r.Code.String()
	}
	return code, environment
}

// contents returns versions by artifact. Versions of one content are the same,
// whatever their numbers.
func contents(versions []solera.Version) solera.Fields {
	f := solera.Fields{}
	for _, v := range versions {
		text := fmt.Sprintf("v%d %s", v.Number, v.Digest.Short())
		if before, ok := f[v.Artifact].(string); ok {
			text = before + ", " + text
		}
		f[v.Artifact] = text
	}
	return f
}

// lastValues returns the last value of each metric about the model.
func (t *Tracker) lastValues(ctx context.Context, d RunDetail) (solera.Fields, error) {
	f := solera.Fields{}
	for _, key := range d.Metrics {
		if strings.HasPrefix(key, systemPrefix) {
			continue
		}
		if len(f) == mostMetrics {
			break
		}
		points, err := t.Store.Series(ctx, solera.SeriesQuery{Run: d.Recorder(), Key: key, Pixels: 1})
		if err != nil {
			return nil, err
		}
		if n := len(points); n > 0 {
			f[key] = points[n-1].Value
		}
	}
	return f, nil
}

// compareFields makes the rows of a section of what each run has.
func compareFields(name string, runs []solera.Fields) (Section, error) {
	section := Section{Name: name}
	keys := map[string]bool{}
	for _, fields := range runs {
		for key := range fields {
			keys[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		row := Row{Key: key, Same: true, Values: make([]any, len(runs)), Differences: make([]*float64, len(runs))}
		var first string
		base, isNumber := runs[0].Float(key)
		for i, fields := range runs {
			row.Values[i] = fields[key]
			raw, err := sameForm(name, fields[key])
			if err != nil {
				return Section{}, fmt.Errorf("compare %s.%s: %w", name, key, err)
			}
			if i == 0 {
				first = raw
				continue
			}
			row.Same = row.Same && raw == first
			if x, ok := fields.Float(key); ok && isNumber {
				difference := x - base
				row.Differences[i] = &difference
			}
		}
		section.Rows = append(section.Rows, row)
	}
	return section, nil
}

// sameForm returns what two values have in common if they are the same: their
// JSON, and of a version its digest alone.
func sameForm(section string, v any) (string, error) {
	if s, ok := v.(string); ok && (section == "inputs" || section == "outputs") {
		var digests []string
		for version := range strings.SplitSeq(s, ", ") {
			_, digest, _ := strings.Cut(version, " ")
			digests = append(digests, digest)
		}
		return strings.Join(digests, " "), nil
	}
	if x, ok := v.(float64); ok {
		return fmt.Sprint(x), nil // NaN has no JSON
	}
	raw, err := solera.Fields{"": v}.MarshalJSON()
	return string(raw), err
}

// MarshalJSON returns the row as scripts see it.
func (r Row) MarshalJSON() ([]byte, error) {
	values, err := solera.Fields{"": r.Values}.MarshalJSON() // NaN = null
	if err != nil {
		return nil, err
	}
	differences := make([]any, len(r.Differences))
	for i, d := range r.Differences {
		if d != nil {
			differences[i] = *d
		}
	}
	shown, err := solera.Fields{"": differences}.MarshalJSON()
	if err != nil {
		return nil, err
	}
	inner := func(b []byte) json.RawMessage { return b[len(`{"":`) : len(b)-1] }
	return json.Marshal(struct {
		Key         string          `json:"key"`
		Values      json.RawMessage `json:"values"`
		Differences json.RawMessage `json:"differences"`
		Same        bool            `json:"same"`
	}{r.Key, inner(values), inner(shown), r.Same})
}
