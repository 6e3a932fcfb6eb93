package auth_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/store"
)

// A place is a store with accounts and a clock that tests turn.
type place struct {
	*auth.Accounts
	store solera.Store
	mu    sync.Mutex
	now   time.Time
}

func (p *place) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *place) wait(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

func newPlace(t *testing.T) *place {
	t.Helper()
	db, err := store.OpenSQLite(context.Background(), filepath.Join(t.TempDir(), "solera.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	p := &place{store: db, now: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
	p.Accounts = auth.New(db, auth.Options{Clock: p.clock})
	return p
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got %v, want %v", err, kind)
	}
}

func (p *place) user(t *testing.T, name string, role auth.Role, password string) {
	t.Helper()
	ok(t, p.AddUser(t.Context(), auth.User{Name: name, Roles: map[string]auth.Role{"default": role}}, password))
}

func (p *place) key(t *testing.T, k auth.Key) (string, auth.Key) {
	t.Helper()
	secret, made, err := p.AddKey(t.Context(), k)
	ok(t, err)
	return secret, made
}

func TestRolesAndScopes(t *testing.T) {
	p := newPlace(t)
	for _, role := range []auth.Role{auth.Viewer, auth.Editor, auth.Admin} {
		p.user(t, string(role), role, "")
	}
	ok(t, p.AddUser(t.Context(), auth.User{Name: "root", Admin: true}, ""))
	ok(t, p.AddUser(t.Context(), auth.User{Name: "nothing"}, ""))
	tests := []struct {
		user   string
		scope  auth.Scope
		role   auth.Role // in default
		other  auth.Role // in a workspace where nobody was given one
		admin  bool
		itsAll bool
	}{
		{"viewer", auth.Read, auth.Viewer, "", false, false},
		{"viewer", auth.Full, auth.Viewer, "", false, true},
		{"editor", auth.Read, auth.Viewer, "", false, false},
		{"editor", auth.Write, auth.Editor, "", false, false},
		{"editor", auth.Full, auth.Editor, "", false, true},
		{"admin", auth.Write, auth.Editor, "", false, false},
		{"admin", auth.Full, auth.Admin, "", false, true},
		{"root", auth.Read, auth.Viewer, auth.Viewer, false, false},
		{"root", auth.Write, auth.Editor, auth.Editor, false, false},
		{"root", auth.Full, auth.Admin, auth.Admin, true, true},
		{"nothing", auth.Full, "", "", false, true},
	}
	for _, tt := range tests {
		t.Run(tt.user+" "+string(tt.scope), func(t *testing.T) {
			secret, made := p.key(t, auth.Key{User: tt.user, Scope: tt.scope})
			who, err := p.ByKey(t.Context(), secret)
			ok(t, err)
			if who.User != tt.user || who.Key != made.ID || !who.Known() || who.Open {
				t.Errorf("got %+v", who)
			}
			if got := who.Role("default"); got != tt.role {
				t.Errorf("role %q, want %q", got, tt.role)
			}
			if got := who.Role("other"); got != tt.other {
				t.Errorf("role elsewhere %q, want %q", got, tt.other)
			}
			if who.Admin() != tt.admin || who.Full() != tt.itsAll {
				t.Errorf("admin %v, full %v", who.Admin(), who.Full())
			}
			for _, need := range []auth.Role{auth.Viewer, auth.Editor, auth.Admin} {
				if got, want := who.Allows("default", need), tt.role.Allows(need); got != want {
					t.Errorf("allows %s: %v, want %v", need, got, want)
				}
			}
		})
	}
	var nobody auth.Principal
	if nobody.Known() || nobody.Role("default") != "" || nobody.Admin() || nobody.Allows("default", auth.Viewer) || nobody.Allows("default", "") {
		t.Error("nobody may do something")
	}
	if all := auth.Anyone(); !all.Known() || !all.Admin() || !all.Allows("any", auth.Admin) || all.User != "" {
		t.Error("an open server refuses something")
	}
	if got := auth.PrincipalOf(t.Context()); got.Known() {
		t.Error("a context without anybody has somebody")
	}
}

func TestKeys(t *testing.T) {
	p := newPlace(t)
	ctx := t.Context()
	p.user(t, "Ana", auth.Editor, "")
	secret, made := p.key(t, auth.Key{User: "ana", Name: "laptop ñ", Scope: auth.Write})
	if !strings.HasPrefix(secret, "solera_") || len(secret) != 50 || strings.Contains(secret, "-") {
		t.Errorf("the key %q has another form", secret)
	}
	if made.User != "Ana" || made.Name != "laptop ñ" || made.Expires != 0 || made.Revoked != 0 || !strings.HasPrefix(secret[7:], made.ID) {
		t.Errorf("got %+v", made)
	}
	if again, _ := p.key(t, auth.Key{User: "Ana", Scope: auth.Read}); again == secret {
		t.Error("two keys are equal")
	}

	other := "A"
	if strings.HasSuffix(secret, "A") {
		other = "B"
	}
	for name, bad := range map[string]string{
		"nothing": "", "the prefix": "solera_", "one letter less": secret[:49], "one more": secret + "a",
		"another last letter": secret[:49] + other, "other capitals": strings.ToUpper(secret), "no prefix": secret[7:],
		"an unknown one": "solera_" + strings.Repeat("x", 43), "a space before": " " + secret, "zero byte": secret[:49] + "\x00",
		"look-alikes": strings.Replace(secret, "solera", "sоlera", 1), "very long": strings.Repeat("solera_", 1<<20),
		"sql": "solera_' OR 1=1 --" + strings.Repeat("a", 28), "its hash": made.ID, "no utf-8": "solera_" + strings.Repeat("\xff", 43),
	} {
		if _, err := p.ByKey(ctx, bad); !errors.Is(err, auth.ErrRefused) {
			t.Errorf("%s: got %v, want ErrRefused", name, err)
		}
	}

	t.Run("it ends", func(t *testing.T) {
		soon, _ := p.key(t, auth.Key{User: "ana", Scope: auth.Full, Expires: solera.MicrosOf(p.clock().Add(time.Hour))})
		p.wait(time.Hour - time.Second)
		_, err := p.ByKey(ctx, soon)
		ok(t, err)
		p.wait(time.Second)
		_, err = p.ByKey(ctx, soon)
		wantErr(t, err, auth.ErrRefused)
		_, _, err = p.AddKey(ctx, auth.Key{User: "ana", Scope: auth.Full, Expires: solera.MicrosOf(p.clock())})
		wantErr(t, err, solera.ErrInvalid)
	})
	t.Run("it is revoked", func(t *testing.T) {
		session, err := p.SignInByKey(ctx, secret)
		ok(t, err)
		ok(t, p.RevokeKey(ctx, made.ID))
		ok(t, p.RevokeKey(ctx, made.ID))
		_, err = p.ByKey(ctx, secret)
		wantErr(t, err, auth.ErrRefused)
		_, err = p.BySession(ctx, session.Token)
		wantErr(t, err, auth.ErrRefused)
		k, err := p.Key(ctx, made.ID)
		ok(t, err)
		if k.Revoked == 0 {
			t.Error("the list does not say that it is revoked")
		}
		for _, id := range []string{"", "x", "0123456789", "' OR 1=1 --", "\x00", strings.Repeat("x", 1000)} {
			wantErr(t, p.RevokeKey(ctx, id), solera.ErrNotFound)
		}
	})
	t.Run("it is for a user", func(t *testing.T) {
		for _, bad := range []auth.Key{
			{User: "nobody", Scope: auth.Read}, {User: "", Scope: auth.Read}, {User: "../ana", Scope: auth.Read}, {User: "a\x00", Scope: auth.Read},
		} {
			_, _, err := p.AddKey(ctx, bad)
			wantErr(t, err, solera.ErrNotFound)
		}
		for _, bad := range []auth.Key{
			{User: "ana"},
			{User: "ana", Scope: "root"},
			{User: "ana", Scope: auth.Read, Name: strings.Repeat("x", 101)},
			{User: "ana", Scope: auth.Read, Name: "a\nb"},
			{User: "ana", Scope: auth.Read, Name: "\xff"},
		} {
			_, _, err := p.AddKey(ctx, bad)
			wantErr(t, err, solera.ErrInvalid)
		}
	})
	t.Run("a role that is taken away takes effect at once", func(t *testing.T) {
		secret, _ := p.key(t, auth.Key{User: "ana", Scope: auth.Full})
		ok(t, p.SetRole(ctx, "ANA", "default", auth.Viewer))
		who, err := p.ByKey(ctx, secret)
		ok(t, err)
		if who.Role("default") != auth.Viewer {
			t.Errorf("role %q", who.Role("default"))
		}
		ok(t, p.SetRole(ctx, "ana", "default", ""))
		if who, err = p.ByKey(ctx, secret); err != nil || who.Role("default") != "" {
			t.Errorf("role %q, %v", who.Role("default"), err)
		}
	})
}

func TestPasswords(t *testing.T) {
	p := newPlace(t)
	ctx := t.Context()
	const right = "correct horse battery ñ"
	p.user(t, "ana", auth.Editor, right)
	p.user(t, "ben", auth.Viewer, "")
	session, err := p.SignIn(ctx, "Ana", right)
	ok(t, err)
	if session.Principal.User != "ana" || !session.Principal.Full() || session.Principal.Role("default") != auth.Editor {
		t.Errorf("got %+v", session.Principal)
	}
	for _, try := range [][2]string{
		{"ana", ""},
		{"ana", right + " "},
		{"ana", strings.ToUpper(right)},
		{"ana", strings.Repeat("x", 1<<20)},
		{"ben", ""},
		{"ben", right},
		{"ben", string(make([]byte, 32))},
		{"nobody", right},
		{"", ""},
		{"a\x00", right},
		{"../../ana", right},
	} {
		if _, err := p.SignIn(ctx, try[0], try[1]); !errors.Is(err, auth.ErrRefused) {
			t.Errorf("%q with %.30q: got %v, want ErrRefused", try[0], try[1], err)
		}
	}
	for _, bad := range []string{"short", "elevenchars", strings.Repeat("x", 513), "twelve chars\xff"} {
		wantErr(t, p.SetPassword(ctx, "ana", bad), solera.ErrInvalid)
		wantErr(t, p.AddUser(ctx, auth.User{Name: "new"}, bad), solera.ErrInvalid)
	}
	if _, err := p.BySession(ctx, session.Token); err != nil {
		t.Errorf("a refused change ended the session: %v", err)
	}
	ok(t, p.SetPassword(ctx, "ana", "another good one"))
	_, err = p.BySession(ctx, session.Token)
	wantErr(t, err, auth.ErrRefused)
	_, err = p.SignIn(ctx, "ana", right)
	wantErr(t, err, auth.ErrRefused)
	_, err = p.SignIn(ctx, "ana", "another good one")
	ok(t, err)
	ok(t, p.SetPassword(ctx, "ana", ""))
	_, err = p.SignIn(ctx, "ana", "")
	wantErr(t, err, auth.ErrRefused)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := p.SignIn(cancelled, "ana", right); err == nil || errors.Is(err, auth.ErrRefused) {
		t.Errorf("a sign-in that nobody waits for: %v", err)
	}
}

func TestSessions(t *testing.T) {
	ctx := context.Background()
	const day = 24 * time.Hour
	t.Run("they end when nobody uses them", func(t *testing.T) {
		p := newPlace(t)
		p.user(t, "ana", auth.Editor, "correct horse battery")
		s, err := p.SignIn(ctx, "ana", "correct horse battery")
		ok(t, err)
		for range 3 {
			p.wait(6 * day)
			_, err = p.BySession(ctx, s.Token)
			ok(t, err)
		}
		p.wait(7 * day)
		_, err = p.BySession(ctx, s.Token)
		wantErr(t, err, auth.ErrRefused)
	})
	t.Run("they end after a month in any case", func(t *testing.T) {
		p := newPlace(t)
		p.user(t, "ana", auth.Editor, "correct horse battery")
		s, err := p.SignIn(ctx, "ana", "correct horse battery")
		ok(t, err)
		if want := solera.MicrosOf(p.clock().Add(30 * day)); s.Expires != want {
			t.Errorf("expires %v, want %v", s.Expires, want)
		}
		for range 29 {
			p.wait(day)
			_, err = p.BySession(ctx, s.Token)
			ok(t, err)
		}
		p.wait(day)
		_, err = p.BySession(ctx, s.Token)
		wantErr(t, err, auth.ErrRefused)
	})
	t.Run("a look writes nothing", func(t *testing.T) {
		p := newPlace(t)
		p.user(t, "ana", auth.Editor, "correct horse battery")
		s, err := p.SignIn(ctx, "ana", "correct horse battery")
		ok(t, err)
		before := entries(t, p.store)
		for range 20 {
			p.wait(time.Minute)
			_, err = p.BySession(ctx, s.Token)
			ok(t, err)
		}
		if after := entries(t, p.store); after != before {
			t.Errorf("20 looks wrote %d entries of the audit log", after-before)
		}
	})
	t.Run("of a key they can do what it can", func(t *testing.T) {
		p := newPlace(t)
		p.user(t, "ana", auth.Admin, "")
		secret, made := p.key(t, auth.Key{User: "ana", Scope: auth.Read, Expires: solera.MicrosOf(p.clock().Add(day))})
		s, err := p.SignInByKey(ctx, secret)
		ok(t, err)
		who, err := p.BySession(ctx, s.Token)
		ok(t, err)
		if who.Role("default") != auth.Viewer || who.Key != made.ID || who.Full() {
			t.Errorf("got %+v", who)
		}
		p.wait(day)
		_, err = p.BySession(ctx, s.Token)
		wantErr(t, err, auth.ErrRefused)
		_, err = p.SignInByKey(ctx, secret)
		wantErr(t, err, auth.ErrRefused)
	})
	t.Run("signing out ends one of them", func(t *testing.T) {
		p := newPlace(t)
		p.user(t, "ana", auth.Editor, "correct horse battery")
		a, err := p.SignIn(ctx, "ana", "correct horse battery")
		ok(t, err)
		b, err := p.SignIn(ctx, "ana", "correct horse battery")
		ok(t, err)
		ok(t, p.SignOut(ctx, a.Token))
		ok(t, p.SignOut(ctx, a.Token))
		ok(t, p.SignOut(ctx, "\x00"))
		_, err = p.BySession(ctx, a.Token)
		wantErr(t, err, auth.ErrRefused)
		_, err = p.BySession(ctx, b.Token)
		ok(t, err)
	})
	t.Run("forged tokens are refused", func(t *testing.T) {
		p := newPlace(t)
		p.user(t, "ana", auth.Editor, "correct horse battery")
		s, err := p.SignIn(ctx, "ana", "correct horse battery")
		ok(t, err)
		for _, bad := range []string{"", s.Token[1:], s.Token + "a", strings.ToLower(s.Token), strings.Repeat("A", 43), strings.Repeat("\x00", 43), "' OR 1=1 --"} {
			_, err = p.BySession(ctx, bad)
			wantErr(t, err, auth.ErrRefused)
		}
	})
	t.Run("a user has so many and no more", func(t *testing.T) {
		p := newPlace(t)
		p.user(t, "ana", auth.Editor, "")
		secret, _ := p.key(t, auth.Key{User: "ana", Scope: auth.Read})
		var first auth.Session
		for i := range 60 {
			p.wait(time.Second)
			s, err := p.SignInByKey(ctx, secret)
			ok(t, err)
			if i == 0 {
				first = s
			}
		}
		_, err := p.BySession(ctx, first.Token)
		wantErr(t, err, auth.ErrRefused)
		if n := documents(t, p.store, "session"); n != 50 {
			t.Errorf("%d sessions, want 50", n)
		}
		p.wait(8 * day)
		_, err = p.SignInByKey(ctx, secret)
		ok(t, err)
		if n := documents(t, p.store, "session"); n != 1 {
			t.Errorf("%d sessions, want 1: those that ended are removed", n)
		}
	})
}

func documents(t *testing.T, s solera.Store, kind string) (n int) {
	t.Helper()
	ok(t, s.View(context.Background(), func(tx solera.Tx) error {
		list, err := tx.Documents(kind)
		n = len(list)
		return err
	}))
	return n
}

func entries(t *testing.T, s solera.Store) (n int) {
	t.Helper()
	ok(t, s.View(context.Background(), func(tx solera.Tx) error {
		list, err := tx.Audit(solera.AuditQuery{})
		n = len(list)
		return err
	}))
	return n
}

func TestUsers(t *testing.T) {
	p := newPlace(t)
	ctx := t.Context()
	p.user(t, "Ana", auth.Editor, "")
	wantErr(t, p.AddUser(ctx, auth.User{Name: "aNA"}, ""), solera.ErrConflict)
	for _, name := range []string{"", "a b", "../x", "a/b", "ana\x00", "аna", strings.Repeat("x", 129), "-x", "a@b", "\xff"} {
		wantErr(t, p.AddUser(ctx, auth.User{Name: name}, ""), solera.ErrInvalid)
		_, err := p.User(ctx, name)
		wantErr(t, err, solera.ErrNotFound)
		wantErr(t, p.RemoveUser(ctx, name), solera.ErrNotFound)
	}
	for _, roles := range []map[string]auth.Role{{"default": "root"}, {"default": ""}, {"": auth.Viewer}, {"a/b": auth.Viewer}} {
		wantErr(t, p.AddUser(ctx, auth.User{Name: "x", Roles: roles}, ""), solera.ErrInvalid)
	}
	wantErr(t, p.SetRole(ctx, "ana", "default", "root"), solera.ErrInvalid)
	wantErr(t, p.SetRole(ctx, "ana", "../x", auth.Viewer), solera.ErrInvalid)
	wantErr(t, p.SetRole(ctx, "nobody", "default", auth.Viewer), solera.ErrNotFound)
	wantErr(t, p.SetAdmin(ctx, "nobody", true), solera.ErrNotFound)
	ok(t, p.SetRole(ctx, "ana", "team", auth.Admin))
	u, err := p.User(ctx, "ANA")
	ok(t, err)
	if u.Name != "Ana" || u.Roles["team"] != auth.Admin || u.Roles["default"] != auth.Editor || u.Admin || u.Password {
		t.Errorf("got %+v", u)
	}

	ok(t, p.SetAdmin(ctx, "ana", true))
	wantErr(t, p.SetAdmin(ctx, "ana", false), solera.ErrConflict)
	wantErr(t, p.RemoveUser(ctx, "ana"), solera.ErrConflict)
	ok(t, p.AddUser(ctx, auth.User{Name: "ben", Admin: true}, "correct horse battery"))
	secret, _ := p.key(t, auth.Key{User: "ana", Scope: auth.Full})
	others, _ := p.key(t, auth.Key{User: "ben", Scope: auth.Full})
	s, err := p.SignInByKey(ctx, secret)
	ok(t, err)
	ok(t, p.RemoveUser(ctx, "ANA"))
	_, err = p.ByKey(ctx, secret)
	wantErr(t, err, auth.ErrRefused)
	_, err = p.BySession(ctx, s.Token)
	wantErr(t, err, auth.ErrRefused)
	_, err = p.ByKey(ctx, others)
	ok(t, err)
	// Another user of the name does not come into what the first had.
	p.user(t, "ana", auth.Viewer, "")
	_, err = p.ByKey(ctx, secret)
	wantErr(t, err, auth.ErrRefused)
	list, err := p.Users(ctx)
	ok(t, err)
	var names []string
	for _, u := range list {
		names = append(names, u.Name)
	}
	if !slices.Equal(names, []string{"ana", "ben"}) {
		t.Errorf("got %v", names)
	}
}

func TestFirst(t *testing.T) {
	p := newPlace(t)
	var mu sync.Mutex
	var secrets []string
	var all sync.WaitGroup
	for range 8 { // servers that start at once
		all.Go(func() {
			secret, err := p.First(t.Context())
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if secret != "" {
				secrets = append(secrets, secret)
			}
		})
	}
	all.Wait()
	if len(secrets) != 1 {
		t.Fatalf("%d keys were made, want 1", len(secrets))
	}
	who, err := p.ByKey(t.Context(), secrets[0])
	ok(t, err)
	if !who.Admin() {
		t.Errorf("got %+v", who)
	}
}

// Nothing in the store, its dump or its audit log lets anybody in.
func TestNoSecretIsKept(t *testing.T) {
	p := newPlace(t)
	ctx := t.Context()
	const password = "correct horse battery"
	p.user(t, "ana", auth.Editor, password)
	secret, _ := p.key(t, auth.Key{User: "ana", Scope: auth.Full})
	first, err := p.SignIn(ctx, "ana", password)
	ok(t, err)
	second, err := p.SignInByKey(ctx, secret)
	ok(t, err)
	var b strings.Builder
	ok(t, p.store.Dump(ctx, &b))
	for what, s := range map[string]string{
		"password": password, "key": secret, "letters of the key": secret[7+10:], "session": first.Token, "session of the key": second.Token,
	} {
		if strings.Contains(b.String(), s) {
			t.Errorf("the dump has the %s", what)
		}
	}
	for _, want := range []string{"argon2id", `"kind":"session"`, `"kind":"api-key"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the dump has no %s: the test looks at nothing", want)
		}
	}
	// The log names what changed by digest, not by content.
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, `{"audit"`) && (strings.Contains(line, "argon2id") || strings.Contains(line, "hash\":{") || strings.Contains(line, `"role`)) {
			t.Errorf("the audit log has %s", line)
		}
	}
}

func TestDamagedAccountsOpenNothing(t *testing.T) {
	p := newPlace(t)
	ctx := t.Context()
	p.user(t, "ana", auth.Editor, "correct horse battery")
	secret, made := p.key(t, auth.Key{User: "ana", Scope: auth.Full})
	set := func(kind, id string, body solera.Fields) {
		t.Helper()
		ok(t, p.store.Update(ctx, func(tx solera.Tx) error {
			_, err := tx.SetDocument(solera.Document{Kind: kind, ID: id, Body: body})
			return err
		}))
	}
	for i, body := range []solera.Fields{
		{}, {"hash": ""}, {"hash": 7}, {"hash": nil, "user": "ana", "scope": "admin"}, {"user": []any{}},
	} {
		set("api-key", made.ID, body)
		if who, err := p.ByKey(ctx, secret); err == nil {
			t.Errorf("key %d: %+v came in", i, who)
		}
	}
	for i, hash := range []string{
		"", "argon2id$", "argon2id$v=19$m=19456,t=2,p=1$", "argon2id$v=19$m=19456,t=2,p=1$$", "argon2id$v=19$m=19456,t=2,p=1$AAAA$", "plain",
		"argon2id$v=19$m=19456,t=2,p=1$!!$!!", "argon2id$v=19$m=1,t=1,p=1$AAAA$AAAA",
	} {
		set("user", "ana", solera.Fields{"name": "ana", "password": hash})
		for _, try := range []string{"", "correct horse battery", hash} {
			if _, err := p.SignIn(ctx, "ana", try); !errors.Is(err, auth.ErrRefused) {
				t.Errorf("hash %d: %v", i, err)
			}
		}
	}
}

func ExamplePrincipal_Role() {
	who := auth.Anyone()
	fmt.Println(who.Role("default"), who.Allows("default", auth.Editor))
	// Output: admin true
}
