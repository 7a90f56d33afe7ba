package prog

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/sys/unix"
)

// Mount is mount(2). An empty fstype or data is a null pointer.
func Mount(source, target, fstype string, flags uint64, text, data string) Step {
	return Call("mount", unix.SYS_MOUNT, Str(source), Str(target), strOrNil(fstype), Bits(flags, text), strOrNil(data))
}

func strOrNil(s string) Arg {
	if s == "" {
		return Nil()
	}
	return Str(s)
}

// SetAttr is mount_setattr(2) with AT_RECURSIVE: it adds attributes to the
// mount at path and to all below it, and takes none away, so that locked flags
// stay as they are.
func SetAttr(path string, attrs uint64, text string) Step {
	b := make([]byte, 32) // struct mount_attr{attr_set, attr_clr, propagation, userns_fd}
	binary.NativeEndian.PutUint64(b, attrs)
	return Call("mount_setattr", unix.SYS_MOUNT_SETATTR, At(), Str(path),
		Bits(unix.AT_RECURSIVE, "AT_RECURSIVE"), Data(b, text), Int(len(b)))
}

// Mkdir is mkdirat(2) relative to the current directory.
func Mkdir(path string, mode int) Step {
	return Call("mkdirat", unix.SYS_MKDIRAT, At(), Str(path), octal(mode))
}

// Symlink is symlinkat(2).
func Symlink(target, path string) Step {
	return Call("symlinkat", unix.SYS_SYMLINKAT, Str(target), At(), Str(path))
}

// Open is openat(2) relative to the current directory; its result goes to slot s.
func Open(path string, flags int, text string, mode int, s Slot) Step {
	return OpenAt(At(), path, flags, text, mode, s)
}

// OpenAt is openat(2); its result goes to slot s.
func OpenAt(dir Arg, path string, flags int, text string, mode int, s Slot) Step {
	return Call("openat", unix.SYS_OPENAT, dir, Str(path), Bits(uint64(flags|unix.O_CLOEXEC), text+"|O_CLOEXEC"), octal(mode)).Save(s)
}

// Write is write(2) of all of text, or the launch fails with EIO.
func Write(fd Slot, content []byte, text string) Step {
	return Call("write", unix.SYS_WRITE, Fd(fd), Data(content, text), Int(len(content))).Want(len(content))
}

// Close is close(2).
func Close(fd Slot) Step { return Call("close", unix.SYS_CLOSE, Fd(fd)) }

// Dup is dup3(2) onto a fixed number.
func Dup(from Slot, to int, flags uint64, text string) Step {
	return Call("dup3", unix.SYS_DUP3, Fd(from), Int(to), Bits(flags, text))
}

// Chdir is chdir(2).
func Chdir(path string) Step { return Call("chdir", unix.SYS_CHDIR, Str(path)) }

// Prctl is prctl(2) with up to four arguments.
func Prctl(op uint64, text string, args ...Arg) Step {
	a := append([]Arg{Bits(op, text)}, args...)
	for len(a) < 5 {
		a = append(a, Int(0))
	}
	return Call("prctl", unix.SYS_PRCTL, a...)
}

// Unshare is unshare(2).
func Unshare(flags uint64, text string) Step {
	return Call("unshare", unix.SYS_UNSHARE, Bits(flags, text))
}

// SetLimit is prlimit64(2) on the caller itself.
func SetLimit(resource int, text string, l unix.Rlimit) Step {
	b := make([]byte, 16)
	binary.NativeEndian.PutUint64(b, l.Cur)
	binary.NativeEndian.PutUint64(b[8:], l.Max)
	return Call("prlimit64", unix.SYS_PRLIMIT64, Int(0), Bits(uint64(resource), text),
		Data(b, "{"+limitText(l.Cur)+", "+limitText(l.Max)+"}"), Nil())
}

func limitText(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "infinity"
	}
	return strconv.FormatUint(n, 10)
}

// Stamp notes the time in time stamp i (see [Process.Stamp]).
func Stamp(i int) Step { return Call("stamp", opStamp, Int(i)) }

// Fork forks the job, which goes on with the job's list.
func Fork() Step { return Call("fork-job", opFork) }

// KeepOnly closes every descriptor but those of the slots.
func KeepOnly(slots ...Slot) Step { return maskOp("keep-only", opKeepOnly, slots) }

// SendReady sends the Ready message with the descriptors of the slots.
func SendReady(slots ...Slot) Step { return maskOp("send-ready", opSendFds, slots) }

// ReceiveFds waits for one message over the socket of SlotCtl, with a descriptor
// for each of the slots, in the order of the slots' making. At its end of file
// the process ends: who was to send them is gone, or wants it no more.
func ReceiveFds(slots ...Slot) Step { return maskOp("receive", opReceiveFds, slots) }

// SendListener sends the descriptor of a filter's listener in a message of its
// own. It stands behind that filter in the job's list, which must therefore
// allow sendmsg with the flags of [ListenerFlags]; the job must still hold ctl.
func SendListener(s Slot) Step { return maskOp("send-listener", opSendListener, []Slot{s}) }

// Scrub unmaps all memory but the program text and data, the table and the
// pages around the stack.
func Scrub() Step { return Call("scrub", opScrub) }

// Reap is the loop of pid 1: it reaps, sends signals for the runner, and ends
// with the job. It must be the last step of init.
func Reap() Step { return Call("reap", opReap) }

// End ends the process, without an error: the last step of a program that has
// no job.
func End() Step { return Call("end", opExit) }

func maskOp(name string, op uintptr, slots []Slot) Step {
	args := make([]Arg, 0, len(slots)+1)
	var mask uint64
	for _, s := range slots {
		mask |= 1 << s
	}
	args = append(args, Bits(mask, "mask"))
	for _, s := range slots {
		args = append(args, Fd(s))
	}
	return Call(name, op, args...)
}

func octal(mode int) Arg { return Arg{kind: argOctal, n: uint64(mode)} }
