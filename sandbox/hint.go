package sandbox

import (
	"encoding/binary"
	"errors"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/idmap"
	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
	"github.com/jailrun/jailrun/userns"
)

// host is where the cause of a failure shows. Tests show another one.
type host struct {
	read func(path string) (text string, ok bool) // a small file of the kernel's
	look func(root, name string) executable       // a file below root, which its links do not leave
	path func() string                            // PATH of the caller
}

var thisHost = host{read: readText, look: lookAt, path: callerPath}

func callerPath() string { return os.Getenv("PATH") }

func readText(path string) (string, bool) {
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err == nil
}

// is reports whether a sysctl has the value.
func (h host) is(sysctl, value string) bool {
	text, ok := h.read("/proc/sys/" + sysctl)
	return ok && text == value
}

func noUsernsClone(h host) bool { return h.is("kernel/unprivileged_userns_clone", "0") }
func noUsernsLeft(h host) bool  { return h.is("user/max_user_namespaces", "0") }

func apparmorRestricts(h host) bool {
	text, ok := h.read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
	return ok && text != "0"
}

// filtered: somebody put us under a seccomp filter, as container engines do.
func filtered(h host) bool {
	text, _ := h.read("/proc/self/status")
	return strings.Contains(text, "\nSeccomp:\t2\n")
}

func cgroupV1(h host) bool {
	_, ok := h.read("/sys/fs/cgroup/cgroup.controllers")
	return !ok
}

// A hintRow says what to do about one kind of failure. Empty fields match all.
type hintRow struct {
	is    error        // is in the chain
	stage string       // one of these, separated by blanks
	op    string       // begins Op, as whole words
	path  string       // Path
	errno []unix.Errno // one of these
	when  func(host) bool
	text  string              // one sentence: a file, sysctl, package or flag
	fix   func(*Error) string // instead of text; "" if it knows none
}

// Hints that more than one row gives.
const (
	hintAppArmor  = "AppArmor lets namespaces be made but gives them no rights: give this program a profile that allows userns, or set the sysctl kernel.apparmor_restrict_unprivileged_userns to 0"
	hintContainer = "a container engine's seccomp filter refuses it: start the container with --security-opt seccomp=unconfined --security-opt systempaths=unconfined (Kubernetes: hostUsers: false, procMount: Unmasked; a systemd unit: RestrictNamespaces=no)"
	hintScope     = "start it in a delegated group: systemd-run --user --scope -p Delegate=yes jailrun …; or leave out what needs one (--require cgroup, --swap, --cpuset, --cpu-weight)"
	hintV1        = "this host has its controllers on cgroup v1: boot with systemd.unified_cgroup_hierarchy=1, or leave out what needs v2 (--require cgroup, --swap, --cpuset, --cpu-weight)"
)

// hintRows returns the table; the first row that matches counts. It is built
// on the way of an error only.
func hintRows() []hintRow {
	on := func(e ...unix.Errno) []unix.Errno { return e }
	return []hintRow{
		// What a package knows by name.
		{is: userns.ErrDisabled, fix: disabledFix},
		{is: idmap.ErrNoSubIDs, text: "give the user a range in /etc/subuid and /etc/subgid (sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER), or use --map self"},
		{is: userns.ErrNoNewPrivs, text: "newuidmap cannot gain rights under no_new_privs: start jailrun without it (a systemd unit: NoNewPrivileges=no), or use --map self"},
		{is: userns.ErrNoHelper, text: "install the package uidmap (newuidmap and newgidmap), or use --map self"},
		{fix: helperFix},
		{is: userns.ErrNoBlock, text: "give the container more ids (/proc/self/uid_map shows them), or start jailrun as an ordinary user"},
		{is: userns.ErrNoIDMap, text: "keep the directory on ext4, xfs or btrfs and run Linux 5.12 or later (overlay: 5.19), or show it read-only"},
		{is: limits.ErrNotDelegated, when: cgroupV1, text: hintV1},
		{is: limits.ErrNotDelegated, text: hintScope},
		{is: limits.ErrNoController, when: cgroupV1, text: hintV1},
		{is: limits.ErrNoController, text: "let systemd hand the controllers down: Delegate=cpu cpuset io memory pids under [Service] in /etc/systemd/system/user@.service.d/delegate.conf"},
		{is: fs.ErrNoBase, text: "make /tmp a directory"},

		// The namespaces.
		{op: "clone3", errno: on(unix.EPERM), when: noUsernsClone, text: "set the sysctl kernel.unprivileged_userns_clone to 1"},
		{op: "clone3", errno: on(unix.EPERM, unix.EACCES), when: apparmorRestricts, text: hintAppArmor},
		{op: "clone3", errno: on(unix.EPERM, unix.ENOSYS), when: filtered, text: hintContainer},
		{op: "clone3", errno: on(unix.EPERM), text: "the kernel or a security module refuses user namespaces, as after a chroot; jailrun doctor looks for the cause"},
		{op: "clone3", errno: on(unix.ENOSPC), when: noUsernsLeft, text: "set the sysctl user.max_user_namespaces to 15000 or so: it is 0"},
		{op: "clone3", errno: on(unix.ENOSPC, unix.EUSERS), text: "a limit on namespaces is used up, not a disk: raise user.max_user_namespaces, user.max_net_namespaces and the like, or nest less deep"},
		{op: "clone3", errno: on(unix.EAGAIN), text: "the caller may have no more processes: raise his RLIMIT_NPROC (ulimit -u) or the pids.max of his group"},
		{op: "clone3", errno: on(unix.EACCES, unix.EBUSY, unix.EOPNOTSUPP), text: "the caller may not put processes into the group: start jailrun in a delegated one (systemd-run --user --scope -p Delegate=yes jailrun …)"},
		{op: "clone3", errno: on(unix.EINVAL, unix.ENOSYS), text: "the kernel lacks namespaces (CONFIG_USER_NS and the like) or is older than Linux 5.7"},
		{stage: "identity", errno: on(unix.EPERM, unix.EACCES), when: apparmorRestricts, text: hintAppArmor},
		{stage: "root dev proc net", errno: on(unix.EPERM), when: apparmorRestricts, text: hintAppArmor},
		{stage: "fork", op: "fork-job", errno: on(unix.EAGAIN), text: "there is no room for another process: raise the caller's RLIMIT_NPROC (ulimit -u) or the pids.max of his group"},

		// The root.
		{op: "mount proc", errno: on(unix.EPERM), text: "the /proc around us is masked, as in containers: docker run --security-opt systempaths=unconfined, Kubernetes procMount: Unmasked"},
		{op: "mount overlay", errno: on(unix.ENODEV), text: "load the overlay module (sudo modprobe overlay), or use --cwd ro"},
		{op: "mount overlay", errno: on(unix.EINVAL, unix.EPERM, unix.ELOOP), text: "the directory's file system cannot be part of an overlay (two overlays deep, mounts below it), or Linux is older than 5.11: use --cwd ro, or a rootfs on ext4, xfs or btrfs"},
		{op: "mount", errno: on(unix.EPERM, unix.EACCES), when: filtered, text: "the container's security profile refuses mounts: start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined"},
		{op: "mount", errno: on(unix.ENOSPC), text: "the sysctl fs.mount-max is reached; it is not the disk"},
		{op: "mount", errno: on(unix.ENOENT), text: "what is shown must exist when the run starts: check --bind, or give it the option optional"},
		{stage: "root dev", errno: on(unix.ENOSPC), text: "the root itself does not fit: raise --disk or --inodes"},
		{path: "/dev/net/tun", errno: on(unix.EACCES, unix.EPERM), text: "/dev/net/tun must be open to this user (sudo chmod 666 /dev/net/tun)"},
		{path: "/dev/net/tun", errno: on(unix.ENOENT, unix.ENODEV, unix.ENXIO), text: "load the tun module: sudo modprobe tun"},

		// The job's limits and rights.
		{op: "prlimit64", errno: on(unix.EPERM), text: "the caller's own hard limit is lower (ulimit -H -a)"},
		{op: "keyctl", errno: on(unix.EDQUOT), text: "the user has no keys left: raise the sysctl kernel.keys.maxkeys"},
		{op: "seccomp", errno: on(unix.EINVAL, unix.ENOSYS), text: "the kernel needs CONFIG_SECCOMP_FILTER"},
		{op: "seccomp", errno: on(unix.ENOMEM), text: "too many filters are stacked around jailrun: nest sandboxes less deep"},

		// The program.
		{stage: "exec", op: "chdir", text: "the working directory must exist inside and be open to the job's user: check --workdir"},
		{stage: "exec", op: "execve", errno: on(unix.ENOENT, unix.ENOTDIR), text: "the program, its interpreter or its loader is not in the root: jailrun plan shows what is"},
		{stage: "exec", op: "execve", errno: on(unix.EACCES), text: "the program is not executable (chmod +x), on a mount with noexec, or not open to the job's user"},
		{stage: "exec", op: "execve", errno: on(unix.ENOEXEC), text: "the program is built for another architecture, or is a script without a first line like #!/bin/sh"},
		{stage: "exec", op: "execve", errno: on(unix.E2BIG), text: "arguments and environment are too long (128 KiB for one, a quarter of --stack for all): pass data by stdin or --file"},
		{stage: "exec", op: "execve", errno: on(unix.ETXTBSY), text: "somebody has the program open for writing: start it when that is done"},
		{stage: "exec", op: "execve", errno: on(unix.ELOOP), text: "too many symbolic links or interpreters lead to the program: name it directly"},
		{stage: "exec", op: "execve", errno: on(unix.ENOMEM), text: "the program does not fit: raise --mem or --as"},
		{stage: "exec", op: "execve", errno: on(unix.EAGAIN), text: "the job's user has too many tasks: raise --pids"},

		// What can run out anywhere.
		{errno: on(unix.EMFILE), text: "jailrun has no descriptors left: raise the caller's RLIMIT_NOFILE (ulimit -n)"},
		{errno: on(unix.ENFILE), text: "the host has no descriptors left: raise the sysctl fs.file-max"},
		{errno: on(unix.ENOMEM), text: "there is no memory left on the host or in the caller's group (memory.max)"},
		{errno: on(unix.EDQUOT), text: "the user's disk quota is used up (quota -s)"},
		{errno: on(unix.ENOSPC), text: "the file system is full, or out of inodes (df -h, df -i)"},
		{errno: on(unix.EROFS), text: "the file system is mounted read-only; a container may need it writable (docker run --cgroupns=private -v /sys/fs/cgroup:/sys/fs/cgroup:rw)"},
	}
}

// hint returns the sentence for e, "" if the table has none.
func hint(e *Error, h host) string {
	for _, r := range hintRows() {
		if !r.matches(e, h) {
			continue
		}
		if r.fix == nil {
			return r.text
		}
		if text := r.fix(e); text != "" {
			return printable(text)
		}
	}
	return ""
}

func (r *hintRow) matches(e *Error, h host) bool {
	if r.is != nil && !errors.Is(e.Err, r.is) {
		return false
	}
	if r.stage != "" && !hasWord(r.stage, e.Stage) || r.path != "" && r.path != e.Path {
		return false
	}
	if r.op != "" && r.op != e.Op && !strings.HasPrefix(e.Op, r.op+" ") {
		return false
	}
	found := r.errno == nil
	for _, errno := range r.errno {
		found = found || errno == e.Errno
	}
	return found && (r.when == nil || r.when(h)) // the host is asked last
}

func hasWord(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}

func disabledFix(e *Error) string {
	var d *userns.DisabledError
	if errors.As(e.Err, &d) && d.Fix != "" {
		return d.Fix
	}
	return "jailrun doctor looks for what refuses user namespaces"
}

// helperFix explains newuidmap, which says why only in words.
func helperFix(e *Error) string {
	var he *userns.HelperError
	switch {
	case !errors.As(e.Err, &he):
		return ""
	case strings.Contains(he.Output, "not allowed"):
		return "the user's ranges in /etc/subuid and /etc/subgid do not hold what --map asks for"
	}
	return "jailrun doctor tries " + he.Path + " and looks for the cause; --map self needs no helper"
}

// An executable is a file that execve(2) was to run, as far as it can be seen.
type executable struct {
	found bool
	mode  os.FileMode
	head  string // its first bytes, if it is a regular file that may be read
}

// lookAt opens name below root with the rights of the caller. It follows no
// link out of root, waits for no FIFO, and reads regular files only.
func lookAt(root, name string) (x executable) {
	top, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return x
	}
	defer unix.Close(top)
	how := unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := unix.Openat2(top, name, &how)
	readable := err == nil
	if !readable {
		how.Flags = unix.O_PATH | unix.O_CLOEXEC
		if fd, err = unix.Openat2(top, name, &how); err != nil {
			return x
		}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if st, err := f.Stat(); err == nil {
		x.found, x.mode = true, st.Mode()
	}
	if readable && x.mode.IsRegular() {
		var b [4096]byte
		n, _ := f.Read(b[:])
		x.head = string(b[:max(n, 0)])
	}
	return x
}

// explainExec gives the error of a failed execve of p a hint that names the
// file. root is what the job sees, name the program as it was asked for, dir
// the current directory outside.
func (e *Error) explainExec(p *prog.Program, root *fs.Root, name, dir string) {
	e.explainExecOn(thisHost, p, root, name, dir)
}

func (e *Error) explainExecOn(h host, p *prog.Program, root *fs.Root, name, dir string) {
	x := execScene{host: h, root: root, name: name, dir: dir, workdir: "/"}
	for _, s := range p.Job {
		if s.Stage != prog.StageExec || len(s.Args) == 0 {
			continue
		}
		file, _ := stringArg(p, s.Args[0])
		switch s.Name {
		case "chdir":
			x.workdir = file
		case "execve":
			x.tried = append(x.tried, file)
		}
	}
	if e.Stage != prog.StageExec.String() || len(x.tried) == 0 {
		return
	}
	if text := x.hint(e.Errno); text != "" {
		e.Hint = printable(text)
	}
}

// An execScene is where a program was looked for.
type execScene struct {
	host
	root      *fs.Root
	name, dir string
	tried     []string // paths inside
	workdir   string   // inside
}

func (x *execScene) hint(errno unix.Errno) string {
	for _, inside := range x.tried {
		if !path.IsAbs(inside) {
			inside = path.Join(x.workdir, inside)
		}
		if f := x.inside(inside); f.found {
			return x.present(inside, f, errno)
		}
	}
	if errno == unix.ENOENT || errno == unix.ENOTDIR {
		return x.absent()
	}
	return ""
}

// inside looks at the file outside that the job sees as name.
func (x *execScene) inside(name string) executable {
	name = path.Clean(name)
	shown := append([]fs.Mount{{Source: x.root.Work.Source, Target: x.root.Work.Target}}, x.root.Extra...)
	for _, m := range slices.Backward(shown) { // the last mount covers the others

		if rest, ok := strings.CutPrefix(name, m.Target); ok && m.Target != "" && (rest == "" || rest[0] == '/') {
			if m.Source == "" {
				return executable{}
			}
			return x.look("/", m.Source+rest)
		}
	}
	if x.root.Dir != "" {
		return x.look(x.root.Dir, name)
	}
	for _, list := range [...][]fs.Entry{x.root.Host.Trees, x.root.Host.Etc} {
		for _, t := range list {
			if name == "/"+t.Name || strings.HasPrefix(name, "/"+t.Name+"/") {
				return x.look("/", name)
			}
		}
	}
	return executable{}
}

// present is the hint for a program that is there.
func (x *execScene) present(name string, f executable, errno unix.Errno) string {
	script, isScript := strings.CutPrefix(f.head, "#!")
	script, _, _ = strings.Cut(script, "\n")
	loader, machine, isELF := parseELF(f.head)
	name = word(name)
	switch {
	case f.mode.IsDir():
		return name + " is a directory: name the program in it"
	case errno == unix.EACCES && f.mode&0o111 == 0:
		return name + " is not executable: chmod +x it, or start it by its interpreter"
	case errno == unix.ENOENT && isScript && strings.HasSuffix(script, "\r"):
		return "the first line of " + name + " ends in a carriage return: save it with Unix line ends"
	case errno == unix.ENOENT && (isScript || isELF && loader != ""):
		what := "loader "
		if isScript {
			what, loader = "interpreter ", firstField(script)
		}
		hint := name + " is there, but its " + what + word(loader) + " is not in the root: "
		if x.look("/", loader).found {
			return hint + "show it with --bind " + word(loader+":"+loader+":ro")
		}
		return hint + "use a --rootfs that has it"
	case errno == unix.ENOEXEC && isELF && machine != "" && machine != runtime.GOARCH:
		return name + " is built for " + machine + ", and this host is " + runtime.GOARCH
	case errno == unix.ENOEXEC && f.head == "":
		return name + " is empty: did its build fail?"
	case errno == unix.ENOEXEC && !isELF:
		return name + " is neither a program nor a script with a first line like #!/bin/sh: did you mean sh " + name + "?"
	}
	return ""
}

// absent is the hint for a program that the job does not see.
func (x *execScene) absent() string {
	name, shown := x.name, x.root.Work.Source != ""
	if !strings.Contains(name, "/") {
		for dir := range strings.SplitSeq(x.path(), ":") {
			if at := path.Join(dir, name); path.IsAbs(dir) && x.look("/", at).found {
				return word(name) + " is " + word(at) + " outside, which is not in the root: show it with --bind " + word(at+":"+at+":ro") + ", or use a --rootfs that has it"
			}
		}
		switch here := x.dir != "" && x.look("/", path.Join(x.dir, name)).found; {
		case here && shown:
			return "did you mean ./" + word(name) + "? the current directory is not searched"
		case here:
			return word(name) + " is in the current directory, which is not shown (--cwd)"
		}
		return "no program " + word(name) + " is in the job's PATH: check the spelling, or use a --rootfs that has it"
	}
	at := name
	if !path.IsAbs(at) {
		at = path.Join(x.dir, at)
	}
	switch within := x.dir != "" && strings.HasPrefix(at, strings.TrimSuffix(x.dir, "/")+"/"); {
	case !x.look("/", at).found:
		return "there is no " + word(name) + ", outside or inside: check the spelling"
	case within && !shown:
		return word(name) + " is in the current directory, which is not shown (--cwd)"
	case within:
		return "the current directory is seen as " + x.root.Work.Target + ": name the program by its path from here"
	}
	return word(at) + " exists outside, but not in the root: show it with --bind " + word(at+":"+at+":ro") + ", or start in its directory (-C)"
}

func firstField(s string) string {
	for f := range strings.FieldsSeq(s) {
		return f
	}
	return ""
}

// word quotes s for a command line to be copied, unless it is plain.
func word(s string) string {
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-./:+,@%=", c) >= 0) {
			return strconv.Quote(s)
		}
	}
	return s
}

// parseELF reads the loader, if it asks for one, and the architecture, if it
// is one that Go has a name for, out of the head of a program. Anybody may have
// written it.
func parseELF(head string) (loader, machine string, ok bool) {
	const loaderType = 3 // PT_INTERP
	if len(head) < 64 || head[:4] != "\x7fELF" || head[5] != 1 {
		return "", "", false
	}
	b, le := []byte(head), binary.LittleEndian
	switch le.Uint16(b[18:]) {
	case 3:
		machine = "386"
	case 40:
		machine = "arm"
	case 62:
		machine = "amd64"
	case 183:
		machine = "arm64"
	case 243:
		machine = "riscv64"
	}
	table, size, n := uint64(le.Uint32(b[28:])), int(le.Uint16(b[42:])), int(le.Uint16(b[44:]))
	is64 := b[4] == 2
	if is64 {
		table, size, n = le.Uint64(b[32:]), int(le.Uint16(b[54:])), int(le.Uint16(b[56:]))
	}
	for ; n > 0 && table < uint64(len(b)) && size >= 32; n, table = n-1, table+uint64(size) {
		h := b[table:]
		if len(h) < 56 || le.Uint32(h) != loaderType {
			continue
		}
		at, length := uint64(le.Uint32(h[4:])), uint64(le.Uint32(h[16:]))
		if is64 {
			at, length = le.Uint64(h[8:]), le.Uint64(h[32:])
		}
		if at < uint64(len(b)) && length <= uint64(len(b))-at {
			loader, _, _ = strings.Cut(head[at:at+length], "\x00")
		}
		break
	}
	return loader, machine, true
}
