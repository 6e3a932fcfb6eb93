package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

type addFlags struct {
	typ         string
	refs        []string
	aliases     []string
	tags        []string
	metadata    []string
	description string
}

func (a *app) artifactsAddCommand() *cobra.Command {
	var flags addFlags
	c := &cobra.Command{
		Use:   "add NAME [FILE|DIR…]",
		Short: "Make a version by hand, of files that are copied or of references to where they are",
		Long: `Make a version of NAME from files. Of a FILE its name is kept, of a DIR all that
is in it, by its path in there. --ref names a file that stays where it is:
file:///folder/file, s3://bucket/key or https://host/path. It is read once for
its digest; what is far away need not be: add =sha256:DIGEST@SIZE to the URL.
Files that NAME's newest version has already make no new one.`,
		Example: "  solera artifacts add survey --type dataset survey.csv\n" +
			"  solera artifacts add photos --type dataset --ref file:///mnt/photos.tar --alias candidate",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) == 1 && len(flags.refs) == 0 {
				return usage("which files? solera artifacts add NAME FILE…, or --ref URL")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.add(c.Context(), args[0], args[1:], flags) },
	}
	f := c.Flags()
	f.StringVar(&flags.typ, "type", "dataset", "`TYPE` of the artifact and all its versions")
	f.StringArrayVar(&flags.refs, "ref", nil, "a file at `URL`[=sha256:DIGEST@SIZE] that is not copied")
	f.StringArrayVar(&flags.aliases, "alias", nil, "an `ALIAS` of the version")
	f.StringArrayVar(&flags.tags, "tag", nil, "a `TAG` of the version")
	f.StringArrayVar(&flags.metadata, "metadata", nil, "`KEY=VALUE` that belongs to the content")
	f.StringVar(&flags.description, "description", "", "what the version is")
	return c
}

func (a *app) add(ctx context.Context, name string, files []string, flags addFlags) error {
	draft := tracking.Draft{Artifact: name, Type: flags.typ, Files: map[string]tracking.Source{}, Aliases: flags.aliases}
	var err error
	if draft.Metadata, err = keyValues(flags.metadata); err != nil {
		return err
	}
	put := func(file string, s tracking.Source) error {
		if _, ok := draft.Files[file]; ok {
			return &solera.InputError{Op: "add " + name, File: file, Msg: "two files have this name in the version", Hint: "put them into folders, and add the folder above"}
		}
		draft.Files[file] = s
		return nil
	}
	for _, file := range files {
		if err := a.addFiles(file, put); err != nil {
			return err
		}
	}
	for _, ref := range flags.refs {
		file, source, err := reference(ctx, ref)
		if err != nil {
			return fmt.Errorf("--ref %s: %w", solera.RedactURL(ref), err)
		}
		if err := put(file, source); err != nil {
			return err
		}
	}
	if err := draft.Check(); err != nil {
		return fmt.Errorf("add %s: %w", name, err)
	}
	w, err := a.openProjectTo(ctx, true)
	if err != nil {
		return err
	}
	defer w.close()
	run, err := w.Start(ctx, tracking.RunSpec{Stage: "add", Name: "add " + name, Params: solera.Fields{"artifact": name}})
	if err != nil {
		return err
	}
	v, isNew, err := run.Commit(ctx, draft)
	if ferr := run.Finish(ctx, err, nil); err == nil {
		err = ferr
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("add %s: %w: nothing was added", name, solera.ErrStopped)
	}
	if err == nil && len(flags.tags) > 0 {
		v, err = w.Tag(ctx, v.Name(), flags.tags, nil)
	}
	if err == nil && flags.description != "" {
		v, err = w.Describe(ctx, v.Name(), flags.description)
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			artifactJSON
			New bool `json:"new"`
		}{artifactOf(v), isNew})
	}
	state := "new"
	if !isNew {
		state = "unchanged: its newest version has this content"
	}
	return a.printf("%s  %s  %s, %s (%s)\n", v.Name(), v.Digest.Short(), count(len(v.Files), "file"), size(v.Size), state)
}

// keyValues reads KEY=VALUE. Values are texts, so that 007 stays what it is.
func keyValues(list []string) (solera.Fields, error) {
	if len(list) == 0 {
		return nil, nil
	}
	fields := solera.Fields{}
	for _, s := range list {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return nil, usage("--metadata %s: want KEY=VALUE", s)
		}
		if _, twice := fields[key]; twice {
			return nil, usage("--metadata %s: the key is given twice", key)
		}
		fields[key] = value
	}
	return fields, nil
}

// addFiles puts a file, or all files below a folder, by its path in there.
func (a *app) addFiles(name string, put func(string, tracking.Source) error) error {
	given := a.path(name)
	info, err := os.Stat(given)
	if err != nil {
		return &solera.InputError{Op: "add " + name, File: name, Err: err}
	}
	if !info.IsDir() {
		return put(filepath.Base(given), fileSource(given, info))
	}
	found := false
	err = filepath.WalkDir(given, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return nil
		case e.Type()&fs.ModeSymlink != 0:
			return &solera.InputError{Op: "add " + name, File: p, Msg: "it is a symbolic link", Hint: "add what it leads to, or remove it"}
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(given, p)
		if err != nil {
			return err
		}
		found = true
		return put(filepath.ToSlash(rel), fileSource(p, info))
	})
	if err == nil && !found {
		err = &solera.InputError{Op: "add " + name, File: name, Msg: "no file is in this folder"}
	}
	return err
}

// fileSource is a file that is read when the version is committed.
func fileSource(name string, info fs.FileInfo) tracking.Source {
	return tracking.Opener(func() (io.ReadCloser, error) {
		if !info.Mode().IsRegular() {
			return nil, &solera.InputError{Op: "add " + name, File: name, Msg: "it is no file"}
		}
		return os.Open(name)
	})
}

// reference reads --ref and returns the name of the file in the version.
func reference(ctx context.Context, s string) (string, tracking.Source, error) {
	fail := func(err error) (string, tracking.Source, error) { return "", tracking.Source{}, err }
	ref, given := s, ""
	if i := strings.LastIndex(s, "=sha256:"); i >= 0 {
		ref, given = s[:i], s[i+1:]
	}
	u, err := url.Parse(ref)
	if err != nil {
		return fail(fmt.Errorf("%w: it is no URL", solera.ErrInvalid))
	}
	if solera.RedactURL(ref) != ref {
		return fail(fmt.Errorf("%w: it holds a password or a key, which would be recorded; leave it out", solera.ErrInvalid))
	}
	name := path.Base(u.Path)
	if name == "/" || name == "." {
		return fail(fmt.Errorf("%w: it names no file", solera.ErrInvalid))
	}
	var want solera.Digest
	size := int64(-1)
	if given != "" {
		digest, bytes, sized := strings.Cut(given, "@")
		if want, err = solera.ParseDigest(digest); err != nil {
			return fail(err)
		}
		if sized {
			if size, err = strconv.ParseInt(bytes, 10, 64); err != nil || size < 0 {
				return fail(fmt.Errorf("%w: the size %.40q: want the number of bytes", solera.ErrInvalid, bytes))
			}
		}
	}
	// Far away and described: taken at its word, and checked when it is opened.
	if size >= 0 && u.Scheme != "file" {
		return name, tracking.Reference(ref, want, size), nil
	}
	r, err := openExternal(ctx, solera.Entry{Ref: ref}, 0)
	if errors.Is(err, errors.ErrUnsupported) {
		err = fmt.Errorf("%w: want file:///folder/file, s3://bucket/key or https://host/path", solera.ErrInvalid)
	}
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	got, n, err := solera.DigestReader(readerUntil(ctx, r))
	if err != nil {
		return fail(err)
	}
	if !want.IsZero() && (got != want || size >= 0 && n != size) {
		return fail(fmt.Errorf("%w: it has %d bytes of the digest %v", solera.ErrConflict, n, got))
	}
	return name, tracking.Reference(ref, got, n), nil
}

// readerUntil fails once ctx has ended.
func readerUntil(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(b)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
