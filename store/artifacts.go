package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

const artifactSelect = `SELECT a.project, a.name, a.type,
	COALESCE((SELECT v.number FROM versions v WHERE v.project = a.project AND v.artifact = a.name AND v.deleted = 0
		ORDER BY v.number DESC LIMIT 1), -1),
	a.created, a.updated FROM artifacts a`

func scanArtifact(scan func(...any) error) (solera.Artifact, error) {
	var a solera.Artifact
	err := scan(&a.Project, &a.Name, &a.Type, &a.Newest, &a.Created, &a.Updated)
	return a, err
}

func (t *tx) Artifact(project, name string) (solera.Artifact, error) {
	a, err := scanArtifact(t.row(artifactSelect+` WHERE a.project = $1 AND a.name = $2`, project, name).Scan)
	return a, notFound(err, "artifact "+name)
}

func (t *tx) Artifacts(project string) ([]solera.Artifact, error) {
	var f filter
	f.text("a.project", project)
	list := []solera.Artifact{}
	err := t.rows(func(scan func(...any) error) error {
		a, err := scanArtifact(scan)
		list = append(list, a)
		return err
	}, f.query(artifactSelect, `a.project, a.name`, 0), f.args...)
	if err != nil {
		return nil, fmt.Errorf("list artifacts: %w", err)
	}
	return list, nil
}

func (t *tx) CreateVersion(v solera.Version) (solera.Version, error) {
	created, err := t.createVersion(v)
	if err != nil {
		return solera.Version{}, fmt.Errorf("create version of %s: %w", v.Artifact, err)
	}
	return created, nil
}

func (t *tx) createVersion(v solera.Version) (solera.Version, error) {
	if err := errors.Join(solera.CheckName(v.Project), solera.CheckName(v.Artifact), solera.CheckFiles(v.Files)); err != nil {
		return v, err
	}
	var tags string
	var err error
	if v.Tags, tags, err = tagList(v.Tags); err != nil {
		return v, err
	}
	// The row of the artifact is what its committers queue for, so a number
	// is given once.
	var typ string
	err = t.row(`INSERT INTO artifacts (project, name, type, next, created, updated) VALUES ($1, $2, $3, 1, $4, $4)
		ON CONFLICT (project, name) DO UPDATE SET next = artifacts.next + 1, updated = EXCLUDED.updated
		RETURNING next - 1, type`,
		v.Project, v.Artifact, v.Type, int64(v.Created)).Scan(&v.Number, &typ)
	if err != nil {
		return v, err
	}
	if typ != v.Type {
		return v, fmt.Errorf("%w: it is a %s, not a %s; commit under another name", solera.ErrConflict, typ, v.Type)
	}
	if err := t.createContent(v); err != nil {
		return v, err
	}
	v.Deleted, v.Aliases = 0, nil
	_, err = t.exec(`INSERT INTO versions (project, artifact, number, content, run, created, tags, description, expires, deleted)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)`,
		v.Project, v.Artifact, v.Number, v.Digest.String(), string(v.Run), int64(v.Created),
		tags, v.Description, int64(v.Expires))
	if err != nil {
		return v, err
	}
	after := solera.Fields{
		"type": v.Type, "digest": v.Digest.String(), "size": v.Size, "files": len(v.Files), "run": string(v.Run),
	}
	maps.Copy(after, changed(v, solera.Version{}))
	return v, t.note("version.create", v.ID().String(), nil, after)
}

// tagList returns tags sorted and without repeats, and their JSON.
func tagList(tags []string) (list []string, text string, err error) {
	list = append([]string{}, tags...)
	slices.Sort(list)
	list = slices.Compact(list)
	if err := checkText([]any{strings.Join(list, "")}); err != nil {
		return nil, "", err // JSON would write another text
	}
	raw, err := json.Marshal(list)
	return list, string(raw), err
}

// changed returns what is about v and otherwise about old, for the audit log.
func changed(v, old solera.Version) solera.Fields {
	f := solera.Fields{}
	if !slices.Equal(v.Tags, old.Tags) {
		f["tags"] = append([]string{}, v.Tags...)
	}
	if v.Description != old.Description {
		f["description"] = v.Description
	}
	if v.Expires != old.Expires {
		f["expires"] = v.Expires
	}
	if v.Deleted != old.Deleted {
		f["deleted"] = v.Deleted
	}
	return f
}

func (t *tx) UpdateVersion(v solera.Version) error {
	if err := t.updateVersion(v); err != nil {
		return fmt.Errorf("update version %v: %w", v.ID(), err)
	}
	return nil
}

func (t *tx) updateVersion(v solera.Version) error {
	var tags string
	var err error
	if v.Tags, tags, err = tagList(v.Tags); err != nil {
		return err
	}
	id := v.ID()
	old, err := scanVersion(t.row(versionSelect+versionByID, id.Project, id.Artifact, id.Number).Scan)
	if err != nil {
		return notFound(err, "version "+id.Name())
	}
	after := changed(v, old)
	if len(after) == 0 {
		return nil
	}
	_, err = t.exec(`UPDATE versions SET tags = $4, description = $5, expires = $6, deleted = $7
		WHERE project = $1 AND artifact = $2 AND number = $3`,
		id.Project, id.Artifact, id.Number, tags, v.Description, int64(v.Expires), int64(v.Deleted))
	if err != nil {
		return err
	}
	if err := t.note("version.update", id.String(), changed(old, v), after); err != nil {
		return err
	}
	if v.Deleted == 0 {
		return nil
	}
	aliases, err := t.aliasesOf(id)
	if err != nil {
		return err
	}
	for _, alias := range aliases {
		if err := t.DeleteAlias(id.Project, id.Artifact, alias); err != nil {
			return err
		}
	}
	return nil
}

// createContent stores what versions of one digest share, unless it is there.
func (t *tx) createContent(v solera.Version) error {
	metadata, err := v.Metadata.MarshalJSON()
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	done, err := t.exec(`INSERT INTO contents (digest, type, metadata, size) VALUES ($1, $2, $3, $4) ON CONFLICT (digest) DO NOTHING`,
		v.Digest.String(), v.Type, string(metadata), v.Size)
	if err != nil {
		return err
	}
	n, err := done.RowsAffected()
	if err != nil {
		return err
	}
	content := v.Digest.String()
	if n == 0 {
		// What is no part of the digest may not have been known before.
		known := slices.DeleteFunc(slices.Clone(v.Files), func(e solera.Entry) bool { return e.MD5 == "" })
		return t.many(`UPDATE entries SET md5 = $3 WHERE content = $1 AND path = $2 AND md5 = ''`, len(known), func(i int) []any {
			return []any{content, known[i].Path, known[i].MD5}
		})
	}
	return t.many(`INSERT INTO entries (content, `+entryColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, len(v.Files), func(i int) []any {
		return entryArgs(content, v.Files[i])
	})
}

const versionSelect = `SELECT v.project, v.artifact, v.number, c.type, v.content, c.size, c.metadata, v.run, v.created,
	v.tags, v.description, v.expires, v.deleted,
	v.number = COALESCE((SELECT n.number FROM versions n WHERE n.project = v.project AND n.artifact = v.artifact AND n.deleted = 0
		ORDER BY n.number DESC LIMIT 1), -1)
	FROM versions v JOIN contents c ON c.digest = v.content`

const versionByID = ` WHERE v.project = $1 AND v.artifact = $2 AND v.number = $3`

// scanVersion leaves Files nil and puts Latest alone into Aliases.
func scanVersion(scan func(...any) error) (solera.Version, error) {
	var v solera.Version
	var digest, metadata, tags string
	var latest bool
	err := scan(&v.Project, &v.Artifact, &v.Number, &v.Type, &digest, &v.Size, &metadata, &v.Run, &v.Created,
		&tags, &v.Description, &v.Expires, &v.Deleted, &latest)
	if err != nil {
		return v, err
	}
	v.Aliases = []string{}
	if latest {
		v.Aliases = append(v.Aliases, solera.Latest)
	}
	err = errors.Join(v.Digest.UnmarshalText([]byte(digest)), json.Unmarshal([]byte(metadata), &v.Metadata), json.Unmarshal([]byte(tags), &v.Tags))
	if err != nil {
		return v, fmt.Errorf("version %v: %w: its record cannot be read: %v", v.ID(), solera.ErrCorrupt, err)
	}
	return v, nil
}

func (t *tx) Version(id solera.VersionID) (solera.Version, error) {
	v, err := scanVersion(t.row(versionSelect+versionByID, id.Project, id.Artifact, id.Number).Scan)
	if err != nil {
		return v, notFound(err, "version "+id.Name())
	}
	if v.Files, err = t.files(v.Digest); err != nil {
		return v, err
	}
	aliases, err := t.aliasesOf(id)
	v.Aliases = append(v.Aliases, aliases...)
	slices.Sort(v.Aliases)
	return v, err
}

// aliasesOf returns the names of a version but Latest, sorted.
func (t *tx) aliasesOf(id solera.VersionID) (list []string, err error) {
	err = t.rows(func(scan func(...any) error) error {
		var alias string
		err := scan(&alias)
		list = append(list, alias)
		return err
	}, `SELECT alias FROM aliases WHERE project = $1 AND artifact = $2 AND number = $3`, id.Project, id.Artifact, id.Number)
	slices.Sort(list)
	return list, err
}

// files returns the manifest of a content. Sorted here: databases differ in
// how they order text.
func (t *tx) files(content solera.Digest) ([]solera.Entry, error) {
	files := []solera.Entry{}
	err := t.rows(func(scan func(...any) error) error {
		e, err := scanEntry(scan)
		files = append(files, e)
		return err
	}, `SELECT `+entryColumns+` FROM entries WHERE content = $1`, content.String())
	slices.SortFunc(files, func(a, b solera.Entry) int { return strings.Compare(a.Path, b.Path) })
	return files, err
}

func (t *tx) Versions(q solera.VersionQuery) ([]solera.Version, error) {
	list, err := t.versions(q)
	if err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	return list, nil
}

func (t *tx) versions(q solera.VersionQuery) ([]solera.Version, error) {
	var f filter
	f.text("v.project", q.Project)
	f.text("v.artifact", q.Artifact)
	f.text("v.content", q.Digest.String())
	f.text("v.run", string(q.Run))
	if q.Tag != "" {
		// Tags are a JSON list of strings. Inside a string a quote is escaped,
		// so a comma and a bare quote are the beginning of a tag and no part of
		// one.
		tag, err := json.Marshal(q.Tag)
		if err != nil {
			return nil, err
		}
		f.args = append(f.args, ","+string(tag))
		const list = `',' || substr(v.tags, 2)`
		f.where = append(f.where, fmt.Sprintf(`replace(%s, $%d, '') <> %[1]s`, list, len(f.args)))
	}
	if !q.Deleted {
		f.equal("v.deleted", 0)
	}
	list := []solera.Version{}
	err := t.rows(func(scan func(...any) error) error {
		v, err := scanVersion(scan)
		list = append(list, v)
		return err
	}, f.query(versionSelect, `v.project, v.artifact, v.number DESC`, q.Limit), f.args...)
	if err != nil {
		return nil, err
	}
	aliases, err := t.aliases(q)
	if err != nil {
		return nil, err
	}
	for i := range list {
		v := &list[i]
		v.Aliases = append(v.Aliases, aliases[v.ID()]...)
		slices.Sort(v.Aliases)
		if !q.Files {
			continue
		}
		if v.Files, err = t.files(v.Digest); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (t *tx) aliases(q solera.VersionQuery) (map[solera.VersionID][]string, error) {
	var f filter
	f.text("project", q.Project)
	f.text("artifact", q.Artifact)
	found := make(map[solera.VersionID][]string)
	err := t.rows(func(scan func(...any) error) error {
		var id solera.VersionID
		var alias string
		err := scan(&id.Project, &id.Artifact, &id.Number, &alias)
		found[id] = append(found[id], alias)
		return err
	}, f.query(`SELECT project, artifact, number, alias FROM aliases`, `project, artifact, alias`, 0), f.args...)
	return found, err
}

func (t *tx) Resolve(ref solera.Ref) (solera.VersionID, error) {
	id := solera.VersionID{Project: ref.Project, Artifact: ref.Artifact}
	var err error
	switch ref.Alias {
	case "":
		err = t.row(`SELECT number FROM versions WHERE project = $1 AND artifact = $2 AND number = $3`,
			ref.Project, ref.Artifact, ref.Number).Scan(&id.Number)
	case solera.Latest:
		err = t.row(`SELECT number FROM versions WHERE project = $1 AND artifact = $2 AND deleted = 0
			ORDER BY number DESC LIMIT 1`,
			ref.Project, ref.Artifact).Scan(&id.Number)
	default:
		err = t.row(`SELECT number FROM aliases WHERE project = $1 AND artifact = $2 AND alias = $3`,
			ref.Project, ref.Artifact, ref.Alias).Scan(&id.Number)
	}
	return id, notFound(err, "artifact "+ref.String())
}

func (t *tx) SetAlias(id solera.VersionID, alias string) error {
	if err := solera.CheckAlias(alias); err != nil {
		return err
	}
	if err := t.setAlias(id, alias); err != nil {
		return fmt.Errorf("set alias %s: %w", alias, err)
	}
	return nil
}

func (t *tx) setAlias(id solera.VersionID, alias string) error {
	var deleted int64
	err := t.row(`SELECT deleted FROM versions WHERE project = $1 AND artifact = $2 AND number = $3`,
		id.Project, id.Artifact, id.Number).Scan(&deleted)
	if err != nil {
		return notFound(err, "version "+id.Name())
	}
	if deleted != 0 {
		return fmt.Errorf("version %s: %w: it is deleted; choose another version", id.Name(), solera.ErrConflict)
	}
	before, err := t.aliased(id.Project, id.Artifact, alias)
	if err != nil || before["number"] == id.Number {
		return err
	}
	_, err = t.exec(`INSERT INTO aliases (project, artifact, alias, number) VALUES ($1, $2, $3, $4)
		ON CONFLICT (project, artifact, alias) DO UPDATE SET number = EXCLUDED.number`, id.Project, id.Artifact, alias, id.Number)
	if err != nil {
		return err
	}
	return t.note("alias.set", aliasSubject(id.Project, id.Artifact, alias), before, solera.Fields{"number": id.Number})
}

func aliasSubject(project, artifact, alias string) string {
	return solera.Ref{Project: project, Artifact: artifact, Alias: alias}.String()
}

// aliased returns the "number" that an alias names, or nothing.
func (t *tx) aliased(project, artifact, alias string) (solera.Fields, error) {
	var number int
	err := t.row(`SELECT number FROM aliases WHERE project = $1 AND artifact = $2 AND alias = $3`, project, artifact, alias).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return solera.Fields{"number": number}, err
}

func (t *tx) DeleteAlias(project, artifact, alias string) error {
	if err := t.deleteAlias(project, artifact, alias); err != nil {
		return fmt.Errorf("delete alias %s: %w", aliasSubject(project, artifact, alias), err)
	}
	return nil
}

func (t *tx) deleteAlias(project, artifact, alias string) error {
	before, err := t.aliased(project, artifact, alias)
	if err != nil || before == nil {
		return err
	}
	_, err = t.exec(`DELETE FROM aliases WHERE project = $1 AND artifact = $2 AND alias = $3`, project, artifact, alias)
	if err != nil {
		return err
	}
	return t.note("alias.delete", aliasSubject(project, artifact, alias), before, nil)
}

func (t *tx) AddEdge(e solera.Edge) error {
	if err := t.addEdge(e); err != nil {
		return fmt.Errorf("tie run %s to %v: %w", e.Run, e.Version, err)
	}
	return nil
}

func (t *tx) addEdge(e solera.Edge) error {
	done, err := t.exec(`INSERT INTO edges (run, kind, project, artifact, number) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (run, kind, project, artifact, number) DO NOTHING`,
		string(e.Run), string(e.Kind), e.Version.Project, e.Version.Artifact, e.Version.Number)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return t.note("edge.add", e.Version.String(), nil, solera.Fields{"run": string(e.Run), "kind": string(e.Kind)})
}

func (t *tx) Edges(q solera.EdgeQuery) ([]solera.Edge, error) {
	var f filter
	f.text("run", string(q.Run))
	if q.Version != (solera.VersionID{}) {
		f.equal("project", q.Version.Project)
		f.equal("artifact", q.Version.Artifact)
		f.equal("number", q.Version.Number)
	}
	f.text("kind", string(q.Kind))
	list := []solera.Edge{}
	err := t.rows(func(scan func(...any) error) error {
		var e solera.Edge
		err := scan(&e.Run, &e.Kind, &e.Version.Project, &e.Version.Artifact, &e.Version.Number)
		list = append(list, e)
		return err
	}, f.query(`SELECT run, kind, project, artifact, number FROM edges`, `run, kind, project, artifact, number`, 0), f.args...)
	if err != nil {
		return nil, fmt.Errorf("list edges: %w", err)
	}
	return list, nil
}
