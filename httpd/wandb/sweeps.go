package wandb

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/sweep"
	"github.com/solera-ml/solera/tracking"
)

// Sweeps as clients see them. The rules are those of package sweep; here they
// get the words of the wire: an agent sends heartbeats and is answered with
// commands, and a sweep's configuration is a YAML text.

func (s *service) sweepMutations() map[string]root {
	return map[string]root{
		"upsertSweep":     s.upsertSweep,
		"createAgent":     s.createAgent,
		"agentHeartbeat":  s.agentHeartbeat,
		"enqueueSweepRun": s.enqueueSweepRun,
	}
}

// sweeps are those of each workspace. One value answers all requests, so that
// suggestions are worked out one at a time.
type sweeps struct {
	mu    sync.Mutex
	known map[string]*sweep.Sweeps
}

func (s *service) sweepsOf(sp *space) *sweep.Sweeps {
	s.sweeps.mu.Lock()
	defer s.sweeps.mu.Unlock()
	known := s.sweeps.known[sp.name]
	if known == nil || known.Store != sp.t.Store {
		known = &sweep.Sweeps{Store: sp.t.Store}
		if s.sweeps.known == nil {
			s.sweeps.known = map[string]*sweep.Sweeps{}
		}
		s.sweeps.known[sp.name] = known
	}
	return known
}

// projectSweeps are the fields of a project that tell of its sweeps.
func (s *service) projectSweeps(c *call, p project) fields {
	return fields{
		"sweep": resolver(func(a *args) (any, error) {
			found, err := s.findSweep(c, p.sp, p.Name, a.Need("sweepName"))
			if err = errors.Join(a.Err(), err); errors.Is(err, solera.ErrNotFound) {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			return s.sweepObject(c, p.sp, found), nil
		}),
		"sweeps": resolver(func(a *args) (any, error) {
			list, err := s.sweepsOf(p.sp).List(c.ctx, p.Name)
			if err != nil {
				return nil, err
			}
			return cut("Sweep", list, a, func(x sweep.Sweep) object { return s.sweepObject(c, p.sp, x) })
		}),
		"totalSweeps": lazy(func() (any, error) {
			list, err := s.sweepsOf(p.sp).List(c.ctx, p.Name)
			return len(list), err
		}),
	}
}

// findSweep returns a sweep of a project; project "" = of any.
func (s *service) findSweep(c *call, sp *space, project, id string) (sweep.Sweep, error) {
	found, err := s.sweepsOf(sp).Get(c.ctx, id)
	if err == nil && project != "" && found.Project != project {
		err = fmt.Errorf("sweep %.80q: %w in project %s", id, solera.ErrNotFound, project)
	}
	return found, err
}

// sweepObject is a sweep as clients see it.
func (s *service) sweepObject(c *call, sp *space, x sweep.Sweep) object {
	f := fields{
		"id":   globalID("Sweep", sp.name, x.Project, x.ID),
		"name": x.ID, "displayName": orNil(x.Name), "description": orNil(x.Description),
		"method": x.Method, "state": string(x.State), "config": x.Text,
		"createdAt": x.Created, "updatedAt": x.Updated,
		"bestLoss": nil, "runCount": x.Trials, "runCountExpected": nil,
		"controller": orNil(x.Controller), "scheduler": scheduled(x),
		"controllerRunName":   nil,
		"earlyStopJobRunning": false,
		"project": lazy(func() (any, error) {
			found, err := sp.t.ProjectOf(c.ctx, x.Project)
			if err != nil {
				return nil, err
			}
			return s.project(c, project{sp, found}), nil
		}),
		"heartbeatAt": lazy(func() (any, error) {
			agents, err := s.sweepsOf(sp).Agents(c.ctx, x.ID)
			last := x.Updated
			for _, a := range agents {
				last = max(last, a.Heard)
			}
			return last, err
		}),
		"runs": resolver(func(a *args) (any, error) { return s.sweepRuns(c, sp, x.ID, "", a) }),
		"agents": resolver(func(a *args) (any, error) {
			agents, err := s.sweepsOf(sp).Agents(c.ctx, x.ID)
			if err != nil {
				return nil, err
			}
			return cut("Agent", agents, a, func(g sweep.Agent) object { return s.agentObject(c, sp, x, g) })
		}),
		"agent": resolver(func(a *args) (any, error) {
			name := a.Need("agentName")
			agents, err := s.sweepsOf(sp).Agents(c.ctx, x.ID)
			if err = errors.Join(a.Err(), err); err != nil {
				return nil, err
			}
			for _, g := range agents {
				if g.ID == name || agentName(g) == name || globalID("Agent", sp.name, g.ID) == name {
					return s.agentObject(c, sp, x, g), nil
				}
			}
			return nil, nil
		}),
	}
	if x.Best != nil {
		f["bestLoss"] = x.Best.Value
	}
	if x.Expected > 0 {
		f["runCountExpected"] = x.Expected
	}
	return object{"Sweep", f}
}

// scheduled is the JSON in which the program that chooses a sweep's trials looks
// which run each of its entries became.
func scheduled(x sweep.Sweep) any {
	if len(x.Scheduled) == 0 {
		return nil
	}
	type entry struct {
		ID  string `json:"id"`
		Run string `json:"runid"`
	}
	list := []entry{}
	for id, run := range x.Scheduled {
		list = append(list, entry{id, run})
	}
	raw, err := json.Marshal(map[string]any{"scheduled": list})
	if err != nil {
		return nil
	}
	return string(raw)
}

// agentName is what people call an agent: its identifier without the sweep's.
func agentName(g sweep.Agent) string {
	_, name, _ := strings.Cut(g.ID, "-")
	return name
}

// agentSilence is how long an agent that says nothing is taken to live: they
// ask every 5 s, and it is written down every 2 min.
const agentSilence = 5 * time.Minute

func (s *service) agentObject(c *call, sp *space, x sweep.Sweep, g sweep.Agent) object {
	state := "RUNNING"
	switch {
	case g.Gone:
		state = "FINISHED"
	case s.Clock().Sub(g.Heard.Time()) > agentSilence:
		state = "CRASHED"
	}
	return object{"Agent", fields{
		"id": globalID("Agent", sp.name, g.ID), "name": agentName(g), "host": g.Host, "state": state,
		"totalRuns": g.Trials, "createdAt": g.Created, "heartbeatAt": g.Heard,
		"runs": resolver(func(a *args) (any, error) { return s.sweepRuns(c, sp, x.ID, g.ID, a) }),
	}}
}

// sweepRuns returns the runs of a sweep in the order of its trials, or those of
// one agent.
func (s *service) sweepRuns(c *call, sp *space, id, agent string, a *args) (any, error) {
	_, trials, runs, err := s.sweepsOf(sp).Trials(c.ctx, id)
	if err != nil {
		return nil, err
	}
	list := make([]solera.Run, 0, len(runs))
	for i, run := range runs {
		if run.Deleted == 0 && (agent == "" || trials[i].Agent == agent) {
			list = append(list, run)
		}
	}
	return cut("Run", list, a, func(run solera.Run) object { return s.run(c, sp, run) })
}

// upsertSweep makes a sweep, or changes one.
func (s *service) upsertSweep(c *call, a *args) (any, error) {
	in := a.Input("input")
	entity, name, id := in.Text("entityName"), in.Project("projectName"), in.Text("id")
	if err := in.Err(); err != nil {
		return nil, err
	}
	if id != "" {
		return s.changeSweep(c, in, entity, id)
	}
	if !in.Has("config") {
		in.fail("config", "is missing")
	}
	config, text, err := sweepConfig(in)
	if err != nil {
		return nil, err
	}
	if entity == "" {
		entity, _ = config["entity"].(string)
	}
	if name == "" {
		name, _ = config["project"].(string)
		name = tracking.InwardName(name)
	}
	if name == "" {
		name = defaultProject
	}
	sp, err := c.enter(entity, auth.Editor)
	if err != nil {
		return nil, err
	}
	prior, err := s.priorRuns(c, sp, name, in.Object("priorRunsFilters"))
	if err = errors.Join(in.Err(), err); err != nil {
		return nil, err
	}
	// What is wrong with the sweep is said before a project is made for it.
	if _, _, err := sweep.Parse(config); err != nil {
		return nil, err
	}
	if _, _, err := sp.t.SetProject(c.ctx, name, nil); err != nil {
		return nil, fmt.Errorf("project: %w", err)
	}
	made, warnings, err := s.sweepsOf(sp).Create(c.ctx, sweep.Draft{
		Project: name, Name: in.Text("displayName"), Config: config, Text: text, Runs: prior,
	})
	if err = errors.Join(in.Err(), err); err != nil {
		return nil, err
	}
	return s.upserted(c, sp, made, warnings), nil
}

func (s *service) upserted(c *call, sp *space, x sweep.Sweep, warnings []string) object {
	if warnings == nil {
		warnings = []string{}
	}
	return object{"UpsertSweepPayload", fields{"sweep": s.sweepObject(c, sp, x), "configValidationWarnings": warnings}}
}

// sweepConfig reads the YAML text of a configuration.
func sweepConfig(in *args) (solera.Fields, string, error) {
	text := in.Text("config")
	if err := in.Err(); err != nil {
		return nil, "", err
	}
	m, err := readYAML(text)
	if err != nil {
		return nil, "", err
	}
	return m, text, nil
}

// changeSweep changes a sweep by its identifier.
func (s *service) changeSweep(c *call, in *args, entity, id string) (any, error) {
	sp, x, err := s.enterSweep(c, entity, id, auth.Editor)
	if err != nil {
		return nil, err
	}
	var change sweep.Change
	if in.Has("config") {
		if change.Config, change.Text, err = sweepConfig(in); err != nil {
			return nil, err
		}
	}
	optional := func(name string) *string {
		if !in.Has(name) {
			return nil
		}
		v := in.Text(name)
		return &v
	}
	change.Name, change.Controller = optional("displayName"), optional("controller")
	if in.Has("description") {
		change.Description = optional("description")
	}
	if state := optional("state"); state != nil {
		to := sweep.State(strings.ToUpper(*state))
		change.State = &to
	}
	if change.Runs, err = s.priorRuns(c, sp, x.Project, in.Object("priorRunsFilters")); err != nil {
		return nil, err
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	x, warnings, err := s.sweepsOf(sp).Change(c.ctx, x.ID, change)
	if err != nil {
		return nil, err
	}
	return s.upserted(c, sp, x, warnings), nil
}

// enterSweep returns the sweep with an identifier, its own or that of its
// object.
func (s *service) enterSweep(c *call, entity, id string, role auth.Role) (*space, sweep.Sweep, error) {
	project := ""
	if kindOfID(id) == "Sweep" {
		parts, err := parseID("Sweep", id, 3)
		if err != nil {
			return nil, sweep.Sweep{}, err
		}
		entity, project, id = parts[0], parts[1], parts[2]
	}
	sp, err := c.enter(entity, role)
	if err != nil {
		return nil, sweep.Sweep{}, err
	}
	found, err := s.findSweep(c, sp, project, id)
	return sp, found, err
}

// priorRuns returns the runs that a client wants to be trials: those that a
// filter names one by one.
func (s *service) priorRuns(c *call, sp *space, project string, filter map[string]any) ([]solera.RunID, error) {
	if len(filter) == 0 {
		return nil, nil
	}
	bad := fmt.Errorf(`priorRunsFilters: %w: want {"$or": [{"name": RUN}, …]}`, solera.ErrInvalid)
	alternatives, ok := filter["$or"].([]any)
	if !ok || len(filter) != 1 {
		return nil, bad
	}
	var list []solera.RunID
	for _, v := range alternatives {
		m, _ := v.(map[string]any)
		name, ok := m["name"].(string)
		if !ok || len(m) != 1 {
			return nil, bad
		}
		run, err := s.findRun(c, sp, project, name)
		if err != nil {
			return nil, err
		}
		list = append(list, run.ID)
	}
	return list, nil
}

func (s *service) createAgent(c *call, a *args) (any, error) {
	in := a.Input("input")
	host, entity, name, id := in.Text("host"), in.Text("entityName"), in.Project("projectName"), in.Need("sweep")
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, x, err := s.enterSweep(c, entity, id, auth.Editor)
	if err != nil {
		return nil, err
	}
	if name != "" && name != x.Project {
		return nil, fmt.Errorf("sweep %.80q: %w in project %.80s; it is in %s", x.ID, solera.ErrNotFound, name, x.Project)
	}
	g, err := s.sweepsOf(sp).Join(c.ctx, x.ID, host)
	if err != nil {
		return nil, err
	}
	return object{"CreateAgentPayload", fields{"agent": s.agentObject(c, sp, x, g), "clientMutationId": nil}}, nil
}

// agentHeartbeat answers an agent with what it should do: JSON in a string.
func (s *service) agentHeartbeat(c *call, a *args) (any, error) {
	in := a.Input("input")
	id := in.Need("id")
	states := in.Object("runState")
	if err := in.Err(); err != nil {
		return nil, err
	}
	parts, err := parseID("Agent", id, 2)
	if err != nil {
		return nil, err
	}
	sp, err := c.enter(parts[0], auth.Editor)
	if err != nil {
		return nil, err
	}
	if len(states) > 1000 {
		return nil, fmt.Errorf("runState: %w: %d runs at once; an agent has one, or a few", solera.ErrInvalid, len(states))
	}
	var alive []solera.RunID
	for run, lives := range states {
		if lives == true {
			alive = append(alive, solera.RunID(run))
		}
	}
	all := s.sweepsOf(sp)
	commands, err := all.Beat(c.ctx, parts[1], alive)
	if err != nil {
		return nil, err
	}
	text, err := s.commands(c, sp, parts[1], commands)
	if err != nil {
		return nil, err
	}
	return object{"AgentHeartbeatPayload", fields{
		"agent": object{"Agent", fields{"id": id}}, "commands": text, "clientMutationId": nil,
	}}, nil
}

// commands are those of a heartbeat in the words of the wire.
func (s *service) commands(c *call, sp *space, agent string, list []sweep.Command) (string, error) {
	type value struct {
		Value any `json:"value"`
	}
	type command struct {
		Type    string           `json:"type"`
		Run     string           `json:"run_id,omitempty"`
		Program string           `json:"program,omitempty"`
		Args    map[string]value `json:"args,omitempty"`
		Storage string           `json:"run_storage_id,omitempty"`
		Logs    []string         `json:"logs"`
	}
	out := make([]command, 0, len(list))
	for _, x := range list {
		cmd := command{Type: x.Type, Run: string(x.Run), Logs: []string{}}
		if x.Type == "run" {
			id, _, _ := strings.Cut(agent, "-")
			of, err := s.sweepsOf(sp).Get(c.ctx, id)
			if err != nil {
				return "", err
			}
			cmd.Program = of.Config.Text("program")
			cmd.Storage = runGlobalID(sp, x.Run)
			cmd.Args = map[string]value{}
			for name, v := range x.Params {
				cmd.Args[name] = value{v}
			}
		}
		out = append(out, cmd)
	}
	raw, err := json.Marshal(out)
	return string(raw), err
}

// enqueueSweepRun adds a trial with params that the client chose.
func (s *service) enqueueSweepRun(c *call, a *args) (any, error) {
	in := a.Input("input")
	id, config := in.Need("id"), in.Object("config")
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, x, err := s.enterSweep(c, "", id, auth.Editor)
	if err != nil {
		return nil, err
	}
	params := solera.Fields{}
	for name, v := range config {
		if inner, ok := v.(map[string]any); ok && len(inner) == 1 {
			if wrapped, ok := inner["value"]; ok {
				v = wrapped
			}
		}
		params[name] = v
	}
	t, err := s.sweepsOf(sp).Give(c.ctx, x.ID, params)
	if err != nil {
		return nil, err
	}
	return object{"EnqueueSweepRunPayload", fields{"id": runGlobalID(sp, t.Run), "runQueueItemId": globalID("RunQueueItem", sp.name, string(t.Run))}}, nil
}
