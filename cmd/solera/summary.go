package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera/pipeline"
)

// A summary is the file that --summary names: what a command came to, as
// Markdown, at the end of what is there. So a build service shows it, on the
// page of the job.
type summary struct {
	path string
	file *os.File

	page  string            // of the project on another server; "" = the runs stay here
	there map[string]string // versions on that server, by name of the artifact
}

// sent notes what another server has of the runs.
func (s *summary) sent(page string, there map[string]string) {
	if s != nil {
		s.page, s.there = page, there
	}
}

// summaryFlag adds --summary to a command. Its value is in path.
func summaryFlag(c *cobra.Command, path *string) {
	c.Flags().StringVar(path, "summary", "", "append what came out to `FILE`, as Markdown")
}

// openSummary opens the file before anything is done: what cannot be written
// is better known before hours of training. It returns nil where no summary is
// asked for; methods of nil do nothing.
func (a *app) openSummary(c *cobra.Command, path string) (*summary, error) {
	if !c.Flags().Changed("summary") {
		return nil, nil
	}
	if path == "" {
		return nil, usage("--summary names no file: is a variable empty?")
	}
	f, err := os.OpenFile(a.path(path), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("--summary: %w", err)
	}
	return &summary{path: path, file: f}, nil
}

// close writes what the stages came to, or why they failed, and closes the
// file. It returns failed, or else the error of writing.
func (s *summary) close(title string, res *pipeline.Result, changes []pipeline.LockChange, failed error) error {
	if s == nil {
		return failed
	}
	_, err := s.file.WriteString(s.text(title, res, changes, failed))
	if cerr := s.file.Close(); err == nil {
		err = cerr
	}
	if err != nil && failed == nil {
		return fmt.Errorf("--summary: write %s: %w", s.path, err)
	}
	return failed
}

func (s *summary) text(title string, res *pipeline.Result, changes []pipeline.LockChange, failed error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n", markdown(title))
	switch {
	case res == nil || len(res.Artifacts) == 0:
	case s.page == "":
		writeMarkdown(&b, artifactHeaders, artifactRows(res))
	default:
		// What is new on a fresh machine, and its number there, say nothing.
		var rows [][]string
		for _, m := range res.Artifacts {
			rows = append(rows, []string{m.Name, cmp.Or(s.there[m.Name], "not there"), m.Digest.Short()})
		}
		writeMarkdown(&b, []string{"ARTIFACT", "ON THE SERVER", "DIGEST"}, rows)
	}
	if s.page != "" {
		fmt.Fprintf(&b, "Runs and versions: <%s>\n\n", s.page)
	}
	if res != nil && len(res.Experiments) > 0 {
		writeMarkdown(&b, experimentHeaders, experimentRows(res))
		if text := choice(res); text != "" {
			fmt.Fprintf(&b, "%s\n\n", markdown(text))
		}
	}
	if len(changes) > 0 {
		fmt.Fprintf(&b, "**Not as locked:**\n\n")
		writeMarkdown(&b, lockHeaders, lockRows(changes))
	}
	if failed != nil && !errors.Is(failed, errFound) {
		fmt.Fprintf(&b, "**Failed:** %s\n\n", markdown(sentence(failed)))
	}
	return b.String()
}

// writeMarkdown writes rows under headers, as GitHub reads tables.
func writeMarkdown(b *strings.Builder, headers []string, rows [][]string) {
	line := func(cells []string) {
		for _, c := range cells {
			fmt.Fprintf(b, "| %s ", markdown(c))
		}
		b.WriteString("|\n")
	}
	line(headers)
	b.WriteString(strings.Repeat("| --- ", len(headers)) + "|\n")
	for _, row := range rows {
		line(row)
	}
	b.WriteString("\n")
}

// markdown writes a text so that Markdown shows it as it is, on one line: names
// and messages may come from a file or a table.
func markdown(s string) string {
	var b strings.Builder
	for _, r := range printable(s) {
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		case strings.ContainsRune("\\`*_{}[]<>#|~&!$@", r):
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
