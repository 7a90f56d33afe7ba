package fs

import "strings"

// Sensitive says why a directory must not be shown by default: it is, holds or
// lies in a place whose content is not the job's business. All names are
// absolute and clean; home may be "", keep lists files that must not be below
// dir (our own program, state, cache). "" means that it may be shown.
func Sensitive(dir, home string, keep []string) string {
	if dir == "/" {
		return "the root directory"
	}
	for _, s := range [...]string{"/etc", "/usr", "/var", "/run", "/proc", "/sys", "/dev", "/root", "/boot"} {
		if within(dir, s) {
			return "in " + s
		}
		if within(s, dir) {
			return "above " + s
		}
	}
	if dir == "/home" {
		return "above home directories"
	}
	if rest, ok := strings.CutPrefix(dir, "/home/"); ok {
		_, below, deeper := strings.Cut(rest, "/")
		switch {
		case !deeper:
			return "a home directory"
		case below[0] == '.':
			return "a dot directory of a home"
		}
	}
	if home != "" && home != "/" {
		if dir == home {
			return "a home directory"
		}
		if within(home, dir) {
			return "above a home directory"
		}
		if rest, ok := strings.CutPrefix(dir, home+"/"); ok && strings.HasPrefix(rest, ".") {
			return "a dot directory of a home"
		}
	}
	for _, k := range keep {
		if k != "" && within(k, dir) {
			return "a directory that holds " + k
		}
	}
	return ""
}

// within reports whether name is dir or lies below it.
func within(name, dir string) bool {
	return name == dir || len(name) > len(dir) && name[:len(dir)] == dir && name[len(dir)] == '/'
}

// Exposing says why a directory must not be bound, even on request, unless
// that protection is given up by name: it would show a whole home, or the
// host itself. Unlike Sensitive it lets parts of system directories be shown.
func Exposing(dir, home string) string {
	for _, s := range [...]string{"/proc", "/sys", "/dev", "/run", "/root"} {
		if within(dir, s) {
			return "in " + s
		}
	}
	switch dir {
	case "/", "/etc", "/home", "/var":
		return "a directory of the host itself"
	}
	if why := Sensitive(dir, home, nil); why == "a home directory" || why == "above a home directory" || why == "a dot directory of a home" {
		return why
	}
	return ""
}
