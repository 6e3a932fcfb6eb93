package wandb

import (
	"net/url"
	"strings"

	"github.com/solera-ml/solera"
)

// Page returns the address of the dashboard's page that an address means which a
// client printed, such as /default/wine/runs/k7q2mx; "" if it is none. known
// reports whether there is a workspace of that name, run returns the ID of the
// run of a project that its client knows by name.
func Page(escapedPath string, known func(workspace string) bool, run func(workspace, project, name string) string) string {
	if escapedPath == "/authorize" { // where a client sends who has no key
		return "/account"
	}
	var names []string
	for part := range strings.SplitSeq(strings.Trim(escapedPath, "/"), "/") {
		name, err := url.PathUnescape(part)
		if err != nil {
			return ""
		}
		names = append(names, name)
	}
	if !known(names[0]) {
		return ""
	}
	at := ""
	if names[0] != "default" {
		at = "/w/" + url.PathEscape(names[0])
	}
	if len(names) == 1 || names[1] == "projects" && len(names) == 2 {
		return at + "/"
	}
	project := names[1]
	if solera.CheckName(project) != nil {
		return ""
	}
	at += "/p/" + url.PathEscape(project)
	rest := append(names[2:], "", "", "", "") // what is missing is empty
	switch kind, name := rest[0], rest[1]; {
	case kind == "runs" && name != "":
		return at + "/runs/" + url.PathEscape(run(names[0], project, name))
	case kind == "sweeps" && name != "":
		return at + "/sweeps/" + url.PathEscape(name)
	case kind == "sweeps":
		return at + "/sweeps"
	case kind == "groups" && name != "":
		return at + "?" + url.Values{"where": {`group = "` + strings.ReplaceAll(name, `"`, `""`) + `"`}}.Encode()
	case kind == "artifacts":
		// …/TYPE/NAME/VERSION and what of it is looked at.
		at += "/artifacts"
		if rest[2] != "" {
			at += "/" + url.PathEscape(rest[2])
			if rest[3] != "" {
				at += "/" + url.PathEscape(rest[3])
			}
		}
		return at
	}
	return at
}
