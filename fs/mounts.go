package fs

import (
	"encoding/binary"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

const mountAttrSize = 32 // struct mount_attr

func mountAttr(set uint64) []byte {
	b := make([]byte, mountAttrSize)
	binary.NativeEndian.PutUint64(b, set)
	return b
}

// work shows the current directory.
func (b *builder) work() {
	w := &b.r.Work
	if w.Source == "" {
		return
	}
	b.root(b.parents(w.Target)...)
	b.root(prog.Mkdir(w.Target, 0o755).Ignore(unix.EEXIST))
	if w.Mode == Copy {
		b.copyOnWrite(w)
		return
	}
	b.attach(Mount{Source: w.Source, Target: w.Target, Dir: true, Mode: w.Mode, Mapped: w.Mapped, HasMapped: w.HasMapped})
}

// copyOnWrite mounts an overlay over the directory. Its lower layer is named
// "." (see beginDir): an id-mapped tree is first put in the target's place.
func (b *builder) copyOnWrite(w *Work) {
	if w.HasMapped {
		b.root(moveMount(w.Mapped, w.Target), prog.Chdir(w.Target))
	} else {
		b.root(prog.Chdir(Old + w.Source))
	}
	b.root(
		overlay(w.Target, b.hidden("cow"), b.hidden("cow-work")),
		prog.Chdir("/"),
	)
}

func moveMount(from prog.Slot, target string) prog.Step {
	return prog.Call("move_mount", unix.SYS_MOVE_MOUNT, prog.Fd(from), prog.Str(""), prog.At(), prog.Str(target),
		prog.Bits(unix.MOVE_MOUNT_F_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH"))
}

// attach binds one tree at its target, which exists.
func (b *builder) attach(m Mount) {
	if m.HasMapped {
		b.root(moveMount(m.Mapped, m.Target))
	} else {
		b.root(prog.Mount(Old+m.Source, m.Target, "", bindFlags, bindText, ""))
	}
	set, text := uint64(attrSafe), attrSafeText
	if m.Mode == ReadOnly {
		set, text = attrRO, attrROText
	}
	if m.NoExec {
		set, text = set|unix.MOUNT_ATTR_NOEXEC, text+"|MOUNT_ATTR_NOEXEC"
	}
	b.root(prog.SetAttr(m.Target, set, text))
}

// extra shows what the user asked for, in his order.
func (b *builder) extra() {
	for _, m := range b.r.Extra {
		b.root(b.parents(m.Target)...)
		if m.Source != "" && !m.Dir {
			b.root(mknod(m.Target).Ignore(unix.EEXIST))
		} else {
			b.root(prog.Mkdir(m.Target, 0o755).Ignore(unix.EEXIST))
		}
		switch {
		case m.Source != "":
			b.attach(m)
		case m.Size == 0: // of the root's own tmpfs
			b.root(prog.Call("fchmodat", unix.SYS_FCHMODAT, prog.At(), prog.Str(m.Target), prog.Bits(0o1777, "01777")))
		default:
			b.root(
				prog.Mount("tmpfs", m.Target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "MS_NOSUID|MS_NODEV",
					"mode=1777,size="+strconv.FormatUint(m.Size, 10)+",nr_inodes="+strconv.Itoa(m.Inodes)),
				prog.Open(m.Target, unix.O_RDONLY|unix.O_DIRECTORY, "O_RDONLY|O_DIRECTORY", 0, m.Area).Because("for the runner: what it holds"),
			)
		}
	}
}

// Clean returns an absolute name inside in its shortest form, or false if it
// is not absolute, names the root itself, or lies where the root is made.
func Clean(target string) (string, bool) {
	if target == "" || target[0] != '/' {
		return "", false
	}
	c := path.Clean(target)
	for _, no := range [...]string{"/", "/proc", "/dev", Old} {
		if c == no || no != "/" && len(c) > len(no) && c[:len(no)+1] == no+"/" {
			return c, false
		}
	}
	return c, true
}
