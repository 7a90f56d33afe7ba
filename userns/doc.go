// Package userns makes user namespaces usable: it writes their id maps, keeps
// them open without a process, locks blocks of ids, shows directories under other
// owners, and finds out what this host allows.
//
// # Writing maps
//
// [Prepare] decides, before anything is forked, how each map will be written, and
// fails if it cannot be; [Maps.Steps] prints the decision; [Maps.Write] carries it
// out. The kernel lets a process write the map itself if it holds CAP_SETUID (or
// CAP_SETGID) in its own namespace, or if the map is one line with its own id;
// everything else is granted by newuidmap and newgidmap after a look at
// /etc/subuid and /etc/subgid (see [Lookup]).
//
// # Root
//
// A run started by root takes ids of its own, [LockBlock], and sees the
// directories it is given through [MappedTree].
//
// # Decision: the process in a new namespace is a stopped exec
//
// [NewNamespace] needs a process for as long as the maps are written. It starts
// /proc/self/exe under PTRACE_TRACEME, which stops before its first instruction,
// and kills it there: 0.65 ms in a small process, no helper program to find, no
// code of ours or of the caller ever runs. A raw fork without exec would save
// about half of it, but belongs to sandbox/prog; who has one passes its pid to
// [Prepare]'s result and to [OpenNamespace] instead. The price: it does not work
// while this process is traced with its children (strace -f) or where
// kernel.yama.ptrace_scope is 3, and says so; and as Go cannot vfork into a user
// namespace, it costs page tables in a process with a large heap.
package userns
