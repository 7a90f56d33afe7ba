package sandbox

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/fs/transfer"
	"github.com/jailrun/jailrun/idmap"
	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/userns"
)

// host is where the cause of a failure shows. Tests show another one.
type host struct {
	read func(path string) (text string, ok bool) // a small file of the kernel's
	look func(root, name string) executable       // a file below root, which its links do not leave
	path func() string                            // PATH of the caller
}

var thisHost = host{read: readText, look: lookAt, path: callerPath}

func callerPath() string { return os.Getenv("PATH") }

func readText(path string) (string, bool) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err == nil
}

// is reports whether a sysctl has the value.
func (h host) is(sysctl, value string) bool {
	text, ok := h.read("/proc/sys/" + sysctl)
	return ok && text == value
}

func noUsernsClone(h host) bool { return h.is("kernel/unprivileged_userns_clone", "0") }
func noUsernsLeft(h host) bool  { return h.is("user/max_user_namespaces", "0") }

func apparmorRestricts(h host) bool {
	text, ok := h.read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
	return ok && text != "0"
}

// filtered: somebody put us under a seccomp filter, as container engines do.
func filtered(h host) bool {
	text, _ := h.read("/proc/self/status")
	return strings.Contains(text, "\nSeccomp:\t2\n")
}

func cgroupV1(h host) bool {
	_, ok := h.read("/sys/fs/cgroup/cgroup.controllers")
	return !ok
}

// noLogin: we are in no slice of a user, so in no session of systemd's.
func noLogin(h host) bool {
	text, ok := h.read("/proc/self/cgroup")
	return ok && !strings.Contains(text, "::/user.slice/user-")
}

// A hintRow says what to do about one kind of failure. Empty fields match all.
type hintRow struct {
	is    error        // is in the chain
	also  error        // is in the chain too
	stage string       // one of these, separated by blanks
	op    string       // begins Op, as whole words
	path  string       // Path
	errno []unix.Errno // one of these
	when  func(host) bool
	text  string              // one sentence: a file, sysctl, package or flag
	fix   func(*Error) string // instead of text; "" if it knows none
}

// Hints that more than one row gives.
const (
	hintAppArmor  = "AppArmor lets namespaces be made but gives them no rights: give this program a profile that allows userns, or set the sysctl kernel.apparmor_restrict_unprivileged_userns to 0"
	hintContainer = "a container engine's seccomp filter refuses it: start the container with --security-opt seccomp=unconfined --security-opt systempaths=unconfined (Kubernetes: hostUsers: false, procMount: Unmasked; a systemd unit: RestrictNamespaces=no)"

	hintScope       = "start it in a delegated group: systemd-run --user --scope -p Delegate=yes jailrun …" + orWithout
	hintV1          = "this host has its controllers on cgroup v1: boot with systemd.unified_cgroup_hierarchy=1" + orWithout
	hintControllers = "let systemd hand the controllers down: sudo systemctl edit user@.service, with the lines [Service] and Delegate=cpu cpuset io memory pids, and log in again" + orWithout
	hintReadOnly    = "the cgroup file system is read-only, as in containers: start the container with docker run --security-opt writable-cgroups=true (since Docker 28) or podman run --security-opt unmask=/sys/fs/cgroup" + orWithout
	hintLogin       = "this process belongs to no login of its user, as under su, sudo, cron or in a container: start it from a login (ssh, a console, sudo machinectl shell USER@), or as a systemd service with Delegate=yes" + orWithout
	hintManager     = "the user has no systemd manager to ask: sudo loginctl enable-linger USER starts it (packages libpam-systemd and dbus-user-session)" + orWithout
	orWithout       = "; or leave out what needs the kernel (--require cgroup, --swap, --cpuset, --cpu-weight)"
)

// hintRows returns the table; the first row that matches counts. It is built
// on the way of an error only.
func hintRows() []hintRow {
	on := func(e ...unix.Errno) []unix.Errno { return e }
	return []hintRow{
		// What a package knows by name.
		{is: userns.ErrDisabled, fix: disabledFix},
		{is: idmap.ErrNoSubIDs, text: "give the user a range in /etc/subuid and /etc/subgid (sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER), or use --map self"},
		{is: userns.ErrNoNewPrivs, text: "newuidmap cannot gain rights under no_new_privs: start jailrun without it (a systemd unit: NoNewPrivileges=no), or use --map self"},
		{is: userns.ErrNoHelper, text: "install the package uidmap (newuidmap and newgidmap), or use --map self"},
		{fix: helperFix},
		{is: userns.ErrNoBlock, text: "give the container more ids (/proc/self/uid_map shows them), or start jailrun as an ordinary user"},
		{is: userns.ErrNoIDMap, text: "keep the directory on ext4, xfs or btrfs and run Linux 5.12 or later (overlay: 5.19), or show it read-only"},
		{is: limits.ErrNotDelegated, when: cgroupV1, text: hintV1},
		{is: limits.ErrNoController, when: cgroupV1, text: hintV1},
		{is: limits.ErrNoController, text: hintControllers}, // first: one of the ways led to a group
		{is: limits.ErrNotDelegated, also: unix.EROFS, text: hintReadOnly},
		{is: limits.ErrNotDelegated, when: noLogin, text: hintLogin},
		{is: limits.ErrNotDelegated, also: unix.ENOENT, text: hintManager}, // the manager's socket
		{is: limits.ErrNotDelegated, text: hintScope},
		{is: fs.ErrNoBase, text: "make /tmp a directory"},

		// The namespaces.
		{op: "clone3", errno: on(unix.EPERM), when: noUsernsClone, text: "set the sysctl kernel.unprivileged_userns_clone to 1"},
		{op: "clone3", errno: on(unix.EPERM, unix.EACCES), when: apparmorRestricts, text: hintAppArmor},
		{op: "clone3", errno: on(unix.EPERM, unix.ENOSYS), when: filtered, text: hintContainer},
		{op: "clone3", errno: on(unix.EPERM), text: "the kernel or a security module refuses user namespaces, as after a chroot; jailrun doctor looks for the cause"},
		{op: "clone3", errno: on(unix.ENOSPC), when: noUsernsLeft, text: "set the sysctl user.max_user_namespaces to 15000 or so: it is 0"},
		{op: "clone3", errno: on(unix.ENOSPC, unix.EUSERS), text: "a limit on namespaces is used up, not a disk: raise user.max_user_namespaces, user.max_net_namespaces and the like, or nest less deep"},
		{op: "clone3", errno: on(unix.EAGAIN), text: "the caller may have no more processes: raise his RLIMIT_NPROC (ulimit -u) or the pids.max of his group"},
		{op: "clone3", errno: on(unix.EACCES, unix.EBUSY, unix.EOPNOTSUPP), text: "the caller may not put processes into the group: start jailrun in a delegated one (systemd-run --user --scope -p Delegate=yes jailrun …)"},
		{op: "clone3", errno: on(unix.EINVAL, unix.ENOSYS), text: "the kernel lacks namespaces (CONFIG_USER_NS and the like) or is older than Linux 5.7"},
		{stage: "identity", errno: on(unix.EPERM, unix.EACCES), when: apparmorRestricts, text: hintAppArmor},
		{stage: "root dev proc net", errno: on(unix.EPERM), when: apparmorRestricts, text: hintAppArmor},
		{stage: "fork", op: "fork-job", errno: on(unix.EAGAIN), text: "there is no room for another process: raise the caller's RLIMIT_NPROC (ulimit -u) or the pids.max of his group"},

		// The root.
		{op: "mount proc", errno: on(unix.EPERM), text: "the /proc around us is masked, as in containers: docker run --security-opt systempaths=unconfined, Kubernetes procMount: Unmasked"},
		{op: "mount overlay", errno: on(unix.ENODEV), text: "load the overlay module (sudo modprobe overlay), or use --cwd ro"},
		{op: "mount overlay", errno: on(unix.EINVAL, unix.EPERM, unix.ELOOP), text: "the directory's file system cannot be part of an overlay (two overlays deep, mounts below it), or Linux is older than 5.11: use --cwd ro, or a rootfs on ext4, xfs or btrfs"},
		{op: "mount", errno: on(unix.EPERM, unix.EACCES), when: filtered, text: "the container's security profile refuses mounts: start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined"},
		{op: "mount", errno: on(unix.ENOSPC), text: "the sysctl fs.mount-max is reached; it is not the disk"},
		{op: "mount", errno: on(unix.ENOENT), text: "what is shown must exist when the run starts: check --bind, or give it the option optional"},
		{stage: "root dev", errno: on(unix.ENOSPC), text: "the root itself does not fit: raise --disk or --inodes"},
		{path: "/dev/net/tun", errno: on(unix.EACCES, unix.EPERM), text: "/dev/net/tun must be open to this user (sudo chmod 666 /dev/net/tun)"},
		{path: "/dev/net/tun", errno: on(unix.ENOENT, unix.ENODEV, unix.ENXIO), text: "load the tun module: sudo modprobe tun"},

		{stage: "net", op: "socket", errno: on(unix.EPROTONOSUPPORT), text: "the kernel needs nf_tables with inet and reject: sudo modprobe -a nf_tables nft_reject_inet nft_limit"},

		// The job's limits and rights.
		{op: "prlimit64", errno: on(unix.EPERM), text: "the caller's own hard limit is lower (ulimit -H -a)"},
		{op: "seccomp", errno: on(unix.EINVAL, unix.ENOSYS), text: "the kernel needs CONFIG_SECCOMP_FILTER"},
		{op: "seccomp", errno: on(unix.ENOMEM), text: "too many filters are stacked around jailrun: nest sandboxes less deep"},

		// The program.
		{stage: "exec", op: "chdir", text: "the working directory must exist inside and be open to the job's user: check --workdir"},
		{stage: "exec", op: "execve", errno: on(unix.ENOENT, unix.ENOTDIR), text: "the program, its interpreter or its loader is not in the root: jailrun plan shows what is"},
		{stage: "exec", op: "execve", errno: on(unix.EACCES), text: "the program is not executable (chmod +x), on a mount with noexec, or not open to the job's user"},
		{stage: "exec", op: "execve", errno: on(unix.ENOEXEC), text: "the program is built for another architecture, or is a script without a first line like #!/bin/sh"},
		{stage: "exec", op: "execve", errno: on(unix.E2BIG), text: "arguments and environment are too long (128 KiB for one, a quarter of --stack for all): pass data by stdin or --file"},
		{stage: "exec", op: "execve", errno: on(unix.ETXTBSY), text: "somebody has the program open for writing: start it when that is done"},
		{stage: "exec", op: "execve", errno: on(unix.ELOOP), text: "too many symbolic links or interpreters lead to the program: name it directly"},
		{stage: "exec", op: "execve", errno: on(unix.ENOMEM), text: "the program does not fit: raise --mem or --as"},
		{stage: "exec", op: "execve", errno: on(unix.EAGAIN), text: "the job's user has too many tasks: raise --pids"},

		// The caller's and the job's files.
		{is: transfer.ErrTooLarge, text: "copies are together at most --disk, by apparent size: raise it"},
		{is: transfer.ErrTooMany, text: "copies have together at most --inodes entries: raise it"},
		{stage: "collect", op: "open", errno: on(unix.ENOENT), text: "the job did not leave it there: relative names lie in /work, and --cwd none has none"},

		// What can run out anywhere.
		{errno: on(unix.EMFILE), text: "jailrun has no descriptors left: raise the caller's RLIMIT_NOFILE (ulimit -n)"},
		{errno: on(unix.ENFILE), text: "the host has no descriptors left: raise the sysctl fs.file-max"},
		{errno: on(unix.ETOOMANYREFS), text: "the user has more descriptors on their way through sockets than the caller's RLIMIT_NOFILE: raise it (ulimit -Hn), or end what does not receive them"},
		{errno: on(unix.ENOMEM), text: "there is no memory left on the host or in the caller's group (memory.max)"},
		{errno: on(unix.EDQUOT), text: "the user's disk quota is used up (quota -s)"},
		{errno: on(unix.ENOSPC), text: "the file system is full, or out of inodes (df -h, df -i)"},
		{errno: on(unix.EROFS), text: "the file system is mounted read-only; a container may need it writable (docker run --cgroupns=private -v /sys/fs/cgroup:/sys/fs/cgroup:rw)"},
	}
}

// hint returns the sentence for e, "" if the table has none.
func hint(e *Error, h host) string {
	for _, r := range hintRows() {
		if !r.matches(e, h) {
			continue
		}
		if r.fix == nil {
			return r.text
		}
		if text := r.fix(e); text != "" {
			return printable(text)
		}
	}
	return ""
}

func (r *hintRow) matches(e *Error, h host) bool {
	if r.is != nil && !errors.Is(e.Err, r.is) || r.also != nil && !errors.Is(e.Err, r.also) {
		return false
	}
	if r.stage != "" && !hasWord(r.stage, e.Stage) || r.path != "" && r.path != e.Path {
		return false
	}
	if r.op != "" && r.op != e.Op && !strings.HasPrefix(e.Op, r.op+" ") {
		return false
	}
	found := r.errno == nil
	for _, errno := range r.errno {
		found = found || errno == e.Errno
	}
	return found && (r.when == nil || r.when(h)) // the host is asked last
}

func hasWord(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}

func disabledFix(e *Error) string {
	var d *userns.DisabledError
	if errors.As(e.Err, &d) && d.Fix != "" {
		return d.Fix
	}
	return "jailrun doctor looks for what refuses user namespaces"
}

// helperFix explains newuidmap, which says why only in words.
func helperFix(e *Error) string {
	var he *userns.HelperError
	switch {
	case !errors.As(e.Err, &he):
		return ""
	case strings.Contains(he.Output, "not allowed"):
		return "the user's ranges in /etc/subuid and /etc/subgid do not hold what --map asks for"
	}
	return "jailrun doctor tries " + he.Path + " and looks for the cause; --map self needs no helper"
}
