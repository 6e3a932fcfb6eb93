package pipeline

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// UPDATE=1 go test ./pipeline/ writes it.
func TestPublishedSchemaIsCurrent(t *testing.T) {
	golden(t, filepath.Join("..", "..", "docs", "solera.schema.json"), Schema())
}

func TestEveryKeyIsDocumented(t *testing.T) {
	var check func(v reflect.Type, path string)
	check = func(v reflect.Type, path string) {
		for _, f := range fields(v, "") {
			p := join(path, f.Tag.Get("yaml"))
			if doc := f.Tag.Get("doc"); !strings.HasSuffix(doc, ".") && !strings.HasSuffix(doc, "}.") && !strings.HasSuffix(doc, "-") {
				t.Errorf("%s: %q is not a sentence", p, doc)
			}
			if k := f.Type.Kind(); (k == reflect.Int || k == reflect.Float64) && f.Tag.Get("in") == "" {
				t.Errorf("%s has no bounds", p)
			}
			if in := f.Tag.Get("in"); in != "" {
				parseInterval(in) // panics if it is not one
			}
			if f.Type.Kind() == reflect.Struct {
				check(f.Type, p)
			}
		}
	}
	check(reflect.TypeFor[Config](), "")
	check(reflect.TypeFor[Layer](), "layer")
	check(reflect.TypeFor[Experiment](), "experiment")
}

// The defaults of each variant are values that its keys may have.
func TestDefaultsOfVariantsLieInTheirBounds(t *testing.T) {
	within := func(v reflect.Value, kind string) {
		for _, f := range fields(v.Type(), kind) {
			if f.Tag.Get("in") == "" || f.Type.Kind() == reflect.Slice {
				continue
			}
			x := 0.0
			if f.Type.Kind() == reflect.Int {
				x = float64(v.FieldByIndex(f.Index).Int())
			} else {
				x = v.FieldByIndex(f.Index).Float()
			}
			if !parseInterval(f.Tag.Get("in")).has(x) {
				t.Errorf("%s: default of %s is %v, outside %s", kind, f.Name, x, f.Tag.Get("in"))
			}
		}
	}
	for _, k := range words(optimizerKinds) {
		within(reflect.ValueOf(defaultOptimizer(k)), k)
	}
	for _, k := range words(scheduleKinds) {
		within(reflect.ValueOf(defaultSchedule(k)), k)
	}
}
