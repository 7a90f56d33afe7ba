# Hostile programs: the judge profile, where an attempt at a way out ends the
# process and file locks, which reach across jobs on shared device nodes, are
# refused. What libraries probe keeps its errno. The text format is described
# in default.profile.

profile strict
from judge
foreign kill

group locks
reason locks on /dev/null and on files of /proc are seen by other jobs: a covert channel
ENOLCK flock

group fcntl
reason as in judge, and no locks: F_GETLK, F_SETLK, F_SETLKW 5-7, F_OFD_* 36-38
args fcntl
  EPERM when arg1 in 10 15 1024 1026 1039-0xffffffff
  ENOLCK when arg1 in 5-7 36-38
  allow otherwise

group ioctl
reason what C libraries ask of descriptors: TCGETS to TCSETSF 0x5401-0x5404, TIOCGPGRP 0x540f, TIOCSPGRP 0x5410, TIOCGWINSZ 0x5413, FIONREAD 0x541b, FIONBIO 0x5421, FIONCLEX and FIOCLEX 0x5450-0x5451, TCGETS2 0x802c542a; not TIOCSTI and its kin
args ioctl
  allow when arg1 in 0x5401-0x5404 0x540f-0x5410 0x5413 0x541b 0x5421 0x5450-0x5451 0x802c542a
  ENOTTY otherwise

group prctl
reason what runtimes set for themselves: PR_SET_PDEATHSIG to PR_SET_DUMPABLE 1-4, names 15-16, seccomp and PR_CAPBSET_READ 21-23, subreaper, no_new_privs, tid address, huge pages 36-42, PR_SET_VMA 0x53564d41; not the time stamp counter, speculation, core scheduling, ptracers or PR_SET_MM
args prctl
  allow when arg0 in 1-4 15-16 21-23 36-42 0x53564d41
  EINVAL otherwise

group clone
reason as in default; no C library asks for a namespace
args clone
  kill when arg0 any 0x7e020080
  allow otherwise

group mounts
reason no innocent program of a judge mounts; the new calls stay ENOSYS, as libmount probes them
kill unshare setns mount umount2 pivot_root chroot

group attacks
reason tools of exploits that no library probes
kill bpf perf_event_open userfaultfd add_key request_key keyctl
kill ptrace process_vm_readv process_vm_writev kcmp
kill name_to_handle_at open_by_handle_at fanotify_init fanotify_mark lookup_dcookie quotactl

group administration
reason never a job's business
kill syslog acct swapon swapoff reboot kexec_load kexec_file_load
kill init_module finit_module delete_module
kill iopl ioperm modify_ldt vhangup ustat sysfs
kill settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname

group removed
reason no kernel of today has them, so only a probe of the filter calls them
kill create_module get_kernel_syms query_module nfsservctl uselib _sysctl
kill getpmsg putpmsg afs_syscall tuxcall security
