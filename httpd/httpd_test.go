package httpd_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/httpd"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/tracking"
)

// A site is a server over a new store, and what tests need to speak to it.
type site struct {
	*httpd.Server
	accounts *auth.Accounts
	store    solera.Store
	admin    string // a key of full scope
	log      *lines

	mu  sync.Mutex
	now time.Time
}

func (s *site) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) wait(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newSite(t testing.TB, change func(*httpd.Options)) *site {
	t.Helper()
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
	s := &site{store: db, now: time.Now(), log: &lines{}}
	s.accounts = auth.New(db, auth.Options{Clock: s.clock})
	if s.admin, err = s.accounts.First(context.Background()); err != nil {
		t.Fatal(err)
	}
	o := httpd.Options{
		Accounts:   s.accounts,
		Workspaces: map[string]*tracking.Tracker{"default": {Store: db, Blobs: blobs}},
		Actor:      "ana@laptop", Hosts: []string{"runs.example.org"}, Version: "9.9",
		Dashboard: pages(), Clock: s.clock,
		Log: slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&o)
	}
	if s.Server, err = httpd.New(o); err != nil {
		t.Fatal(err)
	}
	return s
}

func pages() fstest.MapFS {
	zip := func(s string) *fstest.MapFile {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, s)
		z.Close()
		return &fstest.MapFile{Data: b.Bytes()}
	}
	return fstest.MapFS{
		".keep":                {},
		"index.html.gz":        zip(`<meta name="csp-nonce" content="__NONCE__"><p>dashboard</p>`),
		"icon.svg.gz":          zip("<svg/>"),
		"assets/main-1a.js.gz": zip("console.log(1)"),
	}
}

// key makes a key for a new user.
func (s *site) key(t *testing.T, name string, role auth.Role, scope auth.Scope) string {
	t.Helper()
	if err := s.accounts.AddUser(t.Context(), auth.User{Name: name, Roles: map[string]auth.Role{"default": role}}, ""); err != nil {
		t.Fatal(err)
	}
	secret, _, err := s.accounts.AddKey(t.Context(), auth.Key{User: name, Scope: scope})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

type header map[string]string

// ask sends a request as a browser of http://localhost would.
func (s *site) ask(t *testing.T, method, target, body string, h header) *http.Response {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	q := httptest.NewRequest(method, "http://localhost/", r)
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatal(err)
	}
	q.URL, q.RequestURI = u, target
	q.Host = "localhost:7654"
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	for key, value := range h {
		if key == "Host" {
			q.Host = value
			continue
		}
		q.Header.Set(key, value)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, q)
	return w.Result()
}

func bearer(key string) header { return header{"Authorization": "Bearer " + key} }

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// wantProblem checks that an answer is an error as documented.
func wantProblem(t *testing.T, r *http.Response, status int, detail string) {
	t.Helper()
	body := text(t, r)
	var p struct {
		Title, Detail string
		Status        int
	}
	if r.StatusCode != status || r.Header.Get("Content-Type") != "application/problem+json" ||
		json.Unmarshal([]byte(body), &p) != nil || p.Status != status || p.Title == "" || !strings.Contains(p.Detail, detail) {
		t.Errorf("got %d %s %.300s\nwant the problem %d with %q", r.StatusCode, r.Header.Get("Content-Type"), body, status, detail)
	}
}

func wantStatus(t *testing.T, r *http.Response, status int) {
	t.Helper()
	if r.StatusCode != status {
		t.Errorf("got %d %.300s, want %d", r.StatusCode, text(t, r), status)
	}
}

var wildcard = regexp.MustCompile(`\{[^}]+\}`)

// Whatever route there is, and will be: without credentials the answer is 401,
// but for the few that are listed here.
func TestEveryRouteIsClosed(t *testing.T) {
	s := newSite(t, func(o *httpd.Options) { o.Limits.Attempts = 1e6 }) // of which this makes many
	public := map[string]bool{
		"GET /healthz": true, "GET /readyz": true, "/": true,
		"GET /api/v1/session": true, "POST /api/v1/session": true, "DELETE /api/v1/session": true,
		// These carry what they allow in the address: package wandb tests them.
		"GET /storage/{workspace}/{token}/{name}": true, "PUT /storage/{workspace}/{token}/{name}": true,
		"OPTIONS /storage/{rest...}": true, "/storage/": true,
		// There is nothing, and clients shall take that for an answer.
		"/sdk/": true, "/oidc/": true,
	}
	routes := s.Routes()
	if len(routes) < 20 {
		t.Errorf("%d routes: the list is not whole", len(routes))
	}
	for _, route := range routes {
		if public[route] {
			delete(public, route)
			continue
		}
		method, path, ok := strings.Cut(route, " ")
		if !ok {
			method, path = "", route
		}
		path = wildcard.ReplaceAllString(path, "x")
		methods := []string{method}
		if method == "" {
			methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
		}
		for _, method := range methods {
			for name, h := range map[string]header{
				"nothing":          nil,
				"a key that is no": bearer("solera_" + strings.Repeat("x", 43)),
				"no scheme":        {"Authorization": s.admin},
				"another scheme":   {"Authorization": "Digest " + s.admin},
				"basic of nothing": {"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("admin:"))},
				"basic of trash":   {"Authorization": "Basic !!!"},
				"a cookie":         {"Cookie": "solera_session=" + strings.Repeat("A", 43)},
				"the key as such":  {"Cookie": "solera_session=" + s.admin},
				"an empty cookie":  {"Cookie": "solera_session="},
			} {
				r := s.ask(t, method, path, "", h)
				if r.StatusCode != http.StatusUnauthorized || r.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s %s with %s: got %d, want 401", method, path, name, r.StatusCode)
				}
			}
		}
	}
	if len(public) > 0 {
		t.Errorf("these are public, and there are no such routes: %v", slices.Collect(maps.Keys(public)))
	}
}

func TestKeysOpenRoutes(t *testing.T) {
	s := newSite(t, nil)
	for name, h := range map[string]header{
		"bearer": bearer(s.admin),
		"small":  {"Authorization": "bearer " + s.admin},
		"basic":  {"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("api:"+s.admin))},
	} {
		if r := s.ask(t, "GET", "/api/v1/users", "", h); r.StatusCode != 200 {
			t.Errorf("%s: got %d, want 200", name, r.StatusCode)
		}
	}
	viewer := s.key(t, "vera", auth.Viewer, auth.Full)
	for _, route := range []string{"GET /api/v1/users", "POST /api/v1/users", "DELETE /api/v1/users/admin", "GET /api/v1/keys?user=*", "GET /api/v1/keys?user=admin"} {
		method, path, _ := strings.Cut(route, " ")
		wantProblem(t, s.ask(t, method, path, "", bearer(viewer)), http.StatusForbidden, "only an admin")
	}
	wantProblem(t, s.ask(t, "GET", "/api/v1/nothing", "", bearer(viewer)), http.StatusNotFound, "openapi.json")
	wantProblem(t, s.ask(t, "GET", "/api", "", bearer(viewer)), http.StatusNotFound, "")
	r := s.ask(t, "PUT", "/api/v1/session", "", bearer(viewer))
	if got := r.Header.Get("Allow"); got != "DELETE, GET, POST" {
		t.Errorf("Allow: %q", got)
	}
	wantProblem(t, r, http.StatusMethodNotAllowed, "GET")
}

func TestSession(t *testing.T) {
	s := newSite(t, nil)
	if err := s.accounts.AddUser(t.Context(), auth.User{Name: "Ana", Roles: map[string]auth.Role{"default": auth.Editor}}, "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	got := func(h header) string {
		t.Helper()
		return strings.TrimSpace(text(t, s.ask(t, "GET", "/api/v1/session", "", h)))
	}
	if body, want := got(nil), `{"user":null,"open":false,"workspaces":[],"version":"","language":"en"}`; body != want {
		t.Errorf("got %s, want %s", body, want)
	}
	r := s.ask(t, "POST", "/api/v1/session", `{"name":"ana","password":"correct horse battery"}`, nil)
	wantStatus(t, r, http.StatusNoContent)
	cookies := r.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("got the cookies %v, want one", cookies)
	}
	c := cookies[0]
	if c.Name != "solera_session" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure || len(c.Value) != 43 {
		t.Errorf("got the cookie %v", c)
	}
	signed := header{"Cookie": c.Name + "=" + c.Value, "Accept-Language": "fr, es-MX;q=0.8, en;q=0.5"}
	if body, want := got(signed), `{"user":{"name":"Ana","admin":false},"open":false,"workspaces":[{"name":"default","role":"editor"}],"version":"9.9","language":"es"}`; body != want {
		t.Errorf("got %s, want %s", body, want)
	}
	wantStatus(t, s.ask(t, "GET", "/api/v1/keys", "", signed), 200)

	// Behind a proxy that speaks TLS the cookie is another one.
	tls := s.ask(t, "POST", "/api/v1/session", `{"key":"`+s.admin+`"}`, header{"X-Forwarded-Proto": "https"}).Cookies()[0]
	if tls.Name != "__Host-solera_session" || !tls.Secure {
		t.Errorf("over TLS: got the cookie %v", tls)
	}

	r = s.ask(t, "DELETE", "/api/v1/session", "", signed)
	wantStatus(t, r, http.StatusNoContent)
	if gone := r.Cookies(); len(gone) != 1 || gone[0].MaxAge >= 0 || gone[0].Value != "" {
		t.Errorf("signing out set %v", gone)
	}
	wantProblem(t, s.ask(t, "GET", "/api/v1/keys", "", signed), http.StatusUnauthorized, "session")
	wantStatus(t, s.ask(t, "GET", "/", "", signed), 200) // the page that asks to sign in
	wantStatus(t, s.ask(t, "DELETE", "/api/v1/session", "", nil), http.StatusNoContent)

	// A cookie that has had its time.
	r = s.ask(t, "POST", "/api/v1/session", `{"key":"`+s.admin+`"}`, nil)
	old := header{"Cookie": "solera_session=" + r.Cookies()[0].Value}
	wantStatus(t, s.ask(t, "GET", "/api/v1/keys", "", old), 200)
	s.wait(31 * 24 * time.Hour)
	wantProblem(t, s.ask(t, "GET", "/api/v1/keys", "", old), http.StatusUnauthorized, "no longer")
}

func TestAnOpenServerAsksNobody(t *testing.T) {
	s := newSite(t, func(o *httpd.Options) { o.Open = true })
	body := text(t, s.ask(t, "GET", "/api/v1/session", "", nil))
	if !strings.Contains(body, `"user":null,"open":true,"workspaces":[{"name":"default","role":"admin"}]`) {
		t.Errorf("got %s", body)
	}
	wantStatus(t, s.ask(t, "POST", "/api/v1/users", `{"name":"ben"}`, nil), http.StatusCreated)
	var who string
	err := s.store.View(t.Context(), func(tx solera.Tx) error {
		list, err := tx.Audit(solera.AuditQuery{Subject: "user/ben"})
		who = list[0].Actor
		return err
	})
	if err != nil || who != "ana@laptop" {
		t.Errorf("the audit log has %q (%v)", who, err)
	}
	wantStatus(t, s.ask(t, "GET", "/metrics", "", nil), 200)
}

func TestUsersAndKeys(t *testing.T) {
	s := newSite(t, nil)
	root := bearer(s.admin)
	r := s.ask(t, "POST", "/api/v1/users", `{"name":"ana","roles":{"default":"editor"},"password":"correct horse battery"}`, root)
	if body := text(t, r); r.StatusCode != 201 || !strings.Contains(body, `"name":"ana","admin":false,"roles":{"default":"editor"},"password":true`) {
		t.Errorf("got %d %s", r.StatusCode, body)
	}
	wantProblem(t, s.ask(t, "POST", "/api/v1/users", `{"name":"ANA"}`, root), http.StatusConflict, "taken")
	wantProblem(t, s.ask(t, "POST", "/api/v1/users", `{"name":"x","roles":{"elsewhere":"editor"}}`, root), 400, "elsewhere")
	wantProblem(t, s.ask(t, "POST", "/api/v1/users", `{"name":"x","roles":{"default":"root"}}`, root), 400, "viewer, editor or admin")
	wantProblem(t, s.ask(t, "PATCH", "/api/v1/users/nobody", `{"admin":true}`, root), 404, "nobody")
	wantProblem(t, s.ask(t, "PATCH", "/api/v1/users/admin", `{"admin":false}`, root), 409, "nobody else")

	r = s.ask(t, "POST", "/api/v1/keys", `{"user":"ana","name":"ci","scope":"admin","expires":"2090-01-01T00:00:00Z"}`, root)
	var made struct {
		Key, ID string
	}
	if err := json.Unmarshal([]byte(text(t, r)), &made); err != nil || r.StatusCode != 201 || len(made.Key) != 50 {
		t.Fatalf("got %d, %+v, %v", r.StatusCode, made, err)
	}
	ana := bearer(made.Key)
	// Ana's own.
	wantStatus(t, s.ask(t, "POST", "/api/v1/keys", `{"scope":"read"}`, ana), 201)
	wantProblem(t, s.ask(t, "POST", "/api/v1/keys", `{"scope":"read","user":"admin"}`, ana), 403, "admin")
	body := text(t, s.ask(t, "GET", "/api/v1/keys", "", ana))
	if strings.Count(body, `"id"`) != 2 || strings.Contains(body, made.Key) || strings.Contains(body, "hash") {
		t.Errorf("got %s", body)
	}
	wantStatus(t, s.ask(t, "PATCH", "/api/v1/users/ana", `{"password":"another good one"}`, ana), 200)
	wantProblem(t, s.ask(t, "PATCH", "/api/v1/users/ana", `{"roles":{"default":"admin"}}`, ana), 403, "admin")
	wantProblem(t, s.ask(t, "PATCH", "/api/v1/users/admin", `{"password":"another good one"}`, ana), 403, "admin")
	// A key of less than full scope makes no others, for they would outlive it.
	write := s.key(t, "ben", auth.Admin, auth.Write)
	wantProblem(t, s.ask(t, "POST", "/api/v1/keys", `{"scope":"read"}`, bearer(write)), 403, "admin")
	wantProblem(t, s.ask(t, "PATCH", "/api/v1/users/ben", `{"password":"another good one"}`, bearer(write)), 403, "admin")

	adminID := strings.TrimPrefix(s.admin, "solera_")[:10]
	wantProblem(t, s.ask(t, "DELETE", "/api/v1/keys/"+adminID, "", ana), 404, "")
	wantStatus(t, s.ask(t, "DELETE", "/api/v1/keys/"+made.ID, "", ana), 204)
	wantProblem(t, s.ask(t, "GET", "/api/v1/keys", "", ana), 401, "no longer")
	wantStatus(t, s.ask(t, "DELETE", "/api/v1/users/ana", "", root), 204)
	wantProblem(t, s.ask(t, "DELETE", "/api/v1/users/ana", "", root), 404, "ana")
}

func TestAnAdminOfAWorkspaceGivesItsRoles(t *testing.T) {
	s := newSite(t, func(o *httpd.Options) { o.Workspaces["other"] = o.Workspaces["default"] })
	s.key(t, "vera", auth.Viewer, auth.Read)
	if err := s.accounts.SetRole(t.Context(), "vera", "other", auth.Viewer); err != nil {
		t.Fatal(err)
	}
	boss := bearer(s.key(t, "boss", auth.Admin, auth.Full))
	body := text(t, s.ask(t, "GET", "/api/v1/users", "", boss))
	if !strings.Contains(body, `"name":"vera","admin":false,"roles":{"default":"viewer"}`) || strings.Contains(body, "other") {
		t.Errorf("got %s", body)
	}
	if body := text(t, s.ask(t, "PATCH", "/api/v1/users/vera", `{"roles":{"default":"editor"}}`, boss)); !strings.Contains(body, `"roles":{"default":"editor"}`) {
		t.Errorf("got %s", body)
	}
	u, err := s.accounts.User(t.Context(), "vera")
	if err != nil || u.Roles["default"] != auth.Editor {
		t.Errorf("got %+v, %v", u, err)
	}
	for _, body := range []string{
		`{"roles":{"other":"editor"}}`, `{"roles":{"default":"viewer","other":"editor"}}`, `{"roles":{"nowhere":"editor"}}`, `{"roles":{}}`, `{}`,
		`{"roles":{"default":"viewer"},"admin":true}`, `{"roles":{"default":"viewer"},"password":"correct horse battery"}`, `{"admin":true}`,
	} {
		wantProblem(t, s.ask(t, "PATCH", "/api/v1/users/vera", body, boss), 403, "admin")
	}
	wantProblem(t, s.ask(t, "POST", "/api/v1/users", `{"name":"x"}`, boss), 403, "admin")
	// A key of less than full scope gives no roles.
	less, _, err := s.accounts.AddKey(t.Context(), auth.Key{User: "boss", Scope: auth.Write})
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, s.ask(t, "PATCH", "/api/v1/users/boss", `{"roles":{"default":"admin"}}`, bearer(less)), 403, "admin")
	editor := bearer(s.key(t, "ed", auth.Editor, auth.Full))
	wantProblem(t, s.ask(t, "PATCH", "/api/v1/users/ed", `{"roles":{"default":"admin"}}`, editor), 403, "admin")
	wantProblem(t, s.ask(t, "GET", "/api/v1/users", "", editor), 403, "admin")
}

func TestBadBodies(t *testing.T) {
	s := newSite(t, nil)
	deep := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	for _, path := range []string{"POST /api/v1/session", "POST /api/v1/users", "PATCH /api/v1/users/admin", "POST /api/v1/keys"} {
		method, path, _ := strings.Cut(path, " ")
		for name, body := range map[string]string{
			"no JSON": `{`, "a list": `[]`, "a text": `"x"`, "null": `null`, "two objects": `{} {}`, "trash after it": `{}x`,
			"an unknown key": `{"nonsense":1}`, "a key twice": `{"name":"a","name":"b"}`, "a key twice, deep": `{"roles":{"x":"admin","x":"viewer"}}`,
			"a number for a text": `{"name":7,"user":7}`, "an object for a text": `{"name":{},"user":{}}`, "deep nesting": deep, "deep lists": `{"a":` + strings.Repeat("[", 5000),
			"no UTF-8 key": "{\"\xff\":1}", "NaN": `{"name":NaN}`, "a comment": `{/* */}`,
		} {
			r := s.ask(t, method, path, body, bearer(s.admin))
			if r.StatusCode != http.StatusBadRequest {
				t.Errorf("%s %s with %s: got %d %s, want 400", method, path, name, r.StatusCode, text(t, r))
			}
		}
		wantProblem(t, s.ask(t, method, path, `{"name":"`+strings.Repeat("x", 70<<10)+`"}`, bearer(s.admin)), http.StatusRequestEntityTooLarge, "65536")
		h := bearer(s.admin)
		h["Content-Type"] = "text/plain"
		wantProblem(t, s.ask(t, method, path, `{}`, h), http.StatusBadRequest, "Content-Type")
	}
	for _, body := range []string{
		`{}`, `{"key":"x","name":"y"}`, `{"key":"x","password":"y"}`, `{"password":"y"}`,
	} {
		wantProblem(t, s.ask(t, "POST", "/api/v1/session", body, nil), http.StatusBadRequest, "a key, or a name")
	}
}

func TestPathTricks(t *testing.T) {
	s := newSite(t, nil)
	bad := []string{
		"/../etc/passwd", "/%2e%2e/etc/passwd", "/assets/../index.html", "/assets/%2e%2e%2findex.html", "/assets/..%2f..%2fetc", "/a/./b",
		"/a%00b", "/assets/main-1a.js%00.png", "/a%0d%0aSet-Cookie:x", "/a//b", "//evil.example", `/a\b`, "/a%5cb", "/%ff", "/..",
		"/api/v1/../../x", "/api/v1/users/%2e%2e", "/api/v1/users/a%2f..%2fb", "/api/v1/users/a%00",
	}
	for _, path := range bad {
		for _, h := range []header{nil, bearer(s.admin)} {
			r := s.ask(t, "GET", path, "", h)
			if r.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: got %d, want 400", path, r.StatusCode)
			}
		}
	}
	wantProblem(t, s.ask(t, "GET", "/"+strings.Repeat("x", 17<<10), "", nil), http.StatusRequestURITooLong, "16384")
	wantProblem(t, s.ask(t, "GET", "/api/v1/users?"+strings.Repeat("x", 17<<10), "", nil), http.StatusRequestURITooLong, "16384")
	// Escapes that hide nothing.
	wantStatus(t, s.ask(t, "GET", "/p/caf%c3%a9%20au%20lait", "", nil), 200)
	wantProblem(t, s.ask(t, "GET", "/api/v1/users/%252e%252e", "", bearer(s.admin)), http.StatusMethodNotAllowed, "")
}

func TestHosts(t *testing.T) {
	s := newSite(t, func(o *httpd.Options) { o.Open = true })
	machine, _ := os.Hostname()
	for _, host := range []string{
		"localhost", "localhost:7654", "LOCALHOST", "localhost.", "127.0.0.1:80", "[::1]:7654", "[::1]", "192.168.1.7:7654", "runs.example.org", "Runs.Example.Org:443", machine,
	} {
		if r := s.ask(t, "GET", "/api/v1/session", "", header{"Host": host}); r.StatusCode != 200 {
			t.Errorf("%q: got %d, want 200", host, r.StatusCode)
		}
	}
	for _, host := range []string{
		"", "evil.example", "localhost.evil.example", "evil.example:7654", "127.0.0.1.evil.example", "runs.example.org.evil.example", "xruns.example.org",
		"example.org", "0x7f.1", "127.1", "2130706433", "localhost:7654@evil.example", "[", ":::", "\x00", strings.Repeat("x", 5000),
	} {
		for _, path := range []string{"/", "/api/v1/session", "/healthz", "/assets/main-1a.js"} {
			if r := s.ask(t, "GET", path, "", header{"Host": host}); r.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("%.40q %s: got %d, want 421", host, path, r.StatusCode)
			}
		}
	}
}

func TestOtherOrigins(t *testing.T) {
	for _, open := range []bool{true, false} {
		s := newSite(t, func(o *httpd.Options) { o.Open = open })
		c := s.ask(t, "POST", "/api/v1/session", `{"key":"`+s.admin+`"}`, nil).Cookies()[0]
		tests := []struct {
			name string
			h    header
			want int
		}{
			{"our own page", header{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:7654"}, 201},
			{"no browser", header{}, 201},
			{"another site", header{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403},
			{"another port", header{"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:9999"}, 403},
			{"an old browser", header{"Origin": "https://evil.example"}, 403},
			{"a sandboxed frame", header{"Origin": "null"}, 403},
		}
		for i, tt := range tests {
			tt.h["Cookie"] = c.Name + "=" + c.Value
			r := s.ask(t, "POST", "/api/v1/users", fmt.Sprintf(`{"name":"u%d"}`, i), tt.h)
			if r.StatusCode != tt.want {
				t.Errorf("open %v, %s: got %d, want %d", open, tt.name, r.StatusCode, tt.want)
			}
			if r.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: other origins may read the answer", tt.name)
			}
		}
		wantProblem(t, s.ask(t, "DELETE", "/api/v1/session", "", header{"Sec-Fetch-Site": "cross-site"}), 403, "origin")
	}
}

func TestGuessingIsSlow(t *testing.T) {
	s := newSite(t, nil)
	if err := s.accounts.AddUser(t.Context(), auth.User{Name: "ana"}, "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	try := func(body string) *http.Response { return s.ask(t, "POST", "/api/v1/session", body, nil) }
	for range 10 {
		wantProblem(t, try(`{"name":"ana","password":"a wrong password"}`), 401, "not valid")
	}
	r := try(`{"name":"ana","password":"correct horse battery"}`)
	if r.Header.Get("Retry-After") != "6" {
		t.Errorf("Retry-After: %q, want 6", r.Header.Get("Retry-After"))
	}
	wantProblem(t, r, http.StatusTooManyRequests, "sign in")
	wantProblem(t, try(`{"key":"`+s.admin+`"}`), http.StatusTooManyRequests, "sign in") // the same address
	s.wait(6 * time.Second)
	for range 3 { // those that succeed do not count
		wantStatus(t, try(`{"name":"ana","password":"correct horse battery"}`), 204)
	}
	// Keys are not guessed at full speed either.
	got := map[int]int{}
	for range 400 {
		got[s.ask(t, "GET", "/api/v1/users", "", bearer("solera_"+strings.Repeat("x", 43))).StatusCode]++
	}
	if got[401] != 300 || got[429] != 100 {
		t.Errorf("got %v, want 300 times 401 and then 429", got)
	}
	wantStatus(t, s.ask(t, "GET", "/api/v1/users", "", bearer(s.admin)), 200)
}

func TestRequestsPerKey(t *testing.T) {
	s := newSite(t, func(o *httpd.Options) { o.Limits.Requests = 2 })
	other := s.key(t, "ben", auth.Viewer, auth.Read)
	for range 20 {
		wantStatus(t, s.ask(t, "GET", "/api/v1/session", "", bearer(s.admin)), 200)
	}
	wantProblem(t, s.ask(t, "GET", "/api/v1/session", "", bearer(s.admin)), http.StatusTooManyRequests, "too many requests")
	wantStatus(t, s.ask(t, "GET", "/api/v1/session", "", bearer(other)), 200)
	s.wait(time.Second)
	wantStatus(t, s.ask(t, "GET", "/api/v1/session", "", bearer(s.admin)), 200)
}

func TestDashboard(t *testing.T) {
	s := newSite(t, nil)
	nonce := regexp.MustCompile(`content="([0-9a-f]{32})"`)
	seen := map[string]bool{}
	for _, path := range []string{"/", "/p/wine", "/p/wine/runs/20261122-195312-k7q2mx", "/p/wine/artifacts/model.onnx/v0", "/index"} {
		r := s.ask(t, "GET", path, "", nil)
		body := text(t, r)
		m := nonce.FindStringSubmatch(body)
		if r.StatusCode != 200 || m == nil || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Fatalf("%s: got %d %s", path, r.StatusCode, body)
		}
		csp := r.Header.Get("Content-Security-Policy")
		if seen[m[1]] || !strings.Contains(csp, "'nonce-"+m[1]+"'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src 'self' '") {
			t.Errorf("%s: the policy %q with the nonce %s", path, csp, m[1])
		}
		seen[m[1]] = true
		if got := r.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
	}
	for _, path := range []string{"/assets/none.js", "/assets/", "/favicon.ico", "/index.html.gz", "/.keep", "/robots.txt"} {
		wantProblem(t, s.ask(t, "GET", path, "", nil), 404, "no such file")
	}
	r := s.ask(t, "GET", "/assets/main-1a.js", "", header{"Accept-Encoding": "br, gzip"})
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(z)
	tag := r.Header.Get("ETag")
	if string(b) != "console.log(1)" || r.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") ||
		r.Header.Get("Vary") != "Accept-Encoding" || r.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || len(tag) < 10 {
		t.Errorf("got %q with %v", b, r.Header)
	}
	for _, none := range []string{"", "identity", "gzip;q=0", "gzip; q=0.0, br"} {
		plain := s.ask(t, "GET", "/assets/main-1a.js", "", header{"Accept-Encoding": none})
		if body := text(t, plain); body != "console.log(1)" || plain.Header.Get("Content-Encoding") != "" || plain.Header.Get("ETag") == tag {
			t.Errorf("%q: got %q with %v", none, body, plain.Header)
		}
	}
	wantStatus(t, s.ask(t, "GET", "/assets/main-1a.js", "", header{"Accept-Encoding": "gzip", "If-None-Match": `"x", W/` + tag}), http.StatusNotModified)
	r = s.ask(t, "HEAD", "/assets/main-1a.js", "", header{"Accept-Encoding": "gzip"})
	if body := text(t, r); body != "" || r.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %q %v", body, r.Header)
	}
	if r := s.ask(t, "GET", "/icon.svg", "", nil); r.Header.Get("Content-Type") != "image/svg+xml" || strings.Contains(r.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("icon: %v", r.Header)
	}
	wantProblem(t, s.ask(t, "POST", "/p/wine", "{}", nil), http.StatusMethodNotAllowed, "GET")

	bare := newSite(t, func(o *httpd.Options) { o.Dashboard = nil })
	r = bare.ask(t, "GET", "/p/wine", "", nil)
	if body := text(t, r); r.StatusCode != 404 || !strings.Contains(body, "make build") {
		t.Errorf("without pages: got %d %s", r.StatusCode, body)
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	s := newSite(t, nil)
	for _, path := range []string{"/", "/assets/main-1a.js", "/none.js", "/api/v1/session", "/api/v1/users", "/healthz", "/../x"} {
		r := s.ask(t, "GET", path, "", header{"X-Request-Id": "abc-123"})
		for key, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "X-Request-Id": "abc-123",
			"Cross-Origin-Opener-Policy": "same-origin",
		} {
			if got := r.Header.Get(key); got != want {
				t.Errorf("%s: %s is %q, want %q", path, key, got, want)
			}
		}
		if !strings.Contains(r.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%s: the policy is %q", path, r.Header.Get("Content-Security-Policy"))
		}
	}
	r := s.ask(t, "GET", "/healthz", "", header{"X-Request-Id": "a\nb <script>"})
	if id := r.Header.Get("X-Request-Id"); len(id) != 16 {
		t.Errorf("request %q", id)
	}
	log := s.log.String()
	if !strings.Contains(log, `"request":"abc-123"`) || strings.Contains(log, "<script>") {
		t.Errorf("the log is\n%s", log)
	}
}

func TestMetrics(t *testing.T) {
	s := newSite(t, nil)
	for range 3 {
		s.ask(t, "GET", "/p/any/thing", "", nil)
	}
	s.ask(t, "GET", "/api/v1/users", "", nil)
	s.ask(t, "GET", "/api/v1/users", "", bearer(s.admin))
	for i := range 50 { // no new row for each
		s.ask(t, fmt.Sprintf("X%d", i), fmt.Sprintf("/api/v1/%d", i), "", bearer(s.admin))
	}
	body := text(t, s.ask(t, "GET", "/metrics", "", bearer(s.admin)))
	for _, want := range []string{
		`solera_http_requests_total{route="/",status="200"} 3`, `solera_http_requests_total{route="GET /api/v1/users",status="200"} 1`,
		`solera_http_requests_total{route="refused",status="401"} 1`, `solera_http_requests_total{route="/api/",status="404"} 50`,
		`solera_http_request_seconds_count{route="/"} 3`, "solera_points_ingested_total 0", "solera_event_streams_open 0",
		`solera_build_info{version="9.9"} 1`, "go_goroutines",
	} {
		if !strings.Contains(body, want+"\n") && !strings.Contains(body, want+" ") {
			t.Errorf("there is no %s in\n%.2000s", want, body)
		}
	}
	for _, secret := range []string{s.admin, "solera_session"} {
		if strings.Contains(body+s.log.String(), secret) {
			t.Errorf("%s is in the metrics or the log", secret)
		}
	}
}

func TestReadiness(t *testing.T) {
	s := newSite(t, nil)
	wantStatus(t, s.ask(t, "GET", "/healthz", "", nil), 200)
	wantStatus(t, s.ask(t, "GET", "/readyz", "", nil), 200)
	s.store.Close()
	wantStatus(t, s.ask(t, "GET", "/healthz", "", nil), 200)
	r := s.ask(t, "GET", "/readyz", "", nil)
	wantStatus(t, r, 503)
	if r.Header.Get("Connection") != "close" {
		t.Error("a server that cannot go on keeps the connection")
	}
	wantProblem(t, s.ask(t, "GET", "/api/v1/users", "", bearer(s.admin)), 500, "log")
}

// serve runs a site on a real socket.
func (s *site) serve(t *testing.T) (url string, stop context.CancelFunc, stopped <-chan error) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	ended := make(chan error, 1)
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Error("the server does not stop")
		}
	})
	answer := make(chan error, 1)
	go func() {
		err := <-done
		answer <- err
		ended <- err
	}()
	return "http://" + l.Addr().String(), cancel, answer
}

func TestSlowClientsAreGivenUp(t *testing.T) {
	s := newSite(t, func(o *httpd.Options) {
		o.Limits.Header, o.Limits.Body, o.Limits.Idle = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
	})
	at, _, _ := s.serve(t)
	dial := func(send string) net.Conn {
		t.Helper()
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(at, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, send); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		return c
	}
	for name, send := range map[string]string{
		"nothing":         "",
		"half a head":     "GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
		"no second one":   "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"half a body":     "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		"half a chunk":    "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
		"a body unread":   "POST /p/wine HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
		"100 MB promised": "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			if b, err := io.ReadAll(dial(send)); err != nil {
				t.Errorf("the connection is not closed: %v; got %.200s", err, b)
			}
		})
	}
}

func TestLargeBodies(t *testing.T) {
	s := newSite(t, func(o *httpd.Options) { o.Limits.BodyBytes = 1 << 20 })
	at, _, _ := s.serve(t)
	send := func(chunked bool) int {
		t.Helper()
		body := io.Reader(io.LimitReader(zeros{}, 100<<20))
		q, err := http.NewRequestWithContext(t.Context(), "POST", at+"/api/v1/session", body)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/json")
		if !chunked {
			q.ContentLength = 100 << 20
			q.Header.Set("Expect", "100-continue")
		}
		tr := &http.Transport{ExpectContinueTimeout: 5 * time.Second}
		defer tr.CloseIdleConnections()
		r, err := tr.RoundTrip(q)
		if err != nil {
			return 0 // closed while the client was still sending
		}
		defer r.Body.Close()
		return r.StatusCode
	}
	if got := send(false); got != http.StatusRequestEntityTooLarge {
		t.Errorf("100 MB announced: got %d, want 413", got)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if got := send(true); got != http.StatusRequestEntityTooLarge && got != 0 {
		t.Errorf("100 MB without a word: got %d, want 413", got)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("a body of 100 MB took %d bytes of memory", grown)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestMoreConnectionsWait(t *testing.T) {
	s := newSite(t, func(o *httpd.Options) { o.Limits.Connections, o.Limits.Header = 2, 300*time.Millisecond })
	at, _, _ := s.serve(t)
	for range 10 { // each would hold a place for ever
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(at, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	q, _ := http.NewRequestWithContext(ctx, "GET", at+"/healthz", nil)
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatalf("nobody gets in any more: %v", err)
	}
	r.Body.Close()
}

func TestGracefulEnd(t *testing.T) {
	s := newSite(t, func(o *httpd.Options) { o.Limits.Drain = 300 * time.Millisecond })
	at, stop, stopped := s.serve(t)
	// A request whose body is still on its way when the server is told to stop.
	pr, pw := io.Pipe()
	answer := make(chan int, 1)
	go func() {
		q, _ := http.NewRequestWithContext(context.Background(), "POST", at+"/api/v1/users", pr)
		q.Header.Set("Content-Type", "application/json")
		q.Header.Set("Authorization", "Bearer "+s.admin)
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Error(err)
			answer <- 0
			return
		}
		r.Body.Close()
		answer <- r.StatusCode
	}()
	io.WriteString(pw, `{"name":`)
	// An event stream ends instead of holding the server up.
	q, _ := http.NewRequestWithContext(t.Context(), "GET", at+"/api/v1/workspaces/default/events?project=p", nil)
	q.Header.Set("Authorization", "Bearer "+s.admin)
	stream, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	stop()
	ready := 0
	for range 50 {
		r, err := http.Get(at + "/readyz")
		if err != nil {
			break
		}
		r.Body.Close()
		if ready = r.StatusCode; ready == 503 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if ready != 503 {
		t.Errorf("readyz says %d while the server stops, want 503", ready)
	}
	if stream.StatusCode != 200 {
		t.Errorf("the stream: got %d, want 200", stream.StatusCode)
	} else {
		if _, err := io.ReadAll(stream.Body); err != nil {
			t.Errorf("the stream was cut off: %v", err)
		}
	}
	io.WriteString(pw, `"late"}`)
	pw.Close()
	if got := <-answer; got != 201 {
		t.Errorf("the request under way: got %d, want 201", got)
	}
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the server does not stop")
	}
	if _, err := s.accounts.User(t.Context(), "late"); err != nil {
		t.Errorf("what was answered is lost: %v", err)
	}
	if _, err := http.Get(at + "/healthz"); err == nil {
		t.Error("it still listens")
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]httpd.Options{
		"nothing":        {},
		"no workspace":   {Accounts: &auth.Accounts{}},
		"a hostile name": {Accounts: &auth.Accounts{}, Workspaces: map[string]*tracking.Tracker{"../x": {}}},
	} {
		if _, err := httpd.New(o); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}
