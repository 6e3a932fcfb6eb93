package api

import (
	"context"
	"time"

	"github.com/solera-ml/solera/tracking"
)

// columnsOf is the list of fields of a project's runs as it was found last. To
// find it, every value of every run is looked at; of many runs that takes
// long, and everybody who opens their table asks.
type columnsOf struct {
	turn chan struct{} // holds one thing while somebody looks
	list []Column
	made time.Time
	took time.Duration
}

// columns lists the fields of runs. An answer that took long is given again for
// four times as long, so that looking takes a fifth of one core at most, and
// those who ask meanwhile wait for the one who looks. Of a store that answers at
// once the list is as good as new.
func (s *service) columns(ctx context.Context, t *tracking.Tracker, project string) ([]Column, error) {
	c, err := s.fields.get(within[string]{t.Store, project}, func() (*columnsOf, error) {
		return &columnsOf{turn: make(chan struct{}, 1)}, nil
	})
	if err != nil {
		return nil, err
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c.list != nil && time.Since(c.made) < 4*c.took {
		return c.list, nil
	}
	start := time.Now()
	found, err := t.Columns(ctx, project)
	if err != nil {
		return nil, err
	}
	columns := make([]Column, 0, len(found))
	for _, x := range found {
		columns = append(columns, Column{x.Name, x.Kind, x.Runs, list(x.Some)})
	}
	c.list, c.made, c.took = columns, time.Now(), time.Since(start)
	return columns, nil
}
