package kernel

import "math"

// The halfway pattern: a float64 whose low 29 bits are exactly this lies in the
// middle between two neighbouring normal float32 values.
const (
	lowBits = 1<<29 - 1
	halfway = 1 << 28
	// tiny bounds 2*bits-1 of a nonzero float64 below the smallest normal float32.
	tiny = 2*(0x381<<52) - 1
)

// fused returns float32(p + z) rounded once, as a float64. p must be the product
// of two float32 values, which a float64 holds exactly, and z a float32 value.
//
// The sum is rounded to float64 first. Rounding that to float32 is right unless
// the float64 fell on the middle between two float32 values (or the float32 is
// subnormal, with its middles elsewhere): then the part lost decides.
func fused(p, z float64) float64 {
	s := p + z
	if hard(s) {
		s = odd(p, z)
	}
	return float64(float32(s))
}

// hard reports whether rounding the float64 sum s to float32 may be wrong.
func hard(s float64) bool {
	u := math.Float64bits(s)
	return u&lowBits == halfway || 2*u-1 < tiny
}

// odd returns p + z rounded to odd: with the last bit set if anything was lost.
// Rounding the result to at least two bits less is then right (Boldo and
// Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
//
//go:noinline
func odd(p, z float64) float64 {
	s := p + z
	// Knuth's TwoSum: s + lost == p + z exactly.
	b := s - p
	lost := (p - (s - b)) + (z - b)
	u := math.Float64bits(s)
	if lost != 0 && u&1 == 0 && s-s == 0 {
		if (lost > 0) == (s > 0) {
			u++
		} else {
			u--
		}
	}
	return math.Float64frombits(u)
}

// fma32 returns x*y + z rounded once.
func fma32(x, y, z float32) float32 {
	return float32(fused(float64(x)*float64(y), float64(z)))
}

// Hash spreads the number of an element over 32 bits under a key: the mixing
// steps of C. Wellons' lowbias32 with the high half of the key in the middle.
func Hash(low, high, i uint32) uint32 {
	h := i ^ low
	h ^= h >> 16
	h *= 0x7feb352d
	h ^= h >> 15
	h ^= high
	h *= 0x846ca68b
	h ^= h >> 16
	return h
}
