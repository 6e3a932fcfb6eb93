package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/solera-ml/solera"
)

// The two states of a stage.
const (
	Fresh = "fresh" // the store answers it
	Stale = "stale" // it would run
)

// A StageStatus says whether a stage would run, and why: the keys of its
// recipe that differ from those of its last good run. A stage that never ran
// has one change, of the key "run".
type StageStatus struct {
	Stage string   `json:"stage"`
	State string   `json:"state"`
	Why   []Change `json:"why"` // empty when fresh
}

// Status says of each stage what Run would do now. It changes nothing. The
// train stage is one entry; with several experiments the keys begin with the
// experiment's name, as in exp002.params.learning_rate.
func (p *Pipeline) Status(ctx context.Context) ([]StageStatus, error) {
	var out []StageStatus
	known := map[string]solera.Version{} // what the stages before would leave as latest
	for _, stage := range Stages() {
		jobs, err := p.jobs(ctx, stage)
		if err != nil {
			return nil, err
		}
		status := StageStatus{Stage: stage, State: Fresh, Why: []Change{}}
		for _, j := range jobs {
			why, v, err := p.staleness(ctx, j, known)
			if err != nil {
				return nil, fmt.Errorf("status of %s: %w", j.title(), err)
			}
			if v != nil {
				known[j.output] = *v
				continue
			}
			status.State = Stale
			for _, change := range why {
				if j.experiment != "" {
					change.Key = j.experiment + "." + change.Key
				}
				status.Why = append(status.Why, change)
			}
		}
		out = append(out, status)
	}
	return out, nil
}

// staleness returns the version that answers the job, or why there is none.
func (p *Pipeline) staleness(ctx context.Context, j job, known map[string]solera.Version) ([]Change, *solera.Version, error) {
	pending := map[string]string{} // inputs that do not exist yet
	for _, name := range j.inputs {
		if _, ok := known[name]; !ok {
			pending[name] = fmt.Sprintf("(%s would make it)", p.makerOf(name))
		}
	}
	recipe := j.recipe(known)
	if len(pending) == 0 {
		hit, err := p.Tracker.Lookup(ctx, recipe.Digest())
		if err != nil {
			return nil, nil, err
		}
		if hit != nil {
			if v, ok := hit.Output(j.output); ok {
				return nil, &v, nil
			}
		}
	}
	for name, word := range pending {
		recipe.Inputs[name] = word
	}
	last, err := p.lastRecipe(ctx, j)
	if err != nil {
		return nil, nil, err
	}
	if last == nil {
		return []Change{{Key: "run", Before: "", After: "first run"}}, nil, nil
	}
	why := changes(*last, recipe)
	if len(why) == 0 {
		// The recipe is known but its versions are gone.
		why = []Change{{Key: "output", Before: j.output, After: "missing from the store"}}
	}
	return why, nil, nil
}

// lastRecipe returns the recipe of the newest good run of the job, nil if it
// never ran.
func (p *Pipeline) lastRecipe(ctx context.Context, j job) (*Recipe, error) {
	runs, err := p.Tracker.Runs(ctx, solera.RunQuery{Stage: j.stage, Experiment: j.experiment, State: solera.Finished, Limit: 1})
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	var used []solera.Version
	err = p.Tracker.Store.View(ctx, func(tx solera.Tx) error {
		used = nil
		edges, err := tx.Edges(solera.EdgeQuery{Run: runs[0].ID, Kind: solera.Used})
		if err != nil {
			return err
		}
		for _, e := range edges {
			v, err := tx.Version(e.Version)
			if errors.Is(err, solera.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			used = append(used, v)
		}
		return nil
	})
	r := recorded(runs[0], used)
	return &r, err
}
