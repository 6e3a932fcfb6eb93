package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/pipeline"
	"github.com/solera-ml/solera/tracking"
)

func (a *app) gcCommand() *cobra.Command {
	var o tracking.GCOptions
	grace := tracking.DefaultGrace
	c := &cobra.Command{
		Use:   "gc",
		Short: "Free what nothing needs: say what it would be, or delete it",
		Long: `Say what could be freed, and with --delete free it: versions whose time has come
or that retention in solera.yaml does not keep, runs that were deleted, and
contents that no version and no run needs. What is younger than the grace stays,
so others may go on working. Versions with an alias or the tag keep, the newest
of each artifact, and what a version that stays was made from are never chosen
by retention. docs/housekeeping.md tells the rest.`,
		Example: "  solera gc\n  solera gc --delete",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if grace < 0 {
				return usage("--grace %v: want a time such as 1h, or 0s when nobody else writes", grace)
			}
			if o.Grace = grace; grace == 0 {
				o.Grace = -1
			}
			return a.gc(c.Context(), o)
		},
	}
	c.Flags().BoolVar(&o.Delete, "delete", false, "delete; without it nothing is changed")
	c.Flags().DurationVar(&grace, "grace", grace, "leave alone what was written during the last `TIME`")
	return c
}

// retention returns the rules of the project in solera.yaml, if there is one.
func (a *app) retention() (project string, rules tracking.Retention, err error) {
	cfg, err := pipeline.Open(a.configPath())
	switch {
	case err == nil:
		return cfg.Project, cfg.Retention.Rules(), nil
	case a.config == "" && errors.Is(err, solera.ErrNotFound):
		return "", rules, nil
	}
	return "", rules, err // rules that cannot be read must not be taken for none
}

func (a *app) gc(ctx context.Context, o tracking.GCOptions) error {
	project, rules, err := a.retention()
	if err != nil {
		return err
	}
	if a.project == "" || a.project == project {
		o.Project, o.Retention = project, rules
	}
	w, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	var stop func()
	o.Progress, stop = a.countProgress("gc", "contents")
	r, err := tracking.GC(ctx, w.Store, w.Blobs, o)
	stop()
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("gc: %w: the next one goes on", solera.ErrStopped)
	}
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(r)
	} else {
		err = a.printGC(r)
	}
	if err == nil && !r.OK {
		return errFound
	}
	return err
}

// countProgress shows how many things were looked at, on a terminal.
func (a *app) countProgress(name, things string) (tell func(n int64), stop func()) {
	if a.json || a.quiet || !a.isTerminal(a.stderr) || a.env("CI") != "" {
		return nil, func() {}
	}
	var shown time.Time
	return func(n int64) {
			if time.Since(shown) > 100*time.Millisecond {
				shown = time.Now()
				fmt.Fprintf(a.stderr, "\r%s  %d %s\x1b[K", name, n, things)
			}
		}, func() {
			if !shown.IsZero() {
				fmt.Fprint(a.stderr, "\r\x1b[K")
			}
		}
}

func (a *app) printGC(r tracking.GCReport) error {
	var b strings.Builder
	verb := "Freed"
	if r.DryRun {
		verb = "Would free"
	}
	if r.Blobs == 0 && len(r.Reasons) == 0 {
		b.WriteString("Nothing to free.\n")
	} else {
		fmt.Fprintf(&b, "%s %s: %s.\n", verb, size(r.Bytes), count(int(r.Blobs), "content"))
	}
	if r.Young.Blobs > 0 {
		fmt.Fprintf(&b, "Too young to judge: %s, %s (--grace).\n", count(int(r.Young.Blobs), "content"), size(r.Young.Bytes))
	}
	if r.Unfinished > 0 {
		verb := "finished"
		if r.DryRun {
			verb = "to finish"
		}
		fmt.Fprintf(&b, "Begun by an earlier gc, %s: %s.\n", verb, count(r.Unfinished, "deletion"))
	}
	if err := a.printf("%s", b.String()); err != nil {
		return err
	}
	if len(r.Reasons) > 0 {
		var rows [][]string
		for _, one := range r.Reasons {
			rows = append(rows, []string{one.Reason, unlessZero(one.Versions), unlessZero(one.Runs), unlessZero(int(one.Blobs)), size(one.Bytes)})
		}
		if err := a.printf("\n"); err != nil {
			return err
		}
		if err := a.printTable([]string{"REASON", "VERSIONS", "RUNS", "CONTENTS", "SIZE"}, rows); err != nil {
			return err
		}
	}
	if len(r.Versions) > 0 {
		var names []string
		for _, v := range r.Versions {
			names = append(names, v.Ref)
		}
		if err := a.printf("\n%s\n", wrap("Versions: "+enumerate(names)+".")); err != nil {
			return err
		}
	}
	if err := a.printProblems(r.Problems); err != nil {
		return err
	}
	switch {
	case r.Waiting != "":
		return a.printf("\n%s\n", wrap("Nothing would be deleted now: "+r.Waiting+"."))
	case r.DryRun && len(r.Reasons) > 0:
		return a.printf("\nNothing was changed. To do it: %s gc --delete\n", a.self())
	}
	return nil
}

func unlessZero(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// printProblems lists what is wrong, the first of them if there are many.
func (a *app) printProblems(list []solera.Problem) error {
	const most = 50
	if len(list) == 0 {
		return nil
	}
	var rows [][]string
	for _, p := range list[:min(most, len(list))] {
		rows = append(rows, []string{p.Ref, p.Path, p.Problem, p.Detail})
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	if err := a.printTable([]string{"REF", "PATH", "PROBLEM", "DETAIL"}, rows); err != nil {
		return err
	}
	if len(list) > most {
		return a.printf("… and %d more: --json lists all.\n", len(list)-most)
	}
	return nil
}
