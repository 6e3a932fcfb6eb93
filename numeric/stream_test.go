package numeric

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func TestStreamSequencesNeverChange(t *testing.T) {
	got := ""
	for _, k := range []struct {
		seed    uint64
		purpose string
		index   []uint64
	}{{42, "split", nil}, {42, "shuffle", []uint64{1}}, {42, "shuffle", []uint64{2}}, {43, "shuffle", []uint64{1}}, {0, "", nil}, {math.MaxUint64, "init", []uint64{0, 7}}} {
		s := NewStream(k.seed, k.purpose, k.index...)
		got += fmt.Sprintf("%d %q %v:", k.seed, k.purpose, k.index)
		for range 4 {
			got += fmt.Sprintf(" %016x", s.Uint64())
		}
		got += fmt.Sprintf(" %016x %016x %016x %v %d\n", math.Float64bits(s.Float64()), math.Float64bits(s.Normal()), math.Float64bits(s.Normal()), s.Perm(8), s.IntN(1_000_000_007))
	}
	compareGolden(t, "testdata/streams.txt", got)
}

func TestStreamsWithOtherNamesDiffer(t *testing.T) {
	seen := map[uint64]string{}
	for name, s := range map[string]*Stream{
		"a": NewStream(1, "a"), "a 0": NewStream(1, "a", 0), "a 0 0": NewStream(1, "a", 0, 0), "a 1": NewStream(1, "a", 1), "b": NewStream(1, "b"),
		"a of 2": NewStream(2, "a"), "the name is not run into the index": NewStream(1, "a\x00\x00\x00\x00\x00\x00\x00\x00"),
	} {
		v := s.Uint64()
		if other, ok := seen[v]; ok {
			t.Errorf("%q and %q begin alike", name, other)
		}
		seen[v] = name
	}
}

func TestPermIsAPermutation(t *testing.T) {
	for n := range 200 {
		p := NewStream(7, "perm", uint64(n)).Perm(n)
		q := make([]int32, n)
		for i := range q {
			q[i] = int32(i)
		}
		NewStream(7, "perm", uint64(n)).ShuffleInt32(q)
		for i := range p {
			if p[i] != int(q[i]) {
				t.Fatalf("Perm and ShuffleInt32 of %d differ", n)
			}
		}
		slices.Sort(p)
		for i, v := range p {
			if v != i {
				t.Fatalf("Perm(%d) lacks %d", n, i)
			}
		}
	}
}

func TestEveryPermutationIsEquallyLikely(t *testing.T) {
	s, counts := NewStream(8, "perm"), map[string]int{}
	const draws = 48_000
	for range draws {
		counts[fmt.Sprint(s.Perm(4))]++
	}
	chi := 0.0
	for _, c := range counts {
		d := float64(c) - draws/24.0
		chi += d * d / (draws / 24.0)
	}
	if len(counts) != 24 || chi > 49.7 { // 0.1 % point of χ² with 23 degrees of freedom
		t.Errorf("%d permutations, χ² = %.1f", len(counts), chi)
	}
}

func TestIntNIsUnbiased(t *testing.T) {
	s := NewStream(9, "intn")
	// With n = 3·2^61 a plain modulo would give the lowest third twice as often.
	const n = 3 << 61
	low := 0
	for range 30_000 {
		v := s.IntN(n)
		if v < 0 || v >= n {
			t.Fatalf("IntN(%d) = %d", n, v)
		}
		if v < n/3 {
			low++
		}
	}
	if math.Abs(float64(low)-10_000) > 5*82 {
		t.Errorf("%d of 30000 in the lowest third", low)
	}
	for range 100 {
		if s.IntN(1) != 0 {
			t.Fatal("IntN(1) is not 0")
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("IntN(0) did not panic")
		}
	}()
	s.IntN(0)
}

func TestNormalHasTheMomentsOfANormal(t *testing.T) {
	s := NewStream(10, "normal")
	const n = 200_000
	var m [5]float64
	for range n {
		v := s.Normal()
		for k, p := 1, v; k < 5; k, p = k+1, p*v {
			m[k] += p / n
		}
	}
	for k, want := range []float64{0, 0, 1, 0, 3} {
		if tol := []float64{0, 1, 1.5, 4, 10}[k] * 4 / math.Sqrt(n); k > 0 && math.Abs(m[k]-want) > tol {
			t.Errorf("moment %d is %g, want %g within %g", k, m[k], want, tol)
		}
	}
}
