// Package fit trains a network: epochs, batches, the learning rate, early
// stopping, checkpoints. It refuses to let anything but its arguments into the
// result: a training that was stopped anywhere and resumed ends with the same
// bytes as one that ran through.
package fit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/numeric"
	"github.com/solera-ml/solera/tensor"
)

// Data are the rows of a split.
type Data struct {
	X *tensor.Matrix // a row of features each
	Y []int32        // the class of each row, from 0
}

// A Recorder receives the metrics of an epoch as soon as it has ended; step is
// the epoch, from 1. The map is the recorder's to keep. An error ends the
// training. After resuming, the epochs before the checkpoint are recorded first,
// with the values they had: a step may come again, never with other values.
type Recorder interface {
	Record(step int64, metrics map[string]float64) error
}

// The names of the metrics of an epoch. Those of training are means over the
// epoch's batches as they were met, with dropout on and weights still moving;
// those of validation belong to the weights after the epoch.
const (
	TrainLoss     = "train/loss"
	TrainAccuracy = "train/accuracy"
	ValLoss       = "val/loss"
	ValAccuracy   = "val/accuracy"
	LearningRate  = "learning_rate"
)

// Config says how to train. Two trainings with the same Config, network and
// data give the same bytes.
type Config struct {
	Epochs        int            `json:"epochs"`        // at least 1
	BatchSize     int            `json:"batch_size"`    // 1 to the number of training rows; the last batch of an epoch may be smaller
	LearningRate  float64        `json:"learning_rate"` // above 0; what the schedule varies
	Optimizer     nn.Optimizer   `json:"optimizer"`
	Loss          nn.Loss        `json:"loss"` // of training and validation
	Schedule      nn.Schedule    `json:"schedule"`
	EarlyStopping *EarlyStopping `json:"early_stopping,omitempty"` // nil trains all epochs
	ClipNorm      float64        `json:"clip_norm,omitempty"`      // largest gradient norm, 0 does not clip
	Seed          uint64         `json:"seed"`                     // of the order of rows and of dropout
}

// EarlyStopping ends a training after Patience epochs in a row in which the
// validation loss was not below the lowest before by more than MinDelta.
type EarlyStopping struct {
	Patience int     `json:"patience"` // at least 1
	MinDelta float64 `json:"min_delta,omitempty"`
}

// Options are what may differ between two trainings without changing the result.
type Options struct {
	Recorder Recorder // nil records nothing
	// Checkpoint is a file that holds the state of the training, written
	// atomically: about once per Every, and when the training is interrupted.
	// "" writes none. The caller removes it when the training is done.
	Checkpoint string
	Every      time.Duration // 0 means a second; negative: after every epoch
	Resume     bool          // continue from Checkpoint if that file exists
	// Observe, if not nil, is called after each epoch with the weights of that
	// moment, which it must not change or keep.
	Observe func(epoch int, n *nn.Network)
}

// An Epoch is one line of the history.
type Epoch struct {
	Epoch         int     `json:"epoch"` // from 1
	LearningRate  float64 `json:"learning_rate"`
	TrainLoss     float64 `json:"train_loss"`
	TrainAccuracy float64 `json:"train_accuracy"`
	ValLoss       float64 `json:"val_loss"`
	ValAccuracy   float64 `json:"val_accuracy"`
}

// A Result tells what a training did.
type Result struct {
	BestEpoch    int     `json:"best_epoch"` // the first with the lowest validation loss, 0 before any
	Epochs       int     `json:"epochs"`     // finished
	Steps        int64   `json:"steps"`
	StoppedEarly bool    `json:"stopped_early"`
	History      []Epoch `json:"history"`
}

// Best returns the history's line of the best epoch.
func (r Result) Best() Epoch {
	if r.BestEpoch == 0 {
		return Epoch{}
	}
	return r.History[r.BestEpoch-1]
}

// ErrDiverged is wrapped by the error of a training whose loss left all bounds.
var ErrDiverged = nn.ErrDiverged

// hopeless times the loss of guessing is no longer learning: with normalised
// features a wild learning rate can leave the loss finite for ever.
const hopeless = 1000

// Network trains n and leaves it with the weights of the epoch that had the
// lowest validation loss. The engine is used by this training alone meanwhile.
//
// The rows of every epoch are put in an order that depends on the seed and the
// epoch alone. The last batch is smaller if the rows do not divide; if it would
// be one row, which batch_norm cannot train on, it joins the batch before.
//
// When ctx ends, training stops after the current batch, the checkpoint is
// written, n is as it was before, and the error wraps ctx's. If the loss
// diverges, the error wraps ErrDiverged and names epoch and step; n then has
// the best weights so far, or its first ones, and the last checkpoint stays. After
// any other error n is as it was. The result always tells how far it came.
func Network(ctx context.Context, n *nn.Network, e *tensor.Engine, train, val Data, c Config, o Options) (Result, error) {
	t, err := prepare(n, e, train, val, c, o)
	if err != nil {
		return Result{}, err
	}
	if err := t.resume(); err != nil {
		n.CopyFrom(t.first)
		return Result{}, err
	}
	err = t.run(ctx)
	switch {
	case err == nil, errors.Is(err, ErrDiverged) && t.best != nil && t.result.BestEpoch > 0:
		n.CopyFrom(t.best)
	default:
		n.CopyFrom(t.first)
	}
	t.result.Steps = t.trainer.Steps()
	return t.result, err
}

// A training is a training under way. What a checkpoint must hold is below the line.
type training struct {
	n          *nn.Network
	train, val Data
	c          Config
	o          Options
	batchNorm  bool
	trainer    *nn.Trainer
	evaluator  *nn.Evaluator
	first      *nn.Network // n as it was given
	identity   identity
	order      []int32 // the rows of the epoch
	saver      saver

	// ---

	epoch     int // the one under way, from 1
	next      int // its next row, an index into order
	lossSum   float64
	correct   int
	wild      int64 // the first step of the epoch whose loss was hopeless, 0 for none
	scheduler *nn.Scheduler
	best      *nn.Network
	result    Result

	// Follow from the history.
	lowest  float64 // validation loss, less MinDelta's allowance
	waiting int     // epochs since
}

// prepare checks everything that can be known before the first step.
func prepare(n *nn.Network, e *tensor.Engine, train, val Data, c Config, o Options) (*training, error) {
	spec := n.Spec()
	if err := check(spec, n.HasBatchNorm(), train, val, c); err != nil {
		return nil, err
	}
	t := &training{
		n: n, train: train, val: val, c: c, o: o, batchNorm: n.HasBatchNorm(),
		first: n.Clone(), best: n.Clone(), order: make([]int32, len(train.Y)), epoch: 1, lowest: math.Inf(1),
	}
	var err error
	if t.scheduler, err = c.Schedule.Start(c.LearningRate, c.Epochs); err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	t.trainer, err = nn.NewTrainer(n, e, nn.TrainerOptions{
		Loss: c.Loss, Optimizer: c.Optimizer, MaxBatch: min(c.BatchSize+1, len(train.Y)), Seed: c.Seed, ClipNorm: c.ClipNorm,
	})
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	chunk := 0
	if len(val.Y) <= 256 {
		chunk = len(val.Y) // the usual chunk would be mostly empty memory
	}
	t.evaluator = nn.NewEvaluator(n, e, chunk)
	t.result.History = make([]Epoch, 0, min(c.Epochs, 1<<12))
	if o.Checkpoint != "" {
		if t.identity, err = identify(spec, n, train, val, c); err != nil {
			return nil, err
		}
		t.saver = newSaver(o)
	}
	return t, nil
}

// check refuses data and settings that cannot train.
func check(spec nn.Spec, batchNorm bool, train, val Data, c Config) error {
	bad := func(hint, format string, a ...any) error {
		return &solera.InputError{Op: "train", Msg: fmt.Sprintf(format, a...), Hint: hint}
	}
	for _, d := range []struct {
		name string
		Data
	}{{"training", train}, {"validation", val}} {
		switch {
		case d.X == nil || d.X.Rows == 0:
			return bad("give the split more rows", "no %s rows", d.name)
		case d.X.Rows != len(d.Y):
			return bad("give one class per row", "%d %s rows but %d classes", d.X.Rows, d.name, len(d.Y))
		case d.X.Cols != spec.Inputs:
			return bad("build the network for this data", "%s rows have %d features, the network has %d inputs", d.name, d.X.Cols, spec.Inputs)
		}
		for i, y := range d.Y {
			if y < 0 || int(y) >= spec.Outputs {
				return bad("build the network for this data", "%s row %d is of class %d, the network has %d outputs", d.name, i, y, spec.Outputs)
			}
		}
	}
	n := len(train.Y)
	switch {
	case n > math.MaxInt32:
		return bad("train on a part of them", "%d training rows, at most %d can be shuffled", n, math.MaxInt32)
	case c.Epochs < 1:
		return bad("want at least 1", "%d epochs", c.Epochs)
	case c.BatchSize < 1:
		return bad("want at least 1", "batch size %d", c.BatchSize)
	case c.BatchSize > n:
		return bad(fmt.Sprintf("set batch_size to %d or less", n), "batch size %d is larger than the %d training rows", c.BatchSize, n)
	case batchNorm && n == 1:
		return bad("train on more rows, or without batch_norm", "1 training row has no variance for batch_norm")
	case batchNorm && c.BatchSize == 1:
		return bad("set batch_size to 2 or more, or train without batch_norm", "batches of 1 row have no variance for batch_norm")
	case !(c.LearningRate > 0) || math.IsInf(c.LearningRate, 1):
		return bad("want a number above 0, such as 0.001 for adam or 0.01 for sgd", "learning rate %v", c.LearningRate)
	case !(c.ClipNorm >= 0):
		return bad("want 0 (no clipping) or more", "clip norm %v", c.ClipNorm)
	}
	if s := c.EarlyStopping; s != nil && (s.Patience < 1 || !(s.MinDelta >= 0)) {
		return bad("want a patience of at least 1 epoch and a min_delta of 0 or more", "early stopping with patience %d and min_delta %v", s.Patience, s.MinDelta)
	}
	return nil
}

// run trains from where the training stands to its end.
func (t *training) run(ctx context.Context) error {
	for t.epoch <= t.c.Epochs && !t.result.StoppedEarly {
		if err := t.trainEpoch(ctx); err != nil {
			return err
		}
		if err := t.endEpoch(); err != nil {
			return err
		}
	}
	return nil
}

// trainEpoch takes the steps that are left of the epoch.
func (t *training) trainEpoch(ctx context.Context) error {
	t.shuffle()
	rate := t.scheduler.Rate()
	limit := hopeless * numeric.Log(float64(max(2, t.n.Spec().Outputs)))
	for t.next < len(t.order) {
		if ctx.Err() != nil {
			return t.interrupted(reason(ctx))
		}
		end := t.batchEnd()
		loss, correct, err := t.trainer.Step(t.train.X, t.train.Y, t.order[t.next:end], rate)
		if err != nil {
			return t.failed(err)
		}
		if loss > limit && t.wild == 0 {
			t.wild = t.trainer.Steps()
		}
		t.lossSum += float64(loss * float64(end-t.next))
		t.correct += correct
		t.next = end
		if t.next < len(t.order) && t.saver.due() {
			if err := t.save(); err != nil {
				return err
			}
		}
	}
	if mean := t.lossSum / float64(len(t.order)); mean > limit {
		return t.diverged(t.wild, fmt.Sprintf("the mean loss of the epoch is %.3g, more than %d times that of guessing", mean, hopeless))
	}
	return nil
}

// shuffle puts the rows in the order of the epoch, which depends on no epoch before.
func (t *training) shuffle() {
	for i := range t.order {
		t.order[i] = int32(i)
	}
	numeric.NewStream(t.c.Seed, "shuffle", uint64(t.epoch)).ShuffleInt32(t.order)
}

// batchEnd returns where the batch that starts at next ends.
func (t *training) batchEnd() int {
	end := min(t.next+t.c.BatchSize, len(t.order))
	if t.batchNorm && len(t.order)-end == 1 {
		end++ // one row has no variance
	}
	return end
}

// endEpoch validates, notes, records, and moves on to the next epoch.
func (t *training) endEpoch() error {
	rows := float64(len(t.order))
	valLoss, valCorrect := t.evaluator.Loss(t.val.X, t.val.Y, t.c.Loss)
	if valLoss-valLoss != 0 {
		return t.diverged(t.trainer.Steps(), fmt.Sprintf("the validation loss is %v", valLoss))
	}
	done := Epoch{
		Epoch: t.epoch, LearningRate: t.scheduler.Rate(),
		TrainLoss: t.lossSum / rows, TrainAccuracy: float64(t.correct) / rows,
		ValLoss: valLoss, ValAccuracy: float64(valCorrect) / float64(len(t.val.Y)),
	}
	if t.note(done) {
		t.best.CopyFrom(t.n)
	}
	t.scheduler.Next(valLoss)
	t.epoch, t.next, t.lossSum, t.correct, t.wild = t.epoch+1, 0, 0, 0, 0
	if t.o.Observe != nil {
		t.o.Observe(done.Epoch, t.n)
	}
	if err := t.record(done); err != nil {
		return errors.Join(err, t.save())
	}
	if t.saver.dueAfterEpoch() {
		return t.save()
	}
	return nil
}

// note appends the epoch to the history and says whether it is the best so far.
func (t *training) note(done Epoch) (best bool) {
	r := &t.result
	best = r.BestEpoch == 0 || done.ValLoss < r.Best().ValLoss
	r.History = append(r.History, done)
	r.Epochs = done.Epoch
	if best {
		r.BestEpoch = done.Epoch
	}
	if s := t.c.EarlyStopping; s != nil {
		if done.ValLoss < t.lowest-s.MinDelta {
			t.lowest, t.waiting = done.ValLoss, 0
		} else {
			t.waiting++
		}
		r.StoppedEarly = t.waiting >= s.Patience && done.Epoch < t.c.Epochs
	}
	return best
}

func (t *training) record(done Epoch) error {
	if t.o.Recorder == nil {
		return nil
	}
	err := t.o.Recorder.Record(int64(done.Epoch), map[string]float64{
		TrainLoss: done.TrainLoss, TrainAccuracy: done.TrainAccuracy,
		ValLoss: done.ValLoss, ValAccuracy: done.ValAccuracy, LearningRate: done.LearningRate,
	})
	if err != nil {
		return fmt.Errorf("train: record epoch %d: %w", done.Epoch, err)
	}
	return nil
}

// reason returns an error that is both ctx's and the cause given to it.
func reason(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, ctx.Err()) {
		return fmt.Errorf("%w (%w)", cause, ctx.Err())
	}
	return ctx.Err()
}

// interrupted saves the training and returns why it stopped.
func (t *training) interrupted(cause error) error {
	at := fmt.Sprintf("train: stopped in epoch %d of %d after step %d", t.epoch, t.c.Epochs, t.trainer.Steps())
	if t.o.Checkpoint == "" {
		return fmt.Errorf("%s: %w", at, cause)
	}
	if err := t.save(); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", at, cause), err)
	}
	return fmt.Errorf("%s (saved, the same training continues there): %w", at, cause)
}

// failed explains the error of a step.
func (t *training) failed(err error) error {
	if !errors.Is(err, ErrDiverged) {
		return fmt.Errorf("train: epoch %d: %w", t.epoch, err)
	}
	for i := range t.train.X.Rows {
		for j, v := range t.train.X.Row(i) {
			if v-v != 0 {
				return &solera.InputError{
					Op: "train", Msg: fmt.Sprintf("training row %d has the value %v in feature %d", i, v, j),
					Hint: "impute or remove what is not a finite number before training", Err: ErrDiverged,
				}
			}
		}
	}
	return t.diverged(t.trainer.Steps()+1, "the loss is not a finite number")
}

// diverged says where, and what to try.
func (t *training) diverged(step int64, what string) error {
	kept := ""
	if t.saver.saved {
		kept = fmt.Sprintf("; the last good checkpoint is %s", t.o.Checkpoint)
	}
	return &solera.InputError{
		Op: "train",
		Msg: fmt.Sprintf("the training diverged in epoch %d at step %d with learning rate %v: %s%s",
			t.epoch, step, t.scheduler.Rate(), what, kept),
		Hint: fmt.Sprintf("use a smaller learning rate, such as %.1g, or a warm-up, or clip_norm: 1", min(t.c.LearningRate/10, 0.001)),
		Err:  ErrDiverged,
	}
}
