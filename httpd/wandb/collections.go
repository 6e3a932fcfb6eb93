package wandb

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

func (s *service) collectionMutations() map[string]root {
	return map[string]root{
		"addAliases":     func(c *call, a *args) (any, error) { return s.changeAliases(c, a, true) },
		"deleteAliases":  func(c *call, a *args) (any, error) { return s.changeAliases(c, a, false) },
		"updateArtifact": s.updateArtifact,
		"deleteArtifact": s.deleteArtifact,
		"linkArtifact":   s.linkArtifact,
		"unlinkArtifact": s.unlinkArtifact,

		"createArtifactCollection": s.createCollection,
		"createArtifactPortfolio":  s.createCollection,
		"updateArtifactSequence": func(c *call, a *args) (any, error) {
			return s.updateLine(c, a, "artifactSequenceID")
		},
		"updateArtifactPortfolio": func(c *call, a *args) (any, error) {
			return s.updateLine(c, a, "artifactPortfolioID")
		},
		"moveArtifactSequence": s.moveSequence,
		"deleteArtifactSequence": func(c *call, a *args) (any, error) {
			return s.deleteLine(c, a, "artifactSequenceID")
		},
		"deleteArtifactPortfolio": func(c *call, a *args) (any, error) {
			return s.deleteLine(c, a, "artifactPortfolioID")
		},
		"createArtifactCollectionTagAssignments": func(c *call, a *args) (any, error) { return s.tagLine(c, a, true) },
		"deleteArtifactCollectionTagAssignments": func(c *call, a *args) (any, error) { return s.tagLine(c, a, false) },
	}
}

func success(typ string) object { return object{typ, fields{"success": true, "clientMutationId": nil}} }

// changeAliases gives aliases to a version, or takes them away, in its sequence
// or in collections where it is linked.
func (s *service) changeAliases(c *call, a *args, add bool) (any, error) {
	in := a.Input("input")
	id := in.Need("artifactID")
	type wish struct{ entity, project, name, alias string }
	var wishes []wish
	for _, x := range in.Inputs("aliases") {
		wishes = append(wishes, wish{x.Text("entityName"), x.Project("projectName"), x.Text("artifactCollectionName"), x.Alias()})
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, v, err := c.committed(id, auth.Editor)
	if err != nil {
		return nil, err
	}
	for _, w := range wishes {
		if w.alias == solera.Latest {
			continue // it follows the newest version by itself
		}
		if w.entity != "" && w.entity != sp.name {
			return nil, fmt.Errorf("alias %.80q: %w: the version is in the workspace %s", w.alias, solera.ErrInvalid, sp.name)
		}
		project, name := w.project, w.name
		if project == "" {
			project = v.Project
		}
		if name == "" {
			name = v.Artifact
		}
		t := sp.in(project)
		switch own := project == v.Project && name == v.Artifact; {
		case own && add:
			err = t.SetAlias(c.ctx, v.ID().String(), w.alias)
		case own:
			err = t.DeleteAlias(c.ctx, v.ID().String(), w.alias)
		case add:
			err = t.AliasMember(c.ctx, name, v.ID(), []string{w.alias}, nil)
		default:
			err = t.AliasMember(c.ctx, name, v.ID(), nil, []string{w.alias})
		}
		if err != nil {
			return nil, err
		}
	}
	if add {
		return success("AddAliasesPayload"), nil
	}
	return success("DeleteAliasesPayload"), nil
}

// updateArtifact changes what is said about a version.
func (s *service) updateArtifact(c *call, a *args) (any, error) {
	in := a.Input("input")
	id := in.Need("artifactID")
	var change tracking.VersionAmendment
	if in.Has("description") {
		text := in.Text("description")
		change.Description = &text
	}
	metadata := in.Object("metadata")
	var add, remove []string
	for _, x := range in.Inputs("tagsToAdd") {
		add = append(add, x.Need("tagName"))
	}
	for _, x := range in.Inputs("tagsToDelete") {
		remove = append(remove, x.Need("tagName"))
	}
	ttl := in.Int("ttlDurationSeconds", 0)
	var aliases []string
	for _, x := range in.Inputs("aliases") {
		aliases = append(aliases, x.Alias())
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, v, err := c.committed(id, auth.Editor)
	if err != nil {
		return nil, err
	}
	t, ref := sp.in(v.Project), v.ID().String()
	if len(add)+len(remove) > 0 {
		tags := slices.Concat(v.Tags, add)
		tags = slices.DeleteFunc(tags, func(tag string) bool { return slices.Contains(remove, tag) })
		change.Tags = &tags
	}
	if in.Has("ttlDurationSeconds") {
		// Below 0: what was said before is taken back.
		var expires solera.Micros
		if ttl > 0 {
			if ttl > maxTTL {
				return nil, fmt.Errorf("time to live of %d s: %w: at most a hundred years", ttl, solera.ErrInvalid)
			}
			expires = v.Created + solera.Micros(ttl*1e6)
		}
		change.Expires = &expires
	}
	if err := t.Amend(c.ctx, ref, change); err != nil {
		return nil, err
	}
	if in.Has("metadata") {
		if err := s.remark(c, sp, v, metadata); err != nil {
			return nil, err
		}
	}
	for _, alias := range aliases {
		if alias == solera.Latest {
			continue
		}
		if err := t.SetAlias(c.ctx, ref, alias); err != nil {
			return nil, err
		}
	}
	if v, err = versionOf(c.ctx, sp, v.ID()); err != nil {
		return nil, err
	}
	return object{"UpdateArtifactPayload", fields{"artifact": artifactObject(c, sp, v)}}, nil
}

const maxTTL = 100 * 366 * 24 * 3600 // s

// remark keeps other metadata than a version was committed with. Clients send
// theirs with every change, so mostly it is the same.
func (s *service) remark(c *call, sp *space, v solera.Version, metadata solera.Fields) error {
	given, err := metadata.MarshalJSON()
	if err != nil {
		return err
	}
	committed, err := v.Metadata.MarshalJSON()
	if err != nil {
		return err
	}
	if string(given) == string(committed) || len(metadata) == 0 && len(v.Metadata) == 0 {
		metadata = nil
	} else if metadata == nil {
		metadata = solera.Fields{}
	}
	return sp.t.Remark(c.ctx, v.ID(), metadata)
}

// deleteArtifact gives a version up. Its lineage stays, so what was made from it
// does not stand in the way; a name that people gave it does.
func (s *service) deleteArtifact(c *call, a *args) (any, error) {
	in := a.Input("input")
	id, aliasesToo := in.Need("artifactID"), in.Bool("deleteAliases")
	if err := in.Err(); err != nil {
		return nil, err
	}
	f, err := c.locate(id, auth.Editor)
	if err != nil {
		return nil, err
	}
	if f.Draft != nil {
		return nil, fmt.Errorf("artifact %s: %w: it is not committed yet, and is forgotten unless somebody does", f.Draft.Artifact, solera.ErrConflict)
	}
	sp := f.sp
	v, err := versionOf(c.ctx, sp, f.Version)
	if err != nil {
		return nil, err
	}
	if !aliasesToo {
		all, err := s.placesOf(c, sp, v)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, m := range all {
			for _, alias := range m.aliases {
				if alias != solera.Latest {
					names = append(names, m.line.name+":"+alias)
				}
			}
		}
		if len(names) > 0 {
			return nil, fmt.Errorf("artifact %s: %w: it has the aliases %s; delete it with delete_aliases=True", v.Name(), solera.ErrConflict, strings.Join(names, ", "))
		}
	}
	if v, err = sp.in(v.Project).Delete(c.ctx, v.ID().String(), true); err != nil {
		return nil, err
	}
	return object{"DeleteArtifactPayload", fields{"artifact": artifactObject(c, sp, v), "success": true}}, nil
}

// linkArtifact makes a version a member of a portfolio, which it makes if there
// is none. In the project of a registry too: that is a project like any other.
func (s *service) linkArtifact(c *call, a *args) (any, error) {
	in := a.Input("input")
	id, client, portfolioID := in.Text("artifactID"), in.Text("clientID"), in.Text("artifactPortfolioID")
	entity, project, name := in.Text("entityName"), in.Project("projectName"), in.Text("artifactPortfolioName")
	var aliases []string
	for _, x := range in.Inputs("aliases") {
		aliases = append(aliases, x.Alias())
	}
	if id == "" && client == "" {
		in.fail("artifactID", "is missing, and clientID too")
	}
	if portfolioID == "" && name == "" {
		in.fail("artifactPortfolioName", "is missing")
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	if portfolioID != "" {
		parts, err := parseID("ArtifactPortfolio", portfolioID, 3)
		if err != nil {
			return nil, err
		}
		entity, project, name = parts[0], parts[1], parts[2]
	}
	if id == "" {
		f, err := c.byClient(client)
		if err != nil {
			return nil, err
		}
		if f.Draft != nil {
			return nil, &laterError{"artifact " + f.Draft.Artifact + ": it is not committed yet"}
		}
		id = versionID(f.sp, f.Version)
	}
	sp, err := c.enter(entity, auth.Editor)
	if err != nil {
		return nil, err
	}
	if project == "" {
		project = defaultProject
	}
	version, err := s.versionIn(c, sp, id)
	if err != nil {
		return nil, err
	}
	if err := s.needProject(c, sp, project); err != nil {
		return nil, err
	}
	linked, m, err := sp.in(project).Link(c.ctx, name, version, aliases)
	if err != nil {
		return nil, err
	}
	v, err := versionOf(c.ctx, sp, version)
	if err != nil {
		return nil, err
	}
	place := member{portfolio(sp, linked), v, m.Number, m.Aliases, m.Linked}
	return object{"LinkArtifactPayload", fields{"versionIndex": m.Number, "artifactMembership": place.object(c)}}, nil
}

// needProject makes a project that is not there.
func (s *service) needProject(c *call, sp *space, name string) error {
	_, err := sp.t.ProjectOf(c.ctx, name)
	if errors.Is(err, solera.ErrNotFound) {
		_, _, err = sp.t.SetProject(c.ctx, name, nil)
	}
	return err
}

func (s *service) unlinkArtifact(c *call, a *args) (any, error) {
	in := a.Input("input")
	id, portfolioID := in.Need("artifactID"), in.Need("artifactPortfolioID")
	if err := in.Err(); err != nil {
		return nil, err
	}
	l, err := c.lineByID(portfolioID, auth.Editor)
	if err != nil {
		return nil, err
	}
	if l.collection == nil {
		return nil, fmt.Errorf("artifact collection %s: %w: versions belong to it, and cannot be unlinked; delete them", l.name, solera.ErrInvalid)
	}
	version, err := s.versionIn(c, l.sp, id)
	if err != nil {
		return nil, err
	}
	if err := l.sp.in(l.project).Unlink(c.ctx, l.name, version); err != nil {
		return nil, err
	}
	return success("UnlinkArtifactPayload"), nil
}

// createCollection answers that a collection of that name may be used: it begins
// with its first member.
func (s *service) createCollection(c *call, a *args) (any, error) {
	in := a.Input("input")
	entity, project, name, typ := in.Text("entityName"), in.NeedProject("projectName"), in.Text("artifactCollectionName"), in.Text("artifactTypeName")
	if name == "" {
		name = in.Need("name")
	}
	if typ == "" {
		typ = in.Need("artifactTypeID")
		if parts, err := parseID("ArtifactType", typ, 3); err == nil {
			typ = parts[2]
		}
	}
	var description *string
	if in.Has("description") {
		text := in.Text("description")
		description = &text
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, err := c.enter(entity, auth.Editor)
	if err != nil {
		return nil, err
	}
	if err := s.needProject(c, sp, project); err != nil {
		return nil, err
	}
	made, err := sp.in(project).MakeCollection(c.ctx, name, typ, description)
	if err != nil {
		return nil, err
	}
	return linePayload(c, "CreateArtifactCollectionPayload", portfolio(sp, made)), nil
}

func linePayload(c *call, typ string, l *line) object {
	o := l.object(c)
	return object{typ, fields{"artifactCollection": o, "artifactPortfolio": o, "artifactSequence": o, "success": true}}
}

func (s *service) updateLine(c *call, a *args, idName string) (any, error) {
	in := a.Input("input")
	id, name := in.Need(idName), in.Text("name")
	var change tracking.LineAmendment
	if in.Has("description") {
		text := in.Text("description")
		change.Description = &text
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	l, err := c.lineByID(id, auth.Editor)
	if err != nil {
		return nil, err
	}
	t := l.sp.in(l.project)
	if l.collection == nil {
		if name != "" && name != l.name {
			return nil, fmt.Errorf("rename %s: %w: an artifact keeps the name under which its versions were committed, since lineage and statements name it; link them to a collection of another name", l.name, errors.ErrUnsupported)
		}
		if _, err = t.AmendLine(c.ctx, l.name, change); err != nil {
			return nil, err
		}
		l, err = s.lineByName(c, l.sp, l.project, l.name)
	} else {
		if name == "" {
			name = l.name
		}
		if _, err = t.AmendCollection(c.ctx, l.name, change); err != nil {
			return nil, err
		}
		if _, err = t.RenameCollection(c.ctx, l.name, name); err != nil {
			return nil, err
		}
		l, err = s.lineByName(c, l.sp, l.project, name)
	}
	if err != nil {
		return nil, err
	}
	return linePayload(c, "UpdateArtifactCollectionPayload", l), nil
}

// moveSequence refuses: the type is part of each version's content.
func (s *service) moveSequence(c *call, a *args) (any, error) {
	in := a.Input("input")
	id, typ := in.Need("artifactSequenceID"), in.Need("destinationArtifactTypeName")
	if err := in.Err(); err != nil {
		return nil, err
	}
	l, err := c.lineByID(id, auth.Editor)
	if err != nil {
		return nil, err
	}
	if l.typ != typ {
		return nil, fmt.Errorf("make %s a %.80s: %w: an artifact keeps the type of its first version, which is part of its digest; log it under another name", l.name, typ, errors.ErrUnsupported)
	}
	return linePayload(c, "MoveArtifactSequencePayload", l), nil
}

func (s *service) deleteLine(c *call, a *args, idName string) (any, error) {
	id := a.Input("input").Need(idName)
	if err := a.Err(); err != nil {
		return nil, err
	}
	l, err := c.lineByID(id, auth.Editor)
	if err != nil {
		return nil, err
	}
	t := l.sp.in(l.project)
	if l.collection == nil {
		err = t.DeleteLine(c.ctx, l.name)
	} else {
		err = t.DeleteCollection(c.ctx, l.name)
	}
	if err != nil {
		return nil, err
	}
	o := object{l.kind(), fields{"id": l.id(), "name": l.name, "state": "DELETED"}}
	return object{"DeleteArtifactCollectionPayload", fields{"artifactCollection": o, "success": true}}, nil
}

func (s *service) tagLine(c *call, a *args, add bool) (any, error) {
	in := a.Input("input")
	entity, project, name := in.Text("entityName"), in.NeedProject("projectName"), in.Need("artifactCollectionName")
	var tags []string
	for _, x := range in.Inputs("tags") {
		tags = append(tags, x.Need("tagName"))
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, err := c.enter(entity, auth.Editor)
	if err != nil {
		return nil, err
	}
	l, err := s.lineByName(c, sp, project, name)
	if err != nil {
		return nil, err
	}
	change := tracking.LineAmendment{Add: tags}
	if !add {
		change = tracking.LineAmendment{Remove: tags}
	}
	t := sp.in(project)
	var now []string
	if l.collection == nil {
		said, err := t.AmendLine(c.ctx, name, change)
		if err != nil {
			return nil, err
		}
		now = said.Tags
	} else {
		said, err := t.AmendCollection(c.ctx, name, change)
		if err != nil {
			return nil, err
		}
		now = said.Tags
	}
	o := success("ArtifactCollectionTagAssignmentsPayload")
	o.fields["tags"] = tagObjects(now)
	return o, nil
}

// Registries
//
// A registry is a project whose name begins so, and what an organization shares.
// Here the workspace is both: the organization, and its one entity.

const registryPrefix = "wandb-registry-"

// organization is the workspace as the organization above itself.
func (c *call) organization(name string) object {
	return object{"Organization", fields{
		"id": globalID("Organization", name), "name": name, "orgType": "ORGANIZATION",
		"orgEntity": lazy(func() (any, error) {
			e := c.entity(name)
			// Of all projects an organization shows its registries.
			e.fields["projects"] = resolver(func(a *args) (any, error) { return c.service.registries(c, name, a) })
			return e, nil
		}),
		"coreWeaveOrganizationId": nil, "featureFlags": []object{}, "advancedRegistryFeatures": nil,
		"members": []object{}, "teams": []object{},
	}}
}

// registries answers the registries of an organization.
func (s *service) registries(c *call, entity string, a *args) (any, error) {
	sp, err := c.enter(entity, auth.Viewer)
	if err != nil {
		return nil, err
	}
	all, err := sp.t.AllProjects(c.ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(p tracking.Project) bool { return !strings.HasPrefix(p.Name, registryPrefix) })
	all, err = chosen(all, a, func(p tracking.Project, key string) any {
		switch key {
		case "name":
			return p.Name
		case "description":
			return p.Description
		case "createdAt", "created_at":
			return p.Created
		case "updatedAt", "updated_at":
			return p.Updated
		}
		return unknownKey
	})
	if err != nil {
		return nil, err
	}
	return cut("Project", all, a, func(p tracking.Project) object { return s.project(c, project{sp, p}) })
}

// organizationQuery answers Query.organization.
func (s *service) organizationQuery(c *call, a *args) (any, error) {
	name := a.Text("name")
	if err := a.Err(); err != nil {
		return nil, err
	}
	sp, err := c.enter(name, auth.Viewer)
	if err != nil {
		return orNull(nil, err)
	}
	return c.organization(sp.name), nil
}

// registryFields are the fields of an entity that search its registries.
func (s *service) registryFields(c *call, entity string) fields {
	return fields{
		"artifactCollections": resolver(func(a *args) (any, error) {
			list, err := s.registered(c, entity, a)
			if err != nil {
				return nil, err
			}
			return cut("ArtifactCollection", list, a, func(l *line) object { return l.object(c).(object) })
		}),
		"artifactMemberships": resolver(func(a *args) (any, error) {
			inner := &args{values: map[string]any{"projectFilters": a.values["projectFilters"], "filters": a.values["collectionFilters"]}, err: a.err}
			lines, err := s.registered(c, entity, inner)
			if err != nil {
				return nil, err
			}
			var list []member
			for _, l := range lines {
				all, err := s.members(c.ctx, l)
				if err != nil {
					return nil, err
				}
				list = append(list, all...)
			}
			if list, err = chosen(list, a, s.memberKey(c)); err != nil {
				return nil, err
			}
			return cut("ArtifactCollectionMembership", list, a, func(m member) object { return m.object(c) })
		}),
	}
}

// registered returns the collections of registries that the arguments
// projectFilters, filters and order choose.
func (s *service) registered(c *call, entity string, a *args) ([]*line, error) {
	sp, err := c.enter(entity, auth.Viewer)
	if err != nil {
		return nil, err
	}
	all, err := s.lines(c.ctx, sp, "")
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(l *line) bool {
		return l.collection == nil || !strings.HasPrefix(l.project, registryPrefix)
	})
	of := &args{values: map[string]any{"filters": a.values["projectFilters"]}, path: "projectFilters.", err: a.err}
	all, err = chosen(all, of, func(l *line, key string) any {
		if key == "name" {
			return l.project
		}
		return unknownKey
	})
	if err != nil {
		return nil, err
	}
	return chosen(all, a, lineKey)
}
