package wandb

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

func TestRunOfAClient(t *testing.T) {
	s := newSite(t)
	got := s.start("first", map[string]any{
		"display": "The first", "group": "g", "notes": "hello", "jobType": "train", "tags": []string{"b", "a", "a"},
		"config": `{"lr":{"value":0.1,"desc":null},"deep":{"value":{"a":[1,NaN]}},"_wandb":{"value":{"t":{"5":"0.31.0"},"e":{"w":{"os":"Linux","cpu_count":4,"git":{"commit":"abc","remote":"r"},"program":"train.py","args":["-x"]}}}}}`,
	})
	bucket := got["bucket"].(map[string]any)
	if got["inserted"] != true || bucket["displayName"] != "The first" || bucket["historyLineCount"] != 0.0 || pick(t, bucket, "project", "entity", "name") != "default" {
		t.Errorf("got %v", got)
	}
	if status, text := s.stream("first", streamOf(historyFile, 0,
		`{"_step":0,"_timestamp":1796000000.5,"_runtime":0.5,"loss":1,"d":{"val1":2,"e":{}},"note":"día","bad":NaN,"inf":-Infinity,"list":[1,NaN],"none":null,"h":{"_type":"histogram","bins":[1]}}`,
		`{"_step":7,"_timestamp":1796000001,"_runtime":1,"loss":0.25}`), nil); status != 200 || strings.TrimSpace(text) != "{}" {
		t.Fatalf("got %d %s", status, text)
	}
	s.stream("first", streamOf(consoleFile, 0, "2026-11-22T18:10:01.241962 hello", `{"level":"error","ts":"2026-11-22T18:10:02.5","content":"oh"}`, "2026-11-22T18:10:03.000000 50%"), nil)
	s.stream("first", streamOf(consoleFile, 2, "2026-11-22T18:10:04.000000 100%"), nil)
	s.stream("first", streamOf(eventsFile, 0, `{"_wandb":true,"_timestamp":1796000002,"_runtime":15.2,"system.cpu":5.5,"system.name":"x"}`), nil)
	s.stream("first", streamOf(summaryFile, 0, `{"loss":0.25,"best":NaN,"_step":7}`), nil)

	run, err := s.trackers["default"].Run(t.Context(), "first")
	if err != nil {
		t.Fatal(err)
	}
	if run.Name != "The first" || run.Project != "wine" || run.Stage != "train" || run.Group != "g" || run.Notes != "hello" || run.Host != "laptop" ||
		run.State != solera.Running || !slices.Equal(run.Tags, []string{"a", "b"}) {
		t.Errorf("got %+v", run)
	}
	if text, _ := run.Params.MarshalJSON(); string(text) != `{"deep":{"a":[1,"NaN"]},"lr":0.1}` {
		t.Errorf("params: %s", text)
	}
	if run.Environment["os"] != "Linux" || run.Environment.Text("git.commit") != "abc" && pick(t, map[string]any(run.Environment), "git", "commit") != "abc" {
		t.Errorf("environment: %v", run.Environment)
	}
	want := []string{
		`{"_step":0,"_timestamp":1796000000.5,"_runtime":0.5,"bad":NaN,"d.e":{},"d.val1":2,"h":{"_type":"histogram","bins":[1]},"inf":-Infinity,"list":[1,"NaN"],"loss":1,"none":null,"note":"día"}`,
		`{"_step":7,"_timestamp":1796000001,"_runtime":1,"loss":0.25}`,
	}
	if rows := s.rows("first"); !slices.Equal(rows, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
	lines, _ := s.trackers["default"].Store.Lines(t.Context(), "first", 0, 0)
	var printed []string
	for _, l := range lines {
		printed = append(printed, fmt.Sprintf("%d %s %s", l.N, l.Stream, l.Text))
	}
	if want := []string{"1 out hello", "2 err oh", "3 out 100%"}; !slices.Equal(printed, want) {
		t.Errorf("console: %q, want %q", printed, want)
	}
	answer := s.get(`{project(name:"wine",entityName:"default"){run(name:"first"){state config summaryMetrics systemMetrics historyKeys
		historyLineCount eventsLineCount logLineCount historyTail eventsTail wandbConfig(keys:["t"]) user{username} projectId
		events(samples:10) sampledHistory(specs:["{\"keys\":[\"_step\",\"loss\"],\"samples\":500}","{\"keys\":[\"loss\",\"nothing\"]}"])
		logLines(first:2){edges{node{number level line}} pageInfo{hasNextPage}}}}}`, nil, "project", "run").(map[string]any)
	for key, want := range map[string]any{
		"state": "running", "historyLineCount": 2.0, "eventsLineCount": 1.0, "logLineCount": 3.0, "wandbConfig": `{"t":{"5":"0.31.0"}}`,
		"summaryMetrics": `{"_step":7,"best":NaN,"loss":0.25}`, "systemMetrics": `{"system.cpu":5.5}`,
		"historyTail": `["{\"_step\":7,\"_timestamp\":1796000001,\"_runtime\":1,\"loss\":0.25}"]`,
		"eventsTail":  `["{\"_wandb\":true,\"_runtime\":15,\"_timestamp\":1796000002,\"system.cpu\":5.5}"]`,
	} {
		if answer[key] != want {
			t.Errorf("%s: got %v, want %v", key, answer[key], want)
		}
	}
	if text := fmt.Sprint(answer["sampledHistory"]); text != "[[map[_step:0 loss:1] map[_step:7 loss:0.25]] []]" {
		t.Errorf("sampled: %s", text)
	}
	if n := pick(t, answer, "historyKeys", "lastStep"); n != 7.0 {
		t.Errorf("last step: %v", n)
	}
	if text := fmt.Sprint(pick(t, answer, "historyKeys", "keys", "loss")); text != "map[monotonic:false previousValue:0.25 typeCounts:[map[count:2 type:number]]]" {
		t.Errorf("key: %s", text)
	}
	if more := pick(t, answer, "logLines", "pageInfo", "hasNextPage"); more != true {
		t.Error("the console has one page")
	}
	if status, _ := s.stream("first", `{"complete":true,"exitcode":0}`, nil); status != 200 {
		t.Errorf("got %d", status)
	}
	if run, _ := s.trackers["default"].Run(t.Context(), "first"); run.State != solera.Finished || run.Summary["loss"] == nil {
		t.Errorf("got %+v", run)
	}
	if len(s.unknown) > 0 {
		t.Errorf("unknown: %v", s.unknown)
	}
}

// What a client calls a project need not be a name here; it goes on with its own.
func TestProjectsOfAnyName(t *testing.T) {
	s := newSite(t)
	const own, name = "Vinos de España", "Vinos-de-Espaa.34b0a4ff"
	made := s.start("r1", map[string]any{"project": own})
	if got := pick(t, made, "bucket", "project", "name"); got != name {
		t.Errorf("the project is %v, want %s", got, name)
	}
	for _, project := range []string{own, name} {
		at := "/files/default/" + url.PathEscape(project) + "/r1/file_stream"
		offset := map[string]int{own: 0, name: 1}[project]
		if status, _, text := s.ask("ana", http.MethodPost, at, []byte(streamOf(historyFile, offset, `{"x":1}`)), nil); status != 200 {
			t.Errorf("%s: got %d %s", project, status, text)
		}
		found := s.get(`query($p:String){project(name:$p){name description run(name:"r1"){historyLineCount}}}`, map[string]any{"p": project}, "project")
		want := map[string]any{"name": name, "description": own, "run": map[string]any{"historyLineCount": json.Number(fmt.Sprint(offset + 1))}}
		if fmt.Sprint(found) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", found, want)
		}
	}
	if status, _ := s.say("ana", upsert, map[string]any{"name": "r2", "project": "../wine"}); status != 400 {
		t.Errorf("a path for a project: got %d, want 400", status)
	}
}

func TestHowRunsEnd(t *testing.T) {
	s := newSite(t)
	for _, tt := range []struct {
		name string
		body string
		stop bool
		want solera.RunState
	}{
		{"well", `{"complete":true,"exitcode":0}`, false, solera.Finished},
		{"badly", `{"complete":true,"exitcode":1}`, false, solera.Failed},
		{"by Ctrl-C", `{"complete":true,"exitcode":255}`, false, solera.Killed},
		{"as a user wanted", `{"complete":true,"exitcode":1}`, true, solera.Killed},
		{"not at all", `{}`, false, solera.Running},
	} {
		name := strings.ReplaceAll(tt.name, " ", "-")
		id := pick(t, s.start(name, nil), "bucket", "id")
		if tt.stop {
			if ok := s.get(`mutation($id:ID!){stopRun(input:{id:$id}){success}}`, map[string]any{"id": id}, "stopRun", "success"); ok != true {
				t.Errorf("stop: %v", ok)
			}
			if _, text := s.stream(name, `{}`, nil); !strings.Contains(text, `"stopped": true`) {
				t.Errorf("%s: the client is not told to stop: %s", tt.name, text)
			}
		}
		if status, text := s.stream(name, tt.body, nil); status != 200 {
			t.Errorf("%s: got %d %s", tt.name, status, text)
		}
		run, err := s.trackers["default"].Run(t.Context(), solera.RunID(name))
		if err != nil || run.State != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.name, run.State, err, tt.want)
		}
	}
}

func TestChangesLeaveWhatTheyDoNotName(t *testing.T) {
	s := newSite(t)
	first := s.start("one", map[string]any{"display": "Name", "notes": "n", "tags": []string{"x"}, "config": `{"a":{"value":1}}`})
	id := pick(t, first, "bucket", "id")
	s.stream("one", `{"complete":true,"exitcode":0}`, nil)
	second := s.get(upsert, map[string]any{"id": id, "tags": []string{}, "summary": `{"best":1}`}, "upsertBucket").(map[string]any)
	b := second["bucket"].(map[string]any)
	if second["inserted"] != false || b["displayName"] != "Name" || b["notes"] != "n" || len(b["tags"].([]any)) != 0 || b["state"] != "finished" ||
		b["summaryMetrics"] != `{"best":1}` || !strings.Contains(b["config"].(string), `"a":`) {
		t.Errorf("got %v", second)
	}
	if third := s.start("one", nil); pick(t, third, "bucket", "state") != "running" {
		t.Errorf("a run whose process is there again does not run: %v", third)
	}
}

// Two projects may have a run of one name.
func TestNamesOfRunsAreOfTheirProject(t *testing.T) {
	s := newSite(t)
	s.start("same", nil)
	other := s.get(upsert, map[string]any{"name": "same", "project": "beer"}, "upsertBucket").(map[string]any)
	if other["inserted"] != true || pick(t, other, "bucket", "name") != "same" {
		t.Errorf("got %v", other)
	}
	odd := s.get(upsert, map[string]any{"name": "a run with spaces ✓", "project": "wine"}, "upsertBucket").(map[string]any)
	if pick(t, odd, "bucket", "name") != "a run with spaces ✓" {
		t.Errorf("got %v", odd)
	}
	if status, text := s.stream("a%20run%20with%20spaces%20%E2%9C%93", streamOf(historyFile, 0, `{"_step":0,"x":1}`), nil); status != 200 {
		t.Errorf("got %d %s", status, text)
	}
	for name, want := range map[string]float64{"same": 1, "a run with spaces ✓": 1, "nothing": 0} {
		filter, _ := json.Marshal(map[string]any{"name": name})
		if n := s.get(`query($f:JSONString){project(name:"wine",entityName:"default"){runCount(filters:$f)}}`, map[string]any{"f": string(filter)}, "project", "runCount"); n != want {
			t.Errorf("%s: got %v, want %v", name, n, want)
		}
	}
}

func TestResumeStatus(t *testing.T) {
	s := newSite(t)
	const q = `query($n:String!){model(name:"wine",entityName:"default"){bucket(name:$n,missingOk:true){id historyTail wandbConfig(keys:["t"]) historyLineCount}}}`
	if got := s.get(q, map[string]any{"n": "x"}, "model"); got != nil {
		t.Errorf("got %v of a project that is not there", got)
	}
	s.start("x", map[string]any{"config": `{"_wandb":{"value":{"t":{"1":1}}}}`})
	if got := s.get(q, map[string]any{"n": "y"}, "model", "bucket"); got != nil {
		t.Errorf("got %v of a run that is not there", got)
	}
	if got := s.get(q, map[string]any{"n": "x"}, "model", "bucket"); pick(t, got, "historyTail") != "[]" || pick(t, got, "wandbConfig") != `{"t":{"1":1}}` {
		t.Errorf("got %v", got)
	}
}

func TestRewindAndFork(t *testing.T) {
	s := newSite(t)
	s.start("parent", nil)
	var lines []string
	for i := range 5 {
		lines = append(lines, fmt.Sprintf(`{"_step":%d,"_timestamp":%d,"x":%d,"note":"n%d"}`, i, 1796000000+i, i, i))
	}
	s.stream("parent", streamOf(historyFile, 0, lines...), nil)
	s.stream("parent", streamOf(summaryFile, 0, `{"x":4,"note":"n4"}`), nil)
	fork := s.start("child", map[string]any{"config": `{"_wandb":{"value":{"branch_point":{"run_id":"parent","step":1}}}}`})
	if n := pick(t, fork, "bucket", "historyLineCount"); n != 0.0 {
		t.Errorf("a fork begins at line %v", n)
	}
	s.stream("child", streamOf(historyFile, 0, `{"_step":2,"x":100}`), nil)
	if rows := s.rows("child"); len(rows) != 3 || !strings.Contains(rows[1], `"note":"n1"`) || !strings.Contains(rows[2], `"x":100`) {
		t.Errorf("the fork has %v", rows)
	}
	const rewind = `mutation($n:String!,$v:Float!){rewindRun(input:{runName:$n,entityName:"default",projectName:"wine",metricName:"_step",metricValue:$v}){rewoundRun{historyLineCount summaryMetrics}}}`
	got := s.get(rewind, map[string]any{"n": "parent", "v": 2}, "rewindRun", "rewoundRun")
	if pick(t, got, "historyLineCount") != 3.0 || !strings.Contains(pick(t, got, "summaryMetrics").(string), `"x":2`) {
		t.Errorf("got %v", got)
	}
	if status, text := s.stream("parent", streamOf(historyFile, 3, `{"_step":3,"x":33}`), nil); status != 200 {
		t.Errorf("got %d %s", status, text)
	}
	if rows := s.rows("parent"); len(rows) != 4 || !strings.Contains(rows[3], `"x":33`) {
		t.Errorf("got %v", rows)
	}
	if got := s.get(rewind, map[string]any{"n": "nobody", "v": 2}, "rewindRun", "rewoundRun"); got != nil {
		t.Errorf("got %v", got)
	}
	if status, _ := s.say("ana", rewind, map[string]any{"n": "parent", "v": -1}); status != http.StatusBadRequest {
		t.Errorf("a step before 0: got %d", status)
	}
	if status, message := s.say("ana", upsert, map[string]any{"name": "orphan", "project": "wine", "config": `{"_wandb":{"value":{"branch_point":{"run_id":"nobody","step":1}}}}`}); status != http.StatusNotFound {
		t.Errorf("a fork of nothing: got %d %v", status, message)
	}
}

// However a client repeats its requests, each line is stored once.
func TestRepeatedRequestsChangeNothing(t *testing.T) {
	s := newSite(t)
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		run := fmt.Sprintf("run%d", n)
		s.start(run, nil)
		sent, acknowledged := 0, 0
		const total = 12
		line := func(i int) string { return fmt.Sprintf(`{"_step":%d,"x":%d,"t":"v%d"}`, i, i, i) }
		for acknowledged < total {
			// A request covers what was not acknowledged, or a part; its answer may be
			// lost, and the next one begins where the last acknowledged ended.
			to := rapid.IntRange(acknowledged+1, total).Draw(r, "to")
			var lines []string
			for i := acknowledged; i < to; i++ {
				lines = append(lines, line(i))
			}
			if status, text := s.stream(run, streamOf(historyFile, acknowledged, lines...), nil); status != 200 {
				r.Fatalf("got %d %s", status, text)
			}
			sent = max(sent, to)
			if !rapid.Bool().Draw(r, "lost") {
				acknowledged = to
			}
		}
		rows := s.rows(run)
		if len(rows) != sent {
			r.Fatalf("%d rows of %d", len(rows), sent)
		}
		points, _, err := s.trackers["default"].Store.Since(context.Background(), solera.RunID(run), 0, 0)
		if err != nil || len(points) != sent {
			r.Fatalf("%d points, %v, want %d", len(points), err, sent)
		}
	})
}

func TestStreamRefuses(t *testing.T) {
	s := newSite(t)
	s.start("bad", nil)
	s.stream("bad", streamOf(historyFile, 0, `{"_step":0,"x":1}`), nil)
	zip := func(b []byte) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		z.Write(b)
		z.Close()
		return out.Bytes()
	}
	good := []byte(streamOf(historyFile, 1, `{"_step":1,"x":2}`))
	for _, tt := range []struct {
		name   string
		user   string
		path   string
		body   []byte
		header map[string]string
		status int
		says   string
	}{
		{"no JSON", "ana", "default/wine/bad", []byte(`{"files":`), nil, 400, "body"},
		{"a list", "ana", "default/wine/bad", []byte(`[]`), nil, 400, "body"},
		{"something after it", "ana", "default/wine/bad", []byte(`{} {}`), nil, 400, "follows"},
		{"a gap", "ana", "default/wine/bad", []byte(streamOf(historyFile, 5, `{"_step":5,"x":2}`)), nil, 400, "1 to 4 are missing"},
		{"a line that is no JSON", "ana", "default/wine/bad", []byte(streamOf(historyFile, 1, `{"_step":1,"x":2}`, `{"x":`)), nil, 400, "line 2"},
		{"a line that is a number", "ana", "default/wine/bad", []byte(streamOf(historyFile, 1, `5`)), nil, 400, "want an object"},
		{"a line that is deep", "ana", "default/wine/bad", []byte(streamOf(historyFile, 1, strings.Repeat(`{"a":`, 500)+"1"+strings.Repeat("}", 500))), nil, 400, "deeper"},
		{"a summary that is a text", "ana", "default/wine/bad", []byte(streamOf(summaryFile, 0, `"x"`)), nil, 400, "want an object"},
		{"a negative offset", "ana", "default/wine/bad", []byte(`{"files":{"wandb-history.jsonl":{"offset":-1,"content":["{}"]}}}`), nil, 400, "offset"},
		{"an offset that is a text", "ana", "default/wine/bad", []byte(`{"files":{"wandb-history.jsonl":{"offset":"x","content":[]}}}`), nil, 400, "body"},
		{"content of numbers", "ana", "default/wine/bad", []byte(`{"files":{"wandb-history.jsonl":{"offset":0,"content":[1]}}}`), nil, 400, "body"},
		{"gzip that is cut short", "ana", "default/wine/bad", zip(good)[:20], map[string]string{"Content-Encoding": "gzip"}, 400, "body"},
		{"gzip that is none", "ana", "default/wine/bad", good, map[string]string{"Content-Encoding": "gzip"}, 400, "gzip"},
		{"another encoding", "ana", "default/wine/bad", good, map[string]string{"Content-Encoding": "br"}, 400, "encoding"},
		{"gzip that grows without end", "ana", "default/wine/bad", zip(make([]byte, maxBody+10)), map[string]string{"Content-Encoding": "gzip"}, 413, "at most"},
		{"a run that is not there", "ana", "default/wine/nobody", good, nil, 404, "nobody"},
		{"another project", "ana", "default/beer/bad", good, nil, 404, "bad"},
		{"a workspace that is not hers", "ana", "other/wine/bad", good, nil, 404, "there is default"},
		{"a workspace that is not", "ana", "nowhere/wine/bad", good, nil, 404, "there is default"},
		{"who may only look", "vera", "default/wine/bad", good, nil, 403, "editor"},
		{"somebody of another workspace", "otto", "default/wine/bad", good, nil, 404, "there is other"},
		{"who has no role", "nemo", "default/wine/bad", good, nil, 404, "no role"},
		{"nobody", "", "default/wine/bad", good, nil, 404, "no role"},
	} {
		status, _, text := s.ask(tt.user, http.MethodPost, "/files/"+tt.path+"/file_stream", tt.body, tt.header)
		if status != tt.status || !strings.Contains(text, tt.says) {
			t.Errorf("%s: got %d %.300s, want %d with %q", tt.name, status, text, tt.status, tt.says)
		}
	}
	if rows := s.rows("bad"); len(rows) != 1 {
		t.Errorf("something was stored: %v", rows)
	}
	if n, _ := s.trackers["default"].Store.Position(t.Context(), "bad", historySource); n != 1 {
		t.Errorf("the position moved to %d", n)
	}
	if status, text := s.stream("bad", string(zip(good)), map[string]string{"Content-Encoding": "gzip"}); status != 200 {
		t.Errorf("good gzip: got %d %s", status, text)
	}
}

// Keys that a store does not take are no reason to lose a value.
func TestOddKeys(t *testing.T) {
	s := newSite(t)
	s.start("odd", nil)
	long := strings.Repeat("k", 3000)
	body, _ := json.Marshal(map[string]any{"_step": 0, "": 1, "a\x00b": 2, long: 3, "a.b": 4, "ü": "x"})
	if status, text := s.stream("odd", streamOf(historyFile, 0, string(body)), nil); status != 200 {
		t.Fatalf("got %d %s", status, text)
	}
	keys, err := s.trackers["default"].Store.Keys(t.Context(), "odd")
	if err != nil || len(keys) != 4 {
		t.Errorf("got %d keys, %v", len(keys), err)
	}
}

func TestSeveralWritersOfOneRun(t *testing.T) {
	s := newSite(t)
	h := func(client string) map[string]string {
		return map[string]string{"X-WANDB-USE-ASYNC-FILESTREAM": "true", "X-WANDB-ASYNC-CLIENT-ID": client}
	}
	s.start("many", nil)
	for _, step := range []struct {
		client, file string
		offset       int
		lines        []string
	}{
		{"a", historyFile, 0, []string{`{"x":1}`, `{"x":2}`}},
		{"b", historyFile, 2, []string{`{"y":10}`}}, // it came when there were two rows
		{"a", historyFile, 0, []string{`{"x":1}`, `{"x":2}`, `{"x":3}`}},
		{"b", historyFile, 2, []string{`{"y":10}`}},
		{"b", historyFile, 3, []string{`{"y":20}`}},
		{"a", summaryFile, 0, []string{`{"x":3}`}},
		{"b", summaryFile, 0, []string{`{"y":20}`}},
		{"a", consoleFile, 0, []string{"2026-11-22T18:10:01.000000 [rank0] one"}},
		{"b", consoleFile, 0, []string{"2026-11-22T18:10:01.000000 [rank1] two"}},
		{"a", consoleFile, 0, []string{"2026-11-22T18:10:01.000000 [rank0] one", "2026-11-22T18:10:01.000000 [rank0] three"}},
	} {
		if status, text := s.stream("many", streamOf(step.file, step.offset, step.lines...), h(step.client)); status != 200 {
			t.Fatalf("%v: got %d %s", step, status, text)
		}
	}
	var got []string
	for _, row := range s.rows("many") {
		var m map[string]any
		if err := json.Unmarshal([]byte(row), &m); err != nil {
			t.Fatal(err)
		}
		delete(m, "_timestamp")
		got = append(got, fmt.Sprint(m))
	}
	if want := []string{"map[_step:0 x:1]", "map[_step:1 x:2]", "map[_step:2 y:10]", "map[_step:3 x:3]", "map[_step:4 y:20]"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	run, _ := s.trackers["default"].Run(t.Context(), "many")
	if text, _ := run.Summary.MarshalJSON(); string(text) != `{"x":3,"y":20}` {
		t.Errorf("summary: %s", text)
	}
	lines, _ := s.trackers["default"].Store.Lines(t.Context(), "many", 0, 0)
	if len(lines) != 3 || lines[2].Text != "[rank0] three" {
		t.Errorf("console: %v", lines)
	}
}

// A client that goes on with a run without asking counts its load from 0 again.
func TestLoadOfAProcessThatCameAgain(t *testing.T) {
	s := newSite(t)
	s.start("again", nil)
	event := func(at int) string {
		return fmt.Sprintf(`{"_timestamp":%d,"_runtime":%d,"system.cpu":1}`, 1796000000+at, at)
	}
	s.stream("again", streamOf(eventsFile, 0, event(1), event(2)), nil)
	s.stream("again", streamOf(eventsFile, 0, event(1), event(2)), nil) // its answer was lost
	s.stream("again", streamOf(eventsFile, 0, event(100)), nil)         // another process
	points, _ := s.trackers["default"].Store.Series(t.Context(), solera.SeriesQuery{Run: "again", Key: "system/cpu"})
	if len(points) != 3 {
		t.Errorf("got %v", points)
	}
}

func TestHistoryAsAFile(t *testing.T) {
	s := newSite(t)
	id := pick(t, s.start("file", nil), "bucket", "id")
	const q = `{project(name:"wine",entityName:"default"){run(name:"file"){parquetHistory(liveKeys:["_step"]){parquetUrls liveData}}}}`
	if got := fmt.Sprint(s.get(q, nil, "project", "run", "parquetHistory")); got != "map[liveData:[] parquetUrls:[]]" {
		t.Errorf("of a run without history: %v", got)
	}
	s.stream("file", streamOf(historyFile, 0, `{"_step":3,"_timestamp":1,"_runtime":0,"x":NaN,"note":"a"}`, `{"_step":4,"_timestamp":2,"_runtime":1,"x":2,"note":"día"}`), nil)
	if got := fmt.Sprint(s.get(q, nil, "project", "run", "parquetHistory")); got != "map[liveData:[map[_step:3]] parquetUrls:[]]" {
		t.Errorf("of a run under way: %v", got)
	}
	s.stream("file", `{"complete":true,"exitcode":0}`, nil)
	url := s.get(q, nil, "project", "run", "parquetHistory", "parquetUrls", 0).(string)
	status, header, text := s.ask("", http.MethodGet, url, nil, nil)
	if status != 200 || header.Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("got %d", status)
	}
	type row struct {
		Step int64    `parquet:"_step"`
		Time float64  `parquet:"_timestamp"`
		X    *float64 `parquet:"x,optional"`
		Note *string  `parquet:"note,optional"`
	}
	rows, err := parquet.Read[row](strings.NewReader(text), int64(len(text)))
	if err != nil || len(rows) != 2 {
		t.Fatalf("%v, %v", rows, err)
	}
	if r := rows[0]; r.Step != 3 || r.X == nil || *r.X == *r.X || r.Note == nil || *r.Note != "a" {
		t.Errorf("got %+v", r)
	}
	if r := rows[1]; r.Step != 4 || r.X == nil || *r.X != 2 || *r.Note != "día" {
		t.Errorf("got %+v", r)
	}
	// A gap cannot be told from a null in a table, and what is no text does not
	// survive one.
	for i, line := range []string{`{"_step":5,"_runtime":2,"x":1}`, `{"_step":5,"note":[1]}`} {
		s.get(upsert, map[string]any{"id": id, "host": "x"}, "upsertBucket")
		s.stream("file", streamOf(historyFile, 2+i, line), nil)
		s.stream("file", `{"complete":true,"exitcode":0}`, nil)
		if got := fmt.Sprint(s.get(q, nil, "project", "run", "parquetHistory")); got != "map[liveData:[map[_step:3]] parquetUrls:[]]" {
			t.Errorf("with %s: %v", line, got)
		}
	}
}

// A run of Solera's own pipeline is read like any other.
func TestOwnRunsAreRead(t *testing.T) {
	s := newSite(t)
	tr := *s.trackers["default"]
	tr.Project = "wine"
	run, err := tr.Start(t.Context(), tracking.RunSpec{Stage: "train", Params: solera.Fields{"lr": 0.5}, Tags: []string{"t"}})
	if err != nil {
		t.Fatal(err)
	}
	for step := range int64(3) {
		if err := run.Record(step, map[string]float64{"train/loss": 1 / float64(step+1)}); err != nil {
			t.Fatal(err)
		}
	}
	run.Print(tracking.Out, "hello")
	if err := run.Finish(t.Context(), nil, solera.Fields{"best": 0.25}); err != nil {
		t.Fatal(err)
	}
	got := s.get(`query($n:String!){project(name:"wine",entityName:"default"){run(name:$n){config summaryMetrics state historyLineCount jobType
		history(samples:10) logLines(first:5){edges{node{line}}}}}}`, map[string]any{"n": string(run.ID())}, "project", "run").(map[string]any)
	if got["config"] != `{"lr":{"desc":null,"value":0.5}}` || got["summaryMetrics"] != `{"best":0.25}` || got["state"] != "finished" || got["historyLineCount"] != 3.0 {
		t.Errorf("got %v", got)
	}
	if rows := got["history"].([]any); len(rows) != 3 || !strings.Contains(rows[1].(string), `"train/loss":0.5`) {
		t.Errorf("history: %v", rows)
	}
	if line := pick(t, got, "logLines", "edges", 0, "node", "line"); line != "hello" {
		t.Errorf("console: %v", line)
	}
}

// Pages of a history, as releases before and after 0.27 ask for them.
func TestPagesOfAHistory(t *testing.T) {
	s := newSite(t)
	s.start("pages", nil)
	var lines []string
	for i := range 10 {
		lines = append(lines, fmt.Sprintf(`{"_step":%d,"x":%d}`, i, i))
	}
	s.stream("pages", streamOf(historyFile, 0, lines...), nil)
	for spec, want := range map[string]string{
		`{"keys":["_step","x"],"minStep":0,"maxStep":4,"samples":4}`:  "0 1 2 3",
		`{"keys":["_step","x"],"minStep":4,"maxStep":8,"samples":4}`:  "4 5 6 7",
		`{"keys":["_step","x"],"minStep":0,"maxStep":3,"samples":4}`:  "0 1 2 3",
		`{"keys":["_step","x"],"minStep":8,"maxStep":11,"samples":4}`: "8 9",
		`{"keys":["_step","x"],"minStep":7,"maxStep":8}`:              "7 8",
		`{"keys":["x"],"samples":3}`:                                  "0 4 9",
	} {
		rows := s.get(`query($s:[JSONString!]!){project(name:"wine",entityName:"default"){run(name:"pages"){sampledHistory(specs:$s)}}}`,
			map[string]any{"s": spec}, "project", "run", "sampledHistory", 0).([]any)
		var steps []string
		for _, r := range rows {
			steps = append(steps, fmt.Sprint(pick(t, r, "_step")))
		}
		if got := strings.Join(steps, " "); got != want {
			t.Errorf("%s: got %s, want %s", spec, got, want)
		}
	}
	if rows := s.get(`{project(name:"wine",entityName:"default"){run(name:"pages"){history(minStep:2,maxStep:5,samples:3)}}}`, nil, "project", "run", "history").([]any); len(rows) != 3 {
		t.Errorf("got %v", rows)
	}
}

func TestFilesOfARun(t *testing.T) {
	s := newSite(t)
	s.start("files", nil)
	const create = `mutation($f:[String!]!){createRunFiles(input:{entityName:"default",projectName:"wine",runName:"files",files:$f}){runID uploadHeaders files{name uploadUrl}}}`
	files := s.get(create, map[string]any{"f": []string{"./a b%.txt", "media/x.html", "ñ/empty"}}, "createRunFiles", "files").([]any)
	var urls []string
	for i, want := range []string{"./a b%.txt", "media/x.html", "ñ/empty"} {
		if name := pick(t, files, i, "name"); name != want {
			t.Errorf("got %v, want %s", name, want)
		}
		urls = append(urls, pick(t, files, i, "uploadUrl").(string))
	}
	for i, body := range []string{"hello", "<script>", ""} {
		if status, header, text := s.ask("", http.MethodPut, urls[i], []byte(body), nil); status != 200 || header.Get("ETag") == "" {
			t.Errorf("got %d %s", status, text)
		}
	}
	if status, _, _ := s.ask("", http.MethodPut, urls[0], []byte("hello"), nil); status != 200 {
		t.Errorf("the same again: got %d", status)
	}
	if status, _, text := s.ask("", http.MethodPut, urls[0], []byte("other"), nil); status != http.StatusConflict {
		t.Errorf("other bytes: got %d %s", status, text)
	}
	const list = `query($n:[String],$p:String,$c:String){project(name:"wine",entityName:"default"){run(name:"files"){fileCount
		files(names:$n,pattern:$p,after:$c,first:2){edges{node{id name url(upload:false) directUrl sizeBytes mimetype md5}} pageInfo{endCursor hasNextPage}}}}}`
	first := s.get(list, nil, "project", "run").(map[string]any)
	if first["fileCount"] != 3.0 || pick(t, first, "files", "pageInfo", "hasNextPage") != true {
		t.Errorf("got %v", first)
	}
	second := s.get(list, map[string]any{"c": pick(t, first, "files", "pageInfo", "endCursor")}, "project", "run", "files", "edges").([]any)
	if len(second) != 1 || pick(t, second, 0, "node", "name") != "ñ/empty" {
		t.Errorf("second page: %v", second)
	}
	missing := s.get(list, map[string]any{"n": []string{"./a b%.txt", "nothing.json"}}, "project", "run", "files", "edges").([]any)
	if len(missing) != 2 || pick(t, missing, 0, "node", "sizeBytes") != 5.0 || pick(t, missing, 1, "node", "sizeBytes") != 0.0 {
		t.Errorf("by name: %v", missing)
	}
	if found := s.get(list, map[string]any{"p": "%.html"}, "project", "run", "files", "edges").([]any); len(found) != 1 || pick(t, found, 0, "node", "mimetype") != "application/octet-stream" {
		t.Errorf("by pattern: %v", found)
	}
	url := pick(t, missing, 0, "node", "directUrl").(string)
	if status, header, text := s.ask("", http.MethodGet, url, nil, map[string]string{"Range": "bytes=1-3"}); status != 206 || text != "ell" || header.Get("Content-Disposition") != "attachment" {
		t.Errorf("got %d %q", status, text)
	}
	if status, header, text := s.ask("", http.MethodHead, url, nil, nil); status != 200 || text != "" || header.Get("Content-Length") != "5" {
		t.Errorf("head: got %d %v", status, header)
	}
	if status, _, _ := s.ask("", http.MethodGet, pick(t, missing, 1, "node", "directUrl").(string), nil, nil); status != http.StatusNotFound {
		t.Errorf("a file that is not there: got %d", status)
	}
	if ok := s.get(`mutation($f:[ID!]!){deleteFiles(input:{files:$f,projectId:1}){success}}`, map[string]any{"f": []any{pick(t, missing, 0, "node", "id")}}, "deleteFiles", "success"); ok != true {
		t.Errorf("delete: %v", ok)
	}
	if n := s.get(list, nil, "project", "run", "fileCount"); n != 2.0 {
		t.Errorf("%v files are left", n)
	}
	if status, _ := s.say("ana", `mutation{deleteFiles(input:{files:["cnVuOng="]}){success}}`, nil); status != http.StatusBadRequest {
		t.Errorf("an id that is none: got %d", status)
	}
	for _, name := range []string{"../x", "/etc/passwd", "a/../../x", "..", "", `..\x`, "a\x00b", "a\nb"} {
		if status, message := s.say("ana", create, map[string]any{"f": []string{name}}); status != http.StatusBadRequest {
			t.Errorf("%q: got %d %v", name, status, message)
		}
	}
}

func TestAddresses(t *testing.T) {
	s := newSite(t)
	s.start("r", nil)
	sp := &space{"default", s.trackers["default"]}
	c := &call{ctx: t.Context(), service: s.service, base: s.url}
	sign := func(g grant) string {
		url, err := c.uploadURL(sp, g, "x")
		if err != nil {
			t.Fatal(err)
		}
		return url
	}
	target := grant{Kind: runFileKind, Target: []string{"r", "x"}, Size: 5, MD5: "5d41402abc4b2a76b9719d911017c592"} // of hello
	put := func(url, body string, header map[string]string) int {
		status, _, _ := s.ask("", http.MethodPut, url, []byte(body), header)
		return status
	}
	good := sign(target)
	anything := sign(grant{Kind: runFileKind, Target: []string{"r", "y"}, Size: -1})
	parts := strings.Split(strings.TrimPrefix(good, s.url), "/") // "", storage, default, token, x
	payload, mac, _ := strings.Cut(parts[3], ".")
	other, _, _ := strings.Cut(strings.Split(strings.TrimPrefix(anything, s.url), "/")[3], ".")
	for _, tt := range []struct {
		name, url, body string
		header          map[string]string
		status          int
	}{
		{"too few bytes", good, "hell", nil, 400},
		{"too many bytes", good, "hello!", nil, 400},
		{"other bytes", good, "world", nil, 400},
		{"a wrong Content-MD5", anything, "hello", map[string]string{"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, 400},
		{"a signature for something else", s.url + "/storage/default/" + other + "." + mac + "/x", "hello", nil, 403},
		{"no signature", s.url + "/storage/default/" + payload + "./x", "hello", nil, 403},
		{"trash", s.url + "/storage/default/trash/x", "hello", nil, 403},
		{"another workspace", s.url + "/storage/other/" + parts[3] + "/x", "hello", nil, 403},
		{"a workspace that is not", s.url + "/storage/nowhere/" + parts[3] + "/x", "hello", nil, 403},
		{"what it is for", good, "hello", nil, 200},
	} {
		if status := put(tt.url, tt.body, tt.header); status != tt.status {
			t.Errorf("%s: got %d, want %d", tt.name, status, tt.status)
		}
	}
	if status, _, text := s.ask("", http.MethodGet, good, nil, nil); status != 403 {
		t.Errorf("reading by an address for writing: got %d %s", status, text)
	}
	if status, header, _ := s.ask("", http.MethodOptions, good, nil, nil); status != 204 || header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("preflight: got %d", status)
	}
	s.wait(48 * 3600 * 1e9)
	if status := put(good, "hello", nil); status != 403 {
		t.Errorf("an address that is over: got %d", status)
	}
	var files []solera.Entry
	_ = sp.t.Store.View(t.Context(), func(tx solera.Tx) (err error) { files, err = tx.RunFiles("r"); return err })
	if len(files) != 1 || files[0].Path != "x" || files[0].MD5 != target.MD5 {
		t.Errorf("got %v", files)
	}
}

func TestRunsLeakNothingBetweenWorkspaces(t *testing.T) {
	s := newSite(t)
	id := pick(t, s.start("secret", map[string]any{"config": `{"x":{"value":"hidden"}}`}), "bucket", "id")
	for _, who := range []string{"otto", "nemo", ""} {
		for query, variables := range map[string]map[string]any{
			`{project(name:"wine",entityName:"default"){id runs{edges{node{config}}}}}`:                                                nil,
			`{models(entityName:"default"){edges{node{name}}}}`:                                                                        nil,
			`{entity(name:"default"){name projects{edges{node{name}}}}}`:                                                               nil,
			`mutation($id:ID!){deleteRun(input:{id:$id}){success}}`:                                                                    {"id": id},
			`mutation($id:ID!){stopRun(input:{id:$id}){success}}`:                                                                      {"id": id},
			`mutation($id:ID!){updateRunState(input:{id:$id,state:"failed"}){success}}`:                                                {"id": id},
			`mutation($id:String){upsertBucket(input:{id:$id,notes:"mine"}){bucket{config}}}`:                                          {"id": id},
			`mutation{upsertBucket(input:{name:"new",entityName:"default"}){bucket{id}}}`:                                              nil,
			`mutation{upsertModel(input:{name:"new",entityName:"default"}){project{id}}}`:                                              nil,
			`mutation{createRunFiles(input:{entityName:"default",projectName:"wine",runName:"secret",files:["a"]}){files{uploadUrl}}}`: nil,
		} {
			status, got := s.say(who, query, variables)
			text := fmt.Sprint(got)
			empty := text == "map[project:<nil>]" || text == "map[entity:<nil>]"
			if !empty && (status == 200 || strings.Contains(text, "hidden")) {
				t.Errorf("%q: %s: got %d %s", who, query, status, text)
			}
		}
	}
	if status, got := s.say("vera", `mutation($id:ID!){deleteRun(input:{id:$id}){success}}`, map[string]any{"id": id}); status != 403 {
		t.Errorf("a viewer deletes: %d %v", status, got)
	}
	if status, got := s.say("vera", `{project(name:"wine",entityName:"default"){run(name:"secret"){config files(names:["x"]){edges{node{url(upload:true)}}}}}}`, nil); status != 403 {
		t.Errorf("a viewer gets an address for writing: %d %v", status, got)
	}
}

func TestRunsOfAProject(t *testing.T) {
	s := newSite(t)
	for i := range 5 {
		name := fmt.Sprintf("r%d", i)
		s.start(name, map[string]any{"display": fmt.Sprintf("Run %d", i), "config": fmt.Sprintf(`{"lr":{"value":%g},"opt":{"value":"%s"}}`, float64(i)/10, []string{"adam", "sgd"}[i%2]), "tags": []string{"t", fmt.Sprint("n", i)}})
		s.stream(name, streamOf(summaryFile, 0, fmt.Sprintf(`{"acc":%g}`, float64(i*i))), nil)
	}
	s.stream("r4", `{"complete":true,"exitcode":0}`, nil)
	find := func(filter, order string) string {
		t.Helper()
		got := s.get(`query($f:JSONString,$o:String){project(name:"wine",entityName:"default"){runCount(filters:$f) runs(filters:$f,order:$o){edges{node{name}}}}}`,
			map[string]any{"f": filter, "o": order}, "project")
		var names []string
		for _, e := range pick(t, got, "runs", "edges").([]any) {
			names = append(names, pick(t, e, "node", "name").(string))
		}
		if n := pick(t, got, "runCount"); n != float64(len(names)) {
			t.Errorf("%s: %v runs are counted, and %d found", filter, n, len(names))
		}
		return strings.Join(names, " ")
	}
	for _, tt := range []struct{ filter, order, want string }{
		{`{}`, "+created_at", "r0 r1 r2 r3 r4"},
		{`{}`, "-created_at", "r4 r3 r2 r1 r0"},
		{`{}`, "-summary_metrics.acc", "r4 r3 r2 r1 r0"},
		{`{}`, "config.lr.value", "r0 r1 r2 r3 r4"},
		{`{"config.lr":{"$gte":0.3}}`, "created_at", "r3 r4"},
		{`{"config.lr.value":{"$gte":0.3,"$lt":0.4}}`, "created_at", "r3"},
		{`{"state":"finished"}`, "created_at", "r4"},
		{`{"state":{"$ne":"finished"}}`, "created_at", "r0 r1 r2 r3"},
		{`{"$or":[{"config.opt":"sgd"},{"summary_metrics.acc":16}]}`, "created_at", "r1 r3 r4"},
		{`{"$nor":[{"config.opt":"sgd"},{"summary_metrics.acc":16}]}`, "created_at", "r0 r2"},
		{`{"$and":[{"config.opt":"sgd"},{"tags":"n3"}]}`, "created_at", "r3"},
		{`{"tags":{"$in":["n0","n1","zz"]}}`, "created_at", "r0 r1"},
		{`{"tags.n2":true}`, "created_at", "r2"},
		{`{"tags":{"$nin":["n0","n1"]}}`, "created_at", "r2 r3 r4"},
		{`{"display_name":{"$regex":"^Run [23]$"}}`, "created_at", "r2 r3"},
		{`{"display_name":{"$not":{"$regex":"[23]"}}}`, "created_at", "r0 r1 r4"},
		{`{"config.missing":{"$exists":false},"config.lr":{"$exists":true}}`, "created_at", "r0 r1 r2 r3 r4"},
		{`{"config.missing":null}`, "created_at", "r0 r1 r2 r3 r4"},
		{`{"config.lr":{"$in":[0.1,"0.2",null]}}`, "created_at", "r1"},
		{`{"name":{"$in":["r1","r2"]}}`, "created_at", "r1 r2"},
		{`{"createdAt":{"$gt":"2020-01-01T00:00:00Z"}}`, "created_at", "r0 r1 r2 r3 r4"},
		{`{"createdAt":{"$lt":1577836800}}`, "created_at", ""},
		{`{"username":"ana"}`, "created_at", "r0 r1 r2 r3 r4"},
		{`{"username":"vera"}`, "created_at", ""},
		{`{"$or":[]}`, "created_at", ""},
		{`{"$and":[]}`, "created_at", "r0 r1 r2 r3 r4"},
	} {
		if got := find(tt.filter, tt.order); got != tt.want {
			t.Errorf("%s by %s: got %s, want %s", tt.filter, tt.order, got, tt.want)
		}
	}
	var names []string
	cursor := any(nil)
	for {
		got := s.get(`query($c:String){project(name:"wine",entityName:"default"){runs(first:2,after:$c,order:"created_at"){edges{cursor node{name}} pageInfo{endCursor hasNextPage}}}}`,
			map[string]any{"c": cursor}, "project", "runs")
		for _, e := range pick(t, got, "edges").([]any) {
			names = append(names, pick(t, e, "node", "name").(string))
		}
		cursor = pick(t, got, "pageInfo", "endCursor")
		if pick(t, got, "pageInfo", "hasNextPage") != true {
			break
		}
	}
	if got := strings.Join(names, " "); got != "r0 r1 r2 r3 r4" {
		t.Errorf("by pages: %s", got)
	}
	for _, filter := range []string{
		`[]`, `{"$where":"1"}`, `{"x":1}`, `{"config":1}`, `{"state":{"$foo":1}}`, `{"$and":{}}`, `{"$not":[]}`, `{"config.a":{"$in":5}}`,
		`{"display_name":{"$regex":"("}}`, `{"config.a":{"$gt":null}}`, `{"createdAt":{"$gt":"yesterday"}}`, `{"config.a":{"$eq":[1]}}`, `{`,
		strings.Repeat(`{"$not":`, 200) + `{}` + strings.Repeat(`}`, 200),
		`{"$or":[` + strings.Repeat(`{"state":"x"},`, 3000) + `{}]}`,
	} {
		status, message := s.say("ana", `query($f:JSONString){project(name:"wine",entityName:"default"){runCount(filters:$f)}}`, map[string]any{"f": filter})
		if status != http.StatusBadRequest {
			t.Errorf("%.80s: got %d %v", filter, status, message)
		}
	}
}

func TestDeletedRuns(t *testing.T) {
	s := newSite(t)
	id := pick(t, s.start("gone", nil), "bucket", "id")
	if got := s.get(`mutation($id:ID!){deleteRun(input:{id:$id,deleteArtifacts:true}){success}}`, map[string]any{"id": id}, "deleteRun", "success"); got != true {
		t.Errorf("got %v", got)
	}
	if got := s.get(`{project(name:"wine",entityName:"default"){run(name:"gone"){id} runCount}}`, nil, "project"); pick(t, got, "run") != nil || pick(t, got, "runCount") != 0.0 {
		t.Errorf("got %v", got)
	}
	if status, text := s.stream("gone", `{}`, nil); status != 404 {
		t.Errorf("got %d %s", status, text)
	}
}

func TestAlerts(t *testing.T) {
	s := newSite(t)
	s.start("al", nil)
	s.get(`mutation{notifyScriptableRunAlert(input:{entityName:"default",projectName:"wine",runName:"al",title:"T",text:"x",severity:WARN,waitDuration:60000}){success}}`, nil, "notifyScriptableRunAlert")
	items, err := s.trackers["default"].Store.Items(t.Context(), solera.ItemQuery{Run: "al", Key: alertKey})
	if err != nil || len(items) != 1 || string(items[0].Value) != `{"level":"WARN","text":"x","title":"T"}` {
		t.Errorf("got %v, %v", items, err)
	}
	if rows := s.rows("al"); len(rows) != 0 {
		t.Errorf("an alert is a row: %v", rows)
	}
}

func TestViewerAndProjects(t *testing.T) {
	s := newSite(t)
	got := s.get(`{viewer{id username entity flags teams{edges{node{name}}}} serverInfo{cliVersionInfo features{name isEnabled}} entity(name:"made up"){organization{coreWeaveOrganizationId}}}`, nil)
	if pick(t, got, "viewer", "username") != "ana" || pick(t, got, "viewer", "entity") != "default" || pick(t, got, "entity") != nil {
		t.Errorf("got %v", got)
	}
	made := s.get(`mutation{upsertModel(input:{name:"made",entityName:"default",description:"d"}){inserted project{name description createdAt isBenchmark}}}`, nil, "upsertModel")
	if pick(t, made, "inserted") != true || pick(t, made, "project", "description") != "d" || pick(t, made, "project", "createdAt") == nil {
		t.Errorf("got %v", made)
	}
	s.start("one", nil)
	var names []string
	for _, e := range s.get(`{models(entityName:"default",first:10){edges{node{name entityName internalId}}}}`, nil, "models", "edges").([]any) {
		names = append(names, pick(t, e, "node", "name").(string))
	}
	if !slices.Equal(names, []string{"made", "wine"}) {
		t.Errorf("got %v", names)
	}
	if list := s.get(`{a:__type(name:"Run"){fields{name}} b:__type(name:"UseArtifactInput"){fields{name} inputFields{name}} c:__type(name:"Nothing"){name}}`, nil); pick(t, list, "a", "fields", 0, "name") != "projectId" || pick(t, list, "b", "fields") != nil || pick(t, list, "c") != nil {
		t.Errorf("got %v", list)
	}
	if status, _, _ := s.ask("", http.MethodPost, "/sdk/otel/v1/metrics", nil, nil); status != 404 {
		t.Errorf("telemetry: got %d", status)
	}
}

// A request as large as the client's own check sends.
func TestLargeVariables(t *testing.T) {
	s := newSite(t)
	status, _ := s.say("ana", `query($d:String){project(name:"none",entityName:"default"){run(name:"x",desc:$d){name}}}`, map[string]any{"d": strings.Repeat("x", 10<<20)})
	if status != 200 {
		t.Errorf("got %d", status)
	}
}

func FuzzStream(f *testing.F) {
	f.Add(streamOf(historyFile, 3, `{"_step":3,"a":{"b":1,"c":NaN},"t":"x","l":[1,{"_type":"y"}]}`, `{"_timestamp":-Infinity}`))
	f.Add(`{"files":{"output.log":{"offset":0,"content":"a line"},"wandb-events.jsonl":null},"uploaded":["a"],"complete":true,"exitcode":-1,"preempting":false,"x":[{}]}`)
	f.Add(`{"files":{"wandb-summary.json":{"offset":1e3,"content":["\ud83d\ude00\u0000\ud83d"]}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		q, err := parseStream(body)
		if err != nil {
			return
		}
		for name, b := range q.files {
			for i, line := range b.lines {
				var h rows
				if err := h.history(line, b.offset+int64(i), false); err == nil {
					batch := solera.Batch{Run: "r", Points: h.points, Items: h.items, Source: historySource, From: b.offset, Count: 1}
					if err := batch.Check(); err != nil {
						t.Errorf("%s: %q: %v", name, line, err)
					}
				}
				_, _ = h.event(line)
				if l := consoleLine(1, line); strings.ContainsAny(l.Text, "\x00") {
					t.Errorf("%q: %q", line, l.Text)
				}
				if v, err := decode([]byte(line)); err == nil {
					if !json.Valid(encodeJSON(v)) {
						t.Errorf("%q: no JSON", line)
					}
					again, err := decode([]byte(lenientJSON(v)))
					if err != nil || lenientJSON(again) != lenientJSON(v) {
						t.Errorf("%q: does not survive: %v", line, err)
					}
				}
			}
		}
	})
}

func FuzzFilter(f *testing.F) {
	f.Add(`{"$and":[{"config.lr":{"$lt":0.1,"$not":{"$in":[1,"a",null,true]}}},{"state":{"$ne":"finished"}}]}`)
	f.Add(`{"$nor":[{"tags.x":false},{"display_name":{"$regex":"^a.*b$"}}],"createdAt":{"$gt":"2026-01-01"},"keys_info.keys.loss":{"$exists":1}}`)
	f.Fuzz(func(t *testing.T, text string) {
		v, err := decode([]byte(text))
		m, ok := v.(map[string]any)
		if err != nil || !ok {
			return
		}
		c := filter{texts: func(string) ([]string, error) { return []string{"ab", "axb", "c"}, nil }}
		e, err := c.condition(m)
		if err != nil {
			return
		}
		if err := e.Check(); err != nil && len(text) < 1000 {
			t.Errorf("%s: %v: %v", text, e, err)
		}
	})
}

// benchmarkBody is what a client sends of a run of 20 metrics.
func benchmarkBody(rows int, from int) string {
	var lines []string
	for i := range rows {
		var b strings.Builder
		fmt.Fprintf(&b, `{"_step":%d,"_timestamp":1.796e9,"_runtime":%d.25`, from+i, i)
		for k := range 20 {
			fmt.Fprintf(&b, `,"train/metric_%d":%g`, k, float64(i*k)/7)
		}
		b.WriteByte('}')
		lines = append(lines, b.String())
	}
	return streamOf(historyFile, from, lines...)
}

// BenchmarkLines measures reading a request of 1,000 rows of 20 metrics,
// BenchmarkReport what the store does with them, and BenchmarkStream all of it,
// from the client to the disk and back.
func BenchmarkLines(b *testing.B) {
	body := benchmarkBody(1000, 0)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		q, err := parseStream(body)
		if err != nil {
			b.Fatal(err)
		}
		var h rows
		for i, line := range q.files[historyFile].lines {
			if err := h.history(line, int64(i), false); err != nil {
				b.Fatal(err)
			}
		}
		if len(h.points) != 21_000 {
			b.Fatal(len(h.points))
		}
	}
}

func BenchmarkStream(b *testing.B) {
	s := newSite(b)
	s.start("fast", nil)
	n := 0
	for b.Loop() {
		b.StopTimer()
		body := benchmarkBody(1000, n)
		n += 1000
		b.StartTimer()
		if status, text := s.stream("fast", body, nil); status != 200 {
			b.Fatal(status, text)
		}
	}
}

func BenchmarkReport(b *testing.B) {
	s := newSite(b)
	s.start("fast", nil)
	n := int64(0)
	for b.Loop() {
		b.StopTimer()
		var h rows
		q, err := parseStream(benchmarkBody(1000, int(n)))
		if err != nil {
			b.Fatal(err)
		}
		for i, line := range q.files[historyFile].lines {
			if err := h.history(line, n+int64(i), false); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		batch := solera.Batch{Run: "fast", Points: h.points, Items: h.items, Source: historySource, From: n, Count: 1000, Beat: true}
		if _, err := s.trackers["default"].Store.Report(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
		n += 1000
	}
}
