//go:build unix && !solaris && !aix

package store

import (
	"context"
	"errors"
	"os"
	"syscall"
)

// lockFile waits until this process alone holds the lock named by a file, and
// returns what releases it. A kill releases it too. The file stays: removing
// it would let two processes lock two files of one name. It fails only when
// ctx ends.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o666)
	if err != nil {
		return func() {}, nil // a folder that cannot be written: SQLite will say so
	}
	fd := int(f.Fd())
	if syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return func() { f.Close() }, nil
	}
	locked := make(chan struct{})
	go func() {
		defer close(locked)
		for errors.Is(syscall.Flock(fd, syscall.LOCK_EX), syscall.EINTR) {
		}
	}()
	select {
	case <-locked:
		return func() { f.Close() }, nil
	case <-ctx.Done():
		// The system call cannot be called off. When it ends, the lock goes on
		// to the next at once.
		go func() {
			<-locked
			f.Close()
		}()
		return nil, ctx.Err()
	}
}
