package sandbox

import (
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
)

// result puts together everything but the verdict. It works for any stage at
// which a run may have stopped; what is not known is absent.
func (r *run) result(e *evidence) *Result {
	res := &Result{
		Version: 1, ID: r.id, Jailrun: Version, Kernel: kernelRelease(), StartedAt: time.Now(),
		Argv: r.argv(), Tier: r.tier, Limits: []Enforced{}, Notes: r.notes, Wall: e.wall(),
	}
	if pl := r.plan; pl != nil {
		res.Notes = append(res.Notes, pl.notes...)
		res.Limits = ledger(pl.limits, r.enforcement())
		if r.cmd.Network != nil {
			res.Limits = append(res.Limits, r.helperRow())
		}
		for range pl.servers {
			res.Limits = append(res.Limits, r.serverRow())
		}
		res.Confinement = pl.walls
		res.Identity = r.identityReport()
		res.Runtime = pl.runtime
	}
	res.Denied = r.listener.report()
	if r.listener.record != nil {
		res.Calls = r.listener.record.report()
	}
	if r.listener.cut {
		res.Notes = append(res.Notes, "more than "+strconv.Itoa(maxDenied)+" system calls were denied; the rest got ENOSYS and is not counted")
	}
	if r.proc == nil || e.begun == 0 {
		return res
	}
	res.StartedAt = r.started
	res.Setup = e.begun - r.began
	res.Startup = r.startup(e.begun)
	res.Stdout, res.Stderr = r.streams[0].report(), r.streams[1].report()
	r.usage(res, e)
	return res
}

// argv is what the job was to run, be it the image's own program.
func (r *run) argv() []string {
	if r.spec != nil {
		return r.spec.Args
	}
	return r.cmd.Args
}

func (r *run) identityReport() *Identity {
	id := &r.plan.identity
	out := id.outside()
	rep := &Identity{Map: id.mode, Inside: [2]int{int(id.job[0]), int(id.job[1])}, Outside: [2]int{int(out[0]), int(out[1])}}
	if !id.written {
		for _, g := range r.facts.groups {
			if g != r.facts.gid {
				rep.GroupsKept = append(rep.GroupsKept, g)
			}
		}
	}
	return rep
}

// usage fills in what the group or init counted.
func (r *run) usage(res *Result, e *evidence) {
	u := &e.usage
	if e.cpu.Known {
		res.CPU = &CPUUsage{Total: e.cpu.Value}
		if u.CPU.User.Known {
			res.CPU.User, res.CPU.System = pointer(u.CPU.User), pointer(u.CPU.System)
		} else if r.exit != nil {
			user, system := time.Duration(r.exit.All.Utime.Nano()), time.Duration(r.exit.All.Stime.Nano())
			res.CPU.User, res.CPU.System = &user, &system
		}
		res.CPU.Throttled, res.CPU.NrThrottled = pointer(u.CPU.Throttled), number(u.CPU.Throttles)
	}
	m := &MemoryUsage{
		Peak: number(u.Memory.Peak), File: number(u.Memory.File), Shmem: number(u.Memory.Shmem), Kernel: number(u.Memory.Kernel),
		SwapPeak: number(u.Memory.SwapPeak), OOMKillEvents: number(u.Memory.OOMKills), LimitHits: number(u.Memory.LimitHits),
	}
	if r.exit != nil {
		rss := r.exit.All.Maxrss * 1024
		m.MaxRSS = &rss
		res.ContextSwitches = &ContextUsage{Voluntary: r.exit.All.Nvcsw, Involuntary: r.exit.All.Nivcsw}
	}
	if r.watch != nil {
		m.AnonPeak = number(r.watch.anon.peak)
		if m.Peak == nil {
			m.Peak = r.watch.peak()
		}
	}
	if r.plan.limits.Memory > 0 {
		m.Metric = memoryMetric(r.held.memory)
	}
	if *m != (MemoryUsage{}) {
		res.Memory = m
	}
	if p := (CountUsage{Peak: number(u.Pids.Peak), LimitHits: number(u.Pids.LimitHits)}); p != (CountUsage{}) {
		res.Pids = &p
	}
	if io := (IOUsage{Read: number(u.IO.ReadBytes), Write: number(u.IO.WriteBytes)}); io != (IOUsage{}) {
		res.IO = &io
	}
	if p := (Pressures{pressure(u.Pressure.CPU), pressure(u.Pressure.Memory), pressure(u.Pressure.IO)}); p != (Pressures{}) {
		res.Pressure = &p
	}
	if r.cmd.Noise {
		var involuntary *int64
		if c := res.ContextSwitches; c != nil {
			involuntary = &c.Involuntary
		}
		res.Noise = judgeNoise(r.noise, readHostNoise(), u, involuntary, e.cpu.Value, res.Wall)
	}
	r.diskUsage(res)
}

// memoryMetric names what decides the verdict memory.
func memoryMetric(byGroup bool) string {
	if byGroup {
		return "memory.events oom_kill, or a second of nothing but reading the program again"
	}
	return "sampled anonymous, shared and tmpfs memory"
}

func pressure(p limits.Opt[limits.Pressure]) *Pressure {
	if !p.Known {
		return nil
	}
	return &Pressure{Some: p.Value.Some, Full: p.Value.Full}
}

// diskUsage reports the writable areas as they were at the end, and before as
// far as they were looked at.
func (r *run) diskUsage(res *Result) {
	d := r.disk
	if d == nil {
		return
	}
	d.look()
	res.Disk = &DiskUsage{Used: d.tmpfsUsed() + d.keptUse.bytes, Peak: d.peak, Inodes: d.inodes, Full: slices.Contains(d.full, true), LimitHits: d.hits}
	if r.firedBy(byDisk) {
		res.Disk.LimitHits++
	}
	if r.plan.cwd == CWDCopy {
		n := countWrites(r.upper, r.filled, maxCounted)
		res.Discarded = &n
	}
}

// maxCounted bounds the walk over discarded writes.
const maxCounted = 10000

func (s *stream) report() *Stream {
	return &Stream{Bytes: s.bytes.Load(), Truncated: s.cut.Load()}
}

func pointer[T any](o limits.Opt[T]) *T {
	if !o.Known {
		return nil
	}
	return &o.Value
}

func number[T ~uint64](o limits.Opt[T]) *int64 {
	if !o.Known {
		return nil
	}
	n := int64(o.Value)
	return &n
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
