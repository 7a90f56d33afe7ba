// Package wire is what the two sides of a test machine say to each other: the host side (package vm) and the guest's
// first process (command vminit).
//
//	host                               guest
//	  ── Setup, a file in the initramfs ─►
//	  ◄────────────────── Ready (gob) ──    the machine is up
//	  ── Run (gob) ─────────────────────►
//	  ◄──────────────── Stdout, bytes ──    any number, mixed
//	  ◄──────────────── Stderr, bytes ──
//	  ◄─────────────────── Exit (gob) ──    the next Run may follow
//	  ◄────────────────── Fatal, text ──    the guest gives up
//
// A frame is one type byte, a big-endian 32-bit length and the payload. The channel is a device that only the guest's
// root can open, so a job cannot forge an exit status: whatever it prints arrives inside a Stdout or Stderr frame.
package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Type says what the payload of a frame is.
type Type byte

// The types of frames, in the order of the drawing above.
const (
	Ready  Type = 'r'
	Run    Type = 'j'
	Stdout Type = 'o'
	Stderr Type = 'e'
	Exit   Type = 'x'
	Fatal  Type = 'f'
)

// MaxPayload bounds a frame in bytes, so that a corrupted length is an error and not an allocation.
const MaxPayload = 1 << 20

// ErrFrame reports bytes on the channel that are no frame.
var ErrFrame = errors.New("wire: not a frame")

// Setup describes the machine to its first process. It lies as JSON in the initramfs under SetupPath.
type Setup struct {
	Lane     string   // value of JAILRUN_LANE in the jobs' environment
	Shape    string   // name of a host shape; "" is the plain host
	User     User     // who runs the jobs
	Channel  string   // device of the channel, as /dev/…
	Scratch  string   // block device with an ext4 file system, mounted at /home
	RootFS   FS       // the host's root
	System   FS       // a root of its own instead (lane systemd); zero: the host's root is the guest's root
	Modules  []string // kernel modules, in the order in which they are inserted, as paths in the initramfs
	ReadOnly []string // host directories to show under their own path where the guest's mounts would hide them
}

// SetupPath is the place of the Setup in the initramfs.
const SetupPath = "/setup.json"

// FS is one mount: file system type, source and options of mount(2).
type FS struct{ Type, Source, Options string }

// User is the ordinary user of the guest. Home is below /home.
type User struct {
	Name     string
	UID, GID int
}

// Home is the user's home directory in the guest; it lies on the scratch disk.
func (u User) Home() string { return "/home/" + u.Name }

// ReadyInfo is the payload of a Ready frame.
type ReadyInfo struct {
	Kernel string // uname -r
	Uptime float64
}

// RunRequest is the payload of a Run frame. Env is added to the guest's own environment for the user.
// An empty Dir is the user's home.
type RunRequest struct {
	Argv []string
	Env  []string
	Dir  string
}

// ExitInfo is the payload of an Exit frame. Signal is non-zero for a job that a signal ended.
// Err is set when the job could not be started at all.
type ExitInfo struct {
	Code   int
	Signal int
	Err    string
}

// Writer sends frames. Its methods may be called from several goroutines.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Send writes one frame. A payload above MaxPayload is split, which only makes sense for bytes of a stream.
func (w *Writer) Send(t Type, payload []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		n := min(len(payload), MaxPayload)
		buf := make([]byte, 5, 5+n)
		buf[0] = byte(t)
		binary.BigEndian.PutUint32(buf[1:], uint32(n))
		if _, err := w.w.Write(append(buf, payload[:n]...)); err != nil {
			return err
		}
		if payload = payload[n:]; len(payload) == 0 {
			return nil
		}
	}
}

// SendValue sends v as the payload of a frame: as gob and not JSON, since arguments are any bytes and JSON text is not.
func (w *Writer) SendValue(t Type, v any) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	if b.Len() > MaxPayload {
		return fmt.Errorf("wire: message of %d bytes, at most %d", b.Len(), MaxPayload)
	}
	return w.Send(t, b.Bytes())
}

// Decode reads the payload that SendValue has made of v.
func Decode(payload []byte, v any) error { return gob.NewDecoder(bytes.NewReader(payload)).Decode(v) }

// Read reads one frame. io.EOF means that the channel ended between two frames.
func Read(r io.Reader) (Type, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	t, n := Type(head[0]), binary.BigEndian.Uint32(head[1:])
	switch t {
	case Ready, Run, Stdout, Stderr, Exit, Fatal:
	default:
		return 0, nil, fmt.Errorf("%w: type %#x", ErrFrame, head[0])
	}
	if n > MaxPayload {
		return 0, nil, fmt.Errorf("%w: length %d", ErrFrame, n)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return t, payload, nil
}
