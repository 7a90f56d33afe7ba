package limits

import (
	"bytes"
	"errors"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// dir is a directory of cgroupfs held by descriptor, and the package's one
// door to its files. Names given to it are single components that no user
// chooses, so openat with O_NOFOLLOW cannot leave the directory. Errors are
// *os.PathError with the file, the errno and, for a refused write, the value.
type dir struct {
	fd   int
	path string // for messages only
	fake *fake
}

// fake stands in for what a plain directory does not do as cgroupfs does; it
// is nil outside tests.
type fake struct {
	made   func(path string) error        // a directory was made: the kernel puts its files there
	remove func(path string) error        // a directory is about to be removed
	write  func(path, value string) error // instead of write(2)
}

func openDir(name string, f *fake) (dir, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return dir{fd: -1}, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return dir{fd: fd, path: name, fake: f}, nil
}

func (d dir) fail(op, name string, err error) error {
	return &os.PathError{Op: op, Path: path.Join(d.path, name), Err: err}
}

func (d dir) openAt(name string, flags int) (int, error) {
	fd, err := unix.Openat(d.fd, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, d.fail("open", name, err)
	}
	return fd, nil
}

// child opens a directory below.
func (d dir) child(name string) (dir, error) {
	fd, err := d.openAt(name, unix.O_RDONLY|unix.O_DIRECTORY)
	return dir{fd: fd, path: path.Join(d.path, name), fake: d.fake}, err
}

// make makes and opens a directory below.
func (d dir) make(name string) (dir, error) {
	if err := unix.Mkdirat(d.fd, name, 0o755); err != nil {
		return dir{fd: -1}, d.fail("mkdir", name, err)
	}
	if d.fake != nil {
		if err := d.fake.made(path.Join(d.path, name)); err != nil {
			_ = unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR)
			return dir{fd: -1}, d.fail("mkdir", name, err)
		}
	}
	made, err := d.child(name)
	if err != nil {
		_ = d.rmdir(name)
	}
	return made, err
}

func (d dir) rmdir(name string) error {
	if d.fake != nil {
		if err := d.fake.remove(path.Join(d.path, name)); err != nil {
			return d.fail("rmdir", name, err)
		}
	}
	if err := unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR); err != nil {
		return d.fail("rmdir", name, err)
	}
	return nil
}

// write writes a value to a file in one write(2), as cgroupfs wants it.
func (d dir) write(name, value string) error {
	fd, err := d.openAt(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if d.fake != nil {
		err = d.fake.write(path.Join(d.path, name), value)
	} else {
		_, err = ignoringEINTR(func() (int, error) { return unix.Write(fd, []byte(value)) })
	}
	if err != nil {
		return d.fail("write "+strconv.Quote(value)+" to", name, err)
	}
	return nil
}

// read returns the whole of a file.
func (d dir) read(name string) ([]byte, error) {
	fd, err := d.openAt(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	text, err := readAndClose(fd)
	if err != nil {
		return nil, d.fail("read", name, err)
	}
	return text, nil
}

// readFile is os.ReadFile without the runtime poller, which triples the cost
// of a small file.
func readFile(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	text, err := readAndClose(fd)
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: name, Err: err}
	}
	return text, nil
}

func readAndClose(fd int) ([]byte, error) {
	defer unix.Close(fd)
	text := make([]byte, 0, 2048)
	for {
		if len(text) == cap(text) {
			text = append(text, 0)[:len(text)]
		}
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, text[len(text):cap(text)]) })
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return text, nil
		}
		text = text[:len(text)+n]
	}
}

// number reads a file that holds one number; "max" has no number and is
// absent.
func (d dir) number(name string) (Opt[uint64], error) {
	text, err := d.read(name)
	if err != nil {
		return Opt[uint64]{}, err
	}
	text = bytes.TrimSpace(text)
	if string(text) == "max" {
		return Opt[uint64]{}, nil
	}
	n, ok := parseUint(text)
	if !ok {
		return Opt[uint64]{}, d.fail("parse "+quote(string(text))+" in", name, errNotANumber)
	}
	return Opt[uint64]{n, true}, nil
}

// procs reads the processes of the group itself.
func (d dir) procs() ([]int, error) {
	const name = "cgroup.procs"
	text, err := d.read(name)
	if err != nil {
		return nil, err
	}
	var pids []int
	for line := range bytes.FieldsSeq(text) {
		pid, ok := parseUint(line)
		if !ok {
			return nil, d.fail("parse "+quote(string(line))+" in", name, errNotANumber)
		}
		pids = append(pids, int(pid))
	}
	return pids, nil
}

// dirs lists the directories below.
func (d dir) dirs() ([]string, error) {
	// A descriptor of its own: the read position belongs to the open file.
	fd, err := d.openAt(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var names []string
	buf := make([]byte, 8192)
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.Getdents(fd, buf) })
		if err != nil {
			return nil, d.fail("getdents", ".", err)
		}
		if n == 0 {
			return names, nil
		}
		eachEntry(buf[:n], func(name []byte, kind byte) {
			if kind == unix.DT_DIR && name[0] != '.' {
				names = append(names, string(name))
			}
		})
	}
}

func (d dir) close() {
	if d.fd >= 0 {
		_ = unix.Close(d.fd)
	}
}

var errNotANumber = errors.New("not a number")

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
