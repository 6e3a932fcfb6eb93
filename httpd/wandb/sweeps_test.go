package wandb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/tracking"
)

// A lab is the dialect over a store, and a client of its GraphQL.
type lab struct {
	t   *testing.T
	url string
	who auth.Principal
	tr  *tracking.Tracker
}

func newLab(t *testing.T) *lab {
	t.Helper()
	dir := t.TempDir()
	db, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "solera.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	blobs, err := blob.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, who: auth.Anyone(), tr: &tracking.Tracker{Store: db, Blobs: blobs}}
	mux := http.NewServeMux()
	Register(mux, Options{
		Workspace: func(name string) (*tracking.Tracker, error) {
			if name != "default" {
				return nil, fmt.Errorf("workspace %s: %w", name, solera.ErrNotFound)
			}
			return l.tr, nil
		},
		Workspaces: func() []string { return []string{"default"} },
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(solera.WithActor(auth.WithPrincipal(r.Context(), l.who), "ana")))
	}))
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// post sends a document, and returns the status and the answer's data or its
// error.
func (l *lab) post(query string, variables map[string]any) (int, map[string]any, string) {
	l.t.Helper()
	raw, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		l.t.Fatal(err)
	}
	answer, err := http.Post(l.url+"/graphql", "application/json", bytes.NewReader(raw))
	if err != nil {
		l.t.Error(err)
		return 0, nil, ""
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		l.t.Error(err)
	}
	var got struct {
		Data   map[string]any
		Errors []struct{ Message string }
	}
	if err := json.Unmarshal(content, &got); err != nil {
		l.t.Errorf("%s: %v", content, err)
	}
	if len(got.Errors) > 0 {
		return answer.StatusCode, nil, got.Errors[0].Message
	}
	return answer.StatusCode, got.Data, ""
}

// ask expects an answer, and returns what a path of keys leads to in it.
func (l *lab) ask(query string, variables map[string]any, path ...string) any {
	l.t.Helper()
	status, data, fault := l.post(query, variables)
	if status != 200 {
		l.t.Fatalf("%s %v: %d %s", query, variables, status, fault)
	}
	var v any = data
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			l.t.Fatalf("%s: no %s in %v", query, key, v)
		}
		v = m[key]
	}
	return v
}

// The five forms in which clients make sweeps, the newest first.
var upserts = []string{
	`mutation UpsertSweep($id:ID,$config:String,$description:String,$entityName:String,$projectName:String,$controller:JSONString,$launchScheduler:JSONString,$templateVariableValues:JSONString,$scheduler:JSONString,$state:String,$priorRunsFilters:JSONString,$displayName:String){
	 upsertSweep(input:{id:$id,config:$config,description:$description,entityName:$entityName,projectName:$projectName,controller:$controller,launchScheduler:$launchScheduler,templateVariableValues:$templateVariableValues,scheduler:$scheduler,state:$state,priorRunsFilters:$priorRunsFilters,displayName:$displayName}){
	 sweep{name project{id name entity{id name}}} configValidationWarnings}}`,
	`mutation UpsertSweep($id:ID,$config:String,$description:String,$entityName:String,$projectName:String,$controller:JSONString,$launchScheduler:JSONString,$scheduler:JSONString,$state:String,$priorRunsFilters:JSONString){
	 upsertSweep(input:{id:$id,config:$config,description:$description,entityName:$entityName,projectName:$projectName,controller:$controller,launchScheduler:$launchScheduler,scheduler:$scheduler,state:$state,priorRunsFilters:$priorRunsFilters}){
	 sweep{name project{id name entity{id name}}} configValidationWarnings}}`,
	`mutation UpsertSweep($id:ID,$config:String,$entityName:String,$projectName:String,$controller:JSONString,$scheduler:JSONString,$state:String){
	 upsertSweep(input:{id:$id,config:$config,entityName:$entityName,projectName:$projectName,controller:$controller,scheduler:$scheduler,state:$state}){
	 sweep{name project{id name entity{id name}}} configValidationWarnings}}`,
	`mutation UpsertSweep($id:ID,$config:String,$entityName:String,$projectName:String){
	 upsertSweep(input:{id:$id,config:$config,entityName:$entityName,projectName:$projectName}){sweep{name project{id name entity{id name}}}}}`,
	`mutation UpsertSweep($id:ID,$config:String,$entityName:String,$projectName:String){
	 upsertSweep(input:{id:$id,config:$config,entityName:$entityName,projectName:$projectName}){sweep{name}}}`,
}

func (l *lab) sweep(config string) string {
	l.t.Helper()
	name, _ := l.ask(upserts[0], map[string]any{"config": config, "entityName": "default", "projectName": "demo", "templateVariableValues": "null"}, "upsertSweep", "sweep", "name").(string)
	return name
}

const createAgent = `mutation CreateAgent($host:String!,$projectName:String,$entityName:String,$sweep:String!){createAgent(input:{host:$host,projectName:$projectName,entityName:$entityName,sweep:$sweep}){agent{id}}}`

func (l *lab) agent(sweep string) string {
	l.t.Helper()
	id, _ := l.ask(createAgent, map[string]any{"host": "lab", "projectName": "demo", "entityName": "default", "sweep": sweep}, "createAgent", "agent", "id").(string)
	return id
}

const heartbeat = `mutation Heartbeat($id:ID!,$metrics:JSONString,$runState:JSONString){agentHeartbeat(input:{id:$id,metrics:$metrics,runState:$runState}){agent{id} commands}}`

// beat returns the commands that an agent is given.
func (l *lab) beat(agent string, alive ...string) []map[string]any {
	l.t.Helper()
	states := map[string]bool{}
	for _, run := range alive {
		states[run] = true
	}
	raw, err := json.Marshal(states)
	if err != nil {
		l.t.Fatal(err)
	}
	text, _ := l.ask(heartbeat, map[string]any{"id": agent, "metrics": "{}", "runState": string(raw)}, "agentHeartbeat", "commands").(string)
	var commands []map[string]any
	if err := json.Unmarshal([]byte(text), &commands); err != nil || commands == nil {
		l.t.Fatalf("commands %q: %v", text, err)
	}
	return commands
}

// finish reports a run as its client does.
func (l *lab) finish(run, sweep string, rows ...string) {
	l.t.Helper()
	l.ask(`mutation UpsertBucket($name:String,$project:String,$entity:String,$sweep:String,$config:JSONString){upsertBucket(input:{name:$name,modelName:$project,entityName:$entity,sweep:$sweep,config:$config}){bucket{id name sweepName historyLineCount} inserted}}`,
		map[string]any{"name": run, "project": "demo", "entity": "default", "sweep": sweep, "config": `{"lr":{"value":0.1},"_wandb":{"value":{"t":{}}}}`})
	body := map[string]any{"files": map[string]any{"wandb-history.jsonl": map[string]any{"offset": 0, "content": rows}}, "complete": true, "exitcode": 0}
	raw, err := json.Marshal(body)
	if err != nil {
		l.t.Fatal(err)
	}
	answer, err := http.Post(l.url+"/files/default/demo/"+run+"/file_stream", "application/json", bytes.NewReader(raw))
	if err != nil {
		l.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		content, _ := io.ReadAll(answer.Body)
		l.t.Fatalf("file stream of %s: %d %s", run, answer.StatusCode, content)
	}
}

const sweepWithRuns = `query SweepWithRuns($entity:String,$project:String,$sweep:String!,$specs:[JSONString!]!){project(name:$project,entityName:$entity){sweep(sweepName:$sweep){
 id name method state description config createdAt heartbeatAt updatedAt earlyStopJobRunning bestLoss controller scheduler displayName runCount runCountExpected
 runs{edges{node{name state config exitcode heartbeatAt shouldStop failed stopped running summaryMetrics sampledHistory(specs:$specs)}}}
 agents{edges{node{id name host state totalRuns createdAt heartbeatAt}}}}}}`

func (l *lab) look(sweep string) map[string]any {
	l.t.Helper()
	got, _ := l.ask(sweepWithRuns, map[string]any{"entity": "default", "project": "demo", "sweep": sweep, "specs": "{}"}, "project", "sweep").(map[string]any)
	return got
}

const gridYAML = `method: grid
name: rates
program: train.py
metric:
  goal: minimize
  name: loss
parameters:
  lr:
    values:
    - 0.1
    - 1.0e-05
  net:
    parameters:
      units:
        value: 8
`

func TestEveryClientMakesSweeps(t *testing.T) {
	l := newLab(t)
	for i, form := range upserts {
		sweep, _ := l.ask(form, map[string]any{"config": gridYAML, "entityName": nil, "projectName": "demo", "templateVariableValues": "null"}, "upsertSweep", "sweep").(map[string]any)
		name, _ := sweep["name"].(string)
		got := l.look(name)
		if len(name) != 8 || got["state"] != "PENDING" || got["config"] != gridYAML || got["displayName"] != "rates" || got["runCountExpected"] != 2.0 || got["bestLoss"] != nil {
			t.Errorf("form %d: %v, %v", i, sweep, got)
		}
	}
	if n := l.ask(`{project(name:"demo"){totalSweeps sweeps(first:2){edges{node{name}} pageInfo{hasNextPage endCursor}}}}`, nil, "project", "totalSweeps"); n != 5.0 {
		t.Errorf("%v sweeps", n)
	}
}

// An agent's life: it asks, is given a trial, reports it, is told to go.
func TestAnAgentRunsASweep(t *testing.T) {
	l := newLab(t)
	sweep := l.sweep(gridYAML)
	agent := l.agent(sweep)
	for i, lr := range []float64{0.1, 1e-5} {
		commands := l.beat(agent)
		if len(commands) != 1 || commands[0]["type"] != "run" || commands[0]["program"] != "train.py" {
			t.Fatalf("trial %d: %v", i, commands)
		}
		run, _ := commands[0]["run_id"].(string)
		args, _ := commands[0]["args"].(map[string]any)
		if rate, _ := args["lr"].(map[string]any); rate["value"] != lr {
			t.Errorf("trial %d: args %v", i, args)
		}
		if net, _ := args["net"].(map[string]any); fmt.Sprint(net["value"]) != "map[units:8]" {
			t.Errorf("a nested parameter is %v", args["net"])
		}
		if id, _ := commands[0]["run_storage_id"].(string); kindOfID(id) != "Run" {
			t.Errorf("run_storage_id %v", commands[0])
		}
		// Clients take a run that has not begun for none.
		if got := l.ask(`query($n:String!){model(name:"demo"){bucket(name:$n,missingOk:true){wandbConfig(keys:["t"]) sweepName state}}}`, map[string]any{"n": run}, "model", "bucket"); fmt.Sprint(got) != "map[state:pending sweepName:"+sweep+" wandbConfig:{}]" {
			t.Errorf("before it begins: %v", got)
		}
		if commands := l.beat(agent, run); len(commands) != 0 {
			t.Errorf("while it runs: %v", commands)
		}
		l.finish(run, sweep, fmt.Sprintf(`{"_step":0,"loss":%v,"_timestamp":1.7e9}`, 3-i), `{"_step":1,"loss":NaN}`)
	}
	if commands := l.beat(agent); len(commands) != 1 || commands[0]["type"] != "exit" {
		t.Errorf("in the end: %v", commands)
	}
	got := l.look(sweep)
	runs, _ := got["runs"].(map[string]any)["edges"].([]any)
	agents, _ := got["agents"].(map[string]any)["edges"].([]any)
	if got["state"] != "FINISHED" || got["bestLoss"] != 2.0 || got["runCount"] != 2.0 || len(runs) != 2 || len(agents) != 1 {
		t.Errorf("the sweep: %v", got)
	}
	one := l.ask(`query($s:String!,$a:String!){project(name:"demo"){sweep(sweepName:$s){agent(agentName:$a){id state totalRuns runs(first:1){edges{node{name}} pageInfo{hasNextPage}}}}}}`,
		map[string]any{"s": sweep, "a": agents[0].(map[string]any)["node"].(map[string]any)["name"]}, "project", "sweep", "agent").(map[string]any)
	if one["id"] != agent || one["state"] != "FINISHED" || one["totalRuns"] != 2.0 || one["runs"].(map[string]any)["pageInfo"].(map[string]any)["hasNextPage"] != true {
		t.Errorf("the agent: %v", one)
	}
}

func TestHeartbeatsAtOnce(t *testing.T) {
	l := newLab(t)
	sweep := l.sweep("method: grid\nparameters: {a: {min: 1, max: 12}}\n")
	var mu sync.Mutex
	var tried []string
	var group sync.WaitGroup
	for range 6 {
		agent := l.agent(sweep)
		// The same agent asks twice at once: its client had given the first up.
		group.Go(func() {
			for range 2 {
				var both [2]string
				var pair sync.WaitGroup
				for i := range both {
					pair.Go(func() {
						_, data, _ := l.post(heartbeat, map[string]any{"id": agent, "runState": "{}"})
						both[i] = fmt.Sprint(data)
					})
				}
				pair.Wait()
				if both[0] != both[1] || !strings.Contains(both[0], "run_id") {
					t.Errorf("two answers: %s and %s", both[0], both[1])
					return
				}
				_, run, _ := strings.Cut(both[0], `"run_id":"`)
				run = run[:8]
				mu.Lock()
				tried = append(tried, run)
				mu.Unlock()
				l.finish(run, sweep)
			}
		})
	}
	group.Wait()
	slices.Sort(tried)
	if len(slices.Compact(tried)) != 12 {
		t.Errorf("%d runs of 12: %v", len(tried), tried)
	}
	if got := l.look(sweep); got["runCount"] != 12.0 {
		t.Errorf("the sweep has %v runs", got["runCount"])
	}
}

func TestStatesOfSweeps(t *testing.T) {
	l := newLab(t)
	sweep := l.sweep(gridYAML)
	id := l.look(sweep)["id"]
	const move = `mutation($id:ID,$state:String,$entityName:String,$projectName:String){upsertSweep(input:{id:$id,state:$state,entityName:$entityName,projectName:$projectName}){sweep{name state}}}`
	for _, tt := range []struct{ to, want string }{{"PAUSED", "PAUSED"}, {"RUNNING", "PENDING"}, {"paused", "PAUSED"}, {"FINISHED", "FINISHED"}} {
		if got := l.ask(move, map[string]any{"id": id, "state": tt.to, "entityName": "default", "projectName": "demo"}, "upsertSweep", "sweep", "state"); got != tt.want {
			t.Errorf("to %s: %v", tt.to, got)
		}
	}
	if status, _, fault := l.post(move, map[string]any{"id": id, "state": "RUNNING"}); status != 409 || !strings.Contains(fault, "FINISHED for good") {
		t.Errorf("after its end: %d %s", status, fault)
	}
	other := l.sweep(gridYAML)
	id = l.look(other)["id"]
	if status, _, fault := l.post(move, map[string]any{"id": id, "state": "ASLEEP"}); status != 400 || !strings.Contains(fault, "PAUSED") {
		t.Errorf("an unknown state: %d %s", status, fault)
	}
	// A sweep is made anew from another configuration, and its runs go along.
	agent := l.agent(other)
	run, _ := l.beat(agent)[0]["run_id"].(string)
	l.finish(run, other, `{"_step":0,"loss":5}`)
	made := l.ask(upserts[0], map[string]any{
		"config": "method: random\nmetric: {name: loss}\nparameters: {lr: {min: 0.0, max: 1.0}}", "projectName": "demo", "displayName": "again",
		"priorRunsFilters": `{"$or":[{"name":"` + run + `"}]}`,
	}, "upsertSweep", "sweep", "name").(string)
	if got := l.look(made); got["runCount"] != 1.0 || got["bestLoss"] != 5.0 || got["displayName"] != "again" {
		t.Errorf("with prior runs: %v", got)
	}
}

func TestALocalController(t *testing.T) {
	l := newLab(t)
	sweep := l.sweep("method: random\ncontroller: {type: local}\nparameters: {lr: {min: 0.0, max: 1.0}}\n")
	id := l.look(sweep)["id"]
	l.ask(upserts[0], map[string]any{"id": id, "config": "method: random\ncontroller: {type: local}\nparameters: {lr: {distribution: uniform, min: 0.0, max: 1.0}}\n", "controller": `{"schedule":[{"id":"s1","data":{"args":{"lr":{"value":0.25}}}}]}`}, "upsertSweep", "sweep", "name")
	var scheduler struct {
		Scheduled []struct{ ID, RunID string }
	}
	text, _ := l.look(sweep)["scheduler"].(string)
	if err := json.Unmarshal([]byte(text), &scheduler); err != nil || len(scheduler.Scheduled) != 1 || scheduler.Scheduled[0].ID != "s1" {
		t.Fatalf("scheduler %q, %v", text, err)
	}
	commands := l.beat(l.agent(sweep))
	if len(commands) != 1 || commands[0]["run_id"] != scheduler.Scheduled[0].RunID || fmt.Sprint(commands[0]["args"]) != "map[lr:map[value:0.25]]" {
		t.Errorf("commands %v, scheduled %v", commands, scheduler)
	}
	// A client that schedules by itself may also hand in trials one by one.
	run := l.ask(`mutation EnqueueSweepRun($id:ID!,$config:JSONString!,$displayName:String){enqueueSweepRun(input:{id:$id,config:$config,displayName:$displayName}){id runQueueItemId}}`,
		map[string]any{"id": id, "config": `{"lr":{"value":0.5}}`, "displayName": nil}, "enqueueSweepRun", "id")
	if got := l.beat(l.agent(sweep)); got[0]["run_storage_id"] != run || fmt.Sprint(got[0]["args"]) != "map[lr:map[value:0.5]]" {
		t.Errorf("handed in %v, got %v", run, got)
	}
}

func TestSweepRequestsThatAreRefused(t *testing.T) {
	l := newLab(t)
	sweep := l.sweep(gridYAML)
	agent := l.agent(sweep)
	create := func(config string) (string, map[string]any) {
		return upserts[0], map[string]any{"config": config, "projectName": "demo"}
	}
	type request struct {
		query     string
		variables map[string]any
	}
	of := func(q string, v map[string]any) request { return request{q, v} }
	for _, tt := range []struct {
		name string
		request
		status int
		want   string
	}{
		{"no config", of(upserts[0], map[string]any{"projectName": "demo"}), 400, "config is missing"},
		{"a config that is no text", of(upserts[0], map[string]any{"config": 7, "projectName": "demo"}), 400, "want a map with method and parameters"},
		{"an empty config", of(create("")), 400, "config"},
		{"no YAML", of(create("a: [1")), 400, "config"},
		{"an unknown method", of(create("method: genetic\nparameters: {a: {value: 1}}")), 400, "want grid, random or bayes"},
		{"a bomb", of(create(yamlBomb(12))), 400, "counting what aliases stand for"},
		{"another workspace", of(upserts[0], map[string]any{"config": gridYAML, "entityName": "acme", "projectName": "demo"}), 404, "there is default"},
		{"a project that has no name here", of(upserts[0], map[string]any{"config": gridYAML, "projectName": "a b/c"}), 400, "project"},
		{"a prior run that is not there", of(upserts[0], map[string]any{"config": gridYAML, "projectName": "demo", "priorRunsFilters": `{"$or":[{"name":"nobody"}]}`}), 404, "nobody"},
		{"prior runs by a condition", of(upserts[0], map[string]any{"config": gridYAML, "projectName": "demo", "priorRunsFilters": `{"state":"finished"}`}), 400, "priorRunsFilters"},
		{"an identifier of something else", of(upserts[0], map[string]any{"id": globalID("Sweep", "default", "other", sweep), "state": "PAUSED"}), 404, "in project other"},
		{"an agent of no sweep", of(createAgent, map[string]any{"host": "h", "sweep": "nothere1"}), 404, "nothere1"},
		{"an agent of a sweep elsewhere", of(createAgent, map[string]any{"host": "h", "sweep": sweep, "projectName": "other"}), 404, "it is in demo"},
		{"no such agent", of(heartbeat, map[string]any{"id": globalID("Agent", "default", sweep+"-nobody")}), 404, "not found"},
		{"an agent's name that is none", of(heartbeat, map[string]any{"id": "x"}), 400, "none of a Agent"},
		{"states that are no object", of(heartbeat, map[string]any{"id": agent, "runState": "[1]"}), 400, "JSON object"},
		{"states that are no JSON", of(heartbeat, map[string]any{"id": agent, "runState": "{"}), 400, "holds JSON"},
		{"a controller where the method chooses", of(upserts[0], map[string]any{"id": sweep, "controller": `{"schedule":[{"id":"a","data":{"args":{}}}]}`}), 409, "the sweep's method chooses"},
	} {
		status, _, fault := l.post(tt.query, tt.variables)
		if status != tt.status || !strings.Contains(fault, tt.want) {
			t.Errorf("%s: %d %s, want %d and %q", tt.name, status, fault, tt.status, tt.want)
		}
	}
	if n := l.ask(`{project(name:"demo"){totalSweeps}}`, nil, "project", "totalSweeps"); n != 1.0 {
		t.Errorf("%v sweeps, though all but the first were refused", n)
	}
	if got := l.ask(`{project(name:"demo"){sweep(sweepName:"nothere1"){id}}}`, nil, "project", "sweep"); got != nil {
		t.Errorf("a sweep that is not there: %v", got)
	}
	// A deleted sweep tells its agents so: they end by themselves.
	found := &service{}
	if err := found.sweepsOf(&space{"default", l.tr}).Delete(t.Context(), sweep); err != nil {
		t.Fatal(err)
	}
	if status, _, fault := l.post(heartbeat, map[string]any{"id": agent, "runState": "{}"}); status != 404 {
		t.Errorf("heartbeat of a deleted sweep: %d %s", status, fault)
	}
}

func yamlBomb(levels int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range levels {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	return b.String()
}

func TestReadYAML(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"a: 1\nb: 1.0\nc: 1.0e-05\nd: '1'\ne: true\nf: null\ng: ~", `{"a":1,"b":1.0,"c":1e-05,"d":"1","e":true,"f":null,"g":null}`},
		{"a: &x [1, 2]\nb: *x", `{"a":[1,2],"b":[1,2]}`},
		{"{\"a\": {\"b\": [1, {\"c\": 2.50}]}}", `{"a":{"b":[1,{"c":2.5}]}}`},
		{"a: |\n  text\n  more\n", `{"a":"text\nmore\n"}`},
		{"values:\n- 0x10\n- -3\n- 18446744073709551615", `{"values":[16,-3,18446744073709551615]}`},
	} {
		m, err := readYAML(tt.text)
		raw, _ := json.Marshal(m)
		if err != nil || string(raw) != tt.want {
			t.Errorf("%q: %s, %v, want %s", tt.text, raw, err, tt.want)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{"", "it is empty"},
		{"- 1", "it is a list"},
		{"word", "it is a string"},
		{"a: 1\n---\nb: 2", "two documents"},
		{"a: 1\na: 2", "a"},
		{"a: .inf", "no finite number"},
		{"a: .nan", "no finite number"},
		{"a: *nowhere", "has no anchor before it"},
		{"a: !!python/object:os.system x", "tag"},
		{"? [1]\n: 2", "invalid key"},
		{"a: \xff", "not UTF-8"},
		{strings.Repeat("[", 10_000), "nested more than 40 deep"},
		{strings.Repeat("- ", 10_000) + "x", "nested more than 40 deep"},
		{"a: &a {b: *a}", "a"},
		{yamlBomb(9), "counting what aliases stand for"},
		{"a: " + strings.Repeat("x", 300<<10), "at most 256 KiB"},
	} {
		if _, err := readYAML(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: %v, want … %s …", tt.text, err, tt.want)
		}
	}
}

func FuzzReadYAML(f *testing.F) {
	f.Add(gridYAML)
	f.Add(yamlBomb(3))
	f.Add("a: &a [*a, {b: *a}]\n? x\n: - - - y")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := readYAML(text)
		if err != nil {
			return
		}
		if _, err := solera.Fields(m).MarshalJSON(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
