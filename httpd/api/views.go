package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

// viewKind is the kind of the documents that hold saved views.
const viewKind = "view"

// mostViews is how many views a workspace may have.
const mostViews = 1000

// A View is how somebody wants to see runs. What is in it is the dashboard's
// business.
type View struct {
	Name    string         `json:"name"`
	Body    map[string]any `json:"body"`
	Created solera.Micros  `json:"created"`
	Updated solera.Micros  `json:"updated"`
}

// InView is what an operation of a view is told.
type InView struct {
	InWorkspace
	Name string `path:"name" minLength:"1" maxLength:"256"`
}

func (s *service) viewRoutes() {
	add(s, route{method: http.MethodGet, path: "/views", id: "list-views", summary: "List the saved views", tag: "views", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, _ *InWorkspace) (*answer[[]View], error) {
			var views []View
			err := t.Store.View(ctx, func(tx solera.Tx) error {
				views = []View{}
				documents, err := tx.Documents(viewKind)
				for _, d := range documents {
					views = append(views, viewOf(d))
				}
				return err
			})
			return answered(views, err)
		})
	add(s, route{method: http.MethodPut, path: "/views/{name}", id: "save-view", summary: "Save a view", tag: "views", role: auth.Editor},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InView
			Body map[string]any
		},
		) (*answer[View], error) {
			var saved solera.Document
			err := t.Store.Update(ctx, func(tx solera.Tx) (err error) {
				all, err := tx.Documents(viewKind)
				if err != nil {
					return err
				}
				if len(all) >= mostViews {
					return fmt.Errorf("save view %.80q: %w: there are %d already, delete some", in.Name, solera.ErrConflict, len(all))
				}
				saved, err = tx.SetDocument(solera.Document{Kind: viewKind, ID: in.Name, Body: in.Body})
				return err
			})
			return answered(viewOf(saved), err)
		})
	add(s, route{method: http.MethodDelete, path: "/views/{name}", id: "delete-view", summary: "Delete a view", tag: "views", role: auth.Editor},
		func(ctx context.Context, t *tracking.Tracker, in *InView) (*none, error) {
			return &none{}, t.Store.Update(ctx, func(tx solera.Tx) error { return tx.DeleteDocument(viewKind, in.Name) })
		})
}

func viewOf(d solera.Document) View {
	if d.Body == nil {
		d.Body = solera.Fields{}
	}
	return View{Name: d.ID, Body: d.Body, Created: d.Created, Updated: d.Updated}
}
