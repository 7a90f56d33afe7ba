package userns

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/jailrun/jailrun/idmap"
)

func byName(rows []Probe) map[string]Probe {
	m := map[string]Probe{}
	for _, r := range rows {
		m[r.Name] = r
	}
	return m
}

// The rows that every machine of ours must answer with yes: without them no test
// of a sandbox could run.
func TestProbesHere(t *testing.T) {
	if !asUser(t) {
		return
	}
	rows := Probes(t.Context())
	m := byName(rows)
	require.Len(t, m, len(rows), "names differ")
	for _, name := range []string{ProbeNamespaces, ProbeOwnMap, ProbeRights, ProbeMax, ProbeSetgroups, ProbeNewPrivs} {
		assert.Equalf(t, Yes, m[name].Answer, "%+v", m[name])
	}
	for _, r := range rows {
		assert.NotEmpty(t, r.Detail)
		assert.NotContains(t, r.Detail+r.Fix, "\n")
		assert.NotEqualf(t, Failed, r.Answer, "%+v", r)
		if r.Answer == No {
			assert.NotEmptyf(t, r.Fix, "%+v", r)
		} else {
			assert.Empty(t, r.Fix)
		}
	}
}

func TestProbesAsRoot(t *testing.T) {
	requireRoot(t, "for its rows")
	t.Chdir("/proc")
	assert.Equal(t, No, probeIDMap(t.Context()).Answer, "procfs cannot")
	t.Chdir(t.TempDir())
	m := byName(Probes(t.Context()))
	assert.Equalf(t, Yes, m[ProbeBlock].Answer, "%+v", m[ProbeBlock])
	skipIfUnable(t, ".", m[ProbeIDMap].Err)
	assert.Equalf(t, Yes, m[ProbeIDMap].Answer, "%+v", m[ProbeIDMap])
}

// What another machine's settings and files would be answered.
func TestProbesElsewhere(t *testing.T) {
	h := fakeHost(t, map[string]string{
		"sys/user/max_user_namespaces":                     "0\n",
		"sys/kernel/unprivileged_userns_clone":             "0\n",
		"sys/kernel/apparmor_restrict_unprivileged_userns": "1\n",
		"self/setgroups":                                   "deny\n",
	})
	for _, c := range []struct {
		got  Probe
		want Answer
		fix  string
	}{
		{probeMax(h), No, "user.max_user_namespaces=15000"},
		{probeClone(h), No, "kernel.unprivileged_userns_clone=1"},
		{probeAppArmor(h, No), No, "AppArmor profile"},
		{probeAppArmor(h, Yes), Yes, ""},
		{probeSetgroups(h), No, "outside of this user namespace"},
		{probeMax(fakeHost(t, nil)), Failed, ""},
		{probeSetgroups(fakeHost(t, nil)), Failed, ""},
		{probeClone(fakeHost(t, nil)), Yes, ""},
		{probeAppArmor(fakeHost(t, nil), No), Yes, ""},
		{probeHelper(ProbeNewuidmap, []string{"/nonexistent"}), No, "apt-get install uidmap"},
		{from("x", unix.EIO, "fix", unix.EPERM), Failed, ""},
		{from("x", unix.EPERM, "fix", unix.EPERM), No, "fix"},
	} {
		assert.Equalf(t, c.want, c.got.Answer, "%+v", c.got)
		assert.Contains(t, c.got.Fix, c.fix)
		assert.NotEmpty(t, c.got.Detail)
	}
	sub, row := probeSubIDs(Files{SubUID: "/nonexistent", SubGID: "/nonexistent", Passwd: "/nonexistent"})
	assert.Equal(t, No, row.Answer)
	assert.Contains(t, row.Fix, ":100000:65536 to /etc/subuid")
	require.ErrorIs(t, row.Err, idmap.ErrNoSubIDs)
	assert.Equal(t, No, probeAutoMap(t.Context(), h, sub, helperDirs).Answer)
	_, row = probeSubIDs(Files{SubUID: t.TempDir()})
	assert.Equal(t, Failed, row.Answer, "unreadable is not absent")
}

func TestAnswer(t *testing.T) {
	assert.Equal(t, "the probe failed", Answer(0).String())
	assert.Equal(t, "no", No.String())
	assert.Equal(t, "yes", Yes.String())
}
