package main

import (
	"slices"
	"strings"

	"github.com/jailrun/jailrun/sandbox/plain"
)

// words is a command line taken apart, before any value has been looked at.
type words struct {
	command string   // "" when none was named: run
	flags   []given  // in order, of run and plan
	args    []string // the job's program and arguments; for other commands all that follows
	help    bool     // -h or --help stood among the flags
}

// A given is one flag as it was given.
type given struct {
	flag  *flagDef
	value string
}

// split takes a command line apart in the manner of GNU: --flag VALUE,
// --flag=VALUE, single letters bundled, "--" before the program. What was
// understood before an error is returned with it, so that a result file named
// there can say what went wrong.
func split(args []string) (words, error) {
	var w words
	for i := 0; i < len(args); i++ {
		a := args[i]
		var err error
		switch {
		case a == "--":
			w.args = args[i+1:]
			return w, nil
		case strings.HasPrefix(a, "--"):
			i, err = w.long(args, i)
		case len(a) > 1 && a[0] == '-':
			i, err = w.letters(args, i)
		case w.command != "" || strings.Contains(a, "/"):
			w.args = args[i:]
			return w, nil
		default:
			var end bool
			if end, err = w.word(args[i:], i == 0); end {
				return w, err
			}
		}
		if err != nil || w.help {
			return w, err
		}
	}
	return w, nil
}

// word takes a bare word where a command may stand, rest[0]. The program may
// stand there as well once a flag has been given; as the very first word it
// may not, so that a mistyped command never becomes a program that is not
// found.
func (w *words) word(rest []string, first bool) (end bool, err error) {
	c := findCommand(rest[0])
	switch {
	case c == nil && first:
		return true, unknownCommand(rest[0])
	case c == nil:
		w.args = rest
		return true, nil
	case c.takesFlags:
		w.command = c.name
		return false, nil
	case !first:
		// Neither reading may win silently: both exist.
		flag := w.flags[0].flag.dashed()
		return true, &usageError{
			text: flag + " is a flag of run, and " + c.name + " takes none of them",
			hint: "to run a program named " + c.name + ": jailrun … -- " + c.name,
		}
	}
	w.command, w.args = c.name, rest[1:]
	return true, nil
}

// long takes --flag, --flag=VALUE or --flag VALUE at args[i] and returns the
// index of the last word that belongs to it.
func (w *words) long(args []string, i int) (int, error) {
	name, value, glued := strings.Cut(args[i][2:], "=")
	f := findFlag(name)
	switch {
	case name == "help" && !glued:
		w.help = true
		return i, nil
	case name == "version" && !glued && i == 0 && len(args) == 1:
		w.command = "version"
		return i, nil
	case f == nil || len(name) == 1:
		return i, unknownFlag("--" + name)
	case f.value == "" && glued:
		return i, &usageError{text: f.dashed() + " takes no value, but has " + quote(value)}
	case f.value != "" && !glued:
		return w.next(f, args, i)
	}
	w.flags = append(w.flags, given{f, value})
	return i, nil
}

// letters takes -q, -nq, -C DIR or -CDIR at args[i] and returns the index of
// the last word that belongs to it.
func (w *words) letters(args []string, i int) (int, error) {
	for k, letter := range args[i][1:] {
		f := findFlag(string(letter))
		switch {
		case letter == 'h':
			w.help = true
			return i, nil
		case f == nil:
			return i, unknownFlag(args[i])
		case f.value == "":
			w.flags = append(w.flags, given{f, ""})
			continue
		}
		if value := args[i][1+k+1:]; value != "" {
			w.flags = append(w.flags, given{f, value})
			return i, nil
		}
		return w.next(f, args, i)
	}
	return i, nil
}

// next takes the word after args[i] as the value of f.
func (w *words) next(f *flagDef, args []string, i int) (int, error) {
	if i+1 == len(args) || args[i+1] == "--" {
		return i, &usageError{text: f.dashed() + " needs a value: " + f.dashed() + " " + f.value}
	}
	w.flags = append(w.flags, given{f, args[i+1]})
	return i + 1, nil
}

// last returns the value of the last flag of a name, and whether there is one.
func (w *words) last(name string) (string, bool) {
	for _, g := range slices.Backward(w.flags) {
		if g.flag.name == name {
			return g.value, true
		}
	}
	return "", false
}

// has tells whether a flag was given.
func (w *words) has(name string) bool {
	_, ok := w.last(name)
	return ok
}

// A usageError is a command line that cannot be taken as it stands. The text
// names field and value, the hint the fix where the text does not.
type usageError struct {
	text, hint string
	err        error // the cause, where there is one
}

func (e *usageError) Error() string { return e.text }

func (e *usageError) Unwrap() error { return e.err }

func unknownCommand(word string) error {
	hint := "to run a program: jailrun -- " + word
	if near := plain.Nearest(word, commandNames()); near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return &usageError{text: "unknown command " + quote(word), hint: hint}
}

func unknownFlag(flag string) error {
	bare := strings.TrimLeft(flag, "-")
	near := plain.Nearest(bare, flagNames())
	for _, f := range foreignFlags {
		if f[0] == bare {
			near = f[1]
		}
	}
	hint := "jailrun help flags lists them all"
	if near != "" {
		hint = "did you mean " + dashed(near) + "?"
	}
	return &usageError{text: "unknown flag " + quote(flag), hint: hint}
}

// foreignFlags are names that other tools have for flags of ours.
var foreignFlags = [...][2]string{
	{"memory", "mem"},
	{"cpus", "cpu"},
	{"timeout", "wall"},
	{"volume", "bind"},
	{"network", "net"},
	{"read-only", "ro-root"},
	{"root", "rootfs"},
	{"uid", "user"},
}
