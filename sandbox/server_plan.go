package sandbox

import (
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
	"github.com/jailrun/jailrun/sandbox/seccomp"
)

// A serverPlan is how fuse-overlayfs is started that answers for the root, or the
// current directory, where the kernel has no overlay.
//
// It is not trusted with more than the files it answers for: it is C code that
// takes a hostile job's requests. So it is walled in as a job is, in namespaces
// and a root of its own, under a filter that leaves it neither processes nor
// sockets, charged to the job's group. It shares the job's user namespace,
// because files must get the job's ids, and holds there the four capabilities
// that takes. It is in no pid namespace that the job can see: a capability
// would not protect it, for under a map of one id the job has the uid of the
// server, and that suffices for kill(2).
type serverPlan struct {
	program *prog.Program
	root    fs.Server
	mapped  []mappedTree
	said    prog.Slot // write end of the pipe that takes its messages
	procs   prog.Slot // cgroup.procs of init's leaf; 0 without a group
}

const serverSpaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET

// serverTasks is how many tasks a server has in the job's group: its init and
// itself. The spawner that has made them counts for rlimits only.
const serverTasks = 2

// serverCaps are what a server does for others' files, in the job's user
// namespace: CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID.
const (
	serverCaps     = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID
	serverCapsText = "CAP_CHOWN|CAP_DAC_OVERRIDE|CAP_FOWNER|CAP_FSETID"
)

// serverRlimits bound a server where no group does. It takes about 0.3 KiB for
// each name that the job has looked up.
var serverRlimits = [...]struct {
	resource int
	max      uint64
}{
	{unix.RLIMIT_DATA, uint64(serverMemory)},
	{unix.RLIMIT_CORE, 0},
	{unix.RLIMIT_MEMLOCK, 0},
	{unix.RLIMIT_NOFILE, 65536}, // each open file of the job takes one
}

const serverMemory = 512 * limits.MiB

// planServer works out the server of layers, over which there is an init layer
// if root is set.
func (pl *Plan) planServer(layers []fs.Lower, root bool, f *facts, b build) {
	sp := &serverPlan{program: &prog.Program{Flags: serverSpaces, FlagsText: "CLONE_NEWNS|CLONE_NEWPID|CLONE_NEWIPC|CLONE_NEWUTS|CLONE_NEWNET|CLONE_PIDFD"}}
	pl.servers = append(pl.servers, sp)
	p := sp.program
	fuse, tree := p.Slot(fs.ServerFuse), p.Slot(fs.ServerLayers)
	sp.said = p.Slot("said")
	kept := []prog.Slot{prog.SlotStatus, prog.SlotCtl, fuse, tree, sp.said}
	if b.hasCgroup {
		sp.procs = p.Slot("init-procs")
		kept = append(kept, sp.procs)
	}
	sp.root = fs.Server{Base: f.host.Base, System: f.fuse.system, Program: f.fuse.path, Init: root}
	for _, l := range layers {
		if f.uid == 0 {
			l.Mapped, l.HasMapped = p.Slot("root-tree"), true
			sp.mapped = append(sp.mapped, mappedTree{slot: l.Mapped, source: l.Dir, lower: root})
			kept = append(kept, l.Mapped)
		}
		sp.root.Lowers = append(sp.root.Lowers, l)
	}
	id := &b.identity
	if !id.written {
		pl.root.InitID = id.job
		sp.root.Sole = &id.job
	}
	p.AddInit(prog.StageIdentity,
		prog.KeepOnly(kept...),
		prog.Dup(prog.SlotCtl, 0, 0, "0"), prog.Dup(prog.SlotCtl, 1, 0, "0"), prog.Dup(prog.SlotCtl, 2, 0, "0"),
		prog.Call("umask", unix.SYS_UMASK, prog.Int(0)),
	)
	if b.hasCgroup {
		p.AddInit(prog.StageIdentity, prog.Write(sp.procs, []byte("0"), `"0"`).Because("what it uses is the job's"), prog.Close(sp.procs))
	}
	if id.written {
		p.AddInit(prog.StageIdentity,
			prog.Call("setgroups", unix.SYS_SETGROUPS, prog.Int(0), prog.Nil()),
			prog.Call("setresgid", unix.SYS_SETRESGID, prog.Int(0), prog.Int(0), prog.Int(0)),
			prog.Call("setresuid", unix.SYS_SETRESUID, prog.Int(0), prog.Int(0), prog.Int(0)))
	}
	sp.root.Append(p)
	proc := p.SlotNamed(fs.ServerProc)
	// Before the fork: init and its child have their slots in common.
	p.AddInit(prog.StageFork, above(prog.SlotStatus).Save(prog.SlotStatus).Because("out of the way of what the server gets"))
	p.AddInit(prog.StageFork, reaperFiles()...)
	p.AddInit(prog.StageFork, prog.SendReady(proc).Because("for the watchdog"), prog.Close(proc), prog.Scrub(), prog.Fork())
	appendScrub(p)
	sp.appendServer(fuse, f)
}

// appendServer adds the steps of the server's own process.
func (sp *serverPlan) appendServer(fuse prog.Slot, f *facts) {
	p := sp.program
	resetSignals(p)
	add := func(stage prog.Stage, steps ...prog.Step) { p.AddJob(stage, steps...) }
	add(prog.StageLimits, prog.Call("setsid", unix.SYS_SETSID))
	for _, l := range serverRlimits {
		n := min(l.max, f.hard[l.resource].Max)
		add(prog.StageLimits, prog.SetLimit(l.resource, rlimitNames[l.resource], unix.Rlimit{Cur: n, Max: n}))
	}
	// Raised as ambient, the capabilities outlive execve whatever the uid; the
	// bounding set goes first, for which it takes CAP_SETPCAP.
	add(prog.StageConfine, capsets(serverCaps|1<<unix.CAP_SETPCAP, serverCaps, serverCapsText+"|CAP_SETPCAP, inheritable "+serverCapsText), dropBounding())
	for _, c := range [...]int{unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID} {
		add(prog.StageConfine, prog.Prctl(unix.PR_CAP_AMBIENT, "PR_CAP_AMBIENT", prog.Bits(unix.PR_CAP_AMBIENT_RAISE, "PR_CAP_AMBIENT_RAISE"), prog.Int(c)))
	}
	add(prog.StageConfine, prog.Prctl(unix.PR_SET_SECUREBITS, "PR_SET_SECUREBITS", prog.Bits(secureBits, secureBitsText)))
	if f.keys {
		add(prog.StageConfine, prog.Keyring()...)
	}
	add(prog.StageConfine, capsets(serverCaps, serverCaps, serverCapsText), prog.Prctl(unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS", prog.Int(1)))
	fds := [4]prog.Slot{p.Slot("0"), p.Slot("1"), p.Slot("2"), p.Slot("3")}
	for i, from := range [4]prog.Slot{sp.said, sp.said, sp.said, fuse} {
		add(prog.StageExec, above(from).Save(fds[i]))
	}
	add(prog.StageExec, passGate())
	for i, from := range fds {
		add(prog.StageExec, prog.Dup(from, i, 0, "0").Save(from))
	}
	argv := sp.root.Argv()
	env := []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	add(prog.StageExec,
		prog.KeepOnly(append(fds[:], prog.SlotStatus)...),
		prog.Chdir("/"),
		loadFilter(seccomp.Server(), "server"),
		prog.Call("execve", unix.SYS_EXECVE, prog.Str(sp.root.Program), prog.Strings(argv, ""), prog.Strings(env, "")))
}

// above makes a copy of a descriptor at a number above those that a server gets.
func above(s prog.Slot) prog.Step {
	const first = 16
	return prog.Call("fcntl", unix.SYS_FCNTL, prog.Fd(s), prog.Bits(unix.F_DUPFD_CLOEXEC, "F_DUPFD_CLOEXEC"), prog.Int(first))
}
