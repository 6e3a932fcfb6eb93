package api_test

import (
	"testing"

	"github.com/solera-ml/solera/httpd/api"
)

func TestMetricsOfRunsAreCountedByName(t *testing.T) {
	h := newHouse(t)
	runs := h.fill()
	got := ask[[]api.Metric](h, "POST", ws+"/metrics", api.MetricsRequest{Runs: []string{string(runs[1]), string(runs[2]), string(runs[2]), "20200101-000000-absent", "../x"}})
	found := map[string]int{}
	for _, m := range got {
		found[m.Key] = m.Runs
	}
	if found["val/loss"] != 2 {
		t.Errorf("got %+v, want val/loss of 2 runs", got)
	}
	if none := ask[[]api.Metric](h, "POST", ws+"/metrics", api.MetricsRequest{Runs: []string{}}); len(none) != 0 {
		t.Errorf("of no run: %+v", none)
	}
}
