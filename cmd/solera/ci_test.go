package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"github.com/solera-ml/solera/pipeline"
)

// The workflows of the wine example are what solera init --ci github writes.
// UPDATE=1 writes them again.
func TestWorkflowsOfTheExample(t *testing.T) {
	example := filepath.Join("..", "..", "examples", "wine")
	cfg, err := pipeline.Open(filepath.Join(example, pipeline.FileName))
	if err != nil {
		t.Fatal(err)
	}
	files, err := workflows(cfg, ".")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(example, ".github", "workflows")
	var names []string
	for _, f := range files {
		names = append(names, f.name)
		path := filepath.Join(dir, f.name)
		if os.Getenv("UPDATE") != "" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, f.text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(f.text) {
			t.Errorf("%s is not what solera init --ci github writes; write it anew: UPDATE=1 go test -run %s ./cmd/solera", path, t.Name())
		}
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range there {
		if !slices.Contains(names, e.Name()) {
			t.Errorf("%s is not written by solera init --ci github", filepath.Join(dir, e.Name()))
		}
	}
}

// What a workflow says, as GitHub reads it.
type workflowYAML struct {
	Name string
	On   struct {
		Push             struct{ Branches, Paths []string }
		PullRequest      struct{ Branches, Paths []string } `yaml:"pull_request"`
		WorkflowDispatch any                                `yaml:"workflow_dispatch"`
		WorkflowRun      struct {
			Workflows, Types, Branches []string
		} `yaml:"workflow_run"`
	}
	Permissions map[string]string
	Concurrency struct{ Group string }
	Defaults    struct {
		Run struct {
			WorkingDirectory string `yaml:"working-directory"`
		}
	}
	Jobs map[string]struct {
		If      string
		Timeout int `yaml:"timeout-minutes"`
		Steps   []struct {
			Name, Uses, Run string
			Env             map[string]string
			With            map[string]any
		}
	}
}

func readWorkflows(t *testing.T, config, folder string) map[string]workflowYAML {
	t.Helper()
	cfg, err := pipeline.Parse(pipeline.FileName, []byte(config))
	if err != nil {
		t.Fatal(err)
	}
	files, err := workflows(cfg, folder)
	if err != nil {
		t.Fatal(err)
	}
	pinned := regexp.MustCompile(`(?m)^ +uses: [a-z-]+/[a-z-]+@[0-9a-f]{40} # v[0-9]+\.[0-9]+\.[0-9]+$`)
	read := map[string]workflowYAML{}
	for _, f := range files {
		var w workflowYAML
		if err := yaml.Unmarshal(f.text, &w); err != nil {
			t.Fatalf("%s: %v\n%s", f.name, err, f.text)
		}
		if uses := strings.Count(string(f.text), "uses:"); uses == 0 || len(pinned.FindAll(f.text, -1)) != uses {
			t.Errorf("%s: every action has to be pinned by its commit, with the version in a comment", f.name)
		}
		read[f.name] = w
	}
	return read
}

func TestWorkflows(t *testing.T) {
	read := readWorkflows(t, "project: wine\ndata: {source: 'data/*.csv', target: y}\n", ".")
	after := ""
	for _, tt := range []struct{ file, stage, pull string }{
		{"test_login.yml", "login", ""},
		{"load_data.yml", "load", ""},
		{"preprocess_data.yml", "preprocess", "stages=(load preprocess)\n"},
		{"build_model.yml", "build", "stages=(load preprocess build)\n"},
		{"train_model.yml", "train", "stages=(load preprocess build train)\n"},
	} {
		w, own := read[tt.file], ".github/workflows/"+tt.file
		watched := []string{"solera.yaml", "data/*.csv", own}
		pushed := watched
		if tt.stage == "login" {
			watched = []string{"solera.yaml", own}
			pushed = watched
		} else if tt.stage != "load" {
			pushed = []string{own} // the rest comes by the chain
		}
		if !slices.Equal(w.On.Push.Paths, pushed) || !slices.Equal(w.On.PullRequest.Paths, watched) {
			t.Errorf("%s watches %v on push and %v of pull requests, want %v and %v", tt.file, w.On.Push.Paths, w.On.PullRequest.Paths, pushed, watched)
		}
		for _, branches := range [][]string{w.On.Push.Branches, w.On.PullRequest.Branches} {
			if !slices.Equal(branches, []string{"main"}) {
				t.Errorf("%s runs on %v", tt.file, branches)
			}
		}
		job, ok := w.Jobs[tt.stage]
		if !ok || len(w.Jobs) != 1 {
			t.Fatalf("%s has the jobs %v, want %s alone", tt.file, w.Jobs, tt.stage)
		}
		if len(w.Permissions) > 1 || tt.stage != "login" && w.Permissions["contents"] != "read" {
			t.Errorf("%s may %v, want to read contents at most", tt.file, w.Permissions)
		}
		if job.Timeout == 0 || w.Concurrency.Group == "" {
			t.Errorf("%s has no limit of time, or no group", tt.file)
		}
		chained := tt.stage != "login" && tt.stage != "load"
		if chained {
			if !slices.Equal(w.On.WorkflowRun.Workflows, []string{after}) || !slices.Equal(w.On.WorkflowRun.Branches, []string{"main"}) ||
				!slices.Equal(w.On.WorkflowRun.Types, []string{"completed"}) {
				t.Errorf("%s follows %+v, want the completion of %q on main", tt.file, w.On.WorkflowRun, after)
			}
			if !strings.Contains(job.If, "conclusion == 'success'") || !strings.Contains(job.If, "event != 'pull_request'") {
				t.Errorf("%s runs if %s", tt.file, job.If)
			}
		} else if w.On.WorkflowRun.Workflows != nil {
			t.Errorf("%s follows %v, want nothing", tt.file, w.On.WorkflowRun.Workflows)
		}
		after = w.Name
		for i, s := range job.Steps {
			last := i == len(job.Steps)-1
			if _, secret := s.Env["WANDB_API_KEY"]; secret != last {
				t.Errorf("%s: step %q has the secret: %v, want it in the last one alone", tt.file, s.Name, secret)
			}
			if strings.Contains(s.Run, "${{") {
				t.Errorf("%s: step %q puts an expression into a script", tt.file, s.Name)
			}
			if last && !strings.Contains(s.Run, tt.pull) {
				t.Errorf("%s: step %q does not make what it needs:\n%s", tt.file, s.Name, s.Run)
			}
		}
	}
	if len(read) != 5 {
		t.Errorf("%d workflows, want 5", len(read))
	}
}

func TestWorkflowPaths(t *testing.T) {
	for _, tt := range []struct {
		name, source, folder string
		want                 []string
	}{
		{"a sample is in the program", "sample:wine", ".", []string{"solera.yaml"}},
		{"a file", "people.csv", ".", []string{"solera.yaml", "people.csv"}},
		{"a folder of the repository", "../shared/[a-f]?.csv", "models/wine", []string{"models/wine/solera.yaml", "models/shared/**.csv"}},
		{"a name with signs", "a b+c!.csv", ".", []string{"solera.yaml", "a b*c*.csv"}},
		{"outside of the repository", "../../people.csv", "wine", []string{"wine/solera.yaml"}},
		{"an absolute path", "/data/people.csv", ".", []string{"solera.yaml"}},
		{"a folder that YAML would take for something else", "sample:wine", "a: b #c", []string{"a: b #c/solera.yaml"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			read := readWorkflows(t, "project: p\ndata: {source: '"+tt.source+"', target: y}\n", tt.folder)
			w := read["load_data.yml"]
			want := append(tt.want, ".github/workflows/load_data.yml")
			if !slices.Equal(w.On.Push.Paths, want) {
				t.Errorf("watches %q, want %q", w.On.Push.Paths, want)
			}
			if got := w.Defaults.Run.WorkingDirectory; got != tt.folder && (got != "" || tt.folder != ".") {
				t.Errorf("works in %q, want %q", got, tt.folder)
			}
		})
	}
}

// Whatever a folder is called, YAML reads back the same, and nothing beside it.
func TestWorkflowFolders(t *testing.T) {
	cfg, err := pipeline.Parse(pipeline.FileName, []byte("project: p\ndata: {source: 'a/*.csv', target: y}\n"))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		folder := path.Join("x", rapid.StringMatching(`[ -~äλ中]{1,20}(/[ -~]{1,20})?`).Draw(t, "folder"))
		if !filepath.IsLocal(folder) {
			t.Skip("not below the root")
		}
		files, err := workflows(cfg, folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files[1:] {
			var w workflowYAML
			if err := yaml.Unmarshal(f.text, &w); err != nil {
				t.Fatalf("%s: %v\n%s", f.name, err, f.text)
			}
			if got := w.Defaults.Run.WorkingDirectory; got != folder {
				t.Fatalf("%s works in %q, want %q", f.name, got, folder)
			}
			if len(w.Jobs) != 1 || len(w.On.PullRequest.Paths) != 3 || w.On.PullRequest.Paths[0] != pathFilter(folder)+"/solera.yaml" {
				t.Fatalf("%s watches %q", f.name, w.On.PullRequest.Paths)
			}
		}
	})
}

// A project's name goes into a script, so nothing of it may be more than a name.
func TestWorkflowProject(t *testing.T) {
	read := readWorkflows(t, "project: Wine_2.b-c\ndata: {source: 'sample:wine', target: class}\n", ".")
	steps := read["load_data.yml"].Jobs["load"].Steps
	if run, want := steps[len(steps)-1].Run, "WANDB_PROJECT=Wine_2.b-c-pull-requests\n"; !strings.Contains(run, want) {
		t.Errorf("the project of pull requests is not as wanted, %s:\n%s", want, run)
	}
	for _, name := range []string{"a b", "a$(b)", "a`b`", "a'", `a"`, "a\\", "a;b", "a\nb", strings.Repeat("x", 57)} {
		if _, err := pipeline.Parse(pipeline.FileName, []byte(fmt.Sprintf("project: %q\ndata: {source: 'sample:wine', target: class}\n", name))); err == nil {
			t.Errorf("a project may be called %q, and the workflows rest on that it may not", name)
		}
	}
}

// What workflows install is this module, with a Go that can build it.
func TestWorkflowsInstallThisModule(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(mod), "module "+workflowModule+"\n") {
		t.Errorf("the workflows install %s, which is not the module of go.mod", workflowModule)
	}
	m := regexp.MustCompile(`(?m)^go ([0-9]+\.[0-9]+)`).FindSubmatch(mod)
	if m == nil || string(m[1]) != workflowGo {
		t.Errorf("the workflows set up Go %s, go.mod asks for %s", workflowGo, m[1])
	}
}
