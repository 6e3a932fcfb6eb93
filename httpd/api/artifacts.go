package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/provenance"
	"github.com/solera-ml/solera/tracking"
)

// An ArtifactRow is an artifact in a list.
type ArtifactRow struct {
	solera.Artifact
	Versions int         `json:"versions"` // that are not deleted
	Size     int64       `json:"size"`     // bytes of the newest version
	Version  *VersionRow `json:"version"`  // the newest that is not deleted; null if all are
}

// A VersionRow is a version in a list, without its files.
type VersionRow struct {
	solera.Version
	Files  []solera.Entry `json:"files,omitempty" hidden:"true"`
	Signed string         `json:"signed" enum:"signed,unsigned"`
	UsedBy int            `json:"used_by"` // runs
}

// ArtifactDetail is an artifact with its versions, the newest first.
type ArtifactDetail struct {
	Artifact solera.Artifact `json:"artifact"`
	Versions []VersionRow    `json:"versions"` // deleted ones too
}

// VersionDetail is everything about a version.
type VersionDetail struct {
	solera.Version
	Signed string   `json:"signed"`  // ID of the key, "" if nobody signed it
	UsedBy []string `json:"used_by"` // run IDs
}

// A VersionChange changes what is said about a version; what is left out stays.
type VersionChange struct {
	Tags        *[]string `json:"tags,omitempty" maxItems:"100"`
	Description *string   `json:"description,omitempty"`
	Expires     expiry    `json:"expires,omitempty" doc:"when gc may delete it; null = never"`
}

// An expiry is a moment or null, and knows whether it was there at all.
type expiry struct{ at *solera.Micros }

func (e *expiry) UnmarshalJSON(b []byte) error {
	e.at = new(solera.Micros)
	return e.at.UnmarshalJSON(b)
}

// Schema describes an expiry.
func (expiry) Schema(r huma.Registry) *huma.Schema { return moment{}.Schema(r) }

// InArtifact is what an operation of an artifact is told.
type InArtifact struct {
	InWorkspace
	Project string `path:"project" maxLength:"128"`
	Name    string `path:"name" maxLength:"128"`
}

// InVersion is what an operation of a version is told.
type InVersion struct {
	InArtifact
	Version string `path:"version" maxLength:"128" doc:"v0, v1 …, or an alias" example:"latest"`
}

func (a InArtifact) check() error {
	if err := solera.CheckName(a.Project); err != nil {
		return wrong("path.project", a.Project, err)
	}
	if err := solera.CheckName(a.Name); err != nil {
		return wrong("path.name", a.Name, err)
	}
	return nil
}

// ref returns the reference, checked.
func (v InVersion) ref() (string, error) {
	if err := v.check(); err != nil {
		return "", err
	}
	ref, err := solera.ParseRef(v.Project + "/" + v.Name + ":" + v.Version)
	if err != nil {
		return "", wrong("path.version", v.Version, err)
	}
	return ref.String(), nil
}

func (s *service) artifactRoutes() {
	const one = "/artifacts/{project}/{name}"
	const version = one + "/{version}"
	add(s, route{method: http.MethodGet, path: "/artifacts", id: "list-artifacts", summary: "List the artifacts", tag: "artifacts", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InWorkspace
			Project string `query:"project" maxLength:"128"`
		},
		) (*answer[[]ArtifactRow], error) {
			return answered(artifactRows(ctx, t, in.Project))
		})
	add(s, route{method: http.MethodGet, path: one, id: "get-artifact", summary: "An artifact and its versions", tag: "artifacts", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *InArtifact) (*answer[ArtifactDetail], error) {
			if err := in.check(); err != nil {
				return nil, err
			}
			return answered(artifactDetail(ctx, t, in.Project, in.Name))
		})
	add(s, route{method: http.MethodGet, path: version, id: "get-version", summary: "Everything about a version", tag: "artifacts", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *InVersion) (*answer[VersionDetail], error) {
			ref, err := in.ref()
			if err != nil {
				return nil, err
			}
			return answered(versionDetail(ctx, t, ref))
		})
	add(s, route{method: http.MethodPatch, path: version, id: "change-version", summary: "Change what is said about a version", tag: "artifacts", role: auth.Editor},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InVersion
			Body VersionChange
		},
		) (*answer[VersionDetail], error) {
			ref, err := in.ref()
			if err != nil {
				return nil, err
			}
			if err := t.Amend(ctx, ref, tracking.VersionAmendment{Tags: in.Body.Tags, Description: in.Body.Description, Expires: in.Body.Expires.at}); err != nil {
				return nil, err
			}
			return answered(versionDetail(ctx, t, ref))
		})
	add(s, route{method: http.MethodDelete, path: version, id: "delete-version", summary: "Give a version up; gc frees its bytes", tag: "artifacts", role: auth.Editor},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InVersion
			Force bool `query:"force" doc:"also one that an alias names, or that others were made from"`
		},
		) (*none, error) {
			ref, err := in.ref()
			if err != nil {
				return nil, err
			}
			_, err = t.Delete(ctx, ref, in.Force)
			return &none{}, err
		})
	add(s, route{method: http.MethodPost, path: version + "/restore", id: "restore-version", summary: "Take the deletion of a version back", tag: "artifacts", role: auth.Editor},
		func(ctx context.Context, t *tracking.Tracker, in *InVersion) (*answer[VersionDetail], error) {
			ref, err := in.ref()
			if err != nil {
				return nil, err
			}
			if _, err := t.Restore(ctx, ref); err != nil {
				return nil, err
			}
			return answered(versionDetail(ctx, t, ref))
		})
	type InAlias struct {
		InVersion
		Alias string `path:"alias" maxLength:"128"`
	}
	add(s, route{method: http.MethodPut, path: version + "/aliases/{alias}", id: "set-alias", summary: "Make an alias name a version", tag: "artifacts", role: auth.Editor},
		func(ctx context.Context, t *tracking.Tracker, in *InAlias) (*none, error) {
			ref, err := in.ref()
			if err != nil {
				return nil, err
			}
			return &none{}, t.SetAlias(ctx, ref, in.Alias)
		})
	add(s, route{method: http.MethodDelete, path: version + "/aliases/{alias}", id: "delete-alias", summary: "Forget an alias", tag: "artifacts", role: auth.Editor},
		func(ctx context.Context, t *tracking.Tracker, in *InAlias) (*none, error) {
			ref, err := in.ref()
			if err != nil {
				return nil, err
			}
			return &none{}, t.DeleteAlias(ctx, ref, in.Alias)
		})
}

func artifactRows(ctx context.Context, t *tracking.Tracker, project string) ([]ArtifactRow, error) {
	if project != "" {
		if err := solera.CheckName(project); err != nil {
			return nil, wrong("query.project", project, err)
		}
	}
	var rows []ArtifactRow
	err := t.Store.View(ctx, func(tx solera.Tx) error {
		rows = []ArtifactRow{}
		artifacts, err := tx.Artifacts(project)
		if err != nil {
			return err
		}
		for _, a := range artifacts {
			row := ArtifactRow{Artifact: a}
			versions, err := tx.Versions(solera.VersionQuery{Project: a.Project, Artifact: a.Name})
			if err != nil {
				return err
			}
			row.Versions = len(versions)
			if len(versions) > 0 {
				newest, err := versionRow(tx, versions[0])
				if err != nil {
					return err
				}
				row.Version, row.Size = &newest, newest.Size
			}
			rows = append(rows, row)
		}
		return nil
	})
	return rows, err
}

func artifactDetail(ctx context.Context, t *tracking.Tracker, project, name string) (ArtifactDetail, error) {
	var d ArtifactDetail
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		d = ArtifactDetail{Versions: []VersionRow{}}
		if d.Artifact, err = tx.Artifact(project, name); err != nil {
			return err
		}
		versions, err := tx.Versions(solera.VersionQuery{Project: project, Artifact: name, Deleted: true})
		if err != nil {
			return err
		}
		for _, v := range versions {
			row, err := versionRow(tx, v)
			if err != nil {
				return err
			}
			d.Versions = append(d.Versions, row)
		}
		return nil
	})
	return d, err
}

func versionRow(tx solera.Tx, v solera.Version) (VersionRow, error) {
	row := VersionRow{Version: plain(v), Signed: "signed"}
	if _, err := tx.Statement(v.ID()); errors.Is(err, solera.ErrNotFound) {
		row.Signed = "unsigned"
	} else if err != nil {
		return row, err
	}
	users, err := tx.Edges(solera.EdgeQuery{Version: v.ID(), Kind: solera.Used})
	row.UsedBy = len(users)
	return row, err
}

// plain returns v as JSON has it: no list is null.
func plain(v solera.Version) solera.Version {
	v.Files, v.Aliases, v.Tags = list(v.Files), list(v.Aliases), list(v.Tags)
	return v
}

func versionDetail(ctx context.Context, t *tracking.Tracker, ref string) (VersionDetail, error) {
	v, err := t.Version(ctx, ref)
	if err != nil {
		return VersionDetail{}, err
	}
	d := VersionDetail{Version: plain(v), UsedBy: []string{}}
	err = t.Store.View(ctx, func(tx solera.Tx) error {
		d.Signed, d.UsedBy = "", []string{}
		envelope, err := tx.Statement(v.ID())
		if err == nil {
			// What cannot be read is signed by nobody; verify says what is wrong.
			if e, err := provenance.ParseEnvelope(envelope); err == nil && len(e.KeyIDs()) > 0 {
				d.Signed = e.KeyIDs()[0]
			}
		} else if !errors.Is(err, solera.ErrNotFound) {
			return err
		}
		users, err := tx.Edges(solera.EdgeQuery{Version: v.ID(), Kind: solera.Used})
		for _, e := range users {
			d.UsedBy = append(d.UsedBy, string(e.Run))
		}
		slices.Sort(d.UsedBy)
		return err
	})
	if err != nil {
		return VersionDetail{}, fmt.Errorf("version %s: %w", ref, err)
	}
	return d, nil
}
