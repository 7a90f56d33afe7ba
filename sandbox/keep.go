package sandbox

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/fs"
	"github.com/jailrun/jailrun/fs/transfer"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// kept is what the runner reads the job's files with.
type kept struct {
	root, mounts        *os.File
	rootUpper, rootBase *os.File        // of a root of layers
	workUpper, workBase *os.File        // of a copied current directory
	areas               []transfer.Area // of Spec.Diff
	inside              *insider        // nil as long as the runner's own rights suffice
	servers             []*server       // that answer for what is read
}

// bounds is what may go in, or come out, all together.
func (r *run) bounds() transfer.Bounds {
	l := &r.plan.limits
	return transfer.Bounds{Bytes: int64(l.Disk), Entries: l.Inodes}
}

// carry takes what init sends of the root, and does what must be done in it
// before the job starts. Init waits meanwhile: when it has ended, the status
// pipe tells how, and when the run is canceled, its wait is ended there as well.
func (r *run) carry() error {
	err := r.serve()
	if errors.Is(err, errInitGone) || errors.Is(err, prog.ErrDesk) || errors.Is(err, unix.EPIPE) ||
		errors.Is(err, unix.ECONNRESET) || err != nil && r.ctx.Err() != nil {
		return nil
	}
	return err
}

func (r *run) serve() error {
	root := &r.plan.root
	if err := r.startServers(); err != nil {
		return err
	}
	if err := r.fill(); err != nil {
		return err
	}
	if root.Keep {
		ok, err := r.receiveKept()
		if err != nil {
			return err
		}
		if !ok {
			return errInitGone
		}
	}
	if !root.Serve {
		return nil
	}
	desk := &prog.Desk{Ctl: r.ctl}
	err := r.copyIn(desk)
	if err == nil && r.cmd.Diff != "" {
		err = r.noteAreas(desk)
	}
	if err == nil {
		err = desk.Done()
	}
	return err
}

// receiveKept receives the descriptors of [fs.Root.Kept]; not ok: init has ended.
func (r *run) receiveKept() (ok bool, err error) {
	p := r.plan.Program
	slots := r.plan.root.Kept()
	slices.SortFunc(slots, func(a, b string) int { return cmp.Compare(p.SlotNamed(a), p.SlotNamed(b)) })
	var buf [16]byte
	var oob [128]byte
	var n, oobn int
	for {
		n, oobn, _, _, err = unix.Recvmsg(r.ctl, buf[:], oob[:], unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil || n == 0 {
		return false, nil
	}
	files := receivedFiles(oob[:oobn])
	for _, f := range files {
		r.undo.add(f.Close)
	}
	rep, err := prog.ParseReport(buf[:n])
	if err != nil || !rep.Ready || len(files) != len(slots) {
		return false, errors.Join(prog.ErrMessage, err)
	}
	k := &kept{servers: r.servers}
	for i, name := range slots {
		*map[string]**os.File{
			fs.Files: &k.root, fs.Mounts: &k.mounts, fs.RootUpper: &k.rootUpper, fs.RootBase: &k.rootBase,
			fs.Upper: &k.workUpper, fs.WorkBase: &k.workBase,
		}[name] = files[i]
	}
	r.kept = k
	return true, nil
}

// copyIn puts the caller's files into the root.
func (r *run) copyIn(desk *prog.Desk) error {
	w := transfer.Writer{Desk: desk, Owner: r.plan.identity.job}
	for _, c := range r.plan.copyIn {
		f, err := os.OpenFile(c.source, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		err = w.CopyIn(r.ctx, f, c.target, r.bounds())
		_ = f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// noteAreas takes down what the job finds in what it can write to.
func (r *run) noteAreas(desk *prog.Desk) error {
	k := r.kept
	if k.rootUpper != nil {
		k.areas = append(k.areas, transfer.Area{Place: "/", Upper: k.rootUpper, Base: k.rootBase})
	} else {
		k.areas = append(k.areas, transfer.Area{Place: "/", Upper: k.root})
	}
	if r.plan.fillWork != nil {
		k.areas = append(k.areas, transfer.Area{Place: WorkDir, Upper: k.workUpper})
	}
	if k.workBase != nil {
		k.areas = append(k.areas, transfer.Area{Place: WorkDir, Upper: k.workUpper, Base: k.workBase})
	}
	reader := transfer.Reader{Root: k.root, Inside: func() (*prog.Desk, error) { return desk, nil }}
	for i := range k.areas {
		if err := k.areas[i].Note(&reader, r.noteBounds()); err != nil {
			return err
		}
	}
	return nil
}

// noteBounds leaves room for what an earlier run has put into a kept layer.
func (r *run) noteBounds() transfer.Bounds {
	b := r.bounds()
	b.Entries = max(b.Entries, DefaultInodes)
	return b
}

// An insider is a process with the rights of the job's user namespace, in its
// mount namespace, that lives while the job's files are read.
type insider struct {
	proc *prog.Process
	ctl  int
	desk prog.Desk
}

// answerPatience is how long an insider may wait for one answer of a server.
const answerPatience = 10 * time.Second

// enter starts an insider. Every process of the job is dead.
func (k *kept) enter() (*prog.Desk, error) {
	p := &prog.Program{}
	mounts, user := p.Slot("mounts"), p.Slot("user")
	p.AddInit(prog.StageIdentity,
		prog.KeepOnly(prog.SlotCtl, mounts),
		prog.Call("ioctl", unix.SYS_IOCTL, prog.Fd(mounts), prog.Bits(unix.NS_GET_USERNS, "NS_GET_USERNS")).Save(user),
		prog.Call("setns", unix.SYS_SETNS, prog.Fd(user), prog.Bits(unix.CLONE_NEWUSER, "CLONE_NEWUSER")),
		prog.Call("setns", unix.SYS_SETNS, prog.Fd(mounts), prog.Bits(unix.CLONE_NEWNS, "CLONE_NEWNS")),
		prog.Serve(), prog.End())
	pair, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer unix.Close(pair[1])
	if k.servers != nil {
		t := unix.NsecToTimeval(int64(answerPatience))
		if err := unix.SetsockoptTimeval(pair[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &t); err != nil {
			unix.Close(pair[0])
			return nil, os.NewSyscallError("setsockopt", err)
		}
	}
	proc, err := p.Start([]prog.Binding{{Slot: prog.SlotCtl, Fd: pair[1]}, {Slot: mounts, Fd: int(k.mounts.Fd())}})
	if err != nil {
		unix.Close(pair[0])
		return nil, err
	}
	k.inside = &insider{proc: proc, ctl: pair[0], desk: prog.Desk{Ctl: pair[0]}}
	return &k.inside.desk, nil
}

// leave ends the insider, which lives as long as its socket.
func (k *kept) leave() error {
	in := k.inside
	if in == nil {
		return nil
	}
	k.inside = nil
	_ = unix.Close(in.ctl)
	if k.servers != nil {
		fds := []unix.PollFd{{Fd: int32(in.proc.PidFd.Fd()), Events: unix.POLLIN}}
		if poll(fds, serverPatience) != nil || fds[0].Revents == 0 {
			for _, s := range k.servers { // it waits for an answer
				s.kill()
			}
		}
	}
	return errors.Join(reap(in.proc), in.proc.PidFd.Close(), in.proc.Release())
}
