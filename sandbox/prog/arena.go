package prog

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a step as the child reads it. It holds no pointer of the Go heap.
type call struct {
	nr      uintptr
	arg     [6]uintptr
	want    int64
	loops   uintptr // further rounds
	index   uint32
	ignore  [3]uint16
	slots   uint8 // bit i: arg[i] is the number of a slot
	save    uint8 // slot + 1, 0 for none
	loopArg int8  // -1 for none
	stage   uint8
	search  bool
	inherit bool
}

// cloneArgs is struct clone_args of clone3(2), version 2 (Linux 5.7).
type cloneArgs struct {
	flags, pidfd, childTid, parentTid, exitSignal, stack, stackSize, tls, setTid, setTidSize, cgroup uint64
}

// head stands at the start of the arena. What init or the job writes while
// both run has an owner, named behind it; the rest is written before the fork,
// or, for an Ahead, before the message that init waits for.
type head struct {
	slot      [maxSlots]int64 // each is written by the one list that saves it, or bound by a message
	stamp     [MaxStamps]int64
	trail     [2]trail // init's and the job's: each writes its own
	cloneInit cloneArgs
	cloneJob  cloneArgs // init
	pidfd     int32     // the kernel, in the clone of init
	nInit     uint32
	nJob      uint32
	calls     *call // init's list, the job's behind it
	first     *call // what an Ahead does before it has a program
	late      *call // the job's further list, written while it waits for it
	nLate     uint32
	nFirst    uint32
	took      uint32 // init: the program, after its first steps
	nBound    uint32
	bound     [maxSlots]uint8 // slots of the descriptors that come with a message
	maps      [2][2]uintptr   // uid_map and gid_map for a Nest to write: address and length
	child     uintptr         // in a spawner: struct sigaction of SIG_DFL for SIGCHLD, else 0
	keyring   bool            // the spawner has given it an empty one
	kept      kept
	loop      reaper // init
	msg       struct {
		msghdr
		vec  iovec
		ctrl [cmsgHead + 4*maxSlots]byte
	} // init until it forks the job, then the job
}

type span struct{ lo, hi uintptr }

// kept is the memory that a scrub leaves.
type kept struct {
	keep [maxKeep]span
	top  uintptr // end of the address space
	omit [2]span // what of it is not copied in the first place; see withhold
	libc bool    // there is one: see keepThreadPointer
}

const maxKeep = 4 // image, arena, stack, thread pointer

// MaxStamps is the number of time stamps of a program.
const MaxStamps = 16

// A trail tells when a process entered which stage. Stages come more than
// once: what lies beyond the last place is not told.
type trail struct {
	at    [maxMarks]int64
	stage [maxMarks]uint8
	n     uint32
}

const maxMarks = 24

// An arena is the memory of one launch: head, calls, and what they point to.
// It is shared with the child so that time stamps come back without a message.
type arena struct {
	mem  []byte
	used uintptr
	file *os.File // the memory as a descriptor, for a spawner; else nil
}

func (a *arena) head() *head { return (*head)(unsafe.Pointer(&a.mem[0])) }

func (a *arena) at(off uintptr) uintptr { return uintptr(unsafe.Pointer(&a.mem[0])) + off }

func (a *arena) alloc(n uintptr) uintptr {
	off := (a.used + 7) &^ 7
	a.used = off + n
	return off
}

func (a *arena) bytes(b []byte) uintptr {
	off := a.alloc(uintptr(len(b)))
	copy(a.mem[off:], b)
	return a.at(off)
}

func (a *arena) cstring(s string) uintptr {
	off := a.alloc(uintptr(len(s)) + 1)
	copy(a.mem[off:], s)
	return a.at(off)
}

func (a *arena) word(off, v uintptr) { *(*uintptr)(unsafe.Pointer(&a.mem[off])) = v }

// newArena lays p out in memory, of a memfd if a spawner is to map it as well,
// with some more bytes of room. The caller frees it.
func newArena(p *Program, memfd bool, more int) (*arena, error) {
	size, err := p.size()
	if err != nil {
		return nil, err
	}
	page := uintptr(os.Getpagesize())
	size = (size + uintptr(more) + page - 1) &^ (page - 1)
	mem, file, err := shared(int(size), memfd)
	if err != nil {
		return nil, err
	}
	a := freshArena(mem)
	a.file = file
	a.lay(p, false)
	return a, nil
}

// freshArena is an arena in memory of zeros, with nothing but its head. No slot
// has a descriptor.
func freshArena(mem []byte) *arena {
	a := &arena{mem: mem}
	a.alloc(unsafe.Sizeof(head{}))
	h := a.head()
	for i := range h.slot {
		h.slot[i] = -1
	}
	h.cloneJob = cloneArgs{exitSignal: uint64(unix.SIGCHLD)}
	return a
}

// lay lays the lists of p out, which must fit, but for steps that an Ahead has
// done.
func (a *arena) lay(p *Program, done bool) {
	h := a.head()
	h.calls, h.nInit = a.table(p.Init, p.Job, done)
	h.nJob = uint32(len(p.Job))
}

// table lays out one list behind the other. It returns how many of the first
// there are.
func (a *arena) table(init, job []Step, done bool) (*call, uint32) {
	table := a.alloc(uintptr(len(init)+len(job)) * unsafe.Sizeof(call{}))
	first := (*call)(unsafe.Pointer(&a.mem[table]))
	calls := unsafe.Slice(first, len(init)+len(job))
	n := 0
	for i := range init {
		if !done || !init[i].ahead {
			a.put(&calls[n], &init[i], i)
			n++
		}
	}
	for i := range job {
		a.put(&calls[n+i], &job[i], i)
	}
	return first, uint32(n)
}

// shared maps memory that a forked child shares.
func shared(size int, memfd bool) (mem []byte, file *os.File, err error) {
	fd, flags := -1, unix.MAP_SHARED|unix.MAP_ANONYMOUS
	if memfd {
		if fd, err = unix.MemfdCreate("jailrun-program", unix.MFD_CLOEXEC); err != nil {
			return nil, nil, os.NewSyscallError("memfd_create", err)
		}
		file, flags = os.NewFile(uintptr(fd), "program"), unix.MAP_SHARED
		if err = file.Truncate(int64(size)); err != nil {
			return nil, nil, errors.Join(err, file.Close())
		}
	}
	mem, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		if file != nil {
			file.Close()
		}
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return mem, file, nil
}

// free unmaps the arena on this side.
func (a *arena) free() error {
	err := unix.Munmap(a.mem)
	if a.file != nil {
		err = errors.Join(err, a.file.Close())
	}
	return err
}

func (a *arena) put(c *call, s *Step, index int) {
	*c = call{
		nr: s.nr, want: s.want, loopArg: int8(s.loopArg),
		index: uint32(index), stage: uint8(s.Stage), search: s.search, inherit: s.inherit,
	}
	if s.loopArg >= 0 {
		c.loops = uintptr(s.loopTo - s.Args[s.loopArg].n)
	}
	if s.saves {
		c.save = uint8(s.save) + 1
	}
	for i, e := range s.ignore {
		c.ignore[i] = uint16(e)
	}
	for i := 0; i < len(s.Args) && i < len(c.arg); i++ {
		x := &s.Args[i]
		switch x.kind {
		case argSlot:
			c.slots |= 1 << i
			c.arg[i] = uintptr(x.n)
		case argBytes:
			c.arg[i] = a.bytes(x.data)
		case argString:
			c.arg[i] = a.cstring(x.str)
		case argStrings:
			c.arg[i] = a.vector(x.list)
		case argFilter:
			c.arg[i] = a.filter(x.data)
		default:
			c.arg[i] = uintptr(x.n)
		}
	}
	if s.nr > opBase { // the slots behind a mask are for the reader only
		c.slots = 0
	}
}

func (a *arena) vector(list []string) uintptr {
	v := a.alloc(uintptr(len(list)+1) * ptrSize)
	for i, s := range list {
		a.word(v+uintptr(i)*ptrSize, a.cstring(s))
	}
	return a.at(v)
}

// filter lays out struct sock_fprog {unsigned short len; struct sock_filter *filter}.
func (a *arena) filter(bpf []byte) uintptr {
	code := a.bytes(bpf)
	f := a.alloc(2 * ptrSize)
	*(*uint16)(unsafe.Pointer(&a.mem[f])) = uint16(len(bpf) / 8)
	a.word(f+ptrSize, code)
	return a.at(f)
}

const (
	ptrSize = unsafe.Sizeof(uintptr(0))
	pad     = 8 // most that alignment adds to one allocation
)
