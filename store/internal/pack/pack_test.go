package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
)

// someInts draws columns of the shapes that the orders are for, and wild ones.
func someInts(t *rapid.T, n int, label string) []int64 {
	v := make([]int64, n)
	shape := rapid.SampledFrom([]string{"stride", "noise", "trend", "curve", "wild", "extremes"}).Draw(t, label)
	start := rapid.Int64().Draw(t, label+" start")
	slope := rapid.Int64Range(-1000, 1000).Draw(t, label+" slope")
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, label+" seed"), 0))
	for i := range v {
		at := int64(i)
		switch shape {
		case "stride":
			v[i] = start + at*slope
		case "noise":
			v[i] = start + random.Int64N(100)
		case "trend":
			v[i] = start + at*slope + random.Int64N(10)
		case "curve":
			v[i] = start + at*at*slope
		case "wild":
			v[i] = int64(random.Uint64())
		case "extremes":
			v[i] = []int64{math.MinInt64, math.MaxInt64, 0, -1}[random.IntN(4)]
		}
	}
	return v
}

func someFloats(t *rapid.T, n int) []float64 {
	v := make([]float64, n)
	shape := rapid.SampledFrom([]string{"smooth", "single", "whole", "decimal", "few", "bits", "extremes"}).Draw(t, "shape")
	odd := rapid.IntRange(0, 4).Draw(t, "odd ones") // of 32
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	extremes := []float64{
		0, math.Copysign(0, -1), math.NaN(), math.Float64frombits(0xfff8000000000001), math.Inf(1), math.Inf(-1),
		math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, 1 << 53, 1<<53 + 2, 0.1, 1e22,
	}
	for i := range v {
		switch shape {
		case "smooth":
			v[i] = math.Exp(-float64(i)/100) + random.Float64()/1000
		case "single":
			v[i] = float64(float32(random.NormFloat64()))
		case "whole":
			v[i] = float64(i) - 50
		case "decimal":
			v[i] = float64(random.IntN(20000)-10000) / 1e4
		case "few":
			v[i] = float64(random.IntN(5)) / 7
		case "bits":
			v[i] = math.Float64frombits(random.Uint64())
		case "extremes":
			v[i] = extremes[random.IntN(len(extremes))]
		}
		if random.IntN(32) < odd {
			v[i] = extremes[random.IntN(len(extremes))]
		}
	}
	return v
}

func sameBits(a, b []float64) bool { return slices.EqualFunc(a, b, exact) }

func TestBlocksComeBackBitByBit(t *testing.T) {
	var got Columns // used again, as the store does
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.OneOf(rapid.IntRange(0, 5), rapid.IntRange(60, 70), rapid.IntRange(0, 300)).Draw(t, "points")
		want := Columns{
			Steps: someInts(t, n, "steps"), Values: someFloats(t, n),
			Times: someInts(t, n, "times"), Ns: someInts(t, n, "numbers"),
		}
		b := want.Encode()
		if err := got.Decode(b); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Steps, want.Steps) || !slices.Equal(got.Times, want.Times) || !slices.Equal(got.Ns, want.Ns) {
			t.Fatalf("integers differ: got %v, want %v", got, want)
		}
		if !sameBits(got.Values, want.Values) {
			t.Fatalf("values differ: got %v, want %v", got.Values, want.Values)
		}
		if wild := 64 + 33*n; len(b) > wild {
			t.Fatalf("%d points took %d bytes, which is more than their bits", n, len(b))
		}
	})
}

func TestRowsComeBackBitByBit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "points")
		steps, times, metrics, values := someInts(t, n, "steps"), someInts(t, n, "times"), someInts(t, n, "metrics"), someFloats(t, n)
		var want []Point
		for i := range n {
			want = append(want, Point{metrics[i], steps[i], values[i], times[i]})
		}
		b := EncodeRow(want)
		before := []Point{{Step: 7}}
		got, err := DecodeRow(before, b)
		if err != nil || len(got) != 1+n || got[0] != before[0] {
			t.Fatalf("DecodeRow = %v, %v", got, err)
		}
		for i, p := range got[1:] {
			w := want[i]
			if p.Metric != w.Metric || p.Step != w.Step || p.Time != w.Time || !exact(p.Value, w.Value) {
				t.Fatalf("point %d: got %v, want %v", i, p, w)
			}
		}
		if length, err := RowLen(b); length != n || err != nil {
			t.Fatalf("RowLen = %d, %v, want %d", length, err, n)
		}
	})
}

func TestAlteredBytesAreCorrupt(t *testing.T) {
	var c Columns
	var points []Point
	for i := range 100 {
		c.Add(int64(i), int64(i), math.Sqrt(float64(i)), int64(i*i))
		points = append(points, Point{Metric: int64(i % 3), Step: int64(i), Value: float64(i) / 3})
	}
	decoders := []struct {
		name string
		good []byte
		read func([]byte) error
	}{
		{"block", c.Encode(), func(b []byte) error { return new(Columns).Decode(b) }},
		{"row", EncodeRow(points), func(b []byte) error { _, err := DecodeRow(nil, b); return err }},
	}
	for _, d := range decoders {
		if err := d.read(d.good); err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(d.good) {
			b := slices.Clone(d.good)
			b[bit/8] ^= 1 << (bit % 8)
			if err := d.read(b); !errors.Is(err, solera.ErrCorrupt) {
				t.Errorf("%s with bit %d altered: got error %v, want %v", d.name, bit, err, solera.ErrCorrupt)
			}
		}
		for cut := range d.good {
			if err := d.read(d.good[:cut]); !errors.Is(err, solera.ErrCorrupt) {
				t.Errorf("%s cut to %d bytes: got error %v, want %v", d.name, cut, err, solera.ErrCorrupt)
			}
			// What was written by a program with a defect has a good checksum.
			if cut > 0 {
				if err := d.read(appendSum(slices.Clone(d.good[:cut]))); cut < len(d.good)-4 && !errors.Is(err, solera.ErrCorrupt) {
					t.Errorf("%s of %d bytes: got error %v, want %v", d.name, cut, err, solera.ErrCorrupt)
				}
			}
		}
		if err := d.read(appendSum(append(slices.Clone(d.good[:len(d.good)-4]), 0))); !errors.Is(err, solera.ErrCorrupt) {
			t.Errorf("%s with a byte too many: got error %v, want %v", d.name, err, solera.ErrCorrupt)
		}
	}
}

func TestFewBytesCannotAskForMuchMemory(t *testing.T) {
	huge := appendSum(binary.AppendUvarint([]byte{version}, 1<<60))
	if err := new(Columns).Decode(huge); !errors.Is(err, solera.ErrCorrupt) {
		t.Errorf("a block of 2^60 points: got error %v", err)
	}
	if _, err := DecodeRow(nil, huge); !errors.Is(err, solera.ErrCorrupt) {
		t.Errorf("a row of 2^60 points: got error %v", err)
	}
}

func FuzzBlock(f *testing.F) {
	var c Columns
	for i := range 70 {
		c.Add(int64(i), int64(i/2), float64(i%7)/10, int64(i*i*1000))
	}
	c.Values[3] = math.NaN()
	f.Add(c.Encode()[:c.Len()])
	b := c.Encode()
	f.Add(b[:len(b)-4])
	c.Values[5] = 1.0 / 3
	b = c.Encode()
	f.Add(b[:len(b)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		// The checksum would hide everything behind it.
		var c Columns
		if err := c.Decode(appendSum(slices.Clone(body))); err != nil {
			if !errors.Is(err, solera.ErrCorrupt) {
				t.Fatalf("got error %v, want %v", err, solera.ErrCorrupt)
			}
			return
		}
		var again Columns
		if err := again.Decode(c.Encode()); err != nil || !sameBits(c.Values, again.Values) || !slices.Equal(c.Steps, again.Steps) {
			t.Fatalf("what was read does not come back: %v", err)
		}
	})
}

func FuzzRow(f *testing.F) {
	b := EncodeRow([]Point{{1, 2, 3, 4}, {2, 2, math.Pi, 4}, {1, 3, float64(float32(0.1)), 5}, {1, 3, math.NaN(), 5}})
	f.Add(b[:len(b)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		points, err := DecodeRow(nil, appendSum(slices.Clone(body)))
		if err != nil {
			if !errors.Is(err, solera.ErrCorrupt) {
				t.Fatalf("got error %v, want %v", err, solera.ErrCorrupt)
			}
			return
		}
		again, err := DecodeRow(nil, EncodeRow(points))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(points) {
			t.Fatalf("what was read does not come back: %v, %v, %v", points, again, err)
		}
	})
}

func benchColumns() *Columns {
	random := rand.New(rand.NewPCG(1, 0))
	var c Columns
	for i := range 4096 {
		c.Add(int64(i), int64(i), math.Exp(-float64(i)/1000)+random.NormFloat64()/100, 1.7e15+int64(i)*10_000+random.Int64N(1000))
	}
	return &c
}

func BenchmarkEncode(b *testing.B) {
	c := benchColumns()
	for b.Loop() {
		c.Encode()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.Len()), "ns/point")
	b.ReportMetric(float64(len(c.Encode()))/float64(c.Len()), "B/point")
}

func BenchmarkDecode(b *testing.B) {
	c := benchColumns()
	block := c.Encode()
	var got Columns
	for b.Loop() {
		if err := got.Decode(block); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.Len()), "ns/point")
}
