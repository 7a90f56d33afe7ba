package vm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jailrun/jailrun/tests/vm/wire"
)

// qemu takes a stock kernel of Debian under QEMU without hardware acceleration, which test machines rarely have.
func (p *parts) qemu(ctx context.Context, cache *cache, kernel string) error {
	if err := cache.needTools(ctx, [2]string{"qemu-system-x86_64", "qemu-system-x86"}, [2]string{"xz", "xz-utils"}); err != nil {
		return err
	}
	tool, err := findTool("qemu-system-x86_64")
	if err != nil {
		return err
	}
	root, err := cache.kernel(ctx, kernel)
	if err != nil {
		return err
	}
	if err := p.stockKernel(root); err != nil {
		return err
	}
	p.rootFS = wire.FS{Type: "9p", Source: "host", Options: "ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose"}
	p.channel, p.scratch = "/dev/vport0p1", "/dev/vda"
	p.argv = func(cfg Config, dir string) []string {
		cmdline := append([]string{"console=ttyS0", "rdinit=/vminit", "panic=-1", "mitigations=off", "no_timer_check"}, cfg.kernelArgs...)
		return []string{
			tool, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-accel", "tcg", "-cpu", "max",
			"-smp", "2", "-m", strconv.Itoa(cfg.MemMiB), "-kernel", p.kernel, "-initrd", filepath.Join(dir, "initrd"),
			"-append", strings.Join(cmdline, " "),
			"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
			"-device", "virtio-serial-pci", "-chardev", "socket,id=channel,fd=3", "-device", "virtserialport,chardev=channel",
			"-drive", "if=virtio,format=raw,cache=unsafe,file=" + filepath.Join(dir, "scratch.img"),
			"-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
		}
	}
	return nil
}

// stockKernel finds kernel and modules in an unpacked package: in /boot and /lib/modules, since Debian 13 in
// /usr/lib/modules, where newer packages have the kernel too.
func (p *parts) stockKernel(root string) error {
	var kernels []string
	for _, pattern := range []string{"boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		kernels = append(kernels, found...)
	}
	if len(kernels) != 1 {
		return fmt.Errorf("%s: %d kernels", root, len(kernels))
	}
	p.kernel = kernels[0]
	modules := filepath.Join(root, "usr/lib/modules")
	if _, err := os.Stat(modules); err != nil {
		modules = filepath.Join(root, "lib/modules")
	}
	return p.loadModules(modules, "virtio_pci", "virtio_blk", "virtio_console", "9pnet_virtio", "9p",
		"?crc32c_generic", "ext4", "overlay", "tun", "fuse",
		"?nf_tables", "?nft_reject_inet", "?nft_limit", "?nft_ct", "?veth")
}
