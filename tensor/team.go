package tensor

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/solera-ml/solera/tensor/internal/kernel"
)

// A team is a fixed set of goroutines that share the units of one job at a time
// with the goroutine that posts it.
//
// The ticket holds the number of units of the current job in its high half and
// the next unit to do in its low half; who moves it forward owns that unit. The
// poster waits until all units are done, not until all members have come: on a
// busy machine a member that sleeps costs nothing. A member that arrives late
// finds an exhausted ticket, or a newer job, which it may as well work on,
// because the job is written before the ticket and read after it was moved.
type team struct {
	ticket atomic.Uint64
	_      [56]byte // the counters are hot on all cores: one cache line each
	done   atomic.Int64
	_      [56]byte
	asleep atomic.Int32
	closed atomic.Bool
	fault  atomic.Pointer[string] // the panic of a member
	job    func(e *Engine, w *worker, unit int)
	wake   chan struct{}
	ended  sync.WaitGroup
}

// A worker is the private memory of one goroutine of the team.
type worker struct {
	columns kernel.Columns
	flat    kernel.Flat
	gemm    kernel.Gemm
	trans   kernel.Transpose
	pack    []float32
	_       [64]byte
}

// spinFor is how long a member waits awake. Waking a sleeper costs the system's
// scheduler some 50 µs and may put it on the poster's own core: with a tenth of a
// millisecond here, members slept through the plain Go code between two
// operations, and two cores did the work of 1.5. A millisecond of one idle core
// at the end of a training is not noticed.
const spinFor = 2 * time.Millisecond

// A spin counts waiting.
type spin struct {
	turns int
	since time.Time
}

// long waits a moment, and reports whether this has gone on for longer than limit.
func (s *spin) long(limit time.Duration) bool {
	kernel.Pause()
	// The clock is read now and then only: a pause takes 1 to 100 ns, as the CPU
	// likes.
	if s.turns++; s.turns%64 != 0 {
		return false
	}
	if s.turns == 64 {
		s.since = time.Now()
		return false
	}
	return time.Since(s.since) > limit
}

// start adds the members: workers-1, because the poster works too.
func (e *Engine) start() {
	e.team.wake = make(chan struct{}, len(e.worker))
	for i := 1; i < len(e.worker); i++ {
		e.team.ended.Go(func() { e.member(&e.worker[i]) })
	}
}

// claim takes the next unit of the current job.
func (t *team) claim() (unit int, ok bool) {
	for {
		v := t.ticket.Load()
		if uint32(v) >= uint32(v>>32) {
			return 0, false
		}
		if t.ticket.CompareAndSwap(v, v+1) {
			return int(uint32(v)), true
		}
	}
}

// member works on units until the engine is closed, or a unit panics: the poster
// then panics in its place, on a goroutine whose callers can recover.
func (e *Engine) member(w *worker) {
	t := &e.team
	defer func() {
		if r := recover(); r != nil {
			fault := fmt.Sprintf("%v\n\non a worker of the engine:\n%s", r, debug.Stack())
			t.fault.Store(&fault)
			t.done.Add(1) // after fault, which the poster reads when all are done
		}
	}()
	var idle spin
	for !t.closed.Load() {
		if unit, ok := t.claim(); ok {
			t.job(e, w, unit)
			t.done.Add(1)
			idle = spin{}
			continue
		}
		if !idle.long(spinFor) {
			continue
		}
		// Announce the sleep, then look again: run stores the ticket before it
		// reads asleep, so that one of the two sees the other.
		t.asleep.Add(1)
		if v := t.ticket.Load(); uint32(v) >= uint32(v>>32) && !t.closed.Load() {
			<-t.wake
		}
		t.asleep.Add(-1)
		idle = spin{}
	}
}

// run does units 0..units-1 of job on all workers and returns when all are done.
// It panics if one of them does; the engine can then only be closed.
func (e *Engine) run(units int, job func(e *Engine, w *worker, unit int)) {
	if len(e.worker) == 1 || units <= 1 {
		for u := range units {
			job(e, &e.worker[0], u)
		}
		return
	}
	t := &e.team
	t.job = job
	t.done.Store(0)
	t.ticket.Store(uint64(units) << 32)
	for n := t.asleep.Load(); n > 0; n-- {
		select {
		case t.wake <- struct{}{}:
		default: // enough wake-ups are under way
		}
	}
	for {
		unit, ok := t.claim()
		if !ok {
			break
		}
		job(e, &e.worker[0], unit)
		t.done.Add(1)
	}
	var wait spin
	for t.done.Load() != int64(units) {
		if wait.long(spinFor / 10) {
			// The owner of the last unit lost its CPU to another process: let the
			// system run it on this one.
			time.Sleep(20 * time.Microsecond)
		}
	}
	if fault := t.fault.Load(); fault != nil {
		panic(*fault)
	}
}

// stop ends the members and waits for them.
func (t *team) stop() {
	t.closed.Store(true)
	close(t.wake)
	t.ended.Wait()
}
