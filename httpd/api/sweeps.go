package api

import (
	"context"
	"net/http"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/sweep"
	"github.com/solera-ml/solera/tracking"
)

// A Sweep is one search for good params.
type Sweep struct {
	ID          string        `json:"id"`
	Project     string        `json:"project"`
	Name        string        `json:"name"` // "" if nobody gave one
	Description string        `json:"description"`
	State       sweep.State   `json:"state" enum:"PENDING,RUNNING,PAUSED,FINISHED,CANCELED"`
	Reason      string        `json:"reason"` // why it ended
	Method      string        `json:"method" enum:"grid,random,bayes,custom"`
	Metric      string        `json:"metric"` // that it looks at; "" if none
	Maximize    bool          `json:"maximize"`
	Trials      int           `json:"trials"`   // so far
	Expected    int64         `json:"expected"` // trials that there will be; 0 = nobody knows
	Open        int           `json:"open"`     // trials that have not ended
	Best        *BestTrial    `json:"best"`
	Created     solera.Micros `json:"created"`
	Started     solera.Micros `json:"started"`
	Ended       solera.Micros `json:"ended"`
}

// A BestTrial is the trial that has the best value of its sweep's metric.
type BestTrial struct {
	_     struct{} `json:"-" nullable:"true"`
	Trial int      `json:"trial"`
	Run   string   `json:"run"`
	Value float64  `json:"value"`
}

// A SweepDetail is everything about a sweep.
type SweepDetail struct {
	Sweep
	Text       string        `json:"text"` // its configuration, as its author wrote it
	Seed       uint64        `json:"seed"`
	Parameters []SearchedFor `json:"parameters"`
	TrialList  []Trial       `json:"trial_list"` // by number
	Agents     []SweepAgent  `json:"agents"`
	EarlyStop  string        `json:"early_stop"` // "hyperband", "" if none
	RunCap     int           `json:"run_cap"`    // 0 = none
	Target     *float64      `json:"target"`     // the value that ends it
}

// SearchedFor is a parameter of a sweep's space.
type SearchedFor struct {
	Name   string   `json:"name"`
	Kind   string   `json:"kind" doc:"its distribution"`
	Values []any    `json:"values"` // of a categorical, at most 100
	Min    *float64 `json:"min"`
	Max    *float64 `json:"max"`
}

// A Trial is one choice of params, and the run that tries it.
type Trial struct {
	Number int             `json:"number"`
	Run    string          `json:"run"`
	Name   string          `json:"name"` // of the run
	State  solera.RunState `json:"state"`
	Params solera.Fields   `json:"params"` // by name, nested ones with dots
	Value  *float64        `json:"value"`  // the best of the sweep's metric
	Source string          `json:"source" enum:"suggested,given,adopted"`
	Agent  string          `json:"agent"`
	Stop   string          `json:"stop"` // why it was stopped early
	Gone   bool            `json:"gone"` // its run was deleted
	Start  solera.Micros   `json:"started"`
	End    solera.Micros   `json:"finished"`
}

// A SweepAgent is a program that runs trials.
type SweepAgent struct {
	ID     string        `json:"id"`
	Host   string        `json:"host"`
	Trials int           `json:"trials"`
	Heard  solera.Micros `json:"heard"` // to a few minutes
	Gone   bool          `json:"gone"`  // it was told that there is nothing more to do
}

// A SweepChange changes a sweep; what is left out stays.
type SweepChange struct {
	State       *string `json:"state,omitempty" enum:"RUNNING,PAUSED,FINISHED,CANCELED" doc:"FINISHED lets trials under way end, CANCELED stops them"`
	Name        *string `json:"name,omitempty" maxLength:"256"`
	Description *string `json:"description,omitempty" maxLength:"10000"`
}

// InSweep is what an operation of a sweep is told.
type InSweep struct {
	InWorkspace
	ID string `path:"id" maxLength:"128" doc:"ID of the sweep"`
}

func (s *service) sweepRoutes() {
	add(s, route{method: http.MethodGet, path: "/sweeps", id: "list-sweeps", summary: "List the sweeps of a project", tag: "sweeps", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InWorkspace
			Project string `query:"project" required:"true" minLength:"1" maxLength:"128"`
		},
		) (*answer[[]Sweep], error) {
			all := sweepsIn(t)
			found, err := all.List(ctx, in.Project)
			sweeps := []Sweep{}
			for _, x := range found {
				sweeps = append(sweeps, sweepOf(x))
			}
			return answered(sweeps, err)
		})
	add(s, route{method: http.MethodGet, path: "/sweeps/{id}", id: "get-sweep", summary: "Everything about a sweep", tag: "sweeps", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *InSweep) (*answer[SweepDetail], error) {
			return answered(sweepDetail(ctx, t, in.ID))
		})
	add(s, route{method: http.MethodPatch, path: "/sweeps/{id}", id: "change-sweep", summary: "Pause, resume or end a sweep, or rename it", tag: "sweeps", role: auth.Editor},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InSweep
			Body SweepChange
		},
		) (*answer[SweepDetail], error) {
			change := sweep.Change{Name: in.Body.Name, Description: in.Body.Description, State: (*sweep.State)(in.Body.State)}
			if _, _, err := sweepsIn(t).Change(ctx, in.ID, change); err != nil {
				return nil, err
			}
			return answered(sweepDetail(ctx, t, in.ID))
		})
	add(s, route{method: http.MethodDelete, path: "/sweeps/{id}", id: "delete-sweep", summary: "Delete a sweep; its runs stay", tag: "sweeps", role: auth.Editor},
		func(ctx context.Context, t *tracking.Tracker, in *InSweep) (*none, error) {
			return &none{}, sweepsIn(t).Delete(ctx, in.ID)
		})
}

func sweepsIn(t *tracking.Tracker) *sweep.Sweeps { return &sweep.Sweeps{Store: t.Store} }

func sweepOf(x sweep.Sweep) Sweep {
	out := Sweep{
		ID: x.ID, Project: x.Project, Name: x.Name, Description: x.Description, State: x.State, Reason: x.Reason, Method: x.Method,
		Trials: x.Trials, Expected: x.Expected, Open: len(x.Open), Created: x.Created, Started: x.Started, Ended: x.Ended,
	}
	if spec, err := x.Spec(); err == nil { // one that cannot be read has no metric to tell of
		out.Metric, out.Maximize = spec.Metric.Name, spec.Metric.Maximize
	}
	if x.Best != nil {
		out.Best = &BestTrial{Trial: x.Best.Trial, Run: string(x.Best.Run), Value: x.Best.Value}
	}
	return out
}

// mostShown is how many values of a parameter are told.
const mostShown = 100

func sweepDetail(ctx context.Context, t *tracking.Tracker, id string) (SweepDetail, error) {
	all := sweepsIn(t)
	x, trials, runs, err := all.Trials(ctx, id)
	if err != nil {
		return SweepDetail{}, err
	}
	spec, err := x.Spec()
	if err != nil {
		return SweepDetail{}, err
	}
	agents, err := all.Agents(ctx, id)
	if err != nil {
		return SweepDetail{}, err
	}
	out := SweepDetail{
		Sweep: sweepOf(x), Text: x.Text, Seed: x.Seed, RunCap: spec.RunCap, Target: spec.Metric.Target,
		Parameters: []SearchedFor{}, TrialList: []Trial{}, Agents: []SweepAgent{},
	}
	if spec.Early != nil {
		out.EarlyStop = "hyperband"
	}
	for _, p := range spec.Space {
		one := SearchedFor{Name: p.Name(), Kind: p.Kind, Values: list(p.Values[:min(len(p.Values), mostShown)])}
		if p.Min < p.Max {
			one.Min, one.Max = &p.Min, &p.Max
		}
		out.Parameters = append(out.Parameters, one)
	}
	for i, trial := range trials {
		run := runs[i]
		one := Trial{
			Number: trial.Number, Run: string(trial.Run), Name: run.Name, State: run.State, Params: trial.Params.Flat(),
			Source: trial.Source, Agent: trial.Agent, Stop: trial.Stop, Gone: run.Deleted != 0, Start: run.Started, End: run.Finished,
		}
		if trial.Values != nil {
			one.Value = &trial.Values.Best
		}
		out.TrialList = append(out.TrialList, one)
	}
	for _, a := range agents {
		out.Agents = append(out.Agents, SweepAgent{ID: a.ID, Host: a.Host, Trials: a.Trials, Heard: a.Heard, Gone: a.Gone})
	}
	return out, nil
}
