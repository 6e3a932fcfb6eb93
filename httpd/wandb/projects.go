package wandb

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

// project is a project in a workspace.
type project struct {
	sp *space
	tracking.Project
}

func (s *service) projectQueries() map[string]root {
	byName := func(c *call, a *args) (any, error) {
		entity, name := a.Text("entityName"), a.Project("name")
		if err := a.Err(); err != nil {
			return nil, err
		}
		return s.findProject(c, entity, name)
	}
	list := func(c *call, a *args) (any, error) { return s.listProjects(c, a.Text("entityName"), a) }
	return map[string]root{"project": byName, "model": byName, "projects": list, "models": list}
}

func (s *service) projectMutations() map[string]root {
	return map[string]root{"upsertModel": s.upsertModel}
}

// defaultProject is where runs are that name none.
const defaultProject = "uncategorized"

// findProject returns the project, or null if there is none of that name.
func (s *service) findProject(c *call, entity, name string) (any, error) {
	sp, err := c.enter(entity, auth.Viewer)
	if errors.Is(err, solera.ErrNotFound) {
		return nil, nil // clients ask about names that they made up
	}
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = defaultProject
	}
	found, err := sp.t.ProjectOf(c.ctx, name)
	if errors.Is(err, solera.ErrNotFound) || errors.Is(err, solera.ErrInvalid) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s.project(c, project{sp, found}), nil
}

func (s *service) listProjects(c *call, entity string, a *args) (any, error) {
	sp, err := c.enter(entity, auth.Viewer)
	if err != nil {
		return nil, err
	}
	all, err := sp.t.AllProjects(c.ctx)
	if err != nil {
		return nil, err
	}
	return cut("Project", all, a, func(p tracking.Project) object { return s.project(c, project{sp, p}) })
}

// project is a project as clients see it. A file that answers more of its
// fields adds its map to the join.
func (s *service) project(c *call, p project) object {
	return object{"Project", join(s.projectFields(c, p), s.runsFields(c, p), s.artifactFields(c, p.sp, p.Name), s.projectSweeps(c, p))}
}

func (s *service) projectFields(c *call, p project) fields {
	return fields{
		"id":         globalID("Project", p.sp.name, p.Name),
		"internalId": globalID("ProjectInternalId", strconv.FormatInt(projectNumber(p.sp.name, p.Name), 10)),
		"name":       p.Name, "entityName": p.sp.name,
		"entity":      lazy(func() (any, error) { return c.entity(p.sp.name), nil }),
		"createdAt":   p.Created,
		"updatedAt":   p.Updated,
		"isBenchmark": false, "readOnly": false, "isPublished": false,
		"user":        nil,
		"description": orNil(p.Description),
		"access":      "PRIVATE", "views": nil, "tags": []object{},
		"members": []object{}, "teamMembers": []object{},
		// Reports of others' dashboards have no place here.
		"allViews":  resolver(func(*args) (any, error) { return connection("View", page{total: 0}), nil }),
		"runQueues": []object{},
	}
}

// nameProject describes a new project by what its client calls it, where that is
// no name here.
func (s *service) nameProject(c *call, sp *space, name, outward string) error {
	if outward == "" || outward == name {
		return nil
	}
	_, err := sp.t.ProjectOf(c.ctx, name)
	if errors.Is(err, solera.ErrNotFound) {
		_, _, err = sp.t.SetProject(c.ctx, name, &outward)
	}
	return err
}

// upsertModel creates a project, or changes its description.
func (s *service) upsertModel(c *call, a *args) (any, error) {
	in := a.Input("input")
	entity, name := in.Text("entityName"), in.Project("name")
	var description *string
	if in.Has("description") {
		text := in.Text("description")
		description = &text
	}
	if id := in.Text("id"); id != "" && in.Err() == nil {
		parts, err := parseID("Project", id, 2)
		if err != nil {
			return nil, err
		}
		entity, name = parts[0], parts[1]
	}
	if in.Err() == nil && name == "" {
		in.fail("name", "is missing")
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, err := c.enter(entity, auth.Editor)
	if err != nil {
		return nil, err
	}
	p, created, err := sp.t.SetProject(c.ctx, name, description)
	if err != nil {
		return nil, fmt.Errorf("project: %w", err)
	}
	o := s.project(c, project{sp, p})
	return object{"UpsertModelPayload", fields{"model": o, "project": o, "inserted": created}}, nil
}
