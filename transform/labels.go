package transform

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
)

// MaxClasses is the most classes that a target may have.
const MaxClasses = 1000

// Labels are the classes of a target column. The index of a class in Classes
// is its number in the network and in every artifact.
type Labels struct {
	Column  string     `json:"column"`
	Kind    table.Kind `json:"kind"`    // of the target: number (whole), category or boolean
	Classes []string   `json:"classes"` // numbers in numeric order, the word for false before the one for true, text in byte order
}

// FitLabels reads the classes of target column c from those rows of t
// (indices; nil means all). Classes that all read as whole numbers are in
// numeric order, whether the column holds text or numbers.
//
// It is an *solera.InputError when a row has no label, when there are fewer
// than 2 or more than MaxClasses classes, or when the column holds dates or
// fractions.
func FitLabels(t *table.Table, column string, rows []int) (Labels, error) {
	c, err := labelColumn(t, column)
	if err != nil {
		return Labels{}, err
	}
	if err := checkRows(t, rows); err != nil {
		return Labels{}, err
	}
	l := Labels{Column: column, Kind: c.Kind}
	if err := l.complete(t, c, rows); err != nil {
		return Labels{}, err
	}
	seen := map[string]bool{}
	n := 0
	// A category's codes are ticked off, not its texts: ten million rows take
	// no string comparison.
	levels := make([]bool, len(c.Levels))
	each(t, rows, func(r int) bool {
		n++
		if c.Kind == table.Category {
			levels[c.Codes[r]] = true
			return true
		}
		v := c.Numbers[r]
		if v != math.Floor(v) || math.IsInf(v, 0) {
			err = l.fail(fmt.Sprintf("choose a target with classes, or give it the type %s", table.Category), "row %d: %v is not a whole number, and a class is text or a whole number", t.RowNumbers[r], v)
			return false
		}
		seen[className(c, v)] = true
		return len(seen) <= MaxClasses
	})
	if err != nil {
		return Labels{}, err
	}
	for i, yes := range levels {
		if yes && c.Kind == table.Category {
			seen[c.Levels[i]] = true
		}
	}
	switch {
	case n == 0:
		return Labels{}, l.fail("give at least two rows of different classes", "no rows to learn the classes from")
	case len(seen) < 2:
		return Labels{}, l.fail("choose another target, or add rows of another class", "the target is constant: all %d rows are %s", n, show(sortedNames(seen)[0]))
	case len(seen) > MaxClasses:
		return Labels{}, l.fail("choose another target, or merge rare classes", "more than %d classes", MaxClasses)
	}
	l.Classes = sortedNames(seen)
	if c.Kind == table.Boolean {
		l.Classes = []string{className(c, 0), className(c, 1)}
	} else {
		sortNumeric(l.Classes)
	}
	return l, nil
}

// sortNumeric puts the classes in numeric order if all of them are whole numbers.
func sortNumeric(classes []string) {
	values := make(map[string]int64, len(classes))
	for _, s := range classes {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return
		}
		values[s] = v
	}
	slices.SortStableFunc(classes, func(a, b string) int { return cmp.Compare(values[a], values[b]) })
}

// Encode returns the class numbers of those rows of t (nil means all). A row
// without a label, and a class that FitLabels did not see, is an
// *solera.InputError. The target may be of another kind here, as the same
// labels may be read as text in one file and as numbers in another.
func (l Labels) Encode(t *table.Table, rows []int) ([]int32, error) {
	c, err := labelColumn(t, l.Column)
	if err != nil {
		return nil, err
	}
	if err := checkRows(t, rows); err != nil {
		return nil, err
	}
	if err := l.complete(t, c, rows); err != nil {
		return nil, err
	}
	n := len(rows)
	if rows == nil {
		n = t.Len()
	}
	index := make(map[string]int32, len(l.Classes))
	for i, class := range l.Classes {
		index[class] = int32(i)
	}
	levels := make([]int32, len(c.Levels))
	for i, level := range c.Levels {
		levels[i] = -1
		if k, ok := index[level]; ok {
			levels[i] = k
		}
	}
	numbers := map[float64]int32{}
	out := make([]int32, 0, n)
	first, strangers := -1, 0
	each(t, rows, func(r int) bool {
		var k int32
		if c.Kind == table.Category {
			k = levels[c.Codes[r]]
		} else {
			v, ok := c.Numbers[r], false
			if k, ok = numbers[v]; !ok {
				if k, ok = index[className(c, v)]; !ok {
					k = -1
				}
				// Bounded, because a hostile column has as many values as rows.
				if len(numbers) < 4*MaxClasses {
					numbers[v] = k
				}
			}
		}
		if k < 0 {
			if strangers++; first < 0 {
				first = r
			}
		}
		out = append(out, k)
		return true
	})
	if first >= 0 {
		class := ""
		if c.Kind == table.Category {
			class = c.Levels[c.Codes[first]]
		} else {
			class = className(c, c.Numbers[first])
		}
		return nil, l.fail("stratify the split so that every part has every class, or merge or remove rare classes",
			"row %d: class %s is not among the %d classes of the training rows (%d of %d rows)", t.RowNumbers[first], show(class), len(l.Classes), strangers, n)
	}
	return out, nil
}

// Check reports labels that FitLabels cannot have made.
func (l Labels) Check() error {
	if len(l.Classes) < 2 || len(l.Classes) > MaxClasses {
		return fmt.Errorf("labels of column %q: %d classes, want 2 to %d: %w", l.Column, len(l.Classes), MaxClasses, solera.ErrInvalid)
	}
	seen := map[string]bool{}
	for _, class := range l.Classes {
		if seen[class] {
			return fmt.Errorf("labels of column %q: class %s twice: %w", l.Column, show(class), solera.ErrInvalid)
		}
		seen[class] = true
	}
	return nil
}

func (l Labels) fail(hint, format string, args ...any) error {
	return &solera.InputError{Op: "read labels", Column: l.Column, Msg: fmt.Sprintf(format, args...), Hint: hint}
}

// className names the class of a number or boolean of column c.
func className(c *table.Column, v float64) string {
	switch {
	case c.Kind != table.Boolean:
		return text(v)
	case len(c.Levels) == 2 && v == 0:
		return c.Levels[0] // the file's own words
	case len(c.Levels) == 2:
		return c.Levels[1]
	}
	return strconv.FormatBool(v != 0)
}

// complete reports rows without a label.
func (l Labels) complete(t *table.Table, c *table.Column, rows []int) error {
	first, n := -1, 0
	each(t, rows, func(r int) bool {
		if c.Kind == table.Category && c.Codes[r] < 0 || c.Kind != table.Category && math.IsNaN(c.Numbers[r]) {
			if n++; first < 0 {
				first = r
			}
		}
		return true
	})
	if n == 0 {
		return nil
	}
	return l.fail("fill in the labels, or remove the rows", "%d rows have no label, first row %d", n, t.RowNumbers[first])
}

func labelColumn(t *table.Table, name string) (*table.Column, error) {
	c := t.Column(name)
	l := Labels{Column: name}
	if c == nil {
		return nil, l.fail(nearestHint(name, t.Names()), "no such column in the table")
	}
	switch c.Kind {
	case table.Category, table.Number, table.Boolean:
		return c, nil
	}
	return nil, l.fail("choose a target with classes", "a %s is no class", c.Kind)
}
