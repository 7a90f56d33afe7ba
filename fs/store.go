package fs

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Store is the directory of imported images. Package fs/image writes it; a
// launch reads three small files of it:
//
//	names/NAME            the id of the image of that name
//	sources/KEY           which images came out of a file (see [SourceKey])
//	images/HEX            an [Image]; held by a shared lock while a job uses it
//	layers/NAME/          an unpacked layer
//	meta/NAME             what a layer's tar says that its files here cannot
//	tmp/                  what is being made, and what is being removed
type Store struct {
	Dir string // absolute, free of symbolic links
}

// Layers is the directory of the layers.
func (s Store) Layers() string { return s.Dir + "/layers" }

var (
	// ErrNotImported reports an image that the store does not have.
	ErrNotImported = errors.New("is not imported")
	// ErrStoreUnsafe reports a store that others than its owner may enter.
	ErrStoreUnsafe = errors.New("is not the caller's alone")
)

// StateDir is where jailrun keeps what outlives a run: /var/lib/jailrun for
// root, whose environment does not count, else in $XDG_STATE_HOME or
// ~/.local/state. It is "" for a user without a home.
func StateDir(uid int, home string) string {
	if uid == 0 {
		return "/var/lib/jailrun"
	}
	if x := os.Getenv("XDG_STATE_HOME"); x != "" && x[0] == '/' {
		return x + "/jailrun"
	}
	if home == "" || home[0] != '/' || home == "/" {
		return ""
	}
	return home + "/.local/state/jailrun"
}

// OpenStore finds the store in a state directory. Whoever else could write
// there could give jobs another root: so it must be the caller's, mode 0700. The
// error is [ErrNotImported] if there is none.
func OpenStore(state string, uid int) (Store, error) {
	if state == "" {
		return Store{}, fmt.Errorf("%w: there is no state directory without a home or XDG_STATE_HOME", ErrNotImported)
	}
	dir := state + "/images"
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return Store{}, ErrNotImported
	}
	if err != nil {
		return Store{}, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	if err := checkPrivate(fd, dir, uid); err != nil {
		return Store{}, err
	}
	real, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	return Store{Dir: real}, err
}

func checkPrivate(fd int, dir string, uid int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if int(st.Uid) != uid || st.Mode&0o077 != 0 {
		return fmt.Errorf("%s %w: it belongs to uid %d, mode %03o; want uid %d, mode 700", dir, ErrStoreUnsafe, st.Uid, st.Mode&0o777, uid)
	}
	return nil
}

// IsImageName tells whether an image can have that name: letters, digits and
// "._-:", and no slash, so that it is never taken for a path.
func IsImageName(s string) bool {
	for i, c := range []byte(s) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '.' && c != '_' && c != '-' && c != ':') {
			return false
		}
	}
	return s != "" && len(s) <= 200
}

// Named returns the id of the image of that name, or of NAME:latest.
func (s Store) Named(name string) (string, error) {
	if !IsImageName(name) {
		return "", fmt.Errorf("%w: no image can have that name", ErrNotImported)
	}
	id, err := readSmall(s.Dir + "/names/" + name)
	if errors.Is(err, unix.ENOENT) && !strings.Contains(name, ":") {
		id, err = readSmall(s.Dir + "/names/" + name + ":latest")
	}
	if errors.Is(err, unix.ENOENT) {
		return "", ErrNotImported
	}
	return strings.TrimSuffix(id, "\n"), err
}

// SourceKey names a file as it is now: by its place on disk, size and times. So
// a launch knows in two system calls whether what it is given has been imported,
// without reading it. A change sets the change time, which no program can set.
func SourceKey(st *unix.Stat_t) string {
	key := make([]byte, 0, 96)
	for _, n := range [...]int64{int64(st.Dev), int64(st.Ino), st.Size, st.Mtim.Nano(), st.Ctim.Nano()} {
		key = append(strconv.AppendInt(key, n, 16), '-')
	}
	return string(key[:len(key)-1])
}

// From returns the id of the image that came out of the file at path, which is
// the index of a layout or an archive; tag chooses among several.
func (s Store) From(path, tag string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", &os.PathError{Op: "stat", Path: path, Err: err}
	}
	text, err := readSmall(s.Dir + "/sources/" + SourceKey(&st))
	if errors.Is(err, unix.ENOENT) {
		return "", ErrNotImported
	}
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) { // ID "TAG" "PATH"
		if id, rest, _ := strings.Cut(line, " "); strings.HasPrefix(rest, strconv.Quote(tag)+" ") {
			return id, nil
		}
	}
	return "", ErrNotImported
}

// OpenImage reads an image. The descriptor holds it: as long as it is open no
// layer of the image is removed. Its caller closes it, with unix.Close.
func (s Store) OpenImage(id string) (*Image, int, error) {
	if !IsDigest(id) {
		return nil, -1, fmt.Errorf("%w: %q is no digest", ErrNotImported, id)
	}
	path := s.Dir + "/images/" + strings.TrimPrefix(id, digestPrefix)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, -1, ErrNotImported
	}
	if err != nil {
		return nil, -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	m, err := holdImage(fd, path)
	if err != nil {
		unix.Close(fd)
		return nil, -1, err
	}
	return m, fd, nil
}

// CheckLayers finds out whether all layers of an image are there.
func (s Store) CheckLayers(m *Image) error {
	var st unix.Stat_t
	all := m.Directories()
	for i, l := range all {
		if err := unix.Lstat(s.Layers()+"/"+l, &st); err != nil {
			return fmt.Errorf("layer %d of %d (%s) is missing from the store: %w", i+1, len(all), l, err)
		}
	}
	return nil
}

// holdImage locks the file first: one that was removed in between is no image
// any more, though it can still be read.
func holdImage(fd int, path string) (*Image, error) {
	for {
		err := unix.Flock(fd, unix.LOCK_SH)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, &os.PathError{Op: "lock", Path: path, Err: err}
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Nlink == 0 {
		return nil, ErrNotImported
	}
	text, err := readAll(fd, path)
	if err != nil {
		return nil, err
	}
	m, err := DecodeImage(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s %w", ErrNotImported, path, err)
	}
	return m, nil
}

// readSmall reads a file of the store, without the poller that os.Open starts.
func readSmall(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	return readAll(fd, path)
}

// maxSmall bounds what is read of one file of the store.
const maxSmall = 4 << 20

func readAll(fd int, path string) (string, error) {
	var text []byte
	for buf := make([]byte, 8<<10); len(text) <= maxSmall; {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return "", &os.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			return string(text), nil
		}
		text = append(text, buf[:n]...)
	}
	return "", &os.PathError{Op: "read", Path: path, Err: unix.EFBIG}
}

// CutTag separates PATH[:TAG]: the path ends where it names something that is
// there, else at the last colon that no slash follows.
func CutTag(s string) (path, tag string) {
	var st unix.Stat_t
	if unix.Stat(s, &st) == nil {
		return s, ""
	}
	for i := len(s) - 1; i > 0; i-- {
		if s[i] == ':' && unix.Stat(s[:i], &st) == nil {
			return s[:i], s[i+1:]
		}
	}
	if i := strings.LastIndexByte(s, ':'); i > 0 && strings.IndexByte(s[i:], '/') < 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// IsTarName tells whether a name without a slash is that of a tar rather than
// of an image.
func IsTarName(name string) bool {
	for _, end := range [...]string{".tar", ".tar.gz", ".tgz", ".tar.zst"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
