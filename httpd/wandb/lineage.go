package wandb

import (
	"context"
	"fmt"
	"slices"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
)

func (s *service) lineageMutations() map[string]root {
	return map[string]root{"useArtifact": s.useArtifact}
}

// useArtifact notes that a run read a version.
func (s *service) useArtifact(c *call, a *args) (any, error) {
	in := a.Input("input")
	id, entity, project, run := in.Need("artifactID"), in.Text("entityName"), in.NeedProject("projectName"), in.Need("runName")
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, err := c.enter(entity, auth.Editor)
	if err != nil {
		return nil, err
	}
	version, err := s.versionIn(c, sp, id)
	if err != nil {
		return nil, err
	}
	runID, err := s.runID(c, sp, project, run)
	if err != nil {
		return nil, err
	}
	v, err := sp.in(project).DeclareUse(c.ctx, runID, version)
	if err != nil {
		return nil, err
	}
	return object{"UseArtifactPayload", fields{"artifact": artifactObject(c, sp, v)}}, nil
}

// runID returns the run that clients call so.
func (s *service) runID(c *call, sp *space, project, name string) (solera.RunID, error) {
	run, err := s.findRun(c, sp, project, name)
	return run.ID, err
}

// uploadStage is that of runs which stand for a version that no run made.
const uploadStage = "upload"

// maker is who made a version: its run, or a user.
func (s *service) maker(c *call, sp *space, v solera.Version) (any, error) {
	run, err := sp.t.Run(c.ctx, v.Run)
	if err != nil {
		return orNull(nil, err)
	}
	if run.Stage == uploadStage {
		return c.person(c.user()), nil
	}
	return s.run(c, sp, run), nil
}

// users are the runs that used a version.
func (s *service) users(c *call, sp *space, v solera.Version) (any, error) {
	var runs []solera.Run
	err := sp.t.Store.View(c.ctx, func(tx solera.Tx) error {
		runs = nil
		edges, err := tx.Edges(solera.EdgeQuery{Version: v.ID(), Kind: solera.Used})
		if err != nil {
			return err
		}
		for _, e := range edges {
			run, err := tx.Run(e.Run)
			if err != nil {
				return err
			}
			if run.Deleted == 0 {
				runs = append(runs, run)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p := page{total: len(runs)}
	for _, run := range runs {
		p.nodes = append(p.nodes, s.run(c, sp, run))
	}
	return connection("Run", p), nil
}

// runArtifactFields are the fields of a run that are about artifacts.
func (s *service) runArtifactFields(c *call, sp *space, run solera.RunID) fields {
	list := func(typ string, kinds ...solera.EdgeKind) resolver {
		return func(a *args) (any, error) {
			all, err := artifactsOf(c.ctx, sp, run, kinds)
			if err != nil {
				return nil, err
			}
			return cut(typ, all, a, func(v solera.Version) object { return artifactObject(c, sp, v) })
		}
	}
	return fields{
		"inputArtifacts":  list("InputArtifact", solera.Used),
		"outputArtifacts": list("Artifact", solera.Made, solera.Same),
	}
}

// artifactsOf returns the versions that a run is tied to, the oldest first.
func artifactsOf(ctx context.Context, sp *space, run solera.RunID, kinds []solera.EdgeKind) (list []solera.Version, err error) {
	err = sp.t.Store.View(ctx, func(tx solera.Tx) error {
		list = nil
		edges, err := tx.Edges(solera.EdgeQuery{Run: run})
		if err != nil {
			return err
		}
		for _, e := range edges {
			if !slices.Contains(kinds, e.Kind) {
				continue
			}
			v, err := tx.Version(e.Version)
			if err != nil {
				return err
			}
			if v.Deleted == 0 {
				list = append(list, v)
			}
		}
		return nil
	})
	slices.SortStableFunc(list, func(a, b solera.Version) int { return int(a.Created - b.Created) })
	if err != nil {
		err = fmt.Errorf("artifacts of the run %s: %w", run, err)
	}
	return list, err
}
