package attack

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// fillDisk writes into every writable directory until there is no room, with
// and without holes, and says how much went in.
func fillDisk([]string) error {
	total := 0
	block := bytes.Repeat([]byte{1}, 1<<20)
	last := ""
	for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm", "/home/job", "/"} {
		f, err := os.OpenFile(filepath.Join(dir, "fill"), os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			continue // not the job's
		}
		_ = unix.Fallocate(int(f.Fd()), 0, 0, 1<<40)
		_ = f.Truncate(1 << 62)
		for n := range 4096 {
			w, err := f.WriteAt(block, int64(n)<<20)
			total += w
			if err != nil {
				last = outcome(err)
				break
			}
		}
	}
	return say(total, last)
}

// fillInodes makes empty files until there is no inode.
func fillInodes([]string) error {
	for n := range 1 << 20 {
		if err := os.WriteFile("/tmp/"+strconv.Itoa(n), nil, 0o600); err != nil {
			return say(n, outcome(err))
		}
	}
	return say("no end")
}

// deepTree makes directories within each other, the last without rights.
func deepTree(args []string) error {
	if err := os.Chdir("/tmp"); err != nil { //nolint:forbidigo // this program is alone
		return err
	}
	name := strings.Repeat("d", 200)
	n := 0
	for ; n < number(args); n++ {
		if unix.Mkdir(name, 0o700) != nil || unix.Chdir(name) != nil {
			break
		}
	}
	_ = os.WriteFile("file", nil, 0o600)
	return errors.Join(unix.Chmod(".", 0), say(n > 0))
}

// writeAll writes to the files named, and says what came of it.
func writeAll(paths []string) error {
	for _, path := range paths {
		err := os.MkdirAll(filepath.Dir(path), 0o755) //nolint:gosec // in a sandbox
		if err == nil {
			err = os.WriteFile(path, []byte("#!/bin/sh\necho planted\n"), 0o755) //nolint:gosec // to be run
		}
		if err := say(path, outcome(err)); err != nil {
			return err
		}
	}
	return nil
}

// writeExe holds the programs of others open by /proc and tries to write them.
func writeExe(args []string) error {
	for range 2000 {
		for pid := 1; pid < 16; pid++ {
			path := "/proc/" + strconv.Itoa(pid) + "/exe"
			if to, _ := os.Readlink(path); !strings.Contains(to, "jailrun") || strings.Contains(to, "/attack") {
				continue
			}
			fmt.Println("seen")
			for _, flags := range []int{unix.O_WRONLY, unix.O_RDWR, unix.O_WRONLY | unix.O_TRUNC} {
				if fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0); err == nil {
					_, _ = unix.Write(fd, []byte("overwritten"))
					return say("opened")
				}
			}
		}
		runtime.Gosched()
	}
	return say("not opened")
}

// overlayAttrs sets the marks by which an overlay finds its layers.
func overlayAttrs([]string) error {
	_ = os.Mkdir("planted", 0o755)
	for _, name := range []string{"user.overlay.redirect", "user.overlay.opaque", "user.overlay.metacopy", "user.overlay.origin", "trusted.overlay.redirect"} {
		for _, value := range []string{"/etc", "y", "../../../etc"} {
			_ = unix.Setxattr("planted", name, []byte(value), 0)
		}
	}
	_ = unix.Link("file", "hard")
	_ = os.Remove("file")
	_ = os.RemoveAll("dir")
	_ = os.Mkdir("dir", 0o755)
	_ = unix.Mknod("whiteout", unix.S_IFCHR, 0)
	_, passwd := os.Stat("planted/passwd")
	_, moved := os.Stat("dir/old")
	return say("passwd", outcome(passwd), "old", outcome(moved))
}

// overStdin tries to write to the file behind its standard input.
func overStdin([]string) error {
	for _, flags := range []int{unix.O_WRONLY, unix.O_RDWR, unix.O_RDWR | unix.O_TRUNC} {
		if fd, err := unix.Open("/proc/self/fd/0", flags|unix.O_NONBLOCK, 0); err == nil {
			_, _ = unix.Write(fd, []byte("overwritten"))
			_ = unix.Close(fd)
		}
	}
	_ = unix.Fchmod(0, 0o777)
	_ = unix.Ftruncate(0, 0)
	return say("tried")
}
