// Package bench measures what a launch costs: whole processes against other
// runners and against a C program that makes exactly the calls of the plan
// ([Start]), and the memory that a waiting sandbox keeps ([Memory]). Its Go
// benchmarks measure the stages, the library and the pool.
//
// Everything that is timed runs as one unprivileged user, also if root starts
// it, and takes turns with what it is compared with. README.md says how to read
// the tables.
package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Options say what to measure. The zero value lacks Jailrun alone.
type Options struct {
	Jailrun string   // the program to measure
	Rounds  int      // how often each contender runs; 0 means 300
	Only    []string // names of contenders; none means all
	// Realtime takes every contender's turn at real-time priority (SCHED_FIFO),
	// so that other work of the machine does not come between, and who waits for
	// a CPU takes a free one. It needs root, or RLIMIT_RTPRIO.
	Realtime bool
	// Progress, if set, is told what goes on, a line at a time.
	Progress io.Writer
}

// ChildArg is the first argument with which a program that uses this package
// is started again, without privileges: its main then calls [Child] with the
// others.
const ChildArg = "unprivileged-part"

// Start lets jailrun and its peers take turns.
func Start(ctx context.Context, o Options) (r *Report, err error) {
	if o.Rounds <= 0 {
		o.Rounds = 300
	}
	dir, undo, err := workshop(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, undo()) }()
	again := unprivileged(exec.CommandContext(ctx, filepath.Join(dir, "bench"), ChildArg, "start", dir, fmt.Sprint(o.Rounds), strings.Join(o.Only, ",")), dir)
	again.Stderr = o.Progress
	var out bytes.Buffer
	again.Stdout = &out
	if err := startAt(again, o.Realtime); err != nil {
		return nil, err
	}
	if err := again.Wait(); err != nil {
		return nil, fmt.Errorf("the unprivileged part, which has said why: %w", err)
	}
	r = &Report{Realtime: o.Realtime}
	return r, json.Unmarshal(out.Bytes(), r)
}

// startAt starts a command, which inherits this thread's priority.
func startAt(cmd *exec.Cmd, realtime bool) error {
	if !realtime {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	now, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return os.NewSyscallError("sched_getattr", err)
	}
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0); err != nil {
		return fmt.Errorf("--realtime: %w (it needs root, or ulimit -r)", os.NewSyscallError("sched_setattr", err))
	}
	err = cmd.Start()
	back := os.NewSyscallError("sched_setattr", unix.SchedSetAttr(0, now, 0))
	if err == nil && back != nil {
		err = errors.Join(cmd.Process.Kill(), cmd.Wait())
	}
	return errors.Join(err, back)
}

// Child is the part that runs without privileges.
func Child(ctx context.Context, args []string) error {
	switch {
	case len(args) == 4 && args[0] == "start":
		var rounds int
		if _, err := fmt.Sscan(args[2], &rounds); err != nil {
			return err
		}
		r, err := start(ctx, args[1], rounds, args[3])
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(r)
	case len(args) == 1 && args[0] == "heap":
		return bigHeap(ctx)
	}
	return fmt.Errorf("unknown part %q", args)
}

// start measures, in the directory that workshop has made.
func start(ctx context.Context, dir string, rounds int, only string) (*Report, error) {
	list, missing, err := contenders(ctx, dir, only)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "%d rounds of", rounds)
	for _, c := range list {
		fmt.Fprintf(os.Stderr, " %s,", c.Name)
	}
	fmt.Fprintln(os.Stderr, " in turns")
	if err := takeTurns(ctx, list, rounds); err != nil {
		return nil, err
	}
	r := &Report{Format: 1, Rounds: rounds, Missing: missing}
	if err := r.host(); err != nil {
		return nil, err
	}
	for _, c := range list {
		r.Contenders = append(r.Contenders, c.sum())
	}
	r.compare()
	r.Stages, err = stages(ctx, filepath.Join(dir, "jailrun"), min(rounds, 50))
	return r, err
}

// workshop makes the directory from which the unprivileged part works.
func workshop(ctx context.Context, o Options) (dir string, undo func() error, err error) {
	if dir, err = os.MkdirTemp("", "jailrun-bench-"); err != nil {
		return "", nil, err
	}
	undo = func() error { return os.RemoveAll(dir) }
	if err = os.Chmod(dir, 0o755); err == nil {
		err = gather(ctx, o, dir)
	}
	if err != nil {
		return "", nil, errors.Join(err, undo())
	}
	return dir, undo, nil
}

// uid is the user of all that is measured when root starts the benchmark. No
// account has it.
const uid = 64124

// unprivileged makes a command run as an ordinary user, in a directory of his,
// with an environment of its own.
func unprivileged(cmd *exec.Cmd, dir string) *exec.Cmd {
	cmd.Dir = filepath.Join(dir, "work")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + filepath.Join(dir, "home"), "LANG=C.UTF-8", "XDG_RUNTIME_DIR=" + filepath.Join(dir, "run")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
	return cmd
}
