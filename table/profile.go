package table

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// A Profile says what is in a table, column by column (profile.json).
type Profile struct {
	Rows    int             `json:"rows"`
	Columns []ColumnProfile `json:"columns"`
}

// A ColumnProfile describes the values that are present in one column.
// Pointers are nil where there is nothing to say: no value, or not a number.
type ColumnProfile struct {
	Name     string       `json:"name"`
	Kind     Kind         `json:"kind"`
	Present  int          `json:"present"`
	Missing  int          `json:"missing"`
	Distinct int          `json:"distinct"`
	Integer  bool         `json:"integer,omitempty"`
	Min      *float64     `json:"min,omitempty"` // dates: seconds since 1970 UTC
	Q1       *float64     `json:"q1,omitempty"`  // quartiles interpolate linearly (Hyndman and Fan's type 7, numpy's default)
	Median   *float64     `json:"median,omitempty"`
	Q3       *float64     `json:"q3,omitempty"`
	Max      *float64     `json:"max,omitempty"`
	Mean     *float64     `json:"mean,omitempty"`
	SD       *float64     `json:"sd,omitempty"`  // of a sample (n-1); nil below two values
	Top      []LevelCount `json:"top,omitempty"` // categories and booleans: at most 20, most frequent first
}

// A LevelCount is a level and the number of its rows.
type LevelCount struct {
	Level string `json:"level"`
	Count int    `json:"count"`
}

// topLevels bounds profile.json for columns with millions of levels.
const topLevels = 20

// Profile describes every column.
func (t *Table) Profile() Profile {
	p := Profile{Rows: t.Len(), Columns: make([]ColumnProfile, len(t.Columns))}
	// Each core has the copy of one column at a time.
	var next atomic.Int64
	var columns sync.WaitGroup
	for range min(len(t.Columns), runtime.GOMAXPROCS(0)) {
		columns.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(t.Columns); i = int(next.Add(1)) - 1 {
				p.Columns[i] = t.Columns[i].Profile()
			}
		})
	}
	columns.Wait()
	return p
}

// Profile describes the column. It sorts a copy of the numbers.
func (c *Column) Profile() ColumnProfile {
	p := ColumnProfile{Name: c.Name, Kind: c.Kind, Integer: c.Integer, Missing: c.MissingCount()}
	p.Present = c.Len() - p.Missing
	switch c.Kind {
	case Category:
		p.Distinct = c.Distinct()
		p.Top = top(c.Levels, c.Counts())
		return p
	case Boolean:
		no, yes := c.words()
		n := []int{0, 0}
		for _, v := range c.Numbers {
			if v == 0 {
				n[0]++
			} else if v == 1 {
				n[1]++
			}
		}
		p.Top = top([]string{no, yes}, n)
		p.Distinct = len(p.Top)
		return p
	}
	v := c.present()
	if len(v) == 0 {
		return p
	}
	sortNumbers(v, nil)
	for i := range v {
		if i == 0 || v[i] != v[i-1] {
			p.Distinct++
		}
	}
	// Copies: a pointer into v would keep all of it.
	p.Min, p.Max = finite(v[0]), finite(v[len(v)-1])
	p.Q1, p.Median, p.Q3 = quantile(v, 1), quantile(v, 2), quantile(v, 3)
	// Sums run in row order: the same rows give the same bits.
	n, sum, squares := float64(len(v)), 0.0, 0.0
	for _, x := range c.Numbers {
		if !math.IsNaN(x) {
			sum += x
		}
	}
	mean := sum / n
	for _, x := range c.Numbers {
		if !math.IsNaN(x) {
			d := x - mean
			squares += float64(d * d)
		}
	}
	p.Mean = finite(mean)
	if len(v) > 1 {
		p.SD = finite(math.Sqrt(squares / (n - 1)))
	}
	return p
}

// finite returns a copy of v, or nil for a value that JSON could not hold, such
// as a sum that overflowed.
func finite(v float64) *float64 {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return nil
	}
	return &v
}

// quantile returns the q-th quartile of sorted v.
func quantile(v []float64, q int) *float64 {
	at := (len(v) - 1) * q
	i, part := at/4, float64(float64(at%4)/4)
	x := v[i]
	if part > 0 {
		x = float64(v[i]*(1-part)) + float64(v[i+1]*part)
	}
	return &x
}

func top(levels []string, counts []int) []LevelCount {
	var all []LevelCount
	for i, n := range counts {
		if n > 0 {
			all = append(all, LevelCount{levels[i], n})
		}
	}
	slices.SortStableFunc(all, func(a, b LevelCount) int { return b.Count - a.Count })
	return all[:min(len(all), topLevels):min(len(all), topLevels)]
}

// A Schema is what a table must look like to be read again (schema.json).
type Schema struct {
	Columns []ColumnSchema `json:"columns"`
	Target  string         `json:"target,omitempty"`
	// MissingValues are texts that mean "no value" in these columns, beside
	// those of DefaultMissing.
	MissingValues []string `json:"missing_values,omitempty"`
}

// A ColumnSchema is the name and type of one column.
type ColumnSchema struct {
	Name    string   `json:"name"`
	Kind    Kind     `json:"kind"`
	Integer bool     `json:"integer,omitempty"`
	Levels  []string `json:"levels,omitempty"` // category: the levels, unless there are more than 1,000; boolean: own words
}

// maxSchemaLevels keeps a column of identifiers from making the schema as large as the data.
const maxSchemaLevels = 1000

// Schema returns the schema of t. Target names the column to be predicted, "" for none.
func (t *Table) Schema(target string) Schema {
	s := Schema{Columns: make([]ColumnSchema, len(t.Columns)), Target: target}
	for i, c := range t.Columns {
		s.Columns[i] = ColumnSchema{Name: c.Name, Kind: c.Kind, Integer: c.Integer}
		if len(c.Levels) <= maxSchemaLevels {
			s.Columns[i].Levels = c.Levels
		}
	}
	return s
}

// Missing returns all texts that mean "no value", the form that
// Options.MissingValues takes.
func (s Schema) Missing() []string { return append(DefaultMissing(), s.MissingValues...) }

// Types returns the kinds by name, the form that Options.Types takes.
func (s Schema) Types() map[string]Kind {
	m := make(map[string]Kind, len(s.Columns))
	for _, c := range s.Columns {
		m[c.Name] = c.Kind
	}
	return m
}
