package transform

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/solera-ml/solera/numeric"
	"github.com/solera-ml/solera/table"
)

// tall is a table of n rows: numeric columns and one of 1,000 levels.
func tall(n, columns int) *table.Table {
	t := &table.Table{RowNumbers: make([]int64, n)}
	s := numeric.NewStream(1, "benchmark")
	for j := range columns {
		c := numbers(fmt.Sprint("x", j), make([]float64, n)...)
		for i := range c.Numbers {
			c.Numbers[i] = s.Float64() * 100
		}
		t.Columns = append(t.Columns, c)
	}
	c := &table.Column{Name: "city", Kind: table.Category}
	for k := range 1000 {
		c.Levels = append(c.Levels, fmt.Sprintf("city %03d", k))
	}
	for range n {
		c.Codes = append(c.Codes, int32(s.IntN(1000)))
	}
	t.Columns = append(t.Columns, c)
	return t
}

func BenchmarkFit(b *testing.B) {
	t := tall(1_000_000, 10)
	for _, name := range []string{"standardize", "robust", "quantile", "power"} {
		b.Run(name, func(b *testing.B) {
			p := Default(t, "city")
			for j := range p.Columns {
				p.Columns[j].Steps = []Step{{Name: "impute"}, {Name: name}}
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Fit(t, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	t := tall(1_000_000, 10)
	f, err := Default(t).Fit(t, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		x, err := f.Apply(t, nil)
		if err != nil {
			b.Fatal(err)
		}
		runtime.KeepAlive(x)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6/float64(f.Inputs()), "ns/value")
}
