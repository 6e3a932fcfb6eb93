package store

import (
	"cmp"
	"slices"

	"github.com/pressly/goose/v3"
)

// goMigrations returns the steps of the schema that SQL alone cannot take,
// because they rewrite what is stored. They are numbered in one line with the
// files in the folder migrations, and take both databases. ddl makes the text
// that creates a table that of the database.
func goMigrations(ddl func(string) string) []*goose.Migration {
	list := []*goose.Migration{pointsMigration(ddl), indexMigration(ddl)}
	slices.SortFunc(list, func(a, b *goose.Migration) int { return cmp.Compare(a.Version, b.Version) })
	return list
}
