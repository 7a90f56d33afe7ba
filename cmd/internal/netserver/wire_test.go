package netserver

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/netslirp"
)

func TestParseRequest(t *testing.T) {
	t.Parallel()
	three := unix.UnixRights(7, 8, 9)
	r, err := parseRequest("attach 12", three)
	require.NoError(t, err)
	assert.Equal(t, request{verb: "attach", pid: 12, fds: []int{7, 8, 9}}, r)
	for _, verb := range []string{"prepare", "detach"} {
		r, err := parseRequest(verb, nil)
		require.NoError(t, err)
		assert.Equal(t, verb, r.verb)
	}
	for text, oob := range map[string][]byte{
		"attach": three, "attach ": three, "attach 0": three, "attach -1": three, "attach 1x": three, "attach 1": unix.UnixRights(7, 8),
		"prepare 1": nil, "": nil, "stop": nil,
	} {
		r, err := parseRequest(text, oob)
		assert.Error(t, err, text)
		assert.Empty(t, r.verb, text)
		if oob != nil {
			assert.Contains(t, r.fds, 7, "they are ours to close")
		}
	}
}

// What is asked before there is anything to do it with is an error, not an end.
func TestOutOfOrder(t *testing.T) {
	t.Parallel()
	s := &server{network: netslirp.New(netslirp.Config{}), wrong: errors.New("a bad flag")}
	_, err := s.answer("prepare", nil)
	require.EqualError(t, err, "a bad flag")
	var fds []int
	for range 3 {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		fds = append(fds, fd)
	}
	_, err = s.answer("attach 1", unix.UnixRights(fds...))
	require.EqualError(t, err, "not prepared")
	_, err = s.answer("detach", nil)
	require.EqualError(t, err, "not attached")
	require.NoError(t, s.end(nil))
}

// FuzzRequest: what the runner sends is a request or an error, and no descriptor
// is lost.
func FuzzRequest(f *testing.F) {
	f.Add("prepare", []byte{})
	f.Add("attach 1", unix.UnixRights(3, 4, 5))
	f.Add("attach 99999999999999999999", unix.UnixRights(3))
	f.Add("detach x", unix.UnixRights())
	f.Fuzz(func(t *testing.T, text string, oob []byte) {
		r, err := parseRequest(text, oob)
		if err != nil {
			require.Empty(t, r.verb)
			return
		}
		require.Contains(t, []string{"prepare", "attach", "detach"}, r.verb)
		if r.verb == "attach" {
			require.Len(t, r.fds, 3)
			require.Positive(t, r.pid)
		}
	})
}

// FuzzParse: flags are a configuration or an error that names one of them.
func FuzzParse(f *testing.F) {
	f.Add("net=slirp")
	f.Add("net=pasta\nnet-allow=192.0.2.0/24:80/tcp\nnet-allow=dns\npublish=8080:80\nnet-rate=1000")
	f.Add("net=slirp\nnet-allow=example.org.\nnet-rate=-1")
	f.Add("x\n=\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		words := strings.Split(text, "\n")
		c, err := parse(words)
		if err != nil {
			require.True(t, strings.HasPrefix(err.Error(), "--"), err.Error())
			return
		}
		require.LessOrEqual(t, len(c.Allow)+len(c.Ports), len(words))
		for _, a := range c.Allow {
			require.True(t, a.Name != "" || a.Dest.IsValid(), "an entry of the list names something")
			require.False(t, strings.ContainsAny(a.Name, " \t\n#"), "it becomes a line of /etc/hosts")
		}
	})
}

func TestAnswerText(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "ok\x00a\x00b", answerText("a\x00b", nil))
	err := &os.PathError{Op: "open", Path: "/dev/net/tun", Err: unix.EACCES}
	assert.Equal(t, "error\x0013\x00/dev/net/tun\x00\x00open /dev/net/tun: permission denied", answerText("", err))
}
