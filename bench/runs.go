package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store"
)

// runs fills stores with runs and times what a person does who looks for one:
// the first page of 100, in many orders and under many conditions.
func runs(ctx context.Context, rounds, only int) error {
	fmt.Printf("%s; SQLite on disk, synchronous=FULL; each figure is the median [lowest..highest] of %d\n", cpuName(), rounds)
	sizes := []struct{ runs, keys int }{{100_000, 50}, {10_000, 500}}
	for _, size := range sizes {
		if only != 0 && size.runs > only {
			size.runs = only
		}
		if err := searchRuns(ctx, rounds, size.runs, size.keys); err != nil {
			return fmt.Errorf("%d runs: %w", size.runs, err)
		}
	}
	return nil
}

// a run as a sweep records it: keys are shared, values are not.
func sweptRun(random *rand.Rand, i, keys int) solera.Run {
	params, summary := make(solera.Fields, keys), make(solera.Fields, keys)
	params["optimizer"] = []string{"adam", "sgd", "adamw", "rmsprop"}[random.IntN(4)]
	params["batch_size"] = 16 << random.IntN(5)
	params["learning_rate"] = random.Float64() / 100
	params["name of nobody else"] = fmt.Sprint("trial ", i)
	for k := len(params); k < keys; k++ {
		switch k % 3 {
		case 0:
			params[fmt.Sprint("number.", k)] = random.Float64()
		case 1:
			params[fmt.Sprint("choice.", k)] = []string{"small", "medium", "large"}[random.IntN(3)]
		default:
			params[fmt.Sprint("count.", k)] = random.IntN(1000)
		}
	}
	accuracy := random.Float64()
	summary["val"] = solera.Fields{"accuracy": accuracy, "loss": 1 - accuracy}
	for k := 2; k < keys; k++ {
		summary[fmt.Sprint("metric/", k)] = random.NormFloat64()
	}
	created := solera.Micros(1_700_000_000_000_000 + int64(i)*1_000_000)
	tags := []string{}
	if i%1000 == 0 {
		tags = append(tags, "best")
	}
	return solera.Run{
		ID: solera.RunID(fmt.Sprintf("20260101-%06d-%06d", i/1000, i)), Name: fmt.Sprint("train ", i), Project: "sweep", Stage: "train",
		Experiment: fmt.Sprintf("exp%03d", i%500), State: []solera.RunState{solera.Finished, solera.Failed}[i%10/9],
		Params: params, Summary: summary, Tags: tags, Host: "bench", Created: created, Started: created, Finished: created + 60_000_000,
	}
}

func searchRuns(ctx context.Context, rounds, n, keys int) error {
	dir, err := os.MkdirTemp("", "solera-runs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "solera.db")
	s, err := store.OpenSQLite(ctx, file)
	if err != nil {
		return err
	}
	defer s.Close()
	random := rand.New(rand.NewPCG(1, 2))
	start := time.Now()
	const batch = 1000
	for first := 0; first < n; first += batch {
		list := make([]solera.Run, 0, batch)
		for i := first; i < min(first+batch, n); i++ {
			list = append(list, sweptRun(random, i, keys))
		}
		err := s.Update(ctx, func(tx solera.Tx) error {
			for _, r := range list {
				if err := tx.CreateRun(r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	filled := time.Since(start)
	fmt.Printf("\n%d runs × (%d params + %d summary keys), written in %.3g s, 1,000 to a transaction: %.3g ms a run\n",
		n, keys, keys, filled.Seconds(), filled.Seconds()*1000/float64(n))

	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tms\truns chosen")
	report := func(what string, times []time.Duration, chosen int) {
		slices.Sort(times)
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		fmt.Fprintf(w, "%s\t%.3g [%.3g..%.3g]\t%d\n", what, ms(times[len(times)/2]), ms(times[0]), ms(times[len(times)-1]), chosen)
	}

	// Each in a transaction of its own, as a training does it.
	var created, updated []time.Duration
	for i := range 300 {
		r := sweptRun(random, n+i, keys)
		start := time.Now()
		if err := s.Update(ctx, func(tx solera.Tx) error { return tx.CreateRun(r) }); err != nil {
			return err
		}
		created = append(created, time.Since(start))
		r = sweptRun(random, random.IntN(n), keys)
		start = time.Now()
		err := s.Update(ctx, func(tx solera.Tx) error {
			r, err := tx.Run(r.ID)
			if err != nil {
				return err
			}
			r.Notes = "looked at"
			return tx.UpdateRun(r)
		})
		if err != nil {
			return err
		}
		updated = append(updated, time.Since(start))
	}
	report("create a run", created, 1)
	report("change one field of an old run", updated, 1)

	for _, page := range []struct {
		what, where, order string
		limit, offset      int
		count              bool
	}{
		{"first page, newest first", "", "", 100, 0, false},
		{"first page by summary.val.accuracy", "", "summary.val.accuracy", 100, 0, false},
		{"page 501 by summary.val.accuracy", "", "summary.val.accuracy", 100, n / 2, false},
		{"first page by a text of each run", "", "params.name of nobody else", 100, 0, false},
		{"where accuracy > 0.9999", "summary.val.accuracy > 0.9999", "", 100, 0, false},
		{
			`where optimizer = "adam" and accuracy > 0.9 or tags in ("best")`,
			`params.optimizer = "adam" and summary.val.accuracy > 0.9 or tags in ("best")`, "", 100, 0, false,
		},
		{"the same by summary.val.loss", `params.optimizer = "adam" and summary.val.accuracy > 0.9 or tags in ("best")`, "summary.val.loss", 100, 0, false},
		{`where name like "%99%" and not state = "failed"`, `name like "%99%" and not state = "failed"`, "", 100, 0, false},
		{"where the text of one run", "`params.name of nobody else` = \"trial 77\"", "", 100, 0, false},
		{"count where accuracy > 0.5", "summary.val.accuracy > 0.5", "", 0, 0, true},
		{"count all", "", "", 0, 0, true},
	} {
		where, err := solera.ParseExpr(page.where)
		if err != nil {
			return err
		}
		q := solera.RunQuery{Project: "sweep", Where: where, Limit: page.limit, Offset: page.offset}
		if page.order != "" {
			q.Order = []solera.RunOrder{{Field: page.order, Descending: true}}
		}
		var times []time.Duration
		chosen := 0
		for range rounds {
			start := time.Now()
			err := s.View(ctx, func(tx solera.Tx) (err error) {
				if page.count {
					chosen, err = tx.CountRuns(q)
					return err
				}
				list, err := tx.Runs(q)
				chosen = len(list)
				return err
			})
			if err != nil {
				return err
			}
			times = append(times, time.Since(start))
		}
		report(page.what, times, chosen)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	fmt.Printf("the database has %d MB\n", info.Size()>>20)
	return nil
}
