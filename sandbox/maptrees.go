package sandbox

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
	"github.com/jailrun/jailrun/sandbox/prog"
	"github.com/jailrun/jailrun/userns"
)

func subordinate(uid int) func() (u, g []idmap.SubRange, err error) {
	return func() (u, g []idmap.SubRange, err error) {
		sub, err := userns.Lookup(uint32(uid), "")
		return sub.UID.Ranges, sub.GID.Ranges, err
	}
}

// takeBlock locks the ids of a run by root and moves the maps there.
func (r *run) takeBlock(id *identity, binds *[]prog.Binding) error {
	base, lock, err := userns.LockBlock()
	if err != nil {
		return err
	}
	r.undo.add(func() error { return lock.Close() })
	*binds = append(*binds, prog.Binding{Slot: r.plan.Program.SlotNamed("block"), Fd: int(lock.Fd())})
	id.uid, id.gid = idmap.Block(base, id.job[0]), idmap.Block(base, id.job[1])
	if r.group != nil {
		return r.group.Give(int(base))
	}
	return nil
}

// mapTrees makes the id-mapped views of the directories that a run by root is
// given: each with its owner as the job's root.
func (r *run) mapTrees(trees []mappedTree, binds *[]prog.Binding) error {
	id := &r.plan.identity
	for _, m := range trees {
		dir, err := unix.Open(m.source, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: m.source, Err: err}
		}
		var st unix.Stat_t
		if err = unix.Fstat(dir, &st); err == nil {
			err = r.mapTree(m, dir, idmap.Self(st.Uid, id.uid[0].Outside), idmap.Self(st.Gid, id.gid[0].Outside), binds)
		}
		unix.Close(dir)
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *run) mapTree(m mappedTree, dir int, uid, gid idmap.Map, binds *[]prog.Binding) error {
	ns, err := r.ownerNamespace(uid, gid)
	if err != nil {
		return err
	}
	defer ns.Close()
	tree, err := userns.MappedTree(dir, "", ns)
	if m.lower && errors.Is(err, userns.ErrNoIDMap) {
		r.plan.notes = append(r.plan.notes, "the files of the root belong to nobody and cannot be changed: "+err.Error())
		tree, err = userns.Tree(dir)
	}
	if err != nil {
		return &os.PathError{Op: "map the owner of", Path: m.source, Err: err}
	}
	r.undo.add(func() error { return tree.Close() })
	*binds = append(*binds, prog.Binding{Slot: m.slot, Fd: int(tree.Fd())})
	return nil
}
