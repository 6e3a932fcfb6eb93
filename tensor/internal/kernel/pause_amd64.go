package kernel

// Pause tells the CPU that the caller spins: some 30 instructions' worth.
func Pause()
