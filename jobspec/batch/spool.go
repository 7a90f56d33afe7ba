package batch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A spool takes one output of a job: a little of it in memory, more in a file
// without a name, which is gone with its descriptor. It is written by one
// goroutine and read when that is over.
type spool struct {
	dir  string // where the file is made
	mem  []byte
	file *os.File
	sum  hash.Hash
	size int64
}

// inMemory is how much is held before a file is made; headKept how much of it
// a record shows.
const (
	inMemory = 64 << 10
	headKept = 4 << 10
)

func newSpool(dir string) *spool { return &spool{dir: dir, sum: sha256.New()} }

// Write never gives up on a part: the error ends the job.
func (s *spool) Write(p []byte) (int, error) {
	s.sum.Write(p)
	s.size += int64(len(p))
	if s.file == nil && len(s.mem)+len(p) <= inMemory {
		s.mem = append(s.mem, p...)
		return len(p), nil
	}
	if s.file == nil {
		var err error
		if s.file, err = nameless(s.dir); err != nil {
			return 0, err
		}
		if _, err := s.file.Write(s.mem); err != nil {
			return 0, err
		}
		s.mem = s.mem[:min(len(s.mem), headKept)]
	}
	return s.file.Write(p)
}

// nameless makes a file without a name. Where the file system has none, as
// overlay before Linux 6.10, its name is taken away at once.
func nameless(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir), nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return nil, &os.PathError{Op: "make a file without a name in", Path: dir, Err: err}
	}
	f, err := os.CreateTemp(dir, "output-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// reader reads all of it from the start. Several may read at a time.
func (s *spool) reader() io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.mem)
	}
	return io.NewSectionReader(s.file, 0, s.size)
}

// text is what a record keeps of the output.
func (s *spool) text() *Text {
	if s.size == 0 {
		return nil
	}
	head := s.mem[:min(len(s.mem), headKept)]
	return &Text{Head: string(head), SHA256: hex.EncodeToString(s.sum.Sum(nil))}
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close() // it has no name and nobody reads it again
	}
}
