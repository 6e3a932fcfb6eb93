package nn_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/nn/nntest"
	"github.com/solera-ml/solera/tensor"
)

func lin(units int) nn.LayerSpec     { return nn.LayerSpec{Kind: "linear", Units: units} }
func layer(kind string) nn.LayerSpec { return nn.LayerSpec{Kind: kind} }
func drop(p float64) nn.LayerSpec    { return nn.LayerSpec{Kind: "dropout", P: p} }
func residual(layers ...nn.LayerSpec) nn.LayerSpec {
	return nn.LayerSpec{Kind: "residual", Layers: layers}
}

func network(t testing.TB, inputs, outputs int, layers ...nn.LayerSpec) *nn.Network {
	t.Helper()
	n, err := nn.New(nn.Spec{Inputs: inputs, Outputs: outputs, Layers: layers}, 3)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEveryLayerAndFusionHasTheRightGradient(t *testing.T) {
	noBias := lin(6)
	noBias.NoBias = true
	cases := map[string][]nn.LayerSpec{
		"linear":                               {lin(6)},
		"linear without bias":                  {noBias},
		"two linear":                           {lin(9), lin(6)},
		"linear batch_norm":                    {lin(6), layer("batch_norm")},
		"linear without bias, batch_norm":      {noBias, layer("batch_norm")},
		"batch_norm first":                     {layer("batch_norm"), lin(6)},
		"batch_norm relu":                      {lin(6), layer("batch_norm"), layer("relu")},
		"batch_norm dropout":                   {lin(6), layer("batch_norm"), drop(0.4)},
		"batch_norm relu dropout":              {lin(20), layer("batch_norm"), layer("relu"), drop(0.4), lin(6)},
		"batch_norm gelu dropout":              {lin(20), layer("batch_norm"), layer("gelu"), drop(0.4), lin(6)},
		"batch_norm dropout relu":              {lin(20), layer("batch_norm"), drop(0.3), layer("relu"), lin(6)},
		"two batch_norm":                       {lin(6), layer("batch_norm"), layer("batch_norm")},
		"layer_norm":                           {lin(6), layer("layer_norm")},
		"layer_norm first":                     {layer("layer_norm"), lin(6)},
		"layer_norm relu dropout":              {lin(40), layer("layer_norm"), layer("relu"), drop(0.2), lin(6)},
		"relu":                                 {lin(20), layer("relu"), lin(6)},
		"relu dropout":                         {lin(20), layer("relu"), drop(0.5), lin(6)},
		"relu first":                           {layer("relu"), lin(6)},
		"dropout":                              {lin(20), drop(0.5), lin(6)},
		"dropout first":                        {drop(0.2), lin(6)},
		"dropout of 0":                         {lin(20), drop(0), lin(6)},
		"two dropout":                          {lin(20), drop(0.2), drop(0.3), lin(6)},
		"residual":                             {residual(lin(5), layer("tanh")), lin(6)},
		"residual with projection":             {residual(lin(8), layer("tanh")), lin(6)},
		"residual batch_norm relu dropout":     {lin(20), residual(lin(20), layer("batch_norm"), layer("relu"), drop(0.3)), lin(6)},
		"residual ends in dropout":             {residual(drop(0.3)), lin(6)},
		"residual of nothing":                  {residual(drop(0)), lin(6)},
		"residual starts with batch_norm":      {residual(layer("batch_norm"), layer("relu"), lin(5)), lin(6)},
		"residual in residual":                 {residual(residual(lin(7), layer("gelu")), lin(7), layer("silu")), lin(6)},
		"projection, batch_norm last":          {residual(lin(12), layer("batch_norm")), layer("relu"), lin(6)},
		"linear before residual of batch_norm": {lin(12), residual(layer("batch_norm")), lin(6)},
	}
	for _, kind := range []string{"leaky_relu", "gelu", "silu", "tanh", "elu", "selu", "sigmoid", "softplus", "mish"} {
		cases[kind] = []nn.LayerSpec{lin(20), layer(kind), lin(6)}
		cases["batch_norm "+kind] = []nn.LayerSpec{lin(20), layer("batch_norm"), layer(kind), lin(6)}
	}
	// The fastest kernel set will do: another test shows that all give the same bits.
	e := engine(t, "", 1)
	for name, layers := range cases {
		t.Run(name, func(t *testing.T) {
			p := nn.NewPass(network(t, 5, 6, layers...), e, nn.PassOptions{MaxRows: 11, Training: true, InputGradient: true, Seed: 1})
			p.SetStep(3)
			nntest.Check(t, p, 11, 5)
			nntest.Check(t, p, 8, 5) // a smaller batch in the same buffers
		})
	}
}

// A network made at random must be right too: fusions meet in every order.
func TestRandomNetworksHaveTheRightGradient(t *testing.T) {
	e := engine(t, "", 1)
	var layers func(t *rapid.T, depth int) []nn.LayerSpec
	layers = func(t *rapid.T, depth int) []nn.LayerSpec {
		var ls []nn.LayerSpec
		for range rapid.IntRange(1, 5).Draw(t, "layers") {
			kind := rapid.SampledFrom(nn.Kinds()).Draw(t, "kind")
			l := nn.LayerSpec{Kind: kind}
			switch kind {
			case "linear":
				l.Units = rapid.IntRange(4, 40).Draw(t, "units")
				l.NoBias = rapid.Bool().Draw(t, "no bias")
			case "dropout":
				l.P = rapid.SampledFrom([]float64{0, 0.1, 0.3}).Draw(t, "p")
			case "residual":
				if depth > 1 {
					continue
				}
				l.Layers = layers(t, depth+1)
				if len(l.Layers) == 0 {
					continue
				}
			}
			ls = append(ls, l)
		}
		return ls
	}
	rapid.Check(t, func(t *rapid.T) {
		s := nn.Spec{Inputs: 5, Outputs: 3, Layers: append(layers(t, 0), lin(3))}
		n, err := nn.New(s, 7)
		if err != nil {
			t.Fatal(err)
		}
		p := nn.NewPass(n, e, nn.PassOptions{MaxRows: 12, Training: true, InputGradient: true, Seed: 5})
		if err := nntest.Compare(p, 12, 5); err != nil {
			t.Errorf("%v\n%s", err, s.JSON())
		}
	})
}

func TestLossHasTheRightGradient(t *testing.T) {
	for _, l := range []nn.Loss{
		{},
		{LabelSmoothing: 0.1},
		{ClassWeights: []float64{0.5, 2, 1, 3}},
		{Focal: 2},
		{Focal: 0.5},
		{Focal: 2, LabelSmoothing: 0.2, ClassWeights: []float64{0.5, 2, 1, 3}},
	} {
		for y := range 4 {
			t.Run(fmt.Sprintf("%+v class %d", l, y), func(t *testing.T) {
				z := []float64{0.3, -1.2, 2.1, 0.4}
				value := func(k int, h float64) float64 {
					v := append([]float64(nil), z...)
					v[k] += h
					loss, _ := l.Row(v, y)
					return loss
				}
				grad := append([]float64(nil), z...)
				_, top := l.Row(grad, y)
				if top != 2 {
					t.Errorf("largest logit is %d, want 2", top)
				}
				for k := range z {
					const h = 1e-5
					near(t, fmt.Sprintf("gradient[%d]", k), []float64{grad[k]}, numbers{(value(k, h) - value(k, -h)) / (2 * h)}, 1e-9, 1e-7)
				}
			})
		}
	}
}

func BenchmarkWineStep(b *testing.B) {
	n, err := nn.New(nn.MLP{Inputs: 13, Outputs: 3, Hidden: []int{64, 32}, BatchNorm: true, Dropout: 0.3}.Spec(), 42)
	if err != nil {
		b.Fatal(err)
	}
	benchmarkStep(b, n, 16, 1)
}

func BenchmarkBigStep(b *testing.B) {
	n, err := nn.New(nn.MLP{Inputs: 64, Outputs: 10, Hidden: []int{512, 256}, BatchNorm: true, Dropout: 0.3}.Spec(), 42)
	if err != nil {
		b.Fatal(err)
	}
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) { benchmarkStep(b, n, 1024, workers) })
	}
}

func benchmarkStep(b *testing.B, n *nn.Network, batch, workers int) {
	s := n.Spec()
	x := tensor.New(4*batch, s.Inputs)
	y := make([]int32, x.Rows)
	for i := range x.Data {
		x.Data[i] = float32(i*7919%1000)/500 - 1
	}
	rows := make([]int32, batch)
	for i := range y {
		y[i] = int32(i % s.Outputs)
	}
	for i := range rows {
		rows[i] = int32(i * 3 % len(y))
	}
	for _, name := range []string{"avx512", "avx2", "neon", "portable"} {
		e, err := tensor.NewEngine(name, workers)
		if err != nil {
			continue
		}
		b.Run(name, func(b *testing.B) {
			tr, err := nn.NewTrainer(n.Clone(), e, nn.TrainerOptions{MaxBatch: batch, Seed: 1})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := tr.Step(x, y, rows, 1e-3); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(batch)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
		e.Close()
	}
}

func BenchmarkWineValidation(b *testing.B) {
	n, err := nn.New(nn.MLP{Inputs: 13, Outputs: 3, Hidden: []int{64, 32}, BatchNorm: true, Dropout: 0.3}.Spec(), 42)
	if err != nil {
		b.Fatal(err)
	}
	x, y := tensor.New(18, 13), make([]int32, 18)
	for _, e := range engines(b) {
		b.Run(e.Kernel(), func(b *testing.B) {
			v := nn.NewEvaluator(n, e, 0)
			b.ReportAllocs()
			for b.Loop() {
				v.Loss(x, y, nn.Loss{})
			}
		})
	}
}

func BenchmarkActivations(b *testing.B) {
	for _, kind := range []string{"relu", "leaky_relu", "gelu", "silu", "tanh", "mish"} {
		b.Run(kind, func(b *testing.B) {
			n := network(b, 64, 10, lin(512), layer(kind), lin(10))
			e := engine(b, "", 1)
			x, y := blobs(256, 64, 10)
			rows := make([]int32, 256)
			for i := range rows {
				rows[i] = int32(i)
			}
			tr := trainer(b, n, e, nn.TrainerOptions{MaxBatch: 256})
			for b.Loop() {
				if _, _, err := tr.Step(x, y, rows, 1e-3); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(256*512), "ns/value")
		})
	}
}
