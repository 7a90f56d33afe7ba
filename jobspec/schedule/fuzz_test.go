package schedule

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// FuzzMachine: whatever the kernel's files say, there is a budget that one job
// fits into, or an error.
func FuzzMachine(f *testing.F) {
	f.Add("MemTotal:       16 kB\n", "0::/a\n", "max\n", "100000 100000\n")
	f.Add("MemTotal: 9223372036854775807 kB\n", "4:memory:/\n2:cpu,cpuacct:/x\n", "-1\n", "max 0\n")
	f.Add("", "0::/../..\n", "", "")
	f.Fuzz(func(t *testing.T, meminfo, groups, memory, cpu string) {
		b, err := Machine(fstest.MapFS{
			"proc/meminfo":                               {Data: []byte(meminfo)},
			"proc/self/cgroup":                           {Data: []byte(groups)},
			"sys/fs/cgroup/a/memory.max":                 {Data: []byte(memory)},
			"sys/fs/cgroup/a/cpu.max":                    {Data: []byte(cpu)},
			"sys/fs/cgroup/memory/memory.limit_in_bytes": {Data: []byte(memory)},
			"sys/fs/cgroup/cpu/x/cpu.cfs_quota_us":       {Data: []byte(cpu)},
			"sys/fs/cgroup/cpu/x/cpu.cfs_period_us":      {Data: []byte(memory)},
		})
		if err != nil {
			return
		}
		require.Positive(t, b.Slots)
		require.GreaterOrEqual(t, b.Memory, int64(0))
		require.GreaterOrEqual(t, b.CPU, int64(0))
	})
}
