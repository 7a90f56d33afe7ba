package vm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// cpio writes an archive in the format of an initramfs: "newc", see Documentation/driver-api/early-userspace/
// buffer-format.rst of the kernel. Numbers are eight hexadecimal digits; header with name, and data, are padded to 4.
type cpio struct {
	buf bytes.Buffer
	ino int
}

// File types of mode, as in stat(2).
const (
	cpioDir  = 0o040000
	cpioFile = 0o100000
	cpioChar = 0o020000
)

func (c *cpio) add(name string, mode, major, minor int, data []byte) {
	c.ino++
	name = strings.TrimPrefix(name, "/")
	fmt.Fprintf(&c.buf, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		c.ino, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0, name)
	c.pad()
	c.buf.Write(data)
	c.pad()
}

func (c *cpio) pad() {
	for c.buf.Len()%4 != 0 {
		c.buf.WriteByte(0)
	}
}

// writeInitramfs writes the initramfs: the first process, modules and the setup.
func writeInitramfs(path string, p *parts, setup wire.Setup) error {
	var c cpio
	for _, dir := range []string{"/dev", "/proc", "/sys", "/host", "/newroot", "/modules"} {
		c.add(dir, cpioDir|0o755, 0, 0, nil)
	}
	// The kernel opens it for its first process before anything is mounted.
	c.add("/dev/console", cpioChar|0o600, 5, 1, nil)
	init, err := os.ReadFile(p.vminit)
	if err != nil {
		return err
	}
	c.add("/vminit", cpioFile|0o755, 0, 0, init)
	for _, m := range p.modules {
		name := "/modules/" + m.name + ".ko"
		c.add(name, cpioFile|0o644, 0, 0, m.data)
		setup.Modules = append(setup.Modules, name)
	}
	b, err := json.Marshal(setup)
	if err != nil {
		return err
	}
	c.add(wire.SetupPath, cpioFile|0o600, 0, 0, b)
	c.add("TRAILER!!!", 0, 0, 0, nil)
	return os.WriteFile(path, c.buf.Bytes(), 0o600)
}
