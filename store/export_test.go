package store

import "context"

// Pack packs the index of runs now, which otherwise waits for a longer tail.
func (d *DB) Pack(ctx context.Context) error {
	return d.update(ctx, func(t *tx) error { return t.pack() })
}

// Reindex builds the index of runs anew.
func (d *DB) Reindex(ctx context.Context) error {
	return d.update(ctx, func(t *tx) error { return t.reindexRuns(indexedColumns) })
}
