package fs

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Users is what the layers of a root say of users: the content of /etc/passwd
// and /etc/group. It is the job's to believe, and means nothing to jailrun.
type Users struct{ Passwd, Group string }

// MostUsers is how many bytes of each are shown, in whole lines.
const MostUsers = 32 << 10

// TopFile reads a small file as the topmost of some layers that speaks of it has
// it: at most most bytes. Dirs are directories, the topmost first; a link is
// resolved within its own. What is hidden, or no regular file, is found and empty.
func TopFile(dirs []string, name string, most int64) (text string, found bool, err error) {
	for _, d := range dirs {
		dir, err := unix.Open(d, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return "", false, &os.PathError{Op: "open", Path: d, Err: err}
		}
		text, found, err = readInRoot(dir, name, most)
		unix.Close(dir)
		if found || err != nil {
			return text, found, err
		}
	}
	return "", false, nil
}

func readInRoot(dir int, name string, most int64) (text string, found bool, err error) {
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return "", false, nil
	case err != nil:
		return "", true, nil // a whiteout, or what nobody may read: it says nothing
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return "", true, nil
	}
	b := make([]byte, min(most, st.Size))
	n := 0
	for n < len(b) {
		more, err := unix.Pread(fd, b[n:], int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return "", true, &os.PathError{Op: "read", Path: name, Err: err}
		}
		if more == 0 {
			break
		}
		n += more
	}
	return string(b[:n]), true, nil
}

// WholeLines cuts what Users holds to MostUsers.
func WholeLines(text string) string {
	if len(text) <= MostUsers {
		return text
	}
	return text[:strings.LastIndexByte(text[:MostUsers], '\n')+1]
}

// passwd joins the job's own entry with those of the layers. A name and a shell
// that they give its uid stay; its home is the one that it has here.
func (u *Users) passwd(home string, uid, gid uint32) string {
	own := []string{"job", "x", num(uid), num(gid), "job", home, "/bin/sh"}
	if uid == 0 {
		own[0], own[4] = "root", "root"
	}
	var rest strings.Builder
	known := u.each(u.Passwd, 7, func(f []string, line string) {
		if f[2] == num(uid) {
			own[0], own[4], own[6] = f[0], f[4], f[6]
			return
		}
		rest.WriteString(line)
	})
	text := strings.Join(own, ":") + "\n" + rest.String()
	if uid != 0 && !known["0"] {
		text += "root:x:0:0:root:/:/bin/sh\n"
	}
	if uid != 65534 && !known["65534"] {
		text += "nobody:x:65534:65534:nobody:/:/bin/false\n"
	}
	return text
}

// group is likewise.
func (u *Users) group(gid uint32) string {
	own := []string{"job", "x", num(gid), ""}
	if gid == 0 {
		own[0] = "root"
	}
	var rest strings.Builder
	known := u.each(u.Group, 4, func(f []string, line string) {
		if f[2] == num(gid) {
			own[0], own[3] = f[0], f[3]
			return
		}
		rest.WriteString(line)
	})
	text := strings.Join(own, ":") + "\n" + rest.String()
	if gid != 0 && !known["0"] {
		text += "root:x:0:\n"
	}
	if gid != 65534 && !known["65534"] {
		text += "nogroup:x:65534:\n"
	}
	return text
}

// each calls see for the first line of each number, in the third of the fields,
// and returns the numbers.
func (*Users) each(text string, fields int, see func(f []string, line string)) map[string]bool {
	var known map[string]bool // nil, as for most, of none
	for line := range strings.Lines(WholeLines(text)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(f) != fields || f[0] == "" {
			continue
		}
		id, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil || num(uint32(id)) != f[2] || known[f[2]] {
			continue
		}
		if known == nil {
			known = map[string]bool{}
		}
		known[f[2]] = true
		see(f, strings.TrimSuffix(line, "\n")+"\n")
	}
	return known
}

func num(id uint32) string { return strconv.FormatUint(uint64(id), 10) }
