package lenient

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestDecode(t *testing.T) {
	got, err := Decode(` {"a":NaN,"b":[Infinity, -Infinity,-1.50e+3],"c":{"d":"NaN","é":"\u00fc\ud83d\ude00\ud800"},"e":12345678901234567890123,"f":true,"g":null,"f":false} `)
	if err != nil {
		t.Fatal(err)
	}
	v := got.(map[string]any)
	if x, ok := v["a"].(float64); !ok || !math.IsNaN(x) {
		t.Errorf("NaN: got %v", v["a"])
	}
	delete(v, "a")
	want := map[string]any{
		"b": []any{math.Inf(1), math.Inf(-1), json.Number("-1.50e+3")},
		"c": map[string]any{"d": "NaN", "é": "ü😀\ufffd"}, "e": json.Number("12345678901234567890123"), "f": false, "g": nil,
	}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{
		``, ` `, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{"a":1 "b":2}`, `{a:1}`, `[1,]`, `[1`, `"`, `"\`, `"\x"`, "\"\x01\"", `nan`, `NaNs`, `+1`, `-`, `01`, `1.`,
		`.5`, `1e`, `--1`, `-NaN`, `+Infinity`, `{} {}`, `tru`, `nul`, "\x00", `{"a":1}x`, strings.Repeat("[", 1_000_000), strings.Repeat(`{"a":`, 102) + "1" + strings.Repeat("}", 102),
	} {
		if v, err := Decode(text); err == nil {
			t.Errorf("%.20q: got %v; want an error", text, v)
		}
	}
}

// named is a map of another name, as solera.Fields is.
type named map[string]any

func TestAppend(t *testing.T) {
	v := map[string]any{"z": math.NaN(), "a": []any{math.Inf(1), math.Inf(-1), 1.5, 2, int64(3), json.Number("4.50"), nil, true, "<é\"\n"}, "f": named{"x": 1e21}}
	got, err := Append(nil, v)
	if want := `{"a":[Infinity,-Infinity,1.5,2,3,4.50,null,true,"<é\"\n"],"f":{"x":1e+21},"z":NaN}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
	got, err = AppendStrict(nil, v)
	if want := `{"a":["Infinity","-Infinity",1.5,2,3,4.50,null,true,"<é\"\n"],"f":{"x":1e+21},"z":"NaN"}`; err != nil || string(got) != want || !json.Valid(got) {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
	circle := map[string]any{}
	circle["again"] = circle
	for _, bad := range []any{circle, func() {}, map[string]any{"c": make(chan int)}} {
		if _, err := Append(nil, bad); err == nil {
			t.Errorf("%T: want an error", bad)
		}
	}
}

// anyValue draws what Decode can give.
func anyValue() *rapid.Generator[any] {
	leaf := rapid.OneOf(
		rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(b bool) any { return b }), rapid.Map(rapid.String(), func(s string) any { return strings.ToValidUTF8(s, "?") }),
		rapid.Map(rapid.Int64(), func(n int64) any { return json.Number(toText(n)) }), rapid.Just[any](math.Inf(1)), rapid.Just[any](math.Inf(-1)),
	)
	return rapid.Deferred(func() *rapid.Generator[any] {
		return rapid.Custom(func(t *rapid.T) any {
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				return []any(rapid.SliceOfN(anyValue(), 0, 3).Draw(t, "list"))
			case 1:
				return rapid.MapOfN(rapid.StringMatching(`[a-zé".]{0,4}`), anyValue(), 0, 3).Draw(t, "object")
			}
			return leaf.Draw(t, "leaf")
		})
	})
}

func toText(n int64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

func TestAppendedIsDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := anyValue().Draw(t, "value")
		b, err := Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(string(b))
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if diff := cmp.Diff(v, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"a":[1,NaN,-Infinity,"x\u00e9"],"b":{"c":null}}`, `-0.5e-7`, `"\ud800"`, `[[[]]]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Decode(string(b))
		if json.Valid(b) && err != nil && !strings.Contains(err.Error(), "deeper") {
			t.Fatalf("%q is JSON: %v", b, err)
		}
		if err != nil {
			return
		}
		bare, err := Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(string(bare))
		if err != nil {
			t.Fatalf("%q gave %q: %v", b, bare, err)
		}
		if second, err := Append(nil, again); err != nil || string(second) != string(bare) {
			t.Fatalf("%q, then %q: %v", bare, second, err)
		}
		strict, err := AppendStrict(nil, v)
		if err != nil || !json.Valid(strict) {
			t.Fatalf("%q is no JSON: %v", strict, err)
		}
	})
}
