package host

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"
)

// NewSampler returns a function that tells how busy the machine is, as metrics:
//
//	system/cpu_percent            of all cores, since the call before
//	system/process_cpu_percent    of this process, since the call before; 100 = one core
//	system/process_memory_bytes   of this process, resident
//	system/memory_bytes           in use on the machine
//	system/memory_percent         the same as a part of what there is
//	system/disk_read_bytes        by the machine's disks, since the first call
//	system/disk_write_bytes
//	system/network_received_bytes by all interfaces but loopback, since the first call
//	system/network_sent_bytes
//
// The first call only looks where the counters stand and returns nil. What an
// operating system does not tell is left out. A call takes a millisecond or so.
// The function is for one goroutine.
func NewSampler() func(context.Context) map[string]float64 {
	s := &sampler{}
	return s.sample
}

type sampler struct {
	begun bool
	self  *process.Process
	last  reading
	first reading
}

// A reading is where the counters stand. A counter that could not be read is
// missing.
type reading struct {
	at      time.Time
	machine *cpu.TimesStat
	own     *float64 // seconds of CPU
	counted map[string]float64
}

func (s *sampler) sample(ctx context.Context) map[string]float64 {
	now := s.read(ctx)
	if !s.begun {
		s.begun, s.first, s.last = true, now, now
		return nil
	}
	m := map[string]float64{}
	if now.machine != nil && s.last.machine != nil {
		all, idle := total(*now.machine)-total(*s.last.machine), waiting(*now.machine)-waiting(*s.last.machine)
		if all > 0 {
			m["system/cpu_percent"] = min(100, max(0, 100*(all-idle)/all))
		}
	}
	if now.own != nil && s.last.own != nil {
		if seconds := now.at.Sub(s.last.at).Seconds(); seconds > 0 {
			m["system/process_cpu_percent"] = max(0, 100*(*now.own-*s.last.own)/seconds)
		}
	}
	for name, n := range now.counted {
		// Counters of a device that went away take their sum back.
		m[name] = max(0, n-s.first.counted[name])
	}
	if s.self != nil {
		if own, err := s.self.MemoryInfoWithContext(ctx); err == nil {
			m["system/process_memory_bytes"] = float64(own.RSS)
		}
	}
	if v, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		m["system/memory_bytes"] = float64(v.Used)
		m["system/memory_percent"] = v.UsedPercent
	}
	s.last = now
	return m
}

func (s *sampler) read(ctx context.Context) reading {
	r := reading{at: time.Now(), counted: map[string]float64{}}
	if times, err := cpu.TimesWithContext(ctx, false); err == nil && len(times) == 1 {
		r.machine = &times[0]
	}
	if s.self == nil {
		if self, err := process.NewProcessWithContext(ctx, int32(os.Getpid())); err == nil {
			s.self = self
		}
	}
	if s.self != nil {
		if t, err := s.self.TimesWithContext(ctx); err == nil {
			own := t.User + t.System
			r.own = &own
		}
	}
	if disks, err := disk.IOCountersWithContext(ctx); err == nil {
		names := make([]string, 0, len(disks))
		for name := range disks {
			names = append(names, name)
		}
		for _, name := range wholeDisks(names) {
			r.counted["system/disk_read_bytes"] += float64(disks[name].ReadBytes)
			r.counted["system/disk_write_bytes"] += float64(disks[name].WriteBytes)
		}
	}
	if interfaces, err := net.IOCountersWithContext(ctx, true); err == nil {
		for _, i := range interfaces {
			if i.Name == "lo" || i.Name == "lo0" || strings.HasPrefix(i.Name, "Loopback") {
				continue
			}
			r.counted["system/network_received_bytes"] += float64(i.BytesRecv)
			r.counted["system/network_sent_bytes"] += float64(i.BytesSent)
		}
	}
	return r
}

func total(t cpu.TimesStat) float64 {
	sum := t.User + t.System + t.Idle + t.Nice + t.Iowait + t.Irq + t.Softirq + t.Steal
	if runtime.GOOS != "linux" {
		sum += t.Guest + t.GuestNice // Linux has counted them as user time already
	}
	return sum
}

func waiting(t cpu.TimesStat) float64 { return t.Idle + t.Iowait }

// wholeDisks leaves out what would count a byte twice: partitions of disks in
// the list, and devices that lie on others.
func wholeDisks(names []string) []string {
	slices.Sort(names)
	var whole []string
	for _, name := range names {
		virtual := slices.ContainsFunc([]string{"loop", "ram", "zram", "dm-", "md", "sr", "fd"}, func(p string) bool { return strings.HasPrefix(name, p) })
		part := slices.ContainsFunc(whole, func(disk string) bool {
			rest, ok := strings.CutPrefix(name, disk)
			if !ok {
				return false
			}
			if last := disk[len(disk)-1]; last >= '0' && last <= '9' { // nvme0n1p2
				if rest, ok = strings.CutPrefix(rest, "p"); !ok {
					return false
				}
			}
			return rest != "" && strings.Trim(rest, "0123456789") == ""
		})
		if !virtual && !part {
			whole = append(whole, name)
		}
	}
	return whole
}
