package wandb

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera"
)

// Seen on the wire of a client, shortened; the digest is what the client said.
const seenManifest = `{"version":1,"storagePolicy":"wandb-storage-policy-v1","storagePolicyConfig":{"storageLayout":"V2"},
 "contents":{"sub/b.txt":{"digest":"kgBXEJAAixQhGPpX5fMrwg==","size":5,"birthArtifactID":"QXJ0","local_path":"/tmp/x"},
 "a b%ü.txt":{"digest":"XUFAKrxLKna5cZ2REBfFkg==","size":5},
 "none.bin":{"digest":"https://example.org/none.bin","ref":"https://example.org/none.bin","size":0,"extra":{}}}}`

func TestManifest(t *testing.T) {
	m, err := ParseManifest([]byte(seenManifest))
	if err != nil {
		t.Fatal(err)
	}
	want := Manifest{Layout: "V2", Entries: []ManifestEntry{
		{Path: "a b%ü.txt", Digest: "XUFAKrxLKna5cZ2REBfFkg==", Size: 5},
		{Path: "none.bin", Digest: "https://example.org/none.bin", Ref: "https://example.org/none.bin"},
		{Path: "sub/b.txt", Digest: "kgBXEJAAixQhGPpX5fMrwg==", Size: 5, Birth: "QXJ0"},
	}}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
	// From the digest() of the manifest of release 0.31.0 with these three entries.
	if got, want := m.Digest(), "97223532ca1c17866b8789d1577bfab8"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	if m.Size() != 10 {
		t.Errorf("size %d, want 10", m.Size())
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "local_path") {
		t.Error("a path of the machine that made it is passed on")
	}
	again, err := ParseManifest(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, again); diff != "" {
		t.Error(diff)
	}
	m.Entries = append(m.Entries, m.Entries[0])
	if _, err := m.Encode(); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("a path twice: got %v", err)
	}
}

func TestManifestRefused(t *testing.T) {
	with := func(contents string) string {
		return `{"version":1,"storagePolicy":"wandb-storage-policy-v1","storagePolicyConfig":{},"contents":{` + contents + `}}`
	}
	const md5 = `"digest":"XUFAKrxLKna5cZ2REBfFkg==","size":5`
	for name, text := range map[string]string{
		"empty":              ``,
		"cut off":            seenManifest[:200],
		"a list":             `[]`,
		"another version":    `{"version":2,"storagePolicy":"wandb-storage-policy-v1","contents":{}}`,
		"another policy":     `{"version":1,"storagePolicy":"tar","contents":{}}`,
		"another layout":     `{"version":1,"storagePolicy":"wandb-storage-policy-v1","storagePolicyConfig":{"storageLayout":"V3"},"contents":{}}`,
		"out of its folder":  with(`"../a":{` + md5 + `}`),
		"absolute":           with(`"/etc/passwd":{` + md5 + `}`),
		"empty path":         with(`"":{` + md5 + `}`),
		"backslash":          with(`"a\\b":{` + md5 + `}`),
		"unnormalised":       with(`"./a":{` + md5 + `}`),
		"invisible":          with(`"a\u202eb":{` + md5 + `}`),
		"no digest":          with(`"a":{"size":5}`),
		"no size":            with(`"a":{"digest":"XUFAKrxLKna5cZ2REBfFkg=="}`),
		"negative size":      with(`"a":{"digest":"XUFAKrxLKna5cZ2REBfFkg==","size":-5}`),
		"size no integer":    with(`"a":{"digest":"XUFAKrxLKna5cZ2REBfFkg==","size":5.5}`),
		"size too large":     with(`"a":{"digest":"XUFAKrxLKna5cZ2REBfFkg==","size":99999999999999999999}`),
		"digest too short":   with(`"a":{"digest":"XUFAKrxLKna5cZ2REBfF","size":5}`),
		"digest in hex":      with(`"a":{"digest":"5d41402abc4b2a76b9719d911017c592","size":5}`),
		"digest not minimal": with(`"a":{"digest":"XUFAKrxLKna5cZ2REBfFkh==","size":5}`),
		"digest two lines":   with(`"a":{"digest":"XUFAKrxLKna5cZ2R\nEBfFkg==","size":5}`),
		"reference, lines":   with(`"a":{"digest":"x\ny:z","ref":"s3://b/k","size":5}`),
		"reference, none":    with(`"a":{"ref":"s3://b/k","size":5}`),
		"extra is no object": with(`"a":{"digest":"x","ref":"s3://b/k","size":5,"extra":[1]}`),
	} {
		if m, err := ParseManifest([]byte(text)); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: got %v, %v; want ErrInvalid", name, m, err)
		} else if len(err.Error()) > 400 {
			t.Errorf("%s: a message of %d bytes", name, len(err.Error()))
		}
	}
}

func TestStream(t *testing.T) {
	zero := 0
	got, err := ParseStream([]byte(`{"files":{"wandb-history.jsonl":{"offset":3,"content":["{\"loss\":NaN}"],"new":1}},
		"uploaded":["a/b.txt"],"complete":true,"exitcode":0,"dropped":7}`))
	want := Stream{
		Files:    map[string]StreamFile{HistoryFile: {3, []string{`{"loss":NaN}`}}},
		Uploaded: []string{"a/b.txt"}, Complete: true, ExitCode: &zero,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if _, err := ParseStream([]byte(` {}`)); err != nil {
		t.Errorf("a sign of life: %v", err)
	}
	for name, body := range map[string]string{
		"empty": "", "null": "null", "list": "[]", "cut off": `{"files":{"a":{"offset":0,"content":["`,
		"offset negative":      `{"files":{"a":{"offset":-1,"content":[]}}}`,
		"offset no integer":    `{"files":{"a":{"offset":0.5,"content":[]}}}`,
		"offset a text":        `{"files":{"a":{"offset":"0","content":[]}}}`,
		"offset huge":          `{"files":{"a":{"offset":9223372036854775807,"content":["x"]}}}`,
		"content a text":       `{"files":{"a":{"offset":0,"content":"x"}}}`,
		"lines are objects":    `{"files":{"a":{"offset":0,"content":[{}]}}}`,
		"no name":              `{"files":{"":{"offset":0,"content":[]}}}`,
		"long name":            `{"files":{"` + strings.Repeat("a", 1025) + `":{"offset":0,"content":[]}}}`,
		"files a list":         `{"files":[]}`,
		"complete a text":      `{"complete":"yes"}`,
		"exit code a fraction": `{"complete":true,"exitcode":0.5}`,
		"two bodies":           `{}{}`,
	} {
		if _, err := ParseStream([]byte(body)); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func TestConfig(t *testing.T) {
	tree, err := DecodeObject([]byte(`{"lr":{"value":0.1,"desc":null},"nested":{"value":{"value":1}},"old":{"x":1},"bare":3,"_wandb":{"value":{"t":{"5":"0.31.0"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	params, client := UnwrapConfig(tree)
	n := func(s string) json.Number { return json.Number(s) }
	if diff := cmp.Diff(map[string]any{"lr": n("0.1"), "nested": map[string]any{"value": n("1")}, "old": map[string]any{"x": n("1")}, "bare": n("3")}, params); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"t": map[string]any{"5": "0.31.0"}}, client); diff != "" {
		t.Error(diff)
	}
	// What is wrapped comes out as it was.
	wrapped := WrapConfig(map[string]any{"value": map[string]any{"value": 1}, "_wandb": "mine"}, map[string]any{"t": true})
	params, client = UnwrapConfig(wrapped)
	if diff := cmp.Diff(map[string]any{"value": map[string]any{"value": 1}}, params); diff != "" || client["t"] != true {
		t.Error(diff, client)
	}
	if params, client := UnwrapConfig(nil); len(params) != 0 || client != nil {
		t.Errorf("nothing: got %v, %v", params, client)
	}
}

func TestDecodeSaysWhatIsWrong(t *testing.T) {
	for _, text := range []string{``, `{"a":1,}`, `[1]`, `nan`, strings.Repeat("[", 1_000_000)} {
		if v, err := DecodeObject([]byte(text)); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%.20q: got %v, %v; want ErrInvalid", text, v, err)
		}
	}
	if _, err := Encode(map[string]any{"c": make(chan int)}); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	got, err := Encode(solera.Fields{"x": solera.Fields{"y": math.NaN()}})
	if want := `{"x":{"y":NaN}}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(seenManifest))
	f.Add([]byte(`{"version":1,"storagePolicy":"wandb-storage-policy-v1","contents":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			if !errors.Is(err, solera.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		for _, e := range m.Entries {
			if err := solera.CheckPath(e.Path); err != nil {
				t.Fatal(err)
			}
		}
		text, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseManifest(text)
		if err != nil || again.Digest() != m.Digest() || again.Size() != m.Size() {
			t.Fatalf("%q came back as %q: %v", b, text, err)
		}
	})
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(`{"files":{"wandb-history.jsonl":{"offset":3,"content":["{}"]}},"complete":true,"exitcode":0}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseStream(b)
		if err != nil {
			if !errors.Is(err, solera.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		for name, file := range s.Files {
			if name == "" || file.Offset < 0 || file.Offset+int64(len(file.Content)) < file.Offset {
				t.Fatalf("%q: offset %d, %d lines", name, file.Offset, len(file.Content))
			}
		}
	})
}
