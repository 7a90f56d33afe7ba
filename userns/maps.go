package userns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
)

// Maps is a pair of id maps for one new user namespace, and how each will be
// written. Make one with [Prepare]. It is read-only and serves any number of
// namespaces, also at once.
type Maps struct {
	uid, gid      mapFile
	denySetgroups bool
}

// mapFile is one of the two maps.
type mapFile struct {
	name   string // uid_map or gid_map
	m      idmap.Map
	helper string // path of the program that writes it; "" when we do
}

// Prepare checks the maps and decides who writes them, before any process exists.
//
// A map is written directly if this process has CAP_SETUID (CAP_SETGID for
// groups) in its own user namespace, or if it is one line with one id and that is
// the effective id of this process. An unprivileged process that writes its own
// group so must deny setgroups(2) to the namespace first, or a job could drop a
// group that a file denies something to (CVE-2014-8989). Other maps go through
// newuidmap and newgidmap; if these cannot work, the error is [ErrNoHelper].
func Prepare(uid, gid idmap.Map) (*Maps, error) { return prepare(uid, gid, helperDirs) }

func prepare(uid, gid idmap.Map, dirs []string) (*Maps, error) {
	caps, err := effectiveCaps()
	if err != nil {
		return nil, err
	}
	m := &Maps{
		uid: mapFile{name: "uid_map", m: slices.Clone(uid)},
		gid: mapFile{name: "gid_map", m: slices.Clone(gid)},
	}
	if err := m.uid.choose("newuidmap", caps&(1<<unix.CAP_SETUID) != 0, unix.Geteuid(), dirs); err != nil {
		return nil, err
	}
	setgid := caps&(1<<unix.CAP_SETGID) != 0
	if err := m.gid.choose("newgidmap", setgid, unix.Getegid(), dirs); err != nil {
		return nil, err
	}
	m.denySetgroups = m.gid.helper == "" && !setgid
	return m, nil
}

// choose validates the map and sets its helper. own is the id that everybody may
// map, privileged the right to map any.
func (f *mapFile) choose(helper string, privileged bool, own int, dirs []string) error {
	if err := f.m.Validate(); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if privileged || len(f.m) == 1 && f.m[0].Count == 1 && f.m[0].Outside == uint32(own) {
		return nil
	}
	path, err := findHelper(helper, dirs)
	f.helper = path
	return err
}

// Write writes the maps of the user namespace that the process pid was created
// in. pidfd must refer to that process. The process must be a dumpable child of
// this one that holds still; the maps can be written once.
//
// The process is recognised by pidfd, so that a number given to another process
// meanwhile is never written to; what helpers wrote is read back. ctx bounds the
// helpers, which may ask a directory service for the user's name; direct writes
// take microseconds.
//
// Errors: *os.PathError of a direct write, *[HelperError], ESRCH when the process
// has ended. After an error the namespace is useless: end the process.
func (m *Maps) Write(ctx context.Context, pid, pidfd int) error {
	t, err := openTarget(pid, pidfd)
	if err != nil {
		return err
	}
	defer t.close()
	// The helpers take milliseconds each and do not depend on each other.
	uid, err := m.uid.start(t)
	if err != nil {
		return err
	}
	gid, err := m.gid.start(t)
	if err != nil {
		uid.kill()
		_ = uid.wait(ctx) // that we killed it is no news
		return err
	}
	err = m.direct(t)
	if err := both(err, both(uid.wait(ctx), gid.wait(ctx))); err != nil {
		return err
	}
	return both(m.uid.verify(t), m.gid.verify(t))
}

// WriteMaps is [Prepare] and [Maps.Write] in one.
func WriteMaps(ctx context.Context, pid, pidfd int, uid, gid idmap.Map) error {
	m, err := Prepare(uid, gid)
	if err != nil {
		return err
	}
	return m.Write(ctx, pid, pidfd)
}

// direct writes what needs no helper. setgroups comes first: the kernel takes an
// unprivileged gid_map only after the denial, and no denial after a gid_map.
func (m *Maps) direct(t *target) error {
	if m.denySetgroups {
		if err := t.write("setgroups", []byte("deny")); err != nil {
			return err
		}
	}
	for _, f := range []*mapFile{&m.uid, &m.gid} {
		if f.helper != "" {
			continue
		}
		if err := t.write(f.name, f.m.Kernel()); err != nil {
			return f.explain(err)
		}
	}
	return nil
}

// start starts the helper of this map; nil if it has none.
func (f *mapFile) start(t *target) (*helper, error) {
	if f.helper == "" {
		return nil, nil
	}
	return startHelper(f.helper, helperArgs(strconv.Itoa(t.pid), f.m))
}

// verify reads back what a helper wrote. It knew the process by its number only;
// if that number had gone to another process, ours would have no map.
func (f *mapFile) verify(t *target) error {
	if f.helper == "" {
		return nil
	}
	if err := t.alive(); err != nil {
		return err
	}
	got, err := t.readMap(f.name)
	if err != nil {
		return err
	}
	if !sameLines(got, f.m) {
		return fmt.Errorf("bug: %s succeeded, but /proc/%d/%s is %q instead of %q", f.helper, t.pid, f.name, got, f.m)
	}
	return nil
}

func (t *target) readMap(name string) (idmap.Map, error) {
	fd, path, err := t.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	text, err := readSmall(fd, path)
	if err != nil {
		return nil, err
	}
	return idmap.Parse(text)
}

// sameLines compares maps without regard to order: the kernel sorts long ones.
func sameLines(a, b idmap.Map) bool {
	byInside := func(x, y idmap.Range) int {
		// Inside ids of a valid map differ.
		if x.Inside < y.Inside {
			return -1
		}
		return 1
	}
	return slices.Equal(slices.SortedFunc(slices.Values(a), byInside), slices.SortedFunc(slices.Values(b), byInside))
}

// explain adds to an EPERM of a map file that an id outside does not exist for
// this process, which the kernel reports with the same errno: root in a container
// often has 65536 ids.
func (f *mapFile) explain(err error) error {
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	own, perr := ownMap(thisHost, f.name)
	if perr != nil {
		return err
	}
	for _, r := range f.m {
		if !holds(own, r.Outside, r.Count) {
			return fmt.Errorf("ids %v do not all exist in this user namespace, which has /proc/self/%s %q: %w",
				idmap.SubRange{First: r.Outside, Count: r.Count}, f.name, own, err)
		}
	}
	return err
}

// ownMap is the map of the user namespace that this process lives in. Its ids
// inside are the ones we may speak of.
func ownMap(h host, name string) (idmap.Map, error) {
	text, err := h.read("self/" + name)
	if err != nil {
		return nil, err
	}
	m, err := idmap.Parse(text)
	if err != nil {
		return nil, &os.PathError{Op: "parse", Path: h.proc + "/self/" + name, Err: err}
	}
	return m, nil
}

// holds reports whether one line of m has all count ids from first on inside. The
// kernel asks for one line too (map_id_range_down).
func holds(m idmap.Map, first, count uint32) bool {
	return slices.ContainsFunc(m, func(r idmap.Range) bool {
		return first >= r.Inside && uint64(first)+uint64(count) <= uint64(r.Inside)+uint64(r.Count)
	})
}

// effectiveCaps are the capabilities that this thread has in force. Threads of a
// Go program differ only if somebody made them differ.
func effectiveCaps() (uint64, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0, os.NewSyscallError("capget", err)
	}
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32, nil
}
