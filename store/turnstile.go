package store

import "context"

// A turnstile lets one writer at a time into a SQLite file, in fair turn
// among the processes of a machine. SQLite alone would have them poll with
// growing pauses, and a busy process could keep another out for minutes.
//
// There are two locks, each a file that a kill releases. A writer takes the
// queue, then the lock, then gives back the queue. So whoever has just left
// finds the next one already standing in the queue, and cannot overtake it.
//
// It is a courtesy, not what keeps the data whole: where files cannot be
// locked, writers go on to SQLite's own locks.
type turnstile struct {
	path string
	turn chan struct{} // of this process: holds one token
}

func newTurnstile(path string) *turnstile {
	t := &turnstile{path, make(chan struct{}, 1)}
	t.turn <- struct{}{}
	return t
}

// enter waits for the turn, or for the end of ctx. leave gives the turn back.
func (t *turnstile) enter(ctx context.Context) (leave func(), err error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-t.turn:
	}
	unqueue, err := lockFile(ctx, t.path+".queue")
	if err != nil {
		t.turn <- struct{}{}
		return nil, err
	}
	unlock, err := lockFile(ctx, t.path+".lock")
	unqueue()
	if err != nil {
		t.turn <- struct{}{}
		return nil, err
	}
	return func() {
		unlock()
		t.turn <- struct{}{}
	}, nil
}
