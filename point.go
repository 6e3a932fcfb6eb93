package solera

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
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

// An Item is a value other than a number that a run recorded at a step: a text,
// a list, the description of a picture. What the value means is the business of
// whoever recorded it.
type Item struct {
	N     int64           `json:"n"`     // 1, 2, 3 … within the run, in the order of recording; given by the store
	Key   string          `json:"key"`   // as that of a Point
	Step  int64           `json:"step"`  // as that of a Point
	Value json.RawMessage `json:"value"` // JSON in UTF-8, at most MaxItem bytes
	Time  Micros          `json:"time"`  // when the run recorded it
}

// MaxItem is the most bytes that the value of an item may have.
const MaxItem = 16 << 20

// Check reports ErrInvalid unless i is such as a run may record.
func (i Item) Check() error {
	if err := CheckKey(i.Key); err != nil {
		return err
	}
	if len(i.Value) > MaxItem {
		return fmt.Errorf("value of %s at step %d: %w: it has %d bytes, at most %d are allowed; keep it as a file of the run",
			clip(i.Key), i.Step, ErrInvalid, len(i.Value), MaxItem)
	}
	if !json.Valid(i.Value) || !utf8.Valid(i.Value) {
		return fmt.Errorf("value of %s at step %d: %w: it is no JSON in UTF-8", clip(i.Key), i.Step, ErrInvalid)
	}
	return nil
}

// CheckKey reports ErrInvalid unless key can name what a run records: 1 to 1,024
// bytes of UTF-8 without zero bytes.
func CheckKey(key string) error {
	if key == "" || len(key) > 1024 || !utf8.ValidString(key) || strings.IndexByte(key, 0) >= 0 {
		return fmt.Errorf("metric %s: %w: want 1 to 1024 bytes of UTF-8 without zero bytes", clip(key), ErrInvalid)
	}
	return nil
}

// ItemQuery chooses items of one run, in the order of their numbers; zero
// fields do not restrict.
type ItemQuery struct {
	Run   RunID
	Key   string
	Steps *StepRange // both ends included; nil = all
	After int64      // only items with a larger N
	Limit int        // 0 = all
}

// A Batch is what a run reports at once: all of it is stored, or nothing.
type Batch struct {
	Run    RunID
	Points []Point
	Items  []Item
	Lines  []Line // as for Console.Print
	// Summary takes the place of the run's Summary; nil leaves it. Runs are found
	// by it as after UpdateRun, but no entry of the audit log is written: a run
	// that is under way changes it at every step.
	Summary Fields
	Beat    bool // the run lives: see Store.Beat

	// A run whose process is elsewhere sends what it records over a network that
	// loses answers, so it sends some of it twice. Source names one of the streams
	// of lines that it sends, and the batch holds the lines From to From+Count-1 of
	// it, counted from 0. Where the store has other than From lines of that
	// source, the batch is ErrConflict and nothing of it is stored; so each line
	// is stored once. "" = not counted.
	Source string
	From   int64
	Count  int64
}

// Check reports ErrInvalid unless b is such as a store takes.
func (b Batch) Check() error {
	for i := range b.Points {
		if i == 0 || b.Points[i].Key != b.Points[i-1].Key {
			if err := CheckKey(b.Points[i].Key); err != nil {
				return err
			}
		}
	}
	for _, item := range b.Items {
		if err := item.Check(); err != nil {
			return err
		}
	}
	if b.Source == "" {
		if b.From != 0 || b.Count != 0 {
			return fmt.Errorf("batch: %w: it counts lines from %d, and names no source", ErrInvalid, b.From)
		}
		return nil
	}
	if err := CheckSource(b.Source); err != nil {
		return err
	}
	if b.From < 0 || b.Count < 0 || b.From > math.MaxInt64-b.Count {
		return fmt.Errorf("batch of %s: %w: %d lines from %d on", clip(b.Source), ErrInvalid, b.Count, b.From)
	}
	return nil
}

// CheckSource reports ErrInvalid unless s can be the Source of a batch: 1 to 256
// bytes of UTF-8 without control characters.
func CheckSource(s string) error {
	if s == "" || len(s) > 256 || !utf8.ValidString(s) || containsControl(s) {
		return fmt.Errorf("source %s: %w: want 1 to 256 bytes of UTF-8 without control characters", clip(s), ErrInvalid)
	}
	return nil
}
