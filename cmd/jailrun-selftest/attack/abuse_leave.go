package attack

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ipcKey is that of the System V objects that the tests make.
const ipcKey = 0x4a41494c

// findIPC looks for System V objects and a message queue, or makes them.
func findIPC(args []string) error {
	flags := uintptr(0)
	if len(args) > 0 && args[0] == "make" {
		flags = unix.IPC_CREAT | 0o600
	}
	open := uintptr(unix.O_RDWR)
	if flags != 0 {
		open |= unix.O_CREAT
	}
	return errors.Join(
		say("shm", outcome(raw(unix.SYS_SHMGET, ipcKey, 4096, flags))),
		say("sem", outcome(raw(unix.SYS_SEMGET, ipcKey, 1, flags))),
		say("msg", outcome(raw(unix.SYS_MSGGET, ipcKey, flags))),
		say("mq", outcome(raw(unix.SYS_MQ_OPEN, address("jailrun-attack"), open, 0o600, 0))),
	)
}

// leaving are the places where a job may leave something for the next one.
var leaving = []string{
	"/", "/etc", "/usr", "/usr/bin", "/bin", "/lib", "/opt", "/var", "/var/tmp", "/tmp", "/dev", "/dev/shm", "/proc", "/sys", "/run", "/home",
	"/home/job", "/work", "/mnt",
}

// leave leaves a file in every place, and says in how many it could; and it
// leaves System V objects.
func leave([]string) error {
	n := 0
	for _, dir := range leaving {
		if os.WriteFile(filepath.Join(dir, "left-behind"), []byte("x"), 0o644) == nil { //nolint:gosec // to be found
			n++
		}
	}
	return errors.Join(findIPC([]string{"make"}), say("left", n))
}

// found looks for what [leave] left.
func found([]string) error {
	n := 0
	for _, dir := range leaving {
		if _, err := os.Lstat(filepath.Join(dir, "left-behind")); err == nil {
			n++
		}
	}
	return errors.Join(findIPC(nil), say("found", n))
}
