package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/solera-ml/solera"
)

func (t *tx) InUse(digests []solera.Digest) (map[solera.Digest]bool, error) {
	const most = 500 // digests of a query
	used := make(map[solera.Digest]bool)
	for len(digests) > 0 {
		n := min(len(digests), most)
		if err := t.inUse(digests[:n], used); err != nil {
			return nil, fmt.Errorf("look up which contents are needed: %w", err)
		}
		digests = digests[n:]
	}
	return used, nil
}

func (t *tx) inUse(digests []solera.Digest, used map[solera.Digest]bool) error {
	args := make([]any, len(digests))
	for i, d := range digests {
		args[i] = d.String()
	}
	// EXISTS for each digest, so that a file which thousands of contents share
	// costs one step and not thousands. column1 is what both databases call the
	// column.
	return t.rows(func(scan func(...any) error) error {
		var text string
		if err := scan(&text); err != nil {
			return err
		}
		d, err := solera.ParseDigest(text)
		used[d] = true
		return err
	}, `SELECT d.column1 FROM (VALUES (`+strings.ReplaceAll(placeholders(len(digests)), ", ", "), (")+`)) AS d WHERE
		EXISTS (SELECT 1 FROM files f WHERE f.digest = d.column1 AND f.ref = '') OR
		EXISTS (SELECT 1 FROM entries e JOIN versions v ON v.content = e.content AND v.deleted = 0
			WHERE e.digest = d.column1 AND e.ref = '')`, args...)
}

func (t *tx) SetDeletion(d solera.Deletion) error {
	if err := t.setDeletion(d); err != nil {
		return fmt.Errorf("note the deletion of %v: %w", d.Digest, err)
	}
	return nil
}

func (t *tx) setDeletion(d solera.Deletion) error {
	if d.Digest.IsZero() || d.Planned == 0 || d.Size < 0 {
		return fmt.Errorf("%w: it needs a digest, a size and when it was planned", solera.ErrInvalid)
	}
	var old solera.Deletion
	err := t.row(`SELECT size, done FROM deletions WHERE digest = $1 AND planned = $2`,
		d.Digest.String(), int64(d.Planned)).Scan(&old.Size, &old.Done)
	var before solera.Fields
	switch {
	case err == nil && old.Size == d.Size && old.Done == d.Done:
		return nil
	case err == nil:
		before = solera.Fields{"size": old.Size, "done": old.Done}
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	_, err = t.exec(`INSERT INTO deletions (digest, planned, size, done) VALUES ($1, $2, $3, $4)
		ON CONFLICT (digest, planned) DO UPDATE SET size = EXCLUDED.size, done = EXCLUDED.done`,
		d.Digest.String(), int64(d.Planned), d.Size, int64(d.Done))
	if err != nil {
		return err
	}
	action := "deletion.plan"
	switch {
	case d.Withdrawn():
		action = "deletion.withdraw"
	case d.Done != 0:
		action = "deletion.done"
	}
	return t.note(action, d.Digest.String(), before, solera.Fields{"size": d.Size, "done": d.Done})
}

func (t *tx) Deletions(open bool) ([]solera.Deletion, error) {
	var f filter
	if open {
		f.equal("done", 0)
	}
	list := []solera.Deletion{}
	err := t.rows(func(scan func(...any) error) error {
		var d solera.Deletion
		var digest string
		if err := scan(&digest, &d.Size, &d.Planned, &d.Done); err != nil {
			return err
		}
		err := d.Digest.UnmarshalText([]byte(digest))
		list = append(list, d)
		return err
	}, f.query(`SELECT digest, size, planned, done FROM deletions`, `planned, digest`, 0), f.args...)
	if err != nil {
		return nil, fmt.Errorf("list deletions: %w", err)
	}
	return list, nil
}
