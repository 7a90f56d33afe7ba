package sandbox_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/tests/lane"
)

// The workloads measure themselves, from inside: what a launch costs is not
// part of it. Each prints how many nanoseconds of CPU time it took, with its
// children: what system calls cost is CPU time, and other programs on this
// machine are not in it.
func init() {
	used := func() (sum int64) {
		for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
			var ru unix.Rusage
			_ = unix.Getrusage(who, &ru)
			sum += ru.Utime.Nano() + ru.Stime.Nano()
		}
		return sum
	}
	timed := func(f func()) int64 {
		begin := used()
		f()
		return used() - begin
	}
	jobs["stats"] = func([]string) { // the fastest of twenty passes: one is short
		names, _ := filepath.Glob("*")
		var st unix.Stat_t
		fastest := int64(math.MaxInt64)
		for range 20 {
			fastest = min(fastest, timed(func() {
				for range 15 {
					for _, n := range names {
						_ = unix.Lstat(n, &st)
					}
				}
			}))
		}
		fmt.Println(fastest)
	}
	jobs["computes"] = func([]string) {
		fmt.Println(timed(func() {
			x := uint64(1)
			for range 200_000_000 {
				x = x*6364136223846793005 + 1442695040888963407
			}
			fmt.Fprintln(os.Stderr, x)
		}))
	}
	jobs["denied"] = func([]string) { // the fastest of each, in nanoseconds
		fastest := func(f func()) time.Duration {
			least := time.Hour
			for range 500 {
				begin := time.Now()
				f()
				least = min(least, time.Since(begin))
			}
			return least
		}
		fmt.Println(fastest(func() { _ = unix.Mount("", "/", "", 0, "") }).Nanoseconds(),
			fastest(func() { _, _, _ = unix.Syscall(unix.SYS_IO_URING_SETUP, 0, 0, 0) }).Nanoseconds())
	}
	jobs["repeats"] = func(args []string) { // N times a command
		n, _ := strconv.Atoi(args[0])
		fmt.Println(timed(func() {
			for range n {
				cmd := exec.Command(args[1], args[2:]...)
				if out, err := cmd.CombinedOutput(); err != nil {
					fmt.Fprintln(os.Stderr, err, string(out))
					os.Exit(1)
				}
			}
		}))
	}
}

// BenchmarkOverhead compares programs outside with the same inside, in a
// directory that is shown as it is, read-only, or as a copy. One round runs all
// in turn; reported is the fastest inside over the fastest outside.
func BenchmarkOverhead(b *testing.B) {
	lane.Require(b, "tmpfs-upper")
	helper := copyHelper(b)
	dir := b.TempDir()
	for i := range 300 {
		text := "int f" + strconv.Itoa(i) + "(int a) { return a * " + strconv.Itoa(i) + "; }\n#include <stdio.h>\n#include <stdlib.h>\n"
		require.NoError(b, os.WriteFile(filepath.Join(dir, "f"+strconv.Itoa(i)+".c"), []byte(text), 0o644))
	}
	work := [][]string{{"stats"}, {"computes"}}
	if _, err := exec.LookPath("git"); err == nil {
		for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "m"}} {
			cmd := exec.Command("git", args...)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			require.NoError(b, err, string(out))
		}
		// By default git compares owners, too: inside they read otherwise, and
		// every file would be read again.
		work = append(work, []string{"repeats", "30", "/usr/bin/git", "-c", "safe.directory=*", "-c", "core.checkStat=minimal", "status", "-s"})
	}
	if _, err := exec.LookPath("gcc"); err == nil {
		work = append(work, []string{"repeats", "8", "/usr/bin/gcc", "-c", "f1.c", "-o", "/dev/null"})
	}
	env := append(sandbox.DefaultEnv(), "GIT_OPTIONAL_LOCKS=0", "GOCOVERDIR=/tmp")
	places := []sandbox.CWD{sandbox.CWDWritable, sandbox.CWDReadOnly, sandbox.CWDCopy}
	names := []string{"rw", "ro", "cow"}
	fastest := make([][4]float64, len(work)) // outside, then the places
	keep := func(w, p int, out []byte) {
		n, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		require.NoError(b, err)
		if f := &fastest[w][p]; *f == 0 || n < *f {
			*f = n
		}
	}
	for range b.N {
		for w, args := range work {
			outside := exec.Command(helper, args[1:]...)
			outside.Dir, outside.Env = dir, append(env, jobEnv+"="+args[0])
			out, err := outside.Output()
			require.NoError(b, err)
			keep(w, 0, out)
			for p, cwd := range places {
				c := asJob(helper, args...)
				var out, said bytes.Buffer
				c.Stdout, c.Stderr, c.Dir, c.CWD = &out, &said, dir, cwd
				c.Env = append(env, jobEnv+"="+args[0])
				res, err := c.Run(b.Context())
				require.NoError(b, err)
				require.Equal(b, 0, *res.ExitCode, said.String())
				keep(w, 1+p, out.Bytes())
			}
		}
	}
	for w, args := range work {
		name := args[0]
		if len(args) > 2 {
			name = filepath.Base(args[2])
		}
		for p := range places {
			b.ReportMetric(fastest[w][1+p]/fastest[w][0], name+"-"+names[p]+"/outside")
		}
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkDenied compares a denied call that is named with one that the
// filter answers alone: fastest of the rounds, by the wall clock, because the
// runner's answer is part of it.
func BenchmarkDenied(b *testing.B) {
	helper := copyHelper(b)
	named, plain := 0.0, 0.0
	least := func(to *float64, text string) {
		n, err := strconv.ParseFloat(text, 64)
		require.NoError(b, err)
		if *to == 0 || n < *to {
			*to = n
		}
	}
	for range b.N {
		c := asJob(helper, "denied")
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		res, err := c.Run(b.Context())
		require.NoError(b, err)
		require.Len(b, res.Denied, 1, out.String())
		words := strings.Fields(out.String())
		require.Len(b, words, 2)
		least(&named, words[0])
		least(&plain, words[1])
	}
	b.ReportMetric(named/1e3, "µs/named")
	b.ReportMetric(plain/1e3, "µs/unnamed")
	b.ReportMetric(0, "ns/op")
}
