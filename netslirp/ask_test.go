package netslirp

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParsePort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want, says string }{
		{"8080:80", "127.0.0.1:8080:80/tcp", ""},
		{"8080:80/udp", "127.0.0.1:8080:80/udp", ""},
		{"0.0.0.0:1:65535/tcp", "0.0.0.0:1:65535/tcp", ""},
		{"80", "", "two ports"},
		{"", "", "two ports"},
		{"0:80", "", `"0" is no port`},
		{"80:65536", "", `"65536" is no port`},
		{"80:+1", "", `"+1" is no port`},
		{"80:80/sctp", "", "no protocol"},
		{"[::1]:80:80", "", "two ports"},
		{"300.1.1.1:80:80", "", "300.1.1.1"},
		{"1:2:3:4", "", "two ports"},
	} {
		p, err := ParsePort(c.in)
		if c.says != "" {
			require.ErrorContains(t, err, c.says, c.in)
			continue
		}
		require.NoError(t, err, c.in)
		assert.Equal(t, c.want, p.String())
	}
}

func TestParseAllow(t *testing.T) {
	t.Parallel()
	prefix := netip.MustParsePrefix
	for _, c := range []struct {
		in   string
		want Allow
		says string
	}{
		{in: "192.0.2.0/24", want: Allow{Rule: Rule{Dest: prefix("192.0.2.0/24")}}},
		{in: "192.0.2.1", want: Allow{Rule: Rule{Dest: prefix("192.0.2.1/32")}}},
		{in: "192.0.2.1:443", want: Allow{Rule: Rule{Dest: prefix("192.0.2.1/32"), Port: 443, AnyProto: true}}},
		{in: "192.0.2.0/24:53/udp", want: Allow{Rule: Rule{Dest: prefix("192.0.2.0/24"), Port: 53, Proto: UDP}}},
		{in: "example.org:443/tcp", want: Allow{Name: "example.org", Rule: Rule{Port: 443}}},
		{in: "example.org.", want: Allow{Name: "example.org"}},
		{in: "", says: "1 to 253"},
		{in: "192.0.2.1/24", says: "did you mean 192.0.2.0/24"},
		{in: "192.0.2.0/33", says: "no address range"},
		{in: "1.2.3", says: "looks like an address"},
		{in: "1.2.3.4.5", says: "looks like an address"},
		{in: "a b", says: "neither an address"},
		{in: "a\nb", says: "neither an address"},
		{in: "-a", says: "neither an address"},
		{in: "a..b", says: "neither an address"},
		{in: strings.Repeat("a", 64), says: "neither an address"},
		{in: "a:0", says: "no port"},
		{in: "a:80/icmp", says: "no protocol"},
		{in: "2001:db8::1", says: "no IPv6"},
	} {
		a, err := ParseAllow(c.in)
		if c.says != "" {
			require.ErrorContains(t, err, c.says, c.in)
			continue
		}
		require.NoError(t, err, c.in)
		assert.Equal(t, c.want, a, c.in)
	}
}

// Whatever is accepted is a line of /etc/hosts that says one thing.
func FuzzParseAllow(f *testing.F) {
	for _, s := range []string{"192.0.2.0/24:53/udp", "example.org:443", "a\nb", "::1", "1.2.3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAllow(s)
		if err != nil {
			return
		}
		assert.False(t, strings.ContainsAny(a.Name, " \t\n#\x00"), "%q", a.Name)
		assert.True(t, a.Name != "" || a.Dest.IsValid(), "%q", s)
	})
}

func TestPin(t *testing.T) {
	t.Parallel()
	guarded := specialRanges()
	addrs := map[string]string{"good.test": "192.0.2.1 192.0.2.2", "six.test": "2001:db8::1", "bad.test": "192.0.2.1 169.254.169.254", "lan.test": "10.0.0.1"}
	find := func(_ context.Context, name string) (list []netip.Addr, err error) {
		text, ok := addrs[name]
		if !ok {
			return nil, errors.New("no such host")
		}
		for a := range strings.FieldsSeq(text) {
			list = append(list, netip.MustParseAddr(a))
		}
		return list, nil
	}
	rules, hosts, err := pin(t.Context(), []Allow{{Name: "good.test", Rule: Rule{Port: 443}}, {Rule: Rule{Dest: netip.MustParsePrefix("10.0.0.0/8")}}}, find, guarded)
	require.NoError(t, err)
	assert.Equal(t, "192.0.2.1 good.test\n192.0.2.2 good.test\n", hosts)
	assert.Equal(t, []Rule{
		{Dest: netip.MustParsePrefix("192.0.2.1/32"), Port: 443},
		{Dest: netip.MustParsePrefix("192.0.2.2/32"), Port: 443},
		{Dest: netip.MustParsePrefix("10.0.0.0/8")},
	}, rules)
	for name, says := range map[string]string{
		"bad.test": "169.254.169.254, which lies in 169.254.0.0/16", "lan.test": "lies in 10.0.0.0/8",
		"six.test": "no IPv4", "none.test": "does not resolve",
	} {
		_, _, err := pin(t.Context(), []Allow{{Name: name}}, find, guarded)
		require.ErrorContains(t, err, says)
	}
	_, _, err = pin(t.Context(), []Allow{{Rule: Rule{Dest: netip.MustParsePrefix("127.0.0.1/32")}}}, find, guarded)
	require.ErrorContains(t, err, "the job's own loopback")
	var hint *hintError
	require.ErrorAs(t, err, &hint)
	assert.Equal(t, "the host's loopback is 10.0.2.2 inside: --net-allow 10.0.2.2:PORT", hint.Hint())
	_, _, err = pin(t.Context(), make([]Allow, maxAllow+1), find, guarded)
	require.ErrorContains(t, err, "257 entries")
	_, _, err = pin(t.Context(), []Allow{{Rule: Rule{Dest: netip.MustParsePrefix("2001:db8::/32")}}}, find, guarded)
	require.ErrorContains(t, err, "no IPv6")
}

func TestWithin(t *testing.T) {
	t.Parallel()
	list := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for p, want := range map[string]bool{"10.1.2.3/32": true, "10.0.0.0/8": true, "10.0.0.0/7": false, "0.0.0.0/0": false, "11.0.0.0/8": false} {
		assert.Equal(t, want, within(list, netip.MustParsePrefix(p)) != nil, p)
	}
}

func FuzzParsePort(f *testing.F) {
	for _, s := range []string{"8080:80", "127.0.0.1:8080:80/udp", "0.0.0.0:1:65535/tcp", "::1:1:2", "1:2:3:4", "0:1", "1:65536", "+1:2", "1:2/", "1:2/sctp", ":", "999.1.1.1:1:2", "::ffff:1.2.3.4:1:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePort(s)
		if err != nil {
			return
		}
		require.NotZero(t, p.Host)
		require.NotZero(t, p.Job)
		require.True(t, p.IP.Is4())
		again, err := ParsePort(p.String())
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}

func FuzzParseDriver(f *testing.F) {
	for _, s := range []string{"", "slirp", "slirp:rootlesskit", "pasta", "host", "slirp:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDriver(s)
		if err == nil {
			require.Equal(t, s, string(d))
			require.NotEmpty(t, s)
		}
	})
}
