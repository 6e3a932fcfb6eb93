package store

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store/internal/pack"
)

// A sample is one point of a series.
type sample struct {
	n, step, time int64
	value         float64
}

func (a *sample) before(b *sample) bool { return a.step < b.step || a.step == b.step && a.n < b.n }

// A part is what a chart shows of the steps that share a pixel: the points at
// its ends, and the lowest and the highest. Which of equals is the first of
// them. lowest and highest are no NaN.
type part struct {
	any, number                  bool
	first, lowest, highest, last sample
}

// A collector gathers the points of a series in any order: all of them, or,
// when a chart of so many pixels cannot show all, the parts of one.
type collector struct {
	steps  solera.StepRange
	pixels int
	all    []sample // nil once there are too many
	whole  bool     // all is complete
	parts  []part   // nil when all will do
}

// newCollector returns a collector for at most most points. keep says that
// they may be few enough to come whole.
func newCollector(steps solera.StepRange, pixels, most int, keep bool) *collector {
	c := &collector{steps: steps, pixels: pixels, whole: keep}
	if pixels > 0 && most/4 >= pixels { // so parts never outnumber points
		c.parts = make([]part, pixels)
	} else {
		c.whole = true
	}
	if c.whole && c.parts == nil {
		c.all = make([]sample, 0, most)
	}
	return c
}

// partOf returns the part that a step of the range belongs to.
func (c *collector) partOf(step int64) int {
	width := uint64(c.steps.To) - uint64(c.steps.From) + 1 // 0 stands for 2^64
	high, low := bits.Mul64(uint64(step)-uint64(c.steps.From), uint64(c.pixels))
	if width == 0 {
		return int(high)
	}
	i, _ := bits.Div64(high, low, width)
	return int(i)
}

// start returns the first step of a part.
func (c *collector) start(i int) int64 {
	width := uint64(c.steps.To) - uint64(c.steps.From) + 1
	high, low := bits.Mul64(uint64(i), width)
	if width == 0 {
		high = uint64(i)
	}
	low, carry := bits.Add64(low, uint64(c.pixels)-1, 0) // rounds up
	offset, _ := bits.Div64(high+carry, low, uint64(c.pixels))
	return int64(uint64(c.steps.From) + offset)
}

// end returns the last step of a part.
func (c *collector) end(i int) int64 {
	if i == c.pixels-1 {
		return c.steps.To
	}
	return c.start(i+1) - 1
}

// within reports whether the steps from one to another are in one part.
func (c *collector) within(from, to int64) bool {
	return c.parts != nil && from >= c.steps.From && to <= c.steps.To && c.partOf(from) == c.partOf(to)
}

func (c *collector) add(columns *pack.Columns) {
	if c.whole {
		c.addAll(columns)
	}
	if c.parts == nil {
		return
	}
	// Points mostly come by step, so the part is mostly that of the point before.
	var p *part
	from, to := int64(1), int64(0)
	for i, step := range columns.Steps {
		if step < from || step > to {
			if step < c.steps.From || step > c.steps.To {
				continue
			}
			at := c.partOf(step)
			p, from, to = &c.parts[at], c.start(at), c.end(at)
		}
		s := sample{columns.Ns[i], step, columns.Times[i], columns.Values[i]}
		if !p.any {
			p.any, p.first, p.last = true, s, s
		} else if p.last.before(&s) {
			p.last = s
		} else if s.before(&p.first) {
			p.first = s
		}
		switch {
		case p.number:
			if s.value <= p.lowest.value && (s.value < p.lowest.value || s.before(&p.lowest)) {
				p.lowest = s
			}
			if s.value >= p.highest.value && (s.value > p.highest.value || s.before(&p.highest)) {
				p.highest = s
			}
		case !math.IsNaN(s.value):
			p.number, p.lowest, p.highest = true, s, s
		}
	}
}

func (c *collector) addAll(columns *pack.Columns) {
	for i, step := range columns.Steps {
		if step >= c.steps.From && step <= c.steps.To {
			c.all = append(c.all, sample{columns.Ns[i], step, columns.Times[i], columns.Values[i]})
		}
	}
	if c.parts != nil && len(c.all)/4 >= c.pixels && len(c.all) > 4*c.pixels {
		c.whole, c.all = false, nil
	}
}

// chosen returns the points by step, those of one step by number.
func (c *collector) chosen() []sample {
	byStep := func(a, b sample) int { return cmp.Or(cmp.Compare(a.step, b.step), cmp.Compare(a.n, b.n)) }
	if c.whole {
		if !slices.IsSortedFunc(c.all, byStep) {
			slices.SortFunc(c.all, byStep)
		}
		return c.all
	}
	var list []sample
	for i := range c.parts {
		p := &c.parts[i]
		if !p.any {
			continue
		}
		four := [4]sample{p.first, p.lowest, p.highest, p.last}
		some := four[:]
		if !p.number {
			some = append(four[:1], p.last)
		}
		slices.SortFunc(some, byStep)
		list = append(list, slices.CompactFunc(some, func(a, b sample) bool { return a.n == b.n })...)
	}
	return list
}

func (c *collector) points(key string) []solera.Point {
	chosen := c.chosen()
	list := make([]solera.Point, len(chosen))
	for i, s := range chosen {
		list[i] = solera.Point{Key: key, Step: s.step, Value: s.value, Time: solera.Micros(s.time)}
	}
	return list
}
