package store

import (
	"cmp"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
)

func someEntries(t *rapid.T) []entry {
	slot := rapid.OneOf(rapid.Uint16Range(0, chunkRuns-1), rapid.Uint16Range(0, 20))
	one := rapid.Custom(func(t *rapid.T) entry {
		e := entry{slot: slot.Draw(t, "slot")}
		switch e.kind = valueKind(rapid.IntRange(0, 2).Draw(t, "kind")); e.kind {
		case numberValue:
			e.num = rapid.OneOf(rapid.SampledFrom([]float64{0, 1, 0.5}), rapid.Float64()).Draw(t, "number")
		case textValue:
			e.text = rapid.OneOf(rapid.SampledFrom([]string{"adam", "sgd", ""}), rapid.String()).Draw(t, "text")
			e.cut = rapid.Bool().Draw(t, "cut")
		case flagValue:
			e.num = float64(rapid.IntRange(0, 1).Draw(t, "flag"))
		}
		return e
	})
	list := rapid.SliceOfN(one, 0, 300).Draw(t, "entries")
	if rapid.Bool().Draw(t, "a value for each") {
		list = nil
		kind := valueKind(rapid.IntRange(0, 2).Draw(t, "of kind"))
		for slot := range rapid.IntRange(1, chunkRuns).Draw(t, "runs") {
			if e := (entry{uint16(slot), value{kind: kind, num: float64(slot % 300), text: "x"}}); kind == textValue {
				list = append(list, entry{e.slot, value{kind: kind, text: e.text}})
			} else {
				list = append(list, entry{e.slot, value{kind: kind, num: e.num}})
			}
		}
	}
	// As columns give them back: by slot, then by kind.
	slices.SortStableFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.slot, b.slot), cmp.Compare(a.kind, b.kind))
	})
	return list
}

func TestColumnComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := someEntries(t)
		raw := appendColumn(nil, want)
		c, err := readColumn(raw)
		if err != nil {
			t.Fatal(err)
		}
		got := c.entries()
		if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
		for slot := range uint16(25) {
			var there []value
			for _, e := range want {
				if e.slot == slot {
					there = append(there, e.value)
				}
			}
			if !reflect.DeepEqual(c.valuesAt(slot), there) {
				t.Fatalf("slot %d has %v, want %v", slot, c.valuesAt(slot), there)
			}
		}
	})
}

func TestDenseColumnsAreSmall(t *testing.T) {
	column := func(v func(i int) value) int {
		var list []entry
		for i := range chunkRuns {
			list = append(list, entry{uint16(i), v(i)})
		}
		return len(appendColumn(nil, list))
	}
	tests := []struct {
		name string
		v    func(i int) value
		most int
	}{
		{"a number for each", func(i int) value { return value{num: math.Sqrt(float64(i))} }, 8*chunkRuns + 20},
		{"one of five numbers", func(i int) value { return value{num: float64(i % 5)} }, chunkRuns + 60},
		{"one of three texts", func(i int) value { return value{kind: textValue, text: []string{"a", "b", "c"}[i%3]} }, chunkRuns + 30},
		{"the same for all", func(int) value { return value{kind: textValue, text: "wine"} }, 20},
	}
	for _, tt := range tests {
		if got := column(tt.v); got > tt.most {
			t.Errorf("%s: %d bytes, want at most %d", tt.name, got, tt.most)
		}
	}
}

func FuzzReadColumn(f *testing.F) {
	f.Add(appendColumn(nil, nil))
	f.Add(appendColumn(nil, []entry{{3, value{num: 1}}, {3, value{num: 2}}, {9, value{kind: textValue, text: "adam", cut: true}}, {9, value{kind: flagValue, num: 1}}}))
	f.Add(appendRow(nil, fieldRow{"params.lr": {{num: 0.1}}, "tags": {{kind: textValue, text: "best"}}, "gone": nil}))
	f.Add([]byte{columnFormat, 0xff, 0xff, 0xff, 0xff, 0x07, slotsInLine, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, err := readColumn(raw); err == nil {
			list := c.entries()
			again, err := readColumn(appendColumn(nil, list))
			if err != nil || len(again.entries()) != len(list) {
				t.Fatalf("%d entries came back as %v, %v", len(list), again, err)
			}
		} else if !errors.Is(err, solera.ErrCorrupt) {
			t.Fatal(err)
		}
		if _, err := readRow(raw, nil); err != nil && !errors.Is(err, solera.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
