# The strict profile for runs whose memory is watched from outside.

profile strict-nomemfd
from strict

group memory-files
reason pages of a memfd that nobody maps are in no process's resident set: the watchdog would not see them
ENOSYS memfd_create
