package store

import (
	"context"
	"database/sql"
	"fmt"
	"math"

	"github.com/pressly/goose/v3"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store/internal/pack"
)

// pointsMigration puts points, one row each until then, into rows and blocks.
//
// A head gets a short identifier that is never used again. metrics names what
// points measure, once for the whole store; recorded lists the metrics of a
// head. n and last are the number of a row's last point, so that what comes
// after a number begins with the first row above it.
func pointsMigration(ddl func(string) string) *goose.Migration {
	up := func(ctx context.Context, sqlTx *sql.Tx) error { return migratePoints(ctx, sqlTx, ddl) }
	return goose.NewGoMigration(3, &goose.GoFunc{RunTx: up}, nil)
}

func migratePoints(ctx context.Context, sqlTx *sql.Tx, ddl func(string) string) error {
	// prepared, because goose hands over no connection; it serves both databases.
	t := &tx{ctx: ctx, sql: sqlTx, engine: &engine{batch: prepared}}
	for _, statement := range []string{
		`CREATE TABLE counters (
			name TEXT   NOT NULL PRIMARY KEY,
			n    BIGINT NOT NULL
		)`,
		`INSERT INTO counters (name, n) SELECT 'heads', COUNT(*) FROM heads`,
		`INSERT INTO counters (name, n) VALUES ('metrics', 0)`,
		`ALTER TABLE heads ADD COLUMN id BIGINT NOT NULL DEFAULT 0`,
		`ALTER TABLE heads ADD COLUMN packed BIGINT NOT NULL DEFAULT 0`,
		`UPDATE heads SET id = (SELECT COUNT(*) FROM heads h WHERE h.run <= heads.run)`,
		`CREATE UNIQUE INDEX heads_by_id ON heads (id)`,
		`CREATE TABLE metrics (
			id  BIGINT NOT NULL PRIMARY KEY,
			key TEXT   NOT NULL UNIQUE
		)`,
		`CREATE TABLE recorded (
			run     BIGINT NOT NULL REFERENCES heads (id) ON DELETE CASCADE,
			part    BIGINT NOT NULL,
			metrics BYTEA  NOT NULL,
			PRIMARY KEY (run, part)
		)`,
		`CREATE TABLE recent (
			run    BIGINT NOT NULL REFERENCES heads (id) ON DELETE CASCADE,
			n      BIGINT NOT NULL,
			points BYTEA  NOT NULL,
			PRIMARY KEY (run, n)
		)`,
		`CREATE TABLE blocks (
			run       BIGINT NOT NULL REFERENCES heads (id) ON DELETE CASCADE,
			metric    BIGINT NOT NULL,
			first     BIGINT NOT NULL,
			last      BIGINT NOT NULL,
			count     BIGINT NOT NULL,
			from_step BIGINT NOT NULL,
			to_step   BIGINT NOT NULL,
			ascending BIGINT NOT NULL,
			summary   BYTEA  NOT NULL,
			data      BYTEA  NOT NULL,
			PRIMARY KEY (run, metric, first)
		)`,
		`CREATE INDEX blocks_by_last ON blocks (run, last)`,
	} {
		if _, err := t.exec(ddl(statement)); err != nil {
			return err
		}
	}
	var heads []*head
	err := t.rows(func(scan func(...any) error) error {
		h := new(head)
		heads = append(heads, h)
		return scan(&h.run, &h.id, &h.n)
	}, `SELECT run, id, n FROM heads ORDER BY run`)
	if err != nil {
		return err
	}
	for _, h := range heads {
		if err := t.movePoints(h); err != nil {
			return fmt.Errorf("run %s: move points: %w", h.run, err)
		}
	}
	for _, table := range []string{"points", "series"} {
		if _, err := t.exec(`DROP TABLE ` + table); err != nil {
			return err
		}
	}
	return nil
}

// movePoints packs what a run has recorded, some at a time.
func (t *tx) movePoints(h *head) error {
	keys := make(map[int64]string)
	err := t.rows(func(scan func(...any) error) error {
		var id int64
		var key string
		err := scan(&id, &key)
		keys[id] = key
		return err
	}, `SELECT series, key FROM series WHERE run = $1`, string(h.run))
	if err != nil || len(keys) == 0 {
		return err
	}
	ids, all := make(map[int64]int64), make(map[int64]bool)
	var names []string
	for _, key := range keys {
		names = append(names, key)
	}
	if err := t.nameMetrics(names); err != nil {
		return err
	}
	for series, key := range keys {
		id, _ := t.cache().id(key)
		ids[series], all[id] = id, true
	}
	if h.metrics, err = t.record(h.id, all); err != nil {
		return err
	}
	last := h.n
	for at := int64(0); at < last; {
		end := min(at+t.lay().most, last)
		var points []pack.Point
		err := t.rows(func(scan func(...any) error) error {
			var n, series int64
			var p pack.Point
			var value sql.NullFloat64
			if err := scan(&n, &series, &p.Step, &value, &p.Time); err != nil {
				return err
			}
			if p.Value = value.Float64; !value.Valid {
				p.Value = math.NaN()
			}
			if n != at+int64(len(points))+1 {
				return fmt.Errorf("%w: point %d comes after %d", solera.ErrCorrupt, n, at+int64(len(points)))
			}
			p.Metric = ids[series]
			points = append(points, p)
			return nil
		}, `SELECT n, series, step, value, at FROM points WHERE run = $1 AND n > $2 AND n <= $3 ORDER BY n`, string(h.run), at, end)
		if err != nil {
			return err
		}
		if int64(len(points)) != end-at {
			return fmt.Errorf("%w: of the points from %d to %d there are %d", solera.ErrCorrupt, at+1, end, len(points))
		}
		row := t.lay().row
		rows := (len(points) + row - 1) / row
		err = t.many(`INSERT INTO recent (run, n, points) VALUES ($1, $2, $3)`, rows, func(i int) []any {
			to := min((i+1)*row, len(points))
			return []any{h.id, at + int64(to), pack.EncodeRow(points[i*row : to])}
		})
		if err != nil {
			return err
		}
		if h.n = end; h.n-h.packed >= t.lay().enough(h.metrics) {
			if err := t.compact(h); err != nil {
				return err
			}
		}
		at = end
	}
	return nil
}
