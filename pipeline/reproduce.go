package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

// A Reproducer executes again what led to a version: every stage above it, from
// the params that its run recorded and from the source, in another store. It
// changes nothing in the first.
type Reproducer struct {
	Tracker *tracking.Tracker // the store whose versions are doubted
	Scratch *tracking.Tracker // an empty store for what is made again; its Project does not matter

	Reporter Reporter // nil = Silent
	Kernel   string   // as of [Pipeline]
	Workers  int

	Dir     string   // folder that recorded relative paths of sources count from; "" = the current one
	Sources []string // paths where else a source may be: each load takes the one with the recorded content
	// Stored takes what load made from the store, checked against its digest, and
	// begins after it: for a source that is gone.
	Stored bool
}

// A Reproduction says of each version whether its stage makes the same bytes
// again, those first that the others were made from.
type Reproduction struct {
	OK       bool         `json:"ok"` // all that could be made again is the same, the version that was asked for among it
	Versions []Reproduced `json:"versions"`
}

// Reproduced is what became of one version.
type Reproduced struct {
	Ref    string        `json:"ref"`    // "wine-raw:v0"
	Digest solera.Digest `json:"digest"` // as recorded
	// Reproduced is the digest of what was made now; nil when nothing was made:
	// see Given and Failed.
	Reproduced *solera.Digest `json:"reproduced"`
	Same       bool           `json:"same"` // the bytes are those of Digest
	First      *Difference    `json:"first_difference"`
	// Given says why the stored version was taken as it is, "" if it was not. It
	// is the same, yet not reproduced.
	Given  string `json:"given,omitempty"`
	Failed string `json:"failed,omitempty"` // why its stage could not be executed; "" if it could
	// OtherCode is the digest of the code that made the version when this
	// program's code of the stage is another; nil when it is the same.
	OtherCode *solera.Digest `json:"other_code,omitempty"`
}

// Run reproduces the version that ref names and all that it was made from. The
// result is never nil and tells how far it came, also beside an error. A source
// that is not there is an error before anything is executed.
func (r *Reproducer) Run(ctx context.Context, ref string) (*Reproduction, error) {
	res := &Reproduction{Versions: []Reproduced{}}
	what := "reproduce " + ref
	steps, err := r.plan(ctx, ref)
	if err != nil {
		return res, ended(ctx, what, err)
	}
	made := map[solera.VersionID]solera.Version{} // in the scratch store
	for _, s := range steps {
		out, v, err := r.step(ctx, s, made)
		if err != nil {
			return res, ended(ctx, what, err)
		}
		made[s.version.ID()] = v
		res.Versions = append(res.Versions, out)
	}
	last := res.Versions[len(res.Versions)-1]
	res.OK = last.Same && last.Given == "" &&
		!slices.ContainsFunc(res.Versions, func(v Reproduced) bool { return !v.Same || v.Failed != "" })
	return res, nil
}

// ended says what was being done when err came. A reproduction that is stopped
// begins anew next time.
func ended(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, solera.ErrStopped)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// A step is one version to be made again.
type step struct {
	version solera.Version
	run     solera.Run
	used    []solera.VersionID
	last    bool // the version that was asked for

	pipeline *Pipeline // ready for the run's one stage; nil = the stored version is given
	given    string    // why, in that case
	failed   string    // why a stage cannot be executed; the stored version stands in for its successors
}

// plan lists the versions above ref, each after all that it was made from, and
// decides which of them can be made again.
func (r *Reproducer) plan(ctx context.Context, ref string) ([]*step, error) {
	root, err := r.Tracker.Version(ctx, ref)
	if err != nil {
		return nil, err
	}
	var steps []*step
	err = r.Tracker.Store.View(ctx, func(tx solera.Tx) error {
		steps, err = r.ancestry(tx, root)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.prepare(ctx, s); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// ancestry walks up from v. It goes as deep as the chain of retrainings is
// long, with a list of its own. Versions above one that is given are not needed.
func (r *Reproducer) ancestry(tx solera.Tx, v solera.Version) ([]*step, error) {
	steps := map[solera.VersionID]*step{}
	var order []*step
	type visit struct {
		version solera.Version
		after   bool // all that it was made from is in order
	}
	for todo := []visit{{version: v}}; len(todo) > 0; {
		now := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		id := now.version.ID()
		if now.after {
			order = append(order, steps[id])
			continue
		}
		if steps[id] != nil {
			continue
		}
		run, err := tx.Run(now.version.Run)
		if err != nil {
			return nil, err
		}
		s := &step{version: now.version, run: run, last: id == v.ID()}
		steps[id] = s
		todo = append(todo, visit{now.version, true})
		if s.given = r.givenReason(s); s.given != "" {
			continue
		}
		edges, err := tx.Edges(solera.EdgeQuery{Run: run.ID, Kind: solera.Used})
		if err != nil {
			return nil, err
		}
		for _, e := range edges {
			s.used = append(s.used, e.Version)
			if steps[e.Version] != nil {
				continue
			}
			input, err := tx.Version(e.Version)
			if err != nil {
				return nil, err
			}
			todo = append(todo, visit{version: input})
		}
	}
	return order, nil
}

// givenReason tells why a version is not to be made again, "" if it is.
func (r *Reproducer) givenReason(s *step) string {
	switch {
	case !slices.Contains(Stages(), s.run.Stage):
		return fmt.Sprintf("made by %s, which is no stage", cmp.Or(s.run.Stage, "a run without a stage"))
	case r.Stored && s.run.Stage == Load && !s.last:
		return "taken from the store as asked"
	}
	return ""
}

// prepare makes the pipeline of one step from what its run recorded.
func (r *Reproducer) prepare(ctx context.Context, s *step) error {
	if s.given != "" {
		return nil
	}
	var names []string
	for _, id := range s.used {
		names = append(names, id.Artifact)
	}
	c, err := ConfigOf(s.run, names...)
	if err != nil {
		return s.cannot(err)
	}
	s.pipeline = &Pipeline{Config: c, Tracker: r.scratch(s.run.Project), Reporter: again{r.reporter()}, Kernel: r.Kernel, Workers: r.Workers}
	if s.run.Stage == Load {
		return r.findSource(ctx, s)
	}
	return nil
}

// cannot keeps a fault of what was recorded as the outcome of the step; any
// other error is about this machine and ends the whole.
func (s *step) cannot(err error) error {
	var fault *solera.InputError
	if !errors.As(err, &fault) {
		return err
	}
	s.pipeline, s.failed = nil, err.Error()
	return nil
}

// findSource finds the table that a load read: by its recorded content, first
// where it was, then where Sources say.
func (r *Reproducer) findSource(ctx context.Context, s *step) error {
	c, want := s.pipeline.Config, s.run.Params.Text("source_digest")
	recorded := c.Data.Source
	if _, ok := c.Sample(); ok {
		digest, err := s.pipeline.SourceDigest(ctx)
		if err == nil && digest != want {
			err = &solera.InputError{Op: s.version.Name(), Msg: recorded + " of this program has other rows", Hint: "use solera " + cmp.Or(s.run.Solera, "of the version that made it")}
		}
		if err != nil {
			return s.cannot(err)
		}
		return nil
	}
	c.dir = r.Dir
	tried := []string{}
	for i, path := range append([]string{recorded}, r.Sources...) {
		if i > 0 {
			c.Data.Source, c.dir = path, ""
		}
		digest, err := s.pipeline.SourceDigest(ctx)
		switch {
		case err == nil && digest == want:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			tried = append(tried, path+" has other content")
		default:
			tried = append(tried, path+" is not there")
		}
	}
	return &solera.InputError{
		Op:   s.version.Name(),
		Msg:  fmt.Sprintf("the table that it was made from cannot be found: %s", list(tried, 4)),
		Hint: "name it with --source FILE, or begin from the rows that are in the store with --from-stored-data",
	}
}

// step makes one version again, or copies it. v is what stands in the scratch
// store for it.
func (r *Reproducer) step(ctx context.Context, s *step, made map[solera.VersionID]solera.Version) (out Reproduced, v solera.Version, err error) {
	out = Reproduced{Ref: r.name(s.version.ID()), Digest: s.version.Digest, Given: s.given, Failed: s.failed}
	if s.pipeline != nil {
		if code := codeOf(s.run.Stage); code != s.run.Code {
			recorded := s.run.Code
			out.OtherCode = &recorded
		}
		v, err = r.execute(ctx, s, made)
		if err == nil {
			return r.compare(ctx, s, out, v)
		}
		if ctx.Err() != nil {
			return out, v, ctx.Err()
		}
		if err := s.cannot(err); err != nil {
			return out, v, err
		}
		out.Failed = s.failed
	}
	if s.last {
		// Nothing comes after it that would need its bytes.
		return out, v, nil
	}
	v, err = r.copy(ctx, s)
	out.Same = err == nil && out.Failed == ""
	if err != nil && ctx.Err() == nil {
		err = &solera.InputError{Op: out.Ref, Msg: "its stored bytes are needed and cannot be read: " + err.Error(), Hint: "look with: solera verify " + out.Ref, Err: err}
	}
	return out, v, err
}

// execute runs the stage of the step in the scratch store.
func (r *Reproducer) execute(ctx context.Context, s *step, made map[solera.VersionID]solera.Version) (solera.Version, error) {
	p := s.pipeline
	jobs, err := p.jobs(ctx, s.run.Stage)
	if err != nil {
		return solera.Version{}, err
	}
	j := jobs[0] // ConfigOf makes one experiment
	j.output = s.version.Artifact
	versions := map[string]solera.Version{}
	for _, id := range s.used {
		versions[id.Artifact] = made[id]
	}
	if got := slices.Sorted(maps.Keys(versions)); !slices.Equal(got, slices.Sorted(slices.Values(j.inputs))) {
		return solera.Version{}, &solera.InputError{
			Op: r.name(s.version.ID()), Msg: fmt.Sprintf("run %s used %s, but the stage reads %s", s.run.ID, list(got, 6), list(j.inputs, 6)),
			Hint: "use solera " + cmp.Or(s.run.Solera, "of the version that made it"),
		}
	}
	recipe := j.recipe(versions)
	for name, v := range versions {
		recipe.uses[name] = v.ID().String() // of whatever project
	}
	v, _, err := p.execute(ctx, order{job: j, recipe: recipe, spec: tracking.RunSpec{
		Stage: j.stage, Experiment: j.experiment, Params: recipe.Params, Recipe: recipe.Digest(), Code: codeOf(j.stage),
	}}, p.workers())
	return v, err
}

// compare puts what was made beside what is recorded.
func (r *Reproducer) compare(ctx context.Context, s *step, out Reproduced, v solera.Version) (Reproduced, solera.Version, error) {
	digest := v.Digest
	out.Reproduced, out.Same = &digest, digest == s.version.Digest
	stage := job{stage: s.run.Stage, experiment: s.run.Experiment}.title()
	if out.Same {
		r.reporter().Line(stage, "made "+out.Ref+" again: same digest")
		return out, v, nil
	}
	r.reporter().Line(stage, "made "+out.Ref+" again: another digest")
	first, err := FirstDifference(ctx, r.Tracker.Snapshot(ctx, s.version), r.scratch(v.Project).Snapshot(ctx, v))
	if err == nil && first == nil {
		// Files and metadata are the same: then the record's digest is wrong.
		first = &Difference{Kind: FieldDiffers, Name: "digest", Index: -1, Before: s.version.Digest.String(), After: digest.String()}
	}
	out.First = first
	return out, v, err
}

func (r *Reproducer) reporter() Reporter { return cmp.Or[Reporter](r.Reporter, Silent{}) }

// again reports a stage of a reproduction: what it commits is not in the store
// that people know.
type again struct{ Reporter }

func (again) StageDone(string, []string) {}

// copy takes the stored version into the scratch store as it is, checking every
// byte.
func (r *Reproducer) copy(ctx context.Context, s *step) (solera.Version, error) {
	run, err := r.scratch(s.version.Project).Start(ctx, tracking.RunSpec{Stage: "given"})
	if err != nil {
		return solera.Version{}, err
	}
	stored := r.Tracker.Snapshot(ctx, s.version)
	files := map[string]tracking.Source{}
	for _, e := range s.version.Files {
		if e.Ref != "" {
			files[e.Path] = tracking.External(e) // stays where it is, and is checked when a stage reads it
			continue
		}
		files[e.Path] = tracking.Writer(func(w io.Writer) error {
			f, err := stored.OpenFile(e.Path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(w, f)
			return err
		})
	}
	v, _, err := run.Commit(ctx, tracking.Draft{Artifact: s.version.Artifact, Type: s.version.Type, Metadata: s.version.Metadata, Files: files})
	if err == nil && v.Digest != s.version.Digest {
		err = fmt.Errorf("%s: %w: its files and metadata do not have its digest", s.version.Name(), solera.ErrCorrupt)
	}
	return v, errors.Join(err, run.Finish(ctx, err, nil))
}

// scratch is the scratch store for what belongs to a project. External files
// are opened as in the first store.
func (r *Reproducer) scratch(project string) *tracking.Tracker {
	t := *r.Scratch
	t.Project, t.External = project, r.Tracker.External
	return &t
}

// name names a version as people of the project do.
func (r *Reproducer) name(id solera.VersionID) string {
	if id.Project == r.Tracker.Project {
		return id.Name()
	}
	return id.String()
}
