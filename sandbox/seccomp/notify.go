package seccomp

import (
	"encoding/binary"
	"strconv"
	"strings"
	"syscall"
)

// Naming returns a filter of which the runner is told what it denied: where
// bpf refuses a call for good, or kills, it notifies instead. What the
// listener has to answer is [Evaluate] of the original. The calls that C
// libraries try and do without keep their errno, so they cost what they did:
// ENOSYS, and the errnos with which a file says that it cannot.
//
// A filter that kills notifies of nothing else. Its first notification ends
// the job, so that nobody can make the runner work for it; and without a
// listener it still answers ENOSYS.
//
// sender is the call with which the job passes the listener on when the filter
// is in force. ok is false, and bpf returned as it is, if bpf does not allow it
// or has nothing to name.
func Naming(bpf []byte, sender Call) (naming []byte, ok bool) {
	if a, known := Evaluate(bpf, &sender); !known || !a.Allowed() {
		return bpf, false
	}
	kills := false
	for a := range returns(bpf) {
		kills = kills || a.Kills()
	}
	named := func(a Answer) bool {
		if kills {
			return a.Kills()
		}
		switch a.Errno() {
		case syscall.EPERM, syscall.EACCES, syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT, syscall.ENOPROTOOPT, syscall.EOPNOTSUPP:
			return true
		}
		return false
	}
	return notifying(bpf, named)
}

// Recording returns a filter that notifies of every call of every ABI, but for
// the sender's (see [Naming]), which must be native.
func Recording(bpf []byte, sender Call) (recording []byte, ok bool) {
	const args2 = 32 // offset of the low half of the third argument
	recording, ok = notifying(bpf, func(Answer) bool { return true })
	head := make([]byte, 0, 7*instruction)
	add := func(op uint16, jt, jf uint8, k uint32) {
		head = binary.LittleEndian.AppendUint16(head, op)
		head = append(head, jt, jf)
		head = binary.LittleEndian.AppendUint32(head, k)
	}
	add(opLoad, 0, 0, 4)
	add(opEqual, 0, 5, sender.Arch)
	add(opLoad, 0, 0, 0)
	add(opEqual, 0, 3, sender.Number)
	add(opLoad, 0, 0, args2)
	add(opEqual, 0, 1, uint32(sender.Args[2]))
	add(opRet, 0, 0, uint32(retAllow))
	return append(head, recording...), ok
}

func notifying(bpf []byte, named func(Answer) bool) ([]byte, bool) {
	out := append([]byte(nil), bpf...)
	any := false
	for a, at := range returns(out) {
		if named(a) {
			binary.LittleEndian.PutUint32(out[at+4:], uint32(retNotify))
			any = true
		}
	}
	return out, any
}

// returns yields every return of a filter with its place.
func returns(bpf []byte) func(func(Answer, int) bool) {
	return func(yield func(Answer, int) bool) {
		for at := 0; at+instruction <= len(bpf); at += instruction {
			if binary.LittleEndian.Uint16(bpf[at:]) == opRet && !yield(Answer(binary.LittleEndian.Uint32(bpf[at+4:])), at) {
				return
			}
		}
	}
}

// Kills reports whether a filter kills for some call.
func Kills(bpf []byte) bool {
	for a := range returns(bpf) {
		if a.Kills() {
			return true
		}
	}
	return false
}

// CallName is the name of a call of the running architecture, or "syscall N".
// It knows the calls that the built-in profiles name.
func CallName(number uint32) string {
	suffix := " " + strconv.FormatUint(uint64(number), 10)
	for line := range strings.Lines(syscallNumbers) {
		if name, ok := strings.CutSuffix(strings.TrimSuffix(line, "\n"), suffix); ok {
			return name
		}
	}
	return "syscall" + suffix
}
