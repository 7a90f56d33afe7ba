package sandbox

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
	"github.com/jailrun/jailrun/sandbox/prog"
)

// identity says who the job is, inside and outside.
type identity struct {
	mode     string // of the map, as the result names it
	uid, gid idmap.Map
	// written is true when the runner writes the maps; else init writes its
	// own single line, which the kernel allows to everybody.
	written bool
	job     [2]uint32 // uid and gid inside
	// block is true when the outside ids are a block that must be locked; the
	// maps then hold it relative to base 0 until it is known.
	block bool
}

// rootPlaceholder stands for the base of the locked block in a plan that is
// only printed: the block is taken at the launch.
const rootPlaceholder = 0x70000000

// chooseIdentity decides the maps. sub finds the caller's subordinate ids.
func chooseIdentity(s *Spec, f *facts, sub func() (uid, gid []idmap.SubRange, err error)) (identity, error) {
	mode := s.Map.Mode
	if mode == "" {
		mode = "self"
	}
	choice, err := idmap.ParseFlag(mode)
	if err != nil {
		return identity{}, &FieldError{"map", mode, err}
	}
	if choice.Mode == idmap.ModeIsolated {
		return identity{}, fieldError("map", mode, "is not supported by this version; auto is")
	}
	var user idmap.User
	if s.User != "" {
		if user, err = idmap.ParseUser(s.User); err != nil {
			return identity{}, &FieldError{"user", s.User, err}
		}
	} else if choice.Mode == idmap.ModeAuto {
		user = idmap.User{UID: 1000, GID: 1000}
	}
	id := identity{mode: choice.String(), job: [2]uint32{user.UID, user.GID}}
	if user.Caller {
		id.job = [2]uint32{uint32(f.uid), uint32(f.gid)}
	}
	switch {
	case choice.Mode == idmap.ModeExplicit && f.uid == 0 && holdsPowerful(choice.Map):
		return id, fieldError("map", mode, "as root it must not hold the outside ids 0 and 65534, root's own and nobody's, which daemons share")
	case choice.Mode == idmap.ModeExplicit:
		id.uid, id.gid, id.written = choice.Map, choice.Map, true
	case f.uid == 0:
		// Root's own id must not be the job's, whatever was asked for.
		id.mode, id.block, id.written = "block", true, true
		id.uid, id.gid = idmap.Block(rootPlaceholder, id.job[0]), idmap.Block(rootPlaceholder, id.job[1])
	case choice.Mode == idmap.ModeSelf:
		id.uid, id.gid = idmap.Self(id.job[0], uint32(f.uid)), idmap.Self(id.job[1], uint32(f.gid))
	default:
		err = id.auto(f, sub)
	}
	if err != nil {
		return id, err
	}
	return id, id.check()
}

// holdsPowerful reports whether a map gives away root's own id, or nobody's.
func holdsPowerful(m idmap.Map) bool {
	_, root := m.ToInside(0)
	_, nobody := m.ToInside(65534)
	return root || nobody
}

func (id *identity) auto(f *facts, sub func() (uid, gid []idmap.SubRange, err error)) error {
	uids, gids, err := sub()
	if err != nil {
		return err
	}
	id.written = true
	if id.uid, err = idmap.Auto(uint32(f.uid), uids); err != nil {
		return err
	}
	id.gid, err = idmap.Auto(uint32(f.gid), gids)
	return err
}

// check makes sure that init and the job have ids of the map.
func (id *identity) check() error {
	if id.written {
		if _, ok := id.uid.ToOutside(0); !ok {
			return fieldError("map", id.uid.String(), "must map the inside id 0, which init needs")
		}
	}
	for _, x := range [2]struct {
		m    idmap.Map
		id   uint32
		what string
	}{{id.uid, id.job[0], "uid"}, {id.gid, id.job[1], "gid"}} {
		if err := x.m.Validate(); err != nil {
			return err
		}
		if _, ok := x.m.ToOutside(x.id); !ok {
			return fieldError("user", fmt.Sprint(x.id), "the %s is not in the map %s", x.what, x.m)
		}
	}
	return nil
}

// outside returns the job's ids as the host sees them.
func (id *identity) outside() [2]uint32 {
	u, _ := id.uid.ToOutside(id.job[0])
	g, _ := id.gid.ToOutside(id.job[1])
	return [2]uint32{u, g}
}

// foreign reports whether init has an id that may not place the job in its
// group: neither the caller's own nor one that root gives the right to.
func (id *identity) foreign(caller int) bool {
	outside, _ := id.uid.ToOutside(0)
	return id.written && !id.block && int(outside) != caller
}

// append adds init's part: it writes its own map, or waits for the runner to
// write it and then becomes the root of the map.
func (id *identity) append(p *prog.Program) {
	if !id.written {
		f := p.Slot("map")
		for _, w := range [...]struct{ path, text, why string }{
			{"/proc/self/setgroups", "deny", "jailrun does this and the maps before the rest is known"},
			{"/proc/self/uid_map", string(id.uid.Kernel()), ""},
			{"/proc/self/gid_map", string(id.gid.Kernel()), ""},
		} {
			p.AddInit(prog.StageIdentity,
				prog.Open(w.path, unix.O_WRONLY, "O_WRONLY", 0, f).Ahead().Because(w.why),
				prog.Write(f, []byte(w.text), strconv.Quote(w.text)).Ahead(),
				prog.Close(f).Ahead())
		}
		return
	}
	p.AddInit(prog.StageIdentity,
		awaitOrder().Because("the runner has written the maps"),
		prog.Call("setgroups", unix.SYS_SETGROUPS, prog.Int(0), prog.Nil()),
		prog.Call("setresgid", unix.SYS_SETRESGID, prog.Int(0), prog.Int(0), prog.Int(0)),
		prog.Call("setresuid", unix.SYS_SETRESUID, prog.Int(0), prog.Int(0), prog.Int(0)),
		prog.Prctl(unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE", prog.Int(1)).
			Because("setresuid cleared it, and /proc/self would belong to nobody"),
	)
}
