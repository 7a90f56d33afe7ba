package sandbox

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
)

// A disk looks at the job's writable areas now and then. The kernel bounds the
// tmpfs ones, and counts no refusal: that one was full is seen here. What is
// kept on a file system of the host's is bounded here alone.
//
// It is part of the loop and starts no goroutine.
type disk struct {
	run   *run
	areas []*os.File // one in each tmpfs of the job
	next  time.Duration

	peak, inodes int64 // most seen, of all together
	hits         int64 // how often an area was found full that was not before
	full         []bool

	kept     string // directory of a kept writable layer; "" for none
	keptUse  usage
	keptFull bool   // its file system, or its quota
	keptFree uint64 // blocks of its file system when it was last walked
	walked   bool
}

// errInodes: it was the number of files, not their size.
var errInodes = errors.New("inodes")

// usage is what a tree takes.
type usage struct {
	bytes, inodes int64
	hidden        bool // part of it could not be looked at
}

const (
	diskFirst = 50 * time.Millisecond // no look at a shorter job but at its end
	diskLeast = 5 * time.Millisecond
	diskMost  = 250 * time.Millisecond
	fillRate  = 2 << 30 // bytes a second that a job can write to memory
)

func newDisk(r *run) *disk {
	d := &disk{run: r, areas: r.areas, full: make([]bool, len(r.areas)), next: limits.Now() + diskFirst}
	if r.upperLock != nil {
		d.kept = r.plan.root.Upper.Dir + "/upper"
	}
	return d
}

// tick looks when it is time, and says when it will be time again.
func (d *disk) tick(now time.Duration) {
	if now < d.next {
		return
	}
	room := d.look()
	wait := time.Duration(float64(room) / fillRate * float64(time.Second))
	d.next = now + min(max(wait, diskLeast), diskMost)
	if d.kept == "" {
		return
	}
	began := limits.Now()
	if d.walkKept() {
		l := &d.run.plan.limits
		if used := d.tmpfsUsed() + d.keptUse.bytes; used > int64(l.Disk) {
			d.run.fire(firing{by: byDisk, at: now, value: used}, false)
		} else if d.keptUse.inodes > int64(l.Inodes) {
			d.run.fire(firing{by: byDisk, at: now, detail: errInodes}, false)
		}
		// A walk takes a twentieth of a CPU at most.
		d.next = max(d.next, now+20*(limits.Now()-began))
	}
}

// look reads how full each area is, and returns the room in the fullest.
func (d *disk) look() (room int64) {
	room = 1 << 62
	var used, inodes int64
	for i, f := range d.areas {
		var st unix.Statfs_t
		if unix.Fstatfs(int(f.Fd()), &st) != nil {
			continue
		}
		used += int64(st.Blocks-st.Bfree) * st.Bsize
		inodes += int64(st.Files - st.Ffree)
		full := st.Bfree == 0 || st.Ffree == 0
		if full && !d.full[i] {
			d.hits++
		}
		d.full[i] = full
		room = min(room, int64(st.Bfree)*st.Bsize, int64(st.Ffree)<<10)
	}
	var st unix.Statfs_t
	if d.kept != "" && unix.Statfs(d.kept, &st) == nil {
		full := st.Bavail == 0
		if full && !d.keptFull {
			d.hits++
		}
		d.keptFull = full
	}
	d.peak, d.inodes = max(d.peak, used+d.keptUse.bytes), max(d.inodes, inodes+d.keptUse.inodes)
	return room
}

func (d *disk) tmpfsUsed() (sum int64) {
	for _, f := range d.areas {
		n, _ := limits.TmpfsUsed(int(f.Fd()))
		sum += int64(n)
	}
	return sum
}

// walkKept measures the kept layer, unless its file system is as it was.
func (d *disk) walkKept() bool {
	var st unix.Statfs_t
	if unix.Statfs(d.kept, &st) != nil {
		return false
	}
	if d.walked && st.Bfree == d.keptFree && !d.keptUse.hidden {
		return false
	}
	before := d.keptFree
	d.keptFree = st.Bfree
	use := measure(d.kept, int64(d.run.plan.limits.Inodes))
	if use.hidden && d.walked && before > st.Bfree {
		// What the runner cannot look at is taken for what the file system lost.
		use.bytes = max(use.bytes, d.keptUse.bytes+int64(before-st.Bfree)*st.Bsize)
	}
	d.walked, d.keptUse = true, use
	return true
}

// measure adds up a tree, at most a few more entries than most.
func measure(dir string, most int64) usage {
	var u usage
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		u.hidden = true
		return u
	}
	u.add(os.NewFile(uintptr(fd), dir), most, 0)
	return u
}

// maxMeasured is how deep a tree is measured; each level holds a descriptor.
const maxMeasured = 256

func (u *usage) add(d *os.File, most int64, depth int) {
	defer d.Close()
	if depth > maxMeasured {
		u.hidden = true
		return
	}
	for u.inodes <= most {
		list, err := d.Readdirnames(512)
		for _, name := range list {
			var st unix.Stat_t
			if unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
				continue // gone, or in a directory that lets nobody search
			}
			u.inodes++
			if st.Mode&unix.S_IFMT == unix.S_IFDIR {
				fd, err := unix.Openat(int(d.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
				if err != nil {
					u.hidden = true
					continue
				}
				u.add(os.NewFile(uintptr(fd), name), most, depth+1)
			}
			u.bytes += st.Blocks * 512 / int64(max(1, linked(&st)))
		}
		if err != nil || len(list) == 0 {
			return
		}
	}
}

// linked is how many names a file has; its blocks are shared out among them.
func linked(st *unix.Stat_t) int {
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return 1
	}
	return int(st.Nlink)
}
