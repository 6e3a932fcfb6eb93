package store

import (
	"database/sql"
	"fmt"
)

// Projects returns the names of all projects, sorted. Each costs a step down
// the index by project, however many runs it has.
func (t *tx) Projects() ([]string, error) {
	var list []string
	for last := ""; ; {
		var next sql.NullString
		if err := t.row(`SELECT MIN(project) FROM runs WHERE project > $1`, last).Scan(&next); err != nil {
			return nil, fmt.Errorf("list projects: %w", err)
		}
		if !next.Valid {
			return list, nil
		}
		last = next.String
		list = append(list, last)
	}
}
