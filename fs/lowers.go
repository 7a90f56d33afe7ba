package fs

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// A Lower is a directory of the host that is a read-only layer of the root, or
// that holds some.
type Lower struct {
	Dir string // outside, absolute, free of symbolic links
	// Names, if set, are directories in Dir, bottom to top, each of which is a
	// layer; none has a ':', ',' or '\' in it. So a store of any number of
	// layers costs one descriptor and, mapped, one mount.
	Names []string
	// Mapped is the slot of a detached, id-mapped mount of Dir that is used
	// instead of it, if HasMapped.
	Mapped    prog.Slot
	HasMapped bool
}

// layered: the root is an overlay of what the user named.
func (b *builder) layered() bool { return len(b.r.Lowers) > 0 }

// numbered: the layers are named by their descriptors.
func (b *builder) numbered() bool { return len(b.r.Lowers) > 1 || b.r.Upper.Dir != "" }

// openLowers takes hold of the layers, before anything covers them.
func (b *builder) openLowers() {
	b.openUpper()
	for i := range b.r.Lowers {
		l := &b.r.Lowers[i]
		switch {
		case l.HasMapped:
		case !b.numbered():
			b.lower = b.p.Slot("root-dir")
			b.root(openSource(l.Dir, b.lower))
		default:
			b.root(openSource(l.Dir, b.f), prog.Dup(b.f, lowerFd+i, unix.O_CLOEXEC, "O_CLOEXEC"), prog.Close(b.f))
		}
	}
}

// stackLowers mounts the overlay of all layers on target. They are named
// relative to the current directory, so that no path of the host shows in the
// job's mountinfo, and none has to be escaped: a single one as ".", several by
// their descriptors in /proc/self/fd, where a name is one number long (the
// kernel takes a page of mount options).
func (b *builder) stackLowers(target string) {
	lowers, at := b.r.Lowers, b.hidden("lower")
	mapped := 0
	attach := func(tree prog.Slot, to int) {
		mapped++
		// Attached for the moment: no overlay has a layer of a detached mount.
		b.root(moveMount(tree, at), prog.Close(tree))
		if b.numbered() {
			b.root(prog.Open(at, unix.O_PATH|unix.O_DIRECTORY, "O_PATH|O_DIRECTORY", 0, b.f),
				prog.Dup(b.f, to, unix.O_CLOEXEC, "O_CLOEXEC"), prog.Close(b.f))
		}
	}
	if b.r.Upper.HasMapped {
		attach(b.r.Upper.Mapped, upperFd)
	}
	for i := range lowers {
		if lowers[i].HasMapped {
			attach(lowers[i].Mapped, lowerFd+i)
		}
	}
	switch {
	case b.numbered():
		b.root(prog.Chdir("/proc/self/fd").Because("layers are named by descriptor: no path of the host shows in mountinfo"))
	case mapped == 1:
		b.root(prog.Chdir(at))
	default:
		b.root(prog.Call("fchdir", unix.SYS_FCHDIR, prog.Fd(b.lower)), prog.Close(b.lower))
	}
	layers := "lowerdir=" + b.hidden("init") + ":" + lowerNames(lowers, func(i int) string {
		if !b.numbered() {
			return "."
		}
		return strconv.Itoa(lowerFd + i)
	})
	of := lowers[len(lowers)-1].Dir
	b.root(overlay(target, layers+b.upperOptions(), false).About(of))
	if b.r.Compare {
		b.root(overlay(b.hidden("empty"), layers+",userxattr", true).About(of).Because("what was there before the job"))
		b.openDir(b.hidden("empty"), b.p.Slot(RootBase))
		b.root(detach(b.hidden("empty")))
	}
	if b.r.Keep {
		b.openDir(b.upperDir(), b.p.Slot(RootUpper))
	}
	b.root(prog.Chdir(target))
	for range mapped {
		b.root(detach(at))
	}
	if b.numbered() {
		b.root(prog.Call("close_range", unix.SYS_CLOSE_RANGE, prog.Int(upperFd), prog.Int(lowerFd+len(lowers)-1), prog.Int(0)))
	}
}

// lowerNames lists the layers as overlay wants them, top to bottom.
// at is the name of one.
func lowerNames(lowers []Lower, at func(i int) string) string {
	var names []string
	for i, l := range slices.Backward(lowers) {
		dir := at(i)
		if len(l.Names) == 0 {
			names = append(names, dir)
		}
		for _, name := range slices.Backward(l.Names) {
			if dir != "." {
				name = dir + "/" + name
			}
			names = append(names, name)
		}
	}
	return strings.Join(names, ":")
}
