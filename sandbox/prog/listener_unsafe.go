package prog

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ListenerFlags are the flags of the sendmsg that passes a listener on. Beside
// MSG_NOSIGNAL they hold bits that an AF_UNIX socket ignores and no program
// sets together, so that a filter which notifies of everything can let this
// one call pass.
const ListenerFlags = unix.MSG_NOSIGNAL | unix.MSG_PROXY | unix.MSG_RST

// A Notified is a system call that waits for an answer of the runner's: struct
// seccomp_notif. All of it but ID and Pid is what the filter saw.
type Notified struct {
	ID     uint64
	Pid    uint32 // of the thread, in the runner's pid namespace; 0 if it is not there
	_      uint32
	Number uint32
	Arch   uint32 // AUDIT_ARCH_…
	_      uint64 // instruction pointer
	Args   [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	value int64
	error int32
	flags uint32
}

// The requests of seccomp_unotify(2), _IOWR('!', 0…) with the sizes above.
const (
	notifRecv     = 0xc0502100
	notifSend     = 0xc0182101
	notifContinue = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE
)

// ReceiveNotified takes a waiting call from a listener. It blocks if there is
// none. ENOENT means that its thread was killed or interrupted meanwhile.
func ReceiveNotified(listener int) (n Notified, err error) {
	return n, notifyControl(listener, notifRecv, unsafe.Pointer(&n))
}

// Refuse answers a call with an errno. ENOENT means that nobody waits for the
// answer any more; a call that a signal interrupted is made again.
func (n *Notified) Refuse(listener int, errno unix.Errno) error {
	return notifyControl(listener, notifSend, unsafe.Pointer(&response{id: n.ID, error: -int32(errno)}))
}

// Continue lets a call be made as if no filter had named it. It is safe only
// for an answer that rests on the registers in n alone: memory they point to
// may have changed (seccomp_unotify(2)).
func (n *Notified) Continue(listener int) error {
	return notifyControl(listener, notifSend, unsafe.Pointer(&response{id: n.ID, flags: notifContinue}))
}

func notifyControl(listener int, request uintptr, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), request, uintptr(arg))
	if errno != 0 {
		return errno
	}
	return nil
}

// The build fails if a struct has not the size that its request says.
var (
	_ = [1]byte{}[80-unsafe.Sizeof(Notified{})]
	_ = [1]byte{}[24-unsafe.Sizeof(response{})]
)
