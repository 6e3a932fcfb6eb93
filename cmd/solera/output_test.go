package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/eval"
	"github.com/solera-ml/solera/pipeline"
	"github.com/solera-ml/solera/tracking"
)

// testApp returns an app that writes into a buffer and has this environment.
func testApp(env map[string]string) (*app, *bytes.Buffer) {
	var out bytes.Buffer
	return &app{name: "solera", stdout: &out, stderr: &out, env: func(k string) string { return env[k] }}, &out
}

func TestPercentShowsNoMoreThanTheRowsCanTell(t *testing.T) {
	for _, tt := range []struct {
		x    float64
		n    int
		want string
	}{
		{1, 18, "100 %"},
		{17. / 18, 18, "94 %"},
		{0.9996, 10_000, "99.9 %"}, // not 100: some were wrong
		{1, 10_000, "100.0 %"},
		{0.999999, 1_000_000, "99.99 %"},
		{0, 18, "0 %"},
		{math.NaN(), 0, "—"},
	} {
		if got := percent(tt.x, tt.n); got != tt.want {
			t.Errorf("percent(%v, %d) = %q, want %q", tt.x, tt.n, got, tt.want)
		}
	}
	if got, want := share(eval.Share(eval.Accuracy, "test", 18, 18)), "18/18 = 100 %, 82–100 %"; got != want {
		t.Errorf("share %q, want %q", got, want)
	}
}

func TestTablesFitAHundredColumns(t *testing.T) {
	a, out := testApp(nil)
	long := strings.Repeat("word ", 60)
	if err := a.printTable([]string{"A", "B", "C"}, [][]string{{"1", long, "é\x1b[31mred"}, {"2", "short", long}}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		if n := len([]rune(line)); n > maxWidth || strings.HasSuffix(line, " ") {
			t.Errorf("line of %d columns: %q", n, line)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("an escape sequence of the data reaches the terminal")
	}
	for line := range strings.Lines(wrap(long + long)) {
		if len(strings.TrimSuffix(line, "\n")) > maxWidth {
			t.Errorf("wrapped line of %d columns", len(line))
		}
	}
}

func TestCellsAreOneLine(t *testing.T) {
	for _, tt := range []struct {
		text string
		n    int
		want string
	}{
		{"short", 5, "short"},
		{"longer", 5, "long…"},
		{"a\nb\r\nc\td", 20, "a b c d"},
		{"日本語テキスト", 8, "日本語…"},
		{"", 5, `""`},
	} {
		if got := clipText(tt.text, tt.n); got != tt.want {
			t.Errorf("clipText(%q, %d) = %q, want %q", tt.text, tt.n, got, tt.want)
		}
	}
}

func TestEnumerate(t *testing.T) {
	for want, names := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := enumerate(names); got != want {
			t.Errorf("enumerate(%v) = %q, want %q", names, got, want)
		}
	}
}

func TestErrorsAreFiveFields(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{
			"place in a text file",
			fmt.Errorf("load: %w", &solera.InputError{Op: "read", File: "a.csv", Line: 7, Col: 3, Msg: "12 fields, want 14", Hint: "add the missing fields"}),
			`{"error":{"message":"12 fields, want 14","file":"a.csv","line":7,"column":3,"hint":"add the missing fields"}}`,
		},
		{
			"column of a table",
			&solera.InputError{File: "a.csv", Line: 2, Col: 1, Column: "x", Msg: "infinite"},
			`{"error":{"message":"infinite","file":"a.csv","line":2,"column":"x","hint":null}}`,
		},
		{
			"cause without a message",
			&solera.InputError{File: "a.csv", Err: errors.New("permission denied")},
			`{"error":{"message":"permission denied","file":"a.csv","line":null,"column":null,"hint":null}}`,
		},
		{
			"any error",
			errors.New("disk full"),
			`{"error":{"message":"disk full","file":null,"line":null,"column":null,"hint":null}}`,
		},
		{
			"usage",
			usage("which table?"),
			`{"error":{"message":"which table?","file":null,"line":null,"column":null,"hint":null}}`,
		},
	} {
		a, out := testApp(nil)
		a.json = true
		a.report(tt.err)
		if diff := cmp.Diff(tt.want+"\n", out.String()); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestErrorsForPeopleAreOneSentenceWithoutControlCharacters(t *testing.T) {
	a, out := testApp(nil)
	a.report(fmt.Errorf("load: %w", usage("no stage is called %s", "\x1b[2Jx\r")))
	if got, want := out.String(), "solera: load: no stage is called \ufffd[2Jx\ufffd\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A panic in a verb is a defect: the user reads what to do, and the exit code
// says that it failed.
func TestNoPanicReachesAUser(t *testing.T) {
	var errs bytes.Buffer
	env := func(string) string { panic("boom") }
	if code := Main([]string{"solera", "-C", t.TempDir(), "artifacts"}, nil, &errs, &errs, func(string) string { return "" }); code != exitFailed {
		t.Errorf("exit code %d without a file", code)
	}
	dir := t.TempDir()
	if code := Main([]string{"solera", "-C", dir, "init", "wine"}, nil, &errs, &errs, func(string) string { return "" }); code != exitDone {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	errs.Reset()
	if code := Main([]string{"solera", "-C", dir, "run"}, nil, &errs, &errs, env); code != exitFailed {
		t.Errorf("exit code %d after a panic", code)
	}
	if got := errs.String(); !strings.Contains(got, "a defect in Solera") || !strings.Contains(got, "boom") || !strings.Contains(got, issuesURL) || strings.Contains(got, "goroutine") {
		t.Errorf("a user reads %q", got)
	}
}

func TestGraphsSurviveOddNames(t *testing.T) {
	g := tracking.Graph{
		Nodes: []tracking.GraphNode{{ID: `a"b\c:v0`, Kind: "version", Name: `a"b\c:v0`}, {ID: "r1", Kind: "run", Name: "load\nx"}},
		Edges: []tracking.GraphEdge{{From: "r1", To: `a"b\c:v0`, Kind: solera.Made}},
	}
	var dot, mermaid bytes.Buffer
	if err := errors.Join(writeDOT(&dot, g), writeMermaid(&mermaid, g)); err != nil {
		t.Fatal(err)
	}
	wantDOT := `digraph lineage {
  rankdir=LR;
  "a\"b\\c:v0" [label="a\"b\\c:v0", shape=box];
  "r1" [label="load x", shape=ellipse];
  "r1" -> "a\"b\\c:v0" [label="made"];
}
`
	wantMermaid := `flowchart LR
  n0["a#quot;b\c:v0"]
  n1(["load x"])
  n1 -->|made| n0
`
	if diff := cmp.Diff(wantDOT, dot.String()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(wantMermaid, mermaid.String()); diff != "" {
		t.Error(diff)
	}
}

// Bars and lines take the events of several trainings at once.
func TestProgressIsSafeForSeveralTrainings(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		var out bytes.Buffer
		for name, p := range map[string]progress{
			"lines": &lines{w: &out, every: verbose},
			"bars":  &bars{lines: lines{w: &out}, running: map[string]*bar{}, epochs: func(string) int { return 20 }},
		} {
			done := make(chan bool)
			for i := range 3 {
				go func() {
					e := fmt.Sprint("exp", i)
					p.StageStarted("train " + e)
					for epoch := 1; epoch <= 20; epoch++ {
						p.Epoch(pipeline.Epoch{Experiment: e, Epoch: epoch, Epochs: 20, ValRows: 18, Metrics: map[string]float64{"val/loss": 1}})
					}
					var err error
					if i == 2 {
						err = errors.New("diverged")
					}
					p.ExperimentDone(e, "best epoch 3 of 20", err)
					p.StageDone("train "+e, []string{"m:v0 (new)"})
					done <- true
				}()
			}
			for range 3 {
				<-done
			}
			p.Close()
			if name == "lines" && (!strings.Contains(out.String(), "train exp1    epoch 20/20  train loss") || !strings.Contains(out.String(), "stopped: diverged")) {
				t.Errorf("lines: %s", out.String())
			}
		}
	}
}

func TestTablesBreakNoWordThatFits(t *testing.T) {
	a, out := testApp(nil)
	row := []string{"wine-classification/trained-wine-model-exp001:v2", "weights.safetensors", "unsigned", "it has no signed statement of where it comes from"}
	if err := a.printTable([]string{"REF", "FILE", "PROBLEM", "WHAT"}, [][]string{row}); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"weights.safetensors  unsigned  it has", "exp001:v2"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("no %q in\n%s", word, out)
		}
	}
	width := []int{60, 5, 60}
	if !fitColumns(width, []int{60, 5, 60}, 50) || width[1] != 5 || width[0]+width[2] > 45 {
		t.Errorf("columns of %v", width)
	}
	if width := []int{20, 30}; fitColumns(width, []int{20, 30}, 50) {
		t.Errorf("columns that fit became %v", width)
	}
}

func TestHelpFitsAHundredColumns(t *testing.T) {
	a, out := testApp(nil)
	root, _ := a.command()
	root.SetOut(out)
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		out.Reset()
		if err := c.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := len([]rune(strings.TrimSpace(line))); n > maxWidth {
				t.Errorf("%s: a line of %d columns: %s", c.CommandPath(), n, line)
			}
		}
		if out.Len() == 0 {
			t.Errorf("%s: no help", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}
