package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// maxFieldTexts is how many different texts of a field are counted. Beyond, it
// is free text, of which the most frequent say nothing.
const maxFieldTexts = 2000

// A fieldCount is what was seen of a field.
type fieldCount struct {
	solera.RunField
	texts map[string]int
}

func (c *fieldCount) add(v value) {
	switch v.kind {
	case numberValue:
		c.Numbers++
	case flagValue:
		c.Flags++
	case textValue:
		c.Texts++
		if n, known := c.texts[v.text]; !v.cut && (known || len(c.texts) < maxFieldTexts) {
			c.texts[v.text] = n + 1
		}
	}
}

// RunFields reads the index alone: a field of 1,000 runs is a row of it.
func (t *tx) RunFields(q solera.RunQuery, texts int) ([]solera.RunField, error) {
	list, err := t.runFields(q, texts)
	if err != nil {
		return nil, fmt.Errorf("fields of runs: %w", err)
	}
	return list, nil
}

func (t *tx) runFields(q solera.RunQuery, texts int) ([]solera.RunField, error) {
	s, err := t.selectRuns(q)
	if err != nil {
		return nil, err
	}
	fields := map[string]*fieldCount{}
	of := func(field string) *fieldCount {
		c := fields[field]
		if c == nil {
			c = &fieldCount{RunField: solera.RunField{Field: field}, texts: map[string]int{}}
			fields[field] = c
		}
		return c
	}
	// What the tail names is newer than the columns, also where it has nothing.
	tail := map[int64]fieldRow{}
	err = t.tail(nil, func(seq int64, row fieldRow) {
		tail[seq] = row
		if set := s.chosen[seq/chunkRuns]; set == nil || !set.has(int(seq%chunkRuns)) {
			return
		}
		for field, values := range row {
			if len(values) > 0 && freeForm(field) {
				c := of(field)
				c.Runs++
				for _, v := range values {
					c.add(v)
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for _, head := range []string{"params", "summary"} {
		// '/' follows '.': everything that begins with the head and a dot.
		err := t.rows(func(scan func(...any) error) error {
			var field string
			var chunk int64
			var raw []byte
			if err := scan(&field, &chunk, &raw); err != nil {
				return err
			}
			set := s.chosen[chunk]
			if set == nil {
				return nil
			}
			column, err := readColumn(raw)
			if err != nil {
				return fmt.Errorf("%w (%s, %d)", err, field, chunk)
			}
			var seen slotSet
			for _, e := range column.entries() {
				slot := int(e.slot)
				if !set.has(slot) {
					continue
				}
				if _, newer := tail[chunk*chunkRuns+int64(slot)][field]; newer {
					continue
				}
				c := of(field)
				if !seen.has(slot) {
					seen.add(slot)
					c.Runs++
				}
				c.add(e.value)
			}
			return nil
		}, `SELECT field, chunk, data FROM run_columns WHERE field >= $1 AND field < $2`, head+".", head+"/")
		if err != nil {
			return nil, err
		}
	}
	list := []solera.RunField{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		c := fields[name]
		frequent := slices.SortedFunc(maps.Keys(c.texts), func(a, b string) int {
			return cmp.Or(cmp.Compare(c.texts[b], c.texts[a]), cmp.Compare(a, b))
		})
		c.Some = frequent[:min(texts, len(frequent))]
		list = append(list, c.RunField)
	}
	return list, nil
}

// freeForm reports whether a field is a param or part of the summary, under a
// name that the index keeps whole.
func freeForm(field string) bool {
	return strings.HasPrefix(field, "params.") || strings.HasPrefix(field, "summary.")
}
