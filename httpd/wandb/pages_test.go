package wandb_test

import (
	"net/url"
	"testing"

	"github.com/solera-ml/solera/httpd/wandb"
)

func TestPage(t *testing.T) {
	known := func(workspace string) bool { return workspace == "default" || workspace == "team a" }
	run := func(workspace, project, name string) string {
		if name == "odd/name" {
			return "run.1234"
		}
		return name
	}
	for _, tt := range []struct{ path, want string }{
		{"/default/wine/runs/k7q2mx", "/p/wine/runs/k7q2mx"},
		{"/default/wine/runs/k7q2mx/overview", "/p/wine/runs/k7q2mx"},
		{"/default/wine/runs/odd%2Fname", "/p/wine/runs/run.1234"},
		{"/team%20a/wine/runs/x", "/w/team%20a/p/wine/runs/x"},
		{"/default", "/"},
		{"/team%20a/", "/w/team%20a/"},
		{"/default/projects", "/"},
		{"/default/wine", "/p/wine"},
		{"/default/wine/workspace", "/p/wine"},
		{"/default/wine/reports/all", "/p/wine"},
		{"/default/wine/runs", "/p/wine"},
		{"/default/wine/sweeps", "/p/wine/sweeps"},
		{"/default/wine/sweeps/abcd1234", "/p/wine/sweeps/abcd1234"},
		{"/default/wine/groups/folds%20%22a%22/workspace", "/p/wine?where=group+%3D+%22folds+%22%22a%22%22%22"},
		{"/default/wine/artifacts", "/p/wine/artifacts"},
		{"/default/wine/artifacts/dataset", "/p/wine/artifacts"},
		{"/default/wine/artifacts/dataset/wine-raw", "/p/wine/artifacts/wine-raw"},
		{"/default/wine/artifacts/dataset/wine-raw/v0", "/p/wine/artifacts/wine-raw/v0"},
		{"/default/wine/artifacts/dataset/wine-raw/v0/files/train.npz", "/p/wine/artifacts/wine-raw/v0"},
		{"/authorize", "/account"},

		{"/p/wine/runs/k7q2mx", ""}, // the dashboard's own
		{"/", ""},
		{"//evil.example", ""},
		{"/nobody/wine/runs/x", ""},
		{"/default/%2F%2Fevil.example", ""},
		{"/default/..%2F..%2Fapi/runs/x", ""},
		{"/default/%zz", ""},
	} {
		if got := wandb.Page(tt.path, known, run); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.path, got, tt.want)
		}
	}
}

// An address leads to a page of this server, whatever stands in it.
func FuzzPage(f *testing.F) {
	for _, seed := range []string{"/default/wine/runs/x", "/default/wine/artifacts/a/b/c", "//x", "/default//", "/default/a%2Fb", "/default/wine/groups/\\"} {
		f.Add(seed)
	}
	all := func(string) bool { return true }
	same := func(_, _, name string) string { return name }
	f.Fuzz(func(t *testing.T, path string) {
		to := wandb.Page(path, all, same)
		if to == "" {
			return
		}
		u, err := url.Parse(to)
		if err != nil || u.Host != "" || u.Scheme != "" || len(to) > 1 && (to[1] == '/' || to[1] == '\\') {
			t.Errorf("%q leads to %q", path, to)
		}
	})
}
