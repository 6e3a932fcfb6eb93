package fit

import (
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/tensor"
)

// wineConfigs are the three experiments of the wine example.
func wineConfigs() map[string]Config {
	plateau := nn.DefaultSchedule(nn.SchedulePlateau)
	plateau.Factor = 0.5
	return map[string]Config{
		"001": {Epochs: 100, BatchSize: 16, LearningRate: 1e-3, Optimizer: nn.Optimizer{Kind: "adam"}, Schedule: plateau},
		"002": {Epochs: 150, BatchSize: 16, LearningRate: 5e-4, Optimizer: nn.Optimizer{Kind: "adam"}, Schedule: plateau},
		"003": {Epochs: 200, BatchSize: 32, LearningRate: 1e-2, Optimizer: nn.Optimizer{Kind: "sgd", Momentum: 0.9}, Schedule: plateau},
	}
}

func wineNetwork(t testing.TB, seed uint64) *nn.Network {
	t.Helper()
	n, err := nn.New(nn.MLP{Inputs: 13, Outputs: 3, Hidden: []int{64, 32}, Activation: "relu", BatchNorm: true, Dropout: 0.3}.Spec(), seed)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// readCSV returns the fields of a file in testdata.
func readCSV(t testing.TB, name string) [][]string {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func number(t testing.TB, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// wine returns the rows of a split, standardised by its training rows. parts
// has a digit per row: 0 train, 1 validation, 2 test.
func wine(t testing.TB, lines [][]string, parts string) (split [3]Data) {
	t.Helper()
	var n [3]int
	for _, p := range parts {
		n[p-'0']++
	}
	var mean, squares [13]float64
	for k := range split {
		split[k] = Data{X: tensor.New(n[k], 13), Y: make([]int32, 0, n[k])}
	}
	value := func(i, j int) float64 { return float64(float32(number(t, lines[i][j]))) }
	for i, p := range parts {
		for j := range mean {
			if p == '0' {
				mean[j] += value(i, j) / float64(n[0])
			}
		}
	}
	for i, p := range parts {
		for j := range mean {
			if d := value(i, j) - mean[j]; p == '0' {
				squares[j] += d * d / float64(n[0])
			}
		}
	}
	for i, p := range parts {
		d := &split[p-'0']
		for j, m := range mean {
			d.X.Row(len(d.Y))[j] = float32((value(i, j) - m) / math.Sqrt(squares[j]))
		}
		d.Y = append(d.Y, int32(number(t, lines[i][13])))
	}
	return split
}

// measures are what is compared with PyTorch, by the names of its table.
var measures = []string{"test_acc_final", "test_loss_final", "val_loss_final", "trl10", "trl50", "trl100"}

// The engine learns as PyTorch does: on 200 splits of the wines, trained by the
// three experiments, no mean of the paired differences of six measures is more
// than three standard errors from 0. Initial weights, order and dropout differ,
// so single splits do too.
func TestTheEngineLearnsAsPyTorchDoes(t *testing.T) {
	if raceDetector {
		t.Skip("600 trainings take many minutes under the race detector; run without -race")
	}
	kernel := engine(t, os.Getenv("SOLERA_KERNEL"), 1).Kernel()
	splits := 200
	if testing.Short() || kernel == "portable" {
		splits = 40
		t.Logf("-short or portable kernels: the first %d of 200 splits, on which small deviations go unnoticed", splits)
	}
	lines := readCSV(t, "wine.csv")
	text, err := os.ReadFile("testdata/splits200.txt")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Fields(string(text))
	torch := map[string]float64{}
	table := readCSV(t, "splits200.csv")
	for _, row := range table[1:] {
		for i, name := range table[0][2:] {
			torch[row[0]+" "+row[1]+" "+name] = number(t, row[2+i])
		}
	}

	names, configs := []string{"001", "002", "003"}, wineConfigs()
	ours := make([]map[string]float64, len(names)*splits)
	start := time.Now()
	err = Parallel(context.Background(), len(ours), runtime.GOMAXPROCS(0), func(ctx context.Context, i int) error {
		e, err := tensor.NewEngine(kernel, 1)
		if err != nil {
			return err
		}
		defer e.Close()
		ours[i], err = cell(ctx, t, e, wine(t, lines, parts[i%splits]), configs[names[i/splits]], uint64(i))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d trainings in %.1f s, kernels %s", len(ours), time.Since(start).Seconds(), kernel)

	t.Logf("%-4s %-16s %10s %10s %11s %10s %6s", "", "measure", "PyTorch", "Solera", "difference", "std error", "z")
	for c, config := range names {
		for _, m := range measures {
			var a, b, d, d2 float64
			for s := range splits {
				want, ok := torch[fmt.Sprintf("%s %d %s", config, s, m)]
				if !ok {
					t.Fatalf("testdata has no %s of %s, split %d", m, config, s)
				}
				got := ours[c*splits+s][m]
				a, b, d, d2 = a+want, b+got, d+got-want, d2+(got-want)*(got-want)
			}
			n := float64(splits)
			d /= n
			se := math.Sqrt((d2/n - d*d) / (n - 1))
			t.Logf("%-4s %-16s %10.6f %10.6f %+11.6f %10.6f %+6.2f", config, m, a/n, b/n, d, se, d/se)
			if !(math.Abs(d) <= 3*se) {
				t.Errorf("%s %s: the mean difference %+.6f is more than 3 standard errors of %.6f", config, m, d, se)
			}
		}
	}
}

// cell trains one split with one experiment and returns the measures.
func cell(ctx context.Context, t testing.TB, e *tensor.Engine, split [3]Data, c Config, seed uint64) (map[string]float64, error) {
	m := map[string]float64{}
	c.Seed = seed
	n := wineNetwork(t, seed)
	v := nn.NewEvaluator(n, e, 0)
	r, err := Network(ctx, n, e, split[0], split[1], c, Options{Observe: func(epoch int, n *nn.Network) {
		switch epoch {
		case 10, 50, 100:
			m[fmt.Sprintf("trl%d", epoch)], _ = v.Loss(split[0].X, split[0].Y, c.Loss)
		}
		if epoch == c.Epochs {
			loss, correct := v.Loss(split[2].X, split[2].Y, c.Loss)
			m["test_loss_final"], m["test_acc_final"] = loss, float64(correct)/float64(len(split[2].Y))
		}
	}})
	if err != nil {
		return nil, err
	}
	m["val_loss_final"] = r.History[len(r.History)-1].ValLoss
	return m, nil
}

// BenchmarkWine trains the three experiments of the wine example, 450 epochs.
func BenchmarkWine(b *testing.B) {
	lines := readCSV(b, "wine.csv")
	text, err := os.ReadFile("testdata/splits200.txt")
	if err != nil {
		b.Fatal(err)
	}
	split := wine(b, lines, strings.Fields(string(text))[0])
	for _, kernel := range []string{"avx512", "avx2", "neon", "portable"} {
		b.Run(kernel, func(b *testing.B) {
			e, err := tensor.NewEngine(kernel, 1)
			if err != nil {
				b.Skip(err)
			}
			defer e.Close()
			b.ReportAllocs()
			for range b.N {
				for _, c := range wineConfigs() {
					if _, err := Network(context.Background(), wineNetwork(b, 1), e, split[0], split[1], c, Options{}); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
