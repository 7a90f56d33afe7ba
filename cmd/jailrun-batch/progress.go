package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/jobspec"
	"github.com/jailrun/jailrun/jobspec/batch"
	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/plain"
)

// A progress shows how far a batch is: on a terminal one line for each job
// that runs and a bar under them, elsewhere one line for each job that is
// done.
type progress struct {
	b     *jobspec.Batch
	quiet bool
	live  bool
	width int

	mu      sync.Mutex
	begin   time.Time
	done    int
	failed  int
	running []int // in the order of their start
	since   map[int]time.Time
	drawn   int // lines on the screen that are ours
	stop    chan struct{}
	drawing sync.WaitGroup
}

func newProgress(b *jobspec.Batch, quiet bool) *progress {
	p := &progress{b: b, quiet: quiet, begin: time.Now(), since: map[int]time.Time{}, stop: make(chan struct{})}
	if size, err := unix.IoctlGetWinsize(2, unix.TIOCGWINSZ); err == nil && size.Col > 20 && !quiet && os.Getenv("TERM") != "dumb" {
		p.live, p.width = true, int(size.Col)
		p.drawing.Go(p.draw)
	}
	return p
}

func (p *progress) started(job int) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = append(p.running, job)
	p.since[job] = time.Now()
}

func (p *progress) finished(job int, o *batch.Outcome) {
	if p.quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, r := range p.running {
		if r == job {
			p.running = append(p.running[:i], p.running[i+1:]...)
			break
		}
	}
	delete(p.since, job)
	p.done++
	if !o.Passed {
		p.failed++
	}
	if o.Resumed {
		return
	}
	if line := p.line(job, o); !p.live {
		fmt.Fprintln(os.Stderr, line)
	} else if !o.Passed {
		p.erase()
		fmt.Fprintln(os.Stderr, cut(line, p.width))
	}
}

// line tells of one job that is done.
func (p *progress) line(job int, o *batch.Outcome) string {
	digits := len(fmt.Sprint(len(p.b.Jobs)))
	text := fmt.Sprintf("[%*d/%d] %-3s %s", digits, p.done, len(p.b.Jobs), o.Code, p.b.Jobs[job].ID)
	switch {
	case o.Cached:
		text += "  cached"
	case o.Code != jobspec.Skipped:
		text += fmt.Sprintf("  %.3fs", o.Wall.Seconds())
		if o.Memory >= 0 {
			text += "  " + limits.Size(o.Memory).Human()
		}
	}
	if o.Message != "" && o.Code != jobspec.Accepted {
		text += "  " + o.Message
	}
	return "jailrun: " + plain.Printable(text)
}

// draw renews the live lines ten times a second.
func (p *progress) draw() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			p.mu.Lock()
			p.erase()
			p.mu.Unlock()
			return
		case <-tick.C:
			p.mu.Lock()
			p.erase()
			p.show()
			p.mu.Unlock()
		}
	}
}

// erase takes away our lines, so that others may stand in their place.
func (p *progress) erase() {
	if p.drawn > 0 {
		fmt.Fprintf(os.Stderr, "\x1b[%dA\x1b[J", p.drawn)
		p.drawn = 0
	}
}

func (p *progress) show() {
	const most = 16
	var b strings.Builder
	for i, job := range p.running {
		if i == most {
			fmt.Fprintf(&b, "  … and %d more\n", len(p.running)-most)
			p.drawn++
			break
		}
		text := fmt.Sprintf("  %6.1fs  %s", time.Since(p.since[job]).Seconds(), p.b.Jobs[job].ID)
		b.WriteString(cut(plain.Printable(text), p.width) + "\n")
		p.drawn++
	}
	b.WriteString(cut(p.bar(), p.width) + "\n")
	p.drawn++
	_, _ = os.Stderr.WriteString(b.String()) // where a failure would be told
}

// bar sums up, with the time that is left if the rest takes as long.
func (p *progress) bar() string {
	const width = 20
	all := len(p.b.Jobs)
	full := p.done * width / max(all, 1)
	text := fmt.Sprintf("[%s%s] %d/%d", strings.Repeat("#", full), strings.Repeat("-", width-full), p.done, all)
	if p.failed > 0 {
		text += fmt.Sprintf("  %d not passed", p.failed)
	}
	if p.done > 0 && p.done < all {
		left := time.Since(p.begin) / time.Duration(p.done) * time.Duration(all-p.done)
		text += "  " + left.Round(time.Second).String() + " left"
	}
	return text
}

// cut keeps a line on one row of the terminal.
func cut(s string, width int) string {
	runes := []rune(s)
	if len(runes) < width {
		return s
	}
	return string(runes[:width-1])
}

func (p *progress) end() {
	if p.live {
		close(p.stop)
		p.drawing.Wait()
	}
}
