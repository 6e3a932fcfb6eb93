package httpd

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

// Clients of other tools print addresses that they put together themselves:
//
//	/WORKSPACE[/projects | /PROJECT[/workspace | /overview | /table | …]]
//	/WORKSPACE/PROJECT/runs/RUN[/overview | /logs | /files | /system | /artifacts | …]
//	/WORKSPACE/PROJECT/sweeps[/SWEEP]
//	/WORKSPACE/PROJECT/artifacts[/TYPE[/NAME[/VERSION]]]
//	/WORKSPACE/PROJECT/groups/GROUP
//	/WORKSPACE/registry/NAME[?selectionPath=…/COLLECTION]
//	/settings
//
// Whoever opens one is led to the page of the dashboard that shows it.

// elsewhere returns the address in the dashboard of what such an address means;
// "" if it is none of them, or of something that whoever asks may not see: the
// answer must not tell the two apart.
func (s *Server) elsewhere(r *http.Request) (string, error) {
	p := auth.PrincipalOf(r.Context())
	segments := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	for i, segment := range segments {
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "" {
			return "", nil
		}
		segments[i] = plain
	}
	if len(segments) == 0 {
		return "", nil
	}
	if len(segments) == 1 && segments[0] == "settings" {
		return address("", "account"), nil
	}
	name, rest := segments[0], segments[1:]
	t, ok := s.stores[name]
	if !ok || !p.Allows(name, auth.Viewer) {
		return "", nil
	}
	base := ""
	if name != defaultWorkspace {
		base = address("", "w", name)
	}
	if len(rest) == 0 || len(rest) == 1 && rest[0] == "projects" {
		return base + "/", nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	if rest[0] == "registry" {
		rest = registered(rest, r.URL.Query().Get("selectionPath"))
	}
	_, err := t.ProjectOf(ctx, rest[0])
	switch {
	case errors.Is(err, solera.ErrNotFound), errors.Is(err, solera.ErrInvalid):
		return "", nil
	case err != nil:
		return "", err
	}
	own := *t
	own.Project = rest[0]
	return pageOf(ctx, &own, base, rest[1:])
}

// registered returns the project of a registry, and what is asked of it, in the
// form of other addresses.
func registered(rest []string, selection string) []string {
	if len(rest) < 2 {
		return rest
	}
	project := []string{registryPrefix + strings.TrimPrefix(rest[1], registryPrefix)}
	if parts := strings.Split(selection, "/"); selection != "" && parts[len(parts)-1] != "" {
		return append(project, "artifacts", "model", parts[len(parts)-1])
	}
	return append(project, "artifacts")
}

// registryPrefix begins the names of projects that clients take for registries.
const registryPrefix = "wandb-registry-"

// pageOf returns the page of something within the project of t.
func pageOf(ctx context.Context, t *tracking.Tracker, base string, rest []string) (string, error) {
	project := address(base, "p", t.Project)
	at := func(i int) string {
		if i < len(rest) {
			return rest[i]
		}
		return ""
	}
	switch at(0) {
	case "runs":
		if at(1) == "" {
			return project, nil
		}
		id := at(1)
		run, err := t.FindRemote(ctx, id)
		switch {
		case err == nil:
			id = string(run.ID)
		case !errors.Is(err, solera.ErrNotFound):
			return "", err
		}
		tab := map[string]string{"logs": "console", "files": "files", "system": "system", "artifacts": "data", "workspace": "charts"}[at(2)]
		if tab != "" {
			tab = "?tab=" + tab
		}
		return address(project, "runs", id) + tab, nil
	case "sweeps":
		if at(1) == "" {
			return address(project, "sweeps"), nil
		}
		return address(project, "sweeps", at(1)), nil
	case "artifacts":
		if at(2) == "" {
			return address(project, "artifacts"), nil
		}
		return versionPage(ctx, t, base, at(2), at(3))
	case "groups":
		if at(1) == "" {
			return project, nil
		}
		return project + "?" + url.Values{"where": {`group = "` + strings.ReplaceAll(at(1), `"`, `""`) + `"`}}.Encode(), nil
	}
	return project, nil
}

// versionPage returns the page of an artifact, or of its version of a number or
// an alias. Of a collection it is the page of the version that is linked there.
func versionPage(ctx context.Context, t *tracking.Tracker, base, name, version string) (string, error) {
	page := func(v solera.VersionID) string {
		return address(base, "p", v.Project, "artifacts", v.Artifact, "v"+strconv.Itoa(v.Number))
	}
	c, err := t.Collection(ctx, name)
	switch {
	case err == nil:
		want := cmp.Or(version, solera.Latest)
		for _, m := range c.Members {
			if want == "v"+strconv.Itoa(m.Number) || slices.Contains(m.Aliases, want) {
				return page(m.Version), nil
			}
		}
	case !errors.Is(err, solera.ErrNotFound) && !errors.Is(err, solera.ErrInvalid):
		return "", err
	}
	if version == "" {
		return address(base, "p", t.Project, "artifacts", name), nil
	}
	v, err := t.Version(ctx, name+":"+version)
	switch {
	case err == nil:
		return page(v.ID()), nil
	case errors.Is(err, solera.ErrNotFound), errors.Is(err, solera.ErrInvalid):
		// One that is gone, or a name that none can have: the page says so.
		return address(base, "p", t.Project, "artifacts", name, version), nil
	}
	return "", err
}

// address returns base with segments, each escaped.
func address(base string, segments ...string) string {
	var b strings.Builder
	b.WriteString(base)
	for _, segment := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(segment))
	}
	return b.String()
}
