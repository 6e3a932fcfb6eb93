package split

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/numeric"
	"pgregory.net/rapid"
)

type golden struct {
	Cases map[string]struct {
		ClassCounts []int `json:"class_counts"`
		TTS         []struct {
			TestSize float64   `json:"test_size"`
			NTrain   int       `json:"n_train"`
			NTest    int       `json:"n_test"`
			Possible [][][]int `json:"possible_counts_train_test"`
		} `json:"tts"`
		SKF []struct {
			K      int     `json:"k"`
			Counts [][]int `json:"fold_test_counts_sorted"`
			Sizes  []int   `json:"fold_sizes"`
		} `json:"skf"`
	} `json:"cases"`
	Seed struct{ Train, Val, Test int } `json:"seed_split"`
}

func readGolden(t *testing.T) golden {
	b, err := os.ReadFile("testdata/splits.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// labelled returns labels in class order with those counts, and class names.
func labelled(counts []int) ([]int32, []string) {
	var labels []int32
	var classes []string
	for c, n := range counts {
		classes = append(classes, fmt.Sprintf("class_%d", c))
		labels = append(labels, slices.Repeat([]int32{int32(c)}, n)...)
	}
	return labels, classes
}

func countClasses(labels []int32, rows []int, classes int) []int {
	n := make([]int, classes)
	for _, r := range rows {
		n[labels[r]]++
	}
	return n
}

var eighty = Fractions{0.8, 0.1, 0.1}

// The counts of testdata/splits.json come from scikit-learn 1.2.
func TestStratifiedCountsAreScikitLearns(t *testing.T) {
	for name, c := range readGolden(t).Cases {
		labels, classes := labelled(c.ClassCounts)
		for _, g := range c.TTS {
			for seed := range uint64(20) {
				nTrain := apportion(c.ClassCounts, g.NTrain, numeric.NewStream(seed, "split"))
				nTest := make([]int, len(nTrain))
				for i := range nTrain {
					nTest[i] = c.ClassCounts[i] - nTrain[i]
				}
				if !slices.ContainsFunc(g.Possible, func(p [][]int) bool { return slices.Equal(p[0], nTrain) && slices.Equal(p[1], nTest) }) {
					t.Errorf("%s, test size %v: train %v, test %v, want one of %v", name, g.TestSize, nTrain, nTest, g.Possible)
				}
			}
		}
		for _, g := range c.SKF {
			folds, err := StratifiedFolds(labels, classes, g.K, 1)
			if err != nil {
				t.Fatal(err)
			}
			var counts [][]int
			var sizes []int
			for _, f := range folds {
				counts = append(counts, countClasses(labels, f.Test, len(classes)))
				sizes = append(sizes, len(f.Test))
			}
			slices.SortFunc(counts, slices.Compare)
			slices.Sort(sizes)
			if !slices.EqualFunc(counts, g.Counts, slices.Equal) || !slices.Equal(sizes, g.Sizes) {
				t.Errorf("%s, %d folds: counts %v sizes %v, want %v %v", name, g.K, counts, sizes, g.Counts, g.Sizes)
			}
		}
	}
}

func TestWineSplitsInto142And18And18(t *testing.T) {
	g := readGolden(t)
	labels, classes := labelled([]int{59, 71, 48})
	p, err := Stratified(labels, classes, eighty, 42)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Train) != g.Seed.Train || len(p.Val) != g.Seed.Val || len(p.Test) != g.Seed.Test {
		t.Errorf("got %d/%d/%d, want %v", len(p.Train), len(p.Val), len(p.Test), g.Seed)
	}
	if got := countClasses(labels, p.Train, 3); !slices.Equal(got, []int{47, 57, 38}) {
		t.Errorf("train classes %v", got)
	}
	// Every artifact of every wine project rests on these rows: a change here
	// changes all digests.
	if got, want := fmt.Sprint(p.Val, p.Test), "[16 23 25 45 54 58 65 76 99 111 116 117 125 131 140 142 173 175] [1 4 36 38 50 56 73 81 85 93 98 107 112 143 152 155 168 169]"; got != want {
		t.Errorf("val and test rows %s, want %s", got, want)
	}
	again, _ := Stratified(labels, classes, eighty, 42)
	other, _ := Stratified(labels, classes, eighty, 43)
	if !slices.Equal(p.Test, again.Test) || slices.Equal(p.Test, other.Test) {
		t.Error("the seed does not decide the split")
	}
}

// checkParts fails unless every row of 0…n-1 is in one part, ascending, and no part is empty.
func checkParts(t rapid.TB, n int, parts ...[]int) {
	t.Helper()
	var all []int
	for i, p := range parts {
		if len(p) == 0 {
			t.Fatalf("part %d is empty", i)
		}
		if !slices.IsSorted(p) {
			t.Fatalf("part %d is not ascending", i)
		}
		all = append(all, p...)
	}
	slices.Sort(all)
	if len(all) != n {
		t.Fatalf("%d rows in the parts, want %d", len(all), n)
	}
	for i, r := range all {
		if i != r {
			t.Fatalf("row %d is missing or double", i)
		}
	}
}

func genFractions(t *rapid.T) Fractions {
	a, b := rapid.IntRange(1, 40).Draw(t, "val %"), rapid.IntRange(1, 40).Draw(t, "test %")
	return Fractions{Train: float64(100-a-b) / 100, Val: float64(a) / 100, Test: float64(b) / 100}
}

func TestEveryRowIsInOnePart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		f := genFractions(t)
		seed := rapid.Uint64().Draw(t, "seed")
		if p, err := Random(n, f, seed); err == nil {
			checkParts(t, n, p.Train, p.Val, p.Test)
			if d := float64(len(p.Test)) - f.Test*float64(n); d < -1e-6 || d >= 1 {
				t.Fatalf("%d of %d test rows at %v", len(p.Test), n, f.Test)
			}
		} else if n > 10 {
			t.Fatal(err)
		}
		labels := rapid.SliceOfN(rapid.Int32Range(0, 4), n, n).Draw(t, "labels")
		if p, err := Stratified(labels, []string{"a", "b", "c", "d", "e"}, f, seed); err == nil {
			checkParts(t, n, p.Train, p.Val, p.Test)
			for c := range int32(5) {
				total := len(slices.DeleteFunc(slices.Clone(labels), func(l int32) bool { return l != c }))
				got := countClasses(labels, p.Train, 5)[c]
				if math.Abs(float64(got)-float64(total*len(p.Train))/float64(n)) >= 1 {
					t.Fatalf("class %d: %d of %d in train", c, got, total)
				}
			}
		}
		groups := rapid.SliceOfN(rapid.Int32Range(0, 30), n, n).Draw(t, "groups")
		for _, l := range [][]int32{nil, labels} {
			if p, err := Grouped(groups, l, f, seed); err == nil {
				checkParts(t, n, p.Train, p.Val, p.Test)
				where := map[int32]int{}
				for i, rows := range [][]int{p.Train, p.Val, p.Test} {
					for _, r := range rows {
						if w, ok := where[groups[r]]; ok && w != i {
							t.Fatalf("group %d is on both sides", groups[r])
						}
						where[groups[r]] = i
					}
				}
			}
		}
		times := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 40), func(v int) float64 { return float64(v) / 4 }), n, n).Draw(t, "times")
		if p, err := ByTime(times, f); err == nil {
			checkParts(t, n, p.Train, p.Val, p.Test)
			newest := func(rows []int) float64 {
				m := math.Inf(-1)
				for _, r := range rows {
					m = max(m, times[r])
				}
				return m
			}
			oldest := func(rows []int) float64 {
				m := math.Inf(1)
				for _, r := range rows {
					m = min(m, times[r])
				}
				return m
			}
			if newest(p.Train) >= oldest(p.Val) || newest(p.Val) >= oldest(p.Test) {
				t.Fatal("a later part has a row that is not newer")
			}
		}
	})
}

func TestFoldsTestEveryRowOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 200).Draw(t, "n")
		k := rapid.IntRange(2, 10).Draw(t, "k")
		seed := rapid.Uint64().Draw(t, "seed")
		labels := rapid.SliceOfN(rapid.Int32Range(0, 3), n, n).Draw(t, "labels")
		check := func(folds []Fold, err error) {
			if err != nil {
				return
			}
			var tests [][]int
			for _, f := range folds {
				checkParts(t, n, f.Train, f.Test)
				tests = append(tests, f.Test)
			}
			checkParts(t, n, tests...)
		}
		check(Folds(n, k, seed))
		check(StratifiedFolds(labels, []string{"a", "b", "c", "d"}, k, seed))
		folds, err := GroupedFolds(labels, k, seed)
		check(folds, err)
		for _, f := range folds {
			for _, r := range f.Test {
				if slices.ContainsFunc(f.Train, func(q int) bool { return labels[q] == labels[r] }) {
					t.Fatalf("group %d is on both sides", labels[r])
				}
			}
		}
		if all, err := RepeatedStratifiedFolds(labels, []string{"a", "b", "c", "d"}, k, 3, seed); err == nil {
			one, _ := StratifiedFolds(labels, []string{"a", "b", "c", "d"}, k, seed)
			for f := range k {
				if !slices.Equal(all[f].Test, one[f].Test) {
					t.Fatal("repeat 0 is not StratifiedFolds")
				}
			}
			check(all[k:2*k], nil)
			check(all[2*k:], nil)
		}
	})
}

func TestTimesThatRepeatStayOnOneSide(t *testing.T) {
	p, err := ByTime([]float64{5, 1, 1, 1, 2, 2, 3, 3, 3, 4}, Fractions{0.6, 0.2, 0.2})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Train, []int{1, 2, 3, 4, 5}) || !slices.Equal(p.Val, []int{6, 7, 8}) || !slices.Equal(p.Test, []int{0, 9}) {
		t.Errorf("got %v", p)
	}
}

func TestBadSplitsSayHowToMendThem(t *testing.T) {
	stratified := func(counts []int, f Fractions) error {
		labels, classes := labelled(counts)
		_, err := Stratified(labels, classes, f, 1)
		return err
	}
	random := func(n int, f Fractions) error { _, err := Random(n, f, 1); return err }
	byTime := func(v ...float64) error { _, err := ByTime(v, eighty); return err }
	grouped := func(g ...int32) error { _, err := Grouped(g, nil, eighty, 1); return err }
	folds := func(n, k int) error { _, err := Folds(n, k, 1); return err }
	nan := math.NaN()
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"one row of a class", stratified([]int{50, 1}, eighty), `class "class_1" has only 1 row: a stratified split needs at least 3 in each class: drop them or set split.stratify: false`},
		{"two rows of a class", stratified([]int{2, 50}, eighty), `class "class_0" has only 2 rows`},
		{"sum below 1", random(100, Fractions{0.8, 0.1, 0.05}), "add up to 0.95, not to 1"},
		{"sum above 1", random(100, Fractions{0.8, 0.3, 0.1}), "add up to 1.2, not to 1"},
		{"negative", random(100, Fractions{1.1, -0.2, 0.1}), "the val fraction is -0.2, below 0"},
		{"zero", random(100, Fractions{0.9, 0.1, 0}), "the test fraction is 0, which leaves that part empty"},
		{"NaN", random(100, Fractions{nan, 0.5, 0.5}), "the train fraction is NaN"},
		{"infinite", random(100, Fractions{math.Inf(1), 0.5, 0.5}), "the train fraction is +Inf"},
		{"no rows", random(0, eighty), "leave the train part empty"},
		{"two rows", random(2, eighty), "2 rows split 0.8/0.1/0.1 leave the train part empty"},
		{"missing time", byTime(1, nan, 2, 3, 4), "row 1 has no time"},
		{"two times", byTime(1, 1, 2, 2, 2), "2 different times cannot fill"},
		{"two groups", grouped(1, 1, 2, 2, 2), "2 groups cannot fill"},
		{"missing group", grouped(1, -1, 2, 2, 2), "row 1 has no group"},
		{"missing class", func() error { _, err := Stratified([]int32{0, 0, -1, 0}, []string{"a"}, eighty, 1); return err }(), "row 2 has no class"},
		{"one fold", folds(10, 1), "1 folds"},
		{"too many folds", folds(3, 4), "3 rows cannot fill 4 folds"},
		{"missing label in folds", func() error { _, err := StratifiedFolds([]int32{0, -1, 0}, []string{"a"}, 2, 1); return err }(), "row 1 has no class"},
	} {
		var in *solera.InputError
		if !errors.As(tt.err, &in) || !errors.Is(tt.err, solera.ErrInvalid) {
			t.Errorf("%s: got %v, want an input error", tt.name, tt.err)
			continue
		}
		if !strings.Contains(tt.err.Error(), tt.want) || in.Hint == "" {
			t.Errorf("%s: got %q (hint %q), want %q", tt.name, tt.err, in.Hint, tt.want)
		}
	}
}

func TestThreeGroupsFillThreeParts(t *testing.T) {
	p, err := Grouped([]int32{1, 1, 1, 2, 2, 2, 3, 3, 3}, nil, eighty, 7)
	if err != nil {
		t.Fatal(err)
	}
	checkParts(t, 9, p.Train, p.Val, p.Test)
}
