package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/solera-ml/solera/internal/clustertest"
)

// Servers that stop and start again while a project runs cost time, and nothing
// else: the run ends well, with the artifacts of an undisturbed one.
func TestDisturbedRunEndsLikeAnUndisturbedOne(t *testing.T) {
	control := os.Getenv("SOLERA_TEST_CONTROL")
	if control == "" || !onCluster() {
		t.Skip("SOLERA_TEST_CONTROL is not set: make test-cluster sets it")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	solera := filepath.Join(t.TempDir(), "solera") // by this name the test binary is the program
	if err := os.Symlink(self, solera); err != nil {
		t.Skip(err)
	}
	run := func(disturb func()) (digests []string) {
		dir := t.TempDir()
		env := append(os.Environ(), "CI=true", "XDG_CONFIG_HOME="+dir,
			"SOLERA_STORE="+clustertest.Postgres(t), "SOLERA_BLOBS="+clustertest.S3(t))
		command := func(args ...string) *exec.Cmd {
			c := exec.Command(solera, append([]string{"-C", dir}, args...)...)
			c.Env = env
			return c
		}
		if out, err := command("init", "wine").CombinedOutput(); err != nil {
			t.Fatalf("init: %v\n%s", err, out)
		}
		var out, errs bytes.Buffer
		c := command("run", "--json")
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- c.Wait() }()
		for {
			select {
			case err := <-ended:
				if err != nil {
					t.Fatalf("run: %v\n%s", err, errs.String())
				}
				var result struct {
					Artifacts []struct{ Name, Digest string }
				}
				if err := json.Unmarshal(out.Bytes(), &result); err != nil {
					t.Fatal(err)
				}
				for _, a := range result.Artifacts {
					digests = append(digests, a.Name+" "+a.Digest)
				}
				return digests
			case <-time.After(100 * time.Millisecond):
				disturb()
			}
		}
	}
	post := func(path string) {
		res, err := http.Post(control+path, "", nil)
		if err != nil {
			t.Error(err)
			return
		}
		res.Body.Close()
	}
	want := run(func() {})
	for _, how := range []string{"/postgres/fast", "/postgres/kill", "/s3/down /s3/up"} {
		times := 0
		got := run(func() {
			if times < 5 {
				for path := range strings.FieldsSeq(how) {
					post(path)
				}
				times++
			}
		})
		if len(got) != 6 || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", how, got, want)
		}
		t.Logf("%s: %d times", how, times)
	}
}
