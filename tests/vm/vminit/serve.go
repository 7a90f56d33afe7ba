package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// runner runs one job at a time as the ordinary user.
type runner interface {
	// run runs the job with files as its first three descriptors and waits for its first process. A job that cannot be
	// started is no error of the runner.
	run(req wire.RunRequest, files [3]*os.File) (wire.ExitInfo, error)
	// finish ends whatever the job left behind.
	finish() error
}

// serve answers requests on the channel until the host hangs up.
func serve(s wire.Setup, jobs runner) error {
	ch, err := openChannel(s.Channel)
	if err != nil {
		return err
	}
	defer ch.Close()
	w, r := wire.NewWriter(ch), bufio.NewReader(ch)
	if err := w.SendValue(wire.Ready, readyInfo()); err != nil {
		return err
	}
	for {
		t, payload, err := wire.Read(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var req wire.RunRequest
		if t != wire.Run || wire.Decode(payload, &req) != nil || len(req.Argv) == 0 {
			return fmt.Errorf("request of type %q is none", t)
		}
		info, err := runJob(req, jobs, w)
		if err != nil {
			_ = w.Send(wire.Fatal, []byte(err.Error()))
			return err
		}
		if err := w.SendValue(wire.Exit, info); err != nil {
			return err
		}
	}
}

// openChannel opens the device; a terminal line is made transparent for all bytes.
func openChannel(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	tio, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return f, nil // no terminal: a virtio port
	}
	tio.Iflag, tio.Oflag, tio.Lflag = 0, 0, 0
	tio.Cflag = tio.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CREAD | unix.CLOCAL
	tio.Cc[unix.VMIN], tio.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, tio); err != nil {
		f.Close()
		return nil, os.NewSyscallError("ioctl TCSETS", err)
	}
	return f, nil
}

func readyInfo() wire.ReadyInfo {
	var info wire.ReadyInfo
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		info.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if b, err := os.ReadFile("/proc/uptime"); err == nil {
		first, _, _ := strings.Cut(string(b), " ")
		info.Uptime, _ = strconv.ParseFloat(first, 64)
	}
	return info
}

// runJob runs one job and forwards what it prints. The error is one of the machine, not of the job.
func runJob(req wire.RunRequest, jobs runner, w *wire.Writer) (wire.ExitInfo, error) {
	null, err := os.Open("/dev/null")
	if err != nil {
		return wire.ExitInfo{}, err
	}
	defer null.Close()
	files := [3]*os.File{null}
	var copies sync.WaitGroup
	for i, t := range []wire.Type{wire.Stdout, wire.Stderr} {
		r, pw, err := os.Pipe()
		if err != nil {
			return wire.ExitInfo{}, err
		}
		files[i+1] = pw
		copies.Go(func() { forward(r, t, w) })
	}
	info, err := jobs.run(req, files)
	files[1].Close()
	files[2].Close()
	if err != nil {
		return info, err
	}
	// What the job left running holds the pipes; it is ended before their end is awaited.
	if err := jobs.finish(); err != nil {
		return info, fmt.Errorf("what the job left behind: %w", err)
	}
	copies.Wait()
	return info, nil
}

func forward(r *os.File, t wire.Type, w *wire.Writer) {
	defer r.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 && w.Send(t, buf[:n]) != nil {
			return
		}
		if err != nil {
			return
		}
	}
}
