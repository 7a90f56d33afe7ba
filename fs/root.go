package fs

import (
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
	// Filled: no overlay stacks the Lowers. The root is a directory of its tmpfs,
	// which the runner fills with a copy of them: init makes system calls for
	// it, see [prog.Serve]. Upper must be zero.
	Filled bool
	// Served has a [Server] stack the Lowers instead of the kernel. Upper must be
	// zero.
	Served bool
	// InitID is the uid and gid inside that init has, where anything is Served.
	InitID [2]uint32
	// Upper, if its Dir is set, keeps what is written to the root; else that
	// goes to the root's tmpfs and is gone with it. It needs Lowers.
	Upper UpperDir
	// Of names, in messages, what Lowers come from; "" for the host.
	Of string
	// Workdir, if set, is an absolute directory that is made if it is not there.
	Workdir string
	// ReadOnly leaves only /tmp, /var/tmp, Home and /dev/shm writable.
	ReadOnly bool
	Size     uint64 // bytes of all writable areas; must not be 0
	Inodes   int    // of all writable areas; must not be 0

	Home  string    // absolute; the job's own writable directory
	Owner [2]uint32 // uid and gid inside that Home, and what a Copy adds, belong to
	// Work is the current directory seen inside; no Source for none.
	Work Mount
	// Etc holds the fabricated files below /etc, by name.
	Etc []File
	// PidProc leaves the job of /proc the processes and nothing else: the mount
	// that [SealProc] puts there shows no other file. Init keeps a whole one.
	PidProc bool
	Extra   []Mount // shown after Work, in this order
	Pins    []Pin   // in writable directories among those
	Files   []File  // absolute names, written last

	// Serve lets the runner put files into the root before the job starts: init
	// then makes system calls for it, see [prog.Serve].
	Serve bool
	// Keep has init send what the runner needs to read the files of the root
	// when the job is over: the slots of [Root.Kept].
	Keep bool
	// Compare adds to that what was there before the job wrote to it.
	Compare bool
}

// An UpperDir is a directory of the host whose directory "upper" is the root's
// writable layer, and "work" overlay's own.
type UpperDir struct {
	Dir string // outside, absolute, free of symbolic links
	// Mapped is the slot of a detached, id-mapped mount of Dir that is used
	// instead of it, if HasMapped.
	Mapped    prog.Slot
	HasMapped bool
}

// Mode is how a directory of the host is seen.
type Mode uint8

// The modes.
const (
	ReadOnly Mode = iota // what is there, without its sockets and FIFOs
	Writable             // itself
	Copy                 // an overlay whose writes go to the root's tmpfs; for Work only
	Plain                // read-only, with the sockets and FIFOs in it
	Served               // an overlay of which a [Server] has the layers; for Work only
	Filled               // a copy, in the root's tmpfs, that the runner fills as it does a Root; for Work only
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
	b := builder{p: p, r: r, t: r.Host.Base, f: p.Slot("file"), g: p.Slot("source")}
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
	if r.Filled {
		b.root(prog.Serve().Because("the runner copies the layers in"))
	}
	b.writable()
	b.dev()
	b.maskProc()
	b.attachAll()
	b.pins()
	b.files()
	b.workdir()
	b.keep()
	b.seal()
}

type builder struct {
	p           *prog.Program
	r           *Root
	t           string    // where the tmpfs is mounted, as long as the host is there
	f, g        prog.Slot // for what is opened and closed at once
	upper, proc prog.Slot
	lower       prog.Slot // the directory of a root of the user's, if it is of one
	trees       []tree
	held        int         // descriptors at fixed numbers, above the layers'
	devices     []prog.Slot // of a root of the user's
	shm, empty  prog.Slot
	newProc     prog.Slot // for a root of the user's
	hasEmpty    bool
}

// A tree is a user's source, held by a descriptor.
type tree struct {
	mount Mount
	name  string
	fd    prog.Arg // detached mount to attach
	dir   prog.Arg // the directory itself, for an overlay's lower layer; if hasDir

	hasDir   bool
	attached bool // at its target, by now
}

func (b *builder) root(steps ...prog.Step) { b.p.AddInit(prog.StageRoot, steps...) }

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
		if t.hasDir {
			b.root(closeHeld(t.dir))
		}
	}
}
