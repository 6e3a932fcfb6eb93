package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// workflowNames are the five, in the order in which a person looks at them.
var workflowNames = []string{"test_login.yml", "load_data.yml", "preprocess_data.yml", "build_model.yml", "train_model.yml"}

// workflowFiles are they, from the root of a repository.
func workflowFiles() []string {
	files := make([]string, len(workflowNames))
	for i, name := range workflowNames {
		files[i] = ".github/workflows/" + name
	}
	return files
}

// A trigger is what GitHub starts a workflow with.
type trigger struct {
	workflow string // file
	event    string
	payload  map[string]any
	secret   string // WANDB_API_KEY, "" = none
	url      string // WANDB_BASE_URL
}

// An outcome is what became of a job.
type outcome struct {
	trigger
	result  string // "success", "failure" or "skipped"
	shown   string // what its steps wrote to the log
	summary string
	notices []string
	all     []byte // everything that act wrote
	took    time.Duration
}

func (o outcome) String() string { return o.workflow + " on " + o.event }

// payload returns what all events have.
func payload(more map[string]any) map[string]any {
	p := map[string]any{"repository": map[string]any{"full_name": "ana/wine", "name": "wine", "owner": map[string]any{"login": "ana"}, "default_branch": "main"}}
	for k, v := range more {
		p[k] = v
	}
	return p
}

// trigger runs a workflow as its own event does, with a fresh home and an empty
// work folder, and fails unless its job ends as wanted. Secrets are not masked:
// what shows one must not hide behind stars.
func (b *bench) trigger(ctx context.Context, t trigger, want string) (outcome, error) {
	start := time.Now()
	b.jobs++
	dir := filepath.Join(b.scratch, "jobs", strconv.Itoa(b.jobs))
	home := filepath.Join(dir, "home")
	event, err := json.Marshal(payload(t.payload))
	if err != nil {
		return outcome{}, err
	}
	secrets := ""
	if t.secret != "" {
		secrets = "WANDB_API_KEY=" + t.secret + "\n"
	}
	if err := errors.Join(os.MkdirAll(home, 0o755), os.WriteFile(filepath.Join(dir, "event.json"), event, 0o644),
		os.WriteFile(filepath.Join(dir, "secrets"), []byte(secrets), 0o600)); err != nil {
		return outcome{}, err
	}
	args := []string{
		t.event, "--workflows", ".github/workflows/" + t.workflow, "--eventpath", filepath.Join(dir, "event.json"),
		"--secret-file", filepath.Join(dir, "secrets"), "--var", "WANDB_BASE_URL=" + t.url,
		"--platform", "ubuntu-latest=-self-hosted", // on this machine, without a container
		"--action-offline-mode", "--no-cache-server", "--no-skip-checkout", "--insecure-secrets", "--json",
	}
	standIns, err := b.standIns(t.workflow)
	if err != nil {
		return outcome{}, err
	}
	cmd := exec.CommandContext(ctx, b.tools.act, append(args, standIns...)...)
	cmd.Dir = b.origin
	cmd.Env = b.environment(home, "TEST_ORIGIN="+b.origin, "TEST_CACHE="+b.cache)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return outcome{}, ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{}, err
	}
	o := readLog(out)
	o.trigger, o.took = t, time.Since(start)
	switch {
	case o.result == "" && err == nil:
		o.result = "skipped"
	case o.result == "":
		return o, fmt.Errorf("%v: act: %w\n%s", o, err, out)
	}
	if secret := t.secret; secret != "" && (bytes.Contains(out, []byte(secret)) || bytes.Contains(out, []byte(secret[7:]))) {
		return o, fmt.Errorf("%v: the log shows the secret", o)
	}
	if o.result != want {
		return o, fmt.Errorf("%v: %s, want %s\n%s", o, o.result, want, o.shown)
	}
	if err := b.saveCache(o); err != nil {
		return o, err
	}
	if err := leftBehind(home, t.secret); err != nil {
		return o, fmt.Errorf("%v: %w", o, err)
	}
	fmt.Printf("  %-21s %-17s %s, %.1f s\n", t.workflow, t.event, o.result, o.took.Seconds())
	return o, os.RemoveAll(dir)
}

// leftBehind looks for the secret in what a job leaves in its home.
func leftBehind(home, secret string) error {
	return filepath.WalkDir(home, func(path string, e fs.DirEntry, err error) error {
		if err != nil || secret == "" || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(secret)) {
			err = fmt.Errorf("the secret stays in %s", path)
		}
		return err
	})
}

// standIns returns the arguments that give act a folder for each action of a
// workflow, under the very commit that it is pinned by.
func (b *bench) standIns(workflow string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(b.origin, ".github", "workflows", workflow))
	if err != nil {
		return nil, err
	}
	var args []string
	for _, m := range regexp.MustCompile(`uses: (actions/([a-z-]+)@[0-9a-f]{40})`).FindAllSubmatch(text, -1) {
		folder, err := filepath.Abs(filepath.Join("internal", "workflows", "actions", string(m[2])))
		if err != nil {
			return nil, err
		}
		args = append(args, "--local-repository", string(m[1])+"="+folder)
	}
	return args, nil
}

// saveCache does what actions/cache does after a job: it keeps what the job
// asked for and did not find, if the job succeeded.
func (b *bench) saveCache(o outcome) error {
	note := filepath.Join(b.cache, ".missed")
	text, err := os.ReadFile(note)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.Remove(note)
	}
	if err != nil || o.result != "success" {
		return err
	}
	key, file, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%v installed nothing to keep: %w", o, err)
	}
	fmt.Printf("  kept as %s: the other jobs need not install it\n", key)
	return os.WriteFile(filepath.Join(b.cache, key), content, 0o755)
}

// readLog takes from act's log what GitHub shows.
func readLog(out []byte) outcome {
	o := outcome{all: out}
	var shown, summary strings.Builder
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var entry struct {
			Msg, Command, Content, Arg, JobResult string
			Raw                                   bool `json:"raw_output"`
		}
		if json.Unmarshal(lines.Bytes(), &entry) != nil {
			shown.WriteString(lines.Text() + "\n") // act itself, about something that went wrong
			continue
		}
		switch {
		case entry.Raw:
			shown.WriteString(entry.Msg)
		case entry.Command == "summary":
			summary.WriteString(entry.Content)
		case entry.Command == "notice":
			o.notices = append(o.notices, entry.Arg)
		case entry.JobResult != "":
			o.result = entry.JobResult
		}
	}
	o.shown, o.summary = shown.String(), summary.String()
	return o
}

// follow starts what GitHub would start after o: the workflows that wait for
// it, and those that wait for them. Each must succeed.
func (b *bench) follow(ctx context.Context, o outcome) ([]outcome, error) {
	all := []outcome{o}
	for at := 0; at < len(all); at++ {
		name, _, err := b.chain(all[at].workflow)
		if err != nil {
			return all, err
		}
		for _, file := range workflowNames {
			_, after, err := b.chain(file)
			if err != nil {
				return all, err
			}
			if !slices.Contains(after, name) {
				continue
			}
			if at == 3 {
				return all, fmt.Errorf("%s would be the fourth to follow, and GitHub follows three", file)
			}
			run, err := b.ended(ctx, name, all[at])
			if err != nil {
				return all, err
			}
			next, err := b.trigger(ctx, trigger{
				workflow: file, event: "workflow_run", payload: run, secret: o.secret, url: o.url,
			}, "success")
			if err != nil {
				return all, err
			}
			all = append(all, next)
		}
	}
	return all, nil
}

// ended is the event that a workflow's end is.
func (b *bench) ended(ctx context.Context, name string, o outcome) (map[string]any, error) {
	head, err := b.command(ctx, b.origin, "git", "rev-parse", "HEAD")
	if err != nil {
		return nil, err
	}
	return map[string]any{"action": "completed", "workflow_run": map[string]any{
		"name": name, "conclusion": o.result, "event": o.event, "head_branch": "main", "head_sha": strings.TrimSpace(head),
	}}, nil
}

// chain returns the name of a workflow and of those that it follows.
func (b *bench) chain(file string) (name string, after []string, err error) {
	text, err := os.ReadFile(filepath.Join(b.origin, ".github", "workflows", file))
	if err != nil {
		return "", nil, err
	}
	var w struct {
		Name string
		On   struct {
			WorkflowRun struct{ Workflows []string } `yaml:"workflow_run"`
		}
	}
	if err := yaml.Unmarshal(text, &w); err != nil {
		return "", nil, fmt.Errorf("%s: %w", file, err)
	}
	return w.Name, w.On.WorkflowRun.Workflows, nil
}
