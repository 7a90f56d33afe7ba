package userns

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNoIDMap reports that a tree cannot be shown under other owners: the kernel is
// older than 5.12, a file system in the tree does not support it (tmpfs before
// 6.3, overlay, FUSE and network file systems mostly), it was mounted by another
// user namespace than ours, or the tree is shown under other owners already.
var ErrNoIDMap = errors.New("the file system cannot show its files under other owners")

// MappedTree clones the mounts at path, which is relative to the directory dirfd
// (unix.AT_FDCWD: the current one) and may be "" for dirfd itself, into a detached
// tree whose files are shown under other owners. ns comes from [NewNamespace]:
// inside are the ids on disk, outside the ids shown. To show what belongs to uid u
// and gid g as the root of a run that has the block at base:
//
//	ns, err := userns.NewNamespace(ctx, idmap.Self(u, base), idmap.Self(g, base))
//	tree, err := userns.MappedTree(dirfd, "", ns)
//
// Files of other owners are shown as those of the overflow ids, 65534, and nobody
// can be given them; files made through the tree by base belong to u on disk, and
// making one as anybody else is EOVERFLOW. Nothing changes on disk or for others.
//
// The tree includes the mounts below path and is private: mounts do not propagate
// from or to it. It may be moved, with move_mount(2), into another mount
// namespace, also one of a user namespace below ours, and disappears when the
// descriptor, which the caller closes, is closed before that.
//
// It needs CAP_SYS_ADMIN in the user namespace that mounted the file systems,
// usually the first. Errors: [ErrNoIDMap], with the errno; *os.PathError.
func MappedTree(dirfd int, path string, ns *os.File) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_RECURSIVE)
	if path == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	fd, err := unix.OpenTree(dirfd, path, flags)
	if errors.Is(err, unix.ENOSYS) {
		return nil, fmt.Errorf("%w: open_tree %s: %w", ErrNoIDMap, path, err)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: path, Err: err}
	}
	tree := os.NewFile(uintptr(fd), path)
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{
		Attr_set:    unix.MOUNT_ATTR_IDMAP,
		Propagation: unix.MS_PRIVATE,
		Userns_fd:   uint64(ns.Fd()),
	})
	if err == nil {
		return tree, nil
	}
	tree.Close()
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP):
		return nil, fmt.Errorf("%w: mount_setattr %s: %w", ErrNoIDMap, path, err)
	default:
		return nil, &os.PathError{Op: "mount_setattr", Path: path, Err: err}
	}
}

// Tree clones the mounts at dirfd into a detached tree, as [MappedTree] does,
// but leaves its files with their owners.
func Tree(dirfd int) (*os.File, error) {
	fd, err := unix.OpenTree(dirfd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, os.NewSyscallError("open_tree", err)
	}
	return os.NewFile(uintptr(fd), "tree"), nil
}
