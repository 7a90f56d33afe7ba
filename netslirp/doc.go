// Package netslirp gives a job a network of its own without root: a user-mode
// network stack (slirp4netns, pasta) behind the job's network namespace, ports
// published to the host, and a list of what the job may reach.
//
// A [Network] is the Network of package sandbox's Cmd. It starts slirp4netns (or
// pasta) on namespaces that it is given, and sends nf_tables rules through a
// netlink socket that was made in them, so that neither has to be entered by a
// program of many threads.
//
// What it keeps:
//
//   - Helpers enter the job's namespaces before an untrusted root file system
//     is in place, so that a planted program cannot run with a helper's rights;
//     slirp4netns as we start it gets descriptors, and no pid that could be
//     another's by then. (pasta and rootlesskit's driver take the pid of init,
//     which waits and which nobody else can reap.)
//   - The host's loopback and its own addresses, private ranges and the
//     metadata address 169.254.169.254 cannot be reached unless a [Rule] names
//     them. slirp4netns alone leaves the host's LAN address open.
//   - What is refused is refused at once, with an answer, not with silence.
//   - A network that breaks is an error or a fact in the result, never a job
//     that quietly has another network than was asked for.
//
// The package imports no sibling. jailrun reaches it through a program of its
// own, jailrun-net, which keeps its dependencies out of the launch path.
package netslirp
