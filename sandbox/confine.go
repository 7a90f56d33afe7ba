package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
	"github.com/jailrun/jailrun/sandbox/seccomp"
)

// Securebits, all locked: uid 0 is a name without power, nothing is kept over
// a change of uid, no capability becomes ambient (capabilities(7)).
const (
	secureBits     = 0x01 | 0x02 | 0x04 | 0x08 | 0x20 | 0x40 | 0x80
	secureBitsText = "NOROOT|NO_SETUID_FIXUP|NO_CAP_AMBIENT_RAISE|all locked"
)

// namespaceLimits are the sysctls below /proc/sys/user that the job's user
// namespace sets for itself. Zero namespaces is a wall of its own against
// nested ones, beside the filter. The inotify limits are charged up to the
// caller, whose own programs would otherwise run dry.
var namespaceLimits = [...]struct{ name, value string }{
	{"max_user_namespaces", "0"},
	{"max_mnt_namespaces", "0"},
	{"max_pid_namespaces", "0"},
	{"max_ipc_namespaces", "0"},
	{"max_uts_namespaces", "0"},
	{"max_net_namespaces", "0"},
	{"max_cgroup_namespaces", "0"},
	{"max_time_namespaces", "0"},
	{"max_inotify_instances", "16"},
	{"max_inotify_watches", "8192"},
	{"max_fanotify_groups", "0"},
	{"max_fanotify_marks", "0"},
}

// appendLimits adds what the job sets while it may: its group's namespace, the
// limits of its user namespace, its priority for the OOM killer, its rlimits.
func (pl *Plan) appendLimits(rl [limits.Resources]unix.Rlimit, f *facts) {
	p := pl.Program
	add := func(steps ...prog.Step) { p.AddJob(prog.StageLimits, steps...) }
	add(prog.Call("setsid", unix.SYS_SETSID).Because("no terminal of the caller, no process group with him"))
	file := p.Slot("sysctl")
	if pl.joinGroup {
		add(prog.Write(pl.procsSlot, []byte("0"), `"0"`).Because("enters its group: under foreign ids clone3 may not put it there"))
	}
	add(prog.Unshare(unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP").Because("its own group is the root it sees"))
	for _, l := range namespaceLimits {
		if l.name == "max_time_namespaces" && !f.timeNS {
			continue
		}
		open := prog.Open("/proc/sys/user/"+l.name, unix.O_WRONLY, "O_WRONLY", 0, file)
		add(open, prog.Write(file, []byte(l.value), l.value), prog.Close(file))
	}
	add(
		prog.Open("/proc/self/oom_score_adj", unix.O_WRONLY, "O_WRONLY", 0, file),
		prog.Write(file, []byte("1000"), "1000").Because("when memory is short the job goes first"),
		prog.Close(file),
	)
	if f.autogroup && (pl.watchesMemory() || pl.watchesShare()) {
		add(
			prog.Open("/proc/self/autogroup", unix.O_WRONLY, "O_WRONLY", 0, file),
			// The kernel lets all users together do this ten times a second
			// (proc_sched_autogroup_set_nice): beyond that the job stays an
			// equal, as it is on a kernel without autogroups.
			prog.Write(file, []byte(autogroupNice), autogroupNice).Ignore(unix.EAGAIN).Because("its session is scheduled as one: on a busy machine the watchdog must not be slower than the job"),
			prog.Close(file),
		)
	}
	add(pl.root.SealProc(p)...)
	for i, l := range rl {
		if i == unix.RLIMIT_NOFILE && pl.filters.lowersLate {
			pl.filters.nofile = l
			add(prog.SetLimit(i, rlimitNames[i], unix.Rlimit{Cur: f.hard[i].Max, Max: f.hard[i].Max}).
				Because("a descriptor is still to be sent: what jobs of the user have in flight counts against this"))
			continue
		}
		add(prog.SetLimit(i, rlimitNames[i], l))
	}
}

// autogroupNice is the priority of the job's session where the watchdog holds
// its memory or its share: it runs on for as long as the watchdog is late. As an equal of the session in which the runner and 64 busy
// processes are, the job touched 250 MiB too much before the runner had its
// next turn, and ended before it was seen; with 7 it was 7 MiB, once 30.
const autogroupNice = "8"

var rlimitNames = [limits.Resources]string{
	"RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE",
	"RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
}

// appendConfine adds the job's loss of rights.
func (pl *Plan) appendConfine(s *Spec, f *facts) error {
	add := func(steps ...prog.Step) { pl.Program.AddJob(prog.StageConfine, steps...) }
	add(prog.Call("umask", unix.SYS_UMASK, prog.Bits(0o022, "022")))
	add(dropBounding(), prog.Prctl(unix.PR_SET_SECUREBITS, "PR_SET_SECUREBITS", prog.Bits(secureBits, secureBitsText)))
	if pl.identity.written {
		u, g := int(pl.identity.job[0]), int(pl.identity.job[1])
		add(
			prog.Call("setresgid", unix.SYS_SETRESGID, prog.Int(g), prog.Int(g), prog.Int(g)),
			prog.Call("setresuid", unix.SYS_SETRESUID, prog.Int(u), prog.Int(u), prog.Int(u)),
		)
	}
	switch {
	case f.keysErr != nil:
		if err := pl.lack(s, WallKeyring, "cannot be told: "+f.keysErr.Error(), true); err != nil {
			return err
		}
	case !f.keys:
		pl.walls = append(pl.walls, Wall{Name: WallKeyring, Evidence: "this kernel has no keyrings"})
	default:
		pl.walls = append(pl.walls, Wall{Name: WallKeyring, Evidence: "an empty session keyring"})
		add(prog.Keyring()...)
	}
	add(
		capset(0, "none"),
		prog.Prctl(unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS", prog.Int(1)),
	)
	return pl.appendLandlock(s, f)
}

func dropBounding() prog.Step {
	return prog.Prctl(unix.PR_CAPBSET_DROP, "PR_CAPBSET_DROP", prog.Int(0)).Loop(1, 63).Ignore(unix.EINVAL).
		Because("EINVAL above the last capability this kernel knows")
}

// capset sets the permitted and effective sets to mask and empties the others;
// the ambient set follows the inheritable one.
func capset(mask uint32, text string) prog.Step { return capsets(mask, 0, text) }

// capsets is capset with an inheritable set.
func capsets(mask, inheritable uint32, text string) prog.Step {
	head := make([]byte, 8)
	binary.NativeEndian.PutUint32(head, unix.LINUX_CAPABILITY_VERSION_3)
	data := make([]byte, 24) // two of {effective, permitted, inheritable}
	binary.NativeEndian.PutUint32(data, mask)
	binary.NativeEndian.PutUint32(data[4:], mask)
	binary.NativeEndian.PutUint32(data[8:], inheritable)
	return prog.Call("capset", unix.SYS_CAPSET, prog.Data(head, "version 3"), prog.Data(data, text))
}

// loadFilter must be the last step before execve: every later call would have
// to be allowed to the job as well.
func loadFilter(bpf []byte, name string) prog.Step {
	return setFilter(prog.Int(0), bpf, name)
}

// listenFilter is loadFilter with a listener, which is close-on-exec by itself.
func listenFilter(bpf []byte, name string, to prog.Slot) prog.Step {
	return setFilter(prog.Bits(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, "SECCOMP_FILTER_FLAG_NEW_LISTENER"), bpf, name).Save(to)
}

func setFilter(flags prog.Arg, bpf []byte, name string) prog.Step {
	return prog.Call("seccomp", unix.SYS_SECCOMP, prog.Bits(1, "SECCOMP_SET_MODE_FILTER"), flags, prog.Filter(bpf, name))
}

// filters are a run's filter and what is loaded of it.
type filters struct {
	meant    []byte // what every call is answered by; nil for none
	loaded   []byte // with notifications, if listen
	listen   bool
	listener prog.Slot // if listen
	record   bool

	// A job may have descriptors in flight up to its own RLIMIT_NOFILE, and
	// the kernel counts them by user (too_many_unix_fds): at the same limit no
	// other job could send its listener. So that one is lowered after it, if
	// the filter allows the call.
	lowersLate bool
	nofile     unix.Rlimit
}

// pidProc says whether the job sees processes in /proc and nothing else: under
// the profiles for single programs.
func (s *Spec) pidProc() bool {
	return s.Filter == nil && (s.profile() == "judge" || s.profile() == "strict")
}

// compiled is the filter asked for.
func (s *Spec) compiled(noMemfd bool) ([]byte, error) {
	switch {
	case s.Filter == nil:
		return seccomp.Filter(s.profile(), noMemfd)
	case noMemfd:
		return s.Filter.NoMemfd, nil
	}
	return s.Filter.Plain, nil
}

// chooseFilters works out the filter. unnamed leaves notifications out.
func (pl *Plan) chooseFilters(s *Spec, unnamed bool) error {
	bpf, err := s.compiled(pl.watchesMemory())
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	pl.filters = filters{meant: bpf, loaded: bpf, record: s.RecordCalls}
	switch {
	case bpf == nil || unnamed:
	case s.RecordCalls:
		pl.filters.loaded, pl.filters.listen = seccomp.Recording(bpf, sender)
	default:
		pl.filters.loaded, pl.filters.listen = seccomp.Naming(bpf, sender)
	}
	if s.RecordCalls && !pl.filters.listen {
		return errors.New("seccomp: calls cannot be recorded without a filter that has a listener")
	}
	if pl.filters.listen {
		pl.filters.listener = pl.Program.Slot("listener")
		answer, known := seccomp.Evaluate(bpf, &lowering)
		pl.filters.lowersLate = known && answer.Allowed() && !s.RecordCalls
	}
	return nil
}

// loadFilters returns the steps that load the filter and pass its listener on.
func (pl *Plan) loadFilters(s *Spec) []prog.Step {
	const why = "last: every later call must be one the job may make"
	f := &pl.filters
	if f.meant == nil {
		return nil
	}
	evidence := strconv.Itoa(len(f.meant)/8) + " instructions"
	if seccomp.Kills(f.meant) {
		evidence += ", some calls end the job"
	}
	if f.listen {
		evidence += ", denied calls are named"
	}
	pl.walls = append(pl.walls, Wall{Name: "seccomp", Profile: s.profile(), Evidence: evidence})
	if !f.listen {
		return []prog.Step{loadFilter(f.loaded, s.profile()).Because(why)}
	}
	steps := []prog.Step{
		listenFilter(f.loaded, s.profile(), f.listener).Because(why),
		prog.SendListener(f.listener).Because("for the names of the calls that are denied"),
	}
	if f.lowersLate {
		steps = append(steps, prog.SetLimit(unix.RLIMIT_NOFILE, rlimitNames[unix.RLIMIT_NOFILE], f.nofile))
	}
	return steps
}

// appendScrub adds init's own loss of rights, after the fork of the job and
// before the gate opens: it runs beside the job's steps, on another CPU.
func appendScrub(p *prog.Program, keep ...prog.Slot) {
	kept := append([]prog.Slot{prog.SlotCtl, prog.SlotSignals}, keep...)
	p.AddInit(prog.StageScrub,
		prog.KeepOnly(append(kept, prog.SlotStatus, prog.SlotGate)...),
		prog.Prctl(unix.PR_SET_NAME, "PR_SET_NAME", prog.Str("jailrun-init")),
		prog.SetLimit(unix.RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING", unix.Rlimit{}).
			Because("what the job queues for init would be charged to the caller; SIGCHLD needs no place in the queue"),
		prog.Prctl(unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE", prog.Int(0)).
			Because("the job can neither ptrace init nor read its /proc entries"),
		dropBounding(),
		capset(1<<unix.CAP_KILL, "CAP_KILL").Because("to end what the job leaves, also under another uid"),
		prog.Prctl(unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS", prog.Int(1)),
		loadFilter(seccomp.Init(), "init"),
		prog.Write(prog.SlotGate, []byte{1, 0, 0, 0, 0, 0, 0, 0}, "1").Because("the job may go on"),
		prog.Close(prog.SlotGate),
		prog.Close(prog.SlotStatus),
		prog.Reap(),
	)
}
