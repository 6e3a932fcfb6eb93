package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/dataset"
	"github.com/solera-ml/solera/pipeline"
	"github.com/solera-ml/solera/table"
)

func (a *app) initCommand() *cobra.Command {
	var target string
	var ignore []string
	var force bool
	var ci string
	c := &cobra.Command{
		Use:   "init NAME|FILE [--target COLUMN] [--ignore COLUMN] [--ci github]",
		Short: "Begin a project: write solera.yaml for a sample or for your table",
		Long: `Write a commented solera.yaml. NAME is one of the tables that ship with Solera
(solera samples lists them); FILE is a CSV, JSON-lines or Parquet file, or a
glob in quotes. The types of its columns are inferred and written down, where
you can correct them.

--ci github also writes workflows that run the project on GitHub, a stage each;
without NAME|FILE it adds them to the project that is there (docs/ci.md).`,
		Example: "  solera init wine\n  solera init data.csv --target churned\n  solera init --ci github",
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				if ci != "" {
					return nil
				}
				return usage("which table? solera init data.csv --target COLUMN, or a sample: solera init %s",
					strings.Join(dataset.Names(), ", solera init "))
			case 1:
				return nil
			}
			return usage("solera init takes one table, not %d: quote a glob, as in solera init 'data/*.csv'", len(args))
		},
		RunE: func(c *cobra.Command, args []string) error {
			if ci != "" && ci != "github" {
				return usage("--ci %s: workflows are written for github alone", ci)
			}
			if ci != "" && filepath.Base(a.configPath()) != pipeline.FileName {
				return usage("--ci: the workflows run %s, not %s: leave out --config", pipeline.FileName, filepath.Base(a.configPath()))
			}
			if len(args) == 0 {
				if target != "" || len(ignore) > 0 {
					return usage("--target and --ignore are for a table: solera init FILE --target COLUMN --ci %s", ci)
				}
				return a.initWorkflows(force)
			}
			return a.init(c.Context(), args[0], target, ignore, force, ci != "")
		},
	}
	c.Flags().StringVar(&target, "target", "", "the `COLUMN` to predict")
	c.Flags().StringArrayVar(&ignore, "ignore", nil, "leave out a `COLUMN`, for example one that cannot be read; repeat for more")
	c.Flags().BoolVar(&force, "force", false, "overwrite what is there")
	c.Flags().StringVar(&ci, "ci", "", "also write workflows for `SERVICE`: github")
	return c
}

// initWorkflows adds the workflows to a project that is there.
func (a *app) initWorkflows(force bool) error {
	cfg, err := pipeline.Open(a.configPath())
	if err != nil {
		return err
	}
	a.cfg = cfg
	plan, err := a.planWorkflows(cfg, force)
	if err != nil {
		return err
	}
	done, err := writeWorkflows(plan)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]any{"workflows": done})
	}
	return a.showWorkflows(done)
}

func (a *app) init(ctx context.Context, what, target string, ignore []string, force, ci bool) error {
	file := a.configPath()
	if _, err := os.Lstat(file); err == nil && !force {
		return &solera.InputError{File: file, Msg: "exists already", Hint: "keep it, or overwrite it with --force", Err: solera.ErrConflict}
	}
	start, err := a.start(ctx, what, target, ignore)
	if err != nil {
		return err
	}
	src, err := pipeline.Init(start)
	if err != nil {
		return err
	}
	cfg, err := pipeline.Parse(file, src)
	if err != nil {
		return fmt.Errorf("a defect: solera init wrote a file that does not read back: %w", err)
	}
	var plan []plannedWorkflow // before anything is written: what is in the way of one is in the way of all
	if ci {
		if plan, err = a.planWorkflows(cfg, force); err != nil {
			return err
		}
	}
	if err := writeFile(file, src, force); err != nil {
		return err
	}
	done, err := writeWorkflows(plan)
	if err != nil {
		return err
	}
	a.initKey()
	if a.json {
		return a.printJSON(started(file, start, done))
	}
	if err := a.printf("Wrote %s: %s of %s, target %s.\n", file, count(start.Table.Len(), "row"), count(len(start.Table.Columns), "column"), start.Target); err != nil {
		return err
	}
	if ci {
		if err := a.showWorkflows(done); err != nil {
			return err
		}
	}
	if strings.HasPrefix(start.Source, "sample:") {
		return a.printf("%s\nNext: %s run\n", start.Title, a.self())
	}
	return a.printf("Look at the types and the ignored columns in it. Next: %s run\n", a.self())
}

// self is how a command that is shown to be typed begins: the program and -C
// as they were typed.
func (a *app) self() string {
	if a.dir == "" {
		return a.name
	}
	if strings.ContainsAny(a.dir, " '\"$\\") {
		return fmt.Sprintf("%s -C %q", a.name, a.dir)
	}
	return a.name + " -C " + a.dir
}

// start reads the table that the project begins with.
func (a *app) start(ctx context.Context, what, target string, ignore []string) (pipeline.Start, error) {
	if slices.Contains(dataset.Names(), what) {
		s, err := dataset.Get(what)
		if err != nil {
			return pipeline.Start{}, err
		}
		if target == "" {
			target = s.Target
		}
		if len(ignore) > 0 {
			return pipeline.Start{}, usage("--ignore is for a table of your own: a sample has no column to leave out")
		}
		return pipeline.Start{Source: "sample:" + what, Title: s.Title, Origin: s.Source + "\n" + s.Licence, Target: target, Table: s.Table}, nil
	}
	path := a.path(what)
	if !strings.ContainsAny(what, "*?[") {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return pipeline.Start{}, &solera.InputError{
				File: what, Msg: "no such file and no such sample",
				Hint: "the samples are " + strings.Join(dataset.Names(), ", "), Err: solera.ErrNotFound,
			}
		}
	}
	t, err := table.Open(ctx, path, table.Options{Ignore: ignore})
	if err != nil {
		return pipeline.Start{}, err
	}
	if target == "" {
		names := t.Names()
		shown := strings.Join(names[:min(len(names), 20)], ", ")
		if len(names) > 20 {
			shown += fmt.Sprintf(" and %d more", len(names)-20)
		}
		return pipeline.Start{}, usage("which column is to be predicted? solera init %s --target COLUMN; the columns are %s", what, shown)
	}
	source, err := a.sourceOf(what)
	return pipeline.Start{Source: source, Target: target, Ignore: ignore, Table: t}, err
}

// sourceOf returns a file as solera.yaml names it: relative to its folder,
// unless it was given as an absolute path, with slashes on every system.
func (a *app) sourceOf(file string) (string, error) {
	if filepath.IsAbs(file) {
		return filepath.ToSlash(file), nil
	}
	from, err := filepath.Abs(filepath.Dir(a.configPath()))
	if err != nil {
		return "", fmt.Errorf("folder of %s: %w", a.configPath(), err)
	}
	to, err := filepath.Abs(a.path(file))
	if err != nil {
		return "", fmt.Errorf("path of %s: %w", file, err)
	}
	rel, err := filepath.Rel(from, to)
	if err != nil {
		return "", fmt.Errorf("path of %s from %s: %w", file, from, err)
	}
	return filepath.ToSlash(rel), nil
}

// writeFile writes a new file whole or not at all.
func writeFile(name string, content []byte, overwrite bool) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".solera-*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		if overwrite {
			err = os.Rename(tmp.Name(), name)
		} else if err = os.Link(tmp.Name(), name); err != nil && !errors.Is(err, fs.ErrExist) {
			err = os.Rename(tmp.Name(), name) // a file system without links
		}
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

type startedColumn struct {
	Name string     `json:"name"`
	Kind table.Kind `json:"kind"`
}

// started is what init --json writes.
func started(file string, s pipeline.Start, done []workflowFile) any {
	columns := []startedColumn{}
	for _, c := range s.Table.Columns {
		columns = append(columns, startedColumn{c.Name, c.Kind})
	}
	return struct {
		File    string          `json:"file"`
		Source  string          `json:"source"`
		Target  string          `json:"target"`
		Rows    int             `json:"rows"`
		Columns []startedColumn `json:"columns"`

		Workflows []workflowFile `json:"workflows,omitempty"` // with --ci
	}{file, s.Source, s.Target, s.Table.Len(), columns, done}
}
