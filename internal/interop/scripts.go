package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const scriptFolder = "interop/wandb/conformance"

// scripts are the rungs of the ladder, those that take longest first, so that
// they do not end alone.
var scripts = []string{"sweeps", "artifacts", "big", "live", "runs", "wine_pipeline", "outbound", "resume", "api", "offline", "media", "verify", "login"}

// A result is what a script says of one capability.
type result struct {
	Key     string  `json:"key"`
	Title   string  `json:"title"`
	Result  string  `json:"result"` // "works", "fails" or "absent": this client has no such function
	Seconds float64 `json:"seconds"`
	Note    string  `json:"note"`
}

// A task is a script to be run with one client against one server.
type task struct {
	script string
	client client
	place  string // name of the server
	server *server
	base   string // of the server as the client sees it; "" = server.url
	only   string // pattern of capabilities
	part   string // which of them, as 2/3: those beside it run at the same time
	limit  time.Duration
	retry  string // part of the name of a second try
}

func (t task) name() string {
	return t.script + strings.ReplaceAll(t.part, "/", "of") + "-" + t.client.version + "-" + t.place + t.retry
}

// project is where a task's runs go: one that no other task has on its server.
func (t task) project() string {
	plain := strings.NewReplacer("_", "-", ".", "-", "/", "of")
	return plain.Replace(t.script + t.part + "-" + t.client.version)
}

// environment is that of a client: nothing of the user's, and nobody to talk to
// but the server.
func (h *harness) environment(t task, home string) ([]string, error) {
	key := t.server.key
	if key == "" {
		key = strings.Repeat("0123456789", 4) // an open server takes any; the client wants 40 letters
	}
	base := t.base
	if base == "" {
		base = t.server.url
	}
	here, err := filepath.Abs(scriptFolder)
	if err != nil {
		return nil, err
	}
	program, err := filepath.Abs(h.solera)
	if err != nil {
		return nil, err
	}
	env := []string{
		"PATH=" + filepath.Dir(t.client.python(h.options)) + ":" + os.Getenv("PATH"),
		"HOME=" + home, "TMPDIR=" + filepath.Join(home, "tmp"), "LC_ALL=C.UTF-8", "PYTHONPATH=" + here, "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1",
		"OMP_NUM_THREADS=1",
		"WANDB_BASE_URL=" + base, "WANDB_API_KEY=" + key, "WANDB_PROJECT=" + t.project(),
		"WANDB_ERROR_REPORTING=false", "WANDB_DIR=" + home, "WANDB_CACHE_DIR=" + filepath.Join(home, "cache"), "WANDB_DATA_DIR=" + filepath.Join(home, "data"),
		"WANDB_CONFIG_DIR=" + filepath.Join(home, "config"), "WANDB_ARTIFACT_DIR=" + filepath.Join(home, "artifacts"), "NETRC=" + filepath.Join(home, "netrc"),
		"WANDB_INIT_TIMEOUT=60", "WANDB_SILENT=false", "WANDB_DISABLE_GIT=true", "WANDB_HOST=interop", "WANDB_USERNAME=", "WANDB_USER_EMAIL=",
		"SOLERA_PROGRAM=" + program,
		fmt.Sprintf("INTEROP_SILENCE=%.0f", silence.Seconds()),
	}
	if t.server.key == "" {
		env = append(env, "INTEROP_OPEN=1")
	}
	// OpenBLAS of the system may need to be told which processor this is.
	for _, name := range []string{"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env, nil
}

// perform runs a script to its end, or until its time is over, and returns what
// it said. What it did not come to fails.
func (h *harness) perform(ctx context.Context, t task) ([]result, error) {
	home := filepath.Join(h.scratch, t.name())
	if err := os.MkdirAll(filepath.Join(home, "tmp"), 0o755); err != nil {
		return nil, err
	}
	env, err := h.environment(t, home)
	if err != nil {
		return nil, err
	}
	script, err := filepath.Abs(filepath.Join(scriptFolder, t.script+".py"))
	if err != nil {
		return nil, err
	}
	only := t.only
	if only == "" {
		only = h.only
	}
	chosen := []string{"--only", only, "--part", cmp.Or(t.part, "1/1")}
	all, err := h.python(ctx, t, home, env, io.Discard, time.Minute, append([]string{script, "--list"}, chosen...)...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name(), err)
	}
	if len(all) == 0 {
		return nil, nil
	}
	log, err := os.Create(filepath.Join(h.scratch, t.name()+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	limit := t.limit
	if limit == 0 {
		limit = 20 * time.Minute
	}
	seen, err := h.python(ctx, t, home, env, log, limit, append([]string{script}, chosen...)...)
	said := make(map[string]result)
	for _, r := range seen {
		said[r.Key] = r
	}
	for i, r := range all {
		if s, ok := said[r.Key]; ok {
			all[i] = s
			continue
		}
		all[i].Result, all[i].Note = "fails", "not reached: the script ended before"
		if err != nil {
			all[i].Note = "not reached: " + err.Error()
		}
	}
	// Downloads and caches of finished scripts only fill the disk.
	if !h.keep {
		_ = os.RemoveAll(home)
	}
	return all, nil
}

// python runs a program of a client's environment and returns its results. The
// error is that it could not run or ran too long; a script that says that
// something failed is none.
func (h *harness) python(ctx context.Context, t task, home string, env []string, log io.Writer, limit time.Duration, args ...string) ([]result, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.client.python(h.options), args...)
	cmd.Dir, cmd.Env = home, env
	// A group of its own, since a client starts programs that outlive it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var complaint tail
	cmd.Stderr = io.MultiWriter(log, &complaint)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var list []result
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "RESULT ")
		if !ok {
			fmt.Fprintln(log, lines.Text())
			continue
		}
		var r result
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return nil, fmt.Errorf("what the script said: %w: %s", err, text)
		}
		fmt.Fprintf(log, "=== %s %s %s\n", r.Key, r.Result, r.Note)
		list = append(list, r)
	}
	err = cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return list, fmt.Errorf("not done after %v", limit)
	case errors.As(err, &exit) && len(list) > 0:
		return list, nil
	case err != nil:
		return list, fmt.Errorf("%w\n%s", err, complaint.String())
	}
	return list, nil
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if n := len(t.text) - 4096; n > 0 {
		t.text = t.text[n:]
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.text) }
