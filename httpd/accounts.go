package httpd

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/httpd/api"
)

func (s *Server) accountRoutes() {
	s.mux.HandleFunc("GET /api/v1/session", s.session)
	s.mux.HandleFunc("POST /api/v1/session", s.signIn)
	s.mux.HandleFunc("DELETE /api/v1/session", s.signOut)
	s.mux.HandleFunc("GET /api/v1/users", s.listUsers)
	s.mux.HandleFunc("POST /api/v1/users", s.addUser)
	s.mux.HandleFunc("PATCH /api/v1/users/{name}", s.changeUser)
	s.mux.HandleFunc("DELETE /api/v1/users/{name}", s.removeUser)
	s.mux.HandleFunc("GET /api/v1/keys", s.listKeys)
	s.mux.HandleFunc("POST /api/v1/keys", s.addKey)
	s.mux.HandleFunc("DELETE /api/v1/keys/{id}", s.revokeKey)
}

// session says who is asking, also to those who are nobody yet.
func (s *Server) session(w http.ResponseWriter, r *http.Request) {
	p := auth.PrincipalOf(r.Context())
	out := api.Session{Open: p.Open, Workspaces: []api.Workspace{}, Version: s.o.Version, Language: language(r)}
	if p.User != "" {
		out.User = &api.User{Name: p.User, Admin: p.Admin()}
	}
	for _, name := range s.seen(p) {
		out.Workspaces = append(out.Workspaces, api.Workspace{Name: name, Role: p.Role(name)})
	}
	if !p.Known() {
		out.Version = "" // of no use to strangers, but to those who look for old versions
	}
	writeJSON(w, http.StatusOK, out)
}

// language returns the language of the dashboard that a browser prefers.
func language(r *http.Request) string {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		tag, _, _ = strings.Cut(strings.ToLower(tag), "-")
		if tag == "en" || tag == "es" {
			return tag // browsers send them in the order in which they are preferred
		}
	}
	return "en"
}

// signIn opens a session. Attempts that fail are counted by address, and by
// name, so that a password cannot be guessed from many addresses either.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) {
	var in api.Credentials
	if err := readJSON(w, r, &in); err != nil {
		s.fail(w, r, err)
		return
	}
	byKey := in.Key != ""
	if byKey == (in.Name != "") || byKey && in.Password != "" {
		s.fail(w, r, fmt.Errorf("sign in: %w: want a key, or a name and a password", solera.ErrInvalid))
		return
	}
	counted := []string{"from " + origin(r.RemoteAddr)}
	if !byKey && len(in.Name) <= solera.MaxName {
		counted = append(counted, "as "+strings.ToLower(in.Name))
	}
	for i, name := range counted {
		if wait, ok := s.attempts.take(name); !ok {
			for _, taken := range counted[:i] {
				s.attempts.giveBack(taken)
			}
			later(w, r, wait, "too many attempts to sign in")
			return
		}
	}
	ctx := solera.WithActor(r.Context(), in.Name)
	var session auth.Session
	var err error
	if byKey {
		session, err = s.o.Accounts.SignInByKey(ctx, strings.TrimSpace(in.Key))
	} else {
		session, err = s.o.Accounts.SignIn(ctx, in.Name, in.Password)
	}
	if err != nil {
		s.log.WarnContext(ctx, "sign-in refused", "request", requestID(ctx), "from", origin(r.RemoteAddr))
		s.fail(w, r, err)
		return
	}
	for _, name := range counted {
		s.attempts.giveBack(name)
	}
	// A session that the browser had before is of no more use.
	if old := sessionToken(r); old != "" {
		if err := s.o.Accounts.SignOut(ctx, old); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	http.SetCookie(w, cookie(r, session.Token, session.Expires.Time()))
	w.WriteHeader(http.StatusNoContent)
}

// cookie returns the session's cookie: unseen by scripts, sent by our own
// pages and by links to us, not with posts of others.
func cookie(r *http.Request, token string, until time.Time) *http.Cookie {
	c := &http.Cookie{
		Name: cookieName, Value: token, Path: "/", Expires: until, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if overTLS(r) {
		c.Name, c.Secure = secureCookieName, true
	}
	return c
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) {
	if token := sessionToken(r); token != "" {
		if err := s.o.Accounts.SignOut(r.Context(), token); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	gone := cookie(r, "", time.Unix(1, 0))
	gone.MaxAge = -1
	http.SetCookie(w, gone)
	w.WriteHeader(http.StatusNoContent)
}

// admin returns whether whoever asks manages the server; if not, it has
// answered.
func (s *Server) admin(w http.ResponseWriter, r *http.Request) bool {
	if auth.PrincipalOf(r.Context()).Admin() {
		return true
	}
	s.fail(w, r, fmt.Errorf("manage users: %w: only an admin of the server may", auth.ErrForbidden))
	return false
}

// manages returns whether p gives the roles of all these workspaces.
func manages(p auth.Principal, workspaces []string) bool {
	return p.Full() && !slices.ContainsFunc(workspaces, func(name string) bool { return !p.Allows(name, auth.Admin) })
}

// listUsers lists everybody to an admin of the server; to an admin of a
// workspace too, with what concerns that workspace.
func (s *Server) listUsers(w http.ResponseWriter, r *http.Request) {
	p := auth.PrincipalOf(r.Context())
	some := slices.ContainsFunc(slices.Collect(maps.Keys(s.stores)), func(name string) bool { return manages(p, []string{name}) })
	if !some && !s.admin(w, r) {
		return
	}
	list, err := s.o.Accounts.Users(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for i, u := range list {
		list[i] = shown(p, u)
	}
	writeJSON(w, http.StatusOK, list)
}

// shown returns what p may see of a user: of others, what concerns the
// workspaces that p manages.
func shown(p auth.Principal, u auth.User) auth.User {
	if p.Admin() || p.User == u.Name {
		return u
	}
	roles := maps.Clone(u.Roles)
	maps.DeleteFunc(roles, func(name string, _ auth.Role) bool { return !manages(p, []string{name}) })
	return auth.User{Name: u.Name, Admin: u.Admin, Roles: roles}
}

func (s *Server) addUser(w http.ResponseWriter, r *http.Request) {
	if !s.admin(w, r) {
		return
	}
	var in struct {
		Name     string               `json:"name"`
		Admin    bool                 `json:"admin"`
		Roles    map[string]auth.Role `json:"roles"`
		Password string               `json:"password"`
	}
	err := readJSON(w, r, &in)
	if err == nil {
		err = s.known(slices.Collect(maps.Keys(in.Roles)))
	}
	if err == nil {
		err = s.o.Accounts.AddUser(r.Context(), auth.User{Name: in.Name, Admin: in.Admin, Roles: in.Roles}, in.Password)
	}
	s.tellUser(w, r, http.StatusCreated, in.Name, err)
}

// known reports ErrInvalid for a workspace that is not there.
func (s *Server) known(workspaces []string) error {
	for _, name := range workspaces {
		if _, err := s.workspace(name); err != nil {
			return fmt.Errorf("roles: %w: %v", solera.ErrInvalid, err)
		}
	}
	return nil
}

func (s *Server) tellUser(w http.ResponseWriter, r *http.Request, status int, name string, err error) {
	var u auth.User
	if err == nil {
		u, err = s.o.Accounts.User(r.Context(), name)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, status, shown(auth.PrincipalOf(r.Context()), u))
}

// changeUser changes what the body names. Users may change their own password,
// admins of a workspace the roles in it.
func (s *Server) changeUser(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Admin    *bool                `json:"admin"`
		Roles    map[string]auth.Role `json:"roles"` // "" takes a role away
		Password *string              `json:"password"`
	}
	name, p := r.PathValue("name"), auth.PrincipalOf(r.Context())
	if err := readJSON(w, r, &in); err != nil {
		s.fail(w, r, err)
		return
	}
	own := strings.EqualFold(name, p.User) && p.Full() && in.Admin == nil && in.Roles == nil
	workspaces := slices.Sorted(maps.Keys(in.Roles))
	given := len(workspaces) > 0 && manages(p, workspaces) && in.Admin == nil && in.Password == nil
	if !own && !given && !s.admin(w, r) {
		return
	}
	err := s.known(workspaces)
	if err == nil && in.Admin != nil {
		err = s.o.Accounts.SetAdmin(r.Context(), name, *in.Admin)
	}
	for _, workspace := range workspaces {
		if err == nil {
			err = s.o.Accounts.SetRole(r.Context(), name, workspace, in.Roles[workspace])
		}
	}
	if err == nil && in.Password != nil {
		err = s.o.Accounts.SetPassword(r.Context(), name, *in.Password)
	}
	s.tellUser(w, r, http.StatusOK, name, err)
}

func (s *Server) removeUser(w http.ResponseWriter, r *http.Request) {
	if !s.admin(w, r) {
		return
	}
	if err := s.o.Accounts.RemoveUser(r.Context(), r.PathValue("name")); err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// listKeys lists the keys of whoever asks; to an admin, with user=NAME those
// of another, with user=* all.
func (s *Server) listKeys(w http.ResponseWriter, r *http.Request) {
	p := auth.PrincipalOf(r.Context())
	name := r.URL.Query().Get("user")
	if name == "" && !p.Open {
		name = p.User
	}
	if !strings.EqualFold(name, p.User) && !s.admin(w, r) {
		return
	}
	if name == "*" {
		name = ""
	}
	list, err := s.o.Accounts.Keys(r.Context(), name)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, list)
}

// addKey makes a key. The answer is the one place where it can be read.
func (s *Server) addKey(w http.ResponseWriter, r *http.Request) {
	var in struct {
		User    string        `json:"user"` // "" = whoever asks
		Name    string        `json:"name"`
		Scope   auth.Scope    `json:"scope"`
		Expires solera.Micros `json:"expires"`
	}
	p := auth.PrincipalOf(r.Context())
	if err := readJSON(w, r, &in); err != nil {
		s.fail(w, r, err)
		return
	}
	if in.User == "" {
		in.User = p.User
	}
	// A key of less than full scope makes no keys: they would outlive it.
	if !(strings.EqualFold(in.User, p.User) && p.Full()) && !s.admin(w, r) {
		return
	}
	secret, key, err := s.o.Accounts.AddKey(r.Context(), auth.Key{User: in.User, Name: in.Name, Scope: in.Scope, Expires: in.Expires})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, struct {
		Secret string `json:"key"`
		auth.Key
	}{secret, key})
}

func (s *Server) revokeKey(w http.ResponseWriter, r *http.Request) {
	p := auth.PrincipalOf(r.Context())
	key, err := s.o.Accounts.Key(r.Context(), r.PathValue("id"))
	if err == nil && !(key.User == p.User && p.Full()) && !p.Admin() {
		// Whose keys there are is for admins to know.
		err = fmt.Errorf("key %.40q: %w", r.PathValue("id"), solera.ErrNotFound)
	}
	if err == nil {
		err = s.o.Accounts.RevokeKey(r.Context(), key.ID)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
