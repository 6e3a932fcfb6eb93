package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/pipeline"
)

// The texts of the workflows. Their own delimiters are << and >>: GitHub's
// expressions have the usual ones.
//
//go:embed workflows/*.tmpl
var workflowTexts embed.FS

// What the workflows stand on. Actions are pinned by commit, since a tag can be
// moved to other code.
const (
	workflowModule   = "github.com/solera-ml/solera"
	workflowGo       = "1.26" // at least what go.mod asks for
	workflowCheckout = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
	workflowSetupGo  = "actions/setup-go@b7ad1dad31e06c5925ef5d2fc7ad053ef454303e # v7.0.0"
	workflowCache    = "actions/cache@27d5ce7f107fe9357f9df03efb73ab90386fccae # v5.0.5"
)

// A workflow is one file for GitHub Actions, as its template sees it.
type workflow struct {
	File    string // such as load_data.yml
	Name    string // by which others wait for it
	Title   string
	Project string
	Stage   string // "" = it tests the login
	UpTo    string // all stages to Stage, with spaces
	After   string // Name of the one before, "" = none
	Minutes int

	Folder               string // of the project below the root of the repository, as YAML, "" = the root
	PushPaths, PullPaths []string
	Version              string

	Module, GoVersion, Checkout, SetupGo, Cache string
}

// workflowText is a file of .github/workflows.
type workflowText struct {
	name string
	text []byte
}

// workflows returns the files that run a project on GitHub. Folder is where the
// project lies in its repository, "." for the root.
//
// Later stages are not started by a push that changes solera.yaml, but by the
// end of the stage before them: two at once would read what the other is about
// to replace. GitHub follows such a chain for three steps, which is why the
// login, though it is looked at first, is no part of it.
func workflows(cfg *pipeline.Config, folder string) ([]workflowText, error) {
	texts, err := template.New("").Delims("<<", ">>").ParseFS(workflowTexts, "workflows/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("a defect in the workflows: %w", err)
	}
	all := []workflow{
		{File: "test_login.yml", Name: "Test login", Title: "Test the login", Minutes: 10},
		{File: "load_data.yml", Name: "Load data", Title: "Load the data", Stage: pipeline.Load, Minutes: 30},
		{File: "preprocess_data.yml", Name: "Preprocess data", Title: "Preprocess the data", Stage: pipeline.Preprocess, Minutes: 30},
		{File: "build_model.yml", Name: "Build model", Title: "Build the model", Stage: pipeline.Build, Minutes: 30},
		{File: "train_model.yml", Name: "Train model", Title: "Train and evaluate the model", Stage: pipeline.Train, Minutes: 120},
	}
	settings := pathFilter(path.Join(folder, pipeline.FileName))
	var files []workflowText
	for i, w := range all {
		own := ".github/workflows/" + w.File
		w.Project = cfg.Project // letters, digits, . _ and -, 56 at most: safe in a script
		w.Version = "v" + strings.TrimSuffix(version, "-dev")
		w.Module, w.GoVersion, w.Checkout, w.SetupGo, w.Cache = workflowModule, workflowGo, workflowCheckout, workflowSetupGo, workflowCache
		if folder != "." {
			w.Folder = yamlWord(folder)
		}
		changes := []string{settings, own}
		if source, ok := sourceFilter(cfg, folder); ok && w.Stage != "" {
			changes = []string{settings, source, own}
		}
		w.PullPaths, w.PushPaths = yamlWords(changes), yamlWords(changes)
		text := "stage.yml.tmpl"
		switch w.Stage {
		case "":
			text = "login.yml.tmpl"
		case pipeline.Load:
		default:
			w.After = all[i-1].Name
			w.UpTo = strings.Join(pipeline.Stages()[:i], " ")
			w.PushPaths = yamlWords([]string{own})
		}
		var b bytes.Buffer
		if err := texts.ExecuteTemplate(&b, text, w); err != nil {
			return nil, fmt.Errorf("a defect in the workflow %s: %w", w.File, err)
		}
		files = append(files, workflowText{w.File, b.Bytes()})
	}
	return files, nil
}

// sourceFilter returns the filter for the files that a project reads, from the
// root of the repository, and false if they are not in it.
func sourceFilter(cfg *pipeline.Config, folder string) (string, bool) {
	source := cfg.Data.Source
	if _, sample := cfg.Sample(); sample || strings.Contains(source, "://") || path.IsAbs(source) || filepath.IsAbs(source) {
		return "", false
	}
	in := path.Join(folder, source)
	if in == ".." || strings.HasPrefix(in, "../") {
		return "", false
	}
	return pathFilter(in), true
}

// pathFilter returns a filter of GitHub that lets a path or a glob through.
// What means something else to GitHub than to us becomes *: a run too many finds
// nothing to do.
func pathFilter(glob string) string { return foreign.ReplaceAllString(glob, "*") }

var foreign = regexp.MustCompile(`\[[^\]]*\]|[?+\[\]!\\]`)

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_./*-]*$`)

// yamlWord writes a text as YAML reads it back.
func yamlWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	quoted, err := json.Marshal(s) // YAML's double quotes know all that JSON's do
	if err != nil {
		panic(err) // no text fails
	}
	return string(quoted)
}

func yamlWords(words []string) []string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = yamlWord(w)
	}
	return quoted
}

// A workflowFile is what init did with one workflow.
type workflowFile struct {
	File  string `json:"file"`
	State string `json:"state"` // "written", or "unchanged"
}

// A plannedWorkflow is a file that is to be written, unless it is there.
type plannedWorkflow struct {
	workflowFile
	text []byte
}

// planWorkflows works out the workflows of a project and looks at what is in
// their place. Nothing is written yet. A file that somebody changed is an
// error, unless it is to be overwritten.
func (a *app) planWorkflows(cfg *pipeline.Config, force bool) ([]plannedWorkflow, error) {
	root, folder, err := repository(filepath.Dir(a.configPath()))
	if err != nil {
		return nil, err
	}
	texts, err := workflows(cfg, folder)
	if err != nil {
		return nil, err
	}
	var plan []plannedWorkflow
	var changed []string
	for _, w := range texts {
		file := filepath.Join(root, ".github", "workflows", w.name)
		state := "written"
		was, err := os.ReadFile(file)
		switch {
		case err == nil && bytes.Equal(was, w.text):
			state = "unchanged"
		case err == nil:
			changed = append(changed, file)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("look at the place of a workflow: %w", err)
		}
		plan = append(plan, plannedWorkflow{workflowFile{file, state}, w.text})
	}
	if len(changed) > 0 && !force {
		return nil, &solera.InputError{
			File: strings.Join(changed, ", "), Msg: "there already, and with another text",
			Hint: "keep it, or overwrite it with --force", Err: solera.ErrConflict,
		}
	}
	return plan, nil
}

// writeWorkflows writes what is planned and not there.
func writeWorkflows(plan []plannedWorkflow) (done []workflowFile, err error) {
	for _, w := range plan {
		if w.State == "written" {
			if err := os.MkdirAll(filepath.Dir(w.File), 0o755); err != nil {
				return done, fmt.Errorf("make the folder of the workflows: %w", err)
			}
			if err := writeFile(w.File, w.text, true); err != nil {
				return done, err
			}
		}
		done = append(done, w.workflowFile)
	}
	return done, nil
}

// repository returns the root of the git repository that dir lies in, and the
// way from there to dir with slashes; dir itself and "." where there is none.
// GitHub reads workflows in the root alone.
func repository(dir string) (root, folder string, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", "", fmt.Errorf("folder of %s: %w", dir, err)
	}
	for at := abs; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			if at == abs {
				return dir, ".", nil
			}
			rel, err := filepath.Rel(at, abs)
			if err != nil {
				return "", "", fmt.Errorf("way from %s to %s: %w", at, abs, err)
			}
			return at, filepath.ToSlash(rel), nil
		}
		if at == filepath.Dir(at) {
			return dir, ".", nil
		}
	}
}

// showWorkflows tells what was written and what is to do on GitHub.
func (a *app) showWorkflows(done []workflowFile) error {
	written := 0
	for _, f := range done {
		if f.State == "written" {
			written++
			if err := a.printf("Wrote %s.\n", f.File); err != nil {
				return err
			}
		}
	}
	if written == 0 {
		return a.printf("All %s are there already.\n", count(len(done), "workflow"))
	}
	return a.printf("%s\n", wrap("On GitHub they need the secret WANDB_API_KEY of the repository (Settings, Secrets and variables, Actions), "+
		"and the variable WANDB_BASE_URL for a server of your own."))
}
