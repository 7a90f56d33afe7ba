package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// mount is one call of mount(2).
type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

func (m mount) do() error {
	if err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
		return fmt.Errorf("mount %s %s on %s, data %q: %w", m.fstype, m.source, m.target, m.data, err)
	}
	return nil
}

// guestMounts are the mounts over the host's root, in order. /home is the scratch disk: overlay uppers need a file
// system with user xattrs, which the tmpfs of kernels before 6.6 has not.
func guestMounts(s wire.Setup) []mount {
	cgroupOptions := "nsdelegate"
	if s.Shape == wire.ShapeNoNSDelegate {
		cgroupOptions = ""
	}
	const nosuid, nodev, noexec = unix.MS_NOSUID, unix.MS_NODEV, unix.MS_NOEXEC
	return []mount{
		{"proc", "/proc", "proc", nosuid | nodev | noexec, ""},
		{"sysfs", "/sys", "sysfs", nosuid | nodev | noexec, ""},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", nosuid | nodev | noexec, cgroupOptions},
		{"devtmpfs", "/dev", "devtmpfs", nosuid, "mode=755"},
		{"tmpfs", "/run", "tmpfs", nosuid | nodev, "mode=755"},
		{"tmpfs", "/tmp", "tmpfs", nosuid | nodev, "mode=1777"},
		{"tmpfs", "/var/tmp", "tmpfs", nosuid | nodev, "mode=1777"},
		{s.Scratch, "/home", "ext4", nosuid | nodev, ""},
	}
}

// devices completes what devtmpfs makes, as udev would.
func devices(root string) error {
	dev := filepath.Join(root, "dev")
	for _, m := range []mount{
		{"devpts", dev + "/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
		{"tmpfs", dev + "/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := m.do(); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return openDevices(root)
}

// openDevices gives devices the modes that udev would.
func openDevices(root string) error {
	// Rules of udev (50-udev-default): everybody may open these; the kernel makes them 0600. A kernel without the
	// driver has no such file, which is for the tests' probes to find.
	for _, name := range []string{"net/tun", "fuse", "ptmx"} {
		if err := os.Chmod(filepath.Join(root, "dev", name), 0o666); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// showReadOnly binds directories of the host under their own path, where a mount of the guest would hide them. The
// binds inherit read-only from the mount of the host's root.
func showReadOnly(dirs []string, root string) error {
	for _, dir := range dirs {
		target := filepath.Join(root, dir)
		if err := os.MkdirAll(target, 0o755); err != nil && !errors.Is(err, unix.EROFS) {
			return err
		}
		if err := (mount{filepath.Join(hostRoot, dir), target, "", unix.MS_BIND, ""}).do(); err != nil {
			return err
		}
	}
	return nil
}

// identity makes the user known (a name, a group, subordinate ids) and gives him a home. Files of /etc are covered, not
// changed.
func identity(u wire.User, root string) error {
	id, gid := strconv.Itoa(u.UID), strconv.Itoa(u.GID)
	sub := u.Name + ":100000:65536\n"
	for _, f := range []struct {
		path, line string
		keep       bool // the host's other entries
	}{
		{"/etc/passwd", u.Name + ":*:" + id + ":" + gid + "::" + u.Home() + ":/bin/sh\n", true},
		{"/etc/group", u.Name + ":x:" + gid + ":\n", true},
		{"/etc/subuid", sub, false},
		{"/etc/subgid", sub, false},
	} {
		if err := coverFile(root, f.path, f.line, f.keep); err != nil {
			return err
		}
	}
	return ownDir(filepath.Join(root, u.Home()), u)
}

// ownDir makes a private directory of the user.
func ownDir(path string, u wire.User) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Chown(path, u.UID, u.GID)
}

// coverFile binds a file of line, and with keep the entries of the covered file with other names and ids, over path.
// A path that the host does not have is left out: there is nothing to bind on in a read-only root.
func coverFile(root, path, line string, keep bool) error {
	target := filepath.Join(root, path)
	old, err := os.ReadFile(target)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	content := []byte(line)
	mine := strings.Split(line, ":")
	for entry := range bytes.Lines(old) {
		f := strings.Split(string(entry), ":")
		if keep && len(f) > 2 && f[0] != mine[0] && f[2] != mine[2] {
			content = append(content, entry...)
		}
	}
	dir := filepath.Join(root, "/run/vm")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cover := filepath.Join(dir, filepath.Base(path))
	if err := os.WriteFile(cover, content, 0o644); err != nil {
		return err
	}
	return (mount{cover, target, "", unix.MS_BIND, ""}).do()
}

// loopbackUp brings up lo; nothing else is in the guest's network.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return os.NewSyscallError("ioctl SIOCSIFFLAGS lo", unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr))
}
