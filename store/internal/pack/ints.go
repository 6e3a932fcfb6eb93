package pack

import (
	"encoding/binary"
	"math/bits"
)

// A column of integers is stored in one of four orders: as a stride, which
// needs no more than two numbers for any length, or as its values, differences
// or differences of differences. Those are cut into frames of 64, after the one
// or two numbers that come before any difference. A frame stores its lowest
// number and then, for every number, how far it is above that, in as many bits
// as the frame's highest needs. Arithmetic wraps, so every int64 comes back.
const (
	orderValues = iota
	orderDeltas
	orderDeltas2
	orderStride
)

const frame = 64

// appendInts appends the shortest form of a column. scratch holds as many
// numbers as values and is overwritten.
func appendInts(dst []byte, values, scratch []int64) []byte {
	if len(values) == 0 {
		return dst
	}
	if stride, ok := strideOf(values); ok {
		dst = append(dst, orderStride)
		dst = binary.AppendVarint(dst, values[0])
		return binary.AppendVarint(dst, stride)
	}
	scratch = scratch[:len(values)]
	best, size := orderValues, framesSize(values)
	for order := orderDeltas; order <= orderDeltas2; order++ {
		difference(scratch, values, order)
		if n := framesSize(scratch[order:]); n < size {
			best, size = order, n
		}
	}
	difference(scratch, values, best)
	dst = append(dst, byte(best))
	for _, v := range scratch[:best] { // too large for the first frame
		dst = binary.AppendVarint(dst, v)
	}
	return appendFrames(dst, scratch[best:])
}

func strideOf(values []int64) (stride int64, ok bool) {
	if len(values) > 1 {
		stride = values[1] - values[0]
	}
	for i := 1; i < len(values); i++ {
		if values[i]-values[i-1] != stride {
			return 0, false
		}
	}
	return stride, true
}

// difference writes the differences of an order; the first numbers stay whole.
func difference(dst, src []int64, order int) {
	switch order {
	case orderValues:
		copy(dst, src)
	case orderDeltas:
		var last int64
		for i, v := range src {
			dst[i] = v - last
			last = v
		}
	case orderDeltas2:
		var last, delta int64
		for i, v := range src {
			d := v - last
			dst[i] = d - delta
			last, delta = v, d
		}
	}
}

func integrate(v []int64, order int) {
	switch order {
	case orderDeltas:
		var sum int64
		for i, d := range v {
			sum += d
			v[i] = sum
		}
	case orderDeltas2:
		var sum, delta int64
		for i, d := range v {
			delta += d
			sum += delta
			v[i] = sum
		}
	}
}

func bounds(part []int64) (low int64, width int) {
	low = part[0]
	high := low
	for _, v := range part[1:] {
		low, high = min(low, v), max(high, v)
	}
	return low, bits.Len64(uint64(high) - uint64(low))
}

func varintSize(v int64) int {
	return (bits.Len64(uint64(v)<<1^uint64(v>>63)|1) + 6) / 7
}

func framesSize(values []int64) (size int) {
	for i := 0; i < len(values); i += frame {
		part := values[i:min(i+frame, len(values))]
		low, width := bounds(part)
		size += varintSize(low) + 1 + (len(part)*width+7)/8
	}
	return size
}

func appendFrames(dst []byte, values []int64) []byte {
	for i := 0; i < len(values); i += frame {
		part := values[i:min(i+frame, len(values))]
		low, width := bounds(part)
		dst = binary.AppendVarint(dst, low)
		dst = append(dst, byte(width))
		if width == 0 {
			continue
		}
		end := len(dst) + (len(part)*width+7)/8
		var word uint64
		used := 0
		for _, v := range part {
			u := uint64(v) - uint64(low)
			word |= u << used
			if used += width; used >= 64 {
				dst = binary.LittleEndian.AppendUint64(dst, word)
				used -= 64
				word = u >> (width - used) // a shift by 64 gives 0
			}
		}
		if used > 0 {
			dst = binary.LittleEndian.AppendUint64(dst, word)
		}
		dst = dst[:end]
	}
	return dst
}

// readInts reads a column of len(dst) numbers and returns what follows it.
func readInts(dst []int64, b []byte) ([]byte, error) {
	if len(dst) == 0 {
		return b, nil
	}
	if len(b) == 0 {
		return nil, errShort
	}
	order := int(b[0])
	b = b[1:]
	switch order {
	case orderStride:
		first, b, err := readVarint(b)
		if err != nil {
			return nil, err
		}
		stride, b, err := readVarint(b)
		if err != nil {
			return nil, err
		}
		for i := range dst {
			dst[i] = first
			first += stride
		}
		return b, nil
	case orderValues, orderDeltas, orderDeltas2:
		if order > len(dst) {
			return nil, errForm
		}
		var err error
		for i := range order {
			if dst[i], b, err = readVarint(b); err != nil {
				return nil, err
			}
		}
		if b, err = readFrames(dst[order:], b); err != nil {
			return nil, err
		}
		integrate(dst, order)
		return b, nil
	}
	return nil, errForm
}

func readFrames(dst []int64, b []byte) ([]byte, error) {
	for i := 0; i < len(dst); i += frame {
		part := dst[i:min(i+frame, len(dst))]
		low, rest, err := readVarint(b)
		if err != nil {
			return nil, err
		}
		if len(rest) == 0 {
			return nil, errShort
		}
		width := int(rest[0])
		rest = rest[1:]
		if width > 64 {
			return nil, errForm
		}
		size := (len(part)*width + 7) / 8
		if len(rest) < size {
			return nil, errShort
		}
		unpack(part, low, width, rest[:size])
		b = rest[size:]
	}
	return b, nil
}

func unpack(dst []int64, low int64, width int, b []byte) {
	if width == 0 {
		for i := range dst {
			dst[i] = low
		}
		return
	}
	mask := ^uint64(0) >> (64 - width)
	at := 0 // in bits
	i := 0
	// Up to 56 bits one load of 8 bytes has all of a number.
	if width <= 56 {
		for ; i < len(dst); i++ {
			byteAt := at >> 3
			if byteAt+8 > len(b) {
				break
			}
			dst[i] = low + int64(binary.LittleEndian.Uint64(b[byteAt:])>>(at&7)&mask)
			at += width
		}
	}
	for ; i < len(dst); i++ {
		var padded [16]byte
		copy(padded[:], b[at>>3:])
		u := binary.LittleEndian.Uint64(padded[:]) >> (at & 7)
		if spill := at&7 + width - 64; spill > 0 {
			u |= uint64(padded[8]) << (width - spill)
		}
		dst[i] = low + int64(u&mask)
		at += width
	}
}

func readVarint(b []byte) (int64, []byte, error) {
	v, n := binary.Varint(b)
	if n <= 0 {
		return 0, nil, errShort
	}
	return v, b[n:], nil
}

func readUvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errShort
	}
	return v, b[n:], nil
}
