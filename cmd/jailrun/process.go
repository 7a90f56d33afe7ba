package main

import (
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// tidyProcess puts the process into a known state. These settings are those of
// a program; the library would change its caller with them.
//
// Descriptors 0 to 2 that our caller had closed are the runtime's affair: it
// opens them on /dev/null before anything of ours runs, so that no descriptor
// of ours can become the job's stdout.
func tidyProcess() {
	// A write to a closed pipe has to come back as EPIPE: the job is to be
	// ended and a result written, whoever stopped reading.
	signal.Ignore(unix.SIGPIPE)
	if unix.Geteuid() == 0 {
		forgetVariables()
	}
}

// forgetVariables takes away what an unprivileged caller may have planted in
// the environment of a program that runs as root, for us and for helpers.
func forgetVariables() {
	for _, kv := range syscall.Environ() {
		if name, _, _ := strings.Cut(kv, "="); ignoredAsRoot(name) {
			_ = syscall.Unsetenv(name) // fails only for a name that is empty
		}
	}
}

func ignoredAsRoot(name string) bool {
	return strings.HasPrefix(name, "JAILRUN_") || strings.HasPrefix(name, "XDG_") || strings.HasPrefix(name, "DBUS_")
}

// ledAstray reports whether this program is the first of a job that asked for
// another: the child that jailrun forks still has jailrun's own file as
// /proc/self/exe, and a root can hold a link or a script that leads there. The
// file is the host's, on a mount of the host's: what runs beside such a job
// could change its mode, or by a hole in the kernel its page cache.
func ledAstray() bool {
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil || nnp == 0 || unix.Getppid() != 1 {
		return false // no job's first program
	}
	var run, found unix.Stat_t
	path, err := os.Readlink("/proc/self/exe")
	if err != nil || unix.Stat("/proc/self/exe", &run) != nil {
		return false // without /proc nothing leads here
	}
	return unix.Stat(path, &found) != nil || run.Dev != found.Dev || run.Ino != found.Ino
}
