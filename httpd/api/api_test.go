package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/httpd/api"
	"github.com/solera-ml/solera/live"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/tracking"
)

// A house is a store with the API before it. The header Role says who asks.
type house struct {
	t       testing.TB
	url     string
	tracker *tracking.Tracker // of the project wine
	client  *http.Client
}

func newHouse(t testing.TB, options ...func(*api.Options)) *house {
	t.Helper()
	dir := t.TempDir()
	db, err := store.OpenSQLite(context.Background(), filepath.Join(dir, "solera.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	blobs, err := blob.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	bell := &live.Bell{}
	tr := &tracking.Tracker{Store: bell.Store(db), Blobs: blobs, Project: "wine"}
	o := api.Options{
		Workspace: func(name string) (*tracking.Tracker, error) {
			if name != "default" {
				return nil, fmt.Errorf("workspace %s: %w", name, solera.ErrNotFound)
			}
			return tr, nil
		},
		Bell: func(string) *live.Bell { return bell }, Version: "test",
	}
	for _, change := range options {
		change(&o)
	}
	who := principals(t, db)
	mux := http.NewServeMux()
	api.Register(mux, o)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := solera.WithActor(auth.WithPrincipal(r.Context(), who[r.Header.Get("Role")]), "ana")
		mux.ServeHTTP(w, r.WithContext(ctx))
	}))
	t.Cleanup(server.Close)
	return &house{t: t, url: server.URL + api.Root, tracker: tr, client: server.Client()}
}

// principals returns one of each role.
func principals(t testing.TB, s solera.Store) map[string]auth.Principal {
	t.Helper()
	ctx := context.Background()
	accounts := auth.New(s, auth.Options{})
	if _, err := accounts.First(ctx); err != nil {
		t.Fatal(err)
	}
	users, err := accounts.Users(ctx)
	if err != nil {
		t.Fatal(err)
	}
	who := map[string]auth.Principal{"admin": auth.Anyone()}
	for role, scope := range map[string]auth.Scope{"viewer": auth.Read, "editor": auth.Write} {
		secret, _, err := accounts.AddKey(ctx, auth.Key{User: users[0].Name, Name: role, Scope: scope})
		if err != nil {
			t.Fatal(err)
		}
		if who[role], err = accounts.ByKey(ctx, secret); err != nil {
			t.Fatal(err)
		}
	}
	return who
}

// send asks as an admin. body is sent as it is if it is a string or bytes.
func (h *house) send(method, path string, body any) (status int, header http.Header, content []byte) {
	h.t.Helper()
	return h.sendAs("admin", method, path, body)
}

func (h *house) sendAs(role, method, path string, body any) (int, http.Header, []byte) {
	h.t.Helper()
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	default:
		raw, err := json.Marshal(body)
		if err != nil {
			h.t.Fatal(err)
		}
		reader = bytes.NewReader(raw)
	}
	r, err := http.NewRequest(method, h.url+path, reader)
	if err != nil {
		h.t.Fatal(err)
	}
	if role != "" {
		r.Header.Set("Role", role)
	}
	if reader != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := h.client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, content
}

// ask asks for JSON and expects to get it.
func ask[T any](h *house, method, path string, body any) T {
	h.t.Helper()
	status, _, content := h.send(method, path, body)
	var v T
	if status != http.StatusOK {
		h.t.Fatalf("%s %s: %d %s", method, path, status, content)
	}
	if err := json.Unmarshal(content, &v); err != nil {
		h.t.Fatalf("%s %s: %v in %s", method, path, err, content)
	}
	return v
}

const ws = "/workspaces/default"

// fill makes five runs of training on one data set.
func (h *house) fill() (runs []solera.RunID) {
	h.t.Helper()
	ctx := solera.WithActor(context.Background(), "ana@laptop")
	fatal := func(err error) {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	load, err := h.tracker.Start(ctx, tracking.RunSpec{Stage: "load"})
	fatal(err)
	raw, _, err := load.Commit(ctx, tracking.Draft{Artifact: "wine-raw", Type: "dataset", Files: map[string]tracking.Source{
		"data/raw.csv": tracking.Bytes([]byte("a,b\n1,2\n")),
	}})
	fatal(err)
	fatal(load.Finish(ctx, nil, nil))
	runs = append(runs, load.ID())
	for i := range 4 {
		optimizer := []string{"adam", "sgd"}[i%2]
		run, err := h.tracker.Start(ctx, tracking.RunSpec{
			Stage: "train", Experiment: fmt.Sprintf("exp%03d", i), Tags: []string{"x"},
			Params: solera.Fields{"optimizer": optimizer, "learning_rate": 0.1 * float64(i+1), "nested": solera.Fields{"deep": i == 1}},
		})
		fatal(err)
		_, err = run.Use(ctx, raw.ID().String())
		fatal(err)
		for step := range 10 {
			v := float64(step) / float64(i+1)
			switch {
			case i == 1 && step == 3:
				v = math.NaN()
			case i == 1 && step == 4:
				v = math.Inf(1)
			}
			fatal(run.Record(int64(step), map[string]float64{"val/loss": v, "train/loss": 1}))
		}
		run.Print(tracking.Out, "one\ntwo")
		if i == 0 {
			_, _, err = run.Commit(ctx, tracking.Draft{Artifact: "wine-model", Type: "model", Files: map[string]tracking.Source{
				"report.json": tracking.Bytes([]byte(`{"test":{"n":0}}`)), "model.json": tracking.Bytes([]byte(`{"x": 1}`)), "page.html": tracking.Bytes([]byte("<script>alert(1)</script>")),
			}})
			fatal(err)
		}
		fatal(run.Finish(ctx, nil, solera.Fields{"val": solera.Fields{"accuracy": 0.9 + float64(i)/100}}))
		runs = append(runs, run.ID())
	}
	return runs
}

func TestRunsAreFoundSortedAndPaged(t *testing.T) {
	h := newHouse(t)
	runs := h.fill()
	page := ask[api.RunsPage](h, "POST", ws+"/runs/query", api.RunsRequest{
		Project: "wine", Where: `params.optimizer = "adam" and summary.val.accuracy > 0.5`, Sort: []string{"-summary.val.accuracy"},
		Columns: []string{"params.learning_rate", "summary.val.accuracy", "experiment", "params.absent"}, Limit: 1,
	})
	if page.Total != 2 || len(page.Runs) != 1 || page.Runs[0].ID != string(runs[3]) || page.Runs[0].Values["summary.val.accuracy"] == nil || len(page.Runs[0].Values) != 3 {
		t.Errorf("got %+v", page)
	}
	all := ask[api.RunsPage](h, "GET", ws+"/runs?project=wine&where=stage+%3D+%22train%22&limit=2&offset=1&sort=created", nil)
	if all.Total != 4 || len(all.Runs) != 2 || all.Runs[0].ID != string(runs[2]) || all.Runs[0].Values["params.nested.deep"] != true || all.Runs[0].Duration == nil {
		t.Errorf("got %+v", all)
	}
	projects := ask[[]api.Project](h, "GET", ws+"/projects", nil)
	if len(projects) != 1 || projects[0].Runs != 5 || projects[0].Artifacts != 2 || projects[0].Updated == 0 {
		t.Errorf("got projects %+v", projects)
	}
}

func TestColumnsAndGroups(t *testing.T) {
	h := newHouse(t)
	h.fill()
	columns := map[string]api.Column{}
	for _, c := range ask[[]api.Column](h, "GET", ws+"/runs/columns?project=wine", nil) {
		columns[c.Name] = c
	}
	if c := columns["params.optimizer"]; c.Kind != "text" || c.Runs != 4 || len(c.Some) != 2 {
		t.Errorf("params.optimizer: %+v", c)
	}
	if columns["params.nested.deep"].Kind != "bool" || columns["summary.val.accuracy"].Kind != "number" {
		t.Errorf("got %+v", columns)
	}
	groups := ask[[]api.Group](h, "POST", ws+"/runs/groups", api.GroupsRequest{By: []string{"params.optimizer"}, Metrics: []string{"summary.val.accuracy"}, Where: `stage = "train"`})
	if len(groups) != 2 || groups[0].Runs != 2 || len(groups[0].IDs) != 2 {
		t.Fatalf("got %+v", groups)
	}
	for _, g := range groups {
		a := g.Metrics["summary.val.accuracy"]
		if a.N != 2 || a.SD == nil || math.Abs(*a.SD-0.0141421356) > 1e-8 || a.Low == nil || math.Abs(float64(a.Mean)-*a.Low-12.7062047*0.01) > 1e-6 {
			t.Errorf("%v: %+v", g.By, a)
		}
	}
}

func TestOneRun(t *testing.T) {
	h := newHouse(t)
	runs := h.fill()
	at := ws + "/runs/" + string(runs[1])
	d := ask[api.RunDetail](h, "GET", at, nil)
	if len(d.Metrics) != 2 || len(d.Used) != 1 || d.Used[0].Name != "wine-raw:v0" || len(d.Made) != 1 || d.Model != "wine/wine-model:v0" || d.Files == nil {
		t.Errorf("got %+v", d)
	}
	d = ask[api.RunDetail](h, "PATCH", at, `{"name":"best","tags":["b","a","a"],"notes":"why"}`)
	if d.Name != "best" || fmt.Sprint(d.Tags) != "[a b]" || d.Notes != "why" {
		t.Errorf("got %+v", d.Run)
	}
	if d = ask[api.RunDetail](h, "PATCH", at, `{"notes":""}`); d.Name != "best" || d.Notes != "" || len(d.Tags) != 2 {
		t.Errorf("a change of the notes changed more: %+v", d.Run)
	}
	console := ask[api.Console](h, "GET", at+"/console?limit=1", nil)
	if len(console.Lines) != 1 || console.Lines[0].Text != "one" || console.Next != 1 {
		t.Errorf("got %+v", console)
	}
	if console = ask[api.Console](h, "GET", at+"/console?after=1", nil); len(console.Lines) != 1 || console.Next != 2 {
		t.Errorf("got %+v", console)
	}
	if status, _, body := h.send("DELETE", at, nil); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, body)
	}
	if page := ask[api.RunsPage](h, "GET", ws+"/runs", nil); page.Total != 4 {
		t.Errorf("%d runs after one was deleted", page.Total)
	}
	if d = ask[api.RunDetail](h, "POST", at+"/restore", nil); d.Deleted != 0 {
		t.Errorf("restored run: %+v", d.Run)
	}
}

func TestSeriesKeepWhatJSONLacks(t *testing.T) {
	h := newHouse(t)
	runs := h.fill()
	_, _, raw := h.send("POST", ws+"/series", api.SeriesRequest{Series: []api.SeriesID{{Run: string(runs[2]), Key: "val/loss"}, {Run: string(runs[1]), Key: "absent"}}})
	if !strings.Contains(string(raw), `null,"Infinity"`) {
		t.Errorf("got %s", raw)
	}
	var series []api.Series
	if err := json.Unmarshal(raw, &series); err != nil {
		t.Fatal(err)
	}
	if len(series) != 2 || len(series[0].Steps) != 10 || len(series[0].Times) != 10 || !series[0].Whole || series[0].Cursor != 20 || series[1].Steps == nil || len(series[1].Steps) != 0 {
		t.Errorf("got %+v", series)
	}
	// What writes itself fast is what encoding/json would write.
	if want, err := json.Marshal([]api.Series(series)); err != nil || string(want)+"\n" != string(raw) {
		t.Errorf("got %s\nwant %s", raw, want)
	}
	from, to := int64(2), int64(5)
	part := ask[[]api.Series](h, "POST", ws+"/series", api.SeriesRequest{Series: []api.SeriesID{{Run: string(runs[1]), Key: "val/loss"}}, From: &from, To: &to, Pixels: 1})
	if fmt.Sprint(part[0].Steps) != "[2 3 4 5]" {
		t.Errorf("got %+v", part)
	}
}

func TestWholeIsSaidOfWhatIsWhole(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	run, err := h.tracker.Start(ctx, tracking.RunSpec{Stage: "train"})
	if err != nil {
		t.Fatal(err)
	}
	for step := range 1000 {
		m := map[string]float64{"long": float64(step)}
		if step < 50 {
			m["short"] = float64(step)
		}
		if err := run.Record(int64(step), m); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.Finish(ctx, nil, nil); err != nil {
		t.Fatal(err)
	}
	got := ask[[]api.Series](h, "POST", ws+"/series", api.SeriesRequest{Pixels: 50, Series: []api.SeriesID{{string(run.ID()), "long"}, {string(run.ID()), "short"}}})
	if got[0].Whole || len(got[0].Steps) > 200 || !got[1].Whole || len(got[1].Steps) != 50 {
		t.Errorf("long: whole %v, %d points; short: whole %v, %d points", got[0].Whole, len(got[0].Steps), got[1].Whole, len(got[1].Steps))
	}
}

func TestArtifacts(t *testing.T) {
	h := newHouse(t)
	runs := h.fill()
	rows := ask[[]api.ArtifactRow](h, "GET", ws+"/artifacts?project=wine", nil)
	if len(rows) != 2 || rows[1].Name != "wine-raw" || rows[1].Versions != 1 || rows[1].Version.UsedBy != 4 || rows[1].Size != 8 || rows[1].Version.Signed != "unsigned" {
		t.Errorf("got %+v", rows)
	}
	at := ws + "/artifacts/wine/wine-raw"
	if d := ask[api.ArtifactDetail](h, "GET", at, nil); len(d.Versions) != 1 || d.Versions[0].Number != 0 {
		t.Errorf("got %+v", d)
	}
	v := ask[api.VersionDetail](h, "GET", at+"/latest", nil)
	if len(v.Files) != 1 || len(v.UsedBy) != 4 || v.Run != runs[0] || v.Tags == nil {
		t.Errorf("got %+v", v)
	}
	v = ask[api.VersionDetail](h, "PATCH", at+"/v0", `{"tags":["good"],"description":"d","expires":"2030-01-01T00:00:00Z"}`)
	if v.Description != "d" || len(v.Tags) != 1 || v.Expires == 0 {
		t.Errorf("got %+v", v)
	}
	if v = ask[api.VersionDetail](h, "PATCH", at+"/v0", `{"description":"e"}`); v.Expires == 0 || len(v.Tags) != 1 {
		t.Errorf("a change of the description changed more: %+v", v)
	}
	if v = ask[api.VersionDetail](h, "PATCH", at+"/v0", `{"expires":null}`); v.Expires != 0 {
		t.Errorf("it still expires: %+v", v)
	}
	for _, step := range []struct {
		method, path string
		status       int
	}{
		{"PUT", at + "/v0/aliases/champion", 204},
		{"PUT", at + "/v0/aliases/v7", 400},
		{"GET", at + "/champion", 200},
		{"DELETE", at + "/v0", 409},
		{"DELETE", at + "/v0/aliases/champion", 204},
		{"DELETE", at + "/v0/aliases/champion", 404},
		{"DELETE", at + "/v0?force=true", 204},
		{"GET", at + "/latest", 404},
		{"POST", at + "/v0/restore", 200},
	} {
		if status, _, body := h.send(step.method, step.path, nil); status != step.status {
			t.Errorf("%s %s: %d %s, want %d", step.method, step.path, status, body, step.status)
		}
	}
}

func TestDownloadsCannotRun(t *testing.T) {
	h := newHouse(t)
	h.fill()
	at := ws + "/artifacts/wine/wine-model/v0/files/"
	status, header, content := h.send("GET", at+"page.html", nil)
	if status != 200 || string(content) != "<script>alert(1)</script>" {
		t.Fatalf("%d %s", status, content)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/octet-stream", "X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment; filename=page.html",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(header.Get("Content-Security-Policy"), "sandbox") || header.Get("ETag") != `"`+solera.DigestOf(content).String()+`"` {
		t.Errorf("got %v", header)
	}
	r, _ := http.NewRequest("GET", h.url+at+"page.html", nil)
	r.Header.Set("Role", "viewer")
	r.Header.Set("Range", "bytes=1-6")
	answer, err := h.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if part, _ := io.ReadAll(answer.Body); answer.StatusCode != 206 || string(part) != "script" {
		t.Errorf("%d %s", answer.StatusCode, part)
	}
}
