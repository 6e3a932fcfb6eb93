package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/provenance"
	"github.com/solera-ml/solera/tracking"
)

// A signer is the key with which this process signs what it commits.
type signer struct {
	provenance.Key
	path string // of its file, "" for a key that ends with the process
	made bool   // just now
}

// signingOff is the value of SOLERA_KEY that asks for no signatures.
const signingOff = "off"

// keyPath returns where the signing key is, or will be, and whether the user
// said so. "" means that there is no place: no home folder.
func (a *app) keyPath() (path string, chosen bool) {
	if path := a.env("SOLERA_KEY"); path != "" {
		return a.path(path), true
	}
	folder := a.configFolder()
	if folder == "" {
		return "", false
	}
	return filepath.Join(folder, "solera", "signing.pem"), false
}

// configFolder is os.UserConfigDir in the environment of the app, and "" where
// the home folder does not exist: it is nobody's to make.
func (a *app) configFolder() string {
	below := ".config"
	home := a.env("HOME")
	switch runtime.GOOS {
	case "windows":
		return a.env("AppData")
	case "darwin", "ios":
		below = filepath.Join("Library", "Application Support")
	default:
		if folder := a.env("XDG_CONFIG_HOME"); filepath.IsAbs(folder) {
			return folder
		}
	}
	if info, err := os.Stat(home); home == "" || err != nil || !info.IsDir() {
		return ""
	}
	return filepath.Join(home, below)
}

// signer returns the signing key, which it makes at the first time; nil if the
// user wants none. A machine without a place for a key, as in many a build
// service, signs with a key that lives as long as the process: its public half
// is stored, so the signatures can be checked for ever, and nobody can make
// another one. docs/decisions/0019-signing-key.md has the reasons.
func (a *app) signer() (*signer, error) {
	if a.env("SOLERA_KEY") == signingOff {
		return nil, nil
	}
	path, chosen := a.keyPath()
	if path != "" {
		key, made, err := provenance.MakeKey(path, rand.Reader)
		if err == nil {
			return &signer{key, path, made}, nil
		}
		var in *solera.InputError
		_, serr := os.Lstat(path)
		if chosen || serr == nil || !(errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)) {
			if errors.As(err, &in) {
				return nil, err
			}
			return nil, &solera.InputError{File: path, Msg: err.Error(), Hint: "name another place with SOLERA_KEY=FILE, or do not sign: SOLERA_KEY=off", Err: err}
		}
	}
	key, err := provenance.NewKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &signer{Key: key}, nil
}

// sign lets a tracker sign what it commits.
func (a *app) sign(t *tracking.Tracker) error {
	key, err := a.signer()
	if key == nil || err != nil {
		return err
	}
	switch {
	case a.json || a.quiet:
	case key.path == "":
		fmt.Fprintln(a.stderr, "solera: no place for a signing key: what this command makes is signed with a key that ends with it (SOLERA_KEY=FILE names a place)")
	case key.made:
		a.tellNewKey(key)
	}
	t.Key = solera.SigningKey{ID: key.ID(), Public: key.Public(), Owner: a.actor(), Created: solera.MicrosOf(time.Now())}
	t.Sign = func(run solera.Run, v solera.Version, used []solera.Version) ([]byte, error) {
		return provenance.Sign(provenance.New(run, v, used), key.Key)
	}
	return nil
}

// initKey makes the signing key at the beginning of a project and says where
// it is, once. A project can begin without.
func (a *app) initKey() {
	key, err := a.signer()
	switch {
	case a.json || a.quiet:
	case err != nil:
		a.report(err) // the first command that commits will insist
	case key != nil && key.made:
		a.tellNewKey(key)
	}
}

// tellNewKey says that a key was made: who named a file that has one, and
// mistyped, would not know whose key signs now.
func (a *app) tellNewKey(key *signer) {
	fmt.Fprintf(a.stderr, "solera: made the key with which your artifacts are signed: %s\n", key.path)
}

func (a *app) keyCommand() *cobra.Command {
	var public, create, all bool
	c := &cobra.Command{
		Use:   "key",
		Short: "Show the key with which artifacts are signed",
		Long: `Show your signing key: its identifier, its file and its public half, which you
give to whoever wants to check what you made (solera verify --key FILE). The
private half stays in the file; keep a copy of it where you keep passwords.

SOLERA_KEY=FILE names another file, SOLERA_KEY=off leaves artifacts unsigned.
--all lists every key that has signed something in the store.`,
		Example: "  solera key --public > ana.pem\n  solera verify --key ana.pem",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if all {
				return a.storeKeys(c)
			}
			return a.ownKey(public, create)
		},
	}
	c.Flags().BoolVar(&public, "public", false, "print the public key alone, as PEM")
	c.Flags().BoolVar(&create, "make", false, "make the key if there is none")
	c.Flags().BoolVar(&all, "all", false, "list the keys that have signed versions of the store")
	c.MarkFlagsMutuallyExclusive("all", "public")
	c.MarkFlagsMutuallyExclusive("all", "make")
	return c
}

func (a *app) ownKey(public, create bool) error {
	if a.env("SOLERA_KEY") == signingOff {
		return &solera.InputError{Msg: "SOLERA_KEY=off: nothing is signed", Hint: "unset it, or name a file with it", Err: solera.ErrNotFound}
	}
	path, _ := a.keyPath()
	if path == "" {
		return &solera.InputError{Msg: "no place for a signing key: there is no home folder", Hint: "name a file: SOLERA_KEY=FILE", Err: solera.ErrNotFound}
	}
	var key provenance.Key
	var err error
	if create {
		key, _, err = provenance.MakeKey(path, rand.Reader)
	} else {
		key, err = provenance.LoadKey(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &solera.InputError{File: path, Msg: "no signing key yet", Hint: a.self() + " key --make makes it, and so does the first command that commits", Err: solera.ErrNotFound}
	}
	if err != nil {
		return err
	}
	switch {
	case a.json:
		return a.printJSON(struct {
			ID     string `json:"id"`
			File   string `json:"file"`
			Public string `json:"public"`
		}{key.ID(), path, key.Public()})
	case public:
		return a.printf("%s", key.Public())
	}
	return a.printf("Key   %s\nFile  %s\n\n%s", key.ID(), path, key.Public())
}

// storeKeys lists the keys that have signed.
func (a *app) storeKeys(c *cobra.Command) error {
	w, err := a.openStore(c.Context())
	if err != nil {
		return err
	}
	defer w.close()
	keys := []solera.SigningKey{}
	err = w.Store.View(c.Context(), func(tx solera.Tx) error {
		list, err := tx.SigningKeys()
		keys = append([]solera.SigningKey{}, list...)
		return err
	})
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(keys)
	}
	if len(keys) == 0 {
		return a.printf("Nothing in this store is signed.\n")
	}
	slices.SortStableFunc(keys, func(a, b solera.SigningKey) int { return cmp.Compare(a.Created, b.Created) })
	var rows [][]string
	for _, k := range keys {
		rows = append(rows, []string{k.ID, k.Owner, k.Created.Time().Format("2006-01-02 15:04")})
	}
	return a.printTable([]string{"KEY", "OWNER", "SINCE (UTC)"}, rows)
}
