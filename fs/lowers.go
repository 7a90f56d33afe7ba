package fs

import (
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

// lowerFd is the first of the fixed descriptor numbers that hold the layers of
// a root of several, above all that the program saves in slots.
const lowerFd = 96

// openLowers takes hold of the layers, before anything covers them.
func (b *builder) openLowers() {
	for i := range b.r.Lowers {
		l := &b.r.Lowers[i]
		switch {
		case l.HasMapped:
		case len(b.r.Lowers) == 1:
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
func (b *builder) stackLowers(target, options string) {
	lowers, at := b.r.Lowers, b.hidden("lower")
	mapped := 0
	for i := range lowers {
		if lowers[i].HasMapped {
			mapped++
			// Attached for the moment: no overlay has a layer of a detached mount.
			b.root(moveMount(lowers[i].Mapped, at), prog.Close(lowers[i].Mapped))
			if len(lowers) > 1 {
				b.root(prog.Open(at, unix.O_PATH|unix.O_DIRECTORY, "O_PATH|O_DIRECTORY", 0, b.f),
					prog.Dup(b.f, lowerFd+i, unix.O_CLOEXEC, "O_CLOEXEC"), prog.Close(b.f))
			}
		}
	}
	switch {
	case len(lowers) > 1:
		b.root(prog.Chdir("/proc/self/fd").Because("layers are named by descriptor: no path of the host shows in mountinfo"))
	case mapped == 1:
		b.root(prog.Chdir(at))
	default:
		b.root(prog.Call("fchdir", unix.SYS_FCHDIR, prog.Fd(b.lower)), prog.Close(b.lower))
	}
	b.root(overlay(target, "lowerdir="+lowerNames(lowers)+options, false).About(lowers[len(lowers)-1].Dir), prog.Chdir(target))
	for range mapped {
		b.root(prog.Call("umount2", unix.SYS_UMOUNT2, prog.Str(at), prog.Bits(unix.MNT_DETACH, "MNT_DETACH")))
	}
	if len(lowers) > 1 {
		b.root(prog.Call("close_range", unix.SYS_CLOSE_RANGE, prog.Int(lowerFd), prog.Int(lowerFd+len(lowers)-1), prog.Int(0)))
	}
}

// lowerNames lists the layers as overlay wants them, top to bottom.
func lowerNames(lowers []Lower) string {
	var names []string
	for i := len(lowers) - 1; i >= 0; i-- {
		dir := "."
		if len(lowers) > 1 {
			dir = strconv.Itoa(lowerFd + i)
		}
		if len(lowers[i].Names) == 0 {
			names = append(names, dir)
		}
		for k := len(lowers[i].Names) - 1; k >= 0; k-- {
			name := lowers[i].Names[k]
			if dir != "." {
				name = dir + "/" + name
			}
			names = append(names, name)
		}
	}
	return strings.Join(names, ":")
}
