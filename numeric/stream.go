package numeric

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
)

// A Stream is a sequence of random numbers for one purpose. It is not safe for
// concurrent use.
type Stream struct {
	pcg      rand.PCG // PCG-DXSM, whose sequence Go guarantees
	spare    float64
	hasSpare bool
}

// NewStream returns the stream that belongs to seed, purpose and indices, such
// as (42, "shuffle", epoch). Different arguments give unrelated streams: the
// state is the SHA-256 of their canonical form.
func NewStream(seed uint64, purpose string, index ...uint64) *Stream {
	key := make([]byte, 0, 64)
	key = append(key, "solera stream 1\x00"...)
	key = binary.LittleEndian.AppendUint64(key, seed)
	key = binary.LittleEndian.AppendUint64(key, uint64(len(purpose)))
	key = append(key, purpose...)
	for _, i := range index {
		key = binary.LittleEndian.AppendUint64(key, i)
	}
	sum := sha256.Sum256(key)
	s := new(Stream)
	s.pcg.Seed(binary.LittleEndian.Uint64(sum[:8]), binary.LittleEndian.Uint64(sum[8:16]))
	return s
}

// Uint64 returns 64 random bits.
func (s *Stream) Uint64() uint64 { return s.pcg.Uint64() }

// Float64 returns a multiple of 2^-53 in [0, 1).
func (s *Stream) Float64() float64 { return float64(s.pcg.Uint64()>>11) * 0x1p-53 }

// IntN returns a number in [0, n), each equally likely. It panics if n < 1.
func (s *Stream) IntN(n int) int {
	if n < 1 {
		panic("numeric: IntN of less than 1")
	}
	// Lemire (2019): reject the few products that would favour small results.
	hi, lo := bits.Mul64(s.pcg.Uint64(), uint64(n))
	if lo < uint64(n) {
		for floor := -uint64(n) % uint64(n); lo < floor; {
			hi, lo = bits.Mul64(s.pcg.Uint64(), uint64(n))
		}
	}
	return int(hi)
}

// Normal returns a standard normal number by Marsaglia's polar method (1964).
func (s *Stream) Normal() float64 {
	if s.hasSpare {
		s.hasSpare = false
		return s.spare
	}
	for {
		u, v := float64(2*s.Float64())-1, float64(2*s.Float64())-1
		r := float64(u*u) + float64(v*v)
		if r > 0 && r < 1 {
			f := math.Sqrt(float64(-2*Log(r)) / r)
			s.spare, s.hasSpare = float64(v*f), true
			return float64(u * f)
		}
	}
}

// Perm returns the numbers 0 to n-1 in random order.
func (s *Stream) Perm(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := s.IntN(i + 1)
		p[i], p[j] = p[j], p[i]
	}
	return p
}

// ShuffleInt32 puts p in random order, the one that Perm gives (Fisher and Yates).
func (s *Stream) ShuffleInt32(p []int32) {
	for i := len(p) - 1; i > 0; i-- {
		j := s.IntN(i + 1)
		p[i], p[j] = p[j], p[i]
	}
}
