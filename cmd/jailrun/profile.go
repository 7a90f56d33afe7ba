package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/jailrun/jailrun/sandbox"
)

// loadProfile reads the user's own profile, if one was asked for. Compiling is
// the work of jailrun-seccomp: the libraries for it stay out of this program.
func (r *request) loadProfile() error {
	if r.profileFile == "" {
		return nil
	}
	filter, err := sandbox.LoadProfile(r.profileFile, func(text []byte, compiler string) ([]byte, error) {
		return compileProfile(r.profileFile, text, compiler)
	})
	if err != nil {
		return flagError("seccomp", err)
	}
	r.spec.Filter = filter
	return nil
}

func compileProfile(name string, text []byte, compiler string) ([]byte, error) {
	const program = "jailrun-seccomp"
	sibling, err := findSibling(program)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &usageError{text: "--seccomp " + quote(name) + ": " + program + " is not installed, which compiles profiles", hint: "it belongs beside jailrun or into ../libexec/jailrun"}
	}
	if err != nil {
		return nil, err
	}
	defer sibling.Close()
	cmd := exec.Command("/proc/self/fd/"+strconv.Itoa(3), "compile", "--name", name, "--compiler", compiler)
	cmd.Args[0] = program
	cmd.ExtraFiles = []*os.File{sibling}
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
