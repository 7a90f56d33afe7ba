package attack

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Posture writes how the calling process is confined, in lines that do not
// differ between hosts, but for those that begin with "host:".
func Posture(w io.Writer) error {
	fds := openDescriptors() // before any is opened here
	p := &posture{w: w}
	p.say("descriptors %s", fds)
	p.threads()
	p.credentials()
	p.limits()
	p.mounts()
	p.sysctls()
	p.say("sockets %s", strings.Join(families(), " "))
	p.namespaces()
	return p.err
}

type posture struct {
	w   io.Writer
	err error
}

func (p *posture) say(format string, a ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", a...)
	}
}

// openDescriptors lists them with their kind and mode.
func openDescriptors() string {
	var list []string
	for fd := range 1024 {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			continue
		}
		to, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		kind, _, _ := strings.Cut(to, ":[")
		if kind == "anon_inode" || strings.HasPrefix(to, "anon_inode:") {
			continue // the Go runtime's own
		}
		list = append(list, fmt.Sprintf("%d=%s/%d", fd, kind, flags&unix.O_ACCMODE))
	}
	return strings.Join(list, " ")
}

// threads says what holds for every thread, from /proc.
func (p *posture) threads() {
	tasks, _ := filepath.Glob("/proc/self/task/*/status")
	same := map[string]bool{}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		var lines []string
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			switch name {
			case "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Uid", "Gid", "Groups", "Umask",
				"SigIgn", "THP_enabled": // not SigBlk: the Go runtime blocks all while it makes a thread
				lines = append(lines, name+" "+strings.Join(strings.Fields(value), " "))
			}
		}
		same[strings.Join(lines, "\n")] = true
	}
	p.say("threads differ %v", len(same) != 1)
	for text := range same {
		p.say("%s", text)
	}
}

func (p *posture) credentials() {
	bits, _ := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	dumpable, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	reaper, _ := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	sid, _ := unix.Getsid(0)
	oom, _ := os.ReadFile("/proc/self/oom_score_adj")
	nice, _ := unix.Getpriority(unix.PRIO_PROCESS, 0)
	host, _ := os.Hostname()
	p.say("securebits %#x dumpable %d no_new_privs %d", bits, dumpable, reaper)
	p.say("pid %d session leader %v oom_score_adj %s nice %d hostname %s", os.Getpid(), sid == os.Getpid(), strings.TrimSpace(string(oom)), 20-nice, host)
	env := os.Environ()
	slices.Sort(env)
	p.say("environment %s", strings.Join(env, " "))
}

func (p *posture) limits() {
	for i := range 16 {
		var l unix.Rlimit
		if unix.Getrlimit(i, &l) == nil {
			p.say("rlimit %d %s %s", i, limitText(l.Cur), limitText(l.Max))
		}
	}
}

func limitText(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

// mounts says the flags of the mounts that every host's sandbox has; the
// host's own trees, which differ, are to have the same flags, all.
func (p *posture) mounts() {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	trees := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		before, after, _ := strings.Cut(strings.TrimSpace(line), " - ")
		f, kind := strings.Fields(before), strings.Fields(after)
		where, flags := f[4], "propagation "+strings.Join(f[6:], ",")+" "+mountFlags(f[5])
		switch {
		case where == "/" || where == "/proc" || where == "/dev" || where == "/dev/shm" || where == "/work":
			p.say("mount %s %s %s", where, kind[0], flags)
		case strings.HasPrefix(where, "/proc/"):
			trees["/proc/… "+flags] = true
		case strings.HasPrefix(where, "/dev/"):
			trees["/dev/… "+flags] = true
		case where == "/attack":
		default:
			trees["trees "+flags] = true
		}
	}
	for _, line := range slices.Sorted(keys(trees)) {
		p.say("mount %s", line)
	}
}

// mountFlags keeps what protects; how access times are kept is the host's.
func mountFlags(text string) string {
	var keep []string
	for f := range strings.SplitSeq(text, ",") {
		if !strings.Contains(f, "atime") {
			keep = append(keep, f)
		}
	}
	return strings.Join(keep, ",")
}

func keys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (p *posture) sysctls() {
	list, _ := filepath.Glob("/proc/sys/user/*")
	for _, path := range list {
		text, err := os.ReadFile(path)
		if err == nil {
			p.say("sysctl %s %s", filepath.Base(path), strings.TrimSpace(string(text)))
		}
	}
	writable := 0
	_ = filepath.WalkDir("/proc/sys", func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && unix.Access(path, unix.W_OK) == nil {
			writable++
		}
		return nil //nolint:nilerr // a directory that may not be read
	})
	p.say("writable sysctls %d", writable)
}

// namespaces says which ones it is in; only a test outside can compare.
func (p *posture) namespaces() {
	for _, ns := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
		to, _ := os.Readlink("/proc/self/ns/" + ns)
		p.say("host: namespace %s %s", ns, to)
	}
}
