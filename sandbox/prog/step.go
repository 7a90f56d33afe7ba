package prog

import "golang.org/x/sys/unix"

// A Stage is a named part of a launch; errors and time stamps refer to it.
type Stage uint8

// The stages in the order in which they run.
const (
	StageClone    Stage = iota // the fork of init with its namespaces
	StageIdentity              // id maps, and becoming the mapped root
	StageRoot                  // the new root file system and pivot_root
	StageDev                   // /dev
	StageProc                  // /proc and its masks
	StageNet                   // loopback
	StageFork                  // the fork of the job
	StageScrub                 // init gives up memory, descriptors, rights
	StageLimits                // group, rlimits, namespace limits
	StageConfine               // capabilities, no_new_privs, filter
	StageExec                  // execve of the job's program
	nStages
)

var stageNames = [nStages]string{
	"clone", "identity", "root", "dev", "proc", "net", "fork", "scrub", "limits", "confine", "exec",
}

// String returns the stage's name, as errors and `jailrun plan` print it.
func (s Stage) String() string {
	if s < nStages {
		return stageNames[s]
	}
	return "unknown stage"
}

// A Slot is a register of the program: a descriptor the runner passes in, or
// the result of an earlier step.
type Slot uint8

// The slots that the interpreter itself uses. Those which a program does not
// bind or save hold no descriptor.
const (
	SlotStatus    Slot = iota // write end of the status pipe, close-on-exec
	SlotCtl                   // init's end of the ctl socket pair (SOCK_SEQPACKET)
	SlotSignals               // signalfd for SIGCHLD, made by a step of init
	SlotGate                  // eventfd on which the job waits for init
	SlotMain                  // pid of the job's main process, inside
	SlotInitGroup             // directory of the group init is cloned into
	SlotJobGroup              // directory of the group the job is cloned into
	slotFirstFree
)

const maxSlots = 64

// An Arg is one argument of a step.
type Arg struct {
	kind argKind
	n    uint64
	data []byte
	str  string
	list []string
	text string // how it prints; "" means by kind
}

type argKind uint8

const (
	argInt     argKind = iota
	argOctal           // a number that prints in octal
	argSlot            // the value of slot n
	argBytes           // pointer to a copy of data
	argString          // pointer to a copy of str with a NUL behind it
	argStrings         // pointer to a NULL-terminated array of C strings
	argFilter          // pointer to a struct sock_fprog over data
)

// Int is a plain number.
func Int(n int) Arg { return Arg{n: uint64(n)} }

// Bits is a number that prints as text, as `MS_BIND|MS_REC` does.
func Bits(n uint64, text string) Arg { return Arg{n: n, text: text} }

// Nil is a null pointer.
func Nil() Arg { return Arg{text: "NULL"} }

// At is AT_FDCWD.
func At() Arg { return Arg{n: atFdcwd, text: "AT_FDCWD"} }

const atFdcwd = 1<<64 - 100 // -100 as the register holds it

// Fd is the value of a slot.
func Fd(s Slot) Arg { return Arg{kind: argSlot, n: uint64(s)} }

// Str is a C string; s must not hold a NUL (see [Program.Start]).
func Str(s string) Arg { return Arg{kind: argString, str: s} }

// Data is a block of memory that prints as text.
func Data(b []byte, text string) Arg { return Arg{kind: argBytes, data: b, text: text} }

// Strings is an argument or environment vector.
func Strings(list []string, text string) Arg { return Arg{kind: argStrings, list: list, text: text} }

// Filter is a struct sock_fprog over a compiled filter.
func Filter(bpf []byte, text string) Arg { return Arg{kind: argFilter, data: bpf, text: text} }

// A Step is one system call of a launch, or one operation beside them.
type Step struct {
	Stage Stage
	Name  string // of the system call or operation
	Args  []Arg
	Note  string // why it is there, for readers of the plan; may be empty
	Of    string // the file of the caller's it is about, if its arguments do not name it

	nr      uintptr
	save    Slot // where the result goes; only if saves
	saves   bool //
	ignore  []unix.Errno
	want    int64 // exact result wanted, -1 for any
	loopArg int   // argument that counts up, -1 for none
	loopTo  uint64
	inherit bool // a spawner's child has its effect already
	ahead   bool // an Ahead may have done it before; see Step.Ahead
	search  bool // one of several execve candidates: go on when not found
}

// Call makes a step of one system call.
func Call(name string, nr uintptr, args ...Arg) Step {
	return Step{Name: name, nr: nr, Args: args, want: -1, loopArg: -1}
}

// Save puts the step's result into slot s.
func (s Step) Save(to Slot) Step { s.save, s.saves = to, true; return s }

// Ignore lists up to three errnos that do not fail the launch.
func (s Step) Ignore(e ...unix.Errno) Step { s.ignore = e; return s }

// Want fails the launch with EIO unless the call returns exactly n.
func (s Step) Want(n int) Step { s.want = int64(n); return s }

// Loop repeats the call with argument arg counting up to and including last.
func (s Step) Loop(arg int, last uint64) Step { s.loopArg, s.loopTo = arg, last; return s }

// Because attaches the reason that the plan prints behind the step.
func (s Step) Because(note string) Step { s.Note = note; return s }

// About names the file of the caller's that the step is about.
func (s Step) About(path string) Step { s.Of = path; return s }

// Ahead marks a step of init's that depends on no other and on no descriptor of
// the runner's, so that an [Ahead] can do it before the rest is known.
func (s Step) Ahead() Step { s.ahead = true; return s }

// Operations beside system calls. Their numbers lie above any system call.
const (
	opBase         = 1 << 20
	opStamp        = opBase + iota // arg0: index of the time stamp
	opFork                         // fork the job; the child goes on with the job's list
	opKeepOnly                     // arg0: bit mask of slots whose descriptors stay open
	opSendFds                      // arg0: bit mask of slots to send with a Ready message
	opSendListener                 // arg0: bit mask of the slot to send with a Listener message
	opReceiveFds                   // arg0: bit mask of slots whose descriptors come over ctl
	opScrub                        // unmap all but the program, its table and the stack
	opReap                         // the loop of pid 1; never returns
	opAwait                        // arg0: slot to read a byte from, before the late steps
	opServe                        // arg0: a desk; make system calls for the runner until it says to go on
	opExit                         // end the process
	opProgram                      // an Ahead's: wait for the program, and go on with that
)

// Search marks one of several candidates for execve: when its program does not
// exist the next step is tried. If one exists that may not run, and none other
// runs, the failure is that one's EACCES.
func (s Step) Search() Step { s.search = true; return s }

// Keyring are the steps in which the job, or a process of init's list, gets an
// empty session keyring instead of the caller's, which takes no key, from
// nobody. A spawner does it once for all its children.
//
// A new session keyring is refused (EDQUOT) to a user who has his 200 keys, as
// he would with some 199 sandboxes; a thread's keyring never is, though it is
// counted. So the thread's becomes the session's, by its name, for which
// whoever owns it must be let search it: names are looked up in the user
// namespace, where there is no other (before Linux 5.3: or another sandbox's of
// the same moment, as empty and closed as this). execve takes it from the
// thread.
func Keyring() []Step {
	const thread, possessorSetattr, userSearch = -1, 0x20000000, 0x00080000
	setperm := func(perm uint64, text string) Step {
		return Call("keyctl", unix.SYS_KEYCTL, Bits(unix.KEYCTL_SETPERM, "KEYCTL_SETPERM"), Int(thread), Bits(perm, text))
	}
	steps := []Step{
		setperm(possessorSetattr|userSearch, "POS_SETATTR|USR_SEARCH").Because("makes a keyring of the thread"),
		Call("keyctl", unix.SYS_KEYCTL, Bits(unix.KEYCTL_JOIN_SESSION_KEYRING, "KEYCTL_JOIN_SESSION_KEYRING"), Str("_tid")).
			Because("this one, empty, instead of the caller's"),
		setperm(0, "0").Because("closed to all"),
	}
	for i := range steps {
		steps[i].inherit = true
	}
	return steps
}
