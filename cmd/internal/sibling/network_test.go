package sibling

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/netslirp"
)

func TestParseAnswer(t *testing.T) {
	t.Parallel()
	answer, err := parseAnswer("ok\x00hosts\x00resolv")
	require.NoError(t, err)
	assert.Equal(t, "hosts\x00resolv", answer)
	_, err = parseAnswer("error\x0013\x00/dev/net/tun\x00\x00open /dev/net/tun: permission denied")
	require.ErrorIs(t, err, fs.ErrPermission)
	_, err = parseAnswer("error\x000\x00\x00do that\x00it is so")
	var own *Error
	require.ErrorAs(t, err, &own)
	assert.Equal(t, "do that", own.Hint())
	assert.Equal(t, "it is so", own.Error())
}

// TestSpawn: whatever numbers the descriptors have that the child is given, it
// executes the program.
func TestSpawn(t *testing.T) {
	program, err := os.Open("/bin/true")
	require.NoError(t, err)
	defer program.Close()
	null := func() *os.File {
		f, err := os.Open(os.DevNull)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	holes := []*os.File{null(), null(), null()}
	for range 40 { // each time the socket is one higher, and there is room below it
		null()
		socket := null()
		for _, f := range holes {
			require.NoError(t, f.Close())
		}
		pid, err := spawn(program, nil, socket, -1)
		for i := range holes {
			holes[i] = null()
		}
		require.NoError(t, err, "the socket is %d", socket.Fd())
		require.NoError(t, socket.Close())
		var status unix.WaitStatus
		_, err = unix.Wait4(pid, &status, 0, nil)
		require.NoError(t, err)
		assert.Zero(t, status)
	}
}

// FuzzParseAnswer: whatever the sibling says is an answer or an error with a text.
func FuzzParseAnswer(f *testing.F) {
	for _, s := range []string{"", "ok", "ok\x00", "ok\x00a\x00b", "error\x0013\x00/dev/net/tun\x00\x00no", "error\x00x\x00\x00\x00", "error\x00", "error\x0099999999999999999999\x00p\x00h\x00t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		answer, err := parseAnswer(s)
		if err == nil {
			require.True(t, strings.HasPrefix(s, "ok"))
			return
		}
		require.Empty(t, answer)
		require.False(t, strings.HasPrefix(s, "ok\x00"))
		require.NotErrorIs(t, err, unix.Errno(0))
	})
}

// FuzzKnownResolv: a name of the list is never taken for an address, as it would
// then neither be resolved nor stand in the job's /etc/hosts; and what is known
// without the sibling is what that would say.
func FuzzKnownResolv(f *testing.F) {
	for _, s := range []string{"", "dns", "192.0.2.0/24", "192.0.2.1:80/tcp", "example.org", "example.org:443", "1.2.3.4.5", "a.1", "10", "dns\n192.0.2.1", "dns:1", "fd00::1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		asked := []string{"net=slirp"}
		named, dns := false, false
		for entry := range strings.SplitSeq(text, "\n") {
			asked = append(asked, "net-allow="+entry)
			if entry == "dns" {
				dns = true
				continue
			}
			a, err := netslirp.ParseAllow(entry)
			if err != nil {
				return // refused when it is attached
			}
			named = named || a.Name != ""
		}
		resolv, ok := knownResolv(asked)
		require.Equal(t, !named, ok)
		if ok {
			require.Equal(t, dns, strings.HasPrefix(resolv, "nameserver "))
		}
	})
}
