# Build tools and language runtimes: compilers, make, git, Go, Rust, the JVM,
# Node, Python, shells, and gdb, strace and LeakSanitizer within the job.
#
# How a profile is written (package profile reads it):
#
#   profile NAME        first line
#   from NAME           start from another profile; names listed here replace its answers
#   unlisted ANSWER     for numbers that no line names, also those of future kernels
#   foreign ANSWER      for calls through another ABI of the processor (i386, x32, arm)
#   group NAME          a heading, followed by its reason
#   reason TEXT
#   ANSWER NAME...      these calls; NAME=NUMBER where libseccomp 2.5.4 lacks the name
#   args NAME...        calls that depend on arguments; the first clause that fits decides:
#     ANSWER when CONDITION [and CONDITION]...
#     ANSWER otherwise
#
# An ANSWER is allow, kill (the whole process) or an errno. A CONDITION is
# "argN in VALUE FIRST-LAST..." or "argN any BITS" (some bit is set). Arguments
# are compared on 32 bits, because the kernel cuts all of these to an int: a
# comparison on 64 bits is passed by adding 1<<32 (CVE-2019-10063).
#
# ENOSYS is for calls that programs probe and can do without, and for every new
# interface: libraries fall back as they do on an older kernel. EPERM is for old
# calls which a program would not expect to be missing. Nothing is killed here:
# a killed child makes its parent hang, and the kernel's log fill up.

profile default
unlisted ENOSYS
foreign ENOSYS

group files
reason everyday work on files; what may be reached is decided by mounts and owners
allow read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2
allow close close_range lseek dup dup2 dup3 pipe pipe2
allow stat fstat lstat newfstatat statx access faccessat faccessat2 statfs fstatfs
allow getdents getdents64 getcwd chdir fchdir umask
allow rename renameat renameat2 link linkat unlink unlinkat symlink symlinkat
allow readlink readlinkat rmdir chown fchown lchown fchownat
allow truncate ftruncate fallocate utime utimes utimensat futimesat
allow sync syncfs fsync fdatasync sync_file_range fadvise64 readahead
allow setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr
allow listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr

group locks
reason go, sqlite and git need them; files of the root are locked on the job's own overlay
allow flock

group copying
reason cp, cat and tar move data with them; vmsplice and tee are of no use to build tools and had the shape of Dirty Pipe (CVE-2022-0847)
allow sendfile splice copy_file_range
EPERM vmsplice tee

group modes
reason a set-user-ID file that a job leaves in a directory of its caller carries the caller's rights (S_ISUID 04000, S_ISGID 02000); mkdir needs no rule, the kernel ignores these bits there
allow mkdir mkdirat
args chmod fchmod creat mknod
  EPERM when arg1 any 06000
  allow otherwise
args fchmodat fchmodat2=452 mknodat
  EPERM when arg2 any 06000
  allow otherwise

group open
reason the mode counts if the call may create a file: O_CREAT 0100, __O_TMPFILE 020000000; openat2 keeps flags and mode behind a pointer, where no filter sees them
args open
  EPERM when arg1 any 020000100 and arg2 any 06000
  allow otherwise
args openat
  EPERM when arg2 any 020000100 and arg3 any 06000
  allow otherwise
ENOSYS openat2

group fcntl
reason leases and directory notices stop or observe other users of a shared file (F_SETLEASE 1024, F_NOTIFY 1026); from 1039 on come delegations (F_SETDELEG 1040) and what later kernels add
args fcntl
  EPERM when arg1 in 1024 1026 1039-0xffffffff
  allow otherwise

group ioctl
reason typing into a terminal, the console's paste and line disciplines: TIOCSTI 0x5412, TIOCLINUX 0x541c, TIOCCONS 0x541d, TIOCSETD 0x5423 (CVE-2017-5226, CVE-2023-28100, CVE-2017-2636)
args ioctl
  EPERM when arg1 in 0x5412 0x541c-0x541d 0x5423
  allow otherwise

group waiting
reason event loops
allow poll ppoll select pselect6
allow epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
allow epoll_ctl_old epoll_wait_old
allow eventfd eventfd2 signalfd signalfd4
allow timerfd_create timerfd_settime timerfd_gettime
allow inotify_init inotify_init1 inotify_add_watch inotify_rm_watch

group old-aio
reason a job could take all requests that the whole machine has (fs.aio-max-nr, 65536), from other users, too; data bases do without, as on a kernel that has none. What takes a context is harmless then
ENOSYS io_setup
allow io_destroy io_getevents io_submit io_cancel io_pgetevents

group memory
reason allocators, loaders, just-in-time compilers; mincore tells about other users' pages only "resident" since Linux 5.2
allow brk mmap munmap mprotect mremap msync madvise mincore remap_file_pages
allow mlock mlock2 munlock mlockall munlockall
allow pkey_mprotect pkey_alloc pkey_free membarrier

group memory-files
reason language runtimes and shader compilers share memory by descriptor; the memory group charges it
allow memfd_create

group ipc
reason the job has its own ipc namespace and its memory is charged to it; POSIX queues are charged to its caller, too, so its RLIMIT_MSGQUEUE is 0: none can be made
allow shmget shmat shmdt shmctl semget semop semtimedop semctl
allow msgget msgsnd msgrcv msgctl
allow mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr

group processes
reason starting, waiting, signalling; the pid namespace bounds who can be reached
allow fork vfork execve execveat exit exit_group wait4 waitid
allow kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo
allow rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigpending rt_sigtimedwait
allow sigaltstack restart_syscall pause prctl arch_prctl
allow pidfd_open pidfd_send_signal
allow getpid getppid gettid getpgid setpgid getpgrp getsid setsid

group threads
reason C libraries call these for every thread
allow futex
allow set_tid_address set_robust_list get_robust_list rseq
allow get_thread_area set_thread_area getcpu sched_yield

group clone
reason a new user namespace, and the network rights in it, is the way into 54 of 79 publicly exploited kernel bugs: CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET} and NEWTIME 0x80; clone3 keeps its flags behind a pointer, and for ENOSYS alone C libraries fall back to clone
args clone
  EPERM when arg0 any 0x7e020080
  allow otherwise
ENOSYS clone3

group identity
reason without capabilities these only confirm or reduce what the job has
allow getuid geteuid getgid getegid getresuid getresgid getgroups
allow setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid
allow capget capset

group limits
reason a job may lower its own limits and choose its own CPUs within the cpuset
allow getrlimit setrlimit getrusage getpriority setpriority times sysinfo uname
allow sched_getscheduler sched_getparam sched_getattr sched_getaffinity sched_setaffinity
allow sched_get_priority_max sched_get_priority_min sched_rr_get_interval ioprio_get

group prlimit
reason by number it reaches every process of the same user in the pid namespace, also pid 1, whose limits are not the job's to lower
args prlimit64
  allow when arg0 in 0
  EPERM otherwise

group time
reason reading clocks and sleeping
allow time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep
allow alarm getitimer setitimer
allow timer_create timer_settime timer_gettime timer_getoverrun timer_delete

group random
reason every runtime seeds itself
allow getrandom

group sandboxing
reason programs may confine themselves further; a filter can only take away
allow seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self

group tracing
reason gdb, strace and LeakSanitizer; only processes of the job can be reached, as pid 1 is non-dumpable
allow ptrace process_vm_readv process_vm_writev

group personality
reason READ_IMPLIES_EXEC, MMAP_PAGE_ZERO and ADDR_NO_RANDOMIZE undo hardening; asking (0xffffffff), PER_LINUX32 8 and UNAME26 0x20000 remain
args personality
  allow when arg0 in 0xffffffff
  EPERM when arg0 any 0xfffdfff7
  allow otherwise

group sockets
reason AF_UNIX 1, AF_INET 2, AF_INET6 10 and routing questions to netlink (16, protocol 0); the other forty families are old code that the kernel loads on demand: AF_ALG, AF_VSOCK, AF_RDS, AF_TIPC. Of the internet protocols those up to UDP 17, ICMPv6 58; not SCTP 132, DCCP 33, L2TP 115, MPTCP 262, SMC 256
args socket socketpair
  allow when arg0 in 1
  allow when arg0 in 2 10 and arg2 in 0-17 58
  EPROTONOSUPPORT when arg0 in 2 10
  allow when arg0 in 16 and arg2 in 0
  EAFNOSUPPORT otherwise
allow connect accept accept4 bind listen shutdown getsockname getpeername getsockopt

group tcp-ulp
reason setsockopt(SOL_TCP 6, TCP_ULP 31) attaches kernel TLS to any socket: 8 exploited bugs
args setsockopt
  ENOPROTOOPT when arg1 in 6 and arg2 in 31
  allow otherwise

group out-of-band
reason MSG_OOB 1 on UNIX sockets: CVE-2025-38236, CVE-2024-36972
args sendto recvfrom sendmmsg recvmmsg
  EOPNOTSUPP when arg3 any 1
  allow otherwise
args sendmsg recvmsg
  EOPNOTSUPP when arg2 any 1
  allow otherwise

group mounts
reason no new namespace and no mount from within (CVE-2021-41133: the new calls by descriptor were forgotten elsewhere)
EPERM unshare setns mount umount2 pivot_root chroot
ENOSYS open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr
ENOSYS statmount=457 listmount=458 open_tree_attr=467 listns=470

group kernel-surface
reason large young interfaces: io_uring 4, bpf 6, perf 2 exploited bugs; cachestat spies on the page cache. uretprobe and uprobe (335, 336, amd64) are unlisted
ENOSYS io_uring_setup io_uring_enter io_uring_register
ENOSYS bpf perf_event_open userfaultfd memfd_secret
ENOSYS cachestat=451 map_shadow_stack=453

group young
reason futex_waitv (Linux 5.16), and calls since Linux 6.7, without a user among C libraries; whoever tries them falls back
ENOSYS futex_waitv futex_wake=454 futex_wait=455 futex_requeue=456 mseal=462
ENOSYS setxattrat=463 getxattrat=464 listxattrat=465 removexattrat=466
ENOSYS lsm_get_self_attr=459 lsm_set_self_attr=460 lsm_list_modules=461
ENOSYS file_getattr=468 file_setattr=469

group keys
reason the quota of keys is the invoking user's, and request_key makes the host run a program
ENOSYS add_key request_key keyctl

group other-processes
reason taking descriptors or memory from another process, or comparing with it; debuggers do without
ENOSYS pidfd_getfd process_madvise process_mrelease
EPERM kcmp

group handles
reason a file by handle is not bound by the mounts of the job (Shocker); fanotify and quota are for administrators
EPERM name_to_handle_at open_by_handle_at fanotify_init fanotify_mark lookup_dcookie quotactl
ENOSYS quotactl_fd

group administration
reason clocks, swap, modules, ports, accounting, host name: never a job's business
EPERM syslog acct swapon swapoff reboot kexec_load kexec_file_load
EPERM init_module finit_module delete_module
EPERM iopl ioperm modify_ldt vhangup ustat sysfs
EPERM settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname

group scheduling
reason NUMA placement and scheduling classes act on the neighbours; libnuma takes EPERM from get_mempolicy for a machine without NUMA
EPERM mbind get_mempolicy set_mempolicy migrate_pages move_pages
EPERM sched_setscheduler sched_setparam sched_setattr ioprio_set
ENOSYS set_mempolicy_home_node

group removed
reason no kernel of today has them; named so that the numbers around them share one answer
EPERM create_module get_kernel_syms query_module nfsservctl uselib _sysctl
EPERM getpmsg putpmsg afs_syscall tuxcall security vserver
