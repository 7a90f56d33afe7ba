package fs

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// FuzzUsers: the accounts of an image are a stranger's text. What the job sees
// names its own ids first, has whole lines only, and no id twice.
func FuzzUsers(f *testing.F) {
	f.Add("root:x:0:0::/root:/bin/sh\napp:x:7:7::/:/bin/sh\n", "root:x:0:\nstaff:x:7:a,b\n", uint32(7))
	f.Add("x:x:0:0:\x00::\n\n::::::\n", ":x:0:\n", uint32(0))
	f.Add("a:x:65534:1:::", "a:x:4294967296:\nb:x:+1:\nc:x:01:\n", uint32(65534))
	f.Fuzz(func(t *testing.T, passwd, group string, id uint32) {
		u := &Users{Passwd: passwd, Group: group}
		for _, file := range []struct {
			text   string
			fields int
		}{{u.passwd("/home/job", id, id), 7}, {u.group(id), 4}} {
			require.True(t, strings.HasSuffix(file.text, "\n"))
			seen := map[string]bool{}
			for line := range strings.Lines(file.text) {
				fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
				require.Len(t, fields, file.fields, line)
				require.NotEmpty(t, fields[0])
				require.False(t, seen[fields[2]], "id %s twice", fields[2])
				if len(seen) == 0 {
					require.Equal(t, num(id), fields[2])
				}
				seen[fields[2]] = true
			}
			require.True(t, seen["0"])
		}
	})
}

// FuzzSources: whatever stands in the store about a file, an image is found by
// its whole tag only.
func FuzzSources(f *testing.F) {
	f.Add("sha256:1 \"a\" \"/x\"\nsha256:2 \"b\" \"/x\"\n", "b")
	f.Add("sha256:1 \"\" \"/x\"\n", "")
	f.Add("\n \n\"a\"\n", "a")
	f.Add("x \"a\" y\" \"/x\"", "a\" y")
	f.Fuzz(func(t *testing.T, text, tag string) {
		s := Store{Dir: t.TempDir()}
		source := s.Dir + "/source"
		require.NoError(t, os.WriteFile(source, nil, 0o600))
		var st unix.Stat_t
		require.NoError(t, unix.Stat(source, &st))
		require.NoError(t, os.Mkdir(s.Dir+"/sources", 0o700))
		require.NoError(t, os.WriteFile(s.Dir+"/sources/"+SourceKey(&st), []byte(text), 0o600))
		id, err := s.From(source, tag)
		if err == nil {
			require.Contains(t, "\n"+text, "\n"+id+" "+strconv.Quote(tag)+" ")
			require.NotContains(t, id, " ")
		}
	})
}
