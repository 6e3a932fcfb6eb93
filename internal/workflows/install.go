package main

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

const module = "github.com/solera-ml/solera"

// install serves the working tree as the release that the workflows name, and
// installs it as they do: go install, with modules from files alone. Jobs share
// Go's build cache with this machine, so none of them compiles what another has.
func (b *bench) install(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join("examples", "wine", workflowFiles()[0]))
	if err != nil {
		return err
	}
	m := regexp.MustCompile(`(?m)^  SOLERA_VERSION: (v[0-9]+\.[0-9]+\.[0-9]+)$`).FindSubmatch(text)
	if m == nil {
		return errors.New("the workflows pin no release of Solera")
	}
	release := string(m[1])
	proxy := filepath.Join(b.scratch, "proxy")
	if err := writeModule(ctx, filepath.Join(proxy, filepath.FromSlash(module), "@v"), release); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "go", "env", "-json", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	var ours struct{ GOCACHE, GOMODCACHE string }
	if err := json.Unmarshal(out, &ours); err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	b.env = []string{
		"GOCACHE=" + ours.GOCACHE, "GOMODCACHE=" + filepath.Join(b.scratch, "modules"),
		// What this machine has downloaded is laid out as a proxy serves it.
		"GOPROXY=file://" + filepath.ToSlash(proxy) + ",file://" + filepath.ToSlash(ours.GOMODCACHE) + "/cache/download",
		"GOSUMDB=off", "GOTOOLCHAIN=local", "GOFLAGS=-modcacherw",
	}
	bin := filepath.Join(b.scratch, "bin")
	if err := errors.Join(os.Mkdir(bin, 0o755), os.Mkdir(filepath.Join(b.scratch, "home"), 0o755)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "install", "-trimpath", module+"/cmd/solera@"+release)
	cmd.Dir = b.scratch
	cmd.Env = b.environment(filepath.Join(b.scratch, "home"), "GOBIN="+bin, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	b.solera = filepath.Join(bin, "solera")
	return nil
}

// writeModule writes what git knows of the working tree, with its changes, as a
// module proxy keeps a version.
func writeModule(ctx context.Context, dir, release string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"list":            release + "\n",
		release + ".info": fmt.Sprintf("{\"Version\":%q,\"Time\":\"2026-01-01T00:00:00Z\"}\n", release),
		release + ".mod":  string(mod),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	list, err := exec.CommandContext(ctx, "git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	f, err := os.Create(filepath.Join(dir, release+".zip"))
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	z := zip.NewWriter(f)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() {
			continue // deleted and not yet committed, or a link, which modules do not have
		}
		if err := addFile(z, module+"@"+release+"/"+name, name); err != nil {
			return err
		}
	}
	return z.Close()
}

func addFile(z *zip.Writer, name, path string) error {
	w, err := z.Create(name)
	if err != nil {
		return err
	}
	r, err := os.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}
