// Command jailrun-batch runs the jobs of a job file. It is four commands of
// jailrun, told apart by argv[0]: batch, judge, spec and replay.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/sandbox/plain"
)

// The exit codes. A batch says by them what became of its jobs as a whole.
const (
	exitPassed      = 0
	exitNotPassed   = 1   // at least one job did not pass
	exitFailed      = 125 // jailrun failed: bad usage, a bad job file, IE
	exitInterrupted = 130
)

func main() {
	signal.Ignore(syscall.SIGPIPE) // a reader of ours that went away is an error to be told, no death
	if os.Geteuid() == 0 {
		forgetVariables()
	}
	command := strings.TrimPrefix(filepath.Base(os.Args[0]), "jailrun-")
	os.Exit(run(command, os.Args[1:]))
}

func run(command string, args []string) int {
	switch command {
	case "judge":
		return judge(args)
	case "spec":
		return spec(args)
	case "replay":
		return replay(args)
	}
	return batchCommand(args)
}

// forgetVariables takes away what an unprivileged caller may have planted in
// the environment of a program that runs as root.
func forgetVariables() {
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "JAILRUN_") || strings.HasPrefix(name, "XDG_") || strings.HasPrefix(name, "DBUS_") {
			_ = syscall.Unsetenv(name) // fails only for a name that is empty
		}
	}
}

// say prints a message of jailrun's own, whatever it quotes, on one line.
func say(format string, a ...any) {
	fmt.Fprintln(os.Stderr, "jailrun: "+plain.Printable(fmt.Sprintf(format, a...)))
}

// fail says what went wrong, and under it what to do.
func fail(err error, hint string) int {
	if errs, ok := err.(jobspec.Errors); ok { //nolint:errorlint // it is returned as it is
		for _, e := range errs {
			say("error: %v", e)
			fmt.Fprint(os.Stderr, e.Excerpt())
		}
		return exitFailed
	}
	say("error: %v", err)
	if hint != "" {
		say("hint: %s", hint)
	}
	return exitFailed
}
