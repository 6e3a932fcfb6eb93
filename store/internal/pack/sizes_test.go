package pack

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// The other ways to store values that were weighed. Only their size counts, so
// they count bits and write nothing.

// gorilla is the XOR with the value before, its zeros in front and behind cut.
func gorilla(values []float64) int {
	size := 64
	leading, trailing := 65, 0
	for i := 1; i < len(values); i++ {
		x := math.Float64bits(values[i]) ^ math.Float64bits(values[i-1])
		if x == 0 {
			size++
			continue
		}
		l, t := min(bits.LeadingZeros64(x), 31), bits.TrailingZeros64(x)
		if leading <= l && trailing <= t {
			size += 2 + 64 - leading - trailing
			continue
		}
		leading, trailing = l, t
		size += 2 + 5 + 6 + 64 - l - t
	}
	return (size + 7) / 8
}

// chimp spends fewer bits on the counts, and none behind unless it pays.
func chimp(values []float64) int {
	size := 64
	last := -1
	for i := 1; i < len(values); i++ {
		x := math.Float64bits(values[i]) ^ math.Float64bits(values[i-1])
		if x == 0 {
			size += 2
			continue
		}
		l, t := bits.LeadingZeros64(x), bits.TrailingZeros64(x)
		for _, round := range []int{24, 22, 20, 18, 16, 12, 8, 0} {
			if l >= round {
				l = round
				break
			}
		}
		switch {
		case t > 6:
			size += 2 + 3 + 6 + 64 - l - t
			last = -1
		case l == last:
			size += 2 + 64 - l
		default:
			size += 2 + 3 + 64 - l
			last = l
		}
	}
	return (size + 7) / 8
}

// fpc is the XOR with the better of two predictors that learn from what came
// before, in whole bytes.
func fpc(values []float64) int {
	const table = 1 << 12
	var fcm, dfcm [table]uint64
	var h1, h2, last uint64
	size := 0
	for _, v := range values {
		b := math.Float64bits(v)
		a, c := fcm[h1]^b, (dfcm[h2]+last)^b
		fcm[h1], dfcm[h2] = b, b-last
		h1 = (h1<<6 ^ b>>48) & (table - 1)
		h2 = (h2<<2 ^ (b-last)>>40) & (table - 1)
		last = b
		size += 4 + 8*((bits.Len64(min(a, c))+7)/8)
	}
	return (size + 7) / 8
}

// line is the XOR with the line through the two values before, in bits.
func line(values []float64) int {
	size := 0
	for i, v := range values {
		guess := 0.0
		switch i {
		case 0:
		case 1:
			guess = values[0]
		default:
			guess = 2*values[i-1] - values[i-2]
		}
		size += 6 + bits.Len64(math.Float64bits(v)^math.Float64bits(guess))
	}
	return (size + 7) / 8
}

// shuffled is zstd over the first bytes of all values, then the second, and so
// on; of the values or of their differences as ordered integers.
func shuffled(values []float64, differences bool) int {
	b := make([]byte, 8*len(values))
	var last int64
	for i, v := range values {
		n := orderedBits(v)
		u := uint64(n)
		if differences {
			u = uint64((n-last)<<1 ^ (n-last)>>63)
		}
		last = n
		var raw [8]byte
		binary.BigEndian.PutUint64(raw[:], u)
		for j := range 8 {
			b[j*len(values)+i] = raw[j]
		}
	}
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		panic(err)
	}
	defer w.Close()
	return len(w.EncodeAll(b, nil))
}

// decimalsOnly is ALP in outline: values as multiples of a power of ten, in
// frames; what is none is stored whole.
func decimalsOnly(values []float64) int {
	best := 8 * len(values)
	scratch := make([]int64, len(values))
	for e := range maxDecimals + 1 {
		a := &attempt{way: wayDecimal, digit: e, ints: make([]int64, len(values))}
		var last int64
		for i, v := range values {
			n, ok := decimal(v, e)
			if ok {
				last = n
			} else {
				a.aside = append(a.aside, i)
			}
			a.ints[i] = last
		}
		best = min(best, len(a.append(nil, values, scratch)))
	}
	return best
}

func sampleSeries() []struct {
	name  string
	value func(i int, noise float64) float64
} {
	decay := func(i int, noise float64) float64 { return math.Exp(-float64(i)/20_000) + noise/100 }
	return []struct {
		name  string
		value func(i int, noise float64) float64
	}{
		{"loss, 1 % noise, computed as float32", func(i int, z float64) float64 { return float64(float32(decay(i, z))) }},
		{"loss, 1 % noise, float64", decay},
		{"loss, 0.01 % noise, float64", func(i int, z float64) float64 { return decay(i, z/100) }},
		{"decay without noise, float64", func(i int, _ float64) float64 { return decay(i, 0) }},
		{"accuracy k/142", func(i int, z float64) float64 { return math.Round(142*(1-decay(i, z)/3)) / 142 }},
		{"rate of four digits", func(i int, z float64) float64 { return math.Round(1e4*decay(i, z)) / 1e4 }},
		{"percent of system load, one digit", func(_ int, z float64) float64 { return math.Round(500+100*z) / 10 }},
		{"counter", func(i int, _ float64) float64 { return float64(512 * i) }},
		{"constant", func(int, float64) float64 { return 0.001 }},
		{"loss as float32, 1 of 100 is NaN or Inf", func(i int, z float64) float64 {
			switch i % 200 {
			case 17:
				return math.NaN()
			case 117:
				return math.Inf(1)
			}
			return float64(float32(decay(i, z)))
		}},
		{"random bits", func(int, float64) float64 { return 0 }}, // replaced below
	}
}

// TestSizes prints what a value takes in each way (go test -v -run Sizes), and
// holds ours to the best of the others.
func TestSizes(t *testing.T) {
	const blocks, n = 4, 4096
	row := "%-42s%8s%8s%8s%8s%8s%8s%8s%8s\n"
	text := fmt.Sprintf(row, "bytes a value, blocks of 4,096", "ours", "gorilla", "chimp", "fpc", "line", "zstd", "Δ+zstd", "decimal")
	for _, s := range sampleSeries() {
		random := rand.New(rand.NewPCG(1, 0))
		var sizes [8]int
		for b := range blocks {
			values := make([]float64, n)
			for i := range values {
				values[i] = s.value(b*n+i, random.NormFloat64())
				if s.name == "random bits" {
					values[i] = math.Float64frombits(random.Uint64())
				}
			}
			sizes[0] += len(appendFloats(nil, values, make([]int64, n)))
			for i, way := range []func([]float64) int{
				gorilla, chimp, fpc, line,
				func(v []float64) int { return shuffled(v, false) },
				func(v []float64) int { return shuffled(v, true) },
				decimalsOnly,
			} {
				sizes[i+1] += way(values)
			}
		}
		cells := []any{s.name}
		best := math.Inf(1)
		for i, size := range sizes {
			per := float64(size) / (blocks * n)
			cells = append(cells, fmt.Sprintf("%.2f", per))
			if i > 0 {
				best = min(best, per)
			}
		}
		text += fmt.Sprintf(row, cells...)
		if ours := float64(sizes[0]) / (blocks * n); ours > 1.1*best+0.1 {
			t.Errorf("%s: %.2f bytes a value, another way takes %.2f", s.name, ours, best)
		}
	}
	t.Logf("\n%s", text)
}
