package wandb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

// What this dialect keeps in Run.Environment beside what every run has there.
const (
	clientConfig = "client"      // what the client says of itself and its metrics
	clientName   = "client_name" // the name that the client gave, where it is no identifier here
	clientUser   = "user"        // who reports the run
)

func (s *service) runMutations() map[string]root {
	return map[string]root{
		"upsertBucket":             s.upsertBucket,
		"rewindRun":                s.rewindRun,
		"stopRun":                  s.stopRun,
		"deleteRun":                s.deleteRun,
		"updateRunState":           s.updateRunState,
		"notifyScriptableRunAlert": s.alert,
	}
}

// runsFields are the fields of a project that tell of its runs.
func (s *service) runsFields(c *call, p project) fields {
	one := resolver(func(a *args) (any, error) {
		name := a.Text("name")
		if err := a.Err(); err != nil {
			return nil, err
		}
		run, err := s.findRun(c, p.sp, p.Name, name)
		if errors.Is(err, solera.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return s.run(c, p.sp, run), nil
	})
	return fields{
		"run": one, "bucket": one,
		"runs": resolver(func(a *args) (any, error) { return s.listRuns(c, p, a) }),
		"runCount": resolver(func(a *args) (any, error) {
			q, err := s.query(c, p, a)
			if err != nil {
				return nil, err
			}
			var n int
			err = p.sp.t.Store.View(c.ctx, func(tx solera.Tx) error {
				n, err = tx.CountRuns(q)
				return err
			})
			return n, err
		}),
	}
}

// query returns which runs of a project the argument filters chooses.
func (s *service) query(c *call, p project, a *args) (solera.RunQuery, error) {
	q := solera.RunQuery{Project: p.Name}
	condition := a.Object("filters")
	text := a.Text("order")
	if err := a.Err(); err != nil {
		return q, err
	}
	f := filter{texts: func(field string) ([]string, error) { return textsOf(c.ctx, p, field) }}
	var err error
	if q.Where, err = f.condition(condition); err != nil {
		return q, err
	}
	if err := q.Where.Check(); err != nil {
		return q, fmt.Errorf("filters: %w", err)
	}
	if q.Order, err = order(text); err != nil {
		return q, err
	}
	return q, nil
}

// textsOf returns the texts that the runs of a project have at a field.
func textsOf(ctx context.Context, p project, field string) ([]string, error) {
	seen := map[string]bool{}
	err := p.sp.t.Store.View(ctx, func(tx solera.Tx) error {
		clear(seen)
		runs, err := tx.Runs(solera.RunQuery{Project: p.Name, Where: solera.Expr{Op: solera.Exists, Field: field}})
		if err != nil {
			return err
		}
		for _, run := range runs {
			switch v := tracking.Values(run, []string{field})[field].(type) {
			case string:
				seen[v] = true
			case []string:
				for _, text := range v {
					seen[text] = true
				}
			case []any:
				for _, x := range v {
					if text, ok := x.(string); ok {
						seen[text] = true
					}
				}
			}
		}
		return nil
	})
	return sortedKeys(seen), err
}

func (s *service) listRuns(c *call, p project, a *args) (any, error) {
	q, err := s.query(c, p, a)
	if err != nil {
		return nil, err
	}
	from, first, err := window(a, infinitely)
	if err != nil {
		return nil, err
	}
	q.Offset, q.Limit = from, first+1
	if first == 0 {
		return connection("Run", page{total: -1}), nil
	}
	var runs []solera.Run
	err = p.sp.t.Store.View(c.ctx, func(tx solera.Tx) error {
		runs, err = tx.Runs(q)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := page{total: -1, more: len(runs) > first, cursor: func(i int) string { return position(from + i + 1) }}
	for _, run := range runs[:min(first, len(runs))] {
		out.nodes = append(out.nodes, s.run(c, p.sp, run))
	}
	if n := len(out.nodes); n > 0 {
		out.after = position(from + n)
	}
	return connection("Run", out), nil
}

// infinitely is the length of a list whose length is not known.
const infinitely = 1 << 40

// findRun returns the run that clients call name in a project.
func (s *service) findRun(c *call, sp *space, project, name string) (solera.Run, error) {
	if project == "" {
		project = defaultProject
	}
	run, err := sp.in(project).FindRemote(c.ctx, name)
	if err != nil {
		return solera.Run{}, err
	}
	if run.Deleted != 0 {
		return solera.Run{}, fmt.Errorf("run %.80q: %w: it was deleted from project %s", name, solera.ErrNotFound, project)
	}
	return run, nil
}

// runByID returns the run of an identifier, and its workspace.
func (s *service) runByID(c *call, id string, role auth.Role) (*space, solera.Run, error) {
	parts, err := parseID("Run", id, 2)
	if err != nil {
		return nil, solera.Run{}, err
	}
	sp, err := c.enter(parts[0], role)
	if err != nil {
		return nil, solera.Run{}, err
	}
	run, err := sp.t.Run(c.ctx, solera.RunID(parts[1]))
	if err == nil && run.Deleted != 0 {
		err = fmt.Errorf("run %s: %w: it was deleted", run.ID, solera.ErrNotFound)
	}
	return sp, run, err
}

func runGlobalID(sp *space, id solera.RunID) string { return globalID("Run", sp.name, string(id)) }

// run is a run as clients see it. A file that answers more of its fields adds
// its map to the join.
func (s *service) run(c *call, sp *space, run solera.Run) object {
	return object{"Run", join(s.runFields(c, sp, run), s.historyFields(c, sp, run), s.fileFields(c, sp, run), s.runArtifactFields(c, sp, run.ID))}
}

func (s *service) runFields(c *call, sp *space, run solera.Run) fields {
	git, _ := run.Environment["git"].(map[string]any)
	client, _ := run.Environment[clientConfig].(map[string]any)
	text := func(m map[string]any, key string) any {
		s, _ := m[key].(string)
		return orNil(s)
	}
	user, _ := run.Environment[clientUser].(string)
	var exitCode any
	switch run.State {
	case solera.Finished:
		exitCode = 0
	case solera.Failed, solera.Crashed, solera.Killed:
		exitCode = 1
	}
	stopping := run.Stopping != 0
	tags := run.Tags
	if tags == nil {
		tags = []string{}
	}
	return fields{
		"id":          runGlobalID(sp, run.ID),
		"name":        tracking.OutwardName(run),
		"displayName": run.Name,
		"description": orNil(run.Notes), "notes": orNil(run.Notes),
		"config":         lazy(func() (any, error) { return configOf(run), nil }),
		"summaryMetrics": lazy(func() (any, error) { return lenientJSON(run.Summary), nil }),
		"wandbConfig": resolver(func(a *args) (any, error) {
			kept := map[string]any{}
			for _, key := range a.Texts("keys") {
				if v, ok := client[key]; ok {
					kept[key] = v
				}
			}
			return lenientJSON(kept), a.Err()
		}),
		"sweepName": orNil(run.Sweep),
		"state":     string(run.State),
		"group":     orNil(run.Group), "groupName": orNil(run.Group),
		"jobType": orNil(run.Stage),
		"commit":  text(git, "commit"), "repo": text(git, "remote"),
		"host": orNil(run.Host), "program": text(run.Environment, "program"),
		"tags":      tags,
		"createdAt": run.Created, "updatedAt": max(run.Created, run.Heartbeat, run.Finished),
		"heartbeatAt": max(run.Created, run.Heartbeat, run.Finished),
		"startedAt":   run.Started, "finishedAt": run.Finished,
		"readOnly":  !auth.PrincipalOf(c.ctx).Allows(sp.name, auth.Editor),
		"projectId": strconv.FormatInt(projectNumber(sp.name, run.Project), 10),
		"project": lazy(func() (any, error) {
			p, err := sp.t.ProjectOf(c.ctx, run.Project)
			if err != nil {
				return nil, err
			}
			return s.project(c, project{sp, p}), nil
		}),
		"user": lazy(func() (any, error) {
			if user == "" {
				user = c.user()
			}
			return c.person(user), nil
		}),
		"stopped": stopping, "shouldStop": stopping,
		"failed": run.State == solera.Failed || run.State == solera.Crashed, "running": run.State == solera.Running,
		"exitcode": exitCode,
		"runInfo":  lazy(func() (any, error) { return runInfo(run), nil }),
		"logLines": resolver(func(a *args) (any, error) { return s.logLines(c, sp, run, a) }),
	}
}

// configOf writes the params of a run as clients read them.
func configOf(run solera.Run) string {
	m := make(map[string]any, len(run.Params)+1)
	for key, v := range run.Params {
		m[key] = map[string]any{"desc": nil, "value": v}
	}
	if client, ok := run.Environment[clientConfig].(map[string]any); ok {
		m["_wandb"] = map[string]any{"desc": nil, "value": client}
	}
	return lenientJSON(m)
}

// paramsOf reads a config as clients write it: what a run's params are, and what
// the client says of itself.
func paramsOf(m map[string]any) (params solera.Fields, client map[string]any) {
	params = solera.Fields{}
	for key, v := range m {
		inner, ok := v.(map[string]any)
		if value, has := inner["value"]; ok && has {
			v = value
		}
		if key == "_wandb" {
			client, _ = plain(v).(map[string]any)
			continue
		}
		params[key] = plain(v)
	}
	return params, client
}

// environmentOf returns what a client tells of where its run is, under the names
// that every run has.
func environmentOf(client map[string]any) solera.Fields {
	out := solera.Fields{}
	writers, _ := client["e"].(map[string]any)
	for _, key := range sortedKeys(writers) {
		e, _ := writers[key].(map[string]any)
		copyText := func(from, to string) {
			if s, ok := e[from].(string); ok && s != "" {
				out[to] = s
			}
		}
		copyText("os", "os")
		copyText("python", "python")
		copyText("program", "program")
		copyText("executable", "executable")
		copyText("gpu", "gpu")
		if x, ok := numberOf(e["cpu_count_logical"]); ok {
			out["cores"] = int64(x)
		} else if x, ok := numberOf(e["cpu_count"]); ok {
			out["cores"] = int64(x)
		}
		if x, ok := numberOf(e["gpu_count"]); ok {
			out["gpus"] = int64(x)
		}
		if memory, ok := e["memory"].(map[string]any); ok {
			switch v := memory["total"].(type) {
			case string:
				if n, err := strconv.ParseInt(v, 10, 64); err == nil {
					out["memory_bytes"] = n
				}
			default:
				if x, ok := numberOf(v); ok {
					out["memory_bytes"] = int64(x)
				}
			}
		}
		program, _ := e["program"].(string)
		list, _ := e["args"].([]any)
		if program != "" || len(list) > 0 {
			out["command"] = append([]any{program}, list...)
		}
		if git, ok := e["git"].(map[string]any); ok {
			kept := map[string]any{}
			for from, to := range map[string]string{"commit": "commit", "remote": "remote", "remote_url": "remote", "branch": "branch"} {
				if s, ok := git[from].(string); ok && s != "" {
					kept[to] = s
				}
			}
			if len(kept) > 0 {
				out["git"] = kept
			}
		}
	}
	return out
}

func runInfo(run solera.Run) any {
	git, _ := run.Environment["git"].(map[string]any)
	command, _ := run.Environment["command"].([]any)
	list := []string{}
	for i, x := range command {
		if text, ok := x.(string); ok && i > 0 {
			list = append(list, text)
		}
	}
	cores, _ := numberOf(run.Environment["cores"])
	gpus, _ := numberOf(run.Environment["gpus"])
	get := func(key string) any {
		text, _ := run.Environment[key].(string)
		return orNil(text)
	}
	of := func(key string) any {
		text, _ := git[key].(string)
		return orNil(text)
	}
	return object{"RunInfo", fields{
		"program": get("program"), "args": list, "os": get("os"), "python": get("python"), "colab": nil, "executable": get("executable"),
		"codeSaved": false, "cpuCount": int(cores), "gpuCount": int(gpus), "gpu": get("gpu"),
		"git": object{"GitInfo", fields{"remote": of("remote"), "commit": of("commit")}},
	}}
}

// upsertBucket makes a run, or changes what is said of it: what is null stays.
func (s *service) upsertBucket(c *call, a *args) (any, error) {
	in := a.Input("input")
	text := func(name string) *string {
		if !in.Has(name) {
			return nil
		}
		v := in.Text(name)
		return &v
	}
	spec := tracking.RegisterSpec{
		Name: in.Text("name"), Display: text("displayName"), Notes: text("notes"), Group: text("groupName"),
		Resume: begins(c, in), Stage: text("jobType"), Sweep: text("sweep"), Host: text("host"), State: solera.RunState(strings.ToLower(in.Text("state"))),
	}
	if spec.Notes == nil {
		spec.Notes = text("description")
	}
	if in.Has("tags") {
		spec.Tags = append([]string{}, in.Texts("tags")...)
	}
	spec.Environment = solera.Fields{}
	config := in.Object("config")
	var client map[string]any
	if config != nil {
		spec.Params, client = paramsOf(config)
	}
	if summary := in.Object("summaryMetrics"); summary != nil {
		spec.Summary = fieldsOf(summary)
	}
	entity, project, id := in.Text("entityName"), in.Project("modelName"), in.Text("id")
	commit, repo, program := in.Text("commit"), in.Text("jobRepo"), in.Text("jobProgram")
	if err := in.Err(); err != nil {
		return nil, err
	}
	switch spec.State {
	case "", solera.Pending, solera.Running:
	default:
		return nil, fmt.Errorf("%w: state %.40q: a run is made pending or running", solera.ErrInvalid, spec.State)
	}
	sp, was, err := s.addressed(c, id, entity, project, spec.Name)
	if err != nil {
		return nil, err
	}
	if was != nil {
		project, spec.Name = was.Project, tracking.OutwardName(*was)
	}
	if project == "" {
		project = defaultProject
	}
	if client != nil {
		if was != nil && c.header.Get("X-Wandb-Use-Async-Filestream") == "true" {
			client = withWriters(client, *was)
		}
		maps.Copy(spec.Environment, environmentOf(client))
		spec.Environment[clientConfig] = client
	}
	if program != "" {
		spec.Environment["program"] = program
	}
	if commit != "" || repo != "" {
		git := map[string]any{}
		if have, ok := spec.Environment["git"].(map[string]any); ok {
			git = have
		}
		if commit != "" {
			git["commit"] = commit
		}
		if repo != "" {
			git["remote"] = repo
		}
		spec.Environment["git"] = git
	}
	if was == nil {
		spec.Environment[clientUser] = c.user()
		if spec.Name == "" {
			spec.Name = drawName()
		}
		if spec.Display == nil || *spec.Display == "" {
			name, err := s.invent(c, sp, project)
			if err != nil {
				return nil, err
			}
			spec.Display = &name
		}
		if err := s.nameProject(c, sp, project, in.Text("modelName")); err != nil {
			return nil, err
		}
	}
	run, created, err := sp.in(project).Register(c.ctx, spec)
	if err != nil {
		return nil, err
	}
	if created {
		if err := s.fork(c, sp, run, client); err != nil {
			return nil, err
		}
	}
	return object{"UpsertBucketPayload", fields{"bucket": s.run(c, sp, run), "inserted": created}}, nil
}

// fork gives a run that begins where another was the rows of that one.
func (s *service) fork(c *call, sp *space, run solera.Run, client map[string]any) error {
	point, _ := client["branch_point"].(map[string]any)
	name, ok := point["run_id"].(string)
	if !ok {
		return nil
	}
	step, ok := numberOf(point["step"])
	if !ok {
		return fmt.Errorf("%w: config: branch_point has no step", solera.ErrInvalid)
	}
	parent, err := s.findRun(c, sp, run.Project, name)
	if err != nil {
		return fmt.Errorf("fork: %w", err)
	}
	return sp.t.Fork(c.ctx, recorderOf(parent), int64(step), run.ID)
}

// begins reports whether an upsert comes from the process of the run as it
// begins. Later ones tell of the config alone, and those of users of what they
// say about the run.
func begins(c *call, in *args) bool {
	return (in.Has("host") || in.Has("jobProgram")) && !strings.Contains(c.header.Get("User-Agent"), "Public Client")
}

// addressed finds the run that an upsert is about, nil if there is none yet.
func (s *service) addressed(c *call, id, entity, project, name string) (*space, *solera.Run, error) {
	if id != "" {
		sp, run, err := s.runByID(c, id, auth.Editor)
		if err != nil {
			return nil, nil, err
		}
		return sp, &run, nil
	}
	sp, err := c.enter(entity, auth.Editor)
	if err != nil || name == "" {
		return sp, nil, err
	}
	run, err := s.findRun(c, sp, project, name)
	if errors.Is(err, solera.ErrNotFound) {
		return sp, nil, nil
	}
	return sp, &run, err
}

// withWriters keeps what other writers of a run said of where they are.
func withWriters(client map[string]any, was solera.Run) map[string]any {
	before, _ := was.Environment[clientConfig].(map[string]any)
	others, _ := before["e"].(map[string]any)
	mine, _ := client["e"].(map[string]any)
	if len(others) == 0 {
		return client
	}
	all := maps.Clone(others)
	maps.Copy(all, mine)
	client = maps.Clone(client)
	client["e"] = all
	return client
}

// drawName draws the name of a run as clients do: eight letters and digits.
func drawName() string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b[:])
}

// Words of names for runs that were given none.
var (
	kinds  = []string{"amber", "bright", "calm", "clear", "crisp", "dry", "early", "fresh", "golden", "late", "mellow", "old", "quiet", "ripe", "round", "ruby", "smooth", "sunny", "velvet", "young"}
	things = []string{"barrel", "bodega", "cask", "cellar", "cork", "grape", "harvest", "hill", "oak", "orchard", "press", "river", "soil", "terrace", "vine", "vineyard", "vintage", "willow"}
)

// invent makes a name such as "ruby-vine-12" for the next run of a project.
func (s *service) invent(c *call, sp *space, project string) (string, error) {
	var n int
	err := sp.t.Store.View(c.ctx, func(tx solera.Tx) (err error) {
		n, err = tx.CountRuns(solera.RunQuery{Project: project, Deleted: true})
		return err
	})
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%s-%s-%d", kinds[int(b[0])%len(kinds)], things[int(b[1])%len(things)], n+1), err
}

// rewindRun makes a run forget what it did after a step.
func (s *service) rewindRun(c *call, a *args) (any, error) {
	in := a.Input("input")
	entity, project, name := in.Text("entityName"), in.Project("projectName"), in.Need("runName")
	metric, to := in.Text("metricName"), in.Float("metricValue", -1)
	if in.Err() == nil && metric != "" && metric != stepKey {
		in.fail("metricName", "must be _step")
	}
	if in.Err() == nil && !(to >= 0 && to < 1<<53) {
		in.fail("metricValue", "must be a step, 0 or more")
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, err := c.enter(entity, auth.Editor)
	if err != nil {
		return nil, err
	}
	run, err := s.findRun(c, sp, project, name)
	if errors.Is(err, solera.ErrNotFound) {
		return object{"RewindRunPayload", fields{"rewoundRun": nil}}, nil
	}
	if err != nil {
		return nil, err
	}
	t := sp.in(run.Project)
	if run, _, err = t.Rewind(c.ctx, run.ID, int64(to), historySource); err != nil {
		return nil, err
	}
	// What the run said of itself is what it said then.
	h := &history{sp, run.ID}
	f, err := h.read(c.ctx, nil, everyStep(), 0, false)
	if err != nil {
		return nil, err
	}
	run, _, err = t.Register(c.ctx, tracking.RegisterSpec{Name: tracking.OutwardName(run), Summary: f.summary(run.Summary)})
	if err != nil {
		return nil, err
	}
	return object{"RewindRunPayload", fields{"rewoundRun": s.run(c, sp, run)}}, nil
}

// summary returns a summary as it was at the end of the frame, as far as the
// history tells.
func (f *frame) summary(was solera.Fields) solera.Fields {
	out := solera.Fields{}
	for _, c := range f.columns {
		if _, ok := was[c.key]; !ok {
			continue
		}
		for _, step := range slices.Backward(f.steps) {
			v, ok := c.values[step]
			if !ok {
				continue
			}
			if v.json == nil {
				out[c.key] = plain(v.x)
			} else if x, err := decode(v.json); err == nil {
				out[c.key] = x
			}
			break
		}
	}
	if n := len(f.steps); n > 0 {
		out[stepKey] = f.steps[n-1]
		out[timeKey] = float64(f.times[n-1]) / 1e6
	}
	return out
}

// stopRun asks a run to stop: its client hears it with the next answer.
func (s *service) stopRun(c *call, a *args) (any, error) {
	in := a.Input("input")
	id := in.Need("id")
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, run, err := s.runByID(c, id, auth.Editor)
	if err != nil {
		return nil, err
	}
	if _, err := sp.t.StopRun(c.ctx, string(run.ID)); err != nil {
		return nil, err
	}
	return object{"StopRunPayload", fields{"success": true, "clientMutationId": nil}}, nil
}

func (s *service) deleteRun(c *call, a *args) (any, error) {
	in := a.Input("input")
	id, made := in.Need("id"), in.Bool("deleteArtifacts")
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, run, err := s.runByID(c, id, auth.Editor)
	if err != nil {
		return nil, err
	}
	if made {
		d, err := sp.t.DetailOf(c.ctx, run.ID)
		if err != nil {
			return nil, err
		}
		for _, v := range d.Made {
			if v.Deleted == 0 && v.Run == run.ID {
				if _, err := sp.in(run.Project).Delete(c.ctx, v.Name(), true); err != nil {
					return nil, err
				}
			}
		}
	}
	if !run.State.Ended() && tracking.IsRemote(run) {
		// Clients delete what runs too, and what nobody ever started.
		h, err := sp.in(run.Project).Resume(c.ctx, run.ID)
		if err != nil {
			return nil, err
		}
		if err := h.Finish(c.ctx, fmt.Errorf("deleted by %s: %w", c.user(), solera.ErrStopped), run.Summary); err != nil {
			return nil, err
		}
	}
	if _, err := sp.t.DeleteRun(c.ctx, string(run.ID)); err != nil {
		return nil, err
	}
	return object{"DeleteRunPayload", fields{"clientMutationId": orNil(in.Text("clientMutationId")), "success": true}}, nil
}

// updateRunState sets the state of a run that no process reports any more.
func (s *service) updateRunState(c *call, a *args) (any, error) {
	in := a.Input("input")
	id, state := in.Need("id"), solera.RunState(strings.ToLower(in.Need("state")))
	if err := in.Err(); err != nil {
		return nil, err
	}
	if state != solera.Pending && state != solera.Failed {
		return nil, fmt.Errorf("%w: state %.40q: want pending or failed", solera.ErrInvalid, state)
	}
	sp, run, err := s.runByID(c, id, auth.Editor)
	if err != nil {
		return nil, err
	}
	switch {
	case run.State == state:
	case state == solera.Pending:
		return nil, fmt.Errorf("run %s: %w: it is %s; a run that has begun does not wait again", run.ID, solera.ErrConflict, run.State)
	default:
		h, err := sp.in(run.Project).Resume(c.ctx, run.ID)
		if err != nil {
			return nil, err
		}
		if err := h.Finish(c.ctx, errors.New("set to failed by "+c.user()), run.Summary); err != nil {
			return nil, err
		}
	}
	return object{"UpdateRunStatePayload", fields{"success": true, "clientMutationId": nil}}, nil
}

// alert keeps what a run wants its people to know.
func (s *service) alert(c *call, a *args) (any, error) {
	in := a.Input("input")
	entity, project, name := in.Text("entityName"), in.Project("projectName"), in.Need("runName")
	title, text, level := in.Text("title"), in.Text("text"), in.Text("severity")
	if err := in.Err(); err != nil {
		return nil, err
	}
	if level == "" {
		level = "INFO"
	}
	sp, err := c.enter(entity, auth.Editor)
	if err != nil {
		return nil, err
	}
	run, err := s.findRun(c, sp, project, name)
	if err != nil {
		return nil, err
	}
	step, err := lastStep(c.ctx, sp, run.ID)
	if err != nil {
		return nil, err
	}
	value := encodeJSON(map[string]any{"title": title, "text": text, "level": level})
	_, err = sp.in(run.Project).Report(c.ctx, solera.Batch{
		Run:   run.ID,
		Items: []solera.Item{{Key: alertKey, Step: max(step, 0), Value: value, Time: solera.MicrosOf(s.Clock())}},
	})
	if err != nil {
		return nil, err
	}
	return object{"NotifyScriptableRunAlertPayload", fields{"success": true, "clientMutationId": nil}}, nil
}

// logLines is a page of what a run printed.
func (s *service) logLines(c *call, sp *space, run solera.Run, a *args) (any, error) {
	first, last, after := a.Int("first", 0), a.Int("last", 0), a.Text("after")
	if err := a.Err(); err != nil {
		return nil, err
	}
	id := recorderOf(run)
	const most = 10_000
	from := int64(0)
	if after != "" {
		n, err := parsePosition(after)
		if err != nil {
			return nil, err
		}
		from = int64(n)
	}
	n := min(max(first, 0), most)
	switch {
	case last > 0:
		end, err := lastLine(c.ctx, sp, id)
		if err != nil {
			return nil, err
		}
		n = min(last, most)
		from = max(end-n, 0)
	case first <= 0:
		n = most
	}
	lines, err := sp.t.Store.Lines(c.ctx, id, from, int(n)+1)
	if err != nil {
		return nil, err
	}
	p := page{total: -1, more: int64(len(lines)) > n}
	lines = lines[:min(int64(len(lines)), n)]
	for _, l := range lines {
		level := "info"
		if l.Stream == "err" {
			level = "error"
		}
		p.nodes = append(p.nodes, object{"LogLine", fields{
			"number": l.N - 1, "timestamp": l.Time, "level": level, "label": nil, "line": l.Text, "id": globalID("LogLine", sp.name, string(id), strconv.FormatInt(l.N, 10)),
		}})
	}
	p.cursor = func(i int) string { return position(int(lines[i].N)) }
	if n := len(lines); n > 0 {
		p.after = position(int(lines[n-1].N))
	}
	return connection("LogLine", p), nil
}
