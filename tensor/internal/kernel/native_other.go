//go:build !amd64 && !arm64

package kernel

// native returns the vector kernel sets of this CPU, fastest first.
func native() []Set { return nil }
