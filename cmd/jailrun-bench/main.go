// Command jailrun-bench measures what a launch costs on this host. It is run
// as `jailrun bench`; bench/README.md says how to read what it prints.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/bench"
)

const usage = `usage: jailrun bench start [flags]    start-up of jailrun and of every peer found on PATH, taking turns
       jailrun bench memory [flags]   what a waiting sandbox keeps; as root

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "jailrun: error:", err)
		os.Exit(125)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == bench.ChildArg {
		return bench.Child(ctx, args[1:])
	}
	command := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	var o bench.Options
	var only, jsonFile, htmlFile string
	flags := flag.NewFlagSet("jailrun bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.Jailrun, "jailrun", "", "the program to measure (default: that beside this one)")
	flags.IntVar(&o.Rounds, "rounds", 300, "how often each contender runs")
	flags.BoolVar(&o.Realtime, "realtime", false, "at real-time priority, undisturbed by other work; needs root or ulimit -r")
	flags.StringVar(&only, "only", "", "names of contenders, with commas (default: all)")
	flags.StringVar(&jsonFile, "json", "", "also write all of it to this new file")
	flags.StringVar(&htmlFile, "html", "", "also write a page with distributions and stages to this new file")
	if err := flags.Parse(args); err != nil || command == "help" {
		if err == nil || errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(os.Stdout)
			fmt.Print(usage)
			flags.PrintDefaults()
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q: unexpected; the commands are start and memory", flags.Arg(0))
	}
	if o.Rounds < 1 || o.Rounds > 100000 {
		return fmt.Errorf("--rounds %d: want 1 to 100000", o.Rounds)
	}
	if o.Jailrun == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.Jailrun = filepath.Join(filepath.Dir(self), "jailrun")
	}
	if only != "" {
		o.Only = strings.Split(only, ",")
	}
	o.Progress = os.Stderr
	switch command {
	case "start":
		return start(ctx, o, jsonFile, htmlFile)
	case "memory":
		return bench.Memory(ctx, o, os.Stdout)
	}
	return fmt.Errorf("%q is no command of bench; the commands are start and memory", command)
}

func start(ctx context.Context, o bench.Options, jsonFile, htmlFile string) error {
	// The files first: nobody wants to learn of a wrong name after a minute.
	files := map[string]*os.File{}
	for _, name := range []string{jsonFile, htmlFile} {
		if name == "" {
			continue
		}
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		files[name] = f
	}
	r, err := bench.Start(ctx, o)
	if err == nil {
		err = r.Print(os.Stdout)
	}
	if f := files[jsonFile]; err == nil && f != nil {
		err = errors.Join(json.NewEncoder(f).Encode(r), f.Close())
	}
	if f := files[htmlFile]; err == nil && f != nil {
		err = errors.Join(r.HTML(f), f.Close())
	}
	if err != nil {
		for name := range files {
			err = errors.Join(err, os.Remove(name))
		}
	}
	return err
}
