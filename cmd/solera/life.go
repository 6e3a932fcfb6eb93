package main

import (
	"context"
	"sync"

	"github.com/solera-ml/solera/host"
	"github.com/solera-ml/solera/tracking"
)

// watch has the runs of a tracker record what they run on: the machine, the
// command line, the source tree around the working folder, and the load. It is
// found out once, when the first run starts, beside its work.
func (a *app) watch(ctx context.Context, t *tracking.Tracker) {
	ctx = context.WithoutCancel(ctx)
	dir := firstOf(a.dir, ".")
	look := sync.OnceValue(func() tracking.Environment {
		d := host.Describe(ctx, a.argv, dir)
		if a.kernel != "" {
			d.Fields["kernel"] = a.kernel
		}
		env := tracking.Environment{Fields: d.Fields}
		if d.Diff != nil {
			env.Files = map[string][]byte{"diff.patch": d.Diff}
		}
		return env
	})
	t.Environment = func(context.Context) tracking.Environment { return look() }
	t.Sampler = host.NewSampler
}
