// Package model is a trained classifier in one bundle: what its columns are,
// how they become features, the network, the classes. It predicts from raw
// rows, and refuses a bundle whose parts do not fit together.
//
// A bundle is a folder with four files, none of which can run code:
// model.json (features, target, classes, seed, metrics), transform.json
// (package transform), network.json and weights.safetensors (package nn).
// Other files in the folder are ignored.
package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"unicode/utf8"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/transform"
)

// The files of a bundle.
const (
	ModelFile     = "model.json"
	TransformFile = "transform.json"
	NetworkFile   = "network.json"
	WeightsFile   = "weights.safetensors"
)

// formatVersion is the version of model.json that this package writes and reads.
const formatVersion = 1

// What Open reads at most of each file.
const (
	maxModel     = 64 << 20
	maxTransform = 512 << 20
	maxNetwork   = 16 << 20
	maxWeights   = 5 << 30 / 4 // the most weights that package nn allows, and a header
)

// A Model is a network with everything that leads from raw rows to classes.
// It is not changed after New or Open, and several Predictors may share it.
type Model struct {
	Labels  transform.Labels  // the target and its classes, in the order of the network's outputs
	Fitted  *transform.Fitted // from raw columns to the network's inputs
	Network *nn.Network
	Seed    uint64
	Metrics json.RawMessage // a JSON object that the trainer gave, null or nil for none
}

// A Feature is a raw column that the model reads.
type Feature struct {
	Name string     `json:"name"`
	Kind table.Kind `json:"kind"`
}

// document is model.json.
type document struct {
	Version  int              `json:"version"`
	Target   transform.Labels `json:"target"`
	Features []Feature        `json:"features"`
	Seed     uint64           `json:"seed"`
	Metrics  json.RawMessage  `json:"metrics,omitempty"`
}

// New puts a model together. metrics is anything that JSON can write, nil for
// none; the model keeps it and makes nothing of it. Parts that do not fit
// together are an error.
func New(labels transform.Labels, fitted *transform.Fitted, network *nn.Network, seed uint64, metrics any) (*Model, error) {
	m := &Model{Labels: labels, Fitted: fitted, Network: network, Seed: seed}
	if metrics != nil {
		b, err := json.Marshal(metrics)
		if err != nil {
			return nil, fmt.Errorf("make a model: metrics: %w", err)
		}
		m.Metrics = b
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("make a model: %w", err)
	}
	return m, nil
}

// Features returns the raw columns that the model reads, in order. A table
// must have them to be predicted; it may have others.
func (m *Model) Features() []Feature {
	var out []Feature
	for _, f := range m.Fitted.Features() {
		if f.Count > 0 {
			out = append(out, Feature{f.Name, f.Kind})
		}
	}
	return out
}

// Types returns the kinds of the columns that the model reads, the form that
// table.Options.Types takes, so that a file is read as it was in training.
func (m *Model) Types() map[string]table.Kind {
	types := map[string]table.Kind{}
	for _, f := range m.Features() {
		types[f.Name] = f.Kind
	}
	return types
}

// check reports parts that do not fit together.
func (m *Model) check() error {
	if err := m.Labels.Check(); err != nil {
		return err
	}
	spec := m.Network.Spec()
	if spec.Inputs != m.Fitted.Inputs() {
		return fmt.Errorf("the network has %d inputs, and the transform makes %d features: %w", spec.Inputs, m.Fitted.Inputs(), solera.ErrInvalid)
	}
	if spec.Outputs != len(m.Labels.Classes) {
		return fmt.Errorf("the network has %d outputs for %d classes: %w", spec.Outputs, len(m.Labels.Classes), solera.ErrInvalid)
	}
	for _, w := range m.Network.Weights() {
		for _, v := range w.Values() {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return fmt.Errorf("the weight %s holds %v: %w", w.Name, v, solera.ErrInvalid)
			}
		}
	}
	return nil
}

// Files returns the bundle by file name. The same model gives the same bytes.
func (m *Model) Files() (map[string][]byte, error) {
	doc, err := json.MarshalIndent(document{formatVersion, m.Labels, m.Features(), m.Seed, m.Metrics}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", ModelFile, err)
	}
	fitted, err := m.Fitted.JSON()
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", TransformFile, err)
	}
	var weights bytes.Buffer
	if err := nn.WriteSafetensors(&weights, m.Network.Tensors(), nil); err != nil {
		return nil, fmt.Errorf("write %s: %w", WeightsFile, err)
	}
	return map[string][]byte{
		ModelFile:     append(doc, '\n'),
		TransformFile: fitted,
		NetworkFile:   m.Network.Spec().JSON(),
		WeightsFile:   weights.Bytes(),
	}, nil
}

// Open reads a bundle and checks that its parts fit together. A file that is
// absent is an error that wraps solera.ErrNotFound; one that holds something
// else than a model wraps solera.ErrCorrupt. Memory grows with the bytes that
// are there, not with the sizes they claim.
func Open(fsys fs.FS) (*Model, error) {
	m, err := open(fsys)
	if err == nil || errors.Is(err, solera.ErrNotFound) {
		return m, err
	}
	return nil, fmt.Errorf("open the model: %w: %w", solera.ErrCorrupt, err)
}

func open(fsys fs.FS) (*Model, error) {
	doc, err := read(fsys, ModelFile, maxModel)
	if err != nil {
		return nil, err
	}
	var d document
	if err := decode(doc, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", ModelFile, err)
	}
	if d.Version != formatVersion {
		return nil, fmt.Errorf("%s: format version %d, and this program reads version %d", ModelFile, d.Version, formatVersion)
	}
	m := &Model{Labels: d.Target, Seed: d.Seed, Metrics: d.Metrics}
	b, err := read(fsys, TransformFile, maxTransform)
	if err != nil {
		return nil, err
	}
	if m.Fitted, err = transform.ParseFitted(b); err != nil {
		return nil, fmt.Errorf("%s: %w", TransformFile, err)
	}
	if m.Network, err = openNetwork(fsys, m.Fitted.Inputs(), len(d.Target.Classes)); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	features := m.Features()
	if len(features) != len(d.Features) {
		return nil, fmt.Errorf("%s has %d features, and %s reads %d", ModelFile, len(d.Features), TransformFile, len(features))
	}
	for i, f := range features {
		if d.Features[i] != f {
			return nil, fmt.Errorf("%s has feature %d as %q (%s), and %s as %q (%s)", ModelFile, i+1, d.Features[i].Name, d.Features[i].Kind, TransformFile, f.Name, f.Kind)
		}
	}
	return m, nil
}

// openNetwork reads the network and its weights. The sizes are held against
// one another before the network is allocated.
func openNetwork(fsys fs.FS, inputs, outputs int) (*nn.Network, error) {
	b, err := read(fsys, NetworkFile, maxNetwork)
	if err != nil {
		return nil, err
	}
	spec, err := nn.ParseSpec(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", NetworkFile, err)
	}
	if spec.Inputs != inputs || spec.Outputs != outputs {
		return nil, fmt.Errorf("%s leads from %d inputs to %d outputs, and the model needs %d to %d", NetworkFile, spec.Inputs, spec.Outputs, inputs, outputs)
	}
	if b, err = read(fsys, WeightsFile, maxWeights); err != nil {
		return nil, err
	}
	if spec.Params() > int64(len(b))/4 {
		return nil, fmt.Errorf("%s has %d bytes, too few for the %d weights of %s", WeightsFile, len(b), spec.Params(), NetworkFile)
	}
	tensors, _, err := nn.ReadSafetensors(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", WeightsFile, err)
	}
	network, err := nn.New(spec, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", NetworkFile, err)
	}
	if err := network.SetTensors(tensors); err != nil {
		return nil, fmt.Errorf("%s: %w", WeightsFile, err)
	}
	return network, nil
}

// read returns the bytes of a file of at most limit bytes.
func read(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open the model: %s is absent: %w", name, solera.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return b, nil
}

// decode reads one JSON object without unknown keys and with nothing behind it.
func decode(b []byte, v any) error {
	if !utf8.Valid(b) {
		return errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}
