package sandbox

import (
	"io"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/fs/transfer"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// A Plan is a launch, worked out and not yet done. What it prints is what runs.
type Plan struct {
	Program *prog.Program

	identity  identity
	root      fs.Root
	walls     []Wall
	filters   filters
	notes     []string
	cwd       CWD // as decided
	cwdAuto   bool
	joinGroup bool      // the job enters its group itself
	procsSlot prog.Slot // job/cgroup.procs, if joinGroup
	mapped    []mappedTree
	areas     []prog.Slot // descriptors of further tmpfs
	sent      []sent      // descriptors in the Ready message, in its order
	held      holds
	limits    Limits
	stdinNull bool
	runtime   *RuntimeReport
	copyIn    []copyIn
	// What stands in for the overlay of the root, and of the current directory.
	fillRoot, fillWork *transfer.Filling
	servers            []*serverPlan // likewise, in the order in which init needs them
	writable           []writableDir // directories of the host's that the job may write to
	dir                string        // that is taken as current, "" if none can be
	lateNotes          int           // so many of the first notes are about limits that may come late
	late               *lateSlots    // of a plan for a pool; else nil
}

// mappedTree is a directory that must be shown through an id-mapped mount.
type mappedTree struct {
	slot   prog.Slot
	source string
	// lower: a layer of the root, which is of use even where the file system
	// cannot show it under another owner.
	lower bool
}

// Print writes the plan, a step a line, without the values that may be
// secrets unless secrets is true.
func (pl *Plan) Print(w io.Writer, secrets bool) error {
	err := pl.Program.Print(w, secrets)
	for _, sp := range pl.servers {
		if err == nil {
			_, err = io.WriteString(w, opServer+", in a sandbox of its own\n")
		}
		if err == nil {
			err = sp.program.Print(w, secrets)
		}
	}
	return err
}

// Picture draws what the job will see of files: each place, what it is made of,
// and where that comes from.
func (pl *Plan) Picture(w io.Writer) error { return pl.root.Picture(w) }

// Time stamps of a program.
const (
	stampInit     = iota // init runs
	stampRoot            // the root is made
	stampFork            // the job is forked
	stampGo              // the job's execve is released
	stampAwaitNet        // init waits for the network
	stampNet             // and has it
)

const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET

// namespaces are those that init is cloned with.
func (s *Spec) namespaces() uint64 {
	if s.Net == NetHost {
		return namespaces &^ unix.CLONE_NEWNET
	}
	return namespaces
}

// build is what newPlan needs beside Spec and facts.
type build struct {
	held      holds
	identity  identity
	stdin     bool     // the job gets a stdin pipe
	cwd       CWD      // overrides the choice, after a failed attempt
	plain     []string // sources that no overlay works on, after a failed attempt
	hasCgroup bool
	late      bool      // the job's last steps come when it is taken from a pool
	pooled    bool      // the Cmd has a pool
	noOverlay string    // why the root can be none, after a failed attempt
	noServer  string    // why fuse-overlayfs cannot stand in for it, after a failed attempt
	noWork    string    // why the current directory can be none, after a failed attempt
	unnamed   bool      // no listener on the filter, after a failed attempt
	net       *netFiles // of a network that configures the namespace; nil for none
	netFirst  bool      // init waits for it before it opens a file of the job's
}

// newPlan works out a launch. It is pure: the same arguments give the same plan.
func newPlan(s *Spec, f *facts, b build) (*Plan, error) {
	pl, err := planned(s, f, b)
	if err == nil && (pl.Program.Full() || slices.ContainsFunc(pl.servers, func(sp *serverPlan) bool { return sp.program.Full() })) {
		err = fieldError("bind", "", "too many: root can be given about 20 directories and layers, and anybody as many --tmpfs with a size")
	}
	return pl, err
}

func planned(s *Spec, f *facts, b build) (*Plan, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	pl := &Plan{
		Program: &prog.Program{
			Flags:     s.namespaces(),
			FlagsText: "CLONE_NEWUSER|CLONE_NEWNS|CLONE_NEWPID|CLONE_NEWIPC|CLONE_NEWUTS|CLONE_NEWNET|CLONE_PIDFD",
			// Room for what most plans take: growing would cost as much again.
			Init: make([]prog.Step, 0, 208+3*len(s.Layers)+10*len(s.Binds)),
			Job:  make([]prog.Step, 0, 96),
		},
		identity: b.identity, held: b.held, stdinNull: !b.stdin, dir: f.dir,
	}
	p := pl.Program
	pl.limits, pl.notes = resolveLimits(s, b.held, f.ram)
	pl.lateNotes = len(pl.notes)
	if err := pl.resolveRoot(s, f, b); err != nil {
		return nil, err
	}
	io := pl.ioSlots()
	first := append([]prog.Slot{prog.SlotStatus, prog.SlotCtl}, io.bound()...)
	if b.late {
		pl.late = &lateSlots{in: io.in, gate: p.Slot("go")}
		first = append(first, pl.late.gate)
	}
	if b.identity.block {
		first = append(first, p.Slot("block"))
	}
	switch {
	case b.hasCgroup && b.identity.foreign(f.uid):
		pl.joinGroup, pl.procsSlot = true, p.Slot("job-procs")
		first = append(first, pl.procsSlot)
	case b.hasCgroup:
		first = append(first, prog.SlotJobGroup)
	}
	for _, m := range pl.mapped {
		first = append(first, m.slot)
	}
	p.AddInit(prog.StageIdentity, prog.Stamp(stampInit),
		prog.KeepOnly(first...).Because("nothing else of the runner's comes along"),
		prog.Dup(prog.SlotCtl, 0, 0, "0").Because("so that no descriptor made here lies where the job's streams will"),
		prog.Dup(prog.SlotCtl, 1, 0, "0"),
		prog.Dup(prog.SlotCtl, 2, 0, "0"),
		prog.Call("umask", unix.SYS_UMASK, prog.Int(0)).Because("modes are what the steps say, whatever the caller's"))
	b.identity.append(p)
	if b.net != nil {
		if err := pl.appendSpaces(b.netFirst); err != nil {
			return nil, err
		}
	}
	hostname := s.hostname()
	p.AddInit(prog.StageRoot, prog.Call("sethostname", unix.SYS_SETHOSTNAME, prog.Str(hostname), prog.Int(len(hostname))),
		prog.Call("setdomainname", unix.SYS_SETDOMAINNAME, prog.Str("(none)"), prog.Int(len("(none)"))))
	pl.root.Append(p)
	p.AddInit(prog.StageRoot, prog.Stamp(stampRoot))
	if s.Net == NetHost {
		p.FlagsText = strings.Replace(p.FlagsText, "CLONE_NEWNET|", "", 1)
		pl.note("the network is the host's: what listens on its loopback and on abstract UNIX sockets can be reached")
	} else {
		appendLoopback(p)
	}
	pl.appendFork(f, b)
	rl, err := pl.rlimits(f)
	if err != nil {
		return nil, err
	}
	if err := pl.chooseFilters(s, b.unnamed); err != nil {
		return nil, err
	}
	resetSignals(p)
	pl.appendLimits(rl, f)
	pl.constantWalls(rl, f)
	if err := pl.appendConfine(s, f); err != nil {
		return nil, err
	}
	if b.late {
		pl.appendWait(io)
		return pl, nil
	}
	return pl, pl.appendExec(s, io)
}

// appendFork adds what init does just before it forks the job, and its own
// confinement after that.
func (pl *Plan) appendFork(f *facts, b build) {
	p := pl.Program
	add := func(steps ...prog.Step) { p.AddInit(prog.StageFork, steps...) }
	if f.timeNS {
		add(prog.Unshare(unix.CLONE_NEWTIME, "CLONE_NEWTIME").Because("for the job: /proc/self/ns/time would be a lock shared with every process"))
	}
	pl.sent = pl.sends()
	ready := make([]prog.Slot, len(pl.sent))
	for i, s := range pl.sent {
		ready[i] = s.slot
	}
	add(reaperFiles()...)
	add(
		prog.SendReady(ready...),
		prog.Scrub().Because("the runner's memory, with every secret in it"),
	)
	if b.net != nil && !b.netFirst {
		p.AddInit(prog.StageNet, awaitNetwork()...)
	}
	add(prog.Stamp(stampFork), prog.Fork())
	var keep []prog.Slot
	if b.identity.block {
		keep = append(keep, p.SlotNamed("block"))
	}
	appendScrub(p, keep...)
}

// reaperFiles makes what the loop of pid 1 and the gate need.
func reaperFiles() []prog.Step {
	mask := make([]byte, 8)
	mask[2] = 1 // signal 17, SIGCHLD, is bit 16
	return []prog.Step{
		prog.Call("signalfd4", unix.SYS_SIGNALFD4, prog.Int(-1), prog.Data(mask, "{SIGCHLD}"), prog.Int(8),
			prog.Bits(unix.SFD_CLOEXEC|unix.SFD_NONBLOCK, "SFD_CLOEXEC|SFD_NONBLOCK")).Save(prog.SlotSignals),
		prog.Call("eventfd2", unix.SYS_EVENTFD2, prog.Int(0), prog.Bits(unix.EFD_CLOEXEC, "EFD_CLOEXEC")).Save(prog.SlotGate),
	}
}

// resetSignals begins a job's list: the runner's dispositions and its mask of
// the fork came along. CLONE_CLEAR_SIGHAND would keep what is ignored.
func resetSignals(p *prog.Program) {
	none := prog.Data(make([]byte, 32), "SIG_DFL")
	p.AddJob(prog.StageLimits,
		prog.Call("rt_sigaction", unix.SYS_RT_SIGACTION, prog.Int(1), none, prog.Nil(), prog.Int(8)).Loop(0, 64).Ignore(unix.EINVAL).
			Because("EINVAL for SIGKILL and SIGSTOP"),
		prog.Call("rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, prog.Bits(unix.SIG_SETMASK, "SIG_SETMASK"), prog.Data(make([]byte, 8), "{}"), prog.Nil(), prog.Int(8)),
	)
}

// watchesMemory says whether the watchdog holds the memory limit. What a memfd
// holds is in no process's resident set, so the job then gets none.
func (pl *Plan) watchesMemory() bool { return pl.limits.Memory > 0 && !pl.held.memory }

// watchesShare says whether the watchdog holds the CPU share.
func (pl *Plan) watchesShare() bool { return pl.limits.CPU > 0 && !pl.held.cpu }

// sent is one descriptor that init sends with its Ready message.
type sent struct {
	slot prog.Slot
	role role
}

type role uint8

const (
	roleUpper role = iota // directory in the root's tmpfs
	roleProc              // the job's /proc
	roleArea              // a tmpfs of its own
	roleSysV              // /proc/sysvipc/shm
)

// sends lists what the runner gets from init, in the order in which it comes,
// that of the slots. SysV segments that no process has attached are in no
// resident set; the file shows the IPC namespace of who opened it.
func (pl *Plan) sends() []sent {
	p := pl.Program
	list := []sent{{p.SlotNamed(fs.Upper), roleUpper}, {p.SlotNamed(fs.Proc), roleProc}}
	for _, a := range pl.areas {
		list = append(list, sent{a, roleArea})
	}
	if pl.watchesMemory() {
		shm := p.Slot("sysvshm")
		p.AddInit(prog.StageFork, prog.Open("/proc/sysvipc/shm", unix.O_RDONLY, "O_RDONLY", 0, shm).Because("for the watchdog"))
		list = append(list, sent{shm, roleSysV})
	}
	slices.SortFunc(list, func(a, b sent) int { return int(a.slot) - int(b.slot) })
	return list
}
