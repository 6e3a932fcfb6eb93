package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/wandb"
)

func (a *app) syncCommand() *cobra.Command {
	var to string
	var all, anew bool
	var wait time.Duration
	c := &cobra.Command{
		Use:   "sync RUN… | --all --to wandb",
		Short: "Send runs and their artifacts to Weights & Biases, or a server that speaks its protocol",
		Long: `Send runs that the store holds to a server: params, metrics, console, files,
the artifacts that they made and used. A run brings along the runs that its
inputs come from. What is there already is not sent again, so a sync that was
interrupted goes on where it was. The key is read from WANDB_API_KEY or .netrc,
the server from WANDB_BASE_URL, the workspace from WANDB_ENTITY.`,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case to == "":
				return usage("where to? add --to wandb")
			case to != trackWandb:
				return usage("--to %s: want wandb", to)
			case all == (len(args) > 0):
				return usage("name the runs, or all of them with --all")
			case wait < 0:
				return usage("--wait %s: want a time such as 10m", wait)
			}
			return a.sync(c.Context(), args, anew, wait)
		},
	}
	c.Flags().StringVar(&to, "to", "", "send to `WHERE`: wandb")
	c.Flags().BoolVar(&all, "all", false, "all runs of the project")
	c.Flags().BoolVar(&anew, "anew", false, "send everything, also what was sent before: to a server that lost it")
	c.Flags().DurationVar(&wait, "wait", 0, "give up after so long; 0 = wait for a network that is gone as long as it takes")
	_ = c.RegisterFlagCompletionFunc("to", cobra.FixedCompletions([]string{trackWandb}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// syncJSON is what sync --json writes.
type syncJSON struct {
	Server    string        `json:"server"`
	Workspace string        `json:"workspace"`
	Project   string        `json:"project"`
	URL       string        `json:"url"` // of the page for people
	Runs      []syncRunJSON `json:"runs"`
}

type syncRunJSON struct {
	wandb.Sent
	State string `json:"state"` // syncSent, syncUnchanged, syncRunning, syncWaiting
	Error string `json:"error"` // why it waits
}

const (
	syncSent      = "sent"      // now
	syncUnchanged = "unchanged" // was there already
	syncRunning   = "running"   // the run goes on; what it recorded so far is there
	syncWaiting   = "waiting"   // not all of it could be sent
)

// sync sends runs, those that were named or all of the project.
func (a *app) sync(ctx context.Context, names []string, anew bool, wait time.Duration) error {
	settings, err := a.remote()
	if err != nil {
		return err
	}
	w, err := a.openProject(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	s, err := a.newSender(settings, w, a.sayer(), wait)
	if err != nil {
		return err
	}
	defer s.close()
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, wait, fmt.Errorf("not sent within %s", wait))
		defer cancel()
	}
	var ids []solera.RunID
	for _, name := range names {
		run, err := w.FindRun(ctx, name)
		if err != nil {
			return a.absentRun(err)
		}
		ids = append(ids, run.ID)
	}
	if len(names) == 0 {
		runs, err := w.Runs(ctx, solera.RunQuery{})
		if err != nil {
			return err
		}
		for _, run := range runs {
			ids = append(ids, run.ID)
		}
	}
	if err := s.resolve(ctx); err != nil {
		return a.stopped(ctx, err)
	}
	runs, err := s.mirror.Behind(ctx, ids...)
	if err != nil {
		return err
	}
	for i := 0; anew && i < len(runs); i++ {
		if err := s.mirror.Forget(ctx, runs[i].ID); err != nil {
			return err
		}
	}
	out := syncJSON{
		Server: s.settings.URL, Workspace: s.mirror.Workspace, Project: cmp.Or(s.settings.Project, w.Project), Runs: s.sendAll(ctx, runs),
	}
	out.URL = s.settings.Page(out.Workspace, out.Project)
	waiting := 0
	var rows [][]string
	for _, r := range out.Runs {
		if r.State == syncWaiting {
			waiting++
		}
		rows = append(rows, []string{string(r.Run), r.Name, r.State, fmt.Sprint(r.Points), fmt.Sprint(r.Files), strings.Join(r.Versions, ", ")})
	}
	if a.json {
		err = a.printJSON(out)
	} else {
		if err = a.printTable([]string{"RUN", "NAME", "", "VALUES", "FILES", "ARTIFACTS"}, rows); err == nil {
			err = a.printf("\n%s\n", out.URL)
		}
	}
	if err != nil || waiting == 0 {
		return err
	}
	for _, r := range out.Runs {
		if r.State == syncWaiting {
			return a.stopped(ctx, fmt.Errorf("%s not sent to %s: %s", count(waiting, "run"), s.settings.Host(), r.Error))
		}
	}
	return nil
}

// stopped says how to go on after Ctrl-C.
func (a *app) stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && context.Cause(ctx) == context.Canceled {
		return fmt.Errorf("sync: %w: the same command goes on from here", solera.ErrStopped)
	}
	return err
}

// sendAll sends runs, some side by side, the oldest first.
func (s *sender) sendAll(ctx context.Context, runs []solera.Run) []syncRunJSON {
	const sideBySide = 4
	out := make([]syncRunJSON, len(runs))
	places := make(chan struct{}, sideBySide)
	var sending sync.WaitGroup
	for i, run := range runs {
		places <- struct{}{}
		sending.Go(func() {
			defer func() { <-places }()
			sent, err := s.mirror.Send(ctx, run.ID)
			s.leftOut(sent)
			r := syncRunJSON{Sent: sent, State: syncSent}
			r.Run, r.Name = run.ID, run.Name
			if r.Versions == nil {
				r.Versions, r.Left = []string{}, []string{}
			}
			switch {
			case err != nil:
				r.State, r.Error = syncWaiting, sentence(err)
			case !sent.Ended:
				r.State = syncRunning
			case !sent.Changed:
				r.State = syncUnchanged
			}
			out[i] = r
			if ctx.Err() == nil && (err != nil || r.State == syncSent) {
				s.say(fmt.Sprintf("run %s %s", run.ID, strings.TrimSuffix(r.State+": "+r.Error, ": ")))
			}
		})
	}
	sending.Wait()
	return out
}

// sayer writes sentences about sending to stderr, unless nobody wants them.
func (a *app) sayer() func(string) {
	if a.json || a.quiet {
		return func(string) {}
	}
	l := lines{w: a.stderr}
	return func(text string) { l.write("tracking", text) }
}
