package sweep

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// Ways of choosing the params of trials.
const (
	Grid   = "grid"   // every combination once, in order
	Random = "random" // each trial drawn by itself
	Bayes  = "bayes"  // where a model of the trials so far expects the most
	Custom = "custom" // whoever made the sweep says the params of each trial
)

// A Spec says what a sweep searches, and how.
type Spec struct {
	Name        string
	Description string
	Method      string
	Metric      Metric
	Space       Space      // empty for a Custom sweep that does not say
	Early       *Hyperband // nil = no trial is stopped early
	RunCap      int        // the most trials that are handed out; 0 = no limit
	Seed        *uint64    // nil = from the sweep's identifier
	Local       bool       // the program that made the sweep schedules its trials
}

// A Metric is what a sweep looks at.
type Metric struct {
	Name     string // "" = nothing
	Maximize bool
	// Target ends the sweep once a trial reaches it; nil = never.
	Target *float64
	// Impute says what Bayesian search takes for a trial that failed: "worst" of
	// all trials, the "best" or the "latest" value of its own.
	Impute string
	// WhileRunning is Impute for trials that are under way; "" = they have no value.
	WhileRunning string
}

// better reports whether a is a better value than b.
func (m Metric) better(a, b float64) bool {
	if m.Maximize {
		return a > b
	}
	return a < b
}

// reached reports whether a value ends the sweep.
func (m Metric) reached(x float64) bool {
	return m.Target != nil && !math.IsNaN(x) && (x == *m.Target || m.better(x, *m.Target))
}

// Keys of a configuration that are read here, and those that are for the
// program that runs the trials.
var (
	ownKeys   = []string{"method", "parameters", "metric", "early_terminate", "run_cap", "seed", "name", "description", "controller", "scheduler", "metrics"}
	otherKeys = []string{"program", "command", "entity", "project", "job", "image_uri", "apiVersion", "kind", "template_variables", "launch", "_wandb", "settings"}
)

// Parse reads the configuration of a sweep, as a tree of JSON values. Numbers
// that are json.Number tell 1 from 1.0. In the section "parameters" it writes
// the distributions that bounds and values only imply. Errors are ErrInvalid and
// name the place; warnings tell what will surprise.
func Parse(config solera.Fields) (spec Spec, warnings []string, err error) {
	warn := func(s string) { warnings = append(warnings, s) }
	if spec.Method, err = text(config, "method"); err != nil {
		return spec, nil, err
	}
	switch spec.Method {
	case Grid, Random, Bayes, Custom:
	case "":
		return spec, nil, fmt.Errorf("method: %w: it is missing; want grid, random or bayes", solera.ErrInvalid)
	default:
		return spec, nil, fmt.Errorf("method %s: %w: want grid, random or bayes", clip(spec.Method), solera.ErrInvalid)
	}
	for _, key := range slices.Sorted(maps.Keys(config)) {
		if !slices.Contains(ownKeys, key) && !slices.Contains(otherKeys, key) {
			warn(fmt.Sprintf("%s is not known and does nothing", clip(key)))
		}
	}
	if spec.Name, err = text(config, "name"); err != nil {
		return spec, nil, err
	}
	if spec.Description, err = text(config, "description"); err != nil {
		return spec, nil, err
	}
	if spec.RunCap, err = spec.readCap(config); err != nil {
		return spec, nil, err
	}
	if spec.Seed, err = readSeed(config); err != nil {
		return spec, nil, err
	}
	if spec.Metric, err = readMetric(config); err != nil {
		return spec, nil, err
	}
	if err := spec.readController(config); err != nil {
		return spec, nil, err
	}
	if v, ok := config["parameters"]; ok {
		section, ok := object(v)
		if !ok {
			return spec, nil, fmt.Errorf("parameters: %w: it is %s, want a map from names to what each may be", solera.ErrInvalid, describe(v))
		}
		if spec.Space, err = parseSpace(section, warn); err != nil {
			return spec, nil, err
		}
	} else if spec.Method != Custom {
		return spec, nil, fmt.Errorf("parameters: %w: it is missing; name what is searched, as in parameters: {lr: {min: 0.0001, max: 0.1}}", solera.ErrInvalid)
	}
	if v, ok := config["early_terminate"]; ok && v != nil {
		if spec.Early, err = parseHyperband(v); err != nil {
			return spec, nil, err
		}
	}
	return spec, warnings, spec.fits(warn)
}

// fits looks at what one section asks of another.
func (s Spec) fits(warn func(string)) error {
	switch {
	case s.Early != nil && s.Metric.Name == "":
		return fmt.Errorf("early_terminate: %w: it compares trials by a metric; add metric: {name: …, goal: minimize}", solera.ErrInvalid)
	case s.Method == Bayes && s.Metric.Name == "":
		return fmt.Errorf("method bayes: %w: it needs to know what is good; add metric: {name: …, goal: minimize}", solera.ErrInvalid)
	case s.Method == Bayes && len(s.Space.searched()) == 0:
		return fmt.Errorf("method bayes: %w: every parameter is a constant; give one of them min and max, or values", solera.ErrInvalid)
	case s.Method == Custom && !s.Local:
		return fmt.Errorf("method custom: %w: nobody would choose the trials; add controller: {type: local} and run it with the program that does, or take grid, random or bayes", solera.ErrInvalid)
	}
	if s.Method == Grid {
		_, err := s.Space.GridSize()
		return err
	}
	if s.RunCap == 0 && len(s.Space.searched()) == 0 && s.Method == Random {
		warn("every parameter is a constant, so all trials are alike; set run_cap")
	}
	return nil
}

// Expected returns how many trials there will be; 0 = nobody knows.
func (s Spec) Expected() int64 {
	size := int64(0)
	if s.Method == Grid {
		size, _ = s.Space.GridSize()
	}
	if limit := int64(s.RunCap); limit > 0 && (size == 0 || limit < size) {
		size = limit
	}
	return size
}

func text(config solera.Fields, key string) (string, error) {
	switch v := config[key].(type) {
	case nil:
		return "", nil
	case string:
		if len(v) > 10_000 {
			return "", fmt.Errorf("%s: %w: %d bytes, at most 10,000 are allowed", key, solera.ErrInvalid, len(v))
		}
		return v, nil
	case json.Number:
		return v.String(), nil // name: 2024
	default:
		return "", fmt.Errorf("%s: %w: it is %s, want a text", key, solera.ErrInvalid, describe(v))
	}
}

func (s Spec) readCap(config solera.Fields) (int, error) {
	v, ok := config["run_cap"]
	if !ok || v == nil {
		return 0, nil
	}
	x, ok := number(v)
	if !ok || x != math.Trunc(x) || x < 1 || x > 1e9 {
		return 0, fmt.Errorf("run_cap: %w: it is %s, want a whole number from 1 on", solera.ErrInvalid, describe(v))
	}
	return int(x), nil
}

func readSeed(config solera.Fields) (*uint64, error) {
	v, ok := config["seed"]
	if !ok || v == nil {
		return nil, nil
	}
	x, ok := number(v)
	if !ok || x != math.Trunc(x) || x < 0 || x > maxWhole {
		return nil, fmt.Errorf("seed: %w: it is %s, want a whole number of 0 and more", solera.ErrInvalid, describe(v))
	}
	seed := uint64(x)
	return &seed, nil
}

func readMetric(config solera.Fields) (Metric, error) {
	m := Metric{Impute: "worst"}
	v, ok := config["metric"]
	if !ok || v == nil {
		if v, ok := config["metrics"]; ok {
			return m, fmt.Errorf("metrics: %w: a search for several goals at once is not offered; name the one that counts as metric (metrics is %s)", solera.ErrInvalid, describe(v))
		}
		return m, nil
	}
	fault := func(format string, args ...any) (Metric, error) {
		return m, fmt.Errorf("metric: %w: %s", solera.ErrInvalid, fmt.Sprintf(format, args...))
	}
	form, ok := object(v)
	if !ok {
		return fault("it is %s; write {name: loss, goal: minimize}", describe(v))
	}
	for _, key := range slices.Sorted(maps.Keys(form)) {
		v := form[key]
		word, isText := v.(string)
		switch key {
		case "name":
			if !isText || word == "" {
				return fault("name is %s, want the name of a metric that the trials record", describe(v))
			}
			if m.Name = word; len(word) > 1024 {
				return fault("name has %d bytes, want at most 1024", len(word))
			}
		case "goal":
			if word != "minimize" && word != "maximize" {
				return fault("goal is %s, want minimize or maximize", describe(v))
			}
			m.Maximize = word == "maximize"
		case "target":
			x, ok := number(v)
			if !ok {
				return fault("target is %s, want a finite number", describe(v))
			}
			m.Target = &x
		case "impute":
			if !slices.Contains([]string{"worst", "best", "latest"}, word) {
				return fault("impute is %s, want worst, best or latest", describe(v))
			}
			m.Impute = word
		case "impute_while_running":
			if v == false {
				word = "false"
			}
			if !slices.Contains([]string{"worst", "best", "latest", "false"}, word) {
				return fault("impute_while_running is %s, want worst, best, latest or false", describe(v))
			}
			if m.WhileRunning = word; word == "false" {
				m.WhileRunning = ""
			}
		default:
			return fault("%s is not known; there are name, goal, target, impute and impute_while_running", clip(key))
		}
	}
	if m.Name == "" {
		return fault("it has no name")
	}
	return m, nil
}

func (s *Spec) readController(config solera.Fields) error {
	if v, ok := config["scheduler"]; ok && v != nil {
		return fmt.Errorf("scheduler: %w: schedulers of other libraries are not run here; take method grid, random or bayes, or controller: {type: local}", solera.ErrInvalid)
	}
	v, ok := config["controller"]
	if !ok || v == nil {
		return nil
	}
	kind, isText := v.(string)
	if form, ok := object(v); ok {
		kind, isText = form["type"].(string)
	}
	if kind = strings.ToLower(kind); !isText || kind != "local" && kind != "cloud" {
		return fmt.Errorf("controller: %w: it is %s, want {type: cloud} or {type: local}", solera.ErrInvalid, describe(v))
	}
	s.Local = kind == "local"
	return nil
}
