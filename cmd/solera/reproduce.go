package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/pipeline"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/tracking"
)

// reproduceFlags are what solera reproduce is asked beyond the version.
type reproduceFlags struct {
	sources []string
	stored  bool
	keep    string
}

func (a *app) reproduceCommand() *cobra.Command {
	var flags reproduceFlags
	c := &cobra.Command{
		Use:   "reproduce NAME[:REF]",
		Short: "Make a version again from its origins, and compare the digests",
		Long: `Execute again, in a scratch store, every stage that led to a version: from the
params that were recorded and from the source. Of each version it shows whether
the digest is the same, or the first difference: file, then field, value of a
tensor, cell of a table, or byte. Exit code 1 unless all are the same. Nothing in
the store is changed.`,
		Example: "  solera reproduce trained-wine-model-exp001\n  solera reproduce sales-raw:v3 --source /archive/sales.csv",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("solera reproduce takes one version, such as wine-raw:v0")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.reproduce(c.Context(), args[0], flags) },
	}
	c.Flags().StringArrayVar(&flags.sources, "source", nil, "look for the source table in `FILE` too; repeat for more")
	c.Flags().BoolVar(&flags.stored, "from-stored-data", false, "take what load made as it is stored, and begin after it")
	c.Flags().StringVar(&flags.keep, "keep", "", "make the scratch store in the new folder `DIR` and keep it")
	return c
}

func (a *app) reproduce(ctx context.Context, ref string, flags reproduceFlags) (err error) {
	// A kernel set that this CPU lacks is an error before anything is made.
	e, err := a.engine(1)
	if err != nil {
		return err
	}
	e.Close()
	w, err := a.openProject(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	scratch, discard, err := a.openScratch(ctx, flags.keep)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("reproduce %s: %w", ref, solera.ErrStopped)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, discard()) }()
	progress := a.newProgress()
	r := pipeline.Reproducer{
		Tracker: w.Tracker, Scratch: scratch, Reporter: progress, Kernel: a.env("SOLERA_KERNEL"),
		Dir: filepath.Dir(a.configPath()), Stored: flags.stored,
	}
	for _, source := range flags.sources {
		r.Sources = append(r.Sources, a.path(source))
	}
	res, err := r.Run(ctx, ref)
	progress.Close()
	if a.json {
		// Also beside an error: how far it came.
		if jerr := a.printJSON(res); err == nil {
			err = jerr
		}
	} else if err == nil {
		err = a.showReproduction(res, flags)
	}
	if err != nil {
		return a.absent(err, ref)
	}
	if !res.OK {
		return errFound
	}
	return nil
}

// openScratch makes an empty store in a folder of its own, which discard
// removes again, or in keep.
func (a *app) openScratch(ctx context.Context, keep string) (t *tracking.Tracker, discard func() error, err error) {
	folder := ""
	if keep != "" {
		folder = a.path(keep)
		if entries, err := os.ReadDir(folder); err == nil && len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, &solera.InputError{Op: "--keep " + keep, Msg: "it is there and not an empty folder", Hint: "name a new one"}
		}
	} else if folder, err = os.MkdirTemp("", "solera-reproduce-"); err != nil {
		return nil, nil, fmt.Errorf("make a scratch store: %w", err)
	}
	remove := func() error {
		if keep != "" {
			return nil
		}
		return os.RemoveAll(folder)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, nil, &solera.InputError{Op: "make folder " + folder, File: folder, Err: err}
	}
	db, err := store.OpenSQLite(ctx, filepath.Join(folder, "solera.db"))
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	blobs, err := blob.OpenDir(filepath.Join(folder, "blobs"))
	if err != nil {
		return nil, nil, errors.Join(err, db.Close(), remove())
	}
	host, _ := os.Hostname() // only for the records of runs
	t = &tracking.Tracker{Store: db, Blobs: blobs, Solera: version, Host: host}
	return t, func() error { return errors.Join(db.Close(), remove()) }, nil
}

// showReproduction writes what became of each version, for people.
func (a *app) showReproduction(r *pipeline.Reproduction, flags reproduceFlags) error {
	var rows [][]string
	same, given, others := 0, 0, 0
	for _, v := range r.Versions {
		result := "same digest"
		switch {
		case v.Failed != "":
			result = "not made again: " + v.Failed
		case v.Given != "" && !v.Same:
			result = "cannot be made again: " + v.Given
		case v.Given != "":
			result = "given: " + v.Given
			given++
		case v.Same:
			same++
		case v.First != nil:
			result = "differs (" + v.Reproduced.Short() + "): " + v.First.String()
			if v.First.More > 0 {
				result += fmt.Sprintf(" (and %s more)", count(v.First.More, "file"))
			}
		}
		if v.OtherCode != nil {
			others++
			result += " (made by other code)"
		}
		rows = append(rows, []string{v.Ref, v.Digest.Short(), result})
	}
	if err := a.printTable([]string{"VERSION", "DIGEST", "MADE AGAIN"}, rows); err != nil {
		return err
	}
	text := fmt.Sprintf("%s made again to the same bytes.", count(same, "version"))
	if given > 0 {
		text += fmt.Sprintf(" %s taken as stored.", count(given, "version"))
	}
	if !r.OK {
		text = fmt.Sprintf("Not reproduced: %s made again to the same bytes, of %d. Left of an arrow is what was recorded, right of it what was made now.", count(same, "version"), len(r.Versions))
	}
	if others > 0 {
		text += fmt.Sprintf(" %s made by other code than that of solera %s: where digests differ, that may be why.", count(others, "version"), version)
	}
	if err := a.printf("\n%s\n", wrap(text)); err != nil {
		return err
	}
	if flags.keep != "" {
		where := "--store " + flags.keep
		if firstOf(a.blobs, a.env("SOLERA_BLOBS")) != "" {
			where += " --blobs " + filepath.Join(flags.keep, "blobs")
		}
		return a.printf("\nNext: %s %s artifacts\n", a.self(), where)
	}
	return nil
}
