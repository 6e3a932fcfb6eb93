package provenance

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
)

func digest(s string) solera.Digest { return solera.DigestOf([]byte(s)) }

// sample is a version with everything that a statement can say.
func sample(t testing.TB) (solera.Run, solera.Version, []solera.Version) {
	t.Helper()
	files := []solera.Entry{
		{Path: "b.txt", Digest: digest("b"), Size: 1},
		{Path: "a.txt", Digest: digest("a"), Size: 1},
		{Path: "far.parquet", Digest: digest("far"), Size: 3, Ref: "s3://bucket/far.parquet"},
	}
	d, err := solera.ContentDigest("model", nil, files)
	if err != nil {
		t.Fatal(err)
	}
	run := solera.Run{
		ID: "20261122-195312-k7q2mx", Project: "wine", Stage: "train", Experiment: "exp001",
		Params: solera.Fields{"seed": json.Number("9007199254740993"), "optimizer": "adam", "nested": map[string]any{"x": 0.1}},
		Recipe: digest("recipe"), Code: digest("code"), Solera: "1.2.3", Started: 1_795_000_000_000_000,
		Environment: solera.Fields{"go": "go1.26.8", "git": map[string]any{
			"commit": strings.Repeat("ab", 20), "remote": "https://ana:hunter2@example.com/wine.git", "dirty": true,
		}},
	}
	v := solera.Version{Project: "wine", Artifact: "model", Number: 3, Type: "model", Digest: d, Size: 5, Files: files, Run: run.ID}
	used := []solera.Version{
		{Project: "wine", Artifact: "wine-raw", Number: 1, Digest: digest("raw")},
		{Project: "wine", Artifact: "preprocess", Number: 0, Digest: digest("pre")},
	}
	return run, v, used
}

func newKey(t testing.TB, seed byte) Key {
	t.Helper()
	k, err := NewKey(bytes.NewReader(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, s Statement, k Key) []byte {
	t.Helper()
	b, err := Sign(s, k)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The golden is what other tools read: a change of it is a change of a format.
func TestStatementIsWhatItWas(t *testing.T) {
	got, err := New(sample(t)).Payload()
	if err != nil {
		t.Fatal(err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, got, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	const golden = "testdata/statement.json"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
		t.Errorf("the statement differs (-want +got):\n%s", diff)
	}
	if bytes.Contains(got, []byte("hunter2")) {
		t.Error("the password of the remote is in the statement")
	}
	if !bytes.Contains(got, []byte(`"seed":9007199254740993`)) {
		t.Error("the seed lost its last digit")
	}
}

// DSSE by hand, with nothing but the standard library: what an auditor would
// write in another language.
func TestSignatureHoldsByHand(t *testing.T) {
	key := newKey(t, 1)
	raw := sign(t, New(sample(t)), key)

	var envelope struct {
		PayloadType, Payload string
		Signatures           []struct{ KeyID, Sig string }
	}
	if err := json.Unmarshal(raw, &envelope); err != nil {
		t.Fatal(err)
	}
	payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := base64.StdEncoding.DecodeString(envelope.Signatures[0].Sig)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(key.Public()))
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	signed := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(envelope.PayloadType), envelope.PayloadType, len(payload), payload)
	if !ed25519.Verify(public.(ed25519.PublicKey), signed, sig) {
		t.Error("the signature does not hold over DSSE's encoding of the payload")
	}
	if want := solera.DigestOf(block.Bytes).Hex(); envelope.Signatures[0].KeyID != want || key.ID() != want {
		t.Errorf("key ID %s, want the SHA-256 of the key's DER, %s", envelope.Signatures[0].KeyID, want)
	}
}

func TestEqualRecordsGiveEqualBytes(t *testing.T) {
	key := newKey(t, 1)
	want := sign(t, New(sample(t)), key)
	rapid.Check(t, func(rt *rapid.T) {
		run, v, used := sample(t)
		v.Files = rapid.Permutation(v.Files).Draw(rt, "files")
		used = rapid.Permutation(append(used, used[0])).Draw(rt, "used")
		got, err := Sign(New(run, v, used), key)
		if err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			rt.Fatalf("got %s, want %s", got, want)
		}
	})
}

func TestVerifyReturnsWhatWasSigned(t *testing.T) {
	key, other := newKey(t, 1), newKey(t, 2)
	s := New(sample(t))
	e, err := ParseEnvelope(sign(t, s, key))
	if err != nil {
		t.Fatal(err)
	}
	got, by, err := e.Verify([]Key{other, key, key})
	if err != nil {
		t.Fatal(err)
	}
	if by.ID() != key.ID() {
		t.Errorf("signed by %v, want %v", by, key)
	}
	if diff := Compare(got, s); len(diff) > 0 {
		t.Errorf("what comes back differs from what was signed: %v", diff)
	}
}

func TestWhatIsNotSignedIsRefused(t *testing.T) {
	key, other := newKey(t, 1), newKey(t, 2)
	s := New(sample(t))
	good := string(sign(t, s, key))
	edit := func(f func(e map[string]any)) string {
		var e map[string]any
		if err := json.Unmarshal([]byte(good), &e); err != nil {
			t.Fatal(err)
		}
		f(e)
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	signature := func(e map[string]any) map[string]any {
		return e["signatures"].([]any)[0].(map[string]any)
	}
	foreign := s
	foreign.Predicate.BuildDefinition.BuildType = "https://example.com/other"
	tests := []struct {
		name     string
		envelope string
		keys     []Key
		want     error
	}{
		{"nothing", "", []Key{key}, solera.ErrInvalid},
		{"no JSON", "hello", []Key{key}, solera.ErrInvalid},
		{"an empty object", "{}", []Key{key}, solera.ErrInvalid},
		{"half of it", good[:len(good)/2], []Key{key}, solera.ErrInvalid},
		{"two of it", good + good, []Key{key}, solera.ErrInvalid},
		{"another type of payload", edit(func(e map[string]any) { e["payloadType"] = "text/plain" }), []Key{key}, solera.ErrInvalid},
		{"a payload that is not base64", edit(func(e map[string]any) { e["payload"] = "!" }), []Key{key}, solera.ErrInvalid},
		{"no signature", edit(func(e map[string]any) { e["signatures"] = []any{} }), []Key{key}, solera.ErrInvalid},
		{"another payload", edit(func(e map[string]any) {
			e["payload"] = base64.StdEncoding.EncodeToString([]byte(`{}`))
		}), []Key{key}, solera.ErrCorrupt},
		{"a signature that is not base64", edit(func(e map[string]any) { signature(e)["sig"] = "!" }), []Key{key}, solera.ErrCorrupt},
		{"an empty signature", edit(func(e map[string]any) { signature(e)["sig"] = "" }), []Key{key}, solera.ErrCorrupt},
		{"the name of another key", edit(func(e map[string]any) { signature(e)["keyid"] = other.ID() }), []Key{key, other}, solera.ErrCorrupt},
		{"no key named", edit(func(e map[string]any) { signature(e)["keyid"] = "" }), []Key{key}, solera.ErrCorrupt},
		{"signed by another", good, []Key{other}, solera.ErrCorrupt},
		{"no key to trust", good, nil, solera.ErrCorrupt},
		{"a statement of another kind", string(sign(t, foreign, key)), []Key{key}, solera.ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e, err := ParseEnvelope([]byte(test.envelope))
			if err == nil {
				_, _, err = e.Verify(test.keys)
			}
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// Every bit of the payload and of the signature counts.
func TestOneBitBreaksTheSignature(t *testing.T) {
	key := newKey(t, 1)
	e, err := ParseEnvelope(sign(t, New(sample(t)), key))
	if err != nil {
		t.Fatal(err)
	}
	sig, err := base64.StdEncoding.DecodeString(e.envelope.Signatures[0].Sig)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(b []byte, bit int) string {
		b = slices.Clone(b)
		b[bit/8] ^= 1 << (bit % 8)
		return base64.StdEncoding.EncodeToString(b)
	}
	rapid.Check(t, func(rt *rapid.T) {
		bad := e
		bad.envelope.Signatures = slices.Clone(e.envelope.Signatures)
		if rapid.Bool().Draw(rt, "signature") {
			bad.envelope.Signatures[0].Sig = flip(sig, rapid.IntRange(0, 8*len(sig)-1).Draw(rt, "bit"))
		} else {
			bad.envelope.Payload = flip(e.payload, rapid.IntRange(0, 8*len(e.payload)-1).Draw(rt, "bit"))
		}
		if _, _, err := bad.Verify([]Key{key}); !errors.Is(err, solera.ErrCorrupt) {
			rt.Fatalf("got %v, want %v", err, solera.ErrCorrupt)
		}
	})
}

func TestManyFilesAreCoveredByTheVersion(t *testing.T) {
	run, v, _ := sample(t)
	v.Files = nil
	for i := range MaxSubjects + 5 {
		v.Files = append(v.Files, solera.Entry{Path: fmt.Sprintf("f%06d", i), Digest: digest(fmt.Sprint(i)), Size: 1})
	}
	s := New(run, v, nil)
	if len(s.Subject) != MaxSubjects+1 {
		t.Errorf("%d subjects, want %d", len(s.Subject), MaxSubjects+1)
	}
	if got := s.Subject[0].Annotations["files"]; got != MaxSubjects+5 {
		t.Errorf("%v files, want %d", got, MaxSubjects+5)
	}
}

func TestCompareNamesWhatDiffers(t *testing.T) {
	tests := []struct {
		name string
		edit func(*solera.Run, *solera.Version, *[]solera.Version)
		path string
		want string // in the detail, "" = no difference
	}{
		{"nothing", func(*solera.Run, *solera.Version, *[]solera.Version) {}, "", ""},
		{"what is no part of the claim", func(r *solera.Run, v *solera.Version, _ *[]solera.Version) {
			r.State, r.Notes, r.Summary, v.Aliases, v.Tags, v.Description = solera.Finished, "n", solera.Fields{"a": 1}, []string{"latest"}, []string{"t"}, "d"
		}, "", ""},
		{"another version", func(_ *solera.Run, v *solera.Version, _ *[]solera.Version) { v.Number = 4 }, "", "is about wine/model:v3"},
		{"content", func(_ *solera.Run, v *solera.Version, _ *[]solera.Version) { v.Digest = digest("other") }, "", "content of the version"},
		{"type", func(_ *solera.Run, v *solera.Version, _ *[]solera.Version) { v.Type = "dataset" }, "", `annotations.type: signed "model", recorded "dataset"`},
		{"a file", func(_ *solera.Run, v *solera.Version, _ *[]solera.Version) { v.Files[1].Digest = digest("x") }, "a.txt", "not what was signed"},
		{"where a file is", func(_ *solera.Run, v *solera.Version, _ *[]solera.Version) { v.Files[2].Ref = "s3://other/far.parquet" }, "far.parquet", "s3://other"},
		{"a file more", func(_ *solera.Run, v *solera.Version, _ *[]solera.Version) {
			v.Files = append(v.Files, solera.Entry{Path: "new", Digest: digest("new")})
		}, "new", "not signed"},
		{"a param", func(r *solera.Run, _ *solera.Version, _ *[]solera.Version) { r.Params["optimizer"] = "sgd" }, "", `params.optimizer: signed "adam", recorded "sgd"`},
		{"the last digit of a seed", func(r *solera.Run, _ *solera.Version, _ *[]solera.Version) {
			r.Params["seed"] = json.Number("9007199254740992")
		}, "", "params.seed: signed 9007199254740993, recorded 9007199254740992"},
		{"a nested param", func(r *solera.Run, _ *solera.Version, _ *[]solera.Version) {
			r.Params["nested"] = map[string]any{"x": 0.2}
		}, "", "params.nested.x: signed 0.1, recorded 0.2"},
		{"a param more", func(r *solera.Run, _ *solera.Version, _ *[]solera.Version) { r.Params["new"] = 1 }, "", "params.new: signed nothing, recorded 1"},
		{"a param less", func(r *solera.Run, _ *solera.Version, _ *[]solera.Version) { delete(r.Params, "seed") }, "", "recorded nothing"},
		{"the stage", func(r *solera.Run, _ *solera.Version, _ *[]solera.Version) { r.Stage = "load" }, "", "stage: "},
		{"the recipe", func(r *solera.Run, _ *solera.Version, _ *[]solera.Version) { r.Recipe = digest("x") }, "", "recipe: "},
		{"the code", func(r *solera.Run, _ *solera.Version, _ *[]solera.Version) { r.Code = solera.Digest{} }, "", "code: "},
		{"the program", func(r *solera.Run, _ *solera.Version, _ *[]solera.Version) { r.Solera = "9" }, "", "builder.version.solera"},
		{"the start", func(r *solera.Run, _ *solera.Version, _ *[]solera.Version) { r.Started++ }, "", "metadata.startedOn"},
		{"the commit", func(r *solera.Run, _ *solera.Version, _ *[]solera.Version) {
			r.Environment["git"] = map[string]any{"commit": strings.Repeat("cd", 20), "remote": "https://example.com/wine.git", "dirty": true}
		}, "", "the source tree, from which it was made, is not what was signed"},
		{"a dirty tree made clean", func(r *solera.Run, _ *solera.Version, _ *[]solera.Version) {
			r.Environment["git"] = map[string]any{"commit": strings.Repeat("ab", 20), "remote": "https://example.com/wine.git", "dirty": false}
		}, "", "annotations.dirty: signed true, recorded false"},
		{"an input less", func(_ *solera.Run, _ *solera.Version, used *[]solera.Version) { *used = (*used)[:1] }, "", "made from wine/preprocess:v0, says what was signed"},
		{"an input more", func(_ *solera.Run, _ *solera.Version, used *[]solera.Version) {
			*used = append(*used, solera.Version{Project: "wine", Artifact: "z", Digest: digest("z")})
		}, "", "made from wine/z:v0; what was signed does not"},
		{"an input's content", func(_ *solera.Run, _ *solera.Version, used *[]solera.Version) { (*used)[0].Digest = digest("x") }, "", "wine/wine-raw:v1, from which it was made, is not"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run, v, used := sample(t)
			test.edit(&run, &v, &used)
			got := Compare(New(sample(t)), New(run, v, used))
			if test.want == "" {
				if len(got) > 0 {
					t.Errorf("got %v, want no difference", got)
				}
				return
			}
			if !slices.ContainsFunc(got, func(d Difference) bool { return d.Path == test.path && strings.Contains(d.Detail, test.want) }) {
				t.Errorf("got %v, want %q at %q", got, test.want, test.path)
			}
		})
	}
}

func TestCredentialsAreNotSigned(t *testing.T) {
	tests := []struct{ text, want string }{
		{"data/wine.csv", "data/wine.csv"},
		{"a@b.example", "a@b.example"},
		{"https://example.com/a?b=c", "https://example.com/a?b=c"},
		{"https://ana:hunter2@example.com/a", "https://example.com/a"},
		{"https://ana@example.com/a", "https://example.com/a"},
		{"s3://b/k?AWSAccessKeyId=hunter2&x=1&Signature=hunter2", "s3://b/k?AWSAccessKeyId=REDACTED&x=1&Signature=REDACTED"},
		{"https://e.com/?X-Amz-Credential=hunter2&sig=hunter2&token=hunter2", "https://e.com/?X-Amz-Credential=REDACTED&sig=REDACTED&token=REDACTED"},
		{"https://ana:hunter2%zz@example.com/a", "https://example.com/a"},
		{"https://ana:hunter2 @exa mple.com", "https://exa mple.com"},
	}
	for _, test := range tests {
		got, ok := redact(map[string]any{"a": []any{test.text}}).(map[string]any)
		if want := []any{test.want}; !ok || !cmp.Equal(got["a"], any(want)) {
			t.Errorf("redact(%q) = %v, want %q", test.text, got, test.want)
		}
		if strings.Contains(fmt.Sprint(got), "hunter2") {
			t.Errorf("redact(%q) kept the secret: %v", test.text, got)
		}
	}
}

func TestRemotesAreWrittenAsURIs(t *testing.T) {
	tests := []struct{ remote, want string }{
		{"https://example.com/wine.git", "git+https://example.com/wine.git"},
		{"https://ana:hunter2@example.com/wine.git?token=hunter2", "git+https://example.com/wine.git"},
		{"git@example.com:ana/wine.git", "git+ssh://example.com/ana/wine.git"},
		{"ssh://git@example.com:2222/wine.git", "git+ssh://example.com:2222/wine.git"},
		{"/home/ana/wine", ""},
		{"../wine", ""},
		{"file:///home/ana/wine", ""},
		{`C:\wine`, ""},
		{"", ""},
	}
	for _, test := range tests {
		if got := gitURI(test.remote); got != test.want {
			t.Errorf("gitURI(%q) = %q, want %q", test.remote, got, test.want)
		}
	}
	for commit, algorithm := range map[string]string{strings.Repeat("a", 40): "gitCommit", strings.Repeat("a", 64): "gitCommitSha256", "main": "", strings.Repeat("A", 40): "", "": ""} {
		r, ok := sourceTree(solera.Fields{"git": map[string]any{"commit": commit}})
		if ok != (algorithm != "") || r.Digest[algorithm] != commit && ok {
			t.Errorf("commit %q gives %v, want %q", commit, r.Digest, algorithm)
		}
	}
}

// The library must agree that odd but legal records make a statement.
func TestAnyRecordMakesAStatement(t *testing.T) {
	key := newKey(t, 1)
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.String()
		run := solera.Run{
			ID: "r", Stage: text.Draw(rt, "stage"), Experiment: text.Draw(rt, "experiment"), Solera: text.Draw(rt, "solera"),
			Params: solera.Fields{text.Draw(rt, "key"): text.Draw(rt, "value"), "n": rapid.Uint64().Draw(rt, "n"), "x": rapid.Float64().Draw(rt, "x")},
		}
		v := solera.Version{Project: "p", Artifact: "a", Type: "t", Digest: digest("x"), Files: []solera.Entry{{Path: "f" + text.Draw(rt, "path"), Digest: digest("f")}}}
		s := New(run, v, nil)
		raw, err := Sign(s, key)
		if err != nil {
			rt.Fatal(err)
		}
		e, err := ParseEnvelope(raw)
		if err != nil {
			rt.Fatal(err)
		}
		got, _, err := e.Verify([]Key{key})
		if err != nil {
			rt.Fatal(err)
		}
		if diff := Compare(got, s); len(diff) > 0 {
			rt.Fatalf("what comes back differs: %v", diff)
		}
	})
}

// Whatever stands in a store, reading it ends with a statement or an error, and
// never with one that another payload would give.
func FuzzEnvelope(f *testing.F) {
	key := newKey(f, 1)
	s := New(sample(f))
	f.Add(sign(f, s, key))
	payload, err := s.Payload()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"","sig":""}]}`))
	f.Add([]byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"00"}}],"predicateType":"https://slsa.dev/provenance/v1","predicate":{}}`))
	f.Add([]byte(strings.Repeat(`{"a":`, 2000)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := ParseEnvelope(b); err == nil {
			if got, _, err := e.Verify([]Key{key}); err == nil && len(Compare(got, s)) > 0 {
				t.Errorf("a statement that was never signed was accepted: %s", e.Payload())
			}
		}
		got, err := ParseStatement(b)
		if err != nil {
			return
		}
		again, err := got.Payload()
		if err != nil {
			t.Fatalf("a statement that was read cannot be written: %v", err)
		}
		twice, err := ParseStatement(again)
		if err != nil {
			t.Fatalf("a statement that was written cannot be read: %v", err)
		}
		if diff := Compare(got, twice); len(diff) > 0 {
			t.Errorf("writing and reading changes the statement: %v", diff)
		}
	})
}

func TestKeysGiveNothingAway(t *testing.T) {
	key := newKey(t, 1)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, key); got != key.ID() {
			t.Errorf("%s prints %q", format, got)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	key := newKey(b, 1)
	s := New(sample(b))
	for b.Loop() {
		if _, err := Sign(s, key); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	key := newKey(b, 1)
	raw := sign(b, New(sample(b)), key)
	for b.Loop() {
		e, err := ParseEnvelope(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := e.Verify([]Key{key}); err != nil {
			b.Fatal(err)
		}
	}
}
