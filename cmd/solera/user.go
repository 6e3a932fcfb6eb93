package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/httpd"
)

// workspaceName is the workspace that every server has: the store that it was
// started on, which also has the accounts.
const workspaceName = "default"

// noRole takes a role away.
const noRole = "none"

func (a *app) userCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "user",
		Short: "Say who may sign in to the server of this store, and make their keys",
		Long: `List the users who may sign in to a server of this store, and their roles: a viewer
sees everything, an editor also writes and deletes, an admin also gives others
their roles. Who can read the files of the store, or its database, may do all
this without signing in. A running server follows what the verbs below change.`,
		Example: "  solera user add ana --role editor\n  solera user key ana --for laptop",
		Args:    noArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.listUsers(c.Context()) },
	}
	c.AddCommand(a.userAddCommand(), a.userListCommand(), a.userRoleCommand(), a.userPasswordCommand(), a.userRemoveCommand(),
		a.userKeyCommand(), a.userKeysCommand(), a.userRevokeCommand())
	return c
}

// withAccounts calls fn with the accounts of the store.
func (a *app) withAccounts(ctx context.Context, create bool, fn func(*auth.Accounts) error) error {
	records, err := a.storeHome()
	if err != nil {
		return err
	}
	db, _, err := a.openRecords(ctx, records, create)
	if err != nil {
		return err
	}
	return errors.Join(fn(auth.New(db, auth.Options{})), db.Close())
}

// named is an argument list of one user, key or whatever.
func named(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage("solera user %s takes one argument: %s", c.Name(), what)
		}
		return nil
	}
}

func (a *app) userAddCommand() *cobra.Command {
	role, in := string(auth.Viewer), workspaceName
	var admin, password bool
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user",
		Long: `Add a user. With --password the password is asked for, or read from the first line
of the input; without one the user signs in with keys (solera user key).`,
		Args: named("the name"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := httpd.CheckWorkspace(in); err != nil {
				return usage("--workspace: %v", err)
			}
			u := auth.User{Name: args[0], Admin: admin}
			switch auth.Role(role) {
			case noRole:
			default:
				if err := auth.CheckRole(auth.Role(role)); err != nil {
					return usage("--role: %v", err)
				}
				u.Roles = map[string]auth.Role{in: auth.Role(role)}
			}
			secret := ""
			if password {
				var err error
				if secret, err = a.askPassword(c.Context()); err != nil {
					return err
				}
			}
			return a.withAccounts(c.Context(), true, func(x *auth.Accounts) error {
				if err := x.AddUser(c.Context(), u, secret); err != nil {
					return err
				}
				return a.tellUser(c.Context(), x, u.Name)
			})
		},
	}
	c.Flags().StringVar(&role, "role", role, "what the user may do: `ROLE` is viewer, editor, admin or none")
	c.Flags().StringVar(&in, "workspace", in, "the workspace `NAME` that the role is in")
	c.Flags().BoolVar(&admin, "server", false, "the user manages the server: users, keys and everything else")
	c.Flags().BoolVar(&password, "password", false, "ask for a password")
	return c
}

func (a *app) tellUser(ctx context.Context, x *auth.Accounts, name string) error {
	u, err := x.User(ctx, name)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(u)
	}
	return a.printf("%s: %s\n", u.Name, userRole(u))
}

func userRole(u auth.User) string {
	if u.Admin {
		return "manages the server"
	}
	var list []string
	for _, w := range slices.Sorted(maps.Keys(u.Roles)) {
		name := string(u.Roles[w])
		if w != workspaceName {
			name += " of " + w
		}
		list = append(list, name)
	}
	if len(list) == 0 {
		return noRole
	}
	return strings.Join(list, ", ")
}

func (a *app) userListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the users", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.listUsers(c.Context()) },
	}
}

func (a *app) listUsers(ctx context.Context) error {
	return a.withAccounts(ctx, false, func(x *auth.Accounts) error {
		list, err := x.Users(ctx)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(list)
		}
		if len(list) == 0 {
			return a.printf("There are no users: %s user add adds one.\n", a.self())
		}
		keys, err := x.Keys(ctx, "")
		if err != nil {
			return err
		}
		valid := map[string]int{}
		for _, k := range keys {
			if keyState(k) == "valid" {
				valid[k.User]++
			}
		}
		var rows [][]string
		for _, u := range list {
			password := "no"
			if u.Password {
				password = "yes"
			}
			rows = append(rows, []string{u.Name, userRole(u), password, strconv.Itoa(valid[u.Name]), u.Created.Time().Format(time.DateOnly)})
		}
		return a.printTable([]string{"USER", "ROLE", "PASSWORD", "VALID KEYS", "SINCE"}, rows)
	})
}

func (a *app) userRoleCommand() *cobra.Command {
	var server bool
	in := workspaceName
	c := &cobra.Command{
		Use:   "role NAME ROLE",
		Short: "Change what a user may do: viewer, editor, admin or none",
		Example: "  solera user role ana editor\n" +
			"  solera user role ana admin --server   # manages users, keys and everything else",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage("solera user role takes a name and a role")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			name, role := args[0], auth.Role(args[1])
			if role != noRole && auth.CheckRole(role) != nil || server && role != noRole && role != auth.Admin {
				want := "viewer, editor, admin or none"
				if server {
					want = "admin or none"
				}
				return usage("role %q: want %s", args[1], want)
			}
			if server && c.Flags().Changed("workspace") {
				return usage("--server and --workspace: the one is the role in all workspaces, the other in one")
			}
			if err := httpd.CheckWorkspace(in); err != nil {
				return usage("--workspace: %v", err)
			}
			return a.withAccounts(c.Context(), false, func(x *auth.Accounts) error {
				var err error
				switch {
				case server:
					err = x.SetAdmin(c.Context(), name, role == auth.Admin)
				case role == noRole:
					err = x.SetRole(c.Context(), name, in, "")
				default:
					err = x.SetRole(c.Context(), name, in, role)
				}
				if err != nil {
					return err
				}
				return a.tellUser(c.Context(), x, name)
			})
		},
	}
	c.Flags().BoolVar(&server, "server", false, "the role in the server itself")
	c.Flags().StringVar(&in, "workspace", in, "the workspace `NAME` that the role is in")
	return c
}

func (a *app) userPasswordCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "password NAME",
		Short: "Give a user another password; all their sessions end",
		Args:  named("the name"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withAccounts(c.Context(), false, func(x *auth.Accounts) error {
				if _, err := x.User(c.Context(), args[0]); err != nil {
					return err
				}
				secret, err := a.askPassword(c.Context())
				if err != nil {
					return err
				}
				if err := x.SetPassword(c.Context(), args[0], secret); err != nil {
					return err
				}
				return a.tellUser(c.Context(), x, args[0])
			})
		},
	}
}

// askPassword reads a password, at a terminal twice and unseen, else as a line.
func (a *app) askPassword(ctx context.Context) (string, error) {
	f, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(a.stdin, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		return line, auth.CheckPassword(line)
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(a.stderr, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.stderr)
		if err == nil {
			err = ctx.Err()
		}
		return string(b), err
	}
	first, err := ask("Password: ")
	if err == nil {
		err = auth.CheckPassword(first)
	}
	if err != nil {
		return "", err
	}
	second, err := ask("Once more: ")
	if err == nil && first != second {
		err = fmt.Errorf("password: %w: the two are not equal", solera.ErrInvalid)
	}
	return first, err
}

func (a *app) userRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a user with all keys and sessions",
		Args:  named("the name"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withAccounts(c.Context(), false, func(x *auth.Accounts) error {
				if err := x.RemoveUser(c.Context(), args[0]); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(struct {
						Removed string `json:"removed"`
					}{args[0]})
				}
				return a.printf("%s can no longer sign in.\n", args[0])
			})
		},
	}
}

func (a *app) userKeyCommand() *cobra.Command {
	scope, expires, purpose := string(auth.Write), "", ""
	c := &cobra.Command{
		Use:   "key NAME",
		Short: "Make an API key for a user, and show it once",
		Long: `Make an API key, with which a program or the dashboard acts for a user. It is shown
once and kept nowhere: the store has its SHA-256. Whatever the scope, a key can
do no more than its user may.`,
		Example: "  solera user key ana --scope read --expires 90d --for \"build service\"",
		Args:    named("the name"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := auth.CheckScope(auth.Scope(scope)); err != nil {
				return usage("--scope: %v", err)
			}
			until, err := expiry(expires, time.Now())
			if err != nil {
				return err
			}
			return a.withAccounts(c.Context(), false, func(x *auth.Accounts) error {
				secret, key, err := x.AddKey(c.Context(), auth.Key{User: args[0], Name: purpose, Scope: auth.Scope(scope), Expires: until})
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(struct {
						Secret string `json:"key"`
						auth.Key
					}{secret, key})
				}
				return a.printf("%s\n", secret)
			})
		},
	}
	c.Flags().StringVar(&scope, "scope", scope, "the most that it can do: `SCOPE` is read, write or admin")
	c.Flags().StringVar(&expires, "expires", "", "it ends after `TIME`, such as 90d or 12h, or on a day, such as 2027-01-31; never if not given")
	c.Flags().StringVar(&purpose, "for", "", "what it is for, as a `TEXT`")
	return c
}

// expiry reads when a key ends.
func expiry(s string, now time.Time) (solera.Micros, error) {
	if s == "" {
		return 0, nil
	}
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return solera.MicrosOf(day), nil
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, nerr := strconv.ParseUint(days, 10, 16)
		d, err = time.Duration(n)*24*time.Hour, nerr
	}
	if err != nil || d <= 0 {
		return 0, usage("--expires %s: want a time such as 90d or 12h, or a day such as 2027-01-31", s)
	}
	return solera.MicrosOf(now.Add(d)), nil
}

func keyState(k auth.Key) string {
	switch {
	case k.Revoked != 0:
		return "revoked"
	case k.Expires != 0 && k.Expires <= solera.MicrosOf(time.Now()):
		return "expired"
	}
	return "valid"
}

func (a *app) userKeysCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "keys [NAME]",
		Short: "List API keys, without what is secret of them",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("solera user keys takes at most one name")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return a.withAccounts(c.Context(), false, func(x *auth.Accounts) error {
				name := ""
				if len(args) > 0 {
					u, err := x.User(c.Context(), args[0])
					if err != nil {
						return err
					}
					name = u.Name
				}
				list, err := x.Keys(c.Context(), name)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(list)
				}
				if len(list) == 0 {
					return a.printf("There are no keys: %s user key makes one.\n", a.self())
				}
				var rows [][]string
				for _, k := range list {
					ends := "never"
					if k.Expires != 0 {
						ends = k.Expires.Time().Format(time.DateOnly)
					}
					rows = append(rows, []string{k.ID, k.User, k.Name, string(k.Scope), keyState(k), k.Created.Time().Format(time.DateOnly), ends})
				}
				return a.printTable([]string{"KEY", "USER", "FOR", "SCOPE", "STATE", "SINCE", "ENDS"}, rows)
			})
		},
	}
}

func (a *app) userRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke KEY",
		Short: "Make an API key worthless, at once and for good",
		Long:  "Make an API key worthless, at once and for good. KEY is its identifier, as\nsolera user keys shows it: the first letters after solera_.",
		Args:  named("the identifier of the key"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withAccounts(c.Context(), false, func(x *auth.Accounts) error {
				if err := x.RevokeKey(c.Context(), args[0]); err != nil {
					return err
				}
				k, err := x.Key(c.Context(), args[0])
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(k)
				}
				return a.printf("The key %s of %s is revoked.\n", k.ID, k.User)
			})
		},
	}
}
