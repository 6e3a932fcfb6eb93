package wandb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"mime"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

// Words of the wire: an artifact is one version; what Solera calls an artifact
// is a sequence of them; a portfolio is a collection. Both of the latter are
// collections there, and a version in one of them is a membership.

func (s *service) artifactQueries() map[string]root {
	return map[string]root{
		"artifact": func(c *call, a *args) (any, error) {
			id := a.Need("id")
			if err := a.Err(); err != nil {
				return nil, err
			}
			return s.artifactByID(c, id)
		},
		"artifactCollection": func(c *call, a *args) (any, error) {
			id := a.Need("id")
			if err := a.Err(); err != nil {
				return nil, err
			}
			l, err := c.lineByID(id, auth.Viewer)
			return orNull(l.object(c), err)
		},
		"clientIDMapping": s.clientIDMapping,
	}
}

// orNull is null in place of an object that was not found.
func orNull(o any, err error) (any, error) {
	if errors.Is(err, solera.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

// drafts returns the drafts of a workspace: one for all requests, as it gathers
// what arrives at the same time.
func (s *service) drafts(sp *space) *tracking.Drafts {
	s.pending.mu.Lock()
	defer s.pending.mu.Unlock()
	d, ok := s.pending.known[sp.name]
	if !ok || d.Tracker.Store != sp.t.Store {
		d = &tracking.Drafts{Tracker: sp.t}
		if s.pending.known == nil {
			s.pending.known = map[string]*tracking.Drafts{}
		}
		s.pending.known[sp.name] = d
	}
	return d
}

// versionID is the identifier of a version, draftID of one that is to be.
func versionID(sp *space, id solera.VersionID) string {
	return globalID("Artifact", sp.name, id.Project, id.Artifact, strconv.Itoa(id.Number))
}

func draftID(sp *space, id string) string { return globalID("ArtifactDraft", sp.name, id) }

// found is what an identifier of an artifact means: a version, or a draft.
type found struct {
	sp *space
	tracking.Origin
}

// locate returns what an identifier means, if whoever asks may do there what
// takes the role.
func (c *call) locate(id string, role auth.Role) (found, error) {
	switch kindOfID(id) {
	case "Artifact":
		parts, err := parseID("Artifact", id, 4)
		if err != nil {
			return found{}, err
		}
		sp, err := c.enter(parts[0], role)
		if err != nil {
			return found{}, err
		}
		n, err := strconv.Atoi(parts[3])
		if err != nil || n < 0 {
			return found{}, fmt.Errorf("id %.80q: %w: it is none of an artifact", id, solera.ErrInvalid)
		}
		return found{sp, tracking.Origin{Version: solera.VersionID{Project: parts[1], Artifact: parts[2], Number: n}}}, nil
	case "ArtifactDraft":
		parts, err := parseID("ArtifactDraft", id, 2)
		if err != nil {
			return found{}, err
		}
		sp, err := c.enter(parts[0], role)
		if err != nil {
			return found{}, err
		}
		o, err := c.service.drafts(sp).Find(c.ctx, parts[1])
		return found{sp, o}, err
	}
	return found{}, fmt.Errorf("id %.80q: %w: it is none of an artifact", id, solera.ErrInvalid)
}

// committed is locate for what only a version has.
func (c *call) committed(id string, role auth.Role) (*space, solera.Version, error) {
	f, err := c.locate(id, role)
	if err != nil {
		return nil, solera.Version{}, err
	}
	if f.Draft != nil {
		return nil, solera.Version{}, fmt.Errorf("artifact %s: %w: it is not committed yet", f.Draft.Artifact, solera.ErrConflict)
	}
	v, err := versionOf(c.ctx, f.sp, f.Version)
	return f.sp, v, err
}

// versionOf reads a version with its files.
func versionOf(ctx context.Context, sp *space, id solera.VersionID) (v solera.Version, err error) {
	err = sp.t.Store.View(ctx, func(tx solera.Tx) (err error) {
		v, err = tx.Version(id)
		return err
	})
	return v, err
}

func (s *service) artifactByID(c *call, id string) (any, error) {
	f, err := c.locate(id, auth.Viewer)
	if err != nil {
		return orNull(nil, err)
	}
	if f.Draft != nil {
		return pendingObject(c, f.sp, *f.Draft), nil
	}
	v, err := versionOf(c.ctx, f.sp, f.Version)
	if err != nil {
		return orNull(nil, err)
	}
	return artifactObject(c, f.sp, v), nil
}

// clientIDMapping answers what the server calls that which a client named
// itself. The client does not say in which workspace.
func (s *service) clientIDMapping(c *call, a *args) (any, error) {
	client := a.Need("clientID")
	if err := a.Err(); err != nil {
		return nil, err
	}
	f, err := c.byClient(client)
	if err != nil {
		return orNull(nil, err)
	}
	id := versionID(f.sp, f.Version)
	if f.Draft != nil {
		id = draftID(f.sp, f.Draft.ID)
	}
	return object{"ClientIDMapping", fields{"serverID": id}}, nil
}

func (c *call) byClient(client string) (found, error) {
	for _, name := range c.mine() {
		sp, err := c.enter(name, auth.Viewer)
		if err != nil {
			return found{}, err
		}
		o, err := c.service.drafts(sp).ByClient(c.ctx, client)
		if errors.Is(err, solera.ErrNotFound) {
			continue
		}
		return found{sp, o}, err
	}
	return found{}, fmt.Errorf("client's name %.20q: %w", client, solera.ErrNotFound)
}

// artifactObject is a version as clients see it. It need not have its files.
func artifactObject(c *call, sp *space, v solera.Version) object {
	s := c.service
	id := versionID(sp, v.ID())
	state := "COMMITTED"
	if v.Deleted != 0 {
		state = "DELETED"
	}
	ttl, inherited := int64(-2), true
	if v.Expires != 0 {
		ttl, inherited = max(int64(v.Expires.Time().Sub(v.Created.Time()).Round(time.Second)/time.Second), 1), false
	}
	l := &line{sp: sp, project: v.Project, name: v.Artifact}
	return object{"Artifact", fields{
		"id":               id,
		"artifactSequence": lazy(func() (any, error) { return l.object(c), l.load(c.ctx) }),
		"versionIndex":     v.Number,
		"artifactType":     typeObject(c, sp, v.Project, v.Type),
		"description":      orNil(v.Description),
		"metadata": lazy(func() (any, error) {
			said, err := sp.t.Remarks(c.ctx, v.ID())
			if err != nil {
				return nil, err
			}
			if said == nil {
				said = v.Metadata
			}
			raw, err := said.MarshalJSON()
			return string(raw), err
		}),
		"ttlDurationSeconds": ttl, "ttlIsInherited": inherited,
		"tags": tagObjects(v.Tags), "labels": nil,
		"historyStep": nil, "state": state, "size": v.Size,
		"digest":          lazy(func() (any, error) { x, err := s.summary(c.ctx, sp, v); return x.digest, err }),
		"digestAlgorithm": "MANIFEST_MD5",
		"fileCount":       lazy(func() (any, error) { x, err := s.summary(c.ctx, sp, v); return x.files, err }),
		"commitHash":      v.Digest.Hex(),
		"createdAt":       v.Created, "updatedAt": v.Created,
		"aliases": lazy(func() (any, error) { return s.allAliases(c, sp, v) }),
		"currentManifest": lazy(func() (any, error) {
			at, err := c.downloadURL(sp, grant{Kind: "manifest", Target: []string{v.Project, v.Artifact, strconv.Itoa(v.Number)}, Type: "application/json"}, manifestName)
			return object{"ArtifactManifest", fields{"id": globalID("ArtifactManifest", id), "file": object{"File", fields{
				"id": globalID("File", id, manifestName), "name": manifestName, "directUrl": at, "url": at,
			}}}}, err
		}),
		"createdBy": lazy(func() (any, error) { return s.maker(c, sp, v) }),
		"usedBy":    lazy(func() (any, error) { return s.users(c, sp, v) }),
		"files": resolver(func(a *args) (any, error) {
			return s.fileList(c, sp, v.ID(), a)
		}),
		"filesByManifestEntries": resolver(func(a *args) (any, error) { return s.filesByEntries(c, sp, v.ID(), a) }),
		"artifactMemberships":    lazy(func() (any, error) { return s.memberships(c, sp, v) }),
		"artifactCollections":    lazy(func() (any, error) { return s.collectionsOf(c, sp, v) }),
		"isLinked":               nil,
		"project":                lazy(func() (any, error) { return s.findProject(c, sp.name, v.Project) }),
	}}
}

// pendingObject is a draft as clients see it.
func pendingObject(c *call, sp *space, p tracking.Pending) object {
	l := &line{sp: sp, project: p.Project, name: p.Artifact, typ: p.Type}
	said := p.Metadata
	if p.Remarks != nil {
		said = p.Remarks
	}
	metadata, _ := said.MarshalJSON() // it came as JSON
	ttl, inherited := int64(-2), true
	if p.Lifetime > 0 {
		ttl, inherited = p.Lifetime, false
	}
	return object{"Artifact", fields{
		"id": draftID(sp, p.ID), "versionIndex": nil, "state": "PENDING", "digest": p.Claim, "digestAlgorithm": "MANIFEST_MD5",
		"artifactSequence": lazy(func() (any, error) {
			return l.object(c), l.load(c.ctx)
		}),
		"artifactType": typeObject(c, sp, p.Project, p.Type),
		"description":  orNil(p.Description), "metadata": string(metadata),
		"ttlDurationSeconds": ttl, "ttlIsInherited": inherited,
		"tags": tagObjects(p.Tags), "labels": nil, "historyStep": nil, "size": 0, "fileCount": 0, "commitHash": nil,
		"createdAt": solera.MicrosOf(c.service.Clock()), "updatedAt": nil, "aliases": []object{},
		"currentManifest": nil, "createdBy": nil,
		"usedBy": connection("Run", page{total: 0}), "files": connection("File", page{total: 0}),
		"artifactMemberships": connection("ArtifactCollectionMembership", page{total: 0}),
	}}
}

func tagObjects(tags []string) []object {
	list := make([]object, len(tags))
	for i, tag := range tags {
		list[i] = object{"Tag", fields{"id": globalID("Tag", tag), "name": tag, "tagCategoryName": nil, "attributes": nil}}
	}
	return list
}

func typeObject(c *call, sp *space, project, name string) object {
	s := c.service
	byName := resolver(func(a *args) (any, error) {
		l, err := s.lineByName(c, sp, project, a.Need("name"))
		if err == nil && l.typ != name {
			return nil, nil
		}
		return orNull(l.object(c), err)
	})
	return object{"ArtifactType", fields{
		"id": globalID("ArtifactType", sp.name, project, name), "name": name, "description": nil,
		"createdAt": lazy(func() (any, error) {
			all, err := s.lines(c.ctx, sp, project)
			if err != nil {
				return nil, err
			}
			first := solera.MicrosOf(s.Clock())
			for _, l := range all {
				if l.typ == name {
					first = min(first, l.created)
				}
			}
			return first, nil
		}),
		"artifactCollection": byName, "artifactSequence": byName,
		"artifactCollections": resolver(func(a *args) (any, error) {
			return s.collectionList(c, sp, project, name, a)
		}),
		"artifact": resolver(func(a *args) (any, error) {
			m, err := s.memberByName(c, sp, project, a.Need("name"))
			if err != nil || m.version.Type != name {
				return orNull(nil, err)
			}
			return artifactObject(c, sp, m.version), nil
		}),
	}}
}

// artifactFields are the fields of a project that are about artifacts.
func (s *service) artifactFields(c *call, sp *space, project string) fields {
	return fields{
		"artifact": resolver(func(a *args) (any, error) {
			m, err := s.memberByName(c, sp, project, a.Need("name"))
			if err != nil {
				return orNull(nil, err)
			}
			return artifactObject(c, sp, m.version), nil
		}),
		"artifactCollectionMembership": resolver(func(a *args) (any, error) {
			m, err := s.memberByName(c, sp, project, a.Need("name"))
			if err != nil {
				return orNull(nil, err)
			}
			return m.object(c), nil
		}),
		"artifactCollection": resolver(func(a *args) (any, error) {
			l, err := s.lineByName(c, sp, project, a.Need("name"))
			return orNull(l.object(c), err)
		}),
		"artifactCollections": resolver(func(a *args) (any, error) { return s.collectionList(c, sp, project, "", a) }),
		"artifactType": resolver(func(a *args) (any, error) {
			name := a.Need("name")
			types, err := s.typeNames(c.ctx, sp, project)
			if err != nil || !slices.Contains(types, name) {
				return nil, err
			}
			return typeObject(c, sp, project, name), nil
		}),
		"artifactTypes": resolver(func(a *args) (any, error) {
			types, err := s.typeNames(c.ctx, sp, project)
			if err != nil {
				return nil, err
			}
			return cut("ArtifactType", types, a, func(name string) object { return typeObject(c, sp, project, name) })
		}),
		"allowAllArtifactTypesInRegistry": true,
	}
}

func (s *service) typeNames(ctx context.Context, sp *space, project string) ([]string, error) {
	all, err := s.lines(ctx, sp, project)
	if err != nil {
		return nil, err
	}
	var types []string
	for _, l := range all {
		types = append(types, l.typ)
	}
	slices.Sort(types)
	return slices.Compact(types), nil
}

// A line is a sequence or a portfolio: a name under which versions are numbered.
type line struct {
	sp            *space
	project, name string
	loaded        bool
	gone          bool // all its versions are deleted
	typ           string
	description   string
	tags          []string
	created       solera.Micros
	updated       solera.Micros
	collection    *tracking.Collection // nil = a sequence
}

func (l *line) id() string {
	return globalID(l.kind(), l.sp.name, l.project, l.name)
}

func (l *line) kind() string {
	if l.collection != nil {
		return "ArtifactPortfolio"
	}
	return "ArtifactSequence"
}

// load reads a sequence; one without a version is as empty as it can be.
func (l *line) load(ctx context.Context) error {
	if l.loaded {
		return nil
	}
	return l.sp.t.Store.View(ctx, func(tx solera.Tx) error {
		a, err := tx.Artifact(l.project, l.name)
		if errors.Is(err, solera.ErrNotFound) {
			l.tags = []string{}
			return nil
		}
		if err != nil {
			return err
		}
		l.typ, l.created, l.updated, l.gone = a.Type, a.Created, a.Updated, a.Newest < 0
		said, err := tracking.LineOf(tx, l.project, l.name)
		l.description, l.tags, l.loaded = said.Description, said.Tags, true
		return err
	})
}

// lines returns what a project has under names of its own: sequences with a
// version, and portfolios, by name. Of the project "" all.
func (s *service) lines(ctx context.Context, sp *space, project string) ([]*line, error) {
	var list []*line
	err := sp.t.Store.View(ctx, func(tx solera.Tx) error {
		list = nil
		all, err := tx.Artifacts(project)
		if err != nil {
			return err
		}
		for _, a := range all {
			if a.Newest < 0 {
				continue
			}
			said, err := tracking.LineOf(tx, a.Project, a.Name)
			if err != nil {
				return err
			}
			list = append(list, &line{
				sp: sp, project: a.Project, name: a.Name, loaded: true, typ: a.Type,
				description: said.Description, tags: said.Tags, created: a.Created, updated: a.Updated,
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	collections, err := sp.in(project).Collections(ctx)
	if err != nil {
		return nil, err
	}
	for i := range collections {
		list = append(list, portfolio(sp, collections[i]))
	}
	slices.SortFunc(list, func(a, b *line) int {
		return cmp.Or(strings.Compare(a.project, b.project), strings.Compare(a.name, b.name))
	})
	return list, nil
}

func portfolio(sp *space, c tracking.Collection) *line {
	return &line{
		sp: sp, project: c.Project, name: c.Name, loaded: true, typ: c.Type, description: c.Description, tags: c.Tags,
		created: c.Created, updated: c.Updated, collection: &c,
	}
}

// lineByName returns a sequence or portfolio of a project.
func (s *service) lineByName(c *call, sp *space, project, name string) (*line, error) {
	missing := fmt.Errorf("artifact collection %.80q: %w in %s/%s", name, solera.ErrNotFound, sp.name, project)
	if solera.CheckName(project) != nil || solera.CheckName(name) != nil {
		return nil, missing
	}
	found, err := sp.in(project).Collection(c.ctx, name)
	if err == nil {
		return portfolio(sp, found), nil
	}
	if !errors.Is(err, solera.ErrNotFound) {
		return nil, err
	}
	l := &line{sp: sp, project: project, name: name}
	if err := l.load(c.ctx); err != nil {
		return nil, err
	}
	if !l.loaded || l.gone {
		return nil, missing
	}
	return l, nil
}

// lineByID returns what an identifier of a sequence or portfolio means.
func (c *call) lineByID(id string, role auth.Role) (*line, error) {
	kind := kindOfID(id)
	if kind != "ArtifactSequence" && kind != "ArtifactPortfolio" {
		return nil, fmt.Errorf("id %.80q: %w: it is none of an artifact collection", id, solera.ErrInvalid)
	}
	parts, err := parseID(kind, id, 3)
	if err != nil {
		return nil, err
	}
	sp, err := c.enter(parts[0], role)
	if err != nil {
		return nil, err
	}
	l, err := c.service.lineByName(c, sp, parts[1], parts[2])
	if err == nil && l.kind() != kind {
		err = fmt.Errorf("artifact collection %s: %w", parts[2], solera.ErrNotFound)
	}
	return l, err
}

// object is the collection as clients see it; null for nil.
func (l *line) object(c *call) any {
	if l == nil {
		return nil
	}
	s, sp := c.service, l.sp
	// A sequence may be read only when its fields are asked for.
	late := func(value func() any) lazy {
		return func() (any, error) {
			if err := l.load(c.ctx); err != nil {
				return nil, err
			}
			return value(), nil
		}
	}
	f := fields{
		"id": l.id(), "name": l.name, "state": "READY",
		"description":         late(func() any { return orNil(l.description) }),
		"createdAt":           late(func() any { return l.created }),
		"updatedAt":           late(func() any { return l.updated }),
		"project":             lazy(func() (any, error) { return projectInfo(c, sp, l.project), nil }),
		"defaultArtifactType": late(func() any { return typeObject(c, sp, l.project, l.typ) }),
		"tags": late(func() any {
			return connection("Tag", page{nodes: tagObjects(l.tags), total: len(l.tags)})
		}),
		"aliases": resolver(func(a *args) (any, error) {
			all, err := s.members(c.ctx, l)
			if err != nil {
				return nil, err
			}
			var list []object
			for _, m := range all {
				list = append(list, m.aliasObjects(c)...)
			}
			return cut("ArtifactAlias", list, a, func(o object) object { return o })
		}),
		"artifacts": resolver(func(a *args) (any, error) { return s.memberList(c, l, a) }),
		"artifactMembership": resolver(func(a *args) (any, error) {
			m, err := s.memberOf(c.ctx, l, a.Need("aliasName"))
			if err != nil {
				return orNull(nil, err)
			}
			return m.object(c), nil
		}),
		"artifactMemberships": resolver(func(a *args) (any, error) {
			all, err := s.members(c.ctx, l)
			if err != nil {
				return nil, err
			}
			return cut("ArtifactCollectionMembership", all, a, func(m member) object { return m.object(c) })
		}),
		"artifactMembershipCount": lazy(func() (any, error) {
			all, err := s.members(c.ctx, l)
			return len(all), err
		}),
		"isRegistry": strings.HasPrefix(l.project, registryPrefix),
	}
	if l.collection == nil {
		f["latestArtifact"] = lazy(func() (any, error) {
			m, err := s.memberOf(c.ctx, l, solera.Latest)
			if err != nil {
				return orNull(nil, err)
			}
			return artifactObject(c, sp, m.version), nil
		})
	}
	return object{l.kind(), f}
}

// projectInfo is the project of a collection; one that no run names is shown all
// the same.
func projectInfo(c *call, sp *space, name string) object {
	if o, err := c.service.findProject(c, sp.name, name); err == nil {
		if found, ok := o.(object); ok {
			return found
		}
	}
	return c.service.project(c, project{sp, tracking.Project{Name: name}})
}

// A member is a version in a sequence or portfolio.
type member struct {
	line    *line
	version solera.Version // perhaps without files
	number  int
	aliases []string
	linked  solera.Micros
}

// members returns the versions of a collection, the newest first.
func (s *service) members(ctx context.Context, l *line) ([]member, error) {
	var list []member
	if l.collection == nil {
		all, err := l.sp.in(l.project).List(ctx, solera.VersionQuery{Artifact: l.name})
		for _, v := range all {
			list = append(list, member{l, v, v.Number, v.Aliases, v.Created})
		}
		return list, err
	}
	for _, m := range slices.Backward(l.collection.Members) {
		v, err := versionOf(ctx, l.sp, m.Version)
		if err != nil {
			return nil, err
		}
		list = append(list, member{l, v, m.Number, m.Aliases, m.Linked})
	}
	return list, nil
}

// memberOf returns the version that an alias, a number such as v3, or a digest
// names in a collection.
func (s *service) memberOf(ctx context.Context, l *line, which string) (member, error) {
	missing := func() (member, error) {
		return member{}, fmt.Errorf("artifact %.80s:%.80s: %w in %s/%s", l.name, which, solera.ErrNotFound, l.sp.name, l.project)
	}
	ref, err := solera.ParseRef(l.name + ":" + tracking.InwardName(which))
	if err != nil {
		return missing()
	}
	ref.Project = l.project
	if l.collection != nil {
		m, err := l.collection.Resolve(ref)
		if err == nil {
			v, err := versionOf(ctx, l.sp, m.Version)
			return member{l, v, m.Number, m.Aliases, m.Linked}, err
		}
	} else {
		var v solera.Version
		err := l.sp.t.Store.View(ctx, func(tx solera.Tx) error {
			id, err := tx.Resolve(ref)
			if err == nil {
				v, err = tx.Version(id)
			}
			return err
		})
		if err == nil && v.Deleted == 0 {
			return member{l, v, v.Number, v.Aliases, v.Created}, nil
		}
		if err != nil && !errors.Is(err, solera.ErrNotFound) {
			return member{}, err
		}
	}
	if !isHex(which, 32) {
		return missing()
	}
	all, err := s.members(ctx, l)
	if err != nil {
		return member{}, err
	}
	for _, m := range all {
		x, err := s.summary(ctx, l.sp, m.version)
		if err != nil {
			return member{}, err
		}
		if x.digest == which {
			return m, nil
		}
	}
	return missing()
}

func isHex(s string, n int) bool { return len(s) == n && strings.Trim(s, "0123456789abcdef") == "" }

// memberByName returns what "name:alias" names in a project; a bare name is its
// latest.
func (s *service) memberByName(c *call, sp *space, project, name string) (member, error) {
	name, which, ok := strings.Cut(name, ":")
	if !ok {
		which = solera.Latest
	}
	l, err := s.lineByName(c, sp, project, name)
	if err != nil {
		return member{}, err
	}
	return s.memberOf(c.ctx, l, which)
}

func (m member) id() string {
	return globalID("ArtifactCollectionMembership", m.line.id(), versionID(m.line.sp, m.version.ID()))
}

func (m member) aliasObjects(c *call) []object {
	list := make([]object, len(m.aliases))
	for i, alias := range m.aliases {
		list[i] = object{"ArtifactAlias", fields{
			"id": globalID("ArtifactAlias", m.line.id(), alias), "alias": alias,
			"artifactCollection": lazy(func() (any, error) { return m.line.object(c), nil }),
			"artifact":           lazy(func() (any, error) { return artifactObject(c, m.line.sp, m.version), nil }),
		}}
	}
	return list
}

func (m member) object(c *call) object {
	sp := m.line.sp
	return object{"ArtifactCollectionMembership", fields{
		"id": m.id(), "versionIndex": m.number, "createdAt": m.linked,
		"aliases":            m.aliasObjects(c),
		"artifactCollection": lazy(func() (any, error) { return m.line.object(c), nil }),
		"artifact":           lazy(func() (any, error) { return artifactObject(c, sp, m.version), nil }),
		"files": resolver(func(a *args) (any, error) {
			return c.service.fileList(c, sp, m.version.ID(), a)
		}),
	}}
}

// memberList answers ArtifactCollection.artifacts.
func (s *service) memberList(c *call, l *line, a *args) (any, error) {
	all, err := s.members(c.ctx, l)
	if err != nil {
		return nil, err
	}
	if all, err = chosen(all, a, s.memberKey(c)); err != nil {
		return nil, err
	}
	from, _, err := window(a, len(all))
	if err != nil {
		return nil, err
	}
	o, err := cut("VersionedArtifact", all, a, func(m member) object { return artifactObject(c, l.sp, m.version) })
	if err != nil {
		return nil, err
	}
	for i, edge := range o.fields["edges"].([]object) {
		edge.fields["version"] = "v" + strconv.Itoa(all[from+i].number)
	}
	return o, nil
}

// memberKey returns what a version has under a key of a filter.
func (s *service) memberKey(c *call) func(m member, key string) any {
	return func(m member, key string) any {
		switch key {
		case "state":
			return "COMMITTED"
		case "versionIndex", "version_index":
			return float64(m.number)
		case "version":
			return "v" + strconv.Itoa(m.number)
		case "alias", "aliases":
			return m.aliases
		case "tag", "tags":
			return m.version.Tags
		case "createdAt", "created_at":
			return m.version.Created
		case "updatedAt", "updated_at":
			return m.version.Created
		case "size":
			return float64(m.version.Size)
		case "description":
			return m.version.Description
		case "name", "collection":
			return m.line.name
		case "type":
			return m.version.Type
		case "digest":
			x, err := s.summary(c.ctx, m.line.sp, m.version)
			if err != nil {
				return nil
			}
			return x.digest
		}
		if key, ok := strings.CutPrefix(key, "metadata."); ok {
			return m.version.Metadata.Flat()[key]
		}
		return unknownKey
	}
}

// collectionList answers the collections of a project, or of one type in it.
func (s *service) collectionList(c *call, sp *space, project, typ string, a *args) (any, error) {
	all, err := s.lines(c.ctx, sp, project)
	if err != nil {
		return nil, err
	}
	if typ != "" {
		all = slices.DeleteFunc(all, func(l *line) bool { return l.typ != typ })
	}
	if all, err = chosen(all, a, lineKey); err != nil {
		return nil, err
	}
	return cut("ArtifactCollection", all, a, func(l *line) object { return l.object(c).(object) })
}

func lineKey(l *line, key string) any {
	switch key {
	case "name":
		return l.name
	case "type":
		return l.typ
	case "tag", "tags":
		return l.tags
	case "description":
		return l.description
	case "createdAt", "created_at":
		return l.created
	case "updatedAt", "updated_at":
		return l.updated
	case "collectionType", "collection_type":
		return strings.ToUpper(strings.TrimPrefix(l.kind(), "Artifact"))
	case "state":
		return "READY"
	}
	return unknownKey
}

// allAliases are those of a version in its sequence and in every collection.
func (s *service) allAliases(c *call, sp *space, v solera.Version) (any, error) {
	all, err := s.placesOf(c, sp, v)
	if err != nil {
		return nil, err
	}
	list := []object{}
	for _, m := range all {
		list = append(list, m.aliasObjects(c)...)
	}
	return list, nil
}

// placesOf returns a version as a member of its sequence and of collections.
func (s *service) placesOf(c *call, sp *space, v solera.Version) ([]member, error) {
	own := &line{sp: sp, project: v.Project, name: v.Artifact}
	all := []member{{own, v, v.Number, v.Aliases, v.Created}}
	linked, err := sp.t.Memberships(c.ctx, v.ID())
	for _, m := range linked {
		all = append(all, member{portfolio(sp, m.Collection), v, m.Number, m.Aliases, m.Linked})
	}
	return all, err
}

func (s *service) memberships(c *call, sp *space, v solera.Version) (any, error) {
	all, err := s.placesOf(c, sp, v)
	if err != nil {
		return nil, err
	}
	p := page{total: len(all)}
	for _, m := range all {
		p.nodes = append(p.nodes, m.object(c))
	}
	return connection("ArtifactCollectionMembership", p), nil
}

func (s *service) collectionsOf(c *call, sp *space, v solera.Version) (any, error) {
	all, err := s.placesOf(c, sp, v)
	if err != nil {
		return nil, err
	}
	p := page{total: len(all)}
	for _, m := range all {
		p.nodes = append(p.nodes, m.line.object(c).(object))
	}
	return connection("ArtifactCollection", p), nil
}

// fileList answers the files of a version, references too: a client fetches
// only what is listed here.
func (s *service) fileList(c *call, sp *space, id solera.VersionID, a *args) (any, error) {
	names := a.Texts("names")
	if err := a.Err(); err != nil {
		return nil, err
	}
	v, err := versionOf(c.ctx, sp, id)
	if err != nil {
		return nil, err
	}
	files := v.Files
	if len(names) > 0 {
		wanted := make(map[string]bool, len(names))
		for _, name := range names {
			wanted[strings.TrimPrefix(path.Clean("/"+name), "/")] = true
		}
		files = slices.DeleteFunc(slices.Clone(files), func(e solera.Entry) bool { return !wanted[e.Path] })
	}
	from, first, err := window(a, len(files))
	if err != nil {
		return nil, err
	}
	// What the records do not have is worked out for this page alone.
	shown, err := s.drafts(sp).Summed(c.ctx, files[from:min(from+first, len(files))])
	if err != nil {
		return nil, err
	}
	files = slices.Concat(files[:from], shown, files[from+len(shown):])
	return cut("File", files, a, func(e solera.Entry) object { return fileObject(c, sp, v, e) })
}

func fileObject(c *call, sp *space, v solera.Version, e solera.Entry) object {
	at := lazy(func() (any, error) {
		if e.Ref != "" {
			return e.Ref, nil
		}
		return c.blobURL(sp, e.Digest, e.Path)
	})
	kind := cmp.Or(mime.TypeByExtension(path.Ext(e.Path)), "application/octet-stream")
	digest := manifestDigest(e)
	var sum any
	if e.MD5 != "" {
		sum = digest
	}
	return object{"File", fields{
		"id": globalID("File", sp.name, v.ID().String(), e.Path), "name": e.Path, "displayName": e.Path,
		"url": at, "directUrl": at, "sizeBytes": e.Size, "storagePath": e.Digest.Hex(), "mimetype": kind,
		"updatedAt": v.Created, "digest": digest, "md5": sum,
		"artifact": lazy(func() (any, error) { return artifactObject(c, sp, v), nil }),
	}}
}

// filesByEntries answers the files that a client names as its manifest has them.
func (s *service) filesByEntries(c *call, sp *space, id solera.VersionID, a *args) (any, error) {
	entries := a.Inputs("entries")
	v, err := versionOf(c.ctx, sp, id)
	if err != nil {
		return nil, err
	}
	var list []solera.Entry
	for _, in := range entries {
		if e, ok := v.File(in.Text("name")); ok {
			list = append(list, e)
		}
	}
	if err := a.Err(); err != nil {
		return nil, err
	}
	if list, err = s.drafts(sp).Summed(c.ctx, list); err != nil {
		return nil, err
	}
	p := page{total: len(list)}
	for _, e := range list {
		p.nodes = append(p.nodes, fileObject(c, sp, v, e))
	}
	return connection("File", p), nil
}
