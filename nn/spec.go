package nn

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tensor"
)

// Limits that Check holds before a byte is allocated. They are far above any
// tabular network and far below what would take a machine down: training with
// Adam needs four times the memory of the weights.
const (
	maxUnits   = 1 << 20 // values per row between two layers
	maxWeights = 1 << 28 // stored weights of a network, 1.1 GB in float32
	maxLayers  = 1000    // layers, those inside residual blocks included
	maxDepth   = 4       // residual blocks inside residual blocks
)

// The kinds of layer, as network.json spells them.
const (
	kindLinear    = "linear"
	kindBatchNorm = "batch_norm"
	kindLayerNorm = "layer_norm"
	kindReLU      = "relu"
	kindLeakyReLU = "leaky_relu"
	kindGELU      = "gelu"
	kindSiLU      = "silu"
	kindTanh      = "tanh"
	kindELU       = "elu"
	kindSELU      = "selu"
	kindSigmoid   = "sigmoid"
	kindSoftplus  = "softplus"
	kindMish      = "mish"
	kindDropout   = "dropout"
	kindResidual  = "residual"
)

// Kinds returns the names of all kinds of layer, in the order of the documentation.
func Kinds() []string {
	return []string{
		kindLinear, kindBatchNorm, kindLayerNorm, kindDropout, kindResidual, kindReLU, kindLeakyReLU,
		kindGELU, kindSiLU, kindTanh, kindELU, kindSELU, kindSigmoid, kindSoftplus, kindMish,
	}
}

// A Spec is the architecture of a network: what network.json holds. It has no
// weights. The layers run in order; a layer's index is its name in the weights
// file ("0.weight"), as in torch.nn.Sequential.
type Spec struct {
	Inputs  int         `json:"inputs"`  // features per row
	Outputs int         `json:"outputs"` // classes, the width of the last layer
	Layers  []LayerSpec `json:"layers"`
}

// A LayerSpec describes one layer. Only Kind is always needed; fields that a
// kind does not use must be zero.
type LayerSpec struct {
	Kind     string      `json:"kind"`
	Units    int         `json:"units,omitempty"`    // linear: outputs per row
	P        float64     `json:"p,omitempty"`        // dropout: share of values set to zero, [0, 1)
	Slope    float64     `json:"slope,omitempty"`    // leaky_relu: slope below zero; 0 means 0.01
	Eps      float64     `json:"eps,omitempty"`      // batch_norm, layer_norm: added to the variance; 0 means 1e-5
	Momentum float64     `json:"momentum,omitempty"` // batch_norm: share of the new batch in the running statistics; 0 means 0.1
	NoBias   bool        `json:"no_bias,omitempty"`  // linear: leave the bias out
	Layers   []LayerSpec `json:"layers,omitempty"`   // residual: the branch that is added to its input
}

// ParseSpec reads network.json. Unknown keys, text after the object and an
// architecture that Check refuses are errors, so a file made for a newer
// version is never half understood.
func ParseSpec(data []byte) (Spec, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var s Spec
	if err := dec.Decode(&s); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty")
		}
		return Spec{}, specError("", strings.TrimPrefix(err.Error(), "json: "), "want the network.json that solera build wrote")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Spec{}, specError("", "text after the closing brace", "want one JSON object")
	}
	if err := s.Check(); err != nil {
		return Spec{}, err
	}
	return s, nil
}

// JSON returns the canonical bytes of the specification: keys in the order of
// the struct, indented by two spaces, a newline at the end.
func (s Spec) JSON() []byte {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		// Only NaN or Inf can get here, and Check refuses them.
		panic("nn: specification was not checked: " + err.Error())
	}
	return append(b, '\n')
}

// Check returns an error that names the layer when no network can be built from
// the specification, or none that a machine could hold. It allocates nothing
// that depends on the sizes.
func (s Spec) Check() error {
	if s.Inputs < 1 || s.Inputs > maxUnits {
		return specError("", fmt.Sprintf("%d inputs", s.Inputs), fmt.Sprintf("want 1 to %d", maxUnits))
	}
	if s.Outputs < 1 || s.Outputs > maxUnits {
		return specError("", fmt.Sprintf("%d outputs", s.Outputs), fmt.Sprintf("want 1 to %d", maxUnits))
	}
	var c checker
	width, err := c.layers("", s.Layers, s.Inputs, 0)
	if err != nil {
		return err
	}
	if !c.linear {
		return specError("", "no linear layer, so nothing to learn", "want at least one")
	}
	if width != s.Outputs {
		return specError("", fmt.Sprintf("the last layer gives %d values per row, the network has %d outputs", width, s.Outputs),
			fmt.Sprintf("end with a linear layer of %d units", s.Outputs))
	}
	return nil
}

// Params returns the number of trainable weights of a specification that passed
// Check, running statistics not included.
func (s Spec) Params() int64 {
	n, _ := params(s.Layers, s.Inputs)
	return n
}

func params(layers []LayerSpec, in int) (n int64, out int) {
	width := in
	for _, l := range layers {
		switch l.Kind {
		case kindLinear:
			n += int64(width) * int64(l.Units)
			if !l.NoBias {
				n += int64(l.Units)
			}
			width = l.Units
		case kindBatchNorm, kindLayerNorm:
			n += 2 * int64(width)
		case kindResidual:
			inner, w := params(l.Layers, width)
			n += inner
			if w != width {
				n += int64(width)*int64(w) + int64(w)
			}
			width = w
		}
	}
	return n, width
}

// A checker walks a specification and counts what it would cost.
type checker struct {
	count  int   // layers so far
	stored int64 // weights so far, rows padded as they are stored
	linear bool  // a linear layer was seen
}

// layers checks a sequence whose names start with prefix and returns the width
// of its output.
func (c *checker) layers(prefix string, layers []LayerSpec, width, depth int) (int, error) {
	for i, l := range layers {
		name := prefix + strconv.Itoa(i)
		if c.count++; c.count > maxLayers {
			return 0, specError("", "too many layers", fmt.Sprintf("want at most %d", maxLayers))
		}
		w, err := c.layer(name, l, width, depth)
		if err != nil {
			return 0, err
		}
		width = w
	}
	return width, nil
}

func (c *checker) layer(name string, l LayerSpec, width, depth int) (int, error) {
	where := fmt.Sprintf("layer %s (%s)", name, l.Kind)
	if !slices.Contains(Kinds(), l.Kind) {
		return 0, specError(fmt.Sprintf("layer %s", name), fmt.Sprintf("unknown kind %q", l.Kind), "want one of "+strings.Join(Kinds(), ", "))
	}
	if err := unused(where, l); err != nil {
		return 0, err
	}
	switch l.Kind {
	case kindLinear:
		if l.Units < 1 {
			return 0, specError(where, fmt.Sprintf("%d units", l.Units), "want at least 1")
		}
		if err := c.weights(where, width, l.Units); err != nil {
			return 0, err
		}
		c.linear = true
		return l.Units, nil
	case kindBatchNorm, kindLayerNorm:
		if !(l.Eps >= 0) || l.Eps > 1 {
			return 0, specError(where, fmt.Sprintf("eps %v", l.Eps), "want more than 0 and at most 1; leave it out for 1e-5")
		}
		if !(l.Momentum >= 0) || l.Momentum > 1 {
			return 0, specError(where, fmt.Sprintf("momentum %v", l.Momentum), "want more than 0 and at most 1; leave it out for 0.1")
		}
		c.stored += 2 * int64(tensor.Pad(width))
	case kindDropout:
		if !(l.P >= 0 && l.P < 1) {
			return 0, specError(where, fmt.Sprintf("p %v", l.P), "want 0 or more and less than 1")
		}
	case kindLeakyReLU:
		if math.IsNaN(l.Slope) || math.Abs(l.Slope) > 1e6 {
			return 0, specError(where, fmt.Sprintf("slope %v", l.Slope), "want a small number; leave it out for 0.01")
		}
	case kindResidual:
		if len(l.Layers) == 0 {
			return 0, specError(where, "no inner layers", "list them under \"layers\"")
		}
		if depth == maxDepth {
			return 0, specError(where, "residual blocks too deep inside each other", fmt.Sprintf("want at most %d levels", maxDepth))
		}
		out, err := c.layers(name+".", l.Layers, width, depth+1)
		if err != nil {
			return 0, err
		}
		if out != width {
			if err := c.weights(where, width, out); err != nil {
				return 0, err
			}
		}
		return out, nil
	}
	return width, nil
}

// weights counts a matrix of in x out and refuses what would not fit.
func (c *checker) weights(where string, in, out int) error {
	n := float64(in) * float64(out)
	if out <= maxUnits {
		c.stored += int64(in+1) * int64(tensor.Pad(out))
		n = float64(c.stored)
	}
	if out > maxUnits || c.stored > maxWeights {
		return specError(where, fmt.Sprintf("%d units: %.3g weights need %.3g GB", out, n, n*4/1e9),
			fmt.Sprintf("want at most %d units and %d weights in all", maxUnits, maxWeights))
	}
	return nil
}

// unused refuses fields that the kind does not read: a typing slip such as
// "units" on a dropout layer must not pass in silence.
func unused(where string, l LayerSpec) error {
	norm := l.Kind == kindBatchNorm || l.Kind == kindLayerNorm
	for _, f := range []struct {
		name      string
		set, used bool
	}{
		{"units", l.Units != 0, l.Kind == kindLinear},
		{"no_bias", l.NoBias, l.Kind == kindLinear},
		{"p", l.P != 0, l.Kind == kindDropout},
		{"slope", l.Slope != 0, l.Kind == kindLeakyReLU},
		{"eps", l.Eps != 0, norm},
		{"momentum", l.Momentum != 0, l.Kind == kindBatchNorm},
		{"layers", len(l.Layers) > 0, l.Kind == kindResidual},
	} {
		if f.set && !f.used {
			return specError(where, fmt.Sprintf("%q means nothing here", f.name), "remove it")
		}
	}
	return nil
}

func specError(where, msg, hint string) error {
	if where != "" {
		msg = where + ": " + msg
	}
	return &solera.InputError{Op: "network", Msg: msg, Hint: hint}
}
