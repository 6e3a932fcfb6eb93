package pack

import (
	"encoding/binary"
	"math"
)

// A Point is one value of a metric, which goes by its number in the store.
// Numbers within the run follow from the place in the row.
type Point struct {
	Metric int64
	Step   int64
	Value  float64
	Time   int64 // in microseconds
}

// Each point of a row begins with one byte that says what follows: how the
// value is stored, and which of metric, step and time differ from what the
// point before makes likely.
const (
	rawValue    = iota // 8 bytes
	singleValue        // a float32 of 4 bytes
	wholeValue         // a small integer
	sameValue          // that of the point before

	stepFollows   = 1 << 2 // by how much it is more
	timeFollows   = 1 << 3
	metricFollows = 1 << 4 // by how much it differs from the next
)

// EncodeRow returns at most MaxPoints points of any metrics, in order.
func EncodeRow(points []Point) []byte {
	if len(points) > MaxPoints {
		panic("pack: too many points for a row")
	}
	dst := make([]byte, 0, 16+len(points)*14)
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(len(points)))
	var last Point
	for _, p := range points {
		head := len(dst)
		dst = append(dst, 0)
		if p.Metric != last.Metric+1 {
			dst[head] |= metricFollows
			dst = binary.AppendVarint(dst, p.Metric-last.Metric-1)
		}
		if p.Step != last.Step {
			dst[head] |= stepFollows
			dst = binary.AppendVarint(dst, p.Step-last.Step)
		}
		if p.Time != last.Time {
			dst[head] |= timeFollows
			dst = binary.AppendVarint(dst, p.Time-last.Time)
		}
		if n, ok := whole(p.Value); exact(p.Value, last.Value) {
			dst[head] |= sameValue
		} else if ok && varintSize(n) <= 4 {
			dst[head] |= wholeValue
			dst = binary.AppendVarint(dst, n)
		} else if f := float32(p.Value); exact(float64(f), p.Value) {
			dst[head] |= singleValue
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(f))
		} else {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(p.Value))
		}
		last = p
	}
	return appendSum(dst)
}

// DecodeRow appends the points of a row to points. Bytes that are no row are
// ErrCorrupt.
func DecodeRow(points []Point, b []byte) ([]Point, error) {
	out, err := decodeRow(points, b)
	if err != nil {
		return points, corrupt(err)
	}
	return out, nil
}

// RowLen returns how many points a row says that it has.
func RowLen(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, corrupt(errShort)
	}
	n, _, err := readUvarint(b[1:])
	if err != nil || n > MaxPoints {
		return 0, corrupt(errForm)
	}
	return int(n), nil
}

func decodeRow(points []Point, b []byte) ([]Point, error) {
	b, n, err := open(b)
	if err != nil {
		return nil, err
	}
	if len(b) < n {
		return nil, errShort // each point has a byte at least
	}
	var p Point
	for range n {
		if len(b) == 0 {
			return nil, errShort
		}
		head := b[0]
		b = b[1:]
		if head >= metricFollows<<1 {
			return nil, errForm
		}
		var d int64
		p.Metric++
		if head&metricFollows != 0 {
			if d, b, err = readVarint(b); err != nil {
				return nil, err
			}
			p.Metric += d
		}
		if head&stepFollows != 0 {
			if d, b, err = readVarint(b); err != nil {
				return nil, err
			}
			p.Step += d
		}
		if head&timeFollows != 0 {
			if d, b, err = readVarint(b); err != nil {
				return nil, err
			}
			p.Time += d
		}
		switch head & 3 {
		case rawValue:
			if len(b) < 8 {
				return nil, errShort
			}
			p.Value = math.Float64frombits(binary.LittleEndian.Uint64(b))
			b = b[8:]
		case singleValue:
			if len(b) < 4 {
				return nil, errShort
			}
			p.Value = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
			b = b[4:]
		case wholeValue:
			if d, b, err = readVarint(b); err != nil {
				return nil, err
			}
			p.Value = float64(d)
		}
		points = append(points, p)
	}
	if len(b) > 0 {
		return nil, errForm
	}
	return points, nil
}
