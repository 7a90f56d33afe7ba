package limits

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func (b *settings) cpu(l GroupLimits) {
	if l.CPU > 0 && b.need("cpu", "CPU limit") {
		quota, period := l.CPU.bandwidth()
		b.put("", "cpu.max", decimalText(quota)+" "+decimalText(period))
	}
	if l.CPUWeight == 0 || !b.need("cpu", "CPU weight") {
		return
	}
	if l.CPUWeight < 1 || l.CPUWeight > 10000 {
		b.refuse("CPU weight "+strconv.Itoa(l.CPUWeight), "use 1 to 10000; 100 is usual")
	}
	b.put("", "cpu.weight", strconv.Itoa(l.CPUWeight))
}

func (b *settings) cpuset(l GroupLimits) {
	if l.CPUSet == "" || !b.need("cpuset", "CPU set") {
		return
	}
	if _, err := parseCPUSet(l.CPUSet); err != nil {
		b.refuse("CPU set "+quote(l.CPUSet), err.Error())
	}
	b.put("", "cpuset.cpus", l.CPUSet)
}

// checkCPUSet compares what was asked with what is in force: when none of the
// asked CPUs is available, the kernel quietly takes all of the parent's.
func checkCPUSet(d dir, asked string) error {
	text, err := d.read("cpuset.cpus.effective")
	if err != nil {
		return err
	}
	effective := strings.TrimSpace(string(text))
	want, err := parseCPUSet(asked)
	if err != nil {
		return err
	}
	have, err := parseCPUSet(effective)
	if err != nil || want != have {
		return d.fail("set CPUs "+quote(asked)+" in", "cpuset.cpus", errors.New("only "+quote(effective)+" are available"))
	}
	return nil
}

// cpuSet is a set of CPU numbers.
type cpuSet [8192 / 64]uint64

// parseCPUSet reads a kernel CPU list: "0-3,8".
func parseCPUSet(text string) (set cpuSet, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, ok := parseUint([]byte(first))
		to, ok2 := parseUint([]byte(last))
		if !ok || !ok2 || from > to || to >= uint64(len(set)*64) {
			return set, errors.New("write CPU numbers and ranges, like 0-3,8")
		}
		for ; from <= to; from++ {
			set[from/64] |= 1 << (from % 64)
		}
	}
	return set, nil
}

// CPUUsage is the CPU time of the job; pid 1 is left out of Total, User and
// System. Throttling is that of the whole group, where the limit stands.
type CPUUsage struct {
	Total     Opt[time.Duration]
	User      Opt[time.Duration]
	System    Opt[time.Duration]
	Throttled Opt[time.Duration] // sum over CPUs; only with the cpu controller
	Throttles Opt[uint64]        // periods in which the quota ran out
}

func (g *Group) cpuUsage(r *usageReader) (c CPUUsage) {
	job := r.keyed(g.job, "cpu.stat")
	c.Total, c.User, c.System = micros(job.get("usage_usec")), micros(job.get("user_usec")), micros(job.get("system_usec"))
	run := r.keyed(g.run, "cpu.stat")
	c.Throttled, c.Throttles = micros(run.get("throttled_usec")), run.get("nr_throttled")
	return c
}

// CPUTime returns the CPU time of the job so far: every process that was ever
// in it, reaped, orphaned or alive. It needs no controller. A running thread
// is counted up to its last scheduler tick.
func (g *Group) CPUTime() (time.Duration, error) {
	text, err := g.job.read("cpu.stat")
	if err != nil {
		return 0, gone(err)
	}
	usage := micros(keyed(text).get("usage_usec"))
	if !usage.Known {
		return 0, g.job.fail("parse", "cpu.stat", unix.ENOTSUP)
	}
	return usage.Value, nil
}
