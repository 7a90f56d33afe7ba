package prog

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// ErrNUL reports a string with a NUL byte, which no system call can take.
var ErrNUL = errors.New("string holds a NUL byte")

// maxArena bounds one launch: the kernel takes at most 6 MiB of arguments and
// environment (bprm_stack_limits in fs/exec.c), the rest is far smaller.
const maxArena = 64 << 20

// ErrTooBig reports a program that no execve could take anyway.
var ErrTooBig = errors.New("arguments, environment and files together are too big")

// size returns the bytes that p needs and checks what put relies on.
func (p *Program) size() (uintptr, error) {
	if slots := int(slotFirstFree) + len(p.names); slots > maxSlots {
		return 0, fmt.Errorf("bug: program uses %d slots of %d", slots, maxSlots)
	}
	n := unsafe.Sizeof(head{}) + pad + uintptr(len(p.Init)+len(p.Job))*unsafe.Sizeof(call{}) + pad
	for _, l := range [2][]Step{p.Init, p.Job} {
		for i := range l {
			for j := range l[i].Args {
				m, err := l[i].Args[j].size()
				if err != nil {
					return 0, fmt.Errorf("%s: %w", p.Text(l[i], false), err)
				}
				n += m
			}
		}
	}
	if n += uintptr(p.Room); n > maxArena {
		return 0, ErrTooBig
	}
	return n, nil
}

func (x *Arg) size() (uintptr, error) {
	n := uintptr(len(x.data)) + uintptr(len(x.str)) + 3*ptrSize + pad
	if strings.IndexByte(x.str, 0) >= 0 {
		return 0, ErrNUL
	}
	for _, s := range x.list {
		if strings.IndexByte(s, 0) >= 0 {
			return 0, ErrNUL
		}
		n += uintptr(len(s)) + 1 + ptrSize + 2*pad
	}
	return n, nil
}
