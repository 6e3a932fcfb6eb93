package kernel

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// exactFMA is x*y + z in arbitrary precision, rounded once.
func exactFMA(x, y, z float32) float32 {
	b := func(v float32) *big.Float { return new(big.Float).SetPrec(1200).SetFloat64(float64(v)) }
	s := b(x)
	s.Mul(s, b(y)).Add(s, b(z))
	f, _ := s.Float32()
	return f
}

// bits makes every float32 reachable, the special ones often.
func anyFloat32() *rapid.Generator[float32] {
	return rapid.Custom(func(t *rapid.T) float32 {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return rapid.SampledFrom([]float32{
				0, float32(math.Copysign(0, -1)), 1, -1, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32,
				0x1p-126, -0x1p-126, 0x1.fffffcp-127, math.MaxFloat32, -math.MaxFloat32,
				1 + 0x1p-23, 1 - 0x1p-24, 0x1p-24, 0x1p-25, 3 * 0x1p-25, 0x1p24, 0x1p-75, 0x1p-74,
			}).Draw(t, "special")
		case 1: // few digits: sums that fall on a middle
			return float32(rapid.IntRange(-8, 8).Draw(t, "n")) * float32(math.Ldexp(1, rapid.IntRange(-30, 30).Draw(t, "exponent")))
		case 2: // subnormal results
			return math.Float32frombits(rapid.Uint32Range(0x1f000000, 0x21000000).Draw(t, "small"))
		default:
			f := math.Float32frombits(rapid.Uint32().Draw(t, "bits"))
			if f-f != 0 {
				return 1
			}
			return f
		}
	})
}

func TestFusedRoundsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y, z := anyFloat32().Draw(t, "x"), anyFloat32().Draw(t, "y"), anyFloat32().Draw(t, "z")
		got, want := fma32(x, y, z), exactFMA(x, y, z)
		// An exact zero sum of opposite terms is +0; big.Float keeps other signs.
		if got != want || got != 0 && math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("fma(%x, %x, %x) = %x, want %x", x, y, z, got, want)
		}
	})
}

func TestFusedOfSpecialValues(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, tt := range []struct{ x, y, z, want float32 }{
		{inf, 1, 1, inf},
		{inf, -1, 1, -inf},
		{inf, 0, 1, nan},
		{inf, 1, -inf, nan},
		{1, 1, nan, nan},
		{math.MaxFloat32, 2, 0, inf},
		{math.MaxFloat32, 2, -math.MaxFloat32, math.MaxFloat32},
		{0x1p-149, 0.5, 0, 0},
		{0x1p-149, 0.75, 0, 0x1p-149},
		{1, 0x1p-149, 0, 0x1p-149},
		// Half an ulp of 1, and a little more, lost to the first rounding.
		{0x1p-12, 0x1p-12, 1, 1},
		{0x1p-12, 0x1.000002p-12, 1, 1 + 0x1p-23},
		{0x1p-50, 0x1p-50, 1 + 0x1p-23, 1 + 0x1p-23},
	} {
		got := fma32(tt.x, tt.y, tt.z)
		if got != tt.want && (got == got || tt.want == tt.want) {
			t.Errorf("fma(%g, %g, %g) = %g, want %g", tt.x, tt.y, tt.z, got, tt.want)
		}
	}
}

func BenchmarkFused(b *testing.B) {
	s := 0.0
	for i := range b.N {
		s = fused(float64(float32(i)), s)
	}
	sink = s
}

var sink float64

func BenchmarkPause(b *testing.B) {
	for range b.N {
		Pause()
	}
}
