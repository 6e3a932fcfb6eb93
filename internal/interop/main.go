// Command interop runs the real, unmodified clients of Weights & Biases against
// servers of this repository and prints what works: `make interop`.
//
// The clients, in the versions that interop/wandb/clients.txt lists, are
// installed from the package index into environments of their own. The scripts
// in interop/wandb/conformance say of each capability whether it works. What
// does not, and is not in interop/wandb/gaps.txt with a reason, makes the
// command fail; so does a gap that is none any more. The table in docs/wandb.md
// is compared with what was seen, or with -update written anew.
//
// Inside `go run ./internal/cluster`, which starts PostgreSQL and S3, a part of
// the scripts runs on those too.
//
// Nothing leaves the machine: servers and clients are on loopback, the clients'
// crash reports are off, and each script has a home folder of its own.
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
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	solera   string // program of the server
	tools    string // folder of the environments
	python   string // that makes them
	versions string // of clients, with commas; "" = all of the list
	only     string // pattern of capabilities
	scripts  string // of scripts, with commas; "" = all
	update   bool   // write the table
	record   bool   // write the recordings instead
	load     bool   // many processes at once instead
	venvs    bool   // make the environments, and no more
	keep     bool   // keep the scratch folder
	workers  int
}

func main() {
	var o options
	flag.StringVar(&o.solera, "solera", "bin/solera", "program of the server")
	flag.StringVar(&o.tools, "tools", ".tools/interop", "folder in which the clients are installed")
	flag.StringVar(&o.python, "python", "/usr/bin/python3", "Python that has PyTorch and scikit-learn")
	flag.StringVar(&o.versions, "client", "", "only these versions, with commas between")
	flag.StringVar(&o.only, "only", "*", "only capabilities of these patterns, with commas between")
	flag.StringVar(&o.scripts, "script", "", "only these scripts, with commas between")
	flag.BoolVar(&o.update, "update", false, "write the table of docs/wandb.md")
	flag.BoolVar(&o.record, "record", false, "write the recordings that the tests of httpd/wandb replay")
	flag.BoolVar(&o.load, "load", false, "let 20 processes log at once, and count what arrives")
	flag.BoolVar(&o.venvs, "install", false, "install the clients, and no more")
	flag.BoolVar(&o.keep, "keep", false, "keep what the servers and clients wrote")
	flag.IntVar(&o.workers, "workers", 3*runtime.NumCPU(), "scripts at once; most of them wait most of the time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The servers die with the thread that started them; see serve.
	runtime.LockOSThread()
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	clients, err := readClients("interop/wandb/clients.txt")
	if err != nil {
		return err
	}
	if o.versions != "" {
		wanted := strings.Split(o.versions, ",")
		clients = slices.DeleteFunc(clients, func(c client) bool { return !slices.Contains(wanted, c.version) })
		if len(clients) == 0 {
			return fmt.Errorf("-client %s: interop/wandb/clients.txt has no such version", o.versions)
		}
	}
	start := time.Now()
	if err := install(ctx, o, clients); err != nil {
		return err
	}
	fmt.Printf("clients: %s (%.0f s)\n", strings.Join(versionsOf(clients), ", "), time.Since(start).Seconds())
	if o.venvs {
		return nil
	}
	if _, err := os.Stat(o.solera); err != nil {
		return fmt.Errorf("%w (make build makes it)", err)
	}
	scratch, err := os.MkdirTemp("", "solera-interop-")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Println("kept in", scratch)
	} else {
		defer os.RemoveAll(scratch)
	}
	h := &harness{options: o, scratch: scratch, clients: clients}
	defer h.stop()
	switch {
	case o.load:
		return h.load(ctx)
	case o.record:
		return h.record(ctx)
	}
	return h.conform(ctx)
}

// A harness is one run of this program.
type harness struct {
	options
	scratch string
	clients []client
	servers []*server
}

func (h *harness) stop() {
	for _, s := range h.servers {
		s.stop()
	}
}

// install makes an environment per client, side by side. What is there stays,
// as long as the lists of what to install have not changed.
func install(ctx context.Context, o options, clients []client) error {
	requirements, err := os.ReadFile("interop/wandb/requirements.txt")
	if err != nil {
		return err
	}
	errs := make(chan error)
	for _, c := range clients {
		go func() { errs <- c.install(ctx, o, string(requirements)) }()
	}
	var failed []error
	for range clients {
		failed = append(failed, <-errs)
	}
	return errors.Join(failed...)
}

func (c client) folder(o options) string { return filepath.Join(o.tools, "wandb-"+c.version) }

func (c client) python(o options) string {
	path, err := filepath.Abs(filepath.Join(c.folder(o), "bin", "python"))
	if err != nil {
		return ""
	}
	return path
}

func (c client) install(ctx context.Context, o options, requirements string) error {
	place := c.folder(o)
	mark, want := filepath.Join(place, "installed"), c.version+"\n"+requirements
	if have, err := os.ReadFile(mark); err == nil && string(have) == want {
		return nil
	}
	if err := os.RemoveAll(place); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return err
	}
	for _, command := range [][]string{
		{o.python, "-m", "venv", "--system-site-packages", place},
		{filepath.Join(place, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "wandb==" + c.version, "-r", "interop/wandb/requirements.txt"},
	} {
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("install the client %s: %s: %w (Debian: apt-get install python3-venv python3-torch python3-sklearn)\n%s", c.version, strings.Join(command, " "), err, out)
		}
	}
	return os.WriteFile(mark, []byte(want), 0o644)
}
