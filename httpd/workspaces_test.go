package httpd_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/httpd"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/tracking"
)

// newTeams is a site with the workspaces default, vision and speech. Each has a
// run one of the project shared, whose note tells where it is from.
func newTeams(t *testing.T) (*site, map[string]*tracking.Tracker) {
	t.Helper()
	teams := map[string]*tracking.Tracker{}
	s := newSite(t, func(o *httpd.Options) {
		o.Limits.Requests = 1e6
		for _, name := range []string{"vision", "speech"} {
			folder := t.TempDir()
			db, err := store.OpenSQLite(context.Background(), filepath.Join(folder, "solera.db"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			blobs, err := blob.OpenDir(filepath.Join(folder, "blobs"))
			if err != nil {
				t.Fatal(err)
			}
			o.Workspaces[name] = &tracking.Tracker{Store: db, Blobs: blobs}
		}
		for name, tr := range o.Workspaces {
			teams[name] = tr
			now := solera.MicrosOf(time.Now())
			err := tr.Store.Update(context.Background(), func(tx solera.Tx) error {
				return tx.CreateRun(solera.Run{
					ID: "one", Name: "one", Project: "shared", Stage: "train", State: solera.Finished, Notes: "secret of " + name,
					Created: now, Started: now, Finished: now,
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tr.Store.Append(context.Background(), "one", []solera.Point{{Key: "only/" + name, Step: 1, Value: 1, Time: now}}); err != nil {
				t.Fatal(err)
			}
		}
	})
	return s, teams
}

// member makes a key of full scope for a new user with these roles.
func (s *site) member(t *testing.T, name string, roles map[string]auth.Role) string {
	t.Helper()
	if err := s.accounts.AddUser(t.Context(), auth.User{Name: name, Roles: roles}, ""); err != nil {
		t.Fatal(err)
	}
	secret, _, err := s.accounts.AddKey(t.Context(), auth.Key{User: name, Scope: auth.Full})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// Whatever route of a workspace there is, and will be: who has no role in it is
// refused, and learns nothing of what is there, not even whether it is.
func TestNoRouteLeavesItsWorkspace(t *testing.T) {
	s, teams := newTeams(t)
	key := s.member(t, "vera", map[string]auth.Role{"vision": auth.Admin})
	nobody := s.member(t, "nils", nil)
	asked := 0
	for _, route := range s.Routes() {
		method, path, ok := strings.Cut(route, " ")
		if !ok {
			method, path = http.MethodGet, route
		}
		if !strings.Contains(path, "{workspace}") {
			continue
		}
		for _, workspace := range []string{"default", "speech", "nowhere", "vision "} {
			target := strings.ReplaceAll(path, "{workspace}", strings.ReplaceAll(workspace, " ", "%20"))
			target = wildcard.ReplaceAllString(target, "one")
			for _, query := range []string{"", "?project=shared&runs=one&ref=shared/one:v0&a=shared/one:v0&b=shared/one:v0"} {
				for who, h := range map[string]header{"an admin elsewhere": bearer(key), "a user without roles": bearer(nobody)} {
					asked++
					r := s.ask(t, method, target+query, "", h)
					body := text(t, r)
					if method == http.MethodOptions && r.StatusCode == http.StatusNoContent && body == "" {
						continue // what a browser may ask is the same everywhere
					}
					if r.StatusCode != http.StatusForbidden && r.StatusCode != http.StatusNotFound {
						t.Errorf("%s %s by %s: got %d, want 403 or 404", method, target, who, r.StatusCode)
					}
					for name := range teams {
						if strings.Contains(body, "secret of "+name) || strings.Contains(body, "only/") {
							t.Errorf("%s %s by %s tells of %s: %.300s", method, target, who, name, body)
						}
					}
				}
			}
		}
	}
	if asked < 500 {
		t.Errorf("%d requests: the list of routes is not whole", asked)
	}
	// Nothing was changed on the way.
	for name, tr := range teams {
		err := tr.Store.View(t.Context(), func(tx solera.Tx) error {
			r, err := tx.Run("one")
			if err == nil && (r.Notes != "secret of "+name || r.Deleted != 0) {
				t.Errorf("%s: the run is %+v", name, r)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// Runs of two workspaces may have one ID, and each answers for itself.
func TestWorkspacesAnswerForThemselves(t *testing.T) {
	s, _ := newTeams(t)
	keys := map[string]string{
		"vera": s.member(t, "vera", map[string]auth.Role{"vision": auth.Viewer}),
		"saul": s.member(t, "saul", map[string]auth.Role{"vision": auth.Viewer, "speech": auth.Editor}),
		"root": s.admin,
	}
	for name, want := range map[string]string{
		"vera": `[{"name":"vision","role":"viewer"}]`,
		"saul": `[{"name":"speech","role":"editor"},{"name":"vision","role":"viewer"}]`,
		"root": `[{"name":"default","role":"admin"},{"name":"speech","role":"admin"},{"name":"vision","role":"admin"}]`,
	} {
		var session struct{ Workspaces json.RawMessage }
		if err := json.Unmarshal([]byte(text(t, s.ask(t, "GET", "/api/v1/session", "", bearer(keys[name])))), &session); err != nil {
			t.Fatal(err)
		}
		if got := string(session.Workspaces); got != want {
			t.Errorf("%s sees %s, want %s", name, got, want)
		}
	}
	run := func(who, method, workspace, body string) *http.Response {
		return s.ask(t, method, "/api/v1/workspaces/"+workspace+"/runs/one", body, bearer(keys[who]))
	}
	for _, workspace := range []string{"default", "speech", "vision"} {
		if body := text(t, run("root", "GET", workspace, "")); !strings.Contains(body, "secret of "+workspace) || !strings.Contains(body, "only/"+workspace) {
			t.Errorf("%s answers %.300s", workspace, body)
		}
	}
	wantStatus(t, run("vera", "GET", "vision", ""), http.StatusOK)
	wantStatus(t, run("vera", "PATCH", "vision", `{"notes":"mine"}`), http.StatusForbidden)
	wantStatus(t, run("saul", "PATCH", "vision", `{"notes":"mine"}`), http.StatusForbidden)
	wantStatus(t, run("saul", "PATCH", "speech", `{"notes":"mine"}`), http.StatusOK)
	if body := text(t, run("root", "GET", "vision", "")); !strings.Contains(body, "secret of vision") {
		t.Errorf("a change in speech is one in vision: %.300s", body)
	}
	// A role that is given counts at once, and one for a workspace that is not
	// there is refused.
	wantStatus(t, s.ask(t, "PATCH", "/api/v1/users/vera", `{"roles":{"speech":"viewer"}}`, bearer(s.admin)), http.StatusOK)
	wantStatus(t, run("vera", "GET", "speech", ""), http.StatusOK)
	wantProblem(t, s.ask(t, "PATCH", "/api/v1/users/vera", `{"roles":{"speach":"viewer"}}`, bearer(s.admin)), http.StatusBadRequest, "speach")
}

// Accounts are in the first store. Who may look at its runs sees who changed
// them, and not who else there is.
func TestAccountsAreNoEntriesForViewers(t *testing.T) {
	s, _ := newTeams(t)
	viewer := s.member(t, "vera", map[string]auth.Role{"default": auth.Admin})
	s.member(t, "somebody-of-speech", map[string]auth.Role{"speech": auth.Viewer})
	for _, query := range []string{"", "?limit=1", "?oldest=true", "?action=document.", "?subject=user/somebody-of-speech"} {
		seen := ""
		target := "/api/v1/workspaces/default/audit" + query
		for next := int64(1); next != 0; {
			var page struct {
				Entries []struct{ Action, Subject string }
				Next    int64
			}
			body := text(t, s.ask(t, "GET", target, "", bearer(viewer)))
			if err := json.Unmarshal([]byte(body), &page); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			for _, e := range page.Entries {
				seen += e.Action + " " + e.Subject + "\n"
			}
			if next = page.Next; next != 0 {
				joint := "?"
				if query != "" {
					joint = "&"
				}
				target = fmt.Sprintf("/api/v1/workspaces/default/audit%s%sbefore=%d", query, joint, next)
			}
		}
		if strings.Contains(seen, "somebody") || strings.Contains(seen, "user/") || strings.Contains(seen, "api-key/") {
			t.Errorf("audit%s tells %s", query, seen)
		}
		if !strings.Contains(query, "document") && !strings.Contains(query, "subject") && !strings.Contains(seen, "run.create one") {
			t.Errorf("audit%s: got %q, want the run among it", query, seen)
		}
	}
	if body := text(t, s.ask(t, "GET", "/api/v1/workspaces/default/audit", "", bearer(s.admin))); !strings.Contains(body, "user/somebody-of-speech") {
		t.Errorf("an admin of the server sees %.300s", body)
	}
}

// Runs of other workspaces have the same IDs, and a stream tells nothing of them.
func TestStreamsStayInTheirWorkspace(t *testing.T) {
	s, teams := newTeams(t)
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	w := &lines{}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/api/v1/workspaces/vision/events?runs=one:0", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	q.RequestURI = q.URL.RequestURI()
	q.Header.Set("Authorization", "Bearer "+s.admin)
	if _, err := teams["speech"].Store.Append(ctx, "one", []solera.Point{{Key: "loud", Step: 2, Value: 2, Time: 1}}); err != nil {
		t.Fatal(err)
	}
	s.Handler().ServeHTTP(&streamed{lines: w, header: http.Header{}}, q)
	if got := w.String(); !strings.Contains(got, "only/vision") || strings.Contains(got, "loud") || strings.Contains(got, "only/speech") {
		t.Errorf("the stream of vision has\n%s", got)
	}
}

// streamed is the writer of an answer that is still being written.
type streamed struct {
	*lines
	header http.Header
}

func (s *streamed) Header() http.Header { return s.header }
func (s *streamed) WriteHeader(int)     {}
func (s *streamed) Flush()              {}

func TestNamesOfWorkspaces(t *testing.T) {
	for _, name := range []string{"default", "vision", "team-7", "Ana"} {
		if err := httpd.CheckWorkspace(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "..", "a/b", "api", "API", "p", "w", "storage", "graphql", "signin", strings.Repeat("x", 200)} {
		if err := httpd.CheckWorkspace(name); err == nil {
			t.Errorf("%q: want an error", name)
		}
	}
	// Whatever route there is, and will be: none begins as a workspace may.
	s, _ := newTeams(t)
	var first []string
	for _, route := range s.Routes() {
		_, path, ok := strings.Cut(route, " ")
		if !ok {
			path = route
		}
		if segment, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); segment != "" && !strings.HasPrefix(segment, "{") && !slices.Contains(first, segment) {
			first = append(first, segment)
			if httpd.CheckWorkspace(segment) == nil {
				t.Errorf("the route %s begins with %s, which may be the name of a workspace", route, segment)
			}
		}
	}
	if len(first) < 3 {
		t.Errorf("routes begin with %v: the list is not whole", first)
	}
}
