package fs

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// sources takes hold of what the user named, before anything covers it.
func (b *builder) sources() {
	b.root(prog.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "MS_REC|MS_PRIVATE", "").
		Because("nothing mounted here reaches the host, or the other way (slave would let the host's mounts in)"))
	if b.layered() {
		if !b.r.Filled && !b.r.Served {
			b.openLowers()
		}
		for _, d := range devices {
			fd := b.p.Slot("dev-" + d.name)
			b.devices = append(b.devices, fd)
			b.root(clone("/dev/"+d.name, fd))
		}
	}
	if b.r.Work.Source != "" {
		b.source(b.r.Work)
	}
	for _, m := range b.r.Extra {
		if m.Source != "" {
			b.source(m)
		}
	}
}

func (b *builder) source(m Mount) {
	t := tree{mount: m, name: "tree-" + strconv.Itoa(len(b.trees))}
	switch {
	case m.HasMapped:
		t.fd = prog.Fd(m.Mapped)
	case m.Mode == Filled, m.Mode == Served: // the runner reads it, or a server
	case b.overlaid(&m):
		t.dir, t.hasDir = b.hold(t.name+"-dir", openSource(m.Source, b.f)), true
	default:
		b.root(openSource(m.Source, b.g))
		t.fd = b.hold(t.name, prog.Call("open_tree", unix.SYS_OPEN_TREE, prog.Fd(b.g), prog.Str(""),
			prog.Bits(unix.OPEN_TREE_CLONE|unix.O_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH, "OPEN_TREE_CLONE|O_CLOEXEC|AT_RECURSIVE|AT_EMPTY_PATH")))
		b.root(prog.Close(b.g))
	}
	b.trees = append(b.trees, t)
}

// hold makes a step and keeps the descriptor that it returns: in a slot of that
// name, as long as there are few, and then at a number, of which there are more.
func (b *builder) hold(name string, step prog.Step) prog.Arg {
	const inSlots = 8
	if b.held++; b.held <= inSlots {
		to := b.p.Slot(name)
		b.root(step.Save(to))
		return prog.Fd(to)
	}
	n := lowerFd + len(b.r.Lowers) + b.held - inSlots
	b.root(step.Save(b.f), prog.Dup(b.f, n, unix.O_CLOEXEC, "O_CLOEXEC"), prog.Close(b.f))
	return prog.Int(n)
}

func closeHeld(fd prog.Arg) prog.Step { return prog.Call("close", unix.SYS_CLOSE, fd) }

// overlaid: a copy is an overlay, and so is a read-only directory, because a
// read-only bind still lends the host's sockets and FIFOs, to which a job can
// connect and write; through an overlay they are dead inodes.
func (b *builder) overlaid(m *Mount) bool {
	return m.Dir && (m.Mode == Copy || m.Mode == ReadOnly)
}

// overlays mounts the overlays while their layers can be reached, each in a
// hidden place.
func (b *builder) overlays() {
	for i := range b.trees {
		t := &b.trees[i]
		if t.mount.Mode == Filled {
			t.fd = b.hold(t.name, clone(b.hidden("cow"), b.f))
		}
		if t.mount.Mode == Served {
			at := b.hidden("tree-" + strconv.Itoa(i))
			b.root(prog.Mkdir(at, 0o700))
			b.serve(at, b.hidden("cow"))
			b.take(t, at)
		}
		if !b.overlaid(&t.mount) {
			continue
		}
		if t.mount.HasMapped {
			// The layer must be attached somewhere for the moment.
			b.root(moveTree(t.fd, b.hidden("lower")), closeHeld(t.fd), prog.Chdir(b.hidden("lower")))
		} else {
			b.root(prog.Call("fchdir", unix.SYS_FCHDIR, t.dir))
		}
		if t.mount.Mode == Copy && b.r.Keep && b.r.Compare {
			b.openDir(".", b.p.Slot(WorkBase))
		}
		if b.fresh(&t.mount) {
			b.overlayAt(t)
			continue
		}
		at := b.hidden("tree-" + strconv.Itoa(i))
		data := "lowerdir=.:" + b.hidden("empty") + ",userxattr"
		if t.mount.Mode == Copy {
			data = "lowerdir=.,upperdir=" + b.hidden("cow") + ",workdir=" + b.hidden("cow-work") + ",userxattr"
		}
		b.root(prog.Mkdir(at, 0o700), overlay(at, data, t.mount.Mode != Copy).About(t.mount.Source))
		b.take(t, at)
		b.leaveLower(t)
	}
}

// take takes hold of what was mounted in a hidden place.
func (b *builder) take(t *tree, at string) {
	if b.layered() { // the tmpfs does not become the root, and goes
		t.fd = b.hold(t.name, clone(at, b.f))
		b.root(detach(at))
		return
	}
	t.fd = b.hold(t.name, prog.Call("open_tree", unix.SYS_OPEN_TREE, prog.At(), prog.Str(at), prog.Bits(unix.O_CLOEXEC, "O_CLOEXEC")).
		Because("it is moved from there: an unmount would wait for a grace period"))
}

// fresh tells of a read-only directory that can be mounted where it belongs
// before the host is gone, which saves moving it: every part of its target is
// made by these steps in a tmpfs of ours, and no other mount lies above or below
// it, whose order counts. In a root of layers the user's links may be on the way.
func (b *builder) fresh(m *Mount) bool {
	if b.layered() || m.Mode != ReadOnly {
		return false
	}
	first, _, _ := strings.Cut(m.Target[1:], "/")
	if slices.Contains(rootDirs[:], first) || slices.ContainsFunc(b.r.Host.Trees, func(e Entry) bool { return e.Name == first }) {
		return false
	}
	meets := 0 // itself for one
	for i := range b.r.Extra {
		if at := b.r.Extra[i].Target; within(at, m.Target) || within(m.Target, at) {
			meets++
		}
	}
	if meets > 1 {
		return false
	}
	return b.r.Work.Source == "" || !within(b.r.Work.Target, m.Target) && !within(m.Target, b.r.Work.Target)
}

// overlayAt mounts the overlay of a fresh directory at its target.
func (b *builder) overlayAt(t *tree) {
	m := &t.mount
	at := b.t + m.Target
	flags, text := uint64(unix.MS_NOSUID|unix.MS_NODEV|unix.MS_RDONLY), "MS_NOSUID|MS_NODEV|MS_RDONLY"
	if m.NoExec {
		flags, text = flags|unix.MS_NOEXEC, text+"|MS_NOEXEC"
	}
	b.root(b.parentsIn(b.t, m.Target)...)
	b.root(prog.Mkdir(at, 0o755).Ignore(unix.EEXIST),
		prog.Mount("overlay", at, "overlay", flags, text, "lowerdir=.:"+b.hidden("empty")+",userxattr").About(m.Source))
	t.attached = true
	b.leaveLower(t)
}

// leaveLower takes away a layer that was attached for the moment.
func (b *builder) leaveLower(t *tree) {
	if t.mount.HasMapped {
		b.root(prog.Chdir("/"), detach(b.hidden("lower")))
	}
}

// attachAll attaches the user's trees and tmpfs, in his order, the current
// directory first: what he puts below it must not be hidden by it.
func (b *builder) attachAll() {
	next := 0
	if b.r.Work.Source != "" {
		b.attach(&b.trees[0])
		next = 1
		if b.r.Work.Mode == Filled {
			b.root(prog.Serve().Because("the runner copies the current directory in"))
		}
	}
	for _, m := range b.r.Extra {
		if m.Source != "" {
			b.attach(&b.trees[next])
			next++
			continue
		}
		b.root(b.parentsIn("", m.Target)...)
		b.root(prog.Mkdir(m.Target, 0o755).Ignore(unix.EEXIST))
		if m.Size == 0 { // of the root's own tmpfs
			b.root(sticky(m.Target))
			continue
		}
		b.root(
			prog.Mount("tmpfs", m.Target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "MS_NOSUID|MS_NODEV",
				"mode=1777,size="+strconv.FormatUint(m.Size, 10)+",nr_inodes="+strconv.Itoa(m.Inodes)),
			prog.Open(m.Target, unix.O_RDONLY|unix.O_DIRECTORY, "O_RDONLY|O_DIRECTORY", 0, m.Area).Because("for the runner: what it holds"),
		)
	}
}

// attach puts one tree at its target.
func (b *builder) attach(t *tree) {
	m := &t.mount
	if t.attached {
		return
	}
	b.root(b.parentsIn("", m.Target)...)
	if m.Dir {
		b.root(prog.Mkdir(m.Target, 0o755).Ignore(unix.EEXIST))
	} else {
		b.root(mknod(m.Target).Ignore(unix.EEXIST))
	}
	set, text := uint64(attrSafe), attrSafeText
	if m.Mode == ReadOnly || m.Mode == Plain {
		set, text = attrRO, attrROText
	}
	if m.NoExec {
		set, text = set|unix.MOUNT_ATTR_NOEXEC, text+"|MOUNT_ATTR_NOEXEC"
	}
	b.root(setAttrTree(t.fd, set, text), moveTree(t.fd, m.Target), closeHeld(t.fd))
}

// parent is the directory part of a relative name.
func parent(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return ""
}

// Clean returns an absolute name inside in its shortest form, or false if it
// is not absolute, names the root itself, or lies below /proc or /dev.
func Clean(target string) (string, bool) {
	if target == "" || target[0] != '/' {
		return "", false
	}
	c := path.Clean(target)
	for _, no := range [...]string{"/", "/proc", "/dev"} {
		if c == no || no != "/" && strings.HasPrefix(c, no+"/") {
			return c, false
		}
	}
	return c, true
}
