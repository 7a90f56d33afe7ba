package image

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// aSystem is a tar like that of a small distribution: 4000 files, 200 MB, which
// gzip makes less than half of.
func aSystem(b *testing.B) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 4000)
	for i := range words {
		words[i] = fmt.Sprintf("%x", random.Uint64())[:2+random.IntN(10)]
	}
	var entries []entry
	for i := range 4000 {
		if i%40 == 0 {
			entries = append(entries, directory(fmt.Sprintf("usr/dir%d", i/40)))
		}
		size := 10_000 // most files are small, most bytes are in large ones
		if i%20 == 0 {
			size = 800_000
		}
		var text strings.Builder
		for text.Len() < size {
			text.WriteString(words[random.IntN(len(words))])
			text.WriteByte(" \n\x00\x7f"[random.IntN(4)])
		}
		entries = append(entries, file(fmt.Sprintf("usr/dir%d/file%d", i/40, i), text.String()))
	}
	return tarOf(b, entries...)
}

// BenchmarkImport compares an import with tar -xzf of the same layer, turn by
// turn; both end with the data on disk. The ratio is that of the throughputs.
func BenchmarkImport(b *testing.B) {
	plain := aSystem(b)
	packed, _ := pack(b, plain, "gzip")
	l := newLayout(b)
	l.add("", "gzip", plain)
	archive := b.TempDir() + "/layer.tar.gz"
	require.NoError(b, os.WriteFile(archive, packed, 0o644))
	s := newStore(b)
	var own, tars, tarSync time.Duration
	for b.Loop() {
		dir := b.TempDir()
		settleDisk(b)
		start := time.Now()
		require.NoError(b, exec.Command("tar", "-xzf", archive, "-C", dir).Run())
		tars += time.Since(start)
		settleDisk(b)
		tarSync += time.Since(start)
		require.NoError(b, os.RemoveAll(dir))
		settleDisk(b)

		start = time.Now()
		_, err := s.Import(b.Context(), l.source(""), Options{Name: "x"})
		own += time.Since(start)
		require.NoError(b, err)
		require.NoError(b, s.Remove("x"))
		_, err = s.Collect(nil)
		require.NoError(b, err)
	}
	n := float64(b.N)
	b.ReportMetric(float64(len(plain))*n/own.Seconds()/1e6, "MB/s")
	b.ReportMetric(own.Seconds()*1e3/n, "ms/import")
	b.ReportMetric(tars.Seconds()*1e3/n, "ms/tar-xzf")
	b.ReportMetric(tars.Seconds()/own.Seconds(), "of-tar")
	b.ReportMetric(tarSync.Seconds()/own.Seconds(), "of-tar-and-sync")
}

// settleDisk lets nobody pay for what another has written.
func settleDisk(b *testing.B) { require.NoError(b, exec.Command("sync", "-f", b.TempDir()).Run()) }

// BenchmarkImportAgain is the second import of an image: of a source that is as
// it was, and of another image of the same layers.
func BenchmarkImportAgain(b *testing.B) {
	plain := aSystem(b)
	l := newLayout(b)
	l.add("one", "gzip", plain)
	l.config = map[string]any{"WorkingDir": "/x"}
	l.add("two", "gzip", plain)
	settle(b, l.dir+"/index.json")
	s := newStore(b)
	_, err := s.Import(b.Context(), l.source("one"), Options{Name: "x"})
	require.NoError(b, err)
	b.Run("same", func(b *testing.B) {
		for b.Loop() {
			_, err := s.Import(b.Context(), l.source("one"), Options{Name: "x"})
			require.NoError(b, err)
		}
	})
	b.Run("shared", func(b *testing.B) {
		for b.Loop() {
			got, err := s.Import(b.Context(), l.source("two"), Options{Name: "y"})
			require.NoError(b, err)
			require.Zero(b, got.Fresh)
		}
	})
}
