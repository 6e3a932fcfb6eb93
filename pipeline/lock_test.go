package pipeline

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
)

func TestALockReadsBack(t *testing.T) {
	digest := rapid.Custom(func(t *rapid.T) string {
		return solera.DigestOf(rapid.SliceOf(rapid.Byte()).Draw(t, "content")).String()
	})
	rapid.Check(t, func(t *rapid.T) {
		want := &Lock{
			Source:       rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"sample:wine", "null", "1e3", "data/*.csv", "a: b", "- x", "no", "#"})).Draw(t, "source"),
			SourceDigest: digest.Draw(t, "source digest"),
			Artifacts:    rapid.MapOf(rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._-]{0,20}`), digest).Draw(t, "artifacts"),
		}
		want.Source = strings.ToValidUTF8(want.Source, "")
		got, err := parseLock("solera.lock", want.Text())
		if err != nil {
			t.Fatalf("%v\n%s", err, want.Text())
		}
		if got.Artifacts == nil {
			got.Artifacts = map[string]string{}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s\n%s", diff, want.Text())
		}
		if len(want.Changes(got)) != 0 {
			t.Fatal("a lock differs from itself")
		}
	})
}

func TestLocksThatAreNoneAreRefused(t *testing.T) {
	for name, src := range map[string]string{
		"a conflict":      "artifacts:\n<<<<<<< ours\n  a: sha256:00\n=======\n",
		"no digest":       "artifacts:\n  a: v7\n",
		"another key":     "versions: {a: v0}\n",
		"a list":          "artifacts: [a]\n",
		"not a text file": "\xff\xfe\x00",
	} {
		_, err := parseLock("solera.lock", []byte(src))
		var fault *solera.InputError
		if !errors.As(err, &fault) || fault.File != "solera.lock" || fault.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALockKeepsWhatARunDidNotTouch(t *testing.T) {
	c := parse(t, wineYAML)
	d := func(s string) solera.Digest { return solera.DigestOf([]byte(s)) }
	old := &Lock{Source: "old.csv", SourceDigest: "sha256:00", Artifacts: map[string]string{"wine-raw": d("raw").String(), "gone": d("gone").String()}}
	part := c.Lock(old, &Result{Stages: []StageResult{{Train, Ran}}, Artifacts: []Made{{Name: "m", Digest: d("m")}}})
	if diff := cmp.Diff(&Lock{"old.csv", "sha256:00", map[string]string{"wine-raw": d("raw").String(), "gone": d("gone").String(), "m": d("m").String()}}, part); diff != "" {
		t.Errorf("a part: %s", diff)
	}
	var stages []StageResult
	for _, s := range Stages() {
		stages = append(stages, StageResult{s, Ran})
	}
	all := c.Lock(old, &Result{Stages: stages, SourceDigest: "sha256:11", Artifacts: []Made{{Name: "m", Digest: d("m")}}})
	if diff := cmp.Diff(&Lock{"sample:wine", "sha256:11", map[string]string{"m": d("m").String()}}, all); diff != "" {
		t.Errorf("all: %s", diff)
	}
	want := []LockChange{{"source", "sha256:00", "sha256:11"}, {"gone", d("gone").String(), ""}, {"m", "", d("m").String()}, {"wine-raw", d("raw").String(), ""}}
	if diff := cmp.Diff(want, old.Changes(all)); diff != "" {
		t.Errorf("changes: %s", diff)
	}
}

func TestALockNamesNoForeignPath(t *testing.T) {
	for source, want := range map[string]string{
		"data.csv": "data.csv", "sub/*.csv": "sub/*.csv", "/home/ana/data.csv": "data.csv", "../../archive/data.csv": "data.csv", "sample:wine": "sample:wine",
	} {
		if got := parse(t, "data: {target: y, source: \""+source+"\"}").lockedSource(); got != want {
			t.Errorf("%s is locked as %s, want %s", source, got, want)
		}
	}
}

func TestAnUnchangedLockIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "solera.lock")
	l := &Lock{Source: "sample:wine", SourceDigest: "sha256:00", Artifacts: map[string]string{"a": "sha256:11"}}
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	for range 2 {
		if err := WriteLock(path, l); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteLock(path, l); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || !info.ModTime().Equal(old) {
		t.Errorf("an unchanged lock was written: %v %v", info.ModTime(), err)
	}
	l.Artifacts["b"] = "sha256:22"
	if err := WriteLock(path, l); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != string(l.Text()) {
		t.Errorf("%s %v", b, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("beside the lock are %v", left)
	}
	if err := WriteLock(filepath.Join(filepath.Dir(path), "none", "solera.lock"), l); err == nil {
		t.Error("a folder that is not there takes a lock")
	}
}
