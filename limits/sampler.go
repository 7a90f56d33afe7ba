package limits

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// What says which numbers a [Sampler] reads. Memory alone costs one read of
// 1 µs for each process, CPU two of together 4.
type What uint8

// The kinds of numbers.
const (
	SampleMemory What = 1 << iota
	SampleCPU
)

// Process is one process of a job as last sampled.
type Process struct {
	PID     int           // in the job's pid namespace
	Parent  int           // with SampleCPU
	State   byte          // with SampleCPU: R, S, D, T, Z… as in proc(5)
	Threads int           // with SampleCPU
	CPU     time.Duration // with SampleCPU: its own, without its children's
	RSS     Size          // with SampleMemory: resident, shared pages included
	Shared  Size          // with SampleMemory: of RSS, file and shmem pages
}

// Sample is the state of a job. Sums leave out pid 1.
type Sample struct {
	Processes []Process // valid until the next sample

	// Tasks is the number of threads, zombies included; with SampleCPU only,
	// else the number of processes.
	Tasks int
	// RSS is the sum over all processes; pages that n processes share are in
	// it n times, so it is never too small for what is mapped.
	RSS Size
	// CPU is the CPU time of the job since its first process: of living,
	// reaped and orphaned processes. It never falls. See the error bound at
	// Sampler.
	CPU time.Duration
}

// Sampler measures a job from the /proc of its own pid namespace, in which
// its processes, and only they, are listed. It needs no rights over them.
//
// Memory is what is mapped; pages of a memfd, a tmpfs or a SysV segment that
// nobody has mapped, pipe and socket buffers and page tables are in no RSS:
// see [TmpfsUsed] and [SysVShm]. Some kernels between 6.2 and 6.16 keep RSS in
// per-CPU counters and may be off by some hundred KiB for each process.
//
// CPU time is that of the group's cpu.stat as closely as /proc tells it. It is
// never more. It lacks at most: the time since the last scheduler tick of each
// running thread; 20 ms for each living parent and each process with threads;
// and of children of a parent that ignores SIGCHLD, all after the last sample
// that saw them, so that those shorter than the interval escape.
//
// A Sampler is not safe for concurrent use. Close releases its descriptors.
type Sampler struct {
	proc    *os.File
	fd      int
	known   map[int]*sampled
	left    []account // of processes that have vanished, not settled yet
	open    int       // descriptors kept
	list    []Process
	tally   tally
	dirents [8192]byte
	text    [1024]byte
}

// sampled is a process that the sampler follows.
type sampled struct {
	pid                    int
	name                   string // the pid in decimal
	start                  uint64
	stat, schedstat, statm procFile
	keep                   bool // its descriptors are kept open
	parent, threads        int
	state                  byte
	account                account
	resident, shared       uint64 // pages
}

// maxKept bounds the descriptors that are kept open: 128 processes. What is
// beyond is opened for each read.
const maxKept = 3 * 128

// NewSampler makes a sampler over the /proc directory of a job, opened with
// O_RDONLY|O_DIRECTORY (O_PATH is refused by getdents). The file stays the
// caller's and must stay open.
func NewSampler(proc *os.File) *Sampler {
	return &Sampler{proc: proc, fd: int(proc.Fd()), known: map[int]*sampled{}}
}

// Close releases the sampler's descriptors, and not the directory.
func (s *Sampler) Close() {
	for _, p := range s.known {
		s.forget(p)
	}
}

// Sample reads the numbers that are asked for. A job that has no process yet,
// or none left, is no error.
func (s *Sampler) Sample(what What) (Sample, error) {
	if err := s.find(); err != nil {
		return Sample{}, err
	}
	if what&SampleCPU != 0 {
		if err := s.readCPU(); err != nil {
			return Sample{}, err
		}
	}
	if what&SampleMemory != 0 {
		if err := s.readMemory(); err != nil {
			return Sample{}, err
		}
	}
	return s.sum(what), nil
}

// find lists the processes and takes up new ones.
func (s *Sampler) find() error {
	if _, err := unix.Seek(s.fd, 0, unix.SEEK_SET); err != nil {
		return os.NewSyscallError("lseek", err)
	}
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.Getdents(s.fd, s.dirents[:]) })
		if err != nil {
			return os.NewSyscallError("getdents64", err)
		}
		if n == 0 {
			return nil
		}
		eachEntry(s.dirents[:n], func(name []byte, _ byte) {
			if pid, ok := parseUint(name); ok && s.known[int(pid)] == nil {
				s.take(int(pid), string(name))
			}
		})
	}
}

func (s *Sampler) take(pid int, name string) {
	p := &sampled{pid: pid, name: name, keep: s.open+3 <= maxKept}
	p.stat, p.schedstat, p.statm = procFile{"stat", -1}, procFile{"schedstat", -1}, procFile{"statm", -1}
	if p.keep {
		s.open += 3
	}
	s.known[pid] = p
}

func (s *Sampler) forget(p *sampled) {
	p.stat.close()
	p.schedstat.close()
	p.statm.close()
	if p.keep {
		s.open -= 3
	}
	delete(s.known, p.pid)
}

// vanish forgets a process that has gone, and keeps its time for settling.
func (s *Sampler) vanish(p *sampled) {
	if p.account.ownRead+p.account.kidsRead > 0 {
		p.account.gone = true
		s.left = append(s.left, p.account)
	}
	s.forget(p)
}

// readCPU reads the times of all processes and settles the tally. The time of
// a process that is reaped between reading it and its parent would be counted
// in both, or in neither; so it is read again until nothing has moved during a
// whole pass. A parent's numbers are raised before its child disappears.
func (s *Sampler) readCPU() error {
	for range 4 {
		moved := false
		for _, p := range s.known {
			m, err := s.readTimes(p)
			if err != nil {
				return err
			}
			moved = moved || m
		}
		if !moved {
			break
		}
	}
	for _, p := range s.known {
		if parent := s.known[p.parent]; parent != nil {
			parent.account.isParent = true
		}
	}
	s.tally.settle(s.accounts)
	s.left = s.left[:0]
	return nil
}

// accounts yields those of all processes, the vanished ones too.
func (s *Sampler) accounts(yield func(*account) bool) {
	for i := range s.left {
		if !yield(&s.left[i]) {
			return
		}
	}
	for _, p := range s.known {
		if !yield(&p.account) {
			return
		}
	}
}

// readTimes reads the times of one process; moved reports that time has gone,
// or may have gone, from a child to a parent.
func (s *Sampler) readTimes(p *sampled) (moved bool, err error) {
	text, err := p.stat.read(s.fd, p.name, s.text[:], p.keep)
	var stat procStat
	if err == nil {
		stat, err = parseStat(text)
	}
	if vanished(err) || err == nil && p.start != 0 && stat.start != p.start {
		s.vanish(p)
		return p.account.ownRead+p.account.kidsRead >= tick, nil
	}
	if err != nil {
		return false, err
	}
	p.start, p.parent, p.state, p.threads = stat.start, stat.ppid, stat.state, stat.threads
	p.account.leaving = stat.state == 'X'
	own := time.Duration(stat.own) * tick
	if stat.threads <= 1 {
		// Exact, but without threads that have ended.
		if text, err := p.schedstat.read(s.fd, p.name, s.text[:], p.keep); err == nil {
			own = max(own, parseSchedstat(text))
		}
	}
	if p.pid == 1 {
		own = 0 // ours; only what it has reaped is the job's
	}
	return p.account.read(own, time.Duration(stat.kids)*tick), nil
}

// StopPending reports whether SIGSTOP was sent to a process and has not reached
// it yet: no thread of it has had its turn since.
func (s *Sampler) StopPending(pid int) bool {
	name := strconv.Itoa(pid)
	status := procFile{"status", -1}
	text, err := status.read(s.fd, name, make([]byte, 4096), false)
	return err == nil && stopPending(text)
}

// stopPending reads /proc/PID/status: "ShdPnd:\t0000000000040000", a mask in
// which signal 1 is the lowest bit.
func stopPending(status []byte) bool {
	_, rest, ok := bytes.Cut(status, []byte("\nShdPnd:\t"))
	line, _, _ := bytes.Cut(rest, []byte{'\n'})
	mask, err := strconv.ParseUint(string(line), 16, 64)
	return ok && err == nil && mask&(1<<(unix.SIGSTOP-1)) != 0
}

// sum makes the sample of what is known.
func (s *Sampler) sum(what What) Sample {
	page := uint64(os.Getpagesize())
	sample := Sample{CPU: s.tally.total}
	s.list = s.list[:0]
	for _, p := range s.known {
		if p.pid == 1 {
			continue
		}
		process := Process{PID: p.pid}
		if what&SampleCPU != 0 {
			process.Parent, process.State, process.Threads, process.CPU = p.parent, p.state, p.threads, p.account.own
		}
		if what&SampleMemory != 0 {
			process.RSS, process.Shared = Size(p.resident*page), Size(p.shared*page)
		}
		s.list = append(s.list, process)
		sample.Tasks += max(process.Threads, 1)
		sample.RSS += process.RSS
	}
	sample.Processes = s.list
	return sample
}
