// Package sweep knows how to search for good params: spaces, the suggesters
// grid, random and Bayesian optimization, early stopping by hyperband, and how
// trials are handed to agents, each exactly once. It runs no trial itself: an
// agent does, wherever it is, and reports a run.
package sweep

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/solera-ml/solera"
)

// A State says where a sweep is in its life.
type State string

const (
	Pending  State = "PENDING"  // no agent has asked for a trial yet
	Running  State = "RUNNING"  // trials are handed out
	Paused   State = "PAUSED"   // none is handed out for now
	Finished State = "FINISHED" // none will be; those under way end by themselves
	Canceled State = "CANCELED" // none will be, and those under way were stopped
)

// Ended reports whether the sweep hands out no trial again.
func (s State) Ended() bool { return s == Finished || s == Canceled }

// A Sweep is one search over a space. It is a document of the store, as are its
// trials and its agents, one each: many agents write at once, and no document
// grows with the number of trials.
type Sweep struct {
	ID          string        `json:"id"`
	Project     string        `json:"project"`
	Name        string        `json:"name"` // shown to people; "" = the identifier
	Description string        `json:"description"`
	State       State         `json:"state"`
	Reason      string        `json:"reason,omitempty"` // why it ended
	Method      string        `json:"method"`
	Config      solera.Fields `json:"config"` // as Parse reads it
	Text        string        `json:"text"`   // as its author wrote it
	Seed        uint64        `json:"seed"`
	Expected    int64         `json:"expected"` // trials that there will be; 0 = nobody knows
	Trials      int           `json:"trials"`   // that there are: the last one's number
	Adopted     int           `json:"adopted"`  // of Trials, runs that were there before
	Best        *Best         `json:"best"`     // of the trials that ended; nil = none has a value
	Started     solera.Micros `json:"started"`  // when the first agent asked for a trial
	Ended       solera.Micros `json:"ended"`
	// Open are the numbers of the trials that have not ended, Queue those of Open
	// that wait for an agent.
	Open  []int `json:"open,omitempty"`
	Queue []int `json:"queue,omitempty"`
	// Point is the next combination of a grid, Taken the later ones that adopted
	// runs have been at.
	Point int64   `json:"point,omitempty"`
	Taken []int64 `json:"taken,omitempty"`
	// Exhausted says that there is nothing more to hand out.
	Exhausted bool `json:"exhausted,omitempty"`
	// Controller is what the program that schedules the trials last said, and
	// Scheduled which trial each of its entries became.
	Controller string            `json:"controller,omitempty"`
	Scheduled  map[string]string `json:"scheduled,omitempty"`

	Created solera.Micros `json:"created"` // both are times of the document
	Updated solera.Micros `json:"updated"`
}

// A Best is the best value of a sweep's metric, and which trial reached it.
type Best struct {
	Trial int          `json:"trial"`
	Run   solera.RunID `json:"run"`
	Value float64      `json:"value"`
}

// A Trial is one choice of params, and the run that tries it.
type Trial struct {
	Number int             `json:"number"` // 1, 2, 3 … within the sweep
	Run    solera.RunID    `json:"run"`
	Params solera.Fields   `json:"params"`          // that the agent was given
	Point  int64           `json:"point,omitempty"` // of a grid, counted from 1
	Source string          `json:"source"`          // see below
	Agent  string          `json:"agent,omitempty"` // that has it; "" = none yet
	State  solera.RunState `json:"state"`           // of the run, as last looked at
	Handed solera.Micros   `json:"handed,omitempty"`
	Sent   int             `json:"sent,omitempty"`    // how often it was handed out
	Seen   bool            `json:"seen,omitempty"`    // the agent has said that its process lives
	Stop   string          `json:"stop,omitempty"`    // why it was stopped early
	Ended  solera.Micros   `json:"ended,omitempty"`   // when its end was noted
	Values *Values         `json:"values,omitempty"`  // of the sweep's metric; nil = none yet
	Bands  []float64       `json:"bands,omitempty"`   // the values at hyperband's bands
	Before []solera.RunID  `json:"earlier,omitempty"` // runs under which it was handed out and never started
}

// Where a trial comes from.
const (
	Suggested = "suggested" // the sweep's method chose it
	Given     = "given"     // a program or a person did
	Adopted   = "adopted"   // the run was there before, or joined by itself
)

// Values sum up what a trial recorded of the sweep's metric; values that are
// not finite do not count.
type Values struct {
	Count int     `json:"count"`
	Best  float64 `json:"best"`
	Worst float64 `json:"worst"`
	Last  float64 `json:"last"`
}

// An Agent is a program that runs trials, one after the other.
type Agent struct {
	ID      string        `json:"id"` // the sweep's, a dash, and letters of its own
	Sweep   string        `json:"sweep"`
	Host    string        `json:"host"`
	Trials  int           `json:"trials"`         // that it was handed
	Heard   solera.Micros `json:"heard"`          // when it last asked, to a few minutes
	Gone    bool          `json:"gone,omitempty"` // it was told that there is nothing more to do
	Created solera.Micros `json:"created"`
}

// Sweeps keeps the sweeps of a store. Store must be set. It is safe for many
// goroutines, and holds nothing that another process would lack.
type Sweeps struct {
	Store solera.Store

	// StartWithin is how long a trial that was handed out may take to start its
	// run before it goes to another agent, unless its agent says that its process
	// lives. 0 = 5 minutes.
	StartWithin time.Duration
	Clock       func() time.Time // nil = the clock of the database
	Random      io.Reader        // of identifiers; nil = crypto/rand

	// One suggestion at a time: those of agents that ask at once would each find
	// that another was faster, and be worked out again.
	thinking sync.Mutex
}

const (
	sweepKind = "sweep"
	agentSeen = 2 * time.Minute // how often an agent's being there is written down
)

func trialKind(id string) string { return "trial." + id }
func agentKind(id string) string { return "agent." + id }
func trialID(number int) string  { return fmt.Sprintf("%09d", number) }

// Draft is what a new sweep is made of.
type Draft struct {
	Project string
	Name    string        // "" = what Config says
	Config  solera.Fields // see Parse
	Text    string        // as its author wrote it; "" = Config as JSON
	// Runs become the first trials, so that what they found counts.
	Runs []solera.RunID
}

// maxText is the most bytes of a configuration: it is stored twice in a
// document.
const maxText = 256 << 10

// Create makes a sweep. Warnings tell what will surprise its author.
func (s *Sweeps) Create(ctx context.Context, d Draft) (Sweep, []string, error) {
	sweep, warnings, err := s.create(ctx, d)
	if err != nil {
		return Sweep{}, nil, fmt.Errorf("sweep: %w", err)
	}
	return sweep, warnings, nil
}

func (s *Sweeps) create(ctx context.Context, d Draft) (Sweep, []string, error) {
	if err := solera.CheckName(d.Project); err != nil {
		return Sweep{}, nil, fmt.Errorf("project: %w", err)
	}
	sweep := Sweep{Project: d.Project, State: Pending}
	warnings, err := sweep.configure(d)
	if err != nil {
		return Sweep{}, nil, err
	}
	for tries := 0; ; tries++ {
		id, err := s.letters()
		if err != nil {
			return Sweep{}, nil, err
		}
		created := sweep
		taken := false
		err = s.Store.Update(ctx, func(tx solera.Tx) error {
			created, taken = sweep, false
			created.ID, created.Seed = id, seedOf(id, sweep)
			if _, err := tx.Document(sweepKind, id); !errors.Is(err, solera.ErrNotFound) {
				taken = err == nil
				return errors.Join(err, solera.ErrConflict)
			}
			if err := s.adopt(tx, &created, d.Runs); err != nil {
				return err
			}
			return put(tx, &created)
		})
		if err == nil || !taken || tries == 5 {
			return created, warnings, err
		}
	}
}

// seedOf returns the seed that a configuration names, or one that follows from
// the identifier.
func seedOf(id string, s Sweep) uint64 {
	if spec, _, err := Parse(s.Config); err == nil && spec.Seed != nil {
		return *spec.Seed
	}
	sum := sha256.Sum256([]byte("sweep " + id))
	return binary.BigEndian.Uint64(sum[:]) >> 11 // whole in a float64 too
}

// configure fills in what a draft says. A name that people gave stays.
func (s *Sweep) configure(d Draft) ([]string, error) {
	spec, warnings, err := Parse(d.Config)
	if err != nil {
		return nil, err
	}
	text := d.Text
	if text == "" {
		raw, err := d.Config.MarshalJSON()
		if err != nil {
			return nil, err
		}
		text = string(raw)
	}
	if len(text) > maxText {
		return nil, fmt.Errorf("configuration: %w: it has %d bytes, at most %d KiB are allowed", solera.ErrInvalid, len(text), maxText>>10)
	}
	s.Method, s.Config, s.Text, s.Expected = spec.Method, d.Config, text, spec.Expected()
	if spec.Name != "" {
		s.Name = spec.Name
	}
	if d.Name != "" {
		s.Name = d.Name
	}
	s.Description = spec.Description
	return warnings, nil
}

// Spec returns what the sweep's configuration says.
func (s Sweep) Spec() (Spec, error) {
	spec, _, err := Parse(s.Config)
	if err != nil {
		return spec, fmt.Errorf("sweep %s: %w", s.ID, err)
	}
	return spec, nil
}

// Label returns the name of the sweep, or its identifier.
func (s Sweep) Label() string {
	if s.Name != "" {
		return s.Name
	}
	return s.ID
}

// Change is what a user changes of a sweep; nil leaves it.
type Change struct {
	State       *State
	Name        *string
	Description *string
	Config      solera.Fields // with Text
	Text        string
	Runs        []solera.RunID // to adopt
	Controller  *string        // JSON; see Sweep.Controller
}

// Change changes a sweep. A state that its present one does not lead to is
// ErrConflict.
func (s *Sweeps) Change(ctx context.Context, id string, c Change) (Sweep, []string, error) {
	var sweep Sweep
	var warnings []string
	err := s.Store.Update(ctx, func(tx solera.Tx) (err error) {
		if sweep, err = get(tx, id); err != nil {
			return err
		}
		if c.Config != nil {
			if warnings, err = s.reconfigure(tx, &sweep, c); err != nil {
				return err
			}
		}
		if c.Name != nil {
			sweep.Name = *c.Name
		}
		if c.Description != nil {
			sweep.Description = *c.Description
		}
		if err := s.adopt(tx, &sweep, c.Runs); err != nil {
			return err
		}
		if c.Controller != nil {
			if err := s.control(tx, &sweep, *c.Controller); err != nil {
				return err
			}
		}
		if c.State != nil {
			if err := s.move(tx, &sweep, *c.State, "stopped by a user"); err != nil {
				return err
			}
		}
		return put(tx, &sweep)
	})
	if err != nil {
		return Sweep{}, nil, fmt.Errorf("change sweep %s: %w", clip(id), err)
	}
	return sweep, warnings, nil
}

// reconfigure replaces the configuration. A grid begins again, without the
// combinations that were tried.
func (s *Sweeps) reconfigure(tx solera.Tx, sweep *Sweep, c Change) ([]string, error) {
	before, err := sweep.Config.MarshalJSON()
	if err != nil {
		return nil, err
	}
	name, description := sweep.Name, sweep.Description
	warnings, err := sweep.configure(Draft{Config: c.Config, Text: c.Text})
	if err != nil {
		return nil, err
	}
	if after, err := sweep.Config.MarshalJSON(); err != nil || string(after) == string(before) {
		// A program that schedules trials sends the configuration every time.
		sweep.Name, sweep.Description = name, description
		return warnings, err
	}
	spec, err := sweep.Spec()
	if err != nil {
		return nil, err
	}
	sweep.Point, sweep.Taken, sweep.Exhausted = 0, nil, false
	trials, err := trialsOf(tx, sweep.ID)
	if err != nil {
		return nil, err
	}
	for i := range trials {
		sweep.take(spec, &trials[i])
		if err := putTrial(tx, sweep.ID, trials[i]); err != nil {
			return nil, err
		}
	}
	return warnings, nil
}

// take notes that a trial which no grid chose has been at a combination of it.
func (s *Sweep) take(spec Spec, t *Trial) {
	if t.Point = 0; spec.Method != Grid {
		return
	}
	if at := spec.Space.gridPlace(t.Params); at >= s.Point {
		t.Point = at + 1
		if i, found := slices.BinarySearch(s.Taken, at); !found {
			s.Taken = slices.Insert(s.Taken, i, at)
		}
	}
}

// move brings a sweep into another state.
func (s *Sweeps) move(tx solera.Tx, sweep *Sweep, to State, why string) error {
	if sweep.State == to {
		return nil
	}
	switch {
	case sweep.State.Ended():
		return fmt.Errorf("%w: it is %s for good; make a new sweep that adopts its runs", solera.ErrConflict, sweep.State)
	case to == Running && sweep.State == Pending:
		return nil // it runs once an agent asks
	case to != Running && to != Paused && !to.Ended():
		return fmt.Errorf("%w: a state is RUNNING, PAUSED, FINISHED or CANCELED, not %s", solera.ErrInvalid, clip(string(to)))
	}
	now, err := s.now(tx)
	if err != nil {
		return err
	}
	if to == Running && sweep.Started == 0 {
		to = Pending
	}
	sweep.State = to
	if !to.Ended() {
		return nil
	}
	sweep.Reason, sweep.Ended = why, now
	for _, number := range slices.Clone(sweep.Open) {
		waits := slices.Contains(sweep.Queue, number)
		if !waits && to != Canceled {
			continue
		}
		if err := s.halt(tx, sweep, number, "the sweep was "+strings.ToLower(string(to)), now); err != nil {
			return err
		}
	}
	sweep.Queue = nil
	return nil
}

// halt ends the run of a trial that has not started, and asks one that has to
// stop.
func (s *Sweeps) halt(tx solera.Tx, sweep *Sweep, number int, why string, now solera.Micros) error {
	t, err := trialOf(tx, sweep.ID, number)
	if err != nil {
		return err
	}
	run, err := tx.Run(t.Run)
	if errors.Is(err, solera.ErrNotFound) {
		sweep.close(number)
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case run.State == solera.Pending:
		run.State, run.Error, run.Finished = solera.Killed, why, now
		t.State, t.Ended, t.Stop = solera.Killed, now, why
		sweep.close(number)
	case run.State == solera.Running && run.Stopping == 0:
		run.Stopping = now
		t.Stop = why
	default:
		return nil
	}
	if err := tx.UpdateRun(run); err != nil {
		return err
	}
	return putTrial(tx, sweep.ID, t)
}

// close notes that a trial is not open any more.
func (s *Sweep) close(number int) {
	gone := func(n int) bool { return n == number }
	s.Open = slices.DeleteFunc(s.Open, gone)
	s.Queue = slices.DeleteFunc(s.Queue, gone)
}

// adopt makes trials of runs that are there already.
func (s *Sweeps) adopt(tx solera.Tx, sweep *Sweep, runs []solera.RunID) error {
	if len(runs) == 0 {
		return nil
	}
	spec, err := sweep.Spec()
	if err != nil {
		return err
	}
	for _, id := range runs {
		run, err := tx.Run(id)
		if err != nil {
			return fmt.Errorf("adopt: %w", err)
		}
		if run.Project != sweep.Project {
			return fmt.Errorf("adopt run %s: %w: it belongs to project %s", id, solera.ErrInvalid, run.Project)
		}
		if run.Sweep == sweep.ID {
			known, err := trialsOf(tx, sweep.ID)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(known, func(t Trial) bool { return t.Run == id || slices.Contains(t.Before, id) }) {
				continue
			}
		}
		run.Sweep = sweep.ID
		if err := tx.UpdateRun(run); err != nil {
			return err
		}
		sweep.Trials++
		sweep.Adopted++
		t := Trial{Number: sweep.Trials, Run: id, Params: spec.Space.only(run.Params), Source: Adopted, State: solera.Pending}
		sweep.take(spec, &t)
		sweep.Open = append(sweep.Open, t.Number) // its values are still to be read
		if err := putTrial(tx, sweep.ID, t); err != nil {
			return err
		}
	}
	return nil
}

// Get returns a sweep, with what its trials have reached by now.
func (s *Sweeps) Get(ctx context.Context, id string) (Sweep, error) {
	sweep, _, _, err := s.observe(ctx, id)
	return sweep, err
}

// List returns the sweeps of a project, the newest first.
func (s *Sweeps) List(ctx context.Context, project string) ([]Sweep, error) {
	var list []Sweep
	err := s.Store.View(ctx, func(tx solera.Tx) error {
		list = nil
		documents, err := tx.Documents(sweepKind)
		if err != nil {
			return err
		}
		for _, d := range documents {
			if d.Body.Text("project") != project {
				continue
			}
			sweep, err := decodeSweep(d)
			if err != nil {
				return err
			}
			list = append(list, sweep)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, sweep := range list {
		if len(sweep.Open) == 0 {
			continue
		}
		// One that was deleted meanwhile stays as it was read.
		if sweep, err := s.Get(ctx, sweep.ID); err == nil {
			list[i] = sweep
		} else if !errors.Is(err, solera.ErrNotFound) {
			return nil, err
		}
	}
	slices.SortStableFunc(list, func(a, b Sweep) int { return int(min(max(b.Created-a.Created, -1), 1)) })
	return list, nil
}

// Agents returns the agents of a sweep.
func (s *Sweeps) Agents(ctx context.Context, id string) ([]Agent, error) {
	var list []Agent
	err := s.Store.View(ctx, func(tx solera.Tx) error {
		list = nil
		if _, err := get(tx, id); err != nil {
			return err
		}
		documents, err := tx.Documents(agentKind(id))
		if err != nil {
			return err
		}
		for _, d := range documents {
			a, err := decodeAgent(d)
			if err != nil {
				return err
			}
			list = append(list, a)
		}
		return nil
	})
	return list, err
}

// Delete removes a sweep, its trials and its agents. Runs stay, and those under
// way go on; those that nobody has begun are killed.
func (s *Sweeps) Delete(ctx context.Context, id string) error {
	err := s.Store.Update(ctx, func(tx solera.Tx) error {
		sweep, err := get(tx, id)
		if err != nil {
			return err
		}
		now, err := s.now(tx)
		if err != nil {
			return err
		}
		for _, number := range sweep.Open {
			t, err := trialOf(tx, id, number)
			if err != nil {
				return err
			}
			run, err := tx.Run(t.Run)
			if errors.Is(err, solera.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if run.State != solera.Pending {
				continue
			}
			run.State, run.Error, run.Finished = solera.Killed, "the sweep was deleted", now
			if err := tx.UpdateRun(run); err != nil {
				return err
			}
		}
		for _, kind := range []string{trialKind(id), agentKind(id)} {
			documents, err := tx.Documents(kind)
			if err != nil {
				return err
			}
			for _, d := range documents {
				if err := tx.DeleteDocument(kind, d.ID); err != nil {
					return err
				}
			}
		}
		return tx.DeleteDocument(sweepKind, id)
	})
	if err != nil {
		return fmt.Errorf("delete sweep %s: %w", clip(id), err)
	}
	return nil
}

// now is the time by which sweeps go: the database's, which all processes share.
func (s *Sweeps) now(tx solera.Tx) (solera.Micros, error) {
	if s.Clock != nil {
		return solera.MicrosOf(s.Clock()), nil
	}
	return tx.Now()
}

// letters draws an identifier of eight letters and digits.
func (s *Sweeps) letters() (string, error) {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	r := s.Random
	if r == nil {
		r = rand.Reader
	}
	var b [8]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	for i := range b {
		b[i] = alphabet[b[i]&31]
	}
	return string(b[:]), nil
}

func get(tx solera.Tx, id string) (Sweep, error) {
	d, err := tx.Document(sweepKind, id)
	if errors.Is(err, solera.ErrNotFound) || errors.Is(err, solera.ErrInvalid) {
		return Sweep{}, fmt.Errorf("sweep %s: %w", clip(id), solera.ErrNotFound)
	}
	if err != nil {
		return Sweep{}, err
	}
	return decodeSweep(d)
}

func decodeSweep(d solera.Document) (Sweep, error) {
	var sweep Sweep
	err := decode(d, &sweep)
	sweep.Created, sweep.Updated = d.Created, d.Updated
	return sweep, err
}

func decodeAgent(d solera.Document) (Agent, error) {
	var a Agent
	err := decode(d, &a)
	a.Created = d.Created
	return a, err
}

func put(tx solera.Tx, s *Sweep) error {
	kept := *s
	kept.Created, kept.Updated = 0, 0
	d, err := keep(tx, sweepKind, s.ID, kept)
	s.Created, s.Updated = d.Created, d.Updated
	return err
}

func putTrial(tx solera.Tx, id string, t Trial) error {
	_, err := keep(tx, trialKind(id), trialID(t.Number), t)
	return err
}

func putAgent(tx solera.Tx, a Agent) error {
	a.Created = 0
	_, err := keep(tx, agentKind(a.Sweep), a.ID, a)
	return err
}

func trialOf(tx solera.Tx, id string, number int) (Trial, error) {
	var t Trial
	d, err := tx.Document(trialKind(id), trialID(number))
	if err != nil {
		return t, err
	}
	return t, decode(d, &t)
}

func trialsOf(tx solera.Tx, id string) ([]Trial, error) {
	documents, err := tx.Documents(trialKind(id))
	if err != nil {
		return nil, err
	}
	list := make([]Trial, len(documents))
	for i, d := range documents {
		if err := decode(d, &list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func keep(tx solera.Tx, kind, id string, v any) (solera.Document, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return solera.Document{}, fmt.Errorf("%s %s: %w", kind, id, err)
	}
	d := solera.Document{Kind: kind, ID: id}
	if err := json.Unmarshal(raw, &d.Body); err != nil {
		return solera.Document{}, err
	}
	return tx.SetDocument(d)
}

func decode(d solera.Document, v any) error {
	raw, err := d.Body.MarshalJSON()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s %s: %w: %v", d.Kind, d.ID, solera.ErrCorrupt, err)
	}
	return nil
}
