package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// Files of lane systemd. /run is mounted before systemd starts, as an initrd may do, so that what is put there needs
// no place in the image.
const (
	agentPath = "/run/vm/vminit"
	setupPath = "/run/vm/setup.json"
	units     = "/run/systemd/system"
)

// bootSystem prepares a system of its own and becomes its systemd, which starts the agent.
func bootSystem(s wire.Setup) error {
	for _, m := range []mount{
		{s.System.Source, newRoot, s.System.Type, 0, s.System.Options},
		{"tmpfs", newRoot + "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{s.Scratch, newRoot + "/home", "ext4", unix.MS_NOSUID | unix.MS_NODEV, ""},
	} {
		if err := m.do(); err != nil {
			return err
		}
	}
	if err := showReadOnly(s.ReadOnly, newRoot); err != nil {
		return err
	}
	if err := systemFiles(s, newRoot); err != nil {
		return err
	}
	if err := identity(s.User, newRoot); err != nil {
		return err
	}
	if err := switchRoot(newRoot); err != nil {
		return err
	}
	return &os.PathError{Op: "exec", Path: "/sbin/init", Err: unix.Exec("/sbin/init", []string{"/sbin/init"}, []string{"PATH=" + wire.Path})}
}

// systemFiles writes what makes the image's system the one of this run.
func systemFiles(s wire.Setup, root string) error {
	self, err := os.ReadFile("/vminit")
	if err != nil {
		return err
	}
	setup, err := json.Marshal(s)
	if err != nil {
		return err
	}
	user := "user@" + strconv.Itoa(s.User.UID) + ".service"
	files := map[string]string{
		agentPath: string(self),
		setupPath: string(setup),
		// A known id: an empty one would make this the first boot, with presets for every unit.
		"/etc/machine-id": "4a61696c72756e54657374564d303030\n",
		"/etc/hostname":   "testvm\n",
		"/etc/subuid":     "", // covered by identity, which needs a file to cover
		"/etc/subgid":     "",
		// What a login by ssh has of the common stacks: a session of logind, with its scope and XDG_RUNTIME_DIR.
		"/etc/pam.d/vm-session": "account required pam_permit.so\nsession required pam_systemd.so\n",
		units + "/vm-agent.service": "[Unit]\nAfter=systemd-logind.service systemd-user-sessions.service dbus.socket " + user +
			"\n[Service]\nExecStart=" + agentPath + " agent\nStandardOutput=journal+console\nStandardError=journal+console\n",
	}
	if s.Shape == wire.ShapeMemoryPids {
		files[units+"/user@.service.d/shape.conf"] = "[Service]\nDelegate=\nDelegate=memory pids\n"
	}
	if s.Shape != wire.ShapeNoBus {
		files["/var/lib/systemd/linger/"+s.User.Name] = ""
	}
	for path, content := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		switch {
		case strings.HasSuffix(path, agentPath):
			mode = 0o755
		case strings.HasSuffix(path, setupPath):
			mode = 0o600
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			return err
		}
	}
	return links(root)
}

// links starts the agent with the system and keeps out what a test machine does not need or what would hide things:
// a tmpfs on /tmp would cover the host's directories shown there.
func links(root string) error {
	targets := map[string]string{
		"multi-user.target.wants/vm-agent.service": "../vm-agent.service",
		"default.target": "/lib/systemd/system/multi-user.target",
	}
	for _, unit := range []string{
		"tmp.mount", "getty@tty1.service", "console-getty.service", "getty-static.service", "systemd-journal-flush.service",
		"systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-timesyncd.service",
		"systemd-random-seed.service", "systemd-pcrphase.service", "systemd-binfmt.service", "systemd-udevd.service",
		"systemd-udev-trigger.service", "systemd-modules-load.service", "systemd-sysusers.service",
		"systemd-remount-fs.service", "systemd-initctl.socket", "systemd-ask-password-console.path",
		"systemd-ask-password-wall.path", "systemd-tmpfiles-clean.timer", "modprobe@.service", "kmod-static-nodes.service",
		"fstrim.timer", "e2scrub_reap.service", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
		"dev-hugepages.mount", "proc-sys-fs-binfmt_misc.automount",
	} {
		targets[unit] = "/dev/null"
	}
	for name, target := range targets {
		path := filepath.Join(root, units, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(target, path); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// agent is a service of the guest's systemd; it serves jobs.
func agent() error {
	b, err := os.ReadFile(setupPath)
	if err != nil {
		return err
	}
	var s wire.Setup
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%s: %w", setupPath, err)
	}
	if err := openDevices("/"); err != nil {
		return err
	}
	if err := applyShape(s); err != nil {
		return fmt.Errorf("shape %q: %w", s.Shape, err)
	}
	// The end of booting: a job should find a system that is "running", not "starting". The exit status only tells that
	// from "degraded".
	_ = exec.Command("systemctl", "is-system-running", "--wait").Run()
	return serve(s, &sessionRunner{user: s.User, shape: s.Shape})
}
