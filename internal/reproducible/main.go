// Command reproducible trains the wine project once for every kernel set, core
// count and processor that this machine can offer, and compares the digests of
// all artifacts with each other and with testdata/wine.txt. `make
// test-reproducible` runs it; UPDATE=1 rewrites the file after a change that is
// meant to change the bytes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/cpu"
)

const (
	project = "examples/wine/solera.yaml"
	golden  = "internal/reproducible/testdata/wine.txt"
	prefix  = "trained-wine-model-" // the models shown in the table; all artifacts are compared
)

// A place is one way of computing: a processor, a kernel set, a number of cores.
type place struct {
	arch   string
	kernel string
	procs  int
	lacks  string // why it cannot be tried here, "" if it can
}

func main() {
	update := flag.Bool("update", false, "write "+golden+" instead of comparing with it")
	flag.Parse()
	if err := run(context.Background(), *update); err != nil {
		fmt.Fprintln(os.Stderr, "reproducible:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, update bool) error {
	scratch, err := os.MkdirTemp("", "solera-reproducible-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)

	binaries := map[string][]string{} // by architecture: the command that starts solera there
	for _, arch := range []string{"amd64", "arm64"} {
		bin := filepath.Join(scratch, "solera-"+arch)
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, "./cmd/solera")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+arch)
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build solera for %s: %w\n%s", arch, err, out)
		}
		binaries[arch] = []string{bin}
	}

	places := here()
	if runtime.GOARCH == "amd64" {
		if qemu, err := exec.LookPath("qemu-aarch64-static"); err == nil {
			binaries["arm64"] = append([]string{qemu}, binaries["arm64"]...)
		} else if os.Getenv("SOLERA_REQUIRE_QEMU") != "" {
			return errors.New("SOLERA_REQUIRE_QEMU is set, but qemu-aarch64-static is not installed (Debian: apt-get install qemu-user-static)")
		} else {
			for i := range places {
				if places[i].arch == "arm64" {
					places[i].lacks = "qemu-aarch64-static is not installed"
				}
			}
		}
	}

	want := map[string]string{}
	if !update {
		if want, err = readGolden(); err != nil {
			return err
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer table.Flush() // an error does not hide the rows before it
	fmt.Fprintln(table, "processor\tkernel\tcores\tseconds\texp001\texp002\texp003\tall artifacts")
	failed := 0
	for i, p := range places {
		fmt.Fprintf(table, "%s\t%s\t%d\t", p.arch, p.kernel, p.procs)
		if p.lacks != "" {
			fmt.Fprintf(table, "skipped: %s\n", p.lacks)
			if p.arch == runtime.GOARCH && p.kernel != "neon" {
				// The contract: forcing a kernel set that the CPU lacks is an error, not a guess.
				if _, err := train(ctx, binaries[p.arch], p, filepath.Join(scratch, strconv.Itoa(i))); err == nil {
					return fmt.Errorf("SOLERA_KERNEL=%s was accepted on a CPU that lacks it", p.kernel)
				}
			}
			continue
		}
		start := time.Now()
		got, err := train(ctx, binaries[p.arch], p, filepath.Join(scratch, strconv.Itoa(i)))
		if err != nil {
			return fmt.Errorf("%s %s, %d cores: %w", p.arch, p.kernel, p.procs, err)
		}
		if len(want) == 0 { // -update: the first place speaks for the others
			want = got
		}
		verdict := "same"
		if !maps.Equal(got, want) {
			verdict = "DIFFERENT: " + strings.Join(differing(got, want), ", ")
			failed++
		}
		fmt.Fprintf(table, "%.1f\t%s\t%s\t%s\t%s\n", time.Since(start).Seconds(),
			short(got[prefix+"exp001"]), short(got[prefix+"exp002"]), short(got[prefix+"exp003"]), verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d rows differ from %s; if the bytes were meant to change, run `make test-reproducible UPDATE=1`, "+
			"read the difference, and say why in the commit", failed, golden)
	}
	if update {
		return writeGolden(want)
	}
	return nil
}

// here lists what is to be tried, with what this machine lacks.
func here() []place {
	var places []place
	for _, kernel := range []struct {
		name string
		has  bool
	}{
		{"avx512", cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ},
		{"avx2", cpu.X86.HasAVX2 && cpu.X86.HasFMA},
		{"portable", true},
	} {
		for _, procs := range []int{1, 2, 8} {
			p := place{arch: "amd64", kernel: kernel.name, procs: procs}
			if runtime.GOARCH != "amd64" {
				p.lacks = "this machine is " + runtime.GOARCH
			} else if !kernel.has {
				p.lacks = "this CPU has no " + kernel.name
			}
			places = append(places, p)
		}
	}
	for _, kernel := range []string{"neon", "portable"} {
		places = append(places, place{arch: "arm64", kernel: kernel, procs: 2})
	}
	return places
}

// train runs the project in a fresh folder and returns the digests of the newest
// version of every artifact.
func train(ctx context.Context, solera []string, p place, dir string) (map[string]string, error) {
	config, err := os.ReadFile(project)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "solera.yaml"), config, 0o644); err != nil {
		return nil, err
	}
	command := func(args ...string) ([]byte, error) {
		args = slices.Concat(solera, []string{"-C", dir}, args)
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "SOLERA_KERNEL="+p.kernel, "GOMAXPROCS="+strconv.Itoa(p.procs), "SOLERA_STORE=", "SOLERA_BLOBS=")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("solera %s: %w\n%s", strings.Join(args[len(solera):], " "), err, stderr.String())
		}
		return out, nil
	}
	if _, err := command("run", "--json"); err != nil {
		return nil, err
	}
	out, err := command("artifacts", "--json")
	if err != nil {
		return nil, err
	}
	var versions []struct {
		Name    string   `json:"name"`
		Version string   `json:"version"`
		Digest  string   `json:"digest"`
		Aliases []string `json:"aliases"`
	}
	if err := json.Unmarshal(out, &versions); err != nil {
		return nil, fmt.Errorf("solera artifacts --json: %w", err)
	}
	digests := map[string]string{}
	for _, v := range versions {
		if v.Version == "v0" { // a fresh store has no other
			digests[v.Name] = v.Digest
		}
	}
	models := 0
	for name := range digests {
		if strings.HasPrefix(name, prefix) {
			models++
		}
	}
	if models != 3 {
		return nil, fmt.Errorf("got %d artifacts named %s…, want 3", models, prefix)
	}
	return digests, nil
}

func differing(got, want map[string]string) []string {
	names := map[string]bool{}
	for name := range got {
		names[name] = got[name] != want[name]
	}
	for name := range want {
		names[name] = got[name] != want[name]
	}
	maps.DeleteFunc(names, func(_ string, differs bool) bool { return !differs })
	return slices.Sorted(maps.Keys(names))
}

func short(digest string) string {
	_, hex, ok := strings.Cut(digest, ":") // "sha256:…"
	if !ok {
		hex = digest
	}
	return hex[:min(12, len(hex))]
}

func readGolden() (map[string]string, error) {
	content, err := os.ReadFile(golden)
	if err != nil {
		return nil, fmt.Errorf("%w (`make test-reproducible UPDATE=1` writes it)", err)
	}
	digests := map[string]string{}
	for line := range strings.Lines(string(content)) {
		if f := strings.Fields(line); len(f) == 2 {
			digests[f[0]] = f[1]
		}
	}
	if len(digests) == 0 {
		// Without this the first place would be compared with itself.
		return nil, fmt.Errorf("%s has no digests (`make test-reproducible UPDATE=1` writes them)", golden)
	}
	return digests, nil
}

func writeGolden(digests map[string]string) error {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(digests)) {
		fmt.Fprintf(&b, "%s %s\n", name, digests[name])
	}
	if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
		return err
	}
	return os.WriteFile(golden, []byte(b.String()), 0o644)
}
