// Package host tells what a command runs on and in: the machine, the program,
// its command line, the source tree that it was started in, and how busy the
// machine is meanwhile. It knows operating systems and git, and refuses to know
// runs. Nothing secret leaves it: values of environment variables are not read,
// and arguments and URLs are cleaned of what looks like a password.
package host

import (
	"context"
	"runtime"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/solera-ml/solera"
)

// A Description is what a command runs on and in.
type Description struct {
	// Fields are "command" (list), "go", "os", "arch", "cpu", "cores",
	// "memory_bytes", and "git" if the folder is in a repository: see
	// solera.Run.Environment. What cannot be found out is left out.
	Fields solera.Fields
	// Diff is the difference between the tracked files of the source tree and
	// its last commit, nil if there is none. At most MaxDiff bytes, and a note
	// at the end of one that was longer.
	Diff []byte
}

// Describe looks around. args is the command line, dir the folder that it works
// in. It takes some ten milliseconds, and as long as git takes for the
// repository around dir, but at most gitTimeout.
func Describe(ctx context.Context, args []string, dir string) Description {
	d := Description{Fields: solera.Fields{
		"command": RedactArgs(args), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "cores": runtime.NumCPU(),
	}}
	if info, err := cpu.InfoWithContext(ctx); err == nil && len(info) > 0 {
		if name := strings.Join(strings.Fields(info[0].ModelName), " "); name != "" {
			d.Fields["cpu"] = name
		}
	}
	if m, err := mem.VirtualMemoryWithContext(ctx); err == nil && m.Total > 0 {
		d.Fields["memory_bytes"] = int64(m.Total)
	}
	if tree := sourceTree(ctx, dir); tree != nil {
		d.Fields["git"], d.Diff = tree.fields(), tree.diff
	}
	return d
}
