package prog

import (
	"errors"
	"unsafe"
)

// ErrNoRoom reports late steps that do not fit into [Program.Room].
var ErrNoRoom = errors.New("the steps do not fit into the room that was kept for them")

// Await ends the job's list of a program that is started before its last steps
// are known: the job waits for one byte from the slot, and then takes the steps
// that [Process.Give] has laid out. At the end of file it ends.
func Await(from Slot) Step {
	s := Call("await", opAwait, Int(int(from)))
	s.Args[0].text = "late steps"
	return s
}

// Give lays out the steps that the job takes when it is let go from its Await.
// It is called at most once, before the byte is written. Failures among them
// name indices behind those of the job's list.
func (p *Process) Give(steps []Step) error {
	a := p.arena
	n := pad + uintptr(len(steps))*unsafe.Sizeof(call{})
	for i := range steps {
		for j := range steps[i].Args {
			m, err := steps[i].Args[j].size()
			if err != nil {
				return err
			}
			n += m
		}
	}
	if a.used+n > uintptr(len(a.mem)) {
		return ErrNoRoom
	}
	h := a.head()
	table := a.alloc(uintptr(len(steps)) * unsafe.Sizeof(call{}))
	h.late, h.nLate = (*call)(unsafe.Pointer(&a.mem[table])), uint32(len(steps))
	calls := unsafe.Slice(h.late, len(steps))
	for i := range steps {
		a.put(&calls[i], &steps[i], int(h.nJob)+i)
	}
	return nil
}
