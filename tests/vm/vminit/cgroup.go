package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

const cgroupRoot = "/sys/fs/cgroup"

// delegation is the chain of groups from the root to the one the job starts in. The names are systemd's.
type delegation struct {
	user  wire.User
	shape string
	slice string // user-UID.slice: root's
	top   string // user@UID.service: what is delegated
	app   string // app.slice
	scope string // job.scope: where a job starts
}

// delegate makes the groups as systemd does for an ordinary user. The first process moves out of the root, which must
// have no processes of ours when its controllers are handed down to a service manager's tree.
func delegate(u wire.User, shape string) (*delegation, error) {
	id := strconv.Itoa(u.UID)
	d := &delegation{user: u, shape: shape}
	d.slice = filepath.Join(cgroupRoot, "user.slice", "user-"+id+".slice")
	d.top = filepath.Join(d.slice, "user@"+id+".service")
	d.app = filepath.Join(d.top, "app.slice")
	d.scope = filepath.Join(d.app, "job.scope")
	if err := os.Mkdir(cgroupRoot+"/init.scope", 0o755); err != nil {
		return nil, err
	}
	if err := writeFile(cgroupRoot+"/init.scope/cgroup.procs", "0"); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.slice, 0o755); err != nil {
		return nil, err
	}
	handed := func(all []string) []string { return all }
	if shape == wire.ShapeMemoryPids {
		handed = func(all []string) []string {
			return slices.DeleteFunc(all, func(c string) bool { return c != "memory" && c != "pids" })
		}
	}
	for _, step := range []struct {
		dir  string
		pick func([]string) []string
	}{
		{cgroupRoot, nil}, {cgroupRoot + "/user.slice", nil}, {d.slice, handed},
	} {
		if err := enable(step.dir, step.pick); err != nil {
			return nil, err
		}
	}
	return d, d.fresh()
}

// enable hands the controllers of dir down to its children; pick chooses some of them.
func enable(dir string, pick func([]string) []string) error {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	all := strings.Fields(string(b))
	if pick != nil {
		all = pick(all)
	}
	file := filepath.Join(dir, "cgroup.subtree_control")
	for _, c := range all {
		if err := writeFile(file, "+"+c); err != nil {
			return fmt.Errorf("enable %s: %w", c, err)
		}
	}
	return nil
}

// writeFile writes to a file of the kernel; unlike os.WriteFile it never asks to create one, which kernfs answers with
// EPERM where ENOENT is meant.
func writeFile(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// fresh makes user@UID.service and what is below anew, so that no job meets groups, processes or counters of the one
// before.
func (d *delegation) fresh() error {
	if err := d.remove(); err != nil {
		return err
	}
	for _, dir := range []string{d.top, d.app, d.scope} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	for _, dir := range []string{d.top, d.app} {
		if err := enable(dir, nil); err != nil {
			return err
		}
	}
	switch d.shape {
	case wire.ShapeUndelegated:
		return nil
	case wire.ShapeSubtreeRoot:
		return d.give(d.scope, false)
	}
	return errors.Join(d.give(d.top, false), d.give(d.app, true), d.give(d.scope, true))
}

// give hands a group to the user: the files of cgroups(7) "Delegation", or with all every file, which is what a group
// looks like that the user's own manager made.
func (d *delegation) give(dir string, all bool) error {
	names := []string{"", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "memory.oom.group"}
	if all {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !e.IsDir() {
				names = append(names, e.Name())
			}
		}
	}
	for _, n := range names {
		err := os.Chown(filepath.Join(dir, n), d.user.UID, d.user.GID)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// kill ends every process below user@UID.service.
func (d *delegation) kill() error {
	err := writeFile(filepath.Join(d.top, "cgroup.kill"), "1")
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(d.top); err != nil {
		return nil
	}
	return d.killEach() // before Linux 5.14
}

// killEach kills until no process is left; a fork between reading and killing is met in the next round.
func (d *delegation) killEach() error {
	for {
		var pids []string
		err := filepath.WalkDir(d.top, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.Name() != "cgroup.procs" {
				return err
			}
			b, err := os.ReadFile(path)
			pids = append(pids, strings.Fields(string(b))...)
			return err
		})
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, p := range pids {
			pid, err := strconv.Atoi(p)
			if err != nil {
				return err
			}
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// remove removes user@UID.service with all below, waiting for the processes that kill has ended.
func (d *delegation) remove() error {
	if err := d.kill(); err != nil {
		return err
	}
	var dirs []string
	err := filepath.WalkDir(d.top, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	slices.Reverse(dirs)
	for _, dir := range dirs {
		if err := rmdirGroup(dir); err != nil {
			return err
		}
	}
	return nil
}

// rmdirGroup removes a group. A killed process counts until it has left, so EBUSY means: wait for the "populated" of
// cgroup.events to change, which the kernel announces as POLLPRI.
func rmdirGroup(dir string) error {
	const rounds, wait = 50, 100 // milliseconds each
	events, err := os.Open(filepath.Join(dir, "cgroup.events"))
	if err != nil {
		return err
	}
	defer events.Close()
	for range rounds {
		err = unix.Rmdir(dir)
		if !errors.Is(err, unix.EBUSY) {
			break
		}
		_, _ = events.ReadAt(make([]byte, 64), 0)
		if err := unix.Rmdir(dir); err == nil {
			return nil
		}
		fds := []unix.PollFd{{Fd: int32(events.Fd()), Events: unix.POLLPRI}}
		_, _ = unix.Poll(fds, wait)
	}
	if err != nil {
		return &os.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}
