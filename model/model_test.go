package model

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tensor"
	"github.com/solera-ml/solera/transform"
)

// flowers is a table of every kind of column, with missing values.
func flowers(rows int) *table.Table {
	t := &table.Table{}
	size := &table.Column{Name: "size", Kind: table.Number}
	colour := &table.Column{Name: "colour", Kind: table.Category, Levels: []string{"blue", "red", "white"}}
	wild := &table.Column{Name: "wild", Kind: table.Boolean}
	seen := &table.Column{Name: "seen", Kind: table.Date}
	same := &table.Column{Name: "same", Kind: table.Number}
	class := &table.Column{Name: "class", Kind: table.Category, Levels: []string{"iris", "lily"}}
	for i := range rows {
		t.RowNumbers = append(t.RowNumbers, int64(100+i))
		v := float64(i*7%13) / 2
		if i%5 == 3 {
			v = math.NaN()
		}
		size.Numbers = append(size.Numbers, v)
		colour.Codes = append(colour.Codes, int32(i%4)-1)
		wild.Numbers = append(wild.Numbers, float64(i%2))
		seen.Numbers = append(seen.Numbers, 1.7e9+float64(i)*86400)
		same.Numbers = append(same.Numbers, 3)
		class.Codes = append(class.Codes, int32(i/2%2))
	}
	t.Columns = []*table.Column{size, colour, wild, seen, same, class}
	return t
}

func trained(t testing.TB) *Model {
	t.Helper()
	tab := flowers(40)
	f, err := transform.Default(tab, "class").Fit(tab, nil)
	if err != nil {
		t.Fatal(err)
	}
	labels, err := transform.FitLabels(tab, "class", nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := nn.New(nn.MLP{Inputs: f.Inputs(), Outputs: 2, Hidden: []int{5}, BatchNorm: true}.Spec(), 3)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(labels, f, n, 42, map[string]any{"val": map[string]any{"n": 18, "accuracy": 0.5}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// folder returns the bundle as a file system that a test may change.
func folder(t testing.TB, m *Model) fstest.MapFS {
	t.Helper()
	files, err := m.Files()
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	for name, b := range files {
		fsys[name] = &fstest.MapFile{Data: b}
	}
	return fsys
}

func TestBundleReadsBackAsTheSameBytesAndPredictions(t *testing.T) {
	m := trained(t)
	fsys := folder(t, m)
	fsys["report.json"] = &fstest.MapFile{Data: []byte("ignored")}
	back, err := Open(fsys)
	if err != nil {
		t.Fatal(err)
	}
	again := folder(t, back)
	for name, f := range again {
		if !bytes.Equal(f.Data, fsys[name].Data) {
			t.Errorf("%s reads back as\n%s\nwant\n%s", name, f.Data, fsys[name].Data)
		}
	}
	tab := flowers(60)
	want, err := m.Predict(context.Background(), tab)
	if err != nil {
		t.Fatal(err)
	}
	got, err := back.Predict(context.Background(), tab)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if got[i].Row != int64(100+i) || got[i].Class != want[i].Class || !slices.Equal(got[i].Probabilities, want[i].Probabilities) {
			t.Fatalf("row %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestPredictionDoesNotDependOnChunksOrExtraColumns(t *testing.T) {
	m := trained(t)
	tab := flowers(50)
	want, err := m.Predict(context.Background(), tab)
	if err != nil {
		t.Fatal(err)
	}
	e, err := tensor.NewEngine("portable", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := NewPredictor(m, e)
	for i := range want {
		one := tab.Select([]int{i}).Without("class", "same") // the dropped column is not needed
		got, err := p.Predict(context.Background(), one)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got[0].Probabilities, want[i].Probabilities) || got[0].Row != want[i].Row {
			t.Errorf("row %d alone: %v, want %v", i, got[0].Probabilities, want[i].Probabilities)
		}
	}
	none, err := p.Predict(context.Background(), tab.Select(nil))
	if err != nil || len(none) != 0 {
		t.Errorf("no rows give %d predictions (%v)", len(none), err)
	}
}

func TestTiesGoToTheFirstClass(t *testing.T) {
	for _, tt := range []struct {
		p    []float32
		want int
	}{
		{[]float32{0.4, 0.4, 0.2}, 0},
		{[]float32{0.2, 0.4, 0.4}, 1},
		{[]float32{0.5}, 0},
		{[]float32{0.9, float32(math.NaN())}, 1},
	} {
		if got := Best(tt.p); got != tt.want {
			t.Errorf("Best(%v) = %d, want %d", tt.p, got, tt.want)
		}
	}
}

func TestPredictionIsWrittenInClassOrder(t *testing.T) {
	p := Prediction{Row: 7, Class: "b", Index: 1, Probabilities: []float32{0.25, 0.75}, Classes: []string{"z\"", "b"}}
	got, err := json.Marshal(p)
	if want := `{"row":7,"class":"b","probabilities":{"z\"":0.25,"b":0.75}}`; err != nil || string(got) != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
}

func TestPredictRefusesTablesThatDoNotFit(t *testing.T) {
	m := trained(t)
	tests := []struct {
		name, want string
		change     func(*table.Table)
	}{
		{"a column is absent", `column "size": no such column in the table: did you mean sizes?`, func(t *table.Table) { t.Columns[0].Name = "sizes" }},
		{"text where numbers were", `column "size": row 101: the value "big"`, func(t *table.Table) {
			t.Columns[0] = &table.Column{Name: "size", Kind: table.Category, Levels: []string{"1", "big"}, Codes: []int32{0, 1, 0}}
		}},
		{"an infinite value", `column "size": row 102: the value is +Inf`, func(t *table.Table) { t.Columns[0].Numbers[2] = math.Inf(1) }},
		{"a number that overflows", `float32 cannot hold`, func(t *table.Table) { t.Columns[0].Numbers[2] = 1e300 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab := flowers(3)
			tt.change(tab)
			_, err := m.Predict(context.Background(), tab)
			var input *solera.InputError
			if !errors.As(err, &input) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an input error with %q", err, tt.want)
			}
		})
	}
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := m.Predict(stopped, flowers(3)); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: got %v", err)
	}
}

func TestOpenRefusesWhatDoesNotFitTogether(t *testing.T) {
	replace := func(file, old, new string) func(fstest.MapFS) {
		return func(fsys fstest.MapFS) {
			b := bytes.Replace(fsys[file].Data, []byte(old), []byte(new), 1)
			if bytes.Equal(b, fsys[file].Data) {
				panic("nothing to replace: " + old)
			}
			fsys[file] = &fstest.MapFile{Data: b}
		}
	}
	tests := []struct {
		name   string
		change func(fstest.MapFS)
	}{
		{"a newer version", replace(ModelFile, `"version": 1`, `"version": 2`)},
		{"an unknown key", replace(ModelFile, `"seed"`, `"sead"`)},
		{"text behind the object", replace(ModelFile, "}\n}\n", "}\n} x\n")},
		{"a class too many", replace(ModelFile, `"iris"`, `"iris", "rose"`)},
		{"a class twice", replace(ModelFile, `"iris"`, `"lily"`)},
		{"a feature of another name", replace(ModelFile, `"name": "size"`, `"name": "sise"`)},
		{"a feature of another kind", replace(ModelFile, `"kind": "number"`, `"kind": "date"`)},
		{"a transform with another name", replace(TransformFile, `"size"`, `"sise"`)},
		{"an empty transform", func(fsys fstest.MapFS) { fsys[TransformFile] = &fstest.MapFile{} }},
		{"a network that is too large for its weights", replace(NetworkFile, `"units": 5`, `"units": 100000`)},
		{"a network of other inputs", replace(NetworkFile, `"inputs": `, `"inputs": 1`)},
		{"weights cut short", func(fsys fstest.MapFS) {
			fsys[WeightsFile].Data = fsys[WeightsFile].Data[:len(fsys[WeightsFile].Data)-4]
		}},
		{"a weight that is no number", func(fsys fstest.MapFS) {
			b := fsys[WeightsFile].Data
			copy(b[len(b)-4:], []byte{0, 0, 0xc0, 0x7f})
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := folder(t, trained(t))
			tt.change(fsys)
			if _, err := Open(fsys); !errors.Is(err, solera.ErrCorrupt) {
				t.Errorf("got %v, want an error that is ErrCorrupt", err)
			}
		})
	}
	for _, name := range []string{ModelFile, TransformFile, NetworkFile, WeightsFile} {
		fsys := folder(t, trained(t))
		delete(fsys, name)
		if _, err := Open(fsys); !errors.Is(err, solera.ErrNotFound) || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: got %v, want ErrNotFound that names it", name, err)
		}
	}
}

func TestNewRefusesPartsThatDoNotFit(t *testing.T) {
	m := trained(t)
	wide, err := nn.New(nn.MLP{Inputs: m.Fitted.Inputs() + 1, Outputs: 2}.Spec(), 1)
	if err != nil {
		t.Fatal(err)
	}
	three, err := nn.New(nn.MLP{Inputs: m.Fitted.Inputs(), Outputs: 3}.Spec(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]*nn.Network{"one input too many": wide, "one class too many": three} {
		if _, err := New(m.Labels, m.Fitted, n, 1, nil); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
	if _, err := New(m.Labels, m.Fitted, m.Network, 1, math.NaN()); err == nil {
		t.Error("metrics that JSON cannot write: no error")
	}
}

func FuzzOpen(f *testing.F) {
	files, err := trained(f).Files()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(files[ModelFile], files[TransformFile], files[NetworkFile], files[WeightsFile])
	f.Add([]byte("{}"), []byte(`{"version":1}`), []byte("[]"), []byte{0, 0, 0, 0, 0, 0, 0, 0})
	tab := flowers(6)
	f.Fuzz(func(t *testing.T, m, tr, n, w []byte) {
		fsys := fstest.MapFS{ModelFile: {Data: m}, TransformFile: {Data: tr}, NetworkFile: {Data: n}, WeightsFile: {Data: w}}
		opened, err := Open(fsys)
		if err != nil {
			return
		}
		if _, err := opened.Files(); err != nil {
			t.Errorf("a bundle that opens cannot be written: %v", err)
		}
		_, _ = opened.Predict(context.Background(), tab) // any error, no panic
	})
}
