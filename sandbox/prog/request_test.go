package prog

import (
	"os"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// leaves is a program of one step: init ends at once.
func leaves() *Program {
	p := &Program{}
	p.AddInit(StageExec, Call("exit_group", unix.SYS_EXIT_GROUP, Int(0)))
	return p
}

func testSpawner(t *testing.T, pages int) *spawner {
	t.Helper()
	mem, _, err := shared(pages*os.Getpagesize(), false)
	require.NoError(t, err)
	s, err := newSpawnerIn(mem, "", -1)
	require.NoError(t, err)
	return s
}

// TestMissingDescriptors sends requests whose descriptors do not all arrive:
// numbers of an earlier request must not be bound in their place.
func TestMissingDescriptors(t *testing.T) {
	s := testSpawner(t, spawnPages)
	defer func() { assert.NoError(t, s.end()) }()
	a, err := newArena(leaves(), true, 0)
	require.NoError(t, err)
	defer func() { assert.NoError(t, a.free()) }()
	own := int(a.file.Fd())
	for _, tt := range []struct {
		bound uint32
		fds   []int
		errno unix.Errno
	}{
		{2, []int{own, own, own}, 0}, // the control, which leaves its numbers behind
		{2, []int{own, own}, unix.EBADMSG},
		{1, []int{own, own, own}, unix.EBADMSG},
		{0, nil, unix.EBADMSG},
		{2, []int{own, own, own}, 0},
	} {
		h := a.head()
		h.nBound, h.bound[0], h.bound[1] = tt.bound, 10, 11
		h.slot[10], h.slot[11] = -1, -1
		h.cloneInit = cloneArgs{flags: unix.CLONE_PIDFD, pidfd: h.pidfdAddress(), exitSignal: uint64(unix.SIGCHLD)}
		answer, oob, err := s.exchange(a.place(), tt.fds)
		require.NoError(t, err)
		_, errno, err := parseAnswer(answer)
		require.NoError(t, err)
		require.Equal(t, tt.errno, errno, "%d of %d", len(tt.fds), tt.bound+1)
		if tt.errno != 0 {
			require.Equal(t, [2]int64{-1, -1}, [2]int64{h.slot[10], h.slot[11]}, "nothing is bound")
			continue
		}
		p := &Process{}
		require.NoError(t, p.answered(answer, oob))
		require.NoError(t, p.PidFd.Close())
	}
}

// TestCollision has the spawner keep pages where this process then puts the
// arena of a launch.
func TestCollision(t *testing.T) {
	heap := make([]byte, 2*BigProcess)
	for i := range heap {
		heap[i] = byte(i)
	}
	probe, err := newArena(leaves(), true, 0)
	require.NoError(t, err)
	size := len(probe.mem)
	require.NoError(t, probe.free())

	page := os.Getpagesize()
	s := testSpawner(t, spawnPages+size/page)
	theSpawner.Lock()
	if theSpawner.spawner != nil {
		require.NoError(t, theSpawner.end())
	}
	s.who, err = standing()
	require.NoError(t, err)
	theSpawner.spawner = s
	theSpawner.Unlock()

	// Its pages behind the first are given back in this process alone. What is
	// mapped next goes to the highest gap that is large enough.
	hole := unsafe.Pointer(&s.mem[spawnPages*page])
	require.NoError(t, unix.MunmapPtr(hole, uintptr(size)))
	for {
		m, err := unix.MmapPtr(-1, 0, nil, uintptr(size), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
		require.NoError(t, err)
		defer func() { _ = unix.MunmapPtr(m, uintptr(size)) }()
		if m == hole {
			require.NoError(t, unix.MunmapPtr(m, uintptr(size)))
			break
		}
	}
	p, err := leaves().Start(nil)
	require.NoError(t, err)
	require.NotEqual(t, hole, unsafe.Pointer(&p.arena.mem[0]))
	require.NoError(t, p.PidFd.Close())
	require.NoError(t, p.Release())
	theSpawner.Lock()
	defer theSpawner.Unlock()
	require.Same(t, s, theSpawner.spawner, "the control: it is this spawner that was asked")
	theSpawner.spawner = nil // whose memory Munmap does not know any more
	_ = s.sock.Close()
	assert.Equal(t, byte(1), heap[1])
}
