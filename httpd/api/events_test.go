package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/httpd/api"
	"github.com/solera-ml/solera/tracking"
)

type event struct {
	name, id string
	data     string
}

// A listener reads a stream of events.
type listener struct {
	t      testing.TB
	events chan event
	close  func()
}

func (h *house) listen(path, last string) *listener {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "GET", h.url+ws+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Role", "viewer")
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	answer, err := h.client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
		h.t.Fatalf("%s: %d %s", path, answer.StatusCode, answer.Header)
	}
	l := &listener{h.t, make(chan event, 1000), func() { cancel(); answer.Body.Close() }}
	h.t.Cleanup(l.close)
	go func() {
		defer close(l.events)
		scanner := bufio.NewScanner(answer.Body)
		scanner.Buffer(nil, 1<<24)
		var e event
		for scanner.Scan() {
			switch name, value, _ := strings.Cut(scanner.Text(), ": "); name {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				l.events <- e
				e = event{}
			}
		}
	}()
	return l
}

// until returns the first event of a name that ok accepts.
func (l *listener) until(name string, ok func(data string) bool) event {
	l.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case e, open := <-l.events:
			if !open {
				l.t.Fatalf("the stream ended before %s", name)
			}
			if e.name == name && (ok == nil || ok(e.data)) {
				return e
			}
		case <-deadline:
			l.t.Fatalf("no %s came", name)
		}
	}
}

func TestEventsTellWhatRunsDo(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	run, err := h.tracker.Start(ctx, tracking.RunSpec{Stage: "train"})
	if err != nil {
		t.Fatal(err)
	}
	id := string(run.ID())
	record := func(step int64, v float64) {
		t.Helper()
		if err := run.Record(step, map[string]float64{"loss": v}); err != nil {
			t.Fatal(err)
		}
		run.Print(tracking.Out, "line")
		if err := run.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	record(0, 1) // before anybody listens
	l := h.listen("/events?project=wine&runs="+id, "")
	if hello := l.until("hello", nil); hello.data != `{"resumed":false}` {
		t.Errorf("hello %s", hello.data)
	}
	record(1, math.Inf(1))
	first := l.until("points", nil)
	var points api.PointsEvent
	if err := json.Unmarshal([]byte(first.data), &points); err != nil {
		t.Fatal(err)
	}
	if points.Run != id || len(points.Points) != 1 || points.Points[0].Step != 1 || points.Cursor != 2 || !math.IsInf(float64(points.Points[0].Value), 1) || first.id == "" {
		t.Errorf("got %s, id %q", first.data, first.id)
	}
	line := l.until("lines", nil)
	if !strings.Contains(line.data, `"n":2`) {
		t.Errorf("lines %s", line.data)
	}
	// Of the project, a run that nobody had named.
	other, err := h.tracker.Start(ctx, tracking.RunSpec{Stage: "other"})
	if err != nil {
		t.Fatal(err)
	}
	l.until("run", func(data string) bool {
		return strings.Contains(data, string(other.ID())) && strings.Contains(data, `"running"`)
	})
	l.close()

	// Nothing is lost and nothing comes twice when the reader comes back.
	record(2, 2)
	record(3, 3)
	if err := run.Finish(ctx, nil, solera.Fields{"loss": 3}); err != nil {
		t.Fatal(err)
	}
	l = h.listen("/events?project=wine&runs="+id, line.id)
	if hello := l.until("hello", nil); hello.data != `{"resumed":true}` {
		t.Errorf("hello %s", hello.data)
	}
	var steps []int64
	for len(steps) < 2 {
		var more api.PointsEvent
		if err := json.Unmarshal([]byte(l.until("points", nil).data), &more); err != nil {
			t.Fatal(err)
		}
		for _, p := range more.Points {
			steps = append(steps, p.Step)
		}
	}
	if len(steps) != 2 || steps[0] != 2 || steps[1] != 3 {
		t.Errorf("steps %v", steps)
	}
	l.until("run", func(data string) bool {
		return strings.Contains(data, id) && strings.Contains(data, `"finished"`) && strings.Contains(data, `"summary.loss":3`)
	})
	l.close()

	// From a place that a chart knows.
	l = h.listen("/events?runs="+id+":1:3", "not ours")
	if err := json.Unmarshal([]byte(l.until("points", nil).data), &points); err != nil || len(points.Points) != 3 || points.Cursor != 4 {
		t.Errorf("got %+v, %v", points, err)
	}
}

// Numbers of points begin again when a run is rewound: a reader that goes on from
// an old one would miss what comes under it.
func TestEventsSayThatARunWasRewound(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	if _, _, err := h.tracker.Register(ctx, tracking.RegisterSpec{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	report := func(from, count int64, summary solera.Fields) {
		t.Helper()
		b := solera.Batch{Run: "a", Source: "history", From: from, Count: count, Summary: summary}
		for step := from; step < from+count; step++ {
			b.Points = append(b.Points, solera.Point{Key: "loss", Step: step, Value: float64(step)})
		}
		if _, err := h.tracker.Report(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	rewind := func(step int64) {
		t.Helper()
		if _, _, err := h.tracker.Rewind(ctx, "a", step, "history"); err != nil {
			t.Fatal(err)
		}
	}
	again := func(data string) bool { return data == `{"resumed":false}` }
	report(0, 5, nil)
	l := h.listen("/events?runs=a", "")
	l.until("hello", nil)
	report(5, 1, nil)
	old := l.until("points", nil)
	rewind(1)
	l.until("hello", again)
	report(2, 2, nil)
	var points api.PointsEvent
	if err := json.Unmarshal([]byte(l.until("points", nil).data), &points); err != nil || points.Cursor > 4 || points.Points[0].Step < 2 {
		t.Errorf("after it: %+v, %v", points, err)
	}
	// What a reported run says of itself comes too.
	report(4, 1, solera.Fields{"loss": 4})
	l.until("run", func(data string) bool { return strings.Contains(data, `"summary.loss":4`) })
	l.close()

	// A reader that was away meanwhile learns of it, however far the run has come.
	report(5, 20, nil)
	l = h.listen("/events?runs=a", old.id)
	if hello := l.until("hello", nil); hello.data != `{"resumed":true}` {
		t.Errorf("hello %s", hello.data)
	}
	l.until("hello", again)
	l.close()
}

func TestStopRunOverTheAPI(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	run, err := h.tracker.Start(ctx, tracking.RunSpec{Stage: "train"})
	if err != nil {
		t.Fatal(err)
	}
	path := ws + "/runs/" + string(run.ID()) + "/stop"
	status, _, body := h.send("POST", path, nil)
	if status != http.StatusOK || !strings.Contains(string(body), `"stopping":"2`) {
		t.Errorf("%d %s", status, body)
	}
	if err := run.Finish(ctx, nil, nil); err != nil {
		t.Fatal(err)
	}
	if status, _, body := h.send("POST", path, nil); status != http.StatusConflict {
		t.Errorf("after its end: %d %s", status, body)
	}
	if status, _, _ := h.send("POST", ws+"/runs/absent/stop", nil); status != http.StatusNotFound {
		t.Errorf("no run: %d", status)
	}
}

func TestEventsAreBounded(t *testing.T) {
	done := make(chan struct{})
	h := newHouse(t, func(o *api.Options) { o.Streams, o.Done = 1, done })
	runs := h.fill()
	l := h.listen("/events?runs="+string(runs[0]), "")
	l.until("hello", nil)
	if status, _, _ := h.send("GET", ws+"/events?project=wine", nil); status != http.StatusServiceUnavailable {
		t.Errorf("a second stream: %d", status)
	}
	close(done)
	for range l.events { // ends, or the test does not
	}
	for path, want := range map[string]int{
		"/events": 400, "/events?runs=absent": 404, "/events?project=..": 400, "/events?runs=" + string(runs[0]) + ":x": 400,
		"/events?runs=" + strings.Repeat("a,", 200) + "a": 400,
	} {
		if status, _, body := h.send("GET", ws+path, nil); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, body, want)
		}
	}
}
