package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

const (
	mostSeries    = 2000
	pixelsUnsaid  = 1000
	seriesAtOnce  = 8
	mostPerAnswer = 2_000_000 // points of one answer: some 60 MB of JSON
)

func (s *service) seriesRoutes() {
	add(s, route{
		method: http.MethodPost, path: "/series", id: "read-series", summary: "Many metrics at once, thinned to what a chart can show",
		tag: "runs", role: auth.Viewer,
	},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InWorkspace
			Body SeriesRequest
		},
		) (*answer[SeriesList], error) {
			return answered(readSeries(ctx, t, in.Body))
		})
}

// readSeries reads series side by side, because each waits for the database.
func readSeries(ctx context.Context, t *tracking.Tracker, r SeriesRequest) (SeriesList, error) {
	if len(r.Series) > mostSeries {
		return nil, invalid("body.series", len(r.Series), "at most %d series at once", mostSeries)
	}
	pixels := r.Pixels
	if pixels == 0 {
		pixels = pixelsUnsaid
	}
	// Each has at most four points a pixel. A screenful of charts has room for
	// fewer pixels than that anyway.
	if n := len(r.Series); n > 0 {
		pixels = max(min(pixels, mostPerAnswer/4/n), 1)
	}
	steps, err := stepsOf(r)
	if err != nil {
		return nil, err
	}
	runs, err := recorders(ctx, t, r.Series)
	if err != nil {
		return nil, err
	}
	out := make(SeriesList, len(r.Series))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan int)
	var group sync.WaitGroup
	for range min(seriesAtOnce, len(r.Series)) {
		group.Go(func() {
			for i := range todo {
				id := r.Series[i]
				from := runs[id.Run]
				points, whole, err := thinned(ctx, t, from, solera.SeriesQuery{Run: from.recorder, Key: id.Key, Steps: steps, Pixels: pixels})
				if err != nil {
					cancel(err)
					continue
				}
				out[i] = seriesOf(id, points)
				out[i].Whole, out[i].Cursor = whole, from.last
			}
		})
	}
	for i := range r.Series {
		if ctx.Err() != nil {
			break
		}
		todo <- i
	}
	close(todo)
	group.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return out, nil
}

func stepsOf(r SeriesRequest) (*solera.StepRange, error) {
	if r.From == nil && r.To == nil {
		return nil, nil
	}
	steps := &solera.StepRange{From: -1 << 63, To: 1<<63 - 1}
	if r.From != nil {
		steps.From = *r.From
	}
	if r.To != nil {
		steps.To = *r.To
	}
	if steps.From > steps.To {
		return nil, invalid("body.to", steps.To, "the last step is before the first, %d", steps.From)
	}
	return steps, nil
}

// A recorded run is whose points are shown for a run, and the number of the
// last of them.
type recorded struct {
	recorder solera.RunID
	last     int64
}

// recorders looks the runs of series up, each once. The last points are noted
// before any series is read: a point written meanwhile may come twice, in the
// series and in the stream of events, but none is lost.
func recorders(ctx context.Context, t *tracking.Tracker, series []SeriesID) (map[string]recorded, error) {
	runs := map[string]recorded{}
	for i, id := range series {
		if _, ok := runs[id.Run]; ok {
			continue
		}
		recorder, err := recorderOf(ctx, t, id.Run)
		if err != nil {
			return nil, wrong(fmt.Sprintf("body.series[%d].run", i), id.Run, err)
		}
		last, err := t.Store.Last(ctx, recorder)
		if err != nil {
			return nil, err
		}
		runs[id.Run] = recorded{recorder, last}
	}
	return runs, nil
}

// thinned reads a series and tells whether nothing was thinned away. Where that
// cannot be told at the price of reading twice, it says no: then a chart asks
// again when somebody looks closer.
func thinned(ctx context.Context, t *tracking.Tracker, from recorded, q solera.SeriesQuery) (points []solera.Point, whole bool, err error) {
	points, err = t.Store.Series(ctx, q)
	switch {
	case err != nil:
		return nil, false, err
	case from.last <= int64(4*q.Pixels):
		return points, true, nil // all metrics together have no more
	case len(points) >= 2*q.Pixels:
		return points, false, nil
	}
	// Finer parts of a thinned series would show points that it lacks.
	q.Pixels *= 2
	finer, err := t.Store.Series(ctx, q)
	return points, len(finer) == len(points), err
}

func seriesOf(id SeriesID, points []solera.Point) Series {
	out := Series{
		Run: id.Run, Key: id.Key,
		Steps: make([]int64, len(points)), Values: make([]Number, len(points)), Times: make([]float64, len(points)),
	}
	for i, p := range points {
		out.Steps[i], out.Values[i], out.Times[i] = p.Step, Number(p.Value), float64(p.Time)/1e6
	}
	return out
}
