package httpd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/httpd/wandb"
)

// numbers are what /metrics tells.
type numbers struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	streams  prometheus.Gauge
	points   prometheus.Counter
	unknown  *prometheus.CounterVec
	handler  http.Handler
}

func newNumbers(version string) *numbers {
	n := &numbers{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "solera_http_requests_total", Help: "Requests that were answered, by route and status.",
		}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "solera_http_request_seconds", Help: "How long answers took, event streams left out.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "solera_event_streams_open", Help: "Event streams that are open.",
		}),
		points: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "solera_points_ingested_total", Help: "Metric points that were stored through this server.",
		}),
	}
	n.unknown = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "solera_unknown_operations_total", Help: "What clients of other protocols asked for and nobody answers.",
	}, []string{"dialect", "operation"})
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "solera_build_info", Help: "Always 1; the label has the version.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(n.requests, n.seconds, n.streams, n.points, n.unknown, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	n.handler = promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
	return n
}

// unknownOperation returns what counts the operations of a dialect that nobody
// answers. Names come from outside, so only so many get a number of their own.
func (n *numbers) unknownOperation(dialect string) func(string) {
	const most = 200
	var mu sync.Mutex
	seen := map[string]bool{}
	return func(name string) {
		if len(name) > 100 || strings.Trim(name, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.") != "" {
			name = "other"
		}
		mu.Lock()
		if !seen[name] {
			if len(seen) >= most {
				name = "other"
			} else {
				seen[name] = true
			}
		}
		mu.Unlock()
		n.unknown.WithLabelValues(dialect, name).Inc()
	}
}

// metered counts the points that a store takes.
type metered struct {
	solera.Store
	points prometheus.Counter
}

func (m *metered) Append(ctx context.Context, run solera.RunID, points []solera.Point) (int64, error) {
	last, err := m.Store.Append(ctx, run, points)
	if err == nil {
		m.points.Add(float64(len(points)))
	}
	return last, err
}

func (m *metered) Report(ctx context.Context, b solera.Batch) (int64, error) {
	last, err := m.Store.Report(ctx, b)
	if err == nil {
		m.points.Add(float64(len(b.Points)))
	}
	return last, err
}

// A visit is what is known of one request while it is answered.
type visit struct {
	id    string
	route string
	user  string
}

type visitKey struct{}

func visitOf(ctx context.Context) *visit {
	if v, ok := ctx.Value(visitKey{}).(*visit); ok {
		return v
	}
	return &visit{}
}

// requestID names a request in the answer and in the log.
func requestID(ctx context.Context) string { return visitOf(ctx).id }

// newID takes over the identifier that a proxy has given, if it is a plain one.
func newID(given string) string {
	if n := len(given); n > 0 && n <= 64 && strings.Trim(given, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.") == "" {
		return given
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// observe is the outermost layer: it names, logs, counts and times every
// request, whatever becomes of it, and a defect in a handler is an answer like
// any other.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		v := &visit{id: newID(r.Header.Get("X-Request-Id"))}
		out := &response{ResponseWriter: w, stall: s.o.Limits.Stall, streams: s.numbers.streams}
		out.Header().Set("X-Request-Id", v.id)
		out.move() // that of the request before on this connection may have passed
		r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
		defer func() {
			if out.stream {
				s.numbers.streams.Dec()
			}
			if bad := recover(); bad != nil {
				if bad == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
					panic(bad)
				}
				s.log.Error("a defect in the server", "request", v.id, "panic", fmt.Sprint(bad), "stack", string(debug.Stack()))
				if out.status == 0 {
					problem(out, http.StatusInternalServerError, "a defect in the server; its log has it as request "+v.id)
				}
			}
			s.account(r, v, out, time.Since(start))
		}()
		next.ServeHTTP(out, r)
	})
}

func (s *Server) account(r *http.Request, v *visit, out *response, took time.Duration) {
	status := out.status
	if status == 0 {
		status = http.StatusOK
	}
	if v.route == "" {
		v.route = "refused" // before any route was looked for
	}
	s.numbers.requests.WithLabelValues(v.route, strconv.Itoa(status)).Inc()
	if !out.stream {
		s.numbers.seconds.WithLabelValues(v.route).Observe(took.Seconds())
	}
	level := slog.LevelInfo
	switch {
	case status >= 500 && status != http.StatusServiceUnavailable:
		level = slog.LevelError
	case status < 400 && !strings.HasPrefix(r.URL.Path, "/api/"):
		level = slog.LevelDebug // pages, probes
	}
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	// Without the query, which may hold what is nobody else's business.
	s.log.LogAttrs(r.Context(), level, "request",
		slog.String("method", cut(r.Method)), slog.String("path", shownPath(r, v)), slog.Int("status", status),
		slog.Float64("ms", float64(took.Microseconds())/1000), slog.Int64("bytes", out.bytes),
		slog.String("user", v.user), slog.String("from", origin(r.RemoteAddr)), slog.String("request", v.id))
}

// shownPath is the path as the log has it. One that is a permission in itself is
// nobody else's business either.
func shownPath(r *http.Request, v *visit) string {
	if wandb.Owns(r.URL.Path) && wandb.Public(r.URL.Path) {
		return v.route
	}
	return cut(r.URL.Path)
}

// cut keeps a line of the log short, whatever a client sends.
func cut(s string) string {
	if len(s) > 256 {
		return strings.ToValidUTF8(s[:256], "") + "…"
	}
	return s
}

// response notes what is answered, and gives up on a client that does not take
// it.
type response struct {
	http.ResponseWriter
	stall   time.Duration
	streams prometheus.Gauge
	status  int
	bytes   int64
	stream  bool
	alive   time.Time // when the deadline was last moved
}

// Unwrap lets http.ResponseController through.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream") {
			w.stream = true
			w.streams.Inc()
		}
		if status == http.StatusServiceUnavailable {
			// There is too much of something; the place of the connection is needed.
			w.Header().Set("Connection", "close")
		}
	}
	w.move()
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.move()
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom lets files go out without a copy in between, a piece at a time so
// that the deadline moves.
func (w *response) ReadFrom(r io.Reader) (total int64, err error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	for {
		w.move()
		n, err := io.CopyN(w.ResponseWriter, r, 4<<20)
		total += n
		w.bytes += n
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// Flush sends what was written.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError sends what was written, or says why that failed.
func (w *response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.move()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// move gives the client its time again, once a second at most.
func (w *response) move() {
	now := time.Now()
	if now.Sub(w.alive) < time.Second && now.Sub(w.alive) < w.stall/4 {
		return
	}
	w.alive = now
	// A writer of a test has no deadline.
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(now.Add(w.stall))
}
