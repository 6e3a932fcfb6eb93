package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/tensor"
	"github.com/solera-ml/solera/tracking"
)

const smallYAML = `
project: iris
data: {source: sample:iris, target: species}
model: {layers: [8]}
train: {epochs: 3, batch_size: 16}
`

// reproducer returns a Reproducer of p's store.
func reproducer(t *testing.T, p *Pipeline) *Reproducer {
	t.Helper()
	return &Reproducer{Tracker: p.Tracker, Scratch: project(t, t.TempDir(), smallYAML).Tracker}
}

func reproduce(t *testing.T, r *Reproducer, ref string) *Reproduction {
	t.Helper()
	res, err := r.Run(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// outcomes says what became of each version, in short.
func outcomes(r *Reproduction) []string {
	var out []string
	for _, v := range r.Versions {
		word := "same"
		switch {
		case v.Failed != "":
			word = "failed"
		case v.Given != "" && v.Same:
			word = "given"
		case v.Given != "":
			word = "not made"
		case !v.Same:
			word = "differs"
		}
		out = append(out, v.Ref+" "+word)
	}
	return out
}

func run(t *testing.T, p *Pipeline, stages ...string) {
	t.Helper()
	if _, err := p.Run(t.Context(), stages...); err != nil {
		t.Fatal(err)
	}
}

const trained = "trained-iris-model-exp001"

var allSame = []string{"iris-raw:v0 same", "iris-preprocess:v0 same", "IrisClassifier:v0 same", trained + ":v0 same"}

func TestWhatAnotherKernelMadeIsReproduced(t *testing.T) {
	oneByOne(t)
	for _, kernel := range []string{"portable", "avx2", "avx512", "neon"} {
		t.Run(kernel, func(t *testing.T) {
			e, err := tensor.NewEngine(kernel, 1)
			if err != nil {
				t.Skip(err)
			}
			e.Close()
			p := project(t, t.TempDir(), smallYAML)
			p.Kernel, p.Workers = kernel, 1
			run(t, p)
			res := reproduce(t, reproducer(t, p), trained)
			if diff := cmp.Diff(allSame, outcomes(res)); diff != "" || !res.OK {
				t.Errorf("ok %v, %s", res.OK, diff)
			}
			for _, v := range res.Versions {
				if v.Reproduced == nil || *v.Reproduced != v.Digest || v.First != nil || v.OtherCode != nil {
					t.Errorf("%s: %+v", v.Ref, v)
				}
			}
		})
	}
}

// forge commits content in the place of the newest version of an artifact, as if
// the run that made it had made that.
func forge(t *testing.T, p *Pipeline, name string, change func(path string, content []byte) []byte) {
	t.Helper()
	old, err := p.Tracker.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	record, err := p.Tracker.Run(t.Context(), old.Run)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Tracker.Start(t.Context(), tracking.RunSpec{Stage: record.Stage, Experiment: record.Experiment, Params: record.Params, Recipe: record.Recipe, Code: record.Code})
	if err != nil {
		t.Fatal(err)
	}
	g, err := p.Tracker.Lineage(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range g.Edges {
		if e.To == string(old.Run) {
			if _, err := r.Use(t.Context(), e.From); err != nil {
				t.Fatal(err)
			}
		}
	}
	files := map[string]tracking.Source{}
	for _, e := range old.Files {
		b, err := old.ReadFile(e.Path)
		if err != nil {
			t.Fatal(err)
		}
		files[e.Path] = tracking.Bytes(change(e.Path, b))
	}
	if _, isNew, err := r.Commit(t.Context(), tracking.Draft{Artifact: old.Artifact, Type: old.Type, Metadata: old.Metadata, Files: files}); err != nil || !isNew {
		t.Fatal(isNew, err)
	}
	if err := r.Finish(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
}

func TestTheFirstDifferenceIsNamed(t *testing.T) {
	oneByOne(t)
	p := project(t, t.TempDir(), smallYAML)
	run(t, p)
	tests := map[string]struct {
		artifact string
		file     string
		change   func(t *testing.T, content []byte) []byte
		want     Difference // without After, where what was changed follows from the bytes
	}{
		"a weight": {trained, "weights.safetensors", func(t *testing.T, b []byte) []byte {
			tensors, meta, err := nn.ReadSafetensors(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range tensors {
				if x.Name == "0.weight" {
					x.Data[17] = math.Float32frombits(0x3dcccccd) // 0.1
				}
			}
			var out bytes.Buffer
			if err := nn.WriteSafetensors(&out, tensors, meta); err != nil {
				t.Fatal(err)
			}
			return out.Bytes()
		}, Difference{File: "weights.safetensors", Kind: TensorDiffers, Name: "0.weight", Index: 17, Before: "0.1"}},
		"a score": {trained, "report.json", func(t *testing.T, b []byte) []byte {
			var v map[string]any
			if err := json.Unmarshal(b, &v); err != nil {
				t.Fatal(err)
			}
			v["test"].(map[string]any)["accuracy"].(map[string]any)["value"] = 1.5
			out, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}, Difference{File: "report.json", Kind: FieldDiffers, Name: "test.accuracy.value", Index: -1, Before: "1.5"}},
		"a byte": {trained, "history.parquet", func(_ *testing.T, b []byte) []byte {
			return append([]byte("XXXX"), b[4:]...)
		}, Difference{File: "history.parquet", Kind: ByteDiffers, Index: 0, Before: "0x58"}},
		"another row": {"iris-raw", "val.parquet", func(t *testing.T, _ []byte) []byte {
			s, err := p.Tracker.Open(t.Context(), "iris-raw:v0")
			if err != nil {
				t.Fatal(err)
			}
			b, err := s.ReadFile("test.parquet")
			if err != nil {
				t.Fatal(err)
			}
			return b
		}, Difference{File: "val.parquet", Kind: CellDiffers, Name: "row"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			forge(t, p, test.artifact, func(path string, b []byte) []byte {
				if path == test.file {
					return test.change(t, b)
				}
				return b
			})
			res := reproduce(t, reproducer(t, p), test.artifact)
			last := res.Versions[len(res.Versions)-1]
			if res.OK || last.Same || last.First == nil {
				t.Fatalf("ok %v: %+v", res.OK, last)
			}
			got := *last.First
			if got.After == "" || got.After == got.Before {
				t.Errorf("after is %q, before %q", got.After, got.Before)
			}
			if test.want.Name == "row" {
				got.Index, got.Before = 0, ""
			}
			got.After = ""
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			for _, v := range res.Versions[:len(res.Versions)-1] {
				if !v.Same {
					t.Errorf("%s, which nobody touched, differs", v.Ref)
				}
			}
			forge(t, p, test.artifact+":v0", func(_ string, b []byte) []byte { return b })
		})
	}
}

const table40 = "x,z,y\n" + "0.0,0,a\n6.5,3,b\n1.5,1,a\n8.0,4,b\n3.0,2,a\n4.0,0,b\n4.5,3,a\n5.5,1,b\n0.5,4,a\n7.0,2,b\n" +
	"2.0,0,a\n3.0,3,b\n3.5,1,a\n4.5,4,b\n5.0,2,a\n6.0,0,b\n1.0,3,a\n7.5,1,b\n2.5,4,a\n3.5,2,b\n"

const fileYAML = `
project: small
data: {source: small.csv, target: y, split: {train: 0.6, val: 0.2, test: 0.2}}
model: {layers: [4]}
train: {epochs: 2, batch_size: 4}
`

func TestTheSourceIsFoundByItsContent(t *testing.T) {
	oneByOne(t)
	dir := t.TempDir()
	write := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	source := write("small.csv", table40)
	p := project(t, dir, fileYAML)
	p.Config.dir = dir
	run(t, p)
	at := func(change func(*Reproducer)) *Reproducer {
		r := reproducer(t, p)
		r.Dir = dir
		change(r)
		return r
	}
	const model = "trained-small-model-exp001"
	same := []string{"small-raw:v0 same", "small-preprocess:v0 same", "SmallClassifier:v0 same", model + ":v0 same"}
	given := []string{"small-raw:v0 given", "small-preprocess:v0 same", "SmallClassifier:v0 same", model + ":v0 same"}
	expect := func(r *Reproducer, want []string) {
		t.Helper()
		res := reproduce(t, r, model)
		if diff := cmp.Diff(want, outcomes(res)); diff != "" || !res.OK {
			t.Errorf("ok %v, %s", res.OK, diff)
		}
	}
	expect(at(func(*Reproducer) {}), same)

	moved := write("archive.csv", table40)
	write("small.csv", table40+"9.0,1,a\n")
	_, err := at(func(*Reproducer) {}).Run(t.Context(), model)
	var fault *solera.InputError
	if !errors.As(err, &fault) || !strings.Contains(fault.Msg, "small.csv has other content") || !strings.Contains(fault.Hint, "--source FILE") || !strings.Contains(fault.Hint, "--from-stored-data") {
		t.Errorf("a source that changed: %v", err)
	}
	expect(at(func(r *Reproducer) { r.Sources = []string{filepath.Join(dir, "nothing.csv"), moved} }), same)
	expect(at(func(r *Reproducer) { r.Stored = true }), given)

	if err := os.Remove(source); err != nil {
		t.Fatal(err)
	}
	if _, err := at(func(*Reproducer) {}).Run(t.Context(), model); err == nil || !strings.Contains(err.Error(), "small.csv is not there") {
		t.Errorf("a source that is gone: %v", err)
	}
	// What load made cannot stand for itself.
	if _, err := at(func(r *Reproducer) { r.Stored = true }).Run(t.Context(), "small-raw"); err == nil {
		t.Error("the raw data proves itself")
	}
}

// change rewrites the record of the run that made a version.
func change(t *testing.T, p *Pipeline, ref string, fn func(*solera.Run)) {
	t.Helper()
	v, err := p.Tracker.Version(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Tracker.Store.Update(t.Context(), func(tx solera.Tx) error {
		run, err := tx.Run(v.Run)
		if err != nil {
			return err
		}
		fn(&run)
		return tx.UpdateRun(run)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatNoStageMadeIsTakenAsGiven(t *testing.T) {
	oneByOne(t)
	p := project(t, t.TempDir(), smallYAML)
	run(t, p)
	change(t, p, "iris-raw", func(r *solera.Run) { r.Stage = "add" })
	res := reproduce(t, reproducer(t, p), trained)
	want := []string{"iris-raw:v0 given", "iris-preprocess:v0 same", "IrisClassifier:v0 same", trained + ":v0 same"}
	if diff := cmp.Diff(want, outcomes(res)); diff != "" || !res.OK {
		t.Errorf("ok %v, %s", res.OK, diff)
	}
	if v := res.Versions[0]; v.Reproduced != nil || !strings.Contains(v.Given, "add") {
		t.Errorf("given: %+v", v)
	}
	res = reproduce(t, reproducer(t, p), "iris-raw")
	if diff := cmp.Diff([]string{"iris-raw:v0 not made"}, outcomes(res)); diff != "" || res.OK {
		t.Errorf("asked for itself: ok %v, %s", res.OK, diff)
	}
}

func TestExternalFilesStayWhereTheyAre(t *testing.T) {
	dir := t.TempDir()
	p := project(t, dir, smallYAML)
	run(t, p, Load)
	raw, err := p.Tracker.Open(t.Context(), "iris-raw")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]tracking.Source{}
	for _, e := range raw.Files {
		b, err := raw.ReadFile(e.Path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, e.Path), b, 0o644); err != nil {
			t.Fatal(err)
		}
		files[e.Path] = tracking.Reference("file:///data/"+e.Path, e.Digest, e.Size)
	}
	add, err := p.Tracker.Start(t.Context(), tracking.RunSpec{Stage: "add"})
	if err != nil {
		t.Fatal(err)
	}
	if _, isNew, err := add.Commit(t.Context(), tracking.Draft{Artifact: "iris-raw", Type: "dataset", Metadata: raw.Metadata, Files: files}); err != nil || !isNew {
		t.Fatal(isNew, err)
	}
	if err := add.Finish(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	p.Tracker.External = func(_ context.Context, e solera.Entry, _ int64) (io.ReadCloser, error) {
		return os.Open(filepath.Join(dir, filepath.Base(e.Ref)))
	}
	run(t, p, Preprocess)
	res := reproduce(t, reproducer(t, p), "iris-preprocess")
	if diff := cmp.Diff([]string{"iris-raw:v1 given", "iris-preprocess:v0 same"}, outcomes(res)); diff != "" || !res.OK {
		t.Errorf("ok %v, %s", res.OK, diff)
	}
}

func TestWhatOtherVersionsRecordedIsSaid(t *testing.T) {
	p := project(t, t.TempDir(), smallYAML)
	run(t, p)
	change(t, p, "IrisClassifier", func(r *solera.Run) { r.Params["pruning"], r.Solera = 0.5, "v7.0.0" })
	change(t, p, "iris-preprocess", func(r *solera.Run) { r.Code = solera.DigestOf([]byte("other")) })
	res := reproduce(t, reproducer(t, p), trained)
	want := []string{"iris-raw:v0 same", "iris-preprocess:v0 same", "IrisClassifier:v0 failed", trained + ":v0 same"}
	if diff := cmp.Diff(want, outcomes(res)); diff != "" || res.OK {
		t.Errorf("ok %v, %s", res.OK, diff)
	}
	if code := res.Versions[1].OtherCode; code == nil || *code != solera.DigestOf([]byte("other")) || res.Versions[0].OtherCode != nil {
		t.Errorf("other code is %v", code)
	}
	if why := res.Versions[2].Failed; !strings.Contains(why, "pruning") || !strings.Contains(why, "v7.0.0") {
		t.Errorf("failed: %s", why)
	}
}

func TestReusedVersionsAreReproduced(t *testing.T) {
	dir := t.TempDir()
	run(t, project(t, dir, smallYAML))
	run(t, project(t, dir, strings.Replace(smallYAML, "epochs: 3", "epochs: 4", 1)))
	p := project(t, dir, smallYAML)
	run(t, p)
	v, err := p.Tracker.Version(t.Context(), trained)
	if err != nil || v.Number != 2 {
		t.Fatalf("going back made v%d, %v", v.Number, err)
	}
	res := reproduce(t, reproducer(t, p), trained)
	want := append(allSame[:3:3], trained+":v2 same")
	if diff := cmp.Diff(want, outcomes(res)); diff != "" || !res.OK {
		t.Errorf("ok %v, %s", res.OK, diff)
	}
}

func TestAStoppedReproductionEnds(t *testing.T) {
	p := project(t, t.TempDir(), smallYAML)
	run(t, p)
	r := reproducer(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.Reporter = &interrupter{cancel: cancel, left: 2}
	res, err := r.Run(ctx, trained)
	if !errors.Is(err, solera.ErrStopped) || res == nil || res.OK || len(res.Versions) != 3 {
		t.Errorf("stopped: %v, %+v", err, res)
	}
}

func TestMissingStoredBytesAreNoProof(t *testing.T) {
	oneByOne(t)
	dir := t.TempDir()
	p := project(t, dir, smallYAML)
	run(t, p)
	change(t, p, "iris-raw", func(r *solera.Run) { r.Stage = "add" })
	v, err := p.Tracker.Version(t.Context(), "iris-raw")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Tracker.Blobs.Delete(t.Context(), v.Files[0].Digest); err != nil {
		t.Fatal(err)
	}
	if _, err := reproducer(t, p).Run(t.Context(), trained); err == nil || !strings.Contains(err.Error(), "solera verify iris-raw:v0") {
		t.Errorf("got %v, want the mend", err)
	}
	// A version that is made again needs no stored bytes at all.
	change(t, p, "iris-raw", func(r *solera.Run) { r.Stage = Load })
	if res := reproduce(t, reproducer(t, p), trained); !res.OK {
		t.Errorf("%v", outcomes(res))
	}
}
