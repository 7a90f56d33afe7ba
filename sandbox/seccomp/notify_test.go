package seccomp

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox/seccomp/profile"
	"github.com/jailrun/jailrun/sandbox/seccomp/profiles"
)

const noSignal = 0x4000 // MSG_NOSIGNAL

func testSender(arch profile.Arch, numbers map[string]uint32) Call {
	return Call{Number: numbers["sendmsg"], Arch: arch.Audit, Args: args{2: noSignal | 0x1010}}
}

// TestEvaluate: for every call in which filters can differ the runner answers
// as the kernel's machine does, and a naming filter differs from its original
// only where it notifies.
func TestEvaluate(t *testing.T) {
	for _, arch := range arches {
		numbers, err := profiles.Numbers(arch.Name)
		require.NoError(t, err)
		for _, name := range profiles.Names() {
			if name == "server" {
				continue // who is filtered by it cannot send a listener
			}
			t.Run(name+"/"+arch.Name, func(t *testing.T) {
				p, err := profiles.Load(name)
				require.NoError(t, err)
				table, err := p.Table(arch, func(s string) (uint32, bool) { n, ok := numbers[s]; return n, ok })
				require.NoError(t, err)
				raw := filterFile(t, name, arch)
				naming, named := Naming(raw, testSender(arch, numbers))
				recording, recorded := Recording(raw, testSender(arch, numbers))
				require.True(t, recorded)
				notified := 0
				table.Probe(func(audit, number uint32, a args) {
					c := Call{Number: number, Arch: audit, Args: a}
					got, ok := Evaluate(raw, &c)
					if want := table.Action(audit, number, a); !ok || uint32(got) != uint32(want) {
						t.Fatalf("call %+v: %x %v, want %v", c, got, ok, want)
					}
					by, ok := Evaluate(naming, &c)
					if !ok || by != got && by != retNotify || by == retNotify && got.Allowed() {
						t.Fatalf("call %+v: %x instead of %x", c, by, got)
					}
					if Kills(raw) && got.Kills() != (by == retNotify) {
						t.Fatalf("call %+v: killing %x is named %x", c, got, by)
					}
					if by == retNotify {
						notified++
					}
					by, ok = Evaluate(recording, &c)
					if !ok || by != retNotify {
						t.Fatalf("call %+v is not recorded: %x", c, by)
					}
				})
				assert.True(t, named)
				assert.Positive(t, notified)
				sender := testSender(arch, numbers)
				by, _ := Evaluate(recording, &sender)
				assert.True(t, by.Allowed(), "the listener could not be sent")
			})
		}
	}
}

func TestCallName(t *testing.T) {
	numbers, err := profiles.Numbers(goarch)
	require.NoError(t, err)
	for name, n := range numbers {
		assert.Equal(t, name, CallName(n))
	}
	assert.Equal(t, "syscall 99999", CallName(99999))
}

// FuzzEvaluate: a filter may come from a file; whatever it holds, evaluating it
// ends.
func FuzzEvaluate(f *testing.F) {
	raw, err := Filter("judge", false)
	require.NoError(f, err)
	f.Add(raw, uint32(1), uint64(3))
	f.Add([]byte{5, 0, 0, 0, 255, 255, 255, 255}, uint32(1), uint64(0))
	f.Fuzz(func(_ *testing.T, bpf []byte, number uint32, arg uint64) {
		c := Call{Number: number, Arch: Arch, Args: args{arg, arg, arg}}
		Evaluate(bpf, &c)
		Kills(bpf)
		if naming, ok := Naming(bpf, c); ok {
			Evaluate(naming, &c)
		}
	})
}
