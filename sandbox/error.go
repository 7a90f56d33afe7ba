package sandbox

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/plain"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// Error is a failure of jailrun, never of the job. It is the only type of
// error that leaves this package once a launch has begun.
//
// errors.Is finds an errno, and what an errno stands for like
// [io/fs.ErrPermission], also when the failing call was the child's and only
// its number came back.
type Error struct {
	Stage string     // where: a stage of the launch, or "run"; "bug" for what cannot be
	Op    string     // what was done, first a word: "open", "mount overlay"; may be ""
	Path  string     // with what, as it was named; may be ""
	Errno unix.Errno // 0 if no system call failed
	Hint  string     // one sentence that says what to do; may be ""
	Err   error      // the cause, or for a step of the child its own text; may be nil
}

// Error is one line, "stage: op path: errno text", without the hint. Names in
// it may be hostile and are escaped.
func (e *Error) Error() string {
	if e.Stage == stageBug {
		return stageBug + ": " + e.cause() + ", please report"
	}
	what := printable(e.Op)
	if e.Path != "" {
		what = strings.TrimPrefix(what+" "+printable(e.Path), " ")
	}
	cause := e.cause()
	switch {
	case what == "" || e.Err != nil && strings.Contains(cause, what):
		// The cause says it itself, often with more: the value refused.
		return printable(e.Stage) + ": " + cause
	case e.Errno != 0:
		cause = e.Errno.Error()
	}
	return printable(e.Stage) + ": " + what + ": " + cause
}

// cause is the text of Err, else of Errno.
func (e *Error) cause() string {
	switch {
	case e.Err != nil:
		return printable(strings.ReplaceAll(e.Err.Error(), "\n", "; ")) // of errors.Join
	case e.Errno != 0:
		return e.Errno.Error()
	}
	return "failed"
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is Errno, or one of the errors it stands for.
func (e *Error) Is(target error) bool {
	return e.Errno != 0 && (target == error(e.Errno) || e.Errno.Is(target))
}

// wrap makes an error of a leaf package one of a stage: Op, Path and Errno come
// from the chain, Hint from the table. An [*Error] in the chain comes back as it
// is. It returns nil for nil; do not assign that to an error.
func wrap(stage string, err error) *Error { return wrapOn(thisHost, stage, err) }

func wrapOn(h host, stage string, err error) *Error {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	e := &Error{Stage: stage, Err: err}
	var (
		onPath *os.PathError
		onLink *os.LinkError
		call   *os.SyscallError
		start  *exec.Error
	)
	switch {
	case errors.As(err, &onPath):
		e.Op, e.Path = onPath.Op, onPath.Path
	case errors.As(err, &onLink):
		e.Op, e.Path = onLink.Op, onLink.Old
	case errors.As(err, &call):
		e.Op = call.Syscall
	case errors.As(err, &start):
		e.Op, e.Path = "exec", start.Name
	}
	errors.As(err, &e.Errno)
	e.Hint = hint(e, h)
	if own, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); ok && e.Hint == "" {
		e.Hint = own.Hint() // a network of the caller's knows its own fixes
	}
	return e
}

const stageBug = "bug"

// bug is the error for a state that cannot be, an [*Error].
func bug(err error) error { return &Error{Stage: stageBug, Err: err} }

// stepFailure is the step of a program that failed, as the plan prints it.
type stepFailure struct {
	who   string // init or job
	index int
	text  string
	errno unix.Errno
}

func (s *stepFailure) Error() string { return s.text + ": " + s.errno.Error() }

func (s *stepFailure) where() string {
	return "step " + strconv.Itoa(s.index) + " of " + s.who + ": " + s.text
}

// stepError is the error of a step that failed in the child. Its Path is a
// file of the caller's where the step has one: what init reaches through the
// host's old root is named as outside.
func stepError(p *prog.Program, f prog.Failure) *Error { return stepErrorOn(thisHost, p, f) }

func stepErrorOn(h host, p *prog.Program, f prog.Failure) *Error {
	s, ok := p.Step(f)
	if !ok {
		return wrap("", bug(errors.New("init reports step "+strconv.Itoa(f.Index)+", which the program does not have")))
	}
	s.Note = ""
	e := &Error{Stage: s.Stage.String(), Op: s.Name, Errno: f.Errno}
	who := "init"
	if f.InJob {
		who = "job"
	}
	e.Err = &stepFailure{who: who, index: f.Index, text: p.Text(s, false), errno: f.Errno}
	if e.Path = s.Of; e.Path == "" {
		e.Path = stepObject(p, f, s)
	}
	switch {
	case s.Name == "mount" && len(s.Args) > 2: // by type, which tells more than the source
		if t, ok := stringArg(p, s.Args[2]); ok {
			e.Op += " " + t
		}
	case s.Name == "execve" && f.InJob && stepBefore(p, f).Name == "execve":
		// The last of several candidates: all of PATH was searched.
		e.Path = e.Path[strings.LastIndexByte(e.Path, '/')+1:]
	case !strings.Contains(e.Path, "/") && e.Path != "":
		e.Op, e.Path = e.Op+" "+e.Path, "" // a host name, a resource
	}
	e.Hint = hint(e, h)
	return e
}

func stepBefore(p *prog.Program, f prog.Failure) prog.Step {
	f.Index--
	s, _ := p.Step(f)
	return s
}

// stepObject is what a step is about: its first argument that is a path, else
// its descriptor, by the path that an earlier step opened or by name, else the
// first argument that has a name.
func stepObject(p *prog.Program, f prog.Failure, s prog.Step) string {
	name, slot := "", ""
	for i, a := range s.Args {
		text, quoted := stringArg(p, a)
		if quoted && strings.Contains(text, "/") {
			return text
		}
		switch {
		case i == 0 && !quoted && text != "" && text[0] >= 'a' && text[0] <= 'z':
			slot, name = text, text
		case name == "" && (quoted && text != "" || isConstant(text)):
			name = text
		}
	}
	if slot == "" {
		return name
	}
	if file := opened(p, f, slot+" = openat("); file != "" {
		return file
	}
	return name
}

// opened is the object of the step before f whose text begins with open, which
// names the slot of its result.
func opened(p *prog.Program, f prog.Failure, open string) string {
	for f.Index--; f.Index >= 0; f.Index-- {
		if s, _ := p.Step(f); strings.HasPrefix(p.Text(s, false), open) {
			return stepObject(p, f, s)
		}
	}
	return ""
}

// isConstant reports the name of one constant, as PR_SET_NO_NEW_PRIVS; those
// that every call of a kind has, AT_FDCWD and NULL, tell nothing.
func isConstant(s string) bool {
	return len(s) > 2 && s[0] >= 'A' && s[0] <= 'Z' && strings.Contains(s, "_") && s != "AT_FDCWD" && !strings.ContainsAny(s, `| "[{`)
}

// stringArg returns the content of an argument that is a string, else how it
// prints. A hidden list stays hidden.
func stringArg(p *prog.Program, a prog.Arg) (text string, quoted bool) {
	text = p.Text(prog.Call("", 0, a), false)
	text = text[1 : len(text)-1] // the parentheses
	if head, err := strconv.QuotedPrefix(text); err == nil {
		s, err := strconv.Unquote(head)
		return s + text[len(head):], err == nil // with the ellipsis of a long one
	}
	return text, false
}

// report is e as it stands in a result. jobStarted says whether untrusted code
// may have run.
func (e *Error) report(jobStarted bool) *ErrorReport {
	r := &ErrorReport{
		Stage: printable(e.Stage), Op: printable(e.Op), Path: printable(e.Path),
		Hint: printable(e.Hint), Text: e.Error(), JobStarted: jobStarted,
	}
	if e.Errno != 0 {
		if r.Errno = unix.ErrnoName(e.Errno); r.Errno == "" {
			r.Errno = strconv.Itoa(int(e.Errno))
		}
	}
	if s, ok := errors.AsType[*stepFailure](e.Err); ok {
		r.Text += " (" + printable(s.where()) + ")"
	}
	return r
}

// printable makes text fit for a terminal, a log and JSON, whatever a job or a
// caller put into a name.
func printable(s string) string { return plain.Within(s, 1024) }
