package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// The form of an API key: the prefix and 43 letters and digits, which hold 256
// bits. The first ten of them identify the key and are no secret. There is no
// hyphen, since clients of other products cut a key there, and the length is
// more than the 40 that they insist on.
const (
	prefix    = "solera_"
	keyLetter = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	keyLength = 43
	idLength  = 10
)

// A Key is an API key as it is shown after its making: without the secret.
type Key struct {
	ID      string        `json:"id"`   // its first letters
	User    string        `json:"user"` // whose it is
	Name    string        `json:"name"` // what it is for, at most 100 characters
	Scope   Scope         `json:"scope"`
	Created solera.Micros `json:"created"`
	Expires solera.Micros `json:"expires"` // 0 = never
	Revoked solera.Micros `json:"revoked"` // 0 = not
}

type keyBody struct {
	Hash    string `json:"hash"` // SHA-256 of the whole key, hexadecimal
	User    string `json:"user"` // folded
	Name    string `json:"name"`
	Scope   Scope  `json:"scope"`
	Created int64  `json:"created"`
	Expires int64  `json:"expires,omitempty"`
	Revoked int64  `json:"revoked,omitempty"`
	ID      string `json:"id"`
}

func (b keyBody) id() string { return b.ID }

func (b keyBody) key(user string) Key {
	return Key{
		ID: b.ID, User: user, Name: b.Name, Scope: b.Scope,
		Created: solera.Micros(b.Created), Expires: solera.Micros(b.Expires), Revoked: solera.Micros(b.Revoked),
	}
}

// draw makes a key of the user, name, scope and expiry of k.
func (a *Accounts) draw(k Key) (secret string, b keyBody, err error) {
	letters, err := a.letters(keyLength)
	if err != nil {
		return "", b, fmt.Errorf("new key: %w", err)
	}
	secret = prefix + letters
	return secret, keyBody{
		Hash: hashOf(secret), User: fold(k.User), Name: k.Name, Scope: k.Scope,
		Created: int64(a.now()), Expires: int64(k.Expires), ID: letters[:idLength],
	}, nil
}

// letters draws letters and digits, each as likely as any other.
func (a *Accounts) letters(n int) (string, error) {
	const even = 256 / len(keyLetter) * len(keyLetter)
	var b strings.Builder
	for raw := make([]byte, 64); b.Len() < n; {
		if _, err := io.ReadFull(a.random, raw); err != nil {
			return "", fmt.Errorf("read random bytes: %w", err)
		}
		for _, c := range raw {
			if int(c) < even && b.Len() < n {
				b.WriteByte(keyLetter[int(c)%len(keyLetter)])
			}
		}
	}
	return b.String(), nil
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// equal compares two hashes in a time that says nothing of where they differ.
func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// AddKey makes an API key for k.User of k.Scope, and returns it with its
// secret, which is kept nowhere. A user that does not exist is ErrNotFound, an
// expiry in the past ErrInvalid.
func (a *Accounts) AddKey(ctx context.Context, k Key) (secret string, made Key, err error) {
	if err := CheckScope(k.Scope); err != nil {
		return "", Key{}, err
	}
	if utf8.RuneCountInString(k.Name) > 100 || !utf8.ValidString(k.Name) || strings.ContainsFunc(k.Name, unicode.IsControl) {
		return "", Key{}, fmt.Errorf("name of the key: %w: at most 100 characters, none of them invisible", solera.ErrInvalid)
	}
	if k.Expires != 0 && k.Expires <= a.now() {
		return "", Key{}, fmt.Errorf("expiry of the key, %v: %w: it is in the past", k.Expires, solera.ErrInvalid)
	}
	secret, b, err := a.draw(k)
	if err != nil {
		return "", Key{}, err
	}
	var u userBody
	err = a.store.Update(ctx, func(tx solera.Tx) error {
		if err := user(tx, k.User, &u); err != nil {
			return err
		}
		_, err := tx.Document(keyKind, b.id())
		switch {
		case err == nil:
			return fmt.Errorf("new key: %w: its first letters are those of another; try again", solera.ErrConflict)
		case !errors.Is(err, solera.ErrNotFound):
			return err
		}
		return put(tx, keyKind, b.id(), b)
	})
	if err != nil {
		return "", Key{}, err
	}
	return secret, b.key(u.Name), nil
}

// Keys returns the keys of a user, or with "" of all, the oldest first;
// revoked and expired ones too.
func (a *Accounts) Keys(ctx context.Context, name string) ([]Key, error) {
	var list []Key
	err := a.store.View(ctx, func(tx solera.Tx) error {
		list = []Key{}
		names := map[string]string{}
		err := each(tx, userKind, func(id string, u userBody) error {
			names[id] = u.Name
			return nil
		})
		if err != nil {
			return err
		}
		return each(tx, keyKind, func(_ string, b keyBody) error {
			if name == "" || b.User == fold(name) {
				list = append(list, b.key(names[b.User]))
			}
			return nil
		})
	})
	slices.SortStableFunc(list, func(a, b Key) int { return cmp.Compare(a.Created, b.Created) })
	return list, err
}

// Key returns a key by its identifier.
func (a *Accounts) Key(ctx context.Context, id string) (Key, error) {
	list, err := a.Keys(ctx, "")
	if err != nil {
		return Key{}, err
	}
	for _, k := range list {
		if k.ID == id {
			return k, nil
		}
	}
	return Key{}, fmt.Errorf("key %.40q: %w", id, solera.ErrNotFound)
}

// RevokeKey makes a key worthless, at once and for good; sessions that it
// opened end. A key that is revoked already is no error.
func (a *Accounts) RevokeKey(ctx context.Context, id string) error {
	return a.store.Update(ctx, func(tx solera.Tx) error {
		var b keyBody
		if !isKeyID(id) {
			return fmt.Errorf("key %.40q: %w", id, solera.ErrNotFound)
		}
		if err := get(tx, keyKind, id, &b); err != nil {
			return err
		}
		if b.Revoked != 0 {
			return nil
		}
		b.Revoked = int64(a.now())
		if err := put(tx, keyKind, id, b); err != nil {
			return err
		}
		return endSessions(tx, func(s sessionBody) bool { return s.Key == id })
	})
}

func isKeyID(id string) bool {
	return len(id) == idLength && strings.Trim(id, keyLetter) == ""
}

// ByKey returns whose key a secret is. Anything but a key that is valid now is
// ErrRefused.
func (a *Accounts) ByKey(ctx context.Context, secret string) (Principal, error) {
	var p Principal
	err := a.store.View(ctx, func(tx solera.Tx) (err error) {
		p, _, err = a.byKey(tx, secret)
		return err
	})
	return p, err
}

func (a *Accounts) byKey(tx solera.Tx, secret string) (Principal, keyBody, error) {
	letters, ok := strings.CutPrefix(secret, prefix)
	if !ok || len(letters) != keyLength || strings.Trim(letters, keyLetter) != "" {
		return Principal{}, keyBody{}, ErrRefused
	}
	var b keyBody
	err := get(tx, keyKind, letters[:idLength], &b)
	if err != nil && !errors.Is(err, solera.ErrNotFound) {
		return Principal{}, b, err
	}
	// A key that is unknown takes the same way as one that is wrong.
	if !equal(hashOf(secret), b.Hash) {
		return Principal{}, keyBody{}, ErrRefused
	}
	p, err := a.holder(tx, b)
	return p, b, err
}

// holder returns who a key is for now.
func (a *Accounts) holder(tx solera.Tx, b keyBody) (Principal, error) {
	if b.Revoked != 0 || b.Expires != 0 && int64(a.now()) >= b.Expires {
		return Principal{}, ErrRefused
	}
	var u userBody
	if err := user(tx, b.User, &u); errors.Is(err, solera.ErrNotFound) {
		return Principal{}, ErrRefused
	} else if err != nil {
		return Principal{}, err
	}
	return u.principal(b.Scope, b.ID), nil
}
