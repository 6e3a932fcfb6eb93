package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/pipeline"
	"github.com/solera-ml/solera/wandb"
)

// Where runs are recorded beside the store: values of tracking in solera.yaml
// and of --tracking.
const (
	trackLocal = "local"
	trackWandb = "wandb"
)

// trackFlags are the flags of verbs that record runs.
type trackFlags struct {
	tracking string
	wait     time.Duration
}

func (f *trackFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.tracking, "tracking", "", "record runs in `WHERE`: local or wandb (default that of solera.yaml; docs/tracking.md)")
	c.Flags().DurationVar(&f.wait, "tracking-wait", 10*time.Minute, "with wandb: wait so long for what is still to be sent once the work is done")
	_ = c.RegisterFlagCompletionFunc("tracking", cobra.FixedCompletions([]string{trackLocal, trackWandb}, cobra.ShellCompDirectiveNoFileComp))
}

// choice returns where runs are recorded; the flag wins.
func (f trackFlags) choice(cfg *pipeline.Config) (string, error) {
	switch f.tracking {
	case "", trackLocal, trackWandb:
		if f.wait < 0 {
			return "", usage("--tracking-wait %s: want a time such as 10m", f.wait)
		}
		return cmp.Or(f.tracking, cfg.Tracking), nil
	}
	return "", usage("--tracking %s: want local or wandb", f.tracking)
}

// A sender mirrors the runs of this process to a server while they go on.
// Nothing that it does holds up their work.
type sender struct {
	settings wandb.Settings
	mirror   *wandb.Mirror
	ctx      context.Context // of sending, which goes on for a while after Ctrl-C
	cancel   context.CancelCauseFunc
	hurry    chan struct{} // closed when the work is done
	say      func(text string)
	wait     time.Duration

	resolving sync.Mutex // held while it is found out who we are
	resolved  bool

	following sync.WaitGroup
	mu        sync.Mutex // guards the rest
	sent      map[solera.RunID]error
	told      time.Time // when it was last said that the server does not answer
}

// remote returns the server that the environment names and the key for it.
func (a *app) remote() (wandb.Settings, error) {
	settings, err := wandb.SettingsOf(a.env)
	if err == nil {
		err = settings.Check()
	}
	return settings, err
}

// newSender makes the connection that verbs share. say is told what happens, one
// sentence at a time.
func (a *app) newSender(settings wandb.Settings, w *workspace, say func(string), wait time.Duration) (*sender, error) {
	client, err := wandb.NewClient(settings, version)
	if err != nil {
		return nil, err
	}
	s := &sender{settings: client.Settings(), hurry: make(chan struct{}), say: say, wait: wait, sent: map[solera.RunID]error{}}
	client.Waiting = s.waiting
	s.mirror = &wandb.Mirror{Client: client, Tracker: w.Tracker, Workspace: settings.Workspace, Project: settings.Project}
	s.mirror.Stop = func(ctx context.Context, id solera.RunID) error {
		_, err := w.StopRun(ctx, string(id))
		return err
	}
	s.mirror.Say = func(_ solera.RunID, text string) { say(text) }
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s, nil
}

func (s *sender) close() {
	s.cancel(nil)
	s.following.Wait()
	s.mirror.Client.Close()
}

// waiting tells now and then that the server does not answer.
func (s *sender) waiting(cause error, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.told) > 15*time.Second {
		s.told = now
		s.say(fmt.Sprintf("%s; trying again in %s", sentence(cause), wait.Round(100*time.Millisecond)))
	}
}

// resolve finds out whose workspace it is, if nobody named one. Where the
// network is gone it waits for it.
func (s *sender) resolve(ctx context.Context) error {
	s.resolving.Lock()
	defer s.resolving.Unlock()
	if s.resolved {
		return nil
	}
	v, err := s.mirror.Client.Viewer(ctx)
	if err != nil {
		return err
	}
	if s.mirror.Workspace == "" {
		if s.mirror.Workspace = v.Workspace; v.Workspace == "" {
			return fmt.Errorf("%w: the key belongs to nobody with a workspace of his own; name one with WANDB_ENTITY", solera.ErrInvalid)
		}
	}
	s.resolved = true
	return nil
}

// probe finds a wrong key before the work begins. A server that does not answer
// for the moment holds nothing up.
func (s *sender) probe(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	err := s.resolve(limit)
	switch {
	case err == nil || ctx.Err() != nil:
		return nil
	case limit.Err() != nil:
		s.say(fmt.Sprintf("%s does not answer; the work goes on, and what it records waits in the store", s.settings.Host()))
		return nil
	}
	return fmt.Errorf("tracking: wandb: %w", err)
}

// began follows a run of this process.
func (s *sender) began(run solera.Run) {
	if run.Stage == wandb.FetchStage {
		return
	}
	s.mu.Lock()
	s.sent[run.ID] = context.Canceled // until it is
	s.mu.Unlock()
	s.following.Go(func() {
		err := s.resolve(s.ctx)
		if err == nil {
			var sent wandb.Sent
			sent, err = s.mirror.Follow(s.ctx, run.ID, s.hurry)
			s.leftOut(sent)
		}
		s.note(run.ID, err)
	})
}

func (s *sender) note(id solera.RunID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[id] = err
}

func (s *sender) leftOut(sent wandb.Sent) {
	for _, what := range sent.Left {
		s.say(fmt.Sprintf("not sent of run %s: %s", sent.Run, what))
	}
}

// fetch brings an input that the store lacks.
func (s *sender) fetch(ctx context.Context, artifact string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.wait, fmt.Errorf("%s did not answer within %s", s.settings.Host(), s.wait))
	defer cancel()
	if err := s.resolve(ctx); err != nil {
		return err
	}
	v, err := s.mirror.Fetch(ctx, artifact)
	if err == nil {
		s.say(fmt.Sprintf("%s fetched from %s: %s in %s", v.Name(), s.settings.Host(), size(v.Size), count(len(v.Files), "file")))
	}
	return err
}

// finish sends what is not there yet: the rest of the runs of this process, and
// the runs that made what was taken from the store. It waits as long as it was
// told, and no longer than a moment after Ctrl-C. What still waits is an error
// that says how to send it.
func (s *sender) finish(ctx context.Context, self string, res *pipeline.Result) error {
	close(s.hurry)
	wait := s.wait
	if ctx.Err() != nil {
		wait = min(wait, 5*time.Second)
	}
	timer := time.AfterFunc(wait, func() { s.cancel(fmt.Errorf("not sent within %s", wait)) })
	defer timer.Stop()
	if ctx.Err() == nil {
		stop := context.AfterFunc(ctx, func() { s.cancel(solera.ErrStopped) })
		defer stop()
	}
	s.mu.Lock()
	var own []solera.RunID
	for id := range s.sent {
		own = append(own, id)
	}
	s.mu.Unlock()
	if len(own) > 0 {
		s.say(fmt.Sprintf("sending what is left to %s, for %s at most", s.settings.Host(), wait))
	}
	s.following.Wait()
	err := s.resolve(s.ctx)
	if err == nil {
		err = s.others(own, res)
	}
	var waiting []string
	s.mu.Lock()
	for id, rerr := range s.sent {
		if rerr != nil {
			waiting = append(waiting, string(id))
			err = cmp.Or(err, rerr)
		}
	}
	s.mu.Unlock()
	if err == nil {
		s.say("all is sent: " + s.page())
		return nil
	}
	slices.Sort(waiting)
	what := "what was recorded"
	if len(waiting) > 0 {
		what = count(len(waiting), "run") + " (" + enumerate(waiting) + ")"
	}
	return &solera.InputError{
		Op: "tracking: wandb", Msg: fmt.Sprintf("%s did not get to %s: %s", what, s.settings.Host(), strings.TrimSuffix(sentence(err), ".")),
		Hint: fmt.Sprintf("nothing is lost: it is in the store, and %s sync --all --to wandb sends it", self), Err: err,
	}
}

// others sends the runs that were not followed: the makers of what the store had
// already, and of all that came before.
func (s *sender) others(own []solera.RunID, res *pipeline.Result) error {
	ids := slices.Clone(own)
	for _, made := range res.Artifacts {
		v, err := s.mirror.Tracker.Version(s.ctx, made.Name+":"+made.Version)
		if err != nil {
			return err
		}
		ids = append(ids, v.Run)
	}
	runs, err := s.mirror.Behind(s.ctx, ids...)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if slices.Contains(own, run.ID) {
			continue
		}
		sent, err := s.mirror.Send(s.ctx, run.ID)
		s.leftOut(sent)
		s.note(run.ID, err)
		if err != nil && s.ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// unreachable reports whether err is about a server that did not answer in time.
func unreachable(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// page is the address of the project on the server.
func (s *sender) page() string {
	return s.settings.Page(s.mirror.Workspace, cmp.Or(s.settings.Project, s.mirror.Tracker.Project))
}

// numbers returns, by name, which versions those of a run are on the server;
// without a name those that did not get there.
func (s *sender) numbers(ctx context.Context, res *pipeline.Result) map[string]string {
	there := map[string]string{}
	for _, m := range res.Artifacts {
		ref, err := solera.ParseRef(m.Name + ":" + m.Version)
		if err != nil {
			continue // no version has such a name
		}
		id := solera.VersionID{Project: s.mirror.Tracker.Project, Artifact: m.Name, Number: ref.Number}
		if n, ok, err := s.mirror.Number(ctx, id); err == nil && ok {
			there[m.Name] = fmt.Sprintf("%s:v%d", m.Name, n)
		}
	}
	return there
}
