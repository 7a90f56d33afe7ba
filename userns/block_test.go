package userns

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
)

func TestLockBlock(t *testing.T) {
	requireRoot(t, "for the window of root")
	base, lock, err := LockBlock()
	require.NoError(t, err)
	defer lock.Close()
	w, err := ownWindow(thisHost)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, base, w[0].First)
	assert.LessOrEqual(t, uint64(base)+idmap.BlockSize, uint64(w[0].First)+uint64(w[0].Count))
	assert.Zero(t, (base-w[0].First)%idmap.BlockSize)

	flags, err := unix.FcntlInt(lock.Fd(), unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.Equal(t, unix.FD_CLOEXEC, flags)

	again, other, err := LockBlock()
	require.NoError(t, err)
	defer other.Close()
	assert.NotEqual(t, base, again)
}

// space is a name of locks that no other test or process uses.
func space(t *testing.T) string { return filepath.Base(t.TempDir()) + t.Name() }

func TestLockBlockIn(t *testing.T) {
	if !asUser(t) { // needs no rights
		return
	}
	name := space(t)
	window := []idmap.SubRange{{First: 100, Count: 16 * 40}, {First: 50, Count: 15}, {First: 9000, Count: 16*24 + 7}}
	const blocks = 64

	var (
		mu    sync.Mutex
		locks = map[uint32]*os.File{}
		wg    sync.WaitGroup
	)
	for range blocks {
		wg.Go(func() {
			base, lock, err := LockBlockIn(name, window)
			mu.Lock()
			defer mu.Unlock()
			if assert.NoError(t, err) && assert.NotContains(t, locks, base, "two got the same block") {
				locks[base] = lock
			}
		})
	}
	wg.Wait()
	require.Len(t, locks, blocks)
	for base := range locks {
		in := base >= 100 && base+16 <= 100+16*40 && (base-100)%16 == 0 || base >= 9000 && base+16 <= 9000+16*24 && (base-9000)%16 == 0
		assert.True(t, in, base)
	}
	_, _, err := LockBlockIn(name, window)
	require.ErrorIs(t, err, ErrNoBlock)
	_, other, err := LockBlockIn(name+"2", window)
	require.NoError(t, err, "another space")
	require.NoError(t, other.Close())

	require.NoError(t, locks[100].Close())
	base, lock, err := LockBlockIn(name, window)
	require.NoError(t, err)
	assert.EqualValues(t, 100, base, "the one that was given back")
	locks[100] = lock
	for _, l := range locks {
		require.NoError(t, l.Close())
	}
	_, _, err = LockBlockIn(name, []idmap.SubRange{{First: 1, Count: 15}})
	require.ErrorIs(t, err, ErrNoBlock)
}

// The block stays taken while a process that inherited the lock lives.
func TestLockIsInherited(t *testing.T) {
	name, window := space(t), []idmap.SubRange{{First: 160, Count: 16}}
	_, lock, err := LockBlockIn(name, window)
	require.NoError(t, err)
	child := exec.Command("/bin/cat")
	child.ExtraFiles = []*os.File{lock}
	in, err := child.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	require.NoError(t, lock.Close())

	_, _, err = LockBlockIn(name, window)
	require.ErrorIs(t, err, ErrNoBlock)

	require.NoError(t, in.Close())
	require.NoError(t, child.Wait())
	_, lock, err = LockBlockIn(name, window)
	require.NoError(t, err)
	require.NoError(t, lock.Close())
}

// Nobody can talk to the holder of a block, not even to fill its memory.
func TestLockCannotBeReached(t *testing.T) {
	_, lock, err := LockBlockIn(space(t), []idmap.SubRange{{First: 160, Count: 16}})
	require.NoError(t, err)
	defer lock.Close()
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET} {
		fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		require.Error(t, unix.Connect(fd, &unix.SockaddrUnix{Name: "@" + lock.Name()}))
		require.NoError(t, unix.Close(fd))
	}
}

func TestWindow(t *testing.T) {
	m := func(text string) idmap.Map {
		if text == "" {
			return nil
		}
		c, err := idmap.ParseFlag(text)
		require.NoError(t, err)
		return c.Map
	}
	for _, c := range []struct {
		name, uid, gid string
		want           []idmap.SubRange
	}{
		{"the host", "0:0:4294967295", "0:0:4294967295", []idmap.SubRange{rootWindow}},
		{"a container with 65536 ids", "0:100000:65536", "0:100000:65536", []idmap.SubRange{{First: 60001 - 4096, Count: 4096}}},
		{"rootless podman", "0:1000:1,1:100000:65536", "0:1000:1,1:100000:65536", []idmap.SubRange{{First: 60001 - 4096, Count: 4096}}},
		{"few ids", "0:100000:1000", "0:100000:1000", []idmap.SubRange{{First: 504, Count: 496}}},
		{"fewer groups", "0:100000:65536", "0:100000:1000", []idmap.SubRange{{First: 504, Count: 496}}},
		{"a million", "0:1000000:1000000", "0:1000000:1000000", []idmap.SubRange{{First: 1000000 - 4096, Count: 4096}}},
		{"just enough", "0:5000:33", "0:5000:33", []idmap.SubRange{{First: 17, Count: 16}}},
		{"too few", "0:5000:32", "0:5000:32", nil},
		{"one id, as unshare -r", "0:1000:1", "0:1000:1", nil},
		{"users and groups have none in common", "0:1000:1000", "5000:1000:1000", nil},
		{"none", "", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := window(m(c.uid), m(c.gid))
			assert.Equal(t, c.want, got)
			for _, w := range got {
				assert.NotZero(t, w.First)
				for _, id := range []uint32{0, 65534} {
					assert.False(t, id >= w.First && id-w.First < w.Count, "%d in %v", id, w)
				}
			}
		})
	}
	t.Run("as the kernel writes it", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.Mkdir(dir+"/self", 0o755))
		for _, name := range []string{"uid_map", "gid_map"} {
			require.NoError(t, os.WriteFile(dir+"/self/"+name, []byte("         0     100000      65536\n"), 0o644))
		}
		w, err := ownWindow(host{proc: dir})
		require.NoError(t, err)
		assert.Equal(t, []idmap.SubRange{{First: 55905, Count: 4096}}, w)
		require.NoError(t, os.WriteFile(dir+"/self/uid_map", nil, 0o644))
		_, err = ownWindow(host{proc: dir})
		require.ErrorIs(t, err, ErrNoBlock)
		_, err = ownWindow(host{proc: dir + "/none"})
		require.ErrorIs(t, err, os.ErrNotExist)
	})
}

func TestReadSmallIsBounded(t *testing.T) {
	text, err := host{proc: "/dev"}.read("zero")
	require.NoError(t, err)
	assert.Len(t, text, 16<<10)
	_, err = host{proc: "/"}.read("proc")
	require.ErrorIs(t, err, unix.EISDIR)
}
