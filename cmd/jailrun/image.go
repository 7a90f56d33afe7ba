package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// importer lets the sibling import an image that --rootfs names by a file and
// that is not in the store yet: progress goes to our stderr, the id comes back.
func importer(say *console) func(context.Context, string) (string, error) {
	return func(ctx context.Context, source string) (string, error) {
		program, err := findSibling("jailrun-image")
		if errors.Is(err, fs.ErrNotExist) {
			return "", errors.New("it is not imported, and jailrun-image, which does that, is not installed beside jailrun")
		}
		if err != nil {
			return "", err
		}
		defer program.Close()
		args := []string{"import", "--name", "-", "--id"}
		if say.quiet {
			args = append(args, "-q")
		}
		cmd := exec.CommandContext(ctx, "/proc/self/fd/"+strconv.Itoa(int(program.Fd())), append(args, "--", source)...)
		cmd.Args[0] = "jailrun-image"
		cmd.Stderr = os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) } // it undoes what it has begun
		id, err := cmd.Output()
		if err != nil {
			return "", errors.New("it could not be imported")
		}
		return strings.TrimSpace(string(id)), nil
	}
}
