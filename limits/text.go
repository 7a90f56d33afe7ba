package limits

import (
	"bytes"
	"encoding/binary"
)

// Opt is a value that the kernel may not be able to tell. The zero value is
// an absent one.
type Opt[T any] struct {
	Value T
	Known bool
}

// parseUint reads a decimal number that fills the whole text.
func parseUint(text []byte) (n uint64, ok bool) {
	if len(text) == 0 {
		return 0, false
	}
	for _, c := range text {
		digit := uint64(c) - '0'
		if digit > 9 || n > (1<<64-1-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}

// keyed is the text of a kernel file with one "key value" pair a line, like
// cpu.stat and memory.events.
type keyed []byte

// get returns the number of a key, absent if the file has no such line.
func (k keyed) get(key string) Opt[uint64] {
	for line := range bytes.Lines(k) {
		if name, value, ok := bytes.Cut(line, []byte{' '}); ok && string(name) == key {
			n, ok := parseUint(bytes.TrimSpace(value))
			return Opt[uint64]{n, ok}
		}
	}
	return Opt[uint64]{}
}

// eachEntry calls visit for the records of a getdents64(2) buffer: ino u64,
// off s64, reclen u16, type u8, name. The name is only valid during the call.
func eachEntry(buf []byte, visit func(name []byte, kind byte)) {
	const header = 19
	for len(buf) > header {
		length := int(binary.NativeEndian.Uint16(buf[16:]))
		if length <= header || length > len(buf) {
			return
		}
		name := buf[header:length]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		if len(name) > 0 {
			visit(name, buf[18])
		}
		buf = buf[length:]
	}
}

// reason is a sentinel with where it struck and what was seen there.
type reason struct {
	place string // "own cgroup /user.slice", "memory limit"
	kind  error
	why   error
}

func (r *reason) Error() string {
	return r.place + ": " + r.kind.Error() + ": " + r.why.Error()
}

// Unwrap makes both the sentinel and the errno visible to errors.Is.
func (r *reason) Unwrap() []error { return []error{r.kind, r.why} }
