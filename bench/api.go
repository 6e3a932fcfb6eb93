package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/httpd/api"
	"github.com/solera-ml/solera/live"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/tracking"
)

// What people and programs do at once in serve.
const (
	apiReaders = 50
	apiWriters = 20
	apiThink   = 400 * time.Millisecond // of a reader, on average
	apiEpoch   = 100 * time.Millisecond // of a writer
	apiLong    = 5_000                  // steps of the runs that are there
)

// serve times the answers of a server to 50 readers, who look at tables, runs
// and charts as the dashboard does, while 20 writers log ten metrics an epoch.
// Server, readers and writers share this machine and this process.
func serve(ctx context.Context, seconds, runs int) error {
	if runs == 0 {
		runs = 2_000
	}
	dir, err := os.MkdirTemp("", "solera-api-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := store.OpenSQLite(ctx, filepath.Join(dir, "solera.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	blobs, err := blob.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		return err
	}
	bell := &live.Bell{}
	t := &tracking.Tracker{Store: bell.Store(db), Blobs: blobs, Project: "sweep"}
	long, err := fillSweep(ctx, db, runs)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	api.Register(mux, api.Options{Workspace: func(string) (*tracking.Tracker, error) { return t, nil }, Bell: func(string) *live.Bell { return bell }})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(auth.WithPrincipal(r.Context(), auth.Anyone())))
	}))
	defer server.Close()
	client := server.Client()
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = apiReaders

	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer cancel()
	var group sync.WaitGroup
	var mu sync.Mutex
	times := map[string][]time.Duration{}
	var fault error
	points := 0
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if fault == nil && ctx.Err() == nil {
			fault = err
			cancel()
		}
	}
	for i := range apiWriters {
		group.Go(func() {
			n, err := logEpochs(ctx, t, uint64(i))
			if err != nil {
				fail(err)
			}
			mu.Lock()
			points += n
			mu.Unlock()
		})
	}
	for i := range apiReaders {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for ctx.Err() == nil {
				name, method, path, body := question(random, long)
				start := time.Now()
				if err := ask(ctx, client, method, server.URL+api.Root+"/workspaces/default"+path, body); err != nil {
					fail(fmt.Errorf("%s: %w", name, err))
					return
				}
				mu.Lock()
				times[name] = append(times[name], time.Since(start))
				mu.Unlock()
				select {
				case <-time.After(time.Duration(random.ExpFloat64() * float64(apiThink))):
				case <-ctx.Done():
				}
			}
		})
	}
	group.Wait()
	if fault != nil {
		return fault
	}
	fmt.Printf("%d readers while %d writers log: %d runs, %d s, %.0f points/s written\n", apiReaders, apiWriters, runs, seconds, float64(points)/float64(seconds))
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tanswers\tp50 ms\tp95 ms\tp99 ms\tmost ms")
	var all []time.Duration
	for _, name := range []string{"table of 100 runs", "table, filtered and sorted", "one run", "chart of 20 series", "columns"} {
		timesRow(w, name, times[name])
		all = append(all, times[name]...)
	}
	timesRow(w, "all", all)
	return w.Flush()
}

// fillSweep makes runs, the last 50 of which have two long metrics.
func fillSweep(ctx context.Context, s solera.Store, runs int) (long []solera.RunID, err error) {
	random := rand.New(rand.NewPCG(1, 2))
	err = s.Update(ctx, func(tx solera.Tx) error {
		long = nil
		for i := range runs {
			r := sweptRun(random, i, 20)
			if err := tx.CreateRun(r); err != nil {
				return err
			}
			if i >= runs-50 {
				long = append(long, r.ID)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, id := range long {
		points := make([]solera.Point, 0, 2*apiLong)
		for step := range apiLong {
			at := solera.Micros(1_700_000_000_000_000 + int64(step)*1_000_000)
			points = append(points,
				solera.Point{Key: "val/loss", Step: int64(step), Value: random.Float64(), Time: at},
				solera.Point{Key: "train/loss", Step: int64(step), Value: random.Float64(), Time: at})
		}
		if _, err := s.Append(ctx, id, points); err != nil {
			return nil, err
		}
	}
	return long, nil
}

// logEpochs is one writer: it trains until ctx ends, and returns how many
// points it has written.
func logEpochs(ctx context.Context, t *tracking.Tracker, seed uint64) (points int, err error) {
	random := rand.New(rand.NewPCG(seed, 2))
	// What was recorded is written though the time is over.
	whole := context.WithoutCancel(ctx)
	run, err := t.Start(whole, tracking.RunSpec{Stage: "train", Params: solera.Fields{"seed": seed}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, run.Finish(whole, nil, solera.Fields{"points": points})) }()
	for step := int64(0); ; step++ {
		metrics := map[string]float64{}
		for k := range 10 {
			metrics[fmt.Sprint("metric/", k)] = random.Float64()
		}
		if err := run.Record(step, metrics); err != nil {
			return points, err
		}
		points += len(metrics)
		select {
		case <-time.After(apiEpoch):
		case <-ctx.Done():
			return points, nil
		}
	}
}

// question draws what a reader asks next.
func question(random *rand.Rand, long []solera.RunID) (name, method, path string, body any) {
	switch n := random.IntN(100); {
	case n < 30:
		return "table of 100 runs", "POST", "/runs/query", api.RunsRequest{Project: "sweep"}
	case n < 50:
		return "table, filtered and sorted", "POST", "/runs/query", api.RunsRequest{
			Project: "sweep", Where: `params.optimizer = "adam" and summary.val.accuracy > 0.5`, Sort: []string{"-summary.val.accuracy"},
			Columns: []string{"params.optimizer", "params.learning_rate", "summary.val.accuracy"},
		}
	case n < 70:
		return "one run", "GET", "/runs/" + string(long[random.IntN(len(long))]), nil
	case n < 98:
		request := api.SeriesRequest{Pixels: 800}
		for range 20 {
			request.Series = append(request.Series, api.SeriesID{Run: string(long[random.IntN(len(long))]), Key: "val/loss"})
		}
		return "chart of 20 series", "POST", "/series", request
	default:
		return "columns", "GET", "/runs/columns?project=sweep", nil
	}
}

func ask(ctx context.Context, client *http.Client, method, url string, body any) error {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		detail, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return fmt.Errorf("%s: %s", answer.Status, detail)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// columns times the list of the fields that many runs have, 500 params and 500
// results each, from the question to the last byte of the answer.
func columns(ctx context.Context, rounds, runs int) error {
	if runs == 0 {
		runs = 10_000
	}
	dir, err := os.MkdirTemp("", "solera-columns-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := store.OpenSQLite(ctx, filepath.Join(dir, "solera.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < runs; {
		first := i
		err := db.Update(ctx, func(tx solera.Tx) error {
			for i = first; i < min(first+200, runs); i++ {
				if err := tx.CreateRun(sweptRun(random, i, 500)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	t := &tracking.Tracker{Store: db}
	mux := http.NewServeMux()
	api.Register(mux, api.Options{Workspace: func(string) (*tracking.Tracker, error) { return t, nil }})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(auth.WithPrincipal(r.Context(), auth.Anyone())))
	}))
	defer server.Close()
	var times []time.Duration
	for range rounds + 1 {
		start := time.Now()
		if err := ask(ctx, server.Client(), http.MethodGet, server.URL+api.Root+"/workspaces/default/runs/columns?project=sweep", nil); err != nil {
			return err
		}
		times = append(times, time.Since(start))
	}
	first := times[0]
	times = times[1:]
	slices.Sort(times)
	fmt.Printf("columns of %d runs × 1,000: %v the first time, then %v [%v..%v] of %d\n", runs, first.Round(time.Millisecond),
		times[len(times)/2].Round(time.Millisecond), times[0].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond), len(times))
	return nil
}
