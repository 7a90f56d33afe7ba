package batch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A store keeps what jobs leave, each file once, by the hash of its content,
// and which compile steps have left what. It lies in a directory of the
// caller's alone:
//
//	objects/ab/cdef…   a file, mode 0555
//	cache/KEY          JSON: the outputs of a step
//	tmp/               what is being written
//
// Other batches may use it at the same time.
type store struct{ dir string }

// openStore opens the store below a directory, which is made, and must be the
// caller's alone: what lies there is executed by later jobs.
func openStore(dir string) (*store, error) {
	if dir == "" {
		return nil, errors.New("no state directory was named")
	}
	s := &store{dir}
	for _, d := range [...]string{"", "objects", "cache", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	var st unix.Stat_t
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	switch {
	case int(st.Uid) != unix.Geteuid():
		return nil, fmt.Errorf("%s belongs to uid %d, not to us; remove it or name another with --state", dir, st.Uid)
	case st.Mode&0o022 != 0:
		return nil, fmt.Errorf("%s may be written by others; chmod go-w %s", dir, dir)
	}
	return s, nil
}

// tmp is where files without a name and unfinished ones are made.
func (s *store) tmp() string { return filepath.Join(s.dir, "tmp") }

// temp makes a directory of its own below tmp; the caller removes it.
func (s *store) temp() (string, error) { return os.MkdirTemp(s.tmp(), "job-") }

// path is where the file of a hash lies.
func (s *store) path(sum string) string {
	return filepath.Join(s.dir, "objects", sum[:2], sum[2:])
}

func (s *store) has(sum string) bool {
	if len(sum) != 2*sha256.Size {
		return false
	}
	_, err := hex.DecodeString(sum)
	if err != nil {
		return false
	}
	_, err = os.Lstat(s.path(sum))
	return err == nil
}

// add takes all of a stream and returns its hash.
func (s *store) add(from io.Reader) (string, error) {
	f, err := os.CreateTemp(s.tmp(), "object-")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name()) // fails once it has its name
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, h), from)
	if err == nil {
		// Executable, and writable by nobody: whoever takes it gets a copy.
		err = f.Chmod(0o555)
	}
	if err == nil {
		err = f.Sync() // a name whose content a power failure took would be trusted
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if s.has(sum) {
		return sum, nil
	}
	if err := os.MkdirAll(filepath.Dir(s.path(sum)), 0o700); err != nil {
		return "", err
	}
	return sum, os.Rename(f.Name(), s.path(sum))
}

// addFile takes a file that a job has left, if it is a regular one.
func (s *store) addFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return "", errors.Join(err, fmt.Errorf("%s is not a regular file", filepath.Base(path)))
	}
	return s.add(f)
}

// cached returns the outputs of a step that was carried out before, nil if it
// was not or if they are gone.
func (s *store) cached(key string) map[string]string {
	text, err := os.ReadFile(filepath.Join(s.dir, "cache", key))
	if err != nil {
		return nil
	}
	var outputs map[string]string
	if json.Unmarshal(text, &outputs) != nil {
		return nil
	}
	for _, sum := range outputs {
		if !s.has(sum) {
			return nil
		}
	}
	return outputs
}

// remember keeps the outputs of a step.
func (s *store) remember(key string, outputs map[string]string) error {
	text, err := json.Marshal(outputs)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.tmp(), "cache-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(s.dir, "cache", key))
}
