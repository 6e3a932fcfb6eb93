package store

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/solera-ml/solera"
)

// The two columns that never change come last, so that UpdateRun takes the
// arguments before them.
const runColumns = `id, name, stage, experiment, state, params, summary, tags, notes,
	recipe, code, solera, host, reuse_of, error, started, finished, project, created`

func (t *tx) CreateRun(r solera.Run) error {
	if err := r.ID.Check(); err != nil {
		return err
	}
	args, err := runArgs(r)
	if err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	// Not left to the constraint: in PostgreSQL a failed statement would end
	// the transaction.
	done, err := t.exec(`INSERT INTO runs (`+runColumns+`) VALUES
		($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
		ON CONFLICT (id) DO NOTHING`, args...)
	if err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(fmt.Errorf("create run %s: %w: the identifier is in use", r.ID, solera.ErrConflict), err)
	}
	return nil
}

func (t *tx) UpdateRun(r solera.Run) error {
	args, err := runArgs(r)
	if err != nil {
		return fmt.Errorf("update run %s: %w", r.ID, err)
	}
	done, err := t.exec(`UPDATE runs SET name = $2, stage = $3, experiment = $4, state = $5, params = $6, summary = $7,
		tags = $8, notes = $9, recipe = $10, code = $11, solera = $12, host = $13, reuse_of = $14, error = $15,
		started = $16, finished = $17 WHERE id = $1`, args[:17]...)
	if err != nil {
		return fmt.Errorf("update run %s: %w", r.ID, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(fmt.Errorf("update run %s: %w", r.ID, solera.ErrNotFound), err)
	}
	return nil
}

func runArgs(r solera.Run) ([]any, error) {
	params, err := r.Params.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("params: %w", err)
	}
	summary, err := r.Summary.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("summary: %w", err)
	}
	tags, err := json.Marshal(append([]string{}, r.Tags...))
	if err != nil {
		return nil, fmt.Errorf("tags: %w", err)
	}
	return []any{
		string(r.ID), r.Name, r.Stage, r.Experiment, string(r.State),
		string(params), string(summary), string(tags), r.Notes,
		r.Recipe.String(), r.Code.String(), r.Solera, r.Host, string(r.ReuseOf), r.Error,
		int64(r.Started), int64(r.Finished), r.Project, int64(r.Created),
	}, nil
}

func scanRun(scan func(...any) error) (solera.Run, error) {
	var r solera.Run
	var params, summary, tags, recipe, code string
	err := scan(&r.ID, &r.Name, &r.Stage, &r.Experiment, &r.State, &params, &summary, &tags, &r.Notes,
		&recipe, &code, &r.Solera, &r.Host, &r.ReuseOf, &r.Error, &r.Started, &r.Finished, &r.Project, &r.Created)
	if err != nil {
		return r, err
	}
	err = errors.Join(
		json.Unmarshal([]byte(params), &r.Params),
		json.Unmarshal([]byte(summary), &r.Summary),
		json.Unmarshal([]byte(tags), &r.Tags),
		r.Recipe.UnmarshalText([]byte(recipe)),
		r.Code.UnmarshalText([]byte(code)),
	)
	if err != nil {
		return r, fmt.Errorf("run %s: %w: its record cannot be read: %v", r.ID, solera.ErrCorrupt, err)
	}
	return r, nil
}

func (t *tx) Run(id solera.RunID) (solera.Run, error) {
	r, err := scanRun(t.row(`SELECT `+runColumns+` FROM runs WHERE id = $1`, string(id)).Scan)
	return r, notFound(err, "run "+string(id))
}

func (t *tx) Runs(q solera.RunQuery) ([]solera.Run, error) {
	var f filter
	f.text("project", q.Project)
	f.text("stage", q.Stage)
	f.text("experiment", q.Experiment)
	f.text("state", string(q.State))
	f.text("recipe", q.Recipe.String())
	list := []solera.Run{}
	err := t.rows(func(scan func(...any) error) error {
		r, err := scanRun(scan)
		list = append(list, r)
		return err
	}, f.query(`SELECT `+runColumns+` FROM runs`, `created DESC, id DESC`, q.Limit), f.args...)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return list, nil
}
