package schedule

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine measures what jobs may use here: the CPUs of this process and the
// memory of the machine, both as far as the control groups above this process
// leave them. root is the host's root directory, os.DirFS("/").
func Machine(root fs.FS) (Budget, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return Budget{}, err
	}
	var b Budget
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			b.CPUs = append(b.CPUs, cpu)
		}
	}
	b.CPU = int64(len(b.CPUs)) * 1000
	info, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return b, err
	}
	if b.Memory = memTotal(info); b.Memory == 0 {
		return b, errors.New("/proc/meminfo has no MemTotal")
	}
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil // a kernel without control groups bounds nothing
	}
	if err != nil {
		return b, err
	}
	for line := range strings.Lines(string(groups)) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 {
			b.within(root, parts[1], parts[2])
		}
	}
	// What is left for one slot or more, also of a fifth of a CPU.
	b.Slots = max(1, min(len(b.CPUs), int(b.CPU/1000)))
	return b, nil
}

func memTotal(info []byte) int64 {
	for line := range bytes.Lines(info) {
		if rest, ok := bytes.CutPrefix(line, []byte("MemTotal:")); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
			if kib < 0 || kib > math.MaxInt64>>10 {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// within lowers the budget to what one hierarchy's groups allow, from ours to
// the top. In a container the path may name groups that are not seen here;
// then those that are seen count.
func (b *Budget) within(root fs.FS, controllers, group string) {
	mount := "sys/fs/cgroup"
	if controllers != "" {
		mount = path.Join(mount, controllers)
	} else if _, err := fs.Stat(root, "sys/fs/cgroup/unified"); err == nil {
		mount = "sys/fs/cgroup/unified"
	}
	for dir := strings.TrimPrefix(path.Clean(group), "/"); ; dir = path.Dir(dir) {
		b.bound(root, path.Join(mount, dir))
		if dir == "." || dir == "" {
			return
		}
	}
}

func (b *Budget) bound(root fs.FS, dir string) {
	for _, name := range [...]string{"memory.max", "memory.limit_in_bytes"} {
		if n, ok := number(root, path.Join(dir, name)); ok && n < b.Memory {
			b.Memory = n
		}
	}
	if text, err := fs.ReadFile(root, path.Join(dir, "cpu.max")); err == nil {
		if f := strings.Fields(string(text)); len(f) == 2 {
			b.share(f[0], f[1])
		}
	}
	quota, err := fs.ReadFile(root, path.Join(dir, "cpu.cfs_quota_us"))
	period, err2 := fs.ReadFile(root, path.Join(dir, "cpu.cfs_period_us"))
	if err == nil && err2 == nil {
		b.share(strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
	}
}

func (b *Budget) share(quota, period string) {
	q, err := strconv.ParseInt(quota, 10, 64) // "max" and -1 are none
	p, err2 := strconv.ParseInt(period, 10, 64)
	if err != nil || err2 != nil || q <= 0 || p <= 0 || q > math.MaxInt64/1000 {
		return
	}
	b.CPU = min(b.CPU, max(1, q*1000/p))
}

func number(root fs.FS, name string) (int64, bool) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil && n > 0
}
