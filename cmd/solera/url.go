package main

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/store"
)

// A home is where records, or blobs, are kept: a folder of this machine or the
// URL of a server.
type home struct {
	folder string
	url    string // postgres://… or s3://…, "" for a folder; may hold a password
}

// local is the folder of a project where the store is, unless another is
// named. What only one machine can use is always there.
const local = ".solera"

// storeHome returns where the records are. Flags win over the environment.
func (a *app) storeHome() (home, error) {
	return a.home("--store", firstOf(a.store, a.env("SOLERA_STORE"), local), "postgres", "postgresql")
}

// blobHome returns where the bytes of artifacts are.
func (a *app) blobHome(records home) (home, error) {
	given := firstOf(a.blobs, a.env("SOLERA_BLOBS"))
	switch {
	case given != "":
		return a.home("--blobs", given, "s3")
	case records.url != "":
		return home{}, usage("--store %s: the bytes of artifacts need a place too: add --blobs s3://BUCKET, "+
			"or the path of a folder that all machines share (SOLERA_BLOBS)", printableURL(records.url))
	}
	return home{folder: filepath.Join(records.folder, "blobs")}, nil
}

// home takes what a flag says apart: a path, file://PATH, or a URL of one of
// the schemes.
func (a *app) home(flag, given string, schemes ...string) (home, error) {
	scheme, rest, ok := strings.Cut(given, "://")
	if !ok {
		return home{folder: a.path(given)}, nil
	}
	if scheme == "file" {
		return home{folder: a.path(rest)}, nil
	}
	for _, s := range schemes {
		if scheme == s {
			return home{url: given}, nil
		}
	}
	return home{}, usage("%s %s: want the path of a folder, file://PATH or %s://…", flag, printableURL(given), schemes[0])
}

func firstOf(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// printableURL returns a URL without what nobody else should read: password,
// and the values of parameters that may be keys.
func printableURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		scheme, _, _ := strings.Cut(s, "://")
		return scheme + "://…"
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	q := u.Query()
	for key := range q {
		switch strings.ToLower(key) {
		case "endpoint", "region", "path_style", "search_path", "sslmode", "host", "port", "dbname", "user":
		default:
			q.Set(key, "…")
		}
	}
	u.RawQuery = q.Encode()
	if u.RawQuery != "" {
		if plain, err := url.QueryUnescape(u.RawQuery); err == nil {
			u.RawQuery = plain
		}
	}
	return u.String()
}

// openRecords opens the store, or makes it. checkpoints is the folder of what
// interrupted trainings go on from, on this machine in any case.
func (a *app) openRecords(ctx context.Context, at home, create bool) (db *store.DB, checkpoints string, err error) {
	if at.url != "" {
		checkpoints = filepath.Join(a.path(local), "checkpoints")
	} else {
		checkpoints = filepath.Join(at.folder, "checkpoints")
		if info, err := os.Stat(at.folder); err == nil && !info.IsDir() {
			return nil, "", &solera.InputError{Op: "open store " + at.folder, File: at.folder, Msg: "it is not a folder", Hint: "name the folder of a store with --store"}
		}
	}
	if create {
		if err := os.MkdirAll(checkpoints, 0o755); err != nil {
			return nil, "", &solera.InputError{Op: "make folder " + checkpoints, File: checkpoints, Err: err}
		}
		if folder := filepath.Dir(checkpoints); filepath.Base(folder) == local {
			keepOut(folder) // a folder of another name may hold more than a store
		}
	}
	hint := a.self() + " run makes it"
	if at.url != "" {
		if create {
			db, err = store.OpenPostgres(ctx, at.url)
			return db, checkpoints, err
		}
		db, err = store.FindPostgres(ctx, at.url)
		if errors.Is(err, solera.ErrNotFound) {
			err = &solera.InputError{File: printableURL(at.url), Msg: "no store here yet", Hint: hint, Err: solera.ErrNotFound}
		}
		return db, checkpoints, err
	}
	file := filepath.Join(at.folder, "solera.db")
	if _, err := os.Stat(file); !create && errors.Is(err, fs.ErrNotExist) {
		return nil, "", &solera.InputError{File: at.folder, Msg: "no store here yet", Hint: hint, Err: solera.ErrNotFound}
	}
	db, err = store.OpenSQLite(ctx, file)
	return db, checkpoints, err
}

// openBlobs opens the home of the bytes. A command that will store some asks
// whether a server takes them before it works for hours.
func (a *app) openBlobs(ctx context.Context, at home, create bool) (solera.Blobs, error) {
	if at.url == "" {
		return blob.OpenDir(at.folder)
	}
	s, err := blob.OpenS3(at.url)
	if err == nil && create {
		err = s.Check(ctx)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// keepOut keeps a store out of the commits of the repository that it lies in:
// it is large, and solera.lock says what is in it. That it cannot be written
// is no fault.
func keepOut(folder string) {
	f, err := os.OpenFile(filepath.Join(folder, ".gitignore"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return // it is there already, or the user's own
	}
	_, _ = f.WriteString("*\n")
	_ = f.Close()
}
