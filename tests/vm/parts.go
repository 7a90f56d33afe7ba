package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// parts is what a lane puts a machine together from.
type parts struct {
	vminit  string // the binary on the host
	kernel  string
	modules []module
	rootFS  wire.FS
	system  wire.FS
	image   string // disk image of System
	channel string // devices as the guest names them
	scratch string
	oneCPU  bool // the machine is faster on one CPU
	cache   *cache
	argv    func(cfg Config, dir string) []string
}

// gather finds, fetches or builds the parts of the lane.
func gather(ctx context.Context, cfg Config) (*parts, error) {
	cache, err := openCache(cfg.Log)
	if err != nil {
		return nil, err
	}
	if err := cache.needTools(ctx, [2]string{"mke2fs", "e2fsprogs"}); err != nil {
		return nil, err
	}
	p := &parts{cache: cache}
	if p.vminit, err = cache.buildInit(ctx); err != nil {
		return nil, err
	}
	switch cfg.Lane {
	case UML:
		err = p.uml(ctx, cache)
	case Systemd:
		err = p.systemd(ctx, cache)
	case QEMU:
		err = p.qemu(ctx, cache, cfg.Kernel)
	}
	return p, err
}

// uml takes Debian's User Mode Linux.
func (p *parts) uml(ctx context.Context, cache *cache) error {
	root := "/"
	if _, err := os.Stat("/usr/bin/linux.uml"); err != nil {
		if root, err = cache.unpacked(ctx, "user-mode-linux"); err != nil {
			return err
		}
	}
	p.kernel = filepath.Join(root, "usr/bin/linux.uml")
	if err := p.loadModules(filepath.Join(root, "usr/lib/uml/modules"), "overlay", "tun", "fuse"); err != nil {
		return err
	}
	p.rootFS = wire.FS{Type: "hostfs", Source: "none", Options: "/"}
	p.channel, p.scratch, p.oneCPU = "/dev/ttyS0", "/dev/ubda", true
	p.argv = func(cfg Config, dir string) []string {
		args := []string{
			p.kernel, "mem=" + strconv.Itoa(cfg.MemMiB) + "M", "initrd=" + filepath.Join(dir, "initrd"), "rdinit=/vminit",
			"ubd0=" + filepath.Join(dir, "scratch.img"), "umid=vm", "uml_dir=" + filepath.Join(dir, "uml"),
			"con=null", "con0=null,fd:1", "ssl=null", "ssl0=fd:3", "panic=1", "pty.legacy_count=0",
		}
		if p.image != "" {
			args = append(args, "ubd1="+filepath.Join(dir, "system.cow")+","+p.image)
		}
		return append(args, cfg.kernelArgs...)
	}
	return nil
}

// systemd boots an image of its own in User Mode Linux; the image itself is never written to.
func (p *parts) systemd(ctx context.Context, cache *cache) error {
	if err := p.uml(ctx, cache); err != nil {
		return err
	}
	var err error
	p.image, err = cache.image(ctx)
	p.system = wire.FS{Type: "ext4", Source: "/dev/ubdb"}
	return err
}

// loadModules loads modules out of the last version below dir.
func (p *parts) loadModules(dir string, names ...string) error {
	versions, err := filepath.Glob(filepath.Join(dir, "*", "kernel"))
	if err != nil || len(versions) == 0 {
		return errors.Join(fmt.Errorf("%s: no modules", dir), err)
	}
	tree, err := openModules(filepath.Dir(versions[len(versions)-1]))
	if err != nil {
		return err
	}
	p.modules, err = tree.load(names)
	return err
}

// buildInit compiles the guest's first process. It is linked again only when its source has changed.
func (c *cache) buildInit(ctx context.Context) (string, error) {
	unlock, err := c.lock("vminit")
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(c.dir, "vminit")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path,
		"github.com/jailrun/jailrun/tests/vm/vminit")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build vminit (from inside the module's directory?): %w: %s", err, bytes.TrimSpace(out))
	}
	return path, nil
}
