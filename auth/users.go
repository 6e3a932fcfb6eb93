package auth

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/solera-ml/solera"
)

// A User is somebody who may sign in.
type User struct {
	Name     string          `json:"name"`     // as CheckName wants it; capitals make no other user
	Admin    bool            `json:"admin"`    // of the server: an admin of every workspace
	Roles    map[string]Role `json:"roles"`    // by workspace
	Password bool            `json:"password"` // has one; without, keys are the only way in
	Created  solera.Micros   `json:"created"`
}

// userBody is what the document of a user holds.
type userBody struct {
	Name     string          `json:"name"`
	Admin    bool            `json:"admin,omitempty"`
	Roles    map[string]Role `json:"roles,omitempty"`
	Password string          `json:"password,omitempty"` // as hashPassword gives it
	Created  int64           `json:"created"`
}

func (b userBody) user() User {
	roles := maps.Clone(b.Roles)
	if roles == nil {
		roles = map[string]Role{}
	}
	return User{Name: b.Name, Admin: b.Admin, Roles: roles, Password: b.Password != "", Created: solera.Micros(b.Created)}
}

func (b userBody) principal(scope Scope, key string) Principal {
	return Principal{User: b.Name, Key: key, admin: b.Admin, roles: b.Roles, scope: scope}
}

func checkUser(u User) error {
	if err := solera.CheckName(u.Name); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	for workspace, role := range u.Roles {
		if err := errors.Join(solera.CheckName(workspace), CheckRole(role)); err != nil {
			return err
		}
	}
	return nil
}

// Any reports whether there is a user at all.
func (a *Accounts) Any(ctx context.Context) (any bool, err error) {
	err = a.store.View(ctx, func(tx solera.Tx) error {
		list, err := tx.Documents(userKind)
		any = len(list) > 0
		return err
	})
	return any, err
}

// First makes the user admin and a key of full scope where there is no user
// yet, and returns the key; "" where there is one.
func (a *Accounts) First(ctx context.Context) (secret string, err error) {
	drawn, key, err := a.draw(Key{User: "admin", Name: "first start", Scope: Full})
	if err != nil {
		return "", err
	}
	err = a.store.Update(ctx, func(tx solera.Tx) error {
		secret = ""
		list, err := tx.Documents(userKind)
		if err != nil || len(list) > 0 {
			return err
		}
		secret = drawn
		return errors.Join(
			put(tx, userKind, "admin", userBody{Name: "admin", Admin: true, Created: int64(a.now())}),
			put(tx, keyKind, key.id(), key))
	})
	if err != nil {
		return "", fmt.Errorf("make the first admin: %w", err)
	}
	return secret, nil
}

// AddUser adds a user. A name that is taken, in capitals or not, is
// ErrConflict. With password "" the user signs in by keys alone.
func (a *Accounts) AddUser(ctx context.Context, u User, password string) error {
	if err := checkUser(u); err != nil {
		return err
	}
	hash, err := a.hash(ctx, password)
	if err != nil {
		return err
	}
	return a.store.Update(ctx, func(tx solera.Tx) error {
		_, err := tx.Document(userKind, fold(u.Name))
		switch {
		case err == nil:
			return fmt.Errorf("user %s: %w: the name is taken", u.Name, solera.ErrConflict)
		case !errors.Is(err, solera.ErrNotFound):
			return err
		}
		return put(tx, userKind, fold(u.Name), userBody{
			Name: u.Name, Admin: u.Admin, Roles: u.Roles, Password: hash, Created: int64(a.now()),
		})
	})
}

// User returns a user by name.
func (a *Accounts) User(ctx context.Context, name string) (User, error) {
	var b userBody
	err := a.store.View(ctx, func(tx solera.Tx) error { return user(tx, name, &b) })
	return b.user(), err
}

func user(tx solera.Tx, name string, b *userBody) error {
	*b = userBody{}
	// A name that no user can have is not asked for: a database may refuse it
	// in other words.
	if solera.CheckName(name) != nil {
		return fmt.Errorf("user %.40q: %w", name, solera.ErrNotFound)
	}
	err := get(tx, userKind, fold(name), b)
	if errors.Is(err, solera.ErrNotFound) {
		return fmt.Errorf("user %s: %w", name, solera.ErrNotFound)
	}
	return err
}

// Users returns all users by name.
func (a *Accounts) Users(ctx context.Context) ([]User, error) {
	var list []User
	err := a.store.View(ctx, func(tx solera.Tx) error {
		list = []User{}
		return each(tx, userKind, func(_ string, b userBody) error {
			list = append(list, b.user())
			return nil
		})
	})
	return list, err
}

// SetRole gives a user a role in a workspace, "" none.
func (a *Accounts) SetRole(ctx context.Context, name, workspace string, role Role) error {
	if err := solera.CheckName(workspace); err != nil {
		return fmt.Errorf("workspace: %w", err)
	}
	if role != "" {
		if err := CheckRole(role); err != nil {
			return err
		}
	}
	return a.change(ctx, name, func(tx solera.Tx, b *userBody) error {
		if b.Roles == nil {
			b.Roles = map[string]Role{}
		}
		b.Roles[workspace] = role
		if role == "" {
			delete(b.Roles, workspace)
		}
		return nil
	})
}

// SetAdmin makes a user an admin of the server, or no longer. The last one
// stays: ErrConflict.
func (a *Accounts) SetAdmin(ctx context.Context, name string, admin bool) error {
	return a.change(ctx, name, func(tx solera.Tx, b *userBody) error {
		if b.Admin && !admin {
			if err := notLast(tx, b.Name); err != nil {
				return err
			}
		}
		b.Admin = admin
		return nil
	})
}

// SetPassword gives a user a password, with "" takes it away. All sessions of
// the user end.
func (a *Accounts) SetPassword(ctx context.Context, name, password string) error {
	hash, err := a.hash(ctx, password)
	if err != nil {
		return err
	}
	return a.change(ctx, name, func(tx solera.Tx, b *userBody) error {
		b.Password = hash
		return endSessions(tx, func(s sessionBody) bool { return s.User == fold(b.Name) })
	})
}

func (a *Accounts) change(ctx context.Context, name string, fn func(solera.Tx, *userBody) error) error {
	return a.store.Update(ctx, func(tx solera.Tx) error {
		var b userBody
		if err := user(tx, name, &b); err != nil {
			return err
		}
		if err := fn(tx, &b); err != nil {
			return err
		}
		return put(tx, userKind, fold(name), b)
	})
}

// RemoveUser removes a user with all keys and sessions. The last admin of the
// server stays: ErrConflict.
func (a *Accounts) RemoveUser(ctx context.Context, name string) error {
	return a.store.Update(ctx, func(tx solera.Tx) error {
		var b userBody
		if err := user(tx, name, &b); err != nil {
			return err
		}
		if b.Admin {
			if err := notLast(tx, b.Name); err != nil {
				return err
			}
		}
		err := each(tx, keyKind, func(id string, k keyBody) error {
			if k.User != fold(name) {
				return nil
			}
			return tx.DeleteDocument(keyKind, id)
		})
		if err != nil {
			return err
		}
		if err := endSessions(tx, func(s sessionBody) bool { return s.User == fold(name) }); err != nil {
			return err
		}
		return tx.DeleteDocument(userKind, fold(name))
	})
}

// notLast reports ErrConflict if nobody but name is an admin of the server.
func notLast(tx solera.Tx, name string) error {
	others := 0
	err := each(tx, userKind, func(id string, b userBody) error {
		if b.Admin && id != fold(name) {
			others++
		}
		return nil
	})
	if err == nil && others == 0 {
		err = fmt.Errorf("user %s: %w: nobody else is an admin; make somebody one first", name, solera.ErrConflict)
	}
	return err
}
