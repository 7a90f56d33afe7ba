package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jailrun/jailrun/cmd/jailrun-selftest/attack"
	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox"
)

// A trial is what became of one attack under one profile.
type trial struct {
	Row     string `json:"row"` // of the security bar
	Attack  string `json:"attack"`
	Profile string `json:"profile"`
	Outcome string `json:"outcome"`
	Wanted  string `json:"wanted"`
	Held    bool   `json:"held"`
}

// report is the whole self-test.
type report struct {
	Version     int            `json:"version"` // of this format: 1
	Jailrun     string         `json:"jailrun"`
	Kernel      string         `json:"kernel"`
	Tier        sandbox.Tier   `json:"tier"`
	Map         string         `json:"map"`
	Confinement []sandbox.Wall `json:"confinement"`
	Held        int            `json:"held"`
	Failed      int            `json:"failed"`
	Trials      []trial        `json:"trials"`
}

// program is where the sandbox shows this program.
const program = "/attack"

// selftest makes every attempt, and runs the programs that a limit has to end,
// under each profile. The error is that of a sandbox that could not be made.
func selftest(ctx context.Context, o options) (*report, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	r := &report{Version: 1, Jailrun: sandbox.Version}
	for _, profile := range o.profiles {
		for _, probe := range []func(context.Context, *suite) error{attempts, noisy} {
			if err := probe(ctx, &suite{report: r, self: self, profile: profile, idMap: o.idMap}); err != nil {
				return nil, err
			}
		}
	}
	for _, t := range r.Trials {
		if t.Held {
			r.Held++
		} else {
			r.Failed++
		}
	}
	return r, nil
}

// suite is what is done under one profile.
type suite struct {
	*report
	self, profile, idMap string
}

// job runs this program in a sandbox.
func (s *suite) job(ctx context.Context, change func(*sandbox.Cmd), args ...string) (*sandbox.Result, string, error) {
	c := sandbox.Command(program, args...)
	c.CWD = sandbox.CWDNone
	c.Seccomp, c.Map.Mode = s.profile, s.idMap
	c.Binds = []sandbox.Bind{{Source: s.self, Target: program}}
	c.Limits.Wall = 2 * time.Minute
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if change != nil {
		change(c)
	}
	res, err := c.Run(ctx)
	if err == nil && res.Verdict == sandbox.Canceled {
		err = context.Cause(ctx)
	}
	if err == nil && s.Kernel == "" {
		s.Kernel, s.Tier, s.Confinement = res.Kernel, res.Tier, res.Confinement
		s.Map = res.Identity.Map
	}
	return res, out.String(), err
}

// attempts makes all of package attack's attempts.
func attempts(ctx context.Context, s *suite) error {
	got, err := attack.Complete(func(first int) (string, bool, error) {
		res, out, err := s.job(ctx, nil, "attacks", strconv.Itoa(first))
		if err == nil && res.Verdict != sandbox.Exited && res.Verdict != sandbox.Syscall {
			err = fmt.Errorf("the attempts did not come to their end: %s: %s", res.Verdict, res.Cause)
		}
		return out, res.Verdict == sandbox.Syscall, err
	})
	if err != nil {
		return err
	}
	for _, a := range attack.All() {
		t := trial{Row: a.Row, Attack: a.Name, Profile: s.profile, Outcome: got[a.Name], Wanted: "refused"}
		t.Held = attack.Refused(t.Outcome)
		if slices.Contains(a.Allowed, s.profile) {
			t.Wanted, t.Held = "within the job", t.Held || t.Outcome == attack.Worked
		}
		if t.Outcome == "" {
			t.Outcome = "no word of it"
		}
		s.Trials = append(s.Trials, t)
	}
	return nil
}

// noisy runs programs that a limit has to end, or whose end may not be taken
// for another one.
func noisy(ctx context.Context, s *suite) error {
	for _, p := range []struct {
		row, args string
		change    func(*sandbox.Cmd)
		want      sandbox.Verdict
	}{
		{"A08", "kill-all", nil, sandbox.Exited},
		{"A54", "forks", func(c *sandbox.Cmd) { c.Limits.Pids, c.Limits.Wall = 40, 300*time.Millisecond }, sandbox.WallTime},
		{"A56", "memory anon", func(c *sandbox.Cmd) { c.Limits.Memory = 64 * limits.MiB }, sandbox.MemoryLimit},
		{"A58", "partly", func(c *sandbox.Cmd) { c.Limits.Memory = 64 * limits.MiB }, sandbox.MemoryLimit},
		{"A61", "disk", func(c *sandbox.Cmd) { c.Limits.Disk = 8 * limits.MiB }, sandbox.Exited},
		{"A65", "flood", func(c *sandbox.Cmd) { c.Limits.Output = limits.MiB }, sandbox.OutputLimit},
		{"A77", "burn", func(c *sandbox.Cmd) { c.Limits.CPUTime = 200 * time.Millisecond }, sandbox.CPUTime},
		{"A80", "spoof", nil, sandbox.Exited},
	} {
		res, _, err := s.job(ctx, p.change, append([]string{"abuse"}, strings.Fields(p.args)...)...)
		if err != nil {
			return err
		}
		s.Trials = append(s.Trials, trial{
			Row: p.row, Attack: strings.ReplaceAll(p.args, " ", "-"), Profile: s.profile,
			Outcome: string(res.Verdict), Wanted: string(p.want), Held: res.Verdict == p.want,
		})
	}
	return nil
}
