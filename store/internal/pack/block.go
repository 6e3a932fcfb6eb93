// Package pack turns points into few bytes and back: short rows of points as
// they come, and blocks of one metric's points by column. Every bit of a value
// comes back as it was. It knows no SQL; what bytes belong to which run and
// metric, the store knows.
package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/solera-ml/solera"
)

// MaxPoints is how many points a row or a block can hold.
const MaxPoints = 1 << 16

var (
	errShort = errors.New("they end too early")
	errForm  = errors.New("their form is unknown")
)

// corrupt says that stored bytes are no points.
func corrupt(err error) error {
	return fmt.Errorf("points: %w: the stored bytes are not what was stored: %v", solera.ErrCorrupt, err)
}

// Columns are the points of one metric in the order of their numbers.
type Columns struct {
	Steps  []int64
	Values []float64
	Times  []int64 // in microseconds
	Ns     []int64 // numbers within the run

	scratch []int64
}

// Len returns the number of points.
func (c *Columns) Len() int { return len(c.Steps) }

// Add appends one point.
func (c *Columns) Add(n, step int64, value float64, time int64) {
	c.Steps = append(c.Steps, step)
	c.Values = append(c.Values, value)
	c.Times = append(c.Times, time)
	c.Ns = append(c.Ns, n)
}

// Append appends the points of another.
func (c *Columns) Append(other *Columns) {
	c.Steps = append(c.Steps, other.Steps...)
	c.Values = append(c.Values, other.Values...)
	c.Times = append(c.Times, other.Times...)
	c.Ns = append(c.Ns, other.Ns...)
}

// Slice returns the points from i up to j; they share their memory with c.
func (c *Columns) Slice(i, j int) *Columns {
	return &Columns{Steps: c.Steps[i:j], Values: c.Values[i:j], Times: c.Times[i:j], Ns: c.Ns[i:j]}
}

func (c *Columns) resize(n int) {
	c.Steps = slices.Grow(c.Steps[:0], n)[:n]
	c.Values = slices.Grow(c.Values[:0], n)[:n]
	c.Times = slices.Grow(c.Times[:0], n)[:n]
	c.Ns = slices.Grow(c.Ns[:0], n)[:n]
	c.scratch = slices.Grow(c.scratch[:0], n)[:n]
}

const version = 1

// sum guards stored bytes against what disks and people do to them.
func appendSum(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func cutSum(b []byte) ([]byte, error) {
	if len(b) < 5 {
		return nil, errShort
	}
	body := b[:len(b)-4]
	if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return nil, errors.New("their checksum is wrong")
	}
	return body, nil
}

// Encode returns at most MaxPoints points as one block.
func (c *Columns) Encode() []byte {
	n := c.Len()
	if n > MaxPoints {
		panic(fmt.Sprintf("pack: %d points in a block, at most %d fit", n, MaxPoints))
	}
	scratch := make([]int64, n)
	dst := make([]byte, 0, 16+n*9)
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = appendInts(dst, c.Steps, scratch)
	dst = appendFloats(dst, c.Values, scratch)
	dst = appendInts(dst, c.Ns, scratch)
	dst = appendInts(dst, c.Times, scratch)
	return appendSum(dst)
}

// Decode fills c with a block, in the memory that c has. Bytes that are no
// block are ErrCorrupt.
func (c *Columns) Decode(b []byte) error {
	if err := c.decode(b); err != nil {
		c.resize(0)
		return corrupt(err)
	}
	return nil
}

func (c *Columns) decode(b []byte) error {
	b, n, err := open(b)
	if err != nil {
		return err
	}
	c.resize(n)
	if b, err = readInts(c.Steps, b); err != nil {
		return err
	}
	if b, err = readFloats(c.Values, c.scratch, b); err != nil {
		return err
	}
	if b, err = readInts(c.Ns, b); err != nil {
		return err
	}
	if b, err = readInts(c.Times, b); err != nil {
		return err
	}
	if len(b) > 0 {
		return errForm
	}
	return nil
}

// open checks what rows and blocks have in common and returns how many points
// follow. A few bytes can stand for many points, but not for more than
// MaxPoints.
func open(b []byte) (rest []byte, n int, err error) {
	if b, err = cutSum(b); err != nil {
		return nil, 0, err
	}
	if b[0] != version {
		return nil, 0, errForm
	}
	count, b, err := readUvarint(b[1:])
	if err != nil {
		return nil, 0, err
	}
	if count > MaxPoints {
		return nil, 0, errForm
	}
	return b, int(count), nil
}
