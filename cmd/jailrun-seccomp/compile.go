//go:build libseccomp

package main

import (
	"io"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/seccomp"
)

// compile is what jailrun calls for --seccomp FILE:
//
//	jailrun-seccomp compile --name FILE --compiler ID <text >entry
func compile(in io.Reader, out io.Writer, args []string) error {
	if len(args) != 4 || args[0] != "--name" || args[2] != "--compiler" {
		return usage("compile is for jailrun; to try a profile: jailrun seccomp check FILE")
	}
	name, wanted := args[1], args[3]
	kernel, err := kernelVersion()
	if err != nil {
		return err
	}
	if own := seccomp.CompilerID(sandbox.Version, kernel); own != wanted {
		return usage("this is %q, jailrun wants %q: install both from one build", own, wanted)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	s, err := parse(name, text)
	if err != nil {
		return err
	}
	_, filter, err := s.filter(name)
	if err != nil {
		return err
	}
	_, noMemfd, err := s.withoutMemfd().filter(name)
	if err != nil {
		return err
	}
	e := seccomp.Entry{Compiler: wanted, Source: text, Filter: filter, NoMemfd: noMemfd}
	_, err = out.Write(e.Encode())
	return err
}
