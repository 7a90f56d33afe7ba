package sandbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// A run is the life of one job on the runner's side. One goroutine at a time
// owns it, that of Start and then that of Wait; what others may touch is
// atomic, or has a lock: wake its own, ctl and group that of hold.
type run struct {
	cmd     *Cmd
	spec    *Spec           // of cmd, with what its image asks for
	ctx     context.Context // of Start; it spans the run, as that of exec.CommandContext
	facts   *facts
	plan    *Plan
	proc    *prog.Process
	ahead   *prog.Ahead // nil for none, and once it is used
	tier    Tier
	held    holds
	lacks   error // why tier is the watchdog's
	tree    *limits.Subtree
	group   *limits.Group
	watch   *watch
	servers []*server // that answer for what the kernel has no overlay of
	room    uint64    // tasks that the group has for them
	id      string
	took    Startup

	hold     hold
	listener listener

	status, ctl int   // our ends; -1 once closed
	gate        int   // our end of the socket on which a prepared job waits; -1 for none
	waiting     bool  // for its job, in a pool
	pool        *Pool // that prepared it, and ends it; else nil
	jobEnds     []int
	place       *place // nil unless it waits in the lot
	wakeLock    sync.Mutex
	wake        int // eventfd: something changed that the loop must look at
	streams     [2]*stream
	input       *input
	written     atomic.Int64 // bytes of both streams

	procDir, upper, sysvShm *os.File                // from the Ready message
	shown                   atomic.Pointer[os.File] // procDir once it is known, for Blocked
	areas                   []*os.File              // in each tmpfs of the job, from the Ready message
	outputs                 []output                // of the caller's, for the job's files
	filled                  time.Time               // when a copied current directory was complete
	kept                    *kept                   // nil if no file of the job's is wanted
	disk                    *disk                   // nil before the Ready message
	upperLock               *os.File                // of Spec.Upper, held for the run; nil without one
	exit                    *prog.Exit
	initGone                bool

	noise    hostNoise
	began    time.Duration // CLOCK_MONOTONIC of Start
	cloned   time.Duration // when init was about to be forked
	execSeen time.Duration // when the status pipe ended
	started  time.Time
	end      ending

	prepared bool          // the network of cmd was
	helpers  *limits.Group // of the network's helpers, beside group
	detach   func() (json.RawMessage, error)

	attaching   chan attached // Network.Attach is under way
	attachBegun time.Duration

	undo      undo
	leftovers []error
	notes     []string
}

// descriptors makes the channels of a launch and names those that init gets.
func (r *run) descriptors() ([]prog.Binding, error) {
	p := r.plan.Program
	r.status, r.ctl, r.gate = -1, -1, -1
	var binds []prog.Binding
	give := func(s prog.Slot, fd int) {
		binds = append(binds, prog.Binding{Slot: s, Fd: fd})
		r.jobEnds = append(r.jobEnds, fd)
	}
	r.undo.add(func() error { r.closeJobEnds(); return nil })
	rd, wr, err := pipe()
	if err != nil {
		return nil, err
	}
	give(prog.SlotStatus, wr)
	r.status = rd
	r.undo.add(func() error { return r.closeFd(&r.status) })
	pair, err := socketpair()
	if err != nil {
		return nil, err
	}
	give(prog.SlotCtl, pair[1])
	r.ctl = pair[0]
	r.undo.add(r.closeCtl)
	if late := r.plan.late; late != nil {
		if pair, err = socketpair(); err != nil {
			return nil, err
		}
		give(late.gate, pair[1])
		r.gate = pair[0]
		r.undo.add(func() error { return r.closeFd(&r.gate) })
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	r.wake = raise(wake)
	r.undo.add(func() error {
		r.wakeLock.Lock()
		defer r.wakeLock.Unlock()
		return r.closeFd(&r.wake)
	})
	many := live.Add(1) > manyLive
	r.undo.add(func() error { live.Add(-1); return nil })
	for i, name := range [2]string{"stdout", "stderr"} {
		rd, wr, err := streamPipe(many)
		if err != nil {
			return nil, err
		}
		give(p.SlotNamed(name), wr)
		r.streams[i] = newStream(r, rd, [2]writer{r.cmd.Stdout, r.cmd.Stderr}[i])
		r.undo.add(r.streams[i].discard)
	}
	r.shareWriter()
	if !r.plan.stdinNull {
		rd, wr, err := streamPipe(many)
		if err != nil {
			return nil, err
		}
		give(p.SlotNamed("stdin"), rd)
		r.input = newInput(r.cmd.Stdin, wr)
		r.undo.add(r.input.stop)
	}
	if r.group != nil {
		more, err := r.groupBindings()
		return append(binds, more...), err
	}
	return binds, nil
}

func (r *run) closeFd(fd *int) error {
	if *fd < 0 {
		return nil
	}
	err := unix.Close(*fd)
	*fd = -1
	return err
}

// closeJobEnds closes the runner's copies of what init got, so that an end of
// file means what it says.
func (r *run) closeJobEnds() {
	for _, fd := range r.jobEnds {
		_ = unix.Close(fd)
	}
	r.jobEnds = nil
}

// awaitExec waits for the end of file on the status pipe, which means that the
// job's program runs, or for the failure that stands there instead.
func (r *run) awaitExec() error {
	stop := context.AfterFunc(r.ctx, r.poke)
	r.undo.add(func() error { stop(); return nil })
	canceled := false
	for ended := false; !ended; {
		fds := []unix.PollFd{{Fd: int32(r.status), Events: unix.POLLIN}, {Fd: int32(r.wake), Events: unix.POLLIN}}
		if r.listener.record != nil { // execve is among the calls that wait for an answer
			fds = append(fds, unix.PollFd{Fd: int32(r.ctl), Events: unix.POLLIN}, unix.PollFd{Fd: int32(r.listener.fd), Events: unix.POLLIN})
		}
		if err := poll(fds, -1); err != nil {
			return wrap("clone", err)
		}
		if err := r.recordLaunch(fds[2:]); err != nil {
			return wrap("exec", err)
		}
		if fds[1].Revents != 0 && r.ctx.Err() != nil && !canceled {
			canceled = true // the end of init ends the status pipe as well
			r.end.fired = append(r.end.fired, firing{by: byCancel, at: limits.Now(), detail: context.Cause(r.ctx)})
			r.end.ours = true
			r.killServers() // init may wait for it
			_ = unix.PidfdSendSignal(int(r.proc.PidFd.Fd()), unix.SIGKILL, nil, 0)
		}
		if fds[0].Revents == 0 {
			continue
		}
		var err error
		if ended, err = r.readStatus(); err != nil {
			return err
		}
	}
	_ = r.closeFd(&r.status)
	if r.proc.Stamp(stampGo) == 0 && !canceled {
		return r.vanished(nil)
	}
	r.execSeen = limits.Now()
	r.started = time.Now().Add(r.proc.Stamp(stampGo) - limits.Now())
	r.event("exec", "the job runs", limits.Now()-r.began)
	r.cmd.live.Store(r)
	return nil
}

// readStatus reads the status pipe, and reports its end or the failure that
// stands there.
func (r *run) readStatus() (ended bool, err error) {
	var buf [64]byte
	n, err := unix.Read(r.status, buf[:])
	switch {
	case errors.Is(err, unix.EINTR):
		return false, nil
	case err != nil:
		return false, wrap("clone", os.NewSyscallError("read", err))
	case n > 0:
		return false, r.launchFailed(buf[:n])
	}
	return true, nil
}

// launchFailed turns the message of a failed step into an error.
func (r *run) launchFailed(msg []byte) error {
	f, err := prog.ParseFailure(msg)
	if err != nil {
		return wrap("clone", err)
	}
	e := stepError(r.plan.Program, f)
	if e.Stage == prog.StageExec.String() {
		e.explainExec(r.plan.Program, &r.plan.root, r.spec.Args[0], r.facts.dir)
	}
	return e
}

// vanished is the error of an init that ended without a word. How it ended is
// more use than the symptom; of a spawner's child it is not known. A symptom can
// also be a failure of this process's own, and init be well: then it is all that
// there is to say.
func (r *run) vanished(symptom error) error {
	ws, ended, err := r.initStatus(vanishPatience)
	if err != nil || !ended {
		return wrap("clone", cmp.Or(errors.Join(symptom, err), errSilent))
	}
	how := errInitGone
	if ws != nil {
		how = fmt.Errorf("%w: %s", errInitGone, waitText(*ws))
	}
	return wrap("clone", errors.Join(how, symptom))
}

// vanishPatience is for the way from the end of init's descriptors to its own.
const vanishPatience = time.Second

func waitText(ws unix.WaitStatus) string {
	if ws.Signaled() {
		return "by signal " + strconv.Itoa(int(ws.Signal()))
	}
	return "with exit code " + strconv.Itoa(ws.ExitStatus())
}

var (
	errInitGone = errors.New("init ended before the job ran")
	errSilent   = errors.New("init and the job have closed the pipe on which they tell of failures, and go on")
)

// poke makes the loop look around. Any goroutine may call it at any time, also
// when the run is over.
func (r *run) poke() {
	r.wakeLock.Lock()
	defer r.wakeLock.Unlock()
	if r.wake >= 0 {
		_ = ring(r.wake)
	}
}

func (r *run) event(stage, text string, took time.Duration) {
	if r.cmd.Trace != nil {
		r.cmd.Trace(Event{Time: time.Now(), Stage: stage, Text: text, Took: took})
	}
}
