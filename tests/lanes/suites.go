package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/jailrun/jailrun/tests/vm"
)

// entry is a package and the lanes in which its tests run.
type entry struct {
	pkg      string // relative to the module
	lanes    []string
	asked    []string // further lanes, in which it runs when -pkg names it
	programs []string // built into bin/ beside the tests, which find them there
	launches bool     // jobs, for which Linux 5.10 is too old (README), or serves them
}

// tooOld is the lane of a kernel of which jailrun only has to say that no job can run there.
const tooOld = vm.QEMU + "-5.10"

// packages is what runs where. A package belongs into a lane whose kernel or host shows what the others do not: into
// lane systemd only what has to do with the user's manager, for its kernel is that of lane uml. What says the same on
// every host (tables, goldens) belongs into none.
func packages() []entry {
	every, kernels := vm.Lanes(), []string{vm.UML, vm.QEMU}
	attack := []string{"./cmd/jailrun", "./cmd/jailrun-selftest"}
	return []entry{
		{pkg: "./tests/lane", lanes: every},
		{pkg: "./idmap", lanes: kernels},
		{pkg: "./userns", lanes: kernels},
		{pkg: "./limits", lanes: every, launches: true},
		{pkg: "./sandbox/prog", lanes: kernels},
		{pkg: "./sandbox/seccomp", lanes: kernels},
		{pkg: "./sandbox", lanes: every, launches: true},
		{pkg: "./fs/image", lanes: []string{vm.UML}},
		{pkg: "./cmd/jailrun", lanes: every, launches: true},
		// The kernel's tier, as in lane uml, whose time is the longer.
		{pkg: "./tests/corpus", lanes: []string{vm.Systemd, vm.QEMU}, asked: []string{vm.UML}, launches: true},
		{pkg: "./tests/soak", asked: []string{vm.UML}},
		{pkg: "./tests/hostdiff", lanes: kernels, programs: attack, launches: true},
		// make test-all asks for them in the machines in which each of some hundred programs takes its time to start.
		{pkg: "./tests/attacks", asked: every, programs: attack, launches: true},
		// User Mode Linux has no nft_reject.
		{pkg: "./tests/net", lanes: []string{vm.QEMU}, launches: true, programs: []string{"./cmd/jailrun", "./cmd/jailrun-net", "./cmd/jailrun-publish", "./tests/net/probe"}},
	}
}

// runsIn says whether a lane runs a package, be it only when it is asked for.
func runsIn(lane, pkg string) bool {
	base, _, _ := strings.Cut(lane, "-")
	return slices.ContainsFunc(packages(), func(e entry) bool {
		return e.pkg == "./"+pkg && (slices.Contains(e.lanes, base) || slices.Contains(e.asked, base))
	})
}

// suite is the compiled tests of one package.
type suite struct {
	pkg    string // relative to the module, without "./"
	binary string
	dir    string
	lanes  []string

	launches bool
}

// in says whether the suite runs in a lane: on this host every one does.
func (s suite) in(lane string) bool {
	base, _, _ := strings.Cut(lane, "-")
	return lane == hostLane || slices.Contains(s.lanes, base) && !(lane == tooOld && s.launches)
}

// compile builds the test binaries, once for all lanes and without cgo: the lanes' C library need not be the host's.
func compile(ctx context.Context, o options, root, dir string) ([]suite, error) {
	only, err := regexp.Compile(o.pkg)
	if err != nil {
		return nil, err
	}
	var suites []suite
	for _, e := range packages() {
		if !only.MatchString(e.pkg) {
			continue
		}
		pkg := strings.TrimPrefix(e.pkg, "./")
		lanes := e.lanes
		if o.pkg != "" {
			lanes = slices.Concat(lanes, e.asked)
		}
		s := suite{pkg, filepath.Join(dir, strings.ReplaceAll(pkg, "/", "-")+".test"), filepath.Join(root, pkg), lanes, e.launches}
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", s.binary, e.pkg)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("compile the tests of %s: %w\n%s", pkg, err, out)
		}
		if err := buildPrograms(ctx, root, dir, e.programs); err != nil {
			return nil, err
		}
		if err := compileC(ctx, s.dir, dir); err != nil {
			return nil, err
		}
		suites = append(suites, s)
	}
	if len(suites) == 0 {
		return nil, fmt.Errorf("no package matches %q; tests/lanes/suites.go lists them", o.pkg)
	}
	return suites, nil
}

// buildPrograms puts the programs of a package's tests into bin/ beside the tests: a lane has no Go.
func buildPrograms(ctx context.Context, root, dir string, programs []string) error {
	if len(programs) == 0 {
		return nil
	}
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil { // jailrun runs no program of a directory that others may write
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-o", bin + "/"}, programs...)...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", strings.Join(programs, " "), err, out)
	}
	return nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	return string(bytes.TrimSpace(out)), err
}

// compileC puts the C programs of a package's tests, testdata/*.c, into one static binary beside the tests', of the name
// of its header: a lane has no compiler.
func compileC(ctx context.Context, pkg, dir string) error {
	headers, _ := filepath.Glob(pkg + "/testdata/*.h") // the pattern is right
	sources, _ := filepath.Glob(pkg + "/testdata/*.c")
	if len(headers) != 1 {
		return nil
	}
	binary := filepath.Join(dir, strings.TrimSuffix(filepath.Base(headers[0]), ".h"))
	args := append([]string{"-O1", "-w", "-static", "-pthread", "-o", binary}, sources...)
	if out, err := exec.CommandContext(ctx, "gcc", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("compile %s: %w\n%s", binary, err, out)
	}
	return nil
}
