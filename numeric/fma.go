package numeric

import "math"

// FMA32 returns x·y + z rounded once to float32, in plain Go.
//
// The product of two float32 is exact in float64. Rounding the sum to float64
// and then to float32 goes wrong only where the float64 falls on the midpoint
// of two float32 numbers, or where the float32 is subnormal; those go the slow way.
func FMA32(x, y, z float32) float32 {
	p := float64(float64(x) * float64(y))
	s := p + float64(z)
	b := math.Float64bits(s)
	// Twice b drops the sign; 0 wraps to the largest number and so passes.
	if b<<35 != 1<<63 && b<<1-1 >= 0x381<<53-1 {
		return float32(s)
	}
	return fma32Slow(p, float64(z), s)
}

// fma32Slow rounds p+z to odd at 53 bits, which a second rounding to 24 cannot
// spoil (Boldo and Melquiond, 2008).
func fma32Slow(p, z, s float64) float32 {
	_, err := twoSum(p, z)
	b := math.Float64bits(s)
	if err != 0 && err == err && b&1 == 0 {
		if (err > 0) == (s > 0) {
			b++
		} else {
			b--
		}
	}
	return float32(math.Float64frombits(b))
}
