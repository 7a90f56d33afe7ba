package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/limits"
)

// allLimits asks for everything.
func allLimits() Limits {
	files, size := uint64(100), limits.MiB
	return Limits{
		Memory: 100 * limits.MiB, Swap: limits.MiB, CPU: 200, CPUs: "0-1", Weight: 50, Pids: 64,
		CPUTime: time.Second, Wall: 4 * time.Second, Output: limits.KiB, Disk: 2 * limits.MiB, Inodes: 1000,
		Rlimits: limits.RlimitSpec{NoFile: &files, FSize: &size, Stack: &size, AS: &size, MemLock: &size, Core: &size},
	}
}

func ledgerText(rows []Enforced) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%s %v: %s, %s, %s", r.Name, r.Asked, r.Mechanism, r.EnforcedBy, r.HoldsAgainst)
		if r.Note != "" {
			b.WriteString(" (" + r.Note + ")")
		}
		b.WriteString("\n")
	}
	return b.String()
}

const rlimitText = `nofile 100: RLIMIT_NOFILE, kernel, everything (of each process)
fsize 1048576: RLIMIT_FSIZE, kernel, everything (of each process)
stack 1048576: RLIMIT_STACK, kernel, everything (of each process)
as 1048576: RLIMIT_AS, kernel, everything (of each process)
memlock 1048576: RLIMIT_MEMLOCK, kernel, everything (of each process)
core 1048576: RLIMIT_CORE, kernel, everything (of each process)
`

var everyLimit = holds{memory: true, cpu: true, cpuset: true, io: true, pids: true}

const runnerText = `wall 4000000000: timer of the runner, watchdog, everything
output 1024: counted by the runner as it passes on, watchdog, everything (the job is killed beyond it)
disk 2097152: tmpfs size, kernel, everything (of the root, /tmp, /dev/shm and HOME together; writable binds are not counted)
inodes 1000: tmpfs nr_inodes, kernel, everything
`

func TestLedgerOfTheCgroupTier(t *testing.T) {
	how := enforcement{held: everyLimit, cpuStat: true}
	require.Equal(t, `memory 104857600: cgroup memory.max, kernel, everything
swap 1048576: cgroup memory.swap.max, kernel, everything
cpu 200: cgroup cpu.max, kernel, everything
cpuset 0-1: cgroup cpuset.cpus, kernel, everything
cpu_weight 50: cgroup cpu.weight, kernel, everything
pids 64: cgroup pids.max, kernel, everything
cpu_time 1000000000: cgroup cpu.stat, RLIMIT_CPU, watchdog, everything (measured whenever it can have been reached, at most every 1ms, and at the end)
`+runnerText+rlimitText, ledgerText(ledger(allLimits(), how)))
}

func TestLedgerOfTheWatchdogTier(t *testing.T) {
	require.Equal(t, `memory 104857600: memory of the tree, sampled at least every 20ms, watchdog, mistakes (a burst between two samples is seen late; memfd_create is refused, buffers in the kernel are not counted)
swap 1048576: none, nobody, nothing (pages that are swapped out are not counted as memory)
cpu 200: SIGSTOP and SIGCONT by measured CPU time, watchdog, mistakes (job control inside is not reliable; a job that does not obey is killed (cpu_share))
cpuset 0-1: none, nobody, nothing (it needs a delegated cgroup)
cpu_weight 50: none, nobody, nothing (it needs a delegated cgroup)
pids 64: RLIMIT_NPROC of the user namespace, kernel, everything (refusals are not counted)
cpu_time 1000000000: CPU time of the tree, sampled; RLIMIT_CPU, watchdog, mistakes (short-lived processes whose parent ignores SIGCHLD are not counted)
`+runnerText+rlimitText, ledgerText(ledger(allLimits(), enforcement{sample: 20 * time.Millisecond})))
}

func TestLedgerVariants(t *testing.T) {
	row := func(l Limits, how enforcement, name string) Enforced {
		for _, r := range ledger(l, how) {
			if r.Name == name {
				return r
			}
		}
		t.Fatalf("no row %s", name)
		return Enforced{}
	}
	l := allLimits()
	freezing := enforcement{freezes: true, cpuStat: true}
	assert.Equal(t, Enforced{Name: "cpu", Asked: int64(200), Mechanism: "cgroup.freeze by measured CPU time", EnforcedBy: "watchdog", HoldsAgainst: "mistakes"},
		row(l, freezing, "cpu"))
	assert.Equal(t, "everything", row(l, freezing, "cpu_time").HoldsAgainst)
	assert.Equal(t, "memory of the tree, sampled", row(l, freezing, "memory").Mechanism)
	assert.Equal(t, "RLIMIT_NPROC of the user namespace", row(l, enforcement{held: holds{memory: true, cpu: true}}, "pids").Mechanism, "a group without the pids controller")
	// What users are commonly delegated.
	partly := enforcement{held: holds{memory: true, pids: true}, freezes: true, cpuStat: true}
	assert.Equal(t, "cgroup memory.max", row(l, partly, "memory").Mechanism)
	assert.Equal(t, "cgroup pids.max", row(l, partly, "pids").Mechanism)
	assert.Equal(t, "cgroup.freeze by measured CPU time", row(l, partly, "cpu").Mechanism)
	assert.Equal(t, "nobody", row(l, partly, "cpu_weight").EnforcedBy)
	assert.Equal(t, "nobody", row(l, enforcement{held: everyLimit, noSwapFile: true}, "swap").EnforcedBy)

	l.Swap, l.TruncateOutput = 0, true
	assert.Equal(t, "no swap on this host", row(l, enforcement{swapOff: true}, "swap").Mechanism)
	assert.Equal(t, "no swap on this host", row(l, enforcement{held: everyLimit, swapOff: true, noSwapFile: true}, "swap").Mechanism)
	assert.Equal(t, "nobody", row(l, enforcement{}, "swap").EnforcedBy, "the zero value promises nothing")
	assert.Equal(t, "what is beyond it is dropped", row(l, enforcement{}, "output").Note)
}

// Every limit that is asked for has a row, and no other.
func TestLedgerIsComplete(t *testing.T) {
	assert.Empty(t, ledger(Limits{Pids: -1}, enforcement{}))
	assert.Len(t, ledger(Limits{Pids: DefaultPids, Disk: DefaultDisk, Inodes: DefaultInodes}, enforcement{}), 3)
	all := ledger(allLimits(), enforcement{})
	assert.Len(t, all, 17)
	names := map[string]bool{}
	for _, r := range all {
		assert.False(t, names[r.Name], r.Name)
		names[r.Name] = true
		assert.NotEmpty(t, r.Mechanism)
		assert.Contains(t, []string{byKernel, byWatchdog, byNobody}, r.EnforcedBy)
		assert.Equal(t, r.EnforcedBy == byNobody, r.HoldsAgainst == nothing)
		b, err := json.Marshal(r.Asked)
		require.NoError(t, err)
		assert.NotContains(t, string(b), ".", "no floats in %s", r.Name)
	}
}
