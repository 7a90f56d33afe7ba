package seccomp

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/seccomp/profile"
)

// lastNumber is beyond every number that a kernel has.
const lastNumber = 600

// let is what the net below the filter answers, an errno of no profile: the
// filter has let the call pass.
const let = 4001

// netFilter answers every call with let, but for the few that the helper needs
// to load the filter on top of it and to tell. Of two filters that answer with
// an errno the later one's counts (seccomp(2)), and one that kills before both:
// so every number can be tried, and none is ever made.
func netFilter() []unix.SockFilter {
	f := []unix.SockFilter{{Code: opLoad}}
	// Also what the Go runtime may do on this thread meanwhile.
	for _, n := range needed {
		f = append(f, unix.SockFilter{Code: opEqual, Jf: 1, K: n}, unix.SockFilter{Code: opRet, K: uint32(retAllow)})
	}
	return append(f, unix.SockFilter{Code: opRet, K: uint32(retErrno) | let})
}

// tryNumbers prints the errno of every number from first to last, all
// arguments 0 and all bits set, under a filter above the net.
func tryNumbers(filter string, first, last uintptr) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	net := netFilter()
	prog := unix.SockFprog{Len: uint16(len(net)), Filter: &net[0]}
	answers := make([]byte, 0, 8*(last-first+1))
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
		return err
	}
	if err := load(filter); err != nil {
		return err
	}
	for n := first; n <= last; n++ {
		for _, a := range []uintptr{0, ^uintptr(0)} {
			var errno syscall.Errno
			if !skipped(uint32(n)) { // it would be made
				_, _, errno = syscall.RawSyscall6(n, a, a, a, a, a, a)
			}
			answers = binary.LittleEndian.AppendUint32(answers, uint32(errno))
		}
	}
	_, _, errno := syscall.RawSyscall(unix.SYS_WRITE, 1, uintptr(unsafe.Pointer(&answers[0])), uintptr(len(answers)))
	syscall.RawSyscall(unix.SYS_EXIT_GROUP, min(uintptr(errno), 1), 0, 0)
	return nil
}

// TestEveryNumber asks the kernel for its answer to every number, from inside
// a filter, and compares it with the text of the profile.
func TestEveryNumber(t *testing.T) {
	arch := map[string]profile.Arch{"amd64": profile.AMD64, "arm64": profile.ARM64}[goarch]
	for _, name := range []string{"default", "default-nomemfd", "judge", "strict"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tab := table(t, name, arch)
			for first := uint32(0); first <= lastNumber; {
				last := first // one that kills has a process of its own, the others share
				kills := killsAny(tab, first)
				for !kills && last < lastNumber && !killsAny(tab, last+1) {
					last++
				}
				cmd := helper(t, "numbers", name, strconv.Itoa(int(first)), strconv.Itoa(int(last)))
				out, err := output(cmd)
				if kills {
					assert.Equal(t, 128+int(unix.SIGSYS), helperStatus(err), "call %d: %s", first, out)
					first = last + 1
					continue
				}
				require.NoError(t, err, "calls %d to %d: %s", first, last, strings.ToValidUTF8(out, "?"))
				require.Len(t, out, 8*int(last-first+1))
				for i := range 2 * int(last-first+1) {
					number := first + uint32(i/2)
					a := uint64(0) - uint64(i%2)
					want := uint32(let)
					if action := tab.Action(arch.Audit, number, args{a, a, a, a, a, a}); action != profile.Allow {
						want = uint32(action) & 0xffff
					}
					got := binary.LittleEndian.Uint32([]byte(out)[4*i:])
					if !skipped(number) && want != got {
						t.Errorf("%s (%d) with arguments %#x: errno %d, want %d", CallName(number), number, a, got, want)
					}
				}
				first = last + 1
			}
		})
	}
}

func killsAny(t *profile.Table, number uint32) bool {
	ones := ^uint64(0)
	return t.Action(t.Arch.Audit, number, args{}) == profile.Kill || t.Action(t.Arch.Audit, number, args{ones, ones, ones, ones, ones, ones}) == profile.Kill
}

// needed are the numbers that the net lets pass.
var needed = []uint32{unix.SYS_SECCOMP, unix.SYS_PRCTL, unix.SYS_WRITE, unix.SYS_EXIT_GROUP, unix.SYS_FUTEX, unix.SYS_RT_SIGRETURN}

// skipped says which numbers are not tried: those, and on amd64 uretprobe and
// uprobe. These two pass every filter since Linux 6.14 and end in SIGILL unless
// the kernel itself has planted them.
func skipped(number uint32) bool {
	return slices.Contains(needed, number) || goarch == "amd64" && (number == 335 || number == 336)
}

// helpNumbers is the helper's part of TestEveryNumber.
func helpNumbers(filter string, words []string) error {
	first, err := strconv.Atoi(words[0])
	if err != nil {
		return err
	}
	last, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	if err := tryNumbers(filter, uintptr(first), uintptr(last)); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "the process should have ended")
	return os.ErrInvalid
}
