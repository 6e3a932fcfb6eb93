package pack

import (
	"encoding/binary"
	"math"
	"slices"
)

// A column of values is turned into integers, which are then stored as such a
// column is. Which way is tried on every block; the shortest is taken.
const (
	// The bits of a float64, ordered as the numbers are: neighbours in size are
	// neighbours as integers, so a smooth curve has small differences.
	wayBits   = iota
	wayBits32 // the same of a float32, for what was computed as such
	wayWhole  // the number itself: counters, epochs
	wayDecimal
	wayList // places in a list of the values that occur
)

// Values that a way cannot hold, such as NaN among losses, are stored aside if
// there are few of them. The column then repeats the value before.
const asideOneIn = 16

// What can be a value of a list.
const maxList = 128

// maxDecimals is the most digits behind the point that wayDecimal takes.
// Powers of ten up to 10^22 are exact.
const maxDecimals = 15

var pow10 = [maxDecimals + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

func orderedBits(v float64) int64 {
	b := int64(math.Float64bits(v))
	return b ^ int64(uint64(b>>63)>>1)
}

func fromOrderedBits(n int64) float64 {
	return math.Float64frombits(uint64(n ^ int64(uint64(n>>63)>>1)))
}

func orderedBits32(v float32) int64 {
	b := int32(math.Float32bits(v))
	return int64(b ^ int32(uint32(b>>31)>>1))
}

func fromOrderedBits32(n int32) float32 {
	return math.Float32frombits(uint32(n ^ int32(uint32(n>>31)>>1)))
}

// exact reports whether a and b are the same bits, so that -0 is not 0 and
// each NaN is itself.
func exact(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }

// whole returns v as an integer of at most 2^53.
func whole(v float64) (int64, bool) {
	if !(math.Abs(v) <= 1<<53) {
		return 0, false
	}
	n := int64(v)
	return n, exact(float64(n), v)
}

// decimal returns n for which n / 10^e is v, exactly.
func decimal(v float64, e int) (int64, bool) {
	scaled := v * pow10[e]
	if !(math.Abs(scaled) <= 1<<53) {
		return 0, false
	}
	n := int64(math.RoundToEven(scaled))
	return n, exact(float64(n)/pow10[e], v)
}

// decimals returns the fewest digits behind the point that a sample of the
// values needs, or -1.
func decimals(values []float64) int {
	stride := max(len(values)/32, 1)
	e, tried, failed := 1, 0, 0
	for i := 0; i < len(values); i += stride {
		tried++
		at := e
		for ; at <= maxDecimals; at++ {
			if _, ok := decimal(values[i], at); ok {
				break
			}
		}
		if at > maxDecimals {
			if failed++; failed > 3 {
				return -1
			}
			continue
		}
		e = at
	}
	if tried == failed {
		return -1
	}
	return e
}

// An attempt at one way.
type attempt struct {
	way   int
	digit int       // of wayDecimal
	list  []float64 // of wayList
	ints  []int64
	aside []int // indexes
}

// try turns values into integers, and reports whether few enough stay aside.
func (a *attempt) try(values []float64, convert func(float64) (int64, bool)) bool {
	a.ints = make([]int64, len(values))
	var last int64
	first := true
	for i, v := range values {
		n, ok := convert(v)
		if !ok {
			if a.aside = append(a.aside, i); len(a.aside)*asideOneIn > len(values)+asideOneIn {
				return false
			}
			a.ints[i] = last
			continue
		}
		if first {
			// What was set aside before the first number repeats that one.
			for j := range i {
				a.ints[j] = n
			}
			first = false
		}
		a.ints[i], last = n, n
	}
	return !first
}

func appendFloats(dst []byte, values []float64, scratch []int64) []byte {
	if len(values) == 0 {
		return dst
	}
	start := len(dst)
	var best []byte
	offer := func(a *attempt) {
		b := a.append(nil, values, scratch)
		if best == nil || len(b) < len(best) {
			best = b
		}
	}
	finite := func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

	a := &attempt{way: wayBits}
	if !a.try(values, func(v float64) (int64, bool) { return orderedBits(v), finite(v) }) {
		a = &attempt{way: wayBits} // mostly NaN, say: take their bits too
		a.try(values, func(v float64) (int64, bool) { return orderedBits(v), true })
	}
	offer(a)
	a = &attempt{way: wayBits32}
	if a.try(values, func(v float64) (int64, bool) {
		f := float32(v)
		return orderedBits32(f), finite(v) && exact(float64(f), v)
	}) {
		offer(a)
	}
	a = &attempt{way: wayWhole}
	if a.try(values, whole) {
		offer(a)
	} else if e := decimals(values); e > 0 {
		a = &attempt{way: wayDecimal, digit: e}
		if a.try(values, func(v float64) (int64, bool) { return decimal(v, e) }) {
			offer(a)
		}
	}
	if list := listOf(values); list != nil {
		place := make(map[uint64]int64, len(list))
		for i, v := range list {
			place[math.Float64bits(v)] = int64(i)
		}
		a = &attempt{way: wayList, list: list}
		a.try(values, func(v float64) (int64, bool) { return place[math.Float64bits(v)], true })
		offer(a)
	}
	return append(dst[:start], best...)
}

// listOf returns the values that occur, the lowest first, or nil when they are
// many.
func listOf(values []float64) (list []float64) {
	seen := make(map[uint64]bool)
	for _, v := range values {
		if b := math.Float64bits(v); !seen[b] {
			if len(seen) == maxList || len(seen)*4 > len(values) {
				return nil
			}
			seen[b] = true
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b float64) int {
		switch x, y := orderedBits(a), orderedBits(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return list
}

func (a *attempt) append(dst []byte, values []float64, scratch []int64) []byte {
	dst = append(dst, byte(a.way))
	switch a.way {
	case wayDecimal:
		dst = append(dst, byte(a.digit))
	case wayList:
		dst = append(dst, byte(len(a.list)))
		for _, v := range a.list {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(a.aside)))
	last := 0
	for _, i := range a.aside {
		dst = binary.AppendUvarint(dst, uint64(i-last))
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(values[i]))
		last = i
	}
	return appendInts(dst, a.ints, scratch)
}

func readFloats(dst []float64, scratch []int64, b []byte) ([]byte, error) {
	if len(dst) == 0 {
		return b, nil
	}
	if len(b) < 2 {
		return nil, errShort
	}
	way := int(b[0])
	b = b[1:]
	digit := 0
	var list []float64
	switch way {
	case wayBits, wayBits32, wayWhole:
	case wayDecimal:
		digit = int(b[0])
		if b = b[1:]; digit > maxDecimals {
			return nil, errForm
		}
	case wayList:
		n := int(b[0])
		if b = b[1:]; len(b) < 8*n {
			return nil, errShort
		}
		list = make([]float64, n)
		for i := range list {
			list[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
		}
		b = b[8*n:]
	default:
		return nil, errForm
	}
	asides, b, err := readUvarint(b)
	if err != nil {
		return nil, err
	}
	if asides > uint64(len(dst)) || uint64(len(b)) < 9*asides {
		return nil, errShort
	}
	aside := b
	for range asides {
		var gap uint64
		if gap, b, err = readUvarint(b); err != nil {
			return nil, err
		}
		if len(b) < 8 || gap > uint64(len(dst)) {
			return nil, errShort
		}
		b = b[8:]
	}
	ints := scratch[:len(dst)]
	if b, err = readInts(ints, b); err != nil {
		return nil, err
	}
	switch way {
	case wayBits:
		for i, n := range ints {
			dst[i] = fromOrderedBits(n)
		}
	case wayBits32:
		for i, n := range ints {
			dst[i] = float64(fromOrderedBits32(int32(n)))
		}
	case wayWhole:
		for i, n := range ints {
			dst[i] = float64(n)
		}
	case wayDecimal:
		unit := pow10[digit]
		for i, n := range ints {
			dst[i] = float64(n) / unit
		}
	case wayList:
		for i, n := range ints {
			if uint64(n) >= uint64(len(list)) {
				return nil, errForm
			}
			dst[i] = list[n]
		}
	}
	at := uint64(0)
	for range asides {
		gap, rest, err := readUvarint(aside)
		if err != nil {
			return nil, err
		}
		if at += gap; at >= uint64(len(dst)) {
			return nil, errForm
		}
		dst[at] = math.Float64frombits(binary.LittleEndian.Uint64(rest))
		aside = rest[8:]
	}
	return b, nil
}
