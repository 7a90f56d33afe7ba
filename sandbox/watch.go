package sandbox

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
)

// A watch looks at the job from outside, at times of its own choosing: at its
// CPU time in both tiers, at its memory and its CPU share where no group holds
// them. It is part of the loop and starts no goroutine.
type watch struct {
	run     *run
	sampler *limits.Sampler // nil where the group's counters do
	next    time.Duration   // when tick has something to do; 0 for never

	cpu     time.Duration // CPU time of the job as last measured
	memory  limits.Size   // most memory seen
	largest int           // process that held most of it when last sampled
	oomBase limits.Opt[uint64]

	cpuAt, memoryAt, shareAt, squeezeAt, anonAt time.Duration

	share   *share
	squeeze *squeeze // nil where the kernel's own kill is all there is
	anon    anonPeak
}

// newWatch returns nil if there is nothing to look at.
func newWatch(r *run) *watch {
	l := &r.plan.limits
	w := &watch{run: r}
	now := limits.Now()
	if l.CPUTime > 0 {
		w.cpuAt = now
	}
	if r.plan.watchesMemory() {
		w.memoryAt, w.oomBase = now, hostOOMKills()
	}
	if r.plan.watchesShare() {
		w.share, w.shareAt = newShare(w, l.CPU), now
	}
	w.squeeze = newSqueeze(r)
	if r.group != nil && r.held.memory {
		w.anonAt = now + anonFirst
	}
	if w.cpuAt == 0 && w.memoryAt == 0 && w.share == nil && w.squeeze == nil && w.anonAt == 0 {
		return nil
	}
	if r.group == nil || w.memoryAt > 0 {
		w.sampler = limits.NewSampler(r.procDir)
		r.undo.add(func() error { w.sampler.Close(); return nil })
	}
	w.schedule()
	return w
}

func (w *watch) schedule() {
	w.next = 0
	for _, t := range [...]time.Duration{w.cpuAt, w.memoryAt, w.shareAt, w.squeezeAt, w.anonAt} {
		if t > 0 && (w.next == 0 || t < w.next) {
			w.next = t
		}
	}
}

// tick does what is due.
func (w *watch) tick(now time.Duration) {
	if w.next == 0 || now < w.next {
		return
	}
	if w.memoryAt > 0 && now >= w.memoryAt {
		w.checkMemory(now)
	}
	if w.cpuAt > 0 && now >= w.cpuAt {
		w.checkCPUTime(now)
	}
	if w.shareAt > 0 && now >= w.shareAt {
		w.shareAt = w.share.tick(now)
	}
	if w.squeezeAt > 0 && now >= w.squeezeAt {
		w.squeezeAt = w.squeeze.tick(w, now)
	}
	if w.anonAt > 0 && now >= w.anonAt {
		w.anonAt = w.anon.tick(w, now)
	}
	w.schedule()
}

// measure updates the CPU time of the whole job.
func (w *watch) measure() bool {
	var cpu time.Duration
	var err error
	if g := w.run.group; g != nil {
		cpu, err = g.CPUTime()
	} else {
		var s limits.Sample
		s, err = w.sampler.Sample(limits.SampleCPU)
		cpu = s.CPU
	}
	if err != nil {
		w.failed(err)
		return false
	}
	_, more := w.run.serversUse()
	w.cpu = max(w.cpu, cpu+more)
	return true
}

// failed ends the run: a limit that cannot be watched does not hold. When the
// job is just ending its files vanish, which is no failure.
func (w *watch) failed(err error) {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) || errors.Is(err, limits.ErrGone) {
		return
	}
	w.run.end.err = err
}

// checkCPUTime looks whether the CPU time limit is used up, and else comes
// back at the earliest time at which it can be.
func (w *watch) checkCPUTime(now time.Duration) {
	l := &w.run.plan.limits
	if !w.measure() {
		w.cpuAt = now + limits.MinCheck
		return
	}
	if w.cpu >= l.CPUTime {
		w.cpuAt = 0
		w.run.fire(firing{by: byCPUTime, at: now, value: int64(w.cpu)}, true)
		return
	}
	b := limits.Bandwidth{Parallel: onlineCPUs(), Share: l.CPU}
	w.cpuAt = now + b.Earliest(l.CPUTime-w.cpu)
}

// checkMemory adds up what the job holds. The sum of resident sets counts a
// page that n processes share n times, copy-on-write pages after a fork among
// them; when only that sum exceeds the limit, the proportional sets decide.
func (w *watch) checkMemory(now time.Duration) {
	limit := w.run.plan.limits.Memory
	s, err := w.sampler.Sample(limits.SampleMemory)
	if err != nil {
		w.failed(err)
		w.memoryAt = now + limits.MinCheck
		return
	}
	files, err := w.unmapped()
	if err != nil {
		w.run.end.err = err
		return
	}
	var largest limits.Size
	for _, p := range s.Processes {
		if own := p.RSS - min(p.RSS, p.Shared); own > largest {
			largest, w.largest = own, p.PID
		}
	}
	// One process's own pages and the files are certainly held.
	sure := largest + files
	w.memory = max(w.memory, sure)
	if sure > limit {
		w.exceeded(now, sure)
		return
	}
	if s.RSS+files > limit {
		if used, ok := w.confirm(files); ok && used > limit {
			w.exceeded(now, used)
			return
		}
	}
	w.memoryAt = now + limits.NextSample(s.RSS+files, limit)
}

func (w *watch) exceeded(now time.Duration, used limits.Size) {
	w.memory, w.memoryAt = max(w.memory, used), 0
	// Named before the kill: afterwards there is nothing to read.
	w.run.fire(firing{by: byMemory, at: now, value: int64(used), largest: w.nameLargest()}, false)
}

// afterwards looks once more when every process is dead: files that the job
// left in its tmpfs are still there, however late the last look was.
func (w *watch) afterwards() {
	r := w.run
	if !r.plan.watchesMemory() || r.firedBy(byMemory) {
		return
	}
	files, err := w.unmapped()
	if err != nil || files <= r.plan.limits.Memory {
		return
	}
	w.memory = max(w.memory, files)
	r.end.fired = append(r.end.fired, firing{by: byMemory, at: limits.Now(), value: int64(files), largest: ", all of it in files that it left"})
}

// nameLargest tells of the process with the most memory of its own; "" for one
// that is gone.
func (w *watch) nameLargest() string {
	pid := strconv.Itoa(w.largest)
	fd, err := unix.Openat(int(w.run.procDir.Fd()), pid+"/comm", unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var name [64]byte
	n, err := unix.Read(fd, name[:])
	if err != nil || n <= 1 {
		return ""
	}
	return ", most of it in pid " + pid + " (" + string(name[:n-1]) + ")"
}

// unmapped is the memory of files: all tmpfs of the job, and SysV segments.
func (w *watch) unmapped() (limits.Size, error) {
	var sum limits.Size
	for _, area := range w.run.areas {
		n, err := limits.TmpfsUsed(int(area.Fd()))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	used, _ := w.run.serversUse()
	sum += used
	if w.run.sysvShm == nil {
		return sum, nil
	}
	n, err := limits.SysVShm(int(w.run.sysvShm.Fd()))
	return sum + n, err
}

// confirm measures the proportional sets of the job. Where the kernel refuses
// them the larger number stands: the job made itself unreadable.
func (w *watch) confirm(files limits.Size) (limits.Size, bool) {
	pss, err := w.sampler.PSS()
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return w.run.plan.limits.Memory + 1, true
	case err != nil:
		w.failed(err)
		return 0, false
	}
	used := pss.Total(files)
	w.memory = max(w.memory, used)
	return used, true
}

func (w *watch) peak() *int64 {
	if w.memory == 0 {
		return nil
	}
	n := int64(w.memory)
	return &n
}

// hostOOMs is by how much the host's count of OOM kills has grown.
func (w *watch) hostOOMs() limits.Opt[uint64] {
	if !w.oomBase.Known {
		return w.oomBase
	}
	now := hostOOMKills()
	now.Value -= w.oomBase.Value
	return now
}

func hostOOMKills() (n limits.Opt[uint64]) {
	text, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return n
	}
	_, rest, ok := bytes.Cut(text, []byte("\noom_kill "))
	if !ok {
		return n
	}
	line, _, _ := bytes.Cut(rest, []byte{'\n'})
	n.Value, err = strconv.ParseUint(string(line), 10, 64)
	n.Known = err == nil
	return n
}

// onlineCPUs is how many CPUs the job can use at once: it inherits our mask.
func onlineCPUs() int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return 1
	}
	return max(1, set.Count())
}
