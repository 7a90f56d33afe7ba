package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// killFamily ends the machine's processes that are still there. In a pid namespace the kernel does that when this
// process, its first, exits; otherwise the orphans have become our children (PR_SET_CHILD_SUBREAPER): they are
// killed until none is left.
func killFamily(pid int) {
	if os.Getpid() == 1 {
		return
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	for {
		for _, child := range children() {
			_ = unix.Kill(child, unix.SIGKILL)
		}
		if _, err := unix.Wait4(-1, nil, 0, nil); errors.Is(err, unix.ECHILD) {
			return
		}
	}
}

// children lists the children of all threads of this process.
func children() []int {
	var pids []int
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for s := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(s); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
