package main

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/cmd/internal/sibling"
)

// runSibling becomes the program jailrun-NAME, or says why not. Nothing but
// the error code comes back. A program of several commands knows by its
// argv[0] which is meant.
func runSibling(say *console, name string, args []string) int {
	own := name
	if c := findCommand(name); c.program != "" {
		own = c.program
	}
	name, own = "jailrun-"+name, "jailrun-"+own
	program, err := sibling.Find(own)
	if err != nil {
		sayError(say, err)
		return exitFailed
	}
	err = unix.Exec(sibling.Path(program), append([]string{name}, args...), os.Environ())
	sayError(say, &os.PathError{Op: "execute", Path: program.Name(), Err: err})
	return exitFailed
}
