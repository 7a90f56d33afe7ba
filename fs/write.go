package fs

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// writable makes the directories that are the job's own, and the fabricated
// files. In a root of layers the init layer has them.
func (b *builder) writable() {
	if b.layered() {
		return
	}
	b.root(sticky("/tmp"), sticky("/var/tmp"))
	b.root(b.parentsIn("", b.r.Home)...)
	b.root(prog.Mkdir(b.r.Home, 0o755).Ignore(unix.EEXIST))
	b.own(b.r.Home)
	for _, f := range b.r.Etc {
		b.write("/etc/"+f.Name, f)
	}
}

// write makes a file where none is.
func (b *builder) write(path string, f File) {
	b.root(prog.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, "O_WRONLY|O_CREAT|O_EXCL", f.Mode, b.f))
	if len(f.Content) > 0 {
		b.root(prog.Write(b.f, f.Content, strconv.Itoa(len(f.Content))+" bytes"))
	}
	b.root(prog.Close(b.f))
}

func (b *builder) files() {
	for _, f := range b.r.Files {
		b.root(b.parentsIn("", f.Name)...)
		// What a layer has under the name is replaced, never followed; in a
		// directory of the host's it stays, and the launch fails.
		if b.r.IsHosts(f.Name) {
			b.write(f.Name, f)
			continue
		}
		b.root(prog.Call("unlinkat", unix.SYS_UNLINKAT, prog.At(), prog.Str(f.Name), prog.Int(0)).Ignore(unix.ENOENT))
		b.write(f.Name, f)
	}
}

// IsHosts reports whether a name inside lies in a directory of the host's that
// is writable.
func (r *Root) IsHosts(name string) bool {
	hosts := r.Work.Source != "" && r.Work.Mode == Writable && within(name, r.Work.Target)
	for _, m := range r.Extra {
		if within(name, m.Target) {
			hosts = m.Source != "" && m.Mode == Writable
		}
	}
	return hosts
}

// workdir makes the directory that an image starts in; many do not have it.
func (b *builder) workdir() {
	if w := b.r.Workdir; w != "" && w != "/" {
		b.root(b.parentsIn("", w)...)
		b.root(prog.Mkdir(w, 0o755).Ignore(unix.EEXIST))
	}
}

// parentsIn makes the directories above path in dir, which may exist.
func (b *builder) parentsIn(dir, path string) []prog.Step {
	var steps []prog.Step
	for i := 1; i < len(path); i++ {
		if path[i] == '/' && path[:i] != "/home" && path[:i] != "/tmp" {
			steps = append(steps, prog.Mkdir(dir+path[:i], 0o755).Ignore(unix.EEXIST))
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
