package net

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	requires "github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/netslirp"
)

// result is what the tests read of one.
type result struct {
	Verdict string
	Tier    string
	Network netslirp.Record
	Limits  []struct{ Name, Mechanism string }
	Notes   []string
	Error   struct{ Stage, Hint string }
}

// job runs the probe with the given flags of jailrun and returns its lines, by
// what was tried.
func job(t *testing.T, flags []string, tries ...string) (map[string]string, result) {
	t.Helper()
	out, said, r := run(t, flags, tries...)
	lines := map[string]string{}
	for line := range strings.Lines(out) {
		word, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		lines[word] = what
	}
	requires.Equal(t, "exited", r.Verdict, "jailrun said: %s", said)
	return lines, r
}

func command(flags []string, tries ...string) *exec.Cmd {
	probe := filepath.Join(bin, "probe")
	args := append([]string{"--cwd", "none", "--wall", "60", "--bind", probe + ":/probe"}, flags...)
	return exec.Command(filepath.Join(bin, "jailrun"), append(append(args, "--", "/probe"), tries...)...)
}

func run(t *testing.T, flags []string, tries ...string) (out, said string, r result) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "result")
	cmd := command(append([]string{"--result", file}, flags...), tries...)
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	_ = cmd.Run() // the result says more
	b, err := os.ReadFile(file)
	requires.NoError(t, err, e.String())
	requires.NoError(t, json.Unmarshal(b, &r))
	return o.String(), e.String(), r
}

// forbidden are destinations that no job reaches unasked.
var forbidden = []string{
	"10.0.2.2:22", "10.0.2.2:8000", "10.0.2.3:80", "10.0.0.1:80", "10.255.255.254:443", "127.0.0.2:22",
	"169.254.169.254:80", "169.254.0.1:80", "172.16.0.1:80", "172.31.255.254:80", "192.168.0.1:80", privateIP + ":8000",
	"192.168.255.254:22", "100.64.0.1:80", "100.127.255.254:80", "0.0.0.1:80", "192.0.0.1:80", "198.18.0.1:80", "198.19.255.254:80",
	"224.0.0.1:80", "239.255.255.250:1900", "240.0.0.1:80", "255.255.255.255:80", hostIP + ":8000", hostIP + ":22", "203.0.113.1:1",
	"[::1]:8000", "[fd00::3]:53", "[fe80::1%tap0]:80", "[2001:db8::1]:80",
}

// Every refusal is an answer: nothing waits for a time-out. The controls are in
// the same job: what is allowed answers, and an allowed place that is silent is
// still being waited for when the last refusal has come.
func TestForbidden(t *testing.T) {
	require(t)
	t.Parallel()
	for _, driver := range []string{"slirp", "slirp:rootlesskit", "pasta"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			tries := []string{"beside=" + silentTCP, "tcp=" + serverTCP, "udp=" + serverUDP}
			for _, f := range forbidden {
				tries = append(tries, "tcp="+f, "udp="+f)
			}
			got, r := job(t, []string{"--net", driver}, append(tries, "pending=")...)
			assert.Equal(t, "pending", got["pending="])
			assert.Equal(t, "ok", got["tcp="+serverTCP])
			assert.Equal(t, "ok", got["udp="+serverUDP])
			for _, f := range forbidden {
				for _, proto := range []string{"tcp=", "udp="} {
					assert.Contains(t, append(refusals, unroutable...), got[proto+f], proto+f)
				}
			}
			requires.NotEmpty(t, r.Network.Denied)
			assert.EqualValues(t, driver, r.Network.Driver)
		})
	}
}

// refusals are what a job is told: TCP gets a reset, a packet of UDP does not
// leave.
var refusals = []string{"connection refused", "operation not permitted"}

// unroutable are the answers of the job's own kernel, which knows no way.
var unroutable = []string{"network is unreachable", "cannot assign requested address"}

func TestAllowList(t *testing.T) {
	require(t)
	t.Parallel()
	tcp, udp, other, router, private := "tcp="+serverTCP, "udp="+serverUDP, "tcp="+otherTCP, "tcp="+routerIP+":8000", "tcp="+privateIP+":8000"
	all := []string{tcp, udp, other, router, private}
	for _, c := range []struct {
		allow string
		opens []string
	}{
		{"198.51.100.0/24", []string{tcp, udp, other}},
		{serverIP, []string{tcp, udp, other}},
		{serverIP + ":8000", []string{tcp, udp}},
		{serverIP + ":8000/tcp", []string{tcp}},
		{serverIP + ":8000/udp", []string{udp}},
		{serverIP + ":8001", []string{other}},
		{"0.0.0.0/0", []string{tcp, udp, other, router}}, // not what is private: nobody asked for that
		{privateIP, []string{private}},
		{"192.168.0.0/16:8000/tcp", []string{private}},
		{"dns", nil},
	} {
		t.Run(c.allow, func(t *testing.T) {
			t.Parallel()
			got, _ := job(t, []string{"--net", "slirp", "--net-allow", c.allow}, all...)
			for _, a := range all {
				if slices.Contains(c.opens, a) {
					assert.Equal(t, "ok", got[a], a)
				} else {
					assert.Contains(t, refusals, got[a], a)
				}
			}
		})
	}
}

// The result says what was tried, and how much went where.
func TestRecord(t *testing.T) {
	require(t)
	t.Parallel()
	_, r := job(t, []string{"--net", "slirp", "--net-allow", serverIP + ":8000"},
		"get=100000@"+serverTCP, "many=5@"+serverTCP, "udp="+serverUDP, "tcp="+otherTCP, "tcp="+otherTCP+"x")
	find := func(list []netslirp.Flow, proto string, port uint16) netslirp.Flow {
		for _, f := range list {
			if f.Address.String() == serverIP && f.Proto == proto && f.Port == port {
				return f
			}
		}
		return netslirp.Flow{}
	}
	sent, back := find(r.Network.Sent, "tcp", 8000), find(r.Network.Received, "tcp", 8000)
	assert.EqualValues(t, 6, sent.Connections)
	assert.Greater(t, back.Bytes, uint64(100000))
	assert.EqualValues(t, 1, find(r.Network.Sent, "udp", 8000).Packets)
	assert.NotZero(t, find(r.Network.Denied, "tcp", 8001).Packets)
	assert.Empty(t, r.Network.Ended)
	assert.False(t, r.Network.More)
}

// However many places a job tries, the record is bounded and says that there
// were more.
func TestRecordIsBounded(t *testing.T) {
	require(t)
	t.Parallel()
	var tries []string
	for i := range 300 {
		tries = append(tries, fmt.Sprintf("udp=10.1.%d.%d:9", i/200, i%200))
	}
	_, r := job(t, []string{"--net", "slirp"}, tries...)
	assert.True(t, r.Network.More)
	assert.LessOrEqual(t, len(r.Network.Denied), 256)
}

func TestManyConnections(t *testing.T) {
	require(t)
	t.Parallel()
	list, many := drivers, "many=1000@"+serverTCP
	if testing.Short() { // in lane qemu a connection takes 50 ms
		list, many = list[:1], "many=200@"+serverTCP
	}
	for _, d := range list {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			got, _ := job(t, []string{"--net", d.name}, many)
			assert.Equal(t, "ok", got[many])
		})
	}
}

// At 1 MiB a second 3 MiB take at least 2 s: a lower bound does not depend on
// how busy the machine is.
func TestRate(t *testing.T) {
	require(t)
	t.Parallel()
	begin := time.Now()
	got, _ := job(t, []string{"--net", "slirp", "--net-rate", "1m"}, "get=3145728@"+serverTCP)
	assert.Equal(t, "ok", got["get=3145728@"+serverTCP])
	assert.Greater(t, time.Since(begin), 2*time.Second)
}

// What the job's /etc says: a list pins names and has no resolver.
func TestFiles(t *testing.T) {
	require(t)
	t.Parallel()
	got, _ := job(t, []string{"--net", "slirp"}, "cat=/etc/resolv.conf", "devices=")
	assert.Equal(t, "nameserver 10.0.2.3|", got["cat=/etc/resolv.conf"])
	assert.Equal(t, "lo,tap0", got["devices="])
	got, _ = job(t, []string{"--net", "slirp", "--net-allow", serverIP}, "cat=/etc/resolv.conf", "udp=10.0.2.3:53")
	assert.NotContains(t, got["cat=/etc/resolv.conf"], "nameserver")
	assert.Contains(t, refusals, got["udp=10.0.2.3:53"])
	got, _ = job(t, nil, "devices=", "cat=/etc/resolv.conf", "tcp="+serverTCP)
	assert.Equal(t, "lo", got["devices="])
	assert.Equal(t, "network is unreachable", got["tcp="+serverTCP])
}

func TestHost(t *testing.T) {
	require(t)
	t.Parallel()
	_, said, _ := run(t, []string{"--net", "host"}, "devices=")
	assert.Contains(t, said, "--unsafe net-host")
	got, r := job(t, []string{"--net", "host", "--unsafe", "net-host"}, "devices=", "tcp="+serverTCP)
	assert.Contains(t, got["devices="], "v0")
	assert.Equal(t, "ok", got["tcp="+serverTCP])
	assert.Contains(t, strings.Join(r.Notes, "\n"), "abstract")
}

func TestPublish(t *testing.T) {
	require(t)
	t.Parallel()
	for _, c := range []struct{ driver, network, flag, serve, dial, closed string }{
		{"slirp", "tcp", "18080:80", "serve-tcp=:80", "127.0.0.1:18080", hostIP + ":18080"},
		{"slirp", "udp", "18081:81/udp", "serve-udp=:81", "127.0.0.1:18081", ""},
		{"slirp", "tcp", hostIP + ":18082:82", "serve-tcp=:82", hostIP + ":18082", "127.0.0.1:18082"},
		{"slirp", "udp", hostIP + ":18083:83/udp", "serve-udp=:83", hostIP + ":18083", ""},
		{"slirp:rootlesskit", "tcp", "18084:80", "serve-tcp=:80", "127.0.0.1:18084", hostIP + ":18084"},
		{"pasta", "tcp", "18085:80", "serve-tcp=:80", "127.0.0.1:18085", hostIP + ":18085"},
	} {
		t.Run(c.driver+" "+c.flag, func(t *testing.T) {
			t.Parallel()
			// A published port opens nothing else: there is a list, and it is empty
			// but for a place that is not there.
			from := c.serve[strings.LastIndexByte(c.serve, ':')+1:]
			cmd := command([]string{"--net", c.driver, "--publish", c.flag, "--net-allow", "192.0.2.1"}, c.serve, "tcp="+serverTCP,
				"from="+from+"@10.0.2.2:53", "from="+from+"@"+serverUDP)
			stop := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() }) // a failure is not to hang
			defer stop.Stop()
			out, err := cmd.StdoutPipe()
			requires.NoError(t, err)
			requires.NoError(t, cmd.Start())
			lines := bufio.NewReader(out)
			line, _ := lines.ReadString('\n')
			requires.Equal(t, "listening\n", line)
			if c.closed != "" {
				_, err := net.Dial(c.network, c.closed)
				assert.ErrorIs(t, err, unix.ECONNREFUSED)
			}
			conn, err := net.Dial(c.network, c.dial)
			requires.NoError(t, err)
			_, err = conn.Write([]byte("hello\n"))
			requires.NoError(t, err)
			answer := make([]byte, 6)
			_, err = io.ReadFull(conn, answer)
			requires.NoError(t, err)
			assert.Equal(t, "hello\n", string(answer))
			rest, err := io.ReadAll(lines)
			requires.NoError(t, err)
			assert.Contains(t, string(rest), c.serve+" ok")
			assert.Contains(t, string(rest), "tcp="+serverTCP+" connection refused")
			if c.network == "udp" {
				for _, line := range []string{"@10.0.2.2:53 ", "@" + serverUDP + " "} {
					assert.Contains(t, string(rest), "from="+from+line+"operation not permitted")
				}
			}
			assert.NoError(t, cmd.Wait())
		})
	}
}
