package nn_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/nn"
)

// file puts a length before a header and data after it.
func file(header, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func TestSafetensorsBytesAreCanonical(t *testing.T) {
	tensors := []nn.NamedTensor{
		{Name: "b", Shape: []int{2, 1}, Data: []float32{1, -2}},
		{Name: "a", Int64: []int64{7}},
		{Name: "c", Shape: []int{0}, Data: []float32{}},
	}
	var got bytes.Buffer
	if err := nn.WriteSafetensors(&got, tensors, map[string]string{"z": "1", "format": "pt"}); err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"format":"pt","z":"1"},` +
		`"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]},` +
		`"b":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]},` +
		`"c":{"dtype":"F32","shape":[0],"data_offsets":[16,16]}}`
	for len(header)%8 != 0 {
		header += " "
	}
	want := file(header, "\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x3f\x00\x00\x00\xc0")
	if d := cmp.Diff(want, got.Bytes()); d != "" {
		t.Error(d)
	}
	if tensors[0].Name != "b" {
		t.Error("the caller's slice was sorted")
	}
}

func TestSafetensorsRoundTripIsExact(t *testing.T) {
	big := make([]float32, 100_000)
	for i := range big {
		big[i] = math.Float32frombits(uint32(i) * 2654435761)
	}
	tensors := []nn.NamedTensor{
		{Name: "big", Shape: []int{1000, 100}, Data: big},
		{Name: "f64", Shape: []int{3}, Float64: []float64{math.Pi, math.Inf(-1), math.NaN()}},
		{Name: "i64", Shape: []int{2}, Int64: []int64{math.MinInt64, math.MaxInt64}},
		{Name: "odd \"name\"\n", Shape: []int{1, 1, 1}, Data: []float32{0}},
	}
	var b bytes.Buffer
	if err := nn.WriteSafetensors(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	got, meta, err := nn.ReadSafetensors(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	bits := cmp.Options{
		cmp.Comparer(func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }),
		cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }),
	}
	if d := cmp.Diff(tensors, got, bits); d != "" || meta != nil {
		t.Error(d, meta)
	}
}

func TestWriteSafetensorsRefusesWhatItCouldNotReadBack(t *testing.T) {
	for name, tensors := range map[string][]nn.NamedTensor{
		"wrong shape":  {{Name: "a", Shape: []int{3}, Data: []float32{1}}},
		"negative":     {{Name: "a", Shape: []int{-1, -1}, Data: []float32{1}}},
		"no name":      {{Data: []float32{1}}},
		"reserved":     {{Name: "__metadata__", Data: []float32{1}}},
		"twice":        {{Name: "a", Data: []float32{1}}, {Name: "a", Data: []float32{1}}},
		"huge product": {{Name: "a", Shape: []int{math.MaxInt, 2}, Data: []float32{1}}},
	} {
		if err := nn.WriteSafetensors(io.Discard, tensors, nil); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadSafetensorsRefusesBrokenFiles(t *testing.T) {
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "too short"},
		{"short", []byte("\x01\x00"), "too short"},
		{"huge header", binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "header of 18446744073709551615 bytes"},
		{"header past the end", file("{}", "")[:9], "header of 2 bytes in a file of 9"},
		{"no object", file("[]", ""), "not a JSON object"},
		{"no JSON", file("{x", ""), "header:"},
		{"cut header", file(`{"a":{"dtype":"F32"`, ""), "header:"},
		{"text behind", file(`{} x`, ""), "text after"},
		{"unknown key", file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":1}}`, "1234"), "unknown field"},
		{"no shape", file(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, "1234"), "no shape"},
		{"no offsets", file(`{"a":{"dtype":"F32","shape":[0]}}`, ""), "bytes -1 to -1"},
		{"dtype", file(`{"a":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]}}`, "12345678"), "shape [4] of BF16"},
		{"unknown dtype", file(`{"a":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}}`, "12345678"), `type "U64"`},
		{"twice", file(`{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[],"data_offsets":[4,8]}}`, "12345678"), "twice"},
		{"overlap", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, "12345678"), "want it to start at 8"},
		{"gap", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, "12345678"), "want it to start at 0"},
		{"past the end", file(`{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}`, "12345678"), "bytes 0 to 16 of 8"},
		{"backwards", file(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,-8]}}`, ""), "bytes 0 to -8"},
		{"too few bytes", file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, "12345678"), "but 8 bytes"},
		{"shape overflows", file(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, ""), "but 0 bytes"},
		{"negative shape", file(`{"a":{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}}`, "12345678"), "but 8 bytes"},
		{"rest", file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "12345678"), "4 bytes after the last value"},
		{"metadata", file(`{"__metadata__":{"a":1}}`, ""), "cannot unmarshal number"},
	} {
		_, _, err := nn.ReadSafetensors(bytes.NewReader(c.file), 1<<20)
		if !errors.Is(err, solera.ErrCorrupt) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if _, _, err := nn.ReadSafetensors(bytes.NewReader(file("{}", "")), 9); err == nil || !strings.Contains(err.Error(), "more than 9 bytes") {
		t.Errorf("the limit does not hold: %v", err)
	}
	if ts, _, err := nn.ReadSafetensors(bytes.NewReader(file("{}", "")), 10); err != nil || len(ts) != 0 {
		t.Errorf("an empty file: %v, %v", ts, err)
	}
}

// FuzzReadSafetensors: whatever is accepted is written back to the same values.
func FuzzReadSafetensors(f *testing.F) {
	var b bytes.Buffer
	_ = nn.WriteSafetensors(&b, []nn.NamedTensor{{Name: "a", Shape: []int{2, 1}, Data: []float32{1, 2}}, {Name: "n", Int64: []int64{1}}}, map[string]string{"k": "v"})
	f.Add(b.Bytes())
	f.Add(file(`{"a":{"dtype":"F64","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, "1234"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ts, meta, err := nn.ReadSafetensors(bytes.NewReader(data), 1<<20)
		if err != nil {
			if !errors.Is(err, solera.ErrCorrupt) {
				t.Fatalf("the error is of no kind: %v", err)
			}
			return
		}
		var b bytes.Buffer
		if err := nn.WriteSafetensors(&b, ts, meta); err != nil {
			if len(ts) > 0 && ts[0].Name == "" {
				return // read but never written
			}
			t.Fatal(err)
		}
		back, _, err := nn.ReadSafetensors(&b, 1<<21)
		if err != nil {
			t.Fatal(err)
		}
		if len(back) != len(ts) {
			t.Fatalf("%d tensors, then %d", len(ts), len(back))
		}
		for i := range ts {
			if ts[i].Name != back[i].Name || len(ts[i].Data) != len(back[i].Data) || len(ts[i].Int64) != len(back[i].Int64) {
				t.Fatalf("%+v, then %+v", ts[i], back[i])
			}
		}
	})
}
