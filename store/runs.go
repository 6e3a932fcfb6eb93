package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/solera-ml/solera"
)

// What UpdateRun never changes comes last, so that it takes the arguments
// before.
const runColumns = `id, name, stage, experiment, state, params, summary, tags, notes,
	recipe, code, solera, host, reuse_of, error, started, finished, grp, environment, deleted, sweep, stopping,
	project, created, heartbeat, rewound`

// How many of runColumns change.
const runChanging = 22

func (t *tx) CreateRun(r solera.Run) error {
	if err := t.insertRun(r); err != nil {
		return err
	}
	record, err := runRecord(r)
	if err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	return t.note("run.create", string(r.ID), nil, record)
}

// insertRun stores a new run without a word in the audit log.
func (t *tx) insertRun(r solera.Run) error {
	if err := r.ID.Check(); err != nil {
		return err
	}
	args, err := runArgs(r)
	if err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	// Not left to the constraint: in PostgreSQL a failed statement would end
	// the transaction.
	seq, err := t.nextSeq()
	if err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	args = append(args, seq)
	done, err := t.exec(`INSERT INTO runs (`+runColumns+`, seq) VALUES (`+placeholders(len(args))+`)
		ON CONFLICT (id) DO NOTHING`, args...)
	if err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(fmt.Errorf("create run %s: %w: the identifier is in use", r.ID, solera.ErrConflict), err)
	}
	if r, err = asStored(r, args); err != nil {
		return fmt.Errorf("create run %s: %w", r.ID, err)
	}
	if err := t.index(seq, nil, indexRow(r)); err != nil {
		return fmt.Errorf("create run %s: index it: %w", r.ID, err)
	}
	return nil
}

// runRecord returns the run as the audit log has it: what is set, by the names
// of its JSON.
func runRecord(r solera.Run) (solera.Fields, error) {
	free := map[string]solera.Fields{"params": r.Params, "summary": r.Summary, "environment": r.Environment}
	r.Params, r.Summary, r.Environment = nil, nil, nil
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var record solera.Fields
	if err := json.Unmarshal(raw, &record); err != nil {
		return nil, err
	}
	for name, fields := range free {
		record[name] = map[string]any(fields)
	}
	for name, v := range record {
		switch v := v.(type) {
		case nil:
			delete(record, name)
		case string:
			if v == "" {
				delete(record, name)
			}
		case []any:
			if len(v) == 0 {
				delete(record, name)
			}
		case map[string]any:
			if len(v) == 0 {
				delete(record, name)
			}
		}
	}
	return record, nil
}

func (t *tx) UpdateRun(r solera.Run) error {
	if err := t.updateRun(r); err != nil {
		return fmt.Errorf("update run %s: %w", r.ID, err)
	}
	return nil
}

func (t *tx) updateRun(r solera.Run) error {
	old, seq, err := t.numbered(r.ID)
	if err != nil {
		return err
	}
	r.Project, r.Created, r.Heartbeat, r.Rewound = old.Project, old.Created, old.Heartbeat, old.Rewound
	args, err := runArgs(r)
	if err != nil {
		return err
	}
	if r, err = asStored(r, args); err != nil {
		return err
	}
	before, after, err := runChanges(old, r)
	if err != nil || len(before)+len(after) == 0 {
		return err
	}
	_, err = t.exec(`UPDATE runs SET name = $2, stage = $3, experiment = $4, state = $5, params = $6, summary = $7,
		tags = $8, notes = $9, recipe = $10, code = $11, solera = $12, host = $13, reuse_of = $14, error = $15,
		started = $16, finished = $17, grp = $18, environment = $19, deleted = $20,
		sweep = $21, stopping = $22 WHERE id = $1`, args[:runChanging]...)
	if err != nil {
		return err
	}
	if err := t.index(seq, indexRow(old), indexRow(r)); err != nil {
		return fmt.Errorf("index it: %w", err)
	}
	return t.note("run.update", string(r.ID), before, after)
}

// sameJSON compares values that were read from JSON.
func sameJSON(v, w any) (bool, error) {
	switch v.(type) {
	case nil, bool, string, json.Number:
		switch w.(type) {
		case nil, bool, string, json.Number:
			return v == w, nil
		}
		return false, nil
	}
	a, err := solera.Fields{"": v}.MarshalJSON()
	if err != nil {
		return false, err
	}
	b, err := solera.Fields{"": w}.MarshalJSON()
	return string(a) == string(b), err
}

// numbered returns a run and its number in the index.
func (t *tx) numbered(id solera.RunID) (r solera.Run, seq int64, err error) {
	row := t.row(`SELECT seq, `+runColumns+` FROM runs WHERE id = $1`, string(id))
	r, err = scanRun(func(dest ...any) error { return row.Scan(append([]any{&seq}, dest...)...) })
	return r, seq, notFound(err, "run "+string(id))
}

// runChanges returns the fields that differ, those in objects by their path:
// "summary.val.loss".
func runChanges(old, now solera.Run) (before, after solera.Fields, err error) {
	before, err = runRecord(old)
	if err != nil {
		return nil, nil, err
	}
	after, err = runRecord(now)
	if err != nil {
		return nil, nil, err
	}
	before, after = before.Flat(), after.Flat()
	for name, v := range before {
		w, ok := after[name]
		if !ok {
			continue
		}
		same, err := sameJSON(v, w)
		if err != nil {
			return nil, nil, err
		}
		if same {
			delete(before, name)
			delete(after, name)
		}
	}
	return before, after, nil
}

// placeholders returns "$1, $2 … $n".
func placeholders(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(i + 1))
	}
	return b.String()
}

// asStored returns a run as it will be read, given the arguments that store it:
// a struct among its values has the form of its JSON.
func asStored(r solera.Run, args []any) (solera.Run, error) {
	const params, summary, environment = 5, 6, 18 // in runColumns
	for i, fields := range map[int]*solera.Fields{params: &r.Params, summary: &r.Summary, environment: &r.Environment} {
		*fields = nil
		if err := fields.UnmarshalJSON([]byte(args[i].(string))); err != nil {
			return r, err
		}
	}
	return r, nil
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
	environment, err := r.Environment.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	tags, err := json.Marshal(append([]string{}, r.Tags...))
	if err != nil {
		return nil, fmt.Errorf("tags: %w", err)
	}
	return []any{
		string(r.ID), r.Name, r.Stage, r.Experiment, string(r.State),
		string(params), string(summary), string(tags), r.Notes,
		r.Recipe.String(), r.Code.String(), r.Solera, r.Host, string(r.ReuseOf), r.Error,
		int64(r.Started), int64(r.Finished), r.Group, string(environment), int64(r.Deleted), r.Sweep, int64(r.Stopping),
		r.Project, int64(r.Created), int64(r.Heartbeat), int64(r.Rewound),
	}, nil
}

func scanRun(scan func(...any) error) (solera.Run, error) {
	var r solera.Run
	var params, summary, tags, recipe, code, environment string
	err := scan(&r.ID, &r.Name, &r.Stage, &r.Experiment, &r.State, &params, &summary, &tags, &r.Notes,
		&recipe, &code, &r.Solera, &r.Host, &r.ReuseOf, &r.Error, &r.Started, &r.Finished, &r.Group, &environment, &r.Deleted, &r.Sweep, &r.Stopping,
		&r.Project, &r.Created, &r.Heartbeat, &r.Rewound)
	if err != nil {
		return r, err
	}
	err = errors.Join(
		json.Unmarshal([]byte(params), &r.Params),
		json.Unmarshal([]byte(summary), &r.Summary),
		json.Unmarshal([]byte(environment), &r.Environment),
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
	list, err := t.runs(q)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return list, nil
}

func (t *tx) runs(q solera.RunQuery) ([]solera.Run, error) {
	if isPlain(q) {
		return t.plainRuns(q)
	}
	selected, err := t.selectRuns(q)
	if err != nil {
		return nil, err
	}
	page, err := selected.page(q)
	if err != nil {
		return nil, err
	}
	list := make([]solera.Run, len(page))
	at := make(map[int64]int, len(page))
	for i, seq := range page {
		at[seq] = i
	}
	err = t.bySeq(page, runColumns, func(seq *int64, scan func(...any) error) error {
		r, err := scanRun(scan)
		if err == nil {
			list[at[*seq]] = r
		}
		return err
	})
	return list, err
}

// isPlain tells whether an index of the database leads straight to what q
// chooses: runs of a recipe, runs that have not ended, the newest of a project.
func isPlain(q solera.RunQuery) bool {
	if !q.Where.IsZero() || len(q.Order) > 0 {
		return false
	}
	if !q.Recipe.IsZero() || q.State == solera.Running || q.State == solera.Pending {
		return true
	}
	return q.Stage == "" && q.Experiment == "" && q.Group == "" && q.Sweep == "" && q.State == "" && q.Project != ""
}

func (t *tx) plainRuns(q solera.RunQuery) ([]solera.Run, error) {
	var f filter
	f.text("project", q.Project)
	f.text("stage", q.Stage)
	f.text("experiment", q.Experiment)
	f.text("grp", q.Group)
	f.text("sweep", q.Sweep)
	f.text("state", string(q.State))
	f.text("recipe", q.Recipe.String())
	if !q.Deleted {
		f.equal("deleted", 0)
	}
	query := f.query(`SELECT `+runColumns+` FROM runs`, `created DESC, id DESC`, 0)
	switch {
	case q.Limit > 0:
		query += fmt.Sprintf(" LIMIT %d OFFSET %d", q.Limit, q.Offset)
	case q.Offset > 0:
		query += fmt.Sprintf(" LIMIT %d OFFSET %d", int64(math.MaxInt64), q.Offset) // SQLite has no OFFSET alone
	}
	list := []solera.Run{}
	err := t.rows(func(scan func(...any) error) error {
		r, err := scanRun(scan)
		list = append(list, r)
		return err
	}, query, f.args...)
	return list, err
}

func (t *tx) CountRuns(q solera.RunQuery) (int, error) {
	selected, err := t.selectRuns(q)
	if err != nil {
		return 0, fmt.Errorf("count runs: %w", err)
	}
	return selected.count(), nil
}

func (t *tx) RemoveRun(id solera.RunID) error {
	fail := func(err error) error { return fmt.Errorf("remove run %s: %w", id, err) }
	r, seq, err := t.numbered(id)
	if err != nil {
		return fail(err)
	}
	// An edge would go with the run, and a version would lose its origin.
	var version string
	err = t.row(`SELECT artifact FROM edges WHERE run = $1
		UNION ALL SELECT artifact FROM versions WHERE run = $1 LIMIT 1`, string(id)).Scan(&version)
	switch {
	case err == nil:
		return fail(fmt.Errorf("%w: the lineage of %s names it", solera.ErrConflict, version))
	case !errors.Is(err, sql.ErrNoRows):
		return fail(err)
	}
	if _, err := t.exec(`DELETE FROM runs WHERE id = $1`, string(id)); err != nil {
		return fail(err)
	}
	if err := t.index(seq, indexRow(r), nil); err != nil {
		return fail(fmt.Errorf("index: %w", err))
	}
	record, err := runRecord(r)
	if err != nil {
		return fail(err)
	}
	return t.note("run.remove", string(id), record, nil)
}

// runExists reports ErrNotFound if there is no such run. Constraints could tell
// too, but in PostgreSQL a failed statement ends the transaction.
func (t *tx) runExists(id solera.RunID) error {
	var there int
	return notFound(t.row(`SELECT 1 FROM runs WHERE id = $1`, string(id)).Scan(&there), "run "+string(id))
}

func (t *tx) SetFile(id solera.RunID, e solera.Entry) error {
	fail := func(err error) error { return fmt.Errorf("file of run %s: %w", id, err) }
	if err := solera.CheckFiles([]solera.Entry{e}); err != nil {
		return fail(err)
	}
	if err := t.runExists(id); err != nil {
		return fail(err)
	}
	var before solera.Fields
	was, err := scanEntry(t.row(`SELECT `+entryColumns+` FROM files WHERE run = $1 AND path = $2`, string(id), e.Path).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return fail(err)
	case was == e:
		return nil
	default:
		before = fileRecord(was)
	}
	_, err = t.exec(`INSERT INTO files (run, `+entryColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (run, path) DO UPDATE SET digest = EXCLUDED.digest, size = EXCLUDED.size, ref = EXCLUDED.ref,
			md5 = EXCLUDED.md5, etag = EXCLUDED.etag, extra = EXCLUDED.extra`,
		entryArgs(string(id), e)...)
	if err != nil {
		return fail(err)
	}
	return t.note("run.file", string(id), before, fileRecord(e))
}

// DeleteFile makes a run forget a file.
func (t *tx) DeleteFile(id solera.RunID, path string) error {
	fail := func(err error) error { return fmt.Errorf("file %.200q of run %s: %w", path, id, err) }
	was, err := scanEntry(t.row(`SELECT `+entryColumns+` FROM files WHERE run = $1 AND path = $2`, string(id), path).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		err = solera.ErrNotFound
	}
	if err != nil {
		return fail(err)
	}
	if _, err := t.exec(`DELETE FROM files WHERE run = $1 AND path = $2`, string(id), path); err != nil {
		return fail(err)
	}
	return t.note("run.file", string(id), fileRecord(was), nil)
}

func fileRecord(e solera.Entry) solera.Fields {
	record := solera.Fields{"path": e.Path, "digest": e.Digest.String(), "size": e.Size}
	for name, s := range map[string]string{"ref": e.Ref, "md5": e.MD5, "etag": e.ETag, "extra": e.Extra} {
		if s != "" {
			record[name] = s
		}
	}
	return record
}

// entryColumns are those that a file of a version and one of a run have.
const entryColumns = `path, digest, size, ref, md5, etag, extra`

func scanEntry(scan func(...any) error) (solera.Entry, error) {
	var e solera.Entry
	err := scan(&e.Path, digestInto{&e.Digest}, &e.Size, &e.Ref, &e.MD5, &e.ETag, &e.Extra)
	return e, err
}

// entryArgs are for entryColumns, with the owner before them.
func entryArgs(owner string, e solera.Entry) []any {
	return []any{owner, e.Path, e.Digest.String(), e.Size, e.Ref, e.MD5, e.ETag, e.Extra}
}

func (t *tx) RunFiles(id solera.RunID) ([]solera.Entry, error) {
	if err := t.runExists(id); err != nil {
		return nil, err
	}
	files := []solera.Entry{}
	err := t.rows(func(scan func(...any) error) error {
		e, err := scanEntry(scan)
		files = append(files, e)
		return err
	}, `SELECT `+entryColumns+` FROM files WHERE run = $1`, string(id))
	if err != nil {
		return nil, fmt.Errorf("files of run %s: %w", id, err)
	}
	// Sorted here: databases differ in how they order text.
	slices.SortFunc(files, func(a, b solera.Entry) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}
