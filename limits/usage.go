package limits

import (
	"errors"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a job has used, read from the files of its group. Every field
// that the kernel cannot tell is absent.
type Usage struct {
	CPU      CPUUsage
	Memory   MemoryUsage
	Pids     PidsUsage
	IO       IOUsage
	Pressure PressureUsage
}

// Errors about what others did to a group.
var (
	// ErrGone says that the group was removed by somebody else.
	ErrGone = errors.New("the cgroup was removed from outside")
	// ErrChanged says that a limit is not what was written.
	ErrChanged = errors.New("a limit was changed from outside")
)

// Usage reads all counters of the group. It has to be called before Remove,
// and gives final values once the group is empty. The error wraps [ErrGone]
// when the group was removed from outside.
func (g *Group) Usage() (Usage, error) {
	var r usageReader
	u := Usage{
		CPU:      g.cpuUsage(&r),
		Memory:   g.memoryUsage(&r),
		Pids:     g.pidsUsage(&r),
		IO:       g.ioUsage(&r),
		Pressure: g.pressureUsage(&r),
	}
	// Lookups in a removed directory fail as those of an unknown file do;
	// this file is in every group.
	if _, err := g.run.read("cgroup.events"); err != nil && r.err == nil {
		r.err = gone(err)
	}
	return u, r.err
}

// Verify compares the limits in force with those that were written. The error
// wraps [ErrChanged] or [ErrGone]: then the group is not evidence of anything
// that the job did.
func (g *Group) Verify() error {
	if _, err := g.run.read("cgroup.events"); err != nil {
		return gone(err)
	}
	for _, s := range g.settings {
		d := g.run
		if s.Dir == jobLeaf {
			d = g.job
		}
		switch s.File {
		case "memory.max", "memory.swap.max", "cpu.max", "pids.max":
		default:
			continue
		}
		text, err := d.read(s.File)
		if s.Optional && errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return gone(err)
		}
		have := strings.TrimSpace(string(text))
		if have != s.Value && !sameRounded(s, have) {
			return d.fail("read "+quote(have)+" instead of "+quote(s.Value)+" in", s.File, ErrChanged)
		}
	}
	return nil
}

// sameRounded knows that the kernel keeps memory limits in whole pages, and
// shows the largest as "max".
func sameRounded(s Setting, have string) bool {
	wrote, ok := parseUint([]byte(s.Value))
	if !ok || !strings.HasPrefix(s.File, "memory.") {
		return false
	}
	page := uint64(os.Getpagesize())
	if have == "max" {
		return wrote >= math.MaxInt64-page
	}
	has, ok := parseUint([]byte(have))
	return ok && has == wrote-wrote%page
}

// usageReader reads kernel files of which some may not exist, and keeps the
// first error that means something else.
type usageReader struct{ err error }

func (r *usageReader) text(d dir, file string) (text []byte, ok bool) {
	text, err := d.read(file)
	switch {
	case err == nil:
		return text, true
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP):
		// Not in this kernel, not enabled here, or (PSI) turned off.
	case r.err == nil:
		r.err = gone(err)
	}
	return nil, false
}

func (r *usageReader) keyed(d dir, file string) keyed {
	text, _ := r.text(d, file)
	return keyed(text)
}

func (r *usageReader) number(d dir, file string) Opt[uint64] {
	n, err := d.number(file)
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EOPNOTSUPP) && r.err == nil {
		r.err = gone(err)
	}
	return n
}

// gone marks the errors of a removed group: files that were open give ENODEV,
// lookups ENOENT. It is for files that every group has.
func gone(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) {
		return &reason{place: "group", kind: ErrGone, why: err}
	}
	return err
}

func sizeOf(n Opt[uint64]) Opt[Size] { return Opt[Size]{Size(n.Value), n.Known} }

func micros(n Opt[uint64]) Opt[time.Duration] {
	return Opt[time.Duration]{time.Duration(n.Value) * time.Microsecond, n.Known}
}

func larger(a, b Opt[uint64]) Opt[uint64] {
	if b.Known && (!a.Known || b.Value > a.Value) {
		return b
	}
	return a
}

func smaller(a, b Opt[uint64]) Opt[uint64] {
	if b.Known && (!a.Known || b.Value < a.Value) {
		return b
	}
	return a
}
