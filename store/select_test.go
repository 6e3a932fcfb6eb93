package store_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store"
)

// The model: what conditions and orders mean, said as simply as possible.

// valuesOf returns what a run has at a field, as float64, string and bool.
func valuesOf(r solera.Run, field string) []any {
	text := func(s string) []any {
		if s == "" {
			return nil
		}
		return []any{s}
	}
	moment := func(m solera.Micros) []any {
		if m == 0 {
			return nil
		}
		return []any{float64(m)}
	}
	switch field {
	case "id":
		return text(string(r.ID))
	case "name":
		return text(r.Name)
	case "project":
		return text(r.Project)
	case "stage":
		return text(r.Stage)
	case "experiment":
		return text(r.Experiment)
	case "group":
		return text(r.Group)
	case "state":
		return text(string(r.State))
	case "notes":
		return text(r.Notes)
	case "created":
		return moment(r.Created)
	case "started":
		return moment(r.Started)
	case "finished":
		return moment(r.Finished)
	case "duration":
		if r.Started == 0 || r.Finished == 0 {
			return nil
		}
		return []any{float64(r.Finished-r.Started) / 1e6}
	case "tags":
		var list []any
		for _, tag := range r.Tags {
			list = append(list, text(tag)...)
		}
		return list
	}
	head, path, _ := strings.Cut(field, ".")
	raw, err := map[string]solera.Fields{"params": r.Params, "summary": r.Summary, "environment": r.Environment}[head].MarshalJSON()
	if err != nil {
		panic(err)
	}
	var root any
	if err := json.Unmarshal(raw, &root); err != nil {
		panic(err)
	}
	var list []any
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, inner := range v {
				if at == "" {
					walk(key, inner)
				} else {
					walk(at+"."+key, inner)
				}
			}
		case []any:
			for _, member := range v {
				walk(at, member)
			}
		case nil:
		default:
			if at == path && v != "" {
				list = append(list, v)
			}
		}
	}
	walk("", root)
	return list
}

func modelHolds(e solera.Expr, r solera.Run, now solera.Micros) bool {
	switch e.Op {
	case "":
		return true
	case solera.And:
		return !slices.ContainsFunc(e.Args, func(a solera.Expr) bool { return !modelHolds(a, r, now) })
	case solera.Or:
		return slices.ContainsFunc(e.Args, func(a solera.Expr) bool { return modelHolds(a, r, now) })
	case solera.Not:
		return !modelHolds(e.Args[0], r, now)
	}
	have := valuesOf(r, e.Field)
	isTime := slices.Contains([]string{"created", "started", "finished"}, e.Field)
	compares, equals := false, false
	for _, x := range have {
		if e.Op == solera.Exists {
			return true
		}
		if e.Op == solera.Like {
			if isTime {
				x = solera.Micros(x.(float64)).String()
			}
			pattern := regexp.QuoteMeta(e.Values[0].(string))
			pattern = strings.NewReplacer("%", "(?s:.*)", "_", "(?s:.)").Replace(pattern)
			if s, ok := x.(string); ok && regexp.MustCompile("^(?i:"+pattern+")$").MatchString(s) {
				return true
			}
			continue
		}
		for _, v := range e.Values {
			if s, ok := v.(string); ok && isTime {
				m, err := solera.ParseMoment(s, now)
				if err != nil {
					panic(err)
				}
				v = float64(m)
			}
			if reflect.TypeOf(v) != reflect.TypeOf(x) {
				continue
			}
			compares = true
			equals = equals || x == v
			c := compareValues(x, v)
			if e.Op == solera.In && x == v || e.Op == solera.Less && c < 0 || e.Op == solera.LessEqual && c <= 0 ||
				e.Op == solera.Greater && c > 0 || e.Op == solera.GreaterEqual && c >= 0 {
				return true
			}
		}
	}
	switch e.Op {
	case solera.Equal:
		return equals
	case solera.NotEqual:
		return compares && !equals
	}
	return false
}

// compareValues sorts numbers before texts before false before true.
func compareValues(x, y any) int {
	kind := func(v any) int {
		return slices.Index([]reflect.Type{reflect.TypeFor[float64](), reflect.TypeFor[string](), reflect.TypeFor[bool]()}, reflect.TypeOf(v))
	}
	if c := cmp.Compare(kind(x), kind(y)); c != 0 {
		return c
	}
	switch x := x.(type) {
	case float64:
		return cmp.Compare(x, y.(float64))
	case string:
		return cmp.Compare(x, y.(string))
	}
	return cmp.Compare(fmt.Sprint(x), fmt.Sprint(y)) // "false" < "true"
}

func modelOrder(o solera.RunOrder, a, b solera.Run) int {
	best := func(r solera.Run) any {
		list := slices.Clone(valuesOf(r, o.Field))
		slices.SortFunc(list, compareValues)
		if len(list) == 0 {
			return nil
		}
		first := list[0]
		if o.Descending { // the most of the kind that comes first
			for _, v := range list {
				if reflect.TypeOf(v) == reflect.TypeOf(first) {
					first = v
				}
			}
			return first
		}
		return first
	}
	x, y := best(a), best(b)
	switch {
	case x == nil && y == nil:
		return 0
	case x == nil:
		return 1
	case y == nil:
		return -1
	}
	c := compareValues(x, y)
	if o.Descending && reflect.TypeOf(x) == reflect.TypeOf(y) {
		c = -c
	}
	return c
}

func modelRuns(all map[solera.RunID]solera.Run, q solera.RunQuery, now solera.Micros) (page []solera.RunID, count int) {
	var list []solera.Run
	for _, r := range all {
		if (q.Project == "" || r.Project == q.Project) && (q.Stage == "" || r.Stage == q.Stage) &&
			(q.Experiment == "" || r.Experiment == q.Experiment) && (q.Group == "" || r.Group == q.Group) &&
			(q.State == "" || r.State == q.State) && (q.Recipe.IsZero() || r.Recipe == q.Recipe) &&
			(q.Deleted || r.Deleted == 0) && modelHolds(q.Where, r, now) {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b solera.Run) int {
		for _, o := range q.Order {
			if c := modelOrder(o, a, b); c != 0 {
				return c
			}
		}
		return cmp.Or(cmp.Compare(b.Created, a.Created), cmp.Compare(b.ID, a.ID))
	})
	count = len(list)
	list = list[min(q.Offset, len(list)):]
	if q.Limit > 0 {
		list = list[:min(q.Limit, len(list))]
	}
	page = []solera.RunID{}
	for _, r := range list {
		page = append(page, r.ID)
	}
	return page, count
}

// What runs hold and conditions ask for comes from small pools, so that they
// meet.
var (
	someTexts  = []any{"a", "B", "b", "adam", "Straße", "K", "\u212a", "ſ", "10", "", "true", strings.Repeat("x", 1100), strings.Repeat("x", 1100) + "y", strings.Repeat("x", 1020) + "é%"}
	someValues = append([]any{0.5, 1.0, -3.0, 1e300, 10.0, true, false, nil, 3, uint8(1)}, someTexts...)
	someKeys   = []string{"lr", "val/loss", "a.b", "a", "name with \x00 zero", strings.Repeat("k", 600), "größe"}
)

func someFields(t *rapid.T, label string) solera.Fields {
	value := rapid.Custom(func(t *rapid.T) any {
		scalar := rapid.SampledFrom(someValues)
		switch rapid.IntRange(0, 9).Draw(t, "shape") {
		case 0:
			return rapid.SliceOfN(scalar, 0, 3).Draw(t, "list")
		case 1:
			return map[string]any{"b": scalar.Draw(t, "inner"), "c": []any{map[string]any{"d": scalar.Draw(t, "deep")}}}
		case 2:
			return rapid.SampledFrom([]any{math.NaN(), math.Inf(1), float32(0.5), []float64{0.5, 2}, map[string]float64{"b": 1}}).Draw(t, "odd")
		}
		return scalar.Draw(t, "scalar")
	})
	return solera.Fields(rapid.MapOfN(rapid.SampledFrom(someKeys), value, 0, 4).Draw(t, label))
}

func someRun(t *rapid.T, id solera.RunID) solera.Run {
	text := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	moment := func(label string) solera.Micros {
		return solera.Micros(rapid.Int64Range(0, 4).Draw(t, label)) * 86_400_000_000 * 5000
	}
	tags := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"best", "old", "Old", ""}), 0, 3, rapid.ID).Draw(t, "tags")
	slices.Sort(tags)
	return solera.Run{
		ID: id, Project: text("project", "p", "q"), Stage: text("stage", "train", "load"), Experiment: text("experiment", "", "exp001"),
		Group: text("group", "", "folds"), Name: text("name", "", "train exp001", "TRAIN"), Notes: text("notes", "", "100%", strings.Repeat("n", 3000)),
		State:  solera.RunState(text("state", "finished", "failed", "running")),
		Params: someFields(t, "params"), Summary: someFields(t, "summary"), Environment: someFields(t, "environment"), Tags: tags,
		Recipe:  solera.DigestOf([]byte(text("recipe", "1", "2"))),
		Created: moment("created"), Started: moment("started"), Finished: moment("finished"),
		Deleted: solera.Micros(rapid.SampledFrom([]int64{0, 0, 0, 1}).Draw(t, "deleted")),
	}
}

func someField(t *rapid.T) string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"id", "name", "project", "stage", "experiment", "group", "state", "notes", "created", "started", "finished", "duration", "tags"}),
		rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{"params.", "summary.", "environment."}).Draw(t, "head") +
				rapid.SampledFrom(append([]string{"a.b", "a.c.d", "lr.b"}, someKeys...)).Draw(t, "key")
		}),
	).Draw(t, "field")
}

func someExpr(t *rapid.T, depth int) solera.Expr {
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	if depth > 3 {
		kind = max(kind, 3)
	}
	switch kind {
	case 0, 1:
		e := solera.Expr{Op: []solera.Op{solera.And, solera.Or}[kind]}
		for range rapid.IntRange(1, 3).Draw(t, "args") {
			e.Args = append(e.Args, someExpr(t, depth+1))
		}
		return e
	case 2:
		return solera.Expr{Op: solera.Not, Args: []solera.Expr{someExpr(t, depth+1)}}
	}
	ops := []solera.Op{
		solera.Equal, solera.NotEqual, solera.Less, solera.LessEqual, solera.Greater, solera.GreaterEqual, solera.In, solera.Like, solera.Exists,
	}
	e := solera.Expr{Op: rapid.SampledFrom(ops).Draw(t, "op"), Field: someField(t)}
	values := 1
	switch e.Op {
	case solera.Exists:
		return e
	case solera.Like:
		e.Values = []any{rapid.SampledFrom([]string{"%", "_", "a%", "%A%M", "str%e", "k", "S", "%%x_", "%é%%", "100%", "20%-01-%", ""}).Draw(t, "pattern")}
		if e.Check() != nil { // a number has no pattern
			return solera.Expr{Op: solera.Exists, Field: e.Field}
		}
		return e
	case solera.In:
		values = rapid.IntRange(1, 4).Draw(t, "values")
	}
	pool := []any{0.5, 1.0, -3.0, 10.0, 3.0, math.Inf(1), true, false, "-3d", "1983-09-10", "1997-05-19T00:00:00Z", "best", "train exp001", "folds", "finished", "failed"}
	pool = append(pool, someTexts...)
	for range values {
		e.Values = append(e.Values, rapid.SampledFrom(pool).Filter(func(v any) bool {
			op := e.Op
			if op == solera.In {
				op = solera.Equal
			}
			return solera.Expr{Op: op, Field: e.Field, Values: []any{v}}.Check() == nil
		}).Draw(t, "value"))
	}
	return e
}

// The index answers what the model answers, after whatever was done to runs.
func TestRunsAreFoundAsTheConditionSays(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) { runsFollowTheModel(t, s.(*store.DB)) })
}

func runsFollowTheModel(t *testing.T, s *store.DB) {
	rapid.Check(t, func(t *rapid.T) {
		// What the round before left goes first, so that numbers are given again.
		err := s.Update(ctx, func(tx solera.Tx) error {
			old, err := tx.Runs(solera.RunQuery{Deleted: true})
			for _, r := range old {
				err = errors.Join(err, tx.RemoveRun(r.ID))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		all := make(map[solera.RunID]solera.Run)
		for range rapid.IntRange(1, 8).Draw(t, "updates") {
			if rapid.IntRange(0, 1).Draw(t, "pack") == 0 {
				if err := s.Pack(ctx); err != nil {
					t.Fatal(err)
				}
			}
			err := s.Update(ctx, func(tx solera.Tx) error {
				for range rapid.IntRange(1, 4).Draw(t, "changes") {
					if err := changeSomeRun(t, tx, all); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if rapid.IntRange(0, 5).Draw(t, "reindex") == 0 {
			if err := s.Reindex(ctx); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			q := solera.RunQuery{
				Project: rapid.SampledFrom([]string{"", "p"}).Draw(t, "of project"), Stage: rapid.SampledFrom([]string{"", "", "train"}).Draw(t, "of stage"),
				Experiment: rapid.SampledFrom([]string{"", "", "exp001"}).Draw(t, "of experiment"), Group: rapid.SampledFrom([]string{"", "", "folds"}).Draw(t, "of group"),
				State:  solera.RunState(rapid.SampledFrom([]string{"", "", "finished", "running"}).Draw(t, "of state")),
				Limit:  rapid.IntRange(0, 4).Draw(t, "limit"),
				Offset: rapid.SampledFrom([]int{0, 0, 1, 5}).Draw(t, "offset"), Deleted: rapid.Bool().Draw(t, "with deleted"),
			}
			if rapid.IntRange(0, 4).Draw(t, "by recipe") == 0 {
				q.Recipe = solera.DigestOf([]byte("1"))
			}
			if rapid.IntRange(0, 4).Draw(t, "where") > 0 {
				q.Where = someExpr(t, 0)
			}
			for range rapid.IntRange(0, 2).Draw(t, "orders") {
				q.Order = append(q.Order, solera.RunOrder{Field: someField(t), Descending: rapid.Bool().Draw(t, "down")})
			}
			var got []solera.Run
			var count int
			err := s.View(ctx, func(tx solera.Tx) (err error) {
				if got, err = tx.Runs(q); err != nil {
					return err
				}
				count, err = tx.CountRuns(q)
				return err
			})
			if err != nil {
				t.Fatalf("%s: %v", q.Where, err)
			}
			ids := []solera.RunID{}
			for _, r := range got {
				ids = append(ids, r.ID)
				if r.Notes != all[r.ID].Notes || r.State != all[r.ID].State {
					t.Fatalf("run %s came back as another", r.ID)
				}
			}
			want, wantCount := modelRuns(all, q, solera.MicrosOf(time.Now()))
			if !slices.Equal(ids, want) || count != wantCount {
				t.Fatalf("%+v\nwhere %s\n got %v of %d\nwant %v of %d", q, q.Where, ids, count, want, wantCount)
			}
		}
	})
}

// changeSomeRun creates, updates or removes a run, in all too.
func changeSomeRun(t *rapid.T, tx solera.Tx, all map[solera.RunID]solera.Run) error {
	id := solera.RunID(rapid.SampledFrom([]string{"r1", "r2", "r3", "R3", "r4"}).Draw(t, "run"))
	before, there := all[id]
	if there && rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
		delete(all, id)
		return tx.RemoveRun(id)
	}
	r := someRun(t, id)
	if !there {
		all[id] = r
		return tx.CreateRun(r)
	}
	r.Project, r.Created = before.Project, before.Created
	all[id] = r
	return tx.UpdateRun(r)
}

func TestConditionsThatMakeNoSenseAreRefused(t *testing.T) {
	s := openSQLite(t)
	for _, q := range []solera.RunQuery{
		{Where: solera.Expr{Op: solera.Equal, Field: "colour", Values: []any{"red"}}},
		{Where: solera.Expr{Op: solera.Greater, Field: "created", Values: []any{"soon"}}},
		{Where: solera.Expr{Op: "~", Field: "name", Values: []any{"x"}}},
		{Order: []solera.RunOrder{{Field: "colour"}}},
	} {
		err := s.View(ctx, func(tx solera.Tx) error {
			_, err := tx.Runs(q)
			return err
		})
		if !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%+v: got error %v, want ErrInvalid", q, err)
		}
	}
}
