package sandbox

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/seccomp"
)

// A RecordedCall is a system call that the job made, in a run that records
// ([Spec.RecordCalls]).
type RecordedCall struct {
	Syscall string `json:"syscall"`
	Number  uint32 `json:"number"`
	Answer  string `json:"answer"` // of the profile: "allow", an errno or "kill"
	Count   int    `json:"count"`
	// Arg and Values are what one telling argument was: the request of an
	// ioctl, the family of a socket. Values is absent where there is none, or
	// were more than [MaxRecorded].
	Arg    int      `json:"arg"`
	Values []uint32 `json:"values,omitempty"`
}

// MaxRecorded bounds RecordedCall.Values.
const MaxRecorded = 64

// telling are the calls of which one argument says what they do.
var telling = [...]struct {
	number uint32
	arg    int
}{
	{unix.SYS_IOCTL, 1},
	{unix.SYS_FCNTL, 1},
	{unix.SYS_PRCTL, 0},
	{unix.SYS_SOCKET, 0},
	{unix.SYS_SOCKETPAIR, 0},
	{unix.SYS_PERSONALITY, 0},
}

// A recorder counts every call of a job.
type recorder struct{ calls []recorded }

type recorded struct {
	number uint32
	answer seccomp.Answer
	count  int
	arg    int // -1: none is telling
	values []uint32
	many   bool
}

func (r *recorder) note(c *seccomp.Call, answer seccomp.Answer) {
	if c.Arch != seccomp.Arch {
		return // never made: no profile allows them
	}
	i := slices.IndexFunc(r.calls, func(x recorded) bool { return x.number == c.Number && x.answer == answer })
	if i < 0 {
		i = len(r.calls)
		r.calls = append(r.calls, recorded{number: c.Number, answer: answer, arg: tellingArg(c.Number)})
	}
	x := &r.calls[i]
	x.count++
	if x.arg < 0 || x.many {
		return
	}
	if v := uint32(c.Args[x.arg]); !slices.Contains(x.values, v) {
		x.values = append(x.values, v)
		x.many = len(x.values) > MaxRecorded
	}
}

func tellingArg(number uint32) int {
	for _, t := range telling {
		if t.number == number {
			return t.arg
		}
	}
	return -1
}

// report is Result.Calls, in the order of the numbers.
func (r *recorder) report() []RecordedCall {
	list := make([]RecordedCall, 0, len(r.calls))
	for i := range r.calls {
		x := &r.calls[i]
		c := RecordedCall{seccomp.CallName(x.number), x.number, answerText(x.answer), x.count, x.arg, nil}
		if x.arg >= 0 && !x.many {
			slices.Sort(x.values)
			c.Values = x.values
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b RecordedCall) int { return int(a.Number) - int(b.Number) })
	return list
}
