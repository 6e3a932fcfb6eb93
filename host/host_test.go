package host

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// repo makes a repository with one commit of file.txt, away from the settings
// of whoever runs the test.
func repo(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", home)
	dir := t.TempDir()
	run(t, dir, "init", "-q", "-b", "main")
	write(t, dir, "file.txt", "one\n")
	run(t, dir, "add", ".")
	run(t, dir, "commit", "-q", "-m", "first")
	return dir
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	c := exec.Command("git", append([]string{"-c", "user.name=Ana", "-c", "user.email=ana@example.org", "-c", "protocol.file.allow=always"}, args...)...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSourceTree(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name string
		// prepare changes the repository and returns the folder to look from.
		prepare func(t *testing.T, dir string) string
		check   func(t *testing.T, dir string, got *tree)
	}{
		{"clean", func(t *testing.T, dir string) string {
			run(t, dir, "remote", "add", "origin", "https://ana:secret@example.org/wine.git")
			write(t, dir, "deep/er/x", "") // untracked: not ours to tell
			return filepath.Join(dir, "deep", "er")
		}, func(t *testing.T, dir string, got *tree) {
			if got.commit != run(t, dir, "rev-parse", "HEAD") || got.branch != "main" || got.dirty || got.diff != nil || got.remote != "https://example.org/wine.git" {
				t.Errorf("%+v", got)
			}
		}},
		{"dirty", func(t *testing.T, dir string) string {
			write(t, dir, "file.txt", "two\n")
			write(t, dir, "new.txt", "staged\n")
			run(t, dir, "add", "new.txt")
			return dir
		}, func(t *testing.T, dir string, got *tree) {
			if !got.dirty || !bytes.Contains(got.diff, []byte("-one\n+two\n")) || !bytes.Contains(got.diff, []byte("+staged\n")) {
				t.Errorf("%+v\n%s", got, got.diff)
			}
			// It is the whole difference: applied to the commit, it gives the tree.
			patch := filepath.Join(t.TempDir(), "diff.patch")
			if err := os.WriteFile(patch, got.diff, 0o644); err != nil {
				t.Fatal(err)
			}
			run(t, dir, "reset", "-q", "--hard")
			run(t, dir, "apply", patch)
			if b, err := os.ReadFile(filepath.Join(dir, "file.txt")); err != nil || string(b) != "two\n" {
				t.Errorf("applied: %q, %v", b, err)
			}
		}},
		{"detached", func(t *testing.T, dir string) string {
			run(t, dir, "checkout", "-q", "--detach")
			return dir
		}, func(t *testing.T, dir string, got *tree) {
			if got.branch != "" || got.commit != run(t, dir, "rev-parse", "HEAD") || got.failed != "" {
				t.Errorf("%+v", got)
			}
		}},
		{"no commit yet", func(t *testing.T, _ string) string {
			dir := t.TempDir()
			run(t, dir, "init", "-q", "-b", "main")
			write(t, dir, "a", "b")
			run(t, dir, "add", "a")
			return dir
		}, func(t *testing.T, _ string, got *tree) {
			if got.commit != "" || got.branch != "main" || got.failed != "" || got.diff != nil {
				t.Errorf("%+v", got)
			}
		}},
		{"worktree", func(t *testing.T, dir string) string {
			tree := filepath.Join(t.TempDir(), "tree")
			run(t, dir, "worktree", "add", "-q", "-b", "side", tree)
			write(t, tree, "file.txt", "in the worktree\n")
			return tree
		}, func(t *testing.T, dir string, got *tree) {
			if got.branch != "side" || !bytes.Contains(got.diff, []byte("+in the worktree")) {
				t.Errorf("%+v\n%s", got, got.diff)
			}
		}},
		{"submodule", func(t *testing.T, dir string) string {
			other := t.TempDir()
			run(t, other, "init", "-q", "-b", "main")
			write(t, other, "inner.txt", "inner\n")
			run(t, other, "add", ".")
			run(t, other, "commit", "-q", "-m", "inner")
			run(t, dir, "submodule", "--quiet", "add", other, "sub")
			run(t, dir, "commit", "-q", "-m", "sub")
			write(t, dir, "sub/inner.txt", "changed\n")
			return filepath.Join(dir, "sub")
		}, func(t *testing.T, dir string, got *tree) {
			if got.commit != run(t, filepath.Join(dir, "sub"), "rev-parse", "HEAD") || !bytes.Contains(got.diff, []byte("+changed")) {
				t.Errorf("%+v\n%s", got, got.diff)
			}
			// From above, what happens inside a submodule is not looked at.
			if above := sourceTree(ctx, dir); above == nil || above.dirty || above.failed != "" {
				t.Errorf("from above: %+v", above)
			}
		}},
		{"huge difference", func(t *testing.T, dir string) string {
			write(t, dir, "file.txt", strings.Repeat("a line of sixty-four bytes, so that a mebibyte is 16,384 of it\n", 3*MaxDiff/64))
			return dir
		}, func(t *testing.T, _ string, got *tree) {
			if got.failed != "" || len(got.diff) > MaxDiff+100 || len(got.diff) < MaxDiff/2 || !bytes.HasSuffix(got.diff, []byte("\n# cut here: the difference is longer than 1 MiB\n")) {
				t.Errorf("%d bytes, %q", len(got.diff), got.failed)
			}
		}},
		{"binary files", func(t *testing.T, dir string) string {
			write(t, dir, "pixels.bin", "\x00\x01\x02")
			run(t, dir, "add", ".")
			run(t, dir, "commit", "-q", "-m", "binary")
			write(t, dir, "pixels.bin", "\x00\x01\x03")
			return dir
		}, func(t *testing.T, _ string, got *tree) {
			if !bytes.Contains(got.diff, []byte("Binary files")) {
				t.Errorf("%s", got.diff)
			}
		}},
		{"broken", func(t *testing.T, dir string) string {
			write(t, dir, ".git/HEAD", "nonsense")
			return dir
		}, func(t *testing.T, _ string, got *tree) {
			if got.failed == "" {
				t.Errorf("%+v", got)
			}
		}},
		{"lost worktree", func(t *testing.T, _ string) string {
			dir := t.TempDir()
			write(t, dir, ".git", "gitdir: /nowhere/at/all\n")
			return dir
		}, func(t *testing.T, _ string, got *tree) {
			if got.failed == "" {
				t.Errorf("%+v", got)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := repo(t)
			got := sourceTree(ctx, test.prepare(t, dir))
			if got == nil {
				t.Fatal("no repository was found")
			}
			test.check(t, dir, got)
			if _, err := got.fields().MarshalJSON(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNoRepositoryAndNoGit(t *testing.T) {
	ctx := context.Background()
	if got := sourceTree(ctx, t.TempDir()); got != nil {
		t.Errorf("outside a repository: %+v", got)
	}
	dir := repo(t)
	t.Setenv("PATH", t.TempDir())
	if got := sourceTree(ctx, dir); got != nil {
		t.Errorf("without git: %+v", got)
	}
}

// A repository may come with an archive that anybody made.
func TestHostileRepositoryRunsNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the traps are shell scripts")
	}
	dir := repo(t)
	mark := filepath.Join(t.TempDir(), "ran")
	trap := filepath.Join(t.TempDir(), "trap")
	if err := os.WriteFile(trap, []byte("#!/bin/sh\necho \"$0 $@\" >> "+mark+"\ncat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, ".gitattributes", "*.txt filter=evil diff=evil\n*.dat filter=process\n")
	write(t, dir, "x.dat", "1\n")
	run(t, dir, "add", ".")
	run(t, dir, "commit", "-q", "-m", "attributes")
	for key, value := range map[string]string{
		"filter.evil.clean": trap, "filter.evil.smudge": trap, "filter.evil.required": "true", "filter.process.process": trap,
		"diff.evil.command": trap, "diff.evil.textconv": trap, "diff.external": trap, "core.fsmonitor": trap, "core.pager": trap, "pager.diff": trap,
		"pager.status": trap, "core.editor": trap, "core.sshCommand": trap, "core.askPass": trap, "credential.helper": "!" + trap,
		"gpg.program": trap, "log.showSignature": "true", "core.hooksPath": filepath.Dir(trap), "core.gitProxy": trap, "alias.status": "!" + trap,
		"uploadpack.packObjectsHook": trap, "status.submoduleSummary": "true",
	} {
		run(t, dir, "config", key, value)
	}
	for _, hook := range []string{"post-index-change", "reference-transaction", "fsmonitor-watchman"} {
		if err := os.Link(trap, filepath.Join(filepath.Dir(trap), hook)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir, "file.txt", "two\n")
	write(t, dir, "x.dat", "2\n")
	// As long as before, so that git has to look at the content.
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"file.txt", "x.dat"} {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	// What this test set up does bite: git as it is runs the traps.
	c := exec.Command("git", "diff", "HEAD")
	c.Dir = dir
	_ = c.Run()
	if _, err := os.Stat(mark); err != nil {
		t.Fatalf("the traps do not work: %v", err)
	}
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	got := sourceTree(context.Background(), dir)
	if ran, err := os.ReadFile(mark); err == nil {
		t.Fatalf("the repository ran:\n%s", ran)
	}
	if got.failed != "" || !got.dirty || !bytes.Contains(got.diff, []byte("+two")) {
		t.Errorf("%+v\n%s", got, got.diff)
	}

	t.Run("a filter that no switch can name", func(t *testing.T) {
		run(t, dir, "config", "filter.a=b.clean", trap)
		write(t, dir, ".gitattributes", "*.txt filter=a=b\n")
		got := sourceTree(context.Background(), dir)
		if _, err := os.Stat(mark); err == nil || got.failed == "" {
			t.Errorf("ran: %v, %+v", err == nil, got)
		}
	})
}

// The work tree that a repository names may be a folder that it has no business
// in.
func TestWorkTreeIsWhereTheRepositoryIs(t *testing.T) {
	dir := repo(t)
	private := t.TempDir()
	write(t, private, "file.txt", "private key\n")
	run(t, dir, "config", "core.worktree", private)
	got := sourceTree(context.Background(), dir)
	if got.failed != "" || got.dirty || bytes.Contains(got.diff, []byte("private")) {
		t.Errorf("%+v\n%s", got, got.diff)
	}
}

func TestGitLeavesTheRepositoryAlone(t *testing.T) {
	dir := repo(t)
	index := filepath.Join(dir, ".git", "index")
	now := time.Now().Add(time.Minute)
	if err := os.Chtimes(filepath.Join(dir, "file.txt"), now, now); err != nil { // git status would refresh the index
		t.Fatal(err)
	}
	before, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	sourceTree(context.Background(), dir)
	if after, err := os.ReadFile(index); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the index was written: %v", err)
	}
}

func TestRedactArgs(t *testing.T) {
	tests := []struct{ in, want string }{
		{"solera run train", "solera run train"},
		{"solera --store postgres://ana:geheim@db/x run", "solera --store postgres://db/x run"},
		{"solera --blobs s3://b?endpoint=http://h&secret_key=geheim", "solera --blobs s3://b?endpoint=http://h&secret_key=REDACTED"},
		{"x --password geheim --seed 7", "x --password REDACTED --seed 7"},
		{"x --password=geheim", "x --password=REDACTED"},
		{"x --api-key=geheim --monkey=banana", "x --api-key=REDACTED --monkey=banana"},
		{"x API_TOKEN=geheim", "x API_TOKEN=REDACTED"},
		{"x ghp_0123456789abcdefghijABCDEFGHIJ012345", "x REDACTED"},
		{"x AKIAIOSFODNN7EXAMPLE", "x REDACTED"},
		{"x https://h/p?X-Amz-Signature=geheim&part=1", "x https://h/p?X-Amz-Signature=REDACTED&part=1"},
		{"x postgres://ana:ge%heim@db/x", "x postgres://db/x"},
		{"x dsn=host=db;password=geheim", "x dsn=host=db;password=REDACTED"},
	}
	for _, test := range tests {
		got := strings.Join(RedactArgs(strings.Fields(test.in)), " ")
		if got != test.want || strings.Contains(got, "geheim") || strings.Contains(got, "ge%heim") {
			t.Errorf("%s: got %s, want %s", test.in, got, test.want)
		}
	}
	if got := RedactArgs([]string{"x", "host=db password=geheim"}); got[1] != "host=db password=REDACTED" {
		t.Errorf("a connection string: %q", got)
	}
}

func TestDescribe(t *testing.T) {
	d := Describe(context.Background(), []string{"solera", "run"}, t.TempDir())
	for _, key := range []string{"command", "go", "os", "arch", "cores"} {
		if d.Fields[key] == nil {
			t.Errorf("%s is missing: %v", key, d.Fields)
		}
	}
	if d.Fields["git"] != nil || d.Diff != nil {
		t.Errorf("git: %v", d.Fields)
	}
	if _, err := d.Fields.MarshalJSON(); err != nil {
		t.Error(err)
	}
}

func TestSampler(t *testing.T) {
	ctx := context.Background()
	sample := NewSampler()
	if first := sample(ctx); first != nil {
		t.Errorf("the first look: %v", first)
	}
	got := sample(ctx)
	if runtime.GOOS != "linux" {
		return
	}
	for _, key := range []string{"system/process_memory_bytes", "system/memory_bytes", "system/memory_percent"} {
		if got[key] <= 0 {
			t.Errorf("%s is %v", key, got[key])
		}
	}
	if _, ok := got["system/process_cpu_percent"]; !ok {
		t.Errorf("CPU of the process: %v", got)
	}
	for key, x := range got {
		if x < 0 || strings.HasSuffix(key, "cpu_percent") && key == "system/cpu_percent" && x > 100 {
			t.Errorf("%s is %v", key, x)
		}
	}
}

func TestWholeDisks(t *testing.T) {
	got := wholeDisks([]string{"sda", "sda1", "sda12", "sdb", "nvme0n1", "nvme0n1p1", "nvme0n10", "loop0", "dm-0", "md127", "vda", "vda15", "mmcblk0", "mmcblk0p1", "disk0"})
	if want := []string{"disk0", "mmcblk0", "nvme0n1", "nvme0n10", "sda", "sdb", "vda"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func BenchmarkSample(b *testing.B) {
	sample := NewSampler()
	ctx := context.Background()
	for b.Loop() {
		sample(ctx)
	}
}
