package httpd_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/httpd"
	"github.com/solera-ml/solera/tracking"
)

// Addresses that clients of other tools print lead to the page that shows what
// they mean.
func TestAddressesOfOtherTools(t *testing.T) {
	s, teams := newTeams(t)
	ctx := t.Context()
	for _, name := range []string{"default", "vision"} {
		tr := *teams[name]
		tr.Project = "shared"
		// The name of the second cannot be an ID.
		for _, outward := range []string{"7f3k2a9c", "run of ana/1"} {
			if _, _, err := tr.Register(ctx, tracking.RegisterSpec{Name: outward, Environment: solera.Fields{"client": solera.Fields{}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The name of another project's run: it has another ID here.
	other := *teams["vision"]
	other.Project = "other"
	twin, _, err := other.Register(ctx, tracking.RegisterSpec{Name: "7f3k2a9c"})
	if err != nil || twin.ID == "7f3k2a9c" {
		t.Fatalf("got %v, %v; want a run of another ID", twin.ID, err)
	}
	own := *teams["vision"]
	own.Project = "shared"
	odd, err := own.FindRemote(ctx, "run of ana/1")
	if err != nil {
		t.Fatal(err)
	}
	run, err := own.Resume(ctx, "7f3k2a9c")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"a", "b"} {
		draft := tracking.Draft{Artifact: "net", Type: "model", Files: map[string]tracking.Source{"w.txt": tracking.Bytes([]byte(text))}}
		if _, _, err := run.Commit(ctx, draft); err != nil {
			t.Fatal(err)
		}
	}
	registry := own
	registry.Project = "wandb-registry-model"
	if _, _, err := registry.SetProject(ctx, registry.Project, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := registry.Link(ctx, "Best", solera.VersionID{Project: "shared", Artifact: "net", Number: 1}, []string{"staging"}); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		"/default":                                       "/",
		"/vision/":                                       "/w/vision/",
		"/default/shared":                                "/p/shared",
		"/vision/shared":                                 "/w/vision/p/shared",
		"/vision/shared/workspace?nw=x":                  "/w/vision/p/shared",
		"/vision/shared/runs":                            "/w/vision/p/shared",
		"/vision/shared/runs/7f3k2a9c":                   "/w/vision/p/shared/runs/7f3k2a9c",
		"/vision/other/runs/7f3k2a9c":                    "/w/vision/p/other/runs/" + string(twin.ID),
		"/default/shared/runs/7f3k2a9c":                  "/p/shared/runs/7f3k2a9c",
		"/vision/shared/runs/7f3k2a9c/logs":              "/w/vision/p/shared/runs/7f3k2a9c?tab=console",
		"/vision/shared/runs/7f3k2a9c/files/media":       "/w/vision/p/shared/runs/7f3k2a9c?tab=files",
		"/vision/shared/runs/run%20of%20ana%2F1":         "/w/vision/p/shared/runs/" + string(odd.ID),
		"/vision/shared/runs/gone":                       "/w/vision/p/shared/runs/gone",
		"/vision/shared/sweeps":                          "/w/vision/p/shared/sweeps",
		"/vision/shared/sweeps/k2j%20x":                  "/w/vision/p/shared/sweeps/k2j%20x",
		"/vision/shared/artifacts":                       "/w/vision/p/shared/artifacts",
		"/vision/shared/artifacts/model":                 "/w/vision/p/shared/artifacts",
		"/vision/shared/artifacts/model/net":             "/w/vision/p/shared/artifacts/net",
		"/vision/shared/artifacts/model/net/v0":          "/w/vision/p/shared/artifacts/net/v0",
		"/vision/shared/artifacts/model/net/latest":      "/w/vision/p/shared/artifacts/net/v1",
		"/vision/shared/artifacts/model/net/v9/files":    "/w/vision/p/shared/artifacts/net/v9",
		"/vision/shared/groups/fold%20%221%22/workspace": "/w/vision/p/shared?where=group+%3D+%22fold+%22%221%22%22%22",
		"/vision/registry/model":                         "/w/vision/p/wandb-registry-model/artifacts",
		"/vision/registry/model?selectionPath=vision%2Fwandb-registry-model%2FBest&view=membership": "/w/vision/p/shared/artifacts/net/v1",
		"/vision/wandb-registry-model/artifacts/model/Best/v0":                                      "/w/vision/p/shared/artifacts/net/v1",
		"/vision/wandb-registry-model/artifacts/model/Best/staging":                                 "/w/vision/p/shared/artifacts/net/v1",
		"/vision/projects":           "/w/vision/",
		"/vision/shared/reports/all": "/w/vision/p/shared",
		"/settings":                  "/account",
	} {
		r := s.ask(t, "GET", from, "", bearer(s.admin))
		if got := r.Header.Get("Location"); r.StatusCode != http.StatusFound || got != to {
			t.Errorf("%s: got %d %s, want %s", from, r.StatusCode, got, to)
		}
	}
	// Everything else is a page of the dashboard, which says that it is none. So
	// is what somebody may not see: the answer is the same to a byte but for the
	// nonce.
	guest := s.member(t, "vera", map[string]auth.Role{"vision": auth.Viewer})
	plain := text(t, s.ask(t, "GET", "/p/shared", "", nil))
	for _, from := range []string{
		"/default/shared", "/default", "/speech/shared/runs/one", "/nowhere/shared", "/vision/nothing", "/vision/nothing/runs/one",
		"/vision/registry/else", "/vision/..%2Fshared", "/p/shared", "/w/vision/p/shared", "/vision/sh%00ared", "/shared/vision",
		"/" + strings.Repeat("x", 5000) + "/y", "/vision/" + strings.Repeat("%2F", 1000),
	} {
		for name, h := range map[string]header{"a guest": bearer(guest), "nobody": nil} {
			r := s.ask(t, "GET", from, "", h)
			if got := text(t, r); r.Header.Get("Location") != "" || r.StatusCode != http.StatusBadRequest && (r.StatusCode != 200 || len(got) != len(plain)) {
				t.Errorf("%s by %s: got %d %s %.200s", from, name, r.StatusCode, r.Header.Get("Location"), got)
			}
		}
	}
}

// An address leads to a page of this server, whatever stands in it.
func FuzzAddressesOfOtherTools(f *testing.F) {
	for _, seed := range []string{"default/shared/runs/x", "default/shared/artifacts/a/b/c", "/x", "default//", "default/a%2Fb", "default/shared/groups/\\", "default/registry/x"} {
		f.Add(seed, "default/x/y")
	}
	s := newSite(f, func(o *httpd.Options) { o.Open = true })
	own := tracking.Tracker{Store: s.store, Project: "shared"}
	if _, _, err := own.SetProject(context.Background(), "shared", nil); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, selection string) {
		q, err := http.NewRequest(http.MethodGet, "http://localhost/"+path, http.NoBody)
		if err != nil {
			t.Skip()
		}
		q.URL.RawQuery = url.Values{"selectionPath": {selection}}.Encode()
		q.RequestURI = q.URL.RequestURI()
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, q)
		to := w.Result().Header.Get("Location")
		if to == "" {
			return
		}
		u, err := url.Parse(to)
		if err != nil || u.Host != "" || u.Scheme != "" || to[0] != '/' || len(to) > 1 && (to[1] == '/' || to[1] == '\\') {
			t.Errorf("%q leads to %q", path, to)
		}
	})
}
