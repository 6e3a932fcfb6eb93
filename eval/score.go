package eval

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/solera-ml/solera/numeric"
)

// Level is the confidence of every interval.
const Level = 0.95

// The names of metrics.
const (
	Accuracy         = "accuracy"
	Loss             = "loss"
	MacroF1          = "macro_f1"
	BalancedAccuracy = "balanced_accuracy"
	MCC              = "mcc"
	Brier            = "brier"
	ROCAUC           = "roc_auc"
	Precision        = "precision"
	Recall           = "recall"
	F1               = "f1"
)

// A Score is a number with the rows that it rests on and its 95 % interval.
// NaN stands for what these rows cannot tell: in Value if there are none, in
// Low and High if there is no honest interval. In JSON it is null.
type Score struct {
	Metric string  // such as Accuracy
	Split  string  // "train", "val" or "test"
	Value  float64 // a share is between 0 and 1
	N      int     // rows
	Low    float64 // of the interval
	High   float64
}

// Wilson returns the 95 % score interval of a share of hits among n rows
// (Wilson, 1927; recommended by Brown, Cai and DasGupta, 2001). Without rows it
// is 0 to 1.
func Wilson(hits, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	z := numeric.NormalQuantile(0.5 + Level/2)
	z2, rows, p := float64(z*z), float64(n), float64(hits)/float64(n)
	centre := p + z2/(2*rows)
	half := float64(z * math.Sqrt(float64(p*(1-p))/rows+z2/(4*float64(rows*rows))))
	scale := 1 + z2/rows
	low, high = math.Max((centre-half)/scale, 0), math.Min((centre+half)/scale, 1)
	// The ends are exact, and rounding must not say otherwise.
	if hits == 0 {
		low = 0
	}
	if hits == n {
		high = 1
	}
	return low, high
}

// Share returns the score of hits among n rows with its Wilson interval.
func Share(metric, split string, hits, n int) Score {
	s := Score{Metric: metric, Split: split, Value: float64(hits) / float64(n), N: n}
	s.Low, s.High = Wilson(hits, n)
	return s
}

// isShare says whether the metric counts hits among rows.
func (s Score) isShare() bool {
	return s.Metric == Accuracy || s.Metric == Precision || s.Metric == Recall
}

// HasInterval says whether Low and High are known.
func (s Score) HasInterval() bool { return s.Low == s.Low && s.High == s.High }

// String returns a share as "18/18 = 100 %, 95 % CI 82–100 %", another score as
// "0.0123 (18 rows), 95 % CI 0.0041–0.0380".
func (s Score) String() string {
	if s.N == 0 {
		return "no rows"
	}
	if s.Value != s.Value {
		return fmt.Sprintf("not defined (%d rows)", s.N)
	}
	if s.isShare() {
		out := fmt.Sprintf("%.0f/%d = %s %%", s.Value*float64(s.N), s.N, percent(s.Value, s.N))
		if s.HasInterval() {
			out += fmt.Sprintf(", 95 %% CI %s–%s %%", percent(s.Low, s.N), percent(s.High, s.N))
		}
		return out
	}
	out := fmt.Sprintf("%s (%d rows)", short(s.Value), s.N)
	if s.HasInterval() {
		out += fmt.Sprintf(", 95 %% CI %s–%s", short(s.Low), short(s.High))
	}
	return out
}

// percent writes a share with as many decimals as n rows can support, and never
// rounds to 0 or 100 what is neither.
func percent(v float64, n int) string {
	decimals := 0
	for m := n; m >= 100 && decimals < 3; m /= 100 {
		decimals++
	}
	for ; ; decimals++ {
		s := strconv.FormatFloat(100*v, 'f', decimals, 64)
		if r, _ := strconv.ParseFloat(s, 64); decimals >= 6 || (r < 100 || v >= 1) && (r > 0 || v <= 0) {
			return s
		}
	}
}

// short writes a number with about 3 digits.
func short(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 0.001 || a >= 1e5) {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	if math.Abs(v) < 0.1 {
		return strconv.FormatFloat(v, 'f', 4, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// A Number is a float64 that is null in JSON where it is NaN or infinite, and
// NaN where JSON has null.
type Number float64

// MarshalJSON writes the shortest decimal that reads back to the same bits.
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); f-f != 0 {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON reads a number or null.
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

// scoreJSON is the form of a Score in JSON.
type scoreJSON struct {
	Metric string `json:"metric"`
	Split  string `json:"split"`
	Value  Number `json:"value"`
	N      int    `json:"n"`
	Low    Number `json:"low"`
	High   Number `json:"high"`
}

// MarshalJSON writes {"metric","split","value","n","low","high"}.
func (s Score) MarshalJSON() ([]byte, error) {
	return json.Marshal(scoreJSON{s.Metric, s.Split, Number(s.Value), s.N, Number(s.Low), Number(s.High)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Score) UnmarshalJSON(b []byte) error {
	var j scoreJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*s = Score{j.Metric, j.Split, float64(j.Value), j.N, float64(j.Low), float64(j.High)}
	return nil
}
