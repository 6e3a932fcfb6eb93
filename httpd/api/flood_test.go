package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/httpd/api"
	"github.com/solera-ml/solera/tracking"
)

// slowStore counts the looks into it, each of which takes a while.
type slowStore struct {
	solera.Store
	delay time.Duration
	views atomic.Int64
}

func (s *slowStore) View(ctx context.Context, fn func(solera.Tx) error) error {
	s.views.Add(1)
	time.Sleep(s.delay)
	return s.Store.View(ctx, fn)
}

// A list that takes long is made once for all who ask at about the same time,
// and is not old for long.
func TestColumnsAreLookedForOnce(t *testing.T) {
	slow := &slowStore{delay: 100 * time.Millisecond}
	h := newHouse(t, func(o *api.Options) {
		open := o.Workspace
		o.Workspace = func(name string) (*tracking.Tracker, error) {
			tr, err := open(name)
			if err != nil {
				return nil, err
			}
			own := *tr
			if slow.Store == nil {
				slow.Store = tr.Store
			}
			own.Store = slow
			return &own, nil
		}
	})
	h.fill()
	first := ask[[]api.Column](h, "GET", ws+"/runs/columns", nil) // before the others: it sets slow.Store
	slow.views.Store(0)
	var group sync.WaitGroup
	for range 40 {
		group.Go(func() {
			if got := ask[[]api.Column](h, "GET", ws+"/runs/columns", nil); len(got) != len(first) || len(got) == 0 {
				t.Errorf("got %d columns, want %d", len(got), len(first))
			}
		})
	}
	group.Wait()
	if n := slow.views.Load(); n > 3 {
		t.Errorf("40 questions looked %d times", n)
	}
	// Another project is another list.
	if got := ask[[]api.Column](h, "GET", ws+"/runs/columns?project=nobody", nil); len(got) != 0 {
		t.Errorf("a project without runs has the columns %v", got)
	}
	if _, err := h.tracker.Start(t.Context(), tracking.RunSpec{Stage: "train", Params: solera.Fields{"quite_new": 1}}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if len(ask[[]api.Column](h, "GET", ws+"/runs/columns", nil)) > len(first) {
			return
		}
		if time.Now().After(end) {
			t.Fatal("a new column is not seen")
		}
	}
}

// 10,000 streams at once: as many as are allowed are open, the others are told
// so without a look into the store, and memory stays within bounds.
func TestFloodOfStreams(t *testing.T) {
	const allowed = 200
	asked := int64(10_000)
	if testing.Short() {
		asked = 2_000
	}
	h := newHouse(t)
	h.fill()
	slow := &slowStore{Store: h.tracker.Store}
	own := *h.tracker
	own.Store = slow
	mux := http.NewServeMux()
	api.Register(mux, api.Options{Workspace: func(string) (*tracking.Tracker, error) { return &own, nil }, Streams: allowed})
	ctx, cancel := context.WithCancel(auth.WithPrincipal(t.Context(), auth.Anyone()))
	defer cancel()
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var open, refused, other atomic.Int64
	var group sync.WaitGroup
	for range asked {
		group.Go(func() {
			w := &headOnly{header: http.Header{}, status: func(status int) {
				switch status {
				case http.StatusOK:
					open.Add(1)
				case http.StatusServiceUnavailable:
					refused.Add(1)
				default:
					other.Add(1)
				}
			}}
			mux.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, api.Root+"/workspaces/default/events?project=wine", http.NoBody))
		})
	}
	for end := time.Now().Add(time.Minute); open.Load()+refused.Load()+other.Load() < asked && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	runtime.ReadMemStats(&during)
	if open.Load() != allowed || refused.Load() != asked-allowed {
		t.Errorf("%d streams are open, %d refused, %d something else; want %d and %d", open.Load(), refused.Load(), other.Load(), allowed, asked-allowed)
	}
	if grown := int64(during.HeapInuse+during.StackInuse) - int64(before.HeapInuse+before.StackInuse); grown > 200<<20 {
		t.Errorf("memory grew by %d MiB", grown>>20)
	}
	cancel()
	group.Wait()
	// The places are free again.
	again, stop := context.WithTimeout(auth.WithPrincipal(t.Context(), auth.Anyone()), time.Second)
	defer stop()
	status := 0
	mux.ServeHTTP(&headOnly{header: http.Header{}, status: func(s int) { status = s }},
		httptest.NewRequestWithContext(again, http.MethodGet, api.Root+"/workspaces/default/events?project=wine", http.NoBody))
	if status != http.StatusOK {
		t.Errorf("after the flood: got %d", status)
	}
}

// headOnly notes the first status of an answer and forgets the rest.
type headOnly struct {
	header http.Header
	status func(int)
	once   sync.Once
}

func (w *headOnly) Header() http.Header    { return w.header }
func (w *headOnly) WriteHeader(status int) { w.once.Do(func() { w.status(status) }) }
func (w *headOnly) Flush()                 {}

func (w *headOnly) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return len(p), nil
}
