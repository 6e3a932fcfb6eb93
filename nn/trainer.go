package nn

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tensor"
)

// ErrDiverged says that the loss of a training step was not a finite number.
// The step changed no weight, but the running statistics of batch_norm may have
// taken up infinities: go back to a checkpoint.
var ErrDiverged = errors.New("the loss is not a finite number")

// TrainerOptions say how a network is trained.
type TrainerOptions struct {
	Loss      Loss
	Optimizer Optimizer
	MaxBatch  int     // rows of the largest batch, at least 1
	Seed      uint64  // of dropout
	ClipNorm  float64 // scale gradients down to this Euclidean norm over all weights; 0 means never
}

// A Trainer takes optimizer steps on one network. After NewTrainer it allocates
// nothing. It is for one goroutine, and so is its engine while Step runs.
type Trainer struct {
	network   *Network
	engine    *tensor.Engine
	pass      *Pass
	loss      Loss
	optimizer Optimizer
	clip      float64
	maxBatch  int
	classes   int
	moments   [][]float32 // as Network.params, in the order of Optimizer.moments
	steps     int64

	// The batch at hand.
	x       *tensor.Matrix // its rows
	y       []int32        // their classes
	logits  *tensor.Matrix
	dlogits *tensor.Matrix
	rowLoss []float64
	rowHit  []bool
	scratch []float64 // [row][class]
	share   float64   // 1 / sum of the rows' weights
	rows    func(lo, hi int)
}

// NewTrainer takes all memory that training n needs: the batch at every layer,
// gradients, moments.
func NewTrainer(n *Network, e *tensor.Engine, o TrainerOptions) (*Trainer, error) {
	classes := n.spec.Outputs
	if err := o.Loss.Check(classes); err != nil {
		return nil, err
	}
	if err := o.Optimizer.Check(); err != nil {
		return nil, err
	}
	if !(o.ClipNorm >= 0) {
		return nil, &solera.InputError{Op: "trainer", Msg: fmt.Sprintf("clip norm %v", o.ClipNorm), Hint: "want more than 0, or 0 for no clipping"}
	}
	if o.MaxBatch < 1 {
		return nil, &solera.InputError{Op: "trainer", Msg: fmt.Sprintf("batch of %d rows", o.MaxBatch), Hint: "want at least 1"}
	}
	o.Loss.ClassWeights = slices.Clone(o.Loss.ClassWeights)
	t := &Trainer{
		network: n, engine: e, loss: o.Loss, optimizer: o.Optimizer.withDefaults(), clip: o.ClipNorm,
		maxBatch: o.MaxBatch, classes: classes,
		pass:    NewPass(n, e, PassOptions{MaxRows: o.MaxBatch, Training: true, Seed: o.Seed}),
		x:       tensor.NewPadded(o.MaxBatch, n.spec.Inputs),
		y:       make([]int32, o.MaxBatch),
		dlogits: tensor.NewPadded(o.MaxBatch, classes),
		rowLoss: make([]float64, o.MaxBatch),
		rowHit:  make([]bool, o.MaxBatch),
		scratch: make([]float64, o.MaxBatch*classes),
	}
	for range t.optimizer.moments() {
		t.moments = append(t.moments, make([]float32, len(n.params)))
	}
	t.rows = t.lossRows
	return t, nil
}

// Step takes one optimizer step on the given rows of x, whose true classes are
// the same rows of y, with learning rate lr. It returns the mean loss (see
// Loss) and the number of rows that the network, as it was before the step and
// with dropout on, put into their class.
//
// Errors: a batch of 1 row in a network with batch_norm, which has no variance;
// no rows, or more than MaxBatch; rows or classes that do not exist; ErrDiverged.
func (t *Trainer) Step(x *tensor.Matrix, y []int32, rows []int32, lr float64) (loss float64, correct int, err error) {
	if err := t.take(x, y, rows); err != nil {
		return 0, 0, err
	}
	if err := checkStepRate(lr); err != nil {
		return 0, 0, err
	}
	t.pass.SetStep(uint64(t.steps))
	t.logits = t.pass.Forward(t.x, true)
	loss, correct = t.lossAndGradient()
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return loss, correct, fmt.Errorf("training step %d, learning rate %v: %w: use a smaller learning rate, or clip gradients", t.steps+1, lr, ErrDiverged)
	}
	t.pass.Backward(t.dlogits)
	t.clipGradients()
	t.steps++
	t.update(lr)
	return loss, correct, nil
}

// take checks a batch and copies it.
func (t *Trainer) take(x *tensor.Matrix, y, rows []int32) error {
	bad := func(msg, hint string) error {
		return &solera.InputError{Op: "training step", Msg: msg, Hint: hint}
	}
	switch n := len(rows); {
	case x.Cols != t.network.spec.Inputs:
		return bad(fmt.Sprintf("rows of %d features for a network of %d inputs", x.Cols, t.network.spec.Inputs), "build the network for this data")
	case x.Rows != len(y):
		return bad(fmt.Sprintf("%d rows but %d classes", x.Rows, len(y)), "give one class per row")
	case n == 0:
		return bad("a batch without rows", "want at least 1")
	case n > t.maxBatch:
		return bad(fmt.Sprintf("a batch of %d rows", n), fmt.Sprintf("want at most %d", t.maxBatch))
	case n == 1 && t.network.HasBatchNorm():
		return bad("a batch of 1 row, which has no variance for batch_norm", "merge it with another batch")
	}
	t.y = t.y[:len(rows)]
	for i, r := range rows {
		if r < 0 || int(r) >= len(y) {
			return bad(fmt.Sprintf("row %d of %d", r, len(y)), "want rows that exist")
		}
		if y[r] < 0 || int(y[r]) >= t.classes {
			return bad(fmt.Sprintf("class %d in row %d", y[r], r), fmt.Sprintf("want 0 to %d", t.classes-1))
		}
		t.y[i] = y[r]
	}
	t.engine.Gather(resize(t.x, len(rows)), x, rows)
	return nil
}

// serialValues is the size of a batch of logits below which waking the workers
// costs more than it saves.
const serialValues = 2048

// lossAndGradient sets dlogits to the gradient of the mean loss. Losses are
// summed in row order.
func (t *Trainer) lossAndGradient() (mean float64, correct int) {
	n := len(t.y)
	weight := float64(n)
	if t.loss.ClassWeights != nil {
		weight = 0
		for _, y := range t.y {
			weight += t.loss.ClassWeights[y]
		}
	}
	t.share = 1 / weight
	resize(t.dlogits, n)
	if n*t.classes < serialValues {
		t.lossRows(0, n)
	} else {
		t.engine.For(n, max(1, serialValues/2/t.classes), t.rows)
	}
	sum := 0.0
	for i, l := range t.rowLoss[:n] {
		sum += l
		if t.rowHit[i] {
			correct++
		}
	}
	return sum / weight, correct
}

// lossRows sets loss, hit and gradient of some rows.
func (t *Trainer) lossRows(lo, hi int) {
	for i := lo; i < hi; i++ {
		z := t.scratch[i*t.classes : (i+1)*t.classes]
		for j, v := range t.logits.Row(i) {
			z[j] = float64(v)
		}
		y := int(t.y[i])
		loss, top := t.loss.Row(z, y)
		t.rowLoss[i], t.rowHit[i] = loss, top == y
		d := t.dlogits.Row(i)
		for j, g := range z {
			d[j] = float32(g * t.share)
		}
	}
}

// Steps returns the number of steps taken, those before Restore included.
func (t *Trainer) Steps() int64 { return t.steps }

// stepsName is the tensor of State that counts steps.
const stepsName = "optimizer.steps"

// State returns a copy of all that the next steps depend on besides the
// network: the step count and the moments of every weight, named such as
// "optimizer.mean.0.weight". With the network's weights it is a checkpoint.
func (t *Trainer) State() []NamedTensor {
	ts := []NamedTensor{{Name: stepsName, Int64: []int64{t.steps}}}
	for _, w := range t.momentWeights() {
		ts = append(ts, NamedTensor{Name: w.Name, Shape: w.Shape, Data: w.Values()})
	}
	return ts
}

// Restore sets what State returned, from a trainer with the same kinds of
// network and optimizer. After an error the trainer is as it was.
func (t *Trainer) Restore(ts []NamedTensor) error {
	const op = "restore optimizer"
	i := slices.IndexFunc(ts, func(s NamedTensor) bool { return s.Name == stepsName })
	if i < 0 {
		return weightsError(op, stepsName+" is missing")
	}
	if len(ts[i].Int64) != 1 || ts[i].Int64[0] < 0 {
		return weightsError(op, stepsName+" is not a count")
	}
	moments := slices.Delete(slices.Clone(ts), i, i+1)
	if err := setAll(op, t.momentWeights(), moments); err != nil {
		return err
	}
	t.steps = ts[i].Int64[0]
	return nil
}

// momentWeights returns the moments as weights, so that they are read and set
// as weights are.
func (t *Trainer) momentWeights() []Weight {
	var all []Weight
	for k, name := range t.optimizer.moments() {
		var ws []Weight
		for i := range t.network.nodes {
			ws = t.network.weights(ws, &t.network.nodes[i], t.moments[k])
		}
		for _, w := range ws {
			if w.Buffer {
				continue
			}
			w.Name = "optimizer." + name + "." + w.Name
			w.values, w.gradient = w.gradient, nil
			all = append(all, w)
		}
	}
	return all
}
