package transform

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// An encoder is the fitted step that makes features of a category or a date.
type encoder struct {
	Kind string `json:"step"` // one_hot, ordinal, date_parts
	// Levels that the training rows hold, in order: one feature each for
	// one_hot, the numbers 0, 1, … for ordinal.
	Levels []string `json:"levels,omitempty"`
	// Other: one_hot has a last feature for the levels beyond max_categories,
	// which also takes what was never seen. Without it the unseen is all zeros.
	Other bool `json:"other,omitempty"`
	// Missing: one_hot has a feature for missing values.
	Missing bool `json:"missing,omitempty"`
	// DropFirst: the first level has no feature; it is the one that all zeros mean.
	DropFirst bool `json:"drop_first,omitempty"`
	// Origin of date_parts: the earliest training value, in seconds since 1970 UTC.
	Origin float64 `json:"origin,omitempty"`
	// Parts of date_parts, one feature each.
	Parts []string `json:"parts,omitempty"`
}

// The parts of a date, all in UTC. Those that the training rows show only one
// value of are left out.
const (
	partElapsed = "elapsed" // days since the earliest training value
	partYear    = "year"
	partMonth   = "month"   // 1 to 12
	partDay     = "day"     // of the month, 1 to 31
	partWeekday = "weekday" // 0 is Monday, 6 is Sunday
	partHour    = "hour"    // with its fraction, 0 to below 24
)

func dateParts() []string {
	return []string{partElapsed, partYear, partMonth, partDay, partWeekday, partHour}
}

// part returns one part of a time in seconds since 1970 UTC; NaN for NaN and
// for times that no calendar holds.
func (e *encoder) part(name string, seconds float64) float64 {
	const limit = 1 << 40 // ±34,000 years; the conversion to int64 is exact
	if !(math.Abs(seconds) < limit) {
		return math.NaN()
	}
	if name == partElapsed {
		return (seconds - e.Origin) / 86400
	}
	whole := math.Floor(seconds)
	t := time.Unix(int64(whole), 0).UTC()
	switch name {
	case partYear:
		return float64(t.Year())
	case partMonth:
		return float64(t.Month())
	case partDay:
		return float64(t.Day())
	case partWeekday:
		return float64((int(t.Weekday()) + 6) % 7)
	}
	within := t.Hour()*3600 + t.Minute()*60 + t.Second()
	return (float64(within) + (seconds - whole)) / 3600
}

// fitLevels learns a one_hot or ordinal encoder from level counts. levels are
// sorted; a level with count 0 was not in the training rows. missing is the
// number of training rows that stay missing.
func fitLevels(s Step, levels []string, counts []int) encoder {
	e := encoder{Kind: s.Name}
	var seen []int
	for i, n := range counts {
		if n > 0 {
			seen = append(seen, i)
		}
	}
	if s.Name == "one_hot" {
		e.DropFirst = s.flag("drop_first", false)
		e.Missing = s.text("missing", "zeros") == "category"
		most := int(s.number("max_categories", DefaultCategories))
		if len(seen) > most {
			// The commonest keep their feature, the earlier level among equals.
			slices.SortStableFunc(seen, func(a, b int) int { return cmp.Compare(counts[b], counts[a]) })
			seen = seen[:most-1]
			slices.Sort(seen)
			e.Other = true
		}
	}
	for _, i := range seen {
		e.Levels = append(e.Levels, levels[i])
	}
	return e
}

// What a value becomes: the index of its feature (one_hot) or its number
// (ordinal), or one of these.
const (
	allZeros = -1 // one_hot: unseen, missing, or the dropped first level
	unknown  = -1 // ordinal: unseen or missing
)

// lookup returns, for each of a column's levels, what it becomes, and what a
// missing value becomes.
func (e *encoder) lookup(levels []string) (of []int32, missing int32) {
	at := make(map[string]int32, len(e.Levels))
	for i, level := range e.Levels {
		at[level] = int32(i)
	}
	shift := int32(0)
	if e.DropFirst {
		shift = 1 // index 0 turns into allZeros
	}
	n := int32(len(e.Levels)) - shift
	unseen := int32(allZeros)
	if e.Other {
		unseen = n
		n++
	}
	missing = allZeros
	if e.Missing {
		missing = n
	}
	of = make([]int32, len(levels))
	for i, level := range levels {
		if k, ok := at[level]; ok {
			of[i] = k - shift
		} else {
			of[i] = unseen
		}
	}
	return of, missing
}

// suffixes returns what follows the column's name in each feature's name.
func (e *encoder) suffixes() []string {
	switch e.Kind {
	case "ordinal":
		return []string{""}
	case "date_parts":
		out := make([]string, len(e.Parts))
		for i, p := range e.Parts {
			out[i] = "_" + p
		}
		return out
	}
	var out []string
	for i, level := range e.Levels {
		if i > 0 || !e.DropFirst {
			out = append(out, "="+level)
		}
	}
	if e.Other {
		out = append(out, "=other")
	}
	if e.Missing {
		out = append(out, "=missing")
	}
	return out
}

// check refuses what no fit makes and no file may hold.
func (e *encoder) check() error {
	switch e.Kind {
	case "one_hot", "ordinal":
		if !slices.IsSorted(e.Levels) || len(slices.Compact(slices.Clone(e.Levels))) != len(e.Levels) {
			return fmt.Errorf("%s needs ascending levels, each once", e.Kind)
		}
		if e.Kind == "ordinal" && (e.Other || e.Missing || e.DropFirst) {
			return errors.New("ordinal takes no other, missing or drop_first")
		}
		if e.DropFirst && len(e.Levels) == 0 {
			return errors.New("one_hot has no first level to drop")
		}
		if e.Origin != 0 || e.Parts != nil {
			return fmt.Errorf("%s takes no origin or parts", e.Kind)
		}
		return nil
	case "date_parts":
		if e.Levels != nil || e.Other || e.Missing || e.DropFirst {
			return errors.New("date_parts takes no levels")
		}
		if math.Abs(e.Origin) > 1<<40 {
			return fmt.Errorf("date_parts has origin %v: no calendar holds it", e.Origin)
		}
		known, at := dateParts(), 0
		for _, p := range e.Parts {
			i := slices.Index(known[at:], p)
			if i < 0 {
				return fmt.Errorf("date_parts has part %s, want each of %v at most once, in this order", show(p), known)
			}
			at += i + 1
		}
		return nil
	}
	return fmt.Errorf("unknown encoder %s", show(e.Kind))
}
