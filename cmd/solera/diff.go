package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera/pipeline"
	"github.com/solera-ml/solera/table"
)

// artifactsDiffCommand is solera artifacts diff.
func (a *app) artifactsDiffCommand() *cobra.Command {
	limit := 10
	c := &cobra.Command{
		Use:   "diff A B",
		Short: "Show how two versions differ: rows, columns, files, params",
		Long: `Compare two versions. Of data sets: rows that were added, removed, changed (by
column), relabelled, or moved to another part. A row that was inserted shifts the
numbers behind it and nothing else. Of anything else: the files that differ, with
the first difference in each.`,
		Example: "  solera artifacts diff wine-raw:v0 wine-raw:v1\n  solera artifacts diff wine-raw:v0 wine-raw --json --limit 1000",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) != 2:
				return usage("solera artifacts diff takes two versions, such as wine-raw:v0 wine-raw:v1")
			case limit < 0 || limit > 1_000_000:
				return usage("--limit %d: want 0 to 1000000", limit)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return a.diff(c.Context(), args[0], args[1], limit) },
	}
	c.Flags().IntVar(&limit, "limit", limit, "list at most `N` rows of each kind of change")
	return c
}

func (a *app) diff(ctx context.Context, before, after string, limit int) error {
	w, err := a.openProject(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	for _, ref := range []string{before, after} {
		if _, err := w.Version(ctx, ref); err != nil {
			return a.absent(err, ref)
		}
	}
	d, err := pipeline.DiffVersions(ctx, w.Tracker, before, after, limit)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(d)
	}
	return a.showDiff(d)
}

// showDiff writes a comparison for people.
func (a *app) showDiff(d *pipeline.VersionDiff) error {
	if d.Same {
		if err := a.printf("%s and %s have the same content.\n", d.Before, d.After); err != nil {
			return err
		}
	} else if err := a.printf("%s → %s\n", d.Before, d.After); err != nil {
		return err
	}
	if d.Rows != nil {
		if err := a.showRows(d.Rows); err != nil {
			return err
		}
	}
	var rows [][]string
	for _, f := range d.Files {
		first := ""
		switch {
		case f.First != nil:
			first = strings.TrimPrefix(f.First.String(), f.Path+", ")
		case f.Change == "changed":
			first = "(rows, above)"
		}
		rows = append(rows, []string{clipText(f.Path, 40), f.Change, clipText(first, 200)})
	}
	if err := a.section([]string{"FILE", "CHANGE", "FIRST DIFFERENCE"}, rows); err != nil {
		return err
	}
	if err := a.section([]string{"METADATA", "BEFORE", "AFTER"}, changeRows(d.Metadata)); err != nil {
		return err
	}
	return a.section([]string{"MADE FROM", "BEFORE", "AFTER"}, changeRows(d.Recipe))
}

// section writes a table below an empty line, nothing if it has no rows.
func (a *app) section(headers []string, rows [][]string) error {
	if len(rows) == 0 {
		return nil
	}
	const most = 40
	more := len(rows) - most
	if err := a.printf("\n"); err != nil {
		return err
	}
	if err := a.printTable(headers, rows[:min(len(rows), most)]); err != nil || more <= 0 {
		return err
	}
	return a.printf("and %d more: --json lists them all.\n", more)
}

func changeRows(changes []pipeline.Change) [][]string {
	var rows [][]string
	for _, c := range changes {
		cell := func(s string) string {
			if s == "" {
				return "—"
			}
			// A digest in the params is a JSON text.
			if short := shortDigest(strings.Trim(s, `"`)); short != "—" {
				return short
			}
			return clipText(s, 60)
		}
		rows = append(rows, []string{clipText(c.Key, 40), cell(c.Before), cell(c.After)})
	}
	return rows
}

// showRows writes what became of the rows and columns of a data set.
func (a *app) showRows(d *table.Diff) error {
	if err := a.printf("\n%s\n", wrap(fmt.Sprintf("%d → %s: %s.", d.Before, count(d.After, "row"), rowsText(d)))); err != nil {
		return err
	}
	var columns [][]string
	for _, c := range d.ColumnsChanged {
		columns = append(columns, []string{clipText(c.Name, 40), fmt.Sprintf("%s → %s", c.Before, c.After)})
	}
	for _, name := range d.ColumnsAdded {
		columns = append(columns, []string{clipText(name, 40), "added"})
	}
	for _, name := range d.ColumnsRemoved {
		columns = append(columns, []string{clipText(name, 40), "removed"})
	}
	for _, c := range d.Columns {
		columns = append(columns, []string{clipText(c.Name, 40), count(c.Rows, "value") + " changed"})
	}
	if err := a.section([]string{"COLUMN", "CHANGE"}, columns); err != nil {
		return err
	}
	const most = 4 // examples of each kind, and values of each row
	var rows [][]string
	shown := map[string]int{}
	for _, r := range d.Rows {
		if shown[r.Kind]++; shown[r.Kind] > most {
			continue
		}
		var cells []string
		for _, c := range r.Cells[:min(len(r.Cells), most)] {
			switch r.Kind {
			case table.RowAdded:
				cells = append(cells, clipText(c.Column, 20)+" "+clipText(c.After, 20))
			case table.RowRemoved:
				cells = append(cells, clipText(c.Column, 20)+" "+clipText(c.Before, 20))
			default:
				cells = append(cells, clipText(c.Column, 20)+" "+clipText(c.Before, 20)+" → "+clipText(c.After, 20))
			}
		}
		if len(r.Cells) > most {
			cells = append(cells, fmt.Sprintf("… (%d more)", len(r.Cells)-most))
		}
		rows = append(rows, []string{r.Kind, arrow(rowNumber(r.Before), rowNumber(r.After)), arrow(clipText(r.From, 20), clipText(r.To, 20)), strings.Join(cells, ", ")})
	}
	return a.section([]string{"ROWS", "NUMBER", "PART", "VALUES"}, rows)
}

// rowsText reads "1 added, 2 changed, 175 unchanged".
func rowsText(d *table.Diff) string {
	var words []string
	for _, c := range []struct {
		n    int
		word string
	}{
		{d.Added, "added"},
		{d.Removed, "removed"},
		{d.Changed, "changed"},
		{d.Relabelled, "relabelled"},
		{d.Moved, "moved to another part"},
		{d.Unchanged, "unchanged"},
		{d.Renumbered, "under another number"},
	} {
		if c.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	if words == nil {
		return "nothing to compare"
	}
	return strings.Join(words, ", ")
}

// rowNumber is a row number, "" for none.
func rowNumber(n int64) string {
	if n < 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// arrow reads "a → b", or "a" if both are the same or one is none.
func arrow(a, b string) string {
	switch {
	case a == b || b == "" || b == `""`:
		return a
	case a == "" || a == `""`:
		return b
	}
	return a + " → " + b
}
