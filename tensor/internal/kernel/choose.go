package kernel

import (
	"fmt"
	"strings"
)

// Choose returns the named kernel set, or the fastest one of this CPU for "". It
// fails if the CPU, or this build for it, lacks the set.
func Choose(name string) (Set, error) {
	sets := append(native(), Portable())
	if name == "" {
		return sets[0], nil
	}
	var have []string
	for _, s := range sets {
		if s.Name == name {
			return s, nil
		}
		have = append(have, s.Name)
	}
	return Set{}, fmt.Errorf("kernel %q: this CPU has %s", name, strings.Join(have, ", "))
}

// Sets returns every kernel set that this CPU can run, fastest first.
func Sets() []Set { return append(native(), Portable()) }
