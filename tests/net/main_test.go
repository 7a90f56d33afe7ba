package net

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/lane"
	"github.com/jailrun/jailrun/tests/rootless"
)

// The test network, outside of every job: the host of the tests, with an
// address of its own and a default route that leads to a second machine, which
// is a namespace and has the servers. Nothing leaves it. The addresses are those
// kept for documentation (RFC 5737), which no rule of ours protects.
const (
	hostIP    = "203.0.113.1"
	routerIP  = "203.0.113.2"
	serverIP  = "198.51.100.7"
	serverTCP = serverIP + ":8000"
	serverUDP = serverIP + ":8000"
	otherTCP  = serverIP + ":8001"
	privateIP = "192.168.77.7"     // also the server's
	silentTCP = "198.51.100.66:80" // nobody's: the server drops it
)

// Stages of TestMain: each starts the next in other namespaces.
const stageVariable = "JAILRUN_NET_STAGE"

// bin is where the programs under test are.
var bin = os.Getenv("JAILRUN_NET_BIN")

func TestMain(m *testing.M) {
	var err error
	code := 0
	switch os.Getenv(stageVariable) {
	case "tests":
		os.Exit(m.Run())
	case "server":
		err = serve()
	case "setup":
		code, err = setUp()
	default:
		code, err = begin(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests/net:", err)
		code = 2
	}
	os.Exit(code)
}

// begin builds the programs and goes on in a network namespace of the tests'.
// Root makes one as it is; another user needs a user namespace for it.
func begin(m *testing.M) (int, error) {
	if why := missing(); why != "" {
		skipped = why
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "jailrun-nettest")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return 0, err
	}
	if built := builtBeside(); built != "" {
		dir = built
	} else if err := build(dir); err != nil {
		return 0, err
	}
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return again("setup", attr, "JAILRUN_NET_BIN="+dir, "JAILRUN_NET_ROOT="+strconv.FormatBool(os.Geteuid() == 0))
}

// builtBeside is the directory of the programs that a lane has built, or "".
func builtBeside() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	dir := filepath.Join(filepath.Dir(self), "bin")
	if _, err := os.Stat(filepath.Join(dir, "jailrun-net")); err != nil {
		return ""
	}
	return dir
}

func build(dir string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", dir+"/", "../../cmd/jailrun", "../../cmd/jailrun-net", "../../cmd/jailrun-publish", "./probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	return nil
}

// skipped says why there is no test network; tests are then skipped with it.
var skipped string

// missing says what this host lacks for the tests.
func missing() string {
	for _, program := range []string{"ip", "slirp4netns", "pasta", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed"
		}
	}
	if _, err := exec.LookPath("go"); err != nil && builtBeside() == "" {
		return "go is not installed"
	}
	if a := lane.Has("tun"); !a.Yes && os.Geteuid() != 0 {
		return "/dev/net/tun: " + a.Why
	}
	return ""
}

// require skips the test where there is no test network.
func require(t *testing.T) {
	t.Helper()
	if skipped != "" {
		t.Skip("no test network: " + skipped)
	}
}

// again runs this binary once more.
func again(stage string, attr *syscall.SysProcAttr, env ...string) (int, error) {
	cmd := exec.Command("/proc/self/exe", testArguments()...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = os.Stdin, os.Stdout, os.Stderr, attr
	cmd.Env = append(append(os.Environ(), stageVariable+"="+stage), env...)
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// testArguments leaves out what the go tool wants written below a directory
// that only root may enter.
func testArguments() (args []string) {
	for _, a := range os.Args[1:] {
		if !strings.HasPrefix(a, "-test.testlogfile") && !strings.HasPrefix(a, "-test.gocoverdir") && !strings.HasPrefix(a, "-test.coverprofile") {
			args = append(args, a)
		}
	}
	return args
}

// setUp makes the test network and runs the tests in it, unprivileged.
func setUp() (int, error) {
	root := os.Getenv("JAILRUN_NET_ROOT") == "true"
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 0, os.NewSyscallError("mount", err)
	}
	if root {
		if err := openTun(); err != nil {
			return 0, err
		}
	}
	server := exec.Command("/proc/self/exe")
	server.Env = append(os.Environ(), stageVariable+"=server")
	server.Stderr = os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	in, err := server.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := server.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := server.Start(); err != nil {
		return 0, err
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	if err := ip("link set lo up", "link add v0 type veth peer name v1", fmt.Sprintf("link set v1 netns %d", server.Process.Pid),
		"addr add "+hostIP+"/24 dev v0", "link set v0 up", "route add default via "+routerIP); err != nil {
		return 0, err
	}
	if err := in.Close(); err != nil { // the device is there
		return 0, err
	}
	var ready [1]byte
	if _, err := out.Read(ready[:]); err != nil {
		return 0, fmt.Errorf("the server: %w", err)
	}
	attr := &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	tmp, err := os.MkdirTemp("", "jailrun-net-tmp")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(tmp)
	if root {
		attr.Credential = &syscall.Credential{Uid: rootless.UID, Gid: rootless.UID}
		if err := os.Chown(tmp, rootless.UID, rootless.UID); err != nil {
			return 0, err
		}
	} else {
		attr.Cloneflags = unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 1}}
	}
	return again("tests", attr, "TMPDIR="+tmp, "HOME="+tmp, "XDG_RUNTIME_DIR=")
}

// openTun puts a device node open to all over /dev/net/tun, in this mount
// namespace only.
func openTun() error {
	node := filepath.Join(os.Getenv("JAILRUN_NET_BIN"), "tun") // of root, who built there
	if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200))); err != nil {
		return &os.PathError{Op: "mknod", Path: node, Err: err}
	}
	if err := os.Chmod(node, 0o666); err != nil {
		return err
	}
	return os.NewSyscallError("mount", unix.Mount(node, "/dev/net/tun", "", unix.MS_BIND, ""))
}

func ip(lines ...string) error {
	for _, l := range lines {
		if out, err := exec.Command("ip", strings.Fields(l)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", l, err, out)
		}
	}
	return nil
}

// serve is the machine on the other side: it answers hello, and gives bytes.
func serve() error {
	_, _ = os.Stdin.Read(make([]byte, 1)) // the end says that the device is there
	if err := ip("link set lo up", "addr add "+routerIP+"/24 dev v1", "addr add "+serverIP+"/32 dev lo", "addr add "+privateIP+"/32 dev lo", "link set v1 up"); err != nil {
		return err
	}
	for _, addr := range []string{serverTCP, otherTCP, routerIP + ":8000", privateIP + ":8000"} {
		l, err := net.Listen("tcp4", addr)
		if err != nil {
			return err
		}
		go accept(l)
	}
	u, err := net.ListenPacket("udp4", serverUDP)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	var b [2048]byte
	for {
		n, from, err := u.ReadFrom(b[:])
		if err != nil {
			return err
		}
		_, _ = u.WriteTo(b[:n], from)
	}
}

func accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go answer(c)
	}
}

func answer(c net.Conn) {
	defer c.Close()
	var b [64]byte
	n, err := c.Read(b[:])
	if err != nil {
		return
	}
	var give int
	if _, err := fmt.Sscanf(string(b[:n]), "give %d", &give); err != nil {
		// The client closes first: libslirp keeps what the other side has closed
		// in a TIME_WAIT of its own, in which it loses, once in many thousand
		// connections, one that begins on the same port.
		_, _ = c.Write(b[:n])
		_, _ = io.Copy(io.Discard, c)
		return
	}
	chunk := make([]byte, 64<<10)
	for give > 0 {
		n, err := c.Write(chunk[:min(give, len(chunk))])
		if err != nil {
			return
		}
		give -= n
	}
}
