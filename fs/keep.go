package fs

import (
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

// Slot names of what [Root.Keep] has init send.
const (
	Files     = "files"      // the root
	Mounts    = "mounts"     // the mount namespace, which keeps the root together
	RootUpper = "root-upper" // the directory of the root's writable layer, of a root of layers
	RootBase  = "root-base"  // the layers below it, merged; with Compare
	WorkBase  = "work-base"  // the layer below the copied current directory; with Compare
)

// Kept lists the slots that init sends first of all if Keep is set. They come in
// the order of their numbers.
func (r *Root) Kept() []string {
	if !r.Keep {
		return nil
	}
	list := []string{Upper, Files, Mounts}
	if len(r.Lowers) > 0 && !r.Filled && !r.Served {
		list = append(list, RootUpper)
		if r.Compare {
			list = append(list, RootBase)
		}
	}
	if r.copiesWork() && r.Compare {
		list = append(list, WorkBase)
	}
	return list
}

func (r *Root) copiesWork() bool { return r.Work.Source != "" && r.Work.Mode == Copy }

// openDir opens a directory of which the runner is sent the descriptor.
func (b *builder) openDir(path string, to prog.Slot) {
	b.root(prog.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, "O_RDONLY|O_DIRECTORY", 0, to))
}

// keep sends what the runner reads the job's files with when all processes
// are dead: the root, and the namespace of its mounts, which fall apart without
// one. Then the runner may put files in, or look at what is there.
func (b *builder) keep() {
	if b.r.Keep {
		b.openDir("/", b.p.Slot(Files))
		b.root(prog.Open("/proc/self/ns/mnt", unix.O_RDONLY, "O_RDONLY", 0, b.p.Slot(Mounts)))
		var slots []prog.Slot
		for _, name := range b.r.Kept() {
			slots = append(slots, b.p.SlotNamed(name))
		}
		b.root(prog.SendReady(slots...).Because("for the runner, to read the job's files with when all its processes are dead"))
	}
	if b.r.Serve {
		b.root(prog.Serve().Because("the runner copies files in, or looks at what was there"))
	}
	if !b.r.Keep {
		return
	}
	for _, name := range b.r.Kept() {
		if name != Upper {
			b.root(prog.Close(b.p.SlotNamed(name)))
		}
	}
}
