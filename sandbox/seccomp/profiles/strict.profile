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
reason descriptors and their flags 0-4, and pipe sizes and seals 1030-1038; not the locks F_GETLK, F_SETLK, F_SETLKW 5-7 and F_OFD_* 36-38, nor who is signalled (8-17)
args fcntl
  allow when arg1 in 0-4 1030-1038
  ENOLCK when arg1 in 5-38
  EPERM otherwise

group ioctl
reason what runtimes ask of pipes and files: FIONREAD 0x541b, FIONBIO 0x5421, FIONCLEX and FIOCLEX 0x5450-0x5451; terminals there are none, and a pipe answers their calls with ENOTTY, too
args ioctl
  allow when arg1 in 0x541b 0x5421 0x5450-0x5451
  ENOTTY otherwise

group prctl
reason what runtimes set for themselves: PR_SET_PDEATHSIG to PR_SET_DUMPABLE 1-4, names 15-16, seccomp and PR_CAPBSET_READ 21-23, subreaper, no_new_privs, tid address, huge pages 36-42, PR_SET_VMA 0x53564d41; 0 and 17-20 no kernel of ours has; not the time stamp counter, speculation, core scheduling, ptracers or PR_SET_MM
args prctl
  allow when arg0 in 0-4 15-23 36-42 0x53564d41
  EPERM otherwise

group tcp-ulp
reason as in default; where there is no TCP socket no option of TCP (6) is missed
args setsockopt
  ENOPROTOOPT when arg1 in 6
  allow otherwise

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

group recent
reason what C libraries and runtimes do without on an older kernel
ENOSYS pidfd_open pidfd_send_signal epoll_pwait2 fchmodat2=452
