package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/limits"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// A Network gives the network namespace of a job more than its loopback device.
// Start and Wait call it, one call at a time, Attach from a goroutine of its own.
// Package netslirp has one; the types are those of the standard library, so that
// neither package needs the other.
type Network interface {
	// Prepare is called first, and once: it checks what was asked, resolves
	// names, and returns lines for the job's /etc/hosts and its whole
	// /etc/resolv.conf. group is a cgroup directory in which helpers have to
	// run, or nil if there is none; it belongs to the caller. What Prepare needs
	// no answer to, it may begin and leave for Attach to fail on.
	Prepare(ctx context.Context, group *os.File) (hosts, resolv string, err error)
	// UsesInit says whether Attach reaches namespaces through init's pid. Init
	// then waits for it with the host's root, before any untrusted file has been
	// opened. Else it makes the job's root meanwhile.
	UsesInit() bool
	// Attach configures the namespace net, which user owns, by descriptor; both
	// and filter, a NETLINK_NETFILTER socket of that namespace, belong to the
	// caller. pid is init's. The job is not let go before Attach has returned
	// without an error. detach ends all helpers and returns what was counted as
	// a JSON object, as encoding/json writes it; the caller calls it once. A string
	// "ended" in it says how the network came to end before the job, and becomes a
	// note of the result.
	Attach(ctx context.Context, pid int, user, net, filter *os.File) (detach func() (json.RawMessage, error), err error)
	// Close ends what Prepare began. It is called whenever Prepare was.
	Close() error
}

// Bounds of a network's helpers, in a group beside the run's. slirp4netns takes
// 10 MB; its buffers grow with the job's connections.
const (
	helperMemory = 256 * limits.MiB
	helperTasks  = 32
)

// prepareNetwork asks the network of the caller what the job's files have to
// say about it.
func (r *run) prepareNetwork() (*netFiles, error) {
	n := r.cmd.Network
	if n == nil {
		return nil, nil
	}
	begin := limits.Now()
	var group *os.File
	if r.held.memory {
		helpers, err := r.tree.NewGroup(r.id+"-net", helperLimits(r.tree.Controllers()))
		if err != nil {
			return nil, err
		}
		r.helpers = helpers
		dir, err := unix.FcntlInt(uintptr(helpers.JobFD()), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
		group = os.NewFile(uintptr(dir), "helpers")
		defer group.Close()
	}
	r.prepared = true
	hosts, resolv, err := n.Prepare(r.ctx, group)
	if err != nil {
		return nil, err
	}
	r.event("net", "network prepared", limits.Now()-begin)
	return &netFiles{hosts, resolv}, nil
}

// helperLimits are the limits of the helpers' group, as far as the subtree has
// the controllers; the job's own limits may have needed fewer.
func helperLimits(controllers []string) (l limits.GroupLimits) {
	for _, c := range controllers {
		switch c {
		case "memory":
			l.Memory = helperMemory
		case "cpu":
			l.CPU = limits.OneCPU
		case "pids":
			l.Tasks = helperTasks
		}
	}
	return l
}

// netFiles is what the job's /etc says of a network: lines for hosts, and the
// whole of resolv.conf.
type netFiles struct{ hosts, resolv string }

// resolveNet puts into the root's /etc what the network has to say.
func (pl *Plan) resolveNet(s *Spec, f *facts, b build) {
	net := b.net
	if s.Net == NetHost {
		net = &f.netFiles
	}
	if net == nil {
		return
	}
	for i := range pl.root.Etc {
		switch file := &pl.root.Etc[i]; file.Name {
		case "hosts":
			file.Content = append(file.Content, net.hosts...)
		case "resolv.conf":
			file.Content = []byte(net.resolv)
		}
	}
}

// appendSpaces makes init hand over its namespaces for the runner to configure,
// and wait for that at once if wait says so. Nothing of the job's root is there
// yet.
func (pl *Plan) appendSpaces(wait bool) error {
	if _, ok := pl.identity.uid.ToOutside(0); !ok {
		return fieldError("user", pl.identity.uid.String(), "the helpers of a network need the inside id 0 in the map: use --map auto, or leave --user out")
	}
	p := pl.Program
	user, net, filter := p.Slot("user-ns"), p.Slot("net-ns"), p.Slot("netfilter")
	add := func(steps ...prog.Step) { p.AddInit(prog.StageNet, steps...) }
	add(
		prog.Open("/proc/self/ns/net", unix.O_RDONLY, "O_RDONLY", 0, net),
		prog.Call("socket", unix.SYS_SOCKET, prog.Bits(unix.AF_NETLINK, "AF_NETLINK"), prog.Bits(unix.SOCK_RAW|unix.SOCK_CLOEXEC, "SOCK_RAW|SOCK_CLOEXEC"),
			prog.Bits(unix.NETLINK_NETFILTER, "NETLINK_NETFILTER")).Save(filter),
		prog.Open("/proc/sys/net/ipv4/ip_unprivileged_port_start", unix.O_WRONLY, "O_WRONLY", 0, user),
		prog.Write(user, []byte("0"), "0").Because("a job without capabilities may serve port 80 of its own network"),
		prog.Close(user),
		prog.Open("/proc/self/ns/user", unix.O_RDONLY, "O_RDONLY", 0, user),
		prog.SendReady(user, net, filter).Because("by descriptor: a pid could be another's by the time it is used"),
		prog.Close(user), prog.Close(net), prog.Close(filter),
	)
	if wait {
		add(awaitNetwork()...)
	}
	return nil
}

func awaitNetwork() []prog.Step {
	return []prog.Step{prog.Stamp(stampAwaitNet), awaitOrder().Because("the network is in force"), prog.Stamp(stampNet)}
}

// awaitOrder makes init wait for the runner.
func awaitOrder() prog.Step {
	return prog.Call("recvfrom", unix.SYS_RECVFROM, prog.Fd(prog.SlotCtl), prog.Data(make([]byte, 8), "order"), prog.Int(8),
		prog.Int(0), prog.Nil(), prog.Nil()).Want(8)
}

// leaveNetwork ends the helpers of the network and returns what they counted.
func (r *run) leaveNetwork() (json.RawMessage, error) {
	if r.detach == nil {
		return nil, nil
	}
	detach := r.detach
	r.detach = nil
	record, err := detach()
	if err != nil {
		return record, wrap("net", err)
	}
	return record, nil
}

// networkEnded returns how a network came to end before its job, by its record;
// "" if it did not, or does not say. A quote within a string of JSON is escaped,
// so that only a name looks like one. A decoder would be new to this program.
func networkEnded(record json.RawMessage) string {
	_, rest, _ := bytes.Cut(record, []byte(`"ended":`))
	text, err := strconv.QuotedPrefix(string(rest))
	if err == nil {
		text, err = strconv.Unquote(text)
	}
	if err != nil {
		return ""
	}
	return text
}

// closeNetwork ends what Prepare began, and the group of the helpers.
func (r *run) closeNetwork() error {
	var err error
	if r.prepared {
		r.prepared = false
		err = r.cmd.Network.Close()
	}
	if g := r.helpers; g != nil {
		r.helpers = nil
		err = errors.Join(err, g.Kill(), g.WaitEmpty(helperPatience), g.Remove())
	}
	return err
}

const helperPatience = 2 * time.Second

// helperRow is the ledger's row for the helpers of a network.
func (r *run) helperRow() Enforced {
	held := []string{"RLIMIT_DATA of each"}
	if r.held.memory {
		l := helperLimits(r.tree.Controllers())
		if l.Memory > 0 {
			held[0] = "cgroup memory.max"
		}
		if l.CPU > 0 {
			held = append(held, "cpu.max")
		}
		if l.Tasks > 0 {
			held = append(held, "pids.max")
		}
	}
	return Enforced{Name: "network_helper", Asked: int64(helperMemory), Mechanism: strings.Join(held, ", "), EnforcedBy: byKernel, HoldsAgainst: everything}
}
