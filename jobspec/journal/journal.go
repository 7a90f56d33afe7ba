// Package journal keeps what is done of a batch: a file with one JSON object a
// line, the first of them the header. A line is in the file, and with the
// kernel, when Append returns, so that no end of this process loses it; it is
// on the disk when it is delivered, so that nothing is told to anyone that a
// power failure could take back.
//
// Decision: one fdatasync(2) covers all lines that came while the one before it
// ran, and two begin at least [gather] apart: a line after a silence is on the
// disk at once, and of a stream of them each waits a moment for the others.
// Measured with jobs of 3 ms on two CPUs: one call for each line costs a job
// 0.3 ms of CPU time, with the pause less than 0.1 ms.
package journal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is a journal that another process is writing.
var ErrLocked = errors.New("another jailrun is writing it")

// longestLine bounds a record; what a job prints is cut long before.
const longestLine = 16 << 20

// gather is the least time between the starts of two calls of fdatasync: as
// long as a reader of results does not notice, and some short jobs.
const gather = 20 * time.Millisecond

// A Journal is open for writing. Its methods may be called from several
// goroutines; Close ends it.
type Journal struct {
	f       *os.File
	deliver func(line []byte)

	write   sync.Mutex // orders the file and pending alike
	pending chan []byte
	failure sync.Mutex    // not held while anything is waited for
	err     error         // the first failure; nothing is written after it
	closing chan struct{} // nothing is waited for any more
	done    chan struct{}
}

// Create makes a journal with its header, a JSON object without newline, and
// puts it in the place of an old one, which becomes path.old. deliver is told
// every further line once it is on the disk, in order, from one goroutine.
func Create(path string, header []byte, deliver func(line []byte)) (*Journal, error) {
	if old, err := lockedAt(path); err != nil {
		return nil, err
	} else if old != nil {
		defer old.Close()
	}
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	err = lock(f)
	if err == nil {
		_, err = f.Write(append(bytes.Clone(header), '\n'))
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		if err = os.Rename(path, path+".old"); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return start(f, deliver), nil
}

// lockedAt opens and locks the journal at path; nil if there is none.
func lockedAt(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|os.O_APPEND, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lockPatience is how long the sandboxes of a batch that was killed may take to
// end: they are forks of it and hold its lock as long as they have not closed
// what came along.
const lockPatience = 3 * time.Second

// lock is let go of by the kernel with the process and what it has just forked.
func lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for end := time.Now().Add(lockPatience); errors.Is(err, unix.EWOULDBLOCK) && time.Now().Before(end); {
		<-time.After(10 * time.Millisecond)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Resume opens a journal, gives the header and then every whole line to each,
// and goes on behind them. A last line that was not written whole is cut off.
// It returns an error that wraps fs.ErrNotExist if there is no journal.
func Resume(path string, header, each func(line []byte) error, deliver func(line []byte)) (*Journal, error) {
	f, err := lockedAt(path)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
	}
	end, err := read(f, header, each)
	if err == nil {
		err = f.Truncate(end)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return start(f, deliver), nil
}

func start(f *os.File, deliver func([]byte)) *Journal {
	j := &Journal{f: f, deliver: deliver, pending: make(chan []byte, 256), closing: make(chan struct{}), done: make(chan struct{})}
	go j.sync()
	return j
}

// Append writes one record, a JSON object without newline, which must not be
// changed afterwards. After a failure every further call fails.
func (j *Journal) Append(line []byte) error {
	if !looksWhole(line) || bytes.IndexByte(line, '\n') >= 0 {
		return errors.New("bug: a record that is no JSON object on one line, please report")
	}
	j.write.Lock()
	defer j.write.Unlock()
	if err := j.failed(nil); err != nil {
		return err
	}
	if _, err := j.f.Write(append(slices.Clip(line), '\n')); err != nil {
		return j.failed(err)
	}
	j.pending <- line
	return nil
}

// sync flushes and delivers until Close.
func (j *Journal) sync() {
	defer close(j.done)
	var lines [][]byte
	var last time.Time
	for line := range j.pending {
		lines = append(lines[:0], line)
		if wait := gather - time.Since(last); wait > 0 {
			select {
			case <-time.After(wait):
			case <-j.closing:
			}
		}
		last = time.Now()
	more:
		for {
			select {
			case line, ok := <-j.pending:
				if !ok {
					break more
				}
				lines = append(lines, line)
			default:
				break more
			}
		}
		if err := unix.Fdatasync(int(j.f.Fd())); err != nil {
			_ = j.failed(&os.PathError{Op: "fdatasync", Path: j.f.Name(), Err: err})
			for range j.pending { // so that nobody waits; what is not on the disk is not told
			}
			return
		}
		for _, line := range lines {
			j.deliver(line)
		}
	}
}

// failed records a failure, if err is one, and returns the first.
func (j *Journal) failed(err error) error {
	j.failure.Lock()
	defer j.failure.Unlock()
	if j.err == nil {
		j.err = err
	}
	return j.err
}

// Close waits until all is on the disk and delivered. It returns the first
// failure of the journal, if there was one.
func (j *Journal) Close() error {
	close(j.closing)
	close(j.pending)
	<-j.done
	return errors.Join(j.failed(nil), j.f.Close())
}
