package limits

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func (s *Sampler) readMemory() error {
	for _, p := range s.known {
		text, err := p.statm.read(s.fd, p.name, s.text[:], p.keep)
		if vanished(err) {
			s.vanish(p)
			continue
		}
		if err != nil {
			return err
		}
		resident, shared, ok := parseStatm(text)
		if !ok {
			return &os.PathError{Op: "parse", Path: "/proc/" + p.name + "/statm", Err: errStat}
		}
		p.resident, p.shared = resident, shared
	}
	return nil
}

// PSS reads the proportional memory of the job, which counts a shared page
// once: the confirmation when the sum of RSS exceeds a limit. It walks the
// page tables of every process, milliseconds for each 100 MiB, and takes their
// mmap locks, so the job should stand still. It needs ptrace access; the error
// wraps EACCES or EPERM for a process that is not dumpable, and then nothing
// is confirmed.
func (s *Sampler) PSS() (PSS, error) {
	var sum PSS
	if err := s.find(); err != nil {
		return sum, err
	}
	for _, p := range s.known {
		if p.pid == 1 {
			continue
		}
		rollup := procFile{"smaps_rollup", -1}
		text, err := rollup.read(s.fd, p.name, make([]byte, 4096), false)
		if vanished(err) || errors.Is(err, unix.EINVAL) {
			continue // gone, or a zombie, which has no memory
		}
		if err != nil {
			return sum, err
		}
		one, ok := parseRollup(text)
		if !ok && len(text) > 0 {
			return sum, &os.PathError{Op: "parse", Path: "/proc/" + p.name + "/smaps_rollup", Err: errStat}
		}
		sum = sum.Plus(one)
	}
	return sum, nil
}

// NextSample returns how long memory use can be left unmeasured: until the
// limit could be reached at 3 GB/s, which is faster than a CPU can fault in
// pages of 4 KiB, but no longer than 20 ms and no shorter than 1 ms. Pages of
// 2 MiB are faulted in at 8 GB/s; the overshoot is the fault rate times the
// longest gap between two samples.
func NextSample(used, limit Size) time.Duration {
	const shortest, longest, bytesPerMicrosecond = time.Millisecond, 20 * time.Millisecond, 3000
	if used >= limit {
		return shortest
	}
	left := time.Duration((limit-used)/bytesPerMicrosecond) * time.Microsecond
	return min(max(left, shortest), longest)
}
