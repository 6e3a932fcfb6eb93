package tracking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// Search returns the page of runs that q chooses and how many there are
// without its Limit and Offset. q.Project "" means the project of the Tracker,
// everywhere every project.
func (t *Tracker) Search(ctx context.Context, q solera.RunQuery, everywhere bool) (runs []solera.Run, total int, err error) {
	switch {
	case everywhere:
		q.Project = ""
	case q.Project == "":
		q.Project = t.Project
	}
	err = t.Store.View(ctx, func(tx solera.Tx) (err error) {
		if runs, err = tx.Runs(q); err != nil {
			return err
		}
		if total = q.Offset + len(runs); len(runs) > 0 && (q.Limit == 0 || len(runs) < q.Limit) {
			return nil // that was the end
		}
		total, err = tx.CountRuns(q)
		return err
	})
	return runs, total, err
}

// How many runs an error about an ambiguous name lists.
const listed = 5

// FindRun returns the run that name means: the run of that ID, in whatever
// project; else the one run of the project whose ID begins so; else the newest
// run of the experiment of that name, and of the stage. Deleted runs are found
// by their whole ID. A beginning of several IDs is ErrInvalid, nothing
// ErrNotFound.
func (t *Tracker) FindRun(ctx context.Context, name string) (solera.Run, error) {
	var run solera.Run
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		run, err = t.findRun(tx, name)
		return err
	})
	return run, err
}

func (t *Tracker) findRun(tx solera.Tx, name string) (solera.Run, error) {
	id := solera.RunID(name)
	if id.Check() != nil {
		return solera.Run{}, fmt.Errorf("run %.80q: %w", name, solera.ErrNotFound)
	}
	run, err := tx.Run(id)
	if !errors.Is(err, solera.ErrNotFound) {
		return run, err
	}
	compare := func(op solera.Op, value string) solera.Expr {
		return solera.Expr{Op: op, Field: "id", Values: []any{value}}
	}
	begins := solera.Expr{Op: solera.And, Args: []solera.Expr{
		compare(solera.GreaterEqual, name), compare(solera.Less, name+"\U0010FFFF"),
	}}
	matches, err := tx.Runs(solera.RunQuery{Project: t.Project, Where: begins, Limit: listed + 1})
	switch {
	case err != nil:
		return solera.Run{}, err
	case len(matches) == 1:
		return matches[0], nil
	}
	// "exp001" and "2026…" are told apart by what there is: an experiment is
	// asked for by its whole name, so it wins over the beginning of an ID.
	for _, q := range []solera.RunQuery{{Experiment: name}, {Stage: name}} {
		q.Project, q.Limit = t.Project, 1
		newest, err := tx.Runs(q)
		if err != nil {
			return solera.Run{}, err
		}
		if len(newest) == 1 {
			return newest[0], nil
		}
	}
	if len(matches) == 0 {
		return solera.Run{}, fmt.Errorf("run %s: %w", name, solera.ErrNotFound)
	}
	var ids []string
	for _, r := range matches[:min(listed, len(matches))] {
		ids = append(ids, string(r.ID))
	}
	more := ""
	if len(matches) > listed {
		more = " …"
	}
	return solera.Run{}, fmt.Errorf("run %s: %w: several begin so: %s%s", name, solera.ErrInvalid, strings.Join(ids, " "), more)
}

// A RunDetail is everything about one run but its points and its console.
type RunDetail struct {
	solera.Run
	Metrics []string         // names of what it recorded, sorted; of ReuseOf for a run that reused
	Used    []solera.Version // without files
	Made    []solera.Version // committed, or found to be there already
	Files   []solera.Entry
}

// Recorder returns the run that has the points and the console: the run
// itself, or the one that it reused.
func (d RunDetail) Recorder() solera.RunID { return recorder(d.Run) }

func recorder(r solera.Run) solera.RunID {
	if r.ReuseOf != "" {
		return r.ReuseOf
	}
	return r.ID
}

// Detail returns everything about the run that name means, see FindRun.
func (t *Tracker) Detail(ctx context.Context, name string) (RunDetail, error) {
	var d RunDetail
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		d = RunDetail{}
		if d.Run, err = t.findRun(tx, name); err != nil {
			return err
		}
		if d.Files, err = tx.RunFiles(d.ID); err != nil {
			return err
		}
		d.Used, d.Made, err = versionsOf(tx, d.ID)
		return err
	})
	if err != nil {
		return RunDetail{}, err
	}
	d.Metrics, err = t.Store.Keys(ctx, d.Recorder())
	return d, err
}

// versionsOf returns the versions that a run used and made.
func versionsOf(tx solera.Tx, id solera.RunID) (used, made []solera.Version, err error) {
	edges, err := tx.Edges(solera.EdgeQuery{Run: id})
	if err != nil {
		return nil, nil, err
	}
	for _, e := range edges {
		v, err := tx.Version(e.Version)
		if err != nil {
			return nil, nil, err
		}
		v.Files = nil
		if e.Kind == solera.Used {
			used = append(used, v)
		} else {
			made = append(made, v)
		}
	}
	return used, made, nil
}

// Series returns the points of a metric of the run that name means, or of the
// run that it reused; q.Run is not looked at. A metric that the run did not
// record is ErrNotFound.
func (t *Tracker) Series(ctx context.Context, name string, q solera.SeriesQuery) ([]solera.Point, error) {
	run, err := t.FindRun(ctx, name)
	if err != nil {
		return nil, err
	}
	q.Run = recorder(run)
	points, err := t.Store.Series(ctx, q)
	if err != nil || len(points) > 0 {
		return points, err
	}
	keys, err := t.Store.Keys(ctx, q.Run)
	if err == nil && !slices.Contains(keys, q.Key) {
		err = fmt.Errorf("metric %.80q of run %s: %w", q.Key, run.ID, solera.ErrNotFound)
	}
	return nil, err
}

// News is what a run recorded since the last look.
type News struct {
	Run    solera.Run
	Points []solera.Point
	Lines  []solera.Line
}

// Follow calls fn with what the run records, until the run has ended and
// everything was shown, or fn returns an error, which it returns. It begins
// with the points and lines after the given numbers.
func (t *Tracker) Follow(ctx context.Context, id solera.RunID, point, line int64, every time.Duration, fn func(News) error) error {
	const atOnce = 10_000
	for {
		// The state first: what a run wrote before it ended is there once it
		// is seen to have ended.
		run, err := t.Run(ctx, id)
		if err != nil {
			return err
		}
		news := News{Run: run}
		if news.Points, point, err = t.Store.Since(ctx, id, point, atOnce); err != nil {
			return err
		}
		if news.Lines, err = t.Store.Lines(ctx, id, line, atOnce); err != nil {
			return err
		}
		if n := len(news.Lines); n > 0 {
			line = news.Lines[n-1].N
		}
		if err := fn(news); err != nil {
			return err
		}
		if len(news.Points) == atOnce || len(news.Lines) == atOnce {
			continue
		}
		if run.State.Ended() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}

// changeRun changes what may change of the run that name means, and returns it
// as it is then.
func (t *Tracker) changeRun(ctx context.Context, what, name string, change func(solera.Tx, *solera.Run) error) (solera.Run, error) {
	var run solera.Run
	err := t.Store.Update(ctx, func(tx solera.Tx) (err error) {
		if run, err = t.findRun(tx, name); err != nil {
			return err
		}
		if err := change(tx, &run); err != nil {
			return err
		}
		return tx.UpdateRun(run)
	})
	if err != nil {
		return solera.Run{}, fmt.Errorf("%s run %s: %w", what, name, err)
	}
	return run, nil
}

// TagRun adds tags to the run that name means and takes others away. A tag that
// is there already, or is not there to be taken away, is no error.
func (t *Tracker) TagRun(ctx context.Context, name string, add, remove []string) (solera.Run, error) {
	for _, tag := range slices.Concat(add, remove) {
		if err := checkTag(tag); err != nil {
			return solera.Run{}, err
		}
	}
	return t.changeRun(ctx, "tag", name, func(_ solera.Tx, r *solera.Run) error {
		tags := slices.Concat(r.Tags, add)
		tags = slices.DeleteFunc(tags, func(tag string) bool { return slices.Contains(remove, tag) })
		slices.Sort(tags)
		if r.Tags = slices.Compact(tags); len(r.Tags) > maxTags {
			return fmt.Errorf("%w: %d tags, at most %d are allowed", solera.ErrInvalid, len(r.Tags), maxTags)
		}
		return nil
	})
}

// NoteRun sets the notes of the run that name means; "" removes them.
func (t *Tracker) NoteRun(ctx context.Context, name, text string) (solera.Run, error) {
	if len(text) > maxDescription || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return solera.Run{}, fmt.Errorf("note on run %s: %w: notes are text of at most 64 KiB", name, solera.ErrInvalid)
	}
	return t.changeRun(ctx, "note on", name, func(_ solera.Tx, r *solera.Run) error {
		r.Notes = text
		return nil
	})
}

// DeleteRun hides the run that name means; gc removes it later, unless
// versions depend on it. A run that has not ended is ErrConflict.
func (t *Tracker) DeleteRun(ctx context.Context, name string) (solera.Run, error) {
	return t.changeRun(ctx, "delete", name, func(tx solera.Tx, r *solera.Run) error {
		if !r.State.Ended() {
			return fmt.Errorf("%w: it is %s; stop it first", solera.ErrConflict, r.State)
		}
		if r.Deleted != 0 {
			return nil
		}
		now, err := tx.Now()
		r.Deleted = now
		return err
	})
}

// RestoreRun takes the deletion of the run with that ID back.
func (t *Tracker) RestoreRun(ctx context.Context, id string) (solera.Run, error) {
	return t.changeRun(ctx, "restore", id, func(_ solera.Tx, r *solera.Run) error {
		r.Deleted = 0
		return nil
	})
}
