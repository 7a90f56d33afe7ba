package fs

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// A Root is what is to be made. The zero value, with a Host, is the composed
// host root without a current directory.
type Root struct {
	Host Host
	// Lowers, if set, are the root's read-only layers, bottom to top, instead of
	// the host's system directories.
	Lowers []Lower
	// ReadOnly leaves only /tmp, /var/tmp, Home and /dev/shm writable.
	ReadOnly bool
	Size     uint64 // bytes of all writable areas; must not be 0
	Inodes   int    // of all writable areas; must not be 0

	Home  string    // absolute; the job's own writable directory
	Owner [2]uint32 // uid and gid inside that Home, and what a Copy adds, belong to
	// Work is the current directory seen inside; no Source for none.
	Work Mount
	// Etc holds the fabricated files below /etc, by name.
	Etc   []File
	Extra []Mount // shown after Work, in this order
	Files []File  // absolute names, written last
}

// Mode is how a directory of the host is seen.
type Mode uint8

// The modes.
const (
	ReadOnly Mode = iota // what is there, without its sockets and FIFOs
	Writable             // itself
	Copy                 // an overlay whose writes go to the root's tmpfs; for Work only
	Plain                // read-only, with the sockets and FIFOs in it
)

// A Mount is a directory or file of the host shown inside, or a tmpfs.
type Mount struct {
	Source string // outside, absolute, free of symbolic links; "" for a tmpfs
	Target string // inside, absolute
	Dir    bool   // Source is a directory
	Mode   Mode
	NoExec bool
	// Mapped is the slot of a detached, id-mapped mount of Source that is used
	// instead of it, if HasMapped.
	Mapped    prog.Slot
	HasMapped bool
	Size      uint64    // of a tmpfs of its own; 0 is a directory of the root's
	Inodes    int       // of a tmpfs of its own
	Area      prog.Slot // receives a descriptor of the tmpfs
}

// A File is written into the root.
type File struct {
	Name    string // below /etc, or absolute
	Content []byte
	Mode    int
}

// Attributes every mount of the job has.
const (
	attrSafe     = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	attrSafeText = "MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV"
	attrRO       = attrSafe | unix.MOUNT_ATTR_RDONLY
	attrROText   = attrSafeText + "|MOUNT_ATTR_RDONLY"
	bindFlags    = unix.MS_BIND | unix.MS_REC
	bindText     = "MS_BIND|MS_REC"
)

// Upper is the slot name of a descriptor of the directory, in the root's tmpfs,
// that receives the writes of a [Copy] work directory.
const Upper = "upper"

// Proc is the slot name of a descriptor of the job's /proc.
const Proc = "proc"

// Append appends init's steps. Their order is the wall: as long as the host is
// there, targets lie in a tmpfs that holds nothing but what these steps made;
// what may hold a symbolic link, a directory of the user's, is only attached,
// and written to, when the host is gone.
func (r *Root) Append(p *prog.Program) {
	b := builder{p: p, r: r, t: r.Host.Base, f: p.Slot("file")}
	b.upper = p.Slot(Upper)
	b.proc = p.Slot(Proc)
	b.sources()
	b.tmpfs()
	if b.layered() {
		b.layer()
	} else {
		b.compose()
	}
	b.overlays()
	b.mountProc()
	b.pivot()
	b.writable()
	b.dev()
	b.maskProc()
	b.attachAll()
	b.files()
	b.seal()
}

type builder struct {
	p           *prog.Program
	r           *Root
	t           string    // where the tmpfs is mounted, as long as the host is there
	f           prog.Slot // for files that are opened and closed at once
	upper, proc prog.Slot
	lower       prog.Slot // the directory of a root of the user's, if it is of one
	trees       []tree
	devices     []prog.Slot // of a root of the user's
	shm, empty  prog.Slot
	newProc     prog.Slot // for a root of the user's
	hasEmpty    bool
}

// A tree is a user's source, held by a descriptor.
type tree struct {
	mount Mount
	fd    prog.Slot // detached mount to attach
	dir   prog.Slot // the directory itself, for an overlay's lower layer
}

func (b *builder) root(steps ...prog.Step) { b.p.AddInit(prog.StageRoot, steps...) }

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

// hiddenDirs makes what the job must not reach: in a composed root below the
// mount point of /proc, which the proc file system then covers.
func (b *builder) hiddenDirs(prefix string) {
	b.root(prog.Mkdir(prefix+"cow", 0o755), prog.Mkdir(prefix+"cow-work", 0o755), prog.Mkdir(prefix+"shm", 0o755),
		prog.Mkdir(prefix+"empty", 0o555), prog.Mkdir(prefix+"lower", 0o755),
		prog.Call("fchmodat", unix.SYS_FCHMODAT, prog.At(), prog.Str(prefix+"shm"), prog.Bits(0o1777, "01777")),
		prog.Open(prefix+"cow", unix.O_RDONLY|unix.O_DIRECTORY, "O_RDONLY|O_DIRECTORY", 0, b.upper).
			Because("for the runner: the tmpfs in use, and what was written to a copied directory"),
	)
	b.own(prefix + "cow")
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

// layer makes the root an overlay of the user's directories and the tmpfs. The
// current directory is the new root.
func (b *builder) layer() {
	b.root(prog.Mkdir("upper", 0o755), prog.Mkdir("work", 0o755), prog.Mkdir("root", 0o755))
	b.hiddenDirs("")
	b.stackLowers(b.t+"/root", ",upperdir="+b.t+"/upper,workdir="+b.t+"/work,userxattr")
}

// pivot makes the current directory the root and lets go of the host: the old
// root comes to lie on top of the new one and is taken away (pivot_root(2)).
func (b *builder) pivot() {
	b.root(
		prog.Call("pivot_root", unix.SYS_PIVOT_ROOT, prog.Str("."), prog.Str(".")),
		prog.Call("umount2", unix.SYS_UMOUNT2, prog.Str("."), prog.Bits(unix.MNT_DETACH, "MNT_DETACH")).
			Because("the host's files are gone from here: no later target can lead to them"),
		prog.Chdir("/"),
	)
	for _, t := range b.trees {
		if t.dir != 0 {
			b.root(prog.Close(t.dir))
		}
	}
	if b.layered() {
		for _, d := range rootDirs {
			b.root(prog.Mkdir(d, 0o755).Ignore(unix.EEXIST))
		}
	}
}

// writable makes the directories that are the job's own, and the fabricated
// files, which in a root of the user's replace what has their name.
func (b *builder) writable() {
	for _, d := range [...]string{"/tmp", "/var/tmp"} {
		b.root(prog.Call("fchmodat", unix.SYS_FCHMODAT, prog.At(), prog.Str(d), prog.Bits(0o1777, "01777")))
	}
	b.root(b.parents(b.r.Home)...)
	b.root(prog.Mkdir(b.r.Home, 0o755).Ignore(unix.EEXIST))
	b.own(b.r.Home)
	for _, f := range b.r.Etc {
		b.write("/etc/"+f.Name, f)
	}
}

// write makes a file. In a root of the user's a file or link of that name is
// replaced, never followed.
func (b *builder) write(path string, f File) {
	if b.layered() {
		b.root(prog.Call("unlinkat", unix.SYS_UNLINKAT, prog.At(), prog.Str(path), prog.Int(0)).Ignore(unix.ENOENT))
	}
	b.root(prog.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, "O_WRONLY|O_CREAT|O_EXCL", f.Mode, b.f))
	if len(f.Content) > 0 {
		b.root(prog.Write(b.f, f.Content, strconv.Itoa(len(f.Content))+" bytes"))
	}
	b.root(prog.Close(b.f))
}

func (b *builder) files() {
	for _, f := range b.r.Files {
		b.root(b.parents(f.Name)...)
		b.write(f.Name, f)
	}
}

// parents makes the directories above path, which may exist.
func (b *builder) parents(path string) []prog.Step {
	var steps []prog.Step
	for i := 1; i < len(path); i++ {
		if path[i] == '/' && path[:i] != "/home" && path[:i] != "/tmp" {
			steps = append(steps, prog.Mkdir(path[:i], 0o755).Ignore(unix.EEXIST))
		}
	}
	return steps
}

// seal makes the root itself read-only, if asked; what is mounted in it stays
// as it is.
func (b *builder) seal() {
	if !b.r.ReadOnly {
		return
	}
	for _, d := range [...]string{"/tmp", "/var/tmp", b.r.Home} {
		b.root(prog.Mount(d, d, "", unix.MS_BIND, "MS_BIND", ""))
	}
	b.root(prog.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, prog.At(), prog.Str("/"), prog.Int(0),
		prog.Data(mountAttr(unix.MOUNT_ATTR_RDONLY), "MOUNT_ATTR_RDONLY"), prog.Int(mountAttrSize)))
}
