package sandbox

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"github.com/jailrun/jailrun/limits"
)

// A NoiseReport says how far a run was disturbed by what else the machine did,
// and by its own CPU limit: whether its times can be compared with others'.
type NoiseReport struct {
	Confidence string   `json:"confidence"`        // "quiet" or "noisy"
	Reasons    []string `json:"reasons,omitempty"` // why noisy, in words

	Throttled   *time.Duration `json:"throttled_ns,omitempty"` // by the job's own CPU limit
	Steal       *time.Duration `json:"steal_ns,omitempty"`     // taken by the hypervisor, of all CPUs
	CPUWait     *time.Duration `json:"cpu_wait_ns,omitempty"`  // in which a task of the job, or of the host, waited for a CPU
	WaitOf      string         `json:"wait_of,omitempty"`      // "job" or "host": whom CPUWait is about
	MemoryStall *time.Duration `json:"memory_stall_ns,omitempty"`
	IOStall     *time.Duration `json:"io_stall_ns,omitempty"`
	Involuntary *int64         `json:"involuntary,omitempty"` // context switches of the job that it did not ask for
}

// Words of a NoiseReport.
const (
	Quiet = "quiet"
	Noisy = "noisy"
)

// hostNoise is what the host has counted since it booted.
type hostNoise struct {
	steal, cpu limits.Opt[time.Duration]
}

// readHostNoise costs some 50 µs, so only a run that asked for it does it.
func readHostNoise() (h hostNoise) {
	if text, err := os.ReadFile("/proc/stat"); err == nil {
		h.steal = parseSteal(text)
	}
	if text, err := os.ReadFile("/proc/pressure/cpu"); err == nil {
		p := limits.ParsePressure(text)
		h.cpu = limits.Opt[time.Duration]{Value: p.Value.Some, Known: p.Known}
	}
	return h
}

// parseSteal reads the time that other machines took, of /proc/stat's first
// line: "cpu user nice system idle iowait irq softirq steal …", in ticks of
// 10 ms.
func parseSteal(text []byte) (steal limits.Opt[time.Duration]) {
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	fields := bytes.Fields(line)
	if len(fields) < 9 || string(fields[0]) != "cpu" {
		return steal
	}
	n, err := strconv.ParseUint(string(fields[8]), 10, 63)
	return limits.Opt[time.Duration]{Value: time.Duration(n) * 10 * time.Millisecond, Known: err == nil}
}

// Bounds above which a run is called noisy: parts of its wall time, and
// switches for each second of CPU time.
const (
	noisyPart     = 50  // one fiftieth
	noisySwitches = 100 // a CPU shared with one other task is given away some 250 times a second
	fewSwitches   = 10
)

// judgeNoise is pure. The wall time is that of the main process.
func judgeNoise(before, after hostNoise, u *limits.Usage, involuntary *int64, cpu, wall time.Duration) *NoiseReport {
	n := &NoiseReport{Confidence: Quiet, Throttled: pointer(u.CPU.Throttled), Involuntary: involuntary}
	n.Steal = since(before.steal, after.steal)
	if p := u.Pressure.CPU; p.Known {
		n.CPUWait, n.WaitOf = &p.Value.Some, "job"
	} else if n.CPUWait = since(before.cpu, after.cpu); n.CPUWait != nil {
		n.WaitOf = "host"
	}
	if p := u.Pressure.Memory; p.Known {
		n.MemoryStall = &p.Value.Some
	}
	if p := u.Pressure.IO; p.Known {
		n.IOStall = &p.Value.Some
	}
	for _, lost := range [...]struct {
		what string
		time *time.Duration
	}{
		{"throttled by its CPU limit", n.Throttled},
		{"stolen by the hypervisor", n.Steal},
		{"waited for a CPU", n.CPUWait},
		{"stalled on memory", n.MemoryStall},
		{"stalled on I/O", n.IOStall},
	} {
		if lost.time != nil && *lost.time > wall/noisyPart {
			n.Reasons = append(n.Reasons, lost.what+" for "+lost.time.String())
		}
	}
	if involuntary != nil && *involuntary > fewSwitches && time.Duration(*involuntary)*time.Second > noisySwitches*cpu {
		n.Reasons = append(n.Reasons, strconv.FormatInt(*involuntary, 10)+" involuntary context switches")
	}
	if n.Reasons != nil {
		n.Confidence = Noisy
	}
	return n
}

func since(before, after limits.Opt[time.Duration]) *time.Duration {
	if !before.Known || !after.Known {
		return nil
	}
	d := max(0, after.Value-before.Value)
	return &d
}
