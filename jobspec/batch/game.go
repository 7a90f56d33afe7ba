package batch

import (
	"io"
	"strings"
	"sync"
	"time"
)

// A game is what lies between the sides of an interaction: an inbox for each,
// into which others' outputs are copied, and the record of what was said.
type game struct {
	mu    sync.Mutex
	moved sync.Cond // something was written, read or ended
	begin time.Time
	boxes []inbox
	to    [][]int // whom a side's output goes to
	sent  []int64
	lines []lineEnd // what a side said last
	ends  int       // sides that have ended
	order []int     // by side: 1 ended first; 0 runs
	last  int       // side that spoke last, -1 none

	said    []Message
	room    int64
	dropped int64
}

// lineEnd tells whether a side's last line has its newline.
type lineEnd struct{ open bool }

// An inbox is the standard input of one side.
type inbox struct {
	data     []byte
	partial  map[int][]byte // by writer, where several share the box: a line that is not whole
	writers  int            // that have not ended
	gone     bool           // the reader has
	unread   int64          // bytes that came too late
	received int64
}

// inboxRoom is how far a writer may be ahead of a reader, as with a pipe.
const inboxRoom = 1 << 20

// mostMessages bounds the record, besides its bytes.
const mostMessages = 4096

func newGame(sides int, pipes [][2]int, room int64) *game {
	g := &game{
		begin: time.Now(), boxes: make([]inbox, sides), to: make([][]int, sides), sent: make([]int64, sides),
		lines: make([]lineEnd, sides), order: make([]int, sides), last: -1, room: room,
	}
	g.moved.L = &g.mu
	for _, p := range pipes {
		g.to[p[0]] = append(g.to[p[0]], p[1])
		g.boxes[p[1]].writers++
	}
	for i := range g.boxes {
		if g.boxes[i].writers > 1 {
			g.boxes[i].partial = map[int][]byte{}
		}
	}
	return g
}

// A mouth is the standard output of one side.
type mouth struct {
	g    *game
	side int
}

// Write copies into the inboxes. A reader that has ended is no error: the
// writer has to find out by its own end of input, not by a signal that would
// look like a fault of its own.
func (m mouth) Write(p []byte) (int, error) {
	g := m.g
	g.mu.Lock()
	defer g.mu.Unlock()
	g.note(m.side, p)
	for _, to := range g.to[m.side] {
		box := &g.boxes[to]
		for len(box.data) > inboxRoom && !box.gone {
			g.moved.Wait()
		}
		box.put(m.side, p)
	}
	g.moved.Broadcast()
	return len(p), nil
}

// put adds to the box. Where several write, whole lines only, so that they do
// not mix.
func (b *inbox) put(from int, p []byte) {
	if b.gone {
		b.unread += int64(len(p))
		return
	}
	if b.partial != nil {
		line := append(b.partial[from], p...)
		cut := strings.LastIndexByte(string(line), '\n') + 1
		if cut == 0 && len(line) > inboxRoom {
			cut = len(line) // a line of a megabyte is passed on in parts
		}
		p, b.partial[from] = line[:cut], append([]byte{}, line[cut:]...)
	}
	b.data = append(b.data, p...)
	b.received += int64(len(p))
}

// note records what was said.
func (g *game) note(side int, p []byte) {
	g.sent[side] += int64(len(p))
	g.lines[side].open = len(p) > 0 && p[len(p)-1] != '\n'
	g.last = side
	if g.room <= 0 || len(g.said) == mostMessages {
		g.dropped += int64(len(p))
		return
	}
	keep := p[:min(int64(len(p)), g.room)]
	g.room -= int64(len(keep))
	g.dropped += int64(len(p) - len(keep))
	g.said = append(g.said, Message{At: time.Since(g.begin), side: side, Text: string(keep)})
}

// An ear is the standard input of one side.
type ear struct {
	g    *game
	side int
}

// Read waits for data, for the end of all writers, or for the side's own end.
func (e ear) Read(p []byte) (int, error) {
	g := e.g
	g.mu.Lock()
	defer g.mu.Unlock()
	box := &g.boxes[e.side]
	for len(box.data) == 0 && box.writers > 0 && !box.gone {
		g.moved.Wait()
	}
	if len(box.data) == 0 || box.gone {
		return 0, io.EOF
	}
	n := copy(p, box.data)
	box.data = append(box.data[:0], box.data[n:]...)
	g.moved.Broadcast()
	return n, nil
}

// end tells that a side is over: others read the end of its output, and what
// they still say to it is counted and dropped.
func (g *game) end(side int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ends++
	g.order[side] = g.ends
	for _, to := range g.to[side] {
		box := &g.boxes[to]
		if rest := box.partial[side]; len(rest) > 0 {
			delete(box.partial, side)
			if !box.gone {
				box.data = append(box.data, rest...)
				box.received += int64(len(rest))
			}
		}
		box.writers--
	}
	box := &g.boxes[side]
	box.gone = true
	box.unread += int64(len(box.data))
	box.data = nil
	g.moved.Broadcast()
}

// still returns how much was said in all, and whether every side that runs has
// read all it was told.
func (g *game) still() (said int64, read bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	read = true
	for i := range g.boxes {
		said += g.sent[i]
		if g.order[i] == 0 && (len(g.boxes[i].data) > 0 || g.boxes[i].writers == 0) {
			read = false
		}
	}
	return said + int64(g.ends)<<48, read && g.ends < len(g.boxes)
}
