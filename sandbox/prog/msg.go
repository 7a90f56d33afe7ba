package prog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// A Failure is the message of a step that failed.
type Failure struct {
	InJob bool // the step stands in the job's list, else in init's
	Stage Stage
	Index int // of the step in its list
	Errno unix.Errno
}

// An Exit is init's report of the job's end. All processes of the job are
// dead and reaped when it is sent.
type Exit struct {
	Status unix.WaitStatus // of the job's main process
	Ended  time.Duration   // CLOCK_MONOTONIC when init reaped the main process
	Main   unix.Rusage     // of the main process and the children it waited for
	All    unix.Rusage     // of all that init reaped, with their children
}

// The wire form: fixed-size messages, one a write, native byte order. They
// come from an image that no untrusted code has run in, and are still decoded
// as untrusted input.
const (
	kindFailure  = 1
	kindReady    = 2
	kindExit     = 3
	kindListener = 4

	failureSize = 16
	rusageSize  = 144
	exitSize    = 16 + 2*rusageSize
)

// ErrMessage reports bytes that are no message of init's.
var ErrMessage = errors.New("malformed message from init")

// ParseFailure decodes what stood in the status pipe.
func ParseFailure(b []byte) (Failure, error) {
	ne := binary.NativeEndian
	if len(b) < failureSize || ne.Uint32(b) != kindFailure {
		return Failure{}, fmt.Errorf("%w: %d bytes on the status pipe", ErrMessage, len(b))
	}
	f := Failure{
		InJob: b[4] != 0, Stage: Stage(b[5]),
		Index: int(ne.Uint32(b[8:])), Errno: unix.Errno(ne.Uint32(b[12:])),
	}
	if b[4] > 1 || f.Stage >= nStages || f.Errno == 0 || f.Errno > 4095 {
		return Failure{}, fmt.Errorf("%w: failure %x", ErrMessage, b[:failureSize])
	}
	return f, nil
}

// A Report is what init sent on the ctl socket: exactly one of its fields is set.
type Report struct {
	Ready    bool
	Listener bool // a descriptor of the job's filter comes with it
	Exit     *Exit
}

// ParseReport decodes one datagram of the ctl socket.
func ParseReport(b []byte) (Report, error) {
	ne := binary.NativeEndian
	switch {
	case len(b) == 4 && ne.Uint32(b) == kindReady:
		return Report{Ready: true}, nil
	case len(b) == 4 && ne.Uint32(b) == kindListener:
		return Report{Listener: true}, nil
	case len(b) == exitSize && ne.Uint32(b) == kindExit:
		e := &Exit{Status: unix.WaitStatus(ne.Uint32(b[4:])), Ended: time.Duration(ne.Uint64(b[8:]))}
		rusage(&e.Main, b[16:])
		rusage(&e.All, b[16+rusageSize:])
		if !e.Status.Exited() && !e.Status.Signaled() || e.Ended < 0 {
			return Report{}, fmt.Errorf("%w: exit %x", ErrMessage, b[:16])
		}
		return Report{Exit: e}, nil
	}
	return Report{}, fmt.Errorf("%w: %d bytes on the ctl socket", ErrMessage, len(b))
}

// Signal encodes the runner's order to send sig to pid, as seen inside the
// sandbox; pid -1 reaches all processes but init. Signal 0 to pid 0 is the
// word that a waiting init may go on.
func Signal(pid int, sig unix.Signal) [8]byte {
	var b [8]byte
	binary.NativeEndian.PutUint32(b[:], uint32(int32(pid)))
	binary.NativeEndian.PutUint32(b[4:], uint32(sig))
	return b
}

// MainPid is the pid of the job's main process, as seen inside the sandbox.
const MainPid = 2
