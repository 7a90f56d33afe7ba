package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// compilerFormat counts the changes of what a text compiles to, and of the
// form of an [Entry].
const compilerFormat = 1

// An Entry is a profile of the user's own as it was compiled, with all that the
// result depends on: who reads it can see whether it is what he asks for.
//
// Decision: it carries the source itself and not a hash of it. Whoever loads an
// entry has the source at hand, and comparing them needs no hash function,
// whose package alone would cost each start of jailrun more than the launch
// pays for its filter.
type Entry struct {
	Compiler string // see [CompilerID]
	Source   []byte // text of the profile
	Filter   []byte
	NoMemfd  []byte // the same where memfd_create is ENOSYS, see [Filter]
}

// CompilerID names a compiler: the version of jailrun, its own, the processor
// and the kernel, of which profiles may ask major and minor number.
func CompilerID(version string, kernel [2]int) string {
	return fmt.Sprintf("jailrun %s, format %d, arch %x, Linux %d.%d", version, compilerFormat, Arch, kernel[0], kernel[1])
}

const entryMagic = "jailrun filter\n"

// Encode writes an entry: the magic, then each field with its length before it.
func (e *Entry) Encode() []byte {
	b := []byte(entryMagic)
	for _, field := range [...][]byte{[]byte(e.Compiler), e.Source, e.Filter, e.NoMemfd} {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	return b
}

// Errors of DecodeEntry.
var (
	ErrEntry = errors.New("malformed filter entry")
	ErrStale = errors.New("a filter entry of another source or compiler")
)

// maxEntry bounds one field: a source of 256 KiB, the largest that is read.
const maxEntry = 256 << 10

// DecodeEntry reads an entry and returns it only if it was made by the
// compiler and from the source given. The filters are checked for being
// programs that [Evaluate] understands, that end, and that close every other
// ABI; whether they say what the source says is the compiler's word.
func DecodeEntry(b []byte, compiler string, source []byte) (*Entry, error) {
	if len(b) < len(entryMagic) || string(b[:len(entryMagic)]) != entryMagic {
		return nil, ErrEntry
	}
	b = b[len(entryMagic):]
	var fields [4][]byte
	for i := range fields {
		if len(b) < 4 {
			return nil, ErrEntry
		}
		n := binary.LittleEndian.Uint32(b)
		if n > maxEntry || int(n) > len(b)-4 {
			return nil, ErrEntry
		}
		fields[i], b = b[4:4+n], b[4+n:]
	}
	e := &Entry{Compiler: string(fields[0]), Source: fields[1], Filter: fields[2], NoMemfd: fields[3]}
	if len(b) != 0 {
		return nil, ErrEntry
	}
	if e.Compiler != compiler || string(e.Source) != string(source) {
		return nil, ErrStale
	}
	return e, errors.Join(CheckFilter(e.Filter), CheckFilter(e.NoMemfd))
}

// CheckFilter makes sure that a filter of the caller's own can be evaluated and
// lets neither calls of another ABI pass nor those of kernels to come.
func CheckFilter(bpf []byte) error {
	if len(bpf) == 0 || len(bpf)%instruction != 0 || len(bpf)/instruction > 4096 {
		return fmt.Errorf("%w: a filter of %d bytes", ErrEntry, len(bpf))
	}
	const i386, arm, x32, future = 0x40000003, 0x40000028, 0x40000000, 1000
	for n := range uint32(600) {
		for _, c := range [...]Call{{Arch: i386, Number: n}, {Arch: arm, Number: n}, {Arch: Arch, Number: n | x32}, {Arch: Arch, Number: n + future}} {
			if a, ok := Evaluate(bpf, &c); !ok || a.Allowed() {
				return fmt.Errorf("%w: call %d of ABI %#x is not refused", ErrEntry, c.Number, c.Arch)
			}
		}
	}
	return nil
}
