package main

import (
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
)

// The setters. One that is used for several flags takes the field.

func on(field *bool) error {
	*field = true
	return nil
}

func size(field *limits.Size, value string) (err error) {
	*field, err = limits.ParseSize(value)
	return err
}

// bound is size for a limit whose zero value means none or the default: a 0
// that was asked for must not become that.
func bound(field *limits.Size, value string) error {
	if err := size(field, value); err != nil || *field > 0 {
		return err
	}
	return errors.New(quote(value) + " leaves nothing; leave the flag out for the default")
}

func rlimit(field **limits.Size, value string) error {
	*field = new(limits.Size)
	return size(*field, value)
}

func duration(field *time.Duration, value string) (err error) {
	if *field, err = limits.ParseDuration(value); err == nil && *field == 0 {
		err = errors.New(quote(value) + " would end the job at once; leave the flag out for no limit")
	}
	return err
}

func text(field *string, value string) error {
	if *field = value; value == "" {
		return errors.New("the value is empty")
	}
	return nil
}

func add(list *[]string, value string) error {
	*list = append(*list, value)
	if value == "" {
		return errors.New("the value is empty")
	}
	return nil
}

// count reads a whole number of at least 1.
func count(value, none string, most int) (int, error) {
	if n, err := strconv.Atoi(value); err == nil && n >= 1 && n <= most {
		return n, nil
	}
	return 0, errors.New(quote(value) + " is not a number from 1 to " + strconv.Itoa(most) + none)
}

func (r *request) setMemory(value string) error {
	if err := size(&r.spec.Limits.Memory, value); err != nil {
		return err
	}
	return limits.CheckMemory(value, r.spec.Limits.Memory)
}

func (r *request) setCPU(value string) (err error) {
	if r.spec.Limits.CPU, err = limits.ParseCPU(value); err != nil {
		return err
	}
	return limits.CheckCPU(value, r.spec.Limits.CPU, runtime.NumCPU())
}

func (r *request) setCPUs(value string) error {
	if value == "" || strings.Trim(value, "0123456789,-") != "" {
		return errors.New(quote(value) + " is not a list of CPUs; want numbers and ranges, such as 0-3,5")
	}
	r.spec.Limits.CPUs = value
	return nil
}

func (r *request) setWeight(value string) (err error) {
	r.spec.Limits.Weight, err = count(value, "", 10000)
	return err
}

func (r *request) setPids(value string) (err error) {
	if value == "none" {
		r.spec.Limits.Pids = -1
		return nil
	}
	const pidMax = 1 << 22 // PID_MAX_LIMIT of the kernel
	r.spec.Limits.Pids, err = count(value, ", nor none", pidMax)
	return err
}

func (r *request) setGrace(value string) (err error) {
	r.spec.Limits.Grace, err = limits.ParseDuration(value)
	return err
}

func (r *request) setOnOutput(value string) error {
	r.spec.Limits.TruncateOutput = value == "truncate"
	if value != "kill" && value != "truncate" {
		return oneOf(value, "kill", "truncate")
	}
	return nil
}

// setInodes reads a count in the form of a size: 128k.
func (r *request) setInodes(value string) error {
	var n limits.Size
	if err := bound(&n, value); err != nil {
		return err
	}
	const most = 1 << 31
	if n > most {
		return errors.New(quote(value) + " is more than 2g, the most a tmpfs takes")
	}
	r.spec.Limits.Inodes = int(n)
	return nil
}

func (r *request) setNoFile(value string) error {
	n, err := count(value, "", 1<<30)
	if err != nil {
		return err
	}
	files := uint64(n)
	r.spec.Limits.Rlimits.NoFile = &files
	return nil
}

func (r *request) setRequire(value string) error {
	for name := range strings.SplitSeq(value, ",") {
		switch name {
		case "cgroup":
			r.spec.Limits.RequireCgroup = true
		case sandbox.WallLandlock, sandbox.RequireOverlay:
			r.spec.Require = append(r.spec.Require, name)
		default:
			return oneOf(name, "cgroup", sandbox.WallLandlock, sandbox.RequireOverlay)
		}
	}
	return nil
}

func (r *request) setNet(value string) error {
	switch value {
	case "none":
	case "host":
		r.spec.Net = sandbox.NetHost
	case "slirp", "slirp:rootlesskit", "pasta":
		r.net = value
	default:
		return oneOf(value, "none", "slirp", "slirp:rootlesskit", "pasta", "host")
	}
	return nil
}

// addNet keeps a flag of the network for jailrun-net, which reads it.
func addNet(name string) func(*request, string) error {
	return func(r *request, value string) error {
		if value == "" {
			return errors.New("the value is empty")
		}
		r.netAsked = append(r.netAsked, name+"="+value)
		return nil
	}
}

func (r *request) setNetRate(value string) error {
	rate, err := limits.ParseSize(strings.TrimSuffix(value, "/s"))
	switch {
	case err != nil:
		return err
	case rate < 1024:
		return errors.New(quote(value) + " a second lets nothing through; did you mean " + value + "k?")
	}
	r.netAsked = append(r.netAsked, "net-rate="+strconv.FormatInt(int64(rate), 10))
	return nil
}

func (r *request) setSeccomp(value string) error {
	r.profileFile = ""
	if strings.ContainsAny(value, "/.") {
		r.profileFile = value
	}
	return text(&r.spec.Seccomp, value)
}

func (r *request) addAllowMissing(value string) error {
	r.spec.AllowMissing = append(r.spec.AllowMissing, strings.Split(value, ",")...)
	return nil
}

func (r *request) addUnsafe(value string) error {
	for name := range strings.SplitSeq(value, ",") {
		switch name {
		case sandbox.UnsafeNetHost, sandbox.UnsafeNoSeccomp, sandbox.UnsafeBindHome, sandbox.UnsafeBindSockets:
			r.spec.Unsafe = append(r.spec.Unsafe, name)
		case "nested-userns":
			return errNotSupportedValue(name)
		default:
			return oneOf(name, sandbox.UnsafeNetHost, sandbox.UnsafeNoSeccomp, sandbox.UnsafeBindHome, sandbox.UnsafeBindSockets)
		}
	}
	return nil
}

func (r *request) setRuntime(value string) error {
	if !slices.Contains(sandbox.Runtimes[:], value) {
		return oneOf(value, sandbox.Runtimes[:]...)
	}
	r.spec.Runtime = value
	return nil
}

// rate is a size a second: 10m or 10m/s.
func rate(field *limits.Size, value string) error {
	return bound(field, strings.TrimSuffix(value, "/s"))
}

func errNotSupportedValue(value string) error {
	return errors.New(quote(value) + " is " + unsupported)
}

// checkLogFormat only checks: the console asked for the value before any flag
// was evaluated.
func checkLogFormat(_ *request, value string) error {
	if value != "text" && value != "json" {
		return oneOf(value, "text", "json")
	}
	return nil
}

func notYet(*request, string) error { return errors.New(unsupported) }

func noTerminal(*request, string) error {
	return errors.New("a terminal for the job is " + unsupported + "; without -t the job reads and writes pipes")
}
