// Command jailrun-image brings container images into the store out of which
// jailrun takes the roots of jobs. It is started as `jailrun image`.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	jfs "github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/fs/image"
)

const helpText = `jailrun image keeps the images that --rootfs takes jobs' roots from.

  jailrun image import SRC [--name NAME]   bring an image in; SRC is one of
      oci:DIR[:TAG]               a directory in the OCI image layout
      docker-archive:FILE[:TAG]   what docker save or podman save wrote
      FILE.tar[.gz|.zst]          the files of a root
  jailrun image pull REF [--name NAME]     the same from a registry
  jailrun image list [--format json]       what is there
  jailrun image rm NAME|ID...              take names away, and what only they kept
  jailrun image gc                         remove what nothing refers to

  --max-size SIZE      bound of the files of one image (import, pull; 16g)
  --max-entries N      bound of their number (4000000)
  --id                 print nothing but the image's id (import, pull)
  -q                   no progress, no summary

Layers are unpacked once, checked against their digests and shared by all images
that have them. The store is $XDG_STATE_HOME/jailrun/images, which is
~/.local/state/jailrun/images by default, and /var/lib/jailrun/images for root.

Examples
  jailrun image pull debian:12
  jailrun --rootfs debian:12 -- cat /etc/os-release
  jailrun --rootfs oci:./image:latest       its own program; imported if it is not
`

// exitFailed is the code of every failure, as jailrun's own.
const exitFailed = 125

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends us at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	os.Exit(code)
}

// A call is one command line taken apart.
type call struct {
	args    []string
	name    string
	json    bool
	id      bool // print nothing but the image's id
	quiet   bool
	limits  image.Limits
	out     io.Writer
	console *console
}

// run carries out a command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	say := newConsole(stderr)
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		return printed(say, stdout, helpText)
	}
	commands := map[string]func(context.Context, *call) error{
		"import": importImage, "pull": pullImage, "list": listImages, "ls": listImages, "rm": removeImages, "gc": collect,
	}
	command := commands[args[0]]
	if command == nil {
		say.error(fmt.Sprintf("unknown command %q", args[0]), "want import, pull, list, rm or gc; jailrun image --help shows them")
		return exitFailed
	}
	c, help, err := parse(args[0], args[1:])
	if help {
		return printed(say, stdout, helpText)
	}
	if err == nil {
		c.out, c.console = stdout, say
		err = command(ctx, c)
	}
	if err != nil {
		say.error(err.Error(), hint(err))
		return exitFailed
	}
	return 0
}

func printed(say *console, w io.Writer, text string) int {
	if _, err := io.WriteString(w, text); err != nil {
		say.error(err.Error(), "")
		return exitFailed
	}
	return 0
}

// openStore opens the store of the caller. Root's environment does not count.
func openStore(c *call) (*image.Store, error) {
	home := os.Getenv("HOME")
	if home == "" {
		home = homeOf(os.Geteuid())
	}
	return image.Open(jfs.StateDir(os.Geteuid(), home), c.limits)
}

// hint is what to do about an error, where its text does not say it.
func hint(err error) string {
	var u *usageError
	switch {
	case errors.As(err, &u):
		return u.hint
	case errors.Is(err, jfs.ErrStoreUnsafe):
		return "chown and chmod 700 the directory, if what is in it can be trusted, or remove it"
	case errors.Is(err, image.ErrTooLarge):
		return "if the image is right, raise --max-size or --max-entries"
	case errors.Is(err, image.ErrDigest):
		return "the image is damaged or was changed: get it again"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return "make room in the file system of the store: jailrun image rm, jailrun image gc"
	case errors.Is(err, unix.EROFS):
		return "set XDG_STATE_HOME to a directory that can be written to"
	case errors.Is(err, context.Canceled), errors.Is(err, syscall.EINTR):
		return ""
	case strings.Contains(err.Error(), "http: server gave HTTP response"):
		return "only registries on this machine are spoken to without TLS"
	}
	return ""
}
