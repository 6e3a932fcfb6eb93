package pipeline

import (
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/dataset"
	"github.com/solera-ml/solera/tracking"
)

// nameable tells whether a name can be part of an artifact's name, with room
// for what stands around it.
func nameable(name string) bool {
	return len(name) <= maxNamePart && solera.CheckName(name) == nil
}

// trained-PROJECT-model-EXPERIMENT must not be longer than [solera.MaxName].
const maxNamePart = (solera.MaxName - len("trained--model-")) / 2

const artifactNameHint = "use letters, digits and single . _ - and begin with a letter or digit (56 characters at most)"

// Fault returns the error that says what is wrong with the value of a key,
// such as data.target, experiments[1].batch_size or preprocess.numeric[0], and
// points at its place in the file: at the key itself, or at the nearest
// section round it, or for an experiment at the train section that it has the
// value from.
func (c *Config) Fault(key, msg, hint string) *solera.InputError {
	p := c.place(key)
	return &solera.InputError{File: c.file, Line: p.line, Col: p.col, Msg: msg, Hint: hint}
}

func (c *Config) place(key string) place {
	if p, ok := c.at[key]; ok {
		return p
	}
	if rest, ok := strings.CutPrefix(key, "experiments["); ok {
		if _, field, ok := strings.Cut(rest, "]."); ok {
			if p, ok := c.at["train."+field]; ok {
				return p
			}
		}
	}
	for key != "" {
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
		if p, ok := c.at[key]; ok {
			return p
		}
	}
	return place{}
}

// given tells whether the file says the value itself.
func (c *Config) given(key string) bool {
	_, ok := c.at[key]
	return ok
}

// resolve fills in the defaults that follow from other values and checks what
// a single value cannot show.
func (c *Config) resolve() error {
	for _, check := range []func() error{c.resolveData, c.resolveNames, c.resolveModel, c.resolveTrain, c.resolveRetention} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// Rules returns the retention as gc goes by it.
func (r Retention) Rules() tracking.Retention {
	rules := tracking.Retention{KeepRule: tracking.KeepRule{KeepVersions: r.KeepVersions, KeepDays: r.KeepDays}}
	for _, a := range r.Artifacts {
		rules.Artifacts = append(rules.Artifacts, tracking.ArtifactRetention{
			Pattern: a.Name, KeepRule: tracking.KeepRule{KeepVersions: a.KeepVersions, KeepDays: a.KeepDays},
		})
	}
	return rules
}

func (c *Config) resolveRetention() error {
	for i, a := range c.Retention.Artifacts {
		one := Retention{Artifacts: []KeepPattern{a}}
		if err := one.Rules().Check(); err != nil {
			return c.Fault(fmt.Sprintf("retention.artifacts[%d].name", i), fmt.Sprintf("%q is no pattern of names", short(a.Name)),
				`write a name, or name: "trained-*"`)
		}
	}
	return nil
}

func (c *Config) resolveData() error {
	d := &c.Data
	switch {
	case d.Source == "":
		return c.Fault("data.source", "data.source is missing", "name the table: data: {source: data.csv, target: COLUMN}, or source: sample:wine")
	case d.Target == "":
		return c.Fault("data.target", "data.target is missing", "name the column to predict: target: COLUMN")
	case strings.Contains(d.Source, "://"):
		return c.Fault("data.source", fmt.Sprintf("data.source is %q: addresses come with a later release", short(d.Source)), "download the file and give its path")
	}
	if name, ok := c.Sample(); ok && !slices.Contains(dataset.Names(), name) {
		return c.Fault("data.source", fmt.Sprintf("no sample is called %q", short(name)), suggest(name, dataset.Names()))
	}
	if d.Delimiter != "auto" && d.Delimiter != "tab" {
		r, n := utf8.DecodeRuneInString(d.Delimiter)
		if n != len(d.Delimiter) || r == utf8.RuneError || strings.ContainsRune("\"\r\n", r) {
			return c.Fault("data.delimiter", fmt.Sprintf("data.delimiter is %q, want one character, tab or auto", short(d.Delimiter)), `write delimiter: ";"`)
		}
	}
	for i, name := range d.Ignore {
		if name == d.Target {
			return c.Fault(fmt.Sprintf("data.ignore[%d]", i), fmt.Sprintf("the target %q is ignored", name), "remove it from ignore, or choose another target")
		}
	}
	s := &d.Split
	if sum := s.Train + s.Val + s.Test; math.Abs(sum-1) > 1e-9 {
		num := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
		return c.Fault("data.split", fmt.Sprintf("the split does not add up: train %s + val %s + test %s = %s, want 1",
			num(s.Train), num(s.Val), num(s.Test), strconv.FormatFloat(sum, 'g', 6, 64)), "for instance split: {train: 0.8, val: 0.1, test: 0.1}")
	}
	switch {
	case s.Time != "" && s.Group != "":
		return c.Fault("data.split.time", "a split is by group or by time, not by both", "remove one of the two")
	case s.Time != "" && s.Stratify && c.given("data.split.stratify"):
		return c.Fault("data.split.stratify", "a split by time cannot be stratified", "remove stratify")
	case s.Time != "" && s.Time == d.Target, s.Group != "" && s.Group == d.Target:
		return c.Fault("data.split", "the target cannot be the column to split by", "split by another column")
	case s.Time != "":
		s.Stratify = false
	}
	return nil
}

func (c *Config) resolveNames() error {
	if c.Project == "" && !c.given("project") {
		name, ok := c.Sample()
		if !ok {
			name = sourceName(c.Data.Source)
		}
		c.Project = artifactWord(name)
	}
	if !nameable(c.Project) {
		return c.Fault("project", fmt.Sprintf("project is %q, which cannot be part of an artifact's name", short(c.Project)), artifactNameHint)
	}
	if c.Model.Name == "" && !c.given("model.name") {
		c.Model.Name = camel(c.base()) + "Classifier"
	}
	if !nameable(c.Model.Name) {
		return c.Fault("model.name", fmt.Sprintf("model.name is %q, which cannot be an artifact's name", short(c.Model.Name)), artifactNameHint)
	}
	return nil
}

// sourceName returns data/sales-2024.csv.gz as sales-2024.
func sourceName(source string) string {
	name := filepath.Base(filepath.ToSlash(source))
	name, _, _ = strings.Cut(name, ".")
	return name
}

// artifactWord makes any text fit for an artifact's name.
func artifactWord(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)), r == '.', r == '_', r == '-':
			return r
		}
		return '-'
	}, s)
	for strings.Contains(s, "..") {
		s = strings.ReplaceAll(s, "..", ".")
	}
	s = strings.Trim(s, ".-_")
	if len(s) > 40 { // leaves room for Classifier in the model's name
		s = strings.TrimRight(s[:40], ".-_")
	}
	if s == "" {
		return "table"
	}
	return s
}

// camel turns breast_cancer into BreastCancer.
func camel(s string) string {
	var b strings.Builder
	up := true
	for _, r := range s {
		switch {
		case r == '_' || r == '-' || r == '.':
			up = true
			continue
		case up:
			r = unicode.ToUpper(r)
		}
		up = false
		b.WriteRune(r)
	}
	return b.String()
}

// resolveModel gives each layer what it does not say itself.
func (c *Config) resolveModel() error {
	m := &c.Model
	if m.LayerNorm && !c.given("model.batch_norm") {
		m.BatchNorm = false
	}
	if m.BatchNorm && m.LayerNorm {
		return c.Fault("model.layer_norm", "batch_norm and layer_norm are both on", "choose one")
	}
	if len(m.Layers) > 1000 {
		return c.Fault("model.layers", fmt.Sprintf("%d layers, want 1000 at most", len(m.Layers)), "")
	}
	for i := range m.Layers {
		l, at := &m.Layers[i], fmt.Sprintf("model.layers[%d]", i)
		if l.Units == 0 {
			return c.Fault(at, at+" has no units", "write {units: 64}")
		}
		if !c.given(at + ".activation") {
			l.Activation = m.Activation
		}
		if !c.given(at + ".dropout") {
			l.Dropout = m.Dropout
		}
		if !c.given(at + ".residual") {
			// For the model it means where the widths allow; a layer that
			// asks for it itself must have them.
			l.Residual = m.Residual && i > 0 && m.Layers[i-1].Units == l.Units
		} else if l.Residual && i > 0 && m.Layers[i-1].Units != l.Units {
			return c.Fault(at+".residual", fmt.Sprintf("%s is residual, but %d units follow %d", at, l.Units, m.Layers[i-1].Units), "give both layers the same units, or remove residual")
		}
		// A layer's own choice of one norm turns the other off.
		batch, layer := c.given(at+".batch_norm"), c.given(at+".layer_norm")
		if !batch {
			l.BatchNorm = m.BatchNorm && !l.LayerNorm
		}
		if !layer {
			l.LayerNorm = m.LayerNorm && !l.BatchNorm
		}
		if l.BatchNorm && l.LayerNorm {
			return c.Fault(at+".layer_norm", at+" has batch_norm and layer_norm both on", "choose one")
		}
	}
	return nil
}

func (c *Config) resolveTrain() error {
	if len(c.Experiments) == 0 {
		c.Experiments = Experiments{{Name: "exp001", Training: c.Train}}
	}
	if len(c.Experiments) > 10_000 {
		return c.Fault("experiments", fmt.Sprintf("%d experiments, want 10000 at most", len(c.Experiments)), "")
	}
	seen := map[string]int{}
	for i := range c.Experiments {
		e, at := &c.Experiments[i], fmt.Sprintf("experiments[%d]", i)
		if e.Name == "" && !c.given(at+".name") {
			e.Name = fmt.Sprintf("exp%03d", i+1)
		}
		if !nameable(e.Name) {
			return c.Fault(at+".name", fmt.Sprintf("experiment name %q cannot be part of an artifact's name", short(e.Name)), artifactNameHint)
		}
		if first, twice := seen[e.Name]; twice {
			return c.Fault(at+".name", fmt.Sprintf("experiments %d and %d are both called %s", first+1, i+1, e.Name), "give each experiment its own name")
		}
		seen[e.Name] = i
		if err := c.checkTrain(at, &e.Training); err != nil {
			return err
		}
	}
	return nil
}

// checkTrain checks what two values of an experiment must not say together.
func (c *Config) checkTrain(at string, t *Training) error {
	s, o := t.Schedule, t.Optimizer
	switch {
	case o.Nesterov && o.Momentum == 0:
		return c.Fault(at+".optimizer.nesterov", "nesterov needs momentum", "write {sgd: {momentum: 0.9, nesterov: true}}")
	case s.Warmup >= t.Epochs:
		return c.Fault(at+".schedule.warmup", fmt.Sprintf("%d epochs of warm-up leave nothing of %d epochs", s.Warmup, t.Epochs), "shorten warmup, or raise epochs")
	case s.Kind == "multistep" && len(s.Milestones) == 0:
		return c.Fault(at+".schedule", "multistep has no milestones", "write {multistep: {milestones: [30, 60]}}")
	case s.Kind != "one_cycle" && s.MinLR > t.LearningRate:
		return c.Fault(at+".schedule.min_lr", fmt.Sprintf("min_lr %g is above the learning rate %g", s.MinLR, t.LearningRate), "lower min_lr")
	}
	for i := 1; i < len(s.Milestones); i++ {
		if s.Milestones[i] <= s.Milestones[i-1] {
			return c.Fault(fmt.Sprintf("%s.schedule.milestones[%d]", at, i), "milestones do not ascend", "sort them and remove repetitions")
		}
	}
	return nil
}

// plain returns a tagged value as maps, lists and scalars under the names of
// solera.yaml, every default written out. Marshalled it is canonical, since
// the keys of a JSON object are sorted.
func plain(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case Optimizer:
		return map[string]any{x.Kind: plainStruct(v, x.Kind)}
	case Schedule:
		return map[string]any{x.Kind: plainStruct(v, x.Kind)}
	case ClassWeights:
		if x.Weights == nil {
			if x.Balanced {
				return "balanced"
			}
			return "none"
		}
		return plain(reflect.ValueOf(x.Weights))
	case EarlyStopping:
		if x.Patience == 0 {
			return "off"
		}
	case Steps:
		list := make([]any, len(x))
		for i, s := range x {
			list[i] = s.Value()
		}
		return list
	}
	switch v.Kind() {
	case reflect.Struct:
		return plainStruct(v, "")
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i))
		}
		return list
	case reflect.Map:
		m := make(map[string]any, v.Len())
		for _, k := range v.MapKeys() {
			m[k.String()] = plain(v.MapIndex(k))
		}
		return m
	}
	return v.Interface()
}

func plainStruct(v reflect.Value, kind string) map[string]any {
	m := map[string]any{}
	for _, f := range fields(v.Type(), kind) {
		m[f.Tag.Get("yaml")] = plain(v.FieldByIndex(f.Index))
	}
	return m
}

func plainMap(m map[string]any) map[string]any {
	for k, v := range m {
		m[k] = plain(reflect.ValueOf(v))
	}
	return m
}

// Effective returns the whole configuration of experiment i under the names of
// solera.yaml, every default written out.
func (c *Config) Effective(i int) map[string]any {
	e := c.Experiments[i]
	return plainMap(map[string]any{
		"project": c.Project, "seed": c.Seed, "data": c.Data, "preprocess": c.Preprocess,
		"model": c.Model, "experiment": e.Name, "train": e.Training, "tracking": c.Tracking,
	})
}
