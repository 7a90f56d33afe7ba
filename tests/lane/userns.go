package lane

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inUserNS runs a shell script as the root of a new user namespace, with more namespaces besides. Scripts exit with
// 32, as mount(8) does, when they were refused something.
func inUserNS(flags uintptr, script string, args ...string) Answer {
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
	one := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | flags, UidMappings: one(os.Getuid()), GidMappings: one(os.Getgid()),
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return verdict(err)
	}
	said := strings.Join(strings.Fields(out.String()), " ")
	if exit.ExitCode() == 32 {
		return no("%s", said)
	}
	return failed(fmt.Errorf("%w: %s", err, said))
}

func probeUserNS() Answer {
	return inUserNS(unix.CLONE_NEWNS, `mount -t tmpfs none /tmp`)
}

func probeProc() Answer {
	return inUserNS(unix.CLONE_NEWNS|unix.CLONE_NEWPID, `mount -t proc proc /proc`)
}

// probeNproc needs no second process of this user: the threads of this one count outside of the namespace.
func probeNproc() Answer {
	if os.Geteuid() == 0 {
		return no("RLIMIT_NPROC does not hold root")
	}
	return inUserNS(0, `prlimit --nproc=3 sh -c '/bin/true; exit $?' || exit 32`)
}

// probeOverlay does what fails on an upper without user xattrs although the mount succeeds: it replaces a directory of
// the lower.
func probeOverlay() Answer {
	dir, err := scratchDir()
	if err != nil {
		return verdict(err)
	}
	defer os.RemoveAll(dir)
	return inUserNS(unix.CLONE_NEWNS, `set -e
		cd "$1"; mkdir -p lower/d upper work merged; echo > lower/d/f
		mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work,userxattr none merged
		rm -r merged/d && mkdir merged/d && [ -z "$(ls merged/d)" ] || exit 32`, dir)
}

func probeTmpfsUpper() Answer {
	return inUserNS(unix.CLONE_NEWNS, `mount -t tmpfs none /tmp || exit 32
		mkdir -p /tmp/l/d /tmp/u /tmp/w /tmp/m
		mount -t overlay -o lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w,userxattr none /tmp/m
		rm -r /tmp/m/d && mkdir /tmp/m/d || exit 32`)
}

// probeSubID maps this user's first subordinate range into a waiting user namespace.
func probeSubID() Answer {
	u, err := user.Current()
	if err != nil {
		return no("this user has no name: %v", err)
	}
	cmd := exec.Command("/bin/cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	in, err := cmd.StdinPipe()
	if err != nil {
		return failed(err)
	}
	if err := cmd.Start(); err != nil {
		return verdict(err)
	}
	defer func() {
		in.Close()
		_ = cmd.Wait()
	}()
	pid := strconv.Itoa(cmd.Process.Pid)
	for _, m := range []struct{ tool, file, own string }{
		{"newuidmap", "/etc/subuid", u.Uid}, {"newgidmap", "/etc/subgid", u.Gid},
	} {
		start, size, err := subRange(m.file, u.Username, u.Uid)
		if err != nil || start == "" {
			return no("%s has no range for %s: %v", m.file, u.Username, err)
		}
		tool, err := exec.LookPath(m.tool)
		if err != nil {
			return no("%v", err)
		}
		if out, err := exec.Command(tool, pid, "0", m.own, "1", "1", start, size).CombinedOutput(); err != nil {
			return no("%s: %v: %s", m.tool, err, bytes.TrimSpace(out))
		}
	}
	return yes()
}

// subRange returns the first line of subuid(5) for a user, by name or number.
func subRange(file, name, uid string) (start, size string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Split(s.Text(), ":")
		if len(fields) == 3 && (fields[0] == name || fields[0] == uid) {
			return fields[1], fields[2], nil
		}
	}
	return "", "", nil
}

// scratchDir makes a directory on a file system that can hold an overlay's upper: one with user xattrs.
func scratchDir() (string, error) {
	home, _ := os.UserHomeDir()
	var last error
	for _, base := range []string{os.TempDir(), home, "/var/tmp"} {
		dir, err := os.MkdirTemp(base, "jailrun-test-")
		if err != nil {
			last = err
			continue
		}
		if err = unix.Setxattr(dir, "user.jailrun", []byte("y"), 0); err == nil {
			return dir, nil
		}
		last = &os.PathError{Op: "setxattr", Path: filepath.Dir(dir), Err: err}
		os.Remove(dir)
	}
	return "", last
}
