// Package netslirp gives a job a network of its own without root: a user-mode
// network stack (slirp4netns, pasta) behind the job's network namespace, ports
// published to the host, and a list of what the job may reach.
//
// Here are the types in which such a network is asked for, and nothing else:
// no function of this package makes a network, [sandbox] has no field for one,
// and a job has its own loopback and nothing more.
//
// What any network of this package has to keep:
//
//   - Helpers enter the job's namespaces before an untrusted root file system
//     is in place, by descriptor and never by pid, so that a planted program or
//     a pid used again cannot run with the helper's rights.
//   - The host's loopback and its own addresses, private ranges and the
//     metadata address 169.254.169.254 cannot be reached unless a [Rule] names
//     them. slirp4netns alone leaves the host's LAN address open.
//   - What is refused is refused at once, with an answer, not with silence.
//   - A network that breaks is an error or a fact in the result, never a job
//     that quietly has another network than was asked for.
//
// The package imports no sibling. jailrun reaches it through a program of its
// own, jailrun-net, which keeps its dependencies out of the launch path.
//
// [sandbox]: https://pkg.go.dev/github.com/jailrun/jailrun/sandbox
package netslirp
