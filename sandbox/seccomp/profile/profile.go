// Package profile reads seccomp profiles and compiles them to BPF.
//
// A profile is a text that names system calls and says how each is answered;
// the format is described at the head of profiles/default.profile. Compiling
// takes three steps, each a value that can be tested without a kernel:
//
//	text ── Parse ──► Profile ── Table ──► Table (numbers of one processor) ── Compile ──► BPF
//
// Table.Action is what a profile means, Table.Compile what a kernel runs, and
// VM runs the compiled form, so that the two can be compared for any call.
//
// Decision: the program is emitted here and not taken from libseccomp. A linear
// list of 340 names is loaded in 0.35-0.48 ms, ranges in a tenth of it, and each
// launch pays this; libseccomp merges no ranges. It remains the reference: the
// generator compiles the same profile with it and refuses to write a filter
// that answers any probed call differently.
//
// Only loads of the call's data, constant jumps and returns are emitted. Those
// are what the kernel can evaluate ahead (since Linux 5.11): calls allowed
// whatever their arguments do not run the filter at all.
package profile

import (
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Action is what a filter returns for a call, one of the kernel's SECCOMP_RET_
// values. The zero value kills the calling thread; no profile can ask for it.
type Action uint32

// The actions beside [Errno].
const (
	Kill  Action = 0x80000000 // SECCOMP_RET_KILL_PROCESS
	Allow Action = 0x7fff0000 // SECCOMP_RET_ALLOW
	errno Action = 0x00050000 // SECCOMP_RET_ERRNO, the number in the low half
)

// Errno is the action that makes the call fail with e and has no other effect.
func Errno(e syscall.Errno) Action { return errno | Action(e&0xffff) }

// errnos are the errors a profile may answer with, by name. The list is closed:
// errno 0 would report success for a call that was never made.
var errnos = [...]struct {
	name  string
	errno syscall.Errno
}{
	{"EPERM", syscall.EPERM},
	{"EACCES", syscall.EACCES},
	{"EINVAL", syscall.EINVAL},
	{"ENOTTY", syscall.ENOTTY},
	{"ENOLCK", syscall.ENOLCK},
	{"ENOSYS", syscall.ENOSYS},
	{"ENOPROTOOPT", syscall.ENOPROTOOPT},
	{"EPROTONOSUPPORT", syscall.EPROTONOSUPPORT},
	{"EOPNOTSUPP", syscall.EOPNOTSUPP},
	{"EAFNOSUPPORT", syscall.EAFNOSUPPORT},
}

// String is the action as profiles write it.
func (a Action) String() string {
	switch a {
	case Allow:
		return "allow"
	case Kill:
		return "kill"
	}
	for _, e := range errnos {
		if a == Errno(e.errno) {
			return e.name
		}
	}
	return "0x" + strconv.FormatUint(uint64(a), 16)
}

// errnoByName is the number of an errno, 0 if it is not known.
func errnoByName(name string) syscall.Errno {
	for e := syscall.Errno(1); e < 134; e++ {
		if unix.ErrnoName(e) == name {
			return e
		}
	}
	return 0
}

func parseAction(s string) (Action, bool) {
	switch s {
	case "allow":
		return Allow, true
	case "kill":
		return Kill, true
	}
	for _, e := range errnos {
		if s == e.name {
			return Errno(e.errno), true
		}
	}
	return 0, false
}

// Profile is a parsed profile with all that it inherited. It is not changed
// after Parse and may be shared.
type Profile struct {
	Name     string
	Unlisted Action // for numbers without a rule
	Foreign  Action // for calls through another ABI
	Rules    []Rule // no name twice

	depth int // of from lines above this one
}

// Rule is the answer to one system call.
type Rule struct {
	Name    string
	Number  int64    // given in the text, equal on all processors; -1: look the name up
	Clauses []Clause // the first that applies decides; the last always applies
	File    string   // of the text that says so, and its line, from 1
	Line    int
	Group   string // heading in the text
	Reason  string // why the group is answered so
}

// Clause answers a call if all its conditions hold.
type Clause struct {
	Action Action
	When   []Cond
}

// Cond is a condition on the low 32 bits of one argument, or on the high ones.
type Cond struct {
	Arg  int     // 0 to 5
	High bool    // the condition is on bits 32 to 63; texts have no such
	Bits uint32  // not 0: holds if any of these bits is set
	None bool    // with Bits: holds if none of them is
	In   []Range // Bits 0: holds if the value is in one of these
}

// offset is the place of the word that c looks at.
func (c Cond) offset() int {
	if c.High {
		return loadArg(c.Arg) + 4
	}
	return loadArg(c.Arg)
}

// same says whether one look at an argument decides both conditions.
func (c Cond) same(d Cond) bool { return c.Arg == d.Arg && c.High == d.High && c.Bits == d.Bits }

// Range is the values Lo to Hi, both included.
type Range struct{ Lo, Hi uint32 }

// Holds reports whether the condition holds for the value of its argument.
func (c Cond) Holds(value uint64) bool {
	v := uint32(value)
	if c.High {
		v = uint32(value >> 32)
	}
	if c.Bits != 0 {
		return v&c.Bits != 0 != c.None
	}
	return inside(c.In, v)
}

func inside(rs []Range, v uint32) bool {
	for _, r := range rs {
		if r.Lo <= v && v <= r.Hi {
			return true
		}
	}
	return false
}

func decide(clauses []Clause, args [6]uint64) Action {
next:
	for _, c := range clauses {
		for _, w := range c.When {
			if !w.Holds(args[w.Arg]) {
				continue next
			}
		}
		return c.Action
	}
	return Kill // Parse lets no rule end without a clause that always applies
}
