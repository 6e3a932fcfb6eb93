// Package table holds typed columns with names and row numbers for life, and
// reads them from CSV, JSON lines and Parquet. It changes no value: scaling,
// encoding and filling in belong to package transform.
package table

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Kind says how the values of a column are read.
type Kind string

// The kinds of column.
const (
	Number   Kind = "number"
	Category Kind = "category"
	Boolean  Kind = "boolean"
	Date     Kind = "date"
)

// Valid reports whether k is one of the four kinds.
func (k Kind) Valid() bool {
	return k == Number || k == Category || k == Boolean || k == Date
}

// A Column is one named, typed column. Of Numbers and Codes, one has a value
// for every row and the other is nil, as Kind says.
type Column struct {
	Name    string
	Kind    Kind
	Numbers []float64 // Number, Boolean (0 or 1), Date (seconds since 1970 UTC); NaN is missing
	Codes   []int32   // Category: index in Levels; -1 is missing
	Levels  []string  // Category: distinct values, sorted. Boolean: nil, or the words for false and true
	Integer bool      // Number: at least one value is present and all that are, are whole
}

// Len returns the number of rows.
func (c *Column) Len() int {
	if c.Kind == Category {
		return len(c.Codes)
	}
	return len(c.Numbers)
}

// Missing reports whether row i has no value.
func (c *Column) Missing(i int) bool {
	if c.Kind == Category {
		return c.Codes[i] < 0
	}
	return math.IsNaN(c.Numbers[i])
}

// MissingCount returns the number of rows without a value.
func (c *Column) MissingCount() int {
	n := 0
	for i := range c.Len() {
		if c.Missing(i) {
			n++
		}
	}
	return n
}

// Text returns the value of row i as a person would write it, "" when missing:
// the level of a category, "true" or "false" (or the file's own words), the
// shortest decimal that reads back as the same number, an ISO 8601 date.
func (c *Column) Text(i int) string {
	if c.Missing(i) {
		return ""
	}
	switch c.Kind {
	case Category:
		return c.Levels[c.Codes[i]]
	case Boolean:
		no, yes := c.words()
		if c.Numbers[i] != 0 {
			return yes
		}
		return no
	case Date:
		return FormatDate(c.Numbers[i])
	}
	return FormatNumber(c.Numbers[i])
}

func (c *Column) words() (no, yes string) {
	if len(c.Levels) == 2 {
		return c.Levels[0], c.Levels[1]
	}
	return "false", "true"
}

// FormatNumber writes v with the fewest digits that read back as v, without an
// exponent where a person would not use one.
func FormatNumber(v float64) string {
	if a := math.Abs(v); v == 0 || a >= 1e-5 && a < 1e16 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// Distinct returns the number of different values present.
func (c *Column) Distinct() int {
	if c.Kind == Category {
		n := 0
		for _, k := range c.Counts() {
			if k > 0 {
				n++
			}
		}
		return n
	}
	v := c.present()
	sortNumbers(v, nil)
	n := 0
	for i := range v {
		if i == 0 || v[i] != v[i-1] {
			n++
		}
	}
	return n
}

// Counts returns the number of rows of each level of a category.
func (c *Column) Counts() []int {
	n := make([]int, len(c.Levels))
	for _, k := range c.Codes {
		if k >= 0 {
			n[k]++
		}
	}
	return n
}

// present returns a copy of the numbers that are not missing.
func (c *Column) present() []float64 {
	v := make([]float64, 0, len(c.Numbers))
	for _, x := range c.Numbers {
		if !math.IsNaN(x) {
			v = append(v, x)
		}
	}
	return v
}

// Select returns the column of those rows, in that order. Levels are shared
// with c, so codes mean the same in both.
func (c *Column) Select(rows []int) *Column {
	d := *c
	if c.Kind == Category {
		d.Codes = make([]int32, len(rows))
		for i, r := range rows {
			d.Codes[i] = c.Codes[r]
		}
		return &d
	}
	d.Numbers = make([]float64, len(rows))
	for i, r := range rows {
		d.Numbers[i] = c.Numbers[r]
	}
	d.Integer = d.Kind == Number && whole(d.Numbers)
	return &d
}

// whole reports whether at least one number is present and all that are, are whole.
func whole(v []float64) bool {
	some := false
	for _, x := range v {
		if math.IsNaN(x) {
			continue
		}
		if x != math.Trunc(x) {
			return false
		}
		some = true
	}
	return some
}

// A Table is a list of columns of the same length whose rows keep their original numbers for life.
type Table struct {
	Columns    []*Column
	RowNumbers []int64 // position in the source, counted from 0 and on across files
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

// Names returns the names of the columns in order.
func (t *Table) Names() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// Select returns the table of those rows, in that order, with their row numbers.
func (t *Table) Select(rows []int) *Table {
	s := &Table{Columns: make([]*Column, len(t.Columns)), RowNumbers: make([]int64, len(rows))}
	for i, c := range t.Columns {
		s.Columns[i] = c.Select(rows)
	}
	for i, r := range rows {
		s.RowNumbers[i] = t.RowNumbers[r]
	}
	return s
}

// Without returns the table without the named columns. Columns are shared with t.
func (t *Table) Without(names ...string) *Table {
	s := &Table{RowNumbers: t.RowNumbers}
	for _, c := range t.Columns {
		if !slices.Contains(names, c.Name) {
			s.Columns = append(s.Columns, c)
		}
	}
	return s
}

// Check reports a table whose columns do not fit together: a programmer's
// mistake in a table built by hand. What the readers return always passes.
func (t *Table) Check() error {
	seen := make(map[string]bool, len(t.Columns))
	for _, c := range t.Columns {
		switch {
		case !c.Kind.Valid():
			return fmt.Errorf("column %q: kind %q", c.Name, c.Kind)
		case seen[c.Name]:
			return fmt.Errorf("column %q: twice in one table", c.Name)
		case c.Len() != t.Len():
			return fmt.Errorf("column %q: %d values for %d rows", c.Name, c.Len(), t.Len())
		}
		seen[c.Name] = true
		for i, k := range c.Codes {
			if c.Kind == Category && int(k) >= len(c.Levels) {
				return fmt.Errorf("column %q, row %d: code %d of %d levels", c.Name, i, k, len(c.Levels))
			}
		}
	}
	return nil
}
