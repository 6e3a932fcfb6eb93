package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
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
	const gap = 2
	head := lipgloss.NewStyle().PaddingRight(gap)
	cell := head
	if a.colour(a.stdout) {
		head = head.Bold(true)
	}
	clean := make([][]string, len(rows))
	width, word := make([]int, len(headers)), make([]int, len(headers))
	for j, h := range headers {
		width[j], word[j] = lipgloss.Width(h), longestWord(h)
	}
	for i, row := range rows {
		clean[i] = make([]string, len(row))
		for j, c := range row {
			clean[i][j] = printable(c)
			width[j] = max(width[j], lipgloss.Width(clean[i][j]))
			word[j] = max(word[j], longestWord(clean[i][j]))
		}
	}
	tooWide := fitColumns(width, word, maxWidth-gap*len(width))
	t := table.New().Headers(headers...).Rows(clean...).
		BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).BorderColumn(false).BorderHeader(true).
		Border(lipgloss.NormalBorder()).Wrap(true).
		StyleFunc(func(row, col int) lipgloss.Style {
			style := cell
			if row == table.HeaderRow {
				style = head
			}
			if tooWide {
				style = style.Width(width[col] + gap)
			}
			return style
		})
	if tooWide {
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

// fitColumns narrows the widest columns, all to the same width, until they have
// room together, and reports whether it had to. A column stays as wide as its
// longest word while that is possible: what is broken cannot be copied.
func fitColumns(width, word []int, room int) bool {
	sum := func(most int, words bool) (total int) {
		for j := range width {
			total += fitted(width[j], word[j], most, words)
		}
		return total
	}
	widest := slices.Max(width)
	if sum(widest, false) <= room {
		return false
	}
	words := sum(1, true) <= room
	most := widest
	for most > 1 && sum(most, words) > room {
		most--
	}
	for j := range width {
		width[j] = fitted(width[j], word[j], most, words)
	}
	return true
}

// longestWord returns the width of the longest word of s. What is longer than 36
// columns, such as a digest, is not a word that a table can spare.
func longestWord(s string) int {
	const most = 36
	longest := 0
	for w := range strings.FieldsSeq(s) {
		longest = max(longest, lipgloss.Width(w))
	}
	return min(longest, most)
}

// fitted is the width of a column when most is the most that one has, unless
// words are to stay whole.
func fitted(width, word, most int, words bool) int {
	if words {
		most = max(most, word)
	}
	return min(width, most)
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
