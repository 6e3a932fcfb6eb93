package api_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/solera-ml/solera/httpd/api"
)

// An operation is one of the description.
type operation struct {
	method, path, role string
	body               bool
}

func operations(t *testing.T) []operation {
	t.Helper()
	raw, err := os.ReadFile("testdata/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Paths map[string]map[string]struct {
			Role string          `json:"x-role"`
			Body json.RawMessage `json:"requestBody"`
		}
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	var all []operation
	for path, methods := range d.Paths {
		for method, op := range methods {
			if strings.Contains(path, "{workspace}") {
				all = append(all, operation{strings.ToUpper(method), strings.TrimPrefix(path, api.Root), op.Role, op.Body != nil})
			}
		}
	}
	if len(all) < 30 {
		t.Fatalf("the description has %d operations", len(all))
	}
	return all
}

var parameter = regexp.MustCompile(`\{[a-z]+\}`)

func TestEveryRouteAsksWhoYouAre(t *testing.T) {
	h := newHouse(t)
	for _, op := range operations(t) {
		path := parameter.ReplaceAllString(strings.Replace(op.path, "{workspace}", "default", 1), "x")
		var body any
		if op.body {
			body = "{}"
		}
		if status, header, content := h.sendAs("", op.method, path, body); status != 401 || header.Get("WWW-Authenticate") == "" || header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s without a key: %d %s", op.method, path, status, content)
		}
		if op.role == "editor" {
			if status, _, content := h.sendAs("viewer", op.method, path, body); status != 403 {
				t.Errorf("%s %s as a viewer: %d %s", op.method, path, status, content)
			}
			if status, _, _ := h.sendAs("editor", op.method, path, body); status == 403 || status == 401 {
				t.Errorf("%s %s as an editor: %d", op.method, path, status)
			}
		} else if op.method != "GET" && op.role != "viewer" {
			t.Errorf("%s %s needs the role %q", op.method, path, op.role)
		}
		elsewhere := parameter.ReplaceAllString(strings.Replace(op.path, "{workspace}", "absent", 1), "x")
		if status, _, content := h.send(op.method, elsewhere, body); status != 404 {
			t.Errorf("%s %s: %d %s, want 404", op.method, elsewhere, status, content)
		}
	}
}

func TestPathsLeadNowhereElse(t *testing.T) {
	h := newHouse(t)
	runs := h.fill()
	h.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	tricks := []string{
		"..", "%2e%2e", "../../../etc/passwd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..%5cwin.ini", "a%00b", "%00", "C:%5ca", "%2fetc%2fpasswd",
		"a//b", "a%2f%2fb", "%ff%fe", strings.Repeat("a", 5000), strings.Repeat("a%2f", 3000), "%E2%80%AE", ".", "%2e", "'%20or%201=1--", "%0d%0aSet-Cookie:%20a=b",
	}
	values := map[string]string{"workspace": "default", "project": "wine", "name": "wine-raw", "version": "v0", "id": string(runs[1]), "alias": "a", "path": "data/raw.csv"}
	for _, op := range operations(t) {
		if op.method == "DELETE" {
			continue // of real things
		}
		for _, hole := range parameter.FindAllString(op.path, -1) {
			for _, trick := range tricks {
				path := op.path
				for name, value := range values {
					if "{"+name+"}" == hole {
						value = trick
					}
					path = strings.ReplaceAll(path, "{"+name+"}", value)
				}
				var body any
				if op.body {
					body = "{}"
				}
				status, header, content := h.send(op.method, path, body)
				saves := strings.HasSuffix(op.path, "/views/{name}") || strings.HasSuffix(op.path, "/aliases/{alias}")
				switch {
				case status >= 500:
					t.Errorf("%s %.200s: %d %s", op.method, path, status, content)
				case status >= 300 && status < 400:
					if u, err := url.Parse(header.Get("Location")); err != nil || u.Host != "" || strings.Contains(u.Path, "..") {
						t.Errorf("%s %.200s leads to %s", op.method, path, header.Get("Location"))
					}
				case status < 300 && !saves:
					t.Errorf("%s %.200s: %d %.100s", op.method, path, status, content)
				}
				if header.Get("Set-Cookie") != "" {
					t.Errorf("%s %.200s set a cookie", op.method, path)
				}
			}
		}
	}
}

func TestBodiesThatMakeNoSense(t *testing.T) {
	h := newHouse(t)
	runs := h.fill()
	run := string(runs[1])
	series := func(n int) string {
		return `{"series":[` + strings.TrimSuffix(strings.Repeat(`{"run":"`+run+`","key":"val/loss"},`, n), ",") + `]}`
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"POST", "/runs/query", `{`, 400, "JSON"},
		{"POST", "/runs/query", ``, 400, ""},
		{"POST", "/runs/query", `null`, 422, ""},
		{"POST", "/runs/query", `[]`, 422, "object"},
		{"POST", "/runs/query", `{"project":"wine","project":"other"}`, 400, "twice"},
		{"POST", "/runs/query", `{"projekt":"wine"}`, 422, "projekt"},
		{"POST", "/runs/query", `{"limit":"1"}`, 422, "body.limit"},
		{"POST", "/runs/query", `{"limit":1.5}`, 422, "body.limit"},
		{"POST", "/runs/query", `{"limit":1001}`, 422, "body.limit"},
		{"POST", "/runs/query", `{"limit":1e300}`, 422, "body.limit"},
		{"POST", "/runs/query", `{"offset":-1}`, 422, "body.offset"},
		{"POST", "/runs/query", `{"project":"../x"}`, 400, "body.project"},
		{"POST", "/runs/query", `{"sort":["-nothing"]}`, 400, "body.sort[0]"},
		{"POST", "/runs/query", `{"columns":["params."]}`, 400, "body.columns[0]"},
		{"POST", "/runs/query", `{"where":"params.x ="}`, 400, "column 11"},
		{"POST", "/runs/query", `{"where":"` + strings.Repeat("(", 1000) + `"}`, 400, "body.where"},
		{"POST", "/runs/query", `{"where":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, 400, "nested"},
		{"POST", "/runs/query", strings.Repeat("[", 100_000), 400, ""},
		{"POST", "/runs/groups", `{"by":[]}`, 422, "body.by"},
		{"POST", "/runs/groups", `{"by":["stage","stage","stage","stage","stage","stage"]}`, 422, "body.by"},
		{"POST", "/runs/groups", `{"by":["nothing"]}`, 400, "nothing"},
		{"POST", "/series", series(2001), 422, "2000"},
		{"POST", "/series", series(2000), 200, ""},
		{"POST", "/series", `{"series":[]}`, 200, "[]"},
		{"POST", "/series", `{"series":[{"run":"absent","key":"a"}]}`, 404, "body.series[0].run"},
		{"POST", "/series", `{"series":[{"run":"` + run[:10] + `","key":"a"}]}`, 404, ""},
		{"POST", "/series", `{"series":[{"run":"` + run + `","key":""}]}`, 422, "key"},
		{"POST", "/series", `{"series":[],"from":2,"to":1}`, 400, "body.to"},
		{"POST", "/series", `{"series":[],"pixels":99999}`, 422, "pixels"},
		{"PATCH", "/runs/" + run, `{"name":""}`, 400, "name"},
		{"PATCH", "/runs/" + run, `{"name":"a\nb"}`, 400, "name"},
		{"PATCH", "/runs/" + run, `{"tags":["ok"," bad"]}`, 400, "tag"},
		{"PATCH", "/runs/" + run, `{"state":"failed"}`, 422, "state"},
		{"PATCH", "/runs/absent", `{"name":"x"}`, 404, ""},
		{"PATCH", "/runs/train", `{"name":"x"}`, 404, ""},
		{"PATCH", "/artifacts/wine/wine-raw/v0", `{"expires":"soon"}`, 422, "expires"},
		{"PATCH", "/artifacts/wine/wine-raw/v9", `{}`, 404, ""},
		{"PATCH", "/artifacts/wine/absent/v0", `{}`, 404, ""},
		{"PATCH", "/artifacts/wine/wine-raw/v00", `{}`, 400, "path.version"},
		{"PUT", "/views/a", `[]`, 422, ""},
		{"GET", "/runs?limit=many", "", 422, "query.limit"},
		{"GET", "/runs?wher=x", "", 422, "wher"},
		{"GET", "/runs?where=a%00", "", 400, "query.where"},
		{"GET", "/runs/" + run + "/console?after=-1", "", 422, "after"},
		{"GET", "/audit?from=yesterday", "", 422, "from"},
		{"GET", "/lineage?ref=wine/wine-raw&direction=sideways", "", 422, "direction"},
		{"GET", "/lineage", "", 422, "ref"},
		{"GET", "/diff?a=wine/wine-raw:v0&b=wine/absent:v0", "", 404, ""},
		{"GET", "/compare?runs=" + run + ",absent", "", 404, "query.runs[1]"},
		{"GET", "/artifacts?project=a/b", "", 400, "query.project"},
		{"DELETE", "/runs/absent", "", 404, ""},
		{"POST", "/runs/absent/restore", "", 404, ""},
		{"POST", "/artifacts/wine/absent/v0/verify", "", 404, ""},
	} {
		var body any
		if tt.method != "GET" && tt.method != "DELETE" {
			body = tt.body
		}
		status, header, content := h.send(tt.method, ws+tt.path, body)
		if status != tt.status || !strings.Contains(string(content), tt.says) {
			t.Errorf("%s %s %.100s: %d %.400s\nwant %d %s", tt.method, tt.path, tt.body, status, content, tt.status, tt.says)
		}
		if status >= 400 && header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s %.100s: Content-Type %s", tt.method, tt.path, tt.body, header.Get("Content-Type"))
		}
	}
}

func TestThePageOfTheAPIHasNoScript(t *testing.T) {
	h := newHouse(t)
	status, header, page := h.send("GET", "/docs", nil)
	if status != 200 || header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", status, header)
	}
	for _, bad := range []string{"<script", "style=", " on", "http://", "https://"} {
		// " on" as in onclick=: an attribute, not a word.
		if i := strings.Index(string(page), bad); i >= 0 && (bad != " on" || regexp.MustCompile(`<[^>]* on[a-z]+=`).Match(page)) {
			t.Errorf("the page has %q: %.100s", bad, page[i:])
		}
	}
	for _, op := range operations(t) {
		if !strings.Contains(string(page), ">"+api.Root+op.path+"<") {
			t.Errorf("%s is not on the page", op.path)
		}
	}
	if status, header, _ := h.send("GET", "/docs.css", nil); status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/css") {
		t.Errorf("%d %v", status, header)
	}
	if status, _, raw := h.send("GET", "/openapi.json", nil); status != 200 || !json.Valid(raw) {
		t.Errorf("%d", status)
	}
}
