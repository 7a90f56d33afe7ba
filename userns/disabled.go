package userns

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrDisabled reports that this host does not let this process make a user
// namespace. It comes as a *[DisabledError], which knows the fix.
var ErrDisabled = errors.New("user namespaces are not allowed here")

// DisabledError is a refused user namespace with its probable cause.
type DisabledError struct {
	Why string // what on this host refuses, from its settings
	Fix string // what to do about it, one line
	Err error  // the refusal
}

// Error is one line without the fix.
func (e *DisabledError) Error() string {
	return fmt.Sprintf("%v: %s: %v", ErrDisabled, e.Why, e.Err)
}

// Unwrap makes errors.Is find [ErrDisabled] and the errno.
func (e *DisabledError) Unwrap() []error { return []error{ErrDisabled, e.Err} }

// Refused explains the error of a clone or unshare with CLONE_NEWUSER, or of what
// a namespace's root may always do: map the caller's own id, mount. An AppArmor
// restriction shows only there. If the errno in err is one by which user
// namespaces are refused, the result is a *[DisabledError]; otherwise, as with
// EAGAIN for too many processes, it is err itself, also nil.
func Refused(err error) error { return refused(thisHost, err) }

func refused(h host, err error) error {
	errno, ok := errors.AsType[unix.Errno](err)
	if !ok {
		return err
	}
	var why, fix string
	switch errno {
	case unix.ENOSPC, unix.EUSERS:
		// Not the disk: ENOSPC is a limit on namespaces (EUSERS before 4.9).
		why, fix = usedUp(h)
	case unix.EPERM, unix.EACCES:
		why, fix = forbidden(h)
	case unix.EINVAL, unix.ENOSYS:
		if _, e := h.read("self/uid_map"); e == nil {
			return err // the kernel has them, so the call was wrong
		}
		why, fix = "the kernel was built without them", "boot a kernel with CONFIG_USER_NS"
	default:
		return err
	}
	return &DisabledError{Why: why, Fix: fix, Err: err}
}

func usedUp(h host) (why, fix string) {
	const setting = "sudo sysctl user.max_user_namespaces=%d, and the same in /etc/sysctl.d/ to keep it"
	n, ok := h.sysctl("user/max_user_namespaces")
	if ok && n > 0 {
		return fmt.Sprintf("all %d of user.max_user_namespaces are in use, or they are nested 32 deep", n),
			fmt.Sprintf("end what uses them, or "+setting, 4*n)
	}
	return "user.max_user_namespaces is 0", fmt.Sprintf(setting, 15000)
}

// forbidden finds the cause of an EPERM, the most specific first.
func forbidden(h host) (why, fix string) {
	if n, ok := h.sysctl("kernel/unprivileged_userns_clone"); ok && n == 0 {
		return "kernel.unprivileged_userns_clone is 0",
			"sudo sysctl kernel.unprivileged_userns_clone=1, and the same in /etc/sysctl.d/ to keep it"
	}
	if n, ok := h.sysctl("kernel/apparmor_restrict_unprivileged_userns"); ok && n != 0 {
		return "kernel.apparmor_restrict_unprivileged_userns is " + fmt.Sprint(n), apparmorFix
	}
	if h.status("Seccomp") == "2" {
		return "a seccomp filter is in force, as in containers and in services with RestrictNamespaces",
			"docker run --security-opt seccomp=FILE with a profile that allows clone and unshare with CLONE_NEWUSER; in a systemd unit RestrictNamespaces=no"
	}
	if inChroot() {
		return "the root directory was changed by chroot", "use pivot_root or switch_root in place of chroot"
	}
	return "the kernel or a security module refuses", "sudo dmesg may name the module"
}

// apparmorFix names the profile and not only the sysctl: that one opens user
// namespaces to every program of the host.
const apparmorFix = "give this program an AppArmor profile that allows userns " +
	"(\"profile jailrun /path/to/jailrun flags=(unconfined) { userns, }\" in /etc/apparmor.d/jailrun, then sudo apparmor_parser -r on it), " +
	"or sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"

// inChroot reports a root directory that is no mount point, for which the kernel
// refuses user namespaces (current_chrooted): they would be a way out.
func inChroot() bool {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, "/", 0, unix.STATX_TYPE, &st); err != nil {
		return false
	}
	const root = unix.STATX_ATTR_MOUNT_ROOT // Linux 5.8
	return st.Attributes_mask&root != 0 && st.Attributes&root == 0
}
