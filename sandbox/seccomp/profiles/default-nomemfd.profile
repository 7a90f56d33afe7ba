# The default profile for runs whose memory is watched from outside.

profile default-nomemfd
from default

group memory-files
reason pages of a memfd that nobody maps are in no process's resident set: the watchdog would not see them
ENOSYS memfd_create
