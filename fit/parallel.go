package fit

import (
	"context"
	"sync"
	"sync/atomic"
)

// Parallel calls fn for 0 to n-1, in this order of starting, at most workers at
// a time, and waits for all. After the first error the context that fn was given
// is done and nothing new starts. The error returned is that of the lowest index
// that failed on its own account, and ctx's if that ended first.
func Parallel(ctx context.Context, n, workers int, fn func(ctx context.Context, i int) error) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		next   atomic.Int64
		wait   sync.WaitGroup
		failed = make([]error, n)
	)
	for range min(max(1, workers), n) {
		wait.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || inner.Err() != nil {
					return
				}
				if err := fn(inner, i); err != nil {
					// One that failed because another did is not the cause.
					if inner.Err() == nil || ctx.Err() != nil {
						failed[i] = err
					}
					cancel()
				}
			}
		})
	}
	wait.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}
