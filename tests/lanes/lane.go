package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm"
)

// place is where test binaries run: a machine, or this host.
type place interface {
	Run(ctx context.Context, job vm.Job) (int, error)
	Kernel() string
	Close() error
}

// runLane runs every suite in one lane and prints the closing line. It is false if a test failed or the number of
// skips is not the table's.
func runLane(ctx context.Context, o options, lane, root, dir string, suites []suite, table *skips, features *matrix) (_ bool, err error) {
	start := time.Now()
	p, err := open(ctx, o, lane, root, dir)
	if err != nil {
		return false, fmt.Errorf("lane %s: %w", lane, err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	var sum tally
	ok := true
	compare := o.run == "" && o.shape == "" && lane != "host"
	for _, s := range suites {
		began := time.Now()
		t, err := runSuite(ctx, o, p, s)
		if err != nil {
			return false, fmt.Errorf("lane %s, %s: %w", lane, s.pkg, err)
		}
		features.note(lane, p.Kernel(), t.logged)
		fmt.Printf("  %-16s %s in %.1fs\n", s.pkg, t, time.Since(began).Seconds())
		sum.add(t)
		if !compare {
			continue
		}
		if o.update {
			table.set(lane, s.pkg, t.skipped)
		} else if want := table.get(lane, s.pkg); want != t.skipped {
			ok = false
			fmt.Printf("lane %s: %s skipped %d tests, %s says %d:\n%s", lane, s.pkg, t.skipped, skipsFile, want, strings.Join(t.reasons, ""))
		}
	}
	name := lane
	if o.shape != "" {
		name += ", shape " + o.shape
	}
	fmt.Printf("lane %s: %s (linux %s, %.1fs)\n", name, sum, p.Kernel(), time.Since(start).Seconds())
	return ok && sum.failed == 0, nil
}

func open(ctx context.Context, o options, lane, root, dir string) (place, error) {
	if lane == "host" {
		return host{}, nil
	}
	lane, kernel, _ := strings.Cut(lane, "-")
	return vm.Boot(ctx, vm.Config{
		Lane: lane, Shape: o.shape, Kernel: kernel, ReadOnly: []string{root, dir},
		Log: func(line string) { fmt.Fprintf(os.Stderr, "lane %s: %s\n", lane, line) },
	})
}

// runSuite runs one test binary. Its standard output goes through test2json, which tells a test's result from what a
// test prints.
func runSuite(ctx context.Context, o options, p place, s suite) (tally, error) {
	convert := exec.CommandContext(ctx, "go", "tool", "test2json", "-p", s.pkg)
	in, err := convert.StdinPipe()
	if err != nil {
		return tally{}, err
	}
	out, err := convert.StdoutPipe()
	if err != nil {
		return tally{}, err
	}
	convert.Stderr = os.Stderr
	if err := convert.Start(); err != nil {
		return tally{}, err
	}
	counted := make(chan tally)
	go func() { counted <- count(out, o.verbose) }()
	argv := []string{s.binary, "-test.v=test2json", "-test.timeout=" + o.timeout.String()}
	if o.run != "" {
		argv = append(argv, "-test.run="+o.run)
	}
	var env []string
	if v := os.Getenv("JAILRUN_REQUIRE"); v != "" {
		env = append(env, "JAILRUN_REQUIRE="+v)
	}
	code, err := p.Run(ctx, vm.Job{
		Argv: argv, Env: env, Dir: s.dir, Timeout: o.timeout + 10*time.Second, Stdout: in, Stderr: in,
	})
	in.Close()
	t := <-counted
	if err := errors.Join(err, convert.Wait()); err != nil {
		return t, err
	}
	if code != 0 && t.failed == 0 { // os.Exit, a leak found by TestMain
		t.failed++
	}
	if code != 0 && len(t.loose) > 0 {
		fmt.Printf("--- FAIL: %s: exit status %d\n%s", s.pkg, code, strings.Join(t.loose, ""))
	}
	return t, nil
}

// host runs jobs on this machine, never as root.
type host struct{}

func (host) Close() error { return nil }

func (host) Kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err.Error()
	}
	return unix.ByteSliceToString(u.Release[:])
}

func (host) Run(ctx context.Context, job vm.Job) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, job.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, job.Argv[0], job.Argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = job.Dir, job.Stdout, job.Stderr
	cmd.Env = append(os.Environ(), job.Env...)
	cmd.WaitDelay = time.Second
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
		home, err := os.MkdirTemp("", "jailrun-home-")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(home)
		if err := os.Chown(home, 65533, 65533); err != nil {
			return 0, err
		}
		cmd.Env = append(cmd.Env, "HOME="+home, "XDG_RUNTIME_DIR=", "DBUS_SESSION_BUS_ADDRESS=")
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return exit.ExitCode(), nil
	}
	return 0, err
}
