// Package split decides which rows are seen by whom, and nothing else. It
// returns row positions; it never looks at a table, a file or a feature.
package split

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/numeric"
)

// Fractions are the shares of the rows that each part gets. All three are
// above 0 and their sum is 1.
type Fractions struct {
	Train, Val, Test float64
}

// Parts are the row positions of each part, ascending. Every row is in
// exactly one part.
type Parts struct {
	Train, Val, Test []int
}

// The parts by position, the order in which rows are dealt.
const (
	train = iota
	val
	test
	nParts
)

var partNames = [nParts]string{"train", "val", "test"}

// Check reports whether the fractions can make a split at all, before any data is read.
func (f Fractions) Check() error {
	sum := 0.0
	for i, v := range f.array() {
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0):
			return invalid(fmt.Sprintf("the %s fraction is %v", partNames[i], v), "give three numbers above 0 that add up to 1, such as 0.8, 0.1 and 0.1")
		case v < 0:
			return invalid(fmt.Sprintf("the %s fraction is %v, below 0", partNames[i], v), "give three numbers above 0 that add up to 1, such as 0.8, 0.1 and 0.1")
		case v == 0:
			return invalid(fmt.Sprintf("the %s fraction is 0, which leaves that part empty", partNames[i]), "give each of train, val and test a share above 0")
		}
		sum += v
	}
	if math.Abs(sum-1) > 1e-9 {
		return invalid(fmt.Sprintf("the fractions train %v, val %v and test %v add up to %.6g, not to 1", f.Train, f.Val, f.Test, sum),
			"change them so that they add up to 1")
	}
	return nil
}

func (f Fractions) array() [nParts]float64 { return [nParts]float64{f.Train, f.Val, f.Test} }

// sizes returns the row count of each part: test and val round up, as
// train_test_split of scikit-learn does, and train gets the rest (178 rows at
// 80/10/10 are 142/18/18).
func (f Fractions) sizes(n int) ([nParts]int, error) {
	if err := f.Check(); err != nil {
		return [nParts]int{}, err
	}
	// The subtraction keeps a fraction that is a hair above its decimal from
	// costing a row: 0.07·100 is 7.000000000000001 in binary.
	up := func(v float64) int { return max(1, int(math.Ceil(float64(v*float64(n))-1e-9))) }
	s := [nParts]int{val: up(f.Val), test: up(f.Test)}
	s[train] = n - s[val] - s[test]
	if s[train] < 1 {
		return s, invalid(fmt.Sprintf("%d rows split %v/%v/%v leave the train part empty", n, f.Train, f.Val, f.Test),
			"use more rows or a larger train fraction")
	}
	return s, nil
}

func invalid(msg, hint string) error {
	return &solera.InputError{Op: "split the rows", Msg: msg, Hint: hint}
}

// Random splits n rows without looking at them.
func Random(n int, f Fractions, seed uint64) (Parts, error) {
	sizes, err := f.sizes(n)
	if err != nil {
		return Parts{}, err
	}
	part := make([]uint8, n)
	deal(part, numeric.NewStream(seed, "split").Perm(n), sizes)
	return collect(part, sizes), nil
}

// Stratified splits so that every part has the classes in the proportions of
// the whole. labels[i] is the class of row i, an index in classes. Counts are
// those of two calls of scikit-learn's StratifiedShuffleSplit: hold out val
// and test together, then divide them; remainders go to the classes with the
// largest fractional part, ties at random.
//
// A class needs a row for each part, so one with fewer than three rows is an
// error. A class that is rare but not that rare may still miss val or test.
func Stratified(labels []int32, classes []string, f Fractions, seed uint64) (Parts, error) {
	sizes, err := f.sizes(len(labels))
	if err != nil {
		return Parts{}, err
	}
	rows, err := byClass(labels, classes, nParts)
	if err != nil {
		return Parts{}, err
	}
	counts := make([]int, len(rows))
	for c, r := range rows {
		counts[c] = len(r)
	}
	s := numeric.NewStream(seed, "split")
	nTrain := apportion(counts, sizes[train], s)
	rest := make([]int, len(counts))
	for c := range counts {
		rest[c] = counts[c] - nTrain[c]
	}
	nTest := apportion(rest, sizes[test], s)

	part := make([]uint8, len(labels))
	for c, r := range rows {
		order := s.Perm(len(r))
		for i, j := range order {
			order[i] = r[j]
		}
		deal(part, order, [nParts]int{nTrain[c], rest[c] - nTest[c], nTest[c]})
	}
	return collect(part, sizes), nil
}

// Grouped splits so that all rows of a group (a patient, a customer) are in
// one part. Fractions count rows and are met as nearly as whole groups allow:
// groups go, largest first, to the part that still lacks most. With labels
// (nil for none) the lack is counted class by class, so that class
// proportions are kept too as nearly as groups allow.
func Grouped(groups, labels []int32, f Fractions, seed uint64) (Parts, error) {
	n := len(groups)
	if labels != nil && len(labels) != n {
		panic(fmt.Sprintf("split.Grouped: %d groups and %d labels", n, len(labels)))
	}
	if err := f.Check(); err != nil {
		return Parts{}, err
	}
	members, err := byGroup(groups)
	if err != nil {
		return Parts{}, err
	}
	if len(members) < nParts {
		return Parts{}, invalid(fmt.Sprintf("%d groups cannot fill train, val and test", len(members)),
			"use a group column with at least 3 different values")
	}
	class := func(row int) int32 { return 0 }
	nClasses := 1
	if labels != nil {
		for i, l := range labels {
			if l < 0 {
				return Parts{}, missingLabel(i)
			}
			nClasses = max(nClasses, int(l)+1)
		}
		class = func(row int) int32 { return labels[row] }
	}
	total := make([]float64, nClasses)
	for i := range n {
		total[class(i)]++
	}
	var lack [nParts][]float64 // wanted minus given, per class
	for p, v := range f.array() {
		lack[p] = make([]float64, nClasses)
		for c := range lack[p] {
			lack[p][c] = float64(v * total[c])
		}
	}

	largestFirst(members, numeric.NewStream(seed, "split"))
	part := make([]uint8, n)
	var used [nParts]int
	for i, rows := range members {
		empty := 0
		for _, u := range used {
			if u == 0 {
				empty++
			}
		}
		// When only as many groups are left as parts are empty, each gets one.
		onlyEmpty := len(members)-i == empty
		best, bestGain := -1, math.Inf(-1)
		for p := range nParts {
			if onlyEmpty && used[p] > 0 {
				continue
			}
			// The fall of Σ (lack/total)² when the group joins part p, up to
			// a term that is the same for every part.
			gain := 0.0
			for _, r := range rows {
				c := class(r)
				gain += float64(lack[p][c] / float64(total[c]*total[c]))
			}
			if gain > bestGain {
				best, bestGain = p, gain
			}
		}
		used[best] += len(rows)
		for _, r := range rows {
			part[r] = uint8(best)
			lack[best][class(r)]--
		}
	}
	return collect(part, used), nil
}

// ByTime splits so that every val row is newer than every train row and every
// test row newer than every val row. Rows of the same time are never divided:
// each border moves to the nearest place between two different times, so part
// sizes can differ from the fractions when times repeat. A NaN is a missing
// time and an error.
func ByTime(times []float64, f Fractions) (Parts, error) {
	n := len(times)
	sizes, err := f.sizes(n)
	if err != nil {
		return Parts{}, err
	}
	order := make([]int, n)
	for i, v := range times {
		if math.IsNaN(v) {
			return Parts{}, invalid(fmt.Sprintf("row %d has no time", i), "drop the rows without a time, or do not split by time")
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(times[a], times[b]) })
	var borders []int // i is a border when sorted rows i-1 and i have different times
	for i := 1; i < n; i++ {
		if times[order[i-1]] != times[order[i]] {
			borders = append(borders, i)
		}
	}
	if len(borders) < nParts-1 {
		return Parts{}, invalid(fmt.Sprintf("%d different times cannot fill train, val and test", len(borders)+1),
			"split by a column with at least 3 different times, or at random")
	}
	second := nearest(borders[1:], sizes[train]+sizes[val])
	i, _ := slices.BinarySearch(borders, second)
	first := nearest(borders[:i], sizes[train])
	sizes = [nParts]int{first, second - first, n - second}
	part := make([]uint8, n)
	deal(part, order, sizes)
	return collect(part, sizes), nil
}

// nearest returns the element of sorted, non-empty s nearest to v, the smaller on a tie.
func nearest(s []int, v int) int {
	i, _ := slices.BinarySearch(s, v)
	if i == len(s) || i > 0 && v-s[i-1] <= s[i]-v {
		return s[i-1]
	}
	return s[i]
}

// deal writes the part of each row: the first sizes[0] rows of order are
// train, the next val, the rest test.
func deal(part []uint8, order []int, sizes [nParts]int) {
	i := 0
	for p, size := range sizes {
		for _, r := range order[i : i+size] {
			part[r] = uint8(p)
		}
		i += size
	}
}

func collect(part []uint8, sizes [nParts]int) Parts {
	p := Parts{make([]int, 0, sizes[train]), make([]int, 0, sizes[val]), make([]int, 0, sizes[test])}
	dst := [nParts]*[]int{&p.Train, &p.Val, &p.Test}
	for row, i := range part {
		*dst[i] = append(*dst[i], row)
	}
	return p
}

// byClass lists the rows of each class, ascending. Every class that occurs
// must have least rows; a label that is negative (missing) is an error.
func byClass(labels []int32, classes []string, least int) ([][]int, error) {
	rows := make([][]int, len(classes))
	for i, l := range labels {
		if l < 0 {
			return nil, missingLabel(i)
		}
		rows[l] = append(rows[l], i)
	}
	for c, r := range rows {
		if len(r) > 0 && len(r) < least {
			return nil, invalid(fmt.Sprintf("class %q has only %s: a stratified split needs at least %d in each class", classes[c], countRows(len(r)), least),
				"drop them or set split.stratify: false")
		}
	}
	return rows, nil
}

func countRows(n int) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

func missingLabel(row int) error {
	return invalid(fmt.Sprintf("row %d has no class", row), "drop the rows without a class, or set split.stratify: false")
}

// byGroup lists the rows of each group, in order of first appearance.
func byGroup(groups []int32) ([][]int, error) {
	index := make(map[int32]int)
	var members [][]int
	for i, g := range groups {
		if g < 0 {
			return nil, invalid(fmt.Sprintf("row %d has no group", i), "drop the rows without a group")
		}
		at, ok := index[g]
		if !ok {
			at = len(members)
			index[g] = at
			members = append(members, nil)
		}
		members[at] = append(members[at], i)
	}
	return members, nil
}

// largestFirst orders groups by descending size, equals at random.
func largestFirst(members [][]int, s *numeric.Stream) {
	shuffled := make([][]int, len(members))
	for i, j := range s.Perm(len(members)) {
		shuffled[i] = members[j]
	}
	slices.SortStableFunc(shuffled, func(a, b []int) int { return len(b) - len(a) })
	copy(members, shuffled)
}

// apportion divides draws among classes in proportion to counts: the floor of
// each share, then one more to those with the largest remainder, ties at
// random (_approximate_mode of scikit-learn, in whole numbers so that ties
// are exact). No class is given more than it has.
func apportion(counts []int, draws int, s *numeric.Stream) []int {
	total := 0
	for _, c := range counts {
		total += c
	}
	out := make([]int, len(counts))
	if total == 0 {
		return out
	}
	remainder := make([]int, len(counts))
	left := draws
	for i, c := range counts {
		out[i], remainder[i] = c*draws/total, c*draws%total
		left -= out[i]
	}
	order := s.Perm(len(counts))
	slices.SortStableFunc(order, func(a, b int) int { return remainder[b] - remainder[a] })
	for _, i := range order[:left] {
		out[i]++
	}
	return out
}
