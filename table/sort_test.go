package table

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSortNumbersSortsAsComparisonDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// A short list repeated is long enough for the radix sort.
		seed := rapid.SliceOfN(rapid.Float64(), 1, 50).Draw(t, "numbers")
		times := rapid.IntRange(1, 400).Draw(t, "times")
		var v []float64
		for i := range times {
			for _, x := range seed {
				if !math.IsNaN(x) {
					v = append(v, x+float64(i%7))
				}
			}
		}
		want := slices.Clone(v)
		slices.Sort(want)
		sortNumbers(v, nil)
		if !slices.Equal(v, want) {
			t.Fatal("the orders differ")
		}
	})
}

func TestSortNumbersPutsSpecialNumbersInTheirPlace(t *testing.T) {
	for _, n := range []int{1, 1 << 14} {
		var v []float64
		for range n {
			v = append(v, math.Inf(1), math.Copysign(0, -1), -1e-320, math.MaxFloat64, math.Inf(-1), -2, 1e-320)
		}
		want := slices.Clone(v)
		slices.Sort(want)
		sortNumbers(v, make([]float64, 3))
		if !slices.Equal(v, want) {
			t.Errorf("%d of each: the orders differ", n)
		}
		if i := slices.Index(v, 0); math.Signbit(v[i]) {
			t.Error("a negative zero is left")
		}
	}
}

func BenchmarkSortNumbers(b *testing.B) {
	v := make([]float64, 1_000_000)
	scratch := make([]float64, len(v))
	for b.Loop() {
		x := uint64(1)
		for i := range v {
			x = x*6364136223846793005 + 1442695040888963407
			v[i] = float64(int64(x)) / 1e9
		}
		sortNumbers(v, scratch)
	}
}
