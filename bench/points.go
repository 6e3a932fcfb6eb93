package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store"
)

// What a writer logs: batches of 10 points, one step of ten metrics, and it
// waits for each until it is on disk.
const pointsPerCall = 10

// points measures the hot path of an embedded store: what waits for the disk,
// what a chart costs, what a point takes in the file.
func points(ctx context.Context, rounds int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Printf("%s, %d rounds, medians [lowest..highest]; SQLite, WAL, synchronous=FULL\n\n", cpuName(), rounds)
	writers := []struct{ name, work string }{
		{"MLflow-shaped: a row per metric, a transaction per call", "points/rows"},
		{"solera, 20 writers of 20 runs", "points/runs"},
		{"solera, 20 writers of one run", "points/run"},
		{"solera, 20 runs reported: position and sign of life with each", "points/reports"},
		{"solera, 20 runs reported, and the summary with each", "points/summaries"},
		{"solera, 2 processes of 10 writers", "points/processes"},
	}
	rates := make([][]float64, len(writers))
	for range rounds {
		for i, w := range writers {
			r, err := contestant{w.name, nil, []string{self, "-work", w.work}}.run(ctx)
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], r.RowsPerSecond)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "20 writers, batches of %d, each waited for\tpoints/s on disk\ttimes the first\n", pointsPerCall)
	var first float64
	for i, c := range writers {
		slices.Sort(rates[i])
		n := len(rates[i])
		middle := (rates[i][(n-1)/2] + rates[i][n/2]) / 2
		if i == 0 {
			first = middle
		}
		fmt.Fprintf(w, "%s\t%.0f [%.0f..%.0f]\t%.1f\n", c.name, middle, rates[i][0], rates[i][n-1], middle/first)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, work := range []string{"points/chart", "points/sizes", "points/keys"} {
		fmt.Println()
		cmd := exec.CommandContext(ctx, self, "-work", work)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%s: %w", work, err)
		}
		var r result
		if err := json.Unmarshal(out, &r); err != nil {
			return err
		}
		for _, line := range r.Notes {
			fmt.Fprintln(w, line)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// pointsWork does one of the works; path is where, for those that several
// processes do together.
func pointsWork(ctx context.Context, work string) (result, error) {
	dir, err := os.MkdirTemp("", "solera-points-")
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "solera.db")
	switch work, arg, _ := strings.Cut(work, "="); work {
	case "points/rows":
		return rowsOfMLflow(ctx, path)
	case "points/runs":
		return logPoints(ctx, path, "w", 20, 20, 40_000, appendPoints)
	case "points/run":
		return logPoints(ctx, path, "w", 20, 1, 40_000, appendPoints)
	case "points/reports":
		return logPoints(ctx, path, "w", 20, 20, 40_000, reportPoints)
	case "points/summaries":
		return logPoints(ctx, path, "w", 20, 20, 10_000, reportSummaries)
	case "points/processes":
		return twoProcesses(ctx, path)
	case "points/half":
		name, path, _ := strings.Cut(arg, ",")
		return logPoints(ctx, path, name, 10, 10, 20_000, appendPoints)
	case "points/chart":
		return chart(ctx, path)
	case "points/sizes":
		return sizes(ctx, dir)
	case "points/keys":
		return manyKeys(ctx, path)
	}
	return result{}, errors.New("no such work")
}

func createRun(ctx context.Context, s solera.Store, id solera.RunID) error {
	return s.Update(ctx, func(tx solera.Tx) error {
		return tx.CreateRun(solera.Run{ID: id, Project: "bench", State: solera.Running})
	})
}

// eachWriter calls fn from so many goroutines at once, calls times in all, and
// returns the seconds.
func eachWriter(writers, calls int, fn func(writer, call int) error) (float64, error) {
	failed := make([]error, writers)
	var wg sync.WaitGroup
	start := time.Now()
	for w := range writers {
		wg.Go(func() {
			for i := 0; i < calls/writers && failed[w] == nil; i++ {
				failed[w] = fn(w, i)
			}
		})
	}
	wg.Wait()
	return time.Since(start).Seconds(), errors.Join(failed...)
}

func metricNames() (names []string) {
	for i := range pointsPerCall {
		names = append(names, fmt.Sprintf("train/metric_%d", i))
	}
	return names
}

func fillBatch(batch []solera.Point, names []string, step int) {
	now := solera.MicrosOf(time.Now())
	for i := range batch {
		batch[i] = solera.Point{Key: names[i], Step: int64(step), Value: math.Exp(-float64(step+i) / 1000), Time: now}
	}
}

// A logger is a way to put the points of a run's step i into a store.
type logger func(ctx context.Context, s solera.Store, run solera.RunID, i int, points []solera.Point) error

func appendPoints(ctx context.Context, s solera.Store, run solera.RunID, _ int, points []solera.Point) error {
	_, err := s.Append(ctx, run, points)
	return err
}

// reportPoints does what a server does for a client that is elsewhere.
func reportPoints(ctx context.Context, s solera.Store, run solera.RunID, i int, points []solera.Point) error {
	_, err := s.Report(ctx, solera.Batch{Run: run, Points: points, Beat: true, Source: "history", From: int64(i), Count: 1})
	return err
}

func reportSummaries(ctx context.Context, s solera.Store, run solera.RunID, i int, points []solera.Point) error {
	summary := solera.Fields{}
	for _, p := range points {
		summary[p.Key] = p.Value
	}
	_, err := s.Report(ctx, solera.Batch{Run: run, Points: points, Summary: summary, Beat: true, Source: "history", From: int64(i), Count: 1})
	return err
}

func logPoints(ctx context.Context, path, name string, writers, runs, calls int, log logger) (result, error) {
	s, err := store.OpenSQLite(ctx, path)
	if err != nil {
		return result{}, err
	}
	defer s.Close()
	ids := make([]solera.RunID, runs)
	for i := range ids {
		ids[i] = solera.RunID(fmt.Sprintf("20261122-195312-%s%05d", name, i))
		if err := createRun(ctx, s, ids[i]); err != nil {
			return result{}, err
		}
	}
	names := metricNames()
	batches := make([][]solera.Point, writers)
	for w := range batches {
		batches[w] = make([]solera.Point, pointsPerCall)
	}
	seconds, err := eachWriter(writers, calls, func(w, i int) error {
		fillBatch(batches[w], names, i)
		return log(ctx, s, ids[w%runs], i, batches[w])
	})
	return result{Seconds: seconds, RowsPerSecond: float64(calls*pointsPerCall) / seconds}, err
}

// twoProcesses runs two that write to one store at once. Their clocks start
// when they do, so the slower one's time counts for both.
func twoProcesses(ctx context.Context, path string) (result, error) {
	self, err := os.Executable()
	if err != nil {
		return result{}, err
	}
	s, err := store.OpenSQLite(ctx, path) // so that neither has to make it
	if err != nil {
		return result{}, err
	}
	if err := s.Close(); err != nil {
		return result{}, err
	}
	results := make([]result, 2)
	failed := make([]error, 2)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			work := fmt.Sprintf("points/half=%c,%s", 'a'+i, path)
			results[i], failed[i] = contestant{"half", nil, []string{self, "-work", work}}.run(ctx)
		})
	}
	wg.Wait()
	seconds := max(results[0].Seconds, results[1].Seconds)
	return result{Seconds: seconds, RowsPerSecond: 2 * 20_000 * pointsPerCall / seconds}, errors.Join(failed...)
}

// rowsOfMLflow does the same in tables shaped as MLflow's metrics are, without
// the second table in which it keeps the latest of each: that would cost it more.
func rowsOfMLflow(ctx context.Context, path string) (result, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_pragma=journal_mode(WAL)&_txlock=immediate")
	if err != nil {
		return result{}, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // writers queue here; in the database they would poll
	for _, statement := range []string{
		`CREATE TABLE runs (run_uuid VARCHAR(32) NOT NULL PRIMARY KEY)`,
		`CREATE TABLE metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL,
			run_uuid VARCHAR(32) NOT NULL REFERENCES runs (run_uuid), step BIGINT NOT NULL DEFAULT 0, is_nan BOOLEAN NOT NULL DEFAULT 0,
			PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan))`,
		`CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid)`,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return result{}, err
		}
	}
	const writers, calls = 20, 6_000
	var ids []string
	for i := range writers {
		id := fmt.Sprintf("%032x", i)
		if _, err := db.ExecContext(ctx, `INSERT INTO runs VALUES (?)`, id); err != nil {
			return result{}, err
		}
		ids = append(ids, id)
	}
	names := metricNames()
	batches := make([][]solera.Point, writers)
	for w := range batches {
		batches[w] = make([]solera.Point, pointsPerCall)
	}
	insert, err := db.PrepareContext(ctx, `INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return result{}, err
	}
	defer insert.Close()
	seconds, err := eachWriter(writers, calls, func(w, i int) error {
		fillBatch(batches[w], names, i)
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		statement := tx.StmtContext(ctx, insert)
		for _, p := range batches[w] {
			if _, err := statement.ExecContext(ctx, p.Key, p.Value, int64(p.Time)/1000, ids[w], p.Step, false); err != nil {
				return err
			}
		}
		return tx.Commit()
	})
	return result{Seconds: seconds, RowsPerSecond: calls * pointsPerCall / seconds}, err
}

// fill appends a series of n points to a new run and returns its bytes a point
// in the file once the store is closed.
func fill(ctx context.Context, path string, n int, value func(i int) float64) (float64, error) {
	s, err := store.OpenSQLite(ctx, path)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if err := createRun(ctx, s, "r"); err != nil {
		return 0, err
	}
	random := rand.New(rand.NewPCG(2, 0))
	batch := make([]solera.Point, 1000)
	now := solera.Micros(1_764_000_000_000_000)
	for i := 0; i < n; i += len(batch) {
		for j := range batch {
			now += solera.Micros(10_000 + random.NormFloat64()*300) // steps of 10 ms, more or less
			batch[j] = solera.Point{Key: "train/loss", Step: int64(i + j), Value: value(i + j), Time: now}
		}
		if _, err := s.Append(ctx, "r", batch); err != nil {
			return 0, err
		}
	}
	if err := s.Close(); err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return float64(info.Size()) / float64(n), nil
}

// chart reads a series of 1,000,000 points as a chart of 2,000 pixels does.
func chart(ctx context.Context, path string) (result, error) {
	const n = 1_000_000
	random := rand.New(rand.NewPCG(3, 0))
	values := make([]float64, n)
	for i := range values {
		values[i] = math.Exp(-float64(i)/200_000) + random.NormFloat64()/50
	}
	values[123_456], values[765_432] = 7, -7
	if _, err := fill(ctx, path, n, func(i int) float64 { return values[i] }); err != nil {
		return result{}, err
	}
	s, err := store.OpenSQLite(ctx, path)
	if err != nil {
		return result{}, err
	}
	defer s.Close()
	time1 := func(q solera.SeriesQuery) (got []solera.Point, middle, worst float64, err error) {
		q.Run, q.Key = "r", "train/loss"
		var times []float64
		for range 21 {
			start := time.Now()
			if got, err = s.Series(ctx, q); err != nil {
				return nil, 0, 0, err
			}
			times = append(times, float64(time.Since(start).Microseconds())/1000)
		}
		slices.Sort(times)
		return got, times[len(times)/2], times[len(times)-1], nil
	}
	lowHigh := func(points []solera.Point) (low, high float64) {
		low, high = math.Inf(1), math.Inf(-1)
		for _, p := range points {
			low, high = min(low, p.Value), max(high, p.Value)
		}
		return low, high
	}
	whole, middle, worst, err := time1(solera.SeriesQuery{Pixels: 2000})
	if err != nil {
		return result{}, err
	}
	if low, high := lowHigh(whole); low != -7 || high != 7 {
		return result{}, fmt.Errorf("the chart shows %v to %v, not -7 to 7", low, high)
	}
	r := result{Seconds: middle / 1000, Notes: []string{
		"a series of 1,000,000 points\tpoints\tms, median\tworst of 21",
		fmt.Sprintf("all steps, 2,000 pixels\t%d\t%.1f\t%.1f", len(whole), middle, worst),
	}}
	for _, width := range []int64{100_000, 8_000} {
		zoom := &solera.StepRange{From: 500_000, To: 500_000 + width - 1}
		got, middle, worst, err := time1(solera.SeriesQuery{Pixels: 2000, Steps: zoom})
		if err != nil {
			return result{}, err
		}
		if low, high := lowHigh(got); low != slices.Min(values[zoom.From:zoom.To+1]) || high != slices.Max(values[zoom.From:zoom.To+1]) {
			return result{}, fmt.Errorf("zoomed to %d steps the chart shows %v to %v", width, low, high)
		}
		if width <= 8000 {
			for i, p := range got {
				if p.Step != zoom.From+int64(i) || p.Value != values[p.Step] {
					return result{}, fmt.Errorf("zoomed in, point %d is step %d with %v", i, p.Step, p.Value)
				}
			}
		}
		r.Notes = append(r.Notes, fmt.Sprintf("%d steps, 2,000 pixels\t%d\t%.1f\t%.1f", width, len(got), middle, worst))
	}
	all, middle, worst, err := time1(solera.SeriesQuery{})
	r.Notes = append(r.Notes, fmt.Sprintf("every point\t%d\t%.1f\t%.1f", len(all), middle, worst))
	return r, err
}

// sizes says what a point takes in the file, everything included.
func sizes(ctx context.Context, dir string) (result, error) {
	random := rand.New(rand.NewPCG(4, 0))
	noisy := func(i int) float64 { return math.Exp(-float64(i)/200_000) + random.NormFloat64()/100 }
	kinds := []struct {
		name  string
		value func(i int) float64
	}{
		{"loss, computed as float32", func(i int) float64 { return float64(float32(noisy(i))) }},
		{"loss, as float64", noisy},
		{"smooth decay without noise, as float64", func(i int) float64 { return math.Exp(-float64(i) / 200_000) }},
		{"accuracy k/142", func(i int) float64 { return math.Round(142*(1-noisy(i)/3)) / 142 }},
		{"learning rate, four digits", func(i int) float64 { return math.Round(1e4*noisy(i)) / 1e4 }},
		{"counter", func(i int) float64 { return float64(i) * 512 }},
		{"constant", func(int) float64 { return 0.001 }},
		{"random bits", func(int) float64 { return math.Float64frombits(random.Uint64() &^ (1 << 62)) }},
	}
	r := result{Seconds: 1, Notes: []string{"a series of 1,000,000 points, steps of 10 ms\tbytes a point in the file"}}
	for i, kind := range kinds {
		perPoint, err := fill(ctx, filepath.Join(dir, strconv.Itoa(i)+".db"), 1_000_000, kind.value)
		if err != nil {
			return result{}, err
		}
		r.Notes = append(r.Notes, fmt.Sprintf("%s\t%.2f", kind.name, perPoint))
	}
	return r, nil
}

// manyKeys makes 10,000 runs of 1,000 metrics and looks at one.
func manyKeys(ctx context.Context, path string) (result, error) {
	const runs, keys = 10_000, 1_000
	s, err := store.OpenSQLite(ctx, path)
	if err != nil {
		return result{}, err
	}
	defer s.Close()
	names := make([]string, keys)
	for i := range names {
		names[i] = fmt.Sprintf("layer_%d/gradient_norm", i)
	}
	id := func(i int) solera.RunID { return solera.RunID(fmt.Sprintf("20261122-195312-%06d", i)) }
	err = s.Update(ctx, func(tx solera.Tx) error {
		for i := range runs {
			if err := tx.CreateRun(solera.Run{ID: id(i), Project: "bench", State: solera.Running}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return result{}, err
	}
	seconds, err := eachWriter(20, runs, func(w, i int) error {
		batch := make([]solera.Point, keys)
		for k := range batch {
			batch[k] = solera.Point{Key: names[k], Step: 1, Value: math.Sqrt(float64(k * (i + 1))), Time: 1_764_000_000_000_000}
		}
		_, err := s.Append(ctx, id(i*20+w), batch)
		return err
	})
	if err != nil {
		return result{}, err
	}
	if err := s.Close(); err != nil {
		return result{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return result{}, err
	}
	start := time.Now()
	again, err := store.OpenSQLite(ctx, path)
	if err != nil {
		return result{}, err
	}
	defer again.Close()
	opened := time.Since(start)
	start = time.Now()
	list, err := again.Keys(ctx, id(runs/2))
	listed := time.Since(start)
	if err != nil || len(list) != keys {
		return result{}, fmt.Errorf("%d keys: %w", len(list), err)
	}
	start = time.Now()
	series, err := again.Series(ctx, solera.SeriesQuery{Run: id(runs / 2), Key: names[keys/2]})
	if err != nil || len(series) != 1 {
		return result{}, fmt.Errorf("%d points: %w", len(series), err)
	}
	read := time.Since(start)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return result{Seconds: seconds, Notes: []string{
		"10,000 runs of 1,000 metrics, a point each",
		fmt.Sprintf("append, batches of 1,000\t%.1f s\t%.0f points/s", seconds, runs*keys/seconds),
		fmt.Sprintf("file\t%d MB\t%.1f bytes a point", info.Size()>>20, float64(info.Size())/(runs*keys)),
		fmt.Sprintf("open the store\t%.1f ms", ms(opened)),
		fmt.Sprintf("list the metrics of one run\t%.1f ms", ms(listed)),
		fmt.Sprintf("read one series of one run\t%.1f ms", ms(read)),
	}}, nil
}
