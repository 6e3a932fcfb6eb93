package main

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store"
)

// hostileStore has one run whose every text wants to be something else.
func hostileStore(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	ctx := context.Background()
	s, err := store.OpenSQLite(ctx, filepath.Join(folder, "solera.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const bad = "\x1b[31mred\x1b[0m\r\nrun-2 finished \u202egnp.exe\u200b\"'`,;\u2028="
	run := solera.Run{
		ID: "r1", Project: "p", Stage: bad, Experiment: bad, Name: bad, Group: bad, Notes: bad, Error: bad, Host: bad, Solera: bad,
		State: solera.Failed, Tags: []string{bad}, Created: 1, Started: 1, Finished: 2_000_001,
		Params: solera.Fields{bad: bad, "list": []any{bad}}, Summary: solera.Fields{bad: map[string]any{bad: 0.5}}, Environment: solera.Fields{bad: bad},
	}
	err = s.Update(ctx, func(tx solera.Tx) error {
		other := run
		other.ID = "r2"
		other.Params = solera.Fields{bad: "other"}
		if err := tx.CreateRun(other); err != nil {
			return err
		}
		return tx.CreateRun(run)
	})
	if err != nil {
		t.Fatal(err)
	}
	points := []solera.Point{
		{Key: bad, Step: 1, Value: math.NaN()}, {Key: bad, Step: 2, Value: math.Inf(1)}, {Key: bad, Step: 3, Value: math.Inf(-1)}, {Key: bad, Step: 4, Value: 0.5},
	}
	if _, err := s.Append(ctx, "r1", points); err != nil {
		t.Fatal(err)
	}
	if err := s.Print(ctx, "r1", []solera.Line{{Stream: "out", Text: bad}}); err != nil {
		t.Fatal(err)
	}
	return folder
}

func runMain(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(append([]string{"solera"}, args...), strings.NewReader(""), &out, &errs, func(string) string { return "" })
	return code, out.String(), errs.String()
}

func TestHostileRunsCannotMoveTheTerminal(t *testing.T) {
	folder := hostileStore(t)
	at := []string{"-C", folder, "--store", folder, "--project", "p"}
	for _, args := range [][]string{
		{"runs"},
		{"runs", "r1"},
		{"runs", "--columns", "name,notes,tags"},
		{"runs", "r1", "--console"},
		{"runs", "r1", "--follow"},
		{"compare", "r1", "r2"},
		{"compare", "r1", "r2", "--all"},
		{"runs", "\x1b[31m"},
		{"runs", "--where", "name = \x1b"},
		{"runs", "--sort", "\x1b[31m"},
		{"runs", "r1", "--metric", "\x1b[31m"},
	} {
		_, stdout, stderr := runMain(t, append(args, at...)...)
		for _, out := range []string{stdout, stderr} {
			for line := range strings.Lines(out) {
				if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\x1b\r\u202e\u200b\u2028") {
					t.Errorf("%q prints %q", args, line)
				}
				if strings.HasPrefix(line, "run-2 finished") {
					t.Errorf("%q: a name makes a line of its own: %q", args, line)
				}
			}
		}
	}
}

func TestRunsAreExactInJSON(t *testing.T) {
	folder := hostileStore(t)
	at := []string{"-C", folder, "--store", folder, "--project", "p"}
	code, stdout, stderr := runMain(t, append([]string{"runs", "r1", "--json"}, at...)...)
	var d struct {
		Name    string
		Metrics []string
		Params  map[string]any
	}
	if err := json.Unmarshal([]byte(stdout), &d); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	if !strings.HasPrefix(d.Name, "\x1b[31mred") || len(d.Metrics) != 1 || d.Metrics[0] != d.Name || d.Params[d.Name] != d.Name {
		t.Errorf("texts changed on their way: %q", stdout)
	}
	code, stdout, stderr = runMain(t, append([]string{"runs", "r1", "--metric", d.Name, "--json"}, at...)...)
	var s struct {
		Key    string
		Points [][2]any
	}
	if err := json.Unmarshal([]byte(stdout), &s); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
	}
	want := [][2]any{{1.0, nil}, {2.0, "Infinity"}, {3.0, "-Infinity"}, {4.0, 0.5}}
	if s.Key != d.Name || len(s.Points) != len(want) {
		t.Fatalf("got %s", stdout)
	}
	for i := range want {
		if s.Points[i] != want[i] {
			t.Errorf("point %d is %v, want %v", i, s.Points[i], want[i])
		}
	}
}

func TestDeletedRunComesBackByItsID(t *testing.T) {
	folder := hostileStore(t)
	at := []string{"-C", folder, "--store", folder, "--project", "p", "--json"}
	for _, step := range []struct {
		verb string
		left int
	}{{"delete", 1}, {"restore", 2}} {
		if code, _, stderr := runMain(t, append([]string{"runs", step.verb, "r1"}, at...)...); code != 0 {
			t.Fatal(stderr)
		}
		_, stdout, _ := runMain(t, append([]string{"runs"}, at...)...)
		var list []runJSON
		if err := json.Unmarshal([]byte(stdout), &list); err != nil || len(list) != step.left {
			t.Errorf("%s: %d runs, want %d (%v)", step.verb, len(list), step.left, err)
		}
	}
}
