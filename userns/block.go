package userns

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
)

// ErrNoBlock reports that no block of ids is free, or that this user namespace has
// too few ids to take one from.
var ErrNoBlock = errors.New("no block of ids to take")

// rootWindow is where a run started by root takes its ids from: a range that
// systemd's allocation of ids (UIDS-GIDS.md) leaves unused, above what useradd
// gives to people and containers. Neither 0 nor 65534 is anywhere near.
var rootWindow = idmap.SubRange{First: 0x70000000, Count: 0x0FFE0000}

// LockBlock takes [idmap.BlockSize] ids that no other run on this machine uses,
// for a run started by root: base to base+15, for users and groups. It looks in
// 0x70000000 to 0x7FFDFFFF or, in a user namespace that does not have these, below
// the top of what it has. The block is taken as long as any copy of the descriptor
// is open: the caller keeps lock, pid 1 inherits it (it is close-on-exec, so a job
// does not), and whoever of them lives last frees the block by ending.
//
// # Decision: the lock is the name of a socket
//
// The lock is an abstract unix socket named after the block, bound and never
// listening, so that nobody can connect or queue anything. A file below /run with
// flock would do as well, but would leave 16 million possible files, need a
// directory that others cannot fill, and be missing in a container. What is given
// up: names are per network namespace, so that two runners in different network
// namespaces of one user namespace do not see each other's locks; the random start
// then keeps two runs apart with a chance of 1 in 16 million (1 in some hundred in
// a small namespace). And any local user can take names; one who took them all
// could keep root from starting runs, at the price of 16 million sockets, but
// could not get a run to share ids.
func LockBlock() (base uint32, lock *os.File, err error) {
	window, err := ownWindow(thisHost)
	if err != nil {
		return 0, nil, err
	}
	return LockBlockIn("ids", window)
}

// LockBlockIn is [LockBlock] for a window of the caller's choice: base lies a
// multiple of 16 above the beginning of one of its ranges. Runs that are to see
// each other's locks give the same window and the same space, a name for the
// numbering that the window is in: the ids inside one user's namespace, say.
func LockBlockIn(space string, window []idmap.SubRange) (base uint32, lock *os.File, err error) {
	// In small windows all blocks are tried. In large ones a run of so many
	// blocks taken is somebody's attack.
	const most = 1 << 14
	var blocks uint64
	for _, w := range window {
		blocks += uint64(w.Count / idmap.BlockSize)
	}
	if blocks == 0 {
		return 0, nil, fmt.Errorf("%w: there are fewer than %d ids", ErrNoBlock, idmap.BlockSize)
	}
	// A random start keeps runs that cannot see each other's locks apart, and
	// makes a block unlikely to be used again soon: files that a run left behind
	// belong to its ids.
	start, err := random64()
	if err != nil {
		return 0, nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, os.NewSyscallError("socket", err)
	}
	tries := min(blocks, most)
	for i := range tries {
		base := blockBase(window, (start%blocks+i)%blocks)
		// A leading @ is a zero byte: the abstract name space.
		name := "jailrun/" + space + "/" + strconv.FormatUint(uint64(base), 16)
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: "@" + name})
		if err == nil {
			return base, os.NewFile(uintptr(fd), name), nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			_ = unix.Close(fd)
			return 0, nil, os.NewSyscallError("bind", err)
		}
	}
	_ = unix.Close(fd)
	return 0, nil, fmt.Errorf("%w: %d of %d blocks tried, all taken", ErrNoBlock, tries, blocks)
}

// blockBase is the first id of block number n of the window.
func blockBase(window []idmap.SubRange, n uint64) uint32 {
	for _, w := range window {
		blocks := uint64(w.Count / idmap.BlockSize)
		if n < blocks {
			return w.First + uint32(n)*idmap.BlockSize
		}
		n -= blocks
	}
	return 0 // n is below the number of blocks
}

func random64() (uint64, error) {
	var b [8]byte
	// Up to 256 bytes come whole; EINTR comes only before the pool is ready.
	_, err := unix.Getrandom(b[:], 0)
	for err == unix.EINTR {
		_, err = unix.Getrandom(b[:], 0)
	}
	var v uint64
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v, os.NewSyscallError("getrandom", err)
}

// ownWindow is the window for the user namespace that this process lives in.
func ownWindow(h host) ([]idmap.SubRange, error) {
	uid, err := ownMap(h, "uid_map")
	if err != nil {
		return nil, err
	}
	gid, err := ownMap(h, "gid_map")
	if err != nil {
		return nil, err
	}
	if w := window(uid, gid); len(w) > 0 {
		return w, nil
	}
	return nil, fmt.Errorf("%w: this user namespace has too few (/proc/self/uid_map %q, gid_map %q)", ErrNoBlock, uid, gid)
}

// window chooses where to take blocks from when the ids that exist are those that
// both maps have inside: rootWindow if it exists, else at most 4096 ids from the
// upper half of the largest range below 60001. From there on systemd assigns the
// 16-bit ids (homes 60001, dynamic services 61184 to 65519, nobody 65534), and the
// lower half is where accounts are. A namespace whose ids all lie above 65535 has
// no accounts of that kind; there the top of the largest range is taken.
func window(uid, gid idmap.Map) []idmap.SubRange {
	if holds(uid, rootWindow.First, rootWindow.Count) && holds(gid, rootWindow.First, rootWindow.Count) {
		return []idmap.SubRange{rootWindow}
	}
	const (
		accounts = 60001
		sixteen  = 1 << 16
		most     = 4096
	)
	var best idmap.SubRange
	for _, limit := range [][2]uint64{{1, accounts}, {sixteen, idmap.MaxID + 1}} {
		r := largestCommon(uid, gid, limit[0], limit[1])
		if r.Count > best.Count {
			best = r
		}
	}
	take := min(best.Count/2, most)
	take -= take % idmap.BlockSize
	if take == 0 {
		return nil
	}
	return []idmap.SubRange{{First: best.First + best.Count - take, Count: take}}
}

// largestCommon is the largest range of ids in [from, to) that one line of each map
// has inside.
func largestCommon(uid, gid idmap.Map, from, to uint64) idmap.SubRange {
	var best idmap.SubRange
	for _, u := range uid {
		for _, g := range gid {
			lo := max(uint64(u.Inside), uint64(g.Inside), from)
			hi := min(uint64(u.Inside)+uint64(u.Count), uint64(g.Inside)+uint64(g.Count), to)
			if hi > lo && hi-lo > uint64(best.Count) {
				best = idmap.SubRange{First: uint32(lo), Count: uint32(hi - lo)}
			}
		}
	}
	return best
}
