package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

func (a *app) fsckCommand() *cobra.Command {
	var o tracking.FsckOptions
	c := &cobra.Command{
		Use:   "fsck",
		Short: "Check that the store makes sense and has every content",
		Long: `Check the records of the whole store, and that every content which a version or
a run needs is there in its length. solera verify reads the bytes too. Exit code
1 if anything is wrong. With --repair, finish what was begun by a gc that was
killed, and remove what writers that died have left behind.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.fsck(c.Context(), o) },
	}
	c.Flags().BoolVar(&o.Repair, "repair", false, "finish what was begun, remove what was left behind")
	return c
}

func (a *app) fsck(ctx context.Context, o tracking.FsckOptions) error {
	w, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	var stop func()
	o.Progress, stop = a.countProgress("fsck", "contents")
	r, err := tracking.Fsck(ctx, w.Store, w.Blobs, o)
	stop()
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("fsck: %w", solera.ErrStopped)
	}
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(r)
	} else {
		err = a.printFsck(r, o.Repair)
	}
	if err == nil && !r.OK {
		return errFound
	}
	return err
}

func (a *app) printFsck(r tracking.FsckReport, repaired bool) error {
	out := fmt.Sprintf("Checked %s, %s, %s (%s).\n", count(r.Versions, "version"), count(r.Runs, "run"),
		count(int(r.Blobs.Blobs), "content"), size(r.Blobs.Bytes))
	if n := len(r.Silent); n > 0 {
		ids := make([]string, n)
		for i, id := range r.Silent {
			ids[i] = string(id)
		}
		out += wrap(fmt.Sprintf("Under way and silent, perhaps dead: %s.", enumerate(ids))) + "\n"
	}
	if r.Unreferenced.Blobs > 0 {
		out += fmt.Sprintf("Needed by nothing: %s, %s. To see what can be freed: %s gc\n",
			count(int(r.Unreferenced.Blobs), "content"), size(r.Unreferenced.Bytes), a.self())
	}
	switch {
	case r.Unfinished > 0 && repaired:
		out += fmt.Sprintf("Deletions that were begun: %d finished, %d withdrawn.\n", r.Finished, r.Withdrawn)
	case r.Unfinished > 0:
		out += fmt.Sprintf("Deletions that were begun and not finished: %d. %s fsck --repair finishes them.\n", r.Unfinished, a.self())
	}
	if r.Leftovers.Blobs > 0 {
		out += fmt.Sprintf("Removed what dead writers left: %s, %s.\n", count(int(r.Leftovers.Blobs), "file"), size(r.Leftovers.Bytes))
	}
	if r.OK {
		out += "No problem found.\n"
	} else {
		out += fmt.Sprintf("Found %s:\n", count(len(r.Problems), "problem"))
	}
	if err := a.printf("%s", out); err != nil {
		return err
	}
	return a.printProblems(r.Problems)
}
