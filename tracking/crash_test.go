package tracking_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

// The test binary is also the process that gets killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SOLERA_TEST_COMMITTER"); dir != "" {
		committer(dir)
		return
	}
	os.Exit(m.Run())
}

func openTracker(dir string) (*tracking.Tracker, error) {
	s, blobs, err := openHome(dir)
	if err != nil {
		return nil, err
	}
	return &tracking.Tracker{Store: s, Blobs: blobs, Project: "wine"}, nil
}

// committer commits versions of three files without end and prints the number
// of each once it has it.
func committer(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	tr, err := openTracker(dir)
	fail(err)
	for i := 0; ; i++ {
		r, err := tr.Start(ctx, tracking.RunSpec{Stage: "train", Recipe: recipe(fmt.Sprint(os.Getpid(), i))})
		fail(err)
		fail(r.Record(1, map[string]float64{"loss": 1}))
		files := make(map[string]tracking.Source)
		for f := range 3 {
			files[fmt.Sprint("f", f)] = tracking.Writer(func(w io.Writer) error {
				_, err := io.Copy(w, strings.NewReader(strings.Repeat(fmt.Sprintln(os.Getpid(), i, f), 5000)))
				return err
			})
		}
		v, _, err := r.Commit(ctx, tracking.Draft{Artifact: "model", Type: "model", Files: files, Aliases: []string{"best"}})
		fail(err)
		fail(r.Finish(ctx, nil, nil))
		fmt.Println("version", v.Number)
	}
}

func TestKilledCommitIsWholeOrNotThere(t *testing.T) {
	rounds, seed := 6, uint64(time.Now().UnixNano())
	if n, err := strconv.Atoi(os.Getenv("SOLERA_CRASH_ROUNDS")); err == nil {
		rounds = n // make test-crash asks for more
	}
	if n, err := strconv.ParseUint(os.Getenv("SOLERA_CRASH_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("SOLERA_CRASH_SEED=%d SOLERA_CRASH_ROUNDS=%d", seed, rounds)
	random := rand.New(rand.NewPCG(seed, 0))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := newHome(t)
	acknowledged := make(map[int]bool)
	for round := range rounds {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "SOLERA_TEST_COMMITTER="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		killer := time.AfterFunc(time.Duration(50+random.IntN(250))*time.Millisecond, func() { cmd.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.Atoi(strings.TrimPrefix(lines.Text(), "version "))
			if err != nil {
				t.Errorf("round %d: the committer says %q", round, lines.Text())
			}
			acknowledged[n] = true
		}
		cmd.Wait()
		killer.Stop()
		checkWhole(t, dir, acknowledged)
	}
	t.Logf("%d versions were acknowledged", len(acknowledged))
}

// checkWhole reads every byte of every version, as the next command would.
func checkWhole(t *testing.T, dir string, acknowledged map[int]bool) {
	t.Helper()
	tr, err := openTracker(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Store.Close()
	if len(acknowledged) == 0 {
		return
	}
	versions, err := tr.Versions(ctx, "model")
	if err != nil {
		t.Fatal(err)
	}
	for n := range acknowledged {
		if n >= len(versions) {
			t.Errorf("acknowledged version v%d is gone", n)
		}
	}
	for i, v := range versions {
		if v.Number != len(versions)-1-i || len(v.Files) != 3 {
			t.Errorf("version %d of %d: number %d, %d files", i, len(versions), v.Number, len(v.Files))
		}
		for _, f := range v.Files {
			if _, err := tr.Snapshot(ctx, v).ReadFile(f.Path); err != nil {
				t.Error(err)
			}
		}
		g, err := tr.Lineage(ctx, v.Name())
		if err != nil || len(g.Nodes) != 2 {
			t.Errorf("lineage of %s: %+v, %v", v.Name(), g, err)
		}
		if run := g.Nodes[1].Run; acknowledged[v.Number] && run.State != solera.Finished {
			t.Errorf("%s was made by a run that is %s", v.Name(), run.State)
		}
	}
	best, err := tr.Version(ctx, "model:best")
	if err != nil || best.Number != versions[0].Number {
		t.Errorf("best is v%d, latest is v%d (%v)", best.Number, versions[0].Number, err)
	}
}
