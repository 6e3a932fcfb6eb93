package main

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"github.com/solera-ml/solera/eval"
	"github.com/solera-ml/solera/pipeline"
	"github.com/solera-ml/solera/wandb"
)

func (a *app) runCommand() *cobra.Command {
	var flags runFlags
	c := &cobra.Command{
		Use:   "run [STAGE…]",
		Short: "Run what is out of date: load, preprocess, build, train, evaluate",
		Long: `Run the stages load, preprocess, build, train and evaluate of solera.yaml, in
this order, or only the stages that are named. A stage whose inputs, params and
code did not change is answered from the store.`,
		ValidArgsFunction: stageNames(pipeline.Stages()),
		RunE:              func(c *cobra.Command, args []string) error { return a.run(c, flags, args...) },
	}
	c.Flags().BoolVar(&flags.locked, "locked", false, "fail unless all digests are those of solera.lock, which is not written")
	summaryFlag(c, &flags.summary)
	flags.track.add(c)
	return c
}

// runFlags are the flags of the verbs that run stages.
type runFlags struct {
	locked  bool
	summary string // FILE
	track   trackFlags
}

// stageCommand is a verb that runs one stage.
func (a *app) stageCommand(stage, short string) *cobra.Command {
	var flags runFlags
	c := &cobra.Command{
		Use: stage, Short: short, Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.run(c, flags, stage) },
	}
	summaryFlag(c, &flags.summary)
	flags.track.add(c)
	return c
}

// run brings stages up to date and shows what came out. Locked, it fails unless
// that is what solera.lock says.
func (a *app) run(c *cobra.Command, flags runFlags, stages ...string) (err error) {
	ctx, locked := c.Context(), flags.locked
	if err := pipeline.Check(stages); err != nil {
		return err
	}
	var res *pipeline.Result
	var changes []pipeline.LockChange
	written, err := a.openSummary(c, flags.summary)
	if err != nil {
		return err
	}
	defer func() {
		title := "solera run " + strings.Join(stages, " ")
		err = written.close(strings.TrimSpace(title), res, changes, err)
	}()
	cfg, err := a.readConfig()
	if err != nil {
		return err
	}
	a.cfg = cfg
	track, err := flags.track.choice(cfg)
	if err != nil {
		return err
	}
	var settings wandb.Settings
	if track == trackWandb {
		if settings, err = a.remote(); err != nil {
			return err
		}
	}
	// A kernel set that this CPU lacks is an error also where nothing is to be
	// computed.
	e, err := a.engine(1)
	if err != nil {
		return err
	}
	a.kernel = e.Kernel()
	e.Close()
	var lock *pipeline.Lock
	if locked {
		if lock, err = a.readLock(ctx, cfg); err != nil {
			return err
		}
	}
	w, err := a.open(ctx, cfg.Project, true)
	if err != nil {
		return err
	}
	defer w.close()
	if _, err := w.Reap(ctx); err != nil {
		return err
	}
	progress := a.newProgress()
	p := pipeline.Pipeline{
		Config: cfg, Tracker: w.Tracker, Reporter: progress,
		Kernel: a.env("SOLERA_KERNEL"), Scratch: w.checkpoints,
	}
	var sending *sender
	if track == trackWandb {
		if sending, err = a.newSender(settings, w, func(text string) { progress.Line("tracking", text) }, flags.track.wait); err != nil {
			progress.Close()
			return err
		}
		defer sending.close()
		if err := sending.probe(ctx); err != nil {
			progress.Close()
			return err
		}
		w.Began, p.Fetch = sending.began, sending.fetch
	}
	res, err = p.Run(ctx, stages...)
	if sending != nil {
		// Whatever became of the work: what was recorded is to be sent.
		defer func() {
			if serr := sending.finish(ctx, a.self(), res); err == nil {
				err = serr
			} else if serr != nil {
				progress.Line("tracking", sentence(serr))
			}
			written.sent(sending.page(), sending.numbers(context.WithoutCancel(ctx), res))
		}()
	}
	progress.Close()
	switch {
	case err != nil:
	case locked:
		changes = lock.Changes(cfg.Lock(lock, res))
	default:
		a.writeLock(cfg, res)
	}
	if a.json {
		// Also beside an error: how far it came. The error itself follows on
		// stderr.
		var shown any = res
		if locked && err == nil {
			shown = lockedResult{res, changes}
		}
		if jerr := a.printJSON(shown); err == nil {
			err = jerr
		}
	} else if err == nil {
		err = a.showResult(ctx, cfg, w, res)
	}
	if err != nil || len(changes) == 0 {
		return err
	}
	if !a.json {
		if err := a.showLockChanges(cfg, changes); err != nil {
			return err
		}
	}
	return errFound
}

// showResult writes what a run of the pipeline made, for people.
func (a *app) showResult(ctx context.Context, cfg *pipeline.Config, w *workspace, res *pipeline.Result) error {
	if err := a.printTable(artifactHeaders, artifactRows(res)); err != nil {
		return err
	}
	if len(res.Experiments) == 0 {
		return a.printf("\nNext: %s %s\n", a.self(), nextStage(res))
	}
	if err := a.printf("\n"); err != nil {
		return err
	}
	if err := a.showExperiments(res); err != nil {
		return err
	}
	best := cfg.Experiment(res.Best)
	if best < 0 {
		return nil
	}
	for _, e := range res.Experiments {
		if e.Name == res.Best {
			if err := a.showReport(e); err != nil {
				return err
			}
		}
	}
	name := cfg.TrainedName(best)
	g, err := w.Lineage(ctx, name)
	if err != nil {
		return err
	}
	if err := a.printf("\nWhere %s comes from:\n\n", name); err != nil {
		return err
	}
	if err := g.WriteTree(a.stdout); err != nil {
		return err
	}
	// What to type next, commands in one column and what they do in the other.
	next := [][2]string{
		{a.self() + " predict " + name + " FILE", "classes of new rows"},
		{a.self() + " artifacts " + name + ":latest", "its files"},
		{a.self() + " run", "after a change"},
	}
	width := 0
	for _, n := range next {
		width = max(width, len(n[0]))
	}
	var b strings.Builder
	for i, n := range next {
		lead := "      "
		if i == 0 {
			lead = "Next: "
		}
		fmt.Fprintf(&b, "%s%-*s  %s\n", lead, width, n[0], n[1])
	}
	return a.printf("\n%s", b.String())
}

var artifactHeaders = []string{"ARTIFACT", "", "DIGEST"}

// artifactRows are the lines of the table of versions.
func artifactRows(res *pipeline.Result) (rows [][]string) {
	for _, m := range res.Artifacts {
		state := "unchanged"
		if m.New {
			state = "new"
		}
		rows = append(rows, []string{m.Name + ":" + m.Version, state, m.Digest.Short()})
	}
	return rows
}

// nextStage is the command after a run that did not train.
func nextStage(res *pipeline.Result) string {
	all := pipeline.Stages()
	last := -1
	for _, s := range res.Stages {
		for i, name := range all {
			if s.Stage == name {
				last = max(last, i)
			}
		}
	}
	if last+1 < len(all) {
		return all[last+1]
	}
	return "run"
}

var experimentHeaders = []string{"EXPERIMENT", "VALIDATION ACCURACY (95 % CI)", "LOSS", "TEST ACCURACY (95 % CI)", "LOSS", "MACRO F1"}

// experimentRows are the lines of the table of results.
func experimentRows(res *pipeline.Result) (rows [][]string) {
	for _, e := range res.Experiments {
		name := e.Name
		if name == res.Best {
			name += " ←"
		}
		rows = append(rows, []string{
			name, share(e.Val.Accuracy), decimal(e.Val.Loss.Value),
			share(e.Test.Accuracy), decimal(e.Test.Loss.Value), decimal(e.Test.MacroF1.Value),
		})
	}
	return rows
}

// choice says which experiment was chosen and why, "" where there was no choice.
func choice(res *pipeline.Result) string {
	if len(res.Experiments) < 2 {
		return ""
	}
	text := "Best: " + strings.TrimSuffix(res.Reason, ".") + "."
	if len(res.Ties) > 0 {
		text += fmt.Sprintf(" A tie: %s cannot tell %s from %s.",
			count(res.Experiments[0].Val.Accuracy.N, "validation row"), enumerate(res.Ties), res.Best)
	}
	return text
}

// showExperiments writes the results table and the choice.
func (a *app) showExperiments(res *pipeline.Result) error {
	if err := a.printTable(experimentHeaders, experimentRows(res)); err != nil {
		return err
	}
	if text := choice(res); text != "" {
		return a.printf("\n%s\n", wrap(text))
	}
	return nil
}

// share reads "17/18 = 94 %, 74–99 %".
func share(s eval.Score) string {
	hits := int(math.Round(s.Value * float64(s.N)))
	text := fmt.Sprintf("%d/%d = %s", hits, s.N, percent(s.Value, s.N))
	if !math.IsNaN(s.Low) && !math.IsNaN(s.High) {
		text += fmt.Sprintf(", %.0f–%.0f %%", 100*s.Low, 100*s.High)
	}
	return text
}

// percent shows no more digits than n rows can tell apart, and 100 % only when
// it is all of them.
func percent(x float64, n int) string {
	switch {
	case math.IsNaN(x):
		return "—"
	case n < 200:
		return fmt.Sprintf("%.0f %%", 100*x)
	case n < 20_000:
		return cut(100*x, 1) + " %"
	}
	return cut(100*x, 2) + " %"
}

// cut rounds to digits, but not up to 100.
func cut(x float64, digits int) string {
	s := strconv.FormatFloat(x, 'f', digits, 64)
	if x < 100 && strings.HasPrefix(s, "100") {
		p := math.Pow10(digits)
		s = strconv.FormatFloat(math.Floor(x*p)/p, 'f', digits, 64)
	}
	return s
}

// decimal shows a loss or a score in four digits, a number that the rows
// cannot tell as a dash.
func decimal(x float64) string {
	if math.IsNaN(x) {
		return "—"
	}
	return strconv.FormatFloat(x, 'f', 4, 64)
}

// showReport writes the test report of one experiment: classes, confusion and
// the hardest rows. What does not fit a screen is in report.json.
func (a *app) showReport(e pipeline.ExperimentResult) error {
	const most = 12 // classes that are shown
	r := e.Report.Test
	if err := a.printf("\nTest of %s: %s rows, best epoch %d of %d\n\n", e.Name, strconv.Itoa(r.N), e.Report.BestEpoch, e.Report.Epochs); err != nil {
		return err
	}
	var rows [][]string
	confusion := len(r.PerClass) <= 6
	headers := []string{"CLASS", "ROWS", "PRECISION", "RECALL", "F1"}
	if confusion {
		for _, c := range r.Classes {
			headers = append(headers, "→ "+clipText(c, 12))
		}
	}
	for i, c := range r.PerClass[:min(len(r.PerClass), most)] {
		row := []string{clipText(c.Class, 24), strconv.Itoa(c.Support), decimal(c.Precision.Value), decimal(c.Recall.Value), decimal(float64(c.F1))}
		if confusion {
			for _, n := range r.Confusion[i] {
				row = append(row, fmt.Sprint(n))
			}
		}
		rows = append(rows, row)
	}
	if err := a.printTable(headers, rows); err != nil {
		return err
	}
	if left := len(r.PerClass) - most; left > 0 {
		if err := a.printf("… and %d classes more, in report.json\n", left); err != nil {
			return err
		}
	}
	if confusion {
		if err := a.printf("(→ columns: rows of the class by the class that was predicted)\n"); err != nil {
			return err
		}
	}
	for _, warning := range e.Report.Warnings {
		if err := a.printf("Note: %s\n", printable(warning)); err != nil {
			return err
		}
	}
	return a.showHardest(r)
}

// showHardest writes the rows to which the model gave least probability for
// the truth.
func (a *app) showHardest(r eval.Report) error {
	const most = 5
	var rows [][]string
	for _, h := range r.Hardest[:min(len(r.Hardest), most)] {
		var parts []string
		for i, p := range h.Probabilities {
			if len(h.Probabilities) <= 4 || r.Classes[i] == h.True || r.Classes[i] == h.Predicted {
				parts = append(parts, fmt.Sprintf("%s %.3f", clipText(r.Classes[i], 16), float64(p)))
			}
		}
		rows = append(rows, []string{
			strconv.FormatInt(h.Row, 10), clipText(h.True, 16), clipText(h.Predicted, 16), decimal(float64(h.Loss)), strings.Join(parts, ", "),
		})
	}
	if len(rows) == 0 {
		return nil
	}
	if err := a.printf("\nHardest test rows (numbers as in the source, from 0)\n\n"); err != nil {
		return err
	}
	return a.printTable([]string{"ROW", "TRUE", "PREDICTED", "LOSS", "PROBABILITIES"}, rows)
}

// clipText makes a text fit for a cell of a table: one line, at most n columns.
func clipText(s string, n int) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' || r == '\t' }), " ")
	if lipgloss.Width(s) > n {
		r := []rune(s)
		r = r[:min(len(r), n)] // what follows cannot fit
		for len(r) > 0 && lipgloss.Width(string(r)) >= n {
			r = r[:len(r)-1]
		}
		s = string(r) + "…"
	}
	return cmp.Or(s, `""`)
}
