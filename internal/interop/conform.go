package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Places where a server keeps its records.
const (
	onDisk    = "sqlite"   // SQLite and a folder, with sign-in: everything
	open      = "open"     // the same without sign-in
	onCluster = "postgres" // PostgreSQL and S3, with sign-in
)

// parts are what runs where not everything does: what touches records or bytes
// in a way of its own, and the whole of the wine pipeline.
var parts = map[string]map[string]string{
	open: {"login": "*", "runs": "runs.init,runs.files"},
	onCluster: {
		"runs": "runs.init,runs.scalars,runs.nan,runs.nested,runs.config,runs.console,runs.files,runs.many-steps,runs.same-id", "resume": "resume.allow,resume.rewind,resume.shared",
		"artifacts": "artifacts.log,artifacts.download,artifacts.dedup,artifacts.draft,artifacts.distributed,artifacts.aliases,artifacts.delete,artifacts.link,artifacts.many-files",
		"sweeps":    "sweeps.grid,sweeps.agents", "api": "api.filters,api.history,api.scan-history", "wine_pipeline": "*",
	},
}

// together are scripts that mostly wait: their capabilities are shared out among
// so many processes.
var together = map[string]int{"sweeps": 3}

// newestOnly are scripts that cost too much to run with every client.
var newestOnly = []string{"big", "outbound"}

// conform runs the scripts, prints the table and says what is wrong.
func (h *harness) conform(ctx context.Context) error {
	start := time.Now()
	gaps, err := readGaps("interop/wandb/gaps.txt")
	if err != nil {
		return err
	}
	tasks, err := h.tasks(ctx)
	if err != nil {
		return err
	}
	seen, err := h.performAll(ctx, tasks)
	if err != nil {
		return err
	}
	if seen, err = h.again(ctx, tasks, seen, gaps); err != nil {
		return err
	}
	print(h, seen, gaps)
	wrong := judge(seen, gaps)
	whole := h.scripts == "" && h.only == "*"
	if whole {
		wrong = append(wrong, unused(gaps, seen)...)
	}
	if h.versions == "" {
		if err := h.table(seen, gaps, whole); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	passed, failed := 0, len(wrong)
	for _, o := range seen {
		if o.Result == "works" {
			passed++
		}
	}
	fmt.Printf("\n%d passed, %d failed\n", passed, failed)
	fmt.Printf("interop: %.0f s\n", time.Since(start).Seconds())
	if failed > 0 {
		for _, w := range wrong {
			fmt.Fprintln(os.Stderr, "  "+w)
		}
		return errors.New("the clients did not find what they must find here")
	}
	return nil
}

// tasks starts the servers and lists what is to be done.
func (h *harness) tasks(ctx context.Context) ([]task, error) {
	var list []task
	wanted := func(script string) bool {
		return h.scripts == "" || slices.Contains(strings.Split(h.scripts, ","), script)
	}
	for i, c := range h.clients {
		s, err := h.serve(ctx, onDisk+"-"+c.version, false, "--store", filepath.Join(h.scratch, "store-"+c.version))
		if err != nil {
			return nil, err
		}
		for _, script := range scripts {
			if wanted(script) && (i == 0 || !slices.Contains(newestOnly, script)) {
				t := task{script: script, client: c, place: onDisk, server: s}
				if n := together[script]; n > 0 {
					for part := range n {
						t.part = fmt.Sprintf("%d/%d", part+1, n)
						list = append(list, t)
					}
					continue
				}
				list = append(list, t)
			}
		}
	}
	newest := h.clients[0]
	places := []string{open}
	if os.Getenv("SOLERA_TEST_POSTGRES") != "" {
		places = append(places, onCluster)
	} else {
		fmt.Println("no PostgreSQL and S3 here: on SQLite and a folder only")
	}
	for _, place := range places {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(parts[place])), wanted) {
			continue
		}
		where := []string{"--store", filepath.Join(h.scratch, "store-"+place)}
		if place == onCluster {
			var err error
			if where, err = h.cluster(ctx); err != nil {
				return nil, err
			}
		}
		s, err := h.serve(ctx, place, place == open, where...)
		if err != nil {
			return nil, err
		}
		for _, script := range scripts {
			if only, ok := parts[place][script]; ok && wanted(script) && (h.only == "*" || matches(h.only, only)) {
				list = append(list, task{script: script, client: newest, place: place, server: s, only: only})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b task) int { return slices.Index(scripts, a.script) - slices.Index(scripts, b.script) })
	return list, nil
}

// An outcome is a result, and of what.
type outcome struct {
	result
	script, part, version, place string
}

// performAll runs tasks side by side.
func (h *harness) performAll(ctx context.Context, tasks []task) ([]outcome, error) {
	todo := make(chan task)
	var group sync.WaitGroup
	var mu sync.Mutex
	var seen []outcome
	var failed []error
	for range h.workers {
		group.Go(func() {
			for t := range todo {
				start := time.Now()
				results, err := h.perform(ctx, t)
				works := 0
				mu.Lock()
				failed = append(failed, err)
				for _, r := range results {
					seen = append(seen, outcome{r, t.script, t.part, t.client.version, t.place})
					if r.Result != "fails" {
						works++
					}
				}
				mu.Unlock()
				if len(results) > 0 {
					fmt.Printf("  %-14s %-8s %-9s %3d of %3d, %.0f s\n", strings.TrimSpace(t.script+" "+t.part), t.client.version, t.place, works, len(results), time.Since(start).Seconds())
				}
			}
		})
	}
	for _, t := range tasks {
		if ctx.Err() != nil {
			break
		}
		todo <- t
	}
	close(todo)
	group.Wait()
	return seen, errors.Join(append(failed, ctx.Err())...)
}

// again runs scripts a second time, alone and on a fresh server, of which
// something failed that should not: clients give up on a machine that has much
// else to do. What fails then too has failed. A second time is said, not hidden.
func (h *harness) again(ctx context.Context, tasks []task, seen []outcome, gaps []gap) ([]outcome, error) {
	for _, t := range tasks {
		of := func(o outcome) bool {
			return o.script == t.script && o.part == t.part && o.version == t.client.version && o.place == t.place
		}
		var first []outcome
		for _, o := range seen {
			if of(o) {
				first = append(first, o)
			}
		}
		wrong := judge(first, gaps)
		if len(wrong) == 0 || t.place == onCluster {
			continue
		}
		fmt.Printf("  %s once more, alone: %s\n", t.name(), strings.Join(wrong, "; "))
		t.retry = "-again"
		var err error
		if t.server, err = h.serve(ctx, t.name(), t.place == open, "--store", filepath.Join(h.scratch, "store-"+t.name())); err != nil {
			return nil, err
		}
		results, err := h.perform(ctx, t)
		if err != nil {
			return nil, err
		}
		t.server.stop()
		seen = slices.DeleteFunc(seen, of)
		for _, r := range results {
			seen = append(seen, outcome{r, t.script, t.part, t.client.version, t.place})
		}
	}
	return seen, nil
}

// judge lists what fails and should not, and what works and should not.
func judge(seen []outcome, gaps []gap) []string {
	var wrong []string
	for _, o := range seen {
		g := find(gaps, o.Key, o.version, o.place)
		switch {
		case o.Result == "fails" && g == nil:
			wrong = append(wrong, fmt.Sprintf("%s, client %s, %s: %s", o.Key, o.version, o.place, o.Note))
		case o.Result != "fails" && g != nil:
			wrong = append(wrong, fmt.Sprintf("%s, client %s, %s: works; take it out of interop/wandb/gaps.txt", o.Key, o.version, o.place))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// unused lists gaps of which no script knows.
func unused(gaps []gap, seen []outcome) []string {
	var wrong []string
	for _, g := range gaps {
		if !slices.ContainsFunc(seen, func(o outcome) bool { return o.Key == g.key }) {
			wrong = append(wrong, "interop/wandb/gaps.txt: no script knows "+g.key)
		}
	}
	return wrong
}

// print shows client version × capability × result.
func print(h *harness, seen []outcome, gaps []gap) {
	type column struct{ version, place string }
	var columns []column
	rows := make(map[string]map[column]outcome)
	var keys []string
	order := []string{onDisk, open, onCluster}
	for _, place := range order {
		for _, c := range h.clients {
			at := column{c.version, place}
			if slices.ContainsFunc(seen, func(o outcome) bool { return o.version == c.version && o.place == place }) {
				columns = append(columns, at)
			}
		}
	}
	for _, o := range seen {
		if rows[o.Key] == nil {
			rows[o.Key] = make(map[column]outcome)
			keys = append(keys, o.Key)
		}
		rows[o.Key][column{o.version, o.place}] = o
	}
	slices.Sort(keys)
	fmt.Printf("\n%-30s", "capability")
	for _, c := range columns {
		fmt.Printf(" %-16s", c.version+" "+c.place)
	}
	fmt.Println()
	for _, key := range keys {
		fmt.Printf("%-30s", key)
		note := ""
		for _, c := range columns {
			word := ""
			if o, ok := rows[key][c]; ok {
				word = o.Result
				if g := find(gaps, key, c.version, c.place); g != nil && word == "fails" {
					word, note = g.extent+" (known)", g.reason
				} else if o.Note != "" {
					note = o.Note
				}
				word = fmt.Sprintf("%s %.1fs", word, o.Seconds)
			}
			fmt.Printf(" %-16s", word)
		}
		if note, _, _ = strings.Cut(note, "\n"); len(note) > 110 {
			note = note[:110] + "…"
		}
		fmt.Println(" " + note)
	}
}
