package sandbox

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

type writer = io.Writer

// The states of a stream's writer.
const (
	writerIdle int32 = iota
	writerBusy
	writerLeft // nothing is passed on any more
)

// A stream passes one output of the job on. Its goroutine is started when the
// first byte is there: a silent job costs none.
type stream struct {
	run     *run
	fd      int // read end; owned by the loop until the goroutine runs
	to      io.Writer
	lock    *sync.Mutex // shared when both streams go to one writer
	bytes   atomic.Int64
	cut     atomic.Bool           // something was not passed on
	failed  atomic.Pointer[error] // of the caller's writer
	broken  atomic.Pointer[error] // of our read; the job met a closed pipe
	writer  atomic.Int32
	running bool
	done    chan struct{} // closed at the end of file
}

func newStream(r *run, fd int, to io.Writer) *stream {
	return &stream{run: r, fd: fd, to: to, done: make(chan struct{})}
}

// shareWriter keeps two streams to one writer from calling it at once.
func (r *run) shareWriter() {
	if a, b := r.streams[0].to, r.streams[1].to; a != nil && b != nil && comparableEqual(a, b) {
		r.streams[0].lock = new(sync.Mutex)
		r.streams[1].lock = r.streams[0].lock
	}
}

// comparableEqual is a == b for writers whose type may not be comparable.
func comparableEqual(a, b io.Writer) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return a == b
}

// ready is called by the loop when poll reports revents for the stream.
func (s *stream) ready(revents int16) {
	if revents&unix.POLLIN != 0 {
		s.running = true
		go s.pump()
		return
	}
	s.close() // an end of file without a byte
}

func (s *stream) close() {
	_ = unix.Close(s.fd)
	s.fd = -1
	close(s.done)
}

// discard is the stream's undo: after a failed launch nothing reads it.
func (s *stream) discard() error {
	if !s.running && s.fd >= 0 {
		s.close()
	}
	return nil
}

// over reports whether the stream has ended or was abandoned.
func (s *stream) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return s.writer.Load() == writerLeft
	}
}

// abandon leaves a stream whose writer blocks, or whose end does not come. No
// further Write begins. The goroutine ends, and closes what it reads, when the
// caller's Write returns: nobody else can, and until then it touches nothing
// that is not atomic.
func (s *stream) abandon() {
	if !s.over() {
		s.cut.Store(true)
		s.writer.Store(writerLeft)
	}
}

// pump reads to the end of file, which comes when every process of the job is
// dead. After the limit, or when the writer failed, it goes on reading, so
// that the job meets a limit and not a full pipe.
func (s *stream) pump() {
	defer s.run.poke()
	defer s.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(s.fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			err = os.NewSyscallError("read", err)
			s.broken.Store(&err)
		}
		if n <= 0 {
			return
		}
		s.bytes.Add(int64(n))
		if s.pass(buf[:n]); s.writer.Load() == writerLeft {
			return
		}
	}
}

// pass writes what the limit allows of b, and wakes the loop when it is met.
func (s *stream) pass(b []byte) {
	total := s.run.written.Add(int64(len(b)))
	if limit := int64(s.run.plan.limits.Output); limit > 0 && total > limit {
		b = b[:max(0, int64(len(b))-(total-limit))]
		s.cut.Store(true)
		s.run.poke()
	}
	if len(b) == 0 || s.to == nil || s.failed.Load() != nil {
		return
	}
	if s.lock != nil {
		s.lock.Lock()
		defer s.lock.Unlock()
	}
	if !s.writer.CompareAndSwap(writerIdle, writerBusy) {
		return
	}
	_, err := s.to.Write(b)
	s.writer.CompareAndSwap(writerBusy, writerIdle)
	if err != nil {
		s.cut.Store(true)
		s.failed.Store(&err)
		s.run.poke()
	}
}
