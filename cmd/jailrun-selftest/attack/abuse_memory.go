package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// takeMemory takes memory of a kind, page by page, for ever: the sandbox ends
// it or refuses.
func takeMemory(args []string) error {
	const chunk = 1 << 20
	kind := "anon"
	if len(args) > 0 {
		kind = args[0]
	}
	for n := 0; ; n++ {
		var err error
		switch kind {
		case "anon":
			err = touchMap(chunk, unix.MAP_PRIVATE)
		case "shared":
			err = touchMap(chunk, unix.MAP_SHARED)
		case "memfd":
			var fd int
			if fd, err = unix.MemfdCreate("m", 0); err == nil {
				_, err = unix.Write(fd, make([]byte, chunk))
			}
		case "shm":
			var id int
			if id, err = unix.SysvShmGet(unix.IPC_PRIVATE, chunk, 0o600|unix.IPC_CREAT); err == nil {
				var mem []byte
				if mem, err = unix.SysvShmAttach(id, 0, 0); err == nil {
					touch(mem)
					err = unix.SysvShmDetach(mem)
				}
			}
		case "tmpfs":
			err = os.WriteFile(filepath.Join("/dev/shm", strconv.Itoa(n)), make([]byte, chunk), 0o600)
		case "unlinked":
			var fd int
			if fd, err = unix.Open("/tmp/u", unix.O_CREAT|unix.O_RDWR|unix.O_EXCL, 0o600); err == nil {
				_ = unix.Unlink("/tmp/u")
				_, err = unix.Write(fd, make([]byte, chunk))
			}
		default:
			return fmt.Errorf("no kind %q", kind)
		}
		if err != nil {
			return say("refused after", n, outcome(err))
		}
	}
}

func touchMap(size, flags int) error {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_ANONYMOUS)
	if err == nil {
		touch(mem)
	}
	return err
}

func touch(mem []byte) {
	for i := 0; i < len(mem); i += 4096 {
		mem[i] = 1
	}
}

// oomPartly has a child take the memory and goes on as if nothing had been.
func oomPartly([]string) error {
	_ = self("memory", "anon").Run()
	return say("ok")
}
