// Package nntest checks gradients against finite differences. It knows layers
// by their interface only.
package nntest

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/numeric"
	"github.com/solera-ml/solera/tensor"
)

// tolerance is the largest difference between a gradient and its finite
// difference, as a share of the largest gradient in the same array. Rounding of
// float32 outputs causes about a tenth of it; a gradient that is wrong by 1 %
// fails.
const tolerance = 3e-3

// perArray bounds the elements of one array that are checked.
const perArray = 50

// Check fails t where the layer's Backward disagrees with finite differences of
// its Forward, for a random batch of rows x cols and a random linear loss. The
// layer must have been made for training and for its input's gradient.
func Check(t testing.TB, l nn.Layer, rows, cols int) {
	t.Helper()
	if err := Compare(l, rows, cols); err != nil {
		t.Error(err)
	}
}

// Compare is Check without a test: it returns what disagrees.
func Compare(l nn.Layer, rows, cols int) error {
	var err error
	for batch := range uint64(4) {
		// A batch with a value near the kink of a relu says little; take another.
		if err = compare(l, rows, cols, batch); !errors.Is(err, errKinks) {
			return err
		}
	}
	return err
}

var errKinks = errors.New("too many elements disagree with finite differences that are not smooth")

func compare(l nn.Layer, rows, cols int, batch uint64) error {
	random := numeric.NewStream(1, "nntest", batch)
	x := normal(random, rows, cols)
	out := l.Forward(x, true)
	c := checker{layer: l, x: x, r: normal(random, rows, out.Cols), random: random}

	dy := tensor.NewPadded(rows, out.Cols) // Backward may overwrite it
	copy(dy.Data, c.r.Data)
	dx := l.Backward(dy)
	if dx == nil {
		return fmt.Errorf("no gradient by the input")
	}
	if dx.Rows != rows || dx.Cols != cols {
		return fmt.Errorf("gradient by the input is %d x %d, want %d x %d", dx.Rows, dx.Cols, rows, cols)
	}
	// All gradients are read before the first Forward, which may reuse their memory.
	input := make([]float64, 0, rows*cols)
	for i := range rows {
		for _, g := range dx.Row(i) {
			input = append(input, float64(g))
		}
	}
	type array struct {
		w nn.Weight
		g []float64
	}
	var arrays []array
	for _, w := range l.Weights() {
		if w.Buffer {
			continue
		}
		a := array{w, nil}
		for _, g := range w.Gradient() {
			a.g = append(a.g, float64(g))
		}
		if len(a.g) != w.Len() {
			return fmt.Errorf("%s has no gradient", w.Name)
		}
		arrays = append(arrays, a)
	}

	err := c.compare("input", input, func(k int, d float32) func() {
		e := &x.Row(k / cols)[k%cols]
		old := *e
		*e += d
		return func() { *e = old }
	})
	for _, a := range arrays {
		if err != nil {
			break
		}
		err = c.compare(a.w.Name, a.g, func(k int, d float32) func() {
			old := a.w.Values()
			v := a.w.Values()
			v[k] += d
			if err := a.w.Set(v); err != nil {
				panic(err) // the length is the weight's own
			}
			return func() { _ = a.w.Set(old) }
		})
	}
	return err
}

func normal(s *numeric.Stream, rows, cols int) *tensor.Matrix {
	m := tensor.NewPadded(rows, cols)
	for i := range rows {
		for j := range cols {
			m.Row(i)[j] = float32(s.Normal())
		}
	}
	return m
}

// A checker compares the gradients of the loss Σ r·y.
type checker struct {
	layer  nn.Layer
	x, r   *tensor.Matrix
	random *numeric.Stream
}

// loss runs the layer and returns the loss in float64.
func (c *checker) loss() float64 {
	y := c.layer.Forward(c.x, true)
	s := 0.0
	for i := range y.Rows {
		r := c.r.Row(i)
		for j, v := range y.Row(i) {
			s += float64(v) * float64(r[j])
		}
	}
	return s
}

// compare checks one array of gradients. move adds d to element k and returns
// how to undo it.
func (c *checker) compare(name string, grads []float64, move func(k int, d float32) (undo func())) error {
	largest := 0.0
	for _, g := range grads {
		largest = max(largest, math.Abs(g))
	}
	// Where all gradients are zero (a bias before batch_norm) the differences
	// must be small beside the loss, whose terms are about 1.
	allowed := tolerance * max(largest, 0.1)
	middle := c.loss()
	// slopes returns the differences to the right and to the left.
	slopes := func(k int, h float32) (right, left float64) {
		undo := move(k, h)
		up := c.loss()
		undo()
		undo = move(k, -h)
		down := c.loss()
		undo()
		return (up - middle) / float64(h), (middle - down) / float64(h)
	}
	elements := c.random.Perm(len(grads))
	elements = elements[:min(len(elements), perArray)]
	kinks := 0
	for _, k := range elements {
		agrees, kink, want := match(grads[k], allowed, func(h float32) (right, left float64) { return slopes(k, h) })
		switch {
		case agrees:
		case kink:
			kinks++
		default:
			return fmt.Errorf("gradient of %s, element %d: %v, finite difference %v, allowed %.2g", name, k, grads[k], want, allowed)
		}
	}
	if kinks*4 > len(elements) {
		return fmt.Errorf("gradient of %s: %w: %d of %d", name, errKinks, kinks, len(elements))
	}
	return nil
}

// match reports whether the gradient got agrees with a finite difference of some
// width, and if not, whether there is a kink so near that it need not. Small
// widths escape kinks but carry rounding, so they come last.
func match(got, allowed float64, slopes func(h float32) (right, left float64)) (agrees, kink bool, want float64) {
	near := func(v float64) bool { return math.Abs(got-v) <= allowed }
	for h := float32(1.0 / 64); h > 1.0/8192; h /= 4 {
		wideRight, wideLeft := slopes(h)
		right, left := slopes(h / 2)
		wide, narrow := (wideRight+wideLeft)/2, (right+left)/2
		want = (4*narrow - wide) / 3 // Richardson: the error of order h² cancels
		if near(want) {
			return true, false, want
		}
		// Near a kink the central difference depends on h; at the kink itself the
		// gradient is the slope on one side.
		if math.Abs(wide-narrow) > allowed/2 || near(2*right-wideRight) || near(2*left-wideLeft) {
			kink = true
		}
	}
	return false, kink, want
}
