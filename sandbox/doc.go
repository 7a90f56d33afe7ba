// Package sandbox runs one untrusted program in namespaces, a root file system
// and limits of its own, without root, and says why it ended.
//
//	c := sandbox.Command("./a.out")
//	c.Limits.Memory = 100 * limits.MiB
//	c.Limits.Wall = 10 * time.Second
//	res, err := c.Run(ctx)
//
// An error means that this package failed. Whatever the job does, exit 1, die
// of a signal, run into a limit, is a [Result] with a nil error.
//
// # The straight line
//
// [Spec] is what was asked. Together with what this host can do (facts) it
// gives a [Plan], which is pure, can be printed, and is the program that runs:
// package prog lays it out in memory, forks, and the child, pid 1 of the
// sandbox, walks over it without a Go runtime. One loop over descriptors
// supervises the job. What init reported, what the kernel counted and what the
// loop itself did is the evidence, from which decide, again pure, takes the
// [Verdict].
//
// # Order of a launch
//
// clone with all namespaces, into the run's group · id maps (and loopback, if
// init is forked ahead) · take hold of the user's sources · tmpfs, the host's
// directories, overlays, /proc · pivot_root and let go of the host · masks, the
// user's trees and files · loopback · scrub · fork of the job. Then, side by side: init drops its rights, loads a
// filter of a few calls, opens the gate; the job sets its limits, drops its
// rights, waits at the gate, closes everything, loads its filter, and calls
// execve. Package prog's comment draws the messages.
//
// # In a program
//
// Nothing of the calling process is changed: no hook in main, no signal
// handler, no working directory, no cgroup. Different Cmds may run at the same
// time. From its second launch on, or from the first if it is above
// [prog.BigProcess], a process launches through a spawner, a small copy of itself
// that lives as long as it does.
//
// Decision: jailrun itself has init forked while it surveys the host
// ([Cmd.ForkAhead]). That makes its whole process 7 % faster at real-time
// priority, and as much less at any other as the kernel leaves both on one CPU.
//
// Decision: a run waits in ppoll on a thread of its own, instead of in the
// runtime's poller: each wake-up through the poller and the scheduler costs 20
// to 50 µs on the launch path. Where more than a few live at once, those whose
// job has been quiet for a while wait in the poller after all, without a
// thread: 512 of them took 517 threads and a third of a CPU, and take 24 and a
// tenth.
package sandbox
