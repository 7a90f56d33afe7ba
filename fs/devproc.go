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
// bound from the host: mknod needs rights over the initial user namespace.
func (b *builder) dev() {
	add := func(steps ...prog.Step) { b.p.AddInit(prog.StageDev, steps...) }
	add(prog.Mount("/dev", "/dev", "", unix.MS_BIND, "MS_BIND", ""))
	for _, d := range devices {
		node := mknod("/dev/" + d.name)
		if b.r.Dir != "" {
			add(prog.Call("unlinkat", unix.SYS_UNLINKAT, prog.At(), prog.Str("/dev/"+d.name), prog.Int(0)).Ignore(unix.ENOENT))
		}
		add(node, prog.Mount(Old+"/dev/"+d.name, "/dev/"+d.name, "", unix.MS_BIND, "MS_BIND", ""))
	}
	for _, l := range devLinks {
		link := prog.Symlink(l[1], "/dev/"+l[0])
		if b.r.Dir != "" {
			link = link.Ignore(unix.EEXIST)
		}
		add(link)
	}
	add(
		prog.Mkdir("/dev/shm", 0o755).Ignore(unix.EEXIST),
		prog.SetAttr("/dev", unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, devAttrText),
		prog.Mount(b.hidden("shm"), "/dev/shm", "", unix.MS_BIND, "MS_BIND", ""),
		prog.SetAttr("/dev/shm", attrSafe|unix.MOUNT_ATTR_NOEXEC, attrSafeText+"|MOUNT_ATTR_NOEXEC"),
	)
}

// proc mounts a fresh /proc and hides what tells of the host. Files are
// covered by /dev/null, directories by one empty directory of the tmpfs.
func (b *builder) proc() {
	add := func(steps ...prog.Step) { b.p.AddInit(prog.StageProc, steps...) }
	dirs := false
	for _, m := range b.r.Host.Masks {
		dirs = dirs || m.Dir
	}
	empty := b.p.Slot("empty")
	if dirs {
		emptyDir := b.hidden("empty")
		add(prog.Mkdir(emptyDir, 0o555),
			prog.Call("open_tree", unix.SYS_OPEN_TREE, prog.At(), prog.Str(emptyDir),
				prog.Bits(unix.OPEN_TREE_CLONE|unix.O_CLOEXEC, "OPEN_TREE_CLONE|O_CLOEXEC")).Save(empty),
			prog.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, prog.Fd(empty), prog.Str(""), prog.Bits(unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"),
				prog.Data(mountAttr(attrRO|unix.MOUNT_ATTR_NOEXEC), attrROText+"|MOUNT_ATTR_NOEXEC"), prog.Int(mountAttrSize)),
		)
	}
	add(prog.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "MS_NOSUID|MS_NODEV|MS_NOEXEC", "").
		Because("covers the work directories of the overlays as well"))
	first := ""
	for _, m := range b.r.Host.Masks {
		target := "/proc/" + m.Name
		switch {
		case !m.Dir:
			add(prog.Mount("/dev/null", target, "", unix.MS_BIND, "MS_BIND", ""))
		case first == "":
			first = target
			add(moveMount(empty, target))
		default:
			add(prog.Mount(first, target, "", unix.MS_BIND, "MS_BIND", ""))
		}
	}
	add(prog.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY, "O_RDONLY|O_DIRECTORY", 0, b.p.Slot(Proc)))
}

// SealProc makes /proc read-only; the job does it when its own last write
// there is done. Masks stay as they are.
func SealProc() prog.Step {
	return prog.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, prog.At(), prog.Str("/proc"), prog.Int(0),
		prog.Data(mountAttr(unix.MOUNT_ATTR_RDONLY), "MOUNT_ATTR_RDONLY"), prog.Int(mountAttrSize)).
		Because("closes /proc/sys, uid_map, oom_score_adj, mem to the job")
}
