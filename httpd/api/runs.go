package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

func (s *service) projectRoutes() {
	add(s, route{method: http.MethodGet, path: "/projects", id: "list-projects", summary: "List the projects", tag: "projects", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, _ *InWorkspace) (*answer[[]Project], error) {
			found, err := t.Overview(ctx)
			projects := []Project{}
			for _, p := range found {
				projects = append(projects, Project(p))
			}
			return answered(projects, err)
		})
}

// InRun is what an operation of a run is told.
type InRun struct {
	InWorkspace
	ID string `path:"id" maxLength:"128" doc:"ID of the run"`
}

func (s *service) runRoutes() {
	add(s, route{method: http.MethodPost, path: "/runs/query", id: "query-runs", summary: "Find, sort and page runs", tag: "runs", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InWorkspace
			Body RunsRequest
		},
		) (*answer[RunsPage], error) {
			return answered(queryRuns(ctx, t, in.Body, "body."))
		})
	add(s, route{method: http.MethodGet, path: "/runs", id: "list-runs", summary: "Find, sort and page runs, by query parameters", tag: "runs", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InWorkspace
			Project string   `query:"project" maxLength:"128"`
			Where   string   `query:"where" maxLength:"65536"`
			Sort    []string `query:"sort" maxItems:"10"`
			Limit   int      `query:"limit" minimum:"0" maximum:"1000"`
			Offset  int      `query:"offset" minimum:"0" maximum:"1000000000"`
			Columns []string `query:"columns" maxItems:"500"`
			Deleted bool     `query:"deleted"`
		},
		) (*answer[RunsPage], error) {
			return answered(queryRuns(ctx, t, RunsRequest{in.Project, in.Where, in.Sort, in.Limit, in.Offset, in.Columns, in.Deleted}, "query."))
		})
	add(s, route{method: http.MethodGet, path: "/runs/columns", id: "list-columns", summary: "List the fields that runs have", tag: "runs", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InWorkspace
			Project string `query:"project" maxLength:"128"`
		},
		) (*answer[[]Column], error) {
			return answered(s.columns(ctx, t, in.Project))
		})
	add(s, route{method: http.MethodPost, path: "/runs/groups", id: "group-runs", summary: "Put runs together by the values of fields", tag: "runs", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InWorkspace
			Body GroupsRequest
		},
		) (*answer[[]Group], error) {
			return answered(groupRuns(ctx, t, in.Body))
		})
	add(s, route{method: http.MethodGet, path: "/runs/{id}", id: "get-run", summary: "Everything about a run", tag: "runs", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *InRun) (*answer[RunDetail], error) {
			return answered(runDetail(ctx, t, solera.RunID(in.ID)))
		})
	add(s, route{method: http.MethodPatch, path: "/runs/{id}", id: "change-run", summary: "Change what is said about a run", tag: "runs", role: auth.Editor},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InRun
			Body RunChange
		},
		) (*answer[RunDetail], error) {
			if _, err := t.AmendRun(ctx, solera.RunID(in.ID), tracking.RunAmendment(in.Body)); err != nil {
				return nil, err
			}
			return answered(runDetail(ctx, t, solera.RunID(in.ID)))
		})
	add(s, route{method: http.MethodPost, path: "/runs/{id}/stop", id: "stop-run", summary: "Ask a run to stop; its process ends it soon", tag: "runs", role: auth.Editor},
		func(ctx context.Context, t *tracking.Tracker, in *InRun) (*answer[RunDetail], error) {
			if err := exact(ctx, t, in.ID); err != nil {
				return nil, err
			}
			if _, err := t.StopRun(ctx, in.ID); err != nil {
				return nil, err
			}
			return answered(runDetail(ctx, t, solera.RunID(in.ID)))
		})
	add(s, route{method: http.MethodDelete, path: "/runs/{id}", id: "delete-run", summary: "Delete a run; it can be restored until gc removes it", tag: "runs", role: auth.Editor},
		func(ctx context.Context, t *tracking.Tracker, in *InRun) (*none, error) {
			if err := exact(ctx, t, in.ID); err != nil {
				return nil, err
			}
			_, err := t.DeleteRun(ctx, in.ID)
			return &none{}, err
		})
	add(s, route{method: http.MethodPost, path: "/runs/{id}/restore", id: "restore-run", summary: "Take the deletion of a run back", tag: "runs", role: auth.Editor},
		func(ctx context.Context, t *tracking.Tracker, in *InRun) (*answer[RunDetail], error) {
			if err := exact(ctx, t, in.ID); err != nil {
				return nil, err
			}
			if _, err := t.RestoreRun(ctx, in.ID); err != nil {
				return nil, err
			}
			return answered(runDetail(ctx, t, solera.RunID(in.ID)))
		})
	add(s, route{method: http.MethodGet, path: "/runs/{id}/console", id: "read-console", summary: "What a run printed", tag: "runs", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InRun
			After int64 `query:"after" minimum:"0" doc:"only lines with a larger number"`
			Limit int   `query:"limit" minimum:"0" maximum:"10000" doc:"0 for 1000"`
		},
		) (*answer[Console], error) {
			recorder, err := recorderOf(ctx, t, in.ID)
			if err != nil {
				return nil, err
			}
			limit := in.Limit
			if limit == 0 {
				limit = 1000
			}
			lines, err := t.Console(ctx, recorder, in.After, limit)
			console := Console{Lines: list(lines), Next: in.After}
			if n := len(lines); n > 0 {
				console.Next = lines[n-1].N
			}
			return answered(console, err)
		})
}

// exact reports ErrNotFound unless there is a run of that very ID: the rules
// take beginnings and names of experiments too, which have no place in a URL.
func exact(ctx context.Context, t *tracking.Tracker, id string) error {
	_, err := runOf(ctx, t, id)
	return err
}

func runOf(ctx context.Context, t *tracking.Tracker, id string) (solera.Run, error) {
	if solera.RunID(id).Check() != nil {
		return solera.Run{}, fmt.Errorf("run %.80q: %w", id, solera.ErrNotFound)
	}
	return t.Run(ctx, solera.RunID(id))
}

// recorderOf returns the run that has the points and the console of a run.
func recorderOf(ctx context.Context, t *tracking.Tracker, id string) (solera.RunID, error) {
	run, err := runOf(ctx, t, id)
	return tracking.RunDetail{Run: run}.Recorder(), err
}

// chosen reads what chooses runs. at is where in the request it stands.
func chosen(project, where, at string) (solera.RunQuery, error) {
	q := solera.RunQuery{Project: project}
	if project != "" {
		if err := solera.CheckName(project); err != nil {
			return q, wrong(at+"project", project, err)
		}
	}
	var err error
	if q.Where, err = solera.ParseExpr(where); err != nil {
		return q, wrong(at+"where", where, err)
	}
	return q, nil
}

func queryRuns(ctx context.Context, t *tracking.Tracker, r RunsRequest, at string) (RunsPage, error) {
	q, err := chosen(r.Project, r.Where, at)
	if err != nil {
		return RunsPage{}, err
	}
	q.Deleted, q.Offset, q.Limit = r.Deleted, r.Offset, r.Limit
	if q.Limit == 0 {
		q.Limit = 100
	}
	for i, key := range r.Sort {
		field, falling := strings.CutPrefix(key, "-")
		if err := solera.CheckField(field); err != nil {
			return RunsPage{}, wrong(fmt.Sprintf("%ssort[%d]", at, i), key, err)
		}
		q.Order = append(q.Order, solera.RunOrder{Field: field, Descending: falling})
	}
	for i, name := range r.Columns {
		if err := solera.CheckField(name); err != nil {
			return RunsPage{}, wrong(fmt.Sprintf("%scolumns[%d]", at, i), name, err)
		}
	}
	runs, total, err := t.Search(ctx, q, q.Project == "")
	page := RunsPage{Runs: []RunRow{}, Total: total}
	for _, run := range runs {
		page.Runs = append(page.Runs, rowOf(run, r.Columns))
	}
	return page, err
}

// rowOf returns a run as lists have it. Without columns it has all params and
// the whole summary.
func rowOf(r solera.Run, columns []string) RunRow {
	row := RunRow{
		ID: string(r.ID), Name: r.Name, Project: r.Project, Stage: r.Stage, Experiment: r.Experiment, Group: r.Group, Sweep: r.Sweep, State: r.State,
		Tags: list(r.Tags), Created: r.Created, Started: r.Started, Finished: r.Finished, Host: r.Host, Error: r.Error, Deleted: r.Deleted,
		Stopping: r.Stopping,
	}
	if r.Started != 0 {
		// Of one under way as far as is known: until it last gave a sign of life.
		end := r.Finished
		if end == 0 {
			end = max(r.Heartbeat, r.Started)
		}
		seconds := float64(end-r.Started) / 1e6
		row.Duration = &seconds
	}
	if len(columns) > 0 {
		row.Values = tracking.Values(r, columns)
		return row
	}
	row.Values = solera.Fields{}
	for key, v := range r.Params.Flat() {
		row.Values["params."+key] = v
	}
	for key, v := range r.Summary.Flat() {
		row.Values["summary."+key] = v
	}
	return row
}

func groupRuns(ctx context.Context, t *tracking.Tracker, r GroupsRequest) ([]Group, error) {
	q, err := chosen(r.Project, r.Where, "body.")
	if err != nil {
		return nil, err
	}
	found, err := t.Groups(ctx, q, r.By, r.Metrics)
	if err != nil {
		return nil, err
	}
	limit := r.Limit
	if limit == 0 {
		limit = 100
	}
	groups := []Group{}
	for _, g := range found[:min(limit, len(found))] {
		group := Group{By: g.By, Runs: g.Runs, IDs: []string{}, Metrics: map[string]Average{}}
		for _, id := range g.IDs {
			group.IDs = append(group.IDs, string(id))
		}
		for name, a := range g.Metrics {
			group.Metrics[name] = Average{
				N: a.N, Mean: Number(a.Mean), SD: finite(a.SD), Low: finite(a.Low), High: finite(a.High), Min: Number(a.Min), Max: Number(a.Max),
			}
		}
		groups = append(groups, group)
	}
	return groups, nil
}

// finite returns nil for what is no number that JSON has.
func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

func runDetail(ctx context.Context, t *tracking.Tracker, id solera.RunID) (RunDetail, error) {
	found, err := t.DetailOf(ctx, id)
	if err != nil {
		return RunDetail{}, err
	}
	d := RunDetail{Run: found.Run, Metrics: list(found.Metrics), Files: list(found.Files), Used: []VersionName{}, Made: []VersionName{}}
	d.Tags = list(d.Tags)
	for _, v := range found.Used {
		d.Used = append(d.Used, versionName(v, solera.Used))
	}
	for _, v := range found.Made {
		kind := solera.Made
		if v.Run != d.ID {
			kind = solera.Same
		}
		d.Made = append(d.Made, versionName(v, kind))
	}
	switch model, err := trained(ctx, t, string(id)); {
	case err == nil:
		d.Model = model.ID().String()
	case !errors.Is(err, solera.ErrNotFound):
		return RunDetail{}, err
	}
	return d, nil
}

func versionName(v solera.Version, kind solera.EdgeKind) VersionName {
	return VersionName{Name: v.Name(), Project: v.Project, Type: v.Type, Digest: v.Digest, Kind: kind}
}
