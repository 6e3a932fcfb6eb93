// Command solera trains, evaluates and traces classifiers of tables. Each verb
// has its file; this one wires them. Everything that the verbs know of the
// outside (arguments, environment, streams) comes in through an app.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/pipeline"
)

func main() {
	if os.Getenv("GOGC") == "" {
		// Tables are few, large and long-lived blocks: at Go's default of 100 a
		// table of 3 GB lets the heap grow to 6 before anything is collected.
		debug.SetGCPercent(40)
	}
	os.Exit(Main(os.Args, os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// Exit codes. They are part of the contract with scripts.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// Main runs one command line, the name of the program first, and returns its exit code. It is the whole
// program but for the process around it, so that tests can call it.
func Main(argv []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string) (code int) {
	args := argv[1:]
	a := &app{name: "solera", argv: argv, stdin: stdin, stdout: stdout, stderr: stderr, env: env}
	if strings.ContainsRune(argv[0], filepath.Separator) {
		a.name = argv[0] // not on the path: commands to type next are shown as this one was typed
	}
	defer func() {
		if r := recover(); r != nil {
			a.report(fmt.Errorf("a defect in Solera %s: %v: please report it at %s with the command that you typed", version, r, issuesURL))
			if a.verbose {
				stderr.Write(debug.Stack())
			}
			code = exitFailed
		}
	}()
	// The first Ctrl-C asks the work to stop where it can go on later; from
	// then on the signal has its usual effect, so that the second one ends the
	// process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	root, reached := a.command()
	root.SetArgs(args)
	// Flags may not have been read yet when something goes wrong in them. Not
	// before command, which sets them to their defaults.
	a.json = wantsJSON(args)
	err := root.ExecuteContext(solera.WithActor(ctx, a.actor()))
	if err != nil && !*reached && !errors.Is(err, solera.ErrUsage) {
		err = fmt.Errorf("%w: %w", solera.ErrUsage, err) // cobra's own: unknown flag, wrong arguments
	}
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE):
		return exitDone // EPIPE: the reader, such as head, has enough
	case errors.Is(err, solera.ErrUsage):
		a.report(err)
		return exitUsage
	}
	if !errors.Is(err, errFound) {
		a.report(err)
	}
	return exitFailed
}

// errFound ends a command that did what it should and found something wrong,
// which it has shown: exit code 1 and not another word.
var errFound = errors.New("something is wrong")

const issuesURL = "https://github.com/solera-ml/solera/issues"

// wantsJSON tells whether --json is among the arguments.
func wantsJSON(args []string) bool {
	for _, arg := range args {
		switch arg {
		case "--":
			return false
		case "--json", "--json=true":
			return true
		}
	}
	return false
}

// An app is one invocation: its streams, environment and global flags.
type app struct {
	name           string // of the program, as it was typed
	argv           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string

	dir     string // -C
	config  string // --config, "" = solera.yaml
	store   string // --store
	blobs   string // --blobs
	project string // --project, "" = that of solera.yaml, or the only one
	json    bool
	quiet   bool
	verbose bool

	kernel string // kernel set in use, "" before an engine is made

	cfg *pipeline.Config // that is being run, nil before it is read
}

// command returns the root command with all verbs. Reached becomes true when
// a verb's own code begins: what fails before is wrong usage.
func (a *app) command() (root *cobra.Command, reached *bool) {
	reached = new(bool)
	root = &cobra.Command{
		Use:   "solera",
		Short: "From a table to trained, evaluated, traceable models",
		Long: `Solera turns a table into trained, evaluated, traceable models: one binary, one
file solera.yaml, no network. Begin with a sample, or with your own table:

  solera init wine                                && solera run
  solera init data.csv --target COLUMN            && solera run`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              noArgs,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},

		SuggestionsMinimumDistance: 2,
	}
	cobra.EnableCommandSorting = false // the stages in the order in which they run
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "Flags.FlagUsages ", fmt.Sprintf("Flags.FlagUsagesWrapped %d ", maxWidth)))
	f := root.PersistentFlags()
	f.StringVarP(&a.dir, "directory", "C", "", "work in `DIR`")
	f.StringVar(&a.config, "config", "", "read `FILE` in the place of solera.yaml")
	f.StringVar(&a.store, "store", "", "keep runs and artifacts in `URL` (default .solera; SOLERA_STORE)")
	f.StringVar(&a.blobs, "blobs", "", "keep the bytes of artifacts in `URL` (default STORE/blobs; SOLERA_BLOBS)")
	f.StringVar(&a.project, "project", "", "look at project `NAME` (default that of solera.yaml, or the store's only one)")
	f.BoolVar(&a.json, "json", false, "write JSON for scripts (docs/cli.md)")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "every epoch on a line of its own")
	artifacts := a.artifactsCommand()
	artifacts.AddCommand(a.artifactsDiffCommand())
	for _, group := range []struct {
		title string
		verbs []*cobra.Command
	}{
		{"Begin:", []*cobra.Command{a.initCommand(), a.samplesCommand()}},
		{"Run:", []*cobra.Command{a.runCommand(), a.loadCommand(), a.preprocessCommand(), a.buildCommand(), a.trainCommand()}},
		{"Look and use:", []*cobra.Command{a.statusCommand(), a.runsCommand(), a.compareCommand(), artifacts, a.pullCommand(), a.lineageCommand(), a.predictCommand()}},
		{"Serve:", []*cobra.Command{a.uiCommand(), a.serverCommand(), a.userCommand()}},
		{"Prove:", []*cobra.Command{a.reproduceCommand(), a.verifyCommand(), a.provenanceCommand(), a.keyCommand()}},
		{"Share:", []*cobra.Command{a.loginCommand(), a.syncCommand()}},
		{"Keep:", []*cobra.Command{a.gcCommand(), a.backupCommand(), a.restoreCommand(), a.fsckCommand(), a.auditCommand()}},
		{"More:", []*cobra.Command{a.schemaCommand(), a.versionCommand(), a.completionCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, c := range group.verbs {
			c.GroupID = group.title
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID("More:")
	for todo := root.Commands(); len(todo) > 0; todo = todo[1:] {
		c := todo[0]
		todo = append(todo, c.Commands()...)
		run := c.RunE
		c.RunE = func(c *cobra.Command, args []string) error {
			*reached = true
			return run(c, args)
		}
	}
	return root, reached
}

// noArgs refuses arguments; for the root an argument is a verb that does not
// exist.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if c.HasParent() {
		return usage("solera %s takes no arguments, not %q", c.Name(), args[0])
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return usage("unknown command %q: did you mean solera %s?", args[0], strings.Join(near, " or solera "))
	}
	return usage("unknown command %q: solera --help lists the commands", args[0])
}

// usage returns an error about the command line itself: exit code 2.
func usage(format string, args ...any) error {
	return fmt.Errorf("%w: %s", solera.ErrUsage, fmt.Sprintf(format, args...))
}

// path returns a path as the user meant it: relative to -C.
func (a *app) path(p string) string {
	if a.dir == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(a.dir, p)
}
