// Package live is a doorbell. It wakes those who wait for news of a topic and
// carries none itself: what happened is in the store, with numbers that show
// what a reader has not seen. It knows the writes of this process alone, so
// readers look now and then without a ring too.
package live

import (
	"context"
	"sync"

	"github.com/solera-ml/solera"
)

// RunTopic is rung when points, lines or the record of a run are written.
func RunTopic(id solera.RunID) string { return string(id) }

// ProjectTopic is rung when a run of a project is created, changed or removed.
func ProjectTopic(project string) string { return "project/" + project }

// A Bell has listeners by topic. The zero Bell works. It is safe for many
// goroutines.
type Bell struct {
	mu     sync.Mutex
	topics map[string]map[*Listener]struct{}
}

// A Listener waits for rings. Close it.
type Listener struct {
	// C has one value when a topic was rung since the last receive, however
	// often.
	C <-chan struct{}

	c      chan struct{}
	bell   *Bell
	topics []string
}

// Listen returns a listener for topics. It hears what is rung from now on, so a
// reader listens first and reads the store then.
func (b *Bell) Listen(topics ...string) *Listener {
	l := &Listener{c: make(chan struct{}, 1), bell: b, topics: topics}
	l.C = l.c
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics == nil {
		b.topics = make(map[string]map[*Listener]struct{})
	}
	for _, topic := range topics {
		if b.topics[topic] == nil {
			b.topics[topic] = make(map[*Listener]struct{})
		}
		b.topics[topic][l] = struct{}{}
	}
	return l
}

// Close ends the listening. C stays open.
func (l *Listener) Close() {
	l.bell.mu.Lock()
	defer l.bell.mu.Unlock()
	for _, topic := range l.topics {
		delete(l.bell.topics[topic], l)
		if len(l.bell.topics[topic]) == 0 {
			delete(l.bell.topics, topic)
		}
	}
}

// Ring wakes the listeners of the topics. It never waits.
func (b *Bell) Ring(topics ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, topic := range topics {
		for l := range b.topics[topic] {
			select {
			case l.c <- struct{}{}:
			default: // it has not answered the last ring yet
			}
		}
	}
}

// Store returns s with a bell on its door: what is written through it rings,
// once it is committed.
func (b *Bell) Store(s solera.Store) solera.Store { return &store{s, b} }

type store struct {
	solera.Store
	bell *Bell
}

func (s *store) Append(ctx context.Context, run solera.RunID, points []solera.Point) (int64, error) {
	last, err := s.Store.Append(ctx, run, points)
	if err == nil {
		s.bell.Ring(RunTopic(run))
	}
	return last, err
}

func (s *store) Print(ctx context.Context, run solera.RunID, lines []solera.Line) error {
	err := s.Store.Print(ctx, run, lines)
	if err == nil {
		s.bell.Ring(RunTopic(run))
	}
	return err
}

func (s *store) Report(ctx context.Context, b solera.Batch) (int64, error) {
	last, err := s.Store.Report(ctx, b)
	if err == nil {
		s.bell.Ring(RunTopic(b.Run))
	}
	return last, err
}

func (s *store) Update(ctx context.Context, fn func(solera.Tx) error) error {
	var topics []string
	err := s.Store.Update(ctx, func(t solera.Tx) error {
		topics = nil
		return fn(&tx{t, &topics})
	})
	if err == nil {
		s.bell.Ring(topics...)
	}
	return err
}

// A tx notes whose bells to ring.
type tx struct {
	solera.Tx
	topics *[]string
}

func (t *tx) CreateRun(r solera.Run) error {
	*t.topics = append(*t.topics, RunTopic(r.ID), ProjectTopic(r.Project))
	return t.Tx.CreateRun(r)
}

func (t *tx) UpdateRun(r solera.Run) error {
	t.run(r.ID)
	return t.Tx.UpdateRun(r)
}

func (t *tx) RemoveRun(id solera.RunID) error {
	t.run(id)
	return t.Tx.RemoveRun(id)
}

func (t *tx) Rewind(id solera.RunID, keep func(key string, step int64, at solera.Micros) bool) error {
	t.run(id)
	return t.Tx.Rewind(id, keep)
}

// run notes a run and its project, which a caller of UpdateRun need not know.
func (t *tx) run(id solera.RunID) {
	*t.topics = append(*t.topics, RunTopic(id))
	if r, err := t.Tx.Run(id); err == nil { // else the change fails too
		*t.topics = append(*t.topics, ProjectTopic(r.Project))
	}
}
