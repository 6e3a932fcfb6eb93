package store

import (
	"context"
	"io/fs"

	"github.com/solera-ml/solera"
)

// SetLayout makes points lie together in small numbers, so that few of them
// fill blocks and segments.
func (d *DB) SetLayout(row, block int, least, most int64, segment uint) {
	d.layout = &layout{row, block, least, most, segment}
}

// CheckPoints reports what is wrong with the points alone.
func (d *DB) CheckPoints(ctx context.Context, report func(solera.Problem)) error {
	return d.viewPoints(ctx, func(t *tx) error { return t.checkPoints(report) })
}

// AppendWithin appends inside of an Update.
func AppendWithin(t solera.Tx, run solera.RunID, points []solera.Point) (int64, error) {
	return t.(*tx).append(run, points)
}

// Exec runs a statement of SQL, which damages the store on purpose.
func (d *DB) Exec(ctx context.Context, query string, args ...any) error {
	return d.update(ctx, func(t *tx) error {
		_, err := t.exec(query, args...)
		return err
	})
}

// Count returns the one number that a query gives.
func (d *DB) Count(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = d.view(ctx, func(t *tx) error { return t.row(query, args...).Scan(&n) })
	return n, err
}

// Stop ends an append after what fn does, and leaves nothing of it.
func (d *DB) Stop(ctx context.Context, fn func(solera.Tx) error) error {
	return d.append(ctx, func(t *tx) error { return fn(t) })
}

// Parts says where the parts of a chart begin and end.
func Parts(steps solera.StepRange, pixels int) (partOf func(int64) int, start, end func(int) int64) {
	c := &collector{steps: steps, pixels: pixels}
	return c.partOf, c.start, c.end
}

// MigrationFiles are the steps of the schema that are plain SQL.
func MigrationFiles() fs.FS { return migrationFiles() }
