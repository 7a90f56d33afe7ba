package fs

import (
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// A device is one of the memory devices, major number 1.
type device struct {
	name  string
	minor uint32
}

var devices = [...]device{{"null", 3}, {"zero", 5}, {"full", 7}, {"random", 8}, {"urandom", 9}}

var devLinks = [...][2]string{
	{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
}

const devAttrText = "MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID|MOUNT_ATTR_NOEXEC"

// dev makes /dev a mount of its own, so that it can be read-only: a job must
// not plant a file where another program expects a device. The devices are
// the host's: mknod needs rights over the initial user namespace. In a composed
// root they are there by now.
func (b *builder) dev() {
	add := func(steps ...prog.Step) { b.p.AddInit(prog.StageDev, steps...) }
	if b.layered() {
		add(prog.Mount("/dev", "/dev", "", unix.MS_BIND, "MS_BIND", ""))
		for i, d := range devices {
			add(moveMount(b.devices[i], "/dev/"+d.name), prog.Close(b.devices[i]))
		}
	} else {
		for _, l := range devLinks {
			add(prog.Symlink(l[1], "/dev/"+l[0]))
		}
		add(prog.Mkdir("/dev/shm", 0o755))
	}
	add(
		prog.SetAttr("/dev", unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, devAttrText),
		setAttrFd(b.shm, attrSafe|unix.MOUNT_ATTR_NOEXEC, attrSafeText+"|MOUNT_ATTR_NOEXEC"),
		moveMount(b.shm, "/dev/shm"),
		prog.Close(b.shm),
	)
}

// mountProc mounts a fresh /proc while the host's is there: the kernel gives a
// user namespace no more of it than it can see already (mount_too_revealing in
// fs/namespace.c). It leaves the new root as current directory.
func (b *builder) mountProc() {
	proc := func(at string) prog.Step {
		return prog.Mount("proc", at, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "MS_NOSUID|MS_NODEV|MS_NOEXEC", "")
	}
	add := func(steps ...prog.Step) { b.p.AddInit(prog.StageProc, steps...) }
	if b.r.PidProc {
		b.pidProc()
	}
	if !b.layered() {
		add(prog.Chdir(b.t), proc("proc").Because("covers the hidden directories as well"))
		return
	}
	b.newProc = b.p.Slot("new-proc")
	add(proc(b.hidden("lower")), clone(b.hidden("lower"), b.newProc), prog.Chdir(b.t+"/root"))
}

// pidProc makes a second /proc, of processes alone (Linux 5.8). The place where
// it is made is covered by the whole one afterwards.
func (b *builder) pidProc() {
	s := b.p.Slot(pidProcName)
	at := b.hidden("lower")
	if !b.layered() {
		at = b.t + "/proc"
	}
	b.p.AddInit(prog.StageProc,
		prog.Mount("proc", at, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "MS_NOSUID|MS_NODEV|MS_NOEXEC|MS_RDONLY", "subset=pid").
			Because("for the job: processes and nothing else"),
		clone(at, s),
	)
}

const pidProcName = "pid-proc"

// maskProc hides what tells of the host. Files are covered by /dev/null,
// directories by one empty directory of the tmpfs.
func (b *builder) maskProc() {
	add := func(steps ...prog.Step) { b.p.AddInit(prog.StageProc, steps...) }
	if b.layered() {
		add(moveMount(b.newProc, "/proc"), prog.Close(b.newProc))
	}
	first := ""
	for _, m := range b.r.Host.Masks {
		target := "/proc/" + m.Name
		switch {
		case !m.Dir:
			add(prog.Mount("/dev/null", target, "", unix.MS_BIND, "MS_BIND", ""))
		case first == "":
			first = target
			add(moveMount(b.empty, target))
		default:
			add(prog.Mount(first, target, "", unix.MS_BIND, "MS_BIND", ""))
		}
	}
	add(prog.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY, "O_RDONLY|O_DIRECTORY", 0, b.proc))
}

// SealProc makes /proc read-only; the job does it when its own last write
// there is done. Masks stay as they are, or with [Root.PidProc] are covered with
// the rest.
func (r *Root) SealProc(p *prog.Program) []prog.Step {
	if r.PidProc {
		s := p.SlotNamed(pidProcName)
		return []prog.Step{moveMount(s, "/proc"), prog.Close(s)}
	}
	return []prog.Step{prog.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, prog.At(), prog.Str("/proc"), prog.Int(0),
		prog.Data(mountAttr(unix.MOUNT_ATTR_RDONLY), "MOUNT_ATTR_RDONLY"), prog.Int(mountAttrSize)).
		Because("closes /proc/sys, uid_map, oom_score_adj, mem to the job")}
}
