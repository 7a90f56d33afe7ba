package fs

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// A Root is what is to be made. The zero value, with a Host, is the composed
// host root without a current directory.
type Root struct {
	Host Host
	// Dir, if set, is a directory of the host that is the root's lower layer
	// instead of the host's system directories.
	Dir string
	// ReadOnly leaves only Tmp, Home and /dev/shm writable.
	ReadOnly bool
	Size     uint64 // bytes of all writable areas; must not be 0
	Inodes   int    // of all writable areas; must not be 0

	Home  string    // absolute; the job's own writable directory
	Owner [2]uint32 // uid and gid inside that Home, and what a Copy adds, belong to
	Work  Work
	// Etc holds the fabricated files below /etc, by name.
	Etc   []File
	Extra []Mount
	Files []File // absolute names
}

// A Work is the current directory seen inside.
type Work struct {
	Source string // outside, absolute; "" for none
	Target string // inside, absolute
	Mode   Mode
	// Mapped is the slot of a detached, id-mapped mount of Source that is used
	// instead of it, if HasMapped.
	Mapped    prog.Slot
	HasMapped bool
}

// Mode is how a directory of the host is seen.
type Mode uint8

// The modes.
const (
	ReadOnly Mode = iota
	Writable
	Copy // an overlay whose writes go to the root's tmpfs
)

// A Mount is a directory or file of the host shown inside, or a tmpfs.
type Mount struct {
	Source    string // outside, absolute; "" for a tmpfs
	Target    string // inside, absolute
	Dir       bool   // Source is a directory
	Mode      Mode
	NoExec    bool
	Size      uint64 // of a tmpfs of its own; 0 is a directory of the root's
	Inodes    int
	Area      prog.Slot // receives a descriptor of the tmpfs
	Mapped    prog.Slot
	HasMapped bool
}

// A File is written into the root.
type File struct {
	Name    string // below /etc, or absolute
	Content []byte
	Mode    int
}

// Old is where the host's root waits until it is detached.
const Old = "/.old"

// hidden is a place in the tmpfs that the job cannot reach: in a composed root
// below the mount point of /proc, which the proc file system covers; beside the
// overlay that is the root of a directory, and an overlay cannot be an upper.
func (b *builder) hidden(name string) string {
	if b.r.Dir != "" {
		return Old + b.r.Host.Base + "/" + name
	}
	return "/proc/" + name
}

// MountPrivate prints for the flags that cut a mount off from its peers.
const MountPrivate = "MS_REC|MS_PRIVATE"

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

// Append appends init's steps: everything but the last ones, which need the
// host's root no more and stand in [Root.Leave].
func (r *Root) Append(p *prog.Program) {
	b := builder{p: p, r: r}
	b.begin()
	b.trees()
	b.etc()
	b.writable()
	b.extra()
	b.work()
	b.files()
	b.dev()
	b.proc()
	b.leave()
}

type builder struct {
	p *prog.Program
	r *Root
	f prog.Slot // for files that are opened and closed at once
}

func (b *builder) root(steps ...prog.Step) { b.p.AddInit(prog.StageRoot, steps...) }

// begin makes the tmpfs and pivots into it.
func (b *builder) begin() {
	b.f = b.p.Slot("file")
	data := "mode=755,size=" + strconv.FormatUint(b.r.Size, 10) + ",nr_inodes=" + strconv.Itoa(b.r.Inodes)
	b.root(
		prog.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, MountPrivate, "").
			Because("nothing mounted here reaches the host, or the other way (slave would let the host's mounts in)"),
		prog.Mount("tmpfs", b.r.Host.Base, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "MS_NOSUID|MS_NODEV", data),
		prog.Chdir(b.r.Host.Base),
	)
	if b.r.Dir != "" {
		b.beginDir()
		return
	}
	b.root(
		prog.Mkdir(Old[1:], 0o700),
		prog.Call("pivot_root", unix.SYS_PIVOT_ROOT, prog.Str("."), prog.Str(Old[1:])).
			Because("from here on every target is resolved inside the new root"),
		prog.Chdir("/"),
	)
	for _, d := range [...]string{"etc", "dev", "proc", "tmp", "home", "var", "var/tmp"} {
		b.root(prog.Mkdir(d, 0o755))
	}
}

// beginDir makes an overlay of a directory and the tmpfs, and pivots into it.
// The lower layer is named "." so that no path of the host shows in the job's
// mountinfo, and none has to be escaped.
func (b *builder) beginDir() {
	base := b.r.Host.Base
	b.root(
		prog.Mkdir("upper", 0o755), prog.Mkdir("work", 0o755), prog.Mkdir("root", 0o755),
		prog.Chdir(b.r.Dir),
		overlay(base+"/root", base+"/upper", base+"/work"),
		prog.Chdir(base+"/root"),
		prog.Mkdir(Old[1:], 0o700),
		prog.Call("pivot_root", unix.SYS_PIVOT_ROOT, prog.Str("."), prog.Str(Old[1:])),
		prog.Chdir("/"),
	)
	for _, d := range [...]string{"etc", "dev", "proc", "tmp", "home", "var", "var/tmp"} {
		b.root(prog.Mkdir(d, 0o755).Ignore(unix.EEXIST))
	}
}

// overlay mounts an overlay whose lower layer is the current directory.
func overlay(target, upper, work string) prog.Step {
	return prog.Mount("overlay", target, "overlay", unix.MS_NOSUID|unix.MS_NODEV, "MS_NOSUID|MS_NODEV",
		"lowerdir=.,upperdir="+upper+",workdir="+work+",userxattr")
}

func (b *builder) trees() {
	for _, e := range b.r.Host.Trees {
		b.show(e)
	}
}

// show makes one name of the host appear under the same name.
func (b *builder) show(e Entry) {
	target := "/" + e.Name
	if e.Link != "" {
		b.root(prog.Symlink(e.Link, target))
		return
	}
	if e.Dir {
		b.root(prog.Mkdir(target, 0o755))
	} else {
		b.root(mknod(target))
	}
	b.root(
		prog.Mount(Old+target, target, "", bindFlags, bindText, ""),
		prog.SetAttr(target, attrRO, attrROText),
	)
}

func mknod(path string) prog.Step {
	return prog.Call("mknodat", unix.SYS_MKNODAT, prog.At(), prog.Str(path), prog.Bits(unix.S_IFREG|0o644, "S_IFREG|0644"), prog.Int(0))
}

func (b *builder) etc() {
	if len(b.r.Host.Etc) > 0 {
		made := map[string]bool{}
		for _, e := range b.r.Host.Etc {
			if i := strings.LastIndexByte(e.Name, '/'); i > len("etc") && !made[e.Name[:i]] {
				made[e.Name[:i]] = true
				b.root(prog.Mkdir("/"+e.Name[:i], 0o755))
			}
			b.show(e)
		}
	}
	for _, f := range b.r.Etc {
		b.write("/etc/"+f.Name, f)
	}
}

// write makes a file. In a root of the user's a file or link of that name is
// replaced, never followed.
func (b *builder) write(path string, f File) {
	if b.r.Dir != "" {
		b.root(prog.Call("unlinkat", unix.SYS_UNLINKAT, prog.At(), prog.Str(path), prog.Int(0)).Ignore(unix.ENOENT))
	}
	b.root(prog.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, "O_WRONLY|O_CREAT|O_EXCL", f.Mode, b.f))
	if len(f.Content) > 0 {
		b.root(prog.Write(b.f, f.Content, strconv.Itoa(len(f.Content))+" bytes"))
	}
	b.root(prog.Close(b.f))
}

// writable makes the directories that are the job's own.
func (b *builder) writable() {
	for _, d := range [...]string{"/tmp", "/var/tmp"} {
		b.root(prog.Call("fchmodat", unix.SYS_FCHMODAT, prog.At(), prog.Str(d), prog.Bits(0o1777, "01777")))
	}
	b.root(b.parents(b.r.Home)...)
	b.root(prog.Mkdir(b.r.Home, 0o755).Ignore(unix.EEXIST))
	b.own(b.r.Home)
	shm, upper := b.hidden("shm"), b.hidden("cow")
	b.root(prog.Mkdir(upper, 0o755), prog.Mkdir(b.hidden("cow-work"), 0o755), prog.Mkdir(shm, 0o755),
		prog.Call("fchmodat", unix.SYS_FCHMODAT, prog.At(), prog.Str(shm), prog.Bits(0o1777, "01777")),
		prog.Open(upper, unix.O_RDONLY|unix.O_DIRECTORY, "O_RDONLY|O_DIRECTORY", 0, b.p.Slot(Upper)).
			Because("for the runner: the tmpfs in use, and what was written to a copied directory"))
	b.own(upper)
}

// own gives a directory to the job, if that is not root inside, which made it.
func (b *builder) own(path string) {
	if o := b.r.Owner; o != [2]uint32{} {
		b.root(prog.Call("fchownat", unix.SYS_FCHOWNAT, prog.At(), prog.Str(path), prog.Int(int(o[0])), prog.Int(int(o[1])), prog.Int(0)))
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

func (b *builder) files() {
	for _, f := range b.r.Files {
		b.root(b.parents(f.Name)...)
		b.write(f.Name, f)
	}
}

// leave makes the root read-only if asked, and lets go of the host's.
func (b *builder) leave() {
	if b.r.ReadOnly {
		for _, d := range [...]string{"/tmp", "/var/tmp", b.r.Home} {
			b.root(prog.Mount(d, d, "", unix.MS_BIND, "MS_BIND", ""))
		}
		b.root(prog.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, prog.At(), prog.Str("/"), prog.Int(0),
			prog.Data(mountAttr(unix.MOUNT_ATTR_RDONLY), "MOUNT_ATTR_RDONLY"), prog.Int(mountAttrSize)))
	}
	b.root(
		prog.Call("umount2", unix.SYS_UMOUNT2, prog.Str(Old), prog.Bits(unix.MNT_DETACH, "MNT_DETACH")).
			Because("the host's files are gone from here"),
	)
	if !b.r.ReadOnly {
		b.root(prog.Call("unlinkat", unix.SYS_UNLINKAT, prog.At(), prog.Str(Old), prog.Bits(unix.AT_REMOVEDIR, "AT_REMOVEDIR")))
	}
}
