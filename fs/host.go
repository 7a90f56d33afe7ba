package fs

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A Host is what a composed root takes from the machine it is on. It is read
// once per launch by [Survey] and is plain data, so that plans can be tested
// without the machine.
type Host struct {
	Base  string  // directory the new root is first mounted on
	Trees []Entry // directories shown read-only, and links between them
	Etc   []Entry // below /etc
	Masks []Mask  // below /proc
}

// An Entry is a name of the host that the root shows as well.
type Entry struct {
	Name string // relative to the root, "usr" or "etc/ssl"
	Link string // target, if it is a symbolic link
	Dir  bool
}

// A Mask hides an entry of /proc.
type Mask struct {
	Name string // relative to /proc
	Dir  bool
}

var (
	bases = [...]string{"/tmp", "/mnt", "/var/tmp", "/run"}
	trees = [...]string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "opt", "nix", "gnu"}
	// What programs of a distribution's packages read, and nothing that tells
	// of users, network, services or secrets of this host. Each costs a mount.
	etcNames = [...]string{
		"alternatives", "ca-certificates", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld-musl-x86_64.path",
		"localtime", "login.defs", "mime.types", "os-release", "pki", "protocols", "services", "ssl/certs", "ssl/openssl.cnf",
	}
	etcPrefixes = [...]string{"java", "python", "perl"}
	// Entries that another advisory has each found to tell of other users'
	// work or of the hardware; boot_id names this host to whoever compares. Those which only the host's root may read stay
	// as they are: the job never is that.
	masks = [...]string{
		"acpi", "asound", "bus", "cmdline", "diskstats", "driver", "fs", "interrupts", "iomem", "ioports", "irq", "kallsyms",
		"kcore", "key-users", "keys", "kpagecgroup", "kpagecount", "kpageflags", "latency_stats", "modules",
		"mtrr", "sched_debug", "scsi", "slabinfo", "softirqs", "swaps", "sysrq-trigger", "timer_list", "timer_stats",
		"partitions", "config.gz", "pressure", "tty", "version_signature", "vmallocinfo", "zoneinfo", "pagetypeinfo", "buddyinfo",
		"sys/kernel/random/boot_id",
	}
)

// ErrNoBase reports a host without any directory to mount the new root on.
var ErrNoBase = errors.New("none of /tmp /mnt /var/tmp /run is a directory")

// Survey looks at the host: a few dozen stat calls, no more. Composed says
// whether the root is made of the host's directories.
func Survey(composed bool) (Host, error) {
	var h Host
	var st unix.Stat_t
	for _, b := range bases {
		if unix.Lstat(b, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			h.Base = b
			break
		}
	}
	if h.Base == "" {
		return h, ErrNoBase
	}
	for _, d := range devices {
		if err := checkDevice(d); err != nil {
			return h, err
		}
	}
	for _, m := range masks {
		switch err := unix.Lstat("/proc/"+m, &st); {
		case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR):
		case err != nil: // left out, it would be shown
			return h, &os.PathError{Op: "lstat", Path: "/proc/" + m, Err: err}
		case st.Mode&0o044 != 0:
			h.Masks = append(h.Masks, Mask{Name: m, Dir: st.Mode&unix.S_IFMT == unix.S_IFDIR})
		}
	}
	if !composed {
		return h, nil
	}
	for _, t := range trees {
		if e, ok := entry(t); ok && (e.Dir || e.Link != "") {
			h.Trees = append(h.Trees, e)
		}
	}
	return h, h.surveyEtc()
}

func (h *Host) surveyEtc() error {
	for _, n := range etcNames {
		if e, ok := entry("etc/" + n); ok {
			h.Etc = append(h.Etc, e)
		}
	}
	names, err := etcDirectory()
	if err != nil {
		return err
	}
	var found []string
	for _, n := range names {
		for _, p := range etcPrefixes {
			if strings.HasPrefix(n, p) {
				found = append(found, n)
			}
		}
	}
	sortStrings(found)
	for _, n := range found {
		if e, ok := entry("etc/" + n); ok {
			h.Etc = append(h.Etc, e)
		}
	}
	return nil
}

// etcDirectory lists /etc, without the poller that os.Open would start.
func etcDirectory() ([]string, error) {
	fd, err := unix.Open("/etc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil // a host without /etc has nothing to show
	}
	defer unix.Close(fd)
	var names []string
	for buf := make([]byte, 16<<10); ; {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return nil, &os.PathError{Op: "getdents64", Path: "/etc", Err: err}
		}
		if n == 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

// sortStrings is an insertion sort: the list has a handful of names.
func sortStrings(s []string) {
	for i := 1; i < len(s); i++ {
		for j := i; j > 0 && s[j] < s[j-1]; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
}

// entry looks at one name of the host. What only others may not read is left
// out: the job could not read it either, or must not.
func entry(name string) (Entry, bool) {
	var st unix.Stat_t
	if unix.Lstat("/"+name, &st) != nil {
		return Entry{}, false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		to, err := os.Readlink("/" + name)
		return Entry{Name: name, Link: to}, err == nil
	case unix.S_IFDIR:
		return Entry{Name: name, Dir: true}, st.Mode&0o005 == 0o005
	case unix.S_IFREG:
		return Entry{Name: name}, st.Mode&0o004 != 0
	}
	return Entry{}, false
}

// checkDevice guards against a host, or a container around us, whose /dev is
// not what its names say (CVE-2025-31133 began with a /dev/null that was a
// link).
func checkDevice(d device) error {
	var st unix.Stat_t
	if err := unix.Lstat("/dev/"+d.name, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: "/dev/" + d.name, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, d.minor) {
		return fmt.Errorf("/dev/%s is not the character device 1:%d", d.name, d.minor)
	}
	return nil
}
