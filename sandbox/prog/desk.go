package prog

import (
	"encoding/binary"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// DeskData is how many bytes a request to a [Serve] step can carry, or its
// answer can bring.
const DeskData = 4096 + 512

// deskRequest is the fixed part of a request, native byte order. Data follow.
type deskRequest struct {
	nr       uint64 // of the system call; 0: go on with the next step
	arg      [6]uint64
	pointers uint32 // bit i: arg i is an offset from the start of the request
	reply    uint32 // so many bytes of the data come back
	gives    uint32 // the result is a descriptor, which comes back
	_        uint32
}

const deskHead = 8 + 6*8 + 16

// A Desk is the runner's side of a [Serve] step: it has system calls made in
// the process of the step, with that process's rights. It is for one goroutine
// at a time, and does not own the socket.
//
// Decision: files are put into a sandbox and read from it by a process inside,
// one call at a time, because nobody else may: the files belong to mapped ids,
// or have modes that shut out their own owner, and the runner has no rights in
// the job's user namespace. Only the raw image can be there, for a program with
// a Go runtime cannot enter a user namespace once it has threads. So the walk
// stays in Go and the system calls go through here, 5 to 10 µs each.
type Desk struct {
	Ctl int // the runner's end of the socket pair that SlotCtl is an end of

	buf [deskHead + DeskData]byte
	n   int    // bytes used
	out []byte // what the call writes comes here
	oob [64]byte
}

// Word is an argument of [Desk.Call]: a number, or data that is passed by address.
type Word struct {
	n    uint64
	data []byte
	ptr  bool
	out  bool
}

// Num is a number, also a negative one.
func Num(n int) Word { return Word{n: uint64(int64(n))} }

// Text is a string, passed as a C string.
func Text(s string) Word { return Word{data: append([]byte(s), 0), ptr: true} }

// Bytes is data, passed by address.
func Bytes(b []byte) Word { return Word{data: b, ptr: true} }

// Out is data that the call writes; at most one of a request.
func Out(b []byte) Word { return Word{data: b, ptr: true, out: true} }

// ErrDesk reports that the process at the other side is gone, or does not
// speak as it should.
var ErrDesk = errors.New("the process inside does not answer")

// A Request is one system call.
type Request struct {
	Name string  // for errors
	Nr   uintptr // its number
	// Fd, if it is 0 or above, is a descriptor of the runner that takes the
	// place of the first argument.
	Fd   int
	Args []Word
	// Gives: the call returns a descriptor, which the runner receives.
	Gives bool
}

// Call has a system call made. It returns its result, or a descriptor of this
// process that the caller closes. The error wraps the errno of the call, or is
// ErrDesk, after which the desk is of no more use.
func (d *Desk) Call(r *Request) (int, error) {
	if err := d.encode(r); err != nil {
		return -1, err
	}
	var rights []byte
	if r.Fd >= 0 {
		rights = unix.UnixRights(r.Fd)
	}
	if err := unix.Sendmsg(d.Ctl, d.buf[:d.n], rights, nil, unix.MSG_NOSIGNAL); err != nil {
		return -1, errors.Join(ErrDesk, os.NewSyscallError("sendmsg", err))
	}
	return d.answer(r)
}

// encode lays the request out. What comes back stands first among the data.
func (d *Desk) encode(r *Request) error {
	ne := binary.NativeEndian
	clear(d.buf[:deskHead])
	d.n, d.out = deskHead, nil
	first := 0
	if r.Fd >= 0 {
		first = 1
	}
	var pointers uint32
	put := func(i int, w Word) error {
		if d.n+len(w.data) > len(d.buf) {
			return os.NewSyscallError(r.Name, unix.ENAMETOOLONG)
		}
		pointers |= 1 << i
		ne.PutUint64(d.buf[8+8*i:], uint64(d.n))
		d.n = min((d.n+copy(d.buf[d.n:], w.data)+7)&^7, len(d.buf))
		return nil
	}
	for i, w := range r.Args {
		if w.out {
			d.out = w.data
			if err := put(first+i, w); err != nil {
				return err
			}
		}
	}
	for i, w := range r.Args {
		switch {
		case !w.ptr:
			ne.PutUint64(d.buf[8+8*(first+i):], w.n)
		case !w.out:
			if err := put(first+i, w); err != nil {
				return err
			}
		}
	}
	ne.PutUint64(d.buf[:], uint64(r.Nr))
	ne.PutUint32(d.buf[56:], pointers)
	ne.PutUint32(d.buf[60:], uint32(len(d.out)))
	if r.Gives {
		ne.PutUint32(d.buf[64:], 1)
	}
	return nil
}

// answer receives the result.
func (d *Desk) answer(r *Request) (int, error) {
	var n, oobn int
	var err error
	for {
		n, oobn, _, _, err = unix.Recvmsg(d.Ctl, d.buf[:], d.oob[:], unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err == nil && n < 8 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return -1, errors.Join(ErrDesk, err)
	}
	res := int(int64(binary.NativeEndian.Uint64(d.buf[:])))
	copy(d.out, d.buf[8:n])
	if res < 0 {
		return -1, os.NewSyscallError(r.Name, unix.Errno(-res))
	}
	if !r.Gives {
		return res, nil
	}
	msgs, err := unix.ParseSocketControlMessage(d.oob[:oobn])
	if err == nil && len(msgs) == 1 {
		var fds []int
		if fds, err = unix.ParseUnixRights(&msgs[0]); err == nil && len(fds) == 1 {
			return fds[0], nil
		}
	}
	return -1, errors.Join(ErrDesk, err)
}

// Done lets the process go on with the step behind [Serve].
func (d *Desk) Done() error {
	clear(d.buf[:deskHead])
	return os.NewSyscallError("sendmsg", unix.Sendmsg(d.Ctl, d.buf[:deskHead], nil, nil, unix.MSG_NOSIGNAL))
}
