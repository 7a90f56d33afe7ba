package profile

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

//go:embed testdata/docker-style.json
var dockerStyle string

// ociNames are the calls of the tests, by number; tomorrow's is none.
var ociNames = []string{
	"read", "write", "execve", "exit_group", "ptrace", "bpf", "mount", "clone", "clone3", "socket",
	"personality", "ioctl", "prctl", "setns", "arch_prctl", "memfd_create",
}

func ociNumber(name string) (uint32, bool) {
	for i, n := range ociNames {
		if n == name {
			return uint32(i), true
		}
	}
	return 0, false
}

var ociHost = Host{
	Arch: AMD64, Kernel: [2]int{6, 1}, Number: ociNumber,
	Known: func(name string) bool { _, ok := ociNumber(name); return ok || name == "chown32" },
}

func TestDockerStyle(t *testing.T) {
	p, err := ParseOCI("docker.json", dockerStyle, ociHost)
	require.NoError(t, err)
	table, err := p.Table(AMD64, ociNumber)
	require.NoError(t, err)
	agree(t, table)
	const kill, allow = "kill", "allow"
	for _, row := range []struct {
		call string
		args [6]uint64
		want string
	}{
		{"read", [6]uint64{}, allow},
		{"ptrace", [6]uint64{}, allow},
		{"bpf", [6]uint64{}, "EPERM"},   // for a newer kernel
		{"mount", [6]uint64{}, "EPERM"}, // a job has no capability
		{"clone", [6]uint64{17}, allow},
		{"clone", [6]uint64{17 | 1<<40}, allow},
		{"clone", [6]uint64{0x10000000}, "EPERM"},
		{"clone", [6]uint64{0x10000000 | 1<<40}, "EPERM"},
		{"clone3", [6]uint64{}, "ENOSYS"},
		{"socket", [6]uint64{0}, allow},
		{"socket", [6]uint64{11}, allow},
		{"socket", [6]uint64{12}, "EPERM"},
		{"socket", [6]uint64{16}, allow},
		{"socket", [6]uint64{38}, "EPERM"},
		{"socket", [6]uint64{1 | 1<<32}, "EPERM"}, // by the letter: 64 bits
		{"personality", [6]uint64{0xffffffff}, allow},
		{"personality", [6]uint64{0}, "EPERM"},
		{"ioctl", [6]uint64{0, 21523}, allow},
		{"ioctl", [6]uint64{0, 21522}, "EPERM"},
		{"ioctl", [6]uint64{0, 21522 | 1<<32}, "EPERM"}, // what the kernel reads (CVE-2019-10063)
		{"prctl", [6]uint64{35, 1}, allow},
		{"prctl", [6]uint64{35, 2}, kill},
		{"prctl", [6]uint64{35 | 1<<32, 2}, kill},
		{"prctl", [6]uint64{35, 1 << 40}, kill},
		{"prctl", [6]uint64{36, 9}, allow},
		{"setns", [6]uint64{}, "EACCES"}, // the stricter of two
		{"arch_prctl", [6]uint64{}, allow},
		{"memfd_create", [6]uint64{}, "EPERM"},
	} {
		n, _ := ociNumber(row.call)
		assert.Equal(t, row.want, table.Action(AMD64.Audit, n, row.args).String(), "%s %#x", row.call, row.args)
		assert.Equal(t, Errno(syscall.ENOSYS), table.Action(0x40000003, n, row.args), "i386")
		assert.Equal(t, Errno(syscall.ENOSYS), table.Action(AMD64.Audit, n|x32Bit, row.args), "x32")
	}
	r := p.Find("personality")
	require.NotNil(t, r)
	assert.Equal(t, 50, r.Line, "the line where the rule begins")
	assert.Equal(t, "asking is no harm", r.Reason)
}

// TestOperators compares every operator with what it means, for both answers.
func TestOperators(t *testing.T) {
	values := []uint64{0, 1, 4, 5, 6, 0xfffffffe, 0xffffffff, 1 << 32, 1<<32 | 5, 1<<32 | 4, 1<<63 | 6, 1<<64 - 1}
	for op, holds := range map[string]func(v, w uint64) bool{
		"EQ": func(v, w uint64) bool { return v == w },
		"NE": func(v, w uint64) bool { return v != w },
		"LT": func(v, w uint64) bool { return v < w },
		"LE": func(v, w uint64) bool { return v <= w },
		"GT": func(v, w uint64) bool { return v > w },
		"GE": func(v, w uint64) bool { return v >= w },
	} {
		for _, action := range []string{"ALLOW", "ERRNO"} {
			for _, w := range []uint64{0, 5, 0xffffffff} {
				text := fmt.Sprintf(`{"defaultAction":"SCMP_ACT_KILL","syscalls":[
					{"name":"read","action":"SCMP_ACT_%s","args":[{"index":2,"value":%d,"op":"SCMP_CMP_%s"}]}]}`, action, w, op)
				p, err := ParseOCI("f", text, ociHost)
				if op == "LT" && w == 0 {
					require.Error(t, err)
					continue
				}
				require.NoError(t, err, text)
				table, err := p.Table(AMD64, ociNumber)
				require.NoError(t, err)
				agree(t, table)
				for _, v := range values {
					got := table.Action(AMD64.Audit, 0, [6]uint64{2: v})
					exact, cut := holds(v, w), holds(uint64(uint32(v)), w)
					want := exact
					switch {
					case action == "ALLOW" && op == "NE":
						want = exact && cut // never more than the letter
					case action == "ERRNO" && (op == "EQ" || op == "LT" || op == "LE"):
						want = exact || cut // never less
					}
					assert.Equal(t, want, got != Kill, "%s %s %#x of %#x", action, op, w, v)
				}
			}
		}
	}
}

func TestOCIRefuses(t *testing.T) {
	rule := func(r string) string { return "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\n\"syscalls\":[\n" + r + "]}" }
	for _, row := range []struct{ text, want string }{
		{"", "f:1: no JSON"},
		{"[]", "f:1: no JSON: want an object"},
		{`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}`, "no system call is named"},
		{`{"syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW"}]}`, "defaultAction is missing"},
		{`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}`, "every call of later kernels"},
		{`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":0}`, "defaultAction: errnoRet 0"},
		{"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\n\n\"listenerPath\":\"/x\"}", `f:3: "listenerPath" is not supported`},
		{"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\n\"defaultAction\":\"SCMP_ACT_KILL\"}", `f:2: a second "defaultAction"`},
		{rule(`{"name":"read","action":"SCMP_ACT_ALLOW"}`) + "x", "something follows"},
		{rule("{\"name\":\"read\",\n"), "no JSON"},
		{rule("{\"name\":\"read\",\"action\":\"SCMP_ACT_ALLOW\"},\n\n{\"name\":\"write\",\"action\":\"SCMP_ACT_LOG\"}"), `f:5: rule 2 (write): action "SCMP_ACT_LOG" is not supported`},
		{rule(`{"name":"read","action":"SCMP_ACT_NOTIFY"}`), "f:3: rule 1 (read)"},
		{rule(`{"name":"read"}`), "action is missing"},
		{rule(`{"action":"SCMP_ACT_ALLOW"}`), "f:3: rule 1: names no system call"},
		{rule(`{"name":"read","action":"SCMP_ACT_ALLOW","frob":1}`), "unknown field"},
		{rule(`{"name":"mystery","action":"SCMP_ACT_KILL"}`), `refuses "mystery"`},
		{rule(`{"name":"read","action":"SCMP_ACT_ERRNO","errnoRet":5000}`), "errnoRet 5000"},
		{rule(`{"name":"read","action":"SCMP_ACT_ERRNO","errno":"EWHAT"}`), `errno "EWHAT"`},
		{rule(`{"name":"read","action":"SCMP_ACT_ALLOW","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}`), "index 6"},
		{rule(`{"name":"read","action":"SCMP_ACT_ALLOW","args":[{"index":-1,"op":"SCMP_CMP_EQ"}]}`), "rule 1"},
		{rule(`{"name":"read","action":"SCMP_ACT_ALLOW","args":[{"index":1,"op":"SCMP_CMP_SAME"}]}`), `op "SCMP_CMP_SAME"`},
		{rule(`{"name":"read","action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":4294967296,"op":"SCMP_CMP_EQ"}]}`), "more than 32 bits"},
		{rule(`{"name":"read","action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":1,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}`), "no value under the mask"},
		{rule(`{"name":"read","action":"SCMP_ACT_ALLOW","includes":{"minKernel":"new"}}`), "minKernel"},
		{rule(`"read"`), "rule 1"},
	} {
		_, err := ParseOCI("f", row.text, ociHost)
		var fault *SyntaxError
		if assert.ErrorAs(t, err, &fault, row.text) {
			assert.ErrorContains(t, err, row.want, row.text)
			assert.GreaterOrEqual(t, fault.Line, 1)
		}
	}
}

// TestSystemProfiles reads the profiles that container engines have installed.
func TestSystemProfiles(t *testing.T) {
	found := false
	for _, path := range []string{"/usr/share/containers/seccomp.json", "/etc/containers/seccomp.json", "/etc/docker/seccomp.json"} {
		text, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		found = true
		host := ociHost
		host.Number = func(name string) (uint32, bool) { return anyNumber(name) }
		host.Known = func(string) bool { return true }
		var shape struct{ Syscalls []json.RawMessage }
		require.NoError(t, json.Unmarshal(text, &shape))
		_, err = ParseOCI(path, string(text), host)
		if fault, ok := errors.AsType[*SyntaxError](err); ok { // two names may share a number of ours
			assert.Contains(t, fault.Msg, "are the same system call")
		}
	}
	if !found {
		t.Skip("no container engine's seccomp.json is installed")
	}
}

func FuzzOCI(f *testing.F) {
	f.Add(dockerStyle)
	f.Add(`{"defaultAction":"SCMP_ACT_KILL","syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW","args":[{"index":2,"value":5,"op":"SCMP_CMP_NE"}]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseOCI("f", text, ociHost)
		if err != nil {
			var fault *SyntaxError
			require.ErrorAs(t, err, &fault)
			return
		}
		require.NotEqual(t, Allow, p.Unlisted)
		table, err := p.Table(AMD64, ociNumber)
		require.NoError(t, err)
		code, err := table.Compile()
		if err != nil {
			return // too large
		}
		vm, err := NewVM(Encode(code))
		require.NoError(t, err)
		for n := range uint32(len(ociNames)) {
			for _, v := range []uint64{0, 1, 12, 1 << 32, 1<<64 - 1} {
				args := [6]uint64{v, v, v, v, v, v}
				got, err := vm.Action(AMD64.Audit, n, args)
				require.NoError(t, err)
				require.Equal(t, table.Action(AMD64.Audit, n, args), got)
			}
		}
	})
}

func TestLint(t *testing.T) {
	names := map[string]uint32{}
	number := func(name string) (uint32, bool) {
		if _, ok := names[name]; !ok {
			names[name] = uint32(len(names))
		}
		return names[name], true
	}
	for _, row := range []struct {
		rules string
		finds []string
	}{
		{"allow read", nil},
		{"allow io_uring_setup ptrace keyctl unshare", []string{"io_uring_setup", "keyctl", "unshare", "ptrace"}},
		{"args clone\nEPERM when arg0 any 0x7e020080\nallow otherwise", nil},
		{"args clone\nEPERM when arg0 any 0x20000\nallow otherwise", []string{"clone"}},
		{"args socket\nallow when arg0 in 1\nEPERM otherwise", nil},
		{"args ioctl\nEPERM when arg1 in 0x5412\nallow otherwise", []string{"ioctl"}}, // TIOCLINUX
	} {
		p, err := Parse("f", head+row.rules, nil)
		require.NoError(t, err)
		table, err := p.Table(AMD64, number)
		require.NoError(t, err)
		var got []string
		for _, f := range Lint(table, number) {
			got = append(got, f.Call)
			assert.NotEmpty(t, f.Why)
		}
		assert.Equal(t, row.finds, got, row.rules)
	}
}

func TestLearn(t *testing.T) {
	base, err := Parse("base", `profile base
unlisted ENOSYS
foreign kill
group files
reason everyday
allow read write fchmodat2=452
ENOSYS openat2
args chmod
  EPERM when arg1 any 06000
  allow otherwise
group sockets
reason few
args socket
  allow when arg0 in 1
  allow when arg0 in 2 10 and arg2 in 0-17
  EAFNOSUPPORT otherwise
group mounts
reason none
EPERM mount setns
group start
reason start
allow execve exit_group
`, nil)
	require.NoError(t, err)
	text, err := Learn("p", "what it did", base, []Used{
		{Name: "read", Answer: "allow"},
		{Name: "fchmodat2", Answer: "allow"},
		{Name: "chmod", Answer: "allow"},
		{Name: "socket", Answer: "allow", Arg: 0, Values: []uint32{10}},
		{Name: "socket", Answer: "EAFNOSUPPORT", Arg: 0, Values: []uint32{38}},
		{Name: "mount", Answer: "EPERM"},
		{Name: "openat2", Answer: "ENOSYS"},
		{Name: "syscall 999", Answer: "ENOSYS"},
	})
	require.NoError(t, err)
	assert.Equal(t, `# what it did

profile p
unlisted ENOSYS
foreign kill

group files
reason everyday
allow fchmodat2=452 read
args chmod
  EPERM when arg1 any 0xc00
  allow otherwise

group sockets
reason few
args socket
  allow when arg0 in 10 and arg2 in 0-17
  EAFNOSUPPORT otherwise

group mounts
reason none
EPERM mount

group start
reason start
allow execve exit_group
`, text)
	_, err = Parse("again", text, nil)
	require.NoError(t, err)
	assert.NotContains(t, strings.ToLower(text), "setns")
}
