package batch

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/jobspec"
)

// FuzzAgain: a record that is run again may be a stranger's: it comes to one job
// with no more than a job file may ask for, or to an error.
func FuzzAgain(f *testing.F) {
	for _, job := range []string{
		`{"run":["true"]}`, `{"run":["cat"],"stdin":"/etc/passwd"}`, `{"run":["x"],"unsafe":["net-host"]}`, `{"run":["x"]}}, "more": {"run":["y"]}`,
		`{"extends":"x"}`, `{"run":["${HOME}"]}`, `null`, `1`, `{"run":["x"],"matrix":{"a":[1,2,3]}}`,
	} {
		f.Add([]byte(`{"verdict":"exited","batch":{"id":"a","code":"AC","replay":{"job":` + job + `,"inputs":{"x":"y"}}}}`))
	}
	f.Add([]byte(`{"batch":{"id":"a","replay":null}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if checkHeader(line) == nil {
			var h Header
			require.NoError(t, json.Unmarshal(line, &h))
			require.Equal(t, 1, h.Version)
		}
		var b brief
		if json.Unmarshal(line, &b) == nil {
			require.Equal(t, b.Entry, b.record().Entry)
		}
		var r Record
		if json.Unmarshal(line, &r) != nil {
			return
		}
		stop := errors.New("loaded")
		o := Options{Load: jobspec.Options{FS: fstest.MapFS{}}}
		_, _, _, err := Again(o, &r, func(o Options) (*Summary, error) {
			require.NotEmpty(t, o.Batch.Jobs)
			for _, j := range o.Batch.Jobs {
				require.NotEmpty(t, j.ID)
			}
			return nil, stop
		})
		require.Error(t, err)
	})
}

// FuzzCached: the outputs of a step that was carried out before are those of the
// store, or none.
func FuzzCached(f *testing.F) {
	for _, s := range []string{"{}", `{"a":"b"}`, "null", "[", `{"a":1}`, `{"a":"../../x"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := &store{dir: t.TempDir()}
		require.NoError(t, os.MkdirAll(filepath.Join(s.dir, "cache"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, "cache", "key"), text, 0o600))
		require.Empty(t, s.cached("key"), "this store has nothing")
	})
}
