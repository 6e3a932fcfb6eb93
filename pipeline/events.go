package pipeline

// A Reporter is told what a run of the pipeline does, while it does it. The
// command line shows it; nothing that a Reporter does can change a result.
// Experiments may train side by side, so every method may be called from
// several goroutines at once and must not block for long.
type Reporter interface {
	// StageStarted: the stage's work begins. A stage that is a cache hit does
	// not start.
	StageStarted(stage string)
	// StageCached: the stage's outputs are there already; why is one sentence.
	StageCached(stage, why string)
	// Line is one finding that a person wants to see while the stage runs,
	// such as "142 training rows, 18 validation, 18 test".
	Line(stage, text string)
	// Warning is a finding that a person should act on, such as a dropped
	// column.
	Warning(stage, text string)
	// Epoch: an experiment has done an epoch. After the last one, or early
	// stopping, comes ExperimentDone.
	Epoch(Epoch)
	// ExperimentDone: the training of the experiment has ended, with an error
	// or, when err is nil, well. Text says how, such as "best epoch 41 of 100".
	ExperimentDone(experiment, text string, err error)
	// StageDone: the stage has ended; made lists the versions that it
	// committed, such as wine-raw:v0 (new).
	StageDone(stage string, made []string)
}

// An Epoch is an experiment's progress.
type Epoch struct {
	Experiment         string
	Epoch, Epochs      int                // counted from 1
	TrainRows, ValRows int                // that the metrics rest on
	Metrics            map[string]float64 // those that fit records
}

// Silent is the Reporter that shows nothing.
type Silent struct{}

// The methods of Silent do nothing.

func (Silent) StageStarted(string)                  {}
func (Silent) StageCached(string, string)           {}
func (Silent) Line(string, string)                  {}
func (Silent) Warning(string, string)               {}
func (Silent) Epoch(Epoch)                          {}
func (Silent) ExperimentDone(string, string, error) {}
func (Silent) StageDone(string, []string)           {}
