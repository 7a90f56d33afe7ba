# Pid 1 of a sandbox once the job runs: it waits, reaps, passes on signals and
# reports. It does so with raw calls, without a C library or the Go runtime, so
# anything else is not its own will. The text format is described in
# default.profile.

profile init
unlisted kill
foreign kill

group messages
reason orders of the runner, reports to it
allow ppoll read write close recvfrom sendto recvmsg sendmsg

group reaping
reason ends of processes and what they used; kill passes on the runner's signals
allow wait4 waitid kill getrusage getdents64 rt_sigtimedwait rt_sigreturn

group time
reason stamps and deadlines; a wait that SIGSTOP or a freezer cut short goes on as restart_syscall
allow clock_gettime clock_nanosleep futex restart_syscall

group end
reason giving back memory, and the end
allow munmap exit exit_group
