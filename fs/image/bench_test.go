package image

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/tests/lane"
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
// turn, on the file system of TMPDIR and in memory. The ratios are those of the
// throughputs, each the median of the turns: tar as it ends, and with the data on
// disk, as an import ends.
func BenchmarkImport(b *testing.B) {
	plain := aSystem(b)
	packed, _ := pack(b, plain, "gzip")
	l := newLayout(b)
	l.add("", "gzip", plain)
	archive := b.TempDir() + "/layer.tar.gz"
	require.NoError(b, os.WriteFile(archive, packed, 0o644))
	for place, base := range places(b) {
		b.Run(place, func(b *testing.B) {
			s, err := Open(base+"/state", Limits{})
			require.NoError(b, err)
			var own, tars, tarSync []time.Duration
			for b.Loop() {
				dir := base + "/tar"
				require.NoError(b, os.Mkdir(dir, 0o755))
				settleDisk(b, base)
				start := time.Now()
				require.NoError(b, exec.Command("tar", "-xzf", archive, "-C", dir).Run())
				tars = append(tars, time.Since(start))
				settleDisk(b, base)
				tarSync = append(tarSync, time.Since(start))
				require.NoError(b, os.RemoveAll(dir))
				settleDisk(b, base)

				start = time.Now()
				_, err := s.Import(b.Context(), l.source(""), Options{Name: "x"})
				own = append(own, time.Since(start))
				require.NoError(b, err)
				require.NoError(b, s.Remove("x"))
				_, err = s.Collect(nil)
				require.NoError(b, err)
			}
			b.ReportMetric(median(own).Seconds()*1e3, "ms/import")
			b.ReportMetric(median(tars).Seconds()*1e3, "ms/tar-xzf")
			b.ReportMetric(medianRatio(tars, own), "of-tar")
			b.ReportMetric(medianRatio(tarSync, own), "of-tar-and-sync")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// places are directories, by the name of their file system.
func places(b *testing.B) map[string]string {
	all := map[string]string{}
	add := func(dir string) {
		var st unix.Statfs_t
		require.NoError(b, unix.Statfs(dir, &st))
		name := map[int64]string{unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs", unix.TMPFS_MAGIC: "tmpfs"}[st.Type]
		if name == "" {
			name = fmt.Sprintf("%#x", st.Type)
		}
		all[name] = dir
	}
	add(lane.Scratch(b))
	if dir, err := os.MkdirTemp("/dev/shm", "jailrun-bench"); err == nil { //nolint:usetesting // another file system
		b.Cleanup(func() { os.RemoveAll(dir) })
		add(dir)
	}
	return all
}

func median(all []time.Duration) time.Duration {
	all = slices.Clone(all)
	slices.Sort(all)
	return all[len(all)/2]
}

// medianRatio is the median of the ratios of two measurements of the same turn.
func medianRatio(of, to []time.Duration) float64 {
	ratios := make([]float64, len(of))
	for i := range of {
		ratios[i] = of[i].Seconds() / to[i].Seconds()
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

// settleDisk lets nobody pay for what another has written.
func settleDisk(b *testing.B, dir string) { require.NoError(b, exec.Command("sync", "-f", dir).Run()) }

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
