package host

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/solera-ml/solera"
)

const (
	// MaxDiff is the most bytes that are kept of a source tree's difference.
	MaxDiff = 1 << 20
	// gitTimeout is how long git may take in all.
	gitTimeout = 10 * time.Second
	// maxAnswer bounds what is read of any other answer of git.
	maxAnswer = 8 << 20
)

// A tree is the source tree around a folder.
type tree struct {
	commit string // "" = no commit yet
	branch string // "" = detached
	remote string // without credentials; "" = none
	dirty  bool   // tracked files differ from the commit
	diff   []byte
	failed string // why the rest is not known
}

func (t *tree) fields() solera.Fields {
	f := solera.Fields{}
	for name, text := range map[string]string{"commit": t.commit, "branch": t.branch, "remote": t.remote, "error": t.failed} {
		if text != "" {
			f[name] = strings.ToValidUTF8(text, "\ufffd")
		}
	}
	if t.failed == "" {
		f["dirty"] = t.dirty
	}
	return f
}

// sourceTree asks git about the repository that dir is in; nil if it is in none,
// or there is no git.
//
// The repository may be anybody's, unpacked from an archive with a
// configuration that names programs to run. So git gets an environment without
// anything of ours but where to find its own files, and every switch that keeps
// it from starting programs: filters, monitors, hooks, external and text
// differences, pagers, transports. Git itself refuses a repository of another
// user (safe.directory), which is reported like any other failure.
func sourceTree(ctx context.Context, dir string) *tree {
	top := repository(dir)
	if top == "" {
		return nil
	}
	program, err := exec.LookPath("git")
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	g := git{ctx: ctx, program: program, top: top}
	t := &tree{}
	if err := g.look(t); err != nil {
		t.failed = err.Error()
		if ctx.Err() != nil {
			t.failed = "git took longer than " + gitTimeout.String()
		}
	}
	return t
}

// repository returns the folder at or above dir that holds .git, which is a
// folder, or in a worktree and a submodule a file; "" if there is none.
func repository(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	for {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		above := filepath.Dir(dir)
		if above == dir {
			return ""
		}
		dir = above
	}
}

type git struct {
	ctx      context.Context
	program  string
	top      string   // the work tree
	settings []string // -c NAME=VALUE …
}

// look fills in t.
func (g *git) look(t *tree) error {
	g.settings = []string{
		"core.fsmonitor=false", "core.untrackedCache=false", "core.hooksPath=" + os.DevNull, "core.pager=cat",
		"protocol.allow=never", "submodule.recurse=false", "status.submoduleSummary=false", "diff.external=", "gc.auto=0", "maintenance.auto=false",
	}
	// Reading the configuration starts nothing.
	answer, err := g.run(maxAnswer, "config", "--null", "--list")
	if err != nil {
		return err
	}
	remotes, branchRemote := map[string]string{}, map[string]string{}
	filters := map[string]bool{}
	for setting := range strings.SplitSeq(string(answer), "\x00") {
		name, value, _ := strings.Cut(setting, "\n")
		section, key := cutLast(name, '.')
		switch {
		case strings.HasPrefix(section, "remote.") && key == "url":
			if _, ok := remotes[section[len("remote."):]]; !ok {
				remotes[section[len("remote."):]] = value
			}
		case strings.HasPrefix(section, "branch.") && key == "remote":
			branchRemote[section[len("branch."):]] = value
		case strings.HasPrefix(section, "filter."):
			filters[section] = true
		}
	}
	for section := range filters {
		// Such a name could not be switched off on the command line.
		if !plainName.MatchString(section) {
			return errors.New("the repository's configuration names a filter that cannot be switched off")
		}
		g.settings = append(g.settings, section+".clean=", section+".smudge=", section+".process=", section+".required=false")
	}

	answer, err = g.run(maxAnswer, "status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules=dirty", "--no-renames", "--no-ahead-behind", "-z")
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(string(answer), "\x00") {
		header, isHeader := strings.CutPrefix(line, "# ")
		switch {
		case line == "":
		case !isHeader:
			t.dirty = true
		default:
			name, value, _ := strings.Cut(header, " ")
			switch {
			case name == "branch.oid" && value != "(initial)":
				t.commit = value
			case name == "branch.head" && value != "(detached)":
				t.branch = value
			}
		}
	}
	name := branchRemote[t.branch]
	if _, ok := remotes[name]; !ok {
		name = "origin"
	}
	t.remote = solera.RedactURL(remotes[name])

	if !t.dirty || t.commit == "" {
		return nil
	}
	t.diff, err = g.run(MaxDiff, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--ignore-submodules=dirty",
		"--submodule=short", "--src-prefix=a/", "--dst-prefix=b/", "HEAD", "--")
	if errors.Is(err, errLonger) {
		// Whole lines, so that what is there can be read and applied in part.
		t.diff = append(t.diff[:bytes.LastIndexByte(t.diff, '\n')+1], "# cut here: the difference is longer than 1 MiB\n"...)
		err = nil
	}
	return err
}

var (
	plainName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	errLonger = errors.New("git had more to say")
)

// run returns the first most bytes of what git says; errLonger if there were
// more. It changes nothing in the repository, not even the index.
func (g *git) run(most int, args ...string) ([]byte, error) {
	ctx, cancel := context.WithCancel(g.ctx)
	defer cancel()
	var options []string
	for _, s := range g.settings {
		options = append(options, "-c", s)
	}
	c := exec.CommandContext(ctx, g.program, append(append(options, "--no-pager", "--literal-pathspecs"), args...)...)
	c.Dir = g.top
	c.WaitDelay = time.Second
	c.Env = []string{
		// A repository's core.worktree may name another folder, and its index
		// files in there that are nobody's business.
		"GIT_WORK_TREE=" + g.top,
		"GIT_OPTIONAL_LOCKS=0", "GIT_NO_LAZY_FETCH=1", "GIT_NO_REPLACE_OBJECTS=1", "GIT_ALLOW_PROTOCOL=none", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
	}
	for _, name := range []string{"PATH", "HOME", "XDG_CONFIG_HOME", "USERPROFILE", "SYSTEMROOT", "TMPDIR", "TEMP"} {
		if value, ok := os.LookupEnv(name); ok {
			c.Env = append(c.Env, name+"="+value)
		}
	}
	var complaint bytes.Buffer
	c.Stderr = &firstBytes{&complaint, 500}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	answer, rerr := io.ReadAll(io.LimitReader(out, int64(most)+1))
	if len(answer) > most {
		cancel()
		_ = c.Wait() // was just killed
		return answer[:most], errLonger
	}
	if err := c.Wait(); err != nil {
		if first, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n"); first != "" {
			err = errors.New(first)
		}
		return nil, err
	}
	return answer, rerr
}

// firstBytes keeps so many bytes and takes the rest without a word.
type firstBytes struct {
	w    *bytes.Buffer
	left int
}

func (f *firstBytes) Write(p []byte) (int, error) {
	n := min(len(p), f.left)
	f.left -= n
	f.w.Write(p[:n])
	return len(p), nil
}

// cutLast slices s around its last sep.
func cutLast(s string, sep byte) (before, after string) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return "", s
	}
	return s[:i], s[i+1:]
}
