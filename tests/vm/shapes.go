package vm

import (
	"fmt"
	"slices"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// Shape is a kind of host on which users met trouble, reproduced by configuration of a machine.
type Shape struct {
	Name  string
	About string
	Lanes []string
}

// Shapes lists the host shapes.
func Shapes() []Shape {
	direct, all, systemd := []string{UML, QEMU}, []string{UML, QEMU, Systemd}, []string{Systemd}
	return []Shape{
		{wire.ShapeMemoryPids, "only the controllers memory and pids are delegated", all},
		{wire.ShapeCgroupReadOnly, "cgroupfs is mounted read-only, as in a plain container", direct},
		{wire.ShapeUndelegated, "the group of the job belongs to root", direct},
		{wire.ShapeSubtreeRoot, "the job sits in the root of its delegated subtree, and all above is root's", direct},
		{wire.ShapeNoBus, "the user has no bus and no user manager to ask", systemd},
		{wire.ShapeNoUserNS, "user.max_user_namespaces=0", direct},
		{wire.ShapeNoUserNSClone, "kernel.unprivileged_userns_clone=0", direct},
		{wire.ShapeMaskedProc, "/proc is covered as in an unprivileged container", direct},
		{wire.ShapeSwap, "swap is present", direct},
		{wire.ShapeNoNSDelegate, "cgroup2 is mounted without nsdelegate", direct},
	}
}

func checkShape(lane, shape string) error {
	if !slices.Contains(Lanes(), lane) {
		return fmt.Errorf("vm: no lane %q; there are %v", lane, Lanes())
	}
	if shape == "" {
		return nil
	}
	for _, s := range Shapes() {
		if s.Name == shape && slices.Contains(s.Lanes, lane) {
			return nil
		}
	}
	return fmt.Errorf("vm: lane %s has no shape %q", lane, shape)
}
