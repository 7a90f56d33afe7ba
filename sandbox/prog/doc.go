// Package prog holds a launch as a flat table of system calls, and runs it.
//
// A [Program] has two lists of steps: the first is carried out by init, pid 1
// of the sandbox, the second by the job, which init forks. A step is one
// system call (or one of a few operations beside them) with its arguments,
// ready to be printed: what `jailrun plan` shows is the table that runs.
//
// [Program.Start] lays the table out in one memory mapping, forks, and the
// child walks over it with raw system calls. The child never executes a Go
// runtime again: no allocation, no map, no interface, no stack growth. It
// follows the rules of forkAndExecInChild1 of package syscall.
//
//	[ runner ]                     [ init, pid 1 ]             [ job, pid 2 ]
//	   | clone3 ----------------------> |
//	   | --- Go (ctl), auto map only -> |                          only when a step waits for it
//	   |                                | steps: root, net, …
//	   |                                | clone3 ---------------------> |
//	   | <-- Ready + descriptors (ctl)  | scrub, confine                | steps: limits, rights
//	   |                                | --- gate (eventfd) ---------> | filter, execve
//	   | <-- Listener + descriptor (ctl), where denied calls are named |
//	   | <----------------- end of file on the status pipe ------------ |   success is silence
//	   | <-- Failure (status) --------- | or -------------------------- |   {stage, step, errno}
//	   | --- Signal {pid, sig} (ctl) -> | kill(2)
//	   | <-- Exit (ctl) --------------- | the job ended, all are dead and reaped
//
// The end of file on init's ctl socket means that the runner is gone: init
// exits and the kernel kills what is left in its pid namespace.
//
// [ForkAhead] clones init before there is a program, from another thread: the
// kernel takes as long for the namespaces as the runner for the program. Init
// takes the steps that are marked for it, lets go of all that it inherited, and
// waits for the message that brings the descriptors of its program.
//
// Decision: the child is a copy of the runner, not a second program. Every
// further start of a Go program costs about 2 ms, a C helper would have to be
// shipped and found. The price is this package's unsafe code and two
// linknames into the runtime (syscall.runtime_BeforeFork, _AfterFork, which
// the Go team keeps for gVisor).
//
// Decision: after the fork of the job init keeps CAP_KILL alone. It ends and
// reaps the job's processes itself, so that their CPU time reaches its report
// (the kernel's own clean-up of a pid namespace forgets it), and under foreign
// ids it has not the job's uid. The capability reaches only its own pid
// namespace, and is a second reason why the job cannot ptrace init.
package prog
