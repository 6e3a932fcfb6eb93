package pipeline

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/solera-ml/solera/transform"
)

// Schema returns the JSON Schema (draft 2020-12) of solera.yaml, for editors
// that complete and check as one types. It is made of the same types and tags
// that [Parse] goes by, so the two agree.
func Schema() []byte {
	root := object(reflect.ValueOf(*defaults()), "")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = FileName
	root["required"] = []string{"data"}
	step := map[string]any{
		"description": "A transform step: a name, or a map of one name to its arguments.",
		"oneOf": []any{
			map[string]any{"enum": transform.StepNames()},
			map[string]any{"type": "object", "minProperties": 1, "maxProperties": 1, "propertyNames": map[string]any{"enum": transform.StepNames()}},
		},
	}
	root["$defs"] = map[string]any{"step": step}
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // a defect: the schema is maps, lists and texts
	}
	return append(b, '\n')
}

// object returns the schema of a tagged struct; v holds the defaults.
func object(v reflect.Value, kind string) map[string]any {
	props := map[string]any{}
	for _, f := range fields(v.Type(), kind) {
		p := property(v.FieldByIndex(f.Index), f.Tag)
		p["description"] = f.Tag.Get("doc")
		props[f.Tag.Get("yaml")] = p
	}
	o := map[string]any{"type": "object", "properties": props, "additionalProperties": false}
	if v.Type() == reflect.TypeFor[Data]() {
		o["required"] = []string{"source", "target"}
	}
	return o
}

// property returns the schema of one value with this default and tag.
func property(v reflect.Value, tag reflect.StructTag) map[string]any {
	switch x := v.Interface().(type) {
	case Optimizer:
		return withDefault(variants(optimizerKinds, func(k string) reflect.Value { return reflect.ValueOf(defaultOptimizer(k)) }), v)
	case Schedule:
		return withDefault(variants(scheduleKinds, func(k string) reflect.Value { return reflect.ValueOf(defaultSchedule(k)) }), v)
	case ClassWeights:
		weight := bounded(map[string]any{"type": "number"}, "(0,1e30]")
		return withDefault(map[string]any{"oneOf": []any{
			map[string]any{"enum": []string{"none", "balanced"}},
			map[string]any{"type": "object", "additionalProperties": weight},
		}}, v)
	case EarlyStopping:
		return withDefault(map[string]any{"oneOf": []any{
			map[string]any{"enum": []any{"off", false}},
			object(reflect.ValueOf(EarlyStopping{Patience: 10}), ""),
		}}, v)
	case Steps:
		p := map[string]any{"type": "array", "items": map[string]any{"$ref": "#/$defs/step"}}
		if x == nil {
			return p
		}
		return withDefault(p, v)
	case Layer:
		f, _ := v.Type().FieldByName("Units")
		return map[string]any{"oneOf": []any{
			bounded(map[string]any{"type": "integer"}, f.Tag.Get("in")),
			layerObject(),
		}}
	case Experiments:
		e := object(reflect.ValueOf(Experiment{Training: defaults().Train}), "")
		for _, p := range e["properties"].(map[string]any) {
			delete(p.(map[string]any), "default") // it is what train says
		}
		return map[string]any{"type": "array", "items": e}
	}
	switch v.Kind() {
	case reflect.Struct:
		return object(v, "")
	case reflect.Slice:
		p := map[string]any{"type": "array", "items": property(reflect.New(v.Type().Elem()).Elem(), tag)}
		delete(p["items"].(map[string]any), "default")
		if v.Type() == reflect.TypeFor[[]Layer]() {
			p["default"] = []int{64, 32}
		}
		return p
	case reflect.Map:
		p := property(reflect.New(v.Type().Elem()).Elem(), tag)
		delete(p, "default")
		return map[string]any{"type": "object", "additionalProperties": p}
	case reflect.String:
		p := map[string]any{"type": "string"}
		if tag.Get("text") == "any" {
			p["type"] = []string{"string", "number", "boolean"}
		}
		if enum := words(tag.Get("enum")); enum != nil {
			p["enum"] = enum
		}
		if v.String() != "" {
			p["default"] = v.String()
		}
		return p
	case reflect.Bool:
		return withDefault(map[string]any{"type": "boolean"}, v)
	case reflect.Int:
		return withDefault(bounded(map[string]any{"type": "integer"}, tag.Get("in")), v)
	case reflect.Uint64:
		return withDefault(map[string]any{"type": "integer", "minimum": 0, "maximum": uint64(math.MaxUint64)}, v)
	case reflect.Float64:
		return withDefault(bounded(map[string]any{"type": "number"}, tag.Get("in")), v)
	}
	panic(fmt.Sprintf("pipeline: no schema for %s", v.Type()))
}

// layerObject is the map form of a layer, whose defaults are the model's.
func layerObject() map[string]any {
	o := object(reflect.ValueOf(Layer{}), "")
	for _, p := range o["properties"].(map[string]any) {
		delete(p.(map[string]any), "default")
	}
	o["required"] = []string{"units"}
	return o
}

// withDefault notes the default if it is a value that the key may have: 0 is
// not, where the key is required.
func withDefault(p map[string]any, v reflect.Value) map[string]any {
	p["default"] = plain(v)
	return p
}

func bounded(p map[string]any, in string) map[string]any {
	b := parseInterval(in)
	low, high := "minimum", "maximum"
	if b.openLow {
		low = "exclusiveMinimum"
	}
	if b.openHigh {
		high = "exclusiveMaximum"
	}
	p[low], p[high] = b.low, b.high
	return p
}

// variants is the schema of a union: a name, or a map of it to its arguments.
func variants(kinds string, zero func(kind string) reflect.Value) map[string]any {
	known := words(kinds)
	forms := []any{map[string]any{"enum": slices.Clone(known)}}
	for _, kind := range known {
		forms = append(forms, map[string]any{
			"type":       "object",
			"properties": map[string]any{kind: object(zero(kind), kind)},
			"required":   []string{kind}, "additionalProperties": false,
		})
	}
	return map[string]any{"oneOf": forms}
}
