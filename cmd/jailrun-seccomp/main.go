//go:build libseccomp

// Command jailrun-seccomp is `jailrun seccomp`: it shows and explains the
// profiles of system call filters, compiles those of users, and records new
// ones. It is the only program of the project that needs cgo, for libseccomp:
// what it compiles must answer every call as libseccomp's own filter does.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const help = `jailrun seccomp: profiles of system call filters

  jailrun seccomp list                      the built-in profiles
  jailrun seccomp show PROFILE              the text of one, with its reasons
  jailrun seccomp explain PROFILE SYSCALL…  how a call (its name or number) is answered, by which line, and why
  jailrun seccomp lint PROFILE              what it allows of what is known to be dangerous
  jailrun seccomp check FILE                compile a profile, and say what is wrong
  jailrun seccomp record [--out FILE] [flags of run] -- CMD [ARG…]
                                            run CMD and write the smallest profile that lets it pass

PROFILE is the name of a built-in one or a file, which has a / or a . in its
name: a text as "show default" prints, or the JSON of OCI runtimes and Docker.
To run with one: jailrun --seccomp FILE -- CMD
`

// errUsage is wrapped by what is wrong with a command line.
var errUsage = errors.New("see jailrun seccomp --help")

func main() {
	code, err := run(os.Args[1:], os.Stdout)
	if err != nil {
		text, hint := err.Error(), ""
		if errors.Is(err, errUsage) {
			text, hint, _ = strings.Cut(text, "\n")
		}
		fmt.Fprintln(os.Stderr, "jailrun: error: "+text)
		if hint != "" {
			fmt.Fprintln(os.Stderr, "jailrun: hint: "+hint)
		}
		code = 125
	}
	os.Exit(code)
}

// usage is an error that ends with where to read more.
func usage(format string, args ...any) error {
	return fmt.Errorf(format+"\n%w", append(args, errUsage)...)
}

// run carries out a command line and returns the exit code.
func run(args []string, out io.Writer) (int, error) {
	if len(args) == 0 {
		return 0, usage("no command given")
	}
	name, rest := args[0], args[1:]
	want := func(n int, what string) error {
		if len(rest) != n {
			return usage("%s wants %s, got %d arguments", name, what, len(rest))
		}
		return nil
	}
	switch name {
	case "-h", "--help", "help":
		_, err := io.WriteString(out, help)
		return 0, err
	case "list":
		if err := want(0, "no arguments"); err != nil {
			return 0, err
		}
		return 0, list(out)
	case "show":
		if err := want(1, "one profile"); err != nil {
			return 0, err
		}
		return 0, show(out, rest[0])
	case "explain":
		if len(rest) < 2 {
			return 0, usage("explain wants a profile and system calls")
		}
		return 0, explain(out, rest[0], rest[1:])
	case "lint":
		if err := want(1, "one profile"); err != nil {
			return 0, err
		}
		return lint(out, rest[0])
	case "check":
		if err := want(1, "one file"); err != nil {
			return 0, err
		}
		return 0, check(out, rest[0])
	case "compile":
		return 0, compile(os.Stdin, out, rest)
	case "record":
		return record(rest)
	}
	return 0, usage("unknown command %q", name)
}
