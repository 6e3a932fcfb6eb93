package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
)

func (a *app) artifactsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "artifacts [NAME[:REF]]",
		Short: "List artifacts, the versions of one, or the files of a version",
		Long: `Without an argument: the newest version of every artifact. With NAME: all
versions of it, newest first. With NAME:v0 or NAME:ALIAS: that version and its
files.`,
		Args: atMostOne("artifact"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			w, err := a.openProject(ctx)
			if err != nil {
				return err
			}
			defer w.close()
			var versions []solera.Version
			one := len(args) == 1 && strings.Contains(args[0], ":")
			switch {
			case one:
				v, err := w.Version(ctx, args[0])
				if err != nil {
					return a.absent(err, args[0])
				}
				versions = []solera.Version{v}
			case len(args) == 1:
				if versions, err = w.Versions(ctx, args[0]); err != nil {
					return a.absent(err, args[0])
				}
			default:
				artifacts, err := w.Artifacts(ctx)
				if err != nil {
					return err
				}
				for _, artifact := range artifacts {
					v, err := w.Version(ctx, artifact.Name)
					if err != nil {
						return err
					}
					versions = append(versions, v)
				}
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
}

func artifactOf(v solera.Version) artifactJSON {
	out := artifactJSON{v.Artifact, fmt.Sprintf("v%d", v.Number), v.Type, v.Digest, v.Size, v.Aliases, v.Metadata, v.Files}
	if out.Aliases == nil {
		out.Aliases = []string{}
	}
	if out.Files == nil {
		out.Files = []solera.Entry{}
	}
	return out
}

// printVersions shows versions as a table, with their files if files is set.
func (a *app) printVersions(versions []solera.Version, files bool) error {
	if len(versions) == 0 {
		return a.printf("No artifacts yet. Make them with: %s run\n", a.self())
	}
	var rows [][]string
	for _, v := range versions {
		rows = append(rows, []string{
			v.Name(), v.Type, size(v.Size), v.Digest.Short(), strings.Join(v.Aliases, " "), v.Created.Time().Format("2006-01-02 15:04"),
		})
	}
	if err := a.printTable([]string{"VERSION", "TYPE", "SIZE", "DIGEST", "ALIASES", "MADE (UTC)"}, rows); err != nil {
		return err
	}
	if !files {
		return nil
	}
	rows = nil
	for _, v := range versions {
		for _, f := range v.Files {
			rows = append(rows, []string{f.Path, size(f.Size), f.Digest.Short()})
		}
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	return a.printTable([]string{"FILE", "SIZE", "DIGEST"}, rows)
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
