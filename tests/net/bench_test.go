package net

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The cost of a network on the start: whole runs of a program that does
// nothing, in turns, so that a busy machine slows all alike. The metrics are
// medians; "over-none" is what the network adds.
func BenchmarkColdStart(b *testing.B) {
	if skipped != "" {
		b.Skip("no test network: " + skipped)
	}
	ways := []struct {
		name  string
		flags []string
	}{
		{"none", nil},
		{"slirp", []string{"--net", "slirp"}},
		{"list", []string{"--net", "slirp", "--net-allow", "198.51.100.0/24:8000/tcp", "--net-allow", "192.0.2.0/24"}},
		{"rootlesskit", []string{"--net", "slirp:rootlesskit"}},
		{"pasta", []string{"--net", "pasta"}},
	}
	took := make([][]time.Duration, len(ways))
	for b.Loop() {
		for i, w := range ways {
			cmd := exec.Command(filepath.Join(bin, "jailrun"), append(slices.Clone(w.flags), "-q", "--cwd", "none", "--", "/bin/true")...)
			begin := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatal(err, string(out))
			}
			took[i] = append(took[i], time.Since(begin))
		}
	}
	base := median(took[0])
	for i, w := range ways {
		b.ReportMetric(float64(median(took[i]))/1e6, w.name+"-ms")
		if i > 0 {
			b.ReportMetric(float64(median(took[i])-base)/1e6, w.name+"-over-none-ms")
		}
	}
}

// How long the slowest of the refusals takes: 30 destinations, by TCP and UDP.
func BenchmarkRefusal(b *testing.B) {
	if skipped != "" {
		b.Skip("no test network: " + skipped)
	}
	var took []time.Duration
	for b.Loop() {
		out, err := command([]string{"--net", "slirp"}, "slowest="+strings.Join(forbidden, ",")).Output()
		if err != nil {
			b.Fatal(err)
		}
		_, text, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
		ns, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Duration(ns))
	}
	b.ReportMetric(float64(median(took))/1e6, "slowest-ms")
	b.ReportMetric(float64(took[len(took)-1])/1e6, "slowest-of-all-ms")
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// What a job gets through its network, against slirp4netns started by hand with
// the same options: bytes from a server outside, in turns.
func BenchmarkThroughput(b *testing.B) {
	if skipped != "" {
		b.Skip("no test network: " + skipped)
	}
	const size = 256 << 20
	get := fmt.Sprintf("get=%d@%s", size, serverTCP)
	probe := filepath.Join(bin, "probe")
	byHand := `unshare --user --map-root-user --net sh -c 'echo $$ >"$2"; read -r _ <"$3"; exec "$0" "$1"' "$0" "$1" "$2" "$3" &
		read -r pid <"$2"
		slirp4netns --configure --mtu=65520 --disable-host-loopback --enable-sandbox --enable-seccomp --ready-fd=4 "$pid" tap0 4>"$3" >/dev/null 2>&1 &
		wait %1; status=$?; kill %2; exit $status`
	var ours, theirs []time.Duration
	for b.Loop() {
		begin := time.Now()
		if out, err := command([]string{"--net", "slirp"}, get).CombinedOutput(); err != nil {
			b.Fatal(err, string(out))
		}
		ours = append(ours, time.Since(begin))
		dir := b.TempDir()
		pidFile, gate := filepath.Join(dir, "pid"), filepath.Join(dir, "gate")
		if out, err := exec.Command("mkfifo", pidFile, gate).CombinedOutput(); err != nil {
			b.Fatal(err, string(out))
		}
		begin = time.Now()
		if out, err := exec.Command("bash", "-c", byHand, probe, get, pidFile, gate).CombinedOutput(); err != nil {
			b.Fatal(err, string(out))
		}
		theirs = append(theirs, time.Since(begin))
	}
	b.ReportMetric(size/median(ours).Seconds()/1e6, "MB/s")
	b.ReportMetric(size/median(theirs).Seconds()/1e6, "byhand-MB/s")
	b.ReportMetric(median(theirs).Seconds()/median(ours).Seconds(), "of-byhand")
}
