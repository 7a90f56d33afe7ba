package fs

import (
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// A Pin makes a file or directory of a writable area a mount point of its own,
// which the job can neither rename nor remove nor replace: a read-only one for
// what the caller will execute or obey later, and a writable one for each
// directory on the way to it, or else the job would move that one away and
// make another.
type Pin struct {
	Target   string // inside
	ReadOnly bool
}

// pins sets the pins, outer ones first as they come. What is pinned was found
// without symbolic links, and must be so still.
func (b *builder) pins() {
	if len(b.r.Pins) == 0 {
		return
	}
	tree := b.p.Slot("pin")
	for _, pin := range b.r.Pins {
		b.root(openSource(pin.Target, b.f),
			prog.Call("open_tree", unix.SYS_OPEN_TREE, prog.Fd(b.f), prog.Str(""),
				prog.Bits(unix.OPEN_TREE_CLONE|unix.O_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH, "OPEN_TREE_CLONE|O_CLOEXEC|AT_RECURSIVE|AT_EMPTY_PATH")).Save(tree))
		if pin.ReadOnly {
			b.root(setAttrFd(tree, attrRO, attrROText))
		}
		b.root(prog.Call("move_mount", unix.SYS_MOVE_MOUNT, prog.Fd(tree), prog.Str(""), prog.Fd(b.f), prog.Str(""),
			prog.Bits(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH|MOVE_MOUNT_T_EMPTY_PATH")).About(pin.Target),
			prog.Close(tree), prog.Close(b.f))
	}
}
