package sibling

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// Importer is the ImportImage of package sandbox: it lets jailrun-image import an
// image that is named by a file and not in the store yet. Progress goes to our
// stderr, the id comes back.
func Importer(quiet bool) func(context.Context, string) (string, error) {
	return func(ctx context.Context, source string) (string, error) {
		program, err := Find("jailrun-image")
		if errors.Is(err, fs.ErrNotExist) {
			return "", errors.New("it is not imported, and jailrun-image, which does that, is not installed beside jailrun")
		}
		if err != nil {
			return "", err
		}
		defer program.Close()
		args := []string{"import", "--name", "-", "--id"}
		if quiet {
			args = append(args, "-q")
		}
		cmd := exec.CommandContext(ctx, asThird, append(args, "--", source)...)
		cmd.Args[0] = "jailrun-image"
		cmd.ExtraFiles = []*os.File{program}
		cmd.Stderr = os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) } // it undoes what it has begun
		id, err := cmd.Output()
		if err != nil {
			return "", errors.New("it could not be imported")
		}
		return strings.TrimSpace(string(id)), nil
	}
}
