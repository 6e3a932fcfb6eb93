package wandb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/tracking"
)

// A site is the dialect over two workspaces, and what tests need to speak to it.
type site struct {
	t        testing.TB
	url      string
	service  *service
	trackers map[string]*tracking.Tracker
	keys     map[string]string // of admin, of ana (editor of default), vera (viewer of default), otto (editor of other)

	mu      sync.Mutex
	now     time.Time
	unknown []string
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

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, trackers: map[string]*tracking.Tracker{}, keys: map[string]string{}, now: time.Now()}
	for _, name := range []string{"default", "other"} {
		folder := filepath.Join(t.TempDir(), name)
		db, err := store.OpenSQLite(context.Background(), filepath.Join(folder, "solera.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		blobs, err := blob.OpenDir(filepath.Join(folder, "blobs"))
		if err != nil {
			t.Fatal(err)
		}
		s.trackers[name] = &tracking.Tracker{Store: db, Blobs: blobs}
	}
	accounts := auth.New(s.trackers["default"].Store, auth.Options{})
	admin, err := accounts.First(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	s.keys["admin"] = admin
	for name, roles := range map[string]map[string]auth.Role{
		"ana": {"default": auth.Editor}, "vera": {"default": auth.Viewer}, "otto": {"other": auth.Editor}, "nemo": {},
	} {
		if err := accounts.AddUser(context.Background(), auth.User{Name: name, Roles: roles}, ""); err != nil {
			t.Fatal(err)
		}
		if s.keys[name], _, err = accounts.AddKey(context.Background(), auth.Key{User: name, Scope: auth.Write}); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	s.service = newService(Options{
		Workspace: func(name string) (*tracking.Tracker, error) {
			if tr, ok := s.trackers[name]; ok {
				return tr, nil
			}
			return nil, fmt.Errorf("workspace %s: %w", name, solera.ErrNotFound)
		},
		Workspaces: func() []string { return []string{"default", "other"} },
		Clock:      s.clock,
		Unknown: func(name string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.unknown = append(s.unknown, name)
		},
	})
	s.service.routes(mux)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, key, _ := r.BasicAuth()
		ctx := r.Context()
		if key != "" {
			p, err := accounts.ByKey(ctx, key)
			if err != nil {
				Refuse(w, http.StatusUnauthorized, "user is not logged in")
				return
			}
			ctx = solera.WithActor(auth.WithPrincipal(ctx, p), p.User)
		}
		mux.ServeHTTP(w, r.WithContext(ctx))
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// ask sends a request as a user.
func (s *site) ask(user, method, path string, body []byte, header map[string]string) (int, http.Header, string) {
	s.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = s.url + path
	}
	r, err := http.NewRequest(method, path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth("api", s.keys[user])
	}
	for name, v := range header {
		r.Header.Set(name, v)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(raw)
}

// say sends GraphQL as a user and returns the status and the data, or the
// message.
func (s *site) say(user, query string, variables any) (int, any) {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		s.t.Fatal(err)
	}
	status, _, text := s.ask(user, http.MethodPost, "/graphql", body, nil)
	var answer struct {
		Data   any
		Errors []struct{ Message string }
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		s.t.Fatalf("answer %.300q: %v", text, err)
	}
	if len(answer.Errors) > 0 {
		return status, answer.Errors[0].Message
	}
	return status, answer.Data
}

// get sends GraphQL as ana and returns what is at a path of the data.
func (s *site) get(query string, variables map[string]any, path ...any) any {
	s.t.Helper()
	status, data := s.say("ana", query, variables)
	if status != http.StatusOK {
		s.t.Fatalf("%.200s: got %d %v", query, status, data)
	}
	return pick(s.t, data, path...)
}

func pick(t testing.TB, v any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				t.Fatalf("no %q in %v", p, v)
			}
			v = m[p]
		case int:
			list, ok := v.([]any)
			if !ok || p >= len(list) {
				t.Fatalf("no element %d in %v", p, v)
			}
			v = list[p]
		}
	}
	return v
}

const upsert = `mutation UpsertBucket($id:String $name:String $project:String $entity:String $group:String $display:String $notes:String
	$config:JSONString $host:String $program:String $jobType:String $tags:[String!] $summary:JSONString $state:String $sweep:String){
	upsertBucket(input:{id:$id name:$name modelName:$project entityName:$entity groupName:$group displayName:$display notes:$notes
		config:$config host:$host jobProgram:$program jobType:$jobType tags:$tags summaryMetrics:$summary state:$state sweep:$sweep}){
		bucket{id name displayName config summaryMetrics sweepName state tags notes historyLineCount project{id name entity{id name}}} inserted}}`

// start registers a run of project wine.
func (s *site) start(name string, more map[string]any) map[string]any {
	s.t.Helper()
	variables := map[string]any{"name": name, "project": "wine", "entity": "default", "host": "laptop", "program": "train.py"}
	for key, v := range more {
		variables[key] = v
	}
	return s.get(upsert, variables, "upsertBucket").(map[string]any)
}

// stream posts to the file stream of a run of project wine.
func (s *site) stream(run, body string, header map[string]string) (int, string) {
	s.t.Helper()
	status, _, text := s.ask("ana", http.MethodPost, "/files/default/wine/"+run+"/file_stream", []byte(body), header)
	return status, text
}

// streamOf is a body that sends lines of one file.
func streamOf(file string, offset int, lines ...string) string {
	raw, _ := json.Marshal(map[string]any{"files": map[string]any{file: map[string]any{"offset": offset, "content": lines}}})
	return string(raw)
}

// rows are the history of a run as the client reads it.
func (s *site) rows(run string) []string {
	s.t.Helper()
	var out []string
	for _, x := range s.get(`query($r:String!){project(name:"wine",entityName:"default"){run(name:$r){history(samples:100000)}}}`,
		map[string]any{"r": run}, "project", "run", "history").([]any) {
		out = append(out, x.(string))
	}
	return out
}
