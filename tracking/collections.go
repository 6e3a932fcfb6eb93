package tracking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// A Collection gathers versions of several artifacts, of any project, under a
// name and a numbering of its own: all models that are candidates for one
// purpose. It has no bytes; its members are links. The newest is its latest.
type Collection struct {
	Project     string        `json:"-"`
	Name        string        `json:"-"` // no artifact of the project has it
	Type        string        `json:"type"`
	Description string        `json:"description"`
	Tags        []string      `json:"tags"` // sorted, without repeats
	Members     []Member      `json:"-"`    // by number; versions that were deleted are left out
	Created     solera.Micros `json:"-"`
	Updated     solera.Micros `json:"-"`
}

// A Member is a version in a collection.
type Member struct {
	Version solera.VersionID
	Number  int           // in the collection, from 0; never given again
	Aliases []string      // in the collection, sorted; solera.Latest among them for the newest
	Linked  solera.Micros // when
}

// collectionBody is a Collection as it is kept.
type collectionBody struct {
	Collection
	Next    int          `json:"next"`
	Members []memberBody `json:"members"`
}

type memberBody struct {
	Version string        `json:"version"`
	Number  int           `json:"number"`
	Aliases []string      `json:"aliases,omitempty"`
	Linked  solera.Micros `json:"linked"`
}

func collectionID(project, name string) string { return project + "/" + name }

// readCollection returns a collection as it is kept, and as it is shown.
func readCollection(tx solera.Tx, doc solera.Document) (collectionBody, Collection, error) {
	var body collectionBody
	if err := readDocument(doc, &body); err != nil {
		return body, Collection{}, err
	}
	c := body.Collection
	c.Project, c.Name, _ = strings.Cut(doc.ID, "/")
	c.Created, c.Updated = doc.Created, doc.Updated
	if c.Tags == nil {
		c.Tags = []string{}
	}
	for _, m := range body.Members {
		id, err := parseVersionID(m.Version)
		if err != nil {
			return body, c, err
		}
		v, err := tx.Version(id)
		if errors.Is(err, solera.ErrNotFound) || err == nil && v.Deleted != 0 {
			continue
		}
		if err != nil {
			return body, c, err
		}
		c.Members = append(c.Members, Member{Version: id, Number: m.Number, Aliases: slices.Clone(m.Aliases), Linked: m.Linked})
	}
	if n := len(c.Members); n > 0 {
		last := &c.Members[n-1]
		last.Aliases = append(last.Aliases, solera.Latest)
		slices.Sort(last.Aliases)
	}
	return body, c, nil
}

func collection(tx solera.Tx, project, name string) (collectionBody, Collection, error) {
	missing := func(err error) (collectionBody, Collection, error) {
		return collectionBody{}, Collection{}, fmt.Errorf("collection %.80q of %.80s: %w", name, project, err)
	}
	if solera.CheckName(project) != nil || solera.CheckName(name) != nil {
		return missing(solera.ErrNotFound)
	}
	doc, err := tx.Document(collectionKind, collectionID(project, name))
	if errors.Is(err, solera.ErrNotFound) {
		return missing(solera.ErrNotFound)
	}
	if err != nil {
		return missing(err)
	}
	return readCollection(tx, doc)
}

// Collection returns a collection of the project.
func (t *Tracker) Collection(ctx context.Context, name string) (Collection, error) {
	var c Collection
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		_, c, err = collection(tx, t.Project, name)
		return err
	})
	return c, err
}

// Collections returns the collections of the project by name; of the Project ""
// those of all.
func (t *Tracker) Collections(ctx context.Context) ([]Collection, error) {
	var list []Collection
	err := t.Store.View(ctx, func(tx solera.Tx) error {
		list = []Collection{}
		all, err := tx.Documents(collectionKind)
		if err != nil {
			return err
		}
		for _, doc := range all {
			if project, _, _ := strings.Cut(doc.ID, "/"); t.Project != "" && project != t.Project {
				continue
			}
			_, c, err := readCollection(tx, doc)
			if err != nil {
				return err
			}
			list = append(list, c)
		}
		return nil
	})
	return list, err
}

// Link makes a version a member of a collection of the project, which it makes
// if there is none, and gives the member aliases there. One that is a member
// already stays what it is. A collection has one type, as an artifact has.
func (t *Tracker) Link(ctx context.Context, name string, id solera.VersionID, aliases []string) (Collection, Member, error) {
	fail := func(err error) (Collection, Member, error) {
		return Collection{}, Member{}, fmt.Errorf("link %v to %.80q: %w", id, name, err)
	}
	if err := errors.Join(solera.CheckName(t.Project), solera.CheckName(name)); err != nil {
		return fail(err)
	}
	aliases, err := checkAliases(aliases)
	if err != nil {
		return fail(err)
	}
	var c Collection
	var m Member
	err = t.Store.Update(ctx, func(tx solera.Tx) error {
		v, err := tx.Version(id)
		if err != nil {
			return err
		}
		if v.Deleted != 0 {
			return errDeleted(v)
		}
		body, _, err := collection(tx, t.Project, name)
		switch {
		case errors.Is(err, solera.ErrNotFound):
			switch _, err := tx.Artifact(t.Project, name); {
			case err == nil:
				return fmt.Errorf("%w: %s is an artifact of the project %s; link it to a collection of another name", solera.ErrConflict, name, t.Project)
			case !errors.Is(err, solera.ErrNotFound):
				return err
			}
			body = collectionBody{Collection: Collection{Type: v.Type, Tags: []string{}}}
		case err != nil:
			return err
		case body.Type != v.Type:
			return fmt.Errorf("%w: it gathers versions of the type %s, and this is a %s", solera.ErrConflict, body.Type, v.Type)
		}
		at := slices.IndexFunc(body.Members, func(m memberBody) bool { return m.Version == id.String() })
		if at < 0 {
			now, err := tx.Now()
			if err != nil {
				return err
			}
			at = len(body.Members)
			body.Members = append(body.Members, memberBody{Version: id.String(), Number: body.Next, Linked: now})
			body.Next++
		}
		body.alias(at, aliases)
		if err := keep(tx, collectionKind, collectionID(t.Project, name), body); err != nil {
			return err
		}
		if _, c, err = collection(tx, t.Project, name); err != nil {
			return err
		}
		m, err = c.Member(id)
		return err
	})
	if err != nil {
		return fail(err)
	}
	return c, m, nil
}

// MakeCollection makes a collection that has no members yet; one of that name
// and type which is there already stays what it is.
func (t *Tracker) MakeCollection(ctx context.Context, name, typ string, description *string) (Collection, error) {
	fail := func(err error) (Collection, error) {
		return Collection{}, fmt.Errorf("make the collection %.80q: %w", name, err)
	}
	if err := errors.Join(solera.CheckName(t.Project), solera.CheckName(name), solera.CheckName(typ)); err != nil {
		return fail(err)
	}
	change := LineAmendment{Description: description}
	if err := change.check(); err != nil {
		return fail(err)
	}
	var c Collection
	err := t.Store.Update(ctx, func(tx solera.Tx) (err error) {
		var body collectionBody
		switch body, c, err = collection(tx, t.Project, name); {
		case err == nil && body.Type != typ:
			return fmt.Errorf("%w: there is one that gathers versions of the type %s", solera.ErrConflict, body.Type)
		case err == nil:
			return nil
		case !errors.Is(err, solera.ErrNotFound):
			return err
		}
		if err := free(tx, t.Project, name); err != nil {
			return err
		}
		body = collectionBody{Collection: Collection{Type: typ, Tags: []string{}}}
		if err := change.apply(&body.Description, &body.Tags); err != nil {
			return err
		}
		if err := keep(tx, collectionKind, collectionID(t.Project, name), body); err != nil {
			return err
		}
		_, c, err = collection(tx, t.Project, name)
		return err
	})
	if err != nil {
		return fail(err)
	}
	return c, nil
}

// checkAliases returns the aliases but for latest, which comes by itself.
func checkAliases(aliases []string) ([]string, error) {
	aliases = slices.DeleteFunc(slices.Clone(aliases), func(a string) bool { return a == solera.Latest })
	for _, alias := range aliases {
		if err := solera.CheckAlias(alias); err != nil {
			return nil, err
		}
	}
	return aliases, nil
}

// alias gives aliases to a member and takes them from all others.
func (b *collectionBody) alias(at int, aliases []string) {
	for i := range b.Members {
		m := &b.Members[i]
		m.Aliases = slices.DeleteFunc(m.Aliases, func(a string) bool { return slices.Contains(aliases, a) })
		if i == at {
			m.Aliases = append(m.Aliases, aliases...)
			slices.Sort(m.Aliases)
			m.Aliases = slices.Compact(m.Aliases)
		}
	}
}

// Member returns the member that is that version.
func (c Collection) Member(id solera.VersionID) (Member, error) {
	for _, m := range c.Members {
		if m.Version == id {
			return m, nil
		}
	}
	return Member{}, fmt.Errorf("%v: %w: it is not linked in %s", id, solera.ErrNotFound, c.Name)
}

// Resolve returns the member that ref, whose Artifact is the collection, names.
func (c Collection) Resolve(ref solera.Ref) (Member, error) {
	for _, m := range c.Members {
		if ref.Alias == "" && m.Number == ref.Number || ref.Alias != "" && slices.Contains(m.Aliases, ref.Alias) {
			return m, nil
		}
	}
	return Member{}, fmt.Errorf("%s: %w: the collection %s has no such member", ref, solera.ErrNotFound, c.Name)
}

// changeCollection changes a collection as it is kept.
func (t *Tracker) changeCollection(ctx context.Context, what, name string, change func(tx solera.Tx, b *collectionBody) error) (Collection, error) {
	var c Collection
	err := t.Store.Update(ctx, func(tx solera.Tx) error {
		body, _, err := collection(tx, t.Project, name)
		if err != nil {
			return err
		}
		if err := change(tx, &body); err != nil {
			return err
		}
		if err := keep(tx, collectionKind, collectionID(t.Project, name), body); err != nil {
			return err
		}
		_, c, err = collection(tx, t.Project, name)
		return err
	})
	if err != nil {
		return Collection{}, fmt.Errorf("%s collection %.80q: %w", what, name, err)
	}
	return c, nil
}

func (b *collectionBody) member(id solera.VersionID) (int, error) {
	at := slices.IndexFunc(b.Members, func(m memberBody) bool { return m.Version == id.String() })
	if at < 0 {
		return 0, fmt.Errorf("%v: %w: it is not linked there", id, solera.ErrNotFound)
	}
	return at, nil
}

// Unlink takes a version out of a collection. Its number there is not given
// again.
func (t *Tracker) Unlink(ctx context.Context, name string, id solera.VersionID) error {
	_, err := t.changeCollection(ctx, "unlink from", name, func(_ solera.Tx, b *collectionBody) error {
		at, err := b.member(id)
		if err == nil {
			b.Members = slices.Delete(b.Members, at, at+1)
		}
		return err
	})
	return err
}

// AliasMember gives aliases to a member of a collection and takes others away.
func (t *Tracker) AliasMember(ctx context.Context, name string, id solera.VersionID, add, remove []string) error {
	add, err := checkAliases(add)
	if err != nil {
		return err
	}
	_, err = t.changeCollection(ctx, "alias in", name, func(_ solera.Tx, b *collectionBody) error {
		at, err := b.member(id)
		if err != nil {
			return err
		}
		for _, alias := range remove {
			if !slices.Contains(b.Members[at].Aliases, alias) {
				return fmt.Errorf("alias %.80q: %w: v%d has no such alias there", alias, solera.ErrNotFound, b.Members[at].Number)
			}
		}
		b.Members[at].Aliases = slices.DeleteFunc(b.Members[at].Aliases, func(a string) bool { return slices.Contains(remove, a) })
		b.alias(at, add)
		return nil
	})
	return err
}

// A LineAmendment is what is to be said from now on about a collection, or
// about an artifact as a whole; nil leaves it.
type LineAmendment struct {
	Description *string
	Add, Remove []string // tags
}

func (a LineAmendment) check() error {
	if a.Description != nil {
		if err := checkDescription(*a.Description); err != nil {
			return err
		}
	}
	for _, tag := range a.Add {
		if err := checkTag(tag); err != nil {
			return err
		}
	}
	return nil
}

func (a LineAmendment) apply(description *string, tags *[]string) error {
	if a.Description != nil {
		*description = *a.Description
	}
	list := slices.Concat(*tags, a.Add)
	list = slices.DeleteFunc(list, func(tag string) bool { return slices.Contains(a.Remove, tag) })
	slices.Sort(list)
	if *tags = slices.Compact(list); len(*tags) > maxTags {
		return fmt.Errorf("%w: %d tags, at most %d are allowed", solera.ErrInvalid, len(*tags), maxTags)
	}
	return nil
}

// AmendCollection changes what is said about a collection.
func (t *Tracker) AmendCollection(ctx context.Context, name string, a LineAmendment) (Collection, error) {
	if err := a.check(); err != nil {
		return Collection{}, err
	}
	return t.changeCollection(ctx, "change", name, func(_ solera.Tx, b *collectionBody) error {
		return a.apply(&b.Description, &b.Tags)
	})
}

// RenameCollection gives a collection another name, which nothing in the project
// has.
func (t *Tracker) RenameCollection(ctx context.Context, name, to string) (Collection, error) {
	if err := solera.CheckName(to); err != nil {
		return Collection{}, err
	}
	var c Collection
	err := t.Store.Update(ctx, func(tx solera.Tx) error {
		body, old, err := collection(tx, t.Project, name)
		if err != nil {
			return err
		}
		if to == name {
			c = old
			return nil
		}
		if err := free(tx, t.Project, to); err != nil {
			return err
		}
		if err := tx.DeleteDocument(collectionKind, collectionID(t.Project, name)); err != nil {
			return err
		}
		if err := keep(tx, collectionKind, collectionID(t.Project, to), body); err != nil {
			return err
		}
		_, c, err = collection(tx, t.Project, to)
		return err
	})
	if err != nil {
		return Collection{}, fmt.Errorf("rename the collection %.80q to %.80q: %w", name, to, err)
	}
	return c, nil
}

// free reports ErrConflict if an artifact or a collection has the name.
func free(tx solera.Tx, project, name string) error {
	_, err := tx.Artifact(project, name)
	if errors.Is(err, solera.ErrNotFound) {
		_, err = tx.Document(collectionKind, collectionID(project, name))
	}
	switch {
	case errors.Is(err, solera.ErrNotFound):
		return nil
	case err == nil:
		return fmt.Errorf("%w: %s is the name of something else in the project %s", solera.ErrConflict, name, project)
	}
	return err
}

// DeleteCollection forgets a collection. The versions in it stay.
func (t *Tracker) DeleteCollection(ctx context.Context, name string) error {
	return t.Store.Update(ctx, func(tx solera.Tx) error {
		if _, _, err := collection(tx, t.Project, name); err != nil {
			return err
		}
		return tx.DeleteDocument(collectionKind, collectionID(t.Project, name))
	})
}

// A Membership is a member, and where.
type Membership struct {
	Collection Collection
	Member
}

// Memberships returns the collections, of any project, that a version is in.
func (t *Tracker) Memberships(ctx context.Context, id solera.VersionID) ([]Membership, error) {
	all := *t
	all.Project = ""
	list, err := all.Collections(ctx)
	if err != nil {
		return nil, err
	}
	out := []Membership{}
	for _, c := range list {
		if m, err := c.Member(id); err == nil {
			out = append(out, Membership{c, m})
		}
	}
	return out, nil
}

// linkedVersions returns the versions that are in a collection, and one in
// which they are.
func linkedVersions(tx solera.Tx) (map[solera.VersionID]string, error) {
	list, err := tx.Documents(collectionKind)
	if err != nil {
		return nil, err
	}
	linked := make(map[solera.VersionID]string)
	for _, doc := range list {
		var body collectionBody
		if err := readDocument(doc, &body); err != nil {
			return nil, err
		}
		for _, m := range body.Members {
			id, err := parseVersionID(m.Version)
			if err != nil {
				return nil, err
			}
			linked[id] = doc.ID
		}
	}
	return linked, nil
}

// A Line is what is said about an artifact as a whole.
type Line struct {
	Description string   `json:"description"`
	Tags        []string `json:"tags"` // sorted, without repeats
}

// LineOf is Line in a transaction.
func LineOf(tx solera.Tx, project, artifact string) (Line, error) {
	var l Line
	_, err := recall(tx, lineKind, collectionID(project, artifact), &l)
	if errors.Is(err, solera.ErrNotFound) {
		err = nil
	}
	if l.Tags == nil {
		l.Tags = []string{}
	}
	return l, err
}

// Line returns what is said about an artifact of the project as a whole.
func (t *Tracker) Line(ctx context.Context, artifact string) (Line, error) {
	var l Line
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		if _, err := tx.Artifact(t.Project, artifact); err != nil {
			return err
		}
		l, err = LineOf(tx, t.Project, artifact)
		return err
	})
	return l, err
}

// AmendLine changes what is said about an artifact of the project as a whole.
func (t *Tracker) AmendLine(ctx context.Context, artifact string, a LineAmendment) (Line, error) {
	if err := a.check(); err != nil {
		return Line{}, err
	}
	var l Line
	err := t.Store.Update(ctx, func(tx solera.Tx) (err error) {
		if _, err := tx.Artifact(t.Project, artifact); err != nil {
			return err
		}
		if l, err = LineOf(tx, t.Project, artifact); err != nil {
			return err
		}
		if err := a.apply(&l.Description, &l.Tags); err != nil {
			return err
		}
		return keep(tx, lineKind, collectionID(t.Project, artifact), l)
	})
	if err != nil {
		return Line{}, fmt.Errorf("change %s: %w", artifact, err)
	}
	return l, nil
}

// DeleteLine gives up all versions of an artifact of the project, whatever
// names or uses them. Their records stay, for the lineage.
func (t *Tracker) DeleteLine(ctx context.Context, artifact string) error {
	err := t.update(ctx, func(tx solera.Tx) error {
		if _, err := tx.Artifact(t.Project, artifact); err != nil {
			return err
		}
		list, err := tx.Versions(solera.VersionQuery{Project: t.Project, Artifact: artifact})
		if err != nil {
			return err
		}
		now, err := tx.Now()
		if err != nil {
			return err
		}
		for _, v := range list {
			v.Deleted = now
			if err := tx.UpdateVersion(v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete %s: %w", artifact, err)
	}
	return nil
}

// Remark keeps fields that were said of a version after its commit, beside its
// metadata: those are part of its content, and do not change. Nil takes them
// away.
func (t *Tracker) Remark(ctx context.Context, id solera.VersionID, remarks solera.Fields) error {
	return t.Store.Update(ctx, func(tx solera.Tx) error {
		if _, err := tx.Version(id); err != nil {
			return err
		}
		if remarks == nil {
			err := tx.DeleteDocument(remarksKind, id.String())
			if errors.Is(err, solera.ErrNotFound) {
				err = nil
			}
			return err
		}
		return remark(tx, id, remarks)
	})
}

func remark(tx solera.Tx, id solera.VersionID, remarks solera.Fields) error {
	_, err := tx.SetDocument(solera.Document{Kind: remarksKind, ID: id.String(), Body: remarks})
	return err
}

// Remarks returns what Remark keeps of a version, nil if nothing.
func (t *Tracker) Remarks(ctx context.Context, id solera.VersionID) (solera.Fields, error) {
	var fields solera.Fields
	err := t.Store.View(ctx, func(tx solera.Tx) error {
		doc, err := tx.Document(remarksKind, id.String())
		if errors.Is(err, solera.ErrNotFound) {
			fields = nil
			return nil
		}
		fields = doc.Body
		return err
	})
	return fields, err
}
