// Command workflows really runs the five workflows of the wine example, as they
// are: `make test-workflows`. It starts a Solera server on loopback, plays
// GitHub with act (a fresh home and an empty work folder for each job), and
// looks at what the jobs leave on the server.
//
//	go run ./internal/workflows -act .tools/act-v0.2.89 -actionlint .tools/actionlint-v1.7.12
//
// Nothing is fetched. The actions of GitHub have stand-ins (actions/), and the
// module that the jobs install under its release's number is this working tree,
// served by a module proxy of files.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	act := flag.String("act", "act", "program that runs workflows")
	actionlint := flag.String("actionlint", "actionlint", "program that checks them")
	keep := flag.Bool("keep", false, "keep the scratch folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	runtime.LockOSThread() // the server dies with the thread that started it; see server.start
	err := run(ctx, *act, *actionlint, *keep)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "workflows:", err)
		os.Exit(1)
	}
}

// A bench is everything that the workflows are tried on.
type bench struct {
	scratch string
	tools   struct{ act, actionlint string }
	env     []string // of every process: no more of ours than it needs
	solera  string   // the program, as a job installs it
	jobs    int      // that ran so far

	origin string // the user's repository
	cache  string // folder of the stand-in for actions/cache
	server *server
	key    string // the secret: a key with scope write
	admin  string
}

func run(ctx context.Context, act, actionlint string, keep bool) (err error) {
	b := &bench{}
	for _, tool := range []struct {
		given string
		path  *string
	}{{act, &b.tools.act}, {actionlint, &b.tools.actionlint}} {
		path, err := exec.LookPath(tool.given)
		if err != nil {
			return err
		}
		if *tool.path, err = filepath.Abs(path); err != nil {
			return err
		}
	}
	if b.scratch, err = os.MkdirTemp("", "solera-workflows-"); err != nil {
		return err
	}
	if keep {
		fmt.Println("scratch folder:", b.scratch)
	} else {
		defer os.RemoveAll(b.scratch)
	}
	defer func() {
		b.server.stop()
		if err != nil && ctx.Err() == nil {
			b.server.tail(os.Stderr)
		}
	}()
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"the working tree becomes a release, and is installed as jobs install it", b.install},
		{"actionlint: the wine example, and what solera init --ci github writes for other projects", b.lint},
		{"a server and a repository", b.prepare},
		{"the login, and a push to main with all that follows it", b.push},
		{"everything a second time: nothing new", b.again},
		{"a pull request, with the secret and without it", b.pullRequest},
		{"a job that failed, and a pull request's, start no other", b.chainEnds},
		{"no secret, a wrong one, no server", b.broken},
	} {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		start := time.Now()
		fmt.Printf("\n%s\n", step.name)
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Printf("ok: %.1f s\n", time.Since(start).Seconds())
	}
	log, err := os.ReadFile(b.server.log)
	if err == nil && strings.Contains(string(log), b.key) {
		err = errors.New("the log of the server shows the secret")
	}
	return err
}

// environment returns what processes see: the tools that are needed, a home of
// their own, and proxies that lead nowhere, so that what would go to the network
// fails. Loopback needs no proxy.
func (b *bench) environment(home string, more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8", "TMPDIR=" + os.TempDir(),
		"HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9", "NO_PROXY=127.0.0.1,localhost",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=Ana", "GIT_AUTHOR_EMAIL=ana@example.org",
		"GIT_COMMITTER_NAME=Ana", "GIT_COMMITTER_EMAIL=ana@example.org",
	}, append(b.env, more...)...)
}

// command runs a program to its end and returns what it wrote to stdout.
func (b *bench) command(ctx context.Context, dir, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = b.environment(filepath.Join(b.scratch, "home"))
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, stderr.String()+stdout.String())
	}
	return stdout.String(), nil
}

// lint checks the files of the example and those of two other projects: a table
// of one's own, and a project that shares its repository.
func (b *bench) lint(ctx context.Context) error {
	folders := []string{"examples/wine"}
	for _, p := range []struct{ name, folder, source, table, target string }{
		{"table", ".", "data.csv", "dataset/data/penguins.csv", "species"},
		{"shared", "models/iris", "iris", "", ""},
	} {
		root := filepath.Join(b.scratch, p.name)
		dir := filepath.Join(root, p.folder)
		if err := errors.Join(os.MkdirAll(filepath.Join(root, ".git"), 0o755), os.MkdirAll(dir, 0o755)); err != nil {
			return err
		}
		args := []string{"-C", dir, "init", p.source, "--ci", "github"}
		if p.table != "" {
			table, err := os.ReadFile(p.table)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, p.source), table, 0o644); err != nil {
				return err
			}
			args = append(args, "--target", p.target)
		}
		if _, err := b.command(ctx, root, b.solera, args...); err != nil {
			return err
		}
		folders = append(folders, root)
	}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, ".github", "workflows", "*.yml"))
		if err != nil {
			return err
		}
		if len(files) != 5 {
			return fmt.Errorf("%s has %d workflows, want 5", folder, len(files))
		}
		if _, err := b.command(ctx, "", b.tools.actionlint, append([]string{"-no-color"}, files...)...); err != nil {
			return err
		}
	}
	return nil
}

// prepare starts the server, makes the key and commits the user's repository:
// solera.yaml and the five files, nothing else.
func (b *bench) prepare(ctx context.Context) error {
	b.server = &server{program: b.solera, store: filepath.Join(b.scratch, "store"), log: filepath.Join(b.scratch, "server.log"), env: b.environment(filepath.Join(b.scratch, "home"))}
	var err error
	if b.admin, err = b.server.start(ctx); err != nil {
		return err
	}
	if _, err := b.command(ctx, "", b.solera, "--store", b.server.store, "user", "add", "ci", "--role", "editor"); err != nil {
		return err
	}
	out, err := b.command(ctx, "", b.solera, "--store", b.server.store, "user", "key", "ci", "--scope", "write", "--json")
	if err != nil {
		return err
	}
	if b.key, err = field(out, "key"); err != nil {
		return err
	}
	b.origin = filepath.Join(b.scratch, "wine")
	for _, file := range append([]string{"solera.yaml"}, workflowFiles()...) {
		content, err := os.ReadFile(filepath.Join("examples", "wine", file))
		if err != nil {
			return err
		}
		to := filepath.Join(b.origin, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, content, 0o644)); err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"init", "--quiet", "--initial-branch=main"}, {"add", "--all"}, {"commit", "--quiet", "--message=wine"}} {
		if _, err := b.command(ctx, b.origin, "git", args...); err != nil {
			return err
		}
	}
	b.cache = filepath.Join(b.scratch, "cache")
	return os.Mkdir(b.cache, 0o755)
}
