package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/provenance"
	"github.com/solera-ml/solera/tracking"
)

// verifyFlags are what solera verify is asked beyond the version.
type verifyFlags struct {
	keys       []string
	references bool
	sign       bool
	workers    int
}

func (a *app) verifyCommand() *cobra.Command {
	var flags verifyFlags
	c := &cobra.Command{
		Use:   "verify [NAME[:REF]]",
		Short: "Check every byte and every signature of a version, or of the whole store",
		Long: `Read every byte of a version, or of every version of the store, and compare it
with what was committed; check that each version is signed, and that its run and
what it was made from are recorded as they were signed. Exit code 1 if anything
is missing, altered, unsigned or badly signed. docs/provenance.md says what this
proves, and what it does not.`,
		Example: "  solera verify\n  solera verify wine-raw:v0 --key ana.pem",
		Args:    atMostOne("version"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.verify(c.Context(), strings.Join(args, ""), flags)
		},
	}
	c.Flags().StringArrayVar(&flags.keys, "key", nil, "trust the public key in `FILE` and no other; repeat for more")
	c.Flags().BoolVar(&flags.references, "references", false, "also read the files outside the store (file://)")
	c.Flags().BoolVar(&flags.sign, "sign", false, "sign, with your key, versions that are whole and unsigned")
	c.Flags().IntVar(&flags.workers, "workers", 0, "read `N` contents at once (0 = 4)")
	return c
}

// openStore opens an existing store for something that concerns all of it. A
// project, if one is known, only shortens names.
func (a *app) openStore(ctx context.Context) (*workspace, error) {
	project := a.project
	if project == "" {
		if cfg, err := a.readConfig(); err == nil {
			project = cfg.Project
		}
	}
	w, err := a.open(ctx, project, false)
	if err != nil {
		return nil, err
	}
	if a.project != "" {
		if err := a.projectIsThere(ctx, w); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	if project != "" {
		return w, nil
	}
	projects, err := w.Projects(ctx)
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	if len(projects) == 1 {
		w.Project = projects[0]
	}
	return w, nil
}

func (a *app) verify(ctx context.Context, ref string, flags verifyFlags) error {
	opts := tracking.VerifyOptions{Ref: ref, Project: a.project, Sign: flags.sign, Workers: flags.workers}
	if flags.workers < 0 || flags.workers > 1024 {
		return usage("--workers %d: want 1 to 1024", flags.workers)
	}
	for _, file := range flags.keys {
		key, err := a.readPublicKey(file)
		if err != nil {
			return err
		}
		opts.Keys = append(opts.Keys, key)
	}
	if flags.references {
		opts.OpenReference = openReference
	}
	open := a.openStore
	if ref != "" {
		open = a.openProject
	}
	w, err := open(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	if flags.sign {
		if err := a.sign(w.Tracker); err != nil {
			return err
		}
		if w.Sign == nil {
			return usage("--sign: SOLERA_KEY=off: unset it, or name a key with it")
		}
	}
	var closeBar func()
	opts.Progress, closeBar = a.byteProgress("verify")
	start := time.Now()
	result, err := w.Verify(ctx, opts)
	closeBar()
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("verify: %w: nothing was changed", solera.ErrStopped)
	}
	if err != nil {
		return a.absent(err, ref)
	}
	if a.json {
		err = a.printJSON(result)
	} else {
		err = a.printVerification(result, len(opts.Keys) > 0, time.Since(start))
	}
	if err == nil && !result.OK {
		return errFound
	}
	return err
}

func (a *app) readPublicKey(file string) (provenance.Key, error) {
	f, err := os.Open(a.path(file))
	if err != nil {
		return provenance.Key{}, &solera.InputError{Op: "read the key", File: file, Err: err}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return provenance.Key{}, &solera.InputError{Op: "read the key", File: file, Err: err}
	}
	key, err := provenance.ParsePublic(string(b))
	if err != nil {
		return key, &solera.InputError{Op: "read the key", File: file, Msg: sentence(err), Err: err}
	}
	return key, nil
}

// openReference opens an external file that is on this machine.
func openReference(_ context.Context, e solera.Entry) (io.ReadCloser, error) {
	if !strings.HasPrefix(e.Ref, "file://") {
		return nil, errors.ErrUnsupported
	}
	return openLocal(e.Ref, 0)
}

// byteProgress returns a bar for work that is counted in bytes, on a terminal;
// elsewhere the function is nil.
func (a *app) byteProgress(name string) (tell func(done, total int64), stop func()) {
	if a.json || a.quiet || !a.isTerminal(a.stderr) || a.env("CI") != "" {
		return nil, func() {}
	}
	pool := mpb.New(mpb.WithOutput(a.stderr), mpb.WithWidth(30), mpb.WithRefreshRate(100*time.Millisecond))
	bar := pool.AddBar(0, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR), decor.CountersKibiByte("% .1f / % .1f", decor.WCSyncSpace)),
		mpb.AppendDecorators(decor.AverageSpeed(decor.SizeB1024(0), "% .1f"), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)))
	return func(done, total int64) {
			bar.SetTotal(total, false)
			bar.SetCurrent(done)
		}, func() {
			bar.Abort(true)
			pool.Wait()
		}
}

// printVerification shows what was found, and what to do about it.
func (a *app) printVerification(r tracking.Verification, pinned bool, took time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Checked %s: %s, %s", count(r.Versions, "version"), count(r.Blobs, "content"), size(r.Bytes))
	if s := took.Seconds(); r.Bytes >= 1<<20 && s > 0 {
		fmt.Fprintf(&b, " at %s/s", size(int64(float64(r.Bytes)/s)))
	}
	b.WriteString(".\n")
	if r.Signed > 0 {
		fmt.Fprintf(&b, "Signed now: %s.\n", count(r.Signed, "version"))
	}
	if r.Deleted > 0 {
		fmt.Fprintf(&b, "Deleted since they were made, so only their records were checked: %s.\n", count(r.Deleted, "version"))
	}
	if r.References > 0 {
		fmt.Fprintf(&b, "Not read: %s outside the store", count(r.References, "file"))
		b.WriteString(" (--references reads those on this machine).\n")
	}
	if err := a.printf("%s", b.String()); err != nil {
		return err
	}
	if len(r.Keys) > 0 {
		var rows [][]string
		for _, k := range r.Keys {
			rows = append(rows, []string{k.ID[:16], k.Owner, fmt.Sprint(k.Versions)})
		}
		if err := a.printf("\n"); err != nil {
			return err
		}
		if err := a.printTable([]string{"SIGNED BY KEY", "OF", "VERSIONS"}, rows); err != nil {
			return err
		}
	}
	if r.OK {
		if r.Versions == 0 && r.Deleted == 0 {
			return a.printf("\nThere is nothing to verify: no version is in the store.\n")
		}
		if pinned {
			return a.printf("\nAll is as it was committed, and signed by a key that you gave.\n")
		}
		return a.printf("\nAll is as it was committed and signed.\n")
	}
	const most = 50
	var rows [][]string
	found := map[string]int{}
	for _, p := range r.Problems {
		found[p.Problem]++
		if len(rows) < most {
			rows = append(rows, []string{p.Ref, p.Path, p.Problem, p.Detail})
		}
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	if err := a.printTable([]string{"VERSION", "FILE", "PROBLEM", "WHAT"}, rows); err != nil {
		return err
	}
	b.Reset()
	if len(r.Problems) > most {
		fmt.Fprintf(&b, "and %d more: --json lists them all.\n", len(r.Problems)-most)
	}
	b.WriteString("\n")
	for _, problem := range []struct{ name, mend string }{
		{tracking.Missing, "take it back from a backup (" + a.self() + " restore), or make it again: " + a.self() + " run"},
		{tracking.Altered, "do not use it; take it back from a backup (" + a.self() + " restore), and look at who can write to the store"},
		{tracking.BadSignature, "find out whose key it is (" + a.self() + " key --all) before you trust the version"},
		{tracking.Unsigned, "if you know where it comes from, sign it: " + a.self() + " verify --sign"},
	} {
		if n := found[problem.name]; n > 0 {
			fmt.Fprintf(&b, "%s\n", wrap(fmt.Sprintf("%d %s: %s.", n, problem.name, problem.mend)))
		}
	}
	return a.printf("%s", b.String())
}
