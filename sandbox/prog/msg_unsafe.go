package prog

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// rusage copies struct rusage out of a message; both sides are one binary.
func rusage(ru *unix.Rusage, b []byte) {
	copy((*[rusageSize]byte)(unsafe.Pointer(ru))[:], b)
}

// The build fails if struct rusage has not the size of the wire form.
var _ [rusageSize]byte = [unsafe.Sizeof(unix.Rusage{})]byte{}
