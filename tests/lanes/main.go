// Command lanes runs the project's tests in test machines (package vm), as their ordinary user:
//
//	go run ./tests/lanes [-run REGEXP] [-pkg REGEXP] [-shape NAME] [-short=false] [-update] [-v] LANE…
//
// The lanes are uml, systemd and qemu; qemu-KERNEL for one of the kernel matrix, and matrix for all of them, with the
// table of tests/README.md at the end; and host: this machine itself, as uid 65533 if the caller is root. The test
// binaries are compiled here, statically, and run there in their package's directory, with testing.Short. Lanes of
// User Mode Linux run side by side. What fails is printed in full, each lane ends with one line, and at the end stands
// what each package took:
//
//	lane uml: 120 passed, 0 failed, 3 skipped (linux 6.1.176, 9.1s)
//
// Which package runs in which lane stands in suites.go.
//
// A skip is a hole in the tests. The number of skips of each package in each lane stands in skips.txt; another number
// fails the lane and prints the skips with their reasons. -update writes the file anew. A lane that this host cannot
// have is named and passed over, except as root, who can install what is missing; a kernel of the matrix that the
// archive no longer has is named and passed over for everyone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm"
)

// options are those of the command line.
type options struct {
	match, pkg, shape      string
	update, verbose, short bool
	timeout                time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.match, "run", "", "only tests that match; skips are not compared then")
	flag.StringVar(&o.shape, "shape", "", "host shape of the machines; skips are not compared then")
	flag.StringVar(&o.pkg, "pkg", "", "only packages that match")
	flag.BoolVar(&o.update, "update", false, "write the number of skips into skips.txt")
	flag.BoolVar(&o.short, "short", true, "leave out what testing.Short leaves out; skips are not compared without")
	flag.BoolVar(&o.verbose, "v", false, "print all output")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Minute, "of one package's tests")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	ok, err := run(ctx, o, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "lanes: error:", err)
	}
	if err != nil || !ok {
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

func run(ctx context.Context, o options, lanes []string) (bool, error) {
	if len(lanes) == 0 {
		return false, fmt.Errorf("name lanes: host, %s", strings.Join(vm.Lanes(), ", "))
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "jailrun-lanes-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the lanes' users read it
		return false, err
	}
	suites, err := compile(ctx, o, root, dir)
	if err != nil {
		return false, err
	}
	table, err := readSkips(filepath.Join(root, skipsFile))
	if err != nil {
		return false, err
	}
	var runs []*laneRun
	out := &printer{w: os.Stdout}
	for _, lane := range expand(lanes) {
		runs = append(runs, &laneRun{options: o, lane: lane, root: root, dir: dir, suites: suites, table: table, out: out})
	}
	ok, err := runAll(ctx, runs)
	if err != nil {
		return false, err
	}
	out.printf("%s", times(runs))
	if slices.Contains(lanes, "matrix") {
		out.printf("%s", features(runs).table())
	}
	if o.update {
		table.take(runs)
		return ok, table.write(filepath.Join(root, skipsFile))
	}
	return ok, nil
}

// runAll runs the lanes: those of User Mode Linux, which have one CPU, side by side, and then the others, which have
// more, one after the other. A lane that this host cannot have is named and passed over.
func runAll(ctx context.Context, runs []*laneRun) (bool, error) {
	errs := make([]error, len(runs))
	var beside sync.WaitGroup
	for i, r := range runs {
		if r.lane == vm.UML || r.lane == vm.Systemd {
			beside.Go(func() { errs[i] = r.run(ctx) })
		}
	}
	beside.Wait()
	ok := true
	for i, r := range runs {
		if r.lane != vm.UML && r.lane != vm.Systemd {
			errs[i] = r.run(ctx)
		}
		if errors.Is(errs[i], vm.ErrUnavailable) && (os.Geteuid() != 0 || strings.HasPrefix(r.lane, "qemu-")) {
			r.out.printf("lane %s: not run: %v\n", r.lane, errs[i])
			errs[i] = nil
			continue
		}
		ok = ok && r.ok
	}
	return ok, errors.Join(errs...)
}

// expand puts the kernels of the matrix in its place.
func expand(lanes []string) []string {
	var out []string
	for _, lane := range lanes {
		if lane != "matrix" {
			out = append(out, lane)
			continue
		}
		for _, kernel := range vm.Matrix() {
			out = append(out, "qemu-"+kernel)
		}
	}
	return out
}
