package limits

import (
	"errors"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// managerGroup is the way to a subtree by the user's systemd manager: it is
// asked to put this process into a scope of its own, with the controllers of
// the manager delegated (org.freedesktop.systemd1.Manager.StartTransientUnit).
// That scope is then this process's own cgroup. It is asked over the user's
// bus, or else on the manager's own socket, on which systemd-run asks as well;
// so systemd-run itself, which would have to start this program a second time,
// is not needed.
//
// A scope lies beside the group that the caller was given, not below it, and
// sheds its limits: a service of 30 MB obtained 60 MB. So it is asked for only
// where there are none.
func managerGroup(opt *FindOptions) (*Subtree, error) {
	const way = "user manager"
	fail := func(err error) (*Subtree, error) { return nil, &reason{way, ErrNotDelegated, err} }
	if !opt.Evacuate {
		return fail(errors.New("it would move this process, which was not allowed"))
	}
	own, err := ownPath(opt)
	if err != nil {
		return fail(err)
	}
	if err := mayLeave(opt, own); err != nil {
		return fail(err)
	}
	begin := Now()
	who, err := self(opt.proc)
	if err != nil {
		return fail(err)
	}
	// Unique among the units of the manager; named as groups are.
	unit := "jailrun-" + strings.TrimPrefix(who.groupName("scope"), groupPrefix) + ".scope"
	ask := opt.ask
	if ask == nil {
		ask = askForScope
	}
	if err := ask(unit); err != nil {
		return fail(err)
	}
	s, err := ownGroup(opt)
	if err != nil {
		return nil, err
	}
	s.scopeTook = Now() - begin
	return s, nil
}

func ownPath(opt *FindOptions) (string, error) {
	membership, err := readFile(opt.proc + "/self/cgroup")
	if err != nil {
		return "", err
	}
	own, ok := v2Path(membership)
	if !ok {
		return "", errors.New("this process is in no cgroup v2 hierarchy")
	}
	return own, nil
}

// mayLeave says whether a scope beside the group would be as limited as the
// group is: it lies in the slice of the user, which stays above, and nothing
// between the two limits anything. A limit that cannot be read may be one.
func mayLeave(opt *FindOptions, own string) error {
	uid := strconv.Itoa(os.Geteuid())
	slice := "/user.slice/user-" + uid + ".slice"
	if !strings.HasPrefix(own, slice+"/") {
		return errors.New("the group of this process, " + own + ", does not lie in " + slice + ", and a scope there would shed its limits")
	}
	root := opt.mount
	if root == "" {
		root = "/sys/fs/cgroup"
	}
	for place := own; place != slice; place = path.Dir(place) {
		d, err := openDir(root+place, opt.fake)
		if err != nil {
			return err
		}
		free := hasNoLimit(d)
		d.close()
		if !free {
			return errors.New(place + " is limited, and a scope beside it would shed its limits")
		}
	}
	// The manager can hand down only what it has been given.
	manager, err := openDir(root+slice+"/user@"+uid+".service", opt.fake)
	if err != nil {
		return err
	}
	defer manager.close()
	text, err := manager.read("cgroup.controllers")
	if err != nil {
		return err
	}
	has := strings.Fields(string(text))
	for _, name := range opt.Need {
		if !slices.Contains(has, name) {
			return &reason{manager.path, ErrNoController, errors.New(name + " is not delegated to the user, only: " + strings.Join(has, " "))}
		}
	}
	return nil
}

// askForScope has the manager move this process into a new scope and waits
// until it has.
func askForScope(unit string) error {
	runtimeDir := "/run/user/" + strconv.Itoa(os.Geteuid())
	err := askBus(runtimeDir+"/bus", true, unit)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return askBus(runtimeDir+"/systemd/private", false, unit) // without a bus there is no other connection to it
}

const (
	managerName      = "org.freedesktop.systemd1"
	managerPath      = "/org/freedesktop/systemd1"
	managerInterface = "org.freedesktop.systemd1.Manager"
)

// askBus carries out the conversation. All calls are sent at once; the job's
// end, which is the signal to wait for, may be told before the reply to the
// call that started it.
func askBus(socket string, daemon bool, unit string) error {
	b, err := dialBus(socket)
	if err != nil {
		return err
	}
	defer b.close()
	destination := ""
	if daemon {
		destination = managerName
		const bus, busPath = "org.freedesktop.DBus", "/org/freedesktop/DBus"
		if _, err := b.call(bus, busPath, bus, "Hello", "", nil); err != nil {
			return err
		}
		var rule wire
		rule.string("type='signal',interface='" + managerInterface + "',member='JobRemoved'")
		if _, err := b.call(bus, busPath, bus, "AddMatch", "s", rule.b); err != nil {
			return err
		}
	}
	if _, err := b.call(destination, managerPath, managerInterface, "Subscribe", "", nil); err != nil {
		return err
	}
	start, err := b.call(destination, managerPath, managerInterface, "StartTransientUnit", "ssa(sv)a(sa(sv))", scopeRequest(unit, os.Getpid()))
	if err != nil {
		return err
	}
	return awaitJob(b, start)
}

// awaitJob waits for the reply to the call with the given serial number, an
// object path, and for the end of the job of that path.
func awaitJob(b *bus, start uint32) error {
	job := ""
	ended := map[string]string{} // path of a job: its result
	for range 10_000 {
		m, err := b.receive()
		if err != nil {
			return err
		}
		r := reading{b: m.body}
		switch {
		case m.kind == busError:
			// Of any call: without the others the job's end is not told.
			text := r.string()
			return errors.New(m.failure + ": " + quote(text))
		case m.kind == busReturn && m.replyTo == start:
			job = r.string()
		case m.kind == busSignal && m.member == "JobRemoved": // id u, job o, unit s, result s
			r.uint32()
			path := r.string()
			r.string()
			ended[path] = r.string()
		}
		if r.bad {
			return errBus
		}
		switch result := ended[job]; {
		case job == "" || result == "":
		case result == "done":
			return nil
		default:
			return errors.New("the job for the scope ended as " + quote(result))
		}
	}
	return errors.New("the manager talks without an answer")
}

// scopeRequest is the body of StartTransientUnit(name, mode, properties, aux).
func scopeRequest(unit string, pid int) []byte {
	var w wire
	w.string(unit)
	w.string("fail")
	w.array(8, func() {
		property := func(name, kind string, value func()) {
			w.align(8)
			w.string(name)
			w.signature(kind)
			value()
		}
		property("Description", "s", func() { w.string("limits of jailrun") })
		property("PIDs", "au", func() { w.array(4, func() { w.uint32(uint32(pid)) }) })
		property("Delegate", "b", func() { w.uint32(1) })
		property("CollectMode", "s", func() { w.string("inactive-or-failed") })
	})
	w.array(8, func() {})
	return w.b
}
