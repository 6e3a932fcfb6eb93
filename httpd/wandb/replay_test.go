package wandb_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/httpd/wandb"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/tracking"
)

// The real clients' recordings lie in testdata/<version of the client>/, a file
// per script of interop/wandb/conformance; `make interop-record` writes them,
// zcat shows them. What stands in them is told at exchange in internal/interop/record.go.

// An exchange is one request of a client, and what it was answered.
type exchange struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Auth    bool              `json:"auth"`
	Header  map[string]string `json:"header"`
	Query   string            `json:"query"`
	Vars    json.RawMessage   `json:"variables"`
	Body    string            `json:"body"`
	Binary  string            `json:"binary"`
	Status  int               `json:"status"`
	Answer  json.RawMessage   `json:"answer"`
	Content string            `json:"content"`
}

// Every client that the project promises to understand is answered as it was
// when its scripts passed.
func TestRecordings(t *testing.T) {
	clients, err := os.ReadFile("../../interop/wandb/clients.txt")
	if err != nil {
		t.Fatal(err)
	}
	versions := regexp.MustCompile(`(?m)^[0-9]\S*`).FindAllString(string(clients), -1)
	if len(versions) == 0 {
		t.Fatal("no client is listed")
	}
	of := "*"
	if testing.Short() { // under the race detector all takes ten times as long, and requests come one by one
		versions, of = versions[:1], "r*" // runs and resume
	}
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join("testdata", version, of+".jsonl.gz"))
			if err != nil {
				t.Fatal(err)
			}
			if len(files) == 0 {
				t.Fatalf("there is no recording of client %s (make interop-record)", version)
			}
			text, err := os.ReadFile(filepath.Join("testdata", version, "queries.json"))
			if err != nil {
				t.Fatal(err)
			}
			var queries map[string]string
			if err := json.Unmarshal(text, &queries); err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".jsonl.gz"), func(t *testing.T) {
					t.Parallel()
					replay(t, file, queries)
				})
			}
		})
	}
}

// A player says to a server again what a client once said.
type player struct {
	t       *testing.T
	base    string // of the server
	queries map[string]string
	list    []exchange
	values  map[string]string // what this server made up instead, by number
}

func replay(t *testing.T, file string, queries map[string]string) {
	packed, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, base: serveAll(t), queries: queries, values: map[string]string{}}
	for line := range bytes.Lines(text) {
		var x exchange
		if err := json.Unmarshal(line, &x); err != nil {
			t.Fatal(err)
		}
		p.list = append(p.list, x)
	}
	if len(p.list) == 0 {
		t.Fatal("an empty recording")
	}
	wrong := 0
	for i, x := range p.list {
		if err := p.say(x); err != nil {
			t.Errorf("%s:%d: %s %s %s: %v", filepath.Base(file), i+1, x.Method, x.Path, x.Query, err)
			if wrong++; wrong == 5 {
				t.Fatal("and so on")
			}
		}
	}
}

// serveAll starts a server on an empty store. A request with a key is one of the
// admin, any other of nobody: what carries its permission in its address must do
// without.
func serveAll(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	db, err := store.OpenSQLite(context.Background(), filepath.Join(dir, "solera.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	blobs, err := blob.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	tracker := &tracking.Tracker{Store: db, Blobs: blobs}
	mux := http.NewServeMux()
	wandb.Register(mux, wandb.Options{
		Workspace: func(name string) (*tracking.Tracker, error) {
			if name != "default" {
				return nil, fmt.Errorf("workspace %s: %w", name, solera.ErrNotFound)
			}
			return tracker, nil
		},
		Workspaces: func() []string { return []string{"default"} },
		Unknown:    func(operation string) { t.Errorf("nobody answers %s", operation) },
		Version:    "test",
	})
	accounts := auth.New(db, auth.Options{})
	secret, err := accounts.First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	admin, err := accounts.ByKey(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := solera.WithActor(r.Context(), "admin")
		switch {
		case r.Header.Get("Authorization") != "":
			ctx = auth.WithPrincipal(ctx, admin)
		case !wandb.Public(r.URL.Path):
			http.Error(w, "sign in", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r.WithContext(ctx))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

var placeholder = regexp.MustCompile(`\{\{(?:(base)|(escaped:|md5:|md5hex:)?(\d+))\}\}`)

// fill puts this server's values in place of the recorded one's.
func (p *player) fill(text string) (string, error) {
	var failed error
	text = placeholder.ReplaceAllStringFunc(text, func(found string) string {
		m := placeholder.FindStringSubmatch(found)
		switch m[2] {
		case "md5:", "md5hex:":
			n, err := strconv.Atoi(m[3])
			if err != nil || n >= len(p.list) {
				failed = fmt.Errorf("%s: there is no such line", found)
				return found
			}
			body, err := p.fill(p.list[n].Body)
			if err != nil {
				failed = err
			}
			sum := md5.Sum([]byte(body))
			if m[2] == "md5:" {
				return base64.StdEncoding.EncodeToString(sum[:])
			}
			return hex.EncodeToString(sum[:])
		}
		if m[1] != "" {
			return p.base
		}
		value, ok := p.values[m[3]]
		if !ok {
			failed = fmt.Errorf("the server did not say what %s is", found)
		}
		if m[2] == "escaped:" {
			value = url.QueryEscape(value)
		}
		return value
	})
	return text, failed
}

func (p *player) say(x exchange) error {
	path, err := p.fill(x.Path)
	if err != nil {
		return err
	}
	var body []byte
	switch {
	case x.Query != "":
		query, ok := p.queries[x.Query]
		if !ok {
			return errors.New("queries.json has no such query")
		}
		vars, err := p.fill(cmp.Or(string(x.Vars), "null"))
		if err != nil {
			return err
		}
		if body, err = json.Marshal(map[string]any{"query": query, "variables": json.RawMessage(vars)}); err != nil {
			return err
		}
	case x.Binary != "":
		if body, err = base64.StdEncoding.DecodeString(x.Binary); err != nil {
			return err
		}
	default:
		text, err := p.fill(x.Body)
		if err != nil {
			return err
		}
		body = []byte(text)
	}
	req, err := http.NewRequest(x.Method, p.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for k, v := range x.Header {
		if v, err = p.fill(v); err != nil {
			return err
		}
		req.Header.Set(k, v)
	}
	if x.Auth {
		req.SetBasicAuth("api", "the key of this test")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != x.Status {
		return fmt.Errorf("answered %d, once %d: %.300s", res.StatusCode, x.Status, answer)
	}
	if x.Content != "" {
		if got := fmt.Sprintf("%d bytes, md5 %x", len(answer), md5.Sum(answer)); got != x.Content {
			return fmt.Errorf("answered %s, once %s", got, x.Content)
		}
	}
	if len(x.Answer) == 0 {
		return nil
	}
	want, ok := parse(string(x.Answer))
	if !ok {
		return fmt.Errorf("the recording holds no JSON: %.100s", x.Answer)
	}
	got, ok := parse(string(answer))
	if !ok {
		return fmt.Errorf("answered no JSON: %.100s", answer)
	}
	return p.compare("", got, want)
}

func parse(text string) (any, bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	_, err := d.Token()
	return v, errors.Is(err, io.EOF)
}

// compare holds an answer to its recorded shape, and learns what this server
// made up.
func (p *player) compare(at string, got, want any) error {
	differ := func() error {
		return fmt.Errorf("%s: answered %.200v, once %.200v", strings.TrimPrefix(at, "."), got, want)
	}
	switch want := want.(type) {
	case map[string]any:
		if inner, ok := want["$json"]; ok && len(want) == 1 {
			text, ok := got.(string)
			if !ok {
				return differ()
			}
			v, ok := parse(text)
			if !ok {
				return differ()
			}
			return p.compare(at+"$", v, inner)
		}
		have, ok := got.(map[string]any)
		if !ok {
			return differ()
		}
		// Keys may hold what was made up, such as the ID of a run.
		known := map[string]any{}
		for k, v := range want {
			filled, err := p.fill(k)
			if err != nil {
				return err
			}
			known[filled] = v
		}
		if !maps.EqualFunc(have, known, func(any, any) bool { return true }) {
			return fmt.Errorf("%s: answered the fields %v, once %v", strings.TrimPrefix(at, "."), slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(known)))
		}
		for _, k := range slices.Sorted(maps.Keys(known)) {
			if err := p.compare(at+"."+k, have[k], known[k]); err != nil {
				return err
			}
		}
		return nil
	case []any:
		have, ok := got.([]any)
		if !ok || len(have) != len(want) {
			return differ()
		}
		for i := range want {
			if err := p.compare(at+"."+strconv.Itoa(i), have[i], want[i]); err != nil {
				return err
			}
		}
		return nil
	case string:
		if want == "~any" {
			return nil
		}
		if want == "~number" {
			if _, ok := got.(json.Number); !ok {
				return differ()
			}
			return nil
		}
		text, ok := got.(string)
		if !ok {
			return differ()
		}
		if want == "~text" {
			return nil
		}
		if m := placeholder.FindStringSubmatch(want); m != nil && m[0] == want && m[3] != "" && m[2] == "" {
			text = strings.TrimPrefix(text, p.base)
			if known, ok := p.values[m[3]]; ok && known != text && !strings.HasPrefix(text, "/storage/") {
				return differ()
			}
			p.values[m[3]] = text
			return nil
		}
		if text != want {
			return differ()
		}
		return nil
	case json.Number:
		if n, ok := got.(json.Number); !ok || n.String() != want.String() {
			return differ()
		}
		return nil
	}
	if got != want { // true, false, null
		return differ()
	}
	return nil
}
