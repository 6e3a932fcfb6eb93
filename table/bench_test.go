package table

import (
	"bytes"
	"context"
	"encoding/csv"
	"io"
	"strconv"
	"testing"
)

// numericCSV is a table of rows × cols numbers with all their digits.
func numericCSV(rows, cols int) []byte {
	var b bytes.Buffer
	for j := range cols {
		if j > 0 {
			b.WriteByte(',')
		}
		b.WriteString("c" + strconv.Itoa(j))
	}
	b.WriteByte('\n')
	state := uint64(1)
	var num []byte
	for range rows {
		for j := range cols {
			if j > 0 {
				b.WriteByte(',')
			}
			state = state*6364136223846793005 + 1442695040888963407
			num = strconv.AppendFloat(num[:0], float64(state>>11)*0x1p-53, 'g', -1, 64)
			b.Write(num)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

const benchRows, benchCols = 500_000, 15

// BenchmarkCSV reads and types 500,000 × 15 numbers; compare BenchmarkEncodingCSV.
func BenchmarkCSV(b *testing.B) {
	data := numericCSV(benchRows, benchCols)
	for _, workers := range []int{1, 2} {
		b.Run(strconv.Itoa(workers), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				t, err := ReadCSV(context.Background(), "bench", bytes.NewReader(data), Options{Workers: workers})
				if err != nil || t.Len() != benchRows {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncodingCSV reads the fields of the same bytes with encoding/csv and types nothing.
func BenchmarkEncodingCSV(b *testing.B) {
	data := numericCSV(benchRows, benchCols)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		r := csv.NewReader(bytes.NewReader(data))
		r.ReuseRecord = true
		rows := 0
		for {
			_, err := r.Read()
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			rows++
		}
		if rows != benchRows+1 {
			b.Fatal(rows)
		}
	}
}

func BenchmarkJSONL(b *testing.B) {
	line := []byte(`{"age": 41.5, "height": 1.8234567, "name": "someone", "ok": true, "when": "2024-02-29"}` + "\n")
	data := bytes.Repeat(line, 200_000)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := ReadJSONL(context.Background(), "bench", bytes.NewReader(data), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func benchTable(b *testing.B) *Table {
	t, err := ReadCSV(context.Background(), "bench", bytes.NewReader(numericCSV(benchRows, benchCols)), Options{})
	if err != nil {
		b.Fatal(err)
	}
	return t
}

func BenchmarkWriteParquet(b *testing.B) {
	t := benchTable(b)
	b.SetBytes(benchRows * benchCols * 8)
	for b.Loop() {
		if err := WriteParquet(io.Discard, t); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadParquet(b *testing.B) {
	var file bytes.Buffer
	if err := WriteParquet(&file, benchTable(b)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(benchRows * benchCols * 8)
	for b.Loop() {
		if _, err := ReadParquet(context.Background(), "bench", bytes.NewReader(file.Bytes()), int64(file.Len()), Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
