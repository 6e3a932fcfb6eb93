package auth

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/solera-ml/solera"
)

// maxSessions is how many sessions a user has at most: the oldest gives way.
const maxSessions = 50

// A Session is a sign-in as it is handed to a browser.
type Session struct {
	Token     string // the secret: 43 characters of base64url
	Principal Principal
	Expires   solera.Micros // at the latest
}

// sessionBody is kept under the hash of the token.
type sessionBody struct {
	User    string `json:"user"`          // folded
	Key     string `json:"key,omitempty"` // that opened it; "" = the password did
	Created int64  `json:"created"`
	Seen    int64  `json:"seen"` // roughly: see touch
}

// SignIn opens a session for a name and its password. Whatever is wrong is
// ErrRefused, after the same time.
func (a *Accounts) SignIn(ctx context.Context, name, password string) (Session, error) {
	var u userBody
	err := a.store.View(ctx, func(tx solera.Tx) error { return user(tx, name, &u) })
	if err != nil && !errors.Is(err, solera.ErrNotFound) {
		return Session{}, err
	}
	ok, err := a.matches(ctx, password, u.Password)
	if err != nil {
		return Session{}, err
	}
	if !ok {
		return Session{}, ErrRefused
	}
	hash := u.Password
	return a.open(ctx, func(tx solera.Tx) (Principal, sessionBody, error) {
		err := user(tx, name, &u)
		if errors.Is(err, solera.ErrNotFound) || err == nil && u.Password != hash {
			err = ErrRefused // changed meanwhile
		}
		return u.principal(Full, ""), sessionBody{User: fold(name)}, err
	})
}

// SignInByKey opens a session for an API key. It can do what the key can, and
// ends with it.
func (a *Accounts) SignInByKey(ctx context.Context, secret string) (Session, error) {
	// Looked up first without the turn of a writer: guessing must not hinder
	// those who write.
	if _, err := a.ByKey(ctx, secret); err != nil {
		return Session{}, err
	}
	return a.open(ctx, func(tx solera.Tx) (Principal, sessionBody, error) {
		p, b, err := a.byKey(tx, secret)
		return p, sessionBody{User: b.User, Key: b.ID}, err
	})
}

// open stores a session, and removes those that have ended.
func (a *Accounts) open(ctx context.Context, who func(solera.Tx) (Principal, sessionBody, error)) (Session, error) {
	raw := make([]byte, 32)
	if _, err := io.ReadFull(a.random, raw); err != nil {
		return Session{}, fmt.Errorf("read random bytes: %w", err)
	}
	s := Session{Token: base64.RawURLEncoding.EncodeToString(raw)}
	err := a.store.Update(ctx, func(tx solera.Tx) error {
		p, b, err := who(tx)
		if err != nil {
			return err
		}
		now := a.now()
		b.Created, b.Seen = int64(now), int64(now)
		s.Principal, s.Expires = p, now+solera.Micros(a.most.Microseconds())
		if err := a.sweep(tx, b.User); err != nil {
			return err
		}
		return put(tx, sessionKind, hashOf(s.Token), b)
	})
	if err != nil {
		return Session{}, err
	}
	return s, nil
}

// sweep removes sessions that have ended, and the oldest of a user who has too
// many.
func (a *Accounts) sweep(tx solera.Tx, user string) error {
	type open struct {
		id      string
		created int64
	}
	var own []open
	err := each(tx, sessionKind, func(id string, b sessionBody) error {
		if a.over(b) {
			return tx.DeleteDocument(sessionKind, id)
		}
		if b.User == user {
			own = append(own, open{id, b.Created})
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(own, func(a, b open) int { return cmp.Compare(a.created, b.created) })
	for len(own) >= maxSessions {
		if err := tx.DeleteDocument(sessionKind, own[0].id); err != nil {
			return err
		}
		own = own[1:]
	}
	return nil
}

func (a *Accounts) over(b sessionBody) bool {
	now := int64(a.now())
	return now >= b.Seen+a.idle.Microseconds() || now >= b.Created+a.most.Microseconds()
}

func endSessions(tx solera.Tx, of func(sessionBody) bool) error {
	return each(tx, sessionKind, func(id string, b sessionBody) error {
		if !of(b) {
			return nil
		}
		return tx.DeleteDocument(sessionKind, id)
	})
}

// BySession returns who is signed in with a token. Anything but the token of a
// session that is open now is ErrRefused.
func (a *Accounts) BySession(ctx context.Context, token string) (Principal, error) {
	if len(token) != base64.RawURLEncoding.EncodedLen(32) {
		return Principal{}, ErrRefused
	}
	id := hashOf(token) // what the store looks for; how long that takes says nothing of the token
	var p Principal
	stale := false
	err := a.store.View(ctx, func(tx solera.Tx) error {
		var b sessionBody
		err := get(tx, sessionKind, id, &b)
		if errors.Is(err, solera.ErrNotFound) || err == nil && a.over(b) {
			return ErrRefused
		}
		if err != nil {
			return err
		}
		// Seen is renewed a few times in the life of a session, not at each
		// request: a look at a page is no write.
		stale = int64(a.now()) > b.Seen+a.idle.Microseconds()/20
		if b.Key != "" {
			var k keyBody
			if err := get(tx, keyKind, b.Key, &k); errors.Is(err, solera.ErrNotFound) {
				return ErrRefused
			} else if err != nil {
				return err
			}
			p, err = a.holder(tx, k)
			return err
		}
		var u userBody
		if err := user(tx, b.User, &u); errors.Is(err, solera.ErrNotFound) {
			return ErrRefused
		} else if err != nil {
			return err
		}
		p = u.principal(Full, "")
		return nil
	})
	if err != nil {
		return Principal{}, err
	}
	if stale {
		// A store that takes no writes now, such as one with a full disk, is no
		// reason to turn somebody away.
		if err := a.touch(ctx, id); errors.Is(err, ErrRefused) {
			return Principal{}, err
		}
	}
	return p, nil
}

// touch notes that a session is in use.
func (a *Accounts) touch(ctx context.Context, id string) error {
	return a.store.Update(ctx, func(tx solera.Tx) error {
		var b sessionBody
		err := get(tx, sessionKind, id, &b)
		if errors.Is(err, solera.ErrNotFound) {
			return ErrRefused // signed out meanwhile
		}
		if err != nil {
			return err
		}
		b.Seen = int64(a.now())
		return put(tx, sessionKind, id, b)
	})
}

// SignOut ends a session; one that is not open is no error.
func (a *Accounts) SignOut(ctx context.Context, token string) error {
	return a.store.Update(ctx, func(tx solera.Tx) error {
		err := tx.DeleteDocument(sessionKind, hashOf(token))
		if errors.Is(err, solera.ErrNotFound) {
			return nil
		}
		return err
	})
}
