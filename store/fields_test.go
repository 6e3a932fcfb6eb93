package store_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera"
)

// The index has to say what the records say, packed or not, changed or removed.
func TestFieldsOfRunsAreThoseOfTheirRecords(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) {
		const n = 2500 // more than two chunks
		update(t, s, func(tx solera.Tx) error {
			for i := range n {
				params := solera.Fields{"optimizer": []string{"adam", "sgd"}[i%2], "nested": map[string]any{"flag": i%3 == 0}, "list": []any{"a", 1.5}}
				if i%5 == 0 {
					params["mixed"] = float64(i)
				} else {
					params["mixed"] = fmt.Sprint("text ", i%7)
				}
				r := solera.Run{
					ID: solera.RunID(fmt.Sprintf("r%05d", i)), Project: []string{"a", "b"}[i%2], State: solera.Finished, Created: solera.Micros(i + 1),
					Params: params, Summary: solera.Fields{"val": map[string]any{"loss": float64(i)}},
				}
				if err := tx.CreateRun(r); err != nil {
					return err
				}
			}
			return nil
		})
		update(t, s, func(tx solera.Tx) error {
			for _, id := range []solera.RunID{"r00001", "r02499", "r01500"} {
				r, err := tx.Run(id)
				if err != nil {
					return err
				}
				r.Params = solera.Fields{"other": true}
				if id == "r01500" {
					r.Deleted = 1
				}
				if err := tx.UpdateRun(r); err != nil {
					return err
				}
			}
			return tx.RemoveRun("r00002")
		})
		for _, q := range []solera.RunQuery{{}, {Project: "a"}, {Project: "b", Deleted: true}, {Project: "none"}, {Where: where(t, `summary.val.loss > 2000`)}} {
			var got []solera.RunField
			var runs []solera.Run
			view(t, s, func(tx solera.Tx) (err error) {
				if got, err = tx.RunFields(q, 3); err != nil {
					return err
				}
				runs, err = tx.Runs(q)
				return err
			})
			if diff := cmp.Diff(countFields(runs), got); diff != "" {
				t.Errorf("%+v (-records +index):\n%s", q, diff)
			}
		}
	})
}

func where(t *testing.T, text string) solera.Expr {
	t.Helper()
	e, err := solera.ParseExpr(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// countFields does by records what RunFields does by the index.
func countFields(runs []solera.Run) []solera.RunField {
	fields := map[string]*solera.RunField{}
	texts := map[string]map[string]int{}
	for _, r := range runs {
		for head, object := range map[string]solera.Fields{"params.": r.Params, "summary.": r.Summary} {
			for key, v := range object.Flat() {
				f := fields[head+key]
				if f == nil {
					f = &solera.RunField{Field: head + key}
					fields[head+key], texts[head+key] = f, map[string]int{}
				}
				f.Runs++
				members, ok := v.([]any)
				if !ok {
					members = []any{v}
				}
				for _, m := range members {
					switch m := m.(type) {
					case string:
						f.Texts++
						texts[head+key][m]++
					case bool:
						f.Flags++
					default:
						f.Numbers++
					}
				}
			}
		}
	}
	list := []solera.RunField{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		counted := texts[name]
		some := slices.SortedFunc(maps.Keys(counted), func(a, b string) int {
			if counted[a] != counted[b] {
				return counted[b] - counted[a]
			}
			return slices.Compare([]byte(a), []byte(b))
		})
		fields[name].Some = some[:min(3, len(some))]
		list = append(list, *fields[name])
	}
	return list
}
