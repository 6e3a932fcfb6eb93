package numeric

import (
	"math"
	"math/big"
	"testing"
)

// exactFMA32 rounds x·y+z once, with math/big.
func exactFMA32(x, y, z float32) float32 {
	p := new(big.Float).SetPrec(2000).Mul(big.NewFloat(float64(x)), big.NewFloat(float64(y)))
	v, _ := p.Add(p, big.NewFloat(float64(z))).Float32()
	return v
}

func checkFMA32(t *testing.T, x, y, z float32) {
	t.Helper()
	got, want := FMA32(x, y, z), exactFMA32(x, y, z)
	if want == 0 && got == 0 {
		return // the sign of an exact zero is IEEE's, not math/big's
	}
	if math.Float32bits(got) != math.Float32bits(want) {
		t.Fatalf("FMA32(%x, %x, %x) = %x, want %x", x, y, z, got, want)
	}
}

func TestFMA32RoundsOnceForAnyBits(t *testing.T) {
	s := NewStream(5, "fma")
	for range 300_000 {
		b := s.Uint64()
		x, y, z := math.Float32frombits(uint32(b)), math.Float32frombits(uint32(b>>32)), math.Float32frombits(uint32(s.Uint64()))
		if x-x != 0 || y-y != 0 || z-z != 0 {
			continue
		}
		checkFMA32(t, x, y, z)
		// The addend near the product, where rounding is decided.
		z = float32(float64(x) * float64(y) * (1 + float64(int(b>>10&7)-4)*0x1p-24))
		if z-z == 0 {
			checkFMA32(t, x, y, -z)
			checkFMA32(t, x, y, float32(math.Ldexp(float64(z), int(b>>20&63)-32)))
		}
	}
}

func TestFMA32RoundsOnceAtMidpoints(t *testing.T) {
	s := NewStream(6, "fma")
	for range 200_000 {
		// z + a tie (x·y = half an ulp of z, nudged by one part in 2^46 or not at all).
		z := math.Float32frombits(uint32(1+s.IntN(253))<<23 | uint32(s.Uint64())&(1<<23-1))
		_, e := math.Frexp(float64(z))
		half := math.Ldexp(1, max(e-25, -150))
		u := float32(1 + float64(s.IntN(5)-2)*0x1p-23)
		v := float32(half * (1 + float64(s.IntN(5)-2)*0x1p-23))
		if s.IntN(2) == 0 {
			v = -v
		}
		checkFMA32(t, u, v, z)
		checkFMA32(t, -u, v, z)
	}
	for range 200_000 { // results that are subnormal
		x := math.Float32frombits(uint32(s.IntN(60)+34)<<23 | uint32(s.Uint64())&(1<<23-1))
		y := math.Float32frombits(uint32(s.IntN(60)+1)<<23 | uint32(s.Uint64())&(1<<23-1))
		z := math.Float32frombits(uint32(s.Uint64()) & (1<<24 - 1))
		checkFMA32(t, x, y, z)
		checkFMA32(t, -x, y, z)
	}
}

func TestFMA32SpecialValues(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	neg0 := float32(math.Copysign(0, -1))
	const big = math.MaxFloat32
	for _, c := range [][4]float32{
		{inf, 1, 1, inf},
		{inf, 0, 1, nan},
		{inf, 1, -inf, nan},
		{nan, 1, 1, nan},
		{1, 1, nan, nan},
		{0, 5, neg0, 0},
		{neg0, 5, neg0, neg0},
		{1, 1, -1, 0},
		{big, 2, 0, inf},
		{-big, 2, 0, -inf},
		{big, 2, -big, big},
		{big, big, -inf, -inf},
		{big, 1, 0x1p103, inf},
		{big, 1, 0x1.fffffep102, big},
		{0x1p-149, 0.5, 0, 0},
		{0x1p-149, 0.5, 0x1p-149, 0x1p-148},
		{0x1.8p-149, 0.5, 0, 0x1p-149},
	} {
		if got := FMA32(c[0], c[1], c[2]); !same(float64(got), float64(c[3])) {
			t.Errorf("FMA32(%g, %g, %g) = %g, want %g", c[0], c[1], c[2], got, c[3])
		}
	}
}

func BenchmarkFMA32(b *testing.B) {
	var acc float32
	for i := range b.N {
		acc = FMA32(acc, 0.5, float32(i&7))
	}
	sink = float64(acc)
}
