package seccomp

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox/seccomp/profile"
	"github.com/jailrun/jailrun/sandbox/seccomp/profiles"
)

const goarch = runtime.GOARCH

type args = [6]uint64

// answers holds the answer of every filter to one call.
type answers struct {
	call    string // name, or a number
	args    args
	byDef   string // default
	byJudge string
	byStr   string // strict
}

// same is a row for calls with one answer in all three profiles.
func same(answer, calls string) []answers { return rows(answer, answer, answer, calls) }

func rows(def, judge, strict, calls string) []answers {
	var rs []answers
	for call := range strings.FieldsSeq(calls) {
		rs = append(rs, answers{call, args{}, def, judge, strict})
	}
	return rs
}

// The promises of the profiles, written down a second time: whoever changes a
// profile has to change what it is known for as well.
func promises() []answers {
	var all []answers
	add := func(rs ...answers) { all = append(all, rs...) }
	with := func(call string, a args, def, judge, strict string) { add(answers{call, a, def, judge, strict}) }

	add(same("allow", "read write close fstat mmap execve execveat exit_group fork vfork wait4 futex rseq "+
		"set_robust_list close_range faccessat2 statx getrandom sched_setaffinity "+
		"seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self splice sendfile copy_file_range "+
		"shmget semget msgget inotify_init1 membarrier mincore mkdir mkdirat memfd_create kill tgkill")...)
	add(same("ENOSYS", "clone3 openat2 io_uring_setup io_uring_enter io_uring_register memfd_secret map_shadow_stack "+
		"cachestat pidfd_getfd process_madvise quotactl_fd statmount listmount open_tree move_mount fsopen fsconfig "+
		"fsmount fspick mount_setattr open_tree_attr listns futex_wait futex_waitv mseal setxattrat 335 336 471 500 600 1023 1073741823")...)
	add(rows("ENOSYS", "ENOSYS", "kill", "bpf perf_event_open userfaultfd add_key keyctl request_key")...)
	add(rows("EPERM", "EPERM", "kill", "unshare setns mount umount2 pivot_root chroot open_by_handle_at "+
		"name_to_handle_at fanotify_init fanotify_mark lookup_dcookie quotactl syslog acct swapon swapoff reboot "+
		"kexec_load kexec_file_load init_module finit_module delete_module iopl ioperm settimeofday clock_settime "+
		"adjtimex clock_adjtime vhangup uselib nfsservctl modify_ldt ustat sysfs sethostname kcmp")...)
	add(same("EPERM", "mbind set_mempolicy migrate_pages move_pages sched_setscheduler sched_setattr sched_setparam "+
		"ioprio_set vmsplice tee")...)
	add(rows("allow", "EPERM", "EPERM", "mq_open mq_timedsend mq_notify io_submit io_getevents io_pgetevents")...)
	add(rows("ENOSYS", "EPERM", "EPERM", "io_setup")...)
	add(rows("allow", "EPERM", "kill", "ptrace process_vm_readv process_vm_writev")...)
	add(rows("allow", "allow", "ENOLCK", "flock")...)
	add(rows("allow", "allow", "ENOSYS", "pidfd_open pidfd_send_signal epoll_pwait2 fchmodat2")...)

	for bit := range 32 {
		def, strict := "allow", "allow"
		if uint32(1)<<bit&0x7e020080 != 0 { // the namespaces, and CLONE_NEWTIME
			def, strict = "EPERM", "kill"
		}
		with("clone", args{1 << bit}, def, def, strict)
		with("clone", args{1<<bit | 1<<40}, def, def, strict)
	}
	for bit := 32; bit < 64; bit++ { // the kernel takes the low half
		with("clone", args{1<<bit | 17}, "allow", "allow", "allow")
	}
	for _, call := range []string{"socket", "socketpair"} {
		for family := uint64(0); family <= 46; family++ {
			def, judge := "EAFNOSUPPORT", "EAFNOSUPPORT"
			switch family {
			case 1:
				def, judge = "allow", "allow"
			case 2, 10, 16:
				def = "allow"
			}
			for kind := uint64(1); kind <= 10; kind++ {
				with(call, args{family, kind}, def, judge, judge)
				with(call, args{family | 1<<32, kind | 0o2000000}, def, judge, judge)
			}
		}
		for _, proto := range []uint64{33, 115, 132, 136, 255, 256, 262} {
			with(call, args{2, 1, proto}, "EPROTONOSUPPORT", "EAFNOSUPPORT", "EAFNOSUPPORT")
			with(call, args{10, 1, proto | 1<<32}, "EPROTONOSUPPORT", "EAFNOSUPPORT", "EAFNOSUPPORT")
			with(call, args{1, 1, proto}, "allow", "allow", "allow")
		}
		for _, proto := range []uint64{1, 6, 17, 58} {
			with(call, args{2, 1, proto}, "allow", "EAFNOSUPPORT", "EAFNOSUPPORT")
		}
		for proto := uint64(1); proto < 32; proto++ { // all of netlink but ROUTE 0
			with(call, args{16, 3, proto}, "EAFNOSUPPORT", "EAFNOSUPPORT", "EAFNOSUPPORT")
		}
		with(call, args{math.MaxUint64}, "EAFNOSUPPORT", "EAFNOSUPPORT", "EAFNOSUPPORT")
	}
	for _, high := range []uint64{0, 1 << 32, math.MaxUint32 << 32} {
		all = append(all, argumentPromises(high)...)
	}
	return all
}

// argumentPromises are the rows for arguments of which the kernel cuts off the
// high half.
func argumentPromises(high uint64) []answers {
	var all []answers
	with := func(call string, a args, def, judge, strict string) {
		for i := range a {
			a[i] |= high
		}
		all = append(all, answers{call, a, def, judge, strict})
	}
	one := func(call string, a args, answer string) { with(call, a, answer, answer, answer) }

	one("setsockopt", args{3, 6, 31}, "ENOPROTOOPT") // SOL_TCP, TCP_ULP
	with("setsockopt", args{3, 6, 1}, "allow", "allow", "ENOPROTOOPT")
	one("setsockopt", args{3, 1, 31}, "allow")
	for _, call := range []string{"sendto", "recvfrom", "sendmmsg", "recvmmsg"} {
		one(call, args{0, 0, 1, 0}, "allow")
		one(call, args{0, 0, 0, 1}, "EOPNOTSUPP") // MSG_OOB
		one(call, args{0, 0, 0, 0x4001}, "EOPNOTSUPP")
		one(call, args{0, 0, 0, 0xfffffffe}, "allow")
	}
	for _, call := range []string{"sendmsg", "recvmsg"} {
		one(call, args{0, 0, 0, 1}, "allow")
		one(call, args{0, 0, 1, 0}, "EOPNOTSUPP")
	}
	for _, cmd := range []uint64{0x5412, 0x541c, 0x541d, 0x5423} { // TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD
		with("ioctl", args{0, cmd}, "EPERM", "EPERM", "ENOTTY")
	}
	for _, cmd := range []uint64{0x541b, 0x5421, 0x5450, 0x5451} { // FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
		one("ioctl", args{0, cmd}, "allow")
	}
	for _, cmd := range []uint64{0x5401, 0x5410, 0x5413, 0x802c542a, 0x5411, 0x541e, 0x5422, 0x5424, 0xb701, 0x40049409} {
		with("ioctl", args{0, cmd}, "allow", "allow", "ENOTTY")
	}
	for _, cmd := range []uint64{1024, 1026, 1039, 1040, 1 << 31} { // F_SETLEASE, F_NOTIFY, delegations
		one("fcntl", args{0, cmd}, "EPERM")
	}
	for _, cmd := range []uint64{8, 9, 1025} { // F_SETOWN, F_GETOWN, F_GETLEASE
		strict := map[bool]string{true: "ENOLCK", false: "EPERM"}[cmd < 39]
		with("fcntl", args{0, cmd}, "allow", "allow", strict)
	}
	for _, cmd := range []uint64{0, 1, 2, 3, 4, 1030, 1031, 1032, 1033, 1034, 1038} {
		one("fcntl", args{0, cmd}, "allow")
	}
	for _, cmd := range []uint64{5, 6, 7, 36, 37, 38} { // locks
		with("fcntl", args{0, cmd}, "allow", "allow", "ENOLCK")
	}
	for _, cmd := range []uint64{10, 15} { // F_SETSIG, F_SETOWN_EX
		with("fcntl", args{0, cmd}, "allow", "EPERM", "ENOLCK")
	}
	for _, p := range []uint64{0, 8, 0x20000, 0x20008, math.MaxUint32} {
		one("personality", args{p}, "allow")
	}
	for _, p := range []uint64{1, 0x40000, 0x100000, 0x400000, 0x4000000, 0x60008, math.MaxUint32 - 1} {
		one("personality", args{p}, "EPERM")
	}
	one("prlimit64", args{0, 7}, "allow")
	one("prlimit64", args{1, 7}, "EPERM")
	one("prlimit64", args{math.MaxUint32, 7}, "EPERM")
	for _, cmd := range []uint64{1, 4, 15, 22, 23, 38, 0x53564d41} {
		one("prctl", args{cmd}, "allow")
	}
	for _, cmd := range []uint64{26, 35, 53, 62, 0x59616d61} { // TSC, MM, speculation, core scheduling, ptracer
		with("prctl", args{cmd}, "allow", "allow", "EPERM")
	}
	const create, tmpfile = 0o100, 0o20000000
	for _, bits := range []uint64{0o4000, 0o2000, 0o6000, 0o4755} {
		for _, call := range []string{"chmod", "fchmod", "creat", "mknod"} {
			one(call, args{0, bits}, "EPERM")
			one(call, args{0, 0o100644, bits}, "allow")
		}
		for _, call := range []string{"fchmodat", "mknodat"} {
			one(call, args{0, 0, bits}, "EPERM")
			one(call, args{0, 0, 0o1777, bits}, "allow")
		}
		with("fchmodat2", args{0, 0, bits}, "EPERM", "EPERM", "ENOSYS")
		for _, flag := range []uint64{create, tmpfile, create | 0o2} {
			one("open", args{0, flag, bits}, "EPERM")
			one("openat", args{0, 0, flag, bits}, "EPERM")
			one("open", args{0, flag, 0o1777}, "allow")
			one("openat", args{0, 0, flag, 0o644}, "allow")
		}
		one("open", args{0, 0o2, bits}, "allow") // without O_CREAT the mode is whatever the register held
		one("openat", args{0, 0, 0o2, bits}, "allow")
	}
	return all
}

func TestPromises(t *testing.T) {
	promises := promises()
	for _, arch := range arches {
		numbers, err := profiles.Numbers(arch.Name)
		require.NoError(t, err)
		for i, name := range []string{"default", "judge", "strict"} {
			t.Run(name+"/"+arch.Name, func(t *testing.T) {
				for _, variant := range []string{"", "-nomemfd"} {
					vm, err := profile.NewVM(filterFile(t, name+variant, arch))
					require.NoError(t, err)
					for _, p := range promises {
						number, ok := callNumber(numbers, p.call)
						if !ok {
							continue // a call that this architecture never had
						}
						want := [...]string{p.byDef, p.byJudge, p.byStr}[i]
						if p.call == "memfd_create" && variant != "" {
							want = "ENOSYS"
						}
						got, err := vm.Action(arch.Audit, number, p.args)
						require.NoError(t, err)
						assert.Equal(t, want, got.String(), "%s%s: %s %#x", name, variant, p.call, p.args)
					}
				}
			})
		}
	}
}

// callNumber is ok if the architecture has the call. The test of the names is
// the generator's: it refuses a name that no architecture has.
func callNumber(numbers map[string]uint32, call string) (uint32, bool) {
	var n uint32
	if _, err := fmt.Sscanf(call, "%d", &n); err == nil {
		return n, true
	}
	n, ok := numbers[call]
	return n, ok
}

// No rule can be passed by asking through another ABI.
func TestForeignABI(t *testing.T) {
	const i386, arm, riscv64 = 0x40000003, 0x40000028, 0xc00000f3
	for name, want := range map[string]string{
		"default": "ENOSYS", "default-nomemfd": "ENOSYS", "judge": "ENOSYS", "judge-nomemfd": "ENOSYS",
		"strict": "kill", "strict-nomemfd": "kill", "init": "kill", "server": "kill",
	} {
		for _, arch := range arches {
			vm, err := profile.NewVM(filterFile(t, name, arch))
			require.NoError(t, err)
			for number := range uint32(600) {
				for _, audit := range []uint32{i386, arm, riscv64, 0, profile.AMD64.Audit ^ profile.ARM64.Audit ^ arch.Audit} {
					got, err := vm.Action(audit, number, args{})
					require.NoError(t, err)
					require.Equal(t, want, got.String(), "%s on %s: call %d of arch %#x", name, arch.Name, number, audit)
				}
				if !arch.X32 {
					continue
				}
				got, err := vm.Action(arch.Audit, number|0x40000000, args{})
				require.NoError(t, err)
				require.Equal(t, want, got.String(), "%s: x32 call %d", name, number)
			}
		}
	}
}

// TestServerFilter: what answers the job's requests starts nothing, connects to
// nothing, and leaves the mounts and namespaces as they are.
func TestServerFilter(t *testing.T) {
	for _, arch := range arches {
		numbers, err := profiles.Numbers(arch.Name)
		require.NoError(t, err)
		vm, err := profile.NewVM(filterFile(t, "server", arch))
		require.NoError(t, err)
		answer := func(call string) string {
			n, known := numbers[call]
			require.True(t, known, call)
			got, err := vm.Action(arch.Audit, n, args{})
			require.NoError(t, err)
			return got.String()
		}
		for call := range strings.FieldsSeq("read writev openat mknodat renameat fsetxattr exit_group") {
			assert.Equal(t, "allow", answer(call), call)
		}
		for call := range strings.FieldsSeq("clone clone3 socketpair bind sendmsg recvmsg sendto ptrace process_vm_writev mount move_mount open_tree " +
			"pivot_root chroot unshare setns bpf keyctl add_key io_uring_setup userfaultfd perf_event_open capset seccomp prctl kcmp pidfd_getfd memfd_create") {
			assert.Equal(t, "ENOSYS", answer(call), call)
		}
		for call := range strings.FieldsSeq("socket connect open_by_handle_at") {
			assert.Equal(t, "EPERM", answer(call), call)
		}
	}
}

func TestInitFilter(t *testing.T) {
	allowed := map[string]bool{}
	for call := range strings.FieldsSeq("ppoll read write close recvfrom sendto recvmsg sendmsg wait4 waitid kill getrusage " +
		"getdents64 rt_sigtimedwait rt_sigreturn clock_gettime clock_nanosleep futex restart_syscall munmap exit exit_group") {
		allowed[call] = true
	}
	for _, arch := range arches {
		numbers, err := profiles.Numbers(arch.Name)
		require.NoError(t, err)
		vm, err := profile.NewVM(filterFile(t, "init", arch))
		require.NoError(t, err)
		byNumber := map[uint32]string{}
		for name, n := range numbers {
			byNumber[n] = name
		}
		passed := 0
		for n := range uint32(1024) {
			got, err := vm.Action(arch.Audit, n, args{})
			require.NoError(t, err)
			if allowed[byNumber[n]] {
				passed++
				assert.Equal(t, "allow", got.String(), byNumber[n])
			} else {
				assert.Equal(t, "kill", got.String(), "call %d %s", n, byNumber[n])
			}
		}
		assert.Equal(t, len(allowed), passed)
	}
}
