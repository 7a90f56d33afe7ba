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
//   - No helper sees the job's root file system, where a planted program could
//     run with a helper's rights. slirp4netns as we start it enters the user and
//     the network namespace alone, by descriptor and not by a pid that could be
//     another's by then. pasta and rootlesskit's driver take the pid of init,
//     which nobody else can reap, and which waits with the host's root for them.
//   - The job is not forked before the device is up and the rules are in force.
//   - The host's loopback and its own addresses, private ranges and the
//     metadata address 169.254.169.254 cannot be reached unless a [Rule] names
//     them. slirp4netns alone leaves the host's LAN address open.
//   - What is refused is refused at once, with an answer, not with silence.
//   - A network that breaks is an error or a fact in the result, never a job
//     that quietly has another network than was asked for.
//
// Of its siblings the package imports sandbox/prog, to start helpers. jailrun
// reaches it through programs of their own, jailrun-net and jailrun-publish, which
// keep its dependencies out of the launch path.
package netslirp
