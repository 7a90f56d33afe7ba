package sandbox

import (
	"encoding/binary"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/sandbox/prog"
)

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
	for _, l := range slices.Backward(x.root.Lowers) {
		if f := x.inLower(l, name); f.found {
			return f
		}
	}
	if len(x.root.Lowers) > 0 {
		return executable{}
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

// inLower looks for the file in the layers, the topmost first. A whiteout ends
// the search: what lies below it is deleted.
func (x *execScene) inLower(l fs.Lower, name string) executable {
	names := l.Names
	if len(names) == 0 {
		names = []string{"."}
	}
	for _, n := range slices.Backward(names) {
		if f := x.look(path.Join(l.Dir, n), name); f.found {
			f.found = f.mode&os.ModeCharDevice == 0
			return f
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
		if x.root.Of != "" {
			return "no program " + word(name) + " is in the job's PATH in " + word(x.root.Of) + ": check the spelling"
		}
		return "no program " + word(name) + " is in the job's PATH: check the spelling, or use a --rootfs that has it"
	}
	if x.root.Of != "" && path.IsAbs(name) && !x.look("/", name).found {
		return "there is no " + word(name) + " in " + word(x.root.Of) + ": check the spelling"
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
