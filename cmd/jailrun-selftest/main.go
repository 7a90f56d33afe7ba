// Command jailrun-selftest attacks the sandbox that jailrun makes on this host,
// with the safe part of the project's own hostile suite, and prints a table.
// It is called as "jailrun selftest".
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Exit codes.
const (
	exitHeld   = 0 // every attack ended as required
	exitFailed = 1 // some attack worked, or the host is not as it was
	exitError  = 2 // the sandbox could not be made here, or the command line is wrong
)

const usage = `usage: jailrun selftest [--seccomp PROFILE] [--map MAP] [--format text|json] [--all]

Runs several hundred hostile programs in sandboxes of this host, each of which
must be refused, killed or contained. Nothing is tried outside of a sandbox.

  --seccomp PROFILE   default, judge or strict; without it, all three
  --map MAP           self or auto, as for run
  --format text|json  a table, or one JSON object
  --all               list every attack, not only a line for each row and what failed

Exit status: 0 all ended as required, 1 some did not, 2 it could not be run.
`

func main() {
	if code, ok := inside(os.Args[1:]); ok {
		os.Exit(code)
	}
	os.Exit(run(os.Args[1:]))
}

// options are those of the command line.
type options struct {
	profiles  []string
	idMap     string
	json, all bool
}

func run(args []string) int {
	o, err := parse(args)
	if errors.Is(err, errHelp) {
		fmt.Print(usage)
		return exitHeld
	}
	if err != nil {
		return fail(err, "jailrun selftest --help")
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	report, err := selftest(ctx, o)
	if err != nil {
		return fail(err, "jailrun doctor says what this host lacks")
	}
	if o.json {
		err = report.json(os.Stdout)
	} else {
		err = report.text(os.Stdout, o.all)
	}
	switch {
	case err != nil:
		return fail(err, "")
	case report.Failed > 0:
		return exitFailed
	}
	return exitHeld
}

func fail(err error, hint string) int {
	fmt.Fprintln(os.Stderr, "jailrun: error: selftest:", err)
	if hint != "" {
		fmt.Fprintln(os.Stderr, "jailrun: hint:", hint)
	}
	return exitError
}

var errHelp = errors.New("help")

func parse(args []string) (options, error) {
	o := options{profiles: []string{"default", "judge", "strict"}}
	for i := 0; i < len(args); i++ {
		name, value, has := strings.Cut(args[i], "=")
		take := func(allowed ...string) (string, error) {
			if !has {
				if i++; i >= len(args) {
					return "", fmt.Errorf("%s needs a value: %s", name, strings.Join(allowed, ", "))
				}
				value = args[i]
			}
			if slices.Contains(allowed, value) {
				return value, nil
			}
			return "", fmt.Errorf("%s %q: want one of %s", name, value, strings.Join(allowed, ", "))
		}
		var err error
		switch name {
		case "-h", "--help":
			return o, errHelp
		case "--all":
			o.all = true
		case "--seccomp":
			var p string
			p, err = take("default", "judge", "strict")
			o.profiles = []string{p}
		case "--map":
			o.idMap, err = take("self", "auto")
		case "--format":
			var f string
			f, err = take("text", "json")
			o.json = f == "json"
		default:
			err = fmt.Errorf("%q is no flag of selftest", args[i])
		}
		if err != nil {
			return o, err
		}
	}
	return o, nil
}
