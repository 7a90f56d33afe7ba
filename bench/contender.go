package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A contender is a command whose whole process, from the fork to the end of
// waiting, is timed.
type contender struct {
	Name     string   // as --only takes it
	About    string   // what it is
	Isolates []string // what it does of what jailrun does
	Lacks    []string // what it does not
	Version  string
	argv     []string
	path     string
	wall     []time.Duration
	cpu      []time.Duration
}

// takeTurns runs every contender once a round. The order changes from round to
// round: the kernel takes a network namespace down after its process has ended,
// at the cost of whoever comes next.
func takeTurns(ctx context.Context, list []*contender, rounds int) error {
	const warmUp = 10
	// What a contender leaves behind becomes ours, to be waited for and counted.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	order := rand.New(rand.NewPCG(1, 2))
	for round := range warmUp + rounds {
		for _, i := range order.Perm(len(list)) {
			if err := ctx.Err(); err != nil {
				return err
			}
			wall, cpu, err := list[i].once(null)
			if err != nil {
				return fmt.Errorf("%s: %w", list[i].Name, err)
			}
			if round >= warmUp {
				list[i].wall, list[i].cpu = append(list[i].wall, wall), append(list[i].cpu, cpu)
			}
		}
	}
	return nil
}

// once times one run. Only a success counts. CPU time is that of all its
// processes, also of those that outlive the one that was started: these are
// waited for, but not timed.
func (c *contender) once(null *os.File) (wall, cpu time.Duration, err error) {
	before := childrenCPU()
	begin := time.Now()
	p, err := os.StartProcess(c.path, c.argv, &os.ProcAttr{Env: os.Environ(), Files: []*os.File{null, null, os.Stderr}})
	if err != nil {
		return 0, 0, err
	}
	hung := time.AfterFunc(20*time.Second, func() { _ = p.Kill() })
	state, err := p.Wait()
	wall = time.Since(begin)
	hung.Stop()
	for err == nil {
		if _, e := unix.Wait4(-1, nil, unix.WALL, nil); errors.Is(e, unix.ECHILD) {
			break
		}
	}
	if err == nil && !state.Success() {
		err = fmt.Errorf("%v", state)
	}
	return wall, childrenCPU() - before, err
}

func childrenCPU() time.Duration {
	var ru unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_CHILDREN, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// works says whether a contender can be measured here, or why not.
func (c *contender) works(ctx context.Context) error {
	path, err := exec.LookPath(c.argv[0])
	if err != nil {
		return errors.New("not installed")
	}
	c.path = path
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, c.argv[1:]...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(string(out))
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		text = text[i+1:]
	}
	return fmt.Errorf("%w: %.200s", err, text)
}

// version asks a program for its version: the first line that it prints.
func version(ctx context.Context, program string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--version")
	cmd.Stderr = io.Discard
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}
