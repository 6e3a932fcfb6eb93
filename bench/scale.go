package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// A size is one row of the table that shows how cost grows.
type size struct {
	rows, features int
	layers         string
	epochs         int
}

// scale trains whole projects of growing size with bin/solera and prints wall
// time and peak memory. Each is a fresh process and a fresh store: reading the
// CSV, splitting, transforming, training one epoch or more, evaluating, and
// writing every artifact are all inside.
func scale(ctx context.Context, only int) error {
	solera, err := filepath.Abs("bin/solera")
	if err != nil {
		return err
	}
	if _, err := os.Stat(solera); err != nil {
		return errors.New("bin/solera is missing; run `make build` first")
	}
	sizes := []size{
		{1_000, 30, "64, 32", 1},
		{10_000, 30, "64, 32", 1},
		{100_000, 30, "64, 32", 1},
		{1_000_000, 30, "64, 32", 1},
		{10_000_000, 30, "64, 32", 1},
		{100_000, 10, "64, 32", 1},
		{100_000, 100, "64, 32", 1},
		{100_000, 1_000, "64, 32", 1},
		{100_000, 30, "256, 128", 1},
		{100_000, 30, "1024, 512", 1},
	}
	fmt.Printf("%s; one epoch, batch 512, Adam; CSV in, all artifacts out\n\n", cpuName())
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "rows\tfeatures\tlayers\tCSV MB\tseconds\tpeak MB")
	for _, s := range sizes {
		if only != 0 && s.rows != only {
			continue
		}
		if err := s.run(ctx, solera, w); err != nil {
			return fmt.Errorf("%d rows × %d features: %w", s.rows, s.features, err)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func (s size) run(ctx context.Context, solera string, w *tabwriter.Writer) error {
	dir, err := os.MkdirTemp("", "solera-scale-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	csv := filepath.Join(dir, "rows.csv")
	// writeCSV adds a whole-number column and a category of four levels.
	if err := writeCSV(csv, s.rows, s.features-2, 1); err != nil {
		return err
	}
	info, err := os.Stat(csv)
	if err != nil {
		return err
	}
	config := strings.NewReplacer("LAYERS", s.layers, "EPOCHS", fmt.Sprint(s.epochs)).Replace(`project: scale
seed: 1
data:
  source: rows.csv
  target: class
  split: {train: 0.8, val: 0.1, test: 0.1, stratify: true}
model:
  name: Scale
  layers: [LAYERS]
  batch_norm: true
  dropout: 0.3
experiments:
  - {name: exp001, epochs: EPOCHS, batch_size: 512, learning_rate: 0.001, optimizer: adam}
`)
	if err := os.WriteFile(filepath.Join(dir, "solera.yaml"), []byte(config), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, solera, "-C", dir, "run", "--json")
	cmd.Stderr = os.Stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	fmt.Fprintf(w, "%d\t%d\t%s\t%d\t%.2f\t%d\n", s.rows, s.features, s.layers, info.Size()>>20, seconds, peak(cmd.ProcessState)>>20)
	return nil
}
