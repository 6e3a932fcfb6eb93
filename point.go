package solera

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// A Point is one value of one metric at one step of a run.
type Point struct {
	Key   string  // such as "val/loss"; 1 to 1,024 bytes of UTF-8
	Step  int64   // epoch or batch, as the run counts; may repeat and go back
	Value float64 // NaN and infinities are values too; a store may return -0 as 0
	Time  Micros  // when the run recorded it
}

type pointJSON struct {
	Key   string          `json:"key"`
	Step  int64           `json:"step"`
	Value json.RawMessage `json:"value"`
	Time  Micros          `json:"time"`
}

// MarshalJSON writes NaN as null and the infinities as "Infinity" and
// "-Infinity", because JSON has no numbers for them and a chart must tell them
// apart.
func (p Point) MarshalJSON() ([]byte, error) {
	value := strconv.AppendFloat(nil, p.Value, 'g', -1, 64)
	switch {
	case math.IsNaN(p.Value):
		value = []byte("null")
	case math.IsInf(p.Value, 1):
		value = []byte(`"Infinity"`)
	case math.IsInf(p.Value, -1):
		value = []byte(`"-Infinity"`)
	}
	return json.Marshal(pointJSON{p.Key, p.Step, value, p.Time})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (p *Point) UnmarshalJSON(b []byte) error {
	var raw pointJSON
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*p = Point{Key: raw.Key, Step: raw.Step, Time: raw.Time}
	switch s := string(raw.Value); s {
	case "null", "":
		p.Value = math.NaN()
	case `"Infinity"`:
		p.Value = math.Inf(1)
	case `"-Infinity"`:
		p.Value = math.Inf(-1)
	default:
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fmt.Errorf("point %s: %w: value %s", clip(raw.Key), ErrInvalid, clip(s))
		}
		p.Value = v
	}
	return nil
}

// SeriesQuery chooses the points of one metric of one run.
type SeriesQuery struct {
	Run RunID
	Key string
	// Steps restricts to a range of steps, both ends included; nil = all.
	Steps *StepRange
	// Pixels thins to what a chart of that width can show: the steps asked for
	// (or those that there are) are cut into so many equal parts, and of each
	// part the first, the lowest, the highest and the last point are kept, so
	// that no spike is lost. A NaN is kept when it is the first or last, and
	// when a part has no number. What has at most 4 × Pixels points comes
	// whole. 0 = every point.
	Pixels int
}

// A StepRange is the steps From ≤ step ≤ To.
type StepRange struct{ From, To int64 }
