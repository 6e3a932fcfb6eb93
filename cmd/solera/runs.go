package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tracking"
)

// runsFlags are what solera runs can be told.
type runsFlags struct {
	where, sort, columns, format, output string
	limit, offset, page                  int
	everywhere, deleted                  bool

	metric, steps   string
	pixels          int
	console, follow bool
}

func (a *app) runsCommand() *cobra.Command {
	var f runsFlags
	c := &cobra.Command{
		Use:   "runs [ID|EXPERIMENT|STAGE]",
		Short: "List, filter and export runs, or show one",
		Long: `Without an argument: the runs of the project, the newest first. With one: all
about a run. It is named by its ID, by the beginning of its ID if no other
begins so, or by its experiment or stage, which means the newest run of that.

  solera runs --where 'params.optimizer = "adam" and summary.val.accuracy > 0.9'
  solera runs --sort -summary.val.accuracy,started --columns id,params.learning_rate
  solera runs --format parquet --output runs.parquet
  solera runs exp001 --metric val/loss --pixels 100 --json
  solera runs tag exp001 +best -old

Conditions compare fields (id, name, project, stage, experiment, group, state,
host, notes, error, solera, tags, created, started, finished, duration,
params.KEY, summary.KEY, environment.KEY) with = != < <= > >= in (…) like, is
null, between, and join with and, or, not. Texts stand in quotes, times are
"2026-11-22" or "-7d".`,
		Args: atMostOne("run"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(a, c, len(args) == 1); err != nil {
				return err
			}
			w, err := a.openProject(c.Context())
			if err != nil {
				return err
			}
			defer w.close()
			if len(args) == 1 {
				return a.oneRun(c.Context(), w, args[0], f)
			}
			return a.listRuns(c.Context(), w, f)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.where, "where", "", "only runs for which `CONDITION` holds")
	flags.StringVar(&f.sort, "sort", "", "sort by `FIELDS`: a comma between, - before one that goes down")
	flags.IntVar(&f.limit, "limit", 0, "at most `N` runs (default 50 in a table, else all)")
	flags.IntVar(&f.offset, "offset", 0, "pass over `N` runs")
	flags.IntVar(&f.page, "page", 1, "page `N` of --limit runs")
	flags.StringVar(&f.columns, "columns", "", "show `FIELDS`, a comma between")
	flags.BoolVar(&f.everywhere, "all-projects", false, "runs of every project")
	flags.BoolVar(&f.deleted, "deleted", false, "deleted runs too")
	flags.StringVar(&f.format, "format", "table", "table, csv, json or parquet")
	flags.StringVarP(&f.output, "output", "o", "", "write to `FILE`")
	flags.StringVar(&f.metric, "metric", "", "the points of metric `KEY` of one run")
	flags.IntVar(&f.pixels, "pixels", 0, "thin the points to a chart `N` pixels wide; the lowest and highest stay")
	flags.StringVar(&f.steps, "steps", "", "only points of steps `A:B`")
	flags.BoolVar(&f.console, "console", false, "what one run printed")
	flags.BoolVar(&f.follow, "follow", false, "what one run records and prints, until it ends")
	c.AddCommand(a.runsTagCommand(), a.runsNoteCommand(),
		a.runsChangeCommand("stop", "is asked to stop", "Ask a run to stop; its process ends it soon", (*tracking.Tracker).StopRun),
		a.runsChangeCommand("delete", "deleted", "Hide a run; gc removes it later", (*tracking.Tracker).DeleteRun),
		a.runsChangeCommand("restore", "restored", "Take the deletion of a run back", (*tracking.Tracker).RestoreRun))
	return c
}

func (f *runsFlags) check(a *app, c *cobra.Command, one bool) error {
	forList := []string{"where", "sort", "limit", "offset", "page", "columns", "all-projects", "deleted", "output"}
	forOne := []string{"metric", "pixels", "steps", "console", "follow"}
	wrong, hint := forOne, "name a run"
	if one {
		wrong, hint = forList, "leave out the run, or the flag"
	}
	for _, name := range wrong {
		if c.Flags().Changed(name) {
			return usage("--%s: %s", name, hint)
		}
	}
	formats := []string{"table", "csv", "json", "parquet"}
	if !slices.Contains(formats, f.format) {
		return usage("--format %s: want %s", f.format, strings.Join(formats, ", "))
	}
	if a.json {
		f.format = "json"
	}
	switch {
	case f.limit < 0 || f.offset < 0 || f.page < 1 || f.pixels < 0:
		return usage("--limit, --offset, --page and --pixels count from 1")
	case f.page > 1 && f.offset > 0:
		return usage("--page and --offset: give one of them")
	case (f.pixels > 0 || f.steps != "") && f.metric == "":
		return usage("--pixels and --steps are about points: name them with --metric KEY")
	case f.format == "parquet" && f.output == "" && a.isTerminal(a.stdout):
		return usage("--format parquet is not for a terminal: name a file with --output")
	}
	if f.limit == 0 && f.format == "table" && f.output == "" && !c.Flags().Changed("limit") {
		f.limit = 50
	}
	if f.page > 1 {
		if f.limit == 0 {
			return usage("--page %d: how long is a page? give --limit", f.page)
		}
		if f.page > math.MaxInt32/f.limit {
			return usage("--page %d: too large", f.page)
		}
		f.offset = (f.page - 1) * f.limit
	}
	return nil
}

// listRuns prints the runs that the flags choose.
func (a *app) listRuns(ctx context.Context, w *workspace, f runsFlags) error {
	q := solera.RunQuery{Limit: f.limit, Offset: f.offset, Deleted: f.deleted}
	var err error
	if q.Where, err = solera.ParseExpr(f.where); err != nil {
		return usage("--where: %v", err)
	}
	for field := range strings.SplitSeq(f.sort, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		o := solera.RunOrder{Field: strings.TrimPrefix(field, "-"), Descending: strings.HasPrefix(field, "-")}
		if err := solera.CheckField(o.Field); err != nil {
			return usage("--sort: %s", sentence(err))
		}
		q.Order = append(q.Order, o)
	}
	var columns []string
	for field := range strings.SplitSeq(f.columns, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		if err := solera.CheckField(field); err != nil {
			return usage("--columns: %v", err)
		}
		columns = append(columns, field)
	}
	runs, total, err := w.Search(ctx, q, f.everywhere)
	if err != nil {
		return err
	}
	return a.writeTo(f.output, func(out io.Writer) error {
		switch f.format {
		case "json":
			list := []runJSON{}
			for _, r := range runs {
				list = append(list, runOf(r))
			}
			return writeIndented(out, list)
		case "csv":
			return writeRunsCSV(out, runs, columns)
		case "parquet":
			return writeRunsParquet(out, runs, columns)
		}
		return a.printRuns(out, runs, total, columns, f)
	})
}

// writeTo calls write with stdout, or with a file that appears under its name
// when it is whole.
func (a *app) writeTo(name string, write func(io.Writer) error) (err error) {
	if name == "" {
		return write(a.stdout)
	}
	path := a.path(name)
	file, err := os.CreateTemp(filepath.Dir(path), ".solera-*")
	if err != nil {
		return &solera.InputError{Op: "write " + path, File: path, Err: err}
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(file.Name())
		}
	}()
	if err := write(file); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := file.Chmod(0o644); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

func writeIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// runJSON is a run as scripts see it in a list.
type runJSON struct {
	ID         solera.RunID    `json:"id"`
	Name       string          `json:"name"`
	Project    string          `json:"project"`
	Stage      string          `json:"stage"`
	Experiment string          `json:"experiment"`
	Group      string          `json:"group"`
	Sweep      string          `json:"sweep,omitempty"`
	State      solera.RunState `json:"state"`
	Params     solera.Fields   `json:"params"`
	Summary    solera.Fields   `json:"summary"`
	Tags       []string        `json:"tags"`
	Notes      string          `json:"notes"`
	Error      string          `json:"error,omitempty"`
	ReuseOf    solera.RunID    `json:"reuse_of,omitempty"`
	Created    solera.Micros   `json:"created"`
	Started    solera.Micros   `json:"started"`
	Finished   solera.Micros   `json:"finished"`
	Duration   *float64        `json:"duration"` // seconds; null until it ended
	Deleted    solera.Micros   `json:"deleted,omitempty"`
	Stopping   solera.Micros   `json:"stopping,omitempty"` // when it was asked to stop
}

func runOf(r solera.Run) runJSON {
	out := runJSON{
		ID: r.ID, Name: r.Name, Project: r.Project, Stage: r.Stage, Experiment: r.Experiment, Group: r.Group, Sweep: r.Sweep, State: r.State,
		Params: r.Params, Summary: r.Summary, Tags: append([]string{}, r.Tags...), Notes: r.Notes, Error: r.Error, ReuseOf: r.ReuseOf,
		Created: r.Created, Started: r.Started, Finished: r.Finished, Deleted: r.Deleted, Stopping: r.Stopping,
	}
	if s, ok := seconds(r); ok {
		out.Duration = &s
	}
	return out
}

// seconds returns how long a run took.
func seconds(r solera.Run) (float64, bool) {
	if r.Started == 0 || r.Finished == 0 {
		return 0, false
	}
	return float64(r.Finished-r.Started) / 1e6, true
}

// fieldsOf returns what a run has by the names that conditions use.
func fieldsOf(r solera.Run) solera.Fields {
	f := solera.Fields{
		"id": string(r.ID), "name": r.Name, "project": r.Project, "stage": r.Stage, "experiment": r.Experiment, "group": r.Group,
		"state": string(r.State), "host": r.Host, "notes": r.Notes, "error": r.Error, "solera": r.Solera,
		"created": r.Created, "started": r.Started, "finished": r.Finished, "tags": r.Tags,
	}
	if r.Sweep != "" {
		f["sweep"] = r.Sweep
	}
	if r.Stopping != 0 {
		f["stopping"] = r.Stopping
	}
	if s, ok := seconds(r); ok {
		f["duration"] = s
	}
	for name, fields := range map[string]solera.Fields{"params": r.Params, "summary": r.Summary, "environment": r.Environment} {
		for key, v := range fields.Flat() {
			f[name+"."+key] = v
		}
	}
	return f
}

// exportColumns are the columns of an export: those asked for, or everything
// that some run has but its environment.
func exportColumns(rows []solera.Fields, asked []string) []string {
	if len(asked) > 0 {
		return asked
	}
	columns := []string{
		"id", "name", "project", "stage", "experiment", "group", "state", "tags", "notes", "error", "host", "solera",
		"created", "started", "finished", "duration",
	}
	free := map[string]bool{}
	for _, row := range rows {
		for field := range row {
			if strings.HasPrefix(field, "params.") || strings.HasPrefix(field, "summary.") {
				free[field] = true
			}
		}
	}
	return append(columns, slices.Sorted(maps.Keys(free))...)
}

// plainText returns a value as a text without loss; "" = none.
func plainText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case solera.Micros:
		return v.String()
	case []string:
		return strings.Join(v, " ")
	}
	raw, err := solera.Fields{"": v}.MarshalJSON()
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw[len(`{"":`) : len(raw)-1])
}

func writeRunsCSV(out io.Writer, runs []solera.Run, asked []string) error {
	rows := make([]solera.Fields, len(runs))
	for i, r := range runs {
		rows[i] = fieldsOf(r)
	}
	columns := exportColumns(rows, asked)
	w := csv.NewWriter(out)
	if err := w.Write(columns); err != nil {
		return err
	}
	record := make([]string, len(columns))
	for _, row := range rows {
		for j, field := range columns {
			record[j] = plainText(row[field])
		}
		if err := w.Write(record); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// writeRunsParquet writes a column per field: numbers, booleans and moments as
// what they are where all values are, else texts.
func writeRunsParquet(out io.Writer, runs []solera.Run, asked []string) error {
	t := &table.Table{}
	rows := make([]solera.Fields, len(runs))
	for i, r := range runs {
		rows[i] = fieldsOf(r)
		t.RowNumbers = append(t.RowNumbers, int64(i))
	}
	for _, field := range exportColumns(rows, asked) {
		t.Columns = append(t.Columns, columnOf(field, rows))
	}
	return table.WriteParquet(out, t)
}

func columnOf(field string, rows []solera.Fields) *table.Column {
	c := &table.Column{Name: field, Kind: table.Number, Integer: true}
	flags, moments, numbers := 0, 0, 0
	present := 0
	for _, row := range rows {
		x := math.NaN()
		switch v := row[field].(type) {
		case bool:
			flags++
			x = 0
			if v {
				x = 1
			}
		case solera.Micros:
			moments++
			if v != 0 {
				x = float64(v) / 1e6
			}
		default:
			if number, ok := row.Float(field); ok {
				numbers++
				x = number
			}
		}
		if plainText(row[field]) != "" {
			present++
		}
		c.Integer = c.Integer && (math.IsNaN(x) || x == math.Trunc(x))
		c.Numbers = append(c.Numbers, x)
	}
	c.Integer = c.Integer && present > 0
	switch {
	case moments > 0:
		c.Kind, c.Integer = table.Date, false
		return c
	case present == flags && flags > 0:
		c.Kind, c.Integer = table.Boolean, false
		return c
	case present == numbers && numbers > 0:
		return c
	}
	texts := map[string]int32{}
	for _, row := range rows {
		texts[plainText(row[field])] = 0
	}
	delete(texts, "")
	levels := slices.Sorted(maps.Keys(texts))
	for i, level := range levels {
		texts[level] = int32(i)
	}
	c = &table.Column{Name: field, Kind: table.Category, Levels: levels}
	for _, row := range rows {
		code, ok := texts[plainText(row[field])]
		if !ok {
			code = -1
		}
		c.Codes = append(c.Codes, code)
	}
	return c
}

// printRuns shows runs as a table.
func (a *app) printRuns(out io.Writer, runs []solera.Run, total int, columns []string, f runsFlags) error {
	if len(runs) == 0 {
		text := "No runs yet. Make them with: " + a.self() + " run\n"
		switch {
		case total > 0:
			text = fmt.Sprintf("There is nothing on this page: %s in all.\n", count(total, "run"))
		case f.where != "":
			text = "No run fits the condition.\n"
		}
		_, err := io.WriteString(out, text)
		return err
	}
	rows := make([]solera.Fields, len(runs))
	for i, r := range runs {
		rows[i] = fieldsOf(r)
	}
	var headers []string
	var lines [][]string
	if len(columns) > 0 {
		headers = columns
		for _, row := range rows {
			var line []string
			for _, field := range columns {
				line = append(line, withInterval(row, field))
			}
			lines = append(lines, line)
		}
	} else {
		headers, lines = runTable(runs, rows, f.everywhere, time.Now())
	}
	stdout := a.stdout
	defer func() { a.stdout = stdout }()
	a.stdout = out
	if err := a.printTable(headers, lines); err != nil {
		return err
	}
	if total > len(runs) {
		next := ""
		if last := f.offset + len(runs); last < total && f.limit > 0 {
			next = fmt.Sprintf("; --page %d shows the next, --limit 0 all", last/f.limit+1)
		}
		return a.printf("\nRuns %d to %d of %d%s.\n", f.offset+1, f.offset+len(runs), total, next)
	}
	return nil
}

// runTable returns the columns that people look at, and as many values of the
// summaries as fit beside them.
func runTable(runs []solera.Run, rows []solera.Fields, projects bool, now time.Time) (headers []string, lines [][]string) {
	headers = []string{"ID", "NAME", "STATE", "AGE", "TIME"}
	if projects {
		headers = append(headers, "PROJECT")
	}
	for _, r := range runs {
		line := []string{cell(string(r.ID), 40), cell(r.Name, 24), stateOf(r), age(r, now), took(r)}
		if projects {
			line = append(line, cell(r.Project, 24))
		}
		lines = append(lines, line)
	}
	used := 0
	for j, h := range headers {
		width := len(h)
		for _, line := range lines {
			width = max(width, lipgloss.Width(line[j]))
		}
		used += width + 2
	}
	for _, field := range summaryColumns(rows) {
		header := cell(strings.TrimPrefix(field, "summary."), 20)
		width := lipgloss.Width(header)
		values := make([]string, len(rows))
		for i, row := range rows {
			values[i] = withInterval(row, field)
			width = max(width, lipgloss.Width(values[i]))
		}
		if used += width + 2; used > maxWidth {
			break
		}
		headers = append(headers, header)
		for i := range lines {
			lines[i] = append(lines[i], values[i])
		}
	}
	return headers, lines
}

// age returns for how long a run has been there.
func age(r solera.Run, now time.Time) string {
	d := now.Sub(r.Created.Time())
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

func stateOf(r solera.Run) string {
	switch {
	case r.Deleted != 0:
		return "deleted"
	case r.ReuseOf != "":
		return "reused"
	}
	return string(r.State)
}

func startedAt(r solera.Run) string {
	if r.Started == 0 {
		return ""
	}
	return r.Started.Time().Format("2006-01-02 15:04")
}

// took returns how long a run took, for people.
func took(r solera.Run) string {
	s, ok := seconds(r)
	if !ok {
		return ""
	}
	switch d := time.Duration(s * float64(time.Second)); {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", s)
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", s)
	case d < time.Hour:
		return fmt.Sprintf("%d m %02d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d h %02d m", int(d.Hours()), int(d.Minutes())%60)
	}
}

// withInterval shows the value of a field; a score comes with what it rests on,
// where the run recorded that: 1 [0.8241–1] n 18.
func withInterval(row solera.Fields, field string) string {
	text := cell(shortText(row[field]), 40)
	low, high := row[field+"_low"], row[field+"_high"]
	if low == nil || high == nil {
		return text
	}
	return text + restText(low, high, row[field[:strings.LastIndexByte(field, '.')+1]+"rows"])
}

// restText returns what stands behind a score: its interval, and the number of
// its rows unless n is nil.
func restText(low, high, n any) string {
	text := " [" + cell(shortText(low), 10) + "–" + cell(shortText(high), 10) + "]"
	if n != nil {
		text += " n " + cell(shortText(n), 10)
	}
	return text
}

// summaryColumns chooses the summary values that say most about the runs: what
// people ask for first, and what many have.
func summaryColumns(rows []solera.Fields) []string {
	const most = 4
	counts := map[string]int{}
	for _, row := range rows {
		for field := range row {
			name, ok := strings.CutPrefix(field, "summary.")
			if !ok || strings.HasPrefix(name, "_") { // what clients count for themselves
				continue
			}
			if _, ok := row.Float(field); ok {
				counts[field]++
			}
		}
	}
	fields := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(importance(a), importance(b)), cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	return fields[:min(most, len(fields))]
}

// importance sorts metrics: small is looked at first.
func importance(field string) int {
	parts := strings.FieldsFunc(strings.ToLower(strings.TrimPrefix(field, "summary.")), func(r rune) bool { return r == '.' || r == '/' })
	if len(parts) == 0 {
		return math.MaxInt
	}
	metrics := []string{"accuracy", "balanced_accuracy", "macro_f1", "f1", "auc", "r2", "rmse", "mae", "loss"}
	rank := slices.Index(metrics, parts[len(parts)-1])
	if rank < 0 {
		rank = len(metrics)
	}
	split := slices.Index([]string{"test", "val", "valid", "validation"}, parts[0])
	if split < 0 {
		split = 4
	}
	return 10*rank + split
}

// shortText returns a value for people: four digits of a number.
func shortText(v any) string {
	switch v := v.(type) {
	case json.Number:
		if x, err := v.Float64(); err == nil && strings.ContainsAny(v.String(), ".eE") {
			return strconv.FormatFloat(x, 'g', 4, 64)
		}
	case float64:
		return strconv.FormatFloat(v, 'g', 4, 64)
	case solera.Micros:
		if v == 0 {
			return ""
		}
		return v.Time().Format("2006-01-02 15:04:05")
	}
	return plainText(v)
}

// cell makes a text fit one cell of a table: one line of at most so many
// characters, with whatever would not be seen, or would move the terminal,
// written as an escape.
func cell(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		c := string(r)
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			c = strings.Trim(strconv.QuoteRuneToASCII(r), "'")
		}
		if n += len([]rune(c)); n > most {
			return b.String() + "…"
		}
		b.WriteString(c)
	}
	return b.String()
}

// absentRun makes the name of no run an error that says how to find one.
func (a *app) absentRun(err error) error {
	if !errors.Is(err, solera.ErrNotFound) {
		return err
	}
	return &solera.InputError{
		Msg:  strings.TrimSuffix(err.Error(), ": "+solera.ErrNotFound.Error()) + " is not in the store",
		Hint: a.self() + " runs lists what is there", Err: err,
	}
}

// parseSteps reads A:B, of which one may be missing.
func parseSteps(s string) (*solera.StepRange, error) {
	if s == "" {
		return nil, nil
	}
	steps := &solera.StepRange{From: math.MinInt64, To: math.MaxInt64}
	from, to, ok := strings.Cut(s, ":")
	if !ok {
		return nil, usage("--steps %s: want A:B, A: or :B", s)
	}
	for text, at := range map[string]*int64{from: &steps.From, to: &steps.To} {
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, usage("--steps %s: %s is no whole number", s, cell(text, 20))
		}
		*at = n
	}
	if from == to && from != "" {
		steps.To = steps.From
	}
	if steps.From > steps.To {
		return nil, usage("--steps %s: it ends before it begins", s)
	}
	return steps, nil
}
