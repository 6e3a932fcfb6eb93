package wandb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/solera-ml/solera"
)

func envOf(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestSettings(t *testing.T) {
	netrc := filepath.Join(t.TempDir(), ".netrc")
	if err := os.WriteFile(netrc, []byte(`# password of nobody
machine api.wandb.ai
  login user
  password from-netrc
macdef init
machine tracker.example
password no

machine Tracker.Example login user password "quoted"
default login x password for-anybody
`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		env  []string
		want Settings
	}{
		"nothing":             {nil, Settings{URL: DefaultURL}},
		"a key":               {[]string{"WANDB_API_KEY", " k \n"}, Settings{URL: DefaultURL, Key: "k", KeyFrom: "WANDB_API_KEY"}},
		"empty variables":     {[]string{"WANDB_BASE_URL", "", "WANDB_ENTITY", " "}, Settings{URL: DefaultURL}},
		"a server":            {[]string{"WANDB_BASE_URL", "https://x.example/wandb//", "WANDB_ENTITY", "lab", "WANDB_PROJECT", "p"}, Settings{URL: "https://x.example/wandb", Workspace: "lab", Project: "p"}},
		"of this machine":     {[]string{"WANDB_BASE_URL", "http://127.0.0.1:8080"}, Settings{URL: "http://127.0.0.1:8080"}},
		"netrc":               {[]string{"NETRC", netrc}, Settings{URL: DefaultURL, Key: "from-netrc", KeyFrom: netrc}},
		"netrc at home":       {[]string{"HOME", filepath.Dir(netrc)}, Settings{URL: DefaultURL, Key: "from-netrc", KeyFrom: netrc}},
		"the key wins":        {[]string{"NETRC", netrc, "WANDB_API_KEY", "k"}, Settings{URL: DefaultURL, Key: "k", KeyFrom: "WANDB_API_KEY"}},
		"another machine":     {[]string{"NETRC", netrc, "WANDB_BASE_URL", "https://tracker.example:444"}, Settings{URL: "https://tracker.example:444", Key: "quoted", KeyFrom: netrc}},
		"default is nobody's": {[]string{"NETRC", netrc, "WANDB_BASE_URL", "https://other.example"}, Settings{URL: "https://other.example"}},
		"no such netrc":       {[]string{"NETRC", netrc + "x"}, Settings{URL: DefaultURL}},
	} {
		if got, err := SettingsOf(envOf(tt.env...)); err != nil || got != tt.want {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, tt.want)
		}
	}
	for name, env := range map[string][]string{
		"no scheme":         {"WANDB_BASE_URL", "tracker.example"},
		"a port alone":      {"WANDB_BASE_URL", "localhost:8080"},
		"another scheme":    {"WANDB_BASE_URL", "file:///etc/passwd"},
		"no host":           {"WANDB_BASE_URL", "https://"},
		"a key in it":       {"WANDB_BASE_URL", "https://user:hunter2@x.example"},
		"a query":           {"WANDB_BASE_URL", "https://x.example/?a=1"},
		"no URL":            {"WANDB_BASE_URL", "https://x.example/%zz"},
		"a key of two":      {"WANDB_API_KEY", "hunter2 hunter2"},
		"a key with lines":  {"WANDB_API_KEY", "hunter2\r\nX-Evil: 1"},
		"a key too long":    {"WANDB_API_KEY", strings.Repeat("hunter2", 1000)},
		"a path for a name": {"WANDB_ENTITY", "a/b"},
		"a project too":     {"WANDB_PROJECT", "a?b"},
	} {
		_, err := SettingsOf(envOf(env...))
		if !errors.Is(err, solera.ErrInvalid) || strings.Contains(err.Error(), "hunter2") || len(err.Error()) > 400 {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := (Settings{URL: DefaultURL}).Check(); !errors.Is(err, solera.ErrNotFound) || !strings.Contains(err.Error(), "WANDB_API_KEY") {
		t.Errorf("no key: %v", err)
	}
	for address, want := range map[string]bool{"http://x.example": true, "https://x.example": false, "http://127.0.0.1:1": false, "http://localhost": false, "http://[::1]:2": false} {
		if (Settings{URL: address}).Plain() != want {
			t.Errorf("%s: plain is %v", address, !want)
		}
	}
	if got := (Settings{URL: DefaultURL}).Page("a b", "p"); got != "https://wandb.ai/a%20b/p" {
		t.Errorf("page %s", got)
	}
}

func FuzzNetrc(f *testing.F) {
	f.Add("machine a login b password c")
	f.Add("macdef x\n\nmachine h password \"\"")
	f.Fuzz(func(t *testing.T, s string) {
		password, err := netrcPassword(strings.NewReader(s), "h")
		if err == nil && password != "" && !strings.Contains(s, password) {
			t.Fatalf("%q gives %q", s, password)
		}
	})
}

// newClient returns a client of a handler, with short waits.
func newClient(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := NewClient(Settings{URL: server.URL, Key: fakeKey}, "test")
	if err != nil {
		t.Fatal(err)
	}
	c.Backoff = time.Millisecond
	t.Cleanup(c.Close)
	return c
}

func TestWhatPassesIsWaitedOut(t *testing.T) {
	for _, status := range []int{408, 429, 500, 502, 503, 504} {
		var calls atomic.Int64
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) < 4 {
				http.Error(w, "later", status)
				return
			}
			fmt.Fprint(w, `{"data":{"viewer":{"id":"x","entity":"ana","username":"ana"}}}`)
		})
		if v, err := c.Viewer(t.Context()); err != nil || v.Workspace != "ana" || calls.Load() != 4 {
			t.Errorf("%d: %+v, %v, after %d calls", status, v, err, calls.Load())
		}
	}
}

func TestWhatIsFinalIsFinal(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 409, 410, 413, 422, 501} {
		var calls atomic.Int64
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			_, key, _ := r.BasicAuth()
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"errors":[{"message":"no: %s\u001b[31m %s"}]}`, key, strings.Repeat("x", 10_000))
		})
		_, err := c.Viewer(t.Context())
		var answer *StatusError
		if !errors.As(err, &answer) || answer.Status != status || calls.Load() != 1 {
			t.Errorf("%d: got %v after %d calls", status, err, calls.Load())
		}
		if s := fmt.Sprint(err); strings.Contains(s, fakeKey) || strings.Contains(s, "\x1b") || len(s) > 500 {
			t.Errorf("%d: the message is %q", status, s)
		}
		calls.Store(0)
		if _, err := c.Stream(t.Context(), "e", "p", "r", Stream{}); err == nil || calls.Load() != 1 {
			t.Errorf("stream, %d: %v after %d calls", status, err, calls.Load())
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "0": 0, "1.5": 1500 * time.Millisecond, "-3": 0, "NaN": 0, "1e99": 0, "soon": 0,
		"Sun, 29 Nov 2026 12:00:07 GMT": 7 * time.Second, "Sun, 29 Nov 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {s}}, now); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
	}
	var waited time.Duration
	var calls atomic.Int64
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			w.Header().Set("Retry-After", "0.2")
			http.Error(w, "slow down", http.StatusTooManyRequests)
			return
		}
		w.Header().Set("RateLimit-Remaining", "0")
		w.Header().Set("RateLimit-Reset", "3")
		fmt.Fprint(w, `{}`)
	})
	c.Waiting = func(_ error, d time.Duration) { waited = d }
	a, err := c.Stream(t.Context(), "e", "p", "r", Stream{})
	if err != nil || waited != 200*time.Millisecond || a.Pause != 3*time.Second {
		t.Errorf("waited %s, pause %s, %v", waited, a.Pause, err)
	}
}

// The key goes to the host that was named, and to no other.
func TestKeyIsNotPassedOn(t *testing.T) {
	var seen []string
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		fmt.Fprint(w, `{"data":{"viewer":{"id":"x","entity":"thief"}}}`)
	}))
	defer thief.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief.URL+"/graphql", status) })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := c.Viewer(ctx)
		cancel()
		if !errors.Is(err, errRedirect) || !strings.Contains(err.Error(), "WANDB_BASE_URL") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if len(seen) != 0 {
		t.Errorf("the other host was asked: %q", seen)
	}
	// Signed addresses carry no key, so they may lead elsewhere.
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, thief.URL+"/file", http.StatusTemporaryRedirect)
	})
	if err := c.getOnce(t.Context(), "download", c.settings.URL+"/signed", func(r io.Reader) error { _, err := io.ReadAll(r); return err }); err != nil {
		t.Error(err)
	}
	if len(seen) != 1 || seen[0] != "" {
		t.Errorf("a signed address got %q", seen)
	}
}

func TestSignedAddresses(t *testing.T) {
	c, err := NewClient(Settings{URL: "https://tracker.example", Key: fakeKey}, "test")
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"", "file:///etc/passwd", "ftp://x.example/a", "/relative", "https://", "http://x.example/plain?sig=hunter2", "https://x.example/%zz?hunter2"} {
		err := c.putOnce(t.Context(), "upload a", address, nil, strings.NewReader(""), 0)
		if !errors.Is(err, solera.ErrInvalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", address, err)
		}
	}
	plain := newClient(t, func(http.ResponseWriter, *http.Request) {})
	if err := plain.putOnce(t.Context(), "upload a", plain.settings.URL, []string{"no header"}, strings.NewReader(""), 0); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("a header without a colon: %v", err)
	}
}

// An address may expire; one that is refused again and again is meant so.
func TestExpiredAddresses(t *testing.T) {
	for name, tt := range map[string]struct {
		refusals int64
		ok       bool
	}{"once": {1, true}, "always": {1000, false}} {
		var puts, asked atomic.Int64
		var c *Client
		c = newClient(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				if puts.Add(1) <= tt.refusals {
					http.Error(w, "expired", http.StatusForbidden)
				}
				return
			}
			asked.Add(1)
			fmt.Fprintf(w, `{"data":{"createRunFiles":{"runID":"x","uploadHeaders":[],"files":[{"name":"a","uploadUrl":"%s/put"}]}}}`, c.settings.URL)
		})
		err := c.UploadRunFile(t.Context(), "e", "p", "r", Content{Name: "a", Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }})
		if (err == nil) != tt.ok || asked.Load() != puts.Load() || puts.Load() > 10 {
			t.Errorf("%s: %v after %d tries and %d addresses", name, err, puts.Load(), asked.Load())
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 1<<20)
		for i := range chunk {
			chunk[i] = ' '
		}
		for range 3 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	if _, err := c.Stream(t.Context(), "e", "p", "r", Stream{}); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("a stream's answer of 3 MiB: %v", err)
	}
}

func TestAnswersOfAnotherForm(t *testing.T) {
	for name, answer := range map[string]string{
		"null":      `{"data":null}`,
		"a list":    `{"data":{"upsertBucket":[]}}`,
		"no bucket": `{"data":{"upsertBucket":{"bucket":null}}}`,
		"an error":  `{"data":null,"errors":[{"message":"permission denied"}]}`,
		"elsewhere": `{"data":{"upsertBucket":{"bucket":{"id":"a","name":"r","project":{"name":"p","entity":{"name":"thief"}}}}}}`,
	} {
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, answer) })
		m := &Mirror{Client: c, Workspace: "ana"}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if a, err := m.announce(ctx, Bucket{Workspace: "ana", Project: "p", Name: "r"}); err == nil || ctx.Err() != nil {
			t.Errorf("%s: got %+v, %v", name, a, err)
		}
		cancel()
	}
}

// Pages of files that never end are noticed.
func TestEndlessPages(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"data":{"project":{"artifactCollection":{"artifactMembership":{"files":{"pageInfo":{"endCursor":"x","hasNextPage":true},"edges":[{"node":{"name":"a","directUrl":"x"}}]}}}}}}`)
	})
	if _, err := c.FileURLs(t.Context(), "e", "p", Artifact{Collection: "a"}); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

func TestTheEndOfAContextIsTheEnd(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) })
	c.Backoff = time.Hour
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	c.Waiting = func(error, time.Duration) { cancel(why) }
	began := time.Now()
	if _, err := c.Viewer(ctx); !errors.Is(err, why) || !strings.Contains(err.Error(), "503") || time.Since(began) > 5*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
}
