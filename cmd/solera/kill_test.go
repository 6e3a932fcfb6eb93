package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A run that is interrupted or killed at any moment, in whichever stage that
// falls, goes on and ends with the artifacts of an undisturbed run. The moments
// are drawn over the time that a whole run takes; the seed is logged.
func TestAStopAtAnyMomentOfAnyStageChangesNothing(t *testing.T) {
	rounds := 24
	if testing.Short() {
		rounds = 6 // under the race detector a process takes ten times as long
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	solera := filepath.Join(t.TempDir(), "solera") // by this name the test binary is the program
	if err := os.Symlink(self, solera); err != nil {
		t.Skip(err)
	}
	config := t.TempDir()
	command := func(dir string, args ...string) *exec.Cmd {
		c := exec.Command(solera, append([]string{"-C", dir}, args...)...)
		c.Env = append(os.Environ(), "CI=true", "XDG_CONFIG_HOME="+config)
		return c
	}
	project := func() string {
		dir := t.TempDir()
		if out, err := command(dir, "init", "wine").CombinedOutput(); err != nil {
			t.Fatalf("init: %v\n%s", err, out)
		}
		return dir
	}
	digests := func(dir string) (list []string) {
		var errs bytes.Buffer
		c := command(dir, "run", "--json")
		c.Stderr = &errs
		out, err := c.Output()
		if err != nil {
			t.Fatalf("run: %v\n%s", err, errs.String())
		}
		var res struct {
			Artifacts []struct{ Name, Digest string }
		}
		if err := json.Unmarshal(out, &res); err != nil {
			t.Fatal(err)
		}
		for _, a := range res.Artifacts {
			list = append(list, a.Name+" "+a.Digest)
		}
		return list
	}
	start := time.Now()
	want := digests(project())
	whole := time.Since(start)

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, a whole run takes %v", seed, whole)
	random := rand.New(rand.NewPCG(seed, 1))
	dir := project()
	for round := range rounds {
		if round%6 == 5 {
			dir = project() // the early stages again
		}
		c := command(dir, "run", "-q")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.Int64N(int64(whole))))
		signal := syscall.SIGKILL
		if round%2 == 1 {
			signal = syscall.SIGINT
		}
		_ = c.Process.Signal(signal) // it may have ended by then
		_ = c.Wait()
		if round%3 != 2 {
			continue // stopped again before it ever ended
		}
		got := digests(dir)
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("round %d: got %v, want %v", round, got, want)
			}
		}
	}
}
