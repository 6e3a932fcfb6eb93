package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

const document = "docs/wandb.md"

// The table stands between these lines.
const (
	tableBegin = "<!-- The table is written by `make interop UPDATE=1`, and checked by every `make interop`. -->\n"
	tableEnd   = "<!-- End of the table. -->\n"
)

// table compares the rows of docs/wandb.md with what was seen, or writes them.
// Of a part of the scripts it looks at their rows alone.
func (h *harness) table(seen []outcome, gaps []gap, whole bool) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, rest, ok1 := strings.Cut(string(text), tableBegin)
	have, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s: no place for the table: want the lines %q and %q", document, tableBegin, tableEnd)
	}
	rows := conformance(versionsOf(h.clients), seen, gaps)
	if !whole {
		for _, r := range rowsOf(have) {
			if !slices.ContainsFunc(rows, func(one row) bool { return one.key == r.key }) {
				rows = append(rows, r)
			}
		}
	}
	want := written(versionsOf(h.clients), rows)
	if have == want {
		return nil
	}
	if h.update {
		return os.WriteFile(document, []byte(before+tableBegin+want+tableEnd+after), 0o644)
	}
	haveLines, wantLines := strings.Split(have, "\n"), strings.Split(want, "\n")
	for _, line := range wantLines {
		if !slices.Contains(haveLines, line) {
			return fmt.Errorf("%s does not say what was seen: %s (make interop UPDATE=1 writes it)", document, line)
		}
	}
	return errors.New(document + " says more than what was seen, or in another order (make interop UPDATE=1 writes it)")
}

// A row is one capability in the table.
type row struct{ key, script, line string }

var link = regexp.MustCompile(`\[([a-z0-9.-]+)\]\(\.\./interop/wandb/conformance/(\w+)\.py\) \|$`)

// rowsOf reads the rows of a table.
func rowsOf(table string) []row {
	var list []row
	for line := range strings.SplitSeq(table, "\n") {
		if m := link.FindStringSubmatch(line); m != nil {
			list = append(list, row{m[1], m[2], line})
		}
	}
	return list
}

// written is the table: by script in the order of the ladder, then by key.
func written(versions []string, rows []row) string {
	ladder := []string{"login", "runs", "resume", "offline", "live", "media", "artifacts", "big", "sweeps", "api", "verify", "wine_pipeline", "outbound"}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(slices.Index(ladder, a.script)-slices.Index(ladder, b.script), strings.Compare(a.key, b.key))
	})
	var b strings.Builder
	b.WriteString("\n| what | " + strings.Join(versions, " | ") + " | shown by |\n|---|" + strings.Repeat("---|", len(versions)+1) + "\n")
	for _, r := range rows {
		b.WriteString(r.line + "\n")
	}
	return b.String() + "\n"
}

// conformance returns a row per capability, with a column per client.
func conformance(versions []string, seen []outcome, gaps []gap) []row {
	type cells struct {
		title, script string
		words         map[string]string
		reasons       []string
	}
	found := make(map[string]*cells)
	for _, o := range seen {
		if o.place != onDisk {
			continue
		}
		c := found[o.Key]
		if c == nil {
			c = &cells{title: o.Title, script: o.script, words: map[string]string{}}
			found[o.Key] = c
		}
		word := map[string]string{"works": "works", "absent": "–", "fails": "fails"}[o.Result]
		if g := find(gaps, o.Key, o.version, o.place); g != nil && o.Result == "fails" {
			word = g.extent
			if !slices.Contains(c.reasons, g.reason) {
				c.reasons = append(c.reasons, g.reason)
			}
		}
		c.words[o.version] = word
	}
	var rows []row
	for key, c := range found {
		title := strings.ReplaceAll(c.title, "|", "\\|")
		if len(c.reasons) > 0 {
			title += ". " + strings.ToUpper(c.reasons[0][:1]) + strings.Join(c.reasons, "; ")[1:]
		}
		line := "| " + title + " |"
		for _, v := range versions {
			line += " " + cmp.Or(c.words[v], "not run") + " |"
		}
		rows = append(rows, row{key, c.script, fmt.Sprintf("%s [%s](../interop/wandb/conformance/%s.py) |", line, key, c.script)})
	}
	return rows
}
