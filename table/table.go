// Package table holds typed columns with names and row numbers for life.
package table

// Kind says how the values of a column are read.
type Kind string

// The kinds of column.
const (
	Number   Kind = "number"
	Category Kind = "category"
	Boolean  Kind = "boolean"
	Date     Kind = "date"
)

// A Column is one named, typed column.
type Column struct {
	Name    string
	Kind    Kind
	Numbers []float64 // Number, Boolean (0 or 1), Date (seconds since 1970 UTC); NaN is missing
	Codes   []int32   // Category: index in Levels; -1 is missing
	Levels  []string  // Category: distinct values, sorted
	Integer bool      // Number: every value present is whole
}

// A Table is a list of columns of the same length whose rows keep their original numbers for life.
type Table struct {
	Columns    []*Column
	RowNumbers []int64
}

// Len returns the number of rows.
func (t *Table) Len() int { return len(t.RowNumbers) }

// Column returns the column with that name, or nil.
func (t *Table) Column(name string) *Column {
	for _, c := range t.Columns {
		if c.Name == name {
			return c
		}
	}
	return nil
}
