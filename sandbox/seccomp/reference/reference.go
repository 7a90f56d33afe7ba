//go:build gen || libseccomp

// Package reference compiles profiles with libseccomp, to compare what package
// profile makes of them: two compilers that share no line must answer every
// call alike. It needs cgo and libseccomp, which the build tags stand for.
package reference

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	seccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/sandbox/seccomp/profile"
)

var libArch = map[string]seccomp.ScmpArch{"amd64": seccomp.ArchAMD64, "arm64": seccomp.ArchARM64}

// Resolve adds the numbers of a profile's calls on arch to names. A name that
// no architecture knows is a slip of the pen.
func Resolve(p *profile.Profile, arch profile.Arch, names map[string]uint32) error {
	for _, r := range p.Rules {
		known := false
		for name, lib := range libArch {
			call, err := seccomp.GetSyscallFromNameByArch(r.Name, lib)
			// libseccomp gives calls that an architecture lacks a negative number.
			if err != nil || call < 0 {
				continue
			}
			known = true
			if r.Number >= 0 && r.Number != int64(call) {
				return fmt.Errorf("%s: %s=%d, but it is %d on %s", p.Name, r.Name, r.Number, call, name)
			}
			if name == arch.Name {
				names[r.Name] = uint32(call)
			}
		}
		if r.Number >= 0 {
			names[r.Name] = uint32(r.Number)
		} else if !known {
			return fmt.Errorf("%s: libseccomp does not know %s; write %s=NUMBER", p.Name, r.Name, r.Name)
		}
	}
	return nil
}

// A Filter is a profile as libseccomp compiles it.
type Filter struct {
	raw []byte
	// unknown are the numbers left out: libseccomp translates a rule for a
	// foreign architecture by name and cannot do so for calls it does not know.
	// Their numbers are equal on all architectures, so that the comparison on
	// the native one speaks for them.
	unknown map[uint32]bool
}

// Compile is libseccomp's opinion of a table.
func Compile(t *profile.Table) (*Filter, error) {
	filter, err := seccomp.NewFilter(libAction(t.Unlisted))
	if err != nil {
		return nil, err
	}
	defer filter.Release()
	native, err := seccomp.GetNativeArch()
	if err != nil {
		return nil, err
	}
	lib := libArch[t.Arch.Name]
	if lib != native {
		err = errors.Join(filter.AddArch(lib), filter.RemoveArch(native))
	}
	// A search tree instead of a list, which the comparison would wait for; and
	// not the default for foreign calls, which is to kill the thread.
	if err = errors.Join(err, filter.SetOptimize(2), filter.SetBadArchAction(libAction(t.Foreign))); err != nil {
		return nil, err
	}
	ref := &Filter{unknown: map[uint32]bool{}}
	t.Each(func(number uint32, name string, clauses []profile.Clause) {
		if err != nil {
			return
		}
		call := seccomp.ScmpSyscall(number)
		if lib != native {
			// A number is always read as one of the native architecture.
			if call, err = seccomp.GetSyscallFromName(name); err != nil {
				ref.unknown[number], err = true, nil
				return
			}
		}
		err = addRule(filter, t.Unlisted, call, clauses)
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	})
	if err != nil {
		return nil, err
	}
	ref.raw, err = export(filter)
	return ref, err
}

// addRule gives libseccomp one call. It knows neither an order of rules nor
// "otherwise": each rule is made of comparisons under a mask that must all hold,
// and no call may fit two of them. So the arguments' values are cut into
// disjoint cells on which all conditions are constant, and each gets a rule.
func addRule(filter *seccomp.ScmpFilter, unlisted profile.Action, call seccomp.ScmpSyscall, clauses []profile.Clause) error {
	for _, cell := range cells(clauses) {
		if cell.action == unlisted {
			continue // libseccomp refuses a rule that says what the default says
		}
		if len(cell.args) == 0 {
			return filter.AddRuleExact(call, libAction(cell.action))
		}
		var conds []seccomp.ScmpCondition
		for arg, c := range cell.args {
			cond, err := seccomp.MakeCondition(uint(arg), seccomp.CompareMaskedEqual, c.mask, c.value)
			if err != nil {
				return err
			}
			conds = append(conds, cond)
		}
		if err := filter.AddRuleConditionalExact(call, libAction(cell.action), conds); err != nil {
			return err
		}
	}
	return nil
}

func libAction(a profile.Action) seccomp.ScmpAction {
	switch a {
	case profile.Allow:
		return seccomp.ActAllow
	case profile.Kill:
		return seccomp.ActKillProcess
	}
	return seccomp.ActErrno.SetReturnCode(int16(a & 0xffff))
}

// Len is the number of instructions.
func (ref *Filter) Len() int { return len(ref.raw) / 8 }

// Compare runs raw and the reference on every call in which they could differ,
// and returns how many these were.
func (ref *Filter) Compare(t *profile.Table, raw []byte) (int, error) {
	vm, err := profile.NewVM(raw)
	if err != nil {
		return 0, err
	}
	refVM, err := profile.NewVM(ref.raw)
	if err != nil {
		return 0, err
	}
	calls := 0
	t.Probe(func(audit, number uint32, args [6]uint64) {
		if err != nil {
			return
		}
		calls++
		var got, want profile.Action
		if got, err = vm.Action(audit, number, args); err != nil {
			return
		}
		if want = t.Action(audit, number, args); got != want {
			err = fmt.Errorf("call %d %#x of arch %#x: %v instead of %v", number, args, audit, got, want)
			return
		}
		if ref.unknown[number] && audit == t.Arch.Audit {
			return
		}
		if want, err = refVM.Action(audit, number, args); err == nil && got != want {
			err = fmt.Errorf("call %d %#x of arch %#x: %v, libseccomp says %v", number, args, audit, got, want)
		}
	})
	return calls, err
}

// export returns the program of a filter. libseccomp 2.5 writes it only to a
// descriptor.
func export(filter *seccomp.ScmpFilter) ([]byte, error) {
	fd, err := unix.MemfdCreate("filter", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	file := os.NewFile(uintptr(fd), "filter")
	defer file.Close()
	if err := filter.ExportBPF(file); err != nil {
		return nil, err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(file)
	if err == nil && len(raw) == 0 {
		err = syscall.ENODATA
	}
	return raw, err
}

// Number is the number of a call on an architecture, as libseccomp knows it.
func Number(name, arch string) (uint32, bool) {
	call, err := seccomp.GetSyscallFromNameByArch(name, libArch[arch])
	return uint32(call), err == nil && call >= 0
}

// Known says whether a name is a call of some architecture.
func Known(name string) bool {
	_, err := seccomp.GetSyscallFromName(name)
	return err == nil
}
