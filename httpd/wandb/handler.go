// Package wandb is a dialect of the server: the wire of Weights & Biases, as its
// unmodified client speaks it. It translates between that wire and the rules,
// and remembers nothing itself: a run, its points and its artifacts are the same
// records whoever wrote them.
package wandb

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

// Options are what the dialect stands on. Workspace and Workspaces must be set.
type Options struct {
	// Workspace returns the workspace of that name, for all its projects;
	// solera.ErrNotFound if there is none.
	Workspace func(name string) (*tracking.Tracker, error)
	// Workspaces returns the names of all workspaces, the first one being where
	// everybody is who names none.
	Workspaces func() []string
	// Unknown counts what a client asks for and nobody answers; nil = not counted.
	Unknown func(operation string)
	Log     *slog.Logger     // of what was no fault of the client; nil = nowhere
	Version string           // of the server
	Clock   func() time.Time // nil = time.Now
}

// service is the dialect at work.
type service struct {
	Options
	queries   map[string]root
	mutations map[string]root
	uploads   map[string]upload
	downloads map[string]download
	sweeps    sweeps
	secrets   secrets
	pending   pending
	summaries summaries
	spent     spent
	writers   writers
	large     chan struct{} // holds one thing per large body
}

// Mux takes routes, as http.ServeMux does.
type Mux interface {
	HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request))
}

// Register adds the routes of the dialect to mux. Whoever serves mux limits the
// length of requests but for those that Unlimited names, puts who asks into the
// context (auth.WithPrincipal, solera.WithActor), and lets nobody in unasked but
// to what Public names.
func Register(mux Mux, o Options) {
	newService(o).routes(mux)
}

func newService(o Options) *service {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Unknown == nil {
		o.Unknown = func(string) {}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	s := &service{Options: o, large: make(chan struct{}, largeAtOnce)}
	// A file that answers more fields or kinds of storage adds its map to these
	// lines, and nothing registers itself.
	s.queries = join(s.viewerQueries(), s.projectQueries(), s.artifactQueries())
	s.mutations = join(s.projectMutations(), s.runMutations(), s.fileMutations(),
		s.uploadMutations(), s.collectionMutations(), s.lineageMutations(), s.sweepMutations())
	s.uploads = map[string]upload{runFileKind: s.keepRunFile, "draft": s.fileDraft, "part": s.fileDraft}
	s.downloads = map[string]download{
		"blob": s.openBlob, "history": s.openHistory, runFileKind: s.openRunFile, "manifest": s.openManifest,
	}
	return s
}

func (s *service) routes(mux Mux) {
	mux.HandleFunc("POST /graphql", s.graphql)
	mux.HandleFunc("POST /files/{entity}/{project}/{run}/file_stream", s.fileStream)
	mux.HandleFunc("GET "+storageRoot+"{workspace}/{token}/{name}", s.fetch)
	mux.HandleFunc("PUT "+storageRoot+"{workspace}/{token}/{name}", s.store)
	mux.HandleFunc("OPTIONS "+storageRoot+"{rest...}", s.preflight)
	mux.HandleFunc("GET "+artifactsRoot+"{region}/{entity}/{project}/{collection}/{rest...}", s.artifactsV2)
	for _, below := range []string{artifactsRoot, "/graphql", "/files/", storageRoot, "/sdk/", "/oidc/"} {
		mux.HandleFunc(below, s.nothing)
	}
}

// paths are where the dialect answers.
var paths = []string{"/graphql", "/files/", storageRoot, "/sdk/", "/oidc/", artifactsRoot}

// Owns reports whether a path belongs to the dialect, so that it is no page of
// the dashboard, and refusals there are such as its clients read: see Refuse.
func Owns(path string) bool {
	for _, p := range paths {
		if path == strings.TrimSuffix(p, "/") || strings.HasPrefix(path, p) && strings.HasSuffix(p, "/") {
			return true
		}
	}
	return false
}

// Public reports whether a path of the dialect is answered without sign-in:
// where the address itself carries what it allows, or there is nothing.
func Public(path string) bool {
	return strings.HasPrefix(path, storageRoot) || strings.HasPrefix(path, "/sdk/") || strings.HasPrefix(path, "/oidc/")
}

// Unlimited reports whether the body of a request may have any length, and take
// as long as it moves.
func Unlimited(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, storageRoot)
}

// maxBody is the most bytes of a request to GraphQL or a file stream, as sent
// and as unpacked.
const maxBody = 64 << 20

// call is one request as it is answered.
type call struct {
	ctx       context.Context
	service   *service
	header    http.Header
	base      string // of the URLs that are given to the client
	operation string
}

func (s *service) call(r *http.Request) *call {
	scheme := "http"
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	return &call{ctx: r.Context(), service: s, header: r.Header, base: scheme + "://" + r.Host}
}

// space is a workspace in which whoever asks may do something.
type space struct {
	name string
	t    *tracking.Tracker // of no project
}

// in returns the rules for one project.
func (sp *space) in(project string) *tracking.Tracker {
	t := *sp.t
	t.Project = project
	return &t
}

// enter returns the workspace that a client calls its entity, if whoever asks
// may do there what takes a role. Nobody learns of one that he may not see. An
// empty name is that of the default workspace.
func (c *call) enter(entity string, role auth.Role) (*space, error) {
	p := auth.PrincipalOf(c.ctx)
	mine := c.mine()
	if entity == "" {
		if len(mine) == 0 {
			return nil, fmt.Errorf("%w: you have no role in any workspace", auth.ErrForbidden)
		}
		entity = mine[0]
	}
	if !p.Allows(entity, auth.Viewer) {
		return nil, c.noWorkspace(entity, mine)
	}
	t, err := c.service.Workspace(entity)
	if errors.Is(err, solera.ErrNotFound) {
		return nil, c.noWorkspace(entity, mine)
	}
	if err != nil {
		return nil, err
	}
	if !p.Allows(entity, role) {
		return nil, fmt.Errorf("%w: it takes the role %s in the workspace %s", auth.ErrForbidden, role, entity)
	}
	whole := *t
	whole.Project = ""
	// An external file may be anywhere that this machine reaches. A client shall
	// not make the server go there.
	whole.External = nil
	return &space{entity, &whole}, nil
}

func (c *call) noWorkspace(entity string, mine []string) error {
	if len(mine) == 0 {
		return fmt.Errorf("entity %.80q: %w; you have no role in any workspace", entity, solera.ErrNotFound)
	}
	return fmt.Errorf("entity %.80q: %w; there is %s", entity, solera.ErrNotFound, strings.Join(mine, ", "))
}

// mine are the workspaces that whoever asks may see, the default one first.
func (c *call) mine() []string {
	p := auth.PrincipalOf(c.ctx)
	var mine []string
	for _, name := range c.service.Workspaces() {
		if p.Allows(name, auth.Viewer) {
			mine = append(mine, name)
		}
	}
	return mine
}

// graphql answers POST /graphql.
func (s *service) graphql(w http.ResponseWriter, r *http.Request) {
	c := s.call(r)
	leave, err := s.room(r)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	defer leave()
	body, err := readBody(w, r)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	var q request
	if err := json.Unmarshal(body, &q); err != nil {
		// Variables may hold the words that JSON lacks.
		if q, err = lenientRequest(body); err != nil {
			s.fail(w, r, c, fmt.Errorf("body: %w: %v", solera.ErrInvalid, err))
			return
		}
	}
	if q.Query == "" {
		s.fail(w, r, c, fmt.Errorf("body: %w: want {\"query\": …}", solera.ErrInvalid))
		return
	}
	data, err := s.execute(c, q)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, `{"data":`) // who asked may be gone
	_, _ = w.Write(data)
	_, _ = io.WriteString(w, "}\n")
}

func lenientRequest(body []byte) (request, error) {
	v, err := decode(body)
	if err != nil {
		return request{}, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return request{}, errors.New("want an object")
	}
	var q request
	var isText bool
	if q.Query, isText = m["query"].(string); !isText {
		return request{}, errors.New("query must be a string")
	}
	q.Operation, _ = m["operationName"].(string)
	if m["variables"] != nil {
		q.Variables = encodeJSON(m["variables"])
	}
	return q, nil
}

// Bodies of more than largeBody bytes, or of unknown length, take a place of
// largeAtOnce, so that they cannot fill the memory together.
const (
	largeBody   = 4 << 20
	largeAtOnce = 4
)

// room waits until there is room for the body of a request.
func (s *service) room(r *http.Request) (leave func(), err error) {
	if r.ContentLength >= 0 && r.ContentLength <= largeBody && r.Header.Get("Content-Encoding") == "" {
		return func() {}, nil
	}
	select {
	case s.large <- struct{}{}:
		return func() { <-s.large }, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// readBody returns the body of a request, unpacked.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var in io.Reader = http.MaxBytesReader(w, r.Body, maxBody)
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("body: %w: it is not gzip: %v", solera.ErrInvalid, err)
		}
		in = z
	default:
		return nil, fmt.Errorf("body: %w: the encoding %.40q is not known here; use gzip or none", solera.ErrInvalid, encoding)
	}
	var b bytes.Buffer
	if r.ContentLength > 0 && r.ContentLength <= maxBody {
		b.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(io.LimitReader(in, maxBody+1)); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, err
		}
		return nil, fmt.Errorf("body: %w: %v", solera.ErrInvalid, err)
	}
	if b.Len() > maxBody {
		return nil, &http.MaxBytesError{Limit: maxBody}
	}
	return b.Bytes(), nil
}

// Refuse answers with an error as clients of the dialect read it.
func Refuse(w http.ResponseWriter, status int, message string) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="Solera"`)
	}
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	type wrong struct {
		Message string `json:"message"`
	}
	// Who asked may be gone.
	_ = e.Encode(struct {
		Errors []wrong `json:"errors"`
		Error  string  `json:"error"` // where no GraphQL is spoken
	}{[]wrong{{message}}, message})
}

// fail answers with the status of an error. Clients try again later what is no
// fault of theirs.
func (s *service) fail(w http.ResponseWriter, r *http.Request, c *call, err error) {
	status, message := http.StatusInternalServerError, "the server could not do this; its log says why"
	var tooLarge *http.MaxBytesError
	var later *laterError
	switch {
	case errors.As(err, &later):
		w.Header().Set("Retry-After", "2")
		status, message = http.StatusServiceUnavailable, err.Error()
	case r.Context().Err() != nil && errors.Is(err, context.Canceled):
		w.WriteHeader(499) // the client has gone; for the log
		return
	case errors.Is(err, context.DeadlineExceeded):
		s.Log.WarnContext(r.Context(), "the store does not answer", "error", err)
		w.Header().Set("Retry-After", "2")
		status, message = http.StatusServiceUnavailable, "the store does not answer; try again later"
	case errors.As(err, &tooLarge):
		status, message = http.StatusRequestEntityTooLarge, fmt.Sprintf("the body may have at most %d bytes", tooLarge.Limit)
	case errors.Is(err, auth.ErrForbidden):
		status, message = http.StatusForbidden, "permission denied: "+err.Error()
	case errors.Is(err, solera.ErrCorrupt):
		s.Log.ErrorContext(r.Context(), "what is stored is damaged", "error", err)
	case errors.Is(err, solera.ErrNotFound):
		status, message = http.StatusNotFound, err.Error()
	case errors.Is(err, solera.ErrConflict):
		status, message = http.StatusConflict, err.Error()
	case errors.Is(err, solera.ErrInvalid), errors.Is(err, solera.ErrUsage), errors.Is(err, errors.ErrUnsupported):
		// Not 501 for the last: older clients ask for half a minute again.
		status, message = http.StatusBadRequest, err.Error()
	default:
		s.Log.ErrorContext(r.Context(), "request failed", "operation", c.operation, "error", err)
	}
	Refuse(w, status, message)
}

// laterError says that a request will succeed when something else has ended,
// which is under way. Clients ask again.
type laterError struct{ why string }

func (e *laterError) Error() string { return e.why }

// nothing answers where the dialect has nothing. Clients take it as a feature
// that this server lacks.
func (s *service) nothing(w http.ResponseWriter, r *http.Request) {
	Refuse(w, http.StatusNotFound, fmt.Sprintf("there is no %s %.200s here", r.Method, r.URL.Path))
}
