package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tracking"
)

func TestDifferencesOfJSONNameTheFirstPath(t *testing.T) {
	for _, test := range []struct{ a, b, want string }{
		{`{"a":1}`, `{"a":1.0}`, ""},
		{`{"a":1, "b":2}`, `{"b":2,"a":1}`, ""},
		{`{"b":1,"a":{"c":[1,2,{"d":null}]}}`, `{"b":2,"a":{"c":[1,2,{"d":0}]}}`, "a.c[2].d: null → 0"},
		{`{"a":[1]}`, `{"a":[1,2]}`, "a[1]: (none) → 2"},
		{`{"a":[1,{"x":1}]}`, `{"a":[1]}`, `a[1]: {"x":1} → (none)`},
		{`{"macro f1":1}`, `{"macro f1":2}`, `["macro f1"]: 1 → 2`},
		{`{"":1}`, `{}`, `[""]: 1 → (none)`},
		{`{"a":{}}`, `{"a":[]}`, "a: {} → []"},
		{`{"a":"1"}`, `{"a":1}`, `a: "1" → 1`},
		{`{"a":9007199254740993}`, `{"a":9007199254740992}`, "a: 9007199254740993 → 9007199254740992"},
		{`[1] x`, `[2]`, ""}, // no JSON: the bytes will tell
	} {
		d := jsonDifference([]byte(test.a), []byte(test.b))
		got := ""
		if d != nil {
			d.File = "f"
			got = d.String()[len("f, "):]
		}
		if got != test.want {
			t.Errorf("%s, %s: %q, want %q", test.a, test.b, got, test.want)
		}
	}
}

// Two values that mean the same have no difference, any others have one.
func TestDifferencesOfJSONAreComplete(t *testing.T) {
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		leaf := rapid.OneOf(
			rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
			rapid.Map(rapid.IntRange(0, 3), func(i int) any { return i }), rapid.Map(rapid.StringN(0, 2, 4), func(s string) any { return s }),
		)
		if depth == 0 {
			return leaf
		}
		return rapid.OneOf(leaf,
			rapid.Map(rapid.SliceOfN(value(depth-1), 0, 3), func(l []any) any { return l }),
			rapid.Map(rapid.MapOfN(rapid.StringMatching(`[ab]{0,2}`), value(depth-1), 0, 3), func(m map[string]any) any { return m }))
	}
	rapid.Check(t, func(t *rapid.T) {
		a, err1 := json.Marshal(value(3).Draw(t, "a"))
		b, err2 := json.Marshal(value(3).Draw(t, "b"))
		if err1 != nil || err2 != nil {
			t.Skip("not JSON")
		}
		if got := jsonDifference(a, b); (got == nil) != bytes.Equal(a, b) {
			t.Fatalf("%s and %s: %v", a, b, got)
		}
		if jsonDifference(a, a) != nil {
			t.Fatalf("%s differs from itself", a)
		}
	})
}

// commitFile commits one file and opens the version.
func commitFile(t *testing.T, p *Pipeline, name string, content []byte, metadata solera.Fields) *tracking.Snapshot {
	t.Helper()
	run, err := p.Tracker.Start(t.Context(), tracking.RunSpec{Stage: "test"})
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := run.Commit(t.Context(), tracking.Draft{Artifact: "thing", Type: "thing", Metadata: metadata, Files: map[string]tracking.Source{name: tracking.Bytes(content)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Finish(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	return p.Tracker.Snapshot(t.Context(), v)
}

func TestDifferencesOfFilesAreSaidInTheirOwnWords(t *testing.T) {
	oneByOne(t)
	tensors := func(list ...nn.NamedTensor) []byte {
		var b bytes.Buffer
		if err := nn.WriteSafetensors(&b, list, nil); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	parquet := func(rows []int64, columns ...*table.Column) []byte {
		var b bytes.Buffer
		if err := table.WriteParquet(&b, &table.Table{RowNumbers: rows, Columns: columns}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	numbers := func(name string, v ...float64) *table.Column {
		return &table.Column{Name: name, Kind: table.Number, Numbers: v}
	}
	words := func(name string, levels []string, codes ...int32) *table.Column {
		return &table.Column{Name: name, Kind: table.Category, Levels: levels, Codes: codes}
	}
	w := func(v ...float32) nn.NamedTensor { return nn.NamedTensor{Name: "w", Shape: []int{len(v)}, Data: v} }
	for name, test := range map[string]struct {
		file string
		a, b []byte
		want string
	}{
		"a sign of zero":     {"x.safetensors", tensors(w(0, 1)), tensors(w(float32(math.Copysign(0, -1)), 1)), "x.safetensors, w[0]: 0 → -0"},
		"a shape":            {"x.safetensors", tensors(w(1, 2)), tensors(w(1)), "x.safetensors, w: F32 [2] → F32 [1]"},
		"a tensor more":      {"x.safetensors", tensors(w(1)), tensors(w(1), nn.NamedTensor{Name: "b", Shape: []int{1}, Int64: []int64{1}}), "x.safetensors, b: (none) → I64 [1]"},
		"a whole number":     {"x.safetensors", tensors(nn.NamedTensor{Name: "n", Shape: []int{1}, Int64: []int64{1}}), tensors(nn.NamedTensor{Name: "n", Shape: []int{1}, Int64: []int64{2}}), "x.safetensors, n[0]: 1 → 2"},
		"no safetensors":     {"x.safetensors", []byte("abc"), []byte("abd"), "x.safetensors, byte 2: 0x63 → 0x64"},
		"a cell":             {"x.parquet", parquet([]int64{4, 7}, numbers("a", 1, 2), words("c", []string{"r", "s"}, 0, 1)), parquet([]int64{4, 7}, numbers("a", 1, 2), words("c", []string{"r", "t"}, 0, 1)), "x.parquet, column c, row 7: s → t"},
		"the earlier row":    {"x.parquet", parquet([]int64{4, 7}, numbers("a", 1, 2), numbers("b", 1, 2)), parquet([]int64{4, 7}, numbers("a", 1, 3), numbers("b", 3, 2)), "x.parquet, column b, row 4: 1 → 3"},
		"a row number":       {"x.parquet", parquet([]int64{4, 7}, numbers("a", 1, 2)), parquet([]int64{4, 8}, numbers("a", 1, 2)), "x.parquet, column row, row 7: 7 → 8"},
		"a row more":         {"x.parquet", parquet([]int64{4}, numbers("a", 1)), parquet([]int64{4, 7}, numbers("a", 1, 2)), "x.parquet: 1 row → 2 rows"},
		"a column's name":    {"x.parquet", parquet([]int64{4}, numbers("a", 1)), parquet([]int64{4}, numbers("b", 1)), "x.parquet, column a: a (number) → b (number)"},
		"a missing value":    {"x.parquet", parquet([]int64{4}, numbers("a", 1)), parquet([]int64{4}, numbers("a", math.NaN())), "x.parquet, column a, row 4: 1 → (none)"},
		"space in JSON":      {"x.json", []byte(`{"a":1}`), []byte(`{"a": 1}`), "x.json, byte 5: 0x31 → 0x20"},
		"a longer file":      {"x.bin", []byte("ab"), []byte("abc"), "x.bin, byte 2: (none) → 0x63"},
		"an empty file":      {"x.bin", []byte{}, []byte("a"), "x.bin, byte 0: (none) → 0x61"},
		"JSON that is none":  {"x.json", []byte("{"), []byte("["), "x.json, byte 0: 0x7b → 0x5b"},
		"a cut Parquet file": {"x.parquet", []byte("PAR1PAR1"), []byte("PAR1"), "x.parquet, byte 4: 0x50 → (none)"},
	} {
		t.Run(name, func(t *testing.T) {
			p := project(t, t.TempDir(), smallYAML)
			d, err := FirstDifference(t.Context(), commitFile(t, p, test.file, test.a, nil), commitFile(t, p, test.file, test.b, nil))
			if err != nil {
				t.Fatal(err)
			}
			if d.String() != test.want {
				t.Errorf("got %s, want %s", d, test.want)
			}
		})
	}
}

func TestDifferencesOfVersionsComeByFile(t *testing.T) {
	p := project(t, t.TempDir(), smallYAML)
	a := commitFile(t, p, "a.txt", []byte("1"), solera.Fields{"k": 1})
	b := commitFile(t, p, "b.txt", []byte("1"), solera.Fields{"k": 2})
	list, err := Differences(t.Context(), a, b)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(list), "[a.txt: missing b.txt: added metadata, k: 1 → 2]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	first, err := FirstDifference(t.Context(), a, b)
	if err != nil || first.File != "a.txt" || first.More != 1 {
		t.Errorf("first is %v, %v", first, err)
	}
	if list, err = Differences(t.Context(), a, a); err != nil || len(list) != 0 {
		t.Errorf("a version and itself: %v %v", list, err)
	}
	// Bytes that are gone are said to be, and the rest is still compared.
	c := commitFile(t, p, "a.txt", []byte("2"), nil)
	if err := p.Tracker.Blobs.Delete(t.Context(), c.Files[0].Digest); err != nil {
		t.Fatal(err)
	}
	first, err = FirstDifference(t.Context(), a, c)
	if err != nil || first.Kind != FileUnknown || first.After == "" {
		t.Errorf("a file that is gone: %v %v", first, err)
	}
	if diff := cmp.Diff(a.Files[0].Digest.String(), first.Before); diff != "" {
		t.Error(diff)
	}
}

// Whatever stands in a lock, it is read or refused with its place, and what was
// read comes back.
func FuzzParseLock(f *testing.F) {
	f.Add((&Lock{Source: "sample:wine", SourceDigest: "sha256:00", Artifacts: map[string]string{"a": solera.DigestOf(nil).String()}}).Text())
	f.Add([]byte("artifacts: {a: sha256:00, 1: x}\nsource: !!binary x"))
	f.Add([]byte("<<<<<<< ours\nsource: a\n=======\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		l, err := parseLock("solera.lock", src)
		if err != nil {
			return
		}
		again, err := parseLock("solera.lock", l.Text())
		if err != nil {
			t.Fatalf("%v\n%s", err, l.Text())
		}
		if again.Source != l.Source || again.SourceDigest != l.SourceDigest || len(l.Changes(again)) != 0 {
			t.Fatalf("%+v comes back as %+v", l, again)
		}
	})
}
