package eval

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/numeric"
	"github.com/solera-ml/solera/tensor"
)

func TestWilsonIntervalsArePublishedOnes(t *testing.T) {
	for _, c := range []struct {
		hits, n   int
		low, high float64
	}{
		{18, 18, 0.824, 1}, {36, 36, 0.904, 1}, {35, 36, 0.858, 0.995}, {0, 18, 0, 0.176}, {0, 0, 0, 1}, {81, 263, 0.2553, 0.3662}, // the last: Newcombe (1998), table I
		{1, 1, 0.2065, 1},
	} {
		low, high := Wilson(c.hits, c.n)
		if math.Abs(low-c.low) > 0.0005 || math.Abs(high-c.high) > 0.0005 {
			t.Errorf("Wilson(%d, %d) = %.4f–%.4f, want %.4f–%.4f", c.hits, c.n, low, high, c.low, c.high)
		}
	}
}

func TestWilsonContainsTheShareAndNarrowsWithRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 100_000).Draw(t, "n")
		hits := rapid.IntRange(0, n).Draw(t, "hits")
		low, high := Wilson(hits, n)
		p := float64(hits) / float64(n)
		if !(0 <= low && low <= p && p <= high && high <= 1) {
			t.Fatalf("Wilson(%d, %d) = %v–%v", hits, n, low, high)
		}
		if l, h := Wilson(4*hits, 4*n); h-l >= high-low {
			t.Fatalf("four times the rows widen %v–%v to %v–%v", low, high, l, h)
		}
		if l, h := Wilson(n-hits, n); math.Abs(l-(1-high)) > 1e-12 || math.Abs(h-(1-low)) > 1e-12 {
			t.Fatalf("misses have %v–%v, want the mirror of %v–%v", l, h, low, high)
		}
	})
}

func TestScoresReadWithTheirRowsAndInterval(t *testing.T) {
	for want, s := range map[string]Score{
		"18/18 = 100 %, 95 % CI 82–100 %":              Share(Accuracy, "test", 18, 18),
		"17/18 = 94 %, 95 % CI 74–99 %":                Share(Accuracy, "test", 17, 18),
		"35/36 = 97 %, 95 % CI 86–99.5 %":              Share(Accuracy, "test", 35, 36),
		"0/18 = 0 %, 95 % CI 0–18 %":                   Share(Recall, "test", 0, 18),
		"170/178 = 95.5 %, 95 % CI 91.4–97.7 %":        Share(Accuracy, "test", 170, 178),
		"9999/10000 = 99.99 %, 95 % CI 99.94–99.998 %": Share(Accuracy, "test", 9999, 10000),
		"no rows": Share(Precision, "test", 0, 0),
		"0.0123 (18 rows), 95 % CI 0.0041–0.120": {Metric: Loss, Value: 0.0123, N: 18, Low: 0.0041, High: 0.12},
		"1.000 (18 rows)":                        {Metric: MacroF1, Value: 1, N: 18, Low: math.NaN(), High: math.NaN()},
		"not defined (18 rows)":                  {Metric: ROCAUC, Value: math.NaN(), N: 18},
		"9.82e-06 (18 rows)":                     {Metric: Loss, Value: 9.82e-6, N: 18, Low: math.NaN(), High: math.NaN()},
	} {
		if got := s.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAScoreSurvivesJSON(t *testing.T) {
	for _, s := range []Score{Share(Accuracy, "val", 17, 18), {Metric: Loss, Split: "test", Value: math.NaN(), N: 3, Low: math.NaN(), High: 0.1}} {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back Score
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if again, _ := json.Marshal(back); !bytes.Equal(b, again) {
			t.Errorf("%s became %s", b, again)
		}
		if strings.Contains(string(b), "NaN") {
			t.Errorf("NaN in %s", b)
		}
	}
}

func TestMcNemarIsTheExactTestOfACoin(t *testing.T) {
	for _, c := range []struct {
		a, b int
		want float64
	}{{0, 5, 0.0625}, {0, 6, 0.03125}, {5, 0, 0.0625}, {0, 0, 1}, {3, 3, 1}, {3, 4, 1}, {1, 8, 0.0390625}, {2, 10, 158.0 / 4096}} {
		if got := McNemar(c.a, c.b); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("McNemar(%d, %d) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
	for _, c := range [][2]int{{40, 60}, {450, 550}, {100, 1000}, {0, 2000}} {
		k, n := int64(c[0]), int64(c[0]+c[1])
		tail := new(big.Int)
		for i := int64(0); i <= k; i++ {
			tail.Add(tail, new(big.Int).Binomial(n, i))
		}
		f := new(big.Float).SetInt(tail)
		want, _ := f.SetMantExp(f, int(1-n)).Float64()
		if got := McNemar(c[0], c[1]); math.Abs(got-want) > 1e-12*want {
			t.Errorf("McNemar(%d, %d) = %v, want %v", c[0], c[1], got, want)
		}
	}
	// A million rows neither overflow nor take long: 2,000 of them are 4 standard deviations.
	if p := McNemar(499_000, 501_000); math.Abs(p-2*numeric.NormalCDF(-1.999)) > 1e-5 {
		t.Errorf("p = %v", p)
	}
}

// answers is a row of + (right) and - (wrong).
func answers(s string) []bool {
	var c []bool
	for _, r := range s {
		c = append(c, r == '+')
	}
	return c
}

func TestChooseCallsTiesTies(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    []Candidate
		best string
		ties []string
	}{
		{"equal accuracy: lower loss", []Candidate{{"a", answers("++++-"), 0.3}, {"b", answers("-++++"), 0.2}, {"c", answers("++++-"), 0.4}}, "b", []string{"a", "c"}},
		{"higher accuracy beats lower loss", []Candidate{{"a", answers("+++--"), 0.1}, {"b", answers("++++-"), 0.9}}, "b", []string{"a"}},
		{"five rows are not enough", []Candidate{{"a", answers("+++++ +"), 1}, {"b", answers("----- +"), 1}}, "a", []string{"b"}},
		{"six rows are", []Candidate{{"a", answers("++++++ +"), 1}, {"b", answers("------ +"), 1}}, "a", nil},
		{"all the same: the first", []Candidate{{"a", answers("++"), 1}, {"b", answers("++"), 1}}, "a", []string{"b"}},
		{"NaN loss is worst", []Candidate{{"a", answers("++"), math.NaN()}, {"b", answers("++"), 9}}, "b", []string{"a"}},
		{"one", []Candidate{{"a", answers("++"), 1}}, "a", nil},
	} {
		c, err := Choose(tt.c)
		if err != nil {
			t.Fatal(err)
		}
		if c.Name != tt.best || tt.c[c.Best].Name != tt.best || !slices.Equal(c.Ties(), tt.ties) {
			t.Errorf("%s: chose %s with ties %v, want %s with %v", tt.name, c.Name, c.Ties(), tt.best, tt.ties)
		}
		if c.Why == "" {
			t.Errorf("%s: no reason", tt.name)
		}
	}
	if _, err := Choose(nil); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("no candidates: %v", err)
	}
	if _, err := Choose([]Candidate{{"a", answers("++"), 1}, {"b", answers("+"), 1}}); err == nil || !strings.Contains(err.Error(), "same rows") {
		t.Errorf("other rows: %v", err)
	}
}

func logits(rows ...[]float32) *tensor.Matrix {
	m := tensor.NewPadded(len(rows), len(rows[0]))
	for i, r := range rows {
		copy(m.Row(i), r)
	}
	return m
}

func TestLossesFromLogitsKeepTheirDigits(t *testing.T) {
	o, err := FromLogits(logits([]float32{40, 0}, []float32{0, 1000}, []float32{3, 3}), []int32{0, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	// Probability 1 - 4e-18 has a loss, and probability 0 a finite one.
	for i, want := range []float64{0, 1000, math.Ln2} {
		if math.Abs(o.Losses[i]-want) > 1e-15*math.Max(want, 1) {
			t.Errorf("loss of row %d is %v, want %v", i, o.Losses[i], want)
		}
	}
	if o.Predicted[0] != 0 || o.Predicted[1] != 1 || o.Predicted[2] != 0 {
		t.Errorf("predicted %v", o.Predicted)
	}
}

func TestOutcomesRefuseWhatCannotBe(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, f := range map[string]func() error{
		"a NaN output":       func() error { _, err := FromLogits(logits([]float32{nan, 0}), []int32{0}); return err },
		"an infinite output": func() error { _, err := FromLogits(logits([]float32{0, inf}), []int32{0}); return err },
		"a class too many":   func() error { _, err := FromLogits(logits([]float32{0, 1}), []int32{2}); return err },
		"a negative class":   func() error { _, err := FromLogits(logits([]float32{0, 1}), []int32{-1}); return err },
		"a row too many":     func() error { _, err := FromLogits(logits([]float32{0, 1}), []int32{0, 1}); return err },
		"one class":          func() error { _, err := FromLogits(logits([]float32{0}), []int32{0}); return err },
		"odd probabilities":  func() error { _, err := FromProbabilities([]float64{0.5, 0.5, 1}, 2, []int32{0}); return err },
		"negative ones":      func() error { _, err := FromProbabilities([]float64{-0.5, 1.5}, 2, []int32{0}); return err },
		"NaN ones":           func() error { _, err := FromProbabilities([]float64{math.NaN(), 1}, 2, []int32{0}); return err },
		"no rows": func() error {
			o, err := FromProbabilities(nil, 2, nil)
			if err != nil {
				return nil
			}
			_, err = NewReport("test", []string{"a", "b"}, nil, o, 1)
			return err
		},
		"labels that are missing": func() error {
			o, _ := FromProbabilities([]float64{0.5, 0.5}, 2, []int32{0})
			_, err := NewReport("test", []string{"a"}, []int64{0}, o, 1)
			return err
		},
	} {
		if err := f(); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// fakeOutcomes are rows of a classifier that is right most of the time.
func fakeOutcomes(t testing.TB, n, classes int, seed uint64) (Outcomes, []int64, []string) {
	s := numeric.NewStream(seed, "test")
	m, y, rows := tensor.New(n, classes), make([]int32, n), make([]int64, n)
	for i := range y {
		y[i], rows[i] = int32(s.IntN(classes)), int64(7*i+3)
		for j := range classes {
			m.Row(i)[j] = float32(s.Normal())
		}
		m.Row(i)[y[i]] += 2
	}
	o, err := FromLogits(m, y)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, classes)
	for i := range names {
		names[i] = string(rune('a' + i))
	}
	return o, rows, names
}

func TestAReportIsTheSameBytesAgainAndReadsBack(t *testing.T) {
	o, rows, names := fakeOutcomes(t, 60, 3, 1)
	var first []byte
	for range 3 {
		r, err := NewReport("test", names, rows, o, 42)
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		}
		if !bytes.Equal(b, first) {
			t.Fatal("the second report differs")
		}
		var back Report
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if again, _ := back.JSON(); !bytes.Equal(again, b) {
			t.Errorf("reading and writing changes the report:\n%s\n%s", b, again)
		}
	}
	r, _ := NewReport("test", names, rows, o, 43)
	if b, _ := r.JSON(); bytes.Equal(b, first) {
		t.Error("another seed gives the same intervals")
	}
}

func TestAReportAddsUp(t *testing.T) {
	o, rows, names := fakeOutcomes(t, 200, 4, 2)
	r, err := NewReport("val", names, rows, o, 42)
	if err != nil {
		t.Fatal(err)
	}
	c := o.Confusion()
	if r.N != 200 || r.Accuracy.Value != c.Accuracy() || r.MacroF1.Value != c.MacroF1() || r.Loss.Value != o.LogLoss() || r.Accuracy.Split != "val" {
		t.Errorf("report %+v", r)
	}
	for _, s := range []Score{r.Accuracy, r.Loss, r.MacroF1, r.BalancedAccuracy, r.MCC, r.Brier} {
		if !(s.Low < s.Value && s.Value < s.High) || s.N != 200 {
			t.Errorf("%s: %v not within %v–%v", s.Metric, s.Value, s.Low, s.High)
		}
	}
	for k, p := range r.PerClass {
		if p.Support != c.Support(k) || p.Recall.N != p.Support || p.Recall.Value != c.Recall(k) || p.Precision.Value != c.Precision(k) {
			t.Errorf("class %s: %+v", p.Class, p)
		}
	}
	if len(r.Hardest) != 10 {
		t.Fatalf("%d hard rows", len(r.Hardest))
	}
	worst := slices.Max(o.Losses)
	if float64(r.Hardest[0].Loss) != worst {
		t.Errorf("hardest row has loss %v, want %v", r.Hardest[0].Loss, worst)
	}
	for i, h := range r.Hardest {
		at := slices.Index(rows, h.Row)
		if at < 0 || float64(h.Loss) != o.Losses[at] || names[o.True[at]] != h.True || names[o.Predicted[at]] != h.Predicted || i > 0 && h.Loss > r.Hardest[i-1].Loss {
			t.Errorf("hard row %+v", h)
		}
	}
}

func TestPerfectRowsGiveNoBootstrapIntervalButAWilsonOne(t *testing.T) {
	o, err := FromProbabilities([]float64{0.9, 0.1, 0.2, 0.8, 0.7, 0.3, 0.1, 0.9}, 2, []int32{0, 1, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReport("test", []string{"a", "b"}, []int64{0, 1, 2, 3}, o, 1)
	if err != nil {
		t.Fatal(err)
	}
	if r.MacroF1.HasInterval() || r.MacroF1.Value != 1 || !r.Accuracy.HasInterval() || r.Accuracy.Low > 0.52 || !r.Loss.HasInterval() {
		t.Errorf("macro F1 %v, accuracy %v, loss %v", r.MacroF1, r.Accuracy, r.Loss)
	}
}

func TestAClassWithoutRowsIsNotDefinedRatherThanWrong(t *testing.T) {
	o, err := FromProbabilities([]float64{0.6, 0.3, 0.1, 0.2, 0.7, 0.1}, 3, []int32{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewReport("test", []string{"a", "b", "c"}, []int64{5, 6}, o, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if r.PerClass[2].Recall.String() != "no rows" || r.MacroF1.Value != 1 || r.ROCAUC.Value == r.ROCAUC.Value || !strings.Contains(string(b), `"value": null`) {
		t.Errorf("report %s", b)
	}
}

// The interval should hold the true value about 95 times in 100.
func TestBootstrapIntervalsCoverTheTruth(t *testing.T) {
	if testing.Short() {
		t.Skip("draws 300 samples")
	}
	big, rows, names := fakeOutcomes(t, 400_000, 3, 9)
	truth, f1 := big.LogLoss(), big.Confusion().MacroF1()
	_, _ = rows, names
	inLoss, inF1 := 0, 0
	const trials = 300
	for i := range trials {
		o, _, _ := fakeOutcomes(t, 80, 3, uint64(1000+i))
		b := newBootstrap(o.Len(), uint64(i))
		b.Resamples = 500
		low, high := b.intervals(o)
		if low[0] <= truth && truth <= high[0] {
			inLoss++
		}
		if low[2] <= f1 && f1 <= high[2] {
			inF1++
		}
	}
	t.Logf("loss %d, macro F1 %d of %d", inLoss, inF1, trials)
	if inLoss < 270 || inF1 < 270 {
		t.Errorf("intervals hold the truth %d (loss) and %d (macro F1) times of %d", inLoss, inF1, trials)
	}
}

func TestAUCIsTheShareOfPairsInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Scored {
			return Scored{rapid.Bool().Draw(t, "positive"), float64(rapid.IntRange(0, 5).Draw(t, "score")) / 5}
		}), 1, 40).Draw(t, "rows")
		pairs, sum := 0, 0.0
		for _, p := range rows {
			for _, n := range rows {
				if p.Positive && !n.Positive {
					pairs++
					if p.Score > n.Score {
						sum++
					} else if p.Score == n.Score {
						sum += 0.5
					}
				}
			}
		}
		got, want := AUC(rows), sum/float64(pairs)
		if got != want && !(got != got && want != want) {
			t.Fatalf("AUC %v, want %v", got, want)
		}
		// The trapezoids under the curve have the same area.
		if fp, tp := ROC(rows); pairs > 0 {
			area := 0.0
			for i := 1; i < len(fp); i++ {
				area += (fp[i] - fp[i-1]) * (tp[i] + tp[i-1]) / 2
			}
			if math.Abs(area-want) > 1e-12 {
				t.Fatalf("area %v, want %v", area, want)
			}
		}
	})
}

func BenchmarkReport(b *testing.B) {
	for _, n := range []int{18, 1000, 100_000} {
		o, rows, names := fakeOutcomes(b, n, 3, 1)
		b.Run(map[int]string{18: "18 rows", 1000: "1000 rows", 100_000: "100000 rows"}[n], func(b *testing.B) {
			for range b.N {
				if _, err := NewReport("test", names, rows, o, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The bytes of a report must not depend on the processor: this digest holds on
// all of them.
func TestAReportHasTheSameBytesOnEveryProcessor(t *testing.T) {
	o, rows, names := fakeOutcomes(t, 60, 3, 1)
	r, err := NewReport("test", names, rows, o, 42)
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	const want = "8500360e621bf197d2721b0cefe737b2b1fb947bd0a6246c1106a85df39ffb1c"
	if got := fmt.Sprintf("%x", sha256.Sum256(b)); got != want {
		t.Errorf("SHA-256 of the report is %s, want %s:\n%s", got, want, b)
	}
}
