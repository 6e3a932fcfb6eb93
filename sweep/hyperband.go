package sweep

import (
	"fmt"
	"math"
	"slices"

	"github.com/solera-ml/solera"
)

// A Hyperband stops trials that do worse than others did at the same age, by
// successive halving (Li et al. 2018, Hyperband: a novel bandit-based approach
// to hyperparameter optimization). The age of a trial is how many values of the
// sweep's metric it has recorded. At each band the best 1/Eta of all trials go
// on.
type Hyperband struct {
	Bands []int64 // ages at which trials are compared, ascending
	Eta   float64
	// Strict compares the value at the band; without it a trial is judged by the
	// best it has reached so far.
	Strict bool
}

// maxBands is how many bands a hyperband without an end has. With the default
// Eta the last is beyond any training.
const maxBands = 100

func parseHyperband(section any) (*Hyperband, error) {
	fault := func(format string, args ...any) (*Hyperband, error) {
		return nil, fmt.Errorf("early_terminate: %w: %s", solera.ErrInvalid, fmt.Sprintf(format, args...))
	}
	form, ok := object(section)
	if !ok {
		return fault("it is %s; write {type: hyperband, min_iter: 3}", describe(section))
	}
	if kind, _ := form["type"].(string); kind != "hyperband" {
		return fault("type is %s, want hyperband", describe(form["type"]))
	}
	numbers := map[string]float64{"eta": 3}
	for _, field := range []string{"max_iter", "min_iter", "s", "eta"} {
		v, ok := form[field]
		if !ok {
			continue
		}
		x, ok := number(v)
		if !ok || field != "eta" && (x != math.Trunc(x) || x < 1 || x > maxWhole) {
			return fault("%s is %s, want a whole number of 1 and more", field, describe(v))
		}
		numbers[field] = x
	}
	h := &Hyperband{Eta: numbers["eta"], Strict: true}
	if v, ok := form["strict"]; ok {
		if h.Strict, ok = v.(bool); !ok {
			return fault("strict is %s, want true or false", describe(v))
		}
	}
	if h.Eta <= 1 {
		return fault("eta is %v, want more than 1", h.Eta)
	}
	if most, ok := numbers["max_iter"]; ok {
		s, ok := numbers["s"]
		if !ok {
			return fault("max_iter needs s, the number of bands before it")
		}
		for range int(min(s, maxBands)) {
			if most /= h.Eta; most < 1 {
				break
			}
			h.Bands = append(h.Bands, int64(most))
		}
		slices.Sort(h.Bands)
	} else if band, ok := numbers["min_iter"]; ok {
		for i := 0; i < maxBands && band <= maxWhole; i++ {
			h.Bands = append(h.Bands, int64(band))
			band *= h.Eta
		}
	} else {
		return fault("it needs min_iter, or max_iter and s")
	}
	// A small eta reaches one whole number several times.
	if h.Bands = slices.Compact(h.Bands); len(h.Bands) == 0 {
		return fault("it has no band: raise max_iter or lower eta")
	}
	return h, nil
}

// at returns the values of a history at the bands that it has reached. A
// history has a trial's finite values in the order of recording.
func (h *Hyperband) at(history []float64) []float64 {
	var values []float64
	for _, band := range h.Bands {
		if band > int64(len(history)) {
			break
		}
		values = append(values, history[band-1])
	}
	return values
}

// A standing is what hyperband knows of a trial. Lower is better.
type standing struct {
	bands []float64 // see at
	best  float64   // the lowest value so far
}

// tooBad reports whether a trial that stands so should be stopped, with the
// band and the threshold that it misses. others are all trials of the sweep,
// itself included.
func (h *Hyperband) tooBad(s standing, others []standing) (band int64, threshold float64, stop bool) {
	k := len(s.bands) - 1
	if k < 0 {
		return 0, 0, false
	}
	var values []float64
	for _, o := range others {
		if len(o.bands) > k {
			values = append(values, o.bands[k])
		}
	}
	slices.Sort(values)
	threshold = math.Inf(1)
	if len(values) > 0 {
		threshold = values[int(1/h.Eta*float64(len(values)))]
	}
	value := s.best
	if h.Strict {
		value = s.bands[k]
	}
	return h.Bands[k], threshold, value > threshold
}
