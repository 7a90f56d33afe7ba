package userns

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/idmap"
)

func TestLookup(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	f := Files{
		SubUID: file("subuid", "alice:100000:65536\nbroken\n1001:300000:5\nldap:400000:7\nodd name:500000:1\n"),
		SubGID: file("subgid", "alice:200000:65536\n1001:300000:5\nldap:400000:7\nalice2:800000:5\n"),
		Passwd: file("passwd", "root:x:0:0::/:\nalice:x:1000:1000::/:\nalice2:x:1000:1000::/:\nodd name:x:1003:1::/:\n"),
	}
	for _, c := range []struct {
		uid      uint32
		name     string
		uids     []idmap.SubRange
		gids     []idmap.SubRange
		err, fix string
	}{
		{
			1000, "",
			[]idmap.SubRange{{First: 100000, Count: 65536}},
			[]idmap.SubRange{{First: 200000, Count: 65536}, {First: 800000, Count: 5}},
			"",
			"sudo usermod --add-subuids 800005-865540 --add-subgids 800005-865540 alice",
		},
		{
			1001, "",
			[]idmap.SubRange{{First: 300000, Count: 5}},
			[]idmap.SubRange{{First: 300000, Count: 5}},
			"",
			"add the line 1001:800005:65536 to /etc/subuid and to /etc/subgid",
		},
		{
			1002, "ldap",
			[]idmap.SubRange{{First: 400000, Count: 7}},
			[]idmap.SubRange{{First: 400000, Count: 7}},
			"",
			"sudo usermod --add-subuids 800005-865540 --add-subgids 800005-865540 ldap",
		},
		{1002, "", nil, nil, f.SubUID + `: no subordinate ids for uid 1002; malformed: line 2: "broken" is not OWNER:FIRST:COUNT; ` +
			f.SubGID + ": no subordinate ids for uid 1002", "add the line 1002:800005:65536 to /etc/subuid and to /etc/subgid"},
		{
			1003, "",
			[]idmap.SubRange{{First: 500000, Count: 1}},
			nil,
			f.SubGID + `: no subordinate ids for "odd name" (uid 1003)`,
			`sudo usermod --add-subuids 800005-865540 --add-subgids 800005-865540 "odd name"`,
		},
	} {
		s, err := f.Lookup(c.uid, c.name)
		if c.err != "" {
			require.ErrorIs(t, err, idmap.ErrNoSubIDs)
			require.EqualError(t, err, c.err)
		} else {
			require.NoError(t, err)
		}
		assert.Equal(t, c.uids, s.UID.Ranges)
		assert.Equal(t, c.gids, s.GID.Ranges)
		assert.Equal(t, c.fix, s.Fix())
	}

	t.Run("no files at all", func(t *testing.T) {
		none := filepath.Join(dir, "none")
		s, err := Files{SubUID: none, SubGID: none, Passwd: none}.Lookup(1000, "")
		require.ErrorIs(t, err, idmap.ErrNoSubIDs)
		assert.Equal(t, "add the line 1000:100000:65536 to /etc/subuid and to /etc/subgid", s.Fix())
	})
	t.Run("unreadable", func(t *testing.T) {
		_, err := Files{SubUID: dir, SubGID: f.SubGID, Passwd: f.Passwd}.Lookup(1000, "")
		var pe *os.PathError
		require.ErrorAs(t, err, &pe)
		require.NotErrorIs(t, err, idmap.ErrNoSubIDs, "unknown is not none")
	})
	assert.Equal(t, Files{SubUID: "/etc/subuid", SubGID: "/etc/subgid", Passwd: "/etc/passwd"}, Files{}.defaults())
}
