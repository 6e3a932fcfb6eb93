//go:build !unix || solaris || aix

package blob

import (
	"os"
	"time"
)

func lock(*os.File) {}

// abandoned goes by age where there are no locks that a kill releases.
func abandoned(_ *os.File, age time.Duration) bool { return age > 24*time.Hour }

// syncDir does nothing: these systems journal names with the rename.
func syncDir(string) error { return nil }
