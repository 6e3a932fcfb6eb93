package wandb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/tracking"
)

// newTracker returns a tracker of project wine over a new store on disk.
func newTracker(t *testing.T) *tracking.Tracker {
	t.Helper()
	return openTracker(t, t.TempDir())
}

func openTracker(t *testing.T, dir string) *tracking.Tracker {
	t.Helper()
	db, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "solera.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	blobs, err := blob.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return &tracking.Tracker{Store: db, Blobs: blobs, Project: "wine", Solera: "test", Host: "here"}
}

func newMirror(t *testing.T, tr *tracking.Tracker, address string) *Mirror {
	t.Helper()
	c, err := NewClient(Settings{URL: address, Key: fakeKey}, "test")
	if err != nil {
		t.Fatal(err)
	}
	c.Backoff = time.Millisecond
	t.Cleanup(c.Close)
	return &Mirror{Client: c, Tracker: tr, Workspace: "ana", Every: 5 * time.Millisecond}
}

// record starts a run of a stage with some points.
func record(t *testing.T, tr *tracking.Tracker, stage string, epochs int) *tracking.Run {
	t.Helper()
	run, err := tr.Start(t.Context(), tracking.RunSpec{
		Stage: stage, Params: solera.Fields{"learning_rate": 0.01, "nested": map[string]any{"a": []any{1, "x"}}, "seed": uint64(math.MaxUint64)},
		Tags: []string{"b", "a"}, Notes: "with \"quotes\"\nand lines", Group: "g",
		Environment: solera.Fields{"os": "linux", "arch": "amd64", "cores": 2, "command": []string{"solera", "run"}, "git": map[string]any{"commit": "abc", "remote": "https://example.org/x.git"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for epoch := range epochs {
		if err := run.Record(int64(epoch+1), map[string]float64{"loss": 1 / float64(epoch+1), "val/loss": 2 / float64(epoch+1)}); err != nil {
			t.Fatal(err)
		}
		run.Print(tracking.Out, fmt.Sprintf("epoch %d", epoch+1))
	}
	return run
}

func commit(t *testing.T, run *tracking.Run, name, typ string, files map[string]string, metadata solera.Fields) solera.Version {
	t.Helper()
	d := tracking.Draft{Artifact: name, Type: typ, Metadata: metadata, Files: map[string]tracking.Source{}}
	for path, content := range files {
		d.Files[path] = tracking.Bytes([]byte(content))
	}
	v, _, err := run.Commit(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func finish(t *testing.T, run *tracking.Run, cause error, summary solera.Fields) {
	t.Helper()
	if err := run.Finish(t.Context(), cause, summary); err != nil {
		t.Fatal(err)
	}
}

func (f *fake) blameless(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.faults {
		t.Error(s)
	}
}

// values returns what rows hold of the user's keys, by key and step.
func values(rows []map[string]any) map[string]string {
	out := map[string]string{}
	for _, row := range rows {
		step := row[StepKey]
		if s, ok := row[stepOf]; ok {
			step = s
		}
		for key, v := range row {
			if strings.HasPrefix(key, "_") || key == stepOf {
				continue
			}
			text, _ := Encode(v)
			name := fmt.Sprintf("%s@%v", key, step)
			for out[name] != "" {
				name += "'"
			}
			out[name] = string(text)
		}
	}
	return out
}

func TestRunIsSent(t *testing.T) {
	f, tr := newFake(t), newTracker(t)
	m := newMirror(t, tr, f.URL)
	run := record(t, tr, "train", 3)
	if _, err := tr.Store.Report(t.Context(), solera.Batch{
		Run: run.ID(), Points: []solera.Point{
			{Key: "nan", Step: 3, Value: math.NaN(), Time: 1},
			{Key: "inf", Step: 4, Value: math.Inf(-1), Time: 1},
			{Key: "tiny", Step: 4, Value: 5e-324, Time: 1},
			{Key: "system/cpu_percent", Step: 7, Value: 12.5, Time: 1},
			{Key: "system/memory_bytes", Step: 7, Value: 1 << 40, Time: 1},
		},
		Items: []solera.Item{{Key: "text", Step: 4, Value: json.RawMessage("{\n \"_type\": \"html-file\"}"), Time: 1}},
	}); err != nil {
		t.Fatal(err)
	}
	finish(t, run, nil, solera.Fields{"best_epoch": 2, "val": map[string]any{"accuracy": 0.5}})
	sent, err := m.Send(t.Context(), run.ID())
	if err != nil {
		t.Fatal(err)
	}
	if sent.Points != 12 || sent.Lines != 3 || !sent.Ended || len(sent.Left) != 0 {
		t.Errorf("sent %+v", sent)
	}
	want := map[string]string{
		"loss@1": "1", "loss@2": "0.5", "loss@3": "0.3333333333333333", "val/loss@1": "2", "val/loss@2": "1", "val/loss@3": "0.6666666666666666",
		"nan@3": "NaN", "inf@4": "-Infinity", "tiny@4": "5e-324", "text@4": `{"_type":"html-file"}`,
	}
	rows := f.rows(t, "wine", string(run.ID()), HistoryFile)
	if diff := cmp.Diff(want, values(rows)); diff != "" || len(rows) != 4 {
		t.Errorf("%d rows\n%s", len(rows), diff)
	}
	events := f.rows(t, "wine", string(run.ID()), EventsFile)
	if len(events) != 1 || events[0]["system.cpu_percent"] != json.Number("12.5") || events[0][RuntimeKey] != json.Number("7") {
		t.Errorf("events: %v", events)
	}
	there := f.runs["wine/"+string(run.ID())]
	if !there.complete || there.exit != 0 {
		t.Errorf("complete %v, exit %d", there.complete, there.exit)
	}
	if got := there.lines[OutputFile][2]; !strings.HasSuffix(got, " epoch 3") || len(got) != len("2026-11-22T18:10:01.241962 epoch 3") {
		t.Errorf("console: %q", got)
	}
	summary := f.rows(t, "wine", string(run.ID()), SummaryFile)[0]
	for key, want := range map[string]string{"best_epoch": "2", "val": `{"accuracy":0.5}`, "loss": "0.3333333333333333", "nan": "NaN", "inf": "-Infinity", "_step": "4", "text": `{"_type":"html-file"}`} {
		if got, _ := Encode(summary[key]); string(got) != want {
			t.Errorf("summary.%s is %s, want %s", key, got, want)
		}
	}
	if got := there.vars; got["displayName"] != "train" || got["jobType"] != "train" || got["groupName"] != "g" || got["notes"] != "with \"quotes\"\nand lines" ||
		got["commit"] != "abc" || got["host"] != "here" || fmt.Sprint(got["tags"]) != "[a b]" {
		t.Errorf("bucket: %v", got)
	}
	config, err := DecodeObject([]byte(there.vars["config"].(string)))
	if err != nil {
		t.Fatal(err)
	}
	params, client := UnwrapConfig(config)
	local, _ := tr.Run(t.Context(), run.ID())
	if diff := cmp.Diff(map[string]any(local.Params), params); diff != "" {
		t.Error(diff)
	}
	if client["t"] == nil || client["solera"].(map[string]any)["run"] != string(run.ID()) {
		t.Errorf("client: %v", client)
	}

	// Nothing is new, so nothing is sent.
	posts, asked := there.posts, f.asked["UpsertBucket"]
	if sent, err = m.Send(t.Context(), run.ID()); err != nil || sent.Points+sent.Lines != 0 || there.posts != posts || f.asked["UpsertBucket"] != asked {
		t.Errorf("sent again: %+v, %v, %d posts", sent, err, there.posts-posts)
	}
	f.blameless(t)
}

// What comes late, twice or out of order goes into rows of its own.
func TestLatePoints(t *testing.T) {
	f, tr := newFake(t), newTracker(t)
	m := newMirror(t, tr, f.URL)
	run := record(t, tr, "train", 0)
	pieces := [][]solera.Point{
		{{Key: "a", Step: 5, Value: 1}, {Key: "b", Step: 3, Value: 2}, {Key: "a", Step: 5, Value: 3}},
		{{Key: "c", Step: 5, Value: 4}, {Key: "a", Step: 4, Value: 5}, {Key: "a", Step: math.MaxInt64, Value: 6}, {Key: "a", Step: math.MinInt64, Value: 7}},
		{{Key: "_step", Step: 100, Value: 8}, {Key: "_timestamp", Step: 100, Value: 9}, {Key: "_runtime", Step: 100, Value: 10}, {Key: "solera/step", Step: 2, Value: 11}},
	}
	for _, points := range pieces {
		if _, err := tr.Store.Append(t.Context(), run.ID(), points); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Send(t.Context(), run.ID()); err != nil {
			t.Fatal(err)
		}
	}
	finish(t, run, errors.New("no more"), nil)
	if _, err := m.Send(t.Context(), run.ID()); err != nil {
		t.Fatal(err)
	}
	rows := f.rows(t, "wine", string(run.ID()), HistoryFile)
	last := int64(-1)
	for _, row := range rows {
		n, err := row[StepKey].(json.Number).Int64()
		if err != nil || n <= last {
			t.Errorf("_step %v after %d", row[StepKey], last)
		}
		last = n
	}
	want := map[string]string{
		"a@5": "1", "b@3": "2", "a@5'": "3", "c@5": "4", "a@4": "5", "a@9223372036854775807": "6", "a@-9223372036854775808": "7",
		"solera/_step@100": "8", "solera/_timestamp@100": "9",
	}
	if diff := cmp.Diff(want, values(rows)); diff != "" {
		t.Error(diff)
	}
	if got := f.runs["wine/"+string(run.ID())]; !got.complete || got.exit != 1 {
		t.Errorf("complete %v, exit %d", got.complete, got.exit)
	}
	f.blameless(t)
}

func TestVersionsAreSentAndFetched(t *testing.T) {
	f, tr := newFake(t), newTracker(t)
	m := newMirror(t, tr, f.URL)
	load := record(t, tr, "load", 0)
	metadata := solera.Fields{"rows": 178, "big": uint64(1<<63 + 1), "x": 1e-7, "solera": "mine", "nan": math.NaN()}
	raw := commit(t, load, "wine-raw", "dataset", map[string]string{"train.parquet": "rows", "sub/ü b.txt": "more", "empty": ""}, metadata)
	finish(t, load, nil, nil)
	train := record(t, tr, "train", 2)
	if _, err := train.Use(t.Context(), "wine-raw:v0"); err != nil {
		t.Fatal(err)
	}
	model := commit(t, train, "model", "model", map[string]string{"weights": strings.Repeat("w", 100_000), "copy": "rows"}, nil)
	finish(t, train, nil, nil)
	if err := tr.SetAlias(t.Context(), "model:v0", "champion"); err != nil {
		t.Fatal(err)
	}

	// The run that made the input comes along, whoever asks for the other.
	behind, err := m.Behind(t.Context(), train.ID())
	if err != nil || len(behind) != 2 || behind[0].ID != load.ID() || behind[1].ID != train.ID() {
		t.Fatalf("behind the training: %v, %v", behind, err)
	}
	sent, err := m.Send(t.Context(), train.ID())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"made model:v0", "used wine-raw:v0"}, sorted(sent.Versions)); diff != "" {
		t.Error(diff)
	}
	if _, err := m.Send(t.Context(), load.ID()); err != nil {
		t.Fatal(err)
	}
	f.blameless(t)
	if len(f.artifacts) != 2 {
		t.Fatalf("%d artifacts", len(f.artifacts))
	}
	for _, a := range f.artifacts {
		want := map[string]string{"wine-raw": string(load.ID()), "model": string(train.ID())}[a.collection]
		if a.run != want || a.state != "COMMITTED" || a.number != 0 {
			t.Errorf("%s: run %s, want %s, %s", a.collection, a.run, want, a.state)
		}
	}
	if got := f.runs["wine/"+string(train.ID())].used; !slices.Equal(got, []string{"wine-raw:v0"}) {
		t.Errorf("used %v", got)
	}

	// A fresh machine takes both, with the same digests, and its own run uses
	// what the server has.
	fresh := newTracker(t)
	there := newMirror(t, fresh, f.URL)
	for _, want := range []solera.Version{raw, model} {
		got, err := there.Fetch(t.Context(), want.Artifact)
		if err != nil {
			t.Fatal(err)
		}
		if got.Digest != want.Digest || got.Type != want.Type {
			t.Errorf("%s: digest %v, want %v", want.Name(), got.Digest, want.Digest)
		}
		maker, err := fresh.Run(t.Context(), got.Run)
		if err != nil || maker.Stage != FetchStage || maker.State != solera.Finished || maker.Params.Text("version") != want.Name() {
			t.Errorf("fetched by %+v, %v", maker, err)
		}
		s, err := fresh.Open(t.Context(), want.Artifact)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range want.Files {
			if _, err := s.ReadFile(file.Path); err != nil {
				t.Error(err)
			}
		}
	}
	again := record(t, fresh, "train", 1)
	if _, err := again.Use(t.Context(), "wine-raw"); err != nil {
		t.Fatal(err)
	}
	commit(t, again, "model", "model", map[string]string{"weights": strings.Repeat("w", 100_000), "copy": "rows"}, nil) // the same again
	finish(t, again, nil, nil)
	behind, err = there.Behind(t.Context(), again.ID())
	if err != nil || len(behind) != 1 {
		t.Errorf("behind it: %v, %v: what was fetched is no run there", behind, err)
	}
	if _, err := there.Send(t.Context(), again.ID()); err != nil {
		t.Fatal(err)
	}
	if got := f.runs["wine/"+string(again.ID())].used; !slices.Equal(got, []string{"wine-raw:v0"}) || len(f.artifacts) != 2 {
		t.Errorf("used %v, %d artifacts", got, len(f.artifacts))
	}

	// Equal bytes with other metadata are another version on both sides.
	other := record(t, tr, "load", 0)
	v1 := commit(t, other, "wine-raw", "dataset", map[string]string{"train.parquet": "rows", "sub/ü b.txt": "more", "empty": ""}, solera.Fields{"rows": 179})
	finish(t, other, nil, nil)
	if _, err := m.Send(t.Context(), other.ID()); err != nil {
		t.Fatal(err)
	}
	if got, err := there.Fetch(t.Context(), "wine-raw"); err != nil || got.Digest != v1.Digest || len(f.artifacts) != 3 {
		t.Errorf("fetched %v, %v; want %v", got.Digest, err, v1.Digest)
	}
	// Versions keep their numbers, so the makers of the earlier ones come along.
	if behind, err = m.Behind(t.Context(), other.ID()); err != nil || len(behind) != 2 || behind[0].ID != load.ID() {
		t.Errorf("behind the second load: %v, %v", behind, err)
	}
	// An alias that was set or moved later follows.
	if err := tr.SetAlias(t.Context(), "wine-raw:v1", "gold"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Send(t.Context(), other.ID()); err != nil {
		t.Fatal(err)
	}
	if a, err := m.Client.Named(t.Context(), "ana", "wine", "wine-raw:gold"); err != nil || a.Number != 1 {
		t.Errorf("gold is v%d, %v", a.Number, err)
	}
	f.blameless(t)
}

func sorted(s []string) []string { slices.Sort(s); return s }

// Whatever a server sends in place of what was committed, nothing of it
// becomes a version.
func TestFetchRefuses(t *testing.T) {
	f, tr := newFake(t), newTracker(t)
	m := newMirror(t, tr, f.URL)
	load := record(t, tr, "load", 0)
	commit(t, load, "wine-raw", "dataset", map[string]string{"a": "content", "b": "other"}, solera.Fields{"rows": 1})
	finish(t, load, nil, nil)
	if _, err := m.Send(t.Context(), load.ID()); err != nil {
		t.Fatal(err)
	}
	a := f.artifacts[0]
	file := "file/" + a.entries["a"]
	for name, tt := range map[string]struct {
		spoil func()
		kind  error
		says  string
	}{
		"a bit of a file":         {func() { f.objects[file] = []byte("cOntent") }, solera.ErrCorrupt, "MD5"},
		"a file too short":        {func() { f.objects[file] = []byte("conten") }, solera.ErrCorrupt, "bytes"},
		"a file too long":         {func() { f.objects[file] = []byte("content and more") }, solera.ErrCorrupt, "bytes"},
		"a file is gone":          {func() { delete(f.objects, file) }, solera.ErrNotFound, "404"},
		"another manifest":        {func() { f.objects["manifest/"+a.id] = bytes.Replace(a.manifest, []byte(`"a"`), []byte(`"c"`), 1) }, solera.ErrCorrupt, "promised"},
		"a path out of it":        {func() { f.objects["manifest/"+a.id] = bytes.Replace(a.manifest, []byte(`"a"`), []byte(`"../a"`), 1) }, solera.ErrInvalid, ".."},
		"a manifest cut off":      {func() { f.objects["manifest/"+a.id] = a.manifest[:30] }, solera.ErrInvalid, "manifest"},
		"another type":            {func() { a.typ = "model" }, solera.ErrCorrupt, "recorded"},
		"other metadata":          {func() { a.metadata = strings.ReplaceAll(a.metadata, `{\"rows\":1}`, `{\"rows\":2}`) }, solera.ErrCorrupt, "recorded"},
		"metadata that are none":  {func() { a.metadata = `[1]` }, solera.ErrInvalid, "metadata"},
		"a digest that is none":   {func() { a.metadata = `{"solera":{"digest":"md5:x"}}` }, solera.ErrInvalid, "digest"},
		"a digest of another":     {func() { a.metadata = `{"solera":{"digest":"sha256:` + strings.Repeat("0", 63) + `1"}}` }, solera.ErrCorrupt, "recorded"},
		"the artifact is not the": {func() { a.collection = "other" }, solera.ErrNotFound, "no such artifact"},
		"a type that is no name":  {func() { a.typ = "../x" }, solera.ErrInvalid, "type"},
	} {
		objects, kept := map[string][]byte{}, *a
		for k, v := range f.objects {
			objects[k] = v
		}
		tt.spoil()
		fresh := newTracker(t)
		_, err := newMirror(t, fresh, f.URL).Fetch(t.Context(), "wine-raw")
		if !errors.Is(err, tt.kind) || !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%s: got %v; want %v with %q", name, err, tt.kind, tt.says)
		}
		if strings.Contains(fmt.Sprint(err), "s3cret") {
			t.Errorf("%s: the message holds a signature: %v", name, err)
		}
		if list, _ := fresh.Artifacts(t.Context()); len(list) != 0 {
			t.Errorf("%s: the store has %v", name, list)
		}
		f.objects = objects
		*a = kept
	}
	if _, err := newMirror(t, newTracker(t), f.URL).Fetch(t.Context(), "wine-raw"); err != nil {
		t.Errorf("as it was: %v", err)
	}
	// What a Python script logged has no digest of Solera's to compare with.
	a.metadata = `{"rows": 1}`
	if v, err := newMirror(t, newTracker(t), f.URL).Fetch(t.Context(), "wine-raw"); err != nil || len(v.Files) != 2 {
		t.Errorf("of another program: %v, %v", v, err)
	}
}

// A breaking is a way on which things go wrong, in front of a server.
type breaking struct {
	next   http.Handler
	share  float64 // of requests
	random *mrand.Rand
	mu     chan struct{} // held while random is used
	broken atomic.Int64
}

func (b *breaking) draw() (int, bool) {
	b.mu <- struct{}{}
	defer func() { <-b.mu }()
	return b.random.IntN(8), b.random.Float64() < b.share
}

func (b *breaking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	how, breaks := b.draw()
	if !breaks {
		b.next.ServeHTTP(w, r)
		return
	}
	b.broken.Add(1)
	hangUp := func() {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			c.Close()
		}
	}
	switch how {
	case 0: // never arrives
		hangUp()
	case 1: // is done, but the answer gets lost
		b.next.ServeHTTP(httptest.NewRecorder(), r)
		hangUp()
	case 2: // is done, and half of the answer comes
		rec := httptest.NewRecorder()
		b.next.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		w.Header().Set("Content-Length", fmt.Sprint(len(body)+10))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		hangUp()
	case 3:
		http.Error(w, "oops", http.StatusInternalServerError)
	case 4: // is done, and says that it failed
		b.next.ServeHTTP(httptest.NewRecorder(), r)
		http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway)
	case 5:
		w.Header().Set("Retry-After", "0")
		http.Error(w, "slow down", http.StatusTooManyRequests)
	case 6:
		time.Sleep(20 * time.Millisecond)
		b.next.ServeHTTP(w, r)
	case 7: // a page of somebody between
		fmt.Fprint(w, "<html>please log in to the network</html>")
	}
}

// The way to the server breaks in every manner, and the sender is killed and
// begins anew, while the run goes on: each value arrives once.
func TestExactlyOnce(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2 // under the race detector all takes ten times as long
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			f, tr := newFake(t), newTracker(t)
			way := &breaking{next: f.Config.Handler, share: 0.35, random: mrand.New(mrand.NewPCG(seed, 1)), mu: make(chan struct{}, 1)}
			proxy := httptest.NewServer(way)
			defer proxy.Close()
			load := record(t, tr, "load", 0)
			commit(t, load, "wine-raw", "dataset", map[string]string{"a": "content", "b": "other", "c": "third"}, solera.Fields{"rows": 1})
			finish(t, load, nil, nil)
			run := record(t, tr, "train", 0)
			if _, err := run.Use(t.Context(), "wine-raw"); err != nil {
				t.Fatal(err)
			}
			id := run.ID() // the handle belongs to the goroutine below
			done := make(chan struct{})
			go func() {
				defer close(done)
				for epoch := range 200 {
					_ = run.Record(int64(epoch), map[string]float64{"loss": float64(epoch), "acc": -float64(epoch)})
					// What comes late makes rows depend on how far a sender had come.
					_ = run.Record(int64(epoch-3), map[string]float64{"late": float64(epoch)})
					run.Print(tracking.Out, fmt.Sprint("epoch ", epoch))
					if epoch%5 == 0 {
						_ = run.Flush(t.Context())
						time.Sleep(2 * time.Millisecond)
					}
				}
				commit(t, run, "model", "model", map[string]string{"w": "weights"}, nil)
				finish(t, run, nil, solera.Fields{"x": 1})
			}()
			// Senders live for a moment each, and die wherever they are.
			for lives := 0; ; lives++ {
				ctx, kill := context.WithTimeoutCause(t.Context(), time.Duration(3*math.Pow(1.03, float64(lives))*float64(time.Millisecond)), errors.New("killed"))
				m := newMirror(t, tr, proxy.URL)
				_, err := m.Follow(ctx, id, nil)
				kill()
				m.Client.Close()
				if err == nil {
					break
				}
				if lives > 2000 {
					t.Fatalf("it does not come to an end: %v", err)
				}
			}
			<-done
			m := newMirror(t, tr, proxy.URL)
			for _, one := range []solera.RunID{load.ID(), id} {
				if _, err := m.Send(t.Context(), one); err != nil {
					t.Fatal(err)
				}
			}
			f.blameless(t)
			want := map[string]string{}
			for epoch := range 200 {
				want[fmt.Sprintf("late@%d", epoch-3)] = fmt.Sprint(epoch)
				want[fmt.Sprintf("loss@%d", epoch)] = fmt.Sprint(epoch)
				want[fmt.Sprintf("acc@%d", epoch)] = strings.Replace(fmt.Sprint(-epoch), "-0", "0", 1)
			}
			rows := f.rows(t, "wine", string(id), HistoryFile)
			got := values(rows)
			if got["acc@0"] == "-0" {
				got["acc@0"] = "0"
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			there := f.runs["wine/"+string(id)]
			if n := len(there.lines[OutputFile]); n != 200 || !there.complete {
				t.Errorf("%d lines, complete %v", n, there.complete)
			}
			if len(f.artifacts) != 2 || f.artifacts[0].number+f.artifacts[1].number != 0 {
				t.Errorf("%d artifacts", len(f.artifacts))
			}
			if !slices.Equal(there.used, []string{"wine-raw:v0"}) {
				t.Errorf("used %v", there.used)
			}
			if way.broken.Load() < 20 {
				t.Errorf("only %d requests were broken: the test shows little", way.broken.Load())
			}
		})
	}
}

// Two processes that send one run do no harm to each other.
func TestTwoSenders(t *testing.T) {
	f, tr := newFake(t), newTracker(t)
	run := record(t, tr, "train", 300)
	finish(t, run, nil, nil)
	errs := make(chan error, 3)
	for range 3 {
		m := newMirror(t, tr, f.URL)
		go func() {
			_, err := m.Send(t.Context(), run.ID())
			errs <- err
		}()
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := len(f.rows(t, "wine", string(run.ID()), HistoryFile)); n != 300 {
		t.Errorf("%d rows", n)
	}
	f.blameless(t)
}

// A server that keeps its records in the store that is sent would send itself.
func TestNotIntoItself(t *testing.T) {
	f, tr := newFake(t), newTracker(t)
	run := record(t, tr, "train", 1)
	finish(t, run, nil, nil)
	f.runs["wine/"+string(run.ID())] = &fakeRun{project: "wine", name: string(run.ID()), vars: map[string]any{}, lines: map[string]map[int64]string{}, beat: time.Now()}
	back, _ := url.Parse(f.URL)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(back)
		if here, err := tr.Run(context.Background(), run.ID()); err == nil { // what its store says
			f.mu.Lock()
			f.runs["wine/"+string(run.ID())].beat = here.Heartbeat.Time()
			f.mu.Unlock()
		}
	}})
	defer proxy.Close()
	m := newMirror(t, tr, proxy.URL)
	if _, err := m.Send(t.Context(), run.ID()); !errors.Is(err, solera.ErrConflict) || !strings.Contains(err.Error(), "this very store") {
		t.Errorf("got %v", err)
	}
	if n := f.asked["UpsertBucket"]; n != 0 {
		t.Errorf("the run was sent: %d", n)
	}
}

func TestFollowStops(t *testing.T) {
	f, tr := newFake(t), newTracker(t)
	m := newMirror(t, tr, f.URL)
	run := record(t, tr, "train", 1)
	f.stopped = true
	asked := make(chan solera.RunID, 1)
	m.Stop = func(_ context.Context, id solera.RunID) error {
		select {
		case asked <- id:
			finish(t, run, solera.ErrStopped, nil)
		default:
		}
		return nil
	}
	if _, err := m.Follow(t.Context(), run.ID(), nil); err != nil {
		t.Fatal(err)
	}
	if id := <-asked; id != run.ID() {
		t.Errorf("asked to stop %s", id)
	}
	if there := f.runs["wine/"+string(run.ID())]; !there.complete || there.exit != 255 {
		t.Errorf("complete %v, exit %d", there.complete, there.exit)
	}
}

func TestRunFilesAreSent(t *testing.T) {
	f, tr := newFake(t), newTracker(t)
	m := newMirror(t, tr, f.URL)
	tr.Environment = func(context.Context) tracking.Environment {
		return tracking.Environment{Files: map[string][]byte{"diff.patch": []byte("+1"), "a b/ü.txt": nil}}
	}
	run := record(t, tr, "train", 0)
	finish(t, run, nil, nil)
	sent, err := m.Send(t.Context(), run.ID())
	if err != nil || sent.Files != 2 {
		t.Fatalf("%+v, %v", sent, err)
	}
	there := f.runs["wine/"+string(run.ID())]
	if string(there.files["diff.patch"]) != "+1" || there.files["a b/ü.txt"] == nil || len(there.uploaded) != 2 {
		t.Errorf("files %v, uploaded %v", there.files, there.uploaded)
	}
	f.blameless(t)
}
