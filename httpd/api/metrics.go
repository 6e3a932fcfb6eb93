package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

// MetricsRequest asks what runs recorded.
type MetricsRequest struct {
	Runs []string `json:"runs" maxItems:"1000" doc:"IDs of runs; those that there are not are passed over"`
}

// A Metric is a name under which runs recorded points.
type Metric struct {
	Key  string `json:"key"`
	Runs int    `json:"runs"` // of those asked for that recorded it
}

func (s *service) metricRoutes() {
	add(s, route{method: http.MethodPost, path: "/metrics", id: "list-metrics", summary: "What metrics runs recorded", tag: "runs", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InWorkspace
			Body MetricsRequest
		},
		) (*answer[[]Metric], error) {
			return answered(metricsOf(ctx, t, in.Body.Runs))
		})
}

// metricsOf counts the metrics of runs, by name. A chart may ask for a run that
// somebody deletes at that moment; it shall show the others.
func metricsOf(ctx context.Context, t *tracking.Tracker, runs []string) ([]Metric, error) {
	counts := map[string]int{}
	asked := slices.Clone(runs)
	slices.Sort(asked)
	for _, id := range slices.Compact(asked) {
		recorder, err := recorderOf(ctx, t, id)
		if errors.Is(err, solera.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		keys, err := t.Store.Keys(ctx, recorder)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			counts[key]++
		}
	}
	metrics := make([]Metric, 0, len(counts))
	for key, n := range counts {
		metrics = append(metrics, Metric{key, n})
	}
	slices.SortFunc(metrics, func(a, b Metric) int { return cmp.Compare(a.Key, b.Key) })
	return metrics, nil
}
