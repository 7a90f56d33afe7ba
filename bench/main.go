// Command bench measures what a launch costs, against bubblewrap with the same
// mounts and against a C program that makes exactly the calls of the plan, and
// how much memory a waiting sandbox keeps. It prints the tables of the README.
//
//	make bench
//
// Every figure of the first table comes from one run in which the programs take
// turns, and all of them run as one unprivileged user, also if root starts it.
// bench/README.md says how to read the tables.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// options are those of the command line.
type options struct {
	jailrun string
	rounds  int
	dir     string // where the second process finds what the first has built
}

func main() {
	var o options
	flag.StringVar(&o.jailrun, "jailrun", "bin/jailrun", "the program to measure")
	flag.IntVar(&o.rounds, "rounds", 300, "how often each program runs")
	flag.StringVar(&o.dir, "dir", "", "internal: directory of a run that has begun")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err := run(ctx, o, flag.Arg(0))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, part string) error {
	switch part {
	case "": // the first process: makes the directory, and looks at memory
		return lead(ctx, o)
	case "times": // measures, without privileges
		return times(ctx, o)
	case "heap": // a program with a big heap that uses the library
		return bigHeap(ctx)
	}
	return fmt.Errorf("unknown part %q", part)
}

// lead builds what is compared, and starts the parts that must not be root.
func lead(ctx context.Context, o options) (err error) {
	o.dir, err = os.MkdirTemp("", "jailrun-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	if err := os.Chmod(o.dir, 0o755); err != nil {
		return err
	}
	if err := gather(ctx, o); err != nil {
		return err
	}
	if err := printHost(ctx); err != nil {
		return err
	}
	again := unprivileged(exec.CommandContext(ctx, filepath.Join(o.dir, "bench"), "-dir", o.dir, "-rounds", fmt.Sprint(o.rounds), "times"), o.dir)
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	if err := again.Run(); err != nil {
		return fmt.Errorf("measure times: %w", err)
	}
	return memory(ctx, o)
}

// uid is the user of all that is measured when root starts the benchmark. No
// account has it.
const uid = 64124

// unprivileged makes a command run as an ordinary user, in a directory of his,
// with an environment of its own.
func unprivileged(cmd *exec.Cmd, dir string) *exec.Cmd {
	cmd.Dir = filepath.Join(dir, "work")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
	return cmd
}
