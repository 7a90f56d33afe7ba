package limits

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// procFile is a file of /proc/PID that is read again and again through one
// descriptor: half the cost of opening it each time, and never another
// process's file, because a descriptor stays with the process it was opened
// for, whoever gets its pid next.
type procFile struct {
	name string // "stat"
	fd   int    // -1: not open, opened for each read
}

// read returns the file's text in buf. The error is ESRCH or ENOENT if the
// process is gone.
func (f *procFile) read(dir int, pid string, buf []byte, keep bool) ([]byte, error) {
	fd := f.fd
	if fd < 0 {
		var err error
		if fd, err = unix.Openat(dir, pid+"/"+f.name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0); err != nil {
			return nil, &os.PathError{Op: "open", Path: "/proc/" + pid + "/" + f.name, Err: err}
		}
		if keep {
			f.fd = fd
		} else {
			defer unix.Close(fd)
		}
	}
	n, err := ignoringEINTR(func() (int, error) { return unix.Pread(fd, buf, 0) })
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: "/proc/" + pid + "/" + f.name, Err: err}
	}
	return buf[:n], nil
}

func (f *procFile) close() {
	if f.fd >= 0 {
		_ = unix.Close(f.fd)
		f.fd = -1
	}
}

// vanished reports whether an error of a /proc/PID file says that the process
// is gone.
func vanished(err error) bool {
	return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT)
}

// parseSchedstat returns the time on CPU of /proc/PID/schedstat, exact, of the
// first thread alone: "51096 1200 7". It is 0 where that cannot be told.
func parseSchedstat(text []byte) time.Duration {
	first, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte{' '})
	n, _ := parseUint(first)
	return time.Duration(n)
}

// parseStatm returns resident and shared memory of /proc/PID/statm, in pages:
// "size resident shared text lib data dt".
func parseStatm(text []byte) (resident, shared uint64, ok bool) {
	number := 0
	for word := range bytes.FieldsSeq(text) {
		switch number {
		case 1:
			resident, ok = parseUint(word)
		case 2:
			var ok2 bool
			shared, ok2 = parseUint(word)
			return resident, shared, ok && ok2
		}
		number++
	}
	return 0, 0, false
}

// PSS is memory with every page shared among n processes counted as 1/n in
// each, so that sums over processes count it once.
type PSS struct {
	Anon  Size // private and shared copy-on-write memory
	File  Size // mapped files; the host's own share of its libraries is left out
	Shmem Size // mapped tmpfs files, shared anonymous memory, SysV shared memory
	Swap  Size // swapped out
}

// Total returns the least that the memory of a job can be: its processes' own
// pages, and of mapped shmem and the content of its tmpfs and SysV segments
// ([TmpfsUsed], [SysVShm]) the larger, since most of one is in the other. The
// two lie apart when a job holds shared anonymous memory and unmapped files;
// then it can hold up to the smaller of them more.
func (p PSS) Total(files Size) Size {
	return p.Anon + p.File + p.Swap + max(p.Shmem, files)
}

// Plus returns the sum of two.
func (p PSS) Plus(q PSS) PSS {
	return PSS{p.Anon + q.Anon, p.File + q.File, p.Shmem + q.Shmem, p.Swap + q.Swap}
}

// parseRollup reads /proc/PID/smaps_rollup. Older kernels do not split Pss; it
// is then all counted as Anon.
func parseRollup(text []byte) (p PSS, ok bool) {
	var all Size
	split := false
	for line := range bytes.Lines(text) {
		key, value, found := bytes.Cut(line, []byte{':'})
		number, isKB := bytes.CutSuffix(bytes.TrimSpace(value), []byte(" kB"))
		n, valid := parseUint(bytes.TrimSpace(number))
		if !found || !isKB || !valid {
			continue
		}
		size := Size(n) * KiB
		switch string(key) {
		case "Pss":
			all, ok = size, true
		case "Pss_Anon":
			p.Anon, split = size, true
		case "Pss_File":
			p.File = size
		case "Pss_Shmem":
			p.Shmem = size
		case "SwapPss":
			p.Swap = size
		}
	}
	if !split {
		p.Anon = all
	}
	return p, ok
}

// SysVShm returns the memory of all SysV shared memory segments listed in an
// open /proc/sysvipc/shm, attached or not. The file shows the IPC namespace of
// the process that opened it, not that of the /proc it lies in: pid 1 has to
// open it. RSS and swap of a segment are counted, not its nominal size.
func SysVShm(fd int) (Size, error) {
	var text []byte
	buf := make([]byte, 8192)
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.Pread(fd, buf, int64(len(text))) })
		if err != nil {
			return 0, &os.PathError{Op: "read", Path: "/proc/sysvipc/shm", Err: err}
		}
		if n == 0 {
			return parseSysVShm(text)
		}
		text = append(text, buf[:n]...)
	}
}

// parseSysVShm adds the columns rss and swap, which the heading names.
func parseSysVShm(text []byte) (Size, error) {
	columns := []int{}
	var sum Size
	for line := range bytes.Lines(text) {
		words := bytes.Fields(line)
		if len(columns) == 0 {
			for i, word := range words {
				if string(word) == "rss" || string(word) == "swap" {
					columns = append(columns, i)
				}
			}
			if len(columns) != 2 {
				break
			}
			continue
		}
		for _, column := range columns {
			if column >= len(words) {
				return 0, &os.PathError{Op: "parse", Path: "/proc/sysvipc/shm", Err: errStat}
			}
			n, ok := parseUint(words[column])
			if !ok {
				return 0, &os.PathError{Op: "parse " + strconv.Quote(string(words[column])) + " in", Path: "/proc/sysvipc/shm", Err: errNotANumber}
			}
			sum += Size(n)
		}
	}
	if len(columns) != 2 {
		return 0, &os.PathError{Op: "parse", Path: "/proc/sysvipc/shm", Err: errors.New("no columns rss and swap")}
	}
	return sum, nil
}

// TmpfsUsed returns what a tmpfs holds: fstatfs of a descriptor in it. Files
// that were unlinked and are still open are in it, mapped pages too.
func TmpfsUsed(fd int) (Size, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return 0, os.NewSyscallError("fstatfs", err)
	}
	return Size(fs.Blocks-fs.Bfree) * Size(fs.Bsize), nil
}
