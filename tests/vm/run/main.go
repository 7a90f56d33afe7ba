// Command run runs one command in a test machine:
//
//	go run ./tests/vm/run [--lane uml] [--shape NAME] [--ro DIR]… -- CMD ARG…
//
// Its exit status is the command's; 125 says that the machine failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/vm"
)

func main() { os.Exit(run()) }

func run() int {
	cfg := vm.Config{Log: func(line string) { fmt.Fprintln(os.Stderr, "vm:", line) }}
	job := vm.Job{Stdout: os.Stdout, Stderr: os.Stderr}
	list := false
	flag.StringVar(&cfg.Lane, "lane", vm.UML, "uml, qemu or systemd")
	flag.StringVar(&cfg.Shape, "shape", "", "host shape; see --shapes")
	flag.StringVar(&cfg.Kernel, "kernel", "", "lane qemu: Debian package of the kernel, or a column of the kernel matrix")
	flag.IntVar(&cfg.MemMiB, "mem", 0, "memory in MiB (default 768)")
	flag.IntVar(&cfg.User.UID, "uid", 0, "the user's uid and gid (default 12345)")
	flag.DurationVar(&job.Timeout, "timeout", 10*time.Minute, "of the command")
	flag.StringVar(&job.Dir, "dir", "", "working directory (default: the user's home)")
	flag.Func("env", "NAME=VALUE for the command, any number", func(v string) error {
		job.Env = append(job.Env, v)
		return nil
	})
	flag.Func("ro", "host directory to show under its own path, any number (default: this one)", func(v string) error {
		cfg.ReadOnly = append(cfg.ReadOnly, v)
		return nil
	})
	flag.BoolVar(&list, "shapes", false, "list the host shapes")
	flag.Parse()
	if list {
		for _, s := range vm.Shapes() {
			fmt.Printf("%-16s %s %v\n", s.Name, s.About, s.Lanes)
		}
		return 0
	}
	job.Argv = flag.Args()
	if len(job.Argv) == 0 {
		flag.Usage()
		return 2
	}
	if cfg.User.UID != 0 {
		cfg.User = vm.User{Name: "tester", UID: cfg.User.UID, GID: cfg.User.UID}
	}
	if wd, err := os.Getwd(); err == nil && cfg.ReadOnly == nil {
		cfg.ReadOnly = []string{wd}
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	code, err := vm.Run(ctx, cfg, job)
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm: error:", err)
		return 125
	}
	return code
}
