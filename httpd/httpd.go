// Package httpd serves a store over HTTP: it asks who is there, keeps harm out,
// says what went wrong in one form, and mounts the API and the dashboard. It
// decides nothing about runs and versions.
package httpd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/httpd/api"
	"github.com/solera-ml/solera/httpd/wandb"
	"github.com/solera-ml/solera/live"
	"github.com/solera-ml/solera/tracking"
)

// Options of a Server. Accounts and Workspaces must be set.
type Options struct {
	Accounts *auth.Accounts
	// Workspaces by name, each with a store of its own and a Tracker of no
	// project. The server does not close the stores. A name that an address of
	// the server begins with is none for a workspace.
	Workspaces map[string]*tracking.Tracker
	// Open lets everybody who can connect do everything, without sign-in. It is
	// for servers that only this machine can reach.
	Open bool
	// Actor is in whose name an open server changes things.
	Actor string
	// Hosts are names, beside those of loopback and addresses in digits, under
	// which browsers may ask for this server. Any other name is refused, as a
	// page of a stranger may have it point here.
	Hosts []string
	// Dashboard has the built pages, each as NAME.gz; nil = none were built.
	Dashboard fs.FS
	Version   string       // of the program
	Log       *slog.Logger // nil = nowhere
	Limits    Limits
	Clock     func() time.Time // nil = time.Now
}

// Limits bound what clients can take. Zero fields have the values in brackets.
type Limits struct {
	Header      time.Duration // until the head of a request is there [10 s]
	Body        time.Duration // until its body is there [60 s]
	Stall       time.Duration // while a client takes nothing of an answer [30 s]
	Idle        time.Duration // between requests of a connection [2 min]
	Grace       time.Duration // for requests under way when the server stops [20 s]
	Drain       time.Duration // between saying that it stops and stopping [0]
	BodyBytes   int64         // of a request, whatever its route allows [64 MiB]
	HeaderBytes int           // of the head of a request [64 KiB]
	Connections int           // at once; more wait [4,096]
	Streams     int           // of events, at once [1,000]
	// Requests is how many requests a second a key, or a user, may make in the
	// long run, with as many as ten seconds' worth at once [500]. An open server
	// does not count.
	Requests float64
	// Attempts is how many sign-ins a minute may fail, per address and per name
	// [10].
	Attempts float64
}

func (l Limits) filled() Limits {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&l.Header, 10*time.Second)
	set(&l.Body, time.Minute)
	set(&l.Stall, 30*time.Second)
	set(&l.Idle, 2*time.Minute)
	set(&l.Grace, 20*time.Second)
	if l.BodyBytes == 0 {
		l.BodyBytes = 64 << 20
	}
	if l.HeaderBytes == 0 {
		l.HeaderBytes = 64 << 10
	}
	if l.Connections == 0 {
		l.Connections = 4096
	}
	if l.Streams == 0 {
		l.Streams = 1000
	}
	if l.Requests == 0 {
		l.Requests = 500
	}
	if l.Attempts == 0 {
		l.Attempts = 10
	}
	return l
}

// A Server answers requests. Make one with New.
type Server struct {
	o        Options
	log      *slog.Logger
	bells    map[string]*live.Bell        // by workspace: runs of two may have one ID
	stores   map[string]*tracking.Tracker // as those of Options, with a bell on the door
	mux      *routes
	pages    *dashboard
	numbers  *numbers
	names    map[string]bool // that a request may ask for
	requests *buckets        // by key or user
	attempts *buckets        // by address, and by name
	unknown  *buckets        // keys that are none, by address
	handler  http.Handler
	stopping atomic.Bool
	done     chan struct{}
}

// New returns a server that is not listening yet.
func New(o Options) (*Server, error) {
	if o.Accounts == nil || len(o.Workspaces) == 0 {
		return nil, errors.New("a server needs accounts and a workspace")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Limits = o.Limits.filled()
	s := &Server{o: o, log: o.Log, done: make(chan struct{}), names: hostNames(o.Hosts)}
	s.numbers = newNumbers(o.Version)
	s.requests = newBuckets(o.Clock, o.Limits.Requests, 10*o.Limits.Requests)
	s.attempts = newBuckets(o.Clock, o.Limits.Attempts/60, o.Limits.Attempts)
	s.unknown = newBuckets(o.Clock, o.Limits.Attempts/2, 30*o.Limits.Attempts)
	s.stores = make(map[string]*tracking.Tracker, len(o.Workspaces))
	s.bells = make(map[string]*live.Bell, len(o.Workspaces))
	for name, t := range o.Workspaces {
		if err := CheckWorkspace(name); err != nil {
			return nil, err
		}
		own, bell := *t, &live.Bell{}
		own.Store = bell.Store(&metered{t.Store, s.numbers.points})
		s.stores[name], s.bells[name] = &own, bell
	}
	var err error
	if s.pages, err = newDashboard(o.Dashboard); err != nil {
		return nil, err
	}
	s.mux = newRoutes()
	s.ownRoutes()
	api.Register(s.mux, api.Options{
		Workspace: s.workspace, Bell: func(name string) *live.Bell { return s.bells[name] }, Done: s.done, Log: o.Log, Version: o.Version, Streams: o.Limits.Streams,
	})
	wandb.Register(s.mux, wandb.Options{
		Workspace: s.workspace, Workspaces: s.workspaces, Unknown: s.numbers.unknownOperation("wandb"),
		Log: o.Log, Version: o.Version, Clock: o.Clock,
	})
	s.handler = s.observe(s.guard(s.identify(s.mux)))
	return s, nil
}

func hostNames(given []string) map[string]bool {
	names := map[string]bool{"localhost": true}
	if name, err := os.Hostname(); err == nil { // one name less is no failure
		names[hostName(name)] = true
	}
	for _, name := range given {
		names[hostName(name)] = true
	}
	return names
}

// taken are the first segments of addresses that are no workspace: ours, and
// those of the protocols that clients of other tools speak.
var taken = []string{
	"account", "api", "artifacts", "artifactsv2", "assets", "authorize", "files", "graphql", "healthz", "icon.svg", "metrics", "oidc", "p", "readyz",
	"sdk", "settings", "signin", "storage", "w",
}

// CheckWorkspace reports ErrInvalid for what cannot be the name of a
// workspace: addresses may begin with it.
func CheckWorkspace(name string) error {
	if err := solera.CheckName(name); err != nil {
		return fmt.Errorf("workspace: %w", err)
	}
	if slices.Contains(taken, strings.ToLower(name)) {
		return fmt.Errorf("workspace %s: %w: addresses of the server begin so; take another name", name, solera.ErrInvalid)
	}
	return nil
}

// seen returns the workspaces that p may look into, by name.
func (s *Server) seen(p auth.Principal) []string {
	var names []string
	for name := range s.stores {
		if p.Allows(name, auth.Viewer) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *Server) workspace(name string) (*tracking.Tracker, error) {
	t, ok := s.stores[name]
	if !ok {
		return nil, fmt.Errorf("workspace %.40q: %w", name, solera.ErrNotFound)
	}
	return t, nil
}

// workspaces returns the names of all workspaces, the default one first.
func (s *Server) workspaces() []string {
	return slices.SortedFunc(maps.Keys(s.stores), func(a, b string) int {
		if (a == defaultWorkspace) != (b == defaultWorkspace) {
			if a == defaultWorkspace {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
}

// defaultWorkspace is where everybody is who names no workspace.
const defaultWorkspace = "default"

// Handler returns what answers requests.
func (s *Server) Handler() http.Handler { return s.handler }

// Routes returns the patterns of all routes, sorted.
func (s *Server) Routes() []string { return s.mux.patterns() }

func (s *Server) ownRoutes() {
	s.mux.HandleFunc("GET /healthz", s.healthz)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.HandleFunc("GET /metrics", s.metrics)
	s.accountRoutes()
	s.mux.HandleFunc("/api", s.noRoute)
	s.mux.HandleFunc("/api/", s.noRoute)
	s.mux.HandleFunc("/", s.page)
}

// healthz says that the process answers.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") }

// readyz says whether to send requests here: every store answers, and the
// server is not about to stop.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if s.stopping.Load() {
		writeText(w, http.StatusServiceUnavailable, "stopping\n")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	for _, name := range slices.Sorted(maps.Keys(s.stores)) {
		err := s.stores[name].Store.View(ctx, func(tx solera.Tx) error { _, err := tx.Now(); return err })
		if err != nil {
			s.log.WarnContext(ctx, "the store does not answer", "workspace", name, "error", err)
			writeText(w, http.StatusServiceUnavailable, "the store does not answer\n")
			return
		}
	}
	writeText(w, http.StatusOK, "ok\n")
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) { s.numbers.handler.ServeHTTP(w, r) }

// Serve answers the connections of l until ctx is cancelled. Then readyz says
// so, event streams end, requests under way get Limits.Grace to finish, and
// Serve returns nil. l is closed in any case.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	lim := s.o.Limits
	base := context.WithoutCancel(ctx) // requests end by themselves
	hs := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: lim.Header,
		IdleTimeout:       lim.Idle,
		MaxHeaderBytes:    lim.HeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		// Mostly about clients that went away.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- hs.Serve(limitListener(l, lim.Connections)) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %v: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	if lim.Drain > 0 {
		time.Sleep(lim.Drain)
	}
	close(s.done)
	grace, cancel := context.WithTimeout(base, lim.Grace)
	defer cancel()
	err := hs.Shutdown(grace)
	<-failed
	if err != nil {
		s.log.Warn("requests were cut off", "after", lim.Grace)
		return hs.Close()
	}
	return nil
}
