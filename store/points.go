package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// Append adds points to a run in one transaction.
func (d *DB) Append(ctx context.Context, run solera.RunID, points []solera.Point) (last int64, err error) {
	for _, p := range points {
		if p.Key == "" || len(p.Key) > 1024 || !utf8.ValidString(p.Key) {
			return 0, fmt.Errorf("run %s: append points: metric %.80q: %w: want 1 to 1024 bytes of UTF-8", run, p.Key, solera.ErrInvalid)
		}
	}
	err = d.append(ctx, func(t *tx) (err error) {
		last, err = t.append(run, points)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("run %s: append points: %w", run, err)
	}
	return last, nil
}

func (t *tx) append(run solera.RunID, points []solera.Point) (last int64, err error) {
	err = t.row(`INSERT INTO heads (run, n) VALUES ($1, $2)
		ON CONFLICT (run) DO UPDATE SET n = heads.n + EXCLUDED.n RETURNING n`, string(run), len(points)).Scan(&last)
	if err != nil {
		return 0, err
	}
	series := make(map[string]int64)
	for _, p := range points {
		if _, known := series[p.Key]; known {
			continue
		}
		if series[p.Key], err = t.series(run, p.Key); err != nil {
			return 0, err
		}
	}
	first := last - int64(len(points)) + 1
	return last, t.many(`INSERT INTO points (run, n, series, step, value, at) VALUES ($1, $2, $3, $4, $5, $6)`, len(points), func(i int) []any {
		p := points[i]
		value := sql.NullFloat64{Float64: p.Value, Valid: !math.IsNaN(p.Value)}
		return []any{string(run), first + int64(i), series[p.Key], p.Step, value, int64(p.Time)}
	})
}

// series returns the number of a metric within its run, a new one for a new
// metric. The run's head is locked by then, so numbers do not collide.
func (t *tx) series(run solera.RunID, key string) (n int64, err error) {
	err = t.row(`SELECT series FROM series WHERE run = $1 AND key = $2`, string(run), key).Scan(&n)
	if !errors.Is(err, sql.ErrNoRows) {
		return n, err
	}
	err = t.row(`INSERT INTO series (run, key, series)
		SELECT $1, $2, COUNT(*) FROM series WHERE run = $1 RETURNING series`, string(run), key).Scan(&n)
	return n, err
}

// Since returns the points of a run after cursor.
func (d *DB) Since(ctx context.Context, run solera.RunID, cursor int64, limit int) (points []solera.Point, next int64, err error) {
	var f filter
	f.equal("p.run", string(run))
	f.args = append(f.args, cursor)
	f.where = append(f.where, "p.n > $2")
	query := f.query(`SELECT s.key, p.step, p.value, p.at, p.n FROM points p
		JOIN series s ON s.run = p.run AND s.series = p.series`, `p.n`, limit)
	err = d.readRows(ctx, func() { points, next = nil, cursor }, func(scan func(...any) error) error {
		p, err := scanPoint(scan, &next)
		points = append(points, p)
		return err
	}, query, f.args...)
	if err != nil {
		return nil, cursor, fmt.Errorf("run %s: read points: %w", run, err)
	}
	return points, next, nil
}

// Series returns the points of one metric by step.
func (d *DB) Series(ctx context.Context, q solera.SeriesQuery) (points []solera.Point, err error) {
	err = d.readRows(ctx, func() { points = nil }, func(scan func(...any) error) error {
		var n int64
		p, err := scanPoint(scan, &n)
		points = append(points, p)
		return err
	}, `SELECT s.key, p.step, p.value, p.at, p.n FROM series s JOIN points p ON p.run = s.run AND p.series = s.series
		WHERE s.run = $1 AND s.key = $2 ORDER BY p.step, p.n`, string(q.Run), q.Key)
	if err != nil {
		return nil, fmt.Errorf("run %s: read series %s: %w", q.Run, q.Key, err)
	}
	return points, nil
}

func scanPoint(scan func(...any) error, n *int64) (solera.Point, error) {
	var p solera.Point
	var value sql.NullFloat64
	err := scan(&p.Key, &p.Step, &value, &p.Time, n)
	p.Value = value.Float64
	if !value.Valid {
		p.Value = math.NaN()
	}
	return p, err
}

// Keys returns the metrics of a run.
func (d *DB) Keys(ctx context.Context, run solera.RunID) (keys []string, err error) {
	err = d.readRows(ctx, func() { keys = []string{} }, func(scan func(...any) error) error {
		var key string
		err := scan(&key)
		keys = append(keys, key)
		return err
	}, `SELECT key FROM series WHERE run = $1`, string(run))
	if err != nil {
		return nil, fmt.Errorf("run %s: list metrics: %w", run, err)
	}
	slices.Sort(keys) // databases differ in how they order text
	return keys, nil
}

// readRows runs one query in a transaction of its own; reset starts the result
// afresh for another try.
func (d *DB) readRows(ctx context.Context, reset func(), scan func(func(...any) error) error, query string, args ...any) error {
	return d.View(ctx, func(t solera.Tx) error {
		reset()
		return t.(*tx).rows(scan, query, args...)
	})
}
