//go:build libseccomp

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox"
	"github.com/jailrun/jailrun/sandbox/seccomp"
	"github.com/jailrun/jailrun/sandbox/seccomp/profile"
	"github.com/jailrun/jailrun/tests/rootless"
)

func TestMain(m *testing.M) { rootless.Main(m) }

func say(t *testing.T, args ...string) (string, int, error) {
	t.Helper()
	var out bytes.Buffer
	code, err := run(args, &out)
	return out.String(), code, err
}

func TestCommands(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args string
		code int
		want []string
	}{
		{"--help", 0, []string{"jailrun seccomp explain PROFILE SYSCALL"}},
		{"list", 0, []string{"default ", "judge ", "strict ", "none "}},
		{"show judge", 0, []string{"profile judge\nfrom default\n"}},
		{"explain default clone", 0, []string{"clone (", "EPERM when arg0 any 0x7e020080\n  allow otherwise", "default.profile:", "group clone: a new user namespace"}},
		{"explain strict clone3 flock", 0, []string{"clone3 (435): ENOSYS", "default.profile:", "flock (", "ENOLCK", "strict.profile:"}},
		{"explain default socketcall", 0, []string{"socketcall: ENOSYS\n  not listed"}},
		{"explain default 165 599", 0, []string{seccomp.CallName(165) + " (165): ", "syscall 599 (599): ENOSYS\n  not listed"}},
		{"lint judge", 0, nil},
		{"lint default", 1, []string{"allows ptrace: "}},
		{"check default", 0, []string{"instructions"}},
	} {
		out, code, err := say(t, strings.Fields(tt.args)...)
		require.NoError(t, err, tt.args)
		assert.Equal(t, tt.code, code, tt.args)
		for _, want := range tt.want {
			assert.Contains(t, out, want, tt.args)
		}
		if tt.want == nil {
			assert.Empty(t, out, tt.args)
		}
	}
}

func TestCommandsRefuse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for args, want := range map[string]string{
		"":                              "no command given",
		"frob":                          `unknown command "frob"`,
		"show":                          "show wants one profile, got 0 arguments",
		"show nope":                     `there is no profile "nope"`,
		"explain default":               "wants a profile and system calls",
		"explain default raed":          `"raed" is no system call that is known`,
		"check ./missing.profile":       "no such file",
		"compile":                       "compile is for jailrun",
		"record":                        "record wants a program",
		"record --out= -- true":         "--out needs a file",
		"record --out":                  "--out needs a file",
		"check /dev/zero":               "read /dev/zero: is no regular file",
		"check ./":                      "is no regular file",
		"compile --name f --compiler x": "install both from one build",
	} {
		_, _, err := say(t, strings.Fields(args)...)
		assert.ErrorContains(t, err, want, args)
	}
	for text, want := range map[string]string{
		"profile p\nunlisted ENOSYS\nforeign ENOSYS\ngroup g\nreason r\nallow execve\nallow raed": `f:7: group g: "raed" is no system call that is known`,
		"profile p\nunlisted ENOSYS\nforeign ENOSYS\ngroup g\nreason r\nallow read":               "f:1: execve is not allowed",
		"profile p\nfrom nope": "f:2: ",
		"[1, 2]":               "f:1: no JSON: ",
		"profile p\nfrom default\ngroup g\nreason r\nargs execve\nkill when arg0 in 1":               "f:6: ",
		`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"read","action":"SCMP_ACT_NOTIFY"}]}`: "f:1: rule 1 (read)",
	} {
		err := os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o644)
		require.NoError(t, err)
		_, _, err = say(t, "check", filepath.Join(dir, "f"))
		assert.ErrorContains(t, err, want, text)
	}
}

// compiled is what jailrun gets for a text.
func compiled(t *testing.T, name, text string) *sandbox.Filter {
	t.Helper()
	s, err := parse(name, []byte(text))
	require.NoError(t, err)
	kernel, err := kernelVersion()
	require.NoError(t, err)
	id := seccomp.CompilerID(sandbox.Version, kernel)
	var out bytes.Buffer
	require.NoError(t, compile(strings.NewReader(text), &out, []string{"--name", name, "--compiler", id}))
	e, err := seccomp.DecodeEntry(out.Bytes(), id, s.text)
	require.NoError(t, err)
	return &sandbox.Filter{Plain: e.Filter, NoMemfd: e.NoMemfd}
}

func runUnder(t *testing.T, f *sandbox.Filter, name string, args ...string) (*sandbox.Result, string) {
	t.Helper()
	c := sandbox.Command(args[0], args[1:]...)
	var out bytes.Buffer
	c.Stdout, c.Stderr, c.CWD, c.Filter, c.Seccomp = &out, &out, sandbox.CWDNone, f, name
	res, err := c.Run(context.Background())
	require.NoError(t, err, out.String())
	return res, out.String()
}

// TestOwnProfiles runs jobs under profiles of the user's, in both forms.
func TestOwnProfiles(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"mine.profile": "profile mine\nfrom default\ngroup names\nreason a test\nEPERM uname",
		"mine.json":    jsonOfDefault(t),
	} {
		f := compiled(t, name, text)
		res, out := runUnder(t, f, name, "sh", "-c", "uname; echo alive")
		assert.Equal(t, 0, *res.ExitCode, out)
		assert.Contains(t, out, "alive")
		require.Len(t, res.Denied, 1, out)
		assert.Equal(t, sandbox.DeniedCall{Syscall: "uname", Answer: "EPERM", Count: 1}, res.Denied[0])
		assert.Equal(t, name, res.Confinement[len(res.Confinement)-1].Profile)
	}
}

// jsonOfDefault allows in OCI form what default does without conditions, and
// refuses uname.
func jsonOfDefault(t *testing.T) string {
	t.Helper()
	s, err := load("default")
	require.NoError(t, err)
	var names []string
	for _, r := range s.profile.Rules {
		last := r.Clauses[len(r.Clauses)-1]
		if last.Action == profile.Allow && r.Name != "uname" {
			names = append(names, `"`+r.Name+`"`)
		}
	}
	return `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"syscalls":[
		{"names":[` + strings.Join(names, ",") + `],"action":"SCMP_ACT_ALLOW"},
		{"names":["prlimit64"],"action":"SCMP_ACT_ALLOW"},
		{"names":["uname"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}`
}

// TestRecord: a recorded profile lets the program pass that it was recorded
// from, and little else.
func TestRecord(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"echo hello; ls / | wc -l; cat /proc/self/status >/dev/null", "(sleep 0.01; kill -TERM $$) & wait"} {
		c := sandbox.Command("sh", "-c", script)
		c.CWD, c.RecordCalls = sandbox.CWDNone, true
		res, err := c.Run(t.Context())
		require.NoError(t, err)
		require.NotEmpty(t, res.Calls)
		var text bytes.Buffer
		require.NoError(t, writeProfile(&text, res))
		f := compiled(t, "recorded", text.String())
		again, out := runUnder(t, f, "recorded", "sh", "-c", script)
		assert.Equal(t, res.Verdict, again.Verdict, out)
		assert.Equal(t, res.ExitCode, again.ExitCode, out)
		assert.Equal(t, res.Signal, again.Signal, out)

		s, err := parse("recorded", text.Bytes())
		require.NoError(t, err)
		table, _, err := s.filter("recorded")
		require.NoError(t, err)
		assert.Empty(t, profile.Lint(table, number))
		for _, call := range []string{"socket", "mount", "ptrace", "io_uring_setup", "mkdir", "memfd_create"} {
			n, ok := number(call)
			require.True(t, ok)
			assert.NotEqual(t, profile.Allow, table.Action(arch.Audit, n, [6]uint64{1}), call)
		}
		refused, out := runUnder(t, f, "recorded", "mkdir", "/tmp/x")
		assert.False(t, refused.Verdict == sandbox.Exited && *refused.ExitCode == 0, out)
	}
}
