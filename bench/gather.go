package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/prog"
)

//go:embed floor/floor.c
var floorSource []byte

// gather puts into the directory what the unprivileged part runs and cannot
// read or build itself: jailrun, this program, an empty Go program.
func gather(ctx context.Context, o options) error {
	for _, d := range []string{"work", "empty", "go"} {
		if err := os.Mkdir(filepath.Join(o.dir, d), 0o755); err != nil {
			return err
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(filepath.Join(o.dir, "work"), uid, uid); err != nil {
			return err
		}
	}
	for name, from := range map[string]string{"jailrun": o.jailrun, "bench": "/proc/self/exe"} {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(o.dir, name), b, 0o755); err != nil {
			return err
		}
	}
	source := filepath.Join(o.dir, "go", "empty.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(o.dir, "empty-go"), source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	return output(build)
}

// buildFloor compiles the C program that makes the calls of p.
func buildFloor(ctx context.Context, p *prog.Program, dir string) (path string, err error) {
	var plan bytes.Buffer
	if err := p.WriteC(&plan); err != nil {
		return "", err
	}
	for name, content := range map[string][]byte{"plan.h": plan.Bytes(), "floor.c": floorSource} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return "", err
		}
	}
	path = filepath.Join(dir, "floor")
	return path, output(exec.CommandContext(ctx, "gcc", "-O2", "-static", "-Wall", "-Wextra", "-o", path, filepath.Join(dir, "floor.c")))
}

// output runs a command whose output is of interest only if it fails.
func output(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// printHost says what the figures were measured on.
func printHost(ctx context.Context) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return os.NewSyscallError("uname", err)
	}
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	bwrap, err := exec.CommandContext(ctx, "bwrap", "--version").Output()
	if err != nil {
		return fmt.Errorf("bwrap --version: %w", err)
	}
	fmt.Printf("Linux %s, %s, %d CPUs, %s; unprivileged user; caches warm.\n\n",
		unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:]), cpus.Count(), strings.TrimSpace(string(bwrap)))
	return nil
}
