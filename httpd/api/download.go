package api

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

// InVersionFile is what an operation of a file of a version is told.
type InVersionFile struct {
	InVersion
	Path string `path:"path" maxLength:"1024" doc:"path of the file, with its slashes"`
}

func (s *service) downloadRoutes() {
	const version = "/artifacts/{project}/{name}/{version}"
	add(s, route{method: http.MethodGet, path: version + "/files/{path...}", id: "download-file", summary: "Download a file of a version", tag: "artifacts", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *InVersionFile) (*huma.StreamResponse, error) {
			ref, err := in.ref()
			if err != nil {
				return nil, err
			}
			v, err := t.Version(ctx, ref)
			if err != nil {
				return nil, err
			}
			e, err := fileOf(v.Files, in.Path)
			if err != nil {
				return nil, err
			}
			return s.download(ctx, t, e)
		})
	add(s, route{method: http.MethodGet, path: "/runs/{id}/files/{path...}", id: "download-run-file", summary: "Download a file of a run", tag: "runs", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InRun
			Path string `path:"path" maxLength:"1024"`
		},
		) (*huma.StreamResponse, error) {
			if err := exact(ctx, t, in.ID); err != nil {
				return nil, err
			}
			var files []solera.Entry
			err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
				files, err = tx.RunFiles(solera.RunID(in.ID))
				return err
			})
			if err != nil {
				return nil, err
			}
			e, err := fileOf(files, in.Path)
			if err != nil {
				return nil, err
			}
			return s.download(ctx, t, e)
		})
}

// fileOf finds a file by its path in the manifest: nothing else is ever opened,
// whatever the path says.
func fileOf(files []solera.Entry, name string) (solera.Entry, error) {
	if err := solera.CheckPath(name); err != nil {
		return solera.Entry{}, wrong("path.path", name, err)
	}
	for _, e := range files {
		if e.Path == name {
			return e, nil
		}
	}
	return solera.Entry{}, fmt.Errorf("file %.200q: %w", name, solera.ErrNotFound)
}

// download answers with the bytes of e, or the part that was asked for. They
// come from strangers, so that a browser must not show them under our name:
// always an attachment, never a type that can hold scripts.
func (s *service) download(ctx context.Context, t *tracking.Tracker, e solera.Entry) (*huma.StreamResponse, error) {
	content, err := t.OpenEntry(ctx, e)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer content.Close()
		r, w := humago.Unwrap(ctx)
		// A large file takes longer than any other answer.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		h := w.Header()
		h.Set("Content-Type", safeType(e.Path))
		h.Set("Content-Disposition", attachment(path.Base(e.Path)))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "private, no-cache")
		h.Set("ETag", `"`+e.Digest.String()+`"`)
		http.ServeContent(w, r, "", time.Time{}, content)
	}}, nil
}

func attachment(name string) string {
	if d := mime.FormatMediaType("attachment", map[string]string{"filename": name}); d != "" {
		return d
	}
	return "attachment"
}

// safeType returns the type of a file by its name, of those that cannot run.
func safeType(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".json":
		return "application/json"
	case ".txt", ".log", ".md", ".csv", ".tsv", ".jsonl", ".yaml", ".yml", ".patch":
		return "text/plain; charset=utf-8"
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".gif":
		return "image/gif"
	case ".webp":
		return "image/webp"
	}
	return "application/octet-stream"
}
