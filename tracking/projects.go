package tracking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// A Project is what is kept of a project beside its runs and artifacts. There
// is one as soon as a run names it, or somebody makes it beforehand.
type Project struct {
	Name        string
	Description string
	Created     solera.Micros // of its record, or of its first run
	Updated     solera.Micros // of its record, or of its newest run
}

const (
	projectKind = "project"
)

// SetProject makes a project, or changes the description of one that is there
// unless description is nil.
func (t *Tracker) SetProject(ctx context.Context, name string, description *string) (p Project, created bool, err error) {
	if err := solera.CheckName(name); err != nil {
		return Project{}, false, fmt.Errorf("project: %w", err)
	}
	if description != nil && len(*description) > maxDescription {
		return Project{}, false, fmt.Errorf("project %s: %w: its description has more than %d bytes", name, solera.ErrInvalid, maxDescription)
	}
	err = t.Store.Update(ctx, func(tx solera.Tx) error {
		created = false
		p, err = projectOf(tx, name)
		if errors.Is(err, solera.ErrNotFound) {
			created, err = true, nil
		}
		if err != nil || !created && (description == nil || *description == p.Description) {
			return err
		}
		if description != nil {
			p.Description = *description
		}
		if _, err := tx.SetDocument(solera.Document{Kind: projectKind, ID: name, Body: solera.Fields{"description": p.Description}}); err != nil {
			return err
		}
		p, err = projectOf(tx, name)
		return err
	})
	return p, created, err
}

// ProjectOf returns a project; ErrNotFound if no run names it and nobody made
// it.
func (t *Tracker) ProjectOf(ctx context.Context, name string) (p Project, err error) {
	if err := solera.CheckName(name); err != nil {
		return Project{}, fmt.Errorf("project: %w", err)
	}
	err = t.Store.View(ctx, func(tx solera.Tx) error {
		p, err = projectOf(tx, name)
		return err
	})
	return p, err
}

// AllProjects returns the projects of the store by name.
func (t *Tracker) AllProjects(ctx context.Context) (list []Project, err error) {
	err = t.Store.View(ctx, func(tx solera.Tx) error {
		list = nil
		names, err := projectNames(tx)
		if err != nil {
			return err
		}
		for _, name := range names {
			p, err := projectOf(tx, name)
			if err != nil {
				return err
			}
			list = append(list, p)
		}
		return nil
	})
	return list, err
}

// projectNames are those of runs and those that somebody made, sorted.
func projectNames(tx solera.Tx) ([]string, error) {
	names, err := tx.Projects()
	if err != nil {
		return nil, err
	}
	made, err := tx.Documents(projectKind)
	if err != nil {
		return nil, err
	}
	for _, d := range made {
		names = append(names, d.ID)
	}
	slices.SortFunc(names, strings.Compare)
	return slices.Compact(names), nil
}

func projectOf(tx solera.Tx, name string) (Project, error) {
	p := Project{Name: name}
	d, err := tx.Document(projectKind, name)
	switch {
	case err == nil:
		p.Description, _ = d.Body["description"].(string)
		p.Created, p.Updated = d.Created, d.Updated
	case !errors.Is(err, solera.ErrNotFound):
		return Project{}, err
	}
	found := err == nil
	for _, falling := range []bool{false, true} {
		runs, err := tx.Runs(solera.RunQuery{
			Project: name, Deleted: true, Limit: 1, Order: []solera.RunOrder{{Field: "created", Descending: falling}},
		})
		if err != nil {
			return Project{}, err
		}
		for _, r := range runs {
			found = true
			if p.Created == 0 || r.Created < p.Created {
				p.Created = r.Created
			}
			p.Updated = max(p.Updated, r.Created, r.Started, r.Finished)
		}
	}
	if !found {
		return Project{}, fmt.Errorf("project %s: %w", name, solera.ErrNotFound)
	}
	return p, nil
}
