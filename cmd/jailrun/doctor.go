package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/plain"
	"github.com/jailrun/jailrun/userns"
)

// Exit codes of doctor.
const (
	doctorCgroup   = 0 // the cgroup tier is ready
	doctorWatchdog = 1 // jobs run, with the watchdog tier only
	doctorNothing  = 2 // no job can run
)

// The rows that decide.
const (
	rowGroup     = "delegated cgroup"
	rowRun       = "a run"
	rowKernelRun = "a run with limits held by the kernel"
	rowNetwork   = "a run with --net slirp" // decides nothing
)

// A finding is one row of doctor.
type finding struct {
	Name   string `json:"name"`
	Answer string `json:"answer"` // yes, no or failed
	Detail string `json:"detail,omitempty"`
	Fix    string `json:"fix,omitempty"`
}

// A diagnosis is what doctor found.
type diagnosis struct {
	Version int       `json:"version"` // of this format: 1
	Jailrun string    `json:"jailrun"`
	Kernel  string    `json:"kernel"`
	Tier    string    `json:"tier"` // cgroup, watchdog or none
	Probes  []finding `json:"probes"`

	weak string // the limits that the kernel does not hold, in words
}

// doctor probes the host by trying: parts first, which name causes and fixes,
// and at the end whole runs of true, which alone decide the exit code.
func doctor(say *console, args []string) int {
	format, err := doctorFormat(args)
	if err != nil {
		sayError(say, err)
		return doctorNothing
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	d := diagnosis{Version: 1, Jailrun: sandbox.Version, Kernel: kernelRelease()}
	for _, p := range userns.Probes(ctx) {
		d.Probes = append(d.Probes, fromProbe(p))
	}
	d.Probes = append(d.Probes, probeFuse(), probeGroup())
	code := d.tryRuns(ctx)
	text := d.text()
	if format == "json" {
		text = d.json()
	}
	if show(say, text) != 0 {
		return doctorNothing
	}
	return code
}

func doctorFormat(args []string) (string, error) {
	value, glued := "", false
	if len(args) > 0 {
		value, glued = strings.CutPrefix(args[0], "--format=")
	}
	switch {
	case len(args) == 0:
		return "text", nil
	case len(args) == 1 && glued:
	case len(args) == 2 && args[0] == "--format":
		value = args[1]
	default:
		return "", &usageError{text: "doctor takes only --format text or json, not " + quote(strings.Join(args, " "))}
	}
	if value != "text" && value != "json" {
		return "", flagError("format", oneOf(value, "text", "json"))
	}
	return value, nil
}

func fromProbe(p userns.Probe) finding {
	f := finding{Name: p.Name, Answer: "failed", Detail: plain.Printable(p.Detail), Fix: plain.Printable(p.Fix)}
	switch p.Answer {
	case userns.Yes:
		f.Answer = "yes"
	case userns.No:
		f.Answer = "no"
	}
	return f
}

// probeFuse looks for what stands in for the kernel's overlay.
func probeFuse() finding {
	f := finding{Name: "fuse-overlayfs", Answer: "yes"}
	var err error
	switch f.Detail, err = sandbox.FuseOverlay(); {
	case errors.Is(err, sandbox.ErrNoFuse):
		f.Answer, f.Fix = "no", "install the package fuse-overlayfs, for large roots where the kernel has no overlay"
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		f.Answer, f.Fix = "no", "load the kernel's module: modprobe fuse"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		f.Answer, f.Fix = "no", "let users open /dev/fuse: chmod 666 /dev/fuse"
	case err != nil:
		f.Answer = "no"
	}
	if err != nil {
		f.Detail = plain.Printable(err.Error())
	}
	return f
}

// probeGroup looks for the place where the kernel would hold limits.
func probeGroup() finding {
	f := finding{Name: rowGroup}
	tree, err := limits.FindSubtree(limits.FindOptions{Need: []string{"memory", "cpu", "pids"}, Evacuate: true, Manager: true})
	switch {
	case err == nil:
		f.Answer, f.Detail = "yes", tree.Path()+" with "+strings.Join(tree.Controllers(), " ")
		tree.Close()
		return f
	case errors.Is(err, limits.ErrNotDelegated), errors.Is(err, limits.ErrNoController):
		f.Answer = "no"
	default:
		f.Answer = "failed"
	}
	f.Detail = plain.Printable(err.Error())
	return f
}

// tryRuns runs true in both tiers, as a job would, and returns the exit code.
func (d *diagnosis) tryRuns(ctx context.Context) int {
	bounds := sandbox.Limits{Memory: 64 * limits.MiB, CPU: limits.OneCPU, Wall: 10 * time.Second}
	anyTier, ran := tryRun(ctx, rowRun, bounds, nil)
	bounds.RequireCgroup = true
	cgroup, _ := tryRun(ctx, rowKernelRun, bounds, nil)
	if group := &d.Probes[len(d.Probes)-1]; group.Answer != "yes" && anyTier.Answer == "yes" {
		// The run failed for the same reason, and knows what to do.
		group.Fix, cgroup.Detail, cgroup.Fix = cgroup.Fix, "see "+group.Name, ""
	}
	if cgroup.Answer == anyTier.Answer && cgroup.Detail == anyTier.Detail {
		cgroup.Detail, cgroup.Fix = "see "+anyTier.Name, ""
	}
	d.Probes = append(d.Probes, anyTier, cgroup)
	if anyTier.Answer == "yes" {
		network, _ := tryRun(ctx, rowNetwork, sandbox.Limits{Wall: bounds.Wall}, (&request{net: "slirp"}).network())
		d.Probes = append(d.Probes, network)
		d.weak = weaklyHeld(ran)
	}
	switch {
	case cgroup.Answer == "yes":
		d.Tier = string(sandbox.TierCgroup)
		return doctorCgroup
	case anyTier.Answer == "yes":
		d.Tier = string(sandbox.TierWatchdog)
		return doctorWatchdog
	}
	d.Tier = "none"
	return doctorNothing
}

func tryRun(ctx context.Context, name string, bounds sandbox.Limits, network sandbox.Network) (finding, *sandbox.Result) {
	c := sandbox.Command("true")
	c.CWD = sandbox.CWDNone
	c.Limits = bounds
	c.Network = network
	c.Evacuate = true // as a run by jailrun is
	r, err := c.Run(ctx)
	var failure *sandbox.Error
	switch {
	case errors.As(err, &failure):
		return finding{Name: name, Answer: "no", Detail: failure.Error(), Fix: failure.Hint}, nil
	case err != nil:
		return finding{Name: name, Answer: "failed", Detail: plain.Printable(err.Error())}, nil
	case r.Verdict != sandbox.Exited || r.ExitCode == nil || *r.ExitCode != 0:
		return finding{Name: name, Answer: "failed", Detail: "true ended as " + plain.Printable(verdictText(r)), Fix: plain.Printable(r.Hint)}, r
	}
	return finding{Name: name, Answer: "yes", Detail: "true ran and was measured, " + milliseconds(r.Setup) + " to start"}, r
}

func (d *diagnosis) text() string {
	var b strings.Builder
	b.WriteString("jailrun " + d.Jailrun + ", Linux " + d.Kernel + "\n\n")
	for _, f := range d.Probes {
		answer := f.Answer
		if answer == "failed" {
			answer = "the probe failed"
		}
		b.WriteString(answer + strings.Repeat(" ", 18-len(answer)) + f.Name)
		if f.Detail != "" {
			b.WriteString(": " + f.Detail)
		}
		b.WriteByte('\n')
		if fix := "fix: " + f.Fix + "\n"; f.Fix != "" && f.Answer != "yes" && !strings.Contains(b.String(), fix) {
			b.WriteString(strings.Repeat(" ", 18) + fix)
		}
	}
	switch d.Tier {
	case string(sandbox.TierCgroup):
		b.WriteString("\nready: the kernel holds the limits of jobs (cgroup tier)\n")
	case string(sandbox.TierWatchdog):
		b.WriteString("\nusable: jobs run, with " + d.weak + " (watchdog tier)\n" +
			d.next("for limits that the kernel holds: ", rowGroup, rowKernelRun))
	default:
		b.WriteString("\nno job can run on this host\n" + d.next("to change that: ", rowRun))
	}
	return b.String()
}

// next is the last line, what to do: the fix of the first of the rows that has
// one.
func (d *diagnosis) next(lead string, rows ...string) string {
	for _, f := range d.Probes {
		if f.Fix != "" && slices.Contains(rows, f.Name) {
			return lead + f.Fix + "\n"
		}
	}
	return ""
}

func (d *diagnosis) json() string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(d) // strings and a number always encode
	return b.String()
}

func kernelRelease() string {
	var host unix.Utsname
	_ = unix.Uname(&host) // fails only for a bad address
	return unix.ByteSliceToString(host.Release[:])
}
