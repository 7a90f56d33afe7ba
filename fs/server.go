package fs

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// A Server is fuse-overlayfs, which answers for a [Root] or a Work that is Served,
// and the root that it has itself: its program and the libraries, the layers, and
// the tree with the writable layer that init sends. The zero value is of no use.
//
// Its processes are not the job's: they are in a pid namespace of their own, so
// that the job can neither see nor signal nor trace one, and in the job's user
// namespace, in which its files have their owners.
type Server struct {
	Base    string  // directory the root is first mounted on
	System  []Entry // of the host, that the program needs; see [SystemTrees]
	Program string  // path of fuse-overlayfs, below one of System
	Lowers  []Lower // of the Root; Mapped are slots of the server's own program
	// Init: the tree of the writable layer holds an init layer, above Lowers.
	Init bool
	// Sole, if set, is the one uid and gid that the job's user namespace has.
	// Files that belong to others are shown as that one's: by FUSE nobody can
	// remove what belongs to an id outside (EOVERFLOW), which an overlay lets the
	// owner of the directory do. What may be read and changed is still decided
	// by the kernel for the server.
	Sole *[2]uint32
}

// Slot names of a server's program.
const (
	ServerFuse   = "fuse"   // the open /dev/fuse that the root is mounted with
	ServerLayers = "layers" // the tree that init sends
	ServerProc   = "server-proc"
)

// ServedParts is how many descriptors the init of a [Root] that is Served sends,
// before it waits in a [prog.Serve] step for the server to run: its user
// namespace, /dev/fuse as it was opened in it, and a detached mount with the init
// layer, the writable layer and the work directory.
const ServedParts = 3

// fuseFd is where /dev/fuse lies for the mount, whose options name it by number.
const fuseFd = 94

// serve mounts on target what a server answers for, whose writable layer lies in
// tree, and waits until it runs. The descriptor
// of /dev/fuse must be of this user namespace (fuse_fill_super). default_permissions
// leaves the decision about each access to the kernel; without allow_other only
// one id could come in, and with it who is outside of this user namespace
// still cannot (fuse_allow_current_process): not the runner either, whom a
// server that does not answer could hold.
func (b *builder) serve(target, tree string) {
	user, fuse, layers := b.p.Slot("user-ns"), b.p.Slot("dev-fuse"), b.p.Slot("served")
	u, g := strconv.FormatUint(uint64(b.r.InitID[0]), 10), strconv.FormatUint(uint64(b.r.InitID[1]), 10)
	b.root(
		prog.Open("/dev/fuse", unix.O_RDWR, "O_RDWR", 0, fuse),
		prog.Dup(fuse, fuseFd, unix.O_CLOEXEC, "O_CLOEXEC"),
		prog.Mount("fuse-overlayfs", target, "fuse", unix.MS_NOSUID|unix.MS_NODEV, "MS_NOSUID|MS_NODEV",
			"fd="+strconv.Itoa(fuseFd)+",rootmode=40000,user_id="+u+",group_id="+g+",allow_other,default_permissions"),
		prog.Call("close", unix.SYS_CLOSE, prog.Int(fuseFd)),
		prog.Open("/proc/self/ns/user", unix.O_RDONLY, "O_RDONLY", 0, user),
		clone(tree, layers),
		prog.SendReady(user, fuse, layers).Because("for the server, which is no process of this sandbox"),
		prog.Close(user), prog.Close(fuse), prog.Close(layers),
		prog.Serve().Because("the runner starts the server"),
	)
}

// SystemTrees lists what of the host's system a program needs: directories, and
// links between them.
func SystemTrees() []Entry {
	var list []Entry
	for _, t := range [...]string{"usr", "bin", "sbin", "lib", "lib32", "lib64"} {
		if e, ok := entry(t); ok && (e.Dir || e.Link != "") {
			list = append(list, e)
		}
	}
	return list
}

// Append appends the steps that make the server's root. The layers and the
// writable layer are noexec there: nothing that a job wrote is started.
func (s *Server) Append(p *prog.Program) {
	b := builder{p: p, r: &Root{Size: serverRoot, Inodes: 64 + len(s.Lowers)}, t: s.Base, f: p.Slot("file"), g: p.Slot("source")}
	b.root(prog.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "MS_REC|MS_PRIVATE", ""))
	for i := range s.Lowers {
		if l := &s.Lowers[i]; !l.HasMapped {
			b.root(openSource(l.Dir, b.g),
				prog.Call("open_tree", unix.SYS_OPEN_TREE, prog.Fd(b.g), prog.Str(""),
					prog.Bits(unix.OPEN_TREE_CLONE|unix.O_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH, "OPEN_TREE_CLONE|O_CLOEXEC|AT_RECURSIVE|AT_EMPTY_PATH")).Save(b.f),
				prog.Dup(b.f, lowerFd+i, unix.O_CLOEXEC, "O_CLOEXEC"), prog.Close(b.f), prog.Close(b.g))
		}
	}
	b.tmpfs()
	for _, e := range s.System {
		b.show(e)
	}
	b.root(prog.Mkdir("proc", 0o755), prog.Mkdir("lower", 0o755), prog.Mkdir("served", 0o755),
		prog.Mount("proc", "proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "MS_NOSUID|MS_NODEV|MS_NOEXEC|MS_RDONLY", "").
			Because("it names its files by /proc/self/fd, and asks for the overflow ids"))
	const exec, execText = unix.MOUNT_ATTR_NOEXEC, "|MOUNT_ATTR_NOEXEC"
	for i := range s.Lowers {
		tree := prog.Int(lowerFd + i)
		if s.Lowers[i].HasMapped {
			tree = prog.Fd(s.Lowers[i].Mapped)
		}
		at := "lower/" + strconv.Itoa(i)
		b.root(prog.Mkdir(at, 0o755), setAttrTree(tree, attrRO|exec, attrROText+execText), moveTree(tree, at), closeHeld(tree))
	}
	layers := p.SlotNamed(ServerLayers)
	b.root(setAttrFd(layers, attrSafe|exec, attrSafeText+execText), moveMount(layers, "served"), prog.Close(layers))
	b.pivot()
	b.root(prog.Call("mount_setattr", unix.SYS_MOUNT_SETATTR, prog.At(), prog.Str("/"), prog.Int(0),
		prog.Data(mountAttr(attrRO), attrROText), prog.Int(mountAttrSize)),
		prog.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY, "O_RDONLY|O_DIRECTORY", 0, p.Slot(ServerProc)))
}

// serverRoot holds nothing but mount points.
const serverRoot = 1 << 20

// Argv is the server's command line. /dev/fuse is its descriptor 3.
//
// Without writeback a write that finds no room fails itself, not a close or
// fsync later.
func (s *Server) Argv() []string {
	stack := lowerNames(s.Lowers, func(i int) string { return "/lower/" + strconv.Itoa(i) })
	if s.Init {
		stack = "/served/init:" + stack
	}
	o := "writeback=0,lowerdir=" + stack + ",upperdir=/served/upper,workdir=/served/work"
	if s.Sole != nil {
		o += ",squash_to_uid=" + strconv.FormatUint(uint64(s.Sole[0]), 10) + ",squash_to_gid=" + strconv.FormatUint(uint64(s.Sole[1]), 10)
	}
	return []string{"fuse-overlayfs", "-f", "-o", o, "/dev/fd/3"}
}
