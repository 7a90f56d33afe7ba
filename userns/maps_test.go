package userns

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
	"github.com/jailrun/jailrun/tests/lane"
)

func lockThread() (unlock func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}

// own is the map of --map self for the user of this process.
func own() (uid, gid idmap.Map) {
	return idmap.Self(0, uint32(os.Geteuid())), idmap.Self(0, uint32(os.Getegid()))
}

func TestPrepare(t *testing.T) {
	if !asUser(t) {
		return
	}
	uid, gid := own()
	sub := idmap.Map{{Inside: 1, Outside: 100000, Count: 65536}}
	for _, c := range []struct {
		name     string
		uid, gid idmap.Map
		steps    []string
	}{
		{"self", uid, gid, []string{
			"write deny to /proc/PID/setgroups",
			`write "0 ` + uid[0].String()[2:len(uid[0].String())-2] + ` 1\n" to /proc/PID/uid_map`,
			`write "0 ` + gid[0].String()[2:len(gid[0].String())-2] + ` 1\n" to /proc/PID/gid_map`,
		}},
		{"foreign users", sub, gid, []string{
			"write deny to /proc/PID/setgroups",
			"DIR/newuidmap PID 1 100000 65536",
			`write "0 ` + gid[0].String()[2:len(gid[0].String())-2] + ` 1\n" to /proc/PID/gid_map`,
		}},
		{"foreign groups", uid, append(idmap.Self(0, 7), sub...), []string{
			`write "0 ` + uid[0].String()[2:len(uid[0].String())-2] + ` 1\n" to /proc/PID/uid_map`,
			"DIR/newgidmap PID 0 7 1 1 100000 65536",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := prepare(c.uid, c.gid, helperDirs)
			require.NoError(t, err)
			got := strings.Join(steps(m), "\n")
			for _, dir := range helperDirs {
				got = strings.ReplaceAll(got, dir+"/new", "DIR/new")
			}
			assert.Equal(t, strings.Join(c.steps, "\n"), got)
			assert.Equal(t, strings.Contains(got, "deny"), m.denySetgroups)
		})
	}
	_, err := Prepare(idmap.Map{}, gid)
	require.ErrorIs(t, err, idmap.ErrEmpty)
	_, err = prepare(sub, gid, []string{"/nonexistent"})
	require.ErrorIs(t, err, ErrNoHelper)
	require.ErrorContains(t, err, "newuidmap is not in /nonexistent")
}

func TestWriteSelf(t *testing.T) {
	if !asUser(t) {
		return
	}
	uid, gid := own()
	p := newTarget(t)
	assert.Empty(t, procFile(t, p.proc.Pid, "uid_map"))
	require.NoError(t, WriteMaps(t.Context(), p.proc.Pid, p.pidfd, uid, gid))
	assert.Equal(t, strings.TrimSpace(string(uid.Kernel())), procFile(t, p.proc.Pid, "uid_map"))
	assert.Equal(t, strings.TrimSpace(string(gid.Kernel())), procFile(t, p.proc.Pid, "gid_map"))
	assert.Equal(t, "deny", procFile(t, p.proc.Pid, "setgroups"))

	err := WriteMaps(t.Context(), p.proc.Pid, p.pidfd, uid, gid)
	require.ErrorIs(t, err, unix.EPERM, "maps can be written once")
	var pe *os.PathError
	require.ErrorAs(t, err, &pe)
}

// The kernel, not our choice of a writer, is what keeps a user from other ids.
func TestWriteForeignIsRefused(t *testing.T) {
	if !asUser(t) {
		return
	}
	_, gid := own()
	p := newTarget(t)
	m := &Maps{
		uid:           mapFile{name: "uid_map", m: idmap.Self(0, uint32(os.Geteuid())+1)},
		gid:           mapFile{name: "gid_map", m: gid},
		denySetgroups: true,
	}
	require.ErrorIs(t, m.Write(t.Context(), p.proc.Pid, p.pidfd), unix.EPERM)
	assert.Empty(t, procFile(t, p.proc.Pid, "uid_map"))
	// Control: the same process takes the own id.
	m.uid.m, _ = own()
	require.NoError(t, m.Write(t.Context(), p.proc.Pid, p.pidfd))
}

// A number that was given to another process must not be written to.
func TestWriteKnowsTheProcess(t *testing.T) {
	if !asUser(t) {
		return
	}
	uid, gid := own()
	dead, alive := newTarget(t), newTarget(t)
	require.NoError(t, dead.proc.Kill())
	require.True(t, lane.Ended(t, dead.pidfd))
	require.ErrorIs(t, WriteMaps(t.Context(), alive.proc.Pid, dead.pidfd, uid, gid), unix.ESRCH)
	assert.Empty(t, procFile(t, alive.proc.Pid, "uid_map"))
	require.ErrorIs(t, WriteMaps(t.Context(), alive.proc.Pid, -1, uid, gid), unix.EBADF)
	require.ErrorIs(t, WriteMaps(t.Context(), dead.proc.Pid, dead.pidfd, uid, gid), unix.ESRCH)
	// Control: the right pair is accepted.
	require.NoError(t, WriteMaps(t.Context(), alive.proc.Pid, alive.pidfd, uid, gid))
}

func TestWriteRoot(t *testing.T) {
	requireRoot(t, "to map ids of its choice")
	const base = 0x70000000
	uid, gid := idmap.Block(base, 1000), idmap.Block(base, 100)
	m, err := Prepare(uid, gid)
	require.NoError(t, err)
	assert.Equal(t, []string{
		`write "0 1879048192 15\n1000 1879048207 1\n" to /proc/PID/uid_map`,
		`write "0 1879048192 15\n100 1879048207 1\n" to /proc/PID/gid_map`,
	}, steps(m))
	assert.False(t, m.denySetgroups)
	for range 2 { // Maps serve more than one namespace
		p := newTarget(t)
		require.NoError(t, m.Write(t.Context(), p.proc.Pid, p.pidfd))
		assert.Equal(t, "0 1879048192 15 1000 1879048207 1", procFile(t, p.proc.Pid, "uid_map"))
		assert.Equal(t, "0 1879048192 15 100 1879048207 1", procFile(t, p.proc.Pid, "gid_map"))
		assert.Equal(t, "allow", procFile(t, p.proc.Pid, "setgroups"))
	}
}

// Root of a user namespace with one id holds CAP_SETUID and may still not map what
// does not exist there; the errno is the one for missing rights.
func TestWriteMissingIDsAreNamed(t *testing.T) {
	if !asUser(t) {
		return
	}
	if caps, err := effectiveCaps(); caps == 0 {
		require.NoError(t, err)
		again(t, &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 7, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 7, HostID: os.Getegid(), Size: 1}},
			AmbientCaps: []uintptr{unix.CAP_SETUID, unix.CAP_SETGID},
		})
		return
	}
	p := newTarget(t)
	err := WriteMaps(t.Context(), p.proc.Pid, p.pidfd, idmap.Block(0x70000000, 0), idmap.Self(0, 7))
	require.ErrorIs(t, err, unix.EPERM)
	require.ErrorContains(t, err, `ids 1879048192-1879048206 do not all exist in this user namespace, which has /proc/self/uid_map "7:`)
}

func TestWriteThroughHelpers(t *testing.T) {
	if !asUserWithEtc(t, map[string]string{
		"subuid": "# a comment\nmalformed\ntester:100000:65536\n12345:300000:10\n",
		"subgid": "tester:200000:65536\n",
	}) {
		return
	}
	sub, err := Lookup(testID, "")
	require.NoError(t, err)
	uid, err := idmap.Auto(testID, sub.UID.Ranges)
	require.NoError(t, err)
	gid, err := idmap.Auto(testID, sub.GID.Ranges)
	require.NoError(t, err)

	t.Run("granted", func(t *testing.T) {
		p := newTarget(t)
		require.NoError(t, WriteMaps(t.Context(), p.proc.Pid, p.pidfd, uid, gid))
		assert.Equal(t, "0 12345 1 1 100000 65536 65537 300000 10", procFile(t, p.proc.Pid, "uid_map"))
		assert.Equal(t, "0 12345 1 1 200000 65536", procFile(t, p.proc.Pid, "gid_map"))
		assert.Equal(t, "allow", procFile(t, p.proc.Pid, "setgroups"))
	})
	t.Run("not granted", func(t *testing.T) {
		p := newTarget(t)
		beyond := idmap.Map{{Inside: 0, Outside: 100000, Count: 65537}}
		err := WriteMaps(t.Context(), p.proc.Pid, p.pidfd, beyond, gid)
		var he *HelperError
		require.ErrorAs(t, err, &he)
		assert.Contains(t, he.Path, "/newuidmap")
		assert.Equal(t, "exit status 1", he.Status)
		assert.Contains(t, he.Output, "not allowed")
		assert.NotContains(t, err.Error(), "\n")
		assert.Empty(t, procFile(t, p.proc.Pid, "uid_map"))
	})
	t.Run("both refused, one line", func(t *testing.T) {
		p := newTarget(t)
		foreign := idmap.Map{{Inside: 0, Outside: 1, Count: 2}}
		err := WriteMaps(t.Context(), p.proc.Pid, p.pidfd, foreign, foreign)
		require.ErrorContains(t, err, "newuidmap")
		require.ErrorContains(t, err, "newgidmap")
		assert.NotContains(t, err.Error(), "\n")
	})
	t.Run("user by helper, own group directly", func(t *testing.T) {
		p := newTarget(t)
		require.NoError(t, WriteMaps(t.Context(), p.proc.Pid, p.pidfd, uid, idmap.Self(0, testID)))
		assert.Equal(t, "0 12345 1", procFile(t, p.proc.Pid, "gid_map"))
		assert.Equal(t, "deny", procFile(t, p.proc.Pid, "setgroups"))
	})
	t.Run("canceled", func(t *testing.T) {
		p := newTarget(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		// The helper may have been faster than the kill.
		if err := WriteMaps(ctx, p.proc.Pid, p.pidfd, uid, gid); err != nil {
			require.ErrorIs(t, err, context.Canceled)
		}
	})
	t.Run("a namespace", func(t *testing.T) {
		ns, err := NewNamespace(t.Context(), uid, gid)
		require.NoError(t, err)
		require.NoError(t, ns.Close())
	})
	t.Run("probes", func(t *testing.T) {
		rows := byName(Probes(t.Context()))
		for _, name := range []string{ProbeNewuidmap, ProbeNewgidmap, ProbeSubIDs, ProbeAutoMap, ProbeNewPrivs} {
			assert.Equalf(t, Yes, rows[name].Answer, "%+v", rows[name])
		}
		assert.Contains(t, rows[ProbeSubIDs].Detail, `line 2: "malformed" is not OWNER:FIRST:COUNT`)
	})
}

func TestSameLines(t *testing.T) {
	one, two := idmap.Range{Inside: 0, Outside: 5, Count: 1}, idmap.Range{Inside: 1, Outside: 9, Count: 2}
	longer := idmap.Range{Inside: 1, Outside: 9, Count: 3}
	a := idmap.Map{two, one}
	assert.True(t, sameLines(a, idmap.Map{one, two}))
	assert.False(t, sameLines(a, a[:1]))
	assert.False(t, sameLines(a, idmap.Map{longer, one}))
	assert.Equal(t, two, a[0], "the argument is not sorted in place")
}

// steps are the actions of [Maps.Write] in words, with PID for the process.
func steps(m *Maps) []string {
	var s []string
	if m.denySetgroups {
		s = append(s, "write deny to /proc/PID/setgroups")
	}
	for _, f := range []*mapFile{&m.uid, &m.gid} {
		if f.helper != "" {
			s = append(s, f.helper+" "+strings.Join(helperArgs("PID", f.m), " "))
			continue
		}
		s = append(s, fmt.Sprintf("write %q to /proc/PID/%s", f.m.Kernel(), f.name))
	}
	return s
}
