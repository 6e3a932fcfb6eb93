package split

import (
	"fmt"
	"slices"

	"github.com/solera-ml/solera/numeric"
)

// A Fold is one way to hold out rows; row positions are ascending. The Test
// parts of the k folds of one repeat hold every row once.
type Fold struct {
	Train, Test []int
}

// Folds divides n rows into k folds at random. Sizes differ by one at most,
// the larger ones first, as KFold of scikit-learn.
func Folds(n, k int, seed uint64) ([]Fold, error) {
	if err := checkFolds(n, k, "rows"); err != nil {
		return nil, err
	}
	fold := make([]int32, n)
	size, larger := n/k, n%k
	i := 0
	order := numeric.NewStream(seed, "split", 0).Perm(n)
	for f := range k {
		end := i + size
		if f < larger {
			end++
		}
		for ; i < end; i++ {
			fold[order[i]] = int32(f)
		}
	}
	return folds(fold, k), nil
}

// StratifiedFolds divides rows into k folds with the class proportions of the
// whole; the counts are those of StratifiedKFold of scikit-learn. A class of
// fewer than k rows is missing in some folds; a class of one row is an error,
// since the fold that tests it could not learn it.
func StratifiedFolds(labels []int32, classes []string, k int, seed uint64) ([]Fold, error) {
	return stratifiedFolds(labels, classes, k, numeric.NewStream(seed, "split", 0))
}

// RepeatedStratifiedFolds does StratifiedFolds repeats times, each with its own
// random stream. The folds of repeat r are [r*k : (r+1)*k]; those of repeat 0
// are what StratifiedFolds returns.
func RepeatedStratifiedFolds(labels []int32, classes []string, k, repeats int, seed uint64) ([]Fold, error) {
	if repeats < 1 {
		return nil, invalid(fmt.Sprintf("%d repeats of cross-validation", repeats), "ask for at least 1")
	}
	var all []Fold
	for r := range repeats {
		f, err := stratifiedFolds(labels, classes, k, numeric.NewStream(seed, "split", uint64(r)))
		if err != nil {
			return nil, err
		}
		all = append(all, f...)
	}
	return all, nil
}

func stratifiedFolds(labels []int32, classes []string, k int, s *numeric.Stream) ([]Fold, error) {
	n := len(labels)
	if err := checkFolds(n, k, "rows"); err != nil {
		return nil, err
	}
	rows, err := byClass(labels, classes, 2)
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(r []int) bool { return len(r) == 0 })
	// scikit-learn numbers classes by first appearance; the counts depend on it.
	slices.SortFunc(rows, func(a, b []int) int { return a[0] - b[0] })

	// Laying the sorted labels round robin on the folds gives each fold its
	// count of each class; which rows they are is then drawn per class.
	fold := make([]int32, n)
	at := 0
	for _, r := range rows {
		slots := make([]int32, len(r))
		for i := range r {
			slots[i] = int32((at + i) % k)
		}
		slices.Sort(slots)
		s.ShuffleInt32(slots)
		for i, row := range r {
			fold[row] = slots[i]
		}
		at += len(r)
	}
	return folds(fold, k), nil
}

// GroupedFolds divides rows into k folds so that all rows of a group share a
// fold: groups go, largest first and equals at random, to the fold that has
// fewest rows (GroupKFold of scikit-learn).
func GroupedFolds(groups []int32, k int, seed uint64) ([]Fold, error) {
	members, err := byGroup(groups)
	if err != nil {
		return nil, err
	}
	if err := checkFolds(len(members), k, "groups"); err != nil {
		return nil, err
	}
	largestFirst(members, numeric.NewStream(seed, "split", 0))
	fold := make([]int32, len(groups))
	size := make([]int, k)
	for _, rows := range members {
		lightest := 0
		for f := range size {
			if size[f] < size[lightest] {
				lightest = f
			}
		}
		size[lightest] += len(rows)
		for _, r := range rows {
			fold[r] = int32(lightest)
		}
	}
	return folds(fold, k), nil
}

func checkFolds(n, k int, what string) error {
	if k < 2 {
		return invalid(fmt.Sprintf("%d folds", k), "ask for at least 2")
	}
	if k > n {
		return invalid(fmt.Sprintf("%d %s cannot fill %d folds", n, what, k), "ask for fewer folds")
	}
	return nil
}

func folds(fold []int32, k int) []Fold {
	sizes := make([]int, k)
	for _, f := range fold {
		sizes[f]++
	}
	out := make([]Fold, k)
	for f := range out {
		out[f] = Fold{make([]int, 0, len(fold)-sizes[f]), make([]int, 0, sizes[f])}
		for row, g := range fold {
			if int(g) == f {
				out[f].Test = append(out[f].Test, row)
			} else {
				out[f].Train = append(out[f].Train, row)
			}
		}
	}
	return out
}
