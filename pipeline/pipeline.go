// Package pipeline turns a solera.yaml into stages and runs those that are out
// of date: load, preprocess, build, train. Each stage is a run that uses and
// commits versioned artifacts, so each works alone, from what the store holds.
// It joins the learning half to the tracking rules and knows no SQL, no HTTP
// and no flag.
package pipeline

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tensor"
	"github.com/solera-ml/solera/tracking"
)

// The stages, in the order in which they run.
const (
	Load       = "load"
	Preprocess = "preprocess"
	Build      = "build"
	Train      = "train"
)

// Stages lists the stages in the order in which they run.
func Stages() []string { return []string{Load, Preprocess, Build, Train} }

// What became of a stage.
const (
	Ran    = "ran"
	Cached = "cached"
	Failed = "failed"
)

// A Pipeline is one project, ready to run. Config and Tracker must be set.
type Pipeline struct {
	Config   *Config
	Tracker  *tracking.Tracker
	Reporter Reporter // nil = Silent
	Kernel   string   // kernel set of package tensor; "" = the best this CPU has. Cannot change a byte
	Workers  int      // cores to use; 0 = GOMAXPROCS. Cannot change a byte
	Scratch  string   // folder of checkpoints; "" = none are kept, and an interrupted training starts anew
	// Fetch brings the newest version of an artifact into the store, which has
	// none, from wherever else there is one. ErrNotFound: it is not there either.
	// nil = the store is all there is.
	Fetch func(ctx context.Context, artifact string) error

	trains bool // the run under way goes on to train
	open   openRuns
}

// A StageResult says what became of one stage. State is Ran if any of its runs
// did work.
type StageResult struct {
	Stage string `json:"stage"`
	State string `json:"state"`
}

// A Made is a version that a stage committed, or found in the store.
type Made struct {
	Name    string        `json:"name"`
	Version string        `json:"version"` // "v0"
	Digest  solera.Digest `json:"digest"`  // of the content alone
	New     bool          `json:"new"`     // this run of the pipeline committed it
}

// A Result is what a run of the pipeline has to show.
type Result struct {
	Stages      []StageResult      `json:"stages"`
	Experiments []ExperimentResult `json:"experiments"`
	Best        string             `json:"best"` // name of the chosen experiment; "" before training
	Artifacts   []Made             `json:"artifacts"`

	Reason string   `json:"reason,omitempty"` // why Best was chosen, one sentence
	Ties   []string `json:"ties,omitempty"`   // experiments that the validation rows cannot tell from Best

	SourceDigest string `json:"-"` // content of the source; "" if load was not among the stages
}

// A job is one run to be: a stage, or one experiment of the train stage.
type job struct {
	stage      string
	experiment string
	inputs     []string       // names of artifacts
	params     map[string]any // effective configuration of this job
	output     string         // name of the artifact that it commits
	work       func(context.Context, task) (output, error)
}

// A task is what a job's work is given.
type task struct {
	run    *tracking.Run
	inputs inputs
	recipe solera.Digest
	cores  int // for this job; cannot change a byte
}

// inputs are the versions that a job reads, by artifact name.
type inputs map[string]*tracking.Snapshot

// output is what a job's work ends with.
type output struct {
	draft     tracking.Draft
	summary   solera.Fields
	committed func() // clears away what the work no longer needs once draft is committed; may be nil
}

// Check reports whether every name in stages is a stage. "evaluate" is a part
// of train and accepted for it.
func Check(stages []string) error {
	for _, s := range stages {
		if s != "evaluate" && !slices.Contains(Stages(), s) {
			return fmt.Errorf("%w: no stage is called %q; the stages are load, preprocess, build and train", solera.ErrUsage, s)
		}
	}
	return nil
}

// Run brings the named stages up to date, in the order of Stages; no name
// means all. A stage whose recipe is known is answered from the store.
//
// The result is never nil and tells how far it came, also beside an error.
func (p *Pipeline) Run(ctx context.Context, stages ...string) (*Result, error) {
	res := &Result{Stages: []StageResult{}, Experiments: []ExperimentResult{}, Artifacts: []Made{}}
	if err := Check(stages); err != nil {
		return res, err
	}
	chosen := func(stage string) bool {
		return len(stages) == 0 || slices.Contains(stages, stage) ||
			stage == Train && slices.Contains(stages, "evaluate")
	}
	p.trains = chosen(Train)
	for _, stage := range Stages() {
		if !chosen(stage) {
			continue
		}
		jobs, err := p.jobs(ctx, stage)
		state := Cached
		if err == nil {
			if stage == Load {
				res.SourceDigest, _ = jobs[0].params["source_digest"].(string)
			}
			state, err = p.runJobs(ctx, jobs, res)
		}
		if err != nil {
			res.Stages = append(res.Stages, StageResult{stage, Failed})
			return res, err
		}
		res.Stages = append(res.Stages, StageResult{stage, state})
	}
	if chosen(Train) {
		if err := p.compare(ctx, res); err != nil {
			return res, failed(ctx, "compare experiments", err)
		}
	}
	return res, nil
}

// jobs returns the runs that a stage consists of.
func (p *Pipeline) jobs(ctx context.Context, stage string) ([]job, error) {
	c := p.Config
	switch stage {
	case Load:
		j, err := p.loadJob(ctx)
		return []job{j}, err
	case Preprocess:
		return []job{{
			stage: Preprocess, inputs: []string{c.RawName()}, params: c.PreprocessParams(),
			output: c.PreprocessName(), work: p.preprocess,
		}}, nil
	case Build:
		return []job{{
			stage: Build, inputs: []string{c.PreprocessName()}, params: c.BuildParams(),
			output: c.ModelName(), work: p.build,
		}}, nil
	case Train:
		return p.trainJobs(), nil
	}
	panic("pipeline: unknown stage " + stage)
}

// runJobs answers the jobs of one stage from the store and runs the others,
// side by side if there are several: one training per core is the fastest way
// to use the cores, and cores that would be idle help inside one. The first
// error in the order of jobs is returned, after all of them ended.
func (p *Pipeline) runJobs(ctx context.Context, jobs []job, res *Result) (state string, err error) {
	made, errs := make([]Made, len(jobs)), make([]error, len(jobs))
	var due []order
	for i, j := range jobs {
		o, err := p.order(ctx, j)
		if err != nil {
			errs[i] = err
			continue
		}
		if o.answer != nil {
			made[i] = madeOf(*o.answer, false)
			p.reporter().StageCached(j.title(), fmt.Sprintf("%s is up to date", o.answer.Name()))
			continue
		}
		o.index = i
		due = append(due, o)
	}
	var running sync.WaitGroup
	slots := make(chan struct{}, p.workers())
	for _, o := range due {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			v, isNew, err := p.execute(ctx, o, max(1, p.workers()/len(due)))
			made[o.index], errs[o.index] = madeOf(v, isNew), err
		})
	}
	running.Wait()
	state = Cached
	if len(due) > 0 {
		state = Ran
	}
	for i := range jobs {
		if errs[i] == nil {
			res.Artifacts = append(res.Artifacts, made[i])
		}
	}
	for _, err := range errs {
		if err != nil {
			return Failed, err
		}
	}
	return state, nil
}

// An order is a job with the inputs that it is to have.
type order struct {
	job
	index  int // among the jobs of the stage
	recipe Recipe
	spec   tracking.RunSpec
	answer *solera.Version // what the store has already, nil if the job is to run
}

// order fixes the inputs of a job and asks the store for its answer.
func (p *Pipeline) order(ctx context.Context, j job) (order, error) {
	if err := ctx.Err(); err != nil {
		return order{}, j.failed(ctx, err)
	}
	ins, err := p.inputsOf(ctx, j)
	if err != nil {
		return order{}, err
	}
	recipe := j.recipe(ins.byName())
	o := order{job: j, recipe: recipe, spec: tracking.RunSpec{
		Stage: j.stage, Experiment: j.experiment,
		Params: recipe.Params, Recipe: recipe.Digest(), Code: codeOf(j.stage),
	}}
	hit, err := p.Tracker.Reuse(ctx, o.spec, ins.versions(j.inputs)...)
	if err != nil {
		return order{}, j.failed(ctx, err)
	}
	if hit != nil {
		v, ok := hit.Output(j.output)
		if !ok {
			return order{}, fmt.Errorf("%s: run %s has this recipe but did not make %s: %w", j.title(), hit.Run.ID, j.output, solera.ErrCorrupt)
		}
		o.answer = &v
	}
	return o, nil
}

// execute runs the job as a recorded run, on so many cores.
func (p *Pipeline) execute(ctx context.Context, j order, cores int) (v solera.Version, isNew bool, err error) {
	p.reporter().StageStarted(j.title())
	run, err := p.Tracker.Start(ctx, j.spec)
	if err != nil {
		return v, false, j.failed(ctx, err)
	}
	defer p.open.add(j.title(), run)()
	ctx = run.Context() // ends also when a user asks the run to stop
	var summary solera.Fields
	defer func() {
		if r := recover(); r != nil {
			// A defect in one experiment must not take the others with it, nor
			// leave a finished run that answers for its recipe with nothing.
			err = fmt.Errorf("%s: a defect of Solera, please report it: %v\n%s", j.title(), r, debug.Stack())
		}
		if ferr := run.Finish(ctx, err, summary); err == nil && ferr != nil {
			err = fmt.Errorf("%s: %w", j.title(), ferr)
		}
	}()
	ins := inputs{}
	for _, name := range j.inputs {
		// By number: latest may have moved since the recipe was made.
		snapshot, err := run.Use(ctx, j.recipe.uses[name])
		if err != nil {
			return v, false, j.failed(ctx, err)
		}
		ins[name] = snapshot
	}
	out, err := j.work(ctx, task{run, ins, j.spec.Recipe, cores})
	summary = out.summary
	if err == nil {
		v, isNew, err = run.Commit(ctx, out.draft)
	}
	if err != nil {
		return v, false, j.failed(ctx, err)
	}
	if out.committed != nil {
		out.committed()
	}
	word := "new"
	if !isNew {
		word = "unchanged"
	}
	p.reporter().StageDone(j.title(), []string{v.Name() + " (" + word + ")"})
	return v, isNew, nil
}

// failed names the job in its error, once.
func (j job) failed(ctx context.Context, err error) error { return failed(ctx, j.title(), err) }

// failed says what was being done when err came. An error after the end of ctx
// is the user's wish: it says how to go on instead of what went wrong.
func failed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		why := context.Cause(ctx)
		if !errors.Is(why, solera.ErrStopped) {
			why = solera.ErrStopped
		}
		return fmt.Errorf("%s: %w: the same command goes on from here", what, why)
	}
	if strings.HasPrefix(err.Error(), what+" ") || strings.HasPrefix(err.Error(), what+": ") {
		return err // load data.csv: … says it already
	}
	return fmt.Errorf("%s: %w", what, err)
}

// inputsOf opens what latest names of each of the job's inputs.
func (p *Pipeline) inputsOf(ctx context.Context, j job) (inputs, error) {
	ins := inputs{}
	for _, name := range j.inputs {
		snapshot, err := p.Tracker.Open(ctx, name)
		if errors.Is(err, solera.ErrNotFound) && p.Fetch != nil {
			p.reporter().Line(j.title(), name+" is not in the store: looking elsewhere")
			if err = p.Fetch(ctx, name); err == nil {
				snapshot, err = p.Tracker.Open(ctx, name)
			} else if !errors.Is(err, solera.ErrNotFound) {
				return nil, j.failed(ctx, err)
			}
		}
		if errors.Is(err, solera.ErrNotFound) {
			return nil, &solera.InputError{
				Op: j.title(), Msg: fmt.Sprintf("its input %s is not in the store", name),
				Hint: fmt.Sprintf("make it with: solera %s (or everything with: solera run)", p.makerOf(name)), Err: solera.ErrNotFound,
			}
		}
		if err != nil {
			return nil, j.failed(ctx, err)
		}
		ins[name] = snapshot
	}
	return ins, nil
}

// makerOf returns the stage that commits the artifact.
func (p *Pipeline) makerOf(artifact string) string {
	switch artifact {
	case p.Config.RawName():
		return Load
	case p.Config.PreprocessName():
		return Preprocess
	case p.Config.ModelName():
		return Build
	}
	return Train
}

func (ins inputs) byName() map[string]solera.Version {
	out := make(map[string]solera.Version, len(ins))
	for name, s := range ins {
		out[name] = s.Version
	}
	return out
}

func (ins inputs) versions(order []string) []solera.Version {
	var out []solera.Version
	for _, name := range order {
		out = append(out, ins[name].Version)
	}
	return out
}

// recipe returns the recipe of the job with these versions as its inputs.
func (j job) recipe(versions map[string]solera.Version) Recipe {
	r := Recipe{
		Stage: j.stage, Experiment: j.experiment, Code: codeOf(j.stage).String(),
		Params: j.params, Inputs: map[string]string{}, uses: map[string]string{},
	}
	for _, name := range j.inputs {
		r.Inputs[name] = versions[name].Digest.String()
		r.uses[name] = versions[name].Name()
	}
	return r
}

// title names the job to people: "load", "train exp001".
func (j job) title() string {
	if j.experiment != "" {
		return j.stage + " " + j.experiment
	}
	return j.stage
}

func madeOf(v solera.Version, isNew bool) Made {
	return Made{Name: v.Artifact, Version: fmt.Sprintf("v%d", v.Number), Digest: v.Digest, New: isNew}
}

// codeOf returns the digest of the code behind a stage.
func codeOf(stage string) solera.Digest {
	var d solera.Digest
	if b, err := hex.DecodeString(codeDigest(stage)); err == nil {
		copy(d[:], b)
	}
	return d
}

func (p *Pipeline) reporter() Reporter {
	return consoles{cmp.Or[Reporter](p.Reporter, Silent{}), &p.open}
}

func (p *Pipeline) workers() int {
	if p.Workers > 0 {
		return p.Workers
	}
	return runtime.GOMAXPROCS(0)
}

// engine returns an engine of the chosen kernel set.
func (p *Pipeline) engine(workers int) (*tensor.Engine, error) {
	e, err := tensor.NewEngine(p.Kernel, workers)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", solera.ErrUsage, err)
	}
	return e, nil
}
