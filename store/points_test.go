package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/internal/clustertest"
	"github.com/solera-ml/solera/store"
)

func samePoint(a, b solera.Point) bool {
	return a.Key == b.Key && a.Step == b.Step && a.Time == b.Time &&
		(math.Float64bits(a.Value) == math.Float64bits(b.Value) || math.IsNaN(a.Value) && math.IsNaN(b.Value))
}

func wantPoints(t interface{ Fatalf(string, ...any) }, what string, got, want []solera.Point) {
	for i := range min(len(got), len(want)) {
		if !samePoint(got[i], want[i]) {
			t.Fatalf("%s: point %d of %d is %v, want %v", what, i, len(want), got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d points, want %d", what, len(got), len(want))
	}
}

// followed reads a run to its end in pages.
func followed(t testing.TB, s solera.Store, run solera.RunID, limit int) (all []solera.Point) {
	t.Helper()
	var cursor int64
	for {
		page, next, err := s.Since(ctx, run, cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			if next != cursor || cursor != int64(len(all)) {
				t.Fatalf("the end is at %d after %d points, cursor %d", next, len(all), cursor)
			}
			return all
		}
		all, cursor = append(all, page...), next
	}
}

// thinned is the definition of SeriesQuery, as slow as it is plain.
func thinned(all []solera.Point, q solera.SeriesQuery) (want []solera.Point) {
	var series []solera.Point
	for _, p := range all {
		if p.Key == q.Key && (q.Steps == nil || p.Step >= q.Steps.From && p.Step <= q.Steps.To) {
			series = append(series, p)
		}
	}
	slices.SortStableFunc(series, func(a, b solera.Point) int { return big.NewInt(a.Step).Cmp(big.NewInt(b.Step)) })
	if q.Pixels == 0 || len(series) <= 4*q.Pixels {
		return series
	}
	from, to := series[0].Step, series[len(series)-1].Step
	if q.Steps != nil {
		from, to = q.Steps.From, q.Steps.To
	}
	width := new(big.Int).Sub(big.NewInt(to), big.NewInt(from))
	width.Add(width, big.NewInt(1))
	part := func(step int64) int64 {
		x := new(big.Int).Sub(big.NewInt(step), big.NewInt(from))
		x.Mul(x, big.NewInt(int64(q.Pixels)))
		return x.Div(x, width).Int64()
	}
	for len(series) > 0 {
		n := 1
		for n < len(series) && part(series[n].Step) == part(series[0].Step) {
			n++
		}
		lowest, highest := -1, -1
		for i, p := range series[:n] {
			if math.IsNaN(p.Value) {
				continue
			}
			if lowest < 0 || p.Value < series[lowest].Value {
				lowest = i
			}
			if highest < 0 || p.Value > series[highest].Value {
				highest = i
			}
		}
		for i := range n {
			if i == 0 || i == n-1 || i == lowest || i == highest {
				want = append(want, series[i])
			}
		}
		series = series[n:]
	}
	return want
}

var oddValues = []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), math.MaxFloat64, 5e-324, 0.1, 1 << 60}

// somePoints draws a batch; next counts the steps of a run.
func somePoints(t *rapid.T, next *int64) (batch []solera.Point) {
	n := rapid.OneOf(rapid.IntRange(0, 5), rapid.IntRange(0, 60)).Draw(t, "points")
	way := rapid.SampledFrom([]string{"ascending", "ascending", "repeated", "wild", "extreme"}).Draw(t, "steps")
	metrics := rapid.IntRange(1, 4).Draw(t, "metrics")
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	for range n {
		p := solera.Point{Key: fmt.Sprint("m", random.IntN(metrics)), Time: solera.Micros(random.Int64N(1e6))}
		switch way {
		case "ascending":
			*next++
			p.Step = *next
		case "repeated":
			p.Step = *next / 8
			*next++
		case "wild":
			p.Step = random.Int64N(100) - 50
		case "extreme":
			p.Step = []int64{math.MinInt64, math.MaxInt64, 0, -1, int64(random.Uint64())}[random.IntN(5)]
		}
		if p.Value = math.Round(random.NormFloat64()*10) / 4; random.IntN(8) == 0 {
			p.Value = oddValues[random.IntN(len(oddValues))]
		}
		batch = append(batch, p)
	}
	return batch
}

// Whatever is appended in whatever batches, packed or not yet, it reads back as
// a list in memory would.
func TestPointsFollowTheirModel(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) {
		db := s.(*store.DB)
		db.SetLayout(7, 8, 16, 64, 6)
		instance := 0
		rapid.Check(t, func(rt *rapid.T) {
			instance++
			runs := []solera.RunID{solera.RunID(fmt.Sprint("a", instance)), solera.RunID(fmt.Sprint("b", instance))}
			model := make(map[solera.RunID][]solera.Point)
			var next int64
			for _, run := range runs {
				createRun(t, s, solera.Run{ID: run})
			}
			for range rapid.IntRange(1, 12).Draw(rt, "appends") {
				run := rapid.SampledFrom(runs).Draw(rt, "run")
				batch := somePoints(rt, &next)
				model[run] = append(model[run], batch...)
				if last, err := s.Append(ctx, run, batch); err != nil || last != int64(len(model[run])) {
					rt.Fatalf("Append = %d, %v, want %d", last, err, len(model[run]))
				}
			}
			for _, run := range runs {
				all := model[run]
				cursor, limit := rapid.Int64Range(-1, 200).Draw(rt, "cursor"), rapid.IntRange(0, 100).Draw(rt, "limit")
				from := min(max(cursor, 0), int64(len(all)))
				want := all[from:]
				if limit > 0 {
					want = want[:min(limit, len(want))]
				}
				got, end, err := s.Since(ctx, run, cursor, limit)
				if wantEnd := max(cursor, from+int64(len(want))); len(want) > 0 && end != wantEnd || len(want) == 0 && end != cursor || err != nil {
					rt.Fatalf("Since(%d, %d) ends at %d, %v, want %d", cursor, limit, end, err, wantEnd)
				}
				wantPoints(rt, fmt.Sprintf("Since(%d, %d)", cursor, limit), got, want)

				q := solera.SeriesQuery{Run: run, Key: fmt.Sprint("m", rapid.IntRange(0, 4).Draw(rt, "metric")), Pixels: rapid.IntRange(0, 9).Draw(rt, "pixels")}
				if rapid.Bool().Draw(rt, "zoom") {
					a, b := rapid.Int64Range(-60, 200).Draw(rt, "from"), rapid.Int64Range(-60, 200).Draw(rt, "to")
					if rapid.IntRange(0, 5).Draw(rt, "widest") == 0 {
						a, b = math.MinInt64, math.MaxInt64
					}
					q.Steps = &solera.StepRange{From: a, To: b}
				}
				series, err := s.Series(ctx, q)
				if err != nil {
					rt.Fatal(err)
				}
				wantPoints(rt, fmt.Sprintf("%+v %+v", q, q.Steps), series, thinned(all, q))

				keys, err := s.Keys(ctx, run)
				wantKeys := []string{}
				for _, p := range all {
					wantKeys = append(wantKeys, p.Key)
				}
				slices.Sort(wantKeys)
				if wantKeys = slices.Compact(wantKeys); err != nil || !slices.Equal(keys, wantKeys) {
					rt.Fatalf("Keys = %v, %v, want %v", keys, err, wantKeys)
				}
			}
			if err := db.CheckPoints(ctx, func(p solera.Problem) { rt.Errorf("problem: %+v", p) }); err != nil {
				rt.Fatal(err)
			}
		})
		if n, err := db.Count(ctx, `SELECT COUNT(*) FROM blocks WHERE count = 8`); n == 0 || err != nil {
			t.Errorf("no block was ever full (%v)", err)
		}
	})
}

func TestChartsOfLongSeriesUseSummaries(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) {
		s.(*store.DB).SetLayout(50, 16, 100, 400, 10)
		createRun(t, s, solera.Run{ID: "r"})
		random := rand.New(rand.NewPCG(1, 0))
		var all []solera.Point
		for range 40 {
			var batch []solera.Point
			for range 100 {
				i := int64(len(all) + len(batch))
				p := solera.Point{Key: "x", Step: i / 2, Value: math.Round(random.NormFloat64() * 3), Time: solera.Micros(i)}
				if i%97 == 0 || i > 1000 && i < 1200 {
					p.Value = math.NaN()
				}
				batch = append(batch, p)
			}
			all = append(all, batch...)
			if _, err := s.Append(ctx, "r", batch); err != nil {
				t.Fatal(err)
			}
		}
		for _, pixels := range []int{1, 2, 3, 10, 100, 999, 1000} {
			for _, steps := range []*solera.StepRange{nil, {From: 100, To: 1700}, {From: -5000, To: 5000}} {
				q := solera.SeriesQuery{Run: "r", Key: "x", Pixels: pixels, Steps: steps}
				got, err := s.Series(ctx, q)
				if err != nil {
					t.Fatal(err)
				}
				wantPoints(t, fmt.Sprintf("%d pixels of %v", pixels, steps), got, thinned(all, q))
			}
		}
		_, err := s.Series(ctx, solera.SeriesQuery{Run: "r", Key: "x", Pixels: -1})
		wantErr(t, err, solera.ErrInvalid)
		for name, q := range map[string]solera.SeriesQuery{
			"no such run":    {Run: "none", Key: "x"},
			"no such metric": {Run: "r", Key: "none"},
			"an empty range": {Run: "r", Key: "x", Steps: &solera.StepRange{From: 5, To: 4}},
			"beyond the end": {Run: "r", Key: "x", Steps: &solera.StepRange{From: 9000, To: 9999}, Pixels: 5},
		} {
			if got, err := s.Series(ctx, q); len(got) != 0 || err != nil {
				t.Errorf("%s: %d points, %v, want none", name, len(got), err)
			}
		}
		if got, err := s.Series(ctx, solera.SeriesQuery{Run: "r", Key: "x", Pixels: math.MaxInt}); len(got) != len(all) || err != nil {
			t.Errorf("a chart wider than memory: %d points, %v, want %d", len(got), err, len(all))
		}
	})
}

// The parts of a chart cover its steps, in order, without gap, as wide as the
// exact division says.
func TestPartsDivideTheSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		if rapid.Bool().Draw(t, "narrow") {
			a %= 100
			b = a + b%50
		}
		if rapid.IntRange(0, 9).Draw(t, "widest") == 0 {
			a, b = math.MinInt64, math.MaxInt64
		}
		steps := solera.StepRange{From: min(a, b), To: max(a, b)}
		pixels := rapid.IntRange(1, 5000).Draw(t, "pixels")
		partOf, start, end := store.Parts(steps, pixels)
		if got := partOf(steps.From); got != 0 {
			t.Fatalf("the first step is in part %d", got)
		}
		if got := partOf(steps.To); got >= pixels {
			t.Fatalf("the last step is in part %d of %d", got, pixels)
		}
		step := rapid.Int64Range(steps.From, steps.To).Draw(t, "step")
		i := partOf(step)
		if step < start(i) || step > end(i) || partOf(start(i)) != i || partOf(end(i)) != i {
			t.Fatalf("step %d is in part %d, which goes from %d to %d", step, i, start(i), end(i))
		}
		if start(i) > steps.From && partOf(start(i)-1) >= i || end(i) < steps.To && partOf(end(i)+1) <= i {
			t.Fatalf("part %d is not from %d to %d", i, start(i), end(i))
		}
	})
}

func TestOneLargeAppendComesBack(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) {
		createRun(t, s, solera.Run{ID: "r"})
		want := make([]solera.Point, 300_001)
		for i := range want {
			want[i] = solera.Point{Key: fmt.Sprint("m", i%3), Step: int64(i / 3), Value: math.Sqrt(float64(i)), Time: solera.Micros(i * 1000)}
		}
		if last, err := s.Append(ctx, "r", want); err != nil || last != int64(len(want)) {
			t.Fatalf("Append = %d, %v", last, err)
		}
		wantPoints(t, "all", followed(t, s, "r", 70_000), want)
		if n, err := s.(*store.DB).Count(ctx, `SELECT COUNT(*) FROM recent`); n != 0 || err != nil {
			t.Errorf("%d rows wait to be packed (%v)", n, err)
		}
		if err := s.(*store.DB).CheckPoints(ctx, func(p solera.Problem) { t.Errorf("problem: %+v", p) }); err != nil {
			t.Fatal(err)
		}
	})
}

// Calls that share a transaction share nothing else: each has its numbers, its
// error, its points.
func TestCallsOfOneGroupGetTheirOwnAnswers(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		// Two stores on one database are two processes to each other.
		stores := []solera.Store{openURL(t, url), openURL(t, url)}
		for _, s := range stores {
			s.(*store.DB).SetLayout(7, 8, 16, 64, 6)
		}
		for _, run := range []solera.RunID{"a", "b"} {
			createRun(t, stores[0], solera.Run{ID: run})
		}
		const writers, calls = 12, 15
		type acknowledged struct {
			last  int64
			batch []solera.Point
		}
		var mu sync.Mutex
		got := make(map[solera.RunID][]acknowledged)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				s := stores[w%2]
				for i := range calls {
					run := []solera.RunID{"a", "b", "none"}[(w+i)%3]
					if i%7 == 3 {
						if err := s.Beat(ctx, run); (err == nil) != (run != "none") {
							t.Errorf("beat of %s: %v", run, err)
						}
						if err := s.Print(ctx, run, []solera.Line{out(0, "x")}); (err == nil) != (run != "none") {
							t.Errorf("print of %s: %v", run, err)
						}
					}
					batch := make([]solera.Point, 1+i%5)
					for j := range batch {
						batch[j] = solera.Point{Key: fmt.Sprintf("w%d/%d", w, j), Step: int64(i), Value: float64(j)}
					}
					last, err := s.Append(ctx, run, batch)
					if run == "none" {
						if !errors.Is(err, solera.ErrNotFound) || !strings.Contains(err.Error(), "none") {
							t.Errorf("unknown run: got error %v, want %v that names it", err, solera.ErrNotFound)
						}
						continue
					}
					if err != nil {
						t.Error(err)
						continue
					}
					mu.Lock()
					got[run] = append(got[run], acknowledged{last, batch})
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for run, list := range got {
			all := followed(t, stores[1], run, 17)
			n := 0
			for _, a := range list {
				n += len(a.batch)
				if a.last > int64(len(all)) {
					t.Fatalf("%s: %d was acknowledged, the last is %d", run, a.last, len(all))
				}
				wantPoints(t, fmt.Sprintf("%s up to %d", run, a.last), all[a.last-int64(len(a.batch)):a.last], a.batch)
			}
			if n != len(all) {
				t.Errorf("%s: %d points were acknowledged, %d are there", run, n, len(all))
			}
		}
		if err := stores[0].(*store.DB).CheckPoints(ctx, func(p solera.Problem) { t.Errorf("problem: %+v", p) }); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAWaitingCallMayBeCalledOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "solera.db")
	a, b := openAt(t, path), openAt(t, path)
	createRun(t, a, solera.Run{ID: "r"})
	inside, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		update(t, b, func(solera.Tx) error {
			close(inside)
			<-leave
			return nil
		})
	})
	<-inside
	hasty, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	patient := make(chan error)
	wg.Go(func() {
		_, err := a.Append(ctx, "r", []solera.Point{{Key: "patient"}})
		patient <- err
	})
	_, err := a.Append(hasty, "r", []solera.Point{{Key: "hasty"}})
	wantErr(t, err, context.DeadlineExceeded)
	// With nobody left to wait for, the next begins afresh.
	alone, cancelAlone := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancelAlone()
	_, err = b.Append(alone, "r", []solera.Point{{Key: "alone"}})
	wantErr(t, err, context.DeadlineExceeded)
	close(leave)
	if err := <-patient; err != nil {
		t.Error(err)
	}
	wg.Wait()
	if _, err := b.Append(ctx, "r", []solera.Point{{Key: "later"}}); err != nil {
		t.Error(err)
	}
	keys, err := a.Keys(ctx, "r")
	if err != nil || !slices.Equal(keys, []string{"later", "patient"}) {
		t.Errorf("Keys = %v, %v, want those of the calls that were not called off", keys, err)
	}
	done, cancelDone := context.WithCancel(ctx)
	cancelDone()
	_, err = a.Append(done, "r", nil)
	wantErr(t, err, context.Canceled)
}

// Callers come and go at any moment. Who got nil has its points in the store,
// who got an error has none there, and only who gave up is told so.
func TestCallsMayBeCalledOffAtAnyMoment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "solera.db")
	a, b := openAt(t, path), openAt(t, path)
	createRun(t, a, solera.Run{ID: "r"})
	const writers, calls = 8, 40
	var mu sync.Mutex
	written := make(map[string]bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 40 { // somebody in the way
			update(t, b, func(solera.Tx) error { time.Sleep(time.Millisecond); return nil })
		}
	})
	for w := range writers {
		random := rand.New(rand.NewPCG(uint64(w), 0))
		wg.Go(func() {
			for i := range calls {
				key := fmt.Sprintf("%d/%d", w, i)
				hasty, cancel := ctx, func() {}
				if w%4 != 0 {
					hasty, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(2000))*time.Microsecond)
				}
				_, err := a.Append(hasty, "r", []solera.Point{{Key: key}})
				if err != nil && (hasty.Err() == nil || !errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("%s: got error %v, and it had not given up", key, err)
				}
				cancel()
				mu.Lock()
				written[key] = err == nil
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	keys, err := a.Keys(ctx, "r")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range written {
		if _, got := slices.BinarySearch(keys, key); got != want {
			t.Errorf("%s: stored %v, acknowledged %v", key, got, want)
		}
	}
	if all := followed(t, b, "r", 0); len(all) != len(keys) {
		t.Errorf("%d points, want %d", len(all), len(keys))
	}
}

func TestAClosedStoreTakesNothing(t *testing.T) {
	s, err := store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "solera.db"))
	if err != nil {
		t.Fatal(err)
	}
	createRun(t, s, solera.Run{ID: "r"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(ctx, "r", []solera.Point{{Key: "x"}}); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("got error %v, want one that says that the store is closed", err)
	}
}

func TestNamesOfAFailedTransactionAreForgotten(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) {
		createRun(t, s, solera.Run{ID: "r"})
		broken := errors.New("changed my mind")
		err := s.Update(ctx, func(tx solera.Tx) error {
			if last, err := store.AppendWithin(tx, "r", []solera.Point{{Key: "lost"}, {Key: "x"}}); last != 2 || err != nil {
				return fmt.Errorf("append = %d: %w", last, err)
			}
			return broken
		})
		wantErr(t, err, broken)
		err = s.(*store.DB).Stop(ctx, func(tx solera.Tx) error {
			_, err := store.AppendWithin(tx, "r", []solera.Point{{Key: "x"}, {Key: "lost too"}})
			return errors.Join(broken, err)
		})
		wantErr(t, err, broken)
		want := []solera.Point{{Key: "y", Value: 1}, {Key: "x", Value: 2}}
		if last, err := s.Append(ctx, "r", want); last != 2 || err != nil {
			t.Fatalf("Append = %d, %v", last, err)
		}
		wantPoints(t, "all", followed(t, s, "r", 0), want)
		keys, err := s.Keys(ctx, "r")
		if err != nil || !slices.Equal(keys, []string{"x", "y"}) {
			t.Errorf("Keys = %v, %v", keys, err)
		}
	})
}

func TestARunMadeAgainStartsAfresh(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) {
		s.(*store.DB).SetLayout(7, 8, 16, 64, 6)
		createRun(t, s, solera.Run{ID: "r"})
		batch := make([]solera.Point, 70)
		for i := range batch {
			batch[i] = solera.Point{Key: "old", Step: int64(i)}
		}
		if _, err := s.Append(ctx, "r", batch); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Append(ctx, "r", batch[:5]); err != nil {
			t.Fatal(err)
		}
		printLines(t, s, "r", out(0, "old"))
		update(t, s, func(tx solera.Tx) error { return tx.RemoveRun("r") })
		for _, table := range []string{"heads", "recorded", "recent", "blocks", "lines"} {
			if n, err := s.(*store.DB).Count(ctx, `SELECT COUNT(*) FROM `+table); n != 0 || err != nil {
				t.Errorf("%d rows of %s outlived their run (%v)", n, table, err)
			}
		}
		_, err := s.Append(ctx, "r", batch)
		wantErr(t, err, solera.ErrNotFound)
		createRun(t, s, solera.Run{ID: "r"})
		want := []solera.Point{{Key: "new"}, {Key: "old", Value: 1}}
		if last, err := s.Append(ctx, "r", want); last != 2 || err != nil {
			t.Fatalf("Append = %d, %v, want 2", last, err)
		}
		wantPoints(t, "all", followed(t, s, "r", 0), want)
		if keys, err := s.Keys(ctx, "r"); err != nil || !slices.Equal(keys, []string{"new", "old"}) {
			t.Errorf("Keys = %v, %v", keys, err)
		}
	})
}

func TestManyMetricsOfARun(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) {
		createRun(t, s, solera.Run{ID: "r"})
		var want []string
		for part := range 5 {
			var batch []solera.Point
			for i := range 700 {
				key := fmt.Sprintf("layer %d/%04d", part, i)
				want = append(want, key)
				batch = append(batch, solera.Point{Key: key, Value: float64(i)})
			}
			if _, err := s.Append(ctx, "r", batch); err != nil {
				t.Fatal(err)
			}
		}
		if keys, err := s.Keys(ctx, "r"); err != nil || !slices.Equal(keys, want) {
			t.Errorf("%d keys, %v, want %d", len(keys), err, len(want))
		}
	})
}

func TestDamagedPointsAreCorruptAndReported(t *testing.T) {
	damages := []struct {
		name, sql string
		kind      string // of problem
		readable  bool   // by step
		follows   bool   // by number
	}{
		{"a block is gone", `DELETE FROM blocks WHERE first = (SELECT MIN(first) FROM blocks)`, "missing", true, false},
		{"a block is no block", `UPDATE blocks SET data = summary`, "altered", false, false},
		{"a block is cut", `UPDATE blocks SET data = substr(data, 1, 20)`, "altered", false, false},
		{"a block is empty", `UPDATE blocks SET data = substr(data, 1, 0)`, "altered", false, false},
		{"a block names another step", `UPDATE blocks SET to_step = to_step + 1`, "altered", true, true},
		{"a block counts wrongly", `UPDATE blocks SET count = 0 - count`, "altered", false, true},
		{"a row is gone", `DELETE FROM recent`, "missing", true, false},
		{"a row is cut", `UPDATE recent SET points = substr(points, 1, 9)`, "altered", false, false},
		{"a row has another number", `UPDATE recent SET n = n + 1`, "missing", false, false},
		{"a head promises too much", `UPDATE heads SET n = n + 1000000000000`, "missing", true, false},
		{"a head promises much more that is packed", `UPDATE heads SET n = n + 1000000000000, packed = packed + 1000000000000`, "missing", true, false},
		{"a head counts backwards", `UPDATE heads SET packed = n + 1`, "altered", true, false},
		{"a metric has lost its name", `DELETE FROM metrics`, "missing", true, false},
		{"the metrics of the run are lost", `DELETE FROM recorded`, "missing", true, true},
	}
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			// What is read is the same in every database, so one will do.
			path := filepath.Join(t.TempDir(), "solera.db")
			s := openAt(t, path).(*store.DB)
			s.SetLayout(7, 8, 16, 64, 6)
			createRun(t, s, solera.Run{ID: "r"})
			createRun(t, s, solera.Run{ID: "sound"})
			batch := make([]solera.Point, 70) // enough to be packed
			for i := range batch {
				batch[i] = solera.Point{Key: "x", Step: int64(i), Value: math.Sqrt(float64(i))}
			}
			for _, n := range []int{70, 5} {
				if _, err := s.Append(ctx, "r", batch[:n]); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Exec(ctx, d.sql); err != nil {
				t.Fatal(err)
			}
			// A process that has cached nothing.
			again := openAt(t, path).(*store.DB)
			again.SetLayout(7, 8, 16, 64, 6)
			if _, _, err := again.Since(ctx, "r", 0, 0); d.follows != (err == nil) || err != nil && !errors.Is(err, solera.ErrCorrupt) {
				t.Errorf("Since: got error %v", err)
			}
			if _, err := again.Series(ctx, solera.SeriesQuery{Run: "r", Key: "x"}); d.readable != (err == nil) || err != nil && !errors.Is(err, solera.ErrCorrupt) {
				t.Errorf("Series: got error %v", err)
			}
			var kinds []string
			if err := again.CheckPoints(ctx, func(p solera.Problem) {
				if p.Ref != "run r" || p.Detail == "" {
					t.Errorf("problem %+v does not name the run", p)
				}
				kinds = append(kinds, p.Problem)
			}); err != nil {
				t.Error(err)
			}
			if !slices.Contains(kinds, d.kind) {
				t.Errorf("problems %q, want %q among them", kinds, d.kind)
			}
			// Whatever happens to one run, the others go on beside it.
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() { again.Append(ctx, "r", batch) })
				wg.Go(func() {
					if _, err := again.Append(ctx, "sound", []solera.Point{{Key: "y"}}); err != nil {
						t.Errorf("a sound run: %v", err)
					}
				})
			}
			wg.Wait()
		})
	}
}

// oldStore makes a store as the versions before blocks did, with its points.
func oldStore(t *testing.T, path string, schema int64, points map[string][]solera.Point) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`PRAGMA journal_mode = WAL`)
	exec(`PRAGMA application_id = 1397510721`)
	exec(`PRAGMA synchronous = OFF`)
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, store.MigrationFiles())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(ctx, schema); err != nil {
		t.Fatal(err)
	}
	exec(`BEGIN`)
	for run, list := range points {
		exec(`INSERT INTO runs (id, name, project, stage, experiment, state, params, summary, tags, notes, recipe, code, solera, host,
			reuse_of, error, created, started, finished) VALUES ($1, '', 'p', '', '', '', '{}', '{}', '[]', '', '', '', '', '', '', '', 0, 0, 0)`, run)
		if list == nil {
			continue
		}
		exec(`INSERT INTO heads (run, n) VALUES ($1, $2)`, run, len(list))
		series := make(map[string]int)
		for i, p := range list {
			if _, ok := series[p.Key]; !ok {
				series[p.Key] = len(series)
				exec(`INSERT INTO series (run, key, series) VALUES ($1, $2, $3)`, run, p.Key, series[p.Key])
			}
			value := sql.NullFloat64{Float64: p.Value, Valid: !math.IsNaN(p.Value)}
			exec(`INSERT INTO points (run, n, series, step, value, at) VALUES ($1, $2, $3, $4, $5, $6)`, run, i+1, series[p.Key], p.Step, value, int64(p.Time))
		}
	}
	exec(`COMMIT`)
}

func TestPointsOfOlderStoresAreCarriedOver(t *testing.T) {
	for _, schema := range []int64{1, 2} {
		t.Run(fmt.Sprint("schema ", schema), func(t *testing.T) {
			points := map[string][]solera.Point{"empty": nil, "head alone": {}}
			for _, run := range []struct {
				name    string
				n, keys int
			}{{"short", 3, 2}, {"long", 9000, 2}, {"wide", 300, 100}} {
				for i := range run.n {
					p := solera.Point{Key: fmt.Sprintf("%s/%d", run.name, i%run.keys), Step: int64(i / run.keys), Value: 1 / float64(i+1), Time: solera.Micros(i)}
					if i < len(oddValues) && oddValues[i] != 0 { // old stores did not tell -0 from 0
						p.Value = oddValues[i]
					}
					points[run.name] = append(points[run.name], p)
				}
			}
			path := filepath.Join(t.TempDir(), "solera.db")
			oldStore(t, path, schema, points)
			s := openAt(t, path).(*store.DB)
			for run, want := range points {
				wantPoints(t, run, followed(t, s, solera.RunID(run), 1000), want)
				if want == nil {
					continue
				}
				more := []solera.Point{{Key: "new"}, {Key: run + "/0", Step: 7}}
				if last, err := s.Append(ctx, solera.RunID(run), more); err != nil || last != int64(len(want)+2) {
					t.Errorf("%s: Append = %d, %v, want %d", run, last, err, len(want)+2)
				}
				q := solera.SeriesQuery{Run: solera.RunID(run), Key: run + "/0"}
				series, err := s.Series(ctx, q)
				if err != nil {
					t.Fatal(err)
				}
				wantPoints(t, q.Key, series, thinned(append(want, more...), q))
			}
			if err := s.CheckPoints(ctx, func(p solera.Problem) { t.Errorf("problem: %+v", p) }); err != nil {
				t.Fatal(err)
			}
			if n, err := s.Count(ctx, `SELECT COUNT(*) FROM sqlite_master WHERE name IN ('points', 'series')`); n != 0 || err != nil {
				t.Errorf("%d tables of the old form are left (%v)", n, err)
			}
		})
	}
}

// BenchmarkWriters is 20 that log batches of 10 and wait for each.
func BenchmarkWriters(b *testing.B) {
	for _, database := range []string{"sqlite", "postgres"} {
		for _, runs := range []int{1, 20} {
			b.Run(fmt.Sprintf("%s/runs=%d", database, runs), func(b *testing.B) {
				url := filepath.Join(b.TempDir(), "solera.db")
				if database == "postgres" {
					if url = clustertest.Postgres(b); url == "" {
						b.Skip("SOLERA_TEST_POSTGRES is not set")
					}
				}
				benchmarkWriters(b, openURL(b, url), runs)
			})
		}
	}
}

func benchmarkWriters(b *testing.B, s solera.Store, runs int) {
	for i := range runs {
		createRun(b, s, solera.Run{ID: solera.RunID(fmt.Sprintf("20261122-195312-%06d", i))})
	}
	const writers, size = 20, 10
	var wg sync.WaitGroup
	b.ResetTimer()
	for w := range writers {
		wg.Go(func() {
			run := solera.RunID(fmt.Sprintf("20261122-195312-%06d", w%runs))
			batch := make([]solera.Point, size)
			for i := range b.N / writers {
				for j := range batch {
					batch[j] = solera.Point{Key: "train/metric" + string(rune('0'+j)), Step: int64(i), Value: 1 / float64(i+j+1), Time: solera.Micros(i)}
				}
				if _, err := s.Append(ctx, run, batch); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N/writers*writers*size)/b.Elapsed().Seconds(), "points/s")
}

func TestAPointTakesFewBytes(t *testing.T) {
	size := func(runs, batches, batch int) float64 {
		path := filepath.Join(t.TempDir(), "solera.db")
		s, err := store.OpenSQLite(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		empty, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if s, err = store.OpenSQLite(ctx, path); err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(1, 0))
		for r := range runs {
			run := solera.RunID(fmt.Sprintf("20261122-195312-%06d", r))
			createRun(t, s, solera.Run{ID: run})
			points := make([]solera.Point, batch)
			now := solera.Micros(1_764_000_000_000_000)
			for b := range batches {
				for i := range points {
					step := int64(b*batch + i)
					now += solera.Micros(10_000 + random.Int64N(600))
					points[i] = solera.Point{Key: "val/loss", Step: step, Value: math.Exp(-float64(step)/1e5) + random.NormFloat64()/100, Time: now}
				}
				if _, err := s.Append(ctx, run, points); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return float64(info.Size()-empty.Size()) / float64(runs*batches*batch)
	}
	if got := size(1, 100, 1000); got > 12 {
		t.Errorf("a long series takes %.1f bytes a point, want 12 at most", got)
	}
	// Never packed: the cost of each run's record is in it.
	if got := size(1, 400, 10); got > 24 {
		t.Errorf("recent points take %.1f bytes each, want 24 at most", got)
	}
}

func BenchmarkPacking(b *testing.B) {
	s := openSQLite(b)
	createRun(b, s, solera.Run{ID: "r"})
	batch := make([]solera.Point, 1000)
	var worst time.Duration
	for i := 0; b.Loop(); i++ {
		for j := range batch {
			batch[j] = solera.Point{Key: fmt.Sprint("metric", j), Step: int64(i), Value: math.Sqrt(float64(i * j)), Time: solera.Micros(i * 10_000)}
		}
		start := time.Now()
		if _, err := s.Append(ctx, "r", batch); err != nil {
			b.Fatal(err)
		}
		worst = max(worst, time.Since(start))
	}
	b.ReportMetric(float64(worst.Milliseconds()), "ms-worst")
	b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "points/s")
}
