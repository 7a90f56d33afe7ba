package prog

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// A Nest is a user namespace that is kept for programs whose own one is to be
// its child, and a spawner that lives in it. Who lives there may write the maps
// of its children, of any ids that it has itself: no helper runs per program.
// A Nest serves one process, whose standing it has, from several goroutines.
type Nest struct {
	mu sync.Mutex
	*spawner
}

// ErrNest reports a Nest that cannot serve any more: its spawner has ended, or
// the standing of this process is another by now.
var ErrNest = errors.New("the kept user namespace is of no use any more")

// NewNest starts a spawner in the user namespace, which it keeps; the file
// remains the caller's. The caller of this function must have all capabilities
// in the namespace, as who made it has.
func NewNest(userns *os.File) (*Nest, error) {
	runtime.LockOSThread() // whose standing it is
	defer runtime.UnlockOSThread()
	who, err := standing()
	if err != nil {
		return nil, err
	}
	mem, _, err := shared(os.Getpagesize()*spawnPages, false)
	if err != nil {
		return nil, err
	}
	s, err := newSpawnerIn(mem, who, int(userns.Fd()))
	if err != nil {
		return nil, err
	}
	return &Nest{spawner: s}, nil
}

// Close ends the spawner and reaps it. Programs that it has started run on.
func (n *Nest) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.spawner == nil {
		return nil
	}
	pid := n.pid
	err := n.end()
	n.spawner = nil
	for pid > 0 {
		if _, werr := unix.Wait4(pid, nil, unix.WALL, nil); !errors.Is(werr, unix.EINTR) {
			break // ECHILD: the program waits for all its children
		}
	}
	return err
}

// StartIn is Start, with init in a child of the nest's user namespace. uid and
// gid are the maps of that child as the kernel reads them, whose outside ids
// are inside ids of the nest; they are written when it returns.
func (p *Program) StartIn(n *Nest, uid, gid []byte, bindings []Binding) (*Process, error) {
	img, err := image()
	if err != nil {
		return nil, err
	}
	return p.lay(img, true, len(uid)+len(gid)+2*pad, func(proc *Process) error {
		h := proc.arena.head()
		for i, text := range [2][]byte{uid, gid} {
			h.maps[i] = [2]uintptr{proc.arena.bytes(text), uintptr(len(text))}
		}
		return n.spawn(proc, p.Flags, bindings)
	})
}

func (n *Nest) spawn(p *Process, flags uint64, bindings []Binding) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	who, err := standing()
	if err != nil {
		return err
	}
	if n.spawner == nil || n.who != who {
		return ErrNest
	}
	err = n.request(p, flags, bindings)
	if errors.Is(err, errSpawnerGone) {
		err = fmt.Errorf("%w: %w", ErrNest, err)
	}
	return err
}

// errMaps is the errno by which a spawner says that the maps were refused.
const errMaps = unix.EDOM
