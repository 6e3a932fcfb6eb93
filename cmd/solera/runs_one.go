package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

// oneRun shows one run, or what the flags ask of it.
func (a *app) oneRun(ctx context.Context, w *workspace, name string, f runsFlags) error {
	switch {
	case f.metric != "":
		return a.showSeries(ctx, w, name, f)
	case f.follow:
		return a.followRun(ctx, w, name)
	case f.format != "table" && f.format != "json":
		return usage("--format %s is for lists of runs, and csv for --metric", f.format)
	case f.console:
		return a.showConsole(ctx, w, name)
	}
	d, err := w.Detail(ctx, name)
	if err != nil {
		return a.absentRun(err)
	}
	if f.format == "json" {
		return a.printJSON(detailOf(d))
	}
	return a.printDetail(ctx, w, d)
}

// detailJSON is one run as scripts see it: what the list has, and more.
type detailJSON struct {
	runJSON
	Metrics     []string       `json:"metrics"`
	Environment solera.Fields  `json:"environment"`
	Host        string         `json:"host"`
	Solera      string         `json:"solera"`
	Recipe      solera.Digest  `json:"recipe"`
	Code        solera.Digest  `json:"code"`
	Used        []versionJSON  `json:"used"`
	Made        []versionJSON  `json:"made"`
	Files       []solera.Entry `json:"files"`
}

type versionJSON struct {
	Ref    string        `json:"ref"`
	Type   string        `json:"type"`
	Digest solera.Digest `json:"digest"`
}

func detailOf(d tracking.RunDetail) detailJSON {
	versions := func(list []solera.Version) []versionJSON {
		out := []versionJSON{}
		for _, v := range list {
			out = append(out, versionJSON{v.ID().String(), v.Type, v.Digest})
		}
		return out
	}
	return detailJSON{
		runJSON: runOf(d.Run), Metrics: append([]string{}, d.Metrics...), Environment: d.Environment, Host: d.Host, Solera: d.Run.Solera,
		Recipe: d.Recipe, Code: d.Code, Used: versions(d.Used), Made: versions(d.Made), Files: append([]solera.Entry{}, d.Files...),
	}
}

// How many lines of its console the view of a run ends with, and how many
// metrics it names.
const (
	lastLines   = 10
	mostMetrics = 30
)

// printDetail shows one run to people.
func (a *app) printDetail(ctx context.Context, w *workspace, d tracking.RunDetail) error {
	about := [][]string{
		{"run", string(d.ID)},
		{"name", cell(d.Name, 76)},
		{"project", d.Project},
		{"state", stateOf(d.Run)},
		{"reused", string(d.ReuseOf)},
		{"error", cell(d.Error, 400)},
		{"group", cell(d.Group, 76)},
		{"sweep", cell(d.Sweep, 76)},
		{"started (UTC)", startedAt(d.Run)},
		{"time", took(d.Run)},
		{"tags", cell(strings.Join(d.Tags, " "), 400)},
		{"notes", cell(d.Notes, 400)},
		{"host", cell(d.Host, 76)},
		{"solera", cell(d.Run.Solera, 76)},
	}
	for _, v := range d.Used {
		about = append(about, []string{"used", v.Name() + "  " + v.Digest.Short()})
	}
	for _, v := range d.Made {
		about = append(about, []string{"made", v.Name() + "  " + v.Digest.Short()})
	}
	for _, e := range d.Files {
		about = append(about, []string{"file", cell(e.Path, 60) + "  " + size(e.Size)})
	}
	if n := len(d.Metrics); n > 0 {
		names := make([]string, 0, mostMetrics)
		for _, key := range d.Metrics[:min(n, mostMetrics)] {
			names = append(names, cell(key, 40))
		}
		if n > mostMetrics {
			names = append(names, fmt.Sprintf("and %d more", n-mostMetrics))
		}
		about = append(about, []string{"metrics", strings.Join(names, " ")})
	}
	about = slices.DeleteFunc(about, func(row []string) bool { return row[1] == "" })
	if err := a.printTable([]string{"RUN", cell(string(d.ID), 76)}, about[1:]); err != nil {
		return err
	}
	environment := maps.Clone(d.Environment)
	delete(environment, "client") // says nothing to people
	for _, part := range []struct {
		title string
		rows  [][]string
	}{
		{"PARAM", fieldRows(d.Params.Flat())}, {"SUMMARY", summaryRows(d.Summary.Flat())}, {"ENVIRONMENT", fieldRows(environment.Flat())},
	} {
		if len(part.rows) == 0 {
			continue
		}
		if err := a.printf("\n"); err != nil {
			return err
		}
		if err := a.printTable([]string{part.title, "VALUE"}, part.rows); err != nil {
			return err
		}
	}
	lines, err := w.Console(ctx, d.Recorder(), 0, 0)
	if err != nil || len(lines) == 0 {
		return err
	}
	if err := a.printf("\nConsole, the last of %s (all: %s runs %s --console):\n", count(len(lines), "line"), a.self(), d.ID); err != nil {
		return err
	}
	for _, line := range lines[max(0, len(lines)-lastLines):] {
		if err := a.printf("%s\n", cell(line.Text, maxWidth-1)); err != nil {
			return err
		}
	}
	return nil
}

func fieldRows(f solera.Fields) [][]string {
	var rows [][]string
	for _, key := range slices.Sorted(maps.Keys(f)) {
		rows = append(rows, []string{cell(key, 60), cell(plainText(f[key]), 400)})
	}
	return rows
}

// summaryRows shows a value with the interval that is recorded beside it:
// accuracy with accuracy_low and accuracy_high.
func summaryRows(f solera.Fields) [][]string {
	var rows [][]string
	for _, key := range slices.Sorted(maps.Keys(f)) {
		if base, ok := strings.CutSuffix(key, "_low"); ok && f[base] != nil && f[base+"_high"] != nil {
			continue
		}
		if base, ok := strings.CutSuffix(key, "_high"); ok && f[base] != nil && f[base+"_low"] != nil {
			continue
		}
		text := cell(shortText(f[key]), 400)
		if low, high := f[key+"_low"], f[key+"_high"]; low != nil && high != nil {
			text += fmt.Sprintf(" [%s, %s]", cell(shortText(low), 20), cell(shortText(high), 20))
		}
		rows = append(rows, []string{cell(key, 60), text})
	}
	return rows
}

// showSeries shows the points of one metric.
func (a *app) showSeries(ctx context.Context, w *workspace, name string, f runsFlags) error {
	steps, err := parseSteps(f.steps)
	if err != nil {
		return err
	}
	run, err := w.FindRun(ctx, name)
	if err != nil {
		return a.absentRun(err)
	}
	points, err := w.Series(ctx, string(run.ID), solera.SeriesQuery{Key: f.metric, Steps: steps, Pixels: f.pixels})
	if errors.Is(err, solera.ErrNotFound) {
		return &solera.InputError{
			Msg:  fmt.Sprintf("run %s has no metric %.80q", run.ID, f.metric),
			Hint: fmt.Sprintf("%s runs %s lists those it has", a.self(), run.ID), Err: err,
		}
	}
	if err != nil {
		return err
	}
	switch f.format {
	case "json":
		return a.printJSON(seriesJSON{f.metric, points})
	case "csv":
		out := csv.NewWriter(a.stdout)
		if err := out.Write([]string{"step", "value"}); err != nil {
			return err
		}
		for _, p := range points {
			if err := out.Write([]string{strconv.FormatInt(p.Step, 10), strconv.FormatFloat(p.Value, 'g', -1, 64)}); err != nil {
				return err
			}
		}
		out.Flush()
		return out.Error()
	case "parquet":
		return usage("--format parquet is for lists of runs; points come as table, csv or json")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%12s  %s\n", "STEP", cell(f.metric, 80))
	for _, p := range points {
		fmt.Fprintf(&b, "%12d  %s\n", p.Step, strconv.FormatFloat(p.Value, 'g', -1, 64))
	}
	_, err = io.WriteString(a.stdout, b.String())
	return err
}

type seriesJSON struct {
	key    string
	points []solera.Point
}

// MarshalJSON writes points as [step, value], NaN as null and the infinities
// as texts, because JSON has no numbers for them.
func (s seriesJSON) MarshalJSON() ([]byte, error) {
	pairs := make([][2]any, len(s.points))
	for i, p := range s.points {
		pairs[i] = [2]any{p.Step, p.Value}
		switch {
		case math.IsNaN(p.Value):
			pairs[i][1] = nil
		case math.IsInf(p.Value, 1):
			pairs[i][1] = "Infinity"
		case math.IsInf(p.Value, -1):
			pairs[i][1] = "-Infinity"
		}
	}
	return json.Marshal(struct {
		Key    string   `json:"key"`
		Points [][2]any `json:"points"`
	}{s.key, pairs})
}

// showConsole shows what a run printed, on one stream: the order is worth more
// than the difference.
func (a *app) showConsole(ctx context.Context, w *workspace, name string) error {
	run, err := w.FindRun(ctx, name)
	if err != nil {
		return a.absentRun(err)
	}
	lines, err := w.Console(ctx, firstRun(run), 0, 0)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(append([]solera.Line{}, lines...))
	}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(cell(line.Text, math.MaxInt) + "\n")
	}
	_, err = io.WriteString(a.stdout, b.String())
	return err
}

// firstRun is the run that has what r shows.
func firstRun(r solera.Run) solera.RunID { return tracking.RunDetail{Run: r}.Recorder() }

// newsJSON is one line of runs --follow --json.
type newsJSON struct {
	State  solera.RunState `json:"state"`
	Points []solera.Point  `json:"points"`
	Lines  []solera.Line   `json:"lines"`
}

// lookAgain is how long followRun waits between two looks.
const lookAgain = 300 * time.Millisecond

// followRun shows what a run records and prints until it ends.
func (a *app) followRun(ctx context.Context, w *workspace, name string) error {
	run, err := w.FindRun(ctx, name)
	if err != nil {
		return a.absentRun(err)
	}
	var last solera.Run
	state := solera.RunState("")
	err = w.Follow(ctx, firstRun(run), 0, 0, lookAgain, func(n tracking.News) error {
		last = n.Run
		if a.json {
			if len(n.Points)+len(n.Lines) == 0 && n.Run.State == state {
				return nil
			}
			state = n.Run.State
			return json.NewEncoder(a.stdout).Encode(newsJSON{state, append([]solera.Point{}, n.Points...), append([]solera.Line{}, n.Lines...)})
		}
		return a.printNews(n)
	})
	if err != nil || a.json {
		return err
	}
	return a.printf("%s %s %s\n", last.ID, stateOf(last), took(last))
}

// printNews shows points, one line a step, and lines. Points about the machine
// are left out.
func (a *app) printNews(n tracking.News) error {
	var b strings.Builder
	for i := 0; i < len(n.Points); {
		first := n.Points[i]
		line := fmt.Sprintf("step %d", first.Step)
		shown := false
		for ; i < len(n.Points) && n.Points[i].Step == first.Step && n.Points[i].Time == first.Time; i++ {
			if p := n.Points[i]; !strings.HasPrefix(p.Key, "system/") {
				shown = true
				line += fmt.Sprintf("  %s %s", cell(p.Key, 40), strconv.FormatFloat(p.Value, 'g', 4, 64))
			}
		}
		if shown {
			b.WriteString(line + "\n")
		}
	}
	for _, line := range n.Lines {
		b.WriteString(cell(line.Text, math.MaxInt) + "\n")
	}
	_, err := io.WriteString(a.stdout, b.String())
	return err
}

// changed reports a change of one run.
func (a *app) changed(run solera.Run, what string) error {
	if a.json {
		return a.printJSON(runOf(run))
	}
	return a.printf("%s %s\n", run.ID, what)
}

// change opens the project and changes a run in it.
func (a *app) change(ctx context.Context, fn func(*workspace) error) error {
	w, err := a.openProject(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	return a.absentRun(fn(w))
}

func (a *app) runsTagCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "tag ID +TAG -TAG …",
		Short: "Add tags to a run, or take them away",
		// A tag to take away looks like a flag.
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			var flags, words, add, remove []string
			only := false // after --, nothing is a flag
			for i := 0; i < len(args); i++ {
				arg := args[i]
				name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
				long := strings.HasPrefix(arg, "--")
				known := c.InheritedFlags().Lookup(name)
				if !long && len(name) == 1 {
					known = c.InheritedFlags().ShorthandLookup(name)
				}
				switch {
				case only || !strings.HasPrefix(arg, "-") || arg == "-":
					words = append(words, arg)
				case arg == "--":
					only = true
				case arg == "--help" || arg == "-h":
					return c.Help()
				case known != nil && (long || len(name) == 1):
					flags = append(flags, arg)
					if known.NoOptDefVal == "" && !strings.Contains(arg, "=") && i+1 < len(args) {
						i++
						flags = append(flags, args[i])
					}
				case long:
					return usage("unknown flag %s", arg)
				default:
					remove = append(remove, arg[1:])
				}
			}
			if err := c.InheritedFlags().Parse(flags); err != nil {
				return usage("%v", err)
			}
			for _, word := range words {
				tag, ok := strings.CutPrefix(word, "+")
				switch {
				case ok:
					add = append(add, tag)
				case only && strings.HasPrefix(word, "-"):
					remove = append(remove, word[1:])
				}
			}
			words = slices.DeleteFunc(words, func(s string) bool { return strings.HasPrefix(s, "+") || strings.HasPrefix(s, "-") })
			if len(words) != 1 || len(add)+len(remove) == 0 {
				return usage("which tags of which run? %s runs tag ID +best -old", a.self())
			}
			return a.change(c.Context(), func(w *workspace) error {
				run, err := w.TagRun(c.Context(), words[0], add, remove)
				if err != nil {
					return err
				}
				tags := "has no tags"
				if len(run.Tags) > 0 {
					tags = "has the tags " + strings.Join(run.Tags, " ")
				}
				return a.changed(run, tags)
			})
		},
	}
	return c
}

func (a *app) runsNoteCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "note ID TEXT",
		Short: `Write notes on a run in place of those it has; "" removes them`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage("which note on which run? %s runs note ID TEXT", a.self())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return a.change(c.Context(), func(w *workspace) error {
				run, err := w.NoteRun(c.Context(), args[0], args[1])
				if err != nil {
					return err
				}
				return a.changed(run, "noted")
			})
		},
	}
}

func (a *app) runsChangeCommand(verb, done, short string, change func(*tracking.Tracker, context.Context, string) (solera.Run, error)) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " ID",
		Short: short,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("which run? %s runs %s ID", a.self(), verb)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return a.change(c.Context(), func(w *workspace) error {
				run, err := change(w.Tracker, c.Context(), args[0])
				if err != nil {
					return err
				}
				return a.changed(run, done)
			})
		},
	}
}
