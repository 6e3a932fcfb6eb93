package store_test

import (
	"fmt"
	"testing"

	"github.com/solera-ml/solera"
)

func TestLastIsTheNumberOfTheLastPoint(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) {
		for _, n := range []int{0, 1, 700} {
			run := solera.RunID(fmt.Sprint("r", n))
			createRun(t, s, solera.Run{ID: run})
			points := make([]solera.Point, n)
			for i := range points {
				points[i] = solera.Point{Key: fmt.Sprint("k", i%3), Step: int64(i), Value: 1, Time: 1}
			}
			if n > 0 {
				if _, err := s.Append(ctx, run, points); err != nil {
					t.Fatal(err)
				}
			}
			if last, err := s.Last(ctx, run); err != nil || last != int64(n) {
				t.Errorf("of %d points the last has the number %d, %v", n, last, err)
			}
		}
	})
}
