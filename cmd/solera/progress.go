package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/solera-ml/solera/fit"
	"github.com/solera-ml/solera/pipeline"
)

// A progress shows a run of the pipeline while it goes on, on stderr. Close
// ends it before anything else is written.
type progress interface {
	pipeline.Reporter
	Close()
}

// newProgress chooses bars for a terminal, lines for everything else. Under
// --json stderr is for the error alone, so that scripts can read it.
func (a *app) newProgress() progress {
	switch {
	case a.json || a.quiet:
		return silent{}
	case a.isTerminal(a.stderr) && a.env("CI") == "" && !a.verbose:
		return &bars{lines: lines{w: a.stderr}, running: map[string]*bar{}, epochs: a.epochs}
	}
	return &lines{w: a.stderr, every: a.verbose}
}

// epochs returns how many epochs an experiment may take, 0 if that is not known
// before its first.
func (a *app) epochs(experiment string) int {
	if a.cfg == nil {
		return 0
	}
	for _, e := range a.cfg.Experiments {
		if e.Name == experiment {
			return e.Epochs
		}
	}
	return 0
}

type silent struct{ pipeline.Silent }

func (silent) Close() {}

// lines reports in plain lines: the stage in the first column, what happens in
// the second.
type lines struct {
	mu    sync.Mutex // guards w
	w     io.Writer
	every bool // every epoch, not every tenth part
}

// stageWidth is that of the usual stage and experiment.
const stageWidth = len(pipeline.Train + " exp001")

func (l *lines) write(stage, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "%-*s  %s\n", stageWidth, stage, printable(text))
}

func (l *lines) StageStarted(stage string) { l.write(stage, "started") }

func (l *lines) StageCached(stage, why string) { l.write(stage, "cached: "+why) }

func (l *lines) Line(stage, text string) { l.write(stage, text) }

func (l *lines) Warning(stage, text string) { l.write(stage, "warning: "+text) }

func (l *lines) Epoch(e pipeline.Epoch) {
	if l.every || e.Epoch == e.Epochs || e.Epoch%max(1, e.Epochs/10) == 0 {
		l.write("train "+e.Experiment, fmt.Sprintf("epoch %*d/%d  train %s  val %s", len(fmt.Sprint(e.Epochs)), e.Epoch, e.Epochs,
			metricsText(e.Metrics[fit.TrainLoss], e.Metrics[fit.TrainAccuracy], e.TrainRows),
			metricsText(e.Metrics[fit.ValLoss], e.Metrics[fit.ValAccuracy], e.ValRows)))
	}
}

// metricsText reads "loss 0.3312, 17/18 right": a share of few rows shows them.
func metricsText(loss, accuracy float64, rows int) string {
	width := len(fmt.Sprint(rows))
	return fmt.Sprintf("loss %.4f, %*.0f/%d right", loss, width, accuracy*float64(rows), rows)
}

func (l *lines) ExperimentDone(experiment, text string, err error) {
	if err != nil {
		text = "stopped: " + sentence(err)
	}
	l.write("train "+experiment, text)
}

func (l *lines) StageDone(stage string, made []string) {
	l.write(stage, "made "+strings.Join(made, ", "))
}

func (l *lines) Close() {}

// bars shows a bar for each experiment that trains, and lines above them.
type bars struct {
	lines
	epochs func(experiment string) int // how many it may take

	mu      sync.Mutex // guards the rest
	pool    *mpb.Progress
	running map[string]*bar
}

// A bar is one training.
type bar struct {
	*mpb.Bar
	mu    sync.Mutex
	state string // shown behind the bar
}

func (b *bar) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

func (b *bar) set(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = text
}

// write puts a line above the bars, if there are any.
func (b *bars) write(stage, text string) {
	b.mu.Lock()
	pool := b.pool
	b.mu.Unlock()
	if pool == nil {
		b.lines.write(stage, text)
		return
	}
	fmt.Fprintf(pool, "%-*s  %s\n", stageWidth, stage, printable(text))
}

func (b *bars) StageStarted(stage string) {
	experiment, ok := strings.CutPrefix(stage, pipeline.Train+" ")
	if !ok {
		b.write(stage, "started")
		return
	}
	if n := b.epochs(experiment); n > 0 {
		b.bar(experiment, n) // its first epoch may take a while
	}
}

func (b *bars) StageCached(stage, why string) { b.write(stage, "cached: "+why) }
func (b *bars) Line(stage, text string)       { b.write(stage, text) }
func (b *bars) Warning(stage, text string)    { b.write(stage, "warning: "+text) }
func (b *bars) StageDone(stage string, made []string) {
	b.write(stage, "made "+strings.Join(made, ", "))
}

func (b *bars) Epoch(e pipeline.Epoch) {
	one := b.bar(e.Experiment, e.Epochs)
	one.set("val " + metricsText(e.Metrics[fit.ValLoss], e.Metrics[fit.ValAccuracy], e.ValRows))
	one.SetCurrent(int64(e.Epoch))
}

// bar returns the experiment's bar, a new one at its start.
func (b *bars) bar(experiment string, epochs int) *bar {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pool == nil {
		b.pool = mpb.New(mpb.WithOutput(b.w), mpb.WithWidth(30), mpb.WithRefreshRate(100*time.Millisecond))
	}
	one := b.running[experiment]
	if one == nil {
		one = &bar{}
		one.Bar = b.pool.AddBar(int64(epochs), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(
				decor.Name("train "+experiment, decor.WCSyncSpaceR),
				decor.CountersNoUnit("%d/%d", decor.WCSyncSpace),
			),
			mpb.AppendDecorators(
				decor.Any(func(decor.Statistics) string { return one.text() }, decor.WCSyncSpaceR),
				decor.AverageETA(decor.ET_STYLE_GO),
			),
		)
		b.running[experiment] = one
	}
	return one
}

func (b *bars) ExperimentDone(experiment, text string, err error) {
	b.mu.Lock()
	one := b.running[experiment]
	b.mu.Unlock()
	if err != nil {
		text = "stopped: " + sentence(err)
	}
	if one != nil {
		one.Abort(true) // the line below takes its place
	}
	b.write("train "+experiment, text)
}

// Close takes the bars away and waits for their last drawing.
func (b *bars) Close() {
	b.mu.Lock()
	pool := b.pool
	for _, one := range b.running {
		one.Abort(true)
	}
	b.pool = nil
	b.mu.Unlock()
	if pool != nil {
		pool.Wait()
	}
}
