package vm

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// claimCPU chooses the CPU on which a User Mode Linux runs, one that no other machine of this user has if there is such
// a one. The file holds the claim.
//
// Decision: such a machine runs on one CPU only. Its kernel and its program are two processes that wait for each other
// at every system call and page fault; on two CPUs each of these turns wakes another CPU. A thousand fork and exec took
// 19 s, on one CPU 8.5 s.
func (c *cache) claimCPU() (cpu int, claim *os.File, err error) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return 0, nil, os.NewSyscallError("sched_getaffinity", err)
	}
	var all []int
	for n := 0; len(all) < allowed.Count(); n++ {
		if allowed.IsSet(n) {
			all = append(all, n)
		}
	}
	for _, n := range all {
		f, err := os.OpenFile(filepath.Join(c.dir, fmt.Sprintf("cpu-%d.lock", n)), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return 0, nil, err
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			return n, f, nil
		}
		f.Close()
	}
	return all[rand.IntN(len(all))], nil, nil
}
