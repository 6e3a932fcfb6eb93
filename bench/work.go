package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/solera-ml/solera/dataset"
	"github.com/solera-ml/solera/fit"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/numeric"
	"github.com/solera-ml/solera/split"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tensor"
	"github.com/solera-ml/solera/transform"
)

// do is our side of the work that pytorch.py does; the clock covers the same part.
func do(ctx context.Context, work string) (result, error) {
	switch work {
	case "wine":
		return wine(ctx)
	case "sweep":
		return sweep(ctx)
	case "big":
		return big(2)
	case "big1":
		return big(1)
	case "csv":
		return readTable(ctx)
	case "encoding/csv":
		return readFields()
	}
	return result{}, errors.New("no such work")
}

// wineData is the split of the wine project: 142 rows to learn from, 18 to validate on.
func wineData() (train, val fit.Data, err error) {
	sample, err := dataset.Get("wine")
	if err != nil {
		return train, val, err
	}
	labels, err := transform.FitLabels(sample.Table, sample.Target, nil)
	if err != nil {
		return train, val, err
	}
	y, err := labels.Encode(sample.Table, nil)
	if err != nil {
		return train, val, err
	}
	parts, err := split.Stratified(y, labels.Classes, split.Fractions{Train: 0.8, Val: 0.1, Test: 0.1}, 42)
	if err != nil {
		return train, val, err
	}
	fitted, err := transform.Default(sample.Table, sample.Target).Fit(sample.Table, parts.Train)
	if err != nil {
		return train, val, err
	}
	pick := func(rows []int) (fit.Data, error) {
		x, err := fitted.Apply(sample.Table, rows)
		if err != nil {
			return fit.Data{}, err
		}
		d := fit.Data{X: x}
		for _, r := range rows {
			d.Y = append(d.Y, y[r])
		}
		return d, nil
	}
	if train, err = pick(parts.Train); err != nil {
		return train, val, err
	}
	val, err = pick(parts.Val)
	return train, val, err
}

func experiments() []fit.Config {
	plateau := nn.Schedule{Kind: "reduce_on_plateau", Factor: 0.5, Patience: 10, Threshold: 1e-4}
	return []fit.Config{
		{Epochs: 100, BatchSize: 16, LearningRate: 0.001, Optimizer: nn.Optimizer{Kind: "adam"}, Schedule: plateau, Seed: 42},
		{Epochs: 150, BatchSize: 16, LearningRate: 0.0005, Optimizer: nn.Optimizer{Kind: "adam"}, Schedule: plateau, Seed: 42},
		{Epochs: 200, BatchSize: 32, LearningRate: 0.01, Optimizer: nn.Optimizer{Kind: "sgd", Momentum: 0.9}, Schedule: plateau, Seed: 42},
	}
}

func trainWine(ctx context.Context, e *tensor.Engine, train, val fit.Data, c fit.Config) (fit.Result, error) {
	spec := nn.MLP{Inputs: train.X.Cols, Outputs: 3, Hidden: []int{64, 32}, BatchNorm: true, Dropout: 0.3}.Spec()
	n, err := nn.New(spec, c.Seed)
	if err != nil {
		return fit.Result{}, err
	}
	return fit.Network(ctx, n, e, train, val, c, fit.Options{})
}

func wine(ctx context.Context) (result, error) {
	train, val, err := wineData()
	if err != nil {
		return result{}, err
	}
	e, err := tensor.NewEngine(os.Getenv("SOLERA_KERNEL"), 1)
	if err != nil {
		return result{}, err
	}
	defer e.Close()
	warm := experiments()[0]
	warm.Epochs = 3
	if _, err := trainWine(ctx, e, train, val, warm); err != nil {
		return result{}, err
	}
	r := result{Kernel: e.Kernel()}
	start := time.Now()
	for _, c := range experiments() {
		f, err := trainWine(ctx, e, train, val, c)
		if err != nil {
			return result{}, err
		}
		r.Accuracy = append(r.Accuracy, f.History[len(f.History)-1].ValAccuracy)
	}
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

// sweep is 64 trainings of exp001: 8 learning rates, 8 times each, one training per core.
func sweep(ctx context.Context) (result, error) {
	train, val, err := wineData()
	if err != nil {
		return result{}, err
	}
	start := time.Now()
	err = fit.Parallel(ctx, 64, 2, func(ctx context.Context, i int) error {
		e, err := tensor.NewEngine(os.Getenv("SOLERA_KERNEL"), 1)
		if err != nil {
			return err
		}
		defer e.Close()
		c := experiments()[0]
		c.Seed = uint64(i)
		c.LearningRate = 0.0003
		for range i % 8 {
			c.LearningRate *= 1.6
		}
		_, err = trainWine(ctx, e, train, val, c)
		return err
	})
	return result{Seconds: time.Since(start).Seconds()}, err
}

func big(workers int) (result, error) {
	const rows, batch, steps, warm = 500_000, 1024, 200, 20
	s := numeric.NewStream(1, "bench")
	teacher := make([]float32, 64*10)
	for i := range teacher {
		teacher[i] = float32(s.Normal())
	}
	x, y := tensor.New(rows, 64), make([]int32, rows)
	for i := range x.Data {
		x.Data[i] = float32(s.Normal())
	}
	for i := range y {
		best := float32(0)
		for class := range 10 {
			score := float32(0)
			for j, v := range x.Row(i) {
				score += v * teacher[j*10+class]
			}
			if class == 0 || score > best {
				best, y[i] = score, int32(class)
			}
		}
	}
	e, err := tensor.NewEngine(os.Getenv("SOLERA_KERNEL"), workers)
	if err != nil {
		return result{}, err
	}
	defer e.Close()
	n, err := nn.New(nn.MLP{Inputs: 64, Outputs: 10, Hidden: []int{512, 256}, BatchNorm: true, Dropout: 0.3}.Spec(), 1)
	if err != nil {
		return result{}, err
	}
	t, err := nn.NewTrainer(n, e, nn.TrainerOptions{Optimizer: nn.Optimizer{Kind: "adam"}, MaxBatch: batch, Seed: 1})
	if err != nil {
		return result{}, err
	}
	order := make([]int32, rows)
	for i := range order {
		order[i] = int32(i)
	}
	s.ShuffleInt32(order)
	r := result{Kernel: e.Kernel()}
	var start time.Time
	for i := range warm + steps {
		if i == warm {
			start = time.Now()
		}
		r.Loss, _, err = t.Step(x, y, order[i*batch:(i+1)*batch], 0.001)
		if err != nil {
			return result{}, err
		}
	}
	r.Seconds = time.Since(start).Seconds()
	r.RowsPerSecond = steps * batch / r.Seconds
	return r, nil
}

// csvFile writes a table of 500,000 rows and 15 columns (numbers of several
// forms, whole numbers, two categories) once, and returns its path.
func csvFile() (string, error) {
	const rows = 500_000
	path := filepath.Join(os.TempDir(), "solera-bench-500000x15.csv")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, writeCSV(path, rows, 12, 1)
}

// writeCSV writes rows of number columns, one whole-number column and two
// categories, of which "class" follows from the numbers.
func writeCSV(path string, rows, numbers int, seed uint64) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "part-*")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err == nil {
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	for j := range numbers {
		fmt.Fprintf(w, "x%d,", j)
	}
	fmt.Fprintln(w, "count,colour,class")
	s := numeric.NewStream(seed, "csv")
	line := make([]byte, 0, 1024)
	colours := []string{"red", "green", "blue", "white"}
	for range rows {
		line = line[:0]
		sum := 0.0
		for j := range numbers {
			v := s.Normal() * 10
			sum += v * float64(j%3-1)
			line = strconv.AppendFloat(line, v, 'f', 1+j%6, 64)
			line = append(line, ',')
		}
		line = strconv.AppendInt(line, int64(s.IntN(10_000)), 10)
		line = append(line, ',')
		line = append(line, colours[s.IntN(len(colours))]...)
		if sum > 0 {
			line = append(line, ",high\n"...)
		} else {
			line = append(line, ",low\n"...)
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return w.Flush()
}

func readTable(ctx context.Context) (result, error) {
	path, err := csvFile()
	if err != nil {
		return result{}, err
	}
	start := time.Now()
	t, err := table.Open(ctx, path, table.Options{})
	if err != nil {
		return result{}, err
	}
	r := result{Seconds: time.Since(start).Seconds()}
	r.RowsPerSecond = float64(t.Len()) / r.Seconds
	runtime.KeepAlive(t)
	return r, nil
}

// readFields is the yardstick: the standard library splitting lines into
// fields, with its reuse of memory switched on, and nothing made of them.
func readFields() (result, error) {
	path, err := csvFile()
	if err != nil {
		return result{}, err
	}
	start := time.Now()
	f, err := os.Open(path)
	if err != nil {
		return result{}, err
	}
	defer f.Close()
	in := csv.NewReader(f)
	in.ReuseRecord = true
	rows := -1
	for {
		_, err := in.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return result{}, err
		}
		rows++
	}
	r := result{Seconds: time.Since(start).Seconds()}
	r.RowsPerSecond = float64(rows) / r.Seconds
	return r, nil
}
