package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera/tracking"
)

func (a *app) compareCommand() *cobra.Command {
	all := false
	c := &cobra.Command{
		Use:   "compare RUN RUN…",
		Short: "Show what differs between runs",
		Long: `Params, summary, metrics (the last value of each), inputs and outputs by content,
code and environment of two or more runs, side by side. What is the same is
hidden. A run is named as for solera runs: by its ID, or by its experiment.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usage("compare what? %s compare RUN RUN: %s runs lists them", a.self(), a.self())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			w, err := a.openProject(c.Context())
			if err != nil {
				return err
			}
			defer w.close()
			comparison, err := w.Compare(c.Context(), args)
			if err != nil {
				return a.absentRun(err)
			}
			if a.json {
				return a.printJSON(comparisonOf(comparison, all))
			}
			return a.printComparison(comparison, all)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "what is the same, too")
	return c
}

// comparisonJSON is a comparison as scripts see it. Hidden counts the rows that
// are the same and not shown.
type comparisonJSON struct {
	Runs     []runJSON                 `json:"runs"`
	Sections map[string][]tracking.Row `json:"sections"`
	Hidden   int                       `json:"hidden"`
}

func comparisonOf(c tracking.Comparison, all bool) comparisonJSON {
	out := comparisonJSON{Runs: []runJSON{}, Sections: map[string][]tracking.Row{}}
	for _, r := range c.Runs {
		out.Runs = append(out.Runs, runOf(r))
	}
	for _, s := range c.Sections {
		shown := s
		if !all {
			shown = s.Differing()
		}
		out.Hidden += len(s.Rows) - len(shown.Rows)
		out.Sections[s.Name] = append([]tracking.Row{}, shown.Rows...)
	}
	return out
}

// printComparison shows runs side by side, a table for each section.
func (a *app) printComparison(c tracking.Comparison, all bool) error {
	headers := []string{""}
	var about [][]string
	for i, r := range c.Runs {
		headers = append(headers, string(rune('A'+i%26)))
		about = append(about, []string{string(rune('A' + i%26)), string(r.ID), cell(r.Name, 30), stateOf(r), startedAt(r)})
	}
	if err := a.printTable([]string{"", "RUN", "NAME", "STATE", "STARTED (UTC)"}, about); err != nil {
		return err
	}
	// What fits beside the keys, and the difference where there are two.
	width := max(8, 58/len(c.Runs))
	hidden, differ := 0, false
	for _, s := range c.Sections {
		shown := s
		if !all {
			shown = s.Differing()
		}
		hidden += len(s.Rows) - len(shown.Rows)
		if len(shown.Rows) == 0 {
			continue
		}
		differ = differ || slices.ContainsFunc(shown.Rows, func(r tracking.Row) bool { return !r.Same })
		var rows [][]string
		changes := false
		of := restsOn(s)
		for _, row := range shown.Rows {
			if of.told(row.Key) {
				continue
			}
			line := []string{cell(row.Key, 34)}
			for i, v := range row.Values {
				line = append(line, cell(compared(v), width)+of.text(row.Key, i))
			}
			if len(c.Runs) == 2 {
				line = append(line, change(row))
				changes = changes || line[3] != ""
			}
			rows = append(rows, line)
		}
		titles := slices.Clone(headers)
		titles[0] = strings.ToUpper(s.Name)
		if len(c.Runs) == 2 {
			titles = append(titles, "B - A")
			if !changes {
				titles = titles[:3]
				for i := range rows {
					rows[i] = rows[i][:3]
				}
			}
		}
		if err := a.printf("\n"); err != nil {
			return err
		}
		if err := a.printTable(titles, rows); err != nil {
			return err
		}
	}
	if !differ {
		if err := a.printf("\nNothing differs.\n"); err != nil {
			return err
		}
	}
	if hidden > 0 {
		return a.printf("\n%s the same: --all shows them.\n", map[bool]string{true: "1 row is", false: fmt.Sprintf("%d rows are", hidden)}[hidden == 1])
	}
	return nil
}

// evidence is what the scores of a section rest on: the ends of their intervals
// and the numbers of rows, by key.
type evidence map[string][]any

func restsOn(s tracking.Section) evidence {
	e := make(evidence, len(s.Rows))
	for _, row := range s.Rows {
		e[row.Key] = row.Values
	}
	return e
}

func (e evidence) of(key string, i int) any {
	if values := e[key]; i < len(values) {
		return values[i]
	}
	return nil
}

// told reports whether a row is the end of an interval that another row shows.
func (e evidence) told(key string) bool {
	for _, end := range []string{"_low", "_high"} {
		if score, ok := strings.CutSuffix(key, end); ok && e[score] != nil && e[score+"_low"] != nil && e[score+"_high"] != nil {
			return true
		}
	}
	return false
}

// text returns what is said of a score beside its value, as lists of runs have
// it; "" where the run recorded nothing of the kind.
func (e evidence) text(key string, i int) string {
	low, high := e.of(key+"_low", i), e.of(key+"_high", i)
	if low == nil || high == nil {
		return ""
	}
	return restText(low, high, e.of(key[:strings.LastIndexByte(key, '.')+1]+"rows", i))
}

// compared returns a value for people, "-" for none.
func compared(v any) string {
	if v == nil {
		return "-"
	}
	if text := shortText(v); text != "" {
		return text
	}
	return `""`
}

// change returns the difference of two numbers.
func change(r tracking.Row) string {
	d := r.Differences[1]
	if d == nil || *d == 0 {
		return ""
	}
	sign := ""
	if *d > 0 {
		sign = "+"
	}
	return sign + shortText(*d)
}
