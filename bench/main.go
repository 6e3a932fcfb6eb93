// Command bench times Solera beside PyTorch at the same work, alternating the
// two so that a busy machine hurts both alike, and prints medians with their
// range and the ratios of medians. `make bench` runs it; without python3-torch
// it times Solera alone and says so.
//
//	go run ./bench                  wine, sweep, big and csv, 5 rounds
//	go run ./bench -only big -n 9   one of them, 9 rounds
//	go run ./bench -only scale      time and peak memory against rows, features and width
//	go run ./bench -only runs       finding, sorting and counting 100,000 runs
//	go run ./bench -only points     the store: points on disk a second, a chart, bytes a point
//	go run ./bench -only api -n 10  answers of the server in 10 s: 50 readers while 20 writers log
//	go run ./bench -only load       the same over the network, 60 s (-n), every point counted afterwards
//	go run ./bench -only columns    the list of 1,000 columns of 10,000 runs
//
// Every measurement is a process of its own, so none inherits a warm cache, a
// grown heap or a thread pool from the one before it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// A contestant does one piece of work and says how long it took.
type contestant struct {
	name    string
	env     []string
	command []string
}

// A match is the same work done by several; ratios are taken against the first.
type match struct {
	name        string
	title       string
	contestants []contestant
}

// A result is what a contestant prints: one JSON object.
type result struct {
	Seconds       float64   `json:"seconds"`
	RowsPerSecond float64   `json:"rows_per_second,omitempty"`
	Loss          float64   `json:"loss,omitempty"`
	Accuracy      []float64 `json:"accuracy,omitempty"`
	Kernel        string    `json:"kernel,omitempty"`
	Version       string    `json:"version,omitempty"`
	Notes         []string  `json:"notes,omitempty"` // lines of a table
}

// defaultRounds is -n unless it is given.
const defaultRounds = 5

func main() {
	rounds := flag.Int("n", defaultRounds, "rounds; in each, every contestant runs once")
	only := flag.String("only", "", "wine, sweep, big, csv, scale, runs, columns, points, api or load; empty means the first four")
	python := flag.String("python", "/usr/bin/python3", "interpreter that has torch and sklearn (Debian: python3-torch, python3-sklearn)")
	rows := flag.Int("rows", 0, "scale, runs, api: only this many rows, or runs; 0 means all")
	work := flag.String("work", "", "do this work and print one JSON object (how bench calls itself)")
	flag.Parse()
	if err := run(context.Background(), *rounds, *only, *python, *rows, *work); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, only, python string, rows int, work string) error {
	if work != "" {
		do := do
		if strings.HasPrefix(work, "points/") {
			do = pointsWork
		}
		r, err := do(ctx, work)
		if err != nil {
			return fmt.Errorf("%s: %w", work, err)
		}
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	switch only {
	case "scale":
		return scale(ctx, rows)
	case "runs":
		return runs(ctx, rounds, rows)
	case "points":
		return points(ctx, rounds)
	case "api":
		return serve(ctx, rounds, rows)
	case "load":
		if rounds == defaultRounds {
			rounds = 60
		}
		return load(ctx, rounds)
	case "columns":
		return columns(ctx, rounds, rows)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ours := func(name, work string, env ...string) contestant {
		return contestant{name, env, []string{self, "-work", work}}
	}
	script := filepath.Join("bench", "pytorch.py")
	torch := func(name, work string) contestant { return contestant{name, nil, []string{python, script, work}} }
	matches := []match{
		{"wine", "three wine trainings: 3,250 steps of batch 16 and 32, 450 validations", []contestant{
			ours("solera", "wine"),
			ours("solera, portable Go", "wine", "SOLERA_KERNEL=portable"),
			torch("PyTorch as people write it", "loader"),
			torch("PyTorch tuned", "tuned"),
		}},
		{"sweep", "64 wine trainings (exp001) on 2 cores", []contestant{
			ours("solera, 2 workers", "sweep"),
			torch("PyTorch tuned, 2 processes", "sweep"),
		}},
		{"big", "64 → 512 → 256 → 10, 500,000 rows, batch 1024, Adam, BatchNorm, Dropout: 200 steps", []contestant{
			ours("solera, 2 cores", "big"),
			ours("solera, 1 core", "big1"),
			torch("PyTorch tuned", "big"),
		}},
		{"csv", "CSV of 500,000 rows × 15 columns, read and typed", []contestant{
			ours("encoding/csv, fields only", "encoding/csv"), // the yardstick
			ours("solera, typed columns", "csv"),
		}},
	}

	version, err := torchVersion(ctx, python)
	if err != nil {
		fmt.Printf("PyTorch is not measured: %v\nTo compare: apt-get install python3-torch python3-sklearn\n", err)
	} else {
		fmt.Printf("PyTorch %s, run with OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE unset\n", version)
	}
	fmt.Printf("%s, %s, %d cores, %d rounds, medians [lowest..highest]\n", cpuName(), runtime.Version(), runtime.NumCPU(), rounds)
	found := false
	for _, m := range matches {
		if only != "" && only != m.name {
			continue
		}
		found = true
		if version == "" {
			m.contestants = slices.DeleteFunc(m.contestants, func(c contestant) bool { return c.command[0] == python })
		}
		if err := m.play(ctx, rounds); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	if !found {
		return fmt.Errorf("-only %s: want wine, sweep, big, csv, scale, runs, points or api", only)
	}
	return nil
}

// play alternates the contestants and prints the table.
func (m match) play(ctx context.Context, rounds int) error {
	results := make([][]result, len(m.contestants))
	for range rounds {
		for i, c := range m.contestants {
			r, err := c.run(ctx)
			if err != nil {
				return err
			}
			results[i] = append(results[i], r)
		}
	}
	fmt.Printf("\n%s\n", m.title)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tseconds\trows/s\ttimes the first")
	first, _, _ := spread(results[0])
	for i, c := range m.contestants {
		middle, low, high := spread(results[i])
		speed := ""
		if r := results[i][0]; r.RowsPerSecond > 0 {
			speed = fmt.Sprintf("%.0f", r.RowsPerSecond*r.Seconds/middle)
		}
		fmt.Fprintf(w, "%s\t%.4g [%.4g..%.4g]\t%s\t%.3g\n", c.name, middle, low, high, speed, middle/first)
	}
	return w.Flush()
}

func spread(results []result) (median, low, high float64) {
	var s []float64
	for _, r := range results {
		s = append(s, r.Seconds)
	}
	slices.Sort(s)
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2, s[0], s[n-1]
}

func (c contestant) run(ctx context.Context) (result, error) {
	cmd := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	cmd.Env = append(fairEnvironment(), c.env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", c.name, err)
	}
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		return result{}, fmt.Errorf("%s printed %q: %w", c.name, out, err)
	}
	if r.Seconds <= 0 {
		return result{}, fmt.Errorf("%s printed no time: %q", c.name, out)
	}
	return r, nil
}

// fairEnvironment is ours without the settings that would hold the numeric
// libraries under PyTorch back.
func fairEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		switch name {
		case "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS":
			return true
		}
		return false
	})
}

func torchVersion(ctx context.Context, python string) (string, error) {
	cmd := exec.CommandContext(ctx, python, "-c", "import torch, sklearn; print(torch.__version__)")
	cmd.Env = fairEnvironment()
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s cannot import torch and sklearn", python)
	}
	return strings.TrimSpace(string(out)), nil
}

func cpuName() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), ":"))
		}
	}
	return runtime.GOARCH
}
