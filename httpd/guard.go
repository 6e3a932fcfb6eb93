package httpd

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/httpd/wandb"
)

// maxURL is the most bytes of a path and its query.
const maxURL = 16 << 10

// guard turns away what no browser or client of ours sends, before anything
// looks at it, and says in every answer how a browser has to take it.
func (s *Server) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		// What is served is no page, unless it says otherwise.
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
		if strings.HasPrefix(r.URL.Path, "/api/") {
			h.Set("Cache-Control", "no-store")
		}
		if !s.answersTo(r.Host) {
			problem(w, http.StatusMisdirectedRequest,
				fmt.Sprintf("this server is not known as %.80q; start it with --host NAME if it should be", hostName(r.Host)))
			return
		}
		if len(r.RequestURI) > maxURL {
			problem(w, http.StatusRequestURITooLong, fmt.Sprintf("an address may have at most %d bytes", maxURL))
			return
		}
		if why := checkPath(r.URL.Path); why != "" {
			problem(w, http.StatusBadRequest, "the path of this address "+why)
			return
		}
		if err := cross.Check(r); err != nil {
			problem(w, http.StatusForbidden, "a page of another origin sent this request, and it would change something")
			return
		}
		if wandb.Unlimited(r) {
			// A file of any length; it only has to move.
			r.Body = &movingBody{r.Body, http.NewResponseController(w), s.o.Limits.Stall}
			next.ServeHTTP(w, r)
			return
		}
		if r.ContentLength > s.o.Limits.BodyBytes {
			// It need not send what nobody will read.
			h.Set("Connection", "close")
			refuse(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("a body may have at most %d bytes", s.o.Limits.BodyBytes))
			return
		}
		if r.Body != nil && r.Body != http.NoBody {
			control := http.NewResponseController(w)
			_ = control.SetReadDeadline(time.Now().Add(s.o.Limits.Body)) // a test's writer has none
			r.Body = &timedBody{http.MaxBytesReader(w, r.Body, s.o.Limits.BodyBytes), control}
		}
		next.ServeHTTP(w, r)
	})
}

// timedBody lifts the deadline of reading when the body is there. Otherwise it
// would end the request itself when it takes longer, as event streams do.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// movingBody gives a client its time again whenever something arrives.
type movingBody struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
}

func (b *movingBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.stall)) // a test's writer has none
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// hostName returns the name of a Host header, as names are compared.
func hostName(host string) string {
	if name, port, err := net.SplitHostPort(host); err == nil && strings.Trim(port, "0123456789") == "" {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// answersTo reports whether host is a name of this server. Addresses in digits
// always are: what a stranger's page can do is to have a name of its own point
// here, and then the browser sends that name.
func (s *Server) answersTo(host string) bool {
	name := hostName(host)
	if s.names[name] {
		return true
	}
	_, err := netip.ParseAddr(name)
	return err == nil
}

// checkPath says what is wrong with a path, as it is after unescaping. A path
// that http.ServeMux would clean is none that anybody means.
func checkPath(p string) string {
	switch {
	case p == "" || p[0] != '/':
		return "must begin with /"
	case !utf8.ValidString(p):
		return "is not UTF-8"
	case strings.ContainsFunc(p, unicode.IsControl):
		return "has control characters"
	case strings.Contains(p, `\`):
		return `has a \`
	}
	segments := strings.Split(p[1:], "/")
	for i, segment := range segments {
		switch {
		case segment == "." || segment == "..":
			return "has the segment " + segment
		case segment == "" && i < len(segments)-1:
			return "has an empty segment"
		}
	}
	return ""
}

// cookieName is the name of the session's cookie; where the browser speaks TLS
// to us, or to a proxy before us, the prefix keeps other hosts from setting it.
const (
	cookieName       = "solera_session"
	secureCookieName = "__Host-solera_session"
)

// overTLS reports whether the browser's connection is encrypted. A proxy says
// so, and whoever lies in that header harms only himself.
func overTLS(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

func sessionToken(r *http.Request) string {
	name := cookieName
	if overTLS(r) {
		name = secureCookieName
	}
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// shownKey returns the API key of a request: as a bearer token, or as the
// password of basic authentication, under any name.
func shownKey(r *http.Request) string {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch strings.ToLower(scheme) {
	case "bearer":
		return strings.TrimSpace(rest)
	case "basic":
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
		if err != nil {
			return "?" // shown, and none
		}
		_, key, _ := strings.Cut(string(raw), ":")
		if key == "" {
			return "?"
		}
		return key
	case "":
		return ""
	}
	return "?"
}

// public reports whether a path is answered without sign-in: the dashboard's
// own files, the sign-in itself, and whether the server lives. Everything else
// is closed unless somebody opens it here.
func public(r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/readyz", "/api/v1/session":
		return true
	case "/api", "/metrics":
		return false
	}
	if wandb.Owns(r.URL.Path) {
		return wandb.Public(r.URL.Path)
	}
	return !strings.HasPrefix(r.URL.Path, "/api/")
}

// refuse answers with an error in the form that the clients of a path read.
func refuse(w http.ResponseWriter, r *http.Request, status int, detail string) {
	if wandb.Owns(r.URL.Path) {
		wandb.Refuse(w, status, detail)
		return
	}
	problem(w, status, detail)
}

// identify finds out who asks, puts that into the context, and turns away
// those who may not ask.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := visitOf(r.Context())
		p, err := s.principal(r)
		switch {
		case err == nil:
		case errors.Is(err, auth.ErrRefused):
			if shownKey(r) != "" {
				if wait, ok := s.unknown.take(origin(r.RemoteAddr)); !ok {
					later(w, r, wait, "too many keys that are not valid")
					return
				}
			}
			// A cookie that is over is as good as none: the dashboard loads, and
			// asks to sign in.
			if !public(r) {
				refuse(w, r, http.StatusUnauthorized, "the key or session is not valid, or no longer")
				return
			}
		default:
			s.fail(w, r, err)
			return
		}
		if !p.Known() && !public(r) {
			refuse(w, r, http.StatusUnauthorized, "user is not logged in: sign in, or send an API key: Authorization: Bearer solera_…")
			return
		}
		if p.Known() && !p.Open {
			v.user = p.User
			if wait, ok := s.requests.take(p.User + " " + p.Key); !ok {
				later(w, r, wait, "too many requests")
				return
			}
		}
		actor := p.User
		if p.Open {
			actor = s.o.Actor
		}
		ctx := solera.WithActor(auth.WithPrincipal(r.Context(), p), actor)
		inner := r.WithContext(ctx)
		defer func() { v.route = inner.Pattern }() // the mux has written it there
		next.ServeHTTP(w, inner)
	})
}

func (s *Server) principal(r *http.Request) (auth.Principal, error) {
	if s.o.Open {
		return auth.Anyone(), nil
	}
	// A store that is away for longer is one that does not answer, and requests
	// must not pile up before it.
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	if key := shownKey(r); key != "" {
		return s.o.Accounts.ByKey(ctx, key)
	}
	if token := sessionToken(r); token != "" {
		return s.o.Accounts.BySession(ctx, token)
	}
	return auth.Principal{}, nil
}

// later answers that there were too many requests.
func later(w http.ResponseWriter, r *http.Request, wait time.Duration, why string) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	refuse(w, r, http.StatusTooManyRequests, why+"; try again later")
}
