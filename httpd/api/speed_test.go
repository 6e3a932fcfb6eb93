package api_test

import (
	"context"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/httpd/api"
)

// BenchmarkSeries times a chart of 20 long series, from the question to the last
// byte of the answer.
func BenchmarkSeries(b *testing.B) {
	h := newHouse(b)
	run := h.fill()[1]
	var points []solera.Point
	for step := range 5_000 {
		points = append(points, solera.Point{Key: "long", Step: int64(step), Value: float64(step*7919%1000) / 997, Time: solera.Micros(1_700_000_000_000_000 + step)})
	}
	if _, err := h.tracker.Store.Append(context.Background(), run, points); err != nil {
		b.Fatal(err)
	}
	request := api.SeriesRequest{Pixels: 800}
	for range 20 {
		request.Series = append(request.Series, api.SeriesID{Run: string(run), Key: "long"})
	}
	for b.Loop() {
		if status, _, content := h.send("POST", ws+"/series", request); status != 200 {
			b.Fatalf("%d %s", status, content)
		}
	}
}

func BenchmarkRuns(b *testing.B) {
	h := newHouse(b)
	h.fill()
	for b.Loop() {
		if status, _, content := h.send("POST", ws+"/runs/query", api.RunsRequest{Project: "wine"}); status != 200 {
			b.Fatalf("%d %s", status, content)
		}
	}
}
