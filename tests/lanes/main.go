// Command lanes runs the project's tests in test machines (package vm), as their ordinary user:
//
//	go run ./tests/lanes [-run REGEXP] [-pkg REGEXP] [-shape NAME] [-update] LANE…
//
// The lanes are uml, systemd and qemu; qemu-KERNEL for one of the kernel matrix, and matrix for all of them, with the
// table of tests/README.md at the end; and host: this machine itself, as uid 65533 if the caller is root. The test
// binaries are compiled here, statically, and run there in their package's directory. What fails is printed in full,
// and each lane ends with one line:
//
//	lane uml: 120 passed, 0 failed, 3 skipped (linux 6.1.176, 9.1s)
//
// A skip is a hole in the tests. The number of skips of each package in each lane stands in skips.txt; another number
// fails the lane and prints the skips with their reasons. -update writes the file anew. A lane that this host cannot
// have is named and passed over, except as root, who can install what is missing; a kernel of the matrix that the
// archive no longer has is named and passed over for everyone.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm"
)

// packages are the ones whose tests run in every lane, relative to the module.
func packages() []string {
	return []string{
		"./tests/lane",
		"./idmap",
		"./userns",
		"./limits",
		"./sandbox/prog",
		"./sandbox/seccomp",
		"./sandbox",
		"./cmd/jailrun",
	}
}

// options are those of the command line.
type options struct {
	run, pkg, shape string
	update, verbose bool
	timeout         time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.run, "run", "", "only tests that match; skips are not compared then")
	flag.StringVar(&o.shape, "shape", "", "host shape of the machines; skips are not compared then")
	flag.StringVar(&o.pkg, "pkg", "", "only packages that match")
	flag.BoolVar(&o.update, "update", false, "write the number of skips into skips.txt")
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
	var features matrix
	ok := true
	for _, lane := range expand(lanes) {
		good, err := runLane(ctx, o, lane, root, dir, suites, table, &features)
		if errors.Is(err, vm.ErrUnavailable) && (os.Geteuid() != 0 || strings.HasPrefix(lane, "qemu-")) {
			fmt.Printf("lane %s: not run: %v\n", lane, err)
			features.missing(lane)
			continue
		}
		if err != nil {
			return false, err
		}
		ok = ok && good
	}
	if slices.Contains(lanes, "matrix") {
		fmt.Print(features.table())
	}
	if o.update {
		return ok, table.write(filepath.Join(root, skipsFile))
	}
	return ok, nil
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

// suite is the compiled tests of one package.
type suite struct {
	pkg    string // relative to the module, without "./"
	binary string
	dir    string
}

// compile builds the test binaries, without cgo: the lanes' C library need not be the host's.
func compile(ctx context.Context, o options, root, dir string) ([]suite, error) {
	only, err := regexp.Compile(o.pkg)
	if err != nil {
		return nil, err
	}
	var suites []suite
	for _, pkg := range packages() {
		if !only.MatchString(pkg) {
			continue
		}
		pkg = strings.TrimPrefix(pkg, "./")
		s := suite{pkg, filepath.Join(dir, strings.ReplaceAll(pkg, "/", "-")+".test"), filepath.Join(root, pkg)}
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", s.binary, "./"+pkg)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("compile the tests of %s: %w\n%s", pkg, err, out)
		}
		suites = append(suites, s)
	}
	return suites, nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	return string(bytes.TrimSpace(out)), err
}
