package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/pressly/goose/v3"

	"github.com/solera-ml/solera"
)

// The index of runs: table run_columns holds columns (see chunkRuns) and table
// run_tail the rows of runs that were written lately. What a
// write changes of a run is in one row of the tail, in the transaction that
// writes its record; when the tail is long, it is packed into the columns. Who
// reads takes a field from the tail if the run has a row there that names it,
// else from its column.

// The tail is packed when it has so many runs, or so many bytes: reading it
// must stay cheap, and packing rewrites a column per field.
const (
	tailRuns  = 256
	tailBytes = 2 << 20
)

// deletedField is in the index, and no field that conditions can name.
const deletedField = "deleted"

// indexRow returns what is found of a run, as it was read from the store.
func indexRow(r solera.Run) fieldRow { return rowOf(r, maxColumnText) }

// rowOf returns what a run has by field, texts up to so many bytes.
func rowOf(r solera.Run, limit int) fieldRow {
	b := rowBuilder{fieldRow{}, limit}
	b.text("id", string(r.ID))
	b.text("name", r.Name)
	b.text("project", r.Project)
	b.text("stage", r.Stage)
	b.text("experiment", r.Experiment)
	b.text("group", r.Group)
	b.text("sweep", r.Sweep)
	b.text("state", string(r.State))
	b.text("host", r.Host)
	b.text("notes", r.Notes)
	b.text("error", r.Error)
	b.text("solera", r.Solera)
	for _, tag := range r.Tags {
		b.text("tags", tag)
	}
	for _, moment := range []struct {
		field string
		at    solera.Micros
	}{{"created", r.Created}, {"started", r.Started}, {"finished", r.Finished}, {"stopping", r.Stopping}, {deletedField, r.Deleted}} {
		if moment.at != 0 {
			b.number(moment.field, float64(moment.at))
		}
	}
	if r.Started != 0 && r.Finished != 0 {
		b.number("duration", float64(r.Finished-r.Started)/1e6)
	}
	b.json("params", map[string]any(r.Params))
	b.json("summary", map[string]any(r.Summary))
	for _, key := range slices.Sorted(maps.Keys(r.Environment)) {
		if key == "client" {
			continue // has names of its own for every run, each of which would be a column
		}
		b.json("environment."+key, r.Environment[key])
	}
	return b.row
}

type rowBuilder struct {
	row   fieldRow
	limit int // bytes of a text
}

func (b rowBuilder) add(field string, v value) {
	name := columnName(field)
	b.row[name] = append(b.row[name], v)
}

func (b rowBuilder) number(field string, x float64) { b.add(field, value{kind: numberValue, num: x}) }

// text adds a text; one that is empty is as good as none.
func (b rowBuilder) text(field, s string) {
	if s == "" {
		return
	}
	n := len(s)
	if n > b.limit {
		for n = b.limit; n > 0 && !utf8.RuneStart(s[n]); n-- {
			// No character is cut in two.
		}
	}
	b.add(field, value{kind: textValue, text: s[:n], cut: n < len(s)})
}

// json adds the scalars in v, those in objects by path; members of a list
// stand for the list.
func (b rowBuilder) json(path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			b.json(path+"."+key, v[key])
		}
	case []any:
		for _, member := range v {
			b.json(path, member)
		}
	case json.Number:
		if x, err := v.Float64(); err == nil {
			b.number(path, x)
		}
	case string:
		b.text(path, v)
	case bool:
		x := 0.0
		if v {
			x = 1
		}
		b.add(path, value{kind: flagValue, num: x})
	}
}

// nextSeq returns the number of the next run. Updates are serial.
func (t *tx) nextSeq() (seq int64, err error) {
	err = t.row(`SELECT COALESCE(MAX(seq), -1) + 1 FROM runs`).Scan(&seq)
	return seq, err
}

// index makes row what is found of run number seq; nil = the run is removed. Old
// is what was found of it before, nil = nothing. The tail gets the fields that
// changed, so packing touches no others.
func (t *tx) index(seq int64, old, row fieldRow) error {
	changed := fieldRow{}
	var raw []byte
	switch err := t.row(`SELECT data FROM run_tail WHERE seq = $1`, seq).Scan(&raw); {
	case err == nil:
		if changed, err = readRow(raw, nil); err != nil {
			return err
		}
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	for field := range old {
		if _, ok := row[field]; !ok {
			changed[field] = nil
		}
	}
	for field, values := range row {
		if !slices.Equal(old[field], values) {
			changed[field] = values
		}
	}
	if len(changed) == 0 {
		return nil
	}
	data := appendRow(nil, changed)
	_, err := t.exec(`INSERT INTO run_tail (seq, size, data) VALUES ($1, $2, $3)
		ON CONFLICT (seq) DO UPDATE SET size = EXCLUDED.size, data = EXCLUDED.data`, seq, len(data), data)
	if err != nil {
		return err
	}
	var runs, size int64
	if err := t.row(`SELECT COUNT(*), SUM(size) FROM run_tail`).Scan(&runs, &size); err != nil {
		return err
	}
	if runs < tailRuns && size < tailBytes {
		return nil
	}
	return t.pack()
}

// pack moves the tail into the columns.
func (t *tx) pack() error {
	chunks := make(map[int64]map[uint16]fieldRow)
	err := t.tail(nil, func(seq int64, row fieldRow) {
		chunk := chunks[seq/chunkRuns]
		if chunk == nil {
			chunk = make(map[uint16]fieldRow)
			chunks[seq/chunkRuns] = chunk
		}
		chunk[uint16(seq%chunkRuns)] = row
	})
	if err != nil {
		return err
	}
	for _, chunk := range slices.Sorted(maps.Keys(chunks)) {
		if err := t.packChunk(chunk, chunks[chunk]); err != nil {
			return err
		}
	}
	_, err = t.exec(`DELETE FROM run_tail`)
	return err
}

// tail calls fn for the rows of the tail with those of their fields that want
// has, nil = all.
func (t *tx) tail(want map[string]bool, fn func(seq int64, row fieldRow)) error {
	return t.rows(func(scan func(...any) error) error {
		var seq int64
		var raw []byte
		if err := scan(&seq, &raw); err != nil {
			return err
		}
		row, err := readRow(raw, want)
		if err == nil {
			fn(seq, row)
		}
		return err
	}, `SELECT seq, data FROM run_tail`)
}

// packChunk puts rows by slot into the columns of a chunk. Columns that stay
// as they are are not written.
func (t *tx) packChunk(chunk int64, rows map[uint16]fieldRow) error {
	fields := make(map[string]bool)
	for _, row := range rows {
		for field := range row {
			fields[field] = true
		}
	}
	slots := slices.Sorted(maps.Keys(rows))
	type change struct {
		field string
		data  []byte // nil = none left
	}
	var changes []change
	read, err := t.sql.PrepareContext(t.ctx, `SELECT data FROM run_columns WHERE field = $1 AND chunk = $2`)
	if err != nil {
		return err
	}
	defer read.Close()
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		var raw []byte
		if err := read.QueryRowContext(t.ctx, field, chunk).Scan(&raw); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		entries, err := mergeColumn(raw, field, slots, rows)
		if err != nil {
			return err
		}
		var data []byte
		if len(entries) > 0 {
			data = appendColumn(nil, entries)
		}
		if string(data) != string(raw) {
			changes = append(changes, change{field, data})
		}
	}
	gone := slices.DeleteFunc(slices.Clone(changes), func(c change) bool { return c.data != nil })
	err = t.many(`DELETE FROM run_columns WHERE field = $1 AND chunk = $2`, len(gone), func(i int) []any {
		return []any{gone[i].field, chunk}
	})
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(changes, func(c change) bool { return c.data == nil })
	return t.many(`INSERT INTO run_columns (field, chunk, data) VALUES ($1, $2, $3)
		ON CONFLICT (field, chunk) DO UPDATE SET data = EXCLUDED.data`, len(kept), func(i int) []any {
		return []any{kept[i].field, chunk, kept[i].data}
	})
}

// mergeColumn returns the entries of a stored column with those of rows, whose
// sorted slots are given, in place of what it had for the rows that name the
// field.
func mergeColumn(raw []byte, field string, slots []uint16, rows map[uint16]fieldRow) ([]entry, error) {
	var old []entry
	if raw != nil {
		c, err := readColumn(raw)
		if err != nil {
			return nil, err
		}
		old = c.entries()
	}
	list := make([]entry, 0, len(old)+len(slots))
	for _, slot := range slots {
		values, named := rows[slot][field]
		if !named {
			continue
		}
		for len(old) > 0 && old[0].slot <= slot {
			if old[0].slot < slot {
				list = append(list, old[0])
			}
			old = old[1:]
		}
		for _, v := range values {
			list = append(list, entry{slot, v})
		}
	}
	return append(list, old...), nil
}

// reindexRuns builds the index anew from the records, and numbers the runs as
// they were created.
// columns are indexedColumns, as far as the schema has them.
func (t *tx) reindexRuns(columns string) error {
	for _, statement := range []string{`DELETE FROM run_tail`, `DELETE FROM run_columns`, `UPDATE runs SET seq = NULL`} {
		if _, err := t.exec(statement); err != nil {
			return err
		}
	}
	last := solera.Run{Created: math.MinInt64}
	for chunk := int64(0); ; chunk++ {
		rows := make(map[uint16]fieldRow)
		var ids []string
		err := t.rows(func(scan func(...any) error) error {
			r, err := scanIndexed(scan)
			if err != nil {
				return err
			}
			rows[uint16(len(ids))] = indexRow(r)
			ids = append(ids, string(r.ID))
			last = r
			return nil
		}, `SELECT `+columns+` FROM runs WHERE created > $1 OR created = $1 AND id > $2 ORDER BY created, id LIMIT $3`,
			int64(last.Created), string(last.ID), chunkRuns)
		if err != nil {
			return fmt.Errorf("index runs: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		err = t.many(`UPDATE runs SET seq = $1 WHERE id = $2`, len(ids), func(i int) []any {
			return []any{chunk*chunkRuns + int64(i), ids[i]}
		})
		if err != nil {
			return fmt.Errorf("number runs: %w", err)
		}
		if err := t.packChunk(chunk, rows); err != nil {
			return fmt.Errorf("index runs: %w", err)
		}
	}
}

// indexedColumns are those that indexRow needs.
const indexedColumns = oldIndexedColumns + `, sweep, stopping`

// oldIndexedColumns are what schema 4 has of them.
const oldIndexedColumns = `id, name, project, stage, experiment, grp, state, host, notes, error, solera, tags,
	created, started, finished, deleted, params, summary, environment`

func scanIndexed(scan func(...any) error) (solera.Run, error) {
	var r solera.Run
	var tags, params, summary, environment string
	err := scan(&r.ID, &r.Name, &r.Project, &r.Stage, &r.Experiment, &r.Group, &r.State, &r.Host, &r.Notes, &r.Error, &r.Solera, &tags,
		&r.Created, &r.Started, &r.Finished, &r.Deleted, &params, &summary, &environment,
		&r.Sweep, &r.Stopping)
	if err != nil {
		return r, err
	}
	err = errors.Join(
		json.Unmarshal([]byte(tags), &r.Tags),
		json.Unmarshal([]byte(params), &r.Params),
		json.Unmarshal([]byte(summary), &r.Summary),
		json.Unmarshal([]byte(environment), &r.Environment),
	)
	if err != nil {
		return r, fmt.Errorf("run %s: %w: its record cannot be read: %v", r.ID, solera.ErrCorrupt, err)
	}
	return r, nil
}

// indexMigration is schema 4: the index of runs.
func indexMigration(ddl func(string) string) *goose.Migration {
	up := func(ctx context.Context, sqlTx *sql.Tx) error {
		t := &tx{ctx: ctx, sql: sqlTx, engine: &engine{batch: prepared}}
		for _, statement := range []string{
			// NULL until it is given: a unique index lets many be NULL.
			`ALTER TABLE runs ADD COLUMN seq BIGINT`,
			`CREATE UNIQUE INDEX runs_by_seq ON runs (seq)`,
			`CREATE TABLE run_columns (
				field TEXT   NOT NULL,
				chunk BIGINT NOT NULL,
				data  BYTEA  NOT NULL,
				PRIMARY KEY (field, chunk)
			)`,
			`CREATE TABLE run_tail (
				seq  BIGINT NOT NULL PRIMARY KEY,
				size BIGINT NOT NULL,
				data BYTEA  NOT NULL
			)`,
			`CREATE INDEX run_tail_by_size ON run_tail (size)`,
		} {
			if _, err := t.exec(ddl(statement)); err != nil {
				return err
			}
		}
		return t.reindexRuns(oldIndexedColumns + `, '', 0`)
	}
	down := func(ctx context.Context, sqlTx *sql.Tx) error {
		t := &tx{ctx: ctx, sql: sqlTx, engine: &engine{batch: prepared}}
		for _, statement := range []string{
			`DROP TABLE run_tail`, `DROP TABLE run_columns`, `DROP INDEX runs_by_seq`, `ALTER TABLE runs DROP COLUMN seq`,
		} {
			if _, err := t.exec(statement); err != nil {
				return err
			}
		}
		return nil
	}
	return goose.NewGoMigration(4, &goose.GoFunc{RunTx: up}, &goose.GoFunc{RunTx: down})
}
