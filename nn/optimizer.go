package nn

import (
	"cmp"
	"fmt"
	"math"

	"github.com/solera-ml/solera"
)

// The kinds of optimizer.
const (
	kindSGD     = "sgd"
	kindAdam    = "adam"
	kindAdamW   = "adamw"
	kindRMSprop = "rmsprop"
)

// An Optimizer says how a gradient changes the weights. Fields that are zero
// have the default of torch.optim's class of the same name, and the formulas
// are that class's. The learning rate is an argument of every step.
type Optimizer struct {
	Kind     string  `json:"kind"`               // sgd, adam, adamw or rmsprop; "" means adam
	Momentum float64 `json:"momentum,omitempty"` // sgd, rmsprop: 0 for none
	Nesterov bool    `json:"nesterov,omitempty"` // sgd with momentum
	Beta1    float64 `json:"beta1,omitempty"`    // adam, adamw: 0 means 0.9
	Beta2    float64 `json:"beta2,omitempty"`    // adam, adamw: 0 means 0.999
	Eps      float64 `json:"eps,omitempty"`      // adam, adamw, rmsprop: 0 means 1e-8
	Alpha    float64 `json:"alpha,omitempty"`    // rmsprop: decay of the mean square, 0 means 0.99
	// WeightDecay is added to the gradient as decay·w (sgd, adam, rmsprop), or,
	// for adamw, shrinks the weights by lr·decay apart from the gradient
	// (Loshchilov and Hutter, 2019). For adamw 0 means 0.01: adamw without decay
	// is adam. It acts on all weights, biases included, as in torch.
	WeightDecay float64 `json:"weight_decay,omitempty"`
	AMSGrad     bool    `json:"amsgrad,omitempty"` // adam, adamw: Reddi et al. (2018)
}

// withDefaults fills the fields that the kind reads.
func (o Optimizer) withDefaults() Optimizer {
	o.Kind = cmp.Or(o.Kind, kindAdam)
	switch o.Kind {
	case kindAdam, kindAdamW:
		o.Beta1 = cmp.Or(o.Beta1, 0.9)
		o.Beta2 = cmp.Or(o.Beta2, 0.999)
		o.Eps = cmp.Or(o.Eps, 1e-8)
		if o.Kind == kindAdamW {
			o.WeightDecay = cmp.Or(o.WeightDecay, 0.01)
		}
	case kindRMSprop:
		o.Alpha = cmp.Or(o.Alpha, 0.99)
		o.Eps = cmp.Or(o.Eps, 1e-8)
	}
	return o
}

// Check returns an error that names the field and its range.
func (o Optimizer) Check() error {
	bad := func(msg, hint string) error { return &solera.InputError{Op: "optimizer", Msg: msg, Hint: hint} }
	o = o.withDefaults()
	switch o.Kind {
	case kindSGD, kindAdam, kindAdamW, kindRMSprop:
	default:
		return bad(fmt.Sprintf("unknown kind %q", o.Kind), "want sgd, adam, adamw or rmsprop")
	}
	adam := o.Kind == kindAdam || o.Kind == kindAdamW
	for _, f := range []struct {
		name  string
		value float64
		used  bool
		below float64
	}{
		{"momentum", o.Momentum, !adam, 1},
		{"beta1", o.Beta1, adam, 1},
		{"beta2", o.Beta2, adam, 1},
		{"alpha", o.Alpha, o.Kind == kindRMSprop, 1},
		{"eps", o.Eps, adam || o.Kind == kindRMSprop, 1},
		{"weight_decay", o.WeightDecay, true, 1e3},
	} {
		if !f.used && f.value != 0 {
			return bad(fmt.Sprintf("%s means nothing for %s", f.name, o.Kind), "remove it")
		}
		if !(f.value >= 0 && f.value < f.below) {
			return bad(fmt.Sprintf("%s %v", f.name, f.value), fmt.Sprintf("want 0 or more and less than %v", f.below))
		}
	}
	if o.Nesterov && (o.Kind != kindSGD || o.Momentum == 0) {
		return bad("nesterov without the momentum of sgd", "set momentum, or remove nesterov")
	}
	if o.AMSGrad && !adam {
		return bad(fmt.Sprintf("amsgrad means nothing for %s", o.Kind), "remove it")
	}
	return nil
}

// moments returns the names of the vectors that the optimizer carries from step to step.
func (o Optimizer) moments() []string {
	switch o.Kind {
	case kindSGD:
		if o.Momentum != 0 {
			return []string{"momentum"}
		}
		return nil
	case kindRMSprop:
		if o.Momentum != 0 {
			return []string{"mean_square", "momentum"}
		}
		return []string{"mean_square"}
	}
	if o.AMSGrad {
		return []string{"mean", "mean_square", "max_mean_square"}
	}
	return []string{"mean", "mean_square"}
}

// checkStepRate refuses learning rates that cannot train.
func checkStepRate(lr float64) error {
	if !(lr >= 0) || math.IsInf(lr, 0) {
		return &solera.InputError{Op: "training step", Msg: fmt.Sprintf("learning rate %v", lr), Hint: "want a number of 0 or more"}
	}
	return nil
}
