package transform

import (
	"fmt"
	"math"
	"strconv"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tensor"
)

// Inverse leads features back to a table with the columns that made them, in
// plan order, and row numbers from 0. Columns that were dropped are absent.
//
// It is exact up to float32 for scalers and one_hot. What a step threw away
// stays away: clipped values stay clipped; `other`, and levels never seen,
// come back as missing; a date comes back only where its elapsed days are a
// feature. A value comes back as missing where its _missing feature is above a half.
func (f *Fitted) Inverse(x *tensor.Matrix) (*table.Table, error) {
	if x.Cols != len(f.names) {
		return nil, fmt.Errorf("invert %d features with a transform of %d: %w", x.Cols, len(f.names), solera.ErrInvalid)
	}
	t := &table.Table{RowNumbers: make([]int64, x.Rows)}
	for i := range t.RowNumbers {
		t.RowNumbers[i] = int64(i)
	}
	at := 0
	for i := range f.columns {
		c := &f.columns[i]
		if len(c.Lanes) > 0 {
			t.Columns = append(t.Columns, c.inverse(x, at))
		}
		at += c.outputs()
	}
	return t, nil
}

// inverse rebuilds one column from the features that begin at index first.
func (c *column) inverse(x *tensor.Matrix, first int) *table.Column {
	out := &table.Column{Name: c.Name, Kind: c.Kind}
	missing := func(i int) bool {
		return c.Indicator != "" && x.Data[i*x.Stride+first+len(c.Lanes)] > 0.5
	}
	if c.Kind == table.Category {
		out.Levels = c.Encoder.Levels
		out.Codes = c.inverseCodes(x, first)
		for i := range out.Codes {
			if missing(i) {
				out.Codes[i] = -1
			}
		}
		return out
	}
	out.Numbers = make([]float64, x.Rows)
	elapsed := c.Encoder != nil && len(c.Encoder.Parts) > 0 && c.Encoder.Parts[0] == partElapsed
	if c.Encoder == nil || elapsed {
		c.inverseLane(out.Numbers, x, first, 0)
	}
	out.Integer = c.Kind == table.Number
	for i, v := range out.Numbers {
		switch {
		case missing(i) || c.Encoder != nil && !elapsed:
			v = math.NaN()
		case elapsed:
			v = float64(v*86400) + c.Encoder.Origin
		case c.Kind == table.Boolean:
			v = math.Round(v)
		}
		out.Numbers[i] = v
		out.Integer = out.Integer && (math.IsNaN(v) || v == math.Floor(v))
	}
	// What came before date_parts, in seconds again.
	for k := len(c.Before) - 1; k >= 0; k-- {
		c.Before[k].inverse(out.Numbers)
	}
	return out
}

// inverseLane writes feature first+k of every row, with its steps undone.
func (c *column) inverseLane(dst []float64, x *tensor.Matrix, first, k int) {
	for i := range dst {
		dst[i] = float64(x.Data[i*x.Stride+first+k])
	}
	steps := c.Lanes[k].Steps
	for s := len(steps) - 1; s >= 0; s-- {
		steps[s].inverse(dst)
	}
}

// inverseCodes picks, per row, the level whose feature is highest and above a
// half; the first level where drop_first left all of them below.
func (c *column) inverseCodes(x *tensor.Matrix, first int) []int32 {
	e := c.Encoder
	codes := make([]int32, x.Rows)
	values := make([]float64, x.Rows)
	if e.Kind == "ordinal" {
		c.inverseLane(values, x, first, 0)
		for i, v := range values {
			codes[i] = -1
			if v = math.Round(v); v >= 0 && v < float64(len(e.Levels)) {
				codes[i] = int32(v)
			}
		}
		return codes
	}
	none, shift := int32(-1), int32(0)
	if e.DropFirst {
		none, shift = 0, 1
	}
	highest := make([]float64, x.Rows)
	for i := range codes {
		codes[i], highest[i] = none, 0.5
	}
	for k := range c.Lanes {
		c.inverseLane(values, x, first, k)
		code := int32(k) + shift
		if int(code) >= len(e.Levels) {
			code = -1 // other or missing
		}
		for i, v := range values {
			if v > highest[i] {
				codes[i], highest[i] = code, v
			}
		}
	}
	return codes
}

// text shows a number the way a class or level is named: in the fewest digits,
// without an exponent.
func text(v float64) string { return strconv.FormatFloat(v+0, 'f', -1, 64) }
