package fs

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// layer makes the root an overlay: the user's directories, over them the init
// layer, and on top the writable layer. The current directory is the new root.
func (b *builder) layer() {
	if b.r.Filled {
		b.root(prog.Mkdir("root", 0o755))
		b.hiddenDirs("")
		b.initLayer("root")
		b.root(prog.Mount("root", "root", "", unix.MS_BIND, "MS_BIND", "").Because("pivot_root wants a mount"))
		return
	}
	if b.r.Served {
		b.root(prog.Mkdir("served", 0o755), prog.Mkdir("served/upper", 0o755), prog.Mkdir("served/work", 0o755), prog.Mkdir("served/init", 0o755), prog.Mkdir("root", 0o755))
		b.hiddenDirs("")
		b.initLayer("served/init")
		b.serve(b.t+"/root", b.t+"/served")
		b.root(prog.Chdir(b.t + "/root"))
		return
	}
	b.root(prog.Mkdir("upper", 0o755), prog.Mkdir("work", 0o755), prog.Mkdir("root", 0o755), prog.Mkdir("init", 0o755))
	b.hiddenDirs("")
	b.initLayer("init")
	b.stackLowers(b.t + "/root")
}

// initLayer makes, in a directory dir of the tmpfs where no link of the user's can
// stand, all that a job finds in its root besides what its layers hold: mount
// points, files about users and names, writable directories. As the topmost
// read-only layer it hides what has the same name below, and no layer, nor one
// that is kept, is written to.
func (b *builder) initLayer(dir string) {
	for _, d := range rootDirs {
		b.root(prog.Mkdir(dir+"/"+d, 0o755))
	}
	for _, d := range [...]string{"/tmp", "/var/tmp"} {
		b.root(sticky(dir + d))
	}
	for _, d := range devices {
		b.root(mknod(dir + "/dev/" + d.name))
	}
	for _, l := range devLinks {
		b.root(prog.Symlink(l[1], dir+"/dev/"+l[0]))
	}
	b.root(prog.Mkdir(dir+"/dev/shm", 0o755))
	if b.r.Work.Source != "" {
		b.root(prog.Mkdir(dir+b.r.Work.Target, 0o755))
	}
	b.root(b.parentsIn(dir, b.r.Home)...)
	b.root(prog.Mkdir(dir+b.r.Home, 0o755).Ignore(unix.EEXIST))
	b.own(dir + b.r.Home)
	for _, f := range b.r.Etc {
		b.write(dir+"/etc/"+f.Name, f)
	}
}

// Fixed descriptor numbers, above all that the program saves in slots.
const (
	upperFd = 95
	lowerFd = 96 // and up, the layers of a root of several
)

// openUpper takes hold of the directory of a kept writable layer.
func (b *builder) openUpper() {
	if u := &b.r.Upper; u.Dir != "" && !u.HasMapped {
		b.root(openSource(u.Dir, b.f), prog.Dup(b.f, upperFd, unix.O_CLOEXEC, "O_CLOEXEC"), prog.Close(b.f))
	}
}

// upperOptions names the writable layer of the root. One that is kept is named
// by its descriptor, relative to /proc/self/fd.
func (b *builder) upperOptions() string {
	if b.r.Upper.Dir == "" {
		return ",upperdir=" + b.t + "/upper,workdir=" + b.t + "/work,userxattr"
	}
	n := strconv.Itoa(upperFd)
	return ",upperdir=" + n + "/upper,workdir=" + n + "/work,userxattr"
}

// upperDir is the directory of the writable layer, before the pivot.
func (b *builder) upperDir() string {
	if b.r.Upper.Dir == "" {
		return b.t + "/upper"
	}
	return "/proc/self/fd/" + strconv.Itoa(upperFd) + "/upper"
}
