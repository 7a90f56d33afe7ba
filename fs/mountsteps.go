package fs

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

const mountAttrSize = 32 // struct mount_attr

func mountAttr(set uint64) []byte {
	b := make([]byte, mountAttrSize)
	binary.NativeEndian.PutUint64(b, set)
	return b
}

func mknod(path string) prog.Step {
	return prog.Call("mknodat", unix.SYS_MKNODAT, prog.At(), prog.Str(path), prog.Bits(unix.S_IFREG|0o644, "S_IFREG|0644"), prog.Int(0))
}

// overlay mounts an overlay whose layers are named by data.
func overlay(target, data string, readOnly bool) prog.Step {
	flags, text := uint64(unix.MS_NOSUID|unix.MS_NODEV), "MS_NOSUID|MS_NODEV"
	if readOnly {
		flags, text = flags|unix.MS_RDONLY, text+"|MS_RDONLY"
	}
	return prog.Mount("overlay", target, "overlay", flags, text, data)
}

// clone makes a detached copy of the mounts at path.
func clone(path string, to prog.Slot) prog.Step {
	return prog.Call("open_tree", unix.SYS_OPEN_TREE, prog.At(), prog.Str(path),
		prog.Bits(unix.OPEN_TREE_CLONE|unix.O_CLOEXEC|unix.AT_RECURSIVE, "OPEN_TREE_CLONE|O_CLOEXEC|AT_RECURSIVE")).Save(to)
}

// detach takes away the topmost mount at path.
func detach(path string) prog.Step {
	return prog.Call("umount2", unix.SYS_UMOUNT2, prog.Str(path), prog.Bits(unix.MNT_DETACH, "MNT_DETACH"))
}

// sticky makes a directory writable for everybody.
func sticky(path string) prog.Step {
	return prog.Call("fchmodat", unix.SYS_FCHMODAT, prog.At(), prog.Str(path), prog.Bits(0o1777, "01777"))
}

func moveMount(from prog.Slot, target string) prog.Step { return moveTree(prog.Fd(from), target) }

func moveTree(from prog.Arg, target string) prog.Step {
	return prog.Call("move_mount", unix.SYS_MOVE_MOUNT, from, prog.Str(""), prog.At(), prog.Str(target),
		prog.Bits(unix.MOVE_MOUNT_F_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH"))
}

func setAttrFd(fd prog.Slot, attrs uint64, text string) prog.Step {
	return setAttrTree(prog.Fd(fd), attrs, text)
}

func setAttrTree(fd prog.Arg, attrs uint64, text string) prog.Step {
	return prog.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, fd, prog.Str(""),
		prog.Bits(unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, "AT_EMPTY_PATH|AT_RECURSIVE"), prog.Data(mountAttr(attrs), text), prog.Int(mountAttrSize))
}

// openSource opens a path of the host of which the runner found that it has no
// symbolic link in it: if one has been put there since, the launch fails.
func openSource(path string, to prog.Slot) prog.Step {
	how := make([]byte, 24) // struct open_how{flags, mode, resolve}
	binary.NativeEndian.PutUint64(how, unix.O_PATH|unix.O_CLOEXEC)
	binary.NativeEndian.PutUint64(how[16:], unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
	return prog.Call("openat2", unix.SYS_OPENAT2, prog.At(), prog.Str(path),
		prog.Data(how, "{O_PATH|O_CLOEXEC, RESOLVE_NO_SYMLINKS}"), prog.Int(len(how))).Save(to)
}
