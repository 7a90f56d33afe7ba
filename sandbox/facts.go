package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/limits"
)

// facts is what a plan needs to know of the caller and the host. It is read
// once per launch and is plain data: a plan is a pure function of a Spec and
// of facts.
type facts struct {
	uid, gid int
	groups   []int
	dir      string // Spec.Dir, absolute and free of symbolic links; "" if it cannot be seen
	dirErr   error
	home     string   // the caller's; "" if it has none
	exe      string   // our own program
	own      []string // what of ours a job must not change, only where a directory is writable
	host     fs.Host
	image    *imageUse   // that the root is made of; nil for none
	layers   []*imageUse // those of Spec.Layers that are tars; nil for a directory
	hard     [limits.Resources]unix.Rlimit
	ram      limits.Size // of the machine; 0 if not known

	userXattr bool // tmpfs has user.* attributes, so an overlay on it works (Linux 6.6)
	timeNS    bool // the kernel has time namespaces

	fuse    *fuseProgram // see fuseOverlay
	fuseErr error

	keys        bool // the kernel has keyrings
	autogroup   bool // the kernel schedules each session as one task (sched(7))
	keysErr     error
	landlock    int // its ABI, 0 for none
	landlockErr error

	netFiles netFiles // of the host, for a job that shares its network
}

func survey(s *Spec) (*facts, error) {
	f := &facts{uid: os.Geteuid(), gid: os.Getegid()}
	var err error
	if f.groups, err = os.Getgroups(); err != nil {
		return nil, os.NewSyscallError("getgroups", err)
	}
	if f.dir, f.dirErr = currentDir(s.Dir); f.dirErr != nil && s.Dir != "" {
		return nil, f.dirErr
	}
	f.home = homeOf(f.uid)
	f.exe, _ = os.Readlink("/proc/self/exe") // only to keep it out of what is shown
	if s.writesToHost() {
		f.own = ownPlaces(f.exe, f.home, f.uid)
	}
	if f.host, err = fs.Survey(s.composed()); err != nil {
		return nil, err
	}
	if f.hard, err = limits.HardLimits(); err != nil {
		return nil, err
	}
	f.userXattr = userXattr()
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		f.ram = limits.Size(info.Totalram) * limits.Size(info.Unit)
	}
	if f.timeNS, err = kernelHas("/proc/self/ns/time"); err != nil {
		return nil, err
	}
	f.keys, f.keysErr = keyrings()
	if f.autogroup, err = kernelHas("/proc/self/autogroup"); err != nil {
		return nil, err
	}
	f.landlock, f.landlockErr = landlockABI()
	if s.Net == NetHost {
		f.netFiles, err = hostNetFiles()
	}
	return f, err
}

// kernelHas reports whether a file of /proc exists. A wall hangs on it: what
// cannot be told is an error.
func kernelHas(path string) (bool, error) {
	err := unix.Faccessat(unix.AT_FDCWD, path, unix.F_OK, 0)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return false, &os.PathError{Op: "access", Path: path, Err: err}
	}
	return err == nil, nil
}

// hostNetFiles reads what the host's /etc says of its network. Neither file has
// to be there.
func hostNetFiles() (n netFiles, err error) {
	for _, x := range [2]struct {
		path string
		text *string
	}{{"/etc/hosts", &n.hosts}, {"/etc/resolv.conf", &n.resolv}} {
		b, err := os.ReadFile(x.path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return n, err
		}
		*x.text = string(b)
	}
	return n, nil
}

// homeOf finds the caller's home, free of symbolic links as the kernel names
// directories: by HOME, which root does not trust, or else by /etc/passwd.
func homeOf(uid int) string {
	home := ""
	if uid != 0 {
		home = os.Getenv("HOME")
	}
	if home == "" || home[0] != '/' {
		home = passwdHome(uid)
	}
	if real, err := filepath.EvalSymlinks(home); err == nil {
		return real
	}
	return filepath.Clean(home)
}

func passwdHome(uid int) string {
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return ""
	}
	want := strconv.Itoa(uid)
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(line, ":"); len(f) >= 6 && f[2] == want {
			return f[5]
		}
	}
	return ""
}

// writesToHost reports whether the job may write to a directory of the host's.
func (s *Spec) writesToHost() bool {
	return s.CWD == CWDWritable || slices.ContainsFunc(s.Binds, func(b Bind) bool { return b.Writable })
}

func (s *Spec) composed() bool { return s.Rootfs == "" || s.Rootfs == "host" }

// currentDir resolves the directory that is taken as current. The kernel's own
// answer has no symbolic links in it.
func currentDir(dir string) (string, error) {
	if dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		if abs, err = filepath.EvalSymlinks(abs); err != nil {
			return "", err
		}
		st, err := os.Stat(abs)
		if err == nil && !st.IsDir() {
			err = &os.PathError{Op: "open", Path: dir, Err: unix.ENOTDIR}
		}
		return abs, err
	}
	wd, err := unix.Getwd()
	if err != nil {
		return "", os.NewSyscallError("getcwd", err)
	}
	if wd == "" || wd[0] != '/' { // "(unreachable)…"
		return "", &os.PathError{Op: "getcwd", Path: wd, Err: unix.ENOENT}
	}
	return wd, nil
}

// userXattr is another one in tests.
var userXattr = tmpfsHasUserXattr

// tmpfsHasUserXattr tries it on a memfd, which is a file of the kernel's own
// tmpfs. Without user attributes an overlay on a tmpfs mounts and then fails:
// rm -rf gives EIO, mkdir in its place EEXIST.
func tmpfsHasUserXattr() bool {
	fd, err := unix.MemfdCreate("jailrun-probe", unix.MFD_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Fsetxattr(fd, "user.overlay.probe", []byte("y"), 0) == nil
}
