package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/tracking"
)

// build commits the network with its first weights, before any learning.
func (p *Pipeline) build(_ context.Context, t task) (output, error) {
	c := p.Config
	data := t.inputs[c.PreprocessName()]
	features, classes, err := widths(data)
	if err != nil {
		return output{}, err
	}
	if l := c.Model.Layers; len(l) > 0 && l[0].Residual && l[0].Units != features {
		return output{}, c.Fault("model.layers[0].residual", fmt.Sprintf("model.layers[0] is residual, but %d units follow %d features", l[0].Units, features), "remove residual from the first layer")
	}
	spec := networkSpec(c.Model, features, classes)
	if err := spec.Check(); err != nil {
		return output{}, c.Fault("model.layers", err.Error(), "")
	}
	network, err := nn.New(spec, c.Seed)
	if err != nil {
		return output{}, err
	}
	shape := shapeOf(c.Model, features, classes)
	p.reporter().Line(Build, fmt.Sprintf("%s: %s, %d weights, seed %d", c.ModelName(), shape, spec.Params(), c.Seed))
	weights, err := weightsFile(network)
	if err != nil {
		return output{}, err
	}
	return output{
		draft: tracking.Draft{
			Artifact: c.ModelName(), Type: "model",
			Metadata: solera.Fields{"shape": shape, "weights": spec.Params(), "seed": c.Seed, "trained": false},
			Files: map[string]tracking.Source{
				"network.json": tracking.Bytes(spec.JSON()), "weights.safetensors": tracking.Bytes(weights),
			},
		},
		summary: solera.Fields{"weights": spec.Params()},
	}, nil
}

// widths returns the number of features and classes of a preprocessed data set.
func widths(data *tracking.Snapshot) (features, classes int, err error) {
	f, ok := data.Metadata.Float("features")
	names, isList := data.Metadata["classes"].([]any)
	if !ok || !isList || f < 1 || len(names) < 2 {
		return 0, 0, fmt.Errorf("%s does not say how many features and classes it has: %w", data.Name(), solera.ErrCorrupt)
	}
	return int(f), len(names), nil
}

// networkSpec spells the hidden layers out: linear, normalisation, activation,
// dropout; where residual, as a branch beside the identity.
func networkSpec(m Model, features, classes int) nn.Spec {
	spec := nn.Spec{Inputs: features, Outputs: classes}
	for _, l := range m.Layers {
		block := []nn.LayerSpec{{Kind: "linear", Units: l.Units}}
		if l.BatchNorm {
			block = append(block, nn.LayerSpec{Kind: "batch_norm"})
		}
		if l.LayerNorm {
			block = append(block, nn.LayerSpec{Kind: "layer_norm"})
		}
		block = append(block, nn.LayerSpec{Kind: l.Activation})
		if l.Dropout > 0 {
			block = append(block, nn.LayerSpec{Kind: "dropout", P: l.Dropout})
		}
		if l.Residual {
			block = []nn.LayerSpec{{Kind: "residual", Layers: block}}
		}
		spec.Layers = append(spec.Layers, block...)
	}
	spec.Layers = append(spec.Layers, nn.LayerSpec{Kind: "linear", Units: classes})
	return spec
}

// shapeOf reads "13 → 64 → 32 → 3".
func shapeOf(m Model, features, classes int) string {
	var b strings.Builder
	fmt.Fprint(&b, features)
	for _, l := range m.Layers {
		fmt.Fprintf(&b, " → %d", l.Units)
	}
	fmt.Fprintf(&b, " → %d", classes)
	return b.String()
}

// weightsFile is the weights.safetensors of a network.
func weightsFile(n *nn.Network) ([]byte, error) {
	var b bytes.Buffer
	if err := nn.WriteSafetensors(&b, n.Tensors(), nil); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// readNetwork reads the network of a version with the weights that it has.
func readNetwork(s *tracking.Snapshot) (*nn.Network, error) {
	architecture, err := s.ReadFile("network.json")
	if err != nil {
		return nil, err
	}
	spec, err := nn.ParseSpec(architecture)
	if err != nil {
		return nil, fmt.Errorf("network.json of %s: %w", s.Name(), err)
	}
	weights, err := s.ReadFile("weights.safetensors")
	if err != nil {
		return nil, err
	}
	tensors, _, err := nn.ReadSafetensors(bytes.NewReader(weights), int64(len(weights)))
	if err != nil {
		return nil, fmt.Errorf("weights.safetensors of %s: %w", s.Name(), err)
	}
	n, err := nn.New(spec, 0)
	if err != nil {
		return nil, err
	}
	if err := n.SetTensors(tensors); err != nil {
		return nil, fmt.Errorf("weights.safetensors of %s: %w", s.Name(), err)
	}
	return n, nil
}
