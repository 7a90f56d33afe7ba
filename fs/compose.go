package fs

import (
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// tmpfs mounts the one file system of all that is writable.
func (b *builder) tmpfs() {
	data := "mode=755,size=" + strconv.FormatUint(b.r.Size, 10) + ",nr_inodes=" + strconv.Itoa(b.r.Inodes)
	b.root(
		prog.Mount("tmpfs", b.t, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "MS_NOSUID|MS_NODEV", data),
		prog.Chdir(b.t),
	)
}

// compose makes the root in the tmpfs itself, of the host's directories. The
// current directory is the new root.
func (b *builder) compose() {
	for _, d := range rootDirs {
		b.root(prog.Mkdir(d, 0o755))
	}
	for _, e := range b.r.Host.Trees {
		b.show(e)
	}
	made := map[string]bool{}
	for _, e := range b.r.Host.Etc {
		if dir := parent(e.Name); dir != "etc" && !made[dir] {
			made[dir] = true
			b.root(prog.Mkdir(dir, 0o755))
		}
		b.show(e)
	}
	b.p.AddInit(prog.StageDev, prog.Mount("dev", "dev", "", unix.MS_BIND, "MS_BIND", ""))
	for _, d := range devices {
		b.p.AddInit(prog.StageDev, mknod("dev/"+d.name), prog.Mount("/dev/"+d.name, "dev/"+d.name, "", unix.MS_BIND, "MS_BIND", ""))
	}
	b.hiddenDirs("proc/")
}

var rootDirs = [...]string{"etc", "dev", "proc", "tmp", "home", "var", "var/tmp"}

// IsOurs reports whether the init layer has a directory of that name in the root.
func IsOurs(name string) bool { return slices.Contains(rootDirs[:], name) || name == "work" }

// hiddenDirs makes what the job must not reach: in a composed root below the
// mount point of /proc, which the proc file system then covers.
func (b *builder) hiddenDirs(prefix string) {
	cow := prefix + "cow"
	b.root(prog.Mkdir(prefix+"cow", 0o755), prog.Mkdir(prefix+"cow-work", 0o755), prog.Mkdir(prefix+"shm", 0o755),
		prog.Mkdir(prefix+"empty", 0o555), prog.Mkdir(prefix+"lower", 0o755),
		sticky(prefix+"shm"),
	)
	if b.r.Work.Source != "" && b.r.Work.Mode == Served {
		b.root(prog.Mkdir(cow+"/work", 0o755), prog.Mkdir(cow+"/upper", 0o755))
		cow += "/upper"
	}
	b.root(
		prog.Open(cow, unix.O_RDONLY|unix.O_DIRECTORY, "O_RDONLY|O_DIRECTORY", 0, b.upper).
			Because("for the runner: the tmpfs in use, and what was written to a copied directory"),
	)
	b.own(cow)
	b.shm, b.empty = b.p.Slot("shm"), b.p.Slot("empty")
	b.root(clone(prefix+"shm", b.shm))
	for _, m := range b.r.Host.Masks {
		b.hasEmpty = b.hasEmpty || m.Dir
	}
	if b.hasEmpty {
		b.root(clone(prefix+"empty", b.empty), setAttrFd(b.empty, attrRO|unix.MOUNT_ATTR_NOEXEC, attrROText+"|MOUNT_ATTR_NOEXEC"))
	}
}

// hidden is a directory made by hiddenDirs, while the host is there.
func (b *builder) hidden(name string) string {
	if b.layered() {
		return b.t + "/" + name
	}
	return b.t + "/proc/" + name
}

// own gives a directory to the job, if that is not root inside, which made it.
func (b *builder) own(path string) {
	if o := b.r.Owner; o != [2]uint32{} {
		b.root(prog.Call("fchownat", unix.SYS_FCHOWNAT, prog.At(), prog.Str(path), prog.Int(int(o[0])), prog.Int(int(o[1])), prog.Int(0)))
	}
}

// show makes one name of the host appear under the same name.
func (b *builder) show(e Entry) {
	if e.Link != "" {
		b.root(prog.Symlink(e.Link, e.Name))
		return
	}
	if e.Dir {
		b.root(prog.Mkdir(e.Name, 0o755))
	} else {
		b.root(mknod(e.Name))
	}
	b.root(prog.Mount("/"+e.Name, e.Name, "", bindFlags, bindText, ""), prog.SetAttr(e.Name, attrRO, attrROText))
}
