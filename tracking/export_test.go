package tracking

import "time"

// WithLease returns o with a lease of another length, so that a killed backup
// does not hold up a test.
func (o BackupOptions) WithLease(d time.Duration) BackupOptions {
	o.lease = d
	return o
}
