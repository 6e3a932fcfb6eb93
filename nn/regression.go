package nn

import (
	"math"

	"github.com/solera-ml/solera/numeric"
)

// The functions below are losses of one prediction in float64, with their
// derivative by the prediction; the mean over rows is the caller's. They match
// the functions of torch.nn.functional that their comments name.

// SquaredError is (p-t)² (mse_loss).
func SquaredError(p, t float64) (loss, slope float64) {
	d := p - t
	return float64(d * d), 2 * d
}

// AbsoluteError is |p-t|, with slope 0 at p == t (l1_loss).
func AbsoluteError(p, t float64) (loss, slope float64) {
	d := p - t
	return math.Abs(d), sign(d)
}

// Huber is (p-t)²/2 up to a distance of delta and a line beyond it (huber_loss).
func Huber(p, t, delta float64) (loss, slope float64) {
	d := p - t
	if a := math.Abs(d); a > delta {
		return float64(delta * (a - float64(0.5*delta))), delta * sign(d)
	}
	return float64(0.5 * d * d), d
}

// SmoothL1 is Huber divided by beta (smooth_l1_loss).
func SmoothL1(p, t, beta float64) (loss, slope float64) {
	loss, slope = Huber(p, t, beta)
	return loss / beta, slope / beta
}

// LogisticLoss is the cross-entropy of a logit z against a target in [0, 1],
// the positive part weighted by positive (binary_cross_entropy_with_logits with
// pos_weight; 1 for none).
func LogisticLoss(z, target, positive float64) (loss, slope float64) {
	// -log σ(z) = softplus(-z), written so that no exponential overflows.
	softplus := numeric.Log1p(numeric.Exp(-math.Abs(z))) + max(-z, 0)
	w := 1 + float64((positive-1)*target)
	s := numeric.Sigmoid(z)
	loss = float64((1-target)*z) + float64(w*softplus)
	slope = (1 - target) - float64(w*(1-s))
	return loss, slope
}

func sign(d float64) float64 {
	switch {
	case d > 0:
		return 1
	case d < 0:
		return -1
	}
	return 0
}
