package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/httpd/api"
	"github.com/solera-ml/solera/sweep"
)

func TestSweeps(t *testing.T) {
	h := newHouse(t)
	ctx := t.Context()
	all := &sweep.Sweeps{Store: h.tracker.Store}
	made, _, err := all.Create(ctx, sweep.Draft{Project: "wine", Text: "method: grid # and so on", Config: solera.Fields{
		"method": "grid", "name": "widths", "run_cap": 5, "metric": map[string]any{"name": "val.accuracy", "goal": "maximize"},
		"parameters": map[string]any{
			"net": map[string]any{"parameters": map[string]any{"units": map[string]any{"values": []any{16, 32}}}},
			"lr":  map[string]any{"value": 0.1}, "n": map[string]any{"min": 1, "max": 3},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	agent, err := all.Join(ctx, made.ID, "lab")
	if err != nil {
		t.Fatal(err)
	}
	commands, err := all.Beat(ctx, agent.ID, nil)
	if err != nil || len(commands) != 1 {
		t.Fatal(commands, err)
	}
	err = h.tracker.Store.Update(ctx, func(tx solera.Tx) error {
		run, err := tx.Run(commands[0].Run)
		if err != nil {
			return err
		}
		run.State, run.Finished, run.Summary = solera.Finished, 9, solera.Fields{"val": map[string]any{"accuracy": 0.875}}
		return tx.UpdateRun(run)
	})
	if err != nil {
		t.Fatal(err)
	}

	list := ask[[]api.Sweep](h, http.MethodGet, ws+"/sweeps?project=wine", nil)
	if len(list) != 1 || list[0].Name != "widths" || list[0].State != sweep.Running || list[0].Expected != 5 || !list[0].Maximize || list[0].Best == nil || list[0].Best.Value != 0.875 {
		t.Errorf("list: %+v", list)
	}
	if other := ask[[]api.Sweep](h, http.MethodGet, ws+"/sweeps?project=beer", nil); len(other) != 0 {
		t.Errorf("another project has %+v", other)
	}
	one := ask[api.SweepDetail](h, http.MethodGet, ws+"/sweeps/"+made.ID, nil)
	if len(one.TrialList) != 1 || one.Text != "method: grid # and so on" || len(one.Agents) != 1 || one.Agents[0].Host != "lab" {
		t.Fatalf("detail: %+v", one)
	}
	trial := one.TrialList[0]
	if units, _ := trial.Params.Float("net.units"); units != 16 || trial.Value == nil || *trial.Value != 0.875 || trial.State != solera.Finished || trial.Source != sweep.Suggested {
		t.Errorf("trial: %+v", trial)
	}
	if p := one.Parameters; len(p) != 3 || p[2].Name != "net.units" || p[1].Kind != "int_uniform" || *p[1].Max != 3 {
		t.Errorf("parameters: %+v", p)
	}

	paused := ask[api.SweepDetail](h, http.MethodPatch, ws+"/sweeps/"+made.ID, map[string]any{"state": "PAUSED", "name": "breadths"})
	if paused.State != sweep.Paused || paused.Name != "breadths" {
		t.Errorf("paused: %+v", paused.Sweep)
	}
	for _, tt := range []struct {
		method, path string
		body         any
		status       int
		want         string
	}{
		{"GET", "/sweeps/none", nil, 404, "not found"},
		{"GET", "/sweeps", nil, 422, "project"},
		{"PATCH", "/sweeps/none", map[string]any{"state": "PAUSED"}, 404, "not found"},
		{"PATCH", "/sweeps/" + made.ID, map[string]any{"state": "ASLEEP"}, 422, "RUNNING"},
		{"PATCH", "/sweeps/" + made.ID, map[string]any{"state": 3}, 422, "string"},
		{"PATCH", "/sweeps/" + made.ID, map[string]any{"name": strings.Repeat("x", 300)}, 422, "256"},
		{"DELETE", "/sweeps/none", nil, 404, "not found"},
	} {
		if status, _, content := h.send(tt.method, ws+tt.path, tt.body); status != tt.status || !strings.Contains(string(content), tt.want) {
			t.Errorf("%s %s %v: %d %s, want %d and %q", tt.method, tt.path, tt.body, status, content, tt.status, tt.want)
		}
	}
	ask[api.SweepDetail](h, http.MethodPatch, ws+"/sweeps/"+made.ID, map[string]any{"state": "CANCELED"})
	if status, _, content := h.send(http.MethodPatch, ws+"/sweeps/"+made.ID, map[string]any{"state": "RUNNING"}); status != 409 || !strings.Contains(string(content), "CANCELED for good") {
		t.Errorf("resumed after its end: %d %s", status, content)
	}
	if status, _, content := h.send(http.MethodDelete, ws+"/sweeps/"+made.ID, nil); status != 204 {
		t.Errorf("deleted: %d %s", status, content)
	}
	if list := ask[[]api.Sweep](h, http.MethodGet, ws+"/sweeps?project=wine", nil); len(list) != 0 {
		t.Errorf("after deleting: %+v", list)
	}
}
