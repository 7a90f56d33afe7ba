package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// confine runs a virtual machine so that it can write nowhere but below its own directory, whatever the guest does,
// and so that no process of it outlives the caller. A User Mode Linux is a family of ordinary processes of the host
// with the rights of whoever started it; if he is root, a guest that broke its kernel would be root of the host.
//
// As root the caller has put this process into mount, pid and network namespaces of its own: everything is made
// read-only here, and as the pid namespace's first process it takes the whole family with it. Any other user has no
// namespaces (in a user namespace all files of the host would seem to belong to nobody, set-user-ID programs
// included): Landlock takes the place of the read-only mounts where the kernel has it, a child subreaper that of the
// pid namespace.
//
// Descriptor 3 is the lifeline: at its end the machine ends. PDEATHSIG would not do, it follows the caller's thread.
// Descriptors from 4 on go to the machine, from 3 on there.
func confine(args []string) int {
	flags := flag.NewFlagSet("confine", flag.ContinueOnError)
	dir := flags.String("dir", "", "the machine's own directory")
	memDir := flags.String("mem", "", "where to mount a tmpfs for the machine's memory (as root)")
	extra := flags.Int("extra", 0, "number of descriptors to pass on")
	cpu := flags.Int("cpu", -1, "the one CPU to run on; -1 for all")
	if flags.Parse(args) != nil || flags.NArg() == 0 || *dir == "" {
		return 2
	}
	var err error
	if os.Getpid() == 1 {
		err = errors.Join(readOnlyHost(*dir, *memDir), dropCapabilities())
	} else {
		err = errors.Join(landlockHost(*dir), os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "confine:", err)
		return 1
	}
	if *cpu >= 0 {
		var one unix.CPUSet
		one.Set(*cpu)
		runtime.LockOSThread() // an affinity is a thread's own, and inherited from the one that forks
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			fmt.Fprintln(os.Stderr, "confine:", os.NewSyscallError("sched_setaffinity", err))
			return 1
		}
	}
	return superviseMachine(flags.Args(), *extra)
}

func superviseMachine(argv []string, extra int) int {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP) // the caller decides, over the lifeline
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	for i := range extra {
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(4+i), "passed on"))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "confine:", err)
		return 1
	}
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	cut := make(chan struct{})
	go func() {
		_, _ = os.NewFile(3, "lifeline").Read(make([]byte, 1))
		close(cut)
	}()
	ended := make(chan int)
	go func() {
		_ = cmd.Wait()
		ended <- cmd.ProcessState.ExitCode()
	}()
	code := 0
	select {
	case code = <-ended:
	case <-cut:
	}
	killFamily(cmd.Process.Pid)
	return code
}

// dropCapabilities takes from the machine, which starts as root by execve, all capabilities but the one to read every
// file: with CAP_SYS_ADMIN it could undo the read-only mounts. A bounding set is each thread's own, and any thread may
// be the one that forks.
func dropCapabilities() error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if c == unix.CAP_DAC_READ_SEARCH {
			continue
		}
		_, _, errno := allThreads(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0)
		if errno == unix.EINVAL { // newer than this kernel
			return nil
		}
		if errno != 0 {
			return os.NewSyscallError("prctl PR_CAPBSET_DROP", errno)
		}
	}
	return nil
}

// readOnlyHost makes every mount of this mount namespace read-only except dir.
func readOnlyHost(dir, memDir string) error {
	for _, m := range []mount{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{dir, dir, "", unix.MS_BIND, ""},
	} {
		if err := m.do(); err != nil {
			return err
		}
	}
	ro := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, ro); err != nil {
		return os.NewSyscallError("mount_setattr", err)
	}
	rw := &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, dir, 0, rw); err != nil {
		return os.NewSyscallError("mount_setattr", err)
	}
	if memDir == "" {
		return nil
	}
	// UML maps its memory from a file with PROT_EXEC; on the disk it would be written back.
	return (mount{"tmpfs", memDir, "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=700"}).do()
}
