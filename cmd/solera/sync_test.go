package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store"
)

// A way is what lies between a sender and a server. Now and then something is
// lost on it: a request, or the answer to one that was carried out.
type way struct {
	mu     sync.Mutex // guards random
	random *rand.Rand
	to     http.Handler
}

func (w *way) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	fate := w.random.IntN(60)
	w.mu.Unlock()
	switch fate {
	case 0: // lost on the way there
	case 1: // lost on the way back
		w.to.ServeHTTP(httptest.NewRecorder(), r)
	case 2:
		http.Error(rw, "busy", http.StatusServiceUnavailable)
		return
	default:
		w.to.ServeHTTP(rw, r)
		return
	}
	if c, _, err := rw.(http.Hijacker).Hijack(); err == nil {
		c.Close()
	}
}

// Runs are sent by processes that are killed at random moments, over a way on which
// requests and answers get lost: live, and by sync. In the end the server has
// every point, line, file and version once.
func TestKilledSendersLeaveNoGapAndNoDouble(t *testing.T) {
	rounds := 8
	if n, err := strconv.Atoi(os.Getenv("SOLERA_CRASH_ROUNDS")); err == nil {
		rounds = n
	} else if testing.Short() {
		rounds = 2 // under the race detector a process takes ten times as long
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "solera") // by this name the test binary is the program
	if err := os.Symlink(self, program); err != nil {
		t.Skip(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	here, there := t.TempDir(), t.TempDir()
	env := append(os.Environ(), "CI=true", "XDG_CONFIG_HOME="+t.TempDir(), "WANDB_API_KEY="+strings.Repeat("0", 40), "WANDB_ENTITY=", "SOLERA_SILENCE=2s")
	command := func(dir string, args ...string) *exec.Cmd {
		c := exec.Command(program, append([]string{"-C", dir}, args...)...)
		c.Env = env
		return c
	}

	server := command(there, "server", "--listen", "127.0.0.1:0", "--json")
	var said bytes.Buffer
	server.Stderr = &said
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	})
	defer end()
	var ready struct{ URL string }
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(ready.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = target.Host }, ErrorLog: log.New(io.Discard, "", 0)}
	lossy := httptest.NewServer(&way{random: rand.New(rand.NewPCG(seed, 2)), to: proxy})
	defer lossy.Close()
	env = append(env, "WANDB_BASE_URL="+lossy.URL)

	if out, err := command(here, "init", "wine").CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	killed := 0
	for round := range rounds {
		args := []string{"run", "-q", "--tracking", "wandb"}
		if round%2 == 1 {
			args = []string{"sync", "--all", "--to", "wandb", "-q"}
		} else {
			// Another seed, so that there is something to do.
			config := filepath.Join(here, "solera.yaml")
			text, err := os.ReadFile(config)
			if err != nil {
				t.Fatal(err)
			}
			text = regexp.MustCompile(`(?m)^seed: \d+`).ReplaceAll(text, fmt.Appendf(nil, "seed: %d", round))
			if err := os.WriteFile(config, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		c := command(here, args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		alive := time.AfterFunc(time.Duration(200+random.Int64N(2500))*time.Millisecond, func() { _ = c.Process.Kill() })
		if c.Wait() != nil {
			killed++
		}
		alive.Stop()
	}
	if out, err := command(here, "run", "-q").CombinedOutput(); err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	time.Sleep(2500 * time.Millisecond) // until the killed ones are taken for dead
	if out, err := command(here, "sync", "--all", "--to", "wandb").CombinedOutput(); err != nil {
		t.Fatalf("sync: %v\n%s", err, out)
	}
	end()
	if killed < rounds/3 {
		t.Errorf("only %d of %d processes were killed: the test shows little", killed, rounds)
	}
	compareStores(t, filepath.Join(here, ".solera"), filepath.Join(there, ".solera"))
	if t.Failed() {
		t.Logf("the server: %s", said.String())
	}
}

// compareStores compares what was sent with what arrived.
func compareStores(t *testing.T, here, there string) {
	t.Helper()
	ctx := context.Background()
	open := func(dir string) *store.DB {
		db, err := store.OpenSQLite(ctx, filepath.Join(dir, "solera.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
	a, b := open(here), open(there)
	type record struct {
		runs     map[solera.RunID]solera.Run
		edges    []string
		versions []string
		files    map[solera.RunID][]string
	}
	read := func(db *store.DB) (r record) {
		err := db.View(ctx, func(tx solera.Tx) error {
			r = record{runs: map[solera.RunID]solera.Run{}, files: map[solera.RunID][]string{}}
			runs, err := tx.Runs(solera.RunQuery{})
			if err != nil {
				return err
			}
			for _, run := range runs {
				r.runs[run.ID] = run
				files, err := tx.RunFiles(run.ID)
				if err != nil {
					return err
				}
				for _, f := range files {
					r.files[run.ID] = append(r.files[run.ID], f.Path+" "+f.Digest.String())
				}
			}
			edges, err := tx.Edges(solera.EdgeQuery{})
			if err != nil {
				return err
			}
			for _, e := range edges {
				if e.Kind != solera.Same { // there it is an answer to whoever logs it, and no record
					r.edges = append(r.edges, string(e.Run)+" "+string(e.Kind)+" "+e.Version.Name())
				}
			}
			versions, err := tx.Versions(solera.VersionQuery{Files: true})
			if err != nil {
				return err
			}
			for _, v := range versions {
				line := v.Name() + " " + v.Type + " " + v.Digest.String()
				for _, f := range v.Files {
					line += " " + f.Path + "=" + f.Digest.String()
				}
				r.versions = append(r.versions, line)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	sent, got := read(a), read(b)
	if diff := cmp.Diff(sent.versions, got.versions); diff != "" {
		t.Error("versions: ", diff)
	}
	if diff := cmp.Diff(sent.edges, got.edges); diff != "" {
		t.Error("edges: ", diff)
	}
	points, lines := 0, 0
	for id, run := range sent.runs {
		arrived, ok := got.runs[id]
		if !ok {
			t.Errorf("run %s did not arrive", id)
			continue
		}
		if arrived.State != run.State && run.State != solera.Crashed || arrived.Name != run.Name || arrived.Stage != run.Stage {
			t.Errorf("run %s: %s %s %s, want %s %s %s", id, arrived.Name, arrived.Stage, arrived.State, run.Name, run.Stage, run.State)
		}
		if diff := cmp.Diff(canonical(t, run.Params), canonical(t, arrived.Params)); diff != "" {
			t.Errorf("params of %s: %s", id, diff)
		}
		if diff := cmp.Diff(sent.files[id], got.files[id]); diff != "" {
			t.Errorf("files of %s: %s", id, diff)
		}
		n, m := comparePoints(t, id, a, b)
		points, lines = points+n, lines+m
	}
	t.Logf("%d runs, %d points, %d lines, %d versions arrived once", len(sent.runs), points, lines, len(sent.versions))
	if points == 0 || lines == 0 {
		t.Error("nothing was compared")
	}
}

func canonical(t *testing.T, f solera.Fields) string {
	b, err := f.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func comparePoints(t *testing.T, id solera.RunID, a, b solera.Store) (points, lines int) {
	t.Helper()
	ctx := context.Background()
	keys, err := a.Keys(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		var series [2][]solera.Point
		for i, s := range []solera.Store{a, b} {
			all, err := s.Series(ctx, solera.SeriesQuery{Run: id, Key: key})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range all {
				p.Time = 0 // of a row, not of a value
				series[i] = append(series[i], p)
			}
		}
		if diff := cmp.Diff(series[0], series[1]); diff != "" {
			t.Errorf("run %s, %s: %s", id, key, diff)
		}
		points += len(series[0])
	}
	var text [2][]string
	for i, s := range []solera.Store{a, b} {
		all, err := s.Lines(ctx, id, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			text[i] = append(text[i], l.Stream+" "+l.Text)
		}
	}
	if diff := cmp.Diff(text[0], text[1]); diff != "" {
		t.Errorf("console of %s: %s", id, diff)
	}
	return points, len(text[0])
}
