package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox"
)

func TestExitCode(t *testing.T) {
	notFound := &sandbox.Error{Stage: "exec", Op: "execve", Errno: unix.ENOENT}
	for _, c := range []struct {
		verdict  sandbox.Verdict
		code     int
		signal   int
		err      error
		canceled unix.Signal
		want     int
	}{
		{verdict: sandbox.Exited, code: 0, want: 0},
		{verdict: sandbox.Exited, code: 1, want: 1},
		{verdict: sandbox.Exited, code: 255, want: 255},
		{verdict: sandbox.Signaled, signal: 11, want: 139},
		{verdict: sandbox.Signaled, signal: 64, want: 192},
		{verdict: sandbox.CPUTime, signal: 9, want: 124},
		{verdict: sandbox.WallTime, signal: 9, want: 124},
		{verdict: sandbox.MemoryLimit, signal: 9, want: 124},
		{verdict: sandbox.OutputLimit, signal: 9, want: 124},
		{verdict: sandbox.DiskLimit, want: 124},
		{verdict: sandbox.CPUShare, signal: 9, want: 124},
		{verdict: sandbox.Syscall, signal: 31, want: 159},
		{verdict: sandbox.Canceled, canceled: unix.SIGINT, want: 130},
		{verdict: sandbox.Canceled, canceled: unix.SIGTERM, want: 143},
		{verdict: sandbox.Canceled, canceled: unix.SIGHUP, want: 129},
		// The job was faster than the signal that should have ended it.
		{verdict: sandbox.Exited, code: 4, canceled: unix.SIGINT, want: 4},
		{verdict: sandbox.Killed, signal: 9, want: 137},
		{verdict: sandbox.NotStarted, err: notFound, want: 127},
		{verdict: sandbox.NotStarted, err: &sandbox.Error{Errno: unix.EACCES}, want: 126},
		{verdict: sandbox.NotStarted, err: &sandbox.Error{Errno: unix.ENOEXEC}, want: 126},
		{verdict: sandbox.NotStarted, err: &sandbox.Error{Errno: unix.E2BIG}, want: 126},
		{verdict: sandbox.ErrorVerdict, err: &sandbox.Error{Errno: unix.EPERM}, want: 125},
		{verdict: sandbox.ErrorVerdict, err: notFound, want: 125},
		{verdict: sandbox.ErrorVerdict, want: 125},
		{verdict: sandbox.Exited, code: 0, err: errors.New("write stdout: no space left on device"), want: 125},
		{verdict: "a new one", want: 125},
	} {
		r := &sandbox.Result{Verdict: c.verdict}
		if c.verdict == sandbox.Exited {
			r.ExitCode = &c.code
		}
		if c.signal != 0 {
			r.Signal = &c.signal
		}
		assert.Equal(t, c.want, exitCode(r, c.err, c.canceled), "%+v", c)
	}
	assert.Equal(t, exitFailed, exitCode(&sandbox.Result{Verdict: sandbox.Exited}, nil, 0), "no code is no success")
}

func said(flags string, f func(*console, *words)) string {
	w, _ := split(strings.Fields(flags + " -- x"))
	var b strings.Builder
	f(newConsole(&b, &w), &w)
	return b.String()
}

func TestSayOutcome(t *testing.T) {
	code, signal, some, none, peak := 3, 11, 3, 0, int64(5<<20)
	weak := []sandbox.Enforced{
		{Name: "memory", EnforcedBy: "watchdog", HoldsAgainst: "mistakes"},
		{Name: "wall", EnforcedBy: "watchdog", HoldsAgainst: "everything"},
		{Name: "cpu", EnforcedBy: "watchdog", HoldsAgainst: "mistakes"},
		{Name: "swap", EnforcedBy: "nobody", HoldsAgainst: "nothing"},
	}
	for _, c := range []struct {
		name, flags string
		result      sandbox.Result
		want        string
	}{
		{"silence when all is well", "", sandbox.Result{Verdict: sandbox.Exited, ExitCode: &code, Discarded: &none}, ""},
		{"a signal of its own", "", sandbox.Result{Verdict: sandbox.Signaled, Signal: &signal}, ""},
		{"interrupted", "", sandbox.Result{Verdict: sandbox.Canceled}, ""},
		{
			"a limit", "-q",
			sandbox.Result{Verdict: sandbox.WallTime, Cause: "wall limit 1s reached", Hint: "raise --wall"},
			"jailrun: wall_time: wall limit 1s reached\njailrun: hint: raise --wall\n",
		},
		{"killed", "", sandbox.Result{Verdict: sandbox.Killed}, "jailrun: killed\n"},
		{
			"a hostile cause", "",
			sandbox.Result{Verdict: sandbox.MemoryLimit, Cause: "pid 7 (\x1b]0;x\x07\n\u202e)"},
			"jailrun: memory: pid 7 (\\x1b]0;x\\a\\n\\u202e)\n",
		},
		{"notes", "", sandbox.Result{Verdict: sandbox.Exited, ExitCode: &code, Notes: []string{"one", "two"}}, "jailrun: one\njailrun: two\n"},
		{"quiet", "-q", sandbox.Result{Verdict: sandbox.Exited, Notes: []string{"one"}, Limits: weak, Discarded: &some}, ""},
		{
			"watchdog", "",
			sandbox.Result{Verdict: sandbox.Exited, Limits: weak},
			"jailrun: watchdog tier: memory, cpu held by sampling, which stops mistakes, not malice; swap held by nobody (jailrun doctor says why, --require cgroup refuses it)\n",
		},
		{"discarded", "", sandbox.Result{Verdict: sandbox.Exited, Discarded: &some}, "jailrun: 3 files written under . were discarded (keep them: --cwd rw, or --copy-out)\n"},
		{"discarded as asked", "--cwd cow", sandbox.Result{Verdict: sandbox.Exited, Discarded: &some}, ""},
		{"verbose", "-v", sandbox.Result{
			Verdict: sandbox.Exited, ExitCode: &code, Wall: 1500 * time.Millisecond, Setup: 3 * time.Millisecond,
			CPU: &sandbox.CPUUsage{Total: time.Millisecond}, Memory: &sandbox.MemoryUsage{Peak: &peak}, Tier: sandbox.TierCgroup,
		}, "jailrun: exited 3, wall 1500.00 ms, cpu 1.00 ms, memory 5 MiB, setup 3.00 ms, tier cgroup\n"},
		{"startup", "--trace-startup", sandbox.Result{
			Verdict: sandbox.Exited, Setup: 3 * time.Millisecond, Startup: &sandbox.Startup{
				Clone: time.Millisecond, Exec: 10 * time.Microsecond, Teardown: 20 * time.Microsecond,
				Stages: []sandbox.StageTime{{Process: "init", Stage: "root", Start: time.Millisecond, Took: 2 * time.Millisecond}},
			},
		}, "jailrun: startup 3.00 ms, group 0.00 ms, clone 1.00 ms, root 0.00 ms, confine 0.00 ms, exec 0.01 ms, teardown 0.02 ms\n" +
			"jailrun: startup init root at 1.00 ms took 2.00 ms\n"},
	} {
		got := said(c.flags, func(say *console, w *words) { sayOutcome(say, &c.result, w) })
		assert.Equal(t, c.want, got, c.name)
	}
}

func TestSayError(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("plain"), "jailrun: error: plain\n"},
		{&usageError{text: "bad", hint: "good"}, "jailrun: error: bad\njailrun: hint: good\n"},
		{
			&sandbox.Error{Stage: "clone", Op: "clone3", Errno: unix.EPERM, Hint: "do this"},
			"jailrun: error: clone: clone3: operation not permitted\njailrun: hint: do this\n",
		},
		{
			&sandbox.Error{Stage: "spec", Err: &sandbox.FieldError{Field: "hostname", Value: "a b", Err: errors.New("want letters")}},
			"jailrun: error: --hostname \"a b\": want letters\n",
		},
		{
			&sandbox.Error{Stage: "spec", Err: &sandbox.FieldError{Field: "command", Err: errors.New("no program given")}},
			"jailrun: error: no program given\n",
		},
		{errors.New("name \x1b[2J\nnext"), "jailrun: error: name \\x1b[2J\\nnext\n"},
	} {
		assert.Equal(t, c.want, said("", func(say *console, _ *words) { sayError(say, c.err) }))
	}
	got := said("--log-format json", func(say *console, _ *words) { sayError(say, &usageError{text: "a\x1b", hint: "<b>"}) })
	assert.Regexp(t, `^\{"time":"[^"]+","level":"error","message":"a\\\\x1b","hint":"<b>"\}\n$`, got)
}

func TestEvents(t *testing.T) {
	e := sandbox.Event{Time: time.Unix(0, 0).UTC(), Stage: "clone", Text: "init forked", Took: 1500 * time.Microsecond}
	assert.Equal(t, "jailrun: clone: init forked (1.50 ms)\n", said("-v", func(say *console, _ *words) { say.event(e) }))
	assert.Equal(t, `{"time":"1970-01-01T00:00:00Z","level":"debug","stage":"clone","message":"init forked","took_ns":1500000}`+"\n",
		said("--log-format json", func(say *console, _ *words) { say.event(e) }))
}

// A refused run has a result that any reader of results takes.
func TestRefused(t *testing.T) {
	r := refused([]string{"a"}, &usageError{text: "bad \x1b", hint: "good"})
	assert.Equal(t, sandbox.ErrorVerdict, r.Verdict)
	assert.Equal(t, &sandbox.ErrorReport{Stage: "flags", Text: `bad \x1b`, Hint: "good"}, r.Error)
	assert.Len(t, r.ID, 16)
	assert.NotEmpty(t, r.Kernel)
	assert.NotNil(t, refused(nil, io.EOF).Argv, "an array, not null")
}
