package nn_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/nn"
)

func wine() nn.Spec {
	return nn.MLP{Inputs: 13, Outputs: 3, Hidden: []int{64, 32}, BatchNorm: true, Dropout: 0.3}.Spec()
}

func TestMLPHasNormActivationAndDropoutPerHiddenLayer(t *testing.T) {
	want := nn.Spec{Inputs: 13, Outputs: 3, Layers: []nn.LayerSpec{
		lin(64), layer("batch_norm"), layer("relu"), drop(0.3),
		lin(32), layer("batch_norm"), layer("relu"), drop(0.3), lin(3),
	}}
	if d := cmp.Diff(want, wine()); d != "" {
		t.Error(d)
	}
	if got := want.Params(); got != 13*64+64+2*64+64*32+32+2*32+32*3+3 {
		t.Errorf("%d weights", got)
	}
	got := nn.MLP{Inputs: 4, Outputs: 2, Hidden: []int{4, 6}, Activation: "gelu", LayerNorm: true, Residual: true}.Spec()
	want = nn.Spec{Inputs: 4, Outputs: 2, Layers: []nn.LayerSpec{
		residual(lin(4), layer("layer_norm"), layer("gelu")), residual(lin(6), layer("layer_norm"), layer("gelu")), lin(2),
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// 4→4, then 4→6 with its norm and a projection 4→6, then 6→2.
	if got := want.Params(); got != (20+8)+(30+12+30)+14 {
		t.Errorf("%d weights", got)
	}
	if got := (nn.MLP{Inputs: 4, Outputs: 2}).Spec(); len(got.Layers) != 1 || got.Check() != nil {
		t.Errorf("no hidden layers: %+v, %v", got, got.Check())
	}
}

func TestParamsCountsTheTrainableWeights(t *testing.T) {
	s := nn.Spec{Inputs: 7, Outputs: 3, Layers: []nn.LayerSpec{
		residual(lin(9), layer("batch_norm"), residual(lin(9), layer("mish"))), layer("layer_norm"), lin(3),
	}}
	n, err := nn.New(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, w := range n.Weights() {
		if !w.Buffer {
			count += w.Len()
		}
	}
	if int64(count) != s.Params() {
		t.Errorf("Params %d, weights %d", s.Params(), count)
	}
}

func TestCheckNamesTheLayerAndTheMend(t *testing.T) {
	deep := lin(3)
	for range 6 {
		deep = residual(deep)
	}
	for _, c := range []struct {
		name   string
		change func(*nn.Spec)
		want   string
	}{
		{"no inputs", func(s *nn.Spec) { s.Inputs = 0 }, "0 inputs: want 1 to"},
		{"negative outputs", func(s *nn.Spec) { s.Outputs = -1 }, "-1 outputs: want 1 to"},
		{"too many inputs", func(s *nn.Spec) { s.Inputs = 1e9 }, "1000000000 inputs"},
		{"0 units", func(s *nn.Spec) { s.Layers[4].Units = 0 }, "layer 4 (linear): 0 units: want at least 1"},
		{"a billion units", func(s *nn.Spec) { s.Layers[4].Units = 1e9 }, "layer 4 (linear): 1000000000 units: 6.4e+10 weights need 256 GB: want at most"},
		{"the most units", func(s *nn.Spec) { s.Layers[4].Units = math.MaxInt }, "layer 4 (linear): 9223372036854775807 units"},
		{"too many weights in all", func(s *nn.Spec) {
			s.Layers = []nn.LayerSpec{lin(10000), lin(10000), lin(10000), lin(10000), lin(3)}
		}, "layer 3 (linear): 10000 units: 3e+08 weights need 1.2 GB: want at most"},
		{"unknown kind", func(s *nn.Spec) { s.Layers[2].Kind = "rleu" }, `layer 2: unknown kind "rleu": want one of linear, batch_norm`},
		{"p of 1", func(s *nn.Spec) { s.Layers[3].P = 1 }, "layer 3 (dropout): p 1: want 0 or more and less than 1"},
		{"p is NaN", func(s *nn.Spec) { s.Layers[3].P = math.NaN() }, "layer 3 (dropout): p NaN"},
		{"units on dropout", func(s *nn.Spec) { s.Layers[3].Units = 3 }, `layer 3 (dropout): "units" means nothing here: remove it`},
		{"negative eps", func(s *nn.Spec) { s.Layers[1].Eps = -1 }, "layer 1 (batch_norm): eps -1"},
		{"momentum above 1", func(s *nn.Spec) { s.Layers[1].Momentum = 2 }, "layer 1 (batch_norm): momentum 2"},
		{"NaN slope", func(s *nn.Spec) { s.Layers[2] = nn.LayerSpec{Kind: "leaky_relu", Slope: math.NaN()} }, "slope NaN"},
		{"wrong end", func(s *nn.Spec) { s.Layers = s.Layers[:8] }, "the last layer gives 32 values per row, the network has 3 outputs: end with a linear layer of 3 units"},
		{"nothing to learn", func(s *nn.Spec) { s.Layers, s.Outputs = []nn.LayerSpec{layer("relu")}, 13 }, "no linear layer"},
		{"no layers", func(s *nn.Spec) { s.Layers = nil }, "no linear layer"},
		{"empty residual", func(s *nn.Spec) { s.Layers[2] = residual() }, "layer 2 (residual): no inner layers"},
		{"deep residual", func(s *nn.Spec) { s.Layers[2] = deep }, "layer 2.0.0.0.0 (residual): residual blocks too deep"},
		{"fault inside residual", func(s *nn.Spec) { s.Layers[2] = residual(layer("relu"), lin(-4)) }, "layer 2.1 (linear): -4 units"},
		{"too many layers", func(s *nn.Spec) { s.Layers = append(make([]nn.LayerSpec, 0), many(1001)...) }, "too many layers: want at most 1000"},
	} {
		s := wine()
		c.change(&s)
		err := s.Check()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: the error is of no kind", c.name)
		}
		if _, err := nn.New(s, 1); err == nil {
			t.Errorf("%s: New builds it", c.name)
		}
	}
	if err := wine().Check(); err != nil {
		t.Error(err)
	}
}

func many(n int) []nn.LayerSpec {
	ls := make([]nn.LayerSpec, n)
	for i := range ls {
		ls[i] = layer("relu")
	}
	return ls
}

func TestNetworkJSONIsCanonicalAndStrict(t *testing.T) {
	s := wine()
	s.Layers[2] = residual(lin(64), layer("gelu"))
	b := s.JSON()
	got, err := nn.ParseSpec(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s, got); d != "" {
		t.Error(d)
	}
	if string(got.JSON()) != string(b) {
		t.Error("the bytes change on the way through")
	}
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "the file is empty"},
		{"unknown key", `{"inputs":1,"outputs":1,"layers":[{"kind":"linear","unit":1}]}`, `unknown field "unit"`},
		{"text behind", `{"inputs":1,"outputs":1,"layers":[{"kind":"linear","units":1}]} {}`, "text after the closing brace"},
		{"wrong type", `{"inputs":"13"}`, "cannot unmarshal string"},
		{"too large", `{"inputs":1e99}`, "cannot unmarshal number"},
		{"cut off", `{"inputs":1,`, "unexpected EOF"},
		{"not checked", `{"inputs":1,"outputs":2,"layers":[{"kind":"linear","units":1}]}`, "the last layer gives 1 values"},
	} {
		if _, err := nn.ParseSpec([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// FuzzParseSpec: whatever is accepted can be written and read back, and is small
// enough to build.
func FuzzParseSpec(f *testing.F) {
	f.Add(string(wine().JSON()))
	f.Add(`{"inputs":3,"outputs":2,"layers":[{"kind":"residual","layers":[{"kind":"linear","units":1048576}]},{"kind":"linear","units":2}]}`)
	f.Add(`{"inputs":1000000,"outputs":2,"layers":[{"kind":"dropout","p":0.5},{"kind":"linear","units":2,"no_bias":true}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := nn.ParseSpec([]byte(text))
		if err != nil {
			return
		}
		back, err := nn.ParseSpec(s.JSON())
		if err != nil {
			t.Fatalf("cannot read back: %v", err)
		}
		if d := cmp.Diff(s.JSON(), back.JSON()); d != "" {
			t.Fatal(d)
		}
		if s.Params() > 1<<28 {
			t.Fatalf("%d weights", s.Params())
		}
		if s.Params() < 1<<16 {
			if _, err := nn.New(s, 1); err != nil {
				t.Fatal(err)
			}
		}
	})
}
