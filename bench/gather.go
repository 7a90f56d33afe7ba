package bench

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/jailrun/jailrun/sandbox/prog"
)

//go:embed floor/floor.c
var floorSource []byte

// gather puts into the directory what the unprivileged part runs and cannot
// read itself: jailrun, this program, and if there is a Go toolchain an empty
// program of its.
func gather(ctx context.Context, o Options, dir string) error {
	for _, d := range []string{"work", "empty", "home", "run", "go"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
		if os.Geteuid() == 0 && d != "go" {
			if err := os.Chown(filepath.Join(dir, d), uid, uid); err != nil {
				return err
			}
		}
	}
	for name, from := range map[string]string{"jailrun": o.Jailrun, "bench": "/proc/self/exe"} {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o755); err != nil {
			return err
		}
	}
	if _, err := exec.LookPath("go"); err != nil {
		return nil
	}
	source := filepath.Join(dir, "go", "empty.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, emptyGo), source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	_ = output(build) // where it cannot be built it does not take part
	return nil
}

// emptyGo is the file of the empty Go program.
const emptyGo = "empty-go"

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
