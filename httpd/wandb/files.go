package wandb

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"path"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
)

func (s *service) fileMutations() map[string]root {
	return map[string]root{
		"createRunFiles":       s.createRunFiles,
		"deleteFiles":          s.deleteFiles,
		"markRunFilesUploaded": s.markRunFilesUploaded,
	}
}

const (
	runFileKind = "run-file"
	maxRunFiles = 10_000 // asked for at once
)

// cleanPath returns the path of a run's file as the store has it. Clients send
// what the user wrote, such as "./a b.txt".
func cleanPath(name string) (string, error) {
	clean := path.Clean(strings.ReplaceAll(name, `\`, "/"))
	if strings.HasPrefix(clean, "/") || clean == "." || clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fmt.Errorf("file %.200q: %w: want a path within the run", name, solera.ErrInvalid)
	}
	return clean, solera.CheckPath(clean)
}

// createRunFiles tells where files of a run are to be sent.
func (s *service) createRunFiles(c *call, a *args) (any, error) {
	in := a.Input("input")
	entity, project, name := in.Text("entityName"), in.Project("projectName"), in.Need("runName")
	list := in.Texts("files")
	if err := in.Err(); err != nil {
		return nil, err
	}
	if len(list) > maxRunFiles {
		return nil, fmt.Errorf("%w: %d files; ask for at most %d at once", solera.ErrInvalid, len(list), maxRunFiles)
	}
	sp, err := c.enter(entity, auth.Editor)
	if err != nil {
		return nil, err
	}
	run, err := s.findRun(c, sp, project, name)
	if err != nil {
		return nil, err
	}
	files := make([]object, len(list))
	for i, given := range list {
		clean, err := cleanPath(given)
		if err != nil {
			return nil, err
		}
		url, err := c.uploadURL(sp, grant{Kind: runFileKind, Target: []string{string(run.ID), clean}, Size: -1}, clean)
		if err != nil {
			return nil, err
		}
		files[i] = object{"File", fields{
			"id": fileID(sp, run.ID, clean), "name": given, "displayName": given, "uploadUrl": url, "uploadHeaders": []string{},
		}}
	}
	return object{"CreateRunFilesPayload", fields{"runID": runGlobalID(sp, run.ID), "uploadHeaders": []string{}, "files": files}}, nil
}

// keepRunFile files what was sent.
func (s *service) keepRunFile(ctx context.Context, sp *space, g grant, got received) error {
	if len(g.Target) != 2 {
		return fmt.Errorf("target: %w", solera.ErrInvalid)
	}
	return sp.t.KeepFile(ctx, solera.RunID(g.Target[0]), solera.Entry{Path: g.Target[1], Digest: got.Digest, Size: got.Size, MD5: got.MD5}, got.before)
}

func fileID(sp *space, run solera.RunID, name string) string {
	return globalID("RunFile", sp.name, string(run), name)
}

// fileFields are the fields of a run that tell of its files.
func (s *service) fileFields(c *call, sp *space, run solera.Run) fields {
	all := func() (files []solera.Entry, err error) {
		err = sp.t.Store.View(c.ctx, func(tx solera.Tx) error {
			files, err = tx.RunFiles(run.ID)
			return err
		})
		return files, err
	}
	return fields{
		"fileCount": lazy(func() (any, error) {
			files, err := all()
			return len(files), err
		}),
		"files": resolver(func(a *args) (any, error) {
			names, pattern := a.Texts("names"), a.Text("pattern")
			if err := a.Err(); err != nil {
				return nil, err
			}
			files, err := all()
			if err != nil {
				return nil, err
			}
			if len(names) > 0 {
				files = named(files, names)
			}
			if pattern != "" {
				files = slices.DeleteFunc(files, func(e solera.Entry) bool { return !like(pattern, e.Path) })
			}
			o, err := cut("File", files, a, func(e solera.Entry) object { return s.runFile(c, sp, run, e) })
			if err == nil {
				o.fields["uploadHeaders"] = []string{}
			}
			return o, err
		}),
	}
}

// named returns the files of these names, in their order. One that is not there
// is an entry without bytes: clients take the first that they get.
func named(files []solera.Entry, names []string) []solera.Entry {
	at := make(map[string]solera.Entry, len(files))
	for _, e := range files {
		at[e.Path] = e
	}
	var out []solera.Entry
	for _, name := range names {
		e, ok := at[name]
		if !ok {
			clean, err := cleanPath(name)
			if err != nil {
				clean = name
			}
			if e, ok = at[clean]; !ok {
				e = solera.Entry{Path: name}
			}
		}
		out = append(out, e)
	}
	return out
}

// like reports whether a name matches a pattern of SQL: % is any text, _ any
// character.
func like(pattern, name string) bool {
	p, n := []rune(pattern), []rune(name)
	i, j, star, back := 0, 0, -1, 0
	for j < len(n) {
		switch {
		case i < len(p) && p[i] == '%':
			star, back = i, j
			i++
		case i < len(p) && (p[i] == '_' || p[i] == n[j]):
			i++
			j++
		case star >= 0:
			back++
			i, j = star+1, back
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '%' {
		i++
	}
	return i == len(p)
}

// runFile is a file of a run as clients see it.
func (s *service) runFile(c *call, sp *space, run solera.Run, e solera.Entry) object {
	kind := mediaType(e.Path)
	get := lazy(func() (any, error) {
		if e.Digest.IsZero() {
			return c.downloadURL(sp, grant{Kind: runFileKind, Target: []string{string(run.ID), e.Path}}, e.Path)
		}
		return c.downloadURL(sp, grant{Kind: "blob", Target: []string{e.Digest.String()}, Type: kind}, e.Path)
	})
	put := func() (any, error) {
		clean, err := cleanPath(e.Path)
		if err != nil {
			return nil, err
		}
		if !auth.PrincipalOf(c.ctx).Allows(sp.name, auth.Editor) {
			return nil, fmt.Errorf("%w: it takes the role %s to send files", auth.ErrForbidden, auth.Editor)
		}
		return c.uploadURL(sp, grant{Kind: runFileKind, Target: []string{string(run.ID), clean}, Size: -1}, clean)
	}
	return object{"File", fields{
		"id": fileID(sp, run.ID, e.Path), "name": e.Path, "displayName": e.Path,
		"url": resolver(func(a *args) (any, error) {
			if a.Bool("upload") {
				return put()
			}
			return get()
		}),
		"directUrl": get, "uploadUrl": lazy(put), "uploadHeaders": []string{},
		"sizeBytes": e.Size, "mimetype": kind, "updatedAt": max(run.Created, run.Heartbeat, run.Finished),
		"md5": orNil(e.MD5), "digest": orNil(e.MD5), "storagePath": nil, "uploadMultipartUrls": nil, "artifact": nil,
	}}
}

// mediaType guesses the type of a file from its name. What a browser could run
// is plain bytes.
func mediaType(name string) string {
	switch kind := mime.TypeByExtension(path.Ext(name)); {
	case kind == "", strings.Contains(kind, "html"), strings.Contains(kind, "svg"), strings.Contains(kind, "script"), strings.Contains(kind, "xml"):
		return "application/octet-stream"
	default:
		return kind
	}
}

// openRunFile opens a file of a run by its name.
func (s *service) openRunFile(ctx context.Context, sp *space, g grant) (content, error) {
	if len(g.Target) != 2 {
		return content{}, fmt.Errorf("target: %w", solera.ErrInvalid)
	}
	var found *solera.Entry
	err := sp.t.Store.View(ctx, func(tx solera.Tx) error {
		files, err := tx.RunFiles(solera.RunID(g.Target[0]))
		if i := slices.IndexFunc(files, func(e solera.Entry) bool { return e.Path == g.Target[1] }); err == nil && i >= 0 {
			found = &files[i]
		}
		return err
	})
	if err != nil {
		return content{}, err
	}
	if found == nil {
		return content{}, fmt.Errorf("run %s has no file %.200q: %w", g.Target[0], g.Target[1], solera.ErrNotFound)
	}
	return s.openBlob(ctx, sp, grant{Target: []string{found.Digest.String()}})
}

// markRunFilesUploaded is told what was sent. It is known already.
func (s *service) markRunFilesUploaded(c *call, a *args) (any, error) {
	in := a.Input("input")
	entity, project, name := in.Text("entityName"), in.Project("projectName"), in.Need("runName")
	_ = in.Texts("files")
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, err := c.enter(entity, auth.Editor)
	if err != nil {
		return nil, err
	}
	if _, err := s.findRun(c, sp, project, name); err != nil {
		return nil, err
	}
	return object{"MarkRunFilesUploadedPayload", fields{"success": true}}, nil
}

// deleteFiles makes runs forget files.
func (s *service) deleteFiles(c *call, a *args) (any, error) {
	in := a.Input("input")
	ids := in.Texts("files")
	if err := in.Err(); err != nil {
		return nil, err
	}
	if len(ids) > maxRunFiles {
		return nil, fmt.Errorf("%w: %d files; delete at most %d at once", solera.ErrInvalid, len(ids), maxRunFiles)
	}
	for _, id := range ids {
		parts, err := parseID("RunFile", id, 3)
		if err != nil {
			return nil, err
		}
		sp, err := c.enter(parts[0], auth.Editor)
		if err != nil {
			return nil, err
		}
		if err := sp.t.DropFile(c.ctx, solera.RunID(parts[1]), parts[2]); err != nil && !errors.Is(err, solera.ErrNotFound) {
			return nil, err
		}
	}
	return object{"DeleteFilesPayload", fields{"success": true}}, nil
}
