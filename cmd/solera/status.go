package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/pipeline"
)

func (a *app) statusCommand() *cobra.Command {
	explain := ""
	c := &cobra.Command{
		Use:   "status [--explain STAGE]",
		Short: "Show what would run, and why",
		Args: func(c *cobra.Command, args []string) error {
			if explain != "" && !slices.Contains(pipeline.Stages(), explain) {
				return usage("--explain %s: no stage is called that; the stages are load, preprocess, build and train", explain)
			}
			return noArgs(c, args)
		},
		RunE: func(c *cobra.Command, _ []string) error {
			status, note, err := a.status(c.Context())
			if err != nil {
				return err
			}
			if explain != "" {
				status = slices.DeleteFunc(status, func(s pipeline.StageStatus) bool { return s.Stage != explain })
			}
			switch {
			case a.json:
				return a.printJSON(status)
			case explain != "":
				return a.explain(status[0])
			}
			return a.showStatus(status, note)
		},
	}
	c.Flags().StringVar(&explain, "explain", "", "show every key of `STAGE` that changed, before and after")
	_ = c.RegisterFlagCompletionFunc("explain", stageNames(pipeline.Stages()))
	return c
}

// status asks the pipeline what would run, and notes where solera.lock and the
// store disagree. Where there is no store yet it asks an empty one, so that
// looking makes none.
func (a *app) status(ctx context.Context) (list []pipeline.StageStatus, note string, err error) {
	cfg, err := a.readConfig()
	if err != nil {
		return nil, "", err
	}
	w, err := a.open(ctx, cfg.Project, false)
	if errors.Is(err, solera.ErrNotFound) {
		empty, terr := os.MkdirTemp("", "solera-empty-")
		if terr != nil {
			return nil, "", fmt.Errorf("make an empty store: %w", terr)
		}
		defer os.RemoveAll(empty)
		b := *a
		b.store, b.blobs = "file://"+empty, "file://"+empty+"/blobs"
		w, err = b.open(ctx, cfg.Project, true)
	}
	if err != nil {
		return nil, "", err
	}
	defer w.close()
	p := pipeline.Pipeline{Config: cfg, Tracker: w.Tracker}
	if list, err = p.Status(ctx); err != nil {
		return nil, "", err
	}
	note, err = a.lockNote(ctx, cfg, w)
	return list, note, err
}

func (a *app) showStatus(status []pipeline.StageStatus, note string) error {
	var rows [][]string
	stale := 0
	for _, s := range status {
		why := ""
		switch {
		case len(s.Why) > 0:
			stale++
			why = changeText(s.Why[0])
			if more := len(s.Why) - 1; more > 0 {
				why += fmt.Sprintf(" (and %d more)", more)
			}
		case s.State == pipeline.Stale:
			stale++
		}
		rows = append(rows, []string{s.Stage, s.State, why})
	}
	if err := a.printTable([]string{"STAGE", "STATE", "WHY"}, rows); err != nil {
		return err
	}
	if note != "" {
		if err := a.printf("\n%s\n", wrap(note)); err != nil {
			return err
		}
	}
	if stale == 0 && note != "" {
		return a.printf("\nEverything is up to date; %s run writes the lock.\n", a.self())
	}
	if stale == 0 {
		return a.printf("\nEverything is up to date.\n")
	}
	return a.printf("\nNext: %s run\n", a.self())
}

// changeText reads "params.learning_rate: 0.001 → 0.002".
func changeText(c pipeline.Change) string {
	switch {
	case c.Before == "":
		return c.Key + ": " + clipText(c.After, 40)
	case c.After == "":
		return c.Key + ": " + clipText(c.Before, 40) + " → (gone)"
	}
	return c.Key + ": " + clipText(c.Before, 40) + " → " + clipText(c.After, 40)
}

func (a *app) explain(s pipeline.StageStatus) error {
	if s.State == pipeline.Fresh {
		return a.printf("%s is fresh: the store has what these inputs, params and code come to.\n", s.Stage)
	}
	if err := a.printf("%s is stale:\n\n", s.Stage); err != nil {
		return err
	}
	var rows [][]string
	for _, c := range s.Why {
		rows = append(rows, []string{c.Key, c.Before, c.After})
	}
	return a.printTable([]string{"KEY", "BEFORE", "AFTER"}, rows)
}
