package nn

import (
	"math"

	"github.com/solera-ml/solera/tensor"
)

// clipGradients scales the gradients of all weights so that their Euclidean
// norm is at most clip, as torch.nn.utils.clip_grad_norm_ does.
func (t *Trainer) clipGradients() {
	if t.clip == 0 {
		return
	}
	grads := t.pass.grads
	norm := math.Sqrt(t.engine.SumSquares(grads))
	factor := float32(t.clip / (norm + 1e-6))
	if factor >= 1 {
		return
	}
	for i, g := range grads {
		grads[i] = g * factor
	}
}

// update moves all weights by their gradients, in one pass over the flat slices.
func (t *Trainer) update(lr float64) {
	w, g, o := t.network.params, t.pass.grads, &t.optimizer
	switch o.Kind {
	case kindSGD:
		t.engine.SGD(w, g, t.moment(0), tensor.SGDArgs{
			LR: lr, Momentum: o.Momentum, WeightDecay: o.WeightDecay, Nesterov: o.Nesterov,
		})
	case kindRMSprop:
		t.engine.RMSprop(w, g, t.moment(0), t.moment(1), tensor.RMSpropArgs{
			LR: lr, Alpha: o.Alpha, Eps: o.Eps, WeightDecay: o.WeightDecay, Momentum: o.Momentum,
		})
	default:
		t.engine.Adam(w, g, t.moment(0), t.moment(1), tensor.AdamArgs{
			LR: lr, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, WeightDecay: o.WeightDecay,
			Decoupled: o.Kind == kindAdamW, Step: t.steps, Max: t.moment(2),
		})
	}
}

// moment returns the k-th vector that the optimizer carries, nil where it has fewer.
func (t *Trainer) moment(k int) []float32 {
	if k >= len(t.moments) {
		return nil
	}
	return t.moments[k]
}
