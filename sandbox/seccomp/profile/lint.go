package profile

import "slices"

// A Finding is something that a profile allows and that is known for what it
// has been used for.
type Finding struct {
	Call string
	Why  string
}

// suspect is a call that a lint tries.
type suspect struct {
	call string
	args [6]uint64
	why  string
}

// suspects are the calls by which kernels have been exploited or sandboxes been
// left, with arguments for which they do it.
var suspects = []suspect{
	{"io_uring_setup", [6]uint64{8}, "io_uring: makes calls that no filter sees; 4 exploited bugs"},
	{"bpf", [6]uint64{}, "bpf: 6 exploited bugs"},
	{"perf_event_open", [6]uint64{}, "perf events: 2 exploited bugs"},
	{"userfaultfd", [6]uint64{}, "userfaultfd: stops the kernel in the middle of a copy"},
	{"io_setup", [6]uint64{1}, "asynchronous I/O: one job may take all requests of the machine (fs.aio-max-nr)"},
	{"keyctl", [6]uint64{}, "keyrings: keys of the caller, and 199 of them for all his programs"},
	{"add_key", [6]uint64{}, "keyrings: keys of the caller, and 199 of them for all his programs"},
	{"request_key", [6]uint64{}, "keyrings: starts a helper of the host's"},
	{"unshare", [6]uint64{0x10000000}, "a user namespace: 54 of 79 exploited bugs begin with it"},
	{"clone", [6]uint64{0x10000000 | 17}, "a user namespace: 54 of 79 exploited bugs begin with it"},
	{"clone3", [6]uint64{}, "clone3: namespaces by flags behind a pointer, which no filter sees"},
	{"setns", [6]uint64{}, "enters namespaces"},
	{"mount", [6]uint64{}, "mounts"},
	{"umount2", [6]uint64{}, "uncovers what is hidden"},
	{"move_mount", [6]uint64{}, "mounts, by descriptor"},
	{"fsopen", [6]uint64{}, "mounts, by descriptor"},
	{"open_tree", [6]uint64{}, "mounts, by descriptor"},
	{"pivot_root", [6]uint64{}, "changes the root"},
	{"chroot", [6]uint64{}, "changes the root"},
	{"ptrace", [6]uint64{}, "ptrace: one process of the job does what another may"},
	{"process_vm_writev", [6]uint64{}, "writes into other processes of the job"},
	{"pidfd_getfd", [6]uint64{}, "takes descriptors of other processes"},
	{"process_madvise", [6]uint64{}, "changes the memory of other processes"},
	{"open_by_handle_at", [6]uint64{}, "opens files past their directories"},
	{"name_to_handle_at", [6]uint64{}, "names files past their directories"},
	{"fanotify_init", [6]uint64{}, "watches whole file systems"},
	{"kexec_load", [6]uint64{}, "another kernel"},
	{"init_module", [6]uint64{}, "kernel modules"},
	{"finit_module", [6]uint64{}, "kernel modules"},
	{"modify_ldt", [6]uint64{1}, "segments of old programs: a source of bugs"},
	{"memfd_secret", [6]uint64{}, "memory that nobody can account for"},
	{"cachestat", [6]uint64{}, "spies on the page cache, which jobs share"},
	{"vmsplice", [6]uint64{}, "the shape of Dirty Pipe (CVE-2022-0847)"},
	{"socket", [6]uint64{38, 5}, "AF_ALG sockets: 2 exploited bugs, CVE-2026-31431"},
	{"socket", [6]uint64{40, 1}, "AF_VSOCK sockets: leave the network namespace"},
	{"socket", [6]uint64{17, 3}, "AF_PACKET sockets"},
	{"socket", [6]uint64{2, 5, 132}, "SCTP sockets"},
	{"socket", [6]uint64{38 | 1<<32, 5}, "AF_ALG sockets, with a bit that the kernel cuts off"},
	{"setsockopt", [6]uint64{0, 6, 31}, "kernel TLS (TCP_ULP): 8 exploited bugs"},
	{"sendmsg", [6]uint64{2: 1}, "MSG_OOB on UNIX sockets: CVE-2025-38236"},
	{"ioctl", [6]uint64{0, 0x5412}, "TIOCSTI: types into terminals"},
	{"ioctl", [6]uint64{0, 0x5412 | 1<<32}, "TIOCSTI, with a bit that the kernel cuts off (CVE-2019-10063)"},
	{"ioctl", [6]uint64{0, 0x541c}, "TIOCLINUX: pastes into the console"},
	{"personality", [6]uint64{0x400000}, "personality: READ_IMPLIES_EXEC"},
	{"fchmodat", [6]uint64{0, 0, 0o4755}, "set-user-ID files, which carry the caller's rights out of a writable directory"},
	{"fcntl", [6]uint64{0, 1024}, "leases: stop other users of a file"},
	{"openat2", [6]uint64{}, "openat2: set-user-ID modes behind a pointer"},
	{"quotactl", [6]uint64{}, "administration"},
	{"reboot", [6]uint64{}, "administration"},
	{"syslog", [6]uint64{}, "the kernel's log"},
	{"settimeofday", [6]uint64{}, "administration"},
}

// Lint lists what a table allows of what is known to be dangerous. It says
// nothing of what it does not know.
func Lint(t *Table, numbers func(name string) (uint32, bool)) []Finding {
	var found []Finding
	for _, s := range suspects {
		n, ok := numbers(s.call)
		if !ok || t.Action(t.Arch.Audit, n, s.args) != Allow {
			continue
		}
		if f := (Finding{s.call, s.why}); !slices.Contains(found, f) {
			found = append(found, f)
		}
	}
	return found
}
