//go:build unix && !solaris && !aix

package blob

import (
	"os"
	"syscall"
	"time"
)

// lock marks f as being written. A file system without locks is no reason to
// fail: sweep then finds the file unlocked, but only after its grace.
func lock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// abandoned reports whether nobody holds the lock of f.
func abandoned(f *os.File, _ time.Duration) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// syncDir makes the names in a folder survive a loss of power.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
