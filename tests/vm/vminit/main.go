// Command vminit is the first process of a test machine (see package vm), and the host-side process around the
// machine. It has three roles:
//
//	vminit               pid 1 of the initramfs: makes the guest and serves jobs (or hands over to systemd)
//	vminit agent         lane systemd: a service of the guest that serves jobs
//	vminit confine …     on the host: runs the virtual machine so that it can write nowhere but in its own directory
//
// It is linked statically and belongs to the tests; jailrun does not contain it.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	role := ""
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	var err error
	switch {
	case role == "confine":
		os.Exit(confine(os.Args[2:]))
	case role == "agent":
		err = agent()
	case os.Getpid() == 1:
		err = boot()
	default:
		err = fmt.Errorf("not the first process of a machine; see package tests/vm")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vminit:", err)
	}
	if os.Getpid() == 1 {
		// A power-off and not an exit: the end of pid 1 is a panic, and its stack would bury the message above.
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
	if err != nil {
		os.Exit(1)
	}
}
