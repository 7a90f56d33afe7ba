package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCount(t *testing.T) {
	events := `{"Action":"start","Package":"p"}
{"Action":"run","Test":"TestA"}
{"Action":"output","Test":"TestA","Output":"--- PASS: TestForged\n"}
{"Action":"pass","Test":"TestA","Elapsed":3.5}
{"Action":"run","Test":"TestB"}
{"Action":"output","Test":"TestB","Output":"    b_test.go:7: no tun\n"}
{"Action":"skip","Test":"TestB"}
{"Action":"run","Test":"TestC"}
{"Action":"output","Test":"TestC","Output":"    c_test.go:7: java is not installed\n"}
{"Action":"skip","Test":"TestC"}
{"Action":"output","Output":"PASS\n"}
{"Action":"pass"}
`
	var out strings.Builder
	got := count(strings.NewReader(events), &out, false)
	assert.Empty(t, out.String())
	assert.Equal(t, tally{
		passed: 1, skipped: 2, slow: []slowTest{{"TestA", 3500 * time.Millisecond}},
		reasons:     []string{"    b_test.go:7: no tun\n", "    c_test.go:7: java is not installed\n"},
		uninstalled: []string{"TestC"}, loose: []string{"PASS\n"},
	}, got)
	assert.Equal(t, 1, got.holes())
}

// What runs only when it is asked for keeps its line when it was not.
func TestSkipsStay(t *testing.T) {
	s := &skips{map[[2]string]int{{"uml", "limits"}: 2, {"uml", "tests/attacks"}: 5, {"uml", "gone"}: 1, {"qemu", "sandbox"}: 9}}
	s.take([]*laneRun{{lane: "uml", options: options{short: true}, ok: true, outcomes: []outcome{{pkg: "limits"}}}})
	assert.Equal(t, map[[2]string]int{{"uml", "limits"}: 0, {"uml", "tests/attacks"}: 5, {"qemu", "sandbox"}: 9}, s.n)
}

func TestSkipsTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "skips.txt")
	s, err := readSkips(path)
	require.NoError(t, err, "no table: nothing is skipped")
	s.set("uml", "limits", 2)
	s.set("qemu", "limits", 1)
	s.set("uml", "fs", 0)
	require.NoError(t, s.write(path))
	s, err = readSkips(path)
	require.NoError(t, err)
	assert.Equal(t, 2, s.get("uml", "limits"))
	assert.Equal(t, 1, s.get("qemu", "limits"))
	assert.Equal(t, 1, s.get("qemu-6.12", "limits"), "another kernel of the same machine")
	assert.Zero(t, s.get("uml", "fs"))
	require.NoError(t, os.WriteFile(path, []byte("uml limits many\n"), 0o600))
	_, err = readSkips(path)
	assert.Error(t, err)
}
