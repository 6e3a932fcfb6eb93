package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

func (a *app) artifactsCommand() *cobra.Command {
	var deleted bool
	var tag string
	c := &cobra.Command{
		Use:   "artifacts [NAME[:REF]]",
		Short: "List artifacts, their versions and files, or change what is said of them",
		Long: `Without an argument: the newest version of every artifact. With NAME: all
versions of it, newest first. With NAME:v0 or NAME:ALIAS: that version and its
files. The commands below add versions by hand and change what is said of one:
never its content.`,
		Args: atMostOne("artifact"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			w, err := a.openProject(ctx)
			if err != nil {
				return err
			}
			defer w.close()
			versions, one, err := a.versions(ctx, w, args, tag, deleted)
			if err != nil {
				return err
			}
			if a.json {
				list := []artifactJSON{}
				for _, v := range versions {
					list = append(list, artifactOf(v))
				}
				return a.printJSON(list)
			}
			return a.printVersions(versions, one)
		},
	}
	c.Flags().BoolVar(&deleted, "deleted", false, "deleted versions too")
	c.Flags().StringVar(&tag, "tag", "", "only versions with `TAG`")
	c.AddCommand(a.artifactsAddCommand(), a.aliasCommand(), a.tagCommand(), a.describeCommand(), a.expireCommand(),
		a.deleteCommand(), a.undeleteCommand())
	return c
}

// versions returns what the arguments choose, and whether that is one version.
func (a *app) versions(ctx context.Context, w *workspace, args []string, tag string, deleted bool) (list []solera.Version, one bool, err error) {
	switch {
	case len(args) == 1 && strings.Contains(args[0], ":"):
		v, err := w.Version(ctx, args[0])
		if err != nil {
			return nil, false, a.absent(err, args[0])
		}
		return []solera.Version{v}, true, nil
	case len(args) == 1:
		if _, err := w.Versions(ctx, args[0]); err != nil {
			return nil, false, a.absent(err, args[0])
		}
		list, err = w.List(ctx, solera.VersionQuery{Artifact: args[0], Tag: tag, Deleted: deleted, Files: true})
		return list, false, err
	case tag != "" || deleted:
		list, err = w.List(ctx, solera.VersionQuery{Tag: tag, Deleted: deleted, Files: true})
		return list, false, err
	}
	artifacts, err := w.Artifacts(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, artifact := range artifacts {
		v, err := w.Version(ctx, artifact.Name)
		if errors.Is(err, solera.ErrNotFound) {
			continue // every version of it was deleted
		}
		if err != nil {
			return nil, false, err
		}
		list = append(list, v)
	}
	return list, false, nil
}

// artifactJSON is a version as scripts see it.
type artifactJSON struct {
	Name     string         `json:"name"`
	Version  string         `json:"version"`
	Type     string         `json:"type"`
	Digest   solera.Digest  `json:"digest"`
	Size     int64          `json:"size"`
	Aliases  []string       `json:"aliases"`
	Metadata solera.Fields  `json:"metadata"`
	Files    []solera.Entry `json:"files"`

	Run         solera.RunID  `json:"run"`
	Created     solera.Micros `json:"created"`
	Tags        []string      `json:"tags"`
	Description string        `json:"description"`
	Expires     solera.Micros `json:"expires"`
	Deleted     solera.Micros `json:"deleted"`
}

func artifactOf(v solera.Version) artifactJSON {
	out := artifactJSON{
		v.Artifact, "v" + strconv.Itoa(v.Number), v.Type, v.Digest, v.Size, v.Aliases, v.Metadata, v.Files,
		v.Run, v.Created, v.Tags, v.Description, v.Expires, v.Deleted,
	}
	if out.Aliases == nil {
		out.Aliases = []string{}
	}
	if out.Tags == nil {
		out.Tags = []string{}
	}
	if out.Files == nil {
		out.Files = []solera.Entry{}
	}
	return out
}

// printVersions shows versions as a table; of one, also what is said of it and
// its files. Columns in which nothing would stand are left out.
func (a *app) printVersions(versions []solera.Version, one bool) error {
	if len(versions) == 0 {
		return a.printf("No artifacts here. Make them with: %s run\n", a.self())
	}
	t := columns{}
	for _, v := range versions {
		t.add("VERSION", v.Name())
		t.add("TYPE", v.Type)
		t.add("SIZE", size(v.Size))
		t.add("DIGEST", v.Digest.Short())
		t.add("ALIASES", strings.Join(v.Aliases, " "))
		t.some("REMARKS", remarks(v))
		t.add("MADE (UTC)", v.Created.Time().Format("2006-01-02 15:04"))
	}
	if err := a.printTable(t.table()); err != nil {
		return err
	}
	if !one {
		return nil
	}
	v := versions[0]
	if err := a.printf("\nMade by run %s.\n", v.Run); err != nil {
		return err
	}
	if v.Description != "" {
		if err := a.printf("%s\n", wrap(printable(v.Description))); err != nil {
			return err
		}
	}
	t = columns{}
	for _, f := range v.Files {
		t.add("FILE", f.Path)
		t.add("SIZE", size(f.Size))
		t.add("DIGEST", f.Digest.Short())
		t.some("WHERE (not copied)", f.Ref)
	}
	if len(v.Files) == 0 {
		return a.printf("It has no files.\n")
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	return a.printTable(t.table())
}

// remarks are what is said of a version, short.
func remarks(v solera.Version) string {
	var list []string
	if v.Deleted != 0 {
		list = append(list, "deleted "+v.Deleted.Time().Format(time.DateOnly))
	} else if v.Expires != 0 {
		list = append(list, "expires "+v.Expires.Time().Format(time.DateOnly))
	}
	return strings.Join(append(list, v.Tags...), ", ")
}

// columns gathers a table by columns.
type columns struct {
	names []string
	cells [][]string
	bare  []bool // may be left out, as nothing stands in it
	at    int    // column of the next cell
}

// add adds a cell to a column; rows are added cell by cell in the order of the
// columns.
func (t *columns) add(name, cell string) { t.cell(name, cell, false) }

// some is add for a column that is left out when it is empty.
func (t *columns) some(name, cell string) { t.cell(name, cell, true) }

func (t *columns) cell(name, cell string, optional bool) {
	if t.at == len(t.names) || t.names[t.at] != name {
		t.at = 0
		if len(t.names) == 0 || t.names[0] != name {
			t.at = len(t.names)
			t.names, t.cells, t.bare = append(t.names, name), append(t.cells, nil), append(t.bare, optional)
		}
	}
	t.cells[t.at] = append(t.cells[t.at], cell)
	t.bare[t.at] = t.bare[t.at] && cell == ""
	t.at++
}

func (t *columns) table() (headers []string, rows [][]string) {
	for j, name := range t.names {
		if t.bare[j] {
			continue
		}
		headers = append(headers, name)
		for i, cell := range t.cells[j] {
			if i == len(rows) {
				rows = append(rows, nil)
			}
			rows[i] = append(rows[i], cell)
		}
	}
	return headers, rows
}

// atMostOne refuses a second argument.
func atMostOne(thing string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usage("solera %s takes one %s, not %d arguments", c.Name(), thing, len(args))
		}
		return nil
	}
}

// exactly wants so many arguments, shown by form.
func exactly(n int, form string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usage("want: solera artifacts %s", form)
		}
		return nil
	}
}

// changeVersion opens the project, changes one version and shows it.
func (a *app) changeVersion(ctx context.Context, ref string, done func(solera.Version) string, change func(*workspace) (solera.Version, error)) error {
	w, err := a.openProject(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	if _, err := w.Version(ctx, ref); err != nil {
		return a.absent(err, ref)
	}
	v, err := change(w)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(artifactOf(v))
	}
	return a.printf("%s %s\n", v.Name(), done(v))
}

// is says the same of every version.
func is(done string) func(solera.Version) string { return func(solera.Version) string { return done } }

func (a *app) aliasCommand() *cobra.Command {
	var remove bool
	c := &cobra.Command{
		Use:   "alias NAME:REF ALIAS",
		Short: "Let an alias such as champion name a version, and no other of its artifact",
		Args:  exactly(2, "alias NAME:v3 champion"),
		RunE: func(c *cobra.Command, args []string) error {
			ref, alias := args[0], args[1]
			done := "is now " + alias
			if remove {
				done = "is not " + alias + " any more"
			}
			return a.changeVersion(c.Context(), ref, is(done), func(w *workspace) (solera.Version, error) {
				v, err := w.Version(c.Context(), ref)
				if err != nil {
					return v, err
				}
				act := w.SetAlias
				if remove {
					act = w.DeleteAlias
				}
				// By number: ref may be the alias that goes.
				if err := act(c.Context(), v.Name(), alias); err != nil {
					return v, err
				}
				return w.Version(c.Context(), v.Name())
			})
		},
	}
	c.Flags().BoolVar(&remove, "delete", false, "take the alias away from the version")
	return c
}

func tagged(v solera.Version) string {
	if len(v.Tags) == 0 {
		return "has no tags"
	}
	return "has the tags " + strings.Join(v.Tags, " ")
}

func (a *app) tagCommand() *cobra.Command {
	var remove []string
	c := &cobra.Command{
		Use:   "tag NAME:REF [TAG…]",
		Short: "Add tags to a version, or take them away with --remove",
		Long: `Add tags to a version, or take them away with --remove. A version that is
tagged keep is never deleted by retention.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 && len(remove) == 0 || len(args) == 0 {
				return usage("want: solera artifacts tag NAME:v3 TAG… or solera artifacts tag NAME:v3 --remove TAG")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return a.changeVersion(c.Context(), args[0], tagged, func(w *workspace) (solera.Version, error) {
				return w.Tag(c.Context(), args[0], args[1:], remove)
			})
		},
	}
	c.Flags().StringArrayVar(&remove, "remove", nil, "take `TAG` away; may be given several times")
	return c
}

func (a *app) describeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "describe NAME:REF TEXT",
		Short: "Say what a version is; an empty TEXT removes it",
		Args:  exactly(2, `describe NAME:v3 "TEXT"`),
		RunE: func(c *cobra.Command, args []string) error {
			return a.changeVersion(c.Context(), args[0], is("is described"), func(w *workspace) (solera.Version, error) {
				return w.Describe(c.Context(), args[0], args[1])
			})
		},
	}
}

func (a *app) expireCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "expire NAME:REF 30d|2026-12-31|never",
		Short: "Let gc delete a version after a time, or never",
		Args:  exactly(2, "expire NAME:v3 30d (or 12h, 2w, 2026-12-31, never)"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			done := func(v solera.Version) string {
				if v.Expires == 0 {
					return "does not expire"
				}
				return "expires at " + v.Expires.Time().Format("2006-01-02 15:04") + " UTC"
			}
			if _, err := later(args[1], solera.MicrosOf(time.Now())); err != nil {
				return err
			}
			return a.changeVersion(ctx, args[0], done, func(w *workspace) (solera.Version, error) {
				now, err := w.Now(ctx)
				if err != nil {
					return solera.Version{}, err
				}
				at, err := later(args[1], now)
				if err != nil {
					return solera.Version{}, err
				}
				return w.Expire(ctx, args[0], at)
			})
		},
	}
}

// later reads a time to come: 90m, 12h, 30d, 2w from now, a date, or never.
func later(s string, now solera.Micros) (solera.Micros, error) {
	if s == "never" {
		return 0, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return solera.MicrosOf(t), nil
		}
	}
	units := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	if len(s) > 1 {
		n, err := strconv.Atoi(s[:len(s)-1])
		if unit, ok := units[s[len(s)-1]]; ok && err == nil && n > 0 && n <= 100*366*24*60 {
			if at := now.Time().Add(time.Duration(n) * unit); at.Year() < 3000 && at.After(now.Time()) {
				return solera.MicrosOf(at), nil
			}
		}
	}
	return 0, usage("the time %q: want 90m, 12h, 30d, 2w, 2026-12-31 or never", s)
}

func (a *app) deleteCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "delete NAME:REF",
		Short: "Give a version up; solera gc frees its bytes",
		Long: `Give a version up: it is not listed any more and loses its aliases. Its record
stays, because others were made from it or will be reproduced. Its bytes stay
until solera gc --delete, and until then solera artifacts restore takes it back.
A version with an alias, or from which something was made, needs --force.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || !strings.Contains(args[0], ":") {
				return usage("which version? solera artifacts delete NAME:v3")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			done := fmt.Sprintf("is deleted. %s gc --delete frees its bytes; until then %s artifacts restore takes it back", a.self(), a.self())
			return a.changeVersion(c.Context(), args[0], is(done), func(w *workspace) (solera.Version, error) {
				return w.Delete(c.Context(), args[0], force)
			})
		},
	}
	c.Flags().BoolVar(&force, "force", false, "even if an alias names it, or something was made from it")
	return c
}

func (a *app) undeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "restore NAME:vN",
		Short: "Take back the deletion of a version whose bytes are still there",
		Args:  exactly(1, "restore NAME:v3"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.changeVersion(c.Context(), args[0], is("is back"), func(w *workspace) (solera.Version, error) {
				return w.Restore(c.Context(), args[0])
			})
		},
	}
}

// pullCommand and its report.
func (a *app) pullCommand() *cobra.Command {
	var o tracking.PullOptions
	c := &cobra.Command{
		Use:   "pull NAME[:REF] DIR",
		Short: "Bring the files of a version into a folder, checked",
		Long: `Bring the files of a version into the folder DIR, which is made. Each file is
checked as it is written and gets its name when it is whole; files that are
there already are kept. What was interrupted is gone on with by the same
command.`,
		Example: "  solera pull wine-raw:v0 data\n  solera pull trained-wine-model-exp001 model --file '*.safetensors'",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage("want: solera pull NAME:v0 DIR")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.pull(c.Context(), args[0], args[1], o) },
	}
	c.Flags().StringVar(&o.Pattern, "file", "", "only files that match `PATTERN`, such as '*.parquet' or images/")
	c.Flags().BoolVar(&o.Force, "force", false, "replace files that have other content")
	return c
}

// pullJSON is what a pull did, as scripts see it.
type pullJSON struct {
	OK      bool                  `json:"ok"`
	Name    string                `json:"name"`
	Version string                `json:"version"`
	Digest  solera.Digest         `json:"digest"`
	Folder  string                `json:"folder"`
	Bytes   int64                 `json:"bytes"` // written
	Files   []tracking.PulledFile `json:"files"`
	Notes   []string              `json:"notes"`
}

func (a *app) pull(ctx context.Context, ref, dir string, o tracking.PullOptions) error {
	w, err := a.openProject(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	v, err := w.Version(ctx, ref)
	if err != nil {
		return a.absent(err, ref)
	}
	var closeBar func()
	o.Progress, closeBar = a.byteProgress("pull " + v.Name())
	pulled, err := w.Pull(ctx, v, a.path(dir), o)
	closeBar()
	if err != nil {
		return err
	}
	if a.json {
		out := pullJSON{true, v.Artifact, "v" + strconv.Itoa(v.Number), v.Digest, dir, pulled.Bytes, pulled.Files, pulled.Notes}
		if out.Files == nil {
			out.Files = []tracking.PulledFile{}
		}
		if out.Notes == nil {
			out.Notes = []string{}
		}
		return a.printJSON(out)
	}
	states := map[string]int{}
	for _, f := range pulled.Files {
		states[f.State]++
	}
	if err := a.printf("%s %s: %s written (%s), %d there already\n", v.Name(), v.Digest.Short(),
		count(states[tracking.PullWritten], "file"), size(pulled.Bytes), states[tracking.PullKept]); err != nil {
		return err
	}
	for _, f := range pulled.Files {
		if f.State == tracking.PullExternal {
			if err := a.printf("Not copied: %s is at %s\n", f.Path, printable(f.Ref)); err != nil {
				return err
			}
		}
	}
	for _, note := range slices.Compact(pulled.Notes) {
		if err := a.printf("Note: %s\n", printable(note)); err != nil {
			return err
		}
	}
	return nil
}
