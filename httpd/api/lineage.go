package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

// Lineage is where a version comes from, and what was made from it.
type Lineage struct {
	Root  string        `json:"root"` // ID of the node that was asked for
	Nodes []LineageNode `json:"nodes"`
	Edges []LineageEdge `json:"edges"`
}

// A LineageNode is a run or a version. What only the other has is empty.
type LineageNode struct {
	ID      string        `json:"id"`
	Kind    string        `json:"kind" enum:"run,version"`
	Name    string        `json:"name"` // for people
	Project string        `json:"project"`
	Created solera.Micros `json:"created"`
	Deleted bool          `json:"deleted"`

	Run        string   `json:"run"` // ID of the run
	Stage      string   `json:"stage"`
	Experiment string   `json:"experiment"`
	State      string   `json:"state"`
	Duration   *float64 `json:"duration"` // seconds

	Artifact string   `json:"artifact"`
	Version  string   `json:"version"` // "v0"
	Type     string   `json:"type"`
	Digest   string   `json:"digest"`
	Size     int64    `json:"size"`
	Aliases  []string `json:"aliases"`
}

// A LineageEdge points the way of the data.
type LineageEdge struct {
	From string          `json:"from"`
	To   string          `json:"to"`
	Kind solera.EdgeKind `json:"kind" enum:"used,made,same"`
}

// AuditPage is a part of the audit log.
type AuditPage struct {
	Entries []solera.AuditEntry `json:"entries"`
	Next    int64               `json:"next"` // to pass as after (or before, the newest first); 0 = there are no more
}

func (s *service) lineageRoutes() {
	add(s, route{method: http.MethodGet, path: "/lineage", id: "get-lineage", summary: "What a version was made from, and what from it", tag: "lineage", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InWorkspace
			Ref       string `query:"ref" required:"true" maxLength:"400" example:"wine/wine-raw:v0"`
			Direction string `query:"direction" enum:"up,down,both" default:"both"`
		},
		) (*answer[Lineage], error) {
			if err := whole("query.ref", in.Ref); err != nil {
				return nil, err
			}
			g, err := t.Trace(ctx, in.Ref, tracking.Direction(in.Direction))
			return answered(lineageOf(g), err)
		})
	add(s, route{method: http.MethodGet, path: "/audit", id: "read-audit", summary: "Who changed what, and when", tag: "audit", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InWorkspace
			After   int64     `query:"after" minimum:"0" doc:"only entries with a larger number"`
			Actor   string    `query:"actor" maxLength:"1024"`
			Action  string    `query:"action" maxLength:"128" doc:"run. chooses every action that begins so"`
			Subject string    `query:"subject" maxLength:"2048"`
			From    time.Time `query:"from"`
			To      time.Time `query:"to"`
			Oldest  bool      `query:"oldest" doc:"the oldest first, instead of the newest"`
			Before  int64     `query:"before" minimum:"0" doc:"only entries with a smaller number"`
			Limit   int       `query:"limit" minimum:"0" maximum:"1000" doc:"0 for 100"`
		},
		) (*answer[AuditPage], error) {
			q := solera.AuditQuery{
				After: in.After, Before: in.Before, Actor: in.Actor, Action: in.Action, Subject: in.Subject, Newest: !in.Oldest, Limit: in.Limit,
				From: microsOf(in.From), To: microsOf(in.To),
			}
			if q.Limit == 0 {
				q.Limit = 100
			}
			return answered(auditPage(ctx, t, q))
		})
	add(s, route{method: http.MethodGet, path: "/audit/check", id: "check-audit", summary: "Compute the chain of the audit log again", tag: "audit", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, _ *struct{ InWorkspace }) (*answer[tracking.AuditCheck], error) {
			return answered(heavily(ctx, s, func() (tracking.AuditCheck, error) { return tracking.CheckAudit(ctx, t.Store) }))
		})
}

func microsOf(t time.Time) solera.Micros {
	if t.IsZero() {
		return 0
	}
	return solera.MicrosOf(t)
}

// whole reports ErrInvalid unless ref says its project: a workspace has many.
func whole(at, text string) error {
	ref, err := solera.ParseRef(text)
	if err != nil {
		return wrong(at, text, err)
	}
	if ref.Project == "" {
		return invalid(at, text, "write it with its project, as project/%s", ref)
	}
	return nil
}

func lineageOf(g tracking.Graph) Lineage {
	l := Lineage{Root: g.Root, Nodes: []LineageNode{}, Edges: []LineageEdge{}}
	for _, n := range g.Nodes {
		node := LineageNode{ID: n.ID, Kind: n.Kind, Name: n.Name, Deleted: n.Deleted, Aliases: []string{}}
		if r := n.Run; r != nil {
			row := rowOf(*r, []string{"id"})
			node.Project, node.Created, node.Run, node.Stage, node.Experiment = r.Project, r.Created, string(r.ID), r.Stage, r.Experiment
			node.State, node.Duration = string(r.State), row.Duration
		}
		if v := n.Version; v != nil {
			node.Project, node.Created, node.Artifact, node.Version = v.Project, v.Created, v.Artifact, v.Name()[len(v.Artifact)+1:]
			node.Type, node.Digest, node.Size, node.Aliases = v.Type, v.Digest.String(), v.Size, list(v.Aliases)
		}
		l.Nodes = append(l.Nodes, node)
	}
	for _, e := range g.Edges {
		l.Edges = append(l.Edges, LineageEdge(e))
	}
	return l
}

func auditPage(ctx context.Context, t *tracking.Tracker, q solera.AuditQuery) (AuditPage, error) {
	page := AuditPage{Entries: []solera.AuditEntry{}}
	limit, all := q.Limit, auth.PrincipalOf(ctx).Admin()
	q.Limit++ // one more says whether there is more
	for {
		entries, err := auditOf(ctx, t, q)
		if err != nil {
			return page, err
		}
		for _, e := range entries {
			if !all && ofAccount(e) {
				continue
			}
			if len(page.Entries) == limit {
				page.Next = page.Entries[limit-1].N
				return page, nil
			}
			page.Entries = append(page.Entries, e)
		}
		if len(entries) < q.Limit {
			return page, nil
		}
		if last := entries[len(entries)-1].N; q.Newest {
			q.Before = last
		} else {
			q.After = last
		}
		q.Limit = 1000 // what was left out may be much
	}
}

// ofAccount reports whether an entry is about a user, a key or a session. The
// accounts of all workspaces are in one store, and who looks at its runs need
// not know who looks at others.
func ofAccount(e solera.AuditEntry) bool {
	kind, _, _ := strings.Cut(e.Subject, "/")
	return strings.HasPrefix(e.Action, "document.") && auth.IsAccount(kind)
}
