package solera_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
)

func TestDigestText(t *testing.T) {
	// FIPS 180-2, appendix B.1.
	const abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	d := solera.DigestOf([]byte("abc"))
	if d.String() != abc || d.Short() != "ba7816bf8f01" {
		t.Errorf("got %v, short %s", d, d.Short())
	}
	if got, err := solera.ParseDigest(abc); got != d || err != nil {
		t.Errorf("ParseDigest = %v, %v", got, err)
	}
	raw, err := json.Marshal([]solera.Digest{d, {}})
	if err != nil || string(raw) != `["`+abc+`",""]` {
		t.Errorf("JSON %s, %v", raw, err)
	}
	var back []solera.Digest
	if err := json.Unmarshal(raw, &back); err != nil || back[0] != d || !back[1].IsZero() {
		t.Errorf("read back %v, %v", back, err)
	}
	for _, bad := range []string{"", "sha256:", abc[7:], strings.ToUpper(abc), abc + "0", abc[:70], "md5:" + abc[7:], abc[:70] + "g", " " + abc} {
		if _, err := solera.ParseDigest(bad); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%q: got error %v, want ErrInvalid", bad, err)
		}
	}
}

func TestVerifyReader(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 10_000)
	good := solera.DigestOf(content)
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(content), "bytes": iotest.OneByteReader(bytes.NewReader(content)),
		"data with EOF": iotest.DataErrReader(bytes.NewReader(content)),
	} {
		if b, err := io.ReadAll(solera.VerifyReader(r, good)); err != nil || !bytes.Equal(b, content) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	for name, bad := range map[string][]byte{"short": content[1:], "long": append(content, 'x'), "empty": nil} {
		if _, err := io.ReadAll(solera.VerifyReader(bytes.NewReader(bad), good)); !errors.Is(err, solera.ErrCorrupt) {
			t.Errorf("%s: got error %v, want ErrCorrupt", name, err)
		}
	}
}

func TestFieldsAreCanonical(t *testing.T) {
	inner := map[string]any{"z": 1, "a": []int{3, 1}}
	tests := []struct {
		name   string
		fields solera.Fields
		want   string
	}{
		{"nil", nil, `{}`},
		{"sorted", solera.Fields{"b": 1, "a": inner}, `{"a":{"a":[3,1],"z":1},"b":1}`},
		{
			"numbers of every kind",
			solera.Fields{"i8": int8(-1), "u": uint64(math.MaxUint64), "f32": float32(0.1), "f": 0.1, "n": json.Number("1.50")},
			`{"f":0.1,"f32":0.1,"i8":-1,"n":1.5,"u":18446744073709551615}`,
		},
		{
			"no numbers",
			solera.Fields{"a": math.NaN(), "b": math.Inf(1), "c": map[string]float64{"x": math.Inf(-1)}, "d": []float64{math.NaN()}},
			`{"a":null,"b":null,"c":{"x":null},"d":[null]}`,
		},
		{"large and small", solera.Fields{"a": 1e21, "b": 1e-7, "c": 100000.0, "d": json.Number("1e2")}, `{"a":1e+21,"b":1e-7,"c":100000,"d":100}`},
		{"text", solera.Fields{"a": "<ü & \n\u2028>"}, `{"a":"<ü & \n\u2028>"}`},
		{"structs", solera.Fields{"a": struct {
			B int     `json:"b"`
			A *string `json:"a"`
		}{1, nil}}, `{"a":{"a":null,"b":1}}`},
		{"digests", solera.Fields{"d": solera.Digest{}}, `{"d":""}`},
	}
	for _, tt := range tests {
		raw, err := tt.fields.MarshalJSON()
		if err != nil || string(raw) != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.name, raw, err, tt.want)
		}
		var back solera.Fields
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if again, err := back.MarshalJSON(); err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%s: read and written again: %s, %v", tt.name, again, err)
		}
	}
	circle := map[string]any{}
	circle["c"] = circle
	for name, bad := range map[string]solera.Fields{
		"function": {"f": func() {}}, "circle": circle, "number that is none": {"n": json.Number("x")}, "number too large": {"n": json.Number("1e999")},
		"NaN in a struct": {"s": struct{ X float64 }{math.NaN()}},
	} {
		if _, err := bad.MarshalJSON(); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: got error %v, want ErrInvalid", name, err)
		}
	}
	var f solera.Fields
	if err := json.Unmarshal([]byte(`[1]`), &f); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("an array was read: %v, %v", f, err)
	}
}

func TestFieldsFloat(t *testing.T) {
	f := solera.Fields{"number": json.Number("1.5"), "float": 1.5, "f32": float32(1.5), "int": 3, "uint": uint8(3), "text": "1.5", "nil": nil}
	for key, want := range map[string]float64{"number": 1.5, "float": 1.5, "f32": 1.5, "int": 3, "uint": 3} {
		if got, ok := f.Float(key); got != want || !ok {
			t.Errorf("%s: got %v, %v", key, got, ok)
		}
	}
	for _, key := range []string{"text", "nil", "none"} {
		if got, ok := f.Float(key); ok {
			t.Errorf("%s: got %v", key, got)
		}
	}
	if f.Text("text") != "1.5" || f.Text("int") != "" {
		t.Errorf("Text: got %q, %q", f.Text("text"), f.Text("int"))
	}
}

// The digest is what others compute too; this one comes from
//
//	printf '%s' '{"files":[{"digest":"sha256:ba78…15ad","path":"a","size":3}],"metadata":{"rows":1},"type":"dataset"}' | sha256sum
func TestContentDigestIsPinned(t *testing.T) {
	files := []solera.Entry{{Path: "a", Digest: solera.DigestOf([]byte("abc")), Size: 3}}
	got, err := solera.ContentDigest("dataset", solera.Fields{"rows": 1}, files)
	const want = "sha256:4030fd88c76856f3e531673d8ee1ca3ac16601056eb91a4036472391e854e95a"
	if err != nil || got.String() != want {
		t.Errorf("got %v, %v, want %s", got, err, want)
	}
}

func TestContentDigestIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		paths := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}`), 1, 6, rapid.ID).Draw(t, "paths")
		var files []solera.Entry
		for i, p := range paths {
			files = append(files, solera.Entry{Path: p, Digest: solera.DigestOf([]byte(p)), Size: int64(i)})
		}
		a, err := solera.ContentDigest("t", nil, files)
		if err != nil {
			t.Fatal(err)
		}
		b, err := solera.ContentDigest("t", solera.Fields{}, rapid.Permutation(files).Draw(t, "order"))
		if err != nil || a != b {
			t.Fatalf("%v, %v, %v", a, b, err)
		}
		files[0].Size += 100
		if c, _ := solera.ContentDigest("t", nil, files); c == a {
			t.Fatal("another size, the same digest")
		}
	})
}

func TestCheckFiles(t *testing.T) {
	d := solera.DigestOf(nil)
	bad := map[string][]solera.Entry{
		"twice":               {{Path: "a", Digest: d}, {Path: "a", Digest: d}},
		"file and folder":     {{Path: "a/b/c", Digest: d}, {Path: "a/b", Digest: d}},
		"no digest":           {{Path: "a"}},
		"negative size":       {{Path: "a", Digest: d, Size: -1}},
		"path that leaves":    {{Path: "../a", Digest: d}},
		"path that is rooted": {{Path: "/a", Digest: d}},
	}
	for name, files := range bad {
		if err := solera.CheckFiles(files); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: got error %v, want ErrInvalid", name, err)
		}
	}
	if err := solera.CheckFiles([]solera.Entry{{Path: "a/b", Digest: d}, {Path: "a-b", Digest: d}, {Path: "a/c", Digest: d}}); err != nil {
		t.Error(err)
	}
}

func TestMicros(t *testing.T) {
	at := time.Date(2026, 11, 22, 20, 53, 12, 123456789, time.FixedZone("CET", 3600))
	m := solera.MicrosOf(at)
	raw, err := json.Marshal([]solera.Micros{m, 0})
	if want := `["2026-11-22T19:53:12.123456Z",null]`; err != nil || string(raw) != want {
		t.Errorf("got %s, %v, want %s", raw, err, want)
	}
	var back []solera.Micros
	if err := json.Unmarshal(raw, &back); err != nil || back[0] != m || back[1] != 0 {
		t.Errorf("read back %v, %v", back, err)
	}
	if !m.Time().Equal(at.Truncate(time.Microsecond)) || !solera.Micros(0).Time().IsZero() {
		t.Errorf("Time: %v, %v", m.Time(), solera.Micros(0).Time())
	}
	if err := json.Unmarshal([]byte(`["yesterday"]`), &back); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("got error %v, want ErrInvalid", err)
	}
}

func TestPointJSON(t *testing.T) {
	for want, value := range map[string]float64{
		`0.5`: 0.5, `null`: math.NaN(), `"Infinity"`: math.Inf(1), `"-Infinity"`: math.Inf(-1), `1e-300`: 1e-300,
	} {
		raw, err := json.Marshal(solera.Point{Key: "k", Step: 3, Value: value})
		if text := `{"key":"k","step":3,"value":` + want + `,"time":null}`; err != nil || string(raw) != text {
			t.Errorf("got %s, %v, want %s", raw, err, text)
		}
		var back solera.Point
		if err := json.Unmarshal(raw, &back); err != nil || back.Value != value && !(math.IsNaN(back.Value) && math.IsNaN(value)) {
			t.Errorf("%s reads %v, %v", raw, back.Value, err)
		}
	}
}

func TestNewRunID(t *testing.T) {
	now := time.Date(2026, 11, 22, 19, 53, 12, 0, time.UTC)
	id, err := solera.NewRunID(now, bytes.NewReader([]byte{0, 31, 32, 255, 10, 99}))
	if err != nil || id != "20261122-195312-0z0za3" || id.Check() != nil {
		t.Errorf("got %s, %v", id, err)
	}
	if _, err := solera.NewRunID(now, bytes.NewReader(nil)); err == nil {
		t.Error("made an identifier without randomness")
	}
}

// Clients read these names: a change here is a change of the interface.
func TestJSONNames(t *testing.T) {
	want := map[reflect.Type]string{
		reflect.TypeFor[solera.Run]():      "id name project stage experiment state params summary tags notes recipe code solera host group sweep environment reuse_of error created started finished heartbeat stopping rewound deleted",
		reflect.TypeFor[solera.Version]():  "project name number type digest size metadata files aliases run created tags description expires deleted",
		reflect.TypeFor[solera.Entry]():    "path digest size ref md5 etag extra",
		reflect.TypeFor[solera.Item]():     "n key step value time",
		reflect.TypeFor[solera.Artifact](): "project name type newest created updated",
	}
	for typ, names := range want {
		var got []string
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			got = append(got, name)
		}
		if text := strings.Join(got, " "); text != names {
			t.Errorf("%s: got %s, want %s", typ.Name(), text, names)
		}
	}
}
