package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/cmd/jailrun-selftest/attack"
)

// inside does what this program is called for by itself, in a sandbox, and by
// the tests: one attempt, a set of them each in a process of its own, one of
// the noisy programs, or a report of the posture. None of it is for users.
func inside(args []string) (code int, ok bool) {
	if len(args) == 0 {
		return 0, false
	}
	var err error
	switch args[0] {
	case "attack":
		if len(args) != 2 {
			return 2, true
		}
		err = attack.One(os.Stdout, args[1])
	case "attacks":
		err = each(args[1:])
	case "abuse":
		if len(args) < 2 {
			return 2, true
		}
		err = attack.Abuse(args[1], args[2:])
	case "posture":
		err = attack.Posture(os.Stdout)
	default:
		return 0, false
	}
	if err != nil {
		fmt.Println(err)
		return 3, true
	}
	return 0, true
}

// each makes all attempts, those from a number on, or those of which the
// control is this place.
func each(where []string) error {
	names := attack.Names(func(attack.Attack) bool { return true })
	if len(where) > 0 {
		if first, err := strconv.Atoi(where[0]); err == nil && first >= 0 && first < len(names) {
			return attack.Each(os.Stdout, names[first:], "attack", 0)
		}
		control, ok := map[string]attack.Control{"outside": attack.Outside, "namespace": attack.Namespace}[where[0]]
		if !ok {
			return errors.New("no such place: " + where[0])
		}
		names = attack.Names(func(a attack.Attack) bool { return a.Control == control && !a.Mounts() })
		if control == attack.Namespace {
			if err := ownProc(); err != nil {
				return err
			}
			// What one mounts is not in the way of the next. Only for these: the end of
			// a mount namespace takes the kernel a second where it is busy.
			mounting := attack.Names(func(a attack.Attack) bool { return a.Control == control && a.Mounts() })
			if err := attack.Each(os.Stdout, mounting, "attack", unix.CLONE_NEWNS); err != nil {
				return err
			}
		}
	}
	return attack.Each(os.Stdout, names, "attack", 0)
}

// ownProc shows the new namespaces in /proc.
func ownProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	return os.NewSyscallError("mount proc", unix.Mount("proc", "/proc", "proc", 0, ""))
}
