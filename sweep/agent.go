package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/numeric"
)

// A Command is what an agent should do next.
type Command struct {
	Type   string // "run", "stop" or "exit"
	Run    solera.RunID
	Params solera.Fields // of a "run"
}

const (
	runCommand  = "run"
	stopCommand = "stop" // end the process of Run
	exitCommand = "exit" // end all processes, and itself
)

// mostSent is how often a trial is handed to an agent that each time asks for
// the next without having started it: the answer may have been lost, or its
// program dies before it reports.
const mostSent = 3

// Join makes an agent of a sweep.
func (s *Sweeps) Join(ctx context.Context, id, host string) (Agent, error) {
	letters, err := s.letters()
	if err != nil {
		return Agent{}, err
	}
	if r := []rune(strings.ToValidUTF8(host, "�")); len(r) > 255 {
		host = string(r[:255])
	} else {
		host = string(r)
	}
	a := Agent{ID: id + "-" + letters, Sweep: id, Host: host}
	err = s.Store.Update(ctx, func(tx solera.Tx) error {
		if _, err := get(tx, id); err != nil {
			return err
		}
		if a.Heard, err = s.now(tx); err != nil {
			return err
		}
		return putAgent(tx, a)
	})
	if err != nil {
		return Agent{}, fmt.Errorf("agent of sweep %s: %w", clip(id), err)
	}
	return a, nil
}

// errAgain asks for a suggestion to be worked out anew: another agent was
// faster.
var errAgain = errors.New("another agent was faster")

// Beat is how an agent says that it lives, and asks what to do. alive are the
// runs whose processes live with it; it gets the next trial once there are none.
// An agent or a sweep that is not there any more is ErrNotFound. An answer that
// is lost on its way is given again.
func (s *Sweeps) Beat(ctx context.Context, agent string, alive []solera.RunID) ([]Command, error) {
	id, _, _ := strings.Cut(agent, "-")
	for tries := 0; ; tries++ {
		commands, err := s.beat(ctx, id, agent, alive)
		if errors.Is(err, errAgain) && tries < 20 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("agent %s: %w", clip(agent), err)
		}
		return commands, nil
	}
}

func (s *Sweeps) beat(ctx context.Context, id, agent string, alive []solera.RunID) ([]Command, error) {
	found, err := s.look(ctx, id)
	if err != nil {
		return nil, err
	}
	// Points are read outside of the transaction that writes, which may have to
	// wait for others.
	b := beat{s: s, agent: agent, alive: alive, measured: map[solera.RunID]measure{}}
	for i, t := range found.trials {
		run := found.runs[i]
		mine := t.Agent == agent && slices.Contains(alive, run.ID) && run.State == solera.Running
		if run.State.Ended() || mine && (found.spec.Early != nil || found.spec.Metric.Target != nil) {
			if b.measured[run.ID], err = s.measure(ctx, found.spec, run); err != nil {
				return nil, err
			}
		}
	}
	if found.spec.Early != nil {
		if err := b.judge(ctx, found); err != nil {
			return nil, err
		}
	}
	if found.sweep.Method == Bayes && len(alive) == 0 && !found.sweep.State.Ended() && found.sweep.State != Paused && len(found.sweep.Queue) == 0 {
		s.thinking.Lock()
		defer s.thinking.Unlock()
		if b.suggestion, b.number, err = s.think(ctx, id); err != nil {
			return nil, err
		}
	}
	err = s.Store.Update(ctx, func(tx solera.Tx) error {
		b.commands = nil
		return b.apply(tx, id)
	})
	return b.commands, err
}

// look returns a sweep and its open trials with their runs.
func (s *Sweeps) look(ctx context.Context, id string) (looked, error) {
	var l looked
	err := s.Store.View(ctx, func(tx solera.Tx) (err error) {
		l = looked{}
		if l.sweep, err = get(tx, id); err != nil {
			return err
		}
		if l.spec, err = l.sweep.Spec(); err != nil {
			return err
		}
		for _, number := range l.sweep.Open {
			t, err := trialOf(tx, id, number)
			if err != nil {
				return err
			}
			run, err := runOf(tx, t.Run)
			if err != nil {
				return err
			}
			l.trials, l.runs = append(l.trials, t), append(l.runs, run)
		}
		return nil
	})
	return l, err
}

type looked struct {
	sweep  Sweep
	spec   Spec
	trials []Trial // the open ones
	runs   []solera.Run
}

// runOf returns a run. One that was removed for good ended.
func runOf(tx solera.Tx, id solera.RunID) (solera.Run, error) {
	run, err := tx.Run(id)
	if errors.Is(err, solera.ErrNotFound) {
		return removed(id), nil
	}
	return present(run), err
}

// removed stands for a run that is gone for good.
func removed(id solera.RunID) solera.Run {
	return solera.Run{ID: id, State: solera.Killed, Error: "the run was removed", Deleted: 1}
}

// present returns the run; one that a user deleted is taken to have ended.
func present(run solera.Run) solera.Run {
	if run.Deleted != 0 && !run.State.Ended() {
		run.State = solera.Killed
	}
	return run
}

// A beat is one call of Beat under way.
type beat struct {
	s          *Sweeps
	agent      string
	alive      []solera.RunID
	measured   map[solera.RunID]measure
	stop       map[solera.RunID]string // runs that hyperband stops, and why
	suggestion solera.Fields           // of a Bayesian search, for the trial with this number
	number     int
	commands   []Command
}

// judge asks hyperband about the agent's own trials.
func (b *beat) judge(ctx context.Context, found looked) error {
	if len(b.measured) == 0 {
		return nil
	}
	var trials []Trial
	err := b.s.Store.View(ctx, func(tx solera.Tx) (err error) {
		trials, err = trialsOf(tx, found.sweep.ID)
		return err
	})
	if err != nil {
		return err
	}
	sign := 1.0
	if found.spec.Metric.Maximize {
		sign = -1
	}
	var all []standing
	own := map[solera.RunID]standing{}
	for _, t := range trials {
		m, ok := b.measured[t.Run]
		if !ok {
			m = measure{values: t.Values, bands: t.Bands}
		}
		st := standing{}
		for _, v := range m.bands {
			st.bands = append(st.bands, sign*v)
		}
		if m.values != nil {
			st.best = sign * m.values.Best
		}
		all = append(all, st)
		if ok {
			own[t.Run] = st
		}
	}
	b.stop = map[solera.RunID]string{}
	for run, st := range own {
		if !slices.Contains(b.alive, run) {
			continue
		}
		if band, threshold, stop := found.spec.Early.tooBad(st, all); stop {
			b.stop[run] = fmt.Sprintf("hyperband: after %d values of %s it is worse than %v", band, found.spec.Metric.Name, sign*threshold)
		}
	}
	return nil
}

// apply is the part of a beat that writes.
func (b *beat) apply(tx solera.Tx, id string) error {
	sweep, err := get(tx, id)
	if err != nil {
		return err
	}
	spec, err := sweep.Spec()
	if err != nil {
		return err
	}
	d, err := tx.Document(agentKind(id), b.agent)
	if err != nil {
		return err
	}
	agent, err := decodeAgent(d)
	if err != nil {
		return err
	}
	now, err := b.s.now(tx)
	if err != nil {
		return err
	}
	if sweep.State == Pending {
		sweep.State, sweep.Started = Running, now
	}
	waiting, err := b.visit(tx, &sweep, spec, agent, now)
	if err != nil {
		return err
	}
	if err := b.answer(tx, &sweep, spec, &agent, waiting, now); err != nil {
		return err
	}
	if now-agent.Heard >= solera.Micros(agentSeen.Microseconds()) {
		agent.Heard = now
	}
	if err := putAgent(tx, agent); err != nil {
		return err
	}
	return put(tx, &sweep)
}

// visit looks at every open trial: some ended, some must be stopped, some were
// never started. It returns how many are with an agent and have not started;
// one that belongs to this agent and should be handed to it again is in
// b.commands.
func (b *beat) visit(tx solera.Tx, sweep *Sweep, spec Spec, agent Agent, now solera.Micros) (waiting int, err error) {
	for _, number := range slices.Clone(sweep.Open) {
		t, err := trialOf(tx, sweep.ID, number)
		if err != nil {
			return 0, err
		}
		run, err := runOf(tx, t.Run)
		if err != nil {
			return 0, err
		}
		before := t
		alive := t.Agent == agent.ID && slices.Contains(b.alive, t.Run)
		t.Seen = t.Seen || alive
		m, measured := b.measured[t.Run]
		switch {
		case run.State.Ended():
			if !measured {
				continue // it ended since this beat looked; the next one sees to it
			}
			sweep.settle(spec, &t, run, m, now)
		case slices.Contains(sweep.Queue, number):
		case run.State == solera.Pending && t.Agent == "": // adopted: whoever made it starts it
		case run.State == solera.Pending:
			ends, err := b.unstarted(tx, sweep, &t, &run, agent, alive, now)
			if err != nil {
				return 0, err
			}
			if !ends {
				waiting++
			}
		default:
			t.State = run.State
			if measured && len(m.bands) > len(t.Bands) {
				t.Values, t.Bands = m.values, m.bands
			}
			if why, ok := b.stop[t.Run]; ok && t.Stop == "" {
				t.Stop = why
			}
			switch {
			case t.Stop != "" && run.Stopping == 0:
				run.Stopping = now
				if err := tx.UpdateRun(run); err != nil {
					return 0, err
				}
			case run.Stopping != 0 && t.Agent == agent.ID && t.Seen && !alive:
				// Its agent has ended the process, which may not have found the time to
				// say so itself.
				run.State, run.Finished, run.Error = solera.Killed, now, cmp.Or(t.Stop, solera.ErrStopped.Error())
				t.State = solera.Killed
				if err := tx.UpdateRun(run); err != nil {
					return 0, err
				}
			}
			if measured && m.values != nil && spec.Metric.reached(m.values.Best) && !sweep.State.Ended() {
				why := fmt.Sprintf("trial %d reached the target: %s is %v", number, spec.Metric.Name, m.values.Best)
				if err := b.s.move(tx, sweep, Finished, why); err != nil {
					return 0, err
				}
			}
		}
		if alive && (run.Stopping != 0 || t.Stop != "") {
			b.commands = append(b.commands, Command{Type: stopCommand, Run: t.Run})
		}
		if !sameTrial(before, t) {
			if err := putTrial(tx, sweep.ID, t); err != nil {
				return 0, err
			}
		}
	}
	return waiting, nil
}

func sameTrial(a, b Trial) bool {
	return a.Run == b.Run && a.Agent == b.Agent && a.State == b.State && a.Handed == b.Handed && a.Sent == b.Sent &&
		a.Seen == b.Seen && a.Stop == b.Stop && a.Ended == b.Ended && len(a.Bands) == len(b.Bands)
}

// unstarted decides what becomes of a trial that was handed out and whose run
// has not started, and whether that ends it.
func (b *beat) unstarted(tx solera.Tx, sweep *Sweep, t *Trial, run *solera.Run, agent Agent, alive bool, now solera.Micros) (bool, error) {
	within := solera.Micros(orDefault(b.s.StartWithin, 5*time.Minute).Microseconds())
	fail := func(why string) (bool, error) {
		run.State, run.Error, run.Finished = solera.Failed, why, now
		t.State, t.Ended = solera.Failed, now
		sweep.close(t.Number)
		return true, tx.UpdateRun(*run)
	}
	if t.Agent == agent.ID {
		switch {
		case alive:
		case t.Seen:
			return fail("its process ended before it reported anything")
		case len(b.alive) > 0: // busy with another: it will come to this one
		case t.Sent >= mostSent:
			return fail(fmt.Sprintf("it was handed to agent %s %d times and never started", agent.ID, t.Sent))
		case sweep.State == Running && len(b.commands) == 0:
			t.Sent++
			b.commands = append(b.commands, Command{Type: runCommand, Run: t.Run, Params: t.Params})
		}
		return false, nil
	}
	last := t.Handed
	if t.Seen {
		d, err := tx.Document(agentKind(sweep.ID), t.Agent)
		if err != nil && !errors.Is(err, solera.ErrNotFound) {
			return false, err
		}
		if err == nil {
			other, err := decodeAgent(d)
			if err != nil {
				return false, err
			}
			last = max(last, other.Heard+solera.Micros(agentSeen.Microseconds()))
		}
	}
	if now-last < within || sweep.State.Ended() {
		return false, nil
	}
	// Its agent is gone. The params go to another, under another run: should the
	// first one come back after all, the two do not write into each other.
	if _, err := fail(fmt.Sprintf("agent %s did not start it within %v; another agent gets its params", t.Agent, orDefault(b.s.StartWithin, 5*time.Minute))); err != nil {
		return false, err
	}
	t.Before = append(t.Before, t.Run)
	t.Agent, t.Handed, t.Sent, t.Seen, t.Ended = "", 0, 0, false, 0
	if err := b.s.begin(tx, sweep, t); err != nil {
		return false, err
	}
	sweep.Open = append(sweep.Open, t.Number)
	sweep.Queue = append(sweep.Queue, t.Number)
	return true, nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// settle notes the end of a trial.
func (s *Sweep) settle(spec Spec, t *Trial, run solera.Run, m measure, now solera.Micros) {
	t.State, t.Ended, t.Values, t.Bands = run.State, now, m.values, m.bands
	if run.Finished != 0 {
		t.Ended = run.Finished
	}
	s.close(t.Number)
	s.improve(spec, *t)
	if m.values != nil && spec.Metric.reached(m.values.Best) && !s.State.Ended() {
		s.State, s.Ended = Finished, now
		s.Reason = fmt.Sprintf("trial %d reached the target: %s is %v", t.Number, spec.Metric.Name, m.values.Best)
	}
}

// improve takes a trial's value where it is the best.
func (s *Sweep) improve(spec Spec, t Trial) {
	if t.Values != nil && (s.Best == nil || s.Best.Trial == t.Number || spec.Metric.better(t.Values.Best, s.Best.Value)) {
		s.Best = &Best{Trial: t.Number, Run: t.Run, Value: t.Values.Best}
	}
}

// answer decides what the agent does next.
func (b *beat) answer(tx solera.Tx, sweep *Sweep, spec Spec, agent *Agent, waiting int, now solera.Micros) error {
	exit := func() error {
		agent.Gone, agent.Heard = true, now
		b.commands = []Command{{Type: exitCommand}}
		return nil
	}
	switch {
	case sweep.State == Canceled:
		return exit()
	case len(b.commands) > 0 || len(b.alive) > 0 || sweep.State == Paused:
		return nil
	case sweep.State == Finished:
		return exit()
	}
	t, err := b.next(tx, sweep, spec, now)
	if err != nil {
		return err
	}
	if t == nil {
		switch {
		case sweep.Exhausted && len(sweep.Open) == 0:
			sweep.State, sweep.Ended, sweep.Reason = Finished, now, "there is nothing more to try"
			return exit()
		case sweep.Exhausted && waiting == 0:
			return exit()
		}
		// A trial that another agent has not started may come back.
		return nil
	}
	t.Agent, t.Handed, t.Sent = agent.ID, now, 1
	agent.Trials++
	agent.Heard, agent.Gone = now, false
	b.commands = []Command{{Type: runCommand, Run: t.Run, Params: t.Params}}
	return putTrial(tx, sweep.ID, *t)
}

// next takes a trial from the queue, or makes one; nil = there is none.
func (b *beat) next(tx solera.Tx, sweep *Sweep, spec Spec, now solera.Micros) (*Trial, error) {
	if len(sweep.Queue) > 0 {
		t, err := trialOf(tx, sweep.ID, sweep.Queue[0])
		sweep.Queue = sweep.Queue[1:]
		return &t, err
	}
	if spec.RunCap > 0 && sweep.Trials-sweep.Adopted >= spec.RunCap {
		sweep.Exhausted = true
	}
	if spec.Local || sweep.Exhausted {
		return nil, nil
	}
	t := Trial{Number: sweep.Trials + 1, Source: Suggested}
	switch spec.Method {
	case Grid:
		size, err := spec.Space.GridSize()
		if err != nil {
			return nil, err
		}
		for len(sweep.Taken) > 0 && sweep.Taken[0] == sweep.Point {
			sweep.Taken = sweep.Taken[1:]
			sweep.Point++
		}
		if sweep.Point >= size {
			sweep.Exhausted = true
			return nil, nil
		}
		t.Params = spec.Space.GridPoint(sweep.Point)
		sweep.Point++
		t.Point = sweep.Point
	case Random:
		t.Params = spec.Space.Random(stream(*sweep, t.Number))
	case Bayes:
		if b.suggestion == nil || b.number != t.Number {
			return nil, errAgain
		}
		t.Params = b.suggestion
	}
	sweep.Trials++
	sweep.Open = append(sweep.Open, t.Number)
	return &t, b.s.begin(tx, sweep, &t)
}

// stream returns the random numbers of one trial of a sweep.
func stream(s Sweep, number int) *numeric.Stream {
	return numeric.NewStream(s.Seed, "suggest", uint64(number))
}

// begin makes the run of a trial, before anybody has started it.
func (s *Sweeps) begin(tx solera.Tx, sweep *Sweep, t *Trial) error {
	now, err := s.now(tx)
	if err != nil {
		return err
	}
	for tries := 0; ; tries++ {
		letters, err := s.letters()
		if err != nil {
			return err
		}
		id := solera.RunID(letters)
		if _, err := tx.Run(id); err == nil && tries < 5 {
			continue
		} else if err != nil && !errors.Is(err, solera.ErrNotFound) {
			return err
		}
		t.Run, t.State = id, solera.Pending
		return tx.CreateRun(solera.Run{
			ID: id, Name: fmt.Sprintf("%s-%d", sweep.Label(), t.Number), Project: sweep.Project, State: solera.Pending,
			Params: t.Params, Sweep: sweep.ID, Created: now,
		})
	}
}
