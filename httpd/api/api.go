// Package api is Solera's own JSON API and event stream, under /api/v1. It
// translates between HTTP and the rules; it decides nothing itself.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/live"
	"github.com/solera-ml/solera/tracking"
)

// Root is where the API begins.
const Root = "/api/v1"

// errSignIn is for who has not said who they are.
var errSignIn = errors.New("sign in, or send a key")

// Options are what the API stands on, as httpd.Mount has it. Workspace must be
// set.
type Options struct {
	// Workspace returns the workspace of that name, for all its projects;
	// solera.ErrNotFound if there is none.
	Workspace func(name string) (*tracking.Tracker, error)
	// Bell returns the bell of a workspace, which shortens the wait of event
	// streams; nil = they look once a second.
	Bell    func(workspace string) *live.Bell
	Done    <-chan struct{} // ends the event streams, so that a server can stop; nil = never
	Log     *slog.Logger    // of what was no fault of the client; nil = nowhere
	Version string          // of the server
	Streams int             // how many event streams may be open at once; 0 = 1,000
}

// service is the API at work.
type service struct {
	Options
	huma    huma.API
	streams chan struct{} // holds one thing per open event stream
	heavy   chan struct{} // and one per answer that takes much of the machine
	scored  *cache[within[solera.Digest], *scored]
	tables  *cache[within[string], *tablePreview]
	fields  *cache[within[string], *columnsOf]
}

// Register adds the routes of the API to mux. Whoever serves mux limits the
// length of requests, puts who asks into the context (auth.WithPrincipal,
// solera.WithActor) and answers under Root + "/session".
func Register(mux humago.Mux, o Options) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Streams == 0 {
		o.Streams = 1000
	}
	s := newService(o)
	s.streams = make(chan struct{}, o.Streams)
	s.huma = humago.New(mux, config(o.Version))
	s.routes()
	s.finish(mux)
}

func newService(o Options) *service {
	return &service{Options: o, heavy: make(chan struct{}, heavyAtOnce), scored: newCache[within[solera.Digest], *scored](64), tables: newCache[within[string], *tablePreview](8), fields: newCache[within[string], *columnsOf](64)}
}

// heavyAtOnce is how many answers are made at once that read whole files. Others
// wait their turn.
const heavyAtOnce = 2

// heavily calls fn when it is its turn.
func heavily[T any](ctx context.Context, s *service, fn func() (T, error)) (T, error) {
	select {
	case s.heavy <- struct{}{}:
		defer func() { <-s.heavy }()
		return fn()
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// OpenAPI returns the description of the API as JSON.
func OpenAPI(version string) ([]byte, error) {
	s := newService(Options{Version: version})
	s.huma = humago.New(http.NewServeMux(), config(version))
	s.routes()
	return s.document()
}

func (s *service) routes() {
	s.describeSession()
	s.projectRoutes()
	s.runRoutes()
	s.sweepRoutes()
	s.seriesRoutes()
	s.itemRoutes()
	s.metricRoutes()
	s.artifactRoutes()
	s.downloadRoutes()
	s.eventRoutes()
	s.compareRoutes()
	s.lineageRoutes()
	s.provenanceRoutes()
	s.viewRoutes()
	s.evaluationRoutes()
	s.previewRoutes()
}

// A route is one operation of the API. Those of a workspace say which role they
// need.
type route struct {
	method  string
	path    string // below the workspace
	id      string // of the operation
	summary string
	tag     string
	role    auth.Role
	status  int                        // of success; 0 = 200, or 204 where there is no body
	body    int64                      // most bytes of the request; 0 = 1 MiB
	media   map[string]*huma.MediaType // of an answer that is no JSON
}

// InWorkspace is what every operation of a workspace is told. It and its kin are
// exported for the one who reads requests, which sees no other fields.
type InWorkspace struct {
	Workspace string `path:"workspace" maxLength:"128" doc:"name of the workspace" example:"default"`
}

// answer is an output that is JSON.
type answer[T any] struct{ Body T }

func answered[T any](v T, err error) (*answer[T], error) {
	if err != nil {
		return nil, err
	}
	return &answer[T]{v}, nil
}

// none is an output without a body.
type none struct{}

// add registers an operation of a workspace. fn gets the workspace's Tracker,
// which is of no project.
func add[I, O any](s *service, r route, fn func(ctx context.Context, t *tracking.Tracker, in *I) (*O, error)) {
	op := huma.Operation{
		OperationID: r.id, Method: r.method, Path: Root + "/workspaces/{workspace}" + r.path,
		Summary: r.summary, Tags: []string{r.tag}, DefaultStatus: r.status, MaxBodyBytes: r.body,
		Description: "Needs the role " + string(r.role) + ".",
		Errors:      []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound},
		Security:    []map[string][]string{{"key": {}}, {"session": {}}},
		Extensions:  map[string]any{"x-role": string(r.role)},
		Middlewares: huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
			t, err := s.enter(ctx.Context(), ctx.Param("workspace"), r.role)
			if err != nil {
				s.refuse(ctx, err)
				return
			}
			next(huma.WithValue(ctx, trackerKey{}, t))
		}},
	}
	if r.media != nil {
		op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: r.media}}
	}
	if r.method != http.MethodGet && r.role != auth.Viewer {
		op.Errors = append(op.Errors, http.StatusConflict)
	}
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*O, error) {
		t, _ := ctx.Value(trackerKey{}).(*tracking.Tracker)
		out, err := fn(ctx, t, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
}

type trackerKey struct{}

// enter returns the workspace if whoever asks may do in it what role allows.
// The role comes first: who may see nothing shall not learn what there is.
func (s *service) enter(ctx context.Context, name string, role auth.Role) (*tracking.Tracker, error) {
	switch p := auth.PrincipalOf(ctx); {
	case !p.Known():
		return nil, errSignIn
	case !p.Allows(name, role):
		return nil, fmt.Errorf("%w: it takes the role %s in this workspace", auth.ErrForbidden, role)
	}
	if err := solera.CheckName(name); err != nil {
		return nil, fmt.Errorf("workspace: %w", solera.ErrNotFound)
	}
	t, err := s.Workspace(name)
	if err != nil {
		return nil, err
	}
	whole := *t
	whole.Project = ""
	// An external file may be anywhere that this machine reaches. A client shall
	// not make the server go there.
	whole.External = nil
	return &whole, nil
}

func (s *service) refuse(ctx huma.Context, err error) {
	err = s.problem(ctx.Context(), err)
	var p *huma.ErrorModel
	if !errors.As(err, &p) {
		return
	}
	if p.Status == http.StatusUnauthorized {
		ctx.SetHeader("WWW-Authenticate", "Bearer")
	}
	ctx.SetHeader("Content-Type", "application/problem+json")
	ctx.SetStatus(p.Status)
	if err := writeJSON(ctx.BodyWriter(), p); err != nil {
		s.Log.DebugContext(ctx.Context(), "write an answer", "error", err)
	}
}

// statusGone is what nobody sees: the client has closed the connection.
const statusGone = 499

// problem turns an error of the rules into the answer that tells of it.
func (s *service) problem(ctx context.Context, err error) error {
	var status huma.StatusError
	if errors.As(err, &status) {
		return err
	}
	p := &huma.ErrorModel{Detail: err.Error()}
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		p.Status, p.Title, p.Detail = statusGone, "Client Closed Request", ""
		if errors.Is(err, context.DeadlineExceeded) {
			p.Status, p.Detail = http.StatusServiceUnavailable, "it took too long; ask for less"
		}
	case errors.Is(err, errSignIn):
		p.Status = http.StatusUnauthorized
	case errors.Is(err, auth.ErrForbidden):
		p.Status = http.StatusForbidden
	case errors.Is(err, solera.ErrCorrupt):
		// First: damage to the store may wrap what it was found by.
		p.Status = http.StatusInternalServerError
		s.Log.ErrorContext(ctx, "what is stored is damaged", "error", err)
	case errors.Is(err, solera.ErrNotFound):
		p.Status = http.StatusNotFound
	case errors.Is(err, solera.ErrConflict):
		p.Status = http.StatusConflict
	case errors.Is(err, solera.ErrInvalid), errors.Is(err, solera.ErrUsage):
		p.Status = http.StatusBadRequest
	case errors.Is(err, errors.ErrUnsupported):
		p.Status = http.StatusNotImplemented
	default:
		// What a database says of itself is for the log, not for a client.
		p.Status, p.Detail = http.StatusInternalServerError, "the server could not do this; its log says why"
		s.Log.ErrorContext(ctx, "request failed", "error", err)
	}
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	var place *misplaced
	if errors.As(err, &place) {
		p.Errors = []*huma.ErrorDetail{{Message: place.err.Error(), Location: place.location, Value: place.value}}
	}
	return p
}

// misplaced is an error about one part of the request.
type misplaced struct {
	location string // "body.where"
	value    any
	err      error
}

func (m *misplaced) Error() string { return m.err.Error() }
func (m *misplaced) Unwrap() error { return m.err }

func wrong(location string, value any, err error) error { return &misplaced{location, value, err} }

func invalid(location string, value any, format string, args ...any) error {
	return wrong(location, value, fmt.Errorf("%w: "+format, append([]any{solera.ErrInvalid}, args...)...))
}

// list returns s as JSON has it: a list, never null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
