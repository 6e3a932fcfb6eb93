package nn_test

import (
	"math"
	"testing"

	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/numeric"
)

// The layers' own formulas share exponentials and avoid branches; the functions
// of package numeric, good to an ulp or two, are the reference.
func TestActivationsAreAccurateEverywhere(t *testing.T) {
	pdf := func(x float64) float64 { return numeric.Exp(-0.5*x*x) / math.Sqrt(2*math.Pi) }
	sigma, cdf, tanh := numeric.Sigmoid, numeric.NormalCDF, numeric.Tanh
	softplus := func(x float64) float64 { return numeric.Log1p(numeric.Exp(x)) }
	reference := map[string]func(x float64) (y, slope float64){
		"gelu":    func(x float64) (float64, float64) { return x * cdf(x), cdf(x) + x*pdf(x) },
		"silu":    func(x float64) (float64, float64) { return x * sigma(x), sigma(x) * (1 + x*sigma(-x)) },
		"tanh":    func(x float64) (float64, float64) { return tanh(x), (1 - tanh(x)) * (1 + tanh(x)) },
		"sigmoid": func(x float64) (float64, float64) { return sigma(x), sigma(x) * sigma(-x) },
		"softplus": func(x float64) (float64, float64) {
			if x > 20 {
				return x, 1
			}
			return softplus(x), sigma(x)
		},
		"mish": func(x float64) (float64, float64) {
			th := tanh(softplus(min(x, 300)))
			return x * th, th + x*sigma(x)*(1-th)*(1+th)
		},
		"leaky_relu": func(x float64) (float64, float64) {
			if x > 0 {
				return x, 1
			}
			return 0.01 * x, 0.01
		},
	}
	for kind, want := range reference {
		f, _ := nn.ActivationOf(kind, 0)
		for i := -60000; i <= 60000; i++ {
			x := float64(float32(float64(i) * 0.00071))
			y, slope := f(x)
			wantY, wantSlope := want(x)
			if d := math.Abs(y - wantY); d > 2e-12*math.Abs(wantY) && d > 1e-300 {
				t.Errorf("%s(%v) = %v, want %v", kind, x, y, wantY)
				break
			}
			// Slopes near a root of the derivative are small differences of larger terms.
			if d := math.Abs(slope - wantSlope); d > 2e-12*math.Abs(wantSlope)+2e-14 {
				t.Errorf("%s'(%v) = %v, want %v", kind, x, slope, wantSlope)
				break
			}
		}
	}
}

func TestActivationsHaveLimits(t *testing.T) {
	huge, tiny := float64(math.MaxFloat32), 1e-38
	for kind, want := range map[string][4]float64{ // at -huge, -tiny, tiny, huge; to float32
		"relu": {0, 0, tiny, huge}, "leaky_relu": {-0.01 * huge, -0.01 * tiny, tiny, huge},
		"gelu": {0, -tiny / 2, tiny / 2, huge}, "silu": {0, -tiny / 2, tiny / 2, huge},
		"tanh": {-1, -tiny, tiny, 1}, "elu": {-1, -tiny, tiny, huge}, "sigmoid": {0, 0.5, 0.5, 1},
		"softplus": {0, math.Ln2, math.Ln2, huge}, "mish": {0, -0.6 * tiny, 0.6 * tiny, huge},
	} {
		f, _ := nn.ActivationOf(kind, 0)
		for i, x := range []float64{-huge, -tiny, tiny, huge} {
			y, slope := f(x)
			if math.Abs(y-want[i]) > 1e-6*math.Abs(want[i]) && float32(y) != float32(want[i]) {
				t.Errorf("%s(%v) = %v, want %v", kind, x, y, want[i])
			}
			if math.IsNaN(slope) || math.Abs(slope) > 1.1 {
				t.Errorf("%s'(%v) = %v", kind, x, slope)
			}
		}
		if y, _ := f(math.NaN()); !math.IsNaN(y) {
			t.Errorf("%s(NaN) = %v", kind, y)
		}
	}
}
