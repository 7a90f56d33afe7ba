package seccomp

import (
	"embed"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/sandbox/seccomp/profile"
	"github.com/jailrun/jailrun/sandbox/seccomp/profiles"
)

//go:embed filters/*.bpf
var filterFiles embed.FS

var arches = []profile.Arch{profile.AMD64, profile.ARM64}

func filterFile(t *testing.T, name string, arch profile.Arch) []byte {
	t.Helper()
	raw, err := filterFiles.ReadFile("filters/" + name + "_" + arch.Name + ".bpf")
	require.NoError(t, err)
	return raw
}

func table(t *testing.T, name string, arch profile.Arch) *profile.Table {
	t.Helper()
	p, err := profiles.Load(name)
	require.NoError(t, err)
	numbers, err := profiles.Numbers(arch.Name)
	require.NoError(t, err)
	tab, err := p.Table(arch, func(name string) (uint32, bool) { n, ok := numbers[name]; return n, ok })
	require.NoError(t, err)
	return tab
}

// The bytes in the repository are what the texts compile to, and they answer
// every call in which they could differ as the text says.
func TestFiltersMatchProfiles(t *testing.T) {
	for _, name := range profiles.Names() {
		for _, arch := range arches {
			t.Run(name+"/"+arch.Name, func(t *testing.T) {
				t.Parallel()
				tab := table(t, name, arch)
				code, err := tab.Compile()
				require.NoError(t, err)
				raw := filterFile(t, name, arch)
				require.Equal(t, profile.Encode(code), raw, "run go generate ./sandbox/seccomp")
				vm, err := profile.NewVM(raw)
				require.NoError(t, err)
				tab.Probe(func(audit, number uint32, args [6]uint64) {
					got, err := vm.Action(audit, number, args)
					if want := tab.Action(audit, number, args); err != nil || got != want {
						t.Fatalf("call %d %#x of arch %#x: %v %v, want %v", number, args, audit, got, err, want)
					}
				})
			})
		}
	}
}

// A launch loads the filter, and the kernel checks each instruction.
func TestFilterSizes(t *testing.T) {
	for _, name := range profiles.Names() {
		longest := 120
		if name == "init" {
			longest = 26
		}
		for _, arch := range arches {
			n := len(filterFile(t, name, arch)) / 8
			assert.LessOrEqual(t, n, longest, "%s on %s", name, arch.Name)
		}
	}
}

// Callers may replace an answer by changing its one return instruction.
func TestEachAnswerIsReturnedOnce(t *testing.T) {
	const ret = 0x06 // BPF_RET | BPF_K
	for _, name := range profiles.Names() {
		for _, arch := range arches {
			code, err := profile.Decode(filterFile(t, name, arch))
			require.NoError(t, err)
			seen := map[uint32]bool{}
			for i, c := range code {
				if c.Op != ret {
					assert.Empty(t, seen, "%s on %s: instruction %d after a return", name, arch.Name, i)
					continue
				}
				assert.False(t, seen[c.K], "%s on %s: %#x twice", name, arch.Name, c.K)
				seen[c.K] = true
			}
		}
	}
}

func TestFilter(t *testing.T) {
	native := profile.AMD64
	if goarch == "arm64" {
		native = profile.ARM64
	}
	for _, name := range Names() {
		plain, err := Filter(name, false)
		require.NoError(t, err)
		watched, err := Filter(name, true)
		require.NoError(t, err)
		if name == "none" {
			assert.Nil(t, plain)
			assert.Nil(t, watched)
			continue
		}
		assert.Equal(t, filterFile(t, name, native), plain)
		assert.Equal(t, filterFile(t, name+"-nomemfd", native), watched)
		plain[0]++ // the caller's own copy
		again, err := Filter(name, false)
		require.NoError(t, err)
		assert.NotEqual(t, plain, again)
	}
	assert.Equal(t, filterFile(t, "init", native), Init())
	assert.Equal(t, filterFile(t, "server", native), Server())
}

func TestFilterUnknown(t *testing.T) {
	for _, name := range []string{"", "Default", "defualt", "init", "server", "default-nomemfd", "../default"} {
		filter, err := Filter(name, false)
		require.ErrorIs(t, err, ErrUnknownProfile, "%q", name)
		assert.Nil(t, filter)
		for _, known := range Names() {
			assert.ErrorContains(t, err, known)
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	for b.Loop() {
		if _, err := Filter("default", false); err != nil {
			b.Fatal(err)
		}
	}
}
