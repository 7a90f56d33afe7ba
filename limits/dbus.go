package limits

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// bus is a connection that speaks as much D-Bus as one request to a systemd
// manager takes (D-Bus specification 0.43). A library for all of it would cost
// every start of jailrun a quarter more.
type bus struct {
	fd     int
	serial uint32
}

// busPatience bounds the whole conversation: a manager answers in
// milliseconds, and one that hangs must not hold up a run for long.
const busPatience = 5 * time.Second

var errBus = errors.New("not in the form of D-Bus")

// dialBus connects to a socket and proves who we are. The socket must be
// served by the user himself or by root: anybody may put a socket into a
// world-writable directory.
func dialBus(path string) (*bus, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	b := &bus{fd: fd}
	if err := b.greet(path); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bus) greet(path string) error {
	patience := unix.NsecToTimeval(int64(busPatience))
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(b.fd, unix.SOL_SOCKET, option, &patience); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if err := unix.Connect(b.fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return &os.PathError{Op: "connect", Path: path, Err: err}
	}
	peer, err := unix.GetsockoptUcred(b.fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	uid := os.Geteuid()
	if int(peer.Uid) != uid && peer.Uid != 0 {
		return &os.PathError{Op: "connect", Path: path, Err: fmt.Errorf("it is served by uid %d", peer.Uid)}
	}
	// SASL with the credentials of the socket; the name is the uid in hex
	// digits of its decimal digits.
	hello := "\x00AUTH EXTERNAL " + hex.EncodeToString([]byte(strconv.Itoa(uid))) + "\r\n"
	if err := b.write([]byte(hello)); err != nil {
		return err
	}
	var line []byte
	for len(line) < 512 && (len(line) == 0 || line[len(line)-1] != '\n') {
		var c [1]byte
		if err := b.fill(c[:]); err != nil {
			return err
		}
		line = append(line, c[0])
	}
	if string(line[:min(3, len(line))]) != "OK " {
		return &os.PathError{Op: "authenticate to", Path: path, Err: errors.New("it answers " + quote(string(line)))}
	}
	return b.write([]byte("BEGIN\r\n"))
}

func (b *bus) close() { _ = unix.Close(b.fd) }

func (b *bus) write(data []byte) error {
	for len(data) > 0 {
		n, err := ignoringEINTR(func() (int, error) { return unix.SendmsgN(b.fd, data, nil, nil, unix.MSG_NOSIGNAL) })
		if err != nil {
			return os.NewSyscallError("send", err)
		}
		data = data[n:]
	}
	return nil
}

// fill reads exactly as much as fits into p.
func (b *bus) fill(p []byte) error {
	for len(p) > 0 {
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(b.fd, p) })
		switch {
		case errors.Is(err, unix.EAGAIN):
			return fmt.Errorf("no answer within %v: %w", busPatience, os.ErrDeadlineExceeded)
		case err != nil:
			return os.NewSyscallError("read", err)
		case n == 0:
			return errors.New("the connection was closed")
		}
		p = p[n:]
	}
	return nil
}

// wire is a D-Bus message in the making, or a part of one that is not yet
// known to be aligned: everything aligns to the start of the message, so
// header and body are built in buffers that begin at multiples of 8.
type wire struct{ b []byte }

func (w *wire) align(n int) {
	for len(w.b)%n != 0 {
		w.b = append(w.b, 0)
	}
}

func (w *wire) byte(c byte) { w.b = append(w.b, c) }

func (w *wire) uint32(v uint32) {
	w.align(4)
	w.b = binary.LittleEndian.AppendUint32(w.b, v)
}

func (w *wire) string(s string) {
	w.uint32(uint32(len(s)))
	w.b = append(append(w.b, s...), 0)
}

func (w *wire) signature(s string) {
	w.b = append(append(append(w.b, byte(len(s))), s...), 0)
}

// array writes the length of what fill writes, which starts aligned to n.
func (w *wire) array(n int, fill func()) {
	w.uint32(0)
	place := len(w.b) - 4
	w.align(n)
	start := len(w.b)
	fill()
	binary.LittleEndian.PutUint32(w.b[place:], uint32(len(w.b)-start))
}

// Types of messages and of header fields that are used here.
const (
	busCall, busReturn, busError, busSignal = 1, 2, 3, 4

	fieldPath, fieldInterface, fieldMember, fieldErrorName = 1, 2, 3, 4
	fieldReplySerial, fieldDestination, fieldSignature     = 5, 6, 8
	busHeader                                              = 16
	busLongest                                             = 1 << 20
)

// call sends a method call and returns its serial number.
func (b *bus) call(destination, path, iface, member, signature string, body []byte) (uint32, error) {
	b.serial++
	var w wire
	w.b = append(w.b, 'l', busCall, 0, 1)
	w.uint32(uint32(len(body)))
	w.uint32(b.serial)
	w.array(8, func() {
		field := func(code byte, kind, value string) {
			if value == "" {
				return
			}
			w.align(8)
			w.byte(code)
			w.signature(kind)
			if kind == "g" {
				w.signature(value)
			} else {
				w.string(value)
			}
		}
		field(fieldPath, "o", path)
		field(fieldInterface, "s", iface)
		field(fieldMember, "s", member)
		field(fieldDestination, "s", destination)
		field(fieldSignature, "g", signature)
	})
	w.align(8)
	return b.serial, b.write(append(w.b, body...))
}

// message is what is needed of one that came.
type message struct {
	kind    byte
	replyTo uint32
	member  string
	failure string // name of the error
	body    []byte
}

// receive reads one message.
func (b *bus) receive() (m message, err error) {
	head := make([]byte, busHeader)
	if err := b.fill(head); err != nil {
		return m, err
	}
	if head[0] != 'l' { // our messages were, and the peer runs on this machine
		return m, errBus
	}
	body, fields := binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[12:])
	if body > busLongest || fields > busLongest {
		return m, errBus
	}
	rest := make([]byte, (int(fields)+7)&^7+int(body))
	if err := b.fill(rest); err != nil {
		return m, err
	}
	m = message{kind: head[1], body: rest[len(rest)-int(body):]}
	return m, m.readFields(rest[:fields])
}

// readFields reads the header fields, an array of (byte, variant). Other types
// than those of the fields that the specification defines end the reading.
func (m *message) readFields(text []byte) error {
	r := reading{b: text}
	for r.left() > 0 {
		r.align(8)
		code := r.byte()
		switch kind := r.signature(); kind {
		case "s", "o":
			value := r.string()
			switch code {
			case fieldMember:
				m.member = value
			case fieldErrorName:
				m.failure = value
			}
		case "g":
			r.signature()
		case "u":
			if value := r.uint32(); code == fieldReplySerial {
				m.replyTo = value
			}
		default:
			return errBus
		}
		if r.bad {
			return errBus
		}
	}
	return nil
}

// reading takes values from a part of a message. bad is set by what does not
// fit, and all that follows is then zero.
type reading struct {
	b   []byte
	at  int
	bad bool
}

func (r *reading) left() int { return len(r.b) - r.at }

func (r *reading) take(n int) []byte {
	if r.bad || n < 0 || n > r.left() {
		r.bad = true
		return nil
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *reading) align(n int) { r.take((n - r.at%n) % n) }

func (r *reading) byte() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reading) uint32() uint32 {
	r.align(4)
	if p := r.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (r *reading) string() string { return r.text(r.uint32()) }

func (r *reading) signature() string { return r.text(uint32(r.byte())) }

func (r *reading) text(n uint32) string {
	if n > busLongest {
		r.bad = true
	}
	s := string(r.take(int(n)))
	r.take(1) // NUL
	return s
}
