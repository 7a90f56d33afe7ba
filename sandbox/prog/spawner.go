package prog

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// BigProcess is the resident memory, in bytes, above which a process makes its
// first launch through its spawner; it makes every further one through it in any
// case. A fork costs 17 µs for each resident megabyte, as much again when the
// child ends, and each page that the parent then writes is copied once, with
// the other threads interrupted for it: 37 ms for 2 GB, and 0.8 of 6 ms for a
// small program of Go.
const BigProcess = 64 << 20

// isBig reads how much of this process is resident.
func isBig() (bool, error) {
	text, err := readProc("/proc/self/statm")
	if err != nil {
		return false, err
	}
	fields := strings.Fields(text) // size resident shared …, in pages
	if len(fields) < 2 {
		return false, fmt.Errorf("/proc/self/statm: %q", text)
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	return pages*uint64(os.Getpagesize()) > BigProcess, err
}

// readProc reads a file of /proc, without the runtime's poller: starting that
// costs a program with one launch more than anything else here, and the file
// more than its text.
func readProc(name string) (string, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	var text []byte
	for buf := make([]byte, 4096); ; {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return "", &os.PathError{Op: "read", Path: name, Err: err}
		case n == 0:
			return string(text), nil
		default:
			text = append(text, buf[:n]...)
		}
	}
}

// A spawner is a process that forks programs for this one: a copy of it, made
// once, that has given up all memory but the program text, and so forks in
// constant time. It runs the same interpreter, no Go runtime and no other
// binary; it serves one process, which holds the only other end of its socket,
// and ends with it.
type spawner struct {
	mem  []byte
	sock *os.File
	who  string // standing of the thread that made it
	pid  int    // our child; 0 for none
}

// standing is the text of all that a child inherits from this thread and that
// a process may change: ids, capabilities, no_new_privs and filters,
// namespaces, root and groups; CPUs, scheduling and rlimits. A spawner was made with one standing and must
// not serve its process in another: that may have given up rights since.
func standing() (string, error) {
	const self = "/proc/thread-self/"
	var b strings.Builder
	status, err := readProc(self + "status")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(status) {
		for _, name := range [...]string{"Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp", "Cpus_allowed:", "Mems_allowed:"} {
			if strings.HasPrefix(line, name) {
				b.WriteString(line)
			}
		}
	}
	for _, name := range [...]string{"user", "mnt", "net", "ipc", "uts", "cgroup", "pid_for_children"} {
		link, err := os.Readlink(self + "ns/" + name)
		if err != nil && !errors.Is(err, unix.ENOENT) { // a kernel without this kind
			return "", err
		}
		b.WriteString(link + "\n")
	}
	var root unix.Stat_t
	if err := unix.Stat(self+"root", &root); err != nil {
		return "", &os.PathError{Op: "stat", Path: self + "root", Err: err}
	}
	groups, err := readProc(self + "cgroup")
	fmt.Fprintf(&b, "%x %x\n%s", root.Dev, root.Ino, groups)
	if err != nil {
		return "", err
	}
	err = quantities(&b)
	return b.String(), err
}

// quantities adds what a child inherits in numbers.
func quantities(b *strings.Builder) error {
	nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return os.NewSyscallError("getpriority", err)
	}
	sched, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return os.NewSyscallError("sched_getattr", err)
	}
	fmt.Fprint(b, nice, sched.Policy, sched.Priority)
	for i := range 16 {
		var l unix.Rlimit
		if err := unix.Prlimit(0, i, nil, &l); err != nil {
			return os.NewSyscallError("prlimit64", err)
		}
		fmt.Fprint(b, " ", l.Cur, l.Max)
	}
	return nil
}

// theSpawner is made when it is first needed and lives as long as the process:
// its two pages and one process are the price of every later launch.
var theSpawner struct {
	sync.Mutex
	*spawner
}

// spawn starts the program as a child of the spawner.
func (p *Process) spawn(flags uint64, bindings []Binding) error {
	theSpawner.Lock()
	defer theSpawner.Unlock()
	runtime.LockOSThread() // whose standing it is
	defer runtime.UnlockOSThread()
	who, err := standing()
	if err != nil {
		return err
	}
	if s := theSpawner.spawner; s != nil && s.who != who {
		theSpawner.spawner = nil
		if err := s.end(); err != nil {
			return err
		}
	}
	for {
		fresh := theSpawner.spawner == nil
		if fresh {
			if theSpawner.spawner, err = newSpawner(who); err != nil {
				return err
			}
		}
		err = theSpawner.request(p, flags, bindings)
		if err == nil || fresh || !errors.Is(err, errSpawnerGone) {
			return err
		}
		// Someone killed it; the launch did not happen.
		_ = theSpawner.end()
		theSpawner.spawner = nil
	}
}

var errSpawnerGone = errors.New("the spawner is gone")

func newSpawner(who string) (*spawner, error) {
	mem, _, err := shared(os.Getpagesize()*spawnPages, false)
	if err != nil {
		return nil, err
	}
	return newSpawnerIn(mem, who, -1)
}

// newSpawnerIn makes a spawner that keeps mem, which is then its own. It enters
// the user namespace first, unless that is -1.
func newSpawnerIn(mem []byte, who string, userns int) (*spawner, error) {
	img, err := image()
	if err != nil {
		return nil, errors.Join(err, unix.Munmap(mem))
	}
	ours, its, err := spawnPair()
	if err != nil {
		return nil, errors.Join(err, unix.Munmap(mem))
	}
	h := spawnHeadOf(mem)
	h.kept.image(img, mem)
	h.sock, h.userns = int64(its), int64(userns)
	pid, err := forkSpawner(h)
	unix.Close(its)
	s := &spawner{mem: mem, sock: os.NewFile(uintptr(ours), "spawner"), who: who, pid: pid}
	if err != nil {
		return nil, errors.Join(err, s.end())
	}
	return s, nil
}

// end lets the spawner end: it meets the end of file.
func (s *spawner) end() error { return errors.Join(s.sock.Close(), unix.Munmap(s.mem)) }

// request has the spawner fork one program. The first descriptor is the
// arena's, the others those of the bindings.
func (s *spawner) request(p *Process, flags uint64, bindings []Binding) error {
	h := p.arena.head()
	fds := h.expect([]int{int(p.arena.file.Fd())}, bindings)
	h.cloneInit = cloneArgs{flags: flags | unix.CLONE_PIDFD, pidfd: h.pidfdAddress(), exitSignal: uint64(unix.SIGCHLD)}
	answer, oob, err := s.exchange(p.arena.place(), fds)
	if err != nil {
		return err
	}
	return p.answered(answer, oob)
}

// expect notes which slots the descriptors of a message are for, and appends
// those to fds.
func (h *head) expect(fds []int, bindings []Binding) []int {
	for i, b := range bindings {
		fds = append(fds, b.Fd)
		h.bound[i] = uint8(b.Slot)
	}
	h.nBound = uint32(len(bindings))
	return fds
}

// exchange sends one request and returns the answer, with what came along.
func (s *spawner) exchange(place []byte, fds []int) (answer, oob []byte, err error) {
	fd := int(s.sock.Fd())
	if err := unix.Sendmsg(fd, place, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errSpawnerGone, err)
	}
	answer, oob = make([]byte, 8), make([]byte, 64)
	for {
		n, oobn, _, _, err := unix.Recvmsg(fd, answer, oob, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", errSpawnerGone, err)
		}
		if n == 0 {
			return nil, nil, errSpawnerGone
		}
		return answer[:n], oob[:oobn], nil
	}
}

func (p *Process) answered(answer, oob []byte) error {
	pid, errno, err := parseAnswer(answer)
	if err != nil {
		return err
	}
	switch errno {
	case 0:
	case errMaps:
		return fmt.Errorf("%w: it refused the maps", ErrNest)
	default:
		return os.NewSyscallError("clone3", errno)
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) != 1 {
		return fmt.Errorf("%w: no pidfd from the spawner", ErrMessage)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return fmt.Errorf("%w: no pidfd from the spawner", ErrMessage)
	}
	p.Pid, p.PidFd = pid, os.NewFile(uintptr(fds[0]), "pidfd")
	return nil
}
