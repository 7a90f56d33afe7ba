package main

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs/outfile"
	"github.com/jailrun/jailrun/sandbox"
)

// A resultFile is where --result goes. The zero value goes nowhere.
type resultFile struct {
	out *outfile.File
	fd  *os.File
}

// openResult opens FILE's directory and removes an old FILE, or takes
// descriptor N of fd:N.
func openResult(where string) (resultFile, error) {
	number, isFd := strings.CutPrefix(where, "fd:")
	if !isFd {
		out, err := outfile.Open(where, false)
		if err != nil {
			return resultFile{}, flagError("result", err)
		}
		return resultFile{out: out}, nil
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 3 {
		return resultFile{}, flagError("result", errors.New(quote(where)+" is no descriptor; want fd:N with N at least 3"))
	}
	// It may be one of the runtime's own, which are close-on-exec and so
	// cannot have come from our caller.
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return resultFile{}, flagError("result", errors.New("descriptor "+number+" is not open; the shell opens it with "+number+">FILE"))
	}
	if flags, err = unix.FcntlInt(uintptr(n), unix.F_GETFL, 0); err != nil || flags&unix.O_ACCMODE == unix.O_RDONLY {
		return resultFile{}, flagError("result", errors.New("descriptor "+number+" cannot be written to"))
	}
	unix.CloseOnExec(n)
	return resultFile{fd: os.NewFile(uintptr(n), where)}, nil
}

// write writes one JSON object and ends the file.
func (f resultFile) write(r *sandbox.Result) error {
	if f.out == nil && f.fd == nil {
		return nil
	}
	text, err := encodeResult(r)
	if err != nil {
		return flagError("result", err)
	}
	if f.fd != nil {
		_, err = f.fd.WriteString(text)
		return wrapResult(errors.Join(err, f.fd.Close()))
	}
	if err = f.out.Create(); err == nil {
		_, err = f.out.F.WriteString(text)
	}
	if err != nil {
		f.out.Discard()
		return wrapResult(err)
	}
	return wrapResult(f.out.Commit())
}

func wrapResult(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{text: "--result was not written: " + err.Error(), err: err}
}

// encodeResult renders r as one line. What is no UTF-8 in it, as argv may be,
// becomes U+FFFD: the object is valid JSON whatever a job is called.
func encodeResult(r *sandbox.Result) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(r)
	return b.String(), err
}
