package attacks

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/jailrun/jailrun/cmd/jailrun-selftest/attack"
)

// rows says for every row of the security bar which tests answer for it, as
// DIRECTORY:TestName, or, after "none: ", why none does yet. Attempts of
// package attack and the programs of TestAbuse are found by their row.
var rows = [106][]string{
	1:   {"tests/attacks:TestStdin"},
	2:   {"tests/attacks:TestDescriptors", "sandbox:TestSpawnedJobHoldsNothing"},
	3:   {"tests/attacks:TestWorkdir"},
	4:   {"tests/attacks:TestOwnProgram"},
	5:   {"tests/attacks:TestOwnProgram", "tests/attacks:TestOwnProgramIsNotTheJobs"}, // what a hole in the kernel does to the page cache, SECURITY.md gives no promise of
	6:   {"sandbox:TestJobIsItself"},
	7:   {},
	8:   {"sandbox:TestHowItEnds"},
	9:   {},
	10:  {"tests/attacks:TestIsolated"},
	11:  {},
	12:  {"sandbox:TestLinksLeadNowhere"},
	13:  {},
	14:  {},
	15:  {"sandbox:TestLinksLeadNowhere"},
	16:  {},
	17:  {"tests/attacks:TestSetuidPrograms"},
	18:  {},
	19:  {"tests/attacks:TestNothingForTheNext", "sandbox:TestLinksLeadNowhere"},
	20:  {"tests/attacks:TestOverlayMarks"},
	21:  {},
	22:  {"sandbox:TestCopyOutIsNotLed"},
	23:  {"tests/attacks:TestNames"},
	24:  {"tests/attacks:TestPosture"},
	25:  {"tests/attacks:TestSurface"},
	26:  {},
	27:  {"tests/attacks:TestSurface"},
	28:  {"tests/attacks:TestSurface"},
	29:  {"tests/attacks:TestSurface", "sandbox/seccomp:TestRealCalls"},
	30:  {"tests/attacks:TestPosture", "sandbox/seccomp:TestRealCalls"},
	31:  {"tests/attacks:TestSurface"},
	32:  {"tests/attacks:TestSurface", "sandbox/seccomp:TestRealCalls"},
	33:  {},
	34:  {"sandbox/seccomp:TestRealCalls"},
	35:  {},
	36:  {"sandbox/seccomp:TestForeignABIOnKernel"},
	37:  {},
	38:  {"sandbox/seccomp:TestRealCalls"},
	39:  {},
	40:  {"tests/attacks:TestFuzz"},
	41:  {"tests/attacks:TestSurface"},
	42:  {}, // the rest are side channels, of which SECURITY.md gives no promise
	43:  {},
	44:  {"tests/attacks:TestLocks"},
	45:  {"tests/attacks:TestIsolated", "tests/attacks:TestNothingForTheNext"},
	46:  {"tests/attacks:TestNothingForTheNext"},
	47:  {"sandbox:TestSignalQueue", "tests/attacks:TestPosture"},
	48:  {"sandbox/seccomp:TestRealCalls"},
	49:  {"tests/attacks:TestIsolated"},
	50:  {"tests/attacks:TestTellsNothing"},
	51:  {"tests/attacks:TestTellsNothing"},
	52:  {"tests/attacks:TestIsolated"},
	53:  {},
	54:  {},
	55:  {},
	56:  {},
	57:  {"limits:TestSettings", "limits:TestNewGroupOnOlderKernels"},
	58:  {},
	59:  {},
	60:  {"tests/attacks:TestPosture"},
	61:  {},
	62:  {},
	63:  {},
	64:  {},
	65:  {"sandbox:TestHowItEnds"},
	66:  {"tests/attacks:TestStdinUnread"},
	67:  {"tests/attacks:TestStreamFlags"},
	68:  {},
	69:  {"sandbox:TestHowItEnds"},
	70:  {},
	71:  {"tests/attacks:TestPosture"},
	72:  {"tests/attacks:TestKernelLog"},
	73:  {},
	74:  {"tests/net:TestManyConnections", "tests/net:TestRate", "tests/net:TestRecordIsBounded"},
	75:  {},
	76:  {"sandbox:TestHowItEnds"},
	77:  {},
	78:  {"sandbox:FuzzDecide"},
	79:  {"sandbox:TestHowItEnds"},
	80:  {},
	81:  {"tests/attacks:TestStrictKillsAll"},
	82:  {"tests:TestNoSignalByNumber"},
	83:  {"tests/attacks:TestAbuse"},
	84:  {"sandbox:TestNotStarted"},
	85:  {},
	86:  {"sandbox:TestCopyOutIsNotLed", "sandbox:TestCopyOutAfterDeath"},
	87:  {"sandbox:TestCopyOutBounds", "fs/transfer:TestCopyOutRefuses"},
	88:  {"sandbox:TestCopyIn", "sandbox:TestCopyInRefuses"},
	89:  {"tests/attacks:TestCompiler"},
	90:  {"fs/image:TestBadEntries", "fs/image:TestBombs"},
	91:  {"tests/attacks:TestIsolated"},
	92:  {"tests/net:TestForbidden"},
	93:  {"tests/attacks:TestPosture", "tests/net:TestKilled"},
	94:  {},
	95:  {"cmd/jailrun:FuzzSplit", "cmd/jailrun:FuzzBind", "cmd/jailrun:TestEnvironment"},
	96:  {"tests/attacks:TestNames", "cmd/jailrun:FuzzEncodeResult"},
	97:  {},
	98:  {"tests/attacks:TestOwnFilter"},
	99:  {"jobspec/batch:TestInteraction"},
	100: {"limits:TestThrottleFindsWhoResists"},
	101: {"tests/attacks:TestAbuse"},
	102: {},
	103: {}, // how far it overshoots, on a quiet machine of several CPUs, the figures of tests/corpus say
	104: {"sandbox:TestGitIsProtected", "sandbox:TestGitWithoutHooks"},
	105: {"sandbox:TestSocketsAndFIFOs"},
}

// TestRows: every row has a test that exists, or a reason.
func TestRows(t *testing.T) {
	found := map[string]int{}
	for _, a := range attack.All() {
		found[a.Row]++
	}
	for _, a := range abuses() {
		found[a.row]++
	}
	var open []string
	tested := 0
	for i, tests := range rows[1:] {
		row := fmt.Sprintf("A%02d", i+1)
		answers := found[row]
		delete(found, row)
		for _, name := range tests {
			if why, none := strings.CutPrefix(name, "none: "); none {
				assert.Len(t, tests, 1, row)
				open = append(open, row+": "+why)
				continue
			}
			answers++
			assert.True(t, exists(t, name), "%s names %s, which there is none of", row, name)
		}
		if answers > 0 {
			tested++
		} else {
			assert.NotEmpty(t, tests, "%s has neither a test nor a reason", row)
		}
	}
	assert.Empty(t, found, "rows that the bar does not have")
	t.Logf("%d of %d rows are tested, %d are not:\n%s", tested, len(rows)-1, len(open), strings.Join(open, "\n"))
}

// exists looks for a test by the text of its package.
func exists(t *testing.T, name string) bool {
	t.Helper()
	dir, test, ok := strings.Cut(name, ":")
	require.True(t, ok, name)
	files, err := filepath.Glob(filepath.Join("..", "..", dir, "*_test.go"))
	require.NoError(t, err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		if strings.Contains(string(text), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}
