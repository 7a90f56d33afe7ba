package sandbox

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/seccomp"
)

// A Filter is a compiled profile of the caller's own, for [Spec.Filter].
type Filter struct {
	Plain   []byte // array of struct sock_filter
	NoMemfd []byte // the same where memfd_create is ENOSYS, for memory limits that are held by sampling
}

// maxProfile bounds the text of a profile.
const maxProfile = 256 << 10

// LoadProfile returns the filter of the profile in a file, from the cache or by
// compile, which gets the text and the name of the compiler that is wanted and
// returns an encoded [seccomp.Entry].
//
// The cache lies in the caller's state directory, mode 0700 and checked by
// descriptor. An entry counts only if it belongs to the caller alone, carries
// the whole text that was asked for, and was made by this version for this
// kernel. Without a place for the cache every call compiles.
func LoadProfile(path string, compile func(text []byte, compiler string) ([]byte, error)) (*Filter, error) {
	text, err := readProfile(path)
	if err != nil {
		return nil, err
	}
	kernel, err := kernelVersion()
	if err != nil {
		return nil, err
	}
	compiler := seccomp.CompilerID(Version, kernel)
	dir, err := stateDir("filters")
	if err == nil {
		defer dir.Close()
		if e := cachedEntry(dir, text, compiler); e != nil {
			return &Filter{e.Filter, e.NoMemfd}, nil
		}
	}
	encoded, err := compile(text, compiler)
	if err != nil {
		return nil, err
	}
	e, err := seccomp.DecodeEntry(encoded, compiler, text)
	if err != nil {
		return nil, err
	}
	if dir != nil {
		_ = keepEntry(dir, text, encoded) // the next run compiles again
	}
	return &Filter{e.Filter, e.NoMemfd}, nil
}

func readProfile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO would wait for its writer
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("is no regular file")}
	}
	text, err := io.ReadAll(io.LimitReader(f, maxProfile+1))
	if err == nil && len(text) > maxProfile {
		err = &os.PathError{Op: "read", Path: path, Err: errors.New("is longer than 256 KiB")}
	}
	return text, err
}

// kernelVersion is major and minor number of the running kernel.
func kernelVersion() (v [2]int, err error) {
	release := kernelRelease()
	major, rest, _ := strings.Cut(release, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	if v[0], err = strconv.Atoi(major); err == nil {
		v[1], err = strconv.Atoi(rest[:end])
	}
	if err != nil {
		err = errors.New("the kernel's release " + strconv.Quote(release) + " has no version")
	}
	return v, err
}

// stateDir opens, or makes, a directory of the caller's for what is kept
// between runs. What others may write there is not looked at: it is an error.
func stateDir(name string) (*os.File, error) {
	base := "/var/lib"
	if uid := os.Geteuid(); uid != 0 { // root reads no variable
		if base = os.Getenv("XDG_STATE_HOME"); !filepath.IsAbs(base) {
			home := homeOf(uid)
			if !filepath.IsAbs(home) || home == "/" {
				return nil, os.ErrNotExist
			}
			base = filepath.Join(home, ".local", "state")
		}
	}
	path := filepath.Join(base, "jailrun", name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	own := filepath.Dir(path)
	for _, p := range [...]string{own, path} {
		if err := checkPrivate(p); err != nil {
			return nil, err
		}
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	dir := os.NewFile(uintptr(fd), path)
	if err := private(dir, unix.S_IFDIR); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

func checkPrivate(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	return errors.Join(private(f, unix.S_IFDIR), f.Close())
}

var errNotPrivate = errors.New("belongs to someone else, or others may write it")

// private makes sure that a file of that kind is the caller's and nobody else
// may write it.
func private(f *os.File, kind uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	if st.Mode&unix.S_IFMT != kind || int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return &os.PathError{Op: "trust", Path: f.Name(), Err: errNotPrivate}
	}
	return nil
}

// entryName is where an entry is looked for. Two texts of one name take turns:
// what counts is the text in the entry.
func entryName(text []byte) string {
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range text {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return strconv.FormatUint(h, 16)
}

// cachedEntry is the entry for a text, or nil.
func cachedEntry(dir *os.File, text []byte, compiler string) *seccomp.Entry {
	fd, err := unix.Openat(int(dir.Fd()), entryName(text), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), "filter entry")
	defer f.Close()
	if private(f, unix.S_IFREG) != nil {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(f, 4*maxProfile))
	if err != nil {
		return nil
	}
	e, err := seccomp.DecodeEntry(b, compiler, text)
	if err != nil {
		return nil
	}
	return e
}

// keepEntry writes an entry under a name of its own and then into place.
func keepEntry(dir *os.File, text, encoded []byte) error {
	name := entryName(text)
	temp := name + "." + newID()
	fd, err := unix.Openat(int(dir.Fd()), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: temp, Err: err}
	}
	f := os.NewFile(uintptr(fd), temp)
	_, err = f.Write(encoded)
	if err = errors.Join(err, f.Close()); err == nil {
		err = unix.Renameat(int(dir.Fd()), temp, int(dir.Fd()), name)
	}
	if err != nil {
		_ = unix.Unlinkat(int(dir.Fd()), temp, 0)
	}
	return err
}
