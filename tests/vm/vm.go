// Package vm boots small Linux machines for tests: a kernel of a Debian package over the host's own root, read-only,
// with an unprivileged user in a delegated cgroup v2 subtree. What the development host cannot show (cgroup v2 with
// its controllers, Landlock, tun, other kernels) is tested there, with the same binaries.
//
// A machine has one of three lanes:
//
//	uml      User Mode Linux: an everyday run of 2–3 s, native speed, one CPU
//	qemu     Debian's stock kernel under QEMU: 2 CPUs, PSI, Landlock, Yama, AppArmor, cpuset; slow code
//	systemd  a Debian of its own with systemd and a lingering user, booted in User Mode Linux
//
// Jobs run as the machine's ordinary user, never as its root. What they print and their exit status come over a
// channel of frames (package wire) that a job cannot reach, byte for byte. A machine can write to nothing of the host
// but its own temporary directory, and nothing of it outlives Close or the process that booted it.
//
// Decision: the guest's first process is a Go program (command vminit) and not busybox and a shell script. It costs
// 2.5 MB of initramfs and 0.1 s of build, and saves a package, the parsing of text and every race of a script.
package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// The lanes.
const (
	UML     = "uml"
	QEMU    = "qemu"
	Systemd = "systemd"
)

// Lanes lists the lanes, fastest first.
func Lanes() []string { return []string{UML, Systemd, QEMU} }

// User is the ordinary user of a machine.
type User = wire.User

// Config describes a machine. Lane must be set; every other zero value is usable.
type Config struct {
	Lane string
	// Shape is one of Shapes; "" is a plain host.
	Shape string
	// User runs the jobs; the zero value is tester, uid and gid 12345.
	User User
	// Kernel is the kernel of lane qemu: one of Matrix, or a Debian package linux-image-…; "" is linux-image-amd64 of the
	// host's release.
	Kernel string
	// MemMiB is the machine's memory in MiB; 0 is 768.
	MemMiB int
	// ScratchMiB is the size of the ext4 disk on /home in MiB; 0 is 2048. The file is sparse.
	ScratchMiB int
	// ReadOnly are host directories that the guest shows under the same path, read-only. It shows the host's whole
	// root anyway, except what is below /tmp, /var/tmp, /home and /run; lane systemd shows nothing but these.
	ReadOnly []string
	// BootTimeout bounds the time from the start of the kernel to the first job; 0 is a minute for lane uml and three for the others.
	BootTimeout time.Duration
	// Log receives one line for each thing that takes long (a download, an image); nil discards them.
	Log func(string)

	kernelArgs []string // tests: the last word on the kernel's command line
}

// Job is one command in a machine.
type Job struct {
	Argv []string
	// Env is added to the environment of a login of the user.
	Env []string
	// Dir is the working directory; "" is the user's home.
	Dir string
	// Timeout bounds the job; 0 is two minutes. A job that exceeds it takes the machine with it.
	Timeout time.Duration
	// Stdout and Stderr receive what the job prints; nil discards it. Standard input is empty.
	Stdout, Stderr io.Writer
}

// ErrUnavailable says that this host cannot have the lane, with the reason; a caller may skip the lane by name.
var ErrUnavailable = errors.New("lane is not available")

// Error is the failure of a machine, not of a job.
type Error struct {
	Lane string
	Op   string // "boot" or "run"
	Err  error
	// Console holds the last 40 lines of the guest's console, Log the file in which all of it was kept.
	Console string
	Log     string
}

func (e *Error) Error() string {
	return fmt.Sprintf("vm %s: %s: %v\nlast lines of the console, all of it in %s:\n%s", e.Lane, e.Op, e.Err, e.Log, e.Console)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Run boots a machine, runs one job and ends the machine. The code is the job's exit status, 128+n if signal n ended
// it, 126 or 127 if it could not be started. The error is one of the machine.
func Run(ctx context.Context, cfg Config, job Job) (code int, err error) {
	m, err := Boot(ctx, cfg)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	return m.Run(ctx, job)
}

// LaneName is what the machine's jobs find in JAILRUN_LANE: the lane, with the kernel if it is not the usual one.
func (c Config) LaneName() string {
	if c.Kernel == "" {
		return c.Lane
	}
	return c.Lane + "-" + c.Kernel
}

// withDefaults fills the zero values and refuses what no lane has.
func (c Config) withDefaults() (Config, error) {
	if c.Kernel != "" && c.Lane != QEMU {
		return c, fmt.Errorf("vm: only lane %s has a choice of kernels", QEMU)
	}
	if err := checkShape(c.Lane, c.Shape); err != nil {
		return c, err
	}
	if c.User == (User{}) {
		c.User = User{Name: "tester", UID: 12345, GID: 12345}
	}
	if c.User.UID == 0 || c.User.Name == "" {
		return c, errors.New("vm: the user of a machine has a name and is not root")
	}
	if c.MemMiB == 0 {
		c.MemMiB = 768
	}
	if c.ScratchMiB == 0 {
		c.ScratchMiB = 2048
	}
	if c.BootTimeout == 0 {
		c.BootTimeout = 3 * time.Minute
		if c.Lane == UML {
			c.BootTimeout = time.Minute
		}
	}
	if c.Log == nil {
		c.Log = func(string) {}
	}
	return c, nil
}
