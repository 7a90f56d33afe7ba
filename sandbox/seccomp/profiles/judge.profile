# Single programs in any language: the default profile without the network,
# debuggers, message queues and old asynchronous I/O. The text format is
# described in default.profile.

profile judge
from default

group sockets
reason the only peer is another process of the job: AF_UNIX 1
args socket socketpair
  allow when arg0 in 1
  EAFNOSUPPORT otherwise

group fcntl
reason as in default, and no signals by descriptor: F_SETSIG 10, F_SETOWN_EX 15
args fcntl
  EPERM when arg1 in 10 15 1024 1026 1039-0xffffffff
  allow otherwise

group tracing
reason a solution has nothing to debug; LeakSanitizer does not work here
EPERM ptrace process_vm_readv process_vm_writev

group queues
reason kernel memory and code that single programs do not use
EPERM mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
EPERM io_setup io_destroy io_getevents io_submit io_cancel io_pgetevents
