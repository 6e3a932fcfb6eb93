// Package auth holds the rules of accounts: users and their roles, API keys,
// passwords and sessions, who may do what in which workspace. All of it is in
// documents of a store, and no secret among them: keys and sessions are kept
// as SHA-256, passwords as argon2id. It knows no HTTP: how a secret travels is
// for others to say.
package auth

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/solera-ml/solera"
)

// Kinds of error beside those of the root package.
var (
	// ErrRefused: what was shown is no valid key, session or password. It never
	// says which of these is wrong with it.
	ErrRefused = errors.New("sign-in refused")
	// ErrForbidden: whoever asks is known, and may not do this.
	ErrForbidden = errors.New("forbidden")
)

// A Role says what a user may do in one workspace. The zero Role is nothing.
type Role string

const (
	Viewer Role = "viewer" // sees everything
	Editor Role = "editor" // and writes runs, versions, aliases and notes, and deletes what can be restored
	Admin  Role = "admin"  // and gives others their roles in the workspace
)

func (r Role) rank() int {
	switch r {
	case Viewer:
		return 1
	case Editor:
		return 2
	case Admin:
		return 3
	}
	return 0
}

// Allows reports whether whoever has r may do what needs need.
func (r Role) Allows(need Role) bool { return need.rank() > 0 && r.rank() >= need.rank() }

// CheckRole reports ErrInvalid unless r is viewer, editor or admin.
func CheckRole(r Role) error {
	if r.rank() == 0 {
		return fmt.Errorf("role %.40q: %w: want viewer, editor or admin", string(r), solera.ErrInvalid)
	}
	return nil
}

// A Scope is the most that an API key can do, whatever role its user has.
type Scope string

const (
	Read  Scope = "read"  // as a viewer
	Write Scope = "write" // as an editor
	Full  Scope = "admin" // as the user
)

func (s Scope) ceiling() Role {
	switch s {
	case Read:
		return Viewer
	case Write:
		return Editor
	case Full:
		return Admin
	}
	return ""
}

// CheckScope reports ErrInvalid unless s is read, write or admin.
func CheckScope(s Scope) error {
	if s.ceiling() == "" {
		return fmt.Errorf("scope %.40q: %w: want read, write or admin", string(s), solera.ErrInvalid)
	}
	return nil
}

// A Principal is who asks. The zero Principal is nobody and may do nothing.
type Principal struct {
	User string // name; "" for nobody, and on an open server
	Open bool   // nobody signs in here: every request may do everything
	Key  string // identifier of the API key that was shown, "" for none

	admin bool
	roles map[string]Role
	scope Scope
}

// Anyone returns who asks an open server.
func Anyone() Principal { return Principal{Open: true, admin: true, scope: Full} }

// Known reports whether p is somebody.
func (p Principal) Known() bool { return p.Open || p.User != "" }

// Role returns what p may do in a workspace.
func (p Principal) Role(workspace string) Role {
	role := p.roles[workspace]
	if p.admin {
		role = Admin
	}
	if top := p.scope.ceiling(); role.rank() > top.rank() {
		role = top
	}
	return role
}

// Allows reports whether p may do in a workspace what needs a role.
func (p Principal) Allows(workspace string, need Role) bool { return p.Role(workspace).Allows(need) }

// Admin reports whether p manages the server itself: users and all workspaces.
func (p Principal) Admin() bool { return p.admin && p.scope == Full }

// Full reports whether p may do all that its user may: it signed in with the
// password, or showed a key of full scope.
func (p Principal) Full() bool { return p.scope == Full }

type principalKey struct{}

// WithPrincipal returns a context of a request by p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalOf returns who asks; nobody if the context does not say.
func PrincipalOf(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// Accounts are the users of a store, their keys and sessions. It holds no
// state of its own but what bounds the hashing of passwords, and is safe for
// many goroutines.
type Accounts struct {
	store  solera.Store
	clock  func() time.Time
	random io.Reader
	idle   time.Duration
	most   time.Duration
	hashes chan struct{} // a place for each password that is being hashed
}

// Options of Accounts; the zero value is right outside of tests.
type Options struct {
	Idle   time.Duration    // a session that nobody uses ends after it; 0 = 7 days
	Most   time.Duration    // every session ends after it; 0 = 30 days
	Clock  func() time.Time // nil = time.Now
	Random io.Reader        // of keys and sessions; nil = crypto/rand
}

// New returns the accounts in a store.
func New(store solera.Store, o Options) *Accounts {
	a := &Accounts{store: store, clock: o.Clock, random: o.Random, idle: o.Idle, most: o.Most, hashes: make(chan struct{}, 2)}
	if a.clock == nil {
		a.clock = time.Now
	}
	if a.random == nil {
		a.random = rand.Reader
	}
	if a.idle == 0 {
		a.idle = 7 * 24 * time.Hour
	}
	if a.most == 0 {
		a.most = 30 * 24 * time.Hour
	}
	return a
}

func (a *Accounts) now() solera.Micros { return solera.MicrosOf(a.clock()) }

// Kinds of documents.
const (
	userKind    = "user"
	keyKind     = "api-key"
	sessionKind = "session"
)

// IsAccount reports whether documents of a kind are accounts: what is known of
// them is for who manages the server.
func IsAccount(kind string) bool { return kind == userKind || kind == keyKind || kind == sessionKind }

// put keeps v as a document.
func put(tx solera.Tx, kind, id string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	d := solera.Document{Kind: kind, ID: id}
	if err := d.Body.UnmarshalJSON(raw); err != nil {
		return err
	}
	_, err = tx.SetDocument(d)
	return err
}

// get reads a document into v.
func get(tx solera.Tx, kind, id string, v any) error {
	d, err := tx.Document(kind, id)
	if err != nil {
		return err
	}
	return read(d, v)
}

func read(d solera.Document, v any) error {
	raw, err := d.Body.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		return fmt.Errorf("document %s %.80q: %w: %v", d.Kind, d.ID, solera.ErrCorrupt, err)
	}
	return nil
}

// each reads every document of a kind.
func each[T any](tx solera.Tx, kind string, fn func(id string, v T) error) error {
	list, err := tx.Documents(kind)
	if err != nil {
		return err
	}
	for _, d := range list {
		var v T
		if err := read(d, &v); err != nil {
			return err
		}
		if err := fn(d.ID, v); err != nil {
			return err
		}
	}
	return nil
}

// fold returns the form in which names are compared: Ana and ana are one user.
func fold(name string) string { return strings.ToLower(name) }
