package main

import (
	"context"
	"sync"
	"time"

	"github.com/solera-ml/solera/host"
	"github.com/solera-ml/solera/tracking"
)

// watch has the runs of a tracker record what they run on: the machine, the
// command line, the source tree around the working folder, and the load. It is
// found out once, when the first run starts, beside its work.
func (a *app) watch(ctx context.Context, t *tracking.Tracker) error {
	if err := a.silence(t); err != nil {
		return err
	}
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
	return nil
}

// silence is what SOLERA_SILENCE says: how long a run must say nothing to be
// taken for dead, be its process here or elsewhere.
func (a *app) silence(t *tracking.Tracker) error {
	s := a.env("SOLERA_SILENCE")
	if s == "" {
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 100*time.Millisecond {
		return usage("SOLERA_SILENCE=%s: want a time such as 60s, of 100ms or more", s)
	}
	// Who sets it for all processes gets enough signs of life from each.
	t.Silence, t.RemoteSilence, t.BeatEvery = d, d, min(5*time.Second, d/8)
	return nil
}
