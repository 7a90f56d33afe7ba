package sibling

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/plain"
)

// Profile reads a seccomp profile of the user's own. Compiling it is the work of
// jailrun-seccomp, whose libraries stay out of our callers.
func Profile(name string) (*sandbox.Filter, error) {
	return sandbox.LoadProfile(name, func(text []byte, compiler string) ([]byte, error) {
		return compileProfile(name, text, compiler)
	})
}

func compileProfile(name string, text []byte, compiler string) ([]byte, error) {
	const program = "jailrun-seccomp"
	own, err := Find(program)
	if missing, ok := errors.AsType[*Error](err); ok && errors.Is(err, fs.ErrNotExist) {
		missing.text = "seccomp " + plain.Quote(name, 200) + ": " + missing.text + ", which compiles profiles"
	}
	if err != nil {
		return nil, err
	}
	defer own.Close()
	cmd := exec.Command(asThird, "compile", "--name", name, "--compiler", compiler)
	cmd.Args[0] = program
	cmd.ExtraFiles = []*os.File{own}
	var out, say bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &out, &say
	err = cmd.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); failed && say.Len() > 0 {
		// It says file, line and rule, for people.
		first, _, _ := strings.Cut(strings.TrimPrefix(say.String(), "jailrun: error: "), "\n")
		return nil, errors.New(first)
	}
	return out.Bytes(), err
}
