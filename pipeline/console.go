package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/solera-ml/solera/tracking"
)

// openRuns are the runs under way by the title of their job.
type openRuns struct {
	mu   sync.Mutex
	runs map[string]*tracking.Run
}

// add ties a job to its run until the returned function is called.
func (o *openRuns) add(title string, run *tracking.Run) (end func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.runs == nil {
		o.runs = map[string]*tracking.Run{}
	}
	o.runs[title] = run
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.runs, title)
	}
}

// consoles passes on what a Reporter is told, and keeps the lines of each job in
// the console of its run.
type consoles struct {
	Reporter
	open *openRuns
}

func (c consoles) print(title, stream, text string) {
	c.open.mu.Lock()
	run := c.open.runs[title]
	c.open.mu.Unlock()
	if run != nil {
		run.Print(stream, text)
	}
}

func (c consoles) Line(stage, text string) {
	c.Reporter.Line(stage, text)
	c.print(stage, tracking.Out, text)
}

func (c consoles) Warning(stage, text string) {
	c.Reporter.Warning(stage, text)
	c.print(stage, tracking.Err, "warning: "+text)
}

// Epoch keeps every twentieth part: all of them are among the run's points.
func (c consoles) Epoch(e Epoch) {
	c.Reporter.Epoch(e)
	if e.Epoch != 1 && e.Epoch != e.Epochs && e.Epoch%max(1, e.Epochs/20) != 0 {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "epoch %d/%d", e.Epoch, e.Epochs)
	for _, key := range slices.Sorted(maps.Keys(e.Metrics)) {
		fmt.Fprintf(&b, "  %s %.5g", key, e.Metrics[key])
	}
	c.print(Train+" "+e.Experiment, tracking.Out, b.String())
}

func (c consoles) ExperimentDone(experiment, text string, err error) {
	c.Reporter.ExperimentDone(experiment, text, err)
	if err == nil {
		c.print(Train+" "+experiment, tracking.Out, text)
	}
}

func (c consoles) StageDone(stage string, made []string) {
	c.Reporter.StageDone(stage, made)
	c.print(stage, tracking.Out, "made "+strings.Join(made, ", "))
}
