package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jailrun/jailrun/sandbox"
)

// The goals, in KiB.
const (
	goalInit   = 128
	goalRunner = 12 << 10
)

const megabyte = 1 << 20

// Memory measures what a sandbox keeps while its job waits, and writes a table.
// Init cannot be looked at by its own user, so it needs root.
func Memory(ctx context.Context, o Options, w io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("the memory of pid 1 may be looked at by root alone")
	}
	dir, undo, err := workshop(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, undo()) }()
	jailrun := unprivileged(exec.CommandContext(ctx, filepath.Join(dir, "jailrun"), "-q", "--",
		"sh", "-c", "head -c 104857600 /dev/zero; read line"), dir)
	initCopy, runner, err := waiting(jailrun, 100*megabyte)
	if err != nil {
		return fmt.Errorf("jailrun: %w", err)
	}
	library := unprivileged(exec.CommandContext(ctx, filepath.Join(dir, "bench"), ChildArg, "heap"), dir)
	initHeap, heap, err := waiting(library, 1)
	if err != nil {
		return fmt.Errorf("a program with a big heap: %w", err)
	}
	_, err = fmt.Fprintf(w, `| private memory (smaps_rollup) | measured | goal |
|---|---|---|
| pid 1, its runner has copied 100 MB of output | %d KiB | ≤ %d KiB |
| pid 1 of a library user with %d MB of heap | %d KiB | ≤ %d KiB |
| the waiting runner | %.1f MiB | ≤ %d MiB |
`, initCopy, goalInit, heap>>10, initHeap, goalInit, float64(runner)/1024, goalRunner>>10)
	return err
}

// waiting runs cmd, whose job writes that many bytes and then waits for a line.
// It returns the private memory, in KiB, of init, the most that was seen from
// the first byte on, and of cmd itself while it waits.
func waiting(cmd *exec.Cmd, bytes int64) (initMost, runner int, err error) {
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_, werr := io.WriteString(in, "\n")
		in.Close()
		_, cerr := io.Copy(io.Discard, out)
		err = errors.Join(err, werr, cerr, cmd.Wait())
	}()
	if _, err := io.CopyN(io.Discard, out, 1); err != nil {
		return 0, 0, err
	}
	pid, err := findInit(cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	for left := bytes - 1; ; {
		k, err := private(pid)
		if err != nil {
			return 0, 0, err
		}
		if initMost = max(initMost, k); left == 0 {
			break
		}
		n := min(left, 10*megabyte)
		if _, err := io.CopyN(io.Discard, out, n); err != nil {
			return 0, 0, err
		}
		left -= n
	}
	runner, err = private(cmd.Process.Pid)
	return initMost, runner, err
}

// findInit returns the process of the name that init gives itself, among the
// descendants of a process.
func findInit(ancestor int) (int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		if name, _ := parent(pid); name != "jailrun-init" {
			continue
		}
		for p := pid; p > 1; {
			if _, p = parent(p); p == ancestor {
				return pid, nil
			}
		}
	}
	return 0, fmt.Errorf("no process named jailrun-init below %d", ancestor)
}

// parent returns the name of a process and its parent, 0 if it is gone.
func parent(pid int) (string, int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	i, j := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[j+1:]))
	if i < 0 || j < i || len(fields) < 2 {
		return "", 0
	}
	ppid, _ := strconv.Atoi(fields[1])
	return string(b[i+1 : j]), ppid
}

// private is the memory, in KiB, that only this process has.
func private(pid int) (int, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sum, found := 0, false
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) == 3 && strings.HasPrefix(fields[0], "Private_") && fields[0] != "Private_Hugetlb:" {
			k, err := strconv.Atoi(fields[1])
			if err != nil {
				return 0, err
			}
			sum, found = sum+k, true
		}
	}
	if !found {
		return 0, fmt.Errorf("%s says nothing", f.Name())
	}
	return sum, nil
}

// bigHeap is the program of someone who uses the library: it has 500 MB in
// use, and a job that answers one line after another.
func bigHeap(ctx context.Context) error {
	heap := make([]byte, 500*megabyte)
	for i := range heap {
		heap[i] = byte(i)
	}
	c := sandbox.Command("sh", "-c", "echo; read line")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	_, err := c.Run(ctx)
	if heap[len(heap)-1] == 0 {
		return errors.New("bug: the heap was not kept")
	}
	return err
}
