package transfer

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

const openHowSize = 24

// openHow lays out struct open_how{flags, mode, resolve}.
func openHow(flags int, resolve uint64) []byte {
	b := make([]byte, openHowSize)
	binary.NativeEndian.PutUint64(b, uint64(flags))
	binary.NativeEndian.PutUint64(b[16:], resolve)
	return b
}

// timespecs lays out an array of struct timespec.
func timespecs(list []unix.Timespec) []byte {
	var b []byte
	for _, t := range list {
		b = binary.NativeEndian.AppendUint64(b, uint64(t.Sec))
		b = binary.NativeEndian.AppendUint64(b, uint64(t.Nsec))
	}
	return b
}
