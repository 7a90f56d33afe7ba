# fuse-overlayfs, which answers for a root where the kernel has no overlay: files
# below the directories that it is shown, and the descriptor of /dev/fuse. It
# never has a reason to start a program or a thread, or to make a connection. The
# text format is described in default.profile.

profile server
unlisted ENOSYS
foreign kill

group requests
reason the kernel's requests and the answers, also by way of a pipe
allow read readv write writev splice pipe pipe2 fcntl close dup poll ppoll

group files
reason the layers and the writable layer; what may be reached is decided by mounts and owners
allow open openat openat2 creat lseek pread64 pwrite64 preadv pwritev preadv2 pwritev2
allow stat fstat lstat newfstatat statx access faccessat faccessat2 statfs fstatfs
allow getdents getdents64 getcwd chdir fchdir umask readlink readlinkat
allow mkdir mkdirat mknod mknodat symlink symlinkat link linkat rmdir unlink unlinkat
allow rename renameat renameat2 truncate ftruncate fallocate
allow chmod fchmod fchmodat fchmodat2=452 chown fchown lchown fchownat
allow utime utimes utimensat futimesat sync syncfs fsync fdatasync
allow sendfile copy_file_range ioctl fadvise64
allow setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr
allow listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr
EPERM name_to_handle_at open_by_handle_at

group process
reason the start of a C program, its memory and its signals; execve is its own start, and nothing it sees but its program may be executed
allow execve brk mmap munmap mremap mprotect madvise arch_prctl set_tid_address set_robust_list rseq
allow futex getrandom uname sysinfo prlimit64 getrlimit setrlimit
allow rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall
allow getpid gettid getppid getuid geteuid getgid getegid getgroups
allow clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time
allow exit exit_group kill tgkill
EPERM socket connect

group owners
reason other releases take the file system ids of who asks; without the capabilities they are only names
allow setfsuid setfsgid setresuid setresgid
