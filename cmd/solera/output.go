package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
	"golang.org/x/term"
)

// maxWidth is the width that tables fit into.
const maxWidth = 100

// isTerminal tells whether a person watches w as it is written.
func (a *app) isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && a.env("TERM") != "dumb"
}

// colour tells whether w takes colours.
func (a *app) colour(w io.Writer) bool {
	return a.isTerminal(w) && a.env("NO_COLOR") == ""
}

// printf writes to stdout.
func (a *app) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(a.stdout, format, args...)
	return err
}

// printJSON writes a value as indented JSON, for scripts and for eyes.
func (a *app) printJSON(v any) error {
	w := bufio.NewWriter(a.stdout)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return w.Flush()
}

// printTable writes rows under headers, at most 100 columns wide; longer cells
// are wrapped.
func (a *app) printTable(headers []string, rows [][]string) error {
	head := lipgloss.NewStyle().PaddingRight(2)
	cell := head
	if a.colour(a.stdout) {
		head = head.Bold(true)
	}
	clean := make([][]string, len(rows))
	width := make([]int, len(headers))
	for j, h := range headers {
		width[j] = lipgloss.Width(h)
	}
	for i, row := range rows {
		clean[i] = make([]string, len(row))
		for j, c := range row {
			clean[i][j] = printable(c)
			width[j] = max(width[j], lipgloss.Width(clean[i][j]))
		}
	}
	total := 0
	for _, w := range width {
		total += w + 2
	}
	t := table.New().Headers(headers...).Rows(clean...).
		BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).BorderColumn(false).BorderHeader(true).
		Border(lipgloss.NormalBorder()).Wrap(true).
		StyleFunc(func(row, _ int) lipgloss.Style {
			if row == table.HeaderRow {
				return head
			}
			return cell
		})
	if total > maxWidth {
		t = t.Width(maxWidth)
	}
	var b strings.Builder
	for line := range strings.Lines(t.String()) {
		b.WriteString(strings.TrimRight(line, " \n"))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

// wrap breaks a text into lines of at most 100 columns. A word that is longer
// stays whole.
func wrap(s string) string {
	var b strings.Builder
	used := 0
	for _, word := range strings.Fields(s) {
		w := lipgloss.Width(word)
		switch {
		case used == 0:
		case used+1+w > maxWidth:
			b.WriteByte('\n')
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += w
	}
	return b.String()
}

// enumerate joins names as people do: a, b and c.
func enumerate(names []string) string {
	const most = 8
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// count returns "1 row" or "3 rows".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// size returns a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
