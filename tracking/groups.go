package tracking

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// A ProjectOverview is a project with what there is in it.
type ProjectOverview struct {
	Name      string
	Runs      int
	Running   int
	Artifacts int
	Updated   solera.Micros // when something was last made or started in it
}

// Overview returns the projects of the store by name.
func (t *Tracker) Overview(ctx context.Context) ([]ProjectOverview, error) {
	var projects []ProjectOverview
	err := t.Store.View(ctx, func(tx solera.Tx) error {
		projects = nil
		names, err := projectNames(tx)
		if err != nil {
			return err
		}
		for _, name := range names {
			p := ProjectOverview{Name: name}
			if p.Runs, err = tx.CountRuns(solera.RunQuery{Project: name}); err != nil {
				return err
			}
			if p.Running, err = tx.CountRuns(solera.RunQuery{Project: name, State: solera.Running}); err != nil {
				return err
			}
			newest, err := tx.Runs(solera.RunQuery{Project: name, Limit: 1})
			if err != nil {
				return err
			}
			for _, r := range newest {
				p.Updated = max(r.Created, r.Started, r.Finished)
			}
			artifacts, err := tx.Artifacts(name)
			if err != nil {
				return err
			}
			p.Artifacts = len(artifacts)
			for _, a := range artifacts {
				p.Updated = max(p.Updated, a.Updated)
			}
			projects = append(projects, p)
		}
		return nil
	})
	return projects, err
}

// Values returns what a run has at fields as in solera.Expr; a field that it
// lacks is left out.
func Values(r solera.Run, fields []string) solera.Fields {
	values := make(solera.Fields, len(fields))
	flat := map[string]solera.Fields{}
	for _, field := range fields {
		if v := valueOf(r, flat, field); v != nil {
			values[field] = v
		}
	}
	return values
}

func valueOf(r solera.Run, flat map[string]solera.Fields, field string) any {
	head, rest, nested := strings.Cut(field, ".")
	if nested {
		var object solera.Fields
		switch head {
		case "params":
			object = r.Params
		case "summary":
			object = r.Summary
		case "environment":
			object = r.Environment
		default:
			return nil
		}
		if flat[head] == nil {
			flat[head] = object.Flat()
		}
		return flat[head][rest]
	}
	text := ""
	switch field {
	case "id":
		text = string(r.ID)
	case "name":
		text = r.Name
	case "project":
		text = r.Project
	case "stage":
		text = r.Stage
	case "experiment":
		text = r.Experiment
	case "group":
		text = r.Group
	case "sweep":
		text = r.Sweep
	case "state":
		text = string(r.State)
	case "host":
		text = r.Host
	case "notes":
		text = r.Notes
	case "error":
		text = r.Error
	case "solera":
		text = r.Solera
	case "created":
		text = r.Created.String()
	case "started":
		text = r.Started.String()
	case "finished":
		text = r.Finished.String()
	case "stopping":
		text = r.Stopping.String()
	case "tags":
		if len(r.Tags) > 0 {
			return r.Tags
		}
	case "duration":
		if r.Started != 0 && r.Finished != 0 {
			return float64(r.Finished-r.Started) / 1e6
		}
	}
	if text == "" {
		return nil
	}
	return text
}

// groupRuns is the most runs that are put into groups; someValues how many
// texts of a field are told.
const (
	groupRuns  = 50_000
	someValues = 20
)

// A RunColumn is a field that runs have.
type RunColumn struct {
	Name string
	Kind string // "number", "text", "bool"; "mixed" where runs differ
	Runs int    // that have it
	Some []string
}

// Columns returns the fields of the params and summaries of runs, by name, and
// up to 20 values of those that hold text, the most frequent first. Project ""
// means all.
func (t *Tracker) Columns(ctx context.Context, project string) ([]RunColumn, error) {
	var fields []solera.RunField
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		fields, err = tx.RunFields(solera.RunQuery{Project: project}, someValues)
		return err
	})
	if err != nil {
		return nil, err
	}
	columns := make([]RunColumn, len(fields))
	for i, f := range fields {
		kind := "mixed"
		switch {
		case f.Texts+f.Flags == 0:
			kind = "number"
		case f.Numbers+f.Flags == 0:
			kind = "text"
		case f.Numbers+f.Texts == 0:
			kind = "bool"
		}
		columns[i] = RunColumn{f.Field, kind, f.Runs, f.Some}
	}
	return columns, nil
}

// eachRun calls fn with the newest runs of q, at most limit, in one snapshot.
func (t *Tracker) eachRun(ctx context.Context, q solera.RunQuery, limit int, fn func(solera.Run)) error {
	var all []solera.Run
	err := t.Store.View(ctx, func(tx solera.Tx) error {
		q.Limit = limit
		var err error
		all, err = tx.Runs(q)
		return err
	})
	for _, r := range all {
		fn(r)
	}
	return err
}

// A RunGroup is the runs that have the same values.
type RunGroup struct {
	By      solera.Fields  // a field that they lack is left out
	Runs    int            // how many
	IDs     []solera.RunID // the newest, at most 200
	Metrics map[string]Average
}

// An Average is of the runs of a group that have a finite number.
type Average struct {
	N        int
	Mean     float64
	SD       float64 // of a sample; NaN of fewer than two
	Low      float64 // 95 % interval of the mean (Student); NaN of fewer than two
	High     float64
	Min, Max float64
}

// Groups puts the runs that q chooses together by the values of fields, and
// averages metrics over each. The largest group comes first, of equal ones the
// one with the newest run. More than 50,000 runs are ErrInvalid.
func (t *Tracker) Groups(ctx context.Context, q solera.RunQuery, by, metrics []string) ([]RunGroup, error) {
	for _, field := range slices.Concat(by, metrics) {
		if err := solera.CheckField(field); err != nil {
			return nil, err
		}
	}
	var order []string
	groups := map[string]*RunGroup{}
	numbers := map[string]map[string][]float64{}
	seen := 0
	var fault error
	err := t.eachRun(ctx, q, groupRuns+1, func(r solera.Run) {
		seen++
		values := Values(r, by)
		raw, err := values.MarshalJSON()
		if err != nil {
			fault = fmt.Errorf("run %s: %w", r.ID, err)
			return
		}
		key := string(raw)
		g := groups[key]
		if g == nil {
			g = &RunGroup{By: values}
			groups[key], numbers[key] = g, map[string][]float64{}
			order = append(order, key)
		}
		if g.Runs++; len(g.IDs) < 200 {
			g.IDs = append(g.IDs, r.ID)
		}
		of := Values(r, metrics)
		for _, metric := range metrics {
			if x, ok := of.Float(metric); ok && !math.IsNaN(x) && !math.IsInf(x, 0) {
				numbers[key][metric] = append(numbers[key][metric], x)
			}
		}
	})
	switch {
	case err != nil:
		return nil, err
	case fault != nil:
		return nil, fault
	case seen > groupRuns:
		return nil, fmt.Errorf("group runs: %w: more than %d; choose fewer with a condition", solera.ErrInvalid, groupRuns)
	}
	out := make([]RunGroup, 0, len(order))
	for _, key := range order {
		g := groups[key]
		g.Metrics = map[string]Average{}
		for metric, values := range numbers[key] {
			g.Metrics[metric] = AverageOf(values)
		}
		out = append(out, *g)
	}
	slices.SortStableFunc(out, func(a, b RunGroup) int { return cmp.Compare(b.Runs, a.Runs) })
	return out, nil
}

// AverageOf returns the average of finite values; of none, NaN.
func AverageOf(values []float64) Average {
	nan := math.NaN()
	a := Average{N: len(values), Mean: nan, SD: nan, Low: nan, High: nan, Min: nan, Max: nan}
	if a.N == 0 {
		return a
	}
	// Scaled, so that the largest numbers do not overflow in the sum.
	n := float64(a.N)
	a.Mean, a.Min, a.Max = 0, slices.Min(values), slices.Max(values)
	for _, v := range values {
		a.Mean += v / n
	}
	a.Mean = min(max(a.Mean, a.Min), a.Max)
	if a.N < 2 {
		return a
	}
	scale := max(a.Max-a.Mean, a.Mean-a.Min)
	if scale == 0 || math.IsInf(scale, 0) {
		a.SD, a.Low, a.High = scale, a.Mean-scale, a.Mean+scale
		return a
	}
	sum := 0.0
	for _, v := range values {
		d := (v - a.Mean) / scale
		sum += float64(d * d)
	}
	a.SD = scale * math.Sqrt(sum/(n-1))
	half := student(a.N-1) * a.SD / math.Sqrt(n)
	a.Low, a.High = a.Mean-half, a.Mean+half
	return a
}

// student returns the 97.5 % quantile of Student's distribution.
func student(freedom int) float64 {
	exact := [...]float64{
		12.706204736, 4.302652730, 3.182446305, 2.776445105, 2.570581836, 2.446911851, 2.364624252, 2.306004135,
		2.262157163, 2.228138852, 2.200985160, 2.178812830, 2.160368656, 2.144786688, 2.131449546, 2.119905299,
		2.109815578, 2.100922040, 2.093024054, 2.085963447,
	}
	if freedom <= len(exact) {
		return exact[freedom-1]
	}
	// The expansion of Cornish and Fisher: right to six digits from here on.
	const z = 1.959963984540054
	const z3, z5, z7 = z * z * z, z * z * z * z * z, z * z * z * z * z * z * z
	v := float64(freedom)
	return z + (z3+z)/4/v + (5*z5+16*z3+3*z)/96/(v*v) + (3*z7+19*z5+17*z3-15*z)/384/(v*v*v)
}
