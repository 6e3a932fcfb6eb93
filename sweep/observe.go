package sweep

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/solera-ml/solera"
)

// measure is what a run recorded of a sweep's metric.
type measure struct {
	values *Values
	bands  []float64
}

// measure reads it, from the points and from the summary.
func (s *Sweeps) measure(ctx context.Context, spec Spec, run solera.Run) (measure, error) {
	if spec.Metric.Name == "" {
		return measure{}, nil
	}
	points, err := s.Store.Series(ctx, solera.SeriesQuery{Run: run.ID, Key: spec.Metric.Name})
	if err != nil {
		return measure{}, fmt.Errorf("trial %s: %w", run.ID, err)
	}
	history := make([]float64, 0, len(points))
	for _, p := range points {
		if !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0) {
			history = append(history, p.Value)
		}
	}
	var m measure
	for _, x := range history {
		m.add(spec.Metric, x)
	}
	if x, ok := summaryValue(run.Summary, spec.Metric); ok {
		if m.values == nil {
			m.add(spec.Metric, x)
		} else if spec.Metric.better(x, m.values.Best) {
			m.values.Best = x // a summary may keep the best of values that were not recorded
		}
	}
	if spec.Early != nil {
		m.bands = spec.Early.at(history)
	}
	return m, nil
}

func (m *measure) add(metric Metric, x float64) {
	if m.values == nil {
		m.values = &Values{Best: x, Worst: x}
	}
	v := m.values
	v.Count++
	v.Last = x
	if metric.better(x, v.Best) {
		v.Best = x
	}
	if metric.better(v.Worst, x) {
		v.Worst = x
	}
}

// summaryValue returns the value of a metric in a summary, where it may stand
// by itself, within objects, or as an object of its extremes.
func summaryValue(summary solera.Fields, m Metric) (float64, bool) {
	flat := summary.Flat()
	extreme := ".min"
	if m.Maximize {
		extreme = ".max"
	}
	for _, key := range []string{m.Name, m.Name + extreme, m.Name + ".best", m.Name + ".last"} {
		if x, ok := number(flat[key]); ok {
			return x, true
		}
	}
	return 0, false
}

// Trials returns the trials of a sweep by number, with their runs, and the
// sweep.
func (s *Sweeps) Trials(ctx context.Context, id string) (Sweep, []Trial, []solera.Run, error) {
	return s.observe(ctx, id)
}

// observe returns a sweep, its trials and their runs, after noting which of them
// ended and which joined by themselves. Trials under way have the value that
// their summary says.
func (s *Sweeps) observe(ctx context.Context, id string) (Sweep, []Trial, []solera.Run, error) {
	var sweep Sweep
	var trials []Trial
	var runs []solera.Run
	read := func(tx solera.Tx) (err error) {
		if sweep, err = get(tx, id); err != nil {
			return err
		}
		if trials, err = trialsOf(tx, id); err != nil {
			return err
		}
		runs, err = tx.Runs(solera.RunQuery{Sweep: id, Project: sweep.Project, Deleted: true})
		if err != nil {
			return err
		}
		there := make(map[solera.RunID]bool, len(runs))
		for i := range runs {
			runs[i] = present(runs[i])
			there[runs[i].ID] = true
		}
		for _, t := range trials {
			if !there[t.Run] {
				runs = append(runs, removed(t.Run))
			}
		}
		return nil
	}
	if err := s.Store.View(ctx, read); err != nil {
		return Sweep{}, nil, nil, err
	}
	spec, err := sweep.Spec()
	if err != nil {
		return Sweep{}, nil, nil, err
	}
	stale, strangers := compare(trials, runs)
	measured := map[solera.RunID]measure{}
	for _, run := range stale {
		if measured[run.ID], err = s.measure(ctx, spec, run); err != nil {
			return Sweep{}, nil, nil, err
		}
	}
	if len(stale)+len(strangers) > 0 {
		err := s.Store.Update(ctx, func(tx solera.Tx) error {
			if err := read(tx); err != nil {
				return err
			}
			return s.note(tx, &sweep, spec, trials, runs, measured, strangers)
		})
		if err != nil {
			return Sweep{}, nil, nil, fmt.Errorf("sweep %s: %w", clip(id), err)
		}
		if len(strangers) > 0 {
			if err := s.Store.View(ctx, read); err != nil {
				return Sweep{}, nil, nil, err
			}
		}
	}
	byID := make(map[solera.RunID]solera.Run, len(runs))
	for _, run := range runs {
		byID[run.ID] = run
	}
	ordered := make([]solera.Run, len(trials))
	for i := range trials {
		t := &trials[i]
		run := byID[t.Run]
		ordered[i] = run
		if t.State = run.State; !run.State.Ended() {
			if x, ok := summaryValue(run.Summary, spec.Metric); ok && spec.Metric.Name != "" {
				v := Values{Count: 1, Best: x, Worst: x, Last: x}
				if t.Values != nil {
					v.Count, v.Worst = t.Values.Count, t.Values.Worst
					if spec.Metric.better(t.Values.Best, x) {
						v.Best = t.Values.Best
					}
				}
				t.Values = &v
			}
			sweep.improve(spec, *t)
		}
	}
	return sweep, trials, ordered, nil
}

// compare returns the runs of trials that ended, or changed after their end was
// noted, and the runs of the sweep that are no trial.
func compare(trials []Trial, runs []solera.Run) (stale []solera.Run, strangers []solera.RunID) {
	of := map[solera.RunID]Trial{}
	for _, t := range trials {
		of[t.Run] = t
		for _, id := range t.Before {
			of[id] = Trial{Ended: -1}
		}
	}
	for _, run := range runs {
		t, known := of[run.ID]
		switch {
		case !known && run.Deleted == 0:
			strangers = append(strangers, run.ID)
		case !known || t.Ended < 0:
		case run.State.Ended() && (t.Ended == 0 || t.State != run.State || run.Finished != 0 && t.Ended != run.Finished):
			stale = append(stale, run)
		case !run.State.Ended() && t.Ended != 0:
			stale = append(stale, run) // it came back
		}
	}
	return stale, strangers
}

// note writes down what observe found.
func (s *Sweeps) note(tx solera.Tx, sweep *Sweep, spec Spec, trials []Trial, runs []solera.Run, measured map[solera.RunID]measure, strangers []solera.RunID) error {
	now, err := s.now(tx)
	if err != nil {
		return err
	}
	for i := range trials {
		t := &trials[i]
		m, ok := measured[t.Run]
		k := slices.IndexFunc(runs, func(r solera.Run) bool { return r.ID == t.Run })
		if !ok || k < 0 {
			continue
		}
		if run := runs[k]; run.State.Ended() {
			sweep.settle(spec, t, run, m, now)
		} else {
			t.State, t.Ended, t.Values, t.Bands = run.State, 0, m.values, m.bands
			if !slices.Contains(sweep.Open, t.Number) {
				sweep.Open = append(sweep.Open, t.Number)
			}
		}
		if err := putTrial(tx, sweep.ID, *t); err != nil {
			return err
		}
	}
	if err := s.adopt(tx, sweep, strangers); err != nil {
		return err
	}
	if sweep.State == Running && sweep.Exhausted && len(sweep.Open) == 0 {
		sweep.State, sweep.Ended, sweep.Reason = Finished, now, "there is nothing more to try"
	}
	return put(tx, sweep)
}

// think works out the params of a Bayesian search's next trial, and which
// number that is.
func (s *Sweeps) think(ctx context.Context, id string) (solera.Fields, int, error) {
	sweep, trials, _, err := s.observe(ctx, id)
	if err != nil {
		return nil, 0, err
	}
	spec, err := sweep.Spec()
	if err != nil {
		return nil, 0, err
	}
	number := sweep.Trials + 1
	return spec.Space.Bayes(stream(sweep, number), observations(spec.Metric, trials)), number, nil
}

// observations returns what trials tell about the space. A trial that failed is
// given a value, so that the search keeps away from where it was.
func observations(m Metric, trials []Trial) []Observation {
	sign := 1.0
	if m.Maximize {
		sign = -1
	}
	worst, any := 0.0, false
	for _, t := range trials {
		if t.State.Ended() && t.Values != nil && (!any || m.better(worst, t.Values.Worst)) {
			worst, any = t.Values.Worst, true
		}
	}
	impute := func(t Trial, how string) float64 {
		switch {
		case how == "worst":
			return worst
		case t.Values == nil:
			return 0
		case how == "best":
			return t.Values.Best
		}
		return t.Values.Last
	}
	list := make([]Observation, 0, len(trials))
	for _, t := range trials {
		o := Observation{Params: t.Params}
		switch {
		case t.State == solera.Finished && t.Values != nil:
			o.Value = t.Values.Best
		case t.State.Ended() && t.Stop != "" && t.Values != nil:
			// It did not fail: it was stopped because of this value.
			o.Value = t.Values.Best
		case t.State.Ended():
			o.Value = impute(t, m.Impute)
		case m.WhileRunning != "" && t.State == solera.Running:
			if o.Value = impute(t, m.WhileRunning); t.Values != nil {
				o.Value = t.Values.Best
			}
		default:
			o.Pending = true
		}
		o.Value *= sign
		list = append(list, o)
	}
	return list
}

// control takes what the program that schedules a sweep's trials says: trials
// to make, and runs to stop.
func (s *Sweeps) control(tx solera.Tx, sweep *Sweep, text string) error {
	var c struct {
		Schedule []struct {
			ID   string `json:"id"`
			Data struct {
				Args map[string]struct {
					Value any `json:"value"`
				} `json:"args"`
			} `json:"data"`
		} `json:"schedule"`
		EarlyStop []solera.RunID `json:"earlystop"`
	}
	spec, err := sweep.Spec()
	if err != nil {
		return err
	}
	if len(text) > maxText {
		return fmt.Errorf("controller: %w: it has %d bytes, at most %d KiB are allowed", solera.ErrInvalid, len(text), maxText>>10)
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return fmt.Errorf("controller: %w: %v", solera.ErrInvalid, err)
	}
	if !spec.Local {
		if len(c.Schedule)+len(c.EarlyStop) == 0 {
			return nil
		}
		return fmt.Errorf("controller: %w: the sweep's method chooses its trials; set controller: {type: local} in its configuration", solera.ErrConflict)
	}
	now, err := s.now(tx)
	if err != nil {
		return err
	}
	sweep.Controller = text
	kept := map[string]string{}
	for _, entry := range c.Schedule {
		if entry.ID == "" || len(entry.ID) > 128 {
			return fmt.Errorf("controller: %w: an entry of schedule has no id of 1 to 128 bytes", solera.ErrInvalid)
		}
		if run, ok := sweep.Scheduled[entry.ID]; ok {
			kept[entry.ID] = run
			continue
		}
		if entry.Data.Args == nil {
			sweep.Exhausted = true
			continue
		}
		if sweep.State.Ended() {
			return fmt.Errorf("controller: %w: the sweep is %s", solera.ErrConflict, sweep.State)
		}
		params := solera.Fields{}
		for name, arg := range entry.Data.Args {
			params[name] = arg.Value
		}
		t, err := s.give(tx, sweep, params)
		if err != nil {
			return err
		}
		kept[entry.ID] = string(t.Run)
	}
	if len(sweep.Scheduled)+len(c.EarlyStop) == 0 {
		sweep.Scheduled = kept
		return nil
	}
	trials, err := trialsOf(tx, sweep.ID)
	if err != nil {
		return err
	}
	// The program drops an entry once it has seen its run start, and asks about it
	// until the run ends.
	for id, run := range sweep.Scheduled {
		if slices.ContainsFunc(trials, func(t Trial) bool { return string(t.Run) == run && slices.Contains(sweep.Open, t.Number) }) {
			kept[id] = run
		}
	}
	sweep.Scheduled = kept
	for _, id := range c.EarlyStop {
		for _, t := range trials {
			if t.Run == id {
				if err := s.halt(tx, sweep, t.Number, "the program that schedules the trials stopped it", now); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// give makes a trial with params that somebody else chose, for the next agent.
func (s *Sweeps) give(tx solera.Tx, sweep *Sweep, params solera.Fields) (Trial, error) {
	sweep.Trials++
	t := Trial{Number: sweep.Trials, Params: params, Source: Given}
	if err := s.begin(tx, sweep, &t); err != nil {
		return t, err
	}
	sweep.Open = append(sweep.Open, t.Number)
	sweep.Queue = append(sweep.Queue, t.Number)
	return t, putTrial(tx, sweep.ID, t)
}

// Give adds a trial with params of somebody's choice to a sweep. The next free
// agent gets it.
func (s *Sweeps) Give(ctx context.Context, id string, params solera.Fields) (Trial, error) {
	var t Trial
	err := s.Store.Update(ctx, func(tx solera.Tx) error {
		sweep, err := get(tx, id)
		if err != nil {
			return err
		}
		if sweep.State.Ended() {
			return fmt.Errorf("%w: it is %s", solera.ErrConflict, sweep.State)
		}
		if t, err = s.give(tx, &sweep, params); err != nil {
			return err
		}
		return put(tx, &sweep)
	})
	if err != nil {
		return Trial{}, fmt.Errorf("trial of sweep %s: %w", clip(id), err)
	}
	return t, nil
}
