package userns

import (
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
)

// What a launch pays for its maps: the write alone, and with the decision.
func BenchmarkWriteMaps(b *testing.B) {
	uid, gid := own()
	if os.Geteuid() == 0 {
		uid, gid = idmap.Block(0x70000000, 1000), idmap.Block(0x70000000, 1000)
	}
	defer lockThread()()
	for b.Loop() {
		b.StopTimer()
		p, err := startStopped(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := WriteMaps(b.Context(), p.proc.Pid, p.pidfd, uid, gid); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		p.end()
		b.StartTimer()
	}
}

func BenchmarkNewNamespace(b *testing.B) {
	uid, gid := own()
	for b.Loop() {
		ns, err := NewNamespace(b.Context(), uid, gid)
		if err != nil {
			b.Fatal(err)
		}
		ns.Close()
	}
}

func BenchmarkLockBlock(b *testing.B) {
	for b.Loop() {
		_, lock, err := LockBlock()
		if err != nil {
			b.Fatal(err)
		}
		lock.Close()
	}
}

func BenchmarkMappedTree(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root for id-mapped mounts")
	}
	ns, err := NewNamespace(b.Context(), idmap.Self(0, 0x70000000), idmap.Self(0, 0x70000000))
	if err != nil {
		b.Fatal(err)
	}
	defer ns.Close()
	for b.Loop() {
		tree, err := MappedTree(unix.AT_FDCWD, ".", ns)
		if err != nil {
			b.Fatal(err)
		}
		tree.Close()
	}
}

func BenchmarkProbes(b *testing.B) {
	for b.Loop() {
		Probes(b.Context())
	}
}
