package tracking

import (
	"context"
	"errors"
	"fmt"

	"github.com/solera-ml/solera"
)

// A Hit is the answer of the store for a recipe that was run before.
type Hit struct {
	Run     solera.Run       // that answers: Finished, of this recipe
	Outputs []solera.Version // what it committed, by artifact, one version each, with files
}

// Output returns the hit's version of an artifact, and whether there is one.
func (h *Hit) Output(artifact string) (solera.Version, bool) {
	for _, v := range h.Outputs {
		if v.Artifact == artifact {
			return v, true
		}
	}
	return solera.Version{}, false
}

// Lookup returns the newest finished run of the recipe whose outputs are all
// still there, in the store and (by their length) in the blobs; nil if there
// is none. It changes nothing: `solera status` asks with it.
func (t *Tracker) Lookup(ctx context.Context, recipe solera.Digest) (*Hit, error) {
	if recipe.IsZero() {
		return nil, nil
	}
	var hits []*Hit
	err := t.Store.View(ctx, func(tx solera.Tx) error {
		hits = nil
		runs, err := tx.Runs(solera.RunQuery{Project: t.Project, Recipe: recipe, State: solera.Finished})
		if err != nil {
			return err
		}
		for _, run := range runs {
			hit, err := outputs(tx, run)
			if errors.Is(err, solera.ErrNotFound) {
				continue // a version was deleted since
			}
			if err != nil {
				return err
			}
			hits = append(hits, hit)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up recipe %s: %w", recipe.Short(), err)
	}
	for _, hit := range hits {
		whole, err := t.whole(ctx, hit)
		if err != nil {
			return nil, fmt.Errorf("look up recipe %s: %w", recipe.Short(), err)
		}
		if whole {
			return hit, nil
		}
	}
	return nil, nil
}

// outputs collects what run committed: of each artifact its last version.
func outputs(tx solera.Tx, run solera.Run) (*Hit, error) {
	edges, err := tx.Edges(solera.EdgeQuery{Run: run.ID})
	if err != nil {
		return nil, err
	}
	last := make(map[string]solera.VersionID)
	var order []string
	for _, e := range edges { // sorted by kind, then artifact, then number
		if e.Kind == solera.Used {
			continue
		}
		id, seen := last[e.Version.Artifact]
		if !seen {
			order = append(order, e.Version.Artifact)
		}
		if !seen || id.Number < e.Version.Number {
			last[e.Version.Artifact] = e.Version
		}
	}
	hit := &Hit{Run: run}
	for _, artifact := range order {
		v, err := tx.Version(last[artifact])
		if err != nil {
			return nil, err
		}
		if v.Deleted != 0 {
			return nil, fmt.Errorf("%s: %w: it was deleted", v.Name(), solera.ErrNotFound)
		}
		hit.Outputs = append(hit.Outputs, v)
	}
	return hit, nil
}

func (t *Tracker) whole(ctx context.Context, hit *Hit) (bool, error) {
	for _, v := range hit.Outputs {
		for _, file := range v.Files {
			if file.Ref != "" {
				continue // where it is, is not ours to keep
			}
			size, err := t.Blobs.Stat(ctx, file.Digest)
			if errors.Is(err, solera.ErrNotFound) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			if size != file.Size {
				return false, nil
			}
		}
	}
	return true, nil
}

// Reuse answers spec from the store if its recipe was run before; nil if not,
// and then the stage has to run. inputs are the versions that the stage would
// use now.
//
// Afterwards latest of each output names content of this recipe, so the stages
// that follow read what they would have read had the stage run. Usually that
// is so already and nothing is stored. After going back to older params it is
// not: then Reuse records a run with ReuseOf set, the params of spec and the
// summary of the old run, and commits the old content as new versions (new
// number, old digest, no byte copied), all in one transaction.
func (t *Tracker) Reuse(ctx context.Context, spec RunSpec, inputs ...solera.Version) (*Hit, error) {
	before, err := presenceNow(ctx, t.Store)
	if err != nil {
		return nil, err
	}
	hit, err := t.Lookup(ctx, spec.Recipe)
	if hit == nil || err != nil {
		return nil, err
	}
	current, err := t.current(ctx, hit)
	if err != nil || current != nil {
		return current, err
	}
	around := found{}
	if t.Environment != nil {
		around = t.lookAround(ctx)
	}
	var again *Hit
	_, err = t.create(ctx, spec, func(tx solera.Tx, run *solera.Run) error {
		again = &Hit{}
		run.State, run.Finished = solera.Finished, run.Started
		run.Summary = hit.Run.Summary
		run.ReuseOf = hit.Run.ID
		if hit.Run.ReuseOf != "" {
			run.ReuseOf = hit.Run.ReuseOf // the run that did the work has the points
		}
		if err := tx.UpdateRun(*run); err != nil {
			return err
		}
		if t.Environment != nil {
			if err := around.keep(ctx, tx, run.ID, before, t.Blobs); err != nil {
				return err
			}
		}
		for _, input := range inputs {
			if err := tx.AddEdge(solera.Edge{Run: run.ID, Version: input.ID(), Kind: solera.Used}); err != nil {
				return err
			}
		}
		for _, old := range hit.Outputs {
			if err := t.stillThere(ctx, tx, before, old.Files); err != nil {
				return err
			}
			v := old
			v.Run, v.Created = run.ID, run.Created
			v, _, err := t.commit(tx, v)
			if err != nil {
				return err
			}
			if v, err = tx.Version(v.ID()); err != nil {
				return err
			}
			again.Outputs = append(again.Outputs, v)
		}
		again.Run = *run
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reuse run %s: %w", hit.Run.ID, err)
	}
	return again, nil
}

// current returns hit with the newest version of each output if all of them
// have the content of hit, else nil.
func (t *Tracker) current(ctx context.Context, hit *Hit) (*Hit, error) {
	var found *Hit
	err := t.Store.View(ctx, func(tx solera.Tx) error {
		found = &Hit{Run: hit.Run}
		for _, old := range hit.Outputs {
			v, err := newest(tx, old.Project, old.Artifact)
			if err != nil {
				return err
			}
			if v.Digest != old.Digest {
				found = nil
				return nil
			}
			found.Outputs = append(found.Outputs, v)
		}
		return nil
	})
	return found, err
}
