package sandbox

import (
	"errors"
	"sync"

	"github.com/jailrun/jailrun/sandbox/prog"
	"github.com/jailrun/jailrun/userns"
)

// nests are the user namespaces that this process keeps for jobs with ids that
// only a helper may give, by their maps. The helpers, newuidmap and newgidmap,
// cost a millisecond; a namespace that has the ids may pass them on.
//
// The first run of a map takes the helpers: making a kept namespace costs more
// than that, and a program with one job has no use for it.
var nests struct {
	sync.Mutex
	kept map[string]*nest
}

// A nest is nil in prog until the second run has made it.
type nest struct {
	sync.Mutex // held while it is made
	prog       *prog.Nest
}

// maxNests bounds the processes that wait in kept namespaces.
const maxNests = 4

// nest returns a kept namespace for the identity, or nil if there is none, or
// none yet.
func (r *run) nest(id *identity) *prog.Nest {
	_, uid := id.uid.ToInside(uint32(r.facts.uid))
	_, gid := id.gid.ToInside(uint32(r.facts.gid))
	if !id.written || id.block || r.facts.uid == 0 || !uid || !gid {
		return nil // no helper has to run, or nobody with our id may make namespaces there
	}
	key := id.uid.String() + "/" + id.gid.String()
	nests.Lock()
	n := nests.kept[key]
	if n == nil && len(nests.kept) < maxNests {
		if nests.kept == nil {
			nests.kept = map[string]*nest{}
		}
		nests.kept[key] = &nest{}
	}
	nests.Unlock()
	if n == nil || !n.TryLock() {
		return nil
	}
	defer n.Unlock()
	if n.prog == nil {
		n.prog = r.makeNest(id, key)
	}
	return n.prog
}

// makeNest makes a namespace with the ids of the map under the same numbers.
// Without one the helpers run, as they did for the first.
func (r *run) makeNest(id *identity, key string) *prog.Nest {
	file, err := r.ownerNamespace(id.uid, id.gid)
	if err == nil {
		defer file.Close()
		var n *prog.Nest
		if n, err = prog.NewNest(file); err == nil {
			return n
		}
	}
	r.event("identity", "no user namespace is kept: "+err.Error(), 0)
	forgetNest(key)
	return nil
}

func forgetNest(key string) {
	nests.Lock()
	defer nests.Unlock()
	delete(nests.kept, key)
}

// startProgram starts the program of the plan, and has the maps of init written if
// that is not init's own work.
func (r *run) startProgram(binds []prog.Binding) (err error) {
	id := &r.plan.identity
	p := r.plan.Program
	mapped := !id.written
	n := r.nest(id)
	if n != nil {
		r.proc, err = p.StartIn(n, id.uid.Nested().Kernel(), id.gid.Nested().Kernel(), binds)
		mapped = true
	}
	if n == nil || errors.Is(err, prog.ErrNest) {
		if n != nil {
			_ = n.Close()
			forgetNest(id.uid.String() + "/" + id.gid.String())
		}
		mapped = !id.written
		err = r.startInit(binds)
	}
	r.closeJobEnds()
	if err != nil {
		return wrap("clone", userns.Refused(err))
	}
	r.undo.add(r.discard)
	if !mapped {
		if err := userns.WriteMaps(r.ctx, r.proc.Pid, int(r.proc.PidFd.Fd()), id.uid, id.gid); err != nil {
			return wrap("identity", userns.Refused(err))
		}
	}
	return nil
}
