package pipeline

import (
	"fmt"
	"sort"
	"strings"

	"github.com/solera-ml/solera"
)

// A Recipe is everything that decides the bytes that a stage makes: which code,
// with which params, from which inputs. Two runs with the same recipe make the
// same versions, so the second need not run. Times, hosts, worker counts and
// kernel sets are left out on purpose: they cannot change a byte.
type Recipe struct {
	Stage      string            `json:"stage"`
	Experiment string            `json:"experiment,omitempty"`
	Code       string            `json:"code"`   // digest of the sources this stage rests on
	Params     map[string]any    `json:"params"` // effective configuration, defaults included; load: also the source's digest
	Inputs     map[string]string `json:"inputs"` // input name → content digest

	uses map[string]string // input name → the version that has this content, such as wine-raw:v0
}

// recorded returns the recipe of a run as its record tells it; used are the
// versions that the run read.
func recorded(run solera.Run, used []solera.Version) Recipe {
	r := Recipe{Stage: run.Stage, Experiment: run.Experiment, Code: run.Code.String(), Params: run.Params, Inputs: map[string]string{}}
	for _, v := range used {
		r.Inputs[v.Artifact] = v.Digest.String()
	}
	return r
}

// Digest is the SHA-256 of the recipe's canonical JSON (keys sorted, no space).
func (r Recipe) Digest() solera.Digest {
	content := solera.Fields{
		"stage": r.Stage, "experiment": r.Experiment, "code": r.Code, "params": r.Params, "inputs": r.Inputs,
	}
	b, err := content.MarshalJSON()
	if err != nil {
		panic(fmt.Sprintf("pipeline: recipe of %s is not JSON: %v", r.Stage, err))
	}
	return solera.DigestOf(b)
}

// A Change is one key in which two recipes differ. Before and After are JSON
// values in text, "" where the key is absent.
type Change struct {
	Key    string `json:"key"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// changes lists the keys in which after differs from before, sorted by key,
// the code first since it explains all the others.
func changes(before, after Recipe) []Change {
	a, b := before.flat(), after.flat()
	keys := make([]string, 0, len(a)+len(b))
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, seen := a[k]; !seen {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	out := []Change{}
	for _, k := range keys {
		if a[k] != b[k] {
			out = append(out, Change{Key: k, Before: a[k], After: b[k]})
		}
	}
	return out
}

// flat spells a recipe as dotted keys: params.optimizer_options.beta1 → 0.9.
func (r Recipe) flat() map[string]string {
	out := map[string]string{"code": r.Code}
	for name, digest := range r.Inputs {
		out["inputs."+name] = digest
	}
	flatten(out, "params", r.Params)
	return out
}

func flatten(out map[string]string, key string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			flatten(out, key+"."+k, inner)
		}
	default:
		// Fields write one canonical text for a number, whether it comes from
		// the configuration or back from the store.
		b, err := solera.Fields{"v": v}.MarshalJSON()
		if err != nil {
			out[key] = fmt.Sprint(v)
			return
		}
		text := strings.TrimSuffix(strings.TrimPrefix(string(b), `{"v":`), "}")
		out[key] = text
	}
}
