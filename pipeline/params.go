package pipeline

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/solera-ml/solera"
)

// The params of a run are the keys of the sections of solera.yaml that its
// stage rests on, without the section, so that people can ask for
// params.learning_rate < 0.01. Every default is written out: equal params mean
// equal work, and [ConfigOf] leads back. A choice with arguments, such as the
// optimizer, is its name under the key and the arguments under key_options:
// params.optimizer = "sgd", params.optimizer_options.momentum = 0.9.

// options ends the key of a choice's arguments.
const options = "_options"

// LoadParams returns what load depends on, beside the bytes of the source.
func (c *Config) LoadParams() map[string]any {
	m := recordedStruct(c.Data)
	m["seed"] = c.Seed
	return m
}

// PreprocessParams returns what preprocess depends on, beside its input.
func (c *Config) PreprocessParams() map[string]any {
	m := recordedStruct(c.Preprocess)
	m["not_features"] = map[string]any{"target": c.Data.Target, "group": c.Data.Split.Group, "time": c.Data.Split.Time}
	return m
}

// BuildParams returns what build depends on, beside its input.
func (c *Config) BuildParams() map[string]any {
	m := recordedStruct(c.Model)
	delete(m, "name")
	m["model"], m["seed"] = c.Model.Name, c.Seed
	return m
}

// TrainParams returns what the training of experiment i depends on, beside its
// inputs.
func (c *Config) TrainParams(i int) map[string]any {
	m := recordedStruct(c.Experiments[i].Training)
	m["experiment"], m["seed"] = c.Experiments[i].Name, c.Seed
	return m
}

// recordedStruct returns the keys of a section as runs record them.
func recordedStruct(section any) map[string]any {
	m := plainStruct(reflect.ValueOf(section), "")
	for _, key := range choices() {
		choice, _ := m[key].(map[string]any)
		for kind, arguments := range choice { // the one
			m[key], m[key+options] = kind, arguments
		}
	}
	return m
}

// choices are the keys whose value is a name with arguments.
func choices() []string { return []string{"optimizer", "schedule"} }

// ConfigOf returns a configuration with which the stage of a recorded run does
// again what the run did: the inverse of the four Params. Inputs are the names
// of the artifacts that the run used. Only what this stage reads is as it was;
// the rest holds defaults.
//
// It is strict. A run of no stage, and params that this program would not have
// recorded like that, as another version of it has keys that this one does not
// know or lacks keys that this one has, are *[solera.InputError].
func ConfigOf(run solera.Run, inputs ...string) (*Config, error) {
	fault := func(msg, hint string) error {
		return &solera.InputError{Op: "configuration of run " + string(run.ID), Msg: msg, Hint: hint}
	}
	p := maps.Clone(map[string]any(run.Params))
	if p == nil {
		p = map[string]any{}
	}
	take := func(key string) any {
		v := p[key]
		delete(p, key)
		return v
	}
	for _, key := range choices() {
		if arguments, ok := p[key+options]; ok {
			p[key] = map[string]any{fmt.Sprint(p[key]): arguments}
			delete(p, key+options)
		}
	}
	file := map[string]any{"project": run.Project}
	// What a stage does not read must be there all the same.
	data := map[string]any{"source": "none", "target": "none"}
	file["data"] = data
	switch run.Stage {
	case Load:
		file["seed"] = take("seed")
		take("source_digest")
		file["data"] = p
	case Preprocess:
		not, _ := take("not_features").(map[string]any)
		data["target"] = not["target"]
		data["split"] = map[string]any{"group": not["group"], "time": not["time"]}
		file["preprocess"] = p
	case Build:
		file["seed"] = take("seed")
		p["name"] = take("model")
		file["model"] = p
	case Train:
		file["seed"] = take("seed")
		p["name"] = take("experiment")
		file["experiments"] = []any{p}
	default:
		return nil, fault(fmt.Sprintf("%q is no stage of solera", run.Stage), "only what load, preprocess, build and train made can be made again")
	}
	src, err := solera.Fields(file).MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("configuration of run %s: %w", run.ID, err)
	}
	other := fmt.Sprintf("it was recorded by solera %s; use that version", cmp.Or(run.Solera, "of another version"))
	// JSON is YAML, so params pass the same reader and bounds as the file did.
	// Written out they are longer than it was.
	c, err := parseText(string(run.ID), src, 8)
	if err != nil {
		in, _ := err.(*solera.InputError)
		if in == nil {
			return nil, err
		}
		return nil, fault("params that this version does not take: "+in.Msg, other)
	}
	again := map[string]any{}
	switch run.Stage {
	case Load:
		again = c.LoadParams()
		again["source_digest"] = run.Params["source_digest"]
	case Preprocess:
		again = c.PreprocessParams()
	case Build:
		again = c.BuildParams()
	case Train:
		again = c.TrainParams(0)
		for _, name := range inputs {
			if name != c.PreprocessName() {
				c.Model.Name = name
			}
		}
	}
	if diff := changes(Recipe{Params: run.Params}, Recipe{Params: again}); len(diff) > 0 {
		var keys []string
		for _, d := range diff {
			keys = append(keys, strings.TrimPrefix(d.Key, "params."))
		}
		return nil, fault("params that this version would record otherwise: "+list(keys, 6), other)
	}
	return c, nil
}
