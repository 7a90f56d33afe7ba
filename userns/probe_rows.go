package userns

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
)

func yes(name, detail string) Probe { return Probe{Name: name, Answer: Yes, Detail: detail} }

// from makes a row of an error: No if it is one of the sentinels that the probe
// is about, with the fix that the error knows or else fix.
func from(name string, err error, fix string, no ...error) Probe {
	p := Probe{Name: name, Answer: Failed, Detail: err.Error(), Err: err}
	for _, e := range no {
		if errors.Is(err, e) {
			p.Answer, p.Fix = No, fix
		}
	}
	if d, ok := errors.AsType[*DisabledError](err); ok {
		p.Answer, p.Detail, p.Fix = No, d.Why, d.Fix
	}
	return p
}

// try starts a stopped process with attr, runs f on it and ends it.
func try(h host, attr *syscall.SysProcAttr, f func(*stopped) error) error {
	runtime.LockOSThread() // see NewNamespace
	defer runtime.UnlockOSThread()
	p, err := startStopped(attr)
	if err != nil {
		return explainStart(h, err)
	}
	defer p.end()
	return f(p)
}

func exists(*stopped) error { return nil }

func probeNamespaces(h host) Probe {
	err := try(h, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}, exists)
	if err != nil {
		return from(ProbeNamespaces, err, "")
	}
	return yes(ProbeNamespaces, "one was made")
}

func probeOwnMap(ctx context.Context, h host) Probe {
	euid, egid := uint32(unix.Geteuid()), uint32(unix.Getegid())
	m, err := Prepare(idmap.Self(0, euid), idmap.Self(0, egid))
	if err != nil {
		return from(ProbeOwnMap, err, "")
	}
	err = try(h, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}, func(p *stopped) error {
		return refused(h, m.Write(ctx, p.proc.Pid, p.pidfd))
	})
	if err != nil {
		return from(ProbeOwnMap, err, "")
	}
	return yes(ProbeOwnMap, fmt.Sprintf("uid %d and gid %d were mapped", euid, egid))
}

// probeRights looks for a namespace that was made but whose root may do nothing, as
// AppArmor leaves it on Ubuntu since 23.10: the child takes a mount namespace of
// its own and changes its propagation, both of which need CAP_SYS_ADMIN inside. A
// new namespace has it before it has a map. (No UidMappings here: package syscall
// leaks the pipe it writes them by when the clone fails.)
func probeRights(h host) Probe {
	err := try(h, &syscall.SysProcAttr{
		Cloneflags:   unix.CLONE_NEWUSER,
		Unshareflags: unix.CLONE_NEWNS,
	}, exists)
	if err != nil {
		return from(ProbeRights, err, "")
	}
	return yes(ProbeRights, "a mount namespace was made inside")
}

func probeMax(h host) Probe {
	n, ok := h.sysctl("user/max_user_namespaces")
	switch {
	case !ok:
		return Probe{Name: ProbeMax, Detail: "no such setting"}
	case n == 0:
		why, fix := usedUp(h)
		return Probe{Name: ProbeMax, Answer: No, Detail: why, Fix: fix}
	default:
		return yes(ProbeMax, fmt.Sprint(n))
	}
}

func probeClone(h host) Probe {
	n, ok := h.sysctl("kernel/unprivileged_userns_clone")
	if ok && n == 0 {
		why, fix := forbidden(h)
		return Probe{Name: ProbeClone, Answer: No, Detail: why, Fix: fix}
	}
	if !ok {
		return yes(ProbeClone, "no such setting: not restricted")
	}
	return yes(ProbeClone, fmt.Sprint(n))
}

// probeAppArmor names the restriction; whether a profile lifts it for this program
// is known from the answer of probeRights only.
func probeAppArmor(h host, rights Answer) Probe {
	n, ok := h.sysctl("kernel/apparmor_restrict_unprivileged_userns")
	if !ok || n == 0 {
		return yes(ProbeAppArmor, "not restricted")
	}
	if rights == Yes {
		return yes(ProbeAppArmor, "restricted, but not for this program")
	}
	return Probe{
		Name: ProbeAppArmor, Answer: No, Fix: apparmorFix,
		Detail: "kernel.apparmor_restrict_unprivileged_userns is " + fmt.Sprint(n),
	}
}

func probeNewPrivs() Probe {
	set, err := noNewPrivs()
	switch {
	case err != nil:
		return from(ProbeNewPrivs, err, "")
	case set:
		return Probe{Name: ProbeNewPrivs, Answer: No, Detail: "no_new_privs is set, newuidmap cannot work", Fix: newPrivsFix}
	default:
		return yes(ProbeNewPrivs, "no_new_privs is not set")
	}
}

const newPrivsFix = "start it without no_new_privs: in a systemd unit NoNewPrivileges=no, in docker no --security-opt no-new-privileges; or use --map self"

func probeSetgroups(h host) Probe {
	s, err := h.read("self/setgroups")
	switch {
	case err != nil:
		return from(ProbeSetgroups, err, "")
	case s == "deny":
		return Probe{
			Name: ProbeSetgroups, Answer: No, Detail: "this user namespace denies it, so every namespace below does",
			Fix: "start it outside of this user namespace",
		}
	default:
		return yes(ProbeSetgroups, s)
	}
}

func probeHelper(name string, dirs []string) Probe {
	path, err := findHelper(name, dirs)
	if err == nil {
		return yes(name, path)
	}
	fix := "sudo apt-get install uidmap (Fedora: shadow-utils)"
	if errors.Is(err, ErrNoNewPrivs) {
		fix = newPrivsFix
	}
	return from(name, err, fix, ErrNoHelper)
}

func probeSubIDs(f Files) (Sub, Probe) {
	s, err := f.Lookup(uint32(unix.Getuid()), "")
	if err != nil {
		return s, from(ProbeSubIDs, err, s.Fix(), idmap.ErrNoSubIDs)
	}
	p := yes(ProbeSubIDs, fmt.Sprintf("uids %v, gids %v", s.UID.Ranges, s.GID.Ranges))
	if bad := append(s.UID.Malformed, s.GID.Malformed...); len(bad) > 0 {
		p.Detail += fmt.Sprintf("; ignored: %v", bad[0])
	}
	return s, p
}

func probeAutoMap(ctx context.Context, h host, s Sub, dirs []string) Probe {
	const fix = "mend the rows above"
	uid, err := idmap.Auto(uint32(unix.Geteuid()), s.UID.Ranges)
	if err != nil {
		return from(ProbeAutoMap, err, fix, idmap.ErrNoSubIDs)
	}
	gid, err := idmap.Auto(uint32(unix.Getegid()), s.GID.Ranges)
	if err != nil {
		return from(ProbeAutoMap, err, fix, idmap.ErrNoSubIDs)
	}
	m, err := prepare(uid, gid, dirs)
	if err != nil {
		return from(ProbeAutoMap, err, fix, ErrNoHelper)
	}
	err = try(h, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}, func(p *stopped) error {
		return m.Write(ctx, p.proc.Pid, p.pidfd)
	})
	if he, ok := errors.AsType[*HelperError](err); ok && he.Err == nil {
		return Probe{Name: ProbeAutoMap, Answer: No, Detail: he.Error(), Fix: s.Fix(), Err: err}
	}
	if err != nil {
		return from(ProbeAutoMap, err, fix, unix.EPERM)
	}
	return yes(ProbeAutoMap, uid.String())
}

func probeBlock() Probe {
	base, lock, err := LockBlock()
	if err != nil {
		return from(ProbeBlock, err, "give the container more ids, or start it as an ordinary user", ErrNoBlock)
	}
	lock.Close()
	return yes(ProbeBlock, fmt.Sprintf("%d to %d could be locked", base, base+idmap.BlockSize-1))
}

func probeIDMap(ctx context.Context) Probe {
	ns, err := NewNamespace(ctx, idmap.Self(0, 1), idmap.Self(0, 1))
	if err != nil {
		return from(ProbeIDMap, err, "")
	}
	defer ns.Close()
	tree, err := MappedTree(unix.AT_FDCWD, ".", ns)
	if err != nil {
		return from(ProbeIDMap, err, "keep the directories that jobs get on ext4, xfs or btrfs, and run Linux 5.12 or later", ErrNoIDMap)
	}
	tree.Close()
	return yes(ProbeIDMap, "of the current directory")
}
